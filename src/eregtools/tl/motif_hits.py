"""Instances of known motifs in the genome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, Modality, Uns, Var
from eregtools._memory import require_memory
from eregtools._schema import entry, require_modality, validate
from eregtools.genome import get_genome
from eregtools.io.attributions import attributed_windows
from eregtools.io.meme import as_motifs
from eregtools.tl._motif_scan import scan
from eregtools.tl._tomtom import strands
from eregtools.tl.expression import object_genome

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.io.meme import Motifs

_BYTES_A_HIT: Final = 150


def motif_hits(
    regions: MuData | pd.DataFrame | None,
    motifs: Motifs,
    *,
    modality: Literal["enhancers", "genes", "ernas", "links"] = "enhancers",
    key: str | None = None,
    window: int = 2_000,
    threshold: float = 1e-4,
    both_strands: bool = True,
    genome: Genome | str | Path | None = None,
    key_added: str | None = None,
) -> pd.DataFrame:
    r"""Scan the genome, or parts of it, for instances of motifs.

    Parameters
    ----------
    regions
        Object, whose elements are scanned; a table of ``Chromosome``, ``Start`` and ``End`` (0-based half-open), such
        as part of an object's ``var``; or ``None`` for the whole genome.
    motifs
        A MEME file, ``{name: probabilities (length, 4)}``, or a table of motifs, as ``"pwms"`` of
        :func:`eregtools.tl.motifs`.
    modality
        Of an object: whose elements.
    key
        Of an object: attributions (:func:`eregtools.tl.attribute`). What was attributed is scanned, and hits come with
        the sum of their attributions.
    window
        For genes without ``key``: bp around the TSS.
    threshold
        Largest p-value of a hit.
    both_strands
        Scan the reverse strand, too.
    genome
        Needed without an object; else as in :func:`eregtools.tl.attribute`.
    key_added
        Of an object: store the result as ``mdata.uns["eregtools"]["motif_hits"][key_added]``, too.

    Returns
    -------
    One row for each instance, in the order of the regions, then along the genome:

    ``motif``
        Its name.
    ``Chromosome``, ``Start``, ``End``, ``Strand``
        Place, 0-based half-open.
    ``sequence``
        The instance, 5′ to 3′ on its strand.
    ``score``
        Sum of log2(probability / 0.25), with 0.0001 added to probabilities.
    ``p_value``
        Probability that a random sequence of equally frequent bases has this score or more.
    ``element``
        Name of the element, or of the row of the table; not for the whole genome. An instance in two overlapping
        regions has two rows.
    ``attribution``
        With ``key``: sum of the attributions of its bases.

    Raises
    ------
    KeyError
        There is no such modality or attribution; a chromosome is not in the genome.
    ValueError
        The motifs hold no probabilities, or one name twice; a region lies outside the genome; an argument is out of
        range or goes with an object only.
    MemoryError
        The result would take more than ``settings.largest_result``, or than there is memory.
    ImportError
        memelite is missing.

    Notes
    -----
    FIMO: Grant, Bailey and Noble 2011, by memelite, which rounds scores to 0.1 for their p-values. An instance that
    holds an unknown base is left out.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> fasta = Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = fasta.write_text(">chr1\nTTTTTTTTGATTACATTTTTTTT\n")
    >>> motif = np.eye(4)[[0, 3, 0, 0, 3, 0, 1]]  # ATAATAC
    >>> er.tl.motif_hits(None, {"m": np.eye(4)[[2, 0, 3, 3, 0, 1, 0]]}, genome=fasta)  # doctest: +SKIP
      motif Chromosome  Start  End Strand sequence  score  p_value
    0     m       chr1      8   15      +  GATTACA   14.0  0.00006
    """
    matrices = as_motifs(motifs)
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; expected a p-value, more than 0 and at most 1")
    if isinstance(regions, MuData):
        validate(regions, full=False)
        places, found_in = _of_object(regions, modality, key, window), object_genome(regions, genome)
    else:
        if key is not None or key_added is not None:
            raise ValueError("key= and key_added= go with an object; regions= is none")
        if genome is None:
            raise ValueError("in which genome? pass genome=")
        found_in = get_genome(genome)
        places = _of_genome(found_in) if regions is None else _of_table(regions, found_in)
    bases = int((places[Var.end] - places[Var.start]).sum())
    expected = int(bases * threshold * len(matrices) * (1 + both_strands))
    require_memory(expected * _BYTES_A_HIT, f"about {expected:,} hits", "take fewer regions or motifs, or a smaller threshold")
    hits = scan(places, matrices, found_in, threshold=threshold, both_strands=both_strands)
    table = _table(hits, places, list(matrices))
    if key is not None:
        table["attribution"] = _attribution(regions, key, modality, hits, places)
    if regions is None:
        table = table.drop(columns="element")
    if key_added is not None:
        entry(regions, Uns.motif_hits)[key_added] = table.set_axis(table.index.astype(str))
    return table
