"""From logits to probabilities that mean what they say: temperature, and the share of positives where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, logit

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TEMPERATURES = (0.02, 50.0)

Prior = float | Literal["estimate"] | None


@dataclass(frozen=True)
class Calibration:
    """What turns logits into probabilities.

    Attributes
    ----------
    temperature
        Logits are divided by it.
    prior
        Share of positives that the logits were trained with; ``None``: not known.
    """

    temperature: float = 1.0
    prior: float | None = None

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Calibration:
        """Calibration that is stored with a model; none where it was never calibrated."""
        known = provenance.get("calibration", {})
        prior = provenance.get("prior")
        return cls(float(known.get("temperature", 1.0)), None if prior is None else float(prior))

    def probabilities(self, logits: NDArray[np.float32], prior: Prior = None) -> NDArray[np.float64]:
        """Probabilities of loci among which a share of ``prior`` are positive.

        Raises
        ------
        ValueError
            A prior is given, and that of the training is not known; it is no share.
        """
        scaled = logits.astype(np.float64) / self.temperature
        if prior is None:
            return np.asarray(expit(scaled))
        if self.prior is None:
            raise ValueError("the share of positives that the model was trained with is not known; leave prior= out")
        if prior == "estimate":
            prior = estimated_prior(expit(scaled), self.prior)
        if isinstance(prior, str) or not 0 < prior < 1:
            raise ValueError(f"prior is {prior!r}; expected a share between 0 and 1, 'estimate' or None")
        return np.asarray(expit(scaled + logit(prior) - logit(self.prior)))


def fitted_temperature(logits: NDArray[np.float32], label: NDArray[np.float32]) -> float:
    """Temperature under which labels are likeliest."""
    values = logits.astype(np.float64)
    found = minimize_scalar(
        lambda log_t: log_loss(values / np.exp(log_t), label),
        bounds=tuple(np.log(_TEMPERATURES)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(found.x))


def log_loss(logits: NDArray[Any], label: NDArray[np.float32]) -> float:
    """Mean negative log likelihood of labels."""
    signed = np.where(label > 0.5, logits, -logits).astype(np.float64)
    return float(-log_expit(signed).mean())


def estimated_prior(probabilities: NDArray[np.float64], trained: float, tolerance: float = 1e-8) -> float:
    """Share of positives among loci, from their probabilities under another share.

    Source: Saerens, Latinne and Decaestecker 2002 (expectation maximisation of class priors).
    """
    share = trained
    odds = probabilities / np.maximum(1 - probabilities, 1e-300)
    for _ in range(10_000):
        shifted = odds * (share / (1 - share)) * ((1 - trained) / trained)
        new = float(np.clip((shifted / (1 + shifted)).mean(), 1e-9, 1 - 1e-9))
        if abs(new - share) < tolerance:
            return new
        share = new
    return share


def calibration_error(probabilities: NDArray[np.float64], label: NDArray[np.float32], n_groups: int = 10) -> float:
    """Mean distance of probability and share of positives, over groups of as many loci ordered by probability."""
    order = np.argsort(probabilities, kind="stable")
    groups = [rows for rows in np.array_split(order, n_groups) if len(rows)]
    gaps = [len(rows) * abs(float(probabilities[rows].mean()) - float(label[rows].mean())) for rows in groups]
    return float(sum(gaps) / len(label))
