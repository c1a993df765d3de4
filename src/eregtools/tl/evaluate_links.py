"""Scores of links judged against labelled pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._settings import settings
from eregtools.tl import _precision
from eregtools.tl._labelled_pairs import DISTANCE, LabelledPairs, labelled_pairs

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools._pairs import Statistic

ALL: Final = "all"
"""Name of the bin that holds every pair."""


def evaluate_links(
    data: MuData | pd.DataFrame,
    pairs: pd.DataFrame | None = None,
    *,
    scores: str | Sequence[str] | None = None,
    positive: str = "positive",
    sample: str | None = None,
    statistic: Statistic | Mapping[str, Statistic] = "sum",
    genes: pd.DataFrame | None = None,
    bins: Sequence[float] = (0, 25_000, 60_000, 100_000),
    recall: float = 0.7,
    n_bootstrap: int = 1_000,
    level: float = 0.95,
    rng: int | np.random.Generator | None = None,
) -> pd.DataFrame:
    """Judge scores of enhancer–gene links by pairs whose truth is known, such as those of CRISPR experiments.

    The distance to the TSS and the nearest gene are always judged beside the scores. Every pair counts for every
    predictor: one without a score stands below all that have one.

    Parameters
    ----------
    data
        The object, whose links have the scores; or a table of labelled pairs with the scores as columns, of any
        biosample and assembly.
    pairs
        With an object, the labelled pairs (:func:`eregtools.io.read_crispr`): Chromosome, Start and End of the tested
        element, the gene (``gene``, ``gene_id``), its ``tss``, and the label. A pair takes the scores of the links of
        its gene whose enhancers overlap its element.
    scores
        Layers of links, or columns of the table; higher = stronger. With an object the default is each of
        ``attention_abc``, ``attention``, ``abc``, ``interaction`` and ``contact`` that it has. A minus before the name
        (``"-pvalue"``, ``"-perturbation"``) turns the sign of what is lower where a link is stronger.
    positive
        Column of the label, true or 1 for links.
    sample
        Biosample of the object whose links are judged; default the only one.
    statistic
        ``"sum"``, ``"max"`` or ``"mean"`` of the scores of several links that meet a pair; ``{layer: statistic}`` for
        different ones (``"sum"`` where a layer is not named).
    genes
        Chromosome, ``tss`` and id or name of all genes, from which the nearest is found and a TSS that a pair lacks is
        taken (:func:`eregtools.io.read_genes`). Default: those of the object; for a table, the genes of the pairs.
    bins
        Edges of the bins of absolute distance in bp; the lower edge belongs to a bin, and so does the last upper edge.
        Pairs outside, or without a TSS, are in ``"all"`` only.
    recall
        Recall at which precision is told.
    n_bootstrap
        Draws of the bootstrap; 0 gives no intervals.
    level
        Probability that intervals hold.
    rng
        Seed or source of randomness; ``None``: ``settings.seed``.

    Returns
    -------
    One row for each predictor and distance bin, the scores first, then ``distance`` and ``nearest_gene``:

    ``predictor``, ``distance_bin``
        ``"all"``, and bins such as ``"0–25 kb"``.
    ``n``, ``n_positive``, ``n_genes``, ``n_missing``
        Pairs, links among them, genes, and pairs that the predictor has no score for.
    ``prevalence``
        Share of links: what a predictor that knows nothing has as average precision.
    ``average_precision``, ``low``, ``high``
        Σ (change of recall) · precision over the distinct scores (scikit-learn's), with the interval of a bootstrap
        that draws genes, because pairs of one gene are not independent.
    ``precision_at_70_recall``, ``threshold_at_70_recall``
        Precision, and the score, where falling scores first reach the recall (−∞: only with pairs that have none).
    ``delta``, ``delta_low``, ``delta_high``
        Average precision minus that of the distance in the same bin, with the interval of the same draws.

    Values that cannot be told, as where a bin has no link, are NaN.

    Raises
    ------
    KeyError
        A layer or biosample is not in the object.
    ValueError
        There is no positive or no negative pair, a pair is there twice, a column is missing, or no pair meets a link.

    Notes
    -----
    Distance is that of the midpoint of the tested element. The nearest gene scores 1 where no other gene's TSS is
    nearer to the element, and 0 otherwise. Benchmark: Gschwind et al. 2023 (ENCODE-rE2G); Nasser et al. 2021.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> pairs = pd.DataFrame(
    ...     {
    ...         "Chromosome": "chr1",
    ...         "Start": [1_000, 9_000, 30_000, 80_000],
    ...         "End": [1_500, 9_500, 30_500, 80_500],
    ...         "gene": ["A", "A", "B", "B"],
    ...         "tss": [10_000, 10_000, 20_000, 20_000],
    ...         "positive": [True, False, True, False],
    ...         "abc": [0.3, 0.1, 0.2, None],
    ...     }
    ... )
    >>> table = er.tl.evaluate_links(pairs, scores="abc", n_bootstrap=0)
    >>> table.loc[table["distance_bin"] == "all", ["predictor", "n_missing", "average_precision"]]
          predictor  n_missing  average_precision
    0           abc          1           1.000000
    4      distance          0           0.583333
    8  nearest_gene          0           0.500000
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall={recall}: expected a share above 0 and up to 1")
    if not 0 < level < 1 or n_bootstrap < 0:
        raise ValueError(f"level={level}, n_bootstrap={n_bootstrap}: expected 0 < level < 1 and at least 0 draws")
    labelled = labelled_pairs(
        data, pairs, scores=scores, positive=positive, sample=sample, statistic=statistic, genes=genes
    )
    draws = _precision.draws_of_groups(
        labelled.gene, n_bootstrap, np.random.default_rng(settings.seed if rng is None else rng)
    )
    tables = [
        _evaluate(labelled, rows, name, draws, recall=recall, level=level)
        for name, rows in distance_bins(labelled.distance, bins).items()
    ]
    rows = pd.concat(tables)
    order = {name: number for number, name in enumerate(labelled.scores)}
    return rows.sort_values("predictor", key=lambda column: column.map(order), kind="stable").reset_index(drop=True)


def distance_bins(distance: NDArray[np.float64], edges: Sequence[float]) -> dict[str, NDArray[np.int64]]:
    """Rows of every bin by its name: ``"all"``, then those between the edges in bp.

    Examples
    --------
    >>> distance_bins(np.array([10.0, 25_000, 60_000, np.nan]), [0, 25_000, 60_000])
    {'all': array([0, 1, 2, 3]), '0–25 kb': array([0]), '25–60 kb': array([1, 2])}
    """
    limits = np.asarray(edges, dtype=np.float64)
    if len(limits) == 1 or limits.ndim != 1 or not (np.diff(limits) > 0).all() or (limits < 0).any():
        raise ValueError(f"bins={list(edges)}: expected at least two rising distances in bp from 0 on, or none")
    found = {ALL: np.arange(len(distance))}
    for low, high in pairwise(limits):
        inside = (distance >= low) & ((distance <= high) if high == limits[-1] else (distance < high))
        name = f"from {low / 1000:g} kb" if np.isinf(high) else f"{low / 1000:g}–{high / 1000:g} kb"
        found[name] = np.flatnonzero(inside)
    return found


def _evaluate(
    labelled: LabelledPairs,
    rows: NDArray[np.int64],
    name: str,
    draws: NDArray[np.int64],
    *,
    recall: float,
    level: float,
) -> pd.DataFrame:
    """Rows of the result for one bin."""
    positive = labelled.positive[rows]
    rankings = {predictor: _precision.Ranking.of(score[rows]) for predictor, score in labelled.scores.items()}
    gene = labelled.gene[rows]
    whole = np.ones((1, len(rows)))
    point = {key: _average_precision(positive, ranking, whole)[0] for key, ranking in rankings.items()}
    drawn = {key: np.full(len(draws), np.nan) for key in rankings}
    for part, some in _precision.in_parts(draws, len(rows)):
        weights = some[:, gene].astype(np.float64)
        for key, ranking in rankings.items():
            drawn[key][part] = _average_precision(positive, ranking, weights)
    common = {
        "n": len(rows),
        "n_positive": int(positive.sum()),
        "n_genes": len(np.unique(gene)),
        "prevalence": float(positive.mean()) if len(rows) else np.nan,
    }
    table = []
    for key, score in labelled.scores.items():
        low, high = _precision.interval(drawn[key], level)
        delta_low, delta_high = _precision.interval(drawn[key] - drawn[DISTANCE], level)
        table.append(
            {
                "predictor": key,
                "distance_bin": name,
                **common,
                "n_missing": int(np.isnan(score[rows]).sum()),
                "average_precision": float(point[key]),
                "low": low,
                "high": high,
                **_at_recall(positive, score[rows], recall),
                "delta": float(point[key] - point[DISTANCE]),
                "delta_low": delta_low,
                "delta_high": delta_high,
            }
        )
    columns = list(table[0])
    columns.insert(columns.index("prevalence"), columns.pop(columns.index("n_missing")))
    return pd.DataFrame(table)[columns]


def _average_precision(
    positive: NDArray[np.bool_], ranking: _precision.Ranking, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    if not positive.any():
        return np.full(len(weights), np.nan)
    return _precision.average_precision(positive, ranking, weights)


def _at_recall(positive: NDArray[np.bool_], score: NDArray[np.float64], recall: float) -> dict[str, Any]:
    """Precision and threshold where falling scores first reach the recall."""
    names = [f"{what}_at_{100 * recall:g}_recall" for what in ("precision", "threshold")]
    if not positive.any():
        return dict.fromkeys(names, np.nan)
    precision, reached, thresholds = _precision.precision_recall(positive, score)
    first = int(np.argmax(reached >= recall - 1e-12))
    return dict(zip(names, (float(precision[first]), float(thresholds[first])), strict=True))
