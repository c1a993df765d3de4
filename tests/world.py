"""A small world for tests: genome, genes, elements of two biosamples, signal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import eregtools as er

CHROMOSOMES = {"chr1": 150_000, "chr2": 120_000, "chr22": 90_000}
"""Tested by folds 12, 1 and 11 of the published scheme."""

SAMPLES = ["K562", "GM12878"]


@dataclass
class World:
    """Files and tables that the object is made of."""

    genome: er.Genome
    genes: pd.DataFrame
    elements: dict[str, pd.DataFrame]
    rng: np.random.Generator

    def build(self, samples=SAMPLES, *, mrna=True, contacts=True, **link):
        mdata = er.pp.assemble(
            genes=self.genes,
            enhancers={name: self.elements[name] for name in samples},
            samples=list(samples),
            genome=self.genome,
        )
        rng = np.random.default_rng(5)
        for modality in ("enhancers", "genes"):
            n = mdata[modality].n_vars
            er.pp.add_signal(
                mdata, {s: rng.poisson(50, n).astype(float) for s in samples}, assay="DNase", modality=modality
            )
            er.pp.add_signal(
                mdata,
                {s: rng.poisson(20, (2, n)).astype(float) for s in samples},
                assay="H3K27ac",
                modality=modality,
            )
        totals = {"DNase": 1e7, "H3K27ac": [5e6, 8e6]}
        er.pp.activity(mdata, totals=totals)
        er.pp.promoter_activity(mdata, totals=totals)
        er.pp.link(mdata, **link)
        if contacts:
            er.pp.add_contacts(mdata)
        if mrna:
            table = pd.DataFrame(rng.normal(size=(len(self.genes), 8)), self.genes.index, list(er_features()))
            table["ORFEXONDENSITY"] = table["ORFEXONDENSITY"].abs() + 1
            er.pp.mrna_features(mdata, table)
        return mdata


def er_features():
    from eregtools._keys import MRNA_FEATURES

    return MRNA_FEATURES


def make_world(folder: Path) -> World:
    rng = np.random.default_rng(11)
    lines = []
    for name, size in CHROMOSOMES.items():
        letters = rng.choice(np.frombuffer(b"ACGT", dtype=np.uint8), size)
        letters[20_000:30_000] |= 0x20  # soft-masked
        if name == "chr22":
            letters[40_000:48_000] = ord("N")
        text = letters.tobytes().decode()
        lines.append(f">{name}\n" + "\n".join(text[i : i + 70] for i in range(0, size, 70)) + "\n")
    fasta = folder / "toy.fa"
    fasta.write_text("".join(lines))

    genes = pd.DataFrame(
        {
            "chrom": ["chr1", "chr1", "chr1", "chr2", "chr2", "chr22", "chr22", "chr2"],
            "tss": [60_000, 300, 140_000, 50_000, 110_000, 44_000, 70_000, 1_500],
            "strand": ["+", "-", "+", "-", "+", "+", "-", "."],
        },
        index=[f"ENSG{i:011d}" for i in range(8)],
    )
    elements = {}
    for sample, shift in zip(SAMPLES, (0, 700), strict=True):
        rows = []
        for name, size in CHROMOSOMES.items():
            for start in range(4_000 + shift, size - 5_000, 6_000):
                rows.append((name, start, start + int(rng.choice([1, 150, 500, 501, 1999, 2000, 2001, 3500]))))
            rows.append((name, 1_000, 1_500))  # shared by both samples
        elements[sample] = pd.DataFrame(rows, columns=["chrom", "start", "end"])
    far_apart = elements["K562"]  # the second gene of chr2 (tss 110,000) stays alone in GM12878
    assert len(far_apart)
    gm = elements["GM12878"]
    elements["GM12878"] = gm[~((gm["chrom"] == "chr2") & (gm["end"] > 9_000))]
    return World(er.Genome(fasta, name="toy"), genes, elements, rng)
