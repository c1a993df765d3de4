"""EPIPAM on 566 real pairs with their sequence, by chromosome, beside what coordinates tell: too few to rank.

Pairs of the six TargetFinder biosamples together, of which 189 interact. Folds of the paper, their validation
chromosomes held out; pooled over the folds that test pairs of both kinds. Needs EREGTOOLS_SHARED.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import eregtools as er
from benchmarks._timing import report

TESTS = Path(__file__).parents[1] / "tests"
COPIES, JITTER, EPOCHS, RATIO = 4, 100, 6, 2


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    shared = os.environ.get("EREGTOOLS_SHARED")
    if not shared:
        raise SystemExit("real_pairs needs EREGTOOLS_SHARED, the folder that holds data/fixtures")
    sys.path.insert(0, str(TESTS))
    from real_pairs import pairs_with_sequence  # type: ignore[import-not-found]

    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        table, genome = pairs_with_sequence(Path(shared), Path(folder))
        mdata = er.pp.pairs(table, genome=genome, sample="several")
        er.pp.split(mdata, "epipam8")
        models = {}
        for fold in range(8):
            try:
                models[fold] = er.tl.train_interactions(
                    mdata, fold=fold, genome=genome, ratio=None, copies=COPIES, jitter=JITTER, max_epochs=EPOCHS, rng=0
                )
            except ValueError as error:
                print(f"fold {fold} is left out: {error}")
        er.tl.predict_interactions(mdata, models, genome=genome)
        er.tl.predict_interactions(mdata, models, genome=genome, shuffle=True)
        scores = ["interaction", "interaction_shuffled_pred"]
        scored = er.tl.evaluate_interactions(mdata, scores, ratio=RATIO)
        er.pp.matched_pairs(mdata, method="repaired")
        er.tl.predict_interactions(mdata, models, genome=genome)
        er.tl.predict_interactions(mdata, models, genome=genome, shuffle=True)
        repaired = er.tl.evaluate_interactions(mdata, scores, ratio=RATIO, negatives="repaired")
    rows = [
        {
            "negatives": row.negatives,
            "score": row.predictor,
            "n": row.n,
            "positive": row.n_positive,
            "AUROC": float(row.auroc),
            "95 %": f"{row.auroc_low:.2f}–{row.auroc_high:.2f}",
            "AUPRC": float(row.auprc),
            "within chromosomes": float(row.auroc_within),
            "its 95 %": f"{row.auroc_within_low:.2f}–{row.auroc_within_high:.2f}",
        }
        for table in (scored, repaired)
        for row in table[table["fold"] == "pooled"].itertuples()
    ]
    minutes = round((time.process_time() - start) / 60, 1)
    best = {fold: model.provenance["training"]["best_epoch"] for fold, model in models.items()}
    return report("real_pairs", rows, ratio=RATIO, best_epoch=best, cpu_minutes=minutes, threads=1)
