"""Windows around enhancer-RNA loci: sequence and the channels of strand-aware RNA signal.

Arrays come from a simulation or from a store of coverage alike. Coverage is kept as it was measured, and normalised
when a batch is made, so that it can be thinned before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from eregtools._bins import BIN_SIZE
from eregtools.batches.encode import UNKNOWN
from eregtools.batches.windows import fingerprint, reverse_complement

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_CHANNELS: Final = 5
"""Plus, minus, local contrast of plus, of minus, and whether strands are known."""

_EXCHANGED: Final = np.array([1, 0, 3, 2, 4])
"""Channels of the other strand."""

IGNORED: Final = 2
"""Label of a token that is neither locus nor not."""

CORE, MARGIN = 200, 600
"""Tokens within ``CORE`` bp of a locus' centre are positive; those beyond, up to ``MARGIN``, are ignored."""


@dataclass(frozen=True)
class Squash:
    """How reads per million become signal.

    Attributes
    ----------
    name
        ``"log1p"``: log(1 + scale · x). ``"squash"``: x to the 0.75, softly clipped at 384 as in Borzoi.
    scale
        Factor of reads per million under ``"log1p"``.
    """

    name: str = "log1p"
    scale: float = 10.0

    def __post_init__(self) -> None:
        if self.name not in ("log1p", "squash"):
            raise ValueError(f"transform is {self.name!r}; expected 'log1p' or 'squash'")
        if not self.scale > 0:
            raise ValueError(f"signal_scale is {self.scale}; expected a positive number")

    def __call__(self, per_million: NDArray[np.float32]) -> NDArray[np.float32]:
        """Transform."""
        if self.name == "log1p":
            return np.log1p(np.float32(self.scale) * per_million)
        powered = per_million ** np.float32(0.75)
        return np.where(powered > 384, 383 + np.sqrt(np.maximum(powered - 383, 0)), powered).astype(np.float32)


def running_mean(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Mean of ``width`` neighbouring values along the last axis, where all of them are there.

    Parameters
    ----------
    values
        ``(…, n)``.
    width
        Odd number of values.

    Returns
    -------
    ``(…, n - width + 1)``; value ``i`` is the mean around ``values[i + width // 2]``. It depends on the values alone,
    not on where the array begins, so that it is the same in every window.
    """
    total = np.cumsum(values, axis=-1, dtype=np.float64)
    total = np.concatenate([np.zeros_like(total[..., :1]), total], axis=-1)
    mean = (total[..., width:] - total[..., :-width]) / width
    return np.maximum(mean, 0).astype(np.float32)


def contrast_bins(width: int) -> int:
    """Odd number of bins in a running mean of about ``width`` bp."""
    return 2 * -(-width // (2 * BIN_SIZE)) + 1


def signal_channels(
    coverage: NDArray[np.float32],
    local_mean: NDArray[np.float32],
    library_size: NDArray[np.float64],
    stranded: NDArray[np.bool_],
    squash: Squash,
) -> NDArray[np.float32]:
    """Signal as a model reads it.

    Parameters
    ----------
    coverage, local_mean
        Mean coverage of bins, plus and minus, and its running mean ``(n, 2, bins)``.
    library_size
        Reads of each row's library ``(n,)``.
    stranded
        Whether its strands are known ``(n,)``; where they are not, each strand is half of the sum.
    squash
        Transform of reads per million.

    Returns
    -------
    ``(n, 5, bins)``: plus, minus, both less the same transform of the running mean, and 1 where strands are known.
    """
    per_million = (1e6 / library_size).astype(np.float32)[:, None, None]
    parts = []
    for values in (coverage, local_mean):
        halves = np.repeat(values.mean(axis=1, keepdims=True), 2, axis=1)
        parts.append(squash(np.where(stranded[:, None, None], values, halves) * per_million))
    signal, around = parts
    flag = np.broadcast_to(stranded[:, None, None], (len(signal), 1, signal.shape[-1]))
    return np.concatenate([signal, signal - around, flag.astype(np.float32)], axis=1)


def reverse_signal(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Signal ``(n, 5, bins)`` of the reverse complement: turned round, plus and minus exchanged."""
    return np.ascontiguousarray(signal[:, _EXCHANGED, ::-1])


@dataclass(frozen=True)
class LocusBatch:
    """Loci with their arrays written out, one row each.

    Attributes
    ----------
    codes, coverage, local_mean, library_size, stranded, label, centre
        As in :class:`LocusWindows`, ``(n, …)``.
    """

    codes: NDArray[np.uint8]
    coverage: NDArray[np.float32]
    local_mean: NDArray[np.float32]
    library_size: NDArray[np.float64]
    stranded: NDArray[np.bool_]
    label: NDArray[np.float32]
    centre: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[np.int64]) -> LocusBatch:
        """Those rows."""
        return LocusBatch(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def joined(self, other: LocusBatch) -> LocusBatch:
        """Put other rows after these."""
        names = self.__dataclass_fields__
        return LocusBatch(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))

    def cropped(self, width: int, shift: NDArray[np.int64] | None = None) -> LocusBatch:
        """Middle ``width`` bp of each window, moved by ``shift`` bp ``(n,)``, a multiple of the bin."""
        offset = np.full(len(self), (self.codes.shape[1] - width) // 2 // BIN_SIZE * BIN_SIZE)
        offset = offset if shift is None else offset + shift
        codes = np.take_along_axis(self.codes, offset[:, None] + np.arange(width), axis=1)
        bins = (offset[:, None] // BIN_SIZE + np.arange(width // BIN_SIZE))[:, None]
        coverage, local_mean = (np.take_along_axis(v, bins, axis=2) for v in (self.coverage, self.local_mean))
        return replace(self, codes=codes, coverage=coverage, local_mean=local_mean, centre=self.centre - offset)

    def turned(self, rows: NDArray[np.bool_]) -> LocusBatch:
        """Reverse complement of those rows: sequence and coverage turned round, strands exchanged."""
        codes, centre = self.codes.copy(), self.centre.copy()
        coverage, local_mean = self.coverage.copy(), self.local_mean.copy()
        codes[rows] = reverse_complement(codes[rows])
        coverage[rows] = coverage[rows, ::-1, ::-1]
        local_mean[rows] = local_mean[rows, ::-1, ::-1]
        centre[rows] = codes.shape[1] - 1 - centre[rows]
        return replace(self, codes=codes, coverage=coverage, local_mean=local_mean, centre=centre)

    def signal(self, squash: Squash) -> NDArray[np.float32]:
        """Channels of signal ``(n, 5, bins)``."""
        return signal_channels(self.coverage, self.local_mean, self.library_size, self.stranded, squash)

    def token_labels(self, seq_len: int, token: int, core: int = CORE, margin: int = MARGIN) -> NDArray[np.uint8]:
        """Label of each token ``(n, seq_len // token)``: 1 within ``core`` of a positive's centre, else 0.

        :data:`IGNORED` up to ``margin``.
        """
        halo = (self.codes.shape[1] - seq_len) // 2
        middle = halo + np.arange(seq_len // token) * token + (token - 1) / 2
        away = np.abs(middle - self.centre[:, None])
        labels = np.where(away <= core, 1, np.where(away <= margin, IGNORED, 0))
        return np.where(self.label[:, None] == 1, labels, 0).astype(np.uint8)


@dataclass(frozen=True)
class LocusWindows:
    """Loci as pairs of a sequence and a track; each sequence and each track is stored once.

    Attributes
    ----------
    codes
        Sequence ``(n_sequences, width)``.
    coverage
        Mean coverage of 8-bp bins of the same windows as measured, plus and minus ``(n_tracks, 2, width // 8)``.
    local_mean
        Its running mean, of the same shape.
    library_size
        Reads of each track's library ``(n_tracks,)``.
    stranded
        Whether the library tells strands ``(n_tracks,)``.
    sequence, track
        Rows of these that make a locus ``(n,)``.
    label
        1 or 0 ``(n,)``.
    centre
        Position of the locus in its window ``(n,)``; read for positives only.
    """

    codes: NDArray[np.uint8]
    coverage: NDArray[np.float32]
    local_mean: NDArray[np.float32]
    library_size: NDArray[np.float64]
    stranded: NDArray[np.bool_]
    sequence: NDArray[np.int64]
    track: NDArray[np.int64]
    label: NDArray[np.float32]
    centre: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def width(self) -> int:
        """Length of a window in bp."""
        return self.codes.shape[1]

    def check(self) -> None:
        """Refuse arrays that are no such windows.

        Raises
        ------
        ValueError
            Shapes do not agree, coverage is negative or not a number, or a library has no reads.
        """
        shape = (len(self.coverage), 2, self.width // BIN_SIZE)
        for name in ("coverage", "local_mean"):
            found = getattr(self, name)
            if found.shape != shape or self.width % BIN_SIZE:
                raise ValueError(
                    f"{name} has shape {found.shape}; expected {shape} for windows of {self.width} bp in bins of "
                    f"{BIN_SIZE}"
                )
            if not np.isfinite(found).all() or found.min(initial=0) < 0:
                raise ValueError(f"{name} holds values that are negative or not a number; expected coverage from 0 on")
        if not (np.isfinite(self.library_size).all() and (self.library_size > 0).all()):
            raise ValueError(f"library_size holds {self.library_size.min(initial=np.inf):g}; expected positive numbers")

    def take(self, rows: NDArray[np.int64]) -> LocusWindows:
        """Those loci; sequences and tracks stay shared."""
        picked = {name: getattr(self, name)[rows] for name in ("sequence", "track", "label", "centre")}
        return replace(self, **picked)

    def batch(self, rows: NDArray[np.int64]) -> LocusBatch:
        """Arrays of those loci."""
        s, t = self.sequence[rows], self.track[rows]
        return LocusBatch(
            self.codes[s],
            self.coverage[t],
            self.local_mean[t],
            self.library_size[t],
            self.stranded[t],
            self.label[rows],
            self.centre[rows],
        )

    def known(self) -> LocusWindows:
        """Loci whose sequence holds at least one known base."""
        readable = np.asarray((self.codes < UNKNOWN).any(axis=1))
        return self.take(np.flatnonzero(readable[self.sequence]))

    def fingerprint(self) -> str:
        """Hash (sha256) of everything a model could learn from."""
        return fingerprint([getattr(self, name) for name in self.__dataclass_fields__])


@dataclass(frozen=True)
class LocusAugmentation:
    """Changes of training loci.

    Attributes
    ----------
    reverse_complement
        Turn each locus round with probability one half.
    jitter
        Move each window by up to so many bp, in whole bins.
    thinning
        Keep a share of the reads, between 1 and 1 over this number, uniform in its logarithm; 1: all.
    strand_dropout
        Probability that the strands of a locus are hidden.
    modality_dropout
        Probability that one modality, either with equal chance, is hidden.
    gain
        Multiply the signal by up to this share more or less.
    off_register
        Probability that a positive is shown a second time as a negative, its coverage moved against its sequence.
    least_shift
        By at least so many bp; at most a quarter of the window.
    """

    reverse_complement: bool = True
    jitter: int = 128
    thinning: float = 16.0
    strand_dropout: float = 0.3
    modality_dropout: float = 0.1
    gain: float = 0.1
    off_register: float = 0.1
    least_shift: int = 1_000

    def __post_init__(self) -> None:
        for name in ("strand_dropout", "modality_dropout", "gain", "off_register"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number from 0 to below 1")
        if self.thinning < 1:
            raise ValueError(f"thinning is {self.thinning}; expected at least 1")
        if self.jitter < 0 or self.jitter % BIN_SIZE:
            raise ValueError(f"jitter is {self.jitter}; expected a multiple of {BIN_SIZE} bp")

    @classmethod
    def strands_only(cls) -> LocusAugmentation:
        """Reverse complements and nothing else."""
        return cls(True, 0, 1.0, 0.0, 0.0, 0.0, 0.0)

    def __call__(self, batch: LocusBatch, width: int, rng: np.random.Generator) -> LocusBatch:
        """Change loci; windows come out ``width`` bp long, extra negatives at the end."""
        n = len(batch)
        shift = np.zeros(n, dtype=np.int64)
        if self.jitter:
            steps = self.jitter // BIN_SIZE
            shift = rng.integers(-steps, steps + 1, n) * BIN_SIZE
        batch = batch.cropped(width, shift)
        if self.off_register:
            moved = np.flatnonzero((batch.label == 1) & (rng.random(n) < self.off_register))
            batch = batch.joined(off_register(batch.take(moved), self.least_shift, rng))
        n = len(batch)
        if self.reverse_complement:
            batch = batch.turned(rng.random(n) < 0.5)
        if self.thinning > 1:
            share = self.thinning ** -rng.random(n)
            batch = replace(
                batch,
                coverage=thin(batch.coverage, share, rng),
                local_mean=batch.local_mean * share.astype(np.float32)[:, None, None],
                library_size=batch.library_size * share,
            )
        if self.gain:
            factor = rng.uniform(1 - self.gain, 1 + self.gain, n).astype(np.float32)[:, None, None]
            batch = replace(batch, coverage=batch.coverage * factor, local_mean=batch.local_mean * factor)
        if self.strand_dropout:
            batch = replace(batch, stranded=batch.stranded & (rng.random(n) >= self.strand_dropout))
        return batch

    def hidden(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Rows whose sequence, and rows whose signal is hidden; none loses both."""
        drawn = rng.random(n)
        return drawn < self.modality_dropout / 2, drawn > 1 - self.modality_dropout / 2


def off_register(batch: LocusBatch, least_shift: int, rng: np.random.Generator) -> LocusBatch:
    """Loci as negatives: real sequence, real coverage, moved against it around the window."""
    bins = batch.coverage.shape[-1]
    least = min(least_shift // BIN_SIZE, bins // 4)
    shift = rng.integers(least, bins - least + 1, len(batch))
    source = (np.arange(bins) - shift[:, None])[:, None] % bins
    coverage, local_mean = (np.take_along_axis(v, source, axis=2) for v in (batch.coverage, batch.local_mean))
    return replace(batch, coverage=coverage, local_mean=local_mean, label=np.zeros_like(batch.label))


def thin(
    coverage: NDArray[np.float32], share: NDArray[np.float64], rng: np.random.Generator, read_bins: int = 9
) -> NDArray[np.float32]:
    """Coverage of a shallower library: each read is kept with the probability ``share``.

    Reads are not known, only their coverage: as many of them as it holds begin evenly under it, and a bin keeps what is
    kept of those that reach it. Neighbouring bins share reads, as they do in a library.

    Parameters
    ----------
    coverage
        ``(n, 2, bins)``.
    share
        ``(n,)``.
    rng
        Source of randomness.
    read_bins
        Bins that a read covers.
    """
    expected = coverage.astype(np.float64) / read_bins
    begun = np.floor(expected + rng.random(coverage.shape)).astype(np.int64)
    kept = rng.binomial(begun, share[:, None, None])
    reach = [(0, 0), (0, 0), (read_bins // 2, read_bins - 1 - read_bins // 2)]
    sums = [
        np.lib.stride_tricks.sliding_window_view(np.pad(v, reach), read_bins, axis=-1).sum(-1) for v in (begun, kept)
    ]
    ratio = np.where(sums[0] > 0, sums[1] / np.maximum(sums[0], 1), share[:, None, None])
    return (coverage * ratio).astype(np.float32)
