"""Where negatives of enhancer-RNA loci are drawn: positions of each kind, and what they are matched by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from eregtools._keys import INTERVAL, Stratum, Var
from eregtools.coverage import Coverage
from eregtools.genome import Genome
from eregtools.io.gtf import read_gtf
from eregtools.locus_signal import free_sequence, gc_around, locus_reads, random_positions
from eregtools.pp.erna_mask import _on_chromosomes
from eregtools.pp.intervals import regions_on
from eregtools.ranges import merge_touching, overlaps, subtract

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

SHARES = {
    Stratum.open: 0.25,
    Stratum.signal: 0.25,
    Stratum.edge: 0.15,
    Stratum.intergenic: 0.15,
    Stratum.promoter: 0.10,
    Stratum.silent: 0.10,
}
"""Share of each stratum among the negatives."""

MATCHED_BY_SIGNAL = (Stratum.signal, Stratum.intergenic)
MATCHED_BY_GC = (Stratum.open, Stratum.signal, Stratum.edge, Stratum.intergenic, Stratum.silent)

SIGNAL_ARM = 500
"""Bases around a centre whose coverage is matched."""

ONE_SIDED = 0.8
"""Directionality from which a locus is transcribed to one side, as in the FANTOM5 rules."""

_READ_THROUGH = 10_000
_GENE_MARGIN = 2_000
_EDGE_JITTER = 200


@dataclass(frozen=True)
class Positions:
    """Centres of loci, and what they are matched by.

    Attributes
    ----------
    chrom, centre
        Where, ``(n,)``.
    rpm
        Coverage of both strands in reads per million, mean of the biosamples, within 500 bp.
    sided
        Whether nearly all of it departs to one side.
    """

    chrom: npt.NDArray[np.object_]
    centre: Integers
    rpm: Floats
    sided: Bools

    def __len__(self) -> int:
        return len(self.centre)

    def at(self, rows: Bools | npt.NDArray[np.intp]) -> Positions:
        """Take some of them."""
        return Positions(self.chrom[rows], self.centre[rows], self.rpm[rows], self.sided[rows])


@dataclass(frozen=True)
class Landscape:
    """Annotation, coverage and sequence that negatives are drawn from.

    Attributes
    ----------
    coverage, samples
        The store, and whose coverage is looked at.
    genome
        The sequence.
    annotation
        Genes' transcripts and exons.
    mask
        Masked regions, of any reason.
    never
        Regions in which nothing is negative: around catalogued loci and positives, and unreliable sequence.
    peaks
        Centres of open chromatin; ``None``: not known.
    width, gc_width
        Bases of a locus, and around its centre in which GC is taken.
    """

    coverage: Coverage
    samples: list[str]
    genome: Genome
    annotation: pd.DataFrame
    mask: pd.DataFrame
    never: pd.DataFrame
    peaks: pd.DataFrame | None
    width: int
    gc_width: int

    def positions(self, chrom: npt.NDArray[np.object_], centre: Integers) -> Positions:
        """Coverage at centres."""
        rpm, strands = np.zeros(len(centre)), np.zeros((2, len(centre)))
        for sample in self.samples:
            reads = locus_reads(self.coverage, sample, chrom, centre - SIGNAL_ARM, centre + SIGNAL_ARM)
            scaled = reads * (1e6 / self.coverage.library_size(sample) / len(self.samples))
            rpm += scaled.sum(axis=0)
            if self.coverage.stranded(sample):
                strands += scaled
        total = strands.sum(axis=0)
        sided = (np.abs(strands[0] - strands[1]) >= ONE_SIDED * total) & (total > 0)
        return Positions(chrom, centre, rpm, sided)

    def gc(self, of: Positions) -> Floats:
        """Share of G and C among the bases around each centre; NaN where a base is not known."""
        return gc_around(self.genome, of.chrom.tolist(), of.centre, self.gc_width)

    def drawn(self, stratum: str, n: int, rng: np.random.Generator) -> Positions:
        """Positions of one stratum to choose from, none where nothing may be negative, nearest ones apart."""
        if stratum == Stratum.open:
            chrom, centre = self._sampled(self._open_centres(), n, rng)
        elif stratum == Stratum.promoter:
            chrom, centre = self._sampled(self._starts, n, rng)
        elif stratum == Stratum.edge:
            chrom, centre = self._sampled(self._edges(rng), n // 2, rng)
            others = random_positions(self._unmasked, n - n // 2, rng)
            chrom, centre = np.concatenate([chrom, others[0]]), np.concatenate([centre, others[1]])
        elif stratum == Stratum.signal:
            chrom, centre = random_positions(self._within_genes, n, rng)
        else:
            chrom, centre = random_positions(self._unmasked if stratum == Stratum.silent else self._intergenic, n, rng)
        found = self.positions(*self._allowed(chrom, centre))
        found = found.at(self._fits(stratum, found))
        return found.at(spaced(found.chrom, found.centre, self.width))

    def _fits(self, stratum: str, found: Positions) -> Bools:
        """Whether positions have the coverage that their stratum is about."""
        if stratum == Stratum.silent:
            fits = found.rpm == 0
        elif stratum == Stratum.open:
            fits = found.rpm <= self.quiet
        elif stratum == Stratum.edge:
            exonic = overlaps(_bases(found.chrom, found.centre), self._exonic_edges)
            fits = (found.rpm > 0) & (found.sided | exonic)
        elif stratum == Stratum.promoter:
            fits = np.ones(len(found), dtype=bool)
        else:
            fits = found.rpm > 0
        return np.asarray(fits)

    @cached_property
    def quiet(self) -> float:
        """Coverage below which open chromatin has no RNA: the median of unmasked sequence."""
        where = random_positions(self._unmasked, 2_000, np.random.default_rng(0))
        return float(np.median(self.positions(*where).rpm))

    def _allowed(self, chrom: npt.NDArray[np.object_], centre: Integers) -> tuple[npt.NDArray[np.object_], Integers]:
        """Positions whose locus lies on its chromosome and touches nothing forbidden."""
        size = np.array([self.coverage.chrom_sizes[name] for name in chrom], dtype=np.int64)
        half = self.width // 2
        inside = (centre >= half) & (centre + half <= size)
        chrom, centre = chrom[inside], centre[inside]
        windows = _windows(chrom, centre, half)
        free = ~overlaps(windows, self.never)
        return chrom[free], centre[free]

    def _sampled(
        self, table: pd.DataFrame, n: int, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.object_], Integers]:
        rows = rng.permutation(len(table))[:n]
        chosen = table.iloc[rows]
        return chosen[Var.chromosome].to_numpy(dtype=object), chosen[Var.center].to_numpy(dtype=np.int64)

    @cached_property
    def _sizes(self) -> dict[str, int]:
        covered = [name for name in self.coverage.chrom_sizes if any(self.coverage.has(s, name) for s in self.samples)]
        return {name: self.coverage.chrom_sizes[name] for name in covered}

    @cached_property
    def _unmasked(self) -> pd.DataFrame:
        return free_sequence(self._sizes, self.mask)

    @cached_property
    def _bodies(self) -> pd.DataFrame:
        """Genes on the chromosomes that have coverage, with their strand."""
        keys = [Var.chromosome, Var.strand, "gene_id"]
        bodies = self.annotation.groupby(keys, sort=False).agg({Var.start: "min", Var.end: "max"}).reset_index()
        return bodies[bodies[Var.chromosome].isin(list(self._sizes))]

    @cached_property
    def _within_genes(self) -> pd.DataFrame:
        """Introns of genes, either strand, and what read-through reaches behind them; none of it masked."""
        bodies, minus = self._bodies, (self._bodies[Var.strand] == "-").to_numpy()
        reached = bodies.assign(
            **{
                Var.start: np.where(minus, bodies[Var.start] - _READ_THROUGH, bodies[Var.start]),
                Var.end: np.where(minus, bodies[Var.end], bodies[Var.end] + _READ_THROUGH),
            }
        )
        merged, _ = merge_touching(regions_on(reached, self._sizes, "genes"))
        return subtract(merged, self.mask)[0]

    @cached_property
    def _intergenic(self) -> pd.DataFrame:
        bodies = self._bodies
        wide = bodies.assign(**{Var.start: bodies[Var.start] - _GENE_MARGIN, Var.end: bodies[Var.end] + _GENE_MARGIN})
        return subtract(self._unmasked, wide[list(INTERVAL)])[0]

    @cached_property
    def _starts(self) -> pd.DataFrame:
        """First bases of transcripts."""
        keys = [Var.chromosome, Var.strand, "transcript_id"]
        table = self.annotation[self.annotation[Var.chromosome].isin(list(self._sizes))]
        ends = table.groupby(keys, sort=False).agg({Var.start: "min", Var.end: "max"}).reset_index()
        centre = np.where(ends[Var.strand] == "-", ends[Var.end] - 1, ends[Var.start])
        return pd.DataFrame({Var.chromosome: ends[Var.chromosome], Var.center: centre}).drop_duplicates()

    @cached_property
    def _exons(self) -> pd.DataFrame:
        rows = (self.annotation["feature"] == "exon") & self.annotation[Var.chromosome].isin(list(self._sizes))
        return self.annotation.loc[rows, list(INTERVAL)].drop_duplicates()

    @cached_property
    def _exonic_edges(self) -> pd.DataFrame:
        ends = [self._exons[name].to_numpy() for name in (Var.start, Var.end)]
        chrom = np.tile(self._exons[Var.chromosome].to_numpy(dtype=object), 2)
        return _windows(chrom, np.concatenate(ends), _EDGE_JITTER)

    def _edges(self, rng: np.random.Generator) -> pd.DataFrame:
        """Positions near the ends of exons."""
        windows = self._exonic_edges
        centre = windows[Var.start].to_numpy() + rng.integers(0, 2 * _EDGE_JITTER, len(windows))
        return pd.DataFrame({Var.chromosome: windows[Var.chromosome], Var.center: centre})

    def _open_centres(self) -> pd.DataFrame:
        assert self.peaks is not None  # the stratum is left out without them
        return self.peaks[self.peaks[Var.chromosome].isin(list(self._sizes))]


def annotation_table(gtf: str | Path | pd.DataFrame, sizes: dict[str, int]) -> pd.DataFrame:
    """Exons of genes and transcripts on the chromosomes of the genome."""
    table = gtf if isinstance(gtf, pd.DataFrame) else read_gtf(gtf, features=("exon",))
    exons = table[table["feature"] == "exon"]
    if exons.empty or "transcript_id" not in exons:
        raise ValueError("the annotation has no exons of transcripts, between and around which negatives are drawn")
    return _on_chromosomes(exons, sizes)


def spaced(chrom: npt.NDArray[np.object_], centre: Integers, apart: int) -> npt.NDArray[np.intp]:
    """Rows of positions of which none is nearer than ``apart`` to the one kept before it, in genome order."""
    codes = pd.factorize(chrom)[0]
    order = np.lexsort((centre, codes))
    kept = []
    last_code, last_centre = -1, 0
    for row in order.tolist():
        if codes[row] != last_code or centre[row] - last_centre >= apart:
            kept.append(row)
            last_code, last_centre = codes[row], int(centre[row])
    return np.array(kept, dtype=np.intp)


def _windows(chrom: npt.NDArray[np.object_], centre: Integers, half: int) -> pd.DataFrame:
    return pd.DataFrame({Var.chromosome: chrom, Var.start: centre - half, Var.end: centre + half})


def _bases(chrom: npt.NDArray[np.object_], centre: Integers) -> pd.DataFrame:
    return pd.DataFrame({Var.chromosome: chrom, Var.start: centre, Var.end: centre + 1})
