"""Training of EPIPAM: pairs of windows with a label, and the joint loss of its two heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from eregtools.batches.windows import fingerprint
from eregtools.models.epipam import EPIPAM
from eregtools.train.modules import Classification
from eregtools.train.regimes import Regime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from eregtools.genome import Genome


@dataclass(frozen=True)
class WindowSource:
    """Windows of one length that lie close around few places: the sequence there is held once.

    Attributes
    ----------
    codes
        Sequence around each place ``(n_places, longer)``.
    place, offset
        Place of each window, and its first base there ``(n,)``.
    length
        Of a window.
    """

    codes: NDArray[np.uint8]
    place: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: int

    @classmethod
    def read(
        cls,
        genome: Genome,
        chromosomes: Sequence[str],
        element: NDArray[np.int64],
        start: NDArray[np.int64],
        length: int,
    ) -> WindowSource:
        """Read windows ``[start, start + length)`` of elements ``(n,)``; ``chromosomes`` are of all elements."""
        distinct, place = np.unique(element, return_inverse=True)
        first = np.full(len(distinct), np.iinfo(np.int64).max)
        np.minimum.at(first, place, start)
        offset = start - first[place]
        longer = length + int(offset.max(initial=0))
        codes = genome.codes([chromosomes[i] for i in distinct.tolist()], first, longer)
        return cls(codes, place, offset, length)

    def windows(self, rows: NDArray[np.int64]) -> Tensor:
        """Codes of some windows ``(n, length)``."""
        every = np.lib.stride_tricks.sliding_window_view(self.codes, self.length, axis=1)
        return torch.from_numpy(every[self.place[rows], self.offset[rows]].copy())


@dataclass(frozen=True)
class PairRows:
    """Labelled pairs of windows.

    Attributes
    ----------
    enhancers, promoters
        Windows of each pair ``(n,)``.
    target
        1 interacting, 0 not ``(n,)``, float32.
    """

    enhancers: WindowSource
    promoters: WindowSource
    target: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.target)

    def drawn(self, rows: NDArray[np.int64], rng: np.random.Generator | None) -> dict[str, Tensor]:
        """Tensors of a batch of pairs; their windows were drawn beforehand."""
        return {
            "enhancer": self.enhancers.windows(rows),
            "promoter": self.promoters.windows(rows),
            "target": torch.from_numpy(self.target[rows]),
        }

    def fingerprint(self) -> str:
        """Hash (sha256) of everything a model could learn from."""
        sides = (self.enhancers, self.promoters)
        return fingerprint([self.target, *(array for s in sides for array in (s.codes, s.place, s.offset))])


class InteractionClassification(Classification):
    """Trains an :class:`EPIPAM` on labelled pairs.

    Parameters
    ----------
    alpha
        Weight of the main head's loss; the auxiliary head has the rest. A network without attention has one head.
    """

    network: EPIPAM

    def __init__(self, network: EPIPAM, regime: Regime, *, alpha: float) -> None:
        super().__init__(network, regime)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}; expected 0 (the auxiliary head's loss alone) to 1 (the main head's)")
        self.alpha = alpha

    def predict(self, batch: dict[str, Tensor]) -> Tensor:
        """Log odds of the main head."""
        return self.network(batch["enhancer"], batch["promoter"]).logit

    def training_loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Weighted mean of both heads' cross entropies."""
        out = self.network(batch["enhancer"], batch["promoter"])
        loss = self._loss(out.logit, batch["target"])
        if out.auxiliary_logit is None:
            return loss
        return self.alpha * loss + (1 - self.alpha) * self._loss(out.auxiliary_logit, batch["target"])


def glorot(network: EPIPAM) -> EPIPAM:
    """Give convolutions and linear maps Glorot-uniform weights and zero biases, as the paper."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
