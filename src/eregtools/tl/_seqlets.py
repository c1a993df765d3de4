"""Seqlets: short stretches of sequence that attributions stand out at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import Var, Varm
from eregtools.batches.encode import UNKNOWN
from eregtools.io.attributions import attributed_windows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

SEQLET: Final = ("row", "start", "end", "reverse", "attribution", "p_value")
"""Columns of seqlets: row of the windows, first and one-past-last position in it, whether it is read on the reverse
strand, sum of its attributions, and p-value (NaN where it has none)."""


@dataclass(frozen=True)
class Windows:
    """Attributed sequence, genome strand, each window from its first attributed base on.

    Attributes
    ----------
    codes
        Bases ``(n, width)``; :data:`UNKNOWN` for unknown ones, and where a window is shorter than the longest.
    observed
        Attribution to the base that is there ``(n, width)``; zero where that is unknown.
    hypothetical
        Attribution to each base ``(n, 4, width)``, or ``None`` where it was not stored.
    element
        Row of each window's element in its modality ``(n,)``.
    chromosome, start
        Place of the first base of each window ``(n,)``.
    """

    codes: NDArray[np.uint8]
    observed: NDArray[np.float32]
    hypothetical: NDArray[np.float32] | None
    element: NDArray[np.int64]
    chromosome: NDArray[np.object_]
    start: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where there is a known base ``(n, width)``."""
        return self.codes < UNKNOWN

    def one_hot(self) -> NDArray[np.float32]:
        """One-hot vectors ``(n, width, 4)``, zero for unknown bases."""
        return np.eye(UNKNOWN + 1, UNKNOWN, dtype=np.float32)[self.codes]


def read_windows(mdata: MuData, key: str, modality: str, genome: Genome) -> Windows:
    """Attributions and their sequence.

    Raises
    ------
    KeyError
        There are no such attributions.
    ValueError
        No element was attributed, or only unknown bases.
    """
    table = attributed_windows(mdata, key, modality)
    elements = mdata[modality]
    if table.empty:
        raise ValueError(f"none of the {elements.n_vars:,} {modality} has attributions under {key!r}")
    start, end, row, first = (table[name].to_numpy() for name in (Var.start, Var.end, "row", "first"))
    chromosome = table[Var.chromosome].to_numpy(dtype=object)
    position = np.arange(int((end - start).max()))
    codes = genome.codes(chromosome, start, len(position))
    codes[position >= (end - start)[:, None]] = UNKNOWN
    known = codes < UNKNOWN
    if not known.any():
        raise ValueError(f"the attributions of {modality} under {key!r} are of unknown bases only; is it this genome?")
    at = np.minimum(first[:, None] + position, elements.varm[key].shape[1] - 1)
    observed = np.where(known, elements.varm[key][row[:, None], at], 0).astype(np.float32)
    hypothetical = None
    if (each := elements.varm.get(Varm.hypothetical(key))) is not None:
        taken = np.take_along_axis(each[row], at[:, None], axis=2)
        hypothetical = np.where(known[:, None], taken, 0).astype(np.float32)
    return Windows(codes, observed, hypothetical, row, chromosome, start)


def fill_unknown(windows: Windows, rng: np.random.Generator) -> Windows:
    """Put bases drawn from all windows, with their attributions, in place of unknown ones.

    What tells seqlets from the rest takes the distribution of all attributions for that of sequence; the zeros beyond
    short elements would make it too narrow.
    """
    known = windows.known
    if known.all():
        return windows
    gaps, pool = np.nonzero(~known), np.nonzero(known)
    drawn = rng.integers(len(pool[0]), size=len(gaps[0]))
    source = pool[0][drawn], pool[1][drawn]
    codes, observed = windows.codes.copy(), windows.observed.copy()
    codes[gaps], observed[gaps] = codes[source], observed[source]
    hypothetical = windows.hypothetical
    if hypothetical is not None:
        hypothetical = hypothetical.copy()
        hypothetical[gaps[0], :, gaps[1]] = hypothetical[source[0], :, source[1]]
    return replace(windows, codes=codes, observed=observed, hypothetical=hypothetical)


def call_seqlets(windows: Windows, *, threshold: float, signs: Iterable[int], rng: np.random.Generator) -> pd.DataFrame:
    """Call seqlets by the recursive algorithm of tangermeme.

    Parameters
    ----------
    windows
        Where.
    threshold
        Largest p-value.
    signs
        1: seqlets of positive attribution, -1: of negative; a negative one that overlaps a positive one is left out.
    rng
        Source of what stands in for unknown bases; no seqlet holds one.

    Returns
    -------
    Columns :data:`SEQLET`, by p-value.
    """
    import torch

    recursive_seqlets = _tangermeme().recursive_seqlets
    observed = fill_unknown(windows, rng).observed
    parts = []
    for sign in sorted(signs, reverse=True):
        found = recursive_seqlets(torch.from_numpy(sign * observed), threshold=threshold)
        parts.append(
            pd.DataFrame(
                {
                    "row": found["example_idx"].to_numpy(dtype=np.int64),
                    "start": found["start"].to_numpy(dtype=np.int64),
                    "end": found["end"].to_numpy(dtype=np.int64),
                    "reverse": False,
                    "attribution": sign * found["attribution"].to_numpy(dtype=np.float64),
                    "p_value": found["p-value"].to_numpy(dtype=np.float64),
                }
            )
        )
    seqlets = pd.concat(parts, ignore_index=True)
    order = np.lexsort((seqlets["start"], seqlets["row"], seqlets["p_value"], seqlets["attribution"] < 0))
    return _apart(seqlets.iloc[order], windows).sort_values("p_value", kind="stable", ignore_index=True)


def _apart(seqlets: pd.DataFrame, windows: Windows) -> pd.DataFrame:
    """Seqlets without unknown bases that overlap none before them."""
    free = windows.known
    kept = []
    for row, start, end in seqlets[["row", "start", "end"]].itertuples(index=False):
        kept.append(bool(free[row, start:end].all()))
        if kept[-1]:
            free[row, start:end] = False
    return seqlets[np.array(kept, dtype=bool)]


def cut(
    windows: Windows, row: NDArray[np.int64], start: NDArray[np.int64], reverse: NDArray[np.bool_], length: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Codes and attributions ``(n, length)`` from ``start`` on, each in its own direction.

    Beyond the window there are unknown bases without attribution.
    """
    at = start[:, None] + np.arange(length)
    inside = (at >= 0) & (at < windows.codes.shape[1])
    at = np.where(inside, at, 0)
    codes = np.where(inside, windows.codes[row[:, None], at], UNKNOWN)
    observed = np.where(inside, windows.observed[row[:, None], at], 0)
    complement = np.where(codes < UNKNOWN, 3 - codes.astype(np.int64), UNKNOWN)[:, ::-1]
    turned = reverse[:, None]
    return np.where(turned, complement, codes).astype(np.uint8), np.where(turned, observed[:, ::-1], observed)


def _tangermeme() -> Any:
    try:
        from tangermeme import seqlet
    except ImportError as error:
        raise ImportError(
            "method='seqlets' needs tangermeme: pip install 'eregtools[motif]' (method='modisco' does without)"
        ) from error
    return seqlet
