"""Attributions of interactions and of transcription: they add up, and mean what a changed base does."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import torch

import eregtools as er
from eregtools._keys import UNS
from eregtools._schema import link_positions, validate
from eregtools.batches.loci import LocusBatch
from eregtools.batches.pairs import pair_windows
from eregtools.models import EPIPAM, EPIPAMConfig, ERNAformer, ERNAformerConfig
from eregtools.models.locus_inference import LocusPredictor, locus_tensors
from eregtools.models.window_attribution import InteractionView, TranscriptionView
from eregtools.tl._erna_windows import locus_windows
from eregtools.tl._seqlets import read_windows
from networks import randomised
from scan_world import UNIT, UNKNOWN_RUN, make_scan_world

CPU = torch.device("cpu")
SAMPLE = "GM12878"
ENHANCER, PROMOTER = 400, 330
PAIRS = EPIPAMConfig(
    enhancer_length=ENHANCER, promoter_length=PROMOTER, channels=8, kernels=(9, 5), pools=(6, 4), ratios=(0.1, 1)
)
LOCI = ERNAformerConfig(
    seq_len=256,
    halo=96,
    sequence_channels=(8, 8, 8, 8, 8),
    signal_channels=(4, 4, 4),
    dim=16,
    n_layers=1,
    n_heads=2,
    pool_tokens=4,
)


def sharpened(model, **factors):
    """Random weights, large enough for predictions to differ: factors of convolutions and of matrices."""
    torch.manual_seed(0)
    randomised(model)
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(factors.get({2: "matrices", 3: "convolutions"}.get(value.ndim), 1))
    return model


def epipam(config=PAIRS, **about):
    torch.manual_seed(0)
    model = sharpened(EPIPAM(config), convolutions=2.5)
    model.provenance = {"name": "pairs", "assay": "interaction", "biosample": SAMPLE, **about}
    return model


def transcriber():
    torch.manual_seed(0)
    model = sharpened(ERNAformer(LOCI), convolutions=2, matrices=5)
    model.provenance = {"name": "loci", "assay": "ernas", "biosample": "A"}
    return model


@pytest.fixture(scope="module")
def model():
    return epipam()


@pytest.fixture(scope="module")
def ernaformer():
    return transcriber()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_scan_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def linked(world):
    rows = [
        ("chr1", 3_000, 3_400, "chr1", 9_000, 9_200, 1),
        ("chr1", 3_000, 3_400, "chr1", 12_000, 12_200, 0),
        ("chr1", 5_000, 5_700, "chr1", 9_000, 9_200, 0),
        ("chr2", 100, 300, "chr2", 5_000, 5_200, 1),
        ("chr2", 24_000, 24_600, "chr2", 5_000, 5_200, 1),  # of N alone
    ]
    table = pd.DataFrame(rows, columns=["Chromosome", "Start", "End", "Chromosome2", "Start2", "End2", "label"])
    return er.pp.pairs(table, genome=world.genome, enhancer_width=ENHANCER, promoter_width=PROMOTER, sample=SAMPLE)


@pytest.fixture
def mdata(linked):
    return linked.copy()


@pytest.fixture(scope="module")
def transcribed(world):
    mdata = world.object()
    places = [("chr1", 3_000), ("chr1", UNIT + 11_000), ("chr2", 120), ("chr2", 50_000)]
    loci = pd.DataFrame([(chrom, at - 100, at + 100) for chrom, at in places], columns=["Chromosome", "Start", "End"])
    er.pp.candidate_ernas(mdata, "bed", source=loci, genome=world.genome, mask=loci[:0])
    of_n = mdata["ernas"].var.index[3]
    mdata["ernas"].var.loc[of_n, ["Start", "End", "center"]] = np.array([-100, 100, 0]) + sum(UNKNOWN_RUN) // 2
    return mdata


@pytest.fixture
def loci(transcribed):
    return transcribed.copy()


def pair_codes(mdata, genome, row):
    """Windows of the enhancer and of the promoter of a link."""
    gene, enhancer = (rows[[row]] for rows in link_positions(mdata))
    windows = [pair_windows(mdata, name, n, genome) for name, n in (("enhancers", ENHANCER), ("genes", PROMOTER))]
    return [one.codes(genome, rows)[0] for one, rows in zip(windows, (enhancer, gene), strict=True)]


def interaction(model, enhancer, promoter):
    """Log odds by the network itself."""
    with torch.inference_mode():
        return float(model(torch.from_numpy(enhancer[None]), torch.from_numpy(promoter[None])).logit)


def both_sides(mdata, key, row):
    """Attributions of a link, enhancer and promoter."""
    return [mdata["links"].varm[name][row].astype(float) for name in (key, f"{key}_promoter")]


def locus_of(loci, world, row, sample="A"):
    table = loci["ernas"].var.iloc[[row]]
    return locus_windows(table, [sample], np.zeros(1, np.float32), LOCI, world.genome, world.coverage).batch(
        np.array([0])
    )


def with_base(codes, at, base):
    changed = codes.copy()
    changed[at] = base
    return changed


def snapshot(mdata):
    """All that an attribution could change."""
    return {
        name: (sorted(part.varm), list(part.var.columns), {key: id(value) for key, value in part.varm.items()})
        for name, part in mdata.mod.items()
    } | {"results": sorted(mdata.uns[UNS].get("results", {}))}


def test_the_views_are_the_networks(mdata, world, loci, model, ernaformer):
    codes = [pair_codes(mdata, world.genome, row) for row in range(4)]
    view = InteractionView(model)
    with torch.no_grad():
        x = view.bases[torch.from_numpy(np.stack([np.concatenate(pair) for pair in codes])).long()].transpose(1, 2)
        found = view(x)[:, 0].numpy()
    expected = [interaction(model, *pair) for pair in codes]
    assert np.ptp(expected) > 0.05
    assert np.allclose(found, expected, atol=1e-5)
    predictor, logits = LocusPredictor(ernaformer, CPU), []
    for row in range(4):
        locus = locus_of(loci, world, row)
        with torch.no_grad():
            found = TranscriptionView(ernaformer, locus)(ernaformer.one_hot(torch.from_numpy(locus.codes)))
        logits.append(predictor(locus).window[0])
        assert np.allclose(float(found), logits[-1], atol=1e-5)
    assert np.ptp(logits) > 0.05


def test_integrated_gradients_of_a_pair_add_up_over_both_windows(mdata, world, model):
    er.tl.attribute(mdata, model, modality="links", method="ig", genome=world.genome, hypothetical=True)
    links = mdata["links"]
    view = InteractionView(model)
    for row in range(4):
        codes = np.concatenate(pair_codes(mdata, world.genome, row))
        x = view.bases[torch.from_numpy(codes[None]).long()].transpose(1, 2)
        with torch.no_grad():
            difference = float(view(x) - view(torch.full_like(x, 0.25) * (x.sum(1, keepdim=True) > 0)))
        apart = abs(np.concatenate(both_sides(mdata, "interaction_ig", row)).sum() - difference)
        assert apart <= 0.01 * max(abs(difference), 0.01) + 2e-3  # rounded to float16
        assert abs(difference) > 0.05
    assert links.var["interaction_ig_residual"].to_numpy()[:4].max() <= 0.01
    assert np.isnan(links.var["interaction_ig_residual"].iloc[4])
    assert links.varm["interaction_ig_hypothetical"].shape == (5, 4, ENHANCER)
    assert links.varm["interaction_ig_promoter_hypothetical"].shape == (5, 4, PROMOTER)
    for key, side in zip(
        ("interaction_ig", "interaction_ig_promoter"), pair_codes(mdata, world.genome, 0), strict=True
    ):
        each = links.varm[f"{key}_hypothetical"][0]
        assert np.allclose(each[side, np.arange(len(side))], links.varm[key][0], atol=2e-3)


def test_windows_of_both_sides_are_where_the_model_reads(mdata, world, model, caplog):
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        er.tl.attribute(mdata, model, modality="links", method="saliency", genome=world.genome)
    assert "1 of 5 links are not attributed" in caplog.text
    links = mdata["links"]
    gene, enhancer = link_positions(mdata)
    key = "interaction_saliency"
    for name, modality, of_link in ((key, "enhancers", enhancer), (f"{key}_promoter", "genes", gene)):
        start = mdata[modality].var["window_start"].to_numpy()[of_link]
        assert np.array_equal(links.var[f"{name}_start"], start)
        assert np.isfinite(links.varm[name]).all(axis=1).tolist() == [True] * 4 + [False]
        assert links.varm[name].dtype == np.float16
    assert f"{key}_residual" not in links.var
    record = mdata.uns[UNS]["results"]
    for name in (key, f"{key}_promoter"):
        row = record[f"links:{name}"].iloc[0]
        assert row[["target", "method", "model", "recipe"]].tolist() == ["interaction", "saliency", "pairs", "epipam"]
    validate(mdata)


def test_saliency_is_the_slope_of_the_networks(mdata, world, loci, model, ernaformer):
    """Against finite differences of the views in double precision."""
    er.tl.attribute(mdata, model, modality="links", method="saliency", genome=world.genome)
    er.tl.attribute(
        loci, ernaformer, modality="ernas", method="saliency", genome=world.genome, sample="A", coverage=world.coverage
    )
    codes = np.concatenate(pair_codes(mdata, world.genome, 1))
    view = InteractionView(epipam()).double()
    x = view.bases[torch.from_numpy(codes[None]).long()].transpose(1, 2)
    against_slope(view, x, np.concatenate(both_sides(mdata, "interaction_saliency", 1)), codes)
    locus = locus_of(loci, world, 1)
    view = TranscriptionView(transcriber().double(), locus).double()
    x = view.model.one_hot(torch.from_numpy(locus.codes)).double()
    against_slope(view, x, loci["ernas"].varm["transcription_saliency"][1].astype(float), locus.codes[0])


def against_slope(view, x, found, codes):
    for at in np.argsort(-np.abs(found))[:4]:
        slopes = []
        for base in range(4):
            step = torch.zeros_like(x)
            step[0, base, at] = 1e-6
            with torch.no_grad():
                slopes.append(float(view(x + step) - view(x - step)) / 2e-6)
        assert np.isclose(found[at], slopes[codes[at]] - np.mean(slopes), rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("embedding", [None, "6-mer"])
def test_mutagenesis_of_a_pair_is_substitution(mdata, world, embedding):
    model = epipam(EPIPAMConfig(**{**PAIRS.__dict__, "embedding": embedding, "embedding_dim": 6}))
    name = mdata["links"].var_names[2]
    how = {"modality": "links", "names": name, "method": "ism", "genome": world.genome, "hypothetical": True}
    er.tl.attribute(mdata, model, **how)
    sides = pair_codes(mdata, world.genome, 2)
    for side, key in enumerate(("interaction_ism", "interaction_ism_promoter")):
        values = mdata["links"].varm[key][2].astype(float)
        each = mdata["links"].varm[f"{key}_hypothetical"][2].astype(float)
        assert np.abs(values).max() > 0.01
        for at in [3, *np.argsort(-np.abs(values))[:3]]:
            predicted = []
            for base in range(4):
                changed = [with_base(codes, at, base) if k == side else codes for k, codes in enumerate(sides)]
                predicted.append(interaction(model, *changed))
            assert np.allclose(each[:, at], predicted - np.mean(predicted), atol=1e-3)
            assert np.isclose(values[at], each[sides[side][at], at], atol=1e-3)


def test_loci_by_gradients_and_substitution(loci, world, ernaformer, caplog):
    how = {"modality": "ernas", "genome": world.genome, "sample": "A", "device": "cpu"}
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        er.tl.attribute(loci, ernaformer, method="ig", **how)
    assert "1 of 4 ernas are not attributed" in caplog.text
    name = loci["ernas"].var_names[1]
    er.tl.attribute(loci, ernaformer, method="ism", names=name, hypothetical=True, **how)
    ernas = loci["ernas"]
    centre = (ernas.var["Start"] + ernas.var["End"]) // 2
    assert (np.abs(ernas.var["transcription_ig_start"] + LOCI.width // 2 - centre) <= 16).all()
    assert ernas.var["transcription_ig_start"].min() < 0
    assert ernas.varm["transcription_ig"].shape == (4, LOCI.width)
    assert ernas.var["transcription_ig_residual"].max() <= 0.01
    for row in range(3):
        locus = locus_of(loci, world, row)
        x = ernaformer.one_hot(torch.from_numpy(locus.codes))
        even = torch.full_like(x, 0.25) * (x.sum(1, keepdim=True) > 0)
        logits = [even_logit(ernaformer, locus, bases) for bases in (x, even)]
        apart = abs(ernas.varm["transcription_ig"][row].astype(float).sum() - (logits[0] - logits[1]))
        assert apart <= 0.01 * max(abs(logits[0] - logits[1]), 0.01) + 2e-3
        assert abs(logits[0] - logits[1]) > 0.05
    locus, predictor = locus_of(loci, world, 1), LocusPredictor(ernaformer, CPU)
    values, each = (ernas.varm[key][1].astype(float) for key in ("transcription_ism", "transcription_ism_hypothetical"))
    for at in [5, *np.argsort(-np.abs(values))[:3]]:
        changed = locus.take(np.zeros(4, dtype=np.int64))
        changed.codes[np.arange(4), at] = np.arange(4)
        predicted = predictor(changed).window
        assert np.allclose(each[:, at], predicted - predicted.mean(), atol=1e-3)
        assert np.isclose(values[at], each[locus.codes[0, at], at], atol=1e-3)
    assert np.abs(values).max() > 0.01
    validate(loci)


def even_logit(model, locus: LocusBatch, bases):
    """Log odds of one-hot sequence, mean over both strands, by the layers of the network."""
    logits = []
    for strand, own in ((locus, bases), (locus.turned(np.ones(1, dtype=bool)), bases.flip(1, 2))):
        given = locus_tensors(strand, model.config)
        with torch.no_grad():
            logits.append(float(model.read(model.stem_of_bases(own, given["signal"], depth=given["depth"])).window))
    return np.mean(logits)


def test_coverage_is_that_of_the_biosample(loci, world, ernaformer):
    how = {"modality": "ernas", "genome": world.genome, "method": "saliency", "names": loci["ernas"].var_names[:2]}
    with pytest.raises(ValueError, match="attributions are of one biosample; choose one of A, B"):
        er.tl.attribute(loci, ernaformer, **how)
    for sample in "AB":
        er.tl.attribute(loci, ernaformer, sample=sample, key_added=sample, **how)
    varm = loci["ernas"].varm
    assert np.abs(varm["A"][:2].astype(float) - varm["B"][:2]).max() > 1e-3
    record = loci.uns[UNS]["results"]["ernas:B"]
    assert record[["sample", "target", "trained_on"]].to_numpy().tolist() == [["B", "transcription", "A"]]


def test_both_sides_survive_the_file(mdata, world, model, tmp_path):
    er.tl.attribute(mdata, model, modality="links", method="saliency", genome=world.genome, hypothetical=True)
    er.io.write(mdata, tmp_path / "a.h5mu")
    back = er.io.read(tmp_path / "a.h5mu")
    validate(back)
    for key in ("interaction_saliency", "interaction_saliency_promoter"):
        for name in (key, f"{key}_hypothetical"):
            assert back["links"].varm[name].dtype == np.float16
            assert np.array_equal(back["links"].varm[name], mdata["links"].varm[name], equal_nan=True)
        assert np.array_equal(back["links"].var[f"{key}_start"], mdata["links"].var[f"{key}_start"])
        # what reads attributions reads either side
        ax = er.pl.logo(back, back["links"].var_names[0], key=key, modality="links", genome=world.genome, show=False)
        start = back["links"].var[f"{key}_start"].iloc[0]
        assert ax.get_xlim() == (start, start + back["links"].varm[key].shape[1])
        er.io.write_attributions(back, tmp_path / "x.bw", key=key, modality="links")


def test_what_seeks_motifs_reads_either_side(mdata, world, model):
    er.tl.attribute(mdata, model, modality="links", method="saliency", genome=world.genome, hypothetical=True)
    codes = pair_codes(mdata, world.genome, 1)
    for key, side in zip(("interaction_saliency", "interaction_saliency_promoter"), codes, strict=True):
        windows = read_windows(mdata, key, "links", world.genome)
        assert len(windows.codes) == 4
        assert np.array_equal(windows.codes[1], side)
        assert np.array_equal(windows.observed[1], mdata["links"].varm[key][1].astype(np.float32))
        assert np.array_equal(windows.hypothetical[1], mdata["links"].varm[f"{key}_hypothetical"][1])


def test_a_new_result_takes_the_place_of_both_sides(mdata, world, model):
    how = {"modality": "links", "genome": world.genome, "names": mdata["links"].var_names[0], "key_added": "x"}
    er.tl.attribute(mdata, model, method="ig", hypothetical=True, **how)
    first = snapshot(mdata)
    assert first["results"] == ["links:x", "links:x_promoter"]
    assert first["links"][0] == ["x", "x_hypothetical", "x_promoter", "x_promoter_hypothetical"]
    er.tl.attribute(mdata, model, method="saliency", **how)
    second = snapshot(mdata)
    assert second["links"][0] == ["x", "x_promoter"]
    assert set(first["links"][1]) - set(second["links"][1]) == {"x_residual"}


def test_fold_models_from_folders(mdata, world, tmp_path):
    """The class of the model is seen in its folder, and each chromosome is left to the fold that did not see it."""
    for fold, chromosome in ((1, "chr1"), (2, "chr2")):
        about = {"fold": fold, "test_chromosomes": [chromosome], "name": f"m{fold}"}
        epipam(**about).save(tmp_path / f"fold{fold}")
    er.tl.attribute(mdata, tmp_path, modality="links", method="saliency", genome=world.genome)
    record = mdata.uns[UNS]["results"]["links:interaction_saliency"]
    assert record["fold"].tolist() == [1, 2]
    assert np.isfinite(mdata["links"].varm["interaction_saliency"][:4]).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "method='deeplift' is not supported through the position attention of EPIPAM"),
        ({"method": "ig", "target": "expression"}, "is of type EPIPAM; expected EPInformer"),
        ({"method": "ig", "target": "transcription"}, "expected expression or interaction"),
        ({"method": "ig", "window": "summit"}, "window='summit' goes with target='activity'"),
        ({"method": "ig", "coverage": "c.zarr"}, "coverage= goes with modality='ernas'"),
        ({"method": "ig", "fold": 3}, "the model given belongs to no fold"),
        ({"method": "ig", "key_added": "a/b"}, "cannot name a layer"),
    ],
)
def test_refusals_for_pairs_change_nothing(mdata, world, model, arguments, says):
    before = snapshot(mdata)
    with pytest.raises((ValueError, KeyError), match=says):
        er.tl.attribute(mdata, model, modality="links", genome=world.genome, **arguments)
    assert snapshot(mdata) == before


def test_models_that_cannot_be_attributed(mdata, loci, world, model, ernaformer):
    words = epipam(EPIPAMConfig(**{**PAIRS.__dict__, "embedding": "6-mer", "embedding_dim": 6}))
    pairs, of_loci = snapshot(mdata), snapshot(loci)
    for method in ("ig", "saliency"):
        with pytest.raises(ValueError, match="reads words of 6 bases, through which no gradient reaches single bases"):
            er.tl.attribute(mdata, words, modality="links", method=method, genome=world.genome)
    with pytest.raises(ValueError, match="no weights of EPIPAM are published"):
        er.tl.attribute(mdata, modality="links", target="interaction", method="ig", genome=world.genome)
    assert snapshot(mdata) == pairs
    how = {"modality": "ernas", "sample": "A", "genome": world.genome}
    with pytest.raises(ValueError, match="method='deeplift' is not supported through the rotary attention of ERNAfor"):
        er.tl.attribute(loci, ernaformer, **how)
    with pytest.raises(ValueError, match="no weights of ERNAformer are published"):
        er.tl.attribute(loci, method="ig", **how)
    with pytest.raises(ValueError, match="is of type EPIPAM; expected ERNAformer"):
        er.tl.attribute(loci, model, method="ig", **how)
    with pytest.raises(KeyError, match="'nowhere' not among the 4 ernas"):
        er.tl.attribute(loci, ernaformer, method="ig", names="nowhere", **how)
    assert snapshot(loci) == of_loci


def test_a_failure_half_way_leaves_the_earlier_result(mdata, world, model, monkeypatch):
    """The second of two pairs fails: nothing of the first is written."""
    from eregtools.models.window_attribution import InteractionMutagenesis

    how = {"modality": "links", "genome": world.genome, "key_added": "x", "names": mdata["links"].var_names[:2]}
    er.tl.attribute(mdata, model, method="saliency", hypothetical=True, **how)
    before, copied = snapshot(mdata), mdata.copy()
    compute, calls = InteractionMutagenesis.__call__, []

    def failing(self, codes):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("no memory")
        return compute(self, codes)

    monkeypatch.setattr(InteractionMutagenesis, "__call__", failing)
    with pytest.raises(RuntimeError, match="no memory"):
        er.tl.attribute(mdata, model, method="ism", **how)
    assert snapshot(mdata) == before
    for name, values in copied["links"].varm.items():
        assert np.array_equal(mdata["links"].varm[name], values, equal_nan=True)
    pd.testing.assert_frame_equal(mdata["links"].var, copied["links"].var)
