"""Scores of links against labelled pairs: published numbers, scikit-learn, and what must not change the answer."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve

import eregtools as er
from eregtools.datasets.toy import three_genes
from eregtools.tl._precision import Ranking, average_precision, precision_recall

BENCHMARK = "data/crispr_benchmark"


def overall(table):
    return table[table["distance_bin"] == "all"].set_index("predictor")


def random_pairs(rng, n=400, genes=25):
    gene = rng.integers(0, genes, n)
    start = 1_000_000 + np.arange(n) * 700
    tss = 1_000_000 + np.linspace(0, 700 * n, genes).astype(int)
    positive = rng.random(n) < 0.2
    return pd.DataFrame(
        {
            "Chromosome": "chr1",
            "Start": start,
            "End": start + 500,
            "gene": [f"G{k:02d}" for k in gene],
            "tss": tss[gene],
            "positive": positive,
            "good": positive + rng.normal(size=n),
            "coarse": np.round(positive + rng.normal(size=n)),
        }
    )


@pytest.fixture(scope="module")
def fulco(shared):
    """Pairs of Fulco et al. 2019 that are valid, with the published power-law ABC."""
    pairs = er.io.read_crispr(shared / BENCHMARK / "EPCrisprBenchmark_Fulco2019_K562_GRCh38.tsv.gz")
    predictions = er.io.read_abc(shared / BENCHMARK / "ABC_K562_Fulco2019Genes_GRCh38.tsv.gz")
    pairs = pairs[pairs["ValidConnection"] == "TRUE"]
    pairs = er.pp.score_pairs(pairs, predictions, columns={"powerlaw.Score": "abc"})
    return er.pp.score_pairs(pairs, predictions, columns={"powerlaw.Score": "abc_max"}, statistic="max")


@pytest.fixture(scope="module")
def nasser(shared):
    path = shared / BENCHMARK / "Nasser2021_SuppTable_CRISPR_with_predictors.hg19.txt.gz"
    pairs = er.io.read_crispr(path)
    return pairs[pairs["IncludeInModel"]]


class TestPublished:
    def test_power_law_abc_on_fulco(self, fulco):
        table = er.tl.evaluate_links(fulco, scores=["abc", "abc_max"])
        found = overall(table)
        assert found["n"].tolist() == [3_852] * 4
        assert found["n_positive"].tolist() == [101] * 4
        assert found["n_missing"].to_dict() == {"abc": 494, "abc_max": 494, "distance": 81, "nearest_gene": 81}
        assert found.loc["abc", "average_precision"] == pytest.approx(0.598, abs=0.002)
        assert found.loc["abc_max", "average_precision"] == pytest.approx(0.595, abs=0.002)
        assert found.loc["distance", "average_precision"] == pytest.approx(0.329, abs=0.002)
        assert found.loc["abc", "low"] < 0.598 < found.loc["abc", "high"]
        assert found.loc["abc", "delta"] == pytest.approx(0.598 - 0.329, abs=0.002)
        assert 0 < found.loc["abc", "delta_low"] < found.loc["abc", "delta"] < found.loc["abc", "delta_high"]
        inside = table[(table["predictor"] == "abc") & (table["distance_bin"] != "all")]
        assert inside["distance_bin"].tolist() == ["0–25 kb", "25–60 kb", "60–100 kb"]
        near = (((fulco["Start"] + fulco["End"]) / 2 - fulco["tss"]).abs() <= 100_000).sum()
        assert inside["n"].sum() == near

    @pytest.mark.parametrize(
        ("near", "pairs", "positives", "abc", "distance"),
        [(False, 4_415, 200, 0.653, 0.426), (True, 721, 90, 0.648, 0.464)],
    )
    def test_hic_abc_on_nasser(self, nasser, near, pairs, positives, abc, distance):
        chosen = nasser
        if near:
            chosen = nasser[(nasser["cell_type"] == "K562") & (nasser["distance"] <= 100_000)]
        found = overall(er.tl.evaluate_links(chosen, scores="ABC.ABC.Score", n_bootstrap=50))
        assert found.loc["ABC.ABC.Score", ["n", "n_positive", "n_missing"]].tolist() == [pairs, positives, 0]
        assert found.loc["ABC.ABC.Score", "average_precision"] == pytest.approx(abc, abs=0.002)
        assert found.loc["distance", "average_precision"] == pytest.approx(distance, abs=0.002)

    def test_two_cell_types_of_one_pair_are_two_pairs(self, nasser):
        assert nasser.duplicated(["Chromosome", "Start", "End", "gene"]).any()
        with pytest.raises(ValueError, match=r"2 pairs of element and gene are there more than once"):
            er.tl.evaluate_links(nasser.drop(columns="cell_type"), scores="ABC.ABC.Score")

    def test_truth_of_a_simulation(self, tmp_path):
        config = er.datasets.SimulationConfig(
            n_chromosomes=2, chromosome_length=500_000, n_genes=40, n_elements=150, n_variants=10
        )
        simulation = er.datasets.simulate(tmp_path / "files", seed=4, config=config)
        links = simulation.links
        place = links["enhancer"].str.extract(r"^(?P<Chromosome>.+):(?P<Start>\d+)-(?P<End>\d+)$")
        links = links.assign(**place.astype({"Start": int, "End": int}))
        links["tss"] = links["gene"].map(simulation.genes["tss"])
        found = overall(er.tl.evaluate_links(links, scores=["abc", "share"], n_bootstrap=0))
        expected = simulation.metrics["sim"]
        assert found.loc["abc", "average_precision"] == pytest.approx(expected["abc_auprc"], abs=1e-12)
        assert found.loc["distance", "average_precision"] == pytest.approx(expected["distance_auprc"], abs=1e-12)
        assert found.loc["share", "average_precision"] == 1
        assert found["prevalence"].iloc[0] == pytest.approx(expected["positives"])


class TestAveragePrecision:
    def test_is_that_of_scikit_learn_with_ties_and_weights(self):
        rng = np.random.default_rng(0)
        for _ in range(40):
            n = int(rng.integers(5, 60))
            positive = rng.random(n) < 0.4
            positive[0] = True
            score = rng.integers(0, 6, n).astype(float)
            weights = rng.integers(0, 4, (3, n)).astype(float)
            weights[:, 0] += 1
            ours = average_precision(positive, Ranking.of(score), weights)
            theirs = [average_precision_score(positive, score, sample_weight=w) for w in weights]
            np.testing.assert_allclose(ours, theirs, atol=1e-12)
            precision, recall, thresholds = precision_recall(positive, score)
            expected = precision_recall_curve(positive, score)
            np.testing.assert_allclose(precision, expected[0][:-1][::-1], atol=1e-12)
            np.testing.assert_allclose(recall, expected[1][:-1][::-1], atol=1e-12)
            np.testing.assert_array_equal(thresholds, expected[2][::-1])

    def test_pairs_without_a_score_stand_last_and_count(self):
        pairs = random_pairs(np.random.default_rng(1))
        pairs.loc[::3, "good"] = np.nan
        found = overall(er.tl.evaluate_links(pairs, scores="good", n_bootstrap=0)).loc["good"]
        filled = pairs["good"].fillna(pairs["good"].min() - 1)
        assert found["n_missing"] == pairs["good"].isna().sum()
        assert found["n"] == len(pairs)
        assert found["average_precision"] == pytest.approx(average_precision_score(pairs["positive"], filled))
        nothing = overall(er.tl.evaluate_links(pairs.assign(good=np.nan), scores="good", n_bootstrap=0)).loc["good"]
        assert nothing["average_precision"] == pytest.approx(nothing["prevalence"])
        assert nothing["threshold_at_70_recall"] == -np.inf

    def test_precision_at_recall(self):
        pairs = random_pairs(np.random.default_rng(2))
        found = overall(er.tl.evaluate_links(pairs, scores=["good", "coarse"], recall=0.5, n_bootstrap=0))
        for name in ("good", "coarse"):
            threshold = found.loc[name, "threshold_at_50_recall"]
            chosen = pairs[name] >= threshold
            assert pairs.loc[chosen, "positive"].sum() / pairs["positive"].sum() >= 0.5
            assert pairs.loc[pairs[name] > threshold, "positive"].sum() / pairs["positive"].sum() < 0.5
            assert found.loc[name, "precision_at_50_recall"] == pytest.approx(pairs.loc[chosen, "positive"].mean())

    def test_minus_turns_a_score_around(self):
        pairs = random_pairs(np.random.default_rng(3))
        pairs["pvalue"] = -pairs["good"]
        found = overall(er.tl.evaluate_links(pairs, scores=["good", "-pvalue"], n_bootstrap=20))
        assert found.loc["good"].equals(found.loc["-pvalue"])


class TestBootstrap:
    def test_neither_the_order_of_rows_nor_other_scores_matter(self):
        pairs = random_pairs(np.random.default_rng(5))
        table = er.tl.evaluate_links(pairs, scores=["good", "coarse"], n_bootstrap=100, rng=3)
        shuffled = pairs.sample(frac=1, random_state=1)
        again = er.tl.evaluate_links(shuffled, scores=["good", "coarse"], n_bootstrap=100, rng=3)
        pd.testing.assert_frame_equal(table, again)
        alone = er.tl.evaluate_links(pairs, scores="coarse", n_bootstrap=100, rng=3)
        pd.testing.assert_frame_equal(overall(table).loc[["coarse", "distance"]], overall(alone).iloc[:2])
        other = er.tl.evaluate_links(pairs, scores="coarse", n_bootstrap=100, rng=4)
        assert overall(other).loc["coarse", "low"] != overall(alone).loc["coarse", "low"]

    def test_genes_are_drawn_not_pairs(self):
        """Every pair five times over tells nothing new, and intervals stay as wide."""
        pairs = random_pairs(np.random.default_rng(6))
        copies = pd.concat([pairs.assign(Start=pairs["Start"] + k, End=pairs["End"] - k) for k in range(5)])
        once = overall(er.tl.evaluate_links(pairs, scores="good", n_bootstrap=200))
        often = overall(er.tl.evaluate_links(copies, scores="good", n_bootstrap=200))
        columns = ["average_precision", "low", "high", "delta", "delta_low", "delta_high"]
        np.testing.assert_allclose(once[columns], often[columns], atol=1e-12)
        assert once["n_genes"].tolist() == often["n_genes"].tolist() == [25] * 3

    def test_interval_is_that_of_drawing_genes_one_by_one(self):
        pairs = random_pairs(np.random.default_rng(7), n=120, genes=12)
        found = overall(er.tl.evaluate_links(pairs, scores="good", n_bootstrap=2_000)).loc["good"]
        rng, names = np.random.default_rng(0), pairs["gene"].unique()
        rows = {name: np.flatnonzero(pairs["gene"] == name) for name in names}
        values = []
        for _ in range(800):
            drawn = np.concatenate([rows[name] for name in rng.choice(names, len(names))])
            if pairs["positive"].to_numpy()[drawn].any():
                values.append(average_precision_score(pairs["positive"].iloc[drawn], pairs["good"].iloc[drawn]))
        np.testing.assert_allclose(found[["low", "high"]].astype(float), np.quantile(values, [0.025, 0.975]), atol=0.03)

    def test_delta_is_paired(self):
        pairs = random_pairs(np.random.default_rng(8))
        pairs["nearness"] = -((pairs["Start"] + pairs["End"]) / 2 - pairs["tss"]).abs()
        found = overall(er.tl.evaluate_links(pairs, scores="nearness", n_bootstrap=100)).loc["nearness"]
        assert found[["delta", "delta_low", "delta_high"]].tolist() == [0, 0, 0]
        assert found["high"] - found["low"] > 0.01


class TestBaselines:
    @pytest.fixture
    def pairs(self):
        middle = np.array([100, 4_000, 6_000, 9_000, 5_000])
        return pd.DataFrame(
            {
                "Chromosome": ["chr1"] * 4 + ["chr2"],
                "Start": middle - 50,
                "End": middle + 50,
                "gene": ["A", "B", "A", "A", "C"],
                "tss": [0.0, 10_000, 0, 0, np.nan],
                "positive": [True, False, True, False, False],
                "score": np.arange(5.0),
            }
        )

    def nearest(self, pairs, **options):
        from eregtools.tl._labelled_pairs import labelled_pairs

        known = {"scores": "score", "positive": "positive", "sample": None, "statistic": "sum", "genes": None}
        return labelled_pairs(pairs, None, **{**known, **options}).scores["nearest_gene"]

    def test_nearest_of_the_tested_genes(self, pairs):
        np.testing.assert_array_equal(self.nearest(pairs), [1, 0, 0, 0, np.nan])

    def test_nearest_of_all_genes(self, pairs):
        genes = pd.DataFrame(
            {"Chromosome": ["1", "1", "1", "2"], "tss": [5, 10_000, 9_100, 5_400], "gene": ["A", "B", "near", "C"]}
        )
        # the pair's own TSS counts, not the one the annotation has; C gets the annotated one
        np.testing.assert_array_equal(self.nearest(pairs, genes=genes), [1, 0, 0, 0, 1])

    def test_a_tss_that_pairs_lack_comes_from_genes(self, pairs):
        genes = pd.DataFrame(
            {"Chromosome": "chr1", "tss": [0, 10_000, 5_400], "gene_id": ["ENSG00000000001.2", "B", "C"]}
        )
        genes["gene_name"] = ["A", "B", "C"]
        with_ids = pairs.drop(columns="tss").assign(gene_id=["ENSG00000000001", "B", "ENSG00000000001", None, "C"])
        genes.loc[2, "Chromosome"] = "chr2"
        found = er.tl.evaluate_links(with_ids, scores="score", genes=genes, bins=(0, 4_500, np.inf), n_bootstrap=0)
        rows = found[found["predictor"] == "distance"].set_index("distance_bin")
        assert rows["n_missing"].tolist() == [0, 0, 0]
        assert rows["n"].to_dict() == {"all": 5, "0–4.5 kb": 2, "from 4.5 kb": 3}

    def test_a_table_without_tss_says_what_to_do(self, pairs):
        with pytest.raises(ValueError, match=r"no column 'tss'.*pass genes="):
            er.tl.evaluate_links(pairs.drop(columns="tss"), scores="score")

    def test_they_are_always_there(self, pairs):
        table = er.tl.evaluate_links(pairs, scores="score", n_bootstrap=0)
        assert table["predictor"].drop_duplicates().tolist() == ["score", "distance", "nearest_gene"]
        empty = table[table["distance_bin"] == "60–100 kb"].iloc[0]
        assert empty["n"] == 0
        assert np.isnan(empty[["prevalence", "average_precision", "low", "delta"]].astype(float)).all()


class TestObject:
    @pytest.fixture
    def mdata(self):
        mdata = three_genes(["a", "b"])
        mdata["genes"].var_names = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"]
        mdata.update()
        er.pp.link(mdata)
        rng = np.random.default_rng(0)
        for layer in ("abc", "other"):
            mdata["links"].layers[layer] = rng.random(mdata["links"].shape).astype(np.float32)
        return mdata

    @pytest.fixture
    def pairs(self, mdata):
        """The links of the object as tested pairs, and one whose element no link has."""
        links = er.get.links(mdata, sample="a", layers=())
        table = links[["Chromosome", "Start", "End"]].copy()
        table["gene"] = links["gene_name"].astype(object)
        table["gene_id"] = links["gene"].astype(str) + ".7"
        table["Chromosome"] = table["Chromosome"].astype(str).str.removeprefix("chr")
        table["positive"] = np.arange(len(table)) % 2 == 0
        lost = {"Chromosome": "1", "Start": 16_000, "End": 16_500, "gene": "ALPHA", "positive": True}
        return pd.concat([table, pd.DataFrame([lost])], ignore_index=True)

    def test_scores_come_by_overlap(self, mdata, pairs):
        links = er.get.links(mdata, sample="b", layers=["abc", "other"])
        table = er.tl.evaluate_links(mdata, pairs, scores=["abc", "other"], sample="b", n_bootstrap=30)
        tss = mdata["genes"].var.set_index("gene_name")["tss"]
        direct = pairs.assign(tss=pairs["gene"].map(tss).astype(float))
        for name in ("abc", "other"):
            direct[name] = np.append(links[name].to_numpy(), np.nan)
        direct["gene_id"] = direct["gene_id"].fillna("ENSG00000000001")
        genes = mdata["genes"].var.rename_axis("gene_id").reset_index()
        by_table = er.tl.evaluate_links(direct, scores=["abc", "other"], genes=genes, n_bootstrap=0)
        assert overall(table)["n_missing"].tolist() == [1, 1, 0, 0]
        columns = ["average_precision", "n", "n_positive", "n_missing"]
        pd.testing.assert_frame_equal(table[columns], by_table[columns])

    def test_two_enhancers_of_one_tested_element(self, mdata):
        wide = pd.DataFrame({"Chromosome": "chr1", "Start": [4_900, 14_000], "End": [8_100, 14_600], "gene": "ALPHA"})
        from eregtools._pairs import scores_by_overlap

        links = er.get.links(mdata, sample="a", layers="abc")
        own = links[links["gene_name"] == "ALPHA"].set_index("Start")["abc"].astype(float)
        for statistic in ("sum", "max", "mean"):
            found = scores_by_overlap(wide, links, ["abc"], statistic, "links")["abc"]
            expected = [getattr(own[[4_500, 8_000]], statistic)(), own[14_000]]
            np.testing.assert_allclose(found, expected, rtol=1e-6)

    def test_known_scores_by_default(self, mdata, pairs):
        table = er.tl.evaluate_links(mdata, pairs, sample="a", n_bootstrap=0)
        assert set(table["predictor"]) == {"abc", "distance", "nearest_gene"}
        del mdata["links"].layers["abc"]
        with pytest.raises(KeyError, match=r"none of the layers attention_abc, attention, abc"):
            er.tl.evaluate_links(mdata, pairs, sample="a")

    @pytest.mark.parametrize(
        ("change", "options", "error", "message"),
        [
            (lambda p: p.assign(positive=False), {}, ValueError, "none of 8 pairs is positive"),
            (lambda p: p.assign(positive=True), {}, ValueError, "none of 8 pairs is negative"),
            (lambda p: p.assign(positive=0.5), {}, ValueError, "other than true and false"),
            (lambda p: p.drop(columns="positive"), {}, ValueError, "there is no column positive"),
            (lambda p: p.drop(columns=["gene", "gene_id"]), {}, ValueError, "no column has genes"),
            (lambda p: p.iloc[:0], {}, ValueError, "the table has no rows"),
            (lambda p: pd.concat([p, p]), {}, ValueError, "8 pairs of element and gene are there more than once"),
            (lambda p: p.assign(cell_type=list("aabbbbbb")), {}, ValueError, r"2 cell types \(a, b\); choose the rows"),
            (lambda p: p.assign(Start=p["Start"] + 10**6, End=p["End"] + 10**6), {}, ValueError, "same assembly"),
            (lambda p: p.assign(gene="X", gene_id="Y"), {}, ValueError, "no gene in common; the table has ALPHA"),
            (lambda p: p.assign(Chromosome="chr7"), {}, ValueError, "no chromosome in common"),
            (lambda p: p, {"sample": None}, ValueError, r"2 biosamples \(a, b\); name one"),
            (lambda p: p, {"sample": "c"}, KeyError, "no sample 'c'"),
            (lambda p: p, {"scores": "abcd"}, KeyError, "no layer 'abcd' in links"),
            (lambda p: p, {"statistic": "median"}, ValueError, "statistic='median'"),
            (lambda p: p, {"bins": (5, 5)}, ValueError, "rising distances"),
            (lambda p: p, {"recall": 0}, ValueError, "recall=0"),
            (lambda p: None, {}, ValueError, "pairs= is missing"),
        ],
    )
    def test_bad_input(self, mdata, pairs, change, options, error, message):
        with pytest.raises(error, match=message):
            er.tl.evaluate_links(mdata, change(pairs), **{"scores": "abc", "sample": "a", **options})

    def test_bad_tables(self, pairs):
        table = random_pairs(np.random.default_rng(0))
        with pytest.raises(ValueError, match="pairs= goes with a MuData"):
            er.tl.evaluate_links(table, table, scores="good")
        with pytest.raises(ValueError, match="scores= is missing"):
            er.tl.evaluate_links(table)
        with pytest.raises(ValueError, match="sample= goes with a MuData"):
            er.tl.evaluate_links(table, scores="good", sample="K562")
        with pytest.raises(ValueError, match="no column bad"):
            er.tl.evaluate_links(table, scores="bad")
        with pytest.raises(ValueError, match="the baselines have these names"):
            er.tl.evaluate_links(table.assign(distance=1), scores="distance")
        with pytest.raises(ValueError, match=r"column 'gene' has values that are no numbers"):
            er.tl.evaluate_links(table, scores="gene")
