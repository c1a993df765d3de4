"""Predict whether enhancers and promoters interact with EPIPAM."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import expit

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger
from eregtools._schema import (
    check_layer_name,
    layer_to_fill,
    link_distance,
    link_positions,
    listed,
    put_layer,
    require_modality,
)
from eregtools._settings import settings as session
from eregtools.ranges import pairs_within
from eregtools.tl._models import record_result
from eregtools.tl._pair_runs import Pairs, require_pairs, run_epipam
from eregtools.tl.expression import RunSettings, pick_samples

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome


def predict_interactions(
    mdata: MuData,
    model: Any,
    *,
    pairs: Literal["links", "labelled"] | Iterable[str] = "links",
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    sample: str | Iterable[str] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    shuffle: bool = False,
    rng: int | None = None,
    key_added: str | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Predict the probability that the enhancer and the promoter of each link interact, from their sequences.

    The first map of each distinct window is computed once, chromosome by chromosome, and what only training needs is
    left out; on a CPU the log odds are those of the plain network to the last bit, whatever the batch size.

    Parameters
    ----------
    mdata
        Object with ``links`` (:func:`eregtools.pp.pairs` or :func:`eregtools.pp.link`). Windows are those that
        :func:`eregtools.pp.pairs` stored; without stored ones they are centred on enhancers and on TSS.
    model
        An :class:`~eregtools.models.EPIPAM`, a folder, a Hugging Face repository, a list or ``{fold: model}`` of fold
        models, or ``{sample: any of these}``. No weights are published.
    pairs
        ``"links"``: all links of the biosample; ``"labelled"``: those with a label; or names of links.
    fold, genome, sample, device, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_expression`, for the chromosomes of the pairs.
    batch_size
        Pairs that go through the network together; of no consequence for the result.
    shuffle
        Predict from shuffled sequence, its dinucleotides kept; the result is marked.
    rng
        Seed of the shuffling; ``None``: ``settings.seed``.
    key_added
        Layer to write; ``None``: ``"interaction"``, and ``"interaction_shuffled_pred"`` for shuffled sequence.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["links"].layers["interaction"]``
        Probability ``(n_samples, n_links)``, float32; NaN for links that are not the biosample's, were not asked for,
        have a window without a known base, or lie on a chromosome that no fold model leaves out.
    ``mdata.uns["eregtools"]["results"]``
        Which weights made it, one row a biosample and fold.

    Raises
    ------
    KeyError
        There are no links or labels; an unknown link or biosample; no fold model serves these chromosomes.
    ValueError
        The stored windows have another length than the model reads; weights of another biosample or kind; a numbered
        fold whose model saw the chromosomes.

    Notes
    -----
    Liu, Zhu and Zhang, Computational Biomedicine 2026. Negative pairs of published tables differ from positive ones by
    much that is not interaction: judge this layer with :func:`eregtools.tl.evaluate_interactions`, which puts
    coordinates beside it.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> widths = {"enhancer_width": 600, "promoter_width": 600}
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated", **widths)
    >>> er.tl.predict_interactions(mdata, "EPIPAM-small-simulated", genome=simulation.genome)
    >>> links = mdata["links"]
    >>> links.to_df("interaction").T.groupby(links.var["label"])["simulated"].median().round(1).to_dict()
    {0: 0.0, 1: 1.0}
    """
    mdata = mdata.copy() if copy else mdata
    key = key_added or (Layer.shuffled_pred(Layer.interaction) if shuffle else Layer.interaction)
    check_layer_name(key, "key_added")
    require_pairs(mdata)
    links = require_modality(mdata, Modality.links)
    samples = pick_samples(mdata, sample)
    all_pairs = Pairs(*link_positions(mdata))
    wanted = _wanted_links(mdata, pairs, samples)
    values = layer_to_fill(links, key, mdata.obs_names.get_indexer(samples))
    settings = RunSettings(Layer.interaction, fold, genome, device, batch_size, allow_cross_cell, allow_leakage)
    if shuffle:
        settings = replace(settings, shuffled=session.seed if rng is None else rng)
    rows = []
    for run in run_epipam(mdata, model, all_pairs, wanted, settings, "Predicting interactions"):
        values[mdata.obs_names.get_loc(run.sample), run.rows] = probability(run.logit)
        rows.append(run.provenance)
    for name in samples:
        made = int(np.isfinite(values[mdata.obs_names.get_loc(name)]).sum())
        logger.info("%s: %d of %d links predicted", name, made, len(wanted[name]))
    record_result(mdata, f"{Modality.links}:{key}", rows, samples)
    put_layer(mdata, Modality.links, key, values)
    return mdata if copy else None


def scan_interactions(
    mdata: MuData,
    model: Any,
    *,
    chromosome: str | Iterable[str] | None = None,
    max_distance: float = 1_000_000,
    min_distance: float = 0,
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    sample: str | Iterable[str] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
) -> pd.DataFrame:
    """Predict every enhancer with every promoter within a distance, whether they are linked or not.

    The object is left as it is: its links may be labelled pairs. To have such pairs as links, build them with
    :func:`eregtools.pp.link` and use :func:`predict_interactions`.

    Parameters
    ----------
    mdata
        Object with enhancers and genes (or promoters).
    model, fold, genome, sample, device, batch_size, allow_cross_cell, allow_leakage
        As in :func:`predict_interactions`.
    chromosome
        Chromosomes to scan; ``None``: all.
    max_distance, min_distance
        Largest and smallest distance between the TSS and the middle of the enhancer in bp.

    Returns
    -------
    One row a pair and biosample, by gene, then distance: ``sample``, ``Chromosome``, ``gene``, ``enhancer``,
    ``distance`` (negative: upstream), ``interaction`` (probability, float32; NaN where it was not predicted) and
    ``fold`` of the model (-1: of none).

    Raises
    ------
    KeyError
        An unknown chromosome or biosample; no fold model serves these chromosomes.
    ValueError
        As :func:`predict_interactions`; no pair lies within the distance.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> widths = {"enhancer_width": 600, "promoter_width": 600}
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated", **widths)
    >>> table = er.tl.scan_interactions(
    ...     mdata, "EPIPAM-small-simulated", chromosome="chr1", max_distance=20_000, genome=simulation.genome
    ... )
    >>> table.columns.tolist()
    ['sample', 'Chromosome', 'gene', 'enhancer', 'distance', 'interaction', 'fold']
    >>> table["Chromosome"].unique().tolist(), bool(table["distance"].abs().max() <= 20_000)
    (['chr1'], True)
    """
    require_pairs(mdata)
    samples = pick_samples(mdata, sample)
    genes, enhancers = mdata[Modality.genes].var, mdata[Modality.enhancers].var
    gene, enhancer = pairs_within(genes, enhancers, max_distance, min_distance, "both")
    if chromosome is not None:
        names = [chromosome] if isinstance(chromosome, str) else list(chromosome)
        there = genes[Var.chromosome].astype(str)
        if unknown := [name for name in names if not (there == name).any()]:
            raise KeyError(f"no gene lies on {unknown[0]!r}; the object has {listed(there.unique())}")
        kept = there.isin(names).to_numpy()[gene]
        gene, enhancer = gene[kept], enhancer[kept]
    if not len(gene):
        raise ValueError(f"no enhancer lies between {min_distance:,} and {max_distance:,} bp of a TSS")
    own = np.asarray(mdata[Modality.enhancers].layers[Layer.candidate])
    wanted = {name: np.flatnonzero(own[mdata.obs_names.get_loc(name)][enhancer] > 0) for name in samples}
    settings = RunSettings(Layer.interaction, fold, genome, device, batch_size, allow_cross_cell, allow_leakage)
    logit = {name: np.full(len(gene), np.nan, dtype=np.float32) for name in samples}
    of_fold = {name: np.full(len(gene), -1) for name in samples}
    for run in run_epipam(mdata, model, Pairs(gene, enhancer), wanted, settings, "Scanning pairs"):
        logit[run.sample][run.rows], of_fold[run.sample][run.rows] = run.logit, run.fold
    parts = []
    for name, rows in wanted.items():
        part = {
            "sample": name,
            Var.chromosome: genes[Var.chromosome].astype(object).to_numpy()[gene[rows]],
            Var.gene: genes.index.to_numpy(dtype=object)[gene[rows]],
            Var.enhancer: enhancers.index.to_numpy(dtype=object)[enhancer[rows]],
            Var.distance: link_distance(genes.iloc[gene[rows]], enhancers.iloc[enhancer[rows]]),
            Layer.interaction: probability(logit[name][rows]),
            Var.fold: of_fold[name][rows],
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def probability(logit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of log odds, float32; through float64, where no value depends on its place in the array."""
    return np.asarray(expit(logit.astype(np.float64)), dtype=np.float32)


def _wanted_links(mdata: MuData, pairs: str | Iterable[str], samples: list[str]) -> dict[str, NDArray[np.int64]]:
    """Links of each biosample that are asked for."""
    links = mdata[Modality.links]
    own = np.asarray(links.layers[Layer.candidate])[mdata.obs_names.get_indexer(samples)] > 0
    if not isinstance(pairs, str):
        own &= np.isin(np.arange(links.n_vars), named_links(mdata, pairs))
    elif pairs == "labelled":
        if Var.label not in links.var:
            raise KeyError("the links have no label; build the object with er.pp.pairs, or pass pairs='links'")
        own &= links.var[Var.label].notna().to_numpy()
    elif pairs != "links":
        raise ValueError(f"pairs is {pairs!r}; expected 'links', 'labelled', or names of links in a list")
    return {name: np.flatnonzero(of_sample) for name, of_sample in zip(samples, own, strict=True)}


def named_links(mdata: MuData, names: Iterable[str]) -> NDArray[np.int64]:
    """Rows of links by their names."""
    links = mdata[Modality.links]
    chosen = list(dict.fromkeys(names))
    if not chosen:
        raise ValueError("no links are named; name at least one")
    rows = links.var_names.get_indexer(chosen)
    if (rows < 0).any():
        missing = [name for name, row in zip(chosen, rows, strict=True) if row < 0]
        raise KeyError(
            f"{len(missing)} of {len(chosen)} names are no link of the object, first {missing[0]!r}; they look like "
            f"{links.var_names[0]!r}"
        )
    return np.asarray(rows, dtype=np.int64)
