"""Loci with scores and labels, and how far they are from known ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, Layer, Modality, Stratum, Var
from eregtools._schema import listed, object_chrom_sizes, require_modality
from eregtools.get._select import layer_row, one_sample
from eregtools.intervals import Intervals, regions_on
from eregtools.io._pair_columns import to_float
from eregtools.tl._labelled_pairs import bare, names_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ALL: Final = "all"
"""Stratum of all negatives together."""

DEFAULT_SCORES: Final = (Layer.probability, Var.score)


@dataclass(frozen=True)
class ScoredLoci:
    """Loci of one biosample.

    Attributes
    ----------
    sample
        The biosample; empty for a table.
    table
        Chromosome (text), Start, End and center.
    scores
        ``{predictor: score}`` ``(n,)``, higher = likelier; NaN where there is none.
    label
        1, 0, or NaN where neither ``(n,)``.
    stratum
        Where each negative was drawn; empty: not known.
    """

    sample: str
    table: pd.DataFrame
    scores: Mapping[str, Floats]
    label: Floats
    stratum: NDArray[np.str_]

    @property
    def chromosome(self) -> NDArray[np.str_]:
        """Chromosome of each."""
        return self.table[Var.chromosome].to_numpy(str)

    def labelled_by(self, positives: pd.DataFrame, negatives: pd.DataFrame | None, max_distance: float) -> ScoredLoci:
        """Take labels from known loci: positive near a positive, negative near a negative, or all others."""
        label = np.where(nearest(self.table, positives) <= max_distance, 1.0, 0.0)
        if negatives is not None:
            near = nearest(self.table, negatives) <= max_distance
            label = np.where(label == 1, 1.0, np.where(near, 0.0, np.nan))
        return replace(self, label=label)

    def strata(self) -> dict[str, NDArray[np.bool_]]:
        """Loci of each comparison: positives and all negatives, then positives and each stratum of negatives."""
        known = np.isfinite(self.label)
        found = {ALL: known}
        positive, negative = self.label == 1, self.label == 0
        for name in dict.fromkeys(self.stratum[negative].tolist()):
            if name not in ("", "nan", Stratum.unlabelled, Stratum.unsupported):
                found[name] = positive | (negative & (self.stratum == name))
        return found if len(found) > 2 else {ALL: known}


def scored_loci(data: MuData | pd.DataFrame, scores: Any, sample: str | None) -> ScoredLoci:
    """Loci of an object or a table, with the scores that are asked for.

    Raises
    ------
    KeyError
        There is no such layer or column.
    """
    if isinstance(data, MuData):
        ernas = require_modality(data, Modality.ernas)
        name = one_sample(data, sample)
        var = ernas.var
        table = with_centres(var.astype({Var.chromosome: object}))
        chosen = _chosen(scores, [*(n for n in ernas.layers if n), *var.columns])
        values = {
            score: _signed(
                score, layer_row(ernas, bare(score), name) if bare(score) in ernas.layers else var[bare(score)]
            )
            for score in chosen
        }
        label = layer_row(ernas, Layer.label, name) if Layer.label in ernas.layers else var.get(Var.label)
        return _assembled(name, table, values, label, var.get(Var.stratum))
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data is a {type(data).__name__}; expected an object or a table of loci")
    if lacking := [column for column in INTERVAL if column not in data]:
        raise ValueError(f"the table has no column {', '.join(lacking)}; expected Chromosome, Start and End")
    chosen = _chosen(scores, list(data.columns))
    values = {score: _signed(score, data[bare(score)]) for score in chosen}
    table = with_centres(data.astype({Var.chromosome: str}))
    return _assembled(sample or "", table, values, data.get(Var.label), data.get(Var.stratum))


def _assembled(sample: str, table: pd.DataFrame, scores: dict[str, Floats], label: Any, stratum: Any) -> ScoredLoci:
    table = table[[*INTERVAL, Var.center]].reset_index(drop=True)
    label = (
        np.full(len(table), np.nan) if label is None else to_float(pd.Series(np.asarray(label), name=Var.label), "loci")
    )
    wrong = np.isfinite(label) & ~np.isin(label, (0, 1))
    if wrong.any():
        raise ValueError(f"label holds {label[wrong][0]:g}; expected 1, 0 or NaN")
    names = np.full(len(table), "") if stratum is None else np.asarray(stratum.astype(object).fillna(""), dtype=str)
    return ScoredLoci(sample, table, scores, label, names)


def _chosen(scores: str | Iterable[str] | None, there: Sequence[Any]) -> list[str]:
    if scores is not None and not isinstance(scores, str) and not (scores := list(scores)):
        return []
    names = [name for name in DEFAULT_SCORES if name in there] if scores is None else names_of(scores)
    if not names:
        raise KeyError(f"loci have none of {', '.join(DEFAULT_SCORES)}; name their scores (there are {listed(there)})")
    if unknown := [name for name in names if bare(name) not in there]:
        raise KeyError(f"loci have no score {unknown[0]!r}, as a layer or a column (there are {listed(there)})")
    return names


def _signed(name: str, values: Any) -> Floats:
    number = to_float(pd.Series(np.asarray(values), name=bare(name)), "loci")
    return -number if name.startswith("-") else number


def with_centres(table: pd.DataFrame) -> pd.DataFrame:
    """Intervals with a centre: ``center`` where they have one, else the middle."""
    if Var.center in table:
        return table
    return table.assign(**{Var.center: (table[Var.start] + table[Var.end]) // 2})


def known_loci(source: Intervals | None, data: Any, what: str, genome_sizes: Mapping[str, int] | None) -> Any:
    """Known loci of a file or table with their centres, on the chromosomes of the data; ``None`` stays."""
    if source is None:
        return None
    sizes = object_chrom_sizes(data) if isinstance(data, MuData) else genome_sizes
    if sizes is None:
        ends = data.groupby(data[Var.chromosome].astype(str))[Var.end].max()
        sizes = dict.fromkeys(map(str, ends.index), np.iinfo(np.int64).max)
    table = regions_on(source, sizes, what)
    if table.empty:
        raise ValueError(f"{what}: there is none on the chromosomes of the loci; is it of another assembly?")
    return with_centres(table)


def nearest(loci: pd.DataFrame, others: pd.DataFrame) -> Floats:
    """Bases from the centre of each locus to the nearest other centre; infinite on chromosomes without any."""
    found = np.full(len(loci), np.inf)
    at = with_centres(others)
    chroms = loci[Var.chromosome].to_numpy(str)
    of_others = at[Var.chromosome].to_numpy(str)
    for chrom in np.unique(chroms):
        places = np.sort(at[Var.center].to_numpy(np.float64)[of_others == chrom])
        if not len(places):
            continue
        rows = np.flatnonzero(chroms == chrom)
        centre = loci[Var.center].to_numpy(np.float64)[rows]
        right = np.searchsorted(places, centre)
        left, right = np.maximum(right - 1, 0), np.minimum(right, len(places) - 1)
        found[rows] = np.minimum(np.abs(places[left] - centre), np.abs(places[right] - centre))
    return found
