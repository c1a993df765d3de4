"""Where genes and loci of a simulated transcribed genome lie, and its sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools.batches.encode import UNKNOWN
from eregtools.datasets._erna_grammar import SequenceLaw, draw_sequences, plant_grammar
from eregtools.datasets._erna_reads import Locus, ReadLaw
from eregtools.datasets._erna_tasks import APART, JITTER
from eregtools.datasets._regulation import Gene, spaced

if TYPE_CHECKING:
    from numpy.typing import NDArray

POSITIVE: Final = "positive"
PROMOTER: Final = "promoter"

CONFOUNDERS: Final = {"silent": 3.0, "misalign": 3.0, "swap": 1.0, "uni": 4.0, "poised": 8.0}
"""Confounders on a million bases."""

CORE: Final = 200
"""A locus is the bases up to this far from its centre."""

LIBRARIES: Final = ("stranded", "unstranded", "swapped")

_SEGMENT = 10_000  # bases of one GC share
_EDGE, _APART = 5_000, 3_000
_AROUND_TSS, _AROUND_EXON, _AROUND_GAP = 1_500, 900, 1_500
GAP_WIDTHS, ARTEFACT_WIDTHS = (5_000, 20_001), (1_000, 3_001)
_MISALIGNED = (APART, 400)


@dataclass(frozen=True)
class ErnaGenomeConfig:
    """Parameters of :func:`~eregtools.datasets.simulate_erna_genome`.

    Attributes
    ----------
    n_chromosomes, chromosome_length
        Chromosomes (``chr1`` …), and their length in bp, a multiple of 10,000.
    locus_spacing
        Bases of a chromosome for each enhancer-RNA locus.
    genes, gaps, artefacts
        Genes, runs of N and blacklisted regions of a chromosome.
    confounders
        Loci of each kind on a million bases, see Notes of the function.
    tandem, tandem_distances
        Share of loci that have a second one beside them, and how far the two centres are apart.
    gc, gc_sd, lone_motifs
        Background sequence: share of G and C, how much it differs between stretches of 10 kb, single motifs on 10 kb.
    reads, plus_shares, gap_lengths, decay, background, read_length
        Transcription of a locus, as ``reads``, ``plus_shares``, ``gaps`` … of
        :class:`~eregtools.datasets.ErnaSimulationConfig`.
    libraries
        One biosample each: ``"stranded"``, ``"unstranded"`` (each read on either strand) or ``"swapped"`` (the files
        of the strands are exchanged).
    negative
        Biosamples (``s1``, ``s2`` …) whose minus file has negative values.
    cell_types
        Cell type of each biosample; those of one cell type transcribe the same loci and genes. Empty: what is
        transcribed is drawn for each biosample.
    depth_sd
        Standard deviation of the log size of libraries (natural logarithm).
    active, expressed
        Probability that a locus is transcribed in a biosample, and that a gene is.
    exon_reads, intronic, antisense
        Median reads on a kb of exons; density in introns, and on the other strand, as a share of it.
    read_through
        Reads behind a gene as a share of those in its exons; they end within a few kb.
    fused
        Probability that an assembled transcript and its neighbour on the strand are reported as one.

    Raises
    ------
    ValueError
        A parameter is out of its range; the message names it.

    Examples
    --------
    >>> import eregtools as er
    >>> config = er.datasets.ErnaGenomeConfig(n_chromosomes=1, libraries=("stranded", "swapped"), negative=("s2",))
    >>> config.chromosome_length // config.locus_spacing
    100
    """

    n_chromosomes: int = 3
    chromosome_length: int = 2_000_000
    locus_spacing: int = 20_000
    genes: int = 30
    gaps: int = 2
    artefacts: int = 2
    confounders: Mapping[str, float] = field(default_factory=lambda: dict(CONFOUNDERS))
    tandem: float = 0.0
    tandem_distances: tuple[int, ...] = (300, 600, 1_000)
    gc: float = 0.42
    gc_sd: float = 0.03
    lone_motifs: float = 0.0
    reads: tuple[float, ...] = (20.0, 40.0, 80.0)
    plus_shares: tuple[float, ...] = (0.2, 0.35, 0.5, 0.65, 0.8)
    gap_lengths: tuple[int, ...] = (40, 80, 120, 200)
    decay: float = 150.0
    background: float = 0.001
    read_length: int = 75
    libraries: tuple[str, ...] = ("stranded", "stranded", "unstranded", "swapped")
    negative: tuple[str, ...] = ("s2",)
    cell_types: tuple[str, ...] = ()
    depth_sd: float = 0.3
    active: float = 0.7
    expressed: float = 0.8
    exon_reads: float = 60.0
    intronic: float = 0.1
    antisense: float = 0.02
    read_through: float = 0.1
    fused: float = 0.05

    def __post_init__(self) -> None:
        for name in ("tandem_distances", "reads", "plus_shares", "gap_lengths", "libraries", "negative", "cell_types"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "confounders", dict(self.confounders))
        for name in ("n_chromosomes", "genes", "locus_spacing"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        if self.chromosome_length < 200_000 or self.chromosome_length % _SEGMENT:
            raise ValueError(f"chromosome_length={self.chromosome_length}: expected a multiple of 10,000 from 200,000")
        for name in ("tandem", "active", "expressed", "intronic", "antisense", "read_through", "fused"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a share between 0 and 1")
        if unknown := sorted(set(self.confounders) - set(CONFOUNDERS)):
            raise ValueError(f"confounders: there is no kind {unknown[0]!r}; expected {', '.join(CONFOUNDERS)}")
        if not self.libraries or (wrong := sorted(set(self.libraries) - set(LIBRARIES))):
            raise ValueError(f"libraries={self.libraries}: expected one or more of {', '.join(LIBRARIES)}")
        if wrong := sorted(set(self.negative) - set(self.samples)):
            raise ValueError(f"negative: there is no biosample {wrong[0]!r}; expected of {', '.join(self.samples)}")
        if self.cell_types and len(self.cell_types) != len(self.libraries):
            raise ValueError(
                f"cell_types has {len(self.cell_types)} names; expected one for each of {len(self.libraries)} libraries"
            )
        if min(self.tandem_distances, default=0) < 1:
            raise ValueError(f"tandem_distances={self.tandem_distances}: expected positive numbers of bases")
        self.read_law, self.sequence_law  # noqa: B018

    @property
    def samples(self) -> tuple[str, ...]:
        """Names of the biosamples."""
        return tuple(f"s{k + 1}" for k in range(len(self.libraries)))

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length of each chromosome."""
        return {f"chr{k + 1}": self.chromosome_length for k in range(self.n_chromosomes)}

    @property
    def read_law(self) -> ReadLaw:
        """How reads of a locus are drawn."""
        return ReadLaw(self.reads, self.plus_shares, self.gap_lengths, self.decay, self.background, self.read_length)

    @property
    def sequence_law(self) -> SequenceLaw:
        """How a stretch of sequence is drawn."""
        return SequenceLaw(_SEGMENT, self.gc, self.gc_sd, self.lone_motifs)


@dataclass
class Annotated:
    """A gene and its chromosome (number)."""

    chromosome: int
    model: Gene


def blocked_bases(genes: list[Gene], config: ErnaGenomeConfig) -> NDArray[np.bool_]:
    """Bases on which no locus can have its centre ``(chromosome_length,)``."""
    blocked = np.zeros(config.chromosome_length, dtype=bool)
    blocked[:_EDGE] = blocked[-_EDGE:] = True
    for gene in genes:
        blocked[max(gene.tss - _AROUND_TSS, 0) : gene.tss + _AROUND_TSS] = True
        for start, end in gene.exons:
            blocked[max(start - _AROUND_EXON, 0) : end + _AROUND_EXON] = True
    return blocked


def free_span(rng: np.random.Generator, blocked: NDArray[np.bool_], widths: tuple[int, int]) -> tuple[int, int]:
    """Draw a stretch that nothing occupies; it and its surroundings are blocked from then on."""
    for _ in range(1_000):
        width = int(rng.integers(*widths))
        start = int(rng.integers(0, len(blocked) - width))
        if not blocked[start : start + width].any():
            blocked[max(start - _AROUND_GAP, 0) : start + width + _AROUND_GAP] = True
            return start, start + width
    raise ValueError("there is no room for gaps and artefacts between the genes; make chromosomes longer")


def place_loci(
    rng: np.random.Generator, genes: list[Gene], blocked: NDArray[np.bool_], config: ErnaGenomeConfig
) -> pd.DataFrame:
    """Kind, centre of RNA and middle of the grammar of the loci of one chromosome; promoters are at their genes."""
    million = config.chromosome_length / 1e6
    sizes = {kind: round(config.confounders.get(kind, 0) * million) for kind in CONFOUNDERS}
    n_positive = config.chromosome_length // config.locus_spacing
    n = n_positive + sum(sizes.values())
    room = max(config.tandem_distances) if config.tandem else 0
    proposed = rng.integers(0, len(blocked), 100 * n)
    proposed = proposed[~blocked[proposed] & ~blocked[np.minimum(proposed + room, len(blocked) - 1)]]
    centre = np.array(spaced(n, proposed, [], _APART + room, 0), dtype=np.int64)
    kinds = np.repeat([POSITIVE, *sizes], [n_positive, *sizes.values()])
    table = pd.DataFrame({Var.stratum: kinds, Var.center: rng.permutation(centre), "tandem": 0})
    second = table[(table[Var.stratum] == POSITIVE) & (rng.random(n) < config.tandem)]
    if len(second):
        apart = rng.choice(config.tandem_distances, len(second))
        table.loc[second.index, "tandem"] = apart
        table = pd.concat([table, second.assign(center=second[Var.center] + apart, tandem=apart)], ignore_index=True)
    promoters = pd.DataFrame({Var.stratum: PROMOTER, Var.center: [gene.tss for gene in genes], "tandem": 0})
    table = pd.concat([table, promoters], ignore_index=True).sort_values(Var.center, kind="stable", ignore_index=True)
    offset = rng.integers(-JITTER, JITTER + 1, len(table))
    away = (table[Var.stratum] == "misalign").to_numpy()
    offset[away] = rng.integers(*_MISALIGNED, int(away.sum())) * rng.choice([-1, 1], int(away.sum()))
    table["grammar"] = np.where(table[Var.stratum] == "silent", -1, table[Var.center] + offset)
    return table


def with_transcription(rng: np.random.Generator, loci: pd.DataFrame, config: ErnaGenomeConfig) -> pd.DataFrame:
    """Intervals of the loci, and how each is transcribed where it is."""
    centre = loci[Var.center].to_numpy()
    locus = Locus.draw(rng, config.read_law, centre)
    arm = rng.integers(0, 2, len(loci))
    names = np.array(list(config.chrom_sizes), dtype=object)
    return pd.DataFrame(
        {
            Var.chromosome: names[loci["chromosome"]],
            Var.start: np.maximum(centre - CORE, 0),
            Var.end: np.minimum(centre + CORE, config.chromosome_length),
            Var.center: centre,
            Var.stratum: loci[Var.stratum],
            "grammar": loci["grammar"],
            "tandem": loci["tandem"],
            "expected_reads": np.where(loci[Var.stratum] == "poised", 0.0, locus.reads),
            "plus_share": locus.plus_share,
            "gap": locus.gap,
            "arm": np.where(loci[Var.stratum] == "uni", arm, -1),
        }
    )


def draw_chromosomes(
    rng: np.random.Generator, loci: pd.DataFrame, gaps: pd.DataFrame, config: ErnaGenomeConfig
) -> dict[str, NDArray[np.uint8]]:
    found = {}
    for chrom, length in config.chrom_sizes.items():
        nothing = np.full(length // _SEGMENT, -1, dtype=np.int64)
        codes = draw_sequences(rng, config.sequence_law, nothing).reshape(1, -1)
        middle = loci.loc[(loci[Var.chromosome] == chrom) & (loci["grammar"] >= 0), "grammar"].to_numpy()
        plant_grammar(rng, codes, np.zeros(len(middle), dtype=np.int64), middle)
        for start, end in gaps.loc[gaps[Var.chromosome] == chrom, [Var.start, Var.end]].itertuples(index=False):
            codes[0, start:end] = UNKNOWN
        found[chrom] = codes[0]
    return found
