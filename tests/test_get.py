"""Reading the object: ranges, tidy links, sparse link matrices."""

from __future__ import annotations

import re
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from mudata import MuData
from scipy import sparse

import eregtools
from eregtools import get
from eregtools.get import _select


def _modality(samples: list[str], var: pd.DataFrame, **layers: np.ndarray) -> ad.AnnData:
    layers = {name: np.asarray(values, dtype=np.float32) for name, values in layers.items()}
    return ad.AnnData(obs=pd.DataFrame(index=samples), var=var, layers=layers)


@pytest.fixture
def mdata() -> MuData:
    """Two samples, six genes and twenty enhancers on two chromosomes, in an order PyRanges would change."""
    rng = np.random.default_rng(0)
    samples = ["K562", "GM12878"]
    genes = pd.DataFrame(
        {
            "Chromosome": ["chr2", "chr1", "chr2", "chr1", "chr1", "chr2"],
            "Start": [50_000, 10_000, 20_000, 80_000, 40_000, 90_000],
            "End": [55_000, 14_000, 26_000, 95_000, 41_000, 93_000],
            "Strand": ["+", "-", "-", "+", ".", "+"],
            "tss": [50_000, 13_999, 25_999, 80_000, 40_500, 90_000],
            "gene_name": ["MYC", "TAL1", "GATA1", "TWIN", "TWIN", None],
        },
        index=[f"ENSG{i}" for i in range(6)],
    )
    start = rng.permutation(20) * 5_000 + 500
    chromosome = rng.choice(["chr2", "chr1"], 20)
    enhancers = pd.DataFrame({"Chromosome": chromosome, "Start": start, "End": start + 500})
    enhancers.index = [f"{c}:{s}-{s + 500}" for c, s in zip(chromosome, start, strict=True)]
    rows = [
        (gene, enhancer, enhancers.Start[enhancer] + 250 - genes.tss[gene])
        for enhancer in rng.permutation(enhancers.index)
        for gene in genes.index
        if genes.Chromosome[gene] == enhancers.Chromosome[enhancer]
    ]
    links = pd.DataFrame(rows, columns=["gene", "enhancer", "distance"])
    links.index = links.enhancer + "|" + links.gene
    links["gene"] = pd.Categorical(links.gene, categories=genes.index[::-1])
    links["enhancer"] = pd.Categorical(links.enhancer)
    links["distance"] = links.distance.astype(np.float32)
    contact = rng.random((2, len(links)))
    contact[:, 0] = 0.0
    attention = rng.random((2, len(links)))
    attention[0, ::3] = np.nan
    candidate = rng.random((2, len(links))) < 0.6
    candidate[:, :2] = True
    return MuData(
        {
            "genes": _modality(samples, genes, RNA=rng.random((2, 6))),
            "enhancers": _modality(samples, enhancers, activity=rng.random((2, 20))),
            "links": _modality(samples, links, candidate=candidate, contact=contact, attention=attention),
        }
    )


def test_ranges_keep_each_name_with_its_interval(mdata):
    for modality in ("genes", "enhancers"):
        found = get.ranges(mdata, modality).df.set_index("Name")
        var = mdata[modality].var
        assert sorted(found.index) == sorted(var.index)
        for column in ("Chromosome", "Start", "End"):
            assert list(found.loc[var.index, column]) == list(var[column])


def test_ranges_refuse_what_has_no_intervals(mdata):
    with pytest.raises(ValueError, match=r"'links' has no column Chromosome, Start, End .* er\.get\.links"):
        get.ranges(mdata, "links")
    with pytest.raises(KeyError, match=r"no modality 'ernas' \(it has genes, enhancers, links\)"):
        get.ranges(mdata, "ernas")


def test_links_are_the_samples_own_in_order(mdata):
    table = get.links(mdata)
    linked, genes, enhancers = mdata["links"], mdata["genes"].var, mdata["enhancers"].var
    row = 0
    for number, sample in enumerate(mdata.obs_names):
        for link in range(linked.n_vars):
            if linked.layers["candidate"][number, link] != 1:
                continue
            found, var = table.iloc[row], linked.var.iloc[link]
            assert (found["sample"], found["gene"], found["enhancer"]) == (sample, var.gene, var.enhancer)
            assert found["distance"] == var.distance
            element = enhancers.loc[var.enhancer]
            assert (found.Chromosome, found.Start, found.End) == tuple(element[["Chromosome", "Start", "End"]])
            assert found["gene_name"] == (genes.gene_name[var.gene] if genes.gene_name.notna()[var.gene] else var.gene)
            assert found["contact"] == linked.layers["contact"][number, link]
            np.testing.assert_equal(found["attention"], linked.layers["attention"][number, link])
            row += 1
    assert row == len(table)
    leading = ["sample", "gene", "gene_name", "enhancer", "Chromosome", "Start", "End", "distance"]
    assert list(table.columns) == [*leading, "contact", "attention"]


def test_links_of_a_gene_sample_and_layer(mdata):
    table = get.links(mdata)
    some = get.links(mdata, sample="GM12878", gene="GATA1", layers="contact")
    expected = table[(table["sample"] == "GM12878") & (table["gene"] == "ENSG2")]
    assert len(some) > 0
    assert list(some["contact"]) == list(expected["contact"])
    assert "attention" not in some
    both = get.links(mdata, gene=["ENSG2", "MYC"], layers=())
    assert set(both["gene"]) == {"ENSG0", "ENSG2"}
    assert list(both.columns)[-1] == "distance"
    assert list(get.links(mdata, sample=["GM12878", "K562"])["sample"].unique()) == ["GM12878", "K562"]


def test_all_links_are_every_samples_own_without_candidates(mdata):
    n = mdata["links"].n_vars
    del mdata["links"].layers["candidate"]
    assert len(get.links(mdata)) == 2 * n


def test_link_matrix_agrees_with_the_table(mdata):
    matrix = get.link_matrix(mdata, "attention", sample="K562")
    expected = np.full((6, 20), np.nan)
    genes, enhancers = mdata["genes"].var_names, mdata["enhancers"].var_names
    for link in get.links(mdata, sample="K562").itertuples():
        expected[genes.get_loc(link.gene), enhancers.get_loc(link.enhancer)] = link.attention
    assert sparse.issparse(matrix)
    assert matrix.format == "csr"
    assert matrix.dtype == np.float32
    assert matrix.nnz == np.isfinite(expected).sum()
    np.testing.assert_allclose(matrix.toarray(), np.nan_to_num(expected))


def test_link_matrix_keeps_zeros_and_drops_other_links(mdata):
    matrix = get.link_matrix(mdata, "contact", sample="GM12878")
    own = mdata["links"].layers["candidate"][1] == 1
    assert matrix.nnz == own.sum()
    assert (matrix.data == 0).sum() == 1


def test_layers_may_be_sparse(mdata):
    dense = get.link_matrix(mdata, "contact", sample="K562")
    mdata["links"].layers["contact"] = sparse.csr_matrix(mdata["links"].layers["contact"])
    np.testing.assert_array_equal(get.link_matrix(mdata, "contact", sample="K562").toarray(), dense.toarray())


def test_link_matrix_follows_the_order_of_the_modalities(mdata):
    before = pd.DataFrame(
        get.link_matrix(mdata, "contact", sample="K562").toarray(),
        mdata["genes"].var_names,
        mdata["enhancers"].var_names,
    )
    turned = MuData(
        {
            "genes": mdata["genes"][:, ::-1].copy(),
            "enhancers": mdata["enhancers"][:, ::-1].copy(),
            "links": mdata["links"].copy(),
        }
    )
    after = get.link_matrix(turned, "contact", sample="K562").toarray()
    np.testing.assert_array_equal(after, before.iloc[::-1, ::-1].to_numpy())


def test_link_matrix_takes_the_only_sample(mdata):
    with pytest.raises(ValueError, match=r"the object has 2 \(K562, GM12878\); name it with sample="):
        get.link_matrix(mdata, "contact")
    one = mdata[["GM12878"]]
    np.testing.assert_array_equal(
        get.link_matrix(one, "contact").toarray(), get.link_matrix(mdata, "contact", sample="GM12878").toarray()
    )


def test_a_link_to_a_missing_element_is_refused_by_name(mdata):
    lost = mdata["enhancers"].var_names[3]
    part = MuData(
        {
            "genes": mdata["genes"].copy(),
            "enhancers": mdata["enhancers"][:, mdata["enhancers"].var_names != lost].copy(),
            "links": mdata["links"].copy(),
        }
    )
    for read in (lambda: get.links(part), lambda: get.link_matrix(part, "contact", sample="K562")):
        with pytest.raises(ValueError, match=rf"names '{lost}', which is not among the 19 enhancers"):
            read()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample": "K56"}, "no sample 'K56' in the object; there are K562, GM12878. Did you mean K562?"),
        ({"layers": "abc"}, "no layer 'abc' in links; there are candidate, contact, attention. Run er.tl.abc"),
        ({"layers": "contcat"}, "there are candidate, contact, attention. Did you mean contact?"),
        ({"gene": "GATA"}, "no gene 'GATA' among 6 genes of the object. Did you mean GATA1?"),
        ({"gene": "TWIN"}, "gene name 'TWIN' belongs to 2 ids (ENSG3, ENSG4); give one of the ids"),
    ],
)
def test_errors_say_what_there_is_and_the_way_out(mdata, arguments, message):
    with pytest.raises((KeyError, ValueError), match=re.escape(message)):
        get.links(mdata, **arguments)


@pytest.mark.parametrize(("modality", "layer"), _select._LAYER_MADE_BY)
def test_the_call_that_an_error_names_exists(mdata, modality, layer):
    mdata[modality].layers.pop(layer, None)
    with pytest.raises(KeyError, match=rf"no layer '{layer}' in {modality}") as error:
        _select.check_layer(mdata, modality, layer)
    folder, name = re.search(r"Run er\.(\w+)\.(\w+) first", str(error.value)).groups()
    assert callable(getattr(getattr(eregtools, folder), name))


def test_a_missing_modality_names_the_call_that_makes_it(mdata):
    alone = MuData({"genes": mdata["genes"].copy()})
    with pytest.raises(KeyError, match=r"no modality 'links' \(it has genes\); run er\.pp\.link first"):
        get.links(alone)


def test_reading_and_importing_plots_imports_neither_matplotlib_nor_pyranges():
    code = "import sys, eregtools.get, eregtools.pl; print({'matplotlib', 'pyranges'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
