"""What a command says: a result on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from eregtools._settings import settings

if TYPE_CHECKING:
    import pandas as pd


_ARGUMENT: Final = re.compile(r"(?<![\w.'\"(])(?P<name>[a-z_]{4,})=(True\b|(?=\s|$|[;,.]))")
"""As errors of functions name their arguments: ``resume=True``, ``genome=``."""


@dataclass
class Report:
    """Result of a command.

    Attributes
    ----------
    facts
        The result for other programs: what ``--json`` prints.
    lines
        The result for people.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def say(self, line: str, **facts: Any) -> None:
        """Add a line, and what it says as facts."""
        self.lines.append(line)
        self.facts.update(facts)


@contextmanager
def reporting(as_json: bool) -> Iterator[Report]:
    """Run the work of a command and print its result, which is all that reaches stdout; bars are for terminals only.

    Of the processes of a distributed training the first one prints.
    """
    out, report = sys.stdout, Report()
    with redirect_stdout(sys.stderr), settings.override(progress=settings.progress and sys.stderr.isatty()):
        yield report
    rank = next((os.environ[name] for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if name in os.environ), "0")
    if rank == "0":
        print(json.dumps(plain(report.facts), allow_nan=False) if as_json else "\n".join(report.lines), file=out)


def plain(value: Any) -> Any:
    """Value as JSON has it: NaN and infinities are ``null``, paths are text.

    Examples
    --------
    >>> from pathlib import PurePath
    >>> import numpy as np
    >>> plain({"r": np.float32(0.5), "missing": [float("nan")], 1: (2, PurePath("x"))})
    {'r': 0.5, 'missing': [None], '1': [2, 'x']}
    """
    if isinstance(value, dict):
        return {str(key): plain(held) for key, held in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    if isinstance(value, float):
        return value if value - value == 0 else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as JSON has them."""
    return [dict(zip(table.columns, plain(list(row)), strict=True)) for row in table.itertuples(index=False, name=None)]


def sentence(error: BaseException) -> str:
    """Write an error as one line; arguments of functions that it names become the options of the same name.

    Examples
    --------
    >>> sentence(KeyError("no layer 'x'")), sentence(FileNotFoundError(2, "No such file or directory", "a.bed"))
    ("no layer 'x'", 'a.bed: No such file or directory')
    >>> sentence(ValueError("pass allow_leakage=True or genome="))
    'pass --allow-leakage or --genome'
    """
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    text = _ARGUMENT.sub(lambda found: "--" + found["name"].replace("_", "-"), text)
    return "; ".join(part for line in text.splitlines() if (part := line.strip())) or type(error).__name__
