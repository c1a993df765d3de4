"""Whether several scores of links say the same, and whether they say more together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eregtools._keys import Var
from eregtools._settings import settings
from eregtools.sampling import fold_sets
from eregtools.tl._labelled_pairs import names_of
from eregtools.tl._labels import labelled_links
from eregtools.tl._pair_scores import ScoredPairs, area_table
from eregtools.tl._scores import Bootstrap
from eregtools.tl.baseline import out_of_fold
from eregtools.tl.evaluate_interactions import fold_numbers, layer_scores

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

COMBINED: Final = "combined"
"""Predictor that is a combination of the others."""


def agreement(
    mdata: MuData,
    scores: str | Iterable[str],
    *,
    label: str = Var.label,
    negatives: str | Iterable[str] | None = None,
    ratio: float | None = None,
    scheme: str | None = None,
    sample: str | None = None,
    n_bootstrap: int = 1_000,
    level: float = 0.95,
    rng: int | None = None,
) -> pd.DataFrame:
    """Compare scores of the same labelled links, and tell what a simple combination adds to the best of them.

    Parameters
    ----------
    mdata
        Object with links, scores of them, and folds (:func:`eregtools.pp.split`).
    scores
        At least two layers of ``links``, such as ``"attention"``, ``"abc"`` and ``"interaction"``; a minus before the
        name turns the sign.
    label
        Column of ``links.var``, or layer of ``links``, with 1 for links that are true, 0 for others, and NaN where it
        is not known, as ``"crispr_significant"``.
    negatives
        Negative pairs to take, by ``links.var["origin"]``; ``None``: all.
    ratio
        Negative links for each positive one, to which they are weighted; ``None``: as many as there are.
    scheme
        Fold scheme; ``None``: that of ``genes.var["fold"]``.
    sample
        Biosample; default the only one.
    n_bootstrap, level
        Draws of chromosomes, and the probability that intervals hold.
    rng
        Seed of the bootstrap; ``None``: ``settings.seed``.

    Returns
    -------
    Rows as of :func:`evaluate_interactions`, of the scores and then ``"combined"``, with ``delta_…`` against the
    single score that is best by AUROC; and Spearman's rank correlation with each score in ``rho_<score>``, over the
    links of the row (NaN in rows of means).

    Raises
    ------
    KeyError
        Labels, folds or a layer are missing.
    ValueError
        There are fewer than two scores; a combination cannot be learnt, because no fold has links of both kinds outside
        it; no link of one kind has all scores.

    Notes
    -----
    The combination is a logistic regression on the ranks of the scores among the links that it is fitted on, each
    link by the chromosomes that the fold which tests it does not test. Links that lack a score are left out of all.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> truth = er.settings.cache_dir / "simulated" / "200genes-seed0" / "truth_links.tsv"
    >>> shares = er.io.read_table(truth)["share"].to_numpy()
    >>> mdata["links"].var["label"] = (shares >= 0.05).astype(float)
    >>> er.pp.split(mdata, {k: {"test": [f"chr{k}"]} for k in range(1, 9)})
    >>> er.tl.abc(mdata)
    >>> er.tl.link_scores(mdata, scores="distance")
    >>> table = er.tl.agreement(mdata, ["abc", "distance_score"], n_bootstrap=0)
    >>> table.loc[table["fold"] == "pooled", ["predictor", "auroc", "rho_abc"]].round(1)
            predictor  auroc  rho_abc
    0             abc    0.9      1.0
    1  distance_score    0.7      0.5
    2        combined    0.9      1.0
    """
    names = names_of(scores)
    if len(names) < 2:
        raise ValueError(f"scores={names}: expected at least two scores to compare")
    if COMBINED in names:
        raise ValueError(f"a score cannot be called {COMBINED!r} here; rename the layer")
    bootstrap = Bootstrap(n_bootstrap, level, settings.seed if rng is None else rng)
    pairs = labelled_links(mdata, label, sample=sample, negatives=negatives)
    sets, _ = fold_sets(mdata, scheme, pairs.chromosome)
    found = layer_scores(mdata, names, pairs)
    values = np.stack([found[name] for name in names], axis=1)
    if unknown := [name for name in names if np.isnan(found[name]).all()]:
        raise ValueError(f"no labelled link has a score {unknown[0]!r}")
    known: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(values), axis=1)
    target = np.where(known, pairs.positive, np.nan)
    _refuse_one_kind(target, sets)
    combined, _ = out_of_fold(values, target, sets, _logistic())
    whole = {**found, COMBINED: combined}
    scored = ScoredPairs(pairs.positive, np.ones(len(pairs.rows)), whole, fold_numbers(sets), pairs.chromosome)
    scored = scored.take(known)
    table = area_table(scored, names, bootstrap, ratio=ratio, what=pairs.sample)
    return _with_correlations(table, scored, names).assign(sample=pairs.sample)[["sample", *table, *_rho(names)]]


def _logistic() -> Any:
    """Logistic regression on ranks, which scores of any scale have alike."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    return make_pipeline(QuantileTransformer(n_quantiles=100), LogisticRegression())


def _refuse_one_kind(target: np.ndarray, sets: pd.DataFrame) -> None:
    for fold in sets:
        tested = (sets[fold].astype(object) == "test").to_numpy()
        fitted = target[~tested & np.isfinite(target)]
        if tested.any() and not 0 < fitted.sum() < len(fitted):
            raise ValueError(
                f"outside fold {fold} {int(fitted.sum())} of {len(fitted)} links that have all scores are positive; a "
                "combination is learnt from both kinds"
            )


def _rho(names: Iterable[str]) -> list[str]:
    return [f"rho_{name}" for name in names]


def _with_correlations(table: pd.DataFrame, scored: ScoredPairs, names: list[str]) -> pd.DataFrame:
    """Table with Spearman's rank correlation of each predictor with each score."""
    from scipy.stats import rankdata

    known = scored.take(np.isfinite(scored.scores[COMBINED]) & (scored.fold >= 0))
    columns: dict[str, list[float]] = {name: [] for name in _rho(names)}
    for predictor, fold in zip(table["predictor"], table["fold"], strict=True):
        rows = np.ones(len(known.positive), dtype=bool) if fold == "pooled" else known.fold == fold
        for name, column in zip(names, columns.values(), strict=True):
            ranks = [rankdata(known.scores[which][rows]) for which in (predictor, name)]
            varies = all(len(rank) > 1 and np.ptp(rank) > 0 for rank in ranks)
            column.append(float(np.corrcoef(ranks)[0, 1]) if varies else np.nan)
    return table.assign(**columns)
