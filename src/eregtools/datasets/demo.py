"""The simulated genome of the demonstration, as an object."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from eregtools import pp
from eregtools._settings import settings
from eregtools.datasets.simulate import Simulation, SimulationConfig, simulate
from eregtools.genome import Genome, register_genome
from eregtools.io.tables import read_table

if TYPE_CHECKING:
    from mudata import MuData

DEMO_CONFIG = SimulationConfig(
    n_chromosomes=8, chromosome_length=5_000_000, n_genes=2000, n_elements=1600, promoter_weight=4.0
)
"""40 Mb with about eight enhancers a gene."""

_LEAST_GENES = 80

DEMO_FOLD = 1
DEMO_VALID = "chr7"
DEMO_TEST = "chr8"


def demo(*, n_genes: int = DEMO_CONFIG.n_genes, seed: int = 0) -> MuData:
    """Simulate an object to try things on: genes, enhancers and their links of one biosample.

    Its files are written to ``settings.cache_dir / "simulated"``; 2,000 genes take about five seconds, 200 less than
    one. The models ``EPInformer-small-simulated`` and ``EPInformer-seq-small-simulated`` were trained on another seed.

    Parameters
    ----------
    n_genes
        Genes on eight chromosomes, at least 80; enhancers and lengths of chromosomes are in proportion, so that a gene
        has about eight enhancers.
    seed
        Seed of the simulation.

    Returns
    -------
    The object, as :func:`simulated_object` builds it.

    Raises
    ------
    ValueError
        Fewer genes than eight chromosomes need.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> mdata["genes"].n_vars, mdata["enhancers"].n_vars
    (200, 160)
    >>> er.tl.abc(mdata)
    >>> mdata["links"].layers["abc"].shape == (1, mdata["links"].n_vars)
    True
    """
    if n_genes < _LEAST_GENES:
        raise ValueError(
            f"n_genes is {n_genes}; eight chromosomes with genes and enhancers need {_LEAST_GENES} or more"
        )
    share = n_genes / DEMO_CONFIG.n_genes
    config = replace(
        DEMO_CONFIG,
        chromosome_length=round(share * DEMO_CONFIG.chromosome_length),
        n_genes=n_genes,
        n_elements=round(share * DEMO_CONFIG.n_elements),
        n_variants=round(share * DEMO_CONFIG.n_variants),
    )
    folder = settings.cache_dir / "simulated" / f"{n_genes}genes-seed{seed}"
    return simulated_object(simulate(folder, seed=seed, config=config, overwrite=True))


def simulated_object(simulation: Simulation) -> MuData:
    """Build the object from the files of a simulation, as one would from real ones.

    Parameters
    ----------
    simulation
        What :func:`~eregtools.datasets.simulate` wrote; the object is of its first biosample.

    Returns
    -------
    The object: activity, links within 100 kb with measured contacts, mRNA features, expression (z-score of
    log10(x + 0.1)), and one fold that validates ``chr7`` and tests ``chr8``. Its genome is registered as
    ``simulated``.

    Raises
    ------
    FileNotFoundError
        The files of the simulation are gone.
    ValueError
        The simulation has no chromosome ``chr7`` or ``chr8``.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> config = er.datasets.SimulationConfig(
    ...     n_chromosomes=8, chromosome_length=200_000, n_genes=40, n_elements=80, n_variants=10
    ... )
    >>> mdata = er.datasets.simulated_object(er.datasets.simulate(tempfile.mkdtemp(), config=config))
    >>> mdata["genes"].n_vars, mdata["enhancers"].n_vars, "contact" in mdata["links"].layers
    (40, 80, True)
    """
    files, sample = simulation.folder, simulation.config.samples[0]
    genome = Genome(files / "genome.fa", name="simulated")
    register_genome("simulated", genome)
    mdata = pp.assemble(
        genes=files / "genes.gtf", enhancers=files / "peaks.narrowPeak", samples=[sample], genome=genome
    )
    for assay, paths in simulation.tracks[sample].items():
        pp.add_signal(mdata, {sample: paths}, assay=assay)
        pp.add_signal(mdata, {sample: paths}, assay=assay, modality="genes")
    pp.activity(mdata, totals=simulation.totals)
    pp.promoter_activity(mdata, totals=simulation.totals)
    pp.link(mdata)
    pp.add_contacts(mdata, files / "contacts.cool", unit="file", fallback=None)
    pp.mrna_features(mdata, read_table(files / "mrna_features.tsv", index="gene_id"))
    expression = read_table(files / "expression.tsv", index="gene_id")
    pp.add_expression(mdata, expression, assay="RNA", transform="zscore(log10(x+0.1))")
    pp.split(mdata, {DEMO_FOLD: {"valid": [DEMO_VALID], "test": [DEMO_TEST]}})
    return mdata
