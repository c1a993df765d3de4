"""Enhancer–gene pairs of two tables: which name the same gene and have overlapping elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eregtools._keys import INTERVAL, Var
from eregtools._logging import logger
from eregtools._schema import listed
from eregtools.genome import match_names
from eregtools.io._pair_columns import gene_ids_and_names, require_columns, to_float
from eregtools.io.links import CELL_TYPE, GENE_ID, TSS
from eregtools.ranges import overlapping_pairs

Statistic: TypeAlias = Literal["sum", "max", "mean"]


def same_gene_overlaps(
    left: pd.DataFrame, right: pd.DataFrame, what: str, *, none_is_fine: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of two tables whose elements overlap and that name the same gene.

    A gene of ``left`` whose id ``right`` has is found by the id, any other by its name; chromosomes match with and
    without ``chr``.

    Parameters
    ----------
    left, right
        Chromosome, Start and End of the element (0-based half-open), and the gene as in
        :func:`gene_ids_and_names`.
    what
        What ``right`` is, for errors.
    none_is_fine
        Return nothing, instead of an error, where the tables have genes in common but no elements.

    Returns
    -------
    Row numbers in ``left`` and in ``right``, two arrays ``(n_pairs,)``, ordered by both.

    Raises
    ------
    ValueError
        Nothing matches; the error tells whether chromosomes, genes or elements are at fault.

    Examples
    --------
    >>> tested = pd.DataFrame({"Chromosome": ["chr1"], "Start": [100], "End": [600], "gene": ["A"]})
    >>> scored = pd.DataFrame({"Chromosome": "1", "Start": [500, 590], "End": [550, 700], "gene": ["B", "A"]})
    >>> same_gene_overlaps(tested, scored, "scores")
    (array([0]), array([1]))
    """
    chromosomes = match_chromosomes(left, right, what)
    left_gene, right_gene = match_genes(left, right, what)
    left_elements, left_element = distinct_elements(left)
    right_elements, right_element = distinct_elements(renamed_chromosomes(right, chromosomes))
    touching = pd.DataFrame(
        dict(zip(("left_element", "right_element"), overlapping_pairs(left_elements, right_elements), strict=True))
    )
    theirs = pd.concat([_numbered(code, "right_row").assign(right_element=right_element) for code in right_gene])
    ours = _numbered(left_gene, "left_row").assign(left_element=left_element)
    met = ours[ours["gene"] >= 0].merge(touching, on="left_element").merge(theirs, on=["gene", "right_element"])
    if met.empty and not none_is_fine:
        raise ValueError(
            f"{what}: {int((left_gene >= 0).sum()):,} of {len(left):,} pairs have a gene of the table, but not one "
            f"of their elements overlaps an element of that gene; the first elements are {_first_element(left)} and, "
            f"of the table, {_first_element(right)}. Are both of the same assembly?"
        )
    logger.info(
        "%s: %d of %d rows meet %d of %d pairs of the same gene",
        what,
        met["right_row"].nunique(),
        len(right),
        met["left_row"].nunique(),
        len(left),
    )
    rows = met[["left_row", "right_row"]].to_numpy(dtype=np.int64)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return rows[:, 0], rows[:, 1]


def aggregate(
    values: NDArray[np.float64], rows: NDArray[np.int64], n: int, statistic: Statistic
) -> NDArray[np.float64]:
    """Sum, largest or mean of the values that fall on each of ``n`` rows; NaN where there is none.

    Parameters
    ----------
    values
        Values ``(n_values,)``; NaN are left out.
    rows
        Row of each value ``(n_values,)``.

    Examples
    --------
    >>> aggregate(np.array([1.0, 2, np.nan]), np.array([0, 0, 1]), 3, "sum")
    array([ 3., nan, nan])
    """
    found: NDArray[np.float64] = np.full(n, np.nan)
    groups = pd.Series(values).groupby(rows)
    reduced = groups.sum(min_count=1) if statistic == "sum" else getattr(groups, statistic)()
    found[reduced.index.to_numpy(dtype=np.int64)] = reduced.to_numpy(dtype=np.float64)
    return found


def scores_by_overlap(
    pairs: pd.DataFrame,
    scored: pd.DataFrame,
    columns: Sequence[str],
    statistic: Statistic | Mapping[str, Statistic],
    what: str,
) -> dict[str, NDArray[np.float64]]:
    """Scores of pairs from the rows of another table that have the same gene and an overlapping element.

    Returns
    -------
    ``{column: (n_pairs,)}``, NaN for pairs that no row with a value meets.
    """
    require_columns(pairs, INTERVAL, "pairs")
    require_columns(scored, (*INTERVAL, *columns), what)
    refuse_several_cell_types(scored, what)
    chosen = {column: _statistic_of(column, statistic) for column in columns}
    if "sum" in chosen.values():
        refuse_repeated_pairs(scored, f"{what}, whose scores are to be summed")
    mine, theirs = same_gene_overlaps(pairs, scored, what)
    return {
        column: aggregate(to_float(scored[column], what)[theirs], mine, len(pairs), how)
        for column, how in chosen.items()
    }


def refuse_repeated_pairs(table: pd.DataFrame, what: str) -> None:
    """Each element, gene and cell type once; the error shows the first that is there twice."""
    columns = [name for name in (*INTERVAL, GENE_ID, Var.gene, CELL_TYPE) if name in table]
    repeated = table.duplicated(columns)
    if repeated.any():
        first = table[repeated.to_numpy()].iloc[0]
        place = f"{first[Var.chromosome]}:{first[Var.start]}-{first[Var.end]}"
        gene = next(first[name] for name in (Var.gene, GENE_ID) if name in columns)
        raise ValueError(
            f"{what}: {int(repeated.sum()):,} pairs of element and gene are there more than once, first {place} and "
            f"{gene}; expected each once. Choose one measurement of each, or combine them, first"
        )


def refuse_several_cell_types(table: pd.DataFrame, what: str) -> None:
    """Refuse a table of more than one biosample; the error lists them."""
    if CELL_TYPE in table and table[CELL_TYPE].nunique() > 1:
        types = list(table[CELL_TYPE].dropna().unique())
        raise ValueError(
            f"{what}: the table has {len(types)} cell types ({listed(types)}); choose the rows of one, as in "
            f"table[table['{CELL_TYPE}'] == {str(types[0])!r}]"
        )


def absolute_distance(table: pd.DataFrame) -> NDArray[np.float64]:
    """Distance in bp from the midpoint of the element to the TSS ``(n,)``; NaN where the TSS is not known.

    From ``tss`` where the table has it, else from its column ``distance``.
    """
    if TSS in table:
        middle = (table[Var.start] + table[Var.end]).to_numpy(dtype=np.float64) / 2
        return np.abs(middle - to_float(table[TSS], "pairs"))
    if Var.distance in table:
        return np.abs(to_float(table[Var.distance], "pairs"))
    raise ValueError(f"pairs: no column has the TSS ({TSS}) or the {Var.distance}; every evaluation needs one of them")


def match_chromosomes(left: pd.DataFrame, right: pd.DataFrame, what: str) -> dict[str, str]:
    """Chromosome of ``right`` -> that of ``left``."""
    ours, theirs = (list(map(str, table[Var.chromosome].unique())) for table in (left, right))
    matched = match_names(ours, theirs)
    if not matched:
        raise ValueError(f"{what}: no chromosome in common; the table has {listed(theirs)}, expected {listed(ours)}")
    return matched


def match_genes(
    left: pd.DataFrame, right: pd.DataFrame, what: str
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Give genes numbers, −1 for none; those of ``right`` are counted twice, by id and by name."""
    our_ids, our_names = gene_ids_and_names(left, "pairs")
    ids, names = gene_ids_and_names(right, what)
    known_ids, known_names = pd.Index(ids.dropna().unique()), pd.Index(names.dropna().unique())
    by_id, by_name = known_ids.get_indexer(our_ids), known_names.get_indexer(our_names)
    number = np.where(by_id >= 0, by_id, np.where(by_name >= 0, by_name + len(known_ids), -1))
    if not (number >= 0).any():
        raise ValueError(
            f"{what}: no gene in common; the table has {listed(names.dropna().unique(), 3)}, expected "
            f"{listed(our_names.dropna().unique(), 3)}. Are the genes named in the same way?"
        )
    of_name = known_names.get_indexer(names)
    return number, [known_ids.get_indexer(ids), np.where(of_name >= 0, of_name + len(known_ids), -1)]


def renamed_chromosomes(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Table with the chromosomes of :func:`match_chromosomes`; those that it does not know keep their names."""
    chromosome = table[Var.chromosome].astype(str)
    renamed = chromosome.map({name: names.get(name, name) for name in chromosome.unique()})
    return table.assign(**{Var.chromosome: renamed.to_numpy(dtype=object)})


def distinct_elements(table: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Each element once, in the order of their first rows, and the number of the element of each row."""
    intervals = pd.DataFrame({name: table[name].to_numpy() for name in INTERVAL})
    intervals[Var.chromosome] = intervals[Var.chromosome].astype(str)
    number: NDArray[np.int64] = np.asarray(intervals.groupby(list(INTERVAL), sort=False).ngroup(), dtype=np.int64)
    return intervals.drop_duplicates().reset_index(drop=True), number


def _numbered(gene: NDArray[np.int64], row: str) -> pd.DataFrame:
    return pd.DataFrame({"gene": gene, row: np.arange(len(gene))})


def _statistic_of(column: str, statistic: Statistic | Mapping[str, Statistic]) -> Statistic:
    chosen = statistic if isinstance(statistic, str) else statistic.get(column, "sum")
    if chosen not in get_args(Statistic):
        raise ValueError(f"statistic={chosen!r}: expected {', '.join(map(repr, get_args(Statistic)))}")
    return chosen


def _first_element(table: pd.DataFrame) -> str:
    first = table.iloc[0]
    return f"{first[Var.chromosome]}:{first[Var.start]}-{first[Var.end]}"
