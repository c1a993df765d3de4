"""Enhancer-RNA loci as files for genome browsers: BED and bigWig."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import Layer, Modality, Var
from eregtools._schema import object_chrom_sizes, require_modality
from eregtools.io import store
from eregtools.io.bigwig_write import write_intervals

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_HEADER = ("#chrom", "chromStart", "chromEnd", "name", "score", "strand", "thickStart", "thickEnd", "qValue", "logOdds")


def write_ernas(mdata: MuData, path: str | Path, *, sample: str | None = None, max_qvalue: float | None = None) -> None:
    """Write loci as BED (``….bed``, also with ``.gz``) or bigWig (``….bw``); the file is whole or not there.

    Parameters
    ----------
    mdata
        Object with ``ernas``.
    path
        Target; what is there is replaced.
    sample
        Loci that are called in this biosample, with its probabilities; ``None``: all, with the highest.
    max_qvalue
        Write loci up to this q-value.

    Raises
    ------
    KeyError
        There are no loci, or not the biosample.
    ValueError
        Another ending, or no locus is left to write.
    OSError
        The folder does not exist or the disk is full.

    Notes
    -----
    Columns: BED6, center as thickStart (and thickEnd, one more), q-value (−1 where none is known) and log odds. The
    score is 1000 times the probability, rounded. bigWig: the probability over each locus.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.candidate_ernas(mdata, "bed", source=pd.DataFrame({"chrom": ["chr1"], "start": [3_000], "end": [3_400]}))
    >>> path = Path(tempfile.mkdtemp()) / "loci.bed"
    >>> er.io.write_ernas(mdata, path)
    >>> er.io.read_bed(path)[["Chromosome", "Start", "End", "Name"]]
      Chromosome  Start   End                 Name
    0       chr1   3000  3400  eRNA:chr1:3000-3400
    """
    target = Path(path).expanduser()
    kind = kind_of(target)
    ernas = require_modality(mdata, Modality.ernas)
    sizes = object_chrom_sizes(mdata)
    table = _table(ernas, sample, max_qvalue, sizes)
    if kind == ".bw":
        write_intervals(target, sizes, _intervals(table))
    else:
        text = "\t".join(_HEADER) + "\n" + table.to_csv(sep="\t", header=False, index=False, float_format="%.6g")
        content = text.encode()
        store.write_bytes(gzip.compress(content, mtime=0) if target.suffix == ".gz" else content, target)


def kind_of(path: Path) -> str:
    """Tell by its ending what a file of loci is: ``".bed"`` or ``".bw"``.

    Raises
    ------
    ValueError
        It is neither.
    """
    kind = Path(path.name.removesuffix(".gz")).suffix if path.suffix == ".gz" else path.suffix
    if kind not in (".bed", ".bw") or (path.suffix == ".gz" and kind != ".bed"):
        raise ValueError(f"{path}: expected a name that ends in .bed, .bed.gz or .bw")
    return kind


def _table(ernas: AnnData, sample: str | None, max_qvalue: float | None, sizes: dict[str, int]) -> pd.DataFrame:
    """Columns of a BED file, in the order of the genome."""
    var = ernas.var
    probability, kept = _values(ernas, sample)
    q = var[Var.qvalue].to_numpy(dtype=float) if Var.qvalue in var else np.full(len(var), np.nan)
    if sample is not None and Layer.qvalue in ernas.layers:
        q = np.asarray(ernas.layers[Layer.qvalue][ernas.obs_names.get_loc(sample)], dtype=float)
    if max_qvalue is not None:
        kept &= q <= max_qvalue
    if not kept.any():
        raise ValueError("no locus is left to write; look at sample= and max_qvalue=")
    middle = (var[Var.start] + var[Var.end]) // 2
    center = var.get(Var.center, middle).clip(lower=var[Var.start], upper=var[Var.end] - 1)
    odds = var[Var.score] if Var.score in var else pd.Series(np.nan, index=var.index)
    table = pd.DataFrame(
        {
            "chrom": var[Var.chromosome].astype(str),
            "start": var[Var.start],
            "end": var[Var.end],
            "name": var.index,
            "score": np.nan_to_num(1000 * probability).round().astype(np.int64),
            "strand": ".",
            "thick_start": center,
            "thick_end": center + 1,
            "q": np.where(np.isfinite(q), q, -1.0),
            "odds": odds.fillna(0.0),
            "probability": probability,
        }
    )[kept]
    place = table["chrom"].map({name: number for number, name in enumerate(sizes)})
    table = table.iloc[np.lexsort((table["end"], table["start"], place))]
    table.attrs["probability"] = table.pop("probability").to_numpy()
    return table


def _values(ernas: AnnData, sample: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each locus, and which loci are asked for."""
    known = Layer.probability in ernas.layers
    layer = np.asarray(ernas.layers[Layer.probability]) if known else np.full(ernas.shape, np.nan)
    if sample is None:
        return np.fmax.reduce(layer, axis=0).astype(float), np.ones(ernas.n_vars, dtype=bool)
    if sample not in ernas.obs_names:
        raise KeyError(f"no biosample {sample!r} in the object; it has {', '.join(map(str, ernas.obs_names))}")
    row = int(ernas.obs_names.get_loc(sample))
    called = np.ones(ernas.n_vars, dtype=bool)
    if Layer.candidate in ernas.layers:
        called = np.asarray(ernas.layers[Layer.candidate])[row] == 1
    return layer[row].astype(float), called


def _intervals(table: pd.DataFrame) -> Any:
    probability = table.attrs["probability"]
    known = np.isfinite(probability)
    chroms = table["chrom"].to_numpy()
    for chrom in dict.fromkeys(chroms.tolist()):
        rows = np.flatnonzero((chroms == chrom) & known)
        if len(rows):
            start, end = (table[name].to_numpy(dtype=np.int64)[rows] for name in ("start", "end"))
            yield chrom, start, end, probability[rows].astype(np.float32)
