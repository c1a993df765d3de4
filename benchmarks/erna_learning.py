"""What ERNAformer learns from simulated loci, beside the exact best score and each modality alone.

``python -m benchmarks erna_learning --task small|align|align-long|align-far|confounders [--seeds 1]``. Test loci are
drawn apart from those that are trained on and choose nothing. Task small is align in under two minutes. In align-long
the far end of the RNA reaches the grammar, 320 bp away, so that convolutions alone see some of the relation; in
align-far the two are 480 bp apart and RNA decays over 80 bp.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor

import eregtools as er
from benchmarks._timing import report, verdict
from eregtools.batches.loci import LocusBatch
from eregtools.models import ERNAformer, ERNAformerConfig
from eregtools.models.ernaformer import ERNAformerOutput
from eregtools.models.locus_inference import LocusPredictor

SETTINGS: dict[str, dict[str, Any]] = {
    "small": {"task": "align", "n": 4_800, "max_epochs": 2, "learning_rate": 1e-3, "batch_size": 64},
    "align": {"task": "align", "n": 16_000, "max_epochs": 2, "learning_rate": 1e-3, "batch_size": 64},
    "align-long": {"task": "align-long", "n": 12_000, "max_epochs": 3, "learning_rate": 1e-3, "batch_size": 64},
    "align-far": {"task": "align-long", "n": 16_000, "max_epochs": 3, "learning_rate": 1e-3, "batch_size": 64},
    "confounders": {"task": "confounders", "n": 10_000, "max_epochs": 3, "learning_rate": 1e-3, "batch_size": 64},
}
REQUIRED = {"small": 0.90, "align": 0.985, "align-long": 0.97, "align-far": 0.97, "confounders": 0.95}
CHANGES: dict[str, dict[str, Any]] = {"align-far": {"decay": 80.0, "distance": 480}}
N_TEST, TEST_SEED = 600, 10_000


def run(*arguments: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="benchmarks erna_learning")
    parser.add_argument("--task", choices=list(SETTINGS), default="small")
    parser.add_argument("--seeds", type=int, default=1, help="trainings, of which the median counts")
    parser.add_argument("--first", type=int, default=0, help="seed of the first training")
    chosen = parser.parse_args(arguments)
    return learn(chosen.task, range(chosen.first, chosen.first + chosen.seeds))


def learn(name: str, seeds: range) -> dict[str, Any]:
    test = drawn(name, N_TEST, TEST_SEED)
    exact = test.bayes()
    rows = [row(f"exact, {modality}", test.labels, exact[modality]) for modality in exact]
    results, facts = [], {}
    for seed in seeds:
        model, seconds = trained(name, seed)
        scores = logits(model, test)
        results.append(roc_auc_score(test.labels, scores))
        rows.append(row(f"ERNAformer, seed {seed}", test.labels, scores) | {"CPU-s": seconds})
        facts[f"curve {seed}"] = [round(v, 4) for v in model.provenance["training"]["history"]["val_auroc"]]
        for modality in ("sequence", "signal"):
            rows.append(row(f"  {modality} alone", test.labels, logits(model, test, modalities=modality)))
    median = statistics.median(results)
    rows.append({"score": f"median of {len(results)}", "AUROC": median, "": verdict(median, REQUIRED[name])})
    facts |= {"required": REQUIRED[name], **calibration(model, drawn(name, 400, TEST_SEED + 99), test)}
    if SETTINGS[name]["task"] == "align-long":
        without = []
        for seed in seeds:
            flat, seconds = trained(name, seed, n_layers=0)
            rows.append(row(f"without encoder, seed {seed}", test.labels, logits(flat, test)) | {"CPU-s": seconds})
            without.append(rows[-1]["AUROC"])
        gained = median - statistics.median(without)
        found = f"{verdict(gained, 0.03)}: encoder gains {gained:.4f}, asked 0.03"
        rows.append({"score": f"without, median of {len(without)}", "AUROC": statistics.median(without), "": found})
    elif name == "confounders":
        rows += strata(test, exact, logits(model, test))
        best = max(roc_auc_score(test.labels, exact[one]) for one in ("sequence", "coverage"))
        facts["above best modality alone"] = median - best
    else:
        rows += canaries(model, test)
    return report(f"erna_learning_{name}", rows, threads=1, test_loci=len(test.labels), **facts)


def drawn(name: str, n: int, seed: int) -> er.datasets.ErnaSimulation:
    return er.datasets.simulate_erna(SETTINGS[name]["task"], n=n, seed=seed, **CHANGES.get(name, {}))


def trained(name: str, seed: int, n_layers: int = 2) -> tuple[ERNAformer, float]:
    how = dict(SETTINGS[name])
    start = time.process_time()
    how.pop("task")
    simulation = drawn(name, how.pop("n"), seed)
    config = ERNAformerConfig.preset("small", seq_len=1024, n_layers=n_layers)
    valid = drawn(name, 400, TEST_SEED + 1 + seed)
    model = er.tl.train_ernas(simulation, valid=valid, config=config, device="cpu", rng=seed, **how)
    return model, time.process_time() - start


def logits(model: ERNAformer, simulation: er.datasets.ErnaSimulation, **how: Any) -> np.ndarray:
    windows = simulation.windows()
    return LocusPredictor(model, torch.device("cpu"), **how)(windows.batch(np.arange(len(windows)))).window


def row(score: str, label: np.ndarray, values: Any) -> dict[str, Any]:
    return {
        "score": score,
        "AUROC": float(roc_auc_score(label, values)),
        "AUPRC": float(average_precision_score(label, values)),
    }


def calibration(
    model: ERNAformer, others: er.datasets.ErnaSimulation, test: er.datasets.ErnaSimulation
) -> dict[str, float]:
    """Log loss on the test loci before and after the temperature of other loci is applied."""
    calibrated = er.tl.calibrate_ernas(others, model, device="cpu")
    losses = {}
    for when, one in (("before", model), ("after", calibrated)):
        p = er.tl.predict_ernas(test, one, device="cpu").clip(1e-12, 1 - 1e-12)
        losses[f"log loss {when}"] = float(-np.where(test.labels == 1, np.log(p), np.log1p(-p)).mean())
    return losses | {"temperature": calibrated.provenance["calibration"]["temperature"]}


def strata(simulation: er.datasets.ErnaSimulation, exact: Any, scores: np.ndarray) -> list[dict[str, Any]]:
    """Positives against each kind of negatives."""
    rows = []
    for name, required in (("silent", 0.9), ("misalign", None), ("swap", 0.98), ("poised", None), ("uni", None)):
        chosen = np.isin(simulation.strata, ("positive", name))
        label = simulation.labels[chosen]
        one = row(f"  {name} (exact {roc_auc_score(label, exact['fused'][chosen]):.3f})", label, scores[chosen])
        rows.append(one if required is None else one | {"": verdict(one["AUROC"], required)})
    return rows


def canaries(model: ERNAformer, simulation: er.datasets.ErnaSimulation) -> list[dict[str, Any]]:
    """Score the forward strand of inputs that are made wrong; each slip must show."""
    windows = simulation.windows()
    batch = windows.batch(np.arange(len(windows)))
    predictor = LocusPredictor(model, torch.device("cpu"), both_strands=False)
    changed = {
        "forward strand as it is": batch,
        "reverse complement": batch.turned(np.ones(len(batch), dtype=bool)),
        "(i) reverse complement, strands not exchanged": exchanged(batch.turned(np.ones(len(batch), dtype=bool))),
        "(ii) reversed, not complemented": replace(
            batch,
            codes=batch.codes[:, ::-1],
            coverage=batch.coverage[:, :, ::-1],
            local_mean=batch.local_mean[..., ::-1],
        ),
        "(iv) signal moved by 64 bp": moved(batch, 8),
        "(iv) signal moved by 128 bp": moved(batch, 16),
        "(v) plus and minus exchanged": exchanged(batch),
        "strands not known": replace(batch, stranded=np.zeros(len(batch), dtype=bool)),
    }
    rows = [row(name, simulation.labels, predictor(one).window) for name, one in changed.items()]
    name = "(iii) logit by place in the batch, C.Origami's positions"
    right, wrong = (slot_difference(one, batch) for one in (model, with_batch_positions(model)))
    return [*rows, {"score": name, "AUROC": wrong, "": f"largest difference; with ours {right:.1e}"}]


def exchanged(batch: LocusBatch) -> LocusBatch:
    return replace(batch, coverage=batch.coverage[:, ::-1], local_mean=batch.local_mean[:, ::-1])


def moved(batch: LocusBatch, bins: int) -> LocusBatch:
    return replace(
        batch, coverage=np.roll(batch.coverage, bins, axis=-1), local_mean=np.roll(batch.local_mean, bins, axis=-1)
    )


def with_batch_positions(model: ERNAformer) -> ERNAformer:
    """C.Origami's slip: codes of positions that count rows of the batch, not tokens, are added to all tokens."""
    wrong = copy.deepcopy(model)

    def read(tokens: Tensor) -> ERNAformerOutput:
        rate = 10_000.0 ** (-torch.arange(0, tokens.shape[-1], 2) / tokens.shape[-1])
        angle = torch.arange(len(tokens))[:, None] * rate
        return model.read(tokens + torch.cat([angle.sin(), angle.cos()], dim=1)[:, None])

    wrong.read = read  # type: ignore[method-assign]
    return wrong


def slot_difference(model: ERNAformer, batch: LocusBatch) -> float:
    """Largest change of a logit when the loci of a batch stand in another order."""
    predictor = LocusPredictor(model, torch.device("cpu"), both_strands=False)
    some = batch.take(np.arange(64))
    order = np.random.default_rng(0).permutation(64)
    return float(np.abs(predictor(some).window[order] - predictor(some.take(order)).window).max())
