"""Signal from BAM and bigWig files, and the moments that transforms of expression keep."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.datasets.toy import three_genes

pysam = pytest.importorskip("pysam")


def write_bam(path, reads, references=(("chr1", 20_000), ("chr2", 10_000))):
    """Reads ``[(chromosome number, start, length, flag)]``."""
    names, lengths = zip(*references, strict=True)
    unsorted = path.with_name(f"unsorted_{path.name}")
    with pysam.AlignmentFile(str(unsorted), "wb", reference_names=names, reference_lengths=lengths) as file:
        for number, (reference, start, length, flag) in enumerate(reads):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.reference_id, read.reference_start = f"r{number}", reference, start
            read.cigarstring, read.flag, read.mapping_quality = f"{length}M", flag, 60
            file.write(read)
    pysam.sort("-o", str(path), str(unsorted))
    return path


READS = [
    (0, 4_400, 101, 0),  # its last base is the first of 4,500-5,000
    (0, 4_400, 100, 0),  # ends before
    (0, 4_999, 50, 16),
    (0, 4_700, 50, 1_024),  # a duplicate
    (1, 7_100, 30, 0),
    (0, 5_807, 10, 0),  # 6,000 - 192 is 5,808
    (0, 6_192, 10, 0),  # [5,808, 6,192) has ended
    (1, 4_500, 10, 0),
]


def write_bigwig(path, entries, sizes=(("chr1", 20_000), ("chr2", 10_000))):
    bigwig = pytest.importorskip("pyBigWig")
    with bigwig.open(str(path), "w") as file:
        file.addHeader(list(sizes))
        chromosomes, starts, ends, values = zip(*entries, strict=True)
        file.addEntries(list(chromosomes), list(starts), ends=list(ends), values=list(values))
    return path


class TestBam:
    def test_reads_that_overlap_count(self, tmp_path):
        mdata = three_genes()
        path = write_bam(tmp_path / "reads.bam", READS)
        er.pp.add_signal(mdata, {"K562": [path, str(path)]}, assay="DNase")
        np.testing.assert_array_equal(mdata["enhancers"].layers["DNase"], [[2, 0, 0, 1]])
        np.testing.assert_array_equal(mdata["enhancers"].layers["DNase_rep2"], [[2, 0, 0, 1]])
        total = er.io.bam.bam_total(path)
        assert total == len(READS) - 1
        er.pp.activity(mdata, assays=["DNase"], totals={"DNase": [total, total]})
        np.testing.assert_allclose(mdata["enhancers"].X, [[2e6 / 7, 0, 0, 1e6 / 7]])
        validate(mdata)

    def test_cage_is_counted_around_the_tss(self, tmp_path):
        mdata = three_genes()
        path = write_bam(tmp_path / "reads.bam", READS)
        er.pp.add_signal(mdata, {"K562": path}, assay="CAGE", modality="genes")
        np.testing.assert_array_equal(mdata["genes"].layers["CAGE"], [[1, 0, 0]])
        er.pp.add_signal(mdata, {"K562": path}, assay="DNase", modality="genes")
        np.testing.assert_array_equal(mdata["genes"].layers["DNase"], [[2, 0, 1]])

    def test_only_counts(self, tmp_path):
        path = write_bam(tmp_path / "reads.bam", READS)
        with pytest.raises(ValueError, match="statistic='mean' is for bigWig"):
            er.pp.add_signal(three_genes(), {"K562": path}, assay="DNase", statistic="mean")


class TestCage:
    def test_three_bins_of_a_bigwig(self, tmp_path):
        entries = [("chr1", 5_800, 5_810, 1.0), ("chr1", 6_190, 6_200, 3.0), ("chr2", 5_000, 5_001, 0.5)]
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": write_bigwig(tmp_path / "x.bw", entries)}, assay="CAGE", modality="genes")
        np.testing.assert_allclose(mdata["genes"].layers["CAGE"], [[2 * 1 + 2 * 3, 0, 0.5]])


class TestNothingThere:
    @pytest.mark.parametrize("kind", ["bam", "bw"])
    def test_no_signal_on_any_element(self, tmp_path, kind):
        path = tmp_path / f"empty.{kind}"
        if kind == "bam":
            write_bam(path, [(0, 10, 20, 0)])
        else:
            write_bigwig(path, [("chr1", 10, 20, 1.0)])
        mdata = three_genes()
        with pytest.raises(ValueError, match=rf"DNase of K562: empty.{kind} has no signal on any of 4 .*assembly"):
            er.pp.add_signal(mdata, {"K562": path}, assay="DNase")
        assert "DNase" not in mdata["enhancers"].layers

    @pytest.mark.parametrize("kind", ["bam", "bw"])
    def test_other_chromosomes(self, tmp_path, kind):
        path = tmp_path / f"other.{kind}"
        if kind == "bam":
            write_bam(path, [(0, 10, 20, 0)], references=[("scaffold_1", 100)])
        else:
            write_bigwig(path, [("scaffold_1", 10, 20, 1.0)], sizes=[("scaffold_1", 100)])
        with pytest.raises(ValueError, match="assembly"):
            er.pp.add_signal(three_genes(), {"K562": path}, assay="DNase")

    def test_files_of_another_kind_or_none(self, tmp_path):
        with pytest.raises(ValueError, match="neither a bigWig"):
            er.pp.add_signal(three_genes(), {"K562": tmp_path / "counts.tsv"}, assay="DNase")
        with pytest.raises(FileNotFoundError, match=r"counts\.bam"):
            er.pp.add_signal(three_genes(), {"K562": tmp_path / "counts.bam"}, assay="DNase")


class TestTransforms:
    def test_values_come_back_from_what_is_kept(self, tmp_path):
        mdata = three_genes(["K562", "GM12878"])
        table = pd.DataFrame({"K562": [0.0, 9, 99], "GM12878": [1.0, 2, np.nan]}, index=["g1", "g2", "g3"])
        er.pp.add_expression(mdata, table, assay="RNA", transform="zscore(log10(x+0.1))")
        er.pp.add_expression(mdata, table, assay="CAGE", transform="log10(1+x)")
        er.pp.add_expression(mdata, table, assay="raw")
        er.io.write(mdata, tmp_path / "one.h5mu")
        mdata = er.io.read(tmp_path / "one.h5mu")
        kept = mdata.uns["eregtools"]["transforms"]
        assert {assay: str(record["name"]) for assay, record in kept.items()} == {
            "RNA": "zscore(log10(x+0.1))",
            "CAGE": "log10(1+x)",
            "raw": "none",
        }
        moments = kept["RNA"]["moments"].loc[mdata.obs_names]
        logs = mdata["genes"].layers["RNA"] * moments[["sd"]].to_numpy() + moments[["mean"]].to_numpy()
        np.testing.assert_allclose(10**logs - 0.1, table.to_numpy().T, atol=1e-4)

    def test_roadmap_z_scores_are_epinformers_targets(self, shared):
        rpkm = pd.read_csv(
            shared / "data/roadmap_expression/57epigenomes.RPKM.pc.gz", sep="\t", index_col=False
        ).set_index("gene_id")
        genes = pd.read_csv(shared / "data/epinformer/mRNA_halflife_features.tsv.gz", sep="\t", dtype={"chrom": str})
        logs = np.log10(rpkm["E123"].reindex(genes["gene_id"]).dropna() + 0.1)
        assert len(logs) == 18_377
        mdata = er.pp.assemble(
            genes=genes.assign(chrom="chr" + genes["chrom"]),
            enhancers=pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [10]}),
            samples="K562",
            genome=shared / "data/genome/hg38.partial.fa.gz",
        )
        er.pp.add_expression(mdata, {"K562": rpkm["E123"]}, assay="RNA", transform="zscore(log10(x+0.1))")
        moments = mdata.uns["eregtools"]["transforms"]["RNA"]["moments"].loc["K562"]
        assert moments["mean"] == pytest.approx(logs.mean())
        assert moments["sd"] == pytest.approx(logs.std(ddof=0))
        assert mdata["genes"].layers["RNA"].min() == pytest.approx(-1.1705, abs=1e-4)
