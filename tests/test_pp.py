"""What ``pp`` writes into the object, seen from outside."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pyranges as pr
import pytest
from anndata import AnnData

import eregtools as er
from eregtools import sampling
from eregtools._keys import MRNA_FEATURES
from eregtools._schema import validate
from eregtools.datasets.toy import three_genes


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text(">chr2\n" + "ACGT" * 5_000 + "\n>chr1\n" + "GGCA" * 5_000 + "\n")
    return path


@pytest.fixture
def genes():
    return pd.DataFrame(
        {
            "gene_id": ["ENSG00000000002.7", "ENSG00000000001.3", "plain.1"],
            "chrom": ["chr1", "chr2", "chr1"],
            "TSS": [9_000, 4_000, 2_000],
            "strand": ["-", "+", None],
            "Gene name": ["B", None, "C"],
        }
    )


@pytest.fixture
def elements():
    return pd.DataFrame(
        {"chrom": ["chr1", "chr1", "chr2"], "start": [5_000, 100, 700], "end": [5_500, 600, 1_200], "DHS": [1, 2, 3]}
    )


def by_name(mdata, modality, values):
    return pd.Series(values, index=mdata[modality].var_names, dtype=float)


class TestAssemble:
    def test_rows_are_in_genome_order_and_remember_the_input(self, genes, elements, fasta):
        mdata = er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome=fasta)
        assert list(mdata["enhancers"].var_names) == ["chr2:700-1200", "chr1:100-600", "chr1:5000-5500"]
        assert list(mdata["enhancers"].var["input_index"]) == [2, 1, 0]
        assert list(mdata["genes"].var_names) == ["ENSG00000000001", "plain.1", "ENSG00000000002"]
        assert list(mdata["genes"].var["input_index"]) == [1, 2, 0]
        assert list(mdata["genes"].var["tss"]) == [4_000, 2_000, 9_000]
        assert list(mdata["genes"].var["End"]) == [4_001, 2_001, 9_001]
        assert list(mdata["genes"].var["Strand"]) == ["+", ".", "-"]
        assert list(mdata["genes"].var["gene_name"]) == ["ENSG00000000001", "C", "B"]
        assert mdata.uns["eregtools"]["genome"] == "toy"
        validate(mdata)

    def test_sorting_is_logged_with_its_count(self, genes, elements, fasta, caplog):
        with caplog.at_level(logging.INFO, logger="eregtools"):
            er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome=fasta)
        assert "enhancers: 2 of 3 rows were not in genome order" in caplog.text

    def test_var_is_a_pyranges(self, genes, elements, fasta):
        mdata = er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome=fasta)
        assert len(pr.PyRanges(mdata["enhancers"].var)) == 3
        assert pr.PyRanges(mdata["genes"].var).lengths().sum() == 3

    def test_chromosomes_are_spelled_as_in_the_genome(self, genes, elements, fasta):
        elements["chrom"] = elements["chrom"].str.removeprefix("chr")
        mdata = er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome=fasta)
        assert list(mdata["enhancers"].var["Chromosome"]) == ["chr2", "chr1", "chr1"]

    def test_elements_of_biosamples_are_joined_exactly(self, genes, elements, fasta):
        mdata = er.pp.assemble(
            genes=genes,
            enhancers={"GM12878": elements.iloc[[1]], "K562": elements.iloc[[0, 1]]},
            samples=["K562", "GM12878"],
            genome=fasta,
        )
        assert list(mdata["enhancers"].var_names) == ["chr1:100-600", "chr1:5000-5500"]
        assert mdata["enhancers"].layers["candidate"].tolist() == [[1, 1], [1, 0]]
        assert mdata["enhancers"].layers["candidate"].dtype == np.float32
        assert mdata["enhancers"].X.tolist() == [[1, 1], [1, 0]]

    def test_files(self, tmp_path, fasta):
        (tmp_path / "genes.gtf").write_text(
            'chr2\tx\tgene\t1001\t3000\t.\t-\t.\tgene_id "ENSG00000000001.3"; gene_name "A";\n'
        )
        (tmp_path / "peaks.narrowPeak").write_text("chr1\t100\t600\tp1\t0\t.\t1\t1\t1\t30\n")
        (tmp_path / "peaks.bed").write_text("chr1\t100\t600\n")
        (tmp_path / "peaks.tsv").write_text("chrom\tstart\tend\nchr1\t100\t600\n")
        for name in ("peaks.narrowPeak", "peaks.bed", "peaks.tsv"):
            mdata = er.pp.assemble(
                genes=tmp_path / "genes.gtf", enhancers=tmp_path / name, samples="K562", genome=fasta
            )
            assert list(mdata["enhancers"].var_names) == ["chr1:100-600"]
            assert ("summit" in mdata["enhancers"].var) == (name == "peaks.narrowPeak")
        gene = mdata["genes"].var.loc["ENSG00000000001"]
        assert gene[["Start", "End", "tss", "Strand"]].tolist() == [1_000, 3_000, 2_999, "-"]
        table = "gene_id\tgene\tchrom\ttss\nENSG00000000001\tA\tchr2\t2999\n"
        (tmp_path / "genes.tsv").write_text(table)
        mdata = er.pp.assemble(
            genes=tmp_path / "genes.tsv", enhancers=tmp_path / "peaks.bed", samples="K562", genome=fasta
        )
        assert list(mdata["genes"].var_names) == ["ENSG00000000001"]

    def test_genes_as_index(self, genes, elements, fasta):
        mdata = er.pp.assemble(genes=genes.set_index("gene_id"), enhancers=elements, samples="K562", genome=fasta)
        assert "ENSG00000000002" in mdata["genes"].var_names

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"elements": {"end": [21_000, 600, 1_200]}}, ValueError, "assembly"),
            ({"elements": {"chrom": ["chr9", "chr1", "chr2"]}}, KeyError, "chr9"),
            ({"elements": {"end": [5_000, 600, 1_200]}}, ValueError, "End"),
            ({"elements": {"start": [5_000.5, 100, 700]}}, ValueError, "whole numbers"),
            ({"elements": {"chrom": ["chr1"] * 3, "start": [7, 7, 1], "end": [9, 9, 2]}}, ValueError, "more than once"),
            ({"genes": {"gene_id": ["a", "a", "b"]}}, ValueError, "more than once"),
            ({"genes": {"TSS": [20_000, 1, 1]}}, ValueError, "end after the chromosome"),
            ({"genes": {"strand": ["*", "+", "-"]}}, ValueError, "Strand"),
            ({"samples": ["K562", "K562"]}, ValueError, "more than once"),
            ({"samples": []}, ValueError, "empty"),
        ],
    )
    def test_bad_input_is_refused(self, genes, elements, fasta, change, error, message):
        genes = genes.assign(**change.get("genes", {}))
        elements = elements.assign(**change.get("elements", {}))
        with pytest.raises(error, match=message):
            er.pp.assemble(genes=genes, enhancers=elements, samples=change.get("samples", ["K562"]), genome=fasta)

    def test_missing_columns_and_empty_tables_are_named(self, genes, elements, fasta):
        with pytest.raises(ValueError, match="'tss'"):
            er.pp.assemble(genes=genes.drop(columns="TSS"), enhancers=elements, samples="K562", genome=fasta)
        with pytest.raises(ValueError, match="no column has gene ids"):
            er.pp.assemble(genes=genes.drop(columns="gene_id"), enhancers=elements, samples="K562", genome=fasta)
        with pytest.raises(ValueError, match="empty"):
            er.pp.assemble(genes=genes, enhancers=elements.iloc[:0], samples="K562", genome=fasta)

    def test_biosamples_and_tables_must_agree(self, genes, elements, fasta):
        with pytest.raises(KeyError, match="GM12878"):
            er.pp.assemble(genes=genes, enhancers={"GM12878": elements}, samples=["K562"], genome=fasta)
        with pytest.raises(KeyError, match="no candidate elements for biosample GM12878"):
            er.pp.assemble(genes=genes, enhancers={"K562": elements}, samples=["K562", "GM12878"], genome=fasta)


class TestSignal:
    def test_a_series_is_aligned_by_name(self, genes, elements, fasta):
        mdata = er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome=fasta)
        names = elements["chrom"] + ":" + elements["start"].astype(str) + "-" + elements["end"].astype(str)
        er.pp.add_signal(mdata, {"K562": pd.Series(elements["DHS"].to_numpy(), index=names)}, assay="DNase")
        assert mdata["enhancers"].layers["DNase"].tolist() == [[3, 2, 1]]

    def test_replicates_and_their_mean(self):
        mdata = three_genes(["K562", "GM12878", "HepG2"])
        tracks = {"GM12878": np.ones(4), "K562": np.array([[1, 2, 3, 4], [3, 2, 1, 0]])}
        er.pp.add_signal(mdata, tracks, assay="H3K27ac")
        layers = mdata["enhancers"].layers
        np.testing.assert_array_equal(layers["H3K27ac"], [[2, 2, 2, 2], [1, 1, 1, 1], [np.nan] * 4])
        np.testing.assert_array_equal(layers["H3K27ac_rep2"], [[3, 2, 1, 0], [np.nan] * 4, [np.nan] * 4])
        assert all(layers[name].dtype == np.float32 for name in layers if name is not None)
        validate(mdata)

    def test_fewer_replicates_leave_none_of_the_old(self):
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": np.ones((3, 4))}, assay="DNase")
        er.pp.add_signal(mdata, {"K562": np.ones(4)}, assay="DNase")
        assert not [name for name in mdata["enhancers"].layers if name and "_rep" in name]

    def test_a_frame_holds_one_replicate_per_column(self):
        mdata = three_genes()
        names = mdata["enhancers"].var_names
        er.pp.add_signal(mdata, {"K562": pd.DataFrame({"a": 1.0, "b": 3.0}, index=names[::-1])}, assay="DNase")
        assert mdata["enhancers"].layers["DNase"].tolist() == [[2, 2, 2, 2]]

    def test_names_are_needed_only_for_candidates(self):
        mdata = three_genes()
        mdata["enhancers"].layers["candidate"][0, 1] = 0
        counts = by_name(mdata, "enhancers", [1, 2, 3, 4]).drop(mdata["enhancers"].var_names[1])
        er.pp.add_signal(mdata, {"K562": counts}, assay="DNase")
        np.testing.assert_array_equal(mdata["enhancers"].layers["DNase"], [[1, np.nan, 3, 4]])
        with pytest.raises(ValueError, match="lacks 1 of 3 elements, first 'chr1:4500-5000'"):
            er.pp.add_signal(mdata, {"K562": counts.iloc[1:]}, assay="DNase")

    def test_arrays_after_sorting_are_warned_about(self, genes, elements, fasta, caplog):
        mdata = er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome=fasta)
        er.pp.add_signal(mdata, {"K562": np.ones(3)}, assay="DNase")
        assert "order" in caplog.text

    @pytest.mark.parametrize(
        ("tracks", "error", "message"),
        [
            ({"HeLa": np.ones(4)}, KeyError, "HeLa"),
            ({"K562": np.ones(5)}, ValueError, "5 values .* 4 elements"),
            ({"K562": np.array([0, -1, -2, 1.0])}, ValueError, "2 value.*first -1.0 at chr1:8000-8500"),
            ({"K562": np.array([0, 1, np.inf, 1.0])}, ValueError, "chr1:14000-14600"),
            ({"K562": []}, ValueError, "replicate|values"),
            ({"K562": "counts.bam"}, FileNotFoundError, "counts.bam"),
            ({"K562": pd.Series(dtype=float)}, ValueError, "empty"),
        ],
    )
    def test_bad_input_changes_nothing(self, tracks, error, message):
        mdata = three_genes()
        with pytest.raises(error, match=message):
            er.pp.add_signal(mdata, tracks, assay="DNase")
        assert list(mdata["enhancers"].layers) == list(three_genes()["enhancers"].layers)

    @pytest.mark.parametrize("assay", ["candidate", "DNase_rep1", "a/b", ""])
    def test_names_that_mean_something_else(self, assay):
        with pytest.raises(ValueError, match="cannot name a layer"):
            er.pp.add_signal(three_genes(), {"K562": np.ones(4)}, assay=assay)

    def test_copy_leaves_the_object(self):
        mdata = three_genes()
        new = er.pp.add_signal(mdata, {"K562": np.ones(4)}, assay="DNase", copy=True)
        assert "DNase" in new["enhancers"].layers
        assert "DNase" not in mdata["enhancers"].layers

    def test_views_are_refused(self):
        with pytest.raises(ValueError, match=r"is a view; make it real with \.copy\(\)"):
            er.pp.add_signal(three_genes()[["K562"]], {"K562": np.ones(4)}, assay="DNase")

    def test_bigwig_windows_and_sums(self, tmp_path):
        bigwig = pytest.importorskip("pyBigWig")
        path = tmp_path / "signal.bw"
        with bigwig.open(str(path), "w") as file:
            file.addHeader([("chr1", 20_000), ("chr2", 10_000)])
            file.addEntries(["chr1", "chr2"], [4_990, 4_990], ends=[5_010, 5_010], values=[2.0, 0.5])
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": str(path)}, assay="DNase")
        np.testing.assert_allclose(mdata["enhancers"].layers["DNase"], [[20, 0, 0, 0]])
        er.pp.add_signal(mdata, {"K562": [path, path]}, assay="CAGE", modality="genes")
        np.testing.assert_allclose(mdata["genes"].layers["CAGE"], [[0, 0, 10]])
        er.pp.add_signal(mdata, {"K562": path}, assay="DNase", modality="genes", window=1_001)
        np.testing.assert_allclose(mdata["genes"].layers["DNase"], [[22, 0, 10]])


class TestActivity:
    def test_geometric_mean_of_normalised_replicates(self):
        mdata = three_genes(["K562", "GM12878"])
        er.pp.add_signal(mdata, {"K562": np.array([[2, 0, 4, 1], [4, 2, 8, 1]]), "GM12878": np.ones(4)}, assay="DNase")
        er.pp.add_signal(mdata, {"K562": np.array([9, 9, 0, 1])}, assay="H3K27ac")
        totals = {"DNase": {"K562": [2e6, 4e6], "GM12878": 1e6}, "H3K27ac": {"K562": 1e6}}
        er.pp.activity(mdata, totals=totals)
        expected = np.sqrt(np.mean([[1, 0, 2, 0.5], [1, 0.5, 2, 0.25]], axis=0) * [9, 9, 0, 1])
        np.testing.assert_allclose(mdata["enhancers"].layers["activity"][0], expected, rtol=1e-6)
        assert np.isnan(mdata["enhancers"].layers["activity"][1]).all()
        np.testing.assert_array_equal(mdata["enhancers"].X, mdata["enhancers"].layers["activity"])
        table = mdata.uns["eregtools"]["totals"]["DNase"]
        assert table.loc["K562"].tolist() == [2e6, 4e6]
        assert table.loc["GM12878", "rep1"] == 1e6
        validate(mdata)

    def test_without_totals_values_are_taken_as_they_are(self):
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": np.array([1.0, 8, 27, 0])}, assay="a")
        er.pp.activity(mdata, assays=["a", "a", "a"])
        np.testing.assert_allclose(mdata["enhancers"].layers["activity"], [[1, 8, 27, 0]], rtol=1e-6)

    def test_promoters(self):
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": np.array([4.0, 0, 1])}, assay="DNase", modality="genes")
        er.pp.add_signal(mdata, {"K562": np.array([9.0, 1, 1])}, assay="H3K27ac", modality="genes")
        er.pp.promoter_activity(mdata, totals={"DNase": 1e6, "H3K27ac": 1e6})
        np.testing.assert_allclose(mdata["genes"].layers["promoter_activity"], [[6, 0, 1]])

    @pytest.mark.parametrize(
        ("totals", "error", "message"),
        [
            ({"DNase": 1e6}, ValueError, r"1 total\(s\) for 2 replicate"),
            ({"DNase": [1e6, 0]}, ValueError, "above 0"),
            ({"DNase": {"HeLa": [1, 1]}}, KeyError, "HeLa"),
            ({"DNase": {}}, KeyError, "K562"),
            ({"H3K27ac": 1e6}, KeyError, "H3K27ac"),
        ],
    )
    def test_bad_totals_change_nothing(self, totals, error, message):
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": np.ones((2, 4))}, assay="DNase")
        with pytest.raises(error, match=message):
            er.pp.activity(mdata, assays=["DNase"], totals=totals)
        assert "activity" not in mdata["enhancers"].layers
        assert "totals" not in mdata.uns["eregtools"]

    def test_a_missing_assay_names_the_call(self):
        with pytest.raises(KeyError, match=r"add_signal\(mdata, …, assay=\\?\"DNase"):
            er.pp.activity(three_genes())


class TestContacts:
    def test_power_law(self):
        mdata = three_genes()
        er.pp.link(mdata)
        er.pp.add_contacts(mdata)
        distance = np.abs(mdata["links"].var["distance"].to_numpy(dtype=float))
        expected = np.exp(5.9594510043736655 - 1.024238616787792 * np.log(np.maximum(distance, 5_000) + 1))
        np.testing.assert_allclose(mdata["links"].layers["contact"][0], expected, rtol=1e-6)
        assert mdata.uns["eregtools"]["contacts"]["fallback"] == "powerlaw"

    def test_measured_values_win(self):
        mdata = three_genes(["K562", "GM12878"])
        er.pp.link(mdata)
        one = mdata["links"].var_names[1]
        er.pp.add_contacts(mdata, {"GM12878": pd.Series({one: 0.5})})
        assert mdata["links"].layers["contact"][1, 1] == 0.5
        assert mdata["links"].layers["contact"][1, 0] == mdata["links"].layers["contact"][0, 0]
        assert mdata.uns["eregtools"]["contacts"]["counts"]["measured"].tolist() == [0, 1]
        er.pp.add_contacts(mdata, {"GM12878": pd.Series({one: 0.5})}, fallback=None)
        assert np.isnan(mdata["links"].layers["contact"]).sum() == 2 * mdata["links"].n_vars - 1
        validate(mdata)

    @pytest.mark.parametrize(
        ("contacts", "error", "message"),
        [
            ("map.hic", FileNotFoundError, "map.hic"),
            ({"K562": "map.hic"}, FileNotFoundError, "map.hic"),
            ({"HeLa": np.ones(3)}, KeyError, "HeLa"),
            ({"K562": np.ones(3)}, ValueError, "links"),
            ({"K562": np.full(7, -1.0)}, ValueError, "negative"),
        ],
    )
    def test_bad_input(self, contacts, error, message):
        mdata = three_genes()
        er.pp.link(mdata)
        with pytest.raises(error, match=message):
            er.pp.add_contacts(mdata, contacts)
        assert "contact" not in mdata["links"].layers

    def test_links_come_first(self):
        with pytest.raises(KeyError, match=r"er\.pp\.link"):
            er.pp.add_contacts(three_genes())


class TestExpression:
    def test_a_table_is_aligned_by_gene(self, caplog):
        mdata = three_genes(["K562", "GM12878"])
        table = pd.DataFrame({"gene": ["g3", "g1", "other"], "GM12878": [3.0, 1.0, 7.0]})
        with caplog.at_level(logging.INFO, logger="eregtools"):
            er.pp.add_expression(mdata, table, assay="RNA")
        np.testing.assert_array_equal(mdata["genes"].layers["RNA"], [[np.nan] * 3, [1, np.nan, 3]])
        assert "RNA of GM12878: 1 of 3 genes get NaN" in caplog.text

    def test_the_first_assay_is_x(self):
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": np.ones(3)}, assay="DNase", modality="genes")
        er.pp.add_expression(mdata, {"K562": np.array([1.0, 2, 3])}, assay="RNA")
        er.pp.add_expression(mdata, {"K562": np.array([4.0, 5, 6])}, assay="CAGE")
        assert mdata["genes"].X.tolist() == [[1, 2, 3]]
        er.pp.add_expression(mdata, {"K562": np.array([7.0, 8, 9])}, assay="RNA")
        assert mdata["genes"].X.tolist() == [[7, 8, 9]]

    def test_versions_of_ids_do_not_matter(self, genes, elements, fasta):
        mdata = er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome=fasta)
        er.pp.add_expression(mdata, {"K562": pd.Series({"ENSG00000000002.99": 5.0})}, assay="RNA")
        assert mdata["genes"].layers["RNA"][0, 2] == 5

    def test_transforms(self):
        mdata = three_genes(["K562", "GM12878"])
        table = pd.DataFrame({"K562": [0.0, 9, 99], "GM12878": [1.0, 2, np.nan]}, index=["g1", "g2", "g3"])
        er.pp.add_expression(mdata, table, assay="CAGE", transform="log10(1+x)")
        np.testing.assert_allclose(mdata["genes"].layers["CAGE"][0], [0, 1, 2])
        er.pp.add_expression(mdata, table, assay="RNA", transform="zscore(log10(x+0.1))")
        logs = np.log10(table.to_numpy().T + 0.1)
        expected = (logs - np.nanmean(logs, axis=1, keepdims=True)) / np.nanstd(logs, axis=1, keepdims=True)
        np.testing.assert_allclose(mdata["genes"].layers["RNA"], expected, rtol=1e-6)
        kept = mdata.uns["eregtools"]["transforms"]["RNA"]
        assert kept["name"] == "zscore(log10(x+0.1))"
        np.testing.assert_allclose(kept["moments"]["sd"], np.nanstd(logs, axis=1))
        validate(mdata)

    @pytest.mark.parametrize(
        ("table", "transform", "error", "message"),
        [
            ({"K562": pd.Series({"ENSG1": 1.0})}, None, ValueError, "ENSG1.*g1"),
            ({"HeLa": np.ones(3)}, None, KeyError, "HeLa"),
            ({"K562": np.array([1, -1, 2.0])}, "log10(1+x)", ValueError, "1 value.*negative"),
            ({"K562": np.ones(3)}, "zscore(log10(x+0.1))", ValueError, "one value"),
            ({"K562": np.ones(3)}, "log", ValueError, "expected None"),
            ({"K562": np.ones(4)}, None, ValueError, "3 genes"),
            ({"K562": pd.Series(["a"], index=["g1"])}, None, ValueError, "no numbers"),
            ({"K562": pd.Series([1.0, 2.0], index=["g1", "g1"])}, None, ValueError, "more than once"),
        ],
    )
    def test_bad_input_changes_nothing(self, table, transform, error, message):
        mdata = three_genes()
        with pytest.raises(error, match=message):
            er.pp.add_expression(mdata, table, assay="RNA", transform=transform)
        assert mdata["genes"].X is None
        assert "transforms" not in mdata.uns["eregtools"]

    def test_mrna_features(self):
        mdata = three_genes()
        table = pd.DataFrame(np.arange(16).reshape(2, 8), columns=list(MRNA_FEATURES)[::-1], index=["g2", "other"])
        er.pp.mrna_features(mdata, table)
        frame = mdata["genes"].varm["mrna_features"]
        assert tuple(frame.columns) == MRNA_FEATURES
        assert frame.loc["g2"].tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
        assert frame.loc["g1"].isna().all()
        assert (frame.dtypes == np.float32).all()
        validate(mdata)
        with pytest.raises(ValueError, match="UTR5GC"):
            er.pp.mrna_features(mdata, table.drop(columns="UTR5GC"))


class TestSplit:
    def test_epipam8(self):
        chromosomes = [f"chr{i}" for i in [*range(1, 23), "X", "Y", "M"]]
        table = sampling.fold_table("epipam8", chromosomes)
        assert list(table.index[table["0"] == "test"]) == ["chr1", "chr2", "chr3"]
        assert list(table.index[table["7"] == "test"]) == ["chr22", "chrX"]
        assert list(table.index[table["7"] == "valid"]) == ["chr1", "chr2", "chr3"]
        assert (table.loc[["chrY", "chrM"]] == "train").all(axis=None)

    def test_epinformer12(self):
        table = sampling.fold_table("epinformer12", [str(i) for i in [*range(1, 23), "X", "Y"]])
        assert list(table.index[table["1"] == "valid"]) == ["1", "11"]
        assert list(table.index[table["1"] == "test"]) == ["2", "12"]
        assert list(table.index[table["11"] == "test"]) == ["22", "X"]
        assert list(table.index[table["12"] == "test"]) == ["1"]
        assert ((table == "test").sum(axis=1).drop("Y") == 1).all()

    def test_own_folds(self):
        mdata = three_genes()
        er.pp.split(mdata, {1: {"test": ["1"], "valid": ["chr2"]}}, key_added="mine")
        assert mdata["genes"].var["mine"].tolist() == [1, 1, -1]
        assert mdata["genes"].var["mine"].dtype == np.int16
        assert mdata.uns["eregtools"]["folds"]["custom"].loc["chr2", "1"] == "valid"
        assert mdata.uns["eregtools"]["fold_schemes"] == {"mine": "custom"}
        validate(mdata)

    @pytest.mark.parametrize(
        ("scheme", "message"),
        [
            ("tenfold", "unknown scheme"),
            ({1: {"test": ["chr1"]}, 2: {"test": ["chr1"]}}, "tested by folds 1 and 2"),
            ({1: {"test": []}}, "tests no chromosome"),
            ({1: {"test": ["chr1"], "valid": ["chr1"]}}, "validates and tests"),
            ({1: {"test": ["chr7"]}}, "does not have"),
            ({"a": {"test": ["chr1"]}}, "not numbered"),
            ({1: {"test": ["chr1"], "held": ["chr2"]}}, "held"),
            ({}, "no folds"),
        ],
    )
    def test_bad_schemes(self, scheme, message):
        mdata = three_genes()
        with pytest.raises(ValueError, match=message):
            er.pp.split(mdata, scheme)
        assert "folds" not in mdata.uns["eregtools"]

    def test_published_folds(self, shared):
        published = pd.read_csv(
            shared / "data/epinformer/leave_chrom_out_split_18377genes.tsv.gz", sep="\t", dtype={"chrom": str}
        )
        table = sampling.fold_table("epinformer12", [f"chr{c}" for c in published["chrom"].unique()])
        ours = table.loc["chr" + published["chrom"]].astype(str).to_numpy()
        np.testing.assert_array_equal(ours, published[[f"fold_{i}" for i in range(1, 13)]].to_numpy())
        counts = [2177, 1320, 1303, 1364, 1720, 1877, 882, 2047, 1210, 1414, 1167, 1896]
        assert (ours == "test").sum(axis=0).tolist() == counts
        assert ((ours == "test").sum(axis=1) == 1).all()


class TestSubset:
    @pytest.fixture
    def mdata(self):
        mdata = three_genes(["K562", "GM12878"])
        er.pp.add_signal(mdata, {"GM12878": np.arange(4.0)}, assay="DNase")
        er.pp.link(mdata, max_distance=5_000)
        return mdata

    def test_genes_bring_their_links_and_elements(self, mdata):
        one = er.pp.subset(mdata, genes="BETA")
        assert list(one["genes"].var_names) == ["g2"]
        assert list(one["enhancers"].var_names) == ["chr1:8000-8500", "chr1:14000-14600"]
        assert set(one["links"].var["gene"]) == {"g2"}
        np.testing.assert_array_equal(one["enhancers"].layers["DNase"][1], [1, 2])
        validate(one)

    def test_region(self, mdata):
        part = er.pp.subset(mdata, region="chr1:4,999-6,001")
        assert list(part["genes"].var_names) == ["g1"]
        assert list(part["enhancers"].var_names) == ["chr1:4500-5000"]
        assert list(part["links"].var_names) == ["chr1:4500-5000|g1"]
        validate(part)
        assert er.pp.subset(mdata, region=("chr1", 5_000, 6_001))["enhancers"].n_vars == 0

    def test_ernas_follow_their_elements(self, mdata):
        var = pd.DataFrame(
            {"Chromosome": ["chr1", "chr1"], "Start": [8_400, 4_000], "End": [9_000, 4_501]}, index=["a", "b"]
        )
        mdata.mod["ernas"] = AnnData(obs=pd.DataFrame(index=mdata.obs_names), var=var)
        mdata.update()
        assert list(er.pp.subset(mdata, genes="g2")["ernas"].var_names) == ["a"]
        assert list(er.pp.subset(mdata, region="chr1:4,000-4,100")["ernas"].var_names) == ["b"]

    def test_samples_are_reordered_and_the_object_is_new(self, mdata):
        part = er.pp.subset(mdata, samples=["GM12878"])
        assert list(part.obs_names) == ["GM12878"]
        part["enhancers"].layers["DNase"][:] = 0
        part.uns["eregtools"]["genome"] = "other"
        assert mdata["enhancers"].layers["DNase"][1, 3] == 3
        assert mdata.uns["eregtools"]["genome"] == "toy"
        validate(part)

    def test_bad_input(self, mdata):
        with pytest.raises(KeyError, match="g9"):
            er.pp.subset(mdata, genes=["g1", "g9"])
        with pytest.raises(KeyError, match="HeLa"):
            er.pp.subset(mdata, samples="HeLa")
        with pytest.raises(ValueError, match="expected 'chr1:1,000-2,000'"):
            er.pp.subset(mdata, region="chr1")
        with pytest.raises(ValueError, match="neither a gene nor an element"):
            er.pp.subset(mdata, region="chr2:1-2")
        with pytest.raises(KeyError, match=r"er\.pp\.link"):
            er.pp.subset(three_genes(), genes="g1")


def test_genes_of_the_table_that_the_object_does_not_have_are_counted(caplog):
    mdata = er.datasets.three_genes()
    table = pd.DataFrame({"K562": [1.0, 2, 3, 4, 5]}, index=["g1", "x1", "x2", "x3", "x4"])
    with caplog.at_level("INFO", logger="eregtools"):
        er.pp.add_expression(mdata, table, assay="RNA")
    assert "4 of 5 genes of the table are not in the object, first x1, x2, x3" in caplog.text


def test_neighbours_upstream_and_downstream(tmp_path):
    fasta = tmp_path / "n.fa"
    fasta.write_text(">chr1\n" + "A" * 5000 + "\n>chr2\n" + "C" * 5000 + "\n")
    genes = pd.DataFrame(
        {
            "chrom": ["chr1", "chr2", "chr1", "chr1"],
            "tss": [3_000, 700, 1_000, 1_800],
            "strand": ["-", "+", "+", "."],
        },
        index=["late", "alone", "early", "middle"],
    )
    elements = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [200]})
    mdata = er.pp.assemble(genes=genes, enhancers=elements, samples=["A", "B"], genome=fasta)
    of = {"late": 3.0, "alone": 9.0, "early": 1.0, "middle": 2.0}
    values = np.array([of[name] for name in mdata["genes"].var_names])
    er.pp.add_signal(mdata, {"A": values, "B": 10 * values}, assay="promoter_activity", modality="genes")
    er.pp.neighbour_activity(mdata)
    tables = {
        key: mdata["genes"].to_df(key)
        for key in mdata["genes"].layers
        if key and key.endswith(("_activity", "_distance"))
    }
    assert tables["upstream_activity"].loc["A"].to_dict() == {"early": 0, "middle": 1, "late": 0, "alone": 0}
    assert tables["downstream_activity"].loc["B"].to_dict() == {"early": 20, "middle": 30, "late": 20, "alone": 0}
    assert tables["upstream_distance"].loc["A"].to_dict() == {"early": 0, "middle": 800, "late": 0, "alone": 0}
    assert tables["downstream_distance"].loc["A"].to_dict() == {"early": 800, "middle": 1200, "late": 1200, "alone": 0}
