"""Tools: run the models on the object, in place."""

from __future__ import annotations

from eregtools.tl.abc import abc
from eregtools.tl.activity import predict_activity
from eregtools.tl.baseline import baseline_expression
from eregtools.tl.expression import predict_expression
from eregtools.tl.links import attention
from eregtools.tl.train import train_activity, train_expression

__all__ = [
    "abc",
    "attention",
    "baseline_expression",
    "predict_activity",
    "predict_expression",
    "train_activity",
    "train_expression",
]
