"""Where no eRNA is called: around annotated promoters and exons, in gaps and on unreliable sequence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, UNS, Uns, Var
from eregtools._logging import logger
from eregtools._schema import entry, require_real
from eregtools.genome import Genome, get_genome, match_names
from eregtools.intervals import gap_regions
from eregtools.io.gtf import read_gtf
from eregtools.pp.intervals import Intervals, genome_order, object_chrom_sizes, regions_on
from eregtools.ranges import merge_touching

REASONS = ("tss", "exon", "rrna", "blacklist", "gap")

LNCRNA = frozenset(
    {
        "lncRNA",
        "lincRNA",
        "antisense",
        "antisense_RNA",
        "bidirectional_promoter_lncRNA",
        "bidirectional_promoter_lncrna",
        "macro_lncRNA",
        "3prime_overlapping_ncRNA",
        "3prime_overlapping_ncrna",
        "non_coding",
        "processed_transcript",
        "sense_intronic",
        "sense_overlapping",
    }
)
"""Biotypes of GENCODE and Ensembl that are long non-coding RNA, now and in older releases."""


def erna_mask(
    source: MuData | str | Path | pd.DataFrame,
    gtf: str | Path | pd.DataFrame | None = None,
    *,
    tss: int = 500,
    exon: int = 200,
    blacklist: Intervals | None = None,
    gaps: bool = True,
    rrna: bool = True,
    keep_lncrna: bool = True,
    genome: Genome | str | Path | None = None,
) -> pd.DataFrame:
    r"""Regions in which no eRNA locus is called.

    Parameters
    ----------
    source
        The object, or the annotation itself: a GTF file, or its table with transcripts and exons as
        ``er.io.read_gtf(path, features=None)`` gives it.
    gtf
        The annotation, where ``source`` is the object.
    tss
        Bases around the start of each transcript, on either side.
    exon
        Bases around each exon, on either side.
    blacklist
        Regions of unreliable signal, as ENCODE's: BED file or table.
    gaps
        Mask runs of N; needs ``genome``, without which they stay, with a warning.
    rrna
        Mask ribosomal RNA genes and their pseudogenes.
    keep_lncrna
        Transcripts of long non-coding RNA do not mask: many are eRNAs that were annotated.
    genome
        Genome, its FASTA file, or a registered name; gives the lengths of chromosomes where ``source`` is no object.

    Returns
    -------
    Chromosome, Start, End, and Name, why: ``tss``, ``exon``, ``rrna``, ``blacklist`` or ``gap``. Regions of one reason
    do not overlap, those of different reasons do. With an object also sets the following field.

    ``mdata.uns["eregtools"]["erna_mask"]``
        The same table.

    Raises
    ------
    KeyError
        The annotation has none of the genome's chromosomes.
    ValueError
        The annotation has neither transcripts nor exons, or widths are negative.

    Notes
    -----
    TSS ± 500 and exon ± 200: the FANTOM5 enhancer rules (Andersson et al. 2014); sparing lncRNA: ReapTEC.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> gtf = Path(tempfile.mkdtemp()) / "toy.gtf"
    >>> _ = gtf.write_text('chr1\tx\texon\t6001\t6100\t.\t+\t.\tgene_id "g1"; transcript_id "t1";\n')
    >>> er.pp.erna_mask(er.datasets.three_genes(), gtf, gaps=False)
      Chromosome  Start   End  Name
    0       chr1   5500  6501   tss
    1       chr1   5800  6300  exon
    """
    for what, width in (("tss", tss), ("exon", exon)):
        if width < 0:
            raise ValueError(f"{what}={width}: expected at least 0 bp")
    mdata = source if isinstance(source, MuData) else None
    if mdata is not None:
        require_real(mdata)
        if gtf is None:
            raise ValueError("gtf is missing; the object does not know exons: er.pp.erna_mask(mdata, gtf)")
    reference = get_genome(genome) if genome is not None else None
    annotation = _annotation(source if gtf is None else gtf)
    sizes = object_chrom_sizes(mdata) if mdata is not None else _sizes(reference, annotation)
    annotation = _on_chromosomes(annotation, sizes)

    spared = _biotype(annotation).isin(LNCRNA).to_numpy() if keep_lncrna else np.zeros(len(annotation), dtype=bool)
    masking = annotation[~spared]
    regions = {
        "tss": _tss_windows(masking, tss),
        "exon": _widened(masking[masking["feature"] == "exon"], exon),
    }
    if rrna:
        regions["rrna"] = _widened(annotation[_biotype(annotation).str.contains("rRNA", regex=False)], 0)
    if blacklist is not None:
        regions["blacklist"] = regions_on(blacklist, sizes, "blacklist")
    if gaps and reference is None:
        logger.warning("gaps=True needs genome=…, whose runs of N are looked for; gaps are not masked")
    elif gaps and reference is not None:
        regions["gap"] = gap_regions(reference, sizes)
    mask = _together(regions, sizes)
    union, _ = merge_touching(mask)
    logger.info(
        "the mask takes %.1f %% of the genome (%s)",
        100 * (union[Var.end] - union[Var.start]).sum() / sum(sizes.values()),
        ", ".join(f"{(mask['Name'] == name).sum()} {name}" for name in REASONS if name in regions),
    )
    if mdata is not None:
        entry(mdata)[Uns.erna_mask] = mask.rename(index=str)
    return mask


def recorded_mask(mdata: MuData, mask: pd.DataFrame | Intervals | None, sizes: Mapping[str, int]) -> pd.DataFrame:
    """Masked regions merged: those given, or those of the object; none where there are none."""
    if mask is None:
        mask = mdata.uns.get(UNS, {}).get(Uns.erna_mask)
    if mask is None:
        logger.warning("the object has no mask; promoters and exons are not left out (er.pp.erna_mask)")
        return pd.DataFrame({Var.chromosome: np.empty(0, dtype=object), Var.start: [], Var.end: []}).astype(
            dict.fromkeys(INTERVAL[1:], np.int64)
        )
    return merge_touching(regions_on(mask, sizes, "mask"))[0]


def _annotation(gtf: str | Path | pd.DataFrame) -> pd.DataFrame:
    table = gtf if isinstance(gtf, pd.DataFrame) else read_gtf(gtf, features=("transcript", "exon"))
    if "feature" not in table or not table["feature"].isin(["transcript", "exon"]).any():
        raise ValueError("the annotation has neither transcripts nor exons, so there is nothing to mask")
    return table[table["feature"].isin(["transcript", "exon"])]


def _sizes(genome: Genome | None, annotation: pd.DataFrame) -> dict[str, int]:
    if genome is not None:
        return genome.chrom_sizes
    ends = annotation.groupby(annotation[Var.chromosome].astype(str), sort=False)[Var.end].max()
    return {str(name): int(end) for name, end in ends.items()}


def _on_chromosomes(annotation: pd.DataFrame, sizes: Mapping[str, int]) -> pd.DataFrame:
    names = annotation[Var.chromosome].astype(str)
    spelling = match_names(sizes, names.unique())
    if not spelling:
        raise KeyError(f"the annotation has {names.iloc[0]!r}, the genome {next(iter(sizes))!r}: none in common")
    there = names.isin(list(spelling))
    placed = annotation[there].assign(**{Var.chromosome: names[there].map(spelling)})
    past = placed[Var.end] > placed[Var.chromosome].map(sizes)
    if past.any():
        first = placed[past].iloc[0]
        raise ValueError(
            f"{past.sum()} rows of the annotation end after their chromosome, first {first[Var.chromosome]}:"
            f"{first[Var.start]}-{first[Var.end]}; it is of another assembly"
        )
    return placed.reset_index(drop=True)


def _biotype(annotation: pd.DataFrame) -> pd.Series:
    """Biotype of each row's transcript, or of its gene."""
    found = pd.Series("", index=annotation.index, dtype=object)
    for column in ("gene_type", "transcript_type"):
        if column in annotation:
            found = annotation[column].astype(object).where(annotation[column] != "", found)
    return found


def _tss_windows(annotation: pd.DataFrame, half_width: int) -> pd.DataFrame:
    """Windows around the first base of each transcript; of files without transcript rows, that of its exons."""
    rows = annotation[annotation["feature"] == "transcript"]
    if rows.empty and "transcript_id" in annotation:
        keys = [Var.chromosome, Var.strand, "transcript_id"]
        rows = annotation.groupby(keys, sort=False).agg({Var.start: "min", Var.end: "max"}).reset_index()
    minus = (rows[Var.strand] == "-").to_numpy()
    position = np.where(minus, rows[Var.end] - 1, rows[Var.start])
    return pd.DataFrame(
        {
            Var.chromosome: rows[Var.chromosome].to_numpy(),
            Var.start: position - half_width,
            Var.end: position + half_width + 1,
        }
    )


def _widened(rows: pd.DataFrame, by: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            Var.chromosome: rows[Var.chromosome].to_numpy(),
            Var.start: rows[Var.start].to_numpy() - by,
            Var.end: rows[Var.end].to_numpy() + by,
        }
    )


def _together(regions: Mapping[str, pd.DataFrame], sizes: Mapping[str, int]) -> pd.DataFrame:
    parts = []
    for name, table in regions.items():
        if len(table):
            merged, _ = merge_touching(regions_on(table, sizes, name))
            parts.append(merged.assign(Name=name))
    if not parts:
        raise ValueError("there is nothing to mask: the annotation and the other regions are empty")
    return genome_order(pd.concat(parts, ignore_index=True), sizes)
