"""Loci of an object as windows of sequence and coverage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eregtools._bins import BIN_SIZE
from eregtools._keys import Modality, Var
from eregtools._schema import require_modality, validate
from eregtools.batches.loci import LocusWindows, running_mean

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models import ERNAformerConfig

_GRID = 32
"""Windows begin on a grid of tokens, so that a locus and a scan read the same ones."""

_LONGEST_READ = 8_000_000
"""Bases of a chromosome that are held at a time."""

_WIDEST_GAP = 100_000
"""Loci further apart are read by themselves."""


def require_ernas(mdata: MuData) -> AnnData:
    """Return the loci of a checked object."""
    validate(mdata, full=False)
    return require_modality(mdata, Modality.ernas)


def open_coverage(mdata: MuData, coverage: Coverage | str | Path | None, samples: Sequence[str]) -> Coverage:
    """Coverage of the object, with bins as the models read them and every sample.

    Raises
    ------
    KeyError
        The object has no coverage, or the store lacks a sample.
    ValueError
        The store is another one, or has bins of another size.
    """
    from eregtools.coverage import recorded_coverage

    store = recorded_coverage(mdata, coverage)
    if store.bin_size != BIN_SIZE:
        raise ValueError(f"{store.path} has bins of {store.bin_size} bp; the models read bins of {BIN_SIZE} bp")
    for sample in samples:
        store.about(sample)
    return store


def centres_of(loci: pd.DataFrame) -> NDArray[np.int64]:
    """Position that each locus' window is placed on: ``center``, or the middle of the interval where there is none."""
    if Var.center in loci:
        return loci[Var.center].to_numpy(np.int64)
    return (loci[Var.start].to_numpy(np.int64) + loci[Var.end].to_numpy(np.int64)) // 2


def window_starts(centres: NDArray[np.int64], config: ERNAformerConfig, margin: int = 0) -> NDArray[np.int64]:
    """First base of the windows around centres, halo and margin included, on the grid of tokens."""
    inner = (centres - config.seq_len // 2 + _GRID // 2) // _GRID * _GRID
    return inner - config.halo - margin


def locus_windows(
    loci: pd.DataFrame,
    samples: Sequence[str],
    label: NDArray[np.float32],
    config: ERNAformerConfig,
    genome: Genome,
    coverage: Coverage,
    *,
    margin: int = 0,
    off_register: NDArray[np.int64] | None = None,
) -> LocusWindows:
    """Windows of loci in each of the samples; a row is a locus in a sample, sample by sample.

    Parameters
    ----------
    loci
        Rows of ``ernas.var`` ``(n,)``.
    samples
        Samples of the coverage.
    label
        1 or 0 ``(n,)``.
    config
        Architecture of what reads them.
    genome, coverage
        Where they are read from.
    margin
        Bases more on either side, for windows that are moved.
    off_register
        How far the sequence lies from the coverage, in bp ``(n,)``; ``None``: where it belongs.
    """
    centres, n = centres_of(loci), len(loci)
    starts = window_starts(centres, config, margin)
    width = config.width + 2 * margin
    chroms = np.asarray(loci[Var.chromosome], dtype=str)
    parts = [track_windows(coverage, sample, chroms, starts, width, config.contrast_bins) for sample in samples]
    values, means = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    windows = LocusWindows(
        codes=genome.codes(chroms.tolist(), starts if off_register is None else starts + off_register, width),
        coverage=values,
        local_mean=means,
        library_size=np.repeat([coverage.library_size(sample) for sample in samples], n),
        stranded=np.repeat([coverage.stranded(sample) for sample in samples], n),
        sequence=np.tile(np.arange(n), len(samples)),
        track=np.arange(n * len(samples)),
        label=np.tile(label.astype(np.float32), len(samples)),
        centre=np.tile(centres - starts, len(samples)),
    )
    windows.check()
    return windows


def track_windows(
    coverage: Coverage,
    sample: str,
    chroms: NDArray[np.str_],
    starts: NDArray[np.int64],
    width: int,
    contrast_bins: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coverage of windows and its running mean, two arrays ``(n, 2, width // 8)``; beyond a chromosome's ends 0."""
    values = np.zeros((len(starts), 2, width // BIN_SIZE), dtype=np.float32)
    means = np.zeros_like(values)
    around = contrast_bins // 2 * BIN_SIZE
    for chrom, rows in _stretches(chroms, starts, width):
        first, last = int(starts[rows[0]]) - around, int(starts[rows].max()) + width + around
        stretch = coverage.values(sample, chrom, first, last)
        mean = running_mean(stretch, contrast_bins)
        for row in rows.tolist():
            at = (int(starts[row]) - first - around) // BIN_SIZE
            bins = slice(at, at + width // BIN_SIZE)
            means[row] = mean[:, bins]
            values[row] = stretch[:, at + around // BIN_SIZE : bins.stop + around // BIN_SIZE]
    return values, means


def _stretches(
    chroms: NDArray[np.str_], starts: NDArray[np.int64], width: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Neighbouring windows that are read at once, ordered by their starts."""
    for chrom in dict.fromkeys(chroms.tolist()):
        rows = np.flatnonzero(chroms == chrom)
        rows = rows[np.argsort(starts[rows], kind="stable")]
        begin = 0
        for end in range(1, len(rows) + 1):
            if (
                end == len(rows)
                or starts[rows[end]] - starts[rows[end - 1]] > width + _WIDEST_GAP
                or starts[rows[end]] + width - starts[rows[begin]] > _LONGEST_READ
            ):
                yield chrom, rows[begin:end]
                begin = end
