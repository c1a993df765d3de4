"""How likely pairs are to interact by what can be told without sequence, learnt on other chromosomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._schema import link_positions
from eregtools.get._select import layer_row
from eregtools.tl._pair_overlaps import PairOverlaps
from eregtools.tl.baseline import out_of_fold

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.tl._labels import LabelledLinks

Method = Literal["distance", "distance_lengths", "between", "memoriser"]

METHODS: Final[tuple[Method, ...]] = get_args(Method)
"""Ways to score pairs without sequence."""

MODELS: Final[dict[Method, str]] = {
    "distance": "histogram of the distance",
    "distance_lengths": "HistGradientBoostingClassifier on distance and lengths",
    "between": "HistGradientBoostingClassifier on distance, lengths and promoters in between",
    "memoriser": "look-up of overlapping positive pairs",
}

N_BINS: Final = 35
"""Bins of the histogram of distances, with as many pairs in each."""


@dataclass
class Histogram:
    """Share of positive pairs in bins of one number that have as many pairs each.

    Attributes
    ----------
    edges
        Borders between bins ``(n_bins − 1,)``.
    share
        Share of positive pairs in each, drawn towards that of all as if by one pair more ``(n_bins,)``.
    """

    edges: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    share: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def fit(self, features: NDArray[np.float64], target: NDArray[np.float64]) -> Histogram:
        """Learn from one feature ``(n, 1)`` and labels ``(n,)``."""
        self.edges = np.unique(np.quantile(features[:, 0], np.linspace(0, 1, N_BINS + 1)[1:-1]))
        place = np.searchsorted(self.edges, features[:, 0], side="right")
        n = np.bincount(place, minlength=len(self.edges) + 1)
        positive = np.bincount(place, weights=target, minlength=len(self.edges) + 1)
        self.share = (positive + target.mean()) / (n + 1)
        return self

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of positive pairs in the bin of each ``(n,)``."""
        return self.share[np.searchsorted(self.edges, features[:, 0], side="right")]


def cross_fitted(
    mdata: MuData, pairs: LabelledLinks, sets: pd.DataFrame, method: Method, seed: int
) -> tuple[NDArray[np.float64], list[int]]:
    """Score labelled pairs by a model of the chromosomes that the fold which tests them does not test.

    Parameters
    ----------
    mdata
        The object.
    pairs
        Its labelled links.
    sets
        Set of each pair in each fold.
    method
        Way to score.
    seed
        Seed of the trees.

    Returns
    -------
    Scores ``(n,)``, NaN for pairs that no fold tests, and the folds that have some.
    """
    target = pairs.positive.astype(np.float64)
    if method == "memoriser":
        return _memorised(mdata, pairs, sets)
    features = pair_features(mdata, pairs)
    if method == "distance":
        return out_of_fold(features[:, :1], target, sets, Histogram())
    from sklearn.ensemble import HistGradientBoostingClassifier

    columns = features if method == "between" else features[:, :3]
    return out_of_fold(columns, target, sets, HistGradientBoostingClassifier(random_state=seed))


def pair_features(mdata: MuData, pairs: LabelledLinks) -> NDArray[np.float64]:
    """Log10 of the distance, lengths of enhancer and promoter, and promoters between them ``(n, 4)``.

    Promoters are those of the object; where their activity is known, those that are active in the biosample.
    """
    genes, enhancers = mdata[Modality.genes], mdata[Modality.enhancers]
    gene, enhancer = (elements[pairs.rows] for elements in link_positions(mdata))
    start, end = (enhancers.var[name].to_numpy()[enhancer] for name in (Var.start, Var.end))
    tss = genes.var[Var.tss].to_numpy()
    middle = (start + end) / 2
    active = np.ones(genes.n_vars, dtype=bool)
    if Layer.promoter_activity in genes.layers:
        active = layer_row(genes, Layer.promoter_activity, pairs.sample) > 0
    chromosome = genes.var[Var.chromosome].astype(str).to_numpy()
    between = np.zeros(len(pairs.rows))
    for name in np.unique(pairs.chromosome):
        here = pairs.chromosome == name
        places = np.unique(tss[(chromosome == name) & active])
        low, high = np.minimum(middle[here], tss[gene[here]]), np.maximum(middle[here], tss[gene[here]])
        between[here] = np.searchsorted(places, high, side="left") - np.searchsorted(places, low, side="right")
    lengths = (genes.var[Var.end] - genes.var[Var.start]).to_numpy()[gene]
    columns = [np.log10(np.maximum(np.abs(middle - tss[gene]), 1)), end - start, lengths, between]
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


def _memorised(mdata: MuData, pairs: LabelledLinks, sets: pd.DataFrame) -> tuple[NDArray[np.float64], list[int]]:
    overlaps = PairOverlaps.of(mdata, pairs.rows, pairs.positive)
    score = np.full(len(pairs.rows), np.nan)
    folds = []
    for fold in map(str, sets):
        tested = (sets[fold].astype(object) == "test").to_numpy()
        if tested.any():
            score[tested] = overlaps.memoriser(~tested)[tested]
            folds.append(int(fold))
    return score, folds
