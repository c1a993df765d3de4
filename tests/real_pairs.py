"""Real labelled pairs with their sequence, as a table and a genome that holds nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import eregtools as er

FIXTURE = "data/fixtures/epi_pairs_3kb_2kb.hg19.tsv.gz"

GAP = 10_000
"""Unknown bases around each of the regions that the pairs lie in."""

HG19 = {
    **dict(
        zip(
            [f"chr{number}" for number in range(1, 23)],
            [
                *(249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431),
                *(135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248),
                *(59128983, 63025520, 48129895, 51304566),
            ],
            strict=True,
        )
    ),
    "chrX": 155270560,
    "chrY": 59373566,
}
"""Lengths of the chromosomes of hg19."""

CELLS = ("GM12878", "HUVEC", "HeLa-S3", "IMR90", "K562", "NHEK")
"""Biosamples of the TargetFinder tables."""


def target_finder(shared: Path, cell: str):
    """Object of one TargetFinder table, split as in the paper."""
    mdata = er.pp.pairs(shared / f"data/epi_targetfinder/{cell}.csv.gz", genome=HG19)
    er.pp.split(mdata, "epipam8")
    return mdata


def pairs_with_sequence(shared: Path, folder: Path) -> tuple[pd.DataFrame, er.Genome]:
    """Pairs of hg19 and a genome of their windows, N elsewhere.

    Between the regions that pairs lie in, N are left out, so that the genome stays small: pairs keep their chromosome
    and distance, and their places are moved by the column ``moved``. Biosamples are in the column ``source_cell``;
    pairs that have both labels, in different biosamples, are left out.
    """
    table = pd.read_csv(shared / FIXTURE, sep="\t").rename(columns={"cell": "source_cell"})
    ends = table[["enh_end", "prom_end"]].max(axis=1)
    regions = table.assign(low=table[["enh_start", "prom_start"]].min(axis=1), high=ends)
    regions = regions.groupby(["enh_chrom", "record"]).agg(low=("low", "min"), high=("high", "max")).reset_index()
    chromosomes = {}
    moved = {}
    for chromosome, here in regions.sort_values("low").groupby("enh_chrom"):
        place = GAP
        for region in here.itertuples():
            moved[chromosome, region.record] = place - region.low
            place += region.high - region.low + GAP
        chromosomes[chromosome] = np.full(place, ord("N"), dtype=np.uint8)
    # some pairs interact in one biosample and not in another: without the biosample their label is not known
    place = ["enh_chrom", "enh_start", "prom_start"]
    table = table[table.groupby(place)["label"].transform("nunique") == 1].copy()
    table["moved"] = [moved[key] for key in zip(table["enh_chrom"], table["record"], strict=True)]
    for side, sequence in (("enh", "enhancer_seq"), ("prom", "promoter_seq")):
        for end in ("start", "end"):
            table[f"{side}_{end}"] += table["moved"]
        for chromosome, start, letters in table[["enh_chrom", f"{side}_start", sequence]].itertuples(index=False):
            bases = np.frombuffer(letters.encode(), dtype=np.uint8)
            chromosomes[chromosome][start : start + len(bases)] = bases
    path = folder / "pairs.fa"
    text = [f">{name}\n{letters.tobytes().decode()}\n" for name, letters in chromosomes.items()]
    path.write_text("".join(text))
    return table.drop(columns=["enhancer_seq", "promoter_seq"]), er.Genome(path, name="pairs")
