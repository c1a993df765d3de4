"""Read a store of coverage window by window, and keep in the object which store is its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from mudata import MuData

from eregtools._bins import n_bins
from eregtools._keys import UNS, Uns
from eregtools._schema import entry, listed
from eregtools.coverage.about import Strandedness, check_strandedness, read_about, summary, write_about

GIVEN = "given"
"""Where a library size comes from that was not derived from coverage."""

Floats: TypeAlias = npt.NDArray[np.float32]


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
    >>> from eregtools.coverage import CoverageWriter
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
        about = read_about(self.path)
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
            check_strandedness(found.get("strandedness", "unstranded"), int(samples[sample]["tracks"]), sample)
            samples[sample].update(found)
        about = summary(self.bin_size, self.chrom_sizes, samples)
        write_about(self.path, about)
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


def _by_strand(values: npt.NDArray[Any], strandedness: Strandedness) -> Floats:
    """Plus and minus ``(2, n)`` of what is stored, ``(2, n)`` or ``(1, n)``."""
    found = values.astype(np.float32)
    if strandedness == "unstranded":
        return np.broadcast_to(found.sum(axis=0, keepdims=True) / 2, (2, found.shape[1]))
    return found[::-1] if strandedness == "reverse" else found
