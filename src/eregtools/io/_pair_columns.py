"""Columns of tables of enhancer–gene pairs, whoever wrote them: what is there, genes, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eregtools._keys import Var
from eregtools._schema import listed
from eregtools.io.gtf import strip_versions
from eregtools.io.links import GENE_ID

_GENE_COLUMNS: Final = (GENE_ID, Var.gene, Var.gene_name)


def require_columns(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Columns must be there, and the table must have rows.

    Raises
    ------
    ValueError
        A column is missing; the error lists those that there are.
    """
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"{what}: expected a DataFrame, got {type(table).__name__}")
    if missing := [name for name in columns if name not in table]:
        raise ValueError(f"{what}: there is no column {listed(missing)}; the table has {listed(table.columns, 30)}")
    if not len(table):
        raise ValueError(f"{what}: the table has no rows")


def gene_ids_and_names(table: pd.DataFrame, what: str) -> tuple[pd.Series, pd.Series]:
    """Ids (without Ensembl versions) and names of the genes of a table, each ``(n,)`` text with NaN.

    Ids are in ``gene_id``, else in ``gene``; names in ``gene_name``, else in ``gene``. A table with one column of
    genes has them as both, because nothing tells which they are.

    Examples
    --------
    >>> table = pd.DataFrame({"gene": ["MYC"], "gene_id": ["ENSG00000136997.19"]})
    >>> ids, names = gene_ids_and_names(table, "example")
    >>> ids[0], names[0]
    ('ENSG00000136997', 'MYC')
    """
    there = [name for name in _GENE_COLUMNS if name in table]
    if not there:
        raise ValueError(
            f"{what}: no column has genes ({', '.join(_GENE_COLUMNS)}); the table has {listed(table.columns, 30)}"
        )
    ids = _text(table[there[0]])
    names = _text(table[next((name for name in (Var.gene_name, Var.gene) if name in there), there[0])])
    return ids, names


def to_float(values: pd.Series, what: str) -> NDArray[np.float64]:
    """Numbers or truth values as float64; text and infinities are refused."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what}: column {values.name!r} has values that are no numbers") from None
    if np.isinf(numbers).any():
        raise ValueError(f"{what}: {int(np.isinf(numbers).sum())} value(s) of column {values.name!r} are infinite")
    return numbers


def _text(values: pd.Series) -> pd.Series:
    code, distinct = pd.factorize(values.astype(object))
    texts = [*strip_versions(pd.Series([str(name) for name in distinct], dtype=object)), None]
    return pd.Series([texts[number] for number in code], dtype=object)
