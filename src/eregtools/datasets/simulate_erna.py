"""Simulated enhancer-RNA loci with their truth and the exact best score."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from eregtools._bins import BIN_SIZE
from eregtools.batches.loci import LocusWindows, running_mean
from eregtools.datasets import _erna_reads as rna
from eregtools.datasets._erna_bayes import READ_THROUGH, log_odds_of_alignment, log_odds_of_confounders
from eregtools.datasets._erna_config import ErnaSimulationConfig
from eregtools.datasets._erna_grammar import draw_sequences
from eregtools.datasets._erna_reads import Locus, Reads
from eregtools.datasets._erna_tasks import Placement, repair, strata_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Task = Literal["align", "align-long", "confounders", "units"]

_LOCI_AT_A_TIME = 500


@dataclass(frozen=True)
class ErnaSimulation:
    """What :func:`simulate_erna` draws.

    Attributes
    ----------
    task
        Which task it is.
    codes
        Sequence ``(n_sequences, width)``, 0–3 bases, 4 unknown.
    counts
        Reads whose 5′ end is at each base, plus and minus strand ``(n_tracks, 2, width)``.
    coverage
        Mean coverage of 8-bp bins ``(n_tracks, 2, width // 8)``, not normalised.
    local_mean
        Running mean of the coverage around each bin, of the same shape.
    pairs
        One row a locus: ``sequence`` and ``track`` (rows of the arrays above), ``label`` (1 or 0), ``stratum``.
    sequences
        ``grammar``: middle of the pair of motifs in each window, -1 where there is none.
    tracks
        ``rna``: centre of divergent transcription, -1 where there is none; ``reads``, ``plus_share``, ``gap``: its
        parameters; ``stranded``: whether strands tell.
    config
        The parameters.

    Examples
    --------
    >>> import eregtools as er
    >>> simulation = er.datasets.simulate_erna("confounders", n=50)
    >>> isinstance(simulation, er.datasets.ErnaSimulation), simulation.codes.shape, simulation.coverage.shape
    (True, (100, 1280), (100, 2, 160))
    >>> simulation.pairs["stratum"].value_counts().head(2).to_dict()
    {'positive': 50, 'misalign': 13}
    """

    task: Task
    codes: NDArray[np.uint8]
    counts: NDArray[np.uint16]
    coverage: NDArray[np.float32]
    local_mean: NDArray[np.float32]
    pairs: pd.DataFrame
    sequences: pd.DataFrame
    tracks: pd.DataFrame
    config: ErnaSimulationConfig

    def __repr__(self) -> str:
        n = int(self.labels.sum())
        return f"ErnaSimulation({self.task!r}, {n} positives, {len(self.pairs) - n} negatives)"

    @property
    def labels(self) -> NDArray[np.float32]:
        """1 for a positive, 0 for a negative ``(n,)``."""
        return self.pairs["label"].to_numpy(np.float32)

    @property
    def strata(self) -> NDArray[np.str_]:
        """Kind of each locus ``(n,)``."""
        return self.pairs["stratum"].to_numpy(str)

    @property
    def placement(self) -> Placement:
        """Law of the places of grammar and RNA."""
        return _placement(self.task, self.config)

    @property
    def redraws(self) -> bool:
        """Whether negatives are re-paired positives, which can be paired anew."""
        return self.task in ("align", "align-long")

    def windows(self) -> LocusWindows:
        """Loci as a model reads them; a positive's centre is that of its RNA."""
        track = self.pairs["track"].to_numpy(np.int64)
        return LocusWindows(
            codes=self.codes,
            coverage=np.abs(self.coverage),
            local_mean=np.abs(self.local_mean),
            library_size=np.full(len(self.coverage), self.config.library_size),
            stranded=self.tracks["stranded"].to_numpy(bool),
            sequence=self.pairs["sequence"].to_numpy(np.int64),
            track=track,
            label=self.labels,
            centre=self.tracks["rna"].to_numpy(np.int64)[track],
        )

    def repaired(self, seed: int | Sequence[int]) -> ErnaSimulation:
        """Pair the negatives anew; positives stay.

        Raises
        ------
        ValueError
            Negatives of this task are no re-paired positives, or there are too few pairs.
        """
        if not self.redraws:
            raise ValueError(f"negatives of task {self.task!r} are drawn by themselves; those of 'align' are re-paired")
        positives = self.pairs[self.pairs["label"] == 1]
        places = self.sequences["grammar"].to_numpy(), self.tracks["rna"].to_numpy()
        return replace(self, pairs=_with_repaired(np.random.default_rng(seed), positives, *places, self.placement))

    def split(self, share: float = 0.1) -> tuple[ErnaSimulation, ErnaSimulation]:
        """Two parts that have no sequence and no track in common; the second one holds about that share of the loci.

        Negatives that are re-paired positives are paired anew within each part.
        """
        if not 0 < share < 1:
            raise ValueError(f"share is {share}; expected a number between 0 and 1")
        n = len(self.codes)
        cut = np.rint(np.arange(1, n + 1) * share).astype(int)
        second = np.diff(cut, prepend=0) > 0  # evenly spread, so that every stratum is in both
        return self._part(~second), self._part(second)

    def _part(self, kept: NDArray[np.bool_]) -> ErnaSimulation:
        rows = np.flatnonzero(kept)
        new = np.full(len(kept), -1)
        new[rows] = np.arange(len(rows))
        pairs = self.pairs
        if self.redraws:
            pairs = pairs[pairs["label"] == 1]
        pairs = pairs[kept[pairs["sequence"]] & kept[pairs["track"]]].reset_index(drop=True)
        pairs = pairs.assign(sequence=new[pairs["sequence"]], track=new[pairs["track"]])
        part = replace(
            self,
            codes=self.codes[rows],
            counts=self.counts[rows],
            coverage=self.coverage[rows],
            local_mean=self.local_mean[rows],
            pairs=pairs,
            sequences=self.sequences.iloc[rows].reset_index(drop=True),
            tracks=self.tracks.iloc[rows].reset_index(drop=True),
        )
        return part.repaired(len(rows)) if self.redraws else part

    def bayes(self) -> pd.DataFrame:
        """Log odds of each locus to be a positive, at equal priors: no score can rank loci better.

        Returns
        -------
        Columns ``fused``, ``sequence`` and ``coverage``: from both modalities and from each alone; rows as ``pairs``.
        Those of one modality alone are 0 where positives and negatives are the same in it by construction.

        Raises
        ------
        ValueError
            The task has no law of its negatives (``"units"``), or sequence has lone motifs.
        """
        if self.task == "units":
            raise ValueError("task 'units' is a set of single cases, not a law; no score is the best for it")
        counts = self.counts[:, ::-1] if self.config.library == "swapped" else self.counts
        log_odds = log_odds_of_alignment if self.redraws else log_odds_of_confounders
        laws = self.config.sequence_law, self.config.read_law
        stranded = self.config.library != "unstranded"
        return log_odds(self.codes, counts, self.pairs, laws, self.placement, stranded=stranded)


def simulate_erna(
    task: Task = "align",
    *,
    n: int = 600,
    seed: int = 0,
    rng: np.random.Generator | None = None,
    config: ErnaSimulationConfig | None = None,
    **changes: Any,
) -> ErnaSimulation:
    """Simulate windows of sequence and RNA of which it is known what can be told of them, and how well.

    Parameters
    ----------
    task
        ``"align"``: in positives the grammar of the sequence lies where divergent RNA begins; negatives are the same
        sequences and the same tracks, paired anew at least 150 bp apart, so that one modality alone tells nothing.
        ``"align-long"``: the same with the grammar 320 bp (``distance``) to one side of the RNA.
        ``"confounders"``: negatives of eight kinds (see Notes). ``"units"``: six single cases without chance in their
        RNA.
    n
        Positives, and as many negatives; not used by ``"units"``.
    seed
        Seed, where ``rng`` is not given.
    rng
        Source of randomness.
    config
        Parameters; ``None``: the defaults.
    **changes
        Single parameters other than those of ``config``, by the names of :class:`ErnaSimulationConfig`.

    Returns
    -------
    Sequence, reads, coverage, labels, strata and the parameters behind them; ``.bayes()`` gives the exact scores.

    Raises
    ------
    ValueError
        There is no such task, a parameter makes no sense, or so few pairs cannot be re-paired.

    Notes
    -----
    Sequence: independent bases; grammar is an AP-1-like and an ETS-like motif (consensus base with probability 0.88) in
    either order, each on either strand, 18 to 39 bp apart. RNA: 5′ ends are Poisson; beside a background, a share of
    them lies right of the centre on the plus strand and the rest left of it on the minus strand, with an exponential
    distance from two starts that are a gap apart. Coverage extends each read downstream.

    Kinds of negatives of ``"confounders"``, with their share: silent (divergent RNA, no grammar; 25 %), misalign (RNA
    at least 150 bp from the grammar; 25 %), swap (plus and minus exchanged; 10 %), poised (grammar, background RNA;
    10 %), uni (one arm; 10 %), read (one strand that decays from the window's edge; 10 %), intron (one strand,
    anywhere; 5 %), zero (no read; 5 %).

    It shows that the machinery is right, not that a model is good on real RNA-seq: sequence has no repeats, no
    chromatin, and a far stronger code than a genome.

    Examples
    --------
    >>> import eregtools as er
    >>> simulation = er.datasets.simulate_erna("align", n=50, seed=1)
    >>> simulation
    ErnaSimulation('align', 50 positives, 50 negatives)
    >>> simulation.bayes().shape
    (100, 3)
    """
    if config is not None and changes:
        raise ValueError(f"pass config= or single parameters ({', '.join(changes)}), not both")
    config = config or ErnaSimulationConfig(**changes)
    if task not in ("align", "align-long", "confounders", "units"):
        raise ValueError(f"task is {task!r}; expected 'align', 'align-long', 'confounders' or 'units'")
    if task != "units" and n < 2:
        raise ValueError(f"n is {n}; expected at least 2 positives")
    rng = np.random.default_rng(seed) if rng is None else rng
    if task == "units":
        return _units(rng, config)
    if task == "confounders":
        return _confounders(rng, config, n)
    placement = _placement(task, config)
    grammar, centre = placement.draw(rng, n)
    locus = Locus.draw(rng, config.read_law, centre)
    row = np.arange(n)
    reads = _with_background(rng, rna.divergent_reads(rng, row, locus, config.decay), row, config)
    positives = pd.DataFrame({"sequence": row, "track": row, "label": 1, "stratum": "positive"})
    pairs = _with_repaired(rng, positives, grammar, centre, placement)
    return _assembled(rng, task, config, grammar, locus, reads, pairs, silent=np.zeros(n, dtype=bool))


def _placement(task: Task, config: ErnaSimulationConfig) -> Placement:
    return Placement(config.width // 2, config.distance if task == "align-long" else 0)


def _with_repaired(
    rng: np.random.Generator,
    positives: pd.DataFrame,
    grammar: NDArray[np.int64],
    centre: NDArray[np.int64],
    placement: Placement,
) -> pd.DataFrame:
    sequence, track = positives["sequence"].to_numpy(), positives["track"].to_numpy()
    order = repair(rng, placement, grammar[sequence], centre[track])
    negatives = positives.assign(track=track[order], label=0, stratum="repaired")
    return pd.concat([positives, negatives], ignore_index=True)


def _confounders(rng: np.random.Generator, config: ErnaSimulationConfig, n: int) -> ErnaSimulation:
    """Positives and the strata of negatives, each with a window of its own."""
    placement = _placement("confounders", config)
    sizes = {"positive": n, **strata_sizes(n)}
    stratum = np.repeat(list(sizes), list(sizes.values()))
    grammar, centre = placement.draw(rng, len(stratum))
    away = np.flatnonzero(stratum == "misalign")
    grammar[away], centre[away] = placement.draw_misaligned(rng, len(away))
    locus = Locus.draw(rng, config.read_law, centre)
    parts = [_stratum_reads(rng, name, np.flatnonzero(stratum == name), locus, config) for name in sizes]
    with_background = np.flatnonzero(stratum != "zero")
    reads = _with_background(rng, rna.joined(parts), with_background, config)
    grammar[stratum == "silent"] = -1
    row = np.arange(len(stratum))
    pairs = pd.DataFrame(
        {"sequence": row, "track": row, "label": (stratum == "positive").astype(int), "stratum": stratum}
    )
    silent = np.isin(stratum, ("poised", "read", "intron", "zero"))
    return _assembled(rng, "confounders", config, grammar, locus, reads, pairs, silent=silent)


def _stratum_reads(
    rng: np.random.Generator, stratum: str, row: NDArray[np.int64], locus: Locus, config: ErnaSimulationConfig
) -> Reads:
    own = Locus(locus.centre[row], locus.reads[row], locus.plus_share[row], locus.gap[row])
    if stratum in ("poised", "zero"):
        return Reads(*(np.empty(0, dtype=np.int64),) * 3)
    if stratum == "read":
        return rna.edge_reads(rng, row, own.reads, config.width, READ_THROUGH * config.decay)
    if stratum == "intron":
        return rna.uniform_reads(rng, row, own.reads, config.width)
    reads = rna.divergent_reads(rng, row, own, config.decay)
    if stratum == "swap":
        return reads._replace(strand=1 - reads.strand)
    if stratum == "uni":
        arm = np.zeros(int(row.max(initial=0)) + 1, dtype=np.int64)
        arm[row] = rng.integers(0, 2, len(row))
        kept = reads.strand == arm[reads.row]
        return Reads(*(column[kept] for column in reads))
    return reads


def _with_background(
    rng: np.random.Generator, reads: Reads, row: NDArray[np.int64], config: ErnaSimulationConfig
) -> Reads:
    """Join reads of the loci within the window, and of the background in it and around it."""
    around = _margin(config)
    chance = rna.background_reads(rng, row, -around, config.width + around, config.background)
    return rna.joined([rna.within(reads, 0, config.width), chance])


def _margin(config: ErnaSimulationConfig) -> int:
    return -(-config.contrast_width // (2 * BIN_SIZE)) * BIN_SIZE


def _assembled(
    rng: np.random.Generator,
    task: Task,
    config: ErnaSimulationConfig,
    grammar: NDArray[np.int64],
    locus: Locus,
    reads: Reads,
    pairs: pd.DataFrame,
    *,
    silent: NDArray[np.bool_],
) -> ErnaSimulation:
    n = len(grammar)
    if config.library == "unstranded":
        reads = rna.unstranded(rng, reads)
    elif config.library == "swapped":
        reads = reads._replace(strand=1 - reads.strand)
    coverage, local_mean = _coverage(reads, n, config)
    tracks = pd.DataFrame(
        {
            "rna": np.where(silent, -1, locus.centre),
            "reads": locus.reads,
            "plus_share": locus.plus_share,
            "gap": locus.gap,
            "stranded": config.library != "unstranded",
        }
    )
    return ErnaSimulation(
        task=task,
        codes=draw_sequences(rng, config.sequence_law, grammar),
        counts=rna.counts_of(rna.within(reads, 0, config.width), n, config.width),
        coverage=coverage,
        local_mean=local_mean,
        pairs=pairs,
        sequences=pd.DataFrame({"grammar": grammar}),
        tracks=tracks,
        config=config,
    )


def _coverage(reads: Reads, n: int, config: ErnaSimulationConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Coverage of the windows, and its running mean, which reaches beyond them."""
    around = _margin(config)
    order = np.argsort(reads.row, kind="stable")
    ordered = Reads(*(column[order] for column in reads))
    coverage, means = [], []
    for begin in range(0, n, _LOCI_AT_A_TIME):
        end = min(begin + _LOCI_AT_A_TIME, n)
        part = slice(*np.searchsorted(ordered.row, [begin, end]))
        some = Reads(ordered.row[part] - begin, ordered.position[part], ordered.strand[part])
        values = rna.coverage_of(some, end - begin, -around, config.width + around, config.read_length, BIN_SIZE)
        margin = around // BIN_SIZE
        coverage.append(values[..., margin:-margin])
        means.append(running_mean(values, 2 * margin + 1))
    return np.concatenate(coverage), np.concatenate(means)


def _units(rng: np.random.Generator, config: ErnaSimulationConfig) -> ErnaSimulation:
    """One divergent locus in the middle, and what files and windows can do to it; reads are as expected, not drawn."""
    names = ["divergent", "swapped", "unstranded", "negative minus", "unknown sequence", "past the end"]
    middle, n = config.width // 2, len(names)
    law = config.read_law
    each = np.floor(-law.decay * np.log1p(-(np.arange(20) + 0.5) / 20)).astype(np.int64)
    position = np.concatenate([middle + law.gaps[0] // 2 + each, middle - law.gaps[0] // 2 - each])
    strand = np.repeat([rna.PLUS, rna.MINUS], len(each))
    row = np.repeat(np.arange(n), len(position))
    reads = rna.within(Reads(row, np.tile(position, n), np.tile(strand, n)), 0, config.width)
    swapped, coin = reads.row == 1, reads.row == 2
    new = np.where(swapped, 1 - reads.strand, reads.strand)
    new[coin] = np.arange(int(coin.sum())) % 2
    locus = Locus(np.full(n, middle), np.full(n, 2.0 * len(each)), np.full(n, 0.5), np.full(n, law.gaps[0]))
    pairs = pd.DataFrame({"sequence": np.arange(n), "track": np.arange(n), "label": 1, "stratum": names})
    plain = replace(config, library="stranded")
    drawn = _assembled(
        rng, "units", plain, np.full(n, middle), locus, reads._replace(strand=new), pairs, silent=np.zeros(n, bool)
    )
    codes, coverage, counts = drawn.codes.copy(), drawn.coverage.copy(), drawn.counts.copy()
    local_mean = drawn.local_mean.copy()
    coverage[3, 1] *= -1
    local_mean[3, 1] *= -1
    codes[4] = 4
    beyond = 3 * config.width // 4
    codes[5, beyond:], counts[5, :, beyond:], coverage[5, :, beyond // BIN_SIZE :] = 4, 0, 0
    drawn.tracks.loc[2, "stranded"] = False
    return replace(drawn, codes=codes, coverage=coverage, counts=counts, local_mean=local_mean)


def described(simulation: ErnaSimulation) -> dict[str, Any]:
    """Task and parameters of a simulation as plain values, to be stored with weights trained on it."""
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(simulation.config).items()}
    return {"task": simulation.task, **plain}
