"""The demonstrations that the command line runs: from files to predictions, figures and one object on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools import datasets, io, pl, pp, tl
from eregtools._keys import INTERVAL, Layer, Modality, Var
from eregtools._logging import logger
from eregtools.datasets.demo import DEMO_CONFIG, DEMO_FOLD, DEMO_TEST, simulated_object
from eregtools.genome import Genome
from eregtools.models import EPInformerConfig, EPInformerSeqConfig, zoo

if TYPE_CHECKING:
    from mudata import MuData

    from eregtools.models import EPInformer, EPInformerSeq

_WEIGHTS = "EPInformer-PE-Activity/K562/CAGE"
_FIGURE_FORMATS = ("png", "pdf")


def run_k562(folder: str | Path, out: str | Path, *, gene: str | None = None) -> pd.DataFrame:
    """Apply the published K562 weights to raw K562 inputs; write figures and the object.

    Parameters
    ----------
    folder
        Folder with the files that :func:`eregtools.datasets.k562` takes, at any depth. Published weights in it are
        used; otherwise they are fetched.
    out
        Folder to write ``k562.h5mu`` and the figures to.
    gene
        Gene to draw; ``None``: the one with the most links among those that miss none and are expressed.

    Returns
    -------
    Correlation with measured RNA of the prediction and of log1p(promoter activity) alone, on the genes that lose no
    element to missing sequence and on all.
    """
    out = writable_folder(out)
    paths = datasets.find_k562(folder)
    genome = Genome(paths["genome"], name="hg38")
    mdata = datasets.k562(folder, genome=genome)
    model = _local_weights(Path(folder))
    tl.predict_expression(mdata, model, assay="CAGE", genome=genome)
    tl.attention(mdata, model, assay="CAGE", genome=genome)

    table = _correlations(mdata)
    drawn = gene or _example_gene(mdata)
    axes = pl.locus(mdata, drawn, links=Layer.attention, show=False)
    _save(axes, out / "locus")
    _save(pl.expression_scatter(mdata, assay="CAGE", observed="RNA", show=False), out / "expression")
    io.write(mdata, out / "k562.h5mu")
    logger.info("wrote %s", ", ".join(sorted(str(path) for path in out.iterdir())))
    return table


def run_simulated(
    out: str | Path,
    *,
    seed: int = 0,
    config: datasets.SimulationConfig = DEMO_CONFIG,
    n_layers: int = 1,
    max_epochs: int = 24,
) -> pd.DataFrame:
    """Simulate a genome, build the object from its files, train a compact EPInformer, and judge it on a chromosome.

    Parameters
    ----------
    out
        Folder to write to: ``files/`` (the simulation), the figures, the model and ``simulated.h5mu``.
    seed
        Seed of the simulation and of training.
    config
        Parameters of the simulation: at least eight chromosomes.
    n_layers
        Layers of attention of the model.
    max_epochs
        Epochs of the expression model; the enhancer predictor that its tower begins as takes ten at most.

    Returns
    -------
    On the held-out chromosome: Pearson's r with measured expression of the model, of the same model on shuffled
    sequence, of attention over features alone, of the baselines, and the noise ceiling; average precision on the
    planted links of the change without each enhancer, of attention, ABC, distance and the nearest gene, the share of
    planted links, and the ceiling.
    """
    out = writable_folder(out)
    simulation = datasets.simulate(out / "files", seed=seed, config=config, overwrite=True)
    mdata = simulated_object(simulation)
    _, model = trained_on_simulation(mdata, out / "model", seed=seed, n_layers=n_layers, max_epochs=max_epochs)
    models = {DEMO_FOLD: model}
    featured = tl.train_expression(mdata, assay="RNA", fold=DEMO_FOLD, use_sequence=False, rng=seed)
    tl.baseline_expression(mdata, assay="RNA")
    tl.predict_expression(mdata, models, assay="RNA")
    tl.abc(mdata)
    tl.attention(mdata, models, assay="RNA")
    tl.perturb(mdata, models, assay="RNA")

    expression = _judged_expression(mdata, models, {DEMO_FOLD: featured})
    held_out = pp.subset(mdata, genes=_genes_on(mdata, DEMO_TEST))
    pairs = _planted_pairs(held_out, simulation)
    links = tl.evaluate_links(held_out, pairs, scores=list(_LINK_SCORES), bins=(), n_bootstrap=0)
    table = _summary(expression, links, simulation)

    gene = _planted_gene(held_out, simulation)
    _save(pl.locus(held_out, gene, links=Layer.attention, show=False), out / "locus")
    _save(pl.perturbation(held_out, gene, show=False), out / "perturbation")
    _save(pl.expression_scatter(held_out, assay="RNA", show=False), out / "expression")
    _save(pl.performance_by_fold(expression, show=False), out / "performance")
    _save(pl.pr_curve(held_out, pairs, scores=list(_LINK_SCORES), labels=_LINK_SCORES, show=False), out / "links")
    _save(pl.training(out / "model", show=False), out / "training")
    io.write(mdata, out / "simulated.h5mu")
    logger.info("wrote %s", ", ".join(sorted(str(path) for path in out.iterdir())))
    return table


_TOWER = (64, 32, 32, 32, 48)


def trained_on_simulation(
    mdata: MuData, folder: Path, *, seed: int, n_layers: int = 1, max_epochs: int = 24
) -> tuple[EPInformerSeq, EPInformer]:
    """Train a compact enhancer predictor, and a compact EPInformer whose tower begins as its own; into ``folder``."""
    encoder = tl.train_activity(
        mdata,
        fold=DEMO_FOLD,
        config=EPInformerSeqConfig(window=512, hidden=64, tower_channels=_TOWER),
        learning_rate=2e-3,
        max_epochs=min(10, max_epochs),
        patience=3,
        rng=seed,
    )
    model = tl.train_expression(
        mdata,
        assay="RNA",
        fold=DEMO_FOLD,
        encoder=encoder,
        config=EPInformerConfig(window=512, embedding_dim=32, n_layers=n_layers, tower_channels=_TOWER),
        reverse_complement=True,
        max_shift=16,
        learning_rate=2e-3,
        max_epochs=max_epochs,
        folder=folder,
        overwrite=True,
        rng=seed,
    )
    return encoder, model


_EXPRESSION = {
    "model": "EPInformer",
    "shuffled": "EPInformer, shuffled sequence",
    "features": "attention without sequence",
    "trees": "trees without sequence",
    "promoter_mrna": "trees, promoter activity and mRNA",
    "promoter": "promoter activity",
    "nearest": "enhancer activity",
}
_LINK_SCORES = {"-perturbation": "change without enhancer", "attention": "attention", "abc": "ABC"}


def _judged_expression(mdata: MuData, models: Any, featured: Any) -> pd.DataFrame:
    """Scores of the model, and beside the baselines those of attention over features alone."""
    table = tl.evaluate_expression(mdata, models, assay="RNA", n_bootstrap=0)
    plain = tl.evaluate_expression(mdata, featured, assay="RNA", n_bootstrap=0)
    plain = plain[plain["predictor"] == "model"].assign(predictor="features")
    return pd.concat([table, plain], ignore_index=True)


def _planted_pairs(mdata: MuData, simulation: datasets.Simulation) -> pd.DataFrame:
    """Links of the object as labelled pairs, whether each is planted."""
    links, enhancers = mdata[Modality.links], mdata[Modality.enhancers]
    truth = simulation.links.set_index(simulation.links["enhancer"] + "|" + simulation.links["gene"])["share"]
    pairs = enhancers.var.loc[links.var[Var.enhancer], list(INTERVAL)].reset_index(drop=True)
    pairs[Var.gene] = links.var[Var.gene].to_numpy()
    pairs["positive"] = (truth.reindex(links.var_names) >= simulation.config.min_share).to_numpy()
    return pairs


def _summary(expression: pd.DataFrame, links: pd.DataFrame, simulation: datasets.Simulation) -> pd.DataFrame:
    metrics = simulation.metrics[simulation.config.samples[0]]
    r = expression[expression["fold"] == "pooled"].set_index("predictor")["pearson"]
    precision = links.set_index("predictor")["average_precision"]
    scores = {
        "expression, Pearson r": {name: r[key] for key, name in _EXPRESSION.items()}
        | {"noise ceiling (all genes)": metrics["noise_ceiling"]},
        "links, average precision": {name: precision[key] for key, name in _LINK_SCORES.items()}
        | {
            "distance": precision["distance"],
            "nearest gene": precision["nearest_gene"],
            "share of planted links": links["prevalence"].iloc[0],
            "ceiling (all links)": metrics["ceiling_auprc"],
        },
    }
    rows = [(task, name, float(value)) for task, values in scores.items() for name, value in values.items()]
    return pd.DataFrame(rows, columns=["task", "score", DEMO_TEST]).round(3).set_index(["task", "score"])


def _genes_on(mdata: MuData, chromosome: str) -> list[str]:
    table = mdata[Modality.genes].var
    return table.index[(table[Var.chromosome] == chromosome).to_numpy()].tolist()


def _planted_gene(mdata: MuData, simulation: datasets.Simulation) -> str:
    """Gene with the most planted links."""
    genes = mdata[Modality.genes].var_names
    planted = simulation.links[simulation.links["share"] >= simulation.config.min_share]["gene"].value_counts()
    return str(planted.reindex(genes, fill_value=0).idxmax())


def writable_folder(path: str | Path) -> Path:
    """Folder to write results to, made if need be.

    Raises
    ------
    PermissionError
        Nothing can be written there.
    NotADirectoryError
        There is a file of that name.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; name a folder to write to")
    probe = path / ".eregtools-write-test"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PermissionError(f"cannot write to {path} ({error.strerror}); name another folder") from None
    return path


def _local_weights(folder: Path) -> dict[int, Path] | str:
    """Find published weights below the folder, one a fold, and check them; their name unless all are there."""
    found = {c.fold: next(iter(sorted(folder.rglob(c.file))), None) for c in zoo.find(_WEIGHTS)}
    if None in found.values():
        return _WEIGHTS
    return {c.fold: zoo.checked(Path(str(found[c.fold])), c) for c in zoo.find(_WEIGHTS)}


def _correlations(mdata: MuData) -> pd.DataFrame:
    genes = mdata[Modality.genes]
    observed = np.asarray(genes.layers["RNA"][0])
    scores = {
        "EPInformer, published CAGE weights": np.asarray(genes.layers["CAGE_pred"][0]),
        "log1p(promoter activity) alone": np.log1p(np.asarray(genes.layers[Layer.promoter_activity][0])),
    }
    complete = genes.var["n_missing"].to_numpy() == 0
    rows = []
    for name, score in scores.items():
        row: dict[str, Any] = {"score": name}
        for where, mask in (("no link missing", complete), ("all", np.ones_like(complete))):
            usable = mask & np.isfinite(score) & np.isfinite(observed)
            r = np.corrcoef(score[usable], observed[usable])[0, 1] if usable.sum() > 2 else np.nan
            row[f"r ({where}, n = {usable.sum()})"] = round(float(r), 3)
        rows.append(row)
    return pd.DataFrame(rows).set_index("score")


def _example_gene(mdata: MuData) -> str:
    genes = mdata[Modality.genes]
    counts = mdata[Modality.links].var[Var.gene].value_counts().reindex(genes.var_names, fill_value=0).to_numpy()
    expressed = np.nan_to_num(np.asarray(genes.layers["RNA"][0]), nan=-np.inf) > 0
    eligible = expressed & (genes.var["n_missing"].to_numpy() == 0) & (counts <= 30)
    if not eligible.any():
        eligible = np.ones(genes.n_vars, dtype=bool)
    return str(genes.var_names[int(np.argmax(np.where(eligible, counts, -1)))])


def _save(axes: Any, stem: Path) -> None:
    from matplotlib import pyplot as plt

    figure = (axes[0] if isinstance(axes, list) else axes).figure
    for suffix in _FIGURE_FORMATS:
        figure.savefig(stem.with_suffix(f".{suffix}"), dpi=300)
    plt.close(figure)
