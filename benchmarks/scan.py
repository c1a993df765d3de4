"""Scanning chromosomes for enhancer RNAs: cost beside windows that are 256 bp apart, and memory as chromosomes grow.

``python -m benchmarks scan [--part cost|memory]``. One thread, random weights, synthetic sequence and coverage.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import eregtools as er
from benchmarks._timing import interleaved, report, verdict
from eregtools._bins import BIN_SIZE
from eregtools.batches.loci import LocusBatch, running_mean
from eregtools.coverage import Coverage, CoverageWriter
from eregtools.models import ERNAformer, ERNAformerConfig
from eregtools.models.chromosome_scan import Grid, StretchScanner
from eregtools.models.locus_inference import LocusPredictor

NAIVE_HOP = 256
LESS_FLOP, LESS_TIME = 9.0, 7.0
MEGABASES = (2, 20)
MORE_MEMORY = 64.0
"""Megabytes that ten times the sequence may take more."""


def run(*arguments: str) -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(prog="benchmarks scan")
    parser.add_argument("--part", choices=("cost", "memory", "all"), default="all")
    parser.add_argument("--preset", choices=("small", "base", "large"), default="base")
    parser.add_argument("--bases", type=int, default=262_144)
    parser.add_argument("--child", nargs=2, help="folder and chromosome of a scan whose memory is measured")
    chosen = parser.parse_args(arguments)
    if chosen.child:
        print(json.dumps(scanned(Path(chosen.child[0]))))
    else:
        if chosen.part != "memory":
            cost(chosen.preset, chosen.bases)
        if chosen.part != "cost":
            memory()


def cost(preset: str, bases: int) -> dict[str, Any]:
    """One strand of a stretch, read at once and window by window."""
    torch.manual_seed(0)
    model = ERNAformer(ERNAformerConfig.preset(preset)).eval()
    grid = Grid.of(model.config)
    n = bases // grid.hop
    whole = stretch(grid.length(n), model.config)
    starts = np.arange(0, n * grid.hop, NAIVE_HOP) + grid.margin - NAIVE_HOP // 2  # each keeps its middle 256 bp
    windows = cut(whole, starts, model.config.width)
    scanner = StretchScanner(model, torch.device("cpu"), grid, both_strands=False)
    predictor = LocusPredictor(model, torch.device("cpu"), both_strands=False)
    every = np.ones(n, dtype=bool)
    ways = {"overlapping tiles": lambda: scanner(whole, every), "windows by themselves": lambda: predictor(windows)}
    flop = {name: counted(way) for name, way in ways.items()}
    seconds = interleaved(ways, repeats=2)
    rows = [
        {"way": name, "GFLOP": flop[name] / 1e9, "CPU-s": seconds[name], "Mb/CPU-s": bases / 1e6 / seconds[name]}
        for name in ways
    ]
    ratios = [kind["windows by themselves"] / kind["overlapping tiles"] for kind in (flop, seconds)]
    rows.append({"way": "ratio", "GFLOP": ratios[0], "CPU-s": ratios[1]})
    return report(
        "scan_cost",
        rows,
        preset=preset,
        bases=bases,
        flop=f"{verdict(ratios[0], LESS_FLOP)}: {ratios[0]:.1f}, asked {LESS_FLOP:g}",
        time=f"{verdict(ratios[1], LESS_TIME)}: {ratios[1]:.1f}, asked {LESS_TIME:g}",
    )


def stretch(length: int, config: ERNAformerConfig) -> LocusBatch:
    """Random sequence with random coverage."""
    rng = np.random.default_rng(0)
    around = config.contrast_bins // 2
    values = rng.poisson(0.3, (1, 2, length // BIN_SIZE + 2 * around)).astype(np.float32)
    return LocusBatch(
        codes=rng.integers(0, 4, (1, length), dtype=np.uint8),
        coverage=values[..., around:-around],
        local_mean=running_mean(values, config.contrast_bins),
        library_size=np.array([1e7]),
        stranded=np.array([True]),
        label=np.zeros(1, dtype=np.float32),
        centre=np.zeros(1, dtype=np.int64),
    )


def cut(whole: LocusBatch, starts: np.ndarray, width: int) -> LocusBatch:
    """Windows of a stretch."""
    starts = np.clip(starts, 0, whole.codes.shape[1] - width) // BIN_SIZE * BIN_SIZE
    bins = starts[:, None] // BIN_SIZE + np.arange(width // BIN_SIZE)
    n = len(starts)
    return LocusBatch(
        codes=whole.codes[0][starts[:, None] + np.arange(width)],
        coverage=whole.coverage[0][:, bins].transpose(1, 0, 2),
        local_mean=whole.local_mean[0][:, bins].transpose(1, 0, 2),
        library_size=np.repeat(whole.library_size, n),
        stranded=np.repeat(whole.stranded, n),
        label=np.zeros(n, dtype=np.float32),
        centre=np.zeros(n, dtype=np.int64),
    )


def counted(way: Any) -> int:
    """Floating-point operations of products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        way()
    return int(counter.get_total_flops())


def memory() -> dict[str, Any]:
    """Peak memory of whole scans of a chromosome, each in a process of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for megabases in MEGABASES:
            folder = Path(place) / str(megabases)
            written(folder, megabases * 1_000_000)
            command = [sys.executable, "-m", "benchmarks", "scan", "--child", str(folder), "chr1"]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append({"Mb": megabases, **json.loads(done.stdout.splitlines()[-1])})
    more = rows[-1]["anonymous MB"] - rows[0]["anonymous MB"]
    return report(
        "scan_memory",
        rows,
        preset="small",
        memory=f"{verdict(MORE_MEMORY, more)}: {more:.0f} MB more for {MEGABASES[-1]} than for {MEGABASES[0]} Mb",
    )


def written(folder: Path, size: int) -> None:
    """Sequence and coverage of one chromosome, and a model."""
    folder.mkdir()
    rng = np.random.default_rng(size)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[rng.integers(0, 4, size)]
    lines = (letters[begin : begin + 60].tobytes() for begin in range(0, size, 60))
    (folder / "genome.fa").write_bytes(b">chr1\n" + b"\n".join(lines) + b"\n")
    with CoverageWriter(folder / "coverage.zarr", {"chr1": size}) as writer:
        values = rng.poisson(0.3, (2, -(-size // BIN_SIZE))).astype(np.float32)
        writer.add("A", {"chr1": values}, library_size=1e7, read_length=75)
    torch.manual_seed(0)
    ERNAformer(ERNAformerConfig.preset("small")).save(folder / "model")


def scanned(folder: Path) -> dict[str, Any]:
    """Scan, and watch the memory meanwhile; pages of files that the system can drop are not counted as anonymous."""
    peak, before, done = [0.0], status("RssAnon"), threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.process_time()
    with er.settings.override(progress=False):
        er.tl.scan_ernas(
            Coverage(folder / "coverage.zarr"),
            folder / "model",
            folder=folder / "scan",
            genome=folder / "genome.fa",
            both_strands=False,
            device="cpu",
        )
    done.set()
    watcher.join()
    seconds = time.process_time() - start
    return {"CPU-s": seconds, "anonymous MB": peak[0], "before MB": before, "resident MB": status("VmHWM")}


def status(name: str) -> float:
    """Megabytes that the system reports of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(name)
