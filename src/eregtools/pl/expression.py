"""Predicted against observed expression, beside the simple baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import UNS, Layer, Modality, Uns
from eregtools.get.links import check_layer, find_gene, gene_labels, layer_row, sample_names
from eregtools.get.ranges import modality_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

_DENSE: Final = 2_000
"""Genes from which on density is drawn instead of points."""


@dataclass(frozen=True)
class _Panel:
    """Genes of one sample with both values."""

    sample: str
    genes: np.ndarray
    observed: np.ndarray
    predicted: np.ndarray
    baseline: np.ndarray | None


def expression_scatter(
    mdata: MuData,
    *,
    assay: str,
    sample: str | Sequence[str] | None = None,
    observed: str | None = None,
    baseline: str | None = None,
    color: str | None = None,
    highlight: str | Sequence[str] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
) -> Axes | list[Axes] | None:
    """Draw predicted against observed expression of genes, one panel per biosample.

    Number of genes, Pearson's r and Spearman's ρ stand in the panel, over the genes that have both values;
    below them the r of the baseline, log1p of `baseline`, with the observed values of the genes that have it
    too. A score without its baseline says little: promoter activity alone explains most of expression.

    Parameters
    ----------
    mdata
        Object with genes.
    assay
        Assay that was predicted; the prediction is the layer ``<assay>_pred`` of ``genes``.
    sample
        Biosamples; default all with both values.
    observed
        Layer of observed values; default `assay`. For another layer the line is that of least squares, else
        the identity.
    baseline
        Layer of ``genes``; default `promoter_activity` where it exists.
    color
        Column of ``genes.var`` that colours the points, such as ``"fold"``. None: one colour, and above
        2,000 genes the number of genes per hexagon.
    highlight
        Genes to label, by id or name.
    ax
        Axes to draw in, one per sample; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.

    Returns
    -------
    None where the figure is shown, else the Axes; a list of them for several samples.

    Raises
    ------
    KeyError
        A layer, sample, gene or column is not in the object.
    ValueError
        No gene has both values, a highlighted gene lacks one, or `ax` does not fit the samples.

    Examples
    --------
    >>> import anndata as ad, mudata as md, numpy as np, pandas as pd
    >>> import eregtools as er
    >>> names = [f"G{i}" for i in range(50)]
    >>> genes = ad.AnnData(obs=pd.DataFrame(index=["K562"]), var=pd.DataFrame(index=names))
    >>> genes.layers["RNA"] = np.random.default_rng(0).normal(size=(1, 50))
    >>> genes.layers["RNA_pred"] = 0.8 * genes.layers["RNA"]
    >>> ax = er.pl.expression_scatter(md.MuData({"genes": genes}), assay="RNA", show=False)
    >>> print(ax.texts[0].get_text())
    n = 50
    r = 1.00, ρ = 1.00
    """
    from eregtools.pl import _style

    observed = observed or assay
    predicted = Layer.expression_pred(assay)
    for layer in (predicted, observed):
        check_layer(mdata, Modality.genes, layer)
    genes = modality_of(mdata, Modality.genes)
    if baseline is None:
        baseline = Layer.promoter_activity if Layer.promoter_activity in genes.layers else None
    else:
        check_layer(mdata, Modality.genes, baseline)
    if color is not None and color not in genes.var:
        raise KeyError(f"no column {color!r} in genes.var to colour by; there are {', '.join(genes.var.columns)}")

    panels = [
        _panel(mdata, name, observed, predicted, baseline, required=sample is not None)
        for name in sample_names(mdata, sample)
    ]
    drawn = [panel for panel in panels if panel is not None]
    if not drawn:
        raise ValueError(_nothing(mdata, observed, predicted, sample_names(mdata, sample)))
    chosen = [highlight] if isinstance(highlight, str) else list(highlight or [])
    marked = genes.var_names.get_indexer([find_gene(mdata, name) for name in chosen])
    same_scale = observed == assay

    with _style.mpl.rc_context(_style.RC):
        axes = _axes(ax, drawn)
        dense = color is None and max(len(panel.genes) for panel in drawn) > _DENSE
        limits = _limits(drawn, same_scale)
        for axis, panel in zip(axes, drawn, strict=True):
            axis.set(xlim=limits[0], ylim=limits[1], label=panel.sample)
            axis.set_box_aspect(1)
            axis.xaxis.set_major_locator(_style.MaxNLocator(6, steps=[1, 2, 5, 10]))
            axis.yaxis.set_major_locator(_style.MaxNLocator(6, steps=[1, 2, 5, 10]))
            if color is None:
                _draw_values(axis, panel, dense)
            else:
                _draw_categories(axis, panel, genes.var[color], legend=axis is axes[-1])
            _draw_line(axis, panel, same_scale)
            axis.set_xlabel(f"observed {observed}{_transform(mdata, observed)}", size=_style.NORMAL)
            axis.set_ylabel(f"predicted {assay}", size=_style.NORMAL)
            axis.set_title(panel.sample, size=_style.NORMAL)
            axis.text(
                0.04, 0.97, _summary(panel, baseline, same_scale), transform=axis.transAxes, va="top",
                linespacing=1.25, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}, zorder=4,
            )  # fmt: skip
        for axis, panel in zip(axes, drawn, strict=True):  # when nothing moves the panels any more
            _draw_labels(axis, panel, marked, gene_labels(genes), filled=color is None)
    shown = _style.finish(axes, show=show, own_figure=ax is None)
    return shown[0] if shown is not None and len(shown) == 1 else shown


def _panel(
    mdata: MuData, sample: str, observed: str, predicted: str, baseline: str | None, *, required: bool
) -> _Panel | None:
    genes = modality_of(mdata, Modality.genes)
    x, y = (layer_row(genes, layer, sample).astype(float) for layer in (observed, predicted))
    both = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not len(both):
        if required:
            raise ValueError(_nothing(mdata, observed, predicted, [sample]))
        return None
    simple = None
    if baseline is not None:
        values = layer_row(genes, baseline, sample).astype(float)[both]
        simple = np.log1p(np.where(values > -1, values, np.nan))
    return _Panel(sample, both, x[both], y[both], simple)


def _nothing(mdata: MuData, observed: str, predicted: str, samples: Sequence[str]) -> str:
    genes = modality_of(mdata, Modality.genes)
    counts = [
        sum(int(np.isfinite(layer_row(genes, layer, name).astype(float)).sum()) for name in samples)
        for layer in (observed, predicted)
    ]
    return (
        f"no gene of {', '.join(samples)} has both {observed!r} ({counts[0]:,} values) and "
        f"{predicted!r} ({counts[1]:,} values) among {genes.n_vars:,} genes; "
        "predict the genes that were measured, or choose another sample="
    )


def _transform(mdata: MuData, assay: str) -> str:
    """How the values were transformed, in parentheses; nothing if that is not known."""
    record = mdata.uns.get(UNS, {}).get(Uns.transforms, {}).get(assay, {})
    return f" ({record['name']})" if record.get("name") not in (None, "", "none") else ""


def _axes(ax: Axes | Sequence[Axes] | None, drawn: list[_Panel]) -> list[Axes]:
    from eregtools.pl import _style

    if ax is None:
        columns = min(len(drawn), 3)
        rows = -(-len(drawn) // columns)
        side = _style.ONE_COLUMN if len(drawn) == 1 else 2.36
        figure = _style.new_figure(columns * side, rows * side)
        figure.set_layout_engine("constrained")
        return [figure.add_subplot(rows, columns, number + 1) for number in range(len(drawn))]
    given = list(ax) if isinstance(ax, (Sequence, np.ndarray)) else [ax]
    if len(given) != len(drawn):
        names = ", ".join(panel.sample for panel in drawn)
        raise ValueError(f"ax holds {len(given)} Axes and there are {len(drawn)} samples to draw ({names})")
    return given


def _limits(drawn: list[_Panel], same_scale: bool) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits that all panels share; of both axes together where they have one scale."""
    x = np.concatenate([panel.observed for panel in drawn])
    y = np.concatenate([panel.predicted for panel in drawn])
    if same_scale:
        x = y = np.concatenate([x, y])
    ends = []
    for values in (x, y):
        margin = 0.05 * float(np.ptp(values)) or 1.0
        ends.append((float(values.min()) - margin, float(values.max()) + margin))
    return ends[0], ends[1]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; NaN where one side does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _summary(panel: _Panel, baseline: str | None, same_scale: bool) -> str:
    """Lines of text with the scores."""
    from scipy.stats import rankdata

    r = _correlation(panel.observed, panel.predicted)
    rho = _correlation(rankdata(panel.observed), rankdata(panel.predicted))
    lines = [f"n = {len(panel.genes):,}", f"r = {r:.2f}, ρ = {rho:.2f}"]
    if panel.baseline is not None and baseline is not None:
        has = np.isfinite(panel.baseline)
        simple = _correlation(panel.baseline[has], panel.observed[has])
        count = "" if has.all() else f" (n = {has.sum():,})"
        lines.append(f"{baseline.replace('_', ' ')} alone: r = {simple:.2f}{count}")
    return "\n".join(lines if same_scale else [*lines, "dashed: least squares"])


def _draw_values(ax: Axes, panel: _Panel, dense: bool) -> None:
    """Points, or hexagons coloured by the number of genes."""
    from eregtools.pl._style import BLUE, SMALL

    if not dense:
        ax.scatter(panel.observed, panel.predicted, s=6, color=BLUE, alpha=0.5, linewidths=0)
        return
    extent = (*ax.get_xlim(), *ax.get_ylim())
    drawn = ax.hexbin(
        panel.observed, panel.predicted, gridsize=45, mincnt=1, bins="log", cmap="viridis_r", extent=extent,
        linewidths=0.1,
    )  # fmt: skip
    inset = ax.inset_axes((0.62, 0.13, 0.33, 0.025))
    bar = ax.figure.colorbar(drawn, cax=inset, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.ax.xaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    bar.ax.tick_params(which="minor", bottom=False)
    bar.ax.set_title("genes per bin", size=SMALL, pad=2)


def _draw_categories(ax: Axes, panel: _Panel, column: pd.Series, *, legend: bool) -> None:
    """Points in the colour of a column of the genes, in random-free interleaved order."""
    import matplotlib as mpl
    from matplotlib.lines import Line2D

    from eregtools.pl._style import COLORS

    labels = column.astype(object).where(column.notna(), "none").astype(str)
    levels = sorted(
        labels.unique(), key=lambda level: (not level.isdigit(), int(level) if level.isdigit() else 0, level)
    )
    colors: list[Any] = list(COLORS[: len(levels)])
    if len(levels) > len(COLORS):
        colors = list(mpl.colormaps["viridis"](np.linspace(0, 0.95, len(levels))))
    of_level = dict(zip(levels, colors, strict=True))
    of_gene = labels.to_numpy()[panel.genes]
    ax.scatter(
        panel.observed, panel.predicted, s=6, c=[of_level[level] for level in of_gene], alpha=0.6,
        linewidths=0, rasterized=len(of_gene) > _DENSE,
    )  # fmt: skip
    if legend:
        handles = [
            Line2D([], [], ls="", marker="o", ms=3, color=shade, label=level) for level, shade in of_level.items()
        ]
        ax.legend(
            handles=handles, title=str(column.name), loc="lower right", ncols=1 + len(levels) // 5,
            handletextpad=0.1, columnspacing=0.6, labelspacing=0.2, title_fontsize=6,
        )  # fmt: skip


def _draw_line(ax: Axes, panel: _Panel, same_scale: bool) -> None:
    """Identity on one scale, else the line of least squares."""
    x = np.array(ax.get_xlim())
    if same_scale:
        y, label = x, "identity"
    elif len(panel.observed) > 1 and np.ptp(panel.observed) > 0:
        y, label = np.polyval(np.polyfit(panel.observed, panel.predicted, 1), x), "least squares"
    else:
        return
    ax.plot(x, y, color="0.3", lw=0.7, ls=(0, (4, 2)), label=label, scalex=False, scaley=False)


def _draw_labels(ax: Axes, panel: _Panel, marked: np.ndarray, names: np.ndarray, *, filled: bool) -> None:
    """Name genes at the free place nearest to their points."""
    from matplotlib.patheffects import withStroke

    from eregtools.pl._style import BLACK, SMALL, VERMILLION, text_width

    if not len(marked):
        return
    at = pd.Series(np.arange(len(panel.genes)), index=panel.genes).reindex(marked)
    if at.isna().any():
        lacking = ", ".join(names[marked[at.isna().to_numpy()]])
        raise ValueError(f"cannot label {lacking}: no observed or no predicted value in {panel.sample}")
    # A layout engine moves the Axes only when the figure is drawn.
    ax.figure.canvas.figure.draw_without_rendering()
    inch = ax.figure.dpi_scale_trans.inverted()

    points = inch.transform(ax.transData.transform(np.column_stack([panel.observed, panel.predicted])))
    frame = inch.transform_bbox(ax.get_window_extent()).padded(-0.03)
    order = at.to_numpy(int)
    taken: list[Any] = [inch.transform_bbox(text.get_window_extent()).extents for text in ax.texts]
    taken += [inch.transform_bbox(area).extents for child in ax.child_axes if (area := child.get_tightbbox())]
    taken += [np.array([x - 0.03, y - 0.03, x + 0.03, y + 0.03]) for x, y in points[order]]
    if (legend := ax.get_legend()) is not None:
        taken.append(inch.transform_bbox(legend.get_window_extent()).extents)
    height = SMALL / 72
    ax.scatter(
        panel.observed[order], panel.predicted[order], s=11, color=VERMILLION if filled else "none",
        edgecolors=BLACK, linewidths=0.5, zorder=3,
    )  # fmt: skip
    for point in order:
        x, y = points[point]
        width = text_width(names[panel.genes[point]])
        best: tuple[float, tuple[float, float, float, float]] | None = None
        for reach in (0.07, 0.14, 0.24, 0.36, 0.5):
            for angle in np.arange(8) * np.pi / 4:
                # The side of the box that faces the point is `reach` away from it.
                cx = x + np.cos(angle) * (reach + width / 2)
                cy = y + np.sin(angle) * (reach + height / 2)
                box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
                cost = reach + 0.1 * _covered(points, box) + 100 * sum(_overlap(box, other) for other in taken)
                cost += 100 * (box[0] < frame.x0 or box[1] < frame.y0 or box[2] > frame.x1 or box[3] > frame.y1)
                if best is None or cost < best[0]:
                    best = cost, box
        assert best is not None
        box = best[1]
        taken.append(np.array(box))
        offset = ((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y)
        ax.annotate(
            names[panel.genes[point]],
            (panel.observed[point], panel.predicted[point]),
            xytext=(offset[0] * 72, offset[1] * 72),
            textcoords="offset points",
            ha="center",
            va="center",
            size=SMALL,
            color=BLACK,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "0.3", "shrinkA": 0, "shrinkB": 1},
            zorder=5,
            parse_math=False,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )


def _covered(points: np.ndarray, box: Sequence[float]) -> int:
    """Count the points in a box."""
    x, y = points.T
    return int(((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])).sum())


def _overlap(box: Sequence[float], other: Sequence[float] | np.ndarray) -> bool:
    return bool(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3])
