"""The part of a chromosome that is drawn, and which elements lie in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools import get
from eregtools._keys import INTERVAL, Modality, Var
from eregtools._schema import listed, require_modality
from eregtools.get._select import find_gene

if TYPE_CHECKING:
    from mudata import MuData

_WRITTEN: Final = re.compile(r"(?P<chromosome>.+):(?P<start>[\d,_]+)-(?P<end>[\d,_]+)")


@dataclass(frozen=True)
class Region:
    """Part of a chromosome, and the id of the gene that it was chosen for."""

    chromosome: str
    start: int
    end: int
    gene: str | None = None

    def __str__(self) -> str:
        return f"{self.chromosome}:{self.start:,}-{self.end:,}"

    def overlapping(self, var: pd.DataFrame) -> pd.DataFrame:
        """Elements that lie in the region, or reach into it."""
        on = (var[Var.chromosome] == self.chromosome).to_numpy()
        return var[on & (var[Var.start] < self.end).to_numpy() & (var[Var.end] > self.start).to_numpy()]


def find_region(mdata: MuData, gene_or_region: str, samples: Sequence[str], flank: int | None) -> Region:
    """Region that was written out, or that of a gene and, without `flank`, of all its links."""
    written = _WRITTEN.fullmatch(gene_or_region)
    if written is None or gene_or_region in require_modality(mdata, Modality.genes).var_names:
        return _around_gene(mdata, find_gene(mdata, gene_or_region), samples, flank)
    start, end = (int(re.sub("[,_]", "", written[side])) for side in ("start", "end"))
    if end <= start:
        raise ValueError(f"region {gene_or_region!r} ends before it starts; expected chromosome:start-end")
    flank = flank or 0
    return Region(written["chromosome"], max(start - flank, 0), end + flank)


def _around_gene(mdata: MuData, gene: str, samples: Sequence[str], flank: int | None) -> Region:
    row = require_modality(mdata, Modality.genes).var.loc[gene]
    start, end, tss = int(row[Var.start]), int(row[Var.end]), int(row[Var.tss])
    start, end = min(start, tss), max(end, tss + 1)
    if flank is None:
        if Modality.links in mdata.mod:
            reached = get.links(mdata, gene=gene, sample=samples, layers=())
            start, end = min([start, *reached[Var.start]]), max([end, *reached[Var.end]])
        flank = int(flank_of(start, end))
    return Region(str(row[Var.chromosome]), max(start - flank, 0), end + flank, gene)


def flank_of(start: Any, end: Any) -> Any:
    """Bases that are shown on either side of what a gene reaches: 5 %, and at least 2,000."""
    return np.maximum(np.round(0.05 * (np.asarray(end) - np.asarray(start))).astype(np.int64), 2_000)


def elements_in(mdata: MuData, region: Region) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Genes and enhancers of a region; a region with neither, and no locus, is refused.

    An object of genes and enhancer RNAs needs no enhancers.
    """
    genes = require_modality(mdata, Modality.genes).var
    loci = mdata.mod[Modality.ernas].var if Modality.ernas in mdata.mod else genes.iloc[:0]
    known = Modality.enhancers in mdata.mod or loci.empty
    enhancers = require_modality(mdata, Modality.enhancers).var if known else loci.iloc[:0]
    inside = region.overlapping(genes), region.overlapping(enhancers)
    if inside[0].empty and inside[1].empty and region.overlapping(loci).empty:
        elements = pd.concat([genes[list(INTERVAL)], enhancers[list(INTERVAL)]])
        raise ValueError(f"{region} holds no gene and no enhancer; {_where_there_are(elements, region.chromosome)}")
    return inside


def _where_there_are(elements: pd.DataFrame, chromosome: str) -> str:
    on = elements[elements[Var.chromosome] == chromosome]
    if on.empty:
        return f"the object has none on {chromosome!r}, but on {listed(elements[Var.chromosome].unique())}"
    return f"those of {chromosome} lie within {on[Var.start].min():,}-{on[Var.end].max():,}"
