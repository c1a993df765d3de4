from __future__ import annotations

import gzip

import numpy as np
import pysam
import pytest

from eregtools.io.vcf import read_vcf

HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=100000>\n##contig=<ID=chr2,length=100000>\n"
    '##FILTER=<ID=q10,Description="low">\n##FILTER=<ID=s50,Description="few">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n'
)
BODY = (
    "chr1\t11\trs1\tA\tG\t50\tPASS\t.\n"
    "chr1\t100\t.\tCTG\tC,ctga\t.\tq10;s50\t.\n"
    "chr2\t1\trs2\tg\tT\t7.5\t.\t.\n"
    "chr2\t40\t.\tA\t.\t7.5\t.\t.\n"
)


@pytest.fixture(params=["plain", "gzip", "bgzip", "bcf"])
def variants(tmp_path, request):
    plain = tmp_path / "toy.vcf"
    plain.write_text(HEADER + BODY)
    if request.param == "gzip":
        plain = tmp_path / "toy.vcf.gz"
        plain.write_bytes(gzip.compress((HEADER + BODY).encode()))
    elif request.param == "bgzip":
        pysam.tabix_compress(str(plain), f"{plain}.gz")
        plain = tmp_path / "toy.vcf.gz"
    elif request.param == "bcf":
        with (
            pysam.VariantFile(str(plain)) as source,
            pysam.VariantFile(str(tmp_path / "toy.bcf"), "wb", header=source.header) as out,
        ):
            for record in source:
                out.write(record)
        plain = tmp_path / "toy.bcf"
    return plain


def write(tmp_path, body: str, header: str = HEADER):
    path = tmp_path / "toy.vcf"
    path.write_text(header + body)
    return path


def test_one_row_for_each_allele(variants):
    frame = read_vcf(variants)
    assert frame["Chromosome"].tolist() == ["chr1", "chr1", "chr1", "chr2"]
    assert frame["Start"].tolist() == [10, 99, 99, 0]
    assert frame["End"].tolist() == [11, 102, 102, 1]
    assert frame["Ref"].tolist() == ["A", "CTG", "CTG", "G"]
    assert frame["Alt"].tolist() == ["G", "C", "CTGA", "T"]
    assert frame["Name"].tolist() == ["rs1", "chr1:100:CTG:C", "chr1:100:CTG:CTGA", "rs2"]
    assert frame["Filter"].tolist() == ["PASS", "q10;s50", "q10;s50", "."]
    np.testing.assert_array_equal(frame["Quality"], [50, np.nan, np.nan, 7.5])
    assert frame[["Start", "End"]].dtypes.tolist() == [np.int64, np.int64]


@pytest.mark.parametrize("region", ["chr1:101-102", "1:101-300", ("chr1", 101, 102)])
def test_region_takes_what_overlaps_the_reference_allele(variants, region):
    assert read_vcf(variants, region=region)["Alt"].tolist() == ["C", "CTGA"]
    assert read_vcf(variants, region="chr1:102-50,000").empty
    assert read_vcf(variants, region="chr1:10-11")["Name"].tolist() == ["rs1"]


def test_region_through_an_index(tmp_path):
    rows = "".join(f"chr{c}\t{p}\t.\tA\tG\t.\t.\t.\n" for c in (1, 2) for p in range(1, 50_000, 7))
    plain = write(tmp_path, rows)
    expected = read_vcf(plain, region="2:1000-2000")
    indexed = pysam.tabix_index(str(plain), preset="vcf", keep_original=True)
    found = read_vcf(indexed, region="2:1000-2000")
    assert len(found) == 143
    assert found.equals(expected)


def test_chromosome_that_the_header_lacks(tmp_path):
    path = write(tmp_path, "chr9\t5\t.\tA\tG\t.\t.\t.\n")
    assert read_vcf(path)["Chromosome"].tolist() == ["chr9"]
    assert len(read_vcf(path, region="9:0-100")) == 1
    with pytest.raises(KeyError, match=r"'chrX' is not in .*chromosomes: chr1"):
        read_vcf(path, region="chrX:0-100")


@pytest.mark.parametrize("alt", ["<DEL>", "*", "G]chr2:5]", "A."])
def test_symbolic_alleles(tmp_path, caplog, alt):
    path = write(tmp_path, f"chr1\t5\t.\tA\tG,{alt}\t.\t.\t.\nchr1\t9\t.\tA\t{alt}\t.\t.\t.\n")
    with pytest.raises(ValueError, match=r"has 2 alleles that are not a sequence \(chr1:5 A>.*symbolic='drop'"):
        read_vcf(path)
    assert read_vcf(path, symbolic="drop")["Alt"].tolist() == ["G"]
    assert "left out 2 alleles" in caplog.text


@pytest.mark.parametrize(
    ("body", "header", "message"),
    [
        ("", "", r"toy\.vcf is empty"),
        ("", HEADER, "has no variant"),
        ("chr1\t5\tA\tG\n", "", r"is not a VCF file .*begins with b'chr1.*#CHROM"),
        ("chr1\tx\t.\tA\tG\t.\t.\t.\n", HEADER, "damaged after record 0"),
        ("chr1\t1\t.\tA\tG\t.\t.\t.\nchr1\t6\n", HEADER, "damaged after record 1"),
        ("chr1\t0\t.\tA\tG\t.\t.\t.\n", HEADER, "record 1: POS is 0"),
        ("chr1\t1\t.\tR\tG\t.\t.\t.\n", HEADER, "1 alleles that are not a sequence"),
    ],
)
def test_bad_files_are_refused(tmp_path, capfd, body, header, message):
    with pytest.raises(ValueError, match=message):
        read_vcf(write(tmp_path, body, header))
    assert capfd.readouterr().err == ""


def test_cut_files_are_refused(tmp_path):
    rows = "".join(f"chr1\t{p}\t.\tA\tG\t.\t.\t.\n" for p in range(1, 30_000))
    plain = write(tmp_path, rows)
    pysam.tabix_compress(str(plain), f"{plain}.gz")
    blocks = (tmp_path / "toy.vcf.gz").read_bytes()
    for content, message in (
        (blocks[: len(blocks) // 2], "end-of-file block is missing"),
        (blocks[:60_000] + bytes(300) + blocks[60_300:], "damaged"),
        (gzip.compress(plain.read_bytes())[:-2_000], "damaged gzip file"),
    ):
        (tmp_path / "cut.vcf.gz").write_bytes(content)
        with pytest.raises(ValueError, match=rf"cut\.vcf\.gz is .*{message}|{message}"):
            read_vcf(tmp_path / "cut.vcf.gz")
    with pytest.raises(FileNotFoundError, match="expected a VCF file"):
        read_vcf(tmp_path / "no.vcf")


@pytest.mark.parametrize("region", ["chr1", "chr1:9-5", ("chr1", -1, 5)])
def test_bad_regions_are_refused(tmp_path, region):
    with pytest.raises(ValueError, match="region"):
        read_vcf(write(tmp_path, BODY), region=region)
