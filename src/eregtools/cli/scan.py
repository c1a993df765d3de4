"""``eregtools scan``: scan chromosomes for enhancer-RNA loci and call them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools.cli._objects import check_object_target, check_target, open_genome, open_object
from eregtools.cli._options import (
    ERNA_MODEL,
    CoverageFolder,
    Device,
    ErnaModel,
    GenomeName,
    Json,
    Leakage,
    Object,
    Out,
    Samples,
    Seed,
)
from eregtools.cli._report import reporting, rows
from eregtools.cli.predict import _fold
from eregtools.cli.train import Devices


def scan(
    path: Object,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the tracks of the scan go.")],
    model: ErnaModel = ERNA_MODEL,
    out: Out = None,
    bed: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.bed", help="Write the loci too: .bed, .bed.gz or .bw."),
    ] = None,
    call: Annotated[bool, typer.Option("--call/--tracks-only", help="Call loci on the tracks.")] = True,
    alpha: Annotated[float, typer.Option(help="Largest q-value of a locus.")] = 0.1,
    decoys: Annotated[int, typer.Option(help="Windows of each biosample that are read out of register.")] = 10_000,
    stitch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(metavar="BP", help="Name clusters of loci that are so many bases apart, such as 12500."),
    ] = None,
    mask: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="FILE.bed", help="Regions without loci; default: the mask of the object."),
    ] = None,
    chromosome: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="NAME", help="Chromosome; may be given several times. Default: all."),
    ] = None,
    hop: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(metavar="BP", help="Distance of windows; default: half a window."),
    ] = None,
    fold: Annotated[
        str, typer.Option(help="auto: each chromosome by the model that never saw it; or the number of a fold.")
    ] = "auto",
    one_strand: Annotated[
        bool, typer.Option("--one-strand", help="Read one strand only, in half of the time.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a scan that was interrupted.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the scan in the folder.")] = False,
    sample: Samples = None,
    coverage: CoverageFolder = None,
    genome: GenomeName = None,
    device: Device = None,
    devices: Devices = 1,
    seed: Seed = None,
    allow_leakage: Leakage = False,
    as_json: Json = False,
) -> None:
    """Scan whole chromosomes for enhancer-RNA loci, and call them with a false discovery rate."""
    from eregtools import io, tl
    from eregtools._keys import UNS, Modality, Uns
    from eregtools.io.erna_export import kind_of
    from eregtools.train.fit import is_first_process

    with reporting(as_json) as report:
        target = out or path
        check_object_target(target)
        if bed is not None:
            if not call:
                raise ValueError("--bed is for the loci that are called; leave out --tracks-only")
            kind_of(bed)
            check_target(bed)
        mdata = open_object(path)
        reference = open_genome(mdata, genome)
        tl.scan_ernas(
            mdata,
            model,
            folder=folder,
            genome=reference,
            chromosomes=chromosome,
            sample=sample,
            coverage=coverage,
            mask=mask,
            fold=_fold(fold),
            hop=hop,
            both_strands=not one_strand,
            device=device,
            devices=devices,
            resume=resume,
            overwrite=overwrite,
            allow_leakage=allow_leakage,
        )
        if not is_first_process():
            return
        known = mdata.uns[UNS][Uns.erna_scan]
        tracks = {str(name): str(path) for name, path in known["bigwig"]["path"].items()}
        report.say(f"tracks in {folder}: {', '.join(tracks)}", folder=folder, bigwig=tracks)
        if call:
            tl.call_ernas(
                mdata,
                alpha=alpha,
                decoys=decoys,
                stitch=stitch,
                sample=sample,
                coverage=coverage,
                genome=reference,
                device=device,
                rng=seed,
            )
            table = mdata.uns[UNS][Uns.erna_calls]["samples"].reset_index()
            for row in table.itertuples():
                report.say(f"{row.sample}: {row.calls} loci, estimated FDR {row.fdr:.3f}, {row.decoys} decoys")
            report.facts |= {"loci": int(mdata[Modality.ernas].n_vars), "samples": rows(table)}
            if bed is not None:
                io.write_ernas(mdata, bed)
                report.say(f"loci written to {bed}", bed=bed)
        io.write(mdata, target)
        report.say(f"written to {target}", output=target)
