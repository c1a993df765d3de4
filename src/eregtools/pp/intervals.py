"""Intervals of the caller on the chromosomes of the genome, for preprocessing."""

from __future__ import annotations

from eregtools._schema import object_chrom_sizes
from eregtools.intervals import Intervals, genome_order, read_intervals, regions_on, suffix

__all__ = ["Intervals", "genome_order", "object_chrom_sizes", "read_intervals", "regions_on", "suffix"]
