"""Data to start from."""

from __future__ import annotations

from eregtools.datasets.k562 import find_k562, k562

__all__ = ["find_k562", "k562"]
