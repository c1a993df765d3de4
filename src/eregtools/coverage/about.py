"""What a store of coverage tells of itself and of its samples, beside the arrays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

Strandedness: TypeAlias = Literal["forward", "reverse", "unstranded"]
STRANDEDNESS: tuple[Strandedness, ...] = ("forward", "reverse", "unstranded")

_FORMAT, _VERSION = "eregtools coverage", 1
_ABOUT = "eregtools"  # attribute of the group


def summary(bin_size: int, chrom_sizes: Mapping[str, int], samples: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Attributes of a store, and the fingerprint over all of them."""
    content: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "bin_size": bin_size,
        "chrom_sizes": [[name, int(size)] for name, size in chrom_sizes.items()],
        "samples": {name: dict(known) for name, known in samples.items()},
    }
    text = json.dumps(content, sort_keys=True)
    return {**content, "fingerprint": hashlib.sha256(text.encode()).hexdigest()}


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write the attributes of the group; zarr writes them under a temporary name and renames them."""
    import zarr

    group = zarr.open_group(str(folder), mode="a")
    group.attrs.put({_ABOUT: about})


def read_about(folder: Path) -> dict[str, Any]:
    """Attributes of a store.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    ValueError
        The folder holds something else, or was written by a newer eregtools.
    """
    import zarr

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; expected a store of coverage of er.pp.add_coverage")
    try:
        about: Any = zarr.open_group(str(folder), mode="r").attrs.asdict().get(_ABOUT)
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise ValueError(f"{folder} is no store of coverage ({error})") from None
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise ValueError(f"{folder} is no store of coverage; expected a folder that er.pp.add_coverage wrote")
    if int(about["version"]) > _VERSION:
        raise ValueError(f"{folder} has version {about['version']}, this eregtools knows {_VERSION}: update eregtools")
    return about


def check_strandedness(strandedness: str, tracks: int, sample: str) -> None:
    """Refuse what is no strandedness, and a strand for a sample of one track."""
    if strandedness not in STRANDEDNESS:
        raise ValueError(f"strandedness of {sample} is {strandedness!r}; expected one of {', '.join(STRANDEDNESS)}")
    if tracks == 1 and strandedness != "unstranded":
        raise ValueError(f"{sample} has one track for both strands; it can only be 'unstranded'")
