"""Layers shared by the models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from eregtools.batches.encode import N_CODES, UNKNOWN
from eregtools.models.normalisation import BatchNorm
from eregtools.models.stem import convolve_kmers


def base_vectors(n_value: float, order: str = "ACGT") -> Tensor:
    """One-hot channels of each code ``(6, 4)``: A C G T, unknown (``n_value`` in all four), padding (zero).

    Channel ``i`` is that of base ``order[i]``.
    """
    table = torch.zeros(N_CODES, 4)
    table[:UNKNOWN] = torch.eye(4)[:, ["ACGT".index(base) for base in order]]
    table[UNKNOWN] = n_value
    return table


class OneHot(nn.Module):
    """Codes ``(n, length)`` to one-hot channels ``(n, 4, length)``; padding is all zero.

    Parameters
    ----------
    n_value
        Value of all four channels at an unknown base.
    order
        Base of each channel.
    """

    table: Tensor

    def __init__(self, n_value: float, order: str = "ACGT") -> None:
        super().__init__()
        self.register_buffer("table", base_vectors(n_value, order), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        return self.table[codes.long()].transpose(1, 2)


class ConvBlock(nn.Module):
    """Convolution of width 3, normalisation, ELU, halving; then a residual pointwise convolution."""

    def __init__(self, in_channels: int, out_channels: int, *, batchnorm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, 3, padding=1)
        self.norm = BatchNorm(out_channels) if batchnorm else nn.Identity()
        self.activation = nn.ELU()
        self.pool = nn.MaxPool1d(2)
        self.pointwise = nn.Conv1d(out_channels, out_channels, 1)
        self.pointwise_activation = nn.ELU()

    def forward(self, x: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        """Channels of half the length; ``multiplicity`` as in :class:`BatchNorm`."""
        return self.after_convolution(self.conv(x), multiplicity)

    def after_convolution(self, x: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        """All of the block but its first convolution."""
        if self.training and isinstance(self.norm, BatchNorm):
            x = self.norm.pooled(x, multiplicity)
        else:
            x = self.pool(self.activation(self.norm(x)))
        return x + self.pointwise_activation(self.pointwise(x))


TOWER_CHANNELS = (256, 128, 64, 64, 128)
"""Channels of the published models' stem and four blocks."""


class SequenceEncoder(nn.Module):
    """Convolutional tower of EPInformer: ``(n, 4, length)`` to ``(n, channels[-1], length // 16)``.

    Stem of filters of width 8 (three positions of zero padding on the left, four on the right), then four
    :class:`ConvBlock`. Output ``p`` depends on inputs ``16 p - 18`` to ``16 p + 34``.
    """

    stride = 16
    reach = (18, 34)
    """How far an output at stride 16 sees to the left and right of its first input."""

    def __init__(self, channels: Sequence[int] = TOWER_CHANNELS, *, batchnorm: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, channels[0], 8)
        self.stem_padding = nn.ConstantPad1d((3, 4), 0.0)
        self.stem_activation = nn.ELU()
        self.blocks = nn.ModuleList(ConvBlock(a, b, batchnorm=batchnorm) for a, b in pairwise(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_activation(self.stem(self.stem_padding(x)))
        for block in self.blocks:
            x = block(x)
        return x

    def from_codes(self, codes: Tensor, one_hot: OneHot, multiplicity: Tensor | None = None) -> Tensor:
        """Run the tower on codes ``(n, length)``, each row counted ``multiplicity`` times in batch normalisation.

        On a CPU, in training, stem and first convolution are computed once for each distinct window of eight bases
        and gathered: the same numbers and gradients for a fraction of the arithmetic.
        """
        first = cast("ConvBlock", self.blocks[0])
        if self.training and codes.device.type == "cpu":
            x = first.after_convolution(convolve_kmers(codes, one_hot.table, self.stem, first.conv), multiplicity)
        else:
            x = self.stem_activation(self.stem(self.stem_padding(one_hot(codes))))
            x = first(x, multiplicity)
        for block in self.blocks[1:]:
            x = block(x, multiplicity)
        return x


class DilatedHead(nn.Module):
    """From the tower's output over a window to one embedding: ``(n, in_channels, positions)`` to ``(n, dim)``.

    Three dilated convolutions without padding, a pointwise one to 32 channels, a linear map over the positions.
    """

    dilations = (2, 4, 6)
    width = 64
    channels = 32

    def __init__(self, in_channels: int, positions: int, dim: int, *, batchnorm: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = in_channels
        for dilation in self.dilations:
            layers += self._unit(nn.Conv1d(size, self.width, 3, dilation=dilation), batchnorm)
            size = self.width
        layers += self._unit(nn.Conv1d(size, self.channels, 1), batchnorm)
        self.convolutions = nn.Sequential(*layers)
        self.positions = nn.Linear(positions - 2 * sum(self.dilations), dim // self.channels)
        self.activation = nn.ELU()

    @staticmethod
    def _unit(conv: nn.Conv1d, batchnorm: bool) -> list[nn.Module]:
        norm = BatchNorm(conv.out_channels) if batchnorm else nn.Identity()
        return [conv, norm, nn.ELU()]

    def forward(self, x: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        """Embeddings; ``multiplicity`` as in :class:`BatchNorm`."""
        for layer in self.convolutions:
            x = layer(x, multiplicity) if isinstance(layer, BatchNorm) else layer(x)
        return self.activation(self.positions(x)).flatten(1)


class Standardise(nn.Module):
    """Features less their mean, over their standard deviation; both from the training data."""

    mean: Tensor
    sd: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("sd", torch.ones(n))

    def fit(self, values: Tensor) -> None:
        """Take mean and standard deviation of features ``(rows, n)``; one that does not vary keeps its scale."""
        values = values.double()
        if len(values):
            sd = values.std(dim=0, correction=0)
            self.mean.copy_(values.mean(dim=0))
            self.sd.copy_(torch.where(sd > 0, sd, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.sd


class Product(nn.Module):
    """Matrix product of two inputs, as a module so that attribution can hook it."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b


class PromoterAttention(nn.Module):
    """Pre-norm attention layer in which enhancers see only the promoter and themselves.

    The promoter (slot 0) attends to every slot that is not padding. Each enhancer attends to the promoter and
    to itself, so its row of the attention matrix has two entries: time and memory grow linearly with the number
    of slots. Equal to ``nn.MultiheadAttention`` under EPInformer's mask; softmax and products are modules so
    that attribution can pass through them.

    Parameters
    ----------
    dim
        Width of a slot's state.
    n_heads
        Attention heads.
    """

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.promoter_logits = Product()
        self.promoter_softmax = nn.Softmax(dim=-1)
        self.promoter_values = Product()
        self.enhancer_softmax = nn.Softmax(dim=-1)
        self.out_proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor, padding: Tensor, *, promoter_only: bool = False) -> tuple[Tensor, Tensor]:
        """One layer.

        Parameters
        ----------
        x
            States ``(n, slots, dim)``; slot 0 is the promoter.
        padding
            True where a slot holds nothing, ``(n, slots)``.
        promoter_only
            Return only the promoter's new state ``(n, 1, dim)``: all that the last layer needs.

        Returns
        -------
        New states, and the promoter's attention averaged over heads ``(n, slots)``.
        """
        n, slots, dim = x.shape
        query, key, value = self._heads(self.in_proj(self.norm1(x)))
        query = query * (dim // self.n_heads) ** -0.5
        blocked = padding[:, None, None, :]

        logits = self.promoter_logits(query[:, :, :1], key.transpose(-1, -2))
        weights = self.promoter_softmax(logits.masked_fill(blocked, -torch.inf))
        mixed = self.promoter_values(weights, value)
        if promoter_only:
            x = x[:, :1]
        elif slots > 1:
            mixed = torch.cat([mixed, self._enhancers(query, key, value, padding)], dim=2)
        x = x + self.out_proj(mixed.transpose(1, 2).reshape(n, -1, dim))
        return x + self.feed_forward(self.norm2(x)), weights[:, :, 0].mean(dim=1)

    def _heads(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, slots, width = projected.shape
        split = projected.view(n, slots, 3, self.n_heads, width // (3 * self.n_heads))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        return query, key, value

    def _enhancers(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor) -> Tensor:
        own = query[:, :, 1:]
        to_promoter = (own * key[:, :, :1]).sum(-1)
        to_self = (own * key[:, :, 1:]).sum(-1).masked_fill(padding[:, None, 1:], -torch.inf)
        weights = self.enhancer_softmax(torch.stack([to_promoter, to_self], dim=-1))
        return weights[..., :1] * value[:, :, :1] + weights[..., 1:] * value[:, :, 1:]
