"""The plain training path: what it learns, that it is repeatable, and what it refuses."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import eregtools as er
from eregtools.batches.windows import reverse_complement
from eregtools.models import EPInformerConfig, EPInformerSeqConfig
from training_world import make_training_world

CHANNELS = (16, 12, 8, 8, 12)
SMALL = EPInformerConfig(window=512, embedding_dim=32, n_layers=2, tower_channels=CHANNELS)
SMALL_SEQ = EPInformerSeqConfig(hidden=16, tower_channels=CHANNELS)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return make_training_world(tmp_path_factory.mktemp("train"))


@pytest.fixture
def mdata(built):
    return built.copy()


def train(mdata, **changes):
    arguments = {"assay": "RNA", "fold": 1, "config": SMALL, "max_epochs": 2, "learning_rate": 3e-3, "device": "cpu"}
    return er.tl.train_expression(mdata, **(arguments | changes))


def test_activity_of_a_motif_is_learnt(mdata, tmp_path, caplog):
    with er.settings.override(progress=False), caplog.at_level(logging.INFO, logger="eregtools"):
        model = er.tl.train_activity(
            mdata, fold=1, config=SMALL_SEQ, max_epochs=12, learning_rate=3e-3, device="cpu", folder=tmp_path / "seq"
        )
    er.tl.predict_activity(mdata, {1: model}, device="cpu")
    on_test = (mdata["enhancers"].var["Chromosome"] == "chr3").to_numpy()
    predicted = mdata["enhancers"].layers["activity_pred"][0]
    assert np.isnan(predicted[~on_test]).all(), "chromosomes that the model saw are not predicted"
    truth = np.log2(0.1 + mdata["enhancers"].layers["activity"][0])
    assert np.corrcoef(predicted[on_test], truth[on_test])[0, 1] > 0.9
    assert model.provenance["fold_scheme"] == "custom"
    assert model.provenance["training"]["val_r"] > 0.9
    assert (tmp_path / "seq" / "log" / "metrics.csv").read_text().count("\n") >= 12
    again = er.models.load(tmp_path / "seq")
    assert again.provenance == model.provenance

    with er.settings.override(progress=False):
        start = train(mdata, encoder=model, freeze_encoder=True, variant="PE")
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(start.encoder.state_dict()[name], value), f"{name} of a frozen tower"


@pytest.mark.parametrize("variant", ["promoter", "PE", "PE-Activity", "PE-Activity-HiC"])
def test_every_variant_trains_and_predicts(mdata, variant, tmp_path):
    model = train(mdata, variant=variant, folder=tmp_path / "m")
    expected = {"promoter": (0, 8), "PE": (1, 8), "PE-Activity": (2, 9), "PE-Activity-HiC": (3, 9)}[variant]
    assert (model.config.n_slot_features, model.config.n_gene_features) == expected
    er.tl.predict_expression(mdata, er.models.load(tmp_path / "m"), assay="RNA", device="cpu")
    predicted = mdata["genes"].layers["RNA_pred"][0]
    on_test = (mdata["genes"].var["Chromosome"] == "chr3").to_numpy()
    assert np.isfinite(predicted[on_test]).all()
    assert np.isnan(predicted[~on_test]).all()
    if variant == "promoter":
        without = mdata.copy()
        without["links"].layers["candidate"][:] = 0
        er.tl.predict_expression(without, model, assay="RNA", device="cpu")
        assert np.allclose(without["genes"].layers["RNA_pred"][0], predicted, atol=1e-6, equal_nan=True)


def test_expression_is_learnt_better_than_chance(mdata):
    model = train(mdata, variant="PE-Activity", max_epochs=30, patience=15, regime="paper", recipe="log", batch_size=16)
    er.tl.predict_expression(mdata, {1: model}, assay="RNA", device="cpu")
    on_test = (mdata["genes"].var["Chromosome"] == "chr3").to_numpy()
    predicted, observed = (mdata["genes"].layers[key][0][on_test] for key in ("RNA_pred", "RNA"))
    assert np.corrcoef(predicted, observed)[0, 1] > 0.5  # of 44 genes; p < 0.001
    er.tl.baseline_expression(mdata, assay="RNA")
    baseline = mdata["genes"].layers["RNA_baseline"][0]
    assert np.isnan(baseline[~on_test]).all()
    assert np.corrcoef(baseline[on_test], observed)[0, 1] > 0.8


def test_same_seed_same_weights(mdata):
    torch.manual_seed(123)
    state = torch.random.get_rng_state()
    first, second, third = (train(mdata, rng=rng, max_epochs=1) for rng in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    names = first.state_dict().keys()
    assert all(torch.equal(first.state_dict()[n], second.state_dict()[n]) for n in names)
    assert not all(torch.equal(first.state_dict()[n], third.state_dict()[n]) for n in names)


@pytest.mark.parametrize("recipe", ["log", "legacy", "v2"])
def test_model_of_every_recipe_predicts(mdata, recipe):
    model = train(mdata, recipe=recipe, max_epochs=1)
    er.tl.predict_expression(mdata, model, assay="RNA", device="cpu")
    assert np.isfinite(mdata["genes"].layers["RNA_pred"]).any()
    assert mdata.uns["eregtools"]["results"]["genes:RNA_pred"]["recipe"].tolist() == [recipe]
    assert mdata.uns["eregtools"]["results"]["genes:RNA_pred"]["sha256"].tolist() == [model.fingerprint()]


def test_augmentation_keeps_bases(mdata):
    from eregtools.batches.encode import PADDING, UNKNOWN
    from eregtools.batches.windows import Augmentation

    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (50, 40)).astype(np.uint8)
    codes[25:, :10] = codes[25:, 30:] = PADDING
    changed = Augmentation(reverse_complement=True, max_shift=5)(codes, rng)
    assert changed.shape == codes.shape
    assert not np.array_equal(changed, codes)
    assert set(np.unique(changed[:25])) <= {0, 1, 2, 3, UNKNOWN}
    for before, after in zip(codes[25:], changed[25:], strict=True):
        core, moved = before[before < 4], after[after < 4]
        assert np.array_equal(core, moved) or np.array_equal(reverse_complement(core[None])[0], moved)


def test_batch_holds_each_sequence_once(mdata):
    from eregtools.tl._training import gene_data

    genome = er.genome.get_genome("train-toy")
    data = gene_data(mdata, ["S"], "RNA", EPInformerConfig(n_slot_features=2, window=512), "legacy", genome)
    rows = np.arange(6)
    batch = data.batch(rows)
    assert len(batch["codes"]) == 6 + len(np.unique(data.inputs.take(rows).element))
    counts = np.diff(data.inputs.offsets)[rows]
    assert (~batch["padding"]).sum(dim=1).tolist() == (counts + 1).tolist()
    for i in rows:
        links = slice(data.inputs.offsets[i], data.inputs.offsets[i + 1])
        expected = data.elements[data.inputs.element[links]]
        found = batch["codes"][batch["slot"][i, 1 : counts[i] + 1]].numpy()
        assert np.array_equal(found, expected)
        assert np.array_equal(batch["slot_features"][i, 1 : counts[i] + 1].numpy(), data.inputs.slot_features[links])


def test_reverse_complement_twice_is_the_sequence():
    codes = np.random.default_rng(0).integers(0, 6, (3, 20)).astype(np.uint8)
    assert np.array_equal(reverse_complement(reverse_complement(codes)), codes)


class TestRefused:
    def test_missing_parts_are_named(self, mdata):
        with pytest.raises(KeyError, match=r"no layer .{1,3}CAGE.*add_expression"):
            train(mdata, assay="CAGE")
        with pytest.raises(KeyError, match="scheme 'custom' has no fold 4; it has 1"):
            train(mdata, fold=4)
        with pytest.raises(KeyError, match="no folds of scheme 'epinformer12' in the object"):
            train(mdata, scheme="epinformer12")
        with pytest.raises(ValueError, match="variant is 'PEX'"):
            train(mdata, variant="PEX")
        del mdata["genes"].varm["mrna_features"]
        with pytest.raises(KeyError, match="ninth gene feature"):
            train(mdata, variant="PE-Activity")

    def test_targets_that_cannot_be_learnt(self, mdata):
        mdata["genes"].layers["RNA"][:] = 1.0
        with pytest.raises(ValueError, match=r"'RNA' takes one value only \(1\) in the train set"):
            train(mdata)
        mdata["genes"].layers["RNA"][:] = np.nan
        with pytest.raises(ValueError, match="fold 1 has 0 genes with a value of 'RNA' in its train set"):
            train(mdata)

    def test_encoder_of_another_shape(self, mdata):
        other = er.models.EPInformerSeq(EPInformerSeqConfig(tower_channels=(8, 8, 8, 8, 8)))
        with pytest.raises(ValueError, match="the encoder has tower_channels="):
            train(mdata, encoder=other)

    def test_encoder_that_saw_the_held_out_chromosomes(self, mdata, caplog):
        encoder = er.models.EPInformerSeq(EPInformerSeqConfig(tower_channels=CHANNELS))
        train(mdata, encoder=encoder, max_epochs=1)
        assert "it is not known on which chromosomes the encoder was trained" in caplog.text
        encoder.provenance = {"test_chromosomes": ["chr1"], "valid_chromosomes": ["chr2"]}
        with pytest.raises(ValueError, match="the encoder was trained on chr3, which this fold holds out"):
            train(mdata, encoder=encoder)
        train(mdata, encoder=encoder, max_epochs=1, allow_leakage=True)

    @pytest.mark.parametrize("regime", ["eregtools", "published"])
    @pytest.mark.parametrize("use_sequence", [True, False])
    def test_divergence(self, mdata, regime, use_sequence):
        config = SMALL if use_sequence else None
        with pytest.raises(ValueError, match="training diverged"):
            train(mdata, learning_rate=1e30, regime=regime, use_sequence=use_sequence, config=config, gradient_clip=1e9)

    def test_frozen_without_an_encoder(self, mdata):
        with pytest.raises(ValueError, match="freeze_encoder=True keeps the tower that the model starts from"):
            train(mdata, freeze_encoder=True)

    def test_leakage_is_inherited(self, mdata):
        encoder = er.models.EPInformerSeq(EPInformerSeqConfig(tower_channels=CHANNELS))
        encoder.provenance = {"test_chromosomes": ["chr3"], "valid_chromosomes": ["chr2"], "leakage": "yes"}
        with pytest.raises(ValueError, match="the encoder began from weights that saw"):
            train(mdata, encoder=encoder, max_epochs=1)
        assert train(mdata, encoder=encoder, max_epochs=1, allow_leakage=True).provenance["leakage"] == "yes"

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"max_epochs": 0}, "max_epochs is 0"),
            ({"batch_size": 1}, "batch_size is 1"),
            ({"learning_rate": 0.0}, "learning_rate is 0"),
            ({"weight_decay": -1.0}, "weight_decay is -1"),
            ({"max_shift": -5}, "max_shift is -5"),
            ({"resume": True, "overwrite": True}, "pass one of them"),
        ],
    )
    def test_settings_without_sense(self, mdata, change, message):
        with pytest.raises(ValueError, match=message):
            train(mdata, **change)

    def test_encoder_of_another_recipe(self, mdata):
        encoder = er.models.EPInformerSeq(EPInformerSeqConfig(tower_channels=CHANNELS))
        with pytest.raises(ValueError, match=r"the encoder has n_value=0\.25, the model 0\.0; .*a recipe that encodes"):
            train(mdata, encoder=encoder, recipe="v2", allow_leakage=True)
