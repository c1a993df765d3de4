"""Loci that are judged, what they are judged by, and what the baselines beside them read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import UNS, Uns, Var
from eregtools.coverage import Coverage, recorded_coverage
from eregtools.genome import Genome, get_genome
from eregtools.tl._erna_baselines import METHODS, baseline_scores
from eregtools.tl._erna_truth import ScoredLoci
from eregtools.tl._pair_scores import AREAS, ScoredPairs, area_table
from eregtools.tl._scores import POOLED, Bootstrap
from eregtools.tl.expression import object_genome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_AREA_COLUMNS: Final = (
    *(f"{area}{end}" for area in AREAS for end in ("", "_low", "_high")),
    *(f"delta_{area}{end}" for area in AREAS for end in ("", "_low", "_high")),
    "reference",
)


@dataclass(frozen=True)
class Judged:
    """What is judged, by what, and what the baselines read."""

    loci: ScoredLoci
    positives: pd.DataFrame | None
    negatives: pd.DataFrame | None
    coverage: Coverage | None
    genome: Genome | None
    bootstrap: Bootstrap

    def on(self, chromosomes: Iterable[str] | None) -> Judged:
        """Only what lies on those chromosomes."""
        if chromosomes is None:
            if self.positives is None:
                return self
            chromosomes = self.positives[Var.chromosome].astype(str).unique()
        kept = [chromosomes] if isinstance(chromosomes, str) else list(chromosomes)
        here = np.isin(self.loci.chromosome, kept)
        if not here.any():
            raise ValueError(f"chromosomes: no locus is on {', '.join(kept[:5])}; is the truth of another assembly?")
        loci = replace(
            self.loci,
            table=self.loci.table[here].reset_index(drop=True),
            scores={name: score[here] for name, score in self.loci.scores.items()},
            label=self.loci.label[here],
            stratum=self.loci.stratum[here],
        )
        truth = [
            None if table is None else table[table[Var.chromosome].isin(kept)].reset_index(drop=True)
            for table in (self.positives, self.negatives)
        ]
        return replace(self, loci=loci, positives=truth[0], negatives=truth[1])

    def baselines(self, loci: pd.DataFrame, label: Floats) -> dict[str, Floats]:
        """Scores of the baselines at loci."""
        chromosome = loci[Var.chromosome].to_numpy(str)
        found = baseline_scores(loci, label, self.coverage, self.loci.sample, self.genome, chromosome)
        return {str(method): score for method, score in found.items()}

    def areas(
        self, label: NDArray[np.bool_], scores: Mapping[str, Floats], chromosome: NDArray[np.str_], noun: str
    ) -> pd.DataFrame:
        """Areas of each predictor, one row each."""
        n = len(label)
        pairs = ScoredPairs(label, np.ones(n), scores, np.zeros(n, dtype=np.int64), chromosome, noun)
        what = self.loci.sample or "table"
        table = area_table(pairs, METHODS, self.bootstrap, ratio=None, what=what)
        return table.loc[table["fold"] == POOLED, ["predictor", "n", "n_positive", *_AREA_COLUMNS]]


def has_both_kinds(label: NDArray[np.bool_], scores: Mapping[str, Floats]) -> bool:
    """Whether those that have a score of every predictor which scores any are positives and negatives."""
    known = [has for score in scores.values() if (has := np.isfinite(score)).any()]
    left = label[np.logical_and.reduce(known)] if known else label
    return bool(left.any() and not left.all())


def reference_of(data: Any, genome: Genome | str | Path | None) -> Genome | None:
    if isinstance(data, MuData):
        try:
            return object_genome(data, genome)
        except KeyError:
            if genome is not None:
                raise
            return None
    return None if genome is None else get_genome(genome)


def coverage_of(data: Any, coverage: Coverage | str | Path | None, sample: str) -> Coverage | None:
    if isinstance(data, MuData):
        if coverage is None and Uns.coverage not in data.uns.get(UNS, {}):
            return None
        store = recorded_coverage(data, coverage)
    elif coverage is None:
        return None
    else:
        store = coverage if isinstance(coverage, Coverage) else Coverage(coverage)
        if not sample:
            raise ValueError(f"sample= is missing; the store has reads of {', '.join(store.samples[:5])}")
    store.about(sample)
    return store
