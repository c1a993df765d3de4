"""The one progress bar."""

from __future__ import annotations

import sys

import eregtools as er
from eregtools._logging import progress_bar


def test_silence_needs_nothing_of_a_notebook(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with er.settings.override(progress=False), progress_bar(3, "Reading", "files") as bar:
        bar.update(3)
        bar.set_postfix(loss=1)
    assert capsys.readouterr() == ("", "")


def test_work_is_shown(capsys):
    with er.settings.override(progress=True), progress_bar(3, "Reading", "files") as bar:
        bar.update(3)
        shown = capsys.readouterr().err
    assert "Reading" in shown
    assert "0/3" in shown
