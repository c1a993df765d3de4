"""What an ERNAformer learns from: labelled loci of an object, or a simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eregtools._keys import Var
from eregtools.batches.loci import LocusAugmentation, LocusWindows
from eregtools.datasets.simulate_erna import ErnaSimulation, described
from eregtools.tl._erna_windows import locus_windows, open_coverage, require_ernas
from eregtools.tl._models import biosample_of
from eregtools.tl._training import check_sets, leakage_of, left_out, one_fold
from eregtools.tl.expression import object_genome, pick_samples
from eregtools.tl.predict_ernas import labels_of

if TYPE_CHECKING:
    from mudata import MuData

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models import ERNAformer, ERNAformerConfig

_WHAT = "loci"


@dataclass(frozen=True)
class Material:
    """What is learnt from, and what is known of it."""

    train: LocusWindows
    valid: LocusWindows
    about: dict[str, Any]
    trained_on: frozenset[str] = frozenset()
    """Chromosomes of the training loci."""
    redrawn: Callable[[int], LocusWindows] | None = None


def material_of(
    mdata: Any,
    valid: ErnaSimulation | None,
    config: ERNAformerConfig,
    augmentation: LocusAugmentation,
    seed: int,
    fold: int | None,
    scheme: str | None,
    sample: str | Iterable[str] | None,
    coverage: Coverage | str | Path | None,
    genome: Genome | str | Path | None,
) -> Material:
    if isinstance(mdata, ErnaSimulation):
        if fold is not None or sample is not None or coverage is not None or genome is not None:
            raise ValueError("a simulation has no folds, samples, coverage store or genome; leave them out")
        return _of_simulation(mdata, valid, config, augmentation, seed)
    if valid is not None:
        raise ValueError("valid= is for simulations; the validation chromosomes of an object are those of fold=")
    if fold is None:
        raise ValueError("fold= is missing: the fold whose chromosomes are held out (er.pp.split makes folds)")
    samples = pick_samples(mdata, sample)
    return _of_object(mdata, samples, config, augmentation.jitter, fold, scheme, coverage, genome)


def _of_simulation(
    simulation: ErnaSimulation,
    valid: ErnaSimulation | None,
    config: ERNAformerConfig,
    augmentation: LocusAugmentation,
    seed: int,
) -> Material:
    if simulation.config.width < config.width + 2 * augmentation.jitter:
        raise ValueError(
            f"windows of {simulation.config.width} bp leave no room for a jitter of {augmentation.jitter} bp around "
            f"{config.width}; pass an augmentation with jitter=0"
        )
    part, chooses = simulation.split() if valid is None else (simulation, valid)
    train_rows, valid_rows = part.windows(), chooses.windows()
    for windows in (train_rows, valid_rows):
        windows.check()
    about = {
        "name": f"ERNAformer/simulated/{simulation.task}",
        "biosample": "simulated",
        "assay": "ernas",
        "simulation": described(simulation),
        "prior": float(train_rows.label.mean()),
    }
    redrawn = (lambda epoch: part.repaired((seed, epoch)).windows()) if part.redraws else None
    return Material(train_rows, valid_rows, about, redrawn=redrawn)


def _of_object(
    mdata: MuData,
    samples: Sequence[str],
    config: ERNAformerConfig,
    jitter: int,
    fold: int,
    scheme: str | None,
    coverage: Coverage | str | Path | None,
    genome: Genome | str | Path | None,
) -> Material:
    ernas = require_ernas(mdata)
    label = labels_of(ernas)
    names = ernas.var[Var.chromosome].astype(str).to_numpy()
    sets, scheme = one_fold(mdata, fold, scheme, names)
    labelled = np.isfinite(label)
    rows = {which: np.flatnonzero((sets == which) & labelled) for which in ("train", "valid")}
    check_sets({which: label[picked] for which, picked in rows.items()}, fold, _WHAT, Var.label)
    store, sequence = open_coverage(mdata, coverage, samples), object_genome(mdata, genome)
    parts = {}
    for which, picked in rows.items():
        room = jitter if which == "train" else 0
        windows = locus_windows(
            ernas.var.iloc[picked], samples, label[picked], config, sequence, store, margin=room
        ).known()
        parts[which] = windows
    check_sets({which: part.label for which, part in parts.items()}, fold, f"{_WHAT} with sequence", Var.label)
    about = {
        "name": f"ERNAformer/{'+'.join(samples)}/fold{fold}",
        **left_out([biosample_of(mdata, name) for name in samples], "ernas", fold, scheme, names, sets),
        "coverage": store.fingerprint,
        "prior": float(parts["train"].label.mean()),
    }
    return Material(parts["train"], parts["valid"], about, frozenset(names[rows["train"]].tolist()))


def inherited_leakage(source: ERNAformer, material: Material, allow_leakage: bool) -> str:
    """Whether weights to go on from saw what this fold holds out; a simulation shows no chromosome."""
    about, new = source.provenance, material.about
    if "simulation" in about or "simulation" in new:
        return str(about.get("leakage", "no"))
    held_out = {*new["valid_chromosomes"], *new["test_chromosomes"]}
    leakage = leakage_of(about, held_out, allow_leakage, what="model")
    spent = sorted(material.trained_on & set(about.get("test_chromosomes", ())))
    if spent and not allow_leakage:
        raise ValueError(
            f"this fold trains on {', '.join(spent)}, which the model held out to be judged on; use the same fold, or "
            "pass allow_leakage=True (the model is marked)"
        )
    return leakage
