"""Call enhancer-RNA loci on a scan, with a false discovery rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from eregtools._keys import Layer, Modality, Uns, Var
from eregtools._loci import put_ernas
from eregtools._logging import progress_bar
from eregtools._schema import entry, listed, object_chrom_sizes, require_real
from eregtools._settings import settings
from eregtools.locus_signal import empirical_p
from eregtools.tl._calibration import Calibration, Prior
from eregtools.tl._called_loci import clusters, joined_loci
from eregtools.tl._decoys import Source, shifts
from eregtools.tl._erna_fdr import Pi0, check_alpha
from eregtools.tl._erna_windows import open_coverage
from eregtools.tl._judged_loci import Judge
from eregtools.tl._loci_from_track import CallRules, Mode
from eregtools.tl._models import record_result
from eregtools.tl._scan_store import ErnaScan, recorded_scan
from eregtools.tl.expression import object_genome, pick_samples
from eregtools.tl.quantify import consistency_q

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome

_CONSISTENT_P = 0.05
_LEAST_DISTANCE = 300


def call_ernas(
    mdata: MuData,
    *,
    scan: ErnaScan | str | Path | None = None,
    t_hi: float = 0.5,
    t_lo: float = 0.25,
    merge_gap: int = 64,
    min_width: int = 96,
    max_width: int = 4_000,
    valley: float = 0.2,
    mode: Mode = "hysteresis",
    radius: int = 500,
    fdr: Literal["null", "validation"] | None = "null",
    alpha: float = 0.1,
    pi0: Pi0 = 1.0,
    prior: Prior = None,
    decoys: int = 10_000,
    decoy_distance: tuple[int, int] = (500, 1_500),
    stitch: int | None = None,
    sample: str | Iterable[str] | None = None,
    coverage: Coverage | str | Path | None = None,
    genome: Genome | str | Path | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    rng: int | None = None,
    copy: bool = False,
) -> MuData | None:
    """Call enhancer-RNA loci on the tracks of a scan, as modality ``ernas``; one that is there is replaced.

    Runs of bins become loci, each is scored again in a window around its summit, and those whose q-value is at most
    ``alpha`` are kept; loci of biosamples that overlap are one. Nothing is called in the mask of the scan.

    Parameters
    ----------
    mdata
        The object.
    scan
        Scan or its folder; ``None``: that of the object (:func:`scan_ernas`).
    t_hi, t_lo
        Probability that a locus reaches, and down to which it extends.
    merge_gap
        Loci at most so many bp apart are one, unless masked bins part them.
    min_width
        Shortest locus in bp.
    max_width
        Longer loci, in bp, are split at valleys; 0: all are. Those without a valley stay as they are.
    valley
        How far the probability falls in a valley, measured from the lower of the summits beside it.
    mode
        ``"hysteresis"``: as above. ``"window"``: the highest bins, none within ``radius`` bp of a higher one, ± 200 bp.
    radius
        For mode ``"window"``, in bp.
    fdr
        ``"null"``: q-values from decoys of each biosample, without labels. ``"validation"``: from the labelled loci of
        the object on the validation chromosomes of the model, at 95 % confidence. ``None``: all loci are kept.
    alpha
        Largest q-value of a call.
    pi0
        Share of what is tried that is no locus; 1 is safe. ``"estimate"``: estimated from scores. For ``"null"``.
    prior
        Share of called loci that are true without any threshold, for ``"validation"``, and to which probabilities are
        shifted; ``"estimate"``: from the scores; ``None``: that of the labels, and of the training.
    decoys
        Windows of each biosample that are read out of register; at most four times those of the scan.
    decoy_distance
        Least and largest distance of their sequence from their coverage, in bp.
    stitch
        Loci at most so many bp apart are one cluster, such as 12,500 (super-enhancers); ``None``: no clusters.
    sample
        Biosamples; ``None``: all of the scan.
    coverage, genome
        Where they were moved; ``None``: those of the object.
    device, batch_size
        Of no consequence for the result.
    rng
        Seed of the decoys; ``None``: ``settings.seed``.
    copy
        Return a new object.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["ernas"].var``
        Chromosome, Start, End, center (position of the highest summit), score (log odds of the window around it, the
        highest of biosamples), qvalue (the least), n_detected and consistency_q (biosamples with an empirical p below
        0.05, and how likely so many are by chance; with several biosamples and ``"null"`` only), cluster with
        ``stitch``. Names are ``eRNA:chr1:1000-2000``.
    ``mdata["ernas"].layers["candidate"]``
        1 where the locus is called in the biosample, otherwise 0; also ``X``.
    ``mdata["ernas"].layers["probability"]``
        That of the window around the center in each biosample; NaN without a scan.
    ``mdata["ernas"].layers["qvalue"]``
        NaN where it is not called.
    ``mdata.uns["eregtools"]["erna_calls"]``
        Rules, and for each biosample the number of calls, their estimated FDR, decoys and windows.

    Raises
    ------
    KeyError
        The object records no scan, or it lacks a biosample; there are no labels for ``"validation"``.
    ValueError
        ``alpha`` is finer than the decoys can tell, a rule makes no sense, nothing is called, or scan, coverage, genome
        and object do not belong together.

    Notes
    -----
    A decoy is a window of the scan whose real coverage is read with real sequence 0.5 to 1.5 kb away, outside the mask,
    drawn alike from all deciles of signal and balances of strands; loci are called and scored in it as in the scan. So
    FDR(t) = π₀ · ((#decoys ≥ t + 1) / (#decoys + 1)) / (#loci ≥ t / #windows), and a q-value is the least of it over
    the thresholds that a locus passes. Decoys break the alignment of coverage and sequence, not their identity: pairing
    centred windows anew would align one in ten again. True loci among the decoys make it conservative; what coverage
    alone looks like a locus (read-through, exons) is for the mask. Consistency: BRAINcode (Dong et al. 2018).

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
    >>> er.tl.scan_ernas(mdata, "ERNAformer-small-simulated", folder=world.folder / "scan", genome=files["genome"])
    >>> er.tl.call_ernas(mdata, genome=files["genome"], decoys=200, alpha=0.2)
    >>> bool((mdata["ernas"].var["qvalue"] <= 0.2).all()), {"qvalue", "probability"} <= set(mdata["ernas"].layers)
    (True, True)
    >>> er.io.write_ernas(mdata, world.folder / "loci.bed")
    """
    from eregtools.models.device import pick_device

    rules = CallRules(t_hi, t_lo, merge_gap, min_width, max_width, valley, mode, radius)
    _check_arguments(fdr, alpha, decoys, decoy_distance, stitch)
    require_real(mdata)
    opened = recorded_scan(mdata, scan)
    samples = _scanned_samples(mdata, opened, sample)
    source = _source(mdata, opened, samples, coverage, genome, pick_device(device), batch_size)
    judge = Judge(mdata, source, rules, fdr, alpha, pi0, prior, decoys, decoy_distance)
    streams = np.random.default_rng(settings.seed if rng is None else rng).spawn(len(opened.samples))
    called: dict[str, pd.DataFrame] = {}
    with progress_bar(len(samples), "Calling loci", "biosamples") as bar:
        for name in samples:
            called[name] = judge(name, streams[opened.samples.index(name)])
            bar.update()
    loci, layers = joined_loci(mdata, opened, called)
    if loci.empty:
        raise ValueError(
            f"no locus is called with t_hi={t_hi:g} and alpha={alpha:g} in {listed(samples)}; raise alpha or "
            "decoys=, or look at the tracks of the scan"
        )
    scores = _scores_everywhere(mdata, source, loci, called)
    layers[Layer.probability] = _probabilities(source, loci, scores, prior)
    if len(samples) > 1 and fdr == "null":
        _consistency(mdata, source, loci, scores, samples, decoys, decoy_distance, streams)
    if stitch is not None:
        loci[Var.cluster] = clusters(loci, stitch)

    mdata = mdata.copy() if copy else mdata
    put_ernas(mdata, loci, layers)
    _record(mdata, opened, samples, rules, judge, stitch)
    return mdata if copy else None


def _check_arguments(fdr: str | None, alpha: float, decoys: int, distance: tuple[int, int], stitch: int | None) -> None:
    if fdr not in ("null", "validation", None):
        raise ValueError(f"fdr is {fdr!r}; expected 'null', 'validation' or None")
    if fdr == "null":
        check_alpha(alpha, decoys)
    elif not 0 < alpha <= 1:
        raise ValueError(f"alpha is {alpha}; expected a share above 0")
    if not _LEAST_DISTANCE <= distance[0] <= distance[1]:
        raise ValueError(
            f"decoy_distance is {distance}; expected least and largest distance, at least {_LEAST_DISTANCE} bp: nearer "
            "ones are still in register"
        )
    if stitch is not None and stitch < 0:
        raise ValueError(f"stitch is {stitch}; expected at least 0 bp, or None")


def _scanned_samples(mdata: MuData, scan: ErnaScan, sample: str | Iterable[str] | None) -> list[str]:
    names = (
        [name for name in scan.samples if name in mdata.obs_names] if sample is None else pick_samples(mdata, sample)
    )
    for name in names:
        scan.about_sample(name)
    if not names:
        raise KeyError(f"{scan.path} holds {listed(scan.samples)}, of which none is in the object")
    return names


def _source(
    mdata: MuData,
    scan: ErnaScan,
    samples: list[str],
    coverage: Coverage | str | Path | None,
    genome: Genome | str | Path | None,
    device: torch.device,
    batch_size: int | None,
) -> Source:
    """Scan with the coverage and the genome that it was made from."""
    sizes = object_chrom_sizes(mdata)
    for chrom, size in scan.chrom_sizes.items():
        if chrom in sizes and sizes[chrom] != size:
            raise ValueError(
                f"{chrom} has {size:,} bases in the scan and {sizes[chrom]:,} in the object: the tracks are of another "
                "assembly"
            )
    if not set(scan.chrom_sizes) & set(sizes):
        raise ValueError(
            f"the scan has {listed(scan.chrom_sizes, 3)}, the object {listed(sizes, 3)}, none in common: the tracks "
            "are of another assembly"
        )
    store = open_coverage(mdata, coverage, samples)
    if store.fingerprint != scan.about["coverage"]:
        raise ValueError(
            f"{store.path} is not the coverage that was scanned into {scan.path}: it was written or audited again; "
            "scan again"
        )
    return Source(scan, object_genome(mdata, genome), store, device, batch_size)


def _scores_everywhere(
    mdata: MuData, source: Source, loci: pd.DataFrame, called: Mapping[str, pd.DataFrame]
) -> NDArray[np.float64]:
    """Scores of the windows around the centers in each biosample of the scan ``(n_samples, n_loci)``."""
    scores = np.full((mdata.n_obs, len(loci)), np.nan)
    for name in called:
        row = int(mdata.obs_names.get_loc(name))
        scores[row] = loci[Var.score] if len(called) == 1 else source.scores(loci, name)
    return scores


def _probabilities(
    source: Source, loci: pd.DataFrame, scores: NDArray[np.float64], prior: Prior
) -> NDArray[np.float64]:
    """Probabilities, under the prior where one is given."""
    out = np.full(scores.shape, np.nan)
    for name in source.scan.samples:
        for chromosomes, network, _ in source.networks(name):
            columns = np.flatnonzero(loci[Var.chromosome].isin(chromosomes))
            calibration = Calibration(1.0, Calibration.of(network.provenance).prior)
            for row in range(len(scores)):
                known = columns[np.isfinite(scores[row, columns])]
                if len(known):
                    out[row, known] = calibration.probabilities(scores[row, known].astype(np.float32), prior)
    return out


def _consistency(
    mdata: MuData,
    source: Source,
    loci: pd.DataFrame,
    scores: NDArray[np.float64],
    samples: list[str],
    n: int,
    distance: tuple[int, int],
    streams: list[np.random.Generator],
) -> None:
    """In how many biosamples loci score above the same loci out of register, and how likely that is by chance."""
    hits = np.zeros(len(loci), dtype=np.int32)
    tested = np.zeros(len(loci), dtype=np.int64)
    for name in samples:
        rng = streams[source.scan.samples.index(name)]
        rows = rng.permutation(len(loci))[:n]
        shift, there = shifts(source, loci.iloc[rows], distance, rng)
        null = source.scores(loci.iloc[rows[there]].reset_index(drop=True), name, shift[there])
        score = scores[int(mdata.obs_names.get_loc(name))]
        known = np.isfinite(score)
        p = empirical_p(score[known], null[np.isfinite(null)])
        hits[known] += p < _CONSISTENT_P
        tested += known
    loci[Var.n_detected] = hits
    loci[Var.consistency_q] = consistency_q(hits, tested, _CONSISTENT_P)


def _record(
    mdata: MuData, scan: ErnaScan, samples: list[str], rules: CallRules, judge: Judge, stitch: int | None
) -> None:
    rows = [row for name in samples for row in scan.about_sample(name)["rows"]]
    record_result(mdata, f"{Modality.ernas}:{Layer.probability}", rows, [str(name) for name in mdata.obs_names])
    entry(mdata)[Uns.erna_calls] = {
        "scan": scan.fingerprint,
        **asdict(rules),
        "fdr": judge.fdr or "none",
        "alpha": judge.alpha,
        "stitch": -1 if stitch is None else stitch,
        "samples": pd.DataFrame(judge.found).set_index("sample"),
    }
