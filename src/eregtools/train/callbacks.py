"""What happens around the epochs of a training: the best weights kept, the log written, progress shown."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from eregtools._logging import progress_bar
from eregtools.train.modules import Training
from eregtools.train.regimes import MONITORS


class StepSeed(lightning.Callback):
    """Seed each step by itself, so that a resumed training draws what an unbroken one would."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed dropout."""
        assert isinstance(pl_module, Training)
        entropy = (self.seed, len(pl_module.history), batch_idx, trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


class BestEpoch(lightning.Callback):
    """Keep the weights of the best epoch, and stop when none was better for a regime's patience.

    Weights are part of the callback's state, hence of each checkpoint: one file holds all that resuming needs.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        self.monitor, self.patience = monitor, patience
        self.best: float = float("inf")
        self.epoch = -1
        self.last_epoch = -1
        self.weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compare the epoch with the best one."""
        assert isinstance(pl_module, Training)
        self.last_epoch = len(pl_module.history) - 1
        last = pl_module.history[-1]
        value = last[MONITORS[self.monitor]]
        if math.isfinite(last["val_loss"]) and value < self.best:
            self.best, self.epoch = value, self.last_epoch
            self.weights = {k: v.detach().cpu().clone() for k, v in pl_module.network.state_dict().items()}
        if self.exhausted:
            trainer.should_stop = True

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.last_epoch - max(self.epoch, 0) >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"best": self.best, "epoch": self.epoch, "last_epoch": self.last_epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore from a checkpoint."""
        for name, value in state_dict.items():
            setattr(self, name, value)


class EpochLog(lightning.Callback):
    """Write the history as CSV after each epoch: the whole file, under a temporary name first.

    Parameters
    ----------
    path
        The file.
    stage
        Number of the stage that runs, from 1.
    earlier
        Rows of the stages before.
    """

    def __init__(self, path: Path, stage: int, earlier: list[dict[str, float]]) -> None:
        self.path, self.stage, self.earlier = path, stage, earlier

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the log; the first process alone does."""
        assert isinstance(pl_module, Training)
        if trainer.is_global_zero:
            write_log(self.path, self.earlier + numbered(pl_module.history, self.stage))


def numbered(history: list[dict[str, float]], stage: int) -> list[dict[str, float]]:
    """Rows of the log: stage and epoch, both from 1, before the figures of the epoch."""
    return [{"stage": stage, "epoch": epoch, **row} for epoch, row in enumerate(history, start=1)]


def write_log(path: Path, rows: list[dict[str, float]]) -> None:
    """Write rows as CSV; a failure leaves the old file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text.getvalue())
    part.replace(path)


class EpochBar(lightning.Callback):
    """One progress bar over the epochs, with the validation loss and headline metric of the last one."""

    def __init__(self, description: str) -> None:
        self.description = description
        self._bar: Any = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the bar."""
        if trainer.is_global_zero:
            self._bar = progress_bar(trainer.max_epochs or 0, self.description, "epochs")
            self._bar.update(trainer.current_epoch)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Move on by an epoch."""
        assert isinstance(pl_module, Training)
        if self._bar is not None:
            last = pl_module.history[-1]
            self._bar.set_postfix({name: f"{last[name]:.3f}" for name in ("val_loss", pl_module.headline)})
            self._bar.update()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
