"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Object = Annotated[Path, typer.Argument(metavar="FILE.h5mu", help="The object, as `eregtools build` writes it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Out = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(metavar="FILE.h5mu", help="Where to write the object; default: it replaces FILE.h5mu."),
]
Table = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", metavar="TABLE", help="Write the table too: .tsv or .csv, also with .gz."),
]
GenomeName = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--genome",
        metavar="FASTA|NAME",
        help="FASTA file, or a genome that `eregtools fetch` fetched, or none for a model that reads no sequence; "
        "default: the genome that the object names.",
    ),
]
Models = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--model",
        metavar="FOLDER|NAME",
        help="A model or a folder of fold models, a name of `eregtools models`, or a Hugging Face repository "
        "(owner/name); default: the published weights of the biosample.",
    ),
]
ErnaModel = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="FOLDER|NAME",
        help="A model, a folder of fold models, or a name of `eregtools models`. The default comes with eregtools and "
        "shows the machinery, not biology: it was trained on simulated loci alone.",
    ),
]
ERNA_MODEL = "ERNAformer-small-simulated"
Samples = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--sample", metavar="NAME", help="Biosample; may be given several times. Default: all."),
]
Sample = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--sample", metavar="NAME", help="Biosample; default: the only one."),
]
Device = Annotated[Optional[str], typer.Option(help="auto, cpu, cuda, cuda:1, mps; default: auto.")]  # noqa: UP045
Seed = Annotated[Optional[int], typer.Option(help="Seed of every random step; default: 0.")]  # noqa: UP045
CoverageFolder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--coverage", metavar="FOLDER", help="Coverage of the object, where its folder was moved; default: as recorded."
    ),
]
CrossCell = Annotated[
    bool, typer.Option("--allow-cross-cell", help="Use weights of another biosample; the result is marked.")
]
Leakage = Annotated[
    bool,
    typer.Option("--allow-leakage", help="Predict chromosomes that the weights have seen; the result is marked."),
]
