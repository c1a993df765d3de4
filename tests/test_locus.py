"""pl.locus with scores, measured effects and the bases of one element: what is drawn, counted and read from figures."""

from __future__ import annotations

from itertools import combinations, pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.text import Text

import eregtools as er
from eregtools import get, pl

mpl.use("Agg")
import matplotlib.pyplot as plt

SAMPLES = ["K562", "GM12878", "HepG2"]
TSS = {"ENSG1": 1_090_300, "ENSG2": 1_020_000, "ENSG3": 1_160_000}
WINDOW = 256
PEAK = 180
"""Place of the planted motif in its window."""


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "random.fa"
    letters = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", dtype=np.uint8), 1_300_000)
    path.write_bytes(b">chr1\n" + letters.tobytes() + b"\n")
    return er.Genome(path, name="hg38")


def build(genome, samples):
    """Three genes with enhancers on all sides, of which each sample has some; scores, effects and attributions."""
    rng = np.random.default_rng(3)
    start = 1_000_000 + np.sort(rng.choice(180, 30, replace=False)) * 1_000
    genes = pd.DataFrame(
        {"chrom": "chr1", "tss": list(TSS.values()), "strand": ["+", "-", "+"], "gene_name": ["MYC", "GATA1", "TAL1"]},
        index=list(TSS),
    )
    tables = {
        name: pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500}).iloc[i :: len(samples)]
        for i, name in enumerate(samples)
    }
    mdata = er.pp.assemble(genes=genes, enhancers=tables, samples=list(samples), genome=genome)
    er.pp.link(mdata)
    enhancers, links = mdata["enhancers"], mdata["links"]
    enhancers.layers["activity"] = rng.lognormal(1, 1, enhancers.shape).astype(np.float32)
    own = links.layers["candidate"] == 1
    effect = rng.normal(-0.02, 0.05, links.shape)
    tested = own & (rng.random(links.shape) < 0.6)
    for layer, values in {
        "abc": np.where(own, rng.random(links.shape) / 10, np.nan),
        "perturbation": np.where(own, effect, np.nan),
        "crispr": np.where(tested, 5 * effect, np.nan),
        "crispr_significant": np.where(tested, np.abs(effect) > 0.03, np.nan),
    }.items():
        links.layers[layer] = values.astype(np.float32)
    values = np.full((enhancers.n_vars, WINDOW), np.nan, dtype=np.float16)
    values[[10, 11]] = rng.normal(0, 0.05, (2, WINDOW))
    values[10, PEAK : PEAK + 8] = [0.4, 0.6, 0.8, 1, 1, 0.8, 0.6, -0.5]
    _attribute(enhancers, "activity_ism", values, enhancers.var["Start"] + 122)
    return mdata


def _attribute(adata, key, values, starts):
    adata.varm[key] = values
    adata.var[f"{key}_start"] = np.asarray(starts, dtype=np.int64)


@pytest.fixture(scope="module")
def one(genome):
    return build(genome, SAMPLES[:1])


@pytest.fixture(scope="module")
def three(genome):
    return build(genome, SAMPLES)


@pytest.fixture(scope="module")
def element(one):
    return one["enhancers"].var_names[10]


@pytest.fixture(scope="module")
def everything(element, genome):
    return {"links": "abc", "scores": ("abc", "perturbation"), "measured": "crispr", "logo": element, "genome": genome}


def by_label(axes):
    return {ax.get_label(): ax for ax in axes}


def frame_of(axes):
    figure = axes[0].figure
    (frame,) = [ax for ax in figure.findobj(Axes) if ax.get_label() == "frame"]
    return frame


def written(axes):
    return " | ".join(text.get_text() for text in axes[0].figure.findobj(Text))


def bars(ax):
    """Centres and heights of bars, from left to right."""
    found = sorted((bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches)
    return np.array(found).reshape(-1, 2)


def heads(ax):
    """Positions of the lollipops from left to right, and whether each is filled."""
    (found,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    points, faces = np.asarray(found.get_offsets()), [to_hex(color) for color in found.get_facecolors()]
    order = np.argsort(points[:, 0])
    return points[order], np.array([faces[k if len(faces) > 1 else 0] != "#ffffff" for k in order])


def expected(mdata, layer, sample="K562", gene="MYC", factor=1):
    table = get.links(mdata, gene=gene, sample=sample, layers=layer).dropna(subset=layer)
    table = table.assign(center=(table["Start"] + table["End"]) / 2).sort_values("center")
    return np.column_stack([table["center"], factor * table[layer]])


def letters(ax):
    """Base, position and signed height of each letter."""
    found = {}
    for drawn in ax.collections:
        if isinstance(drawn, PathCollection):
            for path in drawn.get_paths():
                box = path.get_extents()
                found[int(np.floor(box.x0))] = (drawn.get_label(), box.y1 if box.y1 > 1e-9 else box.y0)
    return found


def test_nothing_is_added_unless_asked_for(one):
    assert list(by_label(pl.locus(one, "MYC", show=False))) == ["arcs:K562", "activity:K562", "enhancers", "genes"]


def test_panels_from_top_to_bottom_in_one_column(one, everything):
    axes = pl.locus(one, "MYC", show=False, **everything)
    tracks = ["arcs", "activity", "abc", "perturbation", "crispr"]
    assert list(by_label(axes)) == [*(f"{name}:K562" for name in tracks), "enhancers", "genes", "window", "logo"]
    places = [ax.get_position() for ax in axes]
    for upper, lower in pairwise(places):
        assert upper.y0 >= lower.y1 - 1e-9
    assert len({(round(place.x0, 6), round(place.x1, 6)) for place in places}) == 1
    assert len({ax.get_xlim() for ax in axes[:-2]}) == 1
    assert axes[0].figure.get_figwidth() == pytest.approx(89 / 25.4)


# scores


def test_bars_of_each_score_at_its_enhancers(one):
    axes = by_label(pl.locus(one, "MYC", scores=["abc", "perturbation"], show=False))
    assert np.allclose(bars(axes["abc:K562"]), expected(one, "abc"), rtol=1e-5)
    assert np.allclose(bars(axes["perturbation:K562"]), expected(one, "perturbation", factor=100), rtol=1e-5)
    assert "abc\n(share)" in written(list(axes.values()))
    assert "perturbation\n(% change)" in written(list(axes.values()))


def test_samples_share_the_scale_of_a_score_and_keep_their_colour(three):
    axes = by_label(pl.locus(three, "MYC", scores="abc", show=False))
    panels = [axes[f"abc:{name}"] for name in SAMPLES]
    assert len({panel.get_ylim() for panel in panels}) == 1
    assert len({tuple(panel.patches[0].get_facecolor()) for panel in panels}) == 3
    for name, panel in zip(SAMPLES, panels, strict=True):
        assert np.allclose(bars(panel), expected(three, "abc", name), rtol=1e-5)
        assert panel.patches[0].get_facecolor() == axes[f"activity:{name}"].patches[0].get_facecolor()


def test_differences_of_predictions_are_no_per_cent(one):
    mdata = one.copy()
    mdata.uns["eregtools"]["results"] = {"links:perturbation": pd.DataFrame({"sample": ["K562"], "scale": ["model"]})}
    axes = pl.locus(mdata, "MYC", scores="perturbation", show=False)
    assert np.allclose(bars(by_label(axes)["perturbation:K562"]), expected(one, "perturbation"), rtol=1e-5)
    assert "(Δ prediction)" in written(axes)


def test_knock_outs_under_another_name_are_per_cent(one):
    mdata = one.copy()
    mdata["links"].layers["silenced"] = mdata["links"].layers["perturbation"]
    mdata.uns["eregtools"]["results"] = {"links:silenced": pd.DataFrame({"sample": ["K562"], "scale": ["linear"]})}
    axes = by_label(pl.locus(mdata, "MYC", scores="silenced", show=False))
    assert np.allclose(bars(axes["silenced:K562"]), expected(one, "perturbation", factor=100), rtol=1e-5)


def test_of_several_links_of_an_enhancer_the_strongest_is_shown(one):
    region = "chr1:1,000,000-1,200,000"
    axes = by_label(pl.locus(one, region, scores="perturbation", measured="crispr", show=False))
    table = get.links(one, layers=["perturbation", "crispr", "crispr_significant"])
    table["center"] = (table["Start"] + table["End"]) / 2
    assert table["enhancer"].duplicated().sum() > 10
    strongest = table.loc[table.groupby("enhancer", observed=True)["perturbation"].apply(lambda v: v.abs().idxmax())]
    strongest = strongest.sort_values("center")
    drawn = bars(axes["perturbation:K562"])
    assert np.allclose(drawn, np.column_stack([strongest["center"], 100 * strongest["perturbation"]]), rtol=1e-5)
    measured = table.dropna(subset="crispr").assign(size=lambda t: t["crispr"].abs())
    measured = measured.sort_values(["crispr_significant", "size"]).groupby("enhancer", observed=True).last()
    measured = measured.sort_values("center")
    points, filled = heads(axes["crispr:K562"])
    assert np.allclose(points, np.column_stack([measured["center"], 100 * measured["crispr"]]), rtol=1e-5)
    assert np.array_equal(filled, measured["crispr_significant"] == 1)


# measured effects


def test_measured_effects_stand_at_tested_enhancers_and_tell_significance(one):
    axes = pl.locus(one, "MYC", measured="crispr", show=False)
    ax = by_label(axes)["crispr:K562"]
    points, filled = heads(ax)
    values = expected(one, "crispr", factor=100)
    assert 5 < len(points) < len(expected(one, "abc"))
    assert np.allclose(points, values, rtol=1e-5)
    assert np.array_equal(filled, expected(one, "crispr_significant")[:, 1] == 1)
    assert 0 < filled.sum() < len(filled)
    (stems,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert np.allclose([segment[0, 1] for segment in stems.get_segments()], 0)
    low, high = ax.get_ylim()
    assert low < values[:, 1].min()
    assert values[:, 1].max() < high
    assert "● significant  ○ not" in written(axes)
    assert "crispr\n(% change)" in written(axes)


def test_the_same_marks_as_in_the_figure_of_knock_outs(one):
    in_locus = heads(by_label(pl.locus(one, "MYC", measured="crispr", show=False))["crispr:K562"])
    beside = heads(by_label(pl.perturbation(one, "MYC", compare="crispr", show=False))["crispr:K562"])
    assert np.array_equal(in_locus[0], beside[0])
    assert np.array_equal(in_locus[1], beside[1])


def test_without_significance_all_heads_are_filled(one):
    mdata = one.copy()
    del mdata["links"].layers["crispr_significant"]
    axes = pl.locus(mdata, "MYC", measured="crispr", show=False)
    assert heads(by_label(axes)["crispr:K562"])[1].all()
    assert "significant" not in written(axes)


def test_a_gene_without_tests_says_so(one):
    mdata = one.copy()
    mdata["links"].layers["crispr"][:, mdata["links"].var["gene"] == "ENSG1"] = np.nan
    ax = by_label(pl.locus(mdata, "MYC", measured="crispr", show=False))["crispr:K562"]
    assert [text.get_text() for text in ax.texts if "view" in text.get_text()] == ["no values in view"]
    assert not [c for c in ax.collections if isinstance(c, PathCollection)]
    assert "significant" not in written([ax])


# the bases of one element


def test_a_window_as_bars_and_its_strongest_stretch_as_letters(one, element, genome):
    axes = by_label(pl.locus(one, "MYC", logo=element, genome=genome, show=False))
    start = int(one["enhancers"].var.loc[element, "activity_ism_start"])
    values = one["enhancers"].varm["activity_ism"][10].astype(float)
    window, logo = axes["window"], axes["logo"]
    assert window.get_xlim() == (start, start + WINDOW)
    drawn = bars(window)
    assert np.allclose(drawn[:, 0], start + np.arange(WINDOW) + 0.5)
    assert np.allclose(drawn[:, 1], values)
    first, last = (int(x) for x in logo.get_xlim())
    width = logo.get_position().width * logo.figure.get_figwidth()
    assert 0.05 < width / (last - first) < 0.09  # inches a letter
    assert first + 3 <= start + PEAK
    assert start + PEAK + 8 + 3 <= last
    sequence = genome.sequence("chr1", first, last)
    for position, (base, height) in letters(logo).items():
        assert base == sequence[position - first].upper()
        assert height == pytest.approx(values[position - start])
    assert len(letters(logo)) == last - first == np.count_nonzero(values[first - start : last - start])
    assert window.get_ylim() == logo.get_ylim()
    assert logo.get_xlabel() == "chr1"
    assert "activity_ism" in [text.get_text() for text in window.texts]
    assert logo.get_ylabel() == ""


def test_connectors_lead_from_the_element_to_its_bases(one, element, genome):
    axes = by_label(pl.locus(one, "MYC", logo=element, genome=genome, show=False))
    frame = frame_of(list(axes.values()))
    figure = frame.figure
    figure.canvas.draw()
    fans = [patch.get_xy() for patch in frame.patches]
    assert len(fans) == 2
    for corners, above, below, span in (
        (fans[0], axes["genes"], axes["window"], axes["window"].get_xlim()),
        (fans[1], axes["window"], axes["logo"], axes["logo"].get_xlim()),
    ):
        upper, lower = frame.transData.transform(corners[:2]), frame.transData.transform(corners[2:4])
        ends = above.transData.transform([[span[0], 0], [span[1], 0]])[:, 0]
        assert upper[:, 0].mean() == pytest.approx(ends.mean(), abs=0.6)
        assert np.ptp(upper[:, 0]) >= np.ptp(ends) - 1e-6
        place = below.get_window_extent()
        assert sorted(lower[:, 0]) == pytest.approx([place.x0, place.x1])
        assert lower[:, 1] == pytest.approx([place.y1] * 2)
        assert (upper[:, 1] > lower[:, 1] + 5).all()
        assert (upper[:, 1] <= above.get_window_extent().y0 + 1).all()


def test_the_element_of_the_logo_is_outlined(one, element, genome):
    def outlined(**options):
        ax = by_label(pl.locus(one, "MYC", show=False, **options))["enhancers"]
        boxes = [c for c in ax.collections if isinstance(c, PatchCollection) and len(c.get_paths())]
        black = [c for c in boxes if np.allclose(c.get_edgecolor()[0], to_rgba("black"))]
        return [path.get_extents() for c in black for path in c.get_paths()]

    assert outlined() == []
    (box,) = outlined(logo=element, genome=genome)
    row = one["enhancers"].var.loc[element]
    assert (box.x0 + box.x1) / 2 == pytest.approx((row["Start"] + row["End"]) / 2)


def test_what_fits_is_letters_alone(one, element, genome):
    start = int(one["enhancers"].var.loc[element, "activity_ism_start"])
    region = f"chr1:{start + PEAK - 6:,}-{start + PEAK + 14:,}"
    axes = by_label(pl.locus(one, "MYC", logo=region, genome=genome, show=False))
    assert "window" not in axes
    assert axes["logo"].get_xlim() == (start + PEAK - 6, start + PEAK + 14)
    assert len(frame_of(list(axes.values())).patches) == 1
    assert letters(axes["logo"])[start + PEAK + 3][1] == pytest.approx(1)


def test_a_wider_figure_has_more_letters(one, element, genome):
    spans = [
        np.ptp(pl.locus(one, "MYC", logo=element, genome=genome, figsize=(mm / 25.4, None), show=False)[-1].get_xlim())
        for mm in (89, 180)
    ]
    assert spans[1] > 2 * spans[0] > 60


def test_promoters_and_links_by_their_names(one, genome):
    mdata = one.copy()
    genes, links = mdata["genes"], mdata["links"]
    values = np.full((genes.n_vars, 40), np.nan, dtype=np.float16)
    values[genes.var_names.get_loc("ENSG1")] = 0.25
    _attribute(genes, "RNA_ism", values, genes.var["tss"] - 20)
    link = links.var_names[(links.var["gene"] == "ENSG1").to_numpy()][4]
    element = link.partition("|")[0]
    values = np.full((links.n_vars, 40), np.nan, dtype=np.float16)
    values[links.var_names.get_loc(link)] = -0.5
    start = int(mdata["enhancers"].var.loc[element, "Start"])
    _attribute(links, "RNA_ism", values, np.full(links.n_vars, start + 100))
    for what in ("MYC", "ENSG1"):
        ax = pl.locus(mdata, "MYC", logo=what, genome=genome, show=False)[-1]
        assert ax.get_xlim() == (TSS["ENSG1"] - 20, TSS["ENSG1"] + 20)
        assert {height for _, height in letters(ax).values()} == {0.25}
    for what in (link, element):
        ax = pl.locus(mdata, "MYC", logo=what, logo_key="RNA_ism", genome=genome, show=False)[-1]
        assert ax.get_xlim() == (start + 100, start + 140)
        assert {height for _, height in letters(ax).values()} == {-0.5}
    with pytest.raises(KeyError, match="has no attributions"):  # the link to the drawn gene alone
        pl.locus(mdata, "GATA1", logo=element, genome=genome, show=False)


def test_the_genome_of_the_object_is_enough_where_it_is_registered(one, element, genome):
    with pytest.raises(KeyError, match=r"'hg38', which is not registered.*pass genome="):
        pl.locus(one, "MYC", logo=element, show=False)
    assert plt.get_fignums() == []


def test_several_attributions_are_chosen_by_key(one, element, genome):
    mdata = one.copy()
    enhancers = mdata["enhancers"]
    _attribute(enhancers, "CAGE_ism", -enhancers.varm["activity_ism"], enhancers.var["activity_ism_start"])
    with pytest.raises(ValueError, match=r"has attributions under activity_ism, CAGE_ism; choose with logo_key="):
        pl.locus(mdata, "MYC", logo=element, genome=genome, show=False)
    ax = pl.locus(mdata, "MYC", logo=element, logo_key="CAGE_ism", genome=genome, show=False)[-1]
    assert min(height for _, height in letters(ax).values()) == -1


# the figure


def visible_texts(figure):
    figure.canvas.draw()
    hidden = {
        label
        for ax in figure.findobj(Axes)
        for axis in (ax.xaxis, ax.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not ax.axison or not axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
    }
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]


@pytest.mark.parametrize("width", [89, 180])
@pytest.mark.parametrize("samples", [1, 3])
def test_every_text_can_be_read(one, three, everything, samples, width):
    mdata = one if samples == 1 else three
    mark = get.links(mdata, gene="MYC", layers=())["enhancer"].iloc[2]
    highlight = {str(mark): "a distal enhancer"}
    axes = pl.locus(mdata, "MYC", highlight=highlight, show=False, figsize=(width / 25.4, None), **everything)
    figure = axes[0].figure
    texts = visible_texts(figure)
    assert len(texts) > 25
    assert min(text.get_fontsize() for text in texts) >= 6
    boxes = [text.get_window_extent() for text in texts]
    page = figure.bbox.padded(1)
    for text, box in zip(texts, boxes, strict=True):
        assert page.count_contains(box.corners()) == 4, text.get_text()
    for (a, first), (b, second) in combinations(zip(texts, boxes, strict=True), 2):
        assert not first.padded(-0.5).overlaps(second.padded(-0.5)), (a.get_text(), b.get_text())


def test_labels_of_small_values_below_zero_stand_clear_of_zero(one, element, genome):
    mdata = one.copy()
    values = mdata["enhancers"].varm["activity_ism"]
    values[10] = np.linspace(-0.0013, 0.0032, WINDOW)
    axes = pl.locus(mdata, "MYC", logo=element, genome=genome, show=False)
    for ax in axes[-2:]:
        ax.figure.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
        assert len(boxes) >= 2
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_in_the_place_of_given_axes(one, everything):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 6))
    axes = pl.locus(one, "MYC", ax=left, **everything)
    figure.canvas.draw()
    place = left.get_window_extent().padded(1)
    for ax in axes:
        assert ax.figure is figure
        assert place.count_contains(ax.get_window_extent().corners()) == 4
    assert len(axes) == 9
    assert right.axison


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scores": "abcd"}, KeyError, "no layer 'abcd' in links; there are .*Did you mean abc"),
        ({"scores": "attention"}, KeyError, r"no layer 'attention' in links.*Run er\.tl\.attention first"),
        ({"measured": "flowfish"}, KeyError, "no layer 'flowfish' in links"),
        ({"scores": ["abc", "crispr"], "measured": "crispr"}, ValueError, "crispr would be drawn twice"),
        ({"logo": "e1"}, KeyError, "no enhancer, gene or link 'e1' to draw a logo of; a region is written as chr1:1"),
        ({"logo": "MYC"}, KeyError, r"MYC has no attributions \(keys of the object: activity_ism\); run er.tl.attr"),
        ({"logo": "chr1:1-100"}, KeyError, "chr1:1-100 has no attributions"),
        ({"logo": "chr1:90-9"}, ValueError, "expected 0 ≤ start < end"),
        ({"logo": 10, "logo_key": "RNA_ism"}, KeyError, "has no attributions under 'RNA_ism'"),
        ({"logo": 10, "flank": 100}, ValueError, r"logo of .* is outside of chr1:.*; use flank="),
        ({"logo_key": "activity_ism"}, ValueError, "logo_key= and genome= go with logo="),
    ],
)
def test_bad_input_is_one_sentence_and_no_figure(one, genome, options, error, message):
    if isinstance(options.get("logo"), int):
        options = options | {"logo": one["enhancers"].var_names[options["logo"]]}
    if "logo" in options:
        options = options | {"genome": genome}
    with pytest.raises(error, match=message) as raised:
        pl.locus(one, "MYC", show=False, **options)
    assert "\n" not in str(raised.value)
    assert plt.get_fignums() == []


@pytest.mark.parametrize("options", [{"scores": "abc"}, {"measured": "crispr"}])
def test_an_object_without_links_names_the_call(options):
    mdata = er.datasets.three_genes()
    with pytest.raises(KeyError, match=r"no modality 'links'.*run er.pp.link first"):
        pl.locus(mdata, "ALPHA", tracks=(), show=False, **options)
