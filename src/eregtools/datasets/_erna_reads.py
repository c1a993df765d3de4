"""RNA of simulated loci: where reads begin, what coverage they make, and what they are worth exactly.

Reads are drawn on a coordinate axis of any length, so that windows and whole chromosomes are made by the same law.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLUS, MINUS = 0, 1


class Reads(NamedTuple):
    """First bases (5′ ends) of reads."""

    row: NDArray[np.int64]
    """Window, or chromosome, of each read."""
    position: NDArray[np.int64]
    strand: NDArray[np.int64]
    """0 plus, 1 minus."""


@dataclass(frozen=True)
class ReadLaw:
    """How reads of a locus are distributed.

    Attributes
    ----------
    reads
        Expected reads of a locus, one of these numbers.
    plus_shares
        Share of them on the plus strand.
    gaps
        Distance between the two starts of transcription in bp, even numbers.
    decay
        Reads begin this many bp downstream of the start on average.
    background
        Reads that begin at a base of either strand by chance.
    read_length
        Length of a read in bp.
    """

    reads: tuple[float, ...] = (20.0, 40.0, 80.0)
    plus_shares: tuple[float, ...] = (0.2, 0.35, 0.5, 0.65, 0.8)
    gaps: tuple[int, ...] = (40, 80, 120, 200)
    decay: float = 150.0
    background: float = 0.004
    read_length: int = 75

    def __post_init__(self) -> None:
        for name in ("reads", "plus_shares", "gaps"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if not values or min(values) <= 0:
                raise ValueError(f"{name} is {values}; expected positive numbers")
        if max(self.plus_shares) >= 1:
            raise ValueError(f"plus_shares is {self.plus_shares}; expected numbers between 0 and 1")
        if any(gap % 2 for gap in self.gaps):
            raise ValueError(f"gaps is {self.gaps}; expected even numbers")
        for name in ("decay", "background", "read_length"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a positive number")


@dataclass(frozen=True)
class Locus:
    """Parameters of transcription at places, arrays ``(n,)``.

    Attributes
    ----------
    centre
        Middle between the two starts.
    reads, plus_share, gap
        As in :class:`ReadLaw`.
    """

    centre: NDArray[np.int64]
    reads: NDArray[np.float64]
    plus_share: NDArray[np.float64]
    gap: NDArray[np.int64]

    @classmethod
    def draw(cls, rng: np.random.Generator, law: ReadLaw, centre: NDArray[np.int64]) -> Locus:
        """Draw the parameters of loci at the centres."""
        n = len(centre)
        return cls(centre, rng.choice(law.reads, n), rng.choice(law.plus_shares, n), rng.choice(law.gaps, n))


def divergent_reads(
    rng: np.random.Generator, row: NDArray[np.int64], locus: Locus, decay: float, strands: Iterable[int] = (PLUS, MINUS)
) -> Reads:
    """Draw reads of bidirectional transcription: plus strand to the right of the centre, minus strand to the left."""
    parts = []
    for strand in strands:
        share = locus.plus_share if strand == PLUS else 1 - locus.plus_share
        owner = np.repeat(np.arange(len(row)), rng.poisson(locus.reads * share))
        away = locus.gap[owner] // 2 + _decaying(rng, len(owner), decay)
        position = locus.centre[owner] + (away if strand == PLUS else -away)
        parts.append(Reads(row[owner], position, np.full(len(owner), strand)))
    return joined(parts)


def edge_reads(
    rng: np.random.Generator, row: NDArray[np.int64], reads: NDArray[np.float64], length: int, decay: float
) -> Reads:
    """Read-through: one strand, from the edge at which its transcription enters, ever fewer."""
    strand = rng.integers(0, 2, len(row))
    owner = np.repeat(np.arange(len(row)), rng.poisson(reads))
    away = _decaying(rng, len(owner), decay)
    position = np.where(strand[owner] == PLUS, away, length - 1 - away)
    return Reads(row[owner], position, strand[owner])


def uniform_reads(rng: np.random.Generator, row: NDArray[np.int64], reads: NDArray[np.float64], length: int) -> Reads:
    """Draw reads of one strand, anywhere."""
    strand = rng.integers(0, 2, len(row))
    owner = np.repeat(np.arange(len(row)), rng.poisson(reads))
    return Reads(row[owner], rng.integers(0, length, len(owner)), strand[owner])


def background_reads(rng: np.random.Generator, row: NDArray[np.int64], start: int, end: int, rate: float) -> Reads:
    """Draw reads of both strands that begin anywhere from ``start`` to ``end`` by chance."""
    owner = np.repeat(row, rng.poisson(2 * rate * (end - start), len(row)))
    return Reads(owner, rng.integers(start, end, len(owner)), rng.integers(0, 2, len(owner)))


def _decaying(rng: np.random.Generator, n: int, decay: float) -> NDArray[np.int64]:
    return np.floor(rng.exponential(decay, n)).astype(np.int64)


def joined(parts: Iterable[Reads]) -> Reads:
    """All reads of several draws."""
    rows, positions, strands = zip(*parts, strict=True)
    return Reads(*(np.concatenate(column).astype(np.int64) for column in (rows, positions, strands)))


def within(reads: Reads, start: int, end: int) -> Reads:
    """Keep reads that begin there."""
    kept = (reads.position >= start) & (reads.position < end)
    return Reads(*(column[kept] for column in reads))


def unstranded(rng: np.random.Generator, reads: Reads) -> Reads:
    """Let each read be of either strand, as in a library that does not tell them."""
    return reads._replace(strand=rng.integers(0, 2, len(reads.strand)))


def relabelled(reads: Reads, strand: NDArray[np.int64], read_length: int) -> Reads:
    """Give reads another strand and the same bases: the first base of one whose strand changes is what was its last."""
    last = reads.position + np.where(reads.strand == PLUS, 1, -1) * (read_length - 1)
    return reads._replace(position=np.where(strand == reads.strand, reads.position, last), strand=strand)


def counts_of(reads: Reads, n: int, length: int) -> NDArray[np.uint16]:
    """Count reads that begin at each base ``(n, 2, length)``; all of them within the axis."""
    flat = (reads.row * 2 + reads.strand) * length + reads.position
    return np.bincount(flat, minlength=n * 2 * length).reshape(n, 2, length).astype(np.uint16)


def coverage_of(reads: Reads, n: int, start: int, end: int, read_length: int, bin_size: int) -> NDArray[np.float32]:
    """Mean coverage of bins ``(n, 2, (end - start) // bin_size)``: each read covers its length downstream."""
    length = end - start
    first = np.where(reads.strand == PLUS, reads.position, reads.position - read_length + 1) - start
    base = (reads.row * 2 + reads.strand) * (length + 1)
    steps = np.zeros(n * 2 * (length + 1), dtype=np.int32)
    np.add.at(steps, base + first.clip(0, length), 1)
    np.add.at(steps, base + (first + read_length).clip(0, length), -1)
    depth = steps.reshape(n, 2, length + 1)[..., :-1].cumsum(axis=-1, dtype=np.int32)
    return depth.reshape(n, 2, -1, bin_size).mean(axis=-1, dtype=np.float32)
