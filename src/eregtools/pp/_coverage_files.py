"""Coverage files of one sample: which they are, and their bins on the chromosomes of the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eregtools._keys import Var
from eregtools._schema import listed
from eregtools.coverage import Written, write_arrays
from eregtools.genome import match_names
from eregtools.io import bam, bigwig
from eregtools.io.binned import bam_bins, bigwig_bins

Signal = Literal["coverage", "ends"]

MITOCHONDRIAL = ("chrM", "chrMT", "M", "MT")

_BIGWIG, _BAM = (".bw", ".bigwig"), ".bam"
_WRONG = "Is it of another assembly, or are its chromosomes named differently?"


@dataclass(frozen=True)
class SampleFiles:
    """Files of one sample: two tracks (plus, minus), one track of both strands, or one BAM file."""

    sample: str
    paths: tuple[Path, ...]

    @property
    def is_bam(self) -> bool:
        """Whether the reads themselves are there."""
        return self.paths[0].suffix.lower() == _BAM


@dataclass
class Conversion:
    """What was seen while the files of one sample were binned.

    Attributes
    ----------
    written
        The arrays on the disk.
    counted
        Bases of coverage that count for the size of the library: not mitochondrial, not excluded.
    reads, read_bases
        Reads of a BAM file that count, and their bases; 0 for other files.
    absent
        Chromosomes of the object that the files do not have.
    whole
        Whether all values are whole numbers.
    negative
        Whether the minus track is stored with negative values.
    """

    written: Written = field(default_factory=lambda: Written(0, 0.0, ""))
    counted: float = 0.0
    reads: int = 0
    read_bases: int = 0
    absent: list[str] = field(default_factory=list)
    whole: bool = True
    negative: bool = False


def sample_files(sample: str, track: Any) -> SampleFiles:
    """Files of one sample in any of the forms that ``add_coverage`` takes.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        One strand without the other, both strands in one file, or a file of another kind.
    """
    parts: list[Any]
    if isinstance(track, Mapping):
        if unknown := sorted(set(map(str, track)) - {"plus", "minus"}):
            raise ValueError(f"tracks of {sample} have {', '.join(unknown)}; expected 'plus' and 'minus'")
        parts = [track.get("plus"), track.get("minus")]
    elif isinstance(track, str | Path):
        parts = [track]
    else:
        parts = list(track)
    if len(parts) not in (1, 2):
        raise ValueError(f"tracks of {sample}: {len(parts)} files given; expected (plus, minus), or one file")
    if any(part is None for part in parts):
        there, gone = ("plus", "minus") if parts[1] is None else ("minus", "plus")
        raise ValueError(
            f"tracks of {sample}: there is only the {there} strand; give the {gone} strand too, or the file alone if "
            f"it holds both strands together"
        )
    paths = tuple(Path(part).expanduser() for part in parts)
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"tracks of {sample}: {path} is not a file")
        if path.suffix.lower() not in (*_BIGWIG, _BAM):
            raise ValueError(
                f"tracks of {sample}: {path.name} is neither a bigWig (.bw, .bigWig) nor a BAM file (.bam)"
            )
    if len(paths) == 2 and paths[0].resolve() == paths[1].resolve():
        raise ValueError(
            f"tracks of {sample}: plus and minus are one file, {paths[0].name}; give it alone if it holds both strands"
        )
    if len(paths) == 2 and _BAM in {path.suffix.lower() for path in paths}:
        raise ValueError(f"tracks of {sample}: a BAM file holds both strands; give it alone")
    return SampleFiles(sample, paths)


def file_chromosomes(files: SampleFiles, chrom_sizes: Mapping[str, int]) -> list[str]:
    """Chromosomes of the object that the files of a sample have, in the object's order.

    Raises
    ------
    ValueError
        The files have none of them, or one of another length.
    """
    there = set(chrom_sizes)
    for path in files.paths:
        sizes = bam_chrom_sizes(path) if files.is_bam else bigwig.chrom_sizes(path)
        matched = match_names(sizes, chrom_sizes)
        if not matched:
            raise ValueError(
                f"tracks of {files.sample}: {path.name} has the chromosomes {listed(sizes, 3)}, the object "
                f"{listed(chrom_sizes, 3)}, none in common. {_WRONG}"
            )
        for name, other in matched.items():
            if sizes[other] != chrom_sizes[name]:
                raise ValueError(
                    f"tracks of {files.sample}: {name} has {sizes[other]:,} bases in {path.name} and "
                    f"{chrom_sizes[name]:,} in the object's genome; they are of different assemblies"
                )
        there &= set(matched)
    return [name for name in chrom_sizes if name in there]


def bam_chrom_sizes(path: Path) -> dict[str, int]:
    """Chromosomes of a BAM file and their lengths."""
    with bam._opened(path) as file:
        return {str(name): int(size) for name, size in zip(file.references, file.lengths, strict=True)}


def convert(
    files: SampleFiles,
    place: Path,
    chrom_sizes: Mapping[str, int],
    *,
    bin_size: int,
    dtype: str,
    signal: Signal,
    stranded: bool,
    min_mapq: int,
    excluded: pd.DataFrame,
) -> Conversion:
    """Bin the files of one sample into ``place``; runs in any process.

    Raises
    ------
    ValueError
        The files have mixed or wrong signs, two equal strands or nothing at all, or are of another assembly.
    """
    seen = Conversion()
    chromosomes = file_chromosomes(files, chrom_sizes)
    seen.absent = [name for name in chrom_sizes if name not in set(chromosomes)]
    binned = _binned_reads if files.is_bam else _binned_tracks
    arrays = binned(files, chromosomes, seen, bin_size, signal, stranded, min_mapq)
    counted = _counting(arrays, seen, bin_size, excluded)
    try:
        seen.written = write_arrays(place, counted, chrom_sizes, bin_size=bin_size, dtype=dtype, what=files.sample)
    except OSError as error:
        raise OSError(f"coverage of {files.sample} cannot be written to {place.parent.parent} ({error})") from error
    if not seen.written.bases:
        raise ValueError(
            f"tracks of {files.sample}: {_named(files)} has no coverage on any of {listed(chromosomes, 3)}. {_WRONG}"
        )
    return seen


def _counting(
    arrays: Iterator[tuple[str, npt.NDArray[np.float32]]], seen: Conversion, bin_size: int, excluded: pd.DataFrame
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Pass arrays on and sum what counts for the size of the library."""
    for chrom, values in arrays:
        if chrom not in MITOCHONDRIAL:
            total = values.sum(axis=0, dtype=np.float64)
            for start, end in excluded.loc[excluded[Var.chromosome] == chrom, [Var.start, Var.end]].to_numpy():
                total[start // bin_size : -(-end // bin_size)] = 0
            seen.counted += float(total.sum()) * bin_size
        yield chrom, values


def _binned_tracks(
    files: SampleFiles,
    chromosomes: list[str],
    seen: Conversion,
    bin_size: int,
    signal: Signal,
    stranded: bool,
    min_mapq: int,
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    lowest, highest, equal = [0.0] * len(files.paths), [0.0] * len(files.paths), len(files.paths) == 2
    for chrom in chromosomes:
        tracks = [bigwig_bins(path, chrom, bin_size) for path in files.paths]
        for number, track in enumerate(tracks):
            lowest[number], highest[number] = min(lowest[number], track.lowest), max(highest[number], track.highest)
            seen.whole = seen.whole and track.whole
            _check_signs(files, number, lowest[number], highest[number])
        values = np.abs(np.stack([track.mean for track in tracks]))
        equal = equal and bool((values[0] == values[-1]).all())
        if not stranded:
            values = values.sum(axis=0, keepdims=True)
        yield chrom, values * bin_size if signal == "ends" else values
    seen.negative = lowest[-1] < 0
    if equal and any(highest + lowest):
        raise ValueError(
            f"tracks of {files.sample}: {_named(files)} hold the same values; give one of them alone if it holds both "
            f"strands together"
        )


def _check_signs(files: SampleFiles, number: int, lowest: float, highest: float) -> None:
    """Coverage has one sign; that of the minus strand may be negative, as browsers draw it."""
    path = files.paths[number]
    if lowest < 0 < highest:
        raise ValueError(
            f"tracks of {files.sample}: {path.name} has values of both signs ({lowest:g} … {highest:g}); expected "
            f"coverage, not a difference or a ratio"
        )
    if lowest < 0 and number == 0:
        raise ValueError(
            f"tracks of {files.sample}: {path.name} is negative; expected that of the minus strand only: exchange the "
            f"files" + ("" if len(files.paths) == 2 else ", or give both as (plus, minus)")
        )


def _binned_reads(
    files: SampleFiles,
    chromosomes: list[str],
    seen: Conversion,
    bin_size: int,
    signal: Signal,
    stranded: bool,
    min_mapq: int,
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    ends = signal == "ends"
    for chrom in chromosomes:
        found = bam_bins(files.paths[0], chrom, bin_size, ends=ends, min_mapq=min_mapq)
        if chrom not in MITOCHONDRIAL:
            seen.reads, seen.read_bases = seen.reads + found.reads, seen.read_bases + found.bases
        values = found.mean if stranded else found.mean.sum(axis=0, keepdims=True)
        yield chrom, values * bin_size if ends else values


def _named(files: SampleFiles) -> str:
    return " and ".join(path.name for path in files.paths)
