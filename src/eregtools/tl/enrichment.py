"""Whether loci hold variants, motifs or conserved bases more often than they would elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, UNS, Modality, Uns, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import object_chrom_sizes, require_modality
from eregtools._settings import settings
from eregtools.genome import get_genome
from eregtools.intervals import Intervals, gap_regions, genome_order, regions_on
from eregtools.locus_signal import free_sequence
from eregtools.ranges import merge_touching, overlaps
from eregtools.tl._covariates import Covariates, signal_of, tss_of
from eregtools.tl._features import Feature, Statistic, read_features
from eregtools.tl._nulls import CircularNull, MatchedNull, Null
from eregtools.tl._precision import draws_of_groups, interval
from eregtools.tl._scores import MIN_CHROMOSOMES
from eregtools.tl.expression import object_genome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome

Match = Literal["gc", "width", "tss_distance", "signal"]
Background = Literal["matched", "circular"]
Alternative = Literal["greater", "less", "two-sided"]

_COLUMNS: Final = (
    "feature",
    "statistic",
    "background",
    "n_loci",
    "n_features",
    "observed",
    "expected",
    "fold",
    "fold_low",
    "fold_high",
    "difference",
    "difference_low",
    "difference_high",
    "z",
    "p",
    "imbalance",
)
_BLOCK, _LEAST_BLOCKS = 1_000_000, 100
_N_BOOTSTRAP = 1_000
_UNBALANCED = 0.1


def enrichment(
    loci: MuData | Intervals,
    features: Any,
    *,
    background: Background = "matched",
    match: Sequence[Match] = ("gc", "width", "tss_distance", "signal"),
    n: int = 1_000,
    statistic: Statistic = "any",
    alternative: Alternative = "greater",
    genome: Genome | str | Path | None = None,
    genes: str | Path | pd.DataFrame | None = None,
    coverage: Coverage | str | Path | None = None,
    sample: str | Sequence[str] | None = None,
    mask: Intervals | None = None,
    level: float = 0.95,
    rng: int | np.random.Generator | None = None,
) -> pd.DataFrame:
    r"""Compare what loci hold with what they would hold elsewhere.

    Signal and nearness to genes alone make loci look enriched for most of what is known of the genome, so by default
    they are compared with positions that are like them in GC, width, distance to the nearest TSS, and signal.

    Parameters
    ----------
    loci
        Object with ``ernas``; or a BED file or table.
    features
        BED, narrowPeak or VCF file, table of intervals (motif hits, for instance), GWAS table with a chromosome and a
        1-based position (``CHR_ID`` and ``CHR_POS``), or bigWig file (phyloP, constraint); or ``{name: one of these}``.
        Variants in linkage count as often as they are listed: give independent ones, or each with its block.
    background
        ``"matched"``: other positions, each locus by one of the 50 that are most like it; ``"circular"``: the loci
        themselves, all of a chromosome moved by one distance around its end, so that their distances stay.
    match
        What matched positions are like in: ``"gc"`` (1 kb around the centre), ``"width"``, ``"tss_distance"``,
        ``"signal"`` (coverage per million and kb, mean of the biosamples).
    n
        Draws of the background.
    statistic
        Of a locus: ``"any"``, whether it overlaps a feature; ``"count"``, how many. Of a bigWig file always the mean
        of its bases that have a value.
    alternative
        ``"greater"``, ``"less"`` or ``"two-sided"``.
    genome
        Genome, its FASTA file or a registered name; ``None``: the one named in the object, where GC is matched. Gives
        runs of N, too, in which there is no background.
    genes
        GTF file, or table with Chromosome and ``tss``; ``None``: genes of the object.
    coverage
        Store of coverage; ``None``: that of the object.
    sample
        Biosamples whose signal is matched; ``None``: all that have coverage.
    mask
        Regions in which there is no background; ``None``: those of :func:`~eregtools.pp.erna_mask` in the object.
        Loci whose centre is masked are left out.
    level
        Probability that intervals hold.
    rng
        Seed or source of randomness; ``None``: ``settings.seed``.

    Returns
    -------
    One row for each feature:

    ``feature``, ``statistic``, ``background``, ``n_loci``, ``n_features``
        What was compared; a bigWig file has no ``n_features``.
    ``observed``, ``expected``
        Mean over the loci, and over the draws of the background.
    ``fold``, ``fold_low``, ``fold_high``
        observed / expected, with the interval of a bootstrap that draws blocks of 1 Mb (of a small genome hundredths);
        NaN where values can be negative.
    ``difference``, ``difference_low``, ``difference_high``
        observed − expected, alike.
    ``z``, ``p``
        Distance from the background in its standard deviations, and (1 + #{draws at least as far}) / (1 + n).
    ``imbalance``
        Largest difference of the means of what is matched, in standard deviations of the loci; above 0.1 the
        background is not like the loci, and a warning says in what. NaN for ``"circular"``.

    Raises
    ------
    KeyError
        The object has no loci, no genes or no coverage where they are needed.
    ValueError
        Something to match by is not given, no locus or feature is on the chromosomes, or an unknown option.

    Notes
    -----
    The circular background is that of regioneR (``circularRandomizeRegions``; Gel et al. 2016), here on the sequence
    that is not masked. p is never 0 (Phipson and Smyth 2010).

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> loci = pd.DataFrame({"Chromosome": "chr1", "Start": [3_000, 9_000], "End": [3_400, 9_400]})
    >>> er.pp.candidate_ernas(mdata, "bed", source=loci)
    >>> variants = pd.DataFrame({"CHR_ID": "1", "CHR_POS": [3_100, 9_200, 15_000]})
    >>> table = er.tl.enrichment(mdata, {"GWAS": variants}, background="circular", n=200)
    >>> table[["feature", "n_loci", "observed"]].values.tolist()
    [['GWAS', 2, 1.0]]
    """
    _check(background, match, n, statistic, alternative, level)
    seed = int(np.random.default_rng(settings.seed if rng is None else rng).integers(2**31))
    reference = _genome(loci, genome, needed=background == "matched" and "gc" in match)
    sizes = _chrom_sizes(loci, reference)
    table, blocked = _unmasked_loci(loci, sizes, _blocked(loci, mask, reference, sizes))
    sizes = {name: size for name, size in sizes.items() if name in set(table[Var.chromosome])}
    found = read_features(features, sizes, statistic)
    null: Null
    balance: dict[str, float] = {}
    if background == "matched":
        covariates = Covariates(
            match=tuple(match),
            genome=reference,
            genes=tss_of(loci, genes) if "tss_distance" in match else None,
            signal=signal_of(loci, coverage, sample) if "signal" in match else None,
        )
        null = MatchedNull.of(table, blocked, sizes, covariates, np.random.default_rng([seed, 0]))
        balance = null.balance
        _report(balance)
    else:
        null = CircularNull(table, free_sequence(sizes, blocked), sizes)
    block = min(_BLOCK, sum(sizes.values()) // _LEAST_BLOCKS + 1)
    group = pd.factorize(table[Var.chromosome] + ":" + (table[Var.center] // block).astype(str))[0]
    rows = []
    with progress_bar(len(found), "enrichment", "features") as bar:
        for feature in found:
            rows.append(_row(feature, table, null, group, n, alternative, level, seed))
            bar.update()
    worst = max((abs(gap) for gap in balance.values()), default=np.nan)
    return pd.DataFrame(rows).assign(background=background, imbalance=worst)[list(_COLUMNS)]


def _check(background: str, match: Sequence[str], n: int, statistic: str, alternative: str, level: float) -> None:
    for what, value, known in (
        ("background", background, get_args(Background)),
        ("statistic", statistic, get_args(Statistic)),
        ("alternative", alternative, get_args(Alternative)),
    ):
        if value not in known:
            raise ValueError(f"{what}={value!r}: expected one of {', '.join(map(repr, known))}")
    if isinstance(match, str) or not set(match) <= set(get_args(Match)):
        raise ValueError(f"match={match!r}: expected some of {', '.join(map(repr, get_args(Match)))}")
    if background == "matched" and not match:
        raise ValueError("match is empty; name what matched positions are like in, or use background='circular'")
    if n < 1 or not 0 < level < 1:
        raise ValueError(f"n={n}, level={level}: expected at least 1 draw and 0 < level < 1")


# ---------------------------------------------------------------------------------------------------------
# Loci, and what is known around them


def _genome(loci: Any, genome: Any, *, needed: bool) -> Genome | None:
    if isinstance(loci, MuData):
        return object_genome(loci, genome) if needed or genome is not None else None
    if needed and genome is None:
        raise ValueError("match has 'gc', which needs genome=; give it, or leave 'gc' out of match")
    return None if genome is None else get_genome(genome)


def _chrom_sizes(loci: Any, genome: Genome | None) -> dict[str, int]:
    if isinstance(loci, MuData):
        return object_chrom_sizes(loci)
    if genome is None:
        raise ValueError("the lengths of the chromosomes are not known; give genome=, or the object that has the loci")
    return genome.chrom_sizes


def _blocked(loci: Any, mask: Intervals | None, genome: Genome | None, sizes: dict[str, int]) -> pd.DataFrame:
    """Regions without background: the mask and, where the genome is given, runs of N."""
    if mask is None and isinstance(loci, MuData):
        mask = loci.uns.get(UNS, {}).get(Uns.erna_mask)
    parts = [] if mask is None else [regions_on(mask, sizes, "mask")]
    if genome is not None:
        parts.append(gap_regions(genome, sizes))
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame({Var.chromosome: np.empty(0, dtype=object), Var.start: [], Var.end: []}).astype(
            dict.fromkeys(INTERVAL[1:], np.int64)
        )
    return merge_touching(pd.concat(parts, ignore_index=True))[0]


def _unmasked_loci(loci: Any, sizes: dict[str, int], blocked: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Loci with their centres, those in blocked regions left out."""
    if isinstance(loci, MuData):
        var = require_modality(loci, Modality.ernas).var
        table = var[list(INTERVAL)].astype({Var.chromosome: object}).reset_index(drop=True)
    else:
        table = regions_on(loci, sizes, "loci", cut=False)
    if table.empty:
        raise ValueError("loci: there is none on the chromosomes of the genome")
    # width and centre describe the interval, so that a match of that width is the same thing elsewhere
    centre = table[Var.start] + (table[Var.end] - table[Var.start]) // 2
    table = genome_order(table.assign(**{Var.center: centre}), sizes)  # draws do not depend on the order of the loci
    at = table[Var.center]
    masked = overlaps(table.assign(**{Var.start: at, Var.end: at + 1}), blocked)
    if masked.any():
        logger.warning("%d of %d loci have a masked centre and are left out", masked.sum(), len(table))
    if masked.all():
        raise ValueError(f"all {len(table)} loci have a masked centre, so there is nothing to compare; look at mask=")
    return table[~masked].reset_index(drop=True), blocked


def _report(balance: Mapping[str, float]) -> None:
    for name, gap in balance.items():
        if abs(gap) > _UNBALANCED:
            logger.warning(
                "loci are unlike their matched background in %s: the means differ by %.2f standard deviations",
                name,
                gap,
            )


# ---------------------------------------------------------------------------------------------------------
# The comparison


def _row(
    feature: Feature,
    loci: pd.DataFrame,
    null: Null,
    group: NDArray[np.int64],
    n: int,
    alternative: str,
    level: float,
    seed: int,
) -> dict[str, Any]:
    """Compare one feature; every feature sees the same draws."""
    values = feature.measure(loci)
    means, total, known = [], np.zeros(len(loci)), np.zeros(len(loci))
    for part in null.drawn(feature.measure, n, np.random.default_rng([seed, 1])):
        finite = np.isfinite(part)
        total += np.where(finite, part, 0).sum(axis=0)
        known += finite.sum(axis=0)
        means.append(_mean(np.where(finite, part, 0).sum(axis=1), finite.sum(axis=1)))
    drawn = np.concatenate(means)
    expected = np.divide(total, known, out=np.full(len(loci), np.nan), where=known > 0)
    observed, centre = _mean_of(values), float(np.nanmean(drawn)) if np.isfinite(drawn).any() else np.nan
    spread = float(np.nanstd(drawn)) if np.isfinite(drawn).any() else np.nan
    positive = feature.track is None or (np.nanmin(values, initial=0) >= 0 and np.nanmin(expected, initial=0) >= 0)
    rng = np.random.default_rng([seed, 2])
    bounds = _bounds(values, expected, group, level, rng, positive=bool(positive))
    return {
        "feature": feature.name,
        "statistic": feature.statistic,
        "n_loci": int(np.isfinite(values).sum()),
        "n_features": feature.n if feature.track is None else np.nan,
        "observed": observed,
        "expected": centre,
        "fold": observed / centre if positive and centre > 0 else np.nan,
        **bounds,
        "difference": observed - centre,
        "z": (observed - centre) / spread if spread > 0 else np.nan,
        "p": _p(observed, drawn, centre, alternative),
    }


def _mean(total: NDArray[np.float64], known: NDArray[Any]) -> NDArray[np.float64]:
    return np.divide(total, known, out=np.full(len(total), np.nan), where=known > 0)


def _mean_of(values: NDArray[np.float64]) -> float:
    finite = np.isfinite(values)
    return float(values[finite].mean()) if finite.any() else np.nan


def _p(observed: float, drawn: NDArray[np.float64], centre: float, alternative: str) -> float:
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn) or not np.isfinite(observed):
        return np.nan
    tolerance = 1e-12 * max(abs(observed), 1.0)  # equal counts come back from means with an error in the last digits
    if alternative == "greater":
        far = drawn >= observed - tolerance
    elif alternative == "less":
        far = drawn <= observed + tolerance
    else:
        far = np.abs(drawn - centre) >= abs(observed - centre) - tolerance
    return float((1 + far.sum()) / (1 + len(drawn)))


def _bounds(
    values: NDArray[np.float64],
    expected: NDArray[np.float64],
    group: NDArray[np.int64],
    level: float,
    rng: np.random.Generator,
    *,
    positive: bool,
) -> dict[str, float]:
    """Intervals of fold and difference when blocks of loci are drawn anew."""
    found = dict.fromkeys(("fold_low", "fold_high", "difference_low", "difference_high"), np.nan)
    if int(group.max(initial=-1)) + 1 < MIN_CHROMOSOMES:
        return found
    draws = draws_of_groups(group, _N_BOOTSTRAP, rng).astype(np.float64)
    means = []
    for of in (values, expected):
        finite = np.isfinite(of)
        total = draws @ np.bincount(group, weights=np.where(finite, of, 0))
        means.append(_mean(total, draws @ np.bincount(group, weights=finite)))
    observed, background = means
    found["difference_low"], found["difference_high"] = interval(observed - background, level)
    if positive:
        ratio = np.divide(observed, background, out=np.full(len(observed), np.nan), where=background > 0)
        found["fold_low"], found["fold_high"] = interval(ratio, level)
    return found
