"""Saturation mutagenesis and attribution, CPU-seconds a sequence: only what changes against every sequence whole.

Weights are random: they are of no consequence for the time, and both sides must give the same numbers. Of the naive
way at 2,000 bp only some substitutions are timed, drawn at random, and the time is scaled to all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks._timing import interleaved, report, verdict
from eregtools.batches.shuffle import dinucleotide_shuffle
from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq
from eregtools.models.attribution import ActivityView, explain
from eregtools.models.mutagenesis import ActivityMutagenesis, ExpressionMutagenesis
from eregtools.models.slots import GeneSlots
from eregtools.models.substitutions import Substitutions, every_substitution

CPU = torch.device("cpu")
AT_256, AT_2000 = 12, 20
NAIVE_BATCH = 32
TIMED = 96


def mutated(codes: np.ndarray, what: Substitutions) -> np.ndarray:
    out = codes[what.row]
    out[np.arange(len(out)), what.position] = what.base
    return out


def of_activity(n: int) -> dict[str, Any]:
    """Time a window of 256 bp, alone or among others."""
    model = EPInformerSeq().eval()
    codes = np.random.default_rng(0).integers(0, 4, (n, 256), dtype=np.uint8)
    what = every_substitution(codes[:1])
    every = torch.from_numpy(mutated(codes, what))

    @torch.inference_mode()
    def naive() -> torch.Tensor:
        return torch.cat([model(part) for part in every.split(NAIVE_BATCH)])

    def ours() -> np.ndarray:
        return ActivityMutagenesis(model, CPU)(codes)[1]

    assert np.abs(ours()[0, what.base, what.position] - naive().numpy()).max() <= 1e-5
    seconds = interleaved({"naive": naive, "ours": ours})
    return row(f"256 bp, {n} sequences", seconds["naive"], seconds["ours"] / n, AT_256)


def of_slot(n_slots: int) -> dict[str, Any]:
    """Time a promoter of 2,000 bp; everything else of its gene is fixed and encoded once, on both sides."""
    model = EPInformer(EPInformerConfig(n_slot_features=2)).eval()
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, 2000, dtype=np.uint8)
    gene = GeneSlots(torch.randn(n_slots, 64), torch.rand(n_slots, 2), torch.rand(9))
    what = every_substitution(codes[None])
    chosen = np.sort(rng.choice(len(what.row), TIMED, replace=False))
    some = Substitutions(*(values[chosen] for values in what))
    every = torch.from_numpy(mutated(codes[None], some))

    @torch.inference_mode()
    def naive() -> torch.Tensor:
        out = []
        for part in every.split(4):
            states = gene.embeddings.repeat(len(part), 1, 1)
            states[:, 0] = model.embed(part)
            features, of_gene = gene.slot_features.expand(len(part), -1, -1), gene.gene_features.expand(len(part), -1)
            out.append(model.interact(states, features, of_gene).expression)
        return torch.cat(out)

    def ours() -> np.ndarray:
        return ExpressionMutagenesis(model, CPU)(codes, gene, 0)[1]

    assert np.abs(ours()[0, some.base, some.position] - naive().numpy()).max() <= 1e-5
    seconds = interleaved({"naive": naive, "ours": ours})
    whole = seconds["naive"] * len(what.row) / TIMED
    return row(f"2,000 bp, expression of a gene with {n_slots - 1} enhancers", whole, seconds["ours"], AT_2000)


def row(what: str, naive: float, ours: float, required: float) -> dict[str, Any]:
    ratio = naive / ours
    return {
        "what": what,
        "naive, CPU-s": naive,
        "ours, CPU-s": ours,
        "ratio": ratio,
        "required": required,
        "": verdict(ratio, required),
    }


def of_methods() -> list[dict[str, Any]]:
    """Other attributions of windows of 256 bp, for the record."""
    model = EPInformerSeq().eval()
    codes = np.random.default_rng(2).integers(0, 4, (4, 256), dtype=np.uint8)
    names = [str(number) for number in range(len(codes))]
    shuffled = [dinucleotide_shuffle(codes, [f"{name}/{k}" for name in names], 0) for k in range(20)]
    references = np.stack(shuffled, axis=1)
    view = ActivityView(model)

    def run(method: str, against: np.ndarray | None = None) -> Callable[[], Any]:
        return lambda: explain(view, codes, model.one_hot.table, method, against)

    seconds = interleaved(
        {
            "DeepLIFT, 20 references": run("deeplift", references),
            "IG, 200 steps or more": run("ig"),
            "gradient": run("saliency"),
        }
    )
    return [{"what": f"256 bp, {name}", "ours, CPU-s": value / len(codes)} for name, value in seconds.items()]


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = [of_activity(1), of_activity(32), of_slot(1), of_slot(16), of_slot(61), *of_methods()]
    return report("mutagenesis", rows, threads=1)
