"""Scores of links, and values of published tables brought to links and pairs."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.datasets.toy import three_genes


@pytest.fixture
def mdata():
    """Two biosamples; the second has not the first element of chr1."""
    mdata = three_genes(["a", "b"])
    mdata["enhancers"].layers["candidate"][1] = [0, 1, 1, 1]
    er.pp.add_signal(mdata, {"a": [1.0, 2, 3, 4], "b": [4.0, 3, 2, 1]}, assay="DNase")
    er.pp.activity(mdata, assays=["DNase"])
    er.pp.link(mdata)
    er.pp.add_contacts(mdata)
    rng = np.random.default_rng(2)
    mdata["links"].layers["attention"] = rng.random(mdata["links"].shape).astype(np.float32)
    return mdata


def rows_of(mdata, sample, *layers):
    return er.get.links(mdata, sample=sample, layers=list(layers))


class TestAttentionAbc:
    def test_share_of_the_product(self, mdata):
        er.tl.attention_abc(mdata)
        for sample in ("a", "b"):
            table = rows_of(mdata, sample, "attention", "contact", "attention_abc")
            activity = mdata["enhancers"].to_df(layer="activity").loc[sample]
            product = table["attention"] * table["contact"] * table["enhancer"].astype(str).map(activity)
            expected = product / product.groupby(table["gene"], observed=True).transform("sum")
            np.testing.assert_allclose(table["attention_abc"], expected, rtol=1e-5)
        links = mdata["links"]
        np.testing.assert_array_equal(np.isnan(links.layers["attention_abc"]), links.layers["candidate"] == 0)
        validate(mdata)

    def test_links_without_attention_are_left_out_of_the_sum(self, mdata):
        mdata["links"].layers["attention"][0, 0] = np.nan
        er.tl.attention_abc(mdata, sample="a", key_added="score")
        score = mdata["links"].layers["score"]
        gene = mdata["links"].var["gene"]
        assert np.isnan(score[0, 0])
        assert np.isnan(score[1]).all()
        assert np.nansum(score[0, (gene == gene.iloc[0]).to_numpy()]) == pytest.approx(1)

    def test_even_attention_is_abc(self, mdata):
        mdata["links"].layers["even"] = np.full(mdata["links"].shape, 0.25, dtype=np.float32)
        er.tl.attention_abc(mdata, attention="even")
        er.tl.abc(mdata, tss_window=1)
        np.testing.assert_allclose(mdata["links"].layers["attention_abc"], mdata["links"].layers["abc"], rtol=1e-6)

    def test_unit_of_activity_and_contact_do_not_matter(self, mdata):
        er.tl.attention_abc(mdata, key_added="one")
        mdata["links"].layers["contact"] *= 100
        mdata["enhancers"].layers["activity"] *= 7
        er.tl.attention_abc(mdata, key_added="other")
        np.testing.assert_allclose(mdata["links"].layers["one"], mdata["links"].layers["other"], rtol=1e-5)

    def test_what_is_missing_is_named(self, mdata):
        with pytest.raises(KeyError, match=r"no layer 'nohic'.*run er\.tl\.attention first"):
            er.tl.attention_abc(mdata, attention="nohic")
        with pytest.raises(KeyError, match=r"run er\.pp\.activity first"):
            er.tl.attention_abc(mdata, activity="nothing")
        assert "attention_abc" not in mdata["links"].layers

    def test_copy_and_provenance(self, mdata):
        done = er.tl.attention_abc(mdata, copy=True)
        assert "attention_abc" not in mdata["links"].layers
        record = done.uns["eregtools"]["results"]["links:attention_abc"]
        assert record[["sample", "attention"]].values.tolist() == [["a", "attention"], ["b", "attention"]]


class TestSimpleScores:
    def test_higher_is_stronger(self, mdata):
        er.tl.link_scores(mdata)
        table = rows_of(mdata, "a", "distance_score", "contact_score", "activity_score", "contact")
        np.testing.assert_array_equal(table["distance_score"], -table["distance"].abs())
        np.testing.assert_array_equal(table["contact_score"], table["contact"])
        activity = table["enhancer"].astype(str).map(mdata["enhancers"].to_df(layer="activity").loc["a"])
        np.testing.assert_array_equal(table["activity_score"], activity)
        candidate = mdata["links"].layers["candidate"]
        for name in ("distance_score", "contact_score", "activity_score"):
            np.testing.assert_array_equal(np.isnan(mdata["links"].layers[name]), candidate == 0)
        validate(mdata)

    def test_shares_of_the_biosamples_own_links(self, mdata):
        er.tl.link_scores(mdata, normalise=True)
        for sample in ("a", "b"):
            table = rows_of(mdata, sample, "distance_score", "contact_score", "activity_score")
            sums = table.groupby("gene", observed=True)[["contact_score", "activity_score"]].sum()
            np.testing.assert_allclose(sums, 1, rtol=1e-6)
            np.testing.assert_array_equal(table["distance_score"], -table["distance"].abs())

    def test_one_sample_leaves_the_other(self, mdata):
        er.tl.link_scores(mdata, scores="distance")
        before = mdata["links"].layers["distance_score"].copy()
        mdata["links"].layers["distance_score"][:] = 5
        er.tl.link_scores(mdata, scores=["distance"], sample="b")
        np.testing.assert_array_equal(mdata["links"].layers["distance_score"], [np.full(before.shape[1], 5), before[1]])

    def test_bad_input_writes_nothing(self, mdata):
        for scores in ("nearness", [], ["distance", "x"]):
            with pytest.raises(ValueError, match="expected some of distance, contact, activity"):
                er.tl.link_scores(mdata, scores=scores)
        with pytest.raises(KeyError, match="no layer 'hic'"):
            er.tl.link_scores(mdata, contact="hic")
        assert not [name for name in mdata["links"].layers if name and name.endswith("_score")]


class TestLinkTable:
    @pytest.fixture
    def table(self):
        """Rows for two links of ALPHA, by an id with version and another chromosome style, and for no link."""
        return pd.DataFrame(
            {
                "Chromosome": ["1", "1", "1", "1", "2"],
                "Start": [4_900, 4_000, 8_400, 5_000, 7_000],
                "End": [5_200, 4_501, 8_600, 5_100, 7_100],
                "gene": ["ALPHA", "ALPHA", "ALPHA", "ALPHA", "ALPHA"],
                "score": [0.2, 0.3, 0.5, 9.0, 9.0],
                "other": [1.0, np.nan, np.nan, 1.0, 1.0],
            }
        )

    @pytest.mark.parametrize(("statistic", "expected"), [("sum", 0.5), ("max", 0.3), ("mean", 0.25)])
    def test_values_by_overlap(self, mdata, table, statistic, expected, caplog):
        with caplog.at_level(logging.INFO, "eregtools"):
            er.pp.add_link_table(
                mdata, table, columns={"score": "abc_of_others", "other": "o"}, sample="a", statistic=statistic
            )
        values = rows_of(mdata, "a", "abc_of_others", "o").set_index(["gene_name", "enhancer"])
        found = values["abc_of_others"].dropna()
        assert {key: pytest.approx(value, rel=1e-6) for key, value in found.items()} == {
            ("ALPHA", "chr1:4500-5000"): expected,
            ("ALPHA", "chr1:8000-8500"): 0.5,
        }
        assert values["o"].dropna().to_dict() == {("ALPHA", "chr1:4500-5000"): 1.0}
        assert np.isnan(mdata["links"].layers["abc_of_others"][1]).all()
        assert "table: 3 of 5 rows meet 2 of 7 pairs of the same gene" in caplog.text
        validate(mdata)

    def test_ids_match_without_version_and_before_names(self, mdata, table):
        mdata["genes"].var_names = ["ENSG00000000001.3", "ENSG00000000002.1", "g3"]
        mdata["links"].var["gene"] = (
            mdata["links"]
            .var["gene"]
            .cat.rename_categories(dict(zip(["g1", "g2", "g3"], mdata["genes"].var_names, strict=True)))
        )
        mdata.update()
        # the id says BETA, whatever the name says; without an id of the object the name serves
        table["gene_id"] = ["ENSG00000000001.9", "ENSG00000000001.9", "ENSG00000000002", "ENSG00000000077", None]
        er.pp.add_link_table(mdata, table, columns="score", sample="a", key_added="found")
        found = rows_of(mdata, "a", "found").dropna().set_index(["gene_name", "enhancer"])["found"]
        assert {key: pytest.approx(value) for key, value in found.items()} == {
            ("ALPHA", "chr1:4500-5000"): 0.5,
            ("BETA", "chr1:8000-8500"): 0.5,
        }

    def test_second_biosample_keeps_the_first(self, mdata, table):
        er.pp.add_link_table(mdata, table, columns="score", sample="a", key_added="s")
        first = mdata["links"].layers["s"][0].copy()
        er.pp.add_link_table(mdata, table, columns="score", sample="b", key_added="s")
        np.testing.assert_array_equal(mdata["links"].layers["s"][0], first)
        # b has no candidate at chr1:4500-5000
        assert np.count_nonzero(~np.isnan(mdata["links"].layers["s"][1])) == 1

    @pytest.mark.parametrize(
        ("change", "options", "message"),
        [
            (lambda t: t.assign(Start=t["Start"] + 50_000, End=t["End"] + 50_000), {}, "Are both of the same assembly"),
            (lambda t: t.assign(gene="X"), {}, r"no gene in common; the table has X, expected ALPHA"),
            (lambda t: t.assign(Chromosome="chrUn"), {}, "no chromosome in common; the table has chrUn"),
            (lambda t: t.drop(columns="End"), {}, "there is no column End"),
            (lambda t: t.assign(score="high"), {}, "values that are no numbers"),
            (lambda t: t.assign(score=np.inf), {}, "infinite"),
            (lambda t: pd.concat([t, t]), {}, r"5 pairs of element and gene are there more than once, first 1:4900"),
            (lambda t: t.assign(cell_type=list("kkkkg")), {}, r"2 cell types \(k, g\)"),
            (lambda t: t, {"sample": None}, "2 biosamples"),
            (lambda t: t, {"key_added": "a/b"}, "key_added='a/b' cannot name a layer"),
            (lambda t: t, {"columns": ["score", "other"], "key_added": "x"}, "there are 2 columns"),
            (lambda t: t, {"columns": {"score": "x", "other": "x"}}, "a different name for each"),
            (lambda t: t, {"columns": []}, "columns= is empty"),
            (lambda t: t, {"columns": "Score"}, "there is no column Score"),
        ],
    )
    def test_bad_tables_write_nothing(self, mdata, table, change, options, message):
        before = set(mdata["links"].layers)
        with pytest.raises(ValueError, match=message):
            er.pp.add_link_table(mdata, change(table), **{"columns": "score", "sample": "a", **options})
        assert set(mdata["links"].layers) == before

    def test_published_scores_reach_every_link(self, shared):
        """Elements and genes of the ABC pipeline: each of its predictions is one link of the object."""
        data = shared / "data/abc_chr22/K562_chr22"
        genes = pd.read_csv(data / "Neighborhoods/GeneList.txt.gz", sep="\t")
        mdata = er.pp.assemble(
            genes=genes.rename(columns={"symbol": "gene_id", "chr": "chrom"})[
                ["chrom", "start", "end", "strand", "gene_id", "tss"]
            ],
            enhancers=er.io.read_bed(data / "Neighborhoods/EnhancerList.bed.gz"),
            samples="K562",
            genome=shared / "data/genome/hg38.partial.fa.gz",
        )
        er.pp.link(mdata, max_distance=1_500_000, min_distance=0, inclusive="left")
        table = er.io.read_abc(data / "Predictions/EnhancerPredictionsFull_threshold0.027_self_promoter.tsv.gz")
        er.pp.add_link_table(mdata, table, columns={"ABC.Score": "published"})
        found = er.get.links(mdata, layers="published").dropna(subset="published")
        key = ["Chromosome", "Start", "End", "gene"]
        text = dict.fromkeys(("Chromosome", "gene"), str)
        both = table.astype(text).merge(found.astype(text), on=key, how="outer", indicator=True)
        assert len(both) == 1_353
        assert (both["_merge"] == "both").all()
        np.testing.assert_allclose(both["published"], both["ABC.Score"], rtol=1e-6)


class TestCrispr:
    def test_the_strongest_significant_measurement_counts(self, mdata):
        tested = pd.DataFrame(
            {
                "Chromosome": "chr1",
                "Start": [4_500, 4_600, 4_700, 8_000, 8_200, 14_000],
                "End": [4_550, 4_700, 4_800, 8_100, 8_300, 14_100],
                "gene": "ALPHA",
                "effect_size": [-0.9, -0.2, 0.3, -0.1, 0.05, np.nan],
                "significant": [False, True, True, False, False, False],
            }
        )
        for order in (slice(None), slice(None, None, -1)):
            er.pp.add_crispr(mdata, tested[order], sample="a")
            found = rows_of(mdata, "a", "crispr", "crispr_significant").dropna().set_index(["gene_name", "enhancer"])
            assert found.index.tolist() == [("ALPHA", "chr1:4500-5000"), ("ALPHA", "chr1:8000-8500")]
            np.testing.assert_allclose(found["crispr"], [0.3, -0.1], rtol=1e-6)
            assert found["crispr_significant"].tolist() == [1, 0]
        validate(mdata)

    def test_a_table_without_effects(self, mdata):
        with pytest.raises(ValueError, match="no column effect_size, significant"):
            er.pp.add_crispr(mdata, pd.DataFrame({"Chromosome": ["chr1"], "Start": 1, "End": 2, "gene": "ALPHA"}))


class TestScorePairs:
    def test_pairs_keep_rows_and_index(self):
        pairs = pd.DataFrame(
            {"Chromosome": "chr1", "Start": [0, 50, 90], "End": [10, 60, 95], "gene": ["A", "A", "B"]}, index=[7, 3, 5]
        )
        table = pd.DataFrame(
            {"Chromosome": "chr1", "Start": [5, 9, 55, 60], "End": [8, 20, 58, 70], "gene": "A", "s": [1.0, 2, 4, 8]}
        )
        found = er.pp.score_pairs(pairs, table, columns={"s": "score"})
        assert found["score"].fillna(-1).to_dict() == {7: 3, 3: 4, 5: -1}
        assert "score" not in pairs
        with pytest.raises(ValueError, match="there is a column gene already"):
            er.pp.score_pairs(pairs, table, columns={"s": "gene"})

    def test_against_a_plain_loop(self):
        rng = np.random.default_rng(3)
        start = rng.integers(0, 2_000, 300)
        pairs = pd.DataFrame(
            {
                "Chromosome": rng.choice(["chr1", "chr2"], 300),
                "Start": start,
                "End": start + rng.integers(1, 60, 300),
                "gene": rng.choice(list("ABC"), 300),
            }
        )
        table = pairs.sample(frac=1, random_state=0).reset_index(drop=True)
        table["Start"] += rng.integers(0, 30, 300)
        table["End"] += 30
        table = table.drop_duplicates().reset_index(drop=True)
        table["s"] = rng.random(len(table))
        found = er.pp.score_pairs(pairs, table, columns="s")["s"].to_numpy()
        for row, pair in enumerate(pairs.itertuples(index=False)):
            meets = (table["Chromosome"] == pair.Chromosome) & (table["gene"] == pair.gene)
            meets &= (table["Start"] < pair.End) & (table["End"] > pair.Start)
            expected = table.loc[meets, "s"].sum() if meets.any() else np.nan
            np.testing.assert_allclose(found[row], expected)
