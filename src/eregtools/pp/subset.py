"""A smaller object around some genes, a region or some biosamples."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import Modality, Var
from eregtools._schema import link_positions, require_modality, require_real
from eregtools.pp.align import sample_rows, stable_ids
from eregtools.ranges import Region, overlaps, parse_region


def subset(
    mdata: MuData,
    *,
    genes: str | Sequence[str] | None = None,
    region: Region | None = None,
    samples: str | Sequence[str] | None = None,
) -> MuData:
    """Cut out some genes with all that is linked to them, a region, or some biosamples.

    Parameters
    ----------
    mdata
        The object; it is left as it is.
    genes
        Gene ids or gene names: these genes, their links, the enhancers of the links, and the eRNAs that
        overlap the enhancers.
    region
        ``"chr1:1,000-2,000"`` or ``(chromosome, start, end)``, 0-based half-open: genes whose TSS lies in it,
        elements that overlap it, and links with both ends in the object.
    samples
        Biosamples, in the order of the new rows.

    Returns
    -------
    The new object. With several conditions, all hold.

    Raises
    ------
    KeyError
        A gene, chromosome or biosample that the object does not have.
    ValueError
        A region that cannot be read, or in which there is neither a gene nor an element; a view.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> one = er.pp.subset(mdata, genes="g1")
    >>> list(one["genes"].var_names), one["links"].n_vars < mdata["links"].n_vars
    (['g1'], True)
    """
    require_real(mdata)
    kept = {name: np.ones(adata.n_vars, dtype=bool) for name, adata in mdata.mod.items()}
    if region is not None:
        _keep_region(mdata, *parse_region(region), kept)
    if genes is not None:
        _keep_genes(mdata, [genes] if isinstance(genes, str) else list(genes), kept)
    names = [samples] if isinstance(samples, str) else mdata.obs_names if samples is None else samples
    rows = sample_rows(mdata, names, "samples")

    smaller = MuData({name: adata[rows, kept[name]].copy() for name, adata in mdata.mod.items()})
    smaller.obs = mdata.obs.iloc[rows].copy()
    smaller.uns.update(copy.deepcopy(dict(mdata.uns)))
    return smaller


def _keep_genes(mdata: MuData, wanted: list[str], kept: dict[str, np.ndarray]) -> None:
    genes = require_modality(mdata, Modality.genes)
    kept[Modality.genes] &= _named(wanted, genes.var)
    if Modality.enhancers not in mdata.mod:
        return
    require_modality(mdata, Modality.links)
    _drop_loose_links(mdata, kept)
    linked = np.zeros(mdata.mod[Modality.enhancers].n_vars, dtype=bool)
    linked[link_positions(mdata)[1][kept[Modality.links]]] = True
    kept[Modality.enhancers] &= linked
    if Modality.ernas in mdata.mod:
        enhancers = mdata.mod[Modality.enhancers].var[kept[Modality.enhancers]]
        kept[Modality.ernas] &= overlaps(mdata.mod[Modality.ernas].var, enhancers)


def _named(wanted: list[str], var: pd.DataFrame) -> np.ndarray:
    """Genes whose id or name is among those wanted."""
    ids = pd.Index(stable_ids(wanted))
    known_ids, known_names = stable_ids(var.index), pd.Index(var[Var.gene_name])
    unknown = [name for name, one in zip(wanted, ids, strict=True) if not (one in known_ids or name in known_names)]
    if unknown:
        raise KeyError(
            f"no gene {', '.join(unknown[:5])} ({len(unknown)} in all) among {len(var)} ids and names "
            f"such as {var.index[0]} ({var[Var.gene_name].iloc[0]})"
        )
    return known_ids.isin(ids) | known_names.isin(wanted)


def _keep_region(mdata: MuData, chromosome: str, start: int, end: int, kept: dict[str, np.ndarray]) -> None:
    region = pd.DataFrame({Var.chromosome: [chromosome], Var.start: [start], Var.end: [end]})
    for name in (Modality.genes, Modality.enhancers, Modality.ernas):
        if name not in mdata.mod:
            continue
        var = mdata.mod[name].var
        if name == Modality.genes:
            inside = (var[Var.tss] >= start) & (var[Var.tss] < end)
            kept[name] &= (inside & (var[Var.chromosome].astype(object) == chromosome)).to_numpy()
        else:
            kept[name] &= overlaps(var, region)
    if not any(kept[name].any() for name in kept if name != Modality.links):
        raise ValueError(f"there is neither a gene nor an element in {chromosome}:{start}-{end}")
    if Modality.links in mdata.mod:
        _drop_loose_links(mdata, kept)


def _drop_loose_links(mdata: MuData, kept: dict[str, np.ndarray]) -> None:
    """Keep only links whose gene and enhancer are kept."""
    gene, enhancer = link_positions(mdata)
    kept[Modality.links] &= kept[Modality.genes][gene] & kept[Modality.enhancers][enhancer]
