"""Contacts of one chromosome near its diagonal, whichever file they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array


@dataclass(frozen=True, eq=False)
class ContactBand:
    """Contacts of one chromosome near its diagonal.

    A sparse matrix alone cannot tell a bin pair without contact (0) from one that was not measured, because
    what is not stored is 0; so ``matrix`` comes with the bins that are missing.

    Attributes
    ----------
    matrix
        float64 csr array ``(n_bins, n_bins)``, upper triangle with the diagonal; pixels of missing bins are NaN.
    chromosome
        Name of the chromosome, as it was asked for.
    size
        Length of the chromosome in bases.
    resolution
        Bases of a bin.
    normalization
        The normalisation that was applied, as the file calls it; ``"NONE"`` for raw counts.
    unit
        ``"counts"``, ``"balanced counts"`` (Juicer's normalisations) or ``"balanced frequency"`` (cooler's, in
        which the rows of the whole matrix sum to 1).
    max_distance
        Distance up to which bins were read, in bases; None: the whole chromosome.
    missing
        bool ``(n_bins,)``: bins that the normalisation left out.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> import eregtools as er
    >>> counts = csr_array(np.array([[8.0, 3.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]))
    >>> missing = np.array([False, False, True])
    >>> band = er.io.ContactBand(counts, "chr1", 15_000, 5_000, "KR", "balanced counts", None, missing)
    >>> band.at([7_000, 100, 100], [100, 4_900, 12_000])
    array([ 3.,  8., nan])
    """

    matrix: csr_array
    chromosome: str
    size: int
    resolution: int
    normalization: str
    unit: str
    max_distance: int | None
    missing: npt.NDArray[np.bool_]

    @property
    def n_bins(self) -> int:
        """Number of bins of the chromosome."""
        return len(self.missing)

    def at(self, position_a: npt.ArrayLike, position_b: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Contact of pairs of positions; their order does not matter.

        Parameters
        ----------
        position_a, position_b
            0-based positions on the chromosome, whole numbers ``(n,)``, or one for all of the others.

        Returns
        -------
        float64 array ``(n,)``: 0 where there is no contact; NaN where a bin is missing or the bins are farther
        apart than ``max_distance``.

        Raises
        ------
        ValueError
            A position is not a whole number or not on the chromosome.
        """
        a, b = np.broadcast_arrays(
            *(bins_of(p, self.chromosome, self.size, self.resolution) for p in (position_a, position_b))
        )
        row, column = np.minimum(a, b), np.maximum(a, b)
        values = _look_up(self.matrix, row, column)
        values[self.missing[row] | self.missing[column]] = np.nan
        if self.max_distance is not None:
            values[(column - row) * self.resolution > self.max_distance] = np.nan
        return values


@dataclass(frozen=True, eq=False)
class Pixels:
    """Upper-triangle counts of one chromosome and what each bin's counts are multiplied by."""

    bin1: npt.NDArray[np.integer[Any]]
    bin2: npt.NDArray[np.integer[Any]]
    count: npt.NDArray[np.float64]
    factors: npt.NDArray[np.float64]


def to_matrix(pixels: Pixels) -> csr_array:
    """Normalised contacts, csr ``(n_bins, n_bins)``, upper triangle."""
    values = pixels.count * pixels.factors[pixels.bin1] * pixels.factors[pixels.bin2]
    n_bins = len(pixels.factors)
    matrix = coo_array((values, (pixels.bin1, pixels.bin2)), shape=(n_bins, n_bins)).tocsr()
    matrix.sum_duplicates()
    return matrix


def bins_of(given: npt.ArrayLike, chromosome: str, size: int, resolution: int) -> npt.NDArray[np.int64]:
    """Bins of positions, which must lie on the chromosome."""
    positions = np.atleast_1d(np.asarray(given))
    if positions.size and not np.issubdtype(positions.dtype, np.integer):
        raise ValueError(f"Positions on {chromosome} are {positions.dtype}; expected whole numbers.")
    outside = (positions < 0) | (positions >= size)
    if outside.any():
        raise ValueError(
            f"{int(outside.sum())} positions are not on {chromosome} ({size} bases in the contact file), first "
            f"{positions[outside][0]}; the assembly is probably wrong."
        )
    return positions.astype(np.int64) // resolution


def _look_up(matrix: csr_array, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Value of each element, 0 where none is stored, by bisection inside the rows of all queries at once."""
    low, end = matrix.indptr[row].astype(np.int64), matrix.indptr[row + 1].astype(np.int64)
    values = np.zeros(row.shape)
    if not matrix.nnz:
        return values
    high = end.copy()
    while (searching := low < high).any():
        middle = (low + high) // 2
        before = searching & (matrix.indices[np.minimum(middle, matrix.nnz - 1)] < column)
        low = np.where(before, middle + 1, low)
        high = np.where(before, high, middle)
    at = np.minimum(low, matrix.nnz - 1)
    found = (low < end) & (matrix.indices[at] == column)
    values[found] = matrix.data[at[found]]
    return values
