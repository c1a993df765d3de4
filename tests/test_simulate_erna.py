"""Simulated loci: what one modality can never tell, exact scores, and single cases without chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

import eregtools as er
from eregtools.batches.loci import running_mean
from eregtools.datasets._erna_grammar import _motif_ratios, grammar_ratios
from eregtools.datasets._erna_reads import MINUS, PLUS, Locus, Reads, counts_of, coverage_of, divergent_reads
from eregtools.datasets._erna_tasks import JITTER, STRATA, Placement, repair


@pytest.fixture(scope="module")
def align():
    return er.datasets.simulate_erna("align", n=500, seed=3)


@pytest.fixture(scope="module")
def confounders():
    return er.datasets.simulate_erna("confounders", n=400, seed=3)


@pytest.fixture(scope="module")
def exact(confounders):
    return confounders.bayes()


def wins(label, score):
    """Pairs that a score ranks right, less those that it ranks wrong: 0 is an AUROC of one half, in whole numbers."""
    difference = np.sign(score[label == 1][:, None] - score[label == 0])
    return int(difference.sum())


class TestAlign:
    def test_every_sequence_and_track_is_once_positive_and_once_negative(self, align):
        for column in ("sequence", "track"):
            for label in (0, 1):
                of_label = align.pairs.loc[align.pairs["label"] == label, column]
                assert sorted(of_label) == list(range(500))

    def test_no_score_of_one_modality_ranks_better_than_chance(self, align):
        """An identity of the finite sample: no tolerance."""
        rng = np.random.default_rng(0)
        of_sequence = (align.codes[:, ::3] * rng.normal(size=align.codes[:, ::3].shape[1])).sum(axis=1)
        of_track = (align.coverage * rng.normal(size=align.coverage.shape[1:])).sum(axis=(1, 2))
        assert wins(align.labels, of_sequence[align.pairs["sequence"]]) == 0
        assert wins(align.labels, of_track[align.pairs["track"]]) == 0

    def test_places(self, align):
        grammar = align.sequences["grammar"].to_numpy()[align.pairs["sequence"]]
        rna = align.tracks["rna"].to_numpy()[align.pairs["track"]]
        away = np.abs(grammar - rna)
        assert away[align.labels == 1].max() <= 24
        assert away[align.labels == 0].min() >= 150

    def test_negatives_are_paired_anew(self, align):
        first, second, again = (align.repaired(seed).pairs for seed in (1, 2, 1))
        assert first.equals(again)
        assert (first["track"] != second["track"]).mean() > 0.4
        assert first[first["label"] == 1].equals(align.pairs[align.pairs["label"] == 1])

    def test_parts_share_nothing(self, align):
        train, valid = align.split(0.2)
        assert len(train.codes) + len(valid.codes) == 500
        assert len(valid.codes) == 100
        held = {row.tobytes() for row in valid.codes}
        assert not any(row.tobytes() in held for row in train.codes)
        assert wins(valid.labels, valid.codes[:, 7].astype(float)[valid.pairs["sequence"]]) == 0

    def test_ceiling(self, align):
        """0.997 (n = 600), accuracy 0.973: what no network can pass."""
        scores = align.bayes()
        assert roc_auc_score(align.labels, scores["fused"]) == pytest.approx(0.997, abs=0.004)
        assert ((scores["fused"] > 0) == (align.labels == 1)).mean() == pytest.approx(0.973, abs=0.015)
        assert (scores[["sequence", "coverage"]] == 0).all(axis=None)

    def test_fewer_reads_tell_less(self):
        few = er.datasets.simulate_erna("align", n=400, seed=5, reads=(4, 6, 10))
        auroc = roc_auc_score(few.labels, few.bayes()["fused"])
        assert auroc == pytest.approx(0.951, abs=0.02)

    def test_grammar_far_from_rna(self):
        far = er.datasets.simulate_erna("align-long", n=400, seed=3)
        away = np.abs(far.sequences["grammar"] - far.tracks["rna"])
        assert away.between(320 - 24, 320 + 24).all()
        assert 0.4 < (far.sequences["grammar"] < far.tracks["rna"]).mean() < 0.6
        assert roc_auc_score(far.labels, far.bayes()["fused"]) > 0.99


@pytest.mark.parametrize(
    ("task", "library"),
    [("align", "stranded"), ("align", "unstranded"), ("align-long", "stranded"), ("confounders", "unstranded")],
)
def test_posteriors_add_up(task, library):
    """For a right posterior under equal priors, its mean over positives and its mean over negatives add up to 1."""
    drawn = er.datasets.simulate_erna(task, n=400, seed=11, library=library)
    posterior = expit(drawn.bayes())
    positive = drawn.labels == 1
    for name in posterior:
        total = posterior.loc[positive, name].mean() + posterior.loc[~positive, name].mean()
        assert total == pytest.approx(1, abs=0.04), name


def test_posteriors_add_up_with_uneven_composition():
    drawn = er.datasets.simulate_erna("align", n=400, seed=2, gc_sd=0.05)
    posterior = expit(drawn.bayes()["fused"])
    assert posterior[drawn.labels == 1].mean() + posterior[drawn.labels == 0].mean() == pytest.approx(1, abs=0.04)


class TestConfounders:
    def test_posteriors_add_up(self, confounders, exact):
        posterior, positive = expit(exact), confounders.labels == 1
        assert (posterior[positive].mean() + posterior[~positive].mean()).to_numpy() == pytest.approx(1, abs=0.04)

    def test_ceilings(self, confounders, exact):
        """Fused 0.994 / 0.993, sequence 0.608 / 0.554, coverage 0.785 / 0.704 (one draw of 400)."""
        scores, label = exact, confounders.labels
        expected = {"fused": (0.994, 0.993), "sequence": (0.608, 0.554), "coverage": (0.785, 0.704)}
        for name, (auroc, auprc) in expected.items():
            tolerance = 0.01 if name == "fused" else 0.04
            assert roc_auc_score(label, scores[name]) == pytest.approx(auroc, abs=tolerance), name
            assert average_precision_score(label, scores[name]) == pytest.approx(auprc, abs=1.5 * tolerance), name

    def test_each_branch_has_its_strata(self, confounders, exact):
        scores, strata = exact, confounders.strata

        def auroc(stratum, score):
            rows = np.isin(strata, ("positive", stratum))
            return roc_auc_score(confounders.labels[rows], scores.loc[rows, score])

        assert auroc("silent", "sequence") > 0.9
        assert abs(auroc("silent", "coverage") - 0.5) < 0.08
        for name in ("swap", "poised", "read", "intron", "zero"):
            assert auroc(name, "coverage") > 0.97
            assert auroc(name, "fused") > 0.98
        assert auroc("misalign", "fused") > 0.97
        assert max(auroc("misalign", "sequence"), auroc("misalign", "coverage")) < 0.7

    def test_shares_and_reads(self, confounders):
        share = confounders.pairs["stratum"].value_counts() / 400
        for name, expected in STRATA.items():
            assert share[name] == pytest.approx(expected, abs=0.003)
        total = confounders.counts.sum(axis=(1, 2))
        assert (total[confounders.strata == "zero"] == 0).all()
        of_strand = confounders.counts.sum(axis=2)
        right = confounders.strata == "positive"
        centre = confounders.tracks["rna"].to_numpy()
        position = np.arange(confounders.config.width)
        plus_right = (
            sum(confounders.counts[i, PLUS, position > centre[i]].sum() for i in np.flatnonzero(right))
            / of_strand[right, PLUS].sum()
        )
        assert plus_right > 0.85


class TestReads:
    def test_divergent_reads(self):
        n = 4000
        locus = Locus(np.full(n, 5000), np.full(n, 40.0), np.full(n, 0.35), np.full(n, 80))
        reads = divergent_reads(np.random.default_rng(0), np.arange(n), locus, 150.0)
        away = reads.position - 5000
        assert (away[reads.strand == PLUS] >= 40).all()
        assert (away[reads.strand == MINUS] <= -40).all()
        assert len(away) / n == pytest.approx(40, rel=0.02)
        assert (reads.strand == PLUS).mean() == pytest.approx(0.35, abs=0.01)
        assert (np.abs(away) - 40).mean() == pytest.approx(149.5, rel=0.02)

    def test_reads_cover_downstream(self):
        reads = Reads(np.array([0, 0]), np.array([16, 63]), np.array([PLUS, MINUS]))
        coverage = coverage_of(reads, 1, 0, 80, read_length=24, bin_size=8)
        assert coverage[0, PLUS].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
        assert coverage[0, MINUS].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 0, 0]
        assert counts_of(reads, 1, 80).sum() == 2

    def test_coverage_is_that_of_the_counts(self, confounders):
        """Coverage holds as many bases as the reads of window, less what leaves it, more what enters it."""
        bases = confounders.coverage.sum(axis=(1, 2)) * 8 / 75
        assert np.abs(bases - confounders.counts.sum(axis=(1, 2))).max() < 6

    def test_running_mean_reaches_beyond_the_window(self, align):
        rate = 0.004 * 75
        assert (align.local_mean >= 0).all()
        expected = rate + align.counts.sum(axis=2).mean() * 75 / 10_008 - rate * 1280 / 10_008
        assert align.local_mean.mean() == pytest.approx(expected, rel=0.05)

    def test_running_mean(self):
        values = np.random.default_rng(0).random((2, 50)).astype(np.float32)
        expected = [values[:, i : i + 7].mean(axis=1) for i in range(44)]
        assert np.allclose(running_mean(values, 7), np.stack(expected, axis=1), atol=1e-6)


class TestGrammar:
    @pytest.mark.parametrize("motif", ["TGACTCA", "ACCGGAAGT"])
    def test_ratio_is_one_over_all_words(self, motif):
        """The probabilities of all words under the motif add up to 1: no tolerance but rounding."""
        n, gc = len(motif), 0.42
        words = (np.arange(4**n)[:, None] // 4 ** np.arange(n) % 4).astype(np.uint8)
        chance = np.array([0.29, 0.21, 0.21, 0.29])[words].prod(axis=1)
        assert chance @ _motif_ratios(words, motif, gc)[:, n // 2] == pytest.approx(1, abs=1e-9)

    def test_grammar_is_seen_where_it_is(self):
        drawn = er.datasets.simulate_erna("align", n=100, seed=0)
        places = drawn.placement.grammar_places
        best = places[grammar_ratios(drawn.codes, drawn.config.sequence_law, places).argmax(axis=1)]
        assert (np.abs(best - drawn.sequences["grammar"]) <= 12).mean() > 0.75

    def test_reverse_complement_has_the_same_ratio(self):
        from eregtools.batches.windows import reverse_complement

        drawn = er.datasets.simulate_erna("align", n=30, seed=0)
        law, places = drawn.config.sequence_law, np.arange(400, 800)
        forward = grammar_ratios(drawn.codes, law, places)
        turned = grammar_ratios(reverse_complement(drawn.codes), law, law.length - 1 - places)
        assert np.allclose(forward, turned, rtol=1e-9)


def test_units():
    """Directionality and balance of one locus, whatever its files do."""
    units = er.datasets.simulate_erna("units")
    of = dict(zip(units.strata, np.arange(len(units.strata)), strict=True))
    middle = units.config.width // 2
    counts = units.counts.astype(float)
    right, left = counts[:, PLUS, middle:].sum(axis=1), counts[:, MINUS, :middle].sum(axis=1)
    wrong = counts[:, MINUS, middle:].sum(axis=1) + counts[:, PLUS, :middle].sum(axis=1)
    d = (right - left) / np.maximum(right + left, 1)
    assert (d[of["divergent"]], wrong[of["divergent"]]) == (0, 0)
    assert right[of["swapped"]] + left[of["swapped"]] == 0
    assert wrong[of["swapped"]] == right[of["divergent"]] + left[of["divergent"]]
    windows = units.windows()
    assert windows.stranded.tolist() == [name != "unstranded" for name in units.strata]
    batch = windows.batch(np.arange(len(windows)))
    signal = batch.signal(er.models.ERNAformerConfig.preset("small").squash)
    assert np.array_equal(signal[of["negative minus"]], signal[of["divergent"]])
    assert (units.coverage[of["negative minus"], MINUS] <= 0).all()
    assert np.array_equal(signal[of["unstranded"], 0], signal[of["unstranded"], 1])
    assert signal[of["unstranded"], 4].max() == 0
    assert (units.codes[of["unknown sequence"]] == 4).all()
    assert (units.codes[of["past the end"], 960:] == 4).all()
    assert units.coverage[of["past the end"], :, 120:].sum() == 0
    with pytest.raises(ValueError, match="a set of single cases"):
        units.bayes()


def test_swapped_library_is_the_stranded_one_exchanged():
    plain, swapped = (
        er.datasets.simulate_erna("align", n=20, seed=4, library=name) for name in ("stranded", "swapped")
    )
    assert np.array_equal(plain.counts, swapped.counts[:, ::-1])
    assert np.allclose(plain.bayes()["fused"], swapped.bayes()["fused"])


def test_same_seed_same_draw():
    first, second, other = (er.datasets.simulate_erna("confounders", n=20, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.codes, second.codes)
    assert np.array_equal(first.coverage, second.coverage)
    assert not np.array_equal(first.codes, other.codes)


def test_repair_gives_up_where_there_is_no_way():
    placement = Placement(640)
    near = np.full(5, 640)
    with pytest.raises(ValueError, match="5 pairs cannot be re-paired at least 150 bp apart"):
        repair(np.random.default_rng(0), placement, near, near + JITTER)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "aligned"}, "task is 'aligned'"),
        ({"n": 1}, "n is 1"),
        ({"gaps": (41,)}, r"gaps is \(41,\)"),
        ({"gaps": (400,)}, r"gaps is \(400,\)"),
        ({"plus_shares": (0.5, 1.0)}, "plus_shares is"),
        ({"reads": (0.0,)}, "reads is"),
        ({"library": "paired"}, "library is 'paired'"),
        ({"seq_len": 512}, "seq_len=512"),
        ({"gc_sd": 0.4}, "gc=0.42 and gc_sd=0.4"),
        ({"library_size": 0}, "library_size is 0"),
        ({"distance": 321}, "distance is 321"),
        ({"distance": 2_000}, "distance is 2000"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        er.datasets.simulate_erna(**({"task": "align", "n": 10} | change))


def test_no_exact_score_with_lone_motifs():
    drawn = er.datasets.simulate_erna("align", n=20, lone_motifs=3)
    with pytest.raises(ValueError, match="no exact score is known for sequence with lone_motifs"):
        drawn.bayes()
