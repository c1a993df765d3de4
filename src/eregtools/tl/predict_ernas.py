"""Predict enhancer-RNA loci, and make the probabilities mean what they say."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eregtools._keys import Layer, Modality, Var
from eregtools._logging import logger, progress_bar
from eregtools._schema import check_layer_name, layer_to_fill, put_layer
from eregtools.datasets.simulate_erna import ErnaSimulation
from eregtools.tl._calibration import Calibration, Prior, calibration_error, fitted_temperature, log_loss
from eregtools.tl._erna_logits import locus_logits
from eregtools.tl._erna_windows import open_coverage, require_ernas
from eregtools.tl._models import assign_folds, biosample_of, model_set, record_result, result_row
from eregtools.tl.expression import object_genome, pick_samples

if TYPE_CHECKING:
    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models import ERNAformer

_ASSAY = "ernas"
_LOCI_AT_A_TIME = 2_048

Modalities = Literal["both", "sequence", "signal"]


def predict_ernas(
    mdata: MuData | ErnaSimulation,
    model: Any,
    *,
    modalities: Modalities = "both",
    prior: Prior = None,
    fold: int | str = "auto",
    sample: str | Iterable[str] | None = None,
    coverage: Coverage | str | Path | None = None,
    genome: Genome | str | Path | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
    key_added: str | None = None,
    allow_leakage: bool = False,
    copy: bool = False,
) -> MuData | NDArray[np.float64] | None:
    """Predict how likely each locus is transcribed as an enhancer RNA in each biosample.

    Both strands are predicted and averaged, so that a locus and its reverse complement have the same probability.

    Parameters
    ----------
    mdata
        Object with ``ernas`` and coverage (:func:`eregtools.pp.add_coverage`), or a simulation
        (:func:`eregtools.datasets.simulate_erna`).
    model
        A model, its folder, a list or {fold: model} of fold models, or {sample: any of these}. There are no published
        weights.
    modalities
        ``"both"``, or the one that is read: ``"sequence"`` or ``"signal"``.
    prior
        Share of loci that are transcribed where the model is used; ``"estimate"``: estimated from the predictions of
        each biosample; ``None``: the share in the training.
    fold
        ``"auto"``: each locus by the model that never saw its chromosome; a number: that one.
    sample
        Biosamples; ``None``: all.
    coverage
        Store of coverage, where it was moved; ``None``: that of the object.
    genome
        Genome, path or registered name; ``None``: the one named in the object.
    device
        ``None``: ``settings.device``.
    batch_size
        Loci computed together; of no consequence for the result.
    key_added
        Layer to write; ``None``: ``"probability"``.
    allow_leakage
        Let a numbered fold predict chromosomes that it was trained on; the result is marked.
    copy
        Return a new object.

    Returns
    -------
    ``None``, or the new object; of a simulation the probabilities ``(n,)``. Sets the following fields:

    ``mdata["ernas"].layers["probability"]``
        ``(n_samples, n_loci)``, float32; NaN where none was predicted (sequence all N, no fold model).
    ``mdata.uns["eregtools"]["results"]``
        Which weights made it.

    Raises
    ------
    KeyError
        The object lacks loci or coverage, or no fold model serves a chromosome.
    ValueError
        A model saw what it predicts; the store of coverage is another one; ``prior`` is no share.

    Notes
    -----
    The network is an independent implementation of the system described by Yu et al. (eRNAformer, bioRxiv 2026);
    weights trained on a simulation say nothing of a genome.

    Examples
    --------
    >>> import eregtools as er
    >>> simulation = er.datasets.simulate_erna("confounders", n=4)
    >>> model = er.models.ERNAformer(er.models.ERNAformerConfig.preset("small", seq_len=1024)).eval()
    >>> er.tl.predict_ernas(simulation, model, device="cpu").shape
    (8,)
    """
    from eregtools.models.device import pick_device

    computing = pick_device(device)
    if isinstance(mdata, ErnaSimulation):
        single = _one_model(model)
        logits = _simulation_logits(mdata, single, computing, modalities, batch_size)
        return Calibration.of(single.provenance).probabilities(logits, prior)
    mdata = mdata.copy() if copy else mdata
    ernas = require_ernas(mdata)
    key = key_added or Layer.probability
    check_layer_name(key, "key_added")
    samples = pick_samples(mdata, sample)
    store = open_coverage(mdata, coverage, samples)
    sequence = object_genome(mdata, genome)
    filled = mdata.obs_names.get_indexer(samples)
    values = layer_to_fill(ernas, key, filled)
    rows: list[dict[str, Any]] = []
    with progress_bar(len(samples) * ernas.n_vars, "Predicting loci", "loci") as bar:
        for row, name in zip(filled, samples, strict=True):
            models = model_set(
                model,
                sample=name,
                biosample=biosample_of(mdata, name),
                family=(),
                assay=_ASSAY,
                expected=_network_class(),
                allow_cross_cell=True,  # coverage says what a biosample transcribes, also one that was never seen
            )
            chosen, leaky = assign_folds(
                mdata, models, ernas.var[Var.chromosome], fold, allow_leakage=allow_leakage, what="loci"
            )
            for number, source in models.sources.items():
                picked = np.flatnonzero(chosen == number)
                if not len(picked):
                    continue
                network: Any = source.load()
                logits = locus_logits(
                    ernas.var.iloc[picked], name, network, sequence, store, computing, modalities, batch_size, bar
                )
                values[row, picked] = _shifted(logits, Calibration.of(network.provenance), prior)
                rows.append(result_row(name, number, source, models, f"ernas, {modalities}", leaky))
            logger.info("%s: %d of %d loci predicted", name, np.isfinite(values[row]).sum(), ernas.n_vars)
    record_result(mdata, f"{Modality.ernas}:{key}", rows, samples)
    put_layer(mdata, Modality.ernas, key, values)
    return mdata if copy else None


def calibrate_ernas(
    mdata: MuData | ErnaSimulation,
    model: ERNAformer | str | Path,
    *,
    sample: str | Iterable[str] | None = None,
    coverage: Coverage | str | Path | None = None,
    genome: Genome | str | Path | None = None,
    device: str | torch.device | None = None,
    min_loci: int = 50,
) -> ERNAformer:
    """Fit the temperature of a model on loci that chose its epoch, never on those that judge it.

    Networks are over-confident: they rank loci well and call probabilities that are too close to 0 and 1. Dividing the
    logits by one number mends that and changes no rank (Guo et al. 2017).

    Parameters
    ----------
    mdata
        Object with labelled ``ernas``, of which those on the model's validation chromosomes are used; or a simulation,
        all of which is used.
    model
        Model or its folder.
    sample, coverage, genome, device
        As in :func:`predict_ernas`.
    min_loci
        Refuse with fewer labelled loci than these.

    Returns
    -------
    A copy of the model with ``provenance["calibration"]``: temperature, number of loci, log loss and calibration error
    before and after; :func:`predict_ernas` applies it. ``model.save`` keeps it.

    Raises
    ------
    KeyError
        Labels or coverage are missing.
    ValueError
        The model does not say on which chromosomes it was validated, there are too few loci, or of one class only.

    Examples
    --------
    >>> import eregtools as er
    >>> model = er.models.ERNAformer(er.models.ERNAformerConfig.preset("small", seq_len=1024)).eval()
    >>> calibrated = er.tl.calibrate_ernas(er.datasets.simulate_erna("align", n=40), model, device="cpu")
    >>> sorted(calibrated.provenance["calibration"])
    ['error', 'error_before', 'log_loss', 'log_loss_before', 'n', 'temperature']
    """
    from eregtools.models.device import pick_device

    network = copying.deepcopy(_one_model(model)).eval()
    computing = pick_device(device)
    if isinstance(mdata, ErnaSimulation):
        logits, label = _simulation_logits(mdata, network, computing, "both", None), mdata.labels
    else:
        logits, label = validation_logits(mdata, network, sample, coverage, genome, computing)
    if len(label) < min_loci or len(np.unique(label)) < 2:
        raise ValueError(
            f"there are {len(label)} labelled loci to calibrate on, {int(label.sum())} of them positive; expected at "
            f"least {min_loci}, of both classes"
        )
    temperature = fitted_temperature(logits, label)
    plain, scaled = (Calibration(t).probabilities(logits) for t in (1.0, temperature))
    network.provenance = {
        **network.provenance,
        "prior": network.provenance.get("prior", float(label.mean())),
        "calibration": {
            "temperature": temperature,
            "n": len(label),
            "log_loss_before": log_loss(logits, label),
            "log_loss": log_loss(logits / temperature, label),
            "error_before": calibration_error(plain, label),
            "error": calibration_error(scaled, label),
        },
    }
    return network


def labels_of(ernas: Any) -> NDArray[np.float32]:
    """Labels of loci: 1, 0, or NaN for those that are neither.

    Raises
    ------
    KeyError
        There are none.
    ValueError
        A label is another number.
    """
    if Var.label not in ernas.var:
        raise KeyError(f"ernas.var has no column {Var.label!r}; run er.pp.label_ernas first, or set it to 1, 0 and NaN")
    label = ernas.var[Var.label].to_numpy(dtype=np.float32, na_value=np.nan)
    wrong = np.isfinite(label) & (label != 0) & (label != 1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"ernas.var[{Var.label!r}] holds {label[first]:g} ({ernas.var_names[first]}); expected 1, 0 or NaN"
        )
    return label


def _network_class() -> type[ERNAformer]:
    from eregtools.models import ERNAformer

    return ERNAformer


def _one_model(model: Any) -> ERNAformer:
    from eregtools.models import ERNAformer, load

    loaded: Any = load(model) if isinstance(model, str | Path) else model
    if not isinstance(loaded, ERNAformer):
        raise TypeError(f"model is a {type(loaded).__name__}; expected an ERNAformer or its folder")
    return loaded


def _simulation_logits(
    simulation: ErnaSimulation,
    network: ERNAformer,
    device: torch.device,
    modalities: Modalities,
    batch_size: int | None,
) -> NDArray[np.float32]:
    from eregtools.models.locus_inference import LocusPredictor

    windows = simulation.windows()
    predictor = LocusPredictor(network, device, modalities=modalities)
    parts = [
        predictor(windows.batch(np.arange(i, min(i + _LOCI_AT_A_TIME, len(windows)))), batch_size=batch_size).window
        for i in range(0, len(windows), _LOCI_AT_A_TIME)
    ]
    return np.concatenate(parts)


def validation_logits(
    mdata: MuData,
    network: ERNAformer,
    sample: str | Iterable[str] | None,
    coverage: Coverage | str | Path | None,
    genome: Genome | str | Path | None,
    device: torch.device,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits and labels of loci on the chromosomes that chose the model's epoch."""
    ernas = require_ernas(mdata)
    label = labels_of(ernas)
    chromosomes = network.provenance.get("valid_chromosomes")
    if not chromosomes:
        raise ValueError(
            "the model does not say which chromosomes chose its epoch, so none can be told from those that it learnt; "
            "calibrate a model of er.tl.train_ernas"
        )
    samples = pick_samples(mdata, sample)
    store, sequence = open_coverage(mdata, coverage, samples), object_genome(mdata, genome)
    on = ernas.var[Var.chromosome].astype(str).isin(list(chromosomes)).to_numpy()
    picked = np.flatnonzero(on & np.isfinite(label))
    parts = []
    with progress_bar(len(samples) * len(picked), "Calibrating", "loci") as bar:
        for name in samples:
            loci = ernas.var.iloc[picked]
            parts.append(locus_logits(loci, name, network, sequence, store, device, "both", None, bar))
    logits, labels = np.concatenate(parts), np.tile(label[picked], len(samples))
    known = np.isfinite(logits)
    return logits[known], labels[known]


def _shifted(logits: NDArray[np.float32], calibration: Calibration, prior: Prior) -> NDArray[np.float64]:
    out = np.full(len(logits), np.nan)
    known = np.isfinite(logits)
    if known.any():
        out[known] = calibration.probabilities(logits[known], prior)
    return out
