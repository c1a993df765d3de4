"""A .cool or .mcool file, through cooler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eregtools.io._contact_band import Pixels

_DIVISIVE = ("SCALE", "KR", "VC", "VC_SQRT")  # of Juicer, as a converter writes them into a .cool
_CHUNK_PIXELS = 1 << 22


class CoolFile:
    """A .cool or .mcool file."""

    format = "cool"

    def __init__(self, path: Path, group: str | None):
        import cooler

        try:
            # files of cooler before 0.6 have no format attribute, by which list_coolers goes
            groups = [group] if group is not None else cooler.fileops.list_coolers(str(path)) or ["/"]
            members = [cooler.Cooler(f"{path}::{name}") for name in groups]
        except (OSError, KeyError) as error:
            raise ValueError(
                f"{path} is truncated, damaged or no .hic, .cool or .mcool file ({str(error).strip()}); "
                f"copy or download it again."
            ) from None
        self._by_resolution: dict[int, Any] = {}
        for member in members:
            if member.binsize is None:
                raise ValueError(f"{path}::{member.root} has bins of unequal size; expected one size.")
            if int(member.binsize) in self._by_resolution:
                raise ValueError(
                    f"{path} has several matrices at resolution {member.binsize}; name one, as in "
                    f"'{path.name}::{member.root}'."
                )
            self._by_resolution[int(member.binsize)] = member
        stated = members[0].info.get("genome-assembly")
        self.assembly = str(stated) if stated and stated != "unknown" else None
        self.chrom_sizes = {str(name): int(size) for name, size in members[0].chromsizes.items()}
        self.resolutions = tuple(sorted(self._by_resolution))

    def normalizations(self, resolution: int) -> tuple[str, ...]:
        columns = self._by_resolution[resolution].bins().columns
        return (*(str(name) for name in columns if name not in ("chrom", "start", "end")), "NONE")

    def unit(self, resolution: int, normalization: str) -> str:
        if normalization == "NONE":
            return "counts"
        with self._by_resolution[resolution].open("r") as group:
            return "balanced counts" if _is_divisive(group, normalization) else "balanced frequency"

    def bands(
        self, resolution: int, widths: Mapping[str, int | None], candidates: Sequence[str]
    ) -> tuple[str, Iterator[tuple[str, Pixels]]]:
        member = self._by_resolution[resolution]
        extents = {name: member.extent(name) for name in widths}
        with member.open("r") as group:
            rows = {name: group["indexes/bin1_offset"][low : high + 1] for name, (low, high) in extents.items()}
            filled = [name for name, offsets in rows.items() if offsets[-1] > offsets[0]]
            for chosen in candidates:
                factors = {name: _cool_factors(group, chosen, *extent) for name, extent in extents.items()}
                if all(np.isfinite(factors[name]).any() for name in filled):
                    break

        def load() -> Iterator[tuple[str, Pixels]]:
            for name, width in widths.items():
                with member.open("r") as group:
                    low, high = extents[name]
                    bin1, bin2, count = _cool_pixels(group, rows[name], low, high, width)
                yield name, Pixels(bin1, bin2, count, factors[name])

        return chosen, load()

    def close(self) -> None:
        """Nothing stays open."""


def _is_divisive(group: Any, normalization: str) -> bool:
    stated = group["bins"][normalization].attrs.get("divisive_weights")
    return bool(stated) if stated is not None else normalization.removeprefix("GW_").removeprefix("INTER_") in _DIVISIVE


def _cool_factors(group: Any, normalization: str, low: int, high: int) -> npt.NDArray[np.float64]:
    if normalization == "NONE":
        return np.ones(high - low)
    factors = np.asarray(group["bins"][normalization][low:high], dtype=np.float64)
    if _is_divisive(group, normalization):
        with np.errstate(divide="ignore"):
            factors = 1 / factors
    return np.where(np.isfinite(factors), factors, np.nan)


def _cool_pixels(
    group: Any, offsets: npt.NDArray[np.int64], low: int, high: int, width: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Upper-triangle pixels of one chromosome within ``width`` bins, in chunks of the rows of its bins."""
    pixels = group["pixels"]
    reach = np.int64(high - low if width is None else width)
    parts: list[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]] = []
    for first in range(int(offsets[0]), int(offsets[-1]), _CHUNK_PIXELS):
        part = slice(first, min(first + _CHUNK_PIXELS, int(offsets[-1])))
        bin1, bin2 = pixels["bin1_id"][part].astype(np.int64), pixels["bin2_id"][part].astype(np.int64)
        near = (bin2 >= bin1) & (bin2 - bin1 <= reach) & (bin2 < high)
        parts.append((bin1[near] - low, bin2[near] - low, pixels["count"][part][near].astype(np.float64)))
    if not parts:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    bin1, bin2, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    return bin1, bin2, count
