"""How good the data of each biosample are: numbers with units, a column a biosample."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Final

import numpy as np

from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._schema import link_positions
from eregtools.get._select import layer_row
from eregtools.pl.locus import signal_layers
from eregtools.report._measures import Group, Histogram, Row
from eregtools.report._words import NOT_KNOWN, count, decimal, share, short, spread
from eregtools.report.quality_of_loci import coverage, labelled_pairs, transcribed_loci

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from mudata import MuData
    from numpy.typing import NDArray

N_BINS: Final = 24


def quality(mdata: MuData, samples: Sequence[str]) -> list[Group]:
    """Measures of all data that the object holds."""
    groups: list[Group] = []
    if Modality.enhancers in mdata.mod:
        groups.append(_elements(mdata, samples))
        groups += [_signal(mdata, samples, layer) for layer in signal_layers(mdata)]
    if Modality.links in mdata.mod and {Modality.genes, Modality.enhancers} <= set(mdata.mod):
        groups.append(_links(mdata, samples))
        groups += labelled_pairs(mdata, samples)
    if Modality.genes in mdata.mod:
        groups += _expression(mdata, samples)
    groups += coverage(mdata, samples)
    if Modality.ernas in mdata.mod:
        groups.append(transcribed_loci(mdata, samples))
    return groups


def _elements(mdata: MuData, samples: Sequence[str]) -> Group:
    enhancers = mdata[Modality.enhancers]
    own = [_candidates(mdata, name) for name in samples]
    width = (enhancers.var[Var.end] - enhancers.var[Var.start]).to_numpy()
    return Group(
        "Candidate enhancers",
        (
            Row("elements", f"of {count(enhancers.n_vars)}", tuple(count(mask.sum()) for mask in own)),
            Row("width", "bp, median (quartiles)", tuple(spread(width[mask]) for mask in own)),
        ),
    )


def _signal(mdata: MuData, samples: Sequence[str], layer: str) -> Group:
    enhancers = mdata[Modality.enhancers]
    own = [_candidates(mdata, name) for name in samples]
    values = [layer_row(enhancers, layer, name)[mask].astype(float) for name, mask in zip(samples, own, strict=True)]
    rows = [
        Row("signal", "median (quartiles)", tuple(spread(of) for of in values)),
        Row("without signal", "% of candidates", tuple(share((of == 0).sum(), len(of)) for of in values)),
        Row("not known", "% of candidates", tuple(share(np.isnan(of).sum(), len(of)) for of in values)),
        *_of_libraries(mdata, samples, layer, own),
        Row("distribution", "log10(1 + signal)", tuple(_histograms([np.log10(1 + of.clip(min=0)) for of in values]))),
    ]
    return Group(layer, tuple(rows))


def _of_libraries(mdata: MuData, samples: Sequence[str], assay: str, own: Sequence[NDArray[np.bool_]]) -> list[Row]:
    """Depth of the libraries, how much of it lies in candidates, and how well replicates agree."""
    replicates = [_replicates(mdata, name, assay, mask) for name, mask in zip(samples, own, strict=True)]
    rows = []
    totals = mdata.uns.get(UNS, {}).get(Uns.totals, {}).get(assay)
    if totals is not None:
        depths = [_depths(totals, name) for name in samples]
        rows += [
            Row(
                "library",
                "million reads, each replicate",
                tuple(_each(of / 1e6) for of in depths),
            ),
            Row(
                "reads in candidates",
                "% of library, each replicate",
                tuple(_in_candidates(of, depth) for of, depth in zip(replicates, depths, strict=True)),
            ),
        ]
    if any(len(of) > 1 for of in replicates):
        rows.append(Row("replicates agree", "lowest r of log10(1 + x)", tuple(_agreement(of) for of in replicates)))
    return rows


def _replicates(mdata: MuData, sample: str, assay: str, own: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Values of each replicate at the candidates; the assay itself where it has one only."""
    enhancers = mdata[Modality.enhancers]
    names, number = [], 1
    while (layer := Layer.replicate(assay, number)) in enhancers.layers:
        names.append(layer)
        number += 1
    found = [layer_row(enhancers, layer, sample)[own].astype(float) for layer in names or [assay]]
    return [of for of in found if np.isfinite(of).any()]


def _depths(totals: pd.DataFrame, sample: str) -> NDArray[np.float64]:
    found = totals.loc[sample].to_numpy(dtype=np.float64) if sample in totals.index else np.empty(0)
    return found[np.isfinite(found)]


def _in_candidates(replicates: list[NDArray[np.float64]], depths: NDArray[np.float64]) -> str:
    if not len(depths) or len(replicates) != len(depths):
        return NOT_KNOWN
    found = [100 * np.nansum(of) / depth for of, depth in zip(replicates, depths, strict=True)]
    more = " (more than the library)" if max(found) > 100 else ""
    return _each(found) + more


def _agreement(replicates: list[NDArray[np.float64]]) -> str:
    found = []
    for one, other in combinations([np.log10(1 + of.clip(min=0)) for of in replicates], 2):
        both = np.isfinite(one) & np.isfinite(other)
        if both.sum() > 2 and np.ptp(one[both]) and np.ptp(other[both]):
            found.append(float(np.corrcoef(one[both], other[both])[0, 1]))
    return decimal(min(found)) if found else NOT_KNOWN


def _links(mdata: MuData, samples: Sequence[str]) -> Group:
    genes, links = mdata[Modality.genes], mdata[Modality.links]
    gene, _ = link_positions(mdata)
    own = [layer_row(links, Layer.candidate, name) > 0 for name in samples]
    counts = [np.bincount(gene[mask], minlength=genes.n_vars) for mask in own]
    distance = links.var[Var.distance].abs().to_numpy() / 1000
    rows = [
        Row("links", f"of {count(links.n_vars)}", tuple(count(mask.sum()) for mask in own)),
        Row("links per gene", "median (quartiles)", tuple(spread(of) for of in counts)),
        Row("genes without a link", "% of genes", tuple(share((of == 0).sum(), len(of)) for of in counts)),
        Row("distance to the TSS", "kb, median (quartiles)", tuple(spread(distance[mask]) for mask in own)),
    ]
    if (contacts := mdata.uns.get(UNS, {}).get(Uns.contacts)) is not None:
        rows += _contacts(contacts, samples, own)
    return Group("Links", tuple(rows))


def _contacts(contacts: dict, samples: Sequence[str], own: Sequence[NDArray[np.bool_]]) -> list[Row]:
    table = contacts["counts"]
    measured, sources = [], []
    for name, mask in zip(samples, own, strict=True):
        known = table.loc[name] if name in table.index else None
        measured.append(NOT_KNOWN if known is None else share(float(known["measured"]), float(mask.sum())))
        sources.append(NOT_KNOWN if known is None else str(known["source"]))
    return [
        Row("measured contact", f"% of links; others: {contacts['fallback']}", tuple(measured)),
        Row("source of contacts", "file", tuple(sources)),
    ]


def _expression(mdata: MuData, samples: Sequence[str]) -> list[Group]:
    genes = mdata[Modality.genes]
    assays = [name for name in mdata.uns.get(UNS, {}).get(Uns.transforms, {}) if name in genes.layers]
    shown = [*assays, *([Layer.promoter_activity] if Layer.promoter_activity in genes.layers else [])]
    groups = []
    for layer in shown:
        values = [layer_row(genes, layer, name).astype(float) for name in samples]
        known = tuple(f"{count(np.isfinite(of).sum())} ({share(np.isfinite(of).sum(), len(of))})" for of in values)
        scaled = values if layer in assays else [np.log10(1 + of.clip(min=0)) for of in values]
        rows = (
            Row("genes with a value", f"of {count(genes.n_vars)}", known),
            Row("value", "median (quartiles)", tuple(spread(of) for of in values)),
            Row("distribution", "as stored" if layer in assays else "log10(1 + value)", tuple(_histograms(scaled))),
        )
        groups.append(Group(layer.replace("_", " ") if layer not in assays else f"{layer} (expression)", rows))
    return groups


def _histograms(values: Sequence[NDArray[np.float64]]) -> list[str | Histogram]:
    """Distributions in the same bins; where nothing is known, only that."""
    known = [of[np.isfinite(of)] for of in values]
    joined = np.concatenate(known) if known else np.empty(0)
    if not len(joined):
        return [NOT_KNOWN] * len(values)
    low, high = float(joined.min()), float(joined.max())
    edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
    shares = [np.histogram(of, edges)[0] / max(len(of), 1) for of in known]
    top = max(float(of.max()) for of in shares)
    found: list[str | Histogram] = []
    for of, heights in zip(known, shares, strict=True):
        mode = short(float(edges[:-1][np.argmax(heights)] + np.diff(edges)[0] / 2))
        words = f"from {short(low)} to {short(high)}, most near {mode}"
        tall = tuple(round(float(height) / top, 3) for height in heights)
        found.append(Histogram(tall, short(low), short(high), words) if len(of) else NOT_KNOWN)
    return found


def _candidates(mdata: MuData, sample: str) -> NDArray[np.bool_]:
    return layer_row(mdata[Modality.enhancers], Layer.candidate, sample) > 0


def _each(values: Iterable[float]) -> str:
    return ", ".join(short(value) for value in values) or NOT_KNOWN
