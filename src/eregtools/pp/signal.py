"""Signal of an assay over elements and promoters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import check_layer_name, put_layer, require_modality, require_real
from eregtools.io.bam import bam_counts
from eregtools.io.bigwig import region_values
from eregtools.pp.align import sample_rows, warn_of_order

Statistic = Literal["sum", "mean", "max"]

PROMOTER_HALF_WIDTH = 500
CAGE_HALF_WIDTH = 192
"""Three bins of 128 bp around the TSS, the CAGE target of Enformer and EPInformer."""

_BIGWIG, _BAM = (".bw", ".bigwig"), ".bam"
_WRONG = "Is it of another assembly, or are its chromosomes named differently?"


def add_signal(
    mdata: MuData,
    tracks: Mapping[str, Any],
    *,
    assay: str,
    modality: Literal["enhancers", "genes", "ernas"] = "enhancers",
    statistic: Statistic = "sum",
    window: int | None = None,
    copy: bool = False,
) -> MuData | None:
    """Add the signal of an assay over elements, or over the TSSs of genes.

    Parameters
    ----------
    mdata
        The object.
    tracks
        ``{sample: signal}``, all biosamples of the assay in one call. A signal is a bigWig file; a BAM file, whose
        reads are counted; a Series by element name; a DataFrame by element name, one column per replicate; an array
        ``(n_elements,)`` or ``(n_replicates, n_elements)`` **in the order of the object** (``assemble`` sorts, so a
        Series is the safe way; ``var["input_index"]`` has the rows of the input); or a list of files, Series or
        arrays, one per replicate. A name that a Series does not have becomes NaN where the element is no candidate
        of the sample.
    assay
        Name of the assay and of its layer.
    modality
        Over which elements; ``"genes"``: over ``[tss - window, tss + window)``.
    statistic
        How the bases of a bigWig are put together: ``"sum"``, ``"mean"`` or ``"max"``. Bases without data are
        0. A BAM file has only ``"sum"``, the number of reads that overlap.
    window
        Half width of the TSS window in bp. ``None``: 192 for CAGE, 500 for other assays.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata[modality].layers[assay]``
        Mean of the replicates, float32 ``(n_samples, n_elements)``; NaN for biosamples without a track.
    ``mdata[modality].layers[f"{assay}_rep1"]`` …
        Each replicate, where any biosample has more than one.

    Raises
    ------
    KeyError
        A biosample that the object does not have.
    FileNotFoundError
        There is no such file.
    ValueError
        A signal of the wrong length, without a name that is needed, or with negative or non-finite values; a file
        that is neither bigWig nor BAM, or without signal on any element; a view.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> counts = pd.Series(3.0, index=mdata["enhancers"].var_names)
    >>> er.pp.add_signal(mdata, {"K562": counts}, assay="DNase")
    >>> float(mdata["enhancers"].layers["DNase"][0, 0])
    3.0
    """
    require_real(mdata)
    check_layer_name(assay, "assay")
    adata = require_modality(mdata, modality)
    if window is not None and modality != Modality.genes:
        raise ValueError(f"window={window} is for modality='genes'; other elements have their own Start and End")
    rows = sample_rows(mdata, tracks, f"tracks of {assay}")
    regions = _regions(mdata, modality, assay, window)
    signals = {
        row: _replicates(track, adata, row, regions, statistic, f"{assay} of {sample}")
        for row, (sample, track) in zip(rows, tracks.items(), strict=True)
    }
    replicates = _stacked(signals, adata.shape)
    if missing := [name for row, name in enumerate(mdata.obs_names) if row not in signals]:
        logger.info("%s: no track for %s, which get NaN", assay, ", ".join(missing))

    mdata = mdata.copy() if copy else mdata
    _store_replicates(mdata, modality, assay, replicates)
    return mdata if copy else None


def mean_of_replicates(replicates: np.ndarray) -> np.ndarray:
    """Mean of the replicates that are there, over the first axis of ``(n_replicates, …, n_elements)``."""
    there = ~np.isnan(replicates)
    total = np.where(there, replicates, 0.0).sum(axis=0)
    count = there.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _store_replicates(mdata: MuData, modality: str, assay: str, replicates: np.ndarray) -> None:
    layers = mdata.mod[modality].layers
    number = 1
    while Layer.replicate(assay, number) in layers:  # of an earlier call
        del layers[Layer.replicate(assay, number)]
        number += 1
    put_layer(mdata, modality, assay, mean_of_replicates(replicates))
    if len(replicates) > 1:
        for number, values in enumerate(replicates, start=1):
            put_layer(mdata, modality, Layer.replicate(assay, number), values)


def _regions(mdata: MuData, modality: str, assay: str, window: int | None) -> pd.DataFrame:
    """Intervals over which files are read: elements, or TSS windows cut at the ends of chromosomes."""
    var = mdata.mod[modality].var
    if modality != Modality.genes:
        return var
    if window is None:
        window = CAGE_HALF_WIDTH if assay == "CAGE" else PROMOTER_HALF_WIDTH
    if window < 1:
        raise ValueError(f"window={window}: expected at least 1 bp on either side of the TSS")
    start, end = var[Var.tss].to_numpy() - window, var[Var.tss].to_numpy() + window
    sizes = mdata.uns.get(UNS, {}).get(Uns.chrom_sizes)
    if sizes is not None:
        end = np.minimum(end, var[Var.chromosome].astype(object).map(sizes["length"]).to_numpy())
    return pd.DataFrame({Var.chromosome: var[Var.chromosome], Var.start: np.maximum(start, 0), Var.end: end})


def _stacked(signals: dict[int, list[np.ndarray]], shape: tuple[int, int]) -> np.ndarray:
    most = max((len(values) for values in signals.values()), default=1)
    stacked = np.full((most, *shape), np.nan)
    for row, values in signals.items():
        for number, replicate in enumerate(values):
            stacked[number, row] = replicate
    return stacked


def _replicates(
    track: Any, adata: AnnData, row: int, regions: pd.DataFrame, statistic: Statistic, what: str
) -> list[np.ndarray]:
    """Signals of the replicates of one biosample, each ``(n_elements,)``."""
    if isinstance(track, pd.DataFrame):
        parts: list[Any] = [track[name] for name in track.columns]
    elif isinstance(track, list | tuple) and not all(np.isscalar(v) and not isinstance(v, str) for v in track):
        parts = list(track)
    elif isinstance(track, str | Path | pd.Series):
        parts = [track]
    else:
        array = np.asarray(track)
        if array.ndim not in (1, 2):
            raise ValueError(f"{what}: expected an array of 1 or 2 dimensions, got shape {array.shape}")
        parts = list(np.atleast_2d(array))
    if not parts:
        raise ValueError(f"{what}: there is no replicate")
    return [_one_signal(part, adata, row, regions, statistic, what) for part in parts]


def _one_signal(
    part: Any, adata: AnnData, row: int, regions: pd.DataFrame, statistic: Statistic, what: str
) -> np.ndarray:
    if isinstance(part, str | Path):
        values = _from_file(Path(part), regions, statistic, what)
    elif isinstance(part, pd.Series):
        values = _by_name(part, adata, row, what)
    else:
        values = _in_object_order(np.asarray(part, dtype=np.float64), adata, what)
    return values


def _from_file(path: Path, regions: pd.DataFrame, statistic: Statistic, what: str) -> np.ndarray:
    kind = path.suffix.lower()
    if kind not in (*_BIGWIG, _BAM):
        raise ValueError(
            f"{what}: {path.name} is neither a bigWig (.bw, .bigWig) nor a BAM file (.bam); give counts as a Series "
            f"instead"
        )
    if kind == _BAM and statistic != "sum":
        raise ValueError(
            f"{what}: statistic={statistic!r} is for bigWig files; reads of a BAM file are counted ('sum')"
        )
    chroms = regions[Var.chromosome].astype(object).to_numpy()
    starts, ends = regions[Var.start].to_numpy(), regions[Var.end].to_numpy()
    try:
        if kind == _BAM:
            values = bam_counts(path, chroms, starts, ends).astype(np.float64)
        else:
            values = region_values(path, chroms, starts, ends, statistic=statistic, missing="zero")
    except KeyError as error:  # none of the chromosomes is in the file
        raise ValueError(f"{what}: {error.args[0]} {_WRONG}") from None
    _refuse_invalid(values, regions.index, f"{what} ({path.name})")
    if len(values) and not values.any():
        raise ValueError(f"{what}: {path.name} has no signal on any of {len(values)} elements. {_WRONG}")
    return values


def _by_name(series: pd.Series, adata: AnnData, row: int, what: str) -> np.ndarray:
    if not series.index.is_unique:
        raise ValueError(f"{what}: the index repeats names, first {series.index[series.index.duplicated()][0]!r}")
    place = series.index.get_indexer(adata.var_names)
    there = place >= 0
    needed = np.ones(adata.n_vars, dtype=bool)
    if Layer.candidate in adata.layers:
        needed = adata.layers[Layer.candidate][row] > 0
    lost = adata.var_names[needed & ~there]
    if len(lost):
        raise ValueError(
            f"{what}: the Series lacks {len(lost)} of {needed.sum()} elements, first {lost[0]!r}; "
            f"its names are like {series.index[0]!r}"
            if len(series)
            else f"{what}: the Series is empty"
        )
    values = np.full(adata.n_vars, np.nan)
    values[there] = series.to_numpy(dtype=np.float64)[place[there]]
    _refuse_invalid(values[there], adata.var_names[there], what)
    return values


def _in_object_order(values: np.ndarray, adata: AnnData, what: str) -> np.ndarray:
    if values.shape != (adata.n_vars,):
        raise ValueError(f"{what}: {values.size} values of shape {values.shape} for {adata.n_vars} elements")
    warn_of_order(adata, what)
    _refuse_invalid(values, adata.var_names, what)
    return values


def _refuse_invalid(values: np.ndarray, names: pd.Index, what: str) -> None:
    wrong = ~(values >= 0) | np.isinf(values)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{what}: {wrong.sum()} value(s) are negative or not finite, first {values[first]} at {names[first]}"
        )
