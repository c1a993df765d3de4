"""Position attention of EPIPAM: every bin of an enhancer against every bin of a promoter."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

_SMALL = 500
"""Relations up to which they are computed without a product of matrices: where its rounding was seen to vary."""


class PairAttention(NamedTuple):
    """What position attention found in pairs at one stage."""

    relation: Tensor
    """Mean over channels of the product of each two bins ``(n, enhancer_bins, promoter_bins)``."""
    enhancer: Tensor
    """Weight of each bin of the enhancer ``(n, enhancer_bins)``; sums to 1."""
    promoter: Tensor
    """Weight of each bin of the promoter ``(n, promoter_bins)``; sums to 1."""


class Attended(NamedTuple):
    """Maps scaled by position attention, and what it is made of."""

    enhancer: Tensor
    promoter: Tensor
    product: Tensor
    """The relation times the number of channels."""
    weights: tuple[Tensor, Tensor]


class PositionAttention(nn.Module):
    """Scale each bin of two maps by one plus its weight; without parameters.

    A bin's weight is the softmax, over the bins of its map, of its strongest relation to a bin of the other map.
    """

    def forward(
        self,
        enhancer: Tensor,
        promoter: Tensor,
        enhancer_valid: Tensor | None = None,
        promoter_valid: Tensor | None = None,
    ) -> Attended:
        """Attend.

        Parameters
        ----------
        enhancer, promoter
            Maps ``(n, channels, bins)``.
        enhancer_valid, promoter_valid
            True where a bin holds sequence ``(n, bins)``; ``None``: everywhere. Others get the weight 0.
        """
        channels = enhancer.shape[1]
        product = _product(enhancer, promoter)
        if enhancer_valid is not None and promoter_valid is not None:
            product = product.masked_fill(~(enhancer_valid[:, :, None] & promoter_valid[:, None]), -torch.inf)
        # Dividing the maxima gives the bits that dividing the whole matrix would.
        of_enhancer = torch.softmax(product.amax(dim=2) / channels, dim=1)
        of_promoter = torch.softmax(product.amax(dim=1) / channels, dim=1)
        return Attended(
            (enhancer * of_enhancer[:, None]).add_(enhancer),
            (promoter * of_promoter[:, None]).add_(promoter),
            product,
            (of_enhancer, of_promoter),
        )


def _product(enhancer: Tensor, promoter: Tensor) -> Tensor:
    """Sum over channels of the product of each two bins ``(n, enhancer_bins, promoter_bins)``."""
    if enhancer.shape[2] * promoter.shape[2] > _SMALL:
        return torch.bmm(enhancer.transpose(1, 2), promoter)
    # A CPU's product of many small matrices rounds differently with the place of a pair in its batch.
    return (enhancer[..., None] * promoter[:, :, None]).sum(1)


def strongest(product: Tensor, k: int, channels: int, at: Tensor | None = None) -> Tensor:
    """Take the ``k`` strongest relations of each pair ``(n, k)``, the strongest first; 0 where a pair has fewer.

    Parameters
    ----------
    product
        Relations times the number of channels ``(n, enhancer_bins, promoter_bins)``; minus infinity where there is
        none.
    at
        Take the relations at these places of the flattened matrix ``(n, k)`` instead, in this order.
    """
    flat = product.flatten(1)
    if at is not None:
        return flat.gather(1, at) / channels
    found = flat.topk(min(k, flat.shape[1]), dim=1, sorted=True).values
    found = found.masked_fill(found.isneginf(), 0.0) / channels
    return nn.functional.pad(found, (0, k - found.shape[1]))


def adaptive_max(x: Tensor, n_valid: Tensor, size: int) -> Tensor:
    """Largest value in each of ``size`` equal parts of the valid bins: ``(n, channels, bins)`` to ``(…, size)``.

    Parts overlap by a bin where the bins cannot be divided, as in ``nn.AdaptiveMaxPool1d``.
    """
    part, position = torch.arange(size, device=x.device), torch.arange(x.shape[2], device=x.device)
    first = part * n_valid[:, None] // size
    last = -(-(part + 1) * n_valid[:, None] // size)
    inside = (position >= first[..., None]) & (position < last[..., None])
    return x[:, :, None].masked_fill(~inside[:, None], -torch.inf).amax(dim=3)
