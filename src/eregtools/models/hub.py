"""Models in repositories of the Hugging Face Hub: which files are taken, and where they are kept.

Only weights in safetensors and their description in JSON are ever fetched; pickled weights run code when they are read.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Final
from urllib.parse import quote, unquote
from uuid import uuid4

from eregtools._logging import logger
from eregtools._settings import settings
from eregtools.models.base import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE, read_config

_WORD: Final = r"[A-Za-z0-9](?:[\w.-]*[\w])?"
_ADDRESS: Final = re.compile(rf"(?P<repo>{_WORD}/{_WORD})(?:@(?P<revision>[^@/]+))?(?:/(?P<folder>[^@]+))?", re.ASCII)
_COMMIT: Final = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Address:
    """A model, or a set of fold models, in a repository.

    Attributes
    ----------
    name
        As it was written: ``owner/name``, ``owner/name@revision``, ``owner/name/folder`` or
        ``owner/name@revision/folder``.
    repo
        ``owner/name``.
    revision
        Branch, tag or commit.
    folder
        Place in the repository; empty: its root.
    """

    name: str
    repo: str
    revision: str
    folder: str

    @property
    def place(self) -> Path:
        """Where the repository's models are kept: a folder for each commit, and ``refs`` that name one."""
        return settings.cache_dir / "hub" / self.repo.replace("/", "--")

    @property
    def ref(self) -> Path:
        """File with the commit that the revision was when it was last looked up."""
        return self.place / "refs" / quote(self.revision, safe="")


def address(name: str) -> Address | None:
    """Read the address of a model in a repository; ``None`` if it is none."""
    found = _ADDRESS.fullmatch(name)
    if found is None or {"", ".", ".."} & set((found["folder"] or "x").split("/")):
        return None
    # A slash in the name of a branch is written %2F.
    return Address(name, found["repo"], unquote(found["revision"] or "main"), found["folder"] or "")


def fetch(where: Address) -> Path:
    """Folder of a model, or of fold models, of a repository, downloading the repository's models if need be.

    All models of a commit are fetched together and appear at once, so that the cache holds no half of a set. What
    is there already is not fetched again; without a network the last commit that was fetched is used, with a warning.

    Raises
    ------
    ImportError
        huggingface_hub is not installed.
    KeyError
        There is no such repository, revision or folder.
    FileNotFoundError
        The repository holds no weights in safetensors, or is not in the cache and ``settings.offline`` is on.
    OSError
        The Hub cannot be reached and the cache does not hold the repository.
    ValueError
        A file of the repository is no model of ours.
    """
    snapshot = where.place / _commit(where)
    folder = snapshot / where.folder
    if not folder.is_dir():
        there = sorted({str(path.parent.relative_to(snapshot)) for path in snapshot.rglob(CONFIG_FILE)} - {"."})
        raise KeyError(
            f"repository {where.repo} holds no folder {where.folder!r} with a model; "
            f"it has {', '.join(there) or 'one model, at its root'}"
        )
    return folder


def _commit(where: Address) -> str:
    """Commit of an address whose models are in the cache."""
    if _COMMIT.fullmatch(where.revision) and (where.place / where.revision).is_dir():
        return where.revision
    cached = where.ref.read_text().strip() if where.ref.is_file() else None
    if cached is not None and not (where.place / cached).is_dir():
        cached = None
    if settings.offline:
        if cached is None:
            raise FileNotFoundError(
                f"{where.name!r} is neither a path nor a published model, and as a Hugging Face repository it is not "
                f"in {where.place.parent}, while settings.offline is on; load it once with a network"
            )
        return cached
    hub = _library(where)
    try:
        commit, files = _listed(hub, where)
        if not (where.place / commit).is_dir():
            _download(hub, where, commit, files)
    except _FailedError as error:
        if cached is None:
            raise OSError(
                f"{where.name!r} is neither a path nor a published model, and as a Hugging Face repository it cannot "
                f"be read ({error})"
            ) from error.__cause__
        logger.warning("%s cannot be read (%s); using commit %s, which was fetched before", where.name, error, cached)
        return cached
    if commit != cached:
        _write(where.ref, commit)
    return commit


class _FailedError(Exception):
    """The Hub gave no answer, or one that is not about the repository."""

    @classmethod
    def of(cls, error: Exception) -> _FailedError:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return cls(f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__)


def _library(where: Address) -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"{where.name!r} is neither a path nor a published model; to look for it as a Hugging Face repository, "
            "huggingface_hub is needed: pip install 'eregtools[hub]'"
        ) from error
    return huggingface_hub


def _endpoint() -> str | None:
    # huggingface_hub reads this only once, when it is imported.
    return os.environ.get("HF_ENDPOINT") or None


def _listed(hub: ModuleType, where: Address) -> tuple[str, list[str]]:
    """Commit of the revision, and the files of its models."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = hub.HfApi(endpoint=_endpoint()).model_info(where.repo, revision=where.revision)
    except RepositoryNotFoundError as error:
        raise KeyError(
            f"no model {where.name!r}: neither a path, nor a published model, nor a repository on the Hugging Face "
            f"Hub that can be read ({where.repo} does not exist, or is private and needs huggingface_hub.login)"
        ) from error
    except RevisionNotFoundError as error:
        raise KeyError(f"repository {where.repo} has no revision {where.revision!r}") from error
    except Exception as error:
        raise _FailedError.of(error) from error
    names = [PurePosixPath(file.rfilename) for file in info.siblings or []]
    names = [path for path in names if not path.is_absolute() and ".." not in path.parts]
    folders = {path.parent for path in names if path.name == WEIGHTS_FILE}
    if not folders:
        found = ", ".join(map(str, names[:6])) or "nothing"
        raise FileNotFoundError(
            f"repository {where.repo} holds no {WEIGHTS_FILE} (it holds {found}); models are read from "
            f"{WEIGHTS_FILE} and {CONFIG_FILE} alone, as model.save() writes them: pickled weights could run code"
        )
    if lacking := sorted(str(folder / CONFIG_FILE) for folder in folders if folder / CONFIG_FILE not in names):
        raise FileNotFoundError(f"repository {where.repo} holds weights without {', '.join(lacking[:3])}")
    ours = {WEIGHTS_FILE, CONFIG_FILE, CARD_FILE}
    return str(info.sha), [str(path) for path in names if path.parent in folders and path.name in ours]


def _download(hub: ModuleType, where: Address, commit: str, files: list[str]) -> None:
    """Bring files of a commit into the cache: all, or none."""
    target = where.place / commit
    part = where.place / f".{uuid4().hex}.part"
    try:
        part.mkdir(parents=True)
        # Descriptions come first: weights of other software are not fetched only to be refused.
        _take(hub, where, commit, [name for name in files if not name.endswith(WEIGHTS_FILE)], part)
        for path in part.rglob(CONFIG_FILE):
            try:
                read_config(path.parent)
            except ValueError as error:
                name = path.relative_to(part)
                raise ValueError(f"repository {where.repo}: {name} does not describe a model of eregtools") from error
        _take(hub, where, commit, [name for name in files if name.endswith(WEIGHTS_FILE)], part)
        shutil.rmtree(part / ".cache", ignore_errors=True)
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _take(hub: ModuleType, where: Address, commit: str, files: list[str], folder: Path) -> None:
    try:
        with _progress():
            hub.snapshot_download(
                where.repo, revision=commit, local_dir=folder, allow_patterns=files, endpoint=_endpoint()
            )
    except Exception as error:
        raise _FailedError.of(error) from error


@contextmanager
def _progress() -> Iterator[None]:
    """Bars of huggingface_hub as ``settings.progress`` says."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if settings.progress or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid4().hex}.part")
    try:
        part.write_text(text)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
