"""Lines of text tables, with the line number of everything that is wrong."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eregtools._keys import Var

GZIP_MAGIC = b"\x1f\x8b"


def read_text(path: Path, expected: str) -> str:
    """Whole text of a file, plain or gzip; ``expected`` says in an error what should be in it."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected {expected}.")
    content = path.read_bytes()
    if content[:2] == GZIP_MAGIC:
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError) as error:
            raise ValueError(f"{path} is a damaged gzip file ({error}); copy or download it again.") from None
    if not content.strip():
        raise ValueError(f"{path} is empty; expected {expected}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file; expected {expected}.") from None


def split_columns(
    path: Path, expected: str, skip: tuple[str, ...] = ("#",), containing: Sequence[str] | None = None
) -> tuple[pd.DataFrame, pd.Series]:
    """Tab-separated (or space-separated) rows as text, and the 1-based line of each; headers are left out.

    With ``containing``, only lines with one of these texts are split, or all where none has. All rows must have
    as many columns as the first.
    """
    lines = read_text(path, expected).splitlines()
    numbers = [k for k, line in enumerate(lines) if line.strip() and not line.startswith(skip)]
    if containing is not None:
        numbers = [k for k in numbers if any(text in lines[k] for text in containing)] or numbers
    if not numbers:
        raise ValueError(f"{path} has no rows below its header lines; expected {expected}.")
    first = lines[numbers[0]]
    separator = "\t" if "\t" in first else None
    width = len(first.split(separator))
    if separator == "\t":
        counts = np.fromiter((lines[k].count("\t") + 1 for k in numbers), dtype=np.int64, count=len(numbers))
    else:
        counts = np.fromiter((len(lines[k].split()) for k in numbers), dtype=np.int64, count=len(numbers))
    if (counts != width).any():
        row = int(np.argmax(counts != width))
        raise ValueError(
            f"{path}, line {numbers[row] + 1}: {counts[row]} columns found, expected {width} as in line "
            f"{numbers[0] + 1}. The file may be cut off or have mixed separators."
        )
    frame = pd.read_csv(
        io.StringIO("\n".join(lines[k] for k in numbers)),
        sep="\t" if separator else r"\s+",
        header=None,
        dtype=str,
        keep_default_na=False,
        quoting=3,
    )
    return frame, pd.Series(numbers) + 1


def to_numbers(values: pd.Series, lines: pd.Series, path: Path, column: str, *, whole: bool = False) -> pd.Series:
    """Text as int64 (``whole``) or float64; ``.`` is NaN where fractions are allowed."""
    numbers = pd.to_numeric(values if whole else values.replace(".", "nan"), errors="coerce")
    missing = numbers.isna() if whole else numbers.isna() & ~values.str.lower().isin([".", "nan", "na", ""])
    bad = missing | (numbers != np.floor(numbers)) if whole else missing
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{path}, line {lines.iloc[row]}: {column} is {values.iloc[row]!r}, expected "
            f"{'a whole number' if whole else 'a number'} (tab-separated columns, no header row)."
        )
    return numbers.astype(np.int64 if whole else np.float64)


def check_coordinates(frame: pd.DataFrame, lines: pd.Series | None, path: Path, closed: bool = False) -> None:
    """Refuse intervals that start before base 0 or are empty; ``frame`` is 0-based half-open."""
    start, end = frame[Var.start].to_numpy(), frame[Var.end].to_numpy()
    for bad, problem in (
        (start < 0, f"Start must be at least {1 if closed else 0}"),
        (end <= start, "End must be " + ("at least" if closed else "greater than") + " Start"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            place = f"line {lines.iloc[row]}" if lines is not None else f"row {row + 1}"
            shown = f"{frame[Var.chromosome].iloc[row]}:{start[row] + closed}-{end[row]}"
            raise ValueError(
                f"{path}, {place}: found {shown}, but {problem} ({int(bad.sum())} such rows). "
                f"Leave these rows out, or check that the coordinates are "
                f"{'1-based' if closed else '0-based'}."
            )


def refuse_repeats(names: pd.Series, path: Path, what: str) -> None:
    """Refuse repeated names, with the first three."""
    index = pd.Index(names)
    repeated = index[index.duplicated()].unique()
    if len(repeated):
        shown = ", ".join(repr(str(name)) for name in repeated[:3])
        raise ValueError(
            f"{path}: {len(repeated)} {what} occur more than once ({shown}{', …' if len(repeated) > 3 else ''}); "
            f"expected each once. Combine or drop the repeated rows first."
        )
