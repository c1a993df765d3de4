"""Candidate elements from accessibility peaks, and their class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import ElementClass, Modality, Var
from eregtools._logging import logger
from eregtools._schema import require_modality, require_real
from eregtools.genome import Genome, get_genome
from eregtools.io.bed import read_narrowpeak
from eregtools.io.tables import read_intervals_table
from eregtools.pp.align import column, required_column, whole_numbers
from eregtools.pp.intervals import Intervals, genome_order, regions_on, suffix
from eregtools.ranges import merge_touching, overlaps

TSS_WINDOW = 500
"""Half width of the TSS window in which an element is a promoter, as in the Activity-by-Contact pipeline."""


def candidate_enhancers(
    peaks: Intervals,
    *,
    genome: Genome | str | Path,
    n: int = 150_000,
    rank_by: str = "score",
    width: int = 500,
    include: Intervals | None = None,
    blacklist: Intervals | None = None,
) -> pd.DataFrame:
    r"""Candidate elements around the summits of accessibility peaks, by the rules of Activity-by-Contact.

    Peaks that overlap or touch are one region, as strong as its strongest peak; the summits of the ``n``
    strongest regions are widened to ``width`` and cut at the ends of the chromosome; windows that overlap or
    touch are merged; what overlaps the blacklist is dropped; ``include`` is added as it is; and everything is
    merged once more.

    Parameters
    ----------
    peaks
        narrowPeak file, or a table (or its path) with Chromosome (or chrom), Start, End, and summit (position)
        or Peak (offset from Start, −1: the centre).
    genome
        Genome, its FASTA file, or a registered name.
    n
        Number of regions; of equally strong ones the first in the genome are taken.
    rank_by
        Column with the strength, in either case: of narrowPeak ``"score"``, ``"SignalValue"``, ``"PValue"`` or
        ``"QValue"``; of a table any, as read counts, by which the pipeline itself ranks.
    width
        Width of the window around a summit in bp, even.
    include
        Regions that are always candidates, as 500-bp windows around TSSs: BED file, or a table or its path.
    blacklist
        Regions that are none, in the same forms. Rows of these two on chromosomes that the genome does not
        have are left out.

    Returns
    -------
    Chromosome, Start, End, in the order of the genome; no two overlap or touch.

    Raises
    ------
    KeyError
        There is no column ``rank_by``, or a peak lies on a chromosome that the genome does not have.
    ValueError
        There are no summits, ``rank_by`` is not numeric, or ``n`` or ``width`` is not positive.

    Notes
    -----
    Fulco et al. 2019 and Nasser et al. 2021: 150,000 peaks, 250 bp on either side of the summit.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> import eregtools as er
    >>> fasta = Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = fasta.write_text(">chr1\n" + "ACGT" * 2_500 + "\n")
    >>> peaks = pd.DataFrame(
    ...     {"chrom": "chr1", "start": [900, 5_000], "end": [1_300, 5_300], "summit": [1_000, 5_100], "reads": [9, 4]}
    ... )
    >>> er.pp.candidate_enhancers(peaks, genome=fasta, n=1, rank_by="reads")
      Chromosome  Start   End
    0       chr1    750  1250
    """
    genome = get_genome(genome)
    if n < 1:
        raise ValueError(f"n={n}: expected at least one peak")
    if width < 2 or width % 2:
        raise ValueError(f"width={width}: expected an even number of bp of at least 2")
    table = _read_peaks(peaks)
    summits = _summits(table, rank_by, genome)
    strongest = _strongest(summits, n)
    windows = _windows(strongest, width // 2, genome)
    elements, _ = merge_touching(windows)
    if blacklist is not None:
        blocked = overlaps(elements, regions_on(blacklist, genome.chrom_sizes, "blacklist", genome.name))
        logger.info("%d of %d candidate elements overlap the blacklist", blocked.sum(), len(elements))
        elements = elements[~blocked]
    if include is not None:
        elements, _ = merge_touching(
            pd.concat([elements, regions_on(include, genome.chrom_sizes, "include", genome.name)], ignore_index=True)
        )
    elements = genome_order(elements, genome.chrom_sizes)
    logger.info("%d candidate elements from %d of %d peaks", len(elements), len(strongest), len(summits))
    return elements


def classify(
    mdata: MuData, *, tss_window: int = TSS_WINDOW, key_added: str = Var.element_class, copy: bool = False
) -> MuData | None:
    """Class of each element: promoter, genic or intergenic.

    Parameters
    ----------
    mdata
        The object.
    tss_window
        An element that overlaps ``[tss - tss_window, tss + tss_window)`` of any gene is a promoter; of the others,
        one that overlaps the body of a gene is genic.
    key_added
        Column of ``mdata["enhancers"].var``.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["enhancers"].var["class"]``
        Categorical ``promoter``, ``genic`` or ``intergenic``.

    Raises
    ------
    KeyError
        There are no genes or no elements.
    ValueError
        ``tss_window`` is below 1; a view.

    Notes
    -----
    The classes of the Activity-by-Contact pipeline, which normalises promoters apart from other elements.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.classify(mdata, tss_window=1_500)
    >>> mdata["enhancers"].var["class"].tolist()
    ['promoter', 'intergenic', 'intergenic', 'intergenic']
    """
    require_real(mdata)
    genes = require_modality(mdata, Modality.genes).var
    elements = require_modality(mdata, Modality.enhancers).var
    if tss_window < 1:
        raise ValueError(f"tss_window={tss_window}: expected at least 1 bp on either side of the TSS")
    if ((genes[Var.end] - genes[Var.start]) <= 1).all():
        logger.warning("the genes have no bodies (Start and End are the TSS): no element can be genic")
    tss = genes[Var.tss].to_numpy()
    around = pd.DataFrame(
        {
            Var.chromosome: genes[Var.chromosome],
            Var.start: np.maximum(tss - tss_window, 0),
            Var.end: tss + tss_window,
        }
    )
    names = np.where(overlaps(elements, genes), ElementClass.genic, ElementClass.intergenic).astype(object)
    names[overlaps(elements, around)] = ElementClass.promoter
    order = [ElementClass.promoter, ElementClass.genic, ElementClass.intergenic]

    mdata = mdata.copy() if copy else mdata
    mdata.mod[Modality.enhancers].var[key_added] = pd.Categorical(names, categories=order)
    counts = ", ".join(f"{(names == name).sum()} {name}" for name in order)
    logger.info("classes of %d elements: %s", len(names), counts)
    return mdata if copy else None


def _read_peaks(source: Intervals) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        table = source
    elif suffix(source) == ".narrowpeak":
        table = read_narrowpeak(source)
    elif suffix(source) == ".bed":
        raise ValueError(
            f"peaks: {Path(source).name} is a BED file, which has no summits; give the narrowPeak file, or a table "
            f"with a column summit"
        )
    else:
        table = read_intervals_table(source)
    if table.empty:
        raise ValueError("peaks: the table is empty")
    return table


def _summits(table: pd.DataFrame, rank_by: str, genome: Genome) -> pd.DataFrame:
    """Peaks in genome order, spelled as in the genome, with their summits and strengths."""
    strength = pd.to_numeric(table[_rank_column(table, rank_by)], errors="coerce")
    if strength.isna().any():
        raise ValueError(f"peaks: {strength.isna().sum()} value(s) of rank_by={rank_by!r} are no numbers")
    peaks = pd.DataFrame(
        {
            Var.chromosome: required_column(table, Var.chromosome, "peaks").astype(str).to_numpy(),
            Var.start: whole_numbers(required_column(table, Var.start, "peaks"), "peaks"),
            Var.end: whole_numbers(required_column(table, Var.end, "peaks"), "peaks"),
            "strength": strength.to_numpy(),
        }
    )
    genome.check_intervals(peaks, "peaks")
    peaks[Var.chromosome] = peaks[Var.chromosome].map(genome.match_chromosomes(peaks[Var.chromosome].unique()))
    peaks[Var.summit] = _summit_positions(table, peaks)
    outside = (peaks[Var.summit] < peaks[Var.start]) | (peaks[Var.summit] >= peaks[Var.end])
    if outside.any():
        first = peaks[outside].iloc[0]
        raise ValueError(
            f"peaks: {outside.sum()} summit(s) lie outside their peak, first {first[Var.summit]} of "
            f"{first[Var.chromosome]}:{first[Var.start]}-{first[Var.end]}; a summit is a position, an offset is "
            f"called Peak"
        )
    return genome_order(peaks, genome.chrom_sizes)


def _rank_column(table: pd.DataFrame, rank_by: str) -> str:
    if rank_by in table:
        return rank_by
    same = [name for name in table.columns if str(name).lower() == rank_by.lower()]
    if len(same) != 1:
        raise KeyError(
            f"peaks: there is no column rank_by={rank_by!r}; the peaks have {', '.join(map(str, table.columns))}"
        )
    return str(same[0])


def _summit_positions(table: pd.DataFrame, peaks: pd.DataFrame) -> np.ndarray:
    if (summit := column(table, Var.summit)) is not None:
        return whole_numbers(summit, "peaks")
    if "Peak" not in table:
        raise ValueError(
            f"peaks: there is neither a column summit nor Peak; the table has {', '.join(map(str, table.columns))}"
        )
    offset = whole_numbers(table["Peak"], "peaks")
    start, end = peaks[Var.start].to_numpy(), peaks[Var.end].to_numpy()
    return np.where(offset == -1, (start + end) // 2, start + offset)


def _strongest(peaks: pd.DataFrame, n: int) -> pd.DataFrame:
    """Peaks of the ``n`` strongest regions; callers that split a peak by its summits repeat its interval."""
    regions, of_peak = merge_touching(peaks)
    strength = np.full(len(regions), -np.inf)
    np.maximum.at(strength, of_peak, peaks["strength"].to_numpy())
    kept = np.zeros(len(regions), dtype=bool)
    kept[np.argsort(-strength, kind="stable")[:n]] = True
    return peaks[kept[of_peak]]


def _windows(peaks: pd.DataFrame, half: int, genome: Genome) -> pd.DataFrame:
    sizes = peaks[Var.chromosome].map(genome.chrom_sizes).to_numpy()
    return pd.DataFrame(
        {
            Var.chromosome: peaks[Var.chromosome],
            Var.start: np.maximum(peaks[Var.summit].to_numpy() - half, 0),
            Var.end: np.minimum(peaks[Var.summit].to_numpy() + half, sizes),
        }
    )
