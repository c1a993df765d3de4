"""What training of every model on the object shares: folds, genes of several biosamples, folders to resume from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from eregtools._keys import Modality
from eregtools._logging import logger
from eregtools._schema import require_layer
from eregtools.batches.encode import UNKNOWN
from eregtools.batches.genes import GeneInputs, enhancer_codes, gene_inputs, promoter_codes
from eregtools.sampling import fold_sets, fold_table
from eregtools.tl._models import biosamples_of
from eregtools.tl._request import open_folder, plain_request, write_request
from eregtools.tl.expression import pick_samples

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome
    from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq
    from eregtools.train.datamodule import Batches, GeneData
    from eregtools.train.fit import Engine
    from eregtools.train.modules import Training

REQUEST_FILE = "training.json"

Built = TypeVar("Built")


def one_fold(
    mdata: MuData, fold: int, scheme: str | None, chromosomes: NDArray[np.str_]
) -> tuple[NDArray[np.str_], str]:
    """Set of each element in one fold, and the scheme's name."""
    sets, scheme = fold_sets(mdata, scheme, chromosomes)
    if str(fold) not in sets:
        raise KeyError(f"scheme {scheme!r} has no fold {fold}; it has {', '.join(sets.columns)}")
    return sets[str(fold)].to_numpy(), scheme


def check_sets(targets: Mapping[str, NDArray[np.float32]], fold: int, what: str, target: str) -> None:
    """Refuse a fold in which nothing can be learnt or chosen."""
    for which, values in targets.items():
        if len(values) < 2:
            raise ValueError(f"fold {fold} has {len(values)} {what} with a value of {target!r} in its {which} set")
        if np.ptp(values) == 0:
            raise ValueError(f"{target!r} takes one value only ({values[0]:g}) in the {which} set of fold {fold}")


def gene_data(
    mdata: MuData,
    samples: Sequence[str],
    assay: str,
    config: EPInformerConfig,
    recipe_name: str,
    genome: Genome | None,
) -> GeneData:
    """Genes of biosamples with features, a measured value and, unless the model reads none, sequence.

    Each biosample's genes have its own candidates and signal; sequences are stored once for all of them.
    """
    from eregtools.models import get_recipe
    from eregtools.train.datamodule import GeneData

    recipe = get_recipe(
        recipe_name,
        n_slot_features=config.n_slot_features,
        n_gene_features=config.n_gene_features,
        tracks=config.tracks,
        gene_tracks=config.gene_tracks,
    )
    target = require_layer(mdata[Modality.genes], assay, f'er.pp.add_expression(mdata, …, assay="{assay}")')
    n_genes = mdata[Modality.genes].n_vars
    promoters = None if genome is None else promoter_codes(mdata, genome, np.arange(n_genes), config.window)
    readable = np.ones(n_genes, dtype=bool) if promoters is None else (promoters < UNKNOWN).any(axis=1)
    parts, values = [], []
    for sample in samples:
        inputs = gene_inputs(mdata, sample, recipe)
        measured = target[mdata.obs_names.get_loc(sample)].astype(np.float32)
        usable = inputs.complete() & np.isfinite(measured) & readable
        if lost := int((~usable).sum()):
            logger.info(
                "%s: %d of %d genes lack expression, a feature or sequence and are left out", sample, lost, n_genes
            )
        kept = np.flatnonzero(usable)
        parts.append(inputs.take(kept))
        values.append(measured[kept])
    inputs = GeneInputs.concatenated(parts)
    elements = None
    if genome is not None:
        distinct, place = np.unique(inputs.element, return_inverse=True)
        elements = enhancer_codes(mdata, genome, distinct, config.window)
        inputs = replace(inputs, element=place)
    return GeneData(inputs, inputs.gene, promoters, elements, np.concatenate(values))


def engine_of(device: Any, devices: int, nodes: int, precision: Any) -> Engine:
    """Engine of a training's arguments."""
    from eregtools.models.device import pick_device
    from eregtools.train.fit import Engine

    return Engine(pick_device(device), devices, nodes, precision)


def one_sample_to_train(mdata: MuData, sample: str | None) -> str:
    """Name of the biosample to train on; several to choose from are refused."""
    names = pick_samples(mdata, sample)
    if len(names) > 1:
        raise ValueError(f"the object holds {', '.join(names)}; name one with sample=")
    return names[0]


def seeded(build: Callable[[], Built], seed: int) -> Built:
    """Build a network whose weights depend on the seed alone, and leave the caller's random state as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def start_from(
    network: EPInformer | EPInformerSeq,
    encoder: EPInformerSeq | str | Path,
    held_out: set[str],
    allow_leakage: bool,
) -> dict[str, str]:
    """Give a network the weights of an enhancer predictor that never saw the chromosomes held out.

    An :class:`EPInformer` takes its tower, an :class:`EPInformerSeq` all of it. Returned is what to say of the model
    that begins so: the weights' hash, and whether they saw what the fold holds out.
    """
    from eregtools.models import EPInformer, EPInformerSeq, load

    source = load(encoder) if isinstance(encoder, str | Path) else encoder
    if not isinstance(source, EPInformerSeq):
        raise ValueError(f"encoder= is of type {type(source).__name__}; expected EPInformerSeq")
    if isinstance(network, EPInformer) and not network.config.use_sequence:
        raise ValueError("encoder= is of no use to a model without sequence; leave it out, or pass use_sequence=True")
    shared = ("tower_channels", "tower_batchnorm", "n_value")
    for what in shared if isinstance(network, EPInformer) else (*shared, "window", "hidden"):
        theirs, ours = getattr(source.config, what), getattr(network.config, what)
        if theirs != ours:
            raise ValueError(
                f"the encoder has {what}={theirs}, the model {ours}; pass a config with the same tower, and "
                "a recipe that encodes N alike"
            )
    leakage = leakage_of(source.provenance, held_out, allow_leakage, what="encoder")
    if isinstance(network, EPInformer):
        network.encoder.load_state_dict(source.encoder.state_dict())
    else:
        network.load_state_dict(source.state_dict())
    trained_on = biosamples_of(source.provenance)
    return {"encoder_sha256": source.fingerprint(), "encoder_biosample": ", ".join(trained_on), "leakage": leakage}


def leakage_of(about: Mapping[str, Any], held_out: set[str], allow_leakage: bool, *, what: str) -> str:
    """Whether weights to start from saw chromosomes that are held out: ``"yes"``, ``"no"`` or ``"unknown"``.

    Raises
    ------
    ValueError
        They did, and ``allow_leakage`` is not set.
    """
    unseen = about.get("test_chromosomes")
    if unseen is None and about.get("fold_scheme") == "epinformer12":
        table = fold_table("epinformer12", held_out)[str(about["fold"])]
        unseen = table.index[(table != "train").to_numpy()]
    elif unseen is not None:
        unseen = [*unseen, *about.get("valid_chromosomes", ())]
    leakage = str(about.get("leakage", "no"))  # of the weights that these began from
    if leakage == "yes" and not allow_leakage:
        raise ValueError(
            f"the {what} began from weights that saw what its fold holds out; take another {what}, or pass "
            "allow_leakage=True (the model and what it predicts are marked)"
        )
    if unseen is None:
        leakage = "yes" if leakage == "yes" else "unknown"
        logger.warning("it is not known on which chromosomes the %s was trained; the model is marked so", what)
    elif (seen := sorted(held_out - set(unseen))) and not allow_leakage:
        raise ValueError(
            f"the {what} was trained on {', '.join(seen)}, which this fold holds out; take the {what} of the same "
            "fold, or pass allow_leakage=True (the model and what it predicts are marked)"
        )
    elif seen:
        leakage = "yes"
    return leakage


def left_out(
    biosamples: Sequence[str],
    assay: str,
    fold: int,
    scheme: str,
    chromosomes: NDArray[np.str_],
    sets: NDArray[np.str_],
) -> dict[str, Any]:
    """Say on what a model was trained, and which chromosomes it left out: a scheme's name may change meaning."""
    distinct = list(dict.fromkeys(biosamples))
    return {
        "biosample": distinct[0] if len(distinct) == 1 else distinct,
        "assay": assay,
        "fold": int(fold),
        "fold_scheme": scheme,
        "valid_chromosomes": sorted(set(chromosomes[sets == "valid"].tolist())),
        "test_chromosomes": sorted(set(chromosomes[sets == "test"].tolist())),
    }


def train(
    module: Training,
    batches: Mapping[str, Batches],
    about: dict[str, Any],
    *,
    engine: Engine,
    seed: int,
    folder: Path | None,
    resume: bool,
    overwrite: bool,
    how: Mapping[str, Any],
) -> Any:
    """Train a module, or go on where a training of the same kind was broken off; the finished model.

    Parameters
    ----------
    module
        Network and regime.
    batches
        Batches of the sets ``"train"`` and ``"valid"``.
    about
        What the model is; becomes its provenance.
    engine
        On what to train.
    seed
        Seed of all that is drawn.
    folder
        Where the model, its log and its checkpoints go; ``None``: nowhere.
    resume, overwrite
        What to do with a folder that already holds something.
    how
        All else that the result depends on.
    """
    if resume and overwrite:
        raise ValueError("resume=True goes on with what is in the folder, overwrite=True replaces it; pass one of them")
    from eregtools.models import load
    from eregtools.models.base import CONFIG_FILE
    from eregtools.train.datamodule import TrainingData
    from eregtools.train.fit import CHECKPOINT_FOLDER, LOG_FOLDER, fit, is_first_process, wait_for_all_processes

    data_sha256 = {name: part.data.fingerprint() for name, part in batches.items()}
    regime = module.regime.as_dict()
    request: dict[str, Any] = {
        "model": type(module.network).__name__,
        "config": module.network.config,
        "regime": regime,
        "seed": seed,
    }
    request |= {"data_sha256": data_sha256, "precision": engine.precision, **how, **about}
    request = plain_request(request)
    if folder is not None:
        finished = resume and (folder / CONFIG_FILE).is_file()
        if is_first_process():
            finished = open_folder(
                folder,
                request,
                name=REQUEST_FILE,
                what="training",
                finished=CONFIG_FILE,
                parts=(CHECKPOINT_FOLDER, LOG_FOLDER),
                resume=resume,
                overwrite=overwrite,
            )
        if finished:
            logger.info("%s holds the finished model; nothing is trained", folder)
            return load(folder)
    if folder is not None and is_first_process():
        write_request(folder / REQUEST_FILE, request)
    metrics = fit(
        module, TrainingData(batches["train"], batches["valid"]), engine=engine, seed=seed, folder=folder, resume=resume
    )
    model: Any = module.network
    model.provenance = about | {
        "training": {**regime, "seed": seed, **how, **metrics},
        "data_sha256": data_sha256,
        "sha256": model.fingerprint(),
    }
    if folder is not None and is_first_process():
        model.save(folder)
        for path in sorted((folder / CHECKPOINT_FOLDER).glob("*")):
            path.unlink()
        (folder / CHECKPOINT_FOLDER).rmdir()
    wait_for_all_processes(engine)
    return model
