"""Contact frequency of each link."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import UNS, Layer, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import entry, link_positions, put_layer, require_modality, require_real
from eregtools.io.contacts import ContactBand, read_contacts
from eregtools.pp.align import sample_rows

Unit = Literal["frequency", "file"]
Contacts: TypeAlias = str | Path | npt.ArrayLike | pd.Series

GAMMA, SCALE = 1.024238616787792, 5.9594510043736655
"""Power law of the average human Hi-C map."""

REFERENCE_GAMMA = 0.87
"""Exponent of the map to which ABC brings all others."""

PSEUDOCOUNT_DISTANCE = 5_000

_LIKE_LAW = ("frequency", "as given", "none")


@dataclass(frozen=True)
class _Measured:
    """Contacts of one biosample ``(n_links,)``, NaN where there are none, and where they are from."""

    values: np.ndarray
    source: str
    unit: str
    normalization: str = "none"
    resolution: int = 0


def add_contacts(
    mdata: MuData,
    contacts: Contacts | Mapping[str, Contacts] | None = None,
    *,
    resolution: int = 5_000,
    normalization: str = "auto",
    unit: Unit = "frequency",
    fallback: Literal["powerlaw"] | None = "powerlaw",
    gamma: float = GAMMA,
    scale: float = SCALE,
    min_distance: float = 5_000,
    scale_by_powerlaw: bool = False,
    pseudocount: bool = False,
    copy: bool = False,
) -> MuData | None:
    r"""Add the contact frequency of each link: measured, or by a power law of the distance.

    Parameters
    ----------
    mdata
        The object, with links.
    contacts
        A .hic, .cool or .mcool file; a Series by link name; or an array ``(n_links,)`` in the order of the links,
        NaN where nothing was measured. One for all biosamples, or ``{sample: one of these}``. ``None``: the power
        law everywhere.
    resolution
        Bases of a bin of the files.
    normalization
        Normalisation of the files, as they call it; ``"auto"``: the first of SCALE, KR, weight, ICE, VC_SQRT, VC
        and NONE that has values (on most chromosomes, for all of them).
    unit
        What files' contacts are brought to. ``"frequency"``, in which the power law is too: divided by the mean
        row sum of the chromosome, so that rows sum to 1 on average, and the diagonal, where ligation of a fragment
        with itself counts, replaced by the greater of its two neighbours. ``"file"``: as they are, which needs
        ``fallback=None``. Arrays and Series are taken to be frequencies.
    fallback
        ``"powerlaw"`` fills what was not measured; ``None`` leaves NaN.
    gamma, scale, min_distance
        power law = exp(scale − gamma · log(max(\|distance\|, min_distance) + 1)), distances in bp.
    scale_by_powerlaw
        Bring maps of different decay to one: multiply by the power law of exponent 0.87 over that of ``gamma``.
    pseudocount
        Then add the power law of ``gamma`` at the distance, at most that at 5,000 bp.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["links"].layers["contact"]``
        Contact frequency, float32 ``(n_samples, n_links)``.
    ``mdata.uns["eregtools"]["contacts"]``
        fallback, gamma, scale, min_distance, scale_by_powerlaw, pseudocount, and ``counts``: a row for each
        biosample with the links measured, the source, and the unit, normalization and resolution of a file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ImportError
        The library that reads the file is not installed.
    KeyError
        There are no links, or a biosample is not in the object.
    TypeError
        Contacts of another kind.
    ValueError
        Wrong length, negative or infinite values; a file that is damaged, of another assembly, without the
        resolution or normalisation, or without contacts on any chromosome of the links; parameters that are not
        positive; a view.

    Notes
    -----
    The power law and its constants are those of the Activity-by-Contact model (Nasser et al. 2021), fitted on
    the average of ten human Hi-C maps; it is not known below 5 kb, which is where it is cut. With
    ``scale_by_powerlaw`` and ``pseudocount`` the layer is ABC's ``hic_contact_pl_scaled_adj``, without them its
    ``hic_contact``. For the mean row sum whole chromosomes are read, one at a time.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> er.pp.add_contacts(mdata)
    >>> round(float(mdata["links"].layers["contact"][0, 0]), 4)
    0.063
    """
    require_real(mdata)
    links = require_modality(mdata, Modality.links)
    _check_options(fallback, unit, gamma, scale, min_distance)
    measured = _measured(mdata, links, contacts, resolution, normalization, unit)
    values = np.stack([of_sample.values for of_sample in measured])
    known = ~np.isnan(values)
    if unit == "file" and fallback is not None and not known.all() and any(m.unit not in _LIKE_LAW for m in measured):
        raise ValueError(
            "unit='file' and fallback='powerlaw' would mix two units in one layer; give unit='frequency' or "
            "fallback=None"
        )
    distance = links.var[Var.distance].to_numpy()
    if fallback == "powerlaw":
        law = powerlaw_contact(distance, gamma=gamma, scale=scale, min_distance=min_distance)
        values = np.where(known, values, law)
    values = scaled_contact(
        values,
        distance,
        gamma=gamma,
        scale=scale,
        min_distance=min_distance,
        scale_by_powerlaw=scale_by_powerlaw,
        pseudocount=pseudocount,
    )
    counts = pd.DataFrame(
        {
            "measured": known.sum(axis=1),
            "source": [m.source for m in measured],
            "unit": [m.unit for m in measured],
            "normalization": [m.normalization for m in measured],
            "resolution": [m.resolution for m in measured],
        },
        index=mdata.obs_names.copy(),
    )
    logger.info("contacts of %d of %d links were measured", counts["measured"].sum(), known.size)

    mdata = mdata.copy() if copy else mdata
    put_layer(mdata, Modality.links, Layer.contact, values)
    entry(mdata)[Uns.contacts] = {
        "fallback": fallback or "none",
        "gamma": float(gamma),
        "scale": float(scale),
        "min_distance": float(min_distance),
        "scale_by_powerlaw": bool(scale_by_powerlaw),
        "pseudocount": bool(pseudocount),
        "counts": counts,
    }
    return mdata if copy else None


def powerlaw_contact(distance: np.ndarray, *, gamma: float, scale: float, min_distance: float) -> np.ndarray:
    """Contact frequency expected at each distance (bp), float64."""
    reached = np.maximum(np.abs(distance.astype(np.float64)), min_distance)
    return np.exp(scale - gamma * np.log(reached + 1))


def scaled_contact(
    contact: np.ndarray,
    distance: np.ndarray,
    *,
    gamma: float = GAMMA,
    scale: float = SCALE,
    min_distance: float = 5_000,
    scale_by_powerlaw: bool = True,
    pseudocount: bool = True,
) -> np.ndarray:
    """Contacts as ABC scales them: ``hic_contact`` to ``hic_contact_pl_scaled_adj``.

    Parameters
    ----------
    contact
        Contact frequencies ``(…, n_links)``; NaN stays NaN.
    distance
        Distances in bp ``(n_links,)``; their sign does not matter.
    gamma, scale, min_distance
        Power law of the map.
    scale_by_powerlaw
        Multiply by the power law of exponent 0.87 over that of the map. The scale of the former follows from the
        line that ABC fitted over maps, −4.80 + 11.63 · exponent.
    pseudocount
        Add the power law of the map at the distance, at most that at 5,000 bp.

    Returns
    -------
    float64 array of the shape of ``contact``.

    Examples
    --------
    >>> round(float(scaled_contact(np.array([0.112687]), np.array([6_399.0]))[0]), 5)
    0.27824
    """
    law = powerlaw_contact(distance, gamma=gamma, scale=scale, min_distance=min_distance)
    scaled = np.asarray(contact, dtype=np.float64)
    if scale_by_powerlaw:
        intercept = -4.80 + 11.63 * REFERENCE_GAMMA
        scaled = scaled * powerlaw_contact(distance, gamma=REFERENCE_GAMMA, scale=intercept, min_distance=min_distance)
        scaled = scaled / law
    if pseudocount:
        near = powerlaw_contact(np.array(PSEUDOCOUNT_DISTANCE), gamma=gamma, scale=scale, min_distance=min_distance)
        scaled = scaled + np.minimum(law, near)
    return scaled


def _check_options(fallback: str | None, unit: str, gamma: float, scale: float, min_distance: float) -> None:
    if fallback not in ("powerlaw", None):
        raise ValueError(f"fallback={fallback!r}: expected 'powerlaw' or None")
    if unit not in ("frequency", "file"):
        raise ValueError(f"unit={unit!r}: expected 'frequency' or 'file'")
    if not (gamma > 0 and min_distance >= 0 and np.isfinite(scale)):
        raise ValueError(f"gamma={gamma}, min_distance={min_distance}, scale={scale}: expected positive numbers")


def _measured(
    mdata: MuData, links: AnnData, contacts: Any, resolution: int, normalization: str, unit: Unit
) -> list[_Measured]:
    """Contacts of each biosample in the order of the object; each file is read once."""
    of_samples = contacts
    if not isinstance(contacts, Mapping):
        of_samples = {} if contacts is None else dict.fromkeys(mdata.obs_names, contacts)
    rows = sample_rows(mdata, of_samples, "contacts")
    measured = [_Measured(np.full(links.n_vars, np.nan), "none", "none")] * mdata.n_obs
    files: dict[str, _Measured] = {}
    for row, (sample, given) in zip(rows, of_samples.items(), strict=True):
        if isinstance(given, str | Path):
            if str(given) not in files:
                files[str(given)] = _of_file(given, mdata, resolution, normalization, unit)
            measured[row] = files[str(given)]
        else:
            measured[row] = _Measured(_of_sample(given, links, str(sample)), "values", "as given")
    return measured


def _of_sample(given: Any, links: AnnData, sample: str) -> np.ndarray:
    if not isinstance(given, pd.Series | np.ndarray | list):
        raise TypeError(
            f"contacts of {sample}: got a {type(given).__name__}; expected a .hic, .cool or .mcool file, an array or "
            f"a Series by link"
        )
    if isinstance(given, pd.Series):
        given = given.reindex(links.var_names)
    values = np.asarray(given, dtype=np.float64)
    if values.shape != (links.n_vars,):
        raise ValueError(f"contacts of {sample}: values of shape {values.shape} for {links.n_vars} links")
    wrong = (values < 0) | np.isinf(values)
    if wrong.any():
        where = links.var_names[wrong][0]
        raise ValueError(f"contacts of {sample}: {wrong.sum()} value(s) are negative or infinite, first at {where}")
    return values


# ---------------------------------------------------------------------------------------------------------
# Files


def _of_file(path: str | Path, mdata: MuData, resolution: int, normalization: str, unit: Unit) -> _Measured:
    """Contacts of all links in a file, each chromosome read once."""
    gene, enhancer = link_positions(mdata)
    genes, enhancers = mdata.mod[Modality.genes].var, mdata.mod[Modality.enhancers].var
    chromosome = genes[Var.chromosome].astype(object).to_numpy()[gene]
    tss = genes[Var.tss].to_numpy()[gene]
    midpoint = ((enhancers[Var.start] + enhancers[Var.end]) // 2).to_numpy()[enhancer]
    reach = None if unit == "frequency" or not len(gene) else int(np.abs(tss - midpoint).max()) + resolution

    values = np.full(len(gene), np.nan)
    used: dict[str, str] = {}
    units: set[str] = set()
    unmeasured: dict[str, str] = {}

    def fill(names: list[str], with_normalization: str) -> None:
        for name in names:
            used.pop(name, None)
            rows = np.flatnonzero(chromosome == name)
            values[rows] = np.nan
            band = _band(path, name, resolution, reach, with_normalization, sizes)
            if isinstance(band, str):
                unmeasured[name] = band
                continue
            used[name] = band.normalization
            units.add(band.unit)
            at = frequency if unit == "frequency" else ContactBand.at
            values[rows] = at(band, tss[rows], midpoint[rows])

    table = mdata.uns.get(UNS, {}).get(Uns.chrom_sizes)
    sizes = None if table is None else {str(name): int(length) for name, length in table["length"].items()}
    fill(list(dict.fromkeys(chromosome)), normalization)
    if not used and unmeasured:
        raise ValueError(
            f"{path} has no contacts of the links: {'; '.join(list(unmeasured.values())[:3])}. "
            f"Is it of another assembly?"
        )
    if len(set(used.values())) > 1:  # one for all, so that genes can be compared
        most = Counter(used.values()).most_common(1)[0][0]
        logger.warning("%s: %s has values on most chromosomes and is used for all of them", path, most)
        fill([name for name, one in used.items() if one != most], most)
    for reason in unmeasured.values():
        logger.warning("%s; its links count as not measured", reason)
    return _Measured(
        values,
        source=Path(str(path)).name,
        unit="frequency" if unit == "frequency" else ", ".join(sorted(units)) or "none",
        normalization=next(iter(used.values()), "none"),
        resolution=int(resolution),
    )


def _band(
    path: str | Path, name: str, resolution: int, reach: int | None, normalization: str, sizes: dict[str, int] | None
) -> ContactBand | str:
    """Contacts of a chromosome, or why the file has none."""
    try:
        return read_contacts(
            path,
            chromosome=name,
            resolution=resolution,
            max_distance=reach,
            normalization=normalization,
            chrom_sizes=sizes,
        )
    except KeyError as error:
        return str(error.args[0]).rstrip(".")
    except ValueError as error:
        reason = str(error)
        if "has no contact on" not in reason and "has no value on" not in reason:
            raise
        return reason.rstrip(".")


def frequency(band: ContactBand, position_a: npt.ArrayLike, position_b: npt.ArrayLike) -> np.ndarray:
    """Contacts of pairs of positions in a map whose rows sum to 1 on average, float64 ``(n,)``.

    Parameters
    ----------
    band
        The whole chromosome.
    position_a, position_b
        0-based positions.

    Returns
    -------
    Contact over the mean sum of the rows that have any; within a bin the greater contact of the bin with its two
    neighbours, because ligation of a fragment with itself fills the diagonal. NaN where a bin is missing.
    """
    a, b = (np.asarray(p, dtype=np.int64) for p in (position_a, position_b))
    values = band.at(a, b)
    bins = a // band.resolution
    same = np.flatnonzero((bins == b // band.resolution) & ~np.isnan(values))
    neighbours = np.full((2, len(same)), np.nan)
    for row, step in enumerate((-1, 1)):
        there = (bins[same] + step >= 0) & (bins[same] + step < band.n_bins)
        here = bins[same][there] * band.resolution
        neighbours[row, there] = band.at(here, here + step * band.resolution)
    values[same] = np.fmax(*neighbours)
    return values / mean_row_sum(band)


def mean_row_sum(band: ContactBand) -> float:
    """Mean over the rows of the whole symmetric matrix that have any contact."""
    upper = band.matrix.copy()
    upper.data = np.nan_to_num(upper.data)
    sums = upper.sum(axis=0) + upper.sum(axis=1) - upper.diagonal()
    return float(sums[sums > 0].mean())
