"""Geometry of EPIPAM: windows, bins, receptive fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

from eregtools.models.recipes import SEQUENCE_RECIPES

Side = Literal["enhancer", "promoter"]

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "3000x2000": {},
    "1000x1000": {"enhancer_length": 1000, "promoter_length": 1000, "pools": (8, 4, 4)},
}
"""Geometries of the paper: TargetFinder's pairs, and pairs of ChIA-PET."""


@dataclass(frozen=True)
class EPIPAMConfig:
    """Architecture of :class:`~eregtools.models.EPIPAM`.

    Attributes
    ----------
    enhancer_length, promoter_length
        Windows in bp.
    channels
        Channels of each convolution.
    kernels, pools
        Width of each stage's convolution, and how many of its outputs are pooled.
    ratios
        Share of each stage's relations, the strongest ones, that the auxiliary head reads.
    hidden
        Width of the heads' hidden layer.
    dropout, head_dropout
        After each pooling, and in the heads.
    attention
        Position attention, and with it the auxiliary head. ``False``: two convolutional towers and one head (EPI).
    embedding
        ``None``: bases, one-hot. ``"6-mer"``: an embedding of each word of six bases, of enhancers and of promoters.
    vocabulary, embedding_dim
        Size of an embedding.
    variable_length
        Read windows of any length down to the minimum: bins beyond a window's end are masked, the main head reads
        ``bins`` of the last stage, pooled, and the auxiliary head as many relations as of windows of full length.
        Not in the paper; windows of full length give the same as without.

    Raises
    ------
    ValueError
        Windows too short for the stages, stages of different number, or another embedding; the message says which.

    Examples
    --------
    >>> import eregtools as er
    >>> config = er.models.EPIPAMConfig.preset("1000x1000")
    >>> config.bins("enhancer"), config.bins("promoter")
    ((122, 27, 5), (122, 27, 5))
    >>> er.models.EPIPAMConfig(enhancer_length=500)
    Traceback (most recent call last):
    ValueError: the enhancer window is 500 bp; ... need at least 1244 bp. Choose longer windows or smaller pools
    """

    enhancer_length: int = 3000
    promoter_length: int = 2000
    channels: int = 64
    kernels: tuple[int, ...] = (25, 13, 7)
    pools: tuple[int, ...] = (10, 10, 5)
    ratios: tuple[float, ...] = (0.01, 0.1, 1.0)
    hidden: int = 64
    dropout: float = 0.2
    head_dropout: float = 0.5
    attention: bool = True
    embedding: str | None = None
    vocabulary: int = 4097
    embedding_dim: int = 100
    variable_length: bool = False

    def __post_init__(self) -> None:
        for name in ("kernels", "pools", "ratios"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON gives a list
        if len({len(self.kernels), len(self.pools), len(self.ratios)}) > 1 or not self.kernels:
            raise ValueError(
                f"kernels {self.kernels}, pools {self.pools} and ratios {self.ratios} must have one entry a stage"
            )
        if min(self.kernels + self.pools) < 1 or not all(0 < ratio <= 1 for ratio in self.ratios):
            raise ValueError(f"kernels {self.kernels} and pools {self.pools} must be at least 1, ratios in (0, 1]")
        if self.embedding not in SEQUENCE_RECIPES:
            raise ValueError(f"embedding is {self.embedding!r}; expected None or '6-mer'")
        for side in get_args(Side):
            self.check_length(side, self.length(side))
        if self.attention and min(self.n_relations) < 1:
            raise ValueError(f"ratios {self.ratios} leave a stage without relations ({self.n_relations}); raise them")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Geometry of the paper, ``"3000x2000"`` or ``"1000x1000"`` (enhancer x promoter), with changes.

        Examples
        --------
        >>> EPIPAMConfig.preset("1000x1000", attention=False).bins("enhancer")
        (122, 27, 5)
        """
        if name not in PRESETS:
            raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})

    def length(self, side: Side) -> int:
        """Window of an enhancer or promoter in bp."""
        return self.enhancer_length if side == "enhancer" else self.promoter_length

    def bins(self, side: Side, length: int | None = None) -> tuple[int, ...]:
        """Bins of each stage, of the full window or of one of another length."""
        bins, n = [], self.length(side) if length is None else length
        for kernel, pool in zip(self.kernels, self.pools, strict=True):
            n = max(n - kernel + 1, 0) // pool
            bins.append(n)
        return tuple(bins)

    @property
    def strides(self) -> tuple[int, ...]:
        """Distance of neighbouring bins of each stage in bp."""
        strides = [1]
        for pool in self.pools:
            strides.append(strides[-1] * pool)
        return tuple(strides[1:])

    @property
    def receptive_fields(self) -> tuple[int, ...]:
        """How many positions of the input a bin of each stage sees."""
        fields, field, stride = [], 1, 1
        for kernel, pool in zip(self.kernels, self.pools, strict=True):
            field += (kernel + pool - 2) * stride
            stride *= pool
            fields.append(field)
        return tuple(fields)

    @property
    def n_relations(self) -> tuple[int, ...]:
        """Relations of each stage that the auxiliary head reads."""
        pairs = zip(self.bins("enhancer"), self.bins("promoter"), self.ratios, strict=True)
        return tuple(int((n * m) * ratio) for n, m, ratio in pairs)

    @property
    def main_size(self) -> int:
        """Inputs of the main head."""
        return self.channels * (self.bins("enhancer")[-1] + self.bins("promoter")[-1])

    def check_length(self, side: Side, length: int) -> None:
        """Refuse a window of which the last stage has no bin."""
        if self.bins(side, length)[-1] < 1:
            raise ValueError(
                f"the {side} window is {length} bp; kernels {self.kernels} and pools {self.pools} need at least "
                f"{self.receptive_fields[-1]} bp. Choose longer windows or smaller pools"
            )
