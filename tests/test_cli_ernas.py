"""Enhancer RNA on the command line: trained, predicted, judged, scanned and called, on a simulated genome."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from command_line import run
from erna_study import make_erna_study

PACKAGED = "ERNAformer-small-simulated"
TINY = (
    "seq_len: 1024\nsequence_channels: [8, 8, 8, 8, 16]\nsignal_channels: [8, 8, 16]\n"
    "dim: 16\nn_layers: 1\nn_heads: 2\n"
)


@dataclass
class Study:
    """Object and genome as files, and the truth."""

    path: Path
    genome: tuple[str, Path]
    truth: er.datasets.ErnaGenome


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ernas")
    truth, mdata = make_erna_study(folder)
    er.io.write(mdata, folder / "study.h5mu")
    return Study(folder / "study.h5mu", ("--genome", truth.paths["genome"]), truth)


@pytest.fixture(scope="module")
def trained(study):
    """Models of the one fold, calibrated."""
    folder = study.path.parent
    (folder / "tiny.yaml").write_text(TINY)
    done = run(
        *("train", "ernas", study.path, "--out", folder / "models", "--config", folder / "tiny.yaml", *study.genome),
        *("--calibrate", "--epochs", 1, "--batch-size", 32, "--device", "cpu", "--seed", 1, "--json"),
    )
    assert done.code == 0, done.err
    return done, folder / "models"


@pytest.fixture(scope="module")
def predicted(study):
    """Object with the predictions of the packaged model, and what was said."""
    out = study.path.with_name("predicted.h5mu")
    done = run("predict", "ernas", study.path, "--out", out, *study.genome, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    return done, out


@pytest.fixture(scope="module")
def scanned(study):
    """What was said of a scan of one chromosome with the model that comes with eregtools."""
    done = run("scan", *scan_of(study, "scan"), "--bed", study.path.with_name("loci.bed"), "--json")
    assert done.code == 0, done.err
    return done


def scan_of(study, folder, *more):
    return (
        *(study.path, "--folder", study.path.with_name(folder), *study.genome, "--device", "cpu"),
        *("--sample", "s1", "--chromosome", "chr4", "--one-strand", "--alpha", 0.2, "--decoys", 200),
        *("--out", study.path.with_name(f"{folder}.h5mu"), *more),
    )


class TestTraining:
    def test_models_of_folds_that_test_loci(self, trained):
        done, folder = trained
        assert [model["fold"] for model in done.json["models"]] == [1]
        model = er.models.load(folder / "fold1")
        assert model.config.seq_len == 1024
        assert model.provenance["test_chromosomes"] == ["chr4"]
        assert model.provenance["calibration"]["n"] >= 50
        assert (folder / "fold1" / "README.md").is_file()

    def test_finished_folds_are_kept(self, study, trained):
        _, folder = trained
        before = er.models.load(folder / "fold1").fingerprint()
        again = (
            *("train", "ernas", study.path, "--out", folder, "--config", study.path.with_name("tiny.yaml")),
            *(*study.genome, "--calibrate", "--epochs", 1, "--batch-size", 32, "--device", "cpu", "--seed", 1),
        )
        assert "pass --resume" in run(*again).refusal
        assert run(*again, "--resume").code == 0
        assert er.models.load(folder / "fold1").fingerprint() == before

    def test_models_serve_the_chromosome_they_never_saw(self, study, trained, tmp_path):
        done = run(
            *("predict", "ernas", study.path, "--out", tmp_path / "p.h5mu", "--model", trained[1], *study.genome),
            *("--sample", "s1", "--key", "own", "--device", "cpu"),
        )
        assert done.code == 0, done.err
        ernas = er.io.read(tmp_path / "p.h5mu")["ernas"]
        tested = (ernas.var["Chromosome"] == "chr4").to_numpy()
        assert np.isfinite(ernas.to_df("own").loc["s1"]).tolist() == tested.tolist()
        assert ernas.to_df("own").loc["s2"].isna().all()


class TestPrediction:
    def test_as_the_function_predicts(self, study, predicted):
        done, out = predicted
        mdata = er.io.read(study.path)
        er.tl.predict_ernas(mdata, PACKAGED, genome=study.genome[1], device="cpu")
        found = er.io.read(out)["ernas"].layers["probability"]
        np.testing.assert_array_equal(found, mdata["ernas"].layers["probability"])
        assert done.json["values"] == {"ernas probability": found.size}
        made = done.json["results"]["ernas:probability"]
        assert {(row["sample"], row["model"], row["leakage"]) for row in made} == {
            ("s1", PACKAGED, "unknown"),
            ("s2", PACKAGED, "unknown"),
        }
        assert "trained on simulated data alone" in done.err

    def test_is_judged_beside_the_rules_of_the_field(self, study, predicted, tmp_path):
        table = tmp_path / "scores.tsv"
        done = run(
            *("evaluate", "ernas", predicted[1], "--sample", "s1", *study.genome, "--bootstrap", 20),
            *("--out", table, "--json"),
        )
        assert done.code == 0, done.err
        scores = pd.DataFrame(done.json["scores"])
        assert set(scores["predictor"]) == {"probability", "fantom", "balance", "logistic"}
        assert set(scores["stratum"]) == {"all", "silent", "uni", "poised"}
        whole = scores[scores["stratum"] == "all"].set_index("predictor")
        assert whole.loc["probability", "auroc"] > whole.loc["fantom", "auroc"] > 0.7
        np.testing.assert_allclose(pd.read_csv(table, sep="\t")["auroc"], scores["auroc"].astype(float))

    def test_is_judged_by_known_loci_in_a_file(self, study, predicted):
        arguments = ("--positives", study.truth.paths["ernas"], "--sample", "s1", "--bootstrap", 0, *study.genome)
        done = run(
            "evaluate", "ernas", predicted[1], *arguments, "--chromosome", "chr1", "--chromosome", "chr2", "--json"
        )
        assert done.code == 0, done.err
        assert {row["n_positive"] for row in done.json["scores"]} == {48}


def test_report_takes_tables_of_scores(study, predicted, tmp_path):
    table, page = tmp_path / "first.tsv", tmp_path / "page.html"
    judged = run("evaluate", "ernas", predicted[1], "--sample", "s1", *study.genome, "--bootstrap", 0, "--out", table)
    assert judged.code == 0, judged.err
    done = run(
        *("report", predicted[1], "--out", page, "--scores", table, "--bootstrap", 0, "--sample", "s2"),
        *study.genome,
    )
    assert done.code == 0, done.err
    text = page.read_text()
    assert "<h3>first</h3>" in text
    assert "<h3>Loci of enhancer RNA, s2</h3>" in text
    assert "rules of FANTOM5" in text
    missing = run("report", predicted[1], "--out", tmp_path / "other.html", "--scores", tmp_path / "none.tsv").refusal
    assert "none.tsv" in missing
    assert not (tmp_path / "other.html").exists()


class TestScan:
    def test_loci_are_those_that_are_planted(self, study, scanned):
        mdata = er.io.read(study.path.with_name("scan.h5mu"))
        loci = mdata["ernas"].var
        assert scanned.json["loci"] == len(loci) > 0
        assert set(loci["Chromosome"]) == {"chr4"}
        bed = er.io.read_bed(study.path.with_name("loci.bed"))
        assert bed["Name"].tolist() == list(mdata["ernas"].var_names)
        truth = study.truth.positives
        centres = truth.loc[truth["Chromosome"] == "chr4", "center"].to_numpy()
        near = np.abs(loci["center"].to_numpy()[:, None] - centres).min(axis=1) < 200
        assert near.mean() > 0.7
        assert scanned.json["samples"][0]["sample"] == "s1"
        assert Path(scanned.json["bigwig"]["s1"]).is_file()
        assert "trained on simulated data alone" in scanned.err

    def test_goes_on_with_what_is_there(self, study, scanned):
        called = er.io.read(study.path.with_name("scan.h5mu"))["ernas"].var
        refusal = run("scan", *scan_of(study, "scan")).refusal
        assert "is not empty; pass --resume to go on with the scan in it, --overwrite to replace it" in refusal
        done = run("scan", *scan_of(study, "scan", "--resume"))
        assert done.code == 0, done.err
        assert "nothing is computed" in done.err
        assert f"s1: {len(called)} loci, estimated FDR 0." in done.out
        pd.testing.assert_frame_equal(er.io.read(study.path.with_name("scan.h5mu"))["ernas"].var, called)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ("scan", "BARE", "--folder", "TMP/s", "G"),
                "no coverage; run er.pp.add_coverage first, or give --coverage",
            ),
            (("scan", "STUDY", "--folder", "TMP/s", "G", "--bed", "TMP/x.txt"), "ends in .bed, .bed.gz or .bw"),
            (("scan", "STUDY", "--folder", "TMP/s", "G", "--bed", "TMP/x.bed", "--tracks-only"), "leave out --tracks"),
            (
                ("scan", "STUDY", "--folder", "TMP/s", "G", "--model", "EPInformer-small-simulated"),
                "expected ERNAformer",
            ),
            (("scan", "STUDY", "--folder", "TMP/s"), "give its FASTA file: --genome"),
            (("predict", "ernas", "BARE", "G"), "no modality 'ernas'"),
            (("predict", "ernas", "STUDY", "G", "--prior", "1.5"), "prior"),
            (("predict", "ernas", "STUDY", "G", "--coverage", "TMP/none"), "none is no folder"),
            (("predict", "ernas", "STUDY", "G", "--sample", "s9"), "s9"),
            (("train", "ernas", "BARE", "--out", "TMP/m", "G"), "no modality 'ernas'"),
            (("train", "ernas", "STUDY", "--out", "TMP/m", "G", "--fold", "2"), "no such fold; it has 1"),
            (("train", "ernas", "UNLABELLED", "--out", "TMP/m", "G"), "no column 'label'"),
            (("evaluate", "ernas", "STUDY", "G", "--sample", "s1", "--score", "luck"), "luck"),
            (("evaluate", "ernas", "STUDY", "G"), "name one with --sample"),
            (("evaluate", "ernas", "UNLABELLED", "G", "--sample", "s1"), "the loci have no labels; give --positives"),
            (("evaluate", "ernas", "PREDICTED", "G", "--sample", "s1", "--mode", "bin"), "needs --positives"),
        ],
    )
    def test_one_sentence_and_nothing_written(self, study, predicted, tmp_path, arguments, message):
        places = {
            "STUDY": study.path,
            "PREDICTED": predicted[1],
            "BARE": tmp_path / "bare.h5mu",
            "UNLABELLED": tmp_path / "unlabelled.h5mu",
        }
        mdata = er.io.read(predicted[1])
        if "UNLABELLED" in arguments:
            del mdata["ernas"].var["label"]
            er.io.write(mdata, places["UNLABELLED"])
        if "BARE" in arguments:
            del mdata.mod["ernas"], mdata.uns["eregtools"]["coverage"]
            er.io.write(mdata, places["BARE"])
        given = []
        for word in arguments:
            given += study.genome if word == "G" else [places.get(word, word.replace("TMP", str(tmp_path)))]
        before = study.path.read_bytes(), sorted(tmp_path.rglob("*"))
        refusal = run(*given).refusal
        assert message in refusal
        assert (study.path.read_bytes(), sorted(path for path in tmp_path.rglob("*") if path.is_file())) == before
