"""BED and narrowPeak files as DataFrames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools.io._text import check_coordinates, split_columns, to_numbers

_BED_COLUMNS = (
    Var.chromosome,
    Var.start,
    Var.end,
    "Name",
    "Score",
    Var.strand,
    "ThickStart",
    "ThickEnd",
    "ItemRGB",
    "BlockCount",
    "BlockSizes",
    "BlockStarts",
)
_PEAK_COLUMNS = (*_BED_COLUMNS[:6], "SignalValue", "PValue", "QValue", "Peak")
_HEADERS = ("track", "browser", "#")


def _read_columns(path: Path, expected: str) -> tuple[pd.DataFrame, pd.Series]:
    frame, lines = split_columns(path, expected, skip=_HEADERS)
    if frame.shape[1] < 3:
        raise ValueError(
            f"{path}, line {lines.iloc[0]}: {frame.shape[1]} columns found, expected {expected} with at least three "
            f"tab-separated columns (chromosome, start, end)."
        )
    for column, name in ((1, Var.start), (2, Var.end)):
        frame[column] = to_numbers(frame[column], lines, path, name, whole=True)
    return frame, lines


def read_bed(path: str | Path) -> pd.DataFrame:
    r"""Read a BED file (BED3 to BED12), plain or gzip.

    Lines that begin with ``track``, ``browser`` or ``#`` are skipped; the order of the rows is kept.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    One row for each line: ``Chromosome``, ``Start``, ``End`` (0-based half-open) and, as far as the file has
    them, ``Name``, ``Score`` (float64), ``Strand`` and the other BED columns; columns past the twelfth are
    called ``Column13`` and so on.

    Raises
    ------
    ValueError
        The file is empty, a coordinate is not a whole number, a start is negative or an interval is empty.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.bed"
    >>> _ = path.write_text("chr1\t100\t200\tpeak1\nchr1\t50\t80\tpeak2\n")
    >>> er.io.read_bed(path)
      Chromosome  Start  End   Name
    0       chr1    100  200  peak1
    1       chr1     50   80  peak2
    """
    path = Path(path)
    frame, lines = _read_columns(path, "a BED file")
    # A column that holds what BED does not have there gets no BED name (bedGraph, count tables).
    names = [*_BED_COLUMNS[: frame.shape[1]], *(f"Column{k + 1}" for k in range(12, frame.shape[1]))]
    if frame.shape[1] > 5 and not frame[5].isin(["+", "-", "."]).all():
        names[5:] = [f"Column{k + 1}" for k in range(5, frame.shape[1])]
    frame.columns = pd.Index(names)
    check_coordinates(frame, lines, path)
    if "Score" in frame:
        frame["Score"] = to_numbers(frame["Score"], lines, path, "Score")
    return frame


def read_narrowpeak(path: str | Path) -> pd.DataFrame:
    r"""Read a narrowPeak file (BED6+4), plain or gzip.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    One row for each peak: ``Chromosome``, ``Start``, ``End`` (0-based half-open), ``Name``, ``Score``,
    ``Strand``, ``SignalValue``, ``PValue``, ``QValue`` (−log10 as written), ``Peak`` (offset of the summit,
    −1 for none) and ``summit`` (0-based position: ``Start + Peak``, or the centre where ``Peak`` is −1).

    Raises
    ------
    ValueError
        The file is empty or has fewer than ten columns, a number is not one, an interval is empty, or a summit
        lies outside its peak.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.narrowPeak"
    >>> _ = path.write_text("chr1\t100\t200\tp1\t9\t.\t5.5\t3\t2\t30\n")
    >>> er.io.read_narrowpeak(path)[["Chromosome", "Start", "End", "SignalValue", "summit"]]
      Chromosome  Start  End  SignalValue  summit
    0       chr1    100  200          5.5     130
    """
    path = Path(path)
    frame, lines = _read_columns(path, "a narrowPeak file")
    if frame.shape[1] < len(_PEAK_COLUMNS):
        raise ValueError(
            f"{path} has {frame.shape[1]} columns, expected the 10 of narrowPeak. It looks like a BED file with "
            f"{frame.shape[1]} columns: use read_bed."
        )
    frame = frame.iloc[:, : len(_PEAK_COLUMNS)].set_axis(list(_PEAK_COLUMNS), axis=1)
    check_coordinates(frame, lines, path)
    for column in ("Score", "SignalValue", "PValue", "QValue"):
        frame[column] = to_numbers(frame[column], lines, path, column)
    frame["Peak"] = to_numbers(frame["Peak"], lines, path, "Peak", whole=True)
    outside = (frame["Peak"] < -1) | (frame["Peak"] >= frame[Var.end] - frame[Var.start])
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"{path}, line {lines.iloc[row]}: Peak is {frame['Peak'].iloc[row]}, expected -1 or an offset inside "
            f"{frame[Var.chromosome].iloc[row]}:{frame[Var.start].iloc[row]}-{frame[Var.end].iloc[row]}."
        )
    centre = (frame[Var.start] + frame[Var.end]) // 2
    frame[Var.summit] = centre.where(frame["Peak"] == -1, frame[Var.start] + frame["Peak"])
    return frame
