"""Loci of a track: runs above a threshold, joined and split, or the highest places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from scipy.special import expit, logit

from eregtools.locus_signal import runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKEN = 32
"""Bases of a bin of a track."""

_HALF = 200
"""Bases of a locus of mode ``"window"`` on either side: those of a positive in the training."""

Mode = Literal["hysteresis", "window"]


@dataclass(frozen=True)
class CallRules:
    """What a locus is, as in :func:`eregtools.tl.call_ernas`."""

    t_hi: float = 0.5
    t_lo: float = 0.25
    merge_gap: int = 64
    min_width: int = 96
    max_width: int = 4_000
    valley: float = 0.2
    mode: Mode = "hysteresis"
    radius: int = 500

    def __post_init__(self) -> None:
        if self.mode not in ("hysteresis", "window"):
            raise ValueError(f"mode is {self.mode!r}; expected 'hysteresis' or 'window'")
        if not 0 < self.t_lo <= self.t_hi < 1:
            raise ValueError(f"t_lo={self.t_lo}, t_hi={self.t_hi}; expected 0 < t_lo ≤ t_hi < 1")
        if not 0 < self.valley <= 1:
            raise ValueError(f"valley is {self.valley}; expected a probability above 0")
        for name in ("merge_gap", "min_width", "max_width"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 0 bp")
        if self.radius < _HALF:
            raise ValueError(f"radius is {self.radius}; expected at least {_HALF} bp, so that loci do not overlap")


class TrackLoci(NamedTuple):
    """Loci in bins of a track, three arrays ``(n,)``, in order."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    """The bin after the last."""
    summit: NDArray[np.int64]


def loci_of_track(track: NDArray[np.float32], blocked: NDArray[np.bool_], rules: CallRules) -> TrackLoci:
    """Loci of a track.

    Parameters
    ----------
    track
        Logits of bins ``(n,)``; NaN where none is known.
    blocked
        Bins that belong to no locus and part what lies on either side ``(n,)``.
    rules
        What a locus is.
    """
    free = np.isfinite(track) & ~blocked
    height = np.where(free, track, -np.inf)
    if rules.mode == "window":
        return _highest(height, free, rules)
    return _with_summits(height, *_hysteresis(height, free, rules))


def _hysteresis(
    height: NDArray[np.float32], free: NDArray[np.bool_], rules: CallRules
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find runs above the lower threshold that reach the higher one; join them over short gaps, split wide ones."""
    first, last = runs(height >= logit(rules.t_lo))
    if len(first):
        seeded = np.maximum.reduceat(np.append(height, -np.inf), _bounds(first, last))[::2] >= logit(rules.t_hi)
        first, last = first[seeded], last[seeded]
    if len(first):
        parted = np.concatenate([[0], np.cumsum(~free)])
        between = parted[first[1:]] - parted[last[:-1]]
        apart = ((first[1:] - last[:-1]) * TOKEN > rules.merge_gap) | (between > 0)
        first, last = first[np.concatenate([[True], apart])], last[np.concatenate([apart, [True]])]
    pieces = [(first, last)]
    for a, b in zip(first.tolist(), last.tolist(), strict=True):
        if (b - a) * TOKEN > rules.max_width:
            pieces.append(_split(height[a:b], a, rules.valley))
    narrow = (last - first) * TOKEN <= rules.max_width
    pieces[0] = (first[narrow], last[narrow])
    first, last = (np.concatenate(parts).astype(np.int64) for parts in zip(*pieces, strict=True))
    order = np.argsort(first, kind="stable")
    wide = ((last - first) * TOKEN >= rules.min_width)[order]
    return first[order][wide], last[order][wide]


def _split(height: NDArray[np.float32], offset: int, valley: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parts of a locus between its valleys, whose deepest bins belong to none."""
    from scipy.signal import find_peaks

    found, _ = find_peaks(-expit(height.astype(np.float64)), prominence=valley)
    first = np.concatenate([[0], found + 1]) + offset
    return first, np.concatenate([found, [len(height)]]) + offset


def _with_summits(height: NDArray[np.float32], first: NDArray[np.int64], last: NDArray[np.int64]) -> TrackLoci:
    """Highest bin of each locus; of equal ones the middle one."""
    summit = np.empty_like(first)
    for row, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        best = np.flatnonzero(height[a:b] == height[a:b].max())
        summit[row] = a + best[len(best) // 2]
    return TrackLoci(first, last, summit)


def _highest(height: NDArray[np.float32], free: NDArray[np.bool_], rules: CallRules) -> TrackLoci:
    """Take the highest bin, then the next one out of its radius; loci are of one width, cut at blocked bins."""
    apart = rules.radius // TOKEN
    left = np.flatnonzero(height >= logit(rules.t_hi))
    left = left[np.argsort(-height[left], kind="stable")]
    taken = np.zeros(len(height), dtype=bool)
    summits = []
    for place in left.tolist():
        if not taken[place]:
            summits.append(place)
            taken[max(0, place - apart) : place + apart + 1] = True
    summit = np.sort(np.array(summits, dtype=np.int64))
    parted = np.flatnonzero(np.concatenate([[True], ~free, [True]])) - 1
    before = parted[np.searchsorted(parted, summit) - 1]
    after = parted[np.searchsorted(parted, summit)]
    half = _HALF // TOKEN
    return TrackLoci(np.maximum(summit - half, before + 1), np.minimum(summit + half + 1, after), summit)


def _bounds(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([first, last], axis=1).reshape(-1)
