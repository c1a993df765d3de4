"""Sequence of simulated enhancer-RNA loci: independent bases, two motifs, and what the motifs are worth exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from eregtools.batches.encode import UNKNOWN
from eregtools.datasets._grammar import background, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOTIFS: Final = ("TGACTCA", "ACCGGAAGT")
"""AP-1-like and ETS-like consensus; both of odd length, so that each has a base in its middle."""

SPACINGS: Final = tuple(range(18, 40))
"""Distances between the middles of the two motifs."""

_CONSENSUS: Final = 0.88
_OTHER: Final = (1 - _CONSENSUS) / 3
_GC_STEPS: Final = (-1.6, -0.8, 0.0, 0.8, 1.6)
_GC_WEIGHTS: Final = (0.1, 0.24, 0.32, 0.24, 0.1)


@dataclass(frozen=True)
class SequenceLaw:
    """How the sequence of a window is drawn.

    Attributes
    ----------
    length
        Length of a window in bp.
    gc
        Share of G and C.
    gc_sd
        How far the share differs between windows; 0: not at all.
    lone_motifs
        Mean number of single motifs of a window, anywhere, whether or not it holds the grammar.
    """

    length: int
    gc: float = 0.42
    gc_sd: float = 0.0
    lone_motifs: float = 0.0

    def __post_init__(self) -> None:
        if self.lone_motifs < 0:
            raise ValueError(f"lone_motifs is {self.lone_motifs}; expected a mean number of at least 0")
        lowest, highest = self.levels()[0][[0, -1]]
        if self.gc_sd < 0 or not 0 < lowest <= highest < 1:
            raise ValueError(f"gc={self.gc} and gc_sd={self.gc_sd} leave the shares between 0 and 1; lower gc_sd")

    def levels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares of G and C that windows have, and how frequent each is."""
        if self.gc_sd == 0:
            return np.array([self.gc]), np.ones(1)
        return self.gc + self.gc_sd * np.array(_GC_STEPS), np.array(_GC_WEIGHTS)


def draw_sequences(rng: np.random.Generator, law: SequenceLaw, grammar: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Windows with the grammar around a position.

    Parameters
    ----------
    rng
        Source of randomness.
    law
        What is drawn.
    grammar
        Middle of the pair of motifs in each window ``(n,)``; negative: none.

    Returns
    -------
    Codes ``(n, length)``.
    """
    levels, weights = law.levels()
    level = levels[rng.choice(len(levels), size=len(grammar), p=weights)]
    codes = np.stack([background(rng, law.length, gc) for gc in level]) if len(level) else np.empty((0, law.length))
    codes = codes.astype(np.uint8)
    for row in np.repeat(np.arange(len(codes)), rng.poisson(law.lone_motifs, len(codes))).tolist():
        motif = MOTIFS[rng.integers(2)]
        at = int(rng.integers(len(motif), law.length - len(motif)))
        plant_motif(rng, codes, np.array([row]), np.array([at]), motif)
    plant_grammar(rng, codes, np.flatnonzero(grammar >= 0), grammar[grammar >= 0])
    return codes


def plant_grammar(
    rng: np.random.Generator, codes: NDArray[np.uint8], rows: NDArray[np.int64], middle: NDArray[np.int64]
) -> None:
    """Write a pair of motifs around positions, in place: either order, either strand of each, 18 to 39 bp apart.

    ``rows`` of ``codes`` may repeat: a chromosome is one row with many positions.
    """
    n = len(rows)
    spacing = rng.choice(SPACINGS, size=n)
    left = middle - (spacing + rng.integers(0, 2, n)) // 2
    first = rng.integers(0, 2, n)
    for number, motif in enumerate(MOTIFS):
        plant_motif(rng, codes, rows, np.where(first == number, left, left + spacing), motif)


def plant_motif(
    rng: np.random.Generator, codes: NDArray[np.uint8], rows: NDArray[np.int64], middle: NDArray[np.int64], motif: str
) -> None:
    """Write instances of a motif, drawn from its frequencies, on random strands, in place."""
    word = encode(motif)
    letters = np.repeat(word[None], len(rows), axis=0)
    other = rng.random(letters.shape) >= _CONSENSUS
    letters[other] = (letters[other] + rng.integers(1, 4, int(other.sum()))) % 4
    turned = rng.random(len(rows)) < 0.5
    letters[turned] = 3 - letters[turned, ::-1]
    codes[rows[:, None], middle[:, None] + np.arange(len(word)) - len(word) // 2] = letters


def grammar_ratios(codes: NDArray[np.uint8], law: SequenceLaw, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Likelihood ratio ``(n, n_places)`` of each window with the grammar at each place against background.

    Exact: motifs replace independent bases, so bases outside them cancel; strands, order and spacing are averaged, and
    where windows differ in GC, so is what their composition says of it.

    Raises
    ------
    ValueError
        The law has lone motifs, for which no exact ratio is computed.
    """
    if law.lone_motifs:
        raise ValueError("no exact score is known for sequence with lone_motifs; simulate with lone_motifs=0")
    levels, weights = law.levels()
    strong = np.isin(codes, (1, 2)).sum(axis=1)
    weak = np.isin(codes, (0, 3)).sum(axis=1)
    log_weight = np.log(weights) + strong[:, None] * np.log(levels / 2) + weak[:, None] * np.log((1 - levels) / 2)
    of_level = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    of_level /= of_level.sum(axis=1, keepdims=True)
    out = np.zeros((len(codes), len(places)))
    for number, gc in enumerate(levels):
        out += of_level[:, [number]] * _pair_ratios(codes, float(gc), places)
    return out


def _pair_ratios(codes: NDArray[np.uint8], gc: float, places: NDArray[np.int64]) -> NDArray[np.float64]:
    single = [_motif_ratios(codes, motif, gc) for motif in MOTIFS]
    lowest, highest = int(places.min()), int(places.max()) + 1
    out = np.zeros((len(codes), highest - lowest))
    for spacing in SPACINGS:
        for rounding in (0, 1):
            back = (spacing + rounding) // 2
            for first, second in (single, single[::-1]):
                ahead = spacing - back
                out += first[:, lowest - back : highest - back] * second[:, lowest + ahead : highest + ahead]
    return out[:, places - lowest] / (4 * len(SPACINGS))


def _motif_ratios(codes: NDArray[np.uint8], motif: str, gc: float) -> NDArray[np.float64]:
    """Likelihood ratio of an instance with its middle at each position, on either strand; 1 where it does not fit."""
    background_of = np.array([(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2])
    word = encode(motif)
    frequencies = np.full((len(word), 4), _OTHER)
    frequencies[np.arange(len(word)), word] = _CONSENSUS
    n, length = codes.shape
    half = len(word) // 2
    out = np.ones((n, length))
    inner = length - len(word) + 1
    both = np.zeros((n, inner))
    for table in (frequencies, frequencies[::-1, ::-1]):
        ratio = np.ones((n, inner))
        for k, odds in enumerate(table / background_of):
            ratio *= np.append(odds, [1.0] * 2)[np.minimum(codes[:, k : k + inner], UNKNOWN)]
        both += ratio / 2
    out[:, half : half + inner] = both
    return out
