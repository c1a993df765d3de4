"""One biosample's genes as an expression model reads them: links by index, features, never a padded array."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import MRNA_FEATURES, Layer, Modality, Var, Varm
from eregtools._logging import logger
from eregtools._schema import link_positions
from eregtools.batches.encode import centred_windows, element_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.models.recipes import Feature, Recipe

_HOW_TO_FILL = {
    Layer.activity: "er.pp.activity",
    Layer.contact: "er.pp.add_contacts",
    Layer.promoter_activity: "er.pp.promoter_activity",
    Varm.mrna_features: "er.pp.mrna_features",
}


@dataclass(frozen=True)
class GeneInputs:
    """Genes of one biosample with their enhancers.

    Links of gene ``i`` are ``offsets[i]:offsets[i + 1]``, nearest first.

    Attributes
    ----------
    gene
        Rows of ``genes.var``, ``(n,)``.
    link, element
        Rows of ``links.var`` and ``enhancers.var``, ``(m,)``.
    offsets
        Where each gene's links begin, ``(n + 1,)``.
    slot_features, promoter_features
        Features of the enhancers' slots ``(m, k)`` and of the promoters' ``(n, k)``.
    gene_features
        ``(n, g)``.
    """

    gene: NDArray[np.int64]
    link: NDArray[np.int64]
    element: NDArray[np.int64]
    offsets: NDArray[np.int64]
    slot_features: NDArray[np.float32]
    promoter_features: NDArray[np.float32]
    gene_features: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> GeneInputs:
        """Those genes, in that order."""
        counts = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        links = np.repeat(self.offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        return GeneInputs(
            self.gene[rows],
            self.link[links],
            self.element[links],
            offsets,
            self.slot_features[links],
            self.promoter_features[rows],
            self.gene_features[rows],
        )

    @staticmethod
    def concatenated(parts: Sequence[GeneInputs]) -> GeneInputs:
        """Genes of several biosamples, one after the other."""
        begins = np.cumsum([0, *(part.offsets[-1] for part in parts)])
        offsets = [part.offsets[:-1] + begin for part, begin in zip(parts, begins, strict=False)]
        columns = ("gene", "link", "element", "slot_features", "promoter_features", "gene_features")
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
        return GeneInputs(offsets=np.concatenate([*offsets, begins[-1:]]), **arrays)

    def complete(self) -> NDArray[np.bool_]:
        """Genes all of whose features are numbers."""
        owner = np.repeat(np.arange(len(self.gene)), np.diff(self.offsets))
        gene_level = np.concatenate([self.gene_features, self.promoter_features], axis=1)
        good: NDArray[np.bool_] = np.isfinite(gene_level).all(axis=1)
        good[owner[~np.isfinite(self.slot_features).all(axis=1)]] = False
        return good


def gene_inputs(mdata: MuData, sample: str, recipe: Recipe) -> GeneInputs:
    """All genes of one biosample under a recipe.

    Parameters
    ----------
    mdata
        The object, with ``links``.
    sample
        Name of the biosample.
    recipe
        What the model was trained with.

    Raises
    ------
    KeyError
        A feature of the recipe is not in the object; the message names it and the call that adds it.
    """
    genes, links, row = mdata[Modality.genes], mdata[Modality.links], mdata.obs_names.get_loc(sample)
    gene, element = link_positions(mdata)
    distance = links.var[Var.distance].to_numpy(dtype=np.float64)
    own = np.flatnonzero(_row(links, Layer.candidate, row) > 0)
    order = own[np.lexsort((np.abs(distance[own]), gene[own]))]
    counts = np.bincount(gene[order], minlength=genes.n_vars)
    if recipe.max_enhancers is not None and counts.max(initial=0) > recipe.max_enhancers:
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        order = order[rank < recipe.max_enhancers]
        over = counts > recipe.max_enhancers
        report = logger.info if recipe.max_enhancers else logger.debug  # without enhancers by design: no news
        report(
            "%s: %d genes have more than %d enhancers; the nearest %d are used (%d links left out)",
            sample,
            over.sum(),
            recipe.max_enhancers,
            recipe.max_enhancers,
            (counts[over] - recipe.max_enhancers).sum(),
        )
        counts = np.minimum(counts, recipe.max_enhancers)

    def slot(feature: Feature) -> NDArray[np.float32]:
        if feature.name == Var.distance:
            return feature.apply(distance[order])
        if feature.name == Layer.contact:
            return feature.apply(_layer(mdata, Modality.links, feature.name, recipe)[row][order])
        return feature.apply(_layer(mdata, Modality.enhancers, feature.name, recipe)[row][element[order]])

    return GeneInputs(
        gene=np.arange(genes.n_vars),
        link=order,
        element=element[order],
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        slot_features=_stack([slot(f) for f in recipe.slot_features], len(order)),
        promoter_features=_promoter_features(mdata, row, recipe),
        gene_features=_gene_features(mdata, row, recipe),
    )


def promoter_codes(mdata: MuData, genome: Genome, rows: NDArray[np.int64], window: int) -> NDArray[np.uint8]:
    """Sequence around the TSS of those rows of ``genes.var``, codes ``(n, window)``."""
    table = mdata[Modality.genes].var.iloc[rows]
    return centred_windows(genome, table[Var.chromosome].astype(str).tolist(), table[Var.tss].to_numpy(), window)


def enhancer_codes(mdata: MuData, genome: Genome, rows: NDArray[np.int64], window: int) -> NDArray[np.uint8]:
    """Sequence of those rows of ``enhancers.var``, each centred in its window, codes ``(n, window)``."""
    table = mdata[Modality.enhancers].var.iloc[rows]
    start, end = table[Var.start].to_numpy(), table[Var.end].to_numpy()
    return element_windows(genome, table[Var.chromosome].astype(str).tolist(), start, end, window)


def _promoter_features(mdata: MuData, row: int, recipe: Recipe) -> NDArray[np.float32]:
    n = mdata[Modality.genes].n_vars
    columns = []
    for feature in recipe.slot_features:
        if isinstance(feature.promoter, str):
            name = Layer.promoter_activity if feature.name == Layer.activity else feature.name
            own = _layer(mdata, Modality.genes, name, recipe)[row]
            columns.append(replace(feature, transform=feature.promoter).apply(own))
        else:
            columns.append(np.full(n, feature.promoter, dtype=np.float32))
    return _stack(columns, n)


def _gene_features(mdata: MuData, row: int, recipe: Recipe) -> NDArray[np.float32]:
    genes = mdata[Modality.genes]
    columns = []
    for feature in recipe.gene_features:
        if feature.name not in MRNA_FEATURES:
            columns.append(feature.apply(_layer(mdata, Modality.genes, feature.name, recipe)[row]))
            continue
        table = genes.varm.get(Varm.mrna_features)
        if table is None or feature.name not in table:
            raise _lacking(recipe, feature.name, f"genes.varm[{Varm.mrna_features!r}]", Varm.mrna_features)
        columns.append(feature.apply(table[feature.name].to_numpy()))
    return _stack(columns, genes.n_vars)


def _layer(mdata: MuData, modality: str, layer: str, recipe: Recipe) -> NDArray[np.float32]:
    if layer not in mdata[modality].layers:
        raise _lacking(recipe, layer, f"{modality}.layers[{layer!r}]", layer)
    return np.asarray(mdata[modality].layers[layer])


def _lacking(recipe: Recipe, feature: str, place: str, key: str) -> KeyError:
    return KeyError(
        f"recipe {recipe.name!r} needs the feature {feature!r}, but the object has no {place}; "
        f"run {_HOW_TO_FILL.get(key, 'er.pp.add_signal')} first"
    )


def _row(modality: AnnData, layer: str, row: int) -> NDArray[np.float32]:
    return np.asarray(modality.layers[layer][row]).ravel()


def _stack(columns: list[NDArray[np.float32]], n: int) -> NDArray[np.float32]:
    return np.stack(columns, axis=1) if columns else np.empty((n, 0), dtype=np.float32)
