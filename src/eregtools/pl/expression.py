"""Predicted against observed expression, beside the simple baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from eregtools._keys import UNS, Layer, Modality, Uns
from eregtools._schema import require_modality
from eregtools.get._select import check_layer, find_gene, gene_labels, sample_names
from eregtools.pl._paired import paired_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from mudata import MuData

_DENSE: Final = 2_000
"""Genes from which on density is drawn instead of points."""


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

    Above each panel stand the sample, the number of genes that have both values, Pearson's r and Spearman's ρ
    over these; below them the r of the baseline, log1p of `baseline`, with the observed values of the genes
    that have it too. A score without its baseline says little: promoter activity alone explains most of
    expression.

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
    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> er.tl.predict_expression(mdata, "EPInformer-small-simulated", assay="RNA")
        >>> ax = er.pl.expression_scatter(mdata, assay="RNA", highlight=["sim12", "sim140"])

    >>> print(ax.get_title(loc="left"))
    sim: n = 200
    r = 0.92, ρ = 0.91
    promoter activity alone: r = 0.58
    """
    from eregtools.pl import _scatter, _style

    observed = observed or assay
    predicted = Layer.expression_pred(assay)
    for layer in (predicted, observed):
        check_layer(mdata, Modality.genes, layer)
    genes = require_modality(mdata, Modality.genes)
    if baseline is not None:
        check_layer(mdata, Modality.genes, baseline)
    elif Layer.promoter_activity in genes.layers:
        baseline = Layer.promoter_activity
    if color is not None and color not in genes.var:
        raise KeyError(f"no column {color!r} in genes.var to colour by; there are {', '.join(genes.var.columns)}")
    samples = sample_names(mdata, sample)
    pairs = paired_values(mdata, samples, observed, predicted, baseline, required=sample is not None)
    chosen = [highlight] if isinstance(highlight, str) else list(highlight or [])
    marked = genes.var_names.get_indexer([find_gene(mdata, name) for name in chosen])
    same_scale = observed == assay
    many = max(len(pair.genes) for pair in pairs) > _DENSE

    with _style.drawing(ax) as look:
        axes = _scatter.panels(ax, pairs)
        _scatter.set_limits(axes, pairs, same_scale=same_scale)
        if color is not None:
            _scatter.draw_categories(axes, pairs, genes.var[color], raster=many)
        elif many:
            _scatter.draw_density(axes, pairs)
        else:
            _scatter.draw_points(axes, pairs)
        for axis, pair in zip(axes, pairs, strict=True):
            _scatter.draw_line(axis, pair, same_scale=same_scale)
            axis.set(label=pair.sample)
            axis.set_xlabel(f"observed {observed}{_transform(mdata, observed)}", size=look.normal)
            axis.set_ylabel(f"predicted {assay}", size=look.normal)
            scores = pair.scores(baseline)
            if not same_scale:
                scores.append("dashed: least squares")
            axis.set_title("\n".join(scores), loc="left", size=look.small, linespacing=1.25, pad=look.pt(3))
        for axis, pair in zip(axes, pairs, strict=True):  # when nothing moves the panels any more
            _scatter.draw_names(axis, pair, marked, gene_labels(genes), filled=color is None)
    shown = _style.finish(axes, show=show, own_figure=ax is None)
    return shown[0] if shown is not None and len(shown) == 1 else shown


def _transform(mdata: MuData, assay: str) -> str:
    """How the values were transformed, in parentheses; nothing if that is not known."""
    record = mdata.uns.get(UNS, {}).get(Uns.transforms, {}).get(assay, {})
    return f" ({record['name']})" if record.get("name") not in (None, "", "none") else ""
