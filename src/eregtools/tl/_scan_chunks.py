"""Pieces of chromosomes as a scan reads them, and which of their windows are worth reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from eregtools.batches.encode import UNKNOWN
from eregtools.batches.loci import LocusBatch
from eregtools.locus_signal import informative_bins, masked_bins
from eregtools.tl._erna_windows import track_windows

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models.chromosome_scan import Grid

Asked = TypeVar("Asked")
Read = TypeVar("Read")


class Chunk(NamedTuple):
    """What is computed and written at a time."""

    sample: str
    chrom: str
    first: int
    """Number of its first window on the chromosome."""
    n_windows: int


@dataclass(frozen=True)
class ChunkReader:
    """Reads the sequence and coverage of chunks.

    Attributes
    ----------
    genome, coverage
        Where from.
    grid
        Where windows lie.
    contrast_bins
        Bins of the model's running mean.
    mask
        Regions in which nothing is called: Chromosome, Start, End.
    skip_silent
        Leave windows out in which there is no informative bin.
    """

    genome: Genome
    coverage: Coverage
    grid: Grid
    contrast_bins: int
    mask: pd.DataFrame
    skip_silent: bool

    def __call__(self, chunk: Chunk) -> tuple[LocusBatch | None, NDArray[np.bool_]]:
        """Sequence and coverage of a chunk, and which windows to read; ``None`` where it is none.

        Left out are windows without an informative bin, those that are masked throughout, and those without a known
        base.
        """
        start = chunk.first * self.grid.hop - self.grid.beyond
        length = self.grid.length(chunk.n_windows)
        windows = self._with_signal(chunk, start + self.grid.halo, length - 2 * self.grid.halo)
        if not windows.any():
            return None, windows
        codes = self.genome.codes([chunk.chrom], [start], length)
        known = codes[0, self.grid.halo : length - self.grid.halo] < UNKNOWN
        windows &= self.grid.in_each_window(known, 1) > 0
        if not windows.any():
            return None, windows
        values, means = track_windows(
            self.coverage, chunk.sample, np.array([chunk.chrom]), np.array([start]), length, self.contrast_bins
        )
        batch = LocusBatch(
            codes=codes,
            coverage=values,
            local_mean=means,
            library_size=np.array([self.coverage.library_size(chunk.sample)]),
            stranded=np.array([self.coverage.stranded(chunk.sample)]),
            label=np.zeros(1, dtype=np.float32),
            centre=np.zeros(1, dtype=np.int64),
        )
        return batch, windows

    def _with_signal(self, chunk: Chunk, start: int, length: int) -> NDArray[np.bool_]:
        step = self.coverage.bin_size
        n_bins = length // step
        masked = masked_bins(self.mask, chunk.chrom, n_bins, step, start // step)
        windows = self.grid.in_each_window(~masked, step) > 0
        if self.skip_silent:
            informative = informative_bins(self.coverage, chunk.sample, chunk.chrom, start, start + length)
            windows &= self.grid.in_each_window(informative, step) > 0
        return windows


def read_ahead(read: Callable[[Asked], Read], asked: Iterable[Asked]) -> Iterator[tuple[Asked, Read]]:
    """Results of ``read`` one after the other; a thread reads the next one while this one is computed with."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        ahead = None
        for one in asked:
            future = reader.submit(read, one)
            if ahead is not None:
                yield ahead[0], ahead[1].result()
            ahead = one, future
        if ahead is not None:
            yield ahead[0], ahead[1].result()
