"""Coverage of RNA-seq in bins, beside the object, and its sum or mean over groups of biosamples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from mudata import MuData

from eregtools._keys import UNS, Obs, Uns
from eregtools._logging import logger, progress_bar
from eregtools._schema import listed, require_real
from eregtools._settings import settings
from eregtools.coverage import (
    BIN_SIZE,
    GIVEN,
    STRANDEDNESS,
    Coverage,
    CoverageWriter,
    Strandedness,
    record,
)
from eregtools.pp._coverage_files import Conversion, SampleFiles, Signal, convert, sample_files
from eregtools.pp.align import sample_rows
from eregtools.pp.intervals import Intervals, object_chrom_sizes, regions_on

PerSample = Mapping[str, Any]


def add_coverage(
    mdata: MuData,
    tracks: Mapping[str, Any],
    *,
    folder: str | Path,
    signal: Signal = "coverage",
    library_size: float | PerSample | None = None,
    read_length: float | PerSample | None = None,
    strandedness: Strandedness | PerSample | None = None,
    groups: PerSample | None = None,
    exclude: Intervals | None = None,
    min_mapq: int = 0,
    dtype: Literal["float32", "float16"] = "float32",
    overwrite: bool = False,
    copy: bool = False,
) -> MuData | None:
    r"""Read the coverage of RNA-seq or of transcription start sites into a folder beside the object.

    Whole chromosomes are kept as mean raw coverage of 8-bp bins, by strand, in a zarr folder that
    :class:`eregtools.coverage.Coverage` opens; the object records where it is. Biosamples are read in parallel
    (``settings.n_jobs``).

    Parameters
    ----------
    mdata
        The object.
    tracks
        ``{sample: files}``, all biosamples in one call. Files are ``(plus, minus)`` or
        ``{"plus": …, "minus": …}``, two bigWig files; one bigWig file of both strands together; or one BAM file.
        Values of the minus strand may be negative; bases without a value are 0.
    folder
        Where the coverage is written.
    signal
        ``"coverage"``: reads over their whole length. ``"ends"``: only their 5′ ends, as CAGE, GRO-cap and PRO-cap
        tracks hold; each end counts in its bin as a read of 8 bp would.
    library_size
        Reads of each library, outside rRNA and mitochondria, ``{sample: number}`` or one for all; 1e6 where a track
        holds coverage per million. ``None``: ``obs["library_size"]`` where it was set before; else the reads of a BAM
        file; else the summed coverage over the read length.
    read_length
        Bases that one read covers, alike. ``None``: that of a BAM file, or the summed coverage over the library
        size, which is right where the tracks hold the whole library.
    strandedness
        ``"forward"``: plus is the strand of the RNA (for BAM files: the first mate is read from it); ``"reverse"``:
        the other way round; ``"unstranded"``: it is not known. ``{sample: …}`` or one for all. ``None``: forward where
        there are two strands, which :func:`~eregtools.pp.strand_audit` confirms or corrects.
    groups
        ``{sample: group}``, as for :func:`~eregtools.pp.aggregate_coverage`.
    exclude
        Regions that do not count in a library size that is derived from coverage, as rRNA genes; mitochondria never do.
    min_mapq
        Reads of a BAM file of a lower mapping quality are left out.
    dtype
        ``"float16"`` takes half the space and keeps three digits.
    overwrite
        Replace coverage that is in ``folder``.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata.obs["library_size"]``, ``["read_length"]``
        float64; NaN for biosamples without coverage.
    ``mdata.obs["strandedness"]``, ``["swapped"]``, ``["strand_fraction"]``
        Categorical; bool, whether the labels of the strands are exchanged when read; float64, NaN before the audit.
    ``mdata.obs["group"]``
        Categorical, where ``groups`` is given.
    ``mdata.uns["eregtools"]["coverage"]``
        Folder, fingerprint and bin size.

    Raises
    ------
    KeyError
        A biosample that the object does not have.
    FileExistsError
        There is something in ``folder`` already.
    FileNotFoundError
        There is no such file.
    OSError
        The folder cannot be written; nothing is left behind.
    ValueError
        One strand without the other, both strands in one file or of equal values, values of both signs, a file of
        another assembly or without any coverage, or a library whose size is not known.

    Notes
    -----
    Coverage is smooth over the length of a read, so bins of 8 bp lose little and take an eighth of the space.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pyBigWig
    >>> import eregtools as er
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, value in (("plus", 3.0), ("minus", -1.0)):
    ...     with pyBigWig.open(str(folder / f"{name}.bw"), "w") as file:
    ...         file.addHeader([("chr1", 20_000), ("chr2", 10_000)])
    ...         file.addEntries(["chr1"], [800], ends=[1_000], values=[value])
    >>> mdata = er.datasets.three_genes()
    >>> tracks = {"K562": (folder / "plus.bw", folder / "minus.bw")}
    >>> er.pp.add_coverage(mdata, tracks, folder=folder / "coverage.zarr", read_length=50)
    >>> mdata.obs[["library_size", "strandedness"]].values.tolist()
    [[16.0, 'forward']]
    """
    require_real(mdata)
    names = [mdata.obs_names[row] for row in sample_rows(mdata, tracks, "tracks")]
    if not names:
        raise ValueError("tracks is empty; give the files of at least one biosample")
    sizes = object_chrom_sizes(mdata)
    files = [sample_files(name, track) for name, track in tracks.items()]
    libraries = _libraries(mdata, names, library_size)
    lengths = _numbers(read_length, names, "read_length")
    strands = _strands(files, strandedness)
    grouped = _groups(mdata, groups)
    if signal == "ends":
        lengths = _lengths_of_ends(names, read_length)
    elif signal != "coverage":
        raise ValueError(f"signal={signal!r}: expected 'coverage' or 'ends'")
    _refuse_unknown_libraries(files, libraries, lengths)
    excluded = _excluded(exclude, sizes)

    with CoverageWriter(folder, sizes, dtype=dtype, overwrite=overwrite) as writer:
        options = {"bin_size": BIN_SIZE, "dtype": dtype, "signal": signal, "min_mapq": min_mapq, "excluded": excluded}
        for one, seen in _converted(files, writer, sizes, strands, options):
            _report(one, seen, sized=one.sample in libraries)
            library, length, source = _library(one, seen, libraries.get(one.sample), lengths.get(one.sample))
            logger.info("%s: library of %s reads (%s) of %.1f bp", one.sample, f"{library:,.0f}", source, length)
            writer.register(
                one.sample,
                seen.written,
                library_size=library,
                read_length=length,
                strandedness=strands[one.sample],
                library_size_from=source,
                signal=signal,
            )

    mdata = mdata.copy() if copy else mdata
    coverage = Coverage(folder)
    record(mdata, coverage)
    put_obs(mdata, coverage)
    if grouped is not None:
        mdata.obs[Obs.group] = grouped
    return mdata if copy else None


def put_obs(mdata: MuData, coverage: Coverage) -> None:
    """Write what the store knows of each biosample into columns of ``obs``."""
    known = [coverage.about(name) if name in coverage.samples else {} for name in mdata.obs_names]
    for column in (Obs.library_size, Obs.read_length, Obs.strand_fraction):
        mdata.obs[column] = [float(one.get(column, math.nan)) for one in known]
    strands = [one.get(Obs.strandedness) for one in known]
    mdata.obs[Obs.strandedness] = pd.Categorical(strands, categories=list(STRANDEDNESS))
    mdata.obs[Obs.swapped] = [strand == "reverse" for strand in strands]


def _converted(
    files: list[SampleFiles],
    writer: CoverageWriter,
    sizes: dict[str, int],
    strands: dict[str, Strandedness],
    options: dict[str, Any],
) -> Any:
    """Files and what was seen in them, of one biosample after another as they are ready."""
    from joblib import Parallel, delayed

    tasks = (
        delayed(convert)(
            one,
            writer.place(one.sample),
            sizes,
            stranded=len(one.paths) == 2 or (one.is_bam and strands[one.sample] != "unstranded"),
            **options,
        )
        for one in files
    )
    with progress_bar(len(files), "coverage", "biosamples") as bar:
        found = Parallel(n_jobs=settings.n_jobs, return_as="generator")(tasks)
        for one, seen in zip(files, found, strict=True):
            bar.update()
            yield one, seen


# ---------------------------------------------------------------------------------------------------------
# Numbers of each biosample


def _numbers(given: Any, names: list[str], what: str) -> dict[str, float]:
    """Positive numbers by biosample, of those that have one."""
    if given is None:
        return {}
    found = dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)
    if unknown := [name for name in found if name not in names]:
        raise KeyError(f"{what}: {listed(unknown)} has no tracks; there are tracks of {listed(names)}")
    for name, value in found.items():
        if not (math.isfinite(float(value)) and float(value) > 0):
            raise ValueError(f"{what} of {name} is {value}; expected a number above 0")
    return {name: float(value) for name, value in found.items()}


def _libraries(mdata: MuData, names: list[str], given: Any) -> dict[str, float]:
    """Library sizes that are given, or were in ``obs`` before; those that an earlier call derived do not count."""
    found = _numbers(given, names, "library_size")
    if Obs.library_size not in mdata.obs:
        return found
    earlier = mdata.uns.get(UNS, {}).get(Uns.coverage, {}).get("derived_libraries", ())
    column = pd.to_numeric(mdata.obs[Obs.library_size])
    kept = {str(name): float(column[name]) for name in names if name not in set(earlier) and column[name] > 0}
    return {**kept, **found}


def _lengths_of_ends(names: list[str], given: Any) -> dict[str, float]:
    """Bases of a read of each biosample: an end fills its bin."""
    if given is not None:
        raise ValueError("read_length is for signal='coverage'; an end has no length")
    return dict.fromkeys(names, float(BIN_SIZE))


def _strands(files: list[SampleFiles], given: Any) -> dict[str, Strandedness]:
    names = [one.sample for one in files]
    chosen = dict(given) if isinstance(given, Mapping) else dict.fromkeys(names, given)
    if unknown := [name for name in chosen if name not in names]:
        raise KeyError(f"strandedness: {listed(unknown)} has no tracks; there are tracks of {listed(names)}")
    found: dict[str, Strandedness] = {}
    for one in files:
        both = len(one.paths) == 2 or one.is_bam
        strand = chosen.get(one.sample) or ("forward" if both else "unstranded")
        if strand not in STRANDEDNESS:
            raise ValueError(f"strandedness of {one.sample} is {strand!r}; expected one of {', '.join(STRANDEDNESS)}")
        if not both and strand != "unstranded":
            raise ValueError(
                f"strandedness of {one.sample} is {strand!r}, but it has one track for both strands; give (plus, minus)"
            )
        found[one.sample] = strand
    return found


def _groups(mdata: MuData, groups: PerSample | None) -> pd.Categorical | None:
    if groups is None:
        return None
    sample_rows(mdata, groups, "groups")
    return pd.Categorical([str(groups[name]) if name in groups else None for name in mdata.obs_names])


def _excluded(source: Intervals | None, sizes: dict[str, int]) -> pd.DataFrame:
    if source is None:
        return pd.DataFrame({"Chromosome": [], "Start": [], "End": []})
    return regions_on(source, sizes, "exclude")


def _refuse_unknown_libraries(files: list[SampleFiles], libraries: dict[str, float], lengths: dict[str, float]) -> None:
    """Ask for what cannot be found in the files before they are read."""
    known = {*libraries, *lengths}
    if unknown := [one.sample for one in files if not one.is_bam and one.sample not in known]:
        raise ValueError(
            f"the library size of {listed(unknown)} is not known and bigWig files do not tell it: give library_size= "
            f"(1e6 for coverage per million), or read_length=, by which the summed coverage is divided"
        )


def _library(
    files: SampleFiles, seen: Conversion, library: float | None, length: float | None
) -> tuple[float, float, str]:
    """Size of the library, bases of a read, and where the first comes from."""
    if not seen.counted:
        raise ValueError(
            f"tracks of {files.sample}: all coverage is mitochondrial or excluded, so there is no library size; give "
            f"library_size="
        )
    if length is None and seen.reads:
        length = seen.read_bases / seen.reads
    if library is not None:
        return library, length or seen.counted / library, GIVEN
    assert length is not None  # refused before the files were read
    return seen.counted / length, length, "reads of the BAM file" if files.is_bam else "summed coverage / read length"


def _report(files: SampleFiles, seen: Conversion, *, sized: bool) -> None:
    """Say what is odd about the files of one sample; ``sized``: its library size was given."""
    if seen.absent:
        logger.warning(
            "%s: its files do not have %d of the chromosomes (%s), which get no coverage",
            files.sample,
            len(seen.absent),
            listed(seen.absent, 3),
        )
    if not seen.whole and not sized:
        logger.warning(
            "%s: its tracks hold fractions, so they are not raw coverage; give its library_size in their units (1e6 "
            "for coverage per million)",
            files.sample,
        )
    if seen.negative:
        logger.info("%s: the minus strand is stored as negative values; their size is taken", files.sample)
