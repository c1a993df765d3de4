"""A gene's enhancers as the model sees them: what happens without each, and how much attention each gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from eregtools import get
from eregtools._keys import LINK_SCORES, Layer, Modality, Var
from eregtools._schema import listed
from eregtools.get._select import check_layer, find_gene, gene_labels, sample_names
from eregtools.pl._region import elements_in, find_region

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

_MOST_SAMPLES: Final = 4


def perturbation(
    mdata: MuData,
    gene: str,
    *,
    sample: str | Sequence[str] | None = None,
    layer: str = Layer.perturbation,
    compare: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float | None] | None = None,
) -> list[Axes] | None:
    """Draw how a gene's expression changes without each of its enhancers, where these lie.

    From the top: the predicted change as a lollipop at each enhancer; the measured one, if asked for, on its
    own scale; enhancers, filled where they are candidates of the sample; genes. The dashed line is the TSS.

    Parameters
    ----------
    mdata
        Object with genes, enhancers and links.
    gene
        Gene by id or name.
    sample
        Biosamples, at most 4; default all, if they are that few.
    layer
        Layer of ``links`` that :func:`eregtools.tl.perturb` made, in per cent unless it was made with
        ``scale="model"``.
    compare
        Layer of ``links`` with measured effects (fraction by which expression changes), such as ``"crispr"``.
        Where the layer ``<compare>_significant`` exists, the heads of significant effects are filled and the others
        open. Pearson's r is that of links with both values, from three on.
    ax
        Axes whose place the panels take; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.
    figsize
        Inches; default one journal column (89 mm) wide, and as high as the panels need.

    Returns
    -------
    None where the figure is shown, else the list of Axes from top to bottom: ``<layer>:<sample>`` for each sample,
    ``<compare>:<sample>``, ``enhancers``, ``genes``. These names are the labels of the Axes.

    Raises
    ------
    KeyError
        The gene, a sample or a layer is not in the object.
    ValueError
        The gene name belongs to several ids, the gene has no value in the layer, or there are too many samples.

    Examples
    --------
    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> er.tl.perturb(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> axes = er.pl.perturbation(mdata, "sim12")

    >>> [ax.get_label() for ax in axes]
    ['perturbation:sim', 'enhancers', 'genes']
    """
    from eregtools.pl._link_tracks import SIGNIFICANCE, effect_track, with_significance
    from eregtools.pl._locus_figure import draw_locus

    name, samples = find_gene(mdata, gene), _samples(mdata, sample)
    layers = [layer] if compare is None else [layer, compare]
    links = _links(mdata, name, samples, [layer] if compare is None else [layer, *with_significance(mdata, [compare])])
    region = find_region(mdata, name, samples, None)
    _, enhancers = elements_in(mdata, region)
    tracks = [effect_track(mdata, links, layer, samples, enhancers)]
    note = f"{gene_labels(mdata[Modality.genes])[mdata[Modality.genes].var_names.get_loc(name)]} without each enhancer"
    if compare is not None:
        tracks.append(effect_track(mdata, links, compare, samples, enhancers, black=len(samples) == 1))
        heads = SIGNIFICANCE if tracks[-1].filled is not None else ""
        note = "    ".join(filter(None, (_correlation(links, layers), heads)))
    return draw_locus(mdata, region, samples, tracks, title=gene, note=note, ax=ax, show=show, figsize=figsize)


def attention(
    mdata: MuData,
    gene: str,
    *,
    layers: str | Sequence[str] | None = None,
    sample: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float | None] | None = None,
) -> list[Axes] | None:
    """Draw how much of a gene's attention each of its enhancers gets, beside other scores of the links.

    From the top: arcs from the enhancers to the TSS, wider and more opaque with the first layer's score; a bar at
    each enhancer for every layer; enhancers, filled where they are candidates of the sample; genes.

    Parameters
    ----------
    mdata
        Object with genes, enhancers and links.
    gene
        Gene by id or name.
    layers
        Layers of ``links``, the first one weighs the arcs; default those of `attention`, `attention_abc`, `abc` and
        `contact` that exist.
    sample
        Biosamples, at most 4; default all, if they are that few.
    ax
        Axes whose place the panels take; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.
    figsize
        Inches; default one journal column (89 mm) wide, and as high as the panels need.

    Returns
    -------
    None where the figure is shown, else the list of Axes from top to bottom: ``arcs:<sample>``, ``<layer>:<sample>``
    for each layer and sample, ``enhancers``, ``genes``. These names are the labels of the Axes.

    Raises
    ------
    KeyError
        The gene, a sample or a layer is not in the object; there is no attention and no other layer is named.
    ValueError
        The gene name belongs to several ids, the gene has no value in the first layer, or there are too many samples.

    Examples
    --------
    What the model attends to, beside the share that activity and contact give to each enhancer. Attention is no
    evidence of regulation.

    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> er.tl.abc(mdata)
        >>> er.tl.attention(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> axes = er.pl.attention(mdata, "sim12", layers=["attention", "abc"])

    >>> [ax.get_label() for ax in axes]
    ['arcs:sim', 'attention:sim', 'abc:sim', 'enhancers', 'genes']
    """
    from eregtools.pl._link_tracks import score_track, weighted
    from eregtools.pl._locus_figure import draw_locus

    name, samples = find_gene(mdata, gene), _samples(mdata, sample)
    chosen = _score_layers(mdata, layers)
    links = _links(mdata, name, samples, chosen)
    region = find_region(mdata, name, samples, None)
    _, enhancers = elements_in(mdata, region)
    tracks = [score_track(mdata, links, key, samples, enhancers) for key in chosen]
    tss = mdata[Modality.genes].var[Var.tss]
    return draw_locus(
        mdata, region, samples, tracks, title=gene, arcs=chosen[0], curves=weighted(links, chosen[0], tss),
        ax=ax, show=show, figsize=figsize,
    )  # fmt: skip


def _samples(mdata: MuData, sample: str | Sequence[str] | None) -> list[str]:
    samples = sample_names(mdata, sample)
    if len(samples) > _MOST_SAMPLES:
        raise ValueError(
            f"a gene is drawn for up to {_MOST_SAMPLES} samples and there are {len(samples)} ({listed(samples)}); "
            "choose them with sample="
        )
    return samples


def _score_layers(mdata: MuData, layers: str | Sequence[str] | None) -> list[str]:
    if layers is None:
        check_layer(mdata, Modality.links, Layer.attention)
        there = mdata[Modality.links].layers
        return [Layer.attention, *(name for name in LINK_SCORES if name in there and name != Layer.attention)]
    chosen = [layers] if isinstance(layers, str) else list(dict.fromkeys(layers))
    if not chosen:
        raise ValueError("layers= is empty; name at least one layer of links, or leave it out")
    return chosen


def _links(mdata: MuData, gene: str, samples: list[str], layers: Sequence[str]) -> pd.DataFrame:
    """Links of a gene, which must have a value in the first layer."""
    links = get.links(mdata, gene=gene, sample=samples, layers=layers)
    if not links[layers[0]].notna().any():
        raise ValueError(
            f"no link of {gene} in {listed(samples)} has a value in layer {layers[0]!r}, so there is nothing to draw"
        )
    return links


def _correlation(links: pd.DataFrame, layers: Sequence[str]) -> str:
    """Pearson's r of two layers over the links that have both; nothing below three or where one does not vary."""
    both = links[list(layers)].dropna().to_numpy(float)
    if len(both) < 3 or (np.ptp(both, axis=0) == 0).any():
        return ""
    return f"r = {np.corrcoef(both.T)[0, 1]:.2f} (n = {len(both)})".replace("-", "\N{MINUS SIGN}")
