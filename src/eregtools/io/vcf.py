"""Variants of VCF and BCF files."""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pysam

from eregtools._bgzf import check_bgzf_end
from eregtools._keys import Var
from eregtools._logging import logger
from eregtools.genome import match_names
from eregtools.io._text import GZIP_MAGIC
from eregtools.ranges import Region, parse_region

_SEQUENCE = re.compile(r"[ACGTN]+", re.IGNORECASE)
_WHAT = "a VCF file (plain, gzip or bgzip) or a BCF file"
_COLUMNS = (Var.chromosome, Var.start, Var.end, "Name", "Ref", "Alt", "Quality", "Filter")


def read_vcf(
    path: str | Path, *, region: Region | None = None, symbolic: Literal["error", "drop"] = "error"
) -> pd.DataFrame:
    r"""Read the variants of a VCF or BCF file, one row for each alternative allele.

    Parameters
    ----------
    path
        VCF file (plain, gzip or bgzip) or BCF file.
    region
        Only variants whose reference allele overlaps this region, 0-based half-open: ``"chr1:1,000-2,000"`` or
        ``(chromosome, start, end)``, with or without ``chr``. An index makes it quick but is not needed.
    symbolic
        What to do with alleles that are not a sequence of A, C, G, T and N (``<DEL>``, ``*``, breakends):
        ``"error"`` refuses the file, ``"drop"`` leaves these alleles out with one warning that counts them.

    Returns
    -------
    ``Chromosome``, ``Start``, ``End`` (0-based half-open, of the reference allele), ``Name`` (the ID, which the
    alleles of a record share, or ``chromosome:position:ref:alt`` with the 1-based position of the file),
    ``Ref``, ``Alt`` (upper case), ``Quality`` (float64, NaN for none) and ``Filter`` (names joined by ``;``,
    ``"."`` for none), in the order of the file. Records without an alternative allele have no row.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    KeyError
        The chromosome of ``region`` is not in the file.
    ValueError
        The file is no VCF, truncated or damaged, or has no variant; an allele is not a sequence.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.vcf"
    >>> _ = path.write_text(
    ...     "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    ...     "chr1\t11\trs1\tA\tG\t50\tPASS\t.\nchr1\t20\t.\tCT\tC,CTT\t.\t.\t.\n"
    ... )
    >>> er.io.read_vcf(path)[["Chromosome", "Start", "End", "Name", "Ref", "Alt"]]
      Chromosome  Start  End            Name Ref  Alt
    0       chr1     10   11             rs1   A    G
    1       chr1     19   21    chr1:20:CT:C  CT    C
    2       chr1     19   21  chr1:20:CT:CTT  CT  CTT
    """
    path = Path(path).expanduser()
    if symbolic not in ("error", "drop"):
        raise ValueError(f"symbolic is {symbolic!r}; expected 'error' or 'drop'.")
    wanted = None if region is None else parse_region(region)
    rows: list[tuple[Any, ...]] = []
    refused: list[str] = []
    without = 0
    with _opened(path) as file:
        for record in _records(file, path, wanted):
            ref, alts = record.ref or "", record.alts or ()
            without += not alts
            name, end = record.id, record.start + len(ref)
            filters = ";".join(record.filter.keys()) or "."
            for alt in alts:
                if not (_SEQUENCE.fullmatch(ref) and _SEQUENCE.fullmatch(alt)):
                    refused.append(f"{record.chrom}:{record.pos} {ref}>{alt}")
                    continue
                ref, alt = ref.upper(), alt.upper()
                shown = name or f"{record.chrom}:{record.pos}:{ref}:{alt}"
                rows.append((record.chrom, record.start, end, shown, ref, alt, record.qual, filters))
    if refused:
        first = ", ".join(refused[:3]) + (", …" if len(refused) > 3 else "")
        if symbolic == "error":
            raise ValueError(
                f"{path} has {len(refused)} alleles that are not a sequence ({first}); expected A, C, G, T and N "
                f"only. symbolic='drop' leaves them out."
            )
        logger.warning("%s: left out %d alleles that are not a sequence (%s).", path, len(refused), first)
    if without:
        logger.info("%s: %d records have no alternative allele", path, without)
    if not rows and region is None:
        raise ValueError(f"{path} has no variant; expected {_WHAT} with at least one.")
    frame = pd.DataFrame(rows, columns=list(_COLUMNS))
    numbers = {Var.start: np.int64, Var.end: np.int64, "Quality": np.float64}
    return frame.astype({name: numbers.get(name, object) for name in _COLUMNS})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected {_WHAT}.")
    with path.open("rb") as handle:
        head = handle.read(18)
    if not head:
        raise ValueError(f"{path} is empty; expected {_WHAT}.")
    gzipped = head[:2] == GZIP_MAGIC
    blocked = gzipped and len(head) == 18 and head[3] & 4 and head[12:14] == b"BC"
    if blocked:
        check_bgzf_end(path)
    verbosity = pysam.set_verbosity(0)  # htslib writes to stderr what the errors below say
    try:
        with _unpacked(path) if gzipped and not blocked else nullcontext(path) as plain:
            yield from _variant_file(path, plain, b"" if gzipped else head)
    finally:
        pysam.set_verbosity(verbosity)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Unpack an ordinary gzip file, which htslib cannot read as VCF, for the time of the reading."""
    with tempfile.NamedTemporaryFile(suffix=".vcf") as target:
        try:
            with gzip.open(path) as packed:
                shutil.copyfileobj(packed, target)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged gzip file ({error}); copy or download it again.") from None
        target.flush()
        yield Path(target.name)


def _variant_file(path: Path, plain: Path, head: bytes) -> Iterator[Any]:
    try:
        file = pysam.VariantFile(str(plain))
    except (OSError, ValueError):
        found = f" (it begins with {head!r})" if head else ""
        raise ValueError(
            f"{path} is not {_WHAT}, or its header is damaged{found}; expected '##fileformat=VCF…' as the first "
            f"line and '#CHROM…' as the last of the header."
        ) from None
    try:
        yield file
    except BaseException:
        with suppress(OSError):  # closing tells of the same damage once more
            file.close()
        raise
    try:
        file.close()
    except OSError:
        raise ValueError(f"{path} is damaged inside; copy or download it again.") from None


def _records(file: Any, path: Path, wanted: tuple[str, int, int] | None) -> Iterator[Any]:
    """Iterate over the file, or over a region through its index or without one."""
    records, number = file, 0
    mine: dict[str, bool] = {}
    if wanted is not None:
        chromosome, start, end = wanted
        exact = chromosome in file.header.contigs
        indexed = match_names(file.index or (), [chromosome])
        if indexed:
            records = file.fetch(indexed[chromosome], start, end)
    try:
        while (record := next(records, None)) is not None:  # iter() would seek, which plain gzip cannot
            number += 1
            if record.start < 0:
                raise ValueError(f"{path}, record {number}: POS is {record.pos}; expected at least 1.")
            if wanted is not None:
                name = record.chrom
                if name not in mine:
                    mine[name] = name == chromosome or (not exact and bool(match_names([name], [chromosome])))
                if not mine[name] or record.start >= end or record.start + len(record.ref or "") <= start:
                    continue
            yield record
    except OSError as error:
        raise ValueError(
            f"{path} is damaged after record {number} ({str(error).strip()}): the file is cut off, or the next "
            f"record is not of 8 tab-separated columns with a whole number as POS."
        ) from None
    if wanted is not None and not indexed and not match_names(contigs := list(file.header.contigs), [chromosome]):
        raise KeyError(
            f"{chromosome!r} is not in {path} ({len(contigs)} chromosomes: {', '.join(contigs[:3])}"
            f"{', …' if len(contigs) > 3 else ''})."
        )
