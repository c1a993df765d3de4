"""Links judged by fine-mapped variants that change the expression of a gene (eQTLs)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._settings import settings
from eregtools.io._pair_columns import to_float
from eregtools.tl._eqtl import Eqtl, Floats, Highest, Integers, Overlaps, scored_links
from eregtools.tl._labelled_pairs import DISTANCE
from eregtools.tl._precision import draws_of_groups, interval
from eregtools.tl.evaluate_links import distance_bins

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

Cuts = float | Sequence[float]


def evaluate_eqtl(
    data: MuData | pd.DataFrame,
    variants: pd.DataFrame,
    background: pd.DataFrame,
    *,
    scores: str | Sequence[str] | None = None,
    sample: str | None = None,
    thresholds: Mapping[str, Cuts] | None = None,
    n_links: int | Sequence[int] | None = None,
    min_pip: float | None = 0.5,
    bins: Sequence[float] = (0, 10_000, 20_000, 50_000, 100_000),
    n_bootstrap: int = 1_000,
    level: float = 0.95,
    rng: int | np.random.Generator | None = None,
) -> pd.DataFrame:
    """Judge links by variants that change the expression of a gene: whether enhancers hold them, and those of the gene.

    The nearest links, as many as each score predicts, are always judged beside the scores.

    Parameters
    ----------
    data
        The object, whose links have the scores; or a table of links of one biosample: Chromosome, Start and End of the
        enhancer, the gene, its ``tss``, and the scores as columns.
    variants
        Fine-mapped variants, one row for each variant and gene: Chromosome, Start, End (0-based half-open), the gene
        (``gene``, ``gene_id``), and ``pip``. ``Ref`` and ``Alt`` tell variants of one place apart.
    background
        Variants to compare with, such as all common ones: Chromosome, Start, End.
    scores
        Layers of links, or columns of the table; higher = stronger, as in :func:`eregtools.tl.evaluate_links`. Default:
        those of ``thresholds``, else the object's known scores.
    sample
        Biosample of the object whose links are judged; default the only one.
    thresholds
        ``{score: threshold}`` or ``{score: [thresholds]}``: links with at least this score are predicted.
    n_links
        Predict this many links, the strongest of each score; with equal scores at the end, all of them. Several
        numbers give as many points of a curve.
    min_pip
        Least posterior probability of a variant; ``None`` takes all.
    bins
        Edges of the bins of the distance from variant to the gene's TSS in bp.
    n_bootstrap
        Draws of the bootstrap; 0 gives no intervals.
    level
        Probability that intervals hold.
    rng
        Seed or source of randomness; ``None``: ``settings.seed``.

    Returns
    -------
    One row for each predictor, cut and distance bin, the scores first, then ``distance``:

    ``predictor``, ``threshold``, ``n_links``, ``distance_bin``
        Links predicted are those with at least the threshold. The bin is of variant and gene.
    ``n_variants``, ``n_in_enhancers``, ``n_linked``
        Variants, those in an enhancer of any predicted link, and those in an enhancer linked to one of their genes.
    ``n_background``, ``n_background_in_enhancers``
        The same of the background, which has no gene and is therefore not in bins.
    ``enrichment``, ``enrichment_low``, ``enrichment_high``
        (``n_in_enhancers`` / ``n_variants``) / (``n_background_in_enhancers`` / ``n_background``).
    ``recall``, ``recall_low``, ``recall_high``
        ``n_linked`` / ``n_variants``.

    Intervals are of a bootstrap that draws groups of variants that share a gene, and the background from the binomial
    distribution. What cannot be told is NaN; the enrichment is infinite where no background variant is in an enhancer.

    Raises
    ------
    KeyError
        A layer or biosample is not in the object.
    ValueError
        Not one of ``thresholds`` and ``n_links`` is given, a column is missing, no variant has ``min_pip``, or
        variants and links have no chromosome or no gene in common.

    Notes
    -----
    Definitions of the ENCODE-rE2G benchmark (Gschwind et al. 2023), which takes distal noncoding variants with a PIP
    of at least 0.5 and genes that are expressed: leave other variants out beforehand. A variant whose gene has no link
    counts as not found. Near bins are richer in enhancers than the background, so compare predictors within a bin.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> links = pd.DataFrame(
    ...     {"Chromosome": "chr1", "Start": [0, 900], "End": [100, 1_000], "gene": "A", "tss": 5_000, "abc": [0.1, 0.3]}
    ... )
    >>> variants = pd.DataFrame({"Chromosome": "chr1", "Start": [10, 950], "gene": "A", "pip": [0.9, 0.8]})
    >>> variants["End"] = variants["Start"] + 1
    >>> background = pd.DataFrame({"Chromosome": "chr1", "Start": range(0, 2_000, 10)})
    >>> background["End"] = background["Start"] + 1
    >>> table = er.tl.evaluate_eqtl(links, variants, background, thresholds={"abc": 0.2}, n_bootstrap=0)
    >>> table.loc[table["distance_bin"] == "all", ["predictor", "n_links", "enrichment", "recall"]]
      predictor  n_links  enrichment  recall
    0       abc        1        10.0     0.5
    5  distance        1        10.0     0.5
    """
    if (thresholds is None) == (n_links is None):
        raise ValueError("give either thresholds={score: threshold} or n_links=, the number of links to predict")
    if not 0 < level < 1 or n_bootstrap < 0:
        raise ValueError(f"level={level}, n_bootstrap={n_bootstrap}: expected 0 < level < 1 and at least 0 draws")
    named = list(thresholds) if scores is None and thresholds is not None else scores
    links, names, genes = scored_links(data, named, sample)
    if thresholds is not None and (absent := [name for name in names if name not in thresholds]):
        raise ValueError(f"thresholds= has none for {', '.join(absent)}")
    eqtl = Eqtl.of(variants, links, genes, min_pip)
    overlaps = Overlaps.of(eqtl, background, links)
    found = {name: overlaps.highest(to_float(links[name], "links")) for name in [*names, DISTANCE]}
    cuts = {name: list(_cuts(found[name].score, name, thresholds, n_links)) for name in names}
    as_many = sorted({number for of_score in cuts.values() for _, number in of_score if number})
    cuts[DISTANCE] = [_strongest(found[DISTANCE].score, number) for number in as_many]
    random = np.random.default_rng(settings.seed if rng is None else rng)
    draws = draws_of_groups(eqtl.group, n_bootstrap, random)
    chance = random.random(n_bootstrap)
    return pd.DataFrame(
        [
            {"predictor": name, "threshold": threshold, "n_links": number, **row}
            for name, of_score in cuts.items()
            for threshold, number in of_score
            for row in _evaluate(eqtl, found[name], threshold, bins, draws, chance, level)
        ]
    )


def _cuts(
    score: Floats, name: str, thresholds: Mapping[str, Cuts] | None, n_links: int | Sequence[int] | None
) -> Iterator[tuple[float, int]]:
    """Thresholds and the number of links that have at least this score."""
    if thresholds is not None:
        for threshold in np.atleast_1d(np.asarray(thresholds[name], dtype=np.float64)):
            yield float(threshold), int((score >= threshold).sum())
    else:
        for number in np.atleast_1d(np.asarray(n_links)):
            if number < 1 or number != int(number):
                raise ValueError(f"n_links={n_links}: expected whole numbers from 1 on")
            yield _strongest(score, int(number))


def _strongest(score: Floats, number: int) -> tuple[float, int]:
    """Score of the last of so many strongest links, and how many links have it or more."""
    known = np.sort(score[~np.isnan(score)])
    if number > len(known):
        raise ValueError(f"{number:,} links were asked for and {len(known):,} have a score; ask for fewer")
    threshold = float(known[-number])
    return threshold, int((known >= threshold).sum())


def _evaluate(
    eqtl: Eqtl,
    found: Highest,
    threshold: float,
    bins: Sequence[float],
    draws: Integers,
    chance: Floats,
    level: float,
) -> Iterator[dict[str, Any]]:
    """Rows of one predictor at one threshold, one for each bin."""
    from scipy.stats import binom

    n, n_background = len(eqtl.group), len(found.background)
    in_background = int((found.background >= threshold).sum())
    again_in_background = binom.ppf(chance, n_background, in_background / n_background)
    for name, rows in distance_bins(eqtl.distance, bins).items():
        linked = rows[found.own_gene[rows] >= threshold]
        present = np.isin(np.arange(n), eqtl.variant[rows])
        of_variants: dict[str, NDArray[np.bool_]] = {
            "n_variants": present,
            "n_in_enhancers": present & (found.any_gene >= threshold),
            "n_linked": np.isin(np.arange(n), eqtl.variant[linked]),
        }
        counts = {key: int(which.sum()) for key, which in of_variants.items()}
        counts |= {"n_background": n_background, "n_background_in_enhancers": in_background}
        again: dict[str, Any] = {
            key: draws @ np.bincount(eqtl.group, weights=which) for key, which in of_variants.items()
        }
        again |= {"n_background": n_background, "n_background_in_enhancers": again_in_background}
        row: dict[str, Any] = {"distance_bin": name, **counts}
        for measure, drawn in _measures(again).items():
            row[measure] = float(_measures(counts)[measure])
            row[f"{measure}_low"], row[f"{measure}_high"] = interval(drawn, level)
        yield row


def _measures(counts: Mapping[str, Any]) -> dict[str, Any]:
    """Enrichment and recall; 0 / 0 is NaN."""
    n_variants = np.asarray(counts["n_variants"], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        background = np.asarray(counts["n_background_in_enhancers"]) / counts["n_background"]
        return {
            "enrichment": counts["n_in_enhancers"] / n_variants / background,
            "recall": counts["n_linked"] / n_variants,
        }
