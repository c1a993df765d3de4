"""Where loci could have been instead: matched positions, and the loci themselves moved around their chromosome."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools.locus_signal import free_sequence, random_positions
from eregtools.ranges import overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Measure = Callable[[pd.DataFrame], Floats]
    Covariates = Callable[[NDArray[np.object_], NDArray[np.int64], NDArray[np.int64]], pd.DataFrame]

NEIGHBOURS: Final = 50
"""Matched positions of each locus."""

_LEAST_POOL, _MOST_POOL = 20_000, 400_000
_VALUES_AT_ONCE = 2_000_000


class Null(Protocol):
    """Other places of the loci."""

    def drawn(self, measure: Measure, n: int, rng: np.random.Generator) -> Iterator[Floats]:
        """Values of the loci at ``n`` other places, parts of ``(n, n_loci)``."""
        ...


def region_table(chroms: NDArray[np.object_], centres: NDArray[np.int64], widths: NDArray[np.int64]) -> pd.DataFrame:
    """Intervals of widths around centres."""
    start = centres - widths // 2
    return pd.DataFrame({Var.chromosome: chroms, Var.start: start, Var.end: start + widths})


def clipped(regions: pd.DataFrame, chrom_sizes: Mapping[str, int]) -> pd.DataFrame:
    """Intervals as far as they lie on their chromosome, at least one base of each."""
    size = regions[Var.chromosome].map(chrom_sizes).to_numpy()
    start = regions[Var.start].to_numpy().clip(0, size - 1)
    end = np.maximum(np.minimum(regions[Var.end].to_numpy(), size), start + 1)
    return regions.assign(**{Var.start: start, Var.end: end})


@dataclass(frozen=True)
class MatchedNull:
    """Positions like the loci in some numbers, the nearest ones of many random ones.

    Attributes
    ----------
    regions
        Intervals as wide as their locus, :data:`NEIGHBOURS` of each locus in turn.
    n_neighbours
        How many that are.
    balance
        Mean of each number over the loci less that over their matches, in standard deviations of the loci.
    """

    regions: pd.DataFrame
    n_neighbours: int
    balance: dict[str, float]

    @classmethod
    def of(
        cls,
        loci: pd.DataFrame,
        blocked: pd.DataFrame,
        chrom_sizes: Mapping[str, int],
        covariates: Covariates,
        rng: np.random.Generator,
    ) -> MatchedNull:
        """Match positions outside ``blocked`` and the loci.

        Parameters
        ----------
        loci
            Chromosome, Start, End and center ``(n,)``.
        blocked
            Regions in which no match lies.
        chrom_sizes
            Length of the chromosomes of the loci.
        covariates
            From chromosomes, centres and widths to a table of the numbers to match; NaN: not to be used.
        rng
            Source of randomness.

        Raises
        ------
        ValueError
            There is hardly any sequence to match with, or a number is not known of a locus.
        """
        from scipy.spatial import cKDTree

        widths = (loci[Var.end] - loci[Var.start]).to_numpy(np.int64)
        wanted = covariates(loci[Var.chromosome].to_numpy(object), loci[Var.center].to_numpy(np.int64), widths)
        if wanted.isna().any(axis=None):
            column = wanted.columns[wanted.isna().any()][0]
            raise ValueError(f"{column} of {int(wanted[column].isna().sum())} loci is not known; leave them out")
        n = int(np.clip(NEIGHBOURS * len(loci), _LEAST_POOL, _MOST_POOL))
        around = pd.concat([blocked[list(INTERVAL)], loci[list(INTERVAL)]], ignore_index=True)
        chroms, centres = random_positions(free_sequence(dict(chrom_sizes), around), n, rng)
        width = rng.choice(widths, n)
        regions = region_table(chroms, centres, width)
        size = regions[Var.chromosome].map(chrom_sizes).to_numpy()
        kept = (regions[Var.start] >= 0).to_numpy() & (regions[Var.end].to_numpy() <= size)
        kept &= ~overlaps(regions, loci)
        chroms, centres, width = chroms[kept], centres[kept], width[kept]
        offered = covariates(chroms, centres, width)
        known = ~offered.isna().any(axis=1).to_numpy()
        k = min(NEIGHBOURS, int(known.sum()))
        if k < 10:
            raise ValueError(f"{k} positions outside mask and loci can be matched with; at least 10 are needed")
        spread = _spread(wanted, offered[known])
        tree = cKDTree((offered[known] / spread).to_numpy())
        rows = np.flatnonzero(known)[tree.query((wanted / spread).to_numpy(), k=k)[1]].reshape(-1)
        matched = region_table(chroms[rows], centres[rows], np.repeat(widths, k))
        difference = (wanted.mean() - offered.iloc[rows].mean()) / spread
        return cls(clipped(matched, chrom_sizes), k, {str(name): float(gap) for name, gap in difference.items()})

    def drawn(self, measure: Measure, n: int, rng: np.random.Generator) -> Iterator[Floats]:
        """Values at one match of each locus, drawn at random, parts of ``(n, n_loci)``."""
        values = measure(self.regions).reshape(-1, self.n_neighbours)
        loci = np.arange(len(values))
        for size in _parts(n, len(values)):
            yield values[loci, rng.integers(0, self.n_neighbours, (size, len(values)))]


def _spread(wanted: pd.DataFrame, offered: pd.DataFrame) -> pd.Series:
    """Scale of each number: its standard deviation over the loci; where they do not differ, over what is offered."""
    found = {}
    for name in wanted:
        differing = [values for values in (wanted[name], offered[name]) if np.ptp(values.to_numpy()) > 0]
        found[name] = float(differing[0].std(ddof=0)) if differing else 1.0
    return pd.Series(found)


@dataclass(frozen=True)
class CircularNull:
    """The loci moved along their chromosome by one distance each time, around its end, as if masked parts were not.

    Attributes
    ----------
    loci
        Chromosome, Start, End and center; no centre is masked.
    free
        Sequence that is not masked.
    chrom_sizes
        Length of each chromosome.
    """

    loci: pd.DataFrame
    free: pd.DataFrame
    chrom_sizes: Mapping[str, int]

    def drawn(self, measure: Measure, n: int, rng: np.random.Generator) -> Iterator[Floats]:
        """Values at the places after each of ``n`` moves, parts of ``(n, n_loci)``."""
        widths = (self.loci[Var.end] - self.loci[Var.start]).to_numpy(np.int64)
        chroms = self.loci[Var.chromosome].to_numpy(object)
        for size in _parts(n, len(self.loci)):
            centres = self._moved(size, rng)
            regions = region_table(np.tile(chroms, size), centres.reshape(-1), np.tile(widths, size))
            yield measure(clipped(regions, self.chrom_sizes)).reshape(size, -1)

    def _moved(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Centres after moves ``(n, n_loci)``."""
        chroms, centre = self.loci[Var.chromosome].to_numpy(object), self.loci[Var.center].to_numpy(np.int64)
        out = np.empty((n, len(centre)), dtype=np.int64)
        for chrom in self.chrom_sizes:
            rows = np.flatnonzero(chroms == chrom)
            if not len(rows):
                continue
            free = self.free[self.free[Var.chromosome] == chrom]
            start, length = free[Var.start].to_numpy(), (free[Var.end] - free[Var.start]).to_numpy()
            before = np.cumsum(length) - length
            part = np.searchsorted(start, centre[rows], side="right") - 1
            along = before[part] + centre[rows] - start[part]
            moved = (along + rng.integers(0, length.sum(), (n, 1))) % length.sum()
            part = np.searchsorted(before, moved, side="right") - 1
            out[:, rows] = start[part] + moved - before[part]
        return out


def _parts(n: int, width: int) -> Iterator[int]:
    step = max(_VALUES_AT_ONCE // max(width, 1), 1)
    for first in range(0, n, step):
        yield min(step, n - first)
