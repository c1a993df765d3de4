"""The K562 object for models that read no sequence: every gene, every link, every track."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate


@pytest.fixture(scope="module")
def folder(shared):
    return shared / "data"


@pytest.fixture(scope="module")
def published(folder):
    with np.load(folder / "epinformer" / "k562_structure.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def k562(folder):
    return er.datasets.k562(folder, require_sequence=False)


def test_no_gene_and_no_link_is_left_out(k562, published):
    genes, links = k562["genes"], k562["links"].var
    assert genes.n_vars == 18_377
    assert set(genes.var_names) == set(published["gene"])
    assert len(links) == 303_813
    assert genes.n_vars - links["gene"].nunique() == 826
    assert links["gene"].value_counts().max() == 60
    assert "n_missing" not in genes.var
    validate(k562)


def test_links_are_the_published_ones(k562, published):
    names = pd.Series(published["enh_chrom"]).str.cat([published["enh_start"].astype(str)], sep=":")
    names = names.str.cat([published["enh_end"].astype(str)], sep="-").to_numpy()
    pairs = zip(published["gene"][published["pair_gene"]], names[published["pair_enh"]], strict=True)
    links = k562["links"].var
    assert set(zip(links["gene"], links["enhancer"], strict=True)) == set(pairs)


def test_expression_and_folds_are_the_published_ones(k562, published):
    genes = k562["genes"]
    order = genes.var_names.get_indexer(published["gene"])
    np.testing.assert_allclose(genes.layers["RNA"][0, order], published["rna_z_K562"], atol=1e-6)
    chromosomes = k562.uns["eregtools"]["folds"]["epinformer12"]
    sets = chromosomes.loc[published["chrom"], [str(fold) for fold in range(1, 13)]].to_numpy(dtype=object)
    assert (sets == np.array(["train", "valid", "test"], dtype=object)[published["folds"]]).all()
    assert (published["folds"][np.arange(18_377), genes.var["fold"].to_numpy()[order] - 1] == 2).all()


@pytest.mark.parametrize(
    ("modality", "dnase", "h3k27ac"),
    [("genes", "tss1kb_dhs", "tss1kb_h3k27ac"), ("enhancers", "enh_dhs", "enh_h3k27ac")],
)
def test_counts_of_each_replicate_are_kept(k562, published, modality, dnase, h3k27ac):
    adata = k562[modality]
    if modality == "genes":
        names = published["gene"]
    else:
        interval = (published[f"enh_{part}"].astype(str) for part in ("chrom", "start", "end"))
        names = [f"{chrom}:{start}-{end}" for chrom, start, end in zip(*interval, strict=True)]
    order = adata.var_names.get_indexer(names)
    np.testing.assert_array_equal(adata.layers["DNase"][0, order], published[dnase])
    for number in (1, 2, 3):
        np.testing.assert_array_equal(adata.layers[f"H3K27ac_rep{number}"][0, order], published[h3k27ac][:, number - 1])
    np.testing.assert_allclose(adata.layers["H3K27ac"][0, order], published[h3k27ac].mean(axis=1), rtol=1e-5)
    assert "H3K27ac_rep4" not in adata.layers
    assert "DNase_rep1" not in adata.layers


def test_only_complete_sequence_by_default(k562, folder):
    """The partial genome has the sequence of 111 promoters; the links that remain are among all links."""
    mdata = er.datasets.k562(folder)
    genes = mdata["genes"].var
    assert len(genes) == 111
    assert set(genes.index) <= set(k562["genes"].var_names)
    counts = k562["links"].var["gene"].value_counts().reindex(genes.index, fill_value=0)
    kept = mdata["links"].var["gene"].value_counts().reindex(genes.index, fill_value=0)
    np.testing.assert_array_equal(kept + genes["n_missing"], counts)
    assert genes["n_missing"].sum() > 0
