"""Every public name says what it takes, what it gives, and shows it in an example that runs.

That the examples' output is right, pytest's own run of the doctests tells.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import inspect
import warnings
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import pytest

import eregtools as er

NumpyDocString = pytest.importorskip("numpydoc.docscrape").NumpyDocString

NOTHING_TO_REFUSE = {"datasets.three_genes", "models.list", "models.model_card"}
MODULES = ("pp", "tl", "pl", "io", "get", "datasets", "models", "report")


def public() -> Iterator[tuple[str, Any]]:
    for module in MODULES:
        for name in getattr(er, module).__all__:
            value = getattr(getattr(er, module), name)
            if callable(value):
                yield f"{module}.{name}", value
    yield "Genome", er.Genome
    yield "register_genome", er.register_genome
    yield "settings", type(er.settings)
    yield "settings.override", type(er.settings).override


PUBLIC = dict(public())
FUNCTIONS = [name for name, value in PUBLIC.items() if not inspect.isclass(value)]
CLASSES = [name for name, value in PUBLIC.items() if inspect.isclass(value)]


@cache
def documented(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return NumpyDocString(inspect.getdoc(PUBLIC[name]) or "")


def names_of(entries: list[Any]) -> list[str]:
    return [name.lstrip("*") for entry in entries for name in entry.name.split(", ")]


def arguments(value: Any) -> list[str]:
    return [name for name in inspect.signature(value).parameters if name != "self"]


def executed(name: str) -> list[doctest.Example]:
    text = "\n".join(documented(name)["Examples"])
    return [e for e in doctest.DocTestParser().get_examples(text) if doctest.SKIP not in e.options]


def bound_names(tree: ast.AST) -> set[str]:
    """Names that the lines of an example themselves make."""
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return bound


@pytest.mark.parametrize("name", PUBLIC)
def test_summary_is_one_line_that_ends(name):
    (summary, *more) = documented(name)["Summary"]
    assert summary.endswith(".")
    assert not more


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_described_and_no_other(name):
    assert sorted(names_of(documented(name)["Parameters"])) == sorted(arguments(PUBLIC[name]))


@pytest.mark.parametrize("name", CLASSES)
def test_attributes_and_constructor_are_described(name):
    value, doc = PUBLIC[name], documented(name)
    attributes = names_of(doc["Attributes"])
    assert attributes
    if is_dataclass(value):
        assert sorted(attributes) == sorted(field.name for field in fields(value))
    else:
        assert sorted(names_of(doc["Parameters"])) == sorted(arguments(value))


@pytest.mark.parametrize("name", PUBLIC)
def test_entries_are_described_and_types_are_left_to_the_signature(name):
    doc = documented(name)
    for entry in [*doc["Parameters"], *doc["Attributes"]]:
        assert entry.type == "", entry.name
        assert "".join(entry.desc).strip(), entry.name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_returned_and_what_is_set_in_place(name):
    value, doc = PUBLIC[name], documented(name)
    returned = inspect.signature(value).return_annotation
    assert returned is not inspect.Signature.empty
    if returned != "None":
        assert doc["Returns"] or doc["Yields"]
    if "copy" in arguments(value):
        assert "sets the following field" in (inspect.getdoc(value) or "")[1:].lower()


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in NOTHING_TO_REFUSE])
def test_errors_are_told(name):
    assert documented(name)["Raises"]


@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_runs_and_uses_the_name(name):
    used = set()
    for example in executed(name):
        for node in ast.walk(ast.parse(example.source)):
            used |= {getattr(node, "attr", None), getattr(node, "id", None)}
    assert name.split(".")[-1] in used


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_run_by_themselves(name):
    """Nothing that only the module of the function has imported is used."""
    tree = ast.parse("".join(example.source for example in executed(name)))
    loaded = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert loaded <= bound_names(tree) | set(dir(builtins)) | {"_"}
