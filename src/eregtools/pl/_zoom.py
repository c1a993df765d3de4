"""Attributions of one element, base by base, below the locus that it lies in.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from mudata import MuData

from eregtools._keys import INTERVAL, Modality, Var
from eregtools._schema import listed
from eregtools.genome import Genome
from eregtools.get._select import find_gene, gene_labels
from eregtools.io.attributions import attributed_windows, mean_attribution
from eregtools.pl import _layout, _panels
from eregtools.pl._region import Region
from eregtools.pl._themes import in_force
from eregtools.pl.logo import logo as draw_logo
from eregtools.ranges import parse_region
from eregtools.tl.expression import object_genome

_LETTER: Final = 0.062
"""Inches that a letter takes."""

_TAPER: Final = 6
"""Bases at each end of a stretch that count less."""

_MODALITIES: Final = (Modality.enhancers, Modality.links, Modality.genes)

_REGION: Final = re.compile(r"\S+:[\d,]+-[\d,]+")


@dataclass(frozen=True)
class Zoom:
    """Attributions ``(end - start,)`` of a window, and the part of it that is written as letters."""

    name: str | None
    modality: str
    key: str
    genome: Genome
    chromosome: str
    start: int
    end: int
    values: np.ndarray
    letters: tuple[int, int]

    @property
    def wide(self) -> bool:
        """Whether letters are of a part of the window only."""
        return self.letters != (self.start, self.end)

    @property
    def scales(self) -> list[_layout.Scale]:
        """Scale of window and letters."""
        return [_layout.Scale.of([self.values])]

    @property
    def enhancer(self) -> str | None:
        """Name of the enhancer, where it is of one."""
        return None if self.name is None or self.modality == Modality.genes else self.name.partition("|")[0]

    def fitted(self, width: float) -> Zoom:
        """Zoom whose letters can be read in panels of a width in inches: the stretch with the largest attributions.

        Bases at its ends count less, so that it does not end within a motif.
        """
        most = max(int(width / _LETTER), 1)
        if most >= len(self.values):
            return self
        from_end = np.minimum(np.arange(most), np.arange(most)[::-1]) + 1
        sums = np.convolve(np.abs(np.nan_to_num(self.values)), np.minimum(from_end / _TAPER, 1), mode="valid")
        first = self.start + int(np.argmax(sums))
        return replace(self, letters=(first, first + most))


def find_zoom(mdata: MuData, what: str, key: str | None, region: Region, genome: Genome | str | Path | None) -> Zoom:
    """Attributions of an element, by its name, or of a part of the genome."""
    modality, name, key = _attributed(mdata, what, key, region.gene)
    if name is None:
        chromosome, start, end = parse_region(what)
    else:
        windows = attributed_windows(mdata, key, modality)
        own = windows[windows["row"] == mdata[modality].var_names.get_loc(name)]
        chromosome, start, end = own[list(INTERVAL)].iloc[0]
    if chromosome != region.chromosome or start >= region.end or end <= region.start:
        raise ValueError(f"logo of {what!r}, {chromosome}:{start:,}-{end:,}, is outside of {region}; use flank=")
    values = mean_attribution(mdata, key, modality, chromosome, start, end, name)
    sequence = object_genome(mdata, genome)
    sequence.codes([chromosome], np.array([start]), 1)  # a genome without the chromosome is refused before drawing
    return Zoom(name, modality, key, sequence, chromosome, int(start), int(end), values, (int(start), int(end)))


def draw_zoom(
    frame: Axes,
    panels: Mapping[str, Axes],
    places: Mapping[str, tuple[float, float]],
    zoom: Zoom,
    mdata: MuData,
    view: _layout.View,
    *,
    top: float,
    label_at: float,
) -> None:
    """Attributions of the window, its strongest stretch as letters, and how these lie in what is above."""
    axes = [panels[name] for name in ("window", "logo") if name in panels]
    (scale,) = zoom.scales
    ends = np.array([view.inches(zoom.start), view.inches(zoom.end)])
    if np.ptp(ends) < _layout.BOX_LEAST:
        ends = ends.mean() + np.array([-0.5, 0.5]) * _layout.BOX_LEAST
    for ax in axes:
        low, high = places[str(ax.get_label())]
        _band(frame, ends, high + _layout.FAN, top)
        _fan(frame, ends, high + _layout.FAN, view.width, high)
        if ax is axes[-1]:
            break
        _draw_window(ax, zoom)
        ends = (np.array(zoom.letters) - zoom.start) / (zoom.end - zoom.start) * view.width
        top = high
        _band(frame, ends, low, high)
    _draw_letters(panels["logo"], zoom, mdata)
    _panels.draw_scale(axes, zoom.key, scale, view, label_at=label_at)


def _band(frame: Axes, ends: np.ndarray, bottom: float, top: float) -> None:
    look = in_force()
    frame.fill_between(ends, bottom, top, color=look.yellow, alpha=look.band, lw=0)


def _fan(frame: Axes, ends: np.ndarray, above: float, width: float, below: float) -> None:
    """Trapezoid from a part of what is above to all of what is below."""
    look = in_force()
    frame.fill([ends[0], ends[1], width, 0], [above, above, below, below], color=look.yellow, alpha=look.band, lw=0)


def _draw_window(ax: Axes, zoom: Zoom) -> None:
    made = np.isfinite(zoom.values)
    at = np.arange(zoom.start, zoom.end)[made]
    ax.bar(at, zoom.values[made], 1.0, align="edge", color=in_force().beside, linewidth=0)
    ax.set_xlim(zoom.start, zoom.end)


def _draw_letters(ax: Axes, zoom: Zoom, mdata: MuData) -> None:
    ax.tick_params(bottom=True, labelbottom=True)
    part = (zoom.chromosome, *zoom.letters)
    draw_logo(
        mdata, zoom.name, key=zoom.key, modality=zoom.modality, region=part, genome=zoom.genome, ax=ax, show=False
    )
    ax.set_ylabel("")
    ax.set_title("", loc="left")


def _attributed(mdata: MuData, what: str, key: str | None, gene: str | None) -> tuple[str, str | None, str]:
    """Modality, name (of a region: None) and key of the attributions of an element."""
    keys = {
        modality: [name for name in mdata[modality].varm if Var.window_start(name) in mdata[modality].var]
        for modality in _MODALITIES
        if modality in mdata.mod
    }
    names = _names(mdata, list(keys), what, gene)
    choices = [
        (modality, names.get(modality), there)
        for modality in (names or keys)
        for there in keys[modality]
        if key in (None, there) and _has_attributions(mdata, modality, there, names.get(modality), what)
    ]
    found = list(dict.fromkeys(there for _, _, there in choices))
    if not found:
        wanted = "" if key is None else f" under {key!r}"
        there = listed(dict.fromkeys(chain.from_iterable(keys.values())))
        raise KeyError(f"{what} has no attributions{wanted} (keys of the object: {there}); run er.tl.attribute first")
    if len(found) > 1:
        raise ValueError(f"{what} has attributions under {listed(found)}; choose with logo_key=")
    return choices[0]


def _names(mdata: MuData, modalities: Iterable[str], what: str, gene: str | None) -> dict[str, str]:
    """Name of an element in each modality that knows it; an enhancer is known as its link to the gene, too."""
    names = {}
    for modality in modalities:
        if what in mdata[modality].var_names:
            names[modality] = what
        elif modality == Modality.links and f"{what}|{gene}" in mdata[modality].var_names:
            names[modality] = f"{what}|{gene}"
        elif modality == Modality.genes and what in gene_labels(mdata[modality]):
            names[modality] = find_gene(mdata, what)
    if not names and _REGION.fullmatch(what) is None:
        raise KeyError(f"no enhancer, gene or link {what!r} to draw a logo of; a region is written as chr1:1,000-1,200")
    return names


def _has_attributions(mdata: MuData, modality: str, key: str, name: str | None, what: str) -> bool:
    if name is None:
        return bool(np.isfinite(mean_attribution(mdata, key, modality, *parse_region(what))).any())
    elements = mdata[modality]
    return bool(np.isfinite(elements.varm[key][elements.var_names.get_loc(name), 0]))
