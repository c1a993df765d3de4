"""A small genome with coverage, made for scans: the same stretch again and again, silence, and a run of N."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

import eregtools as er
from eregtools.coverage import Coverage, CoverageWriter

UNIT, N_UNITS = 16_384, 5
SIZES = {"chr1": UNIT * N_UNITS, "chr2": 60_010}
UNKNOWN_RUN = (20_000, 30_000)
SILENT = (40_000, 60_010)
READ = 50


@dataclass
class ScanWorld:
    """Genome and coverage; chr1 is one stretch of ``UNIT`` bp five times over."""

    folder: Path
    genome: er.Genome
    coverage: Coverage

    def object(self) -> MuData:
        """Build an object that has nothing but coverage."""
        from eregtools.coverage import record

        genes = AnnData(
            obs=pd.DataFrame(index=self.coverage.samples),
            var=pd.DataFrame(
                {
                    "Chromosome": pd.Categorical(["chr1"]),
                    "Start": [5_000],
                    "End": [6_000],
                    "Strand": pd.Categorical(["+"], categories=["+", "-", "."]),
                    "tss": [5_000],
                    "gene_name": pd.Categorical(["ONE"]),
                },
                index=["ENSG1"],
            ),
        )
        mdata = MuData({"genes": genes})
        sizes = pd.DataFrame({"length": list(SIZES.values())}, index=list(SIZES))
        mdata.uns["eregtools"] = {"schema_version": 1, "genome": "scan", "chrom_sizes": sizes}
        record(mdata, self.coverage)
        return mdata


def write_fasta(path, sequences):
    with path.open("w") as file:
        for name, letters in sequences.items():
            text = letters.tobytes().decode()
            file.write(f">{name}\n" + "\n".join(text[i : i + 80] for i in range(0, len(text), 80)) + "\n")
    return path


def binned(size, reads, n_bins):
    """Mean coverage of 8-bp bins of reads ``(start, strand)``."""
    depth = np.zeros((2, n_bins * 8 + READ))
    for start, strand in reads:
        depth[strand, start : start + READ] += 1
    depth[:, size:] = 0
    return depth[:, : n_bins * 8].reshape(2, n_bins, 8).mean(axis=-1).astype(np.float32)


def reads_of(rng, size):
    """Divergent loci every 8 kb or so, and a thin background."""
    reads = [(int(a), int(rng.integers(0, 2))) for a in rng.integers(0, size - READ, size // 400)]
    for centre in range(3_000, size - 3_000, 8_192):
        for _ in range(60):
            away = int(rng.exponential(150))
            reads.append((min(centre + 40 + away, size - READ), 0))
            reads.append((max(centre - 40 - away - READ, 0), 1))
    return reads


def make_scan_world(folder: Path, seed: int = 5) -> ScanWorld:
    rng = np.random.default_rng(seed)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    unit = letters[rng.integers(0, 4, UNIT)]
    second = letters[rng.integers(0, 4, SIZES["chr2"])]
    second[slice(*UNKNOWN_RUN)] = ord("N")
    fasta = write_fasta(folder / "scan.fa", {"chr1": np.tile(unit, N_UNITS), "chr2": second})

    tracks = {}
    for sample, depth in (("A", 1), ("B", 2)):
        own = np.random.default_rng(seed + depth)
        reads = reads_of(own, UNIT)
        one = [(start + k * UNIT, strand) for k in range(N_UNITS) for start, strand in reads if start < UNIT - READ]
        two = [(start, strand) for start, strand in reads_of(own, SIZES["chr2"]) if start + READ < SILENT[0]]
        tracks[sample] = {
            chrom: binned(size, found, -(-size // 8))
            for (chrom, size), found in zip(SIZES.items(), (one, two), strict=True)
        }
    with CoverageWriter(folder / "coverage.zarr", SIZES) as writer:
        for sample, chromosomes in tracks.items():
            writer.add(sample, chromosomes, library_size=2e6, read_length=READ)
    return ScanWorld(folder, er.Genome(fasta, name="scan"), Coverage(folder / "coverage.zarr"))
