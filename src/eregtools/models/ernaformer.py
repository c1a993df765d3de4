"""ERNAformer: enhancer-RNA loci from sequence and strand-aware RNA signal.

An independent implementation of the system that Yu et al. describe (eRNAformer, bioRxiv 2026,
doi:10.64898/2026.06.24.734403). The authors' code, weights and settings are not public: sizes, channels and training
here are ours, and their numbers are not claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self

import torch
from torch import Tensor, nn

from eregtools._bins import BIN_SIZE
from eregtools.batches.loci import N_CHANNELS, Squash, contrast_bins
from eregtools.models.base import Model
from eregtools.models.layers import OneHot
from eregtools.models.normalisation import BatchNorm
from eregtools.models.rotary import RotaryLayer

TOKEN: Final = 32
"""Bases of a token."""

USUAL_DEPTH: Final = 7.0
"""Depth, as the decimal logarithm of a library's reads, at which the depth term is zero."""

_SEQUENCE_WIDTHS: Final = (15, 5, 5, 5, 3)
_SIGNAL_WIDTHS: Final = (9, 5, 3)
_REACH: Final = 96
"""How far a token sees to either side, in bp."""

_PRESETS: Final[dict[str, dict[str, Any]]] = {
    "small": {
        "sequence_channels": (32, 48, 64, 80, 96),
        "signal_channels": (24, 32, 48),
        "dim": 96,
        "n_layers": 2,
        "n_heads": 4,
    },
    "base": {},
    "large": {
        "sequence_channels": (96, 128, 192, 224, 256),
        "signal_channels": (64, 96, 128),
        "dim": 256,
        "n_layers": 6,
        "n_heads": 8,
    },
}


@dataclass(frozen=True)
class ERNAformerConfig:
    """Architecture of :class:`ERNAformer`, and how its signal is made.

    Attributes
    ----------
    seq_len
        Bases of a window, centred on the locus; a multiple of 32.
    halo
        Bases on either side that tokens see but that give no token; a multiple of 32, at least 96.
    sequence_channels
        Channels of the sequence stem's five convolutions.
    signal_channels
        Channels of the signal stem's three convolutions.
    dim, n_layers, n_heads
        Width, layers and heads of the encoder; 0 layers: none.
    dropout
        In the encoder and the head.
    pool_tokens
        Tokens in the middle of the window that its logit is made from.
    transform, signal_scale
        How reads per million become signal (:class:`eregtools.batches.loci.Squash`).
    contrast_width
        Width of the running mean that local contrast is against, in bp.

    Raises
    ------
    ValueError
        Lengths, sizes or shares that do not make a network; the message says which.

    Examples
    --------
    >>> import eregtools as er
    >>> config = er.models.ERNAformerConfig.preset("small", seq_len=1024)
    >>> config.n_layers, config.seq_len // 32
    (2, 32)
    """

    seq_len: int = 4096
    halo: int = 128
    sequence_channels: tuple[int, ...] = (64, 96, 128, 160, 192)
    signal_channels: tuple[int, ...] = (48, 64, 96)
    dim: int = 192
    n_layers: int = 4
    n_heads: int = 6
    dropout: float = 0.1
    pool_tokens: int = 32
    transform: str = "log1p"
    signal_scale: float = 10.0
    contrast_width: int = 10_000

    def __post_init__(self) -> None:
        for name, n in (("sequence_channels", len(_SEQUENCE_WIDTHS)), ("signal_channels", len(_SIGNAL_WIDTHS))):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON gives a list
            if len(getattr(self, name)) != n or min(getattr(self, name)) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected {n} sizes")
        if self.seq_len % TOKEN or self.n_tokens < self.pool_tokens or self.pool_tokens < 1:
            raise ValueError(
                f"seq_len is {self.seq_len} bp; expected a multiple of {TOKEN}, at least pool_tokens "
                f"({self.pool_tokens}) × {TOKEN}"
            )
        if self.halo % TOKEN or self.halo < _REACH:
            raise ValueError(f"halo is {self.halo} bp; expected a multiple of {TOKEN}, at least {_REACH}")
        if self.n_heads < 1 or self.dim % (2 * self.n_heads):
            raise ValueError(f"dim is {self.dim}; expected a multiple of twice n_heads ({self.n_heads})")
        if self.n_layers < 0 or not 0 <= self.dropout < 1:
            raise ValueError(f"n_layers={self.n_layers}, dropout={self.dropout}; expected 0 or more, and 0 to below 1")
        if self.contrast_width < BIN_SIZE:
            raise ValueError(f"contrast_width is {self.contrast_width} bp; expected at least {BIN_SIZE}")
        self.squash  # noqa: B018

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Architecture of that name: ``"small"`` (0.36 M parameters), ``"base"`` (2.3 M) or ``"large"`` (5.8 M).

        Examples
        --------
        >>> ERNAformerConfig.preset("small", seq_len=2048).n_tokens
        64
        """
        if name not in _PRESETS:
            raise ValueError(f"preset is {name!r}; expected one of {', '.join(_PRESETS)}")
        return replace(cls(**_PRESETS[name]), **changes)

    @property
    def n_tokens(self) -> int:
        """Tokens of a window."""
        return self.seq_len // TOKEN

    @property
    def width(self) -> int:
        """Window with its halo, in bp."""
        return self.seq_len + 2 * self.halo

    @property
    def squash(self) -> Squash:
        """Transform of reads per million."""
        return Squash(self.transform, self.signal_scale)

    @property
    def contrast_bins(self) -> int:
        """Bins of the running mean."""
        return contrast_bins(self.contrast_width)


class ERNAformerOutput(NamedTuple):
    """What :class:`ERNAformer` returns."""

    window: Tensor
    """Logit that the window's middle is a locus ``(n,)``."""
    bins: Tensor
    """Logit that each 32 bp belong to a locus ``(n, tokens)``."""
    embedding: Tensor
    """State of the window's middle ``(n, dim)``."""


class ERNAformer(Model[ERNAformerConfig]):
    """Whether a window is an enhancer-RNA locus, from its sequence and the RNA signal of both strands.

    Two convolutional stems make a token of every 32 bp from sequence and from signal; sequence gates what is joined of
    them; a transformer encoder with rotary positions relates tokens; one head reads the window, one each 32 bp. A
    token of the stems depends on 96 bp around it and nothing else, so that stems may run over a whole chromosome.

    An independent implementation: the authors' code, weights and settings are not public.

    Parameters
    ----------
    config
        Architecture; ``None``: the preset ``"base"``, with windows of 4,096 bp.

    Attributes
    ----------
    config
        The architecture.
    provenance
        What is known of the weights: biosample, assay, fold, chromosomes left out, recipe and hashes.

    Raises
    ------
    ValueError
        Windows given in a call are not of the architecture's length.

    Notes
    -----
    Called with sequence codes uint8 ``(n, seq_len + 2 halo)`` (0–3 = A C G T, 4 = unknown) and signal
    ``(n, 5, (seq_len + 2 halo) / 8)``; gives log odds ``window`` ``(n,)`` and ``bins`` ``(n, seq_len / 32)``. The
    system is that of Yu et al. (eRNAformer, bioRxiv 2026).

    Examples
    --------
    >>> import torch
    >>> from eregtools.models import ERNAformer, ERNAformerConfig
    >>> model = ERNAformer(ERNAformerConfig.preset("small", seq_len=1024)).eval()
    >>> codes = torch.randint(0, 4, (2, 1024 + 2 * 128), dtype=torch.uint8)
    >>> out = model(codes, torch.zeros(2, 5, (1024 + 2 * 128) // 8))
    >>> out.window.shape, out.bins.shape
    (torch.Size([2]), torch.Size([2, 32]))
    """

    config_class = ERNAformerConfig

    def __init__(self, config: ERNAformerConfig | None = None) -> None:
        super().__init__(config or ERNAformerConfig())
        config, dim = self.config, self.config.dim
        sequence, signal = config.sequence_channels, config.signal_channels
        self.one_hot = OneHot(0.0)
        self.sequence_stem = _stem(4, sequence, _SEQUENCE_WIDTHS, nn.MaxPool1d, first_pool=4)
        self.signal_stem = _stem(N_CHANNELS, signal, _SIGNAL_WIDTHS, nn.AvgPool1d, first_pool=2)
        self.no_sequence = nn.Parameter(0.02 * torch.randn(sequence[-1]))
        self.no_signal = nn.Parameter(0.02 * torch.randn(signal[-1]))
        self.join = nn.Linear(sequence[-1] + signal[-1], dim)
        self.gate = nn.Linear(sequence[-1], dim)
        self.depth = nn.Linear(1, dim, bias=False)
        self.layers = nn.ModuleList(RotaryLayer(dim, config.n_heads, config.dropout) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(dim)
        self.bin_head = nn.Linear(dim, 1)
        self.pool = nn.Linear(dim, 1)
        self.window_head = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(dim, 1))

    def forward(
        self,
        codes: Tensor,
        signal: Tensor,
        *,
        missing_sequence: Tensor | None = None,
        missing_signal: Tensor | None = None,
        depth: Tensor | None = None,
    ) -> ERNAformerOutput:
        """Predict windows.

        Parameters
        ----------
        codes
            Sequence codes of the window and its halo ``(n, seq_len + 2 halo)``.
        signal
            Channels of 8-bp bins of the same ``(n, 5, (seq_len + 2 halo) / 8)``:
            :func:`eregtools.batches.loci.signal_channels`.
        missing_sequence, missing_signal
            True where that modality is not to be read ``(n,)``; ``None``: nowhere.
        depth
            Decimal logarithm of the reads of the library ``(n,)``; ``None``: 7.
        """
        if codes.shape[1] != self.config.width:
            raise ValueError(
                f"codes have shape {tuple(codes.shape)}; this model takes windows of {self.config.width} bp "
                f"({self.config.seq_len} and a halo of {self.config.halo} on either side)"
            )
        return self.read(self.stem(codes, signal, missing_sequence, missing_signal, depth))

    def stem(
        self,
        codes: Tensor,
        signal: Tensor,
        missing_sequence: Tensor | None = None,
        missing_signal: Tensor | None = None,
        depth: Tensor | None = None,
    ) -> Tensor:
        """Tokens ``(n, (length - 2 halo) / 32, dim)`` of stretches of any length, their halo left out.

        Parameters as in :meth:`forward`. A token is the same in whatever stretch it lies.
        """
        n, length = codes.shape
        halo = self.config.halo
        if length % TOKEN or length <= 2 * halo:
            raise ValueError(f"codes are {length} bp long; expected a multiple of {TOKEN} above 2 × {halo} (the halo)")
        if signal.shape != (n, N_CHANNELS, length // BIN_SIZE):
            raise ValueError(
                f"signal has shape {tuple(signal.shape)}; expected {(n, N_CHANNELS, length // BIN_SIZE)} for codes of "
                f"shape {(n, length)}"
            )
        return self.stem_of_bases(self.one_hot(codes), signal, missing_sequence, missing_signal, depth)

    def stem_of_bases(
        self,
        bases: Tensor,
        signal: Tensor,
        missing_sequence: Tensor | None = None,
        missing_signal: Tensor | None = None,
        depth: Tensor | None = None,
    ) -> Tensor:
        """Tokens as :meth:`stem` makes them, of one-hot sequence ``(n, 4, length)``."""
        length, halo = bases.shape[2], self.config.halo
        sequence = self.sequence_stem(bases).transpose(1, 2)
        rna = self.signal_stem(signal).transpose(1, 2)
        inner = slice(halo // TOKEN, (length - halo) // TOKEN)
        sequence = _replaced(sequence[:, inner], missing_sequence, self.no_sequence)
        rna = _replaced(rna[:, inner], missing_signal, self.no_signal)
        tokens = self.join(torch.cat([sequence, rna], dim=-1)) * (1 + torch.tanh(self.gate(sequence)))
        if depth is not None:
            tokens = tokens + self.depth((depth.to(tokens.dtype) - USUAL_DEPTH)[:, None])[:, None]
        return tokens

    @property
    def input_text(self) -> str:
        """What the network reads, in words."""
        config = self.config
        transform = f"log(1 + {config.signal_scale:g} x)" if config.transform == "log1p" else "squashed"
        return (
            f"Sequence one-hot in the order A, C, G, T, zero where it is unknown, and RNA signal in bins of {BIN_SIZE} "
            f"bp, both of {config.seq_len:,} bp and {config.halo} bp on either side. Signal: reads per million of the "
            f"plus and of the minus strand, {transform}; both less the same of their running mean over "
            f"{config.contrast_width:,} bp of the chromosome; and whether strands are known."
        )

    def encode(self, tokens: Tensor) -> Tensor:
        """States ``(n, tokens, dim)`` of tokens that have seen each other."""
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)

    def read(self, tokens: Tensor) -> ERNAformerOutput:
        """Logits of windows from their tokens ``(n, tokens, dim)``."""
        states = self.encode(tokens)
        first = (states.shape[1] - self.config.pool_tokens) // 2
        middle = states[:, first : first + self.config.pool_tokens]
        weights = self.pool(middle).softmax(dim=1)
        embedding = (weights * middle).sum(dim=1)
        bins = self.bin_head(states).squeeze(-1)
        return ERNAformerOutput(self.window_head(embedding).squeeze(-1), bins, embedding)


class _Residual(nn.Module):
    """Convolution, normalisation and GELU beside a pointwise shortcut."""

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, width, padding=width // 2)
        self.norm = BatchNorm(out_channels)
        self.activation = nn.GELU()
        self.shortcut = nn.Conv1d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.activation(self.norm(self.conv(x)))


def _stem(
    in_channels: int, channels: Sequence[int], widths: Sequence[int], pool: type[nn.Module], *, first_pool: int
) -> nn.Sequential:
    """Convolution, pooling, then residual convolutions with pooling in between, down to tokens."""
    layers: list[nn.Module] = [
        nn.Conv1d(in_channels, channels[0], widths[0], padding=widths[0] // 2),
        BatchNorm(channels[0]),
        nn.GELU(),
        pool(first_pool),
    ]
    for number, ((a, b), width) in enumerate(zip(pairwise(channels), widths[1:], strict=True), start=2):
        layers.append(_Residual(a, b, width))
        if number < len(channels):
            layers.append(pool(2))
    return nn.Sequential(*layers)


def _replaced(tokens: Tensor, missing: Tensor | None, instead: Tensor) -> Tensor:
    return tokens if missing is None else torch.where(missing[:, None, None], instead.to(tokens.dtype), tokens)
