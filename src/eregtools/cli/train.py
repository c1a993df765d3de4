"""``eregtools train``: a model for one fold, or one for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from eregtools._keys import Modality
from eregtools.cli._objects import open_genome, open_object
from eregtools.cli._options import CoverageFolder, Device, GenomeName, Json, Object, Sample, Samples, Seed
from eregtools.cli._report import reporting

if TYPE_CHECKING:
    from mudata import MuData

app = typer.Typer(help="Train a model: one for each fold, in FOLDER/fold1, FOLDER/fold2 …", no_args_is_help=True)

Folder = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Where the models go; `predict --model FOLDER` takes them.")
]
Folds = Annotated[
    Optional[list[int]],  # noqa: UP045
    typer.Option("--fold", help="Fold to train; may be given several times. Default: all of the object."),
]
Regime = Annotated[
    Literal["eregtools", "paper", "published"],
    typer.Option(help="How it is trained: ours, the paper's, or the published weights'."),
]
Architecture = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--config", metavar="YAML", help="Architecture; default: the published one, or the preset."),
]
Encoder = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        metavar="FOLDER|NAME",
        help="Enhancer predictor to start from; of a folder of fold models, that of the same fold.",
    ),
]
Epochs = Annotated[Optional[int], typer.Option("--epochs", help="Most epochs; default: those of the regime.")]  # noqa: UP045
Patience = Annotated[Optional[int], typer.Option(help="Epochs without improvement after which it stops.")]  # noqa: UP045
Batch = Annotated[Optional[int], typer.Option("--batch-size", help="Items of a step, over all devices.")]  # noqa: UP045
Rate = Annotated[Optional[float], typer.Option("--learning-rate", help="Default: that of the regime.")]  # noqa: UP045
Devices = Annotated[int, typer.Option(help="Devices of a node.")]
Nodes = Annotated[int, typer.Option(help="Nodes, under torchrun or SLURM.")]
Precision = Annotated[
    Optional[Literal["32", "bf16", "64"]],  # noqa: UP045
    typer.Option(help="Default: bf16 (mixed) where a GPU has it, else 32."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in FOLDER; finished folds are kept.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is in FOLDER.")]


Variant = Annotated[
    Literal["promoter", "PE", "PE-Activity", "PE-Activity-HiC"], typer.Option(help="Features beside sequence.")
]


@app.command()
def expression(
    path: Object,
    out: Folder,
    fold: Folds = None,
    assay: Annotated[str, typer.Option(help="Layer of the genes to learn.")] = "RNA",
    variant: Variant = "PE-Activity-HiC",
    regime: Regime = "eregtools",
    sequence: Annotated[bool, typer.Option(help="Read sequence; without, to say what sequence adds.")] = True,
    encoder: Encoder = None,
    freeze_encoder: Annotated[bool, typer.Option("--freeze-encoder", help="Keep its tower as it is.")] = False,
    reverse_complement: Annotated[bool, typer.Option(help="Turn sequences round at random.")] = False,
    max_shift: Annotated[int, typer.Option(help="Move sequences at random by up to so many bp.")] = 0,
    config: Architecture = None,
    sample: Samples = None,
    genome: GenomeName = None,
    epochs: Epochs = None,
    patience: Patience = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    device: Device = None,
    devices: Devices = 1,
    nodes: Nodes = 1,
    precision: Precision = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Train EPInformer to predict the expression of genes."""
    from eregtools import tl

    def train(mdata: MuData, number: int, folder: Path) -> Any:
        return tl.train_expression(
            mdata,
            assay=assay,
            fold=number,
            variant=variant,
            regime=regime,
            use_sequence=sequence,
            encoder=_encoder(encoder, number),
            freeze_encoder=freeze_encoder,
            reverse_complement=reverse_complement,
            max_shift=max_shift,
            config=_architecture(config, "EPInformerConfig"),
            sample=sample,
            genome=open_genome(mdata, genome) if sequence else None,
            max_epochs=epochs,
            patience=patience,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
            devices=devices,
            nodes=nodes,
            precision=precision,
            folder=folder,
            resume=resume,
            overwrite=overwrite,
            rng=seed,
        )

    _train(train, path, out, fold, as_json)


@app.command()
def activity(
    path: Object,
    out: Folder,
    fold: Folds = None,
    target: Annotated[str, typer.Option(help="Layer of the enhancers to learn, as log2(0.1 + value).")] = "activity",
    regime: Regime = "eregtools",
    encoder: Encoder = None,
    reverse_complement: Annotated[bool, typer.Option(help="Train on both strands.")] = True,
    config: Architecture = None,
    sample: Sample = None,
    genome: GenomeName = None,
    epochs: Epochs = None,
    patience: Patience = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    device: Device = None,
    devices: Devices = 1,
    nodes: Nodes = 1,
    precision: Precision = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Train an enhancer predictor: activity of an element from its sequence."""
    from eregtools import tl

    def train(mdata: MuData, number: int, folder: Path) -> Any:
        return tl.train_activity(
            mdata,
            fold=number,
            target=target,
            regime=regime,
            encoder=_encoder(encoder, number),
            reverse_complement=reverse_complement,
            config=_architecture(config, "EPInformerSeqConfig"),
            sample=sample,
            genome=open_genome(mdata, genome),
            max_epochs=epochs,
            patience=patience,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
            devices=devices,
            nodes=nodes,
            precision=precision,
            folder=folder,
            resume=resume,
            overwrite=overwrite,
            rng=seed,
        )

    _train(train, path, out, fold, as_json)


@app.command()
def interactions(
    path: Object,
    out: Folder,
    fold: Folds = None,
    regime: Annotated[
        Literal["eregtools", "paper"], typer.Option(help="How it is trained: ours, or the paper's.")
    ] = "eregtools",
    alpha: Annotated[float, typer.Option(help="Weight of the main head's loss.")] = 0.6,
    ratio: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Negative pairs for each positive one in validation."),
    ] = 1,
    copies: Annotated[int, typer.Option(help="How often each positive pair is trained on.")] = 10,
    jitter: Annotated[int, typer.Option(help="Move windows at random by up to so many bp.")] = 100,
    config: Architecture = None,
    sample: Sample = None,
    genome: GenomeName = None,
    epochs: Epochs = None,
    patience: Patience = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    device: Device = None,
    devices: Devices = 1,
    nodes: Nodes = 1,
    precision: Precision = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Train EPIPAM on labelled pairs: whether an enhancer and a promoter interact."""
    from eregtools import tl

    def train(mdata: MuData, number: int, folder: Path) -> Any:
        return tl.train_interactions(
            mdata,
            fold=number,
            regime=regime,
            alpha=alpha,
            ratio=ratio,
            copies=copies,
            jitter=jitter,
            config=_architecture(config, "EPIPAMConfig"),
            sample=sample,
            genome=open_genome(mdata, genome),
            max_epochs=epochs,
            patience=patience,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
            devices=devices,
            nodes=nodes,
            precision=precision,
            folder=folder,
            resume=resume,
            overwrite=overwrite,
            rng=seed,
        )

    _train(train, path, out, fold, as_json)


@app.command()
def ernas(
    path: Object,
    out: Folder,
    fold: Folds = None,
    preset: Annotated[Literal["small", "base", "large"], typer.Option(help="Size of the network.")] = "base",
    config: Architecture = None,
    core: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(metavar="BP", help="Bins so near to the centre of a locus are positive; default: 200."),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit the temperature on the loci that chose the epoch (50 or more), so that a probability means what "
            "it says.",
        ),
    ] = False,
    sample: Samples = None,
    coverage: CoverageFolder = None,
    genome: GenomeName = None,
    epochs: Epochs = None,
    patience: Patience = None,
    batch_size: Batch = None,
    learning_rate: Rate = None,
    device: Device = None,
    devices: Devices = 1,
    nodes: Nodes = 1,
    precision: Precision = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Train ERNAformer on labelled loci: whether a locus is an enhancer RNA, from sequence and coverage."""
    from eregtools import tl
    from eregtools.train.fit import is_first_process

    def train(mdata: MuData, number: int, folder: Path) -> Any:
        reference = open_genome(mdata, genome)
        model = tl.train_ernas(
            mdata,
            fold=number,
            preset=preset,
            config=_architecture(config, "ERNAformerConfig"),
            core=core,
            sample=sample,
            coverage=coverage,
            genome=reference,
            max_epochs=epochs,
            patience=patience,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
            devices=devices,
            nodes=nodes,
            precision=precision,
            folder=folder,
            resume=resume,
            overwrite=overwrite,
            rng=seed,
        )
        if calibrate and is_first_process():
            model = tl.calibrate_ernas(mdata, model, sample=sample, coverage=coverage, genome=reference, device=device)
            model.save(folder)
        return model

    _train(train, path, out, fold, as_json, Modality.ernas)


def _train(
    train: Callable[[MuData, int, Path], Any],
    path: Path,
    out: Path,
    folds: list[int] | None,
    as_json: bool,
    modality: str = Modality.genes,
) -> None:
    """Train each fold in a folder of its own, and say how well each does on what it did not see.

    Folds are trained that test a chromosome of the modality.
    """
    with reporting(as_json) as report:
        if out.is_file():
            raise NotADirectoryError(f"{out} is a file; name a folder to write to")
        mdata = open_object(path)
        numbers = _folds(mdata, folds, modality)
        report.facts["models"] = []
        for number in numbers:
            folder = out / f"fold{number}"
            about = train(mdata, number, folder).provenance
            training = about.get("training", {})
            report.facts["models"].append({"fold": number, "folder": folder, "sha256": about.get("sha256"), **training})
            shown = ", ".join(f"{name} {value:.4g}" for name, value in training.items() if isinstance(value, float))
            report.say(f"fold {number}: {folder} ({shown})")


def _folds(mdata: MuData, wanted: list[int] | None, modality: str) -> list[int]:
    """Folds to train: those asked for, all of which must be there, or all that test something."""
    from eregtools._keys import UNS, Uns, Var
    from eregtools._schema import require_modality

    schemes = mdata.uns.get(UNS, {})
    name = schemes.get(Uns.fold_schemes, {}).get(Var.fold)
    if name is None:
        raise KeyError("the object has no folds; add folds: to the configuration of `eregtools build`, or er.pp.split")
    table = schemes[Uns.folds][name]
    present = require_modality(mdata, modality).var[Var.chromosome].astype(str).unique()
    tested = table.loc[table.index.isin(present)].astype(object) == "test"
    there = [int(column) for column in table.columns if tested[column].any()]
    if unknown := [number for number in wanted or () if number not in there]:
        raise KeyError(f"--fold {unknown[0]}: the object has no such fold; it has {', '.join(map(str, there))}")
    return wanted or there


def _encoder(encoder: str | None, fold: int) -> str | Path | None:
    """Enhancer predictor of a fold; of a folder of fold models, the one of the same fold."""
    from eregtools.models.zoo import find, fold_folders

    if encoder is None:
        return None
    if Path(encoder).is_dir() and not (Path(encoder) / "config.json").exists():
        folders = fold_folders(Path(encoder))
        if fold not in folders:
            raise FileNotFoundError(
                f"--encoder {encoder} holds no model of fold {fold} (it has {', '.join(map(str, folders)) or 'none'}); "
                "train it with `eregtools train activity`"
            )
        return folders[fold]
    published = {checkpoint.fold: checkpoint.name for checkpoint in find(encoder)}
    return published.get(fold, encoder)


def _architecture(path: Path | None, name: str) -> Any:
    """Architecture that a YAML file describes."""
    if path is None:
        return None
    from eregtools import models
    from eregtools._configuration import read_configuration

    return read_configuration(path, getattr(models, name))
