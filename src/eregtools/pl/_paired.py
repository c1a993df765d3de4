"""Observed and predicted expression of the genes that have both, and how well they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import Modality
from eregtools._schema import require_modality
from eregtools.get._select import layer_row

if TYPE_CHECKING:
    from mudata import MuData


@dataclass(frozen=True)
class Paired:
    """Genes of one sample with both values, by row; `baseline` may be NaN, or None if there is none at all."""

    sample: str
    genes: np.ndarray
    observed: np.ndarray
    predicted: np.ndarray
    baseline: np.ndarray | None

    def scores(self, baseline: str | None) -> list[str]:
        """Lines of text: number of genes, Pearson's r and Spearman's ρ, and Pearson's r of the baseline."""
        from scipy.stats import rankdata

        r = _correlation(self.observed, self.predicted)
        rho = _correlation(rankdata(self.observed), rankdata(self.predicted))
        lines = [f"{self.sample}: n = {len(self.genes):,}", f"r = {r:.2f}, ρ = {rho:.2f}"]
        if self.baseline is not None and baseline is not None:
            has = np.isfinite(self.baseline)
            alone = _correlation(self.baseline[has], self.observed[has])
            count = "" if has.all() else f" (n = {has.sum():,})"
            lines.append(f"{baseline.replace('_', ' ')} alone: r = {alone:.2f}{count}")
        return lines


def paired_values(
    mdata: MuData, samples: Sequence[str], observed: str, predicted: str, baseline: str | None, *, required: bool
) -> list[Paired]:
    """Values of each sample that has any; where `required`, each must."""
    found = [_of_sample(mdata, name, observed, predicted, baseline) for name in samples]
    lacking = [pair.sample for pair in found if not len(pair.genes)]
    if lacking and (required or len(lacking) == len(found)):
        raise ValueError(_nothing(mdata, observed, predicted, lacking))
    return [pair for pair in found if len(pair.genes)]


def _of_sample(mdata: MuData, sample: str, observed: str, predicted: str, baseline: str | None) -> Paired:
    genes = require_modality(mdata, Modality.genes)
    x, y = (layer_row(genes, layer, sample).astype(float) for layer in (observed, predicted))
    both = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    alone = None
    if baseline is not None:
        values = layer_row(genes, baseline, sample).astype(float)[both]
        alone = np.log1p(np.where(values > -1, values, np.nan))
    return Paired(sample, both, x[both], y[both], alone)


def _nothing(mdata: MuData, observed: str, predicted: str, samples: Sequence[str]) -> str:
    genes = require_modality(mdata, Modality.genes)
    counts = [
        sum(int(np.isfinite(layer_row(genes, layer, name).astype(float)).sum()) for name in samples)
        for layer in (observed, predicted)
    ]
    return (
        f"no gene of {', '.join(samples)} has both {observed!r} ({counts[0]:,} values) and "
        f"{predicted!r} ({counts[1]:,} values) among {genes.n_vars:,} genes; "
        "predict the genes that were measured, or choose another sample="
    )


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; NaN where one side does not vary."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
