"""How coverage around centres is drawn: the mean of each strand over a heat map of all loci.

Imports matplotlib; import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator

from eregtools.pl import _style
from eregtools.pl._panels import strand_colors
from eregtools.pl._style import number, size_of, text_width
from eregtools.pl._themes import Theme, in_force

# Inches.
_HEADER, _PROFILE, _GAP, _HEAT, _AXIS, _LEFT, _RIGHT = 0.17, 1.0, 0.08, 1.7, 0.31, 0.5, 0.42
_RAMP, _RAMP_GAP = 0.07, 0.06

_ROWS: Final = 400
"""Most rows of the heat map."""

_SATURATED: Final = 99.0
"""Percentile of the bins with signal from which on colour does not change."""

_CORE: Final = 500
"""Bases around the centre by whose signal loci are sorted."""


def _strands(number: int, look: Theme) -> tuple[tuple[str, str], ...]:
    """Name and colour of each strand."""
    plus, minus = strand_colors(look)
    return (("both strands", look.ink),) if number == 1 else (("plus", plus), ("minus", minus))


def draw_profile(
    values: np.ndarray,
    edges: np.ndarray,
    sample: str,
    *,
    heatmap: bool,
    normalize: bool,
    level: float,
    ax: Axes | None,
    show: bool | None,
    figsize: tuple[float, float] | None,
) -> list[Axes] | None:
    """Panels of the mean and of the loci.

    Parameters
    ----------
    values
        Coverage per million ``(n_loci, n_strands, n_bins)``, plus and minus, or both together.
    edges
        Distances from the centre between which bins lie ``(n_bins + 1,)``.
    sample
        Its name.
    """
    width, height = _style.in_print(figsize) or (
        _style.ONE_COLUMN,
        _HEADER + _PROFILE + (_GAP + _HEAT) * heatmap + _AXIS,
    )
    shown = scaled(values) if normalize else values
    with _style.drawing(ax) as look:
        strands = _strands(values.shape[1], look)
        axes = _axes(width, height, heatmap=heatmap, ax=ax)
        _draw_mean(axes[0], shown, edges, strands, level, normalize=normalize)
        if heatmap:
            _draw_heat(axes[1], values, edges, strands)
        for axis, kind in zip(axes, ("profile", "heatmap"), strict=False):
            axis.set_label(f"{kind}:{sample}")
            axis.set_xlim(edges[0], edges[-1])
            axis.axvline(0, color=look.beside, lw=look.pt(0.5), ls=(0, (2, 2)), zorder=3)
            axis.tick_params(labelbottom=axis is axes[-1])
        axes[0].set_title(f"{sample}, {len(values):,} loci", loc="left", size=look.normal, pad=look.pt(3))
        _draw_axis(axes[-1], edges)
    return _style.finish(axes, show=show, own_figure=ax is None)


def scaled(values: np.ndarray) -> np.ndarray:
    """Loci with a read, each divided by its mean over strands and bins."""
    total = values.mean(axis=(1, 2), keepdims=True)
    return values[total[:, 0, 0] > 0] / total[total[:, 0, 0] > 0]


def _axes(width: float, height: float, *, heatmap: bool, ax: Axes | None) -> list[Axes]:
    """Axes from top to bottom, in a new figure or in the place of one."""
    if ax is None:
        host: Any = _style.new_figure(width, height)
        left, right, bottom, top = _LEFT / width, 1 - _RIGHT / width, _AXIS / height, 1 - _HEADER / height
    else:
        host, left, right, bottom, top = ax, 0.0, 1.0, 0.0, 1.0
        _, height = size_of(ax)
    extent = top - bottom
    if not heatmap:
        return _style.panels(host, [(left, bottom, right - left, extent)])
    gap = _GAP / height
    heat = (extent - gap) * _HEAT / (_HEAT + _PROFILE)
    boxes = [(left, bottom + heat + gap, right - left, extent - heat - gap), (left, bottom, right - left, heat)]
    return _style.panels(host, boxes)


def _draw_mean(ax: Axes, values: np.ndarray, edges: np.ndarray, strands: Any, level: float, *, normalize: bool) -> None:
    """Mean over loci with a band; minus below the line."""
    from scipy.stats import norm

    look = in_force()
    reach = norm.ppf((1 + level) / 2) / np.sqrt(len(values))
    centre = (edges[:-1] + edges[1:]) / 2
    for strand, (name, color) in enumerate(strands):
        sign = -1 if name == "minus" else 1
        mean, spread = values[:, strand].mean(axis=0), values[:, strand].std(axis=0, ddof=len(values) > 1)
        low, high = np.maximum(mean - reach * spread, 0), mean + reach * spread
        ax.fill_between(centre, sign * low, sign * high, color=color, alpha=0.25, lw=0, gid=f"band:{name}")
        ax.plot(centre, sign * mean, color=color, lw=look.pt(1.0), gid=f"mean:{name}")
        ax.text(
            0.985, 0.95 if sign > 0 else 0.05, name, color=color, weight="bold", transform=ax.transAxes, ha="right",
            va="top" if sign > 0 else "bottom",
        )  # fmt: skip
    ax.axhline(0, color=look.ink, lw=look.pt(0.4))
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(bottom=False)
    ticks = _ticks(*ax.get_ylim(), most=5)
    ax.set_yticks(ticks, [number(abs(tick)) for tick in ticks])
    ax.set_ylabel("coverage / mean" if normalize else "coverage (RPM)", size=look.normal)


def _draw_heat(ax: Axes, values: np.ndarray, edges: np.ndarray, strands: Any) -> None:
    """One row for a locus or some, the strongest on top; plus and minus are colours that mix."""
    rows = rows_of(values, edges)
    known = rows[rows > 0]
    middle, highest = (float(value) for value in np.percentile(known, (50, _SATURATED)))
    look = in_force()
    shares = np.minimum(np.log1p(rows / middle) / np.log1p(highest / middle), 1)
    image = mixed([(shares[:, strand], color) for strand, (_, color) in enumerate(strands)], look)
    extent = (float(edges[0]), float(edges[-1]), float(len(values)), 0.0)
    ax.imshow(image, aspect="auto", interpolation="nearest", extent=extent, gid="loci")
    ax.set_ylim(len(values), 0)
    ticks = [tick for tick in _ticks(0, len(values), most=4) if tick == round(tick)]
    ax.set_yticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    ax.set_ylabel("loci by signal", size=look.normal)
    _draw_ramps(ax, strands, highest)


def rows_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Loci by falling signal near the centre; of many, means of neighbours ``(n_rows, n_strands, n_bins)``."""
    near = (edges[1:] > -_CORE) & (edges[:-1] < _CORE)
    order = np.argsort(-values[..., near].sum(axis=(1, 2)), kind="stable")
    if len(order) <= _ROWS:
        return values[order]
    return np.stack([values[part].mean(axis=0) for part in np.array_split(order, _ROWS)])


def mixed(parts: Iterable[tuple[np.ndarray, str]], look: Theme) -> np.ndarray:
    """Paper where all shares are 0, to a colour where its own is 1 ``(…, 3)``: dyes, or on a dark ground lights."""
    ground = np.array(to_rgb(look.paper))
    kept = 1.0
    for share, color in parts:
        strength = np.array(to_rgb(color)) if look.dark else 1 - np.array(to_rgb(color))
        kept = kept * (1 - share[..., None] * strength)
    return np.asarray(1 - (1 - ground) * kept if look.dark else ground * kept)


def _draw_ramps(ax: Axes, strands: Any, highest: float) -> None:
    """Scale of each colour, to the right of the heat map."""
    look = in_force()
    width, height = size_of(ax)
    for place, (name, color) in enumerate(strands):
        ramp = ax.inset_axes((1 + (0.05 + place * (_RAMP + _RAMP_GAP)) / width, 0.5, _RAMP / width, 0.42))
        ramp.imshow(mixed([(np.linspace(1, 0, 32)[:, None], color)], look), aspect="auto")
        ramp.set(xticks=[], yticks=[], label=f"ramp:{name}")
        for spine in ramp.spines.values():
            spine.set_visible(True)
            spine.set_linewidth(look.pt(0.3))
    left = 1 + 0.05 / width
    ax.text(left, 0.5 + 0.42 + 0.03 / height, number(highest), transform=ax.transAxes, va="bottom")
    ax.text(left, 0.5 - 0.03 / height, "0", transform=ax.transAxes, va="top")
    ax.text(left, 0.5 - 0.15 / height, "RPM\n(log)", transform=ax.transAxes, va="top")


def _ticks(low: float, high: float, *, most: int) -> list[float]:
    """Round numbers within limits."""
    values = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(value) for value in values if low <= value <= high]


def _draw_axis(ax: Axes, edges: np.ndarray) -> None:
    """Distances from the centre."""
    far = max(abs(edges[0]), abs(edges[-1]))
    unit, size = ("kb", 1e3) if far >= 1_000 else ("bp", 1.0)
    width, _ = size_of(ax)
    most = max(int(width / (text_width("\N{MINUS SIGN}1,000") + 0.2)), 2)
    ticks = _ticks(-far, far, most=most)
    ax.set_xticks(ticks, [f"{tick / size:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks])
    ax.set_xlabel(f"distance from centre ({unit})", size=in_force().normal)
