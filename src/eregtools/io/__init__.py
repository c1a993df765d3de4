"""Readers, one for each file format, and the object on disk."""

from eregtools.io.bed import read_bed, read_narrowpeak
from eregtools.io.gtf import read_genes, read_gtf
from eregtools.io.store import read, write
from eregtools.io.tables import read_intervals_table, read_table

__all__ = [
    "read",
    "read_bed",
    "read_genes",
    "read_gtf",
    "read_intervals_table",
    "read_narrowpeak",
    "read_table",
    "write",
]
