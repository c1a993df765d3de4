"""Activity learnt from 2,082 real windows: from random weights, from published weights, and those as they are.

K562, 256 bp each, training on some chromosomes and testing on others. The weights that a fold starts from never saw
the chromosomes that it tests or validates. They did see the windows it trains on, among 350,000: going on from them
can adapt them to these windows, and shows them nothing new. Needs EREGTOOLS_SHARED, the folder of real data files.

``python -m benchmarks golden_windows rates`` compares learning rates instead.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from mudata import MuData

import eregtools as er
from benchmarks._timing import report
from eregtools.io.tables import read_table
from eregtools.models import zoo
from eregtools.sampling import SETS, fold_that_tests
from eregtools.tl._scores import POOLED, Bootstrap, Compared, score_table

SAMPLE = "K562"
SCHEME = "epinformer12"
ENCODERS = "EPInformer-seq/K562/activity"
LEAST = 30
"""Windows without which a fold neither chooses an epoch nor says anything."""

PUBLISHED, TUNED, SCRATCH = "published", "fine-tuned", "from scratch"
REGIME = "published"
SETTINGS: dict[str, dict[str, Any]] = {
    TUNED: {"learning_rate": 1e-5, "max_epochs": 2},
    SCRATCH: {"learning_rate": 2e-4, "max_epochs": 5},
}
"""How the two are trained, both in the regime of the published weights; the rates are the best of :func:`rates`."""

RATES_FOLD = 9
"""Fold on whose validation chromosomes the rates were chosen: no fold that is judged tests them."""

RATES = {TUNED: (1e-4, 3e-5, 1e-5), SCRATCH: (1e-3, 5e-4, 2e-4, 1e-4)}


class Fold(NamedTuple):
    """A fold, and its windows and chromosomes by set."""

    number: int
    n: dict[str, int]
    chromosomes: dict[str, list[str]]


def run(what: Literal["models", "rates"] = "models") -> dict[str, Any]:
    torch.set_num_threads(1)
    return rates() if what == "rates" else models_compared()


def models_compared() -> dict[str, Any]:
    """Train and judge the models of every fold that has the windows for it."""
    mdata = golden_windows()
    folds = [fold for fold in all_folds(mdata) if min(fold.n["test"], fold.n["valid"]) >= LEAST]
    models = {PUBLISHED: {fold.number: encoder(fold.number) for fold in folds}}
    for start in SETTINGS:
        models[start] = {fold.number: trained(mdata, fold.number, start, **SETTINGS[start]) for fold in folds}
    tables = []
    for start, fold_models in models.items():
        for shuffle in (False, True):
            er.tl.predict_activity(mdata, fold_models, key_added=layer(start, shuffle), shuffle=shuffle, device="cpu")
        tables.append(er.tl.evaluate_activity(mdata, key=layer(start), shuffled_key=layer(start, True)))
    against = {reference: differences(mdata, models, reference) for reference in (PUBLISHED, SCRATCH)}
    return report(
        "golden_windows",
        list(table_rows(dict(zip(models, tables, strict=True)), against)),
        **{"train, valid, test windows of the folds": of_folds(folds)},
        left_out=of_folds(fold for fold in all_folds(mdata) if fold not in folds),
        epochs={start: {n: epoch(model) for n, model in models[start].items()} for start in SETTINGS},
        regime=REGIME,
        settings=SETTINGS,
        cpu_seconds=round(time.process_time()),
        threads=1,
    )


def rates() -> dict[str, Any]:
    """Compare learning rates on the validation chromosomes of a fold that is not judged."""
    mdata = golden_windows()
    rows = []
    for start, choices in RATES.items():
        for rate in choices:
            model = trained(mdata, RATES_FOLD, start, **(SETTINGS[start] | {"learning_rate": rate}))
            scores = model.provenance["training"]
            found = {name: scores[name] for name in ("epochs", "best_epoch", "val_loss", "val_r")}
            rows.append({"start": start, "learning rate": rate, **found})
    fold = next(fold for fold in all_folds(mdata) if fold.number == RATES_FOLD)
    return report("golden_windows_rates", rows, fold=of_folds([fold]), cpu_seconds=round(time.process_time()))


def golden_windows() -> MuData:
    """Build the object: the windows with their activity, and the folds of the published weights."""
    data = Path(os.environ["EREGTOOLS_SHARED"], "data")
    os.environ.setdefault(zoo.WEIGHTS_VARIABLE, str(data / "epinformer" / "checkpoints"))
    windows = read_table(data / "epinformer" / "golden_encoder_windows.tsv.gz")
    windows = windows.drop_duplicates(["chrom", "start", "end"])
    windows.index = pd.Index(windows["chrom"] + ":" + windows["start"].astype(str) + "-" + windows["end"].astype(str))
    er.register_genome("hg38", er.Genome(data / "genome" / "hg38.partial.fa.gz", name="hg38"))
    mdata = er.pp.assemble(
        genes=pd.DataFrame({"chrom": ["chr1"], "tss": [1_000_000]}, index=["none"]),
        enhancers=windows[["chrom", "start", "end"]],
        samples=SAMPLE,
        genome="hg38",
    )
    # the least value, log2(0.1), is written with six digits
    activity = np.maximum(np.exp2(windows["actual_log2"]) - 0.1, 0)
    er.pp.add_signal(mdata, {SAMPLE: activity}, assay="activity")
    er.pp.split(mdata, SCHEME)
    return mdata


def all_folds(mdata: MuData) -> list[Fold]:
    table = mdata.uns["eregtools"]["folds"][SCHEME].astype(object)
    windows = mdata["enhancers"].var["Chromosome"].astype(str).value_counts()
    table = table.loc[windows.index]
    folds = []
    for name in table.columns:
        chromosomes = {which: sorted(table.index[table[name] == which]) for which in SETS}
        folds.append(Fold(int(name), {which: int(windows[c].sum()) for which, c in chromosomes.items()}, chromosomes))
    return folds


def encoder(fold: int) -> str:
    return f"{ENCODERS}/fold{fold}"


def trained(mdata: MuData, fold: int, start: str, **settings: Any) -> Any:
    begin = encoder(fold) if start == TUNED else None
    with er.settings.override(progress=False):
        return er.tl.train_activity(mdata, fold=fold, encoder=begin, regime=REGIME, device="cpu", **settings)


def layer(start: str, shuffled: bool = False) -> str:
    return f"{start}, shuffled" if shuffled else start


def epoch(model: Any) -> int:
    return int(model.provenance["training"]["best_epoch"])


def differences(mdata: MuData, starts: Iterable[str], reference: str) -> pd.DataFrame:
    """Differences of r over all folds from that of one way to start, by the same draws of chromosomes."""
    enhancers = mdata["enhancers"]
    chromosome = enhancers.var["Chromosome"].astype(str)
    fold = chromosome.map(fold_that_tests(mdata.uns["eregtools"]["folds"][SCHEME])).to_numpy(dtype=np.int64)
    compared = Compared(
        SAMPLE,
        "windows",
        np.log2(0.1 + enhancers.layers["activity"][0].astype(np.float64)),
        {start: enhancers.layers[start][0].astype(np.float64) for start in starts},
        fold,
        chromosome.to_numpy(dtype=str),
    )
    table = score_table(compared, [reference], Bootstrap(1_000, 0.95, er.settings.seed), {})
    return table[table["fold"] == POOLED].set_index("predictor")


def table_rows(tables: dict[str, pd.DataFrame], against: dict[str, pd.DataFrame]) -> Iterator[dict[str, Any]]:
    """One row a predictor; the baselines, the same beside each model, once."""
    for start, table in tables.items():
        for predictor, scores in table.groupby("predictor", sort=False):
            is_model = predictor in ("model", "shuffled")
            if not is_model and start != PUBLISHED:
                continue
            name = {"model": start, "shuffled": layer(start, True)}.get(str(predictor), str(predictor))
            pooled = scores[scores["fold"] == POOLED].iloc[0]
            row = {
                "predictor": name,
                "n": int(pooled["n"]),
                "r": round(pooled["pearson"], 3),
                "95 %": f"{pooled['pearson_low']:.3f}–{pooled['pearson_high']:.3f}",
                "Spearman": round(pooled["spearman"], 3),
                "R²": round(pooled["r2"], 3),
                f"− {pooled['reference']}": difference(pooled),
            }
            for reference, found in against.items():
                row[f"− {reference}"] = difference(found.loc[name]) if predictor == "model" else ""
            of_fold = scores[scores["fold"] != POOLED].set_index("fold")["pearson"]
            yield row | {f"fold {fold}": round(r, 3) for fold, r in of_fold.items()} | {"leakage": pooled["leakage"]}


def difference(row: pd.Series) -> str:
    return f"{row['delta']:+.3f} ({row['delta_low']:+.3f} to {row['delta_high']:+.3f})"


def of_folds(folds: Iterable[Fold]) -> str:
    """Say how many windows each fold has, and on which chromosomes it validates and tests."""
    return "; ".join(
        f"{fold.number}: {' / '.join(str(fold.n[which]) for which in SETS)} "
        f"(valid {' '.join(fold.chromosomes['valid'])}, test {' '.join(fold.chromosomes['test'])})"
        for fold in folds
    )
