"""Sums of a bigWig file over peaks: region_values against pyBigWig stats(exact=True), one call a peak."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig

from benchmarks._timing import interleaved, report, verdict
from eregtools.io import bigwig

WIDTH = 500


def write_bigwig(path: Path, size: int, intervals: int, rng: np.random.Generator) -> None:
    """One chromosome whose bases are about half covered, by intervals with a gap after each."""
    bounds = np.cumsum(rng.geometric(2 * intervals / size * 1.01, 2 * intervals))
    assert bounds[-1] < size
    heights = rng.gamma(1.0, 1.0, intervals)
    file = pyBigWig.open(str(path), "w")
    file.addHeader([("chr1", size)])
    for first in range(0, intervals, 500_000):
        part = slice(first, first + 500_000)
        begin, end = bounds[::2][part].tolist(), bounds[1::2][part].tolist()
        file.addEntries(["chr1"] * len(begin), begin, ends=end, values=heights[part].tolist())
    file.close()


def run(peaks: int = 30_000, intervals: int = 4_000_000, size: int = 600_000_000, repeats: int = 3) -> dict[str, Any]:
    # a fifth of 150,000 peaks and 20 million intervals on 3 Gb: the cost of a peak is the same
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated.bw"
        write_bigwig(path, size, intervals, rng)
        starts = rng.integers(0, size - WIDTH, peaks)
        ends = starts + WIDTH
        fast = bigwig._backend()

        def peer() -> np.ndarray:
            file = pyBigWig.open(str(path))
            pairs = zip(starts.tolist(), ends.tolist(), strict=True)
            sums = [file.stats("chr1", start, end, type="sum", exact=True)[0] for start, end in pairs]
            return np.array(sums, dtype=np.float64)

        def ours(backend: Any) -> np.ndarray:
            kept, bigwig._backend = bigwig._backend, lambda: backend
            try:
                return bigwig.region_values(path, "chr1", starts, ends)
            finally:
                bigwig._backend = kept

        sides = {
            "pyBigWig stats(exact)": peer,
            "region_values, pyBigWig": lambda: ours(bigwig._PyBigWig),
        }
        if fast is not bigwig._PyBigWig:
            sides["region_values, pybigtools"] = lambda: ours(fast)
        truth = np.nan_to_num(peer())
        for name, side in sides.items():
            assert np.allclose(np.nan_to_num(side()), truth, rtol=1e-6, atol=1e-4), name
        seconds = interleaved(sides, repeats)
        rows = []
        for name, value in seconds.items():
            ratio = seconds["pyBigWig stats(exact)"] / value
            asked = name.endswith("pybigtools")
            rows.append(
                {
                    "side": name,
                    "µs/peak": value / peaks * 1e6,
                    "× stats(exact)": ratio,
                    "required": "≥ 8" if asked else "",
                    "": verdict(ratio, 8) if asked else "",
                }
            )
        return report("region_sums", rows, peaks=peaks, intervals=intervals, size=size)
