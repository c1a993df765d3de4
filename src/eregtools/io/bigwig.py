"""Values of bigWig files over regions."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyBigWig

from eregtools._logging import logger
from eregtools.genome import match_names
from eregtools.io._regions import Integers, check_regions, match_chromosomes, to_regions

Floats: TypeAlias = npt.NDArray[np.float64]

_BATCH_BASES = 1 << 20  # values held at a time: 8 MB
_MAGIC = 0x888FFC26
_INDEX_MAGIC = 0x2468ACE0


class _PyBigWig:
    """Dense values through libBigWig."""

    gap = 32_000
    """Regions nearer than this are read together: a call costs as much as reading this many bases."""

    def __init__(self, path: Path):
        self._file = pyBigWig.open(str(path))

    def sizes(self) -> dict[str, int]:
        return {str(name): int(size) for name, size in self._file.chroms().items()}

    def fill(self, chrom: str, start: int, end: int, out: Floats) -> None:
        out[:] = self._file.values(chrom, start, end, numpy=True)

    def intervals(self, chrom: str, start: int, end: int) -> tuple[tuple[int, int, float], ...]:
        return self._file.intervals(chrom, start, end) or ()

    def close(self) -> None:
        self._file.close()


class _PyBigTools:
    """Dense values through bigtools, about twice as quick."""

    gap = 8_000

    def __init__(self, path: Path):
        import pybigtools

        self._file = pybigtools.open(str(path))
        # 0.3 called `missing` `fillna` and made NaN, not 0, the value of an uncovered base
        self._uncovered: dict[str, Any] = {"fillna": None}
        if tuple(int(part) for part in pybigtools.__version__.split(".")[:2]) < (0, 3):
            self._uncovered = {"missing": np.nan}

    def sizes(self) -> dict[str, int]:
        return {str(name): int(size) for name, size in self._file.chroms().items()}

    def fill(self, chrom: str, start: int, end: int, out: Floats) -> None:
        out[:] = self._file.values(chrom, start, end, **self._uncovered)

    def close(self) -> None:
        self._file.close()


_Backend = TypeVar("_Backend", _PyBigTools, _PyBigWig)


def _backend() -> type[_PyBigTools] | type[_PyBigWig]:
    try:
        import pybigtools  # noqa: F401
    except ImportError:
        return _PyBigWig
    return _PyBigTools


def _check_file(path: Path) -> None:
    """Refuse what is no bigWig file or ends before its index says; the libraries may only fail later."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; expected a bigWig file.")
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(64)
        order = next((o for o in "<>" if len(header) >= 4 and struct.unpack(f"{o}I", header[:4])[0] == _MAGIC), None)
        if order is None:
            raise ValueError(f"{path} is not a bigWig file (it begins with {header[:4]!r}).")
        if len(header) == 64:
            index = struct.unpack(f"{order}Q", header[24:32])[0]
            file.seek(index)
            tree = file.read(48)
            if len(tree) == 48:
                magic, *_, end = struct.unpack(f"{order}IIQIIIIQ", tree[:40])
                if magic == _INDEX_MAGIC and end <= size:
                    return
    raise ValueError(f"{path} is truncated or damaged ({size} bytes); copy or download it again.")


@contextmanager
def _opened(path: str | Path, backend: type[_Backend] | None = None) -> Iterator[_Backend]:
    """Handle for one call: one opened before a fork gives wrong values in the workers."""
    path = Path(path).expanduser()
    _check_file(path)
    try:
        file: Any = (backend or _backend())(path)
        try:
            yield file
        finally:
            file.close()
    except (ValueError, KeyError):
        raise
    except Exception as error:  # the libraries have exceptions of their own
        raise ValueError(f"{path} cannot be read as bigWig ({error}); copy or download it again.") from error


def chrom_sizes(path: str | Path) -> dict[str, int]:
    """Chromosomes of a bigWig file and their lengths.

    Parameters
    ----------
    path
        The bigWig file.

    Returns
    -------
    Name -> length in bases.

    Raises
    ------
    ValueError
        The file is no bigWig file, or truncated.

    Examples
    --------
    >>> import tempfile
    >>> import pyBigWig
    >>> path = Path(tempfile.mkdtemp()) / "toy.bw"
    >>> file = pyBigWig.open(str(path), "w")
    >>> file.addHeader([("chr1", 100)])
    >>> file.addEntries(["chr1"], [10], ends=[20], values=[2.0])
    >>> file.close()
    >>> chrom_sizes(path)
    {'chr1': 100}
    """
    with _opened(path) as file:
        return file.sizes()


def values(path: str | Path, chrom: str, start: int, end: int) -> Floats:
    """Value of each base of one region.

    Parameters
    ----------
    path
        The bigWig file.
    chrom
        Chromosome, with or without ``chr``.
    start, end
        0-based half-open interval on the chromosome.

    Returns
    -------
    float64 array ``(end - start,)``, NaN where the file has no value.

    Raises
    ------
    KeyError
        The chromosome is not in the file.
    ValueError
        The region does not lie on the chromosome, or the file is no bigWig file, or truncated.
    """
    with _opened(path) as file:
        sizes = file.sizes()
        name = match_chromosomes(path, sizes, [chrom])[chrom]
        check_regions(path, chrom, np.array([start]), np.array([end]), sizes[name])
        out = np.empty(end - start, dtype=np.float64)
        file.fill(name, start, end, out)
        return out


def region_values(
    path: str | Path,
    chroms: str | Sequence[str] | npt.ArrayLike,
    starts: npt.ArrayLike,
    ends: npt.ArrayLike,
    *,
    statistic: Literal["sum", "mean", "max"] = "sum",
    missing: Literal["zero", "nan"] = "zero",
) -> Floats:
    """Sum, mean or maximum of a bigWig file over regions.

    Parameters
    ----------
    path
        The bigWig file.
    chroms
        Chromosome of each region ``(n,)``, with or without ``chr``, or one for all of them.
    starts, ends
        0-based half-open intervals ``(n,)``, in any order; they may overlap.
    statistic
        What to compute from the values of a region's bases.
    missing
        ``"zero"``: a base without a value counts as 0, so that ``mean`` divides by the region's length.
        ``"nan"``: it is left out, so that ``mean`` divides by the bases with a value, and a region without any
        is NaN.

    Returns
    -------
    float64 array ``(n,)`` in the order of the regions. Regions on chromosomes that the file does not have are
    0 or NaN, with one warning that counts them.

    Raises
    ------
    ValueError
        A region is empty or does not lie on its chromosome, or the file is no bigWig file, or truncated.

    Examples
    --------
    >>> import tempfile
    >>> import pyBigWig
    >>> path = Path(tempfile.mkdtemp()) / "toy.bw"
    >>> file = pyBigWig.open(str(path), "w")
    >>> file.addHeader([("chr1", 100)])
    >>> file.addEntries(["chr1"], [10], ends=[20], values=[2.0])
    >>> file.close()
    >>> region_values(path, "chr1", [0, 15, 50], [20, 25, 60])
    array([20., 10.,  0.])
    >>> region_values(path, "chr1", [0, 15, 50], [20, 25, 60], statistic="mean", missing="nan")
    array([ 2.,  2., nan])
    """
    for name, value, known in (
        ("statistic", statistic, ("sum", "mean", "max")),
        ("missing", missing, ("zero", "nan")),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, known))}.")
    names, start, end = to_regions(chroms, starts, ends)
    out = np.full(len(start), np.nan if missing == "nan" else 0.0)
    absent: dict[str, int] = {}
    with _opened(path) as file:
        sizes = file.sizes()
        groups = {str(name): rows for name, rows in names.groupby(names, sort=False).indices.items()}
        matched = match_names(sizes, groups)
        for name, rows in groups.items():
            if name not in matched:
                absent[name] = len(rows)
                continue
            check_regions(path, name, start[rows], end[rows], sizes[matched[name]])
            out[rows] = _chromosome_values(file, matched[name], start[rows], end[rows], statistic, missing)
    if absent:
        logger.warning(
            "%d of %d regions lie on chromosomes that %s does not have (%s%s); their value is %s.",
            sum(absent.values()),
            len(start),
            path,
            ", ".join(list(absent)[:3]),
            ", …" if len(absent) > 3 else "",
            "NaN" if missing == "nan" else "0",
        )
    return out


def _chromosome_values(
    file: _PyBigTools | _PyBigWig,
    chrom: str,
    starts: Integers,
    ends: Integers,
    statistic: str,
    missing: str,
) -> Floats:
    """Statistic of each region of one chromosome, read in genome order."""
    total = np.zeros(len(starts))  # sums, or maxima
    if statistic == "max":
        total[:] = -np.inf
    covered = np.zeros(len(starts), dtype=np.int64)
    for rows, pieces in _batches(starts, ends, file.gap):
        bounds = np.array(pieces)
        widths = bounds[:, 1] - bounds[:, 0]
        begins = np.concatenate([[0], np.cumsum(widths)])
        dense = np.empty(begins[-1] + 1)
        dense[-1] = np.nan  # lets a region end at the end of the buffer
        for (first, last), at in zip(pieces, begins[:-1].tolist(), strict=True):
            file.fill(chrom, first, last, dense[at : at + last - first])
        piece = np.searchsorted(bounds[:, 0], starts[rows], side="right") - 1
        piece = np.maximum(piece, 0)  # a long region may begin before the only piece
        shift = begins[piece] - bounds[piece, 0]
        low = np.maximum(starts[rows], bounds[piece, 0]) + shift
        high = np.minimum(ends[rows], bounds[piece, 1]) + shift
        cuts = np.stack([low, high], axis=1).reshape(-1)
        empty = np.isnan(dense)
        dense[empty] = -np.inf if statistic == "max" else 0.0
        reduce = np.maximum if statistic == "max" else np.add
        total[rows] = reduce(total[rows], reduce.reduceat(dense, cuts)[::2])
        covered[rows] += np.add.reduceat(~empty, cuts, dtype=np.int64)[::2]
    length = ends - starts
    if missing == "nan":
        if statistic == "mean":
            total = total / np.maximum(covered, 1)
        total[covered == 0] = np.nan
    elif statistic == "mean":
        total = total / length
    elif statistic == "max":
        total = np.where(covered < length, np.maximum(total, 0.0), total)
    return total


def _batches(starts: Integers, ends: Integers, gap: int) -> Iterator[tuple[npt.NDArray[np.intp], list[list[int]]]]:
    """Regions that are read together: their rows, and the merged pieces of the chromosome that hold them.

    A batch holds about ``_BATCH_BASES`` bases; a region longer than that is read in several batches.
    """
    order = np.argsort(starts, kind="stable")
    rows: list[int] = []
    pieces: list[list[int]] = []
    held = 0
    for row, start, end in zip(order.tolist(), starts[order].tolist(), ends[order].tolist(), strict=True):
        if end - start > _BATCH_BASES:
            for first in range(start, end, _BATCH_BASES):
                yield np.array([row]), [[first, min(first + _BATCH_BASES, end)]]
            continue
        near = bool(pieces) and start <= pieces[-1][1] + gap
        added = max(0, end - (pieces[-1][1] if near else start))
        if pieces and held + added > _BATCH_BASES:
            yield np.array(rows), pieces
            rows, pieces, held, near, added = [], [], 0, False, end - start
        rows.append(row)
        held += added
        if near:
            pieces[-1][1] = max(pieces[-1][1], end)
        else:
            pieces.append([start, end])
    if rows:
        yield np.array(rows), pieces
