"""Pairs of an enhancer and a promoter as EPIPAM reads them: windows of one length, and words of six bases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from eregtools._keys import Modality, Var
from eregtools.windows import centred_windows

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

_WORD: Final = 6


@dataclass(frozen=True)
class Windows:
    """Windows of one length, one for each element of a modality.

    Attributes
    ----------
    chromosome
        Chromosome of each, in the object's spelling ``(n,)``.
    start
        First base of each ``(n,)``; the windows are ``[start, start + length)``.
    length
        Length in bp.
    """

    chromosome: NDArray[np.object_]
    start: NDArray[np.int64]
    length: int

    def distinct(self) -> NDArray[np.int64]:
        """Give each element the number of its window, the same for elements that share one ``(n,)``."""
        _, chromosome = np.unique(self.chromosome.astype(str), return_inverse=True)
        _, number = np.unique(np.stack([chromosome, self.start]), axis=1, return_inverse=True)
        return np.asarray(number, dtype=np.int64).ravel()

    def codes(self, genome: Genome, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Sequence of some windows, plus strand: codes ``(n, length)``."""
        return genome.codes(self.chromosome[rows].tolist(), self.start[rows], self.length)


def pair_windows(mdata: MuData, modality: str, length: int, genome: Genome) -> Windows:
    """Windows of the elements of a modality.

    They are those that :func:`eregtools.pp.pairs` stored. Without stored ones they are centred on enhancers, and on the
    TSS of genes.

    Parameters
    ----------
    mdata
        The object.
    modality
        ``"enhancers"`` or ``"genes"``.
    length
        Length that the model reads, in bp.
    genome
        Where the chromosomes end.

    Raises
    ------
    ValueError
        The stored windows have another length; a chromosome is shorter than a window.
    """
    var = mdata[modality].var
    chromosome = var[Var.chromosome].astype(object).to_numpy()
    if Var.pair_window_start in var:
        start = var[Var.pair_window_start].to_numpy(dtype=np.int64)
        widths = np.unique(var[Var.pair_window_end].to_numpy(dtype=np.int64) - start)
        if len(widths) and (len(widths) > 1 or widths[0] != length):
            found = ", ".join(map(str, widths[:3]))
            side = "enhancer" if modality == Modality.enhancers else "promoter"
            raise ValueError(
                f"the windows of {modality} are {found} bp, but the model reads {length}; run er.pp.pairs with "
                f"{side}_width={length}, or pass a model of these windows"
            )
        return Windows(chromosome, start, length)
    names = genome.match_chromosomes(dict.fromkeys(chromosome), modality)
    size = np.array([genome.chrom_sizes[names[name]] for name in chromosome], dtype=np.int64)
    if modality == Modality.genes:
        first = var[Var.tss].to_numpy(dtype=np.int64)
        last = first + 1
    else:
        first, last = (var[column].to_numpy(dtype=np.int64) for column in (Var.start, Var.end))
    return Windows(chromosome, centred_windows(first, last, length, size), length)


def keras_tokens(sequence: str, length: int) -> NDArray[np.int32]:
    """Words of six bases numbered as the authors' tokeniser does, to feed weights that were trained with it.

    A word with a capital N is 0. One with a small n or another letter is left out, and what follows it moves up: the
    network's own words keep their place and are 0 instead.

    Parameters
    ----------
    sequence
        Letters, either case.
    length
        Words to return; padded with 0 on the left, or cut there.

    Examples
    --------
    >>> keras_tokens("AAAAAAC", 4)
    array([0, 0, 1, 2], dtype=int32)
    """
    numbers = []
    for place in range(len(sequence) - _WORD + 1):
        word = sequence[place : place + _WORD]
        if "N" in word:
            numbers.append(0)
        elif set(word.upper()) <= set("ACGT"):
            numbers.append(1 + sum("ACGT".index(base) * 4 ** (_WORD - 1 - i) for i, base in enumerate(word.upper())))
    kept = numbers[-length:]
    return np.array([0] * (length - len(kept)) + kept, dtype=np.int32)
