"""What loci are tested for: intervals, variants, or the values of a track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from eregtools._columns import ALIASES
from eregtools._keys import INTERVAL, Var
from eregtools._logging import logger
from eregtools.intervals import Intervals, read_intervals, regions_on, suffix
from eregtools.io import bigwig
from eregtools.io.tables import read_table
from eregtools.io.vcf import read_vcf
from eregtools.ranges import count_overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

Statistic: TypeAlias = Literal["any", "count"]

_BIGWIG: Final = (".bw", ".bigwig")
_VCF: Final = (".vcf", ".bcf")
_POSITION: Final = ("CHR_POS", "Position", "position", "pos", "POS", "base_pair_location")
_CHROMOSOME: Final = ("CHR_ID", *ALIASES[Var.chromosome], "CHR", "CHROM", "#CHROM")


@dataclass(frozen=True)
class Feature:
    """Something that loci hold, or a track that runs over them.

    Attributes
    ----------
    name
        How it is called.
    intervals
        Where it is; ``None`` for a track.
    track
        BigWig file; ``None`` for intervals.
    statistic
        ``"any"``, ``"count"`` or ``"mean"``.
    """

    name: str
    intervals: pd.DataFrame | None
    track: Path | None
    statistic: str

    @property
    def n(self) -> int:
        """Intervals of it; 0 for a track."""
        return 0 if self.intervals is None else len(self.intervals)

    def measure(self, regions: pd.DataFrame) -> NDArray[np.float64]:
        """Value of each region ``(n,)``; NaN where a track has none."""
        if self.intervals is None:
            assert self.track is not None
            columns = (regions[name].to_numpy() for name in INTERVAL)
            return bigwig.region_values(self.track, *columns, statistic="mean", missing="nan")
        counts = count_overlaps(regions, self.intervals)
        return np.asarray(counts > 0 if self.statistic == "any" else counts, dtype=np.float64)


def read_features(features: Any, chrom_sizes: Mapping[str, int], statistic: Statistic) -> list[Feature]:
    """Features of an argument: one of them, or ``{name: feature}``.

    Raises
    ------
    ValueError
        There are none, or none on the chromosomes of the genome.
    """
    named = dict(features) if isinstance(features, Mapping) else {_name_of(features): features}
    if not named:
        raise ValueError("features is empty; give at least one, as {'GWAS': 'variants.bed'}")
    return [_feature(str(name), source, chrom_sizes, statistic) for name, source in named.items()]


def _name_of(source: Any) -> str:
    return Path(source).name.split(".")[0] if isinstance(source, str | Path) else "features"


def _feature(name: str, source: Any, chrom_sizes: Mapping[str, int], statistic: Statistic) -> Feature:
    if isinstance(source, str | Path):
        if not Path(source).expanduser().is_file():
            raise FileNotFoundError(f"features {name!r}: there is no file {source}")
        if suffix(source) in _BIGWIG:
            return _track(name, Path(source).expanduser(), chrom_sizes)
    elif not isinstance(source, pd.DataFrame):
        raise TypeError(
            f"features {name!r} is a {type(source).__name__}; expected a table, or a BED, VCF, GWAS or bigWig file"
        )
    intervals = regions_on(_intervals(name, source), chrom_sizes, f"features {name!r}")
    if intervals.empty:
        raise ValueError(f"features {name!r}: none is on a chromosome of the genome; is it of another assembly?")
    return Feature(name, intervals, None, statistic)


def _track(name: str, path: Path, chrom_sizes: Mapping[str, int]) -> Feature:
    there = bigwig.chrom_sizes(path)
    shared = [chrom for chrom in chrom_sizes if chrom in there]
    if not shared:
        raise ValueError(f"features {name!r}: {path.name} has none of the chromosomes; is it of another assembly?")
    if other := [chrom for chrom in shared if there[chrom] != chrom_sizes[chrom]]:
        raise ValueError(
            f"features {name!r}: {other[0]} has {there[other[0]]:,} bases in {path.name} and "
            f"{chrom_sizes[other[0]]:,} in the genome; it is of another assembly"
        )
    return Feature(name, None, path, "mean")


def _intervals(name: str, source: Intervals) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return _positions(name, source)
    if suffix(source) in _VCF:
        variants = read_vcf(source, symbolic="drop")
        return variants[list(INTERVAL)].drop_duplicates(ignore_index=True)
    if suffix(source) in (".tsv", ".txt", ".csv"):
        table = read_table(source)
        if any(column in table for column in _POSITION):
            return _positions(name, table)
    return read_intervals(source)


def _positions(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Intervals of a table of 1-based positions; a table of intervals as it is."""
    if any(column in table for column in ALIASES[Var.start]):
        return table
    chromosome = next((column for column in _CHROMOSOME if column in table), None)
    position = next((column for column in _POSITION if column in table), None)
    if chromosome is None or position is None:
        raise ValueError(
            f"features {name!r}: expected columns Chromosome, Start and End, or a chromosome and a 1-based position as "
            f"CHR_ID and CHR_POS; found {', '.join(map(str, table.columns[:8]))}"
        )
    at = pd.to_numeric(table[position], errors="coerce")
    known = (at.notna() & table[chromosome].notna()).to_numpy()
    if not known.all():
        logger.info("features %r: %d of %d rows have no single position", name, (~known).sum(), len(known))
    start = at[known].to_numpy(dtype=np.int64) - 1
    chroms = table.loc[known, chromosome].astype(str).to_numpy()
    found = pd.DataFrame({Var.chromosome: chroms, Var.start: start, Var.end: start + 1})
    return found.drop_duplicates(ignore_index=True)
