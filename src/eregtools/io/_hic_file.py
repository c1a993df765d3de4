"""A .hic file, through the child process of ``_hic.py``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from eregtools.io._contact_band import Pixels


class HicFile:
    """A .hic file, read by a child process."""

    format = "hic"

    def __init__(self, path: Path):
        self._path = path
        program = Path(__file__).with_name("_hic.py")
        self._child = subprocess.Popen(
            # -P: the program's own folder must not shadow other modules
            [sys.executable, "-P", str(program), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="eregtools-contacts-")
        try:
            header = self._ask(ask="header")
        except BaseException:
            self.close()
            raise
        stated = header["assembly"]
        self.assembly = str(stated) if stated and stated != "unknown" else None
        self.chrom_sizes = {str(name): int(size) for name, size in header["chrom_sizes"].items()}
        self.resolutions = tuple(sorted(header["resolutions"]))

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line else {"error": "hictkpy stopped without a word"}
        if "error" in answer:
            raise ValueError(
                f"{self._path} is truncated, damaged or no .hic file that hictkpy can read "
                f"({str(answer['error']).strip()}); copy or download it again."
            )
        return answer

    def normalizations(self, resolution: int) -> tuple[str, ...]:
        names = self._ask(ask="normalizations", resolution=int(resolution))["names"]
        return (*(str(name) for name in names if name != "NONE"), "NONE")

    def unit(self, resolution: int, normalization: str) -> str:
        return "counts" if normalization == "NONE" else "balanced counts"

    def bands(
        self, resolution: int, widths: Mapping[str, int | None], candidates: Sequence[str]
    ) -> tuple[str, Iterator[tuple[str, Pixels]]]:
        folder = Path(self._folder.name)
        answer = self._ask(
            ask="bands",
            resolution=int(resolution),
            widths=dict(widths),
            candidates=list(candidates),
            folder=str(folder),
        )

        def load() -> Iterator[tuple[str, Pixels]]:
            for number, (name, width) in enumerate(widths.items()):
                with np.load(folder / f"{number}.pixels.npz") as stored:
                    bin1, bin2, count = stored["bin1"], stored["bin2"], stored["count"]
                factors = np.load(folder / f"{number}.factors.npy")
                near = slice(None) if width is None else bin2 - bin1 <= width
                yield name, Pixels(bin1[near], bin2[near], count[near], factors)

        return str(answer["normalization"]), load()

    def close(self) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.kill()  # it holds nothing that has to be written
        self._child.wait()
        self._child.stdout.close()
        with suppress(BrokenPipeError):
            self._child.stdin.close()
        self._folder.cleanup()
