"""Themes of figures: slides are print made larger, dark ones can be read, and every figure follows."""

from __future__ import annotations

import inspect
import subprocess
import sys
from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.lines import Line2D
from matplotlib.text import Text

import eregtools as er
from eregtools.pl._themes import THEMES

mpl.use("Agg")
import matplotlib.pyplot as plt

MODEL = "EPInformer-small-simulated"

MACHADO = {
    "all": np.eye(3),
    "no long cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short cones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What is seen of linear RGB: Machado, Oliveira and Fernandes 2009, severity 1."""


@pytest.fixture(autouse=True)
def _clean():
    with er.settings.override(theme="print"):
        yield
    plt.close("all")


def linear(color):
    values = np.array(to_rgb(color))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Contrast ratio of WCAG 2.1."""
    low, high = sorted(float(linear(color) @ [0.2126, 0.7152, 0.0722]) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def cielab(rgb):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 0.008856))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colors, vision):
    """Difference (CIE 1976) of the two colours that are most alike."""
    seen = [cielab(np.clip(np.asarray(MACHADO[vision]) @ linear(color), 0, 1)) for color in colors]
    return min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


def on(ground, color, alpha=None):
    """Colour that a transparent one has on a ground."""
    *rgb, opacity = to_rgba(color, alpha)
    return tuple(opacity * np.array(rgb) + (1 - opacity) * np.array(to_rgb(ground)))


def test_dark_colours_are_read_on_their_ground():
    dark = THEMES["dark"]
    for color in (*dark.colors, dark.beside):
        assert contrast(color, dark.paper) >= 4.5, color
    for share in np.linspace(0, 0.85, 18):
        assert contrast(dark.grey(share), dark.paper) >= 3, share


@pytest.mark.parametrize("vision", MACHADO)
def test_dark_colours_are_told_apart_as_well_as_those_of_print(vision):
    assert nearest(THEMES["dark"].colors, vision) >= nearest(THEMES["print"].colors, vision)


def test_themes_hold_for_a_block_or_until_the_next():
    with er.pl.theme("slides"):
        assert er.settings.theme == "slides"
        with er.pl.theme("dark"):
            assert er.settings.theme == "dark"
        assert er.settings.theme == "slides"
    assert er.settings.theme == "print"
    assert repr(er.pl.theme("dark")) == "theme('dark')"
    assert er.settings.theme == "dark"
    er.pl.theme("print")
    assert er.settings.theme == "print"
    with pytest.raises(RuntimeError, match="while drawing"), er.pl.theme("dark"):
        raise RuntimeError("while drawing")
    assert er.settings.theme == "print"


def test_an_unknown_theme_is_refused_and_changes_nothing():
    with pytest.raises(ValueError, match=r"theme is 'night'; expected one of 'print', 'slides', 'dark'"):
        er.pl.theme("night")
    assert er.settings.theme == "print"
    with er.settings.override(theme="night"), pytest.raises(ValueError, match="theme is 'night'"):
        er.pl.logo(np.eye(4), show=False)


def test_choosing_a_theme_does_not_import_matplotlib():
    code = "import sys, eregtools as er; er.pl.theme('dark'); print('matplotlib' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.fixture(scope="module")
def simulated():
    mdata = er.datasets.demo(n_genes=200)
    er.tl.abc(mdata)
    er.tl.attention(mdata, MODEL, assay="RNA")
    er.tl.perturb(mdata, MODEL, assay="RNA")
    er.tl.predict_expression(mdata, MODEL, assay="RNA")
    enhancer = er.get.links(mdata, gene="sim12").nsmallest(1, "perturbation")["enhancer"].item()
    er.tl.attribute(mdata, "EPInformer-seq-small-simulated", names=enhancer, method="ism")
    return mdata, enhancer


@pytest.fixture(scope="module")
def transcribed(tmp_path_factory):
    small = er.datasets.ErnaGenomeConfig(
        n_chromosomes=1, chromosome_length=500_000, genes=6, libraries=["stranded"], negative=()
    )
    world = er.datasets.simulate_erna_genome(tmp_path_factory.mktemp("rna"), config=small)
    mdata = er.pp.assemble(
        genes=world.paths["genes"], enhancers=world.paths["open"], samples=["s1"], genome=world.paths["genome"]
    )
    er.pp.add_coverage(mdata, world.tracks, folder=world.folder / "coverage.zarr", read_length=75)
    er.pp.candidate_ernas(mdata, "bed", source=world.paths["ernas"])
    return mdata


@pytest.fixture(scope="module")
def attended(tmp_path_factory):
    small = er.datasets.InteractionConfig(n_chromosomes=3, pairs_per_chromosome=20, instances=3)
    simulation = er.datasets.simulate_interactions(tmp_path_factory.mktemp("pairs"), config=small)
    mdata = er.pp.pairs(
        simulation.pairs, genome=simulation.genome, sample="simulated", enhancer_width=600, promoter_width=600
    )
    link = mdata["links"].var_names[0]
    er.tl.position_attention(mdata, "EPIPAM-small-simulated", link, relations=[1], genome=simulation.genome)
    window = mdata["enhancers"].var.iloc[0]
    hits = pd.DataFrame({"Chromosome": window["Chromosome"], "Start": window["Start"] + np.arange(3) * 40})
    return mdata, link, hits.assign(End=hits["Start"] + 10, motif=["GATA", "AP1", "GATA"])


@pytest.fixture(scope="module")
def folds():
    rng = np.random.default_rng(0)
    rows = [
        (predictor, fold, score + 0.03 * rng.normal())
        for predictor, score in (("model", 0.86), ("shuffled", 0.6), ("trees", 0.7), ("promoter", 0.4))
        for fold in ("pooled", 1, 2, 3, 4)
    ]
    table = pd.DataFrame(rows, columns=["predictor", "fold", "pearson"]).assign(sample="K562", n=18_377)
    table["pearson_low"], table["pearson_high"] = table["pearson"] - 0.02, table["pearson"] + 0.02
    return table.assign(reference="trees")


@pytest.fixture(scope="module")
def drawings(simulated, transcribed, attended, folds):
    """One call of each function that draws."""
    mdata, enhancer = simulated
    pairs, link, hits = attended
    table = er.get.links(mdata)
    labelled = table[["Chromosome", "Start", "End", "gene"]].assign(positive=table["abc"] > table["abc"].median())
    heat = {"layers": ["attention", "abc", "perturbation"]}
    return {
        "attention": lambda **k: er.pl.attention(mdata, "sim12", **k),
        "erna_profile": lambda **k: er.pl.erna_profile(transcribed, flank=1_000, **k),
        "expression_scatter": lambda **k: er.pl.expression_scatter(mdata, assay="RNA", highlight="sim12", **k),
        "links_heatmap": lambda **k: er.pl.links_heatmap(mdata, "sim12", **heat, **k),
        "locus": lambda **k: er.pl.locus(
            mdata, "sim12", scores="perturbation", highlight={enhancer: "e1"}, logo=enhancer, **k
        ),
        "logo": lambda **k: er.pl.logo(mdata, enhancer, **k),
        "performance_by_fold": lambda **k: er.pl.performance_by_fold(folds, **k),
        "perturbation": lambda **k: er.pl.perturbation(mdata, "sim12", **k),
        "position_attention": lambda **k: er.pl.position_attention(pairs, link, stage=1, hits=hits, **k),
        "pr_curve": lambda **k: er.pl.pr_curve(mdata, labelled, scores=["attention", "-perturbation"], **k),
        "training": lambda **k: er.pl.training(er.models.load(MODEL), **k),
    }


NAMES = sorted(set(er.pl.__all__) - {"theme"})


def figure_of(drawn):
    return (drawn[0] if isinstance(drawn, list) else drawn).figure.get_figure(root=True)


def pixels(figure, dpi):
    figure.set_dpi(dpi)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float)


def test_every_function_is_drawn_here(drawings):
    assert sorted(drawings) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_functions_share_their_last_parameters(name):
    parameters = inspect.signature(getattr(er.pl, name)).parameters
    assert {"ax", "show"} <= set(parameters)
    for shared in ("ax", "show"):
        assert parameters[shared].default is None
        assert parameters[shared].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", NAMES)
def test_slides_are_print_made_larger(drawings, name):
    scale = THEMES["slides"].scale
    of_print = figure_of(drawings[name](show=False))
    with er.pl.theme("slides"):
        of_slides = figure_of(drawings[name](show=False))
    np.testing.assert_allclose(of_slides.get_size_inches(), scale * of_print.get_size_inches())
    # type has whole pixels at this resolution, else it may be rounded to another size
    small, large = pixels(of_print, 80 * scale), pixels(of_slides, 80)
    assert small.shape == large.shape
    differs = (np.abs(small - large) > 64).any(axis=2)
    assert differs.mean() < 2e-5


@pytest.mark.parametrize("name", NAMES)
def test_dark_figures_are_read(drawings, name):
    with er.pl.theme("dark"):
        figure = figure_of(drawings[name](show=False))
    paper = THEMES["dark"].paper
    assert to_hex(figure.get_facecolor()) == to_hex(paper)
    assert to_rgb(pixels(figure, 50)[-1, -1] / 255) == pytest.approx(to_rgb(paper), abs=0.01)
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    assert texts
    for text in texts:
        assert contrast(on(paper, text.get_color(), text.get_alpha()), paper) >= 4.5, text.get_text()
    for line in figure.findobj(Line2D):
        colors = [line.get_color()] if line.get_linestyle() != "None" else []
        if line.get_marker() not in ("None", "", None):
            colors.append(max(line.get_markerfacecolor(), line.get_markeredgecolor(), key=lambda c: contrast(c, paper)))
        for color in colors:
            assert contrast(on(paper, color, line.get_alpha()), paper) >= 3, line
    for axes in figure.findobj(Axes):
        for spine in axes.spines.values():
            assert contrast(spine.get_edgecolor(), paper) >= 3


def test_dark_links_are_seen_however_weak(drawings):
    with er.pl.theme("dark"):
        arcs = drawings["attention"](show=False)[0].collections[0]
    paper = THEMES["dark"].paper
    opacity = arcs.get_colors()[:, 3]
    assert opacity.max() - opacity.min() > 0.1
    assert all(contrast(on(paper, color), paper) >= 3 for color in arcs.get_colors())


@pytest.mark.parametrize("name", ["perturbation", "pr_curve", "training", "logo"])
def test_given_axes_take_the_colours_of_the_dark_theme(drawings, name):
    _, axes = plt.subplots(1, 2, figsize=(12, 8))
    with er.pl.theme("dark"):
        drawings[name](ax=axes if name == "training" else axes[0], show=False)
    figure, paper = axes[0].figure, THEMES["dark"].paper
    assert to_hex(figure.get_facecolor()) == to_hex(paper)
    own = [axes[0], *axes[0].child_axes]
    for text in (text for ax in own for text in ax.findobj(Text) if text.get_text().strip()):
        assert contrast(text.get_color(), paper) >= 4.5, text.get_text()
    for spine in (spine for ax in own for spine in ax.spines.values() if spine.get_visible()):
        assert contrast(spine.get_edgecolor(), paper) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_print_is_the_same_whatever_the_style_of_the_session(drawings, name):
    plain = pixels(figure_of(drawings[name](show=False)), 60)
    with plt.style.context("dark_background"):
        styled = pixels(figure_of(drawings[name](show=False)), 60)
    np.testing.assert_array_equal(plain, styled)


def test_a_size_is_in_inches_whatever_the_theme(drawings):
    for theme in THEMES:
        with er.pl.theme(theme):
            axes = drawings["locus"](figsize=(7, None), show=False)
            assert figure_of(axes).get_figwidth() == pytest.approx(7)
            labels = [text.get_fontsize() for text in axes[0].texts + axes[0].get_yticklabels() if text.get_text()]
            assert all(size == pytest.approx(THEMES[theme].small) for size in labels)
            assert figure_of(drawings["erna_profile"](figsize=(6, 5), show=False)).get_size_inches() == pytest.approx(
                [6, 5]
            )
