"""Candidate loci where coverage rises above its background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from eregtools._keys import Var
from eregtools._logging import logger
from eregtools.coverage import Coverage
from eregtools.locus_signal import arm_length, informative_bins, masked_bins, runs

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SignalRules:
    """What a locus is, in coverage per million reads.

    Attributes
    ----------
    basal
        Coverage from which a bin belongs to a locus; ``None``: the mean of the sequence that is not masked.
    noise_p
        Share of the noise that reaches the summit of a locus, by a normal fit to the logarithm of its coverage.
    merge_gap
        Runs of bins at most so many bases apart are one locus.
    min_width
        Bases that a locus has at least.
    """

    basal: float | None
    noise_p: float
    merge_gap: int
    min_width: int


def loci_of_signal(coverage: Coverage, sample: str, mask: pd.DataFrame, rules: SignalRules) -> pd.DataFrame:
    """Loci of one sample: Chromosome, Start, End, center and the coverage per million at the summit.

    Masked bins belong to no locus and part what lies on either side.
    """
    basal, noise = _levels(coverage, sample, mask, rules)
    logger.info("%s: basal coverage %.4g, summits from %.4g per million reads", sample, basal, noise)
    found = []
    for chrom in coverage.chrom_sizes:
        if coverage.has(sample, chrom):
            values = coverage.per_million(sample, chrom)
            blocked = masked_bins(mask, chrom, values.shape[1], coverage.bin_size)
            found.append(_loci_of_chromosome(coverage, sample, chrom, values, blocked, (basal, noise), rules))
    return pd.concat(found, ignore_index=True)


def loci_of_tiles(coverage: Coverage, sample: str, mask: pd.DataFrame, hop: int) -> pd.DataFrame:
    """Tiles of ``hop`` bases that hold an informative bin outside the mask: Chromosome, Start, End and center."""
    found = []
    for chrom, size in coverage.chrom_sizes.items():
        if not coverage.has(sample, chrom):
            continue
        informative = informative_bins(coverage, sample, chrom)
        informative &= ~masked_bins(mask, chrom, len(informative), coverage.bin_size)
        start = np.unique(np.flatnonzero(informative) * coverage.bin_size // hop) * hop
        end = np.minimum(start + hop, size)
        tiles = {Var.chromosome: chrom, Var.start: start, Var.end: end, Var.center: (start + end) // 2}
        found.append(pd.DataFrame(tiles))
    return pd.concat(found, ignore_index=True)


def _levels(coverage: Coverage, sample: str, mask: pd.DataFrame, rules: SignalRules) -> tuple[float, float]:
    """Coverage from which a bin belongs to a locus, and from which a summit is no noise."""
    from scipy.stats import norm

    bins, total, covered, logs, squares = 0, 0.0, 0, 0.0, 0.0
    for chrom in coverage.chrom_sizes:
        if not coverage.has(sample, chrom):
            continue
        values = coverage.per_million(sample, chrom).sum(axis=0)
        free = values[~masked_bins(mask, chrom, len(values), coverage.bin_size)]
        logged = np.log10(free[free > 0], dtype=np.float64)
        bins, total, covered = bins + len(free), total + float(free.sum(dtype=np.float64)), covered + len(logged)
        logs, squares = logs + float(logged.sum()), squares + float((logged**2).sum())
    if not covered:
        raise ValueError(f"{sample} has no coverage outside the mask, so there are no candidate loci")
    mean = logs / covered
    deviation = math.sqrt(max(squares / covered - mean**2, 0.0))
    noise = 10 ** (mean + float(norm.isf(rules.noise_p)) * deviation)
    return (total / bins if rules.basal is None else rules.basal), noise


def _loci_of_chromosome(
    coverage: Coverage,
    sample: str,
    chrom: str,
    values: Floats,
    blocked: Bools,
    levels: tuple[float, float],
    rules: SignalRules,
) -> pd.DataFrame:
    total = values.sum(axis=0)
    first, last = runs((total >= levels[0]) & (total > 0) & ~blocked)
    if len(first):
        masked = np.concatenate([[0], np.cumsum(blocked)])
        between = masked[first[1:]] - masked[last[:-1]]
        apart = ((first[1:] - last[:-1]) * coverage.bin_size > rules.merge_gap) | (between > 0)
        first, last = first[np.concatenate([[True], apart])], last[np.concatenate([apart, [True]])]
    summit = np.maximum.reduceat(total, np.stack([first, last - 1], axis=1).reshape(-1))[::2] if len(first) else first
    summit = np.maximum(summit, total[last - 1]) if len(first) else summit
    kept = (summit >= levels[1] * (1 - 1e-6)) & ((last - first) * coverage.bin_size >= rules.min_width)
    first, last = first[kept], last[kept]
    half = arm_length(coverage, sample) // coverage.bin_size
    stranded = coverage.stranded(sample)
    centre = [_centre(values, a, b, half, stranded) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
    size = coverage.chrom_sizes[chrom]
    return pd.DataFrame(
        {
            Var.chromosome: np.full(len(first), chrom, dtype=object),
            Var.start: first * coverage.bin_size,
            Var.end: np.minimum(last * coverage.bin_size, size),
            Var.center: np.minimum((np.array(centre) * coverage.bin_size).astype(np.int64), size - 1),
            Var.summit_rpm: summit[kept].astype(np.float32),
        }
    )


def _centre(values: Floats, first: int, last: int, half: int, stranded: bool) -> float:
    """Where transcription departs to both sides, in bins; without strands the centre of gravity.

    At each edge of a bin: plus to its right and minus to its left, less plus to its left and minus to its right. Of
    equal edges the middle one is taken. A locus of one strand has its centre at its 5′ end.
    """
    if not stranded:
        within = values[:, first:last].sum(axis=0, dtype=np.float64)
        return float(((np.arange(first, last) + 0.5) * within).sum() / within.sum())
    low, high = max(first - half, 0), min(last + half, values.shape[1])
    summed = np.zeros((2, high - low + 1))
    np.cumsum(values[:, low:high], axis=1, dtype=np.float64, out=summed[:, 1:])
    edge = np.arange(first, last + 1) - low
    right = summed[:, np.minimum(edge + half, high - low)] - summed[:, edge]
    left = summed[:, edge] - summed[:, np.maximum(edge - half, 0)]
    departing = right[0] + left[1] - left[0] - right[1]
    best = np.flatnonzero(departing >= departing.max() - 1e-6 * max(1e-9, abs(departing).max()))
    return float(edge[best].mean() + low)
