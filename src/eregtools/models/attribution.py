"""Attribution of a prediction to bases by DeepLIFT, integrated gradients or gradients.

Attribution goes through *views*: the trained layers, joined anew such that the input is the one-hot sequence of what
is attributed and that every product of two varying quantities is a module of its own, as DeepLIFT's rules need it.

DeepLIFT is tangermeme's, whose rules for pooling, softmax, layer normalisation and products are exact; captum's is
not, where one non-linearity follows another directly (ELU and pooling in each block of the tower). Integrated
gradients and gradients are captum's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from eregtools.batches.encode import PADDING, occupied
from eregtools.models.device import full_precision
from eregtools.models.layers import PromoterAttention, SequenceEncoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from eregtools.models.epinformer import EPInformer, EPInformerSeq
    from eregtools.models.slots import GeneSlots

METHODS = ("deeplift", "ig", "saliency")
"""Methods of :func:`explain`."""

_SMALL = 0.01
"""Differences of predictions under which the residual is relative to this number."""
_STEPS, _MOST_STEPS = 200, 1_600
_TOLERANCE = 0.01
"""Residual from which integrated gradients take twice the steps."""
_POSITIONS_PER_BATCH = {"cpu": 2**12}
"""Positions that go through a view together: on a CPU what its caches hold."""
_POSITIONS_ELSEWHERE = 2**19

Contraction = Callable[[str | None], nn.Module]
"""Makes a module of two inputs: their matrix product (``None``) or, given an equation, what it says."""

_ELEMENTWISE = "...,...->..."


class Product(nn.Module):
    """Matrix product or elementwise product of two inputs."""

    def __init__(self, equation: str | None) -> None:
        super().__init__()
        self.equation = equation

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply."""
        return a @ b if self.equation is None else a * b


class ActivityView(nn.Module):
    """An :class:`EPInformerSeq` from one-hot windows ``(n, 4, window)`` to activity ``(n, 1)``."""

    def __init__(self, model: EPInformerSeq) -> None:
        super().__init__()
        self.model = model
        self.width = model.config.window
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Activity."""
        return self.model.activity(self.model.encoder(x))[:, None]


class _AttentionView(nn.Module):
    """A :class:`PromoterAttention` without padding, every product a module."""

    def __init__(self, layer: PromoterAttention, contraction: Contraction) -> None:
        super().__init__()
        self.layer = layer
        self.products = nn.ModuleDict(
            {
                "promoter_logits": contraction(None),
                "promoter_values": contraction(None),
                **{name: contraction(_ELEMENTWISE) for name in ("to_promoter", "to_self", "of_promoter", "of_self")},
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run the layer: new states ``(n, slots, dim)``."""
        layer, products = self.layer, self.products
        n, slots, dim = x.shape
        projected = layer.in_proj(layer.norm1(x)).view(n, slots, 3, layer.n_heads, dim // layer.n_heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        query = query * (dim // layer.n_heads) ** -0.5
        logits = products["promoter_logits"](query[:, :, :1], key.transpose(-1, -2))
        mixed = products["promoter_values"](layer.promoter_softmax(logits), value)
        if slots > 1:
            mixed = torch.cat([mixed, self._enhancers(query[:, :, 1:], key, value)], dim=2)
        x = x + layer.out_proj(mixed.transpose(1, 2).reshape(n, slots, dim))
        return x + layer.feed_forward(layer.norm2(x))

    def _enhancers(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        products = self.products
        to_promoter = products["to_promoter"](query, key[:, :, :1].expand_as(query)).sum(-1)
        to_self = products["to_self"](query, key[:, :, 1:]).sum(-1)
        weights = self.layer.enhancer_softmax(torch.stack([to_promoter, to_self], dim=-1))
        promoter = products["of_promoter"](weights[..., :1].expand_as(query), value[:, :, :1].expand_as(query))
        return promoter + products["of_self"](weights[..., 1:].expand_as(query), value[:, :, 1:])


class ExpressionView(nn.Module):
    """An :class:`EPInformer` from the one-hot sequence of one slot to the expression of its gene ``(n, 1)``.

    All other slots and all features are fixed. The input is the part of the slot's window that its sequence can
    reach, positions ``part.start`` to ``part.stop``; the tower's output beyond is that of an empty window.

    Parameters
    ----------
    model
        The network.
    gene
        The gene.
    slot
        Number of the slot; 0 is the promoter.
    codes
        Window of the slot ``(window,)``: where it holds sequence.
    contraction
        What makes the modules of products.
    """

    before: Tensor
    after: Tensor
    states: Tensor
    slot_features: Tensor
    gene_features: Tensor

    def __init__(
        self, model: EPInformer, gene: GeneSlots, slot: int, codes: NDArray[np.uint8], contraction: Contraction
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.predictor = model.encoder, model.head, model.predictor
        self.fusion = model.fusion
        self.layers = nn.ModuleList(
            _AttentionView(cast("PromoterAttention", layer), contraction) for layer in model.layers
        )
        self.slot = slot
        window, stride = model.config.window, SequenceEncoder.stride
        left, right = SequenceEncoder.reach
        (begin,), (end,) = occupied(codes[None])
        first = max(-(-(begin - right) // stride), 0)
        last = min((end - 1 + left) // stride, window // stride - 1)
        start = max(first - 2, 0)
        self.part = slice(int(start * stride), int(min((last + 3) * stride, window)))
        self.width = self.part.stop - self.part.start
        self.outputs = slice(int(first - start), int(last + 1 - start))
        with torch.no_grad():
            empty = self.encoder(torch.zeros(1, 4, window, device=gene.embeddings.device))
            states = model.fuse(gene.embeddings.clone(), gene.slot_features if model.fusion is not None else None)
        self.register_buffer("before", empty[:, :, :first])
        self.register_buffer("after", empty[:, :, last + 1 :])
        self.register_buffer("states", states)
        with torch.no_grad():
            self.register_buffer("slot_features", model.slot_scale(gene.slot_features)[slot])
            self.register_buffer("gene_features", model.gene_scale(gene.gene_features))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Expression, of one-hot sequences ``(n, 4, width)``."""
        n = len(x)
        encoded = self.encoder(x)[:, :, self.outputs]
        encoded = torch.cat([self.before.expand(n, -1, -1), encoded, self.after.expand(n, -1, -1)], dim=2)
        own = self.head(encoded)
        if self.fusion is not None:
            own = self.fusion(torch.cat([own, self.slot_features.expand(n, -1)], dim=1))
        others = self.states.expand(n, -1, -1)
        states = torch.cat([others[:, : self.slot], own[:, None], others[:, self.slot + 1 :]], dim=1)
        for layer in self.layers:
            states = layer(states)
        return self.predictor(torch.cat([states[:, 0], self.gene_features.expand(n, -1)], dim=1))


class Explanation(NamedTuple):
    """What each base of sequences adds to their prediction."""

    observed: NDArray[np.float32]
    """Of the bases that are there ``(n, width)``."""
    hypothetical: NDArray[np.float32]
    """Of each base at each position, were it there ``(n, 4, width)``."""
    residual: NDArray[np.float32]
    """How far attributions are from adding up: mean over the references of the distance between their sum and the
    difference of predictions, divided by the mean difference (or 0.01, if that is smaller) ``(n,)``; NaN for
    gradients, which do not add up to anything."""


def contraction(method: str) -> Contraction:
    """Maker of the modules of products that a method needs."""
    return _tangermeme().BilinearOp if method == "deeplift" else Product


def explain(
    view: nn.Module,
    codes: NDArray[np.uint8],
    bases: Tensor,
    method: str,
    references: NDArray[np.uint8] | None = None,
) -> Explanation:
    """Attribute what a view predicts to the bases of its input.

    Parameters
    ----------
    view
        Network from one-hot sequences ``(n, 4, width)`` to one number ``(n, 1)``.
    codes
        Sequences ``(n, width)``.
    bases
        One-hot channels of each code ``(6, 4)``, on the view's device.
    method
        One of :data:`METHODS`.
    references
        For ``"deeplift"``: sequences against which each is explained ``(n, n_references, width)``. The other methods
        explain it against one in which every base is equally likely.
    """
    x = _one_hot(codes, bases)
    with full_precision():
        if method == "deeplift":
            assert references is not None
            against = _one_hot(references, bases)
            return _explanation(codes, x, against, *_deeplift(view, x, against))
        uniform = torch.where(x.sum(1, keepdim=True) > 0, 0.25, 0.0).expand_as(x).contiguous()
        compute = _integrated_gradients if method == "ig" else _gradients
        multipliers, difference = compute(view, x, uniform)
    return _explanation(codes, x, uniform[:, None], multipliers[:, None], difference)


def _one_hot(codes: NDArray[np.uint8], bases: Tensor) -> Tensor:
    return bases[torch.from_numpy(codes).to(bases.device).long()].transpose(-1, -2).contiguous()


def _explanation(
    codes: NDArray[np.uint8], x: Tensor, references: Tensor, multipliers: Tensor, difference: Tensor | None
) -> Explanation:
    """Attributions from multipliers ``(n, n_references, 4, width)`` and differences ``(n, n_references)``."""
    at_reference = (references * multipliers).sum(2)
    contributions = (x[:, None] * multipliers).sum(2) - at_reference
    hypothetical = (multipliers - at_reference[:, :, None]).mean(1)
    residual = np.full(len(x), np.nan, dtype=np.float32)
    if difference is not None:
        # In double precision, which not every accelerator has: the sum itself must not round.
        apart = (contributions.cpu().double().sum(-1) - difference).abs().mean(1)
        residual = (apart / difference.abs().mean(1).clamp_min(_SMALL)).float().numpy()
    empty = codes == PADDING
    observed = np.where(empty, 0, contributions.mean(1).cpu().numpy())
    return Explanation(observed, np.where(empty[:, None], 0, hypothetical.cpu().numpy()), residual)


def _batch(x: Tensor) -> int:
    return max(1, _POSITIONS_PER_BATCH.get(x.device.type, _POSITIONS_ELSEWHERE) // x.shape[-1])


def _deeplift(view: nn.Module, x: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    outputs: list[Tensor] = []
    record = view.register_forward_hook(lambda module, inputs, output: outputs.append(output.detach()))
    with warnings.catch_warnings():
        # Unknown bases and padding are not one-hot, and residuals are returned: no need to be told of either.
        warnings.simplefilter("ignore")
        try:
            multipliers = _tangermeme().deep_lift_shap(
                view,
                x,
                references=references,
                raw_outputs=True,
                batch_size=_batch(x),
                device=str(x.device),
                only_warn=True,
            )
        finally:
            record.remove()
    pairs = torch.cat([torch.sub(*output.cpu().double().view(2, -1)) for output in outputs])
    return multipliers.to(x.device), pairs.view(references.shape[:2])


def _integrated_gradients(view: nn.Module, x: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(view, multiply_by_inputs=False)
    with torch.no_grad():
        pairs = zip(x.split(_batch(x)), uniform.split(_batch(x)), strict=True)
        difference = torch.cat([(view(own) - view(reference)).cpu().double() for own, reference in pairs])
    multipliers = torch.zeros_like(x)
    left, steps = torch.arange(len(x)), _STEPS
    while len(left) and steps <= _MOST_STEPS:
        for row in left.tolist():
            own, reference = x[row : row + 1], uniform[row : row + 1]
            multipliers[row] = method.attribute(own, reference, target=0, n_steps=steps, internal_batch_size=_batch(x))[
                0
            ]
        apart = ((x - uniform) * multipliers).cpu().double().sum((1, 2)) - difference[:, 0]
        left = torch.nonzero(apart.abs() > _TOLERANCE * difference[:, 0].abs().clamp_min(_SMALL)).flatten()
        steps *= 2
    return multipliers, difference


def _gradients(view: nn.Module, x: Tensor, uniform: Tensor) -> tuple[Tensor, None]:
    from captum.attr import Saliency

    parts = [Saliency(view).attribute(part, target=0, abs=False) for part in x.requires_grad_().split(_batch(x))]
    x.requires_grad_(False)
    return torch.cat(parts).detach(), None


def _tangermeme() -> Any:
    try:
        from tangermeme import deep_lift_shap
    except ImportError as error:
        raise ImportError(
            "method='deeplift' needs tangermeme: pip install 'eregtools[interpret]' (methods 'ig', 'ism' and "
            "'saliency' do without)"
        ) from error
    return deep_lift_shap
