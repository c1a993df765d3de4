"""What all figures share: colours, sizes of type, and the geometry of labels in inches.

Imports matplotlib; import it inside functions only, as ``_layout``, ``_panels`` and ``_scatter``, which build on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

T = TypeVar("T")

MM: Final = 1 / 25.4
"""Inches in a millimetre."""

ONE_COLUMN: Final = 89 * MM
"""Width of one journal column in inches."""

SMALL: Final = 6.0
"""Points; the smallest type that journals print."""

NORMAL: Final = 7.0
"""Points; titles and axis labels."""

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW, BLACK = "#E69F00", "#56B4E9", "#F0E442", "#000000"
COLORS: Final = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""Okabe and Ito (2008), told apart with every kind of colour vision; yellow is kept for backgrounds."""

GREY: Final = "0.45"
"""Things beside the point."""

RC: Final[Any] = {
    "font.size": SMALL,
    "axes.labelsize": SMALL,
    "axes.titlesize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 1.5,
    "axes.labelpad": 2.0,
}

_SAVING: Final[Any] = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}

_FILES_ONLY: Final = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


class PrintFigure(Figure):
    """Figure whose text stays text in PDF and SVG, without a change of the session's settings."""

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save as matplotlib does, with fonts embedded as TrueType."""
        with mpl.rc_context(_SAVING):
            super().savefig(*args, **kwargs)


def new_figure(width: float, height: float) -> PrintFigure:
    """Empty figure of a size in inches, at 150 dpi on screen and 300 in files."""
    figure = plt.figure(figsize=(width, height), dpi=150, FigureClass=PrintFigure)
    assert isinstance(figure, PrintFigure)
    return figure


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
    """Width of a line of text in inches, known before anything is drawn."""
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
