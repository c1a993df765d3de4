"""``eregtools export``: links and elements as other programs take them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools.cli._objects import check_target, open_object, write_table
from eregtools.cli._options import Json, Object, Sample
from eregtools.cli._report import reporting

_BROWSERS = (".bedpe", ".interact", ".longrange")
_TABLES = (".tsv", ".csv")


def export(
    path: Object,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Where to write; its ending says what: .bedpe, .interact (UCSC), .longrange (WashU), .tsv or .csv (a "
            "tidy table), each also with .gz.",
        ),
    ],
    layer: Annotated[str, typer.Option(help="Layer of the links.")] = "abc",
    threshold: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Least value of a link that is written."),
    ] = None,
    sample: Sample = None,
    as_json: Json = False,
) -> None:
    """Write links for genome browsers, or as a table."""
    from eregtools import get, io

    writers = dict(zip(_BROWSERS, (io.write_bedpe, io.write_interact, io.write_longrange), strict=True))
    with reporting(as_json) as report:
        kind = Path(out.name.removesuffix(".gz")).suffix
        if kind not in (*_BROWSERS, *_TABLES):
            raise ValueError(
                f"{out}: the ending is {kind or 'missing'}, expected one of {', '.join(_BROWSERS + _TABLES)}"
            )
        check_target(out)
        mdata = open_object(path)
        if kind in writers:
            writers[kind](mdata, out, layer=layer, sample=sample, threshold=threshold)
        else:
            table = get.links(mdata, sample=sample, layers=layer).dropna(subset=[layer])
            write_table(table if threshold is None else table[table[layer] >= threshold], out)
        report.say(f"written to {out}", output=out, layer=layer)
