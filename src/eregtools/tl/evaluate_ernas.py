"""Predicted enhancer RNAs judged by known ones, beside the rules of the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, UNS, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import object_chrom_sizes
from eregtools._settings import settings
from eregtools.coverage import Coverage
from eregtools.genome import Genome
from eregtools.intervals import Intervals, regions_on
from eregtools.tl._calibration import calibration_error
from eregtools.tl._covariates import tss_of
from eregtools.tl._erna_baselines import CALLED_FROM, METHODS
from eregtools.tl._erna_bins import bin_labels, bin_scores, genome_bins, track_scores
from eregtools.tl._erna_elements import Meetings, rates, rates_at, thresholds_of, usable_negatives
from eregtools.tl._erna_judged import Judged, coverage_of, has_both_kinds, reference_of
from eregtools.tl._erna_truth import ALL, known_loci, scored_loci
from eregtools.tl._labelled_pairs import bare
from eregtools.tl._precision import draws_of_groups
from eregtools.tl._predictions import leakage_of
from eregtools.tl._scores import MIN_CHROMOSOMES, Bootstrap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Mode = Literal["window", "element", "bin"]


def evaluate_ernas(
    data: MuData | pd.DataFrame,
    positives: Intervals | None = None,
    negatives: Intervals | None = None,
    *,
    mode: Mode = "window",
    scores: str | Iterable[str] | None = None,
    tracks: Mapping[str, str | Path] | None = None,
    sample: str | None = None,
    min_overlap: float = 0.5,
    max_distance: float = 200,
    threshold: float | Mapping[str, float] = 0.5,
    n_thresholds: int = 20,
    min_negative_width: int = 250,
    chromosomes: Iterable[str] | None = None,
    coverage: Coverage | str | Path | None = None,
    genome: Genome | str | Path | None = None,
    genes: str | Path | pd.DataFrame | None = None,
    mask: Intervals | None = None,
    allow_leakage: bool = False,
    n_bootstrap: int = 1_000,
    level: float = 0.95,
    rng: int | np.random.Generator | None = None,
) -> pd.DataFrame:
    r"""Judge scores of loci, calls, or tracks by known enhancer RNAs.

    The rules of FANTOM5 (``fantom``), the balance of CAGEfightR (``balance``) and a logistic model of GC, reads per
    million and directionality (``logistic``), which learnt from other chromosomes, are always judged beside them.

    Parameters
    ----------
    data
        Object with ``ernas``, or a table of loci with their scores as columns (Chromosome, Start, End; ``label`` and
        ``stratum`` as an object has them).
    positives, negatives
        Known loci: BED file or table. For ``mode="window"`` ``None``: the labels of the object or table; negatives
        ``None``: every locus that is not near a positive.
    mode
        ``"window"``: loci are ranked, positives against all negatives and against those of each stratum.
        ``"element"``: calls find elements, as in the evaluation of PINTS. ``"bin"``: bins of 200 bp of whole
        chromosomes are ranked.
    scores
        Layers or columns of the loci, higher = likelier; a minus before a name turns its sign (``"-qvalue"``).
        ``None``: ``probability`` and ``score``, where they are.
    tracks
        Of ``mode="bin"``: ``{name: bigWig file}`` to be judged instead of, or with ``scores`` beside, the loci.
    sample
        Biosample; default the only one.
    min_overlap
        Share of a call that lies in a positive; of a bin that positives cover.
    max_distance
        Of ``mode="window"``: bases between the centres of a locus and a known one.
    threshold
        Of ``mode="window"``: score from which a locus is called, one for all or ``{score: number}``.
    n_thresholds
        Of ``mode="element"``: scores at which rates are told.
    min_negative_width
        Of ``mode="element"``: least width of a negative.
    chromosomes
        Chromosomes that are judged; ``None``: those of the positives.
    coverage, genome
        Reads and sequence for the baselines; ``None``: those of the object.
    genes
        Of ``mode="element"``: GTF file or table with ``tss``, by which negatives are left out; ``None``: genes of the
        object.
    mask
        Of ``mode="bin"``: bins that are not judged; ``None``: the mask of the object.
    allow_leakage
        Judge a layer, too, that was predicted by weights which saw its chromosomes; its rows say so.
    n_bootstrap
        Draws of chromosomes; fewer than three chromosomes give no intervals.
    level
        Probability that intervals hold.
    rng
        Seed or source of randomness; ``None``: ``settings.seed``.

    Returns
    -------
    One row for each predictor (scores first, then the baselines), and stratum or threshold.

    ``sample``, ``predictor``, ``leakage``
        Whether the weights saw what they predict: ``no``, ``yes`` or ``unknown``.
    ``stratum``
        ``"all"``, and the strata of the negatives; of windows.
    ``n``, ``n_positive``
        Loci, elements or bins that every predictor scores.
    ``auroc``, ``auprc``
        Areas, with ``_low`` and ``_high``; ``delta_auroc`` and ``delta_auprc`` less those of the best baseline,
        ``reference``. Known elements are ranked by their best call, those without one last.
    ``auroc_within``
        Area in which only loci of one chromosome are compared with each other, with interval and difference as above:
        models of different folds need not score alike.
    ``threshold``, ``n_found``, ``n_false``, ``recall``, ``specificity``, ``precision``, ``f1``, ``f_pu``
        Of what scores at least the threshold. ``f_pu`` is recall² / P(called): where negatives are only unlabelled it
        ranks predictors as F1 would with certain ones. Of elements with intervals.
    ``ece``, ``brier``
        Of windows and all strata: calibration error over ten groups, and mean squared error, of probabilities.
    ``center_distance``, ``within_50``, ``within_100``, ``within_200``, ``within_400``
        Of elements: median bases between the centres of positives and their best calls, and share of positives found
        that near.
    ``best_f1``
        Of elements: whether F1 is highest there. It was chosen on the elements that it is told of.

    Raises
    ------
    KeyError
        A score, label or biosample is not there.
    ValueError
        There are not both kinds, or an option that the mode does not have is out of its range; leakage.

    Notes
    -----
    Element protocol: PINTS (Yao et al. 2022): a positive is found where at least half of a call lies in it and the call
    touches no negative; negatives are at least 250 bp wide, have reads on both strands, and are 500 bp from any TSS.
    Bins: ENCODE-DREAM; those that positives cover in part are not judged. A pooled area against empty windows says
    little: look at the strata.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> import eregtools as er
    >>> simulation = er.datasets.simulate_erna("confounders", n=100, seed=1)
    >>> loci = pd.DataFrame({"Chromosome": [f"chr{k % 4 + 1}" for k in range(200)], "Start": 0, "End": 400})
    >>> loci = loci.assign(label=simulation.labels, stratum=simulation.strata, bayes=simulation.bayes()["fused"])
    >>> table = er.tl.evaluate_ernas(loci, scores="bayes", n_bootstrap=0)
    >>> table.loc[table["predictor"] == "bayes", ["stratum", "n", "auroc"]].head(2).round(2).values.tolist()
    [['all', 200, 0.99], ['silent', 125, 0.98]]
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode={mode!r}: expected one of {', '.join(map(repr, get_args(Mode)))}")
    if not 0 < min_overlap <= 1 or n_thresholds < 1:
        raise ValueError(f"min_overlap={min_overlap}, n_thresholds={n_thresholds}: expected 0 < share ≤ 1, at least 1")
    if tracks and mode != "bin":
        raise ValueError("tracks= is for mode='bin'; loci and calls have scores")
    seed = np.random.default_rng(settings.seed if rng is None else rng).integers(2**31)
    bootstrap = Bootstrap(n_bootstrap, level, int(seed))
    loci = scored_loci(data, scores if scores is not None or not tracks else (), sample)
    if taken := [name for name in (*loci.scores, *(tracks or ())) if name in METHODS]:
        raise ValueError(f"{', '.join(taken)}: the baselines have these names and are always judged; rename the score")
    reference = reference_of(data, genome)
    sizes = None if reference is None else reference.chrom_sizes
    known = known_loci(positives, data, "positives", sizes)
    judged = Judged(
        loci=loci,
        positives=known,
        negatives=known_loci(negatives, data, "negatives", sizes),
        coverage=coverage_of(data, coverage, loci.sample),
        genome=reference,
        bootstrap=bootstrap,
    ).on(chromosomes)
    if mode == "window":
        table = _windows(judged, max_distance, threshold)
    elif mode == "element":
        tss = None if genes is None and not _has_genes(data) else tss_of(data, genes)
        table = _elements(judged, min_overlap, n_thresholds, min_negative_width, tss)
    else:
        table = _bins(judged, data, tracks or {}, min_overlap, mask, sizes)
    table.insert(0, "sample", loci.sample)
    leakage = {name: _leakage(data, bare(name), loci.sample, allow_leakage) for name in loci.scores}
    leakage |= dict.fromkeys(METHODS, "no")
    table["leakage"] = [leakage.get(name, "unknown") for name in table["predictor"]]
    return table


# ---------------------------------------------------------------------------------------------------------
# Windows


def _windows(judged: Judged, max_distance: float, threshold: float | Mapping[str, float]) -> pd.DataFrame:
    loci = judged.loci
    if judged.positives is not None:
        loci = loci.labelled_by(judged.positives, judged.negatives, max_distance)
    elif judged.negatives is not None:
        raise ValueError("negatives= goes with positives=; without both the labels of the loci are taken")
    if not np.isfinite(loci.label).any():
        raise KeyError("the loci have no labels; give positives=, or run er.pp.label_ernas and er.pp.matched_ernas")
    scores = {**loci.scores, **judged.baselines(loci.table, loci.label)}
    parts = []
    for stratum, rows in loci.strata().items():
        label = loci.label[rows] == 1
        some = {name: score[rows] for name, score in scores.items()}
        if stratum != ALL and not has_both_kinds(label, some):
            logger.warning("stratum %s is left out: its loci that have all scores are of one kind", stratum)
            continue
        areas = judged.areas(label, some, loci.chromosome[rows], "loci")
        called = [_called(label, some[name], _threshold(name, threshold), name) for name in areas["predictor"]]
        table = pd.concat([areas.reset_index(drop=True), pd.DataFrame(called)], axis=1)
        if stratum != ALL:
            table[["ece", "brier"]] = np.nan
        table.insert(1, "stratum", stratum)
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _threshold(name: str, threshold: float | Mapping[str, float]) -> float:
    if isinstance(threshold, Mapping) and name in threshold:
        return float(threshold[name])
    if name in CALLED_FROM:
        return CALLED_FROM[name]
    return float(threshold.get(name, np.nan)) if isinstance(threshold, Mapping) else float(threshold)


def _called(label: NDArray[np.bool_], score: Floats, threshold: float, name: str) -> dict[str, float]:
    """Rates at a threshold, and how well probabilities mean what they say."""
    known = np.isfinite(score)
    label, score = label[known], score[known]
    called = score >= threshold
    counts = [(called & label).sum(), label.sum(), (called & ~label).sum(), (~label).sum()]
    row: dict[str, float] = {"threshold": threshold}
    told = len(score) > 0 and np.isfinite(threshold)
    for rate, value in rates(*(np.array([count], dtype=np.float64) for count in counts)).items():
        row[rate] = float(value[0]) if told else np.nan
    probability = len(score) > 0 and name not in ("fantom", "balance") and bool(((score >= 0) & (score <= 1)).all())
    row["ece"] = calibration_error(score, label.astype(np.float32)) if probability else np.nan
    row["brier"] = float(((score - label) ** 2).mean()) if probability else np.nan
    return row


# ---------------------------------------------------------------------------------------------------------
# Elements


def _elements(
    judged: Judged, min_overlap: float, n_thresholds: int, min_width: int, tss: pd.DataFrame | None
) -> pd.DataFrame:
    if judged.positives is None or judged.negatives is None:
        raise ValueError("mode='element' needs positives= and negatives=; mode='window' judges by labels")
    loci, positives = judged.loci, judged.positives
    negatives = usable_negatives(judged.negatives, judged.coverage, loci.sample, tss, min_width)
    meetings = Meetings.of(loci.table, positives, negatives, min_overlap)
    label = np.zeros(len(loci.table))
    label[np.unique(meetings.call)] = 1
    scores = {**loci.scores, **judged.baselines(loci.table, label)}
    best = {name: meetings.best(score) for name, score in scores.items() if np.isfinite(score).any()}

    of_elements = np.concatenate([positives[Var.chromosome].to_numpy(str), negatives[Var.chromosome].to_numpy(str)])
    chromosomes, code = np.unique(of_elements, return_inverse=True)
    group = code[: len(positives)], code[len(positives) :]
    ranked = {name: _ranked(best[name]) if name in best else np.full(len(code), np.nan) for name in scores}
    areas = judged.areas(np.arange(len(code)) < len(positives), ranked, of_elements, "elements")
    draws = None
    if len(chromosomes) >= MIN_CHROMOSOMES and judged.bootstrap.n_draws:
        draws = draws_of_groups(code, judged.bootstrap.n_draws, np.random.default_rng(judged.bootstrap.seed))
    parts = []
    for _, row in areas.iterrows():
        name = row["predictor"]
        steps = thresholds_of(np.concatenate(best[name][:2]), n_thresholds) if name in best else ()
        rows = [rates_at(step, best[name], group, draws, judged.bootstrap.level) for step in steps] or [{}]
        table = pd.DataFrame(rows)
        highest = table["f1"].max() if "f1" in table else np.nan
        table["best_f1"] = table["f1"] == highest if "f1" in table else False
        parts.append(pd.DataFrame([row] * len(table)).reset_index(drop=True).join(table))
    return pd.concat(parts, ignore_index=True)


def _ranked(best: tuple[Floats, Floats, Floats]) -> Floats:
    """Scores of all elements; those without a call below every one that has."""
    score = np.concatenate(best[:2])
    finite = score[np.isfinite(score)]
    return np.where(np.isfinite(score), score, finite.min() - 1 if len(finite) else 0.0)


# ---------------------------------------------------------------------------------------------------------
# Bins


def _bins(
    judged: Judged,
    data: Any,
    tracks: Mapping[str, str | Path],
    min_overlap: float,
    mask: Intervals | None,
    sizes: Mapping[str, int] | None,
) -> pd.DataFrame:
    if judged.positives is None:
        raise ValueError("mode='bin' needs positives=, the known loci by which the bins of the genome are labelled")
    if isinstance(data, MuData):
        sizes = object_chrom_sizes(data)
        mask = data.uns.get(UNS, {}).get(Uns.erna_mask) if mask is None else mask
    if sizes is None:
        raise ValueError("mode='bin' needs the lengths of the chromosomes; give genome=")
    bins = genome_bins(sizes, judged.positives[Var.chromosome].astype(str).unique())
    empty = pd.DataFrame({name: [] for name in INTERVAL})
    masked = empty if mask is None else regions_on(mask, sizes, "mask")
    label = bin_labels(bins, judged.positives, judged.negatives, masked, min_overlap)
    known = np.isfinite(label)
    bins, label = bins[known].reset_index(drop=True), label[known]
    logger.info("%d bins are judged, %d of them positive", len(bins), int(label.sum()))
    scores = {**track_scores(bins, tracks), **bin_scores(bins, judged.loci), **judged.baselines(bins, label)}
    return judged.areas(label == 1, scores, bins[Var.chromosome].to_numpy(str), "bins").reset_index(drop=True)


def _has_genes(data: Any) -> bool:
    return isinstance(data, MuData) and Modality.genes in data.mod


def _leakage(data: Any, layer: str, sample: str, allow_leakage: bool) -> str:
    if not isinstance(data, MuData) or layer not in data[Modality.ernas].layers:
        return "unknown"
    return leakage_of(data, Modality.ernas, layer, [sample], allow_leakage=allow_leakage)[0]
