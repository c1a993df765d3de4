"""Imports the package whole before pytest imports single files of it, and gives the examples of docstrings a place.

A file that pytest imports first takes the place of the function that has its name: ``er.pl.locus`` would be a module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

import eregtools as er
from eregtools import datasets, genome, get, io, pl, pp, report, tl  # noqa: F401


@cache
def kept_demo(demo: Callable[..., Any], **parameters: int) -> tuple[Any, er.Genome]:
    """Build the object of these parameters, and its genome."""
    return demo(**parameters), genome.get_genome("simulated")


def seed_of_torch() -> None:
    """Start torch from one seed, where it has been imported."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def own_networks():
    """Random weights of a file's networks do not depend on the files before it."""
    seed_of_torch()


@pytest.fixture(autouse=True)
def own_weights(own_networks):
    """Nor do those of a test on the tests before it."""
    seed_of_torch()


@pytest.fixture(autouse=True)
def own_genomes(monkeypatch):
    """Genomes that a test registers are forgotten after it."""
    monkeypatch.setattr(genome, "_REGISTERED", dict(genome._REGISTERED))


@pytest.fixture(autouse=True)
def place_of_examples(request, monkeypatch, tmp_path_factory):
    """Examples share a cache folder, and each demonstration object is built once; every example has a copy."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    build = er.datasets.demo

    def demo(**parameters):
        mdata, simulated = kept_demo(build, **parameters)
        er.register_genome("simulated", simulated)
        return mdata.copy()

    monkeypatch.setattr(er.datasets, "demo", demo)
    with er.settings.override(cache_dir=tmp_path_factory.getbasetemp() / "cache", progress=False):
        yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
