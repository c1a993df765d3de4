"""EPIPAM in the form that prediction uses: each window's first map once, then pairs of maps; nothing else differs.

The first map depends on one window alone and serves all its pairs. What only training needs (the strongest relations
and the head that reads them) is left out. Every remaining operation is that of the plain network, pair by pair, so that
on a CPU the numbers are the same bits, whatever goes through together.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
import torch

from eregtools.batches.encode import UNKNOWN
from eregtools.models.device import full_precision
from eregtools.models.epipam_config import Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from eregtools.models.epipam import EPIPAM, Interaction

_PAIRS_PER_BATCH: Final = {"cpu": 16}
"""Pairs that go through together: on a CPU what its caches hold, in arrays that are small enough to be used again."""
_PAIRS_ELSEWHERE: Final = 512
_WINDOWS_PER_BATCH: Final = 256


class PairPredictor:
    """First maps of windows, and predictions from pairs of them.

    Parameters
    ----------
    model
        The network; what is computed with is a copy.
    device
        Where to compute.
    """

    def __init__(self, model: EPIPAM, device: torch.device) -> None:
        self.device = device
        self.model = copy.deepcopy(model).to(device).eval()
        self.tables: dict[str, Any] = {}
        if device.type == "cpu":
            with torch.inference_mode():
                self.tables = {side: self.model.tower(side).tables() for side in get_args(Side)}

    @torch.inference_mode()
    @full_precision()
    def first_maps(self, side: Side, codes: NDArray[np.uint8]) -> Tensor:
        """First maps ``(n, channels, bins)`` of windows ``(n, length)``."""
        parts = [
            self.model.first(side, torch.from_numpy(codes[begin : begin + _WINDOWS_PER_BATCH]).to(self.device), table)
            for table in [self.tables.get(side)]
            for begin in range(0, max(len(codes), 1), _WINDOWS_PER_BATCH)
        ]
        return torch.cat(parts)

    @torch.inference_mode()
    @full_precision()
    def interact(
        self,
        enhancers: Tensor,
        promoters: Tensor,
        enhancer: NDArray[np.int64],
        promoter: NDArray[np.int64],
        *,
        batch_size: int | None = None,
        with_attention: bool = False,
        each: Callable[[slice, Interaction], None] | None = None,
    ) -> NDArray[np.float32]:
        """Log odds ``(n_pairs,)`` of pairs of maps, given by their rows.

        Parameters
        ----------
        enhancers, promoters
            First maps.
        enhancer, promoter
            Rows of the maps of each pair ``(n_pairs,)``.
        batch_size
            Pairs that go through together; ``None``: as many as fit a bounded memory.
        with_attention, each
            Compute relations and weights, and hand them on with the part of the pairs that they are of.
        """
        size = batch_size or _PAIRS_PER_BATCH.get(self.device.type, _PAIRS_ELSEWHERE)
        rows = [torch.from_numpy(np.ascontiguousarray(part)).to(self.device) for part in (enhancer, promoter)]
        config, logits = self.model.config, np.empty(len(enhancer), dtype=np.float32)
        for begin in range(0, len(enhancer), size):
            part = slice(begin, min(begin + size, len(enhancer)))
            n, lengths = part.stop - begin, None
            if config.variable_length:
                full = [torch.full((n,), config.length(side), device=self.device) for side in get_args(Side)]
                lengths = full[0], full[1]
            found = self.model.interact(
                enhancers[rows[0][part]],
                promoters[rows[1][part]],
                lengths,
                auxiliary=False,
                with_attention=with_attention,
            )
            logits[part] = found.logit.cpu().numpy()
            if each is not None:
                each(part, found)
        return logits


class MapCache:
    """First maps of the windows that are at hand, each computed when it is first needed.

    Parameters
    ----------
    encode
        Makes the maps of windows, given by their numbers ``(n,)``, and tells which hold a known base.
    """

    def __init__(self, encode: Callable[[NDArray[np.int64]], tuple[Tensor, NDArray[np.bool_]]]) -> None:
        self.encode = encode
        self.numbers = np.empty(0, dtype=np.int64)
        self.known = np.empty(0, dtype=bool)
        self.maps = torch.empty(0)

    def hold(self, numbers: NDArray[np.int64]) -> None:
        """Hold the maps of those windows (distinct, ascending), in that order, and of no others."""
        kept = np.isin(self.numbers, numbers)
        new = np.setdiff1d(numbers, self.numbers)
        maps, known = self.encode(new) if len(new) else (self.maps[:0], self.known[:0])
        order = np.argsort(np.concatenate([self.numbers[kept], new]))
        if kept.any():
            maps = torch.cat([self.maps[torch.from_numpy(kept).to(maps.device)], maps])
            maps = maps[torch.from_numpy(order).to(maps.device)]
        self.numbers, self.maps = numbers, maps
        self.known = np.concatenate([self.known[kept], known])[order]


def has_known_base(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which windows ``(n, length)`` hold a known base ``(n,)``."""
    return np.asarray((codes < UNKNOWN).any(axis=1))
