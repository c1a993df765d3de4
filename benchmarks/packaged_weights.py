"""Train the small models that come with the package, on simulated data, and judge each on data of another seed.

``python -m benchmarks packaged_weights FOLDER`` writes the weights, too, one folder each; ``… FOLDER EPIPAM`` trains
one of them. They show that the machinery works and say nothing of a genome: no real sequence or signal has been seen.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

import eregtools as er
from benchmarks._timing import report
from eregtools.batches.loci import LocusAugmentation
from eregtools.demo import trained_on_simulation
from eregtools.models import EPIPAMConfig

Trained = tuple[dict[str, Any], list[dict[str, Any]]]

SEED, OTHER_SEED = 11, 0

_GENES = 4_000

_PAIRS = er.datasets.InteractionConfig(n_chromosomes=8, pairs_per_chromosome=400, instances=3)
_WINDOW = 600

_LOCI, _TEST_LOCI = 12_000, 1_000
_AUGMENTATION = LocusAugmentation(
    reverse_complement=True,
    jitter=0,
    thinning=4.0,
    strand_dropout=0.3,
    modality_dropout=0.1,
    gain=0.1,
    off_register=0.1,
    least_shift=256,
)


def run(folder: str | None = None, only: str = "") -> dict[str, Any]:
    torch.set_num_threads(1)
    start = time.process_time()
    rows: list[dict[str, Any]] = []
    for name, train in _TRAININGS.items():
        if only not in ("", name):
            continue
        models, scores = train()
        rows += scores
        for packaged, model in models.items() if folder is not None else ():
            model.save(Path(folder) / packaged)
    minutes = (time.process_time() - start) / 60
    return report("packaged_weights", rows, cpu_minutes=round(minutes, 1), threads=1)


def _packaged(name: str, model: Any) -> Any:
    """Forget the chromosomes, which are those of another genome: as names they would be mistaken for the user's."""
    for key in ("fold", "fold_scheme", "valid_chromosomes", "test_chromosomes"):
        model.provenance.pop(key, None)
    model.provenance |= {"name": name, "simulated": True}
    return model


def _expression() -> Trained:
    with tempfile.TemporaryDirectory() as folder:
        mdata = er.datasets.demo(n_genes=_GENES, seed=SEED)
        encoder, model = trained_on_simulation(mdata, Path(folder) / "model", seed=SEED, n_layers=2, max_epochs=30)
    models = {
        name: _packaged(name, one)
        for name, one in (("EPInformer-small-simulated", model), ("EPInformer-seq-small-simulated", encoder))
    }
    mdata = er.datasets.demo(seed=OTHER_SEED)
    er.tl.predict_expression(mdata, model, assay="RNA")
    er.tl.predict_activity(mdata, encoder)
    genes, enhancers = mdata["genes"].layers, mdata["enhancers"].layers
    seen = {
        ("EPInformer", "r with expression"): _r(genes["RNA"], genes["RNA_pred"]),
        ("promoter activity alone", "r with expression"): _r(genes["RNA"], np.log1p(genes["promoter_activity"])),
        ("EPInformer-seq", "r with activity"): _r(np.log2(0.1 + enhancers["activity"]), enhancers["activity_pred"]),
    }
    return models, [{"model": model, "score": score, "seen": value} for (model, score), value in seen.items()]


def _r(a: Any, b: Any) -> float:
    both = np.isfinite(a[0]) & np.isfinite(b[0])
    return float(np.corrcoef(a[0][both], b[0][both])[0, 1])


def _coded_pairs(folder: str, seed: int) -> tuple[Any, er.Genome]:
    simulation = er.datasets.simulate_interactions(Path(folder) / f"pairs{seed}", seed=seed, config=_PAIRS)
    genome = er.Genome(simulation.genome, name=f"coded{seed}")
    widths = {"enhancer_width": _WINDOW, "promoter_width": _WINDOW}
    return er.pp.pairs(simulation.pairs, genome=genome, sample="simulated", **widths), genome


def _interactions() -> Trained:
    name = "EPIPAM-small-simulated"
    config = EPIPAMConfig.preset(
        "1000x1000", enhancer_length=_WINDOW, promoter_length=_WINDOW, dropout=0.0, head_dropout=0.1
    )
    with tempfile.TemporaryDirectory() as folder:
        mdata, genome = _coded_pairs(folder, SEED)
        er.pp.split(mdata, {0: {"valid": ["chr7"], "test": ["chr8"]}})
        model = er.tl.train_interactions(
            mdata, fold=0, genome=genome, config=config, ratio=None, copies=2, jitter=20, max_epochs=16, rng=SEED
        )
        _packaged(name, model)
        mdata, genome = _coded_pairs(folder, OTHER_SEED)
        er.tl.predict_interactions(mdata, model, genome=genome)
    links = mdata["links"]
    paired = (links.var["origin"] != "blank").to_numpy()
    label, score = links.var["label"].to_numpy()[paired] == 1, links.layers["interaction"][0][paired]
    row = {"model": "EPIPAM", "score": "AUROC, re-paired", "seen": float(roc_auc_score(label, score))}
    return {name: model}, [row]


def _transcription() -> Trained:
    name = "ERNAformer-small-simulated"
    model = er.tl.train_ernas(
        er.datasets.simulate_erna("confounders", n=_LOCI, seed=SEED),
        preset="small",
        augmentation=_AUGMENTATION,
        max_epochs=3,
        learning_rate=1e-3,
        batch_size=64,
        device="cpu",
        rng=0,
    )
    held_out = er.datasets.simulate_erna("confounders", n=_TEST_LOCI, seed=SEED + 2)
    model = _packaged(name, er.tl.calibrate_ernas(held_out, model, device="cpu"))
    test = er.datasets.simulate_erna("confounders", n=_TEST_LOCI, seed=SEED + 1)
    label, best = test.labels > 0.5, test.bayes()
    rows = [
        {
            "model": "ERNAformer",
            "score": f"AUROC, {read_out}",
            "seen": float(roc_auc_score(label, er.tl.predict_ernas(test, model, modalities=modalities, device="cpu"))),
            "best possible": float(roc_auc_score(label, best[column])),
        }
        for read_out, modalities, column in (
            ("fused", "both", "fused"),
            ("sequence alone", "sequence", "sequence"),
            ("signal alone", "signal", "coverage"),
        )
    ]
    return {name: model}, rows


_TRAININGS = {"EPInformer": _expression, "EPIPAM": _interactions, "ERNAformer": _transcription}
