"""Activity-by-Contact scores of links."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from eregtools._keys import ElementClass, Layer, Modality, Var
from eregtools._logging import logger
from eregtools._schema import link_positions, put_layer, require_layer, require_modality, require_real, validate
from eregtools.tl._models import record_result
from eregtools.tl.expression import pick_samples

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray


def abc(
    mdata: MuData,
    *,
    activity: str = Layer.activity,
    contact: str = Layer.contact,
    threshold: float | None = None,
    tss_window: int = 500,
    sample: str | Iterable[str] | None = None,
    key_added: str = Layer.abc,
    copy: bool = False,
) -> MuData | None:
    """Score each link by Activity-by-Contact: the share of the element in activity × contact of the gene.

    The sum runs over the gene's links in the biosample, the gene's own promoter among them. An element that is a
    promoter and overlaps ``[tss - tss_window, tss + tss_window)`` of the gene is its self-promoter and scores 1.

    Parameters
    ----------
    mdata
        The object, with links, activity and contacts.
    activity
        Layer of the elements.
    contact
        Layer of the links.
    threshold
        Say too which links are predicted: those of elements that are no promoters with at least this score, and
        all self-promoters. The pipeline's threshold depends on assays and contacts: 0.027 for DNase, H3K27ac and
        a deep Hi-C map, 0.017 for DNase, H3K27ac and the power law, 0.013 for ATAC and the power law.
    tss_window
        Half width of the window around the TSS in bp.
    sample
        Biosamples to score; all by default.
    key_added
        Layer to write.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["links"].layers["abc"]``
        Score ``(n_samples, n_links)``, float32, also ``X``; 0 where all of a gene's elements have activity 0; NaN
        for links that are not the biosample's, or whose activity or contact is not known.
    ``mdata["links"].layers["abc_numerator"]``
        activity × contact, float32.
    ``mdata["links"].layers["abc_predicted"]``
        1 where the link is predicted, otherwise 0, float32; only with ``threshold``.
    ``mdata["links"].var["self_promoter"]``
        Whether the element is the promoter of the gene, bool; the same for all biosamples.
    ``mdata.uns["eregtools"]["results"]``
        What it was made from.

    Raises
    ------
    KeyError
        There are no links, activity or contacts, an unknown biosample, or, with ``threshold``, no classes.
    ValueError
        ``threshold`` or ``tss_window`` is not positive; a view.

    Notes
    -----
    Fulco et al. 2019 and Nasser et al. 2021. The score depends on which links there are; those of the pipeline are
    ``er.pp.link(mdata, max_distance=5_000_000, min_distance=0, inclusive="left")``. Elements without a class
    (``er.pp.classify``) are promoters of the genes whose window they overlap.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.add_signal(mdata, {"K562": [1.0, 2, 3, 4]}, assay="DNase")
    >>> er.pp.activity(mdata, assays=["DNase"])
    >>> er.pp.link(mdata)
    >>> er.pp.add_contacts(mdata)
    >>> er.tl.abc(mdata)
    >>> er.get.links(mdata, layers="abc", gene="g1")["abc"].astype(float).round(2).tolist()
    [0.21, 0.42, 0.37]
    """
    require_real(mdata)
    if threshold is not None and not threshold > 0:
        raise ValueError(f"threshold={threshold}: expected a score above 0")
    if tss_window < 1:
        raise ValueError(f"tss_window={tss_window}: expected at least 1 bp on either side of the TSS")
    mdata = mdata.copy() if copy else mdata
    validate(mdata, full=False)
    enhancers = require_modality(mdata, Modality.enhancers)
    links = require_modality(mdata, Modality.links)
    samples = pick_samples(mdata, sample)
    rows = [mdata.obs_names.get_loc(name) for name in samples]
    gene, enhancer = link_positions(mdata)
    amount = require_layer(enhancers, activity, "er.pp.activity")
    frequency = require_layer(links, contact, "er.pp.add_contacts")
    candidate = require_layer(links, Layer.candidate, "er.pp.link") > 0
    promoter = _promoters(mdata, required=threshold is not None)
    own = _overlaps_tss(mdata, gene, enhancer, tss_window)
    own = own if promoter is None else own & promoter[enhancer]

    numerator, score = _earlier(mdata, Layer.numerator(key_added)), _earlier(mdata, key_added)
    for row in rows:
        product = amount[row, enhancer].astype(np.float64) * frequency[row]
        product[~candidate[row]] = np.nan
        if unknown := int((np.isnan(product) & candidate[row]).sum()):
            logger.warning(
                "%s: activity or contact of %d of %d links is not known; they are left out of the sums",
                mdata.obs_names[row],
                unknown,
                candidate[row].sum(),
            )
        numerator[row] = product
        score[row] = abc_score(product, gene, own)
    put_layer(mdata, Modality.links, Layer.numerator(key_added), numerator)
    put_layer(mdata, Modality.links, key_added, score, as_x=True)
    links.var[Var.self_promoter] = own
    if threshold is not None and promoter is not None:
        predicted = _earlier(mdata, Layer.predicted(key_added))
        distal = ~promoter[enhancer]
        for row in rows:  # on float64: rounding to float32 must not move a link over the threshold
            passes = np.nan_to_num(score[row]) >= threshold
            predicted[row] = (passes & distal) | (own & ~np.isnan(score[row]))
        put_layer(mdata, Modality.links, Layer.predicted(key_added), predicted)
    record_result(
        mdata,
        f"{Modality.links}:{key_added}",
        [
            {
                "sample": name,
                "activity": activity,
                "contact": contact,
                "threshold": np.nan if threshold is None else float(threshold),
                "tss_window": int(tss_window),
            }
            for name in samples
        ],
        samples,
    )
    return mdata if copy else None


def abc_score(
    numerator: NDArray[np.float64], gene: NDArray[np.int64], self_promoter: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share of each link in the sum over its gene, 1 for self-promoters.

    Parameters
    ----------
    numerator
        activity × contact ``(n_links,)``; NaN for links that do not count, which stay NaN.
    gene
        Number of the gene of each link ``(n_links,)``.
    self_promoter
        Which links join a gene with its own promoter, bool ``(n_links,)``.

    Examples
    --------
    >>> abc_score(np.array([1.0, 3, np.nan, 2]), np.array([0, 0, 0, 1]), np.zeros(4, bool))
    array([0.25, 0.75,  nan, 1.  ])
    """
    total = np.bincount(gene, weights=np.nan_to_num(numerator))[gene]
    score = np.divide(numerator, total, out=np.where(np.isnan(numerator), np.nan, 0.0), where=total > 0)
    score[self_promoter & ~np.isnan(numerator)] = 1
    return score


def _promoters(mdata: MuData, *, required: bool) -> NDArray[np.bool_] | None:
    """Which elements are promoters by their class, bool ``(n_elements,)``; None where they have no class."""
    var = mdata.mod[Modality.enhancers].var
    if Var.element_class in var:
        classes: NDArray[np.bool_] = var[Var.element_class].astype(object).to_numpy() == ElementClass.promoter
        return classes
    if required:
        raise KeyError(
            "threshold needs the classes of the elements, because promoters of other genes are not predicted; run "
            "er.pp.classify first"
        )
    return None


def _overlaps_tss(
    mdata: MuData, gene: NDArray[np.int64], enhancer: NDArray[np.int64], window: int
) -> NDArray[np.bool_]:
    tss = mdata.mod[Modality.genes].var[Var.tss].to_numpy()[gene]
    elements = mdata.mod[Modality.enhancers].var
    start, end = (elements[name].to_numpy()[enhancer] for name in (Var.start, Var.end))
    overlap: NDArray[np.bool_] = (start < tss + window) & (end > tss - window)
    return overlap


def _earlier(mdata: MuData, layer: str) -> NDArray[np.float64]:
    """Values of an earlier call, which biosamples that are not scored keep; NaN where there are none."""
    links = mdata.mod[Modality.links]
    if layer in links.layers:
        return np.array(links.layers[layer], dtype=np.float64)
    return np.full(links.shape, np.nan)
