"""Coverage of whole chromosomes in bins, from bigWig and BAM files."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pysam

from eregtools.io import bam, bigwig
from eregtools.io._regions import match_chromosomes

Floats: TypeAlias = npt.NDArray[np.float32]

_SPAN = 1 << 20  # bases read at a time, which bounds the memory


@dataclass(frozen=True)
class TrackBins:
    """One chromosome of a bigWig file.

    Attributes
    ----------
    mean
        Mean of the bases of each bin, float32 ``(n_bins,)``; a base without a value counts as 0.
    lowest, highest
        Extreme values of the file on the chromosome.
    whole
        Whether all values are whole numbers.
    """

    mean: Floats
    lowest: float
    highest: float
    whole: bool


@dataclass(frozen=True)
class ReadBins:
    """One chromosome of a BAM file.

    Attributes
    ----------
    mean
        Mean depth of each bin on the plus and on the minus strand, float32 ``(2, n_bins)``.
    reads
        Alignments that begin on the chromosome.
    bases
        Bases that these are aligned to.
    """

    mean: Floats
    reads: int
    bases: int


def bigwig_bins(path: str | Path, chrom: str, bin_size: int) -> TrackBins:
    """Mean of a bigWig file over each bin of a chromosome.

    Parameters
    ----------
    path
        The bigWig file.
    chrom
        Chromosome, with or without ``chr``.
    bin_size
        Bases of a bin; the last one may reach over the end of the chromosome, where there is nothing.

    Returns
    -------
    The bins.

    Raises
    ------
    KeyError
        The chromosome is not in the file.
    ValueError
        The file is no bigWig file, truncated, or holds infinite values.

    Notes
    -----
    Runs of equal values are read and integrated; asking for each bin is two thousand times slower.

    Examples
    --------
    >>> import tempfile
    >>> import pyBigWig
    >>> path = Path(tempfile.mkdtemp()) / "toy.bw"
    >>> file = pyBigWig.open(str(path), "w")
    >>> file.addHeader([("chr1", 20)])
    >>> file.addEntries(["chr1"], [4], ends=[12], values=[2.0])
    >>> file.close()
    >>> bigwig_bins(path, "chr1", 8).mean
    array([1., 1., 0.], dtype=float32)
    """
    with bigwig._opened(path, bigwig._PyBigWig) as file:
        sizes = file.sizes()
        name = match_chromosomes(path, sizes, [chrom])[chrom]
        mean = np.zeros(-(-sizes[name] // bin_size), dtype=np.float32)
        lowest, highest, whole = 0.0, 0.0, True
        for start, end in _spans(sizes[name], bin_size):
            runs = np.array(file.intervals(name, start, end), dtype=np.float64).reshape(-1, 3)
            runs = runs[~np.isnan(runs[:, 2])]
            if not len(runs):
                continue
            value = runs[:, 2]
            if np.isinf(value).any():
                raise ValueError(f"{path} holds infinite values on {name}; it was not written as coverage")
            lowest, highest = min(lowest, float(value.min())), max(highest, float(value.max()))
            whole = whole and bool((value == np.rint(value)).all())
            mean[start // bin_size : -(-end // bin_size)] = _integrated(runs, start, end, bin_size) / bin_size
    return TrackBins(mean, lowest, highest, whole)


def bam_bins(
    path: str | Path,
    chrom: str,
    bin_size: int,
    *,
    ends: bool = False,
    min_mapq: int = 0,
    exclude_flags: int = bam.EXCLUDED_FLAGS,
) -> ReadBins:
    """Depth of a BAM file over each bin of a chromosome, by strand.

    A read counts on the strand that it is sequenced from; the second mate of a pair on the other one. Introns and
    deletions are not covered.

    Parameters
    ----------
    path
        The BAM file, sorted by coordinate; its index as for :func:`eregtools.io.bam_counts`.
    chrom
        Chromosome, with or without ``chr``.
    bin_size
        Bases of a bin.
    ends
        Count only the base at the 5′ end of each read, of the first mate where there are two.
    min_mapq, exclude_flags
        As for :func:`eregtools.io.bam_counts`.

    Returns
    -------
    The bins; with ``ends`` each read has one base.

    Raises
    ------
    KeyError
        The chromosome is not in the file.
    ValueError
        The file is no BAM file, truncated or not sorted.
    """
    with bam._opened(path) as file:
        sizes = dict(zip(file.references, file.lengths, strict=True))
        name = match_chromosomes(path, sizes, [chrom])[chrom]
        mean = np.zeros((2, -(-sizes[name] // bin_size)), dtype=np.float32)
        reads = bases = 0
        for start, end in _spans(sizes[name], bin_size):
            found = bam._alignments(file, name, start, end, min_mapq, exclude_flags)
            bounds, begun, length = _blocks(found, start, ends)
            reads, bases = reads + begun, bases + length
            into = slice(start // bin_size, -(-end // bin_size))
            for strand, of_strand in enumerate(bounds):
                if of_strand:
                    mean[strand, into] = _depth_sums(of_strand, start, end, bin_size) / bin_size
    return ReadBins(mean, reads, bases)


def _spans(size: int, bin_size: int) -> Iterator[tuple[int, int]]:
    """Stretches of whole bins; the last ends where the chromosome does."""
    step = bin_size * max(1, _SPAN // bin_size)
    for start in range(0, size, step):
        yield start, min(start + step, size)


def _integrated(runs: npt.NDArray[np.float64], start: int, end: int, bin_size: int) -> npt.NDArray[np.float64]:
    """Sum over the bases of each bin of sorted runs ``(start, end, value)`` that do not overlap."""
    knots = runs[:, :2].clip(start, end)
    gained = np.zeros(knots.size)
    gained[1::2] = (knots[:, 1] - knots[:, 0]) * runs[:, 2]
    edges = np.minimum(np.arange(start, end + bin_size, bin_size), end)
    return np.diff(np.interp(edges, knots.reshape(-1), np.cumsum(gained)))


def _blocks(reads: Iterator[pysam.AlignedSegment], start: int, ends: bool) -> tuple[tuple[Any, Any], int, int]:
    """Aligned blocks of both strands, and number and bases of the reads that begin at ``start`` or later."""
    bounds = (array("q"), array("q"))
    begun = length = 0
    for read in reads:
        second = read.is_read2
        if ends and second:
            continue
        strand = int(read.is_reverse != second)
        if ends:
            place = (read.reference_end or 1) - 1 if read.is_reverse else read.reference_start
            blocks = [(place, place + 1)]
        else:
            blocks = read.get_blocks()
        for block in blocks:
            bounds[strand].extend(block)
        if read.reference_start >= start:
            begun += 1
            length += sum(stop - first for first, stop in blocks)
    return bounds, begun, length


def _depth_sums(bounds: Any, start: int, end: int, bin_size: int) -> npt.NDArray[np.float64]:
    """Sum of the depth over the bases of each bin."""
    width = -(-(end - start) // bin_size) * bin_size
    begin, stop = np.frombuffer(bounds, dtype=np.int64).reshape(-1, 2).clip(start, end).T - start
    change = np.bincount(begin, minlength=width + 1) - np.bincount(stop, minlength=width + 1)
    sums: npt.NDArray[np.float64] = np.cumsum(change[:-1]).reshape(-1, bin_size).sum(axis=1).astype(np.float64)
    return sums
