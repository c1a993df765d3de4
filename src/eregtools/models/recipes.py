"""Recipes: everything that turns raw data into the input a checkpoint was trained on.

Weights fed with another recipe give wrong numbers without an error, so the recipe's name is stored with the weights
and with each result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eregtools._keys import MRNA_FEATURES, Layer, Var

TRANSFORMS: Final[Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "raw": lambda x: x,
    "|x|": np.abs,
    "|x| / 1000": lambda x: np.abs(x) / 1000,
    "log10(1 + x)": lambda x: np.log10(1 + x),
    "log10(0.1 + x)": lambda x: np.log10(0.1 + x),
    "log10(0.1 + 10 x)": lambda x: np.log10(0.1 + 10 * x),
    "log10(1 + |x| / 1000)": lambda x: np.log10(1 + np.abs(x) / 1000),
    "log10(0.0001 + x)": lambda x: np.log10(1e-4 + x),
    "log(1 + x)": np.log1p,
    "(log10(0.1 + x) - 0.7186) / 0.3137": lambda x: (np.log10(0.1 + x) - 0.7186) / 0.3137,
}
"""Transforms by the name under which a recipe records them."""


@dataclass(frozen=True)
class Feature:
    """One number given to the model beside sequence.

    Attributes
    ----------
    name
        ``distance`` (``links.var``), ``contact`` (``links.layers``), ``activity`` (``enhancers.layers``),
        ``promoter_activity`` (``genes.layers``), a column of ``genes.varm["mrna_features"]``, or a track: a layer
        that both ``enhancers`` and ``genes`` have.
    transform
        Name in :data:`TRANSFORMS`.
    promoter
        In the promoter's slot: this number, or the promoter's own value (for activity, the promoter activity) under
        the transform of this name.
    """

    name: str
    transform: str = "raw"
    promoter: float | str = 0.0

    def apply(self, values: ArrayLike) -> NDArray[np.float32]:
        """Transform values of this feature; what has no logarithm becomes NaN or infinite."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return TRANSFORMS[self.transform](np.asarray(values, dtype=np.float64)).astype(np.float32)


@dataclass(frozen=True)
class Recipe:
    """How raw data become input, and what the output means.

    Attributes
    ----------
    name
        ``legacy``, ``v2`` or ``crispri-legacy``.
    n_value
        One-hot value of an unknown base.
    slot_features, gene_features
        Features in the model's order.
    max_enhancers
        Enhancers of a gene beyond this number are left out, the farthest first; ``None``: no limit.
    """

    name: str
    n_value: float
    slot_features: tuple[Feature, ...]
    gene_features: tuple[Feature, ...]
    max_enhancers: int | None = 60

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary, for storing beside weights and results."""
        return asdict(self)


@dataclass(frozen=True)
class SequenceRecipe:
    """How sequence alone becomes input.

    Attributes
    ----------
    name
        ``epipam`` or ``epipam-6mer``.
    base_order
        Base of each one-hot channel; of words, the order in which they are numbered.
    n_value
        One-hot value of an unknown base.
    word
        Bases of the overlapping words that are read instead of bases; ``None``: bases.
    windows
        How windows are placed on elements.
    """

    name: str
    base_order: str
    n_value: float = 0.0
    word: int | None = None
    windows: str = "centred, start at least 1, within the chromosome"

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary, for storing beside weights and results."""
        return asdict(self)


SEQUENCE_RECIPES: Final[Mapping[str | None, SequenceRecipe]] = {
    None: SequenceRecipe("epipam", "AGCT"),
    "6-mer": SequenceRecipe("epipam-6mer", "ACGT", word=6),
}
"""Recipes of EPIPAM by what it embeds (``None``: nothing, it reads one-hot bases)."""


_PSEUDOCOUNTS: Final[Mapping[str, float]] = {"log10(1+x)": 1.0, "zscore(log10(x+0.1))": 0.1}


@dataclass(frozen=True)
class Target:
    """The scale of a model's output: the transform of expression that it was trained to predict.

    Attributes
    ----------
    name
        Name of the transform, as :func:`eregtools.pp.add_expression` takes and stores it.
    mean, sd
        Of the logarithms, where the transform is a z-score.
    """

    name: str
    mean: float = 0.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in _PSEUDOCOUNTS:
            raise ValueError(f"no way back is known from {self.name!r}; it is from {' and '.join(_PSEUDOCOUNTS)}")

    @property
    def pseudocount(self) -> float:
        """What was added to expression before the logarithm."""
        return _PSEUDOCOUNTS[self.name]

    def linear(self, values: ArrayLike) -> NDArray[np.float64]:
        """Expression (counts for CAGE, RPKM for RNA) of values on the scale of the target.

        Examples
        --------
        >>> Target("log10(1+x)").linear([0.0, 2.0])
        array([ 0., 99.])
        """
        return 10.0 ** (np.asarray(values, dtype=np.float64) * self.sd + self.mean) - self.pseudocount


_DISTANCE, _ACTIVITY, _CONTACT = Var.distance, Layer.activity, Layer.contact


def _gene_features(n: int, density: str = "raw", promoter: str = "raw") -> tuple[Feature, ...]:
    if n == 0:
        return ()
    *features, last = (Feature(name) for name in MRNA_FEATURES)
    features.append(Feature(last.name, density))
    if n == len(MRNA_FEATURES) + 1:
        features.append(Feature(Layer.promoter_activity, promoter))
    return tuple(features)


def _legacy(n_slot: int, n_gene: int) -> Recipe:
    distance, contact = Feature(_DISTANCE, "|x| / 1000"), Feature(_CONTACT, "log10(1 + x)")
    activity = Feature(_ACTIVITY)
    slot = ((), (distance,), (distance, activity), (distance, contact, activity))[n_slot]
    return Recipe("legacy", 0.25, slot, _gene_features(n_gene))


def _v2(n_slot: int, n_gene: int) -> Recipe:
    slot = (
        Feature(_DISTANCE, "|x|", promoter=1.0),
        Feature(_ACTIVITY, promoter="log(1 + x)" if n_gene > len(MRNA_FEATURES) else 1.0),
        Feature(_CONTACT, promoter=1.0),
    )
    return Recipe("v2", 0.0, slot[:n_slot], _gene_features(n_gene, promoter="log(1 + x)"))


def _crispri_legacy(n_slot: int, n_gene: int) -> Recipe:
    distance = Feature(_DISTANCE, "|x| / 1000")
    contact = Feature(_CONTACT, "log10(0.1 + 10 x)", promoter=-1.0)
    activity = Feature(_ACTIVITY, "log10(0.1 + x)", promoter=-1.0)
    slot = ((), (distance,), (distance, activity), (distance, contact, activity))[n_slot]
    genes = _gene_features(n_gene, density="(log10(0.1 + x) - 0.7186) / 0.3137")
    return Recipe("crispri-legacy", 0.25, slot, genes, max_enhancers=None)


def _log(n_slot: int, n_gene: int, tracks: Sequence[str] = (), gene_tracks: Sequence[str] = ()) -> Recipe:
    distance = Feature(_DISTANCE, "log10(1 + |x| / 1000)")
    contact = Feature(_CONTACT, "log10(0.0001 + x)")
    own = n_gene - len(tracks) - len(gene_tracks) > len(MRNA_FEATURES)
    activity = Feature(_ACTIVITY, "log10(0.1 + x)", promoter="log10(0.1 + x)" if own else 0.0)
    slot = ((), (distance,), (distance, activity), (distance, contact, activity))[n_slot - len(tracks)]
    n_gene -= len(tracks) + len(gene_tracks)
    genes = _gene_features(n_gene, density="log10(0.1 + x)", promoter="log10(0.1 + x)")
    more = tuple(Feature(name, "log(1 + x)", promoter="log(1 + x)") for name in tracks)
    genes += tuple(Feature(name, "log(1 + x)") for name in (*tracks, *gene_tracks))
    return Recipe("log", 0.25, slot + more, genes)


def _promoter_only(n_slot: int, n_gene: int) -> Recipe:
    return replace(_log(n_slot, n_gene), name="promoter", max_enhancers=0)


RECIPES: Final[Mapping[str, Callable[[int, int], Recipe]]] = {
    "legacy": _legacy,
    "v2": _v2,
    "crispri-legacy": _crispri_legacy,
    "log": _log,
    "promoter": _promoter_only,
}


def get_recipe(
    name: str,
    *,
    n_slot_features: int,
    n_gene_features: int,
    tracks: Sequence[str] = (),
    gene_tracks: Sequence[str] = (),
) -> Recipe:
    """Recipe of that name for a model with so many features.

    Parameters
    ----------
    name
        ``"legacy"``: what the published weights were trained with (distance in kb, contact as log10(1 + x), raw
        activity, N = 0.25, features of the promoter's slot 0). ``"v2"``: conventions of the later EPInformer
        repository (distance in bp, activity, contact, all raw; N = 0; the promoter's slot holds ones and
        log(1 + promoter activity)). ``"crispri-legacy"``: what the authors' CRISPRi benchmark fed to the legacy
        weights, deviations included (contact in 0..100). ``"log"``: ours, every feature on a logarithmic
        scale, for models that are trained anew. ``"promoter"``: the same without enhancers.
    n_slot_features
        Features of a slot, 0 to 3, and the tracks.
    n_gene_features
        Features of a gene, 0, 8 or 9, and all tracks.
    tracks
        Layers that enhancers and genes both have, given to slots and genes as log(1 + x); with ``"log"`` only.
    gene_tracks
        Layers of genes, given to them alone as log(1 + x); with ``"log"`` only.

    Returns
    -------
    The recipe: ``slot_features`` and ``gene_features`` in the order in which a model takes them, with their transforms.

    Raises
    ------
    ValueError
        There is no such recipe, it takes no tracks, or it does not have so many features.

    Examples
    --------
    >>> from eregtools.models.recipes import get_recipe
    >>> [f.name for f in get_recipe("legacy", n_slot_features=3, n_gene_features=9).slot_features]
    ['distance', 'contact', 'activity']
    """
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    if (tracks or gene_tracks) and name != "log":
        raise ValueError(f"recipe {name!r} takes no tracks ({', '.join([*tracks, *gene_tracks])}); recipe 'log' does")
    if not 0 <= n_slot_features - len(tracks) <= 3:
        raise ValueError(f"n_slot_features is {n_slot_features}; a recipe has 0 to 3, and {len(tracks)} tracks")
    if tracks or gene_tracks:
        return _log(n_slot_features, n_gene_features, tracks, gene_tracks)
    return RECIPES[name](n_slot_features, n_gene_features)
