"""Model card: what weights are, what they were made from and what they are good for, in words.

Everything in it is read from the model and its provenance; what is not known there is said to be unknown.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import yaml

from eregtools.models.recipes import RECIPES, Recipe, SequenceRecipe, get_recipe
from eregtools.sampling import fold_table

if TYPE_CHECKING:
    from eregtools.models.base import Model

_PAPER: Final = (
    "Lin, Luo and Pinello: EPInformer: scalable and integrative prediction of gene expression from promoter-enhancer "
    "sequences with multimodal epigenomic profiles. Nature Communications 2026, "
    "[doi:10.1038/s41467-026-70535-8](https://doi.org/10.1038/s41467-026-70535-8)"
)
_EPIPAM: Final = (
    "Liu, Zhu and Zhang: EPIPAM. Computational Biomedicine 2026, "
    "[doi:10.70401/cbm.2026.0013](https://doi.org/10.70401/cbm.2026.0013)"
)
_ERNAFORMER: Final = (
    "Yu et al.: eRNAformer. bioRxiv 2026, [doi:10.64898/2026.06.24.734403]"
    "(https://doi.org/10.64898/2026.06.24.734403); described there, implemented here without the authors' code"
)
_PAPERS: Final[Mapping[str, str]] = {
    "EPInformer": _PAPER,
    "EPInformerSeq": _PAPER,
    "EPIPAM": _EPIPAM,
    "ERNAformer": _ERNAFORMER,
}
"""Paper of each architecture, by the name of its class."""

_DATA: Final[Mapping[str, str]] = {
    "biosample": "Biosample",
    "assay": "Assay",
    "fold_scheme": "Fold scheme",
    "fold": "Fold",
    "valid_chromosomes": "Chromosomes that chose the epoch",
    "test_chromosomes": "Chromosomes left out",
    "data_sha256": "Data (sha256)",
    "sha256": "Weights (sha256)",
}
_ELSEWHERE: Final = {"name", "family", "recipe", "training", "evaluation"}
_HISTORY: Final = "history"


def model_card(model: Model[Any]) -> str:
    """Card of a model in Markdown, with the header that the Hugging Face Hub reads.

    Parameters
    ----------
    model
        The model; what is known of its weights is in ``model.provenance``.

    Returns
    -------
    Text: what the model is, its input, the data and the training it comes from, metrics, how to load it, and what
    it must not be used for. ``model.save`` writes it as ``README.md``.

    Notes
    -----
    Format: Hugging Face model cards (YAML between ``---``, then Markdown).

    Examples
    --------
    >>> import eregtools as er
    >>> model = er.models.EPInformerSeq()
    >>> model.provenance = {"biosample": "K562", "assay": "activity", "fold": 1}
    >>> print(er.models.model_card(model).split("##")[0])
    ---
    library_name: eregtools
    tags:
    - eregtools
    - genomics
    - gene-regulation
    - EPInformerSeq
    - K562
    ---
    <BLANKLINE>
    # EPInformerSeq
    <BLANKLINE>
    Activity of a 256-bp sequence, log2(0.1 + activity); its tower is where EPInformer's starts from.
    <BLANKLINE>
    <BLANKLINE>
    """
    about = {"sha256": model.fingerprint(), **_held_out(model.provenance), **model.provenance}
    training = dict(_flat(about.get("training")))
    parts = [
        _header(model, about),
        f"# {about.get('name', type(model).__name__)}\n\n{_what(model)}",
        f"## Architecture\n\n{_architecture(model)}",
        f"## Input\n\n{_input(model)}",
        f"## Data\n\n{_data(about)}",
        f"## Training\n\n{_training(training)}",
        f"## Metrics\n\n{_metrics(training, about.get('evaluation'))}",
        f"## Use\n\n{_use(model, about)}",
        f"## Limits\n\n{_limits(model, about)}",
        f"## Citation\n\n{_citation(model)}",
    ]
    return "\n\n".join(parts) + "\n"


def recipe_of(model: Model[Any]) -> Recipe | SequenceRecipe | None:
    """Recipe that belongs to the model, or that the provenance names, for as many features as the model takes.

    ``None`` where it is not known.
    """
    if isinstance(own := getattr(model, "recipe", None), SequenceRecipe):
        return own
    name, config = model.provenance.get("recipe"), model.config
    if not isinstance(name, str) or name not in RECIPES or not hasattr(config, "n_slot_features"):
        return None
    return get_recipe(
        name,
        n_slot_features=config.n_slot_features,
        n_gene_features=config.n_gene_features,
        tracks=config.tracks,
        gene_tracks=config.gene_tracks,
    )


def _held_out(about: Mapping[str, Any]) -> dict[str, list[str]]:
    """Chromosomes that a fold of a published scheme validates and tests; nothing for other schemes."""
    if about.get("fold_scheme") not in ("epinformer12", "epipam8"):
        return {}
    table = fold_table(about["fold_scheme"], [f"chr{name}" for name in (*range(1, 23), "X")])
    sets = table.get(str(about.get("fold")))
    if sets is None:
        return {}
    sets = sets.astype(object)
    return {f"{which}_chromosomes": sets.index[sets == which].tolist() for which in ("valid", "test")}


def _header(model: Model[Any], about: Mapping[str, Any]) -> str:
    tags = ["eregtools", "genomics", "gene-regulation", type(model).__name__]
    tags += _biosamples(about)
    header: dict[str, Any] = {"library_name": "eregtools", "tags": tags}
    if about.get("licence"):
        header["license"] = str(about["licence"]).lower()
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---"


def _biosamples(about: Mapping[str, Any]) -> list[str]:
    found = about.get("biosample") or []
    return [found] if isinstance(found, str) else [str(name) for name in found]


def _what(model: Model[Any]) -> str:
    return inspect.cleandoc(type(model).__doc__ or "").split("\n\nParameters\n")[0]


def _architecture(model: Model[Any]) -> str:
    n = sum(parameter.numel() for parameter in model.parameters())
    rows = [("Class", f"`{type(model).__name__}`"), ("Parameters", f"{n:,}")]
    rows += [(f"`{field.name}`", _value(getattr(model.config, field.name))) for field in fields(model.config)]
    return _table(("", ""), rows)


def _input(model: Model[Any]) -> str:
    name, recipe = model.provenance.get("recipe"), recipe_of(model)
    lines = []
    if not getattr(model.config, "use_sequence", True):
        lines.append("It reads no sequence.")
    elif hasattr(model.config, "n_value"):
        lines.append(
            f"Sequence one-hot in the order A, C, G, T; an unknown base (N) is {_value(model.config.n_value)} "
            "in each channel."
        )
    if text := getattr(model, "input_text", ""):
        lines.append(text)
    if recipe is None and hasattr(model.config, "n_slot_features"):
        known = "is not known" if name is None else f"is `{name}`, which eregtools {version('eregtools')} does not have"
        lines.append(f"The recipe of the features {known}: without it the model cannot be fed rightly.")
    if isinstance(recipe, SequenceRecipe):
        lines.append(_sequence_input(recipe))
    elif recipe is not None:
        most = {None: "all", 0: "none"}.get(recipe.max_enhancers, f"the nearest {recipe.max_enhancers}")
        lines.append(f"Recipe `{recipe.name}`; enhancers taken of a gene's: {most}. Features, in this order:")
        rows = [
            (f"`{feature.name}`", "enhancer", f"`{feature.transform}`", _in_promoter_slot(feature.promoter))
            for feature in recipe.slot_features
        ]
        rows += [(f"`{feature.name}`", "gene", f"`{feature.transform}`", "") for feature in recipe.gene_features]
        lines.append(_table(("feature", "of each", "transform", "in the promoter's slot"), rows) if rows else "none.")
    return "\n\n".join(lines)


def _sequence_input(recipe: SequenceRecipe) -> str:
    order = ", ".join(recipe.base_order)
    if recipe.word is None:
        what = f"one-hot in the order {order}; an unknown base (N) is {_value(recipe.n_value)} in each channel"
    else:
        what = f"as overlapping words of {recipe.word} bases (order {order}); 0 where a base is unknown"
    return f"Recipe `{recipe.name}`: sequence of the plus strand, {what}. Windows: {recipe.windows}."


def _in_promoter_slot(value: float | str) -> str:
    return f"`{value}` of its own" if isinstance(value, str) else _value(value)


def _data(about: Mapping[str, Any]) -> str:
    known = {label: about[key] if about.get(key) is not None else "not known" for key, label in _DATA.items()}
    others = {_label(key): value for key, value in about.items() if key not in _DATA and key not in _ELSEWHERE}
    return _table(("", ""), [(label, _value(value)) for label, value in _flat(known | others)])


def _training(training: Mapping[str, Any]) -> str:
    rows = [(_label(key), _value(value)) for key, value in training.items() if not _is_metric(key)]
    return _table(("", ""), rows) if rows else "How these weights were trained is not known."


def _metrics(training: Mapping[str, Any], evaluation: Any) -> str:
    parts = []
    if rows := [(_label(key), _value(value)) for key, value in training.items() if _is_metric(key)]:
        parts.append(
            "On the chromosomes that chose the epoch, hence on the hopeful side:\n\n"
            + _table(("metric", "value"), rows)
        )
    if (table := _evaluation(evaluation)) is not None:
        lines = [[_value(value) for value in row] for row in table.itertuples(index=False)]
        parts.append("Evaluation:\n\n" + _table(table.columns.astype(str), lines))
    return "\n\n".join(parts) or "No metrics are stored with these weights."


def _evaluation(evaluation: Any) -> pd.DataFrame | None:
    """Table of an evaluation that is given as one, as its rows, or as numbers by name."""
    if isinstance(evaluation, pd.DataFrame):
        return evaluation if isinstance(evaluation.index, pd.RangeIndex) else evaluation.reset_index()
    if isinstance(evaluation, Mapping) and evaluation:
        return pd.DataFrame([(_label(key), value) for key, value in _flat(evaluation)], columns=["metric", "value"])
    if isinstance(evaluation, Sequence) and evaluation and all(isinstance(row, Mapping) for row in evaluation):
        return pd.DataFrame(evaluation)
    return None


def _use(model: Model[Any], about: Mapping[str, Any]) -> str:
    assay = about.get("assay", "RNA")
    call = {
        "EPInformer": f'er.tl.predict_expression(mdata, model, assay="{assay}")',
        "EPInformerSeq": "er.tl.predict_activity(mdata, model)",
        "EPIPAM": "er.tl.predict_interactions(mdata, model)",
    }.get(type(model).__name__, "print(model.provenance)")
    return (
        "```python\nimport eregtools as er\n\n"
        'model = er.models.load("owner/name")  # this repository, or the folder of this file\n'
        f"{call}\n```\n\n"
        f"Written by eregtools {version('eregtools')}. Weights are read from safetensors; no code is run."
    )


def _limits(model: Model[Any], about: Mapping[str, Any]) -> str:
    lines = []
    if about.get("simulated"):
        lines.append("It was trained on simulated data alone: it shows the machinery, and says nothing of any genome.")
    if test := about.get("test_chromosomes"):
        valid = about.get("valid_chromosomes")
        chose = f"{_value(valid)} chose its epoch, and it was trained on" if valid else "It was trained on"
        lines.append(
            f"It never saw {_value(test)}; {chose} all other chromosomes of its data. A score on any other than "
            f"{_value(test)} is not a test."
        )
    else:
        lines.append("It is not known which chromosomes it never saw, so no score of it can be called a test.")
    if biosamples := _biosamples(about):
        lines.append(
            f"It belongs to {', '.join(biosamples)}. eregtools refuses it for another biosample unless "
            "`allow_cross_cell=True`, which marks the result."
        )
    else:
        lines.append("It is not known on which biosample it was trained; results made with it are marked so.")
    if hasattr(model.config, "n_slot_features"):
        lines.append("Input prepared by another recipe than the one above gives wrong numbers without an error.")
    baseline = {
        "EPInformer": "the same genes predicted from gene-level numbers without sequence "
        "(`er.tl.baseline_expression`), and this model on shuffled sequence",
        "EPIPAM": "the same pairs by distance, and by how often their elements occur (`er.tl.baseline_interactions`)",
    }.get(type(model).__name__, "a prediction that does not read sequence")
    lines.append(f"Do not judge a score of it without a baseline beside it: {baseline}.")
    return "\n".join(f"- {line}" for line in lines)


def _citation(model: Model[Any]) -> str:
    lines = [f"eregtools {version('eregtools')}"]
    if paper := _PAPERS.get(type(model).__name__):
        lines.append(f"The architecture: {paper}")
    return "\n".join(f"- {line}" for line in lines)


def _flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by their path through nested dictionaries and lists of dictionaries; curves are left out."""
    if isinstance(values, Mapping):
        pairs: Iterable[tuple[Any, Any]] = values.items()
    elif isinstance(values, Sequence) and not isinstance(values, str) and any(isinstance(v, Mapping) for v in values):
        pairs = enumerate(values, start=1)
    else:
        if prefix:
            yield prefix, values
        return
    for key, value in pairs:
        if key != _HISTORY:
            yield from _flat(value, f"{prefix} {key}".strip())


def _is_metric(key: str) -> bool:
    return key.split()[-1].startswith("val_")


def _label(key: str) -> str:
    words = {"val": "validation", "train": "training"}
    return " ".join(words.get(word, word) for word in key.replace("_", " ").split())


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    return "none" if value is None else str(value)


def _table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    columns = list(columns)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
