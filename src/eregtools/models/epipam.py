"""EPIPAM: does an enhancer interact with a promoter, from their sequences (Liu, Zhu and Zhang, Comput Biomed 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from eregtools.batches.encode import UNKNOWN
from eregtools.models.base import Model
from eregtools.models.epipam_config import EPIPAMConfig, Side
from eregtools.models.layers import OneHot
from eregtools.models.position_attention import PairAttention, PositionAttention, adaptive_max, strongest
from eregtools.models.recipes import SEQUENCE_RECIPES, SequenceRecipe
from eregtools.models.words import WordTables

_BASES_PER_WORD = 5
"""Bases that one look-up of the first convolution covers."""


class Interaction(NamedTuple):
    """What :class:`EPIPAM` returns."""

    logit: Tensor
    """Log odds of an interaction ``(n,)``: the prediction."""
    auxiliary_logit: Tensor | None
    """Log odds from the strongest relations ``(n,)``, for training; ``None`` without attention or where not asked."""
    attention: tuple[PairAttention, ...] = ()
    """Of each stage, where asked."""


class ConvPool(nn.Module):
    """Convolution without padding, max pooling (the remainder is dropped), ReLU, dropout."""

    def __init__(self, in_channels: int, channels: int, kernel: int, pool: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, channels, kernel)
        self.pool = nn.MaxPool1d(pool)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Run the stage."""
        if len(x) == 1 and not self.training:
            # A CPU convolves a single row by another kernel, which rounds differently.
            return self.forward(x.expand(2, -1, -1))[:1]
        return self.dropout(functional.relu(self.pool(self.conv(x))))


class Words(nn.Module):
    """Codes ``(n, length)`` to the number of the word that ends at each position, 1 to ``4**size``.

    0 where the word holds an unknown base or padding, or begins before the window.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, codes: Tensor) -> Tensor:
        """Give each word its number, int32 ``(n, length)``."""
        codes = codes.int()
        length = codes.shape[1] - self.size + 1
        word, known = torch.ones_like(codes[:, :length]), torch.ones_like(codes[:, :length], dtype=torch.bool)
        for place in range(self.size):
            base = codes[:, place : place + length]
            word = word + base * 4 ** (self.size - 1 - place)
            known = known & (base < UNKNOWN)
        return functional.pad(word * known, (self.size - 1, 0))


class Tower(nn.Module):
    """Convolutional stages of an enhancer or of a promoter."""

    def __init__(self, config: EPIPAMConfig) -> None:
        super().__init__()
        recipe = SEQUENCE_RECIPES[config.embedding]
        if recipe.word is None:
            self.one_hot = OneHot(recipe.n_value, recipe.base_order)
        else:
            self.words = Words(recipe.word)
            self.embedding = nn.Embedding(config.vocabulary, config.embedding_dim)
        sizes = [config.embedding_dim if recipe.word else 4] + [config.channels] * len(config.kernels)
        self.stages = nn.ModuleList(
            ConvPool(size, config.channels, kernel, pool, config.dropout)
            for size, kernel, pool in zip(sizes, config.kernels, config.pools, strict=False)
        )

    @property
    def vectors(self) -> Tensor:
        """Vector of each symbol that is read: bases and the unknown one, or words."""
        return self.embedding.weight if hasattr(self, "embedding") else self.one_hot.table[: UNKNOWN + 1]

    def symbols(self, codes: Tensor) -> Tensor:
        """Codes ``(n, length)`` to numbers of :attr:`vectors`."""
        return self.words(codes) if hasattr(self, "embedding") else codes.clamp(max=UNKNOWN)

    def tables(self) -> WordTables:
        """Tables by which the first convolution is looked up."""
        conv = self.stages[0].conv
        span = 1 if hasattr(self, "embedding") else _BASES_PER_WORD
        return WordTables.of(self.vectors, conv.weight, span)  # type: ignore

    def first(self, symbols: Tensor, tables: WordTables | None = None) -> Tensor:
        """First stage before its dropout: symbols ``(n, length)`` to ``(n, channels, bins)``.

        On a CPU the convolution is looked up in tables, which gives each window the same numbers in any batch.
        """
        stage = self.stages[0]
        if symbols.device.type == "cpu":
            tables = self.tables() if tables is None else tables
            return tables.convolve_and_pool(symbols, stage.conv.bias, stage.pool.kernel_size)  # type: ignore
        return self.first_of_vectors(self.vectors[symbols.long()].transpose(1, 2))

    def first_of_vectors(self, vectors: Tensor) -> Tensor:
        """First stage before its dropout, of the vectors of symbols ``(n, size, length)``."""
        stage = self.stages[0]
        return functional.relu(stage.pool(stage.conv(vectors)))  # type: ignore[operator]


class Head(nn.Module):
    """Batch normalisation, one hidden layer, one number."""

    def __init__(self, size: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)
        self.hidden = nn.Linear(size, hidden)
        self.out = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Log odds ``(n,)``."""
        x = self.dropout(self.norm(x))
        x = self.dropout(functional.relu(self._map(self.hidden, x)))
        return self._map(self.out, x)[:, 0]

    def _map(self, layer: nn.Linear, x: Tensor) -> Tensor:
        if self.training:
            return layer(x)
        # Row by row: a product of many rows at once rounds differently with their number.
        return torch.bmm(x[:, None], layer.weight.t().expand(len(x), -1, -1))[:, 0] + layer.bias


class EPIPAM(Model[EPIPAMConfig]):
    """Interaction of an enhancer with a promoter, from the sequences of their windows.

    Both windows go through convolutional towers of their own. After each stage, position attention relates every bin
    of the enhancer to every bin of the promoter and scales each bin by its strongest relation. The main head reads the
    last maps and makes the prediction; an auxiliary head reads each stage's strongest relations in descending order,
    and is there for training. Sequence is read on the genome's plus strand. The last positions of a window (256 bp of
    the standard ones) are in no bin of the last stage.

    Parameters
    ----------
    config
        Architecture; ``None``: that of the paper, for windows of 3,000 and 2,000 bp.

    Attributes
    ----------
    config
        The architecture.
    provenance
        What is known of the weights: biosample, assay, fold, chromosomes left out, recipe and hashes.

    Raises
    ------
    ValueError
        Windows given in a call are not of the architecture's lengths.

    Notes
    -----
    Called with sequence codes uint8 ``(n, enhancer length)`` and ``(n, promoter length)`` (0–3 = A C G T, 4 = unknown);
    gives ``logit``, log odds ``(n,)``, and with ``with_attention=True`` of each stage the relations
    ``(n, enhancer bins, promoter bins)`` and weights. Source: Liu, Zhu and Zhang, Computational Biomedicine 2026.

    Examples
    --------
    >>> import torch
    >>> from eregtools.models import EPIPAM
    >>> model = EPIPAM().eval()
    >>> enhancers = torch.randint(0, 4, (2, 3000), dtype=torch.uint8)
    >>> promoters = torch.randint(0, 4, (2, 2000), dtype=torch.uint8)
    >>> out = model(enhancers, promoters, with_attention=True)
    >>> out.logit.shape, [tuple(stage.relation.shape) for stage in out.attention]
    (torch.Size([2]), [(2, 297, 197), (2, 28, 18), (2, 4, 2)])
    """

    config_class = EPIPAMConfig

    def __init__(self, config: EPIPAMConfig | None = None) -> None:
        super().__init__(config or EPIPAMConfig())
        config = self.config
        self.enhancer, self.promoter = Tower(config), Tower(config)
        self.main = Head(config.main_size, config.hidden, config.head_dropout)
        if config.attention:
            self.attention = nn.ModuleList(PositionAttention() for _ in config.kernels)
            self.auxiliary = Head(sum(config.n_relations), config.hidden, config.head_dropout)

    @property
    def recipe(self) -> SequenceRecipe:
        """How sequence becomes input."""
        return SEQUENCE_RECIPES[self.config.embedding]

    def forward(
        self,
        enhancer_codes: Tensor,
        promoter_codes: Tensor,
        lengths: tuple[Tensor, Tensor] | None = None,
        *,
        with_attention: bool = False,
    ) -> Interaction:
        """Predict from sequence.

        Parameters
        ----------
        enhancer_codes, promoter_codes
            Sequence codes ``(n, length)``, genome strand; in eregtools' order of bases, whatever the recipe's.
        lengths
            With ``variable_length``: how many positions of each window hold sequence, enhancers and promoters
            ``(n,)``, counted from the left; ``None``: all.
        with_attention
            Return relations and weights, too.
        """
        firsts = [
            self.first(side, codes)
            for side, codes in zip(get_args(Side), (enhancer_codes, promoter_codes), strict=True)
        ]
        if self.config.variable_length and lengths is None:
            lengths = tuple(torch.full((len(c),), c.shape[1]) for c in (enhancer_codes, promoter_codes))  # type: ignore
        return self.interact(firsts[0], firsts[1], lengths, with_attention=with_attention)

    def first(self, side: Side, codes: Tensor, tables: WordTables | None = None) -> Tensor:
        """First map of windows ``(n, length)``, before position attention: ``(n, channels, bins)``.

        It depends on one window alone, so that it serves all pairs of an element.
        """
        config, tower = self.config, self.tower(side)
        if config.variable_length:
            config.check_length(side, codes.shape[1])
        elif codes.ndim != 2 or codes.shape[1] != config.length(side):
            raise ValueError(
                f"{side} codes have shape {tuple(codes.shape)}; this model takes windows of {config.length(side)} bp"
            )
        return tower.first(tower.symbols(codes), tables)

    def tower(self, side: Side) -> Tower:
        """Tower of enhancers or of promoters."""
        return self.enhancer if side == "enhancer" else self.promoter

    def interact(
        self,
        enhancer: Tensor,
        promoter: Tensor,
        lengths: tuple[Tensor, Tensor] | None = None,
        *,
        auxiliary: bool = True,
        with_attention: bool = False,
        order: Sequence[Tensor] | None = None,
    ) -> Interaction:
        """Predict from first maps ``(n, channels, bins)``.

        Parameters
        ----------
        lengths, with_attention
            As in :meth:`forward`.
        auxiliary
            Compute the auxiliary head; a prediction does not need it.
        order
            Places of the relations that the auxiliary head reads, of each stage ``(n, n_relations)``; for weights
            trained with another order than descending. ``None``: descending.
        """
        config = self.config
        maps = [enhancer, promoter]
        counts = [self._counts(side, maps[i], lengths and lengths[i]) for i, side in enumerate(get_args(Side))]
        strong, attention = [], []
        for stage in range(len(config.kernels)):
            if stage == 0:
                maps = [tower.stages[0].dropout(x) for tower, x in self._with(maps)]  # type: ignore[operator]
            else:
                maps = [tower.stages[stage](x) for tower, x in self._with(maps)]
            if not config.attention:
                continue
            valid = [None if n is None else _valid(x, n[stage]) for x, n in zip(maps, counts, strict=True)]
            attended = self.attention[stage](*maps, *valid)
            maps = [attended.enhancer, attended.promoter]
            if auxiliary:
                at = None if order is None else order[stage]
                strong.append(strongest(attended.product, config.n_relations[stage], config.channels, at))
            if with_attention:
                attention.append(PairAttention(attended.product / config.channels, *attended.weights))
        if config.variable_length:
            maps = [
                adaptive_max(x, n[-1], config.bins(side)[-1])  # type: ignore[index]
                for side, x, n in zip(get_args(Side), maps, counts, strict=True)
            ]
        logit = self.main(torch.cat([x.flatten(1) for x in maps], dim=1))
        return Interaction(logit, self.auxiliary(torch.cat(strong, dim=1)) if strong else None, tuple(attention))

    def _with(self, maps: list[Tensor]) -> list[tuple[Tower, Tensor]]:
        return list(zip((self.enhancer, self.promoter), maps, strict=True))

    def _counts(self, side: Side, first: Tensor, lengths: Tensor | None) -> list[Tensor] | None:
        """Bins of each stage that hold sequence, each ``(n,)``; ``None``: all do."""
        config = self.config
        if not config.variable_length:
            if lengths is not None:
                raise ValueError("lengths= goes with a model of variable_length=True")
            return None
        if lengths is None:
            raise ValueError("a model of variable_length=True needs lengths= of the windows that maps are of")
        config.check_length(side, int(lengths.min()))
        n, counts = lengths.to(first.device), []
        for kernel, pool in zip(config.kernels, config.pools, strict=True):
            n = (n - kernel + 1) // pool
            counts.append(n)
        return counts


def _valid(x: Tensor, count: Tensor) -> Tensor:
    return torch.arange(x.shape[2], device=x.device) < count[:, None]
