"""The networks, their recipes and their published weights.

Names that need torch are imported on first use, so that listing models does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eregtools.models.card import model_card
from eregtools.models.recipes import get_recipe
from eregtools.models.zoo import list_models as list
from eregtools.models.zoo import load, load_published

if TYPE_CHECKING:
    from eregtools.models.epinformer import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
    from eregtools.models.epipam import EPIPAM, EPIPAMConfig
    from eregtools.models.ernaformer import ERNAformer, ERNAformerConfig

__all__ = [
    "EPIPAM",
    "EPIPAMConfig",
    "EPInformer",
    "EPInformerConfig",
    "EPInformerSeq",
    "EPInformerSeqConfig",
    "ERNAformer",
    "ERNAformerConfig",
    "get_recipe",
    "list",
    "load",
    "load_published",
    "model_card",
]


def __getattr__(name: str) -> Any:
    if name in {"EPInformer", "EPInformerConfig", "EPInformerSeq", "EPInformerSeqConfig"}:
        from eregtools.models import epinformer

        return getattr(epinformer, name)
    if name in {"ERNAformer", "ERNAformerConfig"}:
        from eregtools.models import ernaformer

        return getattr(ernaformer, name)
    if name in {"EPIPAM", "EPIPAMConfig"}:
        from eregtools.models import epipam

        return getattr(epipam, name)
    raise AttributeError(f"module 'eregtools.models' has no attribute {name!r}")
