"""Numbers as they are written on the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

NOT_KNOWN: Final = "–"
"""Stands where there is no number."""


def count(value: float) -> str:
    """Whole number with its thousands set apart.

    Examples
    --------
    >>> count(18377)
    '18,377'
    """
    return f"{value:,.0f}"


def decimal(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """Write a number with some digits after the point.

    Examples
    --------
    >>> decimal(-0.0214), decimal(0.5, 2, signed=True), decimal(float("nan"))
    ('−0.021', '+0.50', '–')
    """
    if not np.isfinite(value):
        return NOT_KNOWN
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def short(value: float) -> str:
    """Write a number of any size with about three digits.

    Examples
    --------
    >>> short(0.01234), short(12.345), short(123456.0)
    ('0.0123', '12.3', '123,456')
    """
    if not np.isfinite(value):
        return NOT_KNOWN
    text = f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def share(part: float, whole: float) -> str:
    """Part of a whole in per cent.

    Examples
    --------
    >>> share(1, 8), share(0, 0)
    ('12.5 %', '–')
    """
    return f"{100 * part / whole:.1f} %" if whole else NOT_KNOWN


def spread(values: Iterable[float]) -> str:
    """Median, and the quartiles around it.

    Examples
    --------
    >>> spread([1, 2, 3, 4, 5])
    '3 (2 to 4)'
    """
    known = np.asarray(list(values), dtype=np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return NOT_KNOWN
    low, middle, high = np.percentile(known, [25, 50, 75])
    return f"{short(middle)} ({short(low)} to {short(high)})"
