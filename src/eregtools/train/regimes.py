"""Named ways to train: what the paper says, what the published weights show, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, Self

BatchNormRows = Literal["masked", "legacy"]
BatchOrder = Literal["random", "locus"]
Monitor = Literal["loss", "mse", "r2", "auprc"]

MONITORS: Final[Mapping[str, str]] = {
    "loss": "val_loss",
    "mse": "val_mse",
    "r2": "val_minus_r2",
    "auprc": "val_minus_auprc",
}
"""Validation figure whose least value makes an epoch the best, by the name of a regime's ``monitor``."""


@dataclass(frozen=True)
class Stage:
    """One run of the optimiser from the best weights of the one before.

    Attributes
    ----------
    learning_rate
        Of this stage.
    max_epochs
        Most passes over the training rows.
    promoter_signal
        Show the gene's signals (promoter activity and tracks) to the predictor; ``False``: they are 0.
    """

    learning_rate: float
    max_epochs: int
    promoter_signal: bool = True


@dataclass(frozen=True)
class Regime:
    """How a network is trained.

    Attributes
    ----------
    name
        ``"paper"``, ``"published"`` or ``"eregtools"``.
    recipe
        How features are transformed (:func:`eregtools.models.get_recipe`).
    stages
        Runs of the optimiser.
    loss
        ``"smooth_l1"`` (beta 1), ``"mse"``, or ``"bce"`` (cross entropy of a label).
    monitor
        What chooses the epoch on the validation rows: ``"loss"``, ``"mse"``; ``"r2"``, the squared Pearson
        correlation, which is blind to scale; or ``"auprc"``, for labels.
    patience
        Epochs without a better one after which a stage ends.
    batch_size
        Genes or windows in a step, over all devices together.
    optimiser
        ``"AdamW"``, or ``"Adam"``, whose weight decay is a part of the gradient.
    betas, weight_decay
        Of the optimiser.
    gradient_clip
        Largest norm of a step's gradient; ``None``: any.
    schedule
        ``"constant"`` learning rate, or ``"cosine"``: up in the first steps, then down to zero.
    warm_up
        Share of the steps of a cosine in which the rate goes up.
    decay
        Parameters whose weights decay: ``"all"``, or ``"matrices"``, not biases and scales.
    batchnorm
        Slots whose moments normalise a batch: ``"legacy"``, all of the padded batch, also empty ones, as the
        original; ``"masked"``, those that hold a sequence.
    batches
        ``"random"`` genes, or ``"locus"``: neighbours, which share enhancers and cost less.
    """

    name: str
    recipe: str
    stages: tuple[Stage, ...]
    loss: Literal["smooth_l1", "mse", "bce"] = "smooth_l1"
    monitor: Monitor = "loss"
    patience: int = 6
    batch_size: int = 16
    optimiser: Literal["AdamW", "Adam"] = "AdamW"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-6
    gradient_clip: float | None = None
    schedule: Literal["constant", "cosine"] = "constant"
    warm_up: float = 0.1
    decay: Literal["all", "matrices"] = "all"
    batchnorm: BatchNormRows = "masked"
    batches: BatchOrder = "random"

    def __post_init__(self) -> None:
        for name, least in (("patience", 1), ("batch_size", 2)):
            _at_least(name, getattr(self, name), least)
        for stage in self.stages:
            _at_least("max_epochs", stage.max_epochs, 1)
            if not stage.learning_rate > 0:
                raise ValueError(f"learning_rate is {stage.learning_rate}; expected a positive number")
        for name, allowed in (
            ("loss", ("smooth_l1", "mse", "bce")),
            ("monitor", tuple(MONITORS)),
            ("optimiser", ("AdamW", "Adam")),
            ("schedule", ("constant", "cosine")),
            ("decay", ("all", "matrices")),
            ("batchnorm", ("masked", "legacy")),
            ("batches", ("random", "locus")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}")
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"warm_up is {self.warm_up}; expected a share of the steps, from 0 to 1")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay is {self.weight_decay}; expected a number of at least 0")
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise ValueError(f"gradient_clip is {self.gradient_clip}; expected a positive number or None")

    def but(self, **changes: Any) -> Self:
        """Return the regime with those fields changed; ``None`` keeps a field.

        ``learning_rate`` is that of the first stage, and scales the others. ``max_epochs`` is that of a single stage;
        of several it caps each.
        """
        given = {key: value for key, value in changes.items() if value is not None}
        rate, epochs = given.pop("learning_rate", None), given.pop("max_epochs", None)
        factor = 1.0 if rate is None else rate / self.stages[0].learning_rate
        stages = tuple(
            replace(
                stage,
                learning_rate=stage.learning_rate * factor,
                max_epochs=stage.max_epochs if epochs is None else min(epochs, stage.max_epochs),
            )
            for stage in self.stages
        )
        if epochs is not None and len(stages) == 1:
            stages = (replace(stages[0], max_epochs=epochs),)
        return replace(self, stages=stages, **given)

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionary, to be stored with the weights."""
        about = asdict(self)
        about |= {"stages": [asdict(stage) for stage in self.stages], "betas": list(self.betas)}
        return {"regime": about.pop("name"), **about}


def _at_least(name: str, value: float, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} is {value}; expected at least {least}")


def expression_regime(name: str, n_slot_features: int, *, use_sequence: bool = True) -> Regime:
    """Regime of that name for :class:`~eregtools.models.EPInformer`.

    Parameters
    ----------
    name
        ``"paper"``: batch 64, AdamW 5e-4 with betas (0.9, 0.99), smooth L1, the epoch with the least validation
        mean squared error, patience 6. ``"published"``: what the published weights' metadata and archive names
        show: batch 16, betas (0.9, 0.999), the epoch with the highest squared validation correlation, patience 3,
        and two stages: first without promoter signal, then with it at a tenth of the rate, for one epoch (20 with
        contact). Both normalise over the padded batch. ``"eregtools"``: ours; on the simulated genome a rate that
        falls as a cosine, clipped gradients and batches of neighbouring genes brought the held-out r from 0.874 to
        0.886, and batches of neighbours cost a third.
    n_slot_features
        Features of a slot, beside its tracks.
    use_sequence
        Whether the model reads sequence; ours differs for one that does not.
    """
    if name == "paper":
        stage = Stage(5e-4, 100)
        return Regime(name, "legacy", (stage,), monitor="mse", batch_size=64, betas=(0.9, 0.99), batchnorm="legacy")
    if name == "published":
        second = Stage(5e-5, 20 if n_slot_features > 2 else 1)
        stages = (Stage(5e-4, 100, promoter_signal=False), second)
        return Regime(name, "legacy", stages, monitor="r2", patience=3, batch_size=16, batchnorm="legacy")
    if name == "eregtools" and not use_sequence:
        return Regime(
            name,
            "log",
            (Stage(2e-3, 14),),
            loss="mse",
            monitor="r2",
            patience=14,
            batch_size=128,
            weight_decay=1e-2,
            decay="matrices",
            gradient_clip=1.0,
            schedule="cosine",
        )
    if name == "eregtools":
        return Regime(
            name,
            "log",
            (Stage(1e-3, 30),),
            patience=30,
            batch_size=32,
            weight_decay=1e-2,
            gradient_clip=1.0,
            schedule="cosine",
            batches="locus",
        )
    raise ValueError(f"regime is {name!r}; expected one of paper, published, eregtools")


def activity_regime(name: str) -> Regime:
    """Regime of that name for :class:`~eregtools.models.EPInformerSeq`.

    Parameters
    ----------
    name
        ``"paper"``: as for expression. ``"published"``: batch 64 (as the weights' file names say), the epoch with
        the highest squared validation correlation, patience 3. ``"eregtools"``: ours.
    """
    if name == "paper":
        stage = Stage(5e-4, 100)
        return Regime(name, "legacy", (stage,), monitor="mse", batch_size=64, betas=(0.9, 0.99))
    if name == "published":
        return Regime(name, "legacy", (Stage(5e-4, 100),), monitor="r2", patience=3, batch_size=64)
    if name == "eregtools":
        return Regime(name, "log", (Stage(5e-4, 100),), batch_size=64)
    raise ValueError(f"regime is {name!r}; expected one of paper, published, eregtools")


def interaction_regime(name: str) -> Regime:
    """Regime of that name for :class:`~eregtools.models.EPIPAM`.

    Parameters
    ----------
    name
        ``"paper"``: 15 epochs of batches of 100 with Adam, rate 1e-3, and an L2 penalty of 5e-4 on all parameters; the
        epoch with the largest area under the precision-recall curve of the validation pairs (the paper takes it from
        the test pairs). ``"eregtools"``: ours, with AdamW, clipped gradients, batches of 50 and a rate that falls as a
        cosine.
    """
    if name not in ("paper", "eregtools"):
        raise ValueError(f"regime is {name!r}; expected one of paper, eregtools")
    paper = Regime(
        name,
        "epipam",
        (Stage(1e-3, 15),),
        loss="bce",
        monitor="auprc",
        patience=15,
        batch_size=100,
        optimiser="Adam",
        weight_decay=5e-4,
    )
    if name == "paper":
        return paper
    return replace(
        paper,
        batch_size=50,
        optimiser="AdamW",
        weight_decay=1e-2,
        gradient_clip=1.0,
        schedule="cosine",
        patience=5,
    )
