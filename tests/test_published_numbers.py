"""Published numbers of EPInformer on real K562 data, from files to object to prediction."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools.demo import run_k562
from eregtools.models import zoo


@pytest.fixture(scope="module")
def data(shared):
    return shared / "data"


@pytest.fixture(scope="module")
def weights(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(zoo.WEIGHTS_VARIABLE, str(data / "epinformer" / "checkpoints"))
        yield


@pytest.fixture(scope="module")
def genome(data):
    return er.Genome(data / "genome" / "hg38.partial.fa.gz", name="hg38")


@pytest.fixture(scope="module")
def k562(data, genome):
    return er.datasets.k562(data, genome=genome)


def test_activity_of_the_golden_windows(data, genome, weights):
    """Sequence from coordinates, each window by the encoder that never saw its chromosome."""
    golden = pd.read_csv(data / "epinformer" / "golden_encoder_windows.tsv.gz", sep="\t")
    assert len(golden) == 2166
    windows = golden.drop_duplicates(["chrom", "start", "end"])
    tss = pd.DataFrame({"chrom": ["chr1"], "tss": [10**6]}, index=["any"])
    mdata = er.pp.assemble(genes=tss, enhancers=windows[["chrom", "start", "end"]], samples=["K562"], genome=genome)
    er.tl.predict_activity(mdata, genome=genome)
    predicted = mdata["enhancers"].to_df("activity_pred").loc["K562"]
    names = golden["chrom"] + ":" + golden["start"].astype(str) + "-" + golden["end"].astype(str)
    golden["ours"] = predicted.reindex(names).to_numpy()
    exact = golden[golden["exact"]]
    assert len(exact) == 2027
    assert (exact["ours"] - exact["pred_published"]).abs().max() <= 1e-3
    results = mdata.uns["eregtools"]["results"]["enhancers:activity_pred"].set_index("model")
    for fold, rows in golden.groupby("fold"):
        assert f"EPInformer-seq/K562/activity/fold{fold}" in results.index, f"{len(rows)} windows of fold {fold}"


def test_expression_of_the_111_genes(data, genome, k562, weights):
    stated = pd.read_csv(data / "epinformer" / "end_to_end_genes.tsv.gz", sep="\t", index_col="gene")
    mdata = er.tl.predict_expression(k562, assay="CAGE", genome=genome, copy=True)
    genes = mdata["genes"]
    assert set(genes.var_names) == set(stated.index)
    stated = stated.loc[genes.var_names]
    assert np.abs(genes.layers["promoter_activity"][0] - stated["pact"]).max() <= 1e-4
    assert ((genes.var["n_missing"] == 0) == (stated["n_missing"] == 0)).all()
    fits = stated["n_elem"] <= 60
    assert (genes.var["n_missing"] == stated["n_missing"])[fits].all()
    used = mdata["links"].var["gene"].value_counts().reindex(genes.var_names, fill_value=0)
    assert (used == stated["n_used"]).all()
    predicted = genes.layers["CAGE_pred"][0]
    assert np.abs(predicted - stated["pred_PEActivity_CAGE_recomputed"]).max() <= 1e-3

    complete = (genes.var["n_missing"] == 0).to_numpy()
    observed = stated["actual_RNA"].to_numpy()
    assert np.abs(genes.layers["RNA"][0] - observed).max() <= 1e-4
    baseline = np.log1p(genes.layers["promoter_activity"][0])
    assert complete.sum() == 46
    assert np.corrcoef(predicted[complete], observed[complete])[0, 1] == pytest.approx(0.871, abs=5e-4)
    assert np.corrcoef(baseline[complete], observed[complete])[0, 1] == pytest.approx(0.894, abs=5e-4)


def test_weights_of_the_contact_family_and_missing_folds(genome, k562, weights, caplog):
    """Of the RNA weights only folds 1 and 6 are registered: other genes stay NaN, and it is said how many."""
    with caplog.at_level(logging.WARNING, logger="eregtools"), pytest.raises(FileNotFoundError, match="fold1"):
        er.tl.predict_expression(k562, assay="RNA", genome=genome, copy=True)
    assert "are left NaN: no fold model leaves their chromosome out" in caplog.text
    six = er.models.load("EPInformer-PE-Activity-HiC/K562/RNA/fold6")
    mdata = er.tl.predict_expression(k562, six, assay="RNA", genome=genome, copy=True)
    predicted = mdata["genes"].to_df("RNA_pred").loc["K562"]
    tested = mdata["genes"].var["Chromosome"].isin(["chr7", "chr17"]).to_numpy()
    assert np.array_equal(np.isfinite(predicted.to_numpy()), tested)
    assert mdata.uns["eregtools"]["results"]["genes:RNA_pred"]["model"].tolist() == [six.provenance["name"]]
    other = k562.copy()
    for modality in other.mod.values():
        modality.obs_names = ["GM12878"]
    other.obs_names = ["GM12878"]
    other.update()
    with pytest.raises(ValueError, match="trained on K562, not on 'GM12878'"):
        er.tl.predict_expression(other, six, assay="RNA", genome=genome)


def test_demo_writes_figures_and_the_object(data, tmp_path):
    table = run_k562(data, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "expression.pdf",
        "expression.png",
        "k562.h5mu",
        "locus.pdf",
        "locus.png",
    ]
    column = "r (no link missing, n = 46)"
    assert table[column].tolist() == [0.871, 0.894]
    mdata = er.io.read(tmp_path / "out" / "k562.h5mu")
    score = er.get.links(mdata, layers=["attention"]).groupby("gene", observed=True)["attention"].sum()
    assert np.allclose(score, 1, atol=1e-5)
