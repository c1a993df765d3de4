"""Precision and recall of scores of labelled pairs, and how they vary when genes are drawn anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_AT_ONCE: Final = 2_000_000
"""Numbers in one array of the bootstrap."""


@dataclass(frozen=True)
class Ranking:
    """Order of scores, the highest first.

    Attributes
    ----------
    order
        Rows by falling score ``(n,)``.
    last
        Place in ``order`` of the last row of each distinct score ``(n_distinct,)``.
    thresholds
        The distinct scores, falling ``(n_distinct,)``.
    """

    order: NDArray[np.int64]
    last: NDArray[np.int64]
    thresholds: Floats

    @classmethod
    def of(cls, score: Floats) -> Ranking:
        """Rank scores; NaN stands below every number, and all NaN are one tie."""
        known = np.where(np.isnan(score), -np.inf, score)
        order = np.argsort(-known, kind="stable")
        ordered = known[order]
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)])
        return cls(order, last, ordered[last])


def precision_recall(positive: NDArray[np.bool_], score: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision and recall of the pairs that score at least as much as each threshold.

    Parameters
    ----------
    positive
        Labels ``(n,)``, at least one of them true.
    score
        Scores ``(n,)``, higher = stronger; NaN is below every number.

    Returns
    -------
    Precision, recall and threshold, each ``(n_distinct_scores,)``, by falling threshold; that of pairs without a
    score is −∞.

    Examples
    --------
    >>> precision_recall(np.array([True, False, True]), np.array([0.9, 0.5, 0.5]))
    (array([1.        , 0.66666667]), array([0.5, 1. ]), array([0.9, 0.5]))
    """
    ranking = Ranking.of(score)
    found = np.cumsum(positive[ranking.order])[ranking.last].astype(np.float64)
    return found / (ranking.last + 1), found / found[-1], ranking.thresholds


def average_precision(positive: NDArray[np.bool_], ranking: Ranking, weights: Floats) -> Floats:
    """Average precision, ``Σ (recall change) · precision`` over the distinct scores, as scikit-learn defines it.

    Parameters
    ----------
    positive
        Labels ``(n,)``.
    ranking
        Of the scores.
    weights
        Weight of each pair in each draw ``(n_draws, n)``.

    Returns
    -------
    One value for each draw ``(n_draws,)``; NaN where no positive pair has weight.

    Examples
    --------
    >>> labels = np.array([True, False, True])
    >>> average_precision(labels, Ranking.of(np.array([0.9, 0.5, 0.1])), np.ones((1, 3)))
    array([0.83333333])
    """
    ordered = weights[:, ranking.order]
    counted = np.cumsum(ordered, axis=1)[:, ranking.last]
    found = np.cumsum(ordered * positive[ranking.order], axis=1)[:, ranking.last]
    precision = np.divide(found, counted, out=np.zeros_like(found), where=counted > 0)
    gained = np.diff(found, axis=1, prepend=0)
    total = found[:, -1]
    return np.divide((gained * precision).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)


def draws_of_groups(group: NDArray[np.int64], n_draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How often each group is drawn when as many groups are drawn with replacement ``(n_draws, n_groups)``."""
    n = int(group.max(initial=-1)) + 1
    return rng.multinomial(n, np.full(n, 1 / n), size=n_draws) if n else np.zeros((n_draws, 0), dtype=np.int64)


def in_parts(draws: NDArray[np.int64], width: int) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Split draws so that an array of ``width`` numbers a draw stays small."""
    step = max(_AT_ONCE // max(width, 1), 1)
    for first in range(0, len(draws), step):
        part = slice(first, first + step)
        yield part, draws[part]


def interval(values: Floats, level: float) -> tuple[float, float]:
    """Central interval of the draws that have a value; NaN where none has."""
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan, np.nan
    # "nearest" also holds where some draws are infinite
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return float(low), float(high)
