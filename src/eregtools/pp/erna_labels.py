"""Which loci are known enhancer RNAs: catalogues, and support in the coverage of each biosample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, Layer, Modality, Stratum, Uns, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import entry, put_layer, require_modality, require_real
from eregtools._settings import settings
from eregtools.coverage import Coverage, recorded_coverage
from eregtools.locus_signal import background_p, free_sequence, locus_reads
from eregtools.pp.erna_mask import recorded_mask
from eregtools.pp.intervals import Intervals, object_chrom_sizes, regions_on
from eregtools.pp.loci import around, covered_samples
from eregtools.ranges import merge_touching, overlaps

Floats = npt.NDArray[np.float64]

CORE = 200
"""Bases around a centre in which a locus has its reads."""

_RESERVED = {value for name, value in vars(Var).items() if isinstance(value, str) and not name.startswith("_")}


def label_ernas(
    mdata: MuData,
    catalogues: Mapping[str, Intervals],
    *,
    negatives: Intervals | None = None,
    distance: int = 200,
    support_p: float | None = 0.05,
    n_background: int = 10_000,
    mask: Intervals | None = None,
    coverage: Coverage | str | Path | None = None,
    sample: str | Sequence[str] | None = None,
    rng: np.random.Generator | None = None,
    copy: bool = False,
) -> MuData | None:
    r"""Label loci that a catalogue of enhancer RNAs knows and that a biosample expresses.

    A locus is positive in a biosample where the centre of a catalogued one is near its own, and its coverage is more
    than that of ``support_p`` of random windows. Catalogued loci without support are ignored, not negative: coverage
    cannot show what is not expressed. Other loci are unlabelled, which is not negative either;
    :func:`~eregtools.pp.matched_ernas` draws negatives.

    Parameters
    ----------
    mdata
        The object, with loci of :func:`~eregtools.pp.candidate_ernas`.
    catalogues
        ``{name: BED file or table}``, as of FANTOM5 and eRNAbase; all of them together are the known loci.
    negatives
        Loci that are known to be none, in the same forms, matched by their centres too.
    distance
        Bases between the centres of a locus and a catalogued one.
    support_p
        Largest empirical p of a positive; ``None``: expression is not asked for, and coverage not needed.
    n_background
        Random windows, outside the mask and at least 1 kb from any catalogued locus.
    mask
        Regions without positives; ``None``: those of :func:`~eregtools.pp.erna_mask`.
    coverage
        The store or its folder, where it was moved.
    sample
        Biosamples that are looked at; ``None``: all that have coverage.
    rng
        Source of randomness; ``None``: ``settings.seed``.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["ernas"].layers["label"]``
        1 positive, 0 negative, NaN ignored, float32 ``(n_samples, n_loci)``.
    ``mdata["ernas"].layers["support_p"]``
        Empirical p of the reads within 200 bp of the centre; NaN where it was not asked for.
    ``mdata["ernas"].var["label"]``, ``["stratum"]``
        1 where any biosample is positive, float32; ``positive``, ``unsupported``, ``unlabelled`` or ``negative``.
    ``mdata["ernas"].var[name]`` for each catalogue
        Whether it has the locus, bool.
    ``mdata.uns["eregtools"]["erna_labels"]``
        The catalogued regions and the rules.

    Raises
    ------
    KeyError
        The object has no loci or no coverage.
    ValueError
        A locus that is catalogued and negative, a catalogue of another assembly, or a name that is taken.

    Notes
    -----
    The positives of eRNAformer are FANTOM5 and eRNAbase loci (Yu et al. 2026); the support is ours.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> loci = pd.DataFrame({"chrom": "chr1", "start": [3_000, 9_000], "end": [3_400, 9_400]})
    >>> er.pp.candidate_ernas(mdata, "bed", source=loci)
    >>> er.pp.label_ernas(mdata, {"FANTOM5": loci[:1]}, support_p=None)
    >>> mdata["ernas"].var["stratum"].tolist()
    ['positive', 'unlabelled']
    """
    require_real(mdata)
    ernas = require_modality(mdata, Modality.ernas)
    if support_p is not None and not 0 < support_p <= 1:
        raise ValueError(f"support_p={support_p}: expected a share above 0, or None")
    _check_names(catalogues)
    sizes = object_chrom_sizes(mdata)
    known = {name: regions_on(source, sizes, f"catalogue {name!r}") for name, source in catalogues.items()}
    if empty := [name for name, table in known.items() if table.empty]:
        raise ValueError(f"catalogue {empty[0]!r} has no locus on the chromosomes of the genome; is it of another one?")
    found = {name: near_centres(ernas.var, table, distance) for name, table in known.items()}
    catalogued = np.logical_or.reduce(list(found.values()))
    negative = np.zeros(len(catalogued), dtype=bool)
    if negatives is not None:
        negative = near_centres(ernas.var, regions_on(negatives, sizes, "negatives"), distance)
    _refuse_both(catalogued & negative, ernas.var_names)

    masked = recorded_mask(mdata, mask, sizes)
    catalogue, _ = merge_touching(pd.concat([table[list(INTERVAL)] for table in known.values()], ignore_index=True))
    allowed = catalogued & ~overlaps(around(ernas.var[Var.chromosome], ernas.var[Var.center], 0), masked)
    support = np.full(ernas.shape, np.nan)
    positive = np.broadcast_to(allowed, ernas.shape)
    if support_p is not None:
        store = recorded_coverage(mdata, coverage)
        names = covered_samples(mdata, store, sample)
        blocked = pd.concat([masked, widened(catalogue, BARRIER)], ignore_index=True)
        support = _support(mdata, store, names, blocked, n_background, rng)
        positive = allowed & (support < support_p)
    label = np.where(positive, 1.0, np.where(negative, 0.0, np.nan))
    stratum = np.where(
        positive.any(axis=0),
        Stratum.positive,
        np.where(catalogued, Stratum.unsupported, np.where(negative, Stratum.negative, Stratum.unlabelled)),
    )

    mdata = mdata.copy() if copy else mdata
    put_layer(mdata, Modality.ernas, Layer.support_p, support)
    put_layer(mdata, Modality.ernas, Layer.label, label)
    var = mdata.mod[Modality.ernas].var
    var[Var.label] = np.where(positive.any(axis=0), 1.0, np.where(negative, 0.0, np.nan)).astype(np.float32)
    var[Var.stratum] = pd.Categorical(stratum, categories=Stratum.ALL)
    for name, of_catalogue in found.items():
        var[name] = of_catalogue
    entry(mdata)[Uns.erna_labels] = {
        "catalogue": catalogue.rename(index=str),
        "catalogues": np.array(list(catalogues), dtype=str),
        "distance": distance,
        "support_p": np.nan if support_p is None else support_p,
    }
    counts = pd.Series(stratum).value_counts()
    logger.info(
        "%d of %d catalogued loci near a candidate; %s",
        near_centres(centred(catalogue), ernas.var, distance).sum(),
        len(catalogue),
        ", ".join(f"{number} {name}" for name, number in counts.items()),
    )
    return mdata if copy else None


BARRIER = 1_000
"""Bases around catalogued loci in which nothing is background or negative."""


def centred(table: pd.DataFrame) -> pd.DataFrame:
    """Intervals with their middles as centres."""
    return table.assign(**{Var.center: (table[Var.start] + table[Var.end]) // 2})


def widened(table: pd.DataFrame, by: int) -> pd.DataFrame:
    """Intervals with so many bases more on either side."""
    return table.assign(**{Var.start: (table[Var.start] - by).clip(lower=0), Var.end: table[Var.end] + by})


def near_centres(loci: pd.DataFrame, others: pd.DataFrame, distance: int) -> np.ndarray:
    """Which loci have the centre of another within ``distance`` bases of their own, bool ``(n_loci,)``."""
    others = others if Var.center in others else centred(others)
    reach = around(loci[Var.chromosome].astype(object), loci[Var.center], 0)
    reach = reach.assign(**{Var.start: reach[Var.start] - distance, Var.end: reach[Var.end] + distance})
    return overlaps(reach, around(others[Var.chromosome].astype(object), others[Var.center], 0))


def _check_names(catalogues: Mapping[str, Intervals]) -> None:
    if not catalogues:
        raise ValueError("catalogues is empty; give at least one, as {'FANTOM5': 'enhancers.bed'}")
    for name in catalogues:
        if name in _RESERVED or "/" in name:
            raise ValueError(f"catalogue {name!r}: this name cannot be that of a column of var; choose another")


def _refuse_both(both: np.ndarray, names: pd.Index) -> None:
    if both.any():
        raise ValueError(
            f"{both.sum()} loci are catalogued and negative at once, first {names[both][0]}; a locus has one label"
        )


def _support(
    mdata: MuData,
    coverage: Coverage,
    samples: list[str],
    blocked: pd.DataFrame,
    n_background: int,
    rng: np.random.Generator | None,
) -> Floats:
    """Empirical p of each locus in each biosample; NaN in those that were not looked at."""
    var = mdata.mod[Modality.ernas].var
    centre = var[Var.center].to_numpy()
    p = np.full((mdata.n_obs, len(var)), np.nan)
    streams = (rng or np.random.default_rng(settings.seed)).spawn(mdata.n_obs)  # the same for a biosample among any
    with progress_bar(len(samples), "support", "biosamples") as bar:
        for sample in samples:
            row = int(mdata.obs_names.get_loc(sample))
            reads = locus_reads(coverage, sample, var[Var.chromosome], centre - CORE, centre + CORE).sum(axis=0)
            sizes = {chrom: size for chrom, size in coverage.chrom_sizes.items() if coverage.has(sample, chrom)}
            free = free_sequence(sizes, blocked)
            width = np.full(len(reads), 2 * CORE)
            p[row] = background_p(coverage, sample, width, reads, free, n_background, streams[row])
            bar.update()
    return p
