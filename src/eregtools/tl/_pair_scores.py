"""How well scores tell pairs that interact from others, by fold and over all, and how sure that is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._logging import logger
from eregtools.tl._curves import Curve
from eregtools.tl._precision import draws_of_groups, interval
from eregtools.tl._scores import MIN_CHROMOSOMES, POOLED, Bootstrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEAN: Final = "mean"
"""Value of ``fold`` in rows of means over folds."""

AREAS: Final = ("auroc", "auroc_within", "auprc")

COLUMNS: Final = (
    "predictor",
    "fold",
    "n",
    "n_positive",
    "ratio",
    *(f"{area}{end}" for area in AREAS for end in ("", "_low", "_high")),
    *(f"delta_{area}{end}" for area in AREAS for end in ("", "_low", "_high")),
    "reference",
)


@dataclass(frozen=True)
class ScoredPairs:
    """Labelled pairs with scores, all ``(n,)``.

    Attributes
    ----------
    positive
        Which interact.
    weight
        Weight of each negative pair.
    scores
        ``{predictor: score}``, NaN where there is none.
    fold
        Fold that tests each; −1: none.
    chromosome
        Chromosome of each.
    noun
        What they are called in messages.
    """

    positive: NDArray[np.bool_]
    weight: NDArray[np.float64]
    scores: Mapping[str, NDArray[np.float64]]
    fold: NDArray[np.int64]
    chromosome: NDArray[np.str_]
    noun: str = "pairs"

    def take(self, rows: NDArray[np.bool_]) -> ScoredPairs:
        """Those pairs."""
        return replace(
            self,
            positive=self.positive[rows],
            weight=self.weight[rows],
            scores={name: score[rows] for name, score in self.scores.items()},
            fold=self.fold[rows],
            chromosome=self.chromosome[rows],
        )

    def common(self, what: str) -> ScoredPairs:
        """Pairs that a fold tests and that have a score of every predictor which scores any.

        Raises
        ------
        ValueError
            They are not of both kinds.
        """
        tested = self.fold >= 0
        known = {name: np.isfinite(score) & tested for name, score in self.scores.items()}
        shared = np.logical_and.reduce([tested, *(has for has in known.values() if has.any())])
        left = self.take(shared)
        if not 0 < left.positive.sum() < len(left.positive):
            raise ValueError(
                f"{what}: {int(left.positive.sum())} of {len(left.positive)} {self.noun} that have all scores are "
                "positive; "
                "both kinds are needed"
            )
        if lost := int(tested.sum() - shared.sum()):
            lacking = ", ".join(f"{name} {int((tested & ~has).sum()):,}" for name, has in known.items() if has.any())
            logger.info(
                "%s: %d of %d %s lack a score and are left out: %s", what, lost, int(tested.sum()), self.noun, lacking
            )
        return left


def area_table(
    pairs: ScoredPairs, references: Collection[str], bootstrap: Bootstrap, *, ratio: float | None, what: str
) -> pd.DataFrame:
    """Areas under the curves of each predictor, over all pairs, as means of folds, and in each fold.

    Parameters
    ----------
    pairs
        What to judge; the pairs that all predictors score are.
    references
        Predictors of which the best by AUROC over all pairs is what the others are compared with.
    bootstrap
        How chromosomes are drawn.
    ratio
        Negative pairs for each positive one, to which they are weighted; ``None``: as many as there are.
    what
        What the pairs are, for messages.

    Returns
    -------
    Table with the columns :data:`COLUMNS`. Predictors that score nothing have ``n`` 0 and NaN.
    """
    common = pairs.common(what)
    folds = {int(fold): common.take(common.fold == fold) for fold in np.unique(common.fold)}
    scored = [name for name, score in common.scores.items() if np.isfinite(score).all()]
    whole = {name: _areas(common, name, ratio, bootstrap) for name in scored}
    best = max((name for name in references if name in whole), key=lambda name: whole[name].value["auroc"], default="")
    pooled, means, by_fold = [], [], []
    for name in common.scores:
        known = name in whole
        of_folds = [
            _row(name, fold, part if known else None, _areas(part, name, ratio, bootstrap) if known else None, ratio)
            for fold, part in folds.items()
        ]
        pooled.append(_row(name, POOLED, common if known else None, whole.get(name), ratio, whole.get(best)))
        means.append(_mean_row(pooled[-1], of_folds))
        by_fold += of_folds
    if (n := len(np.unique(common.chromosome))) < MIN_CHROMOSOMES:
        logger.info(
            "%s: the %s are on %d chromosomes; intervals draw them, need %d and are NaN",
            what,
            pairs.noun,
            n,
            MIN_CHROMOSOMES,
        )
    return pd.DataFrame([*pooled, *means, *by_fold]).assign(reference=best)[list(COLUMNS)]


@dataclass(frozen=True)
class _Areas:
    """Areas of one predictor by name, and those of each draw of chromosomes."""

    value: Mapping[str, float]
    drawn: Mapping[str, NDArray[np.float64]]
    level: float


def _areas(pairs: ScoredPairs, name: str, ratio: float | None, bootstrap: Bootstrap) -> _Areas:
    chromosomes, group = np.unique(pairs.chromosome, return_inverse=True)
    curve = Curve.of(pairs.positive, pairs.scores[name], pairs.weight, group)
    drawn = dict.fromkeys(AREAS, np.full(1, np.nan))
    if len(chromosomes) >= MIN_CHROMOSOMES and bootstrap.n_draws:
        draws = draws_of_groups(group, bootstrap.n_draws, np.random.default_rng(bootstrap.seed))
        drawn = _curve_areas(curve, ratio, draws)
    value = {area: float(values[0]) for area, values in _curve_areas(curve, ratio, None).items()}
    return _Areas(value, drawn, bootstrap.level)


def _curve_areas(curve: Curve, ratio: float | None, draws: NDArray[np.int64] | None) -> dict[str, NDArray[np.float64]]:
    areas = (curve.auroc(draws), curve.auroc_within(draws), curve.auprc(ratio, draws))
    return dict(zip(AREAS, areas, strict=True))


def _row(
    name: str,
    fold: Any,
    pairs: ScoredPairs | None,
    areas: _Areas | None,
    ratio: float | None,
    reference: _Areas | None = None,
) -> dict[str, Any]:
    """Row of one predictor; without pairs, of one that scores nothing."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS, np.nan) | {"predictor": name, "fold": fold, "n": 0, "n_positive": 0}
    if pairs is None or areas is None:
        return row
    n_positive = int(pairs.positive.sum())
    row |= {"n": len(pairs.positive), "n_positive": n_positive, "ratio": ratio}
    if ratio is None:
        row["ratio"] = pairs.weight[~pairs.positive].sum() / n_positive if n_positive else np.nan
    for area in AREAS:
        value, drawn = areas.value[area], areas.drawn[area]
        row[area] = value
        row[f"{area}_low"], row[f"{area}_high"] = interval(drawn, areas.level)
        if reference is not None:
            row[f"delta_{area}"] = value - reference.value[area]
            bounds = interval(drawn - reference.drawn[area], areas.level)
            row[f"delta_{area}_low"], row[f"delta_{area}_high"] = bounds
    return row


def _mean_row(pooled: dict[str, Any], folds: list[dict[str, Any]]) -> dict[str, Any]:
    """Means of the folds that have a value; the other columns are those of all pairs, or NaN."""
    known = {name: value for name, value in pooled.items() if name in ("predictor", "n", "n_positive", "ratio")}
    means = {area: float(pd.Series([row[area] for row in folds], dtype=np.float64).mean()) for area in AREAS}
    return dict.fromkeys(COLUMNS, np.nan) | known | means | {"fold": MEAN}
