"""Reference genomes by name, fetched from their publisher and checked against the publisher's checksum."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlparse

import yaml

from eregtools._download import OtherHashError, UnreachableError, beside, download
from eregtools._logging import logger, progress_bar
from eregtools._settings import settings
from eregtools.genome import Genome, register_genome

GENOMES_VARIABLE: Final = "EREGTOOLS_GENOMES"
"""Environment variable that names a mirror."""

_CHUNK: Final = 1 << 22


@dataclass(frozen=True)
class PublishedGenome:
    """A genome, and where its publisher keeps it.

    Attributes
    ----------
    name, organism
        As in ``"hg38"``, ``"human"``.
    url
        Address that the two paths are below.
    file, checksums
        FASTA file (gzip), and the publisher's table of MD5 sums.
    """

    name: str
    organism: str
    url: str
    file: str
    checksums: str

    @property
    def path(self) -> Path:
        """Where it is kept: plain FASTA."""
        return settings.cache_dir / "genomes" / f"{self.name}.fa"

    @property
    def record(self) -> Path:
        """Sha256 of what is kept, as ``sha256sum`` writes it."""
        return self.path.with_suffix(".fa.sha256")


@cache
def known_genomes() -> dict[str, PublishedGenome]:
    """Genomes that are known by name."""
    content = yaml.safe_load(resources.files("eregtools.datasets").joinpath("genomes.yaml").read_text())
    return {name: PublishedGenome(name=name, url=content["url"], **about) for name, about in content["genomes"].items()}


def fetch_genome(name: str, *, sha256: str | None = None, mirror: str | None = None) -> Genome:
    r"""Fetch a reference genome, check it against its publisher's checksum, and register it under its name.

    It is kept as plain FASTA in ``settings.cache_dir / "genomes"``; what is there already is checked and used.

    Parameters
    ----------
    name
        ``"hg38"``, ``"hg19"``, ``"mm10"`` or ``"mm39"`` (UCSC).
    sha256
        Hash of the compressed file; ``None``: its MD5 sum is read from the publisher's table, from the same address.
    mirror
        Address in place of the publisher's, with the same folders below it: ``http(s)://``, ``file://``, or a folder.
        ``None``: the environment's ``EREGTOOLS_GENOMES``, otherwise the publisher.

    Returns
    -------
    The genome. ``genome=name`` stands for it from now on.

    Raises
    ------
    KeyError
        No such genome is known.
    FileNotFoundError
        It is not at hand and cannot be fetched.
    ValueError
        A hash is another, the publisher's table does not have the file, or the file is damaged; nothing is kept.
    OSError
        The disk is full.

    Notes
    -----
    Source: the UCSC Genome Browser's downloads. hg38 is the assembly without patches.

    Examples
    --------
    The real files have 1 GB and more. A mirror on the disk, with a chromosome of eight bases, shows how it goes:

    >>> import gzip, hashlib, tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> folder = Path(tempfile.mkdtemp()) / "goldenPath" / "mm39" / "bigZips"
    >>> folder.mkdir(parents=True)
    >>> packed = gzip.compress(b">chr1\nACGTACGT\n")
    >>> _ = (folder / "mm39.fa.gz").write_bytes(packed)
    >>> _ = (folder / "md5sum.txt").write_text(f"{hashlib.md5(packed).hexdigest()}  mm39.fa.gz\n")
    >>> with er.settings.override(cache_dir=tempfile.mkdtemp()):
    ...     genome = er.datasets.fetch_genome("mm39", mirror=str(folder.parents[2]))
    >>> genome.name, genome.chrom_sizes
    ('mm39', {'chr1': 8})
    >>> genome = er.datasets.fetch_genome("hg38")  # doctest: +SKIP
    """
    genome = _known(name)
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256={sha256!r}: expected 64 hexadecimal digits")
    if not genome.path.is_file():
        _fetch(genome, sha256, mirror or os.environ.get(GENOMES_VARIABLE, "").strip() or genome.url)
    else:
        _check_kept(genome)
    return fetched_genome(name)


def fetched_genome(name: str) -> Genome:
    """Open a genome that was fetched earlier, and register it under its name.

    Parameters
    ----------
    name
        As in :func:`fetch_genome`.

    Returns
    -------
    The genome, whose file is ``settings.cache_dir / "genomes" / "{name}.fa"``.

    Raises
    ------
    KeyError
        No such genome is known.
    FileNotFoundError
        It was not fetched.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> with er.settings.override(cache_dir=tempfile.mkdtemp()):
    ...     er.datasets.fetched_genome("mm39")
    Traceback (most recent call last):
    FileNotFoundError: genome 'mm39' was not fetched ...
    >>> genome = er.datasets.fetched_genome("hg38")  # doctest: +SKIP
    """
    genome = _known(name)
    if not genome.path.is_file():
        raise FileNotFoundError(
            f"genome {name!r} was not fetched ({genome.path} is not there); run `eregtools fetch {name}`, or give the "
            "path of its FASTA file"
        )
    found = Genome(genome.path, name=name)
    register_genome(name, found)
    return found


def _known(name: str) -> PublishedGenome:
    genomes = known_genomes()
    if name not in genomes:
        raise KeyError(f"no genome {name!r} is known; there are {', '.join(genomes)}. Others are given as FASTA files")
    return genomes[name]


def _fetch(genome: PublishedGenome, sha256: str | None, base: str) -> None:
    if urlparse(base).scheme not in ("", "file", "http", "https"):
        raise ValueError(f"mirror={base!r}: expected an http(s):// or file:// address, or a folder")
    genome.path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{genome.name}-", dir=genome.path.parent) as folder:
        packed = Path(folder) / PurePosixPath(genome.file).name
        try:
            known_hash = f"sha256:{sha256.lower()}" if sha256 else f"md5:{_published_md5(genome, base, Path(folder))}"
            download(_below(base, genome.file), packed, known_hash=known_hash, progress=True)
        except UnreachableError as error:
            raise FileNotFoundError(
                f"genome {genome.name!r} cannot be fetched ({error}); put its FASTA file to {genome.path}, give its "
                f"path instead, or name a mirror in {GENOMES_VARIABLE}"
            ) from None
        except OtherHashError as error:
            raise ValueError(f"this is not the published {genome.name}: {error}") from None
        _unpack(packed, genome)
    logger.info("genome %s is at %s", genome.name, genome.path)


def _below(base: str, path: str) -> str:
    return f"{base.rstrip('/')}/{path}"


def _published_md5(genome: PublishedGenome, base: str, folder: Path) -> str:
    """MD5 sum that the publisher's table has for the file."""
    table, name = folder / "md5sum.txt", PurePosixPath(genome.file).name
    address = _below(base, genome.checksums)
    download(address, table, known_hash=None)
    for line in table.read_text(errors="replace").splitlines():
        words = line.split()
        if len(words) == 2 and PurePosixPath(words[1].lstrip("*")).name == name:
            if re.fullmatch("[0-9a-fA-F]{32}", words[0]):
                return words[0].lower()
            break
    raise ValueError(f"{address} has no MD5 sum of {name}; give the hash of the file with sha256=")


def _unpack(packed: Path, genome: PublishedGenome) -> None:
    """Plain FASTA, which appears when it is whole, after its hash."""
    digest = hashlib.sha256()
    with beside(genome.path) as part, progress_bar(packed.stat().st_size, f"unpacking {genome.name}", "B") as bar:
        try:
            with packed.open("rb") as raw, gzip.open(raw) as source, part.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
                    bar.update(raw.tell() - bar.n)
        except (gzip.BadGzipFile, EOFError) as error:
            raise ValueError(
                f"{packed.name} of {genome.name} is no whole gzip file ({error}); nothing was kept"
            ) from None
        genome.record.write_text(f"{digest.hexdigest()}  {genome.path.name}\n")
        shutil.move(part, genome.path)


def _check_kept(genome: PublishedGenome) -> None:
    """Refuse a kept file that is not what was written; one that the user put there has no record."""
    if not genome.record.is_file():
        logger.info("%s was put there by hand and is taken as it is", genome.path)
        return
    with genome.path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != genome.record.read_text().split()[0]:
        raise ValueError(f"{genome.path} has changed since it was fetched; remove it and fetch {genome.name!r} again")
