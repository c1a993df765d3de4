"""Predicted interactions judged by labelled pairs, beside what coordinates alone tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from eregtools._keys import LINK_SCORES, Modality, Var
from eregtools._logging import logger
from eregtools._schema import listed, require_modality
from eregtools._settings import settings
from eregtools.get._select import check_layer, layer_row
from eregtools.sampling import fold_sets
from eregtools.tl._labelled_pairs import bare, names_of
from eregtools.tl._labels import LabelledLinks, labelled_links
from eregtools.tl._pair_baselines import METHODS, cross_fitted
from eregtools.tl._pair_scores import COLUMNS, ScoredPairs, area_table
from eregtools.tl._predictions import leakage_of
from eregtools.tl._scores import Bootstrap

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

ALL: Final = "all"
"""Value of ``negatives`` where pairs do not say where their negatives are from."""


def evaluate_interactions(
    mdata: MuData,
    scores: str | Iterable[str] | None = None,
    *,
    label: str = Var.label,
    negatives: str | Sequence[str] | None = None,
    ratio: float | None = 10,
    scheme: str | None = None,
    sample: str | None = None,
    n_bootstrap: int = 1_000,
    level: float = 0.95,
    rng: int | None = None,
    allow_leakage: bool = False,
) -> pd.DataFrame:
    """Judge scores of labelled pairs, beside the distance, lengths, promoters in between, and a look-up.

    Parameters
    ----------
    mdata
        Object of labelled pairs (:func:`eregtools.pp.pairs`) with folds (:func:`eregtools.pp.split`) and scores.
    scores
        Layers of ``links``, higher = stronger; a minus before the name turns the sign. ``None``: each of
        ``attention_abc``, ``attention``, ``abc``, ``interaction`` and ``contact`` that the object has, or none, which
        judges the baselines alone.
    label
        Column of ``links.var``, or layer of ``links``, with 1 for pairs that interact, 0 for others, and NaN where it
        is not known.
    negatives
        Kinds of negative pairs to judge by, one after the other, by ``links.var["origin"]``; ``None``: every kind that
        the object has. Of negatives that were made for single positive pairs
        (:func:`eregtools.pp.matched_pairs`), each positive one counts once against all of its own.
    ratio
        Negative pairs for each positive one; average precision depends on it, and negative pairs are weighted so that
        every result is at this ratio. ``None``: as many as there are.
    scheme
        Fold scheme by whose chromosomes the baselines are learnt and results are told; ``None``: that of
        ``genes.var["fold"]``.
    sample
        Biosample; default the only one.
    n_bootstrap
        Draws of the bootstrap over chromosomes; 0 gives no intervals.
    level
        Probability that intervals hold.
    rng
        Seed of the bootstrap and of the baselines' trees; ``None``: ``settings.seed``.
    allow_leakage
        Judge scores of weights that saw what they predict; their rows are marked.

    Returns
    -------
    For each kind of negative pairs, one row for each predictor over all folds, then of the folds' means, then fold by
    fold; the scores first, then the baselines ``distance``, ``distance_lengths``, ``between`` and ``memoriser``
    (:func:`baseline_interactions`):

    ``sample``, ``negatives``, ``predictor``, ``fold``
        ``fold`` is ``"pooled"``, ``"mean"``, or a number.
    ``n``, ``n_positive``, ``ratio``
        Pairs, positive ones, and negative pairs for each positive one by weight.
    ``auroc``, ``auprc``, each with ``…_low`` and ``…_high``
        Area under the ROC curve, and average precision (a score that knows nothing has 1 / (1 + ratio)), with the
        interval over chromosomes; NaN with fewer than three.
    ``auroc_within``, with ``…_low`` and ``…_high``
        Area under the ROC curve in which only pairs of one chromosome are compared with each other.
    ``delta_auroc``, ``delta_auroc_within``, ``delta_auprc``, each with ``…_low`` and ``…_high``
        Difference to the baseline that is best over all pairs by AUROC, in the same draws.
    ``reference``, ``leakage``
        That baseline; and whether the weights saw what they predict (``"yes"``, ``"no"``, ``"unknown"``).

    Raises
    ------
    KeyError
        Labels, folds, a layer or negative pairs of that kind are missing.
    ValueError
        No pair of one kind has all scores; weights saw what they predict; a ratio that is not above 0.

    Notes
    -----
    Pairs are judged that a fold tests and that every predictor scores. In published tables negative pairs differ from
    positive ones by their elements, so that results with ``negatives="repaired"`` are the ones that say whether pairs
    are told. The best baseline is chosen on the pairs that it is judged on. Each fold has a model of its own; one whose
    training pairs were less often positive scores lower throughout, on the very chromosomes with more positive pairs,
    so that a model which learnt little more than that share is below 0.5 over all folds. ``auroc_within`` is not moved
    by it.

    See Also
    --------
    eregtools.tl.leakage : what a split shows of the test pairs.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> widths = {"enhancer_width": 600, "promoter_width": 600}
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated", **widths)
    >>> er.pp.split(mdata, {k: {"valid": [f"chr{k % 3 + 1}"], "test": [f"chr{k}"]} for k in (1, 2, 3)})
    >>> er.tl.predict_interactions(mdata, "EPIPAM-small-simulated", genome=simulation.genome)
    >>> table = er.tl.evaluate_interactions(mdata, "interaction", negatives="repaired", ratio=None, n_bootstrap=0)
    >>> table.loc[table["fold"] == "pooled", ["predictor", "n", "n_positive", "auroc", "leakage"]].round(1)
              predictor    n  n_positive  auroc  leakage
    0       interaction  120          60    1.0  unknown
    1          distance  120          60    0.5       no
    2  distance_lengths  120          60    0.5       no
    3           between  120          60    0.5       no
    4         memoriser  120          60    0.5       no
    """
    if ratio is not None and not ratio > 0:
        raise ValueError(f"ratio={ratio}: expected more than 0 negative pairs for each positive one, or None")
    bootstrap = Bootstrap(n_bootstrap, level, settings.seed if rng is None else rng)
    names = _score_names(mdata, scores)
    whole = labelled_links(mdata, label, sample=sample)
    leakage = {
        name: leakage_of(mdata, Modality.links, bare(name), [whole.sample], allow_leakage=allow_leakage)[0]
        for name in names
    }
    tables = []
    for kind in _kinds(mdata, whole, negatives):
        pairs = whole if kind == ALL else labelled_links(mdata, label, sample=sample, negatives=kind)
        pairs, weight = _against_their_own(mdata, pairs)
        sets, _ = fold_sets(mdata, scheme, pairs.chromosome)
        found = layer_scores(mdata, names, pairs)
        for method in METHODS:
            found[method], _ = cross_fitted(mdata, pairs, sets, method, bootstrap.seed)
        scored = ScoredPairs(pairs.positive, weight, found, fold_numbers(sets), pairs.chromosome)
        what = f"{whole.sample}, negatives {kind!r}"
        tables.append(area_table(scored, METHODS, bootstrap, ratio=ratio, what=what).assign(negatives=kind))
    table = pd.concat(tables, ignore_index=True).assign(sample=whole.sample)
    table["leakage"] = [leakage.get(name, "no") for name in table["predictor"]]
    return table[["sample", "negatives", *COLUMNS, "leakage"]]


def layer_scores(mdata: MuData, names: Iterable[str], pairs: LabelledLinks) -> dict[str, NDArray[np.float64]]:
    """Scores of labelled links ``{name: (n,)}``; a minus before a name turns the sign."""
    links = mdata[Modality.links]
    found = {}
    for name in names:
        check_layer(mdata, Modality.links, bare(name))
        values = np.asarray(layer_row(links, bare(name), pairs.sample)[pairs.rows], dtype=np.float64)
        found[name] = -values if name.startswith("-") else values
    return found


def fold_numbers(sets: pd.DataFrame) -> NDArray[np.int64]:
    """Fold that tests each pair ``(n,)``; −1: none."""
    tested = (sets.astype(object) == "test").to_numpy()
    numbers = np.array([int(str(fold)) for fold in sets], dtype=np.int64)
    return np.where(tested.any(axis=1), numbers[tested.argmax(axis=1)], -1)


def _score_names(mdata: MuData, scores: str | Iterable[str] | None) -> list[str]:
    if scores is not None:
        names = names_of(scores) if isinstance(scores, str) or list(scores) else []
    else:
        names = [name for name in LINK_SCORES if name in require_modality(mdata, Modality.links).layers]
    if taken := [name for name in names if name in METHODS]:
        raise ValueError(f"{listed(taken)}: the baselines have these names and are always judged; rename the layer")
    return names


def _kinds(mdata: MuData, pairs: LabelledLinks, negatives: str | Sequence[str] | None) -> list[str]:
    """Kinds of negative pairs to judge by."""
    if negatives is not None:
        return [negatives] if isinstance(negatives, str) else list(dict.fromkeys(negatives))
    var = mdata[Modality.links].var
    if Var.origin not in var:
        return [ALL]
    kinds = list(dict.fromkeys(var[Var.origin].astype(str).iloc[pairs.rows[~pairs.positive]]))
    if kinds and "repaired" not in kinds:
        logger.info(
            "no negative pairs join elements of positive ones; er.pp.matched_pairs(…, method='repaired') adds them"
        )
    return kinds or [ALL]


def _against_their_own(mdata: MuData, pairs: LabelledLinks) -> tuple[LabelledLinks, NDArray[np.float64]]:
    """Pairs and weights with which each positive pair counts once against the negative ones made for it."""
    var = mdata[Modality.links].var
    if Var.match not in var:
        return pairs, np.ones(len(pairs.rows))
    match = var[Var.match].to_numpy()[pairs.rows]
    if (match[~pairs.positive] < 0).any():
        return pairs, np.ones(len(pairs.rows))
    number = np.bincount(match[~pairs.positive], minlength=len(var))
    kept = ~pairs.positive | (number[pairs.rows] > 0)
    if left_out := int((~kept).sum()):
        logger.info(
            "%d of %d positive pairs have no matched negative one and are left out", left_out, pairs.positive.sum()
        )
    left = LabelledLinks(pairs.sample, pairs.rows[kept], pairs.positive[kept], pairs.chromosome[kept])
    weight = np.ones(len(left.rows))
    weight[~left.positive] = 1 / number[match[kept][~left.positive]]
    return left, weight
