"""Files from a server or a mirror, kept only where their hash is the one that is known."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlparse
from uuid import uuid4

from eregtools._settings import settings


class UnreachableError(ConnectionError):
    """A file cannot be read from where it should be; the message says why."""


class OtherHashError(ValueError):
    """A file is not the one whose hash is known."""


def download(url: str, target: Path, *, known_hash: str | None, progress: bool = False) -> None:
    """Bring a file to ``target``; it is there whole and with the right hash, or not at all.

    Parameters
    ----------
    url
        ``http(s)://``, ``ftp://``, ``file://``, or a path.
    target
        Where to write.
    known_hash
        ``"sha256:…"`` or ``"md5:…"``; ``None``: not checked.
    progress
        Show a bar, where ``settings.progress`` is on.

    Raises
    ------
    UnreachableError
        ``settings.offline`` is on, there is no such file, or the server cannot be reached.
    OtherHashError
        The hash is another; nothing is kept.
    """
    if (source := local_path(url)) is not None:
        _copy(source, target, known_hash)
        return
    if settings.offline:
        raise UnreachableError("settings.offline is on")
    import pooch
    from requests.exceptions import RequestException

    target.parent.mkdir(parents=True, exist_ok=True)
    with beside(target) as part, _quiet():
        try:
            pooch.retrieve(
                url,
                known_hash=known_hash,
                fname=part.name,
                path=part.parent,
                progressbar=progress and settings.progress,
            )
        except RequestException as error:
            raise UnreachableError(f"{url} cannot be read ({type(error).__name__})") from None
        except ValueError as error:
            if "hash" not in str(error).lower():
                raise
            raise OtherHashError(f"{url} does not have the hash {known_hash}; nothing was kept") from None
        part.replace(target)


def local_path(url: str) -> Path | None:
    """Path that an address means; ``None`` for a server's."""
    scheme = urlparse(url).scheme
    if scheme == "file":
        return Path(unquote(urlparse(url).path))
    return Path(url).expanduser() if scheme == "" else None


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Name for an unfinished file, which is gone afterwards if it is still there."""
    part = target.with_name(f".{target.name}.{uuid4().hex}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _copy(source: Path, target: Path, known_hash: str | None) -> None:
    import pooch

    if not source.is_file():
        raise UnreachableError(f"there is no file {source}")
    if known_hash is not None:
        algorithm, expected = known_hash.split(":")
        if (found := pooch.file_hash(str(source), alg=algorithm)) != expected.lower():
            raise OtherHashError(f"{source} has the {algorithm} {found}, expected {expected}; nothing was kept")
    target.parent.mkdir(parents=True, exist_ok=True)
    with beside(target) as part:
        shutil.copyfile(source, part)
        part.replace(target)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without pooch's own lines in the log."""
    import pooch

    log = pooch.get_logger()
    before = log.level
    log.setLevel("WARNING")
    try:
        yield
    finally:
        log.setLevel(before)
