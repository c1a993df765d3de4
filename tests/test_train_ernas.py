"""Training, fine-tuning, calibration and prediction of enhancer-RNA loci, from files on a disk to probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

import eregtools as er
from eregtools._keys import Uns, Var
from eregtools._schema import SCHEMA_VERSION, entry
from eregtools.batches.loci import LocusAugmentation
from eregtools.coverage import Coverage, CoverageWriter, record
from eregtools.datasets._erna_grammar import plant_grammar
from eregtools.datasets._erna_reads import (
    Locus,
    background_reads,
    counts_of,
    coverage_of,
    divergent_reads,
    joined,
    within,
)
from eregtools.models import ERNAformer, ERNAformerConfig
from eregtools.sampling import fold_table
from eregtools.tl._calibration import Calibration, estimated_prior, fitted_temperature
from eregtools.tl._erna_windows import track_windows, window_starts
from eregtools.train.loci import LocusClassification, MovingAverage, scratch_regime

SIZES = {"chr1": 400_000, "chr2": 160_000, "chr3": 160_000, "chr4": 9_000}
FOLDS = {1: {"valid": ["chr2"], "test": ["chr3", "chr4"]}}
LIBRARIES = {"A": 1e7, "B": 4e6}
TINY = ERNAformerConfig(
    seq_len=1024,
    sequence_channels=(8, 8, 8, 8, 16),
    signal_channels=(8, 8, 16),
    dim=16,
    n_layers=1,
    n_heads=2,
)
CALM = LocusAugmentation(jitter=64, thinning=1.0, off_register=0.0)


def make_world(folder):
    """Loci every 2.5 kb of three chromosomes, of which every second one is transcribed and holds the grammar."""
    rng = np.random.default_rng(0)
    letters, rows, arrays = {}, [], {name: {} for name in LIBRARIES}
    for chrom, size in SIZES.items():
        centres = np.arange(3_000, size - 3_000, 2_500)
        positive = np.arange(len(centres)) % 2 == 0
        codes = rng.integers(0, 4, (1, size)).astype(np.uint8)
        plant_grammar(rng, codes, np.zeros(positive.sum(), dtype=int), centres[positive])
        letters[chrom] = np.frombuffer(b"ACGT", dtype=np.uint8)[codes[0]].tobytes().decode()
        rows += [(chrom, at - 200, at + 200, at, float(is_one)) for at, is_one in zip(centres, positive, strict=True)]
        of_chrom = np.zeros(positive.sum(), dtype=int)
        for name in LIBRARIES:
            locus = Locus.draw(rng, er.datasets.ErnaSimulationConfig().read_law, centres[positive])
            chance = background_reads(rng, np.zeros(1, dtype=int), 0, size, 0.004)
            reads = within(joined([divergent_reads(rng, of_chrom, locus, 150.0), chance]), 0, size)
            assert counts_of(reads, 1, size).sum() > 0
            arrays[name][chrom] = coverage_of(reads, 1, 0, size, 75, 8)[0]
    fasta = folder / "g.fa"
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in letters.items()))
    er.register_genome("erna-toy", fasta)
    var = pd.DataFrame(rows, columns=["Chromosome", "Start", "End", "center", "label"])
    var.index = "eRNA:" + var["Chromosome"] + ":" + var["Start"].astype(str) + "-" + var["End"].astype(str)
    var["Chromosome"] = var["Chromosome"].astype("category")
    mdata = MuData({"ernas": AnnData(obs=pd.DataFrame(index=list(LIBRARIES)), var=var)})
    about = entry(mdata)
    sizes = pd.DataFrame({"length": list(SIZES.values())}, index=list(SIZES))
    about.update({Uns.schema: SCHEMA_VERSION, Uns.genome: "erna-toy", Uns.chrom_sizes: sizes})
    about[Uns.folds] = {"custom": fold_table(FOLDS, SIZES)}
    about[Uns.fold_schemes] = {Var.fold: "custom"}
    with CoverageWriter(folder / "coverage.zarr", SIZES) as writer:
        for name, size in LIBRARIES.items():
            values = arrays[name]
            if name == "B":
                values = {chrom: both.sum(axis=0, keepdims=True) for chrom, both in values.items()}
            writer.add(name, values, library_size=size, read_length=75)
    record(mdata, Coverage(folder / "coverage.zarr"))
    return mdata


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("ernas"))


@pytest.fixture
def mdata(built):
    return built.copy()


def train(mdata, **changes):
    arguments = {"config": TINY, "device": "cpu", "learning_rate": 3e-3, "batch_size": 32}
    if isinstance(mdata, MuData):
        arguments |= {"fold": 1, "augmentation": CALM}
    return er.tl.train_ernas(mdata, **(arguments | changes))


@pytest.fixture(scope="module")
def trained(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    return train(built.copy(), max_epochs=6, folder=folder), folder


@pytest.fixture(scope="module")
def simulation():
    return er.datasets.simulate_erna("align", n=200, seed=1)


class TestObject:
    def test_loci_are_learnt(self, mdata, trained):
        """From two libraries, of which one does not tell strands, to a chromosome that was never seen."""
        model, folder = trained
        er.tl.predict_ernas(mdata, {1: folder}, device="cpu")
        probability = mdata["ernas"].layers["probability"]
        on_test = mdata["ernas"].var["Chromosome"].isin(["chr3", "chr4"]).to_numpy()
        assert probability.shape == (2, len(on_test))
        assert np.isnan(probability[:, ~on_test]).all(), "chromosomes that the model saw are not predicted"
        label = mdata["ernas"].var["label"].to_numpy()[on_test]
        for of_sample in probability[:, on_test]:
            assert roc_auc_score(label, of_sample) > 0.95
        assert model.provenance["test_chromosomes"] == ["chr3", "chr4"]
        assert model.provenance["prior"] == pytest.approx(0.5, abs=0.02)
        assert model.provenance["biosample"] == ["A", "B"]
        record = mdata.uns["eregtools"]["results"]["ernas:probability"]
        assert record["sample"].tolist() == ["A", "B"]
        assert record["leakage"].tolist() == ["no", "no"]
        er._schema.validate(mdata)

    def test_saved_model_is_the_trained_one(self, trained):
        model, folder = trained
        again = er.models.load(folder)
        assert again.fingerprint() == model.fingerprint()
        assert again.provenance == model.provenance
        assert again.provenance["training"]["core"] == 200
        assert "RNA signal in bins of 8 bp" in (folder / "README.md").read_text()
        header = (folder / "log" / "metrics.csv").read_text().splitlines()[0]
        assert header == "stage,epoch,train_loss,val_loss,val_auroc,val_auprc,val_minus_auprc"

    def test_batches_and_order_are_of_no_consequence(self, mdata, trained):
        model, _ = trained
        er.tl.predict_ernas(mdata, model, device="cpu", sample="A")
        er.tl.predict_ernas(mdata, model, device="cpu", sample="A", batch_size=3, key_added="few")
        order = np.random.default_rng(0).permutation(mdata["ernas"].n_vars)
        other = MuData({"ernas": mdata["ernas"][:, order].copy()})
        other.uns = mdata.uns
        er.tl.predict_ernas(other, model, device="cpu", sample="A")
        expected = mdata["ernas"].layers["probability"][0]
        assert np.isnan(mdata["ernas"].layers["probability"][1]).all()
        for found in (mdata["ernas"].layers["few"][0], other["ernas"].layers["probability"][0][np.argsort(order)]):
            assert np.nanmax(np.abs(found - expected)) <= 1e-5

    def test_one_modality(self, mdata, trained):
        model, _ = trained
        on_test = mdata["ernas"].var["Chromosome"].isin(["chr3", "chr4"]).to_numpy()
        for modality in ("sequence", "signal"):
            er.tl.predict_ernas(mdata, model, modalities=modality, key_added=modality, device="cpu")
            assert np.isfinite(mdata["ernas"].layers[modality][:, on_test]).all()
        assert np.array_equal(*mdata["ernas"].layers["sequence"][:, on_test]), "both samples have the same sequence"
        assert not np.array_equal(*mdata["ernas"].layers["signal"][:, on_test])

    def test_copy_and_prior(self, mdata, trained):
        model, _ = trained
        new = er.tl.predict_ernas(mdata, model, device="cpu", copy=True)
        assert "probability" not in mdata["ernas"].layers
        rare = er.tl.predict_ernas(mdata, model, device="cpu", prior=0.01, copy=True)
        p, q = (m["ernas"].layers["probability"].astype(float) for m in (new, rare))
        known = np.isfinite(p) & (p > 1e-4) & (p < 1 - 1e-4)
        shift = logit(0.01) - logit(model.provenance["prior"])
        assert np.allclose(logit(q[known]) - logit(p[known]), shift, atol=0.02)

    def test_calibration_uses_the_chromosomes_that_chose_the_epoch(self, mdata, trained, tmp_path):
        model, _ = trained
        before = model.fingerprint(), dict(model.provenance)
        calibrated = er.tl.calibrate_ernas(mdata, model, device="cpu")
        assert (model.fingerprint(), model.provenance) == before
        about = calibrated.provenance["calibration"]
        assert about["n"] == 2 * int((mdata["ernas"].var["Chromosome"] == "chr2").sum())
        assert about["log_loss"] <= about["log_loss_before"] + 1e-9
        calibrated.save(tmp_path / "c")
        er.tl.predict_ernas(mdata, tmp_path / "c", device="cpu")
        er.tl.predict_ernas(mdata, model, device="cpu", key_added="plain")
        layers = mdata["ernas"].layers
        p, plain = (layers[k][np.isfinite(layers[k])].astype(float) for k in ("probability", "plain"))
        inner = (plain > 1e-4) & (plain < 1 - 1e-4) & (p > 1e-4) & (p < 1 - 1e-4)
        assert np.allclose(logit(p[inner]) * about["temperature"], logit(plain[inner]), atol=0.02)

    def test_windows_of_the_store(self, built):
        """As read one by one, and the running mean as it is taken over the whole chromosome."""
        store = Coverage(built.uns["eregtools"]["coverage"]["path"])
        starts = window_starts(np.array([700, 50_000, 51_000, 399_500]), TINY)
        assert (starts % 32 == 0).all()
        values, means = track_windows(store, "A", np.array(["chr1"] * 4), starts, TINY.width, TINY.contrast_bins)
        whole = np.pad(store.values("A", "chr1", 0, SIZES["chr1"]), [(0, 0), (2_000, 2_000)])
        half = TINY.contrast_bins // 2
        for start, value, mean in zip(starts, values, means, strict=True):
            assert np.array_equal(value, store.values("A", "chr1", int(start), int(start) + TINY.width))
            at = int(start) // 8 + 2_000
            expected = [whole[:, at + i - half : at + i + half + 1].mean(axis=1) for i in range(TINY.width // 8)]
            assert np.allclose(mean, np.stack(expected, axis=1), atol=1e-5)


class TestFineTuning:
    @pytest.mark.parametrize("freeze", ["stems", "stems+encoder", None])
    def test_frozen_parts_stay(self, mdata, trained, freeze):
        model, _ = trained
        tuned = er.tl.finetune_ernas(
            mdata, model, freeze=freeze, fold=1, min_positives=50, max_epochs=1, device="cpu", augmentation=CALM
        )
        same = {name for name, value in tuned.state_dict().items() if torch.equal(value, model.state_dict()[name])}
        moments = {name for name in tuned.state_dict() if "running" in name or "batches_tracked" in name}
        assert moments <= same, "running statistics stay"
        trainable = {name for name, _ in tuned.named_parameters()}
        stems = {n for n in trainable if n.startswith(("sequence_stem", "signal_stem", "join", "gate", "no_", "depth"))}
        encoder = {n for n in trainable if n.startswith(("layers", "norm"))}
        kept = {"stems": stems, "stems+encoder": stems | encoder, None: set()}[freeze]
        assert kept <= same
        assert not (trainable - kept) & same - {"pool.bias"}, "a constant moves no softmax"
        assert tuned.provenance["began_from_sha256"] == model.fingerprint()
        assert tuned.provenance["leakage"] == "no"
        assert "calibration" not in tuned.provenance

    def test_rates_fall_away_from_the_heads(self):
        config = replace(TINY, n_layers=3)
        how = scratch_regime().but(layer_rate=0.5, stem_rate=1.0)
        module = LocusClassification(ERNAformer(config), how)
        names = {"window_head.0.weight": 1, "layers.2.norm1.weight": 0.5, "layers.0.norm1.weight": 0.125}
        names |= {"sequence_stem.0.weight": 0.0625, "bin_head.weight": 1, "norm.weight": 1}
        for name, factor in names.items():
            assert module.rate_of(f"network.{name}") == factor, name

    def test_refused(self, mdata, trained):
        model, folder = trained
        with pytest.raises(ValueError, match="positives to train on, 500 are asked for"):
            er.tl.finetune_ernas(mdata, folder, fold=1, device="cpu")
        with pytest.raises(ValueError, match="freeze is 'all'"):
            er.tl.finetune_ernas(mdata, folder, fold=1, freeze="all")
        entry(mdata)[Uns.folds]["custom"] = fold_table({1: {"valid": ["chr2"], "test": ["chr1"]}}, SIZES)
        with pytest.raises(ValueError, match="the model was trained on chr1, which this fold holds out"):
            er.tl.finetune_ernas(mdata, model, fold=1, min_positives=10, device="cpu")
        entry(mdata)[Uns.folds]["custom"] = fold_table({1: {"valid": ["chr2"], "test": ["chr4"]}}, SIZES)
        with pytest.raises(ValueError, match="this fold trains on chr3, which the model held out"):
            er.tl.finetune_ernas(mdata, model, fold=1, min_positives=10, device="cpu")


class TestSimulation:
    def test_same_seed_same_weights(self, simulation):
        state = torch.random.get_rng_state()
        first, second, third = (train(simulation, max_epochs=1, rng=rng).fingerprint() for rng in (1, 1, 2))
        assert first == second != third
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_negatives_are_paired_anew_in_each_epoch(self, simulation, monkeypatch):
        seen = []
        monkeypatch.setattr(
            LocusClassification,
            "on_train_epoch_end",
            lambda self: seen.append(self.trainer.datamodule.train.data.windows.track.copy()),
            raising=False,
        )
        model = train(simulation, max_epochs=2)
        assert len(seen) == 2
        assert not np.array_equal(*seen)
        assert model.provenance["biosample"] == "simulated"
        assert model.provenance["simulation"]["task"] == "align"

    def test_broken_training_goes_on(self, simulation, tmp_path, monkeypatch):
        """With the moving average of the weights: the same as if it had never broken."""
        whole = train(simulation, max_epochs=3, folder=tmp_path / "whole")

        def broken(self):
            if len(self.history) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(LocusClassification, "on_train_epoch_start", broken)
            with pytest.raises((KeyboardInterrupt, SystemExit)):
                train(simulation, max_epochs=3, folder=tmp_path / "broken")
        resumed = train(simulation, max_epochs=3, folder=tmp_path / "broken", resume=True)
        assert resumed.fingerprint() == whole.fingerprint()
        history = resumed.provenance["training"]["history"]
        assert history == whole.provenance["training"]["history"]

    def test_what_is_kept_is_the_average(self, simulation):
        """Nothing but the average of the weights of its steps."""
        plain = ERNAformer(TINY)
        average = MovingAverage(0.999)
        module = LocusClassification(plain, scratch_regime())
        values = []
        for step in range(1, 6):
            with torch.no_grad():
                plain.norm.weight.fill_(step)
            average.on_train_batch_end(None, module, None, None, step)
            values.append(float(average.average["norm.weight"][0]))
        expected = [1.0]
        for step in range(2, 6):
            share = step / (9 + step)
            expected.append(share * expected[-1] + (1 - share) * step)
        assert values == pytest.approx(expected)
        average.on_validation_start(None, module)
        assert float(plain.norm.weight[0].detach()) == pytest.approx(expected[-1])
        average.on_validation_end(None, module)
        assert float(plain.norm.weight[0].detach()) == 5

    def test_one_modality_tells_nothing_after_training(self, simulation):
        model = train(simulation, max_epochs=2)
        pairs = simulation.pairs
        for modality, column in (("sequence", "sequence"), ("signal", "track")):
            p = er.tl.predict_ernas(simulation, model, modalities=modality, device="cpu")
            of_input = pd.Series(p).groupby(pairs[column].to_numpy())
            assert (of_input.max() - of_input.min()).max() < 1e-6
            one = of_input.first().to_numpy()[pairs[column]]
            difference = np.sign(one[simulation.labels == 1][:, None] - one[simulation.labels == 0])
            assert difference.sum() == 0

    def test_what_a_simulation_has_not(self, simulation):
        with pytest.raises(ValueError, match="a simulation has no folds, samples"):
            train(simulation, fold=1)
        with pytest.raises(ValueError, match="leave no room for a jitter of 128 bp"):
            train(simulation, augmentation=LocusAugmentation())
        with pytest.raises(ValueError, match="the model reads 4352"):
            er.tl.train_ernas(simulation, config=ERNAformerConfig.preset("small"))


class TestProbabilities:
    def test_temperature_is_found(self):
        rng = np.random.default_rng(0)
        right = rng.normal(0, 2, 20_000)
        label = (rng.random(20_000) < expit(right)).astype(np.float32)
        for temperature in (0.25, 1.0, 4.0):
            found = fitted_temperature((right * temperature).astype(np.float32), label)
            assert found == pytest.approx(temperature, rel=0.05)

    def test_prior_of_another_place_is_found(self):
        """Loci of two classes, scored by their exact odds under equal shares, seen where one in twenty is positive."""
        rng = np.random.default_rng(0)
        label = rng.random(50_000) < 0.05
        values = rng.normal(np.where(label, 1.0, -1.0), 1.0)
        odds = 2 * values
        assert estimated_prior(expit(odds), 0.5) == pytest.approx(0.05, abs=0.005)
        shifted = Calibration(1.0, 0.5).probabilities(odds, "estimate")
        assert shifted.mean() == pytest.approx(0.05, abs=0.005)
        for low in np.arange(0, 1, 0.25):
            group = (shifted >= low) & (shifted < low + 0.25)
            assert shifted[group].mean() == pytest.approx(label[group].mean(), abs=0.06)

    def test_bad_priors(self):
        for prior in (0.0, 1.0, -1, "guess"):
            with pytest.raises(ValueError, match="expected a share between 0 and 1"):
                Calibration(1.0, 0.5).probabilities(np.zeros(2, np.float32), prior)
        with pytest.raises(ValueError, match="was trained with is not known"):
            Calibration().probabilities(np.zeros(2, np.float32), 0.1)


class TestRefused:
    def test_missing_parts_are_named(self, mdata):
        with pytest.raises(ValueError, match="fold= is missing"):
            er.tl.train_ernas(mdata, config=TINY)
        with pytest.raises(KeyError, match="scheme 'custom' has no fold 4"):
            train(mdata, fold=4)
        without = mdata.copy()
        del without["ernas"].var["label"]
        with pytest.raises(KeyError, match=r"no column 'label'; run er\.pp\.label_ernas first"):
            train(without)
        without = mdata.copy()
        del without.uns["eregtools"]["coverage"]
        with pytest.raises(KeyError, match=r"the object has no coverage; run er\.pp\.add_coverage"):
            train(without)
        with pytest.raises(KeyError, match="the object has no modality 'ernas'"):
            er.tl.predict_ernas(er.datasets.three_genes(), ERNAformer(TINY))

    def test_labels_that_cannot_be_learnt(self, mdata):
        mdata["ernas"].var["label"] = 1.0
        with pytest.raises(ValueError, match=r"'label' takes one value only \(1\) in the train set"):
            train(mdata)
        mdata["ernas"].var["label"] = np.nan
        with pytest.raises(ValueError, match="fold 1 has 0 loci with a value of 'label' in its train set"):
            train(mdata)
        mdata["ernas"].var["label"] = 2.0
        with pytest.raises(ValueError, match=r"\['label'\] holds 2 .*; expected 1, 0 or NaN"):
            train(mdata)

    def test_models_that_do_not_serve(self, mdata, simulation):
        with pytest.raises(ValueError, match="is of type EPInformerSeq; expected ERNAformer"):
            er.tl.predict_ernas(mdata, er.models.EPInformerSeq(), device="cpu")
        with pytest.raises(TypeError, match="expected an ERNAformer or its folder"):
            er.tl.predict_ernas(simulation, er.models.EPInformerSeq(), device="cpu")
        with pytest.raises(ValueError, match="does not say which chromosomes chose its epoch"):
            er.tl.calibrate_ernas(mdata, ERNAformer(TINY), device="cpu")
        few = er.datasets.simulate_erna("confounders", n=10)
        with pytest.raises(ValueError, match="there are 20 labelled loci to calibrate on"):
            er.tl.calibrate_ernas(few, ERNAformer(TINY), device="cpu")
        with pytest.raises(ValueError, match="modalities is 'none'"):
            er.tl.predict_ernas(few, ERNAformer(TINY), modalities="none", device="cpu")

    def test_other_coverage(self, mdata, tmp_path, trained):
        with CoverageWriter(tmp_path / "other.zarr", SIZES, bin_size=16) as writer:
            for name in LIBRARIES:
                writer.add(name, {"chr1": np.ones((1, SIZES["chr1"] // 16))}, library_size=1e6, read_length=50)
        with pytest.raises(ValueError, match="is not the coverage that the object records"):
            er.tl.predict_ernas(mdata, trained[0], coverage=tmp_path / "other.zarr", device="cpu")
        del mdata.uns["eregtools"]["coverage"]
        with pytest.raises(ValueError, match="has bins of 16 bp; the models read bins of 8 bp"):
            er.tl.predict_ernas(mdata, trained[0], coverage=tmp_path / "other.zarr", device="cpu")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"max_epochs": 0}, "max_epochs is 0"),
            ({"learning_rate": 0.0}, "learning_rate is 0"),
            ({"core": 700}, "core=700, margin=600"),
            ({"learning_rate": 1e30, "max_epochs": 2}, "training diverged"),
        ],
    )
    def test_settings_without_sense(self, mdata, change, message):
        with pytest.raises(ValueError, match=message):
            train(mdata, **change)


@pytest.mark.slow
def test_small_network_learns_to_align():
    """4,800 pairs, two epochs, less than two minutes on one core; no score of one modality alone passes 0.5."""
    model = er.tl.train_ernas(
        er.datasets.simulate_erna("align", n=4_800, seed=0),
        preset="small",
        max_epochs=2,
        learning_rate=1e-3,
        batch_size=64,
        device="cpu",
        rng=0,
    )
    test = er.datasets.simulate_erna("align", n=400, seed=10_000)
    reached = roc_auc_score(test.labels, er.tl.predict_ernas(test, model, device="cpu"))
    assert reached >= 0.95
    swapped = replace(test, coverage=test.coverage[:, ::-1], local_mean=test.local_mean[:, ::-1])
    assert roc_auc_score(test.labels, er.tl.predict_ernas(swapped, model, device="cpu")) < 0.6
    moved = replace(test, coverage=np.roll(test.coverage, 16, axis=-1))
    assert roc_auc_score(test.labels, er.tl.predict_ernas(moved, model, device="cpu")) < 0.75
