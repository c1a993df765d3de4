"""Motifs in attributions."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from eregtools._keys import Uns, Var, Varm
from eregtools._logging import logger
from eregtools._schema import entry, validate
from eregtools._settings import settings
from eregtools.io.attributions import require_attributions
from eregtools.io.meme import as_motifs, as_table
from eregtools.tl._motif_search import PATTERN, Search, check_result_name, seqlets_and_patterns
from eregtools.tl._seqlets import read_windows
from eregtools.tl._tomtom import compare, strands
from eregtools.tl.expression import object_genome

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from eregtools.genome import Genome
    from eregtools.io.meme import Motifs, Pwm
    from eregtools.tl._patterns import Pattern
    from eregtools.tl._seqlets import Windows

_LIBRARY: Final = {"seqlets": "tangermeme", "modisco": "modisco-lite"}


def motifs(
    mdata: MuData,
    *,
    key: str,
    modality: Literal["enhancers", "genes", "links"] = "enhancers",
    method: Literal["seqlets", "modisco"] = "seqlets",
    motifs: Motifs | None = None,
    sign: Literal["both", "positive", "negative"] = "both",
    threshold: float | None = None,
    n_seqlets: int = 20_000,
    min_seqlets: int = 20,
    n_matches: int = 5,
    max_q: float = 0.05,
    genome: Genome | str | Path | None = None,
    rng: int | None = None,
    key_added: str = "motifs",
    copy: bool = False,
) -> MuData | None:
    r"""Find motifs that attributions stand out at, and tell which known ones they are like.

    Parameters
    ----------
    mdata
        Object with attributions (:func:`eregtools.tl.attribute`); with ``hypothetical=True`` for
        ``method="modisco"``.
    key
        Which attributions.
    modality
        Of which elements they are. An enhancer counts once for each of its genes in those of ``"links"``.
    method
        ``"seqlets"``: seqlets by the recursive algorithm of tangermeme, grouped by the motif that each is most like.
        ``"modisco"``: patterns by TF-MoDISco-lite, which knows no motifs; they are compared afterwards.
    motifs
        Known motifs: a MEME file, ``{name: probabilities (length, 4)}``, or a table of motifs. ``None``: no
        comparison, and with ``"seqlets"`` no patterns.
    sign
        Of the attributions that seqlets have.
    threshold
        For ``"seqlets"`` the largest p-value of a seqlet; ``None``: 0.01. For ``"modisco"`` the false discovery rate
        of seqlets; ``None``: 0.05.
    n_seqlets
        Seqlets to take at most: those of smallest p-value, or with ``"modisco"`` of each sign, from windows in random
        order.
    min_seqlets
        Seqlets of which a pattern has at least.
    n_matches
        Known motifs to list for each pattern.
    max_q
        With ``"seqlets"``, q-value up to which a seqlet belongs to the motif that it is most like.
    genome
        As in :func:`eregtools.tl.attribute`.
    rng
        Seed of the order of windows, and of what stands in for unknown bases; ``None``: ``settings.seed``.
    key_added
        Where to store.
    copy
        Return a new object instead.

    Returns
    -------
    ``None``, or the new object. Sets the following fields of ``mdata.uns["eregtools"]["motifs"]["motifs"]``, replacing
    what was under the key:

    ``["patterns"]``
        By name (``pos_pattern_0`` has the most seqlets of those with positive attribution): ``n_seqlets``;
        ``consensus``; ``contribution``, the mean attribution of a seqlet; with known motifs ``motif``, ``p_value`` and
        ``q_value`` of the nearest one.
    ``["seqlets"]``
        ``element``; ``Chromosome``, ``Start``, ``End`` (0-based half-open); ``Strand`` on which it is like its pattern
        (or motif); ``attribution``, the sum over its bases; ``p_value``, NaN with ``"modisco"``; ``pattern``, missing
        where it belongs to none; with ``"seqlets"`` and known motifs ``motif``, ``motif_p`` and ``motif_q`` of the
        nearest one. Seqlets of ``"modisco"`` are as long as their pattern.
    ``["pwms"]``, ``["contributions"]``
        Share of, and mean attribution to, each base at each position of each pattern: ``pattern``, ``position`` (from
        0), ``A``, ``C``, ``G``, ``T``.
    ``["matches"]``
        With known motifs, the nearest of each pattern: ``pattern``, ``rank``, ``motif``, ``p_value``, ``q_value`` (over
        the known motifs), ``score``, ``overlap`` in positions, ``offset`` of the pattern's begin in the motif, and
        ``Strand``, ``-`` where the pattern is like the motif's reverse complement.
    ``["parameters"]``
        How they were made.

    Raises
    ------
    KeyError
        There are no such attributions, or not of each base, which ``"modisco"`` needs.
    ValueError
        No seqlet or pattern is found; the motifs hold no probabilities, or one name twice; an argument is out of
        range.
    ImportError
        A library is missing.

    Notes
    -----
    TF-MoDISco: Shrikumar et al. 2018, by modisco-lite, with the parameters of its command. Patterns are trimmed to
    where their attributions are at least 0.3 of the largest, and three bases beyond. Tom-tom: Gupta et al. 2007, by
    memelite. P-values of seqlets rank them; they are no error rates, since attributions of neighbouring bases go
    together. With ``"seqlets"`` a pattern was chosen for being like its motif, so that its p-value is too good.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> words = {"AP-1": "ATGACTCATC", "ETS": "ACCGGAAGTG"}
    >>> motifs = {name: [[0.8 * (b == base) + 0.05 for b in "ACGT"] for base in word] for name, word in words.items()}
    >>> er.tl.attribute(mdata, "EPInformer-seq-small-simulated", method="saliency")
    >>> er.tl.motifs(mdata, key="activity_saliency", motifs=motifs, min_seqlets=3, max_q=0.5)
    >>> found = mdata.uns["eregtools"]["motifs"]["motifs"]
    >>> sorted(found["patterns"]["motif"].unique())
    ['AP-1', 'ETS']
    >>> largest = found["pwms"][found["pwms"]["pattern"] == "pos_pattern_0"]
    >>> largest.columns.tolist()
    ['pattern', 'position', 'A', 'C', 'G', 'T']

    Patterns found without known motifs, from hypothetical attributions, and then compared with known ones:

    >>> er.tl.attribute(mdata, "EPInformer-seq-small-simulated", hypothetical=True)  # doctest: +SKIP
    >>> er.tl.motifs(mdata, key="activity_deeplift", method="modisco", motifs="jaspar.meme")  # doctest: +SKIP
    """
    seed = settings.seed if rng is None else rng
    search = Search(method, sign, threshold, n_seqlets, min_seqlets, max_q, seed)
    check_result_name(key_added)
    if n_matches < 1:
        raise ValueError(f"n_matches is {n_matches}; expected at least 1")
    validate(mdata, full=False)
    mdata = mdata.copy() if copy else mdata
    elements = require_attributions(mdata, key, modality)
    if method == "modisco" and Varm.hypothetical(key) not in elements.varm:
        raise KeyError(
            f"method='modisco' needs attributions to each base at each position, which {modality} do not have under "
            f"{key!r}; run er.tl.attribute with hypothetical=True, or use method='seqlets'"
        )
    known = {} if motifs is None else as_motifs(motifs)
    windows = read_windows(mdata, key, modality, object_genome(mdata, genome))
    seqlets, patterns = seqlets_and_patterns(windows, search, known)
    found = _pattern_tables(patterns, known, n_matches)
    found["seqlets"] = _place(seqlets, windows, elements)
    found["parameters"] = {
        **asdict(search),
        "threshold": search.limit,
        "key": key,
        "modality": modality,
        "library": f"{_LIBRARY[method]} {version(_LIBRARY[method])}",
        "n_windows": len(windows),
        "n_known_motifs": len(known),
    }
    entry(mdata, Uns.motifs)[key_added] = found
    logger.info("%d seqlets in %d windows, %d patterns", len(seqlets), len(windows), len(patterns))
    return mdata if copy else None


def _pattern_tables(patterns: dict[str, Pattern], known: dict[str, Pwm], n_matches: int) -> dict[str, Any]:
    """Tables of the patterns, and of the known motifs that are like them."""
    table = pd.DataFrame(
        {
            "n_seqlets": np.array([len(one.seqlets) for one in patterns.values()], dtype=np.int64),
            "consensus": np.array([one.consensus for one in patterns.values()], dtype=object),
            "contribution": np.array(
                [one.seqlets["attribution"].mean() for one in patterns.values()], dtype=np.float64
            ),
        },
        index=pd.Index(list(patterns), dtype=object),
    )
    tables = {
        "patterns": table,
        "pwms": as_table({name: one.pwm for name, one in patterns.items()}),
        "contributions": as_table({name: one.contributions for name, one in patterns.items()}),
    }
    if known and patterns:
        matches = compare([one.pwm for one in patterns.values()], known, n_matches)
        tables["matches"] = matches.table(list(patterns), list(known))
        best = tables["matches"].set_index(PATTERN).query("rank == 1")
        tables["patterns"] = table.join(best[["motif", "p_value", "q_value"]].set_axis(best.index.astype(object)))
    return tables


def _place(seqlets: pd.DataFrame, windows: Windows, elements: AnnData) -> pd.DataFrame:
    """Seqlets with their place in the genome, as they are stored."""
    row = seqlets["row"].to_numpy()
    stored = pd.DataFrame(
        {
            "element": pd.Categorical(elements.var_names[windows.element[row]]),
            Var.chromosome: pd.Categorical(windows.chromosome[row]),
            Var.start: windows.start[row] + seqlets["start"].to_numpy(),
            Var.end: windows.start[row] + seqlets["end"].to_numpy(),
            Var.strand: strands(seqlets["reverse"].to_numpy(dtype=bool)),
        }
    )
    rest = seqlets.drop(columns=["row", "start", "end", "reverse"]).reset_index(drop=True)
    return stored.join(rest).set_axis(pd.RangeIndex(len(seqlets)).astype(str))
