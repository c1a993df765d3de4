"""Expression of genes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import Modality, Uns
from eregtools._logging import logger
from eregtools._schema import check_layer_name, entry, put_layer, require_modality, require_real
from eregtools.io.tables import read_table
from eregtools.pp.align import (
    column,
    gene_ids,
    refuse_repeated,
    rows_of_genes,
    sample_rows,
    stable_ids,
    warn_of_order,
)

Transform = Literal["log10(1+x)", "zscore(log10(x+0.1))"]


def add_expression(
    mdata: MuData,
    table: str | Path | pd.DataFrame | Mapping[str, pd.Series | npt.ArrayLike],
    *,
    assay: str,
    transform: Transform | None = None,
    copy: bool = False,
) -> MuData | None:
    """Add the expression of genes.

    Parameters
    ----------
    mdata
        The object.
    table
        Genes × biosamples: a table (or its path) with gene ids as index or in a column gene_id, ENSID or gene
        and a column for each biosample; or ``{sample: values}`` with a Series by gene id or an array
        ``(n_genes,)`` in the order of the object. Ensembl ids match with and without version.
    assay
        Name of the layer, as in ``"RNA"`` or ``"CAGE"``.
    transform
        What is done to the values: nothing, ``"log10(1+x)"``, or ``"zscore(log10(x+0.1))"`` with the mean and
        the standard deviation of the object's genes in each biosample (both are kept).
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["genes"].layers[assay]``
        Expression, float32 ``(n_samples, n_genes)``; NaN where it is not known. The first assay is also
        ``X``.
    ``mdata.uns["eregtools"]["transforms"][assay]``
        name of the transform, and for the z-score the mean and sd of each biosample.

    Raises
    ------
    KeyError
        A biosample that the object does not have.
    ValueError
        No gene in common, genes given twice, values that are no numbers, negative values before a logarithm,
        a biosample whose genes all have one value before a z-score; a view.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.add_expression(mdata, {"K562": pd.Series({"g1": 9.0})}, assay="RNA", transform="log10(1+x)")
    >>> float(mdata["genes"].layers["RNA"][0, 0])
    1.0
    """
    require_real(mdata)
    check_layer_name(assay, "assay")
    genes = require_modality(mdata, Modality.genes)
    columns = table if isinstance(table, Mapping) else _columns(table)
    rows = sample_rows(mdata, columns, f"expression {assay}")
    values = np.full(genes.shape, np.nan)
    for row, (sample, given) in zip(rows, columns.items(), strict=True):
        values[row] = _of_genes(given, genes, f"{assay} of {sample}")
    values, record = _transformed(values, transform, mdata.obs_names, assay)
    _log_missing(values, rows, mdata, assay)

    mdata = mdata.copy() if copy else mdata
    transforms = entry(mdata, Uns.transforms)
    put_layer(mdata, Modality.genes, assay, values, as_x=not transforms)
    transforms[assay] = record
    return mdata if copy else None


def _read(table: str | Path | pd.DataFrame) -> pd.DataFrame:
    return table if isinstance(table, pd.DataFrame) else read_table(table)


def _columns(table: str | Path | pd.DataFrame) -> dict[str, pd.Series]:
    """Make a Series by gene id for each biosample of a table."""
    given = _read(table)
    of_ids = column(given, "gene")
    if of_ids is None and not isinstance(table, pd.DataFrame):  # a file without a named column: ids come first
        of_ids = given.iloc[:, 0]
        ids = stable_ids(of_ids)
    else:
        ids = gene_ids(given, "expression")
    values = given if of_ids is None else given.drop(columns=[of_ids.name])
    return {str(name): pd.Series(values[name].to_numpy(), index=ids) for name in values.columns}


def _of_genes(given: pd.Series | npt.ArrayLike, genes: AnnData, what: str) -> np.ndarray:
    """Values of one biosample in the order of the object, float64, NaN where a gene is absent."""
    if not isinstance(given, pd.Series):
        values = _numbers(given, what)
        if values.shape != (genes.n_vars,):
            raise ValueError(f"{what}: values of shape {values.shape} for {genes.n_vars} genes")
        warn_of_order(genes, what)
        return values
    ids = stable_ids(given.index)
    refuse_repeated(ids, what)
    place = rows_of_genes(ids, genes, what)
    values = np.full(genes.n_vars, np.nan)
    values[place >= 0] = _numbers(given, what)[place[place >= 0]]
    return values


def _numbers(values: pd.Series | pd.DataFrame | npt.ArrayLike, what: str) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what}: there are values that are no numbers") from None
    if np.isinf(numbers).any():
        raise ValueError(f"{what}: {np.isinf(numbers).sum()} value(s) are infinite")
    return numbers


def _transformed(
    values: np.ndarray, transform: str | None, samples: pd.Index, assay: str
) -> tuple[np.ndarray, dict[str, str | pd.DataFrame]]:
    if transform is None:
        return values, {"name": "none"}
    if transform not in ("log10(1+x)", "zscore(log10(x+0.1))"):
        raise ValueError(f"transform={transform!r}: expected None, 'log10(1+x)' or 'zscore(log10(x+0.1))'")
    negative = values < 0
    if negative.any():
        raise ValueError(f"{assay}: {negative.sum()} value(s) are negative, which {transform} cannot take")
    if transform == "log10(1+x)":
        return np.log10(1 + values), {"name": transform}
    logs = np.log10(values + 0.1)
    known = ~np.isnan(logs)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, logs, 0).sum(axis=1) / count
    sd = np.sqrt((np.where(known, logs - mean[:, None], 0) ** 2).sum(axis=1) / count)
    flat = known.any(axis=1) & (sd == 0)
    if flat.any():
        raise ValueError(f"{assay} of {', '.join(samples[flat])}: all genes have one value, there is no z-score")
    moments = pd.DataFrame({"mean": mean, "sd": sd}, index=samples.copy())
    moments[~known.any(axis=1)] = np.nan
    return (logs - mean[:, None]) / np.where(sd > 0, sd, 1)[:, None], {"name": transform, "moments": moments}


def _log_missing(values: np.ndarray, rows: list[int], mdata: MuData, assay: str) -> None:
    for row in rows:
        if absent := int(np.isnan(values[row]).sum()):
            logger.info("%s of %s: %d of %d genes get NaN", assay, mdata.obs_names[row], absent, values.shape[1])
    if without := [name for row, name in enumerate(mdata.obs_names) if row not in rows]:
        logger.info("%s: no values for %s, which get NaN", assay, ", ".join(without))
