"""What pl.performance_by_fold draws: measured and read from the figure."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from eregtools import pl

mpl.use("Agg")
import matplotlib.pyplot as plt

PREDICTORS = ["model", "shuffled", "trees", "promoter", "promoter_mrna", "nearest"]
LABELS = [
    "model",
    "model, shuffled sequence",
    "trees, no sequence",
    "promoter activity",
    "trees, promoter + mRNA",
    "nearest enhancers",
]
R = [0.844, 0.815, 0.877, 0.849, 0.871, 0.455]
"""On K562 RNA, about."""


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def scores(samples=("K562",), n_folds=12):
    rng = np.random.default_rng(0)
    rows = []
    for sample in samples:
        for predictor, r in zip(PREDICTORS, R, strict=True):
            low, high, delta = r - 0.013, r + 0.012, r - 0.877
            row = {"sample": sample, "predictor": predictor, "n": 18_377, "reference": "trees"}
            more = {"r2": r**2, "spearman": r - 0.01, "slope": 1.02, "pearson_low": low, "pearson_high": high}
            gain = {"delta": delta, "delta_low": delta - 0.005, "delta_high": delta + 0.006}
            rows.append(row | more | gain | {"fold": "pooled", "pearson": r})
            for fold in range(1, n_folds + 1):
                of_fold = float(r + rng.normal(0, 0.03))
                rows.append(row | {"fold": fold, "n": 1500, "pearson": of_fold, "r2": of_fold**2, "slope": 1.1})
    return pd.DataFrame(rows)


def marks(ax, label):
    found = [c for c in ax.collections if isinstance(c, PathCollection) and c.get_label() == label]
    return np.concatenate([np.ma.getdata(c.get_offsets()) for c in found]) if found else np.empty((0, 2))


def texts(figure):
    """Texts that are drawn: of ticks only those in view."""
    figure.canvas.draw()
    ticks = [(ax.get_xlim(), tick) for ax in figure.axes for tick in ax.xaxis.get_major_ticks()]
    hidden = {tick.label1 for (low, high), tick in ticks if not low <= tick.get_loc() <= high}
    hidden |= {tick.label2 for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()}
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]


def test_a_dot_for_each_fold_and_a_mark_with_interval_for_all():
    table = scores()
    ax = pl.performance_by_fold(table, show=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == LABELS
    assert ax.get_xlabel() == "Pearson's r"
    lines = {line.get_label(): line for line in ax.lines}
    for y, predictor in enumerate(PREDICTORS):
        own = table[table["predictor"] == predictor].set_index("fold")
        dots = marks(ax, f"{predictor}: folds")
        assert dots[:, 0] == pytest.approx(own["pearson"].drop("pooled").to_numpy())
        assert np.all(np.abs(dots[:, 1] - y) < 0.5)
        assert len(set(np.round(dots[:, 1] - y, 6))) == 12
        assert marks(ax, f"{predictor}: pooled").tolist() == [[own.loc["pooled", "pearson"], y]]
        low, high = lines[f"{predictor}: interval"].get_xdata()
        assert [low, high] == own.loc["pooled", ["pearson_low", "pearson_high"]].tolist()
    assert list(lines["best baseline"].get_xdata()) == [0.877, 0.877]
    assert [t.get_text() for t in ax.texts] == [f"{r:.3f}" for r in R]
    assert ax.get_title(loc="left") == ("K562: n = 18,377, 12 folds\nmodel − best baseline: −0.033 (−0.038 to −0.027)")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["one fold", "all folds", "interval", "best baseline"]


def test_a_fold_has_the_same_place_in_every_row():
    table = scores(n_folds=3)
    table.loc[(table["predictor"] == "trees") & (table["fold"] == 2), "pearson"] = np.nan
    ax = pl.performance_by_fold(table, show=False)
    places = {p: marks(ax, f"{p}: folds")[:, 1] - y for y, p in enumerate(PREDICTORS)}
    assert len(places["trees"]) == 2
    assert places["trees"] == pytest.approx(places["model"][[0, 2]])
    assert places["nearest"] == pytest.approx(places["model"])


@pytest.mark.parametrize("samples", [("K562",), ("K562", "GM12878"), ("K562", "GM12878", "HepG2")])
@pytest.mark.parametrize("metric", ["pearson", "r2", "slope"])
def test_legible_at_one_column(samples, metric):
    axes = np.atleast_1d(pl.performance_by_fold(scores(samples), metric=metric, show=False))
    assert [ax.get_label() for ax in axes] == list(samples)
    figure = axes[0].figure
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(89, abs=0.5)
    found = texts(figure)
    assert min(t.get_fontsize() for t in found) >= 6
    canvas = figure.bbox.padded(1)
    boxes = [(t.get_text(), t.get_tightbbox()) for t in found]
    for text, box in boxes:
        assert canvas.contains(box.x0, box.y0), text
        assert canvas.contains(box.x1, box.y1), text
    clear = [(a, b) for (a, x), (b, y) in combinations(boxes, 2) if x.padded(-0.5).overlaps(y.padded(-0.5))]
    assert clear == []
    panels = [ax.get_window_extent() for ax in axes]
    assert not [t for t, box in boxes if any(box.padded(-0.5).overlaps(panel) for panel in panels)]
    assert len({ax.get_xlim() for ax in axes}) == 1


def test_model_and_shuffled_are_told_apart_from_baselines():
    ax = pl.performance_by_fold(scores(), show=False)
    colors = {
        p: next(c for c in ax.collections if c.get_label() == f"{p}: pooled").get_facecolor()[0][:3] for p in PREDICTORS
    }
    assert tuple(colors["model"]) == to_rgb("#0072B2")
    assert tuple(colors["shuffled"]) == to_rgb("#D55E00")
    assert len({tuple(colors[p]) for p in PREDICTORS[2:]}) == 1


def test_what_is_not_known_has_no_mark_and_says_so():
    table = scores()
    shuffled = table["predictor"] == "shuffled"
    table.loc[shuffled, ["pearson", "pearson_low", "pearson_high"]] = np.nan
    ax = pl.performance_by_fold(table, show=False)
    assert len(marks(ax, "shuffled: folds")) == len(marks(ax, "shuffled: pooled")) == 0
    assert [t.get_text() for t in ax.texts][1] == "not known"
    assert [t.get_text() for t in ax.get_yticklabels()] == LABELS


def test_scores_that_are_far_below_stand_at_the_edge():
    table = scores()
    table.loc[table["predictor"] == "shuffled", "r2"] = -40.0
    ax = pl.performance_by_fold(table, metric="r2", show=False)
    assert ax.get_xlim()[0] > -1.3
    assert marks(ax, "shuffled: pooled").tolist() == [[-1.0, 1]]
    assert set(marks(ax, "shuffled: folds")[:, 0]) == {-1.0}
    assert [t.get_text() for t in ax.texts][1] == "−40.000"
    assert ax.get_title(loc="left") == "K562: n = 18,377, 12 folds"


def test_slope_is_seen_against_one():
    ax = pl.performance_by_fold(scores(), metric="slope", show=False)
    assert list(ax.lines[-1].get_xdata()) == [1.0, 1.0]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["one fold", "all folds", "calibrated"]


def test_axes_are_given_one_per_sample():
    _, axes = plt.subplots(2, 1)
    table = scores(("K562", "GM12878"))
    assert pl.performance_by_fold(table, ax=axes) == list(axes)
    with pytest.raises(ValueError, match=r"ax holds 1 Axes and there are 2 biosamples to draw \(K562, GM12878\)"):
        pl.performance_by_fold(table, ax=axes[0])


def test_tables_that_cannot_be_drawn():
    table = scores()
    with pytest.raises(ValueError, match="metric is 'f1'; expected one of pearson, spearman, r2, slope"):
        pl.performance_by_fold(table, metric="f1")
    with pytest.raises(KeyError, match=r"no column fold, n; pass what er\.tl\.evaluate_expression"):
        pl.performance_by_fold(table.drop(columns=["fold", "n"]))
    with pytest.raises(ValueError, match=r"predictor 'model' of 'K562' twice \(fold pooled\); give predictors"):
        pl.performance_by_fold(pd.concat([table, table]))
    with pytest.raises(ValueError, match="K562: there is no row over all folds"):
        pl.performance_by_fold(table[table["fold"] != "pooled"])
    with pytest.raises(ValueError, match="there is no row over all folds"):
        pl.performance_by_fold(table[:0])
