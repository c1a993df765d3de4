"""Negative pairs like the positive ones, so that a score has to tell pairs and not elements or distances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from eregtools._keys import INTERVAL, UNS, Layer, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import link_positions, require_modality, require_real
from eregtools._settings import settings
from eregtools.io.pairs import SHIFTS
from eregtools.pp.assemble import interval_names
from eregtools.pp.links import replace_modality
from eregtools.pp.pairs import link_table, promoter_table, put_windows
from eregtools.ranges import overlapping_pairs
from eregtools.sampling import nearest_unused
from eregtools.windows import windows_of

Method = Literal["distance", "repaired", "shift"]

TOLERANCE = np.log(1.25)
"""Largest difference of the logarithms of matched distances: they are alike within a quarter."""


def matched_pairs(
    mdata: MuData,
    *,
    method: Method = "distance",
    ratio: int = 1,
    rng: int | np.random.Generator | None = None,
    copy: bool = False,
) -> MuData | None:
    """Add negative pairs that are like the positive ones.

    Parameters
    ----------
    mdata
        Object of labelled pairs (:func:`pairs`).
    method
        ``"repaired"``: an enhancer and a promoter of different positive pairs of the same chromosome, as far apart as
        a positive pair. Elements tell nothing here: only pairs do. ``"distance"``: elements that no positive pair has,
        as far apart as a positive pair, as in most published tables; that elements are active is enough to tell these
        from positive pairs. ``"shift"``: the windows of each positive pair, moved by 2,000 bp as in the ChIA-PET
        tables of EPIPAM; this tests whether windows are centred, and says nothing of interaction.
    ratio
        Negative pairs for each positive one; 1 to 4 for ``"shift"``.
    rng
        Seed or source of randomness; ``None``: ``settings.seed``.
    copy
        Return a new object instead.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["links"].var``
        New rows below the others, with ``label`` 0, the method as ``origin`` and −1 as ``input_index``. ``match`` is
        the row of the positive pair that a negative one was made for (−1: none). With ``"shift"`` a positive pair and
        its negatives share a ``block``.
    ``mdata["links"].layers``
        ``candidate`` is 1 for new links; other layers are NaN there.
    ``mdata["enhancers"]``, ``mdata["genes"]``
        The shifted elements, with ``"shift"``.

    Raises
    ------
    KeyError
        The object has no labelled links.
    ValueError
        An unknown method or ratio; the object has such pairs already, has windows of no fixed length, or there is not
        one negative pair to be made; a view.

    Notes
    -----
    No negative pair is a labelled pair, nor overlaps a positive one: its two windows never meet both windows of a
    positive pair, which would be a negative copy of it. Distances agree within 25 %; positive pairs for which there
    is none such left have fewer negative ones, and a warning counts them. These are the nearer ones, so that scores
    are to be compared between negative pairs and those positive ones that they match
    (:func:`eregtools.tl.evaluate_interactions` does).

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> starts = [50_000, 90_000, 130_000, 170_000]
    >>> table = pd.DataFrame({"Chromosome": "chr1", "Start": starts, "label": [1, 1, 1, 0]})
    >>> table = table.assign(End=table["Start"] + 500, Chromosome2="chr1", Start2=table["Start"] + 20_000)
    >>> mdata = er.pp.pairs(table.assign(End2=table["Start2"] + 2_000), genome=None, sample="K562")
    >>> er.pp.matched_pairs(mdata, method="repaired")
    >>> mdata["links"].var.groupby("origin", observed=True)["label"].agg(["size", "sum"]).to_dict("index")
    {'table': {'size': 4, 'sum': 3}, 'repaired': {'size': 2, 'sum': 0}}
    """
    require_real(mdata)
    links = require_modality(mdata, Modality.links)
    if Var.label not in links.var:
        raise KeyError(f"links.var has no column {Var.label!r}; er.pp.pairs makes an object of labelled pairs")
    if method not in get_args(Method):
        raise ValueError(f"method={method!r}: expected {', '.join(map(repr, get_args(Method)))}")
    if ratio < 1 or (method == "shift" and ratio > len(SHIFTS)):
        most = f", at most {len(SHIFTS)} shifts" if method == "shift" else ""
        raise ValueError(f"ratio={ratio}: expected at least 1 negative pair for each positive one{most}")
    origin = links.var[Var.origin].astype(str) if Var.origin in links.var else pd.Series("table", links.var_names)
    if (origin == method).any():
        raise ValueError(f"the object already has {int((origin == method).sum()):,} pairs of origin {method!r}")
    positive = _Positive.of(mdata)
    mdata = mdata.copy() if copy else mdata
    if method == "shift":
        _add_shifted(mdata, positive, ratio)
    else:
        source = np.random.default_rng(settings.seed if rng is None else rng)
        gene, enhancer, match = _matched(mdata, positive, method, ratio, source)
        _add_links(mdata, gene, enhancer, match, method)
    return mdata if copy else None


@dataclass(frozen=True)
class _Positive:
    """Positive pairs of an object.

    Attributes
    ----------
    rows
        Places in the links ``(n_positive,)``.
    gene, enhancer
        Rows of the elements of every link ``(n_links,)``.
    """

    rows: NDArray[np.int64]
    gene: NDArray[np.int64]
    enhancer: NDArray[np.int64]

    @classmethod
    def of(cls, mdata: MuData) -> _Positive:
        rows = np.flatnonzero(mdata[Modality.links].var[Var.label].to_numpy() == 1)
        if not len(rows):
            raise ValueError("the object has no positive pair to match")
        return cls(rows, *link_positions(mdata))


def _matched(
    mdata: MuData, positive: _Positive, method: str, ratio: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], ...]:
    """Rows of the genes and enhancers of negative pairs, and of the positive pair that each is as far apart as."""
    genes, enhancers = mdata[Modality.genes].var, mdata[Modality.enhancers].var
    middle = {
        Modality.genes: genes[Var.tss].to_numpy(dtype=np.float64),
        Modality.enhancers: (enhancers[Var.start] + enhancers[Var.end]).to_numpy(dtype=np.float64) / 2,
    }
    own = {
        Modality.genes: np.unique(positive.gene[positive.rows]),
        Modality.enhancers: np.unique(positive.enhancer[positive.rows]),
    }
    offered = {}
    for modality, elements in own.items():
        n = mdata[modality].n_vars
        offered[modality] = elements if method == "repaired" else np.setdiff1d(np.arange(n), elements)
    refused = _Refused.of(mdata, positive)
    chromosome = {m: mdata[m].var[Var.chromosome].astype(str).to_numpy() for m in own}
    distance = np.log(np.maximum(np.abs(mdata[Modality.links].var[Var.distance].to_numpy(dtype=np.float64)), 1))
    gene, enhancer, match, short = [], [], [], 0
    on = chromosome[Modality.genes][positive.gene[positive.rows]]
    for name in dict.fromkeys(on):
        rows = np.repeat(positive.rows[on == name], ratio)
        wanted = distance[rows]
        g, e = (offered[m][chromosome[m][offered[m]] == name] for m in (Modality.genes, Modality.enhancers))
        reach = np.exp(wanted.max() + TOLERANCE)
        g, e = _within(g, e, middle[Modality.genes], middle[Modality.enhancers], reach)
        kept = ~refused.hit(g, e)
        g, e = g[kept], e[kept]
        apart = np.log(np.maximum(np.abs(middle[Modality.enhancers][e] - middle[Modality.genes][g]), 1))
        chosen = nearest_unused(wanted, apart, rng, within=TOLERANCE)
        short += int((chosen < 0).sum())
        match.append(rows[chosen >= 0])
        chosen = chosen[chosen >= 0]
        gene.append(g[chosen])
        enhancer.append(e[chosen])
    found = sum(map(len, gene))
    if not found:
        raise ValueError(f"no negative pair by {method!r}: no two such elements are as far apart as a positive pair")
    if short:
        logger.warning("%s: %d of %d negative pairs wanted have no match in distance", method, short, found + short)
    return np.concatenate(gene), np.concatenate(enhancer), np.concatenate(match)


@dataclass(frozen=True)
class _Refused:
    """Pairs that are no negatives: labelled ones, and those whose windows both meet those of a positive pair."""

    keys: NDArray[np.int64]
    n_genes: int

    @classmethod
    def of(cls, mdata: MuData, positive: _Positive) -> _Refused:
        n = mdata[Modality.genes].n_vars
        rows = pd.DataFrame({"gene": positive.gene[positive.rows], "enhancer": positive.enhancer[positive.rows]})
        for column, modality in (("gene", Modality.genes), ("enhancer", Modality.enhancers)):
            own, other = overlapping_pairs(*(windows_of(mdata[modality].var),) * 2)
            met = pd.DataFrame({column: own, f"{column}_met": other})
            rows = rows.merge(met, on=column)
        overlapping = rows["enhancer_met"].to_numpy() * n + rows["gene_met"].to_numpy()
        return cls(np.unique(np.concatenate([overlapping, positive.enhancer * n + positive.gene])), n)

    def hit(self, gene: NDArray[np.int64], enhancer: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.isin(enhancer * self.n_genes + gene, self.keys)


def _within(
    genes: NDArray[np.int64],
    enhancers: NDArray[np.int64],
    tss: NDArray[np.float64],
    middle: NDArray[np.float64],
    reach: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every gene with every enhancer up to a distance."""
    enhancers = enhancers[np.argsort(middle[enhancers], kind="stable")]
    first = np.searchsorted(middle[enhancers], tss[genes] - reach, side="left")
    last = np.searchsorted(middle[enhancers], tss[genes] + reach, side="right")
    number = last - first
    place = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + np.repeat(first, number)
    return np.repeat(genes, number), enhancers[place]


def _add_shifted(mdata: MuData, positive: _Positive, ratio: int) -> None:
    """Add the positive pairs with both elements moved."""
    sizes = mdata.uns.get(UNS, {}).get(Uns.chrom_sizes)
    length = None if sizes is None else sizes["length"]
    repeated, number = np.repeat(positive.rows, ratio), np.tile(np.arange(ratio), len(positive.rows))
    shifts = np.array(SHIFTS)[number]
    moved = {}
    inside = np.ones(len(repeated), dtype=bool)
    for column, (modality, rows) in enumerate(
        ((Modality.enhancers, positive.enhancer), (Modality.genes, positive.gene))
    ):
        var = mdata[modality].var.iloc[rows[repeated]][list(INTERVAL)].reset_index(drop=True)
        var[Var.chromosome] = var[Var.chromosome].astype(str)
        for name in (Var.start, Var.end):
            var[name] = var[name] + shifts[:, column]
        inside &= (var[Var.start] >= 0).to_numpy()
        if length is not None:
            inside &= (var[Var.end] <= var[Var.chromosome].map(length)).to_numpy()
        moved[modality] = var
    if lost := int((~inside).sum()):
        logger.warning(
            "shift: %d of %d negative pairs would lie past a chromosome's end and are left out", lost, len(inside)
        )
    if not inside.any():
        raise ValueError("no negative pair by 'shift': all would lie past their chromosome's end")
    enhancer = _add_elements(mdata, Modality.enhancers, moved[Modality.enhancers][inside], length)
    gene = _add_elements(mdata, Modality.genes, moved[Modality.genes][inside], length)
    links = mdata[Modality.links]
    block = links.var[Var.block].to_numpy() if Var.block in links.var else np.arange(links.n_vars)
    links.var[Var.block] = block.astype(np.int64)
    _add_links(mdata, gene, enhancer, repeated[inside], "shift", block=block[repeated[inside]])


def _add_elements(mdata: MuData, modality: str, intervals: pd.DataFrame, sizes: pd.Series | None) -> NDArray[np.int64]:
    """Add the elements that the object does not have; returns the row of each."""
    adata = mdata[modality]
    prefix = "promoter:" if modality == Modality.genes else ""
    names = prefix + interval_names(intervals)
    new = intervals.set_axis(names, axis=0)[~names.duplicated() & ~names.isin(adata.var_names)]
    if len(new):
        if Var.pair_window_start not in adata.var:
            raise ValueError(f"{modality} have no windows of fixed length; er.pp.pairs makes them")
        width = int(adata.var[Var.pair_window_end].iloc[0] - adata.var[Var.pair_window_start].iloc[0])
        table = promoter_table(new, new.index) if modality == Modality.genes else new
        put_windows(table, width, None if sizes is None else {str(name): int(size) for name, size in sizes.items()})
        replace_modality(mdata, modality, extended(adata, table))
    return np.asarray(mdata[modality].var_names.get_indexer(names), dtype=np.int64)


def _add_links(
    mdata: MuData,
    gene: NDArray[np.int64],
    enhancer: NDArray[np.int64],
    match: NDArray[np.int64],
    origin: str,
    **extra: NDArray[np.int64],
) -> None:
    values: Mapping[str, object] = {
        Var.label: np.zeros(len(gene), dtype=np.int8),
        Var.origin: pd.Categorical([origin] * len(gene)),
        Var.input_index: np.full(len(gene), -1, dtype=np.int64),
        Var.match: match,
        **extra,
    }
    genes, enhancers = mdata[Modality.genes].var, mdata[Modality.enhancers].var
    table = link_table(genes, enhancers, gene, enhancer, values)
    links = mdata[Modality.links]
    if Var.match not in links.var:
        links.var[Var.match] = np.full(links.n_vars, -1, dtype=np.int64)
    # a pair of this name may be there already, as one of another origin
    taken = table.index.isin(links.var_names)
    table.index = pd.Index(
        [f"{name}#{origin}" if there else name for name, there in zip(table.index, taken, strict=True)]
    )
    replace_modality(mdata, Modality.links, extended(links, table))
    logger.info("%d negative pairs by %s for %d positive ones", len(gene), origin, int(links.var[Var.label].sum()))


def extended(adata: AnnData, var: pd.DataFrame) -> AnnData:
    """Modality with new elements below its own; what is not known of them is NaN, and they are candidates."""
    together = pd.concat([adata.var.astype(_as_objects(adata.var)), var.astype(_as_objects(var))])
    for name, values in adata.var.items():
        if isinstance(values.dtype, pd.CategoricalDtype):
            known = [*values.cat.categories, *dict.fromkeys(together[name].dropna())]
            together[name] = pd.Categorical(together[name], categories=list(dict.fromkeys(known)))
        elif values.dtype != together[name].dtype and pd.api.types.is_integer_dtype(values.dtype):
            together[name] = together[name].fillna(-1).astype(values.dtype)
    n_new = len(var)
    out = AnnData(obs=adata.obs.copy(), var=together, uns=dict(adata.uns))
    for name, layer in adata.layers.items():
        if name is None:
            continue
        fill = 1 if name == Layer.candidate else np.nan
        out.layers[name] = np.hstack([np.asarray(layer), np.full((adata.n_obs, n_new), fill, dtype=np.float32)])
    if adata.X is not None:
        fill = 1 if Layer.candidate in adata.layers and _same(adata.X, adata.layers[Layer.candidate]) else np.nan
        out.X = np.hstack([np.asarray(adata.X), np.full((adata.n_obs, n_new), fill, dtype=np.float32)])
    for name, entry in adata.varm.items():
        out.varm[name] = _with_unknown_rows(entry, out.var_names, n_new)
    return out


def _as_objects(var: pd.DataFrame) -> dict[Any, str]:
    return {name: "object" for name, values in var.items() if isinstance(values.dtype, pd.CategoricalDtype)}


def _same(x: Any, layer: Any) -> bool:
    return bool(np.array_equal(np.asarray(x), np.asarray(layer), equal_nan=True))


def _with_unknown_rows(entry: Any, names: pd.Index, n_new: int) -> Any:
    if isinstance(entry, pd.DataFrame):
        return entry.reindex(names)
    values = np.asarray(entry)
    kind = values.dtype if np.issubdtype(values.dtype, np.floating) else np.float32
    return np.concatenate([values.astype(kind), np.full((n_new, *values.shape[1:]), np.nan, dtype=kind)])
