"""What single-base substitutions change in EPInformer's tower, and nothing else.

A base is seen by three or four of the tower's outputs at stride 16 (each sees 53 bp). The unchanged sequence is run
once and its activations are kept; a substitution is then carried through the layers as the change of the few
positions that it reaches: a difference of two columns of the stem's filters, and from there on, since a convolution
is linear, the convolution of a change. The numbers are those of the plain network up to float rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eregtools.batches.encode import PADDING, UNKNOWN
from eregtools.models.inference import FoldedTower, fold_norm
from eregtools.models.layers import SequenceEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_BASES = 4
REACHED = 4
"""Most outputs of the tower that see one base."""

_STEM_WIDTH = 8
_STEM_LEFT = 3
_TAPS = 3
_CHANGED = _STEM_WIDTH + _TAPS - 1
"""Outputs of the first convolution that see one base."""
_SEEN = _CHANGED - 1
"""How far to either side of a base the bases are that these outputs see."""
_AT_ONCE = 1024
"""Substitutions that are carried through the tower together."""


class Substitutions(NamedTuple):
    """Single-base substitutions of sequences, arrays ``(m,)``."""

    row: NDArray[np.int64]
    """Sequence that is changed."""
    position: NDArray[np.int64]
    base: NDArray[np.int64]
    """New base, 0–3."""


def every_substitution(codes: NDArray[np.uint8]) -> Substitutions:
    """Every base but the present one at every position of sequences ``(n, length)``; none where there is padding.

    Examples
    --------
    >>> import numpy as np
    >>> every_substitution(np.array([[5, 0]], dtype=np.uint8))
    Substitutions(row=array([0, 0, 0]), position=array([1, 1, 1]), base=array([1, 2, 3]))
    """
    other = (codes[:, :, None] != np.arange(N_BASES)) & (codes != PADDING)[:, :, None]
    return Substitutions(*np.nonzero(other))


@dataclass(frozen=True)
class Reference:
    """Activations of unchanged sequences, positions before channels."""

    codes: Tensor
    stem: Tensor
    """Before its activation ``(n, length, channels)``; empty where k-mer tables serve."""
    convolved: list[Tensor]
    """Each block's convolution, normalised, before pooling."""
    blocks: list[Tensor]
    """Output of each block."""


class Change(NamedTuple):
    """What substitutions change in a layer: ``values`` ``(m, width, channels)`` from position ``start`` ``(m,)`` on."""

    start: Tensor
    values: Tensor


class TowerMutagenesis:
    """Change of the tower's output by single-base substitutions."""

    def __init__(self, tower: FoldedTower) -> None:
        self.tower = tower
        self.taps = [as_taps(weight) for weight, _ in tower.convolutions]
        known = tower.bases[:N_BASES]
        difference = known[None] - tower.bases[: UNKNOWN + 1, None]
        columns = fold_norm(tower.stem)[0].permute(2, 1, 0).flip(0)
        self.columns = torch.einsum("obc,kcf->obkf", difference, columns)
        """Change of the stem ``(old, new, position, channel)``, before its activation."""

    def reference(self, codes: Tensor) -> Reference:
        """Run unchanged sequences ``(n, length)``."""
        tower = self.tower
        if tower.tables is not None:
            stem = torch.empty(0, device=codes.device)
            y = tower.tables.convolve(codes)
        else:
            one_hot = tower.bases[codes.long()].transpose(1, 2)
            stem = tower.stem(functional.pad(one_hot, (_STEM_LEFT, _STEM_WIDTH - 1 - _STEM_LEFT)))
            y = functional.conv1d(functional.elu(stem), *tower.convolutions[0], padding=1).transpose(1, 2)
            stem = stem.transpose(1, 2).contiguous()
        convolved: list[Tensor] = []
        blocks: list[Tensor] = []
        for number in range(len(tower.convolutions)):
            if number:
                y = functional.conv1d(blocks[-1].transpose(1, 2), *tower.convolutions[number], padding=1)
                y = y.transpose(1, 2)
            convolved.append(y.contiguous())
            blocks.append(self._after_convolution(convolved[-1], number))
        return Reference(codes, stem, convolved, blocks)

    def _after_convolution(self, y: Tensor, number: int) -> Tensor:
        weight, bias = self.tower.pointwise[number]
        y = functional.elu(torch.maximum(y[:, 0::2], y[:, 1::2]), inplace=True)
        return functional.elu(functional.linear(y, weight[:, :, 0], bias), inplace=True).add_(y)

    def changes(self, reference: Reference, what: Substitutions) -> Change:
        """Change of the tower's output, four positions for each substitution (zero where none is reached)."""
        device = reference.codes.device
        outputs = reference.blocks[-1]
        values = torch.zeros(len(what.row), REACHED, outputs.shape[2], device=device)
        start = torch.empty(len(what.row), dtype=torch.long, device=device)
        for chosen, phase, by_table in self._groups(reference, what):
            rows, tile = (
                torch.from_numpy(v[chosen]).to(device) for v in (what.row, what.position // SequenceEncoder.stride)
            )
            base = torch.from_numpy(what.base[chosen]).to(device)
            found, change = self._through_blocks(reference, rows, tile, base, phase, by_table)
            at = torch.from_numpy(chosen).to(device)
            start[at] = tile + found
            values[at, : change.shape[1]] = change
        return Change(start, values)

    def _groups(self, reference: Reference, what: Substitutions) -> Iterator[tuple[NDArray[np.int64], int, bool]]:
        """Substitutions at the same place between two outputs: the same positions change in every layer."""
        phase = what.position % SequenceEncoder.stride
        plain = np.zeros(len(phase), dtype=bool)
        if self.tower.tables is not None:
            plain = _far_from_unusual(reference.codes.cpu().numpy())[what.row, what.position]
        group = 2 * phase + plain
        order = np.argsort(group, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            for begin in range(0, len(part), _AT_ONCE):
                chunk = part[begin : begin + _AT_ONCE]
                yield chunk, int(phase[chunk[0]]), bool(plain[chunk[0]])

    def _through_blocks(
        self, reference: Reference, rows: Tensor, tile: Tensor, base: Tensor, phase: int, by_table: bool
    ) -> tuple[int, Tensor]:
        """Carry substitutions at ``16 * tile + phase`` through the tower.

        Positions of a layer are ``step * tile`` and more, so what is added to that is a number for the whole group.
        """
        step = SequenceEncoder.stride
        if by_table:
            begin, convolved = phase - _CHANGED // 2, self._look_up(reference, rows, tile * step + phase, base)
        else:
            begin, change = phase - _STEM_WIDTH // 2, self._stem_change(reference, rows, tile * step + phase, base)
        for number, taps in enumerate(self.taps):
            if number or not by_table:
                begin, convolved = begin - 1, convolve_change(change, taps)
            left = begin % 2
            begin -= left
            width = -(-(left + convolved.shape[1]) // 2) * 2
            y = windows(reference.convolved[number], rows, tile * step + begin, width)
            inner = y[:, left : left + convolved.shape[1]]
            if by_table and not number:
                inner.copy_(convolved)
            else:
                inner.add_(convolved)
            begin, step = begin // 2, step // 2
            before = reference.blocks[number]
            change = self._after_convolution(y, number)
            change -= windows(before, rows, tile * step + begin, width // 2)
            clear_outside(change, tile * step + begin, before.shape[1])
        return begin, change

    def _stem_change(self, reference: Reference, rows: Tensor, position: Tensor, base: Tensor) -> Tensor:
        """Change of the stem's eight outputs that see the position."""
        start, length = position - (_STEM_WIDTH - 1 - _STEM_LEFT), reference.codes.shape[1]
        old = reference.codes[rows, position].long()
        before = self._stem(reference, rows, start)
        change = functional.elu(before + self.columns[old, base], inplace=True)
        change -= functional.elu(before, inplace=True)
        clear_outside(change, start, length)
        return change

    def _stem(self, reference: Reference, rows: Tensor, start: Tensor) -> Tensor:
        if reference.stem.numel():
            return windows(reference.stem, rows, start, _STEM_WIDTH)
        # Only the few substitutions near unknown bases and ends come here: their stem is computed for them alone.
        length = reference.codes.shape[1]
        at = start[:, None] - _STEM_LEFT + torch.arange(2 * _STEM_WIDTH - 1, device=start.device)
        codes = reference.codes[rows[:, None], at.clamp(0, length - 1)].masked_fill((at < 0) | (at >= length), PADDING)
        return self.tower.stem(self.tower.bases[codes.long()].transpose(1, 2)).transpose(1, 2)

    def _look_up(self, reference: Reference, rows: Tensor, position: Tensor, base: Tensor) -> Tensor:
        """First convolution of the changed sequences at the positions that change, from the k-mer tables."""
        tables = self.tower.tables
        assert tables is not None
        span = torch.arange(-_SEEN, _SEEN + 1, device=rows.device)
        codes = reference.codes[rows[:, None], position[:, None] + span].int()
        codes[:, _SEEN] = base.int()
        kmer = codes
        for width in (1, 2, 4):
            kmer = kmer[:, :-width] * 4**width + kmer[:, width:]
        taps = torch.stack([kmer[:, t : t + _CHANGED] + t * tables.stride for t in range(_TAPS)], dim=-1)
        found = functional.embedding_bag(taps.view(-1, _TAPS), tables.rows, mode="sum")
        return found.view(len(rows), _CHANGED, tables.size)


def as_taps(weight: Tensor) -> Tensor:
    """Weight of a convolution as ``(in, taps, out)``."""
    return weight.permute(1, 2, 0).contiguous()


def convolve_change(change: Tensor, taps: Tensor, dilation: int = 1) -> Tensor:
    """Every output of a convolution that the changed positions reach, ``dilation * (taps - 1)`` more than these."""
    m, width, size = change.shape
    n_taps, channels = taps.shape[1:]
    products = (change.reshape(-1, size) @ taps.view(size, -1)).view(m, width, n_taps, channels)
    if n_taps == 1:
        return products[:, :, 0]
    out = change.new_zeros(m, width + dilation * (n_taps - 1), channels)
    for tap in range(n_taps):
        begin = dilation * (n_taps - 1 - tap)
        out[:, begin : begin + width] += products[:, :, tap]
    return out


def windows(values: Tensor, rows: Tensor, start: Tensor, width: int) -> Tensor:
    """Windows ``(m, width, channels)`` of ``(n, length, channels)``; outside, the value at the end."""
    length = values.shape[1]
    position = (start[:, None] + torch.arange(width, device=start.device)).clamp_(0, length - 1)
    return (
        values.flatten(0, 1).index_select(0, (position + rows[:, None] * length).flatten()).view(len(rows), width, -1)
    )


def clear_outside(change: Tensor, start: Tensor, length: int) -> None:
    """Set to zero what lies outside of the sequence, in place."""
    position = start[:, None] + torch.arange(change.shape[1], device=start.device)
    outside = (position < 0) | (position >= length)
    change.masked_fill_(outside[..., None], 0)


def _far_from_unusual(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Positions whose substitution changes only windows of eight known bases within the sequence."""
    n, length = codes.shape
    span = 2 * _SEEN + 1
    unusual = np.ones((n, length + span), dtype=np.int64)
    unusual[:, 0] = 0
    unusual[:, _SEEN + 1 : _SEEN + 1 + length] = codes >= UNKNOWN
    total = unusual.cumsum(axis=1)
    return total[:, span:] == total[:, :-span]
