"""Figures of the object, ready for print. matplotlib is imported when the first figure is drawn."""

from __future__ import annotations

from eregtools.pl.expression import expression_scatter
from eregtools.pl.locus import locus

__all__ = ["expression_scatter", "locus"]
