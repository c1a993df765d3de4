"""All 18,377 genes of K562's structure with random bases, through er.tl.predict_expression."""

from __future__ import annotations

from typing import Any

from benchmarks.predict import whole


def run() -> dict[str, Any]:
    return whole()
