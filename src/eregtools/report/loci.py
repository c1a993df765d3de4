"""Genes, enhancers and links as compact columns, from which the page draws loci and fills its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, LINK_SCORES, UNS, Layer, Modality, Uns, Var
from eregtools._schema import link_positions
from eregtools.get._select import find_gene, gene_labels, layer_row
from eregtools.pl._region import flank_of
from eregtools.pl.locus import UNITS, signal_layers
from eregtools.ranges import merge_touching, overlaps
from eregtools.report._columns import codes, flags, numbers, rows_of
from eregtools.report.ernas import erna_columns, erna_views

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

_GENE_FIELDS = ("id", "name", "chromosome", "start", "end", "tss", "strand", "listed", "viewStart", "viewEnd")


def loci(mdata: MuData, samples: Sequence[str], genes: str | Sequence[str] | None) -> dict[str, Any] | None:
    """Columns of the chosen genes, their links, loci of enhancer RNA, and all that lies in view of them.

    Loci are those in view of the chosen genes; all of them, where all genes are chosen. ``None`` where there are
    neither genes nor loci.

    Raises
    ------
    KeyError
        A gene is not in the object.
    ValueError
        No gene is chosen, or a gene name belongs to several ids.
    """
    if not {Modality.genes, Modality.ernas} & set(mdata.mod):
        return None
    chosen = _chosen(mdata, genes)
    link_rows, gene_of, enhancer_of = _links_of(mdata, samples, chosen)
    views = _views(mdata, chosen, gene_of, enhancer_of)
    transcribed = np.zeros(0, dtype=bool)
    if Modality.ernas in mdata.mod:
        var = mdata[Modality.ernas].var
        transcribed = np.ones(len(var), dtype=bool) if genes is None else overlaps(var, merge_touching(views)[0])
        of_loci = erna_views(var[transcribed])
    else:
        of_loci = views[:0]
    merged, _ = merge_touching(pd.concat([part for part in (views, of_loci) if len(part)] or [views]))
    chromosomes: list[str] = []
    content: dict[str, Any] = {
        "samples": list(samples),
        "genome": str(mdata.uns.get(UNS, {}).get(Uns.genome, "")),
        "chromosomes": chromosomes,
        "enhancers": None,
        "links": None,
        "ernas": None,
    }
    shown = chosen
    if Modality.genes in mdata.mod:
        shown = chosen | overlaps(mdata[Modality.genes].var, merged)
        chromosomes += dict.fromkeys(mdata[Modality.genes].var[Var.chromosome].astype(str))
        content["genes"] = _genes(mdata[Modality.genes], shown, chosen, views, chromosomes)
        content["columns"] = _gene_columns(mdata, samples, shown)
    else:
        content["genes"], content["columns"] = {key: [] for key in _GENE_FIELDS}, []
    if Modality.enhancers in mdata.mod:
        enhancers = mdata[Modality.enhancers]
        near = overlaps(enhancers.var, merged)
        content["enhancers"] = _enhancers(mdata, samples, near, chromosomes)
        if link_rows is not None:
            gene_at, at = np.cumsum(shown) - 1, np.cumsum(near) - 1
            content["links"] = _links(mdata, samples, link_rows, gene_at[gene_of], at[enhancer_of])
    if Modality.ernas in mdata.mod:
        content["ernas"] = erna_columns(mdata, samples, transcribed, chromosomes)
    return content if chosen.any() or transcribed.any() else None


def _chosen(mdata: MuData, genes: str | Sequence[str] | None) -> NDArray[np.bool_]:
    if genes is None:
        names = mdata[Modality.genes].var_names if Modality.genes in mdata.mod else ()
        return np.ones(len(names), dtype=bool)
    wanted = [genes] if isinstance(genes, str) else list(genes)
    if not wanted:
        raise ValueError("genes= is empty; name genes by id or name, or leave it out for all")
    ids = [find_gene(mdata, name) for name in wanted]
    return np.asarray(mdata[Modality.genes].var_names.isin(ids))


def _links_of(
    mdata: MuData, samples: Sequence[str], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64], NDArray[np.int64]]:
    """Links of the chosen genes that a biosample has, gene by gene, and the rows of what they join."""
    nothing = np.empty(0, dtype=np.int64)
    if not {Modality.genes, Modality.links, Modality.enhancers} <= set(mdata.mod):
        return None, nothing, nothing
    gene, enhancer = link_positions(mdata)
    links = mdata[Modality.links]
    own = np.any([layer_row(links, Layer.candidate, name) > 0 for name in samples], axis=0)
    rows = np.flatnonzero(own & chosen[gene])
    start = mdata[Modality.enhancers].var[Var.start].to_numpy()
    rows = rows[np.lexsort((start[enhancer[rows]], gene[rows]))]
    return rows, gene[rows], enhancer[rows]


def _views(
    mdata: MuData, chosen: NDArray[np.bool_], gene_of: NDArray[np.int64], enhancer_of: NDArray[np.int64]
) -> pd.DataFrame:
    """Region of each chosen gene: its body, its links, and a margin, as :func:`eregtools.pl.locus` shows it."""
    if Modality.genes not in mdata.mod:
        return pd.DataFrame({name: [] for name in INTERVAL})
    var = mdata[Modality.genes].var
    tss = var[Var.tss].to_numpy(dtype=np.int64)
    start = np.minimum(var[Var.start].to_numpy(dtype=np.int64), tss)
    end = np.maximum(var[Var.end].to_numpy(dtype=np.int64), tss + 1)
    if len(gene_of):
        enhancers = mdata[Modality.enhancers].var
        np.minimum.at(start, gene_of, enhancers[Var.start].to_numpy(dtype=np.int64)[enhancer_of])
        np.maximum.at(end, gene_of, enhancers[Var.end].to_numpy(dtype=np.int64)[enhancer_of])
    flank = flank_of(start, end)
    columns = (var[Var.chromosome].astype(str).to_numpy(), np.maximum(start - flank, 0), end + flank)
    return pd.DataFrame(dict(zip(INTERVAL, columns, strict=True)), index=var.index)[chosen]


def _genes(
    adata: AnnData,
    shown: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
    views: pd.DataFrame,
    chromosomes: list[str],
) -> dict[str, Any]:
    var = adata.var[shown]
    inside = chosen[shown]
    view = views.reindex(var.index)
    return {
        "id": var.index.astype(str).tolist(),
        "name": [str(name) for name in gene_labels(adata)[shown]],
        "chromosome": codes(var, chromosomes),
        "start": var[Var.start].tolist(),
        "end": var[Var.end].tolist(),
        "tss": var[Var.tss].tolist(),
        "strand": "".join(strand if strand in ("+", "-") else "." for strand in var[Var.strand].astype(str)),
        "listed": inside.astype(int).tolist(),
        "viewStart": [int(at) if known else 0 for at, known in zip(view[Var.start], inside, strict=True)],
        "viewEnd": [int(at) if known else 0 for at, known in zip(view[Var.end], inside, strict=True)],
    }


def _gene_columns(mdata: MuData, samples: Sequence[str], shown: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Measured, predicted and baseline expression, and promoter activity."""
    genes = mdata[Modality.genes]
    transforms = mdata.uns.get(UNS, {}).get(Uns.transforms, {})
    wanted: dict[str, tuple[str, str]] = {}
    for assay, record in transforms.items():
        transform = str(record.get("name", "none"))
        wanted[assay] = (assay, "" if transform == "none" else transform)
        wanted[Layer.expression_pred(assay)] = (f"{assay}, predicted", "")
        wanted[Layer.expression_baseline(assay)] = (f"{assay}, baseline", "")
    for name in genes.layers:
        if name and name.endswith("_pred") and not name.endswith("_shuffled_pred") and name not in wanted:
            wanted[name] = (f"{name.removesuffix('_pred')}, predicted", "")
    wanted[Layer.promoter_activity] = ("promoter activity", UNITS[Layer.activity])
    return [
        {"key": layer, "name": name, "unit": unit, "values": rows_of(genes, layer, samples, shown)}
        for layer, (name, unit) in wanted.items()
        if layer in genes.layers
    ]


def _enhancers(
    mdata: MuData, samples: Sequence[str], near: NDArray[np.bool_], chromosomes: list[str]
) -> dict[str, Any]:
    adata = mdata[Modality.enhancers]
    var = adata.var[near]
    names = var.index.astype(str).to_numpy(dtype=object)
    plain = [
        f"{chromosome}:{start}-{end}"
        for chromosome, start, end in zip(*(var[column].tolist() for column in INTERVAL), strict=True)
    ]
    classes: pd.Series | None = var[Var.element_class].astype(str) if Var.element_class in var else None
    return {
        "chromosome": codes(var, chromosomes),
        "start": var[Var.start].tolist(),
        "end": var[Var.end].tolist(),
        "name": {str(i): str(name) for i, name in enumerate(names) if name != plain[i]},
        "class": None if classes is None else classes.tolist(),
        "candidate": [flags(layer_row(adata, Layer.candidate, name)[near]) for name in samples],
        "tracks": [
            {"name": layer, "unit": UNITS.get(layer, "signal"), "values": rows_of(adata, layer, samples, near)}
            for layer in (*signal_layers(mdata), Layer.activity_pred)
            if layer in adata.layers
        ],
    }


def _links(
    mdata: MuData,
    samples: Sequence[str],
    rows: NDArray[np.int64],
    gene: NDArray[np.int64],
    enhancer: NDArray[np.int64],
) -> dict[str, Any]:
    from eregtools.pl._link_tracks import unit_of

    adata = mdata[Modality.links]
    own = [layer_row(adata, Layer.candidate, name)[rows] for name in samples]
    scores = []
    for layer in _score_layers(adata):
        unit, factor = unit_of(mdata, layer)
        values = [layer_row(adata, layer, name)[rows].astype(float) * factor for name in samples]
        values = [np.where(mask > 0, of, np.nan) for of, mask in zip(values, own, strict=True)]
        scores.append({"name": layer, "unit": unit, "values": [numbers(of) for of in values]})
    return {
        "gene": gene.tolist(),
        "enhancer": enhancer.tolist(),
        "own": [flags(of) for of in own],
        "scores": scores,
    }


def _score_layers(links: AnnData) -> list[str]:
    """Layers that say how strong links are, the usual ones first."""
    known = {str(name) for name in links.layers if name is not None} - {Layer.candidate}
    parts = {part(name) for name in known for part in (Layer.numerator, Layer.predicted)}
    first = [name for name in LINK_SCORES if name in known]
    return [*first, *sorted(known - parts - set(first))]
