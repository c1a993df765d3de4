"""How motifs are sought in attributions, and what is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from eregtools.io.meme import PATTERN
from eregtools.tl._patterns import patterns_by_modisco, patterns_by_motif
from eregtools.tl._seqlets import call_seqlets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eregtools.io.meme import Pwm
    from eregtools.tl._patterns import Pattern
    from eregtools.tl._seqlets import Windows

_METHODS: Final = ("seqlets", "modisco")
_SIGNS: Final = {"both": (1, -1), "positive": (1,), "negative": (-1,)}
_P_VALUE, _FDR = 0.01, 0.05


@dataclass(frozen=True)
class Search:
    """How motifs are sought; fields as the arguments of :func:`eregtools.tl.motifs`."""

    method: str
    sign: str
    threshold: float | None
    n_seqlets: int
    min_seqlets: int
    max_q: float
    seed: int

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise ValueError(f"method is {self.method!r}; expected {' or '.join(_METHODS)}")
        if self.sign not in _SIGNS:
            raise ValueError(f"sign is {self.sign!r}; expected {', '.join(_SIGNS)}")
        for name in ("n_seqlets", "min_seqlets"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        for name, value in (("threshold", self.limit), ("max_q", self.max_q)):
            if not 0 < value <= 1:
                raise ValueError(f"{name} is {value}; expected more than 0, at most 1")

    @property
    def limit(self) -> float:
        """The threshold: a p-value, or with ``"modisco"`` a false discovery rate."""
        if self.threshold is not None:
            return self.threshold
        return _P_VALUE if self.method == "seqlets" else _FDR

    @property
    def signs(self) -> tuple[int, ...]:
        """1 and -1 for seqlets of positive and of negative attribution."""
        return _SIGNS[self.sign]


def check_result_name(key_added: str) -> None:
    """Names of results are text that can be written."""
    if not isinstance(key_added, str) or not key_added or "/" in key_added:
        raise ValueError(f"key_added={key_added!r} cannot name a result; expected text without '/'")


def seqlets_and_patterns(
    windows: Windows, search: Search, known: Mapping[str, Pwm]
) -> tuple[pd.DataFrame, dict[str, Pattern]]:
    """Find seqlets and patterns.

    Returns
    -------
    Seqlets, with the name of their pattern (missing where there is none) and, where they were compared, of the nearest
    known motif; and the patterns by name, those with most seqlets first.
    """
    if search.method == "modisco":
        return _with_modisco(windows, search)
    return _with_seqlets(windows, search, known)


def _with_seqlets(
    windows: Windows, search: Search, known: Mapping[str, Pwm]
) -> tuple[pd.DataFrame, dict[str, Pattern]]:
    rng = np.random.default_rng(search.seed)
    called = call_seqlets(windows, threshold=search.limit, signs=search.signs, rng=rng)
    if called.empty:
        raise ValueError(
            f"no seqlet in {len(windows):,} windows has p ≤ {search.limit:g}; raise threshold=, or attribute more "
            "elements"
        )
    seqlets = called.iloc[: search.n_seqlets]
    if not known:
        return seqlets.assign(**{PATTERN: pd.Categorical([None] * len(seqlets))}), {}
    found, nearest = patterns_by_motif(windows, seqlets, known, max_q=search.max_q, min_seqlets=search.min_seqlets)
    patterns = _named(found)
    of_pattern = pd.Series(None, index=seqlets.index, dtype=object)
    for name, one in patterns.items():
        of_pattern[one.seqlets.index] = name
    return seqlets.assign(
        reverse=nearest.reverse[:, 0],
        **{PATTERN: pd.Categorical(of_pattern, categories=list(patterns))},
        motif=pd.Categorical.from_codes(
            nearest.motif[:, 0], categories=pd.Index(list(known))
        ).remove_unused_categories(),
        motif_p=nearest.p_value[:, 0],
        motif_q=nearest.q_value[:, 0],
    ), patterns


def _with_modisco(windows: Windows, search: Search) -> tuple[pd.DataFrame, dict[str, Pattern]]:
    found = patterns_by_modisco(
        windows,
        fdr=search.limit,
        signs=search.signs,
        n_seqlets=search.n_seqlets,
        min_seqlets=search.min_seqlets,
        rng=np.random.default_rng(search.seed),
    )
    if not found:
        raise ValueError(
            f"no pattern of {search.min_seqlets} seqlets or more in {len(windows):,} windows, with seqlets at a false "
            f"discovery rate of {search.limit:g}; raise threshold=, lower min_seqlets=, or attribute more elements"
        )
    patterns = _named(found)
    seqlets = pd.concat([one.seqlets for one in patterns.values()], ignore_index=True)
    names = np.repeat(np.array(list(patterns), dtype=object), [len(one.seqlets) for one in patterns.values()])
    return seqlets.assign(**{PATTERN: pd.Categorical(names, categories=list(patterns))}), patterns


def _named(patterns: list[Pattern]) -> dict[str, Pattern]:
    """Name patterns by their sign and rank: ``pos_pattern_0`` has the most seqlets of its sign."""
    named = {}
    for sign, prefix in ((1, "pos"), (-1, "neg")):
        own = sorted((one for one in patterns if one.sign == sign), key=lambda one: -len(one.seqlets))
        named.update({f"{prefix}_pattern_{number}": one for number, one in enumerate(own)})
    return named
