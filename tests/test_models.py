"""Models without published weights: architecture, saving, what the reader of checkpoints refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

import eregtools as er
from eregtools.batches.encode import PADDING
from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
from eregtools.models.inference import ActivityPredictor, SlotEncoder
from eregtools.models.layers import PromoterAttention
from eregtools.models.recipes import RECIPES
from networks import original_names, randomised

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"n_slot_features": 0}, 447_149 - 8_320),
        ({"n_slot_features": 1}, 447_213),
        ({"n_slot_features": 2}, 447_277),
        ({"n_slot_features": 3}, 447_341),
        ({"n_gene_features": 8}, 447_341 - 128),
        ({"n_gene_features": 0}, 446_189),
        ({"head_batchnorm": False}, 446_893),
    ],
)
def test_parameter_counts_are_those_of_the_original(config, size):
    """Without slot features we leave the fusion out (its 8,320 parameters are never used)."""
    assert sum(p.numel() for p in EPInformer(EPInformerConfig(**config)).parameters()) == size


def test_activity_parameter_counts():
    assert sum(p.numel() for p in EPInformerSeq().parameters()) == 802_305
    assert sum(p.numel() for p in EPInformerSeq(EPInformerSeqConfig(hidden=0)).parameters()) == 212_737
    assert sum(p.numel() for p in EPInformerSeq(EPInformerSeqConfig(tower_batchnorm=False)).parameters()) == 801_537


@pytest.mark.parametrize(
    "config",
    [
        EPInformerConfig(n_slot_features=0, n_gene_features=0),
        EPInformerConfig(n_slot_features=1, n_value=0.0),
        EPInformerConfig(head_batchnorm=False, tower_batchnorm=False),
        EPInformerConfig(embedding_dim=128, window=1024, tower_channels=(32, 24, 16, 16, 40)),
    ],
)
@pytest.mark.parametrize("tables", [True, False])
def test_cropped_and_tabulated_slots_equal_the_plain_network(config, tables):
    model = randomised(EPInformer(config))
    rng = np.random.default_rng(1)
    window = config.window
    codes = np.full((40, window), PADDING, dtype=np.uint8)
    for row in codes[:-4]:
        width = int(rng.integers(1, window + 1))
        start = int(rng.integers(0, window - width + 1))
        row[start : start + width] = rng.integers(0, 5 if rng.random() < 0.3 else 4, width)
    codes[-3, 0] = codes[-2, -1] = 2
    codes[-1] = 4
    encoder = SlotEncoder(model, CPU)
    if tables:
        encoder.tower.expect(10**9)
    with torch.inference_mode():
        expected = model.embed(torch.from_numpy(codes))
    assert (encoder(codes) - expected).abs().max() <= 1e-5


def test_promoter_attention_is_multihead_attention_under_the_mask():
    torch.manual_seed(0)
    layer = PromoterAttention(64, 4).double()
    reference = torch.nn.MultiheadAttention(64, 4, batch_first=True).double()
    reference.load_state_dict(
        {
            "in_proj_weight": layer.in_proj.weight,
            "in_proj_bias": layer.in_proj.bias,
            "out_proj.weight": layer.out_proj.weight,
            "out_proj.bias": layer.out_proj.bias,
        }
    )
    x = torch.randn(3, 6, 64, dtype=torch.float64)
    padding = torch.tensor([[0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 1, 1], [0, 1, 1, 1, 1, 1]], dtype=torch.bool)
    forbidden = ~torch.eye(6, dtype=torch.bool)
    forbidden[0] = forbidden[:, 0] = False
    normed = layer.norm1(x)
    attended, weights = reference(normed, normed, normed, key_padding_mask=padding, attn_mask=forbidden)
    expected = x + attended
    expected = expected + layer.feed_forward(layer.norm2(expected))
    states, row = layer(x, padding)
    assert (states - expected)[~padding].abs().max() <= 1e-12
    assert (row - weights[:, 0]).abs().max() <= 1e-12
    only, _ = layer(x, padding, promoter_only=True)
    assert (only[:, 0] - expected[:, 0]).abs().max() <= 1e-12


def test_order_and_number_of_padded_slots_are_of_no_consequence():
    model = randomised(EPInformer(EPInformerConfig(n_slot_features=2))).double()
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, 5, 64, generator=generator, dtype=torch.float64)
    features = torch.rand(1, 5, 2, generator=generator, dtype=torch.float64)
    genes = torch.rand(1, 9, generator=generator, dtype=torch.float64)
    out = model.interact(states, features, genes).expression
    order = [0, 3, 1, 4, 2]
    assert torch.allclose(model.interact(states[:, order], features[:, order], genes).expression, out, atol=1e-12)
    wide = torch.cat([states, torch.full((1, 3, 64), 7.0, dtype=torch.float64)], dim=1)
    padding = torch.arange(8)[None] >= 5
    more = torch.cat([features, torch.full((1, 3, 2), 9.0, dtype=torch.float64)], dim=1)
    assert torch.allclose(model.interact(wide, more, genes, padding).expression, out, atol=1e-12)


@pytest.mark.parametrize("cls", [EPInformer, EPInformerSeq])
def test_saved_model_comes_back(cls, tmp_path):
    model = randomised(cls())
    model.provenance = {"name": "mine", "recipe": "v2"}
    model.save(tmp_path / "m")
    again = er.models.load(tmp_path / "m")
    assert type(again) is cls
    assert again.config == model.config
    assert again.provenance == model.provenance
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    other = EPInformerSeq if cls is EPInformer else EPInformer
    with pytest.raises(ValueError, match=f"holds a model of type '{cls.__name__}', not {other.__name__}"):
        other.load(tmp_path / "m")


def test_damaged_folder_is_refused(tmp_path):
    EPInformerSeq().save(tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="cannot be read as a model"):
        er.models.load(tmp_path / "m")
    EPInformerSeq().save(tmp_path / "m")
    broken = EPInformerSeq()
    broken.provenance = {"r": np.float32(1)}
    with pytest.raises(TypeError):
        broken.save(tmp_path / "m")
    assert er.models.load(tmp_path / "m").provenance == {}, "the old model is still whole"
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    for text in ("{", "[]", '{"model": "EPInformerSeq"}', '{"model": "EPInformerSeq", "config": {"colour": 1}}'):
        (tmp_path / "m" / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"cannot be read as a model|do not fit"):
            er.models.load(tmp_path / "m")
    EPInformerSeq().save(tmp_path / "m")
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        EPInformerSeq.load(tmp_path / "m")


class TestConfig:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"n_slot_features": 4}, "n_slot_features is 4"),
            ({"embedding_dim": 60}, "embedding_dim is 60"),
            ({"window": 100}, "window is 100"),
            ({"tower_channels": (64, 32)}, "tower_channels is"),
        ],
    )
    def test_impossible_sizes(self, change, message):
        with pytest.raises(ValueError, match=message):
            EPInformerConfig(**change)

    def test_wrong_number_of_features(self):
        model = EPInformer(EPInformerConfig(n_slot_features=2))
        states = torch.zeros(1, 3, 64)
        with pytest.raises(ValueError, match="slot_features hold 3 features; this model takes 2"):
            model.interact(states, torch.zeros(1, 3, 3), torch.zeros(1, 9))
        with pytest.raises(ValueError, match="gene_features hold 0 features; this model takes 9"):
            model.interact(states, torch.zeros(1, 3, 2))


class TestPublishedReader:
    @pytest.mark.parametrize(
        "model",
        [
            EPInformer(EPInformerConfig(n_slot_features=1)),
            EPInformer(EPInformerConfig(n_slot_features=0, n_gene_features=8)),
            EPInformer(EPInformerConfig(n_slot_features=3, n_gene_features=0, head_batchnorm=False)),
            EPInformerSeq(),
            EPInformerSeq(EPInformerSeqConfig(hidden=0)),
            EPInformerSeq(EPInformerSeqConfig(tower_batchnorm=False)),
        ],
        ids=["distance", "featureless", "no-genes-no-norm", "seq", "seq-linear", "seq-no-norm"],
    )
    def test_every_family_is_recognised(self, model, tmp_path):
        state = original_names(randomised(model))
        if isinstance(model, EPInformerSeq):
            state["encoder.conv_out.0.weight"] = torch.zeros(3)  # some carry a head that they do not use
        torch.save({"epoch": 1, "loss": np.float64(-0.5), "model_state_dict": state}, tmp_path / "x.pt")
        again = er.models.load_published(tmp_path / "x.pt")
        assert again.config == model.config
        for name, value in model.state_dict().items():
            assert torch.equal(again.state_dict()[name], value), name

    def test_code_is_never_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return (print, ("executed",))

        torch.save({"model_state_dict": Evil()}, tmp_path / "evil.pt")
        with pytest.raises(ValueError, match=r"wants to run code .*print"):
            er.models.load_published(tmp_path / "evil.pt")
        (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil()))
        with pytest.raises(ValueError, match=r"not a PyTorch checkpoint|wants to run code"):
            er.models.load_published(tmp_path / "plain.pt")

    @pytest.mark.parametrize("content", [b"", b",Pred,actual,fold_idx\n0,1.0,2.0,1\n", b"PK\x03\x04 truncated"])
    def test_not_a_checkpoint(self, content, tmp_path):
        path = tmp_path / "x.pt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a PyTorch checkpoint"):
            er.models.load_published(path)
        with pytest.raises(FileNotFoundError, match="no checkpoint at"):
            er.models.load_published(tmp_path / "absent.pt")

    def test_truncated_checkpoint(self, tmp_path):
        path = tmp_path / "x.pt"
        torch.save({"model_state_dict": original_names(EPInformerSeq())}, path)
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(ValueError, match="is not a PyTorch checkpoint"):
            er.models.load_published(path)

    def test_other_architectures(self, tmp_path):
        path = tmp_path / "x.pt"
        torch.save({"layer.weight": torch.zeros(2, 2)}, path)
        with pytest.raises(ValueError, match=r"another architecture: its tensors are named layer\.weight"):
            er.models.load_published(path)
        state = original_names(EPInformer())
        state["conv_out.12.weight"] = torch.zeros(2, 109)
        torch.save(state, path)
        with pytest.raises(ValueError, match="a head over 109 positions"):
            er.models.load_published(path)
        state = original_names(EPInformer())
        del state["seq_encoder.conv_tower.3.0.bias"]
        torch.save(state, path)
        with pytest.raises(ValueError, match=r"lacks encoder\.blocks\.1\.pointwise\.bias"):
            er.models.load_published(path)
        torch.save([1, 2], path)
        with pytest.raises(ValueError, match="holds no state dict"):
            er.models.load_published(path)
        for key, value in (("pToExpr.0.weight", torch.zeros(3)), ("attn_encoder.x", torch.zeros(3))):
            torch.save({**original_names(EPInformer()), key: value}, path)
            with pytest.raises(ValueError, match="holds another architecture"):
                er.models.load_published(path)
        rng = np.random.default_rng(0)
        for _ in range(300):
            path.write_bytes(bytes(rng.integers(0, 256, rng.integers(1, 60)).astype(np.uint8)))
            with pytest.raises(ValueError, match=r"PyTorch checkpoint|run code|state dict"):
                er.models.load_published(path)


class TestRecipes:
    def test_conventions(self):
        legacy = er.models.get_recipe("legacy", n_slot_features=3, n_gene_features=9)
        assert [f.name for f in legacy.slot_features] == ["distance", "contact", "activity"]
        assert [float(f.apply([-2500.0, 9.0])[1 if f.name != "distance" else 0]) for f in legacy.slot_features] == [
            2.5,
            1.0,
            9.0,
        ]
        assert legacy.n_value == 0.25
        assert [f.promoter for f in legacy.slot_features] == [0, 0, 0]
        v2 = er.models.get_recipe("v2", n_slot_features=3, n_gene_features=9)
        assert [f.name for f in v2.slot_features] == ["distance", "activity", "contact"]
        assert v2.n_value == 0
        assert [f.promoter for f in v2.slot_features] == [1, "log(1 + x)", 1]
        assert v2.gene_features[-1].apply([np.e - 1])[0] == pytest.approx(1)
        crispri = er.models.get_recipe("crispri-legacy", n_slot_features=3, n_gene_features=9)
        assert [f.promoter for f in crispri.slot_features] == [0, -1, -1]
        assert crispri.slot_features[1].apply([0.0, 0.99])[0] == -1
        assert crispri.slot_features[1].apply([0.99])[0] == pytest.approx(1)
        assert crispri.max_enhancers is None

    @pytest.mark.parametrize("name", list(RECIPES))
    def test_number_of_features_is_what_was_asked(self, name):
        for n_slot in range(4):
            for n_gene in (0, 8, 9):
                recipe = er.models.get_recipe(name, n_slot_features=n_slot, n_gene_features=n_gene)
                assert len(recipe.slot_features) == n_slot
                assert len(recipe.gene_features) == n_gene
                assert recipe.as_dict()["name"] == name

    def test_unknown(self):
        with pytest.raises(ValueError, match="no recipe 'v3'; there are legacy, v2, crispri-legacy, log, promoter"):
            er.models.get_recipe("v3", n_slot_features=2, n_gene_features=9)


def test_activity_does_not_depend_on_chunks():
    model = randomised(EPInformerSeq())
    codes = np.random.default_rng(0).integers(0, 5, (300, 256)).astype(np.uint8)
    whole = ActivityPredictor(model, CPU)(codes)
    parts = np.concatenate([ActivityPredictor(model, CPU)(part) for part in np.array_split(codes, 7)])
    assert np.abs(whole - parts).max() <= 1e-5
