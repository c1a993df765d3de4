"""No command without a test, nor without words for a new user."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from command_line import commands, run, words_of_runs
from eregtools.cli import app


def test_every_command_is_run_by_a_test():
    """Calls of ``run`` that are not to be refused begin with the words of the commands."""
    files = [path for path in Path(__file__).parent.glob("test_*.py") if "command_line" in path.read_text()]
    seen = [words for path in files for words in words_of_runs(path)]
    missing = {one for one in commands(app) if not any(tuple(words[: len(one)]) == one for words in seen)}
    assert missing == set()


@pytest.mark.parametrize("words", sorted(commands(app)), ids=" ".join)
def test_every_command_and_option_is_explained(words):
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    assert command.help.rstrip().endswith(".")
    for parameter in command.params:
        assert parameter.help, parameter.name
    done = run(*words, "--help")
    assert done.code == 0
    assert f"eregtools {' '.join(words)} " in " ".join(done.out.split())


def test_models_lists_those_that_come_along():
    listed = run("models", "--json").json["models"]
    own = {row["name"]: row for row in listed if row["source"] == "eregtools"}
    assert set(own) >= {"EPInformer-small-simulated", "ERNAformer-small-simulated"}
    assert {row["licence"] for row in own.values()} == {"BSD-3-Clause"}
    lines = run("models").out.splitlines()
    assert len(lines) == len(listed)
    assert any(line.startswith("ERNAformer-small-simulated\t") for line in lines)


def test_what_comes_along_is_not_fetched():
    refusal = run("fetch", "ERNAformer-small-simulated").refusal
    assert "comes with eregtools, there is nothing to fetch" in refusal
