"""A small world to train on: elements are active where they hold a motif, and genes follow their elements."""

from __future__ import annotations

import numpy as np
import pandas as pd

import eregtools as er
from eregtools._keys import MRNA_FEATURES

MOTIF = "TGACTCAGCA"
FOLDS = {1: {"valid": ["chr2"], "test": ["chr3"]}}


def make_training_world(folder, samples=("S",), folds=FOLDS):
    """Genes and elements on three chromosomes; a second biosample has four fifths of the elements."""
    rng = np.random.default_rng(3)
    size, sequences, elements, active = 120_000, {}, [], []
    for chrom in ("chr1", "chr2", "chr3"):
        letters = rng.choice(list("ACGT"), size)
        for start in range(1_000, size - 1_000, 700):
            has = rng.random() < 0.5
            if has:
                for at in (start + 40, start + 110, start + 180):
                    letters[at : at + len(MOTIF)] = list(MOTIF)
            elements.append((chrom, start, start + 256))
            active.append(has)
        sequences[chrom] = "".join(letters)
    fasta = folder / "g.fa"
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in sequences.items()))
    genes = [(chrom, at, "+") for chrom in sequences for at in range(5_000, size - 5_000, 2_500)]
    table = pd.DataFrame(elements, columns=["chrom", "start", "end"])
    own = {name: np.arange(len(table)) % 5 != number for number, name in enumerate(samples, start=-1)}
    mdata = er.pp.assemble(
        genes=pd.DataFrame(genes, columns=["chrom", "tss", "strand"], index=[f"g{i}" for i in range(len(genes))]),
        enhancers={name: table[kept] for name, kept in own.items()},
        samples=list(samples),
        genome=er.Genome(fasta, name="train-toy"),
    )
    er.register_genome("train-toy", fasta)
    activity = {name: np.where(active, 8.0, 0.5) * kept for name, kept in own.items()}
    er.pp.add_signal(mdata, activity, assay="activity")
    er.pp.link(mdata, max_distance=2_000, min_distance=300)
    er.pp.add_contacts(mdata)
    n = mdata["genes"].n_vars
    mrna = pd.DataFrame(rng.normal(size=(n, 8)), mdata["genes"].var_names, list(MRNA_FEATURES)).abs()
    er.pp.mrna_features(mdata, mrna)
    signal = {name: rng.gamma(2, 2, n) for name in samples}
    er.pp.add_signal(mdata, signal, assay="promoter_activity", modality="genes")
    links = mdata["links"].var
    expression = {}
    for name in samples:
        of_link = pd.Series(activity[name], mdata["enhancers"].var_names).reindex(links["enhancer"]).to_numpy()
        expression[name] = pd.Series(of_link).groupby(links["gene"].to_numpy()).mean().reindex(mdata["genes"].var_names)
    er.pp.add_expression(mdata, pd.DataFrame(expression), assay="RNA")
    er.pp.split(mdata, folds)
    return mdata
