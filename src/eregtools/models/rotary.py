"""Transformer encoder layer with rotary positions: what a token sees depends on distances, never on its batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_BASE = 10_000.0


def rotate(x: Tensor) -> Tensor:
    """Turn queries or keys ``(n, heads, tokens, size)`` by angles that grow with the token's place.

    The product of a query and a key then depends on the distance between them (Su et al. 2021, RoFormer).
    """
    half = x.shape[-1] // 2
    rate = _BASE ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angle = torch.arange(x.shape[-2], device=x.device, dtype=torch.float32)[:, None] * rate
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class RotaryLayer(nn.Module):
    """Pre-norm self-attention with rotary positions, and a feed-forward net of four times the width.

    Parameters
    ----------
    dim
        Width of a token.
    n_heads
        Attention heads; ``dim / n_heads`` is even.
    dropout
        Of attention, and of what both parts add.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.norm1 = nn.LayerNorm(dim)
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Give tokens ``(n, tokens, dim)`` their new states."""
        n, tokens, dim = x.shape
        split = self.in_proj(self.norm1(x)).view(n, tokens, 3, self.n_heads, dim // self.n_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            rotate(query), rotate(key), value, dropout_p=self.dropout if self.training else 0.0
        )
        x = x + self.drop(self.out_proj(mixed.transpose(1, 2).reshape(n, tokens, dim)))
        return x + self.drop(self.feed_forward(self.norm2(x)))
