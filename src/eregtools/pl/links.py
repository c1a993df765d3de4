"""Scores of links: as a heat map beside each other, and as curves of precision over recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from eregtools import get
from eregtools._keys import INTERVAL, LINK_SCORES, UNS, Layer, Modality, Uns, Var
from eregtools._schema import listed, require_modality
from eregtools.get._select import check_layer, find_gene, gene_labels, sample_names
from eregtools.pl._region import find_region

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

    from eregtools._pairs import Statistic
    from eregtools.pl._heatmap import HeatRow

_MOST_ROWS: Final = 60


def links_heatmap(
    mdata: MuData,
    genes: str | Sequence[str],
    *,
    layers: str | Sequence[str] | None = None,
    sample: str | Sequence[str] | None = None,
    min_distance: float | None = None,
    max_distance: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float | None] | None = None,
) -> list[Axes] | None:
    """Draw scores of links as a heat map: enhancers from left to right, and below them where they lie.

    For one gene the rows are scores (and biosamples); for several genes or a region they are genes, of one score in
    one biosample. Columns are as wide for near enhancers as for far ones; lines lead to their places on the genome. A
    thick line between columns is the TSS. Each layer has its own scale, from 0 (or, where all its values are
    negative, from the least) to the largest, whose value stands to the right; a layer with both signs has one from
    minus to plus the largest absolute value. A link without a value is hatched, and what is no link is empty.

    Parameters
    ----------
    mdata
        Object with genes, enhancers and links.
    genes
        Gene by id or name, several of them, or a region such as ``"chr1:1,000-2,000"`` for the genes with a TSS in it.
    layers
        Layers of ``links``; default, for one gene, all of `attention_abc`, `attention`, `abc`, `interaction`,
        `contact`, `perturbation` and `crispr` that exist, and else the first of these. A layer
        `<layer>_significant` puts dots on cells where it is 1.
    sample
        Biosamples; default all for one gene. Several genes need one.
    min_distance, max_distance
        Leave out links nearer or farther than this in bp. A gene's own promoter, where it is linked, outshines its
        enhancers.
    ax
        Axes whose place the panels take; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.
    figsize
        Inches. Default one journal column (89 mm) wide, and as high as the rows need; so is a height of None.

    Returns
    -------
    None where the figure is shown, else the Axes of the matrix and of the places.

    Raises
    ------
    KeyError
        A gene, sample or layer is not in the object.
    ValueError
        There are no links to draw, too many rows, or several genes with several layers or samples.

    Examples
    --------
    Scores of one gene, side by side:

    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> er.tl.abc(mdata)
        >>> er.tl.attention(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> er.tl.perturb(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> axes = er.pl.links_heatmap(mdata, "sim12", layers=["attention", "abc", "contact", "perturbation"])

    >>> [ax.get_label() for ax in axes]
    ['matrix', 'places']
    """
    from eregtools.pl import _heatmap, _style

    samples = sample_names(mdata, sample)
    ids, many = _genes(mdata, genes, samples)
    layers = _layers(mdata, layers, one=many)
    if many and (len(layers) != 1 or len(samples) != 1):
        raise ValueError(
            f"several genes are drawn with one layer of one biosample, and there are {len(layers)} layers and "
            f"{len(samples)} biosamples; name them with layers= and sample=, or draw one gene"
        )
    links = _links(mdata, ids, layers, samples, (min_distance or 0, np.inf if max_distance is None else max_distance))
    enhancers = links.drop_duplicates(Var.enhancer).sort_values([Var.start, Var.end]).set_index(Var.enhancer)
    rows = _rows(mdata, links, enhancers.index, ids, layers, samples, many=many)
    if len(rows) > _MOST_ROWS:
        raise ValueError(
            f"there are {len(rows)} rows to draw, expected up to {_MOST_ROWS}; choose fewer genes or layers"
        )

    title = _title(mdata, ids, layers, samples, many=many)
    width, height = _style.in_print(figsize) or (_style.ONE_COLUMN, None)
    if ax is not None:
        width, height = _style.size_of(ax)
    boxes, inner, total = _boxes(rows, title, width, height)
    with _style.drawing(ax):
        host = ax if ax is not None else _style.new_figure(width, total)
        cells, places, header = _style.panels(host, boxes)
        centres = (enhancers[Var.start] + enhancers[Var.end]).to_numpy(float) / 2
        _heatmap.draw_matrix(cells, rows, centres)
        header.set(xlim=(0, width), ylim=(0, boxes[2][3] * total))
        _heatmap.draw_header(header, rows, title)
        var = require_modality(mdata, Modality.genes).var.loc[ids]
        tss = float(var[Var.tss].iloc[0])
        genome = mdata.uns.get(UNS, {}).get(Uns.genome)
        chromosome = str(enhancers[Var.chromosome].iloc[0])
        _heatmap.draw_places(
            places,
            enhancers,
            _limits(enhancers, var),
            origin=None if many else tss,
            strand=str(var[Var.strand].iloc[0]),
            label=f"{chromosome}{f' ({genome})' if genome else ''}" if many else f"distance to TSS, {chromosome}",
            width=inner,
        )
    return _style.finish([cells, places], show=show, own_figure=ax is None)


def pr_curve(
    data: MuData | pd.DataFrame,
    pairs: pd.DataFrame | None = None,
    *,
    scores: str | Sequence[str] | None = None,
    positive: str = "positive",
    sample: str | None = None,
    statistic: Statistic | Mapping[str, Statistic] = "sum",
    genes: pd.DataFrame | None = None,
    max_distance: float | None = None,
    labels: Mapping[str, str] | None = None,
    recall: float | None = 0.7,
    ax: Axes | None = None,
    show: bool | None = None,
) -> Axes | None:
    """Draw precision over recall of scores of links, beside the distance and the nearest gene.

    A score with at most two values is a point. A curve ends where the pairs that have a score end. The dotted line is
    the share of positive pairs, which a predictor that knows nothing has as precision. The legend has the average
    precision, the best first.

    Parameters
    ----------
    data, pairs, scores, positive, sample, statistic, genes
        As in :func:`eregtools.tl.evaluate_links`.
    max_distance
        Leave out pairs beyond this distance in bp, and those whose TSS is not known.
    labels
        ``{predictor: name in the legend}``.
    recall
        Recall at which each curve is marked; None: no marks.
    ax
        Axes to draw in; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.

    Returns
    -------
    None where the figure is shown, else the Axes.

    Raises
    ------
    KeyError, ValueError
        As :func:`eregtools.tl.evaluate_links`; no pair of either kind is within ``max_distance``.

    Examples
    --------
    Links that the simulation planted, told from the others by scores of them:

    .. plot::
        :include-source:

        >>> import pandas as pd
        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> er.tl.abc(mdata)
        >>> er.tl.perturb(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> truth = pd.read_table(er.settings.cache_dir / "simulated" / "200genes-seed0" / "truth_links.tsv")
        >>> planted = truth[truth["positive"]].set_index(["enhancer", "gene"]).index
        >>> links = er.get.links(mdata, layers=())
        >>> links["positive"] = pd.MultiIndex.from_frame(links[["enhancer", "gene"]].astype(str)).isin(planted)
        >>> pairs = links[["Chromosome", "Start", "End", "gene", "positive"]]
        >>> names = {"-perturbation": "change without enhancer", "abc": "ABC"}
        >>> ax = er.pl.pr_curve(mdata, pairs, scores=list(names), labels=names)

    >>> [text.get_text().rsplit(maxsplit=1)[0] for text in ax.get_legend().get_texts()]
    ['change without enhancer', 'ABC', 'distance', 'nearest gene', 'chance']
    """
    from eregtools.pl import _curve_panel, _style
    from eregtools.tl._labelled_pairs import labelled_pairs

    labelled = labelled_pairs(
        data, pairs, scores=scores, positive=positive, sample=sample, statistic=statistic, genes=genes
    )
    if max_distance is not None:
        labelled = labelled.within(max_distance)
    with _style.drawing(ax):
        axes = ax if ax is not None else _curve_panel.new_axes(len(labelled.scores))
        _curve_panel.draw(axes, labelled, labels or {}, recall)
    return _style.finish(axes, show=show, own_figure=ax is None)


def _boxes(
    rows: Sequence[HeatRow], title: str, width: float, height: float | None
) -> tuple[list[tuple[float, float, float, float]], float, float]:
    """Places of matrix, genome and header as fractions, width of the cells and height of the whole in inches."""
    from eregtools.pl import _heatmap

    left = _heatmap.left_margin(rows)
    right = _heatmap.RIGHT if len(_heatmap.scales_of(rows)) > 1 else 0.1
    inner = width - left - right
    if inner < 0.5:
        raise ValueError(f"{max(inner, 0):.1f} in are left for the cells beside their labels; give more width")
    header = _heatmap.header_height(rows, title, width)
    below = _heatmap.AXIS + _heatmap.CONNECTORS + _heatmap.BOXES
    needed = header + _heatmap.heights(rows)[1] + below
    total = height or needed
    matrix = total - header - below
    if matrix < 0.5 * _heatmap.heights(rows)[1]:
        raise ValueError(
            f"the rows need {needed:.1f} in of height and have {total:.1f} in; leave the height to the figure"
        )
    boxes = [
        (left / width, below / total, inner / width, matrix / total),
        (left / width, _heatmap.AXIS / total, inner / width, (below - _heatmap.AXIS) / total),
        (0.0, 1 - header / total, 1.0, header / total),
    ]
    return boxes, inner, total


def _genes(mdata: MuData, genes: str | Sequence[str], samples: Sequence[str]) -> tuple[list[str], bool]:
    """Ids of the genes, and whether rows are genes."""
    known = require_modality(mdata, Modality.genes)
    if not isinstance(genes, str):
        ids = [find_gene(mdata, name) for name in dict.fromkeys(genes)]
        if not ids:
            raise ValueError("genes= is empty; name at least one gene, or a region")
        chromosomes = known.var[Var.chromosome].astype(str).loc[ids].unique()
        if len(chromosomes) > 1:
            raise ValueError(f"the genes are on {listed(chromosomes)}; a heat map is of one chromosome")
        return sorted(ids, key=lambda gene: int(known.var[Var.tss].loc[gene])), True
    region = find_region(mdata, genes, samples, 0)
    if region.gene is not None:
        return [region.gene], False
    inside = known.var[Var.chromosome] == region.chromosome
    inside &= (known.var[Var.tss] >= region.start) & (known.var[Var.tss] < region.end)
    if not inside.any():
        raise ValueError(f"no gene has its TSS in {region}")
    return list(known.var[inside].sort_values(Var.tss).index), True


def _layers(mdata: MuData, layers: str | Sequence[str] | None, *, one: bool) -> list[str]:
    if layers is not None:
        chosen = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
        for layer in chosen:
            check_layer(mdata, Modality.links, layer)
    else:
        there = require_modality(mdata, Modality.links).layers
        chosen = [layer for layer in (*LINK_SCORES, Layer.perturbation, Layer.crispr) if layer in there]
        chosen = chosen[:1] if one else chosen
    if not chosen:
        raise ValueError("links have no score to draw; run er.pp.add_contacts or er.tl.abc first, or name layers=")
    return chosen


def _links(
    mdata: MuData, ids: Sequence[str], layers: Sequence[str], samples: Sequence[str], bounds: tuple[float, float]
) -> pd.DataFrame:
    there = require_modality(mdata, Modality.links).layers
    marks = [name for name in map(Layer.significant, layers) if name in there]
    links = get.links(mdata, gene=ids, sample=samples, layers=list(dict.fromkeys([*layers, *marks])))
    near = links[links[Var.distance].abs().between(*bounds)]
    if near.empty:
        raise ValueError(
            f"{len(links):,} links of {listed(ids, 3)} in {listed(samples, 3)}, and none between {bounds[0]:,g} and "
            f"{bounds[1]:,g} bp; run er.pp.link with a greater max_distance, or choose other genes"
        )
    return near


def _rows(
    mdata: MuData,
    links: pd.DataFrame,
    columns: pd.Index,
    ids: Sequence[str],
    layers: Sequence[str],
    samples: Sequence[str],
    *,
    many: bool,
) -> list[HeatRow]:
    """Rows of the heat map: genes, or layers and biosamples."""
    from eregtools.pl._heatmap import HeatRow

    genes = require_modality(mdata, Modality.genes)
    names = dict(zip(genes.var_names, gene_labels(genes), strict=True))
    rows = []
    for gene in ids:
        tss = float(genes.var[Var.tss].loc[gene])
        for layer in layers:
            for sample in samples:
                own = links[(links[Var.gene] == gene) & (links["sample"] == sample)].set_index(Var.enhancer)
                own = own.reindex(columns)
                mark = Layer.significant(layer)
                rows.append(
                    HeatRow(
                        label=names[gene] if many else layer if len(samples) == 1 else f"{layer}, {sample}",
                        layer=layer,
                        values=own[layer].to_numpy(float),
                        linked=own[Var.start].notna().to_numpy() if many else np.ones(len(columns), dtype=bool),
                        marked=(own[mark] == 1).to_numpy() if mark in own else np.zeros(len(columns), dtype=bool),
                        tss=tss,
                    )
                )
    return rows


def _title(mdata: MuData, ids: Sequence[str], layers: Sequence[str], samples: Sequence[str], *, many: bool) -> str:
    if many:
        return f"{layers[0]}, {samples[0]}"
    genes = require_modality(mdata, Modality.genes)
    name = str(gene_labels(genes)[genes.var_names.get_loc(ids[0])])
    return name if len(samples) > 1 else f"{name}, {samples[0]}"


def _limits(enhancers: pd.DataFrame, genes: pd.DataFrame) -> tuple[float, float]:
    ends = [*enhancers[list(INTERVAL[1:])].to_numpy(float).ravel(), *genes[Var.tss].to_numpy(float)]
    margin = max(0.02 * (max(ends) - min(ends)), 500)
    return min(ends) - margin, max(ends) + margin
