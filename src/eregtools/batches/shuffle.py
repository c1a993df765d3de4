"""Sequences shuffled such that every dinucleotide occurs as often as before.

What a model makes of them is what it knows without motifs: composition, length, and whatever else it is given.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from eregtools.batches.encode import PADDING, occupied

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_LETTERS = PADDING
"""Letters that are shuffled: the bases and the unknown one."""

_FIXED = 3
"""Length up to which a sequence has no other order."""

_POSITIONS_PER_CHUNK = 2_000_000
_ROWS_PER_CHUNK = 4_096

# A successor as one number, so that sorting puts the successors of a letter together, in random order, with the
# last exit at the end: 4 bits of the letter, 1 bit for the last exit, 56 random bits, 3 bits of the successor.
_LETTER_SHIFT, _EXIT_SHIFT, _SUCCESSOR_BITS = np.uint64(60), np.uint64(59), np.uint64(3)
_RANDOM_SHIFT = np.uint64(8)
_NOWHERE = np.uint64(15)


def dinucleotide_shuffle(codes: NDArray[np.uint8], names: Iterable[str], seed: int) -> NDArray[np.uint8]:
    """Shuffle sequences with their dinucleotides kept.

    First letter, last letter and the number of each dinucleotide stay as they are; all sequences of which that is
    true are equally likely. The unknown base counts as a letter of its own, and padding at either end stays where it
    is.

    Parameters
    ----------
    codes
        Sequences ``(n, length)``: 0–3 bases, 4 unknown, 5 padding.
    names
        Name of each sequence. A sequence is shuffled by its name and the seed: the same beside whatever others, and
        in a window of whatever length.
    seed
        Of all sequences together.

    Returns
    -------
    Codes ``(n, length)``, a new array.

    Raises
    ------
    ValueError
        There is padding between letters, or not a name for each sequence.

    Notes
    -----
    Altschul and Erickson 1985: a sequence is a walk along the edges from each letter to the next one, and each walk
    along the same edges is a sequence with the same dinucleotides. The last exit of each letter must lead, from exit
    to exit, to the last letter of the sequence; the order of all others is free. As there are five letters, the
    possible sets of last exits are few (125 trees), and one is drawn in proportion to the edges that it can be made
    of, without rejection.

    Examples
    --------
    >>> import numpy as np
    >>> codes = np.array([[5, 0, 1, 2, 0, 3, 0, 1, 5]], dtype=np.uint8)
    >>> dinucleotide_shuffle(codes, ["chr1:100-107"], seed=1)
    array([[5, 0, 3, 0, 1, 2, 0, 1, 5]], dtype=uint8)
    """
    keys = _keys(names)
    if len(keys) != len(codes):
        raise ValueError(f"there are {len(keys)} names for {len(codes)} sequences; each needs one")
    first, last = occupied(codes)
    length = last - first
    if ((codes != PADDING).sum(axis=1) != length).any():
        raise ValueError("padding (code 5) stands between letters; it may only flank a sequence")
    out = codes.copy()
    order = np.argsort(-length, kind="stable")
    begin = 0
    while begin < len(order) and length[order[begin]] > _FIXED:
        longest = int(length[order[begin]])
        rows = order[begin : begin + max(1, min(_POSITIONS_PER_CHUNK // longest, _ROWS_PER_CHUNK))]
        begin += len(rows)
        rows = rows[length[rows] > _FIXED]
        at = first[rows, None] + np.arange(longest)
        inside = at < last[rows, None]
        letters = np.where(inside, np.take_along_axis(codes[rows], at.clip(max=codes.shape[1] - 1), axis=1), PADDING)
        shuffled = _shuffle(letters.astype(np.intp), length[rows], _random(keys[rows], length[rows], seed))
        row, column = np.nonzero(inside)
        out[rows[row], at[row, column]] = shuffled[row, column]
    return out


def _keys(names: Iterable[str]) -> NDArray[np.uint64]:
    digests = [blake2b(str(name).encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _random(keys: NDArray[np.uint64], length: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Random bits for each position, from each sequence's own stream; zero behind its end."""
    bits = np.zeros((len(keys), int(length.max())), dtype=np.uint64)
    for row, (key, n) in enumerate(zip(keys.tolist(), length.tolist(), strict=True)):
        bits[row, :n] = np.random.Philox(key=np.array([seed % 2**64, key], dtype=np.uint64)).random_raw(n)
    return bits


def _shuffle(letters: NDArray[np.intp], length: NDArray[np.int64], bits: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Shuffle sequences ``(n, longest)`` that start at position 0, the longest first."""
    n, longest = letters.shape
    row = np.arange(n)
    edge = letters[:, :-1] * _LETTERS + letters[:, 1:]
    is_edge = np.arange(longest - 1) < (length - 1)[:, None]
    count = np.bincount((row[:, None] * _LETTERS**2 + edge)[is_edge], minlength=n * _LETTERS**2).reshape(
        n, _LETTERS, _LETTERS
    )
    end = letters[row, length - 1]
    # the first random number chooses the last exits, the others the order of the edges
    exits = _last_exits(count, end, bits[:, 0])
    is_exit = np.zeros(edge.shape, dtype=bool)
    for letter in range(_LETTERS):
        here = is_edge & (edge == (letter * _LETTERS + exits[:, letter])[:, None])
        found = here.any(axis=1) & (letter != end)
        is_exit[row[found], here.argmax(axis=1)[found]] = True
    key = np.where(is_edge, letters[:, :-1].astype(np.uint64), _NOWHERE) << _LETTER_SHIFT
    key |= is_exit.astype(np.uint64) << _EXIT_SHIFT
    key |= bits[:, 1:] >> _RANDOM_SHIFT << _SUCCESSOR_BITS
    key |= letters[:, 1:].astype(np.uint64)
    key.sort(axis=1)
    successors = (key & np.uint64(7)).astype(np.intp)
    return _walk(letters[:, 0], successors, count.sum(axis=2), length)


def _walk(
    start: NDArray[np.intp], successors: NDArray[np.intp], count: NDArray[np.int64], length: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Follow each letter's successors ``(n, longest − 1)``, grouped by letter, in their order."""
    n, steps = successors.shape
    out = np.empty((n, steps + 1), dtype=np.uint8)
    out[:, 0] = start
    where = np.cumsum(count, axis=1) - count + np.arange(n)[:, None] * steps
    where, successors, letter = where.ravel(), successors.ravel(), start.copy()
    slot = np.arange(n) * _LETTERS
    active = np.searchsorted(-length, -np.arange(1, steps + 1), side="left")  # rows that are longer than the step
    for step, k in enumerate(active.tolist(), start=1):
        at = slot[:k] + letter[:k]
        letter[:k] = successors[where[at]]
        where[at] += 1
        out[:k, step] = letter[:k]
    return out


def _last_exits(count: NDArray[np.int64], end: NDArray[np.intp], bits: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Letter that each letter's last exit leads to ``(n, 5)``; of no meaning for the last letter and absent ones."""
    letters = np.arange(_LETTERS)
    weight = count.astype(np.float64)
    absent = count.sum(axis=2) == 0
    # a letter that is not there hangs on the last one, so that each set of exits is a tree of all five
    weight[absent] = 0
    row, letter = np.nonzero(absent)
    weight[row, letter, end[row]] = 1
    exits = np.empty((len(count), _LETTERS), dtype=np.intp)
    for root in np.unique(end):
        rows = np.flatnonzero(end == root)
        trees = _trees(int(root))
        others = letters[letters != root]
        total = weight[rows][:, others, trees[:, others]].prod(axis=2).cumsum(axis=1)
        drawn = bits[rows].astype(np.float64) / 2.0**64 * total[:, -1]
        chosen = (total <= drawn[:, None]).sum(axis=1).clip(max=len(trees) - 1)
        exits[rows] = trees[chosen]
    return exits


@cache
def _trees(root: int) -> NDArray[np.intp]:
    """All trees of the letters in which every one leads to the root: where each one leads ``(125, 5)``."""
    found = []
    for parents in product(range(_LETTERS), repeat=_LETTERS):
        if parents[root] != root:
            continue
        reached = np.arange(_LETTERS)
        for _ in range(_LETTERS):
            reached = np.asarray(parents)[reached]
        if (reached == root).all():
            found.append(parents)
    return np.array(found, dtype=np.intp)
