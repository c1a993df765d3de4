"""Curves of a training: loss and correlation by epoch, with the epoch that was kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eregtools.pl._epochs import BEST, EPOCH, FOLD, STAGE, read_epochs
from eregtools.pl._themes import in_force

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from eregtools.models.base import Model

_SIDES: Final = {"train": "training", "val": "validation"}
_NAMES: Final = {"r": "Pearson's r"}
"""How metrics are called on the axis, where not by their own name."""

_ROW, _ABOVE, _BELOW = 1.15, 0.3, 0.3
"""Inches: a panel, and what stands over and under the panels."""


def training(
    source: str | Path | Model[Any] | pd.DataFrame,
    *,
    metrics: str | Sequence[str] = ("loss", "r"),
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
) -> Axes | list[Axes] | None:
    """Draw training and validation curves, one panel per metric, with the best epoch marked.

    The best epoch is the one whose weights training keeps: by the figure that its regime monitors, where the folder
    or the model says which, else of the least validation loss. Fold models are drawn together, one thin line each;
    the stages of a training side by side.

    Parameters
    ----------
    source
        Folder that a model was trained into (its log is ``log/metrics.csv``, or ``log/stage1/metrics.csv`` …), a
        folder of such fold folders, the log itself, a model whose ``provenance["training"]["history"]`` holds the
        curves, or a table with the columns of a log: ``epoch``, ``train_loss``, ``val_loss``, ``val_r`` …, and where
        there are several, ``fold`` and ``stage``.
    metrics
        What to draw, from top to bottom: ``"loss"`` is ``train_loss`` and ``val_loss``, of which one may be absent.
    ax
        Axes to draw in, one per panel: metrics from top to bottom, in each the stages; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.

    Returns
    -------
    None where the figure is shown, else the Axes, or a list where there are several panels. Their labels
    (``ax.get_label()``) are ``<metric>`` or ``<metric>:<stage>``.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    ValueError
        The folder holds no log, the log has no such metric, or there are not as many Axes as panels.

    Examples
    --------
    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> model = er.models.load("EPInformer-small-simulated")
        >>> axes = er.pl.training(model)

    >>> [ax.get_label() for ax in axes]
    ['loss', 'r']
    """
    from eregtools.pl import _style

    curves = read_epochs(source)
    chosen = [metrics] if isinstance(metrics, str) else list(metrics)
    columns = {metric: _columns(curves, metric) for metric in chosen}
    stages = list(curves[STAGE].unique())
    panels = [(metric, stage) for metric in chosen for stage in stages]

    with _style.drawing(ax) as look:
        axes = _axes(ax, panels, len(stages))
        for axis, (metric, stage) in zip(axes, panels, strict=True):
            _draw(axis, metric, columns[metric], curves[curves[STAGE] == stage])
            axis.set_label(f"{metric}:{stage}" if stage else metric)
            if stage == stages[0]:
                axis.set_ylabel(_NAMES.get(metric, metric.replace("_", " ")), size=look.normal)
        for axis, stage in zip(axes, stages, strict=False):
            title = _title(stage, curves[curves[STAGE] == stage], chosen)
            axis.set_title(title, loc="left", size=look.small, linespacing=1.25, pad=look.pt(3))
        for axis in axes[-len(stages) :]:
            axis.set_xlabel("epoch", size=look.normal)
        sides = [side for side in _SIDES if any(f"{side}_{metric}" in columns[metric] for metric in chosen)]
        _legend(axes[len(stages) - 1], sides, beside_title=len(stages) == 1 and ax is None)
    shown = _style.finish(axes, show=show, own_figure=ax is None)
    return shown[0] if shown is not None and len(shown) == 1 else shown


def _columns(curves: pd.DataFrame, metric: str) -> list[str]:
    """Columns of a metric that hold a value."""
    found = [name for side in _SIDES if (name := f"{side}_{metric}") in curves and curves[name].notna().any()]
    if not found:
        there = {name.split("_", 1)[1] for name in map(str, curves) if name.split("_", 1)[0] in _SIDES and "_" in name}
        raise ValueError(
            f"the log has no metric {metric!r} (no values of train_{metric} or val_{metric}); "
            f"it has {', '.join(sorted(there)) or 'none'}"
        )
    return found


def _axes(ax: Axes | Sequence[Axes] | None, panels: Sequence[tuple[str, str]], n_stages: int) -> list[Axes]:
    """Axes for each panel: those given, or those of a new figure."""
    from eregtools.pl import _style

    if ax is not None:
        given = list(ax) if isinstance(ax, (Sequence, np.ndarray)) else [ax]
        if len(given) != len(panels):
            names = ", ".join(f"{metric} {stage}".strip() for metric, stage in panels)
            raise ValueError(f"ax holds {len(given)} Axes and there are {len(panels)} panels to draw ({names})")
        return given
    n_rows = len(panels) // n_stages
    width = _style.ONE_COLUMN * (1 if n_stages < 3 else 2)
    figure = _style.new_figure(width, n_rows * _ROW + _ABOVE + _BELOW + 0.12 * (n_stages > 1))
    figure.set_layout_engine("constrained")
    grid = figure.subplots(n_rows, n_stages, sharex="col", sharey="row", squeeze=False)
    return list(grid.ravel())


def _draw(ax: Axes, metric: str, columns: Sequence[str], curves: pd.DataFrame) -> None:
    """Curves of one metric and one stage, and the best epoch of each."""
    from matplotlib.ticker import MaxNLocator

    look = in_force()
    best = curves[curves[BEST]]
    folds = curves.groupby(FOLD, sort=False)
    for _, fold in folds:
        for name in columns:
            drawn = fold.dropna(subset=[name])
            style = _line(name.split("_", 1)[0], thin=folds.ngroups > 1)
            ax.plot(
                drawn[EPOCH], drawn[name], label=name, marker="o" if len(drawn) == 1 else None, ms=look.pt(2), **style
            )
    if (validated := f"val_{metric}") in columns:
        ax.plot(
            best[EPOCH], best[validated], ls="", marker="o", ms=look.pt(4 if folds.ngroups == 1 else 3),
            color=look.blue, mec=look.paper, mew=look.pt(0.5), label="best epoch", zorder=3,
        )  # fmt: skip
    if folds.ngroups == 1:
        for epoch in best[EPOCH]:
            ax.axvline(epoch, color=look.grey(0.6), lw=look.pt(0.5), ls=(0, (2, 2)), zorder=0)
    ax.set_xlim(0.5, curves[EPOCH].max() + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _line(side: str, *, thin: bool) -> dict[str, Any]:
    look = in_force()
    line: dict[str, Any] = {"lw": look.pt(0.6), "alpha": look.alpha(0.6)} if thin else {"lw": look.pt(1.0)}
    if side == "val":
        return line | {"color": look.blue}
    return line | {"color": look.beside, "ls": (0, (4, 2))}


def _title(stage: str, curves: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Which epoch was best, and its validation metrics; ranges over folds."""
    best = curves[curves[BEST]]
    n = curves[FOLD].nunique()
    named = [f"stage {stage}" if stage.isdecimal() else stage] if stage else []
    if n > 1:
        named.append(f"{n} folds")
    if best.empty:
        return ", ".join(named)
    epochs = curves.groupby(FOLD, sort=False)[EPOCH].max()
    named.append(f"best epoch {_span(best[EPOCH])} of {_span(epochs)}")
    scores = [f"{name} {_span(best[f'val_{name}'])}" for name in metrics if f"val_{name}" in best]
    return f"{', '.join(named)}\nvalidation {', '.join(scores)}" if scores else ", ".join(named)


def _span(values: Iterable[float]) -> str:
    """Least and greatest value, once where they are the same."""
    found = [f"{value:.3g}".replace("-", "\N{MINUS SIGN}") for value in (min(values), max(values))]
    return "–".join(dict.fromkeys(found))


def _legend(ax: Axes, sides: Iterable[str], *, beside_title: bool) -> None:
    """Which line is which, above the panel: nothing covers the curves."""
    from matplotlib.lines import Line2D
    from matplotlib.transforms import ScaledTranslation

    up = in_force().scale * (0.07 if beside_title else 0.24)
    handles = [Line2D([], [], label=_SIDES[side], **_line(side, thin=False)) for side in sides]
    ax.legend(
        handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2, handlelength=2.2,
        columnspacing=1, bbox_transform=ax.transAxes + ScaledTranslation(0, up, ax.figure.dpi_scale_trans),
    )  # fmt: skip
