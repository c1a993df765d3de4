"""Train ERNAformer on labelled loci of an object, or on a simulation, and go on from trained weights."""

from __future__ import annotations

import copy as copying
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eregtools._logging import logger
from eregtools._settings import settings
from eregtools.batches.loci import CORE, MARGIN, LocusAugmentation
from eregtools.datasets.simulate_erna import ErnaSimulation
from eregtools.tl._erna_material import Material, inherited_leakage, material_of
from eregtools.tl._training import seeded, train

if TYPE_CHECKING:
    import torch
    from mudata import MuData

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models import ERNAformer, ERNAformerConfig
    from eregtools.train.fit import Precision
    from eregtools.train.loci import LocusRegime

_SIMULATED_CORE, _SIMULATED_MARGIN = 48, 144
"""Bins of a simulated locus: its windows are short, and its place is known to 24 bp."""


def train_ernas(
    mdata: MuData | ErnaSimulation,
    *,
    fold: int | None = None,
    scheme: str | None = None,
    valid: ErnaSimulation | None = None,
    sample: str | Iterable[str] | None = None,
    coverage: Coverage | str | Path | None = None,
    genome: Genome | str | Path | None = None,
    preset: Literal["small", "base", "large"] = "base",
    config: ERNAformerConfig | None = None,
    augmentation: LocusAugmentation | None = None,
    core: int | None = None,
    margin: int | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    max_epochs: int | None = None,
    patience: int | None = None,
    device: str | torch.device | None = None,
    devices: int = 1,
    nodes: int = 1,
    precision: Precision | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    rng: int | None = None,
) -> ERNAformer:
    """Train an :class:`~eregtools.models.ERNAformer` to tell enhancer-RNA loci from other windows.

    An item of training is a locus in a biosample, with the sequence and the coverage around it. The loss is the cross
    entropy of windows and, with half the weight, of their 32-bp bins; a moving average of the weights is validated, and
    that of the epoch with the highest validation AUPRC is kept.

    Parameters
    ----------
    mdata
        Object with ``ernas.var["label"]`` (1, 0; NaN: neither), coverage (:func:`eregtools.pp.add_coverage`) and folds
        (:func:`eregtools.pp.split`); or a simulation (:func:`eregtools.datasets.simulate_erna`).
    fold
        Fold whose test chromosomes the model never sees; its validation chromosomes choose the epoch. Not for a
        simulation.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``.
    valid
        Simulation that chooses the epoch; ``None``: a tenth of the one that is trained on. Negatives of ``"align"``
        are paired anew in each epoch.
    sample
        Biosamples; ``None``: all.
    coverage
        Store of coverage, where it was moved; ``None``: that of the object.
    genome
        Genome, path or registered name; ``None``: the one named in the object.
    preset
        Size of the network: ``"small"`` (0.36 M parameters), ``"base"`` (2.3 M) or ``"large"`` (5.8 M).
    config
        Architecture, instead of a preset. Windows of a preset are 4,096 bp, of a simulation as long as its own.
    augmentation
        How training loci are changed; ``None``: all that :class:`eregtools.batches.loci.LocusAugmentation` does, of a
        simulation reverse complements alone.
    core, margin
        Bins within ``core`` bp of a locus' centre are positive, those beyond up to ``margin`` are left out; ``None``:
        200 and 600, of a simulation 48 and 144.
    learning_rate
        Of the heads and the encoder; the stems have 3.3 times as much. ``None``: 3e-4.
    weight_decay, batch_size, max_epochs, patience
        ``None``: 0.05, 128, 30 and 5.
    device, devices, nodes, precision, folder, resume, overwrite, rng
        As in :func:`eregtools.tl.train_activity`.

    Returns
    -------
    The model with the weights of its best epoch; calibrate it with :func:`calibrate_ernas` before its probabilities
    are read.

    Raises
    ------
    KeyError
        Labels, coverage or folds are missing.
    ValueError
        A set of the fold holds no locus or one class only, training diverges, or one is resumed with other arguments.
    FileExistsError
        The folder is not empty.
    MemoryError
        A batch does not fit the memory.

    Notes
    -----
    An independent implementation of what Yu et al. describe (eRNAformer, bioRxiv 2026): their settings are not public,
    these are ours. A model trained on a simulation is named so, and says nothing of a genome.

    Examples
    --------
    >>> import eregtools as er
    >>> simulation = er.datasets.simulate_erna("confounders", n=40)
    >>> config = er.models.ERNAformerConfig.preset("small", seq_len=1024, n_layers=1)
    >>> model = er.tl.train_ernas(simulation, config=config, max_epochs=1, batch_size=32)
    >>> er.tl.predict_ernas(simulation, model).shape
    (80,)
    """
    from eregtools.models import ERNAformer
    from eregtools.train.loci import scratch_regime

    simulated = isinstance(mdata, ErnaSimulation)
    config = _architecture(mdata, preset, config)
    how = scratch_regime().but(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        core=core or (_SIMULATED_CORE if simulated else CORE),
        margin=margin or (_SIMULATED_MARGIN if simulated else MARGIN),
    )
    if augmentation is None:
        augmentation = LocusAugmentation.strands_only() if simulated else LocusAugmentation()
    seed = settings.seed if rng is None else rng
    material = material_of(mdata, valid, config, augmentation, seed, fold, scheme, sample, coverage, genome)
    return _run(
        seeded(lambda: ERNAformer(config), seed),
        how,
        material,
        augmentation,
        {},
        engine=(device, devices, nodes, precision),
        seed=seed,
        place=(folder, resume, overwrite),
    )


def finetune_ernas(
    mdata: MuData | ErnaSimulation,
    model: ERNAformer | str | Path,
    *,
    freeze: Literal["stems", "stems+encoder"] | None = "stems",
    fold: int | None = None,
    scheme: str | None = None,
    valid: ErnaSimulation | None = None,
    sample: str | Iterable[str] | None = None,
    coverage: Coverage | str | Path | None = None,
    genome: Genome | str | Path | None = None,
    augmentation: LocusAugmentation | None = None,
    layer_rate: float | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    max_epochs: int | None = None,
    patience: int | None = None,
    min_positives: int = 500,
    allow_leakage: bool = False,
    device: str | torch.device | None = None,
    devices: int = 1,
    nodes: int = 1,
    precision: Precision | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    rng: int | None = None,
) -> ERNAformer:
    """Go on from trained weights with loci of one's own.

    Running statistics of batch normalisation stay as they are, also where the convolutions are trained.

    Parameters
    ----------
    mdata, fold, scheme, valid, sample, coverage, genome, augmentation
        As in :func:`train_ernas`.
    model
        Model or its folder; it is left as it was.
    freeze
        ``"stems"`` or ``"stems+encoder"`` keep their weights; ``None``: all are trained.
    layer_rate
        Factor by which the learning rate falls with each layer away from the heads; ``None``: 0.8.
    learning_rate, weight_decay, batch_size, max_epochs, patience
        ``None``: 3e-5 (a tenth of the rate of a training), 0.05, 128, 20 and 5.
    min_positives
        Refuse with fewer positives to train on.
    allow_leakage
        Go on from a model that saw chromosomes which this fold holds out, or train on chromosomes that it held out;
        the model is marked.
    device, devices, nodes, precision, folder, resume, overwrite, rng
        As in :func:`eregtools.tl.train_activity`.

    Returns
    -------
    The new model. Its temperature is not that of the one it began from: calibrate it again.

    Raises
    ------
    KeyError, ValueError, FileExistsError, MemoryError
        As :func:`train_ernas`; there are too few positives, or the model saw what the fold holds out.

    Examples
    --------
    >>> import eregtools as er
    >>> own = er.datasets.simulate_erna("confounders", n=32, seed=3)
    >>> model = er.tl.finetune_ernas(own, "ERNAformer-small-simulated", min_positives=20, max_epochs=1)
    >>> model.provenance.get("freeze")
    'stems'
    """
    from eregtools.models import ERNAformer, load
    from eregtools.train.loci import finetuning_regime

    if freeze not in ("stems", "stems+encoder", None):
        raise ValueError(f"freeze is {freeze!r}; expected 'stems', 'stems+encoder' or None")
    source: Any = load(model) if isinstance(model, str | Path) else model
    if not isinstance(source, ERNAformer):
        raise TypeError(f"model is a {type(source).__name__}; expected an ERNAformer or its folder")
    simulated = isinstance(mdata, ErnaSimulation)
    how = finetuning_regime().but(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        layer_rate=layer_rate,
        core=_SIMULATED_CORE if simulated else CORE,
        margin=_SIMULATED_MARGIN if simulated else MARGIN,
    )
    if augmentation is None:
        augmentation = LocusAugmentation.strands_only() if simulated else LocusAugmentation()
    seed = settings.seed if rng is None else rng
    material = material_of(mdata, valid, source.config, augmentation, seed, fold, scheme, sample, coverage, genome)
    if (n := int((material.train.label == 1).sum())) < min_positives:
        raise ValueError(
            f"there are {n} positives to train on, {min_positives} are asked for; label more loci, or lower "
            "min_positives"
        )
    began_from = {"began_from_sha256": source.fingerprint(), "freeze": str(freeze)}
    began_from["leakage"] = inherited_leakage(source, material, allow_leakage)
    return _run(
        copying.deepcopy(source),
        how,
        material,
        augmentation,
        began_from,
        engine=(device, devices, nodes, precision),
        seed=seed,
        place=(folder, resume, overwrite),
        freeze=freeze,
        keep_moments=True,
    )


def _architecture(mdata: Any, preset: str, config: ERNAformerConfig | None) -> ERNAformerConfig:
    from eregtools.models import ERNAformerConfig

    if not isinstance(mdata, ErnaSimulation):
        return config or ERNAformerConfig.preset(preset)
    simulation = mdata.config
    config = config or ERNAformerConfig.preset(preset, seq_len=simulation.seq_len, halo=simulation.halo)
    if config.width > simulation.width:
        raise ValueError(f"windows of the simulation are {simulation.width} bp wide; the model reads {config.width}")
    return config


def _run(
    network: ERNAformer,
    how: LocusRegime,
    material: Material,
    augmentation: LocusAugmentation,
    began_from: dict[str, str],
    *,
    engine: tuple[Any, int, int, Any],
    seed: int,
    place: tuple[str | Path | None, bool, bool],
    freeze: Any = None,
    keep_moments: bool = False,
) -> ERNAformer:
    from eregtools.models.device import pick_device
    from eregtools.train.fit import Engine
    from eregtools.train.loci import Loci, LocusBatches, LocusClassification

    device, devices, nodes, precision = engine
    folder, resume, overwrite = place
    loci = {which: Loci(getattr(material, which), network.config, how, augmentation) for which in ("train", "valid")}
    network.train()  # a loaded model is in evaluation mode, in which dropout rests
    logger.info("training on %d loci, validating on %d", *map(len, loci.values()))
    trained: ERNAformer = train(
        LocusClassification(network, how, freeze=freeze, keep_moments=keep_moments),
        {
            "train": LocusBatches(loci["train"], how.batch_size, seed=seed, redrawn=material.redrawn),
            "valid": LocusBatches(loci["valid"], how.batch_size),
        },
        {**material.about, **began_from},
        engine=Engine(pick_device(device), devices, nodes, precision),
        seed=seed,
        folder=None if folder is None else Path(folder),
        resume=resume,
        overwrite=overwrite,
        how={"augmentation": asdict(augmentation)},
    )
    return trained
