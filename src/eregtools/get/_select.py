"""Parts of the object by the names a user gives: samples, genes, layers. An error says which there are."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import sparse

from eregtools._keys import Layer, Modality, Var
from eregtools._schema import listed, require_modality

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_LAYER_MADE_BY: Final = {
    (Modality.genes, Layer.promoter_activity): "er.pp.promoter_activity",
    (Modality.enhancers, Layer.candidate): "er.pp.assemble",
    (Modality.enhancers, Layer.activity): "er.pp.activity",
    (Modality.enhancers, Layer.activity_pred): "er.tl.predict_activity",
    (Modality.links, Layer.candidate): "er.pp.link",
    (Modality.links, Layer.contact): "er.pp.add_contacts",
    (Modality.links, Layer.abc): "er.tl.abc",
    (Modality.links, Layer.attention): "er.tl.attention",
    (Modality.links, Layer.attention_abc): "er.tl.attention_abc",
    (Modality.links, Layer.crispr): "er.pp.add_crispr",
    (Modality.links, Layer.perturbation): "er.tl.perturb",
}


def sample_names(mdata: MuData, sample: str | Sequence[str] | None) -> list[str]:
    """Names of the chosen biosamples, each once; all where `sample` is None."""
    known = [str(name) for name in mdata.obs_names]
    if sample is None:
        return known
    chosen = [sample] if isinstance(sample, str) else list(sample)
    for name in chosen:
        if name not in known:
            raise KeyError(f"no sample {name!r} in the object; there are {listed(known)}{_did_you_mean(name, known)}")
    return list(dict.fromkeys(chosen))


def one_sample(mdata: MuData, sample: str | None) -> str:
    """Name of the chosen biosample, which must be named where the object has several."""
    names = sample_names(mdata, sample)
    if len(names) != 1:
        raise ValueError(f"the object has {len(names)} biosamples ({listed(names)}); name one with sample=")
    return names[0]


def find_gene(mdata: MuData, gene: str) -> str:
    """Id of a gene given by id or by name."""
    genes = require_modality(mdata, Modality.genes)
    if gene in genes.var_names:
        return gene
    labels = gene_labels(genes)
    ids = list(genes.var_names[labels == gene])
    if len(ids) > 1:
        raise ValueError(f"gene name {gene!r} belongs to {len(ids)} ids ({listed(ids)}); give one of the ids")
    if not ids:
        known = [*labels, *genes.var_names]
        raise KeyError(f"no gene {gene!r} among {genes.n_vars:,} genes of the object{_did_you_mean(gene, known)}")
    return str(ids[0])


def gene_labels(genes: AnnData) -> np.ndarray:
    """Name of every gene; its id where it has no name."""
    ids = genes.var_names.to_numpy(dtype=object)
    if Var.gene_name not in genes.var:
        return ids
    names = genes.var[Var.gene_name].astype(object)
    return np.where(names.isna() | (names == ""), ids, names)


def check_layer(mdata: MuData, modality: str, layer: str) -> None:
    """Refuse a layer that is not there: the error says what makes it, or which name is close."""
    adata = require_modality(mdata, modality)
    if layer in adata.layers:
        return
    known = [str(name) for name in adata.layers if name is not None]
    made_by = _LAYER_MADE_BY.get((modality, layer))
    if modality == Modality.genes and layer.endswith("_pred"):
        made_by = f"er.tl.predict_expression(mdata, assay={layer.removesuffix('_pred')!r})"
    way_out = f". Run {made_by} first" if made_by else _did_you_mean(layer, known)
    raise KeyError(f"no layer {layer!r} in {modality}; there are {listed(known)}{way_out}")


def layer_row(adata: AnnData, layer: str, sample: str) -> np.ndarray:
    """Values ``(n_vars,)`` of one biosample in a layer, dense or sparse."""
    if sample not in adata.obs_names:
        raise KeyError(f"sample {sample!r} is in the object but not in this modality ({listed(adata.obs_names)})")
    values = adata.layers[layer]
    at = adata.obs_names.get_loc(sample)
    return values[[at], :].toarray().ravel() if sparse.issparse(values) else np.asarray(values[at])


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    """Question for close matches, or nothing."""
    spelled = {str(other).upper(): str(other) for other in known}
    found = [spelled[match] for match in difflib.get_close_matches(name.upper(), spelled, n=3, cutoff=0.6)]
    return f". Did you mean {' or '.join(found)}?" if found else ""
