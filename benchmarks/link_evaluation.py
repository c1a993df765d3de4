"""Average precision of link scores on published CRISPR pairs: against the published numbers, and of our own ABC.

Needs EREGTOOLS_SHARED, the folder of real data files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

import eregtools as er
from benchmarks._timing import report, verdict
from eregtools.datasets.k562 import DNASE, FILES, H3K27AC, SAMPLE, TOTALS
from eregtools.io.tables import read_table

CLOSE = 0.002
"""How near the published number must be met."""


def run() -> dict[str, Any]:
    shared = Path(os.environ["EREGTOOLS_SHARED"], "data")
    return report("link_evaluation", [*_fulco(shared), *_nasser(shared), *_k562(shared)])


def _fulco(shared: Path) -> list[dict[str, Any]]:
    folder = shared / "crispr_benchmark"
    pairs = er.io.read_crispr(folder / "EPCrisprBenchmark_Fulco2019_K562_GRCh38.tsv.gz")
    predictions = er.io.read_abc(folder / "ABC_K562_Fulco2019Genes_GRCh38.tsv.gz")
    pairs = pairs[pairs["ValidConnection"] == "TRUE"]
    pairs = er.pp.score_pairs(pairs, predictions, columns={"powerlaw.Score": "ABC, sum"})
    pairs = er.pp.score_pairs(pairs, predictions, columns={"powerlaw.Score": "ABC, maximum"}, statistic="max")
    expected = {"ABC, sum": 0.598, "ABC, maximum": 0.595, "distance": 0.329}
    return _rows("Fulco 2019, hg38", er.tl.evaluate_links(pairs, scores=["ABC, sum", "ABC, maximum"]), expected)


def _nasser(shared: Path) -> list[dict[str, Any]]:
    pairs = er.io.read_crispr(shared / "crispr_benchmark" / "Nasser2021_SuppTable_CRISPR_with_predictors.hg19.txt.gz")
    pairs = pairs[pairs["IncludeInModel"]]
    near = pairs[(pairs["cell_type"] == "K562") & (pairs["distance"] <= 100_000)]
    rows = []
    for name, chosen, expected in (
        ("Nasser 2021, hg19", pairs, {"ABC.ABC.Score": 0.653, "distance": 0.426}),
        ("Nasser 2021, K562 within 100 kb", near, {"ABC.ABC.Score": 0.648, "distance": 0.464}),
    ):
        rows += _rows(name, er.tl.evaluate_links(chosen, scores="ABC.ABC.Score"), expected)
    return rows


def _k562(shared: Path) -> list[dict[str, Any]]:
    """Our own ABC with the power law, from read counts, on the K562 pairs of ENCODE."""
    pairs = er.io.read_crispr(
        shared / "crispr_benchmark" / "EPCrisprBenchmark_combined_data.training_K562.GRCh38.tsv.gz"
    )
    genes = read_table(shared / "epinformer" / FILES["mrna"], index="gene_id")
    places = pd.DataFrame(
        {"Chromosome": genes["chrom"], "tss": genes["TSS"], "gene": genes.index, "gene_name": genes["Gene name"]}
    )
    tested = genes[genes["Gene name"].isin(pairs["gene"]) | genes.index.isin(pairs["gene_id"])]
    elements = read_table(shared / "epinformer" / FILES["elements"])
    elements.index = pd.Index(
        elements["chrom"] + ":" + elements["start"].astype(str) + "-" + elements["end"].astype(str)
    )
    mdata = er.pp.assemble(
        genes=tested[["chrom", "TSS", "Gene name"]].assign(strand="."),
        enhancers=elements[["chrom", "start", "end"]],
        samples=SAMPLE,
        genome=shared / "genome" / "hg38.partial.fa.gz",
    )
    er.pp.add_signal(mdata, {SAMPLE: elements[DNASE]}, assay="DNase")
    er.pp.add_signal(mdata, {SAMPLE: [elements[name] for name in H3K27AC]}, assay="H3K27ac")
    er.pp.activity(mdata, totals=TOTALS)
    er.pp.link(mdata, max_distance=1_000_000, min_distance=0, inclusive="left")
    er.pp.add_contacts(mdata)
    er.tl.abc(mdata)
    er.tl.link_scores(mdata, scores="activity")
    near = pairs[pairs["distanceToTSS"] <= 100_000]
    rows = []
    for name, chosen in (("ENCODE K562, hg38", pairs), ("ENCODE K562 within 100 kb", near)):
        table = er.tl.evaluate_links(mdata, chosen, scores=["abc", "activity_score"], genes=places)
        rows += _rows(name, table, {})
    return rows


def _rows(pairs: str, table: pd.DataFrame, expected: dict[str, float]) -> list[dict[str, Any]]:
    rows = []
    for row in table[table["distance_bin"] == "all"].to_dict("records"):
        found = {
            "pairs": pairs,
            "score": row["predictor"],
            "n": row["n"],
            "positive": row["n_positive"],
            "missing": row["n_missing"],
            "AP": round(row["average_precision"], 4),
            "95 %": f"{row['low']:.3f}–{row['high']:.3f}",
            "− distance": f"{row['delta']:.3f} ({row['delta_low']:.3f}–{row['delta_high']:.3f})",
            "precision at 70 % recall": round(row["precision_at_70_recall"], 3),
        }
        if row["predictor"] in expected:
            published = expected[row["predictor"]]
            found["published"] = published
            found[""] = verdict(CLOSE, abs(row["average_precision"] - published))
        rows.append(found)
    return rows
