"""Contacts of 300,000 pairs: contact_of_pairs against one fetch a pair with cooler and hictkpy."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._timing import report, verdict
from eregtools.io.contacts import contact_of_pairs

RESOLUTION = 5_000
REACH = 100_000
PEER_PAIRS = 2_000
REQUIRED = 500
HIC = "data/hic_small/test_chr22.hg19.hic"

# hictkpy lives in a process of its own, as it keeps a core busy; the clock is around the fetches only
HICTKPY = """
import hictkpy, json, os, sys, time
import numpy as np
path, normalization, pairs, chroms = sys.argv[1], sys.argv[2], np.load(sys.argv[3]), sys.argv[4].split()
file = hictkpy.File(path, 5000)
start = time.perf_counter()
values = []
for chrom, (a, b) in zip(chroms, pairs.tolist()):
    one, other = (f"{chrom}:{x // 5000 * 5000}-{x // 5000 * 5000 + 5000}" for x in sorted((a, b)))
    values.append(float(file.fetch(one, other, normalization=normalization, count_type="float64").to_numpy()[0, 0]))
print(json.dumps({"seconds": time.perf_counter() - start, "values": values}), flush=True)
os._exit(0)
"""

WRITE_HIC = """
import hictkpy, json, os, sys
import numpy as np
import pandas as pd
path, sizes, pixels = sys.argv[1], json.loads(sys.argv[2]), np.load(sys.argv[3])
file = hictkpy.hic.FileWriter(path, sizes, 5000, skip_all_vs_all_matrix=True, compression_lvl=6)
file.add_pixels(pd.DataFrame({"bin1_id": pixels[0], "bin2_id": pixels[1], "count": pixels[2]}))
file.finalize()
os._exit(0)
"""


def write_cool(path: Path, sizes: dict[str, int], width: int, rng: np.random.Generator) -> pd.DataFrame:
    """Balanced contacts within ``width`` bins, which fall with distance; the pixels."""
    import cooler

    bins = cooler.binnify(pd.Series(sizes), RESOLUTION)
    bins["weight"] = rng.uniform(0.02, 0.05, len(bins))
    bins.loc[rng.choice(len(bins), len(bins) // 50, replace=False), "weight"] = np.nan
    pixels, first = [], 0
    for size in sizes.values():
        n = -(-size // RESOLUTION)
        i, step = (x.ravel() for x in np.indices((n, width)))
        count = rng.poisson(60 / (1 + step) ** 0.75)
        keep = (count > 0) & (i + step < n)
        pixels.append(
            pd.DataFrame({"bin1_id": i[keep] + first, "bin2_id": (i + step)[keep] + first, "count": count[keep]})
        )
        first += n
    table = pd.concat(pixels)
    cooler.create_cooler(str(path), bins, table, ordered=True)
    return table


def cooler_per_pair(path: Path, chroms: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    import cooler

    selector = cooler.Cooler(str(path)).matrix(balance=True)
    values = []
    for chrom, *pair in zip(chroms.tolist(), a.tolist(), b.tolist(), strict=True):
        one, other = ((chrom, x // RESOLUTION * RESOLUTION, x // RESOLUTION * RESOLUTION + RESOLUTION) for x in pair)
        values.append(selector.fetch(one, other)[0, 0])
    return np.array(values)


def write_hic(path: Path, sizes: dict[str, int], pixels: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "pixels.npy"
        np.save(table, pixels.to_numpy(dtype=np.int64).T)
        subprocess.run([sys.executable, "-c", WRITE_HIC, str(path), json.dumps(sizes), str(table)], check=True)


def hictkpy_per_pair(
    path: Path, normalization: str, chroms: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[float, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.npy"
        np.save(pairs, np.stack([a, b], axis=1))
        command = [sys.executable, "-c", HICTKPY, str(path), normalization, str(pairs), " ".join(chroms)]
        answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return float(answer["seconds"]), np.array(answer["values"])


def _pairs(sizes: dict[str, int], n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chroms = rng.choice(list(sizes), n)
    a = rng.integers(REACH, min(sizes.values()) - REACH, n)
    return chroms, a, a + rng.integers(-REACH, REACH, n)


def _wall(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def _rows(file: str, peer_name: str, peers: list[float], ours: list[float], pairs: int) -> list[dict[str, Any]]:
    peer = statistics.median(peers) * pairs / PEER_PAIRS
    mine = statistics.median(ours)
    return [
        {"file": file, "side": f"{peer_name}, one fetch a pair", "wall s": peer, "": "(scaled from 2,000 pairs)"},
        {
            "file": file,
            "side": "contact_of_pairs",
            "wall s": mine,
            "× peer": peer / mine,
            "required": f"≥ {REQUIRED}",
            "": verdict(peer / mine, REQUIRED),
        },
    ]


def _cool(
    path: Path, sizes: dict[str, int], pairs: int, repeats: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    chroms, a, b = _pairs(sizes, pairs, rng)
    few = slice(PEER_PAIRS)
    peers, ours = [], []
    for _ in range(repeats):
        seconds, truth = _wall(lambda: cooler_per_pair(path, chroms[few], a[few], b[few]))
        peers.append(seconds)
        seconds, values = _wall(lambda: contact_of_pairs(path, chroms, a, b, normalization="weight"))
        ours.append(seconds)
        np.testing.assert_allclose(values[few], truth, rtol=1e-12)
    return _rows("simulated .cool", "cooler", peers, ours, pairs)


def _hic(
    what: str, path: Path, sizes: dict[str, int], normalization: str, pairs: int, repeats: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    chroms, a, b = _pairs(sizes, pairs, rng)
    few = slice(PEER_PAIRS)
    peers, ours = [], []
    for _ in range(repeats):
        seconds, truth = hictkpy_per_pair(path, normalization, chroms[few], a[few], b[few])
        peers.append(seconds)
        seconds, values = _wall(lambda: contact_of_pairs(path, chroms, a, b, normalization=normalization))
        ours.append(seconds)
        np.testing.assert_allclose(values[few], truth, rtol=1e-5)
        assert (truth > 0).any()
    return _rows(what, "hictkpy", peers, ours, pairs)


def run(pairs: int = 300_000, repeats: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    sizes = {"chr1": 150_000_000, "chr2": 100_000_000}
    with tempfile.TemporaryDirectory() as folder:
        cool, hic = Path(folder) / "simulated.cool", Path(folder) / "simulated.hic"
        pixels = write_cool(cool, sizes, 60, rng)
        rows = _cool(cool, sizes, pairs, repeats, rng)
        if importlib.util.find_spec("hictkpy") is not None:
            write_hic(hic, sizes, pixels)
            rows += _hic("simulated .hic", hic, sizes, "NONE", pairs, repeats, rng)
            # 24,402 pixels: fetches are cheap, and what is left of ours is the start of the child process
            real = Path(os.environ.get("EREGTOOLS_SHARED", "")) / HIC
            if real.is_file():
                rows += _hic("real sparse .hic", real, {"22": 51_304_566}, "VC_SQRT", pairs, repeats, rng)
    return report("contacts", rows, pairs=pairs, peer_pairs=PEER_PAIRS, pixels=len(pixels))
