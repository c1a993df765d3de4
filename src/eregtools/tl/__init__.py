"""Tools: run the models on the object, in place."""

from __future__ import annotations

from eregtools.tl.activity import predict_activity
from eregtools.tl.expression import predict_expression
from eregtools.tl.links import attention

__all__ = ["attention", "predict_activity", "predict_expression"]
