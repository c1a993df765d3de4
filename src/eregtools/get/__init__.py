"""Read parts of the object in a form other tools take: ranges, tidy tables, sparse matrices."""

from __future__ import annotations

from eregtools.get.attention import attended_regions, attention_bins, attention_relations
from eregtools.get.fold_pairs import fold_pairs
from eregtools.get.links import link_matrix, links
from eregtools.get.ranges import ranges

__all__ = ["attended_regions", "attention_bins", "attention_relations", "fold_pairs", "link_matrix", "links", "ranges"]
