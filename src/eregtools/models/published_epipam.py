"""Names and sizes under which EPIPAM's authors store weights, and the configuration that they belong to."""

from __future__ import annotations

import re
from typing import Any, Final

from torch import Tensor

from eregtools.models.epipam_config import PRESETS, EPIPAMConfig

KEY: Final = "enhancer_conv1.weight"
"""A tensor that no other architecture has."""

_EMBEDDINGS: Final = {"embed_layer_en": "enhancer.embedding", "embed_layer_pr": "promoter.embedding"}
_HEADS: Final = {"1": "main", "2": "auxiliary"}
_LAYERS: Final = {"merge_bn": "norm", "linear": "hidden", "out_layer": "out"}


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under our names; those that are not of the network keep theirs."""
    return {_our_name(key): value.float() if value.is_floating_point() else value for key, value in state.items()}


def config_of(state: dict[str, Tensor]) -> EPIPAMConfig | None:
    """Find the configuration whose heads have the sizes of the weights; ``None``: no geometry of the paper."""
    channels, in_channels, _ = state[KEY].shape
    common: dict[str, Any] = {"channels": channels, "hidden": len(state["linear1.bias"])}
    common["attention"] = "linear2.weight" in state
    if (table := state.get("embed_layer_en.weight")) is not None:
        common |= {"embedding": "6-mer", "vocabulary": len(table), "embedding_dim": in_channels}
    for name in PRESETS:
        config = EPIPAMConfig.preset(name, **common)
        expected = {"linear1.weight": config.main_size}
        if config.attention:
            expected["linear2.weight"] = sum(config.n_relations)
        if all(state[key].shape[1] == size for key, size in expected.items()):
            return config
    return None


def _our_name(key: str) -> str:
    layer, _, leaf = key.partition(".")
    if layer in _EMBEDDINGS:
        return f"{_EMBEDDINGS[layer]}.{leaf}"
    if found := re.fullmatch(r"(enhancer|promoter)_conv(\d+)", layer):
        return f"{found[1]}.stages.{int(found[2]) - 1}.conv.{leaf}"
    if (found := re.fullmatch(r"([a-z_]+)([12])", layer)) and found[1] in _LAYERS:
        return f"{_HEADS[found[2]]}.{_LAYERS[found[1]]}.{leaf}"
    return key
