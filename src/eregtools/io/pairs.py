"""Tables of labelled enhancer–promoter pairs: TargetFinder, BENGI, ChIA-PET of EPIPAM, CRISPR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools._schema import listed
from eregtools.io._text import read_text, split_columns, to_numbers
from eregtools.io.gtf import strip_versions
from eregtools.io.links import CELL_TYPE, GENE, GENE_ID, POSITIVE, TSS, find_columns, read_crispr
from eregtools.io.tables import read_table

FROM_TABLE: Final = "table"
"""Origin of the pairs of a table that does not say any."""

PROMOTER: Final = ("Chromosome2", "Start2", "End2")
"""Columns of the promoter of a pair; those of its enhancer are :data:`~eregtools._keys.INTERVAL`."""

_SPELLINGS: Final[Mapping[str, Sequence[str]]] = {
    Var.chromosome: ("enhancerchrom", "enhchrom", "chrr1", "chromosome", "chrom", "chr"),
    Var.start: ("enhancerstart", "enhstart", "startr1", "start"),
    Var.end: ("enhancerend", "enhend", "endr1", "end"),
    "Chromosome2": ("promoterchrom", "promchrom", "chrr2", "chromosome2"),
    "Start2": ("promoterstart", "promstart", "startr2", "start2"),
    "End2": ("promoterend", "promend", "endr2", "end2"),
    Var.label: ("label", "positive"),
    CELL_TYPE: ("celltype", "cell", "biosample"),
    GENE: ("gene", "genename"),
    TSS: ("tss",),
}

_BENGI: Final = (Var.label, "distance", *INTERVAL, "enhancer_name", *PROMOTER, "promoter_name")

SHIFTS: Final = ((2_000, 2_000), (-2_000, -2_000), (0, 2_000), (-2_000, 0))
"""By how many bp the enhancer and the promoter of a positive pair are moved to give its four negatives in the ChIA-PET
tables of EPIPAM."""


def read_pairs(path: str | Path) -> pd.DataFrame:
    r"""Read a table of labelled enhancer–promoter pairs, plain or gzip.

    Parameters
    ----------
    path
        A table of TargetFinder, of BENGI (which has no header row), of the ChIA-PET pairs of EPIPAM, one that
        :func:`read_crispr` reads, or any whose columns are named as in one of these.

    Returns
    -------
    What :func:`name_pair_columns` makes of it, rows in the order of the file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A column is missing, or the file is empty.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "K562.csv"
    >>> columns = "enhancer_chrom,enhancer_start,enhancer_end,promoter_chrom,promoter_start,promoter_end,label"
    >>> _ = path.write_text(columns + "\nchr1,6454864,6455189,chr1,6613082,6615021,1\n")
    >>> er.io.read_pairs(path)
      Chromosome    Start      End Chromosome2   Start2     End2  label
    0       chr1  6454864  6455189        chr1  6613082  6615021      1
    """
    path = Path(path)
    lines = [line for line in read_text(path, "a table of labelled pairs").splitlines() if line.strip()]
    header = next((line for line in lines if not line.startswith("#")), lines[0])
    separator = "," if "," in header else "\t"
    columns = header.lstrip("#").strip().split(separator)
    if len(columns) == len(_BENGI) and columns[0] in ("0", "1"):
        frame, numbers = split_columns(path, "a BENGI table")
        for number, name in enumerate(_BENGI):
            if name in (Var.label, Var.start, Var.end, "Start2", "End2"):
                frame[number] = to_numbers(frame[number], numbers, path, name, whole=True)
        return name_pair_columns(frame, str(path))
    if not {Var.label, *PROMOTER} <= set(find_columns(columns, _SPELLINGS)) and _is_crispr(columns):
        return name_pair_columns(read_crispr(path), str(path))
    return name_pair_columns(read_table(path), str(path))


def name_pair_columns(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Pairs under our names, whoever wrote them; values are not checked.

    Parameters
    ----------
    table
        Pairs as :func:`read_pairs` finds them in a file.
    what
        Where they are from, for errors.

    Returns
    -------
    ``Chromosome``, ``Start``, ``End`` of the enhancer, ``Chromosome2``, ``Start2``, ``End2`` of the promoter (0-based
    half-open; of a pair that only has a TSS, the TSS), ``label``, and, as far as the table tells, ``cell_type``,
    ``gene``, ``gene_id``, ``tss`` and ``block`` (of ChIA-PET pairs: a positive pair and its shifted negatives); then
    the other columns as they are.

    Raises
    ------
    ValueError
        A column is missing.
    """
    if table.shape[1] == len(_BENGI) and list(table.columns) == list(range(len(_BENGI))):
        return _of_bengi(table.set_axis(list(_BENGI), axis=1))
    found = find_columns([str(name) for name in table.columns], _SPELLINGS)
    frame = table.rename(columns={column: name for name, column in found.items()})
    if not set(PROMOTER) & set(frame) and TSS in frame:
        tss = pd.to_numeric(frame[TSS], errors="coerce")
        frame = frame.assign(**dict(zip(PROMOTER, (frame.get(Var.chromosome), tss, tss + 1), strict=True)))
    if missing := [name for name in (*INTERVAL, *PROMOTER, Var.label) if name not in frame]:
        known = [name for name in _SPELLINGS if name in missing]
        shown = "; ".join(f"{name} (such as {_SPELLINGS[name][0]!r})" for name in known)
        raise ValueError(f"{what}: there is no column for {shown}; the table has {listed(table.columns, 12)}")
    if CELL_TYPE not in frame and "enhancer_name" in frame:
        frame[CELL_TYPE] = frame["enhancer_name"].astype(str).str.extract(r"^([^|:]+)\|", expand=False)
    if found[Var.chromosome].lower() == "chr_r1" and Var.block not in frame:
        frame = _with_blocks(frame)
    first = [*INTERVAL, *PROMOTER, Var.label]
    first += [name for name in (CELL_TYPE, GENE, GENE_ID, TSS, Var.block) if name in frame]
    return frame[first + [name for name in frame if name not in first]]


def _is_crispr(columns: Sequence[str]) -> bool:
    return any(name.lower().replace("_", "") in ("significant", "effectsize", POSITIVE) for name in columns)


def _of_bengi(frame: pd.DataFrame) -> pd.DataFrame:
    """BENGI: biosample and genes are in the names, ``TSS|GM12878|ENSG….10|ENST….5|+``."""
    parts = frame["promoter_name"].astype(str).str.split("|", expand=True)
    if parts.shape[1] > 2:
        frame = frame.assign(**{CELL_TYPE: parts[1], GENE_ID: strip_versions(parts[2])})
    return name_pair_columns(frame, "BENGI")


def _with_blocks(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the number of the block of a positive pair and its shifted negatives, where the table has such blocks."""
    positive = pd.to_numeric(frame[Var.label], errors="coerce").to_numpy() == 1
    block = np.cumsum(positive) - 1
    if not len(frame) or not positive[0]:
        return frame
    leader = np.flatnonzero(positive)[block]
    places = frame[[Var.start, "Start2"]].to_numpy()
    moved = places - places[leader]
    same = (frame[Var.chromosome].to_numpy() == frame[Var.chromosome].to_numpy()[leader]) | positive
    shifted = np.logical_or.reduce([(moved == shift).all(axis=1) for shift in SHIFTS])
    return frame.assign(**{Var.block: block}) if (positive | (shifted & same)).all() else frame
