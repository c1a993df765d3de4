"""Several processes that share work which falls into independent parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from eregtools.train.fit import Engine


@dataclass(frozen=True)
class Processes:
    """What one process knows of all of them.

    Attributes
    ----------
    rank
        Number of this process.
    world
        Number of processes.
    device
        Device of this process.
    wait
        Returns when all processes have called it.
    """

    rank: int
    world: int
    device: torch.device
    wait: Callable[[], None]

    @property
    def first(self) -> bool:
        """Whether this process writes what all have in common."""
        return self.rank == 0


def launched(engine: Engine) -> Processes:
    """Start the processes of an engine, as a training does: by itself, or as torchrun and SLURM started them."""
    if not engine.several:
        return Processes(0, 1, engine.device, lambda: None)
    import lightning

    fabric = lightning.Fabric(
        accelerator={"cuda": "gpu"}.get(engine.device.type, engine.device.type),
        devices=engine.devices,
        num_nodes=engine.nodes,
        strategy="ddp",
    )
    fabric.launch()
    return Processes(fabric.global_rank, fabric.world_size, fabric.device, fabric.barrier)
