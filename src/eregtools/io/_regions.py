"""Regions that a file is asked for: their form, and whether the file can have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from eregtools.genome import match_names

Integers: TypeAlias = npt.NDArray[np.int64]


def to_regions(
    chroms: str | Sequence[str] | npt.ArrayLike, starts: npt.ArrayLike, ends: npt.ArrayLike
) -> tuple[pd.Series, Integers, Integers]:
    """Chromosome, start and end of each region ``(n,)``; one chromosome may stand for all."""
    start, end = np.asarray(starts).reshape(-1), np.asarray(ends).reshape(-1)
    if len(start) and not (np.issubdtype(start.dtype, np.integer) and np.issubdtype(end.dtype, np.integer)):
        raise ValueError(f"starts and ends must be whole numbers; they are {start.dtype} and {end.dtype}.")
    names = pd.Series([chroms] * len(start) if isinstance(chroms, str) else np.asarray(chroms), dtype=object)
    if not len(names) == len(start) == len(end):
        raise ValueError(f"There are {len(names)} chroms, {len(start)} starts and {len(end)} ends; expected equal.")
    return names, start.astype(np.int64), end.astype(np.int64)


def check_regions(path: str | Path, chrom: str, starts: Integers, ends: Integers, size: int) -> None:
    """Refuse regions that are empty or do not lie on their chromosome of ``size`` bases."""
    for bad, problem in (
        (ends <= starts, "is empty; expected an end after the start"),
        (starts < 0, "starts before base 0"),
        (ends > size, f"ends after {chrom} does in {path} ({size} bases); the assembly is probably wrong"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            more = f" ({int(bad.sum())} such regions)" if bad.sum() > 1 else ""
            raise ValueError(f"Region {chrom}:{starts[row]}-{ends[row]} {problem}{more}.")


def match_chromosomes(path: str | Path, sizes: Mapping[str, int], wanted: Sequence[str]) -> dict[str, str]:
    """Name asked for -> name in the file, of those that the file has; at least one."""
    matched = match_names(sizes, wanted)
    if not matched:
        shown = ", ".join(list(sizes)[:3]) + (", …" if len(sizes) > 3 else "")
        raise KeyError(
            f"{wanted[0]!r}{f' and {len(wanted) - 1} more' if len(wanted) > 1 else ''} is not in {path} "
            f"({len(sizes)} chromosomes: {shown})."
        )
    return matched
