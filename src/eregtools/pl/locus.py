"""One locus: links, signal, enhancers and genes over a genomic axis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import pandas as pd

from eregtools import get
from eregtools._keys import Layer, Modality, Var
from eregtools._schema import listed, require_modality
from eregtools.get._select import check_layer, sample_names
from eregtools.pl._region import Region, elements_in, find_region

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from mudata import MuData

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.pl._layout import Track

_LINK_LAYERS: Final = (Layer.attention, "attention_abc", Layer.abc, Layer.contact)
"""Layers that weigh the arcs, the preferred one first."""

UNITS: Final = {Layer.activity: "a.u.", Layer.activity_pred: "log2"}
"""Units of layers of enhancers; of others it is signal."""

_MOST_UNNAMED, _MOST_SAMPLES = 4, 7
_DERIVED: Final = re.compile(r".*(_pred|_rep\d+)$")
"""Layers of enhancers that are no assay: predictions and replicates."""


def locus(
    mdata: MuData,
    gene_or_region: str,
    *,
    tracks: str | Sequence[str] | None = None,
    links: str | Literal[False] | None = None,
    sample: str | Sequence[str] | None = None,
    highlight: str | Sequence[str] | Mapping[str, str] | None = None,
    flank: int | None = None,
    threshold: float | None = None,
    max_arcs: int | None = None,
    scores: str | Sequence[str] = (),
    measured: str | None = None,
    coverage: bool | Coverage | str | Path = False,
    probability: bool | str | Path | Mapping[str, str | Path] = False,
    calls: bool = False,
    fdr: float = 0.1,
    logo: str | None = None,
    logo_key: str | None = None,
    genome: Genome | str | Path | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float | None] | None = None,
) -> list[Axes] | None:
    """Draw a locus: weighted links, signal and scores of the elements, enhancers, genes, and bases of one element.

    From the top: arcs from enhancers to the TSS of the gene (of every gene, for a region), wider and more
    opaque with the weight; signal per element, on one scale for all samples of a track; scores of the links, at
    their enhancers; measured effects, where enhancers were tested; RNA of both strands; probabilities of a scan for
    enhancer RNAs, and the loci that were called; enhancers, filled where they are candidates of the sample; genes with
    strand, TSS and name; below the axis, attributions of one element. Elements are at least 1.5 points wide.

    Parameters
    ----------
    mdata
        Object with genes and enhancers, and links if they are to be drawn.
    gene_or_region
        Gene by id or name, or a region such as ``"chr1:1,000-2,000"`` (0-based half-open, as in names).
    tracks
        Layers of ``enhancers``; default `activity` if it exists, else the assays. ``()`` draws none.
    links
        Layer of ``links`` that weighs the arcs; default the first of `attention`, `attention_abc`, `abc` and
        `contact` that exists; False draws no arcs. Only a sample's own links are drawn, and only those with
        both ends in view. Negative weights are drawn dashed.
    sample
        Biosamples, at most 7; default all, if they are at most 4.
    highlight
        Enhancers to outline and label, by name; a mapping gives the text of each label.
    flank
        Bases to show on either side of the gene body or region. Default for a gene: as far as its links
        reach and 5 %; for a region: none.
    threshold
        Least absolute weight of a link that is drawn.
    max_arcs
        Most links drawn per sample, the strongest first.
    scores
        Layers of ``links`` to draw as bars at the enhancers, such as ``("abc", "attention", "perturbation")``; a
        panel each. Knock-outs are in per cent, unless they were made with ``scale="model"``. Where a region has
        several links of one enhancer, the strongest is shown.
    measured
        Layer of ``links`` with measured effects (fraction by which expression changes), such as ``"crispr"``, drawn
        as lollipops in per cent at the enhancers that were tested. Where the layer ``<measured>_significant``
        exists, the heads of significant effects are filled and the others open.
    coverage
        Draw coverage per million reads (:func:`eregtools.pp.add_coverage`), plus above and minus below the line; the
        store, or its folder, where it was moved. In wide views each step is the highest of its bins.
    probability
        Draw the probabilities of a scan: True for those of the object (:func:`eregtools.tl.scan_ernas`), or a
        bigWig file, ``{sample: file}`` for several samples.
    calls
        Draw the loci of ``ernas``, filled where they are called, with their q-values where there is room.
    fdr
        Largest q-value of a call.
    logo
        Element whose attributions (:func:`eregtools.tl.attribute`) are drawn below the axis: an enhancer, a gene (its
        promoter) or a link by name, or a region for the mean over all windows. For an enhancer of which only
        the link to the drawn gene was attributed, it is the link. A window that is too wide for letters is drawn
        as bars, and its stretch with the largest attributions as letters.
    logo_key
        Which attributions; default the only ones of the element.
    genome
        Genome, path or registered name, for the letters of the logo; default the genome named in the object.
    ax
        Axes whose place the panels take; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.
    figsize
        Inches. Default one journal column (89 mm) wide, and as high as the panels need; so is a height of
        None, as in ``(180 / 25.4, None)``.

    Returns
    -------
    None where the figure is shown, else the list of Axes from top to bottom: ``arcs:<sample>`` for each
    sample, ``<track>:<sample>`` for each track and sample, the same for scores, measured effects, ``coverage`` and
    ``probability``, ``ernas``, ``enhancers``, ``genes``, ``window`` (bars of attributions, if need be) and ``logo``.
    These names are the labels of the Axes (``ax.get_label()``).

    Raises
    ------
    KeyError
        A gene, sample, layer or highlighted enhancer is not in the object, or the element of the logo has no
        attributions.
    ValueError
        A gene name belongs to several ids, a region holds nothing, or there are too many samples; a
        layer is asked for twice, several attributions go with the logo, or it is outside of the view.

    Examples
    --------
    Links by attention, the predicted change without each enhancer, and the bases of the one that matters most:

    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> er.tl.attention(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> er.tl.perturb(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> strongest = er.get.links(mdata, gene="sim12").nsmallest(1, "perturbation")["enhancer"].item()
        >>> er.tl.attribute(mdata, "EPInformer-seq-small-simulated", names=strongest, method="ism")
        >>> axes = er.pl.locus(
        ...     mdata, "sim12", scores="perturbation", highlight={strongest: "strongest"}, logo=strongest
        ... )

    >>> [ax.get_label() for ax in axes]
    ['arcs:sim', 'activity:sim', 'perturbation:sim', 'enhancers', 'genes', 'window', 'logo']

    RNA of both strands, and loci that transcribe it:

    .. plot::
        :include-source:

        >>> import tempfile
        >>> import eregtools as er
        >>> small = er.datasets.ErnaGenomeConfig(
        ...     n_chromosomes=1, chromosome_length=200_000, genes=3, libraries=["stranded"], negative=()
        ... )
        >>> world = er.datasets.simulate_erna_genome(tempfile.mkdtemp(), config=small)
        >>> rna = er.pp.assemble(
        ...     genes=world.paths["genes"], enhancers=world.paths["open"], samples=["s1"], genome=world.paths["genome"]
        ... )
        >>> er.pp.add_coverage(rna, world.tracks, folder=world.folder / "coverage.zarr", read_length=75)
        >>> er.pp.candidate_ernas(rna, "bed", source=world.paths["ernas"])
        >>> axes = er.pl.locus(rna, "chr1:36,000-55,000", coverage=True, calls=True)
    """
    from eregtools.pl._erna_tracks import calls_in, coverage_track, probability_track
    from eregtools.pl._link_tracks import weighted
    from eregtools.pl._locus_figure import draw_locus
    from eregtools.pl._zoom import find_zoom

    samples = _samples(mdata, sample)
    layer = _link_layer(mdata, links)
    track_layers, score_layers = _track_layers(mdata, tracks), _score_layers(mdata, scores)
    _check_names([*track_layers, *_along_genome(coverage, probability)], score_layers, measured)
    labels = _highlighted(mdata, highlight)
    region = find_region(mdata, gene_or_region, samples, flank)
    _, enhancers = elements_in(mdata, region)
    for name in labels:
        if name not in enhancers.index:
            raise ValueError(f"highlighted {name!r} is outside of {region}; widen the view with flank=")
    if logo is None and (logo_key is not None or genome is not None):
        raise ValueError("logo_key= and genome= go with logo=, the element whose attributions are to be drawn")
    zoom = None if logo is None else find_zoom(mdata, logo, logo_key, region, genome)
    drawn = [name for name in (layer, *score_layers, measured) if name is not None]
    table = _links(mdata, region, drawn, samples) if drawn else pd.DataFrame()
    curves = None
    if layer is not None:
        curves = _strongest(weighted(table, layer, mdata[Modality.genes].var[Var.tss]), threshold, max_arcs)
    return draw_locus(
        mdata, region, samples,
        [
            *_signal_tracks(mdata, track_layers, samples, enhancers),
            *_link_tracks(mdata, table, score_layers, measured, samples, enhancers),
            *([] if coverage is False else [coverage_track(mdata, coverage, samples, region)]),
            *([] if probability is False else [probability_track(mdata, probability, samples, region)]),
        ],
        calls=calls_in(mdata, samples, region, fdr) if calls else None,
        title=gene_or_region, arcs=layer, curves=curves, labels=labels, zoom=zoom, ax=ax, show=show, figsize=figsize,
    )  # fmt: skip


def _samples(mdata: MuData, sample: str | Sequence[str] | None) -> list[str]:
    samples = sample_names(mdata, sample)
    most = _MOST_UNNAMED if sample is None else _MOST_SAMPLES
    if len(samples) > most:
        raise ValueError(
            f"a locus is drawn for up to {most} samples and there are {len(samples)} ({listed(samples)}); "
            "choose them with sample="
        )
    return samples


def _link_layer(mdata: MuData, links: str | Literal[False] | None) -> str | None:
    if links is False or (links is None and Modality.links not in mdata.mod):
        return None
    if links is None:
        return next((name for name in _LINK_LAYERS if name in mdata[Modality.links].layers), None)
    check_layer(mdata, Modality.links, links)
    return links


def signal_layers(mdata: MuData) -> list[str]:
    """Layers of enhancers that hold signal: activity first, then the assays."""
    if Modality.enhancers not in mdata.mod and Modality.ernas in mdata.mod:
        return []
    layers = require_modality(mdata, Modality.enhancers).layers
    found = [name for name in layers if name and name != Layer.candidate and not _DERIVED.match(name)]
    return sorted(found, key=lambda name: name != Layer.activity)


def _track_layers(mdata: MuData, tracks: str | Sequence[str] | None) -> list[str]:
    if tracks is None:
        layers = signal_layers(mdata)
        return layers[:1] if Layer.activity in layers else layers
    chosen = [tracks] if isinstance(tracks, str) else list(dict.fromkeys(tracks))
    for track in chosen:
        check_layer(mdata, Modality.enhancers, track)
    return chosen


def _score_layers(mdata: MuData, scores: str | Sequence[str]) -> list[str]:
    chosen = [scores] if isinstance(scores, str) else list(dict.fromkeys(scores))
    for layer in chosen:
        check_layer(mdata, Modality.links, layer)
    return chosen


def _check_names(tracks: Sequence[str], scores: Sequence[str], measured: str | None) -> None:
    names = [*tracks, *scores, *([] if measured is None else [measured])]
    if repeated := [name for number, name in enumerate(names) if name in names[:number]]:
        raise ValueError(f"{listed(repeated)} would be drawn twice; name it in one of tracks=, scores= and measured=")


def _along_genome(coverage: object, probability: object) -> list[str]:
    """Names of the panels that are no layers."""
    asked = {"coverage": coverage, "probability": probability}
    return [name for name, value in asked.items() if value is not False]


def _highlighted(mdata: MuData, highlight: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if highlight is None:
        return {}
    if isinstance(highlight, str):
        highlight = [highlight]
    labels = dict(highlight) if isinstance(highlight, Mapping) else {name: name for name in highlight}
    names = require_modality(mdata, Modality.enhancers).var_names
    for name in labels:
        if name not in names:
            raise KeyError(f"no enhancer {name!r} to highlight among {len(names):,}; names look like {names[0]!r}")
    return labels


def _links(mdata: MuData, region: Region, layers: Sequence[str], samples: list[str]) -> pd.DataFrame:
    """Links of the region's gene, or of every gene, with both ends in the region."""
    from eregtools.pl._link_tracks import with_significance

    genes = require_modality(mdata, Modality.genes).var
    shown = region.overlapping(genes)
    shown = shown[(shown[Var.tss] >= region.start) & (shown[Var.tss] < region.end)]
    names = list(shown.index) if region.gene is None else [region.gene]
    links = get.links(mdata, gene=names, sample=samples, layers=with_significance(mdata, layers))
    return links[(links[Var.start] >= region.start) & (links[Var.end] <= region.end)]


def _strongest(curves: pd.DataFrame, threshold: float | None, max_arcs: int | None) -> pd.DataFrame:
    """Links over the threshold, and of these the strongest of each sample, which come last."""
    if threshold is not None:
        curves = curves[curves["weight"].abs() >= threshold]
    if max_arcs is not None:
        curves = curves.groupby("sample", observed=True).tail(max_arcs)
    return curves


def _signal_tracks(mdata: MuData, layers: Sequence[str], samples: list[str], enhancers: pd.DataFrame) -> list[Track]:
    from eregtools.pl._layout import Track
    from eregtools.pl._locus_figure import signal_at

    return [Track(layer, UNITS.get(layer, "signal"), signal_at(mdata, layer, samples, enhancers)) for layer in layers]


def _link_tracks(
    mdata: MuData,
    links: pd.DataFrame,
    scores: Sequence[str],
    measured: str | None,
    samples: list[str],
    enhancers: pd.DataFrame,
) -> list[Track]:
    from eregtools.pl._link_tracks import effect_track, score_track

    tracks = [score_track(mdata, links, layer, samples, enhancers, look="thin") for layer in scores]
    if measured is not None:
        one = len(samples) == 1
        tracks.append(effect_track(mdata, links, measured, samples, enhancers, black=one, note=True))
    return tracks
