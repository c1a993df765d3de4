"""A small simulated study of enhancer RNA, as a user brings it to the command line or to the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

import eregtools as er

CONFIG = er.datasets.ErnaGenomeConfig(
    n_chromosomes=4,
    chromosome_length=240_000,
    genes=4,
    gaps=1,
    artefacts=1,
    active=1.0,
    libraries=("stranded", "swapped"),
    negative=(),
    confounders={"silent": 20.0, "uni": 20.0, "poised": 20.0},
    locus_spacing=10_000,
)
FOLDS = {1: {"valid": ["chr3"], "test": ["chr4"]}}


def make_erna_study(folder: Path) -> tuple[er.datasets.ErnaGenome, MuData]:
    """Genes, coverage of two biosamples (one with its strands exchanged), a mask, labelled loci and a fold."""
    truth = er.datasets.simulate_erna_genome(folder / "files", seed=6, config=CONFIG)
    paths = truth.paths
    mdata = er.pp.assemble(
        genes=paths["genes"], enhancers=paths["open"], samples=list(truth.tracks), genome=paths["genome"]
    )
    er.pp.add_coverage(mdata, truth.tracks, folder=folder / "coverage.zarr", read_length=CONFIG.read_length)
    er.pp.strand_audit(mdata, paths["genes"], min_genes=3)
    er.pp.erna_mask(mdata, paths["genes"], blacklist=paths["blacklist"], genome=paths["genome"])
    loci = truth.loci[truth.loci["stratum"] != "promoter"]
    er.pp.candidate_ernas(mdata, "bed", source=loci[["Chromosome", "Start", "End"]])
    ernas = mdata["ernas"]
    ernas.var["label"] = (loci["stratum"] == "positive").to_numpy(np.float32)
    ernas.var["stratum"] = pd.Categorical(loci["stratum"].to_numpy())
    er.pp.split(mdata, FOLDS)
    return truth, mdata
