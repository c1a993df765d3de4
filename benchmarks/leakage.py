"""What splits of published pairs let through, and what coordinates alone score, beside the reference.

Needs EREGTOOLS_SHARED, the folder of real data files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

import eregtools as er
from benchmarks._timing import report, verdict

CELLS = ("GM12878", "HUVEC", "HeLa-S3", "IMR90", "K562", "NHEK")

TOUCHING = (0.7904, 0.5683, 0.7735, 0.7896, 0.7101, 0.8135)
"""Figure 5 of Liu, Zhu and Zhang 2026, to two more digits."""

AT_RANDOM = {
    "same_promoter": (0.978, 0.957, 0.967, 0.975, 0.975, 0.975),
    "same_enhancer": (0.413, 0.452, 0.380, 0.255, 0.455, 0.206),
    "overlapping_enhancer": (0.687, 0.616, 0.632, 0.532, 0.673, 0.505),
    "overlapping_enhancer_positive": (0.868, 0.718, 0.842, 0.826, 0.832, 0.830),
    "copied_positive": (0.752, 0.548, 0.747, 0.755, 0.671, 0.781),
    "copied_negative": (0.001, 0.000, 0.000, 0.001, 0.000, 0.000),
    "memoriser_auroc": (0.930, 0.914, 0.956, 0.927, 0.932, 0.964),
    "memoriser_auprc": (0.791, 0.686, 0.825, 0.782, 0.768, 0.850),
}
"""Measured before by another programme, one draw of eight folds."""

BASELINES = {
    "distance": ((0.568, 0.592, 0.567, 0.616, 0.552, 0.623), (0.119, 0.128, 0.128, 0.167, 0.125, 0.154)),
    "distance_lengths": ((0.645, 0.625, 0.569, 0.620, 0.558, 0.604), (0.190, 0.174, 0.120, 0.160, 0.110, 0.134)),
    "between": ((0.680, 0.683, 0.645, 0.671, 0.609, 0.668), (0.220, 0.225, 0.153, 0.197, 0.135, 0.163)),
}
"""AUROC, and average precision at ten negative pairs for each positive one, as means of the eight chromosome folds."""

CLOSE = {"touching_enhancers": 0.0005, "memoriser_auroc": 0.006, "distance": 0.01, "distance_lengths": 0.01}
"""How near the reference must be met, where it is."""


def run(*cells: str) -> dict[str, Any]:
    folder = Path(os.environ["EREGTOOLS_SHARED"], "data", "epi_targetfinder")
    rows = []
    for cell in cells or CELLS:
        mdata = er.pp.pairs(folder / f"{cell}.csv.gz", genome=None)
        er.pp.split(mdata, "epipam8")
        rows += _leakage(mdata, cell, CELLS.index(cell)) + _baselines(mdata, cell, CELLS.index(cell))
    return report("leakage", rows)


def _leakage(mdata: Any, cell: str, number: int) -> list[dict[str, Any]]:
    at_random = er.tl.leakage(mdata, "random").iloc[-1]
    by_chromosome = er.tl.leakage(mdata).iloc[-1]
    rows = [_row(cell, "touching_enhancers", by_chromosome, "no split", TOUCHING[number])]
    rows += [_row(cell, name, at_random, "random", values[number]) for name, values in AT_RANDOM.items()]
    exact = {name: 0.0 for name in AT_RANDOM if not name.startswith("memoriser")} | {"memoriser_auroc": 0.5}
    rows += [_row(cell, name, by_chromosome, "chromosomes", value, 0) for name, value in exact.items()]
    for split, table in (("random", at_random), ("chromosomes", by_chromosome)):
        rows.append(_row(cell, "membership_auroc", table, split, 1.0, 0))
    return rows


def _baselines(mdata: Any, cell: str, number: int) -> list[dict[str, Any]]:
    er.pp.matched_pairs(mdata, method="repaired")
    table = er.tl.evaluate_interactions(mdata, ratio=10, n_bootstrap=0)
    rows = []
    for kind in table["negatives"].unique():
        mean = table[(table["negatives"] == kind) & (table["fold"] == "mean")].set_index("predictor")
        for name, areas in BASELINES.items():
            for area, values in zip(("auroc", "auprc"), areas, strict=True):
                given = kind == "table"
                reference = values[number] if given else None
                close = CLOSE.get(name) if given and area == "auroc" else None
                what = f"{name}, {area}"
                rows.append(
                    _row(cell, what, mean.loc[name].rename({area: what}), f"{kind} negatives", reference, close)
                )
    return rows


def _row(
    cell: str, what: str, found: pd.Series, split: str, reference: float | None, close: float | None = None
) -> dict[str, Any]:
    value = float(found[what])
    row: dict[str, Any] = {"cell": cell, "split": split, "what": what, "found": round(value, 4), "reference": reference}
    close = CLOSE.get(what) if close is None else close
    row[""] = verdict(close, abs(value - reference)) if close is not None and reference is not None else ""
    return row
