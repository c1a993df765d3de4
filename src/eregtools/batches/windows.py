"""Sequences with one number each, as a model of activity reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eregtools.batches.encode import UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COMPLEMENT = np.array([3, 2, 1, 0, 4, 5], dtype=np.uint8)


@dataclass(frozen=True)
class WindowBatch:
    """Windows with their target.

    Attributes
    ----------
    codes
        ``(n, window)``.
    target
        ``(n,)``, float32.
    """

    codes: NDArray[np.uint8]
    target: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[np.int64]) -> WindowBatch:
        """Those windows, in that order."""
        return WindowBatch(self.codes[rows], self.target[rows])

    def known(self) -> WindowBatch:
        """Windows that hold at least one known base and a finite target."""
        return self.take(np.flatnonzero((self.codes < UNKNOWN).any(axis=1) & np.isfinite(self.target)))

    def with_reverse_complements(self) -> WindowBatch:
        """Add the reverse complements, which have the same target."""
        both = np.concatenate([self.codes, reverse_complement(self.codes)])
        return WindowBatch(both, np.concatenate([self.target, self.target]))


def reverse_complement(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reverse complement of sequences ``(n, length)`` given as codes.

    Examples
    --------
    >>> import numpy as np
    >>> reverse_complement(np.array([[0, 1, 4, 5]], dtype=np.uint8))
    array([[5, 4, 2, 3]], dtype=uint8)
    """
    return _COMPLEMENT[codes[:, ::-1]]
