"""Real loci in K562: CFTR, ST7 and RTN4R with links, knock-outs, CRISPR and the bases of one enhancer, as figures.

The published CAGE weights (EPInformer-PE-Activity) give attention and the change of expression without each enhancer;
the published encoder of 256 bp (EPInformer-seq) gives the bases that make the enhancer with the strongest knock-out
active, by saturation mutagenesis. Each gene is predicted by the weights that never saw its chromosome. A gene whose
promoter is not in the genome at hand is named in the table and not drawn.

``python -m benchmarks loci FOLDER`` writes the figures to a folder, else to a temporary one. Needs the data of
``EREGTOOLS_SHARED``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mudata import MuData

import eregtools as er
from benchmarks._timing import report
from eregtools.models import zoo

GENES = ("CFTR", "ST7", "RTN4R")
WEIGHTS = "EPInformer-PE-Activity/K562/CAGE"
CRISPR = "EPCrisprBenchmark_combined_data.training_K562.GRCh38.tsv.gz"
WIDTH = 89 / 25.4
VIEW = 400_000
"""Distance in bp within which other genes are kept, to be seen beside the three."""


def data_folder() -> Path:
    if "EREGTOOLS_SHARED" not in os.environ:
        raise FileNotFoundError("EREGTOOLS_SHARED names no folder; this benchmark needs the K562 files in data/ of it")
    folder = Path(os.environ["EREGTOOLS_SHARED"]) / "data"
    os.environ.setdefault(zoo.WEIGHTS_VARIABLE, str(folder / "epinformer" / "checkpoints"))
    return folder


def k562_loci(folder: Path, genome: er.Genome) -> MuData:
    """Build the object of the genes and their neighbours, with every score of the links."""
    mdata = er.datasets.k562(folder, genome=genome)
    genes = mdata["genes"].var
    near = np.zeros(len(genes), dtype=bool)
    for _, gene in genes[genes["gene_name"].isin(GENES)].iterrows():
        near |= ((genes["Chromosome"] == gene["Chromosome"]) & ((genes["tss"] - gene["tss"]).abs() < VIEW)).to_numpy()
    mdata = er.pp.subset(mdata, genes=genes.index[near].tolist())
    er.tl.abc(mdata)
    er.tl.attention(mdata, WEIGHTS, assay="CAGE", genome=genome)
    er.tl.perturb(mdata, WEIGHTS, assay="CAGE", genome=genome)
    pairs = er.io.read_crispr(folder / "crispr_benchmark" / CRISPR)
    tested = pairs[pairs["gene"].isin(set(GENES) & set(mdata["genes"].var["gene_name"]))]
    if len(tested):
        er.pp.add_crispr(mdata, tested)
    return mdata


def strongest(mdata: MuData, gene: str) -> tuple[pd.DataFrame, pd.Series]:
    """Links of a gene with their ABC rank, and the one whose knock-out changes expression most."""
    links = er.get.links(mdata, gene=gene)
    links = links.reindex(columns=list(dict.fromkeys([*links, "crispr", "crispr_significant"])))
    links["abc rank"] = links["abc"].rank(ascending=False, method="min").astype(int)
    return links, links.loc[links["perturbation"].abs().idxmax()]


def draw(mdata: MuData, gene: str, enhancer: str, genome: er.Genome, measured: bool, stem: Path) -> None:
    axes = er.pl.locus(
        mdata,
        gene,
        links="attention",
        scores=("abc", "perturbation"),
        measured="crispr" if measured else None,
        logo=enhancer,
        genome=genome,
        figsize=(WIDTH, None),
        show=False,
    )
    for suffix in (".png", ".pdf"):
        axes[0].figure.savefig(stem.with_suffix(suffix), dpi=300)


def row(gene: str, links: pd.DataFrame, best: pd.Series, fold: str) -> dict[str, Any]:
    tested = links["crispr"].notna()
    found = links.loc[tested & (links["crispr_significant"] == 1)]
    effects = ", ".join(f"{100 * found['crispr'][k]:.1f} % at {found['distance'][k]:,.0f} bp" for k in found.index)
    return {
        "gene": gene,
        "fold": fold,
        "enhancers": len(links),
        "strongest knock-out": best["enhancer"],
        "change, %": 100 * float(best["perturbation"]),
        "largest loss, %": 100 * min(0.0, float(links["perturbation"].min())),
        "distance, bp": int(best["distance"]),
        "ABC rank": int(best["abc rank"]),
        "attention rank": int((links["attention"] > best["attention"]).sum()) + 1,
        "tested by CRISPR": f"{tested.sum()}, {len(found)} significant{f' ({effects})' if effects else ''}",
    }


def run(out: str | None = None) -> dict[str, Any]:
    torch.set_num_threads(1)
    folder = data_folder()
    target = Path(out or tempfile.mkdtemp(prefix="loci-"))
    target.mkdir(parents=True, exist_ok=True)
    genome = er.Genome(er.datasets.find_k562(folder)["genome"], name="hg38")
    mdata = k562_loci(folder, genome)
    genes = mdata["genes"].var
    rows: list[dict[str, Any]] = []
    for gene in GENES:
        own = genes[genes["gene_name"] == gene]
        if own.empty:
            rows.append({"gene": gene, "strongest knock-out": "no complete promoter sequence at hand: not drawn"})
            continue
        links, best = strongest(mdata, gene)
        name = str(best["enhancer"])
        er.tl.attribute(mdata, names=name, method="ism", genome=genome)
        draw(mdata, gene, name, genome, bool(links["crispr"].notna().any()), target / gene)
        rows.append(row(gene, links, best, str(own["fold"].iloc[0])))
    assert all(np.isfinite(r["change, %"]) for r in rows if "change, %" in r)
    print(f"figures: {', '.join(sorted(path.name for path in target.iterdir()))} in {target}")
    return report("loci", rows, weights=WEIGHTS, logo="EPInformer-seq, saturation mutagenesis of 256 bp")
