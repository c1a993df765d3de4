"""Links for WashU's browser, and regions to and from the AnnData of CREsted and gReLU."""

from __future__ import annotations

import gzip

import anndata as ad
import numpy as np
import pandas as pd
import pysam
import pytest
from scipy import sparse

import eregtools as er
from eregtools._schema import validate
from eregtools.datasets.toy import three_genes


@pytest.fixture
def linked():
    mdata = three_genes(["a", "b"])
    er.pp.link(mdata)
    er.pp.add_contacts(mdata)
    rng = np.random.default_rng(0)
    mdata["links"].layers["score"] = rng.normal(size=mdata["links"].shape).astype(np.float32)
    return mdata


class TestLongrange:
    def read(self, text):
        rows = [line.split("\t") for line in text.splitlines()]
        return [(chrom, int(start), int(end), other) for chrom, start, end, other in rows]

    def test_each_link_is_at_both_ends(self, linked, tmp_path):
        er.io.write_longrange(linked, tmp_path / "l.longrange", layer="score", sample="b")
        rows = self.read((tmp_path / "l.longrange").read_text())
        wanted = er.get.links(linked, sample="b", layers="score")
        tss = linked["genes"].var["tss"].loc[wanted["gene"]].to_numpy()
        assert len(rows) == 2 * len(wanted)
        assert rows == sorted(rows, key=lambda row: row[:3])
        there = set(rows)
        for (_, link), at in zip(wanted.iterrows(), tss, strict=True):
            value = next(row[3].split(",")[1] for row in rows if row[1] == link["Start"] and f":{at}-" in row[3])
            assert np.float32(value) == np.float32(link["score"])
            chrom, start, end = link["Chromosome"], link["Start"], link["End"]
            assert (chrom, start, end, f"{chrom}:{at}-{at + 1},{value}") in there
            assert (chrom, at, at + 1, f"{chrom}:{start}-{end},{value}") in there

    def test_compressed_files_have_an_index(self, linked, tmp_path):
        path = tmp_path / "l.longrange.gz"
        er.io.write_longrange(linked, path, layer="score", sample="a")
        er.io.write_longrange(linked, tmp_path / "plain", layer="score", sample="a")
        assert gzip.decompress(path.read_bytes()).decode() == (tmp_path / "plain").read_text()
        with pysam.TabixFile(str(path)) as file:
            assert file.contigs == ["chr1", "chr2"]
            rows = [line.split("\t") for line in file.fetch("chr1", 7_999, 8_001)]
        assert {row[1] for row in rows} == {"8000"}
        assert sorted(found.name for found in tmp_path.iterdir()) == ["l.longrange.gz", "l.longrange.gz.tbi", "plain"]

    def test_threshold_and_bad_input(self, linked, tmp_path):
        er.io.write_longrange(linked, tmp_path / "l", layer="score", sample="a", threshold=0.0)
        values = [float(row[3].split(",")[1]) for row in self.read((tmp_path / "l").read_text())]
        assert min(values) >= 0
        with pytest.raises(ValueError, match="no link is left to write"):
            er.io.write_longrange(linked, tmp_path / "x", layer="score", sample="a", threshold=9)
        with pytest.raises(FileNotFoundError, match="does not exist"):
            er.io.write_longrange(linked, tmp_path / "no" / "x.gz", layer="score", sample="a")
        assert [found.name for found in tmp_path.iterdir()] == ["l"]


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    fasta = tmp_path_factory.mktemp("genome") / "toy.fa"
    fasta.write_text("".join(f">{name}\n{'ACGT' * 25_000}\n" for name in ("chr1", "chr2", "chr3")))
    return er.Genome(fasta, name="regions")


GENES = pd.DataFrame(
    {"chrom": ["chr1", "chr2", "chr3"], "tss": [40_000, 41_000, 42_000], "strand": ["+", "-", "+"]},
    index=["g1", "g2", "g3"],
)


def intervals(n=30, seed=1):
    rng = np.random.default_rng(seed)
    start = rng.permutation(n) * 3_000 + 500
    return pd.DataFrame({"chr": rng.choice(["chr1", "chr2", "chr3"], n), "start": start, "end": start + 500})


def crested(n=30):
    """Cell types × regions as `import_bigwigs` and `train_val_test_split(strategy="chr")` leave them."""
    var = intervals(n)
    var.index = var["chr"] + ":" + var["start"].astype(str) + "-" + var["end"].astype(str)
    var["split"] = var["chr"].map({"chr1": "train", "chr2": "val", "chr3": "test"})
    obs = pd.DataFrame({"file_path": ["a.bw", "b.bw"]}, index=["Astro", "Micro"])
    values = np.random.default_rng(2).gamma(2, size=(2, n)).astype(np.float32)
    return ad.AnnData(values, obs=obs, var=var)


def grelu(n=30):
    """Cell types × elements, binary and sparse, names that say nothing."""
    var = intervals(n, seed=3).rename(columns={"chr": "chrom"})
    var.index = var.index.astype(str)
    values = sparse.csr_matrix((np.random.default_rng(4).random((3, n)) < 0.4).astype(np.int8))
    obs = pd.DataFrame({"cell type": ["T", "B", "NK"]}, index=["t0", "t1", "t2"])
    return ad.AnnData(values, obs=obs, var=var)


class TestRegions:
    def test_crested_and_back(self, genome):
        adata = crested()
        mdata = er.pp.assemble_regions(adata, genes=GENES, genome=genome, assay="ATAC")
        validate(mdata)
        assert mdata.obs_names.tolist() == ["Astro", "Micro"]
        assert mdata.obs["file_path"].tolist() == ["a.bw", "b.bw"]
        found = mdata["enhancers"].to_df("ATAC")[adata.var_names]
        np.testing.assert_array_equal(found.to_numpy(), adata.X)
        back = er.io.to_region_anndata(mdata, layer="ATAC")[:, adata.var_names]
        np.testing.assert_array_equal(back.X, adata.X)
        pd.testing.assert_frame_equal(
            back.var.astype({"split": str}), adata.var[["chr", "start", "end", "split"]], check_dtype=False
        )
        assert back.obs["file_path"].tolist() == adata.obs["file_path"].tolist()

    def test_the_split_becomes_a_fold(self, genome):
        mdata = er.pp.assemble_regions(crested(), genes=GENES, genome=genome, assay="ATAC")
        table = mdata.uns["eregtools"]["folds"]["custom"]["1"].astype(str).to_dict()
        assert table == {"chr1": "train", "chr2": "valid", "chr3": "test"}
        assert mdata["genes"].var["fold"].tolist() == [-1, -1, 1]

    def test_a_split_within_chromosomes_makes_no_folds(self, genome, caplog):
        adata = crested()
        adata.var["split"] = np.resize(["train", "val", "test"], adata.n_vars)
        with caplog.at_level("WARNING", logger="eregtools"):
            mdata = er.pp.assemble_regions(adata, genes=GENES, genome=genome, assay="ATAC")
        assert "neighbours are trained on and tested" in caplog.text
        assert "folds" not in mdata.uns["eregtools"]
        back = er.io.to_region_anndata(mdata, layer="ATAC")[:, adata.var_names]
        assert back.var["split"].tolist() == adata.var["split"].tolist()

    def test_grelu_and_back(self, genome):
        adata = grelu()
        mdata = er.pp.assemble_regions(adata, genes=GENES, genome=genome, assay="ATAC", candidates="nonzero")
        validate(mdata)
        values = adata.X.toarray()
        kept = values.any(axis=0)
        names = (adata.var["chrom"] + ":" + adata.var["start"].astype(str) + "-" + adata.var["end"].astype(str))[kept]
        found = mdata["enhancers"].to_df("candidate")
        assert set(found) == set(names)
        np.testing.assert_array_equal(found[names].to_numpy(), values[:, kept])
        back = er.io.to_region_anndata(mdata, layer="ATAC", style="grelu")[:, names]
        assert back.var.columns.tolist() == ["chrom", "start", "end"]
        np.testing.assert_array_equal(back.X, values[:, kept])
        assert back.obs["cell type"].tolist() == ["T", "B", "NK"]

    def test_files_names_and_links(self, genome, tmp_path):
        adata = crested()
        adata.var = adata.var[[]]
        adata.write_h5ad(tmp_path / "regions.h5ad")
        mdata = er.pp.assemble_regions(tmp_path / "regions.h5ad", genes=GENES, genome=genome, assay="ATAC")
        er.pp.link(mdata)
        er.io.write(mdata, tmp_path / "x.h5mu")
        assert er.io.read(tmp_path / "x.h5mu")["links"].n_vars > 10

    def test_folds_and_biosamples_of_ours(self, genome, tmp_path):
        mdata = er.pp.assemble_regions(grelu(), genes=GENES, genome=genome, assay="ATAC")
        er.pp.split(mdata, {4: {"valid": ["chr1"], "test": ["chr2"]}})
        adata = er.io.to_region_anndata(mdata, layer="ATAC", fold=4, sample=["t2", "t0"])
        assert adata.obs_names.tolist() == ["t2", "t0"]
        assert dict(zip(adata.var["chr"], adata.var["split"], strict=True)) == {
            "chr1": "val",
            "chr2": "test",
            "chr3": "train",
        }
        adata.write_h5ad(tmp_path / "back.h5ad")
        with pytest.raises(KeyError, match="has no fold 1; it has 4"):
            er.io.to_region_anndata(mdata, layer="ATAC", fold=1)

    def test_what_is_not_known_is_not_invented(self, genome):
        adata = crested()
        adata.X[0, 3] = np.nan
        mdata = er.pp.assemble_regions(adata, genes=GENES, genome=genome, assay="ATAC")
        with pytest.raises(ValueError, match=r"has 1 of 60 values that are not known"):
            er.io.to_region_anndata(mdata, layer="ATAC")
        assert er.io.to_region_anndata(mdata, layer="ATAC", missing=-1)[:, adata.var_names[3]].X[0, 0] == -1
        assert er.io.to_region_anndata(mdata, layer="ATAC", sample="Micro").n_obs == 1

    def test_columns_count_where_names_are_of_another_width(self, genome, caplog):
        adata = crested()
        adata.var["start"] -= 100
        with caplog.at_level("WARNING", logger="eregtools"):
            _, table = er.io.region_table(adata)
        assert "30 names are not the interval of their row" in caplog.text
        assert table["Start"].tolist() == adata.var["start"].tolist()

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            (lambda a: a.var.drop(columns=["end"], inplace=True), ValueError, "no column for End"),
            (lambda a: a.var.__setitem__("start", 1.5), ValueError, "'start' are no whole numbers, first 1.5"),
            (lambda a: a.var.__setitem__("chrom", "chr9"), KeyError, "chr9"),
            (lambda a: a.var.__setitem__("end", 10**9), ValueError, "end"),
            (lambda a: a.var.__setitem__("split", "left"), ValueError, "split holds left; expected train, val, test"),
            (lambda a: a.var.update(a.var.iloc[[0] * 30].set_axis(a.var_names)), ValueError, "more than once"),
        ],
    )
    def test_bad_regions(self, genome, change, error, message):
        adata = grelu()
        change(adata)
        with pytest.raises(error, match=message):
            er.pp.assemble_regions(adata, genes=GENES, genome=genome, assay="ATAC")

    def test_bad_arguments(self, genome, tmp_path):
        adata = grelu()
        common = {"genes": GENES, "genome": genome}
        with pytest.raises(KeyError, match="no layer 'log'; there are none"):
            er.pp.assemble_regions(adata, assay="ATAC", layer="log", **common)
        with pytest.raises(ValueError, match="expected 'all' or 'nonzero'"):
            er.pp.assemble_regions(adata, assay="ATAC", candidates="some", **common)
        with pytest.raises(ValueError, match="cannot name a layer"):
            er.pp.assemble_regions(adata, assay="candidate", **common)
        with pytest.raises(FileNotFoundError, match=r"none.h5ad does not exist"):
            er.pp.assemble_regions(tmp_path / "none.h5ad", assay="ATAC", **common)
        (tmp_path / "bad.h5ad").write_text("text")
        with pytest.raises(ValueError, match=r"damaged or no \.h5ad"):
            er.pp.assemble_regions(tmp_path / "bad.h5ad", assay="ATAC", **common)
        mdata = er.pp.assemble_regions(adata, assay="ATAC", **common)
        with pytest.raises(ValueError, match="expected 'crested' or 'grelu'"):
            er.io.to_region_anndata(mdata, layer="ATAC", style="basenji")
        with pytest.raises(KeyError, match="no layer 'DNase'"):
            er.io.to_region_anndata(mdata, layer="DNase")
