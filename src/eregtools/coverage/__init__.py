"""Binned coverage of many samples in one folder: written whole or not at all, read window by window."""

from __future__ import annotations

from eregtools._bins import BIN_SIZE, n_bins
from eregtools.coverage.about import STRANDEDNESS, Strandedness
from eregtools.coverage.store import GIVEN, Coverage, record, recorded_coverage
from eregtools.coverage.writer import CoverageWriter, Written, write_arrays

__all__ = [
    "BIN_SIZE",
    "GIVEN",
    "STRANDEDNESS",
    "Coverage",
    "CoverageWriter",
    "Strandedness",
    "Written",
    "n_bins",
    "record",
    "recorded_coverage",
    "write_arrays",
]
