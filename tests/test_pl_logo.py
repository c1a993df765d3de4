"""Logos: letters where they belong, as high as they should be."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import eregtools as er
from world import make_world

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.collections import PathCollection

GATA = np.array([[0.1, 0.0, 0.9, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.0, 0.5]])


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def attributed(world):
    """Attributions of known value: of the second and third element, whose windows overlap by 56 bases."""
    mdata = world.build(["K562"])
    enhancers = mdata["enhancers"]
    values = np.full((enhancers.n_vars, 256), np.nan, dtype=np.float16)
    values[1] = np.linspace(-1, 1, 256)
    values[2] = 0.5
    enhancers.varm["activity_deeplift"] = values
    enhancers.var["activity_deeplift_start"] = 0
    enhancers.var.loc[enhancers.var_names[[1, 2]], "activity_deeplift_start"] = [5_000, 5_200]
    return mdata


def letters(ax):
    """Base, left, bottom, width and height of each letter drawn, in data coordinates, by position."""
    rows = []
    for drawn in ax.collections:
        assert isinstance(drawn, PathCollection)
        for path in drawn.get_paths():
            box = path.get_extents()
            rows.append((drawn.get_label(), box.x0, box.y0, box.width, box.height))
    return pd.DataFrame(rows, columns=["base", "x", "y", "width", "height"]).sort_values(["x", "y"], ignore_index=True)


def test_information_of_a_motif():
    ax = er.pl.logo(GATA, kind="information", show=False)
    found = letters(ax)
    bits = 2 + 0.9 * np.log2(0.9) + 0.1 * np.log2(0.1)
    expected = {
        (0, "G"): (0.1 * bits, 0.9 * bits),
        (0, "A"): (0.0, 0.1 * bits),
        (1, "A"): (0.0, 2.0),
        (3, "C"): (0.0, 0.5),
        (3, "T"): (0.5, 0.5),
    }
    drawn = {(int(row.x), row.base): (row.y, row.height) for row in found.itertuples() if row.height > 1e-9}
    assert set(drawn) == set(expected)
    for place, box in expected.items():
        assert drawn[place] == pytest.approx(box, abs=1e-9)
    assert (found["width"] < 1).all()
    assert ax.get_ylabel() == "information (bits)"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "2", "3", "4"]


def test_weights_hang_from_zero_when_negative():
    matrix = pd.DataFrame({"T": [2.0, -1.0], "A": [1.0, -3.0], "C": [-0.5, 0.0], "G": [0.0, 0.0]})
    ax = er.pl.logo(matrix, "motif", show=False)
    found = letters(ax).set_index([letters(ax)["x"].astype(int), "base"])[["y", "height"]]
    expected = {(0, "A"): (0, 1), (0, "T"): (1, 2), (0, "C"): (-0.5, 0.5), (1, "T"): (-1, 1), (1, "A"): (-4, 3)}
    assert {place: tuple(row) for place, row in found.iterrows()} == {
        place: pytest.approx(box) for place, box in expected.items()
    }
    assert ax.get_title(loc="left") == "motif"
    low, high = ax.get_ylim()
    assert low < -4
    assert high > 3


def test_negative_letters_are_upside_down():
    up, down = (er.pl.logo(np.array([[0, 0, 0, sign]]), show=False) for sign in (1.0, -1.0))
    bar = {}  # the bar of a T holds most of its corners' width
    for name, ax in (("up", up), ("down", down)):
        corners = ax.collections[3].get_paths()[0].vertices
        wide = corners[np.abs(corners[:, 0] - 0.5) > 0.3]
        bar[name] = np.abs(wide[:, 1]).mean()
    assert bar["up"] > 0.6
    assert bar["down"] > 0.6


def test_window_of_an_element(world, attributed):
    name = attributed["enhancers"].var_names[1]
    chrom = attributed["enhancers"].var.loc[name, "Chromosome"]
    ax = er.pl.logo(attributed, name, genome=world.genome, show=False)
    found = letters(ax)
    assert ax.get_xlim() == (5_000, 5_256)
    sequence = world.genome.sequence(chrom, 5_000, 5_256)
    assert "".join(found["base"]) == sequence
    values = attributed["enhancers"].varm["activity_deeplift"][1].astype(float)
    assert np.allclose(found["height"], np.abs(values), atol=1e-6)
    assert np.allclose(found["y"], np.minimum(values, 0), atol=1e-6)
    assert ax.get_xlabel() == chrom
    assert ax.get_title(loc="left") == name
    assert ax.figure.get_figwidth() <= 180 / 25.4


def test_region_over_two_windows_shows_the_mean(world, attributed):
    chrom = attributed["enhancers"].var["Chromosome"].iloc[1]
    ax = er.pl.logo(attributed, region=f"{chrom}:5,190-5,210", genome=world.genome, show=False)
    values = attributed["enhancers"].varm["activity_deeplift"][1].astype(float)
    expected = np.concatenate([values[190:200], (values[200:210] + 0.5) / 2])
    assert np.allclose(letters(ax)["height"], np.abs(expected), atol=1e-3)
    assert letters(ax)["base"].str.cat() == world.genome.sequence(chrom, 5_190, 5_210)
    ticks = [int(text.get_text().replace(",", "")) for text in ax.get_xticklabels()]
    assert all(5_190 <= tick < 5_210 for tick in ticks)
    assert np.allclose(ax.get_xticks(), np.array(ticks) + 0.5)
    one = er.pl.logo(
        attributed, attributed["enhancers"].var_names[2], region=(chrom, 5_190, 5_210), genome=world.genome, show=False
    )
    assert len(letters(one)) == 10


def test_long_windows_are_bars(world, attributed):
    _, ax = plt.subplots(figsize=(1, 1))
    name = attributed["enhancers"].var_names[1]
    assert er.pl.logo(attributed, name, genome=world.genome, ax=ax) is ax
    assert not ax.collections
    assert len(ax.patches) == 256


@pytest.mark.parametrize(
    ("motif", "kind", "says"),
    [
        (np.ones((4, 3)), "weights", r"shape \(4, 3\); expected \(length, 4\)"),
        (np.full((2, 4), 0.5), "information", "takes probabilities"),
        (np.array([[1.5, -0.5, 0, 0]]), "information", "takes probabilities"),
        (np.array([[np.nan, 0, 0, 0]]), "weights", "no numbers"),
        (pd.DataFrame({"A": [1.0]}), "weights", "no column C, G, T"),
        (GATA, "bits", "kind is 'bits'"),
    ],
)
def test_what_is_no_motif(motif, kind, says):
    with pytest.raises(ValueError, match=says):
        er.pl.logo(motif, kind=kind, show=False)


def test_what_is_not_there(world, attributed):
    names = attributed["enhancers"].var_names
    with pytest.raises(KeyError, match=r"genes have no attributions; run er\.tl\.attribute first"):
        er.pl.logo(attributed, "ENSG00000000000", modality="genes", genome=world.genome)
    with pytest.raises(KeyError, match=r"no attributions 'ism' \(there are activity_deeplift\)"):
        er.pl.logo(attributed, names[1], key="ism", genome=world.genome)
    with pytest.raises(ValueError, match="has no attributions under 'activity_deeplift'"):
        er.pl.logo(attributed, names[5], genome=world.genome)
    with pytest.raises(ValueError, match="holds no attribution"):
        er.pl.logo(attributed, region="chr22:100-200", genome=world.genome)
    with pytest.raises(ValueError, match="pass the name of an element, or region="):
        er.pl.logo(attributed, genome=world.genome)
    with pytest.raises(KeyError, match="'x' is not among the 60 enhancers"):
        er.pl.logo(attributed, "x", genome=world.genome)
