"""Knock out enhancers and promoters in silico, as CRISPRi does in cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from eregtools._keys import UNS, Layer, Modality, Uns
from eregtools._logging import logger
from eregtools._schema import check_layer_name, entry, layer_to_fill, put_layer
from eregtools.models.recipes import Target
from eregtools.tl._knock_outs import Targets, Wanted, What, knock_out, narrowed, read_targets, require_effect
from eregtools.tl._models import biosample_of, record_result
from eregtools.tl.expression import (
    Jobs,
    RunSettings,
    encode_slots,
    epinformer_jobs,
    object_genome,
    pick_samples,
    reads_sequence,
    require_genes,
)

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from mudata import MuData

    from eregtools.genome import Genome

Scale = Literal["linear", "model"]

_LEAST = 0.1
"""Pseudocounts of linear expression below which a gene has no fractional change."""

_NAMES = ["sample", "gene", "set"]
_COLUMNS = [*_NAMES, "n_enhancers", "wild_type", "perturbed", "change"]


def perturb(
    mdata: MuData,
    model: Any = None,
    *,
    targets: Targets = "each",
    what: What = "sequence",
    scale: Scale = "linear",
    assay: str = "RNA",
    gene: str | Iterable[str] | None = None,
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    recipe: str | None = None,
    sample: str | Iterable[str] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    key_added: str = Layer.perturbation,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Predict how expression changes when enhancers or promoters are knocked out.

    Each distinct sequence is encoded once. A knock-out then is attention over the gene's few slots, so all links of
    a genome take little longer than :func:`eregtools.tl.predict_expression`; the numbers are those of the plain
    network.

    Parameters
    ----------
    mdata, model, fold, genome, sample, device, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_expression`.
    targets
        ``"each"``: every link's enhancer by itself, in the link's gene. ``"promoter"``: the promoter of each gene.
        Sets of enhancers, as ``{name: enhancers}`` or a list of lists (named ``set1``, ``set2``, …): all
        enhancers of a set together, in every gene that is linked to one of them.
    what
        ``"sequence"``: the enhancer is taken out of the gene, as the authors do: its sequence becomes padding, which
        the model never looks at, so its features count no more. ``"features"``: the enhancer stays with its
        sequence and its distance, but without signal: activity, contact and tracks, as far as the model takes them,
        are those of a value of 0. This is CRISPRi that silences and leaves DNA as it is. ``"both"``: for an enhancer
        the same as ``"sequence"``. For a promoter, which the model cannot do without, ``"sequence"`` leaves an empty
        window, ``"features"`` sets the promoter's activity and tracks to 0, and ``"both"`` does both; mRNA features
        stay.
    scale
        ``"linear"``: fraction of expression, (knocked out − wild type) / wild type, both taken back from the scale
        that the model was trained to predict; −0.3 is a loss of 30 %. ``"model"``: the plain difference on that
        scale.
    assay
        ``"CAGE"`` or ``"RNA"``: which published weights, and which assay of the object says how expression was
        transformed.
    gene
        Genes to ask about, by id or name; ``None``: all. Only they and their enhancers are computed.
    recipe
        As in :func:`eregtools.tl.attention`.
    batch_size
        Knock-outs that go through attention together; ``None``: as many as fit a bounded memory. Of no
        consequence for the result.
    key_added
        Layer to write, or name of the table of sets.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["links"].layers["perturbation"]`` (``targets="each"``)
        Change of the link's gene without the link's enhancer ``(n_samples, n_links)``, float32; NaN for links that
        are not the sample's, lie beyond the recipe's cap, or whose gene was not asked for or not predicted.
    ``mdata["genes"].layers["perturbation"]`` (``targets="promoter"``)
        Change of the gene ``(n_samples, n_genes)``, float32; NaN where none was made.
    ``mdata.uns["eregtools"]["perturbations"]["perturbation"]`` (sets)
        Table with one row for each sample, set and gene that loses an enhancer: ``sample``, ``gene``, ``set``,
        ``n_enhancers`` (of the set, in this gene), ``wild_type`` and ``perturbed`` expression on the chosen scale,
        and ``change``.
    ``mdata.uns["eregtools"]["results"]``
        Which weights and recipe made it, and what was knocked out on which scale.

    Raises
    ------
    KeyError
        An unknown gene or enhancer; a feature of the recipe is missing; no weights for the biosample.
    ValueError
        ``targets`` are no sets, or one is empty; genes or enhancers without a link; a model that reads no enhancers,
        or none of the features that ``what`` would silence; for the linear scale, it is not known what the model
        predicts; weights of another biosample, assay or architecture; the object is a view.
    FileNotFoundError
        The weights are not at hand.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026 (in-silico perturbation at KLF1).

    The linear scale is 10^p − 1 for log10(1 + x), and 10^(p · sd + mean) − 0.1 for the z-score of log10(x + 0.1). The
    transform, with mean and sd, is the one stored with the weights; for weights that do not say, the one with which
    the assay was added to the object (:func:`eregtools.pp.add_expression`). A gene whose wild type is predicted
    below a tenth of the pseudocount (0.1 for CAGE, 0.01 RPKM for RNA), or negative, has no fraction worth the name:
    its change is NaN, and their number is logged. A knock-out may come out below zero expression, and so lose
    more than 100 %; this is left as it is.

    A gene without enhancers has no knock-out but that of its promoter. Where a gene has more enhancers than the
    recipe takes, the next one does not take the place of the one that is knocked out. Read the order of the changes
    rather than their size: at KLF1 the preprint's lie between −1.6 % and +0.5 %, and correlate with measured effects at
    r = 0.88.

    ``settings.embedding_cache`` lets a further call with the same weights go without encoding.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> er.tl.perturb(mdata, "EPInformer-small-simulated", assay="RNA", gene=["sim1", "sim2"])
    >>> changes = er.get.links(mdata, gene="sim1", layers="perturbation")
    >>> largest_loss = changes.nsmallest(1, "perturbation")["enhancer"].item()
    >>> pair = changes["enhancer"].head(2).tolist()
    >>> er.tl.perturb(mdata, "EPInformer-small-simulated", assay="RNA", targets={"both": pair}, key_added="pair")
    >>> table = mdata.uns["eregtools"]["perturbations"]["pair"]
    >>> table.loc[table["gene"] == "SIMG0001", ["sample", "set", "n_enhancers"]]
      sample   set  n_enhancers
    0    sim  both            2
    """
    mdata = mdata.copy() if copy else mdata
    check_layer_name(key_added, "key_added")
    for name, value, known in (("what", what, get_args(What)), ("scale", scale, get_args(Scale))):
        if value not in known:
            raise ValueError(f"{name}={value!r}: expected {', '.join(map(repr, known))}")
    require_genes(mdata)
    samples = pick_samples(mdata, sample)
    wanted = read_targets(mdata, targets, gene, samples)
    settings = RunSettings(assay, fold, genome, device, batch_size, allow_cross_cell, allow_leakage, recipe)
    jobs = epinformer_jobs(mdata, model, samples, settings)
    sequence = object_genome(mdata, genome) if any(reads_sequence(group) for _, group in jobs.values()) else None
    require_effect(jobs, wanted, what)
    scales = _scales(mdata, jobs, assay) if scale == "linear" else {}
    tables: list[pd.DataFrame] = []
    rows = []
    about = {"targets": wanted.kind, "what": what, "scale": scale}
    for part in encode_slots(mdata, sequence, narrowed(jobs, wanted), settings, "Knocking out"):
        table = knock_out(part, wanted, what, batch_size)
        if scale == "linear":
            _to_expression(table, scales[part.job.sample, part.source.key])
        else:
            table["change"] = table["perturbed"] - table["wild_type"]
        if len(table):
            tables.append(table.assign(sample=part.job.sample))
            rows.append(part.job.provenance | about)
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*_COLUMNS, "link"])
    _report(found, samples)
    _store(mdata, found, wanted, samples, key_added, rows)
    return mdata if copy else None


def output_target(mdata: MuData, sample: str, assay: str, about: Mapping[str, Any]) -> Target:
    """Transform of expression that a model predicts.

    Parameters
    ----------
    sample
        Biosample that is predicted.
    about
        Provenance of the weights. Where it does not say, the assay was added to the object as the model learnt it.

    Raises
    ------
    ValueError
        Neither the weights nor the object tell.
    """
    way_out = "pass scale='model' for the plain difference of predictions"
    stated = about.get("target") or _as_added(mdata, sample, assay, about, way_out)
    try:
        return Target(**stated)
    except ValueError as error:
        raise ValueError(f"{error}; {way_out}") from None


def _as_added(mdata: MuData, sample: str, assay: str, about: Mapping[str, Any], way_out: str) -> dict[str, Any]:
    """Name, mean and sd of the transform with which the assay was added to the object."""
    name = about.get("name", "the model")
    record = mdata.uns.get(UNS, {}).get(Uns.transforms, {}).get(assay)
    if record is None or record["name"] == "none":
        how = "as it is" if record is not None else "not by er.pp.add_expression"
        raise ValueError(
            f"what {name} predicts is not known, so there is no linear scale: the weights do not say, and {assay} was "
            f"added to the object {how}; add it with transform=, or {way_out}"
        )
    if "moments" not in record:
        return {"name": record["name"]}
    trained_on = str(about.get("biosample", sample))
    row = sample if trained_on == biosample_of(mdata, sample) else trained_on
    mean, sd = (float(record["moments"][key].get(row, np.nan)) for key in ("mean", "sd"))
    if not np.isfinite([mean, sd]).all():
        raise ValueError(
            f"the mean and sd of {assay} in {row!r}, on which {name} was trained, are not in the object, so there is "
            f"no linear scale; {way_out}"
        )
    return {"name": record["name"], "mean": mean, "sd": sd}


def _scales(mdata: MuData, jobs: Jobs, assay: str) -> dict[tuple[str, Any], Target]:
    """Scale of each model's output, by biosample and model."""
    return {
        (job.sample, source.key): output_target(mdata, job.sample, assay, source.provenance)
        for source, group in jobs.values()
        for job in group
    }


def _to_expression(table: pd.DataFrame, target: Target) -> None:
    """Take expression back to the linear scale, and add the fraction by which it changes."""
    for column in ("wild_type", "perturbed"):
        table[column] = target.linear(table[column])
    enough = table["wild_type"] >= _LEAST * target.pseudocount
    table["change"] = (table["perturbed"] / table["wild_type"].where(enough)) - 1


def _report(found: pd.DataFrame, samples: list[str]) -> None:
    for name in samples:
        own = found[found["sample"] == name]
        logger.info("%s: %d knock-outs in %d genes", name, len(own), own["gene"].nunique())
        if low := own.loc[own["change"].isna(), "gene"].nunique():
            logger.warning(
                "%s: %d genes are expressed too little for a fraction of it; their change is NaN "
                "(scale='model' has none)",
                name,
                low,
            )


def _store(
    mdata: MuData, found: pd.DataFrame, wanted: Wanted, samples: list[str], key: str, rows: list[dict[str, Any]]
) -> None:
    """Write the changes into the layer or the table that they belong to."""
    if wanted.kind == "sets":
        tables = entry(mdata, Uns.perturbations)
        tables[key] = _with_names(mdata, found, wanted, tables.get(key), samples)
        record_result(mdata, f"{Uns.perturbations}:{key}", rows, samples)
        return
    modality, place = (Modality.links, "link") if wanted.kind == "each" else (Modality.genes, "gene")
    values = layer_to_fill(mdata[modality], key, mdata.obs_names.get_indexer(samples))
    values[mdata.obs_names.get_indexer(found["sample"]), found[place].to_numpy(dtype=np.int64)] = found["change"]
    record_result(mdata, f"{modality}:{key}", rows, samples)
    put_layer(mdata, modality, key, values)


def _with_names(
    mdata: MuData, found: pd.DataFrame, wanted: Wanted, earlier: pd.DataFrame | None, samples: list[str]
) -> pd.DataFrame:
    """Table of sets with names for numbers, after what an earlier call made of other biosamples."""
    found = found.sort_values(["set", "gene"], kind="stable")
    named = found.assign(
        gene=mdata[Modality.genes].var_names.to_numpy()[found["gene"].to_numpy(dtype=np.int64)],
        set=np.array(wanted.names, dtype=object)[found["set"].to_numpy(dtype=np.int64)],
    )[_COLUMNS]
    if earlier is not None:
        kept = earlier[~earlier["sample"].isin(samples).to_numpy()]
        named = pd.concat([kept.astype(dict.fromkeys(_NAMES, object)), named]) if len(kept) else named
    return named.astype(dict.fromkeys(_NAMES, "category")).reset_index(drop=True).rename(index=str)
