"""Batches of genes and of windows for Lightning; sequence stays uint8 until it is on the device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from eregtools.batches.encode import PADDING
from eregtools.batches.genes import GeneInputs
from eregtools.batches.windows import Augmentation, WindowBatch, fingerprint
from eregtools.models.epinformer import EPInformer
from eregtools.models.layers import Standardise
from eregtools.train.regimes import BatchOrder


class Rows(Protocol):
    """Rows to learn from, of a kind that draws its own changes of them."""

    def __len__(self) -> int: ...

    def drawn(self, rows: NDArray[np.int64], rng: np.random.Generator | None) -> dict[str, Tensor]:
        """Tensors of a batch of rows, ``target`` among them; without ``rng`` as they are."""
        ...

    def fingerprint(self) -> str:
        """Hash (sha256) of everything a model could learn from."""
        ...


@dataclass(frozen=True)
class GeneData:
    """Genes of one or more biosamples with their sequence and target; a row is a gene in a biosample.

    Attributes
    ----------
    inputs
        Genes, links and features; ``inputs.element`` are rows of ``elements``.
    promoter
        Row of ``promoters`` of each row ``(n,)``.
    promoters
        Codes of the distinct promoters ``(n_promoters, window)``; ``None``: a model without sequence.
    elements
        Codes of the distinct elements ``(n_elements, window)``; ``None``: a model without sequence.
    target
        Expression ``(n,)``.
    """

    inputs: GeneInputs
    promoter: NDArray[np.int64]
    promoters: NDArray[np.uint8] | None
    elements: NDArray[np.uint8] | None
    target: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[np.int64]) -> GeneData:
        """Those rows; the sequences stay shared."""
        return replace(self, inputs=self.inputs.take(rows), promoter=self.promoter[rows], target=self.target[rows])

    def batch(self, rows: NDArray[np.int64], *, padded_slots: int | None = None) -> dict[str, Tensor]:
        """Tensors of a batch of rows; each distinct sequence of the batch is there once.

        Parameters
        ----------
        rows
            Rows of the batch.
        padded_slots
            Slots of a row in the padded batch whose moments batch normalisation is to have: one empty sequence is
            added, which counts as often as the padded batch has empty slots. ``None``: none is.

        Returns
        -------
        ``codes`` ``(n_sequences, window)``, ``multiplicity`` ``(n_sequences,)`` (slots that hold each), ``slot``
        ``(n, slots)`` (row of ``codes`` in each slot, slot 0 the promoter), ``padding`` ``(n, slots)``,
        ``slot_features``, ``gene_features``, ``target``. Without sequence the first three are left out.
        """
        part = self.inputs.take(rows)
        n, counts = len(rows), np.diff(part.offsets)
        slots = int(counts.max(initial=0)) + 1
        row = np.repeat(np.arange(n), counts)
        column = np.arange(len(part.element)) - np.repeat(part.offsets[:-1], counts) + 1
        padding = np.ones((n, slots), dtype=bool)
        padding[:, 0] = False
        padding[row, column] = False
        features = np.zeros((n, slots, part.slot_features.shape[1]), dtype=np.float32)
        features[:, 0] = part.promoter_features
        features[row, column] = part.slot_features
        arrays: dict[str, NDArray[Any]] = {
            "padding": padding,
            "slot_features": features,
            "gene_features": part.gene_features,
            "target": self.target[rows],
        }
        if self.promoters is not None and self.elements is not None:
            promoters, own = np.unique(self.promoter[rows], return_inverse=True)
            elements, place = np.unique(part.element, return_inverse=True)
            slot = np.zeros((n, slots), dtype=np.int64)
            slot[:, 0] = own
            slot[row, column] = len(promoters) + place
            codes = [self.promoters[promoters], self.elements[elements]]
            times = [np.bincount(own, minlength=len(promoters)), np.bincount(place, minlength=len(elements))]
            if padded_slots is not None:
                if slots > padded_slots:
                    raise ValueError(f"a gene has {slots - 1} enhancers; the padded batch has {padded_slots - 1} slots")
                codes.append(np.full((1, self.elements.shape[1]), PADDING, dtype=np.uint8))
                times.append(np.array([n * (padded_slots - 1) - len(place)]))
            arrays["slot"] = slot
            arrays["codes"] = np.concatenate(codes)
            arrays["multiplicity"] = np.concatenate(times).astype(np.float32)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def fit_scales(self, model: EPInformer) -> None:
        """Give a model that standardises its features the moments of these rows."""
        for scale, values in (
            (model.slot_scale, self.inputs.slot_features),
            (model.gene_scale, self.inputs.gene_features),
        ):
            if isinstance(scale, Standardise):
                scale.fit(torch.from_numpy(values))

    def fingerprint(self) -> str:
        """Hash (sha256) of everything a model could learn from."""
        parts: list[NDArray[Any]] = [
            self.inputs.offsets,
            self.inputs.element,
            self.inputs.slot_features,
            self.inputs.promoter_features,
        ]
        parts += [self.inputs.gene_features, self.promoter, self.target]
        parts += [codes for codes in (self.promoters, self.elements) if codes is not None]
        return fingerprint(parts)


_ALIKE = 12
"""Batches among whose genes those with as many enhancers are put together."""


class Batches(Dataset[dict[str, Tensor]]):
    """Batches of rows, in an order that depends on seed and epoch alone; each process gets its part of every batch.

    Parameters
    ----------
    data
        Genes, windows, or rows of another kind; these are drawn anew in each epoch where there is a seed.
    batch_size
        Rows of a batch, over all processes.
    seed
        Seed of the order; ``None``: the order of the data.
    order
        ``"random"``, or ``"locus"``: neighbouring genes together.
    padded_slots
        As in :meth:`GeneData.batch`.
    augmentation
        How sequences are changed; ``None``: not at all.
    """

    def __init__(
        self,
        data: GeneData | WindowBatch | Rows,
        batch_size: int,
        *,
        seed: int | None = None,
        order: BatchOrder = "random",
        padded_slots: int | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.data, self.batch_size, self.seed, self.order = data, batch_size, seed, order
        self.padded_slots, self.augmentation = padded_slots, augmentation
        self.process, self.n_processes = 0, 1
        self.epoch = 0

    def start_epoch(self, epoch: int, process: int, n_processes: int) -> None:
        """Set the epoch whose order is used, and which part of each batch is ours."""
        self.epoch, self.process, self.n_processes = epoch, process, n_processes
        self._batches = self.row_batches()

    def row_batches(self) -> list[NDArray[np.int64]]:
        """Rows of each batch of the epoch, of all processes."""
        order = np.arange(len(self.data))
        rng = None if self.seed is None else np.random.default_rng((self.seed, self.epoch))
        sorted_rows = False
        if self.order == "locus" and isinstance(self.data, GeneData):
            sorted_rows = True
            order = np.argsort(self.data.inputs.gene, kind="stable")
            if rng is not None:
                order = np.roll(order, rng.integers(self.batch_size))
        elif rng is not None:
            rng.shuffle(order)
            if isinstance(self.data, GeneData) and self.data.promoters is None:
                # Without sequence, padded slots are most of the work: batches of genes with as many enhancers.
                sorted_rows = True
                counts, some = np.diff(self.data.inputs.offsets), _ALIKE * self.batch_size
                parts = [order[i : i + some] for i in range(0, len(order), some)]
                order = np.concatenate([part[np.argsort(counts[part], kind="stable")] for part in parts])
        # A last batch with less than a row for each process, or of one row, which has no variance for batch
        # normalisation, joins the one before.
        least = max(2, self.n_processes)
        n = max(1, -(-(len(order) - least + 1) // self.batch_size))
        parts = [order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(n - 1)]
        parts.append(order[(n - 1) * self.batch_size :])
        if sorted_rows and rng is not None:
            return [parts[i] for i in rng.permutation(len(parts))]
        return parts

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        whole = self._batches[number]
        rows = whole[self.process :: self.n_processes]
        rng = np.random.default_rng((self.seed or 0, self.epoch, number, self.process))
        if isinstance(self.data, GeneData):
            batch = self.data.batch(rows, padded_slots=self.padded_slots)
        elif isinstance(self.data, WindowBatch):
            part = self.data.take(rows)
            batch = {"codes": torch.from_numpy(part.codes), "target": torch.from_numpy(part.target)}
        else:
            batch = self.data.drawn(rows, None if self.seed is None else rng)
        # Processes average their gradients: each one's mean loss counts by its share of the rows.
        batch["share"] = torch.tensor(len(rows) * self.n_processes / len(whole))
        if self.augmentation is not None and "codes" in batch:
            batch["codes"] = torch.from_numpy(self.augmentation(batch["codes"].numpy(), rng))
        return batch


class TrainingData(lightning.LightningDataModule):
    """Training and validation batches.

    Parameters
    ----------
    train, valid
        Batches of rows.
    """

    def __init__(self, train: Batches, valid: Batches) -> None:
        super().__init__()
        self.train, self.valid = train, valid

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches in the order of the epoch."""
        return self._loader(self.train)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches of the validation rows."""
        return self._loader(self.valid)

    def _loader(self, batches: Batches) -> DataLoader[dict[str, Tensor]]:
        trainer: Any = self.trainer
        batches.start_epoch(len(trainer.lightning_module.history), trainer.global_rank, trainer.world_size)
        return DataLoader(batches, batch_size=None)
