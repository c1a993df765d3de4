"""Parameters of a simulation, and the motif grammar of its sequence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eregtools._keys import Var

Codes = NDArray[np.uint8]
Floats = NDArray[np.float64]

LETTERS: Final = np.frombuffer(b"ACGT", dtype=np.uint8)

MOTIFS: Final = {
    "activator1": "ATGACTCATC",
    "activator2": "ACCGGAAGTG",
    "booster": "GGTGTTGCAA",
    "blocker": "TCAGCACCAC",
    "class1": "CTATAAAAGG",
    "class2": "GCTTACGTAA",
    "class3": "CATTCCTCGG",
}
"""Consensus of each motif. Two instances differ in at most one base from it."""

ACTIVATORS: Final = ("activator1", "activator2")
GRADED: Final = (*ACTIVATORS, "booster")
"""Motifs whose affinity matters; of the others only the presence does."""

COPIES: Final = (0.4, 0.35, 0.25)
"""Probability of 0, 1 and 2 instances of a graded motif."""

MISMATCH_COST: Final = 0.4
"""Affinity = 1 − 0.4 · mismatches."""

CLOSE: Final = 0.5
"""Probability that an activator1 and an activator2, where there are both, are 2 to 6 bp apart."""

SYNERGY: Final = 0.8
"""What a close pair of activators adds, in units of one perfect instance."""

REACH: Final = 110
"""Instances lie within this many bp of the summit (or TSS): in the 256 bp of an activity predictor."""

_MOTIF: Final = 10
_CLOSE_GAPS: Final = (2, 6)
_MIN_GAP: Final = 12


@dataclass(frozen=True)
class SimulationConfig:
    """Parameters of :func:`~eregtools.datasets.simulate`.

    Attributes
    ----------
    n_chromosomes, chromosome_length
        Chromosomes (``chr1`` …), and their length in bp.
    n_genes, n_elements
        Genes and candidate enhancers on all chromosomes.
    samples
        Names of the biosamples. They share the sequence and what it codes; the rest of activity is their own.
    gc
        Share of G and C in the background.
    n_classes
        Classes of promoters, 1 to 3; every promoter has one.
    mismatch
        Share of motif instances that have one base other than the consensus.
    activity_median, activity_sd
        Median activity in reads per million, and standard deviation of log activity (natural logarithm).
    activity_in_sequence
        Share of the variance of log activity that activator motifs code.
    sequence_only
        Share of the variance of log effect (activity × potency, of elements that are not blocked) that booster
        motifs code and no track shows.
    inert
        Share of links whose element has no effect on the gene, however active and near: the element is blocked,
        or of a class that the promoter does not take.
    blocked
        Share of elements with a blocker motif, which have no effect on any gene.
    promoter_weight
        Weight of the promoter's own activity in the expression of its gene.
    stability_sd
        Standard deviation of the effect of mRNA features on log10 expression.
    expression_noise
        Standard deviation of the measurement noise of log10 expression.
    resolution
        Bin of the contact map in bp.
    contact_sd
        Standard deviation of the noise of log contact (natural logarithm).
    loops, loop_strength
        Share of links with a loop between their bins, and the factor by which it raises the contact.
    library
        Reads of each sequencing library in the whole genome, of which the chromosomes here are a part.
    track_sd
        Standard deviation of log reads beyond counting noise, of each assay and element.
    background_per_kb
        Background reads per kb of each track, everywhere.
    min_share
        Share of a gene's expression from which an enhancer counts as positive in the evaluation.
    share_noise
        Standard deviation of the noise with which a link's log share is measured, for the ceiling of the
        evaluation.
    n_variants
        Single-base variants, half of them in motif instances.

    Raises
    ------
    ValueError
        A parameter is out of its range; the message names it.

    Examples
    --------
    >>> from eregtools.datasets import SimulationConfig
    >>> round(SimulationConfig(n_classes=2, inert=0.4, blocked=0.1).class_specific, 3)
    0.667
    """

    n_chromosomes: int = 6
    chromosome_length: int = 2_000_000
    n_genes: int = 600
    n_elements: int = 1_800
    samples: tuple[str, ...] = ("sim",)
    gc: float = 0.42
    n_classes: int = 2
    mismatch: float = 0.2
    activity_median: float = 2.0
    activity_sd: float = 0.85
    activity_in_sequence: float = 0.8
    sequence_only: float = 0.35
    inert: float = 0.2
    blocked: float = 0.08
    promoter_weight: float = 1.0
    stability_sd: float = 0.06
    expression_noise: float = 0.06
    resolution: int = 5_000
    contact_sd: float = 0.3
    loops: float = 0.05
    loop_strength: float = 4.0
    library: float = 3e7
    track_sd: float = 0.15
    background_per_kb: float = 0.5
    min_share: float = 0.05
    share_noise: float = 0.5
    n_variants: int = 400

    def __post_init__(self) -> None:
        for name in ("n_chromosomes", "n_genes", "n_elements", "resolution", "n_variants"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1")
        for name in ("gc", "mismatch", "activity_in_sequence", "sequence_only", "inert", "blocked", "loops"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a share, from 0 to below 1")
        if not 1 <= self.n_classes <= 3:
            raise ValueError(f"n_classes={self.n_classes}: expected 1, 2 or 3")
        if not self.samples or len(set(self.samples)) < len(self.samples):
            raise ValueError(f"samples={self.samples}: expected different names")
        if bad := [name for name in self.samples if not name or not all(c.isalnum() or c in "-_." for c in name)]:
            raise ValueError(f"samples: {bad[0]!r} names files; expected letters, digits, '-', '_' or '.'")
        if not 0 <= self.class_specific <= 1:
            raise ValueError(
                f"inert={self.inert} cannot be reached with blocked={self.blocked} and {self.n_classes} classes; "
                f"expected {self.blocked} to {1 - (1 - self.blocked) / self.n_classes:.3g}"
            )
        room = self.chromosome_length / 10_000  # elements and promoters are at least 1.25 and 4 kb apart
        if (self.n_genes / 1.5 + self.n_elements / 4) / self.n_chromosomes > room or self.chromosome_length < 100_000:
            raise ValueError(
                f"{self.n_genes} genes and {self.n_elements} elements do not fit on {self.n_chromosomes} chromosomes "
                f"of {self.chromosome_length} bp; make them longer"
            )

    @property
    def class_specific(self) -> float:
        """Share of elements with a class motif; the others suit every promoter."""
        incompatible = 1 - (1 - self.inert) / (1 - self.blocked)
        if self.n_classes == 1:
            return 0.0 if abs(incompatible) < 1e-12 else np.inf
        return max(incompatible, -1.0) / (1 - 1 / self.n_classes)

    @property
    def potency_sd(self) -> float:
        """Standard deviation of log potency: what gives ``sequence_only`` its value."""
        return float(self.activity_sd * np.sqrt(self.sequence_only / (1 - self.sequence_only)))


@dataclass(frozen=True)
class Grammar:
    """What motifs are worth, derived from the stated shares of variance.

    Attributes
    ----------
    activator, activator_mean
        Log activity of one perfect activator instance, and the expected score that is subtracted.
    booster, booster_mean
        The same for log potency.
    """

    activator: float
    activator_mean: float
    booster: float
    booster_mean: float

    @classmethod
    def of(cls, config: SimulationConfig) -> Grammar:
        """Exact mean and variance of the scores over the law of the instances."""
        affinity = 1 - MISMATCH_COST * config.mismatch
        spread = MISMATCH_COST**2 * config.mismatch * (1 - config.mismatch)
        means, variances, weights = [], [], []
        for n1, p1 in enumerate(COPIES):
            for n2, p2 in enumerate(COPIES):
                both = SYNERGY * bool(n1 and n2)
                means.append((n1 + n2) * affinity + both * CLOSE)
                variances.append((n1 + n2) * spread + both**2 * CLOSE * (1 - CLOSE))
                weights.append(p1 * p2)
        mean, variance = _mixture(means, variances, weights)
        copies = range(len(COPIES))
        boosted, boost_variance = _mixture([n * affinity for n in copies], [n * spread for n in copies], list(COPIES))
        sequence_sd = config.activity_sd * np.sqrt(config.activity_in_sequence)
        return cls(
            activator=float(sequence_sd / np.sqrt(variance)),
            activator_mean=mean,
            booster=float(config.potency_sd / np.sqrt(boost_variance)),
            booster_mean=boosted,
        )


def _mixture(means: list[float], variances: list[float], weights: list[float]) -> tuple[float, float]:
    m, v, w = np.array(means), np.array(variances), np.array(weights)
    mean = float(w @ m)
    return mean, float(w @ v + w @ (m - mean) ** 2)


def encode(text: str) -> Codes:
    """Letters as codes A C G T = 0 1 2 3."""
    return np.array(["ACGT".index(letter) for letter in text], dtype=np.uint8)


def background(rng: np.random.Generator, length: int, gc: float) -> Codes:
    """Independent bases with a share of G and C, as codes."""
    at = (1 - gc) / 2
    bounds = np.array([at, at + gc / 2, at + gc], dtype=np.float32)
    return np.searchsorted(bounds, rng.random(length, dtype=np.float32), side="right").astype(np.uint8)


def draw_motifs(rng: np.random.Generator, n: int, config: SimulationConfig, *, promoter: bool) -> pd.DataFrame:
    """Motif instances of n sites (elements, or promoters).

    Returns
    -------
    One row for each instance: ``site`` (0 … n − 1), ``motif``, ``offset`` from the summit to its first base in
    the genome, ``Strand``, ``mismatch`` (0-based position in the consensus, −1 for none), ``close`` (whether the
    site has a close pair of activators).
    """
    copies = {name: rng.choice(len(COPIES), size=n, p=COPIES) for name in GRADED}
    blocked = rng.random(n) < (0.0 if promoter else config.blocked)
    has_class = rng.random(n) < (1.0 if promoter else config.class_specific)
    classes = rng.integers(1, config.n_classes + 1, size=n)
    close = (rng.random(n) < CLOSE) & (copies[ACTIVATORS[0]] > 0) & (copies[ACTIVATORS[1]] > 0)
    rows: list[tuple[int, str, int, bool]] = []
    for site in range(n):
        names = [name for name in GRADED for _ in range(copies[name][site])]
        names += ["blocker"] * int(blocked[site]) + [f"class{classes[site]}"] * int(has_class[site])
        rows += [(site, name, offset, bool(close[site])) for name, offset in _lay_out(rng, names, bool(close[site]))]
    frame = pd.DataFrame(rows, columns=["site", "motif", "offset", "close"])
    frame["Strand"] = np.where(rng.random(len(frame)) < 0.5, "+", "-")
    position = rng.integers(0, _MOTIF, size=len(frame))
    frame["mismatch"] = np.where(rng.random(len(frame)) < config.mismatch, position, -1)
    return frame


def _lay_out(rng: np.random.Generator, names: list[str], close: bool) -> list[tuple[str, int]]:
    """Offsets of the motifs of one site: in random order, at least 12 bp apart but for the close pair."""
    blocks: list[list[tuple[str, int]]] = [[(name, 0)] for name in names]
    if close:
        pair = [ACTIVATORS[k] for k in rng.permutation(2)]
        gap = int(rng.integers(_CLOSE_GAPS[0], _CLOSE_GAPS[1] + 1))
        for name in pair:
            blocks.remove([(name, 0)])
        blocks.append([(pair[0], 0), (pair[1], _MOTIF + gap)])
    order = rng.permutation(len(blocks))
    sizes = np.array([blocks[k][-1][1] + _MOTIF for k in order], dtype=np.int64)
    spare = 2 * REACH - int(sizes.sum()) - _MIN_GAP * max(len(blocks) - 1, 0)
    shifts = np.sort(rng.integers(0, spare + 1, size=len(blocks)))
    begins = -REACH + shifts + np.concatenate([[0], np.cumsum(sizes + _MIN_GAP)[:-1]]).astype(np.int64)[: len(blocks)]
    return [(name, int(begin) + at) for k, begin in zip(order, begins, strict=True) for name, at in blocks[k]]


def plant(rng: np.random.Generator, codes: Codes, starts: NDArray[np.int64], motifs: pd.DataFrame) -> None:
    """Write motif instances into a chromosome, in place; ``starts`` are their first bases."""
    for start, name, strand, mismatch in zip(
        starts.tolist(), motifs["motif"], motifs["Strand"], motifs["mismatch"], strict=True
    ):
        word = encode(MOTIFS[name])
        if mismatch >= 0:
            word[mismatch] = (word[mismatch] + rng.integers(1, 4)) % 4
        codes[start : start + _MOTIF] = word if strand == "+" else 3 - word[::-1]


def score(motifs: pd.DataFrame, n: int, config: SimulationConfig) -> pd.DataFrame:
    """Compute what the instances of each site code.

    Returns
    -------
    One row for each site: ``log_activity`` and ``log_potency`` (natural logarithms, mean 0 over the law of the
    instances), ``blocked``, ``class`` (0: suits every promoter).
    """
    grammar = Grammar.of(config)
    affinity = 1 - MISMATCH_COST * (motifs["mismatch"] >= 0)
    dose = {}
    for name, members in (("activators", ACTIVATORS), ("booster", ("booster",))):
        chosen = motifs["motif"].isin(members)
        dose[name] = np.bincount(motifs["site"][chosen], weights=affinity[chosen], minlength=n)
    close = np.zeros(n, dtype=bool)
    close[motifs["site"][motifs["close"]]] = True
    blocked = np.zeros(n, dtype=bool)
    blocked[motifs["site"][motifs["motif"] == "blocker"]] = True
    classes = np.zeros(n, dtype=np.int64)
    with_class = motifs[motifs["motif"].str.startswith("class")]
    classes[with_class["site"]] = with_class["motif"].str[-1].astype(np.int64)
    return pd.DataFrame(
        {
            "log_activity": grammar.activator * (dose["activators"] + SYNERGY * close - grammar.activator_mean),
            "log_potency": grammar.booster * (dose["booster"] - grammar.booster_mean),
            "blocked": blocked,
            "class": classes,
        }
    )


def draw_variants(
    rng: np.random.Generator,
    config: SimulationConfig,
    chromosomes: Mapping[str, Codes],
    motifs: pd.DataFrame,
    elements: pd.DataFrame,
) -> pd.DataFrame:
    """Single-base variants: half in activator and booster instances, half in elements outside instances.

    Returns
    -------
    ``Chromosome``, ``position`` (0-based), ``site``, ``motif``, ``ref``, ``alt``, and the change of log
    ``activity`` and ``potency``, in genome order.
    """
    grammar = Grammar.of(config)
    worth = {**dict.fromkeys(ACTIVATORS, (grammar.activator, 0.0)), "booster": (0.0, grammar.booster)}
    columns = [Var.chromosome, "position", "site", "motif", "ref", "alt", "activity", "potency"]
    rows: dict[tuple[str, int], list[Any]] = {}

    graded = motifs[motifs["motif"].isin(GRADED)]
    chosen = graded.iloc[rng.permutation(len(graded))[: config.n_variants // 2]]
    fields = (chosen[name].tolist() for name in ("site", "motif", Var.chromosome, Var.start, Var.strand))
    for site, name, chrom, start, strand in zip(*fields, strict=True):
        at = int(rng.integers(_MOTIF))
        ref, alt = _substitution(rng, chromosomes[chrom][start + at])
        word = encode(MOTIFS[name])
        wanted = int((word if strand == "+" else 3 - word[::-1])[at])
        change = MISMATCH_COST * (int(ref != wanted) - int(alt != wanted))
        effects = [change * unit for unit in worth[name]]
        rows[chrom, start + at] = [site, name, ref, alt, *effects]

    held = {
        (chrom, position)
        for chrom, start in zip(motifs[Var.chromosome], motifs[Var.start].tolist(), strict=True)
        for position in range(start, start + _MOTIF)
    }
    starts, ends = (elements[name].to_numpy() for name in (Var.start, Var.end))
    names, on = elements.index.to_numpy(), elements[Var.chromosome].to_numpy()
    for k in rng.integers(0, len(elements), size=20 * config.n_variants).tolist():
        place = (on[k], int(rng.integers(starts[k], ends[k])))
        if len(rows) < config.n_variants and place not in held and place not in rows:
            rows[place] = [names[k], ".", *_substitution(rng, chromosomes[place[0]][place[1]]), 0.0, 0.0]

    order = {name: k for k, name in enumerate(chromosomes)}
    places = sorted(rows, key=lambda place: (order[place[0]], place[1]))
    table = pd.DataFrame([[*place, *rows[place]] for place in places], columns=columns)
    for name in ("ref", "alt"):
        table[name] = [chr(LETTERS[code]) for code in table[name]]
    return table


def _substitution(rng: np.random.Generator, ref: np.uint8) -> tuple[int, int]:
    return int(ref), int((int(ref) + rng.integers(1, 4)) % 4)
