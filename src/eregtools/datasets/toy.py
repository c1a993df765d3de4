"""A very small object to try functions on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import Layer, Modality, Uns, Var
from eregtools._schema import SCHEMA_VERSION, entry, put_layer


def three_genes(samples: Sequence[str] = ("K562",)) -> MuData:
    """Three genes and four elements on two chromosomes, as :func:`~eregtools.pp.assemble` makes them.

    Parameters
    ----------
    samples
        Names of the biosamples; every element is a candidate of each.

    Returns
    -------
    The object, without signal and links.

    Examples
    --------
    >>> import eregtools as er
    >>> er.datasets.three_genes()["enhancers"].var_names.tolist()
    ['chr1:4500-5000', 'chr1:8000-8500', 'chr1:14000-14600', 'chr2:7000-7500']
    """
    tss = np.array([6_000, 12_000, 5_000])
    genes = pd.DataFrame(
        {
            Var.chromosome: pd.Categorical(["chr1", "chr1", "chr2"]),
            Var.start: np.array([6_000, 10_001, 5_000]),
            Var.end: np.array([7_500, 12_001, 5_001]),
            Var.strand: pd.Categorical(["+", "-", "."], categories=["+", "-", "."]),
            Var.tss: tss,
            Var.gene_name: pd.Categorical(["ALPHA", "BETA", "GAMMA"]),
            Var.input_index: np.arange(3),
        },
        index=["g1", "g2", "g3"],
    )
    enhancers = pd.DataFrame(
        {
            Var.chromosome: pd.Categorical(["chr1", "chr1", "chr1", "chr2"]),
            Var.start: np.array([4_500, 8_000, 14_000, 7_000]),
            Var.end: np.array([5_000, 8_500, 14_600, 7_500]),
            Var.input_index: np.arange(4),
        },
        index=["chr1:4500-5000", "chr1:8000-8500", "chr1:14000-14600", "chr2:7000-7500"],
    )
    obs = pd.DataFrame(index=list(samples))
    mdata = MuData(
        {
            Modality.genes: AnnData(obs=obs.copy(), var=genes),
            Modality.enhancers: AnnData(obs=obs.copy(), var=enhancers),
        }
    )
    sizes = pd.DataFrame({"length": [20_000, 10_000]}, index=["chr1", "chr2"])
    entry(mdata).update({Uns.schema: SCHEMA_VERSION, Uns.genome: "toy", Uns.chrom_sizes: sizes})
    put_layer(mdata, Modality.enhancers, Layer.candidate, np.ones((len(obs), len(enhancers))), as_x=True)
    return mdata
