"""GTF annotation as DataFrames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools.io._text import check_coordinates, refuse_repeats, split_columns, to_numbers

_ATTRIBUTES = (
    "gene_id",
    "gene_name",
    "gene_type",
    "transcript_id",
    "transcript_name",
    "transcript_type",
    "exon_number",
)
_ENSEMBL_NAMES = {"gene_type": "gene_biotype", "transcript_type": "transcript_biotype"}


def strip_versions(ids: pd.Series) -> pd.Series:
    """Ensembl ids without their version: ``ENSG…5.12`` → ``ENSG…5``, ``ENSG…5.12_PAR_Y`` → ``ENSG…5_PAR_Y``.

    Examples
    --------
    >>> strip_versions(pd.Series(["ENSG00000002586.19_PAR_Y", "ENSG00000233866.1", "GATA1"])).tolist()
    ['ENSG00000002586_PAR_Y', 'ENSG00000233866', 'GATA1']
    """
    return ids.str.replace(r"^(ENS[A-Z]*\d+)\.\d+", r"\1", regex=True)


def read_gtf(
    path: str | Path, *, features: Sequence[str] | str | None = ("gene",), strip_version: bool = False
) -> pd.DataFrame:
    r"""Read a GTF annotation, plain or gzip.

    Parameters
    ----------
    path
        The file.
    features
        Features to keep, as in the third column of the file; None keeps all.
    strip_version
        Remove the version of Ensembl gene and transcript ids (``.12``; ``_PAR_Y`` stays).

    Returns
    -------
    One row for each line in the order of the file: ``Chromosome``, ``Start``, ``End`` (0-based half-open),
    ``Strand``, ``feature``, and of the attributes ``gene_id``, ``gene_name``, ``gene_type``,
    ``transcript_id``, ``transcript_name``, ``transcript_type`` and ``exon_number`` those that occur (Ensembl's
    ``gene_biotype`` is called ``gene_type``). An attribute that a line does not have is the empty text.

    Raises
    ------
    ValueError
        The file is empty or no GTF, has no rows of ``features``, or has coordinates that are no intervals.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.gtf"
    >>> _ = path.write_text('chr1\tx\tgene\t11\t20\t.\t-\t.\tgene_id "ENSG1.2"; gene_name "A";\n')
    >>> er.io.read_gtf(path, strip_version=True)
      Chromosome  Start  End Strand feature gene_id gene_name
    0       chr1     10   20      -    gene   ENSG1         A
    """
    path = Path(path)
    wanted = [features] if isinstance(features, str) else features
    marks = None if wanted is None else [f"\t{feature}\t" for feature in wanted]
    table, lines = split_columns(path, "a GTF file", containing=marks)
    if table.shape[1] != 9:
        raise ValueError(
            f"{path}, line {lines.iloc[0]}: {table.shape[1]} tab-separated columns found, expected the 9 of GTF."
        )
    if wanted is not None:
        keep = table[2].isin(list(wanted))
        if not keep.any():
            raise ValueError(
                f"{path} is a GTF without {' or '.join(wanted)} rows; it has "
                f"{', '.join(sorted(table[2].unique()))}. Ask for one of these with features=."
            )
        table, lines = table[keep].reset_index(drop=True), lines[keep].reset_index(drop=True)
    frame = pd.DataFrame(
        {
            Var.chromosome: table[0],
            Var.start: to_numbers(table[3], lines, path, Var.start, whole=True) - 1,
            Var.end: to_numbers(table[4], lines, path, Var.end, whole=True),
            Var.strand: table[6],
            "feature": table[2],
        }
    )
    check_coordinates(frame, lines, path, closed=True)
    for name in _ATTRIBUTES:
        values = _attribute(table[8], name)
        if name in _ENSEMBL_NAMES and (values == "").all():
            values = _attribute(table[8], _ENSEMBL_NAMES[name])
        if (values != "").any():
            frame[name] = values
    if "gene_id" not in frame:
        raise ValueError(
            f'{path}, line {lines.iloc[0]}: no attribute gene_id "…" found in {table[8].iloc[0][:60]!r}. '
            f"Expected GTF; GFF3 files (gene_id=…) must be converted first."
        )
    if strip_version:
        for name in ("gene_id", "transcript_id"):
            if name in frame:
                frame[name] = strip_versions(frame[name])
    return frame


def _attribute(attributes: pd.Series, name: str) -> pd.Series:
    pattern = re.compile(rf'(?:^|[;\s]){name} (?:"([^"]*)"|([^";]+))')
    found = [pattern.search(text) for text in attributes]
    return pd.Series([(m[1] if m[1] is not None else m[2].strip()) if m else "" for m in found], dtype=object)


def read_genes(path: str | Path, *, strip_version: bool = False) -> pd.DataFrame:
    r"""Read the genes of a GTF annotation with their transcription start sites.

    Parameters
    ----------
    path
        The file, plain or gzip.
    strip_version
        Remove the version of Ensembl ids (``.12``; ``_PAR_Y`` stays).

    Returns
    -------
    One row for each gene: ``Chromosome``, ``Start``, ``End`` (0-based half-open), ``Strand``, ``tss`` (0-based
    position: ``Start`` on ``+``, ``End - 1`` on ``-``), ``gene_id``, ``gene_name`` (the id where the file has
    none) and ``gene_type`` where the file has it.

    Raises
    ------
    ValueError
        The file has no gene rows, a gene has no strand, or a gene id occurs twice.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.gtf"
    >>> _ = path.write_text('chr1\tx\tgene\t11\t20\t.\t-\t.\tgene_id "G1"; gene_name "A";\n')
    >>> er.io.read_genes(path)
      Chromosome  Start  End Strand  tss gene_id gene_name
    0       chr1     10   20      -   19      G1         A
    """
    path = Path(path)
    try:
        frame = read_gtf(path, features=("gene",), strip_version=strip_version)
    except ValueError as error:
        if "GTF without gene rows" in str(error) and "transcript" in str(error):
            raise ValueError(
                f"{path} is a GTF without gene rows, though it has transcript rows. Use the annotation as GENCODE "
                f"or Ensembl distribute it, or pass a table of genes with the column tss."
            ) from None
        raise
    unstranded = ~frame[Var.strand].isin(["+", "-"])
    if unstranded.any():
        row = int(np.argmax(unstranded))
        raise ValueError(
            f"{path}: {int(unstranded.sum())} genes have no strand (first {frame['gene_id'].iloc[row]!r}, strand "
            f"{frame[Var.strand].iloc[row]!r}); expected + or -, which say where the gene begins."
        )
    refuse_repeats(frame["gene_id"], path, "gene ids")
    tss = frame[Var.start].where(frame[Var.strand] == "+", frame[Var.end] - 1)
    frame.insert(4, Var.tss, tss)
    if "gene_name" not in frame:
        frame["gene_name"] = ""
    frame["gene_name"] = frame["gene_name"].where(frame["gene_name"] != "", frame["gene_id"])
    columns = [Var.chromosome, Var.start, Var.end, Var.strand, Var.tss, "gene_id", "gene_name", "gene_type"]
    return frame[[column for column in columns if column in frame]]


def read_assembly(path: str | Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    r"""Read transcripts that were assembled from reads, as StringTie writes them.

    Parameters
    ----------
    path
        The GTF file, plain or gzip.

    Returns
    -------
    Transcripts: ``Chromosome``, ``Start``, ``End`` (0-based half-open), ``Strand`` (``.`` where it is not known),
    ``transcript_id``, ``length`` (bases of its exons) and ``n_exons``; and their exons: ``Chromosome``, ``Start``,
    ``End``, ``Strand``, ``transcript`` (row of the transcript).

    Raises
    ------
    ValueError
        The file has no exons, an exon has no transcript, or a transcript is on two strands.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "assembled.gtf"
    >>> _ = path.write_text('chr1\tStringTie\texon\t11\t20\t1000\t.\t.\tgene_id "STRG.1"; transcript_id "STRG.1.1";\n')
    >>> read_assembly(path)[0]
      Chromosome  Start  End Strand transcript_id  length  n_exons
    0       chr1     10   20      .      STRG.1.1      10        1
    """
    exons = read_gtf(path, features=("exon",))
    if "transcript_id" not in exons or (exons["transcript_id"] == "").any():
        raise ValueError(f"{path}: there are exons without transcript_id; expected assembled transcripts")
    number, names = pd.factorize(exons["transcript_id"])
    grouped = exons.assign(length=exons[Var.end] - exons[Var.start]).groupby(number, sort=True)
    if (several := grouped[[Var.chromosome, Var.strand]].nunique().max(axis=1) > 1).any():
        raise ValueError(f"{path}: transcript {names[int(np.argmax(several))]!r} is on two chromosomes or strands")
    transcripts = grouped.agg(
        {Var.chromosome: "first", Var.start: "min", Var.end: "max", Var.strand: "first", "transcript_id": "first"}
    )
    transcripts = transcripts.assign(length=grouped["length"].sum(), n_exons=grouped.size())
    return transcripts, exons[[Var.chromosome, Var.start, Var.end, Var.strand]].assign(transcript=number)
