"""Batch normalisation over rows that stand for several, and over the rows of all processes.

A batch holds each distinct sequence once, however many slots of its genes hold it. Moments weighted by that number
are those of the batch with every slot written out (and, with a row of padding, of the padded batch).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

_ELEMENTS_AT_A_TIME = {"cpu": 2**18}
"""Elements computed together: on a CPU as many as its caches hold."""
_ELEMENTS_ELSEWHERE = 2**26


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of ``(n, channels)`` or ``(n, channels, length)``; parameters of ``nn.BatchNorm1d``.

    In training, each row counts ``multiplicity`` times ``(n,)``; ``None``: once. Under :func:`over_processes`, moments
    are taken over the rows of all processes.
    """

    def forward(self, x: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        if not self.training or (multiplicity is None and not _over_all):
            return super().forward(x)
        mean, variance, count = self._moments(x, multiplicity)
        flat = x.unsqueeze(-1) if x.ndim == 2 else x
        return _Normalise.apply(flat, self.weight, self.bias, mean, variance, count, multiplicity, self.eps).view_as(x)

    def pooled(self, x: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        """Normalise ``(n, channels, length)``, apply ELU and take the larger of each two positions; in training.

        One step, because the three in a row are the largest tensors of a network: nothing but ``x`` is kept.
        """
        mean, variance, count = self._moments(x, multiplicity)
        return NormalisedPool.apply(x, self.weight, self.bias, mean, variance, count, multiplicity, self.eps)

    @torch.no_grad()
    def _moments(self, x: Tensor, multiplicity: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and variance ``(channels,)`` and the number of values; moves the running statistics."""
        flat = x.unsqueeze(-1) if x.ndim == 2 else x
        n, channels, length = flat.shape
        kind = torch.promote_types(x.dtype, torch.float32)
        weight = torch.ones(n, dtype=kind, device=x.device) if multiplicity is None else multiplicity.to(kind)
        total = torch.zeros(channels + 1, dtype=kind, device=x.device)
        total[-1] = weight.sum() * length
        # Sums, not matrix products: these would be in half precision under autocast.
        for rows in _chunks(flat):
            total[:-1] += (weight[rows, None] * flat[rows].to(kind).sum(-1)).sum(0)
        total = _over_processes(total)
        mean, count = total[:-1] / total[-1], total[-1]
        squares = torch.zeros(channels, dtype=kind, device=x.device)
        for rows in _chunks(flat):
            squares += (weight[rows, None] * (flat[rows].to(kind) - mean[:, None]).square_().sum(-1)).sum(0)
        variance = _over_processes(squares) / count
        self._move_running(mean, variance * (count / (count - 1)))
        return mean, variance, count

    def _move_running(self, mean: Tensor, unbiased: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def _gradient_of_normalised(
    x_hat: Tensor, gradient: Tensor, scale: Tensor, sums: Tensor, count: Tensor, weight: Tensor | None
) -> Tensor:
    """Gradient of the input from that of the normalised values, moments included."""
    centre, slope = sums / count
    shared = x_hat.mul_(slope[:, None]).add_(centre[:, None])
    if weight is not None:
        shared = shared.mul_(weight[:, None, None])
    return gradient.sub_(shared).mul_(scale[:, None])


class _Normalise(torch.autograd.Function):
    """Normalise with given moments, whose own gradients the backward pass accounts for."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        multiplicity: Tensor | None,
        eps: float,
    ) -> Tensor:
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, mean, inverse, count, multiplicity)
        scale = weight * inverse
        return (x * scale[:, None] + (bias - mean * scale)[:, None]).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight, mean, inverse, count, multiplicity = ctx.saved_tensors
        gradient = gradients[0].to(mean.dtype, copy=True)
        x_hat = (x.to(mean.dtype) - mean[:, None]).mul_(inverse[:, None])
        sums = torch.stack([gradient.sum((0, 2)), (gradient * x_hat).sum((0, 2))])
        into_bias, into_weight = sums.clone()
        sums = _over_processes(sums)
        row = None if multiplicity is None else multiplicity.to(mean.dtype)
        into_x = _gradient_of_normalised(x_hat, gradient, weight * inverse, sums, count, row)
        return into_x.to(x.dtype), into_weight, into_bias, None, None, None, None, None


class NormalisedPool(torch.autograd.Function):
    """Normalise with given moments, ELU, the larger of each two positions: ``(n, c, length)`` to half the length.

    ELU rises, so the larger is taken before it. The gradient goes to the larger (of two equal: the first). Rows are
    gone through in chunks, and what lies between is computed again in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        multiplicity: Tensor | None,
        eps: float,
    ) -> Tensor:
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(x, weight, bias, mean, inverse, count, multiplicity)
        scale = weight * inverse
        shift = bias - mean * scale
        out = torch.empty(*x.shape[:2], x.shape[2] // 2, dtype=x.dtype, device=x.device)
        for rows in _chunks(x):
            z = x[rows].to(mean.dtype).mul(scale[:, None]).add_(shift[:, None])
            first, second = _pairs(z)
            out[rows] = functional.elu_(torch.maximum(first, second))
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight, bias, mean, inverse, count, multiplicity = ctx.saved_tensors
        (gradient,) = gradients
        into_x = torch.zeros_like(x)
        sums = torch.zeros(2, len(mean), dtype=mean.dtype, device=x.device)
        for rows in _chunks(x):
            x_hat = x[rows].to(mean.dtype).sub(mean[:, None]).mul_(inverse[:, None])
            first, second = _pairs(x_hat * weight[:, None] + bias[:, None])
            z = torch.maximum(first, second)
            inner = gradient[rows].to(mean.dtype) * torch.where(z > 0, 1.0, z.exp())
            left = first >= second
            into_first, into_second = _pairs(into_x[rows])
            into_first.copy_(inner * left)
            into_second.copy_(inner * ~left)
            x_first, x_second = _pairs(x_hat)
            sums[0] += inner.sum((0, 2))
            sums[1] += (inner * torch.where(left, x_first, x_second)).sum((0, 2))
        into_bias, into_weight = sums.clone()
        sums = _over_processes(sums)
        scale = weight * inverse
        for rows in _chunks(x):
            x_hat = x[rows].to(mean.dtype).sub(mean[:, None]).mul_(inverse[:, None])
            row = None if multiplicity is None else multiplicity[rows].to(mean.dtype)
            own = into_x[rows].to(mean.dtype)
            into_x[rows] = _gradient_of_normalised(x_hat, own, scale, sums, count, row)
        return into_x, into_weight, into_bias, None, None, None, None, None


def _pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """First and second of each two positions; a last one without a partner is left out."""
    half = x.shape[2] // 2
    return x[:, :, 0 : 2 * half : 2], x[:, :, 1 : 2 * half : 2]


def _chunks(x: Tensor) -> list[slice]:
    size = max(1, _ELEMENTS_AT_A_TIME.get(x.device.type, _ELEMENTS_ELSEWHERE) // max(1, x[0].numel()))
    return [slice(begin, begin + size) for begin in range(0, len(x), size)]


_over_all = False


@contextmanager
def over_processes(several: bool) -> Iterator[None]:
    """While training with several processes: take moments over the rows of all of them."""
    global _over_all
    before, _over_all = _over_all, several
    try:
        yield
    finally:
        _over_all = before


def _over_processes(x: Tensor) -> Tensor:
    """Sum over the processes of a distributed training."""
    if _over_all:
        distributed.all_reduce(x)
    return x
