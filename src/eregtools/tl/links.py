"""Scores of enhancer-gene links."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._schema import (
    check_layer_name,
    layer_to_fill,
    link_positions,
    listed,
    put_layer,
    require_layer,
    require_modality,
    validate,
)
from eregtools.tl._models import record_result
from eregtools.tl.abc import abc_score
from eregtools.tl.expression import RunSettings, pick_samples, require_genes, run_epinformer

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

SimpleScore = Literal["distance", "contact", "activity"]

_FLOOR: Final = 1e-5
"""Added to every attention weight before the mean over layers, as the authors do."""


def attention(
    mdata: MuData,
    model: Any = None,
    *,
    assay: str = "RNA",
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    recipe: str | None = None,
    sample: str | Iterable[str] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    key_added: str = Layer.attention,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Score each link by the attention that EPInformer's promoter pays to the enhancer.

    The score is the mean over layers of the head-averaged weight (plus 1e-5), divided by its sum over the gene's
    enhancers; the promoter's weight on itself is left out.

    Parameters
    ----------
    mdata, model, fold, genome, sample, device, batch_size, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_expression`.
    assay
        Which published weights; the authors score links with the CAGE models.
    recipe
        ``None``: the recipe that the weights were trained with. ``"crispri-legacy"``: what the authors' CRISPRi
        benchmark fed to them, with its four deviations from training (log10(0.1 + activity); log10(0.1 + 10 ·
        contact) of a contact in 0..100; −1 for both in the promoter's slot; z-scored exon-junction density), which
        are needed to reproduce the published numbers and only for that.
    key_added
        Layer to write.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["links"].layers["attention"]``
        Score ``(n_samples, n_links)``, float32; sums to 1 over the links of a gene that were scored, NaN for links
        that are not the sample's, lie beyond the recipe's cap, or whose gene was not predicted.
    ``mdata.uns["eregtools"]["results"]``
        Which weights and recipe made it.

    Raises
    ------
    KeyError, ValueError, FileNotFoundError
        As :func:`eregtools.tl.predict_expression`.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026, and their CRISPRi notebook.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> er.tl.attention(mdata, "EPInformer-small-simulated", assay="RNA")
    >>> scores = er.get.links(mdata, layers="attention")
    >>> scores.groupby("gene", observed=True)["attention"].sum().round(3).unique()
    array([1.], dtype=float32)
    >>> strongest = scores.nlargest(5, "attention")[["gene_name", "enhancer", "distance", "attention"]]
    """
    mdata = mdata.copy() if copy else mdata
    check_layer_name(key_added, "key_added")
    require_genes(mdata)
    samples = pick_samples(mdata, sample)
    values = layer_to_fill(mdata[Modality.links], key_added, mdata.obs_names.get_indexer(samples))
    rows = []
    settings = RunSettings(assay, fold, genome, device, batch_size, allow_cross_cell, allow_leakage, recipe)
    for run in run_epinformer(mdata, model, samples, settings, "Scoring links"):
        row = mdata.obs_names.get_loc(run.sample)
        values[row, run.inputs.link] = attention_score(run.attention, run.inputs.offsets)
        rows.append(run.provenance)
    record_result(mdata, f"{Modality.links}:{key_added}", rows, samples)
    put_layer(mdata, Modality.links, key_added, values)
    return mdata if copy else None


def attention_score(weights: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Attention weights ``(n_layers, n_links)`` of genes' links to scores ``(n_links,)`` that sum to 1 a gene.

    Parameters
    ----------
    weights
        Attention of the promoter to each link's enhancer, averaged over heads.
    offsets
        Links of gene ``i`` are ``offsets[i]:offsets[i + 1]``.
    """
    mean = (weights.astype(np.float64) + _FLOOR).mean(axis=0)
    counts = np.diff(offsets)
    owner = np.repeat(np.arange(len(counts)), counts)
    total = np.bincount(owner, weights=mean, minlength=len(counts))
    return (mean / total[owner]).astype(np.float32)


def attention_abc(
    mdata: MuData,
    *,
    attention: str = Layer.attention,
    activity: str = Layer.activity,
    contact: str = Layer.contact,
    sample: str | Iterable[str] | None = None,
    key_added: str = Layer.attention_abc,
    copy: bool = False,
) -> MuData | None:
    """Score each link by attention × activity × contact, as its share of the gene's sum.

    Parameters
    ----------
    mdata
        The object, with links, activity, contacts and attention.
    attention
        Layer of links (:func:`attention`); the authors take that of a model that does not see contacts
        (``EPInformer-PE-Activity``), so that contact counts once.
    activity
        Layer of the elements.
    contact
        Layer of the links.
    sample
        Biosamples to score; all by default.
    key_added
        Layer to write.
    copy
        Return a new object instead.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["links"].layers["attention_abc"]``
        Score ``(n_samples, n_links)``, float32; sums to 1 over the links of a gene that have attention, activity and
        contact, or is 0 for all of them where the sum is; NaN for the others.
    ``mdata.uns["eregtools"]["results"]``
        What it was made from.

    Raises
    ------
    KeyError
        There are no links, attention, activity or contacts, or an unknown biosample.
    ValueError
        ``key_added`` cannot name a layer; a view.

    Notes
    -----
    Lin, Luo and Pinello, Nature Communications 2026: the best of their scores on CRISPRi-FlowFISH (average precision
    0.756; ABC 0.710). Units do not matter, since the score is a share.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.add_signal(mdata, {"K562": [1.0, 2, 3, 4]}, assay="DNase")
    >>> er.pp.activity(mdata, assays=["DNase"])
    >>> er.pp.link(mdata)
    >>> er.pp.add_contacts(mdata)
    >>> mdata["links"].layers["attention"] = mdata["links"].layers["contact"] * 0 + 0.5
    >>> er.tl.attention_abc(mdata)
    >>> er.get.links(mdata, layers="attention_abc", gene="g1")["attention_abc"].astype(float).round(2).tolist()
    [0.21, 0.42, 0.37]
    """
    validate(mdata, full=False)
    check_layer_name(key_added, "key_added")
    mdata = mdata.copy() if copy else mdata
    links = require_modality(mdata, Modality.links)
    weight = require_layer(links, attention, "er.tl.attention")
    amount = _of_enhancers(mdata, activity)
    frequency = require_layer(links, contact, "er.pp.add_contacts")
    about = {"attention": attention, "activity": activity, "contact": contact}
    product = weight.astype(np.float64) * amount * frequency
    _put_score(mdata, key_added, product, pick_samples(mdata, sample), about, as_share=True)
    return mdata if copy else None


def link_scores(
    mdata: MuData,
    *,
    scores: SimpleScore | Iterable[SimpleScore] = ("distance", "contact", "activity"),
    normalise: bool = False,
    activity: str = Layer.activity,
    contact: str = Layer.contact,
    sample: str | Iterable[str] | None = None,
    copy: bool = False,
) -> MuData | None:
    """Score each link by one number that every better score has to beat: nearness, contact or activity.

    Parameters
    ----------
    mdata
        The object, with links, and activity and contacts where they are asked for.
    scores
        ``"distance"`` (its absolute value in bp with a minus before it, so that near is high), ``"contact"``,
        ``"activity"`` of the element.
    normalise
        Divide contact and activity by their sum over the gene's links.
    activity
        Layer of the elements.
    contact
        Layer of the links.
    sample
        Biosamples to score; all by default.
    copy
        Return a new object instead.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["links"].layers["distance_score"]``, ``["contact_score"]``, ``["activity_score"]``
        Score ``(n_samples, n_links)``, float32, higher = stronger; NaN for links that are not the biosample's.
    ``mdata.uns["eregtools"]["results"]``
        What they were made from.

    Raises
    ------
    KeyError
        There are no links, activity or contacts, or an unknown biosample.
    ValueError
        An unknown score; a view.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> er.tl.link_scores(mdata, scores="distance")
    >>> mdata["links"].layers["distance_score"][0, :3].tolist()
    [-1250.0, -2250.0, -8300.0]
    """
    validate(mdata, full=False)
    chosen = [scores] if isinstance(scores, str) else list(dict.fromkeys(scores))
    if not chosen or (unknown := [name for name in chosen if name not in get_args(SimpleScore)]):
        found = listed(unknown) if chosen else "nothing"
        raise ValueError(f"scores= holds {found}; expected some of {listed(get_args(SimpleScore))}")
    mdata = mdata.copy() if copy else mdata
    links = require_modality(mdata, Modality.links)
    values: dict[str, tuple[str, NDArray[np.float32]]] = {}
    for name in chosen:
        if name == "distance":
            nearness = -np.abs(links.var[Var.distance].to_numpy())
            values[name] = Var.distance, np.broadcast_to(nearness, links.shape)
        elif name == "contact":
            values[name] = contact, require_layer(links, contact, "er.pp.add_contacts")
        else:
            values[name] = activity, _of_enhancers(mdata, activity)
    samples = pick_samples(mdata, sample)
    for kind, (source, of_links) in values.items():
        as_share = normalise and kind != "distance"
        about = {"source": source, "normalised": as_share}
        _put_score(mdata, Layer.score(kind), of_links, samples, about, as_share=as_share)
    return mdata if copy else None


def _of_enhancers(mdata: MuData, layer: str) -> NDArray[np.float32]:
    """Values of the elements for each link ``(n_samples, n_links)``."""
    _, enhancer = link_positions(mdata)
    values = require_layer(require_modality(mdata, Modality.enhancers), layer, "er.pp.activity")
    return values[:, enhancer]


def _put_score(
    mdata: MuData,
    layer: str,
    values: NDArray[Any],
    samples: list[str],
    about: dict[str, Any],
    *,
    as_share: bool,
) -> None:
    """Write values of the biosamples' own links, or their shares in the sum of the gene."""
    links = mdata.mod[Modality.links]
    own = require_layer(links, Layer.candidate, "er.pp.link") == 1
    gene, _ = link_positions(mdata)
    never = np.zeros(links.n_vars, dtype=bool)
    rows = [mdata.obs_names.get_loc(name) for name in samples]
    filled = layer_to_fill(links, layer, rows)
    for row in rows:
        of_sample = np.where(own[row], values[row].astype(np.float64), np.nan)
        filled[row] = abc_score(of_sample, gene, never) if as_share else of_sample
    put_layer(mdata, Modality.links, layer, filled)
    record_result(mdata, f"{Modality.links}:{layer}", [{"sample": name, **about} for name in samples], samples)
