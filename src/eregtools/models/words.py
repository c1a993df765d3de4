"""Convolution of a sequence of symbols by look-up: what each word contributes is computed once for all its places."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_POSITIONS_PER_CHUNK = 12_000
"""Outputs computed together: what a CPU's cache holds."""


@dataclass(frozen=True)
class WordTables:
    """Contributions of words to a convolution without padding.

    Attributes
    ----------
    rows
        Contribution of each word of each group of taps ``(n_rows, channels)``.
    first
        Tap at which each group begins, and the row at which its words do.
    span, vocabulary, width
        Symbols of a word, how many symbols there are, and taps of the convolution.
    """

    rows: Tensor
    first: tuple[tuple[int, int], ...]
    span: int
    vocabulary: int
    width: int

    @classmethod
    def of(cls, vectors: Tensor, weight: Tensor, span: int) -> WordTables:
        """Tables of a convolution over vectors, with gradients.

        Parameters
        ----------
        vectors
            Vector of each symbol ``(vocabulary, in_channels)``.
        weight
            Weight of the convolution ``(channels, in_channels, width)``.
        span
            Symbols of a word; there are ``vocabulary ** span`` words.
        """
        width, vocabulary = weight.shape[2], len(vectors)
        tables, first, n_rows = [], [], 0
        for tap in range(0, width, span):
            size = min(span, width - tap)
            letters = torch.cartesian_prod(*[torch.arange(vocabulary, device=vectors.device)] * size).view(-1, size)
            taps = weight[:, :, tap : tap + size].permute(2, 1, 0).flatten(0, 1)
            tables.append(vectors[letters].flatten(1) @ taps)
            first.append((tap, n_rows))
            n_rows += len(letters)
        return cls(torch.cat(tables), tuple(first), span, vocabulary, width)

    def convolve(self, symbols: Tensor) -> Tensor:
        """Convolution without its bias, of symbols ``(n, length)``: ``(n, length - width + 1, channels)``."""
        words = self._words(symbols, 0, self.span)
        full = self.width // self.span
        if full:
            # Word ``g`` of an output begins ``g * span`` symbols further: the same array, seen in strides.
            words = words.unfold(1, (full - 1) * self.span + 1, 1)[:, :, :: self.span]
            words = words[:, : symbols.shape[1] - self.width + 1]
        if len(self.first) > full:
            last = self._words(symbols, full * self.span, self.width - full * self.span)
            words = torch.cat([words, last[..., None]], dim=2) if full else last[..., None]
        words = words + torch.tensor([row for _, row in self.first], dtype=torch.int32, device=words.device)
        out = functional.embedding_bag(words.flatten(0, 1), self.rows, mode="sum")
        return out.unflatten(0, words.shape[:2])

    def _words(self, symbols: Tensor, tap: int, size: int) -> Tensor:
        """Give the word at each place from a tap on its number, ``(n, length - tap - size + 1)``."""
        length = symbols.shape[1] - tap - size + 1
        word = symbols[:, tap : tap + length]
        for place in range(tap + 1, tap + size):
            word = word * self.vocabulary + symbols[:, place : place + length]
        return word

    def convolve_and_pool(self, symbols: Tensor, bias: Tensor, pool: int) -> Tensor:
        """Largest output in each run of ``pool`` (the remainder is left out), ReLU: ``(n, channels, bins)``."""
        bins = (symbols.shape[1] - self.width + 1) // pool
        symbols = symbols[:, : bins * pool + self.width - 1].int()
        rows = max(1, _POSITIONS_PER_CHUNK // (bins * pool))
        parts = symbols.split(rows)
        if torch.is_grad_enabled():
            return torch.cat([self._pooled(part, bias, pool) for part in parts]).transpose(1, 2).contiguous()
        out = self.rows.new_empty(len(symbols), len(bias), bins)
        for part, target in zip(parts, out.split(rows), strict=True):
            target.copy_(self._pooled(part, bias, pool).transpose(1, 2))
        return out

    def _pooled(self, symbols: Tensor, bias: Tensor, pool: int) -> Tensor:
        outputs = self.convolve(symbols).unflatten(1, (-1, pool))
        largest = outputs.max(dim=2).values if torch.is_grad_enabled() else outputs.amax(dim=2)
        return functional.relu(largest + bias)
