"""Genomic intervals: as users write them, their joins, and as PyRanges. The only file that calls PyRanges.

PyRanges 0.1 re-sorts rows and drops the index, so every join carries integer row numbers and returns those.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Var

if TYPE_CHECKING:
    from pyranges import PyRanges

Region: TypeAlias = str | tuple[str, int, int]
"""``"chr1:1,000-2,000"`` or ``(chromosome, start, end)``, 0-based half-open."""


def parse_region(region: Region) -> tuple[str, int, int]:
    """Chromosome, start and end of a region.

    Examples
    --------
    >>> parse_region("chr1:1,000-2,000")
    ('chr1', 1000, 2000)
    """
    if isinstance(region, str):
        found = re.fullmatch(r"(\S+):([\d,]+)-([\d,]+)", region.strip())
        if found is None:
            raise ValueError(f"region {region!r}: expected 'chr1:1,000-2,000' or (chromosome, start, end)")
        chromosome, start, end = found[1], int(found[2].replace(",", "")), int(found[3].replace(",", ""))
    else:
        chromosome, start, end = region
    if not 0 <= start < end:
        raise ValueError(f"region {region!r}: expected 0 ≤ start < end")
    return chromosome, start, end


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


def count_overlaps(left: pd.DataFrame, right: pd.DataFrame) -> np.ndarray:
    """How many intervals of ``right`` each of ``left`` overlaps, int64 ``(len(left),)``; strands ignored.

    Parameters
    ----------
    left, right
        Tables with the columns Chromosome, Start and End (0-based half-open).

    Examples
    --------
    >>> import pandas as pd
    >>> left = pd.DataFrame({"Chromosome": ["chr1", "chr1"], "Start": [0, 15], "End": [10, 40]})
    >>> right = pd.DataFrame({"Chromosome": ["chr1"] * 3, "Start": [10, 12, 39], "End": [12, 16, 50]})
    >>> count_overlaps(left, right)
    array([0, 2])
    """
    codes, names = pd.factorize(left[Var.chromosome].astype(object))
    of = pd.Index(names).get_indexer(right[Var.chromosome].astype(object))
    found = np.zeros(len(left), dtype=np.int64)
    start, end = left[Var.start].to_numpy(), left[Var.end].to_numpy()
    for code in range(len(names)):
        rows, others = codes == code, of == code
        # those that begin before the end, less those that are over at the start
        begun = np.searchsorted(np.sort(right[Var.start].to_numpy()[others]), end[rows], side="left")
        over = np.searchsorted(np.sort(right[Var.end].to_numpy()[others]), start[rows], side="right")
        found[rows] = begun - over
    return found


def merge_touching(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Unions of intervals that overlap or touch, strands ignored.

    Parameters
    ----------
    table
        Table with the columns Chromosome, Start and End (0-based half-open).

    Returns
    -------
    The unions by Chromosome (in the order of their first row), then Start; and the union that each row of
    ``table`` is in, int64 ``(len(table),)``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"Chromosome": ["chr2", "chr1", "chr2"], "Start": [5, 0, 0], "End": [9, 3, 5]})
    >>> unions, number = merge_touching(table)
    >>> unions
      Chromosome  Start  End
    0       chr2      0    9
    1       chr1      0    3
    >>> number
    array([0, 1, 0])
    """
    codes, names = pd.factorize(table[Var.chromosome].astype(object))
    start, end = table[Var.start].to_numpy(dtype=np.int64), table[Var.end].to_numpy(dtype=np.int64)
    order = np.lexsort((end, start, codes))
    # one axis for all chromosomes, with a gap between them, so that one running maximum serves
    shift = codes[order] * (int(end.max(initial=0)) + 2)
    reach = np.maximum.accumulate(end[order] + shift)
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (start[order] + shift)[1:] > reach[:-1]
    first = np.flatnonzero(begins)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(begins) - 1
    unions = pd.DataFrame(
        {
            Var.chromosome: np.asarray(names, dtype=object)[codes[order][first]],
            Var.start: start[order][first],
            Var.end: (np.maximum.reduceat(end[order] + shift, first) - shift[first]) if len(first) else end[:0],
        }
    )
    return unions, number


def subtract(left: pd.DataFrame, right: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Parts of the intervals of ``left`` that none of ``right`` covers, strands ignored.

    Parameters
    ----------
    left, right
        Tables with the columns Chromosome, Start and End (0-based half-open).

    Returns
    -------
    The parts, by row of ``left``, then Start; and the row of ``left`` that each is of, int64 ``(n_parts,)``.

    Examples
    --------
    >>> import pandas as pd
    >>> left = pd.DataFrame({"Chromosome": ["chr2", "chr1"], "Start": [0, 10], "End": [5, 20]})
    >>> right = pd.DataFrame({"Chromosome": ["chr1", "chr2"], "Start": [12, 0], "End": [14, 9]})
    >>> parts, row = subtract(left, right)
    >>> parts
      Chromosome  Start  End
    0       chr1     10   12
    1       chr1     14   20
    >>> row
    array([1, 1])
    """
    if left.empty or right.empty:
        return left[list(INTERVAL)].reset_index(drop=True), np.arange(len(left))
    found = _numbered(left, "row").subtract(_numbered(merge_touching(right)[0], "other"))
    parts = [part for part in found.values() if len(part)]
    if not parts:
        return left[list(INTERVAL)].iloc[:0].reset_index(drop=True), np.empty(0, dtype=np.int64)
    table = pd.concat([part[[*INTERVAL, "row"]].astype({Var.chromosome: object}) for part in parts])
    table = table.sort_values(["row", Var.start], ignore_index=True)
    return table[list(INTERVAL)], table["row"].to_numpy(dtype=np.int64)


def pairs_within(
    genes: pd.DataFrame, enhancers: pd.DataFrame, max_distance: float, min_distance: float, inclusive: str
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of genes and enhancers whose TSS and middle are within the bounds, by gene, then distance, then enhancer.

    Parameters
    ----------
    genes, enhancers
        Tables with Chromosome, and tss or Start and End.
    max_distance, min_distance
        Bounds in bp.
    inclusive
        Which of the two are themselves within: ``"neither"``, ``"left"`` (the smaller), ``"right"`` or ``"both"``.

    Examples
    --------
    >>> import pandas as pd
    >>> genes = pd.DataFrame({"Chromosome": ["chr1"], "tss": [1_000]})
    >>> enhancers = pd.DataFrame({"Chromosome": ["chr1"] * 3, "Start": [0, 1_400, 1_900], "End": [20, 1_600, 2_100]})
    >>> pairs_within(genes, enhancers, 1_000, 0, "neither")
    (array([0, 0]), array([1, 0]))
    """
    reach = math.ceil(max_distance) + 1
    tss, doubled_midpoint = genes[Var.tss].to_numpy(), (enhancers[Var.start] + enhancers[Var.end]).to_numpy()
    around_tss = _intervals(genes, np.maximum(tss - reach, 0), tss + reach + 1)
    at_midpoint = _intervals(enhancers, doubled_midpoint // 2, doubled_midpoint // 2 + 1)
    gene, enhancer = overlapping_pairs(around_tss, at_midpoint)

    doubled = np.abs(doubled_midpoint[enhancer] - 2 * tss[gene])  # twice the distance is a whole number
    above = doubled >= 2 * min_distance if inclusive in ("left", "both") else doubled > 2 * min_distance
    below = doubled <= 2 * max_distance if inclusive in ("right", "both") else doubled < 2 * max_distance
    kept = above & below
    gene, enhancer, doubled = gene[kept], enhancer[kept], doubled[kept]
    order = np.lexsort((doubled, gene))  # stable: equal distances stay in the order of the enhancers
    return gene[order], enhancer[order]


def _intervals(table: pd.DataFrame, start: np.ndarray, end: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({Var.chromosome: table[Var.chromosome].array, Var.start: start, Var.end: end})


def to_pyranges(table: pd.DataFrame, name_column: str = "Name") -> PyRanges:
    """Intervals as PyRanges, which drops the index: it becomes the column ``name_column``.

    Parameters
    ----------
    table
        Table with the columns Chromosome, Start and End (0-based half-open); all its columns are taken along.
    name_column
        Column for the index; replaces one of that name.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"Chromosome": ["chr2", "chr1"], "Start": [0, 10], "End": [5, 20]}, index=["a", "b"])
    >>> to_pyranges(table).df["Name"].tolist()
    ['b', 'a']
    """
    from pyranges import PyRanges

    return PyRanges(table.assign(**{name_column: table.index.to_numpy()}).reset_index(drop=True))


def _numbered(table: pd.DataFrame, column: str) -> Any:
    from pyranges import PyRanges

    columns: dict[str, Any] = {name: table[name].to_numpy() for name in INTERVAL}
    columns[Var.chromosome] = pd.Categorical(table[Var.chromosome])
    return PyRanges(pd.DataFrame({**columns, column: np.arange(len(table))}))
