"""Scores of pairs: areas against scikit-learn, published baselines, known answers, and agreement between scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import eregtools as er
from eregtools._keys import Layer
from eregtools._schema import put_layer
from eregtools.tl._curves import Curve
from real_pairs import CELLS, target_finder

DISTANCE = dict(zip(CELLS, (0.568, 0.592, 0.567, 0.616, 0.552, 0.623), strict=True))
LENGTHS = dict(zip(CELLS, (0.645, 0.625, 0.569, 0.620, 0.558, 0.604), strict=True))
BETWEEN = dict(zip(CELLS, (0.680, 0.683, 0.645, 0.671, 0.609, 0.668), strict=True))
"""Mean AUROC of eight folds, as specified; ``BETWEEN`` counts promoters in another way."""

FOLDS = {k: {"test": [f"chr{k + 1}"]} for k in range(3)}


def world(seed=0, n=400, *, signal=1.0, near=0.0):
    """Pairs on three chromosomes; ``interaction`` tells positive ones by ``signal``, the distance by ``near``."""
    rng = np.random.default_rng(seed)
    label = (np.arange(n) % 4 == 0).astype(int)
    distance = np.exp(rng.normal(11, 0.7, n) - near * label).astype(int) + 3_000
    start = 5_000_000 + 10_000 * np.arange(n)
    chromosome = np.array(["chr1", "chr2", "chr3"])[rng.integers(0, 3, n)]
    table = pd.DataFrame({"Chromosome": chromosome, "Start": start, "End": start + rng.integers(150, 900, n)})
    table = table.assign(Chromosome2=chromosome, Start2=start + distance, End2=start + distance + 1_200, label=label)
    mdata = er.pp.pairs(table, genome=None, sample="K562")
    er.pp.split(mdata, FOLDS)
    for layer in ("interaction", "abc"):
        put_layer(mdata, "links", layer, (signal * label + rng.normal(size=n))[None])
    return mdata


def row(table, predictor, fold="pooled", negatives="table"):
    return table.query("predictor == @predictor and fold == @fold and negatives == @negatives").iloc[0]


class TestCurve:
    def test_areas_are_those_of_scikit_learn(self):
        rng = np.random.default_rng(0)
        for digits in (0, 1, 8):
            positive = rng.random(300) < 0.2
            score = np.round(positive + rng.normal(size=300), digits)
            weight = np.where(positive, 1.0, rng.random(300))
            curve = Curve.of(positive, score, weight)
            assert curve.auroc()[0] == pytest.approx(roc_auc_score(positive, score, sample_weight=weight))
            assert curve.auprc()[0] == pytest.approx(average_precision_score(positive, score, sample_weight=weight))
            scaled = np.where(positive, 1, weight * 10 * positive.sum() / weight[~positive].sum())
            expected = average_precision_score(positive, score, sample_weight=scaled)
            assert curve.auprc(10)[0] == pytest.approx(expected)

    def test_a_draw_is_a_table_with_rows_repeated(self):
        rng = np.random.default_rng(1)
        positive, score, group = rng.random(200) < 0.3, rng.integers(0, 30, 200).astype(float), rng.integers(0, 6, 200)
        draws = rng.multinomial(6, np.full(6, 1 / 6), size=20)
        curve = Curve.of(positive, score, None, group)
        for k, draw in enumerate(draws):
            rows = np.repeat(np.arange(200), draw[group])
            repeated = Curve.of(positive[rows], score[rows])
            assert curve.auroc(draws)[k] == pytest.approx(repeated.auroc()[0])
            assert curve.auprc(7, draws)[k] == pytest.approx(repeated.auprc(7)[0])

    def test_within_groups_every_pair_of_a_group_is_compared(self):
        rng = np.random.default_rng(2)
        positive, score, group = rng.random(200) < 0.3, rng.integers(0, 30, 200).astype(float), rng.integers(0, 6, 200)
        weight = np.where(positive, 1.0, rng.random(200))
        draws = rng.multinomial(6, np.full(6, 1 / 6), size=20)
        won, pairs = np.zeros(6), np.zeros(6)
        for k in range(6):
            high, low = score[positive & (group == k)][:, None], score[~positive & (group == k)]
            times = weight[~positive & (group == k)]
            won[k] = (((high > low) + (high == low) / 2) * times).sum()
            pairs[k] = len(high) * times.sum()
        curve = Curve.of(positive, score, weight, group)
        np.testing.assert_allclose(curve.auroc_within(), won.sum() / pairs.sum())
        np.testing.assert_allclose(curve.auroc_within(draws), draws @ won / (draws @ pairs))

    def test_the_share_of_positives_in_training_moves_the_pooled_area_only(self):
        rng = np.random.default_rng(3)
        share = np.repeat([0.1, 0.3, 0.5, 0.7], 200)
        group = np.repeat(np.arange(4), 200)
        positive = rng.random(800) < share
        left_out = (positive.sum() - np.bincount(group, positive)) / 600
        curve = Curve.of(positive, left_out[group], None, group)
        assert curve.auroc()[0] < 0.3
        assert curve.auroc_within()[0] == 0.5

    def test_one_kind_only(self):
        curve = Curve.of(np.ones(3, dtype=bool), np.arange(3.0))
        assert np.isnan([curve.auroc()[0], curve.auroc_within()[0], curve.auprc()[0]]).all()

    def test_missing_scores_stand_last(self):
        positive = np.array([True, False, True, False])
        score = np.array([2.0, 1.0, np.nan, np.nan])
        assert Curve.of(positive, score).auroc()[0] == pytest.approx(roc_auc_score(positive, [2, 1, 0, 0]))


class TestBaselines:
    def mean_auroc(self, mdata, method):
        er.tl.baseline_interactions(mdata, methods=method)
        label = mdata["links"].var["label"].to_numpy() == 1
        fold = mdata["genes"].var["fold"].loc[mdata["links"].var["gene"]].to_numpy()
        score = mdata["links"].layers[Layer.interaction_baseline(method)][0]
        return np.mean([roc_auc_score(label[fold == k], score[fold == k]) for k in range(8)])

    @pytest.mark.parametrize("cell", CELLS)
    def test_distance(self, shared, cell):
        mdata = target_finder(shared, cell)
        assert self.mean_auroc(mdata, "distance") == pytest.approx(DISTANCE[cell], abs=0.01)

    @pytest.mark.slow
    @pytest.mark.parametrize("cell", CELLS)
    def test_trees(self, shared, cell):
        mdata = target_finder(shared, cell)
        assert self.mean_auroc(mdata, "distance_lengths") == pytest.approx(LENGTHS[cell], abs=0.01)
        assert self.mean_auroc(mdata, "between") == pytest.approx(BETWEEN[cell], abs=0.02)
        assert self.mean_auroc(mdata, "memoriser") == 0.5

    def test_a_fold_learns_nothing_of_itself(self):
        mdata = world(near=1.0)
        er.tl.baseline_interactions(mdata, methods=["distance", "distance_lengths", "between"])
        other = mdata.copy()
        tested = mdata["genes"].var["fold"].loc[mdata["links"].var["gene"]].to_numpy() == 1
        label = other["links"].var["label"].to_numpy().copy()
        label[tested] = np.random.default_rng(0).permutation(label[tested])
        other["links"].var["label"] = label
        er.tl.baseline_interactions(other, methods=["distance", "distance_lengths", "between"])
        for method in ("distance", "distance_lengths", "between"):
            layer = Layer.interaction_baseline(method)
            one, two = (data["links"].layers[layer][0] for data in (mdata, other))
            np.testing.assert_array_equal(one[tested], two[tested])
            assert (one[~tested] != two[~tested]).any()

    def test_promoters_between_are_counted(self):
        from eregtools.tl._labels import labelled_links
        from eregtools.tl._pair_baselines import pair_features

        mdata = world(n=40)
        pairs = labelled_links(mdata, "label")
        found = pair_features(mdata, pairs)[:, 3]
        genes, links = mdata["genes"].var, mdata["links"].var
        for k in range(40):
            enhancer = mdata["enhancers"].var.loc[links["enhancer"].iloc[k]]
            own = genes.loc[links["gene"].iloc[k]]
            low, high = sorted([(enhancer["Start"] + enhancer["End"]) / 2, own["tss"]])
            here = genes[(genes["Chromosome"] == own["Chromosome"]) & (genes["tss"] > low) & (genes["tss"] < high)]
            assert found[k] == here["tss"].nunique()

    def test_bad_input(self):
        mdata = world()
        with pytest.raises(ValueError, match="methods=magic"):
            er.tl.baseline_interactions(mdata, methods=["magic"])
        with pytest.raises(ValueError, match="methods=none"):
            er.tl.baseline_interactions(mdata, methods=[])
        with pytest.raises(KeyError, match=r"er\.pp\.split"):
            er.tl.baseline_interactions(mdata, scheme="epipam8")


class TestEvaluate:
    def test_numbers_and_rows(self):
        mdata = world()
        table = er.tl.evaluate_interactions(mdata, ["interaction", "abc"], ratio=10)
        assert table["predictor"].unique().tolist() == [
            "interaction", "abc", "distance", "distance_lengths", "between", "memoriser",
        ]  # fmt: skip
        assert table["fold"].unique().tolist() == ["pooled", "mean", 0, 1, 2]
        label = mdata["links"].var["label"].to_numpy() == 1
        score = mdata["links"].layers["interaction"][0]
        weight = np.where(label, 1, 10 * label.sum() / (~label).sum())
        pooled = row(table, "interaction")
        assert pooled["auroc"] == pytest.approx(roc_auc_score(label, score))
        assert pooled["auprc"] == pytest.approx(average_precision_score(label, score, sample_weight=weight))
        assert pooled["auroc_low"] < pooled["auroc"] < pooled["auroc_high"]
        assert pooled["ratio"] == 10
        folds = table.query("predictor == 'interaction' and fold not in ['pooled', 'mean']")
        assert row(table, "interaction", "mean")["auroc"] == pytest.approx(folds["auroc"].mean())
        assert folds["n"].sum() == pooled["n"] == 400
        memoriser = row(table, "memoriser")
        assert memoriser["auroc"] == 0.5
        assert memoriser["auprc"] == pytest.approx(1 / 11)
        best = table.query("fold == 'pooled'").set_index("predictor")
        names = ["distance", "distance_lengths", "between", "memoriser"]
        assert pooled["reference"] == best.loc[names, "auroc"].idxmax()
        assert pooled["delta_auroc"] == pytest.approx(pooled["auroc"] - best.loc[names, "auroc"].max())
        assert pooled["delta_auroc_low"] > 0
        assert row(table, "interaction")["leakage"] == "unknown"
        assert memoriser["leakage"] == "no"

    def test_ratio_moves_precision_only(self):
        mdata = world()
        one, ten, own = (er.tl.evaluate_interactions(mdata, "abc", ratio=r, n_bootstrap=0) for r in (1, 10, None))
        assert row(one, "abc")["auroc"] == row(ten, "abc")["auroc"]
        assert row(one, "abc")["auprc"] > row(ten, "abc")["auprc"]
        assert row(own, "abc")["ratio"] == 3
        assert own["auroc_low"].isna().all()

    def test_sign_turns(self):
        table = er.tl.evaluate_interactions(world(), ["abc", "-abc"], n_bootstrap=0)
        assert row(table, "abc")["auroc"] == pytest.approx(1 - row(table, "-abc")["auroc"])

    def test_distance_is_found_and_matched_pairs_take_it_away(self):
        mdata = world(n=2_000, near=1.2, signal=0)
        er.pp.matched_pairs(mdata, method="distance")
        values = mdata["links"].layers["interaction"].copy()
        values[np.isnan(values)] = np.random.default_rng(0).normal(size=np.isnan(values).sum())
        put_layer(mdata, "links", "interaction", values)
        table = er.tl.evaluate_interactions(mdata, "interaction", n_bootstrap=200)
        assert table["negatives"].unique().tolist() == ["table", "distance"]
        given, matched = (row(table, "distance", negatives=kind) for kind in ("table", "distance"))
        assert given["auroc"] > 0.7
        assert matched["auroc_low"] - 0.05 < 0.5 < matched["auroc_high"] + 0.05
        assert matched["n_positive"] == (mdata["links"].var["origin"] == "distance").sum()

    def test_each_positive_pair_counts_once_however_many_negatives_it_has(self):
        mdata = world(n=2_000)
        er.pp.matched_pairs(mdata, method="distance", ratio=3)
        values = np.nan_to_num(mdata["links"].layers["interaction"], nan=0.5)
        put_layer(mdata, "links", "interaction", values)
        table = er.tl.evaluate_interactions(mdata, "interaction", negatives="distance", n_bootstrap=0, ratio=None)
        assert (table["ratio"].iloc[0], row(table, "interaction", negatives="distance")["ratio"]) == pytest.approx(
            (1, 1)
        )

    def test_scores_that_are_missing(self):
        mdata = world()
        values = mdata["links"].layers["interaction"].copy()
        values[0, :50] = np.nan
        put_layer(mdata, "links", "interaction", values)
        table = er.tl.evaluate_interactions(mdata, ["interaction", "abc"], n_bootstrap=0)
        assert set(table.query("fold == 'pooled'")["n"]) == {350}
        put_layer(mdata, "links", "abc", np.full_like(values, np.nan))
        table = er.tl.evaluate_interactions(mdata, ["interaction", "abc"], n_bootstrap=0)
        assert row(table, "abc")["n"] == 0
        assert np.isnan(row(table, "abc")["auroc"])
        assert row(table, "interaction")["n"] == 350

    def test_a_label_in_a_layer(self):
        mdata = world()
        truth = mdata["links"].var["label"].to_numpy(dtype=np.float32)[None].copy()
        truth[0, 300:] = np.nan
        put_layer(mdata, "links", "crispr_significant", truth)
        table = er.tl.evaluate_interactions(mdata, "abc", label="crispr_significant", n_bootstrap=0)
        assert row(table, "abc")["n"] == 300

    def test_weights_that_saw_their_pairs(self):
        from eregtools.tl._models import record_result

        mdata = world()
        record_result(mdata, "links:interaction", [{"sample": "K562", "fold": 0, "leakage": "yes"}], ["K562"])
        with pytest.raises(ValueError, match="allow_leakage"):
            er.tl.evaluate_interactions(mdata, "interaction", n_bootstrap=0)
        table = er.tl.evaluate_interactions(mdata, "interaction", n_bootstrap=0, allow_leakage=True)
        assert row(table, "interaction")["leakage"] == "yes"

    def test_order_of_pairs_does_not_matter(self):
        mdata = world()
        other = er.pp.subset(mdata, region=("chr1", 0, 10**8))
        assert other["links"].n_vars < 400
        mixed = mdata.copy()
        links = mixed["links"][:, np.random.default_rng(0).permutation(400)].copy()
        del mixed.mod["links"]
        mixed.update()
        mixed.mod["links"] = links
        mixed.update()
        tables = [er.tl.evaluate_interactions(data, "abc", n_bootstrap=50).drop(columns="n") for data in (mdata, mixed)]
        pd.testing.assert_frame_equal(*tables)

    def test_is_drawn(self):
        table = er.tl.evaluate_interactions(world(), ["interaction", "abc"], n_bootstrap=50)
        ax = er.pl.performance_by_fold(table, metric="auroc", show=False)
        assert [text.get_text() for text in ax.get_yticklabels()][2:4] == ["distance", "trees, distance + lengths"]
        assert ax.get_title(loc="left") == "K562: n = 400, 3 folds"

    def test_bad_input(self):
        mdata = world()
        with pytest.raises(ValueError, match="ratio=0"):
            er.tl.evaluate_interactions(mdata, "abc", ratio=0)
        with pytest.raises(KeyError, match="no layer 'contacts'"):
            er.tl.evaluate_interactions(mdata, "contacts")
        with pytest.raises(ValueError, match="rename the layer"):
            er.tl.evaluate_interactions(mdata, "distance")
        with pytest.raises(KeyError, match="origin repaired"):
            er.tl.evaluate_interactions(mdata, "abc", negatives="repaired")


class TestAgreement:
    def test_independent_scores_add_up(self):
        mdata = world(n=3_000, signal=1.0)
        table = er.tl.agreement(mdata, ["interaction", "abc"], n_bootstrap=200)
        pooled = table.query("fold == 'pooled'").set_index("predictor")
        # two independent normal scores with d' = 1 combine to d' = √2
        from scipy.stats import norm

        assert pooled.loc["abc", "auroc"] == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.025)
        assert pooled.loc["combined", "auroc"] == pytest.approx(norm.cdf(1), abs=0.025)
        assert pooled.loc["combined", "delta_auroc_low"] > 0
        assert pooled.loc["combined", "delta_auprc_low"] > 0
        assert pooled.loc["combined", "reference"] in ("abc", "interaction")
        assert pooled.loc["abc", "rho_abc"] == pytest.approx(1)
        expected = pd.Series(mdata["links"].layers["abc"][0]).corr(
            pd.Series(mdata["links"].layers["interaction"][0]), method="spearman"
        )
        assert pooled.loc["abc", "rho_interaction"] == pytest.approx(expected, abs=1e-6)

    def test_a_copy_adds_nothing(self):
        mdata = world(n=1_500)
        put_layer(mdata, "links", "attention", np.exp(mdata["links"].layers["abc"]))
        pooled = er.tl.agreement(mdata, ["abc", "attention"]).query("fold == 'pooled'").set_index("predictor")
        assert pooled.loc["attention", "rho_abc"] == pytest.approx(1)
        assert abs(pooled.loc["combined", "delta_auroc"]) < 0.01
        assert pooled.loc["combined", "delta_auroc_low"] <= 0 <= pooled.loc["combined", "delta_auroc_high"] + 0.005

    def test_combination_is_out_of_fold(self):
        # a score that is the label on one chromosome and its opposite on the two that hold most pairs: a combination
        # that saw these would turn it round
        mdata = world(n=1_000, signal=0)
        er.pp.split(mdata, {0: {"test": ["chr1"]}, 1: {"test": ["chr2", "chr3"]}})
        label = mdata["links"].var["label"].to_numpy()
        fold = mdata["genes"].var["fold"].loc[mdata["links"].var["gene"]].to_numpy()
        put_layer(mdata, "links", "interaction", np.where(fold == 1, 1 - label, label)[None].astype(float))
        table = er.tl.agreement(mdata, ["interaction", "abc"], n_bootstrap=0).set_index(["predictor", "fold"])
        assert table.loc[("combined", 1), "auroc"] < 0.1

    def test_bad_input(self):
        mdata = world()
        with pytest.raises(ValueError, match="at least two"):
            er.tl.agreement(mdata, "abc")
        put_layer(mdata, "links", "attention", np.full((1, 400), np.nan))
        with pytest.raises(ValueError, match="no labelled link has a score 'attention'"):
            er.tl.agreement(mdata, ["abc", "attention"])
        er.pp.split(mdata, {0: {"test": ["chr1", "chr2", "chr3"]}})
        with pytest.raises(ValueError, match="outside fold 0"):
            er.tl.agreement(mdata, ["abc", "interaction"])
