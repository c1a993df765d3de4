"""``eregtools build``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools.cli._objects import check_object_target
from eregtools.cli._options import Json
from eregtools.cli._report import reporting
from eregtools.cli.validate import describe


def build(
    config: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Argument(metavar="CONFIG.yaml", help="What to build from; `--example` prints one with every key."),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.h5mu", help="Where to write; default: `output` of the configuration."),
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a complete configuration and stop.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the configuration and whether its files are there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build the object from files: genes, enhancers, signal, links, contacts, expression."""
    from eregtools import build as pipeline

    if example:
        sys.stdout.write(pipeline.example())
        return
    if config is None:
        raise typer.BadParameter("name a configuration, or print one with --example", param_hint="CONFIG.yaml")
    with reporting(as_json) as report:
        wanted = pipeline.read_config(config)
        target = out or wanted.output
        if target is None:
            raise ValueError(f"{config} names no output; add a line 'output: study.h5mu', or give --out")
        check_object_target(target)
        if check:
            report.say(f"{config} is valid and its files are there", config=config, valid=True, output=target)
            return
        from eregtools.io.store import write

        mdata = pipeline.build(config)
        write(mdata, target)
        describe(mdata, report)
        report.say(f"written to {target}", output=target)
