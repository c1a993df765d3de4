"""The object on disk. A file is complete or it is the one that was there before."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import mudata
from mudata import MuData

from eregtools._keys import UNS, Uns
from eregtools._logging import logger
from eregtools._schema import SCHEMA_VERSION, validate

_H5MU, _ZARR = ".h5mu", ".zarr"


def write(mdata: MuData, path: str | Path, *, compression: Literal["gzip", "lzf"] | None = "gzip") -> None:
    """Write the object to a ``.h5mu`` file or a ``.zarr`` folder.

    The object is checked, written beside ``path`` under a temporary name, flushed to the disk and renamed: a
    failure on the way leaves what was there before.

    Parameters
    ----------
    mdata
        The object.
    path
        Target, ``….h5mu`` or ``….zarr``; what is there is replaced.
    compression
        Compression of arrays in ``.h5mu``; ``.zarr`` has its own.

    Raises
    ------
    ValueError
        Another extension or compression, or an object that is not valid (every fault is named).
    OSError
        The folder does not exist or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "study.h5mu"
    >>> er.io.write(er.datasets.three_genes(), path)
    >>> list(er.io.read(path).mod)
    ['genes', 'enhancers']
    """
    target = Path(path).expanduser()
    kind = _kind(target)
    if compression not in ("gzip", "lzf", None):
        raise ValueError(f"compression={compression!r}: expected 'gzip', 'lzf' or None, which any HDF5 can read")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: the folder {target.parent} does not exist")
    validate(mdata)
    _remove_leftovers(target)
    temporary = _beside(target, "tmp")
    try:
        if kind == _H5MU:
            mdata.write_h5mu(temporary, compression=compression)
        else:
            mdata.write_zarr(temporary)
        _flush(temporary)
        _swap(temporary, target)
    finally:
        _remove(temporary)
    _flush_folder(target.parent)


def read(path: str | Path) -> MuData:
    """Read an object from a ``.h5mu`` file or a ``.zarr`` folder.

    Parameters
    ----------
    path
        What :func:`write` wrote.

    Returns
    -------
    The object, in memory.

    Raises
    ------
    FileNotFoundError
        There is nothing at ``path``.
    ValueError
        Another extension, a file that is damaged or holds something else, or one of a newer eregtools.

    Examples
    --------
    >>> import eregtools as er
    >>> er.io.read("no_such_study.h5mu")
    Traceback (most recent call last):
    FileNotFoundError: no_such_study.h5mu does not exist
    """
    source = Path(path).expanduser()
    _kind(source)
    if not source.exists():
        raise FileNotFoundError(f"{source} does not exist{_saved_aside(source)}")
    mdata = _read_any(source)
    version = int(mdata.uns.get(UNS, {}).get(Uns.schema, SCHEMA_VERSION))
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"{source} has schema version {version}, this eregtools knows {SCHEMA_VERSION}: update eregtools"
        )
    return mdata


def write_bytes(content: bytes, path: str | Path) -> None:
    """Write a file that is complete or not there: beside the target, flushed to the disk and renamed."""
    target = Path(path).expanduser()
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target}: the folder {target.parent} does not exist")
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder; name a file to write")
    temporary = _beside(target, "tmp")
    try:
        temporary.write_bytes(content)
        _flush(temporary)
        _swap(temporary, target)
    finally:
        _remove(temporary)
    _flush_folder(target.parent)


def _read_any(source: Path) -> MuData:
    try:
        mdata = mudata.read_h5mu(source) if source.suffix == _H5MU else mudata.read_zarr(source)
    except (PermissionError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{source} is damaged or holds something else ({error})") from error
    if not mdata.mod:  # mudata 0.4 reads any HDF5 file or folder as an empty object
        raise ValueError(f"{source} is damaged or holds something else: it has no modality")
    return mdata


def _kind(path: Path) -> str:
    if path.suffix not in (_H5MU, _ZARR):
        raise ValueError(f"{path}: the extension is {path.suffix or 'missing'}, expected {_H5MU} or {_ZARR}")
    return path.suffix


def _beside(target: Path, role: str) -> Path:
    """Name beside the target that tells which process of which machine made it."""
    return target.with_name(f".{target.name}.{socket.gethostname()}.{os.getpid()}.{role}{target.suffix}")


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of processes of this machine that were killed while they wrote this target."""
    prefix, suffix = f".{target.name}.{socket.gethostname()}.", f".tmp{target.suffix}"
    for found in target.parent.iterdir():
        if found.name.startswith(prefix) and found.name.endswith(suffix):
            owner = found.name.removeprefix(prefix).removesuffix(suffix)
            if owner.isdigit() and not _runs(int(owner)):
                logger.info("removing %s, left by a process that was killed", found)
                _remove(found)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, MemoryError):
        return True
    return True


def _swap(temporary: Path, target: Path) -> None:
    """Put the new in the place of the old; a folder cannot be replaced, so the old one steps aside."""
    if not target.is_dir():
        temporary.replace(target)
        return
    aside = _beside(target, "old")
    target.rename(aside)
    try:
        temporary.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _remove(aside)


def _saved_aside(path: Path) -> str:
    """Where an old folder is that a killed process left aside."""
    if not path.parent.is_dir():
        return ""
    found = sorted(path.parent.glob(f".{path.name}.*.old{path.suffix}"))
    return f"; its last version is {found[0]}, rename it" if found else ""


def _flush(path: Path) -> None:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    for folder in [path, *path.rglob("*")] if path.is_dir() else []:
        if folder.is_dir():
            _flush_folder(folder)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    _with_descriptor(folder, os.fsync)


def _with_descriptor(folder: Path, action: Callable[[int], None]) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        action(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
