"""EPIPAM's predictions against its plain arrangement: a table of pairs, and all pairs of a chromosome within 1 Mb.

The plain arrangement is the authors' one: every pair by itself in batches of 100, one-hot windows through convolutions,
both heads. Beside it the network of this package called in the same way (its first convolution is looked up, so that it
is faster by itself). Pairs are those of GM12878 on chr21 where the data are at hand, else as many at random places; the
bases are random, and so are the weights: they are of no consequence for the time. Predictions must be the bits of the
network's plain call.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

import eregtools as er
from benchmarks._timing import interleaved, report, verdict
from benchmarks.predict import RandomGenome
from eregtools._schema import link_positions
from eregtools.batches.pairs import pair_windows
from eregtools.models import EPIPAM
from eregtools.ranges import pairs_within
from eregtools.tl.interactions import probability

CHROMOSOME, LENGTH = "chr21", 48_129_895
BATCH = 100
MEGABASE = 1_000_000
TABLE_REQUIRED, SCAN_REQUIRED = 4, 5


class AuthorsArrangement(nn.Module):
    """The network with its operations in the order and shape of the authors' code."""

    def __init__(self, model: EPIPAM) -> None:
        super().__init__()
        self.model = model

    def forward(self, enhancer: torch.Tensor, promoter: torch.Tensor) -> torch.Tensor:
        model, strong = self.model, []
        maps = [model.enhancer.one_hot(enhancer), model.promoter.one_hot(promoter)]
        for stage, k in enumerate(model.config.n_relations):
            for side, tower in enumerate((model.enhancer, model.promoter)):
                layer = tower.stages[stage]
                maps[side] = functional.max_pool1d(functional.relu_(layer.conv(maps[side])), layer.pool.kernel_size)
            relation = torch.matmul(maps[0].transpose(1, 2), maps[1]) / model.config.channels
            strong.append(relation.flatten(1).topk(k, sorted=False).values)
            weights = [relation.amax(2).softmax(1), relation.amax(1).softmax(1)]
            maps = [x + x * weight[:, None] for x, weight in zip(maps, weights, strict=True)]
        for head, x in (
            (model.auxiliary, torch.cat(strong, 1)),
            (model.main, torch.cat([m.flatten(1) for m in maps], 1)),
        ):
            out = head.out(functional.relu(head.hidden(head.norm(x))))[:, 0]
        return out


def run(repeats: int = 3) -> dict[str, Any]:
    torch.set_num_threads(1)
    genome = RandomGenome({CHROMOSOME: LENGTH})
    mdata = er.pp.pairs(pairs_of_chr21(), genome=genome, sample="GM12878")
    torch.manual_seed(0)
    model = EPIPAM().eval()
    model.provenance = {"assay": "interaction", "biosample": "GM12878"}
    gene, enhancer = link_positions(mdata)
    rows = _compare("table", mdata, genome, model, gene, enhancer, repeats, TABLE_REQUIRED)
    scanned = pairs_within(mdata["genes"].var, mdata["enhancers"].var, MEGABASE, 0, "both")
    rows += _compare("all within 1 Mb", mdata, genome, model, *scanned, repeats, SCAN_REQUIRED)
    return report("interactions", rows, threads=1)


def pairs_of_chr21() -> pd.DataFrame:
    """GM12878's pairs of chr21 where the data are at hand, else as many of the same sizes at random places."""
    path = Path(os.environ.get("EREGTOOLS_SHARED", ""), "data", "epi_targetfinder", "GM12878.csv.gz")
    if path.is_file():
        table = pd.read_csv(path)
        return table[table["enhancer_chrom"] == CHROMOSOME].reset_index(drop=True)
    rng = np.random.default_rng(0)
    promoter = np.sort(rng.integers(15_000_000, 48_000_000, 90))[rng.integers(0, 90, 492)]
    enhancer = rng.choice(np.sort(rng.integers(14_500_000, 48_100_000, 399)), 492)
    columns = {"enhancer": (enhancer, 600), "promoter": (promoter, 1_800)}
    table = pd.DataFrame({"label": np.arange(492) % 21 == 0})
    for side, (start, width) in columns.items():
        table = table.assign(**{f"{side}_chrom": CHROMOSOME, f"{side}_start": start, f"{side}_end": start + width})
    return table


def _compare(
    what: str, mdata: Any, genome: Any, model: EPIPAM, gene: Any, enhancer: Any, repeats: int, required: float
) -> list[dict[str, Any]]:
    windows = [pair_windows(mdata, m, n, genome) for m, n in (("enhancers", 3000), ("genes", 2000))]
    plain = AuthorsArrangement(model).eval()

    def batches(network: Any) -> np.ndarray:
        parts = []
        with torch.inference_mode():
            for begin in range(0, len(gene), BATCH):
                part = slice(begin, begin + BATCH)
                codes = [w.codes(genome, r[part]).copy() for w, r in zip(windows, (enhancer, gene), strict=True)]
                out = network(*map(torch.from_numpy, codes))
                parts.append(out if isinstance(out, torch.Tensor) else out.logit)
        return probability(torch.cat(parts).numpy())

    def predicted() -> np.ndarray:
        if what == "table":
            er.tl.predict_interactions(mdata, model, genome=genome, device="cpu")
            return mdata["links"].layers["interaction"][0]
        table = er.tl.scan_interactions(mdata, model, max_distance=MEGABASE, genome=genome, device="cpu")
        return table["interaction"].to_numpy()

    found, ours, theirs = predicted(), batches(model), batches(plain)
    assert np.array_equal(found, ours)
    seconds = interleaved(
        {"plain": lambda: batches(plain), "network": lambda: batches(model), "fast": predicted}, repeats
    )
    ratio, of_network = seconds["plain"] / seconds["fast"], seconds["network"] / seconds["fast"]
    n = len(gene)
    about = f"{n} pairs, {len(np.unique(enhancer))} enhancers, {len(np.unique(gene))} promoters"
    return [
        {"what": f"{what}: {about}"},
        {"what": "  authors' arrangement, CPU-s", "value": seconds["plain"], "pairs/s": n / seconds["plain"]},
        {"what": "  this network, pair by pair, CPU-s", "value": seconds["network"], "pairs/s": n / seconds["network"]},
        {"what": "  from distinct windows, CPU-s", "value": seconds["fast"], "pairs/s": n / seconds["fast"]},
        {"what": "  ratio", "value": ratio, "required": f"≥ {required}", "": verdict(ratio, required)},
        {"what": "  ratio to this network", "value": of_network},
        {"what": "  largest difference to this network", "value": float(np.abs(found - ours).max()), "required": "0"},
        {"what": "  largest difference to the authors' arrangement", "value": float(np.abs(found - theirs).max())},
    ]
