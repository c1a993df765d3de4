"""How a heat map of links is drawn: cells over columns of equal width, and where these lie on the genome.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from eregtools._keys import Layer, Var
from eregtools.pl._style import genomic_ticks, number, size_of, text_width
from eregtools.pl._themes import Theme, in_force

# Inches.
ROW, GROUP_GAP, HEADER, CONNECTORS, BOXES, AXIS, RIGHT = 0.15, 0.05, 0.18, 0.3, 0.06, 0.31, 0.42
_WIDEST, _SPACE, _MARGIN = 0.3, 0.1, 0.04


def _colors(look: Theme, *, diverging: bool) -> Colormap:
    """From the smallest score to the largest, or from negative effects to positive ones."""
    stops = (look.vermillion, look.middle, look.blue) if diverging else look.ramp
    return LinearSegmentedColormap.from_list("effects" if diverging else "links", stops)


def _absent(look: Theme) -> dict[str, Any]:
    return {
        "facecolor": look.paper, "edgecolor": look.grey(0.6), "linewidth": look.pt(0.2), "hatch": "////////"
    }  # fmt: skip


def _dot(look: Theme) -> dict[str, Any]:
    return {"ls": "", "marker": "o", "mfc": look.paper, "mec": look.ink, "mew": look.pt(0.4), "clip_on": False}


def _tss_line(look: Theme) -> dict[str, Any]:
    around = withStroke(linewidth=look.pt(1.9), foreground=look.paper)
    return {"color": look.ink, "lw": look.pt(0.9), "solid_capstyle": "butt", "clip_on": False, "path_effects": [around]}


@dataclass(frozen=True)
class HeatRow:
    """One row of cells.

    Attributes
    ----------
    label
        Text to the left.
    layer
        Rows of one layer have one scale.
    values
        Value in each column ``(n_columns,)``; NaN where there is none.
    linked
        Which columns are links; the others stay empty, bool ``(n_columns,)``.
    marked
        Which cells carry a dot, bool ``(n_columns,)``.
    tss
        Position of the TSS; a line stands there.
    """

    label: str
    layer: str
    values: np.ndarray
    linked: np.ndarray
    marked: np.ndarray
    tss: float | None


@dataclass(frozen=True)
class RowScale:
    """From value to colour: 0 to the largest, ± the largest of effects, or the least to the largest of nearness."""

    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray, *, score: bool = False) -> RowScale:
        """Scale of the finite values of a layer.

        What is below zero is an effect, the stronger the farther from zero; unless the layer is a score, whose values
        are the stronger the higher: nearness is minus the distance.
        """
        known = values[np.isfinite(values)]
        low, high = float(known.min(initial=0)), float(known.max(initial=0))
        if low < 0 and score and high == 0:
            return cls(low, float(known.max()))
        if low < 0:
            return cls(-max(-low, high), max(-low, high))
        return cls(0.0, high)

    @property
    def diverging(self) -> bool:
        """Whether values of both signs are there."""
        return self.low == -self.high and self.high > 0

    @property
    def label(self) -> str:
        """Value of the darkest colour."""
        return f"±{number(self.high)}" if self.diverging else number(self.high)

    def colors(self, values: np.ndarray) -> np.ndarray:
        """RGBA of values ``(n, 4)``."""
        extent = self.high - self.low
        share = (values - self.low) / extent if extent > 0 else np.where(values > 0, 1.0, 0.0)
        return np.asarray(_colors(in_force(), diverging=self.diverging)(np.nan_to_num(share)))


def scales_of(rows: Sequence[HeatRow]) -> dict[str, RowScale]:
    """Scale of each layer, over all its rows."""
    layers = dict.fromkeys(row.layer for row in rows)
    values = {name: np.concatenate([row.values for row in rows if row.layer == name]) for name in layers}
    return {name: RowScale.of(of, score=name.endswith(Layer.score(""))) for name, of in values.items()}


def left_margin(rows: Sequence[HeatRow]) -> float:
    """Width of the longest label."""
    return max(text_width(row.label) for row in rows) + 0.08


def heights(rows: Sequence[HeatRow]) -> tuple[np.ndarray, float]:
    """Upper edges of the rows below the top of the matrix, and its height, in inches."""
    gaps = [0.0] + [GROUP_GAP * (row.layer != before.layer) for before, row in pairwise(rows)]
    tops = np.arange(len(rows)) * ROW + np.cumsum(gaps)
    return tops, float(tops[-1] + ROW)


def boundary(centres: np.ndarray, position: float) -> int:
    """Count the columns to the left of a position."""
    return int(np.searchsorted(centres, position))


def draw_matrix(ax: Axes, rows: Sequence[HeatRow], centres: np.ndarray) -> None:
    """Cells, hatched where a link has no value, with row labels and the value of the darkest colour."""
    look = in_force()
    tops, height = heights(rows)
    n = len(centres)
    width, _ = size_of(ax)
    ax.set(xlim=(0, n), ylim=(height, 0), label="matrix")
    scales = scales_of(rows)
    edge = look.pt(0.4) if n <= 100 else 0.0
    for row, top in zip(rows, tops, strict=True):
        scale = scales[row.layer]
        known = row.linked & np.isfinite(row.values)
        absent = row.linked & ~known
        styles: dict[str, dict[str, Any]] = {
            "known": {"facecolor": scale.colors(row.values[known]), "edgecolor": look.paper, "linewidth": edge},
            "absent": _absent(look),
        }
        for (kind, style), cells in zip(styles.items(), (known, absent), strict=True):
            boxes = [Rectangle((float(x), top), 1, ROW) for x in np.flatnonzero(cells)]
            ax.add_collection(PatchCollection(boxes, gid=f"{kind}:{row.label}", **style), autolim=False)
        marked = np.flatnonzero(row.marked & row.linked)
        size = min(0.45 * width / n, 0.5 * ROW) * 72
        y = np.full(len(marked), top + ROW / 2)
        ax.plot(marked + 0.5, y, **_dot(look), ms=look.pt(max(size, 2)), gid=f"marked:{row.label}")
        if row.tss is not None:
            x = boundary(centres, row.tss)
            ax.plot([x, x], [top, top + ROW], **_tss_line(look))
        ax.text(-0.05 * n / width, top + ROW / 2, row.label, ha="right", va="center_baseline", parse_math=False)
    if len(scales) > 1:
        _draw_largest(ax, rows, tops, scales, n * (1 + 0.05 / width))
    ax.set(xticks=[], yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)


def _draw_largest(
    ax: Axes, rows: Sequence[HeatRow], tops: np.ndarray, scales: Mapping[str, RowScale], x: float
) -> None:
    """Value of each layer's darkest colour, beside its rows."""
    for layer, scale in scales.items():
        own = [top for row, top in zip(rows, tops, strict=True) if row.layer == layer]
        middle = (own[0] + own[-1] + ROW) / 2
        ax.text(x, middle, scale.label, ha="left", va="center_baseline")


def legend_items(rows: Sequence[HeatRow]) -> list[tuple[str, Any, str]]:
    """Text before, key and text after, from left to right."""
    items: list[tuple[str, Any, str]] = []
    if any((row.linked & ~np.isfinite(row.values)).any() for row in rows):
        items.append(("", "hatch", "no value"))
    if any(row.marked.any() for row in rows):
        items.append(("", "dot", "significant"))
    scales = scales_of(rows)
    if len(scales) == 1:
        (scale,) = scales.values()
        return [*items, (number(scale.low), _colors(in_force(), diverging=scale.diverging), number(scale.high))]
    if any(scale.diverging for scale in scales.values()):
        items.append(("", _colors(in_force(), diverging=True), "± largest"))
    if any(not scale.diverging for scale in scales.values()):
        items.append(("", _colors(in_force(), diverging=False), "largest"))
    return items


def legend_width(items: Sequence[tuple[str, Any, str]]) -> float:
    """Width of the legend in inches."""
    return sum(_item_width(item) for item in items) + _SPACE * (len(items) - 1)


def _item_width(item: tuple[str, Any, str]) -> float:
    before, key, after = item
    texts = sum(text_width(text) + 0.03 for text in (before, after) if text)
    return texts + _key_width(key)


def _key_width(key: Colormap | str) -> float:
    return _WIDEST if isinstance(key, Colormap) else {"hatch": 0.1, "dot": 0.06}[key]


def draw_header(ax: Axes, rows: Sequence[HeatRow], title: str) -> None:
    """Title to the left, and to the right, or below where there is no room, the legend."""
    width, height = ax.get_xlim()[1], ax.get_ylim()[1]
    ax.axis("off")
    ax.text(_MARGIN, height - HEADER / 2, title, weight="bold", va="center_baseline", parse_math=False)
    items = legend_items(rows)
    x = width - _MARGIN - legend_width(items)
    for before, key, after in items:
        if before:
            ax.text(x, HEADER / 2, before, va="center_baseline")
            x += text_width(before) + 0.03
        _draw_key(ax, key, x, HEADER / 2)
        x += _key_width(key) + 0.03
        ax.text(x, HEADER / 2, after, va="center_baseline")
        x += text_width(after) + _SPACE


def header_height(rows: Sequence[HeatRow], title: str, width: float) -> float:
    """One line, or two where title and legend have no room beside each other."""
    taken = text_width(title, weight="bold") + 2 * _MARGIN + _SPACE + legend_width(legend_items(rows))
    return HEADER if taken <= width else 2 * HEADER


def _draw_key(ax: Axes, key: Colormap | str, left: float, middle: float) -> None:
    if isinstance(key, Colormap):
        edges = np.linspace(left, left + _WIDEST, 25)
        boxes = [Rectangle((float(x), middle - 0.035), _WIDEST / 24 + 0.002, 0.07) for x in edges[:-1]]
        colors = key(np.linspace(0, 1, 24))
        ax.add_collection(PatchCollection(boxes, facecolor=colors, linewidth=0), autolim=False)
    elif key == "hatch":
        ax.add_patch(Rectangle((left, middle - 0.04), 0.1, 0.08, **_absent(in_force())))
    else:
        ax.plot([left + 0.03], [middle], **_dot(in_force()), ms=in_force().pt(3.2))


def draw_places(
    ax: Axes,
    enhancers: pd.DataFrame,
    limits: tuple[float, float],
    *,
    origin: float | None,
    strand: str,
    label: str,
    width: float,
) -> None:
    """Lines from the columns to the places of the enhancers, over an axis of positions or of distances to a TSS.

    Parameters
    ----------
    enhancers
        Chromosome, Start and End, in the order of the columns.
    limits
        First and last position of the axis.
    origin
        TSS from which distances are counted; None: positions.
    width
        Of the Axes in inches.
    """
    look = in_force()
    start, end = enhancers[Var.start].to_numpy(float), enhancers[Var.end].to_numpy(float)
    low, high = limits
    scale = width / (high - low)
    n = len(enhancers)
    ax.set(xlim=(0, width), ylim=(0, CONNECTORS + BOXES), label="places")
    columns, places = (np.arange(n) + 0.5) * width / n, ((start + end) / 2 - low) * scale
    lines = [
        [(column, CONNECTORS + BOXES), (place, BOXES + 0.06)] for column, place in zip(columns, places, strict=True)
    ]
    ax.add_collection(LineCollection(lines, colors=look.beside, linewidths=look.pt(0.3)), autolim=False)
    size = np.maximum((end - start) * scale, 1.0 / 72)
    boxes = [Rectangle((at - w / 2, 0), w, BOXES) for at, w in zip(places, size, strict=True)]
    ax.add_collection(PatchCollection(boxes, facecolor=look.ink, linewidth=0), autolim=False)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    if origin is None:
        most = int(width / (text_width(f"{high / 1e6:,.3f}") + 0.15))
        ticks, labels, unit = genomic_ticks(int(low), int(high), most=most)
        ax.set_xticks([(tick - low) * scale for tick in ticks], labels)
        ax.set_xlabel(f"{label}, {unit}", size=look.normal)
        return
    ticks, labels, unit = _distance_ticks(low - origin, high - origin, most=int(width / 0.45))
    ax.set_xticks([(origin + tick - low) * scale for tick in ticks], labels)
    ax.set_xlabel(f"{label} ({unit})", size=look.normal)
    place, column = (origin - low) * scale, boundary((start + end) / 2, origin) * width / n
    ax.plot([place, column], [BOXES + 0.1, CONNECTORS + BOXES], **_tss_line(look))
    _draw_tss(ax, place, {"+": 1, "-": -1}.get(strand, 0))


def _draw_tss(ax: Axes, x: float, direction: int) -> None:
    """Bent arrow in the direction of transcription."""
    look, top = in_force(), BOXES + 0.1
    ax.plot(
        [x, x, x + 0.09 * direction], [0, top, top], color=look.ink, lw=look.pt(0.9), solid_joinstyle="miter", gid="tss"
    )
    if direction:
        back, front = x + 0.06 * direction, x + 0.11 * direction
        ax.fill([back, front, back], [top - 0.025, top, top + 0.025], color=look.ink, lw=0, clip_on=False)


def _distance_ticks(low: float, high: float, *, most: int) -> tuple[list[float], list[str], str]:
    """Round distances to either side of 0, written without sign."""
    locator = mpl.ticker.MaxNLocator(nbins=max(most, 2), steps=[1, 2, 5, 10], integer=True)
    ticks = [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]
    unit, size = ("Mb", 1e6) if max(abs(low), abs(high)) >= 2e6 else ("kb", 1e3)
    return ticks, [f"{abs(tick) / size:g}" for tick in ticks], unit
