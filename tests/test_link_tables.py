from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from eregtools.io.links import read_abc, read_bedpe, read_crispr, read_re2g

BENCHMARK = "data/crispr_benchmark"
ABC = "data/abc_chr22/K562_chr22/Predictions"


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "table.tsv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def crispr_table(*rows: str) -> str:
    header = "chrom chromStart chromEnd name EffectSize chrTSS startTSS endTSS measuredGeneSymbol Significant"
    return "\n".join("\t".join(line.split()) for line in (header, *rows)) + "\n"


# --- CRISPR


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_positive_needs_significance_and_loss(write, name):
    rows = [
        "chr1 1 9 a -0.5 chr1 70 71 G TRUE",
        "chr1 1 9 a 0.5 chr1 70 71 G TRUE",
        "chr1 1 9 a -0.5 chr1 70 71 G FALSE",
    ]
    frame = read_crispr(
        write(crispr_table(*rows, "chr1 1 9 a 0 chr1 70 71 G 1", "chr1 1 9 a NA chr1 NA NA G NA"), name)
    )
    assert frame["significant"].tolist() == [True, True, False, True, False]
    assert frame["positive"].tolist() == [True, False, False, False, False]
    assert frame["significant"].dtype == frame["positive"].dtype == bool
    assert frame["tss"].tolist()[:4] == [70.0] * 4
    assert np.isnan(frame["tss"].iloc[4])
    assert [*frame.columns[:8]] == [
        *("Chromosome", "Start", "End", "gene", "tss"),
        *("effect_size", "significant", "positive"),
    ]
    assert {"name", "chrTSS", "endTSS"} <= set(frame.columns)


@pytest.mark.parametrize(
    ("file", "pairs", "positives"),
    [
        ("EPCrisprBenchmark_combined_data.training_K562.GRCh38.tsv.gz", 10_356, 471),
        ("EPCrisprBenchmark_combined_data.heldout_5_cell_types.GRCh38.tsv.gz", 4_378, 190),
        ("EPCrisprBenchmark_Fulco2019_K562_GRCh38.tsv.gz", 5_091, 137),
        ("Nasser2021_SuppTable_CRISPR_with_predictors.hg19.txt.gz", 5_755, 283),
    ],
)
def test_published_measurements(shared, file, pairs, positives):
    frame = read_crispr(shared / BENCHMARK / file)
    assert (len(frame), frame["positive"].sum()) == (pairs, positives)
    assert (frame["positive"] == frame["Regulated"]).all()
    assert (frame["End"] > frame["Start"]).all()
    assert [*frame.columns[:3]] == ["Chromosome", "Start", "End"]
    assert frame["gene"].notna().all()
    assert set(frame["cell_type"]) >= {"K562"} if "heldout" not in file else frame["cell_type"].nunique() == 5
    if "gene_id" in frame:
        assert frame["gene_id"].str.startswith("ENSG").all()


def test_elements_without_length_become_one_base(shared, caplog):
    frame = read_crispr(shared / BENCHMARK / "EPCrisprBenchmark_combined_data.heldout_5_cell_types.GRCh38.tsv.gz")
    point = frame[(frame["Chromosome"] == "chr5") & (frame["Start"] == 40_490_507)]
    assert point["End"].unique().tolist() == [40_490_508]
    assert "1 elements are points" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"table\.tsv is empty; expected CRISPR measurements"),
        (crispr_table(), "has a header but no rows"),
        (crispr_table("chr1 1 9 a -0.5 chr1 70 71 G maybe"), "line 2: significant is 'maybe', expected TRUE or FALSE"),
        (crispr_table("chr1 1 9 a low chr1 70 71 G TRUE"), "line 2: effect_size is 'low', expected a number"),
        (crispr_table("chr1 9 1 a 0.1 chr1 70 71 G TRUE"), "line 2: found chr1:9-1"),
        (crispr_table("chr1 x 1 a 0.1 chr1 70 71 G TRUE"), "line 2: Start is 'x'"),
        ("#note\n" + crispr_table("chr1 1 9 a 0.1 chr1 70 71 G"), "line 3: 9 columns found, expected 10"),
        ("chrom\tchromStart\tchromEnd\n1\t2\t3\n", r"no column for gene \(such as 'measuredgenesymbol'\), tss"),
    ],
)
def test_bad_measurements_are_refused(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_crispr(write(text))


# --- predictions


def test_abc_scores_keep_their_names(shared):
    frame = read_abc(shared / ABC / "EnhancerPredictionsFull_threshold0.027_self_promoter.tsv.gz")
    assert [*frame.columns[:7]] == ["Chromosome", "Start", "End", "gene", "gene_id", "tss", "cell_type"]
    assert len(frame) == 1_353
    assert frame["tss"].dtype == np.int64
    centre = (frame["Start"] + frame["End"]) // 2
    assert ((centre - frame["tss"]).abs() - frame["distance"]).abs().max() <= 1
    ratio = frame["ABC.Score.Numerator"] / (frame["activity_base"] * frame["hic_contact_pl_scaled_adj"])
    np.testing.assert_allclose(ratio, 1, atol=1e-4)
    short = read_abc(shared / ABC / "EnhancerPredictions_threshold0.027_self_promoter.tsv.gz")
    assert "gene_id" not in short
    assert short["ABC.Score"].tolist() == frame["ABC.Score"].tolist()


def test_power_law_predictions_without_ids(shared):
    frame = read_abc(shared / BENCHMARK / "ABC_K562_Fulco2019Genes_GRCh38.tsv.gz")
    assert len(frame) == 55_039
    assert "gene_id" not in frame
    assert frame["powerlaw.Score"].between(0, 1).all()


def test_re2g(shared):
    frame = read_re2g(shared / BENCHMARK / "encode_e2g_predictions_threshold0.243.tsv.gz")
    assert (len(frame), set(frame["Chromosome"])) == (7_218, {"chr22"})
    assert frame["ENCODE-rE2G.Score"].min() >= 0.243
    assert frame["gene_id"].str.startswith("ENSG").all()


def test_header_behind_a_hash_and_numbered_chromosomes(write):
    text = "#ENCODE\n#chr\tstart\tend\tTargetGene\tTargetGeneTSS\tScore\n7\t1\t5\tA\t9\t0.5\nX\t2\t5\tB\t8\t0.5\n"
    frame = read_re2g(write(text))
    assert frame["Chromosome"].tolist() == ["7", "X"]
    assert frame["gene"].tolist() == ["A", "B"]


def test_comma_separated(write):
    text = 'chr,start,end,name,TargetGene,TargetGeneTSS,ABC.Score\nchr1,1,5,"e",A,9,0.5\n'
    assert read_abc(write(text, "a.csv"))["name"].tolist() == ["e"]


@pytest.mark.parametrize(
    ("reader", "file", "fits"),
    [
        (read_abc, f"{BENCHMARK}/EPCrisprBenchmark_Fulco2019_K562_GRCh38.tsv.gz", "fit read_crispr"),
        (read_re2g, f"{ABC}/EnhancerPredictions_threshold0.027_self_promoter.tsv.gz", "the score; .* fit read_abc"),
        (read_crispr, f"{BENCHMARK}/encode_e2g_predictions_threshold0.243.tsv.gz", "effect_size.* fit read_re2g"),
        (read_abc, f"{ABC}/EnhancerPredictionsFull_threshold0.027_self_promoter.bedpe.gz", "read by read_bedpe"),
        (read_bedpe, f"{ABC}/EnhancerPredictions_threshold0.027_self_promoter.tsv.gz", "fit read_abc"),
    ],
)
def test_the_reader_that_fits_is_named(shared, reader, file, fits):
    with pytest.raises(ValueError, match=fits):
        reader(shared / file)


def test_missing_and_empty_genes(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected ABC predictions"):
        read_abc(tmp_path / "no.tsv")
    with pytest.raises(ValueError, match="line 3: gene is empty"):
        read_abc(write("chr\tstart\tend\tTargetGene\tTargetGeneTSS\tABC.Score\n1\t1\t2\tA\t5\t1\n1\t1\t2\t\t5\t1\n"))


# --- BEDPE


def test_bedpe_of_abc_has_genes(shared):
    pairs = read_bedpe(shared / ABC / "EnhancerPredictionsFull_threshold0.027_self_promoter.bedpe.gz")
    table = read_abc(shared / ABC / "EnhancerPredictionsFull_threshold0.027_self_promoter.tsv.gz")
    for column in ("Chromosome", "Start", "End", "gene", "tss"):
        assert pairs[column].tolist() == table[column].tolist()
    assert pairs["Score"].tolist() == table["ABC.Score"].tolist()


@pytest.mark.parametrize(
    "header", ["", "#chr1\tx1\tx2\tchr2\ty1\ty2\n", "chrom1\tstart1\tend1\tchrom2\tstart2\tend2\n"]
)
def test_bedpe_of_loops(write, header):
    frame = read_bedpe(write(header + "chr1\t5\t9\tchr2\t1\t3\nchr1\t6\t9\tchr2\t1\t1\n"))
    assert [*frame.columns] == ["Chromosome", "Start", "End", "Chromosome2", "Start2", "End2"]
    assert frame["Start"].tolist() == [5, 6]


def test_bedpe_with_more_columns(write):
    line = "\t".join(["chr1", "5", "9", "chr1", "50", "90", "loop", ".", "+", "-", "red", "7"])
    frame = read_bedpe(write(line + "\n"))
    assert [*frame.columns[6:]] == ["Name", "Score", "Strand", "Strand2", "Column11", "Column12"]
    assert pd.isna(frame["Score"].iloc[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t1\t2\tx\n", "4 columns, expected at least the 6 of BEDPE; it is a BED file: use read_bed"),
        ("chr1\t5\t9\tchr1\t9\t5\n", "line 1: found chr1:9-5, but End2 must not be before Start2"),
        ("chr1\t9\t5\tchr1\t5\t9\n", "line 1: found chr1:9-5, but End must be greater"),
        ("chr1\t5\t9\t.\t-1\t-1\n", r"found \.:-1--1"),
        ("chr1\t5\tx\tchr1\t1\t2\n", "End is 'x'"),
    ],
)
def test_bad_bedpe_is_refused(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_bedpe(write(text))
