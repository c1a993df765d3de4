"""In-silico saturation mutagenesis: what a model predicts with each base at each position of a sequence.

Of EPInformer only what a substitution changes is computed (:mod:`eregtools.models.substitutions`); the numbers are
those of the plain network up to float rounding. Of other networks each substitution is run by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eregtools.batches.encode import PADDING
from eregtools.models.device import full_precision
from eregtools.models.inference import FoldedHead, FoldedTower, fold_norm
from eregtools.models.layers import SequenceEncoder
from eregtools.models.substitutions import (
    N_BASES,
    REACHED,
    Change,
    Substitutions,
    TowerMutagenesis,
    as_taps,
    clear_outside,
    convolve_change,
    every_substitution,
    windows,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eregtools.models.epinformer import EPInformer, EPInformerSeq
    from eregtools.models.slots import GeneSlots

_POSITIONS_PER_BASE = 40
"""Positions of a plain run that cost as much as the first layers of three substitutions without k-mer tables."""
_BASES_PER_CHUNK = 8_192
_AT_ONCE = 1024
_SEQUENCES_AT_ONCE = 256


def _as_convolution(linear: nn.Linear) -> nn.Conv1d:
    """Linear layer as the convolution of width one that it is."""
    conv = nn.Conv1d(linear.in_features, linear.out_features, 1, device=linear.weight.device)
    conv.load_state_dict({"weight": linear.weight.detach()[:, :, None], "bias": linear.bias.detach()})
    return conv


class ActivityMutagenesis:
    """Activity of every single-base substitution of a window.

    Parameters
    ----------
    model
        The network; what is computed with is a copy.
    device
        Where to compute.
    """

    def __init__(self, model: EPInformerSeq, device: torch.device) -> None:
        self.device, self.window = device, model.config.window
        self.tower = FoldedTower(model.encoder, model.config.n_value, device)
        self.mutagenesis = TowerMutagenesis(self.tower)
        first, *rest = copy.deepcopy(model.head).to(device).eval()
        weight, self.bias = fold_norm(_as_convolution(cast("nn.Linear", first)), rest[0] if rest else None)
        self.rest = nn.Sequential(*rest[1:])
        self.weight = weight.view(len(weight), -1, self.window // SequenceEncoder.stride).permute(2, 1, 0).contiguous()

    def expect(self, n_bases: int) -> None:
        """Prepare for the substitutions of that many bases: on a CPU, fill the k-mer tables when they pay."""
        self.tower.expect(_POSITIONS_PER_BASE * n_bases)

    @torch.inference_mode()
    @full_precision()
    def __call__(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict.

        Parameters
        ----------
        codes
            Windows ``(n, window)``.

        Returns
        -------
        Activity of the windows ``(n,)``, and with each base at each position ``(n, 4, window)``.
        """
        if codes.shape[1:] != (self.window,):
            raise ValueError(f"codes have shape {codes.shape}; this model takes windows of {self.window} bp")
        self.expect(codes.size)
        activity = np.empty(len(codes), dtype=np.float32)
        mutated = np.empty((len(codes), N_BASES, self.window), dtype=np.float32)
        size = max(1, _BASES_PER_CHUNK // self.window)
        for begin in range(0, len(codes), size):
            part = slice(begin, begin + size)
            activity[part], mutated[part] = self._chunk(codes[part])
        return activity, mutated

    def _chunk(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        what = every_substitution(codes)
        reference = self.mutagenesis.reference(torch.from_numpy(codes).to(self.device))
        hidden = torch.einsum("npc,pch->nh", reference.blocks[-1], self.weight) + self.bias
        change = self.mutagenesis.changes(reference, what)
        changed = hidden[torch.from_numpy(what.row).to(self.device)]
        for position, weight in enumerate(self.weight):
            offset = position - change.start
            reached = torch.nonzero((offset >= 0) & (offset < REACHED)).flatten()
            changed.index_add_(0, reached, change.values[reached, offset[reached]] @ weight)
        activity = self.rest(hidden).flatten().cpu().numpy()
        return activity, _by_base(activity, what, self.rest(changed).flatten().cpu().numpy(), codes.shape[1])


def _by_base(
    unchanged: NDArray[np.float32], what: Substitutions, values: NDArray[np.float32], length: int
) -> NDArray[np.float32]:
    """Values of substitutions as ``(n, 4, length)``; the unchanged one for the present base and in padding."""
    out = np.repeat(unchanged, N_BASES * length).reshape(-1, N_BASES, length)
    out[what.row, what.base, what.position] = values
    return out


def mutated_one_by_one(
    codes: NDArray[np.uint8], predict: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Predict every single-base substitution of a sequence by running the whole network on it.

    Parameters
    ----------
    codes
        The sequence ``(length,)``.
    predict
        Gives the predictions ``(n,)`` of sequences ``(n, length)``.

    Returns
    -------
    Prediction of the sequence ``(1,)``, and with each base at each position ``(1, 4, length)``.
    """
    what, unchanged = every_substitution(codes[None]), predict(codes[None])
    values = np.empty(len(what.row), dtype=np.float32)
    for begin in range(0, len(values), _SEQUENCES_AT_ONCE):
        part = slice(begin, begin + _SEQUENCES_AT_ONCE)
        changed = np.tile(codes, (len(what.row[part]), 1))
        changed[np.arange(len(changed)), what.position[part]] = what.base[part]
        values[part] = predict(changed)
    return unchanged, _by_base(unchanged, what, values, len(codes))


class SlotMutagenesis:
    """Embedding of every single-base substitution of an :class:`EPInformer`'s slots.

    Parameters
    ----------
    model
        The network; what is computed with is a copy.
    device
        Where to compute.
    """

    def __init__(self, model: EPInformer, device: torch.device) -> None:
        self.device, self.window = device, model.config.window
        self.tower = FoldedTower(model.encoder, model.config.n_value, device)
        self.mutagenesis = TowerMutagenesis(self.tower)
        self.head = FoldedHead(model.head, device)
        self.taps = [(as_taps(weight), dilation[0]) for weight, _, dilation in self.head.convolutions]

    def expect(self, n_bases: int) -> None:
        """Prepare for the substitutions of that many bases: on a CPU, fill the k-mer tables when they pay."""
        self.tower.expect(_POSITIONS_PER_BASE * n_bases)

    @torch.inference_mode()
    @full_precision()
    def __call__(self, codes: NDArray[np.uint8], what: Substitutions) -> tuple[Tensor, Tensor]:
        """Embeddings of the windows ``(n, dim)`` and of their substitutions ``(m, dim)``."""
        if codes.shape[1:] != (self.window,):
            raise ValueError(f"codes have shape {codes.shape}; this model takes windows of {self.window} bp")
        self.expect(len(what.row) // (N_BASES - 1))
        reference = self.mutagenesis.reference(torch.from_numpy(codes).to(self.device))
        layers = self._reference_head(reference.blocks[-1])
        embedding = functional.elu(layers[-1]).transpose(1, 2).flatten(1)
        out = torch.empty(len(what.row), embedding.shape[1], device=self.device)
        for begin in range(0, len(what.row), _AT_ONCE):
            part = Substitutions(*(values[begin : begin + _AT_ONCE] for values in what))
            out[begin : begin + len(part.row)] = self._through_head(
                layers, self.mutagenesis.changes(reference, part), part
            )
        return embedding, out

    def _reference_head(self, x: Tensor) -> list[Tensor]:
        """Run the head; outputs of its layers before their activation ``(n, positions, channels)``."""
        layers = []
        for weight, bias, dilation in self.head.convolutions:
            y = functional.conv1d(x.transpose(1, 2), weight, bias, dilation=dilation).transpose(1, 2)
            layers.append(y.contiguous())
            x = functional.elu(layers[-1])
        layers.append(self.head.positions(x.transpose(1, 2)).transpose(1, 2))
        return layers

    def _through_head(self, layers: list[Tensor], change: Change, what: Substitutions) -> Tensor:
        rows = torch.from_numpy(what.row).to(self.device)
        start, values = change
        for layer, (taps, dilation) in zip(layers, self.taps, strict=False):
            reach = dilation * (taps.shape[1] - 1)
            convolved = convolve_change(values, taps, dilation)
            start = start - reach
            before = windows(layer, rows, start, convolved.shape[1])
            values = functional.elu(convolved.add_(before), inplace=True)
            values -= functional.elu(before, inplace=True)
            clear_outside(values, start, layer.shape[1])
        weight = self.head.positions.weight.detach().T[None]
        weight = windows(weight, torch.zeros_like(rows), start, values.shape[1])
        out = layers[-1][rows] + torch.einsum("mpc,mpk->mkc", values, weight)
        return functional.elu(out, inplace=True).transpose(1, 2).flatten(1)


class ExpressionMutagenesis:
    """Expression of a gene with every single-base substitution of one of its slots, all else fixed.

    Parameters
    ----------
    model
        The network; what is computed with is a copy.
    device
        Where to compute.
    """

    def __init__(self, model: EPInformer, device: torch.device) -> None:
        self.network = model
        self.model = copy.deepcopy(model).to(device).eval()
        self.slots = SlotMutagenesis(model, device)

    @torch.inference_mode()
    @full_precision()
    def __call__(
        self, codes: NDArray[np.uint8], gene: GeneSlots, slot: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict.

        Parameters
        ----------
        codes
            Window of the slot ``(window,)``.
        gene
            The gene.
        slot
            Which of its slots; 0 is the promoter.

        Returns
        -------
        Expression ``(1,)``, and with each base at each position ``(1, 4, window)``.
        """
        what = every_substitution(codes[None])
        embedding, changed = self.slots(codes[None], what)
        expression = gene.expression(self.model, slot, torch.cat([embedding, changed])).cpu().numpy()
        return expression[:1], _by_base(expression[:1], what, expression[1:], len(codes))


def importance(
    codes: NDArray[np.uint8], unchanged: NDArray[np.float32], mutated: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the importance of the present base, and of each base, from predictions of substitutions.

    A base's importance is its prediction minus the mean over the four bases: what the present one adds over a random
    base. At an unknown base the prediction is that of the sequence as it is. Zero where there is padding.

    Parameters
    ----------
    codes
        Sequences ``(n, length)``.
    unchanged
        Prediction of each sequence ``(n,)``.
    mutated
        Prediction with each base at each position ``(n, 4, length)``.

    Returns
    -------
    Arrays ``(n, length)`` and ``(n, 4, length)``.

    Notes
    -----
    The definition of tangermeme's ``saturation_mutagenesis``, with which EPInformer's authors computed theirs.
    """
    mean = mutated.mean(axis=1)
    empty = codes == PADDING
    present = np.where(empty, 0, unchanged[:, None] - mean)
    return present, np.where(empty[:, None], 0, mutated - mean[:, None])
