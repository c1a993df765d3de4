"""eregtools: gene regulation in one object.

Genes, candidate enhancers, enhancer-gene links and enhancer-RNA loci live in one MuData whose observations are
biosamples. ``pp`` fills it from genomic files, ``tl`` runs models on it in place, ``pl`` draws it.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from eregtools._settings import settings

if TYPE_CHECKING:
    from eregtools import datasets, get, io, models, pl, pp, report, tl
    from eregtools.genome import Genome, register_genome

__version__ = version("eregtools")

__all__ = ["Genome", "datasets", "get", "io", "models", "pl", "pp", "register_genome", "report", "settings", "tl"]

_MODULES = frozenset({"datasets", "get", "io", "models", "pl", "pp", "report", "tl"})
_FROM_GENOME = frozenset({"Genome", "register_genome"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"eregtools.{name}")
    if name in _FROM_GENOME:
        return getattr(import_module("eregtools.genome"), name)
    raise AttributeError(f"module 'eregtools' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
