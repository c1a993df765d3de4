"""EPInformer: gene expression and enhancer activity from sequence (Lin, Luo and Pinello, Nat Commun 2026)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from eregtools.models.base import Model
from eregtools.models.layers import (
    TOWER_CHANNELS,
    DilatedHead,
    OneHot,
    PromoterAttention,
    SequenceEncoder,
    Standardise,
)
from eregtools.models.normalisation import BatchNorm


@dataclass(frozen=True)
class EPInformerConfig:
    """Architecture of :class:`EPInformer`.

    Attributes
    ----------
    n_slot_features
        Features of an enhancer beside its sequence: 0, 1 (distance), 2 (and activity), 3 (and contact).
    tracks
        Layers of enhancers and genes that are features too, of a slot and of the gene; counted in the two numbers.
    gene_tracks
        Layers of genes that are features of the gene alone; counted in ``n_gene_features``.
    standardise
        Bring features to mean 0 and standard deviation 1 over the enhancers and the genes of the training set. The
        moments are stored with the weights.
    use_sequence
        Read sequence; ``False``: attention over features alone, to learn what sequence adds to them.
    n_gene_features
        Features of a gene given to the predictor: 0, 8 (mRNA half-life features), 9 (and promoter signal).
    embedding_dim
        Width of a slot's state; a multiple of 32.
    n_layers, n_heads
        Attention layers and heads.
    window
        Length of a slot's sequence in bp.
    n_value
        Value of each channel at an unknown base.
    tower_channels
        Channels of the convolutional tower's stem and four blocks.
    tower_batchnorm, head_batchnorm
        Batch normalisation in the convolutional tower and in the dilated head.

    Raises
    ------
    ValueError
        Numbers of features, window, sizes or channels that do not make a network; the message says which.

    Examples
    --------
    >>> import eregtools as er
    >>> config = er.models.EPInformerConfig(window=512, embedding_dim=32, n_layers=1)
    >>> sum(weights.numel() for weights in er.models.EPInformer(config).parameters())
    299498
    """

    n_slot_features: int = 3
    n_gene_features: int = 9
    tracks: tuple[str, ...] = ()
    gene_tracks: tuple[str, ...] = ()
    standardise: bool = False
    use_sequence: bool = True
    embedding_dim: int = 64
    n_layers: int = 3
    n_heads: int = 4
    window: int = 2000
    n_value: float = 0.25
    tower_channels: tuple[int, ...] = TOWER_CHANNELS
    tower_batchnorm: bool = True
    head_batchnorm: bool = True

    def __post_init__(self) -> None:
        _check_channels(self)
        for name in ("tracks", "gene_tracks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON gives a list
        if not 0 <= self.n_slot_features - len(self.tracks) <= 3:
            raise ValueError(f"n_slot_features is {self.n_slot_features}; EPInformer takes 0 to 3, beside its tracks")
        if not self.use_sequence and not self.n_slot_features:
            raise ValueError("a model without sequence needs n_slot_features of at least 1")
        if self.embedding_dim % DilatedHead.channels or self.embedding_dim % self.n_heads:
            raise ValueError(
                f"embedding_dim is {self.embedding_dim}; it must be a multiple of {DilatedHead.channels} "
                f"and of n_heads ({self.n_heads})"
            )
        shortest = SequenceEncoder.stride * (2 * sum(DilatedHead.dilations) + 1)
        if self.window % SequenceEncoder.stride or self.window < shortest:
            raise ValueError(
                f"window is {self.window} bp; it must be a multiple of {SequenceEncoder.stride} and at least {shortest}"
            )


class ExpressionOutput(NamedTuple):
    """What :class:`EPInformer` returns."""

    expression: Tensor
    """Predicted expression ``(n,)``, on the scale of the training target."""
    attention: Tensor
    """Attention of the promoter to each slot, averaged over heads ``(n_layers, n, slots)``."""
    promoter_states: Tensor
    """State of the promoter after each layer ``(n_layers, n, embedding_dim)``."""


class EPInformer(Model[EPInformerConfig]):
    """Expression of a gene from its promoter and its enhancers.

    Each slot's sequence (slot 0: promoter) is encoded by itself; slot features are fused with the embedding;
    attention lets the promoter read its enhancers; the promoter's last state and the gene's features give the
    expression. Without positional encoding: the order of enhancers is of no consequence.

    Parameters
    ----------
    config
        Architecture; ``None``: the published one, with three features of a slot and nine of a gene.

    Attributes
    ----------
    config
        The architecture.
    provenance
        What is known of the weights: biosample, assay, fold, chromosomes left out, recipe and hashes.

    Raises
    ------
    ValueError
        Features given in a call are not as many as those of the architecture.

    Notes
    -----
    Called with sequence codes uint8 ``(n, slots, window)`` (0–3 = A C G T, 4 = unknown), slot features
    ``(n, slots, n_slot_features)``, gene features ``(n, n_gene_features)`` and padding ``(n, slots)``; gives
    ``expression`` ``(n,)`` on the scale of the training target and ``attention`` ``(n_layers, n, slots)``, the
    promoter's weights. Source: Lin, Luo and Pinello, Nature Communications 2026.

    Examples
    --------
    >>> import torch
    >>> from eregtools.models import EPInformer, EPInformerConfig
    >>> model = EPInformer(EPInformerConfig(n_slot_features=2)).eval()
    >>> codes = torch.randint(0, 4, (1, 3, 2000), dtype=torch.uint8)
    >>> out = model(codes, torch.zeros(1, 3, 2), torch.zeros(1, 9))
    >>> out.expression.shape, out.attention.shape
    (torch.Size([1]), torch.Size([3, 1, 3]))
    """

    config_class = EPInformerConfig

    def __init__(self, config: EPInformerConfig | None = None) -> None:
        super().__init__(config or EPInformerConfig())
        config, dim = self.config, self.config.embedding_dim
        if config.use_sequence:
            self.one_hot = OneHot(config.n_value)
            self.encoder = SequenceEncoder(config.tower_channels, batchnorm=config.tower_batchnorm)
            positions = config.window // SequenceEncoder.stride
            self.head = DilatedHead(config.tower_channels[-1], positions, dim, batchnorm=config.head_batchnorm)
        self.slot_scale = Standardise(config.n_slot_features) if config.standardise else nn.Identity()
        self.gene_scale = Standardise(config.n_gene_features) if config.standardise else nn.Identity()
        size = config.n_slot_features + dim * config.use_sequence
        self.fusion = (
            nn.Sequential(nn.Linear(size, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU())
            if config.n_slot_features
            else None
        )
        self.layers = nn.ModuleList(PromoterAttention(dim, config.n_heads) for _ in range(config.n_layers))
        self.predictor = nn.Sequential(
            nn.Linear(dim + config.n_gene_features, 128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, 1),
        )

    def forward(
        self,
        codes: Tensor,
        slot_features: Tensor | None = None,
        gene_features: Tensor | None = None,
        padding: Tensor | None = None,
    ) -> ExpressionOutput:
        """Predict from sequence.

        Parameters
        ----------
        codes
            Sequence codes ``(n, slots, window)``; slot 0 is the promoter.
        slot_features
            ``(n, slots, n_slot_features)``.
        gene_features
            ``(n, n_gene_features)``.
        padding
            True where a slot holds no element, ``(n, slots)``; ``None``: every slot holds one.
        """
        n, slots, window = codes.shape
        embeddings = self.embed(codes.reshape(n * slots, window)).view(n, slots, -1)
        return self.interact(embeddings, slot_features, gene_features, padding)

    def embed(self, codes: Tensor, multiplicity: Tensor | None = None) -> Tensor:
        """Embedding ``(n, embedding_dim)`` of each sequence ``(n, window)``.

        In training, a sequence counts ``multiplicity`` times ``(n,)`` in batch normalisation; ``None``: once.
        """
        encoded = self.encoder.from_codes(codes, self.one_hot, multiplicity)
        return self.head(encoded, multiplicity)

    def fuse(self, embeddings: Tensor | None, slot_features: Tensor | None) -> Tensor:
        """Join the features of slots with their embeddings (``None``: a model without sequence)."""
        expected = self.config.n_slot_features
        found = 0 if slot_features is None else slot_features.shape[-1]
        if found != expected:
            raise ValueError(f"slot_features hold {found} features; this model takes {expected}")
        if slot_features is None or self.fusion is None:
            return embeddings  # type: ignore[return-value]
        scaled = self.slot_scale(slot_features)
        return self.fusion(scaled if embeddings is None else torch.cat([embeddings, scaled], dim=-1))

    def interact(
        self,
        embeddings: Tensor | None,
        slot_features: Tensor | None = None,
        gene_features: Tensor | None = None,
        padding: Tensor | None = None,
    ) -> ExpressionOutput:
        """Predict from embeddings ``(n, slots, embedding_dim)``, the rest as in :meth:`forward`.

        A model without sequence takes ``None`` for them.
        """
        expected = self.config.n_gene_features
        found = 0 if gene_features is None else gene_features.shape[-1]
        if found != expected:
            raise ValueError(f"gene_features hold {found} features; this model takes {expected}")
        states = self.fuse(embeddings, slot_features)
        if padding is None:
            padding = torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
        attention, promoter = [], []
        for number, layer in enumerate(self.layers, start=1):
            states, weights = layer(states, padding, promoter_only=number == len(self.layers))
            attention.append(weights)
            promoter.append(states[:, 0])
        expression = self.read_out(promoter[-1], gene_features)
        return ExpressionOutput(expression, torch.stack(attention), torch.stack(promoter))

    def read_out(self, promoter: Tensor, gene_features: Tensor | None) -> Tensor:
        """Expression ``(n,)`` from the promoter's last state ``(n, embedding_dim)`` and the gene's features."""
        if gene_features is not None:
            promoter = torch.cat([promoter, self.gene_scale(gene_features)], dim=-1)
        return self.predictor(promoter).squeeze(-1)


@dataclass(frozen=True)
class EPInformerSeqConfig:
    """Architecture of :class:`EPInformerSeq`.

    Attributes
    ----------
    window
        Length of the sequence in bp.
    hidden
        Width of the two hidden layers; 0 for one linear layer on the encoder's output.
    dropout
        Dropout in the hidden layers.
    n_value
        Value of each channel at an unknown base.
    tower_channels
        Channels of the convolutional tower's stem and four blocks.
    tower_batchnorm
        Batch normalisation in the convolutional tower.

    Raises
    ------
    ValueError
        ``window`` is no multiple of 16, or there are not five ``tower_channels``.

    Examples
    --------
    >>> import eregtools as er
    >>> config = er.models.EPInformerSeqConfig(window=512, hidden=64)
    >>> sum(weights.numel() for weights in er.models.EPInformerSeq(config).parameters())
    477377
    """

    window: int = 256
    hidden: int = 256
    dropout: float = 0.1
    n_value: float = 0.25
    tower_channels: tuple[int, ...] = TOWER_CHANNELS
    tower_batchnorm: bool = True

    def __post_init__(self) -> None:
        _check_channels(self)
        if self.window % SequenceEncoder.stride or self.window < SequenceEncoder.stride:
            raise ValueError(f"window is {self.window} bp; it must be a multiple of {SequenceEncoder.stride}")


def _check_channels(config: EPInformerConfig | EPInformerSeqConfig) -> None:
    object.__setattr__(config, "tower_channels", tuple(config.tower_channels))  # JSON gives a list
    if len(config.tower_channels) != len(TOWER_CHANNELS) or min(config.tower_channels) < 1:
        raise ValueError(f"tower_channels is {config.tower_channels}; expected five sizes: the stem and four blocks")


class EPInformerSeq(Model[EPInformerSeqConfig]):
    """Activity of a 256-bp sequence, log2(0.1 + activity); its tower is where EPInformer's starts from.

    Parameters
    ----------
    config
        Architecture; ``None``: the published one.

    Attributes
    ----------
    config
        The architecture.
    provenance
        What is known of the weights: biosample, assay, fold, chromosomes left out, recipe and hashes.

    Notes
    -----
    Called with sequence codes uint8 ``(n, window)`` (0–3 = A C G T, 4 = unknown); gives log2(0.1 + activity) ``(n,)``,
    where activity is in reads per million. Source: Lin, Luo and Pinello, Nature Communications 2026.

    Examples
    --------
    >>> import torch
    >>> from eregtools.models import EPInformerSeq
    >>> EPInformerSeq().eval()(torch.randint(0, 4, (2, 256), dtype=torch.uint8)).shape
    torch.Size([2])
    """

    config_class = EPInformerSeqConfig

    def __init__(self, config: EPInformerSeqConfig | None = None) -> None:
        super().__init__(config or EPInformerSeqConfig())
        config = self.config
        self.one_hot = OneHot(config.n_value)
        self.encoder = SequenceEncoder(config.tower_channels, batchnorm=config.tower_batchnorm)
        size = config.tower_channels[-1] * (config.window // SequenceEncoder.stride)
        layers: list[nn.Module] = []
        for width in (config.hidden, config.hidden) if config.hidden else ():
            layers += [nn.Linear(size, width), BatchNorm(width), nn.ReLU(), nn.Dropout(config.dropout)]
            size = width
        self.head = nn.Sequential(*layers, nn.Linear(size, 1))

    def forward(self, codes: Tensor) -> Tensor:
        """Activity ``(n,)`` of sequences ``(n, window)`` given as codes."""
        return self.activity(self.encoder.from_codes(codes, self.one_hot))

    def activity(self, encoded: Tensor) -> Tensor:
        """Activity ``(n,)`` from the encoder's output ``(n, 128, window // 16)``."""
        return self.head(encoded.flatten(1)).squeeze(-1)
