"""How curves of precision over recall are drawn. Imports matplotlib; import it inside functions only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from eregtools.pl._style import ONE_COLUMN, new_figure, size_of
from eregtools.pl._themes import Theme, in_force
from eregtools.tl._labelled_pairs import DISTANCE, NEAREST, LabelledPairs
from eregtools.tl._precision import Ranking, average_precision, precision_recall

# Inches.
_LEFT, _RIGHT, _TOP, _BELOW, _HEIGHT, _LINE, _MARGIN = 0.42, 0.08, 0.2, 0.38, 2.5, 0.125, 0.06

_BASELINES: Final = {DISTANCE: "distance", NEAREST: "nearest gene"}
_DASHES: Final = ("-", (0, (4, 1.5)), (0, (1, 1)))
_MARKERS: Final = ("D", "s", "^")


def new_axes(n_predictors: int) -> Axes:
    """Axes in a new figure of one column, with room for a legend below."""
    legend = _LINE * (n_predictors + 1) + _MARGIN
    height = _TOP + _HEIGHT + _BELOW + legend
    figure = new_figure(ONE_COLUMN, height)
    width = ONE_COLUMN - _LEFT - _RIGHT
    box = (_LEFT / ONE_COLUMN, (legend + _BELOW) / height, width / ONE_COLUMN, _HEIGHT / height)
    return figure.add_axes(box)


def draw(ax: Axes, labelled: LabelledPairs, labels: Mapping[str, str], recall: float | None) -> None:
    """Curves, the best on top, the precision of a predictor that knows nothing, and the legend below."""
    look = in_force()
    whole = np.ones((1, len(labelled.positive)))
    average = {
        name: float(average_precision(labelled.positive, Ranking.of(score), whole)[0])
        for name, score in labelled.scores.items()
    }
    best_first = sorted(average, key=lambda name: -average[name])
    styles = _styles([name for name in labelled.scores if name not in _BASELINES], look)
    chance: dict[str, Any] = {"color": look.grey(0.3), "lw": look.pt(0.7), "ls": (0, (1, 2))}
    handles = []
    for depth, name in enumerate(best_first):
        text = f"{labels.get(name, _BASELINES.get(name, name))}  {average[name]:.2f}"
        handles.append(_draw_one(ax, labelled, name, styles[name], recall, zorder=3 - depth / len(average)))
        handles[-1].set_label(text)
    share = float(labelled.positive.mean())
    ax.axhline(share, **chance, gid="chance", zorder=1)
    if recall is not None:
        ax.axvline(recall, color=look.grey(0.85), lw=look.pt(0.5), zorder=0)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    ax.set_xlabel("recall", size=look.normal)
    ax.set_ylabel("precision", size=look.normal)
    n, n_positive = len(labelled.positive), int(labelled.positive.sum())
    ax.set_title(
        f"{n:,} pairs, {n_positive:,} positive; legend: average precision", loc="left", size=look.normal, pad=look.pt(3)
    )
    _, height = size_of(ax)
    ax.legend(
        handles=[*handles, Line2D([], [], **chance, label=f"chance  {share:.2f}")], loc="upper left",
        bbox_to_anchor=(0, -(_BELOW - 0.02) / height), borderaxespad=0, borderpad=0, handlelength=2, labelspacing=0.45,
    )  # fmt: skip


def _styles(scores: Sequence[str], look: Theme) -> dict[str, tuple[str, int]]:
    """Colour of each predictor, and the number of its dashes and marker."""
    colors = [color for color in look.colors if color != look.ink]
    most = len(colors) * len(_DASHES)
    if len(scores) > most:
        raise ValueError(f"{len(scores)} scores are too many for one figure; choose up to {most}")
    styles = {name: (colors[k % len(colors)], k // len(colors)) for k, name in enumerate(scores)}
    return {**styles, DISTANCE: (look.beside, 0), NEAREST: (look.ink, 0)}


def _draw_one(
    ax: Axes, labelled: LabelledPairs, name: str, style: tuple[str, int], recall: float | None, *, zorder: float
) -> Line2D:
    """Curve of the pairs that have a score, or the point of a score that says yes or no; returns its key.

    The mark of the recall is left out where only the last of the equal scores reach it.
    """
    look = in_force()
    color, kind = style
    precision, reached, thresholds = precision_recall(labelled.positive, labelled.scores[name])
    known = int(np.isfinite(thresholds).sum())
    if known <= 2:
        point: dict[str, Any] = {"ls": "", "marker": _MARKERS[kind], "ms": look.pt(4), "mfc": color}
        point |= {"mec": look.paper, "mew": look.pt(0.4)}
        ax.plot(reached[:1], precision[:1], **point, gid=name, zorder=4)
        return Line2D([], [], **point)
    line: dict[str, Any] = {"color": color, "ls": _DASHES[kind], "lw": look.pt(1.2)}
    # only where recall grows: the area below is the average precision
    grown = np.flatnonzero(np.diff(reached[:known], prepend=0) > 0)
    x, y = np.append(0, reached[grown]), np.append(precision[grown[:1]], precision[grown])
    ax.plot(x, y, **line, drawstyle="steps-pre", gid=name, zorder=zorder)
    first = int(np.argmax(reached >= recall - 1e-12)) if recall is not None else known
    if first < known - 1:
        ax.plot(
            reached[first], precision[first], ls="", marker="o", ms=look.pt(3.5), mfc=look.paper, mec=color,
            mew=look.pt(1.0), gid=f"{name} at recall", zorder=4,
        )  # fmt: skip
    return Line2D([], [], **line)
