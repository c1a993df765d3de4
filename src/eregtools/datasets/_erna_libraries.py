"""Reads of the biosamples of a simulated genome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools.datasets import _erna_reads as rna
from eregtools.datasets._erna_places import PROMOTER, Annotated, ErnaGenomeConfig
from eregtools.datasets._erna_reads import MINUS, PLUS, Locus, Reads

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ARTEFACT_READS = 0.5  # on a base


@dataclass
class Library:
    """Reads of one biosample, as its files label their strands.

    Attributes
    ----------
    reads
        All of them; rows are chromosomes.
    of_locus
        Reads of each locus ``(n_loci,)``.
    active, expressed
        Which loci, and which genes, are transcribed.
    depth
        Factor of all expected reads.
    """

    reads: Reads
    of_locus: NDArray[np.int64]
    active: NDArray[np.bool_]
    expressed: NDArray[np.bool_]
    depth: float


class Transcribed(NamedTuple):
    """Which loci ``(n_loci,)``, and which genes ``(n_genes,)``, are transcribed."""

    active: NDArray[np.bool_]
    expressed: NDArray[np.bool_]


def draw_transcribed(
    rng: np.random.Generator, loci: pd.DataFrame, genes: list[Annotated], config: ErnaGenomeConfig
) -> Transcribed:
    """Draw what one biosample, or all of a cell type, transcribe."""
    expressed = rng.random(len(genes)) < config.expressed
    active = rng.random(len(loci)) < config.active
    promoter = (loci[Var.stratum] == PROMOTER).to_numpy()
    active[promoter] = expressed[_gene_of_promoter(loci[promoter], genes, config)]
    active &= (loci["expected_reads"] > 0).to_numpy()
    return Transcribed(active, expressed)


def draw_library(
    rng: np.random.Generator,
    kind: str,
    loci: pd.DataFrame,
    genes: list[Annotated],
    gaps: pd.DataFrame,
    artefacts: pd.DataFrame,
    config: ErnaGenomeConfig,
    transcribed: Transcribed | None = None,
) -> Library:
    """All reads of one biosample; ``transcribed`` is that of its cell type, ``None``: drawn."""
    depth = float(np.exp(config.depth_sd * rng.standard_normal()))
    active, expressed = transcribed or draw_transcribed(rng, loci, genes, config)
    chromosome = loci[Var.chromosome].map({name: k for k, name in enumerate(config.chrom_sizes)}).to_numpy(np.int64)

    own = _mappable(_locus_reads(rng, loci, active, depth, config), chromosome, gaps, config)
    row = np.arange(config.n_chromosomes)
    others = [
        rna.background_reads(rng, row, 0, config.chromosome_length, config.background * depth),
        _gene_reads(rng, genes, expressed, depth, config),
        _artefact_reads(rng, artefacts, depth, config),
    ]
    reads = rna.joined(
        [own._replace(row=chromosome[own.row].astype(np.int64)), _mappable(rna.joined(others), row, gaps, config)]
    )
    if kind == "unstranded":
        reads = rna.relabelled(reads, rng.integers(0, 2, len(reads.strand)), config.read_length)
    elif kind == "swapped":
        reads = rna.relabelled(reads, 1 - reads.strand, config.read_length)
    return Library(reads, np.bincount(own.row, minlength=len(loci)), active, expressed, depth)


def _gene_of_promoter(promoters: pd.DataFrame, genes: list[Annotated], config: ErnaGenomeConfig) -> NDArray[np.int64]:
    names = list(config.chrom_sizes)
    number = {(names[gene.chromosome], gene.model.tss): k for k, gene in enumerate(genes)}
    pairs = zip(promoters[Var.chromosome], promoters[Var.center], strict=True)
    return np.array([number[pair] for pair in pairs], dtype=np.int64)


def _locus_reads(
    rng: np.random.Generator, loci: pd.DataFrame, active: NDArray[np.bool_], depth: float, config: ErnaGenomeConfig
) -> Reads:
    """Draw the reads of the loci; rows are loci."""
    locus = Locus(
        loci[Var.center].to_numpy(np.int64),
        loci["expected_reads"].to_numpy() * depth * active,
        loci["plus_share"].to_numpy(),
        loci["gap"].to_numpy(np.int64),
    )
    reads = rna.divergent_reads(rng, np.arange(len(loci)), locus, config.decay)
    swapped = (loci[Var.stratum] == "swap").to_numpy()[reads.row]
    reads = reads._replace(strand=np.where(swapped, 1 - reads.strand, reads.strand))
    arm = loci["arm"].to_numpy()[reads.row]
    kept = (arm < 0) | (arm == reads.strand)
    return Reads(*(column[kept] for column in reads))


def _gene_reads(
    rng: np.random.Generator,
    genes: list[Annotated],
    expressed: NDArray[np.bool_],
    depth: float,
    config: ErnaGenomeConfig,
) -> Reads:
    """Exons, introns, antisense and read-through of the genes that are expressed."""
    parts = []
    level = config.exon_reads * np.exp(rng.standard_normal(len(genes))) * expressed * depth / 1_000
    for gene, density in zip(genes, level, strict=True):
        if density == 0:
            continue
        strand = PLUS if gene.model.strand == "+" else MINUS
        first, last = gene.model.span
        exonic = sum(end - start for start, end in gene.model.exons)
        places = [rng.integers(start, end, rng.poisson(density * (end - start))) for start, end in gene.model.exons]
        places.append(rng.integers(first, last, rng.poisson(config.intronic * density * (last - first))))
        behind = np.floor(rng.exponential(1_000, rng.poisson(config.read_through * density * exonic))).astype(np.int64)
        places.append(last + behind if strand == PLUS else first - 1 - behind)
        sense = np.concatenate(places)
        against = rng.integers(first, last, rng.poisson(config.antisense * len(sense)))
        for position, of in ((sense, strand), (against, 1 - strand)):
            parts.append(Reads(np.full(len(position), gene.chromosome), position, np.full(len(position), of)))
    return rna.joined(parts or [Reads(*(np.empty(0, dtype=np.int64),) * 3)])


def _artefact_reads(rng: np.random.Generator, artefacts: pd.DataFrame, depth: float, config: ErnaGenomeConfig) -> Reads:
    """Pile-ups of both strands on blacklisted regions."""
    number = {name: k for k, name in enumerate(config.chrom_sizes)}
    parts = [Reads(*(np.empty(0, dtype=np.int64),) * 3)]
    for chrom, start, end in artefacts[[Var.chromosome, Var.start, Var.end]].itertuples(index=False):
        n = rng.poisson(_ARTEFACT_READS * depth * (end - start))
        parts.append(Reads(np.full(n, number[chrom]), rng.integers(start, end, n), rng.integers(0, 2, n)))
    return rna.joined(parts)


def _mappable(reads: Reads, chromosome: NDArray[Any], gaps: pd.DataFrame, config: ErnaGenomeConfig) -> Reads:
    """Keep reads that lie on their chromosome and touch no N; ``chromosome`` is that of each row."""
    length, size = config.read_length, config.chromosome_length
    first = np.where(reads.strand == PLUS, reads.position, reads.position - length + 1)
    kept = (first >= 0) & (first + length <= size)
    of = chromosome[reads.row]
    number = {name: k for k, name in enumerate(config.chrom_sizes)}
    for chrom, start, end in gaps[[Var.chromosome, Var.start, Var.end]].itertuples(index=False):
        kept &= (of != number[chrom]) | (first >= end) | (first + length <= start)
    return Reads(*(column[kept] for column in reads))
