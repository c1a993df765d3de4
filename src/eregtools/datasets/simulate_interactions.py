"""Enhancer–promoter pairs of a small genome in which a pair of motifs decides what interacts: files, and the truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eregtools._keys import Var
from eregtools._logging import logger
from eregtools.datasets import _simulation_files as files
from eregtools.datasets._grammar import Codes, background, encode
from eregtools.io.pairs import FROM_TABLE, PROMOTER

CODES: Final = (
    ("ATGACTCATC", "CTATAAAAGG"),
    ("ACCGGAAGTG", "GCTTACGTAA"),
    ("GGTGTTGCAA", "CATTCCTCGG"),
    ("TCAGCACCAC", "TGCGTGGGCG"),
)
"""Motifs of an enhancer and of a promoter that let the two interact."""

_LENGTHS = {"enhancer": 400, "promoter": 1_000}
_REACH = 150
_MOST_INSTANCES = 10
_NEIGHBOURS = 24
_BLANK = -1
_EDGE = 10_000


@dataclass(frozen=True)
class InteractionConfig:
    """Parameters of :func:`simulate_interactions`.

    Attributes
    ----------
    n_chromosomes, pairs_per_chromosome
        Chromosomes (``chr1`` …), and the interacting pairs of each, an even number; as many re-paired ones do not.
    n_codes
        Pairs of motifs, 2 to 4. Enhancer and promoter interact when their motifs belong together.
    instances
        Instances of its motif in each element.
    blanks
        Add negative pairs in which one element has no motif: two for each pair that interacts, of origin ``"blank"``.
        They teach motifs, which pairs of motifs alone hardly do.
    both_strands
        Motifs lie on either strand, not on the genome's plus strand alone.
    mismatch
        Share of motifs with one base other than the consensus.
    spacing
        Distance of neighbouring elements in bp; windows longer than this share sequence.
    gc
        Share of G and C in the background.

    Raises
    ------
    ValueError
        A parameter is out of its range; the message names it.

    Examples
    --------
    >>> import eregtools as er
    >>> er.datasets.InteractionConfig(n_chromosomes=3, instances=3).pairs_per_chromosome
    250
    >>> er.datasets.InteractionConfig(n_codes=5)
    Traceback (most recent call last):
    ValueError: n_codes=5: expected 2 to 4
    """

    n_chromosomes: int = 8
    pairs_per_chromosome: int = 250
    n_codes: int = 2
    instances: int = 1
    blanks: bool = True
    both_strands: bool = True
    mismatch: float = 0.0
    spacing: int = 4_000
    gc: float = 0.42

    def __post_init__(self) -> None:
        if self.n_chromosomes < 1 or self.pairs_per_chromosome < 2 or self.pairs_per_chromosome % 2:
            raise ValueError(
                f"n_chromosomes={self.n_chromosomes}, pairs_per_chromosome={self.pairs_per_chromosome}: expected at "
                "least 1 chromosome and an even number of pairs"
            )
        if not 2 <= self.n_codes <= len(CODES):
            raise ValueError(f"n_codes={self.n_codes}: expected 2 to {len(CODES)}")
        if not 1 <= self.instances <= _MOST_INSTANCES:
            raise ValueError(f"instances={self.instances}: expected 1 to {_MOST_INSTANCES}")
        for name in ("mismatch", "gc"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected a share, from 0 to below 1")
        if self.spacing < sum(_LENGTHS.values()):
            raise ValueError(f"spacing={self.spacing}: expected at least {sum(_LENGTHS.values())} bp")


@dataclass(frozen=True)
class InteractionSimulation:
    """What :func:`simulate_interactions` wrote.

    Attributes
    ----------
    folder, genome, pairs
        The folder, the FASTA file, and the table of labelled pairs that :func:`eregtools.pp.pairs` takes.
    motifs
        The planted motifs: ``element`` (as in the object), ``kind``, ``code`` (from 0), Chromosome, Start, End, Strand.
    config
        The parameters.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> isinstance(simulation, er.datasets.InteractionSimulation), simulation.pairs.name
    (True, 'pairs.tsv')
    >>> simulation.motifs.groupby("kind", observed=True).size()
    kind
    enhancer    180
    promoter    180
    dtype: int64
    """

    folder: Path
    genome: Path
    pairs: Path
    motifs: pd.DataFrame
    config: InteractionConfig


def simulate_interactions(
    folder: str | Path,
    *,
    seed: int = 0,
    config: InteractionConfig | None = None,
    overwrite: bool = False,
) -> InteractionSimulation:
    """Write a genome and pairs of elements whose interaction no single element tells.

    Two enhancers and two promoters with different motifs go together. The two of their pairs whose motifs belong
    together interact, the other two are negative, of origin ``"repaired"``. So every element is in one pair of either
    kind, and any score of enhancers alone, or of promoters alone, has an AUROC of exactly 0.5 on these pairs, on each
    chromosome. Places do not depend on motifs, so that distance tells nothing either.

    Parameters
    ----------
    folder
        Where to write ``genome.fa``, ``pairs.tsv`` and ``truth_motifs.tsv``.
    seed
        Seed of all that is drawn.
    config
        Parameters; ``None``: the default ones.
    overwrite
        Replace an earlier simulation.

    Returns
    -------
    Where the files are, and the truth.

    Raises
    ------
    FileExistsError
        The folder holds something else, or an earlier simulation without ``overwrite``.
    OSError
        The files cannot be written.

    Notes
    -----
    Background is independent bases: motifs are easier to tell from it than in a genome. A model that learns this has
    shown that it can relate two sequences, not that it can do so in cells.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=10)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated")
    >>> mdata["links"].var["label"].value_counts().to_dict()
    {0: 90, 1: 30}
    >>> mdata["links"].var["origin"].value_counts().to_dict()
    {'blank': 60, 'repaired': 30, 'table': 30}
    """
    config = config or InteractionConfig()
    folder = Path(folder).expanduser()
    rng = np.random.default_rng(seed)
    chromosomes: dict[str, Codes] = {}
    pairs, motifs = [], []
    for number in range(config.n_chromosomes):
        name = f"chr{number + 1}"
        chromosomes[name], of_pairs, of_motifs = _chromosome(rng, config)
        pairs.append(of_pairs.assign(**{Var.chromosome: name, PROMOTER[0]: name}))
        motifs.append(of_motifs.assign(**{Var.chromosome: name}))
    table, planted = pd.concat(pairs, ignore_index=True), pd.concat(motifs, ignore_index=True)
    planted["element"] = [
        f"{'promoter:' * (kind == 'promoter')}{chrom}:{start}-{end}"
        for kind, chrom, start, end in zip(
            planted["kind"], planted[Var.chromosome], planted.pop("first"), planted.pop("last"), strict=True
        )
    ]
    with files.whole_simulation(folder, overwrite=overwrite) as beside:
        files.write_fasta(beside / "genome.fa", chromosomes)
        files.write_table(beside / "pairs.tsv", table)
        files.write_table(beside / "truth_motifs.tsv", planted)
        files.write_truth(beside, {"config": asdict(config), "codes": CODES[: config.n_codes]})
    logger.info("%d pairs, %d of which interact, in %s", len(table), int(table[Var.label].sum()), folder)
    return InteractionSimulation(folder, folder / "genome.fa", folder / "pairs.tsv", planted, config)


def _chromosome(rng: np.random.Generator, config: InteractionConfig) -> tuple[Codes, pd.DataFrame, pd.DataFrame]:
    """Sequence, pairs and motifs of one chromosome."""
    n_groups, size = config.pairs_per_chromosome // 2, 3 if config.blanks else 2
    slots = np.arange(2 * size * n_groups)
    shuffled = [rng.permutation(slots[at : at + _NEIGHBOURS]) for at in range(0, len(slots), _NEIGHBOURS)]
    slot = np.concatenate(shuffled).reshape(n_groups, 2, size)  # enhancers and promoters that go together
    code = np.full(slot.shape, _BLANK)
    of_enhancers = np.stack([rng.permutation(config.n_codes)[:2] for _ in range(n_groups)])
    code[:, 0, :2], code[:, 1, :2] = of_enhancers, rng.permuted(of_enhancers, axis=1)
    codes = background(rng, 2 * _EDGE + len(slots) * config.spacing, config.gc)
    centre = _EDGE + slot * config.spacing + config.spacing // 2
    motifs = pd.concat(
        [
            _planted(rng, codes, centre[:, side].ravel(), code[:, side].ravel(), side, config)
            for side in range(len(_LENGTHS))
        ],
        ignore_index=True,
    )
    group, one, other = (place.ravel() for place in np.indices((n_groups, size, size)))
    first, second = code[group, 0, one], code[group, 1, other]
    kept = (first != _BLANK) | (second != _BLANK)
    group, one, other, first, second = (column[kept] for column in (group, one, other, first, second))
    label = (first == second).astype(np.int8)
    blank = (first == _BLANK) | (second == _BLANK)
    table = {Var.label: label, Var.origin: np.select([label == 1, blank], [FROM_TABLE, "blank"], "repaired")}
    for columns, at, half in (
        ((Var.start, Var.end), centre[group, 0, one], _LENGTHS["enhancer"] // 2),
        (PROMOTER[1:], centre[group, 1, other], _LENGTHS["promoter"] // 2),
    ):
        table |= {columns[0]: at - half, columns[1]: at + half}
    pairs = pd.DataFrame(table)
    return codes, pairs.sort_values([Var.start, PROMOTER[1]], ignore_index=True), motifs


def _planted(
    rng: np.random.Generator,
    codes: Codes,
    centre: NDArray[np.int64],
    code: NDArray[np.int64],
    side: int,
    config: InteractionConfig,
) -> pd.DataFrame:
    """Write the motif of each enhancer (side 0) or promoter (1) into the sequence, and say where."""
    kind = tuple(_LENGTHS)[side]
    rows: list[dict[str, Any]] = []
    half, room = _LENGTHS[kind] // 2, 2 * _REACH // config.instances
    places = np.repeat(np.flatnonzero(code != _BLANK), config.instances)
    for number, at, place in zip(
        code[places].tolist(),
        (centre[places] - _REACH).tolist(),
        np.tile(np.arange(config.instances), len(places) // config.instances).tolist(),
        strict=True,
    ):
        word = encode(CODES[number][side])
        if rng.random() < config.mismatch:
            base = int(rng.integers(len(word)))
            word[base] = (word[base] + rng.integers(1, 4)) % 4
        minus = config.both_strands and rng.random() < 0.5
        start = at + place * room + int(rng.integers(room - len(word) + 1))
        codes[start : start + len(word)] = 3 - word[::-1] if minus else word
        rows.append(
            {
                "kind": kind,
                "code": number,
                Var.start: start,
                Var.end: start + len(word),
                Var.strand: "-" if minus else "+",
                "first": at + _REACH - half,
                "last": at + _REACH + half,
            }
        )
    return pd.DataFrame(rows)
