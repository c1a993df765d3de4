"""The page of an object with enhancer RNA or labelled pairs: what it says of them, and what it draws from."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._keys import Uns
from eregtools._loci import put_ernas
from eregtools._schema import entry, put_layer
from eregtools.coverage import recorded_coverage
from eregtools.report import ernas as page_of_loci
from erna_study import make_erna_study
from report_world import Page, make_object


@pytest.fixture
def write(tmp_path):
    def written(mdata, **options) -> Page:
        path = tmp_path / "report.html"
        er.report.write_report(mdata, path, **{"n_bootstrap": 0} | options)
        return Page(path)

    return written


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Labelled loci with probabilities and q-values, and calls that are recorded as a scan would."""
    truth, mdata = make_erna_study(tmp_path_factory.mktemp("study"))
    ernas = mdata["ernas"]
    rng = np.random.default_rng(0)
    chance = 1 / (1 + np.exp(-(4 * ernas.var["label"].to_numpy() - 2 + rng.normal(size=ernas.shape))))
    put_layer(mdata, "ernas", "probability", chance)
    put_layer(mdata, "ernas", "qvalue", np.where(chance > 0.3, (1 - chance) / 4, np.nan))
    put_layer(mdata, "ernas", "candidate", chance > 0.3)
    found = pd.DataFrame({"sample": ["s1", "s2"], "calls": [90, 88], "fdr": [0.071, 0.082], "decoys": [500, 498]})
    entry(mdata)[Uns.erna_calls] = {"fdr": "null", "alpha": 0.1, "samples": found.set_index("sample")}
    return truth, mdata


@pytest.fixture(scope="module")
def page(built, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    er.report.write_report(built[1], path, n_bootstrap=0)
    return Page(path)


class TestQuality:
    def test_audit_of_strands_and_libraries(self, page, built):
        table = page.table("RNA coverage")
        obs = built[1].obs
        assert table["RNA coverage"] == ["s1", "s2"]
        assert table["strands exchanged ones are mended when read"] == ["as labelled", "exchanged"]
        assert table["reads on the strand of the gene median share in exons"] == [
            f"{value:.3f}" for value in obs["strand_fraction"]
        ]
        assert table["library million reads"] == [f"{value / 1e6:.3g}" for value in obs["library_size"]]

    def test_calls_and_their_false_discovery_rate(self, page, built):
        table = page.table("Loci of enhancer RNA")
        own = built[1]["ernas"].layers["candidate"] > 0
        assert table["loci of 156"] == [str(of.sum()) for of in own]
        assert table["known loci, others labelled"] == ["96, 60", "96, 60"]
        assert table["called loci q ≤ 0.1"] == ["90", "88"]
        assert table["false discovery rate estimated from decoys"] == ["0.071", "0.082"]


class TestScores:
    def test_loci_are_judged_beside_the_rules_of_the_field(self, write, built):
        truth, mdata = built
        page = write(mdata, sample="s1", genome=truth.paths["genome"])
        expected = er.tl.evaluate_ernas(mdata, sample="s1", genome=truth.paths["genome"], n_bootstrap=0)
        whole = expected[expected["stratum"] == "all"].set_index("predictor")
        table = page.table("predictor")
        assert list(table)[1:] == [
            "probability", "rules of FANTOM5", "balance of strands", "GC, reads, directionality",
        ]  # fmt: skip
        assert table["probability"][1] == f"{whole.loc['probability', 'auroc']:.3f}"
        assert table["rules of FANTOM5"][1] == f"{whole.loc['fantom', 'auroc']:.3f}"
        for stratum in ("silent", "uni", "poised"):
            rows = expected[(expected["stratum"] == stratum) & (expected["predictor"] == "probability")]
            at = table["predictor"].index(f"against {stratum}")
            assert table["probability"][at] == f"{rows['auroc'].item():.3f}"

    def test_what_is_lacking_is_said(self, write, built):
        mdata = built[1].copy()
        del mdata["ernas"].layers["probability"]
        assert "there is no prediction of them (er.tl.predict_ernas" in write(mdata).words
        del mdata["ernas"].var["label"]
        assert "the loci have no labels" in write(mdata).words

    def test_labelled_pairs(self, write, tmp_path):
        config = er.datasets.InteractionConfig(n_chromosomes=4, pairs_per_chromosome=8)
        files = er.datasets.simulate_interactions(tmp_path / "pairs", config=config)
        mdata = er.pp.pairs(
            files.pairs, genome=er.Genome(files.genome), enhancer_width=600, promoter_width=600, sample="one"
        )
        er.pp.split(mdata, {k: {"test": [f"chr{k}"], "valid": []} for k in range(1, 5)})
        page = write(mdata)
        assert "there is no prediction of it (er.tl.predict_interactions)" in page.words
        label = mdata["links"].var["label"].to_numpy()
        put_layer(mdata, "links", "interaction", label[None] + np.random.default_rng(1).normal(size=(1, len(label))))
        page = write(mdata)
        expected = er.tl.evaluate_interactions(mdata, "interaction", n_bootstrap=0)
        kinds = list(expected["negatives"].unique())
        assert "repaired" in kinds
        for kind in kinds:
            assert f"negatives '{kind}'" in page.words
        tables = [rows for rows in page.tables if rows and rows[0][0].strip() == "predictor"]
        pooled = expected[(expected["fold"] == "pooled") & (expected["predictor"] == "interaction")]
        for kind, rows in zip(kinds, tables, strict=True):
            own = pooled.set_index("negatives").loc[kind]
            cells = next(row for row in rows if row[0].strip() == "interaction")
            areas = [f"{own[area]:.3f}" for area in ("auroc", "auroc_within", "auprc")]
            assert [cell.strip() for cell in cells[2:5]] == areas
        measures = page.table("Labelled pairs")
        assert measures["pairs that interact number; kb apart, median (quartiles)"][0].startswith(
            f"{int(label.sum())}; "
        )


def _unlabelled(mdata):
    """Without labels, by which nothing is judged again."""
    mdata = mdata.copy()
    del mdata["ernas"].var["label"]
    return mdata


class TestData:
    def test_loci_are_those_of_the_object(self, page, built):
        ernas, data = built[1]["ernas"], page.data["ernas"]
        assert data["start"] == ernas.var["Start"].tolist()
        assert data["name"] == {}
        assert [list(map(int, flags)) for flags in data["own"]] == ernas.layers["candidate"].astype(int).tolist()
        columns = {column["key"]: column["values"] for column in data["columns"]}
        for layer in ("qvalue", "probability"):
            shown = np.array(columns[layer], dtype=float)
            np.testing.assert_allclose(shown, ernas.layers[layer], rtol=5.1e-4)
        assert data["words"][0] == {"name": "stratum", "values": ernas.var["stratum"].astype(str).tolist()}

    def test_coverage_is_that_of_the_store(self, page, built):
        mdata = built[1]
        data = page.data["ernas"]
        store = recorded_coverage(mdata)
        assert data["coverage"]["stranded"] == [True, True]
        for row, sample in enumerate(("s1", "s2")):
            for number in (0, 77, 155):
                chrom = str(mdata["ernas"].var["Chromosome"].iloc[number])
                start = data["viewStart"][number] // 8 * 8
                profile = np.array(data["coverage"]["profiles"][row][str(number)])
                end = start + 64 * profile.shape[1]
                assert end - data["viewEnd"][number] > -72
                expected = store.per_million(sample, chrom, start, end).reshape(2, -1, 8).mean(axis=2)
                np.testing.assert_allclose(profile, expected, rtol=5.1e-3)

    def test_coverage_of_the_clearest_only(self, write, built, monkeypatch):
        monkeypatch.setattr(page_of_loci, "MOST_PROFILES", 20)
        coverage = write(_unlabelled(built[1])).data["ernas"]["coverage"]
        q = built[1]["ernas"].layers["qvalue"]
        clearest = np.argsort(np.nanmin(np.nan_to_num(q, nan=np.inf), axis=0))[:10]
        assert coverage["kept"] == 10
        assert {int(number) for number in coverage["profiles"][1]} == set(clearest.tolist())

    def test_loci_in_view_of_a_gene(self, write, built):
        mdata = built[1]
        gene = mdata["genes"].var_names[3]
        data = write(_unlabelled(mdata), genes=gene).data
        at = data["genes"]["id"].index(gene)
        view = data["genes"]["viewStart"][at], data["genes"]["viewEnd"][at]
        var = mdata["ernas"].var
        on = var["Chromosome"] == mdata["genes"].var.loc[gene, "Chromosome"]
        inside = var[on & (var["Start"] < view[1]) & (var["End"] > view[0])]
        assert data["ernas"]["start"] == inside["Start"].tolist()

    def test_loci_alone(self, write, built):
        mdata = _unlabelled(built[1])
        for name in ("genes", "enhancers"):
            del mdata.mod[name]
        page = write(mdata)
        assert page.data["genes"]["id"] == []
        assert len(page.data["ernas"]["start"]) == 156
        assert 'id="ernas-table">' in page.source
        assert "Loci of enhancer RNA" in page.words

    def test_coverage_that_was_moved(self, write, tmp_path, caplog):
        _, mdata = make_erna_study(tmp_path)
        shutil.move(tmp_path / "coverage.zarr", tmp_path / "elsewhere.zarr")
        put_layer(mdata, "ernas", "probability", np.full(mdata["ernas"].shape, 0.5))
        page = write(mdata)
        assert page.data["ernas"]["coverage"] is None
        assert "the coverage of the object is not in" in caplog.text
        assert "is not in" in page.words.partition("Not judged")[2]


class TranscribedEverywhere:
    """A store of coverage whose every bin differs, as the worst that a page can meet."""

    bin_size, samples = 8, ("K562", "GM12878")
    rng = np.random.default_rng(5)

    def __init__(self, sizes):
        self.chrom_sizes = sizes

    def stranded(self, _):
        return True

    def per_million(self, _, chrom, start, end):
        return self.rng.lognormal(1, 2, (2, (end - start) // self.bin_size))


def test_thousand_genes_and_loci_stay_below_five_megabytes(write, monkeypatch):
    scores = ("abc", "attention", "attention_abc", "contact", "interaction", "perturbation")
    mdata = make_object(1_000, per_gene=12, samples=TranscribedEverywhere.samples, scores=scores)
    genes = mdata["genes"].var
    loci = pd.DataFrame({"Chromosome": genes["Chromosome"].astype(str), "Start": genes["tss"] + 3_000})
    loci = loci.assign(End=loci["Start"] + 400).reset_index(drop=True)
    rng = np.random.default_rng(6)
    names = ("candidate", "qvalue", "probability", "rpm", "directionality")
    put_ernas(mdata, loci, {name: rng.random((2, 1_000)).astype(np.float32) for name in names})
    sizes = entry(mdata)[Uns.chrom_sizes]["length"].to_dict()
    entry(mdata)[Uns.coverage] = {"path": "none"}
    monkeypatch.setattr(page_of_loci, "recorded_coverage", lambda _: TranscribedEverywhere(sizes))
    page = write(mdata)
    assert [len(profiles) for profiles in page.data["ernas"]["coverage"]["profiles"]] == [1_000, 1_000]
    assert len(page.data["links"]["gene"]) > 10_000
    assert len(page.source.encode()) < 5_000_000
