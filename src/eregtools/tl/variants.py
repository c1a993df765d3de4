"""Predict what variants do to activity and expression."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import Modality
from eregtools._schema import require_modality, validate
from eregtools.genome import get_genome
from eregtools.get._select import gene_labels
from eregtools.io.vcf import read_vcf
from eregtools.tl._explaining import require_sequence
from eregtools.tl._models import biosample_of
from eregtools.tl._variant_effects import ACTIVITY, EXPRESSION, activity_effects, empty_effects, expression_effects
from eregtools.tl._variant_sites import NOWHERE, Variants, read_variants, sites
from eregtools.tl.activity import element_centres
from eregtools.tl.expression import RunSettings, epinformer_jobs, object_genome, pick_samples, require_genes

if TYPE_CHECKING:
    import torch

    from eregtools.genome import Genome

_WINDOWS = ("variant", "center", "summit")


def variant_effect(
    mdata: MuData | None,
    variants: pd.DataFrame | str | Path,
    *,
    model: Any = None,
    expression_model: Any = None,
    targets: str | Iterable[str] | None = None,
    assay: str = "RNA",
    window: Literal["variant", "center", "summit"] = "variant",
    mismatch: Literal["error", "skip"] = "error",
    biosample: str | None = None,
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    sample: str | Iterable[str] | None = None,
    device: str | torch.device | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
) -> pd.DataFrame:
    """Predict the effect of variants on activity and, through enhancers and promoters, on expression.

    Parameters
    ----------
    mdata
        Object whose elements and genes the variants may lie in; ``None``: activity of the sequence around each variant
        only.
    variants
        VCF or BCF file, or a table as :func:`eregtools.io.read_vcf` returns it: ``Chromosome``, ``Start`` (0-based),
        ``Ref``, ``Alt`` and, optionally, ``Name``. Alleles of a row that are separated by commas become rows of their
        own; ``-`` or an empty text is no base at all.
    model
        Models of activity: ``None`` for the published ones of the biosample, else as in
        :func:`eregtools.tl.predict_activity`.
    expression_model
        Models of expression: ``None`` for the published ones, else as in :func:`eregtools.tl.predict_expression`.
    targets
        ``"activity"``, ``"expression"`` or both; ``None``: activity, and expression where the object has links.
    assay
        What the models of expression predict.
    window
        ``"variant"``: activity of the 256 bp around the variant's first base. ``"center"`` and ``"summit"``: of the
        256 bp around the centre or summit of the element that holds it; NaN outside elements and where the variant
        does not reach into these.
    mismatch
        What to do with a variant whose reference allele is not what the genome has: ``"error"``, or ``"skip"`` to leave
        it out with a warning that counts and shows them.
    biosample
        Without an object: whose published weights to use.
    fold
        As in :func:`eregtools.tl.predict_expression`; by the chromosome of the variant for activity, of the gene for
        expression.
    genome
        As in :func:`eregtools.tl.predict_expression`; needed without an object.
    sample
        Biosamples; ``None``: all.
    device, allow_cross_cell, allow_leakage
        As in :func:`eregtools.tl.predict_expression`.

    Returns
    -------
    One row a biosample, variant, site and gene, in the order of biosamples and variants:

    ``variant``, ``Chromosome``, ``Start``, ``End``, ``Ref``, ``Alt``
        The variant, 0-based half-open.
    ``sample``
        Biosample.
    ``site``, ``element``
        ``enhancer`` and the candidate of the biosample that holds the variant; ``promoter`` (of the gene: within the
        model's window around the TSS); or ``outside``.
    ``gene``, ``gene_name``
        Gene that is linked to the element, or whose promoter it is; one row for each, missing where there is none.
    ``activity_ref``, ``activity_alt``, ``activity_effect``
        log2(0.1 + activity) with either allele, and alternative minus reference.
    ``expression_ref``, ``expression_alt``, ``expression_effect``
        The same for the gene's expression, on the scale of the model's target, with every sequence of the gene that
        holds the variant altered and all features as they are.
    ``activity_model``, ``activity_fold``, ``expression_model``, ``expression_fold``
        Which weights made it.

    What was not predicted is NaN: a model does not read the place, the reference is unknown (N) there, or no fold
    leaves the chromosome out.

    Raises
    ------
    KeyError
        A column is missing, a chromosome is not in the genome, there are no weights.
    ValueError
        A reference allele differs from the genome; an allele is no sequence; arguments that do not go together.

    Notes
    -----
    Alleles of another length: windows are cut again from the altered sequence to the same length, such that the base at
    their middle keeps its place (a variant's first base, an element's centre or summit, a TSS). Bases to the right of a
    variant in or after the middle move, and bases to the left of one before it.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> variants = er.settings.cache_dir / "simulated" / "200genes-seed0" / "variants.vcf"
    >>> weights = {"model": "EPInformer-seq-small-simulated", "expression_model": "EPInformer-small-simulated"}
    >>> table = er.tl.variant_effect(mdata, er.io.read_vcf(variants).head(3), **weights)
    >>> table[["variant", "site", "gene_name"]].head(4)
      variant      site gene_name
    0    var1  promoter      sim4
    1    var2  enhancer      sim2
    2    var2  enhancer      sim3
    3    var2  enhancer      sim4
    >>> table[["activity_effect", "expression_effect"]].notna().any().tolist()
    [True, True]
    """
    if window not in _WINDOWS:
        raise ValueError(f"window is {window!r}; expected {', '.join(_WINDOWS)}")
    if mismatch not in ("error", "skip"):
        raise ValueError(f"mismatch is {mismatch!r}; expected 'error' or 'skip'")
    targets = _targets(mdata, targets, model, biosample, window)
    sequence = get_genome(_required(genome)) if mdata is None else object_genome(mdata, genome)
    found = read_variants(read_vcf(variants) if isinstance(variants, str | Path) else variants, sequence, mismatch)
    settings = RunSettings(assay, fold, genome, device, None, allow_cross_cell, allow_leakage)
    if mdata is None:
        # Without an object there is no biosample that the weights could be foreign to, unless one is named.
        settings = replace(settings, allow_cross_cell=allow_cross_cell or biosample is None)
        mdata, samples = MuData({}), {"": biosample or ""}
    else:
        samples = {name: biosample_of(mdata, name) for name in pick_samples(mdata, sample)}
        if window != "variant":
            element_centres(require_modality(mdata, Modality.enhancers).var, window)
    parts = [
        _of_sample(mdata, found, targets, (model, expression_model), window, sequence, settings, name, whose)
        for name, whose in samples.items()
    ]
    return pd.concat(parts, ignore_index=True)


def _of_sample(
    mdata: MuData,
    found: Variants,
    targets: tuple[str, ...],
    models: tuple[Any, Any],
    window: str,
    genome: Genome,
    settings: RunSettings,
    sample: str,
    biosample: str,
) -> pd.DataFrame:
    """Effects in one biosample."""
    jobs = epinformer_jobs(mdata, models[1], [sample], settings) if EXPRESSION in targets else {}
    require_sequence(jobs, "a variant cannot change what it predicts")
    width = max((job.window for _, group in jobs.values() for job in group), default=None)
    places = sites(mdata, found, genome, sample, promoter_width=width)
    variant = places["variant"].to_numpy()
    activity = empty_effects(ACTIVITY, len(places))
    if ACTIVITY in targets:
        centre = found.alleles.start[variant]
        if window != "variant":
            element = places["element"].to_numpy()
            centre = np.append(element_centres(mdata[Modality.enhancers].var, window), NOWHERE)[element]
        activity = activity_effects(
            mdata, models[0], found, variant, centre, genome, settings, sample=sample, biosample=biosample
        )
    expression = empty_effects(EXPRESSION, len(places))
    if jobs:
        expression = expression_effects(mdata, jobs, found, places, genome, settings)
    where = pd.DataFrame({"sample": sample, "site": places["site"]})
    names, labels = (
        (mdata[Modality.genes].var_names, gene_labels(mdata[Modality.genes])) if EXPRESSION in targets else ((), ())
    )
    elements = mdata[Modality.enhancers].var_names if Modality.enhancers in mdata.mod else ()
    where["element"] = _looked_up(elements, places["element"])
    where["gene"] = _looked_up(names, places["gene"])
    where["gene_name"] = _looked_up(labels, places["gene"])
    table = found.table.iloc[variant].reset_index(drop=True)
    out = pd.concat([table, where, activity, expression], axis=1)
    folds = {f"{what}_fold": "Int64" for what in (ACTIVITY, EXPRESSION)}
    return out.astype(folds)


def _looked_up(names: Any, rows: pd.Series) -> Any:
    """Name of each row; ``None`` where there is none."""
    return np.array([*names, None], dtype=object)[rows.to_numpy()]


def _required(genome: Genome | str | Path | None) -> Genome | str | Path:
    if genome is None:
        raise KeyError("without an object, the genome of the variants is not known; pass genome=")
    return genome


def _targets(
    mdata: MuData | None, targets: str | Iterable[str] | None, model: Any, biosample: str | None, window: str
) -> tuple[str, ...]:
    """Say what is to be predicted; an object that lacks what that needs is refused."""
    if mdata is not None:
        validate(mdata, full=False)
    if targets is None:
        targets = (ACTIVITY, EXPRESSION) if mdata is not None and Modality.links in mdata.mod else (ACTIVITY,)
    chosen = (targets,) if isinstance(targets, str) else tuple(targets)
    if not chosen or set(chosen) - {ACTIVITY, EXPRESSION}:
        raise ValueError(f"targets is {targets!r}; expected 'activity', 'expression' or both")
    if mdata is not None and EXPRESSION in chosen:
        require_genes(mdata)
    if mdata is None and EXPRESSION in chosen:
        raise ValueError("the effect on expression needs an object with genes and links; pass mdata")
    if mdata is None and model is None and biosample is None:
        raise ValueError("whose activity? pass biosample= (as in 'K562'), or model=")
    if window != "variant" and (mdata is None or Modality.enhancers not in mdata.mod):
        raise ValueError(f"window={window!r} needs an object with elements; use window='variant'")
    return chosen
