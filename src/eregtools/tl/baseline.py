"""What can be predicted without sequence: the numbers that a model's score stands beside."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from eregtools._keys import MRNA_FEATURES, Layer, Modality, Var, Varm
from eregtools._logging import logger
from eregtools._schema import check_layer_name, layer_to_fill, link_positions, put_layer, require_layer
from eregtools._settings import settings
from eregtools.tl._models import record_result
from eregtools.tl._training import fold_sets
from eregtools.tl.expression import pick_samples, require_genes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mudata import MuData
    from numpy.typing import NDArray

Method = Literal["trees", "promoter", "promoter_mrna", "nearest"]

METHODS: tuple[Method, ...] = get_args(Method)
"""Ways to predict expression without sequence."""

_MODELS: dict[Method, str] = {
    "trees": "HistGradientBoostingRegressor on gene-level features",
    "promoter": "linear in log(1 + promoter activity)",
    "promoter_mrna": "HistGradientBoostingRegressor on promoter activity and mRNA features",
    "nearest": "linear in log10(0.1 + activity of the nearest enhancer) and log10(0.1 + activity / kb, summed)",
}


def baseline_expression(
    mdata: MuData,
    *,
    assay: str,
    method: Method = "trees",
    scheme: str | None = None,
    sample: str | Iterable[str] | None = None,
    key_added: str | None = None,
    rng: int | None = None,
    copy: bool = False,
) -> MuData | None:
    """Predict expression without sequence, out of fold.

    Each gene is predicted by a model that was fitted on the training and validation chromosomes of the fold that tests
    it. A sequence model is worth what it adds to this.

    Parameters
    ----------
    mdata
        Object with ``links``, expression and folds (:func:`eregtools.pp.split`).
    assay
        Layer of ``genes`` to predict.
    method
        ``"trees"``: boosted trees on all that is known of a gene and its enhancers (:func:`gene_features`).
        ``"promoter"``: least squares on one number, log(1 + promoter activity). ``"promoter_mrna"``: boosted trees on
        promoter activity and the mRNA features, the nine numbers that EPInformer is given beside sequence.
        ``"nearest"``: least squares on what enhancers alone say: log10(0.1 + x) of the activity of the nearest one
        and of the sum over all of activity per kb of distance. The trees are scikit-learn's
        ``HistGradientBoostingRegressor`` with its default settings.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``.
    sample
        Biosamples, each with models of its own; ``None``: all.
    key_added
        Layer to write; ``None``: ``f"{assay}_baseline"`` for the trees, ``f"{assay}_baseline_{method}"`` for others.
    rng
        Seed; ``None``: ``settings.seed``.
    copy
        Return a new object and leave this one alone.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["genes"].layers[f"{assay}_baseline"]`` (or ``f"{assay}_baseline_{method}"``)
        Out-of-fold prediction ``(n_samples, n_genes)``, float32; NaN for genes that no fold tests, and by least
        squares for genes that lack a number.
    ``mdata.uns["eregtools"]["results"]``
        Which baseline it is.

    Raises
    ------
    KeyError
        Expression, folds, or what the method needs are missing.
    ValueError
        There is no such method.

    Notes
    -----
    On K562 RNA ``"promoter_mrna"`` reaches a pooled r of 0.871, where the published model reaches 0.863.

    See Also
    --------
    gene_features : the numbers that the trees are given.
    eregtools.tl.evaluate_expression : all baselines beside a model.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> er.tl.baseline_expression(mdata, assay="RNA", method="promoter")
    >>> genes = mdata["genes"]
    >>> genes.var.loc[genes.to_df("RNA_baseline_promoter").notna().all(), "Chromosome"].value_counts().head(1)
    Chromosome
    chr8    25
    Name: count, dtype: int64
    """
    mdata = mdata.copy() if copy else mdata
    genes = require_genes(mdata)
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    key = key_added or Layer.expression_baseline(assay, method)
    check_layer_name(key, "key_added")
    target = require_layer(genes, assay, f'er.pp.add_expression(mdata, …, assay="{assay}")')
    samples = pick_samples(mdata, sample)
    values = layer_to_fill(genes, key, mdata.obs_names.get_indexer(samples))
    sets, scheme = fold_sets(mdata, scheme, genes.var[Var.chromosome].astype(str).to_numpy())
    seed = settings.seed if rng is None else rng
    rows = []
    for name in samples:
        row = mdata.obs_names.get_loc(name)
        features = method_features(mdata, name, method)
        values[row], folds = out_of_fold(features, target[row], sets, regressor(method, seed))
        rows += [{"sample": name, "fold": fold, "model": _MODELS[method], "recipe": str(scheme)} for fold in folds]
        logger.info("%s: %d of %d genes have a baseline", name, np.isfinite(values[row]).sum(), genes.n_vars)
    record_result(mdata, f"{Modality.genes}:{key}", rows, samples)
    put_layer(mdata, Modality.genes, key, values)
    return mdata if copy else None


def regressor(method: str, seed: int) -> Any:
    """Model of a method, not fitted."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LinearRegression

    if method in ("trees", "promoter_mrna"):
        return HistGradientBoostingRegressor(random_state=seed)
    return LinearRegression()


def out_of_fold(
    features: NDArray[np.float64], target: NDArray[np.floating], sets: pd.DataFrame, model: Any
) -> tuple[NDArray[np.float64], list[int]]:
    """Predict each element by a model fitted on the chromosomes that the fold which tests it does not test.

    Parameters
    ----------
    features
        ``(n, n_features)``; trees take NaN, of other models elements with NaN are not predicted.
    target
        ``(n,)``; NaN: not fitted to. Classes are 1 and 0.
    sets
        Set of each element in each fold (:func:`eregtools.tl._training.fold_sets`).
    model
        A regressor or classifier of scikit-learn, or one with the same ``fit`` and ``predict``; a copy is fitted for
        each fold.

    Returns
    -------
    Predictions ``(n,)`` (by a classifier the probability of class 1), NaN where there are none, and the folds that
    have some.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    takes_nan = isinstance(model, HistGradientBoostingRegressor | HistGradientBoostingClassifier)
    usable = np.isfinite(features).all(axis=1) | takes_nan
    predicted = np.full(len(target), np.nan)
    folds = []
    for fold in sets.columns:
        tested = (sets[fold].astype(object) == "test").to_numpy()
        fitted = ~tested & np.isfinite(target) & usable
        tested = tested & usable
        if not tested.any() or fitted.sum() < 2:
            continue
        fit = deepcopy(model).fit(features[fitted], target[fitted].astype(np.float64))
        classes = hasattr(fit, "predict_proba")
        predicted[tested] = fit.predict_proba(features[tested])[:, 1] if classes else fit.predict(features[tested])
        folds.append(int(fold))
    return predicted, folds


def lacking(mdata: MuData, method: Method) -> str | None:
    """Say what the object lacks for a method, and which call adds it."""
    genes, enhancers = mdata[Modality.genes], mdata[Modality.enhancers]
    if method in ("promoter", "promoter_mrna") and Layer.promoter_activity not in genes.layers:
        return f"there is no genes.layers[{Layer.promoter_activity!r}]; run er.pp.promoter_activity first"
    if method == "promoter_mrna" and Varm.mrna_features not in genes.varm:
        return f"there is no genes.varm[{Varm.mrna_features!r}]; run er.pp.mrna_features first"
    if method == "nearest" and Layer.activity not in enhancers.layers:
        return f"there is no enhancers.layers[{Layer.activity!r}]; run er.pp.activity first"
    return None


def method_features(mdata: MuData, sample: str, method: Method) -> NDArray[np.float64]:
    """Numbers that a method is given ``(n_genes, n_features)``.

    Raises
    ------
    KeyError
        The object lacks what the method needs; the message names the call that adds it.
    """
    if missing := lacking(mdata, method):
        raise KeyError(missing)
    table = gene_features(mdata, sample)
    if method == "promoter":
        return np.log1p(table[[Layer.promoter_activity]].to_numpy(dtype=np.float64))
    if method == "promoter_mrna":
        return table[[Layer.promoter_activity, *MRNA_FEATURES]].to_numpy(dtype=np.float64)
    if method == "nearest":
        # a gene without enhancers has none of their activity
        return np.log10(0.1 + table[["activity_nearest", "activity_over_distance"]].fillna(0).to_numpy(np.float64))
    return table.to_numpy(dtype=np.float64)


def gene_features(mdata: MuData, sample: str) -> pd.DataFrame:
    """Gene-level numbers without sequence: promoter activity, sums over enhancers, mRNA features.

    Parameters
    ----------
    mdata
        Object with ``links``.
    sample
        Biosample.

    Returns
    -------
    One row a gene. Of what the object holds: promoter activity; number of enhancers; sum of activity, of activity
    over distance and of activity times contact; activity and distance of the nearest and of the most active enhancer;
    mRNA features.
    """
    genes, enhancers, links = (mdata[name] for name in (Modality.genes, Modality.enhancers, Modality.links))
    row = mdata.obs_names.get_loc(sample)
    gene, element = link_positions(mdata)
    own = np.asarray(links.layers[Layer.candidate][row]).ravel() > 0
    gene, element = gene[own], element[own]
    distance = links.var[Var.distance].abs().to_numpy(dtype=np.float64)[own]

    def total(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(gene, weights=np.nan_to_num(weights), minlength=genes.n_vars).astype(np.float64)

    columns = {"n_enhancers": total(np.ones(len(gene)))}
    if Layer.promoter_activity in genes.layers:
        columns[Layer.promoter_activity] = np.asarray(genes.layers[Layer.promoter_activity][row])
    nearest = _first(np.lexsort((distance, gene)), gene, genes.n_vars)
    columns["distance_nearest"] = _taken(distance, nearest)
    if Layer.activity in enhancers.layers:
        activity = np.asarray(enhancers.layers[Layer.activity][row], dtype=np.float64)[element]
        columns["activity_sum"] = total(activity)
        columns["activity_over_distance"] = total(activity / np.maximum(distance, 1_000) * 1_000)
        columns["activity_nearest"] = _taken(activity, nearest)
        strongest = _first(np.lexsort((-activity, gene)), gene, genes.n_vars)
        columns["activity_strongest"] = _taken(activity, strongest)
        columns["distance_strongest"] = _taken(distance, strongest)
        if Layer.contact in links.layers:
            contact = np.asarray(links.layers[Layer.contact][row], dtype=np.float64)[own]
            columns["activity_by_contact"] = total(activity * contact)
    table = pd.DataFrame(columns, index=genes.var_names)
    mrna = genes.varm.get(Varm.mrna_features)
    return table if mrna is None else table.join(mrna)


def _first(order: NDArray[np.int64], gene: NDArray[np.int64], n_genes: int) -> NDArray[np.int64]:
    """First link of each gene in an order that groups genes; −1 for genes without links."""
    first = np.full(n_genes, -1, dtype=np.int64)
    first[gene[order][::-1]] = order[::-1]
    return first


def _taken(values: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    if not len(values):
        return np.full(len(rows), np.nan, dtype=np.float64)
    taken: NDArray[np.float64] = np.where(rows >= 0, values[rows], np.nan)
    return taken
