"""``eregtools demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools.cli._options import Json
from eregtools.cli._report import reporting, rows


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
    as_json: Json = False,
) -> None:
    """From files to an object, a model, predictions, scores of links, figures and one .h5mu.

    Without options: a simulated genome, a compact EPInformer trained on it, judged on a chromosome it never saw.
    """
    from eregtools import demo as demonstration

    with reporting(as_json) as report:
        if k562 is None:
            table = demonstration.run_simulated(out, seed=seed)
            report.say("On the held-out chromosome of the simulated genome:")
        else:
            table = demonstration.run_k562(k562, out, gene=gene)
            report.say(
                "Correlation with measured K562 RNA, each gene predicted by a model that never saw its chromosome:"
            )
        report.say(table.to_string(), scores=rows(table.reset_index()))
        report.say(f"Figures (PNG and PDF) and the object (.h5mu) are in {out}", folder=out)
