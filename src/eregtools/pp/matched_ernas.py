"""Negatives of enhancer-RNA loci, in strata that are hard for different reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, UNS, Layer, Modality, Stratum, Uns, Var
from eregtools._loci import erna_names, put_ernas
from eregtools._logging import logger
from eregtools._schema import entry, require_modality, require_real
from eregtools._settings import settings
from eregtools.coverage import Coverage, recorded_coverage
from eregtools.genome import Genome, get_genome
from eregtools.pp._erna_strata import (
    MATCHED_BY_GC,
    MATCHED_BY_SIGNAL,
    SHARES,
    Landscape,
    Positions,
    annotation_table,
)
from eregtools.pp.erna_labels import BARRIER, widened
from eregtools.pp.erna_mask import recorded_mask
from eregtools.pp.intervals import Intervals, object_chrom_sizes
from eregtools.pp.loci import _listed_loci, covered_samples
from eregtools.ranges import overlaps
from eregtools.sampling import nearest_unused

GC_CALIPER = 0.02
"""Largest difference of the GC shares of a negative and its positive."""

_OFFERED, _OFFERED_BY_SIGNAL = 20, 100  # positions drawn for each negative; few have much coverage
_MOST_OFFERED = 2_000_000
_UNRELIABLE = ("blacklist", "gap")


def matched_ernas(
    mdata: MuData,
    gtf: str | Path | pd.DataFrame,
    *,
    genome: Genome | str | Path,
    ratio: float = 4.0,
    shares: Mapping[str, float] | None = None,
    peaks: Intervals | None = None,
    width: int = 400,
    gc_width: int = 1_000,
    min_positives: int = 50,
    mask: Intervals | None = None,
    coverage: Coverage | str | Path | None = None,
    sample: str | Sequence[str] | None = None,
    rng: np.random.Generator | None = None,
    copy: bool = False,
) -> MuData | None:
    r"""Draw negatives for the positive loci, each for one of them, on its chromosome.

    Empty sequence is easy to tell from an enhancer RNA, so negatives are of six strata, and a score of each is told
    apart. None lies within 1 kb of a catalogued locus, on another negative, in a gap or on a blacklisted region.

    Parameters
    ----------
    mdata
        The object, with positives of :func:`~eregtools.pp.label_ernas`.
    gtf
        Annotation with exons.
    genome
        Genome, its FASTA file, or a registered name.
    ratio
        Negatives for each positive.
    shares
        ``{stratum: share}``; ``None``: ``open`` 0.25, open chromatin without RNA; ``signal`` 0.25, in introns,
        antisense or behind genes, with as much coverage as the positive; ``edge`` 0.15, at ends of exons or transcribed
        to one side; ``intergenic`` 0.15, with as much coverage; ``promoter`` 0.10, annotated transcription start sites;
        ``silent`` 0.10, without any read.
    peaks
        Open chromatin; ``None``: the enhancers of the object. Without either its stratum is left out and the others
        get its share.
    width
        Width of the negative loci.
    gc_width
        Bases around the centre in which GC is taken; all strata but ``promoter`` are matched by it, within 0.02.
    min_positives
        Positives that there must be.
    mask
        ``None``: that of :func:`~eregtools.pp.erna_mask`; only ``promoter`` and ``edge`` lie in it.
    coverage
        The store or its folder, where it was moved.
    sample
        Biosamples whose coverage is matched, by the mean of their reads per million; ``None``: all that have any.
    rng
        Source of randomness; ``None``: ``settings.seed``.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Adds the negatives to ``mdata["ernas"]``, in the place of those of an earlier call, in
    genome order, and sets the following fields; other layers are NaN for negatives.

    ``mdata["ernas"].layers["label"]``, ``var["label"]``
        0 for negatives, float32.
    ``mdata["ernas"].var["stratum"]``
        The stratum.
    ``mdata["ernas"].var["matched_to"]``
        Name of the positive that a negative belongs to, categorical.
    ``mdata.uns["eregtools"]["erna_labels"]["drawn"]``
        Negatives wanted and drawn of each stratum.

    Raises
    ------
    KeyError
        There are no loci, labels or coverage.
    ValueError
        Fewer positives than ``min_positives``, unknown strata or shares that do not add up, or an annotation
        without exons.

    Notes
    -----
    The strata and shares are ours; open chromatin without RNA is the rule of ProCapNet, GC matching that of most
    models of accessibility. Mappability is not matched: put what cannot be mapped into the mask's ``blacklist``.
    Where a stratum offers too few positions, fewer are drawn, with a warning that says how many.

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
    >>> er.pp.candidate_ernas(mdata, "bed", source=files["ernas"])
    >>> _ = er.pp.erna_mask(mdata, files["genes"], genome=files["genome"])
    >>> er.pp.label_ernas(mdata, {"simulated": files["ernas"]})
    >>> er.pp.matched_ernas(mdata, files["genes"], genome=files["genome"], ratio=2, min_positives=1)
    >>> negatives = mdata["ernas"].var.query("label == 0")
    >>> negatives[["stratum", "matched_to"]].head(2)
                              stratum               matched_to
    eRNA:chr1:5176-5576      promoter  eRNA:chr1:139355-139755
    eRNA:chr1:162511-162911      edge    eRNA:chr1:96708-97108
    """
    require_real(mdata)
    ernas = require_modality(mdata, Modality.ernas)
    labels = mdata.uns.get(UNS, {}).get(Uns.erna_labels)
    if labels is None or Var.label not in ernas.var:
        raise KeyError("the loci have no labels; run er.pp.label_ernas first")
    if not ratio > 0 or width < 2 or gc_width < 2:
        raise ValueError(
            f"ratio={ratio}, width={width}, gc_width={gc_width}: expected a ratio above 0 and at least 2 bp"
        )
    earlier = ernas.var[Var.stratum].isin(Stratum.DRAWN).to_numpy()
    positive = (ernas.var[Var.label] == 1).to_numpy()
    _require_positives(ernas.var, positive, min_positives)
    open_regions = _open_regions(mdata, peaks)
    wanted = _wanted(shares, open_regions is not None, round(ratio * int(positive.sum())))

    store = recorded_coverage(mdata, coverage)
    sizes = object_chrom_sizes(mdata)
    landscape = Landscape(
        coverage=store,
        samples=covered_samples(mdata, store, sample),
        genome=get_genome(genome),
        annotation=annotation_table(gtf, sizes),
        mask=recorded_mask(mdata, mask, sizes),
        never=_never(mdata, labels["catalogue"], positive),
        peaks=open_regions,
        width=width,
        gc_width=gc_width,
    )
    rng = rng or np.random.default_rng(settings.seed)
    negatives = _negatives(landscape, ernas.var[positive], wanted, rng)

    mdata = mdata.copy() if copy else mdata
    _append(mdata, negatives, ~earlier)
    drawn = negatives[Var.stratum].value_counts()
    entry(mdata, Uns.erna_labels)["drawn"] = pd.DataFrame(
        {"wanted": pd.Series(wanted), "drawn": [int(drawn.get(name, 0)) for name in wanted]}
    )
    return mdata if copy else None


def _require_positives(var: pd.DataFrame, positive: npt.NDArray[np.bool_], least: int) -> None:
    if positive.sum() < least:
        unsupported = int((var[Var.stratum] == Stratum.unsupported).sum())
        raise ValueError(
            f"there are {positive.sum()} positive loci and {least} are needed ({unsupported} more "
            f"are catalogued, but without support in the coverage); use more biosamples or catalogues, or lower "
            f"min_positives="
        )


def _open_regions(mdata: MuData, peaks: Intervals | None) -> pd.DataFrame | None:
    if peaks is None:
        if Modality.enhancers not in mdata.mod or not mdata.mod[Modality.enhancers].n_vars:
            return None
        peaks = mdata.mod[Modality.enhancers].var
    return _listed_loci(peaks, object_chrom_sizes(mdata), "peaks")


def _wanted(shares: Mapping[str, float] | None, has_open: bool, n: int) -> dict[str, int]:
    """Negatives of each stratum."""
    given = dict(SHARES if shares is None else shares)
    if unknown := sorted(set(given) - set(Stratum.DRAWN)):
        raise ValueError(f"shares names {', '.join(unknown)}; the strata are {', '.join(Stratum.DRAWN)}")
    if min(given.values(), default=-1.0) < 0 or abs(sum(given.values()) - 1) > 1e-6:
        raise ValueError(f"shares add up to {sum(given.values()):g}; expected shares of at least 0 that add up to 1")
    if not has_open and given.get(Stratum.open, 0) > 0:
        if shares is not None:
            raise ValueError("shares has 'open', but there is no open chromatin; give peaks=")
        logger.warning("there is no open chromatin (peaks=…), so the other strata get the share of 'open'")
        given.pop(Stratum.open)
    total = sum(given.values())
    return {name: round(n * share / total) for name, share in given.items() if share > 0}


def _never(mdata: MuData, catalogue: pd.DataFrame, positive: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Regions in which nothing is negative."""
    loci = mdata.mod[Modality.ernas].var[positive][list(INTERVAL)].astype({Var.chromosome: object})
    parts = [widened(catalogue[list(INTERVAL)], BARRIER), widened(loci, BARRIER)]
    mask = mdata.uns.get(UNS, {}).get(Uns.erna_mask)
    if mask is not None:
        parts.append(mask.loc[mask["Name"].isin(_UNRELIABLE), list(INTERVAL)])
    return pd.concat(parts, ignore_index=True)


def _negatives(
    landscape: Landscape, positives: pd.DataFrame, wanted: Mapping[str, int], rng: np.random.Generator
) -> pd.DataFrame:
    """Chromosome, Start, End, center, stratum and matched_to of the negatives, in genome order."""
    chrom = positives[Var.chromosome].to_numpy(dtype=object)
    known = landscape.positions(chrom, positives[Var.center].to_numpy(dtype=np.int64))
    edges = np.quantile(known.rpm, np.linspace(0, 1, 11)[1:-1])
    known_gc = landscape.gc(known)
    taken = pd.DataFrame(columns=list(INTERVAL))
    tables = []
    for stratum, n in wanted.items():
        times = _OFFERED_BY_SIGNAL if stratum in MATCHED_BY_SIGNAL else _OFFERED
        offered = landscape.drawn(stratum, min(times * n + 1_000, _MOST_OFFERED), rng)
        offered = offered.at(~overlaps(_loci(offered, landscape.width), taken))
        rows = _each_in_turn(len(known), n, rng)
        chosen, of = _matched(stratum, known.at(rows), known_gc[rows], offered, landscape.gc(offered), edges, rng)
        if len(of) < n:
            logger.warning("stratum %r: %d of %d negatives could be matched", stratum, len(of), n)
        about: dict[str, Any] = {
            Var.center: chosen.centre,
            Var.stratum: stratum,
            Var.matched_to: positives.index.to_numpy(dtype=object)[rows[of]],
        }
        table = _loci(chosen, landscape.width).assign(**about)
        taken = pd.concat([taken, table[list(INTERVAL)]], ignore_index=True) if len(taken) else table[list(INTERVAL)]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _each_in_turn(n_positives: int, n: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Rows of positives so that each comes up as often as any other, give or take one."""
    rounds = [rng.permutation(n_positives) for _ in range(-(-n // n_positives))]
    return np.concatenate([*rounds, np.empty(0, dtype=np.int64)])[:n].astype(np.intp)


def _matched(
    stratum: str,
    wanted: Positions,
    wanted_gc: npt.NDArray[np.float64],
    offered: Positions,
    offered_gc: npt.NDArray[np.float64],
    edges: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Positions, npt.NDArray[np.intp]]:
    """Negatives, and the row of the positive of each: same chromosome, and the decile of coverage, nearest in GC."""
    offered = offered.at(~np.isnan(offered_gc))
    offered_gc = offered_gc[~np.isnan(offered_gc)]
    codes = pd.factorize(np.concatenate([wanted.chrom, offered.chrom]))[0]
    cells = codes.astype(np.float64) * 1_000  # chromosomes and deciles further apart than any GC
    if stratum in MATCHED_BY_SIGNAL:
        cells += 20 * np.searchsorted(edges, np.concatenate([wanted.rpm, offered.rpm]), side="right")
    if stratum in MATCHED_BY_GC:
        cells += np.nan_to_num(np.concatenate([wanted_gc, offered_gc]))
    found = nearest_unused(cells[: len(wanted)], cells[len(wanted) :], rng, within=GC_CALIPER)
    of = np.flatnonzero(found >= 0)
    return offered.at(found[of]), of


def _loci(positions: Positions, width: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            Var.chromosome: positions.chrom,
            Var.start: positions.centre - width // 2,
            Var.end: positions.centre + width // 2,
        }
    )


def _append(mdata: MuData, negatives: pd.DataFrame, kept: npt.NDArray[np.bool_]) -> None:
    """Add negatives to the loci that are kept, in genome order."""
    ernas = mdata.mod[Modality.ernas]
    known = ernas.var[kept].assign(**{Var.chromosome: ernas.var[kept][Var.chromosome].astype(object)})
    negatives = negatives[~erna_names(negatives).isin(known.index)]
    labels: dict[str, Any] = {Var.label: np.float32(0), Var.source: "matched"}
    drawn = negatives.assign(**labels)
    for name in known.columns.difference(drawn.columns):
        if known[name].dtype == bool:
            drawn[name] = False
    if Var.source in known:
        known = known.assign(**{Var.source: known[Var.source].astype(object)})
    known = known.assign(**{Var.stratum: known[Var.stratum].astype(object)})
    together = pd.concat([known.reset_index(drop=True), drawn], ignore_index=True)
    sizes = list(object_chrom_sizes(mdata))
    place = together[Var.chromosome].map({name: number for number, name in enumerate(sizes)})
    order = np.lexsort((together[Var.end], together[Var.start], place))
    together = together.iloc[order].reset_index(drop=True)
    together[Var.stratum] = pd.Categorical(together[Var.stratum], categories=Stratum.ALL)
    for name in (Var.source, Var.matched_to):
        together[name] = together[name].astype("category")
    layers = {}
    for layer, values in ernas.layers.items():
        if layer is not None:
            new = np.zeros if layer in (Layer.label, Layer.candidate) else _unknown
            both = np.concatenate([np.asarray(values)[:, kept], new((mdata.n_obs, len(negatives)))], axis=1)
            layers[layer] = both[:, order]
    as_x = mdata.uns[UNS].get(Uns.x_layer, {}).get(Modality.ernas)
    put_ernas(mdata, together, dict(sorted(layers.items(), key=lambda pair: pair[0] != as_x)))


def _unknown(shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    return np.full(shape, np.nan)
