"""Predict gene expression with EPInformer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eregtools._keys import Layer, Modality
from eregtools._logging import logger
from eregtools._schema import check_layer_name, layer_to_fill, put_layer
from eregtools._settings import settings as session
from eregtools.genome import Genome
from eregtools.tl._models import record_result
from eregtools.tl.expression import RunSettings, pick_samples, require_genes, run_epinformer

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from mudata import MuData
    from numpy.typing import NDArray


def predict_expression(
    mdata: MuData,
    model: Any = None,
    *,
    assay: str = "RNA",
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    sample: str | Iterable[str] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    shuffle: bool = False,
    rng: int | None = None,
    key_added: str | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Predict the expression of every gene from its promoter and linked enhancers.

    Each distinct promoter and enhancer is encoded once, only the part of its window that holds sequence is
    computed, and genes are never padded to the model's largest number of enhancers; the numbers are those of the
    plain network.

    Parameters
    ----------
    mdata
        Object with ``links`` and the features that the model's recipe names.
    model
        ``None``: published weights for the biosample and assay. A name in ``er.models.list()`` or of a set of fold
        models, a folder, a ``.pt`` file, a module, a list or ``{fold: model}`` of fold models, or
        ``{sample: any of these}``.
    assay
        ``"RNA"`` (z-score of log10(RPKM + 0.1) for the published weights) or ``"CAGE"`` (log10(1 + counts)).
    fold
        ``"auto"``: each gene by the model that never saw its chromosome. A number: every gene by that fold's model,
        which is refused where it saw a gene's chromosome.
    genome
        Genome, FASTA path or registered name; ``None``: the genome named in the object.
    sample
        Biosamples to predict; ``None``: all.
    device
        ``None``: ``settings.device``.
    batch_size
        Genes that go through attention together; ``None``: as many as fit a bounded memory. Of no consequence for
        the result.
    shuffle
        Predict from shuffled sequence: that of each promoter and enhancer is shuffled with its dinucleotides kept,
        everything else stays. What the model predicts all the same, it does not read in the order of bases. The
        result is marked.
    rng
        Seed of the shuffling; ``None``: ``settings.seed``.
    key_added
        Layer to write; ``None``: ``f"{assay}_pred"``, and ``f"{assay}_shuffled_pred"`` for shuffled sequence.
    allow_cross_cell
        Use weights trained on another biosample; the result is marked.
    allow_leakage
        Let a numbered fold predict genes on chromosomes it was trained on; the result is marked.
    copy
        Return a new object and leave this one alone.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["genes"].layers[f"{assay}_pred"]`` (or ``f"{assay}_shuffled_pred"``)
        Prediction ``(n_samples, n_genes)``, float32, on the scale of the training target; NaN where none was made.
    ``mdata.uns["eregtools"]["results"]``
        Which weights made it, one row a biosample and fold.

    Raises
    ------
    KeyError
        A feature of the recipe is missing (the message names the call that adds it); no weights for the biosample.
    ValueError
        Weights of another biosample, assay or architecture; the object is a view.
    FileNotFoundError
        The weights are not at hand.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026. Genes without enhancers are predicted from their
    promoter; genes whose promoter sequence is unknown, or that lack a feature, are NaN.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> er.tl.predict_expression(mdata, "EPInformer-small-simulated", assay="RNA")
    >>> predicted, measured = mdata["genes"].to_df("RNA_pred"), mdata["genes"].to_df("RNA")
    >>> bool((predicted.T.corrwith(measured.T) > 0.5).all())
    True
    """
    mdata = mdata.copy() if copy else mdata
    key = key_added or (Layer.shuffled_pred(assay) if shuffle else Layer.expression_pred(assay))
    check_layer_name(key, "key_added")
    genes = require_genes(mdata)
    samples = pick_samples(mdata, sample)
    filled = mdata.obs_names.get_indexer(samples)
    values = layer_to_fill(genes, key, filled)
    settings = RunSettings(assay, fold, genome, device, batch_size, allow_cross_cell, allow_leakage)
    if shuffle:
        settings = replace(settings, shuffled=session.seed if rng is None else rng)
    values[filled], rows = predicted_expression(mdata, model, samples, settings)
    record_result(mdata, f"{Modality.genes}:{key}", rows, samples)
    put_layer(mdata, Modality.genes, key, values)
    return mdata if copy else None


def predicted_expression(
    mdata: MuData, model: Any, samples: list[str], settings: RunSettings
) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
    """Predictions ``(n_samples, n_genes)``, NaN where none was made, and which weights made them."""
    values = np.full((len(samples), mdata[Modality.genes].n_vars), np.nan, dtype=np.float32)
    rows = []
    what = "Predicting expression" if settings.shuffled is None else "Predicting from shuffled sequence"
    for run in run_epinformer(mdata, model, samples, settings, what):
        values[samples.index(run.sample), run.inputs.gene] = run.expression
        rows.append(run.provenance)
    for name, predicted in zip(samples, np.isfinite(values).sum(axis=1), strict=True):
        n_folds = len({row["fold"] for row in rows if row["sample"] == name})
        logger.info(
            "%s: %d of %d genes predicted%s with %d fold models",
            name,
            predicted,
            values.shape[1],
            "" if settings.shuffled is None else " from shuffled sequence",
            n_folds,
        )
    return values, rows
