"""What positions are like: GC, width, distance to a TSS, and signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import Modality, Var
from eregtools._schema import require_modality
from eregtools.coverage import Coverage, recorded_coverage
from eregtools.io.gtf import read_genes
from eregtools.locus_signal import gc_around, locus_reads
from eregtools.tl.expression import pick_samples
from eregtools.tl.quantify import nearest_tss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eregtools.genome import Genome

GC_WIDTH: Final = 1_000
"""Bases around the centre of a locus in which GC is taken."""


@dataclass(frozen=True)
class Covariates:
    """Numbers by which positions are matched, on scales on which differences are alike.

    Attributes
    ----------
    match
        Which.
    genome, genes, signal
        Where they come from: sequence, genes with their ``tss``, coverage and its biosamples; ``None`` where unused.
    """

    match: tuple[str, ...]
    genome: Genome | None
    genes: pd.DataFrame | None
    signal: tuple[Coverage, list[str]] | None

    def __call__(
        self, chroms: NDArray[np.object_], centres: NDArray[np.int64], widths: NDArray[np.int64]
    ) -> pd.DataFrame:
        columns = {}
        for name in self.match:
            columns[name] = getattr(self, f"_{name}")(chroms, centres, widths)
        return pd.DataFrame(columns)

    def _gc(self, chroms: Any, centres: Any, widths: Any) -> NDArray[np.float64]:
        assert self.genome is not None
        return gc_around(self.genome, chroms.tolist(), centres, GC_WIDTH)

    def _width(self, chroms: Any, centres: Any, widths: Any) -> NDArray[np.float64]:
        return np.log2(widths)

    def _tss_distance(self, chroms: Any, centres: Any, widths: Any) -> NDArray[np.float64]:
        assert self.genes is not None
        nearest = nearest_tss(pd.DataFrame({Var.chromosome: chroms, Var.center: centres}), self.genes)
        distance = np.abs(self.genes[Var.tss].to_numpy()[nearest] - centres)
        return np.where(nearest >= 0, np.log10(1 + distance), 9.0)  # no gene on the chromosome: further than any

    def _signal(self, chroms: Any, centres: Any, widths: Any) -> NDArray[np.float64]:
        assert self.signal is not None
        store, samples = self.signal
        starts = centres - widths // 2
        density = np.zeros(len(centres))
        for name in samples:
            reads = locus_reads(store, name, chroms, starts, starts + widths).sum(axis=0)
            density += reads * (1e9 / store.library_size(name) / len(samples)) / widths
        return np.log1p(10 * density)


def tss_of(loci: Any, genes: Any) -> pd.DataFrame:
    """Chromosome and tss of genes."""
    if genes is None:
        if not isinstance(loci, MuData):
            raise ValueError("match has 'tss_distance', which needs genes=; give a GTF file, or leave it out of match")
        return require_modality(loci, Modality.genes).var
    table = genes if isinstance(genes, pd.DataFrame) else read_genes(genes)
    if lacking := [name for name in (Var.chromosome, Var.tss) if name not in table]:
        raise ValueError(f"genes: there is no column {lacking[0]!r}; expected Chromosome and tss, as er.io.read_genes")
    return table


def signal_of(loci: Any, coverage: Any, sample: Any) -> tuple[Coverage, list[str]]:
    """Store and biosamples whose signal is matched."""
    if isinstance(loci, MuData):
        store = recorded_coverage(loci, coverage)
        names = pick_samples(loci, sample)
    else:
        if coverage is None:
            raise ValueError("match has 'signal', which needs coverage=; give it, or leave 'signal' out of match")
        store = coverage if isinstance(coverage, Coverage) else Coverage(coverage)
        names = store.samples if sample is None else [sample] if isinstance(sample, str) else list(sample)
    if sample is None:
        names = [name for name in names if name in store.samples]
    for name in names:
        store.about(name)
    if not names:
        raise KeyError(f"no biosample of the object has coverage in {store.path}")
    return store, names
