"""Expression of enhancer-RNA loci in each biosample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from mudata import MuData

from eregtools._keys import UNS, Layer, Modality, Obs, Uns, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import entry, layer_to_fill, listed, put_layer, require_modality, require_real
from eregtools._settings import settings
from eregtools.coverage import Coverage, recorded_coverage
from eregtools.locus_signal import arm_length, background_p, free_sequence, locus_reads

Floats = npt.NDArray[np.float64]

_LAYERS = (
    Layer.reads,
    Layer.rpm,
    Layer.rpkm,
    Layer.plus,
    Layer.minus,
    Layer.directionality,
    Layer.balance,
    Layer.detected,
)
_OBS = (Obs.library_size, Obs.read_length, Obs.strandedness, Obs.strand_fraction, Obs.swapped, Obs.group)


def quantify_ernas(
    mdata: MuData,
    *,
    coverage: Coverage | str | Path | None = None,
    sample: str | Sequence[str] | None = None,
    flank: int = 0,
    arm: int | None = None,
    min_reads: float = 3.0,
    detected_p: float = 0.05,
    n_background: int = 10_000,
    expression: str | None = None,
    rng: np.random.Generator | None = None,
    copy: bool = False,
) -> MuData | None:
    r"""Count the reads of each locus in each biosample, tell their direction, and find the nearest gene.

    Parameters
    ----------
    mdata
        The object, with loci and coverage.
    coverage
        The store or its folder, where it was moved.
    sample
        Biosamples to quantify; ``None``: all that have coverage. Others are NaN.
    flank
        Bases on either side of a locus in which its reads are counted too. Called loci are narrow, and most of their
        RNA lies beside them: 500 is a good choice there, where loci are farther apart than that.
    arm
        Bases on either side of the centre in which strands are compared; ``None``: 200 for tracks of 5′ ends, 500 for
        coverage, which spreads along the transcript.
    min_reads
        Reads that both arms together need for a direction.
    detected_p
        A locus is detected where its reads are more than in this share of random windows of its width.
    n_background
        Random windows, outside the mask of the object and its loci.
    expression
        Layer of ``genes`` that loci are correlated with; ``None``: the layer that is ``X``, where there is one.
    rng
        Source of randomness; ``None``: ``settings.seed``.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields, float32 ``(n_samples, n_loci)`` where they are layers.

    ``mdata["ernas"].X``, ``.layers["reads"]``
        Read equivalents: summed coverage of both strands over the read length.
    ``.layers["rpm"]``, ``["rpkm"]``
        The same per million reads of the library, and per kb of the locus.
    ``.layers["plus"]``, ``["minus"]``
        Read equivalents of each strand; NaN where the strand is not known.
    ``.layers["directionality"]``
        (R − L) / (R + L) of plus reads R right and minus reads L left of the centre: 0 is bidirectional, 1 to the
        right; NaN where the strand is not known or reads are few.
    ``.layers["balance"]``
        √(½ L/S) + √(½ R/S) with S all reads of both arms: 1 for divergent transcription, 0 for convergent.
    ``.layers["detected"]``
        1 or 0.
    ``.var["width"]``, ``["n_detected"]``, ``["consistency_q"]``
        Bases in which reads are counted; number of biosamples that detect the locus; its q-value (Benjamini–Hochberg)
        under the binomial distribution of chance detections.
    ``.var["nearest_gene"]``, ``["tss_distance"]``, ``["gene_correlation"]``
        Gene of the nearest TSS on the chromosome (categorical), centre − TSS with the gene's sign (negative =
        upstream), and Spearman correlation over biosamples of ``rpm`` with its expression; NaN with fewer than three.
    ``.obs``
        The columns of :func:`~eregtools.pp.add_coverage`, so that scanpy finds them.

    Raises
    ------
    KeyError
        There are no loci or no coverage, or not the layer ``expression``.
    ValueError
        A threshold out of its range; a view.

    Notes
    -----
    Directionality: Andersson et al. 2014. Balance: CAGEfightR (Thodberg et al. 2019). Detection and consistency:
    BRAINcode (Dong et al. 2018).

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.ErnaGenomeConfig(
    ...     n_chromosomes=1, chromosome_length=200_000, genes=3, libraries=["stranded"], negative=()
    ... )
    >>> world = er.datasets.simulate_erna_genome(tempfile.mkdtemp(), config=small)
    >>> files = world.paths
    >>> mdata = er.pp.assemble(genes=files["genes"], enhancers=files["open"], samples=["s1"], genome=files["genome"])
    >>> er.pp.add_coverage(mdata, world.tracks, folder=world.folder / "coverage.zarr", read_length=75)
    >>> er.pp.candidate_ernas(mdata, "bed", source=files["ernas"])
    >>> er.tl.quantify_ernas(mdata)
    >>> mdata["ernas"].var[["width", "nearest_gene", "tss_distance"]].head(2)
                           width nearest_gene  tss_distance
    eRNA:chr1:7315-7715      400     SIMG0001       -2139.0
    eRNA:chr1:24411-24811    400     SIMG0001      -19235.0
    >>> mdata["ernas"].layers["directionality"].shape
    (1, 10)
    """
    require_real(mdata)
    ernas = require_modality(mdata, Modality.ernas)
    if not 0 < detected_p < 1:
        raise ValueError(f"detected_p={detected_p}: expected a share between 0 and 1")
    if flank < 0:
        raise ValueError(f"flank={flank}: expected 0 bp or more")
    if arm is not None and arm < 1:
        raise ValueError(f"arm={arm}: expected at least 1 bp")
    store = recorded_coverage(mdata, coverage)
    names = _samples(mdata, store, sample)
    genes = _expression(mdata, expression)
    rows = [int(mdata.obs_names.get_loc(name)) for name in names]
    layers = {layer: layer_to_fill(ernas, layer, rows) for layer in _LAYERS}
    counted = _with_flanks(ernas.var, flank, store.chrom_sizes)
    streams = (rng or np.random.default_rng(settings.seed)).spawn(mdata.n_obs)
    with progress_bar(len(names), "reads of loci", "biosamples") as bar:
        for name, row in zip(names, rows, strict=True):
            half = arm_length(store, name) if arm is None else arm
            found = _quantified(store, name, counted, half, min_reads)
            p = _background_p(mdata, store, name, counted, found[Layer.reads], n_background, streams[row])
            found[Layer.detected] = (p < detected_p).astype(np.float64)
            for layer, values in found.items():
                layers[layer][row] = values
            bar.update()

    mdata = mdata.copy() if copy else mdata
    ernas = mdata.mod[Modality.ernas]
    for layer, values in layers.items():
        put_layer(mdata, Modality.ernas, layer, values, as_x=layer == Layer.reads)
    mdata.mod[Modality.ernas].var[Var.width] = (counted[Var.end] - counted[Var.start]).to_numpy()
    _describe(mdata, layers[Layer.detected], detected_p)
    _nearest_genes(mdata, layers[Layer.rpm], genes)
    for column in _OBS:
        if column in mdata.obs:
            ernas.obs[column] = mdata.obs[column].to_numpy() if column != Obs.group else mdata.obs[column]
    entry(mdata)[Uns.quantification] = {
        "flank": flank,
        "arm": 0 if arm is None else arm,
        "min_reads": min_reads,
        "detected_p": detected_p,
        "fingerprint": store.fingerprint,
        "expression": genes or "",
    }
    logger.info("reads of %d loci in %d biosample(s)", ernas.n_vars, len(names))
    return mdata if copy else None


def _samples(mdata: MuData, coverage: Coverage, sample: str | Sequence[str] | None) -> list[str]:
    asked = [str(n) for n in mdata.obs_names] if sample is None else [sample] if isinstance(sample, str) else sample
    if unknown := [name for name in asked if name not in mdata.obs_names]:
        raise KeyError(f"sample: no biosample {listed(unknown)} in the object; it has {listed(mdata.obs_names)}")
    if sample is not None:
        for name in asked:
            coverage.about(name)
    names = [name for name in asked if name in coverage.samples]
    if not names:
        raise KeyError(f"no biosample of the object has coverage in {coverage.path}")
    return names


def _expression(mdata: MuData, expression: str | None) -> str | None:
    """Layer of genes to correlate with, where there is one."""
    if Modality.genes not in mdata.mod:
        if expression is not None:
            raise KeyError(f"expression={expression!r}: the object has no genes")
        return None
    layers = mdata.mod[Modality.genes].layers
    if expression is not None:
        if expression not in layers:
            raise KeyError(f"genes have no layer {expression!r} (they have {listed(n for n in layers if n)})")
        return expression
    found = mdata.uns.get(UNS, {}).get(Uns.x_layer, {}).get(Modality.genes)
    return str(found) if found in layers else None


def _with_flanks(var: pd.DataFrame, flank: int, chrom_sizes: Mapping[str, int]) -> pd.DataFrame:
    """Loci widened on both sides within their chromosomes; their centres stay."""
    size = var[Var.chromosome].astype(object).map(chrom_sizes).to_numpy()
    wider = var.copy()
    wider[Var.center] = _centres(var)
    wider[Var.start] = (var[Var.start] - flank).clip(lower=0)
    wider[Var.end] = np.minimum(var[Var.end] + flank, size)
    return wider


def _quantified(coverage: Coverage, sample: str, var: pd.DataFrame, arm: int, min_reads: float) -> dict[str, Floats]:
    """Layers of one biosample, each ``(n_loci,)``."""
    chroms = var[Var.chromosome]
    start, end = var[Var.start].to_numpy(), var[Var.end].to_numpy()
    strands = locus_reads(coverage, sample, chroms, start, end)
    reads = strands.sum(axis=0)
    rpm = reads * (1e6 / coverage.library_size(sample))
    found = {Layer.reads: reads, Layer.rpm: rpm, Layer.rpkm: rpm * 1_000 / (end - start)}
    if not coverage.stranded(sample):
        unknown = np.full(len(var), np.nan)
        return {
            **found,
            **dict.fromkeys((Layer.plus, Layer.minus, Layer.directionality, Layer.balance), unknown),
        }
    centre = _centres(var)
    left = locus_reads(coverage, sample, chroms, centre - arm, centre)
    right = locus_reads(coverage, sample, chroms, centre, centre + arm)
    directionality, balance = direction(left, right, min_reads)
    return {
        **found,
        Layer.plus: strands[0],
        Layer.minus: strands[1],
        Layer.directionality: directionality,
        Layer.balance: balance,
    }


def direction(left: Floats, right: Floats, min_reads: float) -> tuple[Floats, Floats]:
    """Directionality and balance of loci.

    Parameters
    ----------
    left, right
        Reads on plus and minus of the arms left and right of each centre, ``(2, n)``.
    min_reads
        Reads of both arms and strands that a locus needs; NaN below.

    Returns
    -------
    Two arrays ``(n,)``. Directionality is NaN too where no read departs.

    Examples
    --------
    >>> left, right = np.array([[0.0, 5.0], [5.0, 0.0]]), np.array([[5.0, 0.0], [0.0, 5.0]])
    >>> direction(left, right, min_reads=1)  # divergent, convergent
    (array([ 0., nan]), array([1., 0.]))
    """
    out, back = right[0], left[1]
    departing, total = out + back, left.sum(axis=0) + right.sum(axis=0)
    enough = (total >= min_reads) & (total > 0)
    nothing = np.full(len(total), np.nan)
    directionality = np.divide(out - back, departing, out=nothing.copy(), where=enough & (departing > 0))
    share = [np.divide(part, total, out=nothing.copy(), where=enough) for part in (out, back)]
    return directionality, np.sqrt(share[0] / 2) + np.sqrt(share[1] / 2)


def _centres(var: pd.DataFrame) -> npt.NDArray[np.int64]:
    if Var.center in var:
        return var[Var.center].to_numpy(dtype=np.int64)
    return ((var[Var.start] + var[Var.end]) // 2).to_numpy(dtype=np.int64)


def _background_p(
    mdata: MuData,
    coverage: Coverage,
    sample: str,
    var: pd.DataFrame,
    reads: Floats,
    n_background: int,
    rng: np.random.Generator,
) -> Floats:
    """Empirical p of the reads of loci against windows outside loci and mask."""
    columns = [Var.chromosome, Var.start, Var.end]
    blocked = [var[columns].astype({Var.chromosome: object})]
    mask = mdata.uns.get(UNS, {}).get(Uns.erna_mask)
    if mask is not None:
        blocked.append(mask[columns])
    sizes = {chrom: size for chrom, size in coverage.chrom_sizes.items() if coverage.has(sample, chrom)}
    free = free_sequence(sizes, pd.concat(blocked, ignore_index=True))
    width = (var[Var.end] - var[Var.start]).to_numpy()
    return background_p(coverage, sample, width, reads, free, n_background, rng)


def _describe(mdata: MuData, detected: npt.NDArray[np.float32], detected_p: float) -> None:
    """Count detections, and tell how unlikely so many are by chance."""
    var = mdata.mod[Modality.ernas].var
    known = ~np.isnan(detected)
    n = known.sum(axis=0)
    hits = np.where(known, detected, 0).sum(axis=0).astype(np.int32)
    var[Var.n_detected] = hits
    var[Var.consistency_q] = consistency_q(hits, n, detected_p)


def consistency_q(hits: npt.NDArray[np.int32], n: npt.NDArray[np.int_], p: float) -> Floats:
    """q-value (Benjamini–Hochberg) of each locus to be found in ``hits`` of ``n`` biosamples, in each with ``p``."""
    from scipy.stats import binom, false_discovery_control

    if not len(hits):
        return np.empty(0)
    return np.asarray(false_discovery_control(binom.sf(hits - 1, n, p)))


def _nearest_genes(mdata: MuData, rpm: npt.NDArray[np.float32], expression: str | None) -> None:
    """Gene of the nearest TSS, how far it is, and whether both are expressed together."""
    if Modality.genes not in mdata.mod:
        return
    var, genes = mdata.mod[Modality.ernas].var, mdata.mod[Modality.genes].var
    nearest = nearest_tss(var, genes)
    there = nearest >= 0
    sign = np.where((genes[Var.strand] == "-").to_numpy()[nearest], -1.0, 1.0)
    distance = (_centres(var) - genes[Var.tss].to_numpy()[nearest]) * sign
    var[Var.nearest_gene] = pd.Categorical.from_codes(nearest, categories=genes.index).remove_unused_categories()
    var[Var.tss_distance] = np.where(there, distance, np.nan).astype(np.float32)
    correlation = np.full(len(var), np.nan)
    if expression is not None:
        values = np.asarray(mdata.mod[Modality.genes].layers[expression])[:, nearest]
        correlation = np.where(there, spearman(rpm, values), np.nan)
    var[Var.gene_correlation] = correlation.astype(np.float32)


def nearest_tss(var: pd.DataFrame, genes: pd.DataFrame) -> npt.NDArray[np.intp]:
    """Row of the gene with the nearest TSS on the chromosome of each locus; −1: there is none."""
    found = np.full(len(var), -1, dtype=np.intp)
    centre = _centres(var)
    chromosome, of_gene = var[Var.chromosome].astype(object).to_numpy(), genes[Var.chromosome].astype(object).to_numpy()
    tss = genes[Var.tss].to_numpy()
    for chrom in pd.unique(chromosome):
        rows = np.flatnonzero(of_gene == chrom)
        if not len(rows):
            continue
        loci = np.flatnonzero(chromosome == chrom)
        rows = rows[np.argsort(tss[rows], kind="stable")]
        right = np.searchsorted(tss[rows], centre[loci])
        left, right = np.maximum(right - 1, 0), np.minimum(right, len(rows) - 1)
        nearer = np.abs(tss[rows][left] - centre[loci]) <= np.abs(tss[rows][right] - centre[loci])
        found[loci] = rows[np.where(nearer, left, right)]
    return found


def spearman(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> Floats:
    """Spearman correlation of each column over the rows where both are known; NaN with fewer than three, or constant.

    Examples
    --------
    >>> left = np.array([[1.0, 1.0], [2.0, 5.0], [3.0, np.nan], [9.0, 2.0]])
    >>> spearman(left, np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]))
    array([1. , 0.5])
    """
    from scipy.stats import rankdata

    unknown = np.isnan(left) | np.isnan(right)
    ranks = []
    for values in (left, right):
        rank = rankdata(np.where(unknown, np.nan, values), axis=0, nan_policy="omit")
        ranks.append(rank - np.nanmean(rank, axis=0) if len(rank) else rank)
    product = np.nansum(ranks[0] * ranks[1], axis=0)
    scale = np.sqrt(np.nansum(ranks[0] ** 2, axis=0) * np.nansum(ranks[1] ** 2, axis=0))
    enough = ((~unknown).sum(axis=0) >= 3) & (scale > 0)
    return np.divide(product, scale, out=np.full(left.shape[1], np.nan), where=enough)
