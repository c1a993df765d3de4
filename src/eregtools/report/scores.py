"""What models are worth: their scores beside those of the baselines, and what was not judged and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools import tl
from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._logging import logger
from eregtools.report._evaluations import Evaluation, Score, axis, called, dot, with_interval
from eregtools.report._words import count, decimal
from eregtools.report.areas import interaction_areas, locus_areas
from eregtools.tl.baseline import METHODS, lacking

if TYPE_CHECKING:
    from pathlib import Path

    from mudata import MuData

    from eregtools.genome import Genome

_MODELS: Final = {"model": "model", "shuffled": "shuffled"}
"""Predictors that are no baselines, and how they are drawn."""

_POOLED, _ALL = "pooled", "all"
_MOST_ROWS: Final = 200


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
        _judge_interactions(mdata, judging, found)
    if Modality.ernas in mdata.mod:
        _judge_ernas(mdata, judging, found)
    return found


def _judge_expression(mdata: MuData, judging: Judging, found: Scores) -> None:
    genes = mdata[Modality.genes]
    measured = [name for name in mdata.uns.get(UNS, {}).get(Uns.transforms, {}) if name in genes.layers]
    for assay in measured:
        if Layer.expression_pred(assay) not in genes.layers:
            found.absent.append(NotJudged(assay, f"there is no prediction of it (er.tl.predict_expression, {assay!r})"))
            continue
        notes = [f"{called(method)}: {missing}" for method in METHODS if (missing := lacking(mdata, method))]
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


def _judge_interactions(mdata: MuData, judging: Judging, found: Scores) -> None:
    links = mdata[Modality.links]
    if Var.label not in links.var:
        return
    if Layer.interaction not in links.layers:
        why = "there is no prediction of it (er.tl.predict_interactions); the baselines stand by themselves"
        found.absent.append(NotJudged("Interactions of labelled pairs", why))
    for sample in judging.samples:
        evaluate = partial(
            tl.evaluate_interactions,
            mdata,
            sample=sample,
            allow_leakage=True,
            n_bootstrap=judging.n_bootstrap,
            rng=judging.rng,
        )
        _run(found, f"Interactions, {sample}", evaluate)


def _judge_ernas(mdata: MuData, judging: Judging, found: Scores) -> None:
    ernas = mdata[Modality.ernas]
    if Var.label not in ernas.var:
        why = "the loci have no labels (er.pp.label_ernas, er.pp.matched_ernas)"
        found.absent.append(NotJudged("Loci of enhancer RNA", why))
        return
    if Layer.probability not in ernas.layers:
        why = "there is no prediction of them (er.tl.predict_ernas, er.tl.scan_ernas)"
        found.absent.append(NotJudged("Loci of enhancer RNA", why))
        return
    for sample in judging.samples:
        evaluate = partial(
            tl.evaluate_ernas,
            mdata,
            sample=sample,
            genome=judging.genome,
            allow_leakage=True,
            n_bootstrap=judging.n_bootstrap,
            rng=judging.rng,
        )
        _run(found, f"Loci of enhancer RNA, {sample}", evaluate)


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
    except (KeyError, ValueError, FileNotFoundError) as error:
        reason = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        logger.warning("%s is not judged: %s", title, reason)
        found.absent.append(NotJudged(title, reason))
        return
    found.judged += evaluations_of(title, table, notes, what)


def evaluations_of(
    title: str, table: pd.DataFrame, notes: Sequence[str] = (), what: str = "elements"
) -> list[Evaluation]:
    """Scores of a table, biosample by biosample; a table of another kind as it is."""
    columns = set(table)
    if {"sample", "predictor", "fold", "pearson"} <= columns:
        return [_agreement(name, part, notes, what) for name, part in _by_sample(title, table)]
    if {"sample", "predictor", "fold", "negatives", "auroc", "auroc_within", "auprc"} <= columns:
        return [
            interaction_areas(f"{name}: negatives {kind!r}", part[part["negatives"] == kind], notes)
            for name, part in _by_sample(title, table)
            for kind in part["negatives"].unique()
        ]
    if {"sample", "predictor", "stratum", "f1", "auroc", "auroc_within", "auprc"} <= columns:
        return [locus_areas(name, part, notes) for name, part in _by_sample(title, table)]
    if {"predictor", "distance_bin", "average_precision"} <= columns:
        return [_precision(title, table, notes)]
    return [_plain(title, table)]


def _by_sample(title: str, table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    names = table["sample"].unique()
    return [(title if len(names) == 1 else f"{title}: {name}", table[table["sample"] == name]) for name in names]


def _agreement(title: str, table: pd.DataFrame, notes: Sequence[str], what: str) -> Evaluation:
    pooled = table[table["fold"] == _POOLED]
    folds = table[table["fold"] != _POOLED]
    reference = str(pooled["reference"].iloc[0]) if "reference" in pooled else ""
    scale, place = axis("Pearson's r", table, "pearson", pooled.loc[pooled["predictor"] == reference, "pearson"])
    rows = []
    for _, row in pooled.iterrows():
        name = str(row["predictor"])
        cells = (
            with_interval(row, "pearson"),
            decimal(row.get("spearman", np.nan)),
            decimal(row.get("r2", np.nan)),
            decimal(row.get("slope", np.nan), 2),
            "reference" if name == reference else with_interval(row, "delta", signed=True),
        )
        of_folds = folds.loc[folds["predictor"] == name, "pearson"]
        mark = dot(row, "pearson", place, of_folds if len(of_folds) > 1 else of_folds[:0])
        rows.append(Score(called(name), _MODELS.get(name, "baseline"), cells, mark))
    n_folds = folds["fold"].nunique()
    about = (
        f"{table['sample'].iloc[0]}: {count(pooled['n'].max())} {what} on test chromosomes, "
        f"{n_folds} {'fold' if n_folds == 1 else 'folds'}. Every baseline is fitted on the chromosomes that a fold "
        "does not test."
    )
    columns = ("Pearson's r", "Spearman's ρ", "R²", "slope", "r − best baseline")
    return Evaluation(title, about, columns, tuple(rows), scale, (*_warnings(pooled, folds), *notes))


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
    scale, place = axis("average precision", whole, "average_precision", best, interval=("low", "high"))
    rows = []
    for _, row in whole.iterrows():
        name = str(row["predictor"])
        of_bins = table[table["predictor"] == name].set_index("distance_bin")["average_precision"]
        cells = (
            with_interval(row, "average_precision", low="low", high="high"),
            decimal(row.get("precision_at_70_recall", np.nan)),
            *(decimal(of_bins.get(one, np.nan)) for one in bins),
            with_interval(row, "delta", signed=True),
            count(row.get("n_missing", 0)),
        )
        kind = "baseline" if name in ("distance", "nearest_gene") else "model"
        rows.append(Score(called(name), kind, cells, dot(row, "average_precision", place, None, ("low", "high"))))
    first = whole.iloc[0]
    about = (
        f"{count(first['n'])} tested pairs of {count(first['n_genes'])} genes, {count(first['n_positive'])} of them "
        f"links: a predictor that knows nothing reaches {decimal(first['prevalence'])}."
    )
    columns = (
        "average precision", "precision at 70 % recall", *bins, "− distance", "pairs without a score",
    )  # fmt: skip
    return Evaluation(title, about, columns, tuple(rows), scale, tuple(notes))


def _plain(title: str, table: pd.DataFrame) -> Evaluation:
    shown = table.head(_MOST_ROWS)
    names = [str(column) for column in shown.columns]
    rows = tuple(
        Score(_cell(row[0]), "baseline", tuple(_cell(value) for value in row[1:]), None)
        for row in shown.itertuples(index=False, name=None)
    )
    left_out = f" The first {_MOST_ROWS} of {count(len(table))} rows." if len(table) > len(shown) else ""
    return Evaluation(title, f"As it was handed over.{left_out}", tuple(names[1:]), rows)


def _cell(value: Any) -> str:
    return decimal(float(value)) if isinstance(value, float | np.floating) else str(value)
