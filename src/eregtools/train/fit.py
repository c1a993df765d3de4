"""Fit a network: early stopping on the validation loss, the best epoch's weights kept."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from eregtools._logging import logger
from eregtools.train.callbacks import EpochBar
from eregtools.train.datamodule import TrainingData
from eregtools.train.modules import Regression

LOG_FOLDER = "log"


def fit(
    module: Regression, data: TrainingData, *, device: torch.device, seed: int, folder: Path | None = None
) -> dict[str, float | int]:
    """Train a module's network in place and leave it with the weights of its best epoch.

    Parameters
    ----------
    module
        Network, loss and optimiser.
    data
        Training and validation rows.
    device
        Where to train.
    seed
        Seed of dropout; the caller's random state is left as it was.
    folder
        Where the CSV log goes; ``None``: no log is kept.

    Returns
    -------
    Epochs run, the best epoch, and its validation loss and r.

    Raises
    ------
    ValueError
        No epoch has a finite validation loss.
    """
    how = module.optimisation
    with tempfile.TemporaryDirectory() as scratch, _quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        best = ModelCheckpoint(scratch, monitor="val_loss", save_top_k=1, save_weights_only=True)
        callbacks = [best, EarlyStopping("val_loss", patience=how.patience), EpochBar("Training")]
        trainer = lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=[device.index] if device.type == "cuda" and device.index is not None else 1,
            max_epochs=how.max_epochs,
            logger=CSVLogger(folder, name="", version=LOG_FOLDER) if folder else False,
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            reload_dataloaders_every_n_epochs=1,
        )
        trainer.fit(module, data)
        loss = best.best_model_score
        if loss is None or not torch.isfinite(loss):
            raise ValueError(
                f"training diverged: no epoch has a finite validation loss; lower learning_rate ({how.learning_rate})"
            )
        stored = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
        module.load_state_dict(stored["state_dict"])
        epoch = int(stored["epoch"])
    module.network.cpu().eval().requires_grad_(True)
    r = module.valid_r[epoch]
    logger.info("best of %d epochs is %d: validation r %.3f", trainer.current_epoch, epoch + 1, r)
    return {"epochs": trainer.current_epoch, "best_epoch": epoch + 1, "val_loss": float(loss), "val_r": r}


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Lightning's notes on hardware and advice on data loading."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists and is not empty.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
            warnings.filterwarnings("ignore", message=".*Trying to infer the `batch_size`.*")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
