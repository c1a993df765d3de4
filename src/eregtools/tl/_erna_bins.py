"""The genome in bins, labelled by known loci and scored by calls or tracks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools.io import bigwig
from eregtools.ranges import merge_touching, overlapping_pairs, overlaps
from eregtools.tl._erna_truth import ScoredLoci

if TYPE_CHECKING:
    from numpy.typing import NDArray

BIN: Final = 200
"""Width of a bin in bp, as in the ENCODE-DREAM challenge and maxATAC."""


def genome_bins(chrom_sizes: Mapping[str, int], chromosomes: Iterable[str]) -> pd.DataFrame:
    """Bins of whole chromosomes with their centres; what is left at an end is no bin."""
    parts = []
    for chrom in chromosomes:
        start = np.arange(0, chrom_sizes[chrom] - BIN + 1, BIN, dtype=np.int64)
        parts.append(pd.DataFrame({Var.chromosome: chrom, Var.start: start, Var.end: start + BIN}))
    bins = pd.concat(parts, ignore_index=True)
    return bins.assign(**{Var.center: bins[Var.start] + BIN // 2})


def bin_labels(
    bins: pd.DataFrame,
    positives: pd.DataFrame,
    negatives: pd.DataFrame | None,
    masked: pd.DataFrame,
    min_overlap: float,
) -> NDArray[np.float64]:
    """1 where a share of the bin lies in positives, 0 where nothing does, NaN between, in masks, outside negatives."""
    union, _ = merge_touching(positives[list(INTERVAL)])
    rows, known = overlapping_pairs(bins, union)
    start = np.maximum(bins[Var.start].to_numpy()[rows], union[Var.start].to_numpy()[known])
    end = np.minimum(bins[Var.end].to_numpy()[rows], union[Var.end].to_numpy()[known])
    covered = np.bincount(rows, weights=end - start, minlength=len(bins)) / BIN
    label = np.where(covered >= min_overlap, 1.0, np.where(covered == 0, 0.0, np.nan))
    if negatives is not None:
        label[(label == 0) & ~overlaps(bins, negatives)] = np.nan
    label[overlaps(bins, masked)] = np.nan
    return label


def bin_scores(bins: pd.DataFrame, calls: ScoredLoci) -> dict[str, NDArray[np.float64]]:
    """Highest score of the calls in each bin ``{predictor: (n_bins,)}``; bins without one are below every call."""
    rows, of = overlapping_pairs(bins, calls.table)
    found = {}
    for name, score in calls.scores.items():
        known = np.where(np.isnan(score), -np.inf, score)
        best = np.full(len(bins), -np.inf)
        np.maximum.at(best, rows, known[of])
        finite = best[np.isfinite(best)]
        lowest = min(0.0, finite.min() - 1) if len(finite) and finite.min() <= 0 else 0.0
        found[name] = np.where(np.isfinite(best), best, lowest)
    return found


def track_scores(bins: pd.DataFrame, tracks: Mapping[str, str | Path]) -> dict[str, NDArray[np.float64]]:
    """Highest value of bigWig files in each bin; 0 where a file has none."""
    columns = [bins[name].to_numpy() for name in INTERVAL]
    return {
        name: bigwig.region_values(path, *columns, statistic="max", missing="zero") for name, path in tracks.items()
    }
