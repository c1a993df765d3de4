"""Scan regions of the genome for motifs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools._logging import progress_bar
from eregtools.batches.encode import UNKNOWN
from eregtools.tl._tomtom import require_memelite, threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.io.meme import Pwm

HIT: Final = ("region", "motif", "start", "reverse", "score", "p_value")
"""Columns of hits: row of the region, number of the motif, position in the region, strand, score and p-value."""

_PIECE: Final = 1 << 20
"""Longer regions are scanned in pieces of this many bases."""
_BASES_AT_ONCE: Final = 1 << 22


def scan(
    regions: pd.DataFrame, motifs: Mapping[str, Pwm], genome: Genome, *, threshold: float, both_strands: bool
) -> tuple[pd.DataFrame, NDArray[np.object_]]:
    """Find instances of motifs by FIMO.

    Parameters
    ----------
    regions
        ``Chromosome``, ``Start`` and ``End``, on the genome.
    motifs
        Name -> probabilities ``(length, 4)``.
    threshold
        Largest p-value.

    Returns
    -------
    Columns :data:`HIT`, by region, position and motif; and the sequence of each on its strand.
    """
    fimo = require_memelite().fimo
    matrices = {str(k): np.ascontiguousarray(pwm.T, dtype=np.float64) for k, pwm in enumerate(motifs.values())}
    lengths = np.array([len(pwm) for pwm in motifs.values()])
    pieces = _pieces(regions, int(lengths.max()))
    parts, texts = [_no_hits()], [np.empty(0, dtype=object)]
    with progress_bar(int(pieces["own"].sum()), "Scanning for motifs", "bases") as bar, threads():
        for batch in _batches(pieces):
            codes = _codes(batch, regions, genome)
            one_hot = np.ascontiguousarray(np.eye(UNKNOWN + 1, UNKNOWN, dtype=np.int8)[codes].transpose(0, 2, 1))
            found = fimo(matrices, one_hot, threshold=threshold, reverse_complement=both_strands)
            hits, text = _own(pd.concat(found, ignore_index=True), batch, codes, lengths)
            parts.append(hits)
            texts.append(text)
            bar.update(int(batch["own"].sum()))
    hits = pd.concat(parts, ignore_index=True)
    order = np.lexsort((hits["reverse"], hits["motif"], hits["start"], hits["region"]))
    return hits.iloc[order].reset_index(drop=True), np.concatenate(texts)[order]
