"""Trainings that a test runs in processes of their own: ``python training_runs.py killed|shared FOLDER``."""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import torch

import eregtools as er
from eregtools.models import EPInformerConfig, EPInformerSeqConfig
from eregtools.train import callbacks
from eregtools.train.modules import Regression
from training_world import make_training_world

CHANNELS = (8, 8, 8, 8, 8)
SMALL = EPInformerConfig(window=416, embedding_dim=32, n_layers=2, tower_channels=CHANNELS)
KILLED_IN = {"log": (callbacks, "write_log"), "checkpoint": (torch, "save"), "step": (Regression, "training_step")}
"""Where a training is killed: while the log is written, while the checkpoint is, in the middle of an epoch."""


def expression(mdata, folder, **changes):
    arguments = {
        "assay": "RNA",
        "fold": 1,
        "config": SMALL,
        "regime": "published",
        "max_epochs": 4,
        "learning_rate": 2e-3,
        "device": "cpu",
        "gradient_clip": 1.0,
        "reverse_complement": True,
        "max_shift": 8,
        "rng": 5,
        "folder": folder,
    }
    return er.tl.train_expression(mdata, **(arguments | changes))


def activity(mdata, folder, **changes):
    config = EPInformerSeqConfig(hidden=8, dropout=0.3, tower_channels=CHANNELS)
    arguments = {"fold": 1, "config": config, "max_epochs": 4, "device": "cpu", "rng": 5, "folder": folder}
    return er.tl.train_activity(mdata, **(arguments | changes))


def killed(folder: Path) -> None:
    """Kill each training at several places, resume it, and write down whether the weights are those of a whole one."""
    mdata = make_training_world(folder)
    er.settings.progress = False
    double = partial(expression, precision="64")
    for name, train, stops in (
        ("expression", expression, [("log", 2), ("checkpoint", 3), ("step", 20)]),
        ("double", double, [("log", 5)]),
        ("activity", activity, [("checkpoint", 1), ("log", 3), ("step", 9)]),
    ):
        in_child(lambda train=train, name=name: train(mdata, folder / name))
        for place, times in stops:
            broken = folder / f"{name}-{place}-{times}"
            kill_at(lambda train=train, broken=broken: train(mdata, broken), place, times)
            in_child(lambda train=train, broken=broken: train(mdata, broken, resume=True))


def in_child(work) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def kill_at(work, place: str, times: int) -> None:
    def broken_off():
        module, name = KILLED_IN[place]
        whole, calls = getattr(module, name), [0]

        def until(*args, **kwargs):
            calls[0] += 1
            if calls[0] == times:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*args, **kwargs)

        setattr(module, name, until)
        work()

    status = in_child(broken_off)
    assert os.WIFSIGNALED(status), "the training ended before it was killed"
    assert os.WTERMSIG(status) == signal.SIGKILL


def shared(folder: Path) -> None:
    """Train with the processes that the launcher started; write the loss of each step."""
    rank = int(os.environ["RANK"])
    own = folder / f"files{rank}"
    own.mkdir(exist_ok=True)
    losses = []
    step = Regression.training_step

    def recorded(self, batch, number):
        loss = step(self, batch, number)
        losses.append(loss.item())
        return loss

    Regression.training_step = recorded
    er.settings.progress = False
    mdata = make_training_world(own)
    n = int(os.environ["WORLD_SIZE"])
    arguments = {"regime": "paper", "batch_size": 8, "max_epochs": 4, "precision": "64", "max_shift": 0, "devices": n}
    arguments["reverse_complement"] = False
    model = expression(mdata, folder / "model", **arguments)
    again = expression(mdata, folder / "model", resume=True, **arguments)
    assert again.fingerprint() == er.models.load(folder / "model").fingerprint(), "every process finds it finished"
    (folder / f"losses{rank}.json").write_text(json.dumps([losses, model.provenance["training"]["val_loss"]]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"killed": killed, "shared": shared}[sys.argv[1]](Path(sys.argv[2]))
