"""``eregtools evaluate``: scores, always beside what needs no model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from eregtools.cli._objects import check_table_target, open_genome, open_object, write_table
from eregtools.cli._options import (
    CoverageFolder,
    CrossCell,
    Device,
    GenomeName,
    Json,
    Leakage,
    Object,
    Sample,
    Samples,
    Seed,
    Table,
)
from eregtools.cli._report import reporting, rows

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

app = typer.Typer(help="Judge predictions beside the baselines that might explain them.", no_args_is_help=True)

Judged = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--model", metavar="FOLDER|NAME", help="Model to judge; default: the predictions that are in the object."
    ),
]
Key = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Layer of predictions to judge; default: that of `eregtools predict`."),
]
Bootstrap = Annotated[int, typer.Option("--bootstrap", help="Draws for the intervals; 0: no intervals.")]


@app.command()
def expression(
    path: Object,
    model: Judged = None,
    assay: Annotated[str, typer.Option(help="Layer of measured expression.")] = "RNA",
    key: Key = None,
    sample: Samples = None,
    genome: GenomeName = None,
    out: Table = None,
    bootstrap: Bootstrap = 1_000,
    device: Device = None,
    seed: Seed = None,
    allow_cross_cell: CrossCell = False,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Judge predicted expression, out of fold, beside trees, promoter activity and shuffled sequence."""
    from eregtools import tl

    _judge(
        lambda mdata: tl.evaluate_expression(
            mdata,
            model,
            assay=assay,
            key=key,
            sample=sample,
            genome=None if model is None else open_genome(mdata, genome),
            device=device,
            n_bootstrap=bootstrap,
            rng=seed,
            allow_cross_cell=allow_cross_cell,
            allow_leakage=allow_leakage,
        ),
        path,
        out,
        as_json,
    )


@app.command()
def activity(
    path: Object,
    model: Judged = None,
    target: Annotated[str, typer.Option(help="Layer of measured activity.")] = "activity",
    key: Key = None,
    sample: Samples = None,
    genome: GenomeName = None,
    out: Table = None,
    bootstrap: Bootstrap = 1_000,
    device: Device = None,
    seed: Seed = None,
    allow_cross_cell: CrossCell = False,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Judge predicted activity, out of fold, beside the composition of sequence and shuffled sequence."""
    from eregtools import tl

    _judge(
        lambda mdata: tl.evaluate_activity(
            mdata,
            model,
            target=target,
            key=key,
            sample=sample,
            genome=open_genome(mdata, genome),
            device=device,
            n_bootstrap=bootstrap,
            rng=seed,
            allow_cross_cell=allow_cross_cell,
            allow_leakage=allow_leakage,
        ),
        path,
        out,
        as_json,
    )


@app.command()
def links(
    path: Object,
    pairs: Annotated[
        Path, typer.Option(metavar="TABLE", help="Pairs that were tested, as a CRISPR benchmark has them.")
    ],
    score: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="Layer of links to judge, with a minus before it where lower is stronger (--score=-perturbation); may "
            "be given several times. Default: all that the object has."
        ),
    ] = None,
    sample: Sample = None,
    out: Table = None,
    bootstrap: Bootstrap = 1_000,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Judge scores of links by measured pairs, beside the distance and the nearest gene."""
    from eregtools import tl
    from eregtools.io.links import read_crispr

    _judge(
        lambda mdata: tl.evaluate_links(
            mdata, read_crispr(pairs), scores=score, sample=sample, n_bootstrap=bootstrap, rng=seed
        ),
        path,
        out,
        as_json,
    )


@app.command()
def interactions(
    path: Object,
    score: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Layer of links to judge; may be given several times. Default: all that the object has."),
    ] = None,
    ratio: Annotated[float, typer.Option(help="Negative pairs for each positive one, by weight.")] = 10,
    sample: Sample = None,
    out: Table = None,
    bootstrap: Bootstrap = 1_000,
    seed: Seed = None,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Judge scores of labelled pairs beside distance, lengths, promoters in between and a look-up."""
    from eregtools import tl

    _judge(
        lambda mdata: tl.evaluate_interactions(
            mdata,
            score,
            ratio=ratio,
            sample=sample,
            n_bootstrap=bootstrap,
            rng=seed,
            allow_leakage=allow_leakage,
        ),
        path,
        out,
        as_json,
    )


@app.command()
def ernas(
    path: Object,
    positives: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.bed", help="Known loci; default: those that the object labels."),
    ] = None,
    negatives: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.bed", help="Regions without one; default: all that is not near a known locus."),
    ] = None,
    mode: Annotated[
        Literal["window", "element", "bin"],
        typer.Option(help="Rank loci; find known elements by calls; or rank bins of 200 bp of whole chromosomes."),
    ] = "window",
    score: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="Layer of loci to judge, with a minus before it where lower is likelier (--score=-qvalue); may be "
            "given several times. Default: probability and score, where they are."
        ),
    ] = None,
    threshold: Annotated[float, typer.Option(help="Score from which a locus is called, for mode window.")] = 0.5,
    chromosome: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="NAME", help="Chromosome; may be given several times. Default: all with known loci."),
    ] = None,
    sample: Sample = None,
    coverage: CoverageFolder = None,
    genome: GenomeName = None,
    out: Table = None,
    bootstrap: Bootstrap = 1_000,
    seed: Seed = None,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Judge loci of enhancer RNA by known ones, beside the rules of the field and numbers without sequence."""
    from eregtools import tl

    _judge(
        lambda mdata: tl.evaluate_ernas(
            mdata,
            positives,
            negatives,
            mode=mode,
            scores=score,
            threshold=threshold,
            chromosomes=chromosome,
            sample=sample,
            coverage=coverage,
            genome=open_genome(mdata, genome),
            n_bootstrap=bootstrap,
            rng=seed,
            allow_leakage=allow_leakage,
        ),
        path,
        out,
        as_json,
    )


def _judge(judge: Callable[[MuData], pd.DataFrame], path: Path, out: Path | None, as_json: bool) -> None:
    """Judge what is in an object; the table is the result."""
    with reporting(as_json) as report:
        if out is not None:
            check_table_target(out)
        table = judge(open_object(path))
        report.say(table.to_string(index=False), scores=rows(table))
        if out is not None:
            write_table(table, out)
            report.say(f"written to {out}", output=out)
