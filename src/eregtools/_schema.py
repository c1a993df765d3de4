"""What a valid object is: the checks before a write and at ``tl`` entry, and how layers are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import INTERVAL, UNS, Layer, Modality, Uns, Var

if hasattr(mudata, "set_options"):  # mudata 0.4 has no such option: it never pulls
    mudata.set_options(pull_on_update=False)

SCHEMA_VERSION = 1

MODALITIES = (Modality.genes, Modality.enhancers, Modality.links, Modality.ernas)
"""Modalities whose content is ours to check."""

_INTERVAL_MODALITIES = (Modality.genes, Modality.enhancers, Modality.ernas)

_COLUMNS = {
    Modality.genes: (*INTERVAL, Var.strand, Var.tss, Var.gene_name),
    Modality.enhancers: INTERVAL,
    Modality.links: (Var.gene, Var.enhancer, Var.distance),
    Modality.ernas: INTERVAL,
}

_MODALITY_MADE_BY = {
    Modality.genes: "er.pp.assemble",
    Modality.enhancers: "er.pp.assemble",
    Modality.links: "er.pp.link",
}

_INTEGERS = (Var.start, Var.end, Var.tss)


class SchemaError(ValueError):
    """The object is not what eregtools takes; each line of the message is one fault."""


def require_real(mdata: MuData) -> None:
    """Refuse what is no MuData, and views: values written into a view never reach the object behind it.

    Raises
    ------
    TypeError
        Not a MuData.
    ValueError
        The object, or one of its modalities, is a view.
    """
    if not isinstance(mdata, MuData):
        raise TypeError(f"expected a MuData, got {type(mdata).__name__}")
    if mdata.is_view:
        raise ValueError("mdata is a view; make it real with .copy()")
    for name, adata in mdata.mod.items():
        if adata.is_view:
            raise ValueError(f"modality {name!r} is a view; make it real with .copy()")


def require_modality(mdata: MuData, modality: str) -> AnnData:
    """Modality of the object; the error names the call that makes it, where there is one."""
    if modality not in mdata.mod:
        way_out = f"; run {_MODALITY_MADE_BY[modality]} first" if modality in _MODALITY_MADE_BY else ""
        raise KeyError(f"the object has no modality {modality!r} (it has {listed(mdata.mod)}){way_out}")
    return mdata.mod[modality]


def require_layer(adata: AnnData, layer: str, made_by: str) -> np.ndarray:
    """Layer ``(n_samples, n_elements)``; the error names the call that makes it (``made_by``)."""
    if layer not in adata.layers:
        there = [name for name in adata.layers if name is not None]
        raise KeyError(f"there is no layer {layer!r} (there are {listed(there)}); run {made_by} first")
    return np.asarray(adata.layers[layer])


def entry(mdata: MuData, key: str | None = None) -> dict[str, Any]:
    """``mdata.uns["eregtools"]``, or the dict under ``key`` in it; made where it is not there."""
    ours: dict[str, Any] = mdata.uns.setdefault(UNS, {})
    return ours if key is None else ours.setdefault(key, {})


def put_layer(mdata: MuData, modality: str, layer: str, values: np.ndarray, *, as_x: bool = False) -> None:
    """Store ``values`` ``(n_samples, n_elements)`` as a float32 layer.

    The layer becomes ``X`` too when asked (``as_x``), when there is no ``X`` yet, or when ``X`` was a copy of
    the layer that is replaced.
    """
    adata = mdata.mod[modality]
    stored = np.ascontiguousarray(values, dtype=np.float32)
    if stored.shape != adata.shape:
        raise ValueError(f"layer {layer!r} has shape {stored.shape}, modality {modality!r} has {adata.shape}")
    adata.layers[layer] = stored
    sources = entry(mdata, Uns.x_layer)
    if as_x or adata.X is None or sources.get(modality) == layer:
        adata.X = stored.copy()
        sources[modality] = layer


def check_layer_name(name: str, what: str) -> None:
    """Layer names are text that can be written, and none that has another meaning."""
    if not isinstance(name, str) or not name or "/" in name:
        raise ValueError(f"{what}={name!r} cannot name a layer; expected text without '/'")
    if name == Layer.candidate or re.search(r"_rep\d+$", name):
        raise ValueError(f"{what}={name!r} cannot name a layer; 'candidate' and '…_rep1' have their own meaning")


def layer_to_fill(adata: AnnData, layer: str, rows: Sequence[int]) -> np.ndarray:
    """Values of a layer ``(n_samples, n_elements)`` with NaN in ``rows``; all NaN where there is no such layer yet."""
    if layer in adata.layers:
        values = np.array(adata.layers[layer], dtype=np.float32)
    else:
        values = np.full(adata.shape, np.nan, dtype=np.float32)
    values[list(rows)] = np.nan
    return values


def validate(mdata: MuData, *, full: bool = True) -> None:
    """Check that the object is what eregtools writes and takes.

    Parameters
    ----------
    mdata
        The object.
    full
        Check every element and link too. Without it only what costs nothing: structure, columns and shapes.

    Raises
    ------
    SchemaError
        With one sentence for each fault found.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from anndata import AnnData
    >>> from mudata import MuData
    >>> from eregtools._schema import validate
    >>> var = pd.DataFrame({"Chromosome": ["chr1"], "Start": [10], "End": [5]}, index=["chr1:10-5"])
    >>> elements = AnnData(np.ones((1, 1), np.float32), obs=pd.DataFrame(index=["K562"]), var=var)
    >>> elements.layers["candidate"] = elements.X.copy()
    >>> validate(MuData({"enhancers": elements}))
    Traceback (most recent call last):
    eregtools._schema.SchemaError: enhancers: End is not greater than Start in 1 element(s), first chr1:10-5
    """
    require_real(mdata)
    faults = [*_version_faults(mdata), *_obs_faults(mdata)]
    for name in MODALITIES:
        if name in mdata.mod:
            faults += _column_faults(name, mdata.mod[name]) + _layer_faults(name, mdata.mod[name])
    if full and not faults:
        faults = _element_faults(mdata)
    if faults:
        raise SchemaError("\n".join(faults))


def _version_faults(mdata: MuData) -> list[str]:
    found = mdata.uns.get(UNS, {}).get(Uns.schema, SCHEMA_VERSION)
    if int(found) > SCHEMA_VERSION:
        return [f"the object has schema version {found}, this eregtools knows {SCHEMA_VERSION}: update eregtools"]
    return []


def _obs_faults(mdata: MuData) -> list[str]:
    faults = []
    if not mdata.obs_names.is_unique:
        faults.append("obs: the names of the biosamples are not unique")
    for name in MODALITIES:
        if name in mdata.mod and not mdata.mod[name].obs_names.equals(mdata.obs_names):
            faults.append(
                f"{name}: its biosamples ({listed(mdata.mod[name].obs_names)}) are not those of the object, "
                f"in the same order ({listed(mdata.obs_names)})"
            )
    return faults


def _column_faults(name: str, adata: AnnData) -> list[str]:
    missing = [column for column in _COLUMNS[name] if column not in adata.var]
    if missing:
        return [f"{name}: var has no column {', '.join(missing)}"]
    faults = [
        f"{name}: column {column} is {adata.var[column].dtype}, expected whole numbers"
        for column in _INTEGERS
        if column in _COLUMNS[name] and not pd.api.types.is_integer_dtype(adata.var[column].dtype)
    ]
    if name == Modality.links:
        faults += [
            f"links: column {column} is {adata.var[column].dtype}, expected a categorical of names"
            for column in (Var.gene, Var.enhancer)
            if not isinstance(adata.var[column].dtype, pd.CategoricalDtype)
        ]
        if adata.var[Var.distance].dtype != np.float32:
            faults.append(f"links: column distance is {adata.var[Var.distance].dtype}, expected float32")
    return faults


def _layer_faults(name: str, adata: AnnData) -> list[str]:
    faults = []
    for layer, values in adata.layers.items():
        if layer is None:  # anndata 0.13 shows X among the layers
            continue
        if not isinstance(values, np.ndarray) or values.dtype != np.float32:
            found = getattr(values, "dtype", type(values).__name__)
            faults.append(f"{name}: layer {layer!r} is {found}, expected a dense float32 array")
        elif values.shape != adata.shape:
            faults.append(f"{name}: layer {layer!r} has shape {values.shape}, expected {adata.shape}")
    if name in (Modality.enhancers, Modality.links) and Layer.candidate not in adata.layers:
        faults.append(f"{name}: there is no layer 'candidate'")
    return faults


def _element_faults(mdata: MuData) -> list[str]:
    faults = _name_faults(mdata)
    for name in _INTERVAL_MODALITIES:
        if name in mdata.mod:
            faults += _interval_faults(name, mdata.mod[name], _chrom_sizes(mdata))
    for name in (Modality.enhancers, Modality.links):
        if name in mdata.mod:
            faults += _candidate_faults(name, mdata.mod[name])
    if not faults and Modality.links in mdata.mod:
        faults += _link_faults(mdata)
    if UNS in mdata.uns:
        faults += _strict_uns_faults(mdata.uns[UNS], f"uns[{UNS!r}]")
    faults += _uns_faults({k: v for k, v in mdata.uns.items() if k != UNS}, "uns")
    for name in MODALITIES:
        if name in mdata.mod:
            faults += _uns_faults(mdata.mod[name].uns, f"{name}: uns")
    return faults


def _name_faults(mdata: MuData) -> list[str]:
    faults = []
    for name, adata in mdata.mod.items():
        if not adata.var_names.is_unique:
            repeated = adata.var_names[adata.var_names.duplicated()]
            faults.append(f"{name}: {len(repeated)} var_names are repeated, first {repeated[0]!r}")
    names = list(mdata.mod)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            shared = mdata.mod[first].var_names.intersection(mdata.mod[second].var_names)
            if len(shared):
                faults.append(f"{first} and {second} share {len(shared)} var_names, first {shared[0]!r}")
    return faults


def _chrom_sizes(mdata: MuData) -> pd.Series | None:
    table = mdata.uns.get(UNS, {}).get(Uns.chrom_sizes)
    return None if table is None else table["length"]


def object_chrom_sizes(mdata: MuData) -> dict[str, int]:
    """Lengths of the chromosomes of the object's genome.

    Raises
    ------
    KeyError
        The object does not record them.
    """
    table = mdata.uns.get(UNS, {}).get(Uns.chrom_sizes)
    if table is None:
        raise KeyError("the object does not record the lengths of its chromosomes; build it with er.pp.assemble")
    return {str(name): int(size) for name, size in table["length"].items()}


def _interval_faults(name: str, adata: AnnData, chrom_sizes: pd.Series | None) -> list[str]:
    var = adata.var
    chromosome = var[Var.chromosome].astype(object)
    checks = {
        "Start is negative": var[Var.start] < 0,
        "End is not greater than Start": var[Var.end] <= var[Var.start],
        "there is no Chromosome": chromosome.isna(),
    }
    if chrom_sizes is not None:
        size = chromosome.map(chrom_sizes)
        checks["Chromosome is not in the genome"] = size.isna() & chromosome.notna()
        checks["End is past the end of the chromosome"] = var[Var.end] > size
    return [
        f"{name}: {fault} in {wrong.sum()} element(s), first {var.index[wrong.to_numpy()][0]}"
        for fault, wrong in checks.items()
        if wrong.any()
    ]


def _candidate_faults(name: str, adata: AnnData) -> list[str]:
    candidate = adata.layers[Layer.candidate]
    wrong = (candidate != 0) & (candidate != 1)
    if wrong.any():
        return [f"{name}: layer 'candidate' has {wrong.sum()} value(s) that are neither 0 nor 1"]
    return []


def _link_faults(mdata: MuData) -> list[str]:
    for name in (Modality.genes, Modality.enhancers):
        if name not in mdata.mod:
            return [f"links: there is no modality {name!r} that they could belong to"]
    links, genes, enhancers = (mdata.mod[m] for m in (Modality.links, Modality.genes, Modality.enhancers))
    gene = positions(links.var[Var.gene], genes.var_names)
    enhancer = positions(links.var[Var.enhancer], enhancers.var_names)
    for column, rows, modality in ((Var.gene, gene, "genes"), (Var.enhancer, enhancer, "enhancers")):
        lost = rows < 0
        if lost.any():
            where = links.var_names[lost][0]
            return [f"links: the {column} of {lost.sum()} link(s) is not in {modality!r}, first {where}"]
    apart = _chromosomes(genes)[gene] != _chromosomes(enhancers)[enhancer]
    expected = link_distance(genes.var.iloc[gene], enhancers.var.iloc[enhancer])
    stranger = (links.layers[Layer.candidate] > enhancers.layers[Layer.candidate][:, enhancer]).any(axis=0)
    checks = {
        "gene and enhancer are on different chromosomes": apart,
        "distance is not (Start + End) / 2 - tss with the gene's sign": expected != links.var[Var.distance].to_numpy(),
        "a link belongs to a biosample that does not have its enhancer": stranger,
    }
    return [
        f"links: {fault} in {wrong.sum()} link(s), first {links.var_names[wrong][0]}"
        for fault, wrong in checks.items()
        if wrong.any()
    ]


def link_positions(mdata: MuData) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the genes and of the enhancers that each link joins, two arrays ``(n_links,)``."""
    links = mdata.mod[Modality.links].var
    return (
        positions(links[Var.gene], mdata.mod[Modality.genes].var_names),
        positions(links[Var.enhancer], mdata.mod[Modality.enhancers].var_names),
    )


def link_distance(genes: pd.DataFrame, enhancers: pd.DataFrame) -> np.ndarray:
    """Distance from the TSS to the midpoint of the enhancer in the same row, float32; negative = upstream."""
    doubled = (enhancers[Var.start].to_numpy() + enhancers[Var.end].to_numpy()) - 2 * genes[Var.tss].to_numpy()
    sign = np.where((genes[Var.strand] == "-").to_numpy(), -0.5, 0.5)
    return (doubled * sign).astype(np.float32)


def positions(names: pd.Series, index: pd.Index) -> np.ndarray:
    """Position of each name in ``index``, looked up once per category; -1 where it is not there."""
    names = names if isinstance(names.dtype, pd.CategoricalDtype) else names.astype("category")
    return np.append(index.get_indexer(names.cat.categories), -1)[names.cat.codes.to_numpy()]


def _chromosomes(adata: AnnData) -> np.ndarray:
    return adata.var[Var.chromosome].astype(object).to_numpy()


def _strict_uns_faults(value: Any, where: str) -> list[str]:
    if isinstance(value, Mapping):
        return [*_key_faults(value, where), *_below(value, where, _strict_uns_faults)]
    writable = (str, bool, int, float, np.generic, np.ndarray, pd.DataFrame)
    if not isinstance(value, writable):
        return [f"{where} is a {type(value).__name__}, expected text, a number, an array, a DataFrame or a dict"]
    return []


def _uns_faults(value: Any, where: str) -> list[str]:
    """Faults of entries that others wrote: only what cannot be written."""
    if isinstance(value, Mapping):
        return [*_key_faults(value, where), *_below(value, where, _uns_faults)]
    module = type(value).__module__.split(".")[0]
    if isinstance(value, tuple | set) or module in ("pyranges", "pathlib", "datetime"):
        return [f"{where} is a {type(value).__name__}, which cannot be written; store text or an array"]
    return []


def _below(value: Mapping[Any, Any], where: str, faults_of: Any) -> list[str]:
    return [fault for key, inner in value.items() for fault in faults_of(inner, f"{where}[{key!r}]")]


def _key_faults(value: Mapping[Any, Any], where: str) -> list[str]:
    faults = [f"{where} has the key {key!r}, expected text" for key in value if not isinstance(key, str)]
    faults += [f"{where} has the key {key!r}: no '/' in keys" for key in value if isinstance(key, str) and "/" in key]
    return faults


def listed(names: Iterable[Any], most: int = 8) -> str:
    """Write the first names, and how many more there are.

    Examples
    --------
    >>> listed("abcd", most=3), listed([])
    ('a, b, c and 1 more', 'none')
    """
    names = [str(name) for name in names]
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
