"""Attributions along the genome: over regions as arrays, and as bigWig files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyBigWig

from eregtools._keys import INTERVAL, UNS, Modality, Uns, Var
from eregtools._schema import link_positions, listed, require_modality
from eregtools.ranges import merge_touching

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

_HEADER_CHUNK = 1_000_000


def write_attributions(mdata: MuData, path: str | Path, *, key: str, modality: str = Modality.enhancers) -> None:
    r"""Write attributions as a bigWig file, which genome browsers show.

    Where windows overlap, the mean of their attributions is written; bases that no window holds have no value. The
    file is written beside ``path`` under a temporary name and renamed: a failure leaves what was there before.

    Parameters
    ----------
    mdata
        Object with attributions.
    path
        Target; what is there is replaced.
    key
        Where :func:`eregtools.tl.attribute` stored them.
    modality
        Of which elements they are.

    Raises
    ------
    KeyError
        There are no such attributions, or the object does not say how long its chromosomes are.
    ValueError
        No element was attributed.
    FileNotFoundError
        The folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pyBigWig
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> names = mdata["enhancers"].var_names[:2]
    >>> er.tl.attribute(mdata, "EPInformer-seq-small-simulated", names=names, method="saliency")
    >>> path = Path(tempfile.mkdtemp()) / "saliency.bw"
    >>> er.io.write_attributions(mdata, path, key="activity_saliency")
    >>> with pyBigWig.open(str(path)) as file:
    ...     file.chroms("chr1"), file.header()["nBasesCovered"] > 0
    (500000, True)
    """
    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: the folder {target.parent} does not exist")
    sizes = mdata.uns.get(UNS, {}).get(Uns.chrom_sizes)
    if sizes is None:
        raise KeyError("the object does not say how long its chromosomes are; er.pp.assemble writes it")
    lengths = {str(name): int(length) for name, length in sizes["length"].items()}
    windows = attributed_windows(mdata, key, modality)
    if windows.empty:
        raise ValueError(f"no element of {modality!r} has attributions under {key!r}")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        file = pyBigWig.open(str(temporary), "w")
        try:
            file.addHeader(list(lengths.items()))
            values = mdata[modality].varm[key]
            for chrom in lengths:  # bigWig wants the order of its header
                for start, mean in _stretches(windows[windows[Var.chromosome] == chrom], values):
                    _add(file, chrom, start, mean, lengths[chrom])
        finally:
            file.close()
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def attributed_windows(mdata: MuData, key: str, modality: str) -> pd.DataFrame:
    """Parts of the genome that were attributed.

    Parameters
    ----------
    mdata
        Object with attributions.
    key
        Where :func:`eregtools.tl.attribute` stored them.
    modality
        Of which elements they are.

    Returns
    -------
    ``Chromosome``, ``Start``, ``End`` of the bases with an attribution, ``row`` of the element and ``first`` column of
    its attributions that is of a base; without the padding that flanks elements shorter than their window.

    Raises
    ------
    KeyError
        There are no such attributions.
    """
    elements = require_attributions(mdata, key, modality)
    values = elements.varm[key]
    made = np.flatnonzero(np.isfinite(values[:, 0]))
    window = elements.var[Var.window_start(key)].to_numpy(dtype=np.int64)[made]
    table = _element_table(mdata, modality).iloc[made]
    start, end = np.maximum(window, 0), window + values.shape[1]
    record = mdata.uns.get(UNS, {}).get(Uns.results, {}).get(f"{modality}:{key}")
    if modality != Modality.genes and record is not None and (record["target"] == "expression").any():
        start = np.maximum(start, table[Var.start].to_numpy(dtype=np.int64))
        end = np.minimum(end, table[Var.end].to_numpy(dtype=np.int64))
    names = table[Var.chromosome].astype(object).to_numpy()
    return pd.DataFrame({Var.chromosome: names, Var.start: start, Var.end: end, "row": made, "first": start - window})


def _element_table(mdata: MuData, modality: str) -> pd.DataFrame:
    """Intervals of the elements whose sequence was attributed."""
    if modality == Modality.links:
        return mdata[Modality.enhancers].var.iloc[link_positions(mdata)[1]]
    return mdata[modality].var


def require_attributions(mdata: MuData, key: str, modality: str) -> AnnData:
    """Return the modality that holds attributions under a key."""
    elements = require_modality(mdata, modality)
    if key not in elements.varm or Var.window_start(key) not in elements.var:
        there = [name for name in elements.varm if Var.window_start(name) in elements.var]
        raise KeyError(
            f"{modality} have no attributions {key!r} (there are {listed(there)}); run er.tl.attribute first"
        )
    return elements


def mean_attribution(
    mdata: MuData, key: str, modality: str, chrom: str, start: int, end: int, name: str | None = None
) -> NDArray[np.float32]:
    """Mean attribution of each base of a region over the windows that hold it.

    Parameters
    ----------
    mdata, key, modality
        As in :func:`attributed_windows`.
    chrom, start, end
        The region, 0-based half-open.
    name
        Only the window of this element; ``None``: of all.

    Returns
    -------
    ``(end - start,)``, NaN where there is no window.
    """
    windows = attributed_windows(mdata, key, modality)
    over = (windows[Var.chromosome] == chrom) & (windows[Var.start] < end) & (windows[Var.end] > start)
    if name is not None:
        over &= windows["row"] == mdata[modality].var_names.get_loc(name)
    return _mean(windows[over], mdata[modality].varm[key], start, end)


def _stretches(windows: pd.DataFrame, values: NDArray[np.float16]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Start of each stretch of overlapping windows, and the mean attribution of its bases."""
    if windows.empty:
        return
    unions, number = merge_touching(windows[list(INTERVAL)])
    order = np.argsort(number, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    for start, end, rows in zip(unions[Var.start].tolist(), unions[Var.end].tolist(), parts, strict=True):
        yield start, _mean(windows.iloc[rows], values, start, end)


def _mean(windows: pd.DataFrame, values: NDArray[np.float16], start: int, end: int) -> NDArray[np.float32]:
    total, count = np.zeros(end - start), np.zeros(end - start, dtype=np.int64)
    for left, right, row, first in windows[[Var.start, Var.end, "row", "first"]].itertuples(index=False):
        begin, stop = max(left, start), min(right, end)
        column = first + begin - left
        total[begin - start : stop - start] += values[row, column : column + stop - begin]
        count[begin - start : stop - start] += 1
    with np.errstate(invalid="ignore"):
        return (total / count).astype(np.float32)


def _add(file: pyBigWig, chrom: str, start: int, values: NDArray[np.float32], length: int) -> None:
    values = values[: max(length - start, 0)]
    for begin in range(0, len(values), _HEADER_CHUNK):
        part = values[begin : begin + _HEADER_CHUNK]
        file.addEntries(chrom, start + begin, values=part, span=1, step=1)
