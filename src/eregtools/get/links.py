"""Enhancer–gene links as a tidy table or as a sparse matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from eregtools._keys import INTERVAL, Layer, Modality, Var
from eregtools._schema import listed, positions, require_modality
from eregtools.get._select import check_layer, find_gene, gene_labels, layer_row, sample_names

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def links(
    mdata: MuData,
    *,
    sample: str | Sequence[str] | None = None,
    layers: str | Sequence[str] | None = None,
    gene: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Links as a tidy table, one row per biosample and link.

    A link belongs to a biosample if its enhancer is one of the sample's candidates (layer `candidate` is 1);
    other links are left out. Without that layer, every link belongs to every sample.

    Parameters
    ----------
    mdata
        Object with genes, enhancers and links.
    sample
        Biosamples to take, in this order; default all.
    layers
        Layers of ``links`` to add as columns; default all but `candidate`. ``()`` adds none.
    gene
        Genes to take, by id or by name; default all.

    Returns
    -------
    Columns `sample`, `gene`, `gene_name`, `enhancer`, `Chromosome`, `Start`, `End` (of the enhancer, 0-based
    half-open), `distance` (bp from the TSS, negative upstream), and one per layer. Rows in the order of
    samples, then of ``links.var``.

    Raises
    ------
    KeyError
        A sample, layer or gene is not in the object.
    ValueError
        A gene name belongs to several ids, or a link names an element that is not in the object.

    Examples
    --------
    >>> import anndata as ad, mudata as md, numpy as np, pandas as pd
    >>> import eregtools as er
    >>> obs = pd.DataFrame(index=["K562"])
    >>> def modality(var, **layers):
    ...     layers = {k: np.array([v], dtype=np.float32) for k, v in layers.items()}
    ...     return ad.AnnData(obs=obs, var=pd.DataFrame(var).set_index("id"), layers=layers)
    >>> genes = modality({"id": ["G1"], "gene_name": ["MYC"]})
    >>> element = {"id": ["e1", "e2"], "Chromosome": "chr1", "Start": [5, 50], "End": [9, 59]}
    >>> link = {"id": ["e1|G1", "e2|G1"], "gene": "G1", "enhancer": ["e1", "e2"], "distance": [-10.0, 37.5]}
    >>> link = modality(link, candidate=[1, 0], contact=[0.2, 0.1])
    >>> mdata = md.MuData({"genes": genes, "enhancers": modality(element), "links": link})
    >>> er.get.links(mdata)[["sample", "gene_name", "enhancer", "Start", "distance", "contact"]]
      sample gene_name enhancer  Start  distance  contact
    0   K562       MYC       e1      5     -10.0      0.2
    """
    linked = require_modality(mdata, Modality.links)
    genes = require_modality(mdata, Modality.genes)
    enhancers = require_modality(mdata, Modality.enhancers)
    samples = sample_names(mdata, sample)
    if layers is None:
        layers = [layer for layer in linked.layers if layer is not None and layer != Layer.candidate]
    elif isinstance(layers, str):
        layers = [layers]
    for layer in layers:
        check_layer(mdata, Modality.links, layer)

    gene_at = _rows_of(linked.var[Var.gene], genes.var_names, Modality.genes)
    enhancer_at = _rows_of(linked.var[Var.enhancer], enhancers.var_names, Modality.enhancers)
    chosen = np.ones(linked.n_vars, dtype=bool)
    if gene is not None:
        wanted = [find_gene(mdata, name) for name in ([gene] if isinstance(gene, str) else gene)]
        chosen = np.isin(gene_at, genes.var_names.get_indexer(wanted))
    rows = [np.flatnonzero(chosen & _own_links(linked, name)) for name in samples]
    row = np.concatenate(rows) if rows else np.empty(0, dtype=int)

    table = pd.DataFrame(
        {
            "sample": pd.Categorical(np.repeat(samples, [len(r) for r in rows]), categories=samples),
            Var.gene: linked.var[Var.gene].array[row],
            Var.gene_name: gene_labels(genes)[gene_at[row]],
            Var.enhancer: linked.var[Var.enhancer].array[row],
            **{column: enhancers.var[column].array[enhancer_at[row]] for column in INTERVAL},
            Var.distance: linked.var[Var.distance].to_numpy()[row],
        }
    )
    for layer in layers:
        values = [layer_row(linked, layer, name)[r] for name, r in zip(samples, rows, strict=True)]
        table[layer] = np.concatenate(values) if values else np.empty(0, dtype=np.float32)
    return table


def link_matrix(mdata: MuData, layer: str, *, sample: str | None = None) -> sparse.csr_array:
    """One layer of the links of one biosample as a sparse matrix of genes × enhancers.

    Values that were not made (NaN) and links that are not the sample's own (layer `candidate` is not 1) are
    no entries; a value of 0 is an entry.

    Parameters
    ----------
    mdata
        Object with genes, enhancers and links.
    layer
        Layer of ``links``.
    sample
        Biosample; default the only one.

    Returns
    -------
    Matrix ``(n_genes, n_enhancers)``, rows and columns in the order of the modalities.

    Raises
    ------
    KeyError
        The sample or the layer is not in the object.
    ValueError
        There are several samples and none is named, or a link names an element that is not in the object.

    Examples
    --------
    >>> import anndata as ad, mudata as md, numpy as np, pandas as pd
    >>> import eregtools as er
    >>> obs = pd.DataFrame(index=["K562"])
    >>> def modality(names, **columns):
    ...     return ad.AnnData(obs=obs, var=pd.DataFrame(columns, index=names))
    >>> link = modality(["e2|G1", "e1|G2"], gene=["G1", "G2"], enhancer=["e2", "e1"])
    >>> link.layers["contact"] = np.array([[0.5, np.nan]], dtype=np.float32)
    >>> parts = {"genes": modality(["G1", "G2"]), "enhancers": modality(["e1", "e2"]), "links": link}
    >>> mdata = md.MuData(parts)
    >>> er.get.link_matrix(mdata, "contact").toarray()
    array([[0. , 0.5],
           [0. , 0. ]], dtype=float32)
    """
    linked = require_modality(mdata, Modality.links)
    genes = require_modality(mdata, Modality.genes)
    enhancers = require_modality(mdata, Modality.enhancers)
    check_layer(mdata, Modality.links, layer)
    samples = sample_names(mdata, sample)
    if len(samples) != 1:
        raise ValueError(
            f"a link matrix is of one sample and the object has {len(samples)} ({listed(samples)}); "
            "name it with sample="
        )
    gene_at = _rows_of(linked.var[Var.gene], genes.var_names, Modality.genes)
    enhancer_at = _rows_of(linked.var[Var.enhancer], enhancers.var_names, Modality.enhancers)
    values = layer_row(linked, layer, samples[0])
    keep = _own_links(linked, samples[0]) & ~np.isnan(values)
    if not keep.all():
        gene_at, enhancer_at, values = gene_at[keep], enhancer_at[keep], values[keep]
    shape = (genes.n_vars, enhancers.n_vars)
    return sparse.csr_array((values, (gene_at, enhancer_at)), shape=shape)


def _own_links(linked: AnnData, sample: str) -> np.ndarray:
    """Mask ``(n_links,)`` of the links whose enhancer is a candidate of the sample."""
    if Layer.candidate not in linked.layers:
        return np.ones(linked.n_vars, dtype=bool)
    return layer_row(linked, Layer.candidate, sample) == 1


def _rows_of(column: pd.Series, names: pd.Index, modality: str) -> np.ndarray:
    """Row of each link's element in its modality."""
    at = positions(column, names)
    if len(at) and at.min() < 0:
        link = int(np.argmin(at))
        raise ValueError(
            f"link {column.index[link]!r} names {column.iloc[link]!r}, which is not among the "
            f"{len(names):,} {modality}; take subsets with er.pp.subset"
        )
    return at
