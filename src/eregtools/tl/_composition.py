"""What can be predicted of activity from what a sequence is made of, whatever the order of its bases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eregtools.batches.composition import gc_and_cpg, kmer_frequencies
from eregtools.tl.activity import mean_of_windows, read_windows

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from eregtools.genome import Genome

_FEATURES = {"gc_cpg": gc_and_cpg, "kmer": kmer_frequencies}

_PENALTIES = np.logspace(0, 5, 6)


def composition_features(
    elements: pd.DataFrame, chosen: NDArray[np.bool_], genome: Genome, width: int, window: str
) -> dict[str, NDArray[np.float64]]:
    """Numbers that each baseline of activity is given, ``{method: (n_elements, n_features)}``.

    Parameters
    ----------
    elements
        ``enhancers.var``.
    chosen
        Elements whose sequence is read ``(n_elements,)``; the others have NaN, as those without a known base.
    genome, width, window
        Windows to read, as the models of activity do; of several in an element the mean is taken.
    """
    rows = np.flatnonzero(chosen)
    owners, parts = [], []
    for owner, codes in read_windows(elements.iloc[rows], genome, width, window):
        owners.append(owner)
        parts.append({method: made(codes) for method, made in _FEATURES.items()})
    owner = np.concatenate(owners)
    found = {}
    for method in _FEATURES:
        values = np.concatenate([part[method] for part in parts])
        found[method] = np.full((len(elements), values.shape[1]), np.nan)
        found[method][rows] = np.stack([mean_of_windows(column, owner) for column in values.T], axis=1)
    return found


def composition_regressor(method: str) -> Any:
    """Model of a method, not fitted."""
    from sklearn.linear_model import LinearRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return LinearRegression() if method == "gc_cpg" else make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
