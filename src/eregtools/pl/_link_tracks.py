"""Numbers of links as tracks over the enhancers that they come from.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._schema import require_modality
from eregtools.pl._layout import Track

SIGNIFICANCE: Final = "● significant  ○ not"
"""What filled and open heads say."""

_UNITS: Final = {
    Layer.attention: "share",
    Layer.attention_abc: "share",
    Layer.abc: "share",
    Layer.contact: "a.u.",
    Layer.interaction: "probability",
}


def score_track(
    mdata: MuData,
    links: pd.DataFrame,
    layer: str,
    samples: Sequence[str],
    enhancers: pd.DataFrame,
    look: Literal["bars", "thin"] = "bars",
) -> Track:
    """Scores of links as bars; effects in per cent.

    `links` are as :func:`eregtools.get.links` gives them. Of several links of one enhancer, the strongest is shown.
    """
    unit, factor = unit_of(mdata, layer)
    values = _at_enhancers(_strongest(links, layer), layer, samples, enhancers)
    return Track(layer, unit, {name: factor * of for name, of in values.items()}, look)


def effect_track(
    mdata: MuData,
    links: pd.DataFrame,
    layer: str,
    samples: Sequence[str],
    enhancers: pd.DataFrame,
    *,
    black: bool = False,
    note: bool = False,
) -> Track:
    """Effects on expression as lollipops, in per cent unless they are differences of predictions.

    Heads are filled where the effect is significant, if `links` tell that; with `note`, this is written above.
    """
    unit, factor = _effect_unit(mdata, layer)
    chosen = _strongest(links, layer)
    values = _at_enhancers(chosen, layer, samples, enhancers)
    values = {name: factor * of for name, of in values.items()}
    significance = Layer.significant(layer)
    filled = None
    if significance in links:
        of_samples = _at_enhancers(chosen, significance, samples, enhancers)
        filled = {name: of == 1 for name, of in of_samples.items()}
    said = SIGNIFICANCE if note and filled is not None and len(chosen) else ""
    return Track(layer, unit, values, "lollipops", filled=filled, black=black, note=said)


def unit_of(mdata: MuData, layer: str) -> tuple[str, float]:
    """Say the unit of the numbers of links, and what to multiply them by: effects are in per cent."""
    return _effect_unit(mdata, layer) if _is_effect(mdata, layer) else (_UNITS.get(layer, "score"), 1.0)


def with_significance(mdata: MuData, layers: Sequence[str]) -> list[str]:
    """Layers, and those that tell which of their values are significant, as far as there are such."""
    there = require_modality(mdata, Modality.links).layers
    return list(dict.fromkeys([*layers, *(name for name in map(Layer.significant, layers) if name in there)]))


def weighted(links: pd.DataFrame, layer: str, tss: pd.Series) -> pd.DataFrame:
    """Links with a value in a layer: this as their ``weight``, and the ``center`` and ``tss`` that they join.

    The weakest come first, so that strong ones lie on top. `tss` is that of each gene.
    """
    links = links[links[layer].notna()]
    links = links.iloc[np.argsort(links[layer].abs().to_numpy(), kind="stable")]
    center = (links[Var.start] + links[Var.end]) / 2
    return links.assign(weight=links[layer], center=center, tss=tss.loc[links[Var.gene]].to_numpy())


def _is_effect(mdata: MuData, layer: str) -> bool:
    """Whether a layer holds changes of expression instead of scores."""
    measured = Layer.significant(layer) in require_modality(mdata, Modality.links).layers
    return measured or layer in (Layer.perturbation, Layer.crispr) or _scale_of(mdata, layer) is not None


def _effect_unit(mdata: MuData, layer: str) -> tuple[str, float]:
    """Say the unit of changes of expression, and what to multiply them by."""
    return ("Δ prediction", 1.0) if _scale_of(mdata, layer) == "model" else ("% change", 100.0)


def _scale_of(mdata: MuData, layer: str) -> str | None:
    """Scale on which knock-outs were made; None for what is none, or where it is not known."""
    made = mdata.uns.get(UNS, {}).get(Uns.results, {}).get(f"{Modality.links}:{layer}")
    if made is None or "scale" not in made:
        return None
    return "model" if (made["scale"] == "model").all() else "linear"


def _strongest(links: pd.DataFrame, layer: str) -> pd.DataFrame:
    """Strongest link with a value of each sample and enhancer; a significant one counts before others."""
    chosen = links[links[layer].notna()].assign(size=lambda table: table[layer].abs())
    order = [name for name in (Layer.significant(layer), "size") if name in chosen]
    chosen = chosen.sort_values(order, kind="stable", na_position="first")
    return chosen.drop_duplicates(["sample", Var.enhancer], keep="last")


def _at_enhancers(
    chosen: pd.DataFrame, column: str, samples: Sequence[str], enhancers: pd.DataFrame
) -> dict[str, np.ndarray]:
    """Column ``(n_enhancers,)`` of each sample's links at some enhancers; NaN where there is no link."""
    found = {}
    for name in samples:
        own = chosen[chosen["sample"] == name]
        series = pd.Series(own[column].to_numpy(dtype=float), index=own[Var.enhancer].astype(str))
        found[name] = series.reindex(enhancers.index).to_numpy()
    return found
