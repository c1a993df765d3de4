"""Quantile normalisation of assays to a reference biosample, by the rules of Activity-by-Contact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from eregtools._keys import ElementClass, Var
from eregtools._logging import logger
from eregtools.io.tables import read_table

_COLUMNS = ("enh_class", "rank")
_ANY, _PROMOTER, _NONPROMOTER = "any", "promoter", "nonpromoter"
_STANDS_IN = {"dnase": ("DHS",), "dhs": ("DNase",), "atac": ("DHS", "DNase")}
"""Assays whose reference serves where the assay itself has none: accessibility is measured in several ways."""


def quantile_normalise(values: np.ndarray, rank: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Values of the reference at the rank of each value.

    The strongest of ``n`` values has rank 0, the weakest ``n - 1``, equal ones the mean of their ranks. Between the
    ranks of the reference its values are interpolated, beyond them the line through the two outermost goes on,
    and nothing is below 0.

    Parameters
    ----------
    values
        Values ``(n,)``, without NaN.
    rank, reference
        Ranks of the reference, ascending and different, and its values there.

    Returns
    -------
    float64 array ``(n,)``.

    Examples
    --------
    >>> quantile_normalise(np.array([7.0, 1, 3]), np.array([0.0, 1]), np.array([10.0, 6]))
    array([10.,  2.,  6.])
    """
    at = len(values) - pd.Series(values).rank(method="average").to_numpy()
    left = np.clip(np.searchsorted(rank, at, side="right") - 1, 0, len(rank) - 2)
    slope = (reference[left + 1] - reference[left]) / (rank[left + 1] - rank[left])
    normalised: np.ndarray = np.maximum(reference[left] + slope * (at - rank[left]), 0)
    return normalised


class QuantileReference:
    """A reference table: values of assays by rank, for promoters, other elements, and all together.

    Parameters
    ----------
    source
        Table (or its path) with the columns ``enh_class`` (``any``, ``promoter``, ``nonpromoter``), ``rank``, and one
        ``….RPM`` for each assay, as ABC's ``EnhancersQNormRef``.

    Raises
    ------
    ValueError
        Columns or rows are missing, or values are no numbers.
    """

    def __init__(self, source: str | Path | pd.DataFrame):
        self.name = "table" if isinstance(source, pd.DataFrame) else Path(source).name
        table = source if isinstance(source, pd.DataFrame) else read_table(source)
        self._assays = [str(name).removesuffix(".RPM") for name in table.columns if str(name).endswith(".RPM")]
        missing = [name for name in _COLUMNS if name not in table]
        if missing or not self._assays:
            raise ValueError(
                f"quantile_reference: expected the columns enh_class, rank and one like DHS.RPM for each assay; the "
                f"table has {', '.join(map(str, table.columns)) or 'none'}"
            )
        if table.empty:
            raise ValueError("quantile_reference: the table has no rows")
        self._table = table

    def column(self, assay: str) -> str:
        """Column of the reference that serves for an assay."""
        wanted = (assay, *_STANDS_IN.get(assay.lower(), ()))
        for name in wanted:
            for there in self._assays:
                if there.lower() == name.lower():
                    return f"{there}.RPM"
        raise ValueError(
            f"quantile_reference: there is no column for {assay!r} ({', '.join(f'{name}.RPM' for name in wanted)}); it "
            f"has {', '.join(f'{name}.RPM' for name in self._assays)}"
        )

    def curve(self, enh_class: str, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Ranks and values of one class, ascending by rank."""
        rows = self._table[self._table["enh_class"] == enh_class]
        numbers = rows[["rank", column]].apply(pd.to_numeric, errors="coerce")
        if numbers.isna().any(axis=None):
            raise ValueError(
                f"quantile_reference: rank or {column} of class {enh_class!r} has values that are no numbers"
            )
        by_rank = numbers.groupby("rank")[column].mean()
        if len(by_rank) < 2:
            there = ", ".join(map(str, self._table["enh_class"].unique()))
            raise ValueError(
                f"quantile_reference: class {enh_class!r} has {len(by_rank)} row(s), expected at least two; the "
                f"classes are {there}"
            )
        return by_rank.index.to_numpy(dtype=np.float64), by_rank.to_numpy(dtype=np.float64)

    def normalise(self, values: np.ndarray, assay: str, promoter: np.ndarray | None) -> np.ndarray:
        """Normalise each biosample's values ``(n_samples, n_elements)``; NaN stays NaN.

        ``promoter``, bool ``(n_elements,)``, says which elements are ranked apart; None ranks all together.
        """
        column = self.column(assay)
        everything = np.ones(values.shape[1], dtype=bool)
        classes = {_ANY: everything} if promoter is None else {_PROMOTER: promoter, _NONPROMOTER: ~promoter}
        normalised = np.full(values.shape, np.nan)
        for enh_class, members in classes.items():
            if not members.any():
                continue
            rank, reference = self.curve(enh_class, column)
            for row, of_sample in enumerate(values):
                known = members & ~np.isnan(of_sample)
                normalised[row, known] = quantile_normalise(of_sample[known], rank, reference)
        return normalised


def promoter_elements(elements: pd.DataFrame) -> np.ndarray | None:
    """Which elements are promoters by their class, bool ``(n_elements,)``; None where they have no class."""
    if Var.element_class not in elements:
        logger.info("the elements have no class (er.pp.classify): promoters are normalised with all others")
        return None
    classes: np.ndarray = elements[Var.element_class].astype(object).to_numpy() == ElementClass.promoter
    return classes
