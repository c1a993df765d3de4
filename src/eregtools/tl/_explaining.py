"""Attribute predictions of activity and of expression, element by element."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import progress_bar
from eregtools._schema import link_positions, listed
from eregtools.batches.alleles import element_window_starts
from eregtools.batches.encode import UNKNOWN
from eregtools.batches.genes import enhancer_codes, promoter_codes
from eregtools.batches.shuffle import dinucleotide_shuffle
from eregtools.get._select import find_gene
from eregtools.tl._models import assign_folds, biosample_of, model_set, result_row
from eregtools.tl.activity import element_centres
from eregtools.tl.expression import encode_slots, epinformer_jobs, reads_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models.attribution import Explanation
    from eregtools.tl._models import ModelSet
    from eregtools.tl.expression import Encoded, Jobs, RunSettings

_ACTIVITY_FAMILY = "EPInformer-seq"
_ROWS_PER_CHUNK = 256


@dataclass(frozen=True)
class Method:
    """How predictions are attributed; fields as the arguments of :func:`eregtools.tl.attribute`."""

    name: str
    n_references: int
    seed: int

    def references(self, codes: NDArray[np.uint8], names: Sequence[str]) -> NDArray[np.uint8] | None:
        """Shuffles of sequences ``(n, length)``: ``(n, n_references, length)``; ``None``: they are not needed."""
        if self.name != "deeplift":
            return None
        shuffled = [
            dinucleotide_shuffle(codes, [f"{name}/reference {number}" for name in names], self.seed)
            for number in range(self.n_references)
        ]
        return np.stack(shuffled, axis=1)


class Explained(NamedTuple):
    """Attributions of some rows of a modality."""

    rows: NDArray[np.int64]
    part: slice
    """Positions of the window that they are of; beyond there is no sequence."""
    explanation: Explanation


@dataclass(frozen=True)
class Serving:
    """The model that serves some rows."""

    rows: NDArray[np.int64]
    network: Any
    provenance: dict[str, Any]


def activity_models(
    mdata: MuData,
    model: Any,
    chromosomes: pd.Series,
    settings: RunSettings,
    *,
    sample: str,
    biosample: str,
    what: str,
    recipe: str,
) -> list[Serving]:
    """Load the models of activity, each with the rows of ``chromosomes`` that it serves."""
    from eregtools.models.epinformer import EPInformerSeq

    models = model_set(
        model,
        sample=sample,
        biosample=biosample,
        family=(_ACTIVITY_FAMILY,),
        assay=Layer.activity,
        expected=EPInformerSeq,
        allow_cross_cell=settings.allow_cross_cell,
    )
    return serving_models(mdata, models, chromosomes, settings, sample=sample, what=what, recipe=recipe)


def serving_models(
    mdata: MuData,
    models: ModelSet,
    chromosomes: pd.Series,
    settings: RunSettings,
    *,
    sample: str,
    what: str,
    recipe: str,
) -> list[Serving]:
    """Load models, each with the rows of ``chromosomes`` that it serves; those without rows are left out."""
    chosen, leaky = assign_folds(
        mdata, models, chromosomes, settings.fold, allow_leakage=settings.allow_leakage, what=what
    )
    return [
        Serving(
            np.flatnonzero(chosen == number), source.load(), result_row(sample, number, source, models, recipe, leaky)
        )
        for number, source in models.sources.items()
        if (chosen == number).any()
    ]


@dataclass(frozen=True)
class Request:
    """What is to be attributed, checked; fields as the arguments of :func:`eregtools.tl.attribute`."""

    mdata: MuData
    model: Any
    modality: str
    rows: NDArray[np.int64]
    sample: str
    genome: Genome
    settings: RunSettings
    how: Method
    window: str
    gene: str | None
    coverage: Coverage | str | Path | None = None


class Window(NamedTuple):
    """Windows of all elements of a modality, one each."""

    width: int
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class Work:
    """Attributions that are computed as they are asked for, and where their windows lie.

    Attributes
    ----------
    window
        Windows whose bases are attributed.
    promoter
        Windows of promoters that are attributed together with them; their positions follow.
    provenance
        What made them.
    explained
        The attributions.
    """

    window: Window
    provenance: list[dict[str, Any]]
    explained: Iterator[Explained]
    promoter: Window | None = None

    @property
    def width(self) -> int:
        """Positions of an element that are attributed."""
        return self.window.width + (self.promoter.width if self.promoter is not None else 0)


def of_activity(request: Request) -> Work:
    """Attribute the activity of the windows around elements or TSS."""
    table, rows = request.mdata[request.modality].var, request.rows
    serving = activity_models(
        request.mdata,
        request.model,
        table[Var.chromosome].iloc[rows],
        request.settings,
        sample=request.sample,
        biosample=biosample_of(request.mdata, request.sample),
        what=request.modality,
        recipe=f"log2(0.1 + activity), {request.window}",
    )
    width = one_width({one.network.config.window for one in serving})
    if request.modality == Modality.genes:
        centres = table[Var.tss].to_numpy(dtype=np.int64)
    else:
        centres = element_centres(table, request.window)
    starts = centres - width // 2

    def explained() -> Iterator[Explained]:
        with progress_bar(len(rows), "Attributing activity", "sequences") as bar:
            for one in serving:
                yield from _explain_activity(replace(one, rows=rows[one.rows]), request, starts, bar)

    return Work(Window(width, starts), [one.provenance for one in serving], explained())


def _explain_activity(serving: Serving, request: Request, starts: NDArray[np.int64], bar: Any) -> Iterator[Explained]:
    from eregtools.models.attribution import ActivityView, Explanation, explain
    from eregtools.models.device import pick_device
    from eregtools.models.mutagenesis import ActivityMutagenesis, importance

    how, table = request.how, request.mdata[request.modality].var
    device, width = pick_device(request.settings.device), serving.network.config.window
    network = copy.deepcopy(serving.network).to(device)
    if how.name == "ism":
        mutagenesis = ActivityMutagenesis(network, device)
        mutagenesis.expect(len(serving.rows) * width)
    else:
        view = ActivityView(network)
    for begin in range(0, len(serving.rows), _ROWS_PER_CHUNK):
        rows = serving.rows[begin : begin + _ROWS_PER_CHUNK]
        chroms = table[Var.chromosome].iloc[rows].astype(str).tolist()
        codes = request.genome.codes(chroms, starts[rows], width)
        known = np.flatnonzero((codes < UNKNOWN).any(axis=1))
        bar.update(len(rows))
        rows, codes = rows[known], codes[known]
        if not len(rows):
            continue
        if how.name == "ism":
            explanation = Explanation(*importance(codes, *mutagenesis(codes)), np.full(len(rows), np.nan))
        else:
            references = how.references(codes, table.index[rows])
            explanation = explain(view, codes, network.one_hot.table, how.name, references)
        yield Explained(rows, slice(0, width), explanation)


def of_expression(request: Request) -> Work:
    """Attribute the expression of genes to one slot at a time, everything else fixed."""
    sought = _sought(request)
    jobs = _expression_jobs(request, sought)
    if not jobs:
        raise ValueError(
            f"none of the {len(request.rows)} {request.modality} can be attributed: no model predicts a gene from them "
            f"(no link of {request.sample!r} that the model reads, a feature is missing, or no fold leaves the "
            "chromosome out)"
        )
    require_sequence(jobs, "there is nothing to attribute to bases")
    group = [job for _, group in jobs.values() for job in group]
    width = one_width({job.window for job in group})
    starts = _slot_starts(request.mdata, request.modality, width)
    return Work(Window(width, starts), [job.provenance for job in group], _explain_expression(request, jobs, sought))


@dataclass(frozen=True)
class Sought:
    """Slots whose attributions are sought.

    Attributes
    ----------
    promoter
        Row of the result for each gene's promoter ``(n_genes,)``; -1: not sought.
    link
        The same for each link's enhancer ``(n_links,)``.
    """

    promoter: NDArray[np.int64]
    link: NDArray[np.int64]

    def __len__(self) -> int:
        return int((self.promoter >= 0).sum() + (self.link >= 0).sum())


def _sought(request: Request) -> Sought:
    mdata, modality, rows = request.mdata, request.modality, request.rows
    genes, links = mdata[Modality.genes], mdata[Modality.links]
    promoter, link = np.full(genes.n_vars, -1), np.full(links.n_vars, -1)
    if modality == Modality.genes:
        promoter[rows] = rows
    elif modality == Modality.links:
        link[rows] = rows
    else:
        gene_of, element_of = link_positions(mdata)
        own = gene_of == genes.var_names.get_loc(find_gene(mdata, str(request.gene)))
        own &= np.isin(element_of, rows)
        link[own] = element_of[own]
    return Sought(promoter, link)


def _slot_starts(mdata: MuData, modality: str, width: int) -> NDArray[np.int64]:
    """First position of each window: around the TSS, or with the element in its middle."""
    if modality == Modality.genes:
        return mdata[modality].var[Var.tss].to_numpy(dtype=np.int64) - width // 2
    table = mdata[Modality.enhancers].var
    if modality == Modality.links:
        table = table.iloc[link_positions(mdata)[1]]
    start, end = (table[column].to_numpy(dtype=np.int64) for column in (Var.start, Var.end))
    return element_window_starts(start, end, width)


def require_sequence(jobs: Jobs, so: str) -> None:
    """Refuse models of expression that read features alone."""
    for source, group in jobs.values():
        if not reads_sequence(group):
            raise ValueError(f"{source.provenance.get('name', 'the model')} reads no sequence, so {so}")


def one_width(widths: set[int]) -> int:
    """Width of the windows that all models read."""
    if len(widths) != 1:
        raise ValueError(
            f"the fold models read windows of {listed(sorted(widths))} bp; attributions of one key have one width"
            if widths
            else "no fold model serves any of the elements; see fold= and er.pp.split"
        )
    return widths.pop()


def _expression_jobs(request: Request, sought: Sought) -> Jobs:
    """Find which models serve the genes whose slots are sought."""
    jobs: Jobs = {}
    found = epinformer_jobs(request.mdata, request.model, [request.sample], request.settings)
    for key, (source, group) in found.items():
        smaller = []
        for job in group:
            owner = np.repeat(np.arange(len(job.inputs.gene)), np.diff(job.inputs.offsets))
            wanted = sought.promoter[job.inputs.gene] >= 0
            wanted[owner[sought.link[job.inputs.link] >= 0]] = True
            if wanted.any():
                smaller.append(replace(job, inputs=job.inputs.take(np.flatnonzero(wanted))))
        if smaller:
            jobs[key] = (source, smaller)
    return jobs


def _explain_expression(request: Request, jobs: Jobs, sought: Sought) -> Iterator[Explained]:
    from eregtools.models.mutagenesis import ExpressionMutagenesis
    from eregtools.models.slots import each_gene

    mutagenesis: Any = None
    with progress_bar(len(sought), "Attributing expression", "sequences") as bar:
        for part in encode_slots(request.mdata, request.genome, jobs, request.settings, "Encoding"):
            network = part.predictor.model
            if request.how.name == "ism" and (mutagenesis is None or mutagenesis.network is not network):
                mutagenesis = ExpressionMutagenesis(network, part.predictor.device)
                mutagenesis.slots.expect(len(sought) * network.config.window)
            for number, gene in enumerate(each_gene(part.job.inputs, part.promoters, part.elements)):
                for slot, row, codes, name in _sought_slots(request, part, number, sought):
                    bar.update()
                    if not (codes < UNKNOWN).any():
                        continue
                    if request.how.name == "ism":
                        found = _mutated(mutagenesis, gene, slot, codes)
                    else:
                        found = _explained(network, gene, slot, codes, name, request.how)
                    yield Explained(np.array([row]), *found)


def _sought_slots(
    request: Request, part: Encoded, number: int, sought: Sought
) -> Iterator[tuple[int, int, NDArray[np.uint8], str]]:
    """Slots of a gene that are sought: number of the slot, row of the result, codes of the window, name."""
    mdata, genome = request.mdata, request.genome
    inputs, window = part.job.inputs, part.job.window
    gene = int(inputs.gene[number])
    if (row := int(sought.promoter[gene])) >= 0:
        codes = promoter_codes(mdata, genome, np.array([gene]), window)[0]
        yield 0, row, codes, mdata[Modality.genes].var_names[gene]
    begin, end = inputs.offsets[number : number + 2]
    for at in begin + np.flatnonzero(sought.link[inputs.link[begin:end]] >= 0):
        element = int(inputs.element[at])
        codes = enhancer_codes(mdata, genome, np.array([element]), window)[0]
        row = int(sought.link[inputs.link[at]])
        yield int(at - begin) + 1, row, codes, mdata[Modality.enhancers].var_names[element]


def _mutated(mutagenesis: Any, gene: Any, slot: int, codes: NDArray[np.uint8]) -> tuple[slice, Explanation]:
    from eregtools.models.attribution import Explanation
    from eregtools.models.mutagenesis import importance

    explanation = Explanation(*importance(codes[None], *mutagenesis(codes, gene, slot)), np.full(1, np.nan))
    return slice(0, len(codes)), explanation


def _explained(
    network: Any, gene: Any, slot: int, codes: NDArray[np.uint8], name: str, method: Method
) -> tuple[slice, Explanation]:
    from eregtools.models.attribution import ExpressionView, contraction, explain

    view = ExpressionView(network, gene, slot, codes, contraction(method.name))
    references = method.references(codes[None], [name])
    explanation = explain(
        view,
        codes[None, view.part],
        network.one_hot.table,
        method.name,
        None if references is None else references[:, :, view.part],
    )
    return view.part, explanation
