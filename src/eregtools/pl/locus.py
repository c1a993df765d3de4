"""One locus: links, signal, enhancers and genes over a genomic axis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd

from eregtools import get
from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._schema import listed, require_modality
from eregtools.get._select import check_layer, gene_labels, layer_row, sample_names
from eregtools.pl._region import Region, elements_in, find_region

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

_LINK_LAYERS: Final = (Layer.attention, "attention_abc", Layer.abc, Layer.contact)
"""Layers that weigh the arcs, the preferred one first."""

_UNITS: Final = {Layer.activity: "a.u.", Layer.activity_pred: "log2"}
_MOST_UNNAMED, _MOST_SAMPLES = 4, 7
_DERIVED: Final = re.compile(r".*(_pred|_rep\d+)$")
"""Layers of enhancers that are no assay: predictions and replicates."""


def locus(
    mdata: MuData,
    gene_or_region: str,
    *,
    tracks: str | Sequence[str] | None = None,
    links: str | Literal[False] | None = None,
    sample: str | Sequence[str] | None = None,
    highlight: str | Sequence[str] | Mapping[str, str] | None = None,
    flank: int | None = None,
    threshold: float | None = None,
    max_arcs: int | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float | None] | None = None,
) -> list[Axes] | None:
    """Draw a locus: weighted links, signal of the elements, enhancers, genes.

    From the top: arcs from enhancers to the TSS of the gene (of every gene, for a region), wider and more
    opaque with the weight; signal per element, on one scale for all samples of a track; enhancers, filled
    where they are candidates of the sample; genes with strand, TSS and name. Elements are at least 1.5 points
    wide.

    Parameters
    ----------
    mdata
        Object with genes and enhancers, and links if they are to be drawn.
    gene_or_region
        Gene by id or name, or a region such as ``"chr1:1,000-2,000"`` (0-based half-open, as in names).
    tracks
        Layers of ``enhancers``; default `activity` if it exists, else the assays. ``()`` draws none.
    links
        Layer of ``links`` that weighs the arcs; default the first of `attention`, `attention_abc`, `abc` and
        `contact` that exists; False draws no arcs. Only a sample's own links are drawn, and only those with
        both ends in view. Negative weights are drawn dashed.
    sample
        Biosamples, at most 7; default all, if they are at most 4.
    highlight
        Enhancers to outline and label, by name; a mapping gives the text of each label.
    flank
        Bases to show on either side of the gene body or region. Default for a gene: as far as its links
        reach and 5 %; for a region: none.
    threshold
        Least absolute weight of a link that is drawn.
    max_arcs
        Most links drawn per sample, the strongest first.
    ax
        Axes whose place the panels take; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.
    figsize
        Inches. Default one journal column (89 mm) wide, and as high as the panels need; so is a height of
        None, as in ``(180 / 25.4, None)``.

    Returns
    -------
    None where the figure is shown, else the list of Axes from top to bottom: ``arcs:<sample>`` for each
    sample, ``<track>:<sample>`` for each track and sample, ``enhancers``, ``genes``. These names are the
    labels of the Axes (``ax.get_label()``).

    Raises
    ------
    KeyError
        A gene, sample, layer or highlighted enhancer is not in the object.
    ValueError
        A gene name belongs to several ids, a region holds nothing, or there are too many samples.

    Examples
    --------
    >>> import anndata as ad, mudata as md, numpy as np, pandas as pd
    >>> import eregtools as er
    >>> obs = pd.DataFrame(index=["K562"])
    >>> def modality(names, starts, ends, **columns):
    ...     var = pd.DataFrame({"Chromosome": "chr1", "Start": starts, "End": ends, **columns}, index=names)
    ...     return ad.AnnData(np.ones((1, len(var)), dtype=np.float32), obs=obs, var=var)
    >>> genes = modality(["G1"], [9_000], [20_000], Strand="+", tss=9_000, gene_name="MYC")
    >>> enhancers = modality(["chr1:2000-2500"], [2_000], [2_500])
    >>> enhancers.layers["activity"] = enhancers.X
    >>> mdata = md.MuData({"genes": genes, "enhancers": enhancers})
    >>> axes = er.pl.locus(mdata, "MYC", flank=10_000, show=False)
    >>> [ax.get_label() for ax in axes]
    ['activity:K562', 'enhancers', 'genes']
    """
    from eregtools.pl import _layout, _panels, _style

    samples = _samples(mdata, sample)
    layer = _link_layer(mdata, links)
    tracks = _track_layers(mdata, tracks)
    labels = _highlighted(mdata, highlight)
    region = find_region(mdata, gene_or_region, samples, flank)
    genes, enhancers = elements_in(mdata, region)
    for name in labels:
        if name not in enhancers.index:
            raise ValueError(f"highlighted {name!r} is outside of {region}; widen the view with flank=")
    arcs = _strongest(_arcs(mdata, region, layer, samples), threshold, max_arcs)
    signal = {track: _signal(mdata, track, samples, enhancers) for track in tracks}

    scales = {track: _layout.Scale.of(values.values()) for track, values in signal.items()}
    left = _layout.left_margin(samples, scales)
    figsize = figsize or (_style.ONE_COLUMN, None)
    width = figsize[0] - left - _layout.RIGHT if ax is None else ax.get_window_extent().width / ax.figure.dpi
    if width < 0.5:
        raise ValueError(
            f"{max(width, 0):.1f} in are left for the panels of {gene_or_region!r} beside their labels; "
            "give more width by figsize= or ax="
        )
    view = _layout.View(region, width)
    all_genes = require_modality(mdata, Modality.genes)
    placed = _layout.place_genes(genes, dict(zip(all_genes.var_names, gene_labels(all_genes), strict=True)), view)
    label_rows = _layout.label_rows(labels, enhancers, view)
    rows = _layout.panel_rows(
        samples, tracks, placed, arcs=layer is not None, n_label_rows=1 + max(label_rows.values(), default=-1)
    )
    header = _layout.HEADER if layer is not None or len(samples) == 1 else 0.05

    colors = dict(zip(samples, _style.COLORS, strict=False))
    with _style.mpl.rc_context(_style.RC):
        frame, panels = _panels.add_panels(rows, header, view, left=left, ax=ax, figsize=figsize, title=gene_or_region)
        _panels.draw_guides(
            frame,
            view,
            bottom=rows[-1].height + _layout.GAP / 2,
            top=frame.get_ylim()[1] - header,
            tss=None if region.gene is None else float(genes[Var.tss].loc[region.gene]),
            marked=enhancers.loc[list(labels)],
        )
        _panels.draw_header(frame, layer, arcs, colors, width)
        if layer is not None:
            _panels.draw_arcs(panels, arcs, colors, view)
        for track in tracks:
            _panels.draw_track(
                {name: panels[f"{track}:{name}"] for name in samples},
                f"{track}\n({_UNITS.get(track, 'signal')})",
                signal[track],
                scales[track],
                enhancers,
                view,
                colors,
                label_at=_layout.ticks_width(scales.values()) + 0.03,
            )
        candidates = _candidates(mdata, samples, enhancers)
        marked = enhancers.index.isin(list(labels))
        _panels.draw_enhancers(panels["enhancers"], enhancers, candidates, view, colors, marked=marked)
        _panels.draw_enhancer_labels(
            panels["enhancers"], enhancers, labels, label_rows, view, _layout.BOX_PITCH * len(samples)
        )
        _panels.draw_genes(panels["genes"], placed, view)
        _panels.draw_axis(panels["genes"], view, mdata.uns.get(UNS, {}).get(Uns.genome))
    return _style.finish(list(panels.values()), show=show, own_figure=ax is None)


def _samples(mdata: MuData, sample: str | Sequence[str] | None) -> list[str]:
    samples = sample_names(mdata, sample)
    most = _MOST_UNNAMED if sample is None else _MOST_SAMPLES
    if len(samples) > most:
        raise ValueError(
            f"a locus is drawn for up to {most} samples and there are {len(samples)} ({listed(samples)}); "
            "choose them with sample="
        )
    return samples


def _link_layer(mdata: MuData, links: str | Literal[False] | None) -> str | None:
    if links is False or (links is None and Modality.links not in mdata.mod):
        return None
    if links is None:
        return next((name for name in _LINK_LAYERS if name in mdata[Modality.links].layers), None)
    check_layer(mdata, Modality.links, links)
    return links


def _track_layers(mdata: MuData, tracks: str | Sequence[str] | None) -> list[str]:
    layers = require_modality(mdata, Modality.enhancers).layers
    if tracks is None:
        if Layer.activity in layers:
            return [Layer.activity]
        return [name for name in layers if name and name != Layer.candidate and not _DERIVED.match(name)]
    chosen = [tracks] if isinstance(tracks, str) else list(dict.fromkeys(tracks))
    for track in chosen:
        check_layer(mdata, Modality.enhancers, track)
    return chosen


def _highlighted(mdata: MuData, highlight: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if highlight is None:
        return {}
    if isinstance(highlight, str):
        highlight = [highlight]
    labels = dict(highlight) if isinstance(highlight, Mapping) else {name: name for name in highlight}
    names = require_modality(mdata, Modality.enhancers).var_names
    for name in labels:
        if name not in names:
            raise KeyError(f"no enhancer {name!r} to highlight among {len(names):,}; names look like {names[0]!r}")
    return labels


def _arcs(mdata: MuData, region: Region, layer: str | None, samples: list[str]) -> pd.DataFrame:
    """Weighted links of the region's gene, or of every gene, with both ends in the region."""
    if layer is None:
        return pd.DataFrame()
    genes = require_modality(mdata, Modality.genes).var
    shown = region.overlapping(genes)
    shown = shown[(shown[Var.tss] >= region.start) & (shown[Var.tss] < region.end)]
    names = list(shown.index) if region.gene is None else [region.gene]
    arcs = get.links(mdata, gene=names, sample=samples, layers=layer).rename(columns={layer: "weight"})
    arcs = arcs[(arcs[Var.start] >= region.start) & (arcs[Var.end] <= region.end) & arcs["weight"].notna()]
    center = (arcs[Var.start] + arcs[Var.end]) / 2
    return arcs.assign(center=center, tss=genes[Var.tss].loc[arcs[Var.gene]].to_numpy())


def _strongest(arcs: pd.DataFrame, threshold: float | None, max_arcs: int | None) -> pd.DataFrame:
    """Links over the threshold, the weakest first so that strong ones lie on top."""
    if arcs.empty:
        return arcs
    arcs = arcs.iloc[np.argsort(arcs["weight"].abs().to_numpy(), kind="stable")]
    if threshold is not None:
        arcs = arcs[arcs["weight"].abs() >= threshold]
    if max_arcs is not None:
        arcs = arcs.groupby("sample", observed=True).tail(max_arcs)
    return arcs


def _signal(mdata: MuData, layer: str, samples: list[str], enhancers: pd.DataFrame) -> dict[str, np.ndarray]:
    """Values ``(n_enhancers,)`` of each sample at some enhancers."""
    adata = require_modality(mdata, Modality.enhancers)
    at = adata.var_names.get_indexer(enhancers.index)
    return {name: layer_row(adata, layer, name)[at].astype(float) for name in samples}


def _candidates(mdata: MuData, samples: list[str], enhancers: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which enhancers are candidates of each sample; all where that is not known."""
    if Layer.candidate not in require_modality(mdata, Modality.enhancers).layers:
        return {name: np.ones(len(enhancers), dtype=bool) for name in samples}
    return {name: row == 1 for name, row in _signal(mdata, Layer.candidate, samples, enhancers).items()}
