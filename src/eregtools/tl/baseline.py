"""What can be predicted without sequence: the numbers that a model's score stands beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eregtools._keys import Layer, Modality, Var, Varm
from eregtools._logging import logger
from eregtools._schema import layer_to_fill, link_positions, put_layer, require_layer
from eregtools._settings import settings
from eregtools.tl._models import record_result
from eregtools.tl.expression import pick_samples, require_genes
from eregtools.tl.train import fold_sets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mudata import MuData
    from numpy.typing import NDArray

_MODEL = "HistGradientBoostingRegressor on gene-level features"


def baseline_expression(
    mdata: MuData,
    *,
    assay: str,
    scheme: str | None = None,
    sample: str | Iterable[str] | None = None,
    key_added: str | None = None,
    rng: int | None = None,
    copy: bool = False,
) -> MuData | None:
    """Predict expression without sequence: boosted trees on gene-level numbers, out of fold.

    Each gene is predicted by trees that were fitted on the training and validation chromosomes of the fold that tests
    it. A sequence model is worth what it adds to this.

    Parameters
    ----------
    mdata
        Object with ``links``, expression and folds (:func:`eregtools.pp.split`).
    assay
        Layer of ``genes`` to predict.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``.
    sample
        Biosamples, each with trees of its own; ``None``: all.
    key_added
        Layer to write; ``None``: ``f"{assay}_baseline"``.
    rng
        Seed; ``None``: ``settings.seed``.
    copy
        Return a new object and leave this one alone.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["genes"].layers[f"{assay}_baseline"]``
        Out-of-fold prediction ``(n_samples, n_genes)``, float32; NaN for genes that no fold tests.
    ``mdata.uns["eregtools"]["results"]``
        That it is the baseline.

    Raises
    ------
    KeyError
        Expression or folds are missing.

    See Also
    --------
    gene_features : the numbers that the trees are given.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.io.read("mine.h5mu")  # doctest: +SKIP
    >>> er.tl.baseline_expression(mdata, assay="RNA")  # doctest: +SKIP
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    mdata = mdata.copy() if copy else mdata
    genes = require_genes(mdata)
    key = key_added or f"{assay}_baseline"
    target = require_layer(genes, assay, f'er.pp.add_expression(mdata, …, assay="{assay}")').astype(np.float64)
    samples = pick_samples(mdata, sample)
    values = layer_to_fill(genes, key, mdata.obs_names.get_indexer(samples))
    sets, scheme = fold_sets(mdata, scheme, genes.var[Var.chromosome].astype(str).to_numpy())
    seed = settings.seed if rng is None else rng
    rows = []
    for name in samples:
        row = mdata.obs_names.get_loc(name)
        features = gene_features(mdata, name).to_numpy()
        measured = np.isfinite(target[row])
        for fold in sets.columns:
            held_out = (sets[fold] == "test").to_numpy()
            fitted = ~held_out & measured
            if not held_out.any() or fitted.sum() < 2:
                continue
            trees = HistGradientBoostingRegressor(random_state=seed).fit(features[fitted], target[row, fitted])
            values[row, held_out] = trees.predict(features[held_out])
            rows.append({"sample": name, "fold": int(fold), "model": _MODEL, "recipe": str(scheme)})
        logger.info("%s: %d of %d genes have a baseline", name, np.isfinite(values[row]).sum(), genes.n_vars)
    record_result(mdata, f"{Modality.genes}:{key}", rows, samples)
    put_layer(mdata, Modality.genes, key, values)
    return mdata if copy else None


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
