"""One gene as EPInformer sees it, with the sequence of one of its slots left open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eregtools.batches.genes import GeneInputs
    from eregtools.models.epinformer import EPInformer

_SLOTS_PER_BATCH = 4_000
"""Slots that go through attention together: their states stay in a CPU's cache."""


@dataclass(frozen=True)
class GeneSlots:
    """Promoter (slot 0) and enhancers of a gene.

    Attributes
    ----------
    embeddings
        ``(slots, dim)``.
    slot_features
        ``(slots, n_slot_features)``.
    gene_features
        ``(n_gene_features,)``.
    """

    embeddings: Tensor
    slot_features: Tensor
    gene_features: Tensor

    def expression(self, model: EPInformer, slot: int, embeddings: Tensor) -> Tensor:
        """Expression ``(m,)`` of the gene with each of these embeddings ``(m, dim)`` in one of its slots.

        An enhancer sees the promoter and itself, so the first layer leaves the others as they are: their states after
        it are computed once.
        """
        has_features = bool(model.config.n_slot_features)
        first, *others = model.layers
        before = model.fuse(self.embeddings[None], self.slot_features[None] if has_features else None)
        padding = torch.zeros(before.shape[:2], dtype=torch.bool, device=before.device)
        after, _ = first(before, padding) if slot and others else (before, None)
        out = []
        for part in embeddings.split(max(1, _SLOTS_PER_BATCH // len(self.embeddings))):
            n = len(part)
            features = self.slot_features[slot].expand(n, 1, -1) if has_features else None
            own, empty = model.fuse(part[:, None], features), padding.expand(n, -1)
            states = before.repeat(n, 1, 1)
            states[:, slot] = own[:, 0]
            if slot and others:
                promoter, _ = first(states, empty, promoter_only=True)
                pair, _ = first(torch.cat([before[:, :1].expand(n, -1, -1), own], dim=1), empty[:, :2])
                states = after.repeat(n, 1, 1)
                states[:, 0], states[:, slot] = promoter[:, 0], pair[:, 1]
                layers = others
            else:
                layers = [first, *others]
            for left, layer in zip(range(len(layers) - 1, -1, -1), layers, strict=True):
                states, _ = layer(states, empty, promoter_only=left == 0)
            last = states[:, 0]
            if model.config.n_gene_features:
                last = torch.cat([last, self.gene_features.expand(n, -1)], dim=1)
            out.append(model.predictor(last).squeeze(-1))
        return torch.cat(out)


def each_gene(inputs: GeneInputs, promoters: Tensor, elements: Tensor) -> Iterator[GeneSlots]:
    """Slots of each gene.

    Parameters
    ----------
    inputs
        Genes and their links.
    promoters
        Embedding of each gene's promoter ``(n_genes, dim)``.
    elements
        Embedding of each link's enhancer ``(n_links, dim)``.
    """
    for gene in range(len(inputs.gene)):
        links = slice(inputs.offsets[gene], inputs.offsets[gene + 1])
        features = np.concatenate([inputs.promoter_features[[gene]], inputs.slot_features[links]])
        yield GeneSlots(
            torch.cat([promoters[[gene]], elements[links]]),
            torch.from_numpy(features).to(promoters.device),
            torch.from_numpy(inputs.gene_features[gene]).to(promoters.device),
        )
