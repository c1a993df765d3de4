"""Aligning tables and samples of the caller with those of the object."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._columns import ALIASES, column
from eregtools._columns import required_column as required_column
from eregtools._columns import whole_numbers as whole_numbers
from eregtools._keys import Var
from eregtools._logging import logger

_ENSEMBL_VERSION = r"^(ENS[A-Z]*\d{11})\.\d+"


def gene_ids(table: pd.DataFrame, what: str) -> pd.Index:
    """Stable ids of the genes of a table: a column gene_id, ENSID or gene, otherwise its index of names."""
    found = column(table, Var.gene)
    names: pd.Index | pd.Series = table.index if found is None else found
    if pd.api.types.is_numeric_dtype(names.dtype):
        raise ValueError(f"{what}: no column has gene ids ({', '.join(ALIASES[Var.gene])}) and the index holds numbers")
    return stable_ids(names)


def stable_ids(names: Iterable[str]) -> pd.Index:
    """Ensembl ids without version (``ENSG00000000003.15`` → ``ENSG00000000003``); other names unchanged.

    Examples
    --------
    >>> list(stable_ids(["ENSG00000182378.15_PAR_Y", "ENSMUSG00000000001.5", "tp53.1"]))
    ['ENSG00000182378_PAR_Y', 'ENSMUSG00000000001', 'tp53.1']
    """
    text = pd.Series(list(names), dtype=object).astype(str)
    return pd.Index(text.str.replace(_ENSEMBL_VERSION, r"\1", regex=True).to_numpy(dtype=object))


def refuse_repeated(names: pd.Index, what: str) -> None:
    """Names must be unique; the error counts those that are not and shows the first."""
    repeated = names[names.duplicated()]
    if len(repeated):
        raise ValueError(f"{what}: {len(repeated)} name(s) are given more than once, first {repeated[0]!r}")


def sample_rows(mdata: MuData, samples: Iterable[str], what: str) -> list[int]:
    """Row of each named biosample; unknown ones are a KeyError that names them."""
    names = [str(name) for name in samples]
    unknown = [name for name in names if name not in mdata.obs_names]
    if unknown:
        raise KeyError(f"{what}: no biosample {', '.join(unknown)} in the object; it has {', '.join(mdata.obs_names)}")
    return [int(row) for row in mdata.obs_names.get_indexer(pd.Index(names))]


def rows_of_genes(ids: pd.Index, genes: AnnData, what: str) -> np.ndarray:
    """Row of each gene of the object among ``ids`` of a table, −1 where it is absent.

    Raises
    ------
    ValueError
        The table and the object have no gene in common.
    """
    wanted = stable_ids(genes.var_names)
    place = ids.get_indexer(wanted)
    if not (place >= 0).any():
        theirs, ours = (", ".join(map(str, names[:3])) or "nothing" for names in (ids, wanted))
        raise ValueError(f"{what}: no gene in common; the table has {theirs}, the object {ours}")
    others = ids[~ids.isin(wanted)]
    if len(others):
        first = ", ".join(map(str, others[:3]))
        logger.info(
            "%s: %d of %d genes of the table are not in the object, first %s", what, len(others), len(ids), first
        )
    return place


def warn_of_order(adata: AnnData, what: str) -> None:
    """Warn where values come as an array and the rows of the object are not in the order of the input."""
    if Var.input_index in adata.var and not adata.var[Var.input_index].is_monotonic_increasing:
        logger.warning(
            "%s: assemble sorted the rows and arrays are taken in the object's order; a Series by name cannot be "
            "misplaced",
            what,
        )
