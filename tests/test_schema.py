"""Every rule of the object is refused when it is broken, in one sentence that says what and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyranges as pr
import pytest

import eregtools as er
from eregtools._schema import SchemaError, put_layer, require_real, validate
from eregtools.datasets.toy import three_genes


@pytest.fixture
def mdata():
    mdata = three_genes(["K562", "GM12878"])
    er.pp.link(mdata)
    return mdata


def set_var(modality, column, row, value):
    def change(mdata):
        var = mdata[modality].var
        values = var[column].to_numpy().copy()
        values[row] = value
        var[column] = values

    return change


def set_layer(modality, layer, value):
    def change(mdata):
        mdata[modality].layers[layer] = value

    return change


def set_uns(key, value):
    def change(mdata):
        mdata.uns["eregtools"][key] = value

    return change


def recast(modality, column, dtype):
    def change(mdata):
        mdata[modality].var[column] = mdata[modality].var[column].astype(dtype)

    return change


def move_gene(mdata):
    mdata["genes"].var["Chromosome"] = pd.Categorical(["chr2", "chr1", "chr2"])


def rename_gene(mdata):
    mdata["genes"].var_names = ["other", "g2", "g3"]


def share_name(mdata):
    mdata["genes"].var_names = ["g1", "g2", mdata["enhancers"].var_names[0]]


def repeat_name(mdata):
    mdata["genes"].var_names = ["g1", "g2", "g2"]


def take_candidate(mdata):
    mdata["enhancers"].layers["candidate"][0, 0] = 0


def reorder_samples(mdata):
    mdata.mod["genes"] = mdata["genes"][::-1].copy()


def drop_column(mdata):
    del mdata["genes"].var["tss"]


def drop_candidate(mdata):
    del mdata["links"].layers["candidate"]


RANGES = pr.PyRanges(pd.DataFrame({"Chromosome": ["chr1"], "Start": [1], "End": [2]}))

FAULTS = {
    "columns": (drop_column, "genes: var has no column tss"),
    "integers": (recast("enhancers", "Start", float), "enhancers: column Start is float64"),
    "categorical": (recast("links", "gene", object), "links: column gene is object"),
    "distance type": (recast("links", "distance", float), "links: column distance is float64"),
    "layer type": (set_layer("genes", "RNA", np.ones((2, 3))), "genes: layer 'RNA' is float64"),
    "no candidates": (drop_candidate, "links: there is no layer 'candidate'"),
    "samples": (reorder_samples, "genes: its biosamples"),
    "End": (set_var("enhancers", "End", 1, 8_000), "enhancers: End is not greater than Start in 1 .*chr1:8000-8500"),
    "negative": (set_var("genes", "Start", 0, -1), "genes: Start is negative"),
    "genome": (set_var("enhancers", "End", 3, 10_001), "enhancers: End is past the end of the chromosome"),
    "candidate": (set_layer("enhancers", "candidate", np.full((2, 4), 0.5, np.float32)), "neither 0 nor 1"),
    "distance": (set_var("links", "distance", 0, 7), r"links: distance is not \(Start \+ End\) / 2 - tss"),
    "chromosomes": (move_gene, "links: gene and enhancer are on different chromosomes"),
    "gene": (rename_gene, "links: the gene of 3 link.* is not in 'genes'"),
    "owner": (take_candidate, "links: a link belongs to a biosample that does not have its enhancer"),
    "shared name": (share_name, "genes and enhancers share 1 var_names"),
    "repeated name": (repeat_name, "genes: 1 var_names are repeated, first 'g2'"),
    "slash": (set_uns("a/b", 1), "no '/' in keys"),
    "key": (set_uns("a", {1: 2}), "has the key 1, expected text"),
    "tuple": (set_uns("a", (1, 2)), "is a tuple"),
    "path": (set_uns("a", {"b": Path("x")}), "is a PosixPath"),
    "list": (set_uns("a", [1, 2]), "is a list"),
    "none": (set_uns("a", None), "is a NoneType"),
    "ranges": (set_uns("a", RANGES), "is a PyRanges"),
    "newer": (set_uns("schema_version", 99), "schema version 99"),
}


def test_a_whole_object_is_valid(mdata):
    validate(mdata)
    validate(mdata, full=False)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(mdata, fault):
    change, message = FAULTS[fault]
    change(mdata)
    with pytest.raises(SchemaError, match=message):
        validate(mdata)


def test_all_structural_faults_are_told_at_once(mdata):
    drop_column(mdata)
    drop_candidate(mdata)
    with pytest.raises(SchemaError) as caught:
        validate(mdata, full=False)
    assert str(caught.value).count("\n") == 1


def test_uns_of_others_may_hold_what_can_be_written(mdata):
    mdata["genes"].uns["log1p"] = {"base": None}
    mdata.uns["colors"] = ["red", "blue"]
    validate(mdata)
    mdata["genes"].uns["ranges"] = RANGES
    with pytest.raises(SchemaError, match=r"genes: uns.*PyRanges"):
        validate(mdata)


def test_views_and_strangers(mdata):
    with pytest.raises(ValueError, match="mdata is a view"):
        require_real(mdata[["K562"]])
    with pytest.raises(TypeError, match="expected a MuData, got AnnData"):
        require_real(mdata["genes"])
    mdata.mod["genes"] = mdata["genes"][:, ["g1", "g2", "g3"]]
    with pytest.raises(ValueError, match="modality 'genes' is a view"):
        require_real(mdata)


def test_x_follows_its_layer(mdata):
    values = np.array([[1, 2, 3], [4, 5, 6.0]])
    put_layer(mdata, "genes", "first", values)
    put_layer(mdata, "genes", "second", values + 1)
    np.testing.assert_array_equal(mdata["genes"].X, values)
    put_layer(mdata, "genes", "second", values + 1, as_x=True)
    np.testing.assert_array_equal(mdata["genes"].X, values + 1)
    mdata["genes"].X[:] = 0
    np.testing.assert_array_equal(mdata["genes"].layers["second"], values + 1)
    with pytest.raises(ValueError, match="shape"):
        put_layer(mdata, "genes", "third", values[:, :2])
