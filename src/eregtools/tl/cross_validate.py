"""One model for each fold, and out-of-fold predictions of everything."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger
from eregtools._schema import check_layer_name, require_layer, require_modality, validate
from eregtools.tl._models import biosample_of, biosamples_of
from eregtools.tl._training import REQUEST_FILE, fold_sets
from eregtools.tl.activity import predict_activity
from eregtools.tl.expression import pick_samples
from eregtools.tl.predict_expression import predict_expression
from eregtools.tl.train import train_activity, train_expression

if TYPE_CHECKING:
    from mudata import MuData

    from eregtools.models import EPInformerSeq

ENCODERS = "encoders"
"""Folder of the enhancer predictors that the fold models start from."""


def cross_validate(
    mdata: MuData,
    *,
    assay: str,
    folder: str | Path,
    leave_out: Literal["chromosomes", "samples"] = "chromosomes",
    folds: Iterable[int] | None = None,
    scheme: str | None = None,
    sample: str | Sequence[str] | None = None,
    encoder: Literal["train"] | str | Path | Mapping[int, EPInformerSeq | str | Path] | None = None,
    encoder_training: Mapping[str, Any] | None = None,
    key_added: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    copy: bool = False,
    **training: Any,
) -> MuData | None:
    """Train one model for each fold, and predict each gene by the model that never saw its chromosome.

    Parameters
    ----------
    mdata
        Object with folds (:func:`eregtools.pp.split`), and what :func:`train_expression` needs.
    assay
        Layer of ``genes`` to learn; ``"activity"``: that of ``enhancers``, with :func:`train_activity`.
    folder
        Where the fold models go, as ``fold1``, ``fold2`` … :func:`predict_expression` takes it as ``model=``, on this
        object and on others.
    leave_out
        ``"chromosomes"``: each gene is predicted by a model of the same biosamples that never saw its chromosome.
        ``"samples"``: of the other biosamples only, and not of its chromosome either; each biosample has a folder of
        fold models of its own, and the result is marked as one across cell types.
    folds
        Folds to train; ``None``: all of the scheme.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``.
    sample
        Biosamples to train on together and to predict; ``None``: all.
    encoder
        Where the towers start: ``"train"`` trains an enhancer predictor for each fold first (``encoders/`` in the
        folder); a folder of fold models; or ``{fold: model}``. ``None``: random weights.
    encoder_training
        Arguments of :func:`train_activity` for ``encoder="train"``; ``sample`` says whose activity is learnt, where
        there are several (another one's where that is the one left out).
    key_added
        Layer to write; ``None``: ``f"{assay}_pred"``.
    resume
        Go on with the cross-validation in the folder: finished folds are loaded, a broken one continues.
    overwrite
        Replace what the folder holds of earlier trainings.
    copy
        Return a new object and leave this one alone.
    **training
        Further arguments of :func:`train_expression` (or :func:`train_activity`).

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["genes"].layers[f"{assay}_pred"]`` (or ``mdata["enhancers"].layers["activity_pred"]``)
        Out-of-fold predictions ``(n_samples, n_genes)``, float32; NaN where no fold tests the chromosome.
    ``mdata.uns["eregtools"]["results"]``
        Which weights made them, one row a biosample and fold.

    Raises
    ------
    KeyError
        The scheme lacks a fold, or what training needs is missing.
    ValueError
        There is no fold to train, or one biosample only to leave out; as :func:`train_expression` raises.
    FileExistsError
        The folder is not empty.

    See Also
    --------
    evaluate_expression : how good the predictions are, beside the baselines.

    Notes
    -----
    The paper's figure is the correlation over all genes, each predicted out of fold.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> er.pp.split(mdata, {k: {"valid": [f"chr{k + 4}"], "test": [f"chr{k}"]} for k in (1, 2)})
    >>> er.tl.cross_validate(mdata, assay="RNA", folder=tempfile.mkdtemp(), use_sequence=False, max_epochs=1)
    >>> genes = mdata["genes"]
    >>> genes.var.loc[genes.to_df("RNA_pred").notna().all(), "Chromosome"].unique().tolist()
    ['chr1', 'chr2']
    >>> mdata.uns["eregtools"]["results"]["genes:RNA_pred"][["sample", "fold"]]
      sample  fold
    0    sim     1
    1    sim     2
    """
    mdata = mdata.copy() if copy else mdata
    validate(mdata, full=False)
    for_activity = assay == Layer.activity
    key = key_added or (Layer.activity_pred if for_activity else Layer.expression_pred(assay))
    check_layer_name(key, "key_added")
    samples = pick_samples(mdata, sample)
    if for_activity and (encoder is not None or leave_out == "samples"):
        raise ValueError(
            "assay='activity' trains enhancer predictors: it takes no encoder=, and no leave_out='samples'"
        )
    if leave_out not in ("chromosomes", "samples"):
        raise ValueError(f"leave_out is {leave_out!r}; expected 'chromosomes' or 'samples'")
    if leave_out == "samples" and len({biosample_of(mdata, name) for name in samples}) < 2:
        raise ValueError(f"there is only {samples[0]}; leave_out='samples' needs at least two biosamples")
    numbers = _folds(mdata, folds, scheme, Modality.enhancers if for_activity else Modality.genes)
    root = Path(folder)
    if not (resume or overwrite) and root.is_dir() and any(root.iterdir()):
        raise FileExistsError(
            f"{root} is not empty; pass resume=True to go on with the cross-validation in it, overwrite=True to "
            "replace it, or another folder"
        )
    if isinstance(encoder, Mapping) or (encoder is not None and encoder != "train"):
        encoder = _fold_encoders(encoder, numbers)
    shared = {"scheme": scheme, "resume": resume, "overwrite": overwrite, **training}
    predicting = {"sample": samples, "key_added": key, **_passed(training, "genome", "device")}
    if for_activity:
        places = {name: root if len(samples) == 1 else root / _safe(name) for name in samples}
        for name, place in places.items():
            _clear(place, numbers, overwrite)
            for fold in numbers:
                _say(fold, numbers, name)
                train_activity(mdata, fold=fold, sample=name, folder=place / f"fold{fold}", **shared)
        predict_activity(mdata, _models(places, numbers), **predicting, **_passed(training, "window"))
        return mdata if copy else None

    require_layer(mdata[Modality.genes], assay, f'er.pp.add_expression(mdata, …, assay="{assay}")')
    places = {name: root / _safe(name) if leave_out == "samples" else root for name in samples}
    kinds = {name: biosample_of(mdata, name) for name in samples}
    trained_on: dict[Path, tuple[list[str], str | None]] = dict.fromkeys(places.values(), (samples, None))
    if leave_out == "samples":
        trained_on = {
            place: ([other for other in samples if kinds[other] != kinds[name]], kinds[name])
            for name, place in places.items()
        }
    for place, (on, without) in trained_on.items():
        _clear(place, numbers, overwrite)
        for fold in numbers:
            _say(fold, numbers, ", ".join(on))
            start = _encoder(mdata, encoder, encoder_training, fold, on, without, place, shared)
            train_expression(
                mdata, assay=assay, fold=fold, sample=on, encoder=start, folder=place / f"fold{fold}", **shared
            )
    predict_expression(
        mdata, _models(places, numbers), assay=assay, allow_cross_cell=leave_out == "samples", **predicting
    )
    return mdata if copy else None


def _models(places: Mapping[str, Path], folds: Sequence[int]) -> dict[str, dict[int, Path]]:
    """Fold models of each biosample: those of this call, whatever else is in the folder."""
    return {name: {fold: place / f"fold{fold}" for fold in folds} for name, place in places.items()}


def _clear(place: Path, folds: Sequence[int], overwrite: bool) -> None:
    """Remove fold models of earlier trainings that no fold of this one replaces."""
    from eregtools.models.zoo import fold_folders

    if overwrite:
        for root in (place, place / ENCODERS):
            for fold, folder in fold_folders(root).items():
                if fold not in folds and (folder / REQUEST_FILE).is_file():
                    shutil.rmtree(folder)


def _fold_encoders(encoder: Any, folds: Sequence[int]) -> dict[int, Any]:
    """Find the encoder of each fold, before anything is trained."""
    if isinstance(encoder, Mapping):
        if missing := [fold for fold in folds if fold not in encoder]:
            raise KeyError(f"encoder= has no model for fold {missing[0]}; it has {', '.join(map(str, encoder))}")
        return {fold: encoder[fold] for fold in folds}
    found = {fold: Path(encoder) / f"fold{fold}" for fold in folds}
    if missing := [fold for fold, folder in found.items() if not folder.is_dir()]:
        raise FileNotFoundError(
            f"encoder={str(encoder)!r} holds no folder fold{missing[0]}; it needs one for each fold"
        )
    return found


def _folds(mdata: MuData, folds: Iterable[int] | None, scheme: str | None, modality: str) -> list[int]:
    """Return the folds to train: those that test something."""
    chromosomes = require_modality(mdata, modality).var[Var.chromosome].astype(str).to_numpy()
    sets, scheme = fold_sets(mdata, scheme, chromosomes)
    there = [int(name) for name in sets.columns if (sets[name] == "test").any()]
    wanted = there if folds is None else [int(fold) for fold in folds]
    if not wanted:
        raise ValueError(f"no fold of scheme {scheme!r} tests any of the {modality}; nothing to train")
    if unknown := [fold for fold in wanted if fold not in there]:
        raise KeyError(
            f"fold {unknown[0]} of scheme {scheme!r} does not exist or tests none of the {modality}; there are "
            f"{', '.join(map(str, there))}"
        )
    return wanted


def _encoder(
    mdata: MuData,
    encoder: Any,
    encoder_training: Mapping[str, Any] | None,
    fold: int,
    samples: list[str],
    without: str | None,
    folder: Path,
    training: Mapping[str, Any],
) -> Any:
    """Where the tower of a fold's model starts; never from the biosample that is left out."""
    from eregtools.models import load

    if encoder is None:
        return None
    if encoder == "train":
        chosen = (encoder_training or {}).get("sample", samples[0])
        if len(samples) > 1 and without is None and "sample" not in (encoder_training or {}):
            raise ValueError(
                f"encoder='train' learns the activity of one biosample, and there are {', '.join(samples)}; name it "
                "with encoder_training={'sample': …}"
            )
        if without is not None and biosample_of(mdata, chosen) == without:
            chosen = samples[0]
        of_engine = ("scheme", "genome", "device", "devices", "nodes", "precision", "rng", "resume", "overwrite")
        arguments = {**_passed(training, *of_engine), **(encoder_training or {}), "sample": chosen}
        return train_activity(mdata, fold=fold, folder=folder / ENCODERS / f"fold{fold}", **arguments)
    start = encoder[fold]
    start = load(start) if isinstance(start, str | Path) else start
    if without is not None and without in biosamples_of(start.provenance):
        raise ValueError(f"the encoder of fold {fold} was trained on {without}, which is left out; take another one")
    return start


def _passed(arguments: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: arguments[name] for name in names if name in arguments}


def _say(fold: int, folds: Sequence[int], on: str) -> None:
    logger.info("fold %d (%d of %d), trained on %s", fold, folds.index(fold) + 1, len(folds), on)


def _safe(name: str) -> str:
    """Name of a folder for a biosample."""
    return quote(name, safe=" +-_.()")
