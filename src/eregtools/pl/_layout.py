"""Where the parts of a locus are drawn: sizes in inches, rows of labels, scales; nothing is drawn here.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools.pl._region import Region
from eregtools.pl._style import number, round_down, stack, text_width

# Inches.
HEADER, GAP, TRACK_GAP, AXIS, RIGHT = 0.17, 0.07, 0.04, 0.31, 0.19
ARCS, ARCS_OF_MANY, TRACK, TRACK_OF_MANY, THIN = 0.62, 0.46, 0.42, 0.27, 0.34
LOLLIPOPS, LOLLIPOPS_OF_MANY, WINDOW, LETTERS, FAN, NOTE = 0.62, 0.46, 0.36, 0.5, 0.16, 0.13
BOX, BOX_PITCH, LABEL_PITCH, GENE_PITCH = 0.08, 0.125, 0.115, 0.2
BODY, RISE, TIP = 0.06, 0.07, 0.075
LINE: Final = 0.13
"""From the middle of one label to the far end of the next."""
THINNEST: Final = 1.5 / 72
NARROWEST_BAND: Final = 4 / 72
BOX_LEAST: Final = 2.2 / 72


@dataclass(frozen=True)
class View:
    """A region, and how many inches wide it is drawn."""

    region: Region
    width: float

    @property
    def bp_per_inch(self) -> float:
        """Scale of the drawing."""
        return (self.region.end - self.region.start) / self.width

    def inches(self, position: Any) -> Any:
        """Distance of positions from the left edge."""
        return (np.asarray(position, dtype=float) - self.region.start) / self.bp_per_inch

    def position(self, inches: float) -> float:
        """Position at a distance from the left edge."""
        return self.region.start + inches * self.bp_per_inch

    def visible(self, elements: pd.DataFrame, least: float = THINNEST) -> tuple[np.ndarray, np.ndarray]:
        """Left edges and widths in bp, none thinner than `least` inches."""
        start, end = elements[Var.start].to_numpy(float), elements[Var.end].to_numpy(float)
        width = np.maximum(end - start, least * self.bp_per_inch)
        return (start + end - width) / 2, width


@dataclass(frozen=True)
class Scale:
    """Range of the values of a track; holds zero."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[np.ndarray]) -> Scale:
        """Scale that holds all finite values."""
        joined = np.concatenate(list(values))
        joined = joined[np.isfinite(joined)]
        low, high = min(0.0, joined.min(initial=0.0)), max(0.0, joined.max(initial=0.0))
        return cls(float(low), float(high)) if high > low else cls(0.0, 1.0)

    @property
    def ticks(self) -> list[float]:
        """Zero, and a round value near each end that is far enough from zero to carry a label."""
        ticks = [0.0]
        if self.high > 0.3 * (self.high - self.low):
            ticks.append(round_down(self.high))
        if -self.low > 0.3 * (self.high - self.low):
            ticks.insert(0, -round_down(-self.low))
        return ticks

    def ticks_within(self, height: float) -> list[float]:
        """Ticks of a panel of a height in inches: with values of both signs, those whose labels are clear of zero's."""
        least = LINE * (self.high - self.low) / height if self.low < 0 < self.high else 0.0
        return [tick for tick in self.ticks if tick == 0 or abs(tick) >= least]


@dataclass(frozen=True)
class Track:
    """One number of each enhancer and biosample.

    Attributes
    ----------
    name
        Axes are labelled ``<name>:<sample>``.
    unit
        Stands in parentheses beside the name.
    values
        ``{sample: values}`` in the order of the enhancers in view; NaN draws nothing. Of an area ``(n_curves, n)``,
        the first above the line and the second below it.
    look
        Bars, lower bars, or lollipops at elements; or an area along the genome.
    filled
        ``{sample: mask}``: which lollipops have a filled head; ``None``: all.
    black
        Draw it in black instead of in the colours of the samples.
    note
        Stands above the panels.
    edges
        Positions between which the values of an area lie ``(n + 1,)``.
    """

    name: str
    unit: str
    values: Mapping[str, np.ndarray]
    look: Literal["bars", "thin", "lollipops", "area"] = "bars"
    filled: Mapping[str, np.ndarray] | None = None
    black: bool = False
    note: str = ""
    edges: np.ndarray | None = None

    @property
    def label(self) -> tuple[str, str]:
        """Name and unit, which are written under each other."""
        return self.name, f"({self.unit})"

    def height(self, *, many: bool) -> float:
        """Height of a panel, which is lower where there is one for each of several samples."""
        if self.look == "lollipops":
            return LOLLIPOPS_OF_MANY if many else LOLLIPOPS
        if self.look == "area":
            return TRACK
        return TRACK_OF_MANY if many else THIN if self.look == "thin" else TRACK


class Row(NamedTuple):
    """One panel: the label of its Axes, and its height, the gap below it and the room above it in inches."""

    label: str
    height: float
    gap: float
    above: float = 0.0


def place_rows(rows: Sequence[Row], header: float) -> tuple[dict[str, tuple[float, float]], float]:
    """Bottom and top of each panel, in inches from the bottom of the lowest one, and the height of all."""
    total = header + sum(row.above + row.height + row.gap for row in rows)
    places, y = {}, total - header
    for row in rows:
        top = y - row.above
        places[row.label] = (top - row.height, top)
        y = top - row.height - row.gap
    return places, total


@dataclass(frozen=True)
class PlacedGene:
    """Gene with its place: inches from the left edge, and a row.

    `direction` is 1, -1 or, without a strand, 0; `body` is None for a gene of which only the TSS is known, and
    `tss` for one whose TSS is not in view.
    """

    id: str
    name: str
    direction: int
    body: tuple[float, float] | None
    tss: float | None
    label: float
    label_on_body: bool
    row: int


def place_genes(genes: pd.DataFrame, names: Mapping[Any, str], view: View) -> list[PlacedGene]:
    """Give each gene a label beside its body, and a row in which nothing overlaps it."""
    chosen = view.region.gene
    order = genes.assign(other=genes.index != chosen).sort_values(["other", Var.start], kind="stable")
    parts, extents, label_places = [], [], []
    for gene, row in order.iterrows():
        part, (left, right) = _gene_parts(row, view)
        # Without a body the label stands under the arrow, right beside its stem.
        near, far = (left, right) if part["body"] else (part["tss"], part["tss"])
        length = text_width(names[gene], weight="bold" if gene == chosen else "normal")
        places = _places_beside(near, far, length, view.width)
        part["label_on_body"] = not places
        if not places:
            center = view.width * (0.25 if view.inches(row[Var.tss]) > view.width / 2 else 0.75)
            places = [float(np.clip(center - length / 2, 0, max(view.width - length, 0)))]
        parts.append({"id": gene, "name": names[gene], **part})
        label_places.append(places)
        extents.append([(min(left, place), max(right, place + length)) for place in places])
    return [
        PlacedGene(**part, label=places[choice], row=row)
        for part, places, (row, choice) in zip(parts, label_places, stack(extents, gap=0.06), strict=True)
    ]


def _gene_parts(gene: pd.Series, view: View) -> tuple[dict[str, Any], tuple[float, float]]:
    """Direction, body and TSS of a gene, and the left and right end of all these."""
    direction = {"+": 1, "-": -1}.get(gene[Var.strand], 0)
    at = float(view.inches(gene[Var.tss]))
    tss = at if 0 <= at <= view.width else None
    ends = [] if tss is None else [tss, tss + direction * (TIP + 0.02)]
    body = None
    if gene[Var.end] - gene[Var.start] > 1 or tss is None:
        start, end = np.clip(view.inches([gene[Var.start], gene[Var.end]]), 0, view.width)
        start = min(start, view.width - 2 * THINNEST)
        body = (float(start), float(max(end, start + 2 * THINNEST)))
        ends += body
    return {"direction": direction, "body": body, "tss": tss}, (min(ends), max(ends))


def _places_beside(left: float, right: float, length: float, width: float) -> list[float]:
    """Left edges of a label to the right and to the left of a gene, where there is room."""
    places = [right + 0.03] if right + 0.03 + length <= width + 0.1 else []
    return [*places, left - 0.03 - length] if left - 0.03 - length >= 0 else places


def label_place(enhancer: Any, text: str, view: View) -> tuple[float, float]:
    """Left edge and length in inches of a label centred over its enhancer, within the view."""
    length = text_width(text)
    center = float(view.inches((enhancer[Var.start] + enhancer[Var.end]) / 2))
    return float(np.clip(center - length / 2, 0, max(view.width - length, 0))), length


def label_rows(labels: Mapping[str, str], enhancers: pd.DataFrame, view: View) -> dict[str, int]:
    """Row of each highlighted enhancer's label, 0 nearest to the boxes."""
    extents = []
    for name, text in labels.items():
        left, length = label_place(enhancers.loc[name], text, view)
        extents.append([(left, left + length)])
    return dict(zip(labels, (row for row, _ in stack(extents, gap=0.05)), strict=True))


def ticks_width(scales: Iterable[Scale]) -> float:
    """Width of the widest tick label of the tracks."""
    return max([0.0, *(text_width(number(tick)) for scale in scales for tick in scale.ticks)]) + 0.05


def left_margin(samples: Sequence[str], scales: Sequence[Scale]) -> float:
    """Width of what stands to the left of the panels."""
    names = samples if len(samples) > 1 else ["enhancers"]
    margin = max(text_width(name) for name in names) + 0.06
    if scales:
        margin = max(margin, ticks_width(scales) + 0.27)
    return margin + 0.03


def panel_rows(
    samples: Sequence[str],
    tracks: Iterable[Track],
    genes: Iterable[PlacedGene],
    *,
    arcs: bool,
    n_label_rows: int,
    enhancers: bool = True,
) -> list[Row]:
    """Panels from top to bottom."""
    many = len(samples) > 1
    rows = []
    if arcs:
        rows += [Row(f"arcs:{name}", ARCS_OF_MANY if many else ARCS, TRACK_GAP) for name in samples]
    for track in tracks:
        # As high as the label of the track is long, which is written upright.
        least = (max(text_width(line) for line in track.label) + 0.06) / len(samples) - TRACK_GAP * many
        own = [Row(f"{track.name}:{name}", max(track.height(many=many), least), TRACK_GAP) for name in samples]
        own[0] = own[0]._replace(above=NOTE if track.note else 0.0)
        own[-1] = own[-1]._replace(gap=GAP)
        rows += own
    n_gene_rows = 1 + max((gene.row for gene in genes), default=0)
    if enhancers:
        rows.append(Row("enhancers", BOX_PITCH * len(samples) + LABEL_PITCH * n_label_rows, GAP))
    return [*rows, Row("genes", GENE_PITCH * n_gene_rows + 0.04, 0)]


def calls_row(n_samples: int, n_label_rows: int) -> Row:
    """Panel of called loci."""
    return Row("ernas", BOX_PITCH * n_samples + LABEL_PITCH * n_label_rows, GAP)


def zoom_rows(*, window: bool) -> list[Row]:
    """Panels below the genes' axis: the attributions of a window, where that is too wide for letters, and letters."""
    if not window:
        return [Row("logo", LETTERS, 0, above=AXIS + FAN)]
    return [Row("window", WINDOW, FAN, above=AXIS + FAN), Row("logo", LETTERS, 0)]
