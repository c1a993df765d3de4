"""Aligning tables and samples of the caller with those of the object."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import Var
from eregtools._logging import logger

_ALIASES = {
    Var.chromosome: ("Chromosome", "chromosome", "chrom", "#chrom", "chr"),
    Var.start: ("Start", "start", "chromStart"),
    Var.end: ("End", "end", "chromEnd"),
    Var.strand: ("Strand", "strand"),
    Var.tss: ("tss", "TSS"),
    Var.gene: ("gene_id", "ENSID", "gene"),  # beside an id, "gene" usually is the symbol
    Var.gene_name: ("gene_name", "Gene name"),
    Var.summit: ("summit",),
}

_ENSEMBL_VERSION = r"^(ENS[A-Z]*\d{11})\.\d+"


def column(table: pd.DataFrame, name: str) -> pd.Series | None:
    """Column ``name`` of a table under any of its usual spellings; None where there is none."""
    for alias in _ALIASES[name]:
        if alias in table:
            return table[alias]
    return None


def required_column(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    """Column ``name`` under any of its usual spellings; an error lists them."""
    found = column(table, name)
    if found is None:
        raise ValueError(
            f"{what}: there is no column {name!r} (nor {', '.join(_ALIASES[name][1:]) or 'alias'}); "
            f"the table has {', '.join(map(str, table.columns))}"
        )
    return found


def whole_numbers(values: pd.Series, what: str) -> np.ndarray:
    """Positions as int64; an error tells the first that is no whole number."""
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(numbers) | (numbers != np.floor(numbers))
    if wrong.any():
        raise ValueError(
            f"{what}: {wrong.sum()} value(s) of {values.name!r} are no whole numbers, first {values[wrong].iloc[0]!r}"
        )
    return numbers.astype(np.int64)


def gene_ids(table: pd.DataFrame, what: str) -> pd.Index:
    """Stable ids of the genes of a table: a column gene_id, ENSID or gene, otherwise its index of names."""
    found = column(table, Var.gene)
    names: pd.Index | pd.Series = table.index if found is None else found
    if pd.api.types.is_numeric_dtype(names.dtype):
        raise ValueError(
            f"{what}: no column has gene ids ({', '.join(_ALIASES[Var.gene])}) and the index holds numbers"
        )
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
