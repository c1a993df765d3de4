"""Session-wide settings: where files are cached, which device is used, how work is shown and figures look."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


def _default_cache() -> Path:
    if chosen := os.environ.get("EREGTOOLS_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "eregtools"


def _default_offline() -> bool:
    return os.environ.get("EREGTOOLS_OFFLINE", "").strip().lower() in {"1", "true", "yes"}


@dataclass
class Settings:
    """Settings of the running session.

    Attributes
    ----------
    cache_dir
        Folder for downloaded weights and for indices of read-only genome folders
        (environment: ``EREGTOOLS_CACHE``).
    offline
        Never download; a file that is not there is an error (environment: ``EREGTOOLS_OFFLINE``).
    device
        ``"auto"`` (CUDA, then MPS, then CPU) or a torch device name.
    n_jobs
        Processes or threads for file-bound preprocessing.
    seed
        Seed of every random step that is not given its own ``rng``.
    progress
        Show a progress bar for long work.
    embedding_cache
        Megabytes of memory in which embeddings of sequences are kept, so that a further call with the same weights
        does not encode them again; 0 keeps none. All of K562 (113,000 sequences) takes 60.
    largest_result
        Megabytes that one stored result may take, as attributions of many elements do; a larger one is refused
        before it is computed.
    theme
        Size and colours of figures: ``"print"``, ``"slides"`` or ``"dark"`` (:func:`eregtools.pl.theme`).

    Raises
    ------
    AttributeError
        There is no setting of that name.

    Examples
    --------
    >>> import eregtools as er
    >>> with er.settings.override(progress=False, device="cpu"):
    ...     er.settings.device
    'cpu'
    """

    cache_dir: Path = field(default_factory=_default_cache)
    offline: bool = field(default_factory=_default_offline)
    device: str = "auto"
    n_jobs: int = 1
    seed: int = 0
    progress: bool = True
    embedding_cache: int = 0
    largest_result: int = 4_000
    theme: str = "print"

    def __setattr__(self, name: str, value: Any) -> None:
        known = [f.name for f in fields(self)]
        if name not in known:
            raise AttributeError(f"eregtools has no setting {name!r}; there are {', '.join(known)}")
        super().__setattr__(name, Path(value).expanduser() if name == "cache_dir" else value)

    @contextmanager
    def override(self, **changes: Any) -> Iterator[Settings]:
        """Change settings inside a ``with`` block and put them back afterwards.

        Parameters
        ----------
        **changes
            Settings by name, with the values that they have inside the block.

        Yields
        ------
        The settings.

        Raises
        ------
        AttributeError
            There is no setting of that name; nothing stays changed.

        Examples
        --------
        >>> import eregtools as er
        >>> with er.settings.override(seed=7):
        ...     er.settings.seed
        7
        >>> er.settings.seed
        0
        """
        before = {name: getattr(self, name) for name in changes if hasattr(self, name)}
        try:
            for name, value in changes.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)


settings = Settings()
