"""``eregtools pairs``: the object from a table of labelled enhancer-promoter pairs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools.cli._objects import check_object_target
from eregtools.cli._options import Json
from eregtools.cli._report import reporting


class Method(StrEnum):
    """Kinds of negative pairs; Typer takes several of an enumeration only."""

    repaired = "repaired"
    distance = "distance"
    shift = "shift"


def pairs(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="TargetFinder, BENGI, ChIA-PET or CRISPR pairs.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write: .h5mu or .zarr.")],
    genome: Annotated[str, typer.Option(metavar="FASTA|NAME", help="Genome of the table.")],
    scheme: Annotated[str, typer.Option(help="Fold scheme.")] = "epipam8",
    matched: Annotated[
        Optional[list[Method]],  # noqa: UP045
        typer.Option(help="Add negative pairs made from the positive ones; may be given several times."),
    ] = None,
    enhancer_width: Annotated[int, typer.Option(help="Window of an enhancer in bp.")] = 3_000,
    promoter_width: Annotated[int, typer.Option(help="Window of a promoter in bp.")] = 2_000,
    sample: Annotated[Optional[str], typer.Option(help="Biosample; default: as the table says.")] = None,  # noqa: UP045
    as_json: Json = False,
) -> None:
    """Build the object from enhancer-promoter pairs that are known to interact or not to."""
    from eregtools import io, pp

    with reporting(as_json) as report:
        check_object_target(out)
        mdata = pp.pairs(
            table, genome=genome, enhancer_width=enhancer_width, promoter_width=promoter_width, sample=sample
        )
        for method in matched or ():
            pp.matched_pairs(mdata, method=method.value)
        pp.split(mdata, scheme)
        io.write(mdata, out)
        links = mdata["links"].var
        counts = {"pairs": len(links), "positive": int(links["label"].sum())}
        report.say(f"{counts['pairs']} pairs, {counts['positive']} positive; written to {out}", output=out, **counts)
