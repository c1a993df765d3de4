"""The package's logger and its one progress bar."""

from __future__ import annotations

import logging
from typing import Any

from eregtools._settings import settings

logger = logging.getLogger("eregtools")


def progress_bar(total: int, description: str, unit: str) -> Any:
    """Progress bar over ``total`` units; silent when ``settings.progress`` is off."""
    if not settings.progress:
        from tqdm import tqdm as plain  # a notebook's bar warns where it has no widgets, even when it is disabled

        return plain(disable=True)
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=description, unit=f" {unit}", leave=False)
