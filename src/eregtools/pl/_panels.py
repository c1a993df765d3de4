"""The panels of a locus: how each is drawn.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from eregtools._keys import Var
from eregtools.pl import _style
from eregtools.pl._layout import (
    AXIS,
    BODY,
    BOX,
    BOX_LEAST,
    BOX_PITCH,
    GENE_PITCH,
    LABEL_PITCH,
    NARROWEST_BAND,
    NOTE,
    RISE,
    TIP,
    PlacedGene,
    Row,
    Scale,
    Track,
    View,
    label_place,
    place_rows,
)
from eregtools.pl._style import number, size_of, text_width
from eregtools.pl._themes import Theme, in_force


def strand_colors(look: Theme) -> tuple[str, str]:
    """Colours of plus and minus."""
    return look.blue, look.vermillion


def _blank(look: Theme) -> dict[str, Any]:
    """Box behind a label that lies on something else."""
    return {"facecolor": look.paper, "edgecolor": "none", "pad": look.pt(0.6)}


def add_panels(
    rows: Sequence[Row],
    header: float,
    view: View,
    *,
    left: float,
    ax: Axes | None,
    figsize: tuple[float, float | None],
    title: str,
) -> tuple[Axes, dict[str, Axes]]:
    """Axes of the rows by label, in a new figure or in the place of `ax`, and a frame behind them in inches."""
    places, needed = place_rows(rows, header)
    if ax is None:
        bottom, total = AXIS, figsize[1] or needed + AXIS
        host: Any = _style.new_figure(figsize[0], total)
        x0, width = left / figsize[0], view.width / figsize[0]
    else:
        bottom, total = 0.0, size_of(ax)[1]
        host, x0, width = ax, 0.0, 1.0
    scale = (total - bottom) / needed
    if scale < 0.8:
        warnings.warn(
            f"the panels of {title!r} need {needed + bottom:.1f} in of height and have "
            f"{total:.1f} in, so labels may overlap; leave the height to the figure",
            stacklevel=4,
        )
    boxes = [(x0, bottom / total, width, 1 - bottom / total)]
    for low, high in places.values():
        boxes.append((x0, (bottom + low * scale) / total, width, (high - low) * scale / total))
    frame, *axes = _style.panels(host, boxes)
    frame.set(label="frame", xlim=(0, view.width), ylim=(0, needed))
    frame.axis("off")
    for axis, row in zip(axes, rows, strict=True):
        axis.set(label=row.label, xlim=(view.region.start, view.region.end), ylim=(0, row.height))
        axis.tick_params(bottom=False, labelbottom=False)
        axis.patch.set_visible(False)
    return frame, {row.label: axis for row, axis in zip(rows, axes, strict=True)}


def draw_guides(frame: Axes, view: View, *, bottom: float, top: float, tss: float | None, marked: pd.DataFrame) -> None:
    """Line at the gene's TSS and a band at each highlighted enhancer, behind the upper panels."""
    look = in_force()
    if tss is not None:
        frame.plot([view.inches(tss)] * 2, [bottom, top], color=look.grey(0.6), lw=look.pt(0.5), ls=(0, (2, 2)))
    left, width = view.visible(marked, least=NARROWEST_BAND)
    for x, w in zip(view.inches(left), width / view.bp_per_inch, strict=True):
        frame.fill_between([x, x + w], bottom, top, color=look.yellow, alpha=look.band, lw=0)


def draw_header(
    frame: Axes, layer: str | None, arcs: pd.DataFrame, colors: Mapping[str, str], width: float, note: str
) -> None:
    """Name of the sample, if there is one, and the scale of the arcs; without arcs a note."""
    middle = frame.get_ylim()[1] - 0.07
    look = in_force()
    color = look.ink
    if len(colors) == 1:
        ((name, color),) = colors.items()
        frame.text(0, middle, name, color=color, weight="bold", va="center")
    if layer is None:
        frame.text(width, middle, note, va="center", ha="right")
        return
    if arcs.empty:
        frame.text(width, middle, f"no {layer} links in view", color=look.beside, va="center", ha="right")
        return
    weights = arcs["weight"].to_numpy(float)
    x = width
    for value in sorted({float(weights.min()), float(weights.max())}, reverse=True):
        text = number(value)
        frame.text(x, middle, text, va="center", ha="right")
        x -= text_width(text) + 0.04
        line, alpha = _stroke(value, weights)
        frame.plot(
            [x - 0.16, x],
            [middle] * 2,
            color=color,
            lw=look.pt(line),
            alpha=alpha,
            ls=_dash(value),
            solid_capstyle="butt",
        )
        x -= 0.16 + 0.08
    frame.text(x, middle, layer, va="center", ha="right")


def draw_arcs(panels: Mapping[str, Axes], arcs: pd.DataFrame, colors: Mapping[str, str], view: View) -> None:
    """Half-ellipses from enhancer to TSS; the height grows with the root of the distance."""
    angle = np.linspace(0, np.pi, 41)
    for name, color in colors.items():
        ax = panels[f"arcs:{name}"]
        ax.set_ylim(0, 1.05)
        ax.spines["left"].set_visible(False)
        ax.tick_params(left=False, labelleft=False)
        if len(colors) > 1:
            ax.text(-0.05 / view.width, 0.5, name, color=color, transform=ax.transAxes, ha="right", va="center")
        if arcs.empty:
            continue
        own = arcs[arcs["sample"] == name]
        center, tss = own["center"].to_numpy(), own["tss"].to_numpy(float)
        longest = (arcs["center"] - arcs["tss"]).abs().max()
        height = 0.15 + 0.85 * np.sqrt(np.abs(center - tss) / max(longest, 1.0))
        x = ((center + tss) / 2)[:, None] + (np.abs(center - tss) / 2)[:, None] * np.cos(angle)
        y = height[:, None] * np.sin(angle)
        weight = own["weight"].to_numpy(float)
        line, alpha = _stroke(weight, arcs["weight"].to_numpy(float))
        ax.add_collection(
            LineCollection(
                list(np.stack([x, y], axis=2)),
                colors=[to_rgba(color, a) for a in alpha],
                linewidths=in_force().pt(1) * line,
                linestyles=[_dash(w) for w in weight],
            ),
            autolim=False,
        )


def _stroke(weight: Any, all_weights: np.ndarray) -> tuple[Any, Any]:
    """Line width in points of print and opacity of links, by their share of the largest weight."""
    share = np.abs(weight) / (float(np.abs(all_weights).max()) or 1.0)
    return 0.4 + 1.8 * share, in_force().alpha(0.25 + 0.7 * share)


def _dash(weight: float) -> str:
    return "--" if weight < 0 else "-"


def draw_track(
    panels: Mapping[str, Axes],
    track: Track,
    scale: Scale,
    enhancers: pd.DataFrame,
    view: View,
    colors: Mapping[str, str],
    *,
    label_at: float,
) -> None:
    """Values at the elements, one scale for all samples; the label is `label_at` inches left of the panels."""
    look = in_force()
    axes = {name: panels[f"{track.name}:{name}"] for name in colors}
    colors = dict.fromkeys(colors, look.ink) if track.black else colors
    draw_scale(list(axes.values()), "\n".join(track.label), scale, view, label_at=label_at)
    for name, ax in axes.items():
        if not np.isfinite(track.values[name]).any():
            ax.text(0.5, 0.5, "no values in view", transform=ax.transAxes, ha="center", va="center", color=look.beside)
        elif track.look == "area":
            _draw_area(ax, track, track.values[name], colors[name])
            if len(axes) > 1:
                ax.text(0.01, 1, name, color=colors[name], transform=ax.transAxes, ha="left", va="top")
        elif track.look == "lollipops":
            filled = np.ones(len(enhancers), dtype=bool) if track.filled is None else track.filled[name]
            _draw_lollipops(ax, enhancers, track.values[name], filled, scale, colors[name])
        else:
            _draw_bars(ax, enhancers, track.values[name], view, colors[name])


def draw_note(frame: Axes, note: str, top: float, view: View) -> None:
    """Line over a panel that ends at `top` inches."""
    if note:
        frame.text(view.width, top + NOTE / 2, note, va="center", ha="right")


def draw_scale(axes: Sequence[Axes], label: str, scale: Scale, view: View, *, label_at: float) -> None:
    """Limits and ticks of panels that share a scale, and their label, upright beside all of them."""
    look = in_force()
    extent = scale.high - scale.low
    for ax in axes:
        ax.set_ylim(scale.low - 0.05 * extent * (scale.low < 0), scale.high + 0.05 * extent)
        ticks = scale.ticks_within(size_of(ax)[1])
        ax.set_yticks(ticks, [number(tick) for tick in ticks])
        # The labels of the ends stay within the panel, clear of those of the next one.
        for tick, text in zip(ticks, ax.get_yticklabels(), strict=True):
            share = (tick - scale.low) / extent
            text.set_verticalalignment("bottom" if share < 0.15 else "top" if share > 0.85 else "center")
        if scale.low < 0:
            ax.axhline(0, color=look.ink, lw=look.pt(0.4))
            ax.spines["bottom"].set_visible(False)  # it would pass for the line at zero
    first, last = axes[0], axes[-1]
    top, bottom = first.get_position().y1, last.get_position().y0
    middle = 1 - (top - bottom) / 2 / first.get_position().height
    first.text(
        -label_at / view.width, middle, label, transform=first.transAxes, rotation=90, ha="right", va="center",
        linespacing=1.15,
    )  # fmt: skip


def _draw_bars(ax: Axes, enhancers: pd.DataFrame, values: np.ndarray, view: View, color: str) -> None:
    """Bars over the extents of the elements."""
    left, width = view.visible(enhancers)
    made = np.isfinite(values)
    ax.bar(left[made], values[made], width[made], align="edge", color=color, linewidth=0)
    ax.set_xlim(view.region.start, view.region.end)


def _draw_area(ax: Axes, track: Track, curves: np.ndarray, color: str) -> None:
    """Fill steps down or up to zero; of two strands each in its colour."""
    look = in_force()
    colors = [color] if len(curves) == 1 else list(strand_colors(look))
    for strand, (curve, face) in enumerate(zip(curves, colors, strict=True)):
        gid = f"area:{'total' if len(curves) == 1 else ('plus', 'minus')[strand]}"
        ax.stairs(np.nan_to_num(curve), track.edges, fill=True, color=face, lw=look.pt(0.4), gid=gid)


def _draw_lollipops(
    ax: Axes, enhancers: pd.DataFrame, values: np.ndarray, filled: np.ndarray, scale: Scale, color: str
) -> None:
    """Stems from zero with a head at the value, over the elements' centres."""
    center = ((enhancers[Var.start] + enhancers[Var.end]) / 2).to_numpy()
    made = np.isfinite(values)
    x, y = center[made], values[made]
    look = in_force()
    ax.axhline(0, color=look.ink, lw=look.pt(0.4), zorder=1)
    ax.vlines(x, 0, y, color=color, lw=look.pt(0.7), zorder=2)
    faces = np.where(filled[made], color, look.paper)
    ax.scatter(x, y, s=look.area(7), c=faces, edgecolors=color, linewidths=look.pt(0.5), zorder=3, clip_on=False)
    margin = 0.08 * (scale.high - scale.low)
    ax.set_ylim(scale.low - margin, scale.high + margin)
    ax.spines["bottom"].set_visible(False)
    for text in ax.get_yticklabels():
        text.set_verticalalignment("center")


def draw_enhancers(
    ax: Axes,
    enhancers: pd.DataFrame,
    candidates: Mapping[str, np.ndarray],
    view: View,
    colors: Mapping[str, str],
    *,
    marked: np.ndarray,
    what: str = "enhancers",
) -> None:
    """Draw a row of boxes per sample, filled where the element is the sample's candidate."""
    look = in_force()
    left, width = view.visible(enhancers, least=BOX_LEAST)
    wide_left, wide = view.visible(enhancers, least=3.2 / 72)
    left[marked], width[marked] = wide_left[marked], wide[marked]
    centers = []
    for count, (name, color) in enumerate(colors.items()):
        y = BOX_PITCH * (len(colors) - count - 0.5)
        centers.append(y)
        own = candidates[name]
        for mask, face, edge, line in (
            (~own & ~marked, look.paper, look.grey(0.6), 0.4),
            (own & ~marked, color, look.paper, 0.3),
            (~own & marked, look.paper, look.ink, 0.8),
            (own & marked, color, look.ink, 0.8),
        ):
            boxes = [Rectangle((x, y - BOX / 2), w, BOX) for x, w in zip(left[mask], width[mask], strict=True)]
            drawn = PatchCollection(boxes, facecolor=face, edgecolor=edge, linewidth=look.pt(line))
            ax.add_collection(drawn, autolim=False)
    ax.tick_params(left=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    if len(colors) == 1:
        ax.set_yticks(centers, [what])
        return
    ax.set_yticks(centers, list(colors))
    for tick, color in zip(ax.get_yticklabels(), colors.values(), strict=True):
        tick.set_color(color)


def draw_side_label(ax: Axes, text: str, view: View) -> None:
    """Name of a panel to its right, where its left carries the samples."""
    place: dict[str, Any] = {"transform": ax.transAxes, "rotation": 270, "ha": "left", "va": "center"}
    ax.text(1 + 0.05 / view.width, 0.5, text, **place)


def draw_enhancer_labels(
    ax: Axes, enhancers: pd.DataFrame, labels: Mapping[str, str], rows: Mapping[str, int], view: View, bottom: float
) -> None:
    """Labels of the highlighted enhancers, over the boxes, which end at `bottom`."""
    for name, text in labels.items():
        left, length = label_place(enhancers.loc[name], text, view)
        x, y = view.position(left + length / 2), bottom + LABEL_PITCH * (rows[name] + 0.45)
        ax.text(x, y, text, ha="center", va="center", bbox=_blank(in_force()))


def draw_genes(ax: Axes, genes: Iterable[PlacedGene], view: View) -> None:
    """Bodies with chevrons, bent arrows at the TSS, and names."""
    look, top = in_force(), ax.get_ylim()[1]
    for gene in genes:
        chosen = gene.id == view.region.gene
        color = look.ink if chosen or view.region.gene is None else look.beside
        y = top - GENE_PITCH * gene.row - RISE - BODY / 2 - 0.04
        if gene.body is not None:
            _draw_body(ax, gene, gene.body, view, y, color)
        if gene.tss is not None:
            _draw_tss(ax, gene, gene.tss, view, y, color, line=0.9 if chosen else 0.6)
        ax.text(
            view.position(gene.label),
            y,
            gene.name,
            ha="left",
            va="center_baseline",
            color=color,
            weight="bold" if chosen else "normal",
            parse_math=False,
            gid=f"label:{gene.id}",
            bbox=_blank(look) if gene.label_on_body else None,
        )
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _draw_body(ax: Axes, gene: PlacedGene, ends: tuple[float, float], view: View, y: float, color: str) -> None:
    start, end = (view.position(x) for x in ends)
    body = Rectangle((start, y - BODY / 2), end - start, BODY, facecolor=color, linewidth=0, gid=f"gene:{gene.id}")
    ax.add_patch(body)
    if not gene.direction:
        return
    look = in_force()
    reach, half = gene.direction * 0.012, BODY * 0.32
    chevrons = [
        [(view.position(x - reach), y + half), (view.position(x + reach), y), (view.position(x - reach), y - half)]
        for x in np.arange(ends[0] + 0.06, ends[1] - 0.05, 0.12)
    ]
    ax.add_collection(LineCollection(chevrons, colors=look.paper, linewidths=look.pt(0.5)), autolim=False)


def _draw_tss(ax: Axes, gene: PlacedGene, tss: float, view: View, y: float, color: str, *, line: float) -> None:
    foot, top = y if gene.body else y - BODY / 2, y + BODY / 2 + RISE
    corner, tip = view.position(tss), view.position(tss + gene.direction * TIP)
    ax.plot(
        [corner, corner, tip],
        [foot, top, top],
        color=color,
        lw=in_force().pt(line),
        solid_joinstyle="miter",
        clip_on=False,
    )
    if gene.direction:
        back, front = (view.position(tss + gene.direction * (TIP + reach)) for reach in (-0.035, 0.015))
        ax.fill([back, front, back], [top - 0.022, top, top + 0.022], color=color, lw=0, clip_on=False)


def draw_axis(ax: Axes, view: View, genome: str | None) -> None:
    """Round positions under the lowest panel, with chromosome and assembly."""
    region = view.region
    widest = text_width(f"{region.end / 1e6:,.3f}") + 0.15
    ticks, labels, unit = _style.genomic_ticks(region.start, region.end, most=int(view.width / widest))
    ax.tick_params(bottom=True, labelbottom=True)
    ax.set_xticks(ticks, labels)
    ax.set_xlabel(f"{region.chromosome}{f' ({genome})' if genome else ''}, {unit}", size=in_force().normal)
