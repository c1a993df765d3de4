"""Logits of loci of an object, read in parts in the order of the chromosomes."""

from __future__ import annotations

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
    """Logits ``(n,)`` of the windows around loci in a sample, NaN where no base is known.

    ``off_register``: how far the sequence lies from the coverage, in bp ``(n,)``; ``None``: where it belongs.
    """
    from eregtools.models.locus_inference import LocusPredictor

    predictor = LocusPredictor(network, device, modalities=modalities)
    out = np.full(len(loci), np.nan, dtype=np.float32)
    order = np.lexsort([loci[Var.start].to_numpy(), loci[Var.chromosome].astype(str).to_numpy()])
    for begin in range(0, len(loci), LOCI_AT_A_TIME):
        rows = order[begin : begin + LOCI_AT_A_TIME]
        nothing = np.zeros(len(rows), dtype=np.float32)
        shift = None if off_register is None else off_register[rows]
        windows = locus_windows(
            loci.iloc[rows], [sample], nothing, network.config, genome, coverage, off_register=shift
        )
        batch = windows.batch(np.arange(len(rows)))
        logits = predictor(batch, batch_size=batch_size).window
        out[rows] = np.where((batch.codes < UNKNOWN).any(axis=1), logits, np.nan)
        if bar is not None:
            bar.update(len(rows))
    return out
