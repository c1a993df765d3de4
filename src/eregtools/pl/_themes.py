"""Looks of figures: one for print, one for slides, one for dark slides. Needs no matplotlib."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from eregtools._settings import settings

SMALL: Final = 6.0
"""Points in print; the smallest type that journals print."""

NORMAL: Final = 7.0
"""Points in print; titles and axis labels."""


@dataclass(frozen=True)
class Theme:
    """Size and colours of a figure.

    Layouts are counted in inches of print, and type and lines in points of print; all of them are drawn `scale` times
    as large.

    Attributes
    ----------
    scale
        Size of everything, as a multiple of print.
    paper, ink
        Colour of the ground and of what is plainest on it.
    greys
        Levels from 0 (black) to 1 (white) of what is nearest to the ink and of what is nearest to the paper.
    middle
        Colour of zero between effects of both signs.
    band
        Opacity of the yellow behind what is highlighted.
    opaque
        Share of what is transparent in print that is not: on a dark ground the faint would not be seen.
    blue, vermillion, green, purple, orange, sky, yellow
        Told apart with every kind of colour vision; yellow is kept for backgrounds.
    """

    scale: float = 1.0
    paper: str = "#FFFFFF"
    ink: str = "#000000"
    greys: tuple[float, float] = (0.0, 1.0)
    middle: str = "0.95"
    band: float = 0.35
    opaque: float = 0.0
    blue: str = "#0072B2"
    vermillion: str = "#D55E00"
    green: str = "#009E73"
    purple: str = "#CC79A7"
    orange: str = "#E69F00"
    sky: str = "#56B4E9"
    yellow: str = "#F0E442"

    @property
    def dark(self) -> bool:
        """Whether figures have a dark ground."""
        return self.greys[0] > self.greys[1]

    @property
    def colors(self) -> tuple[str, ...]:
        """Colours of things of one kind, such as biosamples, in their order."""
        return (self.blue, self.vermillion, self.green, self.purple, self.orange, self.sky, self.ink)

    @property
    def beside(self) -> str:
        """Grey of things beside the point; legible as text."""
        return self.grey(0.45)

    @property
    def ramp(self) -> tuple[str, str, str]:
        """Colours from the smallest score to the largest."""
        return ("#22303C", self.blue, "#D9EEFC") if self.dark else ("#EAF3F9", self.blue, "#00263D")

    @property
    def small(self) -> float:
        """Points of tick labels and notes."""
        return self.pt(SMALL)

    @property
    def normal(self) -> float:
        """Points of titles and axis labels."""
        return self.pt(NORMAL)

    def grey(self, share: float) -> str:
        """Grey between ink (0) and paper (1)."""
        ink, paper = self.greys
        return f"{ink + share * (paper - ink):.3g}"

    def pt(self, points: float) -> float:
        """Points to draw for points of print."""
        return self.scale * points

    def area(self, points: float) -> float:
        """Square points of a mark to draw for those of print."""
        return self.scale**2 * points

    def alpha(self, opacity: float) -> float:
        """Opacity to draw for that of print."""
        return self.opaque + (1 - self.opaque) * opacity

    @property
    def rc(self) -> Any:
        """Parameters of matplotlib that figures are drawn with."""
        points = {name: self.pt(size) for name, size in _POINTS.items()}
        return {
            **points,
            **dict.fromkeys(_PAPER, self.paper),
            **dict.fromkeys(_INK, self.ink),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": False,
            "legend.frameon": False,
            "legend.labelcolor": "None",
        }


_POINTS: Final = {
    "font.size": SMALL,
    "axes.labelsize": SMALL,
    "axes.titlesize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "axes.linewidth": 0.5,
    "axes.labelpad": 2.0,
    "axes.titlepad": 6.0,
    "lines.linewidth": 1.5,
    "lines.markersize": 6.0,
    "patch.linewidth": 1.0,
    "hatch.linewidth": 0.3,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 1.5,
    "ytick.minor.width": 0.6,
    "ytick.minor.size": 2.0,
    "figure.constrained_layout.h_pad": 0.04167,
    "figure.constrained_layout.w_pad": 0.04167,
}
"""Sizes in points of print; the margins of a layout are in inches."""

_PAPER: Final = ("figure.facecolor", "axes.facecolor")
_INK: Final = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")

THEMES: Final = {
    "print": Theme(),
    "slides": Theme(scale=1.8),
    "dark": Theme(
        scale=1.8,
        paper="#15181D",
        ink="#F2F2F2",
        greys=(0.95, 0.35),
        middle="0.22",
        band=0.22,
        opaque=0.5,
        blue="#4A8DF1",
        vermillion="#DF7538",
        green="#1BBD84",
        purple="#C879AD",
        orange="#E8B81E",
        sky="#9BCEFF",
    ),
}
"""Print: colours of Okabe and Ito (2008). Dark: the same hues, lighter where they would not be read on the ground."""


def known_theme(name: str) -> Theme:
    """Theme of a name.

    Raises
    ------
    ValueError
        There is no such theme.
    """
    if name not in THEMES:
        raise ValueError(f"theme is {name!r}; expected one of {', '.join(map(repr, THEMES))}")
    return THEMES[name]


def in_force() -> Theme:
    """Theme that figures are drawn in, as ``settings.theme`` names it."""
    return known_theme(settings.theme)
