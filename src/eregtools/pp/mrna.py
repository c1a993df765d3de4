"""mRNA half-life features of genes, from a table or from annotation and sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import MRNA_FEATURES, Modality, Uns, Var, Varm
from eregtools._logging import logger
from eregtools._schema import entry, require_modality, require_real
from eregtools.genome import Genome, get_genome, match_names
from eregtools.io.gtf import read_gtf
from eregtools.io.tables import read_table
from eregtools.pp.align import gene_ids, refuse_repeated, rows_of_genes, stable_ids

_LENGTHS = MRNA_FEATURES[:4]
_PARTS = ("utr5", "cds", "utr3")
_BASES = 4  # codes below are A C G T; 1 and 2 are C and G


def mrna_features(
    mdata: MuData,
    table: str | Path | pd.DataFrame | None = None,
    *,
    gtf: str | Path | None = None,
    genome: Genome | str | Path | None = None,
    copy: bool = False,
) -> MuData | None:
    r"""Add the eight mRNA half-life features of each gene, from a table or from a GTF file and the genome.

    Parameters
    ----------
    mdata
        The object.
    table
        Table (or its path) with gene ids as index or in a column gene_id, ENSID or gene, and the columns
        ``UTR5LEN_log10zscore``, ``CDSLEN_log10zscore``, ``INTRONLEN_log10zscore``, ``UTR3LEN_log10zscore``,
        ``UTR5GC``, ``CDSGC``, ``UTR3GC`` and ``ORFEXONDENSITY``. Ensembl ids match with and without version.
    gtf
        Annotation with exon and CDS rows. The features are those of one transcript of each gene: the one with the
        longest ORF, of those the one with the longest 5' UTR, then the longest 3' UTR, then the first id.
    genome
        Genome of the annotation, its FASTA file, or a registered name; needed with ``gtf``.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["genes"].varm["mrna_features"]``
        DataFrame, genes × the eight features in this order, float32; NaN for genes without a row or without a
        coding transcript.
    ``mdata.uns["eregtools"]["mrna_features"]``
        source (``"table"`` or ``"gtf"``); with ``gtf`` also zscored_over (``"genes of this object"``) and moments,
        the mean and sd of the logarithms.

    Raises
    ------
    TypeError
        Neither or both of ``table`` and ``gtf``, or ``gtf`` without ``genome``.
    KeyError
        The genome does not have the chromosome of a gene.
    ValueError
        Columns are missing, genes are given twice, or none is in the object; the GTF file has no CDS rows, or exons
        past the ends of chromosomes; a view.

    Notes
    -----
    The features of Xpresso (Agarwal and Shendure 2020): lengths are log10(bp + 0.1), then z-scores; the ORF has its
    stop codon; GC is a fraction, 0 for a UTR that is not there; ORFEXONDENSITY is the number of exons of the ORF
    per 1,000 bp of it, which is what the authors' values are (1 exon in 1,593 bp is 0.63) in spite of the name
    exon-junction density. In ``table`` the z-scores are over the authors' genes, with ``gtf`` over the genes of this
    object, so a published model needs the authors' table.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> from eregtools._keys import MRNA_FEATURES
    >>> mdata = er.datasets.three_genes()
    >>> features = pd.DataFrame(0.5, index=["g1", "g2", "g3"], columns=list(MRNA_FEATURES))
    >>> er.pp.mrna_features(mdata, features)
    >>> mdata["genes"].varm["mrna_features"].shape[1]
    8
    """
    require_real(mdata)
    genes = require_modality(mdata, Modality.genes)
    if (table is None) == (gtf is None):
        raise TypeError("mrna_features takes either a table or gtf=…, not both or neither")
    if gtf is not None and genome is None:
        raise TypeError("mrna_features(gtf=…) needs genome=…, from whose sequence GC is counted")
    if gtf is not None and genome is not None:
        features, moments = _from_annotation(genes, gtf, get_genome(genome))
        record: dict[str, Any] = {"source": "gtf", "zscored_over": "genes of this object", "moments": moments}
    else:
        features, record = _from_table(genes, table), {"source": "table"}
    if absent := int(np.isnan(features).all(axis=1).sum()):
        logger.info("mRNA features: %d of %d genes have none and get NaN", absent, genes.n_vars)

    mdata = mdata.copy() if copy else mdata
    frame = pd.DataFrame(features, index=genes.var_names.copy(), columns=list(MRNA_FEATURES))
    mdata.mod[Modality.genes].varm[Varm.mrna_features] = frame.astype(np.float32)
    entry(mdata)[Uns.mrna_features] = record
    return mdata if copy else None


def transcript_features(gtf: str | Path, genome: Genome, genes: pd.Index | None = None) -> pd.DataFrame:
    """Lengths (bp, not transformed), GC fractions and ORF exon density of each gene's transcript.

    Parameters
    ----------
    gtf
        Annotation with exon and CDS rows.
    genome
        Its genome.
    genes
        Stable ids of the genes to look at; None: all that the genome has the chromosome of.

    Returns
    -------
    One row for each gene with a coding transcript, by stable gene id: transcript_id, UTR5LEN, CDSLEN, INTRONLEN,
    UTR3LEN, UTR5GC, CDSGC, UTR3GC, ORFEXONDENSITY.

    Raises
    ------
    KeyError
        The genome does not have the chromosome of a gene that is asked for.
    ValueError
        There are no CDS rows or none of these genes, or an exon ends after its chromosome does.
    """
    rows = read_gtf(gtf, features=("exon", "CDS", "stop_codon"))
    if not (rows["feature"] == "CDS").any() or not (rows["feature"] == "exon").any():
        raise ValueError(
            f"{gtf} has no CDS or no exon rows; expected an annotation of transcripts with coding sequence"
        )
    rows["gene_id"] = stable_ids(rows["gene_id"])
    if genes is not None:
        theirs = rows["gene_id"].iloc[0]
        rows = rows[rows["gene_id"].isin(genes)]
        if rows.empty:
            raise ValueError(f"{Path(gtf).name}: no gene in common; the annotation has {theirs}, the object {genes[0]}")
    else:
        rows = rows[rows[Var.chromosome].isin(list(match_names(genome.chrom_sizes, rows[Var.chromosome].unique())))]
    # the same id lies on two chromosomes in the pseudoautosomal regions of some annotations
    rows = rows.assign(transcript=rows["transcript_id"] + "|" + rows[Var.chromosome])
    parts = _parts(rows)
    chosen = _chosen_transcripts(rows, parts)
    parts = parts[parts["transcript"].isin(chosen["transcript"])]
    genome.check_intervals(parts, "exons")
    parts = parts.assign(**_gc_counts(parts, genome))
    of_part = parts.groupby(["transcript", "part"])[["gc", "known"]].sum().unstack("part").reindex(chosen["transcript"])
    features = pd.DataFrame({"transcript_id": chosen["transcript_id"].to_numpy()}, index=chosen["gene_id"].to_numpy())
    lengths = {"UTR5LEN": "utr5", "CDSLEN": "cds", "INTRONLEN": "intron", "UTR3LEN": "utr3"}
    for name, source in lengths.items():
        features[name] = chosen[source].to_numpy(dtype=np.float64)
    for part in _PARTS:
        gc, known = (
            of_part[(what, part)].fillna(0).to_numpy() if (what, part) in of_part else np.zeros(len(chosen))
            for what in ("gc", "known")
        )
        unread = (known == 0) & (chosen[part].to_numpy() > 0)  # all N
        features[f"{part.upper()}GC"] = np.where(unread, np.nan, gc / np.maximum(known, 1))
    features["ORFEXONDENSITY"] = (chosen["orf_exons"] / chosen["cds"] * 1_000).to_numpy()
    return features


def _from_table(genes: AnnData, table: str | Path | pd.DataFrame | None) -> np.ndarray:
    given = table if isinstance(table, pd.DataFrame) else read_table(str(table))
    if missing := [name for name in MRNA_FEATURES if name not in given]:
        raise ValueError(f"mRNA features: the table has no column {', '.join(missing)}")
    ids = gene_ids(given, "mRNA features")
    refuse_repeated(ids, "mRNA features")
    try:
        numbers = given[list(MRNA_FEATURES)].to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError("mRNA features: there are values that are no numbers") from None
    if np.isinf(numbers).any():
        raise ValueError(f"mRNA features: {np.isinf(numbers).sum()} value(s) are infinite")
    return _by_gene(pd.DataFrame(numbers, index=ids), genes, "the table").to_numpy()


def _from_annotation(genes: AnnData, gtf: str | Path, genome: Genome) -> tuple[np.ndarray, pd.DataFrame]:
    """Features of the object's genes, z-scored over them, and the moments of the logarithms."""
    raw = transcript_features(gtf, genome, stable_ids(genes.var_names))
    features = _by_gene(raw.drop(columns="transcript_id"), genes, f"{Path(gtf).name}")
    lengths = features[[name.removesuffix("_log10zscore") for name in _LENGTHS]]
    logs = pd.DataFrame(np.log10(lengths.to_numpy() + 0.1), index=lengths.index, columns=lengths.columns)
    mean, sd = logs.mean(), logs.std(ddof=0)
    moments = pd.DataFrame({"mean": mean, "sd": sd})
    if flat := list(sd.index[~(sd > 0)]):
        logger.warning("mRNA features: all genes have the same %s; their z-score is 0", ", ".join(flat))
    features[list(moments.index)] = (logs - mean) / sd.where(sd > 0, 1)
    return features.to_numpy(), moments


def _by_gene(features: pd.DataFrame, genes: AnnData, source: str) -> pd.DataFrame:
    """Rows in the order of the object; NaN where a gene is absent."""
    rows_of_genes(features.index, genes, f"mRNA features of {source}")
    return features.reindex(stable_ids(genes.var_names))


def _parts(rows: pd.DataFrame) -> pd.DataFrame:
    """Exons cut into 5' UTR, ORF (coding sequence with the stop codon) and 3' UTR, one row for each piece."""
    orf = (
        rows[rows["feature"] != "exon"]
        .groupby("transcript")
        .agg(orf_start=(Var.start, "min"), orf_end=(Var.end, "max"))
    )
    with_cds = rows.loc[rows["feature"] == "CDS", "transcript"]
    exons = rows[(rows["feature"] == "exon") & rows["transcript"].isin(with_cds)].join(orf, on="transcript")
    forward = exons[Var.strand] == "+"
    start, end, orf_start, orf_end = (exons[name] for name in (Var.start, Var.end, "orf_start", "orf_end"))
    pieces = {
        "left": (start, np.minimum(end, orf_start)),
        "cds": (np.maximum(start, orf_start), np.minimum(end, orf_end)),
        "right": (np.maximum(start, orf_end), end),
    }
    names = {
        "left": np.where(forward, "utr5", "utr3"),
        "cds": np.full(len(exons), "cds", dtype=object),
        "right": np.where(forward, "utr3", "utr5"),
    }
    columns = ["transcript", "transcript_id", "gene_id", Var.chromosome]
    cut = pd.concat(
        [
            exons[columns].assign(**{Var.start: begin, Var.end: stop, "part": names[side]})
            for side, (begin, stop) in pieces.items()
        ],
        ignore_index=True,
    )
    return cut[cut[Var.end] > cut[Var.start]].reset_index(drop=True)


def _chosen_transcripts(rows: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """One coding transcript of each gene, with its lengths and number of exons in the ORF."""
    lengths = (parts[Var.end] - parts[Var.start]).groupby([parts["transcript"], parts["part"]]).sum().unstack("part")
    lengths = lengths.reindex(columns=list(_PARTS)).fillna(0)
    exons = rows[rows["feature"] == "exon"]
    span = exons.groupby("transcript").agg(
        gene_id=("gene_id", "first"),
        transcript_id=("transcript_id", "first"),
        first=(Var.start, "min"),
        last=(Var.end, "max"),
    )
    table = lengths.join(span)
    table["intron"] = table["last"] - table["first"] - lengths.sum(axis=1)
    table["orf_exons"] = parts[parts["part"] == "cds"].groupby("transcript").size()
    table = table.reset_index().sort_values(
        ["cds", "utr5", "utr3", "transcript"], ascending=[False, False, False, True], kind="stable"
    )
    return table.drop_duplicates("gene_id").sort_values("gene_id").reset_index(drop=True)


def _gc_counts(parts: pd.DataFrame, genome: Genome) -> dict[str, np.ndarray]:
    """G and C, and known bases, of each piece; chromosomes are decoded one at a time."""
    gc, known = np.zeros(len(parts)), np.zeros(len(parts))
    start, end = parts[Var.start].to_numpy(), parts[Var.end].to_numpy()
    for name, rows in parts.groupby(Var.chromosome, observed=True).indices.items():
        codes = genome.chromosome(str(name))
        for row in rows:
            counts = np.bincount(codes[start[row] : end[row]], minlength=_BASES + 1)
            gc[row], known[row] = counts[1] + counts[2], counts[:_BASES].sum()
    return {"gc": gc, "known": known}
