"""A training step of EPInformer: each distinct slot once against the padded batch; random bases in K562's structure.

Both sides take the same batch of 16 genes, normalise over the padded batch and end with an AdamW step; that they give
the same numbers is checked first, in double precision (in single, rounding of the padded side is 3e-3). The padded side
has two-dimensional layers, as the original code writes them. Memory is the peak of a process that takes one step.
"""

from __future__ import annotations

import copy
import os
import resource
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._timing import interleaved, report, verdict
from benchmarks.predict import SLOTS, Conv2dTower, k562_object, padded
from eregtools.batches.genes import gene_inputs
from eregtools.models import EPInformer, EPInformerConfig, get_recipe
from eregtools.tl._training import gene_data
from eregtools.train.datamodule import Batches
from eregtools.train.modules import ExpressionRegression
from eregtools.train.regimes import expression_regime

BATCH = 16
CONFIG = EPInformerConfig(n_slot_features=2)


class PaddedStep:
    """The step with every slot of every gene computed."""

    def __init__(self, model: EPInformer, tensors: tuple[Tensor, ...], target: Tensor) -> None:
        self.tower = Conv2dTower(model.encoder).train()
        self.model = copy.deepcopy(model).train()
        self.tensors, self.target = tensors, target
        parameters = [*self.tower.parameters(), *(p for n, p in self.model.named_parameters() if "encoder" not in n)]
        self.optimiser = torch.optim.AdamW(parameters, lr=5e-4, weight_decay=1e-6)

    def predict(self) -> Tensor:
        codes, features, genes, padding = self.tensors
        n = len(codes)
        x = self.model.one_hot(codes.flatten(0, 1)).view(n, SLOTS, 4, 2000).transpose(1, 2)
        tower = self.tower(x).transpose(1, 2).flatten(0, 1)
        states = self.model.head(tower).view(n, SLOTS, -1)
        return self.model.interact(states, features, genes, padding).expression

    def __call__(self) -> None:
        step(self.predict, self.target, self.optimiser)


class DistinctStep:
    """The step as ``er.tl.train_expression`` takes it."""

    def __init__(self, model: EPInformer, batch: dict[str, Tensor]) -> None:
        self.module = ExpressionRegression(copy.deepcopy(model).train(), expression_regime("paper", 2))
        self.batch = batch
        self.optimiser = torch.optim.AdamW(self.module.network.parameters(), lr=5e-4, weight_decay=1e-6)

    def predict(self) -> Tensor:
        return self.module.predict(self.batch)

    def __call__(self) -> None:
        step(self.predict, self.batch["target"], self.optimiser)


def step(predict: Callable[[], Tensor], target: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    nn.functional.smooth_l1_loss(predict(), target).backward()
    optimiser.step()


def peak_of(work: Callable[[], Any]) -> float:
    """Peak memory in GB of a child process that does the work once, with all that it was born with."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert after > before, "measure the smaller side first"
    return after / 1e6


def run(repeats: int = 3) -> dict[str, Any]:
    torch.set_num_threads(1)
    mdata, genome = k562_object()
    mdata["genes"].layers["RNA"] = np.random.default_rng(5).normal(size=(1, mdata["genes"].n_vars)).astype(np.float32)
    torch.manual_seed(0)
    model = EPInformer(CONFIG)
    data = gene_data(mdata, ["random"], "RNA", CONFIG, "legacy", genome)
    inputs = gene_inputs(mdata, "random", get_recipe("legacy", n_slot_features=2, n_gene_features=9))
    rows = []
    check(mdata, genome, model, data, inputs)
    for order, required in (("random", 3.5), ("locus", 6.0)):
        batches = Batches(data, BATCH, seed=3, order=order, padded_slots=SLOTS)  # type: ignore[arg-type]
        batches.start_epoch(0, 0, 1)
        genes = typical(data, batches.row_batches())
        batch = data.batch(genes, padded_slots=SLOTS)
        part = inputs.take(data.inputs.gene[genes])
        tensors = padded(mdata, genome, part)
        both = PaddedStep(model, tensors, batch["target"]), DistinctStep(model, batch)
        memory = [peak_of(side) for side in both[::-1]] if order == "random" else [float("nan")] * 2
        seconds = interleaved({"padded": both[0], "distinct": both[1]}, repeats)
        ratio = seconds["padded"] / seconds["distinct"]
        rows.append(
            {
                "batch of 16": order,
                "slots": BATCH * SLOTS,
                "real": int((~batch["padding"]).sum()),
                "distinct": len(batch["codes"]),
                "padded, CPU-s/step": seconds["padded"],
                "distinct, CPU-s/step": seconds["distinct"],
                "ratio": ratio,
                "required": required,
                "": verdict(ratio, required),
                "padded, GB": memory[1],
                "distinct, GB": memory[0],
            }
        )
    return report("train_step", rows, threads=1)


def check(mdata: Any, genome: Any, model: EPInformer, data: Any, inputs: Any) -> None:
    """Both sides give the same numbers: in double precision, where rounding hides nothing, on three genes."""
    genes = np.arange(1000, 1003)
    batch = double(data.batch(genes, padded_slots=SLOTS))
    tensors = tuple(double(dict(enumerate(padded(mdata, genome, inputs.take(data.inputs.gene[genes]))))).values())
    exact = copy.deepcopy(model).double()
    both = PaddedStep(exact, tensors, batch["target"]), DistinctStep(exact, batch)
    both[0].tower.double()
    expected, found = (side.predict().detach() for side in both)
    assert (expected - found).abs().max() <= 1e-10


def double(tensors: Any) -> Any:
    return {key: value.double() if value.is_floating_point() else value for key, value in tensors.items()}


def typical(data: Any, batches: list[np.ndarray]) -> np.ndarray:
    """Pick the batch with the median number of distinct sequences."""
    sizes = [len(np.unique(data.inputs.take(rows).element)) for rows in batches if len(rows) == BATCH]
    full = [rows for rows in batches if len(rows) == BATCH]
    return full[int(np.argsort(sizes)[len(sizes) // 2])]
