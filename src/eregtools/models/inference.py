"""EPInformer in the form that prediction uses: exact, but without the work that cannot change the result.

Four savings, all equal to the plain network up to float rounding:

- Normalisation is folded into the convolutions, and pooling goes before the (monotone) ELU.
- A window's sequence can influence only part of the tower's output; the rest is that of an empty window, which
  is computed once. Only the influenced part is computed, from a crop of the window.
- The stem sees eight bases, so its output has 65,536 possible values. What the first block's convolution makes of
  each of them is tabulated once; the two most expensive layers (77 % of the arithmetic) become three look-ups a
  position. Windows with unknown bases or padding are computed directly.
- Sequences are sorted by the length of their crop and computed in chunks, so memory is bounded by the chunk.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eregtools.batches.encode import N_CODES, PADDING, occupied
from eregtools.models.device import full_precision
from eregtools.models.layers import DilatedHead, SequenceEncoder, base_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from eregtools.batches.genes import GeneInputs
    from eregtools.models.epinformer import EPInformer, EPInformerSeq
    from eregtools.models.layers import ConvBlock

_STEM_WIDTH = 8
_STEM_LEFT = 3
_N_KMERS = 4**_STEM_WIDTH
_POSITIONS_PER_CHUNK = 40_000
_SLOTS_PER_BATCH = 4_000
"""Slots that go through attention together: their states stay in a CPU's cache."""
_TABLE_PAYS_FROM = 60_000
"""Positions from which filling the k-mer tables (about 0.1 CPU-s) costs less than it saves."""


def fold_norm(conv: nn.Module, norm: nn.Module | None = None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution, with the batch normalisation that follows it in evaluation mode."""
    device = next(conv.parameters()).device
    # Folded on the CPU in double precision: not every accelerator has it.
    state = {name: value.detach().cpu().double() for name, value in conv.state_dict().items()}
    weight, bias = state["weight"], state["bias"]
    if isinstance(norm, nn.BatchNorm1d):
        statistics = {name: value.detach().cpu().double() for name, value in norm.state_dict().items()}
        scale = statistics["weight"] / (statistics["running_var"] + norm.eps).sqrt()
        weight = weight * scale[:, None, None]
        bias = (bias - statistics["running_mean"]) * scale + statistics["bias"]
    return weight.float().to(device), bias.float().to(device)


class KmerTables:
    """What the stem and the first convolution make of each window of eight bases.

    Row ``k`` of tap ``t`` is the contribution of a stem position that holds k-mer ``k`` to the convolution's
    output at distance ``1 - t``. Rows of windows that hold unknown bases or padding are appended for each call.
    """

    def __init__(self, stem: nn.Conv1d, weight: Tensor, bias: Tensor, n_value: float) -> None:
        self.bases = base_vectors(n_value).to(weight.device)
        stem_weight, self.stem_bias = fold_norm(stem)
        self.stem_weight = stem_weight.permute(2, 1, 0)
        self.taps = weight.permute(1, 2, 0).reshape(weight.shape[1], -1)
        self.bias = bias
        self.size = weight.shape[0]
        self.rows = torch.empty(0, device=weight.device)
        self._grow(4096)
        self._fill()

    def _grow(self, n_special: int) -> None:
        stride = _N_KMERS + n_special + 1
        rows = torch.empty(3, stride, self.size, device=self.bias.device)
        rows[:, -1] = 0  # the row of a position outside the window
        if self.rows.numel():
            rows[:, :_N_KMERS] = self.rows.view(3, -1, self.size)[:, :_N_KMERS]
        self.rows, self.stride, self.n_special = rows.view(-1, self.size), stride, n_special

    def _fill(self) -> None:
        half = _STEM_WIDTH // 2
        letters = torch.cartesian_prod(*[torch.arange(4)] * half).to(self.bias.device)
        one_hot = self.bases[letters].flatten(1)
        left = one_hot @ self.stem_weight[:half].reshape(4 * half, -1)
        right = one_hot @ self.stem_weight[half:].reshape(4 * half, -1) + self.stem_bias
        table = self.rows.view(3, self.stride, self.size)
        for first, block in enumerate(left.split(16)):
            rows = slice(first * 16 * 4**half, (first * 16 + len(block)) * 4**half)
            self._write(table, rows, (block[:, None] + right).flatten(0, 1))

    def _write(self, table: Tensor, rows: slice, stem: Tensor) -> None:
        values = functional.elu(stem, inplace=True) @ self.taps
        table[:, rows] = values.view(-1, 3, self.size).transpose(0, 1)
        table[1, rows] += self.bias

    def convolve(self, codes: Tensor) -> Tensor:
        """First convolution, normalised, before pooling and activation: ``(n, L)`` to ``(n, L, channels)``."""
        n, length = codes.shape
        right = _STEM_WIDTH - 1 - _STEM_LEFT
        padded = functional.pad(codes.int(), (_STEM_LEFT, right), value=PADDING)
        kmer, unusual = padded, padded >= 4
        for span in (1, 2, 4):
            kmer = kmer[:, :-span] * 4**span + kmer[:, span:]
            unusual = unusual[:, :-span] | unusual[:, span:]
        if bool(unusual.any()):
            kmer = kmer.masked_scatter(unusual, self._special(padded, unusual))
        taps = torch.full((n, length, 3), self.stride - 1, dtype=torch.int32, device=codes.device)
        taps[:, 1:, 0] = kmer[:, :-1]
        taps[:, :, 1] = kmer + self.stride
        taps[:, :-1, 2] = kmer[:, 1:] + 2 * self.stride
        return functional.embedding_bag(taps.view(-1, 3), self.rows, mode="sum").view(n, length, self.size)

    def _special(self, padded: Tensor, unusual: Tensor) -> Tensor:
        """Compute the windows that are not plain k-mers and return their rows."""
        windows = padded.unfold(1, _STEM_WIDTH, 1)[unusual]
        base = N_CODES ** torch.arange(_STEM_WIDTH, device=padded.device)
        distinct, row = torch.unique((windows * base).sum(1), return_inverse=True)
        letters = distinct[:, None] // base % N_CODES
        if len(distinct) > self.n_special:
            self._grow(2 * len(distinct))
        stem = self.bases[letters].flatten(1) @ self.stem_weight.reshape(4 * _STEM_WIDTH, -1) + self.stem_bias
        table = self.rows.view(3, self.stride, self.size)
        self._write(table, slice(_N_KMERS, _N_KMERS + len(distinct)), stem)
        return (row + _N_KMERS).int()


class FoldedTower:
    """The convolutional tower, folded: codes ``(n, length)`` to ``(n, length // 16, 128)``, channels last."""

    def __init__(self, encoder: SequenceEncoder, n_value: float, device: torch.device) -> None:
        self.device = device
        self.n_value = n_value
        self.bases = base_vectors(n_value).to(device)
        encoder = copy.deepcopy(encoder).to(device)
        blocks = [cast("ConvBlock", block) for block in encoder.blocks]
        self.stem = encoder.stem
        self.convolutions = [fold_norm(block.conv, block.norm) for block in blocks]
        self.pointwise = [fold_norm(block.pointwise) for block in blocks]
        self.tables: KmerTables | None = None

    def expect(self, positions: int) -> None:
        """Prepare for that many positions: on a CPU, fill the k-mer tables when they pay."""
        if self.tables is None and self.device.type == "cpu" and positions >= _TABLE_PAYS_FROM:
            self.tables = KmerTables(self.stem, *self.convolutions[0], self.n_value)

    def __call__(self, codes: Tensor) -> Tensor:
        """Run the tower."""
        x = self._first_block(codes)
        for conv, pointwise in zip(self.convolutions[1:], self.pointwise[1:], strict=True):
            x = functional.elu(functional.max_pool1d(functional.conv1d(x, *conv, padding=1), 2), inplace=True)
            x = functional.elu(functional.conv1d(x, *pointwise), inplace=True).add_(x)
        return x.transpose(1, 2)

    def _first_block(self, codes: Tensor) -> Tensor:
        weight, bias = self.pointwise[0]
        if self.tables is not None:
            y = self.tables.convolve(codes)
            y = functional.elu(torch.maximum(y[:, 0::2], y[:, 1::2]), inplace=True)
            y = functional.elu(functional.linear(y, weight[:, :, 0], bias), inplace=True).add_(y)
            return y.transpose(1, 2).contiguous()
        x = self.bases[codes.long()].transpose(1, 2)
        x = functional.elu(self.stem(functional.pad(x, (3, 4))), inplace=True)
        x = functional.conv1d(x, *self.convolutions[0], padding=1)
        x = functional.elu(functional.max_pool1d(x, 2), inplace=True)
        return functional.elu(functional.conv1d(x, weight, bias), inplace=True).add_(x)


class FoldedHead:
    """The dilated head, folded: ``(n, positions, 128)`` to ``(n, dim)``."""

    def __init__(self, head: DilatedHead, device: torch.device) -> None:
        head = copy.deepcopy(head).to(device)
        modules = list(head.convolutions)
        self.convolutions = [
            (*fold_norm(conv, norm), cast("nn.Conv1d", conv).dilation)
            for conv, norm in zip(modules[0::3], modules[1::3], strict=True)
        ]
        self.positions = head.positions

    def __call__(self, x: Tensor) -> Tensor:
        """Run the head."""
        x = x.transpose(1, 2)
        for weight, bias, dilation in self.convolutions:
            x = functional.elu(functional.conv1d(x, weight, bias, dilation=dilation), inplace=True)
        return functional.elu(self.positions(x), inplace=True).flatten(1)


class SlotEncoder:
    """Embeddings of an :class:`EPInformer`'s slots, each computed from the part of the window that matters.

    Parameters
    ----------
    model
        The network; what is computed with is a copy.
    device
        Where to compute.
    """

    def __init__(self, model: EPInformer, device: torch.device) -> None:
        self.device = device
        self.window = model.config.window
        self.dim = model.config.embedding_dim
        self.tower = FoldedTower(model.encoder, model.config.n_value, device)
        self.head = FoldedHead(model.head, device)
        with torch.inference_mode():
            empty = torch.full((1, self.window), PADDING, dtype=torch.uint8, device=device)
            self.empty = self.tower(empty)

    @torch.inference_mode()
    @full_precision()
    def __call__(self, codes: NDArray[np.uint8]) -> Tensor:
        """Embeddings ``(n, dim)`` of windows ``(n, window)``."""
        if codes.shape[1:] != (self.window,):
            raise ValueError(f"codes have shape {codes.shape}; this model takes windows of {self.window} bp")
        out = torch.empty(len(codes), self.dim, device=self.device)
        first, last, start, width = self._crops(codes)
        self.tower.expect(int(width.sum()))
        for rows in _chunks(width):
            out[torch.from_numpy(rows).to(self.device)] = self.head(
                self._tower_output(codes[rows], first[rows], last[rows], start[rows], int(width[rows].max()))
            )
        return out

    def _crops(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.int64], ...]:
        """First and last tower output that each sequence can influence; start and width of its crop."""
        stride = SequenceEncoder.stride
        left, right = SequenceEncoder.reach
        begin, end = occupied(codes)
        first = np.maximum(-(-(begin - right) // stride), 0)
        last = np.minimum((end - 1 + left) // stride, self.window // stride - 1)
        empty = end == begin
        first, last = np.where(empty, 0, first), np.where(empty, -1, last)
        start = np.maximum((first - 2) * stride, 0)
        width = np.where(empty, 0, np.minimum((last + 3) * stride, self.window) - start)
        return first, last, start, width

    def _tower_output(
        self,
        codes: NDArray[np.uint8],
        first: NDArray[np.int64],
        last: NDArray[np.int64],
        start: NDArray[np.int64],
        width: int,
    ) -> Tensor:
        stride = SequenceEncoder.stride
        if width == 0:
            return self.empty.expand(len(codes), -1, -1)
        start = np.minimum(start, self.window - width)
        crop = np.take_along_axis(codes, start[:, None] + np.arange(width), axis=1)
        computed = self.tower(torch.from_numpy(crop).to(self.device))
        if width == self.window:
            return computed
        position = start[:, None] // stride + np.arange(width // stride)
        row, column = np.nonzero((position >= first[:, None]) & (position <= last[:, None]))
        out = self.empty.repeat(len(codes), 1, 1)
        out[row, position[row, column]] = computed[row, column]
        return out


class ActivityPredictor:
    """An :class:`EPInformerSeq` with its tower folded; what is computed with is a copy."""

    def __init__(self, model: EPInformerSeq, device: torch.device) -> None:
        self.model = copy.deepcopy(model).to(device).eval()
        self.device = device
        self.tower = FoldedTower(model.encoder, model.config.n_value, device)

    @torch.inference_mode()
    @full_precision()
    def __call__(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Activity ``(n,)`` of windows ``(n, window)``, log2(0.1 + activity)."""
        if codes.shape[1:] != (self.model.config.window,):
            raise ValueError(
                f"codes have shape {codes.shape}; this model takes windows of {self.model.config.window} bp"
            )
        self.tower.expect(codes.size)
        out = np.empty(len(codes), dtype=np.float32)
        for rows in _chunks(np.full(len(codes), codes.shape[1])):
            encoded = self.tower(torch.from_numpy(codes[rows]).to(self.device)).transpose(1, 2)
            out[rows] = self.model.activity(encoded).cpu().numpy()
        return out


class GenePredictor:
    """Expression and attention of genes from the embeddings of their slots.

    Parameters
    ----------
    model
        The network; what is computed with is a copy.
    device
        Where to compute.
    """

    def __init__(self, model: EPInformer, device: torch.device) -> None:
        self.model = copy.deepcopy(model).to(device).eval()
        self.device = device

    @torch.inference_mode()
    @full_precision()
    def __call__(
        self, inputs: GeneInputs, promoters: Tensor, elements: Tensor, *, batch_size: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict genes.

        Parameters
        ----------
        inputs
            Genes and their links.
        promoters
            Embedding of each gene's promoter ``(n_genes, dim)``.
        elements
            Embedding of each link's enhancer ``(n_links, dim)``.
        batch_size
            Genes computed together; ``None``: as many as keep a batch at 4,000 slots.

        Returns
        -------
        Expression ``(n_genes,)``, and each layer's attention of the promoter to the link's enhancer
        ``(n_layers, n_links)``.
        """
        counts = np.diff(inputs.offsets)
        expression = np.empty(len(counts), dtype=np.float32)
        attention = np.empty((self.model.config.n_layers, int(inputs.offsets[-1])), dtype=np.float32)
        for rows in _chunks(counts + 1, _SLOTS_PER_BATCH, batch_size):
            batch = self._batch(inputs, rows, promoters, elements)
            out = self.model.interact(batch.embeddings, batch.slot_features, batch.gene_features, batch.padding)
            expression[rows] = out.expression.cpu().numpy()
            attention[:, batch.link.numpy()] = out.attention.cpu()[:, batch.row, batch.slot].numpy()
        return expression, attention

    @torch.inference_mode()
    @full_precision()
    def knock_outs(
        self,
        inputs: GeneInputs,
        promoters: Tensor,
        elements: Tensor,
        number: NDArray[np.int64],
        link: NDArray[np.int64],
        *,
        silenced: NDArray[np.float32] | None = None,
        batch_size: int | None = None,
    ) -> NDArray[np.float32]:
        """Predict genes that lack some of their enhancers.

        An enhancer sees the promoter and itself, so the others' states after the first layer are those of the whole
        gene: they are computed once for all knock-outs of a gene, and each knock-out only goes on from there.

        Parameters
        ----------
        inputs, promoters, elements
            As in :meth:`__call__`.
        number, link
            Knock-out ``0 … k - 1`` and a link that it takes away, one row a link of a knock-out; all links of a
            knock-out are of one gene.
        silenced
            Slot features ``(n_links, n_slot_features)`` that the enhancers of a knock-out get; ``None``: they are
            taken out of the gene.
        batch_size
            Knock-outs computed together; ``None``: as many as keep a batch at 4,000 slots.

        Returns
        -------
        Expression ``(k,)``.
        """
        order = np.argsort(number, kind="stable")
        number, link = number[order], link[order]
        begins = np.flatnonzero(np.diff(number, prepend=-1))
        sizes = np.diff(begins, append=len(number))
        counts = np.diff(inputs.offsets)
        owner = np.repeat(np.arange(len(counts)), counts)
        slot = 1 + np.arange(len(owner)) - inputs.offsets[owner]
        gene = owner[link[begins]]
        expression = np.empty(len(begins), dtype=np.float32)
        for rows in _chunks(counts[gene] + 1, _SLOTS_PER_BATCH, batch_size):
            genes, place = np.unique(gene[rows], return_inverse=True)
            taken = np.repeat(np.arange(len(rows)), sizes[rows])
            within = np.arange(len(taken)) - np.repeat(np.cumsum(sizes[rows]) - sizes[rows], sizes[rows])
            links = link[begins[rows][taken] + within]
            batch = self._batch(inputs, genes, promoters, elements)
            expression[rows] = self._without(
                batch,
                torch.from_numpy(place),
                (torch.from_numpy(taken), torch.from_numpy(slot[links])),
                None if silenced is None else (elements[torch.from_numpy(links)], torch.from_numpy(silenced[links])),
            )
        return expression

    def _without(
        self,
        batch: _Batch,
        gene: Tensor,
        taken: tuple[Tensor, Tensor],
        silenced: tuple[Tensor, Tensor] | None,
    ) -> NDArray[np.float32]:
        """Expression of ``gene`` (rows of a batch) without the slots ``taken`` (row of ``gene``, slot).

        ``silenced``: embedding and features that these slots get instead.
        """
        first, *others = self.model.layers
        before = self.model.fuse(batch.embeddings, batch.slot_features)
        after, _ = first(before, batch.padding)
        states, after, padding = before[gene], after[gene], batch.padding[gene]
        if silenced is None:
            padding[taken] = True
        else:
            embeddings, features = silenced
            states[taken] = self.model.fuse(embeddings, features.to(self.device))
            pair = torch.stack([states[taken[0], 0], states[taken]], dim=1)
            after[taken] = first(pair, torch.zeros(pair.shape[:2], dtype=torch.bool, device=self.device))[0][:, 1]
        promoter, _ = first(states, padding, promoter_only=True)
        states = torch.cat([promoter, after[:, 1:]], dim=1)
        for left, layer in zip(range(len(others) - 1, -1, -1), others, strict=True):
            states, _ = layer(states, padding, promoter_only=left == 0)
        gene_features = None if batch.gene_features is None else batch.gene_features[gene]
        return self.model.read_out(states[:, 0], gene_features).cpu().numpy()

    def _batch(self, inputs: GeneInputs, rows: NDArray[np.int64], promoters: Tensor, elements: Tensor) -> _Batch:
        """Slots of some genes, as many for each as the longest has."""
        counts = np.diff(inputs.offsets)[rows]
        n, slots = len(rows), int(counts.max()) + 1
        row, place = np.nonzero(np.arange(slots - 1) < counts[:, None])
        link = torch.from_numpy(inputs.offsets[rows][row] + place)
        index = (torch.from_numpy(row), torch.from_numpy(place + 1))
        embeddings = torch.zeros(n, slots, promoters.shape[1], device=self.device)
        embeddings[:, 0] = promoters[torch.from_numpy(rows)]
        embeddings[index] = elements[link]
        padding = torch.ones(n, slots, dtype=torch.bool)
        padding[:, 0] = False
        padding[index] = False
        features = torch.zeros(n, slots, inputs.slot_features.shape[1])
        features[:, 0] = torch.from_numpy(inputs.promoter_features[rows])
        features[index] = torch.from_numpy(inputs.slot_features)[link]
        gene_features = torch.from_numpy(inputs.gene_features[rows]).to(self.device)
        return _Batch(
            embeddings,
            features.to(self.device) if features.shape[2] else None,
            gene_features if gene_features.shape[1] else None,
            padding.to(self.device),
            link,
            *index,
        )


class _Batch(NamedTuple):
    """Genes in slots: what the network takes, and which slot holds which link."""

    embeddings: Tensor
    slot_features: Tensor | None
    gene_features: Tensor | None
    padding: Tensor
    link: Tensor
    row: Tensor
    slot: Tensor


def _chunks(
    width: NDArray[np.int64], most: int = _POSITIONS_PER_CHUNK, rows: int | None = None
) -> Iterator[NDArray[np.int64]]:
    """Rows in order of width, in chunks of at most ``most`` positions once padded, and at most ``rows`` rows."""
    order = np.argsort(width, kind="stable")
    begin = 0
    while begin < len(order):
        end = begin + 1
        while (
            end < len(order) and (end + 1 - begin) * width[order[end]] <= most and (rows is None or end - begin < rows)
        ):
            end += 1
        yield order[begin:end]
        begin = end
