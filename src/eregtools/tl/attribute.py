"""Attribute predictions to the bases that they were made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eregtools._keys import Layer, Modality, Varm
from eregtools._memory import require_memory
from eregtools._schema import check_layer_name, link_positions, listed, require_modality, validate
from eregtools._settings import settings as session
from eregtools.get._select import find_gene
from eregtools.models import zoo
from eregtools.tl._attribution_store import Attributions, store
from eregtools.tl._erna_windows import require_ernas
from eregtools.tl._explaining import Method, Request, Work, of_activity, of_expression
from eregtools.tl._explaining_loci import of_transcription
from eregtools.tl._explaining_pairs import of_interaction
from eregtools.tl._pair_runs import require_pairs
from eregtools.tl.expression import RunSettings, object_genome, pick_samples, require_genes

if TYPE_CHECKING:
    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome

_METHODS = ("deeplift", "ig", "ism", "saliency")
_TARGETS = {
    Modality.enhancers: ("activity", "expression"),
    Modality.genes: ("expression", "activity"),
    Modality.links: ("expression", "interaction"),
    Modality.ernas: ("transcription",),
}
"""What can be attributed to the bases of a modality's elements, the default first."""
_ATTRIBUTES: dict[str, Callable[[Request], Work]] = {
    "activity": of_activity,
    "expression": of_expression,
    "interaction": of_interaction,
    "transcription": of_transcription,
}
_REQUIRES: dict[str, Callable[[MuData], Any]] = {
    "activity": lambda mdata: validate(mdata, full=False),
    "expression": require_genes,
    "interaction": require_pairs,
    "transcription": require_ernas,
}
"""What each target needs of an object."""
_WITHOUT_DEEPLIFT = {"interaction": "position attention of EPIPAM", "transcription": "rotary attention of ERNAformer"}
"""Layers that DeepLIFT has no exact rule for, by target."""


def attribute(
    mdata: MuData,
    model: Any = None,
    *,
    modality: Literal["enhancers", "genes", "links", "ernas"] = "enhancers",
    names: str | Iterable[str] | None = None,
    method: Literal["deeplift", "ig", "ism", "saliency"] = "deeplift",
    target: Literal["activity", "expression", "interaction", "transcription"] | None = None,
    gene: str | None = None,
    assay: str = "RNA",
    window: Literal["center", "summit"] = "center",
    n_references: int = 20,
    hypothetical: bool = False,
    fold: int | str = "auto",
    genome: Genome | str | Path | None = None,
    coverage: Coverage | str | Path | None = None,
    sample: str | None = None,
    device: str | torch.device | None = None,
    rng: int | None = None,
    key_added: str | None = None,
    allow_cross_cell: bool = False,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | None:
    """Attribute predicted activity, expression, interaction or transcription to single bases.

    Parameters
    ----------
    mdata, genome, device, allow_cross_cell, allow_leakage, copy
        As in :func:`eregtools.tl.predict_expression`.
    model
        Models of the target: as in :func:`eregtools.tl.predict_activity`, :func:`eregtools.tl.predict_expression` (both
        ``None`` for published ones), :func:`eregtools.tl.predict_interactions` or :func:`eregtools.tl.predict_ernas`.
    modality
        Whose bases: of ``"enhancers"``, of the promoters of ``"genes"``, of the enhancers of ``"links"``, each with
        respect to the link's gene (and of their promoters, for interaction), or of the loci of ``"ernas"``.
    names
        Elements to attribute; genes by id or name. ``None``: all that belong to the biosample; all genes and loci.
    method
        ``"deeplift"``: DeepLIFT (rescale rule) against dinucleotide shuffles of the sequence, mean over these.
        ``"ig"``: integrated gradients from a sequence in which every base is equally likely; 200 steps, more where
        they do not add up. ``"ism"``: in-silico saturation mutagenesis; the prediction minus its mean over the four
        bases at the position. ``"saliency"``: gradient at the base minus its mean over the four bases, which is the
        linear approximation of ``"ism"``. ``"deeplift"`` does not go with interaction and transcription, and of models
        that read words of bases there is ``"ism"`` alone.
    target
        ``"activity"``: of the 256 bp around the centre (or TSS), by EPInformer-seq. ``"expression"``: of the gene, by
        EPInformer; the sequence of one slot is attributed, all others and every feature are fixed. ``"interaction"``:
        log odds that enhancer and promoter interact, by EPIPAM. ``"transcription"``: log odds that a locus is
        transcribed, by ERNAformer, mean over both strands; coverage is fixed. ``None``: activity for enhancers,
        transcription for loci, interaction for links where the model is an EPIPAM, else expression.
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
    coverage
        For ``modality="ernas"``: as in :func:`eregtools.tl.predict_ernas`.
    sample
        The biosample; needed where there are several.
    rng
        Seed of the shuffles; ``None``: ``settings.seed``. A shuffle depends on it and on the element's name alone.
    key_added
        Where to store; ``None``: the target (of expression the assay) and the method, as in ``"activity_deeplift"``.

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
        references). Of interaction the sum is over both windows.
    ``mdata["links"].varm["interaction_ig_promoter"]``
        For interaction: the same of the promoters, ``(n_links, promoter window)``, with
        ``varm["interaction_ig_promoter_hypothetical"]`` and ``var["interaction_ig_promoter_start"]``. What reads
        attributions (:func:`eregtools.pl.logo`, :func:`eregtools.tl.motifs`) takes either key.
    ``mdata.uns["eregtools"]["results"]``
        Which weights made it, and how.

    Raises
    ------
    KeyError, ValueError, FileNotFoundError
        As :func:`eregtools.tl.predict_expression`, or what else predicts the target; arguments that do not go together;
        a method that the model cannot support; unknown names.
    MemoryError
        The result would take more than ``settings.largest_result``, or than there is memory.
    ImportError
        ``"deeplift"`` without tangermeme.

    Notes
    -----
    DeepLIFT: Shrikumar, Greenside and Kundaje 2017, by tangermeme. Integrated gradients: Sundararajan, Taly and Yan
    2017, by captum. The mean over bases is taken off gradients after Majdandzic et al. 2023. Mutagenesis is exact. Of
    EPInformer it computes only the 53 bp that a substitution reaches; of EPIPAM and ERNAformer it runs the network
    anew for each of the three substitutions of a base, so that few elements, or a GPU, are in place.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=200)
    >>> names = mdata["enhancers"].var_names[:2]
    >>> er.tl.attribute(mdata, "EPInformer-seq-small-simulated", names=names, n_references=5)
    >>> residual = mdata["enhancers"].var["activity_deeplift_residual"].dropna()
    >>> len(residual), bool((residual < 0.05).all())
    (2, True)

    Of the predicted expression of a gene, to its promoter and to one of its enhancers:

    >>> weights = "EPInformer-small-simulated"
    >>> er.tl.attribute(mdata, weights, modality="genes", names="sim1", method="saliency")
    >>> link = mdata["links"].var_names[0]
    >>> er.tl.attribute(mdata, weights, modality="links", names=link, method="saliency")
    >>> "RNA_saliency" in mdata["genes"].varm, "RNA_saliency" in mdata["links"].varm
    (True, True)
    """
    mdata = mdata.copy() if copy else mdata
    what = _checked_target(model, modality, target, method)
    _check_options(what, modality, gene, n_references, window, coverage)
    _REQUIRES[what](mdata)
    elements = require_modality(mdata, modality)
    key = key_added or Varm.attributions(assay if what == "expression" else what, method)
    check_layer_name(key, "key_added")
    biosample = _one_sample(mdata, sample)
    rows = _rows(mdata, modality, names, gene, biosample)
    how = Method(method, n_references, session.seed if rng is None else rng)
    settings = RunSettings(assay, fold, genome, device, None, allow_cross_cell, allow_leakage)
    request = Request(
        mdata, model, modality, rows, biosample, object_genome(mdata, genome), settings, how, window, gene, coverage
    )
    work = _ATTRIBUTES[what](request)
    size = elements.n_vars * work.width * np.dtype(np.float16).itemsize
    require_memory(
        size * (5 if hypothetical else 1),
        f"attributions of {elements.n_vars:,} {modality} in windows of {work.width:,} bp",
        "attribute a part of the object (er.pp.subset)",
    )
    found = Attributions.empty(elements.n_vars, work.width, hypothetical)
    for explained in work.explained:
        found.put(explained)
    found.report(rows, modality)
    about = {"method": method, "target": what, "n_references": n_references, "seed": how.seed, "gene": gene or ""}
    store(mdata, modality, key, found, work, about)
    return mdata if copy else None


def _checked_target(model: Any, modality: str, target: str | None, method: str) -> str:
    """Find what is attributed, and check that the network supports the method."""
    if modality not in _TARGETS:
        raise ValueError(f"modality is {modality!r}; expected {', '.join(_TARGETS)}")
    if method not in _METHODS:
        raise ValueError(f"method is {method!r}; expected {', '.join(_METHODS)}")
    if target is None:
        pairs = modality == Modality.links and _is_epipam(model)
        target = "interaction" if pairs else _TARGETS[modality][0]
    if target not in _TARGETS[modality]:
        raise ValueError(
            f"target {target!r} cannot be attributed to {modality}; expected {' or '.join(_TARGETS[modality])}"
        )
    if method == "deeplift" and target in _WITHOUT_DEEPLIFT:
        raise ValueError(
            f"method='deeplift' is not supported through the {_WITHOUT_DEEPLIFT[target]}; choose method='ig', 'ism' or "
            "'saliency'"
        )
    return target


def _is_epipam(model: Any) -> bool:
    """Whether a ``model`` argument stands for EPIPAM; all that it holds are of one class."""
    from eregtools.models.epipam import EPIPAM

    while isinstance(model, Mapping | list | tuple) and len(model):
        model = next(iter(model.values() if isinstance(model, Mapping) else model))
    if isinstance(model, str | Path):
        found = zoo.locate(model)
        if isinstance(found, tuple):
            return False  # of EPIPAM none are published
        model = zoo.load(next(iter(zoo.fold_folders(found).values()), found))
    return isinstance(model, EPIPAM)


def _check_options(what: str, modality: str, gene: str | None, n_references: int, window: str, coverage: Any) -> None:
    """Refuse arguments that go with another target."""
    of_gene = modality == Modality.enhancers and what == "expression"
    if of_gene and gene is None:
        raise ValueError("whose expression is attributed to the enhancers? pass gene=, or modality='links' for all")
    if gene is not None and not of_gene:
        raise ValueError("gene= goes with modality='enhancers', target='expression'; else choose genes with names=")
    if n_references < 1:
        raise ValueError(f"n_references is {n_references}; expected at least 1")
    if what != "activity" and window != "center":
        raise ValueError(
            f"window={window!r} goes with target='activity'; other models read an element around its centre"
        )
    if what != "transcription" and coverage is not None:
        raise ValueError("coverage= goes with modality='ernas', the models of which read it")


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
        if modality in (Modality.genes, Modality.ernas):
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
