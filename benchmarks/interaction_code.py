"""A simulated interaction code: what EPIPAM learns of it, what single elements tell, and where its attention peaks.

Pairs interact whose motifs belong together. They are judged against pairs of the same elements, re-paired: every
element is in a pair of either kind, so that no score of single elements can tell. Negatives in which one element has no
motif help to train. Trained on six chromosomes, the epoch chosen on a seventh, judged on the eighth.
``python -m benchmarks interaction_code 1`` takes another seed.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

import eregtools as er
from benchmarks._timing import report, verdict
from eregtools.models import EPIPAM, EPIPAMConfig

CONFIG = er.datasets.InteractionConfig(n_chromosomes=8, pairs_per_chromosome=400, instances=3)
WINDOW = 600
ARCHITECTURE = EPIPAMConfig.preset(
    "1000x1000", enhancer_length=WINDOW, promoter_length=WINDOW, dropout=0.0, head_dropout=0.1
)
TEST = "chr8"
COPIES, JITTER, EPOCHS = 2, 20, 16
REQUIRED = 0.9
MOTIF = 10


def run(seed: str = "0") -> dict[str, Any]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        simulation = er.datasets.simulate_interactions(Path(folder) / "files", seed=int(seed), config=CONFIG)
        genome = er.Genome(simulation.genome, name="coded")
        mdata = er.pp.pairs(
            simulation.pairs, genome=genome, sample="simulated", enhancer_width=WINDOW, promoter_width=WINDOW
        )
        er.pp.split(mdata, {0: {"valid": ["chr7"], "test": [TEST]}})
        start = time.process_time()
        model = er.tl.train_interactions(
            mdata,
            fold=0,
            genome=genome,
            config=ARCHITECTURE,
            ratio=None,
            copies=COPIES,
            jitter=JITTER,
            max_epochs=EPOCHS,
            rng=int(seed),
        )
        minutes = (time.process_time() - start) / 60
        rows, peaks = _judged(mdata, model, genome, simulation.motifs)
    training = model.provenance["training"]
    return report(
        "interaction_code",
        [*rows, *peaks],
        seed=int(seed),
        threads=1,
        training_cpu_minutes=round(minutes, 1),
        best_epoch=training["best_epoch"],
        val_auroc=[round(value, 3) for value in training["history"]["val_auroc"]],
    )


def _judged(
    mdata: Any, model: EPIPAM, genome: er.Genome, motifs: pd.DataFrame
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Areas under the ROC curve on the test chromosome, and where attention peaks in its pairs."""
    links = mdata["links"].var
    test = links["gene"].astype(str).str.contains(f":{TEST}:").to_numpy()
    pairs = links[test & (links["origin"] != "blank").to_numpy()]
    label = pairs["label"].to_numpy()
    codes = [_codes(mdata[modality].var.loc[pairs[column]], genome) for modality, column in _SIDES.items()]
    with torch.no_grad():
        parts = [model(e, p, with_attention=True) for e, p in zip(*(c.split(100) for c in codes), strict=True)]
        logit = torch.cat([part.logit for part in parts]).numpy()
        auxiliary = torch.cat([part.auxiliary_logit for part in parts]).numpy()  # type: ignore[misc]
    scored = pairs.assign(logit=logit)
    single = {
        f"mean logit of each {side}": scored.groupby(side, observed=True)["logit"].transform("mean")
        for side in _SIDES.values()
    }
    scores = {"EPIPAM": logit, "auxiliary head": auxiliary, **single}
    rows = [{"score": name, "AUROC": float(roc_auc_score(label, np.round(score, 5)))} for name, score in scores.items()]
    rows[0] |= {"asked": REQUIRED, "": verdict(rows[0]["AUROC"], REQUIRED)}
    return rows, [row for stage in range(3) for row in _peaks(mdata, model, parts, pairs, motifs, stage)]


_SIDES = {"enhancers": "enhancer", "genes": "gene"}


def _codes(windows: pd.DataFrame, genome: er.Genome) -> torch.Tensor:
    codes = genome.codes(windows["Chromosome"].astype(str).tolist(), windows["window_start"].to_numpy(), WINDOW)
    return torch.from_numpy(codes)


def _peaks(
    mdata: Any, model: EPIPAM, parts: list[Any], pairs: pd.DataFrame, motifs: pd.DataFrame, stage: int
) -> list[dict[str, Any]]:
    """How often the strongest relation and the largest weight of interacting pairs lie on the planted motifs."""
    stride, field = model.config.strides[stage], model.config.receptive_fields[stage]
    relation = torch.cat([part.attention[stage].relation for part in parts]).numpy()
    m = relation.shape[2]
    flat = relation.reshape(len(relation), -1).argmax(axis=1)
    strongest = {"enhancer": flat // m, "gene": flat % m}
    place = motifs.groupby("element")["Start"].agg(list)
    interacting = pairs["label"].to_numpy() == 1
    rows = []
    for modality, side in _SIDES.items():
        name = {"enhancer": "enhancer", "gene": "promoter"}[side]
        weight = torch.cat([getattr(part.attention[stage], name) for part in parts]).numpy()
        window = mdata[modality].var.loc[pairs[side], "window_start"].to_numpy()
        first = np.array(place.loc[pairs[side]].tolist()) - window[:, None]
        begin = stride * np.arange(weight.shape[1])[:, None]
        whole = (begin <= first[:, None]) & (begin + field >= first[:, None] + MOTIF)
        holds = whole.any(axis=2)
        every = np.arange(len(pairs))
        rows.append(
            {
                "score": f"stage {stage + 1}, {name}",
                "strongest relation on motif": float(holds[every, strongest[side]][interacting].mean()),
                "largest weight on motif": float(holds[every, weight.argmax(axis=1)][interacting].mean()),
                "by chance": float(holds.mean()),
                "largest weight × bins": float((weight.max(axis=1) * weight.shape[1])[interacting].mean()),
            }
        )
    return rows
