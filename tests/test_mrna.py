"""mRNA features from annotation and sequence, counted by hand and against the published table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import eregtools as er
from eregtools._keys import MRNA_FEATURES
from eregtools._schema import validate
from eregtools.pp.mrna import transcript_features

# Coordinates below are 1-based closed, as in GTF.
# g1, forward: exons 1-20 and 31-60; coding 11-20 and 31-37, stop codon 38-40.
# g1 has a second transcript with a shorter ORF but longer UTRs.
# g2, reverse: exons 101-130, 141-150 and 161-180; coding 111-130 and 141-142, stop codon 108-110.
# g3 is not coding; g4 is one exon that is all ORF.
ROWS = [
    ("g1", "t1", "+", "exon", 1, 20),
    ("g1", "t1", "+", "CDS", 11, 20),
    ("g1", "t1", "+", "exon", 31, 60),
    ("g1", "t1", "+", "CDS", 31, 37),
    ("g1", "t1", "+", "stop_codon", 38, 40),
    ("g1", "t2", "+", "exon", 1, 90),
    ("g1", "t2", "+", "CDS", 41, 50),
    ("g2", "t3", "-", "exon", 161, 180),
    ("g2", "t3", "-", "exon", 141, 150),
    ("g2", "t3", "-", "CDS", 141, 142),
    ("g2", "t3", "-", "exon", 101, 130),
    ("g2", "t3", "-", "CDS", 111, 130),
    ("g2", "t3", "-", "stop_codon", 108, 110),
    ("g3", "t4", "+", "exon", 1, 90),
    ("ENSG00000000004.2", "t5", "+", "exon", 181, 190),
    ("ENSG00000000004.2", "t5", "+", "CDS", 181, 190),
]


def write_gtf(path, rows):
    path.write_text(
        "".join(
            f'chr1\tx\t{feature}\t{start}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{transcript}";\n'
            for gene, transcript, strand, feature, start, end in rows
        )
    )
    return path


@pytest.fixture(scope="module")
def gtf(tmp_path_factory):
    return write_gtf(tmp_path_factory.mktemp("annotation") / "toy.gtf", ROWS)


@pytest.fixture(scope="module")
def sequence():
    letters = np.random.default_rng(3).choice(list("ACGTacgt"), 200)
    letters[[2, 45]] = "N"
    return "".join(letters)


@pytest.fixture(scope="module")
def fasta(tmp_path_factory, sequence):
    path = tmp_path_factory.mktemp("genome") / "toy.fa"
    path.write_text(f">chr1\n{sequence}\n")
    return path


@pytest.fixture
def mdata(fasta):
    genes = pd.DataFrame({"gene_id": ["g1", "g2", "g3", "ENSG00000000004"], "chrom": "chr1", "tss": [0, 179, 0, 180]})
    elements = pd.DataFrame({"chrom": ["chr1"], "start": [10], "end": [20]})
    return er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome=fasta)


def test_counted_by_hand(gtf, fasta, sequence):
    found = transcript_features(gtf, er.Genome(fasta))
    assert found["transcript_id"].to_dict() == {"ENSG00000000004": "t5", "g1": "t1", "g2": "t3"}
    lengths = found[["UTR5LEN", "CDSLEN", "INTRONLEN", "UTR3LEN"]]
    assert lengths.loc["g1"].tolist() == [10, 20, 10, 20]
    assert lengths.loc["g2"].tolist() == [28, 25, 20, 7]
    assert lengths.loc["ENSG00000000004"].tolist() == [0, 10, 0, 0]
    assert found["ORFEXONDENSITY"].tolist() == [100, 100, 80]

    def gc(*pieces):
        letters = "".join(sequence[start - 1 : end] for start, end in pieces).upper().replace("N", "")
        return sum(letter in "GC" for letter in letters) / len(letters)

    expected = {
        "g1": [gc((1, 10)), gc((11, 20), (31, 40)), gc((41, 60))],
        "g2": [gc((161, 180), (143, 150)), gc((108, 130), (141, 142)), gc((101, 107))],
        "ENSG00000000004": [0, gc((181, 190)), 0],
    }
    for gene, values in expected.items():
        np.testing.assert_allclose(found.loc[gene, ["UTR5GC", "CDSGC", "UTR3GC"]].astype(float), values)


def test_in_the_object(mdata, gtf, fasta):
    er.pp.mrna_features(mdata, gtf=gtf, genome=fasta)
    frame = mdata["genes"].varm["mrna_features"]
    assert tuple(frame.columns) == MRNA_FEATURES
    assert (frame.dtypes == np.float32).all()
    assert frame.loc["g3"].isna().all()
    rest = frame.drop(index="g3")
    np.testing.assert_allclose(rest.iloc[:, :4].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(rest.iloc[:, :4].std(ddof=0), 1, rtol=1e-6)
    raw = transcript_features(gtf, er.Genome(fasta)).loc[rest.index]
    logs = np.log10(raw["UTR5LEN"] + 0.1)
    np.testing.assert_allclose(rest["UTR5LEN_log10zscore"], (logs - logs.mean()) / logs.std(ddof=0), rtol=1e-5)
    np.testing.assert_allclose(rest["ORFEXONDENSITY"], raw["ORFEXONDENSITY"])
    record = mdata.uns["eregtools"]["mrna_features"]
    assert record["source"] == "gtf"
    assert record["moments"].loc["UTR5LEN", "mean"] == pytest.approx(logs.mean())
    validate(mdata)


def test_the_source_of_a_table_is_kept(mdata, gtf, fasta):
    er.pp.mrna_features(mdata, gtf=gtf, genome=fasta)
    table = pd.DataFrame(0.5, index=["g1", "g2"], columns=list(MRNA_FEATURES))
    new = er.pp.mrna_features(mdata, table, copy=True)
    assert new.uns["eregtools"]["mrna_features"] == {"source": "table"}
    assert mdata.uns["eregtools"]["mrna_features"]["source"] == "gtf"


def test_it_survives_the_disk(mdata, gtf, fasta, tmp_path):
    er.pp.mrna_features(mdata, gtf=gtf, genome=fasta)
    er.io.write(mdata, tmp_path / "one.h5mu")
    record = er.io.read(tmp_path / "one.h5mu").uns["eregtools"]["mrna_features"]
    assert str(record["source"]) == "gtf"
    np.testing.assert_allclose(record["moments"], mdata.uns["eregtools"]["mrna_features"]["moments"])


def test_one_length_for_all_genes_gives_no_nan(mdata, tmp_path, fasta, caplog):
    path = write_gtf(tmp_path / "one.gtf", [row for row in ROWS if row[0] == "g2"])
    er.pp.mrna_features(mdata, gtf=path, genome=fasta)
    assert mdata["genes"].varm["mrna_features"].loc["g2"].iloc[:4].tolist() == [0, 0, 0, 0]
    assert "same" in caplog.text


def test_bad_input_changes_nothing(mdata, gtf, fasta, tmp_path):
    table = pd.DataFrame(0.5, index=["g1"], columns=list(MRNA_FEATURES))
    no_cds = write_gtf(tmp_path / "exons.gtf", [row for row in ROWS if row[3] == "exon"])
    strangers = write_gtf(tmp_path / "strangers.gtf", [("other", *row[1:]) for row in ROWS])
    beyond = write_gtf(tmp_path / "beyond.gtf", [("g1", "t", "+", kind, 150, 300) for kind in ("exon", "CDS")])
    for arguments, error, message in [
        ({}, TypeError, "either a table or gtf"),
        ({"table": table, "gtf": gtf, "genome": fasta}, TypeError, "either a table or gtf"),
        ({"gtf": gtf}, TypeError, "needs genome"),
        ({"gtf": no_cds, "genome": fasta}, ValueError, "no CDS"),
        ({"gtf": strangers, "genome": fasta}, ValueError, "no gene in common"),
        ({"gtf": beyond, "genome": fasta}, ValueError, "assembly"),
        ({"table": table.drop(columns="CDSGC")}, ValueError, "no column CDSGC"),
    ]:
        with pytest.raises(error, match=message):
            er.pp.mrna_features(mdata, **arguments)
    assert "mrna_features" not in mdata.uns["eregtools"]
    assert not len(mdata["genes"].varm)


def test_published_features(shared, tmp_path):
    fasta = tmp_path / "chr22.fa"  # hg19's length; the sequence is not at hand, so lengths are compared and not GC
    fasta.write_text(">chr22\n" + "G" * 51_304_566 + "\n")
    gtf = shared / "data/nascent_pints_chr22/gencode.chr22.hg19.gtf.gz"
    ours = transcript_features(gtf, er.Genome(fasta))
    published = pd.read_csv(shared / "data/epinformer/mRNA_halflife_features.tsv.gz", sep="\t").set_index("gene_id")
    both = ours.join(published, how="inner", rsuffix="_published")
    assert len(both) == 418
    # another release of the annotation; ranks, because z-scores hide the scale
    least = {"UTR5LEN": 0.92, "CDSLEN": 0.99, "INTRONLEN": 0.98, "UTR3LEN": 0.92}
    for name, bound in least.items():
        assert spearmanr(both[name], both[f"{name}_log10zscore"])[0] > bound
    density, theirs = both["ORFEXONDENSITY"], both["ORFEXONDENSITY_published"]
    assert spearmanr(density, theirs)[0] > 0.98
    assert abs((theirs / density).median() - 1) < 0.02
    assert (both["UTR3GC"][both["UTR3LEN"] > 0] == 1).all()
