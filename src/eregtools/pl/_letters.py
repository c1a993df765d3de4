"""Letters of sequence logos, scaled to boxes in data coordinates.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from eregtools.pl._themes import in_force

BASES: Final = "ACGT"
_GAP: Final = 0.04
"""Part of a position's width that is left empty."""


def colors() -> dict[str, str]:
    """Colour of each base."""
    look = in_force()
    return dict(zip(BASES, (look.green, look.blue, look.orange, look.vermillion), strict=True))


@cache
def _letter(base: str) -> Path:
    """Outline of a letter that fills the unit square."""
    text = TextPath((0, 0), base, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold"))
    low, high = text.vertices.min(axis=0), text.vertices.max(axis=0)
    return Path((text.vertices - low) / (high - low), text.codes)


def stacks(heights: np.ndarray) -> np.ndarray:
    """Lower edge of each letter: positive ones above zero, negative ones below, the largest outermost.

    Parameters
    ----------
    heights
        ``(length, 4)``.

    Examples
    --------
    >>> import numpy as np
    >>> stacks(np.array([[2.0, 1.0, -1.0, -3.0]]))
    array([[ 1.,  0., -1., -4.]])
    """
    size = np.abs(heights)
    order = np.argsort(size, axis=1, kind="stable")
    bottom = np.zeros(heights.shape)
    for sign in (1, -1):
        own = np.where(np.sign(heights) == sign, size, 0)
        inner = np.take_along_axis(own, order, axis=1)
        below = np.empty_like(inner)
        np.put_along_axis(below, order, inner.cumsum(axis=1) - inner, axis=1)
        bottom += np.where(own > 0, below if sign > 0 else -below - own, 0)
    return bottom


def draw_letters(ax: Axes, left: np.ndarray, heights: np.ndarray) -> list[PathCollection]:
    """Draw letters of ``heights`` ``(length, 4)`` at ``left`` ``(length,)``, one wide; negative ones upside down."""
    bottom, drawn, shades = stacks(heights), [], colors()
    for number, base in enumerate(BASES):
        letter = _letter(base)
        outline = np.asarray(letter.vertices)
        at = np.flatnonzero(heights[:, number])
        size = np.stack([np.full(len(at), 1 - _GAP), np.abs(heights[at, number])], axis=1)
        corner = np.stack([left[at] + _GAP / 2, bottom[at, number]], axis=1)
        shape = np.repeat(outline[None], len(at), axis=0)
        shape[heights[at, number] < 0, :, 1] = 1 - outline[:, 1]
        vertices = corner[:, None] + shape * size[:, None]
        paths = [Path(corners, letter.codes) for corners in vertices]
        drawn.append(PathCollection(paths, facecolors=shades[base], linewidths=0, label=base))
        ax.add_collection(drawn[-1])
    return drawn


def draw_bars(ax: Axes, left: np.ndarray, heights: np.ndarray) -> None:
    """Draw bars in the colours of the bases, for positions that are too narrow for letters."""
    bottom, shades = stacks(heights), colors()
    for number, base in enumerate(BASES):
        at = np.flatnonzero(heights[:, number])
        ax.bar(
            left[at] + 0.5,
            np.abs(heights[at, number]),
            width=1.0,
            bottom=bottom[at, number],
            color=shades[base],
            linewidth=0,
            label=base,
        )
