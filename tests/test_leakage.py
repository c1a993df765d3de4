"""What splits let through: published overlaps, the memoriser, and a count by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from real_pairs import CELLS, target_finder

TOUCHING = dict(zip(CELLS, (0.7904, 0.5683, 0.7735, 0.7896, 0.7101, 0.8135), strict=True))
"""Figure 5 of Liu, Zhu and Zhang 2026."""

MEMORISER = dict(zip(CELLS, (0.930, 0.914, 0.956, 0.927, 0.932, 0.964), strict=True))

SHARED = {
    "same_promoter": (0.978, 0.957, 0.967, 0.975, 0.975, 0.975),
    "same_enhancer": (0.413, 0.452, 0.380, 0.255, 0.455, 0.206),
    "overlapping_enhancer": (0.687, 0.616, 0.632, 0.532, 0.673, 0.505),
    "overlapping_enhancer_positive": (0.868, 0.718, 0.842, 0.826, 0.832, 0.830),
    "copied_positive": (0.752, 0.548, 0.747, 0.755, 0.671, 0.781),
}
"""Shares under a random split."""


@pytest.mark.parametrize("cell", CELLS)
def test_target_finder(shared, cell):
    mdata = target_finder(shared, cell)
    by_chromosome = er.tl.leakage(mdata)
    at_random = er.tl.leakage(mdata, "random")
    assert len(by_chromosome) == 8 + 1
    assert len(at_random) == 5 * 8 + 1
    mean = by_chromosome.iloc[-1]
    assert mean["touching_enhancers"] == pytest.approx(TOUCHING[cell], abs=0.0005)
    assert (by_chromosome["memoriser_auroc"] == 0.5).all()
    assert (by_chromosome[list(SHARED)] == 0).all(axis=None)
    for table in (by_chromosome, at_random):
        assert (table["membership_auroc"] == 1).all()
        assert (table["membership_auprc"] == 1).all()
    mean = at_random.iloc[-1]
    assert mean["memoriser_auroc"] == pytest.approx(MEMORISER[cell], abs=0.006)
    for name, values in SHARED.items():
        # one draw of a share varies by 0.008
        assert mean[name] == pytest.approx(values[CELLS.index(cell)], abs=0.025)
    assert mean["copied_negative"] < 0.002


def by_hand(rows, split):
    """Object of pairs ``(start, start2, label)`` on chr1 with elements of 100 bp."""
    start, start2, label = (np.array(values) for values in zip(*rows, strict=True))
    table = pd.DataFrame({"Chromosome": "chr1", "Start": start, "End": start + 100, "Chromosome2": "chr1"})
    table = table.assign(Start2=start2, End2=start2 + 100, label=label)
    table["Chromosome"] = table["Chromosome2"] = split
    return er.pp.pairs(table, genome=None, sample="K562", enhancer_width=1_000, promoter_width=1_000)


def test_shares_by_hand():
    pairs = [
        (10_000, 50_000, 1),
        (10_900, 50_900, 1),  # both windows overlap those of the first
        (10_000, 80_000, 0),  # has its enhancer
        (20_000, 50_000, 0),  # has its promoter
        (30_000, 90_000, 0),
        (31_000, 90_000, 0),  # its enhancer window touches, and does not overlap
    ]
    mdata = by_hand(pairs, "chr1")
    table = er.tl.leakage(mdata, "random", n_folds=2, n_draws=40)
    assert set(table["n"]) == {3.0}
    folds = table.iloc[:-1]
    assert set(folds["n_positive"]) == {1, 2}
    # where only one of the positive pairs is tested the other trains
    assert (folds["copied_positive"] == (folds["n_positive"] == 1)).all()
    assert (table["copied_negative"] == 0).all()
    assert table["touching_enhancers"].iloc[0] == 1
    apart = [(start * 7, start2 * 7, label) for start, start2, label in pairs]
    assert er.tl.leakage(by_hand(apart, "chr1"), "random", n_folds=2)["touching_enhancers"].iloc[0] == 0


def test_seed_decides_and_order_does_not_matter():
    rng = np.random.default_rng(0)
    rows = [(int(a), int(a) + 20_000, int(k % 3 == 0)) for k, a in enumerate(rng.integers(10**5, 10**6, 90))]
    mdata = by_hand(rows, "chr3")
    one, again, other = (er.tl.leakage(mdata, "random", rng=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert not one["memoriser_auroc"].equals(other["memoriser_auroc"])
    mixed = by_hand(list(reversed(rows)), "chr3")
    for data in (mdata, mixed):
        er.pp.split(data, {0: {"test": ["chr3"]}})
    pd.testing.assert_frame_equal(er.tl.leakage(mdata), er.tl.leakage(mixed))


def test_bad_input():
    mdata = by_hand([(10_000, 50_000, 1), (20_000, 50_000, 0)], "chr1")
    with pytest.raises(KeyError, match=r"er\.pp\.split"):
        er.tl.leakage(mdata)
    with pytest.raises(ValueError, match="n_folds=1"):
        er.tl.leakage(mdata, "random", n_folds=1)
    with pytest.raises(ValueError, match="pairs of both kinds"):
        er.tl.leakage(mdata, "random", n_folds=2)
    with pytest.raises(KeyError, match="no label 'truth'"):
        er.tl.leakage(mdata, "random", label="truth")
    with pytest.raises(ValueError, match="other than 0 and 1"):
        er.tl.leakage(mdata, "random", label="distance")
