"""Write a store of coverage, whole or not at all."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from eregtools._bins import BIN_SIZE, n_bins
from eregtools._schema import listed
from eregtools.coverage.about import Strandedness, check_strandedness, read_about, summary, write_about
from eregtools.io import store as files

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
    >>> from eregtools.coverage import Coverage
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
            read_about(self.target)
        except ValueError:
            raise FileExistsError(f"{self.target} is no store of coverage and is not replaced") from None

    def __enter__(self) -> Self:
        self.temporary.mkdir()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            if kind is None:
                write_about(self.temporary, summary(self.bin_size, self.chrom_sizes, self._samples))
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
        check_strandedness(strandedness, written.tracks, sample)
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
