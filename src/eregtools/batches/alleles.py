"""Sequence of windows in which a variant's reference allele is replaced by its alternative allele."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eregtools._fasta import encode_letters
from eregtools.batches.encode import PADDING, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from eregtools.genome import Genome


@dataclass(frozen=True)
class Alleles:
    """Variants of a genome.

    Attributes
    ----------
    chrom
        ``(n,)``, in the genome's spelling.
    start, end
        Reference allele, 0-based half-open ``(n,)``; of the same length where bases are only inserted.
    alternative
        Alternative allele, letters ``(n,)``; empty where bases are only removed.
    """

    chrom: NDArray[np.object_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    alternative: Sequence[str]

    def __len__(self) -> int:
        return len(self.start)

    def codes(self, number: int) -> NDArray[np.uint8]:
        """Alternative allele of one variant as codes."""
        letters = bytearray(self.alternative[number].encode())
        return encode_letters(np.frombuffer(letters, dtype=np.uint8))


def element_window_starts(starts: NDArray[np.int64], ends: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """First position of the windows in which :func:`eregtools.batches.encode.element_windows` places elements."""
    widths = ends - starts
    return np.where(widths <= length, starts - (length // 2 - widths // 2), (starts + ends) // 2 - length // 2)


def altered_windows(
    genome: Genome,
    alleles: Alleles,
    number: NDArray[np.int64],
    windows: NDArray[np.uint8],
    starts: NDArray[np.int64],
    anchors: NDArray[np.int64],
    bounds: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> NDArray[np.uint8]:
    """Windows of the altered chromosomes, as long as before.

    Where the alternative allele has another length, the window is cut again from the altered sequence such that the
    base at its anchor keeps its place: what lies to the right of a variant at or after the anchor is shifted, and
    what lies to the left of one before it.

    Parameters
    ----------
    genome
        The reference.
    alleles
        Variants.
    number
        Variant of each window ``(m,)``.
    windows
        Reference sequence of the windows, codes ``(m, length)``.
    starts, anchors
        First position and anchor of each window ``(m,)``.
    bounds
        First and one-past-last position of the element in each window, beyond which there is padding; ``None``: the
        windows hold whatever is there.

    Returns
    -------
    Codes ``(m, length)``.
    """
    out = windows.copy()
    length = windows.shape[1]
    size = np.array([len(text) for text in alleles.alternative], dtype=np.int64)[number]
    same = size == (alleles.end - alleles.start)[number]
    for row in np.flatnonzero(same):
        at = alleles.start[number[row]] - starts[row] + np.arange(size[row])
        inside = (at >= 0) & (at < length)
        inside[inside] &= out[row, at[inside]] != PADDING
        out[row, at[inside]] = alleles.codes(int(number[row]))[inside]
    for row in np.flatnonzero(~same):
        limits = None if bounds is None else (int(bounds[0][row]), int(bounds[1][row]))
        out[row] = _cut_again(genome, alleles, int(number[row]), int(starts[row]), length, int(anchors[row]), limits)
    return out


def _cut_again(
    genome: Genome,
    alleles: Alleles,
    number: int,
    start: int,
    length: int,
    anchor: int,
    bounds: tuple[int, int] | None,
) -> NDArray[np.uint8]:
    first, last = int(alleles.start[number]), int(alleles.end[number])
    new = alleles.codes(number)
    removed = max(last - first - len(new), 0)
    left, right = min(start - removed, first), max(start + length + removed, last)
    reference = genome.codes([str(alleles.chrom[number])], np.array([left]), right - left)[0]
    # Each base of the altered sequence with its position in the reference; inserted ones share that of a neighbour.
    own = np.minimum(first + np.arange(len(new)), max(last - 1, first))
    codes = np.concatenate([reference[: first - left], new, reference[last - left :]])
    position = np.concatenate([np.arange(left, first), own, np.arange(last, right)])
    if bounds is not None:
        inside = (position >= bounds[0]) & (position < bounds[1])
        codes, position = codes[inside], position[inside]
    place = np.arange(len(codes)) - np.searchsorted(position, anchor) + anchor - start
    kept = (place >= 0) & (place < length)
    out = np.full(length, UNKNOWN if bounds is None else PADDING, dtype=np.uint8)
    out[place[kept]] = codes[kept]
    return out
