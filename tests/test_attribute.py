"""Attributions: they add up, are where they should be, and mean what the methods say."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pyBigWig
import pytest
import torch

import eregtools as er
from eregtools.batches.encode import UNKNOWN, element_windows
from eregtools.batches.genes import GeneInputs, enhancer_codes
from eregtools.batches.shuffle import dinucleotide_shuffle
from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
from eregtools.models.attribution import ActivityView, ExpressionView, contraction, explain
from eregtools.models.inference import SlotEncoder
from eregtools.models.mutagenesis import ActivityMutagenesis
from eregtools.models.slots import each_gene
from networks import randomised
from world import make_world

SMALL = (24, 20, 16, 12, 8)
FOLDS = {1: "chr2", 11: "chr22", 12: "chr1"}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def built(world):
    return world.build(["K562"])


@pytest.fixture
def mdata(built):
    return built.copy()


@pytest.fixture(scope="module")
def seqs():
    return {f: randomised(EPInformerSeq(EPInformerSeqConfig(tower_channels=SMALL)), f) for f in FOLDS}


@pytest.fixture(scope="module")
def epinformers():
    config = EPInformerConfig(n_slot_features=2, window=512, tower_channels=SMALL)
    return {f: randomised(EPInformer(config), f) for f in FOLDS}


def shuffles(codes, n):
    names = [str(row) for row in range(len(codes))]
    return np.stack([dinucleotide_shuffle(codes, [f"{name}/{k}" for name in names], 0) for k in range(n)], axis=1)


def adds_up(view, network, codes, references, found):
    """Distance of the sum of attributions from the mean difference of predictions ``(n,)``, and that difference."""
    with torch.no_grad():
        of_x = view(network.one_hot(torch.from_numpy(codes)))[:, 0].double()
        of_references = view(network.one_hot(torch.from_numpy(references).flatten(0, 1)))[:, 0].double()
    difference = (of_x - of_references.view(len(codes), -1).mean(1)).numpy()
    return np.abs(found.observed.astype(np.float64).sum(axis=1) - difference), np.abs(difference)


@pytest.mark.parametrize("name", ["enh_K562_fold8", "enh_GM12878_fold1"])
def test_deeplift_of_published_activity_adds_up(shared, name):
    folder = shared / "parity" / "epinformer"
    network = er.models.load_published(folder / "checkpoints" / f"{name}.pt")
    codes = np.load(folder / "enhancer_predictor.npz")["codes"].astype(np.uint8)[[6, 10, 11]]
    view, references = ActivityView(network), shuffles(codes, 5)
    found = explain(view, codes, network.one_hot.table, "deeplift", references)
    apart, difference = adds_up(view, network, codes, references, found)
    assert (apart <= np.where(difference < 0.01, 1e-6, 1e-4 * difference)).all()
    assert found.residual.max() <= 1e-4
    observed = np.take_along_axis(found.hypothetical, codes[:, None].astype(int).clip(max=3), axis=1)[:, 0]
    known = codes < UNKNOWN
    assert np.abs(observed - found.observed)[known].max() <= 1e-5


@pytest.mark.parametrize("name", ["pe_act_K562_CAGE_fold1", "pe_act_hic_K562_RNA_fold1"])
def test_deeplift_of_published_expression_adds_up(shared, name):
    """Through pooling, residuals, dilated convolutions, layer normalisation and attention, in float32."""
    folder = shared / "parity" / "epinformer"
    network = er.models.load_published(folder / "checkpoints" / f"{name}.pt")
    oracle = np.load(folder / "expression_models.npz")
    features = oracle["feat_3_raw" if "hic" in name else "feat_2_raw"]
    row = 3
    real = np.flatnonzero(~oracle["padding_mask"][row])
    codes = oracle["codes"][row][real].astype(np.uint8)
    states = SlotEncoder(network, CPU)(codes)
    n = len(real) - 1
    inputs = GeneInputs(
        *(np.arange(k) for k in (1, n, n)),
        np.array([0, n]),
        features[row, real[1:]],
        features[row, :1],
        oracle["rna9"][row : row + 1],
    )
    (gene,) = each_gene(inputs, states[:1], states[1:])
    for slot in (0, 1):
        view = ExpressionView(network, gene, slot, codes[slot], contraction("deeplift"))
        part, references = codes[[slot], view.part], shuffles(codes[[slot]], 3)[:, :, view.part]
        with torch.no_grad():
            whole = view(network.one_hot(torch.from_numpy(part)))
        assert abs(float(whole) - oracle[f"{name}/pred"][row]) <= 1e-5
        found = explain(view, part, network.one_hot.table, "deeplift", references)
        apart, difference = adds_up(view, network, part, references, found)
        assert apart[0] <= (1e-6 if difference[0] < 0.01 else 1e-4 * difference[0])
        assert found.residual[0] <= 1e-4


def test_gradients_and_integrated_gradients_of_published_weights(shared):
    folder = shared / "parity" / "epinformer"
    network = er.models.load_published(folder / "checkpoints" / "enh_K562_fold8.pt")
    oracle = np.load(folder / "enhancer_predictor.npz")
    codes = oracle["codes"].astype(np.uint8)[[10]]
    gradient = oracle["enh_K562_fold8/grad_row10"].T
    found = explain(ActivityView(network), codes, network.one_hot.table, "saliency")
    assert np.abs(found.hypothetical[0] - (gradient - gradient.mean(axis=0))).max() <= 1e-5
    assert np.isnan(found.residual).all()
    found = explain(ActivityView(network), codes, network.one_hot.table, "ig")
    assert found.residual[0] <= 0.01


def test_methods_agree_where_the_network_is_linear():
    """Of a linear function every method gives the weight of the base less the mean (of bases, or of references)."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 32, 1, bias=False)).eval()
    network.width = 32
    weight = network[1].weight.detach().view(4, 32).numpy()
    codes = np.random.default_rng(0).integers(0, 4, (1, 32), dtype=np.uint8)
    bases = torch.cat([torch.eye(4), torch.zeros(2, 4)])
    at = weight[codes[0], np.arange(32)]
    for method in ("saliency", "ig"):
        found = explain(network, codes, bases, method)
        assert np.allclose(found.observed[0], at - weight.mean(axis=0), atol=1e-5)
        assert np.allclose(found.hypothetical[0], weight - weight.mean(axis=0), atol=1e-5)
    references = np.random.default_rng(1).integers(0, 4, (1, 6, 32), dtype=np.uint8)
    found = explain(network, codes, bases, "deeplift", references)
    mean = np.mean([weight[row, np.arange(32)] for row in references[0]], axis=0)
    assert np.allclose(found.observed[0], at - mean, atol=1e-5)


def test_activity_of_elements(world, mdata, seqs):
    enhancers = mdata["enhancers"]
    names = [enhancers.var_names[k] for k in (0, 7, 30, 59)]
    er.tl.attribute(mdata, seqs, names=names, method="ism", hypothetical=True, genome=world.genome)
    values, each = enhancers.varm["activity_ism"], enhancers.varm["activity_ism_hypothetical"]
    assert (values.shape, values.dtype, each.shape) == ((60, 256), np.float16, (60, 4, 256))
    start = enhancers.var["activity_ism_start"]
    centre = (enhancers.var["Start"] + enhancers.var["End"]) // 2
    assert (start == centre - 128).all()
    made = np.isfinite(values).all(axis=1)
    assert set(enhancers.var_names[made]) == set(names)
    assert np.isnan(values[~made]).all()
    for name in names:
        row = enhancers.var_names.get_loc(name)
        chrom = enhancers.var.loc[name, "Chromosome"]
        fold = next(f for f, c in FOLDS.items() if c == chrom)
        codes = world.genome.codes([chrom], np.array([start[name]]), 256)
        unchanged, mutated = ActivityMutagenesis(seqs[fold], CPU)(codes)
        assert np.allclose(values[row], unchanged[0] - mutated[0].mean(axis=0), atol=2e-3)
        assert np.allclose(each[row][codes[0], np.arange(256)], values[row], atol=2e-3)
    assert "activity_ism_residual" not in enhancers.var
    table = mdata.uns["eregtools"]["results"]["enhancers:activity_ism"]
    assert set(table["method"]) == {"ism"}
    assert set(table["fold"]) == set(FOLDS)
    er._schema.validate(mdata)


def test_unknown_sequence_is_left_out_and_said(world, mdata, seqs, caplog):
    """Elements inside the run of N on chr22 have no attribution."""
    var = mdata["enhancers"].var
    inside = var.index[(var["Chromosome"] == "chr22") & (var["Start"] > 40_500) & (var["End"] < 47_500)]
    other = var.index[(var["Chromosome"] == "chr22") & (var["End"] < 20_000)][:1]
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        er.tl.attribute(mdata, seqs, names=[*inside, *other], method="saliency", genome=world.genome)
    assert f"{len(inside)} of {len(inside) + 1} enhancers are not attributed" in caplog.text
    made = np.isfinite(mdata["enhancers"].varm["activity_saliency"][:, 0])
    assert set(var.index[made]) == set(other)


def test_deeplift_does_not_depend_on_company_and_is_reproducible(world, mdata, seqs):
    names = list(mdata["enhancers"].var_names[[3, 20, 45]])
    how = {"genome": world.genome, "n_references": 3}
    er.tl.attribute(mdata, seqs, names=names, **how)
    together = mdata["enhancers"].varm["activity_deeplift"].copy()
    residual = mdata["enhancers"].var["activity_deeplift_residual"].to_numpy()
    assert np.nanmax(residual) <= 1e-4
    assert np.isfinite(residual).sum() == 3
    row = mdata["enhancers"].var_names.get_loc(names[2])
    er.tl.attribute(mdata, seqs, names=names[2], key_added="alone", **how)
    assert np.allclose(mdata["enhancers"].varm["alone"][row], together[row], atol=1e-4)
    assert np.isnan(mdata["enhancers"].varm["alone"]).any(axis=1).sum() == 59
    er.tl.attribute(mdata, seqs, names=names[2], key_added="alone", rng=5, **how)
    assert not np.allclose(mdata["enhancers"].varm["alone"][row], together[row], atol=1e-4)


def test_expression_by_promoter_link_and_enhancer(world, mdata, epinformers):
    gene = "ENSG00000000000"
    links, enhancers = mdata["links"], mdata["enhancers"]
    own = links.var.index[links.var["gene"] == gene]
    how = {"assay": "CAGE", "method": "ism", "genome": world.genome}
    er.tl.attribute(mdata, epinformers, modality="links", names=own[:3], hypothetical=True, **how)
    er.tl.attribute(mdata, epinformers, target="expression", gene=gene, names=links.var.loc[own[:3], "enhancer"], **how)
    er.tl.attribute(mdata, epinformers, modality="genes", names=gene, **how)
    promoter = mdata["genes"].varm["CAGE_ism"][mdata["genes"].var_names.get_loc(gene)]
    assert np.isfinite(promoter).all()
    assert np.abs(promoter).max() > 0
    assert mdata["genes"].var.loc[gene, "CAGE_ism_start"] == 60_000 - 256
    for name in own[:3]:
        row = links.var_names.get_loc(name)
        element = enhancers.var_names.get_loc(links.var.loc[name, "enhancer"])
        values = links.varm["CAGE_ism"][row]
        assert np.array_equal(values, enhancers.varm["CAGE_ism"][element])
        codes = enhancer_codes(mdata, world.genome, np.array([element]), 512)[0]
        start, end = enhancers.var.iloc[element][["Start", "End"]]
        position = links.var["CAGE_ism_start"].iloc[row] + np.arange(512)
        assert (values[(position < start) | (position >= end)] == 0).all()
        assert np.isfinite(values).all()
        there = world.genome.codes(["chr1"], np.array([position[0]]), 512)[0]
        inside = (position >= start) & (position < end)
        assert np.array_equal(codes[inside], there[inside])
    # one mutation by hand: the genome with another base, predicted anew
    row = links.var_names.get_loc(own[0])
    at = int(np.abs(links.varm["CAGE_ism"][row]).argmax())
    hypothetical = links.varm["CAGE_ism_hypothetical"][row][:, at].astype(float)
    position = int(links.var["CAGE_ism_start"].iloc[row]) + at
    predicted = [predict_with(world, mdata, epinformers, gene, "chr1", position, base) for base in "ACGT"]
    assert np.allclose(hypothetical, predicted - np.mean(predicted), atol=1e-4)


def predict_with(world, mdata, models, gene, chrom, position, base):
    """Expression of a gene in a genome with one base changed."""
    path = world.genome.path.parent / f"{chrom}_{position}_{base}.fa"
    text = []
    for name, size in world.genome.chrom_sizes.items():
        letters = world.genome.sequence(name, 0, size)
        if name == chrom:
            letters = letters[:position] + base + letters[position + 1 :]
        text.append(f">{name}\n{letters}\n")
    path.write_text("".join(text))
    alone = er.pp.subset(mdata, genes=[gene])
    other = er.tl.predict_expression(alone, models, assay="CAGE", genome=er.Genome(path, name="toy"), copy=True)
    return float(other["genes"].to_df("CAGE_pred").loc["K562", gene])


def test_deeplift_of_expression(world, mdata, epinformers):
    er.tl.attribute(
        mdata, epinformers, modality="genes", assay="CAGE", n_references=2, genome=world.genome, hypothetical=True
    )
    genes = mdata["genes"]
    residual = genes.var["CAGE_deeplift_residual"]
    assert residual.isna().sum() == 1  # the promoter inside the run of N
    assert residual.max() <= 1e-4
    assert genes.var.loc["ENSG00000000001", "CAGE_deeplift_start"] == 300 - 256
    assert genes.varm["CAGE_deeplift_hypothetical"].shape == (8, 4, 512)


def test_large_residuals_are_warned_of_once(world, mdata, seqs, caplog, monkeypatch):
    import eregtools.models.attribution as attribution

    compute = attribution._deeplift
    monkeypatch.setattr(attribution, "_deeplift", lambda *given: (compute(*given)[0] * 3, compute(*given)[1]))
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        er.tl.attribute(mdata, seqs, names=mdata["enhancers"].var_names[:3], n_references=1, genome=world.genome)
    assert caplog.text.count("do not add up to the difference of the predictions within 1 %") == 1
    assert "3 of 3 attributions do not add up" in caplog.text


def test_result_survives_the_file(world, mdata, seqs, tmp_path):
    names = mdata["enhancers"].var_names[:2]
    er.tl.attribute(mdata, seqs, names=names, method="saliency", hypothetical=True, genome=world.genome)
    er.io.write(mdata, tmp_path / "a.h5mu")
    back = er.io.read(tmp_path / "a.h5mu")["enhancers"]
    for key in ("activity_saliency", "activity_saliency_hypothetical"):
        assert back.varm[key].dtype == np.float16
        assert np.array_equal(back.varm[key], mdata["enhancers"].varm[key], equal_nan=True)
    er.tl.attribute(mdata, seqs, names=names, method="saliency", genome=world.genome)
    assert "activity_saliency_hypothetical" not in mdata["enhancers"].varm


def test_bigwig_holds_means_over_windows(world, mdata, seqs, tmp_path):
    """Two windows that overlap by 100 bases: their mean there, each by itself elsewhere, nothing outside."""
    enhancers = mdata["enhancers"]
    enhancers.varm["x"] = np.full((60, 256), np.nan, dtype=np.float16)
    enhancers.varm["x"][[0, 1, 2]] = np.array([[1.0], [2.0], [-3.0]])
    enhancers.var["x_start"] = 0
    enhancers.var.loc[enhancers.var_names[[0, 1, 2]], "x_start"] = [-56, 100, 149_900]
    path = tmp_path / "x.bw"
    path.write_text("old")
    er.io.write_attributions(mdata, path, key="x")
    with pyBigWig.open(str(path)) as file:
        assert file.chroms() == {"chr1": 150_000, "chr2": 120_000, "chr22": 90_000}
        values = file.values("chr1", 0, 150_000, numpy=True)
    expected = np.full(150_000, np.nan)
    expected[:100], expected[100:200], expected[200:356], expected[149_900:] = 1, 1.5, 2, -3
    assert np.allclose(values, expected, equal_nan=True)
    assert [p.name for p in tmp_path.iterdir()] == ["x.bw"]
    with pytest.raises(KeyError, match=r"enhancers have no attributions 'y' \(there are x\)"):
        er.io.write_attributions(mdata, tmp_path / "y.bw", key="y")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        er.io.write_attributions(mdata, tmp_path / "no" / "y.bw", key="x")


def test_bigwig_leaves_padding_out(world, mdata, epinformers, tmp_path):
    links = mdata["links"]
    enhancers = mdata["enhancers"].var
    short = enhancers.index[(enhancers["End"] - enhancers["Start"] == 150)]
    name = links.var.index[links.var["enhancer"].isin(short)][0]
    er.tl.attribute(
        mdata, epinformers, modality="links", names=name, assay="CAGE", method="saliency", genome=world.genome
    )
    er.io.write_attributions(mdata, tmp_path / "x.bw", key="CAGE_saliency", modality="links")
    with pyBigWig.open(str(tmp_path / "x.bw")) as file:
        assert file.header()["nBasesCovered"] == 150
        chrom, start, end = enhancers.loc[links.var.loc[name, "enhancer"], ["Chromosome", "Start", "End"]]
        assert np.isfinite(file.values(chrom, start, end)).all()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"modality": "links", "target": "activity"}, ValueError, "cannot be attributed to links; expected expression"),
        ({"modality": "loops"}, ValueError, "modality is 'loops'; expected enhancers, genes, links, ernas"),
        ({"method": "lime"}, ValueError, "method is 'lime'; expected deeplift, ig, ism, saliency"),
        ({"target": "expression"}, ValueError, "whose expression is attributed to the enhancers"),
        ({"gene": "ENSG00000000000"}, ValueError, "gene= goes with modality='enhancers', target='expression'"),
        ({"names": []}, ValueError, "names= is empty"),
        ({"names": ["chr1:1-2"]}, KeyError, "'chr1:1-2' not among the 60 enhancers"),
        ({"modality": "genes", "window": "summit"}, ValueError, "goes with target='activity'"),
        ({"window": "summit"}, KeyError, "window='summit' needs enhancers.var"),
        ({"n_references": 0}, ValueError, "n_references is 0; expected at least 1"),
        ({"key_added": "a/b"}, ValueError, "cannot name a layer"),
    ],
)
def test_bad_arguments(world, mdata, seqs, arguments, error, says):
    with pytest.raises(error, match=says):
        er.tl.attribute(mdata, seqs, genome=world.genome, **arguments)
    assert not list(mdata["enhancers"].varm)


def test_too_large_results_are_refused_before_work(world, mdata, seqs, caplog, monkeypatch):
    with er.settings.override(largest_result=0), pytest.raises(MemoryError, match=r"settings\.largest_result \(0 MB\)"):
        er.tl.attribute(mdata, seqs, genome=world.genome)
    monkeypatch.setattr("eregtools._memory.available_memory", lambda: 10)
    with (
        caplog.at_level(logging.INFO, logger="eregtools"),
        pytest.raises(MemoryError, match="only 0 MB of memory are left; attribute a part"),
    ):
        er.tl.attribute(mdata, seqs, genome=world.genome, hypothetical=True)
    assert f"attributions of 60 enhancers in windows of 256 bp take {60 * 256 * 10 / 1e6:.1f} MB" in caplog.text


def test_models_that_cannot_be_attributed(world, built, seqs):
    features = EPInformer(EPInformerConfig(n_slot_features=2, use_sequence=False)).eval()
    with pytest.raises(ValueError, match="reads no sequence, so there is nothing to attribute to bases"):
        er.tl.attribute(built, features, modality="genes", assay="CAGE", genome=world.genome, method="ism")
    with pytest.raises(ValueError, match="is of type EPInformerSeq; expected EPInformer"):
        er.tl.attribute(built, seqs, modality="genes", genome=world.genome)


def test_several_biosamples_need_a_choice(world, seqs):
    both = world.build()
    with pytest.raises(ValueError, match=r"attributions are of one biosample; choose one of K562, GM12878"):
        er.tl.attribute(both, seqs, genome=world.genome)
    er.tl.attribute(both, seqs, genome=world.genome, sample="GM12878", method="saliency")
    made = np.isfinite(both["enhancers"].varm["activity_saliency"][:, 0])
    own = both["enhancers"].layers["candidate"][1] > 0
    assert (made <= own).all()
    assert made.sum() > 5
    assert set(both.uns["eregtools"]["results"]["enhancers:activity_saliency"]["sample"]) == {"GM12878"}


def test_deeplift_without_tangermeme_says_what_to_install(world, mdata, seqs, monkeypatch):
    monkeypatch.setitem(sys.modules, "tangermeme", None)
    with pytest.raises(ImportError, match=r"pip install 'eregtools\[interpret\]'"):
        er.tl.attribute(mdata, seqs, names=mdata["enhancers"].var_names[0], genome=world.genome)
    assert not list(mdata["enhancers"].varm)


def test_windows_of_elements_start_where_sequence_is_placed(world):
    from eregtools.batches.alleles import element_window_starts

    starts, ends = np.array([5_000, 5_000, 5_000, 5_000]), np.array([5_001, 5_150, 6_999, 8_500])
    codes = element_windows(world.genome, ["chr1"] * 4, starts, ends, 2_000)
    whole = world.genome.codes(["chr1"] * 4, element_window_starts(starts, ends, 2_000), 2_000)
    held = codes != 5
    assert held.sum(axis=1).tolist() == [1, 150, 1_999, 2_000]
    assert np.array_equal(codes[held], whole[held])
