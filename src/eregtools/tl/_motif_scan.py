"""Scan regions of the genome for motifs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools._logging import progress_bar
from eregtools.batches.encode import UNKNOWN
from eregtools.io.meme import BASES
from eregtools.tl._tomtom import require_memelite, threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.io.meme import Pwm

_PIECE: Final = 1 << 20
"""Longer regions are scanned in pieces of this many bases."""
_BASES_AT_ONCE: Final = 1 << 22
_GRID: Final = 0.1
_PSEUDO: Final = 1e-4
"""What each log2 ratio is rounded to, and what is added to probabilities before."""
_MARGIN: Final = 0.4
"""Part of the grid by which scores given to FIMO lie above it, since it takes the whole part of them."""


@dataclass(frozen=True)
class Hits:
    """Instances of motifs, all arrays ``(n,)``.

    Attributes
    ----------
    region, motif
        Row of the region, and number of the motif.
    start, length
        Position in the region, and bases.
    reverse
        Whether it is on the reverse strand.
    sequence
        The instance, 5′ to 3′ on its strand.
    score, p_value
        As :func:`eregtools.tl.motif_hits` says.
    """

    region: NDArray[np.int64]
    motif: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    reverse: NDArray[np.bool_]
    sequence: NDArray[np.object_]
    score: NDArray[np.float64]
    p_value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.region)

    def take(self, rows: NDArray[Any]) -> Hits:
        """Take some of them."""
        return Hits(*(values[rows] for values in vars(self).values()))

    def of_each_length(self) -> Iterator[tuple[NDArray[np.int64], int]]:
        """Rows of the instances of each length, and the length."""
        for length in np.unique(self.length).tolist():
            yield np.flatnonzero(self.length == length), length


def scan(
    regions: pd.DataFrame, motifs: Mapping[str, Pwm], genome: Genome, *, threshold: float, both_strands: bool
) -> Hits:
    """Find instances of motifs by FIMO.

    Parameters
    ----------
    regions
        ``Chromosome``, ``Start`` and ``End``.
    motifs
        Name -> probabilities ``(length, 4)``.
    genome
        Where the regions lie.
    threshold
        Largest p-value.
    both_strands
        Scan the reverse strand, too.

    Returns
    -------
    Instances that hold no unknown base and have no negative score, by region, position, motif and strand.
    """
    fimo = require_memelite().fimo
    matrices = {str(k): _on_grid(pwm) for k, pwm in enumerate(motifs.values())}
    lengths = np.array([len(pwm) for pwm in motifs.values()])
    longest = int(lengths.max())
    pieces = _pieces(regions, longest)
    parts = []
    with progress_bar(int(pieces["own"].sum()), "Scanning for motifs", "bases") as bar, threads():
        for batch in _batches(pieces):
            codes = _codes(batch, regions, genome, longest)
            one_hot = np.ascontiguousarray(np.eye(UNKNOWN + 1, UNKNOWN, dtype=np.int8)[codes].transpose(0, 2, 1))
            found = fimo(
                matrices, one_hot, bin_size=_GRID, eps=0.0, threshold=threshold, reverse_complement=both_strands
            )
            parts.append(_of_batch(found, batch, codes, lengths))
            bar.update(int(batch["own"].sum()))
    if not parts:
        return _of_batch([], pieces, np.empty((0, 0), dtype=np.uint8), lengths)
    hits = Hits(*(np.concatenate(values) for values in zip(*(vars(part).values() for part in parts), strict=True)))
    return hits.take(np.lexsort((hits.reverse, hits.motif, hits.start, hits.region)))


def _on_grid(pwm: Pwm) -> NDArray[np.float64]:
    """Matrix ``(4, length)`` whose log2 ratios lie on the grid, and their sum just above it.

    FIMO's p-values are those of rounded ratios, but its scores are not, so that it gives the best of all sequences
    p = 0. Of ratios on the grid both are the same.
    """
    ratio = np.round((np.log2(pwm.astype(np.float64) + _PSEUDO) + 2) / _GRID)
    return np.ascontiguousarray(2.0 ** ((ratio + _MARGIN / len(pwm)) * _GRID - 2).T)


def _pieces(regions: pd.DataFrame, longest: int) -> pd.DataFrame:
    """Cut regions into pieces that can be read at once.

    Row of the ``region``, ``offset`` in it, bases in which an instance may begin (``own``), and bases to read
    (``length``), which are more by those that the longest motif reaches beyond.
    """
    size = (regions[Var.end] - regions[Var.start]).to_numpy(dtype=np.int64)
    n_pieces = -(-size // _PIECE)
    region = np.repeat(np.arange(len(size)), n_pieces)
    offset = _PIECE * (np.arange(len(region)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces))
    left = size[region] - offset
    own = np.minimum(left, _PIECE)
    return pd.DataFrame({"region": region, "offset": offset, "own": own, "length": np.minimum(left, own + longest - 1)})


def _batches(pieces: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Pieces of about the same length, so that little is read beside them."""
    ordered = pieces.sort_values("length", kind="stable")
    length = ordered["length"].to_numpy()
    begin = 0
    for end in range(1, len(length) + 1):
        if end == len(length) or (end + 1 - begin) * length[end] > _BASES_AT_ONCE:
            yield ordered.iloc[begin:end]
            begin = end


def _codes(batch: pd.DataFrame, regions: pd.DataFrame, genome: Genome, longest: int) -> NDArray[np.uint8]:
    own = regions.iloc[batch["region"].to_numpy()]
    start = own[Var.start].to_numpy(dtype=np.int64) + batch["offset"].to_numpy()
    length = batch["length"].to_numpy()
    codes = genome.codes(own[Var.chromosome].to_numpy(dtype=object), start, max(int(length.max()), longest))
    codes[np.arange(codes.shape[1]) >= length[:, None]] = UNKNOWN
    return codes


def _of_batch(
    found: list[pd.DataFrame], batch: pd.DataFrame, codes: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> Hits:
    """Instances that begin in their piece's own bases, hold no unknown one and have no negative score."""

    def column(name: str, dtype: type) -> NDArray[Any]:
        values = [table[name].to_numpy(dtype=dtype) for table in found]
        return np.concatenate([np.empty(0, dtype=dtype), *values])

    piece, motif = column("sequence_name", np.int64), np.repeat(np.arange(len(found)), [len(table) for table in found])
    start = column("start", np.int64)
    hits = Hits(
        batch["region"].to_numpy()[piece],
        motif,
        start + batch["offset"].to_numpy()[piece],
        lengths[motif],
        column("strand", object) == "-",
        np.full(len(piece), "", dtype=object),
        np.round(column("score", np.float64) - _MARGIN * _GRID, 1),
        column("p-value", np.float64),
    )
    kept = (start < batch["own"].to_numpy()[piece]) & (hits.score >= 0)
    for rows, length in hits.of_each_length():
        bases = codes[piece[rows, None], start[rows, None] + np.arange(length)]
        kept[rows] &= (bases < UNKNOWN).all(axis=1)
        hits.sequence[rows] = _text(bases, hits.reverse[rows])
    return hits.take(np.flatnonzero(kept))


def _text(codes: NDArray[np.uint8], reverse: NDArray[np.bool_]) -> NDArray[np.object_]:
    """Letters of bases ``(n, length)``, complemented and turned where reverse."""
    letters = np.frombuffer("".join(BASES).encode() + b"N", dtype=np.uint8)
    turned = np.append(letters[:UNKNOWN][::-1], letters[UNKNOWN])
    texts = np.where(reverse[:, None], turned[codes][:, ::-1], letters[codes])
    return np.ascontiguousarray(texts).view(f"S{codes.shape[1]}").ravel().astype(str).astype(object)
