"""Which labelled pairs share or overlap elements, and the scores that know nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from eregtools._keys import Modality, Var
from eregtools._schema import link_positions
from eregtools.ranges import overlapping_pairs
from eregtools.windows import windows_of

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PairOverlaps:
    """Overlaps between the windows of labelled pairs.

    Attributes
    ----------
    positive
        Labels ``(n,)``.
    enhancer, promoter
        Element of each pair ``(n,)``.
    enhancers, promoters
        Which elements' windows overlap, themselves included ``(n_elements, n_elements)``.
    positives
        Which pairs have both windows overlapping those of which positive pair ``(n, n)``, with entries in the columns
        of positive pairs only.
    """

    positive: NDArray[np.bool_]
    enhancer: NDArray[np.int64]
    promoter: NDArray[np.int64]
    enhancers: sparse.csr_array
    promoters: sparse.csr_array
    positives: sparse.csr_array

    @classmethod
    def of(cls, mdata: MuData, rows: NDArray[np.int64], positive: NDArray[np.bool_]) -> PairOverlaps:
        """Overlaps of some links, with their labels."""
        gene, enhancer = (elements[rows] for elements in link_positions(mdata))
        met = {name: _meetings(windows_of(mdata[name].var)) for name in (Modality.enhancers, Modality.genes)}
        positives = _positive_pairs(positive, enhancer, gene, met, mdata[Modality.genes].n_vars)
        enhancers, promoters = (
            _matrix(*met[name], mdata[name].n_vars) for name in (Modality.enhancers, Modality.genes)
        )
        return cls(positive, enhancer, gene, enhancers, promoters, positives)

    def memoriser(self, train: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Score that looks up what trains: the enhancer overlaps that of a positive pair, the promoter does, both do.

        Parameters
        ----------
        train
            Pairs that train ``(n,)``.

        Returns
        -------
        0 to 3 ``(n,)``.
        """
        known = train & self.positive
        return (
            self.seen(self.enhancers, self.enhancer, known).astype(np.float64)
            + self.seen(self.promoters, self.promoter, known)
            + self.copied(train)
        )

    def membership(self) -> NDArray[np.float64]:
        """Score by the labels: whether the enhancer is in a positive pair, and the promoter, 0 to 2 ``(n,)``."""
        return np.sum([np.isin(of, of[self.positive]) for of in (self.enhancer, self.promoter)], axis=0).astype(float)

    def copied(self, train: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Pairs that overlap a positive pair which trains, with both windows ``(n,)``."""
        return np.asarray((self.positives @ (train & self.positive).astype(np.float32)) > 0)

    @staticmethod
    def seen(
        overlap: sparse.csr_array | None, element: NDArray[np.int64], known: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Pairs whose element is, or (with the overlaps) meets, one of the pairs that are known ``(n,)``."""
        if overlap is None:
            return np.isin(element, element[known])
        there = np.zeros(overlap.shape[0], dtype=np.float32)
        there[element[known]] = 1
        return np.asarray((overlap @ there) > 0)[element]


def share_touching(windows: pd.DataFrame) -> float:
    """Share of windows that overlap or touch at least one other."""
    met, other = overlapping_pairs(*(windows.assign(**{Var.end: windows[Var.end] + 1}),) * 2)
    return len(np.unique(met[met != other])) / len(windows) if len(windows) else np.nan


def _meetings(windows: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return overlapping_pairs(windows, windows)


def _matrix(rows: NDArray[np.int64], columns: NDArray[np.int64], n: int) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(n, n))


def _positive_pairs(
    positive: NDArray[np.bool_],
    enhancer: NDArray[np.int64],
    promoter: NDArray[np.int64],
    met: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
    n_promoters: int,
) -> sparse.csr_array:
    n = len(positive)
    own, other = met[Modality.enhancers]
    known = np.flatnonzero(positive)
    theirs = pd.DataFrame({"other": enhancer[known], "pair": known}).merge(
        pd.DataFrame({"enhancer": own, "other": other}), on="other"
    )
    both = pd.DataFrame({"row": np.arange(n), "enhancer": enhancer}).merge(theirs[["enhancer", "pair"]], on="enhancer")
    pairs = promoter[both["row"]] * n_promoters + promoter[both["pair"]]
    near = np.isin(pairs, met[Modality.genes][0] * n_promoters + met[Modality.genes][1])
    rows, columns = both["row"].to_numpy()[near], both["pair"].to_numpy()[near]
    return _matrix(rows, columns, n)
