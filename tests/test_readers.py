from __future__ import annotations

import gzip
import logging
import multiprocessing

import numpy as np
import pandas as pd
import pyBigWig
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eregtools.io import bigwig
from eregtools.io.bed import read_bed, read_narrowpeak
from eregtools.io.gtf import read_genes, read_gtf
from eregtools.io.tables import read_intervals_table, read_table


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


# --- BED and narrowPeak


@pytest.mark.parametrize("name", ["a.bed", "a.bed.gz"])
def test_bed_keeps_order_and_skips_headers(write, name):
    path = write(name, "track name=x\nbrowser hide\n# note\nchr2\t5\t9\tb\t1.5\t-\r\n\nchr1\t1\t2\ta\t.\t+\n")
    frame = read_bed(path)
    assert list(frame.columns) == ["Chromosome", "Start", "End", "Name", "Score", "Strand"]
    assert frame["Chromosome"].tolist() == ["chr2", "chr1"]
    assert frame[["Start", "End"]].dtypes.tolist() == [np.int64, np.int64]
    assert frame["Score"].tolist()[0] == 1.5
    assert np.isnan(frame["Score"][1])
    assert frame["Strand"].tolist() == ["-", "+"]


@pytest.mark.parametrize("columns", [3, 4, 5, 6, 9, 12, 14])
def test_bed_of_every_width(write, columns):
    row = ["chr1", "10", "20", "n", "7", "+", "10", "20", "0,0,0", "1", "10,", "0,", "more", "more"][:columns]
    frame = read_bed(write("a.bed", "\t".join(row) + "\n"))
    assert frame.shape == (1, columns)
    assert frame.columns[-1] == {3: "End", 4: "Name", 5: "Score", 6: "Strand", 9: "ItemRGB", 12: "BlockStarts"}.get(
        columns, "Column14"
    )


def test_names_like_NA_stay_text(write):
    assert read_bed(write("a.bed", "chr1\t1\t2\tNA\n"))["Name"].tolist() == ["NA"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a\.bed is empty; expected a BED file"),
        ("\n\n", "is empty"),
        ("# only\ntrack x\n", "no rows below its header"),
        ("chr1\t1\t2\nchr1\t9\t9\n", r"a\.bed, line 2: found chr1:9-9, but End must be greater than Start"),
        ("#h\nchr1\t9\t5\n", "line 2: found chr1:9-5"),
        ("chr1\t-4\t5\n", "line 1: found chr1:-4-5, but Start must be at least 0"),
        ("chr1\t1\t5\nchr1\tx\t5\n", "line 2: Start is 'x', expected a whole number"),
        ("chr1\t1\t5.5\n", "line 1: End is '5.5', expected a whole number"),
        ("chr1\t1\t2\ta\nchr1\t1\n", "line 2: 2 columns found, expected 4"),
        ("chr1\t1\n", "2 columns found"),
        ("chr1\t1\t2\ta\thigh\n", "Score is 'high', expected a number"),
    ],
)
def test_bad_beds_are_refused(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_bed(write("a.bed", text))


def test_missing_and_damaged_files(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a BED file"):
        read_bed(tmp_path / "none.bed")
    path = write("a.bed.gz", "chr1\t1\t2\n" * 5000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged gzip"):
        read_bed(path)


def test_narrowpeak_summit(write):
    path = write("a.narrowPeak", "chr1\t100\t200\tp\t5\t.\t1.5\t2\t3\t30\nchr1\t10\t31\tq\t5\t.\t1\t-1\t-1\t-1\n")
    frame = read_narrowpeak(path)
    assert frame["summit"].tolist() == [130, 20]
    assert frame["SignalValue"].tolist() == [1.5, 1.0]
    assert list(frame.columns[3:]) == ["Name", "Score", "Strand", "SignalValue", "PValue", "QValue", "Peak", "summit"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t1\t2\ta\n", "has 4 columns, expected the 10 of narrowPeak.*use read_bed"),
        ("chr1\t1\t9\ta\t1\t.\t1\t1\t1\t8\n", "line 1: Peak is 8, expected -1 or an offset inside chr1:1-9"),
        ("chr1\t1\t9\ta\t1\t.\tbig\t1\t1\t3\n", "SignalValue is 'big'"),
        ("", "empty; expected a narrowPeak file"),
    ],
)
def test_bad_narrowpeaks_are_refused(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_narrowpeak(write("a.narrowPeak", text))


def test_real_peaks(shared):
    folder = shared / "data" / "abc_chr22" / "K562_chr22" / "Peaks"
    frame = read_narrowpeak(folder / "macs2_peaks.narrowPeak.gz")
    assert (frame["summit"] >= frame["Start"]).all()
    assert (frame["summit"] < frame["End"]).all()
    candidates = read_bed(folder / "macs2_peaks.narrowPeak.sorted.candidateRegions.bed.gz")
    with gzip.open(folder / "macs2_peaks.narrowPeak.sorted.candidateRegions.bed.gz", "rt") as file:
        assert len(candidates) == sum(1 for _ in file)
    assert set(candidates["Chromosome"]) == {"chr22"}


# --- GTF

GENE = 'chr1\tx\tgene\t11\t20\t.\t+\t.\tgene_id "ENSG1.2"; gene_type "lincRNA"; gene_name "A; B"; level 2;\n'
TRANSCRIPT = 'chr1\tx\ttranscript\t31\t40\t.\t-\t.\tgene_id "ENSG2.7_PAR_Y"; transcript_id "ENST5.1";\n'


def test_gtf_coordinates_and_attributes(write):
    path = write("a.gtf.gz", "##format: gtf\n" + GENE + TRANSCRIPT)
    frame = read_gtf(path, features=None)
    assert frame[["Start", "End"]].to_numpy().tolist() == [[10, 20], [30, 40]]
    assert frame["gene_name"].tolist() == ["A; B", ""]
    assert frame["gene_id"].tolist() == ["ENSG1.2", "ENSG2.7_PAR_Y"]
    assert frame["feature"].tolist() == ["gene", "transcript"]
    assert read_gtf(path)["gene_id"].tolist() == ["ENSG1.2"]
    assert "transcript_id" not in read_gtf(path)
    stripped = read_gtf(path, features=("gene", "transcript"), strip_version=True)
    assert stripped["gene_id"].tolist() == ["ENSG1", "ENSG2_PAR_Y"]
    assert stripped["transcript_id"].tolist() == ["", "ENST5"]


def test_tss_is_a_base_of_the_gene(write):
    minus = GENE.replace("\t+\t", "\t-\t").replace("ENSG1.2", "ENSG3").replace('gene_name "A; B"; ', "")
    genes = read_genes(write("a.gtf", GENE + minus))
    assert genes["tss"].tolist() == [10, 19]
    assert genes["gene_name"].tolist() == ["A; B", "ENSG3"]


@pytest.mark.parametrize(
    ("reader", "text", "message"),
    [
        (read_gtf, "", "is empty; expected a GTF file"),
        (read_gtf, TRANSCRIPT, "GTF without gene rows; it has transcript"),
        (read_genes, TRANSCRIPT, "GTF without gene rows, though it has transcript rows"),
        (read_genes, GENE + GENE, r"1 gene ids occur more than once \('ENSG1.2'\)"),
        (read_genes, GENE.replace("\t+\t", "\t.\t"), "1 genes have no strand"),
        (read_gtf, GENE.replace("\t11\t", "\t0\t"), "line 1: found chr1:0-20, but Start must be at least 1"),
        (read_gtf, GENE.replace("\t11\t", "\t25\t"), "line 1: found chr1:25-20, but End must be at least Start"),
        (read_gtf, GENE.replace("\t11\t", "\t1e\t"), "line 1: Start is '1e'"),
        (read_gtf, "chr1\t1\t2\n", "3 tab-separated columns found, expected the 9 of GTF"),
        (read_gtf, "chr1\tx\tgene\t1\t9\t.\t+\t.\tID=g;gene_id=g\n", "GFF3 files .* must be converted"),
    ],
)
def test_bad_gtfs_are_refused(write, reader, text, message):
    with pytest.raises(ValueError, match=message):
        reader(write("a.gtf", text))


def test_real_gencode(shared):
    genes = read_genes(shared / "data" / "nascent_pints_chr22" / "gencode.chr22.hg19.gtf.gz")
    assert len(genes) == 1263
    first = genes.iloc[0]
    assert first[["gene_id", "gene_name", "gene_type"]].tolist() == ["ENSG00000233866.1", "LA16c-4G1.3", "lincRNA"]
    assert first[["Start", "End", "tss"]].tolist() == [16062156, 16063236, 16062156]
    everything = read_gtf(shared / "data" / "nascent_pints_chr22" / "gencode.chr22.hg19.gtf.gz", features=None)
    assert everything["feature"].value_counts()["exon"] == 27134


def test_real_ensembl(shared):
    genes = read_genes(shared / "data" / "rnaseq_bambu_chr9" / "GRCh38.91_chr9_1_1000000.gtf.gz")
    assert len(genes) == 23
    assert genes.loc[0, "gene_type"] == "unprocessed_pseudogene"
    roadmap = read_genes(shared / "data" / "roadmap_expression" / "gencode_10_genes.gtf.gz", strip_version=True)
    assert len(roadmap) == 43575
    assert not roadmap["gene_id"].str.contains(r"\.\d").any()


# --- bigWig


@pytest.fixture(params=["pyBigWig", "pybigtools"])
def backend(request, monkeypatch):
    if request.param == "pybigtools":
        pytest.importorskip("pybigtools")
        monkeypatch.setattr(bigwig, "_backend", lambda: bigwig._PyBigTools)
    else:
        monkeypatch.setattr(bigwig, "_backend", lambda: bigwig._PyBigWig)
    return request.param


def write_bigwig(path, entries, size=1000):
    file = pyBigWig.open(str(path), "w")
    file.addHeader([("chr1", size), ("chr2", size)])
    for chrom, start, end, value in entries:
        file.addEntries([chrom], [start], ends=[end], values=[value])
    file.close()
    return path


def dense(entries, chrom, size=1000):
    values = np.full(size, np.nan)
    for name, start, end, value in entries:
        if name == chrom:
            values[start:end] = np.float32(value)
    return values


def expected(values, statistic, missing):
    if missing == "zero":
        filled = np.nan_to_num(values)
        return getattr(filled, statistic)()
    held = values[~np.isnan(values)]
    return getattr(held, statistic)() if len(held) else np.nan


ENTRIES = [("chr1", 10, 20, -2.0), ("chr1", 20, 30, 0.3), ("chr1", 500, 900, 7.25), ("chr2", 0, 1000, -1.0)]


@pytest.mark.parametrize("statistic", ["sum", "mean", "max"])
@pytest.mark.parametrize("missing", ["zero", "nan"])
@given(
    regions=st.lists(
        st.tuples(st.sampled_from(["chr1", "2"]), st.integers(0, 999), st.integers(1, 1000)), min_size=1, max_size=30
    ),
    batch=st.sampled_from([7, 64, 1 << 20]),
)
@settings(max_examples=25, deadline=None)
def test_region_values_are_those_of_the_bases(tmp_path_factory, statistic, missing, regions, batch):
    path = tmp_path_factory.getbasetemp() / "toy.bw"
    if not path.exists():
        write_bigwig(path, ENTRIES)
    chroms = [chrom for chrom, _, _ in regions]
    starts = [start for _, start, _ in regions]
    ends = [min(start + width, 1000) for _, start, width in regions]
    truth = [
        expected(dense(ENTRIES, "chr1" if chrom == "chr1" else "chr2")[start:end], statistic, missing)
        for chrom, start, end in zip(chroms, starts, ends, strict=True)
    ]
    for backend in _available():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bigwig, "_backend", lambda chosen=backend: chosen)
            patch.setattr(bigwig, "_BATCH_BASES", batch)
            found = bigwig.region_values(path, chroms, starts, ends, statistic=statistic, missing=missing)
        np.testing.assert_allclose(found, truth, rtol=1e-12, atol=1e-12)


def _available():
    yield bigwig._PyBigWig
    if bigwig._backend() is bigwig._PyBigTools:
        yield bigwig._PyBigTools


def test_values_and_sizes(tmp_path, backend):
    path = write_bigwig(tmp_path / "a.bw", ENTRIES)
    assert bigwig.chrom_sizes(path) == {"chr1": 1000, "chr2": 1000}
    np.testing.assert_array_equal(bigwig.values(path, "1", 5, 35), dense(ENTRIES, "chr1")[5:35])
    with pytest.raises(KeyError, match="'chr7' is not in"):
        bigwig.values(path, "chr7", 5, 35)
    with pytest.raises(ValueError, match="assembly is probably wrong"):
        bigwig.values(path, "chr1", 5, 1001)


def test_regions_off_the_chromosome_are_refused(tmp_path, backend):
    path = write_bigwig(tmp_path / "a.bw", ENTRIES)
    with pytest.raises(ValueError, match=r"chr1:990-1001 ends after .* \(1000 bases\); the assembly is probably wrong"):
        bigwig.region_values(path, "chr1", [0, 990], [5, 1001])
    with pytest.raises(ValueError, match="chr1:7-7 is empty"):
        bigwig.region_values(path, "chr1", [7], [7])
    with pytest.raises(ValueError, match="starts before base 0"):
        bigwig.region_values(path, "chr1", [-7], [7])


def test_absent_chromosome_warns_with_its_count(tmp_path, backend, caplog):
    path = write_bigwig(tmp_path / "a.bw", ENTRIES)
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        found = bigwig.region_values(path, ["chr9", "chr2", "chr9"], [0, 0, 5], [9, 9, 9])
        with_nan = bigwig.region_values(path, ["chr9", "chr2"], [0, 0], [9, 9], missing="nan")
    assert found.tolist() == [0, -9, 0]
    np.testing.assert_array_equal(with_nan, [np.nan, -9])
    assert "2 of 3 regions lie on chromosomes that" in caplog.text
    assert "(chr9); their value is 0." in caplog.text


def test_odd_requests_are_refused(tmp_path):
    path = write_bigwig(tmp_path / "a.bw", ENTRIES)
    with pytest.raises(ValueError, match="statistic is 'median'; expected one of 'sum', 'mean', 'max'"):
        bigwig.region_values(path, "chr1", [0], [5], statistic="median")
    with pytest.raises(ValueError, match="missing is 'skip'"):
        bigwig.region_values(path, "chr1", [0], [5], missing="skip")
    with pytest.raises(ValueError, match="whole numbers"):
        bigwig.region_values(path, "chr1", [0.5], [5])
    with pytest.raises(ValueError, match="2 chroms, 1 starts and 1 ends"):
        bigwig.region_values(path, ["chr1", "chr1"], [0], [5])
    assert bigwig.region_values(path, "chr1", np.array([], int), np.array([], int)).shape == (0,)


def test_files_that_are_no_bigwig_are_refused(tmp_path, backend):
    path = tmp_path / "a.bw"
    path.write_bytes(b"chr1\t1\t2\t3\n")
    with pytest.raises(ValueError, match="is not a bigWig file"):
        bigwig.region_values(path, "chr1", [0], [5])
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is not a bigWig file"):
        bigwig.chrom_sizes(path)
    with pytest.raises(FileNotFoundError, match="expected a bigWig file"):
        bigwig.chrom_sizes(tmp_path / "none.bw")


def _sum_of_regions(task):
    path, starts = task
    return bigwig.region_values(path, "chr21", starts, starts + 300)


def test_forked_workers_agree(shared):
    path = shared / "data" / "rnaseq_brainspan_chr21" / "A1C_HSB154.bw"
    starts = np.random.default_rng(0).integers(10_000_000, 48_000_000, (8, 200))
    alone = [_sum_of_regions((path, row)) for row in starts]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        together = pool.map(_sum_of_regions, [(path, row) for row in starts])
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_truncated_real_bigwig_is_refused(shared, tmp_path, backend, keep):
    whole = (shared / "data" / "rnaseq_brainspan_chr21" / "A1C_HSB154.bw").read_bytes()
    with pyBigWig.open(str(shared / "data" / "rnaseq_brainspan_chr21" / "A1C_HSB154.bw")) as file:
        assert file.isBigWig()
    index = int.from_bytes(whole[24:32], "little")
    path = tmp_path / "cut.bw"
    path.write_bytes(whole[: int(index * keep)])
    with pytest.raises(ValueError, match="truncated or damaged"):
        bigwig.region_values(path, "chr21", [10_000_000], [20_000_000])


@pytest.mark.parametrize(
    ("name", "chrom"),
    [
        ("nascent_pints_chr22/K562_GROcap.chr22.hg19.plus.bw", "chr22"),
        ("nascent_pints_chr22/K562_GROcap.chr22.hg19.minus.bw", "chr22"),
        ("rnaseq_brainspan_chr21/AMY_HSB97.bw", "chr21"),
        ("rnaseq_brainspan_chr21/A1C_HSB154.bw", "chr21"),
    ],
)
@pytest.mark.parametrize("statistic", ["sum", "mean", "max"])
def test_real_bigwigs_agree_with_exact_statistics(shared, backend, name, chrom, statistic):
    path = shared / "data" / name
    rng = np.random.default_rng(1)
    size = bigwig.chrom_sizes(path)[chrom]
    starts = rng.integers(9_000_000, size - 20_000, 300)
    ends = starts + rng.integers(1, 20_000, 300)
    found = bigwig.region_values(path, chrom, starts, ends, statistic=statistic, missing="nan")
    with pyBigWig.open(str(path)) as file:
        exact = [
            file.stats(chrom, int(s), int(e), type=statistic, exact=True)[0] for s, e in zip(starts, ends, strict=True)
        ]
    np.testing.assert_allclose(found, np.array(exact, dtype=float), rtol=1e-6, atol=1e-6)


# --- tables


@pytest.mark.parametrize(("name", "sep"), [("a.tsv", "\t"), ("a.csv", ","), ("a.csv.gz", ","), ("a.txt.gz", "\t")])
def test_table_separator_follows_the_name(write, name, sep):
    frame = read_table(write(name, f"gene{sep}K562\nG1{sep}3\nG2{sep}0.5\n"), index="gene")
    assert frame.index.tolist() == ["G1", "G2"]
    assert frame["K562"].tolist() == [3.0, 0.5]


def test_table_floats_are_what_was_written(write):
    written = np.random.default_rng(0).normal(size=1_000)
    frame = read_table(write("a.tsv", "score\n" + "\n".join(map(repr, written.tolist())) + "\n"))
    assert frame["score"].tolist() == written.tolist()


def test_bad_tables_are_refused(write):
    with pytest.raises(ValueError, match="is empty; expected a table"):
        read_table(write("a.tsv", ""))
    with pytest.raises(ValueError, match="a header but no rows"):
        read_table(write("a.tsv", "gene\tK562\n"))
    with pytest.raises(
        ValueError, match=r"4 ids of column 'gene' occur more than once \('a', 'b', 'c', …\); expected each once"
    ):
        read_table(write("a.tsv", "gene\tx\n" + "".join(f"{g}\t1\n" for g in "abcdeabcd")), index="gene")
    with pytest.raises(ValueError, match="1 rows have no 'gene'"):
        read_table(write("a.tsv", "gene\tx\n\t1\nb\t2\n"), index="gene")
    with pytest.raises(KeyError, match="no column 'id'; it has gene, x"):
        read_table(write("a.tsv", "gene\tx\na\t1\n"), index="id")
    with pytest.raises(ValueError, match="rows of unequal length"):
        read_table(write("a.tsv", "gene\tx\na\t1\nb\t1\t2\t3\n"))


@pytest.mark.parametrize(
    "header", ["chrom\tstart\tend", "chr\tStart\tEnd", "Chromosome\tStart\tEnd", "#chrom\tchromStart\tchromEnd"]
)
def test_interval_spellings(write, header):
    frame = read_intervals_table(write("a.tsv", f"name\t{header}\nx\t1\t5\t9\n"))
    assert list(frame.columns) == ["Chromosome", "Start", "End", "name"]
    assert frame.iloc[0].tolist() == ["1", 5, 9, "x"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chrom\tstart\tx\nchr1\t1\t2\n", "no column for End: found chrom, start, x"),
        ("chrom\tchr\tstart\tend\nchr1\t1\t1\t2\n", "several columns for Chromosome: chrom, chr"),
        ("chrom\tstart\tend\nchr1\t1\t2\nchr1\t5\t3\n", "line 3: found chr1:5-3"),
        ("chrom\tstart\tend\nchr1\t1.5\t2\n", "line 2: Start is '1.5'"),
    ],
)
def test_bad_interval_tables_are_refused(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_intervals_table(write("a.tsv", text))


def test_real_tables(shared):
    expression = read_table(shared / "data" / "roadmap_expression" / "57epigenomes.RPKM.pc.gz", index="gene_id")
    assert expression.loc["ENSG00000000003"].iloc[0] > 0
    crispr = read_intervals_table(
        shared / "data" / "crispr_benchmark" / "EPCrisprBenchmark_Fulco2019_K562_GRCh38.tsv.gz"
    )
    assert list(crispr.columns[:3]) == ["Chromosome", "Start", "End"]
    assert isinstance(crispr, pd.DataFrame)
