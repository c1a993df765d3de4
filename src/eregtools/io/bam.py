"""Reads of BAM files over regions."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pysam

from eregtools._bgzf import check_bgzf_end
from eregtools._logging import logger
from eregtools._settings import settings
from eregtools.io._regions import Integers, check_regions, match_chromosomes, to_regions

EXCLUDED_FLAGS = pysam.FUNMAP | pysam.FSECONDARY | pysam.FQCFAIL | pysam.FDUP | pysam.FSUPPLEMENTARY
"""SAM flags of alignments that are not counted: 4, 256, 512, 1024 and 2048, together 3844."""

_GAP = 16_384  # the linear index of .bai has this step: nearer regions are read together
_SPAN = 4 << 20  # bases read at a time, which bounds the memory
_BAI_LIMIT = 1 << 29  # longest chromosome of a .bai index


def bam_counts(
    path: str | Path,
    chroms: str | Sequence[str] | npt.ArrayLike,
    starts: npt.ArrayLike,
    ends: npt.ArrayLike,
    *,
    min_mapq: int = 0,
    exclude_flags: int = EXCLUDED_FLAGS,
) -> Integers:
    """Count the reads of a BAM file over regions.

    An alignment counts once for each region that it overlaps by at least one base, from the first to the last
    base that it is aligned to (introns and deletions in between included); the two mates of a pair count each.

    Parameters
    ----------
    path
        The BAM file, sorted by coordinate. A missing or outdated index is built: beside the file, or in
        ``settings.cache_dir`` where that folder cannot be written.
    chroms
        Chromosome of each region ``(n,)``, with or without ``chr``, or one for all of them.
    starts, ends
        0-based half-open intervals ``(n,)``, in any order; they may overlap.
    min_mapq
        Alignments of a lower mapping quality do not count.
    exclude_flags
        Alignments with any of these SAM flags do not count: by default unmapped, secondary, supplementary,
        duplicate and failed ones (3844).

    Returns
    -------
    int64 array ``(n,)`` in the order of the regions. Regions on chromosomes that the file does not have are 0,
    with one warning that counts them.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    KeyError
        None of the chromosomes is in the file.
    ValueError
        The file is no BAM file, truncated or not sorted; a region is empty or not on its chromosome.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pysam
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.bam"
    >>> with pysam.AlignmentFile(str(path), "wb", reference_names=["chr1"], reference_lengths=[100]) as file:
    ...     read = pysam.AlignedSegment(file.header)
    ...     read.query_name, read.reference_id, read.reference_start, read.cigarstring = "r1", 0, 10, "5M"
    ...     _ = file.write(read)
    >>> er.io.bam_counts(path, "chr1", [0, 14, 15], [20, 20, 20])
    array([1, 1, 0])
    """
    names, start, end = to_regions(chroms, starts, ends)
    out = np.zeros(len(start), dtype=np.int64)
    groups = {str(name): rows for name, rows in names.groupby(names, sort=False).indices.items()}
    if not groups:
        return out
    with _opened(path) as file:
        sizes = dict(zip(file.references, file.lengths, strict=True))
        matched = match_chromosomes(path, sizes, list(groups))
        for name, other in matched.items():
            rows = groups[name]
            check_regions(path, name, start[rows], end[rows], sizes[other])
            out[rows] = _chromosome_counts(file, other, start[rows], end[rows], min_mapq, exclude_flags)
    if absent := {name: len(rows) for name, rows in groups.items() if name not in matched}:
        logger.warning(
            "%d of %d regions lie on chromosomes that %s does not have (%s%s); their count is 0.",
            sum(absent.values()),
            len(start),
            path,
            ", ".join(list(absent)[:3]),
            ", …" if len(absent) > 3 else "",
        )
    return out


def bam_coverage(
    path: str | Path,
    chrom: str,
    start: int,
    end: int,
    *,
    min_mapq: int = 0,
    exclude_flags: int = EXCLUDED_FLAGS,
) -> npt.NDArray[np.float32]:
    """Depth of each base of one region.

    Parameters
    ----------
    path
        The BAM file, sorted by coordinate; its index as for :func:`bam_counts`.
    chrom
        Chromosome, with or without ``chr``.
    start, end
        0-based half-open interval on the chromosome.
    min_mapq, exclude_flags
        As for :func:`bam_counts`.

    Returns
    -------
    float32 array ``(end - start,)``: alignments with a base at the position. Introns and deletions are not
    covered, as in ``samtools depth``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    KeyError
        The chromosome is not in the file.
    ValueError
        The region does not lie on the chromosome, or the file is no BAM file, truncated or not sorted.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pysam
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.bam"
    >>> with pysam.AlignmentFile(str(path), "wb", reference_names=["chr1"], reference_lengths=[100]) as file:
    ...     read = pysam.AlignedSegment(file.header)
    ...     read.query_name, read.reference_id, read.reference_start, read.cigarstring = "r1", 0, 10, "5M"
    ...     _ = file.write(read)
    >>> er.io.bam_coverage(path, "chr1", 8, 18)
    array([0., 0., 1., 1., 1., 1., 1., 0., 0., 0.], dtype=float32)
    """
    with _opened(path) as file:
        sizes = dict(zip(file.references, file.lengths, strict=True))
        name = match_chromosomes(path, sizes, [chrom])[chrom]
        check_regions(path, chrom, np.array([start]), np.array([end]), sizes[name])
        bounds = array("q")
        for read in _alignments(file, name, start, end, min_mapq, exclude_flags):
            for block in read.get_blocks():
                bounds.extend(block)
    begin, stop = np.frombuffer(bounds, dtype=np.int64).reshape(-1, 2).clip(start, end).T - start
    change = np.bincount(begin, minlength=end - start + 1) - np.bincount(stop, minlength=end - start + 1)
    depth: npt.NDArray[np.float32] = np.cumsum(change[:-1]).astype(np.float32)
    return depth


def bam_total(path: str | Path, *, min_mapq: int = 0, exclude_flags: int = EXCLUDED_FLAGS) -> int:
    """Count the mapped reads of a BAM file, by which counts become reads per million.

    Parameters
    ----------
    path
        The BAM file; it needs no index.
    min_mapq, exclude_flags
        As for :func:`bam_counts`; by default each mapped read counts once, by its primary alignment.

    Returns
    -------
    Number of alignments.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no BAM file, or truncated.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pysam
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.bam"
    >>> with pysam.AlignmentFile(str(path), "wb", reference_names=["chr1"], reference_lengths=[100]) as file:
    ...     read = pysam.AlignedSegment(file.header)
    ...     read.query_name, read.reference_id, read.reference_start, read.cigarstring = "r1", 0, 10, "5M"
    ...     _ = file.write(read)
    >>> er.io.bam_total(path)
    1
    """
    path = Path(path).expanduser()
    _check_file(path)
    try:
        return int(str(pysam.view("-c", "-F", str(exclude_flags), "-q", str(min_mapq), str(path))))
    except (pysam.SamtoolsError, ValueError) as error:
        raise ValueError(f"{path} is a damaged BAM file ({_first_line(error)}); copy or download it again.") from None


# ---------------------------------------------------------------------------------------------------------
# Regions


def _alignments(
    file: Any, chrom: str, start: int, end: int, min_mapq: int, exclude_flags: int
) -> Iterator[pysam.AlignedSegment]:
    for read in file.fetch(chrom, start, end):
        if not read.flag & exclude_flags and read.mapping_quality >= min_mapq:
            yield read


def _chromosome_counts(
    file: Any, chrom: str, starts: Integers, ends: Integers, min_mapq: int, exclude_flags: int
) -> Integers:
    """Count over regions of one chromosome: neighbours are read together, each span once."""
    counts = np.zeros(len(starts), dtype=np.int64)
    for rows, first, last in _spans(starts, ends):
        begins, stops = array("q"), array("q")
        for read in _alignments(file, chrom, first, last, min_mapq, exclude_flags):
            if (stop := read.reference_end) is not None:
                begins.append(read.reference_start)
                stops.append(stop)
        begin, stop_at = np.sort(np.frombuffer(begins, dtype=np.int64)), np.sort(np.frombuffer(stops, dtype=np.int64))
        # those that begin before the region ends, less those that have ended before it begins
        counts[rows] = np.searchsorted(begin, ends[rows], "left") - np.searchsorted(stop_at, starts[rows], "right")
    return counts


def _spans(starts: Integers, ends: Integers) -> Iterator[tuple[npt.NDArray[np.intp], int, int]]:
    """Rows of regions that are read together, and the span that holds them."""
    order = np.argsort(starts, kind="stable")
    rows: list[int] = []
    first = last = 0
    for row, start, end in zip(order.tolist(), starts[order].tolist(), ends[order].tolist(), strict=True):
        if rows and (start > last + _GAP or end - first > _SPAN):
            yield np.array(rows), first, last
            rows = []
        if not rows:
            first, last = start, end
        rows.append(row)
        last = max(last, end)
    if rows:
        yield np.array(rows), first, last


# ---------------------------------------------------------------------------------------------------------
# The file and its index


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected a BAM file.")
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"CRAM":
        raise ValueError(f"{path} is a CRAM file; expected BAM: samtools view -b -T REFERENCE -o out.bam {path.name}")
    magic = b""
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as unpacked:
                magic = unpacked.read(4)
        except (OSError, EOFError):
            magic = b"BAM\x01" if path.suffix == ".bam" else b""  # cut inside its first block
    if magic != b"BAM\x01":
        raise ValueError(f"{path} is not a BAM file (it begins with {head!r}); for SAM: samtools sort -o out.bam")
    check_bgzf_end(path)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).replace("\\n", "\n").splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """Handle for one call: one opened before a fork shares its file position with the parent."""
    path = Path(path).expanduser()
    _check_file(path)
    index = find_index(path)
    try:
        with pysam.AlignmentFile(str(path), "rb", index_filename=str(index)) as file:
            yield file
    except OSError as error:
        raise ValueError(f"{path} is a damaged BAM file ({_first_line(error)}); copy or download it again.") from error


def find_index(path: Path) -> Path:
    """Index of a BAM file: beside it unless it is older, else in the cache, else built."""
    status = path.stat()
    outdated = None
    for candidate in (f"{path}.bai", f"{path}.csi", path.with_suffix(".bai"), path.with_suffix(".csi")):
        beside = Path(candidate)
        if beside.is_file():
            if beside.stat().st_mtime_ns >= status.st_mtime_ns:
                return beside
            outdated = beside
    key = hashlib.sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    with pysam.AlignmentFile(str(path), "rb") as file:
        long = max(file.lengths, default=0) >= _BAI_LIMIT
    suffix = ".csi" if long else ".bai"
    cached = settings.cache_dir / "indices" / f"{path.name}.{key}{suffix}"
    if cached.is_file():
        return cached
    if outdated is not None:  # somebody else's file is not written over
        logger.warning("The index %s is older than %s; one is built in %s.", outdated, path.name, cached.parent)
        places = [cached]
    else:
        places = [Path(f"{path}{suffix}"), cached]
    refused: list[str] = []
    for place in places:
        try:
            return _build_index(path, place)
        except OSError as error:
            refused.append(f"{place.parent}: {error.strerror or error}")
    raise OSError(
        f"{path} has no {'current ' if outdated else ''}index and none can be written ({'; '.join(refused)}). Set "
        f"settings.cache_dir to a folder that can be written, or run samtools index."
    )


def _build_index(path: Path, target: Path) -> Path:
    """Write an index under a temporary name and rename it, so that no other process sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    temporary.touch(exist_ok=False)  # OSError where the folder cannot be written
    verbosity = pysam.set_verbosity(0)  # htslib writes to stderr what the error below says
    try:
        pysam.index(*(["-c"] if target.suffix == ".csi" else ["-b"]), "-o", str(temporary), str(path))
        temporary.replace(target)
    except pysam.SamtoolsError as error:
        if unsorted := _first_unsorted(path):
            raise ValueError(
                f"{path} is not sorted by coordinate ({unsorted}); run: samtools sort -o sorted.bam {path.name}"
            ) from None
        raise ValueError(
            f"{path} cannot be indexed ({_first_line(error)}); it may be damaged: copy or download it again."
        ) from None
    finally:
        pysam.set_verbosity(verbosity)
        temporary.unlink(missing_ok=True)
    return target


def _first_unsorted(path: Path) -> str:
    """First alignment that is out of order, in words; empty where the file is sorted as far as it can be read."""
    last = (0, -1)
    try:
        with pysam.AlignmentFile(str(path), "rb") as file:
            for read in file.fetch(until_eof=True):
                # alignments without a chromosome come last
                place = (read.reference_id if read.reference_id >= 0 else 1 << 31, read.reference_start)
                if place < last:
                    return (
                        f"read {read.query_name!r} at {read.reference_name}:{read.reference_start + 1} is out of order"
                    )
                last = place
    except OSError:
        pass
    return ""
