"""Everything about a simulated transcribed genome, before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools.datasets._erna_libraries import Library, Transcribed, draw_library, draw_transcribed
from eregtools.datasets._erna_places import (
    ARTEFACT_WIDTHS,
    GAP_WIDTHS,
    Annotated,
    ErnaGenomeConfig,
    blocked_bases,
    draw_chromosomes,
    free_span,
    place_loci,
    with_transcription,
)
from eregtools.datasets._regulation import place_genes

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass
class ErnaWorld:
    """What is written.

    Attributes
    ----------
    codes
        Sequence of each chromosome.
    genes
        Genes in genome order, with their models.
    loci
        One row a locus in genome order: where it is, its kind, and the parameters of its transcription.
    gaps, artefacts
        Runs of N and blacklisted regions.
    libraries
        Reads of each biosample.
    """

    codes: dict[str, NDArray[np.uint8]]
    genes: list[Annotated]
    loci: pd.DataFrame
    gaps: pd.DataFrame
    artefacts: pd.DataFrame
    libraries: dict[str, Library]


def draw_genome(rng: np.random.Generator, config: ErnaGenomeConfig) -> ErnaWorld:
    """Draw all of it; places, sequence and each biosample have their own stream of random numbers."""
    places, letters, *streams = rng.spawn(2 + len(config.libraries))
    genes: list[Annotated] = []
    regions: dict[str, list[pd.DataFrame]] = {"gap": [], "artefact": []}
    tables = []
    for number, chrom in enumerate(config.chrom_sizes):
        here = sorted(place_genes(places, config.genes, config.chromosome_length), key=lambda gene: gene.span)
        genes += [Annotated(number, gene) for gene in here]
        blocked = blocked_bases(here, config)
        for kind, n, widths in (
            ("gap", config.gaps, GAP_WIDTHS),
            ("artefact", config.artefacts, ARTEFACT_WIDTHS),
        ):
            spans = [free_span(places, blocked, widths) for _ in range(n)]
            regions[kind].append(
                pd.DataFrame(spans, columns=[Var.start, Var.end], dtype=np.int64).assign(**{Var.chromosome: chrom})
            )
        tables.append(place_loci(places, here, blocked, config).assign(chromosome=number))
    loci = with_transcription(places, pd.concat(tables, ignore_index=True), config)
    gaps, artefacts = (pd.concat(tables, ignore_index=True) for tables in regions.values())
    types = list(dict.fromkeys(config.cell_types))
    of_type: dict[str | None, Transcribed] = {
        name: draw_transcribed(one, loci, genes, config) for name, one in zip(types, rng.spawn(len(types)), strict=True)
    }
    cell_types = config.cell_types or [None] * len(config.libraries)
    return ErnaWorld(
        codes=draw_chromosomes(letters, loci, gaps, config),
        genes=genes,
        loci=loci,
        gaps=gaps,
        artefacts=artefacts,
        libraries={
            sample: draw_library(stream, kind, loci, genes, gaps, artefacts, config, of_type.get(cell_type))
            for sample, kind, stream, cell_type in zip(
                config.samples, config.libraries, streams, cell_types, strict=True
            )
        },
    )
