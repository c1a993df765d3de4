"""What training recovers on a simulated genome whose regulation is known, beside what explains it without sequence.

The demonstration on a genome with four times its genes, with a second layer of attention. Held-out chromosome, one
seed: ``python -m benchmarks simulation 1`` takes another.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks._timing import report, verdict
from eregtools.datasets.demo import DEMO_CONFIG
from eregtools.demo import run_simulated

TIMES = 4
CONFIG = replace(
    DEMO_CONFIG,
    chromosome_length=TIMES * DEMO_CONFIG.chromosome_length,
    n_genes=TIMES * DEMO_CONFIG.n_genes,
    n_elements=TIMES * DEMO_CONFIG.n_elements,
)
EPOCHS = 30
LAYERS = 2
OF_CEILING, ABOVE_BASELINES = 0.9, 0.05
WITHOUT_SEQUENCE = (
    "attention without sequence",
    "trees without sequence",
    "trees, promoter activity and mRNA",
    "promoter activity",
    "enhancer activity",
)


def run(seed: str = "0") -> dict[str, Any]:
    torch.set_num_threads(1)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        table = run_simulated(
            Path(folder) / "out", seed=int(seed), config=CONFIG, n_layers=LAYERS, max_epochs=EPOCHS
        ).iloc[:, 0]
    minutes = (time.process_time() - start) / 60
    rows = [{"task": task, "score": name, "seen": float(value)} for (task, name), value in table.items()]
    r, precision = (table.xs(task) for task in table.index.unique("task"))
    ceiling, baseline = r["noise ceiling (all genes)"], max(r[name] for name in WITHOUT_SEQUENCE)
    half = (precision["ABC"] + precision["ceiling (all links)"]) / 2
    asked = {
        "r of the ceiling": (r["EPInformer"] / ceiling, OF_CEILING),
        "r above the best without sequence": (r["EPInformer"] - baseline, ABOVE_BASELINES),
        "average precision of the change without an enhancer": (precision["change without enhancer"], half),
    }
    rows += [
        {"task": "asked", "score": name, "seen": float(seen), "asked": float(least), "": verdict(seen, least)}
        for name, (seen, least) in asked.items()
    ]
    return report("simulation", rows, genes=CONFIG.n_genes, seed=int(seed), threads=1, cpu_minutes=round(minutes, 1))
