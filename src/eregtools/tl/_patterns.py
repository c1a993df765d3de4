"""Patterns: what seqlets that are alike have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools.batches.encode import UNKNOWN
from eregtools.io.meme import BASES
from eregtools.tl._seqlets import SEQLET, cut, fill_unknown
from eregtools.tl._tomtom import compare, threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from eregtools.tl._seqlets import Windows
    from eregtools.tl._tomtom import Matches

_FLANK: Final = 3
"""Bases on either side of what stands out that are compared, too: attributions are small at the ends of motifs."""
_TRIM: Final = 0.3
"""The ends of a pattern are cut off where attributions are less than this share of the largest."""
_MAJORITY: Final = 0.5
_CORE: Final = 20
_SIDE: Final = 5
_LEIDEN_RUNS: Final = 2
"""Width of a seqlet's core, bases on either side, and clusterings: TF-MoDISco-lite's, where it is run as a command."""


@dataclass(frozen=True)
class Pattern:
    """Aligned seqlets.

    Attributes
    ----------
    sign
        1: attributions are positive, -1: negative.
    seqlets
        Rows of :data:`~eregtools.tl._seqlets.SEQLET`.
    pwm
        Share of each base at each position ``(length, 4)``; 1/4 where no seqlet has a known base.
    contributions
        Mean attribution to each base at each position ``(length, 4)``; seqlets with another base count as zero.
    """

    sign: int
    seqlets: pd.DataFrame
    pwm: NDArray[np.float32]
    contributions: NDArray[np.float32]

    @property
    def consensus(self) -> str:
        """Base that more than half of the seqlets have at each position, else N; no N at the ends."""
        common = np.where(self.pwm.max(axis=1) > _MAJORITY, self.pwm.argmax(axis=1), UNKNOWN)
        return "".join(np.array([*BASES, "N"])[common]).strip("N")


def align(windows: Windows, seqlets: pd.DataFrame, start: NDArray[np.int64], length: int, sign: int) -> Pattern:
    """Lay seqlets over each other, ``length`` bases from ``start`` on, each on its own strand."""
    row, reverse = seqlets["row"].to_numpy(), seqlets["reverse"].to_numpy(dtype=bool)
    codes, observed = cut(windows, row, start, reverse, length)
    one_hot = np.eye(UNKNOWN + 1, UNKNOWN)[codes]
    counts = one_hot.sum(axis=0)
    total = counts.sum(axis=1, keepdims=True)
    pwm = np.where(total > 0, counts / np.maximum(total, 1), 1 / len(BASES))
    contributions = (one_hot * observed[:, :, None]).mean(axis=0)
    return Pattern(sign, seqlets, pwm.astype(np.float32), contributions.astype(np.float32))


def patterns_by_motif(
    windows: Windows,
    seqlets: pd.DataFrame,
    motifs: Mapping[str, NDArray[np.float32]],
    *,
    max_q: float,
    min_seqlets: int,
) -> tuple[list[Pattern], Matches]:
    """Group seqlets by the motif that each is most like, and align them by it.

    Returns
    -------
    Patterns, and the nearest motif of each seqlet.
    """
    row, first, end = (seqlets[name].to_numpy() for name in ("row", "start", "end"))
    first = np.maximum(first - _FLANK, 0)
    letters = np.eye(UNKNOWN + 1, UNKNOWN)
    queries = [letters[windows.codes[r, a : b + _FLANK]] for r, a, b in zip(row, first, end, strict=True)]
    nearest = compare(queries, motifs, 1)
    motif, reverse, start = nearest.motif[:, 0], nearest.reverse[:, 0], first - nearest.offset[:, 0]
    oriented = seqlets.assign(reverse=reverse)
    sign = np.where(seqlets["attribution"] < 0, -1, 1)
    alike = nearest.q_value[:, 0] <= max_q
    patterns = []
    for number, pwm in enumerate(motifs.values()):
        for one in (1, -1):
            own = np.flatnonzero(alike & (motif == number) & (sign == one))
            if len(own) >= min_seqlets:
                patterns.append(align(windows, oriented.iloc[own], start[own], len(pwm), one))
    return patterns, nearest


def patterns_by_modisco(
    windows: Windows, *, fdr: float, signs: Sequence[int], n_seqlets: int, min_seqlets: int, rng: np.random.Generator
) -> list[Pattern]:
    """Find patterns with TF-MoDISco-lite, trimmed to where their attributions are.

    Windows are given to it in random order, since it takes the first ``n_seqlets`` seqlets that it finds.
    """
    find = _tfmodisco().TFMoDISco
    width = windows.codes.shape[1]
    if width < _CORE + 2 * _SIDE:
        raise ValueError(
            f"the attributed windows are {width} bp wide; method='modisco' needs {_CORE + 2 * _SIDE} bp or more"
        )
    filled, order = fill_unknown(windows, rng), rng.permutation(len(windows))
    assert filled.hypothetical is not None
    _require_both_signs(filled.observed)
    with threads():
        found = find(
            one_hot=filled.one_hot()[order],
            hypothetical_contribs=np.ascontiguousarray(filled.hypothetical[order].transpose(0, 2, 1)),
            sliding_window_size=_CORE,
            flank_size=_SIDE,
            target_seqlet_fdr=fdr,
            max_seqlets_per_metacluster=n_seqlets,
            min_metacluster_size=min_seqlets,
            final_min_cluster_size=min_seqlets,
            n_leiden_runs=_LEIDEN_RUNS,
        )
    patterns = []
    for sign, of_sign in zip((1, -1), found, strict=True):
        for one in (of_sign or []) if sign in signs else []:
            seqlets = pd.DataFrame(
                {
                    "row": order[[seqlet.example_idx for seqlet in one.seqlets]],
                    "start": np.array([seqlet.start for seqlet in one.seqlets], dtype=np.int64),
                    "end": np.array([seqlet.end for seqlet in one.seqlets], dtype=np.int64),
                    "reverse": np.array([bool(seqlet.is_revcomp) for seqlet in one.seqlets]),
                }
            )
            patterns += _trimmed(windows, seqlets, sign)
    return patterns


def _require_both_signs(observed: NDArray[np.float32]) -> None:
    """Refuse what TF-MoDISco-lite cannot tell noise in: it models sums of either sign by those near zero."""
    total = np.cumsum(np.pad(observed, ((0, 0), (1, 0))), axis=1, dtype=np.float64)
    sums = total[:, _CORE:] - total[:, :-_CORE]
    if not ((sums > 0).any() and (sums < 0).any()):
        raise ValueError(
            f"sums of attributions over {_CORE} bp are not positive in some places and negative in others, which "
            "method='modisco' needs to tell noise; use method='seqlets'"
        )


def _trimmed(windows: Windows, seqlets: pd.DataFrame, sign: int) -> list[Pattern]:
    """Cut off the ends without attribution, and seqlets that hold an unknown base; empty where none is left."""
    start, end, reverse = (seqlets[name].to_numpy() for name in ("start", "end", "reverse"))
    whole = align(windows, seqlets, start, int(end[0] - start[0]), sign)
    height = np.abs(whole.contributions).sum(axis=1)
    high = np.flatnonzero(height >= _TRIM * height.max())
    left, right = max(int(high[0]) - _FLANK, 0), min(int(high[-1]) + 1 + _FLANK, len(height))
    begin = np.where(reverse, end - right, start + left)
    codes, observed = cut(windows, seqlets["row"].to_numpy(), begin, reverse, right - left)
    core = seqlets.assign(
        start=begin, end=begin + right - left, attribution=observed.sum(axis=1, dtype=np.float64), p_value=np.nan
    )[list(SEQLET)]
    known = (codes < UNKNOWN).all(axis=1)
    kept = np.flatnonzero(known)
    return [align(windows, core.iloc[kept], begin[kept], right - left, sign)] if len(kept) else []


def _tfmodisco() -> Any:
    try:
        from modiscolite import tfmodisco
    except ImportError as error:
        raise ImportError(
            "method='modisco' needs modisco-lite: pip install 'eregtools[motif]' (method='seqlets' does without)"
        ) from error
    return tfmodisco
