"""Negative pairs made for positive ones: what they share with them, and what they must not be."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import link_positions, put_layer, validate
from eregtools.sampling import nearest_unused
from real_pairs import HG19, target_finder


def world(seed=0, n=60):
    """Positive pairs near each other on two chromosomes, and elements that no positive pair has."""
    rng = np.random.default_rng(seed)
    rows = []
    for chromosome in ("chr2", "chr5"):
        for _ in range(n):
            start = int(rng.integers(1_000_000, 3_000_000))
            far = start + int(rng.integers(20_000, 300_000)) * int(rng.choice([-1, 1]))
            rows.append((chromosome, start, start + int(rng.integers(200, 900)), far, far + 1_500, 1))
        for _ in range(3 * n):
            start = int(rng.integers(1_000_000, 3_000_000))
            far = start + int(rng.integers(20_000, 600_000))
            rows.append((chromosome, start, start + 400, far, far + 1_500, 0))
    columns = ["Chromosome", "Start", "End", "Start2", "End2", "label"]
    table = pd.DataFrame(rows, columns=columns).eval("Chromosome2 = Chromosome")
    return er.pp.pairs(table, genome=HG19, sample="K562", duplicates="drop")


def parts(mdata, method):
    """Elements of positive pairs, and of the negative ones of a method."""
    gene, enhancer = link_positions(mdata)
    var = mdata["links"].var
    positive, new = ((var["label"] == 1).to_numpy(), (var["origin"] == method).to_numpy())
    return gene, enhancer, positive, new


@pytest.mark.parametrize("method", ["repaired", "distance"])
def test_distances_agree_pair_by_pair(method):
    mdata = world()
    er.pp.matched_pairs(mdata, method=method)
    validate(mdata)
    var = mdata["links"].var
    new = var[var["origin"] == method]
    assert (new["label"] == 0).all()
    assert len(new) > 60
    theirs = var["distance"].abs().to_numpy()[new["match"]]
    assert np.abs(np.log(new["distance"].abs().to_numpy() / theirs)).max() <= np.log(1.25)
    assert (var["label"].to_numpy()[new["match"]] == 1).all()
    assert new["match"].is_unique
    assert (var.loc[var["origin"] == "table", "match"] == -1).all()


def test_repaired_pairs_are_of_positive_elements_and_never_positive():
    mdata = world()
    er.pp.matched_pairs(mdata, method="repaired", ratio=2)
    gene, enhancer, positive, new = parts(mdata, "repaired")
    assert set(gene[new]) <= set(gene[positive])
    assert set(enhancer[new]) <= set(enhancer[positive])
    windows = {name: mdata[name].var[["window_start", "window_end"]].to_numpy() for name in ("genes", "enhancers")}
    chromosome = mdata["genes"].var["Chromosome"].astype(str).to_numpy()
    for i, j in itertools.product(np.flatnonzero(new), np.flatnonzero(positive)):
        met = [
            a[0] < b[1] and b[0] < a[1]
            for a, b in (
                (windows["genes"][gene[i]], windows["genes"][gene[j]]),
                (windows["enhancers"][enhancer[i]], windows["enhancers"][enhancer[j]]),
            )
        ]
        assert not (all(met) and chromosome[gene[i]] == chromosome[gene[j]])


def test_distance_pairs_are_of_other_elements():
    mdata = world()
    er.pp.matched_pairs(mdata, method="distance")
    gene, enhancer, positive, new = parts(mdata, "distance")
    assert not set(gene[new]) & set(gene[positive])
    assert not set(enhancer[new]) & set(enhancer[positive])
    keys = pd.Series(list(zip(gene, enhancer, strict=True)))
    assert not keys[new].isin(keys[~new]).any()


def test_shifts_are_those_of_the_chia_pet_tables():
    mdata = world()
    er.pp.matched_pairs(mdata, method="shift", ratio=4)
    validate(mdata)
    var = mdata["links"].var
    gene, enhancer, positive, new = parts(mdata, "shift")
    assert new.sum() == 4 * positive.sum()
    at = {name: mdata[name].var["Start"].to_numpy() for name in ("genes", "enhancers")}
    match = var["match"].to_numpy()[new]
    moved = np.stack(
        [
            at["enhancers"][enhancer[new]] - at["enhancers"][enhancer[match]],
            at["genes"][gene[new]] - at["genes"][gene[match]],
        ],
        axis=1,
    )
    expected = {(2_000, 2_000), (-2_000, -2_000), (0, 2_000), (-2_000, 0)}
    assert {tuple(row) for row in moved.tolist()} == expected
    assert (var["block"].to_numpy()[new] == match).all()
    er.pp.split(mdata, "epipam8")
    with pytest.raises(ValueError, match="blocks"):
        er.tl.leakage(mdata, "random")
    assert er.tl.leakage(mdata, "random", negatives="table").iloc[-1]["memoriser_auroc"] > 0


def test_shift_past_a_chromosome_is_left_out(caplog):
    row = {"Chromosome": "chr1", "Start": 500, "End": 900, "Chromosome2": "chr1", "Start2": 8_000, "End2": 9_000}
    table = pd.DataFrame([row | {"label": 1}, row | {"Start": 5_000, "End": 5_400, "label": 0}])
    mdata = er.pp.pairs(table, genome={"chr1": 11_500}, sample="K562")
    er.pp.matched_pairs(mdata, method="shift", ratio=4)
    assert "3 of 4" not in caplog.text
    assert "2 of 4 negative pairs" in caplog.text
    validate(mdata)
    with pytest.raises(ValueError, match="past their chromosome's end"):
        er.pp.matched_pairs(er.pp.pairs(table, genome={"chr1": 9_500}, sample="K562"), method="shift")


def test_what_was_there_stays_and_what_is_new_is_not_known():
    mdata = world()
    before = mdata["links"].n_vars
    scores = np.arange(before, dtype=np.float32)[None]
    put_layer(mdata, "links", "interaction", scores)
    mdata["links"].varm["numbers"] = np.ones((before, 2), dtype=np.float32)
    new = er.pp.matched_pairs(mdata, method="repaired", copy=True)
    assert mdata["links"].n_vars == before
    links = new["links"]
    np.testing.assert_array_equal(links.layers["interaction"][:, :before], scores)
    assert np.isnan(links.layers["interaction"][:, before:]).all()
    assert (links.layers["candidate"] == 1).all()
    assert np.isnan(links.varm["numbers"][before:]).all()
    pd.testing.assert_frame_equal(
        links.var[mdata["links"].var.columns][:before], mdata["links"].var, check_categorical=False
    )


def test_seed_decides():
    one, again, other = (
        er.pp.matched_pairs(world(), method="repaired", rng=seed, copy=True)["links"].var_names for seed in (1, 1, 2)
    )
    assert one.equals(again)
    assert not one.equals(other)


def test_methods_add_up():
    mdata = world()
    for method in ("repaired", "distance", "shift"):
        er.pp.matched_pairs(mdata, method=method)
    validate(mdata)
    assert set(mdata["links"].var["origin"]) == {"table", "repaired", "distance", "shift"}
    er.pp.split(mdata, {0: {"test": ["chr2"]}, 1: {"test": ["chr5"]}})
    test = er.get.fold_pairs(mdata, 0, negatives=["repaired"])["test"]
    assert set(mdata["links"].var["origin"].iloc[test.rows[test.label == 0]]) == {"repaired"}


def test_real_table_repaired(shared):
    mdata = target_finder(shared, "K562")
    er.pp.matched_pairs(mdata, method="repaired")
    new = mdata["links"].var.query("origin == 'repaired'")
    assert 1_000 < len(new) < 1_977
    membership = er.tl.leakage(mdata, negatives="repaired").iloc[-1]["membership_auroc"]
    assert membership == 0.5
    assert er.tl.leakage(mdata, negatives="table").iloc[-1]["membership_auroc"] == 1


def test_bad_input():
    mdata = world()
    with pytest.raises(ValueError, match="method='random'"):
        er.pp.matched_pairs(mdata, method="random")
    for ratio in (0, 5):
        with pytest.raises(ValueError, match=f"ratio={ratio}"):
            er.pp.matched_pairs(mdata, method="shift", ratio=ratio)
    er.pp.matched_pairs(mdata, method="repaired")
    with pytest.raises(ValueError, match="already has"):
        er.pp.matched_pairs(mdata, method="repaired")
    row = {"Chromosome": "chr1", "Chromosome2": "chr1", "Start2": 40_000, "End2": 41_000}
    alone = pd.DataFrame(
        [row | {"Start": 9_000, "End": 9_500, "label": 1}, row | {"Start": 8_000, "End": 8_500, "label": 0}]
    )
    with pytest.raises(ValueError, match="no negative pair by 'repaired'"):
        er.pp.matched_pairs(er.pp.pairs(alone, genome=None, sample="K562"), method="repaired")
    unlabelled = er.datasets.three_genes()
    er.pp.link(unlabelled)
    with pytest.raises(KeyError, match="labelled pairs"):
        er.pp.matched_pairs(unlabelled)


class TestNearestUnused:
    def test_against_trying_all(self):
        rng = np.random.default_rng(4)
        for _ in range(30):
            wanted, offered = rng.normal(size=rng.integers(1, 20)), np.round(rng.normal(size=rng.integers(1, 25)), 1)
            seed = int(rng.integers(1000))
            found = nearest_unused(wanted, offered, np.random.default_rng(seed), within=0.7)
            order = np.random.default_rng(seed)
            order.permutation(len(offered))
            free = np.ones(len(offered), dtype=bool)
            for i in order.permutation(len(wanted)):
                gaps = np.where(free, np.abs(offered - wanted[i]), np.inf)
                if gaps.min() <= 0.7:
                    assert np.abs(offered[found[i]] - wanted[i]) == pytest.approx(gaps.min())
                    free[found[i]] = False
                else:
                    assert found[i] == -1

    def test_nothing_offered(self):
        assert nearest_unused(np.ones(3), np.empty(0), np.random.default_rng(0)).tolist() == [-1] * 3
