"""Enhancer RNAs told by the rules of the field: what a model has to beat."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._schema import layer_to_fill, put_layer, require_modality, require_real
from eregtools.coverage import recorded_coverage
from eregtools.tl._erna_baselines import METHODS, MODELS, Method, baseline_scores
from eregtools.tl._erna_truth import scored_loci
from eregtools.tl._models import record_result
from eregtools.tl.expression import object_genome, pick_samples

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome


def baseline_ernas(
    mdata: MuData,
    *,
    sample: str | Iterable[str] | None = None,
    coverage: Coverage | str | Path | None = None,
    genome: Genome | str | Path | None = None,
    copy: bool = False,
) -> MuData | None:
    """Score loci by the rules of FANTOM5, the balance of CAGEfightR, and a logistic model of three numbers.

    Parameters
    ----------
    mdata
        Object with loci, coverage, and labels (:func:`eregtools.pp.label_ernas`) for the logistic model to learn from.
    sample
        Biosamples; ``None``: all.
    coverage
        Store of coverage, where it was moved; ``None``: that of the object.
    genome
        Genome, path or registered name; ``None``: the one named in the object.
    copy
        Return a new object.

    Returns
    -------
    ``None``, or the new object. Sets the following fields, float32 ``(n_samples, n_loci)``:

    ``mdata["ernas"].layers["erna_baseline_fantom"]``
        Reads per million that depart to both sides where plus is more than minus on the right, minus more than plus
        on the left, and directionality below 0.8; else 0. NaN where strands are not known.
    ``mdata["ernas"].layers["erna_baseline_balance"]``
        Balance, which CAGEfightR calls from 0.95 on; NaN alike.
    ``mdata["ernas"].layers["erna_baseline_logistic"]``
        Probability by GC, reads per million and directionality, each by a model of other chromosomes; NaN without
        labels of both kinds on several chromosomes.
    ``mdata.uns["eregtools"]["results"]``
        Which baseline it is.

    Raises
    ------
    KeyError
        The object has no loci or coverage, or not the biosample.
    ValueError
        A view.

    Notes
    -----
    Andersson et al. 2014; Thodberg et al. 2019. Arms are 200 bp of 5′ ends and 500 bp of coverage.

    See Also
    --------
    eregtools.tl.evaluate_ernas : all of them beside a model.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.ErnaGenomeConfig(
    ...     n_chromosomes=1, chromosome_length=200_000, genes=3, libraries=["stranded"], negative=()
    ... )
    >>> world = er.datasets.simulate_erna_genome(tempfile.mkdtemp(), config=small)
    >>> files = world.paths
    >>> mdata = er.pp.assemble(genes=files["genes"], enhancers=files["open"], samples=["s1"], genome=files["genome"])
    >>> er.pp.add_coverage(mdata, world.tracks, folder=world.folder / "coverage.zarr", read_length=75)
    >>> er.pp.candidate_ernas(mdata, "bed", source=files["ernas"])
    >>> er.tl.baseline_ernas(mdata, genome=files["genome"])
    >>> balance = mdata["ernas"].to_df("erna_baseline_balance")
    >>> balance.shape, bool(balance.median(axis=1).item() > 0.5)
    ((1, 10), True)
    """
    require_real(mdata)
    ernas = require_modality(mdata, Modality.ernas)
    names = pick_samples(mdata, sample)
    store, reference = recorded_coverage(mdata, coverage), object_genome(mdata, genome)
    rows = [int(row) for row in mdata.obs_names.get_indexer(names)]
    layers: dict[Method, NDArray[Any]] = {
        method: layer_to_fill(ernas, Layer.erna_baseline(method), rows) for method in METHODS
    }
    for name, row in zip(names, rows, strict=True):
        loci = scored_loci(mdata, (), name)
        found = baseline_scores(loci.table, loci.label, store, name, reference, loci.chromosome)
        for method, values in found.items():
            layers[method][row] = values.astype(np.float32)
    mdata = mdata.copy() if copy else mdata
    for method, values in layers.items():
        key = Layer.erna_baseline(method)
        about = {"fold": -1, "model": MODELS[method], "recipe": Var.label if method == "logistic" else ""}
        record_result(mdata, f"{Modality.ernas}:{key}", [{"sample": name, **about} for name in names], names)
        put_layer(mdata, Modality.ernas, key, values)
    return mdata if copy else None
