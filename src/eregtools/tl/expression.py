"""Run EPInformer over the genes of an object: which model predicts which genes, and each sequence encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import require_modality, validate
from eregtools.batches.encode import PADDING, UNKNOWN
from eregtools.batches.genes import GeneInputs, enhancer_codes, gene_inputs, promoter_codes
from eregtools.batches.shuffle import dinucleotide_shuffle
from eregtools.genome import Genome, get_genome
from eregtools.tl._models import (
    NO_FOLD,
    ModelSet,
    Source,
    assign_folds,
    biosample_of,
    model_set,
    result_row,
)

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.models.inference import GenePredictor, SlotEncoder
    from eregtools.models.recipes import Recipe

_ELEMENTS_PER_CHUNK = 4096
_WITH_CONTACT = "EPInformer-PE-Activity-HiC"
_WITHOUT_CONTACT = "EPInformer-PE-Activity"

SHUFFLED = "dinucleotide-shuffled sequence"
"""Mark of a result that was predicted from shuffled sequence."""


@dataclass(frozen=True)
class RunSettings:
    """How EPInformer is run over an object; fields as the arguments of :func:`predict_expression`."""

    assay: str
    fold: int | str
    genome: Genome | str | Path | None
    device: str | torch.device | None
    batch_size: int | None
    allow_cross_cell: bool
    allow_leakage: bool
    recipe: str | None = None
    shuffled: int | None = None
    """Seed with which sequence is shuffled; ``None``: sequence as it is."""


@dataclass(frozen=True)
class Run:
    """What one fold model made of one biosample's genes."""

    sample: str
    inputs: GeneInputs
    expression: NDArray[np.float32]
    """``(n_genes,)``."""
    attention: NDArray[np.float32]
    """``(n_layers, n_links)``."""
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """Genes of one biosample that one model is to predict."""

    sample: str
    inputs: GeneInputs
    recipe: Recipe
    window: int
    """Length of the sequence that the model reads in bp; 0: it reads none."""
    provenance: dict[str, Any]


Jobs = dict[Any, tuple[Source, list[Job]]]
"""What is to be predicted, by the model that does it."""


@dataclass(frozen=True)
class Encoded:
    """Genes of one biosample on one chromosome, their slots encoded, and what predicts them from these."""

    job: Job
    source: Source
    encoder: SlotEncoder | None
    """``None``: a model without sequence."""
    predictor: GenePredictor
    promoters: torch.Tensor
    """Embedding of each gene's promoter ``(n_genes, dim)``; without sequence ``dim`` is 0."""
    elements: torch.Tensor
    """Embedding of each link's enhancer ``(n_links, dim)``."""


def run_epinformer(
    mdata: MuData, model: Any, samples: list[str], settings: RunSettings, description: str
) -> Iterator[Run]:
    """Run EPInformer over the genes of each biosample, model by model and chromosome by chromosome."""
    jobs = epinformer_jobs(mdata, model, samples, settings)
    genome = object_genome(mdata, settings.genome) if any(reads_sequence(group) for _, group in jobs.values()) else None
    for part in encode_slots(mdata, genome, jobs, settings, description):
        inputs = part.job.inputs
        expression, attention = part.predictor(inputs, part.promoters, part.elements, batch_size=settings.batch_size)
        yield Run(part.job.sample, inputs, expression, attention, part.job.provenance)


def reads_sequence(jobs: list[Job]) -> bool:
    """Whether the model of these jobs reads sequence."""
    return any(job.window for job in jobs)


def encode_slots(
    mdata: MuData, genome: Genome | None, jobs: Jobs, settings: RunSettings, description: str
) -> Iterator[Encoded]:
    """Encode each distinct sequence of the jobs once, model by model and chromosome by chromosome."""
    import torch

    from eregtools.models.device import pick_device
    from eregtools.models.inference import GenePredictor
    from eregtools.tl._embeddings import CachedSlotEncoder

    device = pick_device(settings.device)
    usable = _known_promoters(mdata, genome, jobs)
    total = sum(len(s) for _, group in jobs.values() for s in _distinct_slots(group))
    with progress_bar(total, description, "sequences") as bar:
        for source, group in jobs.values():
            network: Any = source.load()
            if genome is None or not reads_sequence(group):
                for job in group:
                    nothing = torch.empty(0, device=device)
                    n_genes, n_links = len(job.inputs.gene), len(job.inputs.link)
                    predictor = GenePredictor(network, device)
                    yield Encoded(job, source, None, predictor, nothing.expand(n_genes, 0), nothing.expand(n_links, 0))
                continue
            _report_long(mdata, group, network.config.window)
            encoder, predictor = CachedSlotEncoder(network, device), GenePredictor(network, device)
            encoder.tower.expect(_positions(mdata, group, network.config.window))
            for chromosome in _chromosomes(mdata, group):
                local = [_on(mdata, job, chromosome, usable) for job in group]
                genes, elements = _distinct_slots(local)
                codes = promoter_codes(mdata, genome, genes, encoder.window)
                promoters = encoder(_as_set(codes, mdata[Modality.genes], genes, settings))
                embedded = _embed_elements(mdata, genome, elements, encoder, settings, bar)
                bar.update(len(genes))
                for job in local:
                    yield Encoded(
                        job,
                        source,
                        encoder,
                        predictor,
                        promoters[np.searchsorted(genes, job.inputs.gene)],
                        embedded[np.searchsorted(elements, job.inputs.element)],
                    )


def epinformer_jobs(mdata: MuData, model: Any, samples: list[str], settings: RunSettings) -> Jobs:
    """Jobs by the model that does them; all arguments are checked before anything is computed."""
    from eregtools.models import get_recipe
    from eregtools.models.epinformer import EPInformer

    chromosomes = mdata[Modality.genes].var[Var.chromosome]
    jobs: Jobs = {}
    for sample in samples:
        biosample = biosample_of(mdata, sample)
        models: ModelSet = model_set(
            model,
            sample=sample,
            biosample=biosample,
            family=_families(mdata, biosample, settings.assay),
            assay=settings.assay,
            expected=EPInformer,
            allow_cross_cell=settings.allow_cross_cell,
        )
        chosen, leaky = assign_folds(
            mdata, models, chromosomes, settings.fold, allow_leakage=settings.allow_leakage, what="genes"
        )
        alone = list(models.sources) == [NO_FOLD]
        inputs: dict[Recipe, GeneInputs] = {}
        for fold in np.unique(chosen):
            if fold == NO_FOLD and not alone:
                continue
            source = models.sources[int(fold)]
            network: Any = source.load()
            name = settings.recipe or source.provenance.get("recipe", "legacy")
            recipe = get_recipe(
                name,
                n_slot_features=network.config.n_slot_features,
                n_gene_features=network.config.n_gene_features,
                tracks=network.config.tracks,
                gene_tracks=network.config.gene_tracks,
            )
            if recipe.n_value != network.config.n_value:
                raise ValueError(
                    f"recipe {recipe.name!r} encodes N as {recipe.n_value}, but the model was built for "
                    f"{network.config.n_value}: the weights belong to another recipe"
                )
            _check_published_inputs(mdata, sample, recipe, source)
            if recipe not in inputs:
                inputs[recipe] = gene_inputs(mdata, sample, recipe)
                _report_incomplete(inputs[recipe], sample)
            rows = np.flatnonzero((chosen == fold) & inputs[recipe].complete())
            job = Job(
                sample,
                inputs[recipe].take(rows),
                recipe,
                network.config.window if network.config.use_sequence else 0,
                result_row(sample, int(fold), source, models, marked_recipe(recipe.name, settings.shuffled), leaky),
            )
            jobs.setdefault((source.key, recipe), (source, []))[1].append(job)
    return jobs


def _families(mdata: MuData, biosample: str, assay: str) -> tuple[str, ...]:
    """List the published families in order of preference: the one with weights for every fold, else the richer one."""
    from eregtools.models import zoo

    folds = {
        family: sum((c.family, c.biosample, c.assay) == (family, biosample, assay) for c in zoo.registry())
        for family in (_WITH_CONTACT, _WITHOUT_CONTACT)
    }
    has_contact = Layer.contact in mdata[Modality.links].layers
    if has_contact and folds[_WITH_CONTACT] >= folds[_WITHOUT_CONTACT]:
        return _WITH_CONTACT, _WITHOUT_CONTACT
    return _WITHOUT_CONTACT, _WITH_CONTACT


def _check_published_inputs(mdata: MuData, sample: str, recipe: Recipe, source: Source) -> None:
    """Refuse, for published weights, features on another scale than they were trained with."""
    if not source.provenance.get("licence"):
        return
    about = mdata.uns.get(UNS, {})
    takes_contact = any(feature.name == Layer.contact for feature in recipe.slot_features)
    measured = about.get(Uns.contacts, {}).get("counts")
    if takes_contact and measured is not None:
        units = measured.reindex([sample])["unit"].astype(str)
        if (units == "file").any():
            raise ValueError(
                f"the contacts are in the unit of their file, but {source.provenance['name']} takes frequencies; run "
                "er.pp.add_contacts with unit='frequency'"
            )
    made_from = about.get(Uns.mrna_features, {}).get("source")
    if recipe.gene_features and made_from == "gtf":
        raise ValueError(
            f"the mRNA features were made from a GTF and are z-scored over its genes, but {source.provenance['name']} "
            "takes the published ones; run er.pp.mrna_features(mdata, table) with the published table"
        )


def _report_incomplete(inputs: GeneInputs, sample: str) -> None:
    without = int((np.diff(inputs.offsets) == 0).sum())
    if without:
        logger.info("%s: %d genes have no enhancer and are predicted from their promoter", sample, without)
    if lost := int((~inputs.complete()).sum()):
        logger.warning("%s: %d genes lack a feature (NaN) and are not predicted", sample, lost)


def _report_long(mdata: MuData, jobs: list[Job], window: int) -> None:
    table = mdata[Modality.enhancers].var.iloc[_distinct_slots(jobs)[1]]
    if long := int((table[Var.end] - table[Var.start] > window).sum()):
        logger.info("of %d elements over %d bp the centre %d bp are read", long, window, window)


def _known_promoters(mdata: MuData, genome: Genome | None, jobs: Jobs) -> NDArray[np.bool_]:
    """Genes whose promoter has at least one known base."""
    genes = mdata[Modality.genes].var
    usable = np.ones(len(genes), dtype=bool)
    if genome is None:
        return usable
    for window in {job.window for _, group in jobs.values() for job in group if job.window}:
        rows = np.arange(len(genes))
        for part in np.array_split(rows, max(1, len(rows) // _ELEMENTS_PER_CHUNK)):
            usable[part] &= (promoter_codes(mdata, genome, part, window) < UNKNOWN).any(axis=1)
    if lost := int((~usable).sum()):
        logger.warning(
            "%d genes have a promoter without a known base (all N) and are not predicted, first %s",
            lost,
            genes.index[np.flatnonzero(~usable)[0]],
        )
    return usable


def _distinct_slots(jobs: list[Job]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    genes = np.unique(np.concatenate([job.inputs.gene for job in jobs]))
    return genes, np.unique(np.concatenate([job.inputs.element for job in jobs]))


def _positions(mdata: MuData, jobs: list[Job], window: int) -> int:
    """Positions that encoding the jobs' distinct slots takes, about."""
    genes, elements = _distinct_slots(jobs)
    table = mdata[Modality.enhancers].var.iloc[elements]
    width = (table[Var.end] - table[Var.start]).to_numpy()
    return len(genes) * window + int(np.minimum(width + 100, window).sum())


def _chromosomes(mdata: MuData, jobs: list[Job]) -> list[str]:
    names = mdata[Modality.genes].var[Var.chromosome].astype(str)
    return list(names.iloc[_distinct_slots(jobs)[0]].unique())


def _on(mdata: MuData, job: Job, chromosome: str, usable: NDArray[np.bool_]) -> Job:
    names = mdata[Modality.genes].var[Var.chromosome].to_numpy()
    here = (names[job.inputs.gene] == chromosome) & usable[job.inputs.gene]
    return replace(job, inputs=job.inputs.take(np.flatnonzero(here)))


def marked_recipe(recipe: str, shuffled: int | None) -> str:
    """Recipe as it is recorded with a result, which says whether sequence was shuffled."""
    return recipe if shuffled is None else f"{recipe}, {SHUFFLED} (seed {shuffled})"


def _as_set(
    codes: NDArray[np.uint8], elements: AnnData, rows: NDArray[np.int64], settings: RunSettings
) -> NDArray[np.uint8]:
    """Sequence of those elements as it is, or shuffled where the settings say so."""
    if settings.shuffled is None:
        return codes
    return dinucleotide_shuffle(codes, elements.var_names[rows], settings.shuffled)


def _embed_elements(
    mdata: MuData, genome: Genome, rows: NDArray[np.int64], encoder: Any, settings: RunSettings, bar: Any
) -> torch.Tensor:
    import torch

    out = torch.empty(len(rows), encoder.dim, device=encoder.device)
    unknown = 0
    for begin in range(0, len(rows), _ELEMENTS_PER_CHUNK):
        part = rows[begin : begin + _ELEMENTS_PER_CHUNK]
        codes = enhancer_codes(mdata, genome, part, encoder.window)
        unknown += int(((codes == UNKNOWN) | (codes == PADDING)).all(axis=1).sum())
        out[begin : begin + len(part)] = encoder(_as_set(codes, mdata[Modality.enhancers], part, settings))
        bar.update(len(part))
    if unknown:
        logger.info("%d linked elements have no known base (all N); they are read as N", unknown)
    return out


def object_genome(mdata: MuData, genome: Genome | str | Path | None) -> Genome:
    """Genome of a ``genome`` argument; ``None``: the one named in the object, which must be registered.

    Raises
    ------
    ValueError
        A chromosome has another length than in the genome that the object was built on.
    """
    about = mdata.uns.get(UNS, {})
    name = about.get(Uns.genome)
    if genome is None and name is None:
        raise KeyError("the object names no genome; pass genome=")
    try:
        found = get_genome(str(name) if genome is None else genome)
    except KeyError:
        if genome is not None:
            raise
        raise KeyError(
            f"the object was built on genome {name!r}, which is not registered in this session; pass genome= "
            f"or call er.register_genome({name!r}, path)"
        ) from None
    if (sizes := about.get(Uns.chrom_sizes)) is not None:
        for chrom, length in sizes["length"].items():
            other = found.chrom_sizes.get(str(chrom))
            if other is not None and other != length:
                raise ValueError(
                    f"{chrom} has {other} bases in genome {found.name!r}, but {length} in {name!r}, on which the "
                    "object was built: it is another assembly; pass the genome of the object"
                )
    return found


def pick_samples(mdata: MuData, sample: str | Iterable[str] | None) -> list[str]:
    """Biosamples of a ``sample`` argument; ``None``: all."""
    if sample is None:
        return [str(name) for name in mdata.obs_names]
    names = [sample] if isinstance(sample, str) else list(dict.fromkeys(str(name) for name in sample))
    if not names:
        raise ValueError("sample= is empty; name at least one biosample, or leave it out for all")
    if unknown := [name for name in names if name not in mdata.obs_names]:
        raise KeyError(f"no biosample {unknown[0]!r}; there are {', '.join(map(str, mdata.obs_names))}")
    return names


def require_genes(mdata: MuData) -> Any:
    """Return the genes of an object that has genes, enhancers and links; checked."""
    validate(mdata, full=False)
    require_modality(mdata, Modality.enhancers)
    require_modality(mdata, Modality.links)
    return require_modality(mdata, Modality.genes)
