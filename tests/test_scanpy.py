"""The object is an ordinary AnnData for scanpy, without layer arguments."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.datasets.toy import three_genes

sc = pytest.importorskip("scanpy")


@pytest.fixture
def mdata():
    mdata = three_genes(["K562", "GM12878"])
    table = pd.DataFrame({"K562": [0.0, 9, 1], "GM12878": [1.0, 2, 3]}, index=["g1", "g2", "g3"])
    er.pp.add_expression(mdata, table, assay="RNA")
    return mdata


def test_log1p_works_on_x_and_leaves_the_layer(mdata):
    sc.pp.log1p(mdata["genes"])
    np.testing.assert_allclose(mdata["genes"].X, np.log1p(mdata["genes"].layers["RNA"]), rtol=1e-6)
    assert mdata["genes"].layers["RNA"][0, 1] == 9
    validate(mdata)


def test_normalize_total(mdata):
    sc.pp.normalize_total(mdata["genes"], target_sum=12)
    np.testing.assert_allclose(mdata["genes"].X, [[0, 10.8, 1.2], [2, 4, 6]], rtol=1e-6)
    validate(mdata)


def test_heatmap(mdata):
    matplotlib.use("Agg")
    mdata["genes"].obs["cell"] = pd.Categorical(mdata.obs_names)
    axes = sc.pl.heatmap(mdata["genes"], ["g1", "g2"], groupby="cell", show=False)
    assert axes["heatmap_ax"].get_images()
    matplotlib.pyplot.close("all")


def test_elements_and_links_have_an_x(mdata):
    er.pp.link(mdata)
    frame = sc.get.obs_df(mdata["links"], keys=list(mdata["links"].var_names[:2]))
    assert frame.loc["K562"].tolist() == [1, 1]
    assert sc.get.obs_df(mdata["enhancers"], keys=["chr1:4500-5000"]).loc["K562"].tolist() == [1]
