"""What a long run was asked for, kept in its folder, so that it is resumed with the same arguments or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def plain_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """Request as JSON has it."""
    plain: dict[str, Any] = json.loads(json.dumps(request, default=_plain))
    return plain


def write_request(path: Path, request: Mapping[str, Any]) -> None:
    """Write a request; the file is whole or not there."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(request, indent=2) + "\n")
    part.replace(path)


def open_folder(
    folder: Path,
    request: Mapping[str, Any],
    *,
    name: str,
    what: str,
    finished: str,
    parts: Iterable[str],
    resume: bool,
    overwrite: bool,
) -> bool:
    """Make a folder ready for a run, or say that it already holds the result that is asked for.

    Parameters
    ----------
    folder
        Of the run.
    request
        What is asked for.
    name
        File of the request in the folder.
    what
        What is run.
    finished
        File that is there when the run is done.
    parts
        Files and folders that the run leaves, which ``overwrite`` removes; others stay.
    resume, overwrite
        What to do with a folder that already holds something.

    Raises
    ------
    NotADirectoryError, FileExistsError, FileNotFoundError, ValueError
        The folder is a file, it is not empty, or what is in it is no such run or one with other arguments.
    """
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; folder= names a folder")
    folder.mkdir(parents=True, exist_ok=True)
    if overwrite:
        for part in (name, finished, *parts):
            if (folder / part).is_dir():
                shutil.rmtree(folder / part)
            else:
                (folder / part).unlink(missing_ok=True)
        return False
    if not any(folder.iterdir()):
        return False
    if not resume:
        raise FileExistsError(
            f"{folder} is not empty; pass resume=True to go on with the {what} in it, overwrite=True to replace it, "
            "or another folder"
        )
    check_request(folder / name, request, what)
    return (folder / finished).is_file()


def check_request(path: Path, request: Mapping[str, Any], what: str) -> None:
    """Refuse to go on with a run that was started with other arguments.

    Parameters
    ----------
    path
        Where :func:`write_request` wrote the one that it was started with.
    request
        What is asked for now.
    what
        What is run.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The two differ.
    """
    folder = path.parent
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {path.name}, so there is no {what} in it to resume")
    before = json.loads(path.read_text())
    if changed := sorted(_flat(before).items() ^ _flat(request).items()):
        names = list(dict.fromkeys(name for name, _ in changed))
        first = names[0]
        raise ValueError(
            f"the {what} in {folder} was started with another {', '.join(names)} ({first}: "
            f"{_flat(before).get(first, 'none')}, now {_flat(request).get(first, 'none')}); resume with the same "
            "arguments and data, or pass overwrite=True"
        )


def _plain(value: Any) -> Any:
    from dataclasses import asdict, is_dataclass

    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _flat(about: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    out: dict[str, str] = {}
    for key, value in about.items():
        if isinstance(value, Mapping):
            out |= _flat(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = json.dumps(value)
    return out
