"""What models are worth: their scores beside those of the baselines, and what was not judged and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools import tl
from eregtools._keys import UNS, Layer, Modality, Uns
from eregtools._logging import logger
from eregtools.pl.evaluation import PREDICTORS
from eregtools.report._words import NOT_KNOWN, count, decimal
from eregtools.tl.baseline import METHODS, lacking

if TYPE_CHECKING:
    from pathlib import Path

    from mudata import MuData

    from eregtools.genome import Genome

_MODELS: Final = {"model": "model", "shuffled": "shuffled"}
"""Predictors that are no baselines, and how they are drawn."""

_POOLED, _ALL = "pooled", "all"
_FLOOR, _MOST_ROWS = -1.0, 200
_EDGE: Final = 6.0
"""Per cent of a plot's width that stay free at either side."""


@dataclass(frozen=True)
class Dot:
    """Where a score is drawn, in per cent of the width of the plot."""

    at: float
    low: float | None
    high: float | None
    folds: tuple[float, ...]
    words: str


@dataclass(frozen=True)
class Score:
    """One predictor: its name, whether it is a model or a baseline, its numbers and its dot."""

    name: str
    kind: str
    cells: tuple[str, ...]
    dot: Dot | None


@dataclass(frozen=True)
class Axis:
    """Scale of the dots of one evaluation: what they are, ticks (place in per cent, number), and the best baseline."""

    name: str
    ticks: tuple[tuple[float, str], ...]
    reference: float | None


@dataclass(frozen=True)
class Evaluation:
    """Scores of several predictors on the same elements; without an axis, a table as it is."""

    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[Score, ...]
    axis: Axis | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotJudged:
    """Predictions without scores, and why."""

    what: str
    why: str


@dataclass
class Scores:
    """All that is judged, and all that is not."""

    judged: list[Evaluation] = field(default_factory=list)
    absent: list[NotJudged] = field(default_factory=list)


@dataclass(frozen=True)
class Judging:
    """How predictions are judged."""

    samples: list[str]
    n_bootstrap: int
    rng: int | None
    genome: Genome | str | Path | None
    pairs: Mapping[str, pd.DataFrame]
    """Tested pairs of biosamples."""


def scores(mdata: MuData, judging: Judging, evaluations: Mapping[str, pd.DataFrame]) -> Scores:
    """Judge the predictions that the object holds, and take tables of what was judged before."""
    found = Scores()
    for title, table in evaluations.items():
        found.judged += evaluations_of(title, table)
    if Modality.genes in mdata.mod:
        _judge_expression(mdata, judging, found)
    if Modality.enhancers in mdata.mod:
        _judge_activity(mdata, judging, found)
    if Modality.links in mdata.mod:
        _judge_links(mdata, judging, found)
    return found


def _judge_expression(mdata: MuData, judging: Judging, found: Scores) -> None:
    genes = mdata[Modality.genes]
    measured = [name for name in mdata.uns.get(UNS, {}).get(Uns.transforms, {}) if name in genes.layers]
    for assay in measured:
        if Layer.expression_pred(assay) not in genes.layers:
            found.absent.append(NotJudged(assay, f"there is no prediction of it (er.tl.predict_expression, {assay!r})"))
            continue
        notes = [f"{_called(method)}: {missing}" for method in METHODS if (missing := lacking(mdata, method))]
        evaluate = partial(
            tl.evaluate_expression,
            mdata,
            assay=assay,
            sample=_measured_in(mdata, assay, judging.samples),
            allow_leakage=True,
            n_bootstrap=judging.n_bootstrap,
            rng=judging.rng,
        )
        _run(found, f"Expression, {assay}", evaluate, notes, "genes")
    if not measured:
        found.absent.append(NotJudged("Expression", "no expression was measured (er.pp.add_expression)"))


def _measured_in(mdata: MuData, assay: str, samples: list[str]) -> list[str] | None:
    """Those of the chosen biosamples that have measured and predicted values; where none has, all of them."""
    genes = mdata[Modality.genes]
    rows = mdata.obs_names.get_indexer(samples)
    both = np.isfinite(genes.layers[assay][rows]) & np.isfinite(genes.layers[Layer.expression_pred(assay)][rows])
    return [name for name, some in zip(samples, both.any(axis=1), strict=True) if some] or samples


def _judge_activity(mdata: MuData, judging: Judging, found: Scores) -> None:
    if Layer.activity_pred not in mdata[Modality.enhancers].layers:
        return
    title = "Activity of enhancers"
    if judging.genome is None:
        found.absent.append(NotJudged(title, "its baselines read the sequence: name the genome (genome=)"))
        return
    evaluate = partial(
        tl.evaluate_activity,
        mdata,
        sample=judging.samples,
        genome=judging.genome,
        allow_leakage=True,
        n_bootstrap=judging.n_bootstrap,
        rng=judging.rng,
    )
    _run(found, title, evaluate)


def _judge_links(mdata: MuData, judging: Judging, found: Scores) -> None:
    if not judging.pairs:
        why = "links are judged by tested pairs, also those that no link meets: give their table (pairs=)"
        found.absent.append(NotJudged("Links", why))
    for sample, pairs in judging.pairs.items():
        table = tl.evaluate_links(mdata, pairs, sample=sample, n_bootstrap=judging.n_bootstrap, rng=judging.rng)
        found.judged += evaluations_of(f"Links, {sample}", table)


def _run(
    found: Scores,
    title: str,
    evaluate: Callable[[], pd.DataFrame],
    notes: Sequence[str] = (),
    what: str = "elements",
) -> None:
    """Add what an evaluation finds, or the reason why the object cannot be judged."""
    try:
        table = evaluate()
    except (KeyError, ValueError) as error:
        reason = str(error.args[0] if error.args else error)
        logger.warning("%s is not judged: %s", title, reason)
        found.absent.append(NotJudged(title, reason))
        return
    found.judged += evaluations_of(title, table, notes, what)


def evaluations_of(
    title: str, table: pd.DataFrame, notes: Sequence[str] = (), what: str = "elements"
) -> list[Evaluation]:
    """Scores of a table, biosample by biosample; a table of another kind as it is."""
    if {"sample", "predictor", "fold", "pearson"} <= set(table):
        names = table["sample"].unique()
        return [
            _agreement(title if len(names) == 1 else f"{title}: {name}", table[table["sample"] == name], notes, what)
            for name in names
        ]
    if {"predictor", "distance_bin", "average_precision"} <= set(table):
        return [_precision(title, table, notes)]
    return [_plain(title, table)]


def _agreement(title: str, table: pd.DataFrame, notes: Sequence[str], what: str) -> Evaluation:
    pooled = table[table["fold"] == _POOLED]
    folds = table[table["fold"] != _POOLED]
    reference = str(pooled["reference"].iloc[0]) if "reference" in pooled else ""
    axis, place = _axis("Pearson's r", table, "pearson", pooled.loc[pooled["predictor"] == reference, "pearson"])
    rows = []
    for _, row in pooled.iterrows():
        name = str(row["predictor"])
        cells = (
            _with_interval(row, "pearson"),
            decimal(row.get("spearman", np.nan)),
            decimal(row.get("r2", np.nan)),
            decimal(row.get("slope", np.nan), 2),
            "reference" if name == reference else _with_interval(row, "delta", signed=True),
        )
        of_folds = folds.loc[folds["predictor"] == name, "pearson"]
        dot = _dot(row, "pearson", place, of_folds if len(of_folds) > 1 else of_folds[:0])
        rows.append(Score(_called(name), _MODELS.get(name, "baseline"), cells, dot))
    n_folds = folds["fold"].nunique()
    about = (
        f"{table['sample'].iloc[0]}: {count(pooled['n'].max())} {what} on test chromosomes, "
        f"{n_folds} {'fold' if n_folds == 1 else 'folds'}. Every baseline is fitted on the chromosomes that a fold "
        "does not test."
    )
    columns = ("Pearson's r", "Spearman's ρ", "R²", "slope", "r − best baseline")
    return Evaluation(title, about, columns, tuple(rows), axis, (*_warnings(pooled, folds), *notes))


def _warnings(pooled: pd.DataFrame, folds: pd.DataFrame) -> list[str]:
    found = []
    of_model = pooled.loc[pooled["predictor"] == "model"]
    leakage = set(of_model["leakage"].astype(str)) if "leakage" in of_model else set()
    if "yes" in leakage:
        found.append("The weights of the model saw chromosomes that they predict: its score is not one of new data.")
    elif "unknown" in leakage:
        found.append("It is not known on which chromosomes the model was trained.")
    if pooled.loc[pooled["predictor"] == "shuffled", "pearson"].isna().any():
        found.append(
            "What the same weights predict from shuffled sequence is not stored (shuffle=True): how much the model "
            "reads from sequence is not known."
        )
    if len(folds) and pooled["pearson_low"].isna().all():
        found.append("No intervals: they need at least three test chromosomes.")
    return found


def _precision(title: str, table: pd.DataFrame, notes: Sequence[str]) -> Evaluation:
    whole = table[table["distance_bin"] == _ALL]
    bins = [name for name in table["distance_bin"].unique() if name != _ALL]
    baselines = whole["predictor"].isin(["distance", "nearest_gene"])
    best = whole.loc[baselines].nlargest(1, "average_precision")["average_precision"]
    axis, place = _axis("average precision", whole, "average_precision", best, interval=("low", "high"))
    rows = []
    for _, row in whole.iterrows():
        name = str(row["predictor"])
        of_bins = table[table["predictor"] == name].set_index("distance_bin")["average_precision"]
        cells = (
            _with_interval(row, "average_precision", low="low", high="high"),
            decimal(row.get("precision_at_70_recall", np.nan)),
            *(decimal(of_bins.get(one, np.nan)) for one in bins),
            _with_interval(row, "delta", signed=True),
            count(row.get("n_missing", 0)),
        )
        kind = "baseline" if name in ("distance", "nearest_gene") else "model"
        rows.append(Score(_called(name), kind, cells, _dot(row, "average_precision", place, None, ("low", "high"))))
    first = whole.iloc[0]
    about = (
        f"{count(first['n'])} tested pairs of {count(first['n_genes'])} genes, {count(first['n_positive'])} of them "
        f"links: a predictor that knows nothing reaches {decimal(first['prevalence'])}."
    )
    columns = (
        "average precision", "precision at 70 % recall", *bins, "− distance", "pairs without a score",
    )  # fmt: skip
    return Evaluation(title, about, columns, tuple(rows), axis, tuple(notes))


def _plain(title: str, table: pd.DataFrame) -> Evaluation:
    shown = table.head(_MOST_ROWS)
    names = [str(column) for column in shown.columns]
    rows = tuple(
        Score(_cell(row[0]), "baseline", tuple(_cell(value) for value in row[1:]), None)
        for row in shown.itertuples(index=False, name=None)
    )
    left_out = f" The first {_MOST_ROWS} of {count(len(table))} rows." if len(table) > len(shown) else ""
    return Evaluation(title, f"As it was handed over.{left_out}", tuple(names[1:]), rows)


def _axis(
    name: str, table: pd.DataFrame, column: str, reference: pd.Series, interval: tuple[str, str] | None = None
) -> tuple[Axis, Callable[[float], float]]:
    """Scale that holds all values and their intervals, and the place of a value on it."""
    columns = [one for one in (column, *(interval or (f"{column}_low", f"{column}_high"))) if one in table]
    values = table[columns].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)].clip(min=_FLOOR)
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if (high - low) / s <= 4 or s == 1.0)
    low, high = np.floor(low / step + 1e-9) * step, np.ceil(high / step - 1e-9) * step
    high = high if high > low else low + step

    def place(value: float) -> float:
        part = (max(value, _FLOOR) - low) / (high - low)
        return round(_EDGE + (100 - 2 * _EDGE) * float(part), 2)

    ticks = np.arange(low, high + step / 2, step)
    digits = 2 if step < 0.1 else 1
    known = reference.dropna()
    at = place(float(known.iloc[0])) if len(known) else None
    return Axis(name, tuple((place(tick), decimal(abs(tick) and tick, digits)) for tick in ticks), at), place


def _dot(
    row: pd.Series,
    column: str,
    place: Callable[[float], float],
    folds: pd.Series | None,
    interval: tuple[str, str] | None = None,
) -> Dot | None:
    value = float(row[column])
    if not np.isfinite(value):
        return None
    names = interval or (f"{column}_low", f"{column}_high")
    ends = [float(row.get(name, np.nan)) for name in names]
    low, high = [place(end) for end in ends] if np.isfinite(ends).all() else (None, None)
    own = tuple(place(float(of)) for of in (folds.dropna() if folds is not None else ()))
    return Dot(place(value), low, high, own, f"{_called(str(row['predictor']))}: {decimal(value)}")


def _with_interval(row: pd.Series, column: str, *, low: str = "", high: str = "", signed: bool = False) -> str:
    value = decimal(float(row.get(column, np.nan)), signed=signed)
    ends = [float(row.get(name, np.nan)) for name in (low or f"{column}_low", high or f"{column}_high")]
    if value == NOT_KNOWN or not np.isfinite(ends).all():
        return value
    return f"{value} ({decimal(ends[0], signed=signed)} to {decimal(ends[1], signed=signed)})"


def _called(predictor: str) -> str:
    return PREDICTORS.get(predictor, predictor.replace("_", " "))


def _cell(value: Any) -> str:
    return decimal(float(value)) if isinstance(value, float | np.floating) else str(value)
