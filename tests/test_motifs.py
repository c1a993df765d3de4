"""Motifs in attributions, and instances in the genome, against motifs that were planted."""

from __future__ import annotations

import itertools
import logging
import sys

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools.datasets._grammar import MOTIFS
from eregtools.models import EPInformerSeqConfig
from training_world import MOTIF, make_training_world

PLANTED = {"activator1": 1, "booster": 1, "activator2": -1}
"""Sign of the attributions that instances get."""
WIDTH = 600
KEY = "truth"


def one_hot(word):
    return np.eye(4)[["ACGT".index(letter) for letter in word]]


def pwm(word, sure=0.94):
    """Probabilities of a word that instances rarely differ from."""
    return (one_hot(word) * (sure - (1 - sure) / 3) + (1 - sure) / 3).astype(np.float32)


def decoys(n, rng, length=10):
    """Random motifs, each position with one base that most instances have."""
    return {f"decoy{k}": pwm("".join(rng.choice(list("ACGT"), length)), 0.85) for k in range(n)}


def reverse_complement(word):
    return word.translate(str.maketrans("ACGT", "TGCA"))[::-1]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    config = er.datasets.SimulationConfig(
        n_chromosomes=2, chromosome_length=500_000, n_genes=40, n_elements=240, n_variants=10
    )
    return er.datasets.simulate(tmp_path_factory.mktemp("simulation"), seed=1, config=config)


@pytest.fixture(scope="module")
def genome(simulation):
    return er.Genome(simulation.paths["genome"])


@pytest.fixture(scope="module")
def built(simulation, genome):
    """Object with attributions as a model would make them that knows three motifs, in windows wider than elements."""
    paths = simulation.paths
    mdata = er.pp.assemble(genes=paths["genes"], enhancers=paths["peaks"], samples=["sim"], genome=genome)
    enhancers, rng = mdata["enhancers"], np.random.default_rng(0)
    start = ((enhancers.var["Start"] + enhancers.var["End"]) // 2 - WIDTH // 2).to_numpy()
    each = rng.normal(0, 0.05, (enhancers.n_vars, WIDTH, 4))
    for instance in instances(simulation, mdata).itertuples():
        row = enhancers.var_names.get_loc(instance.site)
        word = MOTIFS[instance.motif] if instance.Strand == "+" else reverse_complement(MOTIFS[instance.motif])
        at = instance.Start - start[row]
        each[row, at : at + 10] += PLANTED[instance.motif] * one_hot(word)
    each -= each.mean(axis=2, keepdims=True)
    codes = genome.codes(enhancers.var["Chromosome"].astype(str), start, WIDTH)
    position = start[:, None] + np.arange(WIDTH)
    inside = (position >= enhancers.var[["Start"]].to_numpy()) & (position < enhancers.var[["End"]].to_numpy())
    each[~inside] = 0
    observed = np.take_along_axis(each, codes[:, :, None].astype(int), axis=2)[:, :, 0]
    enhancers.varm[KEY] = observed.astype(np.float16)
    enhancers.varm[f"{KEY}_hypothetical"] = each.transpose(0, 2, 1).astype(np.float16)
    enhancers.var[f"{KEY}_start"] = start
    results = mdata.uns["eregtools"].setdefault("results", {})
    results[f"enhancers:{KEY}"] = pd.DataFrame({"sample": ["sim"], "target": ["expression"]}, index=["0"])
    return mdata


def instances(simulation, mdata):
    """Planted instances in elements, of the motifs that attributions know."""
    truth = simulation.motifs
    return truth[truth["motif"].isin(PLANTED) & truth["site"].isin(mdata["enhancers"].var_names)]


@pytest.fixture
def mdata(built):
    return built.copy()


def found_in(mdata, key="motifs"):
    return mdata.uns["eregtools"]["motifs"][key]


def covering(seqlets, truth):
    """For each seqlet the planted instance that it covers at least half of (its row), or -1."""
    start, end = (seqlets[name].to_numpy()[:, None] for name in ("Start", "End"))
    shared = np.minimum(end, truth["End"].to_numpy()) - np.maximum(start, truth["Start"].to_numpy())
    shared[seqlets["element"].astype(str).to_numpy()[:, None] != truth["site"].to_numpy()] = 0
    return np.where(shared.max(axis=1) >= 5, shared.argmax(axis=1), -1)


def test_seqlets_lie_on_planted_instances(simulation, genome, mdata):
    er.tl.motifs(mdata, key=KEY, genome=genome)
    found, truth = found_in(mdata), instances(simulation, mdata).reset_index(drop=True)
    seqlets = found["seqlets"]
    covered = covering(seqlets, truth)
    assert (covered >= 0).mean() > 0.99
    assert len(set(covered)) / len(truth) > 0.95
    known_sign = truth["motif"].map(PLANTED).to_numpy()[covered]
    assert (np.sign(seqlets["attribution"]) == known_sign)[covered >= 0].all()
    assert seqlets["p_value"].is_monotonic_increasing
    assert seqlets["p_value"].max() <= 0.01
    elements = mdata["enhancers"].var.loc[seqlets["element"]]
    assert (elements["Chromosome"].astype(str).to_numpy() == seqlets["Chromosome"].astype(str)).all()
    assert (seqlets["Start"].to_numpy() >= elements["Start"]).all()
    assert (seqlets["End"].to_numpy() <= elements["End"]).all()
    for seqlet in seqlets.iloc[[0, 100, 300]].itertuples():
        row = mdata["enhancers"].var_names.get_loc(seqlet.element)
        first = seqlet.Start - mdata["enhancers"].var[f"{KEY}_start"].iloc[row]
        values = mdata["enhancers"].varm[KEY][row, first : first + seqlet.End - seqlet.Start]
        assert seqlet.attribution == pytest.approx(values.astype(float).sum(), abs=1e-3)
    assert found["patterns"].empty
    assert found["pwms"].empty
    assert seqlets["pattern"].isna().all()
    assert "matches" not in found


def test_sign_number_and_seed(genome, mdata):
    er.tl.motifs(mdata, key=KEY, genome=genome, sign="negative", n_seqlets=50, key_added="some")
    some = found_in(mdata, "some")["seqlets"]
    assert len(some) == 50
    assert (some["attribution"] < 0).all()
    er.tl.motifs(mdata, key=KEY, genome=genome, sign="negative", key_added="all")
    pd.testing.assert_frame_equal(found_in(mdata, "all")["seqlets"].iloc[:50], some, check_categorical=False)
    other = er.tl.motifs(mdata, key=KEY, genome=genome, copy=True, rng=7)
    assert found_in(other)["parameters"]["seed"] == 7
    assert set(mdata.uns["eregtools"]["motifs"]) == {"some", "all"}


def test_result_survives_the_file(genome, mdata, tmp_path):
    er.tl.motifs(mdata, key=KEY, genome=genome)
    er.tl.motif_hits(mdata, {"a": pwm(MOTIFS["booster"])}, genome=genome, key_added="hits")
    er.io.write(mdata, tmp_path / "a.h5mu")
    back = er.io.read(tmp_path / "a.h5mu").uns["eregtools"]
    for name in ("seqlets", "patterns", "pwms", "contributions"):
        pd.testing.assert_frame_equal(back["motifs"]["motifs"][name], found_in(mdata)[name], check_categorical=False)
    assert dict(back["motifs"]["motifs"]["parameters"]) == found_in(mdata)["parameters"]
    pd.testing.assert_frame_equal(back["motif_hits"]["hits"], mdata.uns["eregtools"]["motif_hits"]["hits"])


def test_padding_does_not_make_seqlets():
    """As many seqlets are called on noise within long windows as on the noise alone."""
    from eregtools.tl._seqlets import Windows, call_seqlets

    rng = np.random.default_rng(4)
    observed = rng.laplace(size=(150, 150)).astype(np.float32)
    codes = rng.integers(0, 4, (150, 150), dtype=np.uint8)
    place = {
        "hypothetical": None,
        "element": np.arange(150),
        "chromosome": np.full(150, "chr1", dtype=object),
        "start": np.zeros(150, dtype=np.int64),
    }
    alone = Windows(codes, observed, **place)
    wide = Windows(np.pad(codes, ((0, 0), (0, 350)), constant_values=4), np.pad(observed, ((0, 0), (0, 350))), **place)
    n_alone, n_wide = (
        len(call_seqlets(windows, threshold=0.01, signs=(1,), rng=np.random.default_rng(0)))
        for windows in (alone, wide)
    )
    assert n_wide == pytest.approx(n_alone, rel=0.2)


def test_planted_instances_are_hits(simulation, genome, mdata):
    truth = simulation.motifs[simulation.motifs["mismatch"] < 0]
    truth = truth[truth["site"].isin(mdata["enhancers"].var_names)]
    table = pd.DataFrame(
        [(name, k, *row) for name, word in MOTIFS.items() for k, row in enumerate(pwm(word))],
        columns=["pattern", "position", *"ACGT"],
    )
    hits = er.tl.motif_hits(mdata, table, genome=genome, threshold=1e-5, key=KEY)
    place = ["motif", "Chromosome", "Start", "End", "Strand"]
    merged = truth.astype({"motif": str}).merge(hits.astype({"motif": str}), on=place, how="left")
    assert (merged["element"] == merged["site"]).all()
    assert (merged["sequence"] == merged["motif"].map(MOTIFS)).all()
    assert (merged["p_value"] == 4.0**-10).all()
    assert len(hits) < 1.1 * len(truth)
    start = mdata["enhancers"].var.loc[merged["site"], f"{KEY}_start"].to_numpy()
    values = mdata["enhancers"].varm[KEY][mdata["enhancers"].var_names.get_indexer(merged["site"])].astype(float)
    expected = [row[at : at + 10].sum() for row, at in zip(values, merged["Start"] - start, strict=True)]
    assert np.allclose(merged["attribution"], expected, atol=1e-2)
    of_booster = merged.loc[merged["motif"] == "booster", "attribution"]
    assert of_booster.min() > 6
    plain = er.tl.motif_hits(mdata["enhancers"].var, table, genome=genome, threshold=1e-5)
    pd.testing.assert_frame_equal(plain, hits.drop(columns="attribution"))


def test_p_values_are_shares_of_all_sequences(genome):
    rng = np.random.default_rng(1)
    small = rng.dirichlet(np.full(4, 0.5), 5)
    region = pd.DataFrame({"Chromosome": ["chr1"], "Start": [1_000], "End": [21_000]}, index=["here"])
    hits = er.tl.motif_hits(region, {"small": small}, genome=genome, threshold=0.2)
    ratio = np.round(np.log2((small + 1e-4) / 0.25), 1)
    words = ["".join(word) for word in itertools.product("ACGT", repeat=5)]
    score = {word: sum(row["ACGT".index(letter)] for row, letter in zip(ratio, word, strict=True)) for word in words}
    scores = np.array(list(score.values()))
    share = {word: (scores >= own - 1e-9).mean() for word, own in score.items()}
    assert np.allclose(hits["score"], hits["sequence"].map(score))
    assert np.allclose(hits["p_value"], hits["sequence"].map(share))
    text = genome.sequence("chr1", 1_000, 21_000)
    expected = [
        (1_000 + at, strand)
        for at in range(len(text) - 4)
        for strand, word in (("+", text[at : at + 5]), ("-", reverse_complement(text[at : at + 5])))
        if share[word] < 0.2 - 1e-9 and score[word] > -1e-9
    ]
    assert list(zip(hits["Start"], hits["Strand"].astype(str), strict=True)) == expected
    forward = er.tl.motif_hits(region, {"small": small}, genome=genome, threshold=0.2, both_strands=False)
    assert (forward["Strand"] == "+").all()
    assert len(forward) == (hits["Strand"] == "+").sum()


def test_hits_do_not_depend_on_pieces(genome, monkeypatch):
    motifs = {"a": pwm("ATGACTC"), "b": pwm("GGTGTTGCAA")}
    whole = er.tl.motif_hits(None, motifs, genome=genome)
    assert "element" not in whole
    assert set(whole["Chromosome"]) == set(genome.chrom_sizes)
    monkeypatch.setattr("eregtools.tl._motif_scan._PIECE", 70_001)
    monkeypatch.setattr("eregtools.tl._motif_scan._BASES_AT_ONCE", 200_000)
    pd.testing.assert_frame_equal(er.tl.motif_hits(None, motifs, genome=genome), whole)


def test_hits_hold_no_unknown_base_and_stay_in_their_region(tmp_path):
    word = "ATGACTCATC"
    fasta = tmp_path / "n.fa"
    fasta.write_text(f">chr1\n{'A' * 20}{word}{'C' * 20}{word[:9]}N{'T' * 20}{word}\n")
    regions = pd.DataFrame(
        {"Chromosome": "chr1", "Start": [0, 21, 0, 5], "End": [90, 90, 29, 9]}, index=["all", "late", "early", "tiny"]
    )
    hits = er.tl.motif_hits(regions, {"m": pwm(word)}, genome=fasta)
    assert list(zip(hits["element"], hits["Start"], strict=True)) == [("all", 20), ("all", 80), ("late", 80)]
    none = er.tl.motif_hits(regions.iloc[[3]], {"m": pwm(word)}, genome=fasta)
    assert none.empty
    assert list(none.columns) == list(hits.columns)


def test_hits_of_promoters(genome, mdata):
    motif = {"class1": pwm(MOTIFS["class1"])}
    hits = er.tl.motif_hits(mdata, motif, modality="genes", window=400, genome=genome, threshold=1e-5)
    tss = mdata["genes"].var.loc[hits["element"], "tss"].to_numpy()
    assert len(hits) > 5
    assert (np.abs((hits["Start"] + hits["End"]) / 2 - tss) <= 200).all()
    er.pp.link(mdata)
    with pytest.raises(ValueError, match="which sequence of the links"):
        er.tl.motif_hits(mdata, motif, modality="links", genome=genome)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"key": "absent"}, KeyError, r"no attributions 'absent' \(there are truth\); run er.tl.attribute first"),
        ({"modality": "genes"}, KeyError, r"genes have no attributions 'truth' \(there are none\)"),
        ({"method": "dust"}, ValueError, "method is 'dust'; expected seqlets or modisco"),
        ({"sign": "up"}, ValueError, "sign is 'up'; expected both, positive, negative"),
        ({"threshold": 0}, ValueError, "threshold is 0; expected more than 0, at most 1"),
        ({"min_seqlets": 0}, ValueError, "min_seqlets is 0; expected at least 1"),
        ({"n_matches": 0}, ValueError, "n_matches is 0; expected at least 1"),
        ({"max_q": 2}, ValueError, "max_q is 2; expected more than 0"),
        ({"key_added": "a/b"}, ValueError, "key_added='a/b' cannot name a result; expected text without '/'"),
        ({"motifs": {}}, ValueError, "motifs= is empty"),
        ({"motifs": {"a": np.ones((4, 7))}}, ValueError, r"motif 'a' has shape \(4, 7\); expected \(length, 4\)"),
        ({"threshold": 1e-300}, ValueError, r"no seqlet in 240 windows has p ≤ 1e-300; raise threshold="),
    ],
)
def test_bad_arguments(genome, mdata, arguments, error, says):
    with pytest.raises(error, match=says):
        er.tl.motifs(mdata, **{"key": KEY, "genome": genome, **arguments})
    assert "motifs" not in mdata.uns["eregtools"]


def test_modisco_needs_hypothetical_attributions(genome, mdata):
    del mdata["enhancers"].varm[f"{KEY}_hypothetical"]
    with pytest.raises(KeyError, match=r"run er\.tl\.attribute with hypothetical=True, or use method='seqlets'"):
        er.tl.motifs(mdata, key=KEY, method="modisco", genome=genome)


@pytest.mark.parametrize("factor", [0, 1])
def test_modisco_needs_attributions_of_both_signs(genome, mdata, factor):
    values = mdata["enhancers"].varm[KEY]
    values[:] = np.abs(values) * factor
    with pytest.raises(ValueError, match="are not positive in some places and negative in others"):
        er.tl.motifs(mdata, key=KEY, method="modisco", genome=genome)


def test_attributions_of_nothing(genome, mdata):
    mdata["enhancers"].varm[KEY][:] = np.nan
    with pytest.raises(ValueError, match="none of the 240 enhancers has attributions under 'truth'"):
        er.tl.motifs(mdata, key=KEY, genome=genome)


@pytest.mark.parametrize(
    ("library", "call", "says"),
    [
        ("tangermeme", lambda m, g: er.tl.motifs(m, key=KEY, genome=g), "method='seqlets' needs tangermeme"),
        (
            "modiscolite",
            lambda m, g: er.tl.motifs(m, key=KEY, method="modisco", genome=g),
            "method='modisco' needs modisco-lite",
        ),
        ("memelite", lambda m, g: er.tl.motif_hits(m, {"a": pwm("ACGT")}, genome=g), "needs memelite"),
    ],
)
def test_missing_libraries(genome, mdata, monkeypatch, library, call, says):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=f"{says}: pip install 'eregtools\\[motif\\]'"):
        call(mdata, genome)
    assert "motifs" not in mdata.uns["eregtools"]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"threshold": 0}, ValueError, "threshold is 0; expected a p-value"),
        ({"key": KEY}, ValueError, "key= and key_added= go with an object"),
        ({"key_added": "a/b"}, ValueError, "key_added='a/b' cannot name a result"),
        ({"genome": None}, ValueError, "regions of which genome"),
        ({"regions": [1]}, TypeError, "regions= is a list; expected a MuData, a table of intervals, or None"),
        ({"regions": pd.DataFrame({"Start": [1]})}, KeyError, "no column Chromosome, End"),
        ({"motifs": 3}, TypeError, "motifs= is a int; expected a MEME file, a dict of matrices or a table"),
    ],
)
def test_bad_arguments_of_hits(genome, arguments, error, says):
    region = pd.DataFrame({"Chromosome": ["chr1"], "Start": [0], "End": [100]})
    given = {"regions": region, "motifs": {"a": pwm("ACGT")}, "genome": genome, **arguments}
    with pytest.raises(error, match=says):
        er.tl.motif_hits(given.pop("regions"), given.pop("motifs"), **given)


def test_too_many_hits_are_refused(genome):
    with er.settings.override(largest_result=0), pytest.raises(MemoryError, match="take fewer regions or a smaller"):
        er.tl.motif_hits(None, {"a": pwm("ACGT")}, genome=genome, threshold=0.5)


def test_matches_are_ranked_with_q_values():
    """Best first by p-value, then score; q-values of Benjamini and Hochberg over all motifs."""
    from eregtools.tl._tomtom import rank_matches

    compared = np.zeros((5, 1, 4))
    compared[0, 0], compared[1, 0], compared[4, 0] = [0.5, 0.01, 0.01, 0.03], [1, 2, 3, 4], [0, 1, 0, 0]
    motif, p_value, q_value, score, _, _, reverse = rank_matches(compared, 3)
    assert motif.tolist() == [[2, 1, 3]]
    assert p_value.tolist() == [[0.01, 0.01, 0.03]]
    assert np.allclose(q_value, [[0.02, 0.02, 0.04]])
    assert (score.tolist(), reverse.tolist()) == ([[3, 2, 4]], [[False, True, False]])


def assert_named(mdata, simulation, recall):
    """Each pattern is one planted motif; its seqlets are instances of it, in the right direction."""
    found, truth = found_in(mdata), instances(simulation, mdata).reset_index(drop=True)
    patterns, matches, pwms = found["patterns"], found["matches"], found["pwms"]
    assert sorted(patterns["motif"]) == sorted(PLANTED)
    first = matches[matches["rank"] == 1].set_index("pattern")
    for name, pattern in patterns.iterrows():
        sign, word = PLANTED[pattern["motif"]], MOTIFS[pattern["motif"]]
        assert name.startswith("pos" if sign > 0 else "neg")
        assert np.sign(pattern["contribution"]) == sign
        turned = first.loc[name, "Strand"] == "-"
        assert (reverse_complement(word) if turned else word) in pattern["consensus"]
        own = pwms[pwms["pattern"] == name]
        assert own["position"].tolist() == list(range(len(own)))
        assert np.allclose(own[list("ACGT")].sum(axis=1), 1, atol=1e-5)
    seqlets = found["seqlets"][found["seqlets"]["pattern"].notna()]
    assert seqlets["pattern"].value_counts().to_dict() == patterns["n_seqlets"].to_dict()
    covered = covering(seqlets, truth)
    assert (covered >= 0).mean() > 0.99
    assert len(set(covered)) / len(truth) > recall
    seqlets, there = seqlets[covered >= 0], truth.iloc[covered[covered >= 0]]
    name = seqlets["pattern"].astype(str)
    right = name.map(patterns["motif"]).to_numpy() == there["motif"].to_numpy()
    assert right.mean() > 0.98
    reverse = (seqlets["Strand"] == "-").to_numpy() ^ (name.map(first["Strand"].astype(str)) == "-").to_numpy()
    assert (reverse == (there["Strand"] == "-"))[right].mean() > 0.99


def by_overlap(queries, motifs, n_matches):
    """Nearest motif by what the best ungapped alignment shares, where Tom-tom would take long to compile."""
    from eregtools.tl._tomtom import Matches

    rows = []
    for query in queries:
        best = []
        for number, known in enumerate(motifs.values()):
            for reverse, target in ((False, known), (True, known[::-1, ::-1])):
                shared = sum(np.correlate(target[:, base], query[:, base], "full") for base in range(4))
                best.append((shared.max(), number, int(shared.argmax()) - len(query) + 1, reverse))
        rows.append(max(best))
    score, motif, offset, reverse = (np.array(column)[:, None] for column in zip(*rows, strict=True))
    zero = np.zeros(score.shape)
    return Matches(motif, zero, zero, score, zero.astype(np.int64), offset, reverse)


def test_seqlets_are_grouped_and_aligned_by_the_motif_they_are_like(simulation, genome, mdata, monkeypatch):
    for module in ("motifs", "_patterns"):
        monkeypatch.setattr(sys.modules[f"eregtools.tl.{module}"], "compare", by_overlap)
    known = {name: pwm(word) for name, word in MOTIFS.items()}
    er.tl.motifs(mdata, key=KEY, genome=genome, motifs=known)
    assert_named(mdata, simulation, 0.95)
    contributions = found_in(mdata)["contributions"]
    for name, motif in found_in(mdata)["patterns"]["motif"].items():
        own = contributions.loc[contributions["pattern"] == name, list("ACGT")].to_numpy()
        assert (np.abs(own).argmax(axis=1) == one_hot(MOTIFS[motif]).argmax(axis=1)).all()
    er.tl.motifs(mdata, key=KEY, genome=genome, motifs=known, min_seqlets=190)
    assert found_in(mdata)["patterns"]["n_seqlets"].min() >= 190
    assert len(found_in(mdata)["patterns"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("method", "recall"), [("seqlets", 0.95), ("modisco", 0.75)])
def test_planted_motifs_are_found_and_named(simulation, genome, mdata, method, recall, caplog):
    known = decoys(40, np.random.default_rng(3)) | {name: pwm(word) for name, word in MOTIFS.items()}
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        er.tl.motifs(mdata, key=KEY, genome=genome, motifs=known, method=method)
    assert not caplog.text
    assert_named(mdata, simulation, recall)
    assert (found_in(mdata)["patterns"]["q_value"] < 1e-6).all()
    assert found_in(mdata)["matches"].groupby("pattern", observed=True)["p_value"].is_monotonic_increasing.all()


@pytest.mark.slow
def test_motif_of_a_trained_model(shared, tmp_path):
    """Train on sequence with a planted motif, attribute, find it among decoys and among all of JASPAR."""
    mdata = make_training_world(tmp_path)
    config = EPInformerSeqConfig(hidden=8, tower_channels=(16, 8, 8, 8, 8))
    how = {
        "max_epochs": 8,
        "learning_rate": 5e-3,
        "batch_size": 32,
        "device": "cpu",
        "rng": 5,
        "folder": tmp_path / "m",
    }
    model = er.tl.train_activity(mdata, fold=1, config=config, **how)
    held_out = {"fold": 1, "genome": "train-toy", "allow_leakage": True}
    er.tl.attribute(mdata, model, method="ism", hypothetical=True, **held_out)
    jaspar = er.io.read_meme(shared / "data" / "motifs" / "jaspar_2024_consensus.meme.gz")
    for known, method in ((decoys(60, np.random.default_rng(0)), "seqlets"), (jaspar, "seqlets"), (jaspar, "modisco")):
        motifs = {**known, "planted": pwm(MOTIF)}
        er.tl.motifs(mdata, key="activity_ism", method=method, motifs=motifs, genome="train-toy")
        best = found_in(mdata)["patterns"].loc["pos_pattern_0"]
        assert (best["motif"], best["q_value"] < 0.01) == ("planted", True)
        assert best["n_seqlets"] > 500
        assert MOTIF[1:-1] in best["consensus"] or reverse_complement(MOTIF[1:-1]) in best["consensus"]
    shown = found_in(mdata)["pwms"]
    axes = er.pl.logo(shown[shown["pattern"] == "pos_pattern_0"], kind="information", show=False)
    assert axes.get_ylabel() == "information (bits)"


@pytest.mark.slow
def test_matches_do_not_depend_on_other_queries(monkeypatch, caplog):
    from eregtools.tl import _tomtom

    rng = np.random.default_rng(2)
    queries = [one_hot(rng.choice(list("ACGT"), length)) for length in rng.integers(4, 25, 40)]
    known = decoys(20, rng)
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        together = _tomtom.compare(queries, known, 3)
    assert "of 20 motifs p-values are rough (give 25 or more)" in caplog.text
    monkeypatch.setattr(_tomtom, "_VALUES_AT_ONCE", 60)
    parts = _tomtom.compare(queries, known, 3)
    for name, values in vars(together).items():
        assert np.array_equal(values, getattr(parts, name)), name
    exact = _tomtom.compare([known["decoy7"][2:8], known["decoy7"][::-1, ::-1]], known, 1)
    assert exact.motif[:, 0].tolist() == [7, 7]
    assert (exact.offset[:, 0].tolist(), exact.reverse[:, 0].tolist()) == ([2, 0], [False, True])
