"""How observed and predicted values are drawn: points, density, lines and names of genes.

Nothing covers the values: scores stand above the Axes, legends to their right. Imports matplotlib; import it
inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, LogNorm
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D, Bbox

from eregtools.pl._paired import Paired
from eregtools.pl._style import ONE_COLUMN, new_figure, text_width
from eregtools.pl._themes import SMALL, Theme, in_force

_COLUMNS: Final = 3
"""Most panels side by side."""

_LIGHT: Final = (0.35, 1.0)
"""Part of viridis that is seen on a dark ground."""

_SCORES: Final = 0.33
"""Inches by which a figure is higher than wide, for the scores."""


def panels(ax: Axes | Sequence[Axes] | None, pairs: Sequence[Paired]) -> list[Axes]:
    """Axes for each sample: those given, or those of a new figure."""
    if ax is None:
        columns = min(len(pairs), _COLUMNS)
        rows = -(-len(pairs) // columns)
        side = ONE_COLUMN if len(pairs) == 1 else 2.36
        figure = new_figure(columns * side, rows * (side + _SCORES))
        figure.set_layout_engine("constrained")
        return [figure.add_subplot(rows, columns, number + 1) for number in range(len(pairs))]
    given = list(ax) if isinstance(ax, (Sequence, np.ndarray)) else [ax]
    if len(given) != len(pairs):
        names = ", ".join(pair.sample for pair in pairs)
        raise ValueError(f"ax holds {len(given)} Axes and there are {len(pairs)} samples to draw ({names})")
    return given


def set_limits(axes: Sequence[Axes], pairs: Sequence[Paired], *, same_scale: bool) -> None:
    """Limits that all panels share; of both axes together where they have one scale."""
    x = np.concatenate([pair.observed for pair in pairs])
    y = np.concatenate([pair.predicted for pair in pairs])
    if same_scale:
        x = y = np.concatenate([x, y])
    for ax in axes:
        ax.set(xlim=_padded(x), ylim=_padded(y))
        ax.set_box_aspect(1)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _padded(values: np.ndarray) -> tuple[float, float]:
    margin = 0.05 * float(np.ptp(values)) or 1.0
    return float(values.min()) - margin, float(values.max()) + margin


def draw_points(axes: Sequence[Axes], pairs: Sequence[Paired]) -> None:
    """One colour for all genes."""
    look = in_force()
    for ax, pair in zip(axes, pairs, strict=True):
        ax.scatter(pair.observed, pair.predicted, s=look.area(6), color=look.blue, alpha=look.alpha(0.5), linewidths=0)


def draw_density(axes: Sequence[Axes], pairs: Sequence[Paired]) -> None:
    """Hexagons coloured by the number of genes, on one scale for all panels."""
    look = in_force()
    drawn = [
        ax.hexbin(
            pair.observed,
            pair.predicted,
            extent=(*ax.get_xlim(), *ax.get_ylim()),
            gridsize=45,
            mincnt=1,
            norm=LogNorm(),
            cmap=_counts(look),
            linewidths=look.pt(0.1),
        )
        for ax, pair in zip(axes, pairs, strict=True)
    ]
    most = max(float(np.max(np.asarray(hexagons.get_array()))) for hexagons in drawn)
    for hexagons in drawn:
        hexagons.set_clim(1, max(most, 2))
    host = _rightmost(axes)
    bar = host.figure.colorbar(drawn[0], cax=host.inset_axes((1.04, 0, 0.035, 0.4)), label="genes per bin")
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    bar.ax.tick_params(which="minor", right=False)


def _counts(look: Theme) -> Colormap:
    """Colours away from the paper with the number of genes."""
    viridis = mpl.colormaps["viridis"]
    return ListedColormap(viridis(np.linspace(*_LIGHT, 256))) if look.dark else viridis.reversed()


def draw_categories(axes: Sequence[Axes], pairs: Sequence[Paired], column: pd.Series, *, raster: bool) -> None:
    """Genes in the colours of a column, with a legend beside the panels."""
    labels = column.astype(object).where(column.notna(), "none").astype(str)
    levels = sorted(labels.unique(), key=lambda level: (int(level) if level.isdecimal() else np.inf, level))
    look = in_force()
    colors: list[Any] = list(look.colors[: len(levels)])
    if len(levels) > len(look.colors):
        first, last = _LIGHT if look.dark else (0, 0.95)
        colors = list(mpl.colormaps["viridis"](np.linspace(first, last, len(levels))))
    of_level = dict(zip(levels, colors, strict=True))
    for ax, pair in zip(axes, pairs, strict=True):
        shades = [of_level[level] for level in labels.to_numpy()[pair.genes]]
        ax.scatter(
            pair.observed,
            pair.predicted,
            s=look.area(6),
            c=shades,
            alpha=look.alpha(0.6),
            linewidths=0,
            rasterized=raster,
        )
    handles = [
        Line2D([], [], ls="", marker="o", ms=look.pt(3), color=shade, label=level) for level, shade in of_level.items()
    ]
    _rightmost(axes).legend(
        handles=handles, title=str(column.name), title_fontsize=look.small, loc="upper left", bbox_to_anchor=(1.02, 1),
        ncols=1 + len(levels) // 16, handletextpad=0.1, columnspacing=0.6, labelspacing=0.2, borderaxespad=0,
    )  # fmt: skip


def _rightmost(axes: Sequence[Axes]) -> Axes:
    """Last panel of the first row, which has free space to its right."""
    return axes[min(len(axes), _COLUMNS) - 1]


def draw_line(ax: Axes, pair: Paired, *, same_scale: bool) -> None:
    """Identity on one scale, else the line of least squares."""
    x = np.array(ax.get_xlim())
    if same_scale:
        y, label = x, "identity"
    elif len(pair.observed) > 1 and np.ptp(pair.observed) > 0:
        y, label = np.polyval(np.polyfit(pair.observed, pair.predicted, 1), x), "least squares"
    else:
        return
    look = in_force()
    ax.plot(x, y, color=look.grey(0.3), lw=look.pt(0.7), ls=(0, (4, 2)), label=label, scalex=False, scaley=False)


def draw_names(ax: Axes, pair: Paired, marked: np.ndarray, names: np.ndarray, *, filled: bool) -> None:
    """Mark genes and name them at the free place nearest to their points.

    `marked` are rows of the genes, `names` those of all genes. Takes the place of the Axes as final.
    """
    if not len(marked):
        return
    at = pd.Series(np.arange(len(pair.genes)), index=pair.genes).reindex(marked)
    if at.isna().any():
        lacking = ", ".join(names[marked[at.isna().to_numpy()]])
        raise ValueError(f"cannot label {lacking}: no observed or no predicted value in {pair.sample}")
    look, order = in_force(), at.to_numpy(int)
    # A layout engine moves the Axes only when the figure is drawn.
    ax.figure.canvas.figure.draw_without_rendering()
    to_inches = Affine2D().scale(1 / (look.scale * ax.figure.dpi))
    points = to_inches.transform(ax.transData.transform(np.column_stack([pair.observed, pair.predicted])))
    frame = to_inches.transform_bbox(ax.get_window_extent()).padded(-0.03)
    taken = [to_inches.transform_bbox(text.get_window_extent()) for text in ax.texts]
    taken += [Bbox.from_extents(x - 0.03, y - 0.03, x + 0.03, y + 0.03) for x, y in points[order]]
    ax.scatter(
        pair.observed[order], pair.predicted[order], s=look.area(11),
        color=look.vermillion if filled else "none", edgecolors=look.ink, linewidths=look.pt(0.5), zorder=3,
    )  # fmt: skip
    for point in order:
        name = names[pair.genes[point]]
        box = _free_place(points[point], text_width(name), points, frame, taken)
        taken.append(box)
        offset = (np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2 - points[point]) * look.pt(72)
        ax.annotate(
            name, (pair.observed[point], pair.predicted[point]), xytext=offset, textcoords="offset points",
            ha="center", va="center", size=look.small, color=look.ink, zorder=5, parse_math=False,
            arrowprops={
                "arrowstyle": "-", "lw": look.pt(0.5), "color": look.grey(0.3), "shrinkA": 0, "shrinkB": look.pt(1)
            },
            path_effects=[withStroke(linewidth=look.pt(1.5), foreground=look.paper)],
        )  # fmt: skip


def _free_place(point: np.ndarray, width: float, points: np.ndarray, frame: Bbox, taken: Sequence[Bbox]) -> Bbox:
    """Box in inches for a name: near its point, over few others, on nothing that is taken, within the frame."""
    height = SMALL / 72
    places = []
    for reach in (0.07, 0.14, 0.24, 0.36, 0.5):
        for angle in np.arange(8) * np.pi / 4:
            # The side of the box that faces the point is `reach` away from it.
            x = point[0] + np.cos(angle) * (reach + width / 2)
            y = point[1] + np.sin(angle) * (reach + height / 2)
            box = Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
            outside = not (frame.containsx(box.x0) and frame.containsx(box.x1))
            outside |= not (frame.containsy(box.y0) and frame.containsy(box.y1))
            conflicts = outside + box.count_overlaps(taken)
            places.append((reach + 0.1 * box.count_contains(points) + 100 * conflicts, box))
    return min(places, key=lambda place: place[0])[1]
