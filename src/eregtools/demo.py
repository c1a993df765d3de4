"""The demonstrations that the command line runs: from files to predictions, figures and one object on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools import datasets, io, pl, tl
from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger
from eregtools.genome import Genome
from eregtools.models import zoo

if TYPE_CHECKING:
    from mudata import MuData

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


def _local_weights(folder: Path) -> dict[int, Path] | None:
    """Find published weights below the folder, one a fold; ``None`` unless all are there."""
    found = {c.fold: next(iter(sorted(folder.rglob(c.file))), None) for c in zoo.find(_WEIGHTS)}
    local = {fold: path for fold, path in found.items() if path is not None}
    return local if len(local) == len(found) else None


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
