"""A simulated genome with enhancer-RNA loci: sequence, annotation, coverage of several biosamples, and the truth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools._logging import logger
from eregtools.datasets import _erna_reads as rna
from eregtools.datasets import _simulation_files as files
from eregtools.datasets._erna_assembly import assembled, write_assembly
from eregtools.datasets._erna_genome import ErnaWorld, draw_genome
from eregtools.datasets._erna_libraries import Library
from eregtools.datasets._erna_places import POSITIVE, ErnaGenomeConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

GENOME, GENES, TRUTH, OPEN = "genome.fa", "genes.gtf", "ernas.bed", "open.bed"


@dataclass(frozen=True)
class ErnaGenome:
    """What :func:`simulate_erna_genome` wrote.

    Attributes
    ----------
    folder
        Where the files are.
    paths
        Files that all biosamples share: ``genome``, ``genes``, ``ernas``, ``open``, ``blacklist``, ``gaps``.
    tracks
        ``{sample: (plus, minus)}``, bigWig files.
    assemblies
        ``{sample: GTF file}``.
    samples
        One row a biosample: ``library``, ``library_size`` (reads), ``negative`` (whether minus values are), and
        ``cell_type`` where the parameters have cell types.
    loci
        One row a locus in genome order: Chromosome, Start, End, center, ``stratum`` (``positive``, a confounder or
        ``promoter``), ``grammar`` (middle of its motifs, -1: none), ``tandem`` (distance to its neighbour, 0: none),
        ``expected_reads``, ``plus_share``, ``gap``, ``arm``.
    active
        Whether each locus is transcribed in each biosample, bool ``(n_loci, n_samples)``.
    reads
        Its reads, int64 ``(n_loci, n_samples)``.
    config
        The parameters.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.ErnaGenomeConfig(
    ...     n_chromosomes=1, chromosome_length=200_000, genes=3, libraries=["stranded"], negative=()
    ... )
    >>> world = er.datasets.simulate_erna_genome(tempfile.mkdtemp(), config=small)
    >>> isinstance(world, er.datasets.ErnaGenome), sorted(world.paths)
    (True, ['blacklist', 'ernas', 'gaps', 'genes', 'genome', 'open'])
    >>> world.loci[["Chromosome", "center", "stratum"]].head(2)
      Chromosome  center   stratum
    0       chr1    5376  promoter
    1       chr1    7515  positive
    >>> world.active.sum().to_dict()
    {'s1': 11}
    """

    folder: Path
    paths: dict[str, Path]
    tracks: dict[str, tuple[Path, Path]]
    assemblies: dict[str, Path]
    samples: pd.DataFrame
    loci: pd.DataFrame
    active: pd.DataFrame
    reads: pd.DataFrame
    config: ErnaGenomeConfig

    def __repr__(self) -> str:
        n = int((self.loci[Var.stratum] == POSITIVE).sum())
        return f"ErnaGenome({str(self.folder)!r}, {n} loci, {len(self.samples)} biosamples)"

    @property
    def positives(self) -> pd.DataFrame:
        """The enhancer-RNA loci."""
        return self.loci[self.loci[Var.stratum] == POSITIVE]


def simulate_erna_genome(
    folder: str | Path,
    *,
    seed: int = 0,
    rng: np.random.Generator | None = None,
    config: ErnaGenomeConfig | None = None,
    overwrite: bool = False,
) -> ErnaGenome:
    """Write the files of a genome whose enhancer RNAs are known, as a study would have them.

    Parameters
    ----------
    folder
        Where to write; made if it is not there. All files are in it at the end, or none.
    seed
        Seed, where ``rng`` is not given; the same seed gives the same files.
    rng
        Source of randomness.
    config
        Parameters; ``None``: three chromosomes of 2 Mb and four biosamples.
    overwrite
        Replace an earlier simulation in ``folder``.

    Returns
    -------
    Paths and truth. In ``folder`` there are:

    ``genome.fa``, ``genome.fa.fai``
        Sequence, with runs of N.
    ``genes.gtf``
        gene, transcript, exon, CDS and UTR rows.
    ``{sample}.plus.bw``, ``{sample}.minus.bw``
        Depth of reads at each base.
    ``{sample}.stringtie.gtf``
        Transcripts as StringTie would assemble them: none shorter than 200 bp, without strand in the unstranded
        library unless they are spliced, now and then two neighbours as one.
    ``ernas.bed``
        The enhancer-RNA loci, 200 bp on either side of their centres.
    ``open.bed``
        Sites with regulatory grammar, transcribed or not, promoters among them.
    ``blacklist.bed``, ``gaps.bed``
        Regions with artefacts in all biosamples; runs of N.
    ``loci.tsv``, ``active.tsv``, ``reads.tsv``, ``samples.tsv``, ``truth.json``
        The truth, see :class:`ErnaGenome`.

    Raises
    ------
    FileExistsError
        ``folder`` is not empty, and ``overwrite`` is False or it holds no earlier simulation.
    OSError
        ``folder`` cannot be written; nothing is left behind.
    ValueError
        There is no room for all that on a chromosome.

    Notes
    -----
    Grammar and divergent reads are those of :func:`simulate_erna`. Promoters have both at annotated starts, so that
    nothing but the annotation tells them from loci. Confounders, with genomic rates: silent (divergent RNA without
    grammar), misalign (grammar at least 150 bp from the RNA), swap (convergent RNA), uni (one arm), poised (grammar
    without RNA). Genes have reads in exons, fewer in introns, some behind their end and on the other strand. Each locus
    is transcribed in a biosample (or in all of a cell type) with probability ``active``; the sizes of the libraries are
    log-normal.

    It has no repeats, no splicing of reads, no chromatin, and a stronger code than a genome; weights trained on it are
    not biological ones.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.ErnaGenomeConfig(
    ...     n_chromosomes=1, chromosome_length=200_000, genes=3, libraries=["stranded"], negative=()
    ... )
    >>> world = er.datasets.simulate_erna_genome(tempfile.mkdtemp(), config=small)
    >>> world
    ErnaGenome(..., 10 loci, 1 biosamples)
    >>> mdata = er.pp.assemble(
    ...     genes=world.paths["genes"], enhancers=world.paths["open"], samples=["s1"], genome=world.paths["genome"]
    ... )
    >>> er.pp.add_coverage(mdata, world.tracks, folder=world.folder / "coverage.zarr", read_length=75)
    >>> bool(mdata.obs["library_size"].item() == world.samples["library_size"].item())
    True
    """
    config = config or ErnaGenomeConfig()
    folder = Path(folder).expanduser()
    drawing, assembling = (rng if rng is not None else np.random.default_rng(seed)).spawn(2)
    world = draw_genome(drawing, config)
    with files.whole_simulation(folder, overwrite=overwrite) as beside:
        _write_genome(world, beside)
        for sample, library in world.libraries.items():
            _write_library(beside, sample, library, world, config, assembling)
        tables = _truth_tables(world, config)
        for name, table in tables.items():
            files.write_table(beside / f"{name}.tsv", table, index="sample" if name == "samples" else "locus")
        files.write_truth(beside, {"config": asdict(config)})
    n = int((world.loci[Var.stratum] == POSITIVE).sum())
    logger.info(
        "%d enhancer-RNA loci among %d sites, %d biosamples in %s", n, len(world.loci), len(config.samples), folder
    )
    shared = {"genome": GENOME, "genes": GENES, "ernas": TRUTH, "open": OPEN}
    shared |= {name: f"{name}.bed" for name in ("blacklist", "gaps")}
    return ErnaGenome(
        folder=folder,
        paths={name: folder / file for name, file in shared.items()},
        tracks={sample: (folder / f"{sample}.plus.bw", folder / f"{sample}.minus.bw") for sample in config.samples},
        assemblies={sample: folder / f"{sample}.stringtie.gtf" for sample in config.samples},
        config=config,
        **tables,
    )


def _write_genome(world: ErnaWorld, folder: Path) -> None:
    """Files that all biosamples share."""
    files.write_fasta(folder / GENOME, world.codes)
    chromosomes = list(world.codes)
    genes = pd.DataFrame(
        {
            Var.chromosome: [chromosomes[gene.chromosome] for gene in world.genes],
            Var.gene_name: [f"gene{k + 1}" for k in range(len(world.genes))],
        },
        index=[f"SIMG{k + 1:04d}" for k in range(len(world.genes))],
    )
    files.write_gtf(folder / GENES, genes, [gene.model for gene in world.genes])
    positives = world.loci[world.loci[Var.stratum] == POSITIVE]
    files.write_bed(folder / TRUTH, positives, [f"eRNA{k + 1}" for k in range(len(positives))])
    sites = world.loci[world.loci["grammar"] >= 0]
    around = sites.assign(**{Var.start: (sites["grammar"] - 250).clip(lower=0), Var.end: sites["grammar"] + 250})
    around = around.sort_values([Var.chromosome, Var.start], kind="stable")
    files.write_bed(folder / OPEN, around, [f"open{k + 1}" for k in range(len(around))])
    for name, table in (("blacklist", world.artefacts), ("gaps", world.gaps)):
        table = table.sort_values([Var.chromosome, Var.start], kind="stable")
        files.write_bed(folder / f"{name}.bed", table, [name] * len(table))


def _write_library(
    folder: Path,
    sample: str,
    library: Library,
    world: ErnaWorld,
    config: ErnaGenomeConfig,
    rng: np.random.Generator,
) -> None:
    """Tracks and assembled transcripts of one biosample."""
    depth = {chrom: _depth(library, number, config) for number, chrom in enumerate(world.codes)}
    sign = -1 if sample in config.negative else 1
    files.write_coverage(folder / f"{sample}.plus.bw", {chrom: both[0] for chrom, both in depth.items()})
    files.write_coverage(folder / f"{sample}.minus.bw", {chrom: sign * both[1] for chrom, both in depth.items()})
    expressed = [gene for gene, there in zip(world.genes, library.expressed, strict=True) if there]
    stranded = config.libraries[config.samples.index(sample)] != "unstranded"
    write_assembly(folder / f"{sample}.stringtie.gtf", assembled(rng, depth, expressed, config, stranded=stranded))


def _depth(library: Library, chromosome: int, config: ErnaGenomeConfig) -> NDArray[np.int32]:
    """Depth at each base ``(2, length)``."""
    here = library.reads.row == chromosome
    reads = rna.Reads(*(column[here] for column in library.reads))._replace(row=np.zeros(int(here.sum()), np.int64))
    return rna.coverage_of(reads, 1, 0, config.chromosome_length, config.read_length, 1)[0].astype(np.int32)


def _truth_tables(world: ErnaWorld, config: ErnaGenomeConfig) -> dict[str, pd.DataFrame]:
    """Attributes of :class:`ErnaGenome` that are tables."""
    loci = world.loci
    return {
        "loci": loci,
        "active": pd.DataFrame({name: one.active for name, one in world.libraries.items()}, index=loci.index),
        "reads": pd.DataFrame({name: one.of_locus for name, one in world.libraries.items()}, index=loci.index),
        "samples": pd.DataFrame(
            {
                "library": list(config.libraries),
                "library_size": [len(one.reads.row) for one in world.libraries.values()],
                "negative": [name in config.negative for name in config.samples],
                **({"cell_type": list(config.cell_types)} if config.cell_types else {}),
            },
            index=list(config.samples),
        ),
    }
