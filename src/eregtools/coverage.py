"""Binned coverage of many samples in one folder: written whole or not at all, read window by window."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from mudata import MuData

from eregtools._keys import UNS, Uns
from eregtools._schema import entry, listed
from eregtools.io import store as files

BIN_SIZE = 8
"""Bases of a bin: RNA-seq coverage is smooth over the length of a read."""

GIVEN = "given"
"""Where a library size comes from that was not derived from coverage."""

Strandedness: TypeAlias = Literal["forward", "reverse", "unstranded"]
STRANDEDNESS: tuple[Strandedness, ...] = ("forward", "reverse", "unstranded")

Floats: TypeAlias = npt.NDArray[np.float32]

_FORMAT, _VERSION = "eregtools coverage", 1
_ABOUT = "eregtools"  # attribute of the group
_INNER, _OUTER = 1 << 14, 1 << 20  # bins read together, bins of a file
_FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Written:
    """What is known of the arrays of one sample once they are on the disk.

    Attributes
    ----------
    tracks
        2: plus and minus; 1: both strands together.
    bases
        Sum of the coverage over all bases.
    digest
        Hash of chromosomes and values.
    """

    tracks: int
    bases: float
    digest: str


class Coverage:
    """Opened store of binned coverage.

    The store keeps what the files hold, as mean coverage of each bin: absolute values, 0 where a file has none. Which
    strand is which is kept beside it, so that :func:`eregtools.pp.strand_audit` exchanges or averages strands without
    writing coverage again. Handles belong to one process: after a fork or unpickling they are opened again.

    Parameters
    ----------
    folder
        Folder that :class:`CoverageWriter` wrote.

    Attributes
    ----------
    path
        The folder.
    bin_size
        Bases of a bin.
    samples
        Names of the samples.
    chrom_sizes
        Length of each chromosome in bases.
    fingerprint
        Hash of coverage and what is known of each sample.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    ValueError
        The folder holds something else, or was written by a newer eregtools.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "coverage.zarr"
    >>> with CoverageWriter(folder, {"chr1": 80}) as writer:
    ...     writer.add("K562", {"chr1": np.arange(20.0).reshape(2, 10)}, library_size=2e6, read_length=50)
    >>> coverage = Coverage(folder)
    >>> coverage.values("K562", "chr1", 64, 96)
    array([[ 8.,  9.,  0.,  0.],
           [18., 19.,  0.,  0.]], dtype=float32)
    >>> coverage.per_million("K562", "chr1", 64)
    array([[4. , 4.5],
           [9. , 9.5]], dtype=float32)
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder).expanduser().resolve()
        about = _read_about(self.path)
        self.bin_size = int(about["bin_size"])
        self.chrom_sizes = {str(name): int(size) for name, size in about["chrom_sizes"]}
        self.fingerprint = str(about["fingerprint"])
        self._samples: dict[str, dict[str, Any]] = about["samples"]
        self.samples = list(self._samples)
        self._forget_handles()

    def __repr__(self) -> str:
        return f"Coverage({str(self.path)!r}, {len(self.samples)} samples, bins of {self.bin_size} bp)"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in {"_arrays", "_pid"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_handles()

    def _forget_handles(self) -> None:
        self._arrays: dict[tuple[int, str], Any] = {}
        self._pid = os.getpid()

    def about(self, sample: str) -> dict[str, Any]:
        """Return what is known of a sample: its library, its strands, and where the numbers come from."""
        if sample not in self._samples:
            raise KeyError(f"there is no coverage of {sample!r} in {self.path}; it has {listed(self.samples)}")
        return self._samples[sample]

    def strandedness(self, sample: str) -> Strandedness:
        """``"forward"``, ``"reverse"`` (the labels of the files are exchanged when read) or ``"unstranded"``."""
        found: Strandedness = self.about(sample)["strandedness"]
        return found

    def stranded(self, sample: str) -> bool:
        """Whether the strand of the RNA is known."""
        return self.strandedness(sample) != "unstranded"

    def library_size(self, sample: str) -> float:
        """Size of the library in reads, by which coverage becomes coverage per million reads."""
        return float(self.about(sample)["library_size"])

    def read_length(self, sample: str) -> float:
        """Bases that one read covers, by which summed coverage becomes reads."""
        return float(self.about(sample)["read_length"])

    def has(self, sample: str, chrom: str) -> bool:
        """Whether the files of a sample had this chromosome."""
        return self._array(int(self.about(sample)["number"]), chrom) is not None

    def values(self, sample: str, chrom: str, start: int, end: int, *, labelled: bool = False) -> Floats:
        """Coverage of a window.

        Parameters
        ----------
        sample
            Name of the sample.
        chrom
            Chromosome.
        start, end
            0-based half-open interval, multiples of the bin size; it may reach over the ends of the chromosome.
        labelled
            Take the two strands as the files label them, whatever is known of them.

        Returns
        -------
        float32 array ``(2, n_bins)``: mean raw coverage on the plus and on the minus strand, 0 outside the chromosome.
        Where the strand is not known both hold one half of the total.

        Raises
        ------
        KeyError
            The store has no such sample or chromosome.
        ValueError
            The window is not made of whole bins.
        """
        if chrom not in self.chrom_sizes:
            raise KeyError(f"{chrom!r} is not in {self.path}; it has {listed(self.chrom_sizes)}")
        if start % self.bin_size or end % self.bin_size or end < start:
            raise ValueError(
                f"{chrom}:{start}-{end} is not made of whole bins; expected multiples of {self.bin_size}, start ≤ end"
            )
        strandedness = self.strandedness(sample)
        if labelled and int(self.about(sample)["tracks"]) == 2:
            strandedness = "forward"
        first, last = start // self.bin_size, end // self.bin_size
        held = n_bins(self.chrom_sizes[chrom], self.bin_size)
        low, high = min(max(first, 0), held), min(max(last, 0), held)
        out = np.zeros((2, last - first), dtype=np.float32)
        array = self._array(int(self.about(sample)["number"]), chrom)
        if low < high and array is not None:
            out[:, low - first : high - first] = _by_strand(np.asarray(array[:, low:high]), strandedness)
        return out

    def per_million(self, sample: str, chrom: str, start: int = 0, end: int | None = None) -> Floats:
        """Coverage per million reads of the library, ``(2, n_bins)``; ``end=None``: to the end of the chromosome.

        Parameters, errors and shape as for :meth:`values`.
        """
        if end is None:
            end = n_bins(self.chrom_sizes.get(chrom, 0), self.bin_size) * self.bin_size
        scaled: Floats = self.values(sample, chrom, start, end) * np.float32(1e6 / self.library_size(sample))
        return scaled

    def relabel(self, decisions: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what was found about samples; the fingerprint changes.

        Parameters
        ----------
        decisions
            ``{sample: {"strandedness": …, "strand_fraction": …}}``; coverage itself stays as it is.

        Raises
        ------
        KeyError
            The store has no such sample.
        ValueError
            An unknown strandedness, or a strand for a sample of one track.
        """
        samples = {name: dict(known) for name, known in self._samples.items()}
        for sample, found in decisions.items():
            self.about(sample)
            _check_strandedness(found.get("strandedness", "unstranded"), int(samples[sample]["tracks"]), sample)
            samples[sample].update(found)
        about = _about(self.bin_size, self.chrom_sizes, samples)
        _write_about(self.path, about)
        self._samples, self.fingerprint = samples, str(about["fingerprint"])

    def _array(self, number: int, chrom: str) -> Any:
        import zarr

        if self._pid != os.getpid():
            self._forget_handles()
        key = (number, chrom)
        if key not in self._arrays:
            place = self.path / str(number) / chrom
            self._arrays[key] = zarr.open_array(str(place), mode="r") if place.is_dir() else None
        return self._arrays[key]


class CoverageWriter(AbstractContextManager["CoverageWriter"]):
    """Writes a store of coverage beside its target and renames it when all is there.

    Parameters
    ----------
    folder
        Where the store will be.
    chrom_sizes
        Length of each chromosome in bases.
    bin_size
        Bases of a bin.
    dtype
        ``"float32"``, or ``"float16"``, which takes one half of the space and keeps three digits.
    overwrite
        Replace a store that is there.

    Raises
    ------
    FileExistsError
        There is something at ``folder``, and ``overwrite`` is False or it is no store of coverage.
    OSError
        The folder cannot be written or the disk is full; nothing is left behind.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "coverage.zarr"
    >>> with CoverageWriter(folder, {"chr1": 80}) as writer:
    ...     writer.add("HepG2", {"chr1": np.ones((1, 10))}, library_size=1e6, read_length=50)
    >>> Coverage(folder).stranded("HepG2"), Coverage(folder).values("HepG2", "chr1", 0, 8)
    (False, array([[0.5], [0.5]], dtype=float32))
    """

    def __init__(
        self,
        folder: str | Path,
        chrom_sizes: Mapping[str, int],
        *,
        bin_size: int = BIN_SIZE,
        dtype: Literal["float32", "float16"] = "float32",
        overwrite: bool = False,
    ):
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype={dtype!r}: expected 'float32' or 'float16'")
        if bin_size < 1:
            raise ValueError(f"bin_size={bin_size}: expected at least 1 bp")
        self.target = Path(folder).expanduser()
        self.chrom_sizes, self.bin_size, self.dtype = dict(chrom_sizes), bin_size, dtype
        self._samples: dict[str, dict[str, Any]] = {}
        self._numbers: dict[str, int] = {}
        self._check_target(overwrite)
        self.target.parent.mkdir(parents=True, exist_ok=True)
        files._remove_leftovers(self.target)
        self.temporary = files._beside(self.target, "tmp")

    def _check_target(self, overwrite: bool) -> None:
        if not self.target.exists():
            return
        if not overwrite:
            raise FileExistsError(f"{self.target} is there already; give another folder, or overwrite=True")
        try:
            _read_about(self.target)
        except ValueError:
            raise FileExistsError(f"{self.target} is no store of coverage and is not replaced") from None

    def __enter__(self) -> Self:
        self.temporary.mkdir()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            if kind is None:
                _write_about(self.temporary, _about(self.bin_size, self.chrom_sizes, self._samples))
                files._flush(self.temporary)
                files._swap(self.temporary, self.target)
                files._flush_folder(self.target.parent)
        finally:
            if self.temporary.is_dir():
                files._remove(self.temporary)

    def place(self, sample: str) -> Path:
        """Folder for the arrays of a sample, which :func:`write_arrays` fills, in any process."""
        if sample in self._numbers:
            raise ValueError(f"{sample!r} is given twice; expected each sample once")
        self._numbers[sample] = len(self._numbers)
        return self.temporary / str(self._numbers[sample])

    def register(
        self,
        sample: str,
        written: Written,
        *,
        library_size: float,
        read_length: float,
        strandedness: Strandedness | None = None,
        **more: str | float | bool,
    ) -> None:
        """Keep what is known of a sample whose arrays are written.

        Parameters
        ----------
        sample
            Its name, as given to :meth:`place`.
        written
            What :func:`write_arrays` returned.
        library_size
            Reads of the library.
        read_length
            Bases that one read covers.
        strandedness
            ``None``: ``"forward"`` for two tracks, ``"unstranded"`` for one.
        more
            Anything else to keep, found by :meth:`Coverage.about`.
        """
        for what, value in (("library_size", library_size), ("read_length", read_length)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{what} of {sample} is {value}; expected a number above 0")
        if strandedness is None:
            strandedness = "forward" if written.tracks == 2 else "unstranded"
        _check_strandedness(strandedness, written.tracks, sample)
        self._samples[sample] = {
            "number": self._numbers[sample],
            "tracks": written.tracks,
            "bases": written.bases,
            "digest": written.digest,
            "library_size": float(library_size),
            "read_length": float(read_length),
            "strandedness": strandedness,
            **more,
        }

    def add(
        self,
        sample: str,
        chromosomes: Mapping[str, npt.ArrayLike] | Iterable[tuple[str, npt.ArrayLike]],
        *,
        library_size: float,
        read_length: float,
        strandedness: Strandedness | None = None,
        **more: str | float | bool,
    ) -> None:
        """Write one sample.

        Parameters
        ----------
        sample
            Its name.
        chromosomes
            Mean raw coverage of the bins of each chromosome, ``(2, n_bins)`` for plus and minus or ``(1, n_bins)``
            for both strands together; chromosomes that are not given have none.
        library_size, read_length, strandedness, more
            As for :meth:`register`.
        """
        pairs = chromosomes.items() if isinstance(chromosomes, Mapping) else chromosomes
        written = write_arrays(
            self.place(sample), pairs, self.chrom_sizes, bin_size=self.bin_size, dtype=self.dtype, what=sample
        )
        self.register(
            sample, written, library_size=library_size, read_length=read_length, strandedness=strandedness, **more
        )


def n_bins(chrom_size: int, bin_size: int = BIN_SIZE) -> int:
    """Bins of a chromosome; the last one may reach over its end."""
    return -(-chrom_size // bin_size)


def write_arrays(
    place: Path,
    chromosomes: Iterable[tuple[str, npt.ArrayLike]],
    chrom_sizes: Mapping[str, int],
    *,
    bin_size: int,
    dtype: str,
    what: str,
) -> Written:
    """Write the binned coverage of one sample.

    Parameters
    ----------
    place
        Folder of the sample, of :meth:`CoverageWriter.place`.
    chromosomes
        Name and mean coverage of the bins, ``(2, n_bins)`` or ``(1, n_bins)``, of one chromosome after another.
    chrom_sizes
        Length of each chromosome in bases.
    bin_size, dtype
        As for :class:`CoverageWriter`.
    what
        Whose coverage it is, for messages.

    Raises
    ------
    ValueError
        An unknown chromosome, another number of bins, or values that are negative, not finite or too large.
    """
    import zarr
    from zarr.codecs import BloscCodec

    digest, bases, tracks = hashlib.sha256(), 0.0, 0
    place.mkdir(parents=True)
    for chrom, given in chromosomes:
        values = np.asarray(given)
        _check_values(values, chrom, chrom_sizes, bin_size, dtype, what)
        if tracks not in (0, len(values)):
            raise ValueError(f"{what}: {chrom} has {len(values)} track(s), other chromosomes {tracks}")
        tracks = len(values)
        stored = np.ascontiguousarray(values, dtype=dtype)
        bases += float(stored.sum(dtype=np.float64)) * bin_size
        digest.update(f"{chrom} {stored.shape} {stored.dtype.str}".encode())
        digest.update(stored.tobytes())
        array = zarr.create_array(
            str(place / chrom),
            shape=stored.shape,
            dtype=stored.dtype,
            chunks=(tracks, _INNER),
            shards=(tracks, _OUTER),
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
            fill_value=0,
        )
        array[:] = stored
    if not tracks:
        raise ValueError(f"{what}: there is no coverage of any chromosome")
    return Written(tracks, bases, digest.hexdigest())


def recorded_coverage(mdata: MuData, coverage: Coverage | str | Path | None = None) -> Coverage:
    """Coverage of the object.

    Parameters
    ----------
    mdata
        The object.
    coverage
        The store or its folder, where it was moved; ``None``: where :func:`eregtools.pp.add_coverage` wrote it.

    Raises
    ------
    KeyError
        The object has no coverage and none is given.
    FileNotFoundError
        The folder was moved.
    ValueError
        The store is not the one that the object records.
    """
    known = mdata.uns.get(UNS, {}).get(Uns.coverage)
    if coverage is None:
        if known is None:
            raise KeyError("the object has no coverage; run er.pp.add_coverage first, or give coverage=")
        if not Path(known["path"]).is_dir():
            raise FileNotFoundError(f"the coverage of the object is not in {known['path']}; give coverage=its folder")
        coverage = known["path"]
    opened = coverage if isinstance(coverage, Coverage) else Coverage(coverage)
    if known is not None and opened.fingerprint != known["fingerprint"]:
        raise ValueError(
            f"{opened.path} (fingerprint {opened.fingerprint[:12]}) is not the coverage that the object records "
            f"({str(known['fingerprint'])[:12]}): it was written or audited again; run er.pp.add_coverage again, or "
            f"give the other store"
        )
    return opened


def record(mdata: MuData, coverage: Coverage) -> None:
    """Keep in the object where its coverage is, and what is known of its samples."""
    entry(mdata)[Uns.coverage] = {
        "path": str(coverage.path),
        "fingerprint": coverage.fingerprint,
        "bin_size": coverage.bin_size,
        "derived_libraries": np.array(
            [name for name in coverage.samples if coverage.about(name).get("library_size_from") != GIVEN], dtype=object
        ),
    }


# ---------------------------------------------------------------------------------------------------------
# The folder


def _by_strand(values: npt.NDArray[Any], strandedness: Strandedness) -> Floats:
    """Plus and minus ``(2, n)`` of what is stored, ``(2, n)`` or ``(1, n)``."""
    found = values.astype(np.float32)
    if strandedness == "unstranded":
        return np.broadcast_to(found.sum(axis=0, keepdims=True) / 2, (2, found.shape[1]))
    return found[::-1] if strandedness == "reverse" else found


def _check_strandedness(strandedness: str, tracks: int, sample: str) -> None:
    if strandedness not in STRANDEDNESS:
        raise ValueError(f"strandedness of {sample} is {strandedness!r}; expected one of {', '.join(STRANDEDNESS)}")
    if tracks == 1 and strandedness != "unstranded":
        raise ValueError(f"{sample} has one track for both strands; it can only be 'unstranded'")


def _check_values(
    values: npt.NDArray[Any], chrom: str, chrom_sizes: Mapping[str, int], bin_size: int, dtype: str, what: str
) -> None:
    if chrom not in chrom_sizes:
        raise ValueError(f"{what}: {chrom!r} is none of the chromosomes {listed(chrom_sizes)}")
    expected = n_bins(chrom_sizes[chrom], bin_size)
    if values.ndim != 2 or values.shape[0] not in (1, 2) or values.shape[1] != expected:
        raise ValueError(
            f"{what}: coverage of {chrom} has shape {values.shape}; expected (2, {expected}) or (1, {expected})"
        )
    largest = float(values.max(initial=0))
    if not (float(values.min(initial=0)) >= 0 and math.isfinite(largest)):
        raise ValueError(f"{what}: coverage of {chrom} has values that are negative or not finite")
    if dtype == "float16" and largest > _FLOAT16_MAX:
        raise ValueError(f"{what}: coverage of {chrom} reaches {largest:,.0f}, too much for float16; use float32")


def _about(bin_size: int, chrom_sizes: Mapping[str, int], samples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "bin_size": bin_size,
        "chrom_sizes": [[name, int(size)] for name, size in chrom_sizes.items()],
        "samples": {name: dict(known) for name, known in samples.items()},
    }
    text = json.dumps(content, sort_keys=True)
    return {**content, "fingerprint": hashlib.sha256(text.encode()).hexdigest()}


def _write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write the attributes of the group; zarr writes them under a temporary name and renames them."""
    import zarr

    group = zarr.open_group(str(folder), mode="a")
    group.attrs.put({_ABOUT: about})


def _read_about(folder: Path) -> dict[str, Any]:
    import zarr

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; expected a store of coverage of er.pp.add_coverage")
    try:
        about: Any = zarr.open_group(str(folder), mode="r").attrs.asdict().get(_ABOUT)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise ValueError(f"{folder} is no store of coverage ({error})") from None
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ValueError(f"{folder} is no store of coverage; expected a folder that er.pp.add_coverage wrote")
    if int(about["version"]) > _VERSION:
        raise ValueError(f"{folder} has version {about['version']}, this eregtools knows {_VERSION}: update eregtools")
    return about
