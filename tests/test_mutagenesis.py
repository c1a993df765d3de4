"""Saturation mutagenesis that computes only what changes, against the plain network on every mutated sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import eregtools as er
from eregtools.batches.encode import PADDING, UNKNOWN
from eregtools.batches.genes import GeneInputs
from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
from eregtools.models.mutagenesis import ActivityMutagenesis, ExpressionMutagenesis, SlotMutagenesis, importance
from eregtools.models.slots import each_gene
from eregtools.models.substitutions import every_substitution
from networks import randomised

CPU = torch.device("cpu")


def one_by_one(network, codes):
    """Predictions ``(n,)`` and, with each base at each position, ``(n, 4, length)``; every sequence is run whole."""
    n, length = codes.shape
    with torch.inference_mode():
        unchanged = network(torch.from_numpy(codes)).numpy()
        out = np.repeat(unchanged, 4 * length).reshape(n, 4, length)
        for row, position in zip(*np.nonzero(codes != PADDING), strict=True):
            changed = np.repeat(codes[[row]], 4, axis=0)
            changed[:, position] = np.arange(4)
            out[row, :, position] = network(torch.from_numpy(changed)).numpy()
    return unchanged, out


def sequences(rng, n, length):
    """Random bases; unknown ones at an end, inside and alone; padding at both ends."""
    codes = rng.integers(0, 4, (n, length), dtype=np.uint8)
    codes[1, :5] = codes[1, 40:52] = codes[1, 90] = UNKNOWN
    codes[2, :21] = codes[2, -18:] = PADDING
    return codes


@pytest.mark.parametrize(
    "config",
    [
        EPInformerSeqConfig(window=128),
        EPInformerSeqConfig(window=112, hidden=0, n_value=0.0),
        EPInformerSeqConfig(window=96, tower_batchnorm=False, tower_channels=(24, 20, 16, 12, 8)),
    ],
)
@pytest.mark.parametrize("tables", [False, True])
def test_activity(config, tables):
    network = randomised(EPInformerSeq(config))
    codes = sequences(np.random.default_rng(1), 3, config.window)
    mutagenesis = ActivityMutagenesis(network, CPU)
    if tables:
        mutagenesis.expect(10**6)
    found, expected = mutagenesis(codes), one_by_one(network, codes)
    assert (mutagenesis.tower.tables is not None) == tables
    for ours, plain in zip(found, expected, strict=True):
        assert np.abs(ours - plain).max() <= 1e-5
    assert found[1].std() > 1e-3
    assert np.array_equal(found[1][2, :, :21], np.full((4, 21), found[0][2]))
    alone = mutagenesis(codes[1:2])
    assert np.allclose(alone[1][0], found[1][1], atol=1e-6)


def test_substitutions_reach_53_bp():
    """Output p of the tower sees inputs 16 p − 18 to 16 p + 34, so a base changes outputs within that and no others."""
    network = randomised(EPInformerSeq())
    codes = np.random.default_rng(2).integers(0, 4, (1, 256), dtype=np.uint8)
    mutagenesis = ActivityMutagenesis(network, CPU).mutagenesis
    what = every_substitution(codes)
    with torch.inference_mode():
        reference = mutagenesis.reference(torch.from_numpy(codes))
        start, values = mutagenesis.changes(reference, what)
    output = start.numpy()[:, None] + np.arange(values.shape[1])
    changed = (values.abs().amax(-1) > 1e-7).numpy()
    at = np.broadcast_to(what.position[:, None], output.shape)
    assert (16 * output[changed] - 18 <= at[changed]).all()
    assert (at[changed] <= 16 * output[changed] + 34).all()
    seen = np.zeros((16, 256), dtype=bool)
    seen[output[changed], at[changed]] = True
    position = np.arange(256)
    inside = (position >= 16 * np.arange(16)[:, None] - 18) & (position <= 16 * np.arange(16)[:, None] + 34)
    assert np.array_equal(seen, inside)


@pytest.mark.parametrize("batchnorm", [True, False])
def test_slots_and_expression(batchnorm):
    config = EPInformerConfig(
        n_slot_features=2, window=448, tower_channels=(24, 20, 16, 12, 8), head_batchnorm=batchnorm, n_gene_features=8
    )
    network = randomised(EPInformer(config))
    rng = np.random.default_rng(3)
    codes = sequences(rng, 3, 448)
    codes[2, :150] = codes[2, -210:] = PADDING
    what = every_substitution(codes)
    chosen = np.sort(rng.choice(len(what.row), 400, replace=False))
    what = type(what)(*(values[chosen] for values in what))
    unchanged, mutated = SlotMutagenesis(network, CPU)(codes, what)
    changed = codes[what.row]
    changed[np.arange(len(changed)), what.position] = what.base
    with torch.inference_mode():
        assert (network.embed(torch.from_numpy(changed)) - mutated).abs().max() <= 1e-5
        assert (network.embed(torch.from_numpy(codes)) - unchanged).abs().max() <= 1e-5

    features = rng.random((1, 3, 2), dtype=np.float32)
    of_gene = rng.random((1, 8), dtype=np.float32)
    inputs = GeneInputs(*(np.arange(k) for k in (1, 2, 2)), np.array([0, 2]), features[0, 1:], features[0, :1], of_gene)
    (gene,) = each_gene(inputs, unchanged[:1], unchanged[1:])
    for slot in (0, 2):
        found = ExpressionMutagenesis(network, CPU)(codes[slot], gene, slot)
        mine = np.flatnonzero(what.row == slot)[:40]
        whole = np.repeat(codes[None], len(mine), axis=0)
        whole[:, slot] = changed[mine]
        with torch.inference_mode():
            n = len(mine)
            out = network(
                torch.from_numpy(whole),
                torch.from_numpy(features).expand(n, -1, -1),
                torch.from_numpy(of_gene).expand(n, -1),
            )
        assert np.abs(found[1][0, what.base[mine], what.position[mine]] - out.expression.numpy()).max() <= 1e-5
    with pytest.raises(ValueError, match=r"this model takes windows of 448 bp"):
        SlotMutagenesis(network, CPU)(codes[:, :256], what)


def test_importance_is_what_the_present_base_adds():
    codes = np.array([[0, 3, UNKNOWN, PADDING]], dtype=np.uint8)
    mutated = np.zeros((1, 4, 4), dtype=np.float32) + 5
    mutated[0, :, 0] = [5, 1, 1, 1]
    mutated[0, :, 1] = [5, 5, 9, 5]
    mutated[0, :, 2] = [4, 4, 4, 4]
    present, each = importance(codes, np.array([5], dtype=np.float32), mutated)
    assert present.tolist() == [[3, -1, 1, 0]]
    assert each[0, :, 0].tolist() == [3, -1, -1, -1]
    assert (each[0, :, 3] == 0).all()


def test_same_as_tangermeme():
    library = pytest.importorskip("tangermeme.saturation_mutagenesis")
    network = randomised(EPInformerSeq(EPInformerSeqConfig(window=64)))
    codes = np.random.default_rng(4).integers(0, 4, (2, 64), dtype=np.uint8)

    class View(torch.nn.Module):
        def forward(self, x):
            return network.activity(network.encoder(x))[:, None]

    one_hot = network.one_hot(torch.from_numpy(codes))
    expected = library.saturation_mutagenesis(View().eval(), one_hot, device="cpu", hypothetical=True).numpy()
    present, each = importance(codes, *ActivityMutagenesis(network, CPU)(codes))
    assert np.abs(each - expected).max() <= 1e-5
    assert np.abs(present - (expected * one_hot.numpy()).sum(axis=1)).max() <= 1e-5


@pytest.mark.parametrize("name", ["enh_K562_fold8", "enh_GM12878_fold1"])
def test_published_weights(shared, name):
    """Predictions of the original code for every base of a sequence with a GATA motif."""
    folder = shared / "parity" / "epinformer"
    oracle = np.load(folder / "enhancer_predictor.npz")
    network = er.models.load_published(folder / "checkpoints" / f"{name}.pt")
    codes = oracle["codes"].astype(np.uint8)
    unchanged, mutated = ActivityMutagenesis(network, CPU)(codes[[10, 5, 6]])
    assert np.abs(mutated[0] - oracle[f"{name}/ism_row10_pred"]).max() <= 1e-5
    assert np.abs(unchanged - oracle[f"{name}/pred_N025"][[10, 5, 6]]).max() <= 1e-5
