"""EPInformer predictions: the fast form against the plain, padded network; random bases in K562's structure.

``run`` times 16 random and 64 neighbouring genes; ``whole`` all 18,377 genes through ``er.tl.predict_expression``.
Weights are random: they are of no consequence for the time, and both sides must give the same numbers.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

import eregtools as er
from benchmarks._timing import interleaved, peak_memory, report, verdict
from eregtools._keys import MRNA_FEATURES, Var
from eregtools.batches.encode import PADDING, centred_windows, element_windows
from eregtools.batches.genes import GeneInputs, gene_inputs
from eregtools.models import EPInformer, EPInformerConfig, get_recipe
from eregtools.models.inference import GenePredictor, SlotEncoder

SLOTS = 61
PEER_GENES = 16
CPU = torch.device("cpu")


class RandomGenome(er.Genome):
    """Chromosomes of random bases, drawn again and the same for each window."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.name, self.path, self.chrom_sizes = "random", Path("random.fa"), sizes
        self._warned = False
        self.pool = np.random.default_rng(0).integers(0, 4, 2**22, dtype=np.uint8)

    def codes(self, chroms: Any, starts: Any, length: int) -> np.ndarray:
        starts = np.asarray(starts)
        salt = np.array([hash_of(name) for name in ([chroms] * len(starts) if isinstance(chroms, str) else chroms)])
        first = (starts + salt) % (len(self.pool) - length)
        return np.lib.stride_tricks.sliding_window_view(self.pool, length)[first]


def hash_of(name: str) -> int:
    return sum(ord(letter) * 7919 * (i + 1) for i, letter in enumerate(name))


def k562_structure() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Genes and elements of K562 where the data are at hand, else of the same number and size drawn at random."""
    shared = os.environ.get("EREGTOOLS_SHARED")
    path = Path(shared or "", "data", "epinformer", "k562_structure.npz")
    if shared and path.is_file():
        z = np.load(path)
        genes = pd.DataFrame({"chrom": z["chrom"], "tss": z["tss"], "strand": z["strand"]}, index=z["gene"])
        elements = pd.DataFrame({"chrom": z["enh_chrom"], "start": z["enh_start"], "end": z["enh_end"]})
        return genes, elements
    rng = np.random.default_rng(1)
    chroms = np.array([f"chr{i}" for i in range(1, 23)])
    tss = rng.integers(10_000, 125_000_000, 18_377)
    genes = pd.DataFrame({"chrom": rng.choice(chroms, len(tss)), "tss": tss, "strand": "+"})
    genes.index = pd.Index([f"gene{i}" for i in range(len(genes))])
    near = rng.integers(0, len(genes), 116_669)
    start = np.abs(genes["tss"].to_numpy()[near] + rng.integers(-150_000, 150_000, len(near))) + 2_000
    width = np.maximum(500, rng.gamma(2.0, 380, len(near)).astype(int))
    elements = pd.DataFrame({"chrom": genes["chrom"].to_numpy()[near], "start": start, "end": start + width})
    return genes, elements.drop_duplicates()


def k562_object() -> tuple[Any, RandomGenome]:
    """Build the object with links and random signal."""
    genes, elements = k562_structure()
    ends = pd.concat([elements.groupby("chrom")["end"].max(), genes.groupby("chrom")["tss"].max()])
    genome = RandomGenome({name: int(size) + 10**6 for name, size in ends.groupby(level=0).max().items()})
    mdata = er.pp.assemble(genes=genes, enhancers=elements, samples=["random"], genome=genome)
    rng = np.random.default_rng(2)
    for modality, layer in (("enhancers", "activity"), ("genes", "promoter_activity")):
        values = rng.gamma(1.0, 3.0, (1, mdata[modality].n_vars)).astype(np.float32)
        mdata[modality].layers[layer] = values
    features = pd.DataFrame(rng.normal(size=(mdata["genes"].n_vars, 8)), mdata["genes"].var_names, list(MRNA_FEATURES))
    er.pp.mrna_features(mdata, features)
    er.pp.link(mdata, max_enhancers=60)
    return mdata, genome


class Conv2dTower(nn.Module):
    """The tower with two-dimensional layers, as the original code writes it."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        state = encoder.state_dict()
        self.stem = self._conv(state, "stem", (0, 0))
        self.blocks = nn.ModuleList()
        for number in range(4):
            conv = self._conv(state, f"blocks.{number}.conv", (0, 1))
            norm = nn.BatchNorm2d(conv.out_channels)
            prefix = f"blocks.{number}.norm."
            norm.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
            pointwise = self._conv(state, f"blocks.{number}.pointwise", (0, 0))
            self.blocks.append(nn.ModuleList([conv, norm, pointwise]))

    @staticmethod
    def _conv(state: dict[str, torch.Tensor], name: str, padding: tuple[int, int]) -> nn.Conv2d:
        weight = state[f"{name}.weight"].unsqueeze(2)
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], (1, weight.shape[3]), padding=padding)
        conv.load_state_dict({"weight": weight, "bias": state[f"{name}.bias"]})
        return conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.elu(self.stem(nn.functional.pad(x, (3, 4))))
        for conv, norm, pointwise in self.blocks:
            x = nn.functional.max_pool2d(nn.functional.elu(norm(conv(x))), (1, 2))
            x = x + nn.functional.elu(pointwise(x))
        return x


def padded(mdata: Any, genome: RandomGenome, inputs: GeneInputs) -> tuple[torch.Tensor, ...]:
    """Codes, features and padding with 61 slots a gene."""
    n = len(inputs.gene)
    codes = np.full((n, SLOTS, 2000), PADDING, dtype=np.uint8)
    features = np.zeros((n, SLOTS, inputs.slot_features.shape[1]), dtype=np.float32)
    padding = np.ones((n, SLOTS), dtype=bool)
    genes, elements = mdata["genes"].var, mdata["enhancers"].var
    for i in range(n):
        about = genes.iloc[[inputs.gene[i]]]
        codes[i, 0] = centred_windows(genome, list(about[Var.chromosome]), about[Var.tss].to_numpy(), 2000)[0]
        links = slice(inputs.offsets[i], inputs.offsets[i + 1])
        part = elements.iloc[inputs.element[links]]
        k = len(part)
        if k:
            codes[i, 1 : k + 1] = element_windows(
                genome, list(part[Var.chromosome]), part[Var.start].to_numpy(), part[Var.end].to_numpy(), 2000
            )
        features[i, 1 : k + 1] = inputs.slot_features[links]
        padding[i, : k + 1] = False
    return tuple(map(torch.from_numpy, (codes, features, inputs.gene_features, padding)))


def fast(model: EPInformer, mdata: Any, genome: RandomGenome, inputs: GeneInputs) -> np.ndarray:
    """Predict the same genes by the pieces that ``er.tl.predict_expression`` uses."""
    genes = mdata["genes"].var.iloc[inputs.gene]
    distinct, place = np.unique(inputs.element, return_inverse=True)
    part = mdata["enhancers"].var.iloc[distinct]
    promoters = centred_windows(genome, list(genes[Var.chromosome]), genes[Var.tss].to_numpy(), 2000)
    elements = element_windows(
        genome, list(part[Var.chromosome]), part[Var.start].to_numpy(), part[Var.end].to_numpy(), 2000
    )
    encoder = SlotEncoder(model, CPU)
    states = encoder(np.concatenate([promoters, elements]))
    return GenePredictor(model, CPU)(inputs, states[: len(genes)], states[len(genes) :][place])[0]


def run(repeats: int = 3) -> dict[str, Any]:
    torch.set_num_threads(1)
    mdata, genome = k562_object()
    model = EPInformer(EPInformerConfig(n_slot_features=2)).eval()
    recipe = get_recipe("legacy", n_slot_features=2, n_gene_features=9)
    inputs = gene_inputs(mdata, "random", recipe)
    on_chr19 = np.flatnonzero((mdata["genes"].var[Var.chromosome] == "chr19").to_numpy())
    cases = {
        "16 random genes": (np.random.default_rng(3).choice(len(inputs.gene), 16, replace=False), 18),
        "64 neighbouring genes": (on_chr19[len(on_chr19) // 2 :][:64], 45),
    }
    rows = []
    original = Conv2dTower(model.encoder).eval()
    for name, (genes, required) in cases.items():
        chosen = inputs.take(genes)
        # The padded network costs the same for every gene, so it is timed on the first sixteen.
        tensors = padded(mdata, genome, inputs.take(genes[:PEER_GENES]))

        def plain(tensors: tuple[torch.Tensor, ...] = tensors) -> np.ndarray:
            with torch.inference_mode():
                parts = [[t[i : i + 4] for t in tensors] for i in range(0, len(tensors[0]), 4)]
                return torch.cat([model(*part).expression for part in parts]).numpy()

        def plain_2d(tensors: tuple[torch.Tensor, ...] = tensors) -> np.ndarray:
            out = []
            with torch.inference_mode():
                for i in range(0, len(tensors[0]), 4):
                    codes, features, genes, padding = (t[i : i + 4] for t in tensors)
                    x = model.one_hot(codes.flatten(0, 1)).view(len(codes), SLOTS, 4, 2000).transpose(1, 2)
                    tower = original(x).transpose(1, 2).flatten(0, 1)
                    states = model.head(tower).view(len(codes), SLOTS, -1)
                    out.append(model.interact(states, features, genes, padding).expression)
            return torch.cat(out).numpy()

        def ours(chosen: GeneInputs = chosen) -> np.ndarray:
            return fast(model, mdata, genome, chosen)

        expected = plain()
        for other in (plain_2d(), ours()):
            assert np.abs(other[:PEER_GENES] - expected).max() <= 1e-5
        seconds = interleaved({"plain": plain, "2-D": plain_2d, "fast": ours}, repeats)
        each = {side: value / (len(genes) if side == "fast" else PEER_GENES) for side, value in seconds.items()}
        ratio = each["plain"] / each["fast"]
        rows.append(
            {
                "genes": name,
                "plain, CPU-s/gene": each["plain"],
                "plain 2-D as the original": each["2-D"],
                "fast": each["fast"],
                "ratio": ratio,
                "ratio to 2-D": each["2-D"] / each["fast"],
                "required": required,
                "": verdict(ratio, required),
            }
        )
    return report("predict", rows, threads=1)


def whole() -> dict[str, Any]:
    """All genes through the public function; CPU time and peak memory."""
    torch.set_num_threads(1)
    mdata, genome = k562_object()
    model = EPInformer(EPInformerConfig(n_slot_features=2)).eval()
    start = time.process_time()
    er.tl.predict_expression(mdata, model, assay="CAGE", genome=genome, device="cpu")
    minutes = (time.process_time() - start) / 60
    assert np.isfinite(mdata["genes"].layers["CAGE_pred"]).all()
    memory = peak_memory()
    rows = [
        {"what": "CPU-min", "value": minutes, "required": "≤ 8", "": verdict(8, minutes)},
        {"what": "peak memory, GB", "value": memory, "required": "≤ 2", "": verdict(2, memory)},
    ]
    return report("predict_whole", rows, genes=mdata["genes"].n_vars, links=mdata["links"].n_vars, threads=1)
