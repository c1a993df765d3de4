"""Calls judged by known elements: which are found, which negatives are touched, and how near the centres are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools._logging import logger
from eregtools.locus_signal import locus_reads
from eregtools.ranges import overlapping_pairs, overlaps
from eregtools.tl._precision import interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage

    Floats = NDArray[np.float64]

WITHIN: Final = (50, 100, 200, 400)
"""Bases between centres within which calls are counted."""

RATES: Final = ("recall", "specificity", "precision", "f1", "f_pu")


@dataclass(frozen=True)
class Meetings:
    """Which calls meet which known elements, whatever the calls score.

    Attributes
    ----------
    call, positive
        Calls, and the positives that hold enough of them, of calls that touch no negative ``(n_pairs,)``.
    apart
        Bases between their centres ``(n_pairs,)``.
    touching, negative
        Calls and the negatives that they touch ``(n_touches,)``.
    n_positive, n_negative
        Known elements.
    """

    call: NDArray[np.int64]
    positive: NDArray[np.int64]
    apart: Floats
    touching: NDArray[np.int64]
    negative: NDArray[np.int64]
    n_positive: int
    n_negative: int

    @classmethod
    def of(cls, calls: pd.DataFrame, positives: pd.DataFrame, negatives: pd.DataFrame, min_overlap: float) -> Meetings:
        """Compare intervals with centres; ``min_overlap`` is the share of a call that lies in a positive."""
        touching, negative = overlapping_pairs(calls, negatives)
        call, positive = overlapping_pairs(calls, positives)
        start = np.maximum(_at(calls, Var.start, call), _at(positives, Var.start, positive))
        end = np.minimum(_at(calls, Var.end, call), _at(positives, Var.end, positive))
        width = _at(calls, Var.end, call) - _at(calls, Var.start, call)
        kept = ((end - start) >= min_overlap * width) & ~np.isin(call, touching)
        call, positive = call[kept], positive[kept]
        apart = np.abs(_at(calls, Var.center, call) - _at(positives, Var.center, positive)).astype(np.float64)
        return cls(call, positive, apart, touching, negative, len(positives), len(negatives))

    def best(self, score: Floats) -> tuple[Floats, Floats, Floats]:
        """Highest score of the calls in each positive and on each negative, −∞ where there is none.

        Returns
        -------
        ``(n_positive,)``, ``(n_negative,)``, and bases between the centres of each positive and its best call.
        """
        known = np.where(np.isnan(score), -np.inf, score)
        positive, negative = np.full(self.n_positive, -np.inf), np.full(self.n_negative, -np.inf)
        np.maximum.at(positive, self.positive, known[self.call])
        np.maximum.at(negative, self.negative, known[self.touching])
        apart = np.full(self.n_positive, np.inf)
        best = known[self.call] == positive[self.positive]
        np.minimum.at(apart, self.positive[best], self.apart[best])
        return positive, negative, apart


def _at(table: pd.DataFrame, column: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return table[column].to_numpy(np.int64)[rows]


def usable_negatives(
    negatives: pd.DataFrame, coverage: Coverage | None, sample: str, tss: pd.DataFrame | None, min_width: int
) -> pd.DataFrame:
    """Negatives that could have been called: wide enough, with reads, and not at a TSS.

    Parameters
    ----------
    negatives
        Intervals with centres.
    coverage, sample
        Reads; where strands are known, there is one on both. ``None``: not asked for.
    tss
        Chromosome and tss of genes, from which they are at least 500 bp away; ``None``: not asked for.
    min_width
        Least width in bp.

    Raises
    ------
    ValueError
        None is left.
    """
    width = (negatives[Var.end] - negatives[Var.start]).to_numpy()
    kept: dict[str, Any] = {f"at least {min_width} bp wide": width >= min_width}
    if coverage is not None:
        bounds = (negatives[Var.start].to_numpy(np.int64), negatives[Var.end].to_numpy(np.int64))
        reads = locus_reads(coverage, sample, negatives[Var.chromosome], *bounds)
        kept["with reads on the strands"] = (reads > 0).all(axis=0)
    if tss is not None:
        at = tss[Var.tss].to_numpy(np.int64)
        windows = pd.DataFrame(
            {Var.chromosome: tss[Var.chromosome].astype(object), Var.start: at - 500, Var.end: at + 501}
        )
        kept["500 bp from any TSS"] = ~overlaps(negatives[list(INTERVAL)], windows)
    good = np.logical_and.reduce(list(kept.values()))
    told = ", ".join(f"{rows.sum():,} {what}" for what, rows in kept.items())
    if not good.any():
        raise ValueError(f"negatives: none of {len(negatives):,} is left ({told})")
    logger.info("negatives: %d of %d are judged (%s)", good.sum(), len(negatives), told)
    return negatives[good].reset_index(drop=True)


def thresholds_of(best: Floats, n: int) -> Floats:
    """Falling scores at which about as many elements more are found each time ``(≤ n,)``."""
    finite = np.unique(best[np.isfinite(best)])[::-1]
    if len(finite) <= n:
        return finite
    return finite[np.unique(np.linspace(0, len(finite) - 1, n).round().astype(np.int64))]


def rates_at(
    threshold: float,
    best: tuple[Floats, Floats, Floats],
    group: tuple[NDArray[np.int64], NDArray[np.int64]],
    draws: NDArray[np.int64] | None,
    level: float,
) -> dict[str, Any]:
    """Rates of what scores at least a threshold, with intervals from draws of chromosomes, and centre distances."""
    positive, negative, apart = best
    found, false = positive >= threshold, negative >= threshold
    n_groups = int(max(group[0].max(initial=-1), group[1].max(initial=-1))) + 1
    counts = np.stack(
        [
            np.bincount(which, weights=weights, minlength=n_groups)
            for which, weights in (
                (group[0], found), (group[0], np.ones(len(found))), (group[1], false), (group[1], np.ones(len(false)))
            )
        ]
    )  # fmt: skip
    row: dict[str, Any] = {"threshold": threshold, "n_found": int(found.sum()), "n_false": int(false.sum())}
    whole = rates(*counts.sum(axis=1)[:, None])
    drawn = None if draws is None else rates(*(counts @ draws.T))
    for name in RATES:
        row[name] = float(whole[name][0])
        bounds = (np.nan, np.nan) if drawn is None else interval(drawn[name], level)
        row[f"{name}_low"], row[f"{name}_high"] = bounds
    near = apart[found]
    row["center_distance"] = float(np.median(near)) if len(near) else np.nan
    for limit in WITHIN:
        row[f"within_{limit}"] = float((near <= limit).mean()) if len(near) else np.nan
    return row


def rates(found: Floats, n_positive: Floats, false: Floats, n_negative: Floats) -> dict[str, Floats]:
    """Rates from numbers of positives and negatives and how many of each are called.

    ``f_pu`` is recall² / P(called), which needs no negatives that are certain (Lee and Liu 2003).

    Examples
    --------
    >>> found = rates(np.array([8.0]), np.array([10.0]), np.array([2.0]), np.array([40.0]))
    >>> {name: float(value[0]) for name, value in found.items()}
    {'recall': 0.8, 'specificity': 0.95, 'precision': 0.8, 'f1': 0.8, 'f_pu': 3.2}
    """
    recall, precision = _ratio(found, n_positive), _ratio(found, found + false)
    called = _ratio(found + false, n_positive + n_negative)
    return {
        "recall": recall,
        "specificity": 1 - _ratio(false, n_negative),
        "precision": precision,
        "f1": _ratio(2 * found, n_positive + found + false),
        "f_pu": np.round(_ratio(recall**2, called), 12),
    }


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)
