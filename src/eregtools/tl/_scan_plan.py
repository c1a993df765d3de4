"""What a scan does, settled before anything is computed: networks, chromosomes, chunks, and how they are recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL
from eregtools.tl._calibration import Calibration
from eregtools.tl._models import assign_folds, biosample_of, model_set, result_row
from eregtools.tl._request import plain_request
from eregtools.tl._scan_chunks import Chunk

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mudata import MuData

    from eregtools.coverage import Coverage
    from eregtools.genome import Genome
    from eregtools.models import ERNAformer
    from eregtools.models.chromosome_scan import Grid

_ASSAY = "ernas"


@dataclass(frozen=True)
class Networks:
    """Distinct networks of a scan, by number.

    Attributes
    ----------
    models
        The networks.
    grid
        Where their windows lie; the same for all.
    contrast_bins
        Bins of the running mean that they read.
    """

    models: Sequence[ERNAformer]
    grid: Grid
    contrast_bins: int

    @classmethod
    def on_grid(cls, models: Sequence[ERNAformer], hop: int | None) -> Networks:
        """Networks with windows that lie ``hop`` bp apart.

        Raises
        ------
        ValueError
            They read windows of different sizes.
        """
        from eregtools.models.chromosome_scan import Grid

        sizes = {(m.config.seq_len, m.config.halo, m.config.contrast_bins) for m in models}
        if len(sizes) > 1:
            widths = ", ".join(f"{seq_len} + 2 × {halo} bp" for seq_len, halo, _ in sorted(sizes))
            raise ValueError(f"the models read windows of different sizes ({widths}); scan with each by itself")
        return cls(models, Grid.of(models[0].config, hop), models[0].config.contrast_bins)

    def temperature(self, number: int) -> float:
        """Temperature of a network."""
        return Calibration.of(self.models[number].provenance).temperature


@dataclass(frozen=True)
class Job:
    """Scan of one biosample.

    Attributes
    ----------
    models
        Number of the network of each chromosome.
    rows
        What is recorded with a result of these networks.
    """

    models: Mapping[str, int]
    rows: Sequence[Mapping[str, Any]]


def plan_jobs(
    mdata: MuData,
    model: Any,
    samples: Sequence[str],
    chromosomes: Sequence[str],
    fold: int | str,
    *,
    allow_leakage: bool,
) -> tuple[dict[str, Job], list[ERNAformer]]:
    """Which network scans which chromosome of each biosample, and the networks.

    Raises
    ------
    KeyError, ValueError
        No model serves a chromosome, or one saw what it scans.
    """
    from eregtools.models import ERNAformer

    numbers: dict[Hashable, int] = {}
    networks: list[ERNAformer] = []
    jobs = {}
    for sample in samples:
        models = model_set(
            model,
            sample=sample,
            biosample=biosample_of(mdata, sample),
            family=(),
            assay=_ASSAY,
            expected=ERNAformer,
            allow_cross_cell=True,  # coverage says what a biosample transcribes, also one that was never seen
        )
        names = pd.Series(chromosomes)
        chosen, leaky = assign_folds(mdata, models, names, fold, allow_leakage=allow_leakage, what="chromosomes")
        of_chromosome: dict[str, int] = {}
        rows = []
        for number, source in models.sources.items():
            served = names[chosen == number]
            if served.empty:
                continue
            if source.key not in numbers:
                numbers[source.key] = len(networks)
                network: Any = source.load()
                networks.append(network)
            of_chromosome |= dict.fromkeys(served, numbers[source.key])
            rows.append(result_row(sample, number, source, models, "ernas, both", leaky))
        jobs[sample] = Job({chrom: of_chromosome[chrom] for chrom in chromosomes if chrom in of_chromosome}, rows)
    return jobs, networks


@dataclass(frozen=True)
class Plan:
    """All of a scan.

    Attributes
    ----------
    folder
        Where it goes.
    coverage, genome
        What it reads.
    mask
        Regions in which nothing is called: Chromosome, Start, End.
    jobs
        What is done for each biosample.
    networks
        With what.
    chunk
        Bases that are computed and written at a time, whole hops.
    both_strands, skip_silent
        As in :func:`eregtools.tl.scan_ernas`.
    """

    folder: Path
    coverage: Coverage
    genome: Genome
    mask: pd.DataFrame
    jobs: Mapping[str, Job]
    networks: Networks
    chunk: int
    both_strands: bool
    skip_silent: bool

    @property
    def chrom_sizes(self) -> dict[str, int]:
        """Length of each chromosome that is scanned in any biosample."""
        scanned = {chrom for job in self.jobs.values() for chrom in job.models}
        return {chrom: size for chrom, size in self.coverage.chrom_sizes.items() if chrom in scanned}

    def request(self) -> dict[str, Any]:
        """All that the result depends on."""
        content = b"".join(self.mask[name].to_numpy().astype(str).astype(np.bytes_).tobytes() for name in INTERVAL)
        return plain_request(
            {
                "model": [model.fingerprint() for model in self.networks.models],
                "temperature": [self.networks.temperature(number) for number in range(len(self.networks.models))],
                "chromosomes": {sample: dict(job.models) for sample, job in self.jobs.items()},
                "genome": {"name": self.genome.name, "sizes": self.chrom_sizes},
                "coverage": self.coverage.fingerprint,
                "mask": hashlib.sha256(content).hexdigest(),
                "hop": self.networks.grid.hop,
                "chunk": self.chunk,
                "both_strands": self.both_strands,
                "skip_silent": self.skip_silent,
            }
        )

    def chunks(self) -> dict[str, dict[str, list[Chunk]]]:
        """``{sample: {chromosome: chunks in order}}``."""
        grid, step = self.networks.grid, self.chunk // self.networks.grid.hop
        return {
            sample: {
                chrom: [
                    Chunk(sample, chrom, first, min(step, n - first))
                    for n in [grid.n_windows(self.coverage.chrom_sizes[chrom])]
                    for first in range(0, n, step)
                ]
                for chrom in job.models
            }
            for sample, job in self.jobs.items()
        }

    def about_samples(self) -> dict[str, dict[str, Any]]:
        """Facts of each biosample that are kept beside its tracks."""
        return {
            sample: {"number": number, "models": dict(job.models), "rows": plain_request({"rows": job.rows})["rows"]}
            for number, (sample, job) in enumerate(self.jobs.items())
        }

    def about(self) -> dict[str, Any]:
        """Facts of the scan that are kept."""
        text = json.dumps(self.request(), sort_keys=True)
        return {
            "fingerprint": hashlib.sha256(text.encode()).hexdigest(),
            "genome": self.genome.name,
            "coverage": self.coverage.fingerprint,
            "hop": self.networks.grid.hop,
            "both_strands": self.both_strands,
        }
