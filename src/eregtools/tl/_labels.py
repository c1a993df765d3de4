"""Links whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._schema import link_positions, listed, require_modality
from eregtools.get._select import layer_row, one_sample
from eregtools.get.fold_pairs import of_origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelledLinks:
    """Labelled links of one biosample, all ``(n,)``.

    Attributes
    ----------
    sample
        The biosample.
    rows
        Places in the links.
    positive
        Which interact.
    chromosome
        Chromosome of each.
    """

    sample: str
    rows: NDArray[np.int64]
    positive: NDArray[np.bool_]
    chromosome: NDArray[np.str_]


def labelled_links(
    mdata: MuData, label: str, *, sample: str | None = None, negatives: str | Iterable[str] | None = None
) -> LabelledLinks:
    """Links with a label of 1 or 0, in a column of ``links.var`` or a layer; negative ones of some origins only.

    Raises
    ------
    KeyError
        There is no such label, or no negative link of such an origin.
    ValueError
        Labels are neither 0 nor 1, or all of one kind.
    """
    links = require_modality(mdata, Modality.links)
    name = one_sample(mdata, sample)
    value = _labels(links, label, name)
    known = ~np.isnan(value)
    if not np.isin(value[known], (0, 1)).all():
        raise ValueError(f"links: {label!r} has values other than 0 and 1; expected the label of pairs")
    if Layer.candidate in links.layers:
        known &= layer_row(links, Layer.candidate, name) == 1
    if negatives is not None:
        known &= (value == 1) | of_origin(links.var, value == 0, negatives)
    rows = np.flatnonzero(known)
    positive = value[rows] == 1
    if positive.all() or not positive.any():
        kind = "negative" if len(positive) and positive.all() else "positive"
        raise ValueError(f"none of {len(rows):,} links labelled by {label!r} is {kind}; both kinds are needed")
    enhancer = link_positions(mdata)[1][rows]
    chromosome = mdata[Modality.enhancers].var[Var.chromosome].astype(str).to_numpy()[enhancer]
    return LabelledLinks(name, rows, positive, chromosome)


def _labels(links: AnnData, label: str, sample: str) -> NDArray[np.float64]:
    if label in links.var:
        return np.asarray(links.var[label].to_numpy(dtype=np.float64))
    if label in links.layers:
        return np.asarray(layer_row(links, label, sample), dtype=np.float64)
    there = [*links.var.columns, *(layer for layer in links.layers if layer is not None)]
    raise KeyError(f"links have no label {label!r}, neither as a column nor as a layer (there are {listed(there, 20)})")
