"""The published K562 inputs of EPInformer as one object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eregtools import pp
from eregtools._keys import MRNA_FEATURES, Modality, Var
from eregtools._logging import logger
from eregtools.batches.encode import UNKNOWN, centred_windows
from eregtools.genome import Genome
from eregtools.io.tables import read_table

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

SAMPLE = "K562"
MAX_ENHANCERS = 60

FILES = {
    "elements": "K562_candidate_enhancers_counts.tsv.gz",
    "promoters": "K562_genes_TSS1kb_counts.tsv.gz",
    "mrna": "mRNA_halflife_features.tsv.gz",
    "expression": "gene_predictions_PEActivity_RNA_K562.tsv.gz",
}
"""Files of the job: candidate elements with DNase and H3K27ac read counts; TSS ± 500 bp with the same counts and the
strand; TSS and mRNA features of 18,377 genes; measured RNA (z-score of log10(RPKM + 0.1))."""

GENOMES = ("hg38.fa", "hg38.fa.gz", "hg38.partial.fa.gz")
"""Names under which the genome is looked for."""

DNASE = "DHS"
H3K27AC = ("H3K27ac_ENCFF232RQF", "H3K27ac_ENCFF600THN", "H3K27ac_ENCFF704LGA")
TOTALS: dict[str, float | Sequence[float]] = {"DNase": 1e8, "H3K27ac": [2.320358e8, 3.501217e7, 1.613759e7]}
"""Read totals. Those of the BAM files are not published: these were solved from three values that the authors print,
up to one common factor, which the DNase total fixes."""


def find_k562(folder: str | Path) -> dict[str, Path]:
    """Find the K562 files in a folder or below it.

    Parameters
    ----------
    folder
        Folder with the files, at any depth.

    Returns
    -------
    Path of each file by what it holds: ``elements``, ``promoters``, ``mrna``, ``expression`` and ``genome``.

    Raises
    ------
    FileNotFoundError
        There is no such folder, or a file is not in it; every missing one is named.

    Notes
    -----
    The files are those of github.com/pinellolab/EPInformer (MIT), named in :data:`FILES`, and hg38.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> er.datasets.find_k562(tempfile.mkdtemp())
    Traceback (most recent call last):
    FileNotFoundError: ... lack K562_candidate_enhancers_counts.tsv.gz, K562_genes_TSS1kb_counts.tsv.gz, ...
    >>> sorted(er.datasets.find_k562("K562_files"))  # doctest: +SKIP
    ['elements', 'expression', 'genome', 'mrna', 'promoters']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; it should hold {', '.join(FILES.values())} and a genome")
    found = {key: next(iter(sorted(folder.rglob(name))), None) for key, name in FILES.items()}
    genomes = (path for name in GENOMES for path in sorted(folder.rglob(name)))
    found["genome"] = next(genomes, None)
    missing = [FILES.get(key, f"a genome ({' or '.join(GENOMES)})") for key, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(f"{folder} and the folders below it lack {', '.join(missing)}")
    return {key: path for key, path in found.items() if path is not None}


def k562(folder: str | Path, *, genome: Genome | str | Path | None = None, require_sequence: bool = True) -> MuData:
    """Build the K562 object from raw elements, read counts, genes and genome.

    Parameters
    ----------
    folder
        Folder with the files named in :data:`FILES`, at any depth.
    genome
        hg38; ``None``: the one in the folder. Without ``require_sequence`` only the names and lengths of its
        chromosomes are used.
    require_sequence
        Leave out genes without a complete promoter sequence (2 kb without an N) and do not link elements with an N
        in theirs; ``genes.var["n_missing"]`` then counts the links that a gene has fewer for it. False: all 18,377
        genes and all links, for models that read no sequence.

    Returns
    -------
    The object: activity and promoter activity as EPInformer takes them, links within 100 kb (the 60 nearest of a
    gene), power-law contacts, mRNA features, measured RNA, and the published folds. Read counts of DNase and of each
    H3K27ac replicate are layers of ``enhancers`` and, in TSS ± 500 bp, of ``genes``: ``DNase``, ``H3K27ac_rep1`` to
    ``H3K27ac_rep3``, and ``H3K27ac``, their mean.

    Raises
    ------
    FileNotFoundError
        A file is missing.

    Notes
    -----
    Source of the files: github.com/pinellolab/EPInformer (MIT).

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> er.datasets.k562(tempfile.mkdtemp())
    Traceback (most recent call last):
    FileNotFoundError: ... lack K562_candidate_enhancers_counts.tsv.gz, K562_genes_TSS1kb_counts.tsv.gz, ...
    >>> mdata = er.datasets.k562("K562_files")  # doctest: +SKIP
    """
    paths = find_k562(folder)
    sequence = genome if isinstance(genome, Genome) else Genome(genome or paths["genome"], name="hg38")
    promoters = read_table(paths["promoters"], index="gene")
    genes = read_table(paths["mrna"], index="gene_id")
    body = {Var.strand: "strand", Var.start: "gene_start", Var.end: "gene_end"}
    for name, column in body.items():
        genes[name] = promoters[column].reindex(genes.index)
    if require_sequence:
        genes = genes[_complete_promoters(genes, sequence)]
    elements = read_table(paths["elements"])
    names = elements["chrom"] + ":" + elements["start"].astype(str) + "-" + elements["end"].astype(str)
    elements.index = pd.Index(names)

    mdata = pp.assemble(
        genes=genes[["chrom", "TSS", *body, "Gene name"]],
        enhancers=elements[["chrom", "start", "end"]],
        samples=[SAMPLE],
        genome=sequence,
    )
    promoters = promoters.loc[genes.index]
    pp.add_signal(mdata, {SAMPLE: elements[DNASE]}, assay="DNase")
    pp.add_signal(mdata, {SAMPLE: [elements[name] for name in H3K27AC]}, assay="H3K27ac")
    at_tss = promoters.rename(columns=lambda name: name.removesuffix("_TSS1kb"))
    pp.add_signal(mdata, {SAMPLE: at_tss[DNASE]}, assay="DNase", modality="genes")
    pp.add_signal(mdata, {SAMPLE: [at_tss[name] for name in H3K27AC]}, assay="H3K27ac", modality="genes")
    pp.activity(mdata, totals=TOTALS)
    pp.promoter_activity(mdata, totals=TOTALS)
    pp.mrna_features(mdata, genes[list(MRNA_FEATURES)])
    expression = read_table(paths["expression"], index="gene_id")["actual_zlog10RPKM"].to_frame(SAMPLE)
    pp.add_expression(mdata, expression, assay="RNA")
    pp.link(mdata, max_enhancers=MAX_ENHANCERS)
    if require_sequence:
        possible = _links_per_gene(mdata)
        pp.link(mdata, max_enhancers=MAX_ENHANCERS, require_sequence=True, genome=sequence)
        mdata[Modality.genes].var["n_missing"] = possible - _links_per_gene(mdata)
    pp.add_contacts(mdata)
    pp.split(mdata, "epinformer12")
    return mdata


def _links_per_gene(mdata: MuData) -> NDArray[np.int32]:
    counts = mdata[Modality.links].var[Var.gene].value_counts()
    return counts.reindex(mdata[Modality.genes].var_names, fill_value=0).to_numpy(dtype=np.int32)


def _complete_promoters(genes: pd.DataFrame, genome: Genome) -> pd.Series:
    names = genome.match_chromosomes(genes["chrom"].unique())
    chroms = genes["chrom"].map(names).tolist()
    complete = np.zeros(len(genes), dtype=bool)
    for rows in np.array_split(np.arange(len(genes)), 1 + len(genes) // 4096):
        codes = centred_windows(genome, [chroms[i] for i in rows], genes["TSS"].to_numpy()[rows], 2000)
        complete[rows] = (codes < UNKNOWN).all(axis=1)
    logger.info("%d of %d genes have a complete promoter sequence", complete.sum(), len(genes))
    return pd.Series(complete, index=genes.index)
