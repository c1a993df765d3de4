"""Position attention of a link, on the genome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from eregtools._keys import UNS, Modality, Uns, Var, Varm
from eregtools._schema import link_positions, listed, require_modality
from eregtools.ranges import merge_touching

if TYPE_CHECKING:
    from mudata import MuData

_MODALITY: Final = {"enhancer": Modality.enhancers, "promoter": Modality.genes}


def attention_bins(
    mdata: MuData,
    link: str,
    *,
    side: Literal["enhancer", "promoter"] = "enhancer",
    stage: int = 2,
    key: str = "position_attention",
) -> pd.DataFrame:
    """Bins of the enhancer or promoter of a link on the genome, with their weights.

    Parameters
    ----------
    mdata
        Object with position attention (:func:`eregtools.tl.position_attention`).
    link
        Name of the link.
    side
        Whose bins.
    stage
        Of which stage.
    key
        Where it was stored.

    Returns
    -------
    One row a bin, in the order of the window: ``Chromosome``, ``Start``, ``End`` of the bases that the bin sees (they
    overlap those of its neighbours), ``tile_start``, ``tile_end`` of its tile, and ``weight``; 0-based half-open.

    Raises
    ------
    KeyError
        There is no such link, or no attention of this stage.
    ValueError
        The link has none.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> widths = {"enhancer_width": 600, "promoter_width": 600}
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated", **widths)
    >>> link = mdata["links"].var_names[0]
    >>> er.tl.position_attention(mdata, "EPIPAM-small-simulated", link, genome=simulation.genome)
    >>> bins = er.get.attention_bins(mdata, link)
    >>> bins[["Chromosome", "Start", "End", "tile_start", "tile_end"]].head(2)
      Chromosome  Start    End  tile_start  tile_end
    0       chr1  11700  11852       11760     11792
    1       chr1  11732  11884       11792     11824
    >>> float(bins["weight"].sum().round(3))
    1.0
    """
    stages = _stages(mdata, key)
    links = require_modality(mdata, Modality.links)
    if link not in links.var_names:
        raise KeyError(f"{link!r} is no link of the object; they look like {links.var_names[0]!r}")
    weights = _stored(mdata, Varm.bin_weights(key, side, stage), stages, stage)
    row = links.var_names.get_loc(link)
    if np.isnan(weights[row]).any():
        raise ValueError(f"{link} has no position attention under {key!r}; name it in er.tl.position_attention")
    return _bins(mdata, key, side, np.array([row]), stages, stage).drop(columns="row")


def attention_relations(mdata: MuData, link: str, *, stage: int = 2, key: str = "position_attention") -> np.ndarray:
    """Relations between the bins of a link's enhancer and promoter.

    Parameters
    ----------
    mdata, link, stage, key
        As in :func:`attention_bins`.

    Returns
    -------
    Array ``(enhancer bins, promoter bins)``, float32.

    Raises
    ------
    KeyError
        There is no such link, or its relations were not stored.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> widths = {"enhancer_width": 600, "promoter_width": 600}
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated", **widths)
    >>> link = mdata["links"].var_names[0]
    >>> er.tl.position_attention(mdata, "EPIPAM-small-simulated", link, relations=[2], genome=simulation.genome)
    >>> er.get.attention_relations(mdata, link).shape
    (15, 15)
    """
    _stages(mdata, key)
    links = require_modality(mdata, Modality.links)
    if link not in links.var_names:
        raise KeyError(f"{link!r} is no link of the object; they look like {links.var_names[0]!r}")
    about = mdata.uns[UNS][Uns.position_attention][key]
    if (stored := f"relation{stage}") in about:
        at = np.flatnonzero(np.asarray(about[f"{stored}_links"], dtype=object) == link)
        found = about[stored][at[0]] if len(at) else None
    else:
        values = links.varm.get(Varm.relations(key, stage))
        found = None if values is None else values[links.var_names.get_loc(link)]
    if found is None or np.isnan(found).any():
        raise KeyError(
            f"{link} has no relations of stage {stage} under {key!r}; run er.tl.position_attention with names= of the "
            f"link and relations=[{stage}]"
        )
    return np.asarray(found)


def attended_regions(
    mdata: MuData,
    names: str | Iterable[str] | None = None,
    *,
    side: Literal["enhancer", "promoter"] = "enhancer",
    stage: int = 2,
    n_bins: int = 3,
    key: str = "position_attention",
) -> pd.DataFrame:
    """Find the regions of each link's enhancer or promoter that position attention weights most.

    The bins with the largest weights, merged where what they see overlaps: a table of intervals, as
    :func:`eregtools.tl.motif_hits` takes them to search them for motifs.

    Parameters
    ----------
    mdata
        Object with position attention (:func:`eregtools.tl.position_attention`).
    names
        Links; ``None``: all that have attention.
    side
        Regions of the enhancers or of the promoters.
    stage
        Of which stage.
    n_bins
        Bins of each link to take.
    key
        Where it was stored.

    Returns
    -------
    ``Chromosome``, ``Start``, ``End`` (0-based half-open), ``link``, ``weight`` (the largest of the bins) and ``times``
    (that weight over what it is if all bins are alike), by link, then position.

    Raises
    ------
    KeyError
        There is no attention of this stage, or an unknown link.
    ValueError
        `n_bins` is below 1, or no link has attention.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> widths = {"enhancer_width": 600, "promoter_width": 600}
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated", **widths)
    >>> names = mdata["links"].var_names[:2]
    >>> er.tl.position_attention(mdata, "EPIPAM-small-simulated", names, genome=simulation.genome)
    >>> regions = er.get.attended_regions(mdata, n_bins=1)
    >>> len(regions), regions.columns.tolist()
    (2, ['Chromosome', 'Start', 'End', 'link', 'weight', 'times'])

    Such intervals can be searched for motifs:

    >>> hits = er.tl.motif_hits(regions, "jaspar.meme", genome=simulation.genome)  # doctest: +SKIP
    """
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}; expected at least 1")
    stages = _stages(mdata, key)
    links = require_modality(mdata, Modality.links)
    weights = _stored(mdata, Varm.bin_weights(key, side, stage), stages, stage)
    rows = np.flatnonzero(~np.isnan(weights).any(axis=1))
    if names is not None:
        chosen = [names] if isinstance(names, str) else list(names)
        if unknown := [name for name in chosen if name not in links.var_names[rows]]:
            raise KeyError(f"{len(unknown)} links have no attention under {key!r}, first {unknown[0]!r}")
        rows = links.var_names.get_indexer(chosen)
    if not len(rows):
        raise ValueError(f"no link has position attention under {key!r}")
    bins = _bins(mdata, key, side, rows, stages, stage)
    ranked = bins.sort_values("weight", ascending=False, kind="stable").groupby("row", sort=False).head(n_bins)
    # Regions of different links stay apart: each link is a chromosome of its own.
    unions, number = merge_touching(ranked.assign(**{Var.chromosome: ranked["row"]}))
    weight = ranked["weight"].groupby(number).max()
    link = unions[Var.chromosome].to_numpy(dtype=np.int64)
    chromosome = bins.drop_duplicates("row").set_index("row")[Var.chromosome]
    table = pd.DataFrame(
        {
            Var.chromosome: chromosome.loc[link].to_numpy(dtype=object),
            Var.start: unions[Var.start].to_numpy(),
            Var.end: unions[Var.end].to_numpy(),
            "link": links.var_names.to_numpy(dtype=object)[link],
            "weight": weight.to_numpy(),
            "times": weight.to_numpy() * weights.shape[1],
        }
    )
    order = np.lexsort((table[Var.start], pd.Series(np.arange(len(rows)), index=rows).loc[link]))
    return table.iloc[order].reset_index(drop=True)


def _stages(mdata: MuData, key: str) -> pd.DataFrame:
    """Table of the stages of position attention."""
    stored: dict[str, Any] = mdata.uns.get(UNS, {}).get(Uns.position_attention, {})
    if key not in stored:
        raise KeyError(
            f"there is no position attention {key!r} (there are {listed(stored)}); run er.tl.position_attention first"
        )
    table: pd.DataFrame = stored[key]["stages"]
    return table


def _stored(mdata: MuData, name: str, stages: pd.DataFrame, stage: int) -> np.ndarray:
    links = mdata[Modality.links]
    if name not in links.varm:
        raise KeyError(
            f"there are no weights of stage {stage} ({name!r}); the model has stages {listed(stages.index)}: name it "
            "in er.tl.position_attention(stages=…)"
        )
    return np.asarray(links.varm[name])


def _bins(mdata: MuData, key: str, side: str, rows: np.ndarray, stages: pd.DataFrame, stage: int) -> pd.DataFrame:
    """Bins of some links, one after the other."""
    links = mdata[Modality.links]
    weights = np.asarray(links.varm[Varm.bin_weights(key, side, stage)])[rows]
    stride, offset, tile_offset, field = (
        int(stages[column].loc[str(stage)]) for column in ("stride", "offset", "tile_offset", "receptive_field")
    )
    gene, enhancer = link_positions(mdata)
    elements = mdata[_MODALITY[side]].var.iloc[(enhancer if side == "enhancer" else gene)[rows]]
    first = links.var[Var.window_start(f"{key}_{side}")].to_numpy(dtype=np.int64)[rows]
    n = weights.shape[1]
    at = first[:, None] + stride * np.arange(n)
    start = at + offset
    tile = at + tile_offset
    return pd.DataFrame(
        {
            Var.chromosome: np.repeat(elements[Var.chromosome].astype(object).to_numpy(), n),
            Var.start: np.maximum(start, first[:, None]).ravel(),
            Var.end: (start + field).ravel(),
            "tile_start": tile.ravel(),
            "tile_end": (tile + stride).ravel(),
            "weight": weights.ravel(),
            "row": np.repeat(rows, n),
        }
    )
