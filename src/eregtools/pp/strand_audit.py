"""Whether the strands of coverage are labelled as the annotation says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import require_real
from eregtools.coverage import Coverage, record, recorded_coverage
from eregtools.genome import match_names
from eregtools.io.gtf import read_gtf
from eregtools.locus_signal import locus_reads
from eregtools.pp.coverage import put_obs
from eregtools.ranges import merge_touching, subtract

STRANDED, SWAPPED = 0.8, 0.2


def strand_audit(
    mdata: MuData,
    gtf: str | Path | pd.DataFrame,
    *,
    coverage: Coverage | str | Path | None = None,
    min_reads: float = 10.0,
    min_genes: int = 10,
    copy: bool = False,
) -> MuData | None:
    r"""Compare the strands of coverage with those of annotated genes; exchange or average them where they are wrong.

    In exons that no gene of the other strand touches, r is the share of a gene's coverage that lies on its own strand.
    By the median of the genes, r > 0.8 confirms the labels; r < 0.2 means that they are exchanged, and from then on
    they are exchanged when read; anything between means that the strand is not known, and both strands get one half of
    the total. Coverage itself is not written again.

    Parameters
    ----------
    mdata
        The object, with coverage.
    gtf
        GTF file with exons, or its table as :func:`eregtools.io.read_gtf` gives it.
    coverage
        The store or its folder, where it was moved.
    min_reads
        Reads on both strands together that a gene needs to count.
    min_genes
        Genes that a biosample needs; with fewer its strands stay as they are, with a warning.
    copy
        Return a new object instead; the store of coverage, which both use, knows the result.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata.obs["strand_fraction"]``
        Median r, float64; NaN where it is not known.
    ``mdata.obs["strandedness"]``, ``["swapped"]``
        ``forward``, ``reverse`` or ``unstranded``; whether the labels are exchanged.

    Raises
    ------
    KeyError
        The object has no coverage.
    ValueError
        The annotation has no exons, or none that tell strands apart, so that no audit is possible.

    Notes
    -----
    Labels of widely used dUTP tracks have been exchanged (nf-core/rnaseq 1591 and 1620). Exchanged, divergent loci
    become convergent; tracks of an unstranded library show strands that mean nothing.

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
    >>> er.pp.add_coverage(mdata, world.tracks, folder=world.folder / "coverage.zarr", read_length=75)
    >>> er.pp.strand_audit(mdata, files["genes"], min_genes=2)
    >>> mdata.obs[["strand_fraction", "strandedness", "swapped"]].round(1)
        strand_fraction strandedness  swapped
    s1              1.0      forward    False
    s2              0.0      reverse     True
    """
    require_real(mdata)
    opened = recorded_coverage(mdata, coverage)
    exons = single_strand_exons(gtf, opened)
    samples = [str(name) for name in mdata.obs_names if name in opened.samples]
    decisions: dict[str, dict[str, object]] = {}
    with progress_bar(len(samples), "strand audit", "biosamples") as bar:
        for sample in samples:
            if int(opened.about(sample)["tracks"]) == 2:
                fraction, genes = _sense_fraction(opened, sample, exons, min_reads)
                decisions[sample] = _decision(sample, fraction, genes, min_genes)
            else:
                logger.info("%s: one track for both strands, nothing to audit", sample)
            bar.update()
    opened.relabel({sample: found for sample, found in decisions.items() if found})

    mdata = mdata.copy() if copy else mdata
    record(mdata, opened)
    put_obs(mdata, opened)
    return mdata if copy else None


def single_strand_exons(gtf: str | Path | pd.DataFrame, coverage: Coverage) -> pd.DataFrame:
    """Parts of exons, whole bins, that no exon or intron of the other strand touches.

    Parameters
    ----------
    gtf
        GTF file or its table.
    coverage
        Whose chromosomes and bins.

    Returns
    -------
    Chromosome, Start, End, Strand and gene_id of each part; no base of a gene is in two parts.

    Raises
    ------
    ValueError
        There are no exons, none on the chromosomes of the coverage, or none without a gene on the other strand.
    """
    exons = _exons(gtf)
    names = match_names(coverage.chrom_sizes, exons[Var.chromosome].astype(str).unique())
    exons[Var.chromosome] = exons[Var.chromosome].astype(str).map(names)
    exons = exons[exons[Var.chromosome].notna()]
    if exons.empty:
        raise ValueError(
            f"gtf: none of its exons is on a chromosome of the coverage ({', '.join(list(coverage.chrom_sizes)[:3])}); "
            f"no strand audit was possible"
        )
    genes = exons.groupby([Var.chromosome, Var.strand, "gene_id"], sort=False, observed=True)
    bodies = genes.agg({Var.start: "min", Var.end: "max"}).reset_index()
    parts = _without_antisense(_merged_by_gene(exons), bodies)
    size = coverage.bin_size
    parts[Var.start], parts[Var.end] = -(-parts[Var.start] // size) * size, parts[Var.end] // size * size
    parts = parts[parts[Var.end] > parts[Var.start]].reset_index(drop=True)
    if parts.empty:
        raise ValueError("gtf: every exon has a gene on the other strand; no strand audit was possible")
    return parts


def _exons(gtf: str | Path | pd.DataFrame) -> pd.DataFrame:
    if isinstance(gtf, pd.DataFrame):
        table = gtf[gtf["feature"] == "exon"] if "feature" in gtf else gtf
        if table.empty:
            raise ValueError("gtf: the table has no exons; no strand audit was possible")
    else:
        try:
            table = read_gtf(gtf, features=("exon",))
        except ValueError as error:
            if "without exon rows" not in str(error):
                raise
            raise ValueError(
                f"{gtf} has no exons, so no strand audit was possible; give a GTF with exon rows"
            ) from None
    table = table.loc[table[Var.strand].isin(["+", "-"]), [*INTERVAL, Var.strand, "gene_id"]].reset_index(drop=True)
    if table.empty:
        raise ValueError("gtf: no exon has a strand; no strand audit was possible")
    return table


def _merged_by_gene(exons: pd.DataFrame) -> pd.DataFrame:
    """Unions of the exons of each gene."""
    key = exons[[Var.chromosome, Var.strand, "gene_id"]].astype(str).agg("|".join, axis=1)
    unions, number = merge_touching(exons.assign(**{Var.chromosome: key.to_numpy()}))
    first = pd.Series(np.arange(len(exons))).groupby(number).first().to_numpy()
    return pd.DataFrame(
        {
            Var.chromosome: exons[Var.chromosome].to_numpy()[first],
            Var.start: unions[Var.start].to_numpy(),
            Var.end: unions[Var.end].to_numpy(),
            Var.strand: exons[Var.strand].to_numpy()[first],
            "gene_id": exons["gene_id"].to_numpy()[first],
        }
    )


def _without_antisense(exons: pd.DataFrame, bodies: pd.DataFrame) -> pd.DataFrame:
    """Exons less what genes of the other strand span."""
    found = []
    for strand in ("+", "-"):
        own = exons[exons[Var.strand] == strand]
        parts, row = subtract(own, bodies[bodies[Var.strand] != strand])
        found.append(parts.assign(**{name: own[name].to_numpy()[row] for name in (Var.strand, "gene_id")}))
    return pd.concat(found, ignore_index=True)


def _sense_fraction(coverage: Coverage, sample: str, exons: pd.DataFrame, min_reads: float) -> tuple[float, int]:
    """Median share of the sense strand over the genes with enough reads, as the files label it, and how many these are.

    A second audit of one store finds what the first one found.
    """
    reads = locus_reads(
        coverage, sample, exons[Var.chromosome], exons[Var.start].to_numpy(), exons[Var.end].to_numpy(), labelled=True
    )
    minus = (exons[Var.strand] == "-").to_numpy()
    sense, antisense = np.where(minus, reads[1], reads[0]), np.where(minus, reads[0], reads[1])
    genes = pd.DataFrame({"sense": sense, "antisense": antisense}).groupby(exons["gene_id"].to_numpy()).sum()
    genes = genes[genes.sum(axis=1) >= min_reads]
    if genes.empty:
        return math.nan, 0
    return float((genes["sense"] / genes.sum(axis=1)).median()), len(genes)


def _decision(sample: str, fraction: float, genes: int, min_genes: int) -> dict[str, object]:
    """Decide on the strands of one sample, with a warning where they are not what they were said to be."""
    if genes < min_genes:
        logger.warning(
            "%s: only %d genes have enough reads in exons of one strand (expected %d), so its strands are not audited",
            sample,
            genes,
            min_genes,
        )
        return {}
    shown = f"{fraction:.3f} of the exonic coverage of {genes} genes is on their own strand"
    if fraction > STRANDED:
        logger.info("%s: %s: the strands are right", sample, shown)
        strandedness = "forward"
    elif fraction < SWAPPED:
        logger.warning("%s: %s: plus and minus are exchanged, and are exchanged back when read", sample, shown)
        strandedness = "reverse"
    else:
        logger.warning("%s: %s: the library is unstranded, and both strands get one half of the total", sample, shown)
        strandedness = "unstranded"
    return {"strandedness": strandedness, "strand_fraction": fraction}
