"""The object from genes, candidate enhancers and the names of biosamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import INTERVAL, Layer, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import SCHEMA_VERSION, entry, put_layer
from eregtools.genome import Genome, get_genome
from eregtools.io.bed import read_bed, read_narrowpeak
from eregtools.io.gtf import read_genes
from eregtools.io.tables import read_intervals_table, read_table
from eregtools.pp.align import column, gene_ids, refuse_repeated, required_column, whole_numbers

Table: TypeAlias = str | Path | pd.DataFrame


def assemble(
    *,
    genes: Table,
    enhancers: Table | Mapping[str, Table],
    samples: str | Sequence[str],
    genome: Genome | str | Path,
) -> MuData:
    r"""Build the object: biosamples × genes and biosamples × candidate enhancers.

    Rows are put in the order of the genome (chromosomes as in its FASTA file, then Start); ``input_index``
    keeps the row number of the input. Columns that are not named here are not kept: bring values with
    :func:`~eregtools.pp.add_signal` and :func:`~eregtools.pp.add_expression`, as Series that carry the names.

    Parameters
    ----------
    genes
        GTF file, or a table (or its path) with the columns gene_id (or ENSID, gene, or as index), Chromosome
        (or chrom) and tss (0-based), and optionally Strand, Start, End and gene_name. Without Start and End
        they are the TSS; without Strand it is ``.``. Versions of Ensembl ids are dropped.
    enhancers
        BED or narrowPeak file, or a table (or its path) with Chromosome (or chrom), Start, End and optionally
        summit; or one of these for each biosample, ``{sample: …}``. Then the elements are the union of the
        exact intervals, and the layer ``candidate`` says which biosample has which.
    samples
        Names of the biosamples, in the order of the rows.
    genome
        Genome, its FASTA file, or a registered name.

    Returns
    -------
    The object, with the following fields.

    ``obs_names``
        The biosamples.
    ``mdata["genes"].var``
        Chromosome, Start, End, Strand, tss, gene_name (categorical, the id where there is none), input_index;
        names are gene ids.
    ``mdata["enhancers"].var``
        Chromosome, Start, End, summit (where every table has it), input_index (where there is one table);
        names are ``chr1:1000-1500``.
    ``mdata["enhancers"].layers["candidate"]``
        1 where the element is a candidate of the biosample, otherwise 0, float32; also ``X``.
    ``mdata.uns["eregtools"]``
        Schema version, name of the genome and lengths of its chromosomes.

    Raises
    ------
    KeyError
        A chromosome that the genome does not have, or a biosample that ``samples`` does not name.
    ValueError
        Missing columns, empty tables, repeated genes, intervals or biosamples, an interval with End ≤ Start
        or past the end of its chromosome.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> import eregtools as er
    >>> fasta = Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = fasta.write_text(">chr1\n" + "ACGT" * 5_000 + "\n")
    >>> genes = pd.DataFrame({"gene": ["GATA1"], "chrom": ["chr1"], "tss": [9_000], "strand": ["+"]})
    >>> elements = pd.DataFrame({"chrom": ["chr1"] * 2, "start": [6_000, 1_000], "end": [6_500, 1_500]})
    >>> mdata = er.pp.assemble(genes=genes, enhancers=elements, samples=["K562"], genome=fasta)
    >>> list(mdata["enhancers"].var_names)
    ['chr1:1000-1500', 'chr1:6000-6500']
    """
    genome = get_genome(genome)
    obs = _biosamples(samples)
    gene_var = _genome_order(_gene_table(genes, genome), genome, "genes")
    element_var, candidate = _elements(enhancers, list(obs.index), genome)

    mdata = MuData(
        {
            Modality.genes: AnnData(obs=obs.copy(), var=gene_var),
            Modality.enhancers: AnnData(obs=obs.copy(), var=element_var),
        }
    )
    sizes = pd.DataFrame({"length": pd.Series(genome.chrom_sizes, dtype=np.int64)})
    entry(mdata).update({Uns.schema: SCHEMA_VERSION, Uns.genome: genome.name, Uns.chrom_sizes: sizes})
    put_layer(mdata, Modality.enhancers, Layer.candidate, candidate, as_x=True)
    logger.info("%d genes and %d elements in %d biosample(s)", len(gene_var), len(element_var), len(obs))
    return mdata


def _biosamples(samples: str | Sequence[str]) -> pd.DataFrame:
    names = [samples] if isinstance(samples, str) else [str(name) for name in samples]
    if not names:
        raise ValueError("samples is empty; name at least one biosample")
    refuse_repeated(pd.Index(names), "samples")
    return pd.DataFrame(index=pd.Index(names, dtype=object))


def _gene_table(source: Table, genome: Genome) -> pd.DataFrame:
    table = _read_genes(source)
    if table.empty:
        raise ValueError("genes: the table is empty")
    ids = gene_ids(table, "genes")
    refuse_repeated(ids, "genes")
    tss = whole_numbers(required_column(table, Var.tss, "genes"), "genes")
    start, end = column(table, Var.start), column(table, Var.end)
    bounds = (tss, tss + 1)
    if start is not None and end is not None:
        bounds = (whole_numbers(start, "genes"), whole_numbers(end, "genes"))
    genes = pd.DataFrame(
        {
            Var.chromosome: required_column(table, Var.chromosome, "genes").astype(str).to_numpy(),
            Var.start: bounds[0],
            Var.end: bounds[1],
            Var.strand: _strands(column(table, Var.strand), len(table)),
            Var.tss: tss,
            Var.gene_name: pd.Categorical(_names_or_ids(column(table, Var.gene_name), ids)),
            Var.input_index: np.arange(len(table)),
        },
        index=ids,
    )
    genes = _in_genome(genes, genome, "genes")
    at_tss = genes[[Var.chromosome]].assign(**{Var.start: genes[Var.tss], Var.end: genes[Var.tss] + 1})
    genome.check_intervals(at_tss, "TSSs of genes")
    return genes


def _read_genes(source: Table) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    if _suffix(source) in (".gtf", ".gff"):
        return read_genes(source)
    return read_table(source)


def _strands(strand: pd.Series | None, n: int) -> pd.Categorical:
    if strand is None:
        values = np.full(n, ".", dtype=object)
    else:
        values = strand.astype(object).where(strand.notna(), ".").to_numpy()
    unknown = sorted({str(value) for value in values} - {"+", "-", "."})
    if unknown:
        raise ValueError(f"genes: Strand holds {', '.join(unknown)}; expected +, - or .")
    return pd.Categorical(values, categories=["+", "-", "."])


def _names_or_ids(names: pd.Series | None, ids: pd.Index) -> np.ndarray:
    fallback = ids.to_numpy(dtype=object)
    if names is None:
        return fallback
    return np.where(names.notna().to_numpy(), names.astype(object).to_numpy(), fallback)


def _elements(
    source: Table | Mapping[str, Table], samples: list[str], genome: Genome
) -> tuple[pd.DataFrame, np.ndarray]:
    """Elements in genome order, and which biosample has which, bool ``(n_samples, n_elements)``."""
    if not isinstance(source, Mapping):
        table = _genome_order(_element_table(source, genome, "enhancers"), genome, "enhancers")
        return table, np.ones((len(samples), len(table)), dtype=bool)
    if unknown := [name for name in source if name not in samples]:
        raise KeyError(f"enhancers: {', '.join(map(str, unknown))} is not in samples ({', '.join(samples)})")
    if missing := [name for name in samples if name not in source]:
        raise KeyError(f"enhancers: no candidate elements for biosample {', '.join(missing)}")
    tables = {name: _element_table(source[name], genome, f"enhancers of {name}") for name in samples}
    union = _genome_order(_union(list(tables.values())), genome, "enhancers")
    candidate = np.array([union.index.isin(tables[name].index) for name in samples])
    return union, candidate


def _element_table(source: Table, genome: Genome, what: str) -> pd.DataFrame:
    table = _read_elements(source)
    if table.empty:
        raise ValueError(f"{what}: the table is empty")
    elements = pd.DataFrame(
        {
            Var.chromosome: required_column(table, Var.chromosome, what).astype(str).to_numpy(),
            Var.start: whole_numbers(required_column(table, Var.start, what), what),
            Var.end: whole_numbers(required_column(table, Var.end, what), what),
        }
    )
    if (summit := column(table, Var.summit)) is not None and summit.notna().all():
        elements[Var.summit] = whole_numbers(summit, what)
    elements[Var.input_index] = np.arange(len(table))
    elements = _in_genome(elements, genome, what)
    elements.index = interval_names(elements)
    refuse_repeated(elements.index, what)
    return elements


def _read_elements(source: Table) -> pd.DataFrame:
    if isinstance(source, pd.DataFrame):
        return source
    readers = {".bed": read_bed, ".narrowpeak": read_narrowpeak}
    return readers.get(_suffix(source), read_intervals_table)(source)


def _suffix(path: str | Path) -> str:
    return Path(str(path).removesuffix(".gz")).suffix.lower()


def _union(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Every interval once; its summit is that of the first table that has it."""
    columns = [*INTERVAL, *([Var.summit] if all(Var.summit in table for table in tables) else [])]
    together = pd.concat([table[columns] for table in tables])
    return together[~together.index.duplicated()]


def _in_genome(table: pd.DataFrame, genome: Genome, what: str) -> pd.DataFrame:
    """Spell chromosomes as in the genome; an error for what does not lie on it."""
    genome.check_intervals(table, what)
    spelling = genome.match_chromosomes(table[Var.chromosome].unique())
    return table.assign(**{Var.chromosome: table[Var.chromosome].map(spelling)})


def _genome_order(table: pd.DataFrame, genome: Genome, what: str) -> pd.DataFrame:
    present = set(table[Var.chromosome])
    chromosome = pd.Categorical(
        table[Var.chromosome], categories=[name for name in genome.chrom_sizes if name in present]
    )
    order = np.lexsort((table[Var.end], table[Var.start], chromosome.codes))
    moved = int((order != np.arange(len(order))).sum())
    if moved:
        logger.info("%s: %d of %d rows were not in genome order and were sorted", what, moved, len(order))
    return table.assign(**{Var.chromosome: chromosome}).iloc[order]


def interval_names(table: pd.DataFrame) -> pd.Index:
    """Names such as ``chr1:1000-1500``."""
    start, end = (table[key].astype(str) for key in (Var.start, Var.end))
    return pd.Index((table[Var.chromosome].astype(str) + ":" + start + "-" + end).to_numpy(dtype=object))
