"""Candidate elements against the ABC pipeline's, and against the rules they follow."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eregtools as er
from eregtools._schema import validate
from eregtools.datasets.toy import three_genes
from eregtools.ranges import merge_touching


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text(">chr2\n" + "A" * 5_000 + "\n>chr1\n" + "A" * 10_000 + "\n")
    return path


def peaks(*rows):
    return pd.DataFrame(rows, columns=["Chromosome", "Start", "End", "summit", "reads"])


def rows_of(table):
    return list(table.itertuples(index=False, name=None))


@pytest.mark.parametrize(("folder", "n_elements"), [("K562_chr22", 17_732), ("K562_chr22_tagAlign", 15_010)])
def test_reference_regions(shared, folder, n_elements):
    data = shared / "data/abc_chr22"
    (counts,) = (data / folder / "Peaks").glob("*Counts.bed.gz")
    table = er.io.read_narrowpeak(data / folder / "Peaks/macs2_peaks.narrowPeak.gz")
    counted = er.io.read_bed(counts)
    assert counted[["Start", "End"]].equals(table[["Start", "End"]])
    found = er.pp.candidate_enhancers(
        table.assign(reads=counted.iloc[:, 3].astype(float)),
        genome=shared / "data/genome/hg38.partial.fa.gz",
        rank_by="reads",
        include=data / "RefSeqCurated.170308.bed.CollapsedGeneBounds.chr22.hg38.TSS500bp.bed.gz",
        blacklist=data / "GRCh38_unified_blacklist.bed.gz",
    )
    expected = er.io.read_bed(data / folder / "Peaks/macs2_peaks.narrowPeak.sorted.candidateRegions.bed.gz")
    assert len(expected) == n_elements
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.mark.parametrize("folder", ["K562_chr22", "K562_chr22_tagAlign"])
def test_reference_classes(shared, folder):
    data = shared / "data/abc_chr22" / folder / "Neighborhoods"
    elements = er.io.read_bed(data / "EnhancerList.bed.gz")
    genes = pd.read_csv(data / "GeneList.txt.gz", sep="\t")[["chr", "start", "end", "strand", "symbol", "tss"]]
    mdata = er.pp.assemble(
        genes=genes.rename(columns={"symbol": "gene_id", "chr": "chrom"}),
        enhancers=elements,
        samples="K562",
        genome=shared / "data/genome/hg38.partial.fa.gz",
    )
    er.pp.classify(mdata)
    expected = elements["Name"].str.split("|").str[0].to_numpy()[mdata["enhancers"].var["input_index"]]
    assert mdata["enhancers"].var["class"].astype(str).tolist() == expected.tolist()
    validate(mdata)


def test_the_strongest_regions_give_all_their_summits(fasta):
    table = peaks(
        ("chr1", 3_000, 3_900, 3_100, 5),
        ("chr1", 3_000, 3_900, 3_800, 5),  # the same peak, split by its summits
        ("chr1", 6_000, 6_100, 6_050, 4),
        ("chr1", 6_100, 6_900, 6_800, 9),  # touches the one before, so both are strong
        ("chr2", 1_000, 1_100, 1_050, 6),
    )
    found = er.pp.candidate_enhancers(table, genome=fasta, n=2, rank_by="reads", width=200)
    assert rows_of(found) == [("chr2", 950, 1_150), ("chr1", 5_950, 6_150), ("chr1", 6_700, 6_900)]
    three = er.pp.candidate_enhancers(table, genome=fasta, n=3, rank_by="READS", width=200)
    assert set(rows_of(found)) < set(rows_of(three))
    assert len(three) == 5


def test_windows_are_cut_merged_blocked_and_completed(fasta):
    table = peaks(
        ("chr1", 50, 200, 100, 1),
        ("chr1", 9_800, 10_000, 9_999, 1),
        ("chr1", 2_000, 2_600, 2_100, 1),
        ("chr1", 2_000, 2_600, 2_599, 1),
        ("chr1", 5_000, 5_100, 5_050, 1),
    )
    blacklist = pd.DataFrame({"chrom": ["chr1", "chrUn"], "start": [5_299, 0], "end": [5_400, 9]})
    include = pd.DataFrame({"chrom": ["1", "1"], "start": [5_200, 2_849], "end": [5_350, 2_900]})
    found = er.pp.candidate_enhancers(table, genome=fasta, rank_by="reads", include=include, blacklist=blacklist)
    assert rows_of(found) == [
        ("chr1", 0, 350),
        ("chr1", 1_850, 2_900),  # two windows and an included region that touches them
        ("chr1", 5_200, 5_350),  # included although the window there was blocked
        ("chr1", 9_749, 10_000),
    ]


def test_files_and_offsets(fasta, tmp_path):
    path = tmp_path / "peaks.narrowPeak"
    path.write_text("chr1\t1000\t1400\ta\t3\t.\t9.5\t1\t2\t300\nchr1\t4000\t4400\tb\t5\t.\t1.5\t1\t2\t-1\n")
    (tmp_path / "include.bed").write_text("chr2\t10\t20\n")
    found = er.pp.candidate_enhancers(path, genome=fasta, n=1, include=tmp_path / "include.bed")
    assert rows_of(found) == [("chr2", 10, 20), ("chr1", 3_950, 4_450)]
    found = er.pp.candidate_enhancers(path, genome=fasta, n=1, rank_by="SignalValue")
    assert rows_of(found) == [("chr1", 1_050, 1_550)]


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        ({}, {"rank_by": "depth"}, KeyError, "rank_by='depth'.*Chromosome, Start, End, summit, reads"),
        ({"reads": ["a"]}, {}, ValueError, "no numbers"),
        ({"summit": [50]}, {}, ValueError, "outside their peak.*chr1:100-200"),
        ({"Chromosome": ["chr7"]}, {}, KeyError, "chr7"),
        ({"End": [20_000]}, {}, ValueError, "assembly"),
        ({}, {"n": 0}, ValueError, "n=0"),
        ({}, {"width": 501}, ValueError, "even"),
        ({}, {"blacklist": pd.DataFrame({"chrom": ["chr1"], "start": [10_000], "end": [10_010]})}, ValueError, "past"),
    ],
)
def test_bad_input_is_refused(fasta, change, arguments, error, message):
    table = peaks(("chr1", 100, 200, 150, 1)).assign(**change)
    with pytest.raises(error, match=message):
        er.pp.candidate_enhancers(table, genome=fasta, **{"rank_by": "reads", **arguments})


def test_peaks_without_summits_are_refused(fasta, tmp_path):
    with pytest.raises(ValueError, match="neither a column summit nor Peak"):
        er.pp.candidate_enhancers(peaks(("chr1", 1, 2, 1, 1)).drop(columns="summit"), genome=fasta, rank_by="reads")
    (tmp_path / "peaks.bed").write_text("chr1\t1\t2\n")
    with pytest.raises(ValueError, match="no summits; give the narrowPeak"):
        er.pp.candidate_enhancers(tmp_path / "peaks.bed", genome=fasta)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["chr2", "chr1"]), st.integers(0, 60), st.integers(1, 12)), max_size=25))
def test_unions_cover_the_same_bases_and_never_touch(intervals):
    table = pd.DataFrame(
        {
            "Chromosome": [chromosome for chromosome, _, _ in intervals],
            "Start": np.array([start for _, start, _ in intervals], dtype=int),
            "End": np.array([start + width for _, start, width in intervals], dtype=int),
        }
    )
    unions, number = merge_touching(table)

    def bases(frame):
        return {(row.Chromosome, base) for row in frame.itertuples() for base in range(row.Start, row.End)}

    assert bases(unions) == bases(table)
    for _, of_chromosome in unions.groupby("Chromosome"):
        assert (of_chromosome["Start"].to_numpy()[1:] > of_chromosome["End"].to_numpy()[:-1]).all()
    holds = unions.iloc[number].reset_index(drop=True)
    assert (holds["Chromosome"] == table["Chromosome"]).all()
    assert ((holds["Start"] <= table["Start"]) & (holds["End"] >= table["End"])).all()


class TestClassify:
    def test_windows_end_where_they_say(self):
        mdata = three_genes()
        er.pp.classify(mdata, tss_window=1_000)
        assert (
            mdata["enhancers"].var["class"].tolist() == ["intergenic"] * 4
        )  # 5,000 is the first base of 6,000 - 1,000
        er.pp.classify(mdata, tss_window=1_001)
        assert mdata["enhancers"].var["class"].tolist()[0] == "promoter"

    def test_bodies(self):
        mdata = three_genes()
        mdata["genes"].var.loc["g2", "Start"] = 8_499
        new = er.pp.classify(mdata, key_added="kind", copy=True)
        assert new["enhancers"].var["kind"].tolist() == ["intergenic", "genic", "intergenic", "intergenic"]
        assert "kind" not in mdata["enhancers"].var

    def test_genes_without_bodies_are_told_of(self, caplog):
        mdata = three_genes()
        mdata["genes"].var[["Start", "End"]] = np.add.outer(mdata["genes"].var["tss"].to_numpy(), [0, 1])
        er.pp.classify(mdata)
        assert "no bodies" in caplog.text
