"""Labelled pairs and windows to train, validate and test on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from eregtools._keys import UNS, Modality, Uns, Var
from eregtools._schema import link_positions, listed, require_modality
from eregtools._settings import settings
from eregtools.sampling import fold_sets, fold_table, fold_that_tests
from eregtools.windows import centred_windows

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

Recipe = Literal["eregtools", "paper"]

PAPER_SEED, PAPER_COPIES, PAPER_JITTER, PAPER_SCHEME = 1234, 10, 100, "epipam8"
"""How EPIPAM's training and test rows are drawn (Liu, Zhu and Zhang 2026)."""


@dataclass(frozen=True)
class PairWindows:
    """Windows of labelled pairs, all ``(n,)``.

    Attributes
    ----------
    rows
        Place of each pair in the links; a pair is there once for each of its copies.
    label
        1 interacting, 0 not.
    enhancer_start, promoter_start
        First base of the windows.
    """

    rows: NDArray[np.int64]
    label: NDArray[np.int8]
    enhancer_start: NDArray[np.int64]
    promoter_start: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: NDArray[np.int64]) -> PairWindows:
        """Take some of them, in that order."""
        return PairWindows(self.rows[rows], self.label[rows], self.enhancer_start[rows], self.promoter_start[rows])


def fold_pairs(
    mdata: MuData,
    fold: int,
    *,
    recipe: Recipe = "eregtools",
    ratio: int | None = 1,
    copies: int = PAPER_COPIES,
    jitter: int = PAPER_JITTER,
    negatives: str | Iterable[str] | None = None,
    scheme: str | None = None,
    rng: int | np.random.Generator | None = None,
) -> dict[str, PairWindows]:
    """Pairs of one fold and the windows in which a model reads them, for training, validation and testing.

    Training has each positive pair `copies` times and as many negative ones, validation and test have each positive
    pair once and `ratio` negative ones for each, where there are so many.

    Parameters
    ----------
    mdata
        Object of labelled pairs (:func:`eregtools.pp.pairs`).
    fold
        Fold of the scheme.
    recipe
        ``"eregtools"``: validation chromosomes are held out, the windows of both classes are moved in training, and a
        fold's draws depend on `rng` and the fold alone. ``"paper"``: exactly the rows and windows that the authors of
        EPIPAM train and test on: all other chromosomes train, there is no validation, only positives are moved, and
        one random stream runs through the eight folds; it takes no other scheme, copies, jitter or rng.
    ratio
        Negative pairs for each positive one in validation and test; ``None``: all.
    copies
        How often each positive pair is trained on, each time in windows of its own.
    jitter
        Windows are moved by up to so many bp in training, enhancer and promoter independently.
    negatives
        Which negative pairs to take by ``links.var["origin"]``, such as ``"table"`` or ``"repaired"``; ``None``: all.
    scheme
        Fold scheme; ``None``: the one of :func:`eregtools.pp.split`.
    rng
        Seed or source of randomness; ``None``: ``settings.seed``. Another one for each epoch gives new negatives and
        windows; those of validation and test are best drawn once.

    Returns
    -------
    ``"train"``, ``"valid"`` (not of the paper's recipe) and ``"test"``. Positive pairs come first, in the order of the
    links, each beside its copies.

    Raises
    ------
    KeyError
        The object has no such folds, fold or negatives, or no labelled pairs.
    ValueError
        Another scheme, other copies or jitter, or an rng with the paper's recipe; numbers below 1; a set without
        positive or negative pairs.

    Notes
    -----
    The paper moves windows by −99 to +100 bp. ChIA-PET pairs come with four negatives each: ``copies=4, jitter=50,
    ratio=None`` is nearest to what their authors do.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> row = {"Start": 9_000, "End": 9_600, "Start2": 20_000, "End2": 21_500, "label": 1}
    >>> rows = [row | {"Chromosome": f"chr{k}", "label": label} for k in (1, 2, 3) for label in (1, 0)]
    >>> table = pd.DataFrame(rows).eval("Chromosome2 = Chromosome")
    >>> table["Start2"] += 5_000 * table["label"]
    >>> table["End2"] += 5_000 * table["label"]
    >>> mdata = er.pp.pairs(table, genome=None, sample="K562")
    >>> er.pp.split(mdata, {0: {"test": ["chr1"], "valid": ["chr2"]}, 1: {"test": ["chr2"], "valid": ["chr3"]}})
    >>> {which: len(part) for which, part in er.get.fold_pairs(mdata, 0).items()}
    {'train': 20, 'valid': 2, 'test': 2}
    """
    links = require_modality(mdata, Modality.links)
    if Var.label not in links.var:
        raise KeyError(f"links.var has no column {Var.label!r}; er.pp.pairs makes an object of labelled pairs")
    if ratio is not None and ratio < 1:
        raise ValueError(f"ratio={ratio}: expected at least 1 negative pair for each positive one, or None for all")
    if copies < 1 or jitter < 0:
        raise ValueError(f"copies={copies}, jitter={jitter}: expected at least 1 copy and 0 bp")
    label = links.var[Var.label].to_numpy()
    usable = (label == 1) | of_origin(links.var, label == 0, negatives)
    gene, enhancer = link_positions(mdata)
    chromosome = mdata[Modality.enhancers].var[Var.chromosome].astype(str).to_numpy()[enhancer]
    draw = _Drawing(mdata, label, gene, enhancer)
    if recipe == "paper":
        if (copies, jitter, scheme or PAPER_SCHEME, rng) != (PAPER_COPIES, PAPER_JITTER, PAPER_SCHEME, None):
            raise ValueError(
                "recipe='paper' has 10 copies, a jitter of 100 bp, scheme 'epipam8' and a random stream of its own; "
                "leave copies=, jitter=, scheme= and rng= out"
            )
        if ratio is None:
            raise ValueError("recipe='paper' tests on ratio=1 or 10 negative pairs for each positive one")
        return _paper(draw, usable, chromosome, fold, ratio)
    if recipe != "eregtools":
        raise ValueError(f"recipe={recipe!r}: expected 'eregtools' or 'paper'")
    sets, scheme = fold_sets(mdata, scheme, chromosome)
    if str(fold) not in sets:
        raise KeyError(f"scheme {scheme!r} has no fold {fold}; it has {listed(sets.columns, 12)}")
    of_set = sets[str(fold)].to_numpy()
    streams = _streams(rng, fold)
    parts: dict[str, PairWindows] = {}
    for which in ("train", "valid", "test"):
        here = usable & (of_set == which)
        if which == "valid" and not here.any():
            continue
        positive, negative = (np.flatnonzero(here & (label == value)) for value in (1, 0))
        if not len(positive) or not len(negative):
            raise ValueError(
                f"the {which} set of fold {fold} has {len(positive)} positive and {len(negative)} negative pairs; both "
                "kinds are needed"
            )
        if which == "train":
            parts[which] = draw.moved(positive, negative, copies, jitter, streams[which])
        else:
            n = len(negative) if ratio is None else min(ratio * len(positive), len(negative))
            chosen = np.sort(streams[which].choice(negative, n, replace=False))
            parts[which] = draw.windows(np.concatenate([positive, chosen]))
    return parts


@dataclass(frozen=True)
class _Drawing:
    """Windows of pairs of an object."""

    mdata: MuData
    label: NDArray[np.int8]
    gene: NDArray[np.int64]
    enhancer: NDArray[np.int64]

    def windows(self, rows: NDArray[np.int64], jitter: NDArray[np.int64] | None = None) -> PairWindows:
        """Windows of some pairs, moved to the left by `jitter` ``(n, 2)`` (enhancer, promoter)."""
        starts = []
        for column, (modality, elements) in enumerate(
            ((Modality.enhancers, self.enhancer), (Modality.genes, self.gene))
        ):
            starts.append(self._starts(modality, elements[rows], 0 if jitter is None else jitter[:, column]))
        return PairWindows(rows, self.label[rows].astype(np.int8), *starts)

    def moved(
        self,
        positive: NDArray[np.int64],
        negative: NDArray[np.int64],
        copies: int,
        jitter: int,
        rng: np.random.Generator,
    ) -> PairWindows:
        """Take copies of the positive pairs and as many negative ones, all in moved windows."""
        n = copies * len(positive)
        whole, rest = divmod(n, len(negative))
        drawn = np.concatenate([np.tile(negative, whole), rng.choice(negative, rest, replace=False)])
        rows = np.concatenate([np.repeat(positive, copies), np.sort(drawn)])
        return self.windows(rows, rng.integers(-jitter, jitter, size=(len(rows), 2), endpoint=True))

    def _starts(self, modality: str, elements: NDArray[np.int64], jitter: NDArray[np.int64] | int) -> NDArray[np.int64]:
        var = self.mdata[modality].var
        if Var.pair_window_start not in var:
            raise KeyError(f"{modality}.var has no windows ({Var.pair_window_start!r}); er.pp.pairs makes them")
        width = int(var[Var.pair_window_end].iloc[0] - var[Var.pair_window_start].iloc[0])
        sizes = self.mdata.uns.get(UNS, {}).get(Uns.chrom_sizes)
        size = None if sizes is None else var[Var.chromosome].astype(str).map(sizes["length"]).to_numpy()[elements]
        start, end = (var[name].to_numpy()[elements] for name in (Var.start, Var.end))
        return centred_windows(start, end, width, size, jitter=jitter)


def of_origin(
    links: pd.DataFrame, negative: NDArray[np.bool_], negatives: str | Iterable[str] | None
) -> NDArray[np.bool_]:
    """Which negative links are of some origins; all where none is named.

    Raises
    ------
    KeyError
        No negative link is of such an origin, or links do not say where they are from.
    """
    if negatives is None:
        return negative
    if Var.origin not in links:
        raise KeyError(f"negatives= goes with links that have an {Var.origin!r}, as er.pp.pairs makes them")
    wanted = [negatives] if isinstance(negatives, str) else list(negatives)
    origin = links[Var.origin].astype(str)
    there = sorted(set(origin[negative]))
    if missing := [name for name in wanted if name not in there]:
        raise KeyError(f"there are no negative pairs of origin {listed(missing)} (there are: {listed(there)})")
    return np.asarray(negative & origin.isin(wanted).to_numpy())


def _streams(rng: int | np.random.Generator | None, fold: int) -> dict[str, np.random.Generator]:
    """Source of randomness of each set, so that none depends on another's size."""
    if isinstance(rng, np.random.Generator):
        streams = rng.spawn(3)
    else:
        seeds = np.random.SeedSequence([settings.seed if rng is None else rng, fold]).spawn(3)
        streams = [np.random.default_rng(seed) for seed in seeds]
    return dict(zip(("train", "valid", "test"), streams, strict=True))


def _paper(
    draw: _Drawing, usable: NDArray[np.bool_], chromosome: NDArray[np.str_], fold: int, ratio: int
) -> dict[str, PairWindows]:
    """Rows and windows of the authors' script, whose one stream runs from fold 0 on."""
    tests = fold_that_tests(fold_table(PAPER_SCHEME, np.unique(chromosome)))
    tested_by = tests.reindex(chromosome).to_numpy()
    if not 0 <= fold < 8 or not (tested_by == fold).any():
        raise KeyError(f"no pair is tested by fold {fold} of {PAPER_SCHEME!r}, which has folds 0 to 7")
    stream = np.random.RandomState(PAPER_SEED)
    for number in range(fold + 1):
        test = tested_by == number
        rows = []
        for here, n_of_positive in ((~test, PAPER_COPIES), (test, ratio)):
            positive, negative = (np.flatnonzero(usable & here & (draw.label == value)) for value in (1, 0))
            order = np.arange(len(negative))
            stream.shuffle(order)
            rows.append((positive, negative[order[: n_of_positive * len(positive)]]))
        (positive, negative), tested = rows
        moved = stream.randint(-PAPER_JITTER, PAPER_JITTER, size=(len(positive), PAPER_COPIES, 2)).reshape(-1, 2)
    trained = np.concatenate([np.repeat(positive, PAPER_COPIES), negative])
    jitter = np.concatenate([moved, np.zeros((len(negative), 2), dtype=np.int64)])
    return {"train": draw.windows(trained, jitter), "test": draw.windows(np.concatenate(tested))}
