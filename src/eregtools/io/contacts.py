"""Contact frequencies of .hic, .cool and .mcool files."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from eregtools._logging import logger
from eregtools.genome import match_names
from eregtools.io._contact_band import ContactBand, Pixels, bins_of, to_matrix
from eregtools.io._cool_file import CoolFile
from eregtools.io._hic_file import HicFile
from eregtools.io._regions import match_chromosomes

PREFERRED = ("SCALE", "KR", "weight", "ICE", "VC_SQRT", "VC", "NONE")
"""Normalisations in the order in which ``"auto"`` tries them; ``weight`` is the column of ``cooler balance``."""

_HIC_MAGIC = b"HIC\x00"
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_WHAT = "a .hic, .cool or .mcool file"


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

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.SimulationConfig(
    ...     n_chromosomes=2, chromosome_length=200_000, n_genes=20, n_elements=60, n_variants=10
    ... )
    >>> simulation = er.datasets.simulate(tempfile.mkdtemp(), config=small)
    >>> info = er.io.contacts_info(simulation.paths["contacts"])
    >>> isinstance(info, er.io.ContactsInfo), info.format, info.normalizations
    (True, 'cool', {5000: ('weight', 'NONE')})
    """

    format: str
    assembly: str | None
    chrom_sizes: dict[str, int]
    resolutions: tuple[int, ...]
    normalizations: dict[int, tuple[str, ...]]


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
        ``hictkpy``, for .hic files, is not installed.
    ValueError
        The file is of another kind, or truncated.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.SimulationConfig(
    ...     n_chromosomes=2, chromosome_length=200_000, n_genes=20, n_elements=60, n_variants=10
    ... )
    >>> simulation = er.datasets.simulate(tempfile.mkdtemp(), config=small)
    >>> info = er.io.contacts_info(simulation.paths["contacts"])
    >>> info.resolutions, info.chrom_sizes
    ((5000,), {'chr1': 200000, 'chr2': 200000})
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
        ``hictkpy``, for .hic files, is not installed.
    KeyError
        The chromosome is not in the file.
    ValueError
        The file is of another kind, truncated, or of another assembly; it does not have the resolution or the
        normalisation; there is no contact on the chromosome.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.SimulationConfig(
    ...     n_chromosomes=2, chromosome_length=200_000, n_genes=20, n_elements=60, n_variants=10
    ... )
    >>> simulation = er.datasets.simulate(tempfile.mkdtemp(), config=small)
    >>> band = er.io.read_contacts(simulation.paths["contacts"], chromosome="chr1", max_distance=100_000)
    >>> band.matrix.shape, band.normalization
    ((40, 40), 'weight')
    >>> band.at([20_000], [45_000]).round(3)
    array([0.016])
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
        ``hictkpy``, for .hic files, is not installed.
    KeyError
        None of the chromosomes is in the file.
    ValueError
        As for :func:`read_contacts`; there is no contact on any of the chromosomes; a position is not on its
        chromosome, or not a whole number; the arrays differ in length.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.SimulationConfig(
    ...     n_chromosomes=2, chromosome_length=200_000, n_genes=20, n_elements=60, n_variants=10
    ... )
    >>> simulation = er.datasets.simulate(tempfile.mkdtemp(), config=small)
    >>> near, far = er.io.contact_of_pairs(simulation.paths["contacts"], "chr1", [20_000, 20_000], [45_000, 190_000])
    >>> bool(near > far)
    True
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
            bins = [bins_of(p[rows], name, size, resolution) for p in (first, second)]
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


class _Source(Protocol):
    format: str
    assembly: str | None
    chrom_sizes: dict[str, int]
    resolutions: tuple[int, ...]

    def normalizations(self, resolution: int) -> tuple[str, ...]: ...

    def unit(self, resolution: int, normalization: str) -> str: ...

    def bands(
        self, resolution: int, widths: Mapping[str, int | None], candidates: Sequence[str]
    ) -> tuple[str, Iterator[tuple[str, Pixels]]]:
        """Pick the first candidate with values on all chromosomes that have contacts (or the last), and read.

        ``widths`` is the greatest distance from the diagonal in bins, None for no bound.
        """


@contextmanager
def _opened(path: str | Path) -> Iterator[_Source]:
    """Open the file by its content; ``file.mcool::/resolutions/5000`` names one matrix."""
    name, _, group = str(path).partition("::")
    file = Path(name).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not a file; expected {_WHAT}.")
    with file.open("rb") as handle:
        magic = handle.read(8)
    source: HicFile | CoolFile
    if magic.startswith(_HIC_MAGIC):
        if importlib.util.find_spec("hictkpy") is None:
            raise ImportError(f"{file} needs hictkpy, which is not installed: pip install 'eregtools[hic]'")
        source = HicFile(file)
    elif magic == _HDF5_MAGIC:
        source = CoolFile(file, group or None)
    else:
        raise ValueError(f"{file} is not {_WHAT} (it begins with {magic!r}).")
    try:
        yield source
    finally:
        source.close()


def _match_chromosomes(
    source: _Source, path: str | Path, wanted: Sequence[str], chrom_sizes: Mapping[str, int] | None
) -> dict[str, str]:
    """Name asked for -> name in the file, of those that the file has; lengths agree with the genome's."""
    matched = match_chromosomes(path, source.chrom_sizes, wanted)
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


def _to_band(
    source: _Source, pixels: Pixels, chromosome: str, name: str, resolution: int, max_distance: int | None, used: str
) -> ContactBand:
    return ContactBand(
        matrix=to_matrix(pixels),
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
