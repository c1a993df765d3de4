"""Attributions of all elements of a modality, and where an object keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eregtools._keys import UNS, Uns, Var, Varm
from eregtools._logging import logger
from eregtools.tl._models import record_result

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.tl._explaining import Explained, Window, Work

_TOLERANCE: Final = 0.01
"""Residual from which attributions are warned of."""


@dataclass
class Attributions:
    """Attributions of all elements of a modality, NaN where there are none.

    Attributes
    ----------
    values
        Of the base that is there ``(n, width)``.
    hypothetical
        Of each base ``(n, 4, width)``; ``None``: not kept.
    residual
        How far they are from adding up ``(n,)``.
    """

    values: NDArray[np.float16]
    hypothetical: NDArray[np.float16] | None
    residual: NDArray[np.float32]

    @classmethod
    def empty(cls, n: int, width: int, hypothetical: bool) -> Attributions:
        """NaN for all."""
        return cls(
            np.full((n, width), np.nan, dtype=np.float16),
            np.full((n, 4, width), np.nan, dtype=np.float16) if hypothetical else None,
            np.full(n, np.nan, dtype=np.float32),
        )

    def put(self, explained: Explained) -> None:
        """Fill in some rows; zero beyond the part of the window that was explained."""
        rows, part, explanation = explained
        self.values[rows] = 0
        self.values[rows, part] = explanation.observed
        if self.hypothetical is not None:
            self.hypothetical[rows] = 0
            self.hypothetical[rows, :, part] = explanation.hypothetical
        self.residual[rows] = explanation.residual

    def report(self, rows: NDArray[np.int64], modality: str) -> None:
        """Warn of rows that were asked for but not attributed, and of attributions that do not add up."""
        made = np.isfinite(self.values[rows, 0])
        if lost := int((~made).sum()):
            logger.warning(
                "%d of %d %s are not attributed: no known base, no fold model, or no part in what is predicted",
                lost,
                len(rows),
                modality,
            )
        residual = self.residual[np.isfinite(self.residual)]
        if over := int((residual > _TOLERANCE).sum()):
            logger.warning(
                "%d of %d attributions do not add up to the difference of the predictions within 1 %% (largest "
                "residual %.2g); see var[…_residual]",
                over,
                len(residual),
                residual.max(),
            )


def store(mdata: MuData, modality: str, key: str, found: Attributions, work: Work, about: dict[str, Any]) -> None:
    """Keep attributions under a key, those of links' promoters under a key of their own, instead of what was there.

    Parameters
    ----------
    mdata, modality, key
        Where.
    found
        The attributions.
    work
        Their windows, and what made them.
    about
        How they were made.
    """
    of_promoters = Varm.promoters_of(key)
    before = mdata.uns.get(UNS, {}).get(Uns.results, {}).get(f"{modality}:{key}")
    _drop(mdata, modality, key)
    of_pairs = before is not None and "target" in before and (before["target"] == "interaction").any()
    if work.promoter is not None or of_pairs:
        _drop(mdata, modality, of_promoters)
    record = [{**row, **about} for row in work.provenance]
    _keep(mdata, modality, key, found, 0, work.window, record)
    if work.promoter is not None:
        _keep(mdata, modality, of_promoters, found, work.window.width, work.promoter, record)
    if about["method"] in ("deeplift", "ig"):
        mdata[modality].var[Var.residual(key)] = found.residual


def _drop(mdata: MuData, modality: str, key: str) -> None:
    elements = mdata[modality]
    for name in (key, Varm.hypothetical(key)):
        elements.varm.pop(name, None)
    for column in (Var.window_start(key), Var.residual(key)):
        if column in elements.var:
            del elements.var[column]
    record_result(mdata, f"{modality}:{key}", [], mdata.obs_names)


def _keep(
    mdata: MuData,
    modality: str,
    key: str,
    found: Attributions,
    first: int,
    window: Window,
    record: list[dict[str, Any]],
) -> None:
    """Keep the positions of one window, from the first on."""
    elements, part = mdata[modality], slice(first, first + window.width)
    elements.varm[key] = found.values[:, part]
    if found.hypothetical is not None:
        elements.varm[Varm.hypothetical(key)] = found.hypothetical[:, :, part]
    elements.var[Var.window_start(key)] = window.starts
    record_result(mdata, f"{modality}:{key}", record, mdata.obs_names)
