"""Batches of genes and of windows for Lightning; sequence stays uint8 until it is on the device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from eregtools.batches.genes import GeneInputs
from eregtools.batches.windows import Augmentation, WindowBatch


@dataclass(frozen=True)
class GeneData:
    """Genes of one biosample with their sequence and target.

    Attributes
    ----------
    inputs
        Genes, links and features; ``inputs.element`` are rows of ``elements``.
    promoters
        Codes of each gene's promoter ``(n_genes, window)``.
    elements
        Codes of the distinct elements ``(n_elements, window)``.
    target
        Expression ``(n_genes,)``.
    """

    inputs: GeneInputs
    promoters: NDArray[np.uint8]
    elements: NDArray[np.uint8]
    target: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[np.int64]) -> GeneData:
        """Those genes; the elements stay shared."""
        return GeneData(self.inputs.take(rows), self.promoters[rows], self.elements, self.target[rows])

    def batch(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Tensors of a batch of genes; each distinct sequence of the batch is there once.

        Returns
        -------
        ``codes`` ``(n_sequences, window)``, ``slot`` ``(n, slots)`` (row of ``codes`` in each slot, slot 0 the
        promoter), ``padding`` ``(n, slots)``, ``slot_features``, ``gene_features``, ``target``.
        """
        part = self.inputs.take(rows)
        distinct, place = np.unique(part.element, return_inverse=True)
        n, counts = len(rows), np.diff(part.offsets)
        slots = int(counts.max(initial=0)) + 1
        row = np.repeat(np.arange(n), counts)
        column = np.arange(len(place)) - np.repeat(part.offsets[:-1], counts) + 1
        slot = np.zeros((n, slots), dtype=np.int64)
        slot[:, 0] = np.arange(n)
        slot[row, column] = n + place
        padding = np.ones((n, slots), dtype=bool)
        padding[:, 0] = False
        padding[row, column] = False
        features = np.zeros((n, slots, part.slot_features.shape[1]), dtype=np.float32)
        features[:, 0] = part.promoter_features
        features[row, column] = part.slot_features
        arrays = {
            "codes": np.concatenate([self.promoters[rows], self.elements[distinct]]),
            "slot": slot,
            "padding": padding,
            "slot_features": features,
            "gene_features": part.gene_features,
            "target": self.target[rows],
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


class _Rows(Dataset[dict[str, Tensor]]):
    """Batches of rows in a new order each epoch; the order depends on seed and epoch alone."""

    def __init__(
        self,
        data: GeneData | WindowBatch,
        batch_size: int,
        seed: int | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.data, self.batch_size, self.seed, self.augmentation = data, batch_size, seed, augmentation
        self.epoch = 0

    def __len__(self) -> int:
        # A last batch of one row has no variance for batch normalisation: it joins the one before.
        return max(1, (len(self.data) + self.batch_size - 2) // self.batch_size)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        order = np.arange(len(self.data))
        if self.seed is not None:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        end = len(order) if number == len(self) - 1 else (number + 1) * self.batch_size
        rows = order[number * self.batch_size : end]
        if isinstance(self.data, GeneData):
            batch = self.data.batch(rows)
        else:
            part = self.data.take(rows)
            batch = {"codes": torch.from_numpy(part.codes), "target": torch.from_numpy(part.target)}
        if self.augmentation is not None:
            rng = np.random.default_rng((self.seed or 0, self.epoch, number))
            batch["codes"] = torch.from_numpy(self.augmentation(batch["codes"].numpy(), rng))
        return batch


class TrainingData(lightning.LightningDataModule):
    """Training and validation rows of one kind.

    Parameters
    ----------
    train, valid
        Genes or windows.
    batch_size
        Rows in a batch.
    seed
        Seed of the order of training rows and of their augmentation.
    augmentation
        How training sequences are changed; ``None``: not at all.
    """

    def __init__(
        self, train: Any, valid: Any, *, batch_size: int, seed: int, augmentation: Augmentation | None = None
    ) -> None:
        super().__init__()
        self.train_rows = _Rows(train, batch_size, seed, augmentation)
        self.valid_rows = _Rows(valid, batch_size)

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches in the order of the epoch."""
        trainer = self.trainer
        self.train_rows.epoch = trainer.current_epoch if trainer is not None else 0
        return DataLoader(self.train_rows, batch_size=None)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches of the validation rows."""
        return DataLoader(self.valid_rows, batch_size=None)
