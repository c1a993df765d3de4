"""Loci of tracks as tables: of one biosample, of several together, and their clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eregtools._keys import Layer, Var
from eregtools.ranges import merge_touching
from eregtools.tl._loci_from_track import TOKEN, CallRules, loci_of_track

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.tl._decoys import Source
    from eregtools.tl._scan_store import ErnaScan


def track_loci(source: Source, sample: str, rules: CallRules) -> pd.DataFrame:
    """Loci of the tracks of a biosample: Chromosome, Start, End and center, the middle of the summit."""
    found = []
    for chrom in source.scan.scanned(sample):
        loci = loci_of_track(source.scan.track(sample, chrom), source.masked(chrom), rules)
        size = source.scan.chrom_sizes[chrom]
        found.append(
            pd.DataFrame(
                {
                    Var.chromosome: np.full(len(loci.first), chrom, dtype=object),
                    Var.start: loci.first * TOKEN,
                    Var.end: np.minimum(loci.last * TOKEN, size),
                    Var.center: np.minimum(loci.summit * TOKEN + TOKEN // 2, size - 1),
                }
            )
        )
    return pd.concat(found, ignore_index=True)


def joined_loci(
    mdata: MuData, scan: ErnaScan, called: Mapping[str, pd.DataFrame]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Loci of all biosamples, those that overlap as one, and where each was called with which q-value."""
    parts = [table.assign(row=int(mdata.obs_names.get_loc(name))) for name, table in called.items()]
    together = pd.concat(parts, ignore_index=True)
    place = {name: number for number, name in enumerate(scan.chrom_sizes)}
    order = np.lexsort((together[Var.end], together[Var.start], together[Var.chromosome].map(place)))
    together = together.iloc[order].reset_index(drop=True)
    unions, number = _overlapping(together)
    best = together[Var.score].groupby(number).idxmax().to_numpy()
    loci = together.loc[best, [Var.chromosome, Var.start, Var.end, Var.center, Var.score]].reset_index(drop=True)
    loci[[Var.start, Var.end]] = unions[[Var.start, Var.end]].to_numpy()
    loci = loci.astype(dict.fromkeys((Var.start, Var.end, Var.center), np.int64))
    shape = (mdata.n_obs, len(loci))
    candidate, q = np.zeros(shape, dtype=np.float32), np.full(shape, np.nan, dtype=np.float32)
    candidate[together["row"], number] = 1
    for row, locus, value in zip(together["row"], number, together[Var.qvalue], strict=True):
        q[row, locus] = np.fmin(q[row, locus], value)
    with np.errstate(invalid="ignore"):
        loci[Var.qvalue] = np.fmin.reduce(q, axis=0).astype(np.float64)
    return loci, {Layer.candidate: candidate, Layer.qvalue: q}


def _overlapping(loci: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Unions of loci that share a base; those that only touch stay apart."""
    inner = loci.assign(**{Var.end: loci[Var.end] - 1})
    unions, number = merge_touching(inner)
    return unions.assign(**{Var.end: unions[Var.end] + 1}), number


def clusters(loci: pd.DataFrame, gap: int) -> pd.Categorical:
    """Name of the cluster of each locus: the region from its first locus to its last."""
    widened = loci.assign(**{Var.end: loci[Var.end] + gap})
    unions, number = merge_touching(widened)
    end = unions[Var.end] - gap
    names = unions[Var.chromosome].astype(str) + ":" + unions[Var.start].astype(str) + "-" + end.astype(str)
    return pd.Categorical(names.to_numpy(dtype=object)[number], categories=names.to_list())
