"""What importing costs, what the package exports, and the command line."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import eregtools as er
from eregtools import cli

HEAVY = {"torch", "scanpy", "matplotlib", "lightning", "captum", "sklearn"}


def test_import_loads_nothing_heavy():
    code = "import sys, eregtools as er; er.settings; print(*sorted(m.split('.')[0] for m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "eregtools" in loaded
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("module", ["io", "pp", "get", "pl", "tl", "models", "datasets"])
def test_submodules_load_nothing_heavy_until_they_are_used(module):
    code = f"import sys, eregtools as er; er.{module}; print(*(m for m in {sorted(HEAVY)} if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_everything_exported_is_there():
    for name in er.__all__:
        assert getattr(er, name) is not None
    for module in (er.io, er.pp, er.get, er.pl, er.tl, er.models, er.datasets):
        for name in module.__all__:
            assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        er.nothing  # noqa: B018


def test_settings_come_back_after_an_error():
    before = er.settings.device
    with contextlib.suppress(ZeroDivisionError), er.settings.override(device="cpu", progress=False):
        assert er.settings.device == "cpu"
        1 / 0  # noqa: B018
    assert er.settings.device == before
    with pytest.raises(AttributeError, match="eregtools has no setting 'devices'; there are cache_dir"):
        er.settings.devices = "cpu"


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", "from eregtools.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


class TestCommandLine:
    def test_help_names_the_commands_and_files(self):
        text = CliRunner().invoke(cli.app, ["--help"]).output
        for command in ("demo", "validate", "fetch", "models"):
            assert command in text

    def test_bad_input_is_one_line_and_exit_1(self, tmp_path):
        done = run("demo", "--k562", tmp_path / "nowhere")
        assert done.returncode == 1
        assert done.stderr.startswith("eregtools: no folder")
        assert len(done.stderr.splitlines()) == 1
        done = run("validate", tmp_path / "absent.h5mu")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        (tmp_path / "bad.h5mu").write_bytes(b"not hdf5")
        done = run("validate", tmp_path / "bad.h5mu")
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)

    def test_missing_files_are_all_named(self, tmp_path):
        done = run("demo", "--k562", tmp_path)
        assert done.returncode == 1
        assert "K562_genes_TSS1kb_counts.tsv.gz" in done.stderr
        assert "a genome (hg38.fa or hg38.fa.gz or hg38.partial.fa.gz)" in done.stderr

    def test_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        done = run("demo", "--k562", tmp_path, "--out", tmp_path / "file")
        assert done.returncode == 1
        assert "is a file; name a folder to write to" in done.stderr

    def test_usage_errors_exit_2(self):
        assert run("demo", "--colour", "red").returncode == 2
        assert run("dance").returncode == 2

    def test_fetch_says_where_to_put_weights(self, tmp_path):
        done = run(
            "fetch",
            "EPInformer-PE-Activity/K562/CAGE/fold1",
            EREGTOOLS_CACHE=str(tmp_path),
            EREGTOOLS_OFFLINE="1",
            EREGTOOLS_WEIGHTS="",
        )
        assert done.returncode == 1
        assert "EPInformer_PE_Activity_CAGE_K562_fold1.pt" in done.stderr
        assert run("fetch", "nothing").returncode == 1

    def test_models_are_listed(self):
        assert "EPInformer-seq/K562/activity/fold12" in run("models").stdout


def test_no_machine_path_in_the_package():
    """The project speaks of itself alone."""
    root = Path(er.__file__).parent
    for path in root.rglob("*"):
        if path.suffix in {".py", ".yaml"}:
            assert "/home/" not in path.read_text()
