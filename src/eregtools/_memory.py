"""How much memory a result takes, and whether there is that much."""

from __future__ import annotations

from pathlib import Path

from eregtools._logging import logger
from eregtools._settings import settings

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes that this process can still take, within the limit of its container; ``None``: the system does not say."""
    found = []
    if _MEMINFO.is_file():
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (bound := limit.read_text().strip()).isdigit():
        found.append(int(bound) - int(used.read_text()))
    return min(found) if found else None


def require_memory(n_bytes: int, what: str, way_out: str) -> None:
    """Say how large a result will be, and refuse it where it is too large.

    Parameters
    ----------
    n_bytes
        Size of the result.
    what
        What it is, as in ``"attributions of 10 enhancers"``.
    way_out
        What to do instead.

    Raises
    ------
    MemoryError
        The result is larger than ``settings.largest_result`` or than the memory that is left.
    """
    megabytes = n_bytes / 1e6
    logger.info("%s take %s MB", what, f"{megabytes:,.1f}")
    if megabytes > settings.largest_result:
        raise MemoryError(
            f"{what} would take {megabytes:,.0f} MB, more than settings.largest_result ({settings.largest_result:,} "
            f"MB); {way_out}, or raise the setting"
        )
    left = available_memory()
    if left is not None and n_bytes > left:
        raise MemoryError(
            f"{what} would take {megabytes:,.0f} MB, but only {left / 1e6:,.0f} MB of memory are left; {way_out}"
        )
