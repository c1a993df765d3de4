"""Calls on a scan: what a locus is, what its q-value means, and that masks, borders and biosamples are respected."""

from __future__ import annotations

import gzip
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, logit

import eregtools as er
from eregtools.coverage import CoverageWriter, record
from eregtools.datasets._erna_bayes import log_odds_of_alignment
from eregtools.io import bigwig
from eregtools.models import ERNAformer, ERNAformerConfig
from eregtools.models.locus_inference import LocusPredictor
from eregtools.ranges import overlaps
from eregtools.tl._decoys import Source, off_register_decoys, shifts, tried_windows
from eregtools.tl._erna_fdr import decoy_q_values, estimated_pi0, validation_q_values, wilson_lower
from eregtools.tl._erna_windows import locus_windows
from eregtools.tl._loci_from_track import CallRules, loci_of_track
from eregtools.tl._scan_store import ErnaScan
from networks import randomised
from scan_world import READ, SIZES, UNIT, make_scan_world

CPU = torch.device("cpu")
CONFIG = ERNAformerConfig.preset("small", seq_len=1024)
MASK = pd.DataFrame({"Chromosome": ["chr1", "chr2"], "Start": [3_000, 9_000], "End": [3_600, 12_000]})
CHUNK = UNIT + UNIT // 2


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_scan_world(tmp_path_factory.mktemp("call"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return randomised(ERNAformer(CONFIG))


@pytest.fixture(scope="module")
def scan(world, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans") / "s"
    return er.tl.scan_ernas(
        world.coverage, model, folder=folder, genome=world.genome, mask=MASK, chunk=CHUNK, device="cpu"
    )


@pytest.fixture(scope="module")
def high(scan):
    """Probabilities that a fiftieth, and a tenth of the bins reach: the weights are random, so no other rule fits."""
    values = np.concatenate([scan.track("A", chrom) for chrom in SIZES])
    levels = np.nanquantile(values, [0.98, 0.9]) - 5e-4  # no bin has just this value, so that rounding tells nothing
    return dict(zip(("t_hi", "t_lo"), expit(levels).tolist(), strict=True))


def called(world, scan, **options):
    mdata = world.object()
    options = {"scan": scan, "genome": world.genome, "device": "cpu", "fdr": None, "decoys": 200, "rng": 1} | options
    return er.tl.call_ernas(mdata, copy=True, **options)


def track_of(*parts, n=400):
    """Track of probabilities ``(first, last, value)`` over nearly nothing."""
    p = np.full(n, 0.01)
    for first, last, value in parts:
        p[first:last] = value
    return logit(p).astype(np.float32)


def loci_in(track, blocked=(), **rules):
    closed = np.zeros(len(track), dtype=bool)
    closed[list(blocked)] = True
    found = loci_of_track(track, closed, CallRules(**rules))
    return list(zip(found.first.tolist(), found.last.tolist(), found.summit.tolist(), strict=True))


class TestLociOfATrack:
    def test_seeds_extend_down_to_the_lower_threshold(self):
        track = track_of((100, 110, 0.3), (103, 105, 0.9), (200, 210, 0.45))
        assert loci_in(track) == [(100, 110, 104)]
        assert loci_in(track, t_lo=0.5) == []  # two bins are too narrow
        assert loci_in(track, t_lo=0.5, min_width=64) == [(103, 105, 104)]
        assert loci_in(track, t_hi=0.4) == [(100, 110, 104), (200, 210, 205)]

    def test_short_gaps_are_joined_unless_masked(self):
        track = track_of((100, 105, 0.9), (107, 112, 0.8), (115, 120, 0.9))
        assert loci_in(track) == [(100, 112, 102), (115, 120, 117)]
        assert loci_in(track, merge_gap=0) == [(100, 105, 102), (107, 112, 109), (115, 120, 117)]
        assert loci_in(track, merge_gap=96) == [(100, 120, 115)]
        assert loci_in(track, blocked=[106]) == [(100, 105, 102), (107, 112, 109), (115, 120, 117)]

    def test_masked_bins_part_a_run(self):
        track = track_of((100, 120, 0.9))
        assert loci_in(track, blocked=range(108, 110)) == [(100, 108, 104), (110, 120, 115)]
        assert loci_in(track, blocked=range(100, 120)) == []

    def test_unknown_bins_are_no_loci(self):
        track = track_of((100, 120, 0.9))
        track[105:300] = np.nan
        assert loci_in(track) == [(100, 105, 102)]

    @pytest.mark.parametrize("distance", [300, 600, 1_000])
    def test_neighbours_are_apart_or_split_at_the_valley(self, distance):
        x = np.arange(400) * 32.0
        two = sum(0.9 * np.exp(-0.5 * ((x - c) / 80) ** 2) for c in (6_400, 6_400 + distance))
        track = logit(np.clip(two, 0.01, 0.99)).astype(np.float32)
        found = loci_in(track, max_width=0, min_width=64)
        assert len(found) == 2
        summits = [summit * 32 for *_, summit in found]
        assert np.abs(np.array(summits) - [6_400, 6_400 + distance]).max() <= 32
        assert found[0][1] < found[1][0]  # the deepest bin belongs to neither

    def test_only_wide_loci_are_split(self):
        track = track_of((100, 130, 0.9), (114, 116, 0.5))
        assert loci_in(track) == [(100, 130, 115)] or len(loci_in(track)) == 1
        wide = track_of((100, 240, 0.9), (168, 171, 0.5), (200, 203, 0.8))
        found = loci_in(wide)
        assert [(first, last) for first, last, _ in found] == [(100, 169), (170, 240)]
        assert len(loci_in(wide, valley=0.5)) == 1  # the valley is 0.4 deep
        assert len(loci_in(wide, valley=0.05)) == 3

    def test_window_mode_takes_the_highest_within_a_radius(self):
        track = track_of((100, 101, 0.9), (110, 111, 0.95), (130, 131, 0.8), (200, 201, 0.4))
        found = loci_in(track, mode="window")
        assert [summit for *_, summit in found] == [110, 130]
        assert found[0][:2] == (104, 117)
        assert [summit for *_, summit in loci_in(track, mode="window", radius=300)] == [100, 110, 130]
        assert loci_in(track, mode="window", blocked=[112])[0][:2] == (104, 112)

    def test_flat_summits_are_in_the_middle(self):
        assert loci_in(track_of((100, 111, 0.9))) == [(100, 111, 105)]

    @pytest.mark.parametrize(
        "rules",
        [{"t_lo": 0.6}, {"t_hi": 1.0}, {"mode": "peaks"}, {"valley": 0.0}, {"merge_gap": -1}, {"radius": 100}],
    )
    def test_rules_that_make_no_sense(self, rules):
        with pytest.raises(ValueError, match=f"{next(iter(rules))}.*expected"):
            CallRules(**rules)


@pytest.fixture(scope="module")
def exact():
    """Exact scores of task A: of pairs that belong together and of re-paired ones, and of decoys made three ways."""
    n = 400
    simulation = er.datasets.simulate_erna("align", n=n, seed=3)
    rng = np.random.default_rng(0)
    grammar, rna = (t.to_numpy() for t in (simulation.sequences["grammar"], simulation.tracks["rna"]))
    width, row = simulation.config.width, np.arange(n)
    apart = [np.flatnonzero(np.abs(rna - place) >= 300) for place in grammar]
    off = [(i, int(rng.choice(tracks))) for i, tracks in enumerate(apart) if len(tracks)]
    shift = rng.integers(300, width // 2 + 1, n) * rng.choice((-1, 1), n)
    source = (np.arange(width) - shift[:, None]) % width
    moved = np.take_along_axis(simulation.counts, source[:, None], axis=2)

    def scores(counts, sequence, track):
        laws = simulation.config.sequence_law, simulation.config.read_law
        pairs = pd.DataFrame({"sequence": sequence, "track": track})
        found = log_odds_of_alignment(simulation.codes, counts, pairs, laws, simulation.placement, stranded=True)
        return found["fused"].to_numpy()

    pairs = simulation.pairs
    targets = scores(simulation.counts, pairs["sequence"], pairs["track"])
    sequence, track = np.array(off).T
    return {
        "true": targets[simulation.labels == 1],
        "false": targets[simulation.labels == 0],
        "off-register": scores(simulation.counts, sequence, track),
        "moved": scores(moved, row, row),
        "blind": scores(simulation.counts, row, rng.permutation(n)),
    }


def rates(exact, decoys, alpha, pi0, draws=200, each=150):
    """Mean false discovery proportion and recall of draws of half true, half false targets."""
    found = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        parts = [rng.choice(exact[kind], each, replace=False) for kind in ("true", "false")]
        null = rng.choice(exact[decoys], min(2 * each, len(exact[decoys])), replace=False)
        passes = decoy_q_values(np.concatenate(parts), null, pi0=pi0) <= alpha
        found.append((passes[each:].sum() / max(passes.sum(), 1), passes[:each].mean()))
    return np.mean(found, axis=0)


class TestFalseDiscoveryRate:
    """Exact scores of the simulator, no network: what is tested is the rate alone."""

    @pytest.mark.parametrize(("alpha", "recall"), [(0.05, 0.88), (0.1, 0.94), (0.2, 0.98)])
    def test_decoys_out_of_register_tell_it(self, exact, alpha, recall):
        fdp, found = rates(exact, "off-register", alpha, pi0=0.5)
        assert 0.3 * alpha <= fdp <= alpha + 0.015
        assert found >= recall
        safe, _ = rates(exact, "off-register", alpha, pi0=1.0)
        assert safe <= 0.6 * alpha

    @pytest.mark.parametrize(("alpha", "recall"), [(0.05, 0.6), (0.1, 0.85), (0.2, 0.95)])
    def test_moved_coverage_is_conservative(self, exact, alpha, recall):
        """Coverage turned round in its window looks odd at its seam, which costs recall and no false calls."""
        fdp, found = rates(exact, "moved", alpha, pi0=0.5)
        assert fdp <= alpha
        assert found >= recall

    def test_blind_pairing_manufactures_positives(self, exact):
        """The negative control: centred loci paired anew are aligned by accident, and nothing passes."""
        for alpha, most in ((0.05, 0.02), (0.1, 0.1), (0.2, 0.25)):
            assert rates(exact, "blind", alpha, pi0=1.0)[1] <= most
            assert rates(exact, "off-register", alpha, pi0=1.0)[1] >= 0.9

    def test_formula(self):
        targets, decoys = np.array([5.0, 3.0, 4.0, 1.0]), np.array([3.5, 0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.2, 0.1])
        rate = {t: ((decoys >= t).sum() + 1) / 10 / ((targets >= t).sum() / 4) for t in targets}
        expected = [min(rate[s] for s in targets if s <= t) for t in targets]
        assert decoy_q_values(targets, decoys) == pytest.approx(expected)
        assert decoy_q_values(targets, decoys, pi0=0.5) == pytest.approx(np.array(expected) / 2)

    def test_tries_that_gave_no_score_count(self):
        targets, decoys = np.arange(10.0), np.array([2.0])
        assert decoy_q_values(targets, decoys, n_decoys=99)[-1] == pytest.approx(1 / 100 / 0.7)
        rare = decoy_q_values(targets, decoys, n_targets=1_000, n_decoys=9_999)
        assert rare[-1] == pytest.approx(1 / 10_000 / 0.007)
        with pytest.raises(ValueError, match="have a score"):
            decoy_q_values(targets, decoys, n_targets=5)

    def test_q_rises_as_scores_fall(self, exact):
        targets = np.concatenate([exact["true"], exact["false"]])
        q = decoy_q_values(targets, exact["off-register"])
        assert (np.diff(q[np.argsort(-targets)]) >= 0).all()
        assert q.max() <= 1
        assert np.array_equal(decoy_q_values(targets[::-1], exact["off-register"]), q[::-1])

    def test_share_of_false_targets(self, exact):
        for share in (0.2, 0.5, 0.9):
            n_false = int(400 * share)
            targets = np.concatenate([exact["true"][: 400 - n_false], exact["false"][:n_false]])
            found = estimated_pi0(targets, exact["off-register"], n_targets=400, n_decoys=len(exact["off-register"]))
            assert found == pytest.approx(share, abs=0.12)

    def test_labels_give_the_rate_with_confidence(self, exact):
        """At the share of true ones that is given, whatever that of the labelled loci is."""
        rng = np.random.default_rng(2)
        exceeded = []
        for _ in range(100):
            order = rng.permutation(400)
            scores = np.concatenate([exact["true"][order[:60]], exact["false"][order[:200]]])
            label = np.repeat([1.0, 0.0], [60, 200]).astype(np.float32)
            targets = np.concatenate([exact["true"][order[200:]], exact["false"][order[200:]]])
            passes = validation_q_values(targets, scores, label, prior=0.5) <= 0.1
            exceeded.append(passes[200:].sum() / passes.sum() > 0.1)
            assert passes[:200].mean() > 0.3
        assert np.mean(exceeded) <= 0.1

    def test_wilson(self):
        assert wilson_lower(np.array([0.9]), np.array([100.0])) == pytest.approx(0.8393, abs=2e-3)
        assert wilson_lower(np.array([1.0, 0.0]), np.array([0.0, 50.0])).tolist() == [0.0, 0.0]


class TestCalls:
    def test_modality(self, world, scan, high):
        mdata = called(world, scan, **high)
        ernas = mdata["ernas"]
        var = ernas.var
        er._schema.validate(mdata)
        assert len(var) > 10
        assert list(var.columns[:6]) == ["Chromosome", "Start", "End", "center", "score", "qvalue"]
        names = [f"eRNA:{row.Chromosome}:{row.Start}-{row.End}" for row in var.itertuples()]
        assert names == list(var.index)
        assert ((var["center"] >= var["Start"]) & (var["center"] < var["End"])).all()
        assert ((var["End"] - var["Start"]) >= 96).all()
        assert set(ernas.layers) >= {"candidate", "probability", "qvalue"}
        assert np.isfinite(ernas.layers["probability"]).all()
        assert (ernas.layers["candidate"].max(axis=0) == 1).all()

    def test_nothing_is_called_in_the_mask(self, world, scan, high):
        var = called(world, scan, **high)["ernas"].var
        for row in MASK.itertuples():
            inside = (var["Chromosome"] == row.Chromosome) & (var["End"] > row.Start) & (var["Start"] < row.End)
            assert not inside.any()
        loose = called(world, scan, t_hi=1e-6, t_lo=1e-7, max_width=0, valley=1.0)["ernas"].var
        for row in MASK.itertuples():  # everything that was read is a locus, up to the mask
            here = loose[loose["Chromosome"] == row.Chromosome]
            assert not ((here["End"] > row.Start) & (here["Start"] < row.End)).any()
            assert (here["End"] <= row.Start).any()
            assert (here["Start"] >= row.End).any()

    def test_a_locus_across_the_border_of_a_chunk_is_that_of_mid_chunk(self, world, scan, high):
        """Units are alike; chunks end in the middle of the second and the fourth one, and at their ends."""
        var = called(world, scan, sample="A", **high)["ernas"].var
        starts, ends, scores = ([], [], [])
        for unit in (1, 2, 3):
            inside = (var["Chromosome"] == "chr1") & (var["center"] // UNIT == unit)
            assert inside.sum() >= 2
            starts.append((var.loc[inside, "Start"] - unit * UNIT).tolist())
            ends.append((var.loc[inside, "End"] - unit * UNIT).tolist())
            scores.append(var.loc[inside, "score"].to_numpy())
        assert starts[0] == starts[1] == starts[2]
        assert ends[0] == ends[1] == ends[2]
        assert np.abs(np.diff(scores, axis=0)).max() <= 1e-5

    def test_a_locus_at_the_very_border(self, world, model, scan, high, tmp_path):
        """Chunks of one window, so that every locus of some width lies across a border."""
        options = {"genome": world.genome, "mask": MASK, "device": "cpu", "sample": "A"}
        tiny = er.tl.scan_ernas(
            world.coverage, model, folder=tmp_path / "s", chunk=512, chromosomes="chr2", skip_silent=True, **options
        )
        one, other = (called(world, found, sample="A", **high)["ernas"].var for found in (scan, tiny))
        one = one[one["Chromosome"] == "chr2"]
        across = ((one["Start"] // 512) != ((one["End"] - 1) // 512)).sum()
        assert across >= 2
        assert list(one.index) == list(other.index)
        assert np.allclose(one["score"], other["score"], atol=1e-6)

    def test_scores_are_those_of_windows_around_the_summits(self, world, model, scan, high):
        mdata = called(world, scan, sample="A", **high)
        var = mdata["ernas"].var
        windows = locus_windows(var, ["A"], np.zeros(len(var)), CONFIG, world.genome, world.coverage)
        logits = LocusPredictor(model, CPU)(windows.batch(np.arange(len(var)))).window
        assert np.abs(var["score"] - logits).max() <= 1e-5
        assert np.abs(mdata["ernas"].layers["probability"][0] - expit(logits)).max() <= 1e-6
        assert np.isnan(mdata["ernas"].layers["probability"][1]).all()

    def test_biosamples_are_joined(self, world, scan, high):
        both = called(world, scan, **high)["ernas"]
        single = {name: called(world, scan, sample=name, **high)["ernas"].var for name in ("A", "B")}
        for row, name in enumerate(("A", "B")):
            loci = both.var[both.layers["candidate"][row] == 1]
            for locus in single[name].itertuples():
                inside = (loci["Chromosome"] == locus.Chromosome) & (loci["Start"] <= locus.Start)
                assert (inside & (loci["End"] >= locus.End)).sum() == 1
        assert both.var["score"].max() == pytest.approx(max(one["score"].max() for one in single.values()))
        var = both.var
        for chrom in SIZES:
            here = var[var["Chromosome"] == chrom]
            assert (here["Start"].to_numpy()[1:] >= here["End"].to_numpy()[:-1]).all()

    def test_clusters(self, world, scan, high):
        var = called(world, scan, stitch=1_000, **high)["ernas"].var
        here = var[var["Chromosome"] == "chr1"]
        gap = here["Start"].to_numpy()[1:] - here["End"].to_numpy()[:-1]
        same = here["cluster"].astype(str).to_numpy()[1:] == here["cluster"].astype(str).to_numpy()[:-1]
        assert np.array_equal(same, gap <= 1_000)
        assert 0 < same.sum() < len(same)
        first = here[here["cluster"] == here["cluster"].iloc[0]]
        assert here["cluster"].iloc[0] == f"chr1:{first['Start'].min()}-{first['End'].max()}"

    def test_is_written_and_read(self, world, scan, high, tmp_path):
        mdata = called(world, scan, stitch=12_500, **high)
        er.io.write(mdata, tmp_path / "object.h5mu")
        again = er.io.read(tmp_path / "object.h5mu")
        assert again["ernas"].var_names.equals(mdata["ernas"].var_names)
        known = again.uns["eregtools"]["erna_calls"]
        together = int(mdata["ernas"].layers["candidate"][0].sum())  # of two loci that a third one joins one is left
        assert together <= known["samples"].loc["A", "calls"] <= together + 3
        assert known["scan"] == scan.fingerprint


class TestDecoys:
    def source(self, world, scan):
        return Source(scan, world.genome, world.coverage, CPU)

    def test_windows_that_were_tried(self, world, scan):
        windows = tried_windows(self.source(world, scan), "A")
        for chrom in SIZES:
            track = scan.track("A", chrom)
            starts = windows.loc[windows["Chromosome"] == chrom, "Start"].to_numpy()
            assert np.array_equal(starts % 512, np.zeros(len(starts)))
            read = np.flatnonzero(np.isfinite(track[::16])) * 512
            assert set(starts) <= set(read)
            masked = MASK[MASK["Chromosome"] == chrom].iloc[0]
            inside = [start for start in read if masked["Start"] <= start and start + 512 <= masked["End"]]
            assert set(read) - set(starts) == set(inside)

    def test_sequence_is_off_and_unmasked(self, world, scan):
        source = self.source(world, scan)
        windows = tried_windows(source, "A")
        shift, there = shifts(source, windows, (500, 1_500), np.random.default_rng(0))
        assert there.mean() > 0.9
        moved = windows[there].assign(Start=windows["Start"] + shift, End=windows["End"] + shift)
        assert np.abs(shift[there]).min() >= 496
        assert np.abs(shift).max() <= 1_500
        assert {-1, 1} <= set(np.sign(shift))
        for row in MASK.itertuples():
            here = moved[moved["Chromosome"] == row.Chromosome]
            assert not ((here["End"] > row.Start) & (here["Start"] < row.End)).any()

    def test_are_put_through_the_same_calling(self, world, model, scan, high):
        """Coverage out of register by nothing is in register: the same loci with the same scores."""
        source, rules = self.source(world, scan), CallRules(**high)
        windows = tried_windows(source, "A")
        found = off_register_decoys(source, "A", windows, rules, len(windows), (0, 0), np.random.default_rng(0))
        loci = called(world, scan, sample="A", **high)["ernas"].var
        in_mask = {row.Chromosome: (row.Start, row.End) for row in MASK.itertuples()}
        clear = [
            locus.score
            for locus in loci.itertuples()
            if not (
                locus.center // 512 * 512 < in_mask[locus.Chromosome][1]
                and locus.center // 512 * 512 + 512 > in_mask[locus.Chromosome][0]
            )
        ]
        assert len(clear) > 10
        assert np.sort(found.scores) == pytest.approx(np.sort(clear), abs=1e-4)

    def test_weights_that_relate_nothing_call_nothing(self, world, scan, high):
        """Random weights see coverage and sequence, not their alignment: decoys are as good as loci."""
        mdata = called(world, scan, fdr=None, sample="A", **high)
        everything = mdata["ernas"].n_vars
        assert everything > 10
        with pytest.raises(ValueError, match="no locus is called"):
            called(world, scan, fdr="null", alpha=0.1, sample="A", **high)

    def test_do_not_depend_on_the_batch(self, world, scan, high):
        tables = [
            called(world, scan, fdr="null", alpha=1.0, decoys=60, batch_size=size, **high)["ernas"].var
            for size in (None, 7)
        ]
        assert np.allclose(tables[0]["qvalue"], tables[1]["qvalue"])
        assert tables[0]["qvalue"].between(0, 1).all()
        assert {"n_detected", "consistency_q"} <= set(tables[0].columns)
        assert tables[0]["n_detected"].isin([0, 1, 2]).all()

    def test_report(self, world, scan, high, caplog):
        with caplog.at_level("INFO", logger="eregtools"):
            mdata = called(world, scan, fdr="null", alpha=1.0, sample="A", **high)
        facts = mdata.uns["eregtools"]["erna_calls"]["samples"].loc["A"]
        assert facts["decoys"] <= 200
        assert facts["windows"] == len(tried_windows(self.source(world, scan), "A"))
        assert f"{facts['calls']:.0f} of {facts['loci']:.0f} loci called, estimated FDR" in caplog.text
        assert f"{facts['decoys']:.0f} decoys" in caplog.text

    def test_a_genome_with_few_loci_is_odd(self, world, scan, high, caplog, monkeypatch):
        monkeypatch.setattr(sys.modules["eregtools.tl._judged_loci"], "_GENOME", 1e5)
        called(world, scan, **high)
        assert "loci are called in 0.0 Gb; others found 10000 to 100000" in caplog.text


class TestRefused:
    def test_q_finer_than_the_decoys(self, world, scan, high, monkeypatch):
        monkeypatch.setattr("eregtools.tl._decoys._PER_WINDOW", 1)  # there are no 100,000 windows to draw from
        with pytest.raises(ValueError, match=r"alpha=0.001 is finer than 200 decoys can tell \(1/200\)"):
            called(world, scan, fdr="null", alpha=0.001, **high)
        with pytest.raises(ValueError, match=r"is finer than \d+ decoys can tell"):
            called(world, scan, fdr="null", alpha=1e-4, decoys=100_000, sample="A", **high)

    def test_no_scan(self, world):
        with pytest.raises(KeyError, match=r"records no scan; run er\.tl\.scan_ernas"):
            called(world, None)

    def test_another_assembly(self, world, scan):
        mdata = world.object()
        mdata.uns["eregtools"]["chrom_sizes"].loc["chr2", "length"] += 1
        with pytest.raises(ValueError, match="the tracks are of another assembly"):
            er.tl.call_ernas(mdata, scan=scan, genome=world.genome, device="cpu")

    def test_another_coverage(self, world, scan, tmp_path):
        with CoverageWriter(tmp_path / "c.zarr", SIZES) as writer:
            arrays = {chrom: np.ones((2, -(-size // 8)), dtype=np.float32) for chrom, size in SIZES.items()}
            for name in ("A", "B"):
                writer.add(name, arrays, library_size=1e6, read_length=READ)
        mdata = world.object()
        record(mdata, er.coverage.Coverage(tmp_path / "c.zarr"))
        with pytest.raises(ValueError, match="is not the coverage that was scanned"):
            er.tl.call_ernas(mdata, scan=scan, genome=world.genome, device="cpu")

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"fdr": "bh"}, ValueError, "fdr is 'bh'"),
            ({"alpha": 0.0}, ValueError, "alpha is 0.0"),
            ({"decoy_distance": (100, 500)}, ValueError, "still in register"),
            ({"stitch": -5}, ValueError, "stitch is -5"),
            ({"sample": "Z"}, KeyError, "no biosample 'Z'"),
            ({"t_hi": 0.999999}, ValueError, "no locus is called"),
            ({"fdr": "validation"}, KeyError, "ernas"),
        ],
    )
    def test_arguments(self, world, scan, options, error, message):
        with pytest.raises(error, match=message):
            called(world, scan, **options)


class TestFiles:
    def test_bed(self, world, scan, high, tmp_path):
        mdata = called(world, scan, **high)
        for name in ("loci.bed", "loci.bed.gz"):
            er.io.write_ernas(mdata, tmp_path / name)
        table = er.io.read_bed(tmp_path / "loci.bed")
        var = mdata["ernas"].var
        assert table["Name"].tolist() == list(var.index)
        assert table["Start"].tolist() == var["Start"].tolist()
        highest = np.nanmax(mdata["ernas"].layers["probability"], axis=0)
        assert np.abs(table["Score"] - 1000 * highest).max() <= 0.5
        assert gzip.decompress((tmp_path / "loci.bed.gz").read_bytes()) == (tmp_path / "loci.bed").read_bytes()
        er.io.write_ernas(mdata, tmp_path / "b.bed", sample="B")
        assert len(er.io.read_bed(tmp_path / "b.bed")) == int(mdata["ernas"].layers["candidate"][1].sum())

    def test_bigwig(self, world, scan, high, tmp_path):
        mdata = called(world, scan, sample="A", **high)
        er.io.write_ernas(mdata, tmp_path / "loci.bw", sample="A")
        row = mdata["ernas"].var.iloc[3]
        values = bigwig.values(tmp_path / "loci.bw", row["Chromosome"], row["Start"], row["End"])
        assert values == pytest.approx(mdata["ernas"].layers["probability"][0, 3], abs=1e-6)

    def test_refused(self, world, scan, high, tmp_path):
        mdata = called(world, scan, **high)
        for name, options, error, message in (
            ("a.bb", {}, ValueError, "ends in .bed"),
            ("a.bed", {"max_qvalue": 0.1}, ValueError, "no locus is left"),
            ("a.bed", {"sample": "Z"}, KeyError, "no biosample 'Z'"),
        ):
            with pytest.raises(error, match=message):
                er.io.write_ernas(mdata, tmp_path / name, **options)
        assert not list(tmp_path.iterdir())
        assert isinstance(scan, ErnaScan)


@pytest.mark.slow
def test_a_trained_network_finds_the_loci_of_a_simulated_genome(tmp_path):
    """From files to calls: at a tenth of false loci asked for, hardly one is, and most of the true ones are there."""
    config = er.datasets.ErnaGenomeConfig(n_chromosomes=1, libraries=["stranded"], negative=())
    genome = er.datasets.simulate_erna_genome(tmp_path / "genome", config=config, seed=1)
    paths = genome.paths
    mdata = er.pp.assemble(genes=paths["genes"], enhancers=paths["open"], samples=["s1"], genome=paths["genome"])
    er.pp.add_coverage(mdata, genome.tracks, folder=tmp_path / "coverage.zarr", read_length=75)
    mask = er.pp.erna_mask(mdata, paths["genes"], blacklist=paths["blacklist"], genome=paths["genome"])
    library = float(mdata.obs["library_size"].iloc[0])
    simulation = er.datasets.simulate_erna("confounders", n=4_000, seed=2, library_size=library)
    training = {"preset": "small", "max_epochs": 2, "learning_rate": 1e-3, "batch_size": 64, "device": "cpu"}
    model = er.tl.train_ernas(simulation, **training)
    er.tl.scan_ernas(mdata, model, folder=tmp_path / "scan", genome=paths["genome"], device="cpu")

    loci = genome.loci
    true = loci[loci["stratum"] == "positive"]
    active = true[genome.active.loc[true.index].to_numpy()[:, 0]]
    inside = overlaps(active.assign(Start=active["center"], End=active["center"] + 1), mask)
    expected = active["center"].to_numpy()[~inside]
    options = {"genome": paths["genome"], "device": "cpu", "copy": True}
    every = er.tl.call_ernas(mdata, fdr=None, **options)["ernas"].var["center"].to_numpy()
    called = er.tl.call_ernas(mdata, alpha=0.1, decoys=4_000, **options)["ernas"].var["center"].to_numpy()

    def false(centers):
        return (np.abs(centers[:, None] - true["center"].to_numpy()).min(axis=1) > 200).mean()

    away = np.abs(expected[:, None] - called).min(axis=1)
    assert false(every) > 0.1  # there is something to refuse
    assert false(called) <= 0.1
    assert (away <= 200).mean() >= 0.6
    assert np.median(away[away <= 200]) <= 50
