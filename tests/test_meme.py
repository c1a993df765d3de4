"""MEME motif files."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools.io.meme import as_motifs, as_table

HEADER = "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\n"
MATRIX = "letter-probability matrix: alength= 4 w= 2 nsites= 20 E= 0\n 0.9 0.1 0 0\n 0 0 0.25 0.75\n"


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "m.meme"
        path.write_text(text)
        return path

    return write


def test_matrices_and_names(written):
    motifs = er.io.read_meme(written(f"{HEADER}MOTIF MA1\tone\n\n{MATRIX}URL x\n\nMOTIF two\n{MATRIX}"))
    assert list(motifs) == ["MA1 one", "two"]
    assert motifs["two"].dtype == np.float32
    assert np.allclose(motifs["two"], [[0.9, 0.1, 0, 0], [0, 0, 0.25, 0.75]])


def test_output_of_meme_itself(written):
    """Its text output has log odds, and more on the line of the name."""
    text = (
        "********\nMEME - Motif discovery tool\n********\nMEME version 5.5.5 (Release date: 2023)\n\n"
        "ALPHABET= ACGT\nMOTIF TGA MEME-1\twidth =   2  sites =  18  llr = 190  E-value = 1.2e-020\n"
        "\tMotif TGA MEME-1 Description\nlog-odds matrix: alength= 4 w= 2 n= 10 bayes= 9 E= 1.2e-020\n"
        "  10 -20 3 4\n  1 2 3 4\n-----\n"
        + MATRIX.replace("w= 2 nsites= 20 E= 0", "w= 2 nsites= 18 E= 1.2e-020")
        + "----\n"
    )
    motifs = er.io.read_meme(written(text))
    assert list(motifs) == ["TGA MEME-1"]
    assert motifs["TGA MEME-1"][1, 3] == 0.75


def test_width_may_be_left_out_and_rows_are_scaled(written):
    motifs = er.io.read_meme(
        written("MEME version 4\nMOTIF a\nletter-probability matrix:\n0.33 0.33 0.33 0\n1 0 0 0\n\n")
    )
    assert np.allclose(motifs["a"].sum(axis=1), 1)
    assert motifs["a"].shape == (2, 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (">MA0001.1\nA [ 1 2 ]\n", r"line 1: found '>MA0001.1'; expected a MEME motif file \('MEME version 4'"),
        (
            f"MEME version 4\nALPHABET= ACDEFGHIKLMNPQRSTVWY\nMOTIF a\n{MATRIX}",
            "line 2: the alphabet is ACDEF.*expected ACGT",
        ),
        (HEADER, "holds no motif; expected lines that begin with 'MOTIF'"),
        (f"{HEADER}MOTIF a\n{MATRIX}MOTIF a\n{MATRIX}", r"1 motif names occur more than once \('a'\)"),
        (f"{HEADER}MOTIF a\nMOTIF b\n{MATRIX}", "motif 'a' has no 'letter-probability matrix'"),
        (f"{HEADER}{MATRIX}", "line 7: a matrix without a MOTIF line before it"),
        (f"{HEADER}MOTIF a\n{MATRIX}\n{MATRIX}", "a matrix without a MOTIF line before it; is a part lost"),
        (
            f"{HEADER}MOTIF a\n{MATRIX}".rsplit("\n", 2)[0],
            "line 8: 1 rows below this line, expected w= 2. The file may be",
        ),
        (f"{HEADER}MOTIF a\n{MATRIX}".replace("0.1 0 0", "0.1 0"), "line 8: a row of 3 numbers, expected 4"),
        (f"{HEADER}MOTIF a\n{MATRIX}".replace("0.9 ", "18 "), "line 8: the matrix holds no probabilities"),
        (f"{HEADER}MOTIF a\n{MATRIX}".replace("0.9 0.1 0 0", "1.2 -0.2 0 0"), "holds no probabilities.*none negative"),
    ],
)
def test_files_that_are_not_read(written, text, says):
    path = written(text)
    with pytest.raises(ValueError, match=says) as caught:
        er.io.read_meme(path)
    assert str(path) in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a file; expected a MEME motif file"):
        er.io.read_meme(tmp_path / "absent.meme")


def test_written_motifs_are_read_back(tmp_path):
    motifs = {name: np.random.default_rng(k).dirichlet(np.ones(4), 5 + k) for k, name in enumerate(("a", "MA1 b", "c"))}
    for name in ("m.meme", "m.meme.gz"):
        er.io.write_meme(motifs, tmp_path / name)
        back = er.io.read_meme(tmp_path / name)
        assert list(back) == list(motifs)
        assert all(np.allclose(back[k], motifs[k], atol=1e-7) for k in motifs)
    assert gzip.decompress((tmp_path / "m.meme.gz").read_bytes()) == (tmp_path / "m.meme").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.meme", "m.meme.gz"]
    with pytest.raises(ValueError, match="motif name 'a  b' cannot be written"):
        er.io.write_meme({"a  b": motifs["a"]}, tmp_path / "n.meme")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        er.io.write_meme(motifs, tmp_path / "no" / "m.meme")
    assert len(list(tmp_path.iterdir())) == 2


def test_other_readers_read_what_is_written(tmp_path):
    """Memelite's own reader."""
    memelite = pytest.importorskip("memelite.io")
    motifs = {"a": np.array([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])}
    er.io.write_meme(motifs, tmp_path / "m.meme")
    back = memelite.read_meme(str(tmp_path / "m.meme"))
    assert np.allclose(back["a"].T, motifs["a"])


def test_tables_and_dicts_are_the_same():
    motifs = {"b": np.eye(4)[[0, 3]], "a": np.eye(4)[[1, 1, 2]]}
    table = as_table(motifs)
    assert list(table.columns) == ["pattern", "position", "A", "C", "G", "T"]
    for given in (
        table,
        table.iloc[::-1].iloc[np.argsort([1, 1, 1, 0, 0], kind="stable")],
        table.astype({"pattern": str}),
    ):
        back = as_motifs(given)
        assert list(back) == ["b", "a"]
        assert all(np.array_equal(back[name], motifs[name]) for name in motifs)
    assert as_table({}).empty
    with pytest.raises(ValueError, match="motif 'b' has position 0 twice"):
        as_motifs(pd.concat([table, table.iloc[:1]]))
    with pytest.raises(KeyError, match="the table of motifs has no column T"):
        as_motifs(table.drop(columns="T"))
    with pytest.raises(TypeError, match="motifs= is a list"):
        as_motifs([np.eye(4)])


@pytest.mark.parametrize(
    ("name", "n", "first"),
    [("jaspar_2024_consensus", 182, "C001:HES_SREBF:bHLH"), ("H12CORE_meme_format", 1443, "AHR.H12CORE.0.P.B")],
)
def test_real_collections(shared, name, n, first):
    motifs = er.io.read_meme(shared / "data" / "motifs" / f"{name}.meme.gz")
    assert len(motifs) == n
    assert next(iter(motifs)) == first
    lengths = [len(pwm) for pwm in motifs.values()]
    assert (min(lengths), max(lengths)) == ((5, 28) if n == 182 else (7, 31))
