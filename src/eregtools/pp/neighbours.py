"""What stands beside a gene: the promoters next to its own."""

from __future__ import annotations

import numpy as np
from mudata import MuData

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger
from eregtools._schema import put_layer, require_layer, require_modality, require_real


def neighbour_activity(mdata: MuData, *, layer: str = Layer.promoter_activity, copy: bool = False) -> MuData | None:
    """Activity of the next promoter upstream and downstream of each gene, and how far away it is.

    Neighbouring genes are expressed alike, more than their own promoters tell: they share enhancers and chromatin.
    The four layers serve as ``gene_tracks`` of :func:`eregtools.tl.train_expression`.

    Parameters
    ----------
    mdata
        The object.
    layer
        Layer of ``genes`` with the activity.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields, float32 ``(n_samples, n_genes)``; upstream and downstream as
    the gene is read, on ``+`` where it has no strand.

    ``mdata["genes"].layers["upstream_activity"]``, ``["downstream_activity"]``
        Activity of the nearest other TSS on that side; 0 where there is none on the chromosome, NaN where it is not
        known.
    ``mdata["genes"].layers["upstream_distance"]``, ``["downstream_distance"]``
        Its distance in bp; 0 where there is none.

    Raises
    ------
    KeyError
        The layer is missing.
    ValueError
        The object is a view.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.add_signal(mdata, {"K562": [2.0, 5.0, 7.0]}, assay="promoter_activity", modality="genes")
    >>> er.pp.neighbour_activity(mdata)
    >>> mdata["genes"].to_df("downstream_distance").shape
    (1, 3)
    """
    require_real(mdata)
    activity = require_layer(require_modality(mdata, Modality.genes), layer, "er.pp.promoter_activity")
    mdata = mdata.copy() if copy else mdata
    table = mdata[Modality.genes].var
    left, right = _neighbours(table[Var.chromosome].astype(str).to_numpy(), table[Var.tss].to_numpy())
    minus = table[Var.strand].astype(str).to_numpy() == "-"
    upstream, downstream = np.where(minus, right, left), np.where(minus, left, right)
    tss = table[Var.tss].to_numpy()
    for name, row in (("upstream", upstream), ("downstream", downstream)):
        there = row >= 0
        distance = np.where(there, np.abs(tss[row] - tss), 0)
        values = np.where(there, activity[:, row], 0).astype(np.float32)
        put_layer(mdata, Modality.genes, f"{name}_activity", values)
        put_layer(mdata, Modality.genes, f"{name}_distance", np.tile(distance.astype(np.float32), (mdata.n_obs, 1)))
    logger.info("%d of %d genes have a neighbour on both sides", ((left >= 0) & (right >= 0)).sum(), len(tss))
    return mdata if copy else None


def _neighbours(chromosome: np.ndarray, tss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row of the next TSS to the left and to the right of each, of another gene on its chromosome; −1: none."""
    order = np.lexsort((tss, chromosome))
    same = chromosome[order][1:] == chromosome[order][:-1]
    left, right = np.full(len(tss), -1), np.full(len(tss), -1)
    left[order[1:]] = np.where(same, order[:-1], -1)
    right[order[:-1]] = np.where(same, order[1:], -1)
    return left, right
