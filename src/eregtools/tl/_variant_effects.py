"""Predictions of activity and expression with both alleles of variants."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import Modality, Var
from eregtools.batches.alleles import altered_windows, element_window_starts
from eregtools.batches.encode import UNKNOWN
from eregtools.batches.genes import enhancer_codes, promoter_codes
from eregtools.tl._explaining import activity_models
from eregtools.tl._variant_sites import NOWHERE
from eregtools.tl.expression import encode_slots

if TYPE_CHECKING:
    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.tl._variant_sites import Variants
    from eregtools.tl.expression import Encoded, Jobs, RunSettings

ACTIVITY, EXPRESSION = "activity", "expression"
_WINDOWS_PER_CHUNK = 4_096
_LINKS_PER_CHUNK = 100_000


def empty_effects(what: str, n: int) -> pd.DataFrame:
    """Columns of effects ``(n,)`` of which none was predicted."""
    values = np.full(n, np.nan, dtype=np.float32)
    columns: dict[str, Any] = {f"{what}_{part}": values.copy() for part in ("ref", "alt", "effect")}
    columns[f"{what}_model"] = np.full(n, None, dtype=object)
    columns[f"{what}_fold"] = np.full(n, np.nan)
    return pd.DataFrame(columns)


def _fill(out: pd.DataFrame, what: str, rows: NDArray[np.int64], ref: Any, alt: Any, about: dict[str, Any]) -> None:
    known = np.isfinite(ref) & np.isfinite(alt)
    rows = rows[known]
    out.loc[rows, f"{what}_ref"] = ref[known]
    out.loc[rows, f"{what}_alt"] = alt[known]
    out.loc[rows, f"{what}_effect"] = (alt - ref)[known]
    out.loc[rows, f"{what}_model"] = about["model"]
    out.loc[rows, f"{what}_fold"] = about["fold"]


def activity_effects(
    mdata: MuData,
    model: Any,
    variants: Variants,
    variant: NDArray[np.int64],
    centre: NDArray[np.int64],
    genome: Genome,
    settings: RunSettings,
    *,
    sample: str,
    biosample: str,
) -> pd.DataFrame:
    """Predict activity around ``centre`` (-1: nowhere) with both alleles of ``variant``, arrays ``(m,)``."""
    from eregtools.models.device import pick_device
    from eregtools.models.inference import ActivityPredictor

    out = empty_effects(ACTIVITY, len(variant))
    row = np.flatnonzero((centre != NOWHERE) & variants.known[variant])
    if not len(row):
        return out
    distinct, owner = np.unique(np.stack([variant[row], centre[row]]), axis=1, return_inverse=True)
    number, at = distinct
    alleles = variants.alleles
    for serving in activity_models(
        mdata,
        model,
        pd.Series(alleles.chrom[number], dtype=object),
        settings,
        sample=sample,
        biosample=biosample,
        what="variants",
        recipe="log2(0.1 + activity)",
    ):
        width = serving.network.config.window
        predictor = ActivityPredictor(serving.network, pick_device(settings.device))
        predicted = np.full((2, len(number)), np.nan, dtype=np.float32)
        for begin in range(0, len(serving.rows), _WINDOWS_PER_CHUNK):
            part = serving.rows[begin : begin + _WINDOWS_PER_CHUNK]
            starts = at[part] - width // 2
            reached = (alleles.start[number[part]] < starts + width) & (
                np.maximum(alleles.end, alleles.start + 1)[number[part]] > starts
            )
            part, starts = part[reached], starts[reached]
            if not len(part):
                continue
            codes = genome.codes(alleles.chrom[number[part]], starts, width)
            altered = altered_windows(genome, alleles, number[part], codes, starts, at[part])
            both = predictor(np.concatenate([codes, altered])).reshape(2, -1)
            predicted[:, part] = np.where((codes < UNKNOWN).any(axis=1), both, np.nan)
        chosen = np.isin(owner, serving.rows)
        ref, alt = predicted[:, owner[chosen]]
        _fill(out, ACTIVITY, row[chosen], ref, alt, serving.provenance)
    return out


def narrowed(jobs: Jobs, genes: NDArray[np.int64]) -> Jobs:
    """Jobs of some genes."""
    kept: Jobs = {}
    for key, (source, group) in jobs.items():
        smaller = [
            replace(job, inputs=job.inputs.take(np.flatnonzero(np.isin(job.inputs.gene, genes)))) for job in group
        ]
        if any(len(job.inputs.gene) for job in smaller):
            kept[key] = (source, smaller)
    return kept


def expression_effects(
    mdata: MuData, jobs: Jobs, variants: Variants, places: pd.DataFrame, genome: Genome, settings: RunSettings
) -> pd.DataFrame:
    """Predict the expression of the gene of each row of :func:`sites` with both alleles of its variant.

    Every sequence of the gene that holds the variant is altered; features are as they are.
    """
    out = empty_effects(EXPRESSION, len(places))
    usable = places[(places["gene"] != NOWHERE) & variants.known[places["variant"]]]
    jobs = narrowed(jobs, usable["gene"].unique())
    for part in encode_slots(mdata, genome, jobs, settings, "Encoding") if jobs else ():
        inputs = part.job.inputs
        local = np.full(mdata[Modality.genes].n_vars, NOWHERE)
        local[inputs.gene] = np.arange(len(inputs.gene))
        here = usable[local[usable["gene"]] != NOWHERE]
        if here.empty:
            continue
        unaltered = part.predictor(inputs, part.promoters, part.elements)[0]
        for cases in _chunks(here, np.diff(inputs.offsets), local):
            gene = local[cases["gene"]]
            seen, altered = _altered_expression(mdata, part, variants, cases, gene, genome)
            rows = cases.index[seen].to_numpy()
            _fill(out, EXPRESSION, rows, unaltered[gene[seen]], altered[seen], part.job.provenance)
    return out


def _chunks(here: pd.DataFrame, counts: NDArray[np.int64], local: NDArray[np.int64]) -> Any:
    """Rows with their variant and gene together, in chunks of a bounded number of links."""
    here = here.sort_values(["variant", "gene"], kind="stable")
    size = counts[local[here["gene"]]] + 1
    case = here.groupby(["variant", "gene"], sort=False).ngroup().to_numpy()
    chunk = np.cumsum(size) // _LINKS_PER_CHUNK
    chunk = chunk[np.unique(case, return_index=True)[1]][case]  # a case is not divided
    for _, part in here.groupby(chunk):
        yield part


def _altered_expression(
    mdata: MuData,
    part: Encoded,
    variants: Variants,
    cases: pd.DataFrame,
    gene: NDArray[np.int64],
    genome: Genome,
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Expression with the alternative alleles ``(m,)``, and rows whose variant the model reads in any slot."""
    import torch

    inputs = part.job.inputs
    case = cases.groupby(["variant", "gene"], sort=False).ngroup().to_numpy()
    first = np.unique(case, return_index=True)[1]
    taken = inputs.take(gene[first])
    counts = np.diff(taken.offsets)
    link = np.repeat(inputs.offsets[gene[first]] - taken.offsets[:-1], counts) + np.arange(taken.offsets[-1])
    promoters = part.promoters[torch.from_numpy(gene[first])].clone()
    elements = part.elements[torch.from_numpy(link)].clone()
    seen = np.zeros(len(first), dtype=bool)

    promoter = np.flatnonzero((cases["site"] == "promoter").to_numpy())
    embeddings = _altered_promoters(mdata, part, variants, cases.iloc[promoter], genome)
    promoters[torch.from_numpy(case[promoter])] = embeddings
    seen[case[promoter]] = True

    place = np.full(mdata[Modality.links].n_vars, NOWHERE)
    place[inputs.link] = np.arange(len(inputs.link))
    enhancer = np.flatnonzero((cases["site"] == "enhancer").to_numpy())
    read = place[cases["link"].iloc[enhancer]]
    enhancer, read = enhancer[read != NOWHERE], read[read != NOWHERE]
    found, embeddings = _altered_enhancers(mdata, part, variants, cases.iloc[enhancer], genome)
    enhancer, read = enhancer[found], read[found]
    slot = taken.offsets[case[enhancer]] + read - inputs.offsets[gene[enhancer]]
    elements[torch.from_numpy(slot)] = embeddings
    seen[case[enhancer]] = True

    expression = part.predictor(taken, promoters, elements)[0]
    return seen[case], expression[case]


def _altered_promoters(
    mdata: MuData, part: Encoded, variants: Variants, rows: pd.DataFrame, genome: Genome
) -> torch.Tensor:
    """Embeddings of promoters with the variant in them."""
    assert part.encoder is not None
    window, genes = part.encoder.window, rows["gene"].to_numpy()
    tss = mdata[Modality.genes].var[Var.tss].to_numpy(dtype=np.int64)[genes]
    codes = promoter_codes(mdata, genome, genes, window)
    altered = altered_windows(genome, variants.alleles, rows["variant"].to_numpy(), codes, tss - window // 2, tss)
    return part.encoder(altered)


def _altered_enhancers(
    mdata: MuData, part: Encoded, variants: Variants, rows: pd.DataFrame, genome: Genome
) -> tuple[NDArray[np.bool_], torch.Tensor]:
    """Which rows have their variant in the part of the enhancer that is read, and the embeddings of these."""
    import torch

    assert part.encoder is not None
    pairs = rows[["variant", "element"]].to_numpy()
    (number, element), owner = np.unique(pairs.T, axis=1, return_inverse=True)
    table, window = mdata[Modality.enhancers].var.iloc[element], part.encoder.window
    start, end = (table[column].to_numpy(dtype=np.int64) for column in (Var.start, Var.end))
    first = element_window_starts(start, end, window)
    alleles = variants.alleles
    last = np.maximum(alleles.end, alleles.start + 1)[number]
    read = (alleles.start[number] < first + window) & (last > first)
    codes = enhancer_codes(mdata, genome, element[read], window)
    centre, bounds = (start + end) // 2, (start[read], end[read])
    altered = altered_windows(genome, alleles, number[read], codes, first[read], centre[read], bounds)
    embeddings = part.encoder(altered)
    place = np.cumsum(read) - 1
    return read[owner], embeddings[torch.from_numpy(place[owner[read[owner]]])]
