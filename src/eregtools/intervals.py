"""Intervals of the caller: files or tables, on the chromosomes of the genome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from eregtools._columns import required_column, whole_numbers
from eregtools._fasta import N_CODE
from eregtools._keys import INTERVAL, Var
from eregtools._logging import logger
from eregtools.genome import Genome, match_names
from eregtools.io.bed import read_bed, read_narrowpeak
from eregtools.io.tables import read_intervals_table

Intervals: TypeAlias = str | Path | pd.DataFrame
"""BED or narrowPeak file, or a table (or its path) with Chromosome (or chrom), Start and End."""


def suffix(path: str | Path) -> str:
    """Return the ending of a file's name in lower case, that of compression left out."""
    return Path(str(path).removesuffix(".gz")).suffix.lower()


def read_intervals(source: Intervals) -> pd.DataFrame:
    """Table of intervals, as it is given."""
    if isinstance(source, pd.DataFrame):
        return source
    readers = {".bed": read_bed, ".narrowpeak": read_narrowpeak}
    return readers.get(suffix(source), read_intervals_table)(source)


def regions_on(
    source: Intervals, chrom_sizes: Mapping[str, int], what: str, genome_name: str = "", *, cut: bool = True
) -> pd.DataFrame:
    """Intervals spelled as in the genome, those elsewhere left out; cut at the ends of chromosomes or refused there."""
    table = read_intervals(source)
    names = required_column(table, Var.chromosome, what).astype(str)
    spelling = match_names(chrom_sizes, names.unique())
    regions = pd.DataFrame(
        {
            Var.chromosome: names.map(spelling).to_numpy(),
            Var.start: whole_numbers(required_column(table, Var.start, what), what),
            Var.end: whole_numbers(required_column(table, Var.end, what), what),
        }
    )
    there = regions[Var.chromosome].notna().to_numpy()
    if not there.all():
        logger.info(
            "%s: %d of %d regions are on chromosomes the genome does not have", what, (~there).sum(), len(there)
        )
    regions = regions[there].reset_index(drop=True)
    sizes = regions[Var.chromosome].map(chrom_sizes)
    outside = (regions[Var.start] < 0) | (regions[Var.end] > sizes)
    if outside.any() and not cut:
        first = regions[outside].iloc[0]
        raise ValueError(
            f"{what}: {outside.sum()} region(s) reach over an end of their chromosome, first {first[Var.chromosome]}:"
            f"{first[Var.start]}-{first[Var.end]} ({sizes[outside].iloc[0]} bases); the assembly is probably wrong"
        )
    regions[Var.start] = regions[Var.start].clip(lower=0)
    regions[Var.end] = np.minimum(regions[Var.end], sizes)
    if (wrong := regions[Var.end] <= regions[Var.start]).any():
        raise ValueError(
            f"{what}: {wrong.sum()} region(s) are empty or lie past the end of their chromosome"
            f"{f' in genome {genome_name!r}' if genome_name else ''}; the assembly is probably wrong"
        )
    return regions


def genome_order(table: pd.DataFrame, chrom_sizes: Mapping[str, int]) -> pd.DataFrame:
    """Rows by chromosome as in the genome, then Start and End, numbered again."""
    place = {name: number for number, name in enumerate(chrom_sizes)}
    order = np.lexsort((table[Var.end], table[Var.start], table[Var.chromosome].map(place)))
    return table.iloc[order].reset_index(drop=True).astype(dict.fromkeys(INTERVAL[1:], np.int64))


def gap_regions(genome: Genome, chrom_sizes: Iterable[str]) -> pd.DataFrame:
    """Find the runs of N, and of any other letter that is no base, of a genome's chromosomes."""
    found = []
    for name in chrom_sizes:
        unknown = np.concatenate([[False], genome.chromosome(name) == N_CODE, [False]])
        bounds = np.flatnonzero(unknown[1:] != unknown[:-1]).reshape(-1, 2)
        found.append(pd.DataFrame({Var.chromosome: name, Var.start: bounds[:, 0], Var.end: bounds[:, 1]}))
    return pd.concat(found, ignore_index=True)
