"""Where genes and elements of a simulation lie, what links them, and what follows for expression."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eregtools._keys import MRNA_FEATURES, Var
from eregtools.datasets._grammar import Codes, Floats, SimulationConfig

Ints = NDArray[np.int64]

MIN_DISTANCE: Final = 1_000
MAX_DISTANCE: Final = 100_000
"""Links are between these distances in bp, both excluded (the default of ``er.pp.link``)."""

PROMOTER_HALF_WIDTH: Final = 500
"""Reads of a promoter are those within this many bp of its TSS."""

CONTACT_UNIT: Final = 65_536
"""Counts of the contact map per unit of contact; a power of 4, so that counts · weight² are exact."""

EXPRESSION_UNIT: Final = 50.0
"""Expression of a gene with transcription 1."""

REPLICATES: Final = {"DNase": 1, "H3K27ac": 2}
"""Tracks of each assay."""

STABILITY: Final = {"ORFEXONDENSITY": 0.7, "UTR3LEN_log10zscore": -0.5, "UTR5GC": -0.5}
"""Weight of the standardised mRNA features in log stability; the others have none."""

_TSS_GAP = 4_000
_ELEMENT_GAP = 1_250
_EDGE = 2_000
_NEAR_GENES = 0.5  # share of elements placed around genes, so that genes differ in how many they have
_SPREAD = 25_000
_POWER_LAW = {"gamma": 1.024238616787792, "scale": 5.9594510043736655}  # of the ABC model, as in er.pp.add_contacts


# ---------------------------------------------------------------------------------------------------------
# Places


@dataclass
class Gene:
    """One gene, with one transcript."""

    tss: int
    strand: str
    exons: list[tuple[int, int]]
    coding: list[tuple[int, int]]
    utr5: list[tuple[int, int]]
    utr3: list[tuple[int, int]]

    @property
    def span(self) -> tuple[int, int]:
        return min(start for start, _ in self.exons), max(end for _, end in self.exons)


def place_genes(rng: np.random.Generator, n: int, length: int) -> list[Gene]:
    """Genes of one chromosome, in the order of their TSSs."""
    genes = []
    for tss in spaced(n, rng.integers(_EDGE, length - _EDGE, size=50 * n), [], _TSS_GAP, 0):
        strand = "+" if rng.random() < 0.5 else "-"
        room = (length - tss if strand == "+" else tss) - 100
        pieces = _transcript(rng, room)
        genes.append(Gene(tss, strand, *(_on_genome(part, tss, strand) for part in pieces)))
    return genes


def place_elements(rng: np.random.Generator, n: int, length: int, tss: list[int]) -> pd.DataFrame:
    """Elements of one chromosome: Start, End and summit, in genome order, outside promoters."""
    tries = 50 * n
    around = np.array(tss)[rng.integers(0, len(tss), size=tries)] + rng.laplace(0, _SPREAD, size=tries).astype(np.int64)
    proposed = np.where(rng.random(tries) < _NEAR_GENES, around, rng.integers(_EDGE, length - _EDGE, size=tries))
    proposed = proposed[(proposed >= _EDGE) & (proposed < length - _EDGE)]
    summit = np.array(spaced(n, proposed, tss, _ELEMENT_GAP, 1_500), dtype=np.int64)
    start = summit - rng.integers(200, 276, size=n)
    return pd.DataFrame({Var.start: start, Var.end: start + rng.integers(476, 551, size=n), Var.summit: summit})


def spaced(n: int, proposed: Ints, avoid: list[int], gap: int, clearance: int) -> list[int]:
    """Take the first ``n`` proposed positions that are ``gap`` bp apart and ``clearance`` from others, ascending.

    Raises
    ------
    ValueError
        There are not as many.
    """
    taken: list[int] = []
    for position in proposed.tolist():
        at = bisect(taken, position)
        if any(abs(position - other) < gap for other in taken[max(at - 1, 0) : at + 1]):
            continue
        near = bisect(avoid, position)
        if any(abs(position - other) < clearance for other in avoid[max(near - 1, 0) : near + 1]):
            continue
        taken.insert(at, position)
        if len(taken) == n:
            return taken
    raise ValueError(f"only {len(taken)} of {n} places found on a chromosome; make chromosomes longer")


Pieces = list[tuple[int, int]]


def _transcript(rng: np.random.Generator, room: int) -> tuple[Pieces, Pieces, Pieces, Pieces]:
    """Exons, CDS, 5′ and 3′ UTR as intervals from the TSS."""
    utr5, coding, utr3 = (int(rng.integers(*bounds)) for bounds in ((60, 250), (100, 500), (150, 900)))
    ends = np.cumsum([utr5, 3 * coding, utr3])
    n_introns = int(rng.integers(1, 6))
    cuts = np.sort(rng.choice(np.arange(1, ends[-1] // 30), size=n_introns, replace=False)) * 30
    introns = rng.integers(100, 1_500, size=n_introns)
    introns = np.maximum(introns * min(1.0, (room - ends[-1]) / introns.sum()), 1).astype(np.int64)
    bounds = [0, *cuts.tolist(), int(ends[-1])]
    shifts = [0, *np.cumsum(introns).tolist()]

    def part(first: int, last: int) -> Pieces:
        pieces = []
        for start, end, shift in zip(bounds[:-1], bounds[1:], shifts, strict=True):
            low, high = max(start, first), min(end, last)
            if low < high:
                pieces.append((low + shift, high + shift))
        return pieces

    whole = part(0, int(ends[-1]))
    return whole, part(int(ends[0]), int(ends[1])), part(0, int(ends[0])), part(int(ends[1]), int(ends[2]))


def _on_genome(pieces: Pieces, tss: int, strand: str) -> Pieces:
    if strand == "+":
        return [(tss + start, tss + end) for start, end in pieces]
    return sorted((tss - end + 1, tss - start + 1) for start, end in pieces)


def mrna_features(genes: list[Gene], chromosomes: list[Codes]) -> pd.DataFrame:
    """Compute the eight mRNA features of each gene from annotation and sequence (``chromosomes[k]`` is gene k's)."""
    rows = []
    for gene, codes in zip(genes, chromosomes, strict=True):
        lengths = [sum(end - start for start, end in part) for part in (gene.utr5, gene.coding, gene.utr3)]
        start, end = gene.span
        intron = end - start - sum(lengths)
        contents = []
        for part in (gene.utr5, gene.coding, gene.utr3):
            bases = np.concatenate([codes[low:high] for low, high in part])
            contents.append(float(((bases == 1) | (bases == 2)).mean()))
        density = (len(gene.exons) - 1) / (lengths[1] / 1000)
        rows.append([lengths[0], lengths[1], intron, lengths[2], *contents, density])
    table = np.array(rows, dtype=np.float64)
    table[:, :4] = _standardised(np.log10(table[:, :4]))
    return pd.DataFrame(table, columns=list(MRNA_FEATURES))


def log10_stability(features: pd.DataFrame, sd: float) -> Floats:
    """Effect of the mRNA features on log10 expression: mean 0, standard deviation ``sd`` over the genes."""
    raw = _standardised(features[list(STABILITY)].to_numpy()) @ np.array(list(STABILITY.values()))
    return sd * _standardised(raw)


def _standardised(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


# ---------------------------------------------------------------------------------------------------------
# Links and contacts


def find_links(genes: pd.DataFrame, elements: pd.DataFrame) -> pd.DataFrame:
    """Find pairs of one chromosome within the distances, by gene, then absolute distance.

    Parameters
    ----------
    genes
        Chromosome, Strand and tss.
    elements
        Chromosome, Start and End.

    Returns
    -------
    Rows ``gene`` and ``element``, and ``distance`` in bp (negative = upstream).
    """
    parts = []
    for chrom in genes[Var.chromosome].unique():
        g = np.flatnonzero(genes[Var.chromosome] == chrom)
        e = np.flatnonzero(elements[Var.chromosome] == chrom)
        doubled = (elements[Var.start] + elements[Var.end]).to_numpy()[e]
        apart = doubled[None, :] - 2 * genes[Var.tss].to_numpy()[g][:, None]
        row, col = np.nonzero((np.abs(apart) > 2 * MIN_DISTANCE) & (np.abs(apart) < 2 * MAX_DISTANCE))
        sign = np.where(genes[Var.strand].to_numpy()[g][row] == "-", -1, 1)
        parts.append(pd.DataFrame({"gene": g[row], "element": e[col], "distance": sign * apart[row, col] / 2}))
    links = pd.concat(parts, ignore_index=True)
    order = np.lexsort((links["element"], links["distance"].abs(), links["gene"]))
    return links.iloc[order].reset_index(drop=True)


@dataclass
class ContactMap:
    """Upper triangle of the contacts within chromosomes, in bins over the whole genome.

    Attributes
    ----------
    bins
        chrom, start, end.
    first, second, count
        Pixels, sorted; ``contact = count / 65536``.
    """

    bins: pd.DataFrame
    first: Ints
    second: Ints
    count: Ints

    def between(self, one: Ints, other: Ints) -> Floats:
        """Contact of pairs of bins; 0 where there is no pixel."""
        keys = self.first * len(self.bins) + self.second
        wanted = np.minimum(one, other) * len(self.bins) + np.maximum(one, other)
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[at] == wanted, self.count[at], 0) / CONTACT_UNIT


def bin_of(chromosome: pd.Series, position: pd.Series, config: SimulationConfig) -> Ints:
    """Bin of the contact map that holds each position (a half base is rounded down)."""
    per_chromosome = -(-config.chromosome_length // config.resolution)
    number = chromosome.str.removeprefix("chr").astype(np.int64).to_numpy() - 1
    return (number * per_chromosome + position.to_numpy() // config.resolution).astype(np.int64)


def draw_contacts(rng: np.random.Generator, config: SimulationConfig, one: Ints, other: Ints) -> ContactMap:
    """Power law of the distance of bins × log-normal noise, and loops between some of the linked bins."""
    per_chromosome = -(-config.chromosome_length // config.resolution)
    starts = np.arange(per_chromosome) * config.resolution
    bins = pd.DataFrame(
        {
            "chrom": np.repeat([f"chr{k + 1}" for k in range(config.n_chromosomes)], per_chromosome),
            "start": np.tile(starts, config.n_chromosomes),
            "end": np.tile(np.minimum(starts + config.resolution, config.chromosome_length), config.n_chromosomes),
        }
    )
    farthest = min(2 * MAX_DISTANCE // config.resolution, per_chromosome - 1)
    offset = np.arange(len(bins)) % per_chromosome
    steps = np.arange(farthest + 1)
    inside = offset[:, None] + steps[None, :] < per_chromosome
    first, step = np.nonzero(inside)
    second = first + step
    reached = np.maximum(step * config.resolution, 5_000)
    expected = np.exp(_POWER_LAW["scale"] - _POWER_LAW["gamma"] * np.log(reached + 1))
    contact = expected * np.exp(config.contact_sd * rng.standard_normal(len(expected)))
    pairs = np.unique(np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1), axis=0)
    looped = pairs[rng.random(len(pairs)) < config.loops]
    at_loop = np.isin(first * len(bins) + second, looped[:, 0] * len(bins) + looped[:, 1]) & (step > 0)
    count = np.rint(np.where(at_loop, config.loop_strength, 1.0) * contact * CONTACT_UNIT).astype(np.int64)
    return ContactMap(bins, first, second, np.maximum(count, 1))


# ---------------------------------------------------------------------------------------------------------
# Reads


def draw_reads(
    rng: np.random.Generator, log_activity: Floats, centre: Ints, half_width: int, config: SimulationConfig
) -> Ints:
    """5′ ends of the reads of sites on one chromosome: sorted positions, within ``half_width`` of the centres."""
    rate = np.exp(log_activity + config.track_sd * rng.standard_normal(len(centre)) - config.track_sd**2 / 2)
    counts = rng.poisson(rate * config.library / 1e6)
    spread = rng.normal(0, half_width / 2.5, size=int(counts.sum()))
    inside = np.clip(spread, 1 - half_width, half_width - 1).astype(np.int64)
    return np.repeat(centre, counts) + inside


def counts_within(reads: Ints, start: Ints, end: Ints) -> Ints:
    """Count reads (sorted positions) in each interval."""
    counts: Ints = np.searchsorted(reads, end) - np.searchsorted(reads, start)
    return counts


# ---------------------------------------------------------------------------------------------------------
# Evaluation


def average_precision(positive: NDArray[np.bool_], score: Floats) -> float:
    """Area under the precision-recall curve as a step function; equal scores are one step."""
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    gained = np.diff(hits[last], prepend=0)
    return float((gained * hits[last] / (last + 1)).sum() / hits[-1])


def evaluate_links(links: pd.DataFrame, share_noise: Floats) -> dict[str, float]:
    """AUPRC of ABC, of the distance and of the noisy truth, and what a random order would have."""
    positive = links["positive"].to_numpy()
    if not positive.any():
        return {"abc_auprc": np.nan, "distance_auprc": np.nan, "ceiling_auprc": np.nan, "positives": 0.0}
    return {
        "abc_auprc": average_precision(positive, links["abc"].to_numpy()),
        "distance_auprc": average_precision(positive, -links["distance"].abs().to_numpy()),
        "ceiling_auprc": average_precision(positive, links["share"].to_numpy() * np.exp(share_noise)),
        "positives": float(positive.mean()),
    }
