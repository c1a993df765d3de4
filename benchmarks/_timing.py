"""CPU time of several ways to do the same work, and the table and file of a benchmark's result."""

from __future__ import annotations

import json
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def interleaved(functions: Mapping[str, Callable[[], Any]], repeats: int = 3) -> dict[str, float]:
    """Median CPU seconds of each function over rounds in which each runs once."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.process_time()
            function()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory() -> float:
    """Largest resident memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def verdict(ratio: float, required: float) -> str:
    """'held' or 'not held'."""
    return "held" if ratio >= required else "not held"


def report(name: str, rows: Sequence[Mapping[str, Any]], **facts: Any) -> dict[str, Any]:
    """Print rows as a table and write them with the facts to ``results/NAME.json``."""
    result = {
        "name": name,
        **facts,
        "peak_memory_gb": round(peak_memory(), 3),
        "rows": [dict(r) for r in rows],
    }
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([_cell(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(columns))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(", ".join(f"{key}: {_cell(value)}" for key, value in result.items() if key not in {"name", "rows"}))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
