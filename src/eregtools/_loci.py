"""Enhancer-RNA loci as a modality of the object."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import Modality, Uns, Var
from eregtools._schema import entry, object_chrom_sizes, put_layer


def put_ernas(mdata: MuData, loci: pd.DataFrame, layers: Mapping[str, np.ndarray]) -> None:
    """Loci in the place of those of the object, with their layers ``(n_samples, n_loci)``; the first becomes X."""
    chromosomes = [name for name in object_chrom_sizes(mdata) if name in set(loci[Var.chromosome])]
    var = loci.assign(**{Var.chromosome: pd.Categorical(loci[Var.chromosome], categories=chromosomes)})
    var.index = erna_names(loci)
    kept = mdata.mod[Modality.ernas].obs.copy() if Modality.ernas in mdata.mod else None
    if Modality.ernas in mdata.mod:  # update() cannot drop some names of a modality and add others in one go
        del mdata.mod[Modality.ernas]
        mdata.update()
    obs = pd.DataFrame(index=mdata.obs_names.copy()) if kept is None else kept
    mdata.mod[Modality.ernas] = AnnData(obs=obs, var=var)
    mdata.update()
    entry(mdata, Uns.x_layer).pop(Modality.ernas, None)
    for number, (layer, values) in enumerate(layers.items()):
        put_layer(mdata, Modality.ernas, layer, values, as_x=number == 0)


def erna_names(loci: pd.DataFrame) -> pd.Index:
    """Names of loci, as ``eRNA:chr1:1000-2000``."""
    chromosome = loci[Var.chromosome].astype(str)
    names = "eRNA:" + chromosome + ":" + loci[Var.start].astype(str) + "-" + loci[Var.end].astype(str)
    return pd.Index(names.to_numpy(dtype=object))
