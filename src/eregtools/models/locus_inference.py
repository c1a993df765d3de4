"""ERNAformer in the form that prediction uses: both strands averaged, in batches that change nothing."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from eregtools.models.device import full_precision
from eregtools.models.ernaformer import USUAL_DEPTH

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from eregtools.batches.loci import LocusBatch
    from eregtools.models.ernaformer import ERNAformer, ERNAformerConfig, ERNAformerOutput

Modalities = Literal["both", "sequence", "signal"]
_LOCI_AT_A_TIME = 128


class LocusLogits(NamedTuple):
    """Logits of loci."""

    window: NDArray[np.float32]
    """``(n,)``"""
    bins: NDArray[np.float32]
    """``(n, tokens)``"""
    embedding: NDArray[np.float32]
    """``(n, dim)``"""


def locus_tensors(batch: LocusBatch, config: ERNAformerConfig) -> dict[str, Tensor]:
    """Input of the network for loci as wide as it reads: ``codes``, ``signal`` and ``depth``."""
    depth = np.log10(batch.library_size).astype(np.float32)
    return {
        "codes": torch.from_numpy(np.ascontiguousarray(batch.codes)),
        "signal": torch.from_numpy(batch.signal(config.squash)),
        "depth": torch.from_numpy(depth),
    }


class LocusPredictor:
    """Logits of loci; what is computed with is a copy of the network.

    Parameters
    ----------
    model
        The network.
    device
        Where to compute.
    modalities
        ``"both"``, or the one that is read.
    both_strands
        Average the logits of a window and of its reverse complement, which are then the same for either.
    """

    def __init__(
        self,
        model: ERNAformer,
        device: torch.device,
        *,
        modalities: Modalities = "both",
        both_strands: bool = True,
    ) -> None:
        if modalities not in ("both", "sequence", "signal"):
            raise ValueError(f"modalities is {modalities!r}; expected 'both', 'sequence' or 'signal'")
        self.model = copy.deepcopy(model).to(device).eval()
        self.device, self.modalities, self.both_strands = device, modalities, both_strands

    @torch.inference_mode()
    @full_precision()
    def __call__(self, batch: LocusBatch, *, batch_size: int | None = None) -> LocusLogits:
        """Logits of loci, cropped to the width that the network reads; ``batch_size`` of them together."""
        config = self.model.config
        if batch.codes.shape[1] < config.width:
            raise ValueError(
                f"windows are {batch.codes.shape[1]} bp wide; this model reads {config.width} ({config.seq_len} and a "
                f"halo of {config.halo} on either side)"
            )
        window = np.empty(len(batch), dtype=np.float32)
        bins = np.empty((len(batch), config.n_tokens), dtype=np.float32)
        embedding = np.empty((len(batch), config.dim), dtype=np.float32)
        size = batch_size or _LOCI_AT_A_TIME
        for begin in range(0, len(batch), size):
            part = batch.take(np.arange(begin, min(begin + size, len(batch)))).cropped(config.width)
            rows = slice(begin, begin + len(part))
            out = self._run(part)
            window[rows], bins[rows], embedding[rows] = (value.float().cpu().numpy() for value in out)
        return LocusLogits(window, bins, embedding)

    def _run(self, part: LocusBatch) -> tuple[Tensor, Tensor, Tensor]:
        forward = self._forward(part)
        if not self.both_strands:
            return forward.window, forward.bins, forward.embedding
        turned = self._forward(part.turned(np.ones(len(part), dtype=bool)))
        return (
            (forward.window + turned.window) / 2,
            (forward.bins + turned.bins.flip(1)) / 2,
            (forward.embedding + turned.embedding) / 2,
        )

    def _forward(self, part: LocusBatch) -> ERNAformerOutput:
        tensors = {name: value.to(self.device) for name, value in locus_tensors(part, self.model.config).items()}
        missing = torch.ones(len(part), dtype=torch.bool, device=self.device)
        if self.modalities == "sequence":
            # The library's depth belongs to the signal: sequence alone must not read it.
            tensors["depth"] = torch.full_like(tensors["depth"], USUAL_DEPTH)
        hidden = {"both": {}, "sequence": {"missing_signal": missing}, "signal": {"missing_sequence": missing}}
        return self.model(**tensors, **hidden[self.modalities])
