"""Objects and tables that commands read and write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

    from eregtools.genome import Genome


def open_object(path: Path) -> MuData:
    """Read an object and check all of it."""
    from eregtools._schema import validate
    from eregtools.io.store import read

    mdata = read(path)
    validate(mdata)
    return mdata


def open_genome(mdata: MuData, genome: str | None) -> Genome | None:
    """Genome of an option: a file, a name, or none; without it, the one that the object names, if it was fetched.

    Raises
    ------
    KeyError
        It is neither a file nor a genome that is known by name, or the object names none such.
    FileNotFoundError
        It is known, but was not fetched.
    """
    from eregtools._keys import UNS, Uns
    from eregtools.datasets.genomes import fetched_genome, known_genomes
    from eregtools.genome import get_genome

    if genome == "none":
        return None
    named = mdata.uns.get(UNS, {}).get(Uns.genome)
    wanted = named if genome is None else genome
    if wanted in known_genomes() and not Path(wanted).is_file():
        return fetched_genome(wanted)
    if genome is None:
        raise KeyError(
            f"the object is of genome {named!r}, which is not fetched by name; give its FASTA file: --genome"
        )
    if not Path(genome).expanduser().is_file():
        raise KeyError(
            f"--genome {genome}: neither a file nor a genome that is known by name ({', '.join(known_genomes())})"
        )
    return get_genome(Path(genome))


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, before the work is done.

    Raises
    ------
    FileNotFoundError
        Its folder does not exist.
    PermissionError
        The folder cannot be written.
    """
    import os

    folder = path.expanduser().parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path}: the folder {folder} cannot be written; name another one")


def check_object_target(path: Path) -> None:
    """As :func:`check_target`, and the ending must be that of an object."""
    if path.suffix not in (".h5mu", ".zarr"):
        raise ValueError(f"{path}: the ending is {path.suffix or 'missing'}, expected .h5mu or .zarr")
    check_target(path)


def check_table_target(path: Path) -> None:
    """As :func:`check_target`, and the ending must be that of a table."""
    if Path(path.name.removesuffix(".gz")).suffix not in (".tsv", ".csv"):
        raise ValueError(f"{path}: expected a name that ends in .tsv or .csv, or one of these and .gz")
    check_target(path)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table; the file is whole or not there."""
    import gzip

    from eregtools.io.store import write_bytes

    comma = path.name.removesuffix(".gz").endswith(".csv")
    content = table.to_csv(sep="," if comma else "\t", index=False).encode()
    write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content, path)
