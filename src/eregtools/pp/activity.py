"""Activity of enhancers and promoters: the geometric mean of normalised assays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import Layer, Modality, Uns
from eregtools._schema import check_layer_name, entry, put_layer, require_layer, require_modality, require_real
from eregtools.pp.align import sample_rows
from eregtools.pp.normalise import QuantileReference, promoter_elements
from eregtools.pp.signal import mean_of_replicates

Totals: TypeAlias = Mapping[str, float | Sequence[float] | Mapping[str, float | Sequence[float]]]
"""Reads of the whole library: ``{assay: number | [one per replicate] | {sample: either}}``."""


def activity(
    mdata: MuData,
    *,
    assays: Sequence[str] = ("DNase", "H3K27ac"),
    totals: Totals | None = None,
    quantile_reference: str | Path | pd.DataFrame | None = None,
    key_added: str = Layer.activity,
    copy: bool = False,
) -> MuData | None:
    """Activity of each element: reads per million, mean of replicates, quantiles of a reference, geometric mean.

    Parameters
    ----------
    mdata
        The object, with the assays added by :func:`~eregtools.pp.add_signal`.
    assays
        Layers to combine.
    totals
        Reads of each library, ``{assay: number | [one per replicate] | {sample: number | [one per
        replicate]}}``; counts become counts · 10⁶ / total. ``None``: the layers are normalised already.
    quantile_reference
        Table (or its path) of the values that elements of each rank have in a reference biosample, as ABC's
        ``EnhancersQNormRef.K562.txt``: columns ``enh_class`` (``any``, ``promoter``, ``nonpromoter``), ``rank``, and
        ``H3K27ac.RPM``, ``DHS.RPM`` and so on. DNase takes DHS; ATAC takes DHS where there is no ATAC. Candidates of a
        biosample are ranked among themselves: promoters and other elements apart where the elements have a class
        (:func:`~eregtools.pp.classify`), otherwise all together. ``None``: values stay as they are.
    key_added
        Name of the layer.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["enhancers"].layers[key_added]``
        Activity, float32 ``(n_samples, n_elements)``, also ``X``; NaN where a biosample lacks an assay and, with
        ``quantile_reference``, where an element is not the biosample's candidate.
    ``mdata.uns["eregtools"]["totals"][assay]``
        DataFrame of the totals used, biosamples × replicates.
    ``mdata.uns["eregtools"]["activity"][key_added]``
        assays, quantile_reference (its file name, ``"table"`` or ``"none"``), and promoters_apart.

    Raises
    ------
    KeyError
        An assay without a layer or without totals.
    ValueError
        Totals that are not positive or not one for each replicate; a reference of another shape or without an
        assay; a view.

    Notes
    -----
    The activity of the Activity-by-Contact model (Fulco et al. 2019; Nasser et al. 2021).

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> n = mdata["enhancers"].n_vars
    >>> er.pp.add_signal(mdata, {"K562": [4.0] * n}, assay="DNase")
    >>> er.pp.add_signal(mdata, {"K562": [9.0] * n}, assay="H3K27ac")
    >>> er.pp.activity(mdata, totals={"DNase": 1e6, "H3K27ac": 1e6})
    >>> float(mdata["enhancers"].layers["activity"][0, 0])
    6.0
    """
    return _add_activity(mdata, Modality.enhancers, assays, totals, quantile_reference, key_added, copy)


def promoter_activity(
    mdata: MuData,
    *,
    assays: Sequence[str] = ("DNase", "H3K27ac"),
    totals: Totals | None = None,
    key_added: str = Layer.promoter_activity,
    copy: bool = False,
) -> MuData | None:
    """Activity of each promoter, from assays added over TSSs with ``add_signal(…, modality="genes")``.

    It is never quantile-normalised.

    Parameters
    ----------
    mdata, assays, totals, key_added, copy
        As in :func:`activity`.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["genes"].layers[key_added]``
        Activity, float32 ``(n_samples, n_genes)``; NaN where a biosample lacks an assay.
    ``mdata.uns["eregtools"]["totals"][assay]``
        DataFrame of the totals used, biosamples × replicates.

    Raises
    ------
    KeyError, ValueError
        As in :func:`activity`.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> n = mdata["genes"].n_vars
    >>> er.pp.add_signal(mdata, {"K562": [2.0] * n}, assay="DNase", modality="genes")
    >>> er.pp.promoter_activity(mdata, assays=["DNase"])
    >>> float(mdata["genes"].layers["promoter_activity"][0, 0])
    2.0
    """
    return _add_activity(mdata, Modality.genes, assays, totals, None, key_added, copy)


def _add_activity(
    mdata: MuData,
    modality: str,
    assays: Sequence[str],
    totals: Totals | None,
    quantile_reference: str | Path | pd.DataFrame | None,
    key_added: str,
    copy: bool,
) -> MuData | None:
    require_real(mdata)
    check_layer_name(key_added, "key_added")
    assays = [assays] if isinstance(assays, str) else list(assays)
    if not assays:
        raise ValueError("assays is empty; name at least one layer")
    if totals is not None and (unknown := [name for name in totals if name not in assays]):
        raise KeyError(f"totals are given for {', '.join(unknown)}, which is not among assays={assays}")
    adata = require_modality(mdata, modality)
    reference = None if quantile_reference is None else QuantileReference(quantile_reference)
    promoter = None if reference is None else promoter_elements(adata.var)
    normalised, used = [], {}
    for assay in assays:
        replicates = _replicate_counts(mdata, modality, assay)
        if totals is not None:
            table = _totals_table(mdata, assay, totals, replicates)
            replicates = replicates * (1e6 / table.to_numpy().T[:, :, None])
            used[assay] = table
        mean = mean_of_replicates(replicates)
        if reference is not None:
            candidate = require_layer(adata, Layer.candidate, "er.pp.assemble") > 0
            mean = reference.normalise(np.where(candidate, mean, np.nan), assay, promoter)
        normalised.append(mean)
    combined = np.prod(normalised, axis=0) ** (1 / len(assays))

    mdata = mdata.copy() if copy else mdata
    put_layer(mdata, modality, key_added, combined, as_x=modality == Modality.enhancers)
    if used:
        entry(mdata, Uns.totals).update(used)
    if modality == Modality.enhancers:
        entry(mdata, Uns.activity)[key_added] = {
            "assays": ", ".join(assays),
            "quantile_reference": "none" if reference is None else reference.name,
            "promoters_apart": promoter is not None,
        }
    return mdata if copy else None


def _replicate_counts(mdata: MuData, modality: str, assay: str) -> np.ndarray:
    """Values of an assay, float64 ``(n_replicates, n_samples, n_elements)``."""
    adata = require_modality(mdata, modality)
    call = f'er.pp.add_signal(mdata, …, assay="{assay}", modality="{modality}")'
    layers = [require_layer(adata, assay, call)]
    number = 1
    while Layer.replicate(assay, number) in adata.layers:
        layers = [*(layers if number > 1 else []), np.asarray(adata.layers[Layer.replicate(assay, number)])]
        number += 1
    return np.stack(layers).astype(np.float64)


def _totals_table(mdata: MuData, assay: str, totals: Totals, replicates: np.ndarray) -> pd.DataFrame:
    """Totals of an assay, biosamples × replicates; NaN where there is no replicate."""
    if assay not in totals:
        raise KeyError(f"totals has no entry for {assay!r} (it has {', '.join(totals)})")
    given: Any = totals[assay]
    table = np.full((mdata.n_obs, len(replicates)), np.nan)
    if isinstance(given, Mapping):
        sample_rows(mdata, given, f"totals of {assay}")
    for row, sample in enumerate(mdata.obs_names):
        expected = int((~np.isnan(replicates[:, row])).any(axis=1).sum())
        if expected == 0:
            continue
        if isinstance(given, Mapping) and sample not in given:
            raise KeyError(f"totals of {assay!r} lack biosample {sample!r}, which has signal")
        values = np.atleast_1d(np.asarray(given[sample] if isinstance(given, Mapping) else given, dtype=np.float64))
        if values.shape != (expected,):
            raise ValueError(f"{assay} of {sample}: {values.size} total(s) for {expected} replicate(s)")
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"{assay} of {sample}: totals are {values.tolist()}, expected numbers above 0")
        table[row, :expected] = values
    columns = [f"rep{number}" for number in range(1, len(replicates) + 1)]
    return pd.DataFrame(table, index=mdata.obs_names.copy(), columns=columns)
