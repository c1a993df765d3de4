"""Variants that change the expression of genes, and the links whose enhancers hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from mudata import MuData
from numpy.typing import NDArray
from scipy import sparse

from eregtools import get
from eregtools._keys import INTERVAL, Modality, Var
from eregtools._logging import logger
from eregtools._pairs import (
    absolute_distance,
    distinct_elements,
    match_chromosomes,
    match_genes,
    renamed_chromosomes,
    same_gene_overlaps,
)
from eregtools._schema import require_modality
from eregtools.get._select import one_sample
from eregtools.io._pair_columns import gene_ids_and_names, require_columns, to_float
from eregtools.ranges import overlapping_pairs
from eregtools.tl._labelled_pairs import DISTANCE, bare, names_of, scored_layers, with_signs

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PIP = "pip"
"""Column of the posterior probability that a variant is causal."""


@dataclass(frozen=True)
class Eqtl:
    """Variants and their genes.

    Attributes
    ----------
    pairs
        Rows of variant and gene, on the chromosomes of the links.
    variant
        Number of the variant of each row ``(n_pairs,)``.
    distance
        From the variant to the gene's TSS in bp ``(n_pairs,)``; NaN where it is not known.
    group
        Group of each variant ``(n_variants,)``; variants that share a gene, directly or through others, are together.
    """

    pairs: pd.DataFrame
    variant: Integers
    distance: Floats
    group: Integers

    @classmethod
    def of(cls, variants: pd.DataFrame, links: pd.DataFrame, genes: pd.DataFrame, min_pip: float | None) -> Eqtl:
        """Take the variants that are likely enough; ``genes`` have ``tss``."""
        require_columns(variants, INTERVAL if min_pip is None else (*INTERVAL, PIP), "variants")
        if min_pip is not None:
            chosen = to_float(variants[PIP], "variants") >= min_pip
            logger.info("%d of %d rows of variants have a PIP of at least %g", chosen.sum(), len(variants), min_pip)
            if not chosen.any():
                raise ValueError(f"variants: none of {len(variants):,} rows has a {PIP} of at least {min_pip:g}")
            variants = variants[chosen]
        pairs = renamed_chromosomes(variants, match_chromosomes(links, variants, "variants")).reset_index(drop=True)
        place = [name for name in (*INTERVAL, "Ref", "Alt") if name in pairs]
        variant: Integers = np.asarray(pairs.groupby(place, observed=True, dropna=False).ngroup(), dtype=np.int64)
        number, codes = match_genes(pairs, genes, "genes")
        if lost := int((number < 0).sum()):
            logger.info("%d of %d pairs of variant and gene have a gene without links", lost, len(pairs))
        tss = pd.concat([pd.Series(to_float(genes[Var.tss], "genes")).groupby(code).first() for code in codes])
        distance = np.abs(pairs[Var.start].to_numpy() - tss[tss.index >= 0].reindex(number).to_numpy())
        return cls(pairs, variant, distance, _groups(variant, pairs))


@dataclass(frozen=True)
class Highest:
    """Highest score of the links that hold a variant, −∞ where none does.

    Attributes
    ----------
    score
        Of each link ``(n_links,)``.
    any_gene
        Of any link at each variant ``(n_variants,)``.
    own_gene
        Of a link with the gene of each row of variant and gene ``(n_pairs,)``.
    background
        Of any link at each background variant ``(n_background,)``.
    """

    score: Floats
    any_gene: Floats
    own_gene: Floats
    background: Floats


@dataclass(frozen=True)
class Overlaps:
    """Which links hold which variants: rows of variants and of links (or their distinct elements)."""

    element: Integers
    of_variants: tuple[Integers, Integers]
    of_pairs: tuple[Integers, Integers]
    of_background: tuple[Integers, Integers]
    sizes: tuple[int, int, int, int]

    @classmethod
    def of(cls, eqtl: Eqtl, background: pd.DataFrame, links: pd.DataFrame) -> Overlaps:
        """Join the variants of both kinds with the elements of the links."""
        require_columns(background, INTERVAL, "background")
        elements, element = distinct_elements(links)
        first = np.unique(eqtl.variant, return_index=True)[1]
        placed = renamed_chromosomes(background, match_chromosomes(links, background, "background"))
        return cls(
            element,
            overlapping_pairs(eqtl.pairs.iloc[first], elements),
            same_gene_overlaps(eqtl.pairs, links, "links", none_is_fine=True),
            overlapping_pairs(placed, elements),
            (len(elements), len(first), len(eqtl.pairs), len(background)),
        )

    def highest(self, score: Floats) -> Highest:
        """Highest of a score of the links ``(n_links,)`` wherever there is a variant."""
        n_elements, n_variants, n_pairs, n_background = self.sizes
        of_element = _highest(score, self.element, n_elements)
        (variant, at_variant), (other, at_other) = self.of_variants, self.of_background
        pair, link = self.of_pairs
        return Highest(
            score,
            any_gene=_highest(of_element[at_variant], variant, n_variants),
            own_gene=_highest(score[link], pair, n_pairs),
            background=_highest(of_element[at_other], other, n_background),
        )


def scored_links(
    data: MuData | pd.DataFrame, scores: str | Sequence[str] | None, sample: str | None
) -> tuple[pd.DataFrame, list[str], pd.DataFrame]:
    """Links with their scores and nearness, the names of the scores, and genes with their TSS."""
    if isinstance(data, MuData):
        names = scored_layers(data, scores)
        links = get.links(data, sample=one_sample(data, sample), layers=[*dict.fromkeys(map(bare, names))])
        links[Var.distance] = np.abs(links[Var.distance].to_numpy(dtype=np.float64))
        var = require_modality(data, Modality.genes).var
        genes = var[[name for name in (Var.tss, Var.gene_name) if name in var]].assign(**{Var.gene: var.index})
    else:
        if sample is not None:
            raise ValueError("sample= goes with a MuData; choose the rows of a table")
        if scores is None:
            raise ValueError("scores= is missing: name the columns of the table to judge")
        names = names_of(scores)
        require_columns(data, (*INTERVAL, Var.tss, *map(bare, names)), "links")
        links, genes = data.assign(**{Var.distance: absolute_distance(data)}), data
    if DISTANCE in names:
        raise ValueError(f"{DISTANCE!r} is the baseline, which is always judged; rename the score")
    links = with_signs(links, names)
    links[DISTANCE] = -links[Var.distance]
    return links, names, genes


def _groups(variant: Integers, pairs: pd.DataFrame) -> Integers:
    ids, names = gene_ids_and_names(pairs, "variants")
    gene = np.unique(ids.where(ids.notna(), names).fillna("").to_numpy(dtype=str), return_inverse=True)[1]
    n = int(variant.max()) + 1
    size = n + int(gene.max()) + 1
    edges = sparse.coo_array((np.ones(len(variant)), (variant, n + gene)), shape=(size, size))
    return np.asarray(sparse.csgraph.connected_components(edges, directed=False)[1][:n], dtype=np.int64)


def _highest(values: Floats, rows: Integers, n: int) -> Floats:
    found: Floats = np.full(n, -np.inf)
    np.maximum.at(found, rows, np.where(np.isnan(values), -np.inf, values))
    return found
