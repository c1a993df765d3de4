"""``eregtools fetch`` and ``eregtools models``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from eregtools.cli._options import Json
from eregtools.cli._report import reporting, rows


def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="WEIGHTS|GENOME",
            help="A model or set of fold models (`eregtools models`), a Hugging Face repository (owner/name), or a "
            "genome: hg38, hg19, mm10, mm39.",
        ),
    ],
    sha256: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="HASH", help="Of a genome's compressed file; default: its publisher's MD5 sum."),
    ] = None,
    mirror: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="ADDRESS",
            help="Take a genome from here instead: http(s)://, file:// or a folder (EREGTOOLS_GENOMES); weights have "
            "EREGTOOLS_WEIGHTS.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fetch published weights or a reference genome, and check their hashes."""
    from eregtools.datasets.genomes import fetch_genome, known_genomes

    with reporting(as_json) as report:
        if name in known_genomes():
            genome = fetch_genome(name, sha256=sha256, mirror=mirror)
            files = {name: known_genomes()[name].path}
            report.facts["sequences"] = len(genome.chrom_sizes)
        else:
            if sha256 or mirror:
                raise ValueError(
                    f"--sha256 and --mirror are for genomes ({', '.join(known_genomes())}), and {name!r} is none; the "
                    "hashes of published weights are known"
                )
            files = _fetch_weights(name)
        report.facts["files"] = files
        report.lines += [f"{one}\t{path}" for one, path in files.items()]


def _fetch_weights(name: str) -> dict[str, Path]:
    from eregtools._configuration import nearest
    from eregtools.datasets.genomes import known_genomes
    from eregtools.models import hub, zoo

    if checkpoints := zoo.find(name):
        return {checkpoint.name: zoo.fetch(checkpoint) for checkpoint in checkpoints}
    sets = list(dict.fromkeys(checkpoint.set_name for checkpoint in zoo.registry()))
    families = {checkpoint.family for checkpoint in zoo.registry()}
    if name.split("/")[0] not in families and (address := hub.address(name)) is not None:
        return {name: hub.fetch(address)}
    if name in zoo.packaged():
        raise ValueError(f"{name} comes with eregtools, there is nothing to fetch; name it with --model")
    raise KeyError(f"no published model or genome {name!r}; {nearest(name, [*known_genomes(), *sets])}")


def models(as_json: Json = False) -> None:
    """List the models that are known by name: published ones, and those that come with eregtools."""
    from eregtools.models.zoo import list_models

    with reporting(as_json) as report:
        table = list_models()
        report.facts["models"] = rows(table)
        report.lines += ["\t".join(row) for row in table[["name", "file", "source", "licence"]].to_numpy(str)]
