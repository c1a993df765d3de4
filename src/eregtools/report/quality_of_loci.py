"""How good coverage, loci of enhancer RNA and labelled pairs are, a column a biosample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import UNS, Layer, Modality, Obs, Uns, Var
from eregtools.get._select import layer_row
from eregtools.report._measures import Group, Row
from eregtools.report._words import NOT_KNOWN, count, decimal, short, spread

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

_STRANDS = {
    "forward": "as labelled",
    "reverse": "exchanged",
    "unstranded": "not known",
}


def coverage(mdata: MuData, samples: Sequence[str]) -> list[Group]:
    """Libraries of RNA and whether their strands are what they are labelled; nothing without coverage."""
    if Uns.coverage not in mdata.uns.get(UNS, {}) or Obs.library_size not in mdata.obs:
        return []
    obs = mdata.obs.loc[list(samples)]
    known = np.isfinite(obs[Obs.library_size].to_numpy(dtype=float))
    strands = [
        _STRANDS.get(str(one), NOT_KNOWN) if own else NOT_KNOWN
        for one, own in zip(obs[Obs.strandedness], known, strict=True)
    ]
    fraction = obs[Obs.strand_fraction].to_numpy(dtype=float)
    audited = [
        NOT_KNOWN if not own else decimal(one) if np.isfinite(one) else "not audited"
        for one, own in zip(fraction, known, strict=True)
    ]
    rows = (
        Row("library", "million reads", tuple(short(value / 1e6) for value in obs[Obs.library_size])),
        Row("read length", "bp", tuple(short(value) for value in obs[Obs.read_length])),
        Row("reads on the strand of the gene", "median share in exons", tuple(audited)),
        Row("strands", "exchanged ones are mended when read", tuple(strands)),
    )
    return [Group("RNA coverage", rows)]


def transcribed_loci(mdata: MuData, samples: Sequence[str]) -> Group:
    """Loci of enhancer RNA: how many, how strong, and the false discovery rate of their calls."""
    ernas = mdata[Modality.ernas]
    own = [own_loci(mdata, name) for name in samples]
    width = (ernas.var[Var.end] - ernas.var[Var.start]).to_numpy()
    rows = [
        Row("loci", f"of {count(ernas.n_vars)}", tuple(count(mask.sum()) for mask in own)),
        Row("width", "bp, median (quartiles)", tuple(spread(width[mask]) for mask in own)),
    ]
    if Var.label in ernas.var:
        label = ernas.var[Var.label].to_numpy(dtype=float, na_value=np.nan)
        numbers = f"{count((label == 1).sum())}, {count((label == 0).sum())}"
        rows.append(Row("known loci, others", "labelled", (numbers,) * len(own)))
    for layer, name in ((Layer.rpm, "reads per million"), (Layer.probability, "probability")):
        if layer in ernas.layers:
            values = [layer_row(ernas, layer, one)[mask] for one, mask in zip(samples, own, strict=True)]
            rows.append(Row(name, "median (quartiles)", tuple(spread(of) for of in values)))
    return Group("Loci of enhancer RNA", (*rows, *_calls(mdata, samples)))


def own_loci(mdata: MuData, sample: str) -> NDArray[np.bool_]:
    """Loci that a biosample has; all of them where none is told to be a candidate."""
    ernas = mdata[Modality.ernas]
    if Layer.candidate not in ernas.layers:
        return np.ones(ernas.n_vars, dtype=bool)
    return layer_row(ernas, Layer.candidate, sample) > 0


def _calls(mdata: MuData, samples: Sequence[str]) -> list[Row]:
    """Estimated false discovery rate and decoys of each biosample, where loci were called."""
    known = mdata.uns.get(UNS, {}).get(Uns.erna_calls)
    if known is None:
        return []
    table = known["samples"]

    def cells(column: str, digits: int) -> tuple[str, ...]:
        values = [float(table[column].get(name, np.nan)) if column in table else np.nan for name in samples]
        return tuple(decimal(of, digits) if digits else _counted(of) for of in values)

    how = "from decoys" if known["fdr"] == "null" else "from labelled loci" if known["fdr"] == "validation" else "none"
    found = [Row("called loci", f"q ≤ {known['alpha']:g}", cells("calls", 0))]
    if known["fdr"] != "none":
        found.append(Row("false discovery rate", f"estimated {how}", cells("fdr", 3)))
    if known["fdr"] == "null":
        found.append(Row("decoys", "read out of register", cells("decoys", 0)))
    return found


def _counted(value: float) -> str:
    return count(value) if np.isfinite(value) else NOT_KNOWN


def labelled_pairs(mdata: MuData, samples: Sequence[str]) -> list[Group]:
    """Pairs that are known to interact or not to, and where the negative ones are from; nothing without labels."""
    links = mdata[Modality.links]
    if Var.label not in links.var:
        return []
    label = links.var[Var.label].to_numpy(dtype=float, na_value=np.nan)
    own = [layer_row(links, Layer.candidate, name) > 0 for name in samples]
    distance = links.var[Var.distance].abs().to_numpy() / 1000
    rows = [_pairs_row("pairs that interact", own, label == 1, distance)]
    negative = label == 0
    if Var.origin in links.var:
        origin = links.var[Var.origin].astype(str).to_numpy()
        for name in np.unique(origin[negative]):
            rows.append(_pairs_row(f"negative pairs, {name}", own, negative & (origin == name), distance))
    else:
        rows.append(_pairs_row("negative pairs", own, negative, distance))
    return [Group("Labelled pairs", tuple(rows))]


def _pairs_row(
    name: str, own: Sequence[NDArray[np.bool_]], which: NDArray[np.bool_], distance: NDArray[np.float64]
) -> Row:
    cells = [f"{count((mask & which).sum())}; {spread(distance[mask & which])}" for mask in own]
    return Row(name, "number; kb apart, median (quartiles)", tuple(cells))
