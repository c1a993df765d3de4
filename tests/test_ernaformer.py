"""The network and its input: invariances that hold for any weights, and the slips that they catch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import eregtools as er
from eregtools.batches.loci import (
    IGNORED,
    LocusAugmentation,
    LocusBatch,
    Squash,
    off_register,
    reverse_signal,
    running_mean,
    thin,
)
from eregtools.batches.windows import reverse_complement
from eregtools.models import ERNAformer, ERNAformerConfig, rotary
from eregtools.models.locus_inference import LocusPredictor
from networks import randomised

CPU = torch.device("cpu")
SHORT = ERNAformerConfig.preset("small", seq_len=1024)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return randomised(ERNAformer(SHORT))


@pytest.fixture(scope="module")
def batch():
    windows = er.datasets.simulate_erna("confounders", n=16, seed=1).windows()
    return windows.batch(np.arange(len(windows)))


def tensors(n, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 5, (n, length), generator=generator, dtype=torch.uint8)
    return codes, torch.randn(n, 5, length // 8, generator=generator)


@pytest.mark.parametrize(("preset", "millions"), [("small", 0.36), ("base", 2.32), ("large", 5.78)])
def test_sizes(preset, millions):
    n = sum(p.numel() for p in ERNAformer(ERNAformerConfig.preset(preset)).parameters())
    assert n / 1e6 == pytest.approx(millions, abs=0.005)


def test_tokens_of_a_chromosome_are_those_of_its_windows(model):
    """A stem that runs over 65,536 bp once serves every window in it."""
    codes, signal = tensors(1, 65_536 + 256)
    with torch.inference_mode():
        tokens = model.stem(codes, signal)
        chunk = tokens.unfold(1, 32, 16).movedim(-1, 2).flatten(0, 1)
        starts = range(0, 65_536 - 1024 + 1, 512)
        alone = [model(codes[:, at : at + 1280], signal[:, :, at // 8 : (at + 1280) // 8]) for at in starts]
        at_once = model.read(chunk)
    assert tokens.shape == (1, 2048, 96)
    assert (at_once.window - torch.cat([out.window for out in alone])).abs().max() <= 1e-5
    assert (at_once.bins - torch.cat([out.bins for out in alone])).abs().max() <= 1e-5


def test_tokens_see_96_bp_to_either_side(model):
    codes, signal = tensors(1, 1280)
    with torch.inference_mode():
        before = model.stem(codes, signal)
        other, moved = codes.clone(), signal.clone()
        other[:, 640] = (codes[:, 640] + 1) % 4
        moved[:, :, 80] += 1
        changed = [
            (before - model.stem(*pair)).abs().amax(-1)[0].nonzero().flatten()
            for pair in ((other, signal), (codes, moved))
        ]
    token = (640 - 128) // 32
    for tokens in changed:
        assert tokens.min() >= token - 3
        assert tokens.max() <= token + 3


def test_both_strands_have_the_same_logit(model, batch):
    """Exactly: the two terms of the mean change places."""
    predictor = LocusPredictor(model, CPU)
    turned = batch.turned(np.ones(len(batch), dtype=bool))
    forward, backward = predictor(batch), predictor(turned)
    assert np.array_equal(forward.window, backward.window)
    assert np.array_equal(forward.bins, backward.bins[:, ::-1])
    one_strand = LocusPredictor(model, CPU, both_strands=False)
    assert np.abs(one_strand(batch).window - one_strand(turned).window).max() > 1e-3


@pytest.mark.parametrize("slip", ["strands not exchanged", "not complemented"])
def test_a_wrong_reverse_complement_shows(model, batch, slip):
    turned = batch.turned(np.ones(len(batch), dtype=bool))
    if slip == "strands not exchanged":
        turned = replace(turned, coverage=turned.coverage[:, ::-1], local_mean=turned.local_mean[:, ::-1])
    else:
        turned = replace(turned, codes=batch.codes[:, ::-1])
    predictor = LocusPredictor(model, CPU)
    assert np.abs(predictor(batch).window - predictor(turned).window).max() > 1e-3


def test_turning_twice_is_nothing(batch):
    rows = np.arange(len(batch)) % 2 == 0
    once = batch.turned(rows)
    again = once.turned(rows)
    for name in LocusBatch.__dataclass_fields__:
        assert np.array_equal(getattr(again, name), getattr(batch, name)), name
    assert np.array_equal(once.codes[rows], reverse_complement(batch.codes[rows]))
    squash = SHORT.squash
    assert np.allclose(once.signal(squash)[rows], reverse_signal(batch.signal(squash)[rows]))


def test_place_in_the_batch_is_of_no_consequence(model, batch):
    predictor = LocusPredictor(model, CPU)
    expected = predictor(batch).window
    order = np.random.default_rng(0).permutation(len(batch))
    assert np.abs(predictor(batch.take(order)).window - expected[order]).max() <= 1e-5
    for size in (1, 5):
        assert np.abs(predictor(batch, batch_size=size).window - expected).max() <= 1e-5


def wins(label, score):
    """Pairs that a score ranks right, less those that it ranks wrong: 0 is an AUROC of one half, in whole numbers."""
    difference = np.sign(score[label == 1][:, None] - score[label == 0])
    return int(difference.sum())


def read_permuted(model, order=None):
    tokens = torch.randn(3, 32, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return model.read(tokens if order is None else tokens[:, order]).window


def test_order_of_tokens_matters(model):
    order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
    assert (read_permuted(model) - read_permuted(model, order)).abs().max() > 1e-3


def test_positions_on_the_batch_axis_are_caught(model, monkeypatch):
    """C.Origami's slip: rows of the batch are counted instead of tokens, so that order no longer matters."""
    rotate = rotary.rotate
    monkeypatch.setattr(rotary, "rotate", lambda x: rotate(x.transpose(0, 2)).transpose(0, 2))
    order = torch.randperm(32, generator=torch.Generator().manual_seed(1))
    assert (read_permuted(model) - read_permuted(model, order)).abs().max() < 1e-5


def test_rotation_tells_distances_only():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 1, 1, 24, generator=generator, dtype=torch.float64).expand(1, 1, 20, 24) for _ in range(2))
    products = rotary.rotate(q)[0, 0] @ rotary.rotate(k)[0, 0].T
    assert torch.allclose(products[:-1, :-1], products[1:, 1:], atol=1e-12)
    assert (products[0] - products[0, 0]).abs().max() > 0.1
    assert torch.allclose(rotary.rotate(q).norm(dim=-1), q.norm(dim=-1))


class TestModalities:
    @pytest.mark.parametrize(("modality", "column"), [("sequence", "track"), ("signal", "sequence")])
    def test_one_modality_does_not_read_the_other(self, model, batch, modality, column):
        other = batch.take(np.roll(np.arange(len(batch)), 1))
        mixed = replace(other, codes=batch.codes) if column == "track" else replace(batch, codes=other.codes)
        predictor = LocusPredictor(model, CPU, modalities=modality)
        assert np.array_equal(predictor(batch).window, predictor(mixed).window)
        both = LocusPredictor(model, CPU)
        assert np.abs(both(batch).window - both(mixed).window).max() > 1e-3

    @pytest.mark.parametrize("modality", ["sequence", "signal"])
    def test_on_re_paired_loci_it_is_at_one_half(self, model, modality):
        """With random weights, exactly: each sequence and each track is once positive and once negative."""
        simulation = er.datasets.simulate_erna("align", n=60, seed=2)
        windows = simulation.windows()
        scores = LocusPredictor(model, CPU, modalities=modality)(windows.batch(np.arange(len(windows)))).window
        # The same input in another place of a batch may differ in the last bit: ranks are those of distinct inputs.
        column = simulation.pairs["sequence" if modality == "sequence" else "track"].to_numpy()
        first = scores[: len(scores) // 2][np.argsort(column[: len(scores) // 2])]
        assert np.abs(scores - first[column]).max() < 1e-5
        assert wins(simulation.labels, first[column]) == 0

    def test_depth_is_read(self, model, batch):
        deeper = replace(batch, coverage=batch.coverage * 10, local_mean=batch.local_mean * 10)
        deeper = replace(deeper, library_size=batch.library_size * 10)
        predictor = LocusPredictor(model, CPU)
        assert np.abs(predictor(batch).window - predictor(deeper).window).max() > 1e-4


class TestSignal:
    def test_channels(self):
        coverage = np.array([[[3.0, 0.0], [1.0, 2.0]]], dtype=np.float32)
        batch = LocusBatch(
            np.zeros((1, 16), np.uint8),
            coverage,
            np.ones_like(coverage),
            np.array([2e6]),
            np.array([True]),
            np.ones(1, np.float32),
            np.zeros(1, np.int64),
        )
        signal = batch.signal(Squash())
        assert np.allclose(signal[0, :2], np.log1p(10 * coverage[0] / 2))
        assert np.allclose(signal[0, 2:4], np.log1p(10 * coverage[0] / 2) - np.log1p(10 / 2), atol=1e-6)
        assert (signal[0, 4] == 1).all()
        hidden = replace(batch, stranded=np.array([False])).signal(Squash())
        assert np.allclose(hidden[0, 0], np.log1p(10 * np.array([2.0, 1.0]) / 2))
        assert np.array_equal(hidden[0, 0], hidden[0, 1])
        assert (hidden[0, 4] == 0).all()
        assert Squash("squash")(np.float32(16.0)) == pytest.approx(8.0)
        assert Squash("squash")(np.float32(1e6)) < 600

    def test_contrast_does_not_depend_on_the_window(self):
        """The running mean of a stretch is that of any longer one: a window's own mean would not be."""
        values = np.random.default_rng(0).gamma(0.2, 5, (2, 5000)).astype(np.float32)
        whole, part = running_mean(values, 1251), running_mean(values[:, 700:3000], 1251)
        assert np.allclose(whole[:, 700 : 700 + part.shape[1]], part, atol=1e-5)

    def test_labels_of_tokens(self, batch):
        labels = batch.token_labels(1024, 32, core=50, margin=150)
        middle = 128 + np.arange(32) * 32 + 15.5
        for row in range(len(batch)):
            away = np.abs(middle - batch.centre[row])
            if batch.label[row] == 1:
                assert np.array_equal(labels[row] == 1, away <= 50)
                assert np.array_equal(labels[row] == IGNORED, (away > 50) & (away <= 150))
            else:
                assert (labels[row] == 0).all()
        turned = batch.turned(np.ones(len(batch), dtype=bool)).token_labels(1024, 32, core=50, margin=150)
        assert np.array_equal(turned[:, ::-1], labels)


class TestAugmentation:
    def test_thinned_coverage_is_that_of_fewer_reads(self):
        rng = np.random.default_rng(0)
        coverage = np.full((400, 2, 200), 20.0, dtype=np.float32)
        thinned = thin(coverage, np.full(400, 0.25), rng)[..., 20:-20]
        assert thinned.mean() == pytest.approx(5, rel=0.02)
        # 20 reads at a bin, each kept with probability 1/4, of which neighbours have most in common
        assert thinned.var() == pytest.approx(20 * 0.25 * 0.75, rel=0.2)
        assert np.corrcoef(thinned[..., :-1].ravel(), thinned[..., 1:].ravel())[0, 1] > 0.8
        assert (thin(np.zeros((2, 2, 9), np.float32), np.ones(2), rng) == 0).all()

    def test_jitter_moves_sequence_and_signal_together(self, batch):
        moved = batch.cropped(1024, np.full(len(batch), 64))
        assert np.array_equal(moved.codes, batch.codes[:, 192 : 192 + 1024])
        assert np.array_equal(moved.coverage, batch.coverage[..., 24 : 24 + 128])
        assert np.array_equal(moved.centre, batch.centre - 192)

    def test_off_register_negatives(self, batch):
        moved = off_register(batch, 1_000, np.random.default_rng(0))
        assert (moved.label == 0).all()
        assert np.array_equal(moved.codes, batch.codes)
        assert np.allclose(moved.coverage.sum(axis=-1), batch.coverage.sum(axis=-1), rtol=1e-5)
        for before, after in zip(batch.coverage, moved.coverage, strict=True):
            if before.sum() > 0:
                overlap = [np.array_equal(np.roll(before, shift, axis=-1), after) for shift in range(160)]
                shift = int(np.flatnonzero(overlap)[0])
                assert 40 <= shift <= 120

    def test_all_together(self, batch):
        wide = replace(batch, codes=np.tile(batch.codes, 2), coverage=np.tile(batch.coverage, 2))
        wide = replace(wide, local_mean=np.tile(batch.local_mean, 2))
        augmentation = LocusAugmentation(off_register=0.5)
        changed = augmentation(wide, 1280, np.random.default_rng(0))
        again = augmentation(wide, 1280, np.random.default_rng(0))
        assert len(changed) > len(batch)
        assert (changed.label[len(batch) :] == 0).all()
        assert changed.codes.shape[1] == 1280
        assert np.array_equal(changed.coverage, again.coverage)
        assert 0.4 < changed.stranded.mean() < 1
        assert np.isfinite(changed.signal(SHORT.squash)).all()
        hidden = LocusAugmentation(modality_dropout=0.5).hidden(2_000, np.random.default_rng(0))
        assert not (hidden[0] & hidden[1]).any()
        assert (hidden[0] | hidden[1]).mean() == pytest.approx(0.5, abs=0.05)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"jitter": 12}, "jitter is 12"),
            ({"thinning": 0.5}, "thinning is 0.5"),
            ({"strand_dropout": 1.0}, "strand_dropout is 1.0"),
        ],
    )
    def test_bad_settings(self, change, message):
        with pytest.raises(ValueError, match=message):
            LocusAugmentation(**change)


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seq_len": 1000}, "seq_len is 1000"),
            ({"seq_len": 512}, "seq_len is 512"),
            ({"halo": 64}, "halo is 64"),
            ({"dim": 100}, "dim is 100"),
            ({"sequence_channels": (8, 8)}, "sequence_channels is"),
            ({"transform": "sqrt"}, "transform is 'sqrt'"),
            ({"signal_scale": 0.0}, "signal_scale is 0"),
        ],
    )
    def test_impossible_sizes(self, change, message):
        with pytest.raises(ValueError, match=message):
            ERNAformerConfig(**change)
        with pytest.raises(ValueError, match="preset is 'tiny'"):
            ERNAformerConfig.preset("tiny")

    def test_windows_of_another_length(self, model):
        codes, signal = tensors(1, 1024)
        with pytest.raises(ValueError, match="this model takes windows of 1280 bp"):
            model(codes, signal)
        with pytest.raises(ValueError, match="signal has shape"):
            model(*(tensors(1, 1280)[0], signal))
        with pytest.raises(ValueError, match="expected a multiple of 32 above 2 × 128"):
            model.stem(*tensors(1, 256))

    def test_negative_coverage(self):
        windows = er.datasets.simulate_erna("units").windows()
        with pytest.raises(ValueError, match="coverage holds values that are negative"):
            replace(windows, coverage=-windows.coverage).check()
        with pytest.raises(ValueError, match="library_size holds 0"):
            replace(windows, library_size=0 * windows.library_size).check()
        with pytest.raises(ValueError, match=r"local_mean has shape .*; expected"):
            replace(windows, local_mean=windows.local_mean[:, :, 1:]).check()


def test_saved_model_comes_back(model, tmp_path):
    model.save(tmp_path / "m")
    again = er.models.load(tmp_path / "m")
    assert isinstance(again, ERNAformer)
    assert again.config == model.config
    assert (again.config.transform, again.config.signal_scale, again.config.contrast_width) == ("log1p", 10.0, 10_000)
    assert again.fingerprint() == model.fingerprint()
    card = (tmp_path / "m" / "README.md").read_text()
    assert "independent implementation" in card
    assert "RNA signal" in card
