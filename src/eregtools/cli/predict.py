"""``eregtools predict``: run a model on the object."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from eregtools.cli._objects import (
    check_object_target,
    check_table_target,
    open_genome,
    open_object,
    write_table,
)
from eregtools.cli._options import (
    ERNA_MODEL,
    CoverageFolder,
    CrossCell,
    Device,
    ErnaModel,
    GenomeName,
    Json,
    Leakage,
    Models,
    Object,
    Out,
    Sample,
    Samples,
    Seed,
)
from eregtools.cli._report import reporting, rows

if TYPE_CHECKING:
    from mudata import MuData

app = typer.Typer(help="Run a model on the object; the result is written into it.", no_args_is_help=True)

Assay = Annotated[str, typer.Option(help="Layer of the genes, or published weights: RNA, CAGE.")]
Fold = Annotated[
    str, typer.Option(help="auto: each element by the model that never saw its chromosome; or the number of a fold.")
]
Shuffle = Annotated[
    bool, typer.Option("--shuffle", help="Predict from shuffled sequence, dinucleotides kept; a layer of its own.")
]


class Score(StrEnum):
    """Scores of links; Typer takes several of an enumeration only."""

    abc = "abc"
    attention = "attention"
    attention_abc = "attention_abc"


@app.command()
def expression(
    path: Object,
    out: Out = None,
    model: Models = None,
    assay: Assay = "RNA",
    fold: Fold = "auto",
    shuffle: Shuffle = False,
    sample: Samples = None,
    genome: GenomeName = None,
    device: Device = None,
    seed: Seed = None,
    allow_cross_cell: CrossCell = False,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Predict the expression of every gene."""
    from eregtools import tl

    _predict(
        lambda mdata: tl.predict_expression(
            mdata,
            model,
            assay=assay,
            fold=_fold(fold),
            shuffle=shuffle,
            sample=sample,
            genome=open_genome(mdata, genome),
            device=device,
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
    out: Out = None,
    model: Models = None,
    fold: Fold = "auto",
    shuffle: Shuffle = False,
    sample: Samples = None,
    genome: GenomeName = None,
    device: Device = None,
    seed: Seed = None,
    allow_cross_cell: CrossCell = False,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Predict the activity of every enhancer from its sequence."""
    from eregtools import tl

    _predict(
        lambda mdata: tl.predict_activity(
            mdata,
            model,
            fold=_fold(fold),
            shuffle=shuffle,
            sample=sample,
            genome=open_genome(mdata, genome),
            device=device,
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
    out: Out = None,
    score: Annotated[
        Optional[list[Score]],  # noqa: UP045
        typer.Option(help="Score to give; may be given several times. Default: abc, which needs no model."),
    ] = None,
    model: Models = None,
    assay: Assay = "RNA",
    fold: Fold = "auto",
    sample: Samples = None,
    genome: GenomeName = None,
    device: Device = None,
    allow_cross_cell: CrossCell = False,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Score every enhancer-gene link: activity by contact, attention of a model, or both."""
    from eregtools import tl

    wanted = set(score or [Score.abc])

    def run(mdata: MuData) -> None:
        if Score.abc in wanted:
            tl.abc(mdata, sample=sample)
        if wanted & {Score.attention, Score.attention_abc}:
            tl.attention(
                mdata,
                model,
                assay=assay,
                fold=_fold(fold),
                sample=sample,
                genome=open_genome(mdata, genome),
                device=device,
                allow_cross_cell=allow_cross_cell,
                allow_leakage=allow_leakage,
            )
        if Score.attention_abc in wanted:
            tl.attention_abc(mdata, sample=sample)

    _predict(run, path, out, as_json)


@app.command()
def interactions(
    path: Object,
    model: Annotated[
        str,
        typer.Option(metavar="FOLDER|NAME", help="A model, a folder of fold models, or a name of `eregtools models`."),
    ],
    out: Out = None,
    labelled: Annotated[bool, typer.Option("--labelled", help="Predict labelled pairs only.")] = False,
    fold: Fold = "auto",
    shuffle: Shuffle = False,
    sample: Samples = None,
    genome: GenomeName = None,
    device: Device = None,
    seed: Seed = None,
    allow_cross_cell: CrossCell = False,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Predict whether the enhancer and the promoter of each link interact, from their sequences."""
    from eregtools import tl

    _predict(
        lambda mdata: tl.predict_interactions(
            mdata,
            model,
            pairs="labelled" if labelled else "links",
            fold=_fold(fold),
            shuffle=shuffle,
            sample=sample,
            genome=open_genome(mdata, genome),
            device=device,
            rng=seed,
            allow_cross_cell=allow_cross_cell,
            allow_leakage=allow_leakage,
        ),
        path,
        out,
        as_json,
    )


@app.command()
def ernas(
    path: Object,
    out: Out = None,
    model: ErnaModel = ERNA_MODEL,
    modalities: Annotated[
        Literal["both", "sequence", "signal"], typer.Option(help="What is read: sequence, coverage, or both.")
    ] = "both",
    prior: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(metavar="SHARE", help="Share of loci that are transcribed; default: that of the training."),
    ] = None,
    key: Annotated[Optional[str], typer.Option(help="Layer to write; default: probability.")] = None,  # noqa: UP045
    fold: Fold = "auto",
    sample: Samples = None,
    coverage: CoverageFolder = None,
    genome: GenomeName = None,
    device: Device = None,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Predict how likely each locus of the object is transcribed as an enhancer RNA."""
    from eregtools import tl

    _predict(
        lambda mdata: tl.predict_ernas(
            mdata,
            model,
            modalities=modalities,
            prior=prior,
            fold=_fold(fold),
            sample=sample,
            coverage=coverage,
            genome=open_genome(mdata, genome),
            device=device,
            key_added=key,
            allow_leakage=allow_leakage,
        ),
        path,
        out,
        as_json,
    )


@app.command()
def perturb(
    path: Object,
    out: Out = None,
    model: Models = None,
    assay: Assay = "RNA",
    targets: Annotated[
        Literal["each", "promoter"], typer.Option(help="Every link's enhancer by itself, or each promoter.")
    ] = "each",
    what: Annotated[Literal["sequence", "features", "both"], typer.Option(help="What is taken away.")] = "sequence",
    scale: Annotated[
        Literal["linear", "model"], typer.Option(help="Fraction of expression, or difference of outputs.")
    ] = "linear",
    gene: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Gene, by id or name; may be given several times. Default: all."),
    ] = None,
    fold: Fold = "auto",
    sample: Samples = None,
    genome: GenomeName = None,
    device: Device = None,
    allow_cross_cell: CrossCell = False,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Knock out enhancers or promoters in silico and predict how expression changes."""
    from eregtools import tl

    _predict(
        lambda mdata: tl.perturb(
            mdata,
            model,
            targets=targets,
            what=what,
            scale=scale,
            assay=assay,
            gene=gene,
            fold=_fold(fold),
            sample=sample,
            genome=open_genome(mdata, genome),
            device=device,
            allow_cross_cell=allow_cross_cell,
            allow_leakage=allow_leakage,
        ),
        path,
        out,
        as_json,
    )


@app.command()
def variants(
    path: Object,
    variants: Annotated[Path, typer.Argument(metavar="VARIANTS.vcf", help="VCF or BCF, also with .gz.")],
    out: Annotated[Path, typer.Option(metavar="TABLE", help="Where to write: .tsv or .csv, also with .gz.")],
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="FOLDER|NAME", help="Models of activity; default: the published ones."),
    ] = None,
    expression_model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="FOLDER|NAME", help="Models of expression; without it activity alone is predicted."),
    ] = None,
    assay: Assay = "RNA",
    skip_mismatch: Annotated[
        bool, typer.Option("--skip-mismatch", help="Leave out variants whose reference is not what the genome has.")
    ] = False,
    sample: Sample = None,
    genome: GenomeName = None,
    device: Device = None,
    allow_cross_cell: CrossCell = False,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Predict the effect of variants on activity and, through their enhancers, on expression; a table."""
    from eregtools import tl

    with reporting(as_json) as report:
        check_table_target(out)
        mdata = open_object(path)
        table = tl.variant_effect(
            mdata,
            variants,
            model=model,
            expression_model=expression_model,
            targets="activity" if expression_model is None else None,
            assay=assay,
            mismatch="skip" if skip_mismatch else "error",
            sample=sample,
            genome=open_genome(mdata, genome),
            device=device,
            allow_cross_cell=allow_cross_cell,
            allow_leakage=allow_leakage,
        )
        write_table(table, out)
        report.say(f"{len(table)} effects written to {out}", output=out, n=len(table), columns=list(table.columns))


def _predict(run: Callable[[MuData], Any], path: Path, out: Path | None, as_json: bool) -> None:
    """Read the object, write results into it, and say which layers are new and what made them."""
    with reporting(as_json) as report:
        target = out or path
        check_object_target(target)
        mdata = open_object(path)
        before = _layers(mdata)
        run(mdata)
        from eregtools.io.store import write

        write(mdata, target)
        made = {place: values for place, values in _layers(mdata).items() if values is not before.get(place)}
        counts = {f"{modality} {layer}": int((values == values).sum()) for (modality, layer), values in made.items()}
        report.facts.update(values=counts, results=_results(mdata, made))
        shown = ", ".join(f"{name} ({count} values)" for name, count in counts.items())
        report.say(f"written to {target}: {shown}", output=target)


def _layers(mdata: MuData) -> dict[tuple[str, str], Any]:
    """Every layer of the object, by modality and name."""
    return {
        (name, layer): values
        for name, modality in mdata.mod.items()
        for layer, values in modality.layers.items()
        if layer is not None
    }


def _results(mdata: MuData, made: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Which weights made the layers of modalities, as far as any did."""
    from eregtools._keys import UNS, Uns

    results = mdata.uns.get(UNS, {}).get(Uns.results, {})
    names = [f"{modality}:{layer}" for modality, layer in made]
    return {name: rows(results[name]) for name in names if name in results}


def _fold(fold: str) -> int | str:
    if fold == "auto" or fold.isdigit():
        return "auto" if fold == "auto" else int(fold)
    raise ValueError(f"--fold {fold}: expected auto or the number of a fold")
