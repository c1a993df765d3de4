"""Train EPInformer and its enhancer predictor on the object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eregtools._keys import MRNA_FEATURES, UNS, Layer, Modality, Uns, Var, Varm
from eregtools._logging import logger
from eregtools._schema import require_layer, require_modality, validate
from eregtools._settings import settings
from eregtools.batches.encode import UNKNOWN, centred_windows
from eregtools.batches.genes import enhancer_codes, gene_inputs, promoter_codes
from eregtools.batches.windows import Augmentation, WindowBatch
from eregtools.tl.activity import element_centres
from eregtools.tl.expression import object_genome, pick_samples, require_genes

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
    from eregtools.train.datamodule import GeneData

Variant = Literal["promoter", "PE", "PE-Activity", "PE-Activity-HiC"]

_SLOT_FEATURES: Mapping[str, int] = {"promoter": 0, "PE": 1, "PE-Activity": 2, "PE-Activity-HiC": 3}


def train_activity(
    mdata: MuData,
    *,
    fold: int,
    scheme: str | None = None,
    target: str = Layer.activity,
    window: Literal["center", "summit"] = "center",
    sample: str | None = None,
    genome: Genome | str | Path | None = None,
    config: EPInformerSeqConfig | None = None,
    reverse_complement: bool = True,
    learning_rate: float = 5e-4,
    weight_decay: float = 1e-6,
    batch_size: int = 64,
    max_epochs: int = 100,
    patience: int = 6,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    rng: int | None = None,
) -> EPInformerSeq:
    """Train an :class:`~eregtools.models.EPInformerSeq` to predict the activity of elements from sequence.

    Parameters
    ----------
    mdata
        Object with ``enhancers`` and folds (:func:`eregtools.pp.split`).
    fold
        Fold whose test chromosomes the model never sees; its validation chromosomes choose the epoch.
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
        Architecture; ``None``: the published one (256 bp).
    reverse_complement
        Train on both strands.
    learning_rate, weight_decay, batch_size, max_epochs, patience
        AdamW, and early stopping on the validation loss (smooth L1).
    device
        ``None``: ``settings.device``.
    folder
        Where model and log are written; ``None``: nowhere.
    rng
        Seed of weights and order; ``None``: ``settings.seed``.

    Returns
    -------
    The model with the weights of its best epoch; ``model.provenance`` says fold, biosample and metrics.

    Raises
    ------
    KeyError
        The target or the folds are missing.
    ValueError
        A set of the fold holds no element, or the target takes one value only.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026 (the pretraining of the encoder).

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.io.read("mine.h5mu")  # doctest: +SKIP
    >>> encoder = er.tl.train_activity(mdata, fold=1, genome="hg38.fa")  # doctest: +SKIP
    """
    from eregtools.models import EPInformerSeq, EPInformerSeqConfig
    from eregtools.models.device import pick_device
    from eregtools.train.datamodule import TrainingData
    from eregtools.train.fit import fit
    from eregtools.train.modules import ActivityRegression, Optimisation

    how = Optimisation(learning_rate, weight_decay, (0.9, 0.999), max_epochs, patience, batch_size)
    config = config or EPInformerSeqConfig()
    validate(mdata, full=False)
    enhancers = require_modality(mdata, Modality.enhancers)
    name = _one_sample(mdata, sample)
    row = mdata.obs_names.get_loc(name)
    values = require_layer(enhancers, target, "er.pp.activity")[row].astype(np.float64)
    candidate = np.asarray(enhancers.layers[Layer.candidate][row]).ravel() > 0
    names = enhancers.var[Var.chromosome].astype(str).to_numpy()
    sets, scheme = _one_fold(mdata, fold, scheme, names)
    sequence = object_genome(mdata, genome)
    centres = element_centres(enhancers.var, window)

    def rows(which: str) -> WindowBatch:
        picked = np.flatnonzero((sets == which) & candidate & np.isfinite(values))
        codes = centred_windows(sequence, names[picked].tolist(), centres[picked], config.window)
        return WindowBatch(codes, np.log2(0.1 + values[picked]).astype(np.float32)).known()

    train, valid = rows("train"), rows("valid")
    _check_sets({"train": train.target, "valid": valid.target}, fold, "elements", target)
    if reverse_complement:
        train = train.with_reverse_complements()
    seed = settings.seed if rng is None else rng
    module = ActivityRegression(_seeded(lambda: EPInformerSeq(config), seed), how)
    logger.info("training on %d windows, validating on %d", len(train), len(valid))
    metrics = fit(
        module,
        TrainingData(train, valid, batch_size=batch_size, seed=seed),
        device=pick_device(device),
        seed=seed,
        folder=None if folder is None else Path(folder),
    )
    about = _about("EPInformer-seq", name, "activity", fold, scheme, names, sets)
    return _finish(module, about | {"training": _training(module, metrics, seed)}, folder)


def train_expression(
    mdata: MuData,
    *,
    assay: str,
    fold: int,
    variant: Variant = "PE-Activity-HiC",
    recipe: str = "log",
    scheme: str | None = None,
    encoder: EPInformerSeq | str | Path | None = None,
    freeze_encoder: bool = False,
    allow_leakage: bool = False,
    promoter_signal: bool | None = None,
    sample: str | None = None,
    genome: Genome | str | Path | None = None,
    config: EPInformerConfig | None = None,
    reverse_complement: bool = False,
    max_shift: int = 0,
    learning_rate: float = 5e-4,
    weight_decay: float = 1e-6,
    batch_size: int = 16,
    max_epochs: int = 100,
    patience: int = 6,
    device: str | torch.device | None = None,
    folder: str | Path | None = None,
    rng: int | None = None,
) -> EPInformer:
    """Train an :class:`~eregtools.models.EPInformer` to predict a gene's expression.

    Each distinct sequence of a batch is encoded once and padded slots are never computed; batch normalisation sees
    the distinct sequences.

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
    recipe
        How features are transformed: ``"log"`` (ours), ``"legacy"`` (the published weights') or ``"v2"``; see
        :func:`eregtools.models.get_recipe`. It is stored with the model.
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
    config
        Architecture; numbers of features are set by the variant and the object (mRNA features are used where the
        object has them). ``None``: the published one.
    reverse_complement, max_shift
        Turn sequences round with probability one half, and move them by up to so many bp, anew in each epoch: with
        few genes a tower otherwise learns sequences by heart. The paper does neither.
    sample, genome, learning_rate, weight_decay, batch_size, max_epochs, patience, device, folder, rng
        As in :func:`train_activity`; ``batch_size`` counts genes.

    Returns
    -------
    The model with the weights of its best epoch; ``er.tl.predict_expression(mdata, {fold: model}, …)`` takes it.

    Raises
    ------
    KeyError
        Expression, a feature or the folds are missing; the message names the call that adds it.
    ValueError
        A set of the fold holds no gene, the target takes one value only, training diverges, the encoder's tower is
        another, or it saw chromosomes that this fold holds out.

    Notes
    -----
    Source: Lin, Luo and Pinello, Nature Communications 2026.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.io.read("mine.h5mu")  # doctest: +SKIP
    >>> model = er.tl.train_expression(mdata, assay="RNA", fold=1, genome="hg38.fa")  # doctest: +SKIP
    """
    from eregtools.models import EPInformer, EPInformerConfig, get_recipe
    from eregtools.models.device import pick_device
    from eregtools.train.datamodule import TrainingData
    from eregtools.train.fit import fit
    from eregtools.train.modules import ExpressionRegression, Optimisation

    how = Optimisation(learning_rate, weight_decay, (0.9, 0.999), max_epochs, patience, batch_size)
    if variant not in _SLOT_FEATURES:
        raise ValueError(f"variant is {variant!r}; expected one of {', '.join(_SLOT_FEATURES)}")
    genes = require_genes(mdata)
    name = _one_sample(mdata, sample)
    with_signal = variant.startswith("PE-Activity") if promoter_signal is None else promoter_signal
    mrna = len(MRNA_FEATURES) if Varm.mrna_features in genes.varm else 0
    if with_signal and not mrna:
        raise KeyError(
            f"the promoter signal is the ninth gene feature, after {len(MRNA_FEATURES)} mRNA features that the object "
            "lacks; run er.pp.mrna_features first, or pass promoter_signal=False"
        )
    n_slot, n_gene = _SLOT_FEATURES[variant], mrna + with_signal
    recipe_name = "promoter" if variant == "promoter" else recipe
    n_value = get_recipe(recipe_name, n_slot_features=n_slot, n_gene_features=n_gene).n_value
    config = replace(config or EPInformerConfig(), n_slot_features=n_slot, n_gene_features=n_gene, n_value=n_value)
    names = genes.var[Var.chromosome].astype(str).to_numpy()
    sets, scheme = _one_fold(mdata, fold, scheme, names)
    data = gene_data(mdata, name, assay, config, recipe_name, object_genome(mdata, genome))
    in_set = sets[data.inputs.gene]
    train, valid = (data.take(np.flatnonzero(in_set == which)) for which in ("train", "valid"))
    _check_sets({"train": train.target, "valid": valid.target}, fold, "genes", assay)

    seed = settings.seed if rng is None else rng
    network = _seeded(lambda: EPInformer(config), seed)
    if encoder is not None:
        _start_from(network, encoder, set(names[sets != "train"]), allow_leakage)
    module = ExpressionRegression(network, how, freeze_encoder=freeze_encoder)
    augmentation = Augmentation(reverse_complement, max_shift)
    logger.info("training on %d genes, validating on %d", len(train), len(valid))
    metrics = fit(
        module,
        TrainingData(train, valid, batch_size=batch_size, seed=seed, augmentation=augmentation),
        device=pick_device(device),
        seed=seed,
        folder=None if folder is None else Path(folder),
    )
    about = _about(f"EPInformer-{variant}", name, assay, fold, scheme, names, sets)
    about |= {"recipe": recipe_name, "training": _training(module, metrics, seed)}
    return _finish(module, about, folder)


def gene_data(
    mdata: MuData, sample: str, assay: str, config: EPInformerConfig, recipe_name: str, genome: Genome
) -> GeneData:
    """Genes of one biosample with sequence, features and a measured value."""
    from eregtools.models import get_recipe
    from eregtools.train.datamodule import GeneData

    genes = mdata[Modality.genes]
    recipe = get_recipe(recipe_name, n_slot_features=config.n_slot_features, n_gene_features=config.n_gene_features)
    target = require_layer(genes, assay, f'er.pp.add_expression(mdata, …, assay="{assay}")')
    target = target[mdata.obs_names.get_loc(sample)].astype(np.float32)
    inputs = gene_inputs(mdata, sample, recipe)
    promoters = promoter_codes(mdata, genome, np.arange(genes.n_vars), config.window)
    usable = inputs.complete() & np.isfinite(target) & (promoters < UNKNOWN).any(axis=1)
    if lost := int((~usable).sum()):
        logger.info(
            "%s: %d of %d genes lack expression, a feature or sequence and are left out", sample, lost, len(usable)
        )
    kept = np.flatnonzero(usable)
    inputs = inputs.take(kept)
    distinct, place = np.unique(inputs.element, return_inverse=True)
    elements = enhancer_codes(mdata, genome, distinct, config.window)
    return GeneData(replace(inputs, element=place), promoters[kept], elements, target[kept])


def _one_sample(mdata: MuData, sample: str | None) -> str:
    names = pick_samples(mdata, sample)
    if len(names) > 1:
        raise ValueError(f"the object holds {', '.join(names)}; name one with sample=")
    return names[0]


def fold_sets(mdata: MuData, scheme: str | None, chromosomes: NDArray[np.str_]) -> tuple[pd.DataFrame, str]:
    """Set of each element (rows) in each fold (columns) of a scheme in the object, and the scheme's name."""
    about = mdata.uns.get(UNS, {})
    tables = about.get(Uns.folds, {})
    if scheme is None:
        scheme = about.get(Uns.fold_schemes, {}).get(Var.fold)
    if scheme is None or scheme not in tables:
        there = ", ".join(map(str, tables)) or "none"
        raise KeyError(f"no folds of scheme {scheme!r} in the object (there are: {there}); run er.pp.split first")
    table = tables[scheme].astype(object)
    return table.reindex(chromosomes).fillna("train").reset_index(drop=True), str(scheme)


def _one_fold(
    mdata: MuData, fold: int, scheme: str | None, chromosomes: NDArray[np.str_]
) -> tuple[NDArray[np.str_], str]:
    sets, scheme = fold_sets(mdata, scheme, chromosomes)
    if str(fold) not in sets:
        raise KeyError(f"scheme {scheme!r} has no fold {fold}; it has {', '.join(sets.columns)}")
    return sets[str(fold)].to_numpy(), scheme


def _check_sets(targets: Mapping[str, NDArray[np.float32]], fold: int, what: str, target: str) -> None:
    for which, values in targets.items():
        if len(values) < 2:
            raise ValueError(f"fold {fold} has {len(values)} {what} with a value of {target!r} in its {which} set")
        if np.ptp(values) == 0:
            raise ValueError(f"{target!r} takes one value only ({values[0]:g}) in the {which} set of fold {fold}")


def _seeded(build: Any, seed: int) -> Any:
    """Build a network whose weights depend on the seed alone, and leave the caller's random state as it was."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def _start_from(
    network: EPInformer, encoder: EPInformerSeq | str | Path, held_out: set[str], allow_leakage: bool
) -> None:
    from eregtools.models import EPInformerSeq, load
    from eregtools.sampling import fold_table

    source = load(encoder) if isinstance(encoder, str | Path) else encoder
    if not isinstance(source, EPInformerSeq):
        raise ValueError(f"encoder= is of type {type(source).__name__}; expected EPInformerSeq")
    for what in ("tower_channels", "tower_batchnorm", "n_value"):
        theirs, ours = getattr(source.config, what), getattr(network.config, what)
        if theirs != ours:
            raise ValueError(f"the encoder has {what}={theirs}, the model {ours}; pass a config with the same tower")
    about = source.provenance
    unseen = about.get("test_chromosomes")
    if unseen is None and about.get("fold_scheme") == "epinformer12":
        table = fold_table("epinformer12", held_out)[str(about["fold"])]
        unseen = table.index[(table != "train").to_numpy()]
    elif unseen is not None:
        unseen = [*unseen, *about.get("valid_chromosomes", ())]
    if unseen is None:
        logger.warning("it is not known on which chromosomes the encoder was trained")
    elif (seen := sorted(held_out - set(unseen))) and not allow_leakage:
        raise ValueError(
            f"the encoder was trained on {', '.join(seen)}, which this fold holds out; take the encoder of the same "
            "fold, or pass allow_leakage=True"
        )
    network.encoder.load_state_dict(source.encoder.state_dict())


def _about(
    name: str,
    sample: str,
    assay: str,
    fold: int,
    scheme: str,
    chromosomes: NDArray[np.str_],
    sets: NDArray[np.str_],
) -> dict[str, Any]:
    """Say what a model was trained as, and which chromosomes it left out: a scheme's name may change meaning."""
    return {
        "name": f"{name}/{sample}/{assay}/fold{fold}",
        "biosample": sample,
        "assay": assay,
        "fold": int(fold),
        "fold_scheme": scheme,
        "valid_chromosomes": sorted(set(chromosomes[sets == "valid"].tolist())),
        "test_chromosomes": sorted(set(chromosomes[sets == "test"].tolist())),
    }


def _training(module: Any, metrics: Mapping[str, float | int], seed: int) -> dict[str, Any]:
    return {**module.describe(), "seed": seed, **metrics}


def _finish(module: Any, about: dict[str, Any], folder: str | Path | None) -> Any:
    model = module.network
    model.provenance = about | {"sha256": model.fingerprint()}
    if folder is not None:
        model.save(folder)
    return model
