"""Objects that reports are written about: many genes, links with scores, and expression that is known."""

from __future__ import annotations

import base64
import gzip
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

import eregtools as er
from eregtools._schema import SCHEMA_VERSION, entry, put_layer

VOID = {"meta", "link", "input", "br", "img", "hr"}


def make_object(n_genes=120, *, samples=("K562",), per_gene=4, names=None, scores=("abc",), seed=0) -> MuData:
    """Genes on four chromosomes, ``per_gene`` enhancers around each, activity and scores drawn at random."""
    rng = np.random.default_rng(seed)
    chromosome = np.repeat([f"chr{k}" for k in range(1, 5)], -(-n_genes // 4))[:n_genes]
    at = pd.Series(chromosome).groupby(chromosome).cumcount().to_numpy()
    tss = 100_000 + 60_000 * at + rng.integers(0, 5_000, n_genes)
    strand = rng.choice(["+", "-"], n_genes)
    length = rng.integers(1_000, 20_000, n_genes)
    ids = [f"ENSG{k:011d}" for k in range(n_genes)]
    genes = pd.DataFrame(
        {
            "Chromosome": pd.Categorical(chromosome),
            "Start": np.where(strand == "+", tss, tss - length),
            "End": np.where(strand == "+", tss + length, tss + 1),
            "Strand": pd.Categorical(strand, categories=["+", "-", "."]),
            "tss": tss,
            "gene_name": pd.Categorical(names if names is not None else [f"GENE{k}" for k in range(n_genes)]),
        },
        index=ids,
    )
    step = 60_000 // per_gene
    start = (tss[:, None] - 30_000 + step * np.arange(per_gene) + rng.integers(1_500, step - 1_500, per_gene)).ravel()
    enhancers = pd.DataFrame(
        {"Chromosome": pd.Categorical(np.repeat(chromosome, per_gene)), "Start": start, "End": start + 500}
    )
    enhancers.index = [f"{c}:{s}-{s + 500}" for c, s in zip(enhancers["Chromosome"], start, strict=True)]
    obs = pd.DataFrame(index=list(samples))
    mdata = MuData({"genes": AnnData(obs=obs.copy(), var=genes), "enhancers": AnnData(obs=obs.copy(), var=enhancers)})
    sizes = pd.DataFrame({"length": [200_000 + 60_000 * n_genes] * 4}, index=[f"chr{k}" for k in range(1, 5)])
    entry(mdata).update({"schema_version": SCHEMA_VERSION, "genome": "drawn", "chrom_sizes": sizes})
    shape = mdata["enhancers"].shape
    put_layer(mdata, "enhancers", "candidate", np.ones(shape), as_x=True)
    for layer in ("DNase", "H3K27ac", "activity"):
        put_layer(mdata, "enhancers", layer, rng.lognormal(1, 1, shape))
    er.pp.link(mdata, max_distance=30_000)
    for layer in scores:
        put_layer(mdata, "links", layer, rng.random(mdata["links"].shape))
    return mdata


def add_predictions(mdata: MuData, *, noise=0.5, seed=1) -> None:
    """Expression that half comes from promoter activity, a prediction of it, and a fold for every two chromosomes."""
    rng = np.random.default_rng(seed)
    shape = mdata["genes"].shape
    promoter = rng.lognormal(1, 1, shape)
    put_layer(mdata, "genes", "promoter_activity", promoter)
    expression = np.log1p(promoter) + rng.normal(0, 0.5, shape)
    table = pd.DataFrame(expression.T, index=mdata["genes"].var_names, columns=list(mdata.obs_names))
    er.pp.add_expression(mdata, table, assay="RNA")
    er.pp.split(
        mdata, {1: {"valid": ["chr3"], "test": ["chr1", "chr2"]}, 2: {"valid": ["chr1"], "test": ["chr3", "chr4"]}}
    )
    put_layer(mdata, "genes", "RNA_pred", expression + rng.normal(0, noise, shape))


class Page(HTMLParser):
    """A page as browsers read it: refuses tags that do not match, keeps tables, text and data."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text("utf-8")
        self.open, self.addresses, self.text, self.tables = [], [], [], []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        assert len(values) == len(attributes), f"an attribute of <{tag}> is repeated"
        assert not any(name.startswith("on") for name in values), f"<{tag}> holds a script"
        self.addresses += [values[name] for name in ("href", "src", "action") if name in values]
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"script", "style", "title"}.isdisjoint(self.open):
            self.text.append(data)
            if {"td", "th"} & set(self.open):
                self.tables[-1][-1][-1] += data

    @property
    def words(self) -> str:
        """All that is read, without runs of spaces."""
        return " ".join(" ".join(self.text).split())

    def table(self, first: str) -> dict[str, list[str]]:
        """Rows of the table whose first cell is this, by their first cell."""
        cells = [[[" ".join(cell.split()) for cell in row] for row in table] for table in self.tables]
        found = next(table for table in cells if table[0][0] == first)
        return {row[0]: row[1:] for row in found}

    @property
    def data(self):
        """Columns that the page draws from."""
        packed = re.search(r'<script type="application/octet-stream" id="data">([A-Za-z0-9+/=]*)</script>', self.source)
        return json.loads(gzip.decompress(base64.b64decode(packed[1])))
