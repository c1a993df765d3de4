"""The device to compute on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from eregtools._settings import settings


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Device of a ``device`` argument; ``None``: ``settings.device``.

    ``"auto"`` is CUDA if there is one, then MPS, then the CPU.

    Raises
    ------
    ValueError
        There is no such device.
    """
    name = settings.device if device is None else device
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device {str(name)!r} cannot be used ({reason}); 'cpu' and 'auto' always can") from None
    return chosen


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute convolutions and products in float32 proper: GPUs otherwise round their inputs (TF32)."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
