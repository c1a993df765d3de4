"""How well several predictors agree with what was measured, on the same elements, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._logging import logger
from eregtools.tl._precision import draws_of_groups, interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

POOLED: Final = "pooled"
"""Value of ``fold`` in rows over all folds."""

MIN_CHROMOSOMES: Final = 3
"""Chromosomes from which on drawing them anew says something."""

COLUMNS: Final = (
    "sample",
    "predictor",
    "fold",
    "n",
    "pearson",
    "pearson_low",
    "pearson_high",
    "spearman",
    "r2",
    "slope",
    "intercept",
    "delta",
    "delta_low",
    "delta_high",
    "reference",
    "leakage",
)


@dataclass(frozen=True)
class Bootstrap:
    """Draws of chromosomes: how many, what share of them the interval holds, and the seed."""

    n_draws: int
    level: float
    seed: int

    def __post_init__(self) -> None:
        if self.n_draws < 0 or not 0 < self.level < 1:
            raise ValueError(
                f"n_bootstrap={self.n_draws}, level={self.level}: expected at least 0 draws and 0 < level < 1"
            )


@dataclass(frozen=True)
class Compared:
    """Predictions of one biosample's elements by several predictors.

    Attributes
    ----------
    sample
        The biosample.
    what
        What is compared, in the plural.
    observed
        Measured values ``(n,)``.
    predicted
        ``{predictor: (n,)}``, NaN where there is no prediction.
    fold
        Fold that tests each element ``(n,)``; −1: none.
    chromosome
        Chromosome of each element ``(n,)``.
    """

    sample: str
    what: str
    observed: NDArray[np.float64]
    predicted: Mapping[str, NDArray[np.float64]]
    fold: NDArray[np.int64]
    chromosome: NDArray[np.str_]

    def take(self, rows: NDArray[np.bool_]) -> Compared:
        """Those elements."""
        return replace(
            self,
            observed=self.observed[rows],
            predicted={name: values[rows] for name, values in self.predicted.items()},
            fold=self.fold[rows],
            chromosome=self.chromosome[rows],
        )

    def common(self) -> Compared:
        """Elements that have a fold, a measured value and a prediction of each predictor that predicts any.

        Raises
        ------
        ValueError
            There are fewer than two, or their measured value is always the same.
        """
        tested = np.isfinite(self.observed) & (self.fold >= 0)
        known = {name: np.isfinite(values) for name, values in self.predicted.items()}
        known = {name: has for name, has in known.items() if has.any()}
        shared = tested & np.logical_and.reduce(list(known.values()))
        lacking = ", ".join(f"{name} {(tested & ~has).sum():,}" for name, has in known.items() if (tested & ~has).any())
        if shared.sum() < 2:
            raise ValueError(
                f"{self.sample}: {shared.sum()} of {tested.sum():,} measured {self.what} in the folds judged have a "
                f"prediction of every predictor, and 2 are needed (without one: {lacking or 'none'})"
            )
        if np.ptp(self.observed[shared]) == 0:
            value = self.observed[shared][0]
            raise ValueError(f"{self.sample}: the measured value of the {self.what} is {value:g} throughout")
        logger.info(
            "%s: %d of %d measured %s in the folds judged are compared%s",
            self.sample,
            shared.sum(),
            tested.sum(),
            self.what,
            f"; left out for want of a prediction: {lacking}" if lacking else "",
        )
        return self.take(shared)


def score_table(
    compared: Compared, baselines: Collection[str], bootstrap: Bootstrap, leakage: Mapping[str, str]
) -> pd.DataFrame:
    """Scores of each predictor, over all folds and in each.

    Parameters
    ----------
    compared
        What to compare.
    baselines
        Predictors among which the reference of ``delta`` is chosen: the best one by Pearson's r over all folds.
    bootstrap
        How chromosomes are drawn.
    leakage
        Column ``leakage`` of each predictor; ``"no"`` where it is not named.

    Returns
    -------
    Table with the columns :data:`COLUMNS`; all predictors over all folds, then fold by fold. Predictors that predict
    nothing have ``n`` 0 and NaN.
    """
    common = compared.common()
    folds: list[Any] = [POOLED, *np.unique(common.fold).tolist()]
    reference = _best(common, baselines)
    rows = []
    for fold in folds:
        part = common if fold == POOLED else common.take(common.fold == fold)
        scores = _scores(part, reference, bootstrap)
        if fold != POOLED:
            scores[["delta", "delta_low", "delta_high"]] = np.nan
        rows.append(scores.assign(fold=fold))
    if (n := len(np.unique(common.chromosome))) < MIN_CHROMOSOMES:
        logger.info(
            "%s: the %s compared are on %d chromosomes; intervals draw chromosomes, need %d and are NaN",
            common.sample,
            common.what,
            n,
            MIN_CHROMOSOMES,
        )
    table = pd.concat(rows, ignore_index=True)
    table = table.assign(sample=common.sample, reference=reference or "")
    table["leakage"] = [leakage.get(name, "no") for name in table["predictor"]]
    return table[list(COLUMNS)]


def _best(common: Compared, baselines: Collection[str]) -> str | None:
    """Baseline with the highest Pearson's r; ``None`` where none has one."""
    names = [name for name in common.predicted if name in baselines]
    values = np.stack([common.predicted[name] for name in names])
    r = _pearson(_sums(common.observed, values, np.zeros(len(common.observed), dtype=np.int64))[0])
    return None if np.isnan(r).all() else names[int(np.nanargmax(r))]


def _scores(part: Compared, reference: str | None, bootstrap: Bootstrap) -> pd.DataFrame:
    """Scores of all predictors on some elements, a row each."""
    names = list(part.predicted)
    values = np.stack([part.predicted[name] for name in names])
    chromosomes, group = np.unique(part.chromosome, return_inverse=True)
    sums = _sums(part.observed, values, group)
    table = pd.DataFrame({"predictor": names, **_agreement(part.observed, values, sums.sum(axis=0))})
    table["spearman"] = _spearman(part.observed, values)
    at = names.index(reference) if reference is not None else None
    table["delta"] = table["pearson"] - (np.nan if at is None else table["pearson"].iloc[at])
    drawn = np.full((1, len(names)), np.nan)
    if len(chromosomes) >= MIN_CHROMOSOMES and bootstrap.n_draws:
        draws = draws_of_groups(group, bootstrap.n_draws, np.random.default_rng(bootstrap.seed))
        drawn = _pearson(np.tensordot(draws.astype(np.float64), sums, axes=1))
    gained = drawn - (np.nan if at is None else drawn[:, [at]])
    for column, draw in (("pearson", drawn), ("delta", gained)):
        bounds = [interval(one, bootstrap.level) for one in draw.T]
        table[f"{column}_low"], table[f"{column}_high"] = np.array(bounds).T
    return table


def _sums(
    observed: NDArray[np.float64], predicted: NDArray[np.float64], group: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Take the sums from which all scores follow ``(n_groups, n_predictors, 6)``: number, x, y, x², y², xy.

    ``x`` and ``y`` are predicted ``(n_predictors, n)`` and observed ``(n,)`` less their mean over all groups, so that
    nothing is lost when squares are subtracted.
    """
    n_groups = int(group.max(initial=-1)) + 1
    y = _centred(observed)
    out = np.empty((n_groups, len(predicted), 6))
    for i, x in enumerate(map(_centred, predicted)):
        for j, terms in enumerate((np.ones_like(y), x, y, x * x, y * y, x * y)):
            out[:, i, j] = np.bincount(group, weights=terms, minlength=n_groups)
    return out


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.zeros_like(values) if np.ptp(values) == 0 else values - values.mean()


def _covariances(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Variance of x, of y, and their covariance; a variance that is none is NaN."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        var_x, var_y, cov = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2, xy / n - x * y / n**2
    # what is left of a constant after its mean is subtracted is rounding
    return np.where(var_x > 1e-12 * xx / n, var_x, np.nan), np.where(var_y > 1e-12 * yy / n, var_y, np.nan), cov


def _pearson(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    var_x, var_y, cov = _covariances(sums)
    return np.asarray(cov / np.sqrt(var_x * var_y))


def _agreement(
    observed: NDArray[np.float64], predicted: NDArray[np.float64], sums: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    """Scores of each predictor from its sums ``(n_predictors, 6)``."""
    var_x, var_y, cov = _covariances(sums)
    slope = cov / var_x
    residual = ((observed - predicted) ** 2).mean(axis=1)
    return {
        "n": np.where(np.isfinite(residual), sums[:, 0], 0).astype(np.int64),
        "pearson": _pearson(sums),
        "r2": 1 - residual / var_y,
        "slope": slope,
        "intercept": observed.mean() - slope * predicted.mean(axis=1),
    }


def _spearman(observed: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    ranks = _sums(rankdata(observed), rankdata(predicted, axis=1), np.zeros(len(observed), dtype=np.int64))
    return _pearson(ranks[0])
