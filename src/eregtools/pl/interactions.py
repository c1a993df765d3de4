"""Position attention between the windows of an enhancer and a promoter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import UNS, Modality, Uns, Var
from eregtools._schema import link_positions, listed, require_modality
from eregtools.get.attention import attention_bins, attention_relations
from eregtools.pl._themes import Theme, in_force

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

_MOST_MOTIFS: Final = 6

# Inches.
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.5, 0.14, 0.2, 0.33, 0.04
_VECTOR, _ELEMENT, _KEY, _LEGEND = 0.42, 0.09, 0.05, 0.14


def position_attention(
    mdata: MuData,
    link: str,
    *,
    stage: int = 2,
    key: str = "position_attention",
    hits: pd.DataFrame | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float | None] | None = None,
) -> list[Axes] | None:
    """Draw the relations between the bins of an enhancer and of a promoter, both on the genome.

    Columns are the tiles of the enhancer's bins, rows those of the promoter's, upwards along the genome; colours run
    from the smallest to the largest relation. Beside them stand the elements within their windows, with motifs if
    given, and the attention vectors: each bin's weight, which is the softmax of its strongest relation and no measure
    of importance. The dashed line is the weight of bins that are all alike.

    Parameters
    ----------
    mdata
        Object with position attention, relations included (:func:`eregtools.tl.position_attention`).
    link
        Name of the link.
    stage
        Which stage.
    key
        Where it was stored.
    hits
        Instances of at most 6 motifs to mark, as :func:`eregtools.tl.motif_hits` returns them.
    ax
        Axes whose place the panels take; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.
    figsize
        Inches; default one journal column (89 mm) wide, and as high as both windows at one scale need.

    Returns
    -------
    None where the figure is shown, else the Axes ``relations``, ``enhancer vector``, ``promoter vector``, ``enhancer``,
    ``promoter``, ``key``. These names are their labels.

    Raises
    ------
    KeyError
        There is no such link, or no relations of this stage.
    ValueError
        The hits are of too many motifs.

    Examples
    --------
    .. plot::
        :include-source:

        >>> import tempfile
        >>> import eregtools as er
        >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
        >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
        >>> widths = {"enhancer_width": 600, "promoter_width": 600}
        >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated", **widths)
        >>> link = mdata["links"].var_names[0]
        >>> er.tl.position_attention(mdata, "EPIPAM-small-simulated", link, relations=[1], genome=simulation.genome)
        >>> axes = er.pl.position_attention(mdata, link, stage=1)

    >>> [ax.get_label() for ax in axes][:3]
    ['relations', 'enhancer vector', 'promoter vector']
    """
    relations = attention_relations(mdata, link, stage=stage, key=key)
    enhancer, promoter = (
        attention_bins(mdata, link, side=side, stage=stage, key=key) for side in ("enhancer", "promoter")
    )
    motifs = [] if hits is None else list(dict.fromkeys(hits["motif"].astype(str)))
    if len(motifs) > _MOST_MOTIFS:
        raise ValueError(f"hits= are of {len(motifs)} motifs ({listed(motifs)}); choose at most {_MOST_MOTIFS}")
    from eregtools.pl import _style
    from eregtools.pl._heatmap import RowScale

    with _style.drawing(ax) as look:
        axes = _panels(enhancer, promoter, ax, figsize, legend=bool(motifs))
        scale = RowScale(float(relations.min()), float(relations.max()))
        _draw_relations(axes["relations"], relations, enhancer, promoter, scale)
        _draw_vectors(axes, enhancer, promoter)
        _draw_elements(axes, _elements(mdata, link))
        if hits is not None:
            _draw_hits(axes, hits, motifs, {"enhancer": enhancer, "promoter": promoter})
        _draw_key(axes["key"], scale)
        _label(axes, mdata, stage, enhancer, promoter, look)
    return _style.finish(list(axes.values()), show=show, own_figure=ax is None)


def _extent(bins: pd.DataFrame) -> tuple[int, int]:
    return int(bins["tile_start"].iloc[0]), int(bins["tile_end"].iloc[-1])


def _panels(
    enhancer: pd.DataFrame, promoter: pd.DataFrame, ax: Axes | None, figsize: Any, *, legend: bool
) -> dict[str, Axes]:
    """Axes by label; relations have one scale in both directions, unless a height is given."""
    from eregtools.pl import _style

    width, height = _style.in_print(figsize) or (_style.ONE_COLUMN, None)
    if ax is not None:
        width, height = _style.size_of(ax)
    beside = _ELEMENT + _VECTOR + 2 * _GAP
    bottom = _BOTTOM + _LEGEND * legend
    across = width - _LEFT - _RIGHT - beside
    (first, last), (low, high) = _extent(enhancer), _extent(promoter)
    up = across * (high - low) / (last - first) if height is None else height - _TOP - bottom - beside
    height = up + _TOP + bottom + beside
    if min(across, up) < 0.5:
        raise ValueError(f"a figure of {width:.1f} x {height:.1f} in leaves no room for relations; make it larger")
    right, top = _LEFT + across + _GAP, bottom + up + _GAP
    boxes = {
        "relations": (_LEFT, bottom, across, up),
        "enhancer vector": (_LEFT, top + _ELEMENT + _GAP, across, _VECTOR),
        "promoter vector": (right + _ELEMENT + _GAP, bottom, _VECTOR, up),
        "enhancer": (_LEFT, top, across, _ELEMENT),
        "promoter": (right, bottom, _ELEMENT, up),
        "key": (right + _ELEMENT + _GAP, top + _ELEMENT + _GAP + 0.14, _VECTOR, _KEY),
    }
    host: Any = _style.new_figure(width, height) if ax is None else ax
    parts = [(x / width, y / height, w / width, h / height) for x, y, w, h in boxes.values()]
    axes = dict(zip(boxes, _style.panels(host, parts), strict=True))
    for label, panel in axes.items():
        panel.set_label(label)
        if label in ("relations", "enhancer vector", "enhancer"):
            panel.set_xlim(first, last)
        if label in ("relations", "promoter vector", "promoter"):
            panel.set_ylim(low, high)
    return axes


def _edges(bins: pd.DataFrame) -> np.ndarray:
    return np.append(bins["tile_start"].to_numpy(float), float(bins["tile_end"].iloc[-1]))


def _draw_relations(
    ax: Axes, relations: np.ndarray, enhancer: pd.DataFrame, promoter: pd.DataFrame, scale: Any
) -> None:
    # Cells are finer than what print resolves at stage 1: an image, not a path for each.
    colors = scale.colors(relations.T.ravel()).reshape(*relations.T.shape, 4)
    (first, last), (low, high) = _extent(enhancer), _extent(promoter)
    ax.imshow(colors, origin="lower", extent=(first, last, low, high), aspect="auto", interpolation="nearest")


def _draw_vectors(axes: dict[str, Axes], enhancer: pd.DataFrame, promoter: pd.DataFrame) -> None:
    """Weights as steps along both axes, with the weight of bins that are all alike."""
    from eregtools.pl._style import number

    look = in_force()
    for label, bins, upright in (("enhancer vector", enhancer, False), ("promoter vector", promoter, True)):
        ax, weight = axes[label], bins["weight"].to_numpy(float)
        ax.stairs(
            weight, _edges(bins), fill=True, color=look.blue, orientation="horizontal" if upright else "vertical", lw=0
        )
        line: dict[str, Any] = {"color": look.beside, "lw": look.pt(0.5), "ls": (0, (3, 2))}
        (ax.axvline if upright else ax.axhline)(1 / len(weight), **line)
        most = 1.08 * float(weight.max())
        ticks = [0.0, float(weight.max())]
        if upright:
            ax.set(xlim=(0, most), yticks=[])
            ax.set_xticks(ticks, ["0", number(ticks[1])])
            ax.spines["left"].set_visible(False)
        else:
            ax.set(ylim=(0, most), xticks=[])
            ax.set_yticks(ticks, ["0", number(ticks[1])])
            ax.spines["bottom"].set_visible(False)


def _elements(mdata: MuData, link: str) -> dict[str, tuple[int, int]]:
    """First and last base of the link's enhancer and promoter, by side."""
    row = require_modality(mdata, Modality.links).var_names.get_loc(link)
    gene, enhancer = (rows[row] for rows in link_positions(mdata))
    found = {}
    for side, modality, at in (("enhancer", Modality.enhancers, enhancer), ("promoter", Modality.genes, gene)):
        start, end = mdata[modality].var.iloc[at][[Var.start, Var.end]]
        found[side] = int(start), int(end)
    return found


def _draw_elements(axes: dict[str, Axes], elements: dict[str, tuple[int, int]]) -> None:
    """Draw what the tables call the enhancer and the promoter, within their windows."""
    look = in_force()
    for side, (start, end) in elements.items():
        ax = axes[side]
        line: dict[str, Any] = {"color": look.grey(0.8), "lw": look.pt(0.5), "zorder": 0}
        box: dict[str, Any] = {"color": look.beside, "lw": 0, "gid": f"element:{side}"}
        if side == "enhancer":
            ax.axhline(0.5, **line)
            ax.fill_between([start, end], 0.25, 0.75, **box)
            ax.set_ylim(0, 1)
        else:
            ax.axvline(0.5, **line)
            ax.fill_betweenx([start, end], 0.25, 0.75, **box)
            ax.set_xlim(0, 1)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)


def _draw_hits(axes: dict[str, Axes], hits: pd.DataFrame, motifs: list[str], bins: dict[str, pd.DataFrame]) -> None:
    """Mark motifs at their middle, and name them in their colours below."""
    from eregtools.pl._style import size_of, text_width

    look = in_force()
    color = dict(zip(motifs, look.colors, strict=False))
    middle = ((hits[Var.start] + hits[Var.end]) / 2).to_numpy(float)
    shade = np.array([color[name] for name in hits["motif"].astype(str)], dtype=object)
    for side, table in bins.items():
        low, high = _extent(table)
        on = (hits[Var.chromosome].astype(str) == table[Var.chromosome].iloc[0]).to_numpy()
        inside = on & (middle >= low) & (middle < high)
        at, level = middle[inside], np.full(inside.sum(), 0.5)
        x, y, marker = (at, level, "|") if side == "enhancer" else (level, at, "_")
        axes[side].scatter(x, y, c=list(shade[inside]), s=look.area(7), marker=marker, linewidths=look.pt(1.2))
    ax = axes["relations"]
    width, height = size_of(ax)
    left = 0.0
    for name in motifs:
        ax.text(
            left / width, -(_BOTTOM + _LEGEND / 2) / height, name, color=color[name], weight="bold",
            transform=ax.transAxes, va="center", parse_math=False, gid=f"motif:{name}",
        )  # fmt: skip
        left += text_width(name, weight="bold") + 0.12


def _draw_key(ax: Axes, scale: Any) -> None:
    """Colours from the smallest to the largest relation."""
    from eregtools.pl._style import number

    look = in_force()
    shades = scale.colors(np.linspace(scale.low, scale.high, 64))[None]
    ax.imshow(shades, aspect="auto", extent=(0, 1, 0, 1))
    ax.set(xlim=(0, 1), ylim=(0, 1), yticks=[])
    ax.set_xticks([0, 1], [number(scale.low), number(scale.high)])
    ax.tick_params(length=0, pad=look.pt(1.5))
    ax.spines[:].set_visible(False)
    ax.set_title("relation", size=look.small, pad=look.pt(2))


def _label(
    axes: dict[str, Axes], mdata: MuData, stage: int, enhancer: pd.DataFrame, promoter: pd.DataFrame, look: Theme
) -> None:
    """Positions along both windows, and what the vectors are."""
    from eregtools.pl import _style

    ax = axes["relations"]
    genome = mdata.uns.get(UNS, {}).get(Uns.genome)
    (first, last), (low, high) = _extent(enhancer), _extent(promoter)
    widest = _style.text_width(f"{last / 1e3:,.1f}") + 0.15
    across, up = _style.size_of(ax)
    ticks, labels, unit = _style.genomic_ticks(first, last, most=int(across / widest))
    ax.set_xticks(ticks, labels)
    chromosome = enhancer[Var.chromosome].iloc[0]
    ax.set_xlabel(f"enhancer, {chromosome}{f' ({genome})' if genome else ''}, {unit}", size=look.normal)
    ticks, labels, unit = _style.genomic_ticks(low, high, most=int(up / 0.3))
    ax.set_yticks(ticks, labels, rotation=90, va="center")
    ax.set_ylabel(f"promoter, {unit}", size=look.normal)
    size = int(enhancer["tile_end"].iloc[0] - enhancer["tile_start"].iloc[0])
    axes["enhancer vector"].set_title(
        f"stage {stage}, {size} bp: attention vector (not an importance)", size=look.small, loc="left", pad=look.pt(3)
    )
