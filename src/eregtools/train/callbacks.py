"""What is shown while a network is trained."""

from __future__ import annotations

from typing import Any

import lightning

from eregtools._logging import progress_bar


class EpochBar(lightning.Callback):
    """One progress bar over the epochs, with the validation loss and r of the last one."""

    def __init__(self, description: str) -> None:
        self.description = description
        self._bar: Any = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Open the bar."""
        self._bar = progress_bar(trainer.max_epochs or 0, self.description, "epochs")

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Move on by an epoch."""
        if self._bar is not None:
            shown = {name: f"{float(value):.3f}" for name, value in trainer.callback_metrics.items() if "val" in name}
            self._bar.set_postfix(shown)
            self._bar.update()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the bar, also after an error."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
