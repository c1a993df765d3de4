"""Values of a gene's links over the positions of its enhancers, with arcs, enhancers and genes as in a locus.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from mudata import MuData

from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._schema import require_modality
from eregtools.get._select import gene_labels, layer_row
from eregtools.pl import _layout, _panels, _style
from eregtools.pl._region import elements_in, find_region

_LOLLIPOPS: Final = 0.62
"""Height of a panel of lollipops in inches."""


@dataclass(frozen=True)
class Track:
    """One number of each link.

    Attributes
    ----------
    name
        Axes are labelled ``<name>:<sample>``.
    unit
        Stands in parentheses under the name.
    values
        In the order of the table of links.
    lollipops
        Draw lollipops, else bars.
    filled
        Which lollipops have a filled head, in the same order; ``None``: all.
    black
        Draw it in black instead of in the colours of the samples.
    """

    name: str
    unit: str
    values: np.ndarray
    lollipops: bool = False
    filled: np.ndarray | None = None
    black: bool = False


def draw_link_tracks(
    mdata: MuData,
    links: pd.DataFrame,
    gene: str,
    samples: Sequence[str],
    tracks: Sequence[Track],
    *,
    arcs: str | None = None,
    note: str = "",
    ax: Axes | None,
    show: bool | None,
    figsize: tuple[float, float | None] | None,
) -> list[Axes] | None:
    """Panels from top to bottom: arcs, a panel for each track and sample, enhancers, genes.

    `links` are the gene's, as :func:`eregtools.get.links` gives them; `arcs` is the layer among its columns that
    weighs the arcs. Without arcs, `note` stands above the panels.
    """
    region = find_region(mdata, gene, samples, None)
    genes, enhancers = elements_in(mdata, region)
    tss = float(genes[Var.tss].loc[gene])
    values = {track.name: _by_sample(links, track.values, samples, enhancers) for track in tracks}
    scales = {name: _layout.Scale.of(of_samples.values()) for name, of_samples in values.items()}
    left = _layout.left_margin(samples, scales)
    figsize = figsize or (_style.ONE_COLUMN, None)
    width = figsize[0] - left - _layout.RIGHT if ax is None else ax.get_window_extent().width / ax.figure.dpi
    if width < 0.5:
        raise ValueError(
            f"{max(width, 0):.1f} in are left for the panels of {gene!r} beside their labels; "
            "give more width by figsize= or ax="
        )
    view = _layout.View(region, width)
    all_genes = require_modality(mdata, Modality.genes)
    placed = _layout.place_genes(genes, dict(zip(all_genes.var_names, gene_labels(all_genes), strict=True)), view)
    rows = _layout.panel_rows(samples, scales, placed, arcs=arcs is not None, n_label_rows=1)
    high = {f"{track.name}:{sample}" for track in tracks if track.lollipops for sample in samples}
    rows = [row._replace(height=max(row.height, _LOLLIPOPS)) if row.label in high else row for row in rows]
    colors = dict(zip(samples, _style.COLORS, strict=False))
    label_at = _layout.ticks_width(scales.values()) + 0.03
    with _style.mpl.rc_context(_style.RC):
        frame, panels = _panels.add_panels(rows, _layout.HEADER, view, left=left, ax=ax, figsize=figsize, title=gene)
        top = frame.get_ylim()[1]
        _panels.draw_guides(
            frame,
            view,
            bottom=rows[-1].height + _layout.GAP / 2,
            top=top - _layout.HEADER,
            tss=tss,
            marked=enhancers.iloc[:0],
        )
        curves = _curves(links, arcs, tss)
        _panels.draw_header(frame, arcs, curves, colors, width)
        if arcs is not None:
            _panels.draw_arcs(panels, curves, colors, view)
        else:
            frame.text(width, top - 0.07, note, va="center", ha="right", size=_style.SMALL)
        for track in tracks:
            axes = {sample: panels[f"{track.name}:{sample}"] for sample in samples}
            shades = dict.fromkeys(samples, _style.BLACK) if track.black else colors
            drawn, scale = values[track.name], scales[track.name]
            bars = {sample: np.full(len(enhancers), np.nan) for sample in samples} if track.lollipops else drawn
            _panels.draw_track(
                axes, f"{track.name}\n({track.unit})", bars, scale, enhancers, view, shades, label_at=label_at
            )
            if track.lollipops:
                heads = links.index >= 0 if track.filled is None else track.filled
                filled = _by_sample(links, np.asarray(heads, dtype=float), samples, enhancers)
                _draw_lollipops(axes, drawn, filled, scale, enhancers, shades)
        unmarked = np.zeros(len(enhancers), dtype=bool)
        candidates = _candidates(mdata, samples, enhancers)
        _panels.draw_enhancers(panels["enhancers"], enhancers, candidates, view, colors, marked=unmarked)
        _panels.draw_genes(panels["genes"], placed, view)
        _panels.draw_axis(panels["genes"], view, mdata.uns.get(UNS, {}).get(Uns.genome))
    return _style.finish(list(panels.values()), show=show, own_figure=ax is None)


def _by_sample(
    links: pd.DataFrame, values: np.ndarray, samples: Sequence[str], enhancers: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Values ``(n_enhancers,)`` of each sample's links at some enhancers; NaN where there is no link."""
    series = pd.Series(values, index=pd.MultiIndex.from_frame(links[["sample", Var.enhancer]].astype(str)), dtype=float)
    return {
        name: series[series.index.get_level_values(0) == name].droplevel(0).reindex(enhancers.index).to_numpy()
        for name in samples
    }


def _curves(links: pd.DataFrame, layer: str | None, tss: float) -> pd.DataFrame:
    """Links with a weight, the weakest first so that strong ones lie on top."""
    if layer is None:
        return pd.DataFrame()
    center = (links[Var.start] + links[Var.end]) / 2
    curves = links.assign(weight=links[layer], center=center, tss=tss).dropna(subset="weight")
    return curves.iloc[np.argsort(curves["weight"].abs().to_numpy(), kind="stable")]


def _candidates(mdata: MuData, samples: Sequence[str], enhancers: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which enhancers are candidates of each sample; all where that is not known."""
    adata = require_modality(mdata, Modality.enhancers)
    if Layer.candidate not in adata.layers:
        return {name: np.ones(len(enhancers), dtype=bool) for name in samples}
    at = adata.var_names.get_indexer(enhancers.index)
    return {name: layer_row(adata, Layer.candidate, name)[at] == 1 for name in samples}


def _draw_lollipops(
    axes: Mapping[str, Axes],
    values: Mapping[str, np.ndarray],
    filled: Mapping[str, np.ndarray],
    scale: _layout.Scale,
    enhancers: pd.DataFrame,
    colors: Mapping[str, str],
) -> None:
    """Stems from zero with a head at the value, over the enhancers' centres."""
    center = ((enhancers[Var.start] + enhancers[Var.end]) / 2).to_numpy()
    margin = 0.08 * (scale.high - scale.low)
    for name, ax in axes.items():
        made = np.isfinite(values[name])
        x, y, full = center[made], values[name][made], filled[name][made] == 1
        ax.axhline(0, color=_style.BLACK, lw=0.4, zorder=1)
        ax.vlines(x, 0, y, color=colors[name], lw=0.7, zorder=2)
        faces = np.where(full, colors[name], "white")
        ax.scatter(x, y, s=7, c=faces, edgecolors=colors[name], linewidths=0.5, zorder=3, clip_on=False)
        ax.set_ylim(scale.low - margin, scale.high + margin)
        ax.spines["bottom"].set_visible(False)  # it would pass for the line at zero
        for text in ax.get_yticklabels():
            text.set_verticalalignment("center")
