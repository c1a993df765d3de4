"""Real K562 RNA, 18,377 genes, 12 folds: what attention over features alone reaches, beside trees; no genome needed.

Needs EREGTOOLS_SHARED. Test chromosomes choose nothing; validation chromosomes choose the epoch.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import eregtools as er
from benchmarks._timing import report
from eregtools._keys import MRNA_FEATURES

TRACKS = ["DNase", "H3K27ac_rep1", "H3K27ac_rep2", "H3K27ac_rep3"]
NEIGHBOURS = ["upstream_activity", "downstream_activity", "upstream_distance", "downstream_distance"]
WITHIN = 0.002
REQUIRED, AIM, MINUTES = 0.881, 0.890, 45
TRAININGS = 4


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    shared = os.environ.get("EREGTOOLS_SHARED")
    if not shared:
        raise SystemExit("k562_rna needs EREGTOOLS_SHARED, the folder that holds data/epinformer")
    mdata = er.datasets.k562(Path(shared) / "data", require_sequence=False)
    er.pp.neighbour_activity(mdata)
    rows = [
        _baseline(mdata, "trees: promoter activity + half-life", ["promoter_activity"], 0.8714),
        _baseline(mdata, "trees: DNase and H3K27ac counts + half-life", TRACKS, 0.8809),
        _baseline(
            mdata, "trees: counts, activity and neighbours + half-life", [*TRACKS, "promoter_activity", *NEIGHBOURS]
        ),
    ]
    predictions = []
    start = time.process_time()
    for seed in range(TRAININGS):
        with tempfile.TemporaryDirectory() as folder:
            er.tl.cross_validate(
                mdata,
                assay="RNA",
                folder=Path(folder) / "models",
                variant="PE-Activity",
                use_sequence=False,
                tracks=TRACKS,
                gene_tracks=NEIGHBOURS,
                device="cpu",
                rng=seed,
            )
        predictions.append(mdata["genes"].layers["RNA_pred"].copy())
        if seed == 0:
            rows.append(_judged(mdata, "attention without sequence", "RNA_pred", (time.process_time() - start) / 60))
    mdata["genes"].layers["RNA_mean"] = np.mean(predictions, axis=0)
    minutes = (time.process_time() - start) / 60
    rows.append(_judged(mdata, f"the same, mean of {TRAININGS} trainings", "RNA_mean", minutes))
    table = er.tl.evaluate_expression(mdata, assay="RNA", key="RNA_mean", n_bootstrap=0)
    table = table[(table["predictor"] == "model") & (table["fold"] != "pooled")]
    per_fold = {str(fold): round(float(r), 4) for fold, r in zip(table["fold"], table["pearson"], strict=True)}
    return report("k562_rna", rows, genes=mdata["genes"].n_vars, threads=1, per_fold=per_fold, limit_minutes=MINUTES)


def _judged(mdata: Any, name: str, key: str, minutes: float) -> dict[str, Any]:
    table = er.tl.evaluate_expression(mdata, assay="RNA", key=key)
    table = table[table["predictor"] == "model"].set_index("fold")
    pooled = table.loc["pooled"]
    return {
        "predictor": name,
        "pooled r": float(pooled["pearson"]),
        "interval": f"{pooled['pearson_low']:.3f}–{pooled['pearson_high']:.3f}",
        "mean of folds": float(table["pearson"].drop("pooled").mean()),
        "asked": f"≥ {REQUIRED}, aim {AIM}",
        "": "held" if pooled["pearson"] >= REQUIRED else "not held",
        "CPU-min": minutes,
    }


def _baseline(mdata: Any, name: str, layers: list[str], expected: float | None = None) -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    genes = mdata["genes"]
    observed = genes.layers["RNA"][0]
    features = np.column_stack(
        [genes.varm["mrna_features"][list(MRNA_FEATURES)], *(genes.layers[k][0] for k in layers)]
    )
    fold = genes.var["fold"].to_numpy()
    predicted = np.empty(len(observed))
    for number in np.unique(fold):
        held_out = fold == number
        trees = HistGradientBoostingRegressor(random_state=0).fit(features[~held_out], observed[~held_out])
        predicted[held_out] = trees.predict(features[held_out])
    r = float(np.corrcoef(predicted, observed)[0, 1])
    each = [np.corrcoef(predicted[fold == k], observed[fold == k])[0, 1] for k in np.unique(fold)]
    row = {"predictor": name, "pooled r": r, "interval": "", "mean of folds": float(np.mean(each)), "asked": "", "": ""}
    if expected is not None:
        row |= {"asked": f"{expected} ± {WITHIN}", "": "held" if abs(r - expected) <= WITHIN else "not held"}
    return row | {"CPU-min": ""}
