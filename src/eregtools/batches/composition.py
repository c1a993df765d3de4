"""What sequences are made of, whatever the order: bases, CpG, short words."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from eregtools.batches.encode import UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS_PER_CHUNK = 4_096


def gc_and_cpg(codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of G and C among known bases, and of CpG among known dinucleotides.

    Parameters
    ----------
    codes
        Sequences ``(n, length)``: 0–3 bases, 4 unknown, 5 padding.

    Returns
    -------
    ``(n, 2)``; NaN where nothing is known.

    Examples
    --------
    >>> import numpy as np
    >>> gc_and_cpg(np.array([[0, 1, 2, 4, 3, 5]], dtype=np.uint8))
    array([[0.5, 0.5]])
    """
    known = codes < UNKNOWN
    pairs = known[:, :-1] & known[:, 1:]
    gc = ((codes == 1) | (codes == 2)).sum(axis=1)
    cpg = ((codes[:, :-1] == 1) & (codes[:, 1:] == 2)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.stack([gc / known.sum(axis=1), cpg / pairs.sum(axis=1)], axis=1)


def kmer_frequencies(codes: NDArray[np.uint8], k: int = 4) -> NDArray[np.float64]:
    """How often each word of ``k`` bases occurs on either strand, as a share of all words.

    Parameters
    ----------
    codes
        Sequences ``(n, length)``: 0–3 bases, 4 unknown, 5 padding.
    k
        Length of the words.

    Returns
    -------
    ``(n, n_words)``, a word and its reverse complement in one column (136 for ``k=4``), in the order of the smaller
    of the two; words with an unknown base do not count; NaN where there is no word.

    Examples
    --------
    >>> import numpy as np
    >>> kmer_frequencies(np.array([[0, 0, 3, 1]], dtype=np.uint8), k=1)  # A and T, C and G
    array([[0.75, 0.25]])
    """
    column, n_words = _either_strand(k)
    counts = np.empty((len(codes), n_words))
    for begin in range(0, len(codes), _ROWS_PER_CHUNK):
        part = codes[begin : begin + _ROWS_PER_CHUNK]
        length = part.shape[1] - k + 1
        word = np.zeros((len(part), length), dtype=np.int64)
        known = np.ones(word.shape, dtype=bool)
        for letter in range(k):
            letters = part[:, letter : letter + length]
            word = 4 * word + (letters & 3)
            known &= letters < UNKNOWN
        row, _ = np.nonzero(known)
        flat = np.bincount(row * n_words + column[word[known]], minlength=len(part) * n_words)
        counts[begin : begin + len(part)] = flat.reshape(len(part), n_words)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)


@cache
def _either_strand(k: int) -> tuple[NDArray[np.int64], int]:
    """Column of each of the ``4**k`` words, and the number of columns."""
    words = np.arange(4**k)
    letters = words[:, None] // 4 ** np.arange(k)[::-1] % 4
    complement = ((3 - letters[:, ::-1]) * 4 ** np.arange(k)[::-1]).sum(axis=1)
    smaller, column = np.unique(np.minimum(words, complement), return_inverse=True)
    return column.astype(np.int64), len(smaller)
