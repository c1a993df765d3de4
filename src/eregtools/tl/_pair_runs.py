"""Run EPIPAM over pairs of enhancers and promoters: which model serves which pair, and each window once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import require_modality, validate
from eregtools.batches.pairs import Windows, pair_windows
from eregtools.batches.shuffle import dinucleotide_shuffle
from eregtools.tl._models import NO_FOLD, Source, assign_folds, biosample_of, model_set, result_row
from eregtools.tl.expression import marked_recipe, object_genome

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.models.epipam import Interaction
    from eregtools.models.epipam_config import EPIPAMConfig, Side
    from eregtools.tl.expression import RunSettings

_CACHED_BYTES: Final = 256e6
"""Memory that the first maps of the windows at hand may take, about."""

MODALITY_OF: Final[Mapping[Side, str]] = {"enhancer": Modality.enhancers, "promoter": Modality.genes}


@dataclass(frozen=True)
class Pairs:
    """Pairs by the rows of their elements, all arrays ``(n_pairs,)``."""

    gene: NDArray[np.int64]
    enhancer: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.gene)

    def of(self, side: str) -> NDArray[np.int64]:
        """Rows of the enhancers or of the promoters."""
        return self.enhancer if side == "enhancer" else self.gene


@dataclass(frozen=True)
class PairRun:
    """What one model made of some pairs of one biosample."""

    sample: str
    rows: NDArray[np.int64]
    """Which of the pairs."""
    logit: NDArray[np.float32]
    """Log odds, NaN where a window holds no known base."""
    fold: int
    provenance: dict[str, Any]


@dataclass(frozen=True)
class PairJob:
    """Pairs of one biosample that one model predicts, and what is recorded of it."""

    sample: str
    rows: NDArray[np.int64]
    fold: int
    provenance: dict[str, Any]


Each = Callable[["NDArray[np.int64]", "Interaction"], None]
"""Takes the rows of some pairs, and what was computed of them."""


def require_pairs(mdata: MuData) -> None:
    """Check the object, and that it has enhancers and genes."""
    validate(mdata, full=False)
    require_modality(mdata, Modality.enhancers)
    require_modality(mdata, Modality.genes)


def run_epipam(
    mdata: MuData,
    model: Any,
    pairs: Pairs,
    wanted: Mapping[str, NDArray[np.int64]],
    settings: RunSettings,
    description: str,
    *,
    each: Each | None = None,
    prepare: Callable[[EPIPAMConfig], None] | None = None,
) -> Iterator[PairRun]:
    """Run EPIPAM over pairs, model by model and chromosome by chromosome.

    Parameters
    ----------
    pairs
        All pairs.
    wanted
        Which of them to predict, by biosample.
    each
        Gets relations and weights of each batch of pairs.
    prepare
        Gets the configuration of each model before anything is computed.
    """
    jobs = pair_jobs(mdata, model, pairs, wanted, settings)
    for source, _ in jobs:
        network: Any = source.load()
        if prepare is not None:
            prepare(network.config)
    genome = object_genome(mdata, settings.genome)
    runs = [(source, group, _WindowPairs.of(mdata, source.load(), pairs, genome)) for source, group in jobs]
    total = sum(len(np.unique(np.concatenate([job.rows for job in group]))) for _, group in jobs)
    with progress_bar(total, description, "pairs") as bar:
        for source, group, windows in runs:
            rows = np.unique(np.concatenate([job.rows for job in group]))
            logit = np.full(len(pairs), np.nan, dtype=np.float32)
            _predict(source, windows, rows, logit, settings, each, bar)
            if lost := int(np.isnan(logit[rows]).sum()):
                logger.warning("%d pairs have a window without a known base (all N) and are not predicted", lost)
            for job in group:
                yield PairRun(job.sample, job.rows, logit[job.rows], job.fold, job.provenance)


def pair_jobs(
    mdata: MuData, model: Any, pairs: Pairs, wanted: Mapping[str, NDArray[np.int64]], settings: RunSettings
) -> list[tuple[Source, list[PairJob]]]:
    """Pairs by the model that predicts them; all arguments are checked before anything is computed."""
    from eregtools.models.epipam import EPIPAM

    if model is None:
        raise ValueError(
            "model= is None, but no weights of EPIPAM are published; pass a model, a folder, or {fold: model} "
            "(er.tl.train_interactions)"
        )
    chromosome = mdata[Modality.genes].var[Var.chromosome].astype(object)
    jobs: dict[Any, tuple[Source, list[PairJob]]] = {}
    for sample, rows in wanted.items():
        models = model_set(
            model,
            sample=sample,
            biosample=biosample_of(mdata, sample),
            family=(),
            assay=Layer.interaction,
            expected=EPIPAM,
            allow_cross_cell=settings.allow_cross_cell,
        )
        if not len(rows):
            continue
        of_pairs = chromosome.iloc[pairs.gene[rows]]
        chosen, leaky = assign_folds(
            mdata, models, of_pairs, settings.fold, allow_leakage=settings.allow_leakage, what="pairs"
        )
        alone = list(models.sources) == [NO_FOLD]
        for fold in np.unique(chosen).tolist():
            if fold == NO_FOLD and not alone:
                continue
            source = models.sources[fold]
            network: Any = source.load()
            recipe = marked_recipe(network.recipe.name, settings.shuffled)
            row = result_row(sample, fold, source, models, recipe, leaky)
            jobs.setdefault(source.key, (source, []))[1].append(PairJob(sample, rows[chosen == fold], fold, row))
    return list(jobs.values())


@dataclass(frozen=True)
class _WindowPairs:
    """Pairs as pairs of distinct windows, for one model."""

    genome: Genome
    names: dict[Side, NDArray[np.object_]]
    windows: dict[Side, Windows]
    number: dict[Side, NDArray[np.int64]]
    """Number of the window of each pair, by side."""
    element: dict[Side, NDArray[np.int64]]
    """An element of each window, by side."""

    @classmethod
    def of(cls, mdata: MuData, network: Any, pairs: Pairs, genome: Genome) -> _WindowPairs:
        names: dict[Side, NDArray[np.object_]] = {}
        windows: dict[Side, Windows] = {}
        number: dict[Side, NDArray[np.int64]] = {}
        element: dict[Side, NDArray[np.int64]] = {}
        for side, modality in MODALITY_OF.items():
            windows[side] = pair_windows(mdata, modality, network.config.length(side), genome)
            names[side] = mdata[modality].var_names.to_numpy(dtype=object)
            of_element = windows[side].distinct()
            _, element[side] = np.unique(of_element, return_index=True)
            number[side] = of_element[pairs.of(side)]
        return cls(genome, names, windows, number, element)

    def chromosome(self, rows: NDArray[np.int64]) -> NDArray[np.object_]:
        """Chromosome of each pair."""
        return self.windows["promoter"].chromosome[self.element["promoter"][self.number["promoter"][rows]]]

    def in_order(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pairs of a chromosome by promoter, then enhancer, along the genome."""
        start = {
            side: windows.start[self.element[side][self.number[side][rows]]] for side, windows in self.windows.items()
        }
        return rows[np.lexsort((start["enhancer"], start["promoter"]))]

    def encoder(self, predictor: Any, side: Side, shuffled: int | None) -> Any:
        """Make what computes the first maps of windows by their numbers."""
        from eregtools.models.pair_inference import has_known_base

        def encode(numbers: NDArray[np.int64]) -> tuple[Any, NDArray[np.bool_]]:
            rows = self.element[side][numbers]
            codes = self.windows[side].codes(self.genome, rows)
            if shuffled is not None:
                codes = dinucleotide_shuffle(codes, self.names[side][rows], shuffled)
            return predictor.first_maps(side, codes), has_known_base(codes)

        return encode


def _predict(
    source: Source,
    windows: _WindowPairs,
    rows: NDArray[np.int64],
    logit: NDArray[np.float32],
    settings: RunSettings,
    each: Each | None,
    bar: Any,
) -> None:
    """Fill in the log odds of some pairs by one model."""
    from eregtools.models.device import pick_device
    from eregtools.models.pair_inference import MapCache, PairPredictor

    network: Any = source.load()
    predictor = PairPredictor(network, pick_device(settings.device))
    config = network.config
    caches = {side: MapCache(windows.encoder(predictor, side, settings.shuffled)) for side in MODALITY_OF}
    size = {side: 4 * config.channels * config.bins(side)[0] for side in MODALITY_OF}
    chromosome = windows.chromosome(rows)
    for name in dict.fromkeys(chromosome):
        for part in _blocks(windows.in_order(rows[chromosome == name]), windows.number, size):
            at = {}
            for side, cache in caches.items():
                numbers, at[side] = np.unique(windows.number[side][part], return_inverse=True)
                cache.hold(numbers)
            known = caches["enhancer"].known[at["enhancer"]] & caches["promoter"].known[at["promoter"]]
            usable = part[known]
            logit[usable] = predictor.interact(
                caches["enhancer"].maps,
                caches["promoter"].maps,
                at["enhancer"][known],
                at["promoter"][known],
                batch_size=settings.batch_size,
                with_attention=each is not None,
                each=None if each is None else partial(_hand_on, each, usable),
            )
            bar.update(len(part))


def _hand_on(each: Each, rows: NDArray[np.int64], part: slice, found: Interaction) -> None:
    each(rows[part], found)


def _blocks(
    rows: NDArray[np.int64], number: Mapping[Side, NDArray[np.int64]], size: Mapping[Side, int]
) -> Iterator[NDArray[np.int64]]:
    """Pairs in parts, each of which needs maps of a bounded size that no part before it needed."""
    new = np.zeros(len(rows))
    for side, n_bytes in size.items():
        _, first = np.unique(number[side][rows], return_index=True)
        new[first] += n_bytes
    block = (np.cumsum(new) // _CACHED_BYTES).astype(np.int64)
    yield from np.split(rows, np.flatnonzero(np.diff(block)) + 1)
