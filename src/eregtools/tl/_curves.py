"""Areas under curves of labelled pairs, with weights, and when groups of pairs are drawn anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eregtools.tl._precision import Ranking, in_parts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """What the areas under the curves of a score are computed from, by group.

    Attributes
    ----------
    gained
        Positive pairs at each of the scores that positive pairs have, falling ``(n_scores, n_groups)``.
    found, false
        Positive pairs, and weight of negative pairs, that score at least as much ``(n_scores, n_groups)``.
    tied
        Weight of negative pairs that score just as much ``(n_scores, n_groups)``.
    n_positive, n_negative
        Positive pairs and weight of negative pairs ``(n_groups,)``.
    """

    gained: Floats
    found: Floats
    false: Floats
    tied: Floats
    n_positive: Floats
    n_negative: Floats

    @classmethod
    def of(
        cls,
        positive: NDArray[np.bool_],
        score: Floats,
        weight: Floats | None = None,
        group: NDArray[np.int64] | None = None,
    ) -> Curve:
        """Rank pairs.

        Parameters
        ----------
        positive
            Labels ``(n,)``.
        score
            Scores ``(n,)``, higher = stronger; NaN stands below every number.
        weight
            Weight of each pair, which counts for negative ones ``(n,)``; ``None``: 1.
        group
            Group of each pair, from 0 on ``(n,)``; ``None``: all are of one.
        """
        group = np.zeros(len(positive), dtype=np.int64) if group is None else group
        ranking = Ranking.of(score)
        level = np.searchsorted(ranking.last, np.arange(len(positive)), side="left")
        shape = (len(ranking.last), int(group.max(initial=-1)) + 1)
        of_kind = []
        for kind, value in ((positive, None), (~positive, weight)):
            rows = kind[ranking.order]
            counts = np.zeros(shape)
            amount = 1.0 if value is None else value[ranking.order][rows]
            np.add.at(counts, (level[rows], group[ranking.order][rows]), amount)
            of_kind.append(counts)
        hits, misses = of_kind
        at = hits.any(axis=1)
        found, false = np.cumsum(hits, axis=0), np.cumsum(misses, axis=0)
        total = (found[-1], false[-1]) if len(found) else (np.zeros(shape[1]),) * 2
        return cls(hits[at], found[at], false[at], misses[at], *total)

    def auroc(self, draws: NDArray[np.int64] | None = None) -> Floats:
        """Area under the ROC curve: how often a positive pair scores more than a negative one, ties counting half.

        Parameters
        ----------
        draws
            How often each group is drawn ``(n_draws, n_groups)``; ``None``: each once.

        Returns
        -------
        One value for each draw ``(n_draws,)``; NaN where there is no positive or no negative pair.
        """
        times = self._draws(draws).astype(np.float64)
        wins = self.gained.T @ (self.n_negative - self.false + self.tied / 2)
        pairs = (times @ self.n_positive) * (times @ self.n_negative)
        won = np.einsum("dg,gh,dh->d", times, wins, times)
        return _share(won, pairs)

    def auroc_within(self, draws: NDArray[np.int64] | None = None) -> Floats:
        """Area under the ROC curve in which only pairs of one group are compared with each other.

        Scores of groups that different models made need not be comparable: a model that learnt from fewer positive
        pairs scores all lower, and it is the groups with many of them that were left out when it learnt.

        Parameters
        ----------
        draws
            How often each group is drawn ``(n_draws, n_groups)``; ``None``: each once.

        Returns
        -------
        One value for each draw ``(n_draws,)``; NaN where no group has pairs of both kinds.
        """
        times = self._draws(draws).astype(np.float64)
        won = (self.gained * (self.n_negative - self.false + self.tied / 2)).sum(axis=0)
        return _share(times @ won, times @ (self.n_positive * self.n_negative))

    def auprc(self, ratio: float | None = None, draws: NDArray[np.int64] | None = None) -> Floats:
        """Average precision, ``Σ (recall change) · precision`` over the distinct scores.

        Parameters
        ----------
        ratio
            Negative pairs for each positive one, to which all are weighted; ``None``: as many as there are.
        draws
            How often each group is drawn ``(n_draws, n_groups)``; ``None``: each once.

        Returns
        -------
        One value for each draw ``(n_draws,)``; NaN where there is no positive or no negative pair.
        """
        draws = self._draws(draws)
        out = np.full(len(draws), np.nan)
        for part, drawn in in_parts(draws, len(self.gained)):
            some = drawn.astype(np.float64)
            n_positive, n_negative = some @ self.n_positive, some @ self.n_negative
            known = (n_positive > 0) & (n_negative > 0)
            scale = np.ones(len(some))
            if ratio is not None:
                scale = np.divide(ratio * n_positive, n_negative, out=np.zeros(len(some)), where=known)
            found = some @ self.found.T
            counted = found + (some @ self.false.T) * scale[:, None]
            precision = np.divide(found, counted, out=np.zeros_like(found), where=counted > 0)
            area = ((some @ self.gained.T) * precision).sum(axis=1)
            out[part] = np.divide(area, n_positive, out=np.full(len(some), np.nan), where=known)
        return out

    def _draws(self, draws: NDArray[np.int64] | None) -> NDArray[np.int64]:
        return np.ones((1, len(self.n_positive)), dtype=np.int64) if draws is None else draws


def _share(won: Floats, pairs: Floats) -> Floats:
    return np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)
