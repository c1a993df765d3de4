"""Attribute predictions to the bases that they were made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eregtools._keys import Layer, Modality, Var, Varm
from eregtools._logging import logger
from eregtools._memory import require_memory
from eregtools._schema import check_layer_name, link_positions, listed, require_modality, validate
from eregtools._settings import settings as session
from eregtools.get._select import find_gene
from eregtools.tl._explaining import Explained, Method, Request, of_activity, of_expression
from eregtools.tl._models import record_result
from eregtools.tl.expression import RunSettings, object_genome, pick_samples, require_genes

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from anndata import AnnData
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

_METHODS = ("deeplift", "ig", "ism", "saliency")
_TARGETS = {
    Modality.enhancers: ("activity", "expression"),
    Modality.genes: ("expression", "activity"),
    Modality.links: ("expression",),
}
"""What can be attributed to the bases of a modality's elements, the default first."""
_TOLERANCE = 0.01
"""Residual from which attributions are warned of."""


def attribute(
    mdata: MuData,
    model: Any = None,
    *,
    modality: Literal["enhancers", "genes", "links"] = "enhancers",
    names: str | Iterable[str] | None = None,
    method: Literal["deeplift", "ig", "ism", "saliency"] = "deeplift",
    target: Literal["activity", "expression"] | None = None,
    gene: str | None = None,
    assay: str = "RNA",
    window: Literal["center", "summit"] = "center",
    n_references: int = 20,
    hypothetical: bool = False,
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    sample: str | None = None,
    device: str | torch.device | None = None,
    rng: int | None = None,
    key_added: str | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Attribute predicted activity or expression to single bases.

    Parameters
    ----------
    mdata, genome, device, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_expression`.
    model
        Models of the target: ``None`` for published ones, else as in :func:`eregtools.tl.predict_activity` or
        :func:`eregtools.tl.predict_expression`.
    modality
        Whose bases: of ``"enhancers"``, of the promoters of ``"genes"``, or of the enhancers of ``"links"``, each
        with respect to the link's gene.
    names
        Elements to attribute; genes by id or name. ``None``: all that belong to the biosample.
    method
        ``"deeplift"``: DeepLIFT (rescale rule) against dinucleotide shuffles of the sequence, mean over these.
        ``"ig"``: integrated gradients from a sequence in which every base is equally likely; 200 steps, more where
        they do not add up. ``"ism"``: in-silico saturation mutagenesis; the prediction minus its mean over the four
        bases at the position. ``"saliency"``: gradient at the base minus its mean over the four bases, which is the
        linear approximation of ``"ism"``.
    target
        ``"activity"``: of the 256 bp around the centre (or TSS), by EPInformer-seq. ``"expression"``: of the gene, by
        EPInformer; the sequence of one slot is attributed, all others and every feature are fixed. ``None``: activity
        for enhancers, else expression.
    gene
        For ``modality="enhancers", target="expression"``: the gene, by id or name.
    assay
        What the models of expression predict.
    window
        Where 256-bp windows of enhancers are centred, as in :func:`eregtools.tl.predict_activity`.
    n_references
        Shuffles a sequence, for ``"deeplift"``.
    hypothetical
        Store, too, what each of the four bases would add at each position.
    fold
        As in :func:`eregtools.tl.predict_expression`, for the chromosomes of the elements or genes attributed.
    sample
        The biosample; needed where there are several.
    rng
        Seed of the shuffles; ``None``: ``settings.seed``. A shuffle depends on it and on the element's name alone.
    key_added
        Where to store; ``None``: the target's assay and the method, as in ``"activity_deeplift"``.

    Returns
    -------
    ``None``, or the new object. Sets the following fields, replacing what was under the key:

    ``mdata[modality].varm["activity_deeplift"]``
        Attribution to the base that is there, ``(n_elements, window)``, float16, genome strand; zero beyond the ends
        of an element that is shorter than its window, NaN for elements that were not attributed.
    ``mdata[modality].varm["activity_deeplift_hypothetical"]``
        With ``hypothetical``: to each base (A, C, G, T) at each position, ``(n_elements, 4, window)``, float16.
    ``mdata[modality].var["activity_deeplift_start"]``
        First position of the window, 0-based; negative where it begins before the chromosome.
    ``mdata[modality].var["activity_deeplift_residual"]``
        For ``"deeplift"`` and ``"ig"``: distance between the sum of the attributions and the difference between the
        predictions of sequence and reference, relative to the difference, or to 0.01 where that is larger (means over
        references).
    ``mdata.uns["eregtools"]["results"]``
        Which weights made it, and how.

    Raises
    ------
    KeyError, ValueError, FileNotFoundError
        As :func:`eregtools.tl.predict_expression`; arguments that do not go together; unknown names.
    MemoryError
        The result would take more than ``settings.largest_result``, or than there is memory.
    ImportError
        ``"deeplift"`` without tangermeme.

    Notes
    -----
    DeepLIFT: Shrikumar, Greenside and Kundaje 2017, by tangermeme. Integrated gradients: Sundararajan, Taly and Yan
    2017, by captum. The mean over bases is taken off gradients after Majdandzic et al. 2023. Mutagenesis is exact but
    computes only the 53 bp that a substitution reaches.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.io.read("k562.h5mu")  # doctest: +SKIP
    >>> er.tl.attribute(mdata, names=["chr1:1000-1500"], genome="hg38.fa")  # doctest: +SKIP
    >>> er.tl.attribute(mdata, modality="genes", names="MYC", assay="CAGE", genome="hg38.fa")  # doctest: +SKIP
    >>> mdata["genes"].varm["CAGE_deeplift"].shape  # doctest: +SKIP
    (18377, 2000)
    """
    mdata = mdata.copy() if copy else mdata
    what = _checked_target(modality, target, method, gene, n_references)
    if what == "expression" and window != "center":
        raise ValueError(
            f"window={window!r} goes with target='activity'; EPInformer reads an element around its centre"
        )
    if what == "expression":
        require_genes(mdata)
    else:
        validate(mdata, full=False)
    elements = require_modality(mdata, modality)
    key = key_added or Varm.attributions(assay if what == "expression" else Layer.activity, method)
    check_layer_name(key, "key_added")
    biosample = _one_sample(mdata, sample)
    rows = _rows(mdata, modality, names, gene, biosample)
    how = Method(method, n_references, session.seed if rng is None else rng)
    settings = RunSettings(assay, fold, genome, device, None, allow_cross_cell, allow_leakage)
    request = Request(
        mdata, model, modality, rows, biosample, object_genome(mdata, genome), settings, how, window, gene
    )
    work = of_activity(request) if what == "activity" else of_expression(request)
    size = elements.n_vars * work.width * np.dtype(np.float16).itemsize
    require_memory(
        size * (5 if hypothetical else 1),
        f"attributions of {elements.n_vars:,} {modality} in windows of {work.width:,} bp",
        "attribute a part of the object (er.pp.subset)",
    )
    store = _Store.empty(elements.n_vars, work.width, hypothetical)
    for explained in work.explained:
        store.put(explained)
    _report(store, rows, how, modality)
    about = {"method": method, "target": what, "n_references": n_references, "seed": how.seed, "gene": gene or ""}
    _keep(elements, key, store, work.starts, how)
    record_result(mdata, f"{modality}:{key}", [{**row, **about} for row in work.provenance], mdata.obs_names)
    return mdata if copy else None


def _checked_target(modality: str, target: str | None, method: str, gene: str | None, n_references: int) -> str:
    if modality not in _TARGETS:
        raise ValueError(f"modality is {modality!r}; expected {', '.join(_TARGETS)}")
    if method not in _METHODS:
        raise ValueError(f"method is {method!r}; expected {', '.join(_METHODS)}")
    target = target or _TARGETS[modality][0]
    if target not in _TARGETS[modality]:
        raise ValueError(
            f"target {target!r} cannot be attributed to {modality}; expected {' or '.join(_TARGETS[modality])}"
        )
    of_gene = modality == Modality.enhancers and target == "expression"
    if of_gene and gene is None:
        raise ValueError("whose expression is attributed to the enhancers? pass gene=, or modality='links' for all")
    if gene is not None and not of_gene:
        raise ValueError("gene= goes with modality='enhancers', target='expression'; else choose genes with names=")
    if n_references < 1:
        raise ValueError(f"n_references is {n_references}; expected at least 1")
    return target


def _one_sample(mdata: MuData, sample: str | None) -> str:
    samples = pick_samples(mdata, sample)
    if len(samples) > 1:
        raise ValueError(f"attributions are of one biosample; choose one of {listed(samples)} with sample=")
    return samples[0]


def _rows(
    mdata: MuData, modality: str, names: str | Iterable[str] | None, gene: str | None, sample: str
) -> NDArray[np.int64]:
    """Rows to attribute: those named, else those of the biosample (that are linked to the gene)."""
    elements = mdata[modality]
    if names is None:
        if modality == Modality.genes:
            return np.arange(elements.n_vars)
        row = mdata.obs_names.get_loc(sample)
        if gene is not None:
            gene_of, element_of = link_positions(mdata)
            own = np.asarray(mdata[Modality.links].layers[Layer.candidate])[row] > 0
            return np.unique(
                element_of[own & (gene_of == mdata[Modality.genes].var_names.get_loc(find_gene(mdata, gene)))]
            )
        return np.flatnonzero(np.asarray(elements.layers[Layer.candidate])[row] > 0)
    chosen = list(dict.fromkeys([names] if isinstance(names, str) else names))
    if not chosen:
        raise ValueError("names= is empty; name at least one element, or leave it out for all")
    if modality == Modality.genes:
        chosen = [find_gene(mdata, name) for name in chosen]
    rows = elements.var_names.get_indexer(chosen)
    if (rows < 0).any():
        missing = [name for name, row in zip(chosen, rows, strict=True) if row < 0]
        raise KeyError(
            f"{missing[0]!r}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''} not among the "
            f"{elements.n_vars:,} {modality} of the object; names look like {elements.var_names[0]!r}"
        )
    return np.asarray(rows, dtype=np.int64)


@dataclass
class _Store:
    """Attributions of all elements of a modality, NaN where there are none."""

    values: NDArray[np.float16]
    hypothetical: NDArray[np.float16] | None
    residual: NDArray[np.float32]

    @classmethod
    def empty(cls, n: int, width: int, hypothetical: bool) -> _Store:
        """NaN for all."""
        return cls(
            np.full((n, width), np.nan, dtype=np.float16),
            np.full((n, 4, width), np.nan, dtype=np.float16) if hypothetical else None,
            np.full(n, np.nan, dtype=np.float32),
        )

    def put(self, explained: Explained) -> None:
        """Fill in some rows; zero beyond the part of the window that was explained."""
        rows, part, explanation = explained
        self.values[rows] = 0
        self.values[rows, part] = explanation.observed
        if self.hypothetical is not None:
            self.hypothetical[rows] = 0
            self.hypothetical[rows, :, part] = explanation.hypothetical
        self.residual[rows] = explanation.residual


def _report(store: _Store, rows: NDArray[np.int64], how: Method, modality: str) -> None:
    made = np.isfinite(store.values[rows, 0])
    if lost := int((~made).sum()):
        logger.warning(
            "%d of %d %s are not attributed: no known base, no fold model, or no part in what is predicted",
            lost,
            len(rows),
            modality,
        )
    residual = store.residual[np.isfinite(store.residual)]
    if over := int((residual > _TOLERANCE).sum()):
        logger.warning(
            "%d of %d attributions do not add up to the difference of the predictions within 1 %% (largest residual "
            "%.2g); see var[…_residual]",
            over,
            len(residual),
            residual.max(),
        )


def _keep(elements: AnnData, key: str, store: _Store, starts: NDArray[np.int64], how: Method) -> None:
    elements.varm[key] = store.values
    elements.varm.pop(Varm.hypothetical(key), None)
    if store.hypothetical is not None:
        elements.varm[Varm.hypothetical(key)] = store.hypothetical
    elements.var[Var.window_start(key)] = starts
    if how.name in ("deeplift", "ig"):
        elements.var[Var.residual(key)] = store.residual
    elif Var.residual(key) in elements.var:
        del elements.var[Var.residual(key)]
