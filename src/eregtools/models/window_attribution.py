"""Attribution of EPIPAM and ERNAformer: views for gradients (:mod:`eregtools.models.attribution`), and mutagenesis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from torch import Tensor, nn

from eregtools.models.epipam_config import Side
from eregtools.models.layers import base_vectors
from eregtools.models.locus_inference import LocusPredictor, locus_tensors
from eregtools.models.mutagenesis import mutated_one_by_one
from eregtools.models.pair_inference import PairPredictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eregtools.batches.loci import LocusBatch
    from eregtools.models.epipam import EPIPAM
    from eregtools.models.ernaformer import ERNAformer

_BASES = "ACGT"


class InteractionView(nn.Module):
    """An :class:`EPIPAM` from one-hot pairs ``(n, 4, enhancer + promoter)`` to log odds ``(n, 1)``.

    Parameters
    ----------
    model
        The network, on the device where to compute.

    Raises
    ------
    ValueError
        The network reads words: its input is no function of single bases that has a gradient.
    """

    bases: Tensor
    """One-hot channels of each code ``(6, 4)``."""

    def __init__(self, model: EPIPAM) -> None:
        super().__init__()
        recipe = model.recipe
        if recipe.word is not None:
            raise ValueError(
                f"{model.provenance.get('name', 'the model')} reads words of {recipe.word} bases, through which no "
                "gradient reaches single bases; choose method='ism'"
            )
        self.model = model
        self.order = [_BASES.index(base) for base in recipe.base_order]
        device = next(model.parameters()).device
        self.register_buffer("bases", base_vectors(recipe.n_value, _BASES).to(device))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Log odds."""
        model, config = self.model, self.model.config
        widths = [config.length(side) for side in get_args(Side)]
        parts = x[:, self.order].split(widths, dim=2)
        firsts = [model.tower(side).first_of_vectors(part) for side, part in zip(get_args(Side), parts, strict=True)]
        lengths = [torch.full((len(x),), width, device=x.device) for width in widths]
        full = (lengths[0], lengths[1]) if config.variable_length else None
        return model.interact(firsts[0], firsts[1], full, auxiliary=False).logit[:, None]


class TranscriptionView(nn.Module):
    """An :class:`ERNAformer` from one-hot windows of a locus ``(n, 4, width)`` to log odds ``(n, 1)``.

    Coverage is fixed, and log odds are the mean over both strands, as in :class:`LocusPredictor`.

    Parameters
    ----------
    model
        The network, on the device where to compute.
    locus
        The locus: one row, as wide as the network reads.
    """

    signal: Tensor
    depth: Tensor

    def __init__(self, model: ERNAformer, locus: LocusBatch) -> None:
        super().__init__()
        self.model = model
        device = next(model.parameters()).device
        strands = [locus_tensors(one, model.config) for one in (locus, locus.turned(np.ones(1, dtype=bool)))]
        self.register_buffer("signal", torch.stack([one["signal"] for one in strands]).to(device))
        self.register_buffer("depth", strands[0]["depth"].to(device))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Log odds."""
        n, logits = len(x), []
        for bases, signal in zip((x, x.flip(1, 2)), self.signal, strict=True):
            tokens = self.model.stem_of_bases(bases, signal.expand(n, -1, -1), depth=self.depth.expand(n))
            logits.append(self.model.read(tokens).window)
        return torch.stack(logits).mean(0)[:, None]


class InteractionMutagenesis:
    """Log odds of a pair with every single-base substitution of its windows.

    Parameters
    ----------
    model
        The network; what is computed with is a copy.
    device
        Where to compute.
    """

    def __init__(self, model: EPIPAM, device: torch.device) -> None:
        self.predictor = PairPredictor(model, device)
        self.enhancer_width = model.config.length("enhancer")

    def __call__(self, codes: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict.

        Parameters
        ----------
        codes
            Window of the enhancer, then of the promoter ``(enhancer + promoter,)``.

        Returns
        -------
        Log odds ``(1,)``, and with each base at each position ``(1, 4, enhancer + promoter)``.
        """
        interact, first_maps = self.predictor.interact, self.predictor.first_maps
        enhancer, promoter = np.split(codes, [self.enhancer_width])
        of_enhancer, of_promoter = first_maps("enhancer", enhancer[None]), first_maps("promoter", promoter[None])

        def with_enhancers(changed: NDArray[np.uint8]) -> NDArray[np.float32]:
            every, same = np.arange(len(changed)), np.zeros(len(changed), dtype=np.int64)
            return interact(first_maps("enhancer", changed), of_promoter, every, same)

        def with_promoters(changed: NDArray[np.uint8]) -> NDArray[np.float32]:
            every, same = np.arange(len(changed)), np.zeros(len(changed), dtype=np.int64)
            return interact(of_enhancer, first_maps("promoter", changed), same, every)

        unchanged, first = mutated_one_by_one(enhancer, with_enhancers)
        _, second = mutated_one_by_one(promoter, with_promoters)
        return unchanged, np.concatenate([first, second], axis=2)


class TranscriptionMutagenesis:
    """Log odds of a locus with every single-base substitution of its window, coverage as it is.

    Parameters
    ----------
    model
        The network; what is computed with is a copy.
    device
        Where to compute.
    """

    def __init__(self, model: ERNAformer, device: torch.device) -> None:
        self.predictor = LocusPredictor(model, device)

    def __call__(self, locus: LocusBatch) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Predict.

        Parameters
        ----------
        locus
            One row, as wide as the network reads.

        Returns
        -------
        Log odds ``(1,)``, and with each base at each position ``(1, 4, width)``.
        """

        def predict(changed: NDArray[np.uint8]) -> NDArray[np.float32]:
            rows = np.zeros(len(changed), dtype=np.int64)
            return self.predictor(replace(locus.take(rows), codes=changed)).window

        return mutated_one_by_one(locus.codes[0], predict)
