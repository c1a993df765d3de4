"""Contact frequencies of .hic, .cool and .mcool files."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array, csr_array

from eregtools._logging import logger
from eregtools.genome import match_names

PREFERRED = ("SCALE", "KR", "weight", "ICE", "VC_SQRT", "VC", "NONE")
"""Normalisations in the order in which ``"auto"`` tries them; ``weight`` is the column of ``cooler balance``."""

_DIVISIVE = ("SCALE", "KR", "VC", "VC_SQRT")  # of Juicer, also where a converter wrote them into a .cool
_HIC_MAGIC = b"HIC\x00"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_CHUNK_PIXELS = 1 << 22
_WHAT = "a .hic, .cool or .mcool file"


@dataclass(frozen=True, eq=False)
class ContactBand:
    """Contacts of one chromosome near its diagonal.

    A sparse matrix alone cannot tell a bin pair without contact (0) from one that was not measured, because
    what is not stored is 0; so ``matrix`` comes with the bins that are missing.

    Attributes
    ----------
    matrix
        float64 csr array ``(n_bins, n_bins)``, upper triangle with the diagonal; pixels of missing bins are NaN.
    chromosome
        Name of the chromosome, as it was asked for.
    size
        Length of the chromosome in bases.
    resolution
        Bases of a bin.
    normalization
        The normalisation that was applied, as the file calls it; ``"NONE"`` for raw counts.
    unit
        ``"counts"``, ``"balanced counts"`` (Juicer's normalisations) or ``"balanced frequency"`` (cooler's, in
        which the rows of the whole matrix sum to 1).
    max_distance
        Distance up to which bins were read, in bases; None: the whole chromosome.
    missing
        bool ``(n_bins,)``: bins that the normalisation left out.

    Examples
    --------
    >>> counts = csr_array(np.array([[8.0, 3.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]))
    >>> missing = np.array([False, False, True])
    >>> band = ContactBand(counts, "chr1", 15_000, 5_000, "KR", "balanced counts", None, missing)
    >>> band.at([7_000, 100, 100], [100, 4_900, 12_000])
    array([ 3.,  8., nan])
    """

    matrix: csr_array
    chromosome: str
    size: int
    resolution: int
    normalization: str
    unit: str
    max_distance: int | None
    missing: npt.NDArray[np.bool_]

    @property
    def n_bins(self) -> int:
        """Number of bins of the chromosome."""
        return len(self.missing)

    def at(self, position_a: npt.ArrayLike, position_b: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Contact of pairs of positions; their order does not matter.

        Parameters
        ----------
        position_a, position_b
            0-based positions on the chromosome, whole numbers ``(n,)``, or one for all of the others.

        Returns
        -------
        float64 array ``(n,)``: 0 where there is no contact; NaN where a bin is missing or the bins are farther
        apart than ``max_distance``.

        Raises
        ------
        ValueError
            A position is not a whole number or not on the chromosome.
        """
        a, b = np.broadcast_arrays(
            *(_positions(p, self.chromosome, self.size, self.resolution) for p in (position_a, position_b))
        )
        row, column = np.minimum(a, b), np.maximum(a, b)
        values = _look_up(self.matrix, row, column)
        values[self.missing[row] | self.missing[column]] = np.nan
        if self.max_distance is not None:
            values[(column - row) * self.resolution > self.max_distance] = np.nan
        return values


@dataclass(frozen=True)
class ContactsInfo:
    """What a contact file holds.

    Attributes
    ----------
    format
        ``"hic"`` or ``"cool"``.
    assembly
        Assembly that the file states, or None.
    chrom_sizes
        Length of each chromosome in bases.
    resolutions
        Bases of a bin, ascending.
    normalizations
        Resolution -> normalisations, ``"NONE"`` (raw counts) last.
    """

    format: str
    assembly: str | None
    chrom_sizes: dict[str, int]
    resolutions: tuple[int, ...]
    normalizations: dict[int, tuple[str, ...]]


def _positions(given: npt.ArrayLike, chromosome: str, size: int, resolution: int) -> npt.NDArray[np.int64]:
    """Bins of positions, which must lie on the chromosome."""
    positions = np.atleast_1d(np.asarray(given))
    if positions.size and not np.issubdtype(positions.dtype, np.integer):
        raise ValueError(f"Positions on {chromosome} are {positions.dtype}; expected whole numbers.")
    outside = (positions < 0) | (positions >= size)
    if outside.any():
        raise ValueError(
            f"{int(outside.sum())} positions are not on {chromosome} ({size} bases in the contact file), first "
            f"{positions[outside][0]}; the assembly is probably wrong."
        )
    return positions.astype(np.int64) // resolution


def _look_up(matrix: csr_array, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Value of each element, 0 where none is stored, by bisection inside the rows of all queries at once."""
    low, end = matrix.indptr[row].astype(np.int64), matrix.indptr[row + 1].astype(np.int64)
    values = np.zeros(row.shape)
    if not matrix.nnz:
        return values
    high = end.copy()
    while (searching := low < high).any():
        middle = (low + high) // 2
        before = searching & (matrix.indices[np.minimum(middle, matrix.nnz - 1)] < column)
        low = np.where(before, middle + 1, low)
        high = np.where(before, high, middle)
    at = np.minimum(low, matrix.nnz - 1)
    found = (low < end) & (matrix.indices[at] == column)
    values[found] = matrix.data[at[found]]
    return values


# ---------------------------------------------------------------------------------------------------------
# The two kinds of file


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Upper-triangle counts of one chromosome and what each bin's counts are multiplied by."""

    bin1: npt.NDArray[np.integer[Any]]
    bin2: npt.NDArray[np.integer[Any]]
    count: npt.NDArray[np.float64]
    factors: npt.NDArray[np.float64]


class _Source(Protocol):
    format: str
    assembly: str | None
    chrom_sizes: dict[str, int]
    resolutions: tuple[int, ...]

    def normalizations(self, resolution: int) -> tuple[str, ...]: ...

    def unit(self, resolution: int, normalization: str) -> str: ...

    def bands(
        self, resolution: int, widths: Mapping[str, int | None], candidates: Sequence[str]
    ) -> tuple[str, Iterator[tuple[str, _Pixels]]]:
        """Pick the first candidate with values on all chromosomes that have contacts (or the last), and read.

        ``widths`` is the greatest distance from the diagonal in bins, None for no bound.
        """


class _HicFile:
    """A .hic file, read by a child process."""

    format = "hic"

    def __init__(self, path: Path):
        self._path = path
        program = Path(__file__).with_name("_hic.py")
        self._child = subprocess.Popen(
            # -P: the program's own folder must not shadow other modules
            [sys.executable, "-P", str(program), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="eregtools-contacts-")
        try:
            header = self._ask(ask="header")
        except BaseException:
            self.close()
            raise
        stated = header["assembly"]
        self.assembly = str(stated) if stated and stated != "unknown" else None
        self.chrom_sizes = {str(name): int(size) for name, size in header["chrom_sizes"].items()}
        self.resolutions = tuple(sorted(header["resolutions"]))

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "hictkpy stopped without a word"}
        if "error" in answer:
            raise ValueError(
                f"{self._path} is truncated, damaged or no .hic file that hictkpy can read "
                f"({str(answer['error']).strip()}); copy or download it again."
            )
        return answer

    def normalizations(self, resolution: int) -> tuple[str, ...]:
        names = self._ask(ask="normalizations", resolution=int(resolution))["names"]
        return (*(str(name) for name in names if name != "NONE"), "NONE")

    def unit(self, resolution: int, normalization: str) -> str:
        return "counts" if normalization == "NONE" else "balanced counts"

    def bands(
        self, resolution: int, widths: Mapping[str, int | None], candidates: Sequence[str]
    ) -> tuple[str, Iterator[tuple[str, _Pixels]]]:
        folder = Path(self._folder.name)
        answer = self._ask(
            ask="bands",
            resolution=int(resolution),
            widths=dict(widths),
            candidates=list(candidates),
            folder=str(folder),
        )

        def load() -> Iterator[tuple[str, _Pixels]]:
            for number, (name, width) in enumerate(widths.items()):
                with np.load(folder / f"{number}.pixels.npz") as stored:
                    bin1, bin2, count = stored["bin1"], stored["bin2"], stored["count"]
                factors = np.load(folder / f"{number}.factors.npy")
                near = slice(None) if width is None else bin2 - bin1 <= width
                yield name, _Pixels(bin1[near], bin2[near], count[near], factors)

        return str(answer["normalization"]), load()

    def close(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.kill()  # it holds nothing that has to be written
        self._child.wait()
        self._child.stdout.close()
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        self._folder.cleanup()


class _CoolFile:
    """A .cool or .mcool file."""

    format = "cool"

    def __init__(self, path: Path, group: str | None):
        import cooler

        try:
            # files of cooler before 0.6 have no format attribute, by which list_coolers goes
            groups = [group] if group is not None else cooler.fileops.list_coolers(str(path)) or ["/"]
            members = [cooler.Cooler(f"{path}::{name}") for name in groups]
        except (OSError, KeyError) as error:
            raise ValueError(
                f"{path} is truncated, damaged or no {_WHAT.removeprefix('a ')} ({str(error).strip()}); "
                f"copy or download it again."
            ) from None
        self._by_resolution: dict[int, Any] = {}
        for member in members:
            if member.binsize is None:
                raise ValueError(f"{path}::{member.root} has bins of unequal size; expected one size.")
            if int(member.binsize) in self._by_resolution:
                raise ValueError(
                    f"{path} has several matrices at resolution {member.binsize}; name one, as in "
                    f"'{path.name}::{member.root}'."
                )
            self._by_resolution[int(member.binsize)] = member
        stated = members[0].info.get("genome-assembly")
        self.assembly = str(stated) if stated and stated != "unknown" else None
        self.chrom_sizes = {str(name): int(size) for name, size in members[0].chromsizes.items()}
        self.resolutions = tuple(sorted(self._by_resolution))

    def normalizations(self, resolution: int) -> tuple[str, ...]:
        columns = self._by_resolution[resolution].bins().columns
        return (*(str(name) for name in columns if name not in ("chrom", "start", "end")), "NONE")

    def unit(self, resolution: int, normalization: str) -> str:
        if normalization == "NONE":
            return "counts"
        with self._by_resolution[resolution].open("r") as group:
            return "balanced counts" if _is_divisive(group, normalization) else "balanced frequency"

    def bands(
        self, resolution: int, widths: Mapping[str, int | None], candidates: Sequence[str]
    ) -> tuple[str, Iterator[tuple[str, _Pixels]]]:
        member = self._by_resolution[resolution]
        extents = {name: member.extent(name) for name in widths}
        with member.open("r") as group:
            rows = {name: group["indexes/bin1_offset"][low : high + 1] for name, (low, high) in extents.items()}
            filled = [name for name, offsets in rows.items() if offsets[-1] > offsets[0]]
            for chosen in candidates:
                factors = {name: _cool_factors(group, chosen, *extent) for name, extent in extents.items()}
                if all(np.isfinite(factors[name]).any() for name in filled):
                    break

        def load() -> Iterator[tuple[str, _Pixels]]:
            for name, width in widths.items():
                with member.open("r") as group:
                    low, high = extents[name]
                    bin1, bin2, count = _cool_pixels(group, rows[name], low, high, width)
                yield name, _Pixels(bin1, bin2, count, factors[name])

        return chosen, load()

    def close(self) -> None:
        """Nothing stays open."""


def _is_divisive(group: Any, normalization: str) -> bool:
    stated = group["bins"][normalization].attrs.get("divisive_weights")
    return bool(stated) if stated is not None else normalization.removeprefix("GW_").removeprefix("INTER_") in _DIVISIVE


def _cool_factors(group: Any, normalization: str, low: int, high: int) -> npt.NDArray[np.float64]:
    if normalization == "NONE":
        return np.ones(high - low)
    factors = np.asarray(group["bins"][normalization][low:high], dtype=np.float64)
    if _is_divisive(group, normalization):
        with np.errstate(divide="ignore"):
            factors = 1 / factors
    return np.where(np.isfinite(factors), factors, np.nan)


def _cool_pixels(
    group: Any, offsets: npt.NDArray[np.int64], low: int, high: int, width: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Upper-triangle pixels of one chromosome within ``width`` bins, in chunks of the rows of its bins."""
    pixels = group["pixels"]
    reach = np.int64(high - low if width is None else width)
    parts: list[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]] = []
    for first in range(int(offsets[0]), int(offsets[-1]), _CHUNK_PIXELS):
        part = slice(first, min(first + _CHUNK_PIXELS, int(offsets[-1])))
        bin1, bin2 = pixels["bin1_id"][part].astype(np.int64), pixels["bin2_id"][part].astype(np.int64)
        near = (bin2 >= bin1) & (bin2 - bin1 <= reach) & (bin2 < high)
        parts.append((bin1[near] - low, bin2[near] - low, pixels["count"][part][near].astype(np.float64)))
    if not parts:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    bin1, bin2, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    return bin1, bin2, count


def _require(library: str, path: Path) -> None:
    if importlib.util.find_spec(library) is None:
        raise ImportError(f"{path} needs {library}, which is not installed: pip install 'eregtools[hic]'")


@contextmanager
def _opened(path: str | Path) -> Iterator[_Source]:
    """Open the file by its content; ``file.mcool::/resolutions/5000`` names one matrix."""
    name, _, group = str(path).partition("::")
    file = Path(name).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file; expected {_WHAT}.")
    with file.open("rb") as handle:
        magic = handle.read(8)
    source: _HicFile | _CoolFile
    if magic.startswith(_HIC_MAGIC):
        _require("hictkpy", file)
        source = _HicFile(file)
    elif magic == _HDF5_MAGIC:
        _require("cooler", file)
        source = _CoolFile(file, group or None)
    else:
        raise ValueError(f"{file} is not {_WHAT} (it begins with {magic!r}).")
    try:
        yield source
    finally:
        source.close()


# ---------------------------------------------------------------------------------------------------------
# Checks


def _match_chromosomes(
    source: _Source, path: str | Path, wanted: Sequence[str], chrom_sizes: Mapping[str, int] | None
) -> dict[str, str]:
    """Name asked for -> name in the file, of those that the file has; lengths agree with the genome's."""
    matched = match_names(source.chrom_sizes, wanted)
    if not matched:
        shown = ", ".join(list(source.chrom_sizes)[:3]) + (", …" if len(source.chrom_sizes) > 3 else "")
        raise KeyError(
            f"{wanted[0]!r}{f' and {len(wanted) - 1} more' if len(wanted) > 1 else ''} is not in {path} "
            f"({len(source.chrom_sizes)} chromosomes: {shown})."
        )
    if chrom_sizes is not None:
        of_genome = match_names(chrom_sizes, matched)
        for name, genome_name in of_genome.items():
            found, expected = source.chrom_sizes[matched[name]], int(chrom_sizes[genome_name])
            if found != expected:
                stated = f", which says it is {source.assembly}" if source.assembly else ""
                raise ValueError(
                    f"Wrong assembly: {name} has {found} bases in {path}{stated}, but {expected} in the genome; "
                    f"use contacts of the genome's assembly."
                )
    return matched


def _candidates(source: _Source, path: str | Path, resolution: int, normalization: str) -> list[str]:
    """Normalisations to try, after making sure that the file has what was asked for."""
    if resolution not in source.resolutions:
        raise ValueError(
            f"{path} has no resolution {resolution}; it has {', '.join(map(str, source.resolutions))} (bases of a bin)."
        )
    there = source.normalizations(resolution)
    if normalization == "auto":
        return [name for name in PREFERRED if name in there]
    if normalization == "ICE" and "ICE" not in there and "weight" in there:
        return ["weight"]
    if normalization not in there:
        raise ValueError(
            f"{path} has no normalization {normalization!r} at resolution {resolution}; it has {', '.join(there)}."
        )
    return [normalization]


def _to_matrix(pixels: _Pixels) -> csr_array:
    values = pixels.count * pixels.factors[pixels.bin1] * pixels.factors[pixels.bin2]
    n_bins = len(pixels.factors)
    matrix = coo_array((values, (pixels.bin1, pixels.bin2)), shape=(n_bins, n_bins)).tocsr()
    matrix.sum_duplicates()
    return matrix


# ---------------------------------------------------------------------------------------------------------
# What users call


def contacts_info(path: str | Path) -> ContactsInfo:
    """Resolutions, normalisations and chromosomes of a contact file.

    Parameters
    ----------
    path
        A .hic, .cool or .mcool file; ``"file.mcool::/resolutions/5000"`` names one matrix of a file.

    Returns
    -------
    What the file holds.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        ``hictkpy`` (for .hic) or ``cooler`` is not installed.
    ValueError
        The file is of another kind, or truncated.

    Examples
    --------
    >>> contacts_info("K562.mcool").resolutions  # doctest: +SKIP
    (5000, 10000, 25000)
    """
    with _opened(path) as source:
        return ContactsInfo(
            format=source.format,
            assembly=source.assembly,
            chrom_sizes=source.chrom_sizes,
            resolutions=source.resolutions,
            normalizations={resolution: source.normalizations(resolution) for resolution in source.resolutions},
        )


def read_contacts(
    path: str | Path,
    *,
    chromosome: str,
    resolution: int = 5_000,
    max_distance: int | None = None,
    normalization: str = "auto",
    chrom_sizes: Mapping[str, int] | None = None,
) -> ContactBand:
    """Read the contacts of one chromosome near its diagonal.

    Parameters
    ----------
    path
        A .hic, .cool or .mcool file; ``"file.mcool::/resolutions/5000"`` names one matrix of a file.
    chromosome
        Chromosome, with or without ``chr``.
    resolution
        Bases of a bin; the file must have it.
    max_distance
        Bins whose starts are at most this many bases apart are read; None: all of the chromosome.
    normalization
        Name of a normalisation of the file; ``"ICE"`` also finds cooler's ``weight``; ``"NONE"`` for counts.
        ``"auto"``: the first of SCALE, KR, weight, ICE, VC_SQRT, VC and NONE that has values on the chromosome.
        The one that was used is in the result.
    chrom_sizes
        Chromosome lengths of the genome, to make sure that the file is of the same assembly.

    Returns
    -------
    The band. ``band.matrix`` is the sparse csr array ``(n_bins, n_bins)`` (upper triangle); ``band.at(a, b)``
    looks up positions in either order and knows which bins are missing, which csr cannot tell from 0.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        ``hictkpy`` (for .hic) or ``cooler`` is not installed.
    KeyError
        The chromosome is not in the file.
    ValueError
        The file is of another kind, truncated, or of another assembly; it does not have the resolution or the
        normalisation; there is no contact on the chromosome.

    Examples
    --------
    >>> band = read_contacts("K562.hic", chromosome="chr22", max_distance=100_000)  # doctest: +SKIP
    >>> band.at([20_000_000], [20_045_000])  # doctest: +SKIP
    array([12.5])
    """
    if max_distance is not None and max_distance < 0:
        raise ValueError(f"max_distance is {max_distance}; expected at least 0 bases.")
    with _opened(path) as source:
        name = _match_chromosomes(source, path, [chromosome], chrom_sizes)[chromosome]
        candidates = _candidates(source, path, resolution, normalization)
        width = None if max_distance is None else int(max_distance // resolution)
        used, bands = source.bands(resolution, {name: width}, candidates)
        band = _to_band(source, next(bands)[1], chromosome, name, resolution, max_distance, used)
    near = "" if max_distance is None else f" within {max_distance} bases"
    if not band.matrix.nnz:
        raise ValueError(f"{path} has no contact on {chromosome} at resolution {resolution}{near}.")
    if band.missing.all():
        raise ValueError(_no_values(path, used, chromosome, resolution))
    return band


def _to_band(
    source: _Source, pixels: _Pixels, chromosome: str, name: str, resolution: int, max_distance: int | None, used: str
) -> ContactBand:
    return ContactBand(
        matrix=_to_matrix(pixels),
        chromosome=chromosome,
        size=source.chrom_sizes[name],
        resolution=resolution,
        normalization=used,
        unit=source.unit(resolution, used),
        max_distance=max_distance,
        missing=np.isnan(pixels.factors),
    )


def _no_values(path: str | Path, used: str, chromosome: str, resolution: int) -> str:
    return (
        f"{path}: normalization {used!r} has no value on {chromosome} at resolution {resolution} (balancing did not "
        f"converge there); use another one, or 'auto'."
    )


def contact_of_pairs(
    path: str | Path,
    chroms: str | Sequence[str] | npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    resolution: int = 5_000,
    normalization: str = "auto",
    chrom_sizes: Mapping[str, int] | None = None,
) -> npt.NDArray[np.float64]:
    """Contact of many pairs of positions.

    Each chromosome is read once, as far from the diagonal as its farthest pair; all chromosomes get the same
    normalisation.

    Parameters
    ----------
    path
        A .hic, .cool or .mcool file; ``"file.mcool::/resolutions/5000"`` names one matrix of a file.
    chroms
        Chromosome of each pair ``(n,)``, with or without ``chr``, or one for all of them.
    a, b
        0-based positions ``(n,)``; the order of the two, and of the pairs, does not matter.
    resolution
        Bases of a bin; the file must have it.
    normalization
        As in :func:`read_contacts`; ``"auto"`` takes the first that has values on all chromosomes with contacts.
    chrom_sizes
        Chromosome lengths of the genome, to make sure that the file is of the same assembly.

    Returns
    -------
    float64 array ``(n,)`` in the order of the pairs: 0 without contact, NaN where a bin is missing, and on
    chromosomes that the file does not have or on which it has no contact (with one warning that counts them).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        ``hictkpy`` (for .hic) or ``cooler`` is not installed.
    KeyError
        None of the chromosomes is in the file.
    ValueError
        As for :func:`read_contacts`; there is no contact on any of the chromosomes; a position is not on its
        chromosome, or not a whole number; the arrays differ in length.
    """
    first, second = np.asarray(a).reshape(-1), np.asarray(b).reshape(-1)
    names = pd.Series([chroms] * len(first) if isinstance(chroms, str) else np.asarray(chroms), dtype=object)
    if not len(names) == len(first) == len(second):
        raise ValueError(f"There are {len(names)} chroms, {len(first)} a and {len(second)} b; expected equal.")
    out = np.full(len(first), np.nan)
    groups = {str(name): rows for name, rows in names.groupby(names, sort=False).indices.items()}
    if not groups:
        return out
    with _opened(path) as source:
        matched = _match_chromosomes(source, path, list(groups), chrom_sizes)
        candidates = _candidates(source, path, resolution, normalization)
        widths: dict[str, int | None] = {}
        for name, other in matched.items():
            rows, size = groups[name], source.chrom_sizes[other]
            bins = [_positions(p[rows], name, size, resolution) for p in (first, second)]
            widths[other] = int(np.abs(bins[0] - bins[1]).max())
        asked = {other: name for name, other in matched.items()}
        used, bands = source.bands(resolution, widths, candidates)
        empty = {name: "is not in the file" for name in groups if name not in matched}
        for other, pixels in bands:
            name, width = asked[other], widths[other]
            band = _to_band(source, pixels, name, other, resolution, (width or 0) * resolution, used)
            if not band.matrix.nnz:
                empty[name] = "has no contact"
            elif band.missing.all():
                empty[name] = f"has no {used} value"
            else:
                out[groups[name]] = band.at(first[groups[name]], second[groups[name]])
    if len(empty) == len(groups):
        raise ValueError(
            f"{path} has no {'' if used == 'NONE' else used + ' '}contact on {', '.join(list(groups)[:3])}"
            f"{', …' if len(groups) > 3 else ''} at resolution {resolution}, as far from the diagonal as the pairs are."
        )
    if empty:
        logger.warning(
            "%d of %d pairs have no contact frequency in %s: %s; their value is NaN.",
            sum(len(groups[name]) for name in empty),
            len(first),
            path,
            ", ".join(f"{name} {reason}" for name, reason in list(empty.items())[:3])
            + (", …" if len(empty) > 3 else ""),
        )
    logger.info("contacts of %s: normalization %s at resolution %d", path, used, resolution)
    return out
