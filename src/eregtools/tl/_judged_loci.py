"""Loci of a biosample with their q-values: against decoys, or from labelled loci."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools._logging import logger
from eregtools.tl._calibration import Calibration, Prior, estimated_prior
from eregtools.tl._called_loci import track_loci
from eregtools.tl._decoys import Decoys, Source, off_register_decoys, tried_windows
from eregtools.tl._erna_fdr import Pi0, check_alpha, decoy_q_values, validation_q_values
from eregtools.tl.predict_ernas import validation_logits

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.tl._loci_from_track import CallRules

_GENOME = 1e9
"""Bases of a scan from which the number of calls is compared with that of a genome."""

_USUAL_CALLS = (10_000, 100_000)
"""Loci that others found in a condition, from FANTOM5 to eRNAformer."""


@dataclass
class Judge:
    """Calls and judges the loci of one biosample after the other, and keeps what was found about each.

    Attributes
    ----------
    mdata
        Object with the labels, for ``"validation"``.
    source
        Scan, sequence and coverage.
    rules, fdr, alpha, pi0, prior, n_decoys, distance
        As in :func:`eregtools.tl.call_ernas`.
    found
        Number of calls, their FDR, decoys and windows of each biosample.
    """

    mdata: MuData
    source: Source
    rules: CallRules
    fdr: str | None
    alpha: float
    pi0: Pi0
    prior: Prior
    n_decoys: int
    distance: tuple[int, int]

    def __post_init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def __call__(self, sample: str, rng: np.random.Generator) -> pd.DataFrame:
        """Loci of a biosample that pass: Chromosome, Start, End, center, score, qvalue."""
        loci = track_loci(self.source, sample, self.rules)
        loci[Var.score] = self.source.scores(loci, sample)
        loci = loci[np.isfinite(loci[Var.score])].reset_index(drop=True)
        facts: dict[str, Any] = {"sample": sample, "loci": len(loci), "decoys": 0, "decoys_called": 0, "windows": 0}
        loci[Var.qvalue] = np.nan
        if self.fdr == "null":
            loci[Var.qvalue] = self._against_decoys(sample, loci, facts, rng)
        elif self.fdr == "validation":
            loci[Var.qvalue] = self._against_labels(sample, loci)
        kept = loci if self.fdr is None else loci[loci[Var.qvalue] <= self.alpha].reset_index(drop=True)
        facts |= {"calls": len(kept), "fdr": float(kept[Var.qvalue].max()) if len(kept) else float("nan")}
        self.found.append(facts)
        self._say(facts)
        return kept

    def _against_decoys(
        self, sample: str, loci: pd.DataFrame, facts: dict[str, Any], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        windows = tried_windows(self.source, sample)
        drawn = Decoys(np.empty(0), 0)
        if len(windows):
            drawn = off_register_decoys(self.source, sample, windows, self.rules, self.n_decoys, self.distance, rng)
        check_alpha(self.alpha, drawn.n)
        facts |= {"decoys": drawn.n, "decoys_called": len(drawn.scores), "windows": len(windows)}
        tried = max(len(windows), len(loci))
        against = max(drawn.n, len(drawn.scores))
        return decoy_q_values(loci[Var.score].to_numpy(), drawn.scores, n_targets=tried, n_decoys=against, pi0=self.pi0)

    def _against_labels(self, sample: str, loci: pd.DataFrame) -> NDArray[np.float64]:
        q = np.full(len(loci), np.nan)
        every = loci[Var.score].to_numpy(dtype=np.float64)
        for chromosomes, network, temperature in self.source.networks(sample):
            rows = np.flatnonzero(loci[Var.chromosome].isin(chromosomes))
            logits, label = validation_logits(
                self.mdata, network, sample, self.source.coverage, self.source.genome, self.source.device
            )
            share = _share(self.prior, every[rows], network.provenance)
            scores = (logits / temperature).astype(np.float64)
            q[rows] = validation_q_values(every[rows], scores, label, prior=share)
        return q

    def _say(self, facts: Mapping[str, Any]) -> None:
        logger.info(
            "%(sample)s: %(calls)d of %(loci)d loci called, estimated FDR %(fdr).3f; %(decoys)d decoys, of which "
            "%(decoys_called)d look like loci, for %(windows)d windows",
            facts,
        )
        least, most = _USUAL_CALLS
        scanned = sum(self.source.scan.chrom_sizes[chrom] for chrom in self.source.scan.scanned(facts["sample"]))
        if scanned >= _GENOME and not least <= facts["calls"] <= most:
            logger.warning(
                "%s: %d loci are called in %.1f Gb; others found %d to %d in a condition, so look at mask, coverage "
                "and thresholds",
                facts["sample"],
                facts["calls"],
                scanned / 1e9,
                least,
                most,
            )


def _share(prior: Prior, scores: NDArray[np.float64], provenance: Mapping[str, Any]) -> float | None:
    """Share of true loci among those that are judged."""
    if prior != "estimate":
        return prior
    trained = Calibration.of(provenance).prior
    if trained is None:
        raise ValueError("the share of positives that the model was trained with is not known; give prior= a number")
    return estimated_prior(1 / (1 + np.exp(-scores)), trained)
