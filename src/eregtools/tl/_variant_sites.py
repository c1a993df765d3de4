"""Variants as they are given, and which elements and promoters hold them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Layer, Modality, Var
from eregtools._logging import logger
from eregtools._schema import link_positions, listed
from eregtools.batches.alleles import Alleles
from eregtools.ranges import overlapping_pairs

if TYPE_CHECKING:
    from mudata import MuData
    from numpy.typing import NDArray

    from eregtools.genome import Genome

_COLUMNS = (Var.chromosome, Var.start, "Ref", "Alt")
_ALLELE = re.compile(r"[ACGTN]*")
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
NOWHERE = -1
"""Row number of an element or gene that is not there."""


@dataclass(frozen=True)
class Variants:
    """Variants whose reference allele is that of the genome.

    Attributes
    ----------
    table
        ``variant``, ``Chromosome`` (as given), ``Start``, ``End``, ``Ref``, ``Alt``.
    alleles
        The same in the genome's spelling.
    known
        Variants whose reference allele holds no unknown base of the genome ``(n,)``.
    """

    table: pd.DataFrame
    alleles: Alleles
    known: NDArray[np.bool_]


def read_variants(table: pd.DataFrame, genome: Genome, mismatch: str) -> Variants:
    """Check variants against the genome; one row an alternative allele."""
    table = _one_allele_a_row(table)
    names = genome.match_chromosomes(table[Var.chromosome].unique(), "variants")
    chrom = table[Var.chromosome].map(names).to_numpy(dtype=object)
    start, end = table[Var.start].to_numpy(), table[Var.end].to_numpy()
    beyond = end > np.array([genome.chrom_sizes[name] for name in chrom], dtype=np.int64)
    if beyond.any():
        first = table.iloc[int(np.argmax(beyond))]
        raise ValueError(
            f"{beyond.sum()} of {len(table)} variants end after their chromosome does in genome {genome.name!r}, first "
            f"{_shown(first)}; the assembly is probably wrong"
        )
    there = _reference(genome, chrom, start, end - start)
    known = np.array(["N" not in text for text in there], dtype=bool)
    agrees = np.array([_agrees(a, b) for a, b in zip(table["Ref"], there, strict=True)], dtype=bool)
    if not agrees.all():
        wrong = [
            f"{_shown(row)}, where the genome has {text}"
            for (_, row), text in zip(
                table[~agrees].head(5).iterrows(), np.array(there, dtype=object)[~agrees], strict=False
            )
        ]
        if mismatch == "error" or not agrees.any():
            raise ValueError(
                f"the reference allele of {(~agrees).sum()} of {len(table)} variants is not that of genome "
                f"{genome.name!r}, first {wrong[0]} (positions 0-based); use the variants' assembly, or mismatch="
                "'skip' to leave these out"
            )
        logger.warning("left out %d of %d variants: %s", (~agrees).sum(), len(table), "; ".join(wrong))
    if unknown := int((agrees & ~known).sum()):
        logger.warning("%d of %d variants lie on unknown bases (N) of the genome; no effect", unknown, len(table))
    kept = table[agrees].reset_index(drop=True)
    alleles = Alleles(chrom[agrees], start[agrees], end[agrees], kept["Alt"].tolist())
    return Variants(kept, alleles, known[agrees])


def _one_allele_a_row(table: pd.DataFrame) -> pd.DataFrame:
    if missing := [column for column in _COLUMNS if column not in table]:
        raise KeyError(
            f"the variants have no column {', '.join(missing)} (there are {listed(table.columns)}); expected "
            f"{', '.join(_COLUMNS)}, as er.io.read_vcf returns them"
        )
    if not len(table):
        raise ValueError("there are no variants; expected at least one row")
    if not pd.api.types.is_integer_dtype(table[Var.start]):
        raise ValueError(f"Start of the variants is {table[Var.start].dtype}; expected whole numbers, 0-based")
    out = pd.DataFrame(
        {
            Var.chromosome: table[Var.chromosome].astype(str).to_numpy(),
            Var.start: table[Var.start].to_numpy(dtype=np.int64),
            "Ref": table["Ref"].fillna("").astype(str).str.upper().str.replace("-", "").to_numpy(),
            "Alt": table["Alt"].fillna("").astype(str).str.upper().str.replace("-", "").str.split(",").to_numpy(),
        }
    )
    out["variant"] = table["Name"].astype(str).to_numpy() if "Name" in table else None
    out = out.explode("Alt", ignore_index=True)
    bad = [
        not (_ALLELE.fullmatch(ref) and _ALLELE.fullmatch(alt)) for ref, alt in zip(out["Ref"], out["Alt"], strict=True)
    ]
    if any(bad):
        raise ValueError(
            f"{sum(bad)} of {len(out)} variants have an allele that is no sequence of A, C, G, T and N, first "
            f"{_shown(out[bad].iloc[0])}; leave these rows out"
        )
    if (negative := out[Var.start] < 0).any():
        raise ValueError(f"{negative.sum()} variants start before base 0, first {_shown(out[negative].iloc[0])}")
    out[Var.end] = out[Var.start] + out["Ref"].str.len()
    named = out["variant"].notna()
    out.loc[~named, "variant"] = [
        f"{row[Var.chromosome]}:{row[Var.start]}:{row['Ref'] or '-'}:{row['Alt'] or '-'}"
        for _, row in out[~named].iterrows()
    ]
    return out[["variant", *INTERVAL, "Ref", "Alt"]]


def _shown(row: pd.Series) -> str:
    return f"{row[Var.chromosome]}:{row[Var.start]} {row['Ref'] or '-'}>{row['Alt'] or '-'}"


def _agrees(stated: str, there: str) -> bool:
    """Whether two alleles of one length agree in every base that both know."""
    return all(a == b or "N" in (a, b) for a, b in zip(stated, there, strict=True))


def _reference(
    genome: Genome, chrom: NDArray[np.object_], start: NDArray[np.int64], length: NDArray[np.int64]
) -> list[str]:
    """Read the genome's allele at each place."""
    out = np.full(len(start), "", dtype=object)
    for size in np.unique(length[length > 0]):
        rows = np.flatnonzero(length == size)
        letters = _LETTERS[genome.codes(chrom[rows], start[rows], int(size))]
        out[rows] = [bytes(row).decode() for row in letters]
    return list(out)


def sites(
    mdata: MuData,
    variants: Variants,
    genome: Genome,
    sample: str,
    *,
    promoter_width: int | None,
) -> pd.DataFrame:
    """Find where variants lie: one row a variant, element or promoter, and gene.

    Parameters
    ----------
    mdata
        The object; without elements every variant is outside.
    sample
        Name of the biosample.
    promoter_width
        Width of the windows around TSS that a model of expression reads; ``None``: genes are left out.

    Returns
    -------
    Numbers ``variant``, ``element``, ``gene`` and ``link`` (-1: none), and text ``site``; in the order of the
    variants, elements before promoters.
    """
    places = _interval(variants, genome)
    parts = []
    if Modality.enhancers in mdata.mod:
        enhancers = mdata[Modality.enhancers]
        row = mdata.obs_names.get_loc(sample)
        own = np.asarray(enhancers.layers[Layer.candidate])[row] > 0
        variant, element = overlapping_pairs(places, _named(enhancers.var[list(INTERVAL)], genome))
        variant, element = variant[own[element]], element[own[element]]
        found = pd.DataFrame({"variant": variant, "element": element, "site": "enhancer"})
        if promoter_width is not None:
            gene, linked = link_positions(mdata)
            of_sample = np.asarray(mdata[Modality.links].layers[Layer.candidate])[row] > 0
            links = pd.DataFrame({"element": linked, "gene": gene, "link": np.arange(len(gene))})[of_sample]
            found = found.merge(links, on="element", how="left")
        parts.append(found)
    if promoter_width is not None:
        genes = mdata[Modality.genes].var
        start = genes[Var.tss].to_numpy() - promoter_width // 2
        around = pd.DataFrame(
            {
                Var.chromosome: genes[Var.chromosome].to_numpy(),
                Var.start: start.clip(0),
                Var.end: start + promoter_width,
            }
        )
        variant, gene = overlapping_pairs(places, _named(around, genome))
        parts.append(pd.DataFrame({"variant": variant, "gene": gene, "site": "promoter"}))
    held = set().union(*(part["variant"] for part in parts)) if parts else set()
    outside = [number for number in range(len(places)) if number not in held]
    parts.append(pd.DataFrame({"variant": outside, "site": "outside"}))
    out = pd.concat([part for part in parts if len(part)], ignore_index=True)
    out = out.reindex(columns=["variant", "site", "element", "gene", "link"])
    out = out.sort_values("variant", kind="stable", ignore_index=True)
    numbers = ["variant", "element", "gene", "link"]
    out[numbers] = out[numbers].fillna(NOWHERE).astype(np.int64)
    return out


def _interval(variants: Variants, genome: Genome) -> pd.DataFrame:
    """Return reference alleles as intervals in the genome's spelling; an insertion is where the base after it is."""
    alleles = variants.alleles
    return pd.DataFrame(
        {Var.chromosome: alleles.chrom, Var.start: alleles.start, Var.end: np.maximum(alleles.end, alleles.start + 1)}
    )


def _named(table: pd.DataFrame, genome: Genome) -> pd.DataFrame:
    names = table[Var.chromosome].astype(str)
    return table.assign(**{Var.chromosome: names.map(genome.match_chromosomes(names.unique())).to_numpy()})
