"""Interactions predicted without sequence: what a model of pairs has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._schema import layer_to_fill, listed, put_layer, require_real
from eregtools._settings import settings
from eregtools.sampling import fold_sets
from eregtools.tl._labels import labelled_links
from eregtools.tl._models import record_result
from eregtools.tl._pair_baselines import METHODS, MODELS, Method, cross_fitted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mudata import MuData


def baseline_interactions(
    mdata: MuData,
    *,
    methods: Method | Iterable[Method] = METHODS,
    label: str = Var.label,
    negatives: str | Iterable[str] | None = None,
    scheme: str | None = None,
    sample: str | None = None,
    rng: int | None = None,
    copy: bool = False,
) -> MuData | None:
    """Score labelled pairs by their coordinates, each by a model of other chromosomes.

    Parameters
    ----------
    mdata
        Object of labelled pairs (:func:`eregtools.pp.pairs`) with folds (:func:`eregtools.pp.split`).
    methods
        ``"distance"``: share of positive pairs at that distance, by a histogram. ``"distance_lengths"``: boosted
        trees on the distance and the lengths of both elements. ``"between"``: the same with the number of the
        object's promoters between enhancer and promoter (where ``promoter_activity`` is known, of active ones).
        ``"memoriser"``: how the pair overlaps the positive ones that train (:func:`eregtools.tl.leakage`); it knows
        nothing where chromosomes are held out, and that it scores 0.500 shows that they are.
    label
        Column of ``links.var``, or layer of ``links``, with 1 for pairs that interact and 0 for others.
    negatives
        Negative pairs to learn from and score, by ``links.var["origin"]``; ``None``: all.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``.
    sample
        Biosample; default the only one.
    rng
        Seed of the trees; ``None``: ``settings.seed``.
    copy
        Return a new object and leave this one alone.

    Returns
    -------
    ``None``, or the new object. Sets the following fields:

    ``mdata["links"].layers[f"interaction_baseline_{method}"]``
        Score ``(n_samples, n_links)``, float32, of pairs that a fold tests; NaN for others.
    ``mdata.uns["eregtools"]["results"]``
        Which baseline it is.

    Raises
    ------
    KeyError
        Folds or labels are missing.
    ValueError
        There is no such method; labels are of one kind only; a view.

    Notes
    -----
    The trees are scikit-learn's ``HistGradientBoostingClassifier`` with its default settings. On the six tables of
    TargetFinder by chromosome, distance alone reaches a mean AUROC of 0.55 to 0.63, with lengths 0.56 to 0.65.

    See Also
    --------
    eregtools.tl.evaluate_interactions : all of them beside a model.

    Examples
    --------
    >>> import tempfile
    >>> import eregtools as er
    >>> small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    >>> simulation = er.datasets.simulate_interactions(tempfile.mkdtemp(), config=small)
    >>> mdata = er.pp.pairs(simulation.pairs, genome=simulation.genome, sample="simulated")
    >>> er.pp.split(mdata, {k: {"valid": [f"chr{k % 3 + 1}"], "test": [f"chr{k}"]} for k in (1, 2, 3)})
    >>> er.tl.baseline_interactions(mdata, methods=["distance", "memoriser"])
    >>> [name for name in mdata["links"].layers if name and name.startswith("interaction")]
    ['interaction_baseline_distance', 'interaction_baseline_memoriser']

    No element of a test chromosome is in a pair that trains, so that the look-up knows none of them:

    >>> float(mdata["links"].layers["interaction_baseline_memoriser"].max())
    0.0
    """
    require_real(mdata)
    names = [methods] if isinstance(methods, str) else list(dict.fromkeys(methods))
    if not names or (unknown := [name for name in names if name not in METHODS]):
        raise ValueError(f"methods={listed(unknown if names else [])}: expected some of {', '.join(METHODS)}")
    pairs = labelled_links(mdata, label, sample=sample, negatives=negatives)
    sets, scheme = fold_sets(mdata, scheme, pairs.chromosome)
    mdata = mdata.copy() if copy else mdata
    row = int(mdata.obs_names.get_loc(pairs.sample))
    for method in names:
        score, folds = cross_fitted(mdata, pairs, sets, method, settings.seed if rng is None else rng)
        key = Layer.interaction_baseline(method)
        values = layer_to_fill(mdata[Modality.links], key, [row])
        values[row, pairs.rows] = score.astype(np.float32)
        about = {"sample": pairs.sample, "model": MODELS[method], "recipe": scheme}
        record_result(mdata, f"{Modality.links}:{key}", [{**about, "fold": fold} for fold in folds], [pairs.sample])
        put_layer(mdata, Modality.links, key, values)
    return mdata if copy else None
