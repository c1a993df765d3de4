"""The figure that shows a part of the genome: arcs, tracks, enhancers and genes over one axis, and a zoom below.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from mudata import MuData

from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._schema import require_modality
from eregtools.get._select import gene_labels, layer_row
from eregtools.pl import _layout, _panels, _style, _zoom
from eregtools.pl._erna_tracks import Calls
from eregtools.pl._region import Region, elements_in
from eregtools.pl._themes import in_force

_NARROWEST = 0.5
"""Inches that panels need."""


def draw_locus(
    mdata: MuData,
    region: Region,
    samples: Sequence[str],
    tracks: Sequence[_layout.Track],
    *,
    title: str,
    arcs: str | None = None,
    curves: pd.DataFrame | None = None,
    labels: Mapping[str, str] | None = None,
    zoom: _zoom.Zoom | None = None,
    calls: Calls | None = None,
    note: str = "",
    ax: Axes | None,
    show: bool | None,
    figsize: tuple[float, float | None] | None,
) -> list[Axes] | None:
    """Panels from top to bottom: arcs, a panel for each track and sample, called loci, enhancers, genes, zoom.

    `curves` are links with their ``weight``, the layer `arcs`, and the ``center`` and ``tss`` that they join; without
    arcs, `note` stands in their header. `labels` are those of the enhancers to mark, and `title` names the view in
    messages.
    """
    genes, enhancers = elements_in(mdata, region)
    labels, curves = labels or {}, pd.DataFrame() if curves is None else curves
    scales = {track.name: _layout.Scale.of(track.values.values()) for track in tracks}
    beside = [*scales.values(), *(zoom.scales if zoom is not None else ())]
    left = _layout.left_margin(samples, beside)
    figsize = _style.in_print(figsize) or (_style.ONE_COLUMN, None)
    view = _layout.View(region, _width(figsize[0] - left - _layout.RIGHT, ax, title))
    placed = _placed_genes(mdata, genes, view)
    label_rows = _layout.label_rows(labels, enhancers, view)
    n_label_rows = 1 + max(label_rows.values(), default=-1)
    drawn = Modality.enhancers in mdata.mod
    rows = _layout.panel_rows(
        samples, tracks, placed, arcs=arcs is not None, n_label_rows=n_label_rows, enhancers=drawn
    )
    call_rows = {} if calls is None else calls.label_rows(view)
    if calls is not None:
        n_call_rows = 1 + max(call_rows.values(), default=-1)
        rows.insert(len(rows) - 1 - drawn, _layout.calls_row(len(samples), n_call_rows))
    if zoom is not None:
        zoom = zoom.fitted(view.width)
        rows += _layout.zoom_rows(window=zoom.wide)
    header = _layout.HEADER if arcs is not None or note or len(samples) == 1 else 0.05

    places, height = _layout.place_rows(rows, header)
    colors = dict(zip(samples, in_force().colors, strict=False))
    label_at = _layout.ticks_width(beside) + 0.03
    top = height - header
    with _style.drawing(ax):
        frame, panels = _panels.add_panels(rows, header, view, left=left, ax=ax, figsize=figsize, title=title)
        _panels.draw_guides(
            frame,
            view,
            bottom=places["genes"][1] + _layout.GAP / 2,
            top=top,
            tss=None if region.gene is None else float(genes[Var.tss].loc[region.gene]),
            marked=enhancers.loc[list(labels)],
        )
        _panels.draw_header(frame, arcs, curves, colors, view.width, note)
        if arcs is not None:
            _panels.draw_arcs(panels, curves, colors, view)
        for track in tracks:
            _panels.draw_track(panels, track, scales[track.name], enhancers, view, colors, label_at=label_at)
            _panels.draw_note(frame, track.note, places[f"{track.name}:{samples[0]}"][1], view)
        boxes_top = _layout.BOX_PITCH * len(samples)
        if calls is not None:
            plain = np.zeros(len(calls.loci), dtype=bool)
            _panels.draw_enhancers(panels["ernas"], calls.loci, calls.filled, view, colors, marked=plain, what="eRNAs")
            _panels.draw_enhancer_labels(panels["ernas"], calls.loci, calls.labels, call_rows, view, boxes_top)
            if len(samples) > 1:
                _panels.draw_side_label(panels["ernas"], "eRNAs", view)
        if drawn:
            outlined = enhancers.index.isin([*labels, *([] if zoom is None else [zoom.enhancer])])
            candidates = candidates_in(mdata, samples, enhancers)
            _panels.draw_enhancers(panels["enhancers"], enhancers, candidates, view, colors, marked=outlined)
            _panels.draw_enhancer_labels(panels["enhancers"], enhancers, labels, label_rows, view, boxes_top)
        _panels.draw_genes(panels["genes"], placed, view)
        _panels.draw_axis(panels["genes"], view, mdata.uns.get(UNS, {}).get(Uns.genome))
        if zoom is not None:
            _zoom.draw_zoom(frame, panels, places, zoom, mdata, view, top=top, label_at=label_at)
    return _style.finish(list(panels.values()), show=show, own_figure=ax is None)


def signal_at(mdata: MuData, layer: str, samples: Sequence[str], enhancers: pd.DataFrame) -> dict[str, np.ndarray]:
    """Values ``(n_enhancers,)`` of each sample at some enhancers."""
    adata = require_modality(mdata, Modality.enhancers)
    at = adata.var_names.get_indexer(enhancers.index)
    return {name: layer_row(adata, layer, name)[at].astype(float) for name in samples}


def candidates_in(mdata: MuData, samples: Sequence[str], enhancers: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which enhancers are candidates of each sample; all where that is not known."""
    if Layer.candidate not in require_modality(mdata, Modality.enhancers).layers:
        return {name: np.ones(len(enhancers), dtype=bool) for name in samples}
    return {name: row == 1 for name, row in signal_at(mdata, Layer.candidate, samples, enhancers).items()}


def _width(beside_labels: float, ax: Axes | None, title: str) -> float:
    """Inches between the left and right end of the panels."""
    width = beside_labels if ax is None else _style.size_of(ax)[0]
    if width < _NARROWEST:
        raise ValueError(
            f"{max(width, 0):.1f} in are left for the panels of {title!r} beside their labels; "
            "give more width by figsize= or ax="
        )
    return width


def _placed_genes(mdata: MuData, genes: pd.DataFrame, view: _layout.View) -> list[_layout.PlacedGene]:
    known = require_modality(mdata, Modality.genes)
    return _layout.place_genes(genes, dict(zip(known.var_names, gene_labels(known), strict=True)), view)
