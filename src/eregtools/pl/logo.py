"""Logos: attributions along the genome, and motifs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import Modality, Var
from eregtools.get._select import find_gene
from eregtools.io.attributions import attributed_windows, mean_attribution, require_attributions
from eregtools.pl._themes import in_force
from eregtools.ranges import parse_region
from eregtools.tl.expression import object_genome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eregtools.genome import Genome
    from eregtools.ranges import Region

_LETTER: Final = 0.072
"""Inches that a letter takes where there is room."""
_NARROWEST: Final = 0.6 / 72
"""Inches under which a letter cannot be told from a bar."""
_WIDEST: Final = 180 / 25.4
_HEIGHT: Final = 1.45
_TICK: Final = 0.3
"""Inches of height from one tick to the next."""
_BASES: Final = 4
_TOLERANCE: Final = 1e-3


def logo(
    data: MuData | pd.DataFrame | np.ndarray,
    name: str | None = None,
    *,
    key: str | None = None,
    modality: str = Modality.enhancers,
    region: Region | None = None,
    genome: Genome | str | Path | None = None,
    kind: Literal["weights", "information"] = "weights",
    ax: Axes | None = None,
    show: bool | None = None,
    figsize: tuple[float, float] | None = None,
) -> Axes | None:
    """Draw attributions of a sequence, or a motif, as letters.

    Each letter is as high as its value; positive ones stand on zero, negative ones hang from it, turned over. Where a
    position is too narrow for a letter, it is a bar in the colour of the base.

    Parameters
    ----------
    data
        Object with attributions (:func:`eregtools.tl.attribute`), or a motif: a matrix ``(length, 4)`` in the order
        A, C, G, T, or a DataFrame with these columns.
    name
        Element whose window is drawn; genes by id or name. ``None``: the mean over all windows of the ``region``.
    key
        Which attributions; ``None``: the only ones.
    modality
        Of which elements they are.
    region
        Part of the genome to draw, ``"chr1:1,000-1,100"`` (0-based half-open) or ``(chromosome, start, end)``; of a
        motif the positions ``(first, end)`` as ``("", 0, 10)``. ``None``: all of the element's window.
    genome
        For the letters: as in :func:`eregtools.tl.attribute`.
    kind
        Of a motif: ``"weights"`` draws the values as they are (attributions, log odds); ``"information"`` takes them as
        probabilities and draws each times the information of the position in bits, against equal base frequencies.
    ax
        Axes to draw into; default a new figure.
    show
        Show the figure; default if it is made here and there is a display.
    figsize
        Inches; default as wide as the letters need, at most 180 mm.

    Returns
    -------
    None where the figure is shown, else the Axes.

    Raises
    ------
    KeyError
        There are no such attributions, or no such element.
    ValueError
        The matrix is no motif; the region holds no attribution, or goes with neither.

    Notes
    -----
    Information: Schneider and Stephens 1990, without correction for few sequences.

    Examples
    --------
    What each base of an enhancer does to its predicted activity:

    .. plot::
        :include-source:

        >>> import eregtools as er
        >>> mdata = er.datasets.demo(n_genes=200)
        >>> name = mdata["enhancers"].var_names[0]
        >>> er.tl.attribute(mdata, "EPInformer-seq-small-simulated", names=name, method="ism")
        >>> ax = er.pl.logo(mdata, name, region="chr1:62,670-62,770")

    A motif:

    .. plot::
        :include-source:

        >>> import numpy as np
        >>> import eregtools as er
        >>> gata = np.array([[0.1, 0.0, 0.9, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.9, 0.0, 0.0, 0.1]])
        >>> ax = er.pl.logo(gata, kind="information")

    >>> ax.get_ylabel(), len(ax.collections[2].get_paths())
    ('information (bits)', 1)
    """
    if isinstance(data, MuData):
        heights, chrom, start, label = _of_sequence(data, name, key, modality, region, genome)
    else:
        heights, label = _of_motif(data, kind)
        chrom, start = None, 0
        if region is not None:
            _, start, end = parse_region(region)
            heights = heights[start:end]
    from eregtools.pl import _letters, _style

    length = len(heights)
    with _style.drawing(ax) as look:
        if ax is None:
            size = _style.in_print(figsize) or (float(np.clip(length * _LETTER + 0.5, 1.2, _WIDEST)), _HEIGHT)
            figure = _style.new_figure(*size)
            figure.set_layout_engine("constrained")
            drawn = figure.add_subplot()
        else:
            drawn = ax
        left = np.arange(start, start + length, dtype=float)
        wide = _style.size_of(drawn)[0] / length
        (_letters.draw_letters if wide >= _NARROWEST else _letters.draw_bars)(drawn, left, heights)
        _finish_axes(drawn, heights, start, chrom)
        drawn.set_ylabel(label)
        drawn.set_title(name or "", loc="left", size=look.small, pad=look.pt(3))
    return _style.finish(drawn, show=show, own_figure=ax is None)


def _finish_axes(ax: Axes, heights: np.ndarray, start: int, chrom: str | None) -> None:
    """Limits, the line at zero, and positions: of the genome on a chromosome, else counted from 1."""
    from eregtools.pl import _style

    look, length = in_force(), len(heights)
    low, high = np.minimum(heights, 0).sum(axis=1).min(), np.maximum(heights, 0).sum(axis=1).max()
    room = 0.05 * (high - low) or 1.0
    ax.set(xlim=(start, start + length), ylim=(low - room * (low < 0), high + room))
    ax.axhline(0, color=look.ink, linewidth=look.pt(0.5), zorder=0)
    ax.spines["bottom"].set_visible(False)
    if chrom is None:
        shown = np.arange(0, length, max(1, -(-length // 20)))
        labels = [str(position + 1) for position in shown + start]
        shown = shown + start
    else:
        locator = _style.MaxNLocator(4, steps=[1, 2, 5, 10], integer=True)
        shown = np.array(
            [tick for tick in locator.tick_values(start, start + length - 1) if start <= tick < start + length]
        )
        labels = [f"{tick:,.0f}" for tick in shown]
    most = max(int(_style.size_of(ax)[1] / _TICK), 1)
    ax.yaxis.set_major_locator(_style.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    ax.set_xticks(shown + 0.5, labels)  # under the middle of the letter
    ax.set_xlabel(chrom or "position")
    ax.tick_params(axis="x", length=0 if chrom is None else look.pt(2))


def _of_motif(data: Any, kind: str) -> tuple[np.ndarray, str]:
    """Heights ``(length, 4)`` of a motif's letters, and what they are."""
    if kind not in ("weights", "information"):
        raise ValueError(f"kind is {kind!r}; expected 'weights' or 'information'")
    if isinstance(data, pd.DataFrame):
        if missing := [base for base in "ACGT" if base not in data]:
            raise ValueError(f"the motif has no column {', '.join(missing)}; expected A, C, G and T")
        data = data[list("ACGT")].to_numpy()
    matrix = np.asarray(data, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] != _BASES or not len(matrix):
        raise ValueError(f"the motif has shape {matrix.shape}; expected (length, 4): A, C, G, T in columns")
    if not np.isfinite(matrix).all():
        raise ValueError("the motif holds values that are no numbers")
    if kind == "weights":
        return matrix, "weight"
    if (matrix < 0).any() or np.abs(matrix.sum(axis=1) - 1).max() > _TOLERANCE:
        raise ValueError("kind='information' takes probabilities: each row must add up to 1, without negative values")
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nan_to_num(matrix * np.log2(matrix)).sum(axis=1)
    return matrix * (2 - entropy)[:, None], "information (bits)"


def _of_sequence(
    mdata: MuData,
    name: str | None,
    key: str | None,
    modality: str,
    region: Region | None,
    genome: Genome | str | Path | None,
) -> tuple[np.ndarray, str, int, str]:
    """Heights ``(length, 4)`` of the letters of a sequence, its chromosome and first position, and what is drawn."""
    key = _only_key(mdata, modality) if key is None else key
    elements = require_attributions(mdata, key, modality)
    if name is not None:
        name = find_gene(mdata, name) if modality == Modality.genes else name
        if name not in elements.var_names:
            raise KeyError(f"{name!r} is not among the {elements.n_vars:,} {modality} of the object")
    elif region is None:
        raise ValueError("what is to be drawn? pass the name of an element, or region=")
    if region is None:
        windows = attributed_windows(mdata, key, modality)
        own = windows[windows["row"] == elements.var_names.get_loc(name)]
        if own.empty:
            raise ValueError(f"{name} has no attributions under {key!r}")
        chrom, start, end = own[[Var.chromosome, Var.start, Var.end]].iloc[0]
    else:
        chrom, start, end = parse_region(region)
    values = mean_attribution(mdata, key, modality, chrom, start, end, name)
    if not np.isfinite(values).any():
        raise ValueError(f"{chrom}:{start:,}-{end:,} holds no attribution under {key!r}")
    codes = object_genome(mdata, genome).codes([chrom], np.array([start]), end - start)[0]
    heights = np.zeros((end - start, _BASES))
    known = np.flatnonzero((codes < _BASES) & np.isfinite(values))
    heights[known, codes[known]] = values[known]
    return heights, chrom, start, key


def _only_key(mdata: MuData, modality: str) -> str:
    elements = mdata.mod.get(modality)
    found = [] if elements is None else [name for name in elements.varm if Var.window_start(name) in elements.var]
    if len(found) != 1:
        raise KeyError(
            f"{modality} have attributions under {', '.join(found)}; choose with key="
            if found
            else f"{modality} have no attributions; run er.tl.attribute first"
        )
    return found[0]
