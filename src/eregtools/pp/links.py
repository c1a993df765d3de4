"""Links between genes and the candidate enhancers near them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import Layer, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import entry, link_distance, put_layer, require_layer, require_modality, require_real
from eregtools.batches.encode import UNKNOWN, element_windows
from eregtools.genome import Genome, get_genome
from eregtools.ranges import pairs_within

Inclusive = Literal["neither", "left", "right", "both"]

SEQUENCE_WIDTH = 2_000
"""Bases around the midpoint of an element that a model reads."""

_ROWS_AT_ONCE = 10_000


def link(
    mdata: MuData,
    *,
    max_distance: float = 100_000,
    min_distance: float = 1_000,
    inclusive: Inclusive = "neither",
    max_enhancers: int | None = None,
    require_sequence: bool = False,
    genome: Genome | str | Path | None = None,
    copy: bool = False,
) -> MuData | None:
    """Link each gene to the candidate enhancers around its TSS; makes the modality ``links`` anew.

    Distances are from the midpoint of the element, not rounded, to the TSS. A link belongs to the biosamples
    whose candidate its element is and, with ``max_enhancers``, among whose nearest it is; links of no
    biosample are left out. Links are in the order of the genes, then by growing distance.

    Parameters
    ----------
    mdata
        The object.
    max_distance, min_distance
        Bounds of the absolute distance in bp.
    inclusive
        Which bounds themselves are taken: ``"neither"``, ``"left"`` (min), ``"right"`` (max) or ``"both"``.
    max_enhancers
        Keep the nearest of each gene in each biosample; ``None`` keeps all.
    require_sequence
        Leave out elements with an N in the sequence that a model reads (the element itself; of one over
        2,000 bp the centre 2,000), before the nearest are counted.
    genome
        Genome, its FASTA file, or a registered name; needed for ``require_sequence``.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["links"].var``
        gene and enhancer (categorical names) and distance (float32, bp, negative = upstream of the gene);
        names are ``chr1:1000-1500|ENSG…``.
    ``mdata["links"].layers["candidate"]``
        1 where the link is the biosample's, otherwise 0, float32; also ``X``.

    Raises
    ------
    ValueError
        Bounds that leave nothing between them, ``max_enhancers`` below 1, ``require_sequence`` without a
        genome, an unknown ``inclusive``; a view.

    Notes
    -----
    EPInformer's pairs: the defaults give the published 305,746 of K562, ``inclusive="right"`` is the rule of
    its reference encoder, and ``max_enhancers=60`` its number of slots.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata, max_distance=5_000)
    >>> mdata["links"].var[["gene", "distance"]].head(1).values.tolist()
    [['g1', -1250.0]]
    """
    require_real(mdata)
    _check_bounds(max_distance, min_distance, inclusive, max_enhancers)
    genes = require_modality(mdata, Modality.genes)
    enhancers = require_modality(mdata, Modality.enhancers)
    has_element = require_layer(enhancers, Layer.candidate, "er.pp.assemble") > 0
    if require_sequence and genome is None:
        raise ValueError("require_sequence=True needs genome=…, whose sequence is looked at")

    gene, enhancer = pairs_within(genes.var, enhancers.var, max_distance, min_distance, inclusive)
    if require_sequence and genome is not None:
        gene, enhancer = _with_sequence(gene, enhancer, enhancers.var, get_genome(genome))
    candidate = has_element[:, enhancer]
    if max_enhancers is not None:
        candidate = np.array([_nearest(of_sample, gene, max_enhancers) for of_sample in candidate])
    kept = candidate.any(axis=0)
    links = _links_modality(mdata, gene[kept], enhancer[kept])

    mdata = mdata.copy() if copy else mdata
    replace_modality(mdata, Modality.links, links)
    entry(mdata, Uns.x_layer).pop(Modality.links, None)
    put_layer(mdata, Modality.links, Layer.candidate, candidate[:, kept], as_x=True)
    _log_counts(gene[kept], enhancer[kept], genes.n_vars)
    return mdata if copy else None


def _check_bounds(max_distance: float, min_distance: float, inclusive: str, max_enhancers: int | None) -> None:
    if not 0 <= min_distance < max_distance < math.inf:
        raise ValueError(
            f"min_distance={min_distance}, max_distance={max_distance}: expected 0 ≤ min_distance < max_distance"
        )
    if inclusive not in ("neither", "left", "right", "both"):
        raise ValueError(f"inclusive={inclusive!r}: expected 'neither', 'left', 'right' or 'both'")
    if max_enhancers is not None and max_enhancers < 1:
        raise ValueError(f"max_enhancers={max_enhancers}: expected at least 1, or None for all")


def _with_sequence(
    gene: np.ndarray, enhancer: np.ndarray, enhancers: pd.DataFrame, genome: Genome
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the pairs whose element is known base by base, as far as a model reads it."""
    used = np.unique(enhancer)
    known = np.zeros(len(enhancers), dtype=bool)
    start, end = enhancers[Var.start].to_numpy(), enhancers[Var.end].to_numpy()
    chromosome = enhancers[Var.chromosome].astype(object).to_numpy()
    for first in range(0, len(used), _ROWS_AT_ONCE):
        rows = used[first : first + _ROWS_AT_ONCE]
        codes = element_windows(genome, chromosome[rows].tolist(), start[rows], end[rows], SEQUENCE_WIDTH)
        known[rows] = (codes != UNKNOWN).all(axis=1)
    logger.info("%d of %d elements near a gene have an N in their sequence", (~known[used]).sum(), len(used))
    return gene[known[enhancer]], enhancer[known[enhancer]]


def _nearest(candidate: np.ndarray, gene: np.ndarray, n: int) -> np.ndarray:
    """Keep the first ``n`` candidates of each gene; links are ordered by gene and distance."""
    kept = candidate.copy()
    of_sample = np.flatnonzero(candidate)
    number = np.arange(len(of_sample))
    begins = np.diff(gene[of_sample], prepend=-1) != 0
    rank = number - np.maximum.accumulate(np.where(begins, number, 0))
    kept[of_sample[rank >= n]] = False
    return kept


def _links_modality(mdata: MuData, gene: np.ndarray, enhancer: np.ndarray) -> AnnData:
    genes, enhancers = mdata.mod[Modality.genes], mdata.mod[Modality.enhancers]
    prefixes = (enhancers.var_names.to_numpy(dtype=object) + "|")[enhancer]
    names = prefixes + genes.var_names.to_numpy(dtype=object)[gene]
    var = pd.DataFrame(
        {
            Var.gene: pd.Categorical.from_codes(gene, categories=genes.var_names),
            Var.enhancer: pd.Categorical.from_codes(enhancer, categories=enhancers.var_names),
            Var.distance: link_distance(genes.var.iloc[gene], enhancers.var.iloc[enhancer]),
        },
        index=pd.Index(names),
    )
    return AnnData(obs=pd.DataFrame(index=mdata.obs_names.copy()), var=var)


def replace_modality(mdata: MuData, modality: str, adata: AnnData) -> None:
    """Put a modality with other elements in the place of one, if there is one."""
    if modality in mdata.mod:  # update() cannot drop some names of a modality and add others in one go
        del mdata.mod[modality]
        mdata.update()
    mdata.mod[modality] = adata
    mdata.update()


def _log_counts(gene: np.ndarray, enhancer: np.ndarray, n_genes: int) -> None:
    lonely = n_genes - len(np.unique(gene))
    logger.info("%d links, %d elements linked, %d genes without", len(gene), len(np.unique(enhancer)), lonely)
