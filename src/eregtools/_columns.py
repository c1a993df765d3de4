"""Columns of the tables that users bring, under any of their usual spellings."""

from __future__ import annotations

import numpy as np
import pandas as pd

from eregtools._keys import Var

ALIASES = {
    Var.chromosome: ("Chromosome", "chromosome", "chrom", "#chrom", "chr"),
    Var.start: ("Start", "start", "chromStart"),
    Var.end: ("End", "end", "chromEnd"),
    Var.strand: ("Strand", "strand"),
    Var.tss: ("tss", "TSS"),
    Var.gene: ("gene_id", "ENSID", "gene"),  # beside an id, "gene" usually is the symbol
    Var.gene_name: ("gene_name", "Gene name"),
    Var.summit: ("summit",),
}


def column(table: pd.DataFrame, name: str) -> pd.Series | None:
    """Column ``name`` of a table under any of its usual spellings; None where there is none."""
    for alias in ALIASES[name]:
        if alias in table:
            return table[alias]
    return None


def required_column(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    """Column ``name`` under any of its usual spellings; an error lists them."""
    found = column(table, name)
    if found is None:
        raise ValueError(
            f"{what}: there is no column {name!r} (nor {', '.join(ALIASES[name][1:]) or 'alias'}); "
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
