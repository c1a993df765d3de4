"""What the tables of data quality are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Histogram:
    """Share of elements in bins of the same width, and what the first and the last bin hold."""

    heights: tuple[float, ...]
    """Relative to the highest bin of all biosamples."""
    low: str
    high: str
    words: str
    """What is seen, for those who do not see it."""


@dataclass(frozen=True)
class Row:
    """One measure of each biosample."""

    name: str
    unit: str
    cells: tuple[str | Histogram, ...]


@dataclass(frozen=True)
class Group:
    """Measures of one kind of data."""

    name: str
    rows: tuple[Row, ...]
