"""Interactions predicted over an object, and position attention on the genome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import eregtools as er
from eregtools._keys import UNS
from eregtools._schema import link_positions
from eregtools.batches.pairs import pair_windows
from eregtools.models import EPIPAM, EPIPAMConfig
from eregtools.models.pair_inference import PairPredictor
from eregtools.tl.interactions import probability
from eregtools.windows import centred_windows
from networks import randomised

SIZES = {"chr1": 60_000, "chr2": 40_000, "chr3": 30_000}
CONFIG = EPIPAMConfig(enhancer_length=600, promoter_length=460, channels=8, pools=(5, 4, 2), hidden=8)
SAMPLE = "GM12878"


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    rng = np.random.default_rng(3)
    lines = []
    for name, size in SIZES.items():
        letters = rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), size)
        if name == "chr3":
            letters[9_000:11_000] = ord("N")
        lines.append(f">{name}\n{letters.tobytes().decode()}\n")
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text("".join(lines))
    return er.Genome(path, name="toy")


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(4)
    rows = []
    for name, size in SIZES.items():
        promoters = rng.integers(0, size - 1_000, 3)
        enhancers = rng.integers(0, size - 1_000, 5)
        for number in range(11):
            start, first = enhancers[number % 5], promoters[number // 5]
            rows.append((name, start, start + 150 + 97 * (number % 5), name, first, first + 801, number % 2))
    rows.append(("chr3", 9_400, 9_900, "chr3", 20_000, 20_500, 1))  # of N alone
    columns = ["Chromosome", "Start", "End", "Chromosome2", "Start2", "End2", "label"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates(columns[:6], ignore_index=True)


@pytest.fixture
def mdata(table, genome):
    return er.pp.pairs(table, genome=genome, enhancer_width=600, promoter_width=460, sample=SAMPLE)


def network(seed=0, config=CONFIG, **about):
    torch.manual_seed(seed)
    model = randomised(EPIPAM(config), seed)
    with torch.no_grad():
        for tower in (model.enhancer, model.promoter):
            for stage in tower.stages:
                stage.conv.weight.mul_(3)
    model.provenance = {"name": f"model{seed}", "assay": "interaction", "biosample": SAMPLE, **about}
    return model


def link_codes(mdata, genome):
    """Windows of the enhancer and of the promoter of every link."""
    gene, enhancer = link_positions(mdata)
    windows = [pair_windows(mdata, modality, n, genome) for modality, n in (("enhancers", 600), ("genes", 460))]
    return [one.codes(genome, rows) for one, rows in zip(windows, (enhancer, gene), strict=True)]


def without_known_base(mdata, genome):
    return np.any([(codes >= 4).all(axis=1) for codes in link_codes(mdata, genome)], axis=0)


def plain(model, mdata, genome):
    """Every link by itself through the network."""
    codes = link_codes(mdata, genome)
    with torch.inference_mode():
        parts = [model(torch.from_numpy(a[None]), torch.from_numpy(b[None])).logit for a, b in zip(*codes, strict=True)]
        return probability(torch.cat(parts).numpy())


@pytest.mark.parametrize("batch_size", [None, 1, 7])
def test_the_bits_of_the_plain_network(mdata, genome, batch_size):
    model = network()
    er.tl.predict_interactions(mdata, model, genome=genome, batch_size=batch_size, device="cpu")
    found = mdata["links"].layers["interaction"][0]
    expected = plain(model, mdata, genome)
    dark = without_known_base(mdata, genome)
    assert 0 < dark.sum() < 5
    assert np.isnan(found[dark]).all()
    assert np.array_equal(found[~dark], expected[~dark])
    assert np.ptp(found[~dark]) > 1e-3
    record = mdata.uns[UNS]["results"]["links:interaction"]
    assert record[["model", "recipe", "cross_cell"]].to_numpy().tolist() == [["model0", "epipam", "no"]]


def test_each_distinct_window_is_encoded_once(mdata, genome, monkeypatch):
    encoded = {"enhancer": 0, "promoter": 0}
    first_maps = PairPredictor.first_maps

    def counting(self, side, codes):
        encoded[side] += len(codes)
        return first_maps(self, side, codes)

    monkeypatch.setattr(PairPredictor, "first_maps", counting)
    er.tl.predict_interactions(mdata, network(), genome=genome)
    assert encoded["enhancer"] == mdata["enhancers"].n_vars < mdata["links"].n_vars
    assert encoded["promoter"] == mdata["genes"].n_vars


def test_a_bound_on_memory_is_of_no_consequence(mdata, genome, monkeypatch):
    model = network()
    er.tl.predict_interactions(mdata, model, genome=genome)
    held = []
    monkeypatch.setattr("eregtools.tl._pair_runs._CACHED_BYTES", 3 * 4 * 8 * CONFIG.bins("enhancer")[0])
    interact = PairPredictor.interact
    monkeypatch.setattr(
        PairPredictor,
        "interact",
        lambda self, *args, **more: held.append(len(args[0])) or interact(self, *args, **more),
    )
    er.tl.predict_interactions(mdata, model, genome=genome, key_added="bounded")
    layers = mdata["links"].layers
    assert np.array_equal(layers["bounded"], layers["interaction"], equal_nan=True)
    assert len(held) > len(SIZES)
    assert max(held) < 6


def test_windows_are_those_of_the_object_else_centred(mdata, genome):
    stored = pair_windows(mdata, "enhancers", 600, genome)
    table = mdata["enhancers"].var
    assert np.array_equal(stored.start, table["window_start"])
    with pytest.raises(
        ValueError, match=r"windows of enhancers are 600 bp, but the model reads 500.*enhancer_width=500"
    ):
        pair_windows(mdata, "enhancers", 500, genome)
    for modality in ("enhancers", "genes"):
        mdata[modality].var = mdata[modality].var.drop(columns=["window_start", "window_end"])
    size = table["Chromosome"].astype(str).map(SIZES)
    expected = centred_windows(table["Start"], table["End"], 500, size)
    assert np.array_equal(pair_windows(mdata, "enhancers", 500, genome).start, expected)
    genes = mdata["genes"].var
    inside = ((genes["tss"] > 230) & (genes["tss"] + 230 < genes["Chromosome"].astype(str).map(SIZES))).to_numpy()
    promoters = pair_windows(mdata, "genes", 460, genome)
    assert np.array_equal(promoters.start[inside], genes["tss"].to_numpy()[inside] - 230)


def test_each_pair_by_the_fold_model_that_left_its_chromosome_out(mdata, genome):
    models = {
        0: network(1, test_chromosomes=["chr1"]),
        1: network(2, test_chromosomes=["chr2"]),
    }
    er.tl.predict_interactions(mdata, models, genome=genome)
    found = mdata["links"].layers["interaction"][0]
    gene, _ = link_positions(mdata)
    chromosome = mdata["genes"].var["Chromosome"].astype(str).to_numpy()[gene]
    for name, model in (("chr1", models[0]), ("chr2", models[1])):
        assert np.array_equal(found[chromosome == name], plain(model, mdata, genome)[chromosome == name])
    assert np.isnan(found[chromosome == "chr3"]).all()
    with pytest.raises(ValueError, match="fold 0 does not test chr2"):
        er.tl.predict_interactions(mdata, models, fold=0, genome=genome)
    er.tl.predict_interactions(mdata, models, fold=0, genome=genome, allow_leakage=True, key_added="leaky")
    assert (mdata.uns[UNS]["results"]["links:leaky"]["leakage"] == "yes").all()


def test_what_is_asked_for(mdata, genome):
    model = network()
    names = list(mdata["links"].var_names[[4, 2]])
    er.tl.predict_interactions(mdata, model, pairs=names, genome=genome)
    assert set(mdata["links"].var_names[np.isfinite(mdata["links"].layers["interaction"][0])]) == set(names)
    new = er.tl.predict_interactions(mdata, model, pairs="labelled", genome=genome, copy=True)
    assert np.array_equal(np.isnan(new["links"].layers["interaction"][0]), without_known_base(mdata, genome))
    er.tl.predict_interactions(mdata, model, genome=genome, shuffle=True, rng=1)
    shuffled = mdata["links"].layers["interaction_shuffled_pred"]
    assert np.nanmax(np.abs(shuffled - new["links"].layers["interaction"])) > 1e-5
    assert "shuffled" in mdata.uns[UNS]["results"]["links:interaction_shuffled_pred"]["recipe"].iloc[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": None}, ValueError, "no weights of EPIPAM are published"),
        ({"pairs": ["nonsense"]}, KeyError, "no link of the object"),
        ({"pairs": "everything"}, ValueError, "'links', 'labelled', or names"),
        ({"model": er.models.EPInformerSeq()}, ValueError, "EPInformerSeq; expected EPIPAM"),
        ({"model": EPIPAM(CONFIG), "fold": 2}, KeyError, "belongs to no fold"),
    ],
)
def test_bad_input_leaves_nothing(mdata, genome, arguments, error, message):
    model = arguments.pop("model", network())
    with pytest.raises(error, match=message):
        er.tl.predict_interactions(mdata, model, genome=genome, **arguments)
    assert "interaction" not in mdata["links"].layers
    assert "results" not in mdata.uns[UNS]


def test_weights_of_another_biosample(mdata, genome):
    foreign = network(biosample="K562")
    with pytest.raises(ValueError, match="trained on K562"):
        er.tl.predict_interactions(mdata, foreign, genome=genome)
    er.tl.predict_interactions(mdata, foreign, genome=genome, allow_cross_cell=True)
    assert mdata.uns[UNS]["results"]["links:interaction"]["cross_cell"].tolist() == ["yes"]


def test_all_pairs_within_a_distance(mdata, genome):
    model = network()
    before = mdata["links"].var_names.copy()
    table = er.tl.scan_interactions(mdata, model, max_distance=20_000, min_distance=500, genome=genome)
    genes, enhancers = mdata["genes"].var, mdata["enhancers"].var
    centre = (enhancers["Start"] + enhancers["End"]) / 2
    expected = {
        (gene, enhancer)
        for gene, row in genes.iterrows()
        for enhancer in enhancers.index
        if row["Chromosome"] == enhancers.loc[enhancer, "Chromosome"]
        and 500 <= abs(centre[enhancer] - row["tss"]) <= 20_000
    }
    assert set(zip(table["gene"], table["enhancer"], strict=True)) == expected
    assert len(table) == len(expected)
    assert mdata["links"].var_names.equals(before)
    er.tl.predict_interactions(mdata, model, genome=genome)
    links = er.get.links(mdata, layers=["interaction"])
    both = table.merge(links, on=["gene", "enhancer"])
    assert len(both) > 5
    assert np.array_equal(both["interaction_x"], both["interaction_y"].astype(np.float32), equal_nan=True)
    one = er.tl.scan_interactions(mdata, model, chromosome="chr2", max_distance=20_000, genome=genome)
    assert set(one["Chromosome"]) == {"chr2"}
    with pytest.raises(KeyError, match="no gene lies on 'chr9'"):
        er.tl.scan_interactions(mdata, model, chromosome="chr9", genome=genome)


@pytest.fixture
def attended(mdata, genome):
    names = [mdata["links"].var_names[number] for number in (7, 0, 3)]
    model = network()
    er.tl.position_attention(mdata, model, names, relations=(1, 2, 3), genome=genome)
    return mdata, model, names


def test_position_attention_is_that_of_the_network(attended, genome, tmp_path):
    mdata, model, names = attended
    er.io.write(mdata, tmp_path / "pairs.h5mu")
    for stored in (mdata, er.io.read(tmp_path / "pairs.h5mu")):
        for name in names:
            row = stored["links"].var_names.get_loc(name)
            codes = [torch.from_numpy(of_links[[row]]) for of_links in link_codes(stored, genome)]
            with torch.inference_mode():
                out = model(*codes, with_attention=True)
            for stage, expected in enumerate(out.attention, start=1):
                relation = er.get.attention_relations(stored, name, stage=stage)
                assert np.array_equal(relation, expected.relation[0].numpy())
                for side in ("enhancer", "promoter"):
                    bins = er.get.attention_bins(stored, name, side=side, stage=stage)
                    assert np.array_equal(bins["weight"], getattr(expected, side)[0].numpy())
        others = ~stored["links"].var_names.isin(names)
        assert np.isnan(stored["links"].varm["position_attention_enhancer2"][others]).all()


def test_bins_lie_where_the_network_reads_them(mdata, table, genome):
    """A base within what a bin sees changes it; one outside does not. Geometry of the paper."""
    config = EPIPAMConfig(channels=4, hidden=4)
    mdata = er.pp.pairs(table, genome=genome, sample=SAMPLE)
    model = network(config=config)
    link = mdata["links"].var_names[3]
    er.tl.position_attention(mdata, model, link, genome=genome)
    about = mdata.uns[UNS]["position_attention"]["position_attention"]["stages"]
    assert about["stride"].tolist() == [10, 100, 500]
    assert about["receptive_field"].tolist() == [34, 244, 1244]
    assert about["tile_offset"].tolist() == [12, 72, 372]
    gene, enhancer = (rows[3] for rows in link_positions(mdata))
    window = int(mdata["enhancers"].var["window_start"].iloc[enhancer])
    for side, first in (("enhancer", window), ("promoter", int(mdata["genes"].var["window_start"].iloc[gene]))):
        bins = er.get.attention_bins(mdata, link, side=side, stage=1)
        assert bins["Start"].iloc[0] == first
        assert bins["tile_start"].iloc[0] == first + 12
        assert (bins["End"] - bins["Start"] == 34).all()
        length = config.length(side)
        unseen = {stage: first + length - er.get.attention_bins(mdata, link, side=side, stage=stage)["End"].iloc[-1]
                  for stage in (1, 2, 3)}  # fmt: skip
        assert unseen == {1: 6, 2: 56, 3: 256}
    chromosome = str(mdata["enhancers"].var["Chromosome"].iloc[enhancer])
    codes = genome.codes([chromosome], [window], 3000)
    bins = er.get.attention_bins(mdata, link, stage=1)
    with torch.inference_mode():
        before = model.first("enhancer", torch.from_numpy(codes))
        for base in (window + 1_234, window + 12):
            changed = codes.copy()
            changed[0, base - window] = (changed[0, base - window] + 1) % 4
            moved = (model.first("enhancer", torch.from_numpy(changed)) != before).any(1)[0].numpy()
            holds = ((bins["Start"] <= base) & (bins["End"] > base)).to_numpy()
            assert moved.any()
            assert not (moved & ~holds).any()


def test_words_reach_five_bases_further(mdata, genome):
    config = EPIPAMConfig(**{**CONFIG.__dict__, "embedding": "6-mer", "embedding_dim": 4})
    link = mdata["links"].var_names[0]
    er.tl.position_attention(mdata, network(config=config), link, genome=genome, stages=[1, 2])
    bins = er.get.attention_bins(mdata, link, stage=1)
    first = int(mdata["links"].var["position_attention_enhancer_start"].iloc[0])
    stride, field = config.strides[0], config.receptive_fields[0]
    assert bins["Start"].iloc[0] == first  # clipped
    assert (bins["Start"].iloc[2], bins["End"].iloc[2]) == (first + 2 * stride - 5, first + 2 * stride + field)


def test_regions_to_search_for_motifs(attended, genome):
    mdata, _, names = attended
    regions = er.get.attended_regions(mdata, stage=2, n_bins=2)
    assert list(regions["link"].unique()) == [n for n in mdata["links"].var_names if n in names]
    for name in names:
        bins = er.get.attention_bins(mdata, name, stage=2).nlargest(2, "weight")
        own = regions[regions["link"] == name]
        assert own["weight"].max() == bins["weight"].max()
        for start, end in bins[["Start", "End"]].to_numpy():
            assert ((own["Start"] <= start) & (own["End"] >= end)).any()
        assert own["End"].sub(own["Start"]).sum() <= bins["End"].sub(bins["Start"]).sum()
    assert np.allclose(regions["times"], regions["weight"] * CONFIG.bins("enhancer")[1])
    pytest.importorskip("memelite")
    motif = {"GGAA": np.eye(4)[[2, 2, 0, 0]] * 0.96 + 0.01}
    hits = er.tl.motif_hits(regions, motif, threshold=0.01, genome=genome)
    assert len(hits)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"names": None, "relations": [1]}, ValueError, "named links only"),
        ({"stages": [4]}, ValueError, "there is no stage 4"),
        ({"stages": []}, ValueError, "stages= is empty"),
        ({"names": "nonsense"}, KeyError, "no link of the object"),
    ],
)
def test_attention_that_cannot_be_had(mdata, genome, arguments, error, message):
    names = arguments.pop("names", mdata["links"].var_names[0])
    with pytest.raises(error, match=message):
        er.tl.position_attention(mdata, network(), names, genome=genome, **arguments)
    assert not len(mdata["links"].varm)
    without = network(config=EPIPAMConfig(**{**CONFIG.__dict__, "attention": False}))
    with pytest.raises(ValueError, match="no position attention"):
        er.tl.position_attention(mdata, without, genome=genome)
    with pytest.raises(KeyError, match=r"run er\.tl\.position_attention first"):
        er.get.attention_bins(mdata, mdata["links"].var_names[0])


def test_a_second_call_replaces_the_first(attended, genome):
    mdata, model, names = attended
    er.tl.position_attention(mdata, model, names[0], stages=[2], genome=genome)
    assert set(mdata["links"].varm) == {"position_attention_enhancer2", "position_attention_promoter2"}
    with pytest.raises(KeyError, match=r"relations=\[2\]"):
        er.get.attention_relations(mdata, names[0])
    with pytest.raises(ValueError, match="has no position attention"):
        er.get.attention_bins(mdata, names[1])


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_figure(attended, stage):
    import matplotlib as mpl

    mpl.use("Agg")
    mdata, _, names = attended
    link = names[0]
    bins = {side: er.get.attention_bins(mdata, link, side=side, stage=stage) for side in ("enhancer", "promoter")}
    middle = int(bins["enhancer"]["tile_start"].iloc[1])
    hits = pd.DataFrame(
        {"motif": ["GATA1", "CTCF"], "Chromosome": bins["enhancer"]["Chromosome"].iloc[0], "Start": [middle, 10],
         "End": [middle + 8, 20]}
    )  # fmt: skip
    axes = er.pl.position_attention(mdata, link, stage=stage, hits=hits, show=False)
    by_label = {ax.get_label(): ax for ax in axes}
    assert list(by_label) == ["relations", "enhancer vector", "promoter vector", "enhancer", "promoter", "key"]
    matrix = by_label["relations"]
    assert matrix.get_xlim() == (bins["enhancer"]["tile_start"].iloc[0], bins["enhancer"]["tile_end"].iloc[-1])
    image = matrix.images[0].get_array()
    assert image.shape[:2] == er.get.attention_relations(mdata, link, stage=stage).T.shape
    darkest = np.unravel_index(image[..., :3].sum(axis=2).argmin(), image.shape[:2])
    relation = er.get.attention_relations(mdata, link, stage=stage)
    assert relation[darkest[1], darkest[0]] >= 0.99 * relation.max()
    assert np.allclose(by_label["enhancer vector"].patches[0].get_data().values, bins["enhancer"]["weight"])
    assert "not an importance" in by_label["enhancer vector"].get_title(loc="left")
    assert [text.get_text() for text in matrix.texts] == ["GATA1", "CTCF"]
    marked = [c.get_offsets() for c in by_label["enhancer"].collections if len(c.get_offsets())]
    assert middle + 4 in np.concatenate(marked)[:, 0]
    mpl.pyplot.close("all")
    many = pd.concat([hits.assign(motif=f"m{number}") for number in range(7)])
    with pytest.raises(ValueError, match="7 motifs"):
        er.pl.position_attention(mdata, link, stage=stage, hits=many, show=False)
