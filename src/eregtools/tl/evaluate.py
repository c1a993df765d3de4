"""Predictions judged beside what needs no model: baselines, and the same model on shuffled sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger
from eregtools._schema import require_layer
from eregtools._settings import settings
from eregtools.sampling import fold_that_tests
from eregtools.tl._composition import composition_features, composition_regressor
from eregtools.tl._predictions import Predictions, of_layers, of_model
from eregtools.tl._scores import Bootstrap, Compared, score_table
from eregtools.tl._training import fold_sets
from eregtools.tl.activity import PSEUDOCOUNT, ActivitySettings, predicted_activity, require_elements, window_width
from eregtools.tl.baseline import METHODS, lacking, method_features, out_of_fold, regressor
from eregtools.tl.expression import RunSettings, object_genome, pick_samples, require_genes
from eregtools.tl.predict_expression import predicted_expression

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

MODEL: Final = "model"
SHUFFLED_MODEL: Final = "shuffled"
"""The same model on shuffled sequence."""

_WIDTH: Final = 256
"""Window of the published models of activity."""


def evaluate_expression(
    mdata: MuData,
    model: Any = None,
    *,
    assay: str,
    key: str | None = None,
    shuffled_key: str | None = None,
    scheme: str | None = None,
    sample: str | Iterable[str] | None = None,
    genome: Genome | str | Path | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    n_bootstrap: int = 1_000,
    level: float = 0.95,
    rng: int | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
) -> pd.DataFrame:
    """Judge predicted expression, out of fold, beside every baseline and the same model on shuffled sequence.

    On K562 RNA, trees on nine numbers of a gene without any sequence reach a pooled r of 0.871 and the published model
    0.863. A correlation by itself says little: what counts is what the model adds to the best baseline, and what it
    loses when the order of bases is destroyed.

    Parameters
    ----------
    mdata
        Object with ``links``, expression and folds (:func:`eregtools.pp.split`).
    model
        As in :func:`eregtools.tl.predict_expression`; it predicts here, from sequence as it is and shuffled, each gene
        by the fold that never saw its chromosome. ``None``: judge a layer that is there.
    assay
        Layer of ``genes`` with measured expression.
    key
        Layer of predictions, without ``model``; ``None``: ``f"{assay}_pred"``.
    shuffled_key
        Layer of what the same weights predict from shuffled sequence (``er.tl.predict_expression(…, shuffle=True)``),
        without ``model``; ``None``: ``f"{assay}_shuffled_pred"`` where it is there and of the same weights. Otherwise
        the rows ``shuffled`` are NaN, with one warning.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``. The fold of a gene is the one that tests its
        chromosome; baselines are fitted on its training and validation chromosomes.
    sample
        Biosamples, each judged by itself; ``None``: all that have measured and predicted values.
    genome, device, batch_size, allow_cross_cell
        As in :func:`eregtools.tl.predict_expression`, for ``model``.
    n_bootstrap
        Draws of the bootstrap; 0: no intervals.
    level
        Probability that intervals hold.
    rng
        Seed of shuffling, trees and bootstrap; ``None``: ``settings.seed``.
    allow_leakage
        Judge a layer although its weights saw chromosomes that they predict; the rows are marked. Baselines stay out
        of fold.

    Returns
    -------
    A row for each biosample, predictor and fold. All predictors of a biosample are judged on the same genes: those
    that each of them predicts.

    ``sample``, ``predictor``, ``fold``
        Predictors are ``"model"``, ``"shuffled"`` and the baselines ``"trees"``, ``"promoter"``, ``"promoter_mrna"``
        and ``"nearest"`` (:func:`eregtools.tl.baseline_expression`); one for which the object lacks something has
        rows of NaN. Folds are ``"pooled"`` (all of them together) and their numbers.
    ``n``
        Genes.
    ``pearson``, ``pearson_low``, ``pearson_high``
        Pearson's r, with the percentile interval of a bootstrap that draws chromosomes, because neighbouring genes
        are not independent. On fewer than three chromosomes there is none (NaN), as in most single folds.
    ``spearman``, ``r2``
        Spearman's ρ (without an interval); R² = 1 − Σ(observed − predicted)² / Σ(observed − mean)², which is below
        zero where the mean would predict better.
    ``slope``, ``intercept``
        Of observed on predicted values, by least squares; 1 and 0 are perfectly calibrated.
    ``delta``, ``delta_low``, ``delta_high``, ``reference``
        Over all folds, Pearson's r less that of the best baseline, with the interval of the same draws; which
        baseline that is (by r over all folds).
    ``leakage``
        Whether the predictor saw the chromosomes that it predicts: ``"no"``, ``"yes"`` or ``"unknown"``.

    Raises
    ------
    KeyError
        Expression, folds or the layer of predictions are missing, or no weights for the biosample.
    ValueError
        ``model`` and a layer are both given; the weights of the layer saw what they predict; fewer than two genes
        have all predictions; expression is constant.

    Notes
    -----
    The best baseline is chosen on the data that it is judged on, so ``delta`` errs on the side of the baseline.
    Intervals say how results vary over chromosomes; not over trainings, nor over ways to shuffle.

    See Also
    --------
    eregtools.pl.performance_by_fold : draw the table.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> table = er.tl.evaluate_expression(mdata, "EPInformer-small-simulated", assay="RNA", n_bootstrap=0)
    >>> table.loc[table["fold"] == "pooled", ["predictor", "n", "leakage"]]
           predictor   n  leakage
    0          model  25  unknown
    1       shuffled  25  unknown
    2          trees  25       no
    3       promoter  25       no
    4  promoter_mrna  25       no
    5        nearest  25       no
    """
    genes = require_genes(mdata)
    bootstrap = Bootstrap(n_bootstrap, level, settings.seed if rng is None else rng)
    _check_source(model, key, shuffled_key)
    measured = require_layer(genes, assay, f'er.pp.add_expression(mdata, …, assay="{assay}")')
    samples = pick_samples(mdata, sample)
    chromosome = genes.var[Var.chromosome].astype(str).to_numpy()
    sets, _ = fold_sets(mdata, scheme, chromosome)
    if model is None:
        predictions = of_layers(
            mdata,
            Modality.genes,
            key or Layer.expression_pred(assay),
            shuffled_key,
            samples,
            default_shuffled=Layer.shuffled_pred(assay),
            made_by=f"er.tl.predict_expression(mdata, …, assay={assay!r}",
            allow_leakage=allow_leakage,
        )
    else:
        run = RunSettings(assay, "auto", genome, device, batch_size, allow_cross_cell, allow_leakage=False)
        values, record = predicted_expression(mdata, model, samples, run)
        shuffled, _ = predicted_expression(mdata, model, samples, replace(run, shuffled=bootstrap.seed))
        predictions = of_model(values, shuffled, record, samples)

    def baselines(name: str, observed: NDArray[np.float64], folds: list[str]) -> dict[str, NDArray[np.float64]]:
        found: dict[str, NDArray[np.float64]] = {method: np.full(len(observed), np.nan) for method in METHODS}
        for method in METHODS:
            if missing := lacking(mdata, method):
                logger.warning("%s: baseline %r is NaN: %s", name, method, missing)
                continue
            features = method_features(mdata, name, method)
            found[method], _ = out_of_fold(features, observed, sets[folds], regressor(method, bootstrap.seed))
        return found

    observed = measured[mdata.obs_names.get_indexer(samples)].astype(np.float64)
    judged = _Judged("genes", samples, observed, sets, chromosome, predictions)
    return judged.table(baselines, bootstrap, every_sample=sample is not None)


def evaluate_activity(
    mdata: MuData,
    model: Any = None,
    *,
    key: str | None = None,
    shuffled_key: str | None = None,
    target: str = Layer.activity,
    window: Literal["center", "summit", "tile"] = "center",
    width: int | None = None,
    scheme: str | None = None,
    sample: str | Iterable[str] | None = None,
    genome: Genome | str | Path | None = None,
    device: str | torch.device | None = None,
    n_bootstrap: int = 1_000,
    level: float = 0.95,
    rng: int | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
) -> pd.DataFrame:
    """Judge predicted activity of enhancers, out of fold, beside composition and the same model on shuffled sequence.

    Parameters
    ----------
    mdata
        Object with ``enhancers``, measured activity and folds (:func:`eregtools.pp.split`).
    model
        As in :func:`eregtools.tl.predict_activity`; it predicts here, from sequence as it is and shuffled. ``None``:
        judge a layer that is there.
    key
        Layer of predictions, log2(0.1 + activity), without ``model``; ``None``: ``"activity_pred"``.
    shuffled_key
        Layer of what the same weights predict from shuffled sequence (``er.tl.predict_activity(…, shuffle=True)``),
        without ``model``; ``None``: ``"activity_shuffled_pred"`` where it is there and of the same weights. Otherwise
        the rows ``shuffled`` are NaN, with one warning.
    target
        Layer of measured activity on the linear scale; predictions are compared with log2(0.1 + value).
    window
        Sequence that model and baselines read, as in :func:`eregtools.tl.predict_activity`.
    width
        Length of the baselines' windows in bp; ``None``: the model's, and 256 for a layer.
    scheme, sample, n_bootstrap, level, rng, allow_leakage
        As in :func:`evaluate_expression`.
    genome, device, allow_cross_cell
        As in :func:`eregtools.tl.predict_activity`; the baselines read the genome too.

    Returns
    -------
    Table as of :func:`evaluate_expression`, of the elements that are candidates of the biosample. Its baselines,
    fitted on the training and validation chromosomes of each fold, are ``"gc_cpg"``: least squares on the shares of
    G + C and of CpG; and ``"kmer"``: ridge regression on the shares of the 136 words of four bases, both strands
    together, with the penalty that predicts left-out elements of the fitted chromosomes best.

    Raises
    ------
    KeyError
        Activity, folds or the layer of predictions are missing, or no weights for the biosample; the genome is not
        known; ``window="summit"`` without summits.
    ValueError
        As :func:`evaluate_expression`.

    See Also
    --------
    eregtools.pl.performance_by_fold : draw the table.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> table = er.tl.evaluate_activity(mdata, "EPInformer-seq-small-simulated", n_bootstrap=0)
    >>> table.loc[table["fold"] == "pooled", ["predictor", "n", "leakage"]]
      predictor   n  leakage
    0     model  20  unknown
    1  shuffled  20  unknown
    2    gc_cpg  20       no
    3      kmer  20       no
    """
    enhancers = require_elements(mdata, window)
    bootstrap = Bootstrap(n_bootstrap, level, settings.seed if rng is None else rng)
    _check_source(model, key, shuffled_key)
    measured = require_layer(enhancers, target, "er.pp.activity")
    samples = pick_samples(mdata, sample)
    chromosome = enhancers.var[Var.chromosome].astype(str).to_numpy()
    sets, _ = fold_sets(mdata, scheme, chromosome)
    sequence = object_genome(mdata, genome)
    if model is None:
        predictions = of_layers(
            mdata,
            Modality.enhancers,
            key or Layer.activity_pred,
            shuffled_key,
            samples,
            default_shuffled=Layer.shuffled_pred(Layer.activity),
            made_by="er.tl.predict_activity(mdata, …",
            allow_leakage=allow_leakage,
        )
    else:
        run = ActivitySettings(window, "auto", sequence, device, allow_cross_cell, allow_leakage=False)
        width = width or window_width(mdata, model, samples, run)
        values, record = predicted_activity(mdata, model, samples, run)
        shuffled, _ = predicted_activity(mdata, model, samples, replace(run, shuffled=bootstrap.seed))
        predictions = of_model(values, shuffled, record, samples)

    rows = mdata.obs_names.get_indexer(samples)
    candidate = np.asarray(enhancers.layers[Layer.candidate])[rows] > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.where(candidate, np.log2(PSEUDOCOUNT + measured[rows].astype(np.float64)), np.nan)
    features = composition_features(enhancers.var, candidate.any(axis=0), sequence, width or _WIDTH, window)

    def baselines(_: str, observed: NDArray[np.float64], folds: list[str]) -> dict[str, NDArray[np.float64]]:
        return {
            method: out_of_fold(values, observed, sets[folds], composition_regressor(method))[0]
            for method, values in features.items()
        }

    judged = _Judged("elements", samples, observed, sets, chromosome, predictions)
    return judged.table(baselines, bootstrap, every_sample=sample is not None)


def _check_source(model: Any, key: str | None, shuffled_key: str | None) -> None:
    if model is not None and (key is not None or shuffled_key is not None):
        raise ValueError(
            f"model= predicts anew, and key={key!r}, shuffled_key={shuffled_key!r} name layers that are there; pass "
            "one or the other"
        )


@dataclass(frozen=True)
class _Judged:
    """Elements of some biosamples, measured and predicted by a model."""

    what: str
    samples: list[str]
    observed: NDArray[np.float64]
    """``(n_samples, n)``."""
    sets: pd.DataFrame
    chromosome: NDArray[np.str_]
    predictions: Predictions

    def table(
        self,
        baselines: Callable[[str, NDArray[np.float64], list[str]], dict[str, NDArray[np.float64]]],
        bootstrap: Bootstrap,
        *,
        every_sample: bool,
    ) -> pd.DataFrame:
        """Scores of each biosample; without ``every_sample``, of those that have measured and predicted values.

        Baselines are made for a biosample, its measured values, and the folds that the model predicts.
        """
        fold = fold_that_tests(self.sets).to_numpy(dtype=np.int64)
        both = np.isfinite(self.observed) & np.isfinite(self.predictions.model) & (fold >= 0)
        lacking = [name for name, n in zip(self.samples, both.sum(axis=1), strict=True) if not n]
        if lacking and (every_sample or len(lacking) == len(self.samples)):
            raise ValueError(
                f"{', '.join(lacking)}: none of the {self.what} on test chromosomes has a measured value and a "
                "prediction; predict with weights that leave the test chromosomes out, or choose another sample="
            )
        if lacking:
            logger.warning("%s: nothing is both measured and predicted; left out", ", ".join(lacking))
        tables = []
        for row, name in enumerate(self.samples):
            if name in lacking:
                continue
            observed, leakage = self.observed[row], self.predictions.leakage[row]
            folds = [column for column in self.sets.columns if (fold[both[row]] == int(column)).any()]
            if len(folds) < len(self.sets.columns):
                logger.info("%s: judged in the folds that have predictions: %s", name, ", ".join(folds))
            simple = baselines(name, observed, folds)
            predicted = {MODEL: self.predictions.model[row], SHUFFLED_MODEL: self.predictions.shuffled[row], **simple}
            judged = np.where(np.isin(fold, [int(column) for column in folds]), fold, -1)
            compared = Compared(name, self.what, observed, predicted, judged, self.chromosome)
            tables.append(score_table(compared, list(simple), bootstrap, {MODEL: leakage, SHUFFLED_MODEL: leakage}))
        return pd.concat(tables, ignore_index=True)
