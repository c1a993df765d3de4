"""What a locus shows of its RNA: coverage of both strands, probabilities of a scan, and calls.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._schema import require_modality
from eregtools.coverage import recorded_coverage
from eregtools.get._select import layer_row
from eregtools.io import bigwig
from eregtools.pl._layout import Track, View, label_rows
from eregtools.pl._region import Region

if TYPE_CHECKING:
    from mudata import MuData

    from eregtools.coverage import Coverage

_STEPS: Final = 1_000
"""Most steps of a curve."""

_MOST_LABELS: Final = 15
"""Calls in view from which on their q-values are not written."""


def coverage_track(
    mdata: MuData, coverage: bool | Coverage | str | Path, samples: Sequence[str], region: Region
) -> Track:
    """Coverage per million reads: plus above the line, minus below it; where strands are not known both together."""
    store = recorded_coverage(mdata, None if coverage is True else coverage)  # type: ignore[arg-type]
    size = store.bin_size
    start, end = region.start // size * size, -(-region.end // size) * size
    values, edges = {}, np.empty(0)
    for name in samples:
        both = store.per_million(name, region.chromosome, start, end).astype(np.float64)
        kept = both * [[1], [-1]] if store.stranded(name) else both.sum(axis=0, keepdims=True)
        values[name], edges = _thinned(kept, start, size)
    stranded = [store.stranded(name) for name in samples]
    note = "plus above, minus below" if any(stranded) else ""
    if any(stranded) and not all(stranded):
        note += "; without strands above"
    return Track("coverage", "RPM", values, look="area", edges=edges, note=note)


def probability_track(mdata: MuData, probability: Any, samples: Sequence[str], region: Region) -> Track:
    """Probabilities that a scan gave to each part of the genome.

    Raises
    ------
    KeyError
        The object has no scan, or none of a biosample.
    """
    paths = _scan_paths(mdata, probability, samples)
    values, edges = {}, np.empty(0)
    for name, path in paths.items():
        there = bigwig.chrom_sizes(path)
        end = min(region.end, there.get(region.chromosome, region.end))
        if region.chromosome not in there or end <= region.start:
            raise ValueError(f"{path} has nothing on {region}; is it of another assembly?")
        found = np.full(region.end - region.start, np.nan)
        found[: end - region.start] = bigwig.values(path, region.chromosome, region.start, end)
        values[name], edges = _thinned(found[None], region.start, 1)
    return Track("probability", "scan", values, look="area", edges=edges)


def _scan_paths(mdata: MuData, probability: Any, samples: Sequence[str]) -> dict[str, Path]:
    """BigWig file of each biosample."""
    if probability is True:
        known = mdata.uns.get(UNS, {}).get(Uns.erna_scan)
        if known is None:
            raise KeyError("the object has no scan; run er.tl.scan_ernas first, or give probability=, a bigWig file")
        probability = {str(name): path for name, path in known["bigwig"]["path"].items() if path}
    elif not isinstance(probability, Mapping):
        if len(samples) > 1:
            raise ValueError(f"probability= is one file and there are {len(samples)} biosamples; give {{sample: file}}")
        probability = {samples[0]: probability}
    if lacking := [name for name in samples if name not in probability]:
        raise KeyError(f"probability: there is no file of {lacking[0]!r}; there are those of {', '.join(probability)}")
    return {name: Path(probability[name]) for name in samples}


def _thinned(values: np.ndarray, start: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Fewer steps, each of the value farthest from 0, and their edges ``(n_steps + 1,)``."""
    n = values.shape[1]
    step = -(-n // _STEPS)
    padded = np.full((len(values), -(-n // step) * step), np.nan)
    padded[:, :n] = values
    groups = np.nan_to_num(padded).reshape(len(values), -1, step)
    farthest = np.take_along_axis(groups, np.abs(groups).argmax(axis=2)[..., None], axis=2)[..., 0]
    known = np.isfinite(padded).reshape(len(values), -1, step).any(axis=2)
    edges = start + np.minimum(np.arange(groups.shape[1] + 1) * step, n) * size
    return np.where(known, farthest, np.nan), edges.astype(np.float64)


@dataclass(frozen=True)
class Calls:
    """Loci in view.

    Attributes
    ----------
    loci
        Their intervals, by name.
    filled
        ``{sample: mask}``: which are called.
    labels
        ``{name: q-value}``, as text.
    """

    loci: pd.DataFrame
    filled: Mapping[str, np.ndarray]
    labels: Mapping[str, str]

    def label_rows(self, view: View) -> dict[str, int]:
        """Row of each label, 0 nearest to the boxes."""
        return label_rows(self.labels, self.loci, view)


def calls_in(mdata: MuData, samples: Sequence[str], region: Region, fdr: float) -> Calls:
    """Loci of the region: filled where their q-value is at most ``fdr``, all of them where they have none."""
    ernas = require_modality(mdata, Modality.ernas)
    loci = region.overlapping(ernas.var)
    at = ernas.var_names.get_indexer(loci.index)
    if Layer.qvalue in ernas.layers:
        q = {name: layer_row(ernas, Layer.qvalue, name)[at].astype(float) for name in samples}
    elif Var.qvalue in loci:
        q = dict.fromkeys(samples, loci[Var.qvalue].to_numpy(float))
    else:
        return Calls(loci, {name: np.ones(len(loci), dtype=bool) for name in samples}, {})
    filled = {name: np.nan_to_num(values, nan=np.inf) <= fdr for name, values in q.items()}
    least = np.min([np.nan_to_num(values, nan=np.inf) for values in q.values()], axis=0)
    labels = {}
    if len(loci) <= _MOST_LABELS:
        labels = {str(name): q_text(value) for name, value in zip(loci.index, least, strict=True) if np.isfinite(value)}
    return Calls(loci, filled, labels)


def q_text(value: float) -> str:
    """Write a q-value.

    Examples
    --------
    >>> q_text(0.034), q_text(0.00002), q_text(0.0)
    ('q 0.034', 'q 2e-05', 'q 0')
    """
    return f"q {value:.2g}".replace("-", "\N{HYPHEN-MINUS}")
