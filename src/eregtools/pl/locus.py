"""One locus: links, signal, enhancers and genes over a genomic axis."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from eregtools import get
from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools.get.links import check_layer, find_gene, gene_labels, layer_row, sample_names
from eregtools.get.ranges import modality_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

_REGION = re.compile(r"(?P<chromosome>.+):(?P<start>[\d,_]+)-(?P<end>[\d,_]+)")
_LINK_LAYERS: Final = (Layer.attention, "attention_abc", "abc", Layer.contact)
_UNITS: Final = {Layer.activity: "a.u.", Layer.activity_pred: "log2"}
_MOST_UNNAMED, _MOST_SAMPLES = 4, 7

# Geometry in inches.
_HEADER, _GAP, _TRACK_GAP, _AXIS, _RIGHT = 0.17, 0.07, 0.04, 0.31, 0.19
_ARCS, _ARCS_OF_MANY, _TRACK, _TRACK_OF_MANY = 0.62, 0.46, 0.42, 0.27
_BOX, _BOX_PITCH, _LABEL_PITCH, _GENE_PITCH = 0.08, 0.125, 0.115, 0.2
_BODY, _RISE, _TIP = 0.06, 0.07, 0.075
_THINNEST = 1.5 / 72
_BLANK: Final = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}


@dataclass(frozen=True)
class _View:
    """Part of a chromosome, and how wide it is drawn."""

    chromosome: str
    start: int
    end: int
    gene: str | None
    width: float

    @property
    def inch(self) -> float:
        """Base pairs in an inch."""
        return (self.end - self.start) / self.width

    def x(self, position: Any) -> Any:
        """Inches from the left edge."""
        return (np.asarray(position, dtype=float) - self.start) / self.inch

    def visible(self, table: pd.DataFrame, least: float = _THINNEST) -> tuple[np.ndarray, np.ndarray]:
        """Left edges and widths in bp, none thinner than `least` inches."""
        start, end = table[Var.start].to_numpy(float), table[Var.end].to_numpy(float)
        width = np.maximum(end - start, least * self.inch)
        return (start + end - width) / 2, width


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
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float | None] | None = None,
) -> list[Axes] | None:
    """Draw a locus: weighted links, signal of the elements, enhancers, genes.

    From the top: arcs from enhancers to the TSS of the gene (of every gene, for a region), wider and more
    opaque with the weight; signal per element, on one scale for all samples of a track; enhancers, filled
    where they are candidates of the sample; genes with strand, TSS and name. Elements are at least 1.5 points
    wide.

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
    sample, ``<track>:<sample>`` for each track and sample, ``enhancers``, ``genes``. These names are the
    labels of the Axes (``ax.get_label()``).

    Raises
    ------
    KeyError
        A gene, sample, layer or highlighted enhancer is not in the object.
    ValueError
        A gene name belongs to several ids, a region holds nothing, or there are too many samples.

    Examples
    --------
    >>> import anndata as ad, mudata as md, numpy as np, pandas as pd
    >>> import eregtools as er
    >>> obs = pd.DataFrame(index=["K562"])
    >>> def modality(names, starts, ends, **columns):
    ...     var = pd.DataFrame({"Chromosome": "chr1", "Start": starts, "End": ends, **columns}, index=names)
    ...     return ad.AnnData(np.ones((1, len(var)), dtype=np.float32), obs=obs, var=var)
    >>> genes = modality(["G1"], [9_000], [20_000], Strand="+", tss=9_000, gene_name="MYC")
    >>> enhancers = modality(["chr1:2000-2500"], [2_000], [2_500])
    >>> enhancers.layers["activity"] = enhancers.X
    >>> mdata = md.MuData({"genes": genes, "enhancers": enhancers})
    >>> axes = er.pl.locus(mdata, "MYC", flank=10_000, show=False)
    >>> [ax.get_label() for ax in axes]
    ['activity:K562', 'enhancers', 'genes']
    """
    from eregtools.pl import _style

    samples = _few(sample_names(mdata, sample), named=sample is not None)
    layer = _link_layer(mdata, links)
    tracks = _tracks(mdata, tracks)
    labels = _highlighted(mdata, highlight)

    left = _left_margin(mdata, tracks, samples)
    size = figsize or (_style.ONE_COLUMN, None)
    width = size[0] - left - _RIGHT if ax is None else ax.get_window_extent().width / ax.figure.dpi
    if width < 0.5:
        raise ValueError(
            f"{max(width, 0):.1f} in are left for the panels of {gene_or_region!r} beside their labels; "
            "give more width by figsize= or ax="
        )
    view, arcs = _view(mdata, gene_or_region, layer, samples, flank, width)
    arcs = _strongest(arcs, threshold, max_arcs)
    enhancers = _inside(modality_of(mdata, Modality.enhancers).var, view)
    genes = _inside(modality_of(mdata, Modality.genes).var, view)
    if enhancers.empty and genes.empty:
        raise ValueError(_nothing_in(mdata, view))
    for name in labels:
        if name not in enhancers.index:
            raise ValueError(f"highlighted {name!r} is outside of {_place(view)}; widen the view with flank=")
    tss = None if view.gene is None else float(genes[Var.tss].loc[view.gene])
    drawn_genes = _arrange_genes(mdata, genes, view)
    label_rows = _arrange_labels(labels, enhancers, view)

    heights: list[tuple[str, float, float]] = []  # label, height, gap below
    many = len(samples) > 1
    if layer is not None:
        heights += [(f"arcs:{name}", _ARCS_OF_MANY if many else _ARCS, _TRACK_GAP) for name in samples]
    for track in tracks:
        # As high as the name of the track is long, which is written upright.
        least = (_style.text_width(track) + 0.06) / len(samples) - _TRACK_GAP * many
        height = max(_TRACK_OF_MANY if many else _TRACK, least)
        heights += [(f"{track}:{name}", height, _TRACK_GAP) for name in samples]
        heights[-1] = (*heights[-1][:2], _GAP)
    n_label_rows = max(label_rows.values(), default=-1) + 1
    heights.append(("enhancers", _BOX_PITCH * len(samples) + _LABEL_PITCH * n_label_rows, _GAP))
    heights.append(("genes", _GENE_PITCH * max(1, 1 + max((g.row for g in drawn_genes), default=0)) + 0.04, 0))
    header = _HEADER if layer is not None or not many else 0.05

    with _style.mpl.rc_context(_style.RC):
        needed = header + sum(height + gap for _, height, gap in heights)
        bottom = _AXIS if ax is None else 0.0
        if ax is None:
            total = size[1] or needed + bottom
            host: Any = _style.new_figure(size[0], total)
            scale = (total - bottom) / needed
            x0, x_width = left / size[0], width / size[0]
        else:
            host, x0, x_width = ax, 0.0, 1.0
            total = ax.get_window_extent().height / ax.figure.dpi
            scale = total / needed
        if scale < 0.8:
            warnings.warn(
                f"the panels of {gene_or_region!r} need {needed + bottom:.1f} in of height and have "
                f"{total:.1f} in, so labels may overlap; leave the height to the figure",
                stacklevel=2,
            )
        y = total - header * scale
        boxes = [(x0, bottom / total, x_width, 1 - bottom / total)]
        for _, height, gap in heights:
            y -= height * scale
            boxes.append((x0, y / total, x_width, height * scale / total))
            y -= gap * scale
        frame, *axes = _style.panels(host, boxes)
        named = {}
        for axis, (label, height, _) in zip(axes, heights, strict=True):
            axis.set(label=label, xlim=(view.start, view.end))
            axis.set_ylim(0, height)
            axis.tick_params(bottom=False, labelbottom=False)
            axis.patch.set_visible(False)
            named[label] = axis
        _draw_frame(frame, view, needed, heights[-1][1] + _GAP / 2, header, tss, enhancers.loc[list(labels)])
        _draw_header(frame, layer, arcs, samples, width)
        if layer is not None:
            _draw_arcs(named, arcs, samples, view)
        for track in tracks:
            _draw_track(mdata, named, track, samples, enhancers, view, _ticks_width(mdata, tracks, samples))
        _draw_enhancers(mdata, named["enhancers"], samples, enhancers, view, labels, label_rows)
        _draw_genes(named["genes"], drawn_genes, view)
        _draw_axis(mdata, named["genes"], view)
    return _style.finish(axes, show=show, own_figure=ax is None)


# What is drawn.


def _few(samples: list[str], *, named: bool) -> list[str]:
    most = _MOST_SAMPLES if named else _MOST_UNNAMED
    if len(samples) > most:
        raise ValueError(
            f"a locus is drawn for up to {most} samples and there are {len(samples)} "
            f"({', '.join(samples[:8])}{' …' if len(samples) > 8 else ''}); choose them with sample="
        )
    return samples


def _link_layer(mdata: MuData, links: str | Literal[False] | None) -> str | None:
    if links is False or (links is None and Modality.links not in mdata.mod):
        return None
    if links is None:
        return next((name for name in _LINK_LAYERS if name in mdata[Modality.links].layers), None)
    check_layer(mdata, Modality.links, links)
    return links


def _tracks(mdata: MuData, tracks: str | Sequence[str] | None) -> list[str]:
    layers = modality_of(mdata, Modality.enhancers).layers
    if tracks is None:
        if Layer.activity in layers:
            return [Layer.activity]
        made = re.compile(r".*(_pred|_rep\d+)$")
        return [name for name in layers if name and name != Layer.candidate and not made.match(name)]
    chosen = [tracks] if isinstance(tracks, str) else list(tracks)
    for track in chosen:
        check_layer(mdata, Modality.enhancers, track)
    return chosen


def _highlighted(mdata: MuData, highlight: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    if highlight is None:
        return {}
    if isinstance(highlight, str):
        highlight = [highlight]
    labels = dict(highlight) if isinstance(highlight, Mapping) else {name: name for name in highlight}
    names = modality_of(mdata, Modality.enhancers).var_names
    for name in labels:
        if name not in names:
            raise KeyError(f"no enhancer {name!r} to highlight among {len(names):,}; names look like {names[0]!r}")
    return labels


def _view(
    mdata: MuData,
    gene_or_region: str,
    layer: str | None,
    samples: list[str],
    flank: int | None,
    width: float,
) -> tuple[_View, pd.DataFrame]:
    """Region in view, and the links with both ends in it."""
    genes = modality_of(mdata, Modality.genes)
    region = _REGION.fullmatch(gene_or_region)
    if region and gene_or_region not in genes.var_names:
        chromosome = region["chromosome"]
        start, end = (int(re.sub("[,_]", "", region[side])) for side in ("start", "end"))
        gene = None
        if end <= start:
            raise ValueError(f"region {gene_or_region!r} ends before it starts; expected chromosome:start-end")
        start, end = start - (flank or 0), end + (flank or 0)
    else:
        gene = find_gene(mdata, gene_or_region)
        row = genes.var.loc[gene]
        chromosome, start, end = str(row[Var.chromosome]), int(row[Var.start]), int(row[Var.end])
        start, end = min(start, int(row[Var.tss])), max(end, int(row[Var.tss]) + 1)
        if flank is None:
            if Modality.links in mdata.mod:
                reached = get.links(mdata, gene=gene, sample=samples, layers=())
                start, end = min([start, *reached[Var.start]]), max([end, *reached[Var.end]])
            flank = max(round(0.05 * (end - start)), 2_000)
        start, end = start - flank, end + flank
    view = _View(chromosome, max(start, 0), end, gene, width)
    if layer is None:
        return view, pd.DataFrame()

    shown = _inside(genes.var, view)
    shown = shown[(shown[Var.tss] >= view.start) & (shown[Var.tss] < view.end)]
    names = [gene] if gene is not None else list(shown.index)
    arcs = get.links(mdata, gene=names, sample=samples, layers=layer).rename(columns={layer: "weight"})
    arcs = arcs[(arcs[Var.start] >= view.start) & (arcs[Var.end] <= view.end) & arcs["weight"].notna()]
    return view, arcs.assign(
        center=(arcs[Var.start] + arcs[Var.end]) / 2, tss=genes.var[Var.tss].loc[arcs[Var.gene]].to_numpy()
    )


def _strongest(arcs: pd.DataFrame, threshold: float | None, max_arcs: int | None) -> pd.DataFrame:
    """Links over the threshold, the weakest first so that strong ones lie on top."""
    if arcs.empty:
        return arcs
    arcs = arcs.iloc[np.argsort(arcs["weight"].abs().to_numpy(), kind="stable")]
    if threshold is not None:
        arcs = arcs[arcs["weight"].abs() >= threshold]
    if max_arcs is not None:
        arcs = arcs.groupby("sample", observed=True).tail(max_arcs)
    return arcs


def _inside(var: pd.DataFrame, view: _View) -> pd.DataFrame:
    """Elements that overlap the view."""
    on = (var[Var.chromosome] == view.chromosome).to_numpy()
    return var[on & (var[Var.start] < view.end).to_numpy() & (var[Var.end] > view.start).to_numpy()]


def _place(view: _View) -> str:
    return f"{view.chromosome}:{view.start:,}-{view.end:,}"


def _nothing_in(mdata: MuData, view: _View) -> str:
    var = pd.concat([mdata[name].var[[Var.chromosome, Var.start, Var.end]] for name in ("genes", "enhancers")])
    on = var[var[Var.chromosome] == view.chromosome]
    if on.empty:
        known = ", ".join(map(str, var[Var.chromosome].unique()[:8]))
        return (
            f"{_place(view)} holds no gene and no enhancer; the object has none on {view.chromosome!r}, but on {known}"
        )
    return (
        f"{_place(view)} holds no gene and no enhancer; those of {view.chromosome} lie within "
        f"{on[Var.start].min():,}-{on[Var.end].max():,}"
    )


# Where it is drawn.


@dataclass(frozen=True)
class _Gene:
    """Gene with its place: inches from the left edge, and a row."""

    id: str
    name: str
    strand: str
    start: float
    end: float
    tss: float | None
    over_body: bool
    label: float
    row: int


def _arrange_genes(mdata: MuData, genes: pd.DataFrame, view: _View) -> list[_Gene]:
    """Give each gene a label beside its body, and a row in which nothing overlaps it."""
    from eregtools.pl._style import stack, text_width

    all_genes = modality_of(mdata, Modality.genes)
    names = dict(zip(all_genes.var_names, gene_labels(all_genes), strict=True))
    order = genes.assign(other=genes.index != view.gene).sort_values(["other", Var.start], kind="stable")
    extents, starts = [], []
    placed: list[dict[str, Any]] = []
    for gene, row in order.iterrows():
        chosen = gene == view.gene
        start, end = np.clip(view.x([row[Var.start], row[Var.end]]), 0, view.width)
        start = min(start, view.width - 2 * _THINNEST)
        end = max(end, start + 2 * _THINNEST)
        tss = float(view.x(row[Var.tss]))
        left, right = start, end
        if 0 <= tss <= view.width:
            tip = tss + {"+": 1, "-": -1}.get(row[Var.strand], 0) * (_TIP + 0.02)
            left, right = min(left, tip), max(right, tip)
        length = text_width(names[gene], weight="bold" if chosen else "normal")
        beside = [right + 0.03] if right + 0.03 + length <= view.width + 0.1 else []
        beside += [left - 0.03 - length] if left - 0.03 - length >= 0 else []
        on_body = view.width * (0.25 if tss > view.width / 2 else 0.75) - length / 2
        starts.append(beside or [float(np.clip(on_body, 0, max(view.width - length, 0)))])
        extents.append([(min(left, label), max(right, label + length)) for label in starts[-1]])
        placed.append(
            {
                "id": gene,
                "name": names[gene],
                "strand": row[Var.strand],
                "start": start,
                "end": end,
                "tss": tss if 0 <= tss <= view.width else None,
                "over_body": not beside,
            }
        )
    rows = stack(extents, gap=0.06)
    return [
        _Gene(**values, label=labels[choice], row=row)
        for values, labels, (row, choice) in zip(placed, starts, rows, strict=True)
    ]


def _arrange_labels(labels: dict[str, str], enhancers: pd.DataFrame, view: _View) -> dict[str, int]:
    """Row of each highlighted enhancer's label, 0 nearest to the boxes."""
    from eregtools.pl._style import stack

    extents = []
    for name, text in labels.items():
        left, length = _label_place(enhancers.loc[name], text, view)
        extents.append([(left, left + length)])
    return dict(zip(labels, (row for row, _ in stack(extents, gap=0.05)), strict=True))


def _label_place(enhancer: Any, text: str, view: _View) -> tuple[float, float]:
    """Left edge and length in inches of a label centred over its enhancer, within the view."""
    from eregtools.pl._style import text_width

    length = text_width(text)
    center = float(view.x((enhancer[Var.start] + enhancer[Var.end]) / 2))
    return float(np.clip(center - length / 2, 0, max(view.width - length, 0))), length


def _left_margin(mdata: MuData, tracks: list[str], samples: list[str]) -> float:
    """Inches for what stands to the left of the panels."""
    from eregtools.pl._style import text_width

    rows = samples if len(samples) > 1 else ["enhancers"]
    margin = max(text_width(name) for name in rows) + 0.06
    if tracks:
        margin = max(margin, _ticks_width(mdata, tracks, samples) + 0.27)
    return margin + 0.03


def _ticks_width(mdata: MuData, tracks: list[str], samples: list[str]) -> float:
    from eregtools.pl._style import number, text_width

    adata = modality_of(mdata, Modality.enhancers)
    widths = [0.0]
    for track in tracks:
        values = np.concatenate([layer_row(adata, track, name) for name in samples])
        widths += [text_width(number(tick)) for tick in _value_ticks(*_value_range(values))]
    return max(widths) + 0.05


def _value_range(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    low, high = min(0.0, values.min(initial=0.0)), max(0.0, values.max(initial=0.0))
    return (low, high) if high > low else (0.0, 1.0)


def _value_ticks(low: float, high: float) -> list[float]:
    """Zero, and a round value near each end that is far enough from zero to carry a label."""
    from eregtools.pl._style import round_down

    ticks = [0.0]
    if high > 0.3 * (high - low):
        ticks.append(round_down(high))
    if -low > 0.3 * (high - low):
        ticks.insert(0, -round_down(-low))
    return ticks


# Drawing.


def _colors(samples: list[str]) -> dict[str, str]:
    from eregtools.pl._style import COLORS

    return dict(zip(samples, COLORS, strict=False))


def _stroke(weight: Any, most: float) -> tuple[Any, Any]:
    """Line width in points and opacity of a link."""
    share = np.abs(weight) / most
    return 0.4 + 1.8 * share, 0.25 + 0.7 * share


def _draw_frame(
    ax: Axes,
    view: _View,
    height: float,
    floor: float,
    header: float,
    tss: float | None,
    highlighted: pd.DataFrame,
) -> None:
    """Draw a line at the gene's TSS and a band at each highlighted enhancer, behind the upper panels."""
    from eregtools.pl._style import YELLOW

    ax.set(label="frame", xlim=(0, view.width), ylim=(0, height))
    ax.axis("off")
    if tss is not None:
        ax.plot([view.x(tss)] * 2, [floor, height - header], color="0.6", lw=0.5, ls=(0, (2, 2)))
    left, width = view.visible(highlighted, least=4 / 72)
    for x, w in zip(view.x(left), width / view.inch, strict=True):
        ax.fill_between([x, x + w], floor, height - header, color=YELLOW, alpha=0.35, lw=0)


def _draw_header(ax: Axes, layer: str | None, arcs: pd.DataFrame, samples: list[str], width: float) -> None:
    """Name of the sample, if there is one, and the scale of the arcs."""
    from eregtools.pl._style import BLACK, GREY, SMALL, number, text_width

    middle = ax.get_ylim()[1] - 0.07
    colors = _colors(samples)
    if len(samples) == 1:
        ax.text(0, middle, samples[0], color=colors[samples[0]], weight="bold", va="center", size=SMALL)
    if layer is None:
        return
    if arcs.empty:
        ax.text(width, middle, f"no {layer} links in view", color=GREY, va="center", ha="right", size=SMALL)
        return
    weights = arcs["weight"].to_numpy(float)
    most = float(np.abs(weights).max()) or 1.0
    ends = sorted({float(weights.min()), float(weights.max())})
    x = width
    color = colors[samples[0]] if len(samples) == 1 else BLACK
    for value in reversed(ends):
        text = number(value)
        ax.text(x, middle, text, va="center", ha="right", size=SMALL)
        x -= text_width(text) + 0.04
        line, alpha = _stroke(value, most)
        style = "--" if value < 0 else "-"
        ax.plot([x - 0.16, x], [middle] * 2, color=color, lw=line, alpha=alpha, ls=style, solid_capstyle="butt")
        x -= 0.16 + 0.08
    ax.text(x, middle, layer, va="center", ha="right", size=SMALL)


def _draw_arcs(named: Mapping[str, Axes], arcs: pd.DataFrame, samples: list[str], view: _View) -> None:
    """Half-ellipses from enhancer to TSS; the height grows with the root of the distance."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    angle = np.linspace(0, np.pi, 41)
    for name, color in _colors(samples).items():
        ax = named[f"arcs:{name}"]
        ax.set_ylim(0, 1.05)
        ax.spines["left"].set_visible(False)
        ax.tick_params(left=False, labelleft=False)
        if len(samples) > 1:
            ax.text(-0.05 / view.width, 0.5, name, color=color, transform=ax.transAxes, ha="right", va="center")
        if arcs.empty:
            continue
        own = arcs[arcs["sample"] == name]
        center, tss = own["center"].to_numpy(), own["tss"].to_numpy(float)
        longest = (arcs["center"] - arcs["tss"]).abs().max()
        height = 0.15 + 0.85 * np.sqrt(np.abs(center - tss) / max(longest, 1.0))
        x = ((center + tss) / 2)[:, None] + (np.abs(center - tss) / 2)[:, None] * np.cos(angle)
        y = height[:, None] * np.sin(angle)
        weight = own["weight"].to_numpy(float)
        line, alpha = _stroke(weight, float(arcs["weight"].abs().max()) or 1.0)
        ax.add_collection(
            LineCollection(
                list(np.stack([x, y], axis=2)),
                colors=[to_rgba(color, a) for a in alpha],
                linewidths=line,
                linestyles=["--" if w < 0 else "-" for w in weight],
            ),
            autolim=False,
        )


def _draw_track(
    mdata: MuData,
    named: Mapping[str, Axes],
    track: str,
    samples: list[str],
    enhancers: pd.DataFrame,
    view: _View,
    ticks_width: float,
) -> None:
    """Bars over the extents of the elements, one scale for all samples."""
    from eregtools.pl._style import number

    adata = modality_of(mdata, Modality.enhancers)
    at = adata.var_names.get_indexer(enhancers.index)
    values = {name: layer_row(adata, track, name)[at].astype(float) for name in samples}
    low, high = _value_range(np.concatenate(list(values.values())))
    ticks = _value_ticks(low, high)
    left, width = view.visible(enhancers)
    colors = _colors(samples)
    for name in samples:
        ax = named[f"{track}:{name}"]
        made = np.isfinite(values[name])
        ax.bar(left[made], values[name][made], width[made], align="edge", color=colors[name], linewidth=0)
        ax.set(xlim=(view.start, view.end), ylim=(low, high + 0.05 * (high - low)))
        ax.set_yticks(ticks, [number(tick) for tick in ticks])
        # The labels of the ends stay within the panel, clear of those of the next one.
        for tick, text in zip(ticks, ax.get_yticklabels(), strict=True):
            share = (tick - low) / (high - low)
            text.set_verticalalignment("bottom" if share < 0.15 else "top" if share > 0.85 else "center")
        if low < 0:
            ax.axhline(0, color="black", lw=0.4)
    first, last = named[f"{track}:{samples[0]}"], named[f"{track}:{samples[-1]}"]
    top, bottom = first.get_position().y1, last.get_position().y0
    middle = 1 - (top - bottom) / 2 / first.get_position().height
    first.text(
        -(ticks_width + 0.03) / view.width,
        middle,
        f"{track}\n({_UNITS.get(track, 'signal')})",
        transform=first.transAxes,
        rotation=90,
        ha="right",
        va="center",
        linespacing=1.15,
    )


def _draw_enhancers(
    mdata: MuData,
    ax: Axes,
    samples: list[str],
    enhancers: pd.DataFrame,
    view: _View,
    labels: dict[str, str],
    label_rows: dict[str, int],
) -> None:
    """Draw a row of boxes per sample, filled where the element is the sample's candidate."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    from eregtools.pl._style import BLACK, SMALL

    adata = modality_of(mdata, Modality.enhancers)
    at = adata.var_names.get_indexer(enhancers.index)
    left, width = view.visible(enhancers, least=2.2 / 72)
    wide_left, wide = view.visible(enhancers, least=3.2 / 72)
    marked = enhancers.index.isin(list(labels))
    left[marked], width[marked] = wide_left[marked], wide[marked]
    centers = []
    for number, (name, color) in enumerate(_colors(samples).items()):
        y = _BOX_PITCH * (len(samples) - number - 0.5)
        centers.append(y)
        own = np.ones(len(at), dtype=bool)
        if Layer.candidate in adata.layers:
            own = layer_row(adata, Layer.candidate, name)[at] == 1
        for mask, face, edge, line in (
            (~own & ~marked, "white", "0.6", 0.4),
            (own & ~marked, color, "white", 0.3),
            (~own & marked, "white", BLACK, 0.8),
            (own & marked, color, BLACK, 0.8),
        ):
            boxes = [Rectangle((x, y - _BOX / 2), w, _BOX) for x, w in zip(left[mask], width[mask], strict=True)]
            ax.add_collection(PatchCollection(boxes, facecolor=face, edgecolor=edge, linewidth=line), autolim=False)
    ax.set_yticks(centers, samples if len(samples) > 1 else ["enhancers"])
    ax.tick_params(left=False)
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_visible(False)
    if len(samples) > 1:
        for tick, color in zip(ax.get_yticklabels(), _colors(samples).values(), strict=True):
            tick.set_color(color)
    top = _BOX_PITCH * len(samples)
    for name, text in labels.items():
        x, length = _label_place(enhancers.loc[name], text, view)
        y = top + _LABEL_PITCH * (label_rows[name] + 0.45)
        ax.text(
            view.start + (x + length / 2) * view.inch,
            y,
            text,
            ha="center",
            va="center",
            size=SMALL,
            bbox=_BLANK,
        )


def _draw_genes(ax: Axes, genes: list[_Gene], view: _View) -> None:
    """Bodies with chevrons, bent arrows at the TSS, and names."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    from eregtools.pl._style import BLACK, GREY, SMALL

    height = ax.get_ylim()[1]

    def bp(inches: float) -> float:
        return view.start + inches * view.inch

    for gene in genes:
        chosen = gene.id == view.gene
        color = BLACK if chosen or view.gene is None else GREY
        y = height - _GENE_PITCH * gene.row - _RISE - _BODY / 2 - 0.04
        body = Rectangle((bp(gene.start), y - _BODY / 2), bp(gene.end) - bp(gene.start), _BODY)
        body.set(facecolor=color, linewidth=0, gid=f"gene:{gene.id}")
        ax.add_patch(body)
        direction = {"+": 1, "-": -1}.get(gene.strand, 0)
        if direction:
            at = np.arange(gene.start + 0.06, gene.end - 0.05, 0.12)
            tip, back, half = direction * 0.012, -direction * 0.012, _BODY * 0.32
            chevrons = [[(bp(x + back), y + half), (bp(x + tip), y), (bp(x + back), y - half)] for x in at]
            ax.add_collection(LineCollection(chevrons, colors="white", linewidths=0.5), autolim=False)
        if gene.tss is not None:
            top = y + _BODY / 2 + _RISE
            x = [bp(gene.tss), bp(gene.tss), bp(gene.tss + direction * _TIP)]
            line = 0.9 if chosen else 0.6
            ax.plot(x, [y, top, top], color=color, lw=line, solid_joinstyle="miter", clip_on=False)
            if direction:
                head = [bp(gene.tss + direction * (_TIP - 0.035)), bp(gene.tss + direction * (_TIP + 0.015))]
                ax.fill(
                    [head[0], head[1], head[0]],
                    [top - 0.022, top, top + 0.022],
                    color=color,
                    lw=0,
                    clip_on=False,
                )
        ax.text(
            bp(gene.label),
            y,
            gene.name,
            ha="left",
            va="center_baseline",
            size=SMALL,
            color=color,
            weight="bold" if chosen else "normal",
            parse_math=False,
            gid=f"label:{gene.id}",
            bbox=_BLANK if gene.over_body else None,
        )
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _draw_axis(mdata: MuData, ax: Axes, view: _View) -> None:
    """Round positions under the lowest panel, with chromosome and assembly."""
    from eregtools.pl._style import NORMAL, genomic_ticks, text_width

    widest = text_width(f"{view.end / 1e6:,.3f}") + 0.15
    ticks, labels, unit = genomic_ticks(view.start, view.end, most=int(view.width / widest))
    ax.tick_params(bottom=True, labelbottom=True)
    ax.set_xticks(ticks, labels)
    genome = mdata.uns.get(UNS, {}).get(Uns.genome)
    ax.set_xlabel(f"{view.chromosome}{f' ({genome})' if genome else ''}, {unit}", size=NORMAL)
