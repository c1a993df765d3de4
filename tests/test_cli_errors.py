"""How commands end: bad input in one sentence and nothing written, usage, and what reaches stdout and terminals."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import eregtools as er
from command_line import ENCODER, run, simulated_study


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = simulated_study(tmp_path_factory.mktemp("cli") / "files").parent
    (folder / "encoder.yaml").write_text(ENCODER)
    return folder


@pytest.fixture(scope="module")
def study(files):
    assert run("build", files / "study.yaml").code == 0
    return files / "study.h5mu"


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("build", "none.yaml"), "none.yaml"),
            (("build", "FILES/study.yaml", "--out", "TMP/none/x.h5mu"), "the folder .* does not exist"),
            (("build", "FILES/study.yaml", "--out", "TMP/x.h5ad"), "ending is .h5ad, expected .h5mu or .zarr"),
            (("validate", "none.h5mu"), "none.h5mu does not exist"),
            (("validate", "FILES/study.yaml"), "expected .h5mu or .zarr"),
            (("fetch", "hg83"), "no published model or genome 'hg83'; did you mean 'hg38'"),
            (("fetch", "EPInformer-PE-Activity/K562/CAG"), "did you mean 'EPInformer-PE-Activity/K562/CAGE'"),
            (("fetch", "hg38", "--sha256", "abc"), "expected 64 hexadecimal digits"),
            (("fetch", "EPInformer-PE-Activity/K562/CAGE", "--mirror", "x"), "are for genomes"),
            (("train", "expression", "STUDY", "--out", "TMP/m", "--fold", 9), "--fold 9: .* it has 1, 2, 3"),
            (("train", "expression", "STUDY", "--out", "TMP/m"), "--genome"),
            (("train", "expression", "STUDY", "--out", "TMP/m", "--genome", "hg38"), "run `eregtools fetch hg38`"),
            (("train", "expression", "STUDY", "--out", "TMP/m", "--genome", "x.fa"), "--genome x.fa: neither a file"),
            (("train", "expression", "STUDY", "--out", "FILES/study.yaml", "--genome", "G"), "is a file"),
            (
                ("train", "expression", "STUDY", "--out", "TMP/m", "--genome", "G", "--config", "FILES/encoder.yaml"),
                "unknown key 'hidden'",
            ),
            (
                ("train", "expression", "STUDY", "--out", "TMP/m", "--genome", "G", "--encoder", "TMP"),
                "holds no model of fold 1",
            ),
            (("train", "activity", "STUDY", "--out", "TMP/m", "--genome", "G", "--target", "no"), "no layer 'no'"),
            (("predict", "expression", "STUDY", "--genome", "G", "--model", "none"), "no model 'none'"),
            (("predict", "expression", "STUDY", "--genome", "G", "--fold", "first"), "expected auto or the number"),
            (("predict", "links", "STUDY", "--sample", "K562"), "K562"),
            (("predict", "links", "STUDY", "--out", "TMP/x.txt"), "ending is .txt"),
            (("predict", "variants", "STUDY", "none.vcf", "--out", "TMP/v.tsv", "--genome", "G"), "none.vcf"),
            (
                ("predict", "variants", "STUDY", "none.vcf", "--out", "TMP/v.xls", "--genome", "G"),
                "ends in .tsv or .csv",
            ),
            (("evaluate", "expression", "STUDY"), "no layer 'RNA_pred'"),
            (("evaluate", "activity", "STUDY", "--genome", "G"), "no layer 'activity_pred'"),
            (("evaluate", "links", "STUDY", "--pairs", "FILES/expression.tsv"), "has no column"),
            (("export", "STUDY", "--out", "TMP/x.bedpe"), "no layer 'abc'"),
            (("export", "STUDY", "--out", "TMP/x.pdf"), "ending is .pdf"),
            (("demo", "--k562", "none"), "no folder none"),
        ],
    )
    def test_one_sentence_and_nothing_written(self, files, study, tmp_path, arguments, message, monkeypatch):
        monkeypatch.setattr(er.settings, "cache_dir", tmp_path / "cache")
        monkeypatch.setattr(er.settings, "offline", True)
        words = {"STUDY": str(study), "G": str(files / "genome.fa")}
        given = [
            words.get(word, word.replace("FILES", str(files)).replace("TMP", str(tmp_path)))
            for word in map(str, arguments)
        ]
        before = study.read_bytes()
        refusal = run(*given).refusal
        assert re.search(message, refusal), refusal
        assert study.read_bytes() == before
        left = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert left == []

    @pytest.mark.parametrize(
        "arguments",
        [
            ("dance",),
            ("train",),
            ("train", "interactions"),
            ("predict", "expression"),
            ("validate",),
            ("build",),
            ("validate", "x.h5mu", "--colour", "red"),
            ("train", "expression", "x.h5mu", "--out", "m", "--fold", "one"),
            ("train", "expression", "x.h5mu", "--out", "m", "--regime", "mine"),
            ("predict", "links", "x.h5mu", "--score", "luck"),
            ("export", "x.h5mu"),
        ],
    )
    def test_usage(self, arguments):
        done = run(*arguments)
        assert done.code == 2
        assert "Traceback" not in done.err

    def test_what_nobody_expected_is_one_line_too(self, study, monkeypatch):
        def broken(_):
            raise ZeroDivisionError("of something")

        monkeypatch.setattr("eregtools.io.store.read", broken)
        assert run("validate", study).refusal == "eregtools: unexpected ZeroDivisionError: of something"
        assert "broken" in run("--verbose", "validate", study).err


class TestTerminal:
    def test_only_the_result_reaches_stdout(self, files, study):
        done = subprocess.run(
            [sys.executable, "-m", "eregtools.cli", "predict", "links", study, "--out", files / "t.h5mu", "--json"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("{")
        assert done.stdout.count("\n") == 1
        assert "\r" not in done.stderr
        assert "%|" not in done.stderr

    def test_bars_are_for_terminals(self, monkeypatch):
        from eregtools.cli import _report

        seen = []
        with er.settings.override(progress=True):
            for terminal in (True, False):
                monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal, raising=False)
                with _report.reporting(False):
                    seen.append(er.settings.progress)
        assert seen == [True, False]

    def test_one_process_of_several_prints(self, study, monkeypatch):
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert run("validate", study, "--json").out == ""
        monkeypatch.setenv("RANK", "0")
        assert run("validate", study, "--json").json["valid"]

    def test_quiet(self, study, tmp_path):
        loud = run("predict", "links", study, "--out", tmp_path / "x.h5mu").err
        assert run("--quiet", "predict", "links", study, "--out", tmp_path / "x.h5mu").err == ""
        assert "Traceback" not in loud

    def test_help_is_quick_to_load(self):
        code = (
            "import sys; from eregtools import cli; "
            "print(*(m for m in ('torch', 'pandas', 'anndata', 'mudata', 'matplotlib', 'scipy') if m in sys.modules))"
        )
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert loaded.split() == []

    def test_version(self):
        assert run("--version").out.strip() == er.__version__
