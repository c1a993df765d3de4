"""Sequences with one number each, as a model of activity reads them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eregtools.batches.encode import PADDING, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    def fingerprint(self) -> str:
        """Hash (sha256) of sequences and targets."""
        return fingerprint([self.codes, self.target])

    def known(self) -> WindowBatch:
        """Windows that hold at least one known base and a finite target."""
        return self.take(np.flatnonzero((self.codes < UNKNOWN).any(axis=1) & np.isfinite(self.target)))

    def with_reverse_complements(self) -> WindowBatch:
        """Add the reverse complements, which have the same target."""
        both = np.concatenate([self.codes, reverse_complement(self.codes)])
        return WindowBatch(both, np.concatenate([self.target, self.target]))


@dataclass(frozen=True)
class Augmentation:
    """Changes of training sequences that leave their target as it is.

    Attributes
    ----------
    reverse_complement
        Turn each sequence round with probability one half.
    max_shift
        Move each sequence by up to so many bp to either side.
    """

    reverse_complement: bool = False
    max_shift: int = 0

    def __post_init__(self) -> None:
        if self.max_shift < 0:
            raise ValueError(f"max_shift is {self.max_shift}; expected at least 0 bp")

    def __call__(self, codes: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Change sequences ``(n, length)``; what is moved in from outside is padding or unknown."""
        codes = codes.copy()
        if self.reverse_complement:
            turned = rng.random(len(codes)) < 0.5
            codes[turned] = reverse_complement(codes[turned])
        if self.max_shift:
            length = codes.shape[1]
            source = np.arange(length) + rng.integers(-self.max_shift, self.max_shift + 1, len(codes))[:, None]
            outside = (source < 0) | (source >= length)
            fill = np.where((codes[:, [0, -1]] == PADDING).all(axis=1), PADDING, UNKNOWN).astype(np.uint8)
            moved = np.take_along_axis(codes, source.clip(0, length - 1), axis=1)
            codes = np.where(outside, fill[:, None], moved)
        return codes


def fingerprint(arrays: Sequence[NDArray[Any]]) -> str:
    """Hash (sha256) of arrays: their kind, shape and values."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def reverse_complement(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reverse complement of sequences ``(n, length)`` given as codes.

    Examples
    --------
    >>> import numpy as np
    >>> reverse_complement(np.array([[0, 1, 4, 5]], dtype=np.uint8))
    array([[5, 4, 2, 3]], dtype=uint8)
    """
    return _COMPLEMENT[codes[:, ::-1]]
