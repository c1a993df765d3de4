"""Enhancer-RNA predictions against known loci: numbers that can be counted by hand, and a simulated genome."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

import eregtools as er
from eregtools._schema import validate
from eregtools.ranges import overlaps
from eregtools.tl._erna_baselines import METHODS, chromosome_folds, cross_fitted
from eregtools.tl._erna_elements import Meetings, rates

CONFIG = er.datasets.ErnaGenomeConfig(
    n_chromosomes=4,
    chromosome_length=400_000,
    genes=8,
    gaps=1,
    artefacts=1,
    active=1.0,
    libraries=("stranded", "swapped", "unstranded"),
    negative=(),
    confounders={"silent": 20.0, "uni": 20.0, "poised": 20.0, "swap": 10.0},
    locus_spacing=16_000,
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return er.datasets.simulate_erna_genome(tmp_path_factory.mktemp("genome") / "world", seed=6, config=CONFIG)


@pytest.fixture(scope="module")
def mdata(truth, tmp_path_factory):
    mdata = er.pp.assemble(
        genes=truth.paths["genes"],
        enhancers=truth.paths["open"],
        samples=list(truth.tracks),
        genome=truth.paths["genome"],
    )
    folder = tmp_path_factory.mktemp("store") / "c.zarr"
    er.pp.add_coverage(mdata, truth.tracks, folder=folder, read_length=CONFIG.read_length)
    er.pp.strand_audit(mdata, truth.paths["genes"])
    er.pp.erna_mask(mdata, truth.paths["genes"], blacklist=truth.paths["blacklist"], genome=truth.paths["genome"])
    loci = truth.loci[truth.loci["stratum"] != "promoter"]
    er.pp.candidate_ernas(mdata, "bed", source=loci[["Chromosome", "Start", "End"]])
    ernas = mdata["ernas"]
    ernas.var["label"] = (loci["stratum"] == "positive").to_numpy(np.float32)
    ernas.var["stratum"] = pd.Categorical(loci["stratum"].to_numpy())
    noise = np.random.default_rng(0).normal(size=ernas.n_vars)
    informed = 1 / (1 + np.exp(-(3 * ernas.var["label"].to_numpy() - 1.5 + noise)))
    ernas.layers["probability"] = np.tile(informed, (3, 1)).astype(np.float32)
    return mdata


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    n = 600
    label = rng.random(n) < 0.3
    score = np.clip(rng.normal(0.35 + 0.3 * label, 0.2), 0, 1)
    return pd.DataFrame(
        {
            "Chromosome": rng.choice([f"chr{k}" for k in range(1, 7)], n),
            "Start": np.arange(n) * 1_000,
            "End": np.arange(n) * 1_000 + 400,
            "label": label.astype(float),
            "stratum": np.where(label, "positive", rng.choice(["open", "signal"], n)),
            "probability": score,
            "cost": -score,
        }
    )


def row_of(result, predictor, **columns):
    for name, value in {"predictor": predictor, **columns}.items():
        result = result[result[name] == value]
    assert len(result) == 1
    return result.iloc[0]


class TestWindows:
    def test_areas_rates_and_calibration_are_those_of_others(self, table):
        result = er.tl.evaluate_ernas(table, scores=["probability", "-cost"], threshold=0.5)
        row = row_of(result, "probability", stratum="all")
        label, score = table["label"], table["probability"]
        called = score >= 0.5
        recall = (called & (label == 1)).sum() / label.sum()
        assert row["auroc"] == pytest.approx(roc_auc_score(label, score))
        assert row["auprc"] == pytest.approx(average_precision_score(label, score))
        assert row["f1"] == pytest.approx(f1_score(label, called))
        assert row["f_pu"] == pytest.approx(recall**2 / called.mean())
        assert row["brier"] == pytest.approx(brier_score_loss(label, score))
        assert 0 < row["ece"] < 0.3
        assert row["auroc_low"] < row["auroc"] < row["auroc_high"]
        turned = row_of(result, "-cost", stratum="all")
        assert turned["auroc"] == row["auroc"]
        assert np.isnan(row_of(er.tl.evaluate_ernas(table, scores="cost"), "cost", stratum="all")["brier"])

    def test_each_stratum_is_told_against_all_positives(self, table):
        result = er.tl.evaluate_ernas(table, n_bootstrap=0)
        assert list(dict.fromkeys(result["stratum"])) in (["all", "open", "signal"], ["all", "signal", "open"])
        for stratum in ("open", "signal"):
            part = table[table["stratum"].isin(["positive", stratum])]
            row = row_of(result, "probability", stratum=stratum)
            assert row["n"] == len(part)
            assert row["auroc"] == pytest.approx(roc_auc_score(part["label"], part["probability"]))
            assert np.isnan(row["auroc_low"])

    def test_stratum_without_scored_negatives_is_left_out(self, table, caplog):
        table.loc[table["stratum"] == "open", "probability"] = np.nan
        result = er.tl.evaluate_ernas(table, n_bootstrap=0)
        assert set(result["stratum"]) == {"all", "signal"}
        assert "stratum open is left out" in caplog.text

    def test_baselines_are_always_there(self, table, caplog):
        result = er.tl.evaluate_ernas(table, n_bootstrap=0)
        assert result["predictor"].unique().tolist() == ["probability", *METHODS]
        assert (result.loc[result["predictor"].isin(METHODS), "n"] == 0).all()
        assert "give coverage=" in caplog.text

    def test_strata_of_the_simulation_are_told_by_what_they_lack(self, mdata, truth):
        result = er.tl.evaluate_ernas(mdata, sample="s1", genome=truth.paths["genome"], n_bootstrap=200)
        auroc = result.set_index(["predictor", "stratum"])["auroc"]
        for predictor in ("balance", "fantom"):
            assert auroc[predictor, "silent"] < 0.7  # divergent as the positives are
            assert auroc[predictor, "swap"] > 0.95
            assert auroc[predictor, "uni"] > 0.85
        assert auroc["logistic", "silent"] < 0.7
        assert auroc["logistic", "poised"] > 0.9
        whole = result[result["stratum"] == "all"].set_index("predictor")
        assert whole.loc["probability", "auroc"] > 0.95
        reference = whole.loc["probability", "reference"]
        assert whole.loc["probability", "delta_auroc"] == pytest.approx(
            whole.loc["probability", "auroc"] - whole.loc[reference, "auroc"]
        )
        assert reference in METHODS
        assert (whole["leakage"] == ["unknown", "no", "no", "no"]).all()

    def test_an_audited_swapped_library_serves_and_an_unstranded_one_does_not(self, mdata, truth):
        found = {}
        for sample in ("s1", "s2", "s3"):
            result = er.tl.evaluate_ernas(mdata, sample=sample, genome=truth.paths["genome"], n_bootstrap=0)
            found[sample] = result[result["stratum"] == "swap"].set_index("predictor")
        assert found["s2"].loc["balance", "auroc"] > 0.95
        assert found["s3"].loc["balance", "n"] == 0
        assert found["s3"].loc["logistic", "n"] > 0

    def test_labels_come_from_known_loci_near_the_centres(self, mdata, truth):
        positives = truth.positives
        moved = positives.assign(Start=positives["Start"] + 150, End=positives["End"] + 150)
        known = er.tl.evaluate_ernas(mdata, moved, sample="s1", genome=truth.paths["genome"], n_bootstrap=0)
        labels = er.tl.evaluate_ernas(mdata, sample="s1", genome=truth.paths["genome"], n_bootstrap=0)
        assert (
            row_of(known, "probability", stratum="all")["auroc"]
            == row_of(labels, "probability", stratum="all")["auroc"]
        )
        with pytest.raises(ValueError, match="both kinds are needed"):
            er.tl.evaluate_ernas(mdata, moved, sample="s1", genome=truth.paths["genome"], max_distance=100)
        uni = truth.loci[truth.loci["stratum"] == "uni"]
        some = er.tl.evaluate_ernas(mdata, moved, uni, sample="s1", genome=truth.paths["genome"], n_bootstrap=0)
        assert row_of(some, "probability", stratum="all")["n"] == len(positives) + len(uni)


class TestBaselines:
    def test_layers_hold_the_rules(self, mdata, truth):
        scored = er.tl.baseline_ernas(mdata, genome=truth.paths["genome"], copy=True)
        validate(scored)
        layers = {method: scored["ernas"].layers[f"erna_baseline_{method}"] for method in METHODS}
        stratum = scored["ernas"].var["stratum"]
        for row in (0, 1):  # the second one is swapped, and put right by the audit
            assert (layers["fantom"][row][stratum == "swap"] == 0).all()
            assert (layers["balance"][row][stratum == "swap"] < 0.5).all()
            assert (layers["balance"][row][stratum == "positive"] > 0.85).mean() > 0.9
            passed = layers["fantom"][row] > 0
            assert passed[stratum == "positive"].mean() > 0.75
            assert passed[stratum == "uni"].mean() < 0.4
        assert np.isnan(layers["fantom"][2]).all()
        assert np.isfinite(layers["logistic"]).all()
        assert "erna_baseline_fantom" not in mdata["ernas"].layers

    def test_the_logistic_model_never_learns_from_what_it_scores(self):
        rng = np.random.default_rng(0)
        chromosome = np.repeat(["chr1", "chr2", "chr3"], 200)
        feature = rng.normal(size=600)
        label = (feature > 0).astype(float)
        label[:200] = 1 - label[:200]  # on chr1 it is the other way round
        score = cross_fitted(feature[:, None], label, chromosome)
        assert roc_auc_score(label[:200], score[:200]) < 0.05
        lone = cross_fitted(feature[:200, None], label[:200], chromosome[:200])
        assert np.isnan(lone).all()

    def test_folds_hold_whole_chromosomes(self):
        chromosome = np.repeat([f"chr{k}" for k in range(12)], np.arange(1, 13) * 10)
        label = np.ones(len(chromosome))
        sets = chromosome_folds(chromosome, label)
        assert sets.shape[1] == 5
        tested = (sets == "test").to_numpy()
        assert (tested.sum(axis=1) == 1).all()
        assert pd.DataFrame(tested).groupby(chromosome).nunique().max(axis=None) == 1
        assert tested.sum(axis=0).max() / tested.sum(axis=0).min() < 1.6


class TestElements:
    calls = pd.DataFrame(
        {
            "Chromosome": "chr1",
            "Start": [100, 1_080, 2_000, 5_000, 9_000],
            "End": [200, 1_200, 2_400, 5_100, 9_100],
            "score": [5.0, 4.0, 3.0, 2.0, 1.0],
        }
    )
    positives = pd.DataFrame(
        {"Chromosome": "chr1", "Start": [90, 1_000, 2_300, 8_000], "End": [300, 1_100, 2_700, 8_400]}
    )
    negatives = pd.DataFrame({"Chromosome": "chr1", "Start": [5_050, 6_000, 7_000], "End": [5_400, 6_400, 7_100]})

    def test_the_protocol_by_hand(self):
        result = er.tl.evaluate_ernas(self.calls, self.positives, self.negatives, mode="element")
        rows = result[result["predictor"] == "score"].set_index("threshold")
        # of the calls 1 lies inside, 20 of 120 bp of 2 and 100 of 400 of 3, 4 touches a negative, 5 nothing
        assert rows.index.tolist() == [5.0, 2.0]
        assert rows["n_found"].tolist() == [1, 1]
        assert rows["n_false"].tolist() == [0, 1]
        assert rows["recall"].tolist() == [0.25, 0.25]
        assert rows["specificity"].tolist() == [1.0, 0.5]
        assert rows["precision"].tolist() == [1.0, 0.5]
        assert rows["f1"].tolist() == [pytest.approx(0.4), pytest.approx(1 / 3)]
        assert rows["f_pu"].tolist() == [pytest.approx(0.25**2 / (1 / 6)), pytest.approx(0.25**2 / (2 / 6))]
        assert rows["best_f1"].tolist() == [True, False]
        assert rows["center_distance"].tolist() == [45, 45]
        assert rows["within_50"].tolist() == [1, 1]
        lenient = er.tl.evaluate_ernas(self.calls, self.positives, self.negatives, mode="element", min_overlap=0.2)
        assert lenient.loc[lenient["predictor"] == "score", "n_found"].max() == 2
        assert set(METHODS) < set(result["predictor"])

    def test_a_call_on_a_negative_finds_nothing(self):
        negatives = pd.concat([self.negatives, self.positives.iloc[:1].assign(Start=0, End=400)], ignore_index=True)
        calls, positives, others = (
            table.assign(center=(table["Start"] + table["End"]) // 2)
            for table in (self.calls, self.positives, negatives)
        )
        meetings = Meetings.of(calls, positives, others, 0.5)
        assert len(meetings.call) == 0
        assert meetings.touching.tolist() == [0, 3]

    def test_rates_of_the_simulation(self, mdata, truth):
        negatives = truth.loci[truth.loci["stratum"].isin(["uni", "swap", "silent"])]
        arguments = (mdata, truth.positives, negatives)
        result = er.tl.evaluate_ernas(*arguments, mode="element", sample="s1", genome=truth.paths["genome"], rng=0)
        best = result[result["best_f1"]].drop_duplicates("predictor").set_index("predictor")
        assert best.loc["probability", "f1"] > best.loc["balance", "f1"]
        assert best.loc["probability", "recall_low"] <= best.loc["probability", "recall"]
        assert best.loc["probability", "recall"] <= best.loc["probability", "recall_high"]
        assert (best["center_distance"] == 0).all()
        rows = result[result["predictor"] == "probability"]
        assert rows["threshold"].is_monotonic_decreasing
        assert rows["recall"].is_monotonic_increasing
        assert rows["recall"].iloc[-1] == 1
        assert rows["specificity"].iloc[-1] == 0
        at_tss = negatives.assign(Chromosome=mdata["genes"].var["Chromosome"].astype(str).iloc[0])
        at_tss = at_tss.assign(Start=mdata["genes"].var["tss"].iloc[0] - 200)
        with pytest.raises(ValueError, match=r"none of .* is left"):
            er.tl.evaluate_ernas(
                mdata, truth.positives, at_tss.assign(End=at_tss["Start"] + 400), mode="element", sample="s1",
                genome=truth.paths["genome"],
            )  # fmt: skip

    def test_f_pu_ranks_as_f1_where_negatives_are_certain(self):
        found, false = np.arange(1.0, 10), np.linspace(12, 0, 9)
        told = rates(found, np.full(9, 10.0), false, np.full(9, 90.0))
        assert (np.argsort(told["f_pu"]) == np.argsort(told["f1"])).all()


class TestBins:
    def test_bins_are_labelled_and_ranked_as_counted(self, tmp_path):
        rng = np.random.default_rng(2)
        sizes = {f"chr{k}": 40_000 for k in range(1, 5)}
        fasta = tmp_path / "g.fa"
        fasta.write_text("".join(f">{c}\n{'ACGT' * (n // 4)}\n" for c, n in sizes.items()))
        start = np.arange(2_000, 38_000, 3_000)
        positives = pd.concat(
            [pd.DataFrame({"Chromosome": c, "Start": start, "End": start + 500}) for c in sizes], ignore_index=True
        )
        mask = pd.DataFrame({"Chromosome": ["chr1"], "Start": [0], "End": [10_000]})
        values = {}
        for chrom, size in sizes.items():
            inside = np.zeros(size // 200)
            for begin in start:
                inside[begin // 200 : (begin + 500) // 200] = 0.5
            values[chrom] = inside + rng.random(size // 200)
        track = tmp_path / "p.bw"
        with pyBigWig.open(str(track), "w") as file:
            file.addHeader(list(sizes.items()))
            for chrom in sizes:
                file.addEntries(chrom, 0, values=values[chrom].tolist(), span=200, step=200)
        calls = positives.assign(score=1.0)
        result = er.tl.evaluate_ernas(
            calls,
            positives,
            mode="bin",
            tracks={"scan": track},
            scores="score",
            genome=fasta,
            mask=mask,
            n_bootstrap=100,
        )
        bins = [(c, b * 200, (b + 1) * 200) for c, n in sizes.items() for b in range(n // 200)]
        covered = np.array(
            [sum(max(0, min(end, s + 500) - max(begin, s)) for s in start) for _, begin, end in bins], dtype=float
        )
        kept = ((covered == 0) | (covered >= 100)) & np.array([not (c == "chr1" and b < 10_000) for c, b, _ in bins])
        label = covered[kept] >= 100
        row = row_of(result, "scan")
        assert (row["n"], row["n_positive"]) == (kept.sum(), label.sum())
        score = np.concatenate(list(values.values()))[kept]
        assert row["auprc"] == pytest.approx(average_precision_score(label, score))
        assert row_of(result, "score")["auprc"] == 1
        assert row["auprc_low"] < row["auprc"] < row["auprc_high"]

    def test_baselines_rank_the_bins_of_the_simulation(self, mdata, truth):
        result = er.tl.evaluate_ernas(
            mdata, truth.positives, mode="bin", sample="s1", genome=truth.paths["genome"], n_bootstrap=0
        ).set_index("predictor")
        share = result["n_positive"] / result["n"]
        assert (share < 0.05).all()
        assert (result["auprc"] > 5 * share).all()
        assert result.loc["probability", "auprc"] > result.loc["fantom", "auprc"]
        mask = mdata.uns["eregtools"]["erna_mask"]
        masked = overlaps(pd.DataFrame({"Chromosome": "chr1", "Start": np.arange(0, 400_000, 200)}).assign(
            End=lambda t: t["Start"] + 200), mask).sum()  # fmt: skip
        assert masked > 0
        assert result["n"].iloc[0] < 4 * 2_000 - masked


def interval(chrom):
    return pd.DataFrame({"Chromosome": [chrom], "Start": [1], "End": [9]})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": "genome"}, ValueError, "expected one of 'window', 'element', 'bin'"),
        ({"mode": "element"}, ValueError, "needs positives= and negatives="),
        ({"mode": "bin"}, ValueError, "needs positives="),
        ({"scores": "elegance"}, KeyError, "no score 'elegance'"),
        ({"min_overlap": 0}, ValueError, "min_overlap=0"),
        ({"tracks": {"a": "x.bw"}}, ValueError, "tracks= is for mode='bin'"),
        ({"n_bootstrap": -1}, ValueError, "at least 0 draws"),
        ({"negatives": interval("chr1")}, ValueError, "goes with positives="),
        ({"positives": interval("Z")}, ValueError, "another assembly"),
        ({"chromosomes": ["chr9"]}, ValueError, "no locus is on chr9"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(table, options, error, message):
    with pytest.raises(error, match=message):
        er.tl.evaluate_ernas(table, **options)


def test_labels_and_scores_must_make_sense(table, mdata):
    with pytest.raises(KeyError, match="have no labels"):
        er.tl.evaluate_ernas(table.drop(columns=["label", "stratum"]))
    with pytest.raises(ValueError, match="label holds 2"):
        er.tl.evaluate_ernas(table.assign(label=2))
    with pytest.raises(ValueError, match="both kinds are needed"):
        er.tl.evaluate_ernas(table.assign(label=1))
    with pytest.raises(ValueError, match="rename the score"):
        er.tl.evaluate_ernas(table.rename(columns={"cost": "logistic"}), scores="logistic")
    with pytest.raises(ValueError, match="name one with sample="):
        er.tl.evaluate_ernas(mdata)
    with pytest.raises(TypeError, match="expected an object or a table"):
        er.tl.evaluate_ernas(3)
