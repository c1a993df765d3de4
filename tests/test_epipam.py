"""The network EPIPAM: its geometry, its arithmetic, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

import eregtools as er
from eregtools.batches.encode import PADDING, UNKNOWN
from eregtools.models import EPIPAM, EPIPAMConfig
from eregtools.models.words import WordTables
from networks import randomised

SMALL = EPIPAMConfig(enhancer_length=600, promoter_length=460, channels=8, pools=(5, 4, 2), hidden=8)

LEAN = EPIPAMConfig(enhancer_length=431, promoter_length=333, channels=5, kernels=(9, 5, 3), pools=(4, 3, 2), hidden=3)


def sequences(n, config=SMALL, seed=0, high=5):
    rng = np.random.default_rng(seed)
    return [
        torch.from_numpy(rng.integers(0, high, (n, length), dtype=np.uint8))
        for length in (config.enhancer_length, config.promoter_length)
    ]


def network(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return randomised(EPIPAM(config), seed)


def test_geometry_of_the_paper():
    config = EPIPAMConfig()
    assert config.bins("enhancer") == (297, 28, 4)
    assert config.bins("promoter") == (197, 18, 2)
    assert config.n_relations == (585, 50, 8)
    assert config.main_size == 384
    assert config.strides == (10, 100, 500)
    assert config.receptive_fields == (34, 244, 1244)
    config = EPIPAMConfig.preset("1000x1000")
    assert config.bins("enhancer") == config.bins("promoter") == (122, 27, 5)
    assert config.n_relations == (148, 72, 25)
    assert config.receptive_fields == (32, 152, 440)


@pytest.mark.parametrize("pools", [(10, 10, 5), (8, 4, 4)])
def test_the_shortest_window_is_the_last_receptive_field(pools):
    shortest = EPIPAMConfig(pools=pools).receptive_fields[-1]
    assert EPIPAMConfig(enhancer_length=shortest, pools=pools, attention=False).bins("enhancer")[-1] == 1
    with pytest.raises(ValueError, match=rf"enhancer window is {shortest - 1} bp.*at least {shortest:} bp"):
        EPIPAMConfig(enhancer_length=shortest - 1, pools=pools)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"promoter_length": 500}, "promoter window is 500 bp"),
        ({"kernels": (25, 13)}, "one entry a stage"),
        ({"ratios": (0.01, 0.1, 0.0)}, r"ratios in \(0, 1\]"),
        ({"ratios": (1e-6, 0.1, 1.0)}, "leave a stage without relations"),
        ({"embedding": "5-mer"}, "None or '6-mer'"),
    ],
)
def test_what_cannot_be_built_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EPIPAMConfig(**changes)
    with pytest.raises(ValueError, match="there are 3000x2000, 1000x1000"):
        EPIPAMConfig.preset("2000x2000")


def test_windows_of_another_length_are_refused():
    enhancer, promoter = sequences(2)
    with pytest.raises(ValueError, match=r"promoter codes have shape \(2, 600\); this model takes windows of 460 bp"):
        network()(enhancer, enhancer)
    with pytest.raises(ValueError, match="variable_length=True"):
        network()(enhancer, promoter, (torch.tensor([600, 500]), torch.tensor([460, 460])))


@pytest.mark.parametrize("embedding", [None, "6-mer"])
@pytest.mark.parametrize("attention", [True, False])
def test_equations_of_the_paper(embedding, attention):
    """Written out for single pairs in double precision, with a plain convolution over one-hot bases or words."""
    config = EPIPAMConfig(**{**SMALL.__dict__, "embedding": embedding, "embedding_dim": 6, "attention": attention})
    model = network(config).double()
    enhancers, promoters = sequences(3, config)
    out = model(enhancers, promoters, with_attention=attention)
    for row in range(3):
        maps, strong = [], []
        for tower, codes in ((model.enhancer, enhancers), (model.promoter, promoters)):
            if embedding is None:
                x = torch.stack([(codes[row] == "ACGT".index(base)).double() for base in "AGCT"])
            else:
                x = tower.embedding(tower.words(codes[row : row + 1]).long())[0].T
            maps.append(x)
        for stage, k in enumerate(config.n_relations):
            for side, tower in enumerate((model.enhancer, model.promoter)):
                conv = tower.stages[stage].conv
                x = torch.relu(functional.conv1d(maps[side][None], conv.weight, conv.bias))
                maps[side] = functional.max_pool1d(x, config.pools[stage])[0]
            if not attention:
                continue
            relation = maps[0].T @ maps[1] / config.channels
            assert (out.attention[stage].relation[row] - relation).abs().max() <= 1e-12
            weights = [torch.softmax(relation.max(axis).values, 0) for axis in (1, 0)]
            assert (out.attention[stage].enhancer[row] - weights[0]).abs().max() <= 1e-12
            maps = [x + x * weight for x, weight in zip(maps, weights, strict=True)]
            strong.append(torch.sort(relation.flatten(), descending=True).values[:k])
        expected = head(model.main, torch.cat([x.flatten() for x in maps]))
        assert abs(float((out.logit[row] - expected).detach())) <= 1e-12
        if attention:
            assert abs(float((out.auxiliary_logit[row] - head(model.auxiliary, torch.cat(strong))).detach())) <= 1e-12
    assert (out.auxiliary_logit is None) == (not attention)


def head(module, x):
    norm = module.norm
    x = (x - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    return module.out.weight @ torch.relu(module.hidden.weight @ x + module.hidden.bias) + module.out.bias


@pytest.mark.parametrize(("width", "span", "vocabulary"), [(25, 5, 5), (13, 5, 3), (4, 5, 3), (7, 1, 11), (5, 5, 3)])
def test_looked_up_convolution_and_its_gradients(width, span, vocabulary):
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(vocabulary, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 4, width, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    symbols = torch.randint(0, vocabulary, (3, 61), generator=generator)
    plain = functional.conv1d(vectors[symbols].transpose(1, 2), weight, bias)
    plain = torch.relu(functional.max_pool1d(plain, 3))
    looked_up = WordTables.of(vectors, weight, span).convolve_and_pool(symbols, bias, 3)
    assert (looked_up - plain).abs().max() <= 1e-12
    with torch.no_grad():
        again = WordTables.of(vectors, weight, span).convolve_and_pool(symbols, bias, 3)
    assert torch.equal(again, looked_up)
    pull = torch.randn(plain.shape, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad((plain * pull).sum(), (vectors, weight, bias))
    found = torch.autograd.grad((looked_up * pull).sum(), (vectors, weight, bias))
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 1e-10


@pytest.mark.parametrize("config", [EPIPAMConfig(), EPIPAMConfig.preset("1000x1000"), SMALL, LEAN])
def test_predictions_are_the_same_bits_in_any_batch(config):
    model = network(config)
    enhancers, promoters = sequences(11, config)
    with torch.inference_mode():
        whole = model(enhancers, promoters)
        for size in (1, 2, 7):
            parts = [model(a, b) for a, b in zip(enhancers.split(size), promoters.split(size), strict=True)]
            assert torch.equal(torch.cat([part.logit for part in parts]), whole.logit)
            assert torch.equal(torch.cat([part.auxiliary_logit for part in parts]), whole.auxiliary_logit)
    with torch.no_grad():
        assert torch.equal(model(enhancers, promoters).logit, whole.logit)


def test_unknown_bases_and_padding_are_zeros():
    model = network()
    enhancers, promoters = sequences(2, high=4)
    enhancers[:, 100:140] = UNKNOWN
    padded = enhancers.clone()
    padded[padded == UNKNOWN] = PADDING
    assert torch.equal(model(enhancers, promoters).logit, model(padded, promoters).logit)
    assert not model.enhancer.one_hot(enhancers)[:, :, 100:140].any()


def test_bins_see_what_the_geometry_says():
    """A base changes exactly the bins of each stage whose receptive field holds it (without attention: by content)."""
    config = EPIPAMConfig(**{**SMALL.__dict__, "attention": False, "kernels": (9, 5, 3), "pools": (4, 3, 2)})
    model = network(config).double()
    x = torch.rand(1, 4, config.enhancer_length, dtype=torch.float64, requires_grad=True)
    out = x
    for stage in range(3):
        layer = model.enhancer.stages[stage]
        out = layer.conv(out)
        out = functional.avg_pool1d(out, layer.pool.kernel_size)  # of every convolution output, not the largest alone
        stride, field = config.strides[stage], config.receptive_fields[stage]
        assert out.shape[2] == config.bins("enhancer")[stage]
        for number in (0, 1, out.shape[2] - 1):
            (gradient,) = torch.autograd.grad(out[0, :, number].abs().sum(), x, retain_graph=True)
            seen = np.flatnonzero(gradient[0].abs().sum(0).numpy())
            assert (seen[0], seen[-1] + 1) == (stride * number, stride * number + field)


def test_windows_of_any_length():
    """Padding is of no consequence, full windows give what the fixed network gives, and gradients are finite."""
    fixed = network()
    model = EPIPAM(EPIPAMConfig(**{**SMALL.__dict__, "variable_length": True})).eval()
    model.load_state_dict(fixed.state_dict())
    enhancers, promoters = sequences(4, high=4)
    assert torch.allclose(model(enhancers, promoters).logit, fixed(enhancers, promoters).logit, atol=1e-6)
    lengths = torch.tensor([600, 431, 350, 280]), torch.tensor([460, 460, 299, 281])
    for codes, length in zip((enhancers, promoters), lengths, strict=True):
        for row, end in enumerate(length.tolist()):
            codes[row, end:] = torch.randint(0, 6, (codes.shape[1] - end,), dtype=torch.uint8)
    together = model(enhancers, promoters, lengths, with_attention=True)
    for row in range(4):
        n, m = (int(length[row]) for length in lengths)
        alone = model(
            enhancers[row : row + 1, :n], promoters[row : row + 1, :m], (torch.tensor([n]), torch.tensor([m]))
        )
        assert torch.allclose(alone.logit[0], together.logit[row], atol=1e-5)
        assert torch.allclose(alone.auxiliary_logit[0], together.auxiliary_logit[row], atol=1e-5)
    bins = model.config.bins("enhancer", 280)[0]
    assert not together.attention[0].enhancer[3, bins:].any()
    model.train()
    model(enhancers, promoters, lengths).logit.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    with pytest.raises(ValueError, match="enhancer window is 200 bp"):
        model(enhancers, promoters, (torch.tensor([600, 431, 350, 200]), lengths[1]))


def test_dropout_is_where_the_authors_have_it():
    model = EPIPAM()
    assert [stage.dropout.p for stage in model.enhancer.stages] == [0.2, 0.2, 0.2]
    assert (model.main.dropout.p, model.auxiliary.dropout.p) == (0.5, 0.5)
    assert not [name for name, _ in model.named_parameters() if name.startswith("attention")]


@pytest.mark.parametrize("embedding", [None, "6-mer"])
def test_files(tmp_path, embedding):
    config = EPIPAMConfig(**{**SMALL.__dict__, "embedding": embedding, "embedding_dim": 6})
    model = network(config)
    model.provenance = {"name": "mine", "biosample": "GM12878", "assay": "interaction", "fold": 3}
    model.save(tmp_path)
    again = er.models.load(tmp_path)
    assert isinstance(again, EPIPAM)
    assert again.config == config
    assert again.provenance["fold"] == 3
    assert torch.equal(again(*sequences(2)).logit, model(*sequences(2)).logit)
    about = json.loads((tmp_path / "config.json").read_text())
    assert about["recipe"]["name"] == ("epipam" if embedding is None else "epipam-6mer")
    assert about["recipe"]["base_order"] == ("AGCT" if embedding is None else "ACGT")
    card = (tmp_path / "README.md").read_text()
    assert "10.70401/cbm.2026.0013" in card
    assert "A, G, C, T" in card if embedding is None else "words of 6 bases" in card


def test_other_weights_under_the_authors_names_are_refused(tmp_path):
    shapes = {"enhancer_conv1.weight": (64, 4, 25), "linear1.weight": (64, 400), "linear1.bias": (64,)}
    torch.save({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="other windows than 3000 x 2000 or 1000 x 1000"):
        er.models.load(tmp_path / "other.pt")
    shapes["linear1.weight"] = (64, 384)
    torch.save(
        {"a1": 0.6, "a2": 0.4, "model_state_dict": {n: torch.zeros(s) for n, s in shapes.items()}}, tmp_path / "part.pt"
    )
    with pytest.raises(ValueError, match="lacks enhancer"):
        er.models.load(tmp_path / "part.pt")
