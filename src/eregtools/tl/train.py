"""Train EPInformer and its enhancer predictor on the object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eregtools._keys import MRNA_FEATURES, UNS, Layer, Modality, Uns, Var, Varm
from eregtools._logging import logger
from eregtools._schema import require_layer, require_modality, validate
from eregtools._settings import settings
from eregtools.batches.encode import centred_windows
from eregtools.batches.windows import Augmentation, WindowBatch
from eregtools.tl._models import biosample_of
from eregtools.tl._training import (
    check_sets,
    engine_of,
    gene_data,
    left_out,
    one_fold,
    one_sample_to_train,
    seeded,
    start_from,
    train,
)
from eregtools.tl.activity import element_centres
from eregtools.tl.expression import object_genome, pick_samples, require_genes

if TYPE_CHECKING:
    import torch
    from mudata import MuData

    from eregtools.genome import Genome
    from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
    from eregtools.train.datamodule import Batches
    from eregtools.train.fit import Precision

RegimeName = Literal["eregtools", "paper", "published"]
Variant = Literal["promoter", "PE", "PE-Activity", "PE-Activity-HiC"]

_SLOT_FEATURES: Mapping[str, int] = {"promoter": 0, "PE": 1, "PE-Activity": 2, "PE-Activity-HiC": 3}


def train_activity(
    mdata: MuData,
    *,
    fold: int,
    regime: RegimeName = "eregtools",
    scheme: str | None = None,
    target: str = Layer.activity,
    window: Literal["center", "summit"] = "center",
    sample: str | None = None,
    genome: Genome | str | Path | None = None,
    config: EPInformerSeqConfig | None = None,
    encoder: EPInformerSeq | str | Path | None = None,
    allow_leakage: bool = False,
    reverse_complement: bool = True,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    max_epochs: int | None = None,
    patience: int | None = None,
    gradient_clip: float | None = None,
    device: str | torch.device | None = None,
    devices: int = 1,
    nodes: int = 1,
    precision: Precision | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    rng: int | None = None,
) -> EPInformerSeq:
    """Train an :class:`~eregtools.models.EPInformerSeq` to predict the activity of elements from sequence.

    Parameters
    ----------
    mdata
        Object with ``enhancers`` and folds (:func:`eregtools.pp.split`).
    fold
        Fold whose test chromosomes the model never sees; its validation chromosomes choose the epoch.
    regime
        ``"paper"``: AdamW with betas (0.9, 0.99), the epoch with the least validation error, patience 6.
        ``"published"``: what the published weights show, the epoch with the highest squared correlation, patience 3.
        ``"eregtools"``: ours, the epoch with the least validation loss. All: batch 64, rate 5e-4, smooth L1.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``.
    target
        Layer of ``enhancers``; the model learns log2(0.1 + value).
    window
        Sequence around the element's centre or summit.
    sample
        Biosample; ``None``: the only one.
    genome
        Genome, path or registered name; ``None``: the one named in the object.
    config
        Architecture; ``None``: the published one (256 bp), or that of ``encoder``.
    encoder
        Enhancer predictor to go on from, head included (fine-tuning); ``None``: random weights.
    allow_leakage
        Go on from an encoder that saw chromosomes which this fold validates or tests.
    reverse_complement
        Train on both strands.
    learning_rate, weight_decay, batch_size, max_epochs, patience, gradient_clip
        AdamW, early stopping, and the largest norm of a gradient; ``None``: the regime's. ``batch_size`` counts
        windows over all devices.
    device
        ``None``: ``settings.device``.
    devices, nodes
        Devices of a node, and nodes; more than one: data-parallel, under ``torchrun``, SLURM or from a script.
    precision
        ``"32"``, ``"bf16"`` (mixed) or ``"64"``; ``None``: ``"bf16"`` on GPUs that have it, otherwise ``"32"``.
    folder
        Where the model, its log (CSV; TensorBoard where it is installed) and a checkpoint after each epoch go;
        ``None``: nowhere.
    resume
        Go on with the training in ``folder`` if there is one: the weights become those of an unbroken training. A
        finished one is loaded.
    overwrite
        Replace what a training left in ``folder``.
    rng
        Seed of weights, order and dropout; ``None``: ``settings.seed``.

    Returns
    -------
    The model with the weights of its best epoch; ``model.provenance`` says fold, biosample, regime and metrics.

    Raises
    ------
    KeyError
        The target or the folds are missing.
    ValueError
        A set of the fold holds no element, the target takes one value only, training diverges, the encoder saw what
        the fold holds out, or a training is resumed with other arguments or data.
    FileExistsError
        The folder is not empty.
    MemoryError
        A batch does not fit the memory.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026 (the pretraining of the encoder).

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=80)
    >>> config = er.models.EPInformerSeqConfig(hidden=16, tower_channels=(8, 8, 8, 8, 8))
    >>> encoder = er.tl.train_activity(mdata, fold=1, config=config, max_epochs=1)
    >>> encoder.provenance["test_chromosomes"]
    ['chr8']

    The elements of that chromosome are the ones that the model of the fold predicts:

    >>> er.tl.predict_activity(mdata, {1: encoder})
    >>> enhancers = mdata["enhancers"]
    >>> enhancers.var.loc[enhancers.to_df("activity_pred").notna().all(), "Chromosome"].unique().tolist()
    ['chr8']
    """
    from eregtools.models import EPInformerSeq, EPInformerSeqConfig, load
    from eregtools.train.datamodule import Batches
    from eregtools.train.modules import ActivityRegression
    from eregtools.train.regimes import activity_regime

    how = activity_regime(regime).but(
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        gradient_clip=gradient_clip,
    )
    start: Any = load(encoder) if isinstance(encoder, str | Path) else encoder
    config = config or (EPInformerSeqConfig() if start is None else start.config)
    validate(mdata, full=False)
    enhancers = require_modality(mdata, Modality.enhancers)
    name = one_sample_to_train(mdata, sample)
    row = mdata.obs_names.get_loc(name)
    values = require_layer(enhancers, target, "er.pp.activity")[row].astype(np.float64)
    candidate = np.asarray(enhancers.layers[Layer.candidate][row]).ravel() > 0
    names = enhancers.var[Var.chromosome].astype(str).to_numpy()
    sets, scheme = one_fold(mdata, fold, scheme, names)
    sequence = object_genome(mdata, genome)
    centres = element_centres(enhancers.var, window)

    def rows(which: str) -> WindowBatch:
        picked = np.flatnonzero((sets == which) & candidate & np.isfinite(values))
        codes = centred_windows(sequence, names[picked].tolist(), centres[picked], config.window)
        return WindowBatch(codes, np.log2(0.1 + values[picked]).astype(np.float32)).known()

    parts = {"train": rows("train"), "valid": rows("valid")}
    check_sets({which: part.target for which, part in parts.items()}, fold, "elements", target)
    if reverse_complement:
        parts["train"] = parts["train"].with_reverse_complements()
    seed = settings.seed if rng is None else rng
    network = seeded(lambda: EPInformerSeq(config), seed)
    held_out = set(names[sets != "train"])
    began_from = {} if start is None else start_from(network, start, held_out, allow_leakage)
    logger.info("training on %d windows, validating on %d", len(parts["train"]), len(parts["valid"]))
    return train(
        ActivityRegression(network, how),
        {
            "train": Batches(parts["train"], how.batch_size, seed=seed),
            "valid": Batches(parts["valid"], how.batch_size),
        },
        {
            "name": f"EPInformer-seq/{name}/activity/fold{fold}",
            **left_out([biosample_of(mdata, name)], "activity", fold, scheme, names, sets),
            **began_from,
        },
        engine=engine_of(device, devices, nodes, precision),
        seed=seed,
        folder=None if folder is None else Path(folder),
        resume=resume,
        overwrite=overwrite,
        how={"window": window, "target": target, "reverse_complement": reverse_complement},
    )


def train_expression(
    mdata: MuData,
    *,
    assay: str,
    fold: int,
    variant: Variant = "PE-Activity-HiC",
    regime: RegimeName = "eregtools",
    recipe: str | None = None,
    tracks: Sequence[str] = (),
    gene_tracks: Sequence[str] = (),
    use_sequence: bool = True,
    scheme: str | None = None,
    encoder: EPInformerSeq | str | Path | None = None,
    freeze_encoder: bool = False,
    allow_leakage: bool = False,
    promoter_signal: bool | None = None,
    sample: str | Sequence[str] | None = None,
    genome: Genome | str | Path | None = None,
    config: EPInformerConfig | None = None,
    reverse_complement: bool = False,
    max_shift: int = 0,
    batchnorm: Literal["masked", "legacy"] | None = None,
    batches: Literal["random", "locus"] | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    max_epochs: int | None = None,
    patience: int | None = None,
    gradient_clip: float | None = None,
    device: str | torch.device | None = None,
    devices: int = 1,
    nodes: int = 1,
    precision: Precision | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    rng: int | None = None,
) -> EPInformer:
    """Train an :class:`~eregtools.models.EPInformer` to predict a gene's expression.

    Each distinct sequence of a batch is encoded once, and padded slots are never computed; with
    ``batchnorm="legacy"`` predictions and gradients are those of the padded batch all the same.

    Parameters
    ----------
    mdata
        Object with ``links``, the features of the variant, expression, and folds (:func:`eregtools.pp.split`).
    assay
        Layer of ``genes`` to learn, on the scale it is stored in.
    fold
        Fold whose test chromosomes the model never sees; its validation chromosomes choose the epoch.
    variant
        The paper's models: ``"promoter"`` (no enhancers), ``"PE"`` (with distance), ``"PE-Activity"``,
        ``"PE-Activity-HiC"``.
    regime
        ``"paper"``: batch 64, AdamW with betas (0.9, 0.99), the epoch with the least validation mean squared error,
        patience 6. ``"published"``: what the published weights show: batch 16, the epoch with the highest squared
        correlation, patience 3; a first stage without promoter signal and a second, with it, at a tenth of the rate,
        of one epoch (up to 20 with contact). ``"eregtools"``: ours, 30 epochs of batches of 32 neighbouring genes with
        a rate that falls as a cosine, the epoch with the least validation loss; without sequence 14 epochs of batches
        of 128 with the squared error, the one with the highest correlation.
    recipe
        How features are transformed: ``"log"`` (ours), ``"legacy"`` (the published weights') or ``"v2"``; see
        :func:`eregtools.models.get_recipe`. It is stored with the model. ``None``: the regime's.
    tracks
        Layers that ``enhancers`` and ``genes`` both have (``"DNase"``, ``"H3K27ac"``, or single replicates), given
        to slots and genes as log(1 + x) beside the features of the variant; with recipe ``"log"``.
    gene_tracks
        Layers of ``genes`` given to them alone in the same way, as those of :func:`eregtools.pp.neighbour_activity`.
    use_sequence
        ``False``: attention over features alone, to say what sequence adds. Needs no genome. Ours is then a small
        network on standardised features, trained with the squared error.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``.
    encoder
        Enhancer predictor whose tower is where this one starts from (a model, its name or its folder).
    freeze_encoder
        Keep the tower as it is.
    allow_leakage
        Start from an encoder that saw chromosomes which this fold validates or tests.
    promoter_signal
        Give the promoter's activity to the predictor; ``None``: for the variants with activity.
    sample
        Biosamples; an item of training is a gene in one of them, with its candidates, activity and promoter signal,
        and a chromosome is in the same set for all. ``None``: the only one.
    genome
        Genome, path or registered name; ``None``: the one named in the object.
    config
        Architecture; numbers of features are set by the variant and the object (mRNA features are used where the
        object has them). ``None``: the published one.
    reverse_complement, max_shift
        Turn sequences round with probability one half, and move them by up to so many bp, anew in each epoch: with
        few genes a tower otherwise learns sequences by heart. The paper does neither.
    batchnorm
        Slots whose moments normalise a batch: ``"legacy"``, all of the padded batch, empty ones too (71 % of K562's);
        ``"masked"``, those that hold a sequence. ``None``: the regime's.
    batches
        ``"random"`` genes, or ``"locus"``: neighbours, which share enhancers, in random order of loci: cheaper.
        ``None``: the regime's.
    learning_rate, weight_decay, batch_size, max_epochs, patience, gradient_clip, device, devices, nodes, precision, \
folder, resume, overwrite, rng
        As in :func:`train_activity`; ``batch_size`` counts genes. Of two stages, ``learning_rate`` is that of the
        first and scales the second.

    Returns
    -------
    The model with the weights of its best epoch; ``er.tl.predict_expression(mdata, {fold: model}, …)`` takes it.

    Raises
    ------
    KeyError
        Expression, a feature or the folds are missing; the message names the call that adds it.
    ValueError
        A set of the fold holds no gene, the target takes one value only, training diverges, the encoder's tower or
        recipe is another, it saw chromosomes that this fold holds out, or a training is resumed with other
        arguments or data.
    FileExistsError
        The folder is not empty.
    MemoryError
        A batch does not fit the memory.

    See Also
    --------
    cross_validate : one model for each fold.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.demo(n_genes=80)
    >>> config = er.models.EPInformerConfig(window=400, embedding_dim=32, n_layers=1, tower_channels=(8,) * 5)
    >>> model = er.tl.train_expression(mdata, assay="RNA", fold=1, config=config, max_epochs=1)
    >>> model.provenance["test_chromosomes"]
    ['chr8']
    >>> er.tl.predict_expression(mdata, {1: model}, assay="RNA")
    >>> int(mdata["genes"].to_df("RNA_pred").notna().sum(axis=1).item())
    10
    """
    from eregtools.models import EPInformer
    from eregtools.train.modules import ExpressionRegression
    from eregtools.train.regimes import expression_regime

    if variant not in _SLOT_FEATURES:
        raise ValueError(f"variant is {variant!r}; expected one of {', '.join(_SLOT_FEATURES)}")
    how = expression_regime(regime, _SLOT_FEATURES[variant], use_sequence=use_sequence).but(
        recipe="promoter" if variant == "promoter" else recipe,
        batchnorm=batchnorm,
        batches=batches,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        batch_size=batch_size,
        max_epochs=max_epochs,
        patience=patience,
        gradient_clip=gradient_clip,
    )
    if freeze_encoder and encoder is None:
        raise ValueError("freeze_encoder=True keeps the tower that the model starts from; name it with encoder=")
    genes = require_genes(mdata)
    samples = _samples(mdata, sample)
    with_signal = variant.startswith("PE-Activity") if promoter_signal is None else promoter_signal
    config = _fitting_config(mdata, config, variant, how.recipe, with_signal, use_sequence, (tracks, gene_tracks))
    names = genes.var[Var.chromosome].astype(str).to_numpy()
    sets, scheme = one_fold(mdata, fold, scheme, names)
    sequence = object_genome(mdata, genome) if use_sequence else None
    data = gene_data(mdata, samples, assay, config, how.recipe, sequence)
    in_set = sets[data.inputs.gene]
    parts = {which: data.take(np.flatnonzero(in_set == which)) for which in ("train", "valid")}
    check_sets({which: part.target for which, part in parts.items()}, fold, "genes", assay)

    seed = settings.seed if rng is None else rng
    network = seeded(lambda: EPInformer(config), seed)
    parts["train"].fit_scales(network)
    held_out = set(names[sets != "train"])
    began_from = {} if encoder is None else start_from(network, encoder, held_out, allow_leakage)
    n_signals = with_signal + len(config.tracks) + len(config.gene_tracks)
    hidden = tuple(range(config.n_gene_features - n_signals, config.n_gene_features))
    augmentation = Augmentation(reverse_complement, max_shift)
    logger.info("training on %d genes, validating on %d", len(parts["train"]), len(parts["valid"]))
    kind = f"EPInformer-{variant}" + ("" if use_sequence else "-features")
    return train(
        ExpressionRegression(network, how, freeze_encoder=freeze_encoder, hidden_gene_features=hidden),
        _gene_batches(parts, how, seed, augmentation),
        {
            "name": f"{kind}/{'+'.join(samples)}/{assay}/fold{fold}",
            **left_out([biosample_of(mdata, name) for name in samples], assay, fold, scheme, names, sets),
            "recipe": how.recipe,
            **_target(mdata, samples, assay),
            **began_from,
        },
        engine=engine_of(device, devices, nodes, precision),
        seed=seed,
        folder=None if folder is None else Path(folder),
        resume=resume,
        overwrite=overwrite,
        how={
            "samples": samples,
            "variant": variant,
            "freeze_encoder": freeze_encoder,
            "reverse_complement": reverse_complement,
            "max_shift": max_shift,
        },
    )


def _target(mdata: MuData, samples: Sequence[str], assay: str) -> dict[str, Any]:
    """Transform with which the assay was added, where there is one for all biosamples: the scale of the output."""
    record = mdata.uns.get(UNS, {}).get(Uns.transforms, {}).get(assay)
    if record is None or record["name"] == "none":
        return {}
    if "moments" not in record:
        return {"target": {"name": record["name"]}}
    moments = record["moments"].reindex(list(samples))[["mean", "sd"]].drop_duplicates()
    if len(moments) != 1 or moments.isna().any(axis=None):
        return {}
    return {"target": {"name": record["name"], **{key: float(moments[key].iloc[0]) for key in moments}}}


def _fitting_config(
    mdata: MuData,
    config: EPInformerConfig | None,
    variant: str,
    recipe: str,
    with_signal: bool,
    use_sequence: bool,
    tracks: tuple[Sequence[str], Sequence[str]],
) -> EPInformerConfig:
    """Architecture with the numbers of features that the variant has and the object offers."""
    from eregtools.models import EPInformerConfig, get_recipe

    mrna = len(MRNA_FEATURES) if Varm.mrna_features in mdata[Modality.genes].varm else 0
    if with_signal and not mrna:
        raise KeyError(
            f"the promoter signal is the ninth gene feature, after {len(MRNA_FEATURES)} mRNA features that the object "
            "lacks; run er.pp.mrna_features first, or pass promoter_signal=False"
        )
    if variant == "promoter" and not use_sequence:
        raise ValueError("variant 'promoter' without sequence has nothing to attend to; baseline_expression serves")
    of_both, of_genes = map(tuple, tracks)
    numbers: dict[str, Any] = {
        "n_slot_features": _SLOT_FEATURES[variant] + len(of_both),
        "n_gene_features": mrna + with_signal + len(of_both) + len(of_genes),
        "tracks": of_both,
        "gene_tracks": of_genes,
    }
    n_value = get_recipe(recipe, **numbers).n_value
    default = EPInformerConfig() if use_sequence else EPInformerConfig(embedding_dim=32, n_layers=1, standardise=True)
    return replace(config or default, **numbers, n_value=n_value, use_sequence=use_sequence)


def _gene_batches(parts: Mapping[str, Any], how: Any, seed: int, augmentation: Augmentation) -> dict[str, Batches]:
    from eregtools.models import get_recipe
    from eregtools.train.datamodule import Batches

    padded = None
    if how.batchnorm == "legacy":
        most = get_recipe(how.recipe, n_slot_features=0, n_gene_features=0).max_enhancers
        if most is None:
            raise ValueError(
                f"recipe {how.recipe!r} has no largest number of enhancers, so no padded batch; batchnorm='masked' "
                "needs none"
            )
        padded = 1 + most
    return {
        "train": Batches(
            parts["train"],
            how.batch_size,
            seed=seed,
            order=how.batches,
            padded_slots=padded,
            augmentation=augmentation,
        ),
        "valid": Batches(parts["valid"], how.batch_size, order="locus"),
    }


def _samples(mdata: MuData, sample: str | Sequence[str] | None) -> list[str]:
    names = pick_samples(mdata, sample)
    if sample is None and len(names) > 1:
        raise ValueError(f"the object holds {', '.join(names)}; name one with sample=, or several to train on together")
    return names
