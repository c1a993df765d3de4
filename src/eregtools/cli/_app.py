"""The commands put together, and how errors end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer

from eregtools._logging import logger
from eregtools.cli import build, demo, evaluate, export, fetch, pairs, predict, report, scan, train, validate
from eregtools.cli._report import sentence

app = typer.Typer(
    help="Gene regulation in one object: enhancers, genes and their links.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("build")(build.build)
app.command("pairs")(pairs.pairs)
app.add_typer(train.app, name="train")
app.add_typer(predict.app, name="predict")
app.command("scan")(scan.scan)
app.add_typer(evaluate.app, name="evaluate")
app.command("report")(report.report)
app.command("export")(export.export)
app.command("validate")(validate.validate)
app.command("fetch")(fetch.fetch)
app.command("models")(fetch.models)

_BAD_INPUT = (ValueError, KeyError, OSError, ImportError, MemoryError)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("eregtools"))
        raise typer.Exit


@app.callback()
def session(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more; show where an error arose.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Gene regulation in one object: enhancers, genes and their links."""
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: errors of the input end in one line, never in a traceback."""
    with _logging_to_stderr():
        try:
            app(arguments, prog_name="eregtools")
        except Exception as error:
            logger.debug("where it arose:", exc_info=error)
            fault = "" if isinstance(error, _BAD_INPUT) else f"unexpected {type(error).__name__}: "
            print(f"eregtools: {fault}{sentence(error)}", file=sys.stderr)
            sys.exit(1)


@contextmanager
def _logging_to_stderr() -> Iterator[None]:
    handler, level = logging.StreamHandler(), logger.level
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
