"""Scores of predictors as rows of a table, and where they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from eregtools.pl.evaluation import PREDICTORS
from eregtools.report._words import NOT_KNOWN, decimal

_FLOOR: Final = -1.0
_EDGE: Final = 6.0
"""Per cent of a plot's width that stay free at either side."""


@dataclass(frozen=True)
class Dot:
    """Where a score is drawn, in per cent of the width of the plot."""

    at: float
    low: float | None
    high: float | None
    folds: tuple[float, ...]
    words: str


@dataclass(frozen=True)
class Score:
    """One predictor: its name, whether it is a model or a baseline, its numbers and its dot."""

    name: str
    kind: str
    cells: tuple[str, ...]
    dot: Dot | None


@dataclass(frozen=True)
class Axis:
    """Scale of the dots of one evaluation: what they are, ticks (place in per cent, number), and the best baseline."""

    name: str
    ticks: tuple[tuple[float, str], ...]
    reference: float | None


@dataclass(frozen=True)
class Evaluation:
    """Scores of several predictors on the same elements; without an axis, a table as it is."""

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[Score, ...]
    axis: Axis | None = None
    notes: tuple[str, ...] = ()


def axis(
    name: str, table: pd.DataFrame, column: str, reference: pd.Series, interval: tuple[str, str] | None = None
) -> tuple[Axis, Callable[[float], float]]:
    """Scale that holds all values and their intervals, and the place of a value on it."""
    columns = [one for one in (column, *(interval or (f"{column}_low", f"{column}_high"))) if one in table]
    values = table[columns].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)].clip(min=_FLOOR)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / s <= 4 or s == 1.0)
    low, high = np.floor(low / step + 1e-9) * step, np.ceil(high / step - 1e-9) * step
    high = high if high > low else low + step

    def place(value: float) -> float:
        part = (max(value, _FLOOR) - low) / (high - low)
        return round(_EDGE + (100 - 2 * _EDGE) * float(part), 2)

    ticks = np.arange(low, high + step / 2, step)
    digits = 2 if step < 0.1 else 1
    known = reference.dropna()
    at = place(float(known.iloc[0])) if len(known) else None
    return Axis(name, tuple((place(tick), decimal(abs(tick) and tick, digits)) for tick in ticks), at), place


def dot(
    row: pd.Series,
    column: str,
    place: Callable[[float], float],
    folds: pd.Series | None,
    interval: tuple[str, str] | None = None,
) -> Dot | None:
    value = float(row[column])
    if not np.isfinite(value):
        return None
    names = interval or (f"{column}_low", f"{column}_high")
    ends = [float(row.get(name, np.nan)) for name in names]
    low, high = [place(end) for end in ends] if np.isfinite(ends).all() else (None, None)
    own = tuple(place(float(of)) for of in (folds.dropna() if folds is not None else ()))
    return Dot(place(value), low, high, own, f"{called(str(row['predictor']))}: {decimal(value)}")


def with_interval(row: pd.Series, column: str, *, low: str = "", high: str = "", signed: bool = False) -> str:
    value = decimal(float(row.get(column, np.nan)), signed=signed)
    ends = [float(row.get(name, np.nan)) for name in (low or f"{column}_low", high or f"{column}_high")]
    if value == NOT_KNOWN or not np.isfinite(ends).all():
        return value
    return f"{value} ({decimal(ends[0], signed=signed)} to {decimal(ends[1], signed=signed)})"


def called(predictor: str) -> str:
    return PREDICTORS.get(predictor, predictor.replace("_", " "))
