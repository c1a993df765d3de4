"""Where grammar and RNA of simulated loci lie: the relation of positives, its absence, and the strata of negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRATA: Final = {
    "silent": 0.25,
    "misalign": 0.25,
    "swap": 0.10,
    "poised": 0.10,
    "uni": 0.10,
    "read": 0.10,
    "intron": 0.05,
    "zero": 0.05,
}
"""Share of each kind among the negatives of the task ``confounders``."""

JITTER: Final = 24
"""Grammar and centre of RNA of a positive are this many bp out of place at most."""

APART: Final = 150
"""What separates a negative's distance from that of any positive, at least."""

_TRIES: Final = 200

REACH: Final = 256
"""Loci lie within this many bp of the middle of their window."""

FAR: Final = 320
"""Distance of grammar and RNA in the task ``align-long``, on either side."""


@dataclass(frozen=True)
class Placement:
    """Law of the places of grammar and RNA in a window.

    Attributes
    ----------
    middle
        Middle of the window.
    offset
        Distance between grammar and centre of RNA in a positive, to either side; 0: they coincide.
    """

    middle: int
    offset: int = 0

    @property
    def grammar_places(self) -> NDArray[np.int64]:
        """Places where grammar can be, ascending."""
        far = REACH + self.offset // 2
        return np.arange(self.middle - far, self.middle + far)

    @property
    def rna_places(self) -> NDArray[np.int64]:
        """Places where the centre of RNA can be, ascending."""
        far = REACH + self.offset // 2
        return np.arange(self.middle - far - JITTER, self.middle + far + JITTER)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of grammar and of RNA of positives, two arrays ``(n,)``."""
        middle = self.middle + rng.integers(-REACH, REACH, n)
        side = rng.choice((-1, 1), n) * (self.offset // 2)
        return middle - side, middle + side + rng.integers(-JITTER, JITTER + 1, n)

    def apart(self, grammar: NDArray[np.int64], rna: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether places are too far from the relation of positives to be one."""
        return np.asarray(np.abs(np.abs(rna - grammar) - self.offset) >= APART)

    def positives(self) -> NDArray[np.float64]:
        """Probability of each pair of places in a positive ``(n_grammar_places, n_rna_places)``."""
        grammar, rna = self.grammar_places, self.rna_places
        joint = np.zeros((len(grammar), len(rna)))
        middle = np.arange(self.middle - REACH, self.middle + REACH)
        for side in (-(self.offset // 2), self.offset // 2):
            for jitter in range(-JITTER, JITTER + 1):
                joint[middle - side - grammar[0], middle + side + jitter - rna[0]] += 1
        return joint / joint.sum()

    def repaired(self) -> NDArray[np.float64]:
        """Probability of each pair of places when positives are re-paired at random among those that are apart.

        The permutation keeps every place, so the marginals are those of positives (iterative proportional fitting).
        """
        target = self.positives()
        joint = self.apart(self.grammar_places[:, None], self.rna_places[None]).astype(np.float64)
        rows, columns = target.sum(axis=1), target.sum(axis=0)
        for _ in range(200):
            joint *= (rows / joint.sum(axis=1))[:, None]
            joint *= (columns / joint.sum(axis=0))[None]
        return joint

    def misaligned(self) -> NDArray[np.float64]:
        """Probability of each pair of places when the centre of RNA is drawn anywhere apart from the grammar."""
        grammar, rna = self.grammar_places, self.rna_places
        joint = self.apart(grammar[:, None], rna[None]).astype(np.float64)
        joint[:, np.abs(rna - self.middle) > REACH] = 0
        return joint / joint.sum(axis=1, keepdims=True) / len(grammar)

    def draw_misaligned(self, rng: np.random.Generator, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of grammar, and of RNA apart from it."""
        grammar, _ = self.draw(rng, n)
        rna = np.zeros(n, dtype=np.int64)
        left = np.arange(n)
        while len(left):
            rna[left] = self.middle + rng.integers(-REACH, REACH + 1, len(left))
            left = left[~self.apart(grammar[left], rna[left])]
        return grammar, rna


def repair(
    rng: np.random.Generator, placement: Placement, grammar: NDArray[np.int64], rna: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Permutation that gives each grammar the RNA of another pair, apart from it.

    A random permutation, in which pairs that are not apart exchange their RNA with random others as long as there are
    any; an exchange counts only if both become apart. Where few pairs leave no such exchange, an assignment is solved.

    Raises
    ------
    ValueError
        No such permutation is found: there are too few pairs.
    """
    n = len(grammar)
    order = rng.permutation(n)
    wrong = np.flatnonzero(~placement.apart(grammar, rna[order])).tolist()
    tries = _TRIES * n
    while wrong:
        i = wrong[-1]
        if bool(placement.apart(grammar[i], rna[order[i]])):
            wrong.pop()
            continue
        tries -= 1
        if tries < 0:
            return _assigned(rng, placement, grammar, rna)
        j = int(rng.integers(n))
        if placement.apart(grammar[i], rna[order[j]]) and placement.apart(grammar[j], rna[order[i]]):
            order[i], order[j] = order[j], order[i]
            wrong.pop()
    return order


def _assigned(
    rng: np.random.Generator, placement: Placement, grammar: NDArray[np.int64], rna: NDArray[np.int64]
) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment

    apart = placement.apart(grammar[:, None], rna[None])
    try:
        _, order = linear_sum_assignment(np.where(apart, rng.random(apart.shape), np.inf))
    except ValueError:
        raise ValueError(
            f"{len(grammar)} pairs cannot be re-paired at least {APART} bp apart; simulate more pairs"
        ) from None
    return np.asarray(order, dtype=np.int64)


def strata_sizes(n: int) -> dict[str, int]:
    """Negatives of each stratum among ``n``, in the shares of :data:`STRATA`."""
    bounds = np.rint(np.cumsum([0.0, *STRATA.values()]) * n).astype(int)
    return {name: int(size) for name, size in zip(STRATA, np.diff(bounds), strict=True)}
