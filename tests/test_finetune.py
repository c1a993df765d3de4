"""Going on from published weights, on real K562 windows: they are where training starts, and what it may not see."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import eregtools as er
from eregtools.models import EPInformerSeqConfig, zoo
from eregtools.train.modules import ActivityRegression

ENCODER = "EPInformer-seq/K562/activity/fold1"
"""It tests chr2 and chr12, and validates chr1 and chr11."""

FOLDS = {1: {"valid": ["chr2"], "test": ["chr12"]}}
TRAINED_ON = ["chr4", "chr5"]
UNMOVED = 1e-12
"""A learning rate that changes no weight in single precision."""


@pytest.fixture(scope="module")
def published(shared):
    """Published predictions and measured values of some windows, by the name of the window."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(zoo.WEIGHTS_VARIABLE, str(shared / "data" / "epinformer" / "checkpoints"))
        table = pd.read_csv(shared / "data" / "epinformer" / "golden_encoder_windows.tsv.gz", sep="\t")
        table = table[table["chrom"].isin([*TRAINED_ON, "chr2", "chr12"])].drop_duplicates(["chrom", "start", "end"])
        yield table.set_index(
            pd.Index(table["chrom"] + ":" + table["start"].astype(str) + "-" + table["end"].astype(str))
        )


@pytest.fixture(scope="module")
def built(shared, published):
    mdata = er.pp.assemble(
        genes=pd.DataFrame({"chrom": ["chr1"], "tss": [10**6]}, index=["none"]),
        enhancers=published[["chrom", "start", "end"]],
        samples="K562",
        genome=er.Genome(shared / "data" / "genome" / "hg38.partial.fa.gz", name="hg38"),
    )
    er.pp.add_signal(mdata, {"K562": (2 ** published["actual_log2"] - 0.1).clip(lower=0)}, assay="activity")
    er.pp.split(mdata, FOLDS)
    return mdata


@pytest.fixture
def mdata(built):
    return built.copy()


@pytest.fixture(scope="module")
def genome(shared):
    return er.Genome(shared / "data" / "genome" / "hg38.partial.fa.gz", name="hg38")


@pytest.fixture
def train(mdata, genome):
    return lambda **changes: trained(mdata, genome, **changes)


def trained(mdata, genome, **changes):
    arguments = {"fold": 1, "encoder": ENCODER, "learning_rate": 1e-4, "max_epochs": 1, "device": "cpu"}
    return er.tl.train_activity(mdata, genome=genome, **(arguments | changes))


@pytest.fixture(scope="module")
def tuned(built, genome, published, tmp_path_factory):
    """A fine-tuned model, its folder, and what its network predicts of the validation windows before the first step."""
    found = {}

    def look(self):
        windows = self.trainer.datamodule.valid.data
        with torch.no_grad():
            found["predicted"] = self.network.eval()(torch.from_numpy(windows.codes)).numpy()
        found["target"] = windows.target
        self.network.train()

    folder = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActivityRegression, "on_train_start", look)
        return trained(built, genome, folder=folder), folder, found


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def test_training_starts_at_the_published_predictions(published, tuned):
    """Before the first step, the validation windows are predicted as the authors' table says."""
    model, _, start = tuned
    expected = published[published["chrom"] == "chr2"]
    assert len(start["target"]) == len(expected) == 196
    r = correlation(start["predicted"], start["target"])
    assert r == pytest.approx(correlation(expected["pred_published"], expected["actual_log2"]), abs=1e-3)
    assert r > 0.6
    source = er.models.load(ENCODER)
    assert model.config == source.config
    assert model.provenance["encoder_sha256"] == source.fingerprint() != model.fingerprint()
    assert model.provenance["leakage"] == "no"


def test_every_weight_starts_from_the_published_one(train):
    """The head's too; batch normalisation's moments alone move without a learning rate."""
    source = er.models.load(ENCODER)
    before = source.fingerprint()
    model = train(encoder=source, learning_rate=UNMOVED, weight_decay=0.0)
    weights, start = dict(model.named_parameters()), dict(source.named_parameters())
    assert weights.keys() == start.keys()
    for name, value in weights.items():
        assert torch.allclose(value, start[name], rtol=0, atol=1e-7), name
    moments = {name for name, value in model.named_buffers() if not torch.equal(value, source.get_buffer(name))}
    assert any(name.startswith("encoder") for name in moments)
    assert any(name.startswith("head") for name in moments)
    assert source.fingerprint() == before, "the encoder that was passed is left as it was"


def test_published_weights_help_where_windows_are_few(tuned, train):
    """94 windows teach a network little, even if these epochs are chosen on the windows that it is judged on."""
    scratch = train(encoder=None, learning_rate=5e-4, max_epochs=2).provenance
    tuned_r, scratch_r = (about["training"]["val_r"] for about in (tuned[0].provenance, scratch))
    assert "encoder_sha256" not in scratch
    assert tuned_r > scratch_r + 0.05


def test_what_a_fine_tuned_model_left_out(tuned, mdata, genome, train):
    """It predicts its test chromosome alone, and can itself be gone on from."""
    model, folder, _ = tuned
    er.tl.predict_activity(mdata, {1: folder}, genome=genome, device="cpu")
    tested = (mdata["enhancers"].var["Chromosome"] == "chr12").to_numpy()
    assert np.array_equal(np.isfinite(mdata["enhancers"].layers["activity_pred"][0]), tested)
    assert mdata.uns["eregtools"]["results"]["enhancers:activity_pred"]["leakage"].tolist() == ["no"]
    again = train(encoder=folder, rng=1).provenance
    assert again["encoder_sha256"] == model.fingerprint()
    assert again["leakage"] == "no"
    assert again["test_chromosomes"] == ["chr12"]


class TestRefused:
    def test_encoder_of_another_fold(self, train, mdata, genome):
        """Fold 12 was trained on chr12 and validated on chr2."""
        other = "EPInformer-seq/K562/activity/fold12"
        with pytest.raises(ValueError, match="the encoder was trained on chr12, which this fold holds out; take the"):
            train(encoder=other)
        with pytest.raises(ValueError, match="trained on chr12, chr2, which this fold holds out"):
            train(encoder="EPInformer-seq/K562/activity/fold5")
        model = train(encoder=other, allow_leakage=True)
        assert model.provenance["leakage"] == "yes"
        er.tl.predict_activity(mdata, {1: model}, genome=genome, device="cpu")
        assert mdata.uns["eregtools"]["results"]["enhancers:activity_pred"]["leakage"].tolist() == ["yes"]
        with pytest.raises(ValueError, match="the encoder began from weights that saw what its fold holds out"):
            train(encoder=model)
        with pytest.raises(ValueError, match="layer 'activity_pred' was predicted by weights that were trained"):
            er.tl.evaluate_activity(mdata, genome=genome)

    def test_a_set_of_encoders(self, train):
        with pytest.raises(KeyError, match="is a set of fold models; name one of them"):
            train(encoder="EPInformer-seq/K562/activity")

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (EPInformerSeqConfig(hidden=128), "the encoder has hidden=256, the model 128"),
            (EPInformerSeqConfig(window=512), "the encoder has window=256, the model 512"),
            (EPInformerSeqConfig(n_value=0.0), r"the encoder has n_value=0\.25, the model 0\.0"),
        ],
    )
    def test_another_architecture(self, train, config, message):
        with pytest.raises(ValueError, match=message):
            train(config=config)

    def test_a_model_of_expression(self, train):
        with pytest.raises(ValueError, match="encoder= is of type EPInformer; expected EPInformerSeq"):
            train(encoder="EPInformer-PE-Activity/K562/CAGE/fold1", config=EPInformerSeqConfig())
