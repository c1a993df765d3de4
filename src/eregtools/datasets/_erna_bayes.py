"""Exact log odds of simulated loci: what the best possible score is, from both modalities and from each alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd

from eregtools.datasets._erna_grammar import grammar_ratios
from eregtools.datasets._erna_reads import MINUS, PLUS
from eregtools.datasets._erna_tasks import STRATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from eregtools.datasets._erna_grammar import SequenceLaw
    from eregtools.datasets._erna_reads import ReadLaw
    from eregtools.datasets._erna_tasks import Placement

_TRACKS_AT_A_TIME: Final = 256

READ_THROUGH: Final = 4
"""Read-through decays over this many times the decay of a locus."""


class Coverage:
    """Likelihood ratios of 5′ ends in windows against background.

    Parameters
    ----------
    counts
        Reads that begin at each base ``(n, 2, length)``.
    law
        How reads are distributed.
    stranded
        ``False``: strands are coins, and only their sum tells.
    """

    def __init__(self, counts: NDArray[np.uint16], law: ReadLaw, *, stranded: bool) -> None:
        values = counts.astype(np.float64)
        if not stranded:
            values = np.repeat(values.sum(axis=1, keepdims=True), 2, axis=1)
        self.law, self.background = law, law.background * (1 if stranded else 2)
        self.length = counts.shape[-1]
        self.total = counts.sum(axis=(1, 2))
        # Minus strand turned round: transcription runs to the right on both.
        self.downstream = np.stack([values[:, 0], values[:, 1, ::-1]])
        self._size = 2 * self.length
        self._spectrum = np.fft.rfft(self.downstream, self._size)
        self._arms: dict[tuple[int, float], NDArray[np.float64]] = {}

    def exchanged(self) -> Coverage:
        """Return the same with plus and minus exchanged."""
        other = object.__new__(Coverage)
        other.__dict__ |= self.__dict__
        other.downstream = self.downstream[::-1, :, ::-1]
        other._spectrum, other._arms = np.fft.rfft(other.downstream, self._size), {}
        return other

    def divergent(self, places: NDArray[np.int64], strands: Iterable[int] = (PLUS, MINUS)) -> NDArray[np.float64]:
        """Log likelihood ratio ``(n, n_places)`` of transcription around each place; ``strands``: its arms."""
        terms = []
        chosen = tuple(strands)
        for reads in self.law.reads:
            for plus in self.law.plus_shares:
                for gap in self.law.gaps:
                    starts = {PLUS: places + gap // 2, MINUS: self.length - 1 - (places - gap // 2)}
                    share = {PLUS: plus, MINUS: 1 - plus}
                    arms = [self._arm(strand, reads * share[strand])[:, starts[strand]] for strand in chosen]
                    terms.append(np.sum(arms, axis=0))
        return log_mean_exp(terms)

    def one_armed(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Log likelihood ratio of a locus of which one arm alone is transcribed, either with equal chance."""
        return log_mean_exp([self.divergent(places, [strand]) for strand in (PLUS, MINUS)])

    def read_through(self) -> NDArray[np.float64]:
        """Log likelihood ratio ``(n,)`` of one strand that decays from the edge."""
        decay = READ_THROUGH * self.law.decay
        shape = _density(self.length, decay)
        return self._one_strand(shape, 1 - np.exp(-self.length / decay))

    def uniform(self) -> NDArray[np.float64]:
        """Log likelihood ratio ``(n,)`` of one strand with reads anywhere."""
        return self._one_strand(np.full(self.length, 1 / self.length), 1.0)

    def silence(self) -> NDArray[np.float64]:
        """Log likelihood ratio ``(n,)`` of a window in which there can be no read."""
        expected = 2 * self.length * self.law.background
        return np.where(self.total == 0, expected, -np.inf)

    def _one_strand(self, shape: NDArray[np.float64], mass: float) -> NDArray[np.float64]:
        terms = [
            self.downstream[strand] @ np.log1p(reads * shape / self.background) - reads * mass
            for reads in self.law.reads
            for strand in (PLUS, MINUS)
        ]
        return log_mean_exp(terms)

    def _arm(self, strand: int, reads: float) -> NDArray[np.float64]:
        """Log likelihood ratio of an arm that starts at each base and runs to the right."""
        key = strand, reads
        if key not in self._arms:
            kernel = np.log1p(reads * _density(self.length, self.law.decay) / self.background)
            product = self._spectrum[strand] * np.conj(np.fft.rfft(kernel, self._size))
            gained = np.fft.irfft(product, self._size)[:, : self.length]
            inside = 1 - np.exp(-(self.length - np.arange(self.length)) / self.law.decay)
            self._arms[key] = gained - reads * inside
        return self._arms[key]


def _density(length: int, decay: float) -> NDArray[np.float64]:
    return (1 - np.exp(-1 / decay)) * np.exp(-np.arange(length) / decay)


def log_mean_exp(terms: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Logarithm of the mean of what the terms are logarithms of, element by element."""
    out = terms[0]
    for term in terms[1:]:
        out = np.logaddexp(out, term)
    return out - np.log(len(terms))


def log_odds_of_alignment(
    codes: NDArray[np.uint8],
    counts: NDArray[np.uint16],
    pairs: pd.DataFrame,
    laws: tuple[SequenceLaw, ReadLaw],
    placement: Placement,
    *,
    stranded: bool,
) -> pd.DataFrame:
    """Log odds of pairs against re-paired ones; of one modality alone they are 0 by construction."""
    places = placement.rna_places
    of_sequence = grammar_ratios(codes, laws[0], placement.grammar_places)
    of_coverage, _ = _scaled(_in_chunks(counts, laws[1], stranded, lambda part: part.divergent(places)))
    s, c = pairs["sequence"].to_numpy(), pairs["track"].to_numpy()
    matched = _joint(of_sequence, of_coverage, placement.positives(), s, c)
    apart = _joint(of_sequence, of_coverage, placement.repaired(), s, c)
    none = np.zeros(len(pairs))
    return pd.DataFrame(
        {"fused": np.log(matched) - np.log(apart), "sequence": none, "coverage": none}, index=pairs.index
    )


def log_odds_of_confounders(
    codes: NDArray[np.uint8],
    counts: NDArray[np.uint16],
    pairs: pd.DataFrame,
    laws: tuple[SequenceLaw, ReadLaw],
    placement: Placement,
    *,
    stranded: bool,
) -> pd.DataFrame:
    """Log odds of positives against the mixture of all strata of negatives."""
    s, c = pairs["sequence"].to_numpy(), pairs["track"].to_numpy()
    places, aligned, misaligned = placement.rna_places, placement.positives(), placement.misaligned()

    def ratios(compute: Callable[[Coverage], NDArray[np.float64]]) -> NDArray[np.float64]:
        return _in_chunks(counts, laws[1], stranded, compute)

    of_sequence = grammar_ratios(codes, laws[0], placement.grammar_places)
    divergent = _scaled(ratios(lambda part: part.divergent(places)))
    exchanged = _scaled(ratios(lambda part: part.exchanged().divergent(places)))
    one_armed = _scaled(ratios(lambda part: part.one_armed(places)))
    grammar = of_sequence[s] @ aligned.sum(axis=1)

    def both(coverage: _Scaled, law: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(_joint(of_sequence, coverage.values, law, s, c)) + coverage.log_scale[c]

    def alone(coverage: _Scaled, law: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log(coverage.values[c] @ law.sum(axis=0)) + coverage.log_scale[c]

    of_coverage = {
        "silent": alone(divergent, aligned),
        "misalign": alone(divergent, misaligned),
        "swap": alone(exchanged, aligned),
        "poised": np.zeros(len(pairs)),
        "uni": alone(one_armed, aligned),
        "read": ratios(lambda part: part.read_through())[c],
        "intron": ratios(lambda part: part.uniform())[c],
        "zero": ratios(lambda part: part.silence())[c],
    }
    fused = {name: np.log(grammar) + values for name, values in of_coverage.items()} | {
        "silent": of_coverage["silent"],
        "misalign": both(divergent, misaligned),
        "swap": both(exchanged, aligned),
        "uni": both(one_armed, aligned),
    }
    without = STRATA["silent"]
    return pd.DataFrame(
        {
            "fused": both(divergent, aligned) - _mixture(fused),
            "sequence": np.log(grammar) - np.log((1 - without) * grammar + without),
            "coverage": of_coverage["silent"] - _mixture(of_coverage),
        },
        index=pairs.index,
    )


def _in_chunks(
    counts: NDArray[np.uint16], law: ReadLaw, stranded: bool, compute: Callable[[Coverage], NDArray[np.float64]]
) -> NDArray[np.float64]:
    parts = range(0, len(counts), _TRACKS_AT_A_TIME)
    return np.concatenate([compute(Coverage(counts[i : i + _TRACKS_AT_A_TIME], law, stranded=stranded)) for i in parts])


class _Scaled(NamedTuple):
    values: NDArray[np.float64]
    """Ratios of each row over its largest."""
    log_scale: NDArray[np.float64]
    """Logarithm of the largest ratio of each row."""


def _mixture(of_stratum: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    weighted = [values + np.log(STRATA[name]) for name, values in of_stratum.items()]
    return log_mean_exp(weighted) + np.log(len(weighted))


def _scaled(log_ratios: NDArray[np.float64]) -> _Scaled:
    largest = log_ratios.max(axis=1)
    return _Scaled(np.exp(log_ratios - largest[:, None]), largest)


def _joint(
    of_sequence: NDArray[np.float64],
    of_coverage: NDArray[np.float64],
    law: NDArray[np.float64],
    sequence: NDArray[np.int64],
    track: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Mean over places of the product of both ratios, for each pair."""
    return np.einsum("ij,ij->i", (of_sequence @ law)[sequence], of_coverage[track])
