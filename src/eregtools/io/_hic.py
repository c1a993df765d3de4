"""Pixels of .hic files: a program that _hic_file.py starts, never imported by the package.

hictkpy keeps a core busy from its import on, so it lives in a child process that ends with the reading. The
path is the argument; each line of JSON in is answered by one out, and arrays go through files in a folder.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def _factors(file: Any, normalization: str) -> dict[str, np.ndarray]:
    """Multipliers of the counts of each bin, by chromosome; NaN for bins that were left out."""
    bins = np.array([-(-size // file.resolution()) for size in file.chromosomes().values()])
    if normalization == "NONE":
        return {name: np.ones(n) for name, n in zip(file.chromosomes(), bins.tolist(), strict=True)}
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = 1 / np.asarray(file.weights(normalization, True), dtype=np.float64)
    factors[~np.isfinite(factors)] = np.nan
    return dict(zip(file.chromosomes(), np.split(factors, np.cumsum(bins)[:-1]), strict=True))


def _write_bands(file: Any, request: dict[str, Any]) -> dict[str, Any]:
    folder = Path(request["folder"])
    filled = []
    for number, (name, width) in enumerate(request["widths"].items()):
        band = None if width is None else width + 1  # hictk counts the diagonal
        pixels = file.fetch(name, count_type="float64", diagonal_band_width=band).to_coo()
        np.savez(folder / f"{number}.pixels.npz", bin1=pixels.row, bin2=pixels.col, count=pixels.data)
        if pixels.nnz:
            filled.append(name)
    chosen, factors = "NONE", _factors(file, "NONE")
    for candidate in request["candidates"]:
        factors = _factors(file, candidate)
        chosen = candidate
        if all(np.isfinite(factors[name]).any() for name in filled):
            break
    for number, name in enumerate(request["widths"]):
        np.save(folder / f"{number}.factors.npy", factors[name])
    return {"normalization": chosen}


def _answer(path: str, request: dict[str, Any]) -> dict[str, Any]:
    import hictkpy

    resolutions = [int(r) for r in np.atleast_1d(hictkpy.MultiResFile(path).resolutions())]
    if request["ask"] == "header":
        file = hictkpy.File(path, resolutions[0])
        return {
            "assembly": file.attributes().get("assembly"),
            "chrom_sizes": file.chromosomes(),
            "resolutions": resolutions,
        }
    file = hictkpy.File(path, request["resolution"])
    if request["ask"] == "normalizations":
        return {"names": file.avail_normalizations()}
    return _write_bands(file, request)


def _main(path: str) -> None:
    for line in sys.stdin:
        try:
            answer = _answer(path, json.loads(line))
        except Exception as error:  # everything is told to the parent, which knows the user's words
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    sys.stdout.flush()
    os._exit(0)  # hictkpy's threads need not be waited for


if __name__ == "__main__":
    _main(sys.argv[1])
