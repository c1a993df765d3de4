"""Tracks as bigWig files, whole or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eregtools.io import bigwig, store

_AT_A_TIME = 1 << 20

_HEADER, _ENTRY = 1 << 16, 24
"""Bytes of a file without entries, and of an entry with its share of the zoom levels, at most."""


def write_bigwig(
    path: str | Path,
    chrom_sizes: Mapping[str, int],
    tracks: Iterable[tuple[str, npt.NDArray[np.float32]]],
    *,
    step: int,
) -> None:
    """Write values of bins of one width as a bigWig file.

    Parameters
    ----------
    path
        Target; what is there is replaced.
    chrom_sizes
        Length of each chromosome in bases, in the order of the file.
    tracks
        Chromosome and the values of its bins from its first base on, in the order of ``chrom_sizes``; NaN: no value.
    step
        Bases of a bin; the last one ends with its chromosome.

    Raises
    ------
    ValueError
        A track has another number of bins than its chromosome, or is of an unknown one, or there is no value at all.
    OSError
        The folder does not exist or the disk is full; what was there before stays.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "toy.bw"
    >>> write_bigwig(path, {"chr1": 80}, [("chr1", np.array([np.nan, 0.5, 0.25], dtype=np.float32))], step=32)
    >>> bigwig.values(path, "chr1", 30, 34), bigwig.chrom_sizes(path)
    (array([nan, nan, 0.5, 0.5]), {'chr1': 80})
    """
    starts_and_values = (
        (chrom, np.flatnonzero(~np.isnan(values)) * step, values[~np.isnan(values)])
        for chrom, values in _checked(tracks, chrom_sizes, step)
    )
    write_intervals(
        path,
        chrom_sizes,
        ((chrom, starts, np.minimum(starts + step, chrom_sizes[chrom]), v) for chrom, starts, v in starts_and_values),
    )


def write_intervals(
    path: str | Path,
    chrom_sizes: Mapping[str, int],
    intervals: Iterable[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]],
) -> None:
    """Write values of intervals that do not overlap as a bigWig file.

    Parameters
    ----------
    path, chrom_sizes
        As in :func:`write_bigwig`.
    intervals
        Chromosome, and start, end and value of its intervals in order, in the order of ``chrom_sizes``.

    Raises
    ------
    OSError
        The folder does not exist or the disk is full; what was there before stays.
    """
    import pyBigWig

    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: the folder {target.parent} does not exist")
    temporary = store._beside(target, "tmp")
    written = 0
    try:
        _reserve(temporary, _HEADER)
        file = pyBigWig.open(str(temporary), "w")
        try:
            file.addHeader([(name, int(size)) for name, size in chrom_sizes.items()])
            for chrom, starts, ends, values in intervals:
                for begin in range(0, len(starts), _AT_A_TIME):
                    part = slice(begin, begin + _AT_A_TIME)
                    written += len(starts[part])
                    _reserve(temporary, _HEADER + written * _ENTRY)
                    names = np.full(len(starts[part]), chrom)
                    file.addEntries(names, starts[part], ends=ends[part], values=values[part].astype(np.float64))
        finally:
            file.close()
        if not written:
            raise ValueError(f"{target}: there is no value to write")
        bigwig._check_file(temporary)
        store._flush(temporary)
        store._swap(temporary, target)
    except OSError as error:
        raise OSError(f"{target} cannot be written ({error.strerror or error}); nothing of it was") from error
    finally:
        store._remove(temporary)
    store._flush_folder(target.parent)


def _reserve(path: Path, n_bytes: int) -> None:
    """Make sure that the disk has room for all of a file: libBigWig ends the process where a write of its fails."""
    probe = path.with_name(f"{path.name}.room")
    with probe.open("wb") as handle:
        try:
            if hasattr(os, "posix_fallocate"):  # macOS has none
                os.posix_fallocate(handle.fileno(), 0, n_bytes)
            elif shutil.disk_usage(path.parent).free < n_bytes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            probe.unlink()


def _checked(
    tracks: Iterable[tuple[str, npt.NDArray[np.float32]]], chrom_sizes: Mapping[str, int], step: int
) -> Iterable[tuple[str, npt.NDArray[np.float32]]]:
    for chrom, values in tracks:
        if chrom not in chrom_sizes:
            raise ValueError(f"{chrom!r} is none of the chromosomes {', '.join(chrom_sizes)}")
        expected = -(-chrom_sizes[chrom] // step)
        if len(values) != expected:
            raise ValueError(f"the track of {chrom} has {len(values)} bins; expected {expected} of {step} bp")
        yield chrom, values
