"""Labelled enhancer–gene pairs with the scores to be judged and the baselines that always stand beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from mudata import MuData
from numpy.typing import NDArray

from eregtools import get
from eregtools._keys import INTERVAL, LINK_SCORES, Modality, Var
from eregtools._logging import logger
from eregtools._pairs import (
    Statistic,
    absolute_distance,
    match_chromosomes,
    match_genes,
    refuse_repeated_pairs,
    refuse_several_cell_types,
    scores_by_overlap,
)
from eregtools._schema import listed, require_modality
from eregtools.get._select import one_sample
from eregtools.io._pair_columns import gene_ids_and_names, require_columns, to_float
from eregtools.io.links import TSS

Floats = NDArray[np.float64]

DISTANCE: Final = "distance"
NEAREST: Final = "nearest_gene"
BASELINES: Final = (DISTANCE, NEAREST)
"""Predictors that every evaluation has."""

_ROWS_AT_ONCE: Final = 2_000


@dataclass(frozen=True)
class LabelledPairs:
    """Pairs, their labels and what is known of them, all ``(n_pairs,)``.

    Attributes
    ----------
    positive
        Which pairs are links.
    gene
        Number of the gene of each pair, by the order of their names.
    distance
        Absolute distance from the midpoint of the element to the TSS in bp; NaN where the TSS is not known.
    scores
        ``{predictor: score}``, higher = stronger, NaN where there is none; the baselines come last.
    """

    positive: NDArray[np.bool_]
    gene: NDArray[np.int64]
    distance: Floats
    scores: dict[str, Floats]

    def within(self, max_distance: float) -> LabelledPairs:
        """Pairs up to a distance in bp; both kinds must be left."""
        kept = self.distance <= max_distance
        positive = self.positive[kept]
        if positive.all() or not positive.any():
            raise ValueError(
                f"of {int(kept.sum()):,} pairs within {max_distance:,g} bp {int(positive.sum()):,} are positive; "
                "precision and recall need both kinds"
            )
        scores = {name: score[kept] for name, score in self.scores.items()}
        return LabelledPairs(positive, self.gene[kept], self.distance[kept], scores)


def scored_layers(mdata: MuData, scores: str | Iterable[str] | None) -> list[str]:
    """Layers of links to judge: those named, or all known scores that the object has."""
    if scores is not None:
        return names_of(scores)
    layers = require_modality(mdata, Modality.links).layers
    found = [name for name in LINK_SCORES if name in layers]
    if not found:
        raise KeyError(
            f"links have none of the layers {listed(LINK_SCORES)}; run er.tl.abc or er.tl.attention first, or name "
            "other layers with scores="
        )
    return found


def names_of(scores: str | Iterable[str]) -> list[str]:
    """Names of scores, each once."""
    names = [scores] if isinstance(scores, str) else list(dict.fromkeys(scores))
    if not names:
        raise ValueError("scores= is empty; name at least one")
    return names


def bare(score: str) -> str:
    """Name of the layer or column of a score, which a minus turns around.

    Examples
    --------
    >>> bare("-pvalue"), bare("abc")
    ('pvalue', 'abc')
    """
    return score.removeprefix("-")


def with_signs(table: pd.DataFrame, scores: Iterable[str]) -> pd.DataFrame:
    """Table with a column for each score whose sign is turned."""
    turned = {name: -to_float(table[bare(name)], "scores") for name in scores if name.startswith("-")}
    return table.assign(**turned)


def labelled_pairs(
    data: MuData | pd.DataFrame,
    pairs: pd.DataFrame | None,
    *,
    scores: str | Sequence[str] | None,
    positive: str,
    sample: str | None,
    statistic: Statistic | Mapping[str, Statistic],
    genes: pd.DataFrame | None,
) -> LabelledPairs:
    """Bring labels and scores together; the arguments are those of :func:`eregtools.tl.evaluate_links`."""
    if isinstance(data, MuData):
        if pairs is None:
            raise ValueError("pairs= is missing: give the labelled pairs, as er.io.read_crispr reads them")
        require_columns(pairs, (*INTERVAL, positive), "pairs")
        refuse_several_cell_types(pairs, "pairs")
        found = _scores_of_object(data, pairs, scored_layers(data, scores), one_sample(data, sample), statistic)
        genes = _genes_of_object(data) if genes is None else genes
    else:
        if pairs is not None:
            raise ValueError("pairs= goes with a MuData; a table has its labels and scores in its own columns")
        if sample is not None:
            raise ValueError("sample= goes with a MuData; choose the rows of a table")
        if scores is None:
            raise ValueError("scores= is missing: name the columns of the table to judge")
        names = names_of(scores)
        require_columns(data, (*INTERVAL, positive, *map(bare, names)), "pairs")
        pairs = with_signs(data, names)
        found = {name: to_float(pairs[name], "pairs") for name in names}
    if taken := [name for name in found if name in BASELINES]:
        raise ValueError(f"{listed(taken)}: the baselines have these names and are always judged; rename the score")
    refuse_repeated_pairs(pairs, "pairs")
    labels = _labels(pairs[positive])
    pairs, nearest = _beside_genes(pairs, genes)
    distance = absolute_distance(pairs)
    return LabelledPairs(labels, _gene_numbers(pairs), distance, {**found, DISTANCE: -distance, NEAREST: nearest})


def _scores_of_object(
    mdata: MuData,
    pairs: pd.DataFrame,
    layers: Sequence[str],
    sample: str,
    statistic: Statistic | Mapping[str, Statistic],
) -> dict[str, Floats]:
    links = with_signs(get.links(mdata, sample=sample, layers=[*dict.fromkeys(map(bare, layers))]), layers)
    found = scores_by_overlap(pairs, links, layers, statistic, f"links of {sample}")
    absent = {name: int(np.isnan(score).sum()) for name, score in found.items()}
    counts = ", ".join(f"{name} {number:,}" for name, number in absent.items())
    logger.info("of %d pairs these have no score and stand last: %s", len(pairs), counts)
    return found


def _genes_of_object(mdata: MuData) -> pd.DataFrame:
    var = require_modality(mdata, Modality.genes).var
    columns = [name for name in (Var.chromosome, Var.tss, Var.gene_name) if name in var]
    return var[columns].assign(**{Var.gene: var.index})


def _labels(values: pd.Series) -> NDArray[np.bool_]:
    numbers = to_float(values, "pairs")
    if not np.isin(numbers, (0, 1)).all():
        raise ValueError(
            f"pairs: column {values.name!r} has values other than true and false (1 and 0); take the pairs apart "
            "whose label is not known"
        )
    labels = numbers == 1
    if labels.all() or not labels.any():
        kind = "negative" if labels.all() else "positive"
        raise ValueError(
            f"pairs: none of {len(labels):,} pairs is {kind} by column {values.name!r}; precision and recall need both"
        )
    return labels


def _gene_numbers(pairs: pd.DataFrame) -> NDArray[np.int64]:
    ids, names = gene_ids_and_names(pairs, "pairs")
    gene = ids.where(ids.notna(), names)
    if gene.isna().any():
        raise ValueError(f"pairs: {int(gene.isna().sum())} pairs have no gene")
    return np.unique(gene.to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)


def _beside_genes(pairs: pd.DataFrame, genes: pd.DataFrame | None) -> tuple[pd.DataFrame, Floats]:
    """Pairs with the TSS that the genes have where they have none, and which gene is the nearest to the element.

    Returns
    -------
    The pairs, and 1 where no other gene's TSS is nearer to the element, 0 where one is, NaN where the pair's own TSS
    is not known ``(n_pairs,)``.
    """
    if genes is None:
        if TSS not in pairs:
            raise ValueError(
                f"pairs: no column {TSS!r}, from which the nearest gene is found; add it, or pass genes= "
                "(er.io.read_genes)"
            )
        genes = pairs
    require_columns(genes, (Var.chromosome, Var.tss), "genes")
    number, codes = match_genes(pairs, genes, "genes")
    known_tss = to_float(genes[Var.tss], "genes")
    if genes is not pairs:
        tss = pd.concat([pd.Series(known_tss).groupby(code).first() for code in codes])
        from_genes = tss[tss.index >= 0].reindex(number).to_numpy()
        own = to_float(pairs[TSS], "pairs") if TSS in pairs else np.full(len(pairs), np.nan)
        pairs = pairs.assign(**{TSS: np.where(np.isnan(own), from_genes, own)})
    chromosomes = match_chromosomes(pairs, genes, "genes")
    places = pd.DataFrame(
        {
            "chromosome": genes[Var.chromosome].astype(str).map(chromosomes).to_numpy(),
            "tss": known_tss,
            "id": codes[0],
            "name": codes[1],
        }
    ).drop_duplicates()
    return pairs, _nearest(pairs, number, places[places["tss"].notna()])


def _nearest(pairs: pd.DataFrame, gene: NDArray[np.int64], places: pd.DataFrame) -> Floats:
    distance = absolute_distance(pairs)
    middle = (pairs[Var.start] + pairs[Var.end]).to_numpy(dtype=np.float64) / 2
    on = pairs[Var.chromosome].astype(str).to_numpy()
    other: Floats = np.full(len(pairs), np.inf)
    for chromosome, here in places.groupby("chromosome"):
        of_chromosome = np.flatnonzero(on == chromosome)
        tss, by_id, by_name = (here[name].to_numpy() for name in ("tss", "id", "name"))
        for first in range(0, len(of_chromosome), _ROWS_AT_ONCE):
            rows = of_chromosome[first : first + _ROWS_AT_ONCE]
            apart = np.abs(middle[rows, None] - tss)
            own = (by_id == gene[rows, None]) | (by_name == gene[rows, None])
            apart[own & (gene[rows, None] >= 0)] = np.inf
            other[rows] = apart.min(axis=1)
    return np.where(np.isnan(distance), np.nan, (distance <= other).astype(np.float64))
