"""Reads of loci, and whether they are more than elsewhere in the genome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools.coverage import Coverage
from eregtools.genome import Genome
from eregtools.ranges import subtract

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_BLOCK = 1 << 20  # bins read at a time, which bounds the memory
_ROWS_AT_ONCE = 20_000
_DREG_LIBRARY = 20e6  # reads of a library for which the thresholds of dREG are taken as they are
_NEAR, _WIDE = 100, 1_000


def locus_reads(
    coverage: Coverage,
    sample: str,
    chroms: pd.Series | npt.NDArray[np.object_],
    starts: Integers,
    ends: Integers,
    *,
    labelled: bool = False,
) -> Floats:
    """Count the reads of one sample over intervals, by strand.

    Parameters
    ----------
    coverage
        The store.
    sample
        Name of the sample.
    chroms, starts, ends
        0-based half-open intervals ``(n,)``, in any order; what reaches over an end of the chromosome has no reads.
    labelled
        Take the strands as the files label them, whatever is known of them.

    Returns
    -------
    Summed coverage over the read length, float64 ``(2, n)``: plus, minus. Bases of a bin share its coverage evenly.
    Where the strand is not known both hold one half.
    """
    out = np.zeros((2, len(starts)))
    starts, ends = np.asarray(starts, dtype=np.int64), np.asarray(ends, dtype=np.int64)
    names = pd.Series(np.asarray(chroms, dtype=object))
    for chrom, rows in names.groupby(names, sort=False).indices.items():
        for block, first, last in _blocks(np.asarray(rows), starts, ends, coverage.bin_size):
            values = coverage.values(sample, str(chrom), first, last, labelled=labelled)
            summed = np.zeros((2, values.shape[1] + 1))
            np.cumsum(values, axis=1, dtype=np.float64, out=summed[:, 1:])
            for strand in (0, 1):
                upto = [_integral(summed[strand], at[block] - first, coverage.bin_size) for at in (starts, ends)]
                out[strand, block] = upto[1] - upto[0]
    return np.maximum(out, 0) * (coverage.bin_size / coverage.read_length(sample))


def _integral(summed: Floats, at: Integers, bin_size: int) -> Floats:
    """Sum of the bins up to a base, in units of whole bins."""
    whole, rest = np.divmod(at, bin_size)
    following = np.minimum(whole + 1, len(summed) - 1)
    return summed[whole] + (summed[following] - summed[whole]) * (rest / bin_size)


def _blocks(
    rows: npt.NDArray[np.intp], starts: Integers, ends: Integers, bin_size: int
) -> Iterator[tuple[npt.NDArray[np.intp], int, int]]:
    """Intervals that are read together, and the whole bins that hold them."""
    ordered = rows[np.argsort(starts[rows], kind="stable")]
    number = starts[ordered] // (_BLOCK * bin_size)
    for block in np.split(ordered, np.flatnonzero(np.diff(number)) + 1):
        yield block, int(starts[block[0]]) // bin_size * bin_size, -(-int(ends[block].max()) // bin_size) * bin_size


def free_sequence(chrom_sizes: dict[str, int], blocked: pd.DataFrame | None) -> pd.DataFrame:
    """Parts of the chromosomes that none of the ``blocked`` regions covers: Chromosome, Start, End."""
    whole = pd.DataFrame({Var.chromosome: list(chrom_sizes), Var.start: 0, Var.end: list(chrom_sizes.values())})
    if blocked is None or blocked.empty:
        return whole
    return subtract(whole, blocked[list(INTERVAL)])[0]


def random_positions(free: pd.DataFrame, n: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.object_], Integers]:
    """Positions drawn evenly from regions: chromosomes and positions ``(n,)``."""
    length = (free[Var.end] - free[Var.start]).to_numpy()
    if not length.sum():
        raise ValueError("there is no sequence left to draw a background from; the mask covers all of it")
    upto = np.cumsum(length)
    at = rng.integers(0, upto[-1], n)
    row = np.searchsorted(upto, at, side="right")
    chroms = free[Var.chromosome].to_numpy(dtype=object)[row]
    return chroms, free[Var.start].to_numpy()[row] + at - (upto - length)[row]


def empirical_p(values: Floats, background: Floats) -> Floats:
    """Share of the background that is at least as large, one counted in: (1 + #{background ≥ value}) / (1 + n)."""
    ordered = np.sort(background)
    above = len(ordered) - np.searchsorted(ordered, values, side="left")
    p: Floats = (1 + above) / (1 + len(ordered))
    return p


def background_p(
    coverage: Coverage,
    sample: str,
    widths: Integers,
    reads: Floats,
    free: pd.DataFrame,
    n_background: int,
    rng: np.random.Generator,
) -> Floats:
    """Empirical p of the reads of loci against windows of like width elsewhere.

    Parameters
    ----------
    coverage, sample
        Whose reads.
    widths, reads
        Width in bp and reads of each locus ``(n,)``.
    free
        Sequence to draw the background from, of :func:`free_sequence`, on chromosomes that have coverage.
    n_background
        Windows of each width; the widths of loci are taken by their powers of √2.
    rng
        Source of randomness.

    Returns
    -------
    float64 ``(n,)``. Windows around the same positions serve for every width.
    """
    chroms, centres = random_positions(free, n_background, rng)
    p = np.ones(len(widths))
    classes = np.rint(2 * np.log2(np.maximum(widths, 1))).astype(np.int64)
    for one in np.unique(classes):
        rows = np.flatnonzero(classes == one)
        width = int(np.median(widths[rows]))
        starts = centres - width // 2
        around = locus_reads(coverage, sample, chroms, starts, starts + width).sum(axis=0)
        p[rows] = empirical_p(reads[rows] * (width / widths[rows]), around)
    return p


def arm_length(coverage: Coverage, sample: str) -> int:
    """Bases on either side of a locus' centre in which its strands are compared: reads spread along the transcript."""
    return 200 if coverage.about(sample).get("signal") == "ends" else 500


def informative_bins(
    coverage: Coverage, sample: str, chrom: str, start: int = 0, end: int | None = None
) -> npt.NDArray[np.bool_]:
    """Bins around which there is enough signal to look for a locus.

    Parameters
    ----------
    coverage, sample, chrom
        The chromosome of a sample.
    start, end
        Part of it, multiples of the bin size; it may reach over the ends of the chromosome. ``None``: to its end.

    Returns
    -------
    bool ``(n_bins,)``: more than 2 reads on either strand in the 100 bp around the bin, or at least 1 on both strands
    in the 1,000 bp around it; in libraries of more than 20 million reads, as many per 20 million.

    Notes
    -----
    The informative sites of dREG (Danko et al. 2015).
    """
    bin_size = coverage.bin_size
    if end is None:
        end = -(-coverage.chrom_sizes[chrom] // bin_size) * bin_size
    beyond = _half(_WIDE, bin_size)
    values = coverage.values(sample, chrom, start - beyond * bin_size, end + beyond * bin_size)
    reads = values * np.float32(bin_size / coverage.read_length(sample))
    scale = max(1.0, coverage.library_size(sample) / _DREG_LIBRARY)
    near = _around(reads, _NEAR, bin_size)
    wide = _around(reads, _WIDE, bin_size)
    found = np.asarray((near > 2 * scale).any(axis=0) | (wide >= scale).all(axis=0))
    return found[beyond : len(found) - beyond]


def masked_bins(mask: pd.DataFrame, chrom: str, bins: int, bin_size: int, first: int = 0) -> npt.NDArray[np.bool_]:
    """Which of ``bins`` bins of a chromosome, from the bin ``first`` on, touch the mask."""
    change = np.zeros(bins + 1, dtype=np.int32)
    rows = mask[(mask[Var.chromosome] == chrom).to_numpy()]
    begin = rows[Var.start].to_numpy() // bin_size - first
    stop = -(-rows[Var.end].to_numpy() // bin_size) - first
    here = (stop > 0) & (begin < bins)
    np.add.at(change, np.maximum(begin[here], 0), 1)
    np.add.at(change, np.minimum(stop[here], bins), -1)
    touched: npt.NDArray[np.bool_] = np.cumsum(change[:-1]) > 0
    return touched


def runs(found: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First bin of each run, and the bin after its last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(np.int8))).astype(np.int64)
    return edges[::2], edges[1::2]


def _around(reads: npt.NDArray[np.float32], width: int, bin_size: int) -> Floats:
    """Sum over the bins within ``width`` bases, centred on each."""
    half = _half(width, bin_size)
    summed = np.zeros((len(reads), reads.shape[1] + 1))
    np.cumsum(reads, axis=1, dtype=np.float64, out=summed[:, 1:])
    place = np.arange(reads.shape[1])
    upto = np.minimum(place + half, reads.shape[1])
    # sums of thirds and the like come back from the running sum with an error in the last digits
    return np.round(summed[:, upto] - summed[:, np.maximum(place - half, 0)], 6)


def _half(width: int, bin_size: int) -> int:
    return max(1, round(width / bin_size / 2))


def gc_around(genome: Genome, chroms: Iterable[str], centres: npt.ArrayLike, width: int) -> Floats:
    """Share of G and C among the bases around each centre ``(n,)``; NaN where a base is not known."""
    names, starts = list(chroms), np.asarray(centres, dtype=np.int64) - width // 2
    share = np.empty(len(names))
    for first in range(0, len(names), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        codes = genome.codes(names[rows], starts[rows], width)
        share[rows] = np.where((codes > 3).any(axis=1), np.nan, ((codes == 1) | (codes == 2)).mean(axis=1))
    return share
