"""Predictions of a model that are to be judged, and what is known of the weights that made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import UNS, Uns
from eregtools._logging import logger
from eregtools._schema import require_layer
from eregtools.tl.expression import SHUFFLED

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """What a model predicts, from sequence as it is and shuffled.

    Attributes
    ----------
    model, shuffled
        ``(n_samples, n_elements)``, NaN where there is no prediction.
    leakage
        Of each sample: whether the weights saw the chromosomes that they predict (``"yes"``, ``"no"``, ``"unknown"``).
    """

    model: NDArray[np.float64]
    shuffled: NDArray[np.float64]
    leakage: Sequence[str]


def of_model(
    values: NDArray[np.float32], shuffled: NDArray[np.float32], record: list[dict[str, Any]], samples: Sequence[str]
) -> Predictions:
    """Predictions that were made just now, with the rows that say by which weights."""
    table = pd.DataFrame(record, columns=["sample", "leakage"])
    leakage = [_leakage(table[table["sample"] == name], name) for name in samples]
    return Predictions(values.astype(np.float64), shuffled.astype(np.float64), leakage)


def of_layers(
    mdata: MuData,
    modality: str,
    key: str,
    shuffled_key: str | None,
    samples: Sequence[str],
    *,
    default_shuffled: str,
    made_by: str,
    allow_leakage: bool,
) -> Predictions:
    """Predictions in a layer, and those of the same weights from shuffled sequence in another.

    Parameters
    ----------
    key, shuffled_key
        Layers; ``shuffled_key=None``: ``default_shuffled``, where the same weights made it.
    made_by
        Call that makes the layers, without its closing parenthesis.

    Raises
    ------
    KeyError
        A layer is not there.
    ValueError
        The weights saw what they predict and ``allow_leakage`` is not set; the shuffled layer that was named is not
        known to be of the same weights.
    """
    rows = mdata.obs_names.get_indexer(list(samples))
    values = require_layer(mdata[modality], key, f"{made_by}), or pass model=,")[rows].astype(np.float64)
    record = _record(mdata, modality, key)
    leakage = leakage_of(mdata, modality, key, samples, allow_leakage=allow_leakage)
    layer = shuffled_key or default_shuffled
    again = f"run {made_by}, shuffle=True) with the same weights"
    if shuffled_key is not None:
        require_layer(mdata[modality], shuffled_key, f"{made_by}, shuffle=True)")
    of_shuffled = _record(mdata, modality, layer)
    lacking = [name for name in samples if not _same_weights(_of(record, name), _of(of_shuffled, name))]
    if lacking and shuffled_key is not None:
        raise ValueError(
            f"{lacking[0]}: layer {layer!r} is not known to be what the weights of {key!r} predict from shuffled "
            f"sequence; {again}"
        )
    if lacking:
        logger.warning(
            "%s: no prediction from shuffled sequence is known to be by the weights of %r, and the row 'shuffled' is "
            "NaN; %s, or pass model=",
            ", ".join(lacking),
            key,
            again,
        )
    shuffled = np.full_like(values, np.nan)
    if has := [i for i, name in enumerate(samples) if name not in lacking]:
        shuffled[has] = mdata[modality].layers[layer][rows[has]]
    return Predictions(values, shuffled, leakage)


def leakage_of(mdata: MuData, modality: str, layer: str, samples: Sequence[str], *, allow_leakage: bool) -> list[str]:
    """Whether the weights that made a layer saw what they predict, of each biosample.

    Raises
    ------
    ValueError
        They did, and ``allow_leakage`` is not set.
    """
    record = _record(mdata, modality, layer)
    leakage = [_leakage(_of(record, name), name) for name in samples]
    if "yes" in leakage and not allow_leakage:
        raise ValueError(
            f"{samples[leakage.index('yes')]}: layer {layer!r} was predicted by weights that were trained or selected "
            "on some of its chromosomes; predict with fold='auto', or pass allow_leakage=True (the rows are marked)"
        )
    return leakage


def _record(mdata: MuData, modality: str, layer: str) -> pd.DataFrame:
    """Find what is recorded of a layer that is there; else an empty table."""
    found = mdata.uns.get(UNS, {}).get(Uns.results, {}).get(f"{modality}:{layer}")
    return pd.DataFrame({"sample": []}) if found is None or layer not in mdata[modality].layers else found


def _of(record: pd.DataFrame, sample: str) -> pd.DataFrame:
    return record[(record["sample"].astype(str) == sample).to_numpy()]


def _leakage(record: pd.DataFrame, sample: str) -> str:
    found = set(record["leakage"].astype(str)) if "leakage" in record else set()
    if "yes" in found:
        return "yes"
    if found == {"no"}:
        return "no"
    logger.warning("%s: it is not known on which chromosomes the model was trained; its rows say so", sample)
    return "unknown"


def _same_weights(record: pd.DataFrame, shuffled: pd.DataFrame) -> bool:
    """Whether one record is of the other's weights, and of shuffled sequence."""
    columns = ["fold", "model", "sha256"]
    if not len(record) or not len(shuffled) or not set(columns) <= set(record) & set(shuffled):
        return False
    weights = [set(table[columns].astype(str).itertuples(index=False, name=None)) for table in (record, shuffled)]
    known = all(sha256 != "unknown" for _, _, sha256 in weights[0])
    of_shuffled = shuffled["recipe"].astype(str).str.contains(SHUFFLED, regex=False).all()
    return weights[0] == weights[1] and known and bool(of_shuffled)
