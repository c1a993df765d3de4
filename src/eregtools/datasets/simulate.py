"""A small genome whose gene regulation is known: files, and the truth behind them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools._logging import logger
from eregtools.datasets import _simulation_files as files
from eregtools.datasets._drawing import World, chromosome_sizes, draw, library_totals
from eregtools.datasets._grammar import MOTIFS, Grammar, SimulationConfig


@dataclass(frozen=True)
class Simulation:
    """What :func:`simulate` wrote.

    Attributes
    ----------
    folder
        The folder.
    paths
        Name of a file without its ending (``"genome"``, ``"truth_links"`` …) -> path.
    tracks
        ``{sample: {assay: [bigWig of each replicate]}}``.
    totals
        Reads of each library, as ``er.pp.activity(totals=…)`` takes them.
    links, elements, genes, motifs
        The truth tables, as in the files.
    metrics
        ``{sample: {…}}``: the noise ceiling and the AUPRCs of :func:`simulate`.
    config
        The parameters.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.SimulationConfig(
    ...     n_chromosomes=2, chromosome_length=200_000, n_genes=20, n_elements=60, n_variants=10
    ... )
    >>> simulation = er.datasets.simulate(tempfile.mkdtemp(), config=small)
    >>> isinstance(simulation, er.datasets.Simulation), sorted(simulation.paths)[:4]
    (True, ['DNase', 'H3K27ac_rep1', 'H3K27ac_rep2', 'contacts'])
    >>> simulation.links.nlargest(1, "share")[["gene", "positive"]].values.tolist()
    [['SIMG0009', True]]
    """

    folder: Path
    paths: dict[str, Path]
    tracks: dict[str, dict[str, list[Path]]]
    totals: dict[str, float | list[float]]
    links: pd.DataFrame
    elements: pd.DataFrame
    genes: pd.DataFrame
    motifs: pd.DataFrame
    metrics: dict[str, dict[str, float]]
    config: SimulationConfig

    def __repr__(self) -> str:
        return f"Simulation({str(self.folder)!r}, {len(self.genes)} genes, {len(self.elements)} elements)"


def simulate(
    folder: str | Path,
    *,
    seed: int = 0,
    rng: np.random.Generator | None = None,
    config: SimulationConfig | None = None,
    overwrite: bool = False,
) -> Simulation:
    """Simulate a genome, its tracks and its expression, and write them with the truth.

    The same seed and parameters give the same bytes of every file. All files are written before the first
    appears in ``folder``.

    Parameters
    ----------
    folder
        Where to write; it is made if it does not exist.
    seed
        Seed, where ``rng`` is not given.
    rng
        Source of randomness.
    config
        Parameters; ``None``: the defaults, six chromosomes of 2 Mb with 600 genes and 1,800 elements.
    overwrite
        Replace an earlier simulation in ``folder``; other files in it stay.

    Returns
    -------
    Paths and truth tables. In ``folder`` there are:

    ``genome.fa``, ``genome.fa.fai``
        Independent bases with planted motifs.
    ``genes.gtf``
        gene, transcript, exon, CDS and UTR rows; the coding sequence has no reading frame.
    ``peaks.narrowPeak``
        Candidate enhancers (promoters have signal, but are not among them).
    ``DNase.bw``, ``H3K27ac_rep1.bw``, ``H3K27ac_rep2.bw``
        5′ ends of reads, so that the sum over an element is its reads. With several biosamples the names begin
        with ``{sample}_``.
    ``contacts.cool``
        Counts whose balanced value, count · weight², is the contact that the truth uses: that of the bin of the
        TSS and the bin of the element's midpoint, in the units of the power law of ``er.pp.add_contacts``.
    ``expression.tsv``, ``mrna_features.tsv``
        Measured expression (linear scale) by biosample; the eight mRNA features.
    ``variants.vcf``
        Single-base variants, one half in motif instances, with their effect on log activity (``DACT``) and log
        potency (``DPOT``), natural logarithms.
    ``truth_links.tsv``, ``truth_elements.tsv``, ``truth_genes.tsv``, ``truth_motifs.tsv``, ``truth.json``
        See Notes.

    Raises
    ------
    FileExistsError
        ``folder`` is not empty, and ``overwrite`` is False or it holds no earlier simulation.
    OSError
        ``folder`` cannot be written; nothing is left behind.

    Notes
    -----
    log activity = motifs of two activators (number, affinity, and whether they are close) + a part that
    sequence does not code. log potency = booster motifs: it multiplies the effect on expression and shows in no
    track. An element with a blocker motif has potency 0. An element with a class motif acts only on promoters of
    this class (compatibility 1 or 0); without one it acts on all.

    contribution = activity × contact × potency × compatibility; transcription of a gene = own + Σ contributions,
    with own = activity × potency of its promoter × contact of the TSS's bin with itself; expression =
    transcription × stability, and what is measured has noise on log10. ``share`` is contribution / transcription.
    ``visible`` is activity × contact: what tracks and contacts show, without their noise.

    ``metrics`` in ``truth.json`` has for each biosample ``noise_ceiling`` (Pearson r between log10 expression with
    and without noise) and AUPRCs over all links, where a link with share ≥ ``min_share`` is positive: of
    ``abc`` (measured activity × contact over the sum of the gene's links), of the distance, and the ceiling, the
    share itself measured with noise ``share_noise`` on its logarithm.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.SimulationConfig(
    ...     n_chromosomes=2, chromosome_length=200_000, n_genes=20, n_elements=60, n_variants=10
    ... )
    >>> simulation = er.datasets.simulate(tempfile.mkdtemp(), seed=1, config=small)
    >>> simulation
    Simulation(..., 20 genes, 60 elements)
    >>> sorted(simulation.tracks["sim"])
    ['DNase', 'H3K27ac']
    """
    config = config or SimulationConfig()
    folder = Path(folder).expanduser()
    world = draw(rng if rng is not None else np.random.default_rng(seed), config)
    with files.whole_simulation(folder, overwrite=overwrite) as beside:
        tracks = _write(world, config, beside)
        written = sorted(path.name for path in beside.iterdir())
    logger.info(
        "%d genes, %d elements and %d links in %s", *map(len, (world.genes, world.elements)), len(world.links), folder
    )
    return Simulation(
        folder=folder,
        paths={name.removesuffix(Path(name).suffix): folder / name for name in written if not name.endswith(".fai")},
        tracks={
            sample: {assay: [folder / name for name in names] for assay, names in of_sample.items()}
            for sample, of_sample in tracks.items()
        },
        totals=library_totals(config),
        links=world.links,
        elements=world.element_truth,
        genes=world.gene_truth,
        motifs=world.motifs,
        metrics=world.metrics,
        config=config,
    )


def _write(world: World, config: SimulationConfig, folder: Path) -> dict[str, dict[str, list[str]]]:
    """All files; returns the names of the tracks."""
    sizes = chromosome_sizes(config)
    files.write_fasta(folder / "genome.fa", world.chromosomes)
    files.write_gtf(folder / "genes.gtf", world.genes, world.models)
    first = world.element_truth[world.element_truth["sample"] == config.samples[0]]
    files.write_peaks(folder / "peaks.narrowPeak", world.elements, first["DNase"] * 1e6 / config.library)
    tracks: dict[str, dict[str, list[str]]] = {}
    for sample, assays in world.reads.items():
        prefix = f"{sample}_" if len(config.samples) > 1 else ""
        tracks[sample] = {}
        for assay, replicates in assays.items():
            endings = [""] if len(replicates) == 1 else [f"_rep{k + 1}" for k in range(len(replicates))]
            names = [f"{prefix}{assay}{ending}.bw" for ending in endings]
            for name, reads in zip(names, replicates, strict=True):
                files.write_track(folder / name, sizes, reads)
            tracks[sample][assay] = names
    files.write_cool(folder / "contacts.cool", world.contacts, sizes, config.resolution)
    files.write_vcf(folder / "variants.vcf", world.variants, sizes)

    measured = world.gene_truth.pivot(columns="sample", values="expression_measured")[list(config.samples)]
    files.write_table(folder / "expression.tsv", measured, index="gene_id")
    files.write_table(folder / "mrna_features.tsv", world.features, index="gene_id")
    files.write_table(folder / "truth_links.tsv", world.links)
    files.write_table(folder / "truth_elements.tsv", world.element_truth, index=Var.enhancer)
    files.write_table(folder / "truth_genes.tsv", world.gene_truth, index="gene_id")
    files.write_table(folder / "truth_motifs.tsv", world.motifs)
    content = {
        "config": asdict(config),
        "potency_sd": config.potency_sd,
        "class_specific": config.class_specific,
        "grammar": asdict(Grammar.of(config)),
        "motifs": MOTIFS,
        "totals": library_totals(config),
        "tracks": tracks,
        "metrics": world.metrics,
    }
    files.write_truth(folder, content)
    return tracks
