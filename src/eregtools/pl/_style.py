"""What all figures share: how they are made and shown, and the geometry of labels in inches.

Inches are those of print; a figure is as many times as large as its theme says. Imports matplotlib; import it inside
functions only, as ``_layout``, ``_panels`` and ``_scatter``, which build on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from eregtools.pl._themes import SMALL, Theme, in_force

T = TypeVar("T")
H = TypeVar("H", float, float | None)

MM: Final = 1 / 25.4
"""Inches in a millimetre."""

ONE_COLUMN: Final = 89 * MM
"""Width of one journal column in inches."""

_SAVING: Final[Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}

_FILES_ONLY: Final = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


class PrintFigure(Figure):
    """Figure whose text stays text in PDF and SVG, without a change of the session's settings."""

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save as matplotlib does, with fonts embedded as TrueType."""
        with mpl.rc_context(_SAVING):
            super().savefig(*args, **kwargs)


@contextmanager
def drawing(ax: Any = None) -> Iterator[Theme]:
    """Parameters of the theme in force while a figure is drawn.

    On a dark theme the figures of given Axes take its ground, and these Axes its colours.
    """
    look = in_force()
    with mpl.rc_context(look.rc):
        if look.dark:
            for given in np.ravel(np.array([] if ax is None else ax, dtype=object)):
                _darken(given, look)
        yield look


def _darken(ax: Axes, look: Theme) -> None:
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    figure.set_facecolor(look.paper)
    ax.set_facecolor(look.paper)
    ax.spines[:].set_color(look.ink)
    ax.tick_params(which="both", color=look.ink, labelcolor=look.ink)
    for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
        text.set_color(look.ink)


def new_figure(width: float, height: float) -> PrintFigure:
    """Empty figure of a size in inches of print, at 150 dpi on screen and 300 in files."""
    scale = in_force().scale
    figure = plt.figure(figsize=(scale * width, scale * height), dpi=150, FigureClass=PrintFigure)
    assert isinstance(figure, PrintFigure)
    return figure


def size_of(ax: Axes) -> tuple[float, float]:
    """Width and height of Axes in inches of print."""
    box, inch = ax.get_window_extent(), in_force().scale * ax.figure.dpi
    return float(box.width) / inch, float(box.height) / inch


def in_print(figsize: tuple[float, H] | None) -> tuple[float, H] | None:
    """Inches of print of a size that was given in inches."""
    if figsize is None:
        return None
    scale = in_force().scale
    width, height = figsize
    return width / scale, None if height is None else height / scale


def finish(drawn: T, *, show: bool | None, own_figure: bool) -> T | None:
    """Show the figure and return None, or return what was drawn.

    None shows a figure that was made here, where there is a display to show it on.
    """
    if show is None:
        show = own_figure and mpl.get_backend().lower() not in _FILES_ONLY
    if not show:
        return drawn
    plt.show()
    return None


def text_width(text: str, size: float = SMALL, *, weight: str = "normal") -> float:
    """Width of a line of text in inches of print, known before anything is drawn."""
    width, _, _ = text_to_path.get_text_width_height_descent(
        text, FontProperties(size=size, weight=weight), ismath=False
    )
    return float(width) / 72


def stack(items: Iterable[Sequence[tuple[float, float]]], *, gap: float = 0.0) -> list[tuple[int, int]]:
    """Place items in rows such that none overlap within a row.

    Each item is a list of the extents it may take, the preferred one first. The answer gives for each the
    row, as high as there is room in the order of the items, and which extent it took.

    Examples
    --------
    >>> stack([[(0, 5)], [(4, 8), (6, 10)], [(6, 9)]])
    [(0, 0), (0, 1), (1, 0)]
    """
    rows: list[list[tuple[float, float]]] = []
    placed = []
    for extents in items:
        free = [
            (number, choice)
            for choice, (left, right) in enumerate(extents)
            for number, row in enumerate([*rows, []])
            if all(right + gap <= start or end + gap <= left for start, end in row)
        ]
        number, choice = min(free)
        if number == len(rows):
            rows.append([])
        rows[number].append(extents[choice])
        placed.append((number, choice))
    return placed


def round_down(value: float) -> float:
    """Largest round number that is not above a positive value, and at least two thirds of it.

    Examples
    --------
    >>> round_down(4.7), round_down(0.16)
    (4.0, 0.15)
    """
    power = int(np.floor(np.log10(value)))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8)
    return round(max(s * 10.0**power for s in steps if s * 10.0**power <= value * (1 + 1e-9)), 1 - power)


def number(value: float) -> str:
    """Write a number with two significant digits, for a scale.

    Examples
    --------
    >>> number(0.0314), number(12.6), number(1234.0)
    ('0.031', '13', '1234')
    """
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")


def genomic_ticks(start: int, end: int, *, most: int) -> tuple[list[float], list[str], str]:
    """Round positions within a region, their labels, and the unit (kb or Mb).

    Examples
    --------
    >>> genomic_ticks(5_180_000, 5_310_000, most=3)
    ([5200000.0, 5250000.0, 5300000.0], ['5.20', '5.25', '5.30'], 'Mb')
    """
    # MaxNLocator counts intervals, and leaves ticks outside of the region.
    ticks = MaxNLocator(nbins=max(most, 1), steps=[1, 2, 5, 10], integer=True).tick_values(start, end)
    step = float(ticks[1] - ticks[0])
    unit, size = ("Mb", 1e6) if end >= 1_000_000 and step >= 1_000 else ("kb", 1e3)
    digits = max(0, int(np.ceil(-np.log10(step / size) - 1e-9)))
    inside = [float(tick) for tick in ticks if start <= tick <= end]
    return inside, [f"{tick / size:,.{digits}f}" for tick in inside], unit


def panels(host: Axes | PrintFigure, boxes: Sequence[tuple[float, float, float, float]]) -> list[Axes]:
    """Axes at boxes (left, bottom, width, height), in fractions of a figure or of an Axes."""
    if isinstance(host, Axes):
        host.axis("off")
        return [host.inset_axes(box) for box in boxes]
    return [host.add_axes(box) for box in boxes]
