"""Areas under the curves of labelled pairs and of loci, beside those of their baselines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
import pandas as pd

from eregtools.report._evaluations import Evaluation, Score, axis, called, dot, with_interval
from eregtools.report._words import count, decimal
from eregtools.tl import _erna_baselines, _pair_baselines

_POOLED, _ALL, _REPAIRED = "pooled", "all", "repaired"
_AREA = "auroc"
_NAME = "AUROC"
_WITHIN = "within chromosomes"

_BASELINES: Final = {
    "fantom": "rules of FANTOM5",
    "balance": "balance of strands",
    "logistic": "GC, reads, directionality",
}
"""Baselines of loci in words."""


def interaction_areas(title: str, table: pd.DataFrame, notes: Sequence[str] = ()) -> Evaluation:
    """Scores of labelled pairs against negatives of one kind, as :func:`eregtools.tl.evaluate_interactions` tells."""
    pooled = table[table["fold"] == _POOLED]
    folds = table[~table["fold"].isin([_POOLED, "mean"])]
    scale, place = axis(_NAME, pooled, _AREA, _best_baseline(pooled))
    rows = []
    for _, row in pooled.iterrows():
        name = str(row["predictor"])
        of_folds = folds.loc[folds["predictor"] == name, _AREA]
        cells = (
            with_interval(row, "auroc"),
            decimal(float(row["auroc_within"])),
            with_interval(row, "auprc"),
            "reference" if name == row["reference"] else with_interval(row, "delta_auroc", signed=True),
        )
        mark = dot(row, _AREA, place, of_folds if len(of_folds) > 1 else of_folds[:0])
        rows.append(Score(called(name), _kind(name, _pair_baselines.METHODS), cells, mark))
    first = pooled.iloc[0]
    ratio = float(first["ratio"])
    about = (
        f"{first['sample']}: {count(first['n'])} pairs on test chromosomes, {count(first['n_positive'])} of them "
        f"interact; weighted to {ratio:g} negative pairs for each positive one. A predictor that knows nothing has an "
        f"AUROC of 0.5 and an AUPRC of {decimal(1 / (1 + ratio))}."
    )
    told = [*_leakage(pooled), *notes]
    if (table["negatives"] != _REPAIRED).all():
        told.append(
            "Negative pairs of this kind differ from the positive ones by their elements: only re-paired ones "
            "(er.pp.matched_pairs) say whether pairs are told."
        )
    columns = ("AUROC", _WITHIN, "AUPRC", "AUROC − best baseline")
    return Evaluation(title, about, columns, tuple(rows), scale, tuple(told))


def locus_areas(title: str, table: pd.DataFrame, notes: Sequence[str] = ()) -> Evaluation:
    """Scores of loci against all negatives and each stratum, as :func:`eregtools.tl.evaluate_ernas` tells."""
    whole = table[table["stratum"] == _ALL]
    strata = [str(name) for name in table["stratum"].unique() if name != _ALL]
    scale, place = axis(_NAME, whole, _AREA, _best_baseline(whole))
    rows = []
    for _, row in whole.iterrows():
        name = str(row["predictor"])
        of_strata = table[table["predictor"] == name].set_index("stratum")[_AREA]
        cells = (
            with_interval(row, "auroc"),
            decimal(float(row["auroc_within"])),
            *(decimal(float(of_strata.get(one, np.nan))) for one in strata),
            with_interval(row, "auprc"),
            decimal(float(row.get("f1", np.nan))),
            decimal(float(row.get("ece", np.nan))),
            "reference" if name == row["reference"] else with_interval(row, "delta_auroc", signed=True),
        )
        words = _BASELINES.get(name, called(name))
        rows.append(Score(words, _kind(name, _erna_baselines.METHODS), cells, dot(row, _AREA, place, None)))
    first = whole.iloc[0]
    about = (
        f"{first['sample']}: {count(first['n'])} loci, {count(first['n_positive'])} of them known enhancer RNAs. "
        "A pooled area against empty windows says little: look at the strata of the negatives."
    )
    columns = (
        "AUROC", _WITHIN, *(f"against {name}" for name in strata), "AUPRC", "F1 at its threshold", "calibration error",
        "AUROC − best baseline",
    )  # fmt: skip
    return Evaluation(title, about, columns, tuple(rows), scale, (*_leakage(whole), *notes))


def _best_baseline(table: pd.DataFrame) -> pd.Series:
    return table.loc[table["predictor"] == table["reference"], _AREA]


def _kind(name: str, baselines: Collection[str]) -> str:
    return "baseline" if name in baselines else "model"


def _leakage(table: pd.DataFrame) -> list[str]:
    """Warn of scores of weights that saw what they predict, or may have."""
    seen = {str(name): str(leakage) for name, leakage in zip(table["predictor"], table["leakage"], strict=True)}
    found = []
    if names := [name for name, leakage in seen.items() if leakage == "yes"]:
        found.append(
            f"The weights behind {', '.join(names)} saw what they predict: their scores are not those of new data."
        )
    if names := [name for name, leakage in seen.items() if leakage == "unknown"]:
        found.append(f"It is not known on which chromosomes the weights behind {', '.join(names)} were trained.")
    return found
