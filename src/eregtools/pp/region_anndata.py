"""The object from an AnnData of regions, as CREsted and gReLU keep them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger
from eregtools._memory import require_memory
from eregtools._schema import check_layer_name, listed, put_layer
from eregtools.io.region_anndata import SETS, region_table
from eregtools.pp.align import refuse_repeated
from eregtools.pp.assemble import Table, assemble
from eregtools.pp.split import split

if TYPE_CHECKING:
    from mudata import MuData

    from eregtools.genome import Genome


def assemble_regions(
    regions: AnnData | str | Path,
    *,
    genes: Table,
    genome: Genome | str | Path,
    assay: str,
    layer: str | None = None,
    candidates: Literal["all", "nonzero"] = "all",
) -> MuData:
    r"""Build the object from an AnnData whose rows are cell types or tracks and whose columns are regions.

    Regions become elements, rows become biosamples, and the values an assay.

    Parameters
    ----------
    regions
        The AnnData, or its ``.h5ad``: ``var`` has chr (CREsted) or chrom (gReLU), start and end, 0-based half-open, or
        names such as ``chr1:1000-1500``. CREsted's ``split`` (train, val, test) is kept.
    genes
        As in :func:`assemble`.
    genome
        Genome, its FASTA file, or a registered name.
    assay
        Name of the layer that the values become, such as ``"ATAC"``.
    layer
        Layer of the AnnData with the values; ``None``: ``X``.
    candidates
        ``"all"``: every region is a candidate of every biosample. ``"nonzero"``: only of those with a value other than
        0, for peaks and topics that are there or not.

    Returns
    -------
    The object of :func:`assemble`, with the following fields.

    ``mdata["enhancers"].layers[assay]``
        The values, float32; NaN stays NaN.
    ``mdata["enhancers"].var["split"]``
        The set of each region, where the AnnData has one. Where no chromosome is in two sets, they also are fold 1
        (:func:`split`, scheme ``"custom"``); otherwise training regions lie beside test regions, and no folds are made.
    ``mdata.obs``
        Columns of the AnnData's ``obs`` that are text or numbers.

    Raises
    ------
    KeyError
        A region lies on a chromosome that the genome does not have, or there is no such layer.
    ValueError
        There are no intervals, a region or row is there twice, or a split is none of train, val and test.

    See Also
    --------
    eregtools.io.to_region_anndata : the way back.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np, pandas as pd
    >>> from anndata import AnnData
    >>> import eregtools as er
    >>> fasta = Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = fasta.write_text(">chr1\n" + "ACGT" * 5_000 + "\n")
    >>> genes = pd.DataFrame({"gene": ["GATA1"], "chrom": ["chr1"], "tss": [9_000], "strand": ["+"]})
    >>> var = pd.DataFrame({"chr": "chr1", "start": [6_000, 1_000], "end": [6_500, 1_500]})
    >>> var.index = ["chr1:6000-6500", "chr1:1000-1500"]
    >>> adata = AnnData(np.array([[3.0, 1.0]]), obs=pd.DataFrame(index=["Astro"]), var=var)
    >>> mdata = er.pp.assemble_regions(adata, genes=genes, genome=fasta, assay="ATAC")
    >>> mdata["enhancers"].to_df("ATAC")
           chr1:1000-1500  chr1:6000-6500
    Astro             1.0             3.0
    """
    if candidates not in ("all", "nonzero"):
        raise ValueError(f"candidates={candidates!r}: expected 'all' or 'nonzero'")
    check_layer_name(assay, "assay")
    adata, table = region_table(regions)
    values = _values(adata, layer)
    samples = [str(name) for name in adata.obs_names]
    refuse_repeated(pd.Index(samples), "rows of regions")
    present = values != 0
    kept = present.any(axis=0) if candidates == "nonzero" else np.ones(len(table), dtype=bool)
    if not kept.any():
        raise ValueError("candidates='nonzero': no region has a value other than 0")
    sets = _sets(adata, table)

    mdata = assemble(genes=genes, enhancers=table[kept], samples=samples, genome=genome)
    elements = mdata.mod[Modality.enhancers]
    order = np.flatnonzero(kept)[elements.var[Var.input_index].to_numpy()]
    if candidates == "nonzero":
        put_layer(mdata, Modality.enhancers, Layer.candidate, present[:, order], as_x=True)
    put_layer(mdata, Modality.enhancers, assay, values[:, order])
    for name, column in adata.obs.items():
        mdata.obs[str(name)] = column.astype(object).astype(str).to_numpy() if column.dtype == object else column.array
    if sets is not None:
        elements.var[Var.split] = pd.Categorical(sets.to_numpy()[order], categories=list(SETS.values()))
        _fold_of_sets(mdata)
    return mdata


def _values(adata: AnnData, layer: str | None) -> np.ndarray:
    """Values ``(n_rows, n_regions)``, float32."""
    if layer is not None and layer not in adata.layers:
        there = [name for name in adata.layers if name is not None]
        raise KeyError(f"regions: there is no layer {layer!r}; there are {listed(there)}")
    values = adata.X if layer is None else adata.layers[layer]
    if values is None:
        raise ValueError("regions: the AnnData has no X; name a layer with layer=")
    require_memory(adata.n_obs * adata.n_vars * 4, f"{adata.n_obs} × {adata.n_vars} values", "take fewer rows")
    return np.asarray(values.toarray() if sparse.issparse(values) else values, dtype=np.float32)


def _sets(adata: AnnData, table: pd.DataFrame) -> pd.Series | None:
    """Set of each region, where the AnnData has them."""
    if Var.split not in adata.var:
        return None
    sets = pd.Series(adata.var[Var.split].astype(object).to_numpy(), index=table.index)
    if unknown := sorted({str(name) for name in sets.unique()} - set(SETS.values())):
        raise ValueError(f"regions: split holds {listed(unknown)}; expected {', '.join(SETS.values())}")
    return sets


def _fold_of_sets(mdata: MuData) -> None:
    """Make the sets of regions fold 1, if each chromosome is in one set."""
    var = mdata.mod[Modality.enhancers].var
    of_chromosome = var.groupby(Var.chromosome, observed=True)[Var.split].unique()
    several = [str(name) for name, sets in of_chromosome.items() if len(sets) > 1]
    tested = [str(name) for name, sets in of_chromosome.items() if list(sets) == [SETS["test"]]]
    if several or not tested:
        logger.warning(
            "no folds are made: %s; use er.pp.split",
            f"{listed(several)} have regions of several sets, so that neighbours are trained on and tested"
            if several
            else "no chromosome is tested",
        )
        return
    valid = [str(name) for name, sets in of_chromosome.items() if list(sets) == [SETS["valid"]]]
    split(mdata, {1: {"valid": valid, "test": tested}})
