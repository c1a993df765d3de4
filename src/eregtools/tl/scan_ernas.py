"""Scan whole chromosomes for enhancer-RNA loci."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, UNS, Uns, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import listed, require_real
from eregtools.coverage import Coverage
from eregtools.genome import match_names
from eregtools.io.bed import read_bed
from eregtools.ranges import merge_touching
from eregtools.tl._erna_windows import open_coverage
from eregtools.tl._request import open_folder, write_request
from eregtools.tl._scan_chunks import ChunkReader, read_ahead
from eregtools.tl._scan_plan import Networks, Plan, plan_jobs
from eregtools.tl._scan_store import (
    ABOUT_FILE,
    PARTS,
    REQUEST_FILE,
    ErnaScan,
    finish,
    piece_path,
    record_scan,
    saying_where,
    write_mask,
    write_piece,
)
from eregtools.tl.expression import object_genome, pick_samples

if TYPE_CHECKING:
    import torch

    from eregtools.genome import Genome
    from eregtools.models.chromosome_scan import StretchScanner
    from eregtools.train.processes import Processes

Mask = pd.DataFrame | str | Path
"""Table with Chromosome, Start and End, or BED file."""


def scan_ernas(
    mdata: MuData | Coverage,
    model: Any,
    *,
    folder: str | Path,
    genome: Genome | str | Path | None = None,
    chromosomes: str | Iterable[str] | None = None,
    sample: str | Iterable[str] | None = None,
    coverage: Coverage | str | Path | None = None,
    mask: Mask | None = None,
    fold: int | str = "auto",
    hop: int | None = None,
    chunk: int = 262_144,
    both_strands: bool = True,
    skip_silent: bool = True,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    devices: int = 1,
    nodes: int = 1,
    resume: bool = False,
    overwrite: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | ErnaScan | None:
    """Scan whole chromosomes: how likely each 32 bp belong to an enhancer-RNA locus in each biosample.

    The stems of the model run over chromosomes once; windows overlap, and of each only the middle is kept, so that
    every position is read with its surroundings. The result is that of every window by itself, at a tenth of the cost
    of windows that are 256 bp apart.

    Parameters
    ----------
    mdata
        Object with coverage (:func:`eregtools.pp.add_coverage`), or a store of coverage.
    model
        As in :func:`predict_ernas`.
    folder
        Where the scan goes: the tracks, a bigWig file of each biosample and the models, up to 1 GB for each biosample
        of a human genome.
    genome
        Genome, path or registered name; ``None``: the one named in the object.
    chromosomes
        ``None``: all that the coverage has.
    sample
        Biosamples; ``None``: all of the object that have coverage.
    coverage
        Store of coverage, where it was moved; ``None``: that of the object.
    mask
        Regions in which nothing is called, as a table or a BED file; ``None``: those of
        :func:`eregtools.pp.erna_mask`. Windows that are masked throughout are not read.
    fold
        ``"auto"``: each chromosome by the model that never saw it; chromosomes that none serves are left out. A number:
        that model.
    hop
        Distance of windows in bp, which is also how much of each is kept; ``None``: half a window.
    chunk
        Bases that are computed and written at a time; of no consequence for the result.
    both_strands
        Average both strands, at twice the cost.
    skip_silent
        Leave windows out that have no informative site: more than 2 reads on a strand within 100 bp, or one on both
        strands within 1 kb; in libraries of more than 20 million reads as many per 20 million.
    batch_size
        Windows computed together; of no consequence for the result.
    device
        ``None``: ``settings.device``.
    devices, nodes
        As in :func:`train_ernas`: processes share the chunks.
    resume
        Go on with a scan that was interrupted.
    overwrite
        Replace the scan in the folder.
    allow_leakage
        Let a numbered fold scan chromosomes that it was trained on; the result is marked.
    copy
        Return a new object.

    Returns
    -------
    ``None``, or the new object; of a store of coverage the opened scan. Sets the following field:

    ``mdata.uns["eregtools"]["erna_scan"]``
        Path and hash of the scan, and the bigWig file of each biosample.

    Raises
    ------
    KeyError
        A biosample, chromosome or genome is not known.
    ValueError
        Coverage and genome are of different assemblies, ``hop`` or ``chunk`` does not fit the model, a model saw what
        it scans, or a scan is resumed with other arguments.
    FileExistsError
        The folder is not empty.
    OSError
        The disk is full; what was computed stays, and ``resume=True`` goes on.

    Notes
    -----
    Informative sites: dREG (Danko et al. 2015). Probabilities are those of the bins under the temperature of the model
    (:func:`calibrate_ernas`), which was fitted on windows; loci are judged by windows (:func:`call_ernas`).

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.ErnaGenomeConfig(
    ...     n_chromosomes=1, chromosome_length=200_000, genes=3, libraries=["stranded"], negative=()
    ... )
    >>> world = er.datasets.simulate_erna_genome(tempfile.mkdtemp(), config=small)
    >>> files = world.paths
    >>> mdata = er.pp.assemble(genes=files["genes"], enhancers=files["open"], samples=["s1"], genome=files["genome"])
    >>> er.pp.add_coverage(mdata, world.tracks, folder=world.folder / "coverage.zarr", read_length=75)
    >>> scan = world.folder / "scan"
    >>> er.tl.scan_ernas(mdata, "ERNAformer-small-simulated", folder=scan, genome=files["genome"])
    >>> sorted(path.name for path in scan.iterdir())
    ['about.json', 'bigwig', 'mask.npz', 'models', 'scan.json', 'tracks']
    >>> sorted(path.name for path in (scan / "bigwig").iterdir())
    ['s1.bw']
    """
    from eregtools.models.device import pick_device
    from eregtools.train.fit import Engine
    from eregtools.train.processes import launched

    target = _target(mdata, copy)
    engine = Engine(pick_device(device), devices, nodes)
    store, samples = _covered(target, coverage if isinstance(mdata, MuData) else mdata, sample)
    reference = object_genome(target, genome)
    names = _chromosomes(store, reference, chromosomes)
    jobs, models = plan_jobs(target, model, samples, names, fold, allow_leakage=allow_leakage)
    networks = Networks.on_grid(models, hop)
    plan = Plan(
        folder=Path(folder).expanduser(),
        coverage=store,
        genome=reference,
        mask=_mask(target, mask, store.chrom_sizes),
        jobs=jobs,
        networks=networks,
        chunk=_whole_hops(chunk, networks.grid.hop),
        both_strands=both_strands,
        skip_silent=skip_silent,
    )
    processes = launched(engine)
    finished = _open(plan, processes, resume, overwrite)
    processes.wait()
    if finished:
        logger.info("%s holds the finished scan; nothing is computed", plan.folder)
    else:
        _compute(plan, processes, batch_size)
        processes.wait()
        if processes.first:
            finish(plan.folder, plan.chunks(), plan.chrom_sizes, plan.about_samples(), plan.about())
        processes.wait()
    scan = ErnaScan(plan.folder)
    _say(scan)
    if not isinstance(mdata, MuData):
        return scan
    record_scan(target, scan)
    return target if copy else None


def _target(mdata: MuData | Coverage, copy: bool) -> MuData:
    """Object to write into; of a store of coverage one that is empty."""
    if isinstance(mdata, Coverage):
        if copy:
            raise ValueError("copy=True is for objects; of a store of coverage the scan itself is returned")
        return MuData({})
    require_real(mdata)
    return mdata.copy() if copy else mdata


def _covered(
    mdata: MuData, coverage: Coverage | str | Path | None, sample: str | Iterable[str] | None
) -> tuple[Coverage, list[str]]:
    """Store of coverage, and the biosamples to scan."""
    if not mdata.mod:
        store = open_coverage(mdata, coverage, [])
        names = [sample] if isinstance(sample, str) else list(store.samples if sample is None else sample)
    else:
        names = pick_samples(mdata, sample)
        store = open_coverage(mdata, coverage, [] if sample is None else names)
        names = [name for name in names if name in store.samples]
    for name in names:
        store.about(name)
    if not names:
        raise KeyError(f"no biosample of the object has coverage in {store.path}; it has {listed(store.samples)}")
    return store, names


def _chromosomes(store: Coverage, genome: Genome, chromosomes: str | Iterable[str] | None) -> list[str]:
    """Chromosomes to scan, in the order of the coverage.

    Raises
    ------
    KeyError
        One is not in the coverage, or not in the genome.
    ValueError
        One has another length in the genome.
    """
    asked = [chromosomes] if isinstance(chromosomes, str) else chromosomes
    wanted = list(store.chrom_sizes) if asked is None else list(asked)
    if unknown := [name for name in wanted if name not in store.chrom_sizes]:
        raise KeyError(f"chromosomes: {listed(unknown)} is not in {store.path}; it has {listed(store.chrom_sizes)}")
    matched = genome.match_chromosomes(wanted, "coverage")
    for name in wanted:
        if genome.chrom_sizes[matched[name]] != store.chrom_sizes[name]:
            raise ValueError(
                f"{name} has {store.chrom_sizes[name]:,} bases in the coverage and "
                f"{genome.chrom_sizes[matched[name]]:,} in genome {genome.name!r}: the tracks are of another assembly; "
                "pass the genome that the reads were mapped to"
            )
    return [name for name in store.chrom_sizes if name in set(wanted)]


def _mask(mdata: MuData, mask: Mask | None, chrom_sizes: dict[str, int]) -> pd.DataFrame:
    """Regions in which nothing is called, merged, with the names of the coverage."""
    if mask is None:
        mask = mdata.uns.get(UNS, {}).get(Uns.erna_mask)
    if mask is None:
        logger.warning("there is no mask; loci are called in promoters and exons too (er.pp.erna_mask)")
        mask = pd.DataFrame({Var.chromosome: [], Var.start: [], Var.end: []}).astype({Var.start: int, Var.end: int})
    table = (mask if isinstance(mask, pd.DataFrame) else read_bed(mask))[list(INTERVAL)]
    names = table[Var.chromosome].astype(str)
    spelling = match_names(chrom_sizes, names.unique())
    if len(table) and not spelling:
        raise ValueError(f"mask: it has {names.iloc[0]!r}, the coverage {listed(chrom_sizes, 3)}: none in common")
    placed = table.assign(**{Var.chromosome: names.map(spelling)})[names.isin(list(spelling)).to_numpy()]
    if (past := placed[Var.end] > placed[Var.chromosome].map(chrom_sizes).astype(float)).any():
        first = placed[past].iloc[0]
        raise ValueError(
            f"mask: {past.sum()} region(s) end after their chromosome, first {first[Var.chromosome]}:"
            f"{first[Var.start]}-{first[Var.end]}; it is of another assembly"
        )
    return merge_touching(placed.astype({Var.start: np.int64, Var.end: np.int64}))[0]


def _whole_hops(chunk: int, hop: int) -> int:
    if chunk < hop:
        raise ValueError(f"chunk is {chunk} bp; expected at least the distance of windows, {hop} bp")
    return chunk // hop * hop


def _open(plan: Plan, processes: Processes, resume: bool, overwrite: bool) -> bool:
    """Make the folder ready, or say that it holds the finished scan."""
    from eregtools.models.base import CONFIG_FILE

    folder, request = plan.folder, plan.request()
    if not processes.first:
        return resume and (folder / ABOUT_FILE).is_file()
    if resume and overwrite:
        raise ValueError("resume=True goes on with what is in the folder, overwrite=True replaces it; pass one of them")
    finished = open_folder(
        folder,
        request,
        name=REQUEST_FILE,
        what="scan",
        finished=ABOUT_FILE,
        parts=PARTS,
        resume=resume,
        overwrite=overwrite,
    )
    if not finished:
        with saying_where(folder):
            write_request(folder / REQUEST_FILE, request)
            for number, model in enumerate(plan.networks.models):
                place = folder / "models" / str(number)
                if not (place / CONFIG_FILE).is_file():
                    model.save(place)
        write_mask(folder, plan.mask)
    return finished


def _compute(plan: Plan, processes: Processes, batch_size: int | None) -> None:
    """Compute the chunks of this process that are not there yet."""
    numbers = {sample: number for number, sample in enumerate(plan.jobs)}
    every = [chunk for parts in plan.chunks().values() for pieces in parts.values() for chunk in pieces]
    mine = every[processes.rank :: processes.world]
    paths = {chunk: piece_path(plan.folder, numbers[chunk.sample], chunk) for chunk in mine}
    left = [chunk for chunk in mine if not paths[chunk].is_file()]
    if len(left) < len(mine):
        logger.info("%d of %d chunks are there already", len(mine) - len(left), len(mine))
    networks = plan.networks
    reader = ChunkReader(plan.genome, plan.coverage, networks.grid, networks.contrast_bins, plan.mask, plan.skip_silent)
    scanners: dict[int, StretchScanner] = {}
    with progress_bar(len(left), "Scanning", "chunks") as bar:
        for chunk, (stretch, windows) in read_ahead(reader, left):
            number = plan.jobs[chunk.sample].models[chunk.chrom]
            if number not in scanners:
                scanners = {number: _scanner(plan, number, processes, batch_size)}
            logits = np.full(len(windows) * networks.grid.tokens, np.nan, dtype=np.float32)
            if stretch is not None:
                logits = scanners[number](stretch, windows) / np.float32(networks.temperature(number))
            write_piece(paths[chunk], logits)
            bar.update()


def _scanner(plan: Plan, number: int, processes: Processes, batch_size: int | None) -> StretchScanner:
    from eregtools.models.chromosome_scan import StretchScanner

    return StretchScanner(
        plan.networks.models[number],
        processes.device,
        plan.networks.grid,
        both_strands=plan.both_strands,
        batch_size=batch_size,
    )


def _say(scan: ErnaScan) -> None:
    for sample in scan.samples:
        about = scan.about_sample(sample)
        read = sum(about["read"].values()) * scan.token
        total = sum(scan.chrom_sizes[chrom] for chrom in about["models"])
        if read:
            logger.info("%s: %.1f of %.1f Mb read (%.0f %%)", sample, read / 1e6, total / 1e6, 100 * read / total)
        else:
            logger.warning("%s: no window has enough signal to be read, so nothing can be called", sample)
