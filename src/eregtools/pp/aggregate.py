"""One sample of coverage for each group of biosamples."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import UNS, Layer, Modality, Obs, Uns
from eregtools._logging import logger, progress_bar
from eregtools._schema import listed, require_real
from eregtools.coverage import Coverage, CoverageWriter, Strandedness, n_bins, record, recorded_coverage
from eregtools.pp.coverage import put_obs
from eregtools.pp.signal import mean_of_replicates

Aggregation = Literal["trimmed_mean", "mean", "sum"]
Floats = npt.NDArray[np.float32]

FEWEST_TO_TRIM = 5
"""Samples below which a trimmed mean is the mean, as in BRAINcode."""

_BLOCK = 1 << 18  # bins of every sample that are held at a time


def aggregate_coverage(
    mdata: MuData,
    *,
    folder: str | Path,
    by: str = Obs.group,
    agg: Aggregation = "trimmed_mean",
    trim: float = 0.1,
    coverage: Coverage | str | Path | None = None,
    overwrite: bool = False,
) -> MuData:
    r"""Put the coverage of each group of biosamples together, in an object of its own.

    Loci that one library shows faintly become visible in many. Loci are found for each group, and then counted in each
    biosample over the union.

    Parameters
    ----------
    mdata
        The object, with coverage.
    folder
        Where the coverage of the groups is written.
    by
        Column of ``obs`` with the groups; biosamples without one are left out.
    agg
        ``"trimmed_mean"``: of the coverage per million reads, bin by bin, without the smallest and the largest
        ``trim`` of the biosamples, at least one at each end; of fewer than five biosamples the mean. ``"mean"``: every
        library counts alike. ``"sum"``: every read counts alike.
    trim
        Share of biosamples that is left out at each end.
    coverage
        The store or its folder, where it was moved.
    overwrite
        Replace coverage that is in ``folder``.

    Returns
    -------
    The new object: ``obs`` are the groups, with the columns of :func:`~eregtools.pp.add_coverage` and ``n_samples``.
    The library of a group is that of its biosamples together, so its reads stand for all of them. Genes, enhancers and
    loci are those of `mdata` with the means of their layers (``candidate``: of any biosample); links are left out, as
    their scores are not means of scores.

    Raises
    ------
    KeyError
        There is no column ``by``, or no coverage.
    FileExistsError
        There is something in ``folder`` already.
    ValueError
        ``trim`` leaves nothing, or no biosample with coverage has a group.

    Notes
    -----
    Trimmed means over libraries: BRAINcode (Dong et al. 2018). One unstranded biosample makes its group unstranded.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.ErnaGenomeConfig(
    ...     n_chromosomes=1, chromosome_length=200_000, genes=3, libraries=["stranded", "swapped"], negative=()
    ... )
    >>> world = er.datasets.simulate_erna_genome(tempfile.mkdtemp(), config=small)
    >>> files, samples = world.paths, ["s1", "s2"]
    >>> mdata = er.pp.assemble(genes=files["genes"], enhancers=files["open"], samples=samples, genome=files["genome"])
    >>> groups = {"s1": "brain", "s2": "brain"}
    >>> er.pp.add_coverage(mdata, world.tracks, folder=world.folder / "coverage", read_length=75, groups=groups)
    >>> brain = er.pp.aggregate_coverage(mdata, folder=world.folder / "groups")
    >>> brain.obs[["n_samples", "strandedness"]]
           n_samples strandedness
    brain          2      forward
    """
    require_real(mdata)
    if agg not in ("trimmed_mean", "mean", "sum"):
        raise ValueError(f"agg={agg!r}: expected 'trimmed_mean', 'mean' or 'sum'")
    if not 0 < trim < 0.5:
        raise ValueError(f"trim={trim}: expected a share above 0 and below one half")
    opened = recorded_coverage(mdata, coverage)
    members = _members(mdata, by, opened)
    with (
        CoverageWriter(folder, opened.chrom_sizes, bin_size=opened.bin_size, overwrite=overwrite) as writer,
        progress_bar(len(members), "coverage", "groups") as bar,
    ):
        for group, samples in members.items():
            _write_group(writer, opened, group, samples, agg, trim)
            bar.update()

    grouped = _grouped_object(mdata, members)
    written = Coverage(folder)
    record(grouped, written)
    put_obs(grouped, written)
    grouped.obs["n_samples"] = [len(samples) for samples in members.values()]
    grouped.obs[Obs.group] = pd.Categorical(grouped.obs_names.astype(str))
    return grouped


def _members(mdata: MuData, by: str, coverage: Coverage) -> dict[str, list[str]]:
    if by not in mdata.obs:
        raise KeyError(f"obs has no column {by!r} (it has {listed(mdata.obs.columns)}); name the groups there")
    column = mdata.obs[by]
    named = column[column.notna()]
    there = named[named.index.isin(coverage.samples)]
    if there.empty:
        raise ValueError(f"no biosample has both a group in obs[{by!r}] and coverage")
    if left := [str(name) for name in mdata.obs_names if name not in there.index]:
        logger.warning("%d biosamples without group or coverage are left out: %s", len(left), listed(left, 3))
    return {str(group): [str(name) for name in rows.index] for group, rows in there.groupby(there.astype(str))}


def _write_group(
    writer: CoverageWriter, coverage: Coverage, group: str, samples: list[str], agg: Aggregation, trim: float
) -> None:
    unknown = [name for name in samples if not coverage.stranded(name)]
    stranded = not unknown
    if unknown and len(unknown) < len(samples):
        logger.warning(
            "%s: %s is unstranded, so the group of %d biosamples is", group, listed(unknown, 3), len(samples)
        )
    libraries = np.array([coverage.library_size(name) for name in samples])
    lengths = np.array([coverage.read_length(name) for name in samples])
    strandedness: Strandedness = "forward" if stranded else "unstranded"
    writer.add(
        group,
        _group_arrays(coverage, samples, stranded, agg, trim),
        library_size=float(libraries.sum()),
        read_length=float((libraries * lengths).sum() / libraries.sum()),
        strandedness=strandedness,
        library_size_from=f"libraries of {len(samples)} biosamples",
        aggregation=agg if agg != "trimmed_mean" or len(samples) >= FEWEST_TO_TRIM else "mean",
    )


def _group_arrays(
    coverage: Coverage, samples: list[str], stranded: bool, agg: Aggregation, trim: float
) -> Iterator[tuple[str, Floats]]:
    """Coverage of a group by chromosome, in reads of all its libraries."""
    together = sum(coverage.library_size(name) for name in samples) / 1e6
    size = coverage.bin_size
    for chrom, length in coverage.chrom_sizes.items():
        if not any(coverage.has(name, chrom) for name in samples):
            continue
        bins = n_bins(length, size)
        out = np.zeros((2 if stranded else 1, bins), dtype=np.float32)
        for first in range(0, bins, _BLOCK):
            last = min(first + _BLOCK, bins)
            window = (chrom, first * size, last * size)
            if agg == "sum":
                values = np.sum([coverage.values(name, *window) for name in samples], axis=0)
            else:
                tracks = np.stack([coverage.per_million(name, *window) for name in samples])
                values = trimmed_mean(tracks, trim if agg == "trimmed_mean" else 0.0) * together
            out[:, first:last] = values if stranded else values.sum(axis=0, keepdims=True)
        yield chrom, out


def trimmed_mean(tracks: Floats, trim: float) -> Floats:
    """Mean over the first axis without the smallest and largest ``trim``, at least one of each from five on.

    Examples
    --------
    >>> trimmed_mean(np.array([[0.0], [1.0], [2.0], [3.0], [99.0]], dtype=np.float32), 0.1)
    array([2.], dtype=float32)
    """
    n = len(tracks)
    cut = max(1, int(trim * n)) if trim and n >= FEWEST_TO_TRIM else 0
    if cut:
        tracks = np.sort(tracks, axis=0)[cut : n - cut]
    mean: Floats = tracks.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _grouped_object(mdata: MuData, members: dict[str, list[str]]) -> MuData:
    obs = pd.DataFrame(index=pd.Index(list(members), dtype=object))
    rows = [mdata.obs_names.get_indexer(pd.Index(samples)) for samples in members.values()]
    modalities = {}
    for name, adata in mdata.mod.items():
        if name == Modality.links:
            continue
        one = AnnData(obs=obs.copy(), var=adata.var.copy())
        for layer, values in adata.layers.items():
            if layer is not None:
                one.layers[layer] = np.stack([_mean_layer(layer, np.asarray(values)[of]) for of in rows])
        for key, values in adata.varm.items():
            one.varm[key] = values.copy()
        source = mdata.uns.get(UNS, {}).get(Uns.x_layer, {}).get(name)
        if source in one.layers:
            one.X = one.layers[source].copy()
        modalities[name] = one
    grouped = MuData(modalities)
    ours = {key: value for key, value in mdata.uns.get(UNS, {}).items() if key != Uns.coverage}
    grouped.uns[UNS] = copy.deepcopy(ours)
    grouped.uns[UNS].get(Uns.x_layer, {}).pop(Modality.links, None)
    return grouped


def _mean_layer(layer: str, values: np.ndarray) -> np.ndarray:
    """Mean of the biosamples that have a value; a candidate of any is a candidate."""
    found = values.max(axis=0) if layer == Layer.candidate else mean_of_replicates(values)
    return np.asarray(found, dtype=np.float32)
