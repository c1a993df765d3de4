"""The page of an object, without a browser: what it says, what it holds, and that it needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re

import numpy as np
import pandas as pd
import pytest
from mudata import MuData

import eregtools as er
from eregtools._schema import put_layer
from eregtools.pl._region import elements_in, find_region
from report_world import Page, add_predictions, make_object


@pytest.fixture
def write(tmp_path):
    def written(mdata, **options) -> Page:
        path = tmp_path / "report.html"
        er.report.write_report(mdata, path, **{"n_bootstrap": 0} | options)
        return Page(path)

    return written


@pytest.fixture(scope="module")
def judged():
    """Page of an object with predictions, and the object."""
    mdata = make_object(120, scores=("abc", "attention"))
    add_predictions(mdata)
    return mdata


def test_page_needs_nothing_else(write, judged):
    page = write(judged)
    assert all(address.startswith("#") or address == "data:," for address in page.addresses)
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|import\(", page.source)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page.source)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    script = re.search(r"<script>(.*?)</script>", page.source, re.DOTALL)[1]
    found = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{found}'" in policy


def test_same_object_same_bytes(write, judged):
    assert write(judged, rng=1).source == write(judged, rng=1).source


def test_thousand_genes_stay_below_five_megabytes(write):
    scores = ("abc", "attention", "attention_abc", "contact", "interaction", "perturbation")
    mdata = make_object(1_000, per_gene=12, samples=("K562", "GM12878"), scores=scores)
    page = write(mdata)
    assert len(page.data["links"]["gene"]) > 10_000
    assert len(page.data["links"]["scores"]) == 6
    assert len(page.source.encode()) < 5_000_000


class TestData:
    def test_links_are_those_of_the_object(self, write, judged):
        data = write(judged).data
        links, genes, enhancers = data["links"], data["genes"], data["enhancers"]
        expected = er.get.links(judged).set_index(["gene", "enhancer"])
        names = [
            f"{data['chromosomes'][c]}:{s}-{e}"
            for c, s, e in zip(enhancers["chromosome"], enhancers["start"], enhancers["end"], strict=True)
        ]
        pairs = [(genes["id"][g], names[e]) for g, e in zip(links["gene"], links["enhancer"], strict=True)]
        assert sorted(pairs) == sorted(expected.index)
        assert links["gene"] == sorted(links["gene"])
        assert [score["name"] for score in links["scores"]] == ["attention", "abc"]
        for score in links["scores"]:
            np.testing.assert_allclose(score["values"][0], expected.loc[pairs, score["name"]], rtol=5.1e-4)

    def test_view_is_that_of_the_figure(self, write, judged):
        """A gene shows what ``er.pl.locus`` shows: the same region, and all that lies in it."""
        gene = judged["genes"].var_names[17]
        data = write(judged, genes=gene).data
        region = find_region(judged, gene, ["K562"], None)
        at = data["genes"]["id"].index(gene)
        assert (data["genes"]["viewStart"][at], data["genes"]["viewEnd"][at]) == (region.start, region.end)
        inside = elements_in(judged, region)
        assert set(data["genes"]["id"]) == set(inside[0].index) | {gene}
        assert data["enhancers"]["start"] == inside[1]["Start"].tolist()
        assert sum(data["genes"]["listed"]) == 1
        assert len(data["links"]["gene"]) == len(er.get.links(judged, gene=gene))

    def test_what_is_not_known_is_empty(self, write):
        mdata = make_object(20, samples=("K562", "GM12878"))
        values = mdata["links"].layers["abc"].copy()
        values[0, :5], values[1, 3] = np.nan, np.inf
        put_layer(mdata, "links", "abc", values)
        candidate = mdata["links"].layers["candidate"].copy()
        candidate[1, 7] = 0
        put_layer(mdata, "links", "candidate", candidate)
        put_layer(mdata, "enhancers", "H3K27ac", np.full(mdata["enhancers"].shape, np.nan))
        data = write(mdata).data
        first, second = data["links"]["scores"][0]["values"]
        assert sum(value is None for value in first) == 5
        assert sum(value is None for value in second) == 2
        assert [flags.count("0") for flags in data["links"]["own"]] == [0, 1]
        track = next(one for one in data["enhancers"]["tracks"] if one["name"] == "H3K27ac")
        assert set(track["values"][0]) == {None}

    def test_effects_are_in_per_cent(self, write):
        mdata = make_object(8)
        put_layer(mdata, "links", "perturbation", np.full(mdata["links"].shape, -0.25))
        score = next(one for one in write(mdata).data["links"]["scores"] if one["name"] == "perturbation")
        assert score["unit"] == "% change"
        assert set(score["values"][0]) == {-25}

    def test_parts_of_scores_are_left_out(self, write):
        mdata = make_object(8)
        for layer in ("abc_numerator", "abc_predicted"):
            put_layer(mdata, "links", layer, np.ones(mdata["links"].shape))
        assert [one["name"] for one in write(mdata).data["links"]["scores"]] == ["abc"]


class TestScores:
    def test_scores_stand_beside_every_baseline(self, write, judged):
        page = write(judged)
        expected = er.tl.evaluate_expression(judged, assay="RNA", n_bootstrap=0)
        expected = expected[expected["fold"] == "pooled"].set_index("predictor")
        table = page.table("predictor")
        for name, words in {"model": "model", "trees": "trees, no sequence", "promoter": "promoter activity"}.items():
            assert table[words][1:4] == [
                f"{expected.loc[name, metric]:.3f}" for metric in ("pearson", "spearman", "r2")
            ]
        assert float(table["model"][1]) > float(table["promoter activity"][1]) > 0.6
        assert table["model, shuffled sequence"] == ["not known", *["–"] * 5]
        assert "not known on which chromosomes the model was trained" in page.words
        assert "mRNA features" not in table
        assert "er.pp.mrna_features" in page.words

    def test_dots_are_where_the_numbers_are(self, write, judged):
        """Places of dots, and of ticks, are one line over what they stand for."""
        source = write(judged).source.replace("\N{MINUS SIGN}", "-")
        numbers = [float(text) for text in re.findall(r'aria-label="[^"]*: (-?[\d.]+)"', source)]
        places = [float(text) for text in re.findall(r'class="pooled" cx="([\d.]+)%"', source)]
        ticks = re.findall(r'<span style="left:([\d.]+)%">(-?[\d.]+)</span>', source)
        assert len(numbers) == len(places) == 4
        slope, intercept = np.polyfit([float(number) for _, number in ticks], [float(at) for at, _ in ticks], 1)
        np.testing.assert_allclose(places, intercept + slope * np.array(numbers), atol=0.1)

    def test_intervals_and_leakage_are_told(self, write, judged):
        mdata = judged.copy()
        record = pd.DataFrame([{"sample": "K562", "fold": 1, "model": "m", "sha256": "0" * 64, "leakage": "yes"}])
        mdata.uns["eregtools"].setdefault("results", {})["genes:RNA_pred"] = record.rename(index=str)
        page = write(mdata, n_bootstrap=50)
        assert "saw chromosomes that they predict" in page.words
        assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", page.table("predictor")["model"][1])
        assert page.table("sample")["K562"] == ["1", "m", "0" * 12, "yes"]

    def test_links_are_judged_by_tested_pairs(self, write, judged):
        links = er.get.links(judged, layers="abc")
        pairs = links[["Chromosome", "Start", "End", "gene"]].assign(positive=(links["abc"] > 0.8).to_numpy())
        page = write(judged, pairs=pairs)
        table = next(rows for rows in page.tables if any("average precision" in cell for cell in rows[0]))
        rows = {row[0].strip(): row for row in table}
        assert rows["abc"][2].strip() == "1.000"
        assert {"distance", "nearest gene", "attention"} <= set(rows)
        assert "Links" not in page.words.partition("Not judged")[2].partition("Genes and links")[0]

    def test_tables_that_are_handed_over(self, write):
        mdata = make_object(8)
        handed = er.tl.evaluate_expression(_with_predictions(60), assay="RNA", n_bootstrap=0)
        own = pd.DataFrame({"stratum": ["<near>", "far"], "auroc": [0.9123, np.nan]})
        page = write(mdata, evaluations={"Elsewhere": handed, "Strata & more": own})
        assert "Strata & more" in page.words
        assert page.table("row")["<near>"] == ["0.912"]
        assert page.table("predictor")["model"][1] == f"{handed['pearson'].iloc[0]:.3f}"

    def test_what_is_not_judged_is_said(self, write):
        assert "no expression was measured" in write(make_object(8)).words
        mdata = _with_predictions(40)
        del mdata["genes"].layers["RNA_pred"]
        assert "there is no prediction of it" in write(mdata).words
        mdata = _with_predictions(40)
        del mdata["genes"].var["fold"], mdata.uns["eregtools"]["fold_schemes"], mdata.uns["eregtools"]["folds"]
        absent = write(mdata).words.partition("Not judged")[2]
        assert absent.strip().startswith("Expression, RNA")


def _with_predictions(n_genes):
    mdata = make_object(n_genes)
    add_predictions(mdata)
    return mdata


class TestQuality:
    def test_measures_of_a_library(self, write):
        mdata = make_object(40)
        shape = mdata["enhancers"].shape
        first = np.arange(1, shape[1] + 1, dtype=float)[None]
        put_layer(mdata, "enhancers", "DNase_rep1", first)
        put_layer(mdata, "enhancers", "DNase_rep2", np.where(first > 40, first, 0))
        put_layer(mdata, "enhancers", "DNase", np.where(first > 40, first, 0))
        totals = pd.DataFrame({"rep1": [first.sum() * 4], "rep2": [first.sum() * 2]}, index=["K562"])
        mdata.uns["eregtools"]["totals"] = {"DNase": totals}
        table = write(mdata).table("DNase")
        assert table["reads in candidates % of library, each replicate"] == ["25, 46.8"]
        assert table["without signal % of candidates"] == ["25.0 %"]
        r = np.corrcoef(np.log10(1 + first[0]), np.log10(1 + np.where(first > 40, first, 0)[0]))[0, 1]
        assert table["replicates agree lowest r of log10(1 + x)"] == [f"{r:.3f}"]

    def test_links_and_expression(self, write, judged):
        page = write(judged)
        counts = judged["links"].var["gene"].value_counts()
        assert page.table("Links")["links of " + f"{judged['links'].n_vars:,}"] == [f"{judged['links'].n_vars:,}"]
        assert page.table("Links")["links per gene median (quartiles)"][0].startswith(f"{counts.median():.3g} ")
        assert page.table("RNA (expression)")["genes with a value of 120"] == ["120 (100.0 %)"]

    def test_each_biosample_has_a_column(self, write):
        mdata = make_object(20, samples=("K562", "GM12878"))
        page = write(mdata)
        assert page.table("activity")["activity"] == ["K562", "GM12878"]
        assert write(mdata, sample="GM12878").table("activity")["activity"] == ["GM12878"]


class TestOddObjects:
    def test_names_are_text(self, write):
        odd = ['<b>&"', "</script><script>alert(1)</script>", "{{ 7 * 7 }}", *(f"g{k}" for k in range(5))]
        page = write(make_object(8, names=odd, samples=("<i>K&562</i>",)), title='</title><script>x("&")</script>')
        assert page.source.count("<script") == 2
        assert page.source.count("<b>") == page.source.count("<i>") == page.source.count("alert(1)") == 0
        assert page.data["genes"]["name"] == odd
        assert "<i>K&562</i>" in page.words
        assert '</title><script>x("&")</script>' in page.words

    def test_modalities_that_are_missing(self, write):
        whole = make_object(8)
        without = {
            "links": ["genes", "enhancers"],
            "enhancers": ["genes"],
            "genes": ["enhancers"],
        }
        for left_out, names in without.items():
            mdata = whole.copy()
            for name in set(mdata.mod) - set(names):
                del mdata.mod[name]
            page = write(mdata)
            assert f"{left_out.title()} not in the object" in page.words
            if "genes" in names:
                assert (page.data["enhancers"] is None) == ("enhancers" not in names)
                assert page.data["links"] is None
                assert 'id="links-table"' not in page.source
            else:
                assert "The object has no genes and no loci." in page.words
                assert "<script" not in page.source

    def test_genes_by_name(self, write):
        mdata = make_object(20)
        data = write(mdata, genes=["GENE3", "ENSG00000000007"]).data
        assert [i for i, own in zip(data["genes"]["id"], data["genes"]["listed"], strict=True) if own] == [
            "ENSG00000000003",
            "ENSG00000000007",
        ]

    def test_names_that_are_no_positions(self, write):
        mdata = make_object(8)
        enhancers = mdata["enhancers"].copy()
        enhancers.var_names = ["E1", *enhancers.var_names[1:]]
        kept = mdata.uns
        mdata = MuData({"genes": mdata["genes"].copy(), "enhancers": enhancers})
        mdata.uns.update(kept)
        er.pp.link(mdata, max_distance=30_000)
        assert write(mdata).data["enhancers"]["name"] == {"0": "E1"}

    def test_file_as_input(self, tmp_path, judged):
        er.io.write(judged, tmp_path / "study.h5mu")
        er.report.write_report(tmp_path / "study.h5mu", tmp_path / "a.html", n_bootstrap=0, rng=1)
        er.report.write_report(judged, tmp_path / "b.html", n_bootstrap=0, rng=1, title="study.h5mu")
        assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


class TestBadInput:
    def test_nothing_is_written(self, tmp_path):
        mdata = make_object(8)
        out = tmp_path / "report.html"
        for options, error, words in (
            ({"genes": "NOGENE"}, KeyError, "no gene 'NOGENE'"),
            ({"genes": []}, ValueError, "genes= is empty"),
            ({"sample": "HepG2"}, KeyError, "no sample 'HepG2'"),
            ({"pairs": {"HepG2": pd.DataFrame()}}, KeyError, "none of the biosamples shown"),
        ):
            with pytest.raises(error, match=words):
                er.report.write_report(mdata, out, **options)
        assert not out.exists()

    def test_pairs_are_of_one_biosample(self, tmp_path):
        mdata = make_object(8, samples=("K562", "GM12878"))
        with pytest.raises(ValueError, match="pairs= are of one biosample and 2 are shown"):
            er.report.write_report(mdata, tmp_path / "report.html", pairs=pd.DataFrame())

    def test_folders_are_left_alone(self, tmp_path):
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "mine.txt").write_text("mine")
        with pytest.raises(IsADirectoryError, match="is a folder; name a file"):
            er.report.write_report(make_object(8), tmp_path / "folder")
        assert (tmp_path / "folder" / "mine.txt").read_text() == "mine"
        with pytest.raises(FileNotFoundError, match="does not exist"):
            er.report.write_report(make_object(8), tmp_path / "nowhere" / "report.html")

    def test_without_jinja2(self, tmp_path, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ImportError, match=r"eregtools\[report\]"):
            er.report.write_report(make_object(8), tmp_path / "report.html")
