"""In which size and colours figures are drawn."""

from __future__ import annotations

from types import TracebackType
from typing import Literal

from eregtools._settings import settings
from eregtools.pl._themes import known_theme


class Chosen:
    """Theme that was put in force; at the end of a ``with`` block the one before it comes back."""

    def __init__(self, name: str, before: str) -> None:
        self.name, self.before = name, before

    def __repr__(self) -> str:
        return f"theme({self.name!r})"

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        settings.theme = self.before


def theme(name: Literal["print", "slides", "dark"]) -> Chosen:
    """Choose the size and the colours of figures that are drawn from now on.

    Called by itself it holds until the next call; in a ``with`` statement it holds for the block. It is kept as
    ``er.settings.theme``.

    Parameters
    ----------
    name
        ``"print"``: a journal column, 89 mm wide, with type of 6 and 7 points. ``"slides"``: all of that 1.8 times as
        large (type, lines, and the size of the figure: 160 mm, half of a 16:9 slide). ``"dark"``: as slides, light
        on a dark ground.

    Returns
    -------
    A context manager, to be used in a ``with`` statement or to be left alone.

    Raises
    ------
    ValueError
        There is no such theme.

    Notes
    -----
    Colours of print and slides are those of Okabe and Ito (2008), which are told apart with every kind of colour
    vision. On the dark ground the same hues are lighter: text has a contrast of at least 4.5 : 1 and lines of at
    least 3 : 1 (Web Content Accessibility Guidelines 2.1).

    ``figsize=`` is in inches as it is given; what is drawn into it has the type of the theme. A figure whose Axes are
    given by ``ax=`` takes the ground of a dark theme.

    Examples
    --------
    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> er.tl.attention(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> with er.pl.theme("dark"):
        ...     axes = er.pl.attention(mdata, "sim12", layers="attention")

    For all figures that follow:

    >>> er.pl.theme("slides")
    theme('slides')
    >>> er.pl.theme("print")
    theme('print')
    """
    known_theme(name)
    before, settings.theme = settings.theme, name
    return Chosen(name, before)
