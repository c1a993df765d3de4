"""How data are divided into folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import UNS, Uns, Var

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

SETS = ("train", "valid", "test")

_AUTOSOMES_AND_X = [*(str(number) for number in range(1, 23)), "X"]

FoldSets = Mapping[Any, Mapping[str, Iterable[str]]]
"""``{fold: {"valid": chromosomes, "test": chromosomes}}``."""


def fold_table(scheme: str | FoldSets, chromosomes: Iterable[str]) -> pd.DataFrame:
    """Which chromosomes each fold trains on, validates on and tests.

    Parameters
    ----------
    scheme
        ``"epinformer12"`` (folds 1–12: fold i ≤ 10 validates {i, i+10} and tests {i+1, i+11}; 11 validates
        {3, 21} and tests {22, X}; 12 validates {2, 22} and tests {1}), ``"epipam8"`` (folds 0–7 test three
        chromosomes each of chr1 … chr22, chrX in turn and validate the next fold's), or ``{fold: {"valid": …,
        "test": …}}``. Chromosomes that a scheme does not name always train.
    chromosomes
        Chromosomes of the genome, with or without ``chr``.

    Returns
    -------
    One row per chromosome, one column per fold (its number as text), categorical ``train``, ``valid`` or
    ``test``.

    Raises
    ------
    ValueError
        Unknown scheme; a chromosome that is not in the genome, is tested twice, or is in two sets of one
        fold; a fold without test chromosomes; a fold that is not numbered.

    Notes
    -----
    EPInformer: the published ``leave_chrom_out`` table. EPIPAM: the test chromosomes of the authors' code;
    its authors choose the epoch on the test fold, so the validation chromosomes are ours.

    Examples
    --------
    >>> fold_table("epipam8", ["chr1", "chr4", "chrX", "chrM"])[["0", "7"]]
              0      7
    chr1   test  valid
    chr4  valid  train
    chrX  train   test
    chrM  train  train
    """
    names = list(chromosomes)
    if isinstance(scheme, str):
        sets = _published_sets(scheme)
        bare = [_without_prefix(name) for name in names]
        if not set(bare) & set(_AUTOSOMES_AND_X):
            raise ValueError(f"scheme {scheme!r} names human chromosomes; there are only {', '.join(names[:5])}")
    else:
        sets = _checked_sets(scheme, names)
        bare = [_without_prefix(name) for name in names]
    table = {}
    for fold, (valid, test) in sets.items():
        values = ["test" if name in test else "valid" if name in valid else "train" for name in bare]
        table[str(fold)] = pd.Categorical(values, categories=SETS)
    return pd.DataFrame(table, index=pd.Index(names))


def fold_that_tests(table: pd.DataFrame) -> pd.Series:
    """Find the fold that tests each chromosome of a fold table, int16; −1: none does."""
    tested = table.astype(object) == "test"
    fold = np.where(tested.any(axis=1), tested.to_numpy().argmax(axis=1), -1)
    numbers = np.array([*(int(column) for column in table.columns), -1], dtype=np.int16)
    return pd.Series(numbers[fold], index=table.index)


def fold_sets(mdata: MuData, scheme: str | None, chromosomes: NDArray[np.str_]) -> tuple[pd.DataFrame, str]:
    """Set of each element (rows) in each fold (columns) of a scheme in the object, and the scheme's name."""
    about = mdata.uns.get(UNS, {})
    tables = about.get(Uns.folds, {})
    if scheme is None:
        scheme = about.get(Uns.fold_schemes, {}).get(Var.fold)
    if scheme is None or scheme not in tables:
        there = ", ".join(map(str, tables)) or "none"
        raise KeyError(f"no folds of scheme {scheme!r} in the object (there are: {there}); run er.pp.split first")
    table = tables[scheme].astype(object)
    return table.reindex(chromosomes).fillna("train").reset_index(drop=True), str(scheme)


def nearest_unused(
    wanted: NDArray[np.float64], offered: NDArray[np.float64], rng: np.random.Generator, *, within: float = np.inf
) -> NDArray[np.int64]:
    """Give each wanted number the nearest offered one that no other has taken.

    Parameters
    ----------
    wanted
        Numbers to match ``(n,)``; they choose in random order.
    offered
        Numbers to choose from ``(m,)``; of equal ones any is taken.
    rng
        Source of randomness.
    within
        Largest difference of a match.

    Returns
    -------
    Place in `offered` of each match ``(n,)``, −1 where there is none.

    Examples
    --------
    >>> nearest_unused(np.array([1.0, 1.1]), np.array([9.0, 1.0]), np.random.default_rng(0), within=1).max()
    np.int64(1)
    """
    shuffled = rng.permutation(len(offered))
    order = shuffled[np.argsort(offered[shuffled], kind="stable")]
    ranked = offered[order]
    # of the boundaries between ranked numbers: the next on either side whose number is still free
    free_left, free_right = np.arange(len(order) + 1), np.arange(len(order) + 1)
    matched = np.full(len(wanted), -1, dtype=np.int64)
    place = np.searchsorted(ranked, wanted)
    for i in rng.permutation(len(wanted)):
        right = _root(free_right, int(place[i]))
        left = _root(free_left, int(place[i])) - 1
        gaps = [
            abs(ranked[left] - wanted[i]) if left >= 0 else np.inf,
            abs(ranked[right] - wanted[i]) if right < len(order) else np.inf,
        ]
        chosen = left if gaps[0] <= gaps[1] else right
        if not min(gaps) <= within or np.isinf(min(gaps)):
            continue
        matched[i] = order[chosen]
        free_right[chosen] = chosen + 1
        free_left[chosen + 1] = chosen
    return matched


def _root(parent: NDArray[np.int64], start: int) -> int:
    """First free place from `start` on, with the way there shortened for the next time."""
    found = start
    while parent[found] != found:
        found = int(parent[found])
    while parent[start] != found:
        parent[start], start = found, int(parent[start])
    return found


def _published_sets(scheme: str) -> dict[int, tuple[set[str], set[str]]]:
    if scheme == "epinformer12":
        sets = {i: ({str(i), str(i + 10)}, {str(i + 1), str(i + 11)}) for i in range(1, 11)}
        return {**sets, 11: ({"3", "21"}, {"22", "X"}), 12: ({"2", "22"}, {"1"})}
    if scheme == "epipam8":
        tests = [set(_AUTOSOMES_AND_X[3 * k : 3 * k + 3]) for k in range(8)]
        return {k: (tests[(k + 1) % 8], tests[k]) for k in range(8)}
    raise ValueError(f"unknown scheme {scheme!r}; there are 'epinformer12' and 'epipam8', or give a dict of folds")


def _checked_sets(scheme: FoldSets, names: list[str]) -> dict[int, tuple[set[str], set[str]]]:
    known = {_without_prefix(name) for name in names}
    tested: dict[str, int] = {}
    sets = {}
    for key, chosen in scheme.items():
        fold = _fold_number(key)
        valid, test = (_chromosome_set(chosen.get(part, ()), known, fold) for part in ("valid", "test"))
        if unknown := sorted(set(chosen) - {"valid", "test"}):
            raise ValueError(f"fold {fold} has {unknown}, expected 'valid' and 'test' (the others train)")
        if not test:
            raise ValueError(f"fold {fold} tests no chromosome")
        if both := sorted(valid & test):
            raise ValueError(f"fold {fold} validates and tests {', '.join(both)}")
        for name in sorted(test):
            if name in tested:
                raise ValueError(f"chromosome {name} is tested by folds {tested[name]} and {fold}")
            tested[name] = fold
        sets[fold] = (valid, test)
    if not sets:
        raise ValueError("the scheme has no folds")
    return sets


def _fold_number(key: Any) -> int:
    try:
        number = int(key)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= np.iinfo(np.int16).max:
        raise ValueError(f"fold {key!r} is not numbered; folds are whole numbers from 0")
    return number


def _chromosome_set(names: Iterable[str], known: set[str], fold: int) -> set[str]:
    if isinstance(names, str):
        names = [names]
    bare = {_without_prefix(str(name)) for name in names}
    if unknown := sorted(bare - known):
        raise ValueError(f"fold {fold} names {', '.join(unknown)}, which the genome does not have")
    return bare


def _without_prefix(chromosome: str) -> str:
    return chromosome.removeprefix("chr")
