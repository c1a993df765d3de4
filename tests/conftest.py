from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_progress_bars():
    """Keep bars out of captured output."""
    import eregtools as er

    with er.settings.override(progress=False):
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data files, from the environment; tests that need it are skipped without it."""
    folder = os.environ.get("EREGTOOLS_SHARED")
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = f"EREGTOOLS_SHARED is {folder!r}; expected the folder of real data files"
    if os.environ.get("EREGTOOLS_REQUIRE_SHARED") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
