"""Fit a network stage by stage: the best epoch's weights kept, checkpoints to resume from, several devices."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from eregtools._logging import logger
from eregtools.models.normalisation import over_processes
from eregtools.train.callbacks import BestEpoch, EpochBar, EpochLog, StepSeed, numbered
from eregtools.train.datamodule import TrainingData
from eregtools.train.modules import Training

LOG_FOLDER = "log"
LOG_FILE = "metrics.csv"
CHECKPOINT_FOLDER = "checkpoints"
Precision = Literal["32", "bf16", "64"]
_PRECISION: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "64": "64-true"}


@dataclass(frozen=True)
class Engine:
    """On what a training runs.

    Attributes
    ----------
    device
        Kind of device, and its number where there is one.
    devices, nodes
        Devices of a node, and nodes; more than one: data-parallel.
    precision
        ``"32"``, ``"bf16"`` (mixed) or ``"64"``; ``None``: bfloat16 on GPUs that have it, otherwise 32.
    """

    device: torch.device
    devices: int = 1
    nodes: int = 1
    precision: Precision | None = None

    def __post_init__(self) -> None:
        for name in ("devices", "nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        if self.precision is not None and self.precision not in _PRECISION:
            raise ValueError(f"precision is {self.precision!r}; expected one of {', '.join(_PRECISION)}, or None")
        if self.precision == "64" and self.device.type == "mps":
            raise ValueError("precision is '64', which this GPU (MPS) does not have; expected '32', or device='cpu'")
        if self.device.type == "cuda" and self.devices > torch.cuda.device_count():
            raise ValueError(f"devices is {self.devices}; this machine has {torch.cuda.device_count()}")

    @property
    def several(self) -> bool:
        """Whether several processes train together."""
        return self.devices * self.nodes > 1

    def trainer(self, **arguments: Any) -> lightning.Trainer:
        """Trainer for this engine."""
        kind, several = self.device.type, self.several
        precision = self.precision
        if precision is None:
            in_hardware = kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
            precision = "bf16" if in_hardware else "32"
        one = [self.device.index] if kind == "cuda" and self.device.index is not None else 1
        return lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(kind, kind),
            devices=self.devices if several else one,
            num_nodes=self.nodes,
            strategy="ddp" if several else "auto",
            precision=_PRECISION[precision],
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            **arguments,
        )


def fit(
    module: Training,
    data: TrainingData,
    *,
    engine: Engine,
    seed: int,
    folder: Path | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Train a module's network in place and leave it with the weights of its best epoch.

    With a folder, each stage leaves a checkpoint after every epoch (``checkpoints/``) and its log (``log/``).

    Parameters
    ----------
    module
        Network, loss and optimiser.
    data
        Training and validation batches.
    engine
        On what to train.
    seed
        Seed of dropout; the caller's random state is left as it was.
    folder
        Where checkpoints and log go; ``None``: nowhere.
    resume
        Go on from the checkpoints that the same training left there; the weights become those of an unbroken one.

    Returns
    -------
    Of the last stage: epochs run, the best epoch, and its losses and validation metrics. ``stage_metrics`` has them
    for each, ``history`` the columns of the log.

    Raises
    ------
    ValueError
        No epoch has a finite validation loss.
    MemoryError
        A batch does not fit the memory.
    """
    stages: list[dict[str, Any]] = []
    log: list[dict[str, float]] = []
    devices = [torch.cuda.current_device()] if engine.device.type == "cuda" else []
    with _quiet(), torch.random.fork_rng(devices), _deterministic(engine.device), over_processes(engine.several):
        for number, stage in enumerate(module.regime.stages, start=1):
            module.stage, module.history = stage, []
            best = _fit_stage(module, data, engine, seed + number - 1, _Place(folder, number, log, resume))
            log += numbered(module.history, number)
            of_best = {key: value for key, value in module.history[best.epoch].items() if "minus" not in key}
            stages.append({"epochs": len(module.history), "best_epoch": best.epoch + 1, **of_best})
    module.network.cpu().float().eval().requires_grad_(True)
    last = stages[-1]
    metric = module.headline.removeprefix("val_")
    logger.info(
        "best of %d epochs is %d: validation %s %.3f", last["epochs"], last["best_epoch"], metric, last[module.headline]
    )
    columns = {name: [row[name] for row in log] for name in log[0]}
    return last | ({"stage_metrics": stages} if len(stages) > 1 else {}) | {"history": columns}


@dataclass(frozen=True)
class _Place:
    """Where a stage keeps its files."""

    folder: Path | None
    number: int
    log: list[dict[str, float]]
    """Rows of the stages before."""
    resume: bool

    def checkpoint(self, finished: bool = False) -> Path:
        """Checkpoint after the last epoch, or what is left of a finished stage."""
        return (self.folder or Path()) / CHECKPOINT_FOLDER / f"stage{self.number}{'.finished' * finished}.ckpt"

    def read(self, finished: bool = False) -> dict[str, Any] | None:
        path = self.checkpoint(finished)
        if self.folder is None or not self.resume or not path.is_file():
            return None
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return found


def _fit_stage(module: Training, data: TrainingData, engine: Engine, seed: int, place: _Place) -> BestEpoch:
    best = BestEpoch(module.regime.monitor, module.regime.patience)
    done = place.read(finished=True)
    if done:
        best.load_state_dict(done["best"])
        module.history = done["history"]
    else:
        _run(module, data, engine, seed, place, best)
    if best.epoch < 0:
        raise ValueError(
            "training diverged: no epoch has a finite validation loss; lower learning_rate "
            f"({module.stage.learning_rate:g})"
        )
    if engine.precision == "64":
        module.network.double()  # a resumed stage is not yet; its weights are
    module.network.load_state_dict(best.weights)
    if place.folder and not done and is_first_process():
        path = place.checkpoint(finished=True)
        part = path.with_suffix(".part")
        torch.save({"best": best.state_dict(), "history": module.history}, part)
        part.replace(path)
        place.checkpoint().unlink(missing_ok=True)
    return best


def _run(module: Training, data: TrainingData, engine: Engine, seed: int, place: _Place, best: BestEpoch) -> None:
    """Run the optimiser, from the stage's last checkpoint where there is one."""
    last = place.checkpoint()
    state = place.read()
    if state:
        best.load_state_dict(state["callbacks"][best.state_key])
        module.history = state["history"]
        logger.info("going on after epoch %d of stage %d", best.last_epoch + 1, place.number)
        if best.exhausted:
            return
    callbacks: list[lightning.Callback] = [StepSeed(seed), best, EpochBar("Training")]
    if place.folder:
        callbacks.append(EpochLog(place.folder / LOG_FOLDER / LOG_FILE, place.number, place.log))
        callbacks.append(
            ModelCheckpoint(last.parent, filename=last.stem, save_on_train_epoch_end=True, enable_version_counter=False)
        )
    trainer = engine.trainer(
        max_epochs=module.stage.max_epochs,
        gradient_clip_val=module.regime.gradient_clip,
        logger=_tensorboard(place),
        callbacks=callbacks,
        enable_checkpointing=place.folder is not None,
        plugins=[_AtomicCheckpoints()],
        default_root_dir=place.folder,
    )
    try:
        trainer.fit(module, data, ckpt_path=last if state else None)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        raise MemoryError(
            f"out of memory at batch_size={module.regime.batch_size}; lower batch_size, or spread it over more devices"
        ) from error


class _AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints written beside their place and renamed: one is whole or not there, on every file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint."""
        part = Path(path).with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, part)
        part.replace(path)


def _tensorboard(place: _Place) -> Any:
    if place.folder is None or not (find_spec("tensorboard") or find_spec("tensorboardX")):
        return False
    return TensorBoardLogger(place.folder, name=LOG_FOLDER, version=f"tensorboard-stage{place.number}")


def _is_out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return any(words in text for words in ("out of memory", "not enough memory", "allocate memory"))


def is_first_process() -> bool:
    """Whether this process writes what all processes of a distributed training have in common."""
    from lightning.pytorch.utilities.rank_zero import rank_zero_only

    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


def wait_for_all_processes(engine: Engine) -> None:
    """In a distributed training: go on when all processes are here."""
    if engine.several:
        torch.distributed.barrier()


@contextmanager
def _deterministic(device: torch.device) -> Iterator[None]:
    """On a CPU, sum in a fixed order, so that a training can be repeated bit by bit."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


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
            warnings.filterwarnings("ignore", message=".*not been set for this class.*")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
