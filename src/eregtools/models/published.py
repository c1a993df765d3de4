"""Read the checkpoints published with EPInformer into our models, by their keys and shapes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eregtools.models import published_epipam
from eregtools.models.epinformer import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
from eregtools.models.epipam import EPIPAM
from eregtools.models.layers import TOWER_CHANNELS, DilatedHead, SequenceEncoder

_EXPRESSION_KEY = "pToExpr.0.weight"
_ACTIVITY_KEY = "embedToAct."


def load_published(path: str | Path) -> EPInformer | EPInformerSeq | EPIPAM:
    """Read a checkpoint of EPInformer, of its enhancer predictor or of EPIPAM as their authors' code writes it.

    The architecture is recognised from the names and shapes of the stored tensors. Nothing in the file is
    executed: it is read with ``weights_only=True`` and an allow-list of the three NumPy types that hold the
    stored validation loss.

    Parameters
    ----------
    path
        A ``.pt`` file.

    Returns
    -------
    The model, on the CPU, in evaluation mode.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not a checkpoint, wants to run code, or holds another architecture.

    Notes
    -----
    Families: expression models with 0 to 3 slot features, with 0, 8 or 9 gene features, with or without batch
    normalisation in the tower or head; enhancer predictors with two hidden layers or a linear one, with or
    without batch normalisation in the tower. Tensors under ``encoder.conv_out.``, which some enhancer predictors
    carry but do not use, are left out. Source: github.com/pinellolab/EPInformer (MIT). Of EPIPAM no trained weights are
    published; its authors' code writes such files.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    state = _state_dict(path)
    try:
        if _EXPRESSION_KEY in state:
            return _expression_model(state, path).eval()
        if any(key.startswith(_ACTIVITY_KEY) for key in state):
            return _activity_model(state, path).eval()
        if published_epipam.KEY in state:
            return _epipam_model(state, path).eval()
    except (IndexError, KeyError) as error:  # a tensor with too few dimensions, a layer without a number
        raise _other(path, f"tensors that cannot be placed ({error})") from error
    raise ValueError(
        f"{path} holds another architecture: its tensors are named {_some(state)}; "
        f"EPInformer has {_EXPRESSION_KEY!r}, its enhancer predictor {_ACTIVITY_KEY + '1.weight'!r}, EPIPAM "
        f"{published_epipam.KEY!r}"
    )


def _state_dict(path: Path) -> dict[str, Tensor]:
    scalar = (np.dtype("float64").type(0).__reduce__()[0], "numpy.core.multiarray.scalar")
    allowed = [scalar, scalar[0], np.dtype, type(np.dtype("float64"))]
    try:
        with torch.serialization.safe_globals(allowed):  # type: ignore[arg-type]
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        if found := re.search(r"Unsupported (?:global|class)[^A-Za-z]+(?:GLOBAL )?([\w.]+)", str(error)):
            raise ValueError(
                f"{path} wants to run code ({found.group(1)}) and was not loaded; "
                "a checkpoint holds tensors and numbers only"
            ) from None
        with path.open("rb") as file:
            head = file.read(40)
        raise ValueError(f"{path} is not a PyTorch checkpoint: it begins with {head!r}") from None
    if isinstance(stored, dict) and "model_state_dict" in stored:
        stored = stored["model_state_dict"]
    is_state = isinstance(stored, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in stored.items())
    if not is_state or not stored:
        raise ValueError(f"{path} holds no state dict, but {type(stored).__name__}")
    return stored


def _expression_model(state: dict[str, Tensor], path: Path) -> EPInformer:
    positions = state.get("conv_out.12.weight", state.get("conv_out.8.weight"))
    if positions is None or "attn_encoder.0.norm1.weight" not in state:
        raise _other(path, "an expression model without the dilated head or without layer normalisation")
    expected = 2000 // SequenceEncoder.stride - 2 * sum(DilatedHead.dilations)
    if positions.shape[1] != expected:
        raise _other(path, f"a head over {positions.shape[1]} positions (EPInformer's has {expected})")
    dim = state["attn_encoder.0.norm1.weight"].shape[0]
    fused = state["add_pos_conv.0.weight"].shape[1] - dim if "add_pos_conv.0.weight" in state else 0
    n_gene_features = state[_EXPRESSION_KEY].shape[1] - dim
    if not 0 <= fused <= 3 or n_gene_features not in (0, 8, 9):
        raise _other(path, f"{fused} slot features and {n_gene_features} gene features")
    head_batchnorm = "conv_out.1.running_mean" in state
    config = EPInformerConfig(
        n_slot_features=fused,
        n_gene_features=n_gene_features,
        embedding_dim=dim,
        n_layers=len({key.split(".")[1] for key in state if key.startswith("attn_encoder.")}),
        tower_batchnorm="seq_encoder.conv_tower.0.1.running_mean" in state,
        head_batchnorm=head_batchnorm,
    )
    renamed = {}
    for key, value in state.items():
        renamed[_expression_name(key, head_batchnorm)] = _squeezed(key, value)
    if fused == 0:
        renamed = {key: value for key, value in renamed.items() if not key.startswith("fusion.")}
    model = EPInformer(config)
    _load(model, renamed, path)
    return model


def _expression_name(key: str, head_batchnorm: bool) -> str:
    part, _, rest = key.partition(".")
    match part:
        case "seq_encoder":
            return "encoder." + _tower_name(rest)
        case "conv_out":
            number, _, leaf = rest.partition(".")
            every = 3 if head_batchnorm else 2
            if int(number) == 4 * every:
                return f"head.positions.{leaf}"
            return f"head.convolutions.{int(number) // every * 3 + int(number) % every}.{leaf}"
        case "add_pos_conv":
            return f"fusion.{rest}"
        case "pToExpr":
            return f"predictor.{rest}"
        case "attn_encoder":
            number, _, leaf = rest.partition(".")
            leaf = leaf.replace("self_attn.in_proj_", "in_proj.").replace("self_attn.out_proj", "out_proj")
            leaf = re.sub(r"^ff\.", "feed_forward.", leaf)
            return f"layers.{number}.{leaf}"
    return key


def _tower_name(key: str) -> str:
    """``stem_conv.0.weight`` to ``stem.weight``, ``conv_tower.2.1.bias`` to ``blocks.1.norm.bias``."""
    if key.startswith("stem_conv.0."):
        return key.replace("stem_conv.0.", "stem.")
    if found := re.fullmatch(r"conv_tower\.(\d+)\.(\d+)\.(\w+)", key):
        number, layer, leaf = int(found[1]), int(found[2]), found[3]
        name = "pointwise" if number % 2 else ("conv", "norm")[layer]
        return f"blocks.{number // 2}.{name}.{leaf}"
    return key


def _activity_model(state: dict[str, Tensor], path: Path) -> EPInformerSeq:
    unused = "encoder.conv_out."
    renamed = {}
    for key, value in state.items():
        if key.startswith("encoder.") and not key.startswith(unused):
            renamed["encoder." + _tower_name(key.removeprefix("encoder."))] = _squeezed(key, value)
        elif key.startswith(_ACTIVITY_KEY):
            renamed[re.sub(r"^embedToAct\.(\d+)", lambda m: f"head.{int(m[1]) - 1}", key)] = value
        elif not key.startswith(unused):
            raise _other(path, f"a tensor named {key!r}")
    first = renamed.get("head.0.weight")
    size = TOWER_CHANNELS[-1] * 256 // SequenceEncoder.stride
    if first is None or first.shape[1] != size:
        raise _other(path, f"an activity head whose first layer is not a map of {size} values")
    config = EPInformerSeqConfig(
        hidden=first.shape[0] if "head.8.weight" in renamed else 0,
        tower_batchnorm="encoder.blocks.0.norm.running_mean" in renamed,
    )
    model = EPInformerSeq(config)
    _load(model, renamed, path)
    return model


def _epipam_model(state: dict[str, Tensor], path: Path) -> EPIPAM:
    config = published_epipam.config_of(state)
    if config is None:
        raise _other(path, "an EPIPAM of other windows than 3000 x 2000 or 1000 x 1000 bp")
    model = EPIPAM(config)
    _load(model, published_epipam.renamed(state), path)
    return model


def _squeezed(key: str, value: Tensor) -> Tensor:
    """Convolution weights are stored with a dimension of size one for the slots, or as width-one maps."""
    if value.ndim == 4 and value.shape[2] == 1:
        return value.squeeze(2)
    if key.startswith("add_pos_conv") and value.ndim == 3 and value.shape[2] == 1:
        return value.squeeze(2)
    return value


def _load(model: EPInformer | EPInformerSeq | EPIPAM, renamed: dict[str, Tensor], path: Path) -> None:
    expected = model.state_dict()
    missing = [key for key in expected if key not in renamed and not key.endswith("num_batches_tracked")]
    surplus = [key for key in renamed if key not in expected]
    misshaped = [key for key in expected if key in renamed and tuple(renamed[key].shape) != tuple(expected[key].shape)]
    for what, keys in (("lacks", missing), ("has unknown", surplus), ("has misshaped", misshaped)):
        if keys:
            raise _other(path, f"a network that {what} {_some(keys)}")
    model.load_state_dict(renamed, strict=False)


def _other(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} holds another architecture than the published one: {what}")


def _some(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:3]) + (f" … ({len(names)} in all)" if len(names) > 3 else "")
