"""Scores of enhancer-gene links."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from eregtools._keys import Layer, Modality
from eregtools._schema import check_layer_name, layer_to_fill, put_layer
from eregtools.tl._models import record_result
from eregtools.tl.expression import RunSettings, pick_samples, require_genes, run_epinformer

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

_FLOOR = 1e-5
"""Added to every attention weight before the mean over layers, as the authors do."""


def attention(
    mdata: MuData,
    model: Any = None,
    *,
    assay: str = "CAGE",
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    recipe: str | None = None,
    sample: str | Iterable[str] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    key_added: str = Layer.attention,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Score each link by the attention that EPInformer's promoter pays to the enhancer.

    The score is the mean over layers of the head-averaged weight (plus 1e-5), divided by its sum over the gene's
    enhancers; the promoter's weight on itself is left out.

    Parameters
    ----------
    mdata, model, fold, genome, sample, device, batch_size, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_expression`.
    assay
        Which published weights; the authors score links with the CAGE models.
    recipe
        ``None``: the recipe that the weights were trained with. ``"crispri-legacy"``: what the authors' CRISPRi
        benchmark fed to them, with its four deviations from training (log10(0.1 + activity); log10(0.1 + 10 ·
        contact) of a contact in 0..100; −1 for both in the promoter's slot; z-scored exon-junction density), which
        are needed to reproduce the published numbers and only for that.
    key_added
        Layer to write.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["links"].layers["attention"]``
        Score ``(n_samples, n_links)``, float32; sums to 1 over the links of a gene that were scored, NaN for links
        that are not the sample's, lie beyond the recipe's cap, or whose gene was not predicted.
    ``mdata.uns["eregtools"]["results"]``
        Which weights and recipe made it.

    Raises
    ------
    KeyError, ValueError, FileNotFoundError
        As :func:`eregtools.tl.predict_expression`.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026, and their CRISPRi notebook.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.io.read("k562.h5mu")  # doctest: +SKIP
    >>> er.tl.attention(mdata, genome="hg38.fa")  # doctest: +SKIP
    >>> er.get.links(mdata, layers=["attention"]).nlargest(5, "attention")  # doctest: +SKIP
    """
    mdata = mdata.copy() if copy else mdata
    check_layer_name(key_added, "key_added")
    require_genes(mdata)
    samples = pick_samples(mdata, sample)
    values = layer_to_fill(mdata[Modality.links], key_added, mdata.obs_names.get_indexer(samples))
    rows = []
    settings = RunSettings(assay, fold, genome, device, batch_size, allow_cross_cell, allow_leakage, recipe)
    for run in run_epinformer(mdata, model, samples, settings, "Scoring links"):
        row = mdata.obs_names.get_loc(run.sample)
        values[row, run.inputs.link] = attention_score(run.attention, run.inputs.offsets)
        rows.append(run.provenance)
    record_result(mdata, f"{Modality.links}:{key_added}", rows, samples)
    put_layer(mdata, Modality.links, key_added, values)
    return mdata if copy else None


def attention_score(weights: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Attention weights ``(n_layers, n_links)`` of genes' links to scores ``(n_links,)`` that sum to 1 a gene.

    Parameters
    ----------
    weights
        Attention of the promoter to each link's enhancer, averaged over heads.
    offsets
        Links of gene ``i`` are ``offsets[i]:offsets[i + 1]``.
    """
    mean = (weights.astype(np.float64) + _FLOOR).mean(axis=0)
    counts = np.diff(offsets)
    owner = np.repeat(np.arange(len(counts)), counts)
    total = np.bincount(owner, weights=mean, minlength=len(counts))
    return (mean / total[owner]).astype(np.float32)
