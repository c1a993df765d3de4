"""Fold models, models of several biosamples, and models without sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import eregtools as er
from eregtools.models import EPInformerConfig, EPInformerSeqConfig
from training_world import make_training_world

CHANNELS = (8, 8, 8, 8, 8)
SMALL = EPInformerConfig(window=416, embedding_dim=32, n_layers=2, tower_channels=CHANNELS)
SMALL_SEQ = EPInformerSeqConfig(hidden=8, tower_channels=CHANNELS)
FOLDS = {
    1: {"valid": ["chr2"], "test": ["chr3"]},
    2: {"valid": ["chr3"], "test": ["chr1"]},
    3: {"valid": ["chr1"], "test": ["chr2"]},
}
QUICK = {"max_epochs": 1, "device": "cpu", "config": SMALL, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return make_training_world(tmp_path_factory.mktemp("cross"), ("A", "B", "C"), FOLDS)


@pytest.fixture
def mdata(built):
    return built.copy()


@pytest.fixture
def alone(built):
    return er.pp.subset(built, samples=["A"])


def on(mdata, chromosome):
    return (mdata["genes"].var["Chromosome"] == chromosome).to_numpy()


def test_every_gene_is_predicted_by_the_model_that_never_saw_it(alone, tmp_path):
    folder = tmp_path / "models"
    er.tl.cross_validate(
        alone,
        assay="RNA",
        folder=folder,
        encoder="train",
        encoder_training={"config": SMALL_SEQ, "max_epochs": 1},
        **QUICK,
    )
    predicted = alone["genes"].layers["RNA_pred"][0].copy()
    assert np.isfinite(predicted).all()
    for fold, sets in FOLDS.items():
        model = er.models.load(folder / f"fold{fold}")
        assert model.provenance["test_chromosomes"] == sets["test"]
        encoder = er.models.load(folder / "encoders" / f"fold{fold}")
        assert model.provenance["encoder_sha256"] == encoder.fingerprint()
        assert encoder.provenance["test_chromosomes"] == sets["test"]
        er.tl.predict_expression(alone, {fold: model}, assay="RNA", key_added="again", device="cpu")
        tested = on(alone, sets["test"][0])
        assert np.allclose(alone["genes"].layers["again"][0, tested], predicted[tested], atol=1e-5)
    alone["genes"].layers["RNA_pred"][:] = 0
    er.tl.predict_expression(alone, folder, assay="RNA", device="cpu")
    assert np.allclose(alone["genes"].layers["RNA_pred"][0], predicted, atol=1e-5)
    results = alone.uns["eregtools"]["results"]["genes:RNA_pred"]
    assert sorted(results["fold"]) == [1, 2, 3]
    assert set(results["leakage"]) == {"no"}

    with pytest.raises(FileExistsError, match="is not empty; pass resume=True"):
        er.tl.cross_validate(alone, assay="RNA", folder=folder, **QUICK)
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    (folder / "fold2" / "config.json").unlink()  # a fold that was not finished
    er.tl.cross_validate(
        alone,
        assay="RNA",
        folder=folder,
        encoder="train",
        encoder_training={"config": SMALL_SEQ, "max_epochs": 1},
        resume=True,
        **QUICK,
    )
    again = {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert again == {folder / "fold2" / "model.safetensors"}
    assert np.allclose(alone["genes"].layers["RNA_pred"][0], predicted, atol=1e-5)


def test_activity(alone, tmp_path):
    er.tl.cross_validate(
        alone, assay="activity", folder=tmp_path / "m", folds=[1, 2], config=SMALL_SEQ, max_epochs=1, device="cpu"
    )
    predicted = alone["enhancers"].layers["activity_pred"][0]
    chromosome = alone["enhancers"].var["Chromosome"].astype(str).to_numpy()
    assert np.isfinite(predicted[chromosome != "chr2"]).all()
    assert np.isnan(predicted[chromosome == "chr2"]).all(), "fold 3 was not trained"


def test_one_model_of_several_biosamples(mdata, tmp_path):
    er.tl.cross_validate(mdata, assay="RNA", folder=tmp_path / "m", sample=["A", "B"], folds=[1], **QUICK)
    model = er.models.load(tmp_path / "m" / "fold1")
    assert model.provenance["biosample"] == ["A", "B"]
    predicted = mdata["genes"].layers["RNA_pred"]
    assert np.isfinite(predicted[:2, on(mdata, "chr3")]).all()
    assert np.isnan(predicted[:2, ~on(mdata, "chr3")]).all()
    assert np.isnan(predicted[2]).all()
    assert not np.allclose(predicted[0, on(mdata, "chr3")], predicted[1, on(mdata, "chr3")]), "each has its own signal"
    results = mdata.uns["eregtools"]["results"]["genes:RNA_pred"]
    assert set(results["cross_cell"]) == {"no"}
    with pytest.raises(ValueError, match=r"trained on A, B, not on 'C'"):
        er.tl.predict_expression(mdata, tmp_path / "m", assay="RNA", sample="C", device="cpu")


def test_items_are_genes_in_biosamples(mdata):
    from eregtools.tl._training import gene_data

    genome = er.genome.get_genome("train-toy")
    config = EPInformerConfig(n_slot_features=2, window=416)
    data = gene_data(mdata, ["A", "B"], "RNA", config, "log", genome)
    single = [gene_data(mdata, [name], "RNA", config, "log", genome) for name in ("A", "B")]
    assert len(data) == sum(map(len, single))
    n = len(single[0])
    for part, rows in ((single[0], np.arange(n)), (single[1], np.arange(n, len(data)))):
        ours, theirs = data.batch(rows[:9]), part.batch(np.arange(9))
        for name in ("slot_features", "gene_features", "target", "padding"):
            assert torch.equal(ours[name], theirs[name])
        assert torch.equal(ours["codes"][ours["slot"]], theirs["codes"][theirs["slot"]])
    assert not np.array_equal(single[0].inputs.offsets, single[1].inputs.offsets), "candidates differ"
    both = data.batch(np.array([0, n]))  # the same gene twice: its promoter and shared elements once
    assert both["multiplicity"].max() == 2
    assert len(both["codes"]) < (~both["padding"]).sum()


def test_a_biosample_left_out(mdata, tmp_path):
    er.tl.cross_validate(mdata, assay="RNA", folder=tmp_path / "m", leave_out="samples", folds=[1, 2], **QUICK)
    for name in "ABC":
        for fold in (1, 2):
            model = er.models.load(tmp_path / "m" / name / f"fold{fold}")
            assert model.provenance["biosample"] == [other for other in "ABC" if other != name]
    assert np.isfinite(mdata["genes"].layers["RNA_pred"][:, ~on(mdata, "chr2")]).all()
    results = mdata.uns["eregtools"]["results"]["genes:RNA_pred"]
    assert set(results["cross_cell"]) == {"yes"}
    assert len(results) == 6


def test_the_encoder_never_saw_the_biosample_left_out(mdata, tmp_path):
    training = {"config": SMALL_SEQ, "max_epochs": 1, "sample": "A"}
    er.tl.cross_validate(
        mdata,
        assay="RNA",
        folder=tmp_path / "m",
        leave_out="samples",
        folds=[1],
        encoder="train",
        encoder_training=training,
        **QUICK,
    )
    learnt = {name: er.models.load(tmp_path / "m" / name / "encoders" / "fold1").provenance for name in "ABC"}
    assert {name: about["biosample"] for name, about in learnt.items()} == {"A": "B", "B": "A", "C": "A"}
    encoder = er.models.load(tmp_path / "m" / "B" / "encoders" / "fold1")
    with pytest.raises(ValueError, match="the encoder of fold 1 was trained on A, which is left out"):
        er.tl.cross_validate(
            mdata, assay="RNA", folder=tmp_path / "n", leave_out="samples", folds=[1], encoder={1: encoder}, **QUICK
        )


def test_overwriting_leaves_no_earlier_fold_to_predict_with(alone, tmp_path):
    quick = {"use_sequence": False, "variant": "PE-Activity", "max_epochs": 1, "device": "cpu"}
    er.tl.cross_validate(alone, assay="RNA", folder=tmp_path / "m", **quick)
    (tmp_path / "m" / "fold_notes").mkdir()
    er.tl.cross_validate(alone, assay="RNA", folder=tmp_path / "m", folds=[1], overwrite=True, rng=9, **quick)
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["fold1", "fold_notes"]
    assert np.isnan(alone["genes"].layers["RNA_pred"][0, ~on(alone, "chr3")]).all()
    er.tl.cross_validate(alone, assay="RNA", folder=tmp_path / "m", folds=[2], resume=True, rng=9, **quick)
    assert np.isfinite(alone["genes"].layers["RNA_pred"][0, on(alone, "chr1")]).all()


def test_replicates_of_a_biosample_are_left_out_together(mdata, tmp_path):
    mdata.obs["biosample"] = ["liver", "liver", "lung"]
    er.tl.cross_validate(mdata, assay="RNA", folder=tmp_path / "m", leave_out="samples", folds=[1], **QUICK)
    trained_on = {name: er.models.load(tmp_path / "m" / name / "fold1").provenance["biosample"] for name in "ABC"}
    assert trained_on == {"A": "lung", "B": "lung", "C": "liver"}


class TestWithoutSequence:
    def test_needs_no_genome_and_predicts(self, alone, tmp_path):
        quick = {"use_sequence": False, "variant": "PE-Activity", "max_epochs": 40, "batch_size": 16, "device": "cpu"}
        nowhere = alone.copy()
        nowhere.uns["eregtools"]["genome"] = "not registered"
        er.tl.cross_validate(nowhere, assay="RNA", folder=tmp_path / "m", folds=[1], **quick)
        predicted, observed = (nowhere["genes"].layers[key][0, on(nowhere, "chr3")] for key in ("RNA_pred", "RNA"))
        assert np.corrcoef(predicted, observed)[0, 1] > 0.95, "activity of the enhancers is the target"
        model = er.models.load(tmp_path / "m" / "fold1")
        assert not any(name.startswith(("encoder", "head")) for name in model.state_dict())
        assert model.config.standardise
        er.tl.attention(nowhere, tmp_path / "m", assay="RNA", device="cpu")
        assert np.isfinite(nowhere["links"].layers["attention"]).any()

    def test_scales_are_those_of_the_training_genes(self, alone):
        model = er.tl.train_expression(
            alone, assay="RNA", fold=1, use_sequence=False, variant="PE-Activity", max_epochs=1, device="cpu"
        )
        train = alone["genes"].varm["mrna_features"][on(alone, "chr1")]
        assert np.allclose(model.gene_scale.mean[:7], train.to_numpy()[:, :7].mean(axis=0), atol=1e-5)
        assert np.allclose(model.gene_scale.sd[:7], train.to_numpy()[:, :7].std(axis=0), atol=1e-5)
        assert (model.slot_scale.sd > 0).all()

    def test_tracks_are_features_of_slots_and_genes(self, alone):
        rng = np.random.default_rng(0)
        for modality in ("genes", "enhancers"):
            values = rng.poisson(20, alone[modality].n_vars).astype(float)
            er.pp.add_signal(alone, {"A": values}, assay="DNase", modality=modality)
        model = er.tl.train_expression(
            alone,
            assay="RNA",
            fold=1,
            tracks=["DNase"],
            use_sequence=False,
            variant="PE-Activity",
            max_epochs=1,
            device="cpu",
        )
        assert (model.config.n_slot_features, model.config.n_gene_features) == (3, 10)
        expected = np.log1p(alone["genes"].layers["DNase"][0][on(alone, "chr1")])
        assert model.gene_scale.mean[-1] == pytest.approx(expected.mean(), abs=1e-4)
        er.tl.predict_expression(alone, model, assay="RNA", device="cpu")
        with pytest.raises(KeyError, match=r"needs the feature 'ATAC'.*er\.pp\.add_signal"):
            er.tl.train_expression(alone, assay="RNA", fold=1, tracks=["ATAC"], use_sequence=False, device="cpu")
        with pytest.raises(ValueError, match="recipe 'legacy' takes no tracks"):
            er.tl.train_expression(alone, assay="RNA", fold=1, tracks=["DNase"], recipe="legacy", device="cpu")

    def test_no_use_for_an_encoder(self, alone):
        with pytest.raises(ValueError, match="of no use to a model without sequence"):
            er.tl.train_expression(
                alone, assay="RNA", fold=1, use_sequence=False, encoder=er.models.EPInformerSeq(), device="cpu"
            )
        with pytest.raises(ValueError, match="nothing to attend to"):
            er.tl.train_expression(alone, assay="RNA", fold=1, use_sequence=False, variant="promoter", device="cpu")


def test_weights_that_began_from_a_leaking_encoder_are_marked(alone):
    encoder = er.models.EPInformerSeq(SMALL_SEQ)
    encoder.provenance = {"test_chromosomes": ["chr1"], "valid_chromosomes": ["chr2"]}
    model = er.tl.train_expression(alone, assay="RNA", fold=1, encoder=encoder, allow_leakage=True, **QUICK)
    assert model.provenance["leakage"] == "yes"
    er.tl.predict_expression(alone, {1: model}, assay="RNA", device="cpu")
    assert alone.uns["eregtools"]["results"]["genes:RNA_pred"]["leakage"].tolist() == ["yes"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"folds": [9]}, KeyError, "fold 9 of scheme 'custom' does not exist"),
        ({"leave_out": "genes"}, ValueError, "leave_out is 'genes'"),
        ({"leave_out": "samples"}, ValueError, "there is only A"),
        ({"assay": "activity", "encoder": "train"}, ValueError, "takes no encoder="),
        ({"encoder": {2: "x"}}, KeyError, "encoder= has no model for fold 1"),
        ({"encoder": "nowhere"}, FileNotFoundError, "holds no folder fold1"),
        ({"assay": "CAGE", "encoder": "train"}, KeyError, "no layer"),
    ],
)
def test_refused(alone, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        er.tl.cross_validate(alone, **({"assay": "RNA", "folder": tmp_path / "m"} | QUICK | change))
