"""Enhancer RNAs told by rules of the field, and by three numbers: what a model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools._logging import logger
from eregtools.locus_signal import arm_length, gc_around, locus_reads
from eregtools.tl._covariates import GC_WIDTH
from eregtools.tl.baseline import out_of_fold
from eregtools.tl.quantify import direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome

    Floats = NDArray[np.float64]

Method = Literal["fantom", "balance", "logistic"]

METHODS: Final[tuple[Method, ...]] = get_args(Method)
"""Ways to tell enhancer RNAs without a network."""

MODELS: Final[dict[Method, str]] = {
    "fantom": "rules of FANTOM5: bidirectional, departing on either side",
    "balance": "balance of CAGEfightR",
    "logistic": "logistic regression on GC, reads per million and directionality",
}

CALLED_FROM: Final[dict[str, float]] = {"fantom": np.nextafter(0, 1), "balance": 0.95, "logistic": 0.5}
"""Score from which each calls a locus."""

DIRECTIONALITY: Final = 0.8
"""Largest directionality of a bidirectional locus (Andersson et al. 2014)."""

_MOST_FOLDS = 5


@dataclass(frozen=True)
class Arms:
    """Reads around the centres of loci in one biosample.

    Attributes
    ----------
    left, right
        Reads of plus and minus of the arms left and right of each centre ``(2, n)``.
    stranded
        Whether strands are known.
    per_million
        Factor from reads to reads per million.
    """

    left: Floats
    right: Floats
    stranded: bool
    per_million: float

    @classmethod
    def of(cls, loci: pd.DataFrame, coverage: Coverage, sample: str) -> Arms:
        """Read the arms of loci with a centre; 200 bp of 5′ ends, 500 bp of coverage."""
        arm = arm_length(coverage, sample)
        chroms, centre = loci[Var.chromosome], loci[Var.center].to_numpy(np.int64)
        left = locus_reads(coverage, sample, chroms, centre - arm, centre)
        right = locus_reads(coverage, sample, chroms, centre, centre + arm)
        return cls(left, right, coverage.stranded(sample), 1e6 / coverage.library_size(sample))

    @property
    def rpm(self) -> Floats:
        """Reads per million of both arms and strands."""
        return (self.left.sum(axis=0) + self.right.sum(axis=0)) * self.per_million

    def fantom(self) -> Floats:
        """Score by the reads per million that depart where all rules hold, else 0; NaN where strands are not known."""
        if not self.stranded:
            return np.full(self.left.shape[1], np.nan)
        out, back = self.right[0], self.left[1]
        directionality, _ = direction(self.left, self.right, 0)
        kept = (np.nan_to_num(np.abs(directionality), nan=1.0) < DIRECTIONALITY) & (out > 0) & (back > 0)
        kept &= (self.left[0] < self.left[1]) & (self.right[1] < self.right[0])
        return np.where(kept, (out + back) * self.per_million, 0.0)

    def balance(self) -> Floats:
        """Balance; 0 where there is no read, NaN where strands are not known."""
        if not self.stranded:
            return np.full(self.left.shape[1], np.nan)
        return np.nan_to_num(direction(self.left, self.right, 0)[1])

    def features(self, gc: Floats) -> Floats:
        """GC, reads per million on a logarithm, and directionality without sign ``(n, 4)``.

        Where no read departs, directionality is 1 and a column says so; without strands that is everywhere.
        """
        directionality = np.full(len(gc), np.nan)
        if self.stranded:
            directionality = np.abs(direction(self.left, self.right, 0)[0])
        known = np.isfinite(directionality)
        return np.stack([gc, np.log1p(10 * self.rpm), np.where(known, directionality, 1.0), known], axis=1)


def baseline_scores(
    loci: pd.DataFrame,
    label: Floats,
    coverage: Coverage | None,
    sample: str,
    genome: Genome | None,
    chromosome: NDArray[np.str_],
) -> dict[Method, Floats]:
    """Scores of loci by each method ``(n,)``, NaN where a method cannot tell.

    Parameters
    ----------
    loci
        Chromosome, Start, End and center.
    label
        1, 0 or NaN, which the logistic model learns from, on other chromosomes than it scores.
    coverage, sample
        Whose reads; ``None``: no method can tell.
    genome
        For GC; ``None``: the logistic model cannot tell.
    chromosome
        Chromosome of each locus.
    """
    unknown = np.full(len(loci), np.nan)
    if coverage is None:
        logger.warning("baselines need reads; their rows are empty: give coverage=")
        return dict.fromkeys(METHODS, unknown)
    arms = Arms.of(loci, coverage, sample)
    found: dict[Method, Floats] = {"fantom": arms.fantom(), "balance": arms.balance(), "logistic": unknown}
    if not arms.stranded:
        logger.info("%s: strands are not known, which the rules of FANTOM5 and the balance need", sample)
    if genome is None:
        logger.warning("the logistic baseline needs GC; its rows are empty: give genome=")
        return found
    gc = gc_around(genome, chromosome.tolist(), loci[Var.center].to_numpy(np.int64), GC_WIDTH)
    found["logistic"] = cross_fitted(arms.features(gc), label, chromosome)
    return found


def cross_fitted(features: Floats, label: Floats, chromosome: NDArray[np.str_]) -> Floats:
    """Probability of each locus by a logistic model that learnt from other chromosomes ``(n,)``.

    NaN where other chromosomes have not both kinds, or a feature is not known.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sets = chromosome_folds(chromosome, label)
    usable = np.isfinite(features).all(axis=1) & np.isfinite(label)
    for fold in list(sets.columns):
        learnt = label[usable & (sets[fold] != "test").to_numpy()]
        if len(np.unique(learnt)) < 2:
            logger.info("loci outside one part of the chromosomes are all of one kind; it has no logistic baseline")
            sets = sets.drop(columns=fold)
    if sets.empty or not len(sets.columns):
        return np.full(len(label), np.nan)
    model: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    return out_of_fold(features, label, sets, model)[0]


def chromosome_folds(chromosome: NDArray[np.str_], label: Floats) -> pd.DataFrame:
    """Set of each locus in each fold; at most five folds of whole chromosomes with about as many positives each."""
    names, code = np.unique(chromosome, return_inverse=True)
    weight = np.bincount(code, weights=(label == 1) + 1e-6, minlength=len(names))
    held = np.zeros(min(_MOST_FOLDS, len(names)))
    fold_of = np.zeros(len(names), dtype=np.int64)
    for number in np.argsort(-weight, kind="stable"):
        fold_of[number] = int(held.argmin())
        held[fold_of[number]] += weight[number]
    tested = fold_of[code]
    return pd.DataFrame({str(k): np.where(tested == k, "test", "train") for k in range(len(held))})
