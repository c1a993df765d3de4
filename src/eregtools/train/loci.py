"""Training of ERNAformer: loci in batches, its two-headed loss, rates by layer, the moving average of its weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from eregtools.batches.loci import CORE, IGNORED, MARGIN, LocusAugmentation, LocusBatch, LocusWindows
from eregtools.models.ernaformer import TOKEN, ERNAformer, ERNAformerConfig
from eregtools.models.locus_inference import locus_tensors
from eregtools.models.normalisation import BatchNorm
from eregtools.train.datamodule import Batches
from eregtools.train.modules import Classification
from eregtools.train.regimes import Regime, Stage

Freeze = Literal["stems", "stems+encoder"]


@dataclass(frozen=True)
class LocusRegime(Regime):
    """How an ERNAformer is trained, beside what every network has.

    Attributes
    ----------
    stem_rate
        Learning rate of the stems over that of the heads.
    layer_rate
        Factor by which the rate falls with each encoder layer away from the heads.
    bin_weight, bin_positive_weight
        Weight of the loss of 32-bp bins beside that of windows, and of a positive bin beside a negative one.
    core, margin
        Bins within ``core`` bp of a locus' centre are positive; those beyond, up to ``margin``, are left out.
    average
        Share of the moving average of weights that a step keeps; 0: none is taken.
    """

    stem_rate: float = 1e-3 / 3e-4
    layer_rate: float = 1.0
    bin_weight: float = 0.5
    bin_positive_weight: float = 8.0
    core: int = CORE
    margin: int = MARGIN
    average: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stem_rate", "layer_rate", "bin_positive_weight"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a positive number")
        if not 0 <= self.average < 1:
            raise ValueError(f"average is {self.average}; expected a number from 0 to below 1")
        if not 0 < self.core <= self.margin or self.bin_weight < 0:
            raise ValueError(
                f"core={self.core}, margin={self.margin} and bin_weight={self.bin_weight}; expected 0 < core ≤ margin "
                "and a weight of at least 0"
            )


def scratch_regime() -> LocusRegime:
    """Ours, from random weights: rate 3e-4 (1e-3 for the stems), batches of 128, 30 epochs at most."""
    return LocusRegime(
        "eregtools",
        "ernas",
        (Stage(3e-4, 30),),
        loss="bce",
        monitor="auprc",
        patience=5,
        batch_size=128,
        weight_decay=0.05,
        gradient_clip=1.0,
        schedule="cosine",
        warm_up=0.05,
        decay="matrices",
    )


def finetuning_regime() -> LocusRegime:
    """Ours, from trained weights: a tenth of the rate, less with each layer away from the heads."""
    scratch = scratch_regime()
    return replace(scratch, name="finetune", stages=(Stage(3e-5, 20),), layer_rate=0.8, stem_rate=1.0)


@dataclass(frozen=True)
class Loci:
    """Rows to train or validate on.

    Attributes
    ----------
    windows
        Sequences, tracks and which of them make a locus.
    config
        Architecture of what reads them.
    regime
        How bins are labelled.
    augmentation
        How training rows are changed.
    """

    windows: LocusWindows
    config: ERNAformerConfig
    regime: LocusRegime
    augmentation: LocusAugmentation

    def __len__(self) -> int:
        return len(self.windows)

    def fingerprint(self) -> str:
        """Hash (sha256) of everything a model could learn from."""
        return self.windows.fingerprint()

    def drawn(self, rows: NDArray[np.int64], rng: np.random.Generator | None) -> dict[str, Tensor]:
        """Tensors of rows; with ``rng`` they are changed, and extra negatives may follow them."""
        width = self.config.width
        batch = self.windows.batch(rows)
        if rng is None:
            return self._tensors(batch.cropped(width))
        batch = self.augmentation(batch, width, rng)
        tensors = self._tensors(batch)
        # Always there: data-parallel training wants each parameter in each step.
        hidden = self.augmentation.hidden(len(batch), rng)
        names = ("missing_sequence", "missing_signal")
        return tensors | {name: torch.from_numpy(which) for name, which in zip(names, hidden, strict=True)}

    def _tensors(self, batch: LocusBatch) -> dict[str, Tensor]:
        how = self.regime
        bins = batch.token_labels(self.config.seq_len, TOKEN, how.core, how.margin)
        known = {"target": torch.from_numpy(batch.label), "bins": torch.from_numpy(bins)}
        return locus_tensors(batch, self.config) | known


class LocusBatches(Batches):
    """Batches of loci; where negatives are re-paired positives, they are paired anew in each epoch.

    Parameters
    ----------
    data
        Loci.
    batch_size
        Loci of a batch, over all processes.
    seed
        Seed of order and changes; ``None``: loci as they are, in their order.
    redrawn
        Loci of an epoch, by its number; ``None``: the same in every epoch.
    """

    data: Loci

    def __init__(
        self,
        data: Loci,
        batch_size: int,
        *,
        seed: int | None = None,
        redrawn: Callable[[int], LocusWindows] | None = None,
    ) -> None:
        super().__init__(data, batch_size, seed=seed)
        self.redrawn = redrawn

    def start_epoch(self, epoch: int, process: int, n_processes: int) -> None:
        """Set the epoch, and draw its loci."""
        if self.redrawn is not None:
            self.data = replace(self.data, windows=self.redrawn(epoch))
        super().start_epoch(epoch, process, n_processes)


class MovingAverage(lightning.Callback):
    """Keep a moving average of the weights, which is what is validated and kept; training goes on with the weights.

    Parameters
    ----------
    share
        Share of the average that a step keeps; less in the first steps, so that random weights are soon forgotten.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.steps = 0
        self.average: dict[str, Tensor] = {}
        self._aside: dict[str, Tensor] = {}

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average towards the weights."""
        state = _floats(pl_module.network)
        if not self.average:
            self.average = {name: value.detach().clone() for name, value in state.items()}
        self.steps += 1
        share = min(self.share, self.steps / (9 + self.steps))
        for name, value in state.items():
            self.average[name] = self.average[name].to(value.device).lerp_(value.detach(), 1 - share)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the average in the place of the weights."""
        if self.average:
            state = _floats(pl_module.network)
            self._aside = {name: value.detach().clone() for name, value in state.items()}
            _put(state, self.average)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the weights back; callbacks that keep the best epoch come before this one."""
        if self._aside:
            _put(_floats(pl_module.network), self._aside)
            self._aside = {}

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"steps": self.steps, "average": self.average}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore from a checkpoint."""
        self.steps, self.average = state_dict["steps"], state_dict["average"]


def _floats(network: Any) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}


@torch.no_grad()
def _put(state: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, value in state.items():
        value.copy_(values[name])


class LocusClassification(Classification):
    """Trains an :class:`ERNAformer` on windows and bins.

    Parameters
    ----------
    network
        What is trained.
    regime
        How.
    freeze
        ``"stems"`` or ``"stems+encoder"`` keep their weights; ``None``: all are trained.
    keep_moments
        Keep the running statistics of batch normalisation as they are, and normalise by them, also where the
        convolutions are trained: those of a small data set would be worse.
    """

    network: ERNAformer
    regime: LocusRegime

    def __init__(
        self,
        network: ERNAformer,
        regime: LocusRegime,
        *,
        freeze: Freeze | None = None,
        keep_moments: bool = False,
    ) -> None:
        super().__init__(network, regime)
        self.keep_moments = keep_moments
        for name, parameter in network.named_parameters():
            if part_of(name) in {"stems": ("stem",), "stems+encoder": ("stem", "encoder")}.get(freeze or "", ()):
                parameter.requires_grad_(False)

    def configure_callbacks(self) -> list[lightning.Callback]:
        """Average the weights."""
        return [MovingAverage(self.regime.average)] if self.regime.average else []

    def on_train_epoch_start(self) -> None:
        """Keep running statistics as they are where that is asked for."""
        if self.keep_moments:
            for module in self.network.modules():
                if isinstance(module, BatchNorm):
                    module.eval()

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits of the windows of a batch."""
        return self._forward(batch)[0]

    def training_loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Cross entropy of windows, and with less weight of the bins that are either locus or not."""
        window, bins = self._forward(batch)
        how, known = self.regime, batch["bins"] != IGNORED
        loss = functional.binary_cross_entropy_with_logits(window, batch["target"])
        of_bin = functional.binary_cross_entropy_with_logits(
            bins,
            batch["bins"].clamp(max=1).to(bins.dtype),
            pos_weight=torch.tensor(how.bin_positive_weight, device=bins.device, dtype=bins.dtype),
            reduction="none",
        )
        return loss + how.bin_weight * (of_bin * known).sum() / known.sum().clamp(min=1)

    def rate_of(self, name: str) -> float:
        """Learning rate of a parameter over that of the heads."""
        name = name.removeprefix("network.")
        n_layers, how = len(self.network.layers), self.regime
        if part_of(name) == "stem":
            return how.stem_rate * how.layer_rate ** (n_layers + 1)
        if found := re.match(r"layers\.(\d+)\.", name):
            return how.layer_rate ** (n_layers - int(found[1]))
        return 1.0

    def _forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        names = ("missing_sequence", "missing_signal", "depth")
        out = self.network(batch["codes"], batch["signal"], **{n: batch[n] for n in names if n in batch})
        return out.window, out.bins


def part_of(name: str) -> Literal["stem", "encoder", "head"]:
    """Part of the network that a parameter belongs to."""
    if name.startswith(("sequence_stem", "signal_stem", "no_sequence", "no_signal", "join", "gate", "depth")):
        return "stem"
    return "encoder" if name.startswith(("layers", "norm")) else "head"
