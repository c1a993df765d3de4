"""Intervals of a modality as PyRanges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eregtools._keys import INTERVAL
from eregtools._schema import require_modality
from eregtools.ranges import to_pyranges

if TYPE_CHECKING:
    from mudata import MuData
    from pyranges import PyRanges


def ranges(mdata: MuData, modality: str) -> PyRanges:
    """Genomic intervals of a modality, 0-based and half-open, with their names.

    PyRanges drops the index and sorts its rows by chromosome and strand; the names therefore travel as a
    column, by which results find back to the object.

    Parameters
    ----------
    mdata
        Object of genes, enhancers and links.
    modality
        A modality with the columns `Chromosome`, `Start` and `End` in ``var``: ``"genes"``,
        ``"enhancers"`` or ``"ernas"``.

    Returns
    -------
    All columns of ``var``, and `Name` with the var names (it replaces a column of that name).

    Raises
    ------
    KeyError
        There is no such modality.
    ValueError
        The modality has no intervals of its own.

    Examples
    --------
    >>> import anndata as ad, mudata as md, numpy as np, pandas as pd
    >>> import eregtools as er
    >>> var = pd.DataFrame({"Chromosome": "chr1", "Start": [100, 900], "End": [600, 1400]})
    >>> var.index = ["chr1:100-600", "chr1:900-1400"]
    >>> enhancers = ad.AnnData(np.zeros((1, 2)), obs=pd.DataFrame(index=["K562"]), var=var)
    >>> found = er.get.ranges(md.MuData({"enhancers": enhancers}), "enhancers")
    >>> list(found.df["Name"])
    ['chr1:100-600', 'chr1:900-1400']
    """
    var = require_modality(mdata, modality).var
    missing = [column for column in INTERVAL if column not in var]
    if missing:
        raise ValueError(
            f"{modality!r} has no column {', '.join(missing)} in var, so no intervals of its own; "
            "for links, er.get.links gives those of their enhancers"
        )
    return to_pyranges(var)
