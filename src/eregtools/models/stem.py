"""Stem and first convolution of the tower by distinct windows of eight bases, with gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from eregtools.batches.encode import N_CODES, PADDING


def convolve_kmers(codes: Tensor, bases: Tensor, stem: nn.Conv1d, conv: nn.Conv1d) -> Tensor:
    """Put sequences through stem, ELU and a convolution of width 3: ``(n, length)`` to ``(n, channels, length)``.

    The stem sees ``stem.kernel_size`` bases, so a batch holds far fewer distinct inputs of it than positions (65,536
    of known bases at most). Each is computed once, with its contribution to the convolution's three outputs that it
    reaches, and gathered.

    Parameters
    ----------
    codes
        Sequence codes, uint8.
    bases
        One-hot channels of each code ``(6, 4)``.
    stem, conv
        The layers; the stem is padded with zeros to the length of the sequence, three on the left.
    """
    n, length = codes.shape
    width, channels = stem.kernel_size[0], conv.out_channels
    left = (width - 1) // 2
    padded = functional.pad(codes.int(), (left, width - 1 - left), value=PADDING)
    kmer = padded[:, :length]
    for offset in range(1, width):
        kmer = kmer * N_CODES + padded[:, offset : offset + length]
    distinct, row = torch.unique(kmer, return_inverse=True)
    power = N_CODES ** torch.arange(width - 1, -1, -1, device=codes.device)
    letters = bases[distinct[:, None] // power % N_CODES]
    hidden = functional.elu(
        letters.flatten(1) @ stem.weight.transpose(1, 2).flatten(1).T + stem.bias  # type: ignore[operator]
    )
    taps = (hidden @ conv.weight.permute(1, 2, 0).flatten(1)).view(-1, 3, channels)
    at_centre = torch.tensor([[0.0], [1.0], [0.0]], dtype=taps.dtype, device=taps.device)
    taps = taps + at_centre * conv.bias  # type: ignore[operator]
    # One row more, of zeros: the convolution pads the stem's output, not the sequence.
    table = torch.cat([taps.view(-1, channels), taps.new_zeros(1, channels)])
    reached = torch.full((n, length, 3), len(table) - 1, dtype=torch.int32, device=codes.device)
    reached[:, 1:, 0] = row[:, :-1] * 3
    reached[:, :, 1] = row * 3 + 1
    reached[:, :-1, 2] = row[:, 1:] * 3 + 2
    out = functional.embedding_bag(reached.view(-1, 3), table, mode="sum")
    return out.view(n, length, channels).transpose(1, 2)
