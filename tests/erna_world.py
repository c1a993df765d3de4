"""A small transcribed genome: genes, divergent loci, reads of known origin, and their tracks."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
from anndata import AnnData
from mudata import MuData

import eregtools as er

SIZES = {"chr1": 600_000, "chr2": 300_000}
READ = 50
GAP = ("chr2", 200_000, 210_000)
LOCUS_ARM, LOCUS_GAP = 400, 100


@dataclass
class ErnaWorld:
    """Files, and where their reads come from."""

    folder: Path
    genome: er.Genome
    gtf: Path
    loci: pd.DataFrame
    genes: pd.DataFrame
    reads: dict[str, np.ndarray] = field(default_factory=dict)  # chromosome -> rows (start, strand 0 plus 1 minus)

    def object(self, samples=("A",)) -> MuData:
        """Build an object of genes only."""
        var = pd.DataFrame(
            {
                "Chromosome": pd.Categorical(self.genes["chrom"]),
                "Start": self.genes["start"],
                "End": self.genes["end"],
                "Strand": pd.Categorical(self.genes["strand"], categories=["+", "-", "."]),
                "tss": np.where(self.genes["strand"] == "+", self.genes["start"], self.genes["end"] - 1),
                "gene_name": pd.Categorical(self.genes.index),
            },
            index=self.genes.index,
        )
        mdata = MuData({"genes": AnnData(obs=pd.DataFrame(index=list(samples)), var=var)})
        sizes = pd.DataFrame({"length": list(SIZES.values())}, index=list(SIZES))
        mdata.uns["eregtools"] = {"schema_version": 1, "genome": "toy", "chrom_sizes": sizes}
        return mdata

    def tracks(self, name: str, *, share: float = 1.0, seed: int = 0, sign: float = 1.0, unstranded: bool = False):
        """Write plus and minus tracks of a share of the reads."""
        rng = np.random.default_rng(seed)
        depth = {}
        for chrom, reads in self.reads.items():
            kept = reads[rng.random(len(reads)) < share]
            strand = rng.integers(0, 2, len(kept)) if unstranded else kept[:, 1]
            depth[chrom] = [depth_of(kept[strand == s, 0], SIZES[chrom]) for s in (0, 1)]
        paths = []
        for s, label in enumerate(("plus", "minus")):
            paths.append(self.folder / f"{name}.{label}.bw")
            write_track(paths[-1], {c: d[s] * (sign if s else 1.0) for c, d in depth.items()}, SIZES)
        return tuple(paths)

    def n_reads(self) -> int:
        """Count all reads."""
        return sum(map(len, self.reads.values()))


def depth_of(starts, size, length=READ):
    ends = np.minimum(starts + length, size)
    change = np.bincount(starts, minlength=size + 1) - np.bincount(ends, minlength=size + 1)
    return np.cumsum(change[:-1]).astype(float)


def write_track(path, depth, sizes):
    """Write runs of equal depth; zeros are left out."""
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(sizes.items()))
        for chrom in sizes:
            values = depth.get(chrom)
            if values is None or not values.any():
                continue
            edges = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
            runs = [(a, b, values[a]) for a, b in pairwise(edges) if values[a] != 0]
            starts, ends, heights = zip(*runs, strict=True)
            names = [chrom] * len(runs)
            file.addEntries(names, list(map(int, starts)), ends=list(map(int, ends)), values=list(map(float, heights)))
    return path


def make_erna_world(folder: Path, *, decoys: bool = False, seed: int = 3) -> ErnaWorld:
    rng = np.random.default_rng(seed)
    fasta = folder / "toy.fa"
    with fasta.open("w") as file:
        for chrom, size in SIZES.items():
            gc = np.repeat(rng.uniform(0.36, 0.54, size // 5_000), 5_000)
            at_or_gc = rng.random(size) < gc
            letters = np.where(at_or_gc, rng.choice([67, 71], size), rng.choice([65, 84], size)).astype(np.uint8)
            if chrom == GAP[0]:
                letters[GAP[1] : GAP[2]] = ord("N")
            text = letters.tobytes().decode()
            file.write(f">{chrom}\n" + "\n".join(text[i : i + 60] for i in range(0, size, 60)) + "\n")

    genes, lines = [], []
    for chrom, size in SIZES.items():
        for number, start in enumerate(range(20_000, size - 20_000, 30_000)):
            strand = "+-"[number % 2]
            name = f"{chrom}_g{number}"
            genes.append((name, chrom, start, start + 9_000, strand))
            kind = "lncRNA" if number == 1 else "rRNA" if number == 2 else "protein_coding"
            for k in range(3):
                a = start + k * 4_300
                lines.append(
                    f'{chrom}\ttoy\texon\t{a + 1}\t{a + 400}\t.\t{strand}\t.\tgene_id "{name}"; '
                    f'transcript_id "{name}.t"; gene_type "{kind}"; transcript_type "{kind}";\n'
                )
    gtf = folder / "toy.gtf"
    gtf.write_text("".join(lines))
    table = pd.DataFrame(genes, columns=["name", "chrom", "start", "end", "strand"]).set_index("name")
    table.index.name = None

    centres = [
        (chrom, int(c))
        for chrom, size in SIZES.items()
        for c in np.arange(33_000, size - 12_000, 30_000) + rng.integers(0, 2_000)
        if not (chrom == GAP[0] and GAP[1] - 2_000 < c < GAP[2] + 2_000)
    ]
    loci = pd.DataFrame(centres, columns=["chrom", "center"])
    world = ErnaWorld(folder, er.Genome(fasta, name="toy"), gtf, loci, table)
    for chrom, size in SIZES.items():
        world.reads[chrom] = _reads(chrom, size, table, loci, rng, decoys)
    return world


def _reads(chrom, size, genes, loci, rng, decoys):
    rows = []
    for gene in genes[genes["chrom"] == chrom].itertuples():
        s = int(gene.strand == "-")
        for k in range(3):  # exons, some antisense, and a little of the whole body
            rows += [(a, s) for a in gene.start + k * 4_300 + rng.integers(0, 350, 80)]
        rows += [(a, 1 - s) for a in gene.start + rng.integers(0, 350, 3)]
        rows += [(a, s) for a in gene.start + rng.integers(0, 9_000, 60)]
        if decoys:  # antisense, in an intron
            rows += [(a, 1 - s) for a in gene.start + rng.integers(1_600, 3_400, rng.integers(80, 300))]
    for centre in loci.loc[loci["chrom"] == chrom, "center"]:
        half = LOCUS_GAP // 2
        out = rng.exponential(LOCUS_ARM / 3, rng.integers(40, 160)).clip(max=LOCUS_ARM - READ).astype(int)
        for number, u in enumerate(out):
            rows.append((centre + half + u, 0) if number % 2 == 0 else (centre - half - u - READ, 1))
        strand = int(rng.integers(0, 2))
        for away in (5_000, 8_000) if decoys else ():  # to one side, between genes
            rows += [(a, strand) for a in centre + away + rng.integers(0, 1_800, rng.integers(80, 300))]
    rows += [(a, int(rng.integers(0, 2))) for a in rng.integers(0, size - READ, size // 1_500)]
    reads = np.array(rows)
    in_gap = (chrom == GAP[0]) & (reads[:, 0] > GAP[1] - READ) & (reads[:, 0] < GAP[2])
    return reads[~in_gap]


def catalogue_of(world: ErnaWorld) -> pd.DataFrame:
    """Planted loci, and two that nothing expresses."""
    loci = pd.DataFrame({"chrom": world.loci["chrom"], "start": world.loci["center"] - 150})
    loci["end"] = loci["start"] + 300
    silent = pd.DataFrame({"chrom": "chr1", "start": [105_000, 585_000], "end": [105_300, 585_300]})
    return pd.concat([loci, silent], ignore_index=True)


def labelled(world: ErnaWorld, catalogue: pd.DataFrame, folder: Path, **options) -> MuData:
    """Two biosamples with coverage, mask and labelled loci."""
    mdata = world.object(["A", "B"])
    tracks = {"A": world.tracks("A"), "B": world.tracks("B", share=0.6, seed=2)}
    er.pp.add_coverage(mdata, tracks, folder=folder / "c.zarr", read_length=READ)
    er.pp.erna_mask(mdata, world.gtf, genome=world.genome)
    er.pp.candidate_ernas(mdata, "bed", source=catalogue)
    er.pp.label_ernas(mdata, {"FANTOM5": catalogue}, **options)
    return mdata
