"""What a split of labelled pairs lets through from training to test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from eregtools._keys import Modality, Var
from eregtools._schema import link_positions
from eregtools._settings import settings
from eregtools.sampling import fold_sets
from eregtools.tl._curves import Curve
from eregtools.tl._labels import labelled_links
from eregtools.tl._pair_overlaps import PairOverlaps, share_touching
from eregtools.windows import windows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mudata import MuData
    from numpy.typing import NDArray

RANDOM: Final = "random"
"""Split of pairs without regard to where they are."""

MEAN: Final = "mean"
"""Value of ``fold`` in the row of the means."""


def leakage(
    mdata: MuData,
    split: str | None = None,
    *,
    label: str = Var.label,
    sample: str | None = None,
    negatives: str | Iterable[str] | None = None,
    n_folds: int = 8,
    n_draws: int = 5,
    rng: int | np.random.Generator | None = None,
) -> pd.DataFrame:
    """Tell how much of the test pairs a split has shown in training, and what can be scored from that alone.

    Parameters
    ----------
    mdata
        Object of labelled pairs (:func:`eregtools.pp.pairs`).
    split
        Fold scheme of :func:`eregtools.pp.split`; ``None``: the one of ``genes.var["fold"]``. ``"random"``: pairs are
        put into `n_folds` folds at random, `n_draws` times over, as in much published work.
    label
        Column of ``links.var``, or layer of ``links``, with 1 for pairs that interact and 0 for others.
    sample
        Biosample, for a label that is a layer; default the only one.
    negatives
        Negative pairs to take, by ``links.var["origin"]``; ``None``: all.
    n_folds, n_draws
        Folds of a random split, and how often it is drawn.
    rng
        Seed or source of randomness; ``None``: ``settings.seed``.

    Returns
    -------
    One row for each draw and fold that tests pairs of both kinds, and a last row of their means, with the columns:

    ``split``, ``draw``, ``fold``
        Draws and folds count from 0; the last row has ``"mean"``.
    ``n``, ``n_positive``
        Test pairs, and positive ones among them.
    ``same_promoter``, ``same_enhancer``
        Share of test pairs whose promoter, or enhancer, is also in a pair that trains.
    ``overlapping_enhancer``, ``overlapping_enhancer_positive``
        Share of test pairs, and of positive ones, whose enhancer's window overlaps that of a pair that trains.
    ``copied_positive``, ``copied_negative``
        Share of positive, and of negative, test pairs whose windows both overlap those of one positive pair that
        trains: a model has seen these.
    ``memoriser_auroc``, ``memoriser_auprc``
        Of a look-up in the training pairs that knows no sequence: 1 for an enhancer that overlaps one of a positive
        pair, 1 for such a promoter, 1 for both of one pair.
    ``membership_auroc``, ``membership_auprc``
        Of the number of elements (0 to 2) that have a positive pair anywhere. It knows the labels and nothing else of
        the pair: where it reaches 1, the pairs test elements, and never which of them belong together.
    ``touching_enhancers``
        Share of the enhancers of positive pairs whose windows overlap or touch one of another; the same in each row.

    Raises
    ------
    KeyError
        The object has no such folds or no such label.
    ValueError
        A random split of pairs that come in blocks; fewer than two folds; no fold tests pairs of both kinds.

    Notes
    -----
    All pairs that a fold does not test train. AUPRC is average precision at the pairs' own ratio.

    On the six tables of TargetFinder the memoriser reaches an AUROC of 0.91 to 0.96 under a random split and 0.500
    under ``"epipam8"``, and membership 1.000 under either, because no negative pair joins two elements that have
    positive pairs. ``touching_enhancers`` is what Figure 5 of Liu, Zhu and Zhang 2026 shows.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> truth = er.settings.cache_dir / "simulated" / "200genes-seed0" / "truth_links.tsv"
    >>> mdata["links"].var["label"] = (er.io.read_table(truth)["share"].to_numpy() >= 0.05).astype(int)
    >>> er.pp.split(mdata, {k: {"test": [f"chr{k}"]} for k in range(1, 9)})

    By chromosome nothing is shared; by chance nearly every element is in training, and a look-up scores above 0.5:

    >>> columns = ["same_promoter", "same_enhancer", "memoriser_auroc"]
    >>> er.tl.leakage(mdata).iloc[-1][columns].astype(float).round(1).tolist()
    [0.0, 0.0, 0.5]
    >>> er.tl.leakage(mdata, "random", n_draws=1).iloc[-1][columns].astype(float).round(1).tolist()
    [1.0, 1.0, 0.6]
    """
    pairs = labelled_links(mdata, label, sample=sample, negatives=negatives)
    rows, positive = pairs.rows, pairs.positive
    if split == RANDOM:
        if n_folds < 2 or n_draws < 1:
            raise ValueError(f"n_folds={n_folds}, n_draws={n_draws}: expected at least 2 folds and 1 draw")
        _refuse_blocks(mdata, rows)
        splits = _random_folds(
            len(rows), n_folds, n_draws, np.random.default_rng(settings.seed if rng is None else rng)
        )
    else:
        sets, split = fold_sets(mdata, split, pairs.chromosome)
        splits = ((0, int(fold), (sets[fold] == "test").to_numpy()) for fold in map(str, sets))
    overlaps = PairOverlaps.of(mdata, rows, positive)
    table = [
        {"split": split, "draw": draw, "fold": fold, **_of_fold(overlaps, tested)}
        for draw, fold, tested in splits
        if 0 < positive[tested].sum() < tested.sum()
    ]
    if not table:
        raise ValueError(f"no fold of {split!r} tests pairs of both kinds; choose another scheme with er.pp.split")
    result = pd.DataFrame(table)
    mean = result.drop(columns=["split", "draw", "fold"]).mean()
    result.loc[len(result)] = {"split": split, "draw": MEAN, "fold": MEAN, **mean}
    enhancers = np.unique(link_positions(mdata)[1][rows[positive]])
    windows = windows_of(mdata[Modality.enhancers].var).iloc[enhancers]
    return result.assign(touching_enhancers=share_touching(windows))


def _refuse_blocks(mdata: MuData, rows: NDArray[np.int64]) -> None:
    var = mdata[Modality.links].var.iloc[rows]
    if Var.block in var and var[Var.block].duplicated().any():
        raise ValueError(
            f"the pairs come in {var[Var.block].nunique():,} blocks of a positive pair and its shifted negatives, "
            "which a random split tears apart; split by chromosome, or leave the shifted ones out with negatives="
        )


def _random_folds(
    n: int, n_folds: int, n_draws: int, rng: np.random.Generator
) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Draw, fold, and the pairs that it tests."""
    for draw in range(n_draws):
        fold_of = rng.permutation(n) % n_folds
        for fold in range(n_folds):
            yield draw, fold, fold_of == fold


def _of_fold(pairs: PairOverlaps, tested: NDArray[np.bool_]) -> dict[str, float]:
    """One row of the result."""
    train, positive = ~tested, pairs.positive
    enhancer = pairs.seen(pairs.enhancers, pairs.enhancer, train)
    copied = pairs.copied(train)
    row = {
        "n": int(tested.sum()),
        "n_positive": int(positive[tested].sum()),
        "same_promoter": pairs.seen(None, pairs.promoter, train)[tested].mean(),
        "same_enhancer": pairs.seen(None, pairs.enhancer, train)[tested].mean(),
        "overlapping_enhancer": enhancer[tested].mean(),
        "overlapping_enhancer_positive": enhancer[tested & positive].mean(),
        "copied_positive": copied[tested & positive].mean(),
        "copied_negative": copied[tested & ~positive].mean(),
    }
    for name, score in (("memoriser", pairs.memoriser(train)), ("membership", pairs.membership())):
        curve = Curve.of(positive[tested], score[tested])
        row |= {f"{name}_auroc": curve.auroc()[0], f"{name}_auprc": curve.auprc()[0]}
    return {name: float(value) if isinstance(value, np.floating) else value for name, value in row.items()}
