"""Command line: thin over the functions of the package.

Exit status: 0 done, 1 bad input (one line that says what and how to mend it), 2 usage.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools._logging import logger

app = typer.Typer(
    help="Gene regulation in one object: enhancers, genes and their links.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def demo(
    k562: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            help="Run the real K562 job instead, on a folder that holds, at any depth: "
            "K562_candidate_enhancers_counts.tsv.gz, K562_genes_TSS1kb_counts.tsv.gz, mRNA_halflife_features.tsv.gz, "
            "gene_predictions_PEActivity_RNA_K562.tsv.gz, and hg38.fa, hg38.fa.gz (bgzip) or hg38.partial.fa.gz. "
            "Published weights (EPInformer_PE_Activity_CAGE_K562_fold1.pt …) in it are used, else they are fetched."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("demo"),
    gene: Annotated[Optional[str], typer.Option(help="Gene to draw, with --k562 (name or id).")] = None,  # noqa: UP045
    seed: Annotated[int, typer.Option(help="Seed of the simulation and of training.")] = 0,
) -> None:
    """From files to an object, a model, predictions, scores of links, figures and one .h5mu.

    Without options: a simulated genome, a compact EPInformer trained on it, judged on a chromosome it never saw.
    """
    from eregtools import demo as demonstration

    if k562 is None:
        table = demonstration.run_simulated(out, seed=seed)
        typer.echo("On the held-out chromosome of the simulated genome:")
    else:
        table = demonstration.run_k562(k562, out, gene=gene)
        typer.echo("Correlation with measured K562 RNA, each gene predicted by a model that never saw its chromosome:")
    typer.echo(table.to_string())
    typer.echo(f"Figures (PNG and PDF) and the object (.h5mu) are in {out}")


@app.command()
def validate(path: Annotated[Path, typer.Argument(help="A .h5mu or .zarr written by eregtools.")]) -> None:
    """Check that a file is an object that eregtools takes."""
    from eregtools.io.store import read

    mdata = read(path)
    for name, modality in mdata.mod.items():
        typer.echo(f"{name}: {modality.n_obs} biosamples × {modality.n_vars}")
    typer.echo(f"{path} is valid")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Model or set of fold models, as in `eregtools models`.")],
) -> None:
    """Fetch published weights and check their hashes."""
    from eregtools.models import zoo

    checkpoints = zoo.find(name)
    if not checkpoints:
        raise KeyError(f"no published model {name!r}; `eregtools models` lists them")
    for checkpoint in checkpoints:
        typer.echo(f"{checkpoint.name}\t{zoo.fetch(checkpoint)}")


@app.command()
def models() -> None:
    """List the published models that are known by name."""
    from eregtools.models import zoo

    for checkpoint in zoo.registry():
        typer.echo(f"{checkpoint.name}\t{checkpoint.file}\t{checkpoint.source}\t{checkpoint.licence}")


def main() -> None:
    """Entry point: errors of the input end in one line, never in a traceback."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        app()
    except (ValueError, KeyError, OSError, ImportError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"eregtools: {message}", file=sys.stderr)
        sys.exit(1)
