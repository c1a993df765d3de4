"""Columns as JSON holds them, compact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import Var
from eregtools.get._select import layer_row

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

_DIGITS = 4
"""Digits to which numbers are kept: more than a figure or a table shows."""

_LARGEST_EXACT = 1e15


def rows_of(
    adata: AnnData, layer: str, samples: Sequence[str], shown: NDArray[np.bool_]
) -> list[list[float | int | None]]:
    """Values of a layer in each biosample, as JSON holds them."""
    return [numbers(layer_row(adata, layer, name)[shown]) for name in samples]


def codes(var: pd.DataFrame, chromosomes: list[str]) -> list[int]:
    """Count chromosomes from 0: that of each element; new ones are added to the list."""
    names = var[Var.chromosome].astype(str)
    chromosomes += [name for name in dict.fromkeys(names) if name not in chromosomes]
    return names.map({name: number for number, name in enumerate(chromosomes)}).tolist()


def flags(values: NDArray[np.floating] | NDArray[np.bool_]) -> str:
    """Write 1 for each value above 0, and 0 for others."""
    return "".join("1" if value > 0 else "0" for value in values.tolist())


def numbers(values: NDArray[np.floating], digits: int = _DIGITS) -> list[float | int | None]:
    """Numbers that JSON can hold: rounded, and none where they are not finite."""
    finite = np.isfinite(values).tolist()
    return [_number(value, digits) if known else None for value, known in zip(values.tolist(), finite, strict=True)]


def _number(value: float, digits: int) -> float | int:
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < _LARGEST_EXACT else rounded
