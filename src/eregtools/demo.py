"""The demonstrations that the command line runs: from files to predictions, figures and one object on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools import datasets, io, pl, pp, tl
from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger
from eregtools.datasets.demo import DEMO_CONFIG, DEMO_FOLD, DEMO_TEST, simulated_object
from eregtools.genome import Genome
from eregtools.models import EPInformerConfig, EPInformerSeqConfig, zoo

if TYPE_CHECKING:
    from mudata import MuData

_WEIGHTS = "EPInformer-PE-Activity/K562/CAGE"
_FIGURE_FORMATS = ("png", "pdf")
MAX_EPOCHS = 16


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


_TOWER = (64, 32, 32, 32, 48)


def run_simulated(out: str | Path, *, seed: int = 0) -> pd.DataFrame:
    """Simulate a genome, build the object from its files, train a compact EPInformer, and judge it on a chromosome.

    Parameters
    ----------
    out
        Folder to write to: ``files/`` (the simulation), the figures, the model and ``simulated.h5mu``.
    seed
        Seed of the simulation and of training.

    Returns
    -------
    On the held-out chromosome: Pearson's r with measured expression of the model, of the baseline without sequence
    and the noise ceiling; average precision on the planted links of attention, ABC and distance.
    """
    out = writable_folder(out)
    simulation = datasets.simulate(out / "files", seed=seed, config=DEMO_CONFIG, overwrite=True)
    mdata = simulated_object(simulation)
    tl.abc(mdata)
    tl.baseline_expression(mdata, assay="RNA")
    encoder = tl.train_activity(
        mdata,
        fold=DEMO_FOLD,
        config=EPInformerSeqConfig(window=512, hidden=64, tower_channels=_TOWER),
        learning_rate=2e-3,
        max_epochs=10,
        patience=3,
        rng=seed,
    )
    model = tl.train_expression(
        mdata,
        assay="RNA",
        fold=DEMO_FOLD,
        encoder=encoder,
        config=EPInformerConfig(window=512, embedding_dim=32, n_layers=2, tower_channels=_TOWER),
        reverse_complement=True,
        max_shift=16,
        learning_rate=1e-3,
        weight_decay=1e-2,
        batch_size=32,
        max_epochs=MAX_EPOCHS,
        patience=6,
        folder=out / "model",
        rng=seed,
    )
    tl.predict_expression(mdata, {DEMO_FOLD: model}, assay="RNA")
    tl.attention(mdata, {DEMO_FOLD: model}, assay="RNA")

    table = _judge(mdata, simulation)
    held_out = pp.subset(mdata, genes=_genes_on(mdata, DEMO_TEST))
    _save(pl.locus(held_out, _planted_gene(held_out, simulation), links=Layer.attention, show=False), out / "locus")
    _save(pl.expression_scatter(held_out, assay="RNA", show=False), out / "expression")
    io.write(mdata, out / "simulated.h5mu")
    logger.info("wrote %s", ", ".join(sorted(str(path) for path in out.iterdir())))
    return table


def _genes_on(mdata: MuData, chromosome: str) -> list[str]:
    table = mdata[Modality.genes].var
    return table.index[(table[Var.chromosome] == chromosome).to_numpy()].tolist()


def _judge(mdata: MuData, simulation: datasets.Simulation) -> pd.DataFrame:
    from sklearn.metrics import average_precision_score

    test = _genes_on(mdata, DEMO_TEST)
    genes = {layer: mdata[Modality.genes].to_df(layer).iloc[0][test] for layer in ("RNA", "RNA_pred", "RNA_baseline")}
    links = mdata[Modality.links]
    on_test = links.var[Var.gene].isin(test).to_numpy()
    truth = simulation.links.set_index(simulation.links["enhancer"] + "|" + simulation.links["gene"])["share"]
    planted = (truth.reindex(links.var_names[on_test]) >= simulation.config.min_share).to_numpy()
    scores = {
        "attention": links.layers[Layer.attention][0],
        "ABC": links.layers[Layer.abc][0],
        "distance": -links.var[Var.distance].abs().to_numpy(),
    }
    sample = simulation.config.samples[0]
    rows: list[tuple[str, str, float]] = [
        ("expression, Pearson r", "EPInformer", genes["RNA_pred"].corr(genes["RNA"])),
        ("expression, Pearson r", "baseline without sequence", genes["RNA_baseline"].corr(genes["RNA"])),
        ("expression, Pearson r", "noise ceiling (all genes)", simulation.metrics[sample]["noise_ceiling"]),
    ]
    rows += [
        ("links, average precision", name, average_precision_score(planted, np.nan_to_num(score[on_test])))
        for name, score in scores.items()
    ]
    rows.append(("links, average precision", "share of planted links", float(planted.mean())))
    rows.append(("links, average precision", "ceiling (all links)", simulation.metrics[sample]["ceiling_auprc"]))
    table = pd.DataFrame(rows, columns=["task", "score", DEMO_TEST])
    table[DEMO_TEST] = table[DEMO_TEST].astype(float).round(3)
    return table.set_index(["task", "score"])


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
