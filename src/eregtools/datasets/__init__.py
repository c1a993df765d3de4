"""Data to start from."""

from __future__ import annotations

from eregtools.datasets.k562 import k562

__all__ = ["k562"]
