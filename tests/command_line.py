"""The command line run as a user does, in this process."""

from __future__ import annotations

import ast
import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

import eregtools as er
from eregtools import build
from eregtools.cli import main

SMALL = er.datasets.SimulationConfig(
    n_chromosomes=4, chromosome_length=200_000, n_genes=60, n_elements=120, n_variants=10
)

ARCHITECTURE = "window: 512\nembedding_dim: 32\nn_layers: 1\ntower_channels: [8, 8, 8, 8, 12]\n"
ENCODER = "window: 512\nhidden: 16\ntower_channels: [8, 8, 8, 8, 12]\n"


@dataclass
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one line of bad input."""
        assert self.code == 1, (self.code, self.out, self.err)
        assert self.out == ""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("eregtools: ")]
        assert len(lines) == 1
        assert self.err.splitlines()[-1] == lines[0]
        return lines[0]


def run(*arguments: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def simulated_study(folder: Path) -> Path:
    """Simulated files, and beside them the example configuration as it is printed."""
    er.datasets.simulate(folder, seed=1, config=SMALL)
    (folder / "study.yaml").write_text(build.example())
    return folder / "study.yaml"


def commands(app: typer.Typer) -> set[tuple[str, ...]]:
    """Every command of an application by its words, those of its groups too."""

    def below(command: Any, words: tuple[str, ...]) -> set[tuple[str, ...]]:
        if not hasattr(command, "commands"):
            return {words}
        return set().union(*(below(one, (*words, name)) for name, one in command.commands.items()))

    return below(typer.main.get_command(app), ())


def words_of_runs(path: Path) -> list[list[str]]:
    """Text that stands in the calls of :func:`run` in a file of tests, those apart that are to be refused."""
    tree = ast.parse(path.read_text())
    refused = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "refusal"}
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "run"
    ]
    return [
        [part.value for part in ast.walk(call) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        for call in calls
        if id(call) not in refused
    ]
