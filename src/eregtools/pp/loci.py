"""Candidate enhancer-RNA loci, from coverage, assembled transcripts, open chromatin, tiles or a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._fasta import N_CODE
from eregtools._keys import INTERVAL, Layer, Modality, Uns, Var
from eregtools._loci import put_ernas
from eregtools._logging import logger
from eregtools._schema import entry, require_modality, require_real
from eregtools.coverage import Coverage, recorded_coverage
from eregtools.genome import Genome, get_genome, match_names
from eregtools.pp._loci_assembly import loci_of_assembly
from eregtools.pp._loci_signal import SignalRules, loci_of_signal, loci_of_tiles
from eregtools.pp.align import column, required_column, sample_rows, whole_numbers
from eregtools.pp.erna_mask import recorded_mask
from eregtools.pp.intervals import Intervals, genome_order, object_chrom_sizes, read_intervals, regions_on
from eregtools.ranges import merge_touching, overlaps

Method = Literal["signal", "assembly", "peaks", "tile", "bed"]

_BIN = 8


def candidate_ernas(
    mdata: MuData,
    method: Method = "signal",
    *,
    source: Intervals | Mapping[str, Any] | None = None,
    gtf: str | Path | pd.DataFrame | None = None,
    mask: Intervals | None = None,
    genome: Genome | str | Path | None = None,
    coverage: Coverage | str | Path | None = None,
    sample: str | Sequence[str] | None = None,
    basal: float | None = None,
    noise_p: float = 0.05,
    merge_gap: int = 100,
    min_width: int = 100,
    width: int = 400,
    hop: int = 2_048,
    copy: bool = False,
) -> MuData | None:
    r"""Candidate enhancer-RNA loci, as modality ``ernas``; one that is there is replaced.

    Parameters
    ----------
    mdata
        The object.
    method
        ``"signal"``: where coverage per million reaches the basal level, with a summit above noise. ``"assembly"``:
        at the 5′ ends of assembled transcripts that are not annotated, at both ends and the middle of those without a
        strand, and between those that depart from each other. ``"peaks"``: at the summits or centres of open
        chromatin. ``"tile"``: side by side, where there is signal. ``"bed"``: a list of loci.
    source
        ``"assembly"``: StringTie's GTF file; ``"peaks"``: BED or narrowPeak file or table (``None``: the enhancers of
        the object); ``"bed"``: BED file or table. Or one of these for each biosample, ``{sample: …}``.
    gtf
        Annotation with exons, by which ``"assembly"`` tells new transcripts.
    mask
        Regions without candidates; ``None``: those of :func:`~eregtools.pp.erna_mask`. Masked bins part loci of
        ``"signal"`` and ``"tile"``; of the other methods loci whose centre is masked are left out.
    genome
        Genome, its FASTA file, or a registered name; loci whose centre is N are left out with a warning.
    coverage
        The store or its folder, where it was moved.
    sample
        Biosamples whose coverage is looked at; ``None``: all that have any.
    basal
        Coverage per million of both strands that a bin needs; ``None``: the mean of the sequence that is not masked.
    noise_p
        Share of noise that reaches a summit, by a normal fit to log coverage.
    merge_gap
        Bases between runs of bins that are one locus; for ``"assembly"`` between centres that are.
    min_width
        Shortest locus of ``"signal"``.
    width
        Width of loci of ``"assembly"`` around their centre.
    hop
        Width of tiles.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["ernas"].var``
        Chromosome, Start, End, center (position around which windows lie), source, and of ``"signal"`` summit_rpm;
        names are ``eRNA:chr1:1000-2000``. Loci of biosamples that overlap are one, with the center of the highest.
    ``mdata["ernas"].layers["candidate"]``
        1 where the locus comes from the biosample (or from a list for all), otherwise 0, float32; also ``X``.

    Raises
    ------
    KeyError
        The object has no coverage, or not the biosample.
    ValueError
        A source that is needed or given in vain, loci past the end of a chromosome, or none at all.

    Notes
    -----
    ``"signal"``: BRAINcode (Dong et al. 2018), there from total RNA-seq, 100 bp both. ``"tile"``: informative sites of
    dREG. Per biosample and then the union: the advice of ReapTEC.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> loci = pd.DataFrame({"chrom": ["chr1"], "start": [3_000], "end": [3_400]})
    >>> er.pp.candidate_ernas(mdata, "bed", source=loci)
    >>> mdata["ernas"].var[["center", "source"]]
                          center source
    eRNA:chr1:3000-3400     3200    bed
    """
    require_real(mdata)
    _check_arguments(method, source, noise_p, merge_gap, min_width, width, hop)
    sizes = object_chrom_sizes(mdata)
    masked = recorded_mask(mdata, mask, sizes)
    if method in ("signal", "tile"):
        store = recorded_coverage(mdata, coverage)
        rules = SignalRules(basal, noise_p, merge_gap, min_width)
        tables = {
            name: loci_of_signal(store, name, masked, rules)
            if method == "signal"
            else loci_of_tiles(store, name, masked, hop)
            for name in covered_samples(mdata, store, sample)
        }
    else:
        makers: dict[str, Callable[[Any], pd.DataFrame]] = {
            "assembly": lambda one: loci_of_assembly(one, gtf, sizes, width),
            "peaks": lambda one: _listed_loci(one, sizes, "peaks"),
            "bed": lambda one: _listed_loci(one, sizes, "bed"),
        }
        tables = {
            name: _outside(makers[method](one), masked, method, name)
            for name, one in _by_sample(mdata, source, method).items()
        }
    loci, candidate = _union(mdata, tables, method, merge_gap)
    loci, candidate = _with_sequence(loci, candidate, genome)
    if loci.empty:
        raise ValueError(f"method={method!r} finds no candidate locus outside the mask; look at coverage and mask")
    logger.info("%d candidate loci (%s) in %d biosample(s)", len(loci), method, len(candidate))

    mdata = mdata.copy() if copy else mdata
    put_ernas(mdata, loci, {Layer.candidate: candidate})
    entry(mdata)[Uns.erna_candidates] = {
        "method": method,
        "noise_p": noise_p,
        "merge_gap": merge_gap,
        "min_width": min_width,
        "masked": bool(len(masked)),
    }
    return mdata if copy else None


def around(chromosomes: pd.Series, centres: pd.Series, half_width: int) -> pd.DataFrame:
    """Windows around positions; of no width, the base itself."""
    return pd.DataFrame(
        {
            Var.chromosome: chromosomes.to_numpy(),
            Var.start: centres.to_numpy() - half_width,
            Var.end: centres.to_numpy() + max(half_width, 1),
        }
    )


def covered_samples(mdata: MuData, coverage: Coverage, sample: str | Sequence[str] | None) -> list[str]:
    """Biosamples of the object that have coverage, of those asked for.

    Raises
    ------
    KeyError
        One that is asked for is not in the object or has no coverage, or none has any.
    """
    if sample is not None:
        names = [sample] if isinstance(sample, str) else list(sample)
        sample_rows(mdata, names, "sample")
        for name in names:
            coverage.about(name)
        return names
    names = [str(name) for name in mdata.obs_names if name in coverage.samples]
    if not names:
        raise KeyError(f"no biosample of the object has coverage in {coverage.path}")
    return names


def _check_arguments(
    method: str, source: Any, noise_p: float, merge_gap: int, min_width: int, width: int, hop: int
) -> None:
    methods = ("signal", "assembly", "peaks", "tile", "bed")
    if method not in methods:
        raise ValueError(f"method={method!r}: expected one of {', '.join(methods)}")
    if source is not None and method in ("signal", "tile"):
        raise ValueError(f"source is not for method={method!r}, which looks at the coverage of the object")
    if source is None and method in ("assembly", "bed"):
        what = "StringTie's GTF file" if method == "assembly" else "a BED file or a table of loci"
        raise ValueError(f"method={method!r} needs source=, {what}")
    if not 0 < noise_p < 1:
        raise ValueError(f"noise_p={noise_p}: expected a share between 0 and 1")
    for what, value, least in (("merge_gap", merge_gap, 0), ("min_width", min_width, 1), ("width", width, 2)):
        if value < least:
            raise ValueError(f"{what}={value}: expected at least {least} bp")
    if hop < _BIN or hop % _BIN:
        raise ValueError(f"hop={hop}: expected a multiple of {_BIN} bp")


def _by_sample(mdata: MuData, source: Any, method: str) -> dict[str, Any]:
    """Find what each biosample's loci are made of; under the empty name, what those of all are."""
    if isinstance(source, Mapping):
        sample_rows(mdata, source, "source")
        return dict(source)
    if source is None:
        source = require_modality(mdata, Modality.enhancers).var
        if Var.summit in source:
            source = source[[*INTERVAL, Var.summit]]
    if method == "assembly" and mdata.n_obs > 1:
        logger.info("one assembly for all %d biosamples", mdata.n_obs)
    return {"": source}


def _listed_loci(source: Intervals, sizes: Mapping[str, int], what: str) -> pd.DataFrame:
    """Loci of a list with their centres: summits where it has them, else the middle."""
    table = read_intervals(source)
    if table.empty:
        raise ValueError(f"{what}: the table is empty")
    names = required_column(table, Var.chromosome, what).astype(str)
    numbered = table[names.isin(list(match_names(sizes, names.unique()))).to_numpy()].reset_index(drop=True)
    if numbered.empty:
        raise ValueError(f"{what}: none of {len(table)} regions is on a chromosome of the genome")
    if len(numbered) < len(table):
        logger.warning("%s: %d of %d regions are on other chromosomes", what, len(table) - len(numbered), len(table))
    loci = regions_on(numbered, sizes, what, cut=False)
    centre = (loci[Var.start] + loci[Var.end]) // 2
    summit = column(numbered, Var.summit)
    if what == "peaks" and summit is not None:
        centre = pd.Series(whole_numbers(summit, what))
    added: dict[str, Any] = {Var.center: centre, Var.source: what}
    return loci.assign(**added)


def _outside(loci: pd.DataFrame, mask: pd.DataFrame, method: str, sample: str) -> pd.DataFrame:
    """Loci whose centre is not masked."""
    masked = overlaps(around(loci[Var.chromosome], loci[Var.center], 0), mask)
    if masked.any():
        logger.info(
            "%s%s: %d of %d loci have a masked centre", f"{sample}: " if sample else "", method, masked.sum(), len(loci)
        )
    return loci[~masked].reset_index(drop=True)


def _union(
    mdata: MuData, tables: Mapping[str, pd.DataFrame], method: str, merge_gap: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Loci of all biosamples in genome order, each once, and which biosample has which ``(n_samples, n_loci)``."""
    together = pd.concat([table.assign(of=name) for name, table in tables.items()], ignore_index=True)
    together[Var.source] = together.get(Var.source, pd.Series(method, index=together.index, dtype=object))
    together = genome_order(together, object_chrom_sizes(mdata))
    if method == "signal":
        unions, number = merge_touching(together)
    elif method == "assembly":
        reach = together[[Var.chromosome]].assign(
            Start=together[Var.center], End=together[Var.center] + max(merge_gap, 1)
        )
        number = merge_touching(reach)[1]
        unions = None
    else:
        number = together.groupby(list(INTERVAL), sort=False).ngroup().to_numpy()
        unions = None
    order = together.get(Var.summit_rpm, pd.Series(0.0, index=together.index))
    best = order.groupby(number).idxmax().to_numpy()
    loci = together.loc[best].reset_index(drop=True)
    if unions is not None:
        loci[[Var.start, Var.end]] = unions[[Var.start, Var.end]].to_numpy()
    candidate = np.zeros((mdata.n_obs, len(loci)), dtype=np.float32)
    rows = mdata.obs_names.get_indexer(together["of"])
    candidate[rows[rows >= 0], number[rows >= 0]] = 1
    candidate[:, number[rows < 0]] = 1
    return _distinct(loci.drop(columns="of"), candidate, object_chrom_sizes(mdata))


def _distinct(loci: pd.DataFrame, candidate: np.ndarray, sizes: Mapping[str, int]) -> tuple[pd.DataFrame, np.ndarray]:
    """Loci in genome order with whole-number coordinates; one interval is one locus."""
    place = loci[Var.chromosome].map({name: number for number, name in enumerate(sizes)})
    order = np.lexsort((loci[Var.end], loci[Var.start], place))
    loci, candidate = loci.iloc[order].reset_index(drop=True), candidate[:, order]
    repeated = loci.duplicated(list(INTERVAL)).to_numpy()
    loci = loci.astype({**dict.fromkeys((Var.start, Var.end, Var.center), np.int64), Var.source: "category"})
    return loci[~repeated].reset_index(drop=True), candidate[:, ~repeated]


def _with_sequence(
    loci: pd.DataFrame, candidate: np.ndarray, genome: Genome | str | Path | None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Loci whose centre is a known base, where there is a genome to look at."""
    if genome is None or loci.empty:
        return loci, candidate
    codes = get_genome(genome).codes(loci[Var.chromosome].astype(str).tolist(), loci[Var.center].to_numpy(), 1)
    unknown = codes[:, 0] == N_CODE
    if unknown.any():
        first = loci[unknown].iloc[0]
        logger.warning(
            "%d of %d candidate loci lie in runs of N and are left out, first %s:%d-%d",
            unknown.sum(),
            len(loci),
            first[Var.chromosome],
            first[Var.start],
            first[Var.end],
        )
    return loci[~unknown].reset_index(drop=True), candidate[:, ~unknown]
