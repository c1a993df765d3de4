"""Knock-outs from cached embeddings against a full re-encode for each; random bases in K562's structure.

One knock-out by the reference way is one forward pass of the padded network in which the enhancer's sequence is
zeroed. Then every link of the chromosome with the most links, through ``er.tl.perturb``. Weights are random: they are
of no consequence for the time, and both sides must give the same numbers.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

import eregtools as er
from benchmarks._timing import interleaved, peak_memory, report, verdict
from benchmarks.predict import CPU, SLOTS, Conv2dTower, k562_object, padded
from eregtools._keys import Var
from eregtools.batches.encode import PADDING
from eregtools.batches.genes import GeneInputs, enhancer_codes, gene_inputs, promoter_codes
from eregtools.models import EPInformer, EPInformerConfig, get_recipe
from eregtools.models.inference import GenePredictor, SlotEncoder

CACHED_GENES = 64
FULL = 4
"""Knock-outs of one gene that the padded network makes for the timing; each costs the same."""


def run(repeats: int = 3) -> dict[str, Any]:
    torch.set_num_threads(1)
    mdata, genome = k562_object()
    model = EPInformer(EPInformerConfig(n_slot_features=2)).eval()
    with torch.no_grad():
        model.predictor[-1].bias += 1.0  # some expression for every gene: its change is a fraction
    recipe = get_recipe("legacy", n_slot_features=2, n_gene_features=9)
    inputs = gene_inputs(mdata, "random", recipe)
    chrom = mdata["genes"].var[Var.chromosome].astype(str).to_numpy()
    counts = np.diff(inputs.offsets)
    names, of = np.unique(chrom, return_inverse=True)
    largest = str(names[np.bincount(of, weights=counts).argmax()])
    with_links = np.flatnonzero((chrom == largest) & (counts >= FULL))
    few = inputs.take(with_links[len(with_links) // 2 :][:CACHED_GENES])
    whole = _chromosome(mdata, genome, model, largest)  # first: the padded network would set the peak of memory
    return report("perturb", [*_one_knock_out(mdata, genome, model, few, repeats), *whole], threads=1)


def _one_knock_out(mdata: Any, genome: Any, model: EPInformer, few: GeneInputs, repeats: int) -> list[dict[str, Any]]:
    encoder, predictor = SlotEncoder(model, CPU), GenePredictor(model, CPU)
    promoters = encoder(promoter_codes(mdata, genome, few.gene, encoder.window))
    elements = encoder(enhancer_codes(mdata, genome, few.element, encoder.window))
    each = np.arange(len(few.link))
    codes, features, of_gene, padding = (
        t.expand(FULL, *t.shape[1:]) for t in padded(mdata, genome, few.take(np.arange(1)))
    )
    codes, padding = codes.clone(), padding.clone()
    lost = torch.arange(FULL)
    codes[lost, 1 + lost] = PADDING
    padding[lost, 1 + lost] = True
    original = Conv2dTower(model.encoder).eval()

    def cached() -> np.ndarray:
        return predictor.knock_outs(few, promoters, elements, each, each)

    def full() -> np.ndarray:
        with torch.inference_mode():
            return model(codes, features, of_gene, padding).expression.numpy()

    def full_2d() -> np.ndarray:
        with torch.inference_mode():
            x = model.one_hot(codes.flatten(0, 1)).view(FULL, SLOTS, 4, -1).transpose(1, 2)
            tower = original(x).transpose(1, 2).flatten(0, 1)
            return model.interact(
                model.head(tower).view(FULL, SLOTS, -1), features, of_gene, padding
            ).expression.numpy()

    found = cached()[:FULL]
    for other in (full(), full_2d()):
        assert np.abs(found - other).max() <= 1e-5
    seconds = interleaved({"full": full, "2-D": full_2d, "cached": cached}, repeats)
    each_full, each_2d, each_cached = seconds["full"] / FULL, seconds["2-D"] / FULL, seconds["cached"] / len(each)
    ratio = each_full / each_cached
    return [
        {"what": "full re-encode, CPU-s/knock-out", "value": each_full},
        {"what": "full re-encode, 2-D as the original", "value": each_2d},
        {"what": f"from cache, {len(each)} links of {len(few.gene)} genes, CPU-s/knock-out", "value": each_cached},
        {"what": "ratio", "value": ratio, "required": "≥ 500", "": verdict(ratio, 500)},
        {"what": "ratio to 2-D", "value": each_2d / each_cached},
    ]


def _chromosome(mdata: Any, genome: Any, model: EPInformer, name: str) -> list[dict[str, Any]]:
    on_it = (mdata["genes"].var[Var.chromosome] == name).to_numpy()
    genes = list(mdata["genes"].var_names[on_it])
    start = time.process_time()
    er.tl.perturb(mdata, model, gene=genes, scale="model", genome=genome, device="cpu")
    minutes = (time.process_time() - start) / 60
    made = np.isfinite(mdata["links"].layers["perturbation"][0])
    n_links = int(mdata["links"].var["gene"].isin(genes).sum())
    assert made.sum() == n_links
    memory = peak_memory()
    return [
        {
            "what": f"all {n_links} links of {name}, CPU-min",
            "value": minutes,
            "required": "≤ 5",
            "": verdict(5, minutes),
        },
        {"what": "peak memory, GB", "value": memory, "required": "≤ 2", "": verdict(2, memory)},
    ]
