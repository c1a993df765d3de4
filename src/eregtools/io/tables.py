"""Count, expression and interval tables."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools.io._text import check_coordinates, read_text, refuse_repeats, to_numbers

_SPELLINGS = {
    Var.chromosome: ("chromosome", "chrom", "chr", "seqnames", "seqname"),
    Var.start: ("start", "chromstart", "chrstart", "txstart"),
    Var.end: ("end", "chromend", "chrend", "stop", "txend"),
    Var.strand: ("strand",),
}


def read_table(path: str | Path, *, index: str | int | None = None) -> pd.DataFrame:
    r"""Read a table with a header row: comma-separated for ``.csv``, else tab-separated; plain or gzip.

    Parameters
    ----------
    path
        The file.
    index
        Column (name or number) with the rows' ids, which becomes the index; None numbers the rows.

    Returns
    -------
    The table, one row for each line.

    Raises
    ------
    KeyError
        There is no column ``index``.
    ValueError
        The file is empty, has a header only, or ids of ``index`` are repeated or missing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "counts.tsv"
    >>> _ = path.write_text("gene\tK562\nG1\t3\nG2\t0\n")
    >>> er.io.read_table(path, index="gene")
          K562
    gene
    G1       3
    G2       0
    """
    path = Path(path)
    text = read_text(path, "a table with a header row")
    comma = path.name.lower().removesuffix(".gz").endswith(".csv")
    separator = "," if comma else "\t"
    try:
        frame = pd.read_csv(io.StringIO(text), sep=separator, index_col=False, float_precision="round_trip")
    except pd.errors.ParserError as error:
        raise ValueError(f"{path}: rows of unequal length ({str(error).strip()}).") from None
    if frame.empty:
        raise ValueError(f"{path} has a header but no rows; expected at least one.")
    if index is None:
        return frame
    if isinstance(index, str) and index not in frame:
        shown = ", ".join(map(str, frame.columns[:8])) + (", …" if frame.shape[1] > 8 else "")
        raise KeyError(f"{path} has no column {index!r}; it has {shown} (separator: {',' if comma else 'tab'}).")
    column = index if isinstance(index, str) else frame.columns[index]
    if missing := int(frame[column].isna().sum()):
        raise ValueError(f"{path}: {missing} rows have no {column!r}; expected an id in each.")
    refuse_repeats(frame[column], path, f"ids of column {column!r}")
    return frame.set_index(column)


def read_intervals_table(path: str | Path) -> pd.DataFrame:
    r"""Read a table whose header names genomic intervals in one of the common spellings.

    Parameters
    ----------
    path
        The file, comma-separated for ``.csv``, else tab-separated; plain or gzip.

    Returns
    -------
    ``Chromosome``, ``Start``, ``End`` (0-based half-open, int64), ``Strand`` where there is one, then the
    other columns as they are.

    Raises
    ------
    ValueError
        A coordinate column is missing or found twice, or a row is not an interval.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "regions.tsv"
    >>> _ = path.write_text("name\tchrom\tchromStart\tchromEnd\nx\tchr1\t5\t9\n")
    >>> er.io.read_intervals_table(path)
      Chromosome  Start  End name
    0       chr1      5    9    x
    """
    path = Path(path)
    frame = read_table(path)
    renamed: dict[str, str] = {}
    for name, spellings in _SPELLINGS.items():
        found = [c for c in map(str, frame) if c.lstrip("#").lower().replace("_", "") in spellings]
        exact = [column for column in found if column == name]
        if not found and name in INTERVAL:
            raise ValueError(
                f"{path} has no column for {name}: found {', '.join(map(str, frame.columns[:8]))}; expected one "
                f"called {', '.join(spellings)} (any case). A file without a header row is read by read_bed."
            )
        if len(found) > 1 and not exact:
            raise ValueError(f"{path} has several columns for {name}: {', '.join(found)}; rename one to {name!r}.")
        if found:
            renamed[exact[0] if exact else found[0]] = name
    frame = frame.rename(columns=renamed)
    lines = pd.Series(range(2, len(frame) + 2))
    for name in (Var.start, Var.end):
        frame[name] = to_numbers(frame[name].astype(str), lines, path, name, whole=True)
    frame[Var.chromosome] = frame[Var.chromosome].astype(str)
    check_coordinates(frame, lines, path)
    first = [name for name in _SPELLINGS if name in frame]
    return frame[first + [column for column in frame if column not in first]]
