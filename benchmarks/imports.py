"""Time of import eregtools in a fresh interpreter, and what it loads."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from benchmarks._timing import report, verdict


def run(repeats: int = 5) -> dict[str, Any]:
    code = "import sys, eregtools; print([m for m in ('torch', 'scanpy', 'matplotlib') if m in sys.modules])"
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - start)
        assert done.stdout.strip() == "[]", done.stdout
    median = sorted(seconds)[repeats // 2]
    row = {"import eregtools, wall s": median, "required": "≤ 1.5", "": verdict(1.5, median)}
    return report("imports", [row])
