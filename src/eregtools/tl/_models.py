"""Which model predicts which element: fold models, biosamples, published weights."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import UNS, Uns, Var
from eregtools._logging import logger
from eregtools._schema import entry
from eregtools.models import zoo
from eregtools.sampling import fold_table

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.models.base import Model

NO_FOLD = -1
"""Key of a model that belongs to no fold, and mark of an element that no model predicts."""


@dataclass(frozen=True)
class Source:
    """A model that is loaded when it is needed."""

    load: Callable[[], Model[Any]]
    provenance: Mapping[str, Any]
    key: Hashable
    """The same for the same weights, so that biosamples that share them share the work."""


@dataclass(frozen=True)
class ModelSet:
    """Models for one biosample, by the fold whose chromosomes each was not trained on.

    Attributes
    ----------
    sources
        ``{fold: model}``; a single model of no fold has the key :data:`NO_FOLD`.
    scheme
        Fold scheme of the keys.
    """

    sources: Mapping[int, Source]
    scheme: str | None = None
    foreign: bool = False
    """Trained on another biosample than it is used for."""


def model_set(
    model: Any,
    *,
    sample: str,
    biosample: str,
    family: Iterable[str],
    assay: str,
    expected: type[Model[Any]],
    allow_cross_cell: bool,
) -> ModelSet:
    """Models that a ``model`` argument stands for, for one biosample.

    Parameters
    ----------
    model
        ``None`` (published weights), a folder or file, a name in the zoo, a Hugging Face repository, a module, a list
        or {fold: model} of fold models, or {sample: any of these}.
    sample
        The row to predict.
    biosample
        The biosample that it is (:func:`biosample_of`).
    family
        Published families that serve, the preferred one first.
    assay
        What the models must predict.
    expected
        Class the models must have.
    allow_cross_cell
        Take weights of another biosample.
    """
    if isinstance(model, Mapping) and not all(_is_fold(key) for key in model):
        if sample not in model:
            raise KeyError(f"no model for biosample {sample!r}; model= has {', '.join(map(str, model))}")
        model = model[sample]
    if model is None:
        sources = _from_zoo(zoo.find(_published(biosample, family, assay)), expected)
    else:
        sources = _sources(model, expected)
    schemes = {str(s) for source in sources.values() if (s := source.provenance.get("fold_scheme"))}
    if len(schemes) > 1:
        raise ValueError(f"fold models of different schemes cannot be used together: {', '.join(sorted(schemes))}")
    assays = {str(source.provenance["assay"]) for source in sources.values() if source.provenance.get("assay")}
    trained_on = [names for source in sources.values() if (names := biosamples_of(source.provenance))]
    biosamples = {name for names in trained_on for name in names}
    if assays - {assay}:
        raise ValueError(f"the weights predict {', '.join(sorted(assays))}, not {assay}; pass assay= or other weights")
    foreign = any(biosample not in names for names in trained_on)
    if foreign and not allow_cross_cell:
        raise ValueError(
            f"the weights were trained on {', '.join(sorted(biosamples))}, not on {biosample!r}; say in "
            f"mdata.obs['biosample'] what {sample!r} is, or pass allow_cross_cell=True to use them all the same "
            "(the result is marked)"
        )
    if not biosamples:
        logger.warning("%s: it is not known on what the weights were trained; the result is marked so", sample)
    return ModelSet(sources, schemes.pop() if schemes else None, foreign)


def biosamples_of(provenance: Mapping[str, Any]) -> list[str]:
    """Biosamples that weights were trained on; none where it is not known."""
    known = provenance.get("biosample") or []
    return [known] if isinstance(known, str) else [str(name) for name in known]


def biosample_of(mdata: MuData, sample: str) -> str:
    """Biosample of a row: ``obs["biosample"]`` of the object or of its genes, else the row's own name."""
    for table in (mdata.obs, *(modality.obs for modality in mdata.mod.values())):
        if "biosample" in table:
            return str(table.loc[sample, "biosample"])
    return sample


def assign_folds(
    mdata: MuData,
    models: ModelSet,
    chromosomes: pd.Series,
    fold: int | str,
    *,
    allow_leakage: bool,
    what: str,
) -> tuple[NDArray[np.int64], bool]:
    """Fold model for each element, and whether one predicts chromosomes it was trained on.

    Parameters
    ----------
    chromosomes
        Chromosome of each element ``(n,)``.
    fold
        ``"auto"``: the model that never saw the element's chromosome; a number: that model.
    allow_leakage
        Let a numbered fold predict chromosomes that it does not test.

    Returns
    -------
    Keys of ``models.sources``; :data:`NO_FOLD` where no model serves (unless that is itself a key).
    """
    if fold != "auto" and not _is_fold(fold):
        raise ValueError(f"fold is {fold!r}; expected 'auto' or a fold's number")
    if list(models.sources) == [NO_FOLD]:
        if fold != "auto":
            raise KeyError(f"fold {fold} was asked for, but the model given belongs to no fold")
        return np.full(len(chromosomes), NO_FOLD), False
    names = chromosomes.astype(str)
    known = sorted(models.sources)
    tests = _tested_by(mdata, models, names)
    if fold == "auto":
        if not (tests != NO_FOLD).any():
            raise KeyError(
                f"no fold model serves these {what}: folds {', '.join(map(str, known))} test none of their chromosomes "
                f"({', '.join(names.unique()[:5])})"
            )
        if lost := int((tests == NO_FOLD).sum()):
            logger.warning(
                "%d of %d %s are left NaN: no fold model leaves their chromosome out", lost, len(tests), what
            )
        return tests, False
    if int(fold) not in models.sources:
        raise KeyError(f"no weights of fold {fold}; there are folds {known}")
    seen = tests != int(fold)
    if seen.any() and not allow_leakage:
        raise ValueError(
            f"fold {fold} does not test {', '.join(names[seen].unique()[:5])}: its model was trained or selected on "
            f"{int(seen.sum())} of {len(seen)} {what}. Use fold='auto', or allow_leakage=True (the result is marked)"
        )
    return np.full(len(names), int(fold)), bool(seen.any())


def _tested_by(mdata: MuData, models: ModelSet, chromosomes: pd.Series) -> NDArray[np.int64]:
    """Fold model that leaves each chromosome out; :data:`NO_FOLD` where none does.

    What a model left out is written with its weights; for weights that name only a scheme, the scheme says it.
    """
    bare = chromosomes.str.removeprefix("chr")
    scheme = models.scheme or mdata.uns.get(UNS, {}).get(Uns.fold_schemes, {}).get(Var.fold, "epinformer12")
    tests = np.full(len(chromosomes), NO_FOLD)
    for fold, source in models.sources.items():
        left_out = source.provenance.get("test_chromosomes")
        if left_out is None:
            table = _table(mdata, str(scheme), chromosomes.unique())
            if str(fold) not in table:
                raise KeyError(f"scheme {scheme!r} has no fold {fold}; it has {', '.join(table.columns)}")
            left_out = table.index[(table[str(fold)].astype(object) == "test").to_numpy()]
        tests[bare.isin([str(name).removeprefix("chr") for name in left_out]).to_numpy()] = fold
    return tests


def record_result(mdata: MuData, key: str, rows: list[dict[str, Any]], samples: Iterable[str]) -> None:
    """Store what made a result, one row a biosample and fold, under ``uns["eregtools"]["results"][key]``.

    Rows of biosamples other than ``samples`` are kept from an earlier call.
    """
    from importlib.metadata import version

    results = entry(mdata, Uns.results)
    parts = []
    if (old := results.get(key)) is not None:
        parts.append(old[~old["sample"].isin(list(samples)).to_numpy()])
    if rows:
        new = pd.DataFrame([{**row, "eregtools_version": version("eregtools")} for row in rows])
        parts.append(new.drop_duplicates())
    parts = [part for part in parts if len(part)]
    if parts:
        results[key] = pd.concat(parts).reset_index(drop=True).rename(index=str)
    else:
        results.pop(key, None)


def result_row(sample: str, fold: int, source: Source, models: ModelSet, recipe: str, leaky: bool) -> dict[str, Any]:
    """One row of :func:`record_result`; what is not known of the weights is recorded as unknown."""
    about = source.provenance
    leakage = ("yes" if leaky else "no") if fold != NO_FOLD else "unknown"
    if leakage == "no":
        leakage = str(about.get("leakage", "no"))  # of the encoder that the weights began from
    return {
        "sample": sample,
        "fold": fold,
        "model": str(about.get("name", "unknown")),
        "sha256": str(about.get("sha256", "unknown")),
        "trained_on": ", ".join(biosamples_of(about)) or "unknown",
        "recipe": recipe,
        "cross_cell": ("yes" if models.foreign else "no") if about.get("biosample") else "unknown",
        "leakage": leakage,
    }


def _table(mdata: MuData, scheme: str, chromosomes: Iterable[str]) -> pd.DataFrame:
    stored = mdata.uns.get(UNS, {}).get(Uns.folds, {}).get(scheme)
    return fold_table(scheme, chromosomes) if stored is None else stored


def _published(sample: str, family: Iterable[str], assay: str) -> str:
    sets = {(c.family, c.biosample, c.assay) for c in zoo.registry()}
    families = list(family)
    for name in families:
        if (name, sample, assay) in sets:
            return f"{name}/{sample}/{assay}"
    served = sorted({f"{b} {a}" for f, b, a in sets if f in families})
    raise KeyError(
        f"no published weights for biosample {sample!r} and assay {assay!r} (there are: {', '.join(served)}); "
        "say in mdata.obs['biosample'] which of these it is, or pass model="
    )


def _is_fold(key: Any) -> bool:
    return isinstance(key, int | np.integer) and not isinstance(key, bool)


def _sources(model: Any, expected: type[Model[Any]]) -> dict[int, Source]:
    if isinstance(model, Mapping) and not model:
        raise ValueError("model= is an empty dict")
    if isinstance(model, Mapping):
        return {int(fold): _single(one, expected, int(fold)) for fold, one in model.items()}
    if isinstance(model, list | tuple):
        if not model:
            raise ValueError("model= is an empty list")
        singles = [_single(one, expected) for one in model]
        folds = [source.provenance.get("fold") for source in singles]
        if None in folds or len(set(folds)) < len(folds):
            raise ValueError(
                f"a list of fold models must say their folds, each once (found {folds}); pass {{fold: model}} instead"
            )
        return {int(fold): source for fold, source in zip(folds, singles, strict=True)}  # type: ignore[arg-type]
    if isinstance(model, str | Path):
        model = zoo.locate(model)
        if isinstance(model, tuple):
            return _from_zoo(model, expected)
        if folders := zoo.fold_folders(model):
            return {fold: _single(folder, expected, fold) for fold, folder in folders.items()}
    source = _single(model, expected)
    return {int(source.provenance.get("fold", NO_FOLD)): source}


def _from_zoo(checkpoints: Iterable[zoo.Checkpoint], expected: type[Model[Any]]) -> dict[int, Source]:
    return {c.fold: Source(cache(partial(_fetched, c, expected)), c.provenance, c.sha256) for c in checkpoints}


def _single(model: Any, expected: type[Model[Any]], fold: int | None = None) -> Source:
    from eregtools.models.base import Model

    key: Hashable
    if isinstance(model, Model):
        loaded, key = _checked(model, expected), id(model)
    elif isinstance(model, str | Path):
        loaded, key = _loaded(model, expected), str(model)
    else:
        raise TypeError(f"model= holds a {type(model).__name__}; expected a model, a name or a path")
    provenance = dict(loaded.provenance)
    if fold is not None:
        if provenance.get("fold", fold) != fold:
            raise ValueError(
                f"the model given for fold {fold} is of fold {provenance['fold']} ({provenance.get('name')})"
            )
        provenance["fold"] = fold
    return Source(lambda: loaded, provenance, key)


def _loaded(model: str | Path, expected: type[Model[Any]]) -> Model[Any]:
    return _checked(zoo.load(model), expected)


def _fetched(checkpoint: zoo.Checkpoint, expected: type[Model[Any]]) -> Model[Any]:
    return _checked(zoo.load_published(zoo.fetch(checkpoint)), expected)


def _checked(model: Model[Any], expected: type[Model[Any]]) -> Model[Any]:
    if not isinstance(model, expected):
        name = model.provenance.get("name", "the model")
        raise ValueError(f"{name} is of type {type(model).__name__}; expected {expected.__name__}")
    return model
