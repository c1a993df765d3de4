"""Joins of genomic intervals. The only file that calls PyRanges.

PyRanges 0.1 re-sorts rows and drops the index, so every join carries integer row numbers and returns those.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Var


def overlapping_pairs(left: pd.DataFrame, right: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of overlapping intervals, strands ignored.

    Parameters
    ----------
    left, right
        Tables with the columns Chromosome, Start and End (0-based half-open).

    Returns
    -------
    Row numbers in ``left`` and in ``right``, two arrays ``(n_pairs,)``, ordered by both.

    Examples
    --------
    >>> import pandas as pd
    >>> a = pd.DataFrame({"Chromosome": ["chr2", "chr1"], "Start": [0, 10], "End": [5, 20]})
    >>> b = pd.DataFrame({"Chromosome": ["chr1", "chr1"], "Start": [19, 20], "End": [30, 30]})
    >>> overlapping_pairs(a, b)
    (array([1]), array([0]))
    """
    joined = _numbered(left, "left_row").join(_numbered(right, "right_row"), apply_strand_suffix=False)
    parts = list(joined.values())
    if not parts:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    left_rows = np.concatenate([part["left_row"].to_numpy() for part in parts])
    right_rows = np.concatenate([part["right_row"].to_numpy() for part in parts])
    order = np.lexsort((right_rows, left_rows))
    return left_rows[order], right_rows[order]


def overlaps(left: pd.DataFrame, right: pd.DataFrame) -> np.ndarray:
    """Which intervals of ``left`` overlap any of ``right``, bool ``(len(left),)``; strands ignored."""
    hit = np.zeros(len(left), dtype=bool)
    hit[overlapping_pairs(left, right)[0]] = True
    return hit


def _numbered(table: pd.DataFrame, column: str) -> Any:
    from pyranges import PyRanges

    columns: dict[str, Any] = {name: table[name].to_numpy() for name in INTERVAL}
    columns[Var.chromosome] = pd.Categorical(table[Var.chromosome])
    return PyRanges(pd.DataFrame({**columns, column: np.arange(len(table))}))
