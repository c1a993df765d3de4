"""What Lightning trains: loss, optimiser and metrics of the networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor, distributed, nn

from eregtools.models.epinformer import EPInformer, EPInformerSeq
from eregtools.train.regimes import Regime, Stage

_LOSSES: dict[str, Callable[..., Tensor]] = {
    "smooth_l1": nn.functional.smooth_l1_loss,
    "mse": nn.functional.mse_loss,
    "bce": nn.functional.binary_cross_entropy_with_logits,
}


class Training(lightning.LightningModule):
    """A network trained on one target a row.

    Parameters
    ----------
    network
        What is trained.
    regime
        How.

    Attributes
    ----------
    stage
        Which of the regime's stages is run.
    history
        One dictionary an epoch: losses and validation metrics.
    headline
        Validation metric that is shown while it runs.
    """

    network: nn.Module
    headline: str

    def __init__(self, network: nn.Module, regime: Regime) -> None:
        super().__init__()
        self.network = network
        self.regime = regime
        self.stage: Stage = regime.stages[0]
        self.history: list[dict[str, float]] = []
        self._loss = _LOSSES[regime.loss]
        self._train: list[tuple[Tensor, int]] = []
        self._valid: list[tuple[Tensor, Tensor]] = []

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """Prediction ``(n,)`` for a batch."""
        raise NotImplementedError

    def training_loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss of the rows of a batch."""
        return self._loss(self.predict(batch), batch["target"])

    def metrics(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Metrics of all validation rows beside their loss."""
        raise NotImplementedError

    def rate_of(self, name: str) -> float:
        """Learning rate of a parameter over that of the stage."""
        return 1.0

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        """Loss of a batch."""
        loss = self.training_loss(batch)
        self._train.append((loss.detach(), len(batch["target"])))
        return loss * batch["share"]

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        """Keep predictions of a batch for the epoch's metrics."""
        self._valid.append((self.predict(batch).float(), batch["target"].float()))

    def on_validation_epoch_end(self) -> None:
        """Log losses, and metrics over all validation rows."""
        n = self.trainer.world_size
        predicted, target = _all_rows([torch.stack([p.cpu(), t.cpu()]) for p, t in self._valid], n).unbind()
        steps = [torch.tensor([[float(loss) * rows], [rows]], dtype=torch.float64) for loss, rows in self._train]
        losses = _all_rows(steps, n)
        self._valid.clear()
        self._train.clear()
        metrics = {
            "train_loss": losses[0].sum() / losses[1].sum(),
            "val_loss": self._loss(predicted, target),
            **self.metrics(predicted, target),
        }
        self.history.append({name: float(value) for name, value in metrics.items()})
        self.log_dict({name: value.float() for name, value in metrics.items()})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history with the weights."""
        checkpoint["history"] = self.history

    def configure_optimizers(self) -> Any:
        """Optimiser of the regime over the parameters that are not frozen."""
        how = self.regime
        alike: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                spared = how.decay == "matrices" and parameter.ndim < 2
                alike.setdefault((self.rate_of(name), spared), []).append(parameter)
        rate, decay = self.stage.learning_rate, how.weight_decay
        groups: list[dict[str, Any]] = [
            {"params": parameters, "lr": rate * factor, "weight_decay": 0.0 if spared else decay}
            for (factor, spared), parameters in sorted(alike.items(), key=lambda item: item[0])
        ]
        kind = {"AdamW": torch.optim.AdamW, "Adam": torch.optim.Adam}[how.optimiser]
        optimiser = kind(groups, lr=rate, weight_decay=decay, betas=how.betas)
        if how.schedule == "constant":
            return optimiser
        total = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _cosine(step, total, how.warm_up))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _cosine(step: int, total: int, share: float) -> float:
    warm_up = max(1, round(share * total))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, total - warm_up))))


class Regression(Training):
    """A network trained on one number a row."""

    headline = "val_r"

    def metrics(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Mean squared error and Pearson's r."""
        r = pearson(predicted, target)
        return {"val_mse": nn.functional.mse_loss(predicted, target), "val_r": r, "val_minus_r2": -(r**2)}


class Classification(Training):
    """A network trained on one label a row; it predicts logits."""

    headline = "val_auprc"

    def metrics(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Areas under the ROC and the precision-recall curve."""
        from sklearn.metrics import average_precision_score, roc_auc_score

        label, score = target.numpy() > 0.5, predicted.numpy()
        nothing = torch.tensor(float("nan"))
        if not torch.isfinite(predicted).all():  # diverged
            return {"val_auroc": nothing, "val_auprc": nothing, "val_minus_auprc": nothing}
        auprc = torch.tensor(average_precision_score(label, score))
        return {"val_auroc": torch.tensor(roc_auc_score(label, score)), "val_auprc": auprc, "val_minus_auprc": -auprc}


class ActivityRegression(Regression):
    """Trains an :class:`EPInformerSeq` on log2(0.1 + activity)."""

    network: EPInformerSeq

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """Activity of the windows of a batch."""
        return self.network(batch["codes"])


class ExpressionRegression(Regression):
    """Trains an :class:`EPInformer`; each distinct sequence of a batch is encoded once.

    Parameters
    ----------
    freeze_encoder
        Keep the tower, its running statistics included, as it is.
    hidden_gene_features
        Gene features that a stage without promoter signal sees as 0.
    """

    network: EPInformer

    def __init__(
        self,
        network: EPInformer,
        regime: Regime,
        *,
        freeze_encoder: bool = False,
        hidden_gene_features: tuple[int, ...] = (),
    ) -> None:
        super().__init__(network, regime)
        self.freeze_encoder = freeze_encoder
        self.hidden_gene_features = hidden_gene_features
        if freeze_encoder:
            network.encoder.requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        """Keep the running statistics of a frozen tower as they are."""
        if self.freeze_encoder:
            self.network.encoder.eval()

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """Expression of the rows of a batch."""
        config, states = self.network.config, None
        if config.use_sequence:
            slot = batch["slot"]
            embedded = self.network.embed(batch["codes"], batch["multiplicity"] if self.training else None)
            # Not embedded[slot]: the gradient of index_select adds up in a fixed order.
            states = embedded.index_select(0, slot.flatten()).view(*slot.shape, -1)
        gene_features = batch["gene_features"]
        if self.hidden_gene_features and not self.stage.promoter_signal:
            gene_features = gene_features.clone()
            gene_features[:, list(self.hidden_gene_features)] = 0
        return self.network.interact(
            states,
            batch["slot_features"] if config.n_slot_features else None,
            gene_features if config.n_gene_features else None,
            batch["padding"],
        ).expression


def _all_rows(parts: list[Tensor], n_processes: int) -> Tensor:
    """Columns of all processes' parts ``(k, n)``, side by side."""
    own = torch.cat(parts, dim=1)
    if n_processes == 1:
        return own
    everyone: list[Any] = [None] * n_processes
    distributed.all_gather_object(everyone, own)
    return torch.cat(everyone, dim=1)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's r of two vectors; 0 where one does not vary."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    scale = a.norm() * b.norm()
    return torch.zeros((), dtype=torch.float64) if scale == 0 else (a * b).sum() / scale
