"""Windows of one length centred on elements, as a network reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import INTERVAL, Var

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

FIRST_START = 1
"""Lowest start of a window: the paper's code takes it for the first base, although coordinates are 0-based."""


def centred_windows(
    start: ArrayLike,
    end: ArrayLike,
    length: int,
    chrom_size: ArrayLike | None,
    *,
    jitter: ArrayLike = 0,
) -> NDArray[np.int64]:
    """Find the starts of windows of one length that are centred on elements and lie on their chromosomes.

    An element longer than the window is cropped, a shorter one extended, equally on both sides; an odd base is dropped
    on the left or added on the left. The window is moved by the jitter, then put back on the chromosome.

    Parameters
    ----------
    start, end
        Elements, 0-based half-open; arrays of any shapes that broadcast together (as does `jitter`).
    length
        Length of the windows in bp.
    chrom_size
        Length of the chromosome of each element; ``None``: not known, and windows may reach over its end.
    jitter
        Bases by which each window is moved to the left (negative: to the right).

    Returns
    -------
    First base of each window, int64, in the broadcast shape; the windows are ``[start, start + length)``.

    Raises
    ------
    ValueError
        The length is below 1, an element has no bases or lies past the end of its chromosome, or a chromosome is
        shorter than the window.

    Notes
    -----
    The rule of EPIPAM (Liu, Zhu and Zhang 2026): half the difference of lengths is rounded up, and the first window
    of a chromosome starts at 1.

    Examples
    --------
    >>> centred_windows([5_000, 5_000, 100], [8_001, 5_500, 350], 3_000, 48_129_895)
    array([5001, 3750,    1])
    >>> centred_windows(5_000, 8_000, 3_000, None, jitter=[-63, 0, 66])
    array([5063, 5000, 4934])
    """
    first, last = np.asarray(start, dtype=np.int64), np.asarray(end, dtype=np.int64)
    moved = np.asarray(jitter, dtype=np.int64)
    if length < 1:
        raise ValueError(f"length={length}: expected windows of at least 1 bp")
    if (last <= first).any():
        raise ValueError(f"{int((last <= first).sum())} element(s) have no bases: their end is not after their start")
    # −⌊x/2⌋ of a negative x is ⌈|x|/2⌉: the odd base goes to the left when extending, from the left when cropping
    excess = (last - first) - length
    half = np.where(excess >= 0, -(-excess // 2), excess // 2)
    starts = np.maximum(first + half - moved, FIRST_START)
    if chrom_size is None:
        return np.asarray(starts)
    size = np.asarray(chrom_size, dtype=np.int64)
    if (last > size).any():
        raise ValueError(
            f"{int((last > size).sum())} element(s) end after their chromosome does; the assembly is probably wrong"
        )
    if (size < length).any():
        raise ValueError(f"a chromosome of {int(size.min())} bp is shorter than a window of {length} bp")
    return np.asarray(np.minimum(starts, size - length))


def windows_of(elements: pd.DataFrame) -> pd.DataFrame:
    """Windows of elements as intervals; the elements themselves where they have none."""
    if Var.pair_window_start not in elements:
        return elements[list(INTERVAL)]
    columns = [Var.chromosome, Var.pair_window_start, Var.pair_window_end]
    return elements[columns].set_axis(list(INTERVAL), axis=1)
