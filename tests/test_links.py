"""Links against a double loop, and against the published pairs of K562."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from mudata import MuData

import eregtools as er
from eregtools._schema import validate
from eregtools.datasets.toy import three_genes

CHROMOSOMES = ["chr1", "chr2"]


def build(genes, elements, candidate):
    """Object of ``[(chromosome, tss, strand)]`` and ``[(chromosome, start, width)]``."""
    obs = pd.DataFrame(index=[f"s{i}" for i in range(len(candidate))])
    gene_var = pd.DataFrame(genes, columns=["Chromosome", "tss", "Strand"], index=[f"g{i}" for i in range(len(genes))])
    gene_var = gene_var.assign(Start=gene_var["tss"], End=gene_var["tss"] + 1, gene_name=gene_var.index)
    element_var = pd.DataFrame(elements, columns=["Chromosome", "Start", "width"])
    element_var["End"] = element_var["Start"] + element_var.pop("width")
    element_var.index = [f"e{i}" for i in range(len(elements))]
    enhancers = AnnData(np.array(candidate, dtype=np.float32), obs=obs.copy(), var=element_var)
    enhancers.layers["candidate"] = enhancers.X.copy()
    return MuData({"genes": AnnData(obs=obs.copy(), var=gene_var), "enhancers": enhancers})


def double_loop(genes, elements, candidate, low, high, inclusive, cap):
    """Links of each sample as the definition says them, ``{(gene, element): distance}``."""
    per_sample = []
    for has in candidate:
        links = {}
        for g, (chromosome, tss, strand) in enumerate(genes):
            near = []
            for e, (other, start, width) in enumerate(elements):
                distance = (start + start + width) / 2 - tss
                above = abs(distance) >= low if inclusive in ("left", "both") else abs(distance) > low
                below = abs(distance) <= high if inclusive in ("right", "both") else abs(distance) < high
                if has[e] and other == chromosome and above and below:
                    near.append((abs(distance), e, -distance if strand == "-" else distance))
            links.update({(g, e): signed for _, e, signed in sorted(near)[:cap]})
        per_sample.append(links)
    return per_sample


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_links_are_those_of_a_double_loop(data):
    position = st.integers(0, 40)
    chromosome = st.sampled_from(CHROMOSOMES)
    genes = data.draw(st.lists(st.tuples(chromosome, position, st.sampled_from("+-.")), min_size=1, max_size=6))
    elements = data.draw(
        st.lists(st.tuples(chromosome, position, st.integers(1, 9)), min_size=1, max_size=8, unique=True)
    )
    candidate = data.draw(
        st.lists(st.lists(st.booleans(), min_size=len(elements), max_size=len(elements)), min_size=1, max_size=3)
    )
    low = data.draw(st.sampled_from([0, 1, 2.5, 3]))
    high = low + data.draw(st.sampled_from([0.5, 2, 10, 10.5]))
    inclusive = data.draw(st.sampled_from(["neither", "left", "right", "both"]))
    cap = data.draw(st.sampled_from([None, 1, 2]))

    mdata = build(genes, elements, candidate)
    er.pp.link(mdata, max_distance=high, min_distance=low, inclusive=inclusive, max_enhancers=cap)
    validate(mdata)
    links = mdata["links"]
    pairs = [(int(g[1:]), int(e[1:])) for g, e in zip(links.var["gene"], links.var["enhancer"], strict=True)]
    expected = double_loop(genes, elements, candidate, low, high, inclusive, cap)
    for row, of_sample in enumerate(expected):
        found = {
            pair: float(distance)
            for pair, distance, kept in zip(pairs, links.var["distance"], links.layers["candidate"][row], strict=True)
            if kept
        }
        assert found == of_sample
    assert set(pairs) == set().union(*expected)
    keys = [(g, abs(d), e) for (g, e), d in zip(pairs, links.var["distance"], strict=True)]
    assert keys == sorted(keys)


def test_names_sign_and_types():
    mdata = three_genes()
    er.pp.link(mdata, max_distance=5_000)
    var = mdata["links"].var
    assert list(var.index[:2]) == ["chr1:4500-5000|g1", "chr1:8000-8500|g1"]
    distance = dict(zip(var.index, var["distance"], strict=True))
    assert distance["chr1:4500-5000|g1"] == -1_250
    assert distance["chr1:8000-8500|g2"] == 3_750  # downstream of a gene on the minus strand
    assert distance["chr1:14000-14600|g2"] == -2_300
    assert var["distance"].dtype == np.float32
    assert isinstance(var["gene"].dtype, pd.CategoricalDtype)
    np.testing.assert_array_equal(mdata["links"].X, mdata["links"].layers["candidate"])
    assert mdata.n_vars == 3 + 4 + len(var)


def test_each_sample_has_its_own_links_and_its_own_nearest():
    genes = [("chr1", 10_000, "+")]
    elements = [("chr1", 10_000 + 2_000 * i, 2) for i in range(1, 6)]
    mdata = build(genes, elements, [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])
    er.pp.link(mdata, max_enhancers=2)
    assert list(mdata["links"].var["enhancer"]) == ["e0", "e1", "e2", "e3"]
    assert mdata["links"].layers["candidate"].tolist() == [[1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]


def test_linking_again_replaces_the_links():
    mdata = three_genes()
    er.pp.link(mdata)
    er.pp.add_contacts(mdata)
    er.pp.link(mdata, max_distance=2_000)
    assert list(mdata["links"].var_names) == ["chr1:4500-5000|g1"]
    assert "contact" not in mdata["links"].layers
    er.pp.link(mdata)
    assert mdata["links"].n_vars > 1
    assert mdata.n_vars == 7 + mdata["links"].n_vars
    validate(mdata)


def test_elements_without_sequence_go_before_the_nearest_are_counted(tmp_path):
    fasta = tmp_path / "toy.fa"
    sequence = bytearray(b"ACGT" * 5_000)
    sequence[12_100:12_101] = b"N"
    fasta.write_text(">chr1\n" + sequence.decode() + "\n")

    def linked(*elements):
        mdata = build([("chr1", 10_000, "+")], [("chr1", *element) for element in elements], [[1] * len(elements)])
        er.pp.link(mdata, max_enhancers=1, require_sequence=True, genome=fasta)
        validate(mdata)
        return list(mdata["links"].var["enhancer"])

    assert linked((12_000, 500), (14_000, 501)) == ["e1"]  # the N is in the first
    assert linked((12_101, 500), (14_000, 501)) == ["e0"]  # the N is beside it, which no model reads
    assert linked((11_000, 3_102)) == []  # of 3,102 bp the centre [11,551, 13,551) is read, which holds it
    assert linked((10_050, 4_400)) == []
    assert linked((12_100, 3_000)) == ["e0"]  # of 3,000 bp the centre [12,600, 14,600)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_distance": 10, "min_distance": 10}, "min_distance"),
        ({"min_distance": -1}, "min_distance"),
        ({"max_enhancers": 0}, "max_enhancers"),
        ({"inclusive": "yes"}, "inclusive"),
        ({"require_sequence": True}, "genome"),
    ],
)
def test_bad_arguments_change_nothing(arguments, message):
    mdata = three_genes()
    with pytest.raises(ValueError, match=message):
        er.pp.link(mdata, **arguments)
    assert list(mdata.mod) == ["genes", "enhancers"]


def test_copy_leaves_the_object():
    mdata = three_genes()
    assert "links" in er.pp.link(mdata, copy=True).mod
    assert "links" not in mdata.mod


def test_views_are_refused():
    with pytest.raises(ValueError, match="is a view"):
        er.pp.link(three_genes()[["K562"]])


@pytest.fixture(scope="module")
def k562(shared):
    folder = shared / "data/epinformer"
    genes = pd.read_csv(folder / "mRNA_halflife_features.tsv.gz", sep="\t", dtype={"chrom": str})
    strand = pd.read_csv(folder / "K562_genes_TSS1kb_counts.tsv.gz", sep="\t").set_index("gene")["strand"]
    return er.pp.assemble(
        genes=genes.assign(strand=genes["gene_id"].map(strand)),
        enhancers=pd.read_csv(folder / "K562_candidate_enhancers_counts.tsv.gz", sep="\t"),
        samples="K562",
        genome=shared / "data/genome/hg38.partial.fa.gz",
    )


class TestK562:
    @pytest.mark.parametrize(
        ("arguments", "n_links", "n_elements"),
        [
            ({}, 305_746, 94_690),
            ({"max_enhancers": 60}, 303_813, 94_523),
            ({"inclusive": "right"}, 305_748, 94_690),
            ({"inclusive": "right", "max_enhancers": 60}, 303_815, 94_523),
        ],
    )
    def test_published_pairs(self, k562, arguments, n_links, n_elements):
        er.pp.link(k562, **arguments)
        var = k562["links"].var
        assert (len(var), var["enhancer"].nunique()) == (n_links, n_elements)
        assert k562["genes"].n_vars - var["gene"].nunique() == 826
        validate(k562)

    def test_every_pair_is_the_published_one(self, k562, shared):
        er.pp.link(k562, max_enhancers=60)
        with np.load(shared / "data/epinformer/k562_structure.npz") as published:
            gene = published["gene"][published["pair_gene"]]
            columns = (published[f"enh_{name}"][published["pair_enh"]] for name in ("chrom", "start", "end"))
            elements = [f"{chrom}:{start}-{end}" for chrom, start, end in zip(*columns, strict=True)]
            distance = dict(zip(zip(gene, elements, strict=True), published["pair_distance"], strict=True))
        var = k562["links"].var
        ours = dict(zip(zip(var["gene"], var["enhancer"], strict=True), var["distance"].abs(), strict=True))
        assert ours == distance
