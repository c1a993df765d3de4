"""Sequence of random 2-kb windows as codes: Genome.codes against pyfaidx, one fetch a window."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyfaidx

from benchmarks._timing import interleaved, report, verdict
from eregtools.genome import Genome

LINE = 60
WINDOW = 2_000


def write_fasta(path: Path, bases: int, rng: np.random.Generator) -> None:
    """Two chromosomes with a tenth of the bases in lower case and a twentieth in runs of N."""
    with path.open("wb") as file:
        for number in (1, 2):
            lines = bases // 2 // LINE
            letters = np.frombuffer(b"ACGT", dtype=np.uint8)[rng.integers(0, 4, lines * LINE, dtype=np.uint8)]
            for start in rng.integers(0, len(letters) - 10_000, len(letters) // 3_000):
                letters[start : start + 300] |= 0x20
            for start in rng.integers(0, len(letters) - 100_000, len(letters) // 1_000_000):
                letters[start : start + 50_000] = ord("N")
            text = np.full((lines, LINE + 1), ord("\n"), dtype=np.uint8)
            text[:, :LINE] = letters.reshape(lines, LINE)
            file.write(f">chr{number}\n".encode() + text.tobytes())


def run(bases: int = 100_000_000, windows: int = 150_000, repeats: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "simulated.fa"
        write_fasta(fasta, bases, rng)
        sizes = Genome(fasta).chrom_sizes
        chroms = rng.choice(list(sizes), windows)
        starts = rng.integers(0, min(sizes.values()) - WINDOW, windows)
        # One chromosome a call for the decoded side: a Genome keeps one decoded chromosome.
        by_chromosome = [(name, starts[chroms == name]) for name in sizes]
        peer = pyfaidx.Fasta(str(fasta), as_raw=True, sequence_always_upper=True)
        regions = list(zip(chroms.tolist(), starts.tolist(), strict=True))
        table = np.full(256, 4, dtype=np.uint8)
        table[list(b"ACGT")] = range(4)

        def pyfaidx_text() -> list[str]:
            return [peer[chrom][start : start + WINDOW] for chrom, start in regions]

        def pyfaidx_codes() -> np.ndarray:
            out = np.empty((windows, WINDOW), dtype=np.uint8)
            for row, (chrom, start) in enumerate(regions):
                text = peer[chrom][start : start + WINDOW]
                out[row] = table[np.frombuffer(text.encode(), dtype=np.uint8)]
            return out

        class FromFile(Genome):
            """Never decodes a whole chromosome, as for windows that are few for the length of the genome."""

            dense = np.inf

        from_file = FromFile(fasta)
        decoded = [(Genome(fasta), name) for name in sizes]
        for genome, name in decoded:
            genome.chromosome(name)

        def ours_file() -> np.ndarray:
            return from_file.codes(chroms, starts, WINDOW)

        def ours_decoded() -> list[np.ndarray]:
            return [
                genome.codes(name, at, WINDOW) for (genome, name), (_, at) in zip(decoded, by_chromosome, strict=True)
            ]

        automatic = Genome(fasta)

        def ours_automatic() -> np.ndarray:
            automatic._decoded = None  # nothing is left over from the round before
            return automatic.codes(chroms, starts, WINDOW)

        truth = pyfaidx_codes()
        assert np.array_equal(ours_file(), truth)
        assert np.array_equal(ours_automatic(), truth)
        assert all(
            np.array_equal(codes, truth[chroms == name]) for codes, name in zip(ours_decoded(), sizes, strict=True)
        )
        del truth
        seconds = interleaved(
            {
                "pyfaidx, text": pyfaidx_text,
                "pyfaidx, codes": pyfaidx_codes,
                "plain FASTA, never decoded whole": ours_file,
                "decoded chromosome": ours_decoded,
                "plain FASTA": ours_automatic,
            },
            repeats,
        )
        # pyfaidx's own fetch, without encoding to codes, is the peer that the requirement names
        needed = {"plain FASTA": 7, "plain FASTA, never decoded whole": 7, "decoded chromosome": 15}
        rows = []
        for name, value in seconds.items():
            ratio = seconds["pyfaidx, text"] / value
            rows.append(
                {
                    "side": name,
                    "µs/window": value / windows * 1e6,
                    "× pyfaidx text": ratio,
                    "× pyfaidx codes": seconds["pyfaidx, codes"] / value,
                    "required": f"≥ {needed[name]} × text" if name in needed else "",
                    "": verdict(ratio, needed[name]) if name in needed else "",
                }
            )
        return report("sequence", rows, windows=windows, bases=bases, window=WINDOW)
