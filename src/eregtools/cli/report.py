"""``eregtools report``: an object as one page for the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools.cli._objects import open_genome, open_object
from eregtools.cli._options import GenomeName, Json, Object, Samples, Seed
from eregtools.cli._report import reporting


def report(
    path: Object,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="Where to write.")] = Path(
        "report.html"
    ),
    gene: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Gene to show, by id or name; may be given several times. Default: all."),
    ] = None,
    title: Annotated[Optional[str], typer.Option(help="Title of the page.")] = None,  # noqa: UP045
    pairs: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="TABLE", help="Pairs that were tested, to judge scores of links by."),
    ] = None,
    sample: Samples = None,
    genome: GenomeName = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Write one page: what is in the object, quality, scores beside baselines, genes, links and loci."""
    from eregtools.io.links import read_crispr
    from eregtools.report import write_report

    with reporting(as_json) as said:
        mdata = open_object(path)
        write_report(
            mdata,
            out,
            genes=gene,
            sample=sample,
            title=title,
            pairs=None if pairs is None else read_crispr(pairs),
            genome=None if genome is None else open_genome(mdata, genome),
            rng=seed,
        )
        said.say(f"written to {out}; open it in a browser", output=out)
