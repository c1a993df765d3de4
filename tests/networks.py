"""Networks for tests: random weights, and the names under which the original code stores them."""

from __future__ import annotations

import torch

from eregtools.models import EPInformerSeq


def randomised(model, seed=0):
    """Weights and running statistics that no term of the network drops out of."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.dtype.is_floating_point:
            noise = torch.randn(value.shape, generator=generator) * 0.02
            value.copy_(noise.abs() + 0.5 if name.endswith("running_var") else value + noise)
    return model.eval()


def original_names(model):
    """State dict of one of our models under the names of the original code."""
    names = {
        "stem.": "stem_conv.0.",
        "pointwise.": "0.",
        "conv.": "0.",
        "norm.": "1.",
    }
    out = {}
    seq = isinstance(model, EPInformerSeq)
    for key, value in model.state_dict().items():
        part, _, rest = key.partition(".")
        if part == "encoder":
            prefix = "encoder." if seq else "seq_encoder."
            if rest.startswith("stem"):
                key = prefix + rest.replace("stem.", names["stem."])
            else:
                _, number, layer, leaf = rest.split(".")
                at = 2 * int(number) + (layer == "pointwise")
                key = f"{prefix}conv_tower.{at}.{names[layer + '.']}{leaf}"
            value = value.unsqueeze(2) if value.ndim == 3 else value
        elif part == "head" and seq:
            number, leaf = rest.split(".")
            key = f"embedToAct.{int(number) + 1}.{leaf}"
        elif part == "head":
            every = 3 if model.config.head_batchnorm else 2
            sub, _, rest = rest.partition(".")
            if sub == "positions":
                key = f"conv_out.{4 * every}.{rest}"
            else:
                number, leaf = rest.split(".")
                key = f"conv_out.{int(number) // 3 * every + int(number) % 3}.{leaf}"
                value = value.unsqueeze(2) if value.ndim == 3 else value
        elif part == "fusion":
            key = f"add_pos_conv.{rest}"
            value = value.unsqueeze(2) if value.ndim == 2 else value
        elif part == "predictor":
            key = f"pToExpr.{rest}"
        elif part == "layers":
            for ours, theirs in (
                ("in_proj.", "self_attn.in_proj_"),
                ("out_proj", "self_attn.out_proj"),
                ("feed_forward", "ff"),
            ):
                rest = rest.replace(ours, theirs)
            key = f"attn_encoder.{rest}"
        out[key] = value
    return out
