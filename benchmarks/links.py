"""The link step of K562 (18,377 genes, 116,669 elements): the join, our part, and the object's own bookkeeping."""

from __future__ import annotations

import time
from typing import Any

import mudata

import eregtools as er
from benchmarks._timing import interleaved, report, verdict
from benchmarks.predict import k562_object
from eregtools.ranges import pairs_within


def run(repeats: int = 5) -> dict[str, Any]:
    mdata, _ = k562_object()
    genes, enhancers = mdata["genes"].var, mdata["enhancers"].var
    spent = {"update": 0.0}
    update = mudata.MuData.update

    def timed_update(self: mudata.MuData) -> None:
        start = time.process_time()
        update(self)
        spent["update"] += time.process_time() - start

    def join() -> None:
        pairs_within(genes, enhancers, 100_000, 1_000, "neither")

    def link() -> None:
        del mdata.mod["links"]
        update(mdata)
        start = time.process_time()
        mudata.MuData.update = timed_update
        er.pp.link(mdata)
        mudata.MuData.update = update
        steps.append(time.process_time() - start)

    steps: list[float] = []
    seconds = interleaved({"join": join, "link": link}, repeats)
    whole = sorted(steps)[len(steps) // 2]
    bookkeeping = spent["update"] / repeats
    rows = [
        {"step": "join alone", "CPU-s": seconds["join"]},
        {"step": "er.pp.link without MuData.update", "CPU-s": whole - bookkeeping, "required": "≤ 0.5"},
        {"step": "MuData.update", "CPU-s": bookkeeping},
        {"step": "er.pp.link", "CPU-s": whole, "required": "≤ 0.5"},
    ]
    for row in rows:
        if "required" in row:
            row[""] = verdict(0.5, row["CPU-s"])
    return report("links", rows, links=mdata["links"].n_vars)
