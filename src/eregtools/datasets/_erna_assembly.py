"""Transcripts that an assembler would report of simulated reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eregtools.datasets._erna_places import Annotated, ErnaGenomeConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST = 200
"""Bases of the shortest transcript, as StringTie leaves shorter ones out."""

_JOIN, _NEIGHBOUR, _LEAST_READS = 50, 5_000, 4


@dataclass
class Transcript:
    """One assembled transcript."""

    chromosome: str
    strand: str
    exons: list[tuple[int, int]]

    @property
    def span(self) -> tuple[int, int]:
        """First and last base."""
        return self.exons[0][0], self.exons[-1][1]


def assembled(
    rng: np.random.Generator,
    depth: Mapping[str, NDArray[np.int32]],
    genes: list[Annotated],
    config: ErnaGenomeConfig,
    *,
    stranded: bool,
) -> list[Transcript]:
    """Transcripts of one biosample, in genome order.

    Parameters
    ----------
    rng
        Source of randomness.
    depth
        Depth of each chromosome ``(2, length)``, as the files label the strands.
    genes
        Genes that are expressed; their spliced transcripts are found as they are annotated.
    config
        Parameters of the simulation.
    stranded
        Whether the assembler is told strands; without it transcripts that are not spliced have none.
    """
    found = []
    for number, (chrom, both) in enumerate(depth.items()):
        models = [gene.model for gene in genes if gene.chromosome == number]
        spliced = [Transcript(chrom, model.strand, list(model.exons)) for model in models if len(model.exons) > 1]
        covered = np.zeros(both.shape[1], dtype=bool)
        for transcript in spliced:
            covered[slice(*transcript.span)] = True
        tracks = {"+": both[0], "-": both[1]} if stranded else {".": both.sum(axis=0)}
        here = spliced
        for strand, values in tracks.items():
            runs = [Transcript(chrom, strand, [run]) for run in _runs(values, covered, config.read_length)]
            here += _fused(rng, runs, config.fused)
        found += sorted(here, key=lambda transcript: (transcript.span, transcript.strand))
    return found


def _runs(values: NDArray[np.int32], covered: NDArray[np.bool_], read_length: int) -> list[tuple[int, int]]:
    """Covered stretches outside spliced transcripts, those 50 bp apart as one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], values > 0, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return []
    apart = np.flatnonzero(starts[1:] - ends[:-1] > _JOIN)
    starts, ends = starts[np.append(0, apart + 1)], ends[np.append(apart, len(ends) - 1)]
    bases = np.append(0, np.cumsum(values))
    reads = (bases[ends] - bases[starts]) / read_length
    taken = np.append(0, np.cumsum(covered))
    kept = (ends - starts >= SHORTEST) & (reads >= _LEAST_READS) & (taken[ends] == taken[starts])
    return list(zip(starts[kept].tolist(), ends[kept].tolist(), strict=True))


def _fused(rng: np.random.Generator, runs: list[Transcript], share: float) -> list[Transcript]:
    """Now and then a transcript and the next one on its strand as one."""
    found: list[Transcript] = []
    for run in runs:
        near = bool(found) and run.span[0] - found[-1].span[1] <= _NEIGHBOUR
        if near and rng.random() < share:
            found[-1].exons = [(found[-1].span[0], run.span[1])]
        else:
            found.append(run)
    return found


def write_assembly(path: Path, transcripts: list[Transcript]) -> None:
    """GTF with transcript and exon rows, 1-based closed, as StringTie names them."""
    rows = ["# StringTie-like assembly of simulated reads\n"]
    for number, transcript in enumerate(transcripts, start=1):
        ids = f'gene_id "STRG.{number}"; transcript_id "STRG.{number}.1";'
        parts = [("transcript", *transcript.span)] + [("exon", *exon) for exon in transcript.exons]
        for feature, start, end in parts:
            place = f"{transcript.chromosome}\tStringTie\t{feature}\t{start + 1}\t{end}"
            rows.append(f"{place}\t1000\t{transcript.strand}\t.\t{ids}\n")
    path.write_text("".join(rows))
