"""EPIPAM against the outputs of the authors' code (parity/epipam)."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

import eregtools as er
from eregtools.batches.pairs import keras_tokens
from eregtools.models import EPIPAM, EPIPAMConfig, published_epipam
from eregtools.models.epipam import Words

TAGS = ("onehot", "chia1000", "embed")
SIDES = ("enhancer", "promoter")
PARAMETERS = {"onehot": 245_064, "chia1000": 235_692}
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def oracle(shared):
    return shared / "parity" / "epipam"


def load(oracle, tag):
    return er.models.load_published(oracle / f"{tag}_state_fp16.pt")


def stored(oracle, tag):
    return dict(np.load(oracle / f"{tag}_io.npz"))


def first_maps(model, io):
    """First maps of the eight pairs, from sequence (letters as they are) or from words."""
    if "enhancer_tokens" in io:
        return [model.tower(side).first(torch.from_numpy(io[f"{side}_tokens"].astype(np.int32))) for side in SIDES]
    return [model.first(side, torch.from_numpy(codes(io[f"{side}_ascii"]))) for side in SIDES]


def codes(letters):
    table = np.full(256, 4, dtype=np.uint8)
    for code, base in enumerate(b"ACGT"):
        table[[base, base | 0x20]] = code
    return table[letters]


def test_one_hot_order_is_that_of_the_recipe(oracle):
    """The oracle numbers A G C T 0 to 3, and everything else is four zeros."""
    io, model = stored(oracle, "onehot"), load(oracle, "onehot")
    assert model.recipe.base_order == "AGCT"
    ours = model.enhancer.one_hot(torch.from_numpy(codes(io["enhancer_ascii"]))).numpy()
    theirs = np.eye(5, 4, dtype=np.float32)[io["enhancer_code"]].transpose(0, 2, 1)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("tag", TAGS)
def test_both_heads_and_every_stage(oracle, tag):
    io, model = stored(oracle, tag), load(oracle, tag)
    maps = []
    for stage in model.attention:
        stage.register_forward_hook(lambda module, inputs, out: maps.append(out))
    with torch.inference_mode():
        out = model.interact(*first_maps(model, io), with_attention=True)
    assert np.abs(out.logit.numpy() - io["logit1_sorted"]).max() <= TOLERANCE
    assert np.abs(out.logit.numpy() - io["logit1_asrun"]).max() <= TOLERANCE
    assert np.abs(out.auxiliary_logit.numpy() - io["logit2_sorted"]).max() <= TOLERANCE
    assert np.abs(torch.sigmoid(out.logit).numpy() - io["prob1_sorted"]).max() <= TOLERANCE
    for stage, (attention, attended) in enumerate(zip(out.attention, maps, strict=True), start=1):
        relation = attention.relation.numpy()
        if f"M{stage}" in io:
            assert np.abs(relation[:2] - io[f"M{stage}"]).max() <= TOLERANCE
        assert np.abs(np.abs(relation).max(axis=(1, 2)) - io[f"M{stage}_absmax_f64"]).max() <= TOLERANCE
        found = {"M": relation, "e": attended.enhancer.numpy(), "p": attended.promoter.numpy()}
        for name, values in found.items():
            total = values.astype(np.float64).sum(axis=(1, 2))
            expected = io[f"{name}{stage}_sum_f64"]
            assert np.abs(total / expected - 1).max() <= 1e-5
            if name != "M" and f"{name}{stage}" in io:
                assert np.abs(values[:2] - io[f"{name}{stage}"]).max() <= TOLERANCE


@pytest.mark.parametrize("tag", TAGS)
def test_strongest_relations_sorted_and_in_the_order_of_the_authors_run(oracle, tag):
    io, model = stored(oracle, tag), load(oracle, tag)
    with torch.inference_mode():
        maps = first_maps(model, io)
        out = model.interact(*maps, with_attention=True)
        for stage, attention in enumerate(out.attention, start=1):
            k = model.config.n_relations[stage - 1]
            flat = attention.relation.flatten(1)
            places = torch.from_numpy(io[f"topidx{stage}_sorted"].astype(np.int64))
            assert places.shape[1] == k
            assert (flat.topk(k).values - flat.gather(1, places)).abs().max() <= TOLERANCE
        as_run = [torch.from_numpy(io[f"topidx{stage}_asrun"].astype(np.int64)) for stage in (1, 2, 3)]
        again = model.interact(*maps, order=as_run)
    assert np.abs(again.auxiliary_logit.numpy() - io["logit2_asrun"]).max() <= TOLERANCE
    assert np.array_equal(again.logit.numpy(), out.logit.numpy())
    assert np.abs(io["logit2_asrun"] - io["logit2_sorted"]).max() > 100 * TOLERANCE  # the order is of consequence


@pytest.mark.parametrize("tag", TAGS)
def test_without_attention(oracle, tag):
    """The towers and the main head alone; a reconstruction, the authors' code has no such model."""
    expected = json.loads((oracle / "epi_identityPAM_reconstruction.json").read_text())[f"{tag}_identityPAM_prob1"]
    full = load(oracle, tag)
    config = {**full.config.__dict__, "attention": False}
    model = EPIPAM(EPIPAMConfig(**config)).eval()
    model.load_state_dict({k: v for k, v in full.state_dict().items() if not k.startswith("auxiliary")})
    with torch.inference_mode():
        out = model.interact(*first_maps(model, stored(oracle, tag)))
    assert np.abs(torch.sigmoid(out.logit).numpy() - expected).max() <= TOLERANCE
    assert out.auxiliary_logit is None
    assert out.attention == ()


@pytest.mark.parametrize("tag", TAGS)
def test_sizes(oracle, tag):
    model = load(oracle, tag)
    n = sum(parameter.numel() for parameter in model.parameters())
    if tag == "embed":  # its tables were cut to 65 words
        assert n - 2 * 65 * 100 + 2 * 4097 * 100 == 1_371_664
        assert sum(p.numel() for p in EPIPAM(EPIPAMConfig(embedding="6-mer")).parameters()) == 1_371_664
    else:
        assert n == PARAMETERS[tag]
        assert sum(p.numel() for p in EPIPAM(model.config).parameters()) == n


@pytest.mark.parametrize(
    ("run", "n_steps", "tolerance"),
    [
        ("sorted_f64", 3, 1e-6),
        # Then Adam turns rounding errors of tiny gradients into steps. The authors' own float32 loss of the embedding
        # variant is 4.5e-6 from float64.
        ("sorted_f32", 1, 5e-6),
        ("as_run_f32", 1, 5e-6),  # the order in which relations were taken is stored of the first step only
    ],
)
@pytest.mark.parametrize("tag", TAGS)
def test_training_steps(oracle, tag, run, n_steps, tolerance):
    io, about = stored(oracle, tag), json.loads((oracle / f"{tag}_train.json").read_text())
    state, expected = load(oracle, tag), about[run]
    dtype = torch.float64 if run.endswith("f64") else torch.float32
    model = EPIPAM(EPIPAMConfig(**{**state.config.__dict__, "dropout": 0.0, "head_dropout": 0.0})).train()
    model.load_state_dict(state.state_dict())
    model.to(dtype)
    label = torch.from_numpy(io["label"]).to(dtype)
    alpha = float(np.float32(about["alpha"]))
    optimiser = torch.optim.Adam(model.parameters(), lr=about["lr"], weight_decay=about["weight_decay"])
    places = None
    if run == "as_run_f32":
        places = [torch.from_numpy(io[f"topidx{stage}_asrun"].astype(np.int64)) for stage in (1, 2, 3)]
    for step in range(n_steps):
        out = model.interact(*first_maps(model, io), order=places)
        terms = [functional.binary_cross_entropy_with_logits(x, label) for x in (out.logit, out.auxiliary_logit)]
        loss = alpha * terms[0] + (1 - alpha) * terms[1]
        for value, name in ((loss, "loss"), (terms[0], "bce1"), (terms[1], "bce2")):
            assert abs(float(value.detach()) - expected[name][step]) <= tolerance
        if run == "sorted_f32":
            assert abs(float(loss.detach()) - about["sorted_f64"]["loss"][step]) <= 1e-6
        optimiser.zero_grad()
        loss.backward()
        if step == 0 and run != "as_run_f32":
            check_gradients(model, about["sorted_f64"]["grad"])
        optimiser.step()
        if step == 0 and run != "as_run_f32":
            check_weights(model, about["sorted_f64"]["after1"])


def check_gradients(model, expected):
    parameters = renamed(dict(model.named_parameters()), expected)
    for name, (norm, _, first) in expected.items():
        gradient = parameters[name].grad
        # Batch normalisation takes off what a bias before it adds: such gradients are rounding errors.
        assert abs(float(gradient.norm()) - norm) <= 1e-3 * norm + 1e-7, name
        assert np.abs(gradient.flatten()[:4].numpy() - first[:4]).max() <= 1e-3 * norm + 1e-7, name


def check_weights(model, expected):
    parameters = renamed(dict(model.named_parameters()), expected)
    for name, (norm, _) in expected.items():
        assert abs(float(parameters[name].detach().norm()) / norm - 1) <= 1e-3, name


def renamed(parameters, names):
    """Parameters under the authors' names."""
    ours = {next(iter(published_epipam.renamed({name: torch.zeros(1)}))): name for name in names}
    assert set(ours) == set(parameters)
    return {theirs: parameters[name] for name, theirs in ours.items()}


def test_words_as_keras_makes_them(oracle):
    about = json.loads((oracle / "tokenizer_cases.json").read_text())
    for sequence, expected in about["cases"].items():
        assert keras_tokens(sequence, about["maxlen"]).tolist() == expected
    for word, number in about["check"].items():
        assert keras_tokens(word, 1).tolist() == [number]


def test_words_of_the_network(oracle):
    """As the authors' where each unknown base is a capital N; every other one is read as N, too."""
    about = json.loads((oracle / "tokenizer_cases.json").read_text())
    compared = 0
    for sequence, expected in about["cases"].items():
        if set(sequence) <= set("ACGTN") or sequence.islower():
            found = Words(6)(torch.from_numpy(codes(np.frombuffer(sequence.encode(), dtype=np.uint8))[None]))[0].numpy()
            padded = np.concatenate([np.zeros(about["maxlen"], dtype=np.int32), found])[-about["maxlen"] :]
            assert padded.tolist() == expected
            compared += 1
    assert compared >= 8
    mixed = codes(np.frombuffer(b"AAAAAAAnCCCCCCC", dtype=np.uint8))[None]
    capital = codes(np.frombuffer(b"AAAAAAANCCCCCCC", dtype=np.uint8))[None]
    assert torch.equal(Words(6)(torch.from_numpy(mixed)), Words(6)(torch.from_numpy(capital)))
