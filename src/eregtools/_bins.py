"""Bins in which coverage is kept: how long they are, and how many a chromosome has."""

from __future__ import annotations

from typing import Final

BIN_SIZE: Final = 8
"""Bases of a bin: RNA-seq coverage is smooth over the length of a read."""


def n_bins(chrom_size: int, bin_size: int = BIN_SIZE) -> int:
    """Bins of a chromosome; the last one may reach over its end."""
    return -(-chrom_size // bin_size)
