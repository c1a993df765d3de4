"""ERNAformer over stretches of chromosome: stems run once, overlapping windows share their tokens."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from eregtools._bins import BIN_SIZE
from eregtools.models.device import full_precision
from eregtools.models.ernaformer import TOKEN
from eregtools.models.locus_inference import locus_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from eregtools.batches.loci import LocusBatch
    from eregtools.models.ernaformer import ERNAformer, ERNAformerConfig

_STEM_BASES = 65_536
"""Bases that the stems read together: bounds the memory of their channels."""

_WINDOWS_AT_A_TIME = 128


@dataclass(frozen=True)
class Grid:
    """Where the windows of a scan lie: one every ``hop`` bp, of which the middle ``hop`` bp are kept.

    Window ``i`` keeps the bases from ``i * hop`` on, whatever part of a chromosome is read.

    Attributes
    ----------
    hop
        Distance of windows in bp.
    seq_len, halo
        Of the model, in bp.
    """

    hop: int
    seq_len: int
    halo: int

    def __post_init__(self) -> None:
        if self.hop < TOKEN or self.hop > self.seq_len or self.hop % TOKEN or (self.seq_len - self.hop) % (2 * TOKEN):
            raise ValueError(
                f"hop is {self.hop} bp; expected a multiple of {TOKEN} up to the window ({self.seq_len} bp), which "
                f"leaves as many tokens on either side, such as {self.seq_len // 2 // (2 * TOKEN) * (2 * TOKEN)}"
            )

    @classmethod
    def of(cls, config: ERNAformerConfig, hop: int | None = None) -> Grid:
        """Grid of a model; ``None``: windows overlap by one half."""
        if hop is None:
            hop = config.seq_len // 2
            hop -= (config.seq_len - hop) % (2 * TOKEN)
        return cls(hop, config.seq_len, config.halo)

    @property
    def margin(self) -> int:
        """Bases of a window on either side of those that are kept."""
        return (self.seq_len - self.hop) // 2

    @property
    def beyond(self) -> int:
        """Bases that are read on either side of those that are kept."""
        return self.margin + self.halo

    @property
    def tokens(self) -> int:
        """Tokens that a window gives."""
        return self.hop // TOKEN

    def n_windows(self, size: int) -> int:
        """Windows of a chromosome of ``size`` bp."""
        return -(-size // self.hop)

    def length(self, n_windows: int) -> int:
        """Bases that ``n_windows`` neighbouring windows read."""
        return n_windows * self.hop + 2 * self.beyond

    def in_each_window(self, found: NDArray[np.bool_], step: int) -> NDArray[np.int64]:
        """Count what is found within each window, halo left out.

        Parameters
        ----------
        found
            One value every ``step`` bp, from the first base of the first window on, to the end of the last.
        step
            Bases of a value.

        Returns
        -------
        int64 ``(n_windows,)``.
        """
        upto = np.concatenate([[0], np.cumsum(found, dtype=np.int64)])
        n = (len(found) * step - self.seq_len) // self.hop + 1
        first = np.arange(n) * (self.hop // step)
        return np.asarray(upto[first + self.seq_len // step] - upto[first])


class StretchScanner:
    """Logits of the 32-bp bins of stretches; what is computed with is a copy of the network.

    Parameters
    ----------
    model
        The network.
    device
        Where to compute.
    grid
        Where windows lie.
    both_strands
        Average the logits of a stretch and of its reverse complement.
    batch_size
        Windows that the encoder reads together.
    """

    def __init__(
        self,
        model: ERNAformer,
        device: torch.device,
        grid: Grid,
        *,
        both_strands: bool = True,
        batch_size: int | None = None,
    ) -> None:
        self.model = copy.deepcopy(model).to(device).eval()
        self.device, self.grid, self.both_strands = device, grid, both_strands
        self.batch_size = batch_size or _WINDOWS_AT_A_TIME

    @torch.inference_mode()
    @full_precision()
    def __call__(self, stretch: LocusBatch, windows: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Logits of the bins that windows keep.

        Parameters
        ----------
        stretch
            One row: sequence and coverage that ``len(windows)`` neighbouring windows read, ``grid.length`` bp.
        windows
            Which of them to read.

        Returns
        -------
        float32 ``(len(windows) * grid.tokens,)``, NaN where no window was read. They are those of each window by
        itself: a token of the stems sees 96 bp to either side and nothing else.
        """
        width = self.grid.length(len(windows))
        if stretch.codes.shape != (1, width):
            raise ValueError(f"the stretch has shape {stretch.codes.shape}; expected (1, {width})")
        out = np.full((len(windows), self.grid.tokens), np.nan, dtype=np.float32)
        for first, last in self._runs(windows):
            picked = np.flatnonzero(windows[first:last])
            part = _cut(stretch, first * self.grid.hop, self.grid.length(last - first))
            out[first + picked] = self._both(part, picked, last - first)[0]
        return out.reshape(-1)

    @torch.inference_mode()
    @full_precision()
    def rows(self, stretches: LocusBatch) -> NDArray[np.float32]:
        """Logits of the bins that all windows of many short stretches keep, ``(n, n_windows * grid.tokens)``."""
        n_windows = (stretches.codes.shape[1] - 2 * self.grid.beyond) // self.grid.hop
        out = np.empty((len(stretches), n_windows * self.grid.tokens), dtype=np.float32)
        for begin in range(0, len(stretches), self.batch_size):
            some = np.arange(begin, min(begin + self.batch_size, len(stretches)))
            out[some] = self._both(stretches.take(some), np.arange(n_windows), n_windows).reshape(len(some), -1)
        return out

    def _both(self, part: LocusBatch, picked: NDArray[np.int64], n_windows: int) -> NDArray[np.float32]:
        """Logits ``(n, n_picked, grid.tokens)`` of those windows of each stretch, of one strand or of both."""
        logits = self._logits(part, picked)
        if self.both_strands:
            turned = part.turned(np.ones(len(part), dtype=bool))
            logits = (logits + self._logits(turned, n_windows - 1 - picked).flip(2)) / 2
        return logits.float().cpu().numpy()

    def _runs(self, windows: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """Stretches that are read at once; a gap is read along where leaving it out saves the stems nothing.

        A GPU reads from the first window to the last: few large steps are worth more there than fewer bases.
        """
        rows = np.flatnonzero(windows)
        if not len(rows):
            return
        widest = len(windows) if self.device.type != "cpu" else self.grid.seq_len // self.grid.hop
        cuts = np.flatnonzero(np.diff(rows) > widest) + 1
        for run in np.split(rows, cuts):
            yield int(run[0]), int(run[-1]) + 1

    def _logits(self, part: LocusBatch, picked: NDArray[np.int64]) -> Tensor:
        n, keep = self.grid.seq_len // TOKEN, self.grid.tokens
        inner = slice((n - keep) // 2, (n + keep) // 2)
        windows = self._tokens(part).unfold(1, n, keep).movedim(-1, 2)
        chosen = torch.from_numpy(picked).to(self.device)
        parts = chosen.split(max(1, self.batch_size // len(part)))
        read = [self.model.read(windows[:, some].flatten(0, 1)).bins[:, inner] for some in parts]
        return torch.cat([bins.view(len(part), -1, keep) for bins in read], dim=1)

    def _tokens(self, part: LocusBatch) -> Tensor:
        """Tokens ``(n, tokens, dim)`` of stretches without their halo, a piece at a time."""
        halo, length = self.grid.halo, part.codes.shape[1]
        found = []
        for begin in range(0, length - 2 * halo, _STEM_BASES):
            piece = _cut(part, begin, min(_STEM_BASES + 2 * halo, length - begin))
            tensors = {name: value.to(self.device) for name, value in locus_tensors(piece, self.model.config).items()}
            found.append(self.model.stem(tensors["codes"], tensors["signal"], depth=tensors["depth"]))
        return torch.cat(found, dim=1)


def _cut(stretch: LocusBatch, begin: int, length: int) -> LocusBatch:
    """Part of a stretch."""
    bins = slice(begin // BIN_SIZE, (begin + length) // BIN_SIZE)
    return replace(
        stretch,
        codes=stretch.codes[:, begin : begin + length],
        coverage=stretch.coverage[..., bins],
        local_mean=stretch.local_mean[..., bins],
    )
