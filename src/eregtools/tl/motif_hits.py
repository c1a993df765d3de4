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
from eregtools.tl._motif_search import check_result_name
from eregtools.tl._tomtom import strands
from eregtools.tl.expression import object_genome

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.io.meme import Motifs
    from eregtools.tl._motif_scan import Hits

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
        P-value that hits are below.
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
        Sum of log2((probability + 0.0001) / 0.25), each rounded to 0.1; instances of negative score are left out.
    ``p_value``
        Share of all sequences of this length that have this score or more.
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
    FIMO: Grant, Bailey and Noble 2011, by memelite, with equally frequent bases as background. An instance that holds
    an unknown base is left out. There are no q-values.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> fasta = Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = fasta.write_text(">chr1\nTTTTTTTTGATTACATTTTTTTT\n")
    >>> matrix = [[float(base == other) for other in "ACGT"] for base in "GATTACA"]
    >>> hits = er.tl.motif_hits(None, {"gattaca": matrix}, genome=fasta)
    >>> hits[["Start", "End", "Strand", "sequence"]]
       Start  End Strand sequence
    0      8   15      +  GATTACA
    """
    if key_added is not None:
        check_result_name(key_added)
    matrices = as_motifs(motifs)
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; expected a p-value, more than 0 and at most 1")
    if isinstance(regions, MuData):
        validate(regions, full=False)
        places, source = _of_object(regions, modality, key, window), object_genome(regions, genome)
    else:
        places, source = _without_object(regions, genome, key, key_added)
    bases = int((places[Var.end] - places[Var.start]).sum())
    expected = int(bases * threshold * len(matrices) * (1 + both_strands))
    require_memory(expected * _BYTES_A_HIT, f"about {expected:,} hits", "take fewer regions or a smaller threshold")
    hits = scan(places, matrices, source, threshold=threshold, both_strands=both_strands)
    table = _table(hits, places, list(matrices))
    if isinstance(regions, MuData) and key is not None:
        table["attribution"] = _attribution(regions[modality].varm[key], hits, places)
    if regions is None:
        table = table.drop(columns="element")
    if isinstance(regions, MuData) and key_added is not None:
        entry(regions, Uns.motif_hits)[key_added] = table.set_axis(table.index.astype(str))
    return table


def _of_object(mdata: MuData, modality: str, key: str | None, window: int) -> pd.DataFrame:
    """Regions of the elements that are to be scanned, by name."""
    elements = require_modality(mdata, modality)
    if key is not None:
        table = attributed_windows(mdata, key, modality)
        return table.set_axis(elements.var_names[table["row"]])
    if modality == Modality.genes:
        if window < 1:
            raise ValueError(f"window is {window}; expected at least 1 bp")
        start = elements.var[Var.tss].to_numpy(dtype=np.int64) - window // 2
        return elements.var[[Var.chromosome]].assign(**{Var.start: start, Var.end: start + window})
    if modality == Modality.links:
        raise ValueError("which sequence of the links? pass key=, or modality='enhancers' for all elements")
    return elements.var[list(INTERVAL)]


def _without_object(
    regions: pd.DataFrame | None, genome: Genome | str | Path | None, key: str | None, key_added: str | None
) -> tuple[pd.DataFrame, Genome]:
    """Regions of a table, or of the whole genome, and the genome."""
    if key is not None or key_added is not None:
        raise ValueError("key= and key_added= go with an object, and regions= is none")
    if genome is None:
        raise ValueError("regions of which genome? pass genome=")
    source = get_genome(genome)
    if regions is None:
        sizes = source.chrom_sizes
        return pd.DataFrame({Var.chromosome: list(sizes), Var.start: 0, Var.end: list(sizes.values())}), source
    if not isinstance(regions, pd.DataFrame):
        raise TypeError(f"regions= is a {type(regions).__name__}; expected a MuData, a table of intervals, or None")
    if missing := [name for name in INTERVAL if name not in regions]:
        raise KeyError(f"the regions have no column {', '.join(missing)}; expected {', '.join(INTERVAL)}")
    source.check_intervals(regions, "regions")
    return regions[list(INTERVAL)], source


def _table(hits: Hits, places: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    own = places.iloc[hits.region]
    start = own[Var.start].to_numpy(dtype=np.int64) + hits.start
    return pd.DataFrame(
        {
            "motif": pd.Categorical.from_codes(hits.motif, categories=pd.Index(names)),
            Var.chromosome: pd.Categorical(own[Var.chromosome].astype(str)),
            Var.start: start,
            Var.end: start + hits.length,
            Var.strand: strands(hits.reverse),
            "sequence": hits.sequence,
            "score": hits.score,
            "p_value": hits.p_value,
            "element": pd.Categorical(own.index.astype(str)),
        }
    )


def _attribution(values: NDArray[np.float16], hits: Hits, places: pd.DataFrame) -> NDArray[np.float32]:
    """Sum of the attributions of the bases of each hit."""
    row, first = (places[name].to_numpy()[hits.region] for name in ("row", "first"))
    total = np.empty(len(hits), dtype=np.float32)
    for some, length in hits.of_each_length():
        columns = (first + hits.start)[some, None] + np.arange(length)
        total[some] = values[row[some, None], columns].sum(axis=1, dtype=np.float32)
    return total
