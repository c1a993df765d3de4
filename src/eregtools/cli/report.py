"""``eregtools report``: an object as one page for the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools.cli._objects import check_target, open_genome, open_object
from eregtools.cli._options import GenomeName, Json, Object, Samples, Seed
from eregtools.cli._report import reporting


def report(
    path: Object,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="Where to write.")] = Path(
        "report.html"
    ),
    gene: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="Gene to show, by id or name, with the loci in view of it; may be given several times. Default: all."
        ),
    ] = None,
    title: Annotated[Optional[str], typer.Option(help="Title of the page.")] = None,  # noqa: UP045
    pairs: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="TABLE", help="Pairs that were tested, to judge scores of links by."),
    ] = None,
    scores: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(
            metavar="TABLE",
            help="Table that `eregtools evaluate … --out TABLE` wrote, to stand among the scores under its name; may "
            "be given several times.",
        ),
    ] = None,
    bootstrap: Annotated[int, typer.Option("--bootstrap", help="Draws for the intervals; 0: no intervals.")] = 200,
    sample: Samples = None,
    genome: GenomeName = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Write one page: what is in the object, quality, scores beside baselines, genes, links, enhancer RNA and loci."""
    from eregtools.io.links import read_crispr
    from eregtools.io.tables import read_table
    from eregtools.report import write_report

    with reporting(as_json) as said:
        check_target(out)
        mdata = open_object(path)
        write_report(
            mdata,
            out,
            genes=gene,
            sample=sample,
            title=title,
            evaluations={_title(table): read_table(table) for table in scores or ()},
            pairs=None if pairs is None else read_crispr(pairs),
            genome=None if genome is None else open_genome(mdata, genome),
            n_bootstrap=bootstrap,
            rng=seed,
        )
        said.say(f"written to {out}; open it in a browser", output=out)


def _title(table: Path) -> str:
    """Name of a table without its endings."""
    return table.name.removesuffix(".gz").rsplit(".", 1)[0]
