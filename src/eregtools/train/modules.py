"""What Lightning trains: loss, optimiser and metrics of the networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from eregtools.models.epinformer import EPInformer, EPInformerSeq


@dataclass(frozen=True)
class Optimisation:
    """How a network is trained.

    Attributes
    ----------
    learning_rate, weight_decay, betas
        AdamW.
    max_epochs
        Most passes over the training rows.
    patience
        Epochs without a better validation loss after which training ends.
    batch_size
        Genes or windows in a step.
    """

    learning_rate: float = 5e-4
    weight_decay: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    max_epochs: int = 100
    patience: int = 6
    batch_size: int = 16

    def __post_init__(self) -> None:
        for name, least in (("max_epochs", 1), ("patience", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {least}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; expected a positive number")


class Regression(lightning.LightningModule):
    """A network trained on one number a row with the smooth L1 loss.

    Parameters
    ----------
    network
        What is trained.
    optimisation
        How.
    """

    network: nn.Module

    def __init__(self, network: nn.Module, optimisation: Optimisation) -> None:
        super().__init__()
        self.network = network
        self.optimisation = optimisation
        self._valid: list[tuple[Tensor, Tensor]] = []
        self.valid_r: list[float] = []

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """Prediction ``(n,)`` for a batch."""
        raise NotImplementedError

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        """Loss of a batch."""
        loss = nn.functional.smooth_l1_loss(self.predict(batch), batch["target"])
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["target"]))
        return loss

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Keep predictions of a batch for the epoch's metrics."""
        self._valid.append((self.predict(batch), batch["target"]))

    def on_validation_epoch_end(self) -> None:
        """Log loss and Pearson's r over all validation rows."""
        predicted, target = (torch.cat(values) for values in zip(*self._valid, strict=True))
        self._valid.clear()
        self.log("val_loss", nn.functional.smooth_l1_loss(predicted, target), prog_bar=True)
        r = pearson(predicted, target)
        self.valid_r.append(float(r))
        self.log("val_r", r, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the parameters that are not frozen."""
        how = self.optimisation
        parameters = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.AdamW(parameters, lr=how.learning_rate, weight_decay=how.weight_decay, betas=how.betas)

    def describe(self) -> dict[str, Any]:
        """Describe the training, to be stored with the weights."""
        how = asdict(self.optimisation) | {"betas": list(self.optimisation.betas)}
        return {"loss": "smooth L1", "optimiser": "AdamW", **how}


class ActivityRegression(Regression):
    """Trains an :class:`EPInformerSeq` on log2(0.1 + activity)."""

    network: EPInformerSeq

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """Activity of the windows of a batch."""
        return self.network(batch["codes"])


class ExpressionRegression(Regression):
    """Trains an :class:`EPInformer`; each distinct sequence of a batch is encoded once.

    Batch normalisation sees the distinct sequences of the batch and no padded slot.
    """

    network: EPInformer

    def __init__(self, network: EPInformer, optimisation: Optimisation, *, freeze_encoder: bool = False) -> None:
        super().__init__(network, optimisation)
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            network.encoder.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        """Keep the running statistics of a frozen tower as they are."""
        if self.freeze_encoder:
            self.network.encoder.eval()

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """Expression of the genes of a batch."""
        states = self.network.embed(batch["codes"])[batch["slot"]]
        return self.network.interact(
            states,
            batch["slot_features"] if self.network.config.n_slot_features else None,
            batch["gene_features"] if self.network.config.n_gene_features else None,
            batch["padding"],
        ).expression


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's r of two vectors; 0 where one does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = a.norm() * b.norm()
    return (a * b).sum() / scale if scale > 0 else torch.zeros((), device=a.device)
