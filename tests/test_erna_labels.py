"""Labels of loci: catalogues, and support in coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.locus_signal import empirical_p, free_sequence, random_positions
from eregtools.ranges import overlaps
from erna_world import ErnaWorld, catalogue_of, labelled, make_erna_world


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> ErnaWorld:
    return make_erna_world(tmp_path_factory.mktemp("erna"))


@pytest.fixture(scope="module")
def catalogue(world) -> pd.DataFrame:
    return catalogue_of(world)


@pytest.fixture(scope="module")
def built(world, catalogue, tmp_path_factory):
    return labelled(world, catalogue, tmp_path_factory.mktemp("built"))


class TestLabels:
    def test_expressed_loci_are_positive_and_silent_ones_ignored(self, built, world):
        var = built["ernas"].var
        assert var["stratum"].value_counts()[["positive", "unsupported"]].tolist() == [len(world.loci), 2]
        assert var["FANTOM5"].all()
        label = built["ernas"].layers["label"]
        assert np.nansum(label, axis=1).tolist() == [len(world.loci)] * 2
        assert np.isnan(var.loc[var["stratum"] == "unsupported", "label"]).all()
        p = built["ernas"].layers["support_p"]
        assert p[0, (var["stratum"] == "positive").to_numpy()].max() < 0.01
        assert p[0, (var["stratum"] == "unsupported").to_numpy()].min() > 0.05
        validate(built)

    def test_other_loci_are_unlabelled(self, built, catalogue):
        mdata = built.copy()
        loci = pd.DataFrame({"chrom": "chr1", "start": [1_000, 120_000], "end": [1_400, 120_400]})
        er.pp.candidate_ernas(mdata, "bed", source=pd.concat([catalogue[:5], loci]))
        er.pp.label_ernas(mdata, {"FANTOM5": catalogue[:3], "eRNAbase": catalogue[2:5]}, negatives=loci[:1])
        var = mdata["ernas"].var
        assert var["stratum"].tolist() == ["negative", *["positive"] * 3, "unlabelled", *["positive"] * 2]
        assert var["FANTOM5"].sum() == 3
        assert var["eRNAbase"].sum() == 3
        assert var.loc[var["stratum"] == "negative", "label"].tolist() == [0]

    def test_distance_between_centres(self, built, catalogue):
        mdata = built.copy()
        for shift, n in ((190, 30), (210, 0)):
            moved = catalogue.assign(start=catalogue["start"] + shift, end=catalogue["end"] + shift)
            er.pp.label_ernas(mdata, {"x": moved}, support_p=None)
            assert mdata["ernas"].var["x"].sum() == n

    def test_masked_loci_are_not_positive(self, built, world):
        mdata = built.copy()
        at_tss = pd.DataFrame({"chrom": ["chr1"], "start": [19_900], "end": [20_100]})
        er.pp.candidate_ernas(mdata, "bed", source=at_tss, mask=at_tss[:0])
        er.pp.label_ernas(mdata, {"x": at_tss}, support_p=None)
        assert mdata["ernas"].var["stratum"].tolist() == ["unsupported"]

    def test_the_same_for_a_biosample_alone(self, built, catalogue):
        mdata = built.copy()
        er.pp.label_ernas(mdata, {"FANTOM5": catalogue}, sample="B")
        both = built["ernas"].layers["support_p"]
        np.testing.assert_array_equal(mdata["ernas"].layers["support_p"][1], both[1])
        assert np.isnan(mdata["ernas"].layers["support_p"][0]).all()

    def test_bad_input(self, built, catalogue):
        mdata = built.copy()
        with pytest.raises(ValueError, match="30 loci are catalogued and negative at once"):
            er.pp.label_ernas(mdata, {"x": catalogue}, negatives=catalogue)
        with pytest.raises(ValueError, match="cannot be that of a column"):
            er.pp.label_ernas(mdata, {"label": catalogue})
        with pytest.raises(ValueError, match="is it of another one"):
            er.pp.label_ernas(mdata, {"x": catalogue.assign(chrom="chr9")})
        with pytest.raises(ValueError, match="catalogues is empty"):
            er.pp.label_ernas(mdata, {})
        del mdata.mod["ernas"]
        with pytest.raises(KeyError, match="no modality 'ernas'"):
            er.pp.label_ernas(mdata, {"x": catalogue})

    def test_empirical_p(self):
        np.testing.assert_allclose(empirical_p(np.array([5.0, 1.0, 0.0]), np.arange(4.0)), [0.2, 0.8, 1.0])

    def test_background_is_even_over_what_is_free(self):
        blocked = pd.DataFrame({"Chromosome": ["a", "a"], "Start": [10, 50], "End": [40, 200]})
        free = free_sequence({"a": 100, "b": 30}, blocked)
        assert free[["Start", "End"]].values.tolist() == [[0, 10], [40, 50], [0, 30]]
        chrom, at = random_positions(free, 5_000, np.random.default_rng(0))
        table = pd.DataFrame({"Chromosome": chrom, "Start": at, "End": at + 1})
        assert overlaps(table, free).all()
        assert np.mean(chrom == "b") == pytest.approx(0.6, abs=0.03)
