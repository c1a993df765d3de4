"""Predict enhancer activity from sequence with EPInformer-seq."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import check_layer_name, layer_to_fill, put_layer, require_modality, validate
from eregtools._settings import settings as session
from eregtools.batches.encode import UNKNOWN
from eregtools.batches.shuffle import dinucleotide_shuffle
from eregtools.tl._models import ModelSet, assign_folds, biosample_of, model_set, record_result, result_row
from eregtools.tl.expression import marked_recipe, object_genome, pick_samples

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import torch
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

_FAMILY = "EPInformer-seq"
_ASSAY = "activity"
PSEUDOCOUNT = 0.1
"""Activity is predicted as log2 of activity plus this."""

_TILE_STRIDE = 128
_WINDOWS_PER_CHUNK = 16_384


def predict_activity(
    mdata: MuData,
    model: Any = None,
    *,
    window: Literal["center", "summit", "tile"] = "center",
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    sample: str | Iterable[str] | None = None,
    device: str | torch.device | None = None,
    shuffle: bool = False,
    rng: int | None = None,
    key_added: str | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Predict the activity of every element from 256 bp of its sequence.

    Parameters
    ----------
    mdata, fold, genome, sample, device, rng, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_expression`.
    model
        ``None``: published weights for the biosample; else as in :func:`eregtools.tl.predict_expression`.
    window
        ``"center"``: 256 bp around the element's centre. ``"summit"``: around ``enhancers.var["summit"]``.
        ``"tile"``: windows of 256 bp every 128 bp or less over the whole element, their mean on the linear scale.
    shuffle
        Predict from shuffled sequence: each window is shuffled with its dinucleotides kept. The result is marked.
    key_added
        Layer to write; ``None``: ``"activity_pred"``, and ``"activity_shuffled_pred"`` for shuffled sequence.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["enhancers"].layers["activity_pred"]`` (or ``"activity_shuffled_pred"``)
        log2(0.1 + activity), ``(n_samples, n_enhancers)``, float32, where activity is the geometric mean of DNase
        and H3K27ac reads per million in the window; NaN where none was predicted (all N, not a candidate of the
        sample, no fold model).
    ``mdata.uns["eregtools"]["results"]``
        Which weights made it.

    Raises
    ------
    KeyError, ValueError, FileNotFoundError
        As :func:`eregtools.tl.predict_expression`; ``window="summit"`` without summits.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026 (the enhancer predictor).

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> er.tl.predict_activity(mdata, "EPInformer-seq-small-simulated")
    >>> mdata["enhancers"].layers["activity_pred"].shape
    (1, 160)
    >>> mdata.uns["eregtools"]["results"]["enhancers:activity_pred"][["sample", "model"]]
      sample                           model
    0    sim  EPInformer-seq-small-simulated
    """
    mdata = mdata.copy() if copy else mdata
    enhancers = require_elements(mdata, window)
    key = key_added or (Layer.shuffled_pred(_ASSAY) if shuffle else Layer.activity_pred)
    check_layer_name(key, "key_added")
    samples = pick_samples(mdata, sample)
    filled = mdata.obs_names.get_indexer(samples)
    values = layer_to_fill(enhancers, key, filled)
    settings = ActivitySettings(window, fold, genome, device, allow_cross_cell, allow_leakage)
    if shuffle:
        settings = replace(settings, shuffled=session.seed if rng is None else rng)
    values[filled], rows = predicted_activity(mdata, model, samples, settings)
    record_result(mdata, f"{Modality.enhancers}:{key}", rows, samples)
    put_layer(mdata, Modality.enhancers, key, values)
    return mdata if copy else None


@dataclass(frozen=True)
class ActivitySettings:
    """How EPInformer-seq is run over an object; fields as the arguments of :func:`predict_activity`."""

    window: str
    fold: int | str
    genome: Genome | str | Path | None
    device: str | torch.device | None
    allow_cross_cell: bool
    allow_leakage: bool
    shuffled: int | None = None
    """Seed with which sequence is shuffled; ``None``: sequence as it is."""


def predicted_activity(
    mdata: MuData, model: Any, samples: list[str], settings: ActivitySettings
) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
    """Predictions ``(n_samples, n_enhancers)``, NaN where none was made, and which weights made them."""
    from eregtools.models.device import pick_device
    from eregtools.models.inference import ActivityPredictor

    enhancers = mdata[Modality.enhancers]
    sequence = object_genome(mdata, settings.genome)
    computing = pick_device(settings.device)
    plans = [_plan(mdata, model, name, settings) for name in samples]
    values = np.full((len(samples), enhancers.n_vars), np.nan, dtype=np.float32)
    rows = []
    how = marked_recipe(f"log2(0.1 + activity), {settings.window}", settings.shuffled)
    with progress_bar(len(plans) * enhancers.n_vars, "Predicting activity", "elements") as bar:
        for predicted, name, (models, chosen, leaky) in zip(values, samples, plans, strict=True):
            candidate = np.asarray(enhancers.layers[Layer.candidate][mdata.obs_names.get_loc(name)]).ravel() > 0
            for number, source in models.sources.items():
                picked = np.flatnonzero((chosen == number) & candidate)
                if not len(picked):
                    continue
                network: Any = source.load()
                predictor = ActivityPredictor(network, computing)
                predicted[picked] = _predict(
                    enhancers.var.iloc[picked], sequence, predictor, network.config.window, settings, bar
                )
                rows.append(result_row(name, number, source, models, how, leaky))
            n = np.isfinite(predicted).sum()
            logger.info("%s: activity of %d of %d elements predicted", name, n, enhancers.n_vars)
    return values, rows


def _plan(
    mdata: MuData, model: Any, sample: str, settings: ActivitySettings
) -> tuple[ModelSet, NDArray[np.int64], bool]:
    """Models of a biosample, the one for each element, and whether it saw the element's chromosome."""
    from eregtools.models.epinformer import EPInformerSeq

    models = model_set(
        model,
        sample=sample,
        biosample=biosample_of(mdata, sample),
        family=(_FAMILY,),
        assay=_ASSAY,
        expected=EPInformerSeq,
        allow_cross_cell=settings.allow_cross_cell,
    )
    chosen, leaky = assign_folds(
        mdata,
        models,
        mdata[Modality.enhancers].var[Var.chromosome],
        settings.fold,
        allow_leakage=settings.allow_leakage,
        what="elements",
    )
    return models, chosen, leaky


def window_width(mdata: MuData, model: Any, samples: list[str], settings: ActivitySettings) -> int:
    """Length of the windows that the models read; of the longest ones where they differ."""
    sources = [source for name in samples for source in _plan(mdata, model, name, settings)[0].sources.values()]
    networks: list[Any] = [source.load() for source in sources]
    return max(int(network.config.window) for network in networks)


def _predict(
    elements: pd.DataFrame, genome: Genome, predictor: Any, width: int, settings: ActivitySettings, bar: Any
) -> NDArray[np.float32]:
    owners, windows = [], []
    for owner, codes in read_windows(elements, genome, width, settings.window, settings.shuffled):
        owners.append(owner)
        windows.append(np.where((codes < UNKNOWN).any(axis=1), predictor(codes), np.nan).astype(np.float32))
        bar.update(len(np.unique(owner)))
    predicted = np.concatenate(windows)
    if settings.window != "tile":
        return predicted
    linear = np.exp2(predicted.astype(np.float64)) - PSEUDOCOUNT
    return np.log2(np.maximum(mean_of_windows(linear, np.concatenate(owners)), 0) + PSEUDOCOUNT).astype(np.float32)


def read_windows(
    elements: pd.DataFrame, genome: Genome, width: int, window: str, shuffled: int | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Read the windows of elements in chunks: element of each window ``(n,)``, in order, and codes ``(n, width)``.

    Every element has a window at least. With a seed (``shuffled``) each window is shuffled, by the name of its element
    and its number in it.
    """
    owner, starts = _windows(elements, width, window)
    chroms = elements[Var.chromosome].astype(str).to_numpy()[owner]
    number = np.arange(len(owner)) - np.searchsorted(owner, owner)
    for begin in range(0, len(owner), _WINDOWS_PER_CHUNK):
        part = slice(begin, begin + _WINDOWS_PER_CHUNK)
        codes = genome.codes(chroms[part].tolist(), starts[part], width)
        if shuffled is not None:
            names = zip(elements.index[owner[part]], number[part].tolist(), strict=True)
            codes = dinucleotide_shuffle(codes, [f"{name}/{i}" for name, i in names], shuffled)
        yield owner[part], codes


def mean_of_windows(values: NDArray[np.float64], owner: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over each element's windows that have a value; NaN where none has."""
    known = np.isfinite(values)
    n = int(owner.max(initial=-1)) + 1
    total = np.bincount(owner[known], weights=values[known], minlength=n)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / np.bincount(owner[known], minlength=n))


def require_elements(mdata: MuData, window: str) -> AnnData:
    """Return the enhancers of a checked object, from which such windows can be read."""
    validate(mdata, full=False)
    enhancers = require_modality(mdata, Modality.enhancers)
    if window != "tile":
        element_centres(enhancers.var, window)
    return enhancers


def element_centres(elements: pd.DataFrame, window: str) -> NDArray[np.int64]:
    """Position around which an element's sequence is read: its centre or its summit."""
    if window == "center":
        return (elements[Var.start].to_numpy(dtype=np.int64) + elements[Var.end].to_numpy(dtype=np.int64)) // 2
    if window != "summit":
        raise ValueError(f"window is {window!r}; expected 'center', 'summit' or 'tile'")
    if Var.summit not in elements:
        raise KeyError(
            f"window='summit' needs enhancers.var[{Var.summit!r}]; assemble from narrowPeak, or use 'center'"
        )
    return elements[Var.summit].to_numpy(dtype=np.int64)


def _windows(elements: pd.DataFrame, width: int, window: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Element and start of each window, in the order of the elements."""
    start = elements[Var.start].to_numpy(dtype=np.int64)
    end = elements[Var.end].to_numpy(dtype=np.int64)
    if window != "tile":
        return np.arange(len(start)), element_centres(elements, window) - width // 2
    stride = min(_TILE_STRIDE, width)
    count = np.maximum(1, -(-(end - start - width) // stride) + 1)
    owner = np.repeat(np.arange(len(start)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    span = np.maximum(end - start - width, 0)
    first = np.where(end - start < width, (start + end) // 2 - width // 2, start)
    step = span / np.maximum(count - 1, 1)
    return owner, first[owner] + np.rint(number * step[owner]).astype(np.int64)
