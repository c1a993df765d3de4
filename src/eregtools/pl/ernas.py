"""Coverage around the centres of enhancer-RNA loci: the mean of both strands, and every locus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import Modality, Var
from eregtools._schema import listed, require_modality
from eregtools.coverage import recorded_coverage
from eregtools.get._select import one_sample

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from mudata import MuData

    from eregtools.coverage import Coverage


def erna_profile(
    mdata: MuData,
    *,
    sample: str | None = None,
    names: Sequence[str] | np.ndarray | None = None,
    coverage: Coverage | str | Path | None = None,
    flank: int = 2_000,
    heatmap: bool = True,
    normalize: bool = False,
    level: float = 0.95,
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float] | None = None,
) -> list[Axes] | None:
    """Draw the mean coverage of both strands around the centres of loci, and below it each locus.

    Divergent transcription shows as plus to the right and minus to the left of the centre. Loci are sorted by their
    signal; the colours of the heat map are logarithmic and end at the 99th percentile of the bins with signal.

    Parameters
    ----------
    mdata
        Object with ``ernas`` and coverage (:func:`eregtools.pp.add_coverage`).
    sample
        Biosample; default the only one.
    names
        Loci by name, or a mask over them; default all. Those without a read in view are left out of a normalised mean.
    coverage
        Store of coverage, or its folder, where it was moved.
    flank
        Bases on either side of the centre.
    heatmap
        Draw each locus below the mean. Where there are more loci than can be told apart, neighbours in the order are
        averaged.
    normalize
        Divide each locus by its signal in view, so that a few strong ones do not make the mean.
    level
        Probability that the band around the mean holds (normal approximation over loci).
    ax
        Axes whose place the panels take; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.
    figsize
        Inches; default one journal column (89 mm) wide.

    Returns
    -------
    None where the figure is shown, else the Axes ``profile:<sample>`` and ``heatmap:<sample>`` (their labels).

    Raises
    ------
    KeyError
        The object has no loci or coverage, or not such a locus or biosample.
    ValueError
        No locus is chosen, none has a read in view, or a number makes no sense.

    Examples
    --------
    .. plot::
        :include-source:

        >>> import tempfile
        >>> import eregtools as er
        >>> small = er.datasets.ErnaGenomeConfig(
        ...     n_chromosomes=1, chromosome_length=1_000_000, genes=12, libraries=["stranded"], negative=()
        ... )
        >>> world = er.datasets.simulate_erna_genome(tempfile.mkdtemp(), config=small)
        >>> mdata = er.pp.assemble(
        ...     genes=world.paths["genes"], enhancers=world.paths["open"], samples=["s1"], genome=world.paths["genome"]
        ... )
        >>> er.pp.add_coverage(mdata, world.tracks, folder=world.folder / "coverage.zarr", read_length=75)
        >>> er.pp.candidate_ernas(mdata, "bed", source=world.paths["ernas"])
        >>> axes = er.pl.erna_profile(mdata, flank=1_000)

    >>> [ax.get_label() for ax in axes]
    ['profile:s1', 'heatmap:s1']
    """
    from eregtools.pl._profile import draw_profile
    from eregtools.tl._erna_windows import centres_of, track_windows

    if flank < 16 or not 0 < level < 1:
        raise ValueError(f"flank={flank}, level={level}: expected at least 16 bp and 0 < level < 1")
    ernas = require_modality(mdata, Modality.ernas)
    name = one_sample(mdata, sample)
    store = recorded_coverage(mdata, coverage)
    store.about(name)
    loci = ernas.var[_chosen(names, ernas.var_names)]
    size = store.bin_size
    half = flank // size
    # the bin that holds the centre begins at the middle of the view
    starts = centres_of(loci) // size * size - half * size
    chroms = np.asarray(loci[Var.chromosome], dtype=str)
    values, _ = track_windows(store, name, chroms, starts, 2 * half * size, 1)
    values = values * np.float32(1e6 / store.library_size(name))
    if not store.stranded(name):
        values = values.sum(axis=1, keepdims=True)
    if not values.any():
        raise ValueError(f"{name}: none of {len(loci)} loci has a read within {flank:,} bp of its centre")
    edges = (np.arange(2 * half + 1) - half) * size
    return draw_profile(
        values, edges, name, heatmap=heatmap, normalize=normalize, level=level, ax=ax, show=show, figsize=figsize
    )


def _chosen(names: Sequence[str] | np.ndarray | None, known: pd.Index) -> np.ndarray:
    """Rows of the loci that are named, in the order of the object."""
    if names is None:
        rows = np.arange(len(known))
    else:
        given = np.asarray([names] if isinstance(names, str) else names)
        if given.dtype == bool:
            if given.shape != (len(known),):
                raise ValueError(f"names is a mask of {len(given)} loci and there are {len(known)}")
            rows = np.flatnonzero(given)
        else:
            if len(unknown := [name for name in given if name not in known]):
                raise KeyError(f"there is no locus {listed(unknown)}; names look like {known[0]!r}")
            rows = np.array([known.get_loc(name) for name in given], dtype=np.int64)
    if not len(rows):
        raise ValueError("no locus is chosen; leave names= out for all")
    return np.isin(np.arange(len(known)), rows)
