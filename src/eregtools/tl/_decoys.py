"""Decoys of a biosample: its real coverage beside real sequence, out of register, put through the same calling.

Targets of a scan are windows in which a locus may be found; most give none. A decoy is one such window whose coverage
is read with the sequence some hundred bases away, and the locus, if any, that is called in it. Both have passed the
same selection, so that the scores of those that were called can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools._logging import logger
from eregtools.batches.encode import UNKNOWN
from eregtools.locus_signal import locus_reads, masked_bins
from eregtools.ranges import overlaps
from eregtools.tl._calibration import Calibration
from eregtools.tl._erna_logits import LOCI_AT_A_TIME, locus_logits
from eregtools.tl._erna_windows import locus_windows
from eregtools.tl._loci_from_track import TOKEN, loci_of_track

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models import ERNAformer
    from eregtools.tl._loci_from_track import CallRules
    from eregtools.tl._scan_store import ErnaScan

_BIN = 8
_TRIES = 20
_PER_WINDOW = 4
"""Decoys of one window at most: further ones would say little that is new."""


@dataclass(frozen=True)
class Source:
    """What scores are made from.

    Attributes
    ----------
    scan
        The scan.
    genome, coverage
        Sequence and coverage.
    device
        Where to compute.
    batch_size
        Windows computed together.
    """

    scan: ErnaScan
    genome: Genome
    coverage: Coverage
    device: torch.device
    batch_size: int | None = None

    def networks(self, sample: str) -> Iterator[tuple[list[str], ERNAformer, float]]:
        """Chromosomes of each network, the network, and its temperature."""
        for chromosomes in self.scan.model_keys(sample).values():
            network = self.scan.model(sample, chromosomes[0])
            yield chromosomes, network, Calibration.of(network.provenance).temperature

    def scores(
        self, loci: pd.DataFrame, sample: str, off_register: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Calibrated logits ``(n,)`` of the windows around the centres of loci; NaN without a model or known base.

        ``off_register``: how far the sequence lies from the coverage, in bp ``(n,)``.
        """
        out = np.full(len(loci), np.nan)
        for chromosomes, network, temperature in self.networks(sample):
            rows = np.flatnonzero(loci[Var.chromosome].isin(chromosomes))
            shift = None if off_register is None else off_register[rows]
            logits = locus_logits(
                loci.iloc[rows],
                sample,
                network,
                self.genome,
                self.coverage,
                self.device,
                "both",
                self.batch_size,
                off_register=shift,
            )
            out[rows] = logits / temperature
        return out

    def masked(self, chrom: str) -> NDArray[np.bool_]:
        """Bins of a chromosome in which nothing is called."""
        return masked_bins(self.scan.mask, chrom, -(-self.scan.chrom_sizes[chrom] // TOKEN), TOKEN)

    def closed(self, sample: str, chrom: str) -> NDArray[np.bool_]:
        """Bins that belong to no locus: they are masked, or were not read."""
        return self.masked(chrom) | ~np.isfinite(self.scan.track(sample, chrom))


@dataclass(frozen=True)
class Decoys:
    """Scores of decoys.

    Attributes
    ----------
    scores
        Calibrated logits of the loci that were called out of register ``(n_called,)``.
    n
        Windows that were tried for them.
    """

    scores: NDArray[np.float64]
    n: int


def tried_windows(source: Source, sample: str) -> pd.DataFrame:
    """Windows of a scan in which a locus may be called: Chromosome, Start, End and center of what they keep."""
    hop = int(source.scan.about["hop"])
    found = []
    for chrom in source.scan.scanned(sample):
        free = ~source.closed(sample, chrom)
        keep = hop // TOKEN
        n = -(-len(free) // keep)
        free = np.pad(free, (0, n * keep - len(free))).reshape(n, keep)
        start = np.flatnonzero(free.any(axis=1)) * hop
        found.append(pd.DataFrame({Var.chromosome: chrom, Var.start: start, Var.end: start + hop}))
    windows = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(INTERVAL))
    windows[Var.center] = windows[Var.start] + hop // 2
    return windows


def off_register_decoys(
    source: Source,
    sample: str,
    windows: pd.DataFrame,
    rules: CallRules,
    n: int,
    distance: tuple[int, int],
    rng: np.random.Generator,
) -> Decoys:
    """Call loci in windows whose sequence is taken from elsewhere.

    Parameters
    ----------
    source, sample
        What is scored.
    windows
        Those of the scan, of :func:`tried_windows`.
    rules
        By which loci are called.
    n
        Decoys to draw, matched to the windows in total signal and balance of strands; at most four of a window.
    distance
        Least and largest distance of sequence from coverage, in bp.
    rng
        Source of randomness.
    """
    drawn = windows.iloc[matched_rows(source, sample, windows, min(n, _PER_WINDOW * len(windows)), rng)]
    drawn = drawn.reset_index(drop=True)
    shift, there = shifts(source, drawn, distance, rng)
    if not there.all():
        logger.info("%s: %d of %d decoys have no unmasked sequence near and are left out", sample, (~there).sum(), n)
    drawn, shift = drawn[there].reset_index(drop=True), shift[there]
    loci, rows = _called(source, sample, drawn, shift, rules)
    scores = source.scores(loci, sample, shift[rows])
    return Decoys(scores[np.isfinite(scores)], len(drawn))


def matched_rows(
    source: Source, sample: str, windows: pd.DataFrame, n: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Rows of ``n`` windows that are evenly spread over deciles of signal, and in these over the balance of strands."""
    chroms = windows[Var.chromosome].to_numpy(dtype=object)
    start, end = windows[Var.start].to_numpy(dtype=np.int64), windows[Var.end].to_numpy(dtype=np.int64)
    plus, minus = locus_reads(source.coverage, sample, chroms, start, end)
    total = plus + minus
    decile = np.argsort(np.argsort(total, kind="stable"), kind="stable") * 10 // max(len(total), 1)
    share = np.divide(plus, total, out=np.full(len(total), 0.5), where=total > 0)
    order = np.lexsort([rng.random(len(windows)), np.floor(share * 5), decile])
    place = np.floor((np.arange(n) + rng.random()) * (len(windows) / max(n, 1))).astype(np.int64)
    return order[place]


def shifts(
    source: Source, windows: pd.DataFrame, distance: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How far the sequence of each window is taken from, in either direction, and whether there is any.

    It lies on the chromosome, outside the mask, and is known.
    """
    low, high = distance[0] // _BIN, distance[1] // _BIN
    size = windows[Var.chromosome].map(source.scan.chrom_sizes).to_numpy(dtype=np.int64)
    shift = np.zeros(len(windows), dtype=np.int64)
    left = np.arange(len(windows))
    for _ in range(_TRIES):
        if not len(left):
            break
        drawn = rng.integers(low, high + 1, len(left)) * _BIN * rng.choice((-1, 1), len(left))
        some = windows.iloc[left]
        start, end = some[Var.start].to_numpy() + drawn, some[Var.end].to_numpy() + drawn
        inside = (start >= 0) & (end <= size[left])
        moved = some[[Var.chromosome]].assign(**{Var.start: start, Var.end: end})
        inside &= ~overlaps(moved, source.scan.mask)
        shift[left[inside]] = drawn[inside]
        left = left[~inside]
    there = np.ones(len(windows), dtype=bool)
    there[left] = False
    return shift, there


def _called(
    source: Source, sample: str, windows: pd.DataFrame, shift: NDArray[np.int64], rules: CallRules
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Loci that are called in what windows keep, out of register, and the window of each."""
    tables, of = [], []
    for chromosomes, network, temperature in source.networks(sample):
        closed = {chrom: source.closed(sample, chrom) for chrom in chromosomes}
        mine = np.flatnonzero(windows[Var.chromosome].isin(chromosomes))
        for begin in range(0, len(mine), LOCI_AT_A_TIME):
            rows = mine[begin : begin + LOCI_AT_A_TIME]
            some = windows.iloc[rows]
            logits = _tracks(source, sample, some, shift[rows], network) / np.float32(temperature)
            window, centre = _loci_of_windows(some, logits, closed, rules)
            chroms = some[Var.chromosome].to_numpy(dtype=object)[window]
            tables.append(pd.DataFrame({Var.chromosome: chroms, Var.center: centre}))
            of.append(rows[window])
    found = pd.concat(tables, ignore_index=True)
    return found.assign(**{Var.start: found[Var.center], Var.end: found[Var.center] + 1}), np.concatenate(of)


def _tracks(
    source: Source, sample: str, windows: pd.DataFrame, shift: NDArray[np.int64], network: ERNAformer
) -> NDArray[np.float32]:
    """Track ``(n, 3 * tokens)`` of what each window and its neighbours keep, out of register; NaN: no known base."""
    from eregtools.models.chromosome_scan import Grid, StretchScanner

    grid = Grid.of(network.config, int(source.scan.about["hop"]))
    both = bool(source.scan.about["both_strands"])
    scanner = StretchScanner(network, source.device, grid, both_strands=both, batch_size=source.batch_size)
    wide = replace(network.config, seq_len=grid.length(3) - 2 * grid.halo)
    label = np.zeros(len(windows), dtype=np.float32)
    found = locus_windows(windows, [sample], label, wide, source.genome, source.coverage, off_register=shift)
    batch = found.batch(np.arange(len(windows)))
    logits = scanner.rows(batch)
    middle = batch.codes[:, grid.halo + grid.hop : batch.codes.shape[1] - grid.halo - grid.hop]
    logits[(middle >= UNKNOWN).all(axis=1)] = np.nan
    return logits


def _loci_of_windows(
    windows: pd.DataFrame, logits: NDArray[np.float32], closed: dict[str, NDArray[np.bool_]], rules: CallRules
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Window and centre of each locus whose summit lies in what its window keeps.

    Tracks are put in one row with a closed bin between them, so that none reaches into the next.
    """
    n, width = logits.shape
    begin = windows[Var.start].to_numpy(dtype=np.int64) // TOKEN - width // 3
    shut = np.ones((n, width + 1), dtype=bool)
    chroms = windows[Var.chromosome].to_numpy(dtype=object)
    for chrom, bins in closed.items():
        rows = np.flatnonzero(chroms == chrom)
        place = begin[rows, None] + np.arange(width)
        outside = (place < 0) | (place >= len(bins))
        shut[rows, :width] = outside | bins[np.clip(place, 0, len(bins) - 1)]
    track = np.pad(logits, ((0, 0), (0, 1)))
    summit = loci_of_track(track.reshape(-1), shut.reshape(-1), rules).summit
    window, place = np.divmod(summit, width + 1)
    kept = (place >= width // 3) & (place < 2 * width // 3)
    return window[kept], (begin[window] + place)[kept] * TOKEN + TOKEN // 2
