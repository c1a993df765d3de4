"""Candidate loci at the ends of transcripts that were assembled from reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools._logging import logger
from eregtools.io.gtf import read_assembly, read_gtf
from eregtools.pp.intervals import regions_on
from eregtools.ranges import overlaps

Integers = npt.NDArray[np.int64]

DIVERGENT = 1_000
"""Bases between the 5′ ends of two transcripts that depart from one locus."""

STRINGTIE_SHORTEST = 200
"""Bases of the shortest transcript that StringTie reports unless told otherwise."""


def loci_of_assembly(
    path: str | Path, gtf: str | Path | pd.DataFrame | None, sizes: dict[str, int], width: int
) -> pd.DataFrame:
    """Loci around the ends of new transcripts: Chromosome, Start, End, center and source.

    Of a transcript with a strand the 5′ end; of one without both ends and the middle; of two that depart from each
    other, at most 1 kb apart, the middle between their 5′ ends.
    """
    transcripts, exons = read_assembly(path)
    _advise(path, transcripts)
    new = transcripts
    if gtf is None:
        logger.warning("no annotation is given (gtf=…): all transcripts of %s are taken as new", Path(path).name)
    else:
        new = transcripts[~_annotated(transcripts, exons, _annotated_exons(gtf, sizes))]
        logger.info("%s: %d of %d transcripts are new", Path(path).name, len(new), len(transcripts))
    placed = regions_on(new, sizes, f"transcripts of {Path(path).name}", cut=False)
    if len(placed) < len(new):
        new = new[new[Var.chromosome].isin(placed[Var.chromosome])]
    centres = _centres(placed.assign(**{Var.strand: new[Var.strand].to_numpy()}))
    limit = centres[Var.chromosome].map(sizes).to_numpy()
    return centres.assign(
        **{
            Var.start: np.maximum(centres[Var.center].to_numpy() - width // 2, 0),
            Var.end: np.minimum(centres[Var.center].to_numpy() + width // 2, limit),
        }
    )[[*INTERVAL, Var.center, Var.source]]


def _advise(path: str | Path, transcripts: pd.DataFrame) -> None:
    """Say what the assembly cannot show."""
    if len(transcripts) and transcripts["length"].min() >= STRINGTIE_SHORTEST:
        logger.warning(
            "%s holds no transcript below %d bases, as StringTie leaves them out; 22 %% of catalogued loci are "
            "shorter: assemble with -m 100",
            Path(path).name,
            STRINGTIE_SHORTEST,
        )
    unknown = (transcripts[Var.strand] == ".").mean()
    if unknown > 0.5:
        logger.warning(
            "%s: %.0f %% of the transcripts have no strand; assemble stranded libraries with --rf or --fr",
            Path(path).name,
            100 * unknown,
        )


def _annotated_exons(gtf: str | Path | pd.DataFrame, sizes: dict[str, int]) -> pd.DataFrame:
    table = gtf if isinstance(gtf, pd.DataFrame) else read_gtf(gtf, features=("exon",))
    if "feature" in table:
        table = table[table["feature"] == "exon"]
    parts = [
        regions_on(table[table[Var.strand] == strand], sizes, "gtf").assign(**{Var.strand: strand})
        for strand in ("+", "-")
    ]
    return pd.concat(parts, ignore_index=True)


def _annotated(transcripts: pd.DataFrame, exons: pd.DataFrame, annotated: pd.DataFrame) -> np.ndarray:
    """Which transcripts have an exon that overlaps an annotated one of their strand, or of any where it is unknown."""
    hit = np.zeros(len(transcripts), dtype=bool)
    for strand in ("+", "-", "."):
        own = exons[exons[Var.strand] == strand]
        others = annotated if strand == "." else annotated[annotated[Var.strand] == strand]
        hit[own["transcript"].to_numpy()[overlaps(own, others)]] = True
    return hit


def _centres(transcripts: pd.DataFrame) -> pd.DataFrame:
    found = []
    for chrom, table in transcripts.groupby(Var.chromosome, sort=False):
        start, last = table[Var.start].to_numpy(), table[Var.end].to_numpy() - 1
        strand = table[Var.strand].to_numpy()
        plus, minus = np.unique(start[strand == "+"]), np.unique(last[strand == "-"])
        middle, plus, minus = _divergent(plus, minus)
        unknown = strand == "."
        ends = np.concatenate([start[unknown], last[unknown], (start[unknown] + last[unknown]) // 2])
        for source, centre in (
            ("assembly:divergent", middle),
            ("assembly:5prime", np.concatenate([plus, minus])),
            ("assembly:unstranded", ends),
        ):
            found.append(pd.DataFrame({Var.chromosome: chrom, Var.center: centre, Var.source: source}))
    if not found:
        return pd.DataFrame({Var.chromosome: [], Var.center: [], Var.source: []}).astype({Var.center: np.int64})
    return pd.concat(found, ignore_index=True)


def _divergent(plus: Integers, minus: Integers) -> tuple[Integers, Integers, Integers]:
    """Middles of 5′ ends that are each other's nearest and depart, and the ends that are left."""
    if not (len(plus) and len(minus)):
        return np.empty(0, dtype=np.int64), plus, minus
    right = np.searchsorted(plus, minus)  # nearest plus end that is not left of each minus end
    left = np.searchsorted(minus, plus, side="right") - 1
    of_minus = np.flatnonzero(right < len(plus))
    mutual = of_minus[left[right[of_minus]] == of_minus]
    pairs = mutual[plus[right[mutual]] - minus[mutual] <= DIVERGENT]
    middle = (plus[right[pairs]] + minus[pairs]) // 2
    return middle, np.delete(plus, right[pairs]), np.delete(minus, pairs)
