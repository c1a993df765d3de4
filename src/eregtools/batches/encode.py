"""Place genomic sequence into the fixed windows that the models read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eregtools.genome import N_CODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from eregtools.genome import Genome

UNKNOWN = N_CODE
"""Code of a base that is not known: N, any other letter, or outside the chromosome."""

PADDING = 5
"""Code of a position that holds no base at all; its one-hot vector is zero."""

N_CODES = 6
"""Number of codes: A C G T, unknown, padding."""


def centred_windows(
    genome: Genome, chroms: Sequence[str], centres: NDArray[np.integer], length: int
) -> NDArray[np.uint8]:
    """Sequence of ``length`` bp around each centre, genome strand.

    Parameters
    ----------
    genome
        Where the sequence comes from.
    chroms
        Chromosome of each window, in the genome's spelling.
    centres
        Position ``c`` of each window, 0-based; the window is ``[c - length // 2, c - length // 2 + length)``.
    length
        Length of a window in bp.

    Returns
    -------
    Codes ``(n, length)``; outside the chromosome :data:`UNKNOWN`.
    """
    return genome.codes(chroms, np.asarray(centres, dtype=np.int64) - length // 2, length)


def element_windows(
    genome: Genome,
    chroms: Sequence[str],
    starts: NDArray[np.integer],
    ends: NDArray[np.integer],
    length: int,
) -> NDArray[np.uint8]:
    """Sequence of elements, each centred in a window of ``length`` positions.

    An element of at most ``length`` bp starts at ``length // 2 - (end - start) // 2`` and is flanked by
    :data:`PADDING`; of a longer one the ``length`` bp around its centre ``(start + end) // 2`` are taken
    (EPInformer's rule, verified against the reference encoder).

    Parameters
    ----------
    genome
        Where the sequence comes from.
    chroms, starts, ends
        Intervals of the elements, 0-based half-open.
    length
        Length of a window.

    Returns
    -------
    Codes ``(n, length)``.
    """
    starts = np.asarray(starts, dtype=np.int64)
    ends = np.asarray(ends, dtype=np.int64)
    centres = (starts + ends) // 2
    widths = ends - starts
    offsets = length // 2 - widths // 2
    first = np.where(widths <= length, starts - offsets, centres - length // 2)
    codes = genome.codes(chroms, first, length)
    position = np.arange(length)
    short = widths <= length
    outside = (position < offsets[:, None]) | (position >= (offsets + widths)[:, None])
    codes[outside & short[:, None]] = PADDING
    return codes


def occupied(codes: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one-past-last position of each row that is not padding; ``(0, 0)`` for an empty row."""
    held = codes != PADDING
    any_held = held.any(axis=1)
    first = np.where(any_held, held.argmax(axis=1), 0)
    last = np.where(any_held, codes.shape[1] - held[:, ::-1].argmax(axis=1), 0)
    return first.astype(np.int64), last.astype(np.int64)
