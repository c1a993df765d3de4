"""Scores of a model fold by fold, beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from eregtools.pl._themes import Theme, in_force

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Metric = Literal["pearson", "spearman", "r2", "slope", "auroc", "auroc_within", "auprc"]

METRICS: Final = {
    "pearson": "Pearson's r",
    "spearman": "Spearman's ρ",
    "r2": "R²",
    "slope": "slope of observed on predicted",
    "auroc": "AUROC",
    "auroc_within": "AUROC within chromosomes",
    "auprc": "average precision",
}
"""What can be drawn, and how it is called on the axis."""

PREDICTORS: Final = {
    "model": "model",
    "shuffled": "model, shuffled sequence",
    "trees": "trees, no sequence",
    "promoter": "promoter activity",
    "promoter_mrna": "trees, promoter + mRNA",
    "nearest": "nearest enhancers",
    "gc_cpg": "GC and CpG",
    "kmer": "4-mers",
    "distance_lengths": "trees, distance + lengths",
    "between": "trees, with promoters between",
    "memoriser": "look-up in training pairs",
}
"""Predictors of the ``er.tl.evaluate_…`` functions in words; others by their name."""

_POOLED, _MEAN = "pooled", "mean"

_MINUS: Final = "\N{MINUS SIGN}"

_FLOOR: Final = {"r2": -1.0}
"""Below this a score says no more; what is lower stands at the edge as an arrow."""

_ROW, _AROUND, _BELOW = 0.2, 0.5, 0.3
"""Inches: a predictor; what stands over and under a panel; axis label and legend."""

_SPREAD: Final = 0.3
"""Part of a row, to either side, over which folds are spread; a fold has the same place in every row."""


def performance_by_fold(
    table: pd.DataFrame,
    *,
    metric: Metric = "pearson",
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
) -> Axes | list[Axes] | None:
    """Draw the scores of a model, of the baselines and of the model on shuffled sequence, one panel per biosample.

    Each row is a predictor: a dot for each fold, a diamond for all folds together with its interval, whose value
    stands at the right. The dashed line is the best baseline (for the slope: 1); what the model adds to it stands
    above.

    Parameters
    ----------
    table
        What :func:`eregtools.tl.evaluate_expression` or :func:`eregtools.tl.evaluate_activity` returns, or
        :func:`eregtools.tl.evaluate_interactions` for one kind of negative pairs; predictors of several such tables may
        be put together under names of their own.
    metric
        ``"pearson"``, ``"spearman"``, ``"r2"`` or ``"slope"``, of which the first has intervals; of interactions
        ``"auroc"``, ``"auroc_within"`` or ``"auprc"``, which have them too.
    ax
        Axes to draw in, one per biosample; default a new figure of one column's width.
    show
        Show the figure; default if it is made here and there is a display.

    Returns
    -------
    None where the figure is shown, else the Axes; a list of them for several biosamples.

    Raises
    ------
    KeyError
        The table lacks a column.
    ValueError
        There is no such metric, the table has no row over all folds or repeats one, or `ax` does not fit.

    Examples
    --------
    No chromosome of this object was seen in training, so that each can be a fold of the same model:

    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> er.pp.split(mdata, {k: {"valid": ["chr8"], "test": [f"chr{k}"]} for k in (1, 2, 3)})
        >>> model = er.models.load("EPInformer-small-simulated")
        >>> table = er.tl.evaluate_expression(mdata, {k: model for k in (1, 2, 3)}, assay="RNA", n_bootstrap=200)
        >>> ax = er.pl.performance_by_fold(table)

    >>> [label.get_text() for label in ax.get_yticklabels()][:3]
    ['model', 'model, shuffled sequence', 'trees, no sequence']
    """
    from eregtools.pl import _style

    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    _check(table, metric)
    table = table[table["fold"] != _MEAN]
    samples = table["sample"].unique().tolist()
    with _style.drawing(ax) as look:
        axes = _axes(ax, table, samples)
        limits = _limits(table, metric)
        for axis, sample in zip(axes, samples, strict=True):
            own = table[table["sample"] == sample]
            axis.set_label(str(sample))
            axis.set_xlim(*limits)
            _draw(axis, own, metric)
            title = "\n".join(_title(own, metric))
            axis.set_title(title, loc="left", size=look.small, linespacing=1.25, pad=look.pt(3))
        axes[-1].set_xlabel(METRICS[metric], size=look.normal)
        _legend(axes[-1])
    shown = _style.finish(axes, show=show, own_figure=ax is None)
    return shown[0] if shown is not None and len(shown) == 1 else shown


def _check(table: pd.DataFrame, metric: str) -> None:
    if missing := [name for name in ("sample", "predictor", "fold", "n", metric) if name not in table]:
        raise KeyError(
            f"the table has no column {', '.join(missing)}; pass what er.tl.evaluate_expression or "
            "er.tl.evaluate_activity returns"
        )
    keys = ["sample", "predictor", "fold"]
    if (repeated := table.duplicated(keys)).any():
        sample, predictor, fold = table.loc[repeated, keys].iloc[0]
        raise ValueError(
            f"the table has predictor {predictor!r} of {sample!r} twice (fold {fold}); give predictors of several "
            "tables different names"
        )
    pooled = table[table["fold"] == _POOLED]
    if lacking := sorted(set(table["sample"]) - set(pooled["sample"])) or ([] if len(table) else ["the table"]):
        raise ValueError(f"{lacking[0]}: there is no row over all folds (fold 'pooled')")


def _axes(ax: Axes | Sequence[Axes] | None, table: pd.DataFrame, samples: Sequence[str]) -> list[Axes]:
    """Axes for each biosample: those given, or those of a new figure, one below the other."""
    from eregtools.pl import _style

    if ax is None:
        rows = [table.loc[table["sample"] == sample, "predictor"].nunique() for sample in samples]
        heights = [n * _ROW + _AROUND for n in rows]
        figure = _style.new_figure(_style.ONE_COLUMN, sum(heights) + _BELOW)
        figure.set_layout_engine("constrained")
        grid = figure.subplots(len(samples), 1, squeeze=False, height_ratios=rows)
        return list(grid.ravel())
    given = list(ax) if isinstance(ax, (Sequence, np.ndarray)) else [ax]
    if len(given) != len(samples):
        raise ValueError(
            f"ax holds {len(given)} Axes and there are {len(samples)} biosamples to draw ({', '.join(samples)})"
        )
    return given


def _limits(table: pd.DataFrame, metric: str) -> tuple[float, float]:
    """Limits that all panels share, with room beside the values."""
    columns = [name for name in (metric, f"{metric}_low", f"{metric}_high") if name in table]
    values = table[columns].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)].clip(min=_FLOOR.get(metric, -np.inf))
    if not len(values):
        return 0.0, 1.0
    margin = 0.06 * float(np.ptp(values)) or 0.05
    return float(values.min()) - margin, float(values.max()) + margin


def _draw(ax: Axes, table: pd.DataFrame, metric: str) -> None:
    """Rows of one biosample's predictors, from top to bottom."""
    from matplotlib.ticker import MaxNLocator

    look = in_force()
    predictors = table["predictor"].unique().tolist()
    folds = [fold for fold in table["fold"].unique() if fold != _POOLED]
    place = dict(zip(folds, np.linspace(-_SPREAD, _SPREAD, len(folds)) if len(folds) > 1 else [0.0], strict=True))
    floor = _FLOOR.get(metric, -np.inf)
    dots: dict[str, Any] = {"marker": "o", "s": look.area(9), "alpha": look.alpha(0.45)}
    diamond: dict[str, Any] = {"marker": "D", "s": look.area(14)}
    for y, predictor in enumerate(predictors):
        own = table[table["predictor"] == predictor]
        color = {"model": look.blue, "shuffled": look.vermillion}.get(predictor, look.grey(0.25))
        of_fold = own[own["fold"] != _POOLED].dropna(subset=[metric])
        at = y + of_fold["fold"].map(place).to_numpy(dtype=float)
        _marks(ax, of_fold[metric], at, floor, **dots, color=color, label=f"{predictor}: folds")
        pooled = own[own["fold"] == _POOLED].iloc[0]
        low, high = (float(pooled.get(f"{metric}_{side}", np.nan)) for side in ("low", "high"))
        if np.isfinite([low, high]).all():
            ax.plot(
                [low, high], [y, y], color=color, lw=look.pt(1.4), solid_capstyle="butt", label=f"{predictor}: interval"
            )
        known = pooled[[metric]].astype(float).dropna()
        _marks(ax, known, np.full(len(known), y), floor, **diamond, color=color, label=f"{predictor}: pooled")
        text = f"{known.iloc[0]:.3f}".replace("-", _MINUS) if len(known) else "not known"
        ax.annotate(
            text, (1, y), (look.pt(4), 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points", va="center",
            color=color if len(known) else look.beside, annotation_clip=False,
        )  # fmt: skip
    if (seen := _line(table, metric)) is not None:
        ax.axvline(max(seen[0], floor), color=look.grey(0.5), zorder=0, label=seen[1], **_dashed(look))
    ax.set_yticks(range(len(predictors)), [PREDICTORS.get(name, str(name).replace("_", " ")) for name in predictors])
    ax.set_ylim(len(predictors) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _dashed(look: Theme) -> dict[str, Any]:
    return {"lw": look.pt(0.6), "ls": (0, (3, 2))}


def _marks(ax: Axes, values: pd.Series, at: np.ndarray, floor: float, **looks: Any) -> None:
    """Draw values at heights; those below the floor as arrows that stand on it."""
    x = values.to_numpy(dtype=float)
    for inside, changes in ((x >= floor, {}), (x < floor, {"marker": "<"})):
        if inside.any():
            ax.scatter(x[inside].clip(floor), at[inside], linewidths=0, zorder=3, **(looks | changes))


def _line(table: pd.DataFrame, metric: str) -> tuple[float, str] | None:
    """Tell what scores are seen against, and its name; None where the table does not say the best baseline."""
    if metric == "slope":
        return 1.0, "calibrated"
    name = table["reference"].iloc[0] if "reference" in table else ""
    found = table.loc[(table["predictor"] == name) & (table["fold"] == _POOLED), metric].dropna()
    return (float(found.iloc[0]), "best baseline") if len(found) else None


def _title(table: pd.DataFrame, metric: str) -> list[str]:
    """Biosample and number of elements; for Pearson's r, what the model adds to the best baseline."""
    n_folds = int((table["fold"].unique() != _POOLED).sum())
    first = f"{table['sample'].iloc[0]}: n = {table['n'].max():,}, {n_folds} fold{'s' * (n_folds != 1)}"
    model = table[(table["predictor"] == "model") & (table["fold"] == _POOLED)]
    if metric != "pearson" or "delta" not in table or model["delta"].isna().all():
        return [first]
    row = model.iloc[0]
    gain = f"{row['delta']:+.3f}"
    if np.isfinite(row[["delta_low", "delta_high"]].astype(float)).all():
        gain += f" ({row['delta_low']:+.3f} to {row['delta_high']:+.3f})"
    return [first, f"model \N{MINUS SIGN} best baseline: {gain.replace('-', _MINUS)}"]


def _legend(ax: Axes) -> None:
    """Say what the marks are, below the panel."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation

    look = in_force()
    drawn = {str(artist.get_label()).rpartition(": ")[2] for artist in (*ax.collections, *ax.lines)}
    looks: dict[str, dict[str, Any]] = {
        "folds": {"ls": "", "marker": "o", "ms": look.pt(3), "alpha": look.alpha(0.45), "mew": 0, "label": "one fold"},
        "pooled": {"ls": "", "marker": "D", "ms": look.pt(3.2), "mew": 0, "label": "all folds"},
        "interval": {"lw": look.pt(1.4), "label": "interval"},
        "best baseline": _dashed(look) | {"label": "best baseline"},
        "calibrated": _dashed(look) | {"label": "calibrated"},
    }
    down = ScaledTranslation(0, -0.3 * look.scale, ax.figure.dpi_scale_trans)
    ax.legend(
        handles=[Line2D([], [], color=look.grey(0.25), **marks) for name, marks in looks.items() if name in drawn],
        loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=ax.transAxes + down, ncols=4, borderaxespad=0,
        handletextpad=0.4, columnspacing=1.0, handlelength=1.4,
    )  # fmt: skip
