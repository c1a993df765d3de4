"""Loci of enhancer RNA as compact columns, with the coverage around the clearest of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, UNS, Layer, Modality, Uns, Var
from eregtools._loci import erna_names
from eregtools._logging import logger
from eregtools.coverage import Coverage, recorded_coverage
from eregtools.get._select import gene_labels, layer_row
from eregtools.report._columns import codes, flags, numbers, rows_of
from eregtools.report.quality_of_loci import own_loci

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

_HALF, _MARGIN = 3_072, 1_000
"""Bases in view on either side of a center, and at least on either side of a locus."""

_STEP: Final = 64
"""Bases of one step of coverage."""

MOST_PROFILES: Final = 2_000
"""Loci times biosamples whose coverage a page holds."""

_LAYERS: Final = (
    (Layer.qvalue, "q-value", ""),
    (Layer.probability, "probability", ""),
    (Layer.rpm, "reads", "per million"),
    (Layer.directionality, "directionality", "−1 to 1"),
)
_NUMBERS: Final = ((Var.score, "score", "log odds"), (Var.tss_distance, "distance", "bp to its TSS"))
_WORDS: Final = ((Var.stratum, "stratum"), (Var.cluster, "cluster"), (Var.nearest_gene, "nearest gene"))


def erna_views(var: pd.DataFrame) -> pd.DataFrame:
    """Region that is shown of each locus."""
    center = centers(var)
    start = np.minimum(center - _HALF, var[Var.start].to_numpy(dtype=np.int64) - _MARGIN)
    end = np.maximum(center + _HALF, var[Var.end].to_numpy(dtype=np.int64) + _MARGIN)
    columns = (var[Var.chromosome].astype(str).to_numpy(), np.maximum(start, 0), end)
    return pd.DataFrame(dict(zip(INTERVAL, columns, strict=True)), index=var.index)


def centers(var: pd.DataFrame) -> NDArray[np.int64]:
    """Summit of each locus; its middle where none is known."""
    middle = (var[Var.start] + var[Var.end]) // 2
    return var.get(Var.center, middle).to_numpy(dtype=np.int64)


def erna_columns(
    mdata: MuData, samples: Sequence[str], shown: NDArray[np.bool_], chromosomes: list[str]
) -> dict[str, Any]:
    """Places, scores and coverage of loci."""
    adata = mdata[Modality.ernas]
    var = adata.var[shown]
    views = erna_views(var)
    usual = erna_names(var)
    own = [own_loci(mdata, name)[shown] for name in samples]
    return {
        "chromosome": codes(var, chromosomes),
        "start": var[Var.start].tolist(),
        "end": var[Var.end].tolist(),
        "name": {str(i): str(name) for i, name in enumerate(var.index) if name != usual[i]},
        "own": [flags(of) for of in own],
        "viewStart": views[Var.start].tolist(),
        "viewEnd": views[Var.end].tolist(),
        "columns": _number_columns(adata, samples, shown),
        "words": _word_columns(mdata, var),
        "coverage": _coverage(mdata, samples, shown, own),
    }


def _number_columns(adata: AnnData, samples: Sequence[str], shown: NDArray[np.bool_]) -> list[dict[str, Any]]:
    found = []
    for layer, name, unit in _LAYERS:
        if layer in adata.layers:
            found.append({"key": layer, "name": name, "unit": unit, "values": rows_of(adata, layer, samples, shown)})
        elif layer in adata.var:
            values = numbers(adata.var[layer].to_numpy(dtype=float, na_value=np.nan)[shown])
            found.append({"key": layer, "name": name, "unit": unit, "values": [values] * len(samples)})
    for column, name, unit in _NUMBERS:
        if column in adata.var:
            values = numbers(adata.var[column].to_numpy(dtype=float, na_value=np.nan)[shown])
            found.append({"key": column, "name": name, "unit": unit, "values": [values] * len(samples)})
    return found


def _word_columns(mdata: MuData, var: pd.DataFrame) -> list[dict[str, Any]]:
    """Stratum, cluster and nearest gene, the latter by its name."""
    named: dict[str, str] = {}
    if Modality.genes in mdata.mod:
        genes = mdata[Modality.genes]
        named = dict(zip(genes.var_names, map(str, gene_labels(genes)), strict=True))
    return [
        {"name": name, "values": ["" if pd.isna(one) else named.get(str(one), str(one)) for one in var[column]]}
        for column, name in _WORDS
        if column in var
    ]


def _coverage(
    mdata: MuData, samples: Sequence[str], shown: NDArray[np.bool_], own: Sequence[NDArray[np.bool_]]
) -> dict[str, Any] | None:
    """Read the coverage around the clearest loci, per million, in steps; ``None`` where it is not at hand."""
    if Uns.coverage not in mdata.uns.get(UNS, {}):
        return None
    try:
        store = recorded_coverage(mdata)
    except (FileNotFoundError, ValueError) as error:
        logger.warning("the report shows no coverage of RNA: %s", error)
        return None
    adata = mdata[Modality.ernas]
    var = adata.var[shown]
    places = erna_views(var)
    known = [name for name in samples if name in store.samples]
    clearest = _clearest(adata, samples, shown, own)[: MOST_PROFILES // max(len(known), 1)]
    profiles = [
        {str(i): _profile(store, name, places.iloc[i]) for i in clearest.tolist()} if name in known else {}
        for name in samples
    ]
    return {"step": _STEP, "kept": len(clearest), "stranded": [_stranded(store, name) for name in samples]} | {
        "profiles": profiles
    }


def _stranded(store: Coverage, name: str) -> bool:
    return name in store.samples and store.stranded(name)


def _clearest(
    adata: AnnData, samples: Sequence[str], shown: NDArray[np.bool_], own: Sequence[NDArray[np.bool_]]
) -> NDArray[np.int64]:
    """Loci by their least q-value, then by their highest probability; those of no biosample last."""
    keys = []
    for layer, sign in ((Layer.probability, -1), (Layer.qvalue, 1)):  # lexsort: the last is the first
        if layer in adata.layers:
            values = np.array([sign * layer_row(adata, layer, name)[shown] for name in samples], dtype=np.float64)
            keys.append(np.nan_to_num(values, nan=np.inf).min(axis=0))
    return np.lexsort((*keys, ~np.any(own, axis=0)))


def _profile(store: Coverage, sample: str, place: pd.Series) -> list[list[float | int | None]]:
    """Mean coverage of each step, by strand: plus and minus, or both together where they are not known."""
    chrom, size = str(place[Var.chromosome]), store.bin_size
    start = int(place[Var.start]) // size * size
    end = -(-min(int(place[Var.end]), store.chrom_sizes[chrom]) // size) * size
    both = store.per_million(sample, chrom, start, end).astype(np.float64)
    kept = both if store.stranded(sample) else both.sum(axis=0, keepdims=True)
    bins = _STEP // size
    whole = kept[:, : kept.shape[1] // bins * bins].reshape(len(kept), -1, bins).mean(axis=2)
    return [numbers(strand, digits=3) for strand in whole]
