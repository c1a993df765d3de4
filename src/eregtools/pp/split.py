"""Chromosome folds."""

from __future__ import annotations

import numpy as np
from mudata import MuData

from eregtools._keys import UNS, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import entry, require_modality, require_real
from eregtools.sampling import FoldSets, fold_table, fold_that_tests

CUSTOM = "custom"
"""Name under which a caller's own folds are stored."""


def split(
    mdata: MuData, scheme: str | FoldSets = "epinformer12", *, key_added: str = Var.fold, copy: bool = False
) -> MuData | None:
    """Divide the chromosomes into folds, and note the fold that tests each gene.

    Parameters
    ----------
    mdata
        The object.
    scheme
        ``"epinformer12"`` (folds 1–12), ``"epipam8"`` (folds 0–7), or ``{fold: {"valid": chromosomes, "test":
        chromosomes}}``, stored as ``"custom"``; chromosomes that are not named train. See
        :func:`eregtools.sampling.fold_table`.
    key_added
        Column of ``mdata["genes"].var``.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata.uns["eregtools"]["folds"][scheme]``
        DataFrame, chromosomes × folds (numbers as text), categorical ``train``, ``valid`` or ``test``.
    ``mdata.uns["eregtools"]["fold_schemes"][key_added]``
        Name of the scheme.
    ``mdata["genes"].var[key_added]``
        Fold that tests the gene, int16; −1: none does.

    Raises
    ------
    ValueError
        An unknown scheme, or folds that test a chromosome twice or test none; a view.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.split(mdata, {1: {"test": ["chr1"]}, 2: {"test": ["chr2"]}})
    >>> sorted(mdata["genes"].var["fold"].unique().tolist())
    [1, 2]
    """
    require_real(mdata)
    genes = require_modality(mdata, Modality.genes)
    if not key_added or "/" in key_added:
        raise ValueError(f"key_added={key_added!r} cannot name a column; expected text without '/'")
    chromosome = genes.var[Var.chromosome].astype(object)
    sizes = mdata.uns.get(UNS, {}).get(Uns.chrom_sizes)
    table = fold_table(scheme, chromosome.unique() if sizes is None else sizes.index)
    tested_by = chromosome.map(fold_that_tests(table)).to_numpy(dtype=np.int16)
    name = scheme if isinstance(scheme, str) else CUSTOM

    mdata = mdata.copy() if copy else mdata
    entry(mdata, Uns.folds)[name] = table
    entry(mdata, Uns.fold_schemes)[key_added] = name
    mdata.mod[Modality.genes].var[key_added] = tested_by
    if never := int((tested_by < 0).sum()):
        logger.info("%d of %d genes are tested by no fold of %s", never, len(tested_by), name)
    return mdata if copy else None
