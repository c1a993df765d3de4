"""False discovery rate of called loci, from scores alone: against decoys, or from labelled loci."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pi0 = float | Literal["estimate"]

_Z95 = 1.6448536269514722
"""Quantile of the normal distribution of a lower bound at 95 %."""


def decoy_q_values(
    targets: NDArray[np.float64],
    decoys: NDArray[np.float64],
    *,
    n_targets: int | None = None,
    n_decoys: int | None = None,
    pi0: Pi0 = 1.0,
) -> NDArray[np.float64]:
    """q-values of targets from the scores of decoys.

    Parameters
    ----------
    targets, decoys
        Scores, higher is likelier a locus ``(n,)``.
    n_targets, n_decoys
        How many were tried for these scores, where not all of them gave one; ``None``: as many as there are.
    pi0
        Share of targets that are no loci; 1 is safe. ``"estimate"``: from the lower half of the scores (Storey 2002).

    Returns
    -------
    float64 ``(n,)``: the least of FDR(t) = π₀ · ((#decoys ≥ t + 1) / (#decoys + 1)) / (#targets ≥ t / #targets) over
    the thresholds t that a target passes, at most 1.

    Examples
    --------
    >>> decoy_q_values(np.array([9.0, 8.0, 1.0]), np.array([0.0, 1.0, 2.0, 3.0])).round(2)
    array([0.3, 0.3, 0.8])
    """
    tried, against = n_targets or len(targets), n_decoys or len(decoys)
    if tried < len(targets) or against < len(decoys):
        raise ValueError(f"{len(targets)} of {tried} targets and {len(decoys)} of {against} decoys have a score")
    share = estimated_pi0(targets, decoys, n_targets=tried, n_decoys=against) if pi0 == "estimate" else float(pi0)
    if not 0 < share <= 1:
        raise ValueError(f"pi0 is {pi0}; expected a share above 0, or 'estimate'")
    order = np.argsort(targets, kind="stable")
    ordered, null = targets[order], np.sort(decoys)
    above = len(null) - np.searchsorted(null, ordered, side="left")
    passing = len(ordered) - np.searchsorted(ordered, ordered, side="left")
    rate = share * ((above + 1) / (against + 1)) / (passing / tried)
    q = np.empty(len(targets))
    q[order] = np.minimum(np.minimum.accumulate(rate), 1.0)
    return q


def estimated_pi0(targets: NDArray[np.float64], decoys: NDArray[np.float64], *, n_targets: int, n_decoys: int) -> float:
    """Share of targets that are no loci: how many of them are below the median of the decoys, against one half.

    Where fewer than half of the decoys have a score, how many have none.
    """
    unscored = n_decoys - len(decoys)
    if 2 * unscored >= n_decoys:
        return min(1.0, ((n_targets - len(targets)) / n_targets) / (unscored / n_decoys))
    below = np.sort(decoys)[: max(n_decoys // 2 - unscored, 1)]
    of_decoys = (unscored + len(below)) / n_decoys
    of_targets = (n_targets - len(targets) + int((targets <= below[-1]).sum())) / n_targets
    return min(1.0, max(of_targets / of_decoys, 1 / n_targets))


def check_alpha(alpha: float, n_decoys: int) -> None:
    """Refuse a q-value that so few decoys cannot tell.

    Raises
    ------
    ValueError
        ``alpha`` is finer than 1 / decoys, or no share.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha is {alpha}; expected a share above 0")
    if alpha * n_decoys < 1:
        raise ValueError(
            f"alpha={alpha:g} is finer than {n_decoys:,} decoys can tell (1/{n_decoys:,}); raise alpha, or decoys= if "
            "there is sequence to draw more from"
        )


def validation_q_values(
    targets: NDArray[np.float64],
    scores: NDArray[np.float64],
    label: NDArray[np.float32],
    *,
    prior: float | None = None,
) -> NDArray[np.float64]:
    """q-values of targets from labelled loci: one less the lower 95 % bound of precision at their score.

    Parameters
    ----------
    targets
        Scores of what is called ``(n,)``.
    scores, label
        Scores and labels (1 or 0) of loci that the model did not learn from ``(n_labelled,)``.
    prior
        Share of positives among targets; ``None``: that among the labelled.

    Returns
    -------
    float64 ``(n,)``. Labelled loci are weighted to the prior, and the bound (Wilson's) is that of as many loci as the
    weights are worth (Kish's effective number).
    """
    positive = label > 0.5
    if positive.all() or not positive.any():
        raise ValueError("the labelled loci are of one class only, so that no precision can be told from them")
    share = float(positive.mean()) if prior is None else prior
    if not 0 < share < 1:
        raise ValueError(f"prior is {prior}; expected a share between 0 and 1")
    weight = np.where(positive, share / positive.sum(), (1 - share) / (~positive).sum())
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]

    def above(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.append(np.cumsum(values[order][::-1])[::-1], 0.0)

    all_of, right, squares = above(weight), above(np.where(positive, weight, 0.0)), above(weight**2)
    known = all_of > 0
    n = np.divide(all_of**2, squares, out=np.zeros_like(all_of), where=known)
    precision = np.divide(right, all_of, out=np.zeros_like(all_of), where=known)
    rate = np.minimum.accumulate(1 - wilson_lower(precision, n))
    q: NDArray[np.float64] = rate[np.searchsorted(ordered, targets, side="left")]
    return q


def wilson_lower(share: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lower 95 % bound of a share that was found in ``n`` (Wilson 1927); 0 where there are none."""
    z = _Z95
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = share + z**2 / (2 * n)
        spread = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        bound = (centre - spread) / (1 + z**2 / n)
    return np.where(n > 0, np.clip(np.nan_to_num(bound), 0, 1), 0.0)
