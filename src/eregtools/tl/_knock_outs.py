"""What an in-silico knock-out takes from which gene, and what the model predicts then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from eregtools._keys import MRNA_FEATURES, Layer, Modality, Var
from eregtools._logging import logger
from eregtools._schema import link_positions, listed
from eregtools.batches.encode import PADDING
from eregtools.get._select import find_gene

if TYPE_CHECKING:
    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.batches.genes import GeneInputs
    from eregtools.models.recipes import Recipe
    from eregtools.tl.expression import Encoded, Job, Jobs

What: TypeAlias = Literal["sequence", "features", "both"]
Targets: TypeAlias = Literal["each", "promoter"] | Mapping[str, Iterable[str]] | Iterable[Iterable[str]]


@dataclass(frozen=True)
class Wanted:
    """What is to be knocked out, in which genes.

    Attributes
    ----------
    kind
        Each link's enhancer, the promoter, or sets of enhancers.
    genes
        Genes that were asked about ``(n_genes,)``.
    names
        Of the sets.
    members
        Which enhancer is in which set, csr ``(n_enhancers, n_sets)``.
    """

    kind: Literal["each", "promoter", "sets"]
    genes: NDArray[np.bool_]
    names: tuple[str, ...] = ()
    members: Any = None

    def affected(self, inputs: GeneInputs) -> NDArray[np.int64]:
        """Genes of ``inputs`` that were asked about and have something to lose."""
        asked = self.genes[inputs.gene]
        if self.kind == "promoter":
            return np.flatnonzero(asked)
        lost = owners(inputs)
        if self.kind == "sets":
            lost = lost[np.diff(self.members.indptr)[inputs.element] > 0]
        return np.flatnonzero(asked & (np.bincount(lost, minlength=len(asked)) > 0))

    def pairs(self, inputs: GeneInputs) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Links that are lost: the number of the knock-out and the link, one row each; and each knock-out's set."""
        if self.kind == "each":
            link = np.arange(len(inputs.link))
            return link, link, np.zeros(len(link), dtype=np.int64)
        link, of_set = self.members[inputs.element].nonzero()
        distinct, number = np.unique(owners(inputs)[link] * len(self.names) + of_set, return_inverse=True)
        return number, link, distinct % len(self.names)


def owners(inputs: GeneInputs) -> NDArray[np.int64]:
    """Row of the gene that each link belongs to ``(n_links,)``."""
    return np.repeat(np.arange(len(inputs.gene)), np.diff(inputs.offsets))


def read_targets(mdata: MuData, targets: Targets, gene: str | Iterable[str] | None, samples: list[str]) -> Wanted:
    """Hold what was asked for against the names and links of the object."""
    genes = mdata[Modality.genes].var_names
    asked = np.ones(len(genes), dtype=bool)
    if gene is not None:
        names = [find_gene(mdata, name) for name in ([gene] if isinstance(gene, str) else gene)]
        if not names:
            raise ValueError("gene= is empty; name at least one gene, or leave it out for all")
        asked = genes.isin(names)
    if targets == "each" or targets == "promoter":
        wanted = Wanted(targets, asked)
    elif isinstance(targets, str):
        raise ValueError(f"targets={targets!r}: expected 'each', 'promoter', or sets as {{name: enhancers}}")
    else:
        sets = _named_sets(targets)
        wanted = Wanted("sets", asked, tuple(sets), _members(mdata, sets))
    if wanted.kind != "promoter":
        _require_links(mdata, wanted, samples)
    return wanted


def _named_sets(targets: Any) -> dict[str, list[str]]:
    """Enhancers of each set, each once."""
    if not isinstance(targets, Mapping):
        if not isinstance(targets, Iterable):
            raise TypeError(f"targets= is of type {type(targets).__name__}; expected 'each', 'promoter' or sets")
        listing = list(targets)
        if single := [item for item in listing if isinstance(item, str)]:
            raise ValueError(
                f"targets= lists {single[0]!r}, but each item is a set: pass [[…]] to knock these enhancers out "
                "together, or {name: [enhancer]} for each by itself"
            )
        targets = {f"set{number}": members for number, members in enumerate(listing, start=1)}
    if not targets:
        raise ValueError("targets= is empty; expected 'each', 'promoter', or at least one set")
    sets = {
        str(name): list(dict.fromkeys([members] if isinstance(members, str) else members))
        for name, members in targets.items()
    }
    if empty := [name for name, members in sets.items() if not members]:
        raise ValueError(f"set {empty[0]!r} is empty; name at least one enhancer")
    return sets


def _members(mdata: MuData, sets: Mapping[str, list[str]]) -> sparse.csr_array:
    """Which enhancer is in which set ``(n_enhancers, n_sets)``."""
    enhancers = mdata[Modality.enhancers].var_names
    name = np.concatenate([np.asarray(members, dtype=object) for members in sets.values()])
    of_set = np.repeat(np.arange(len(sets)), [len(members) for members in sets.values()])
    at = enhancers.get_indexer(name)
    if (at < 0).any():
        first = int(np.argmax(at < 0))
        raise KeyError(
            f"set {list(sets)[of_set[first]]!r} names {name[first]!r}, which is not among the {len(enhancers):,} "
            f"enhancers of the object; names look like {enhancers[0]!r}"
        )
    return sparse.csr_array((np.ones(len(at), dtype=np.int8), (at, of_set)), shape=(len(enhancers), len(sets)))


def _require_links(mdata: MuData, wanted: Wanted, samples: list[str]) -> None:
    """Refuse genes or sets of which no link belongs to the samples; warn of single ones."""
    links = mdata[Modality.links]
    gene, enhancer = link_positions(mdata)
    rows = mdata.obs_names.get_indexer(samples)
    own = (np.asarray(links.layers[Layer.candidate])[rows] > 0).any(axis=0) & wanted.genes[gene]
    genes, of = mdata[Modality.genes].var_names, listed(samples)
    if not own.any():
        which = "no gene" if wanted.genes.all() else f"none of {listed(genes[wanted.genes])}"
        raise ValueError(f"{which} has a link of {of}; er.pp.link makes links, and targets='promoter' needs none")
    if wanted.kind == "each":
        if not wanted.genes.all() and (bare := np.setdiff1d(np.flatnonzero(wanted.genes), gene[own])).size:
            logger.warning("%s: no link of %s, so no knock-out", listed(genes[bare]), of)
        return
    linked = np.zeros(wanted.members.shape[0], dtype=bool)
    linked[enhancer[own]] = True
    sizes, with_link = (np.asarray(m.sum(axis=0)) for m in (wanted.members, wanted.members[linked]))
    for name, size in zip(np.array(wanted.names, dtype=object)[with_link == 0], sizes[with_link == 0], strict=True):
        whose = "a gene" if wanted.genes.all() else listed(genes[wanted.genes])
        raise ValueError(
            f"set {name!r}: none of its {size} enhancer(s) has a link to {whose} of {of}; er.get.links lists the links"
        )
    if (alone := int((sizes - with_link).sum())) > 0:
        logger.warning("%d of %d enhancers of the sets have no link of %s", alone, int(sizes.sum()), of)


def require_effect(jobs: Jobs, wanted: Wanted, what: What) -> None:
    """Refuse a knock-out that a model cannot notice.

    Raises
    ------
    ValueError
        The model reads no enhancers, or none of the features that would be silenced.
    """
    for job in {(job.recipe, job.window): job for _, group in jobs.values() for job in group}.values():
        if wanted.kind == "promoter":
            _require_effect_of_promoter(job, what)
        elif job.recipe.max_enhancers == 0:
            raise ValueError(
                f"the model reads no enhancers (recipe {job.recipe.name!r}), so only targets='promoter' can be knocked "
                "out"
            )
        elif what == "features" and all(feature.name == Var.distance for feature in job.recipe.slot_features):
            raise ValueError(
                "the model takes no feature of an enhancer but distance, so what='features' would silence nothing; "
                "pass what='sequence'"
            )


def _require_effect_of_promoter(job: Job, what: What) -> None:
    if what == "features" and not any(silenced_promoter(job.recipe)):
        raise ValueError(
            "the model does not take the promoter's activity, so what='features' would silence nothing; "
            "pass what='sequence'"
        )
    if what == "sequence" and not job.window:
        raise ValueError("the model reads no sequence that a promoter could lose; pass what='features'")


def narrowed(jobs: Jobs, wanted: Wanted) -> Jobs:
    """Jobs of the genes that have something to lose."""
    kept: Jobs = {}
    for key, (source, group) in jobs.items():
        smaller = [replace(job, inputs=job.inputs.take(wanted.affected(job.inputs))) for job in group]
        if any(len(job.inputs.gene) for job in smaller):
            kept[key] = (source, smaller)
    return kept


def knock_out(part: Encoded, wanted: Wanted, what: What, batch_size: int | None) -> pd.DataFrame:
    """Predict genes with and without what is wanted.

    Returns
    -------
    One row a knock-out: ``gene`` (row of ``genes.var``), ``link`` (row of ``links.var``, the first that is lost; -1 for
    a promoter), ``set`` (number), ``n_enhancers``, and the model's output ``wild_type`` and ``perturbed``.
    """
    inputs, predictor = part.job.inputs, part.predictor
    whole, _ = predictor(inputs, part.promoters, part.elements, batch_size=batch_size)
    if wanted.kind == "promoter":
        changed, promoters = _without_promoter(part, what)
        perturbed, _ = predictor(changed, promoters, part.elements, batch_size=batch_size)
        return _table(inputs.gene, -1, 0, 0, whole, perturbed)
    number, link, of_set = wanted.pairs(inputs)
    _, first, sizes = np.unique(number, return_index=True, return_counts=True)
    perturbed = predictor.knock_outs(
        inputs,
        part.promoters,
        part.elements,
        number,
        link,
        silenced=silenced_slots(inputs, part.job.recipe) if what == "features" else None,
        batch_size=batch_size,
    )
    owner = owners(inputs)[link[first]]
    return _table(inputs.gene[owner], inputs.link[link[first]], of_set, sizes, whole[owner], perturbed)


def _table(gene: Any, link: Any, of_set: Any, n_enhancers: Any, wild_type: Any, perturbed: Any) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "gene": gene,
            "link": link,
            "set": of_set,
            "n_enhancers": n_enhancers,
            "wild_type": wild_type.astype(np.float64),
            "perturbed": perturbed.astype(np.float64),
        }
    )


def silenced_slots(inputs: GeneInputs, recipe: Recipe) -> NDArray[np.float32]:
    """Slot features ``(n_links, k)`` of enhancers without signal: all but distance as for a value of 0."""
    features = inputs.slot_features.copy()
    for column, feature in enumerate(recipe.slot_features):
        if feature.name != Var.distance:
            features[:, column] = feature.apply(0.0)
    return features


def silenced_promoter(recipe: Recipe) -> tuple[dict[int, Any], dict[int, Any]]:
    """Columns of the genes' features and of the promoters' slots that hold signal, with their value without it."""
    of_gene = {k: f.apply(0.0) for k, f in enumerate(recipe.gene_features) if f.name not in MRNA_FEATURES}
    of_slot = {
        k: replace(f, transform=f.promoter).apply(0.0)
        for k, f in enumerate(recipe.slot_features)
        if isinstance(f.promoter, str)
    }
    return of_gene, of_slot


def _without_promoter(part: Encoded, what: What) -> tuple[GeneInputs, torch.Tensor]:
    """Return genes whose promoter is an empty window, without signal, or both: inputs and embeddings."""
    inputs, promoters, recipe = part.job.inputs, part.promoters, part.job.recipe
    if what != "features" and part.encoder is not None:
        empty = part.encoder(np.full((1, part.encoder.window), PADDING, dtype=np.uint8))
        promoters = empty.expand(len(promoters), -1)
    if what != "sequence":
        of_gene, of_slot = inputs.gene_features.copy(), inputs.promoter_features.copy()
        for features, values in zip((of_gene, of_slot), silenced_promoter(recipe), strict=True):
            for column, value in values.items():
                features[:, column] = value
        inputs = replace(inputs, gene_features=of_gene, promoter_features=of_slot)
    return inputs, promoters
