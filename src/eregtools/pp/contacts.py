"""Contact frequency of each link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from mudata import MuData

from eregtools._keys import Layer, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import entry, put_layer, require_modality, require_real
from eregtools.pp.align import sample_rows


def add_contacts(
    mdata: MuData,
    contacts: Mapping[str, npt.ArrayLike | pd.Series] | None = None,
    *,
    fallback: Literal["powerlaw"] | None = "powerlaw",
    gamma: float = 1.024238616787792,
    scale: float = 5.9594510043736655,
    min_distance: float = 5_000,
    copy: bool = False,
) -> MuData | None:
    r"""Add the contact frequency of each link: measured, or by a power law of the distance.

    Parameters
    ----------
    mdata
        The object, with links.
    contacts
        ``{sample: values}``: a Series by link name, or an array ``(n_links,)`` in the order of the links; NaN
        where nothing was measured. ``None``: the power law everywhere.
    fallback
        ``"powerlaw"`` fills what was not measured; ``None`` leaves NaN.
    gamma, scale, min_distance
        contact = exp(scale − gamma · log(max(\|distance\|, min_distance) + 1)), distances in bp.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["links"].layers["contact"]``
        Contact frequency, float32 ``(n_samples, n_links)``.
    ``mdata.uns["eregtools"]["contacts"]``
        fallback, gamma, scale, min_distance, and how many links of each biosample were measured.

    Raises
    ------
    KeyError
        There are no links, or a biosample is not in the object.
    TypeError
        Contacts that are neither None nor arrays or Series by biosample.
    ValueError
        Wrong length, negative or infinite values; parameters that are not positive; a view.

    Notes
    -----
    The power law and its constants are those of the Activity-by-Contact model (Nasser et al. 2021), fitted on
    the average of ten human Hi-C maps; it is not known below 5 kb, which is where it is cut.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.pp.example.three_genes()
    >>> er.pp.link(mdata)
    >>> er.pp.add_contacts(mdata)
    >>> round(float(mdata["links"].layers["contact"][0, 0]), 4)
    0.063
    """
    require_real(mdata)
    links = require_modality(mdata, Modality.links, "er.pp.link")
    if fallback not in ("powerlaw", None):
        raise ValueError(f"fallback={fallback!r}: expected 'powerlaw' or None")
    if not (gamma > 0 and min_distance >= 0 and np.isfinite(scale)):
        raise ValueError(f"gamma={gamma}, min_distance={min_distance}, scale={scale}: expected positive numbers")
    measured = _measured(mdata, links, contacts)
    filled = measured
    if fallback == "powerlaw":
        law = powerlaw_contact(links.var[Var.distance].to_numpy(), gamma=gamma, scale=scale, min_distance=min_distance)
        filled = np.where(np.isnan(measured), law, measured)
    counts = pd.DataFrame({"measured": (~np.isnan(measured)).sum(axis=1)}, index=mdata.obs_names.copy())
    logger.info("contacts of %d of %d links were measured", counts["measured"].sum(), measured.size)

    mdata = mdata.copy() if copy else mdata
    put_layer(mdata, Modality.links, Layer.contact, filled)
    entry(mdata)[Uns.contacts] = {
        "fallback": fallback or "none",
        "gamma": float(gamma),
        "scale": float(scale),
        "min_distance": float(min_distance),
        "counts": counts,
    }
    return mdata if copy else None


def powerlaw_contact(distance: np.ndarray, *, gamma: float, scale: float, min_distance: float) -> np.ndarray:
    """Contact frequency expected at each distance (bp), float64."""
    reached = np.maximum(np.abs(distance.astype(np.float64)), min_distance)
    return np.exp(scale - gamma * np.log(reached + 1))


def _measured(mdata: MuData, links: AnnData, contacts: Mapping[str, npt.ArrayLike | pd.Series] | None) -> np.ndarray:
    measured = np.full(links.shape, np.nan)
    if contacts is None:
        return measured
    if not isinstance(contacts, Mapping):
        raise TypeError(
            f"contacts is a {type(contacts).__name__}; expected None or {{sample: array or Series by link}}"
        )
    rows = sample_rows(mdata, contacts, "contacts")
    for row, (sample, given) in zip(rows, contacts.items(), strict=True):
        measured[row] = _of_sample(given, links, sample)
    return measured


def _of_sample(given: npt.ArrayLike | pd.Series, links: AnnData, sample: str) -> np.ndarray:
    if not isinstance(given, pd.Series | np.ndarray | list):
        raise TypeError(f"contacts of {sample}: got a {type(given).__name__}, expected an array or a Series")
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
