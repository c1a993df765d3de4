"""Logits of loci of an object, read in parts in the order of the chromosomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eregtools._keys import Var
from eregtools.batches.encode import UNKNOWN
from eregtools.tl._erna_windows import locus_windows

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models import ERNAformer
    from eregtools.models.locus_inference import LocusLogits

LOCI_AT_A_TIME = 2_048


def locus_logits(
    loci: pd.DataFrame,
    sample: str,
    network: ERNAformer,
    genome: Genome,
    coverage: Coverage,
    device: torch.device,
    modalities: Literal["both", "sequence", "signal"],
    batch_size: int | None,
    bar: Any = None,
    *,
    off_register: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Logits ``(n,)`` of the windows around loci in a sample, NaN where no base is known."""
    out = np.full(len(loci), np.nan, dtype=np.float32)
    parts = predicted_parts(loci, sample, network, genome, coverage, device, modalities, batch_size, off_register)
    for rows, logits, known in parts:
        out[rows] = np.where(known, logits.window, np.nan)
        if bar is not None:
            bar.update(len(rows))
    return out


def predicted_parts(
    loci: pd.DataFrame,
    sample: str,
    network: ERNAformer,
    genome: Genome,
    coverage: Coverage,
    device: torch.device,
    modalities: Literal["both", "sequence", "signal"] = "both",
    batch_size: int | None = None,
    off_register: NDArray[np.int64] | None = None,
) -> Iterator[tuple[NDArray[np.int64], LocusLogits, NDArray[np.bool_]]]:
    """Rows of loci that are read together, their logits, and which of them have a known base.

    Parameters
    ----------
    off_register
        How far the sequence lies from the coverage, in bp ``(n,)``; ``None``: where it belongs.
    """
    from eregtools.models.locus_inference import LocusPredictor

    predictor = LocusPredictor(network, device, modalities=modalities)
    order = np.lexsort([loci[Var.start].to_numpy(), loci[Var.chromosome].astype(str).to_numpy()])
    for begin in range(0, len(loci), LOCI_AT_A_TIME):
        rows = order[begin : begin + LOCI_AT_A_TIME]
        nothing = np.zeros(len(rows), dtype=np.float32)
        shift = None if off_register is None else off_register[rows]
        windows = locus_windows(
            loci.iloc[rows], [sample], nothing, network.config, genome, coverage, off_register=shift
        )
        batch = windows.batch(np.arange(len(rows)))
        yield rows, predictor(batch, batch_size=batch_size), (batch.codes < UNKNOWN).any(axis=1)
