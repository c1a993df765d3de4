"""Predict enhancer activity from sequence with EPInformer-seq."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import check_layer_name, layer_to_fill, put_layer, require_modality, validate
from eregtools.batches.encode import UNKNOWN
from eregtools.tl._models import assign_folds, biosample_of, model_set, record_result, result_row
from eregtools.tl.expression import object_genome, pick_samples

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

_FAMILY = "EPInformer-seq"
_ASSAY = "activity"
_PSEUDOCOUNT = 0.1
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
    key_added: str = Layer.activity_pred,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Predict the activity of every element from 256 bp of its sequence.

    Parameters
    ----------
    mdata, fold, genome, sample, device, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_expression`.
    model
        ``None``: published weights for the biosample; else as in :func:`eregtools.tl.predict_expression`.
    window
        ``"center"``: 256 bp around the element's centre. ``"summit"``: around ``enhancers.var["summit"]``.
        ``"tile"``: windows of 256 bp every 128 bp or less over the whole element, their mean on the linear scale.
    key_added
        Layer to write.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["enhancers"].layers["activity_pred"]``
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
    >>> mdata = er.io.read("k562.h5mu")  # doctest: +SKIP
    >>> er.tl.predict_activity(mdata, genome="hg38.fa")  # doctest: +SKIP
    """
    from eregtools.models.device import pick_device
    from eregtools.models.epinformer import EPInformerSeq
    from eregtools.models.inference import ActivityPredictor

    mdata = mdata.copy() if copy else mdata
    validate(mdata, full=False)
    enhancers = require_modality(mdata, Modality.enhancers)
    check_layer_name(key_added, "key_added")
    if window != "tile":
        element_centres(enhancers.var, window)
    samples = pick_samples(mdata, sample)
    sequence = object_genome(mdata, genome)
    computing = pick_device(device)
    plans = []
    for name in samples:
        models = model_set(
            model,
            sample=name,
            biosample=biosample_of(mdata, name),
            family=(_FAMILY,),
            assay=_ASSAY,
            expected=EPInformerSeq,
            allow_cross_cell=allow_cross_cell,
        )
        chosen, leaky = assign_folds(
            mdata,
            models,
            enhancers.var[Var.chromosome],
            fold,
            allow_leakage=allow_leakage,
            what="elements",
        )
        plans.append((name, models, chosen, leaky))

    values = layer_to_fill(enhancers, key_added, mdata.obs_names.get_indexer(samples))
    rows = []
    with progress_bar(len(plans) * enhancers.n_vars, "Predicting activity", "elements") as bar:
        for name, models, chosen, leaky in plans:
            row = mdata.obs_names.get_loc(name)
            candidate = np.asarray(enhancers.layers[Layer.candidate][row]).ravel() > 0
            for number, source in models.sources.items():
                picked = np.flatnonzero((chosen == number) & candidate)
                if not len(picked):
                    continue
                network: Any = source.load()
                predictor = ActivityPredictor(network, computing)
                values[row, picked] = _predict(
                    enhancers.var.iloc[picked], sequence, predictor, network.config.window, window, bar
                )
                rows.append(result_row(name, number, source, models, f"log2(0.1 + activity), {window}", leaky))
            predicted = np.isfinite(values[row]).sum()
            logger.info("%s: activity of %d of %d elements predicted", name, predicted, enhancers.n_vars)
    record_result(mdata, f"{Modality.enhancers}:{key_added}", rows, samples)
    put_layer(mdata, Modality.enhancers, key_added, values)
    return mdata if copy else None


def _predict(
    elements: pd.DataFrame, genome: Genome, predictor: Any, width: int, window: str, bar: Any
) -> NDArray[np.float32]:
    owner, starts = _windows(elements, width, window)
    chroms = elements[Var.chromosome].astype(str).to_numpy()[owner]
    predicted = np.empty(len(owner), dtype=np.float32)
    for begin in range(0, len(owner), _WINDOWS_PER_CHUNK):
        part = slice(begin, begin + _WINDOWS_PER_CHUNK)
        codes = genome.codes(chroms[part].tolist(), starts[part], width)
        predicted[part] = np.where((codes < UNKNOWN).any(axis=1), predictor(codes), np.nan)
        bar.update(len(np.unique(owner[part])))
    if window != "tile":
        return predicted
    linear = np.exp2(predicted.astype(np.float64)) - _PSEUDOCOUNT
    known = np.isfinite(linear)
    total = np.bincount(owner[known], weights=linear[known], minlength=len(elements))
    count = np.bincount(owner[known], minlength=len(elements))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log2(np.maximum(total / count, 0) + _PSEUDOCOUNT).astype(np.float32)


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
    """Element and start of each window."""
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
