"""Similarity of motifs, by Tom-tom."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools._logging import logger, progress_bar
from eregtools._settings import settings
from eregtools.io.meme import PATTERN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

_FEW: Final = 25
"""Number of motifs under which p-values depend much on which they are."""
_VALUES_AT_ONCE: Final = 2_000_000
"""Pairs of query and motif that are compared together, five numbers each."""


@dataclass(frozen=True)
class Matches:
    """The best motifs of each query, nearest first.

    Attributes
    ----------
    motif
        Number of the motif ``(n_queries, n_matches)``; so are the others.
    p_value
        Of the best alignment of the two, over all places and both strands.
    q_value
        By Benjamini and Hochberg, over the motifs that the query was compared with.
    score, overlap
        Tom-tom's score, and the number of positions aligned.
    offset
        Position of the motif, turned over where ``reverse``, at which the query begins.
    reverse
        Whether the query is like the motif's reverse complement.
    """

    motif: NDArray[np.int64]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]
    score: NDArray[np.float64]
    overlap: NDArray[np.int64]
    offset: NDArray[np.int64]
    reverse: NDArray[np.bool_]

    def table(self, queries: Sequence[str], motifs: Sequence[str]) -> pd.DataFrame:
        """One row for each query and match."""
        n, most = self.motif.shape
        columns = {
            PATTERN: pd.Categorical(np.repeat(np.array(queries, dtype=object), most), categories=list(queries)),
            "rank": np.tile(np.arange(1, most + 1), n),
            "motif": np.array(motifs, dtype=object)[self.motif.ravel()],
            "p_value": self.p_value.ravel(),
            "q_value": self.q_value.ravel(),
            "score": self.score.ravel(),
            "overlap": self.overlap.ravel(),
            "offset": self.offset.ravel(),
            Var.strand: strands(self.reverse.ravel()),
        }
        return pd.DataFrame(columns, index=pd.RangeIndex(n * most).astype(str))


def compare(queries: Sequence[NDArray[Any]], motifs: Mapping[str, NDArray[np.float32]], n_matches: int) -> Matches:
    """Compare queries with motifs.

    Parameters
    ----------
    queries
        Matrices ``(length, 4)``; a row of zeros stands for an unknown base.
    motifs
        What they are compared with: name -> probabilities ``(length, 4)``.
    n_matches
        Matches to keep for each query; at most as many as there are motifs.

    Notes
    -----
    Gupta et al. 2007, by memelite: complete scores, with the columns of the motifs as background. A query's matches do
    not depend on the other queries.
    """
    tomtom = require_memelite().tomtom
    if len(motifs) < _FEW:
        logger.warning(
            "Tom-tom takes the motifs it is given as background; of %d motifs p-values are rough (give %d or more)",
            len(motifs),
            _FEW,
        )
    targets = [_as_memelite(pwm) for pwm in motifs.values()]
    step = max(1, _VALUES_AT_ONCE // len(targets))
    parts = []
    with progress_bar(len(queries), "Comparing motifs", "queries") as bar, threads() as n_jobs:
        for begin in range(0, len(queries), step):
            part = [_as_memelite(query) for query in queries[begin : begin + step]]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "tomtom was given .* target motifs", UserWarning)
                parts.append(rank_matches(tomtom(part, targets, n_jobs=n_jobs), n_matches))
            bar.update(len(part))
    return Matches(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def rank_matches(compared: NDArray[np.float64], n_matches: int) -> tuple[NDArray[Any], ...]:
    """Fields of :class:`Matches`, from p-values, scores, offsets, overlaps and strands ``(5, n_queries, n_motifs)``."""
    from scipy.stats import false_discovery_control

    p_value, score, offset, overlap, reverse = compared
    p_value = np.clip(p_value, 0, 1)
    best = np.lexsort((-score, p_value), axis=1)[:, :n_matches]
    q_value = false_discovery_control(p_value, axis=1)

    def chosen(values: NDArray[Any]) -> NDArray[Any]:
        return np.take_along_axis(values, best, axis=1)

    return (
        best.astype(np.int64),
        chosen(p_value),
        chosen(q_value),
        chosen(score),
        chosen(overlap).astype(np.int64),
        chosen(offset).astype(np.int64),
        chosen(reverse) > 0,
    )


def strands(reverse: NDArray[np.bool_]) -> pd.Categorical[str]:
    """``-`` where reverse, else ``+``."""
    return pd.Categorical(np.where(reverse, "-", "+"), categories=["+", "-"])


@contextmanager
def threads() -> Iterator[int]:
    """Let numba use ``settings.n_jobs`` threads, of those that it has; gives their number."""
    import numba

    before = numba.get_num_threads()
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    n_jobs = most if settings.n_jobs < 0 else max(1, min(settings.n_jobs, most))
    numba.set_num_threads(n_jobs)
    try:
        yield n_jobs
    finally:
        numba.set_num_threads(before)


def require_memelite() -> Any:
    """Import memelite.

    Raises
    ------
    ImportError
        It is not installed.
    """
    try:
        import memelite
    except ImportError as error:
        raise ImportError(
            "comparing motifs and scanning for them needs memelite: pip install 'eregtools[motif]'"
        ) from error
    return memelite


def _as_memelite(matrix: NDArray[Any]) -> NDArray[np.float64]:
    return np.ascontiguousarray(np.asarray(matrix, dtype=np.float64).T)
