"""What is drawn: counted, measured and read from the figures; no comparison of pixels."""

from __future__ import annotations

import io
import re
from itertools import combinations, pairwise

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from mudata import MuData
from scipy.stats import spearmanr

from eregtools import get, pl

mpl.use("Agg")
import matplotlib.pyplot as plt

SAMPLES = ["K562", "GM12878"]
NAMES = ["MYC", "PVT1", "CASC11", "POU5F1B", "GATA1", "TAL1"]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _modality(samples: list[str], var: pd.DataFrame, **layers: np.ndarray) -> ad.AnnData:
    layers = {name: np.asarray(values, dtype=np.float32) for name, values in layers.items()}
    return ad.AnnData(obs=pd.DataFrame(index=samples), var=var, layers=layers)


def _object(n_genes: int = 6, n_enhancers: int = 20, span: int = 200_000, samples: list[str] | None = None) -> MuData:
    """Genes and enhancers spread over chr1 (the last two genes on chr2), links within 100 kb."""
    samples = SAMPLES if samples is None else samples
    rng = np.random.default_rng(1)
    n = len(samples)
    on_chr2 = max(2, n_genes // 6)
    start = 5_000_000 + np.sort(rng.integers(0, span - 20_000, n_genes))
    strand = np.array((["+", "-"] * n_genes)[:n_genes])
    length = rng.integers(500, 20_000, n_genes)
    genes = pd.DataFrame(
        {
            "Chromosome": ["chr1"] * (n_genes - on_chr2) + ["chr2"] * on_chr2,
            "Start": start,
            "End": start + length,
            "Strand": strand,
            "tss": np.where(strand == "+", start, start + length - 1),
            "gene_name": (NAMES + [f"GENE{i}" for i in range(n_genes)])[:n_genes],
            "fold": [str(i % 3 + 1) for i in range(n_genes)],
        },
        index=[f"ENSG{i:03d}" for i in range(n_genes)],
    )
    at = 5_000_000 + np.sort(rng.choice(span // 1000, n_enhancers, replace=False)) * 1000
    chromosome = np.where(np.arange(n_enhancers) % 5 == 4, "chr2", "chr1")
    enhancers = pd.DataFrame({"Chromosome": chromosome, "Start": at, "End": at + 500})
    enhancers.index = [f"{c}:{s}-{s + 500}" for c, s in zip(chromosome, at, strict=True)]
    distance = enhancers.Start.to_numpy() + 250 - genes.tss.to_numpy()[:, None]
    near = (abs(distance) < 100_000) & (genes.Chromosome.to_numpy()[:, None] == chromosome)
    gene, enhancer = np.nonzero(near)
    links = pd.DataFrame(
        {
            "gene": pd.Categorical(genes.index[gene]),
            "enhancer": pd.Categorical(enhancers.index[enhancer]),
            "distance": distance[near].astype(np.float32),
        },
        index=[f"{enhancers.index[e]}|{genes.index[g]}" for g, e in zip(gene, enhancer, strict=True)],
    )
    candidate = rng.random((n, n_enhancers)) < 0.7
    attention = rng.random((n, len(links)))
    attention[0, ::7] = np.nan
    signal = {name: rng.lognormal(2, 1, (n, n_enhancers)) for name in ("DNase", "H3K27ac", "activity")}
    mdata = MuData(
        {
            "genes": _modality(samples, genes, RNA=rng.random((n, n_genes))),
            "enhancers": _modality(samples, enhancers, candidate=candidate, **signal),
            "links": _modality(
                samples, links, candidate=candidate[:, enhancer], contact=attention / 2, attention=attention
            ),
        }
    )
    mdata.uns["eregtools"] = {"genome": "hg38"}
    return mdata


@pytest.fixture
def mdata() -> MuData:
    return _object()


def _by_label(axes: list) -> dict:
    return {ax.get_label(): ax for ax in axes}


def _arcs(ax) -> LineCollection:
    found = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert len(found) == 1
    return found[0]


def _texts(figure) -> list[Text]:
    """Texts that are drawn, with their final places."""
    figure.canvas.draw()
    hidden = {
        text
        for ax in figure.findobj(Axes)
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for text in (tick.label1, tick.label2)
        if not (
            axis.get_visible()
            and ax.axison
            and axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
        )
    }
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]


def _overlapping(texts: list[Text]) -> list[tuple[str, str]]:
    boxes = [(text.get_text(), text.get_tightbbox()) for text in texts]
    return [
        (a, b) for (a, first), (b, second) in combinations(boxes, 2) if first.padded(-0.5).overlaps(second.padded(-0.5))
    ]


# locus


def test_locus_panels_from_top_to_bottom(mdata):
    axes = pl.locus(mdata, "PVT1", tracks=["DNase", "H3K27ac"], show=False)
    labels = [ax.get_label() for ax in axes]
    expected = [f"{row}:{name}" for row in ("arcs", "DNase", "H3K27ac") for name in SAMPLES]
    assert labels == [*expected, "enhancers", "genes"]
    tops = [ax.get_position().y1 for ax in axes]
    assert tops == sorted(tops, reverse=True)
    assert len({ax.get_xlim() for ax in axes}) == 1
    for upper, lower in pairwise(axes):
        assert upper.get_position().y0 >= lower.get_position().y1 - 1e-9


def test_arcs_are_the_samples_own_links_with_a_weight(mdata):
    axes = _by_label(pl.locus(mdata, "PVT1", links="attention", show=False))
    tss = mdata["genes"].var.tss["ENSG001"]
    for sample in SAMPLES:
        own = get.links(mdata, gene="PVT1", sample=sample).dropna(subset="attention").sort_values("attention")
        arcs = _arcs(axes[f"arcs:{sample}"])
        assert len(arcs.get_segments()) == len(own) > 0
        for segment, center in zip(arcs.get_segments(), (own.Start + own.End) / 2, strict=True):
            np.testing.assert_allclose(sorted(segment[[0, -1], 0]), sorted([center, tss]))
            np.testing.assert_allclose(segment[[0, -1], 1], 0, atol=1e-9)
        widths, opacity = np.array(arcs.get_linewidths()), arcs.get_colors()[:, 3]
        assert np.all(np.diff(widths) > 0)
        assert np.all(np.diff(opacity) > 0)


def test_arc_widths_have_one_scale_for_all_samples(mdata):
    axes = _by_label(pl.locus(mdata, "PVT1", show=False))
    seen = {}
    for sample in SAMPLES:
        own = get.links(mdata, gene="PVT1", sample=sample).dropna(subset="attention").sort_values("attention")
        seen.update(zip(own.attention, _arcs(axes[f"arcs:{sample}"]).get_linewidths(), strict=True))
    weights = np.array(sorted(seen))
    slope = np.diff([seen[w] for w in weights]) / np.diff(weights)
    np.testing.assert_allclose(slope, slope[0], rtol=1e-3)


def test_arcs_of_a_region_are_those_with_both_ends_in_it(mdata):
    start, end = 5_040_000, 5_150_000
    axes = _by_label(pl.locus(mdata, f"chr1:{start:,}-{end:,}", sample="K562", show=False))
    table = get.links(mdata, sample="K562").dropna(subset="attention")
    tss = mdata["genes"].var.tss.loc[table.gene].to_numpy()
    inside = (table.Chromosome == "chr1") & (table.Start >= start) & (table.End <= end) & (tss >= start) & (tss < end)
    assert 0 < inside.sum() < len(table)
    assert len(_arcs(axes["arcs:K562"]).get_segments()) == inside.sum()
    assert axes["genes"].get_xlim() == (start, end)


def test_threshold_and_max_arcs_keep_the_strongest(mdata):
    weights = get.links(mdata, gene="PVT1", sample="K562").attention.dropna().sort_values()
    axes = _by_label(pl.locus(mdata, "PVT1", sample="K562", max_arcs=3, show=False))
    assert len(_arcs(axes["arcs:K562"]).get_segments()) == 3
    cut = float(weights.iloc[2])
    axes = _by_label(pl.locus(mdata, "PVT1", sample="K562", threshold=cut, show=False))
    assert len(_arcs(axes["arcs:K562"]).get_segments()) == len(weights) - 2


def test_the_scale_of_the_arcs_states_layer_and_range(mdata):
    axes = pl.locus(mdata, "PVT1", sample="GM12878", links="contact", show=False)
    texts = [text.get_text() for text in _texts(axes[0].figure)]
    weights = get.links(mdata, gene="PVT1", sample="GM12878").contact
    assert "contact" in texts
    assert f"{weights.min():.2g}" in texts
    assert f"{weights.max():.2g}" in texts


def test_negative_weights_are_dashed(mdata):
    weights = mdata["links"].layers["attention"] - 0.5
    mdata["links"].layers["perturbation"] = weights
    arcs = _arcs(pl.locus(mdata, "PVT1", sample="GM12878", links="perturbation", show=False)[0])
    dashed = sum(dashes is not None for _, dashes in arcs.get_linestyles())
    own = get.links(mdata, gene="PVT1", sample="GM12878").perturbation
    assert 0 < dashed < len(own)
    assert dashed == (own < 0).sum()


def test_bars_have_the_height_of_the_layer_and_one_scale(mdata):
    axes = _by_label(pl.locus(mdata, "PVT1", tracks="H3K27ac", show=False))
    adata = mdata["enhancers"]
    low, high = axes["genes"].get_xlim()
    inside = (adata.var.Chromosome == "chr1") & (adata.var.Start < high) & (adata.var.End > low)
    for number, sample in enumerate(SAMPLES):
        bars = axes[f"H3K27ac:{sample}"].patches
        np.testing.assert_allclose([b.get_height() for b in bars], adata.layers["H3K27ac"][number, inside])
        centers = (adata.var.Start + adata.var.End)[inside] / 2
        np.testing.assert_allclose([b.get_x() + b.get_width() / 2 for b in bars], centers)
    assert len({axes[f"H3K27ac:{sample}"].get_ylim() for sample in SAMPLES}) == 1
    assert axes["H3K27ac:K562"].get_ylim()[1] > adata.layers["H3K27ac"][:, inside].max()
    assert "H3K27ac\n(signal)" in [t.get_text() for t in axes["H3K27ac:K562"].texts]


def test_values_that_were_not_made_have_no_bar(mdata):
    mdata["enhancers"].layers["activity"][:, ::2] = np.nan
    axes = _by_label(pl.locus(mdata, "chr1:5,000,000-5,200,000", sample="K562", show=False))
    on = mdata["enhancers"].var.Chromosome.to_numpy() == "chr1"
    made = np.isfinite(mdata["enhancers"].layers["activity"][0, on])
    assert len(axes["activity:K562"].patches) == made.sum() > 0


def test_default_tracks_are_activity_or_the_assays(mdata):
    def drawn(axes):
        return {ax.get_label().split(":")[0] for ax in axes} - {"arcs", "enhancers", "genes"}

    assert drawn(pl.locus(mdata, "PVT1", show=False)) == {"activity"}
    del mdata["enhancers"].layers["activity"]
    mdata["enhancers"].layers["DNase_rep1"] = mdata["enhancers"].layers["DNase"]
    mdata["enhancers"].layers["activity_pred"] = mdata["enhancers"].layers["DNase"]
    assert drawn(pl.locus(mdata, "PVT1", show=False)) == {"DNase", "H3K27ac"}
    assert drawn(pl.locus(mdata, "PVT1", tracks=(), show=False)) == set()


def test_boxes_are_filled_for_candidates_of_the_sample(mdata):
    ax = _by_label(pl.locus(mdata, "chr1:5,000,000-5,200,000", show=False))["enhancers"]
    on = mdata["enhancers"].var.Chromosome.to_numpy() == "chr1"
    rows = [c for c in ax.collections if isinstance(c, PatchCollection)]
    counts = {}
    for boxes in rows:
        if len(boxes.get_paths()):
            y = round(boxes.get_paths()[0].get_extents().y0, 3)
            filled = not np.allclose(boxes.get_facecolor()[0], to_rgba("white"))
            counts[y, filled] = len(boxes.get_paths())
    upper, lower = sorted({y for y, _ in counts}, reverse=True)
    for number, y in enumerate((upper, lower)):
        candidate = mdata["enhancers"].layers["candidate"][number, on] == 1
        assert counts[y, True] == candidate.sum()
        assert counts[y, False] == (~candidate).sum()


def test_small_elements_have_a_visible_width(mdata):
    axes = _by_label(pl.locus(mdata, "chr1:1-50,000,000", sample="K562", show=False))
    ax = axes["activity:K562"]
    ax.figure.canvas.draw()
    points = [bar.get_window_extent().width / ax.figure.dpi * 72 for bar in ax.patches]
    assert min(points) > 1.4


def test_highlighted_enhancers_are_outlined_and_labelled(mdata):
    names = get.links(mdata, gene="PVT1", sample="K562").enhancer.iloc[:2].tolist()
    axes = _by_label(pl.locus(mdata, "PVT1", sample="K562", highlight={names[0]: "e1", names[1]: "e2"}, show=False))
    ax = axes["enhancers"]
    assert {"e1", "e2"} <= {t.get_text() for t in ax.texts}
    outlined = [c for c in ax.collections if len(c.get_paths()) and np.allclose(c.get_edgecolor()[0], to_rgba("black"))]
    assert sum(len(c.get_paths()) for c in outlined) == 2
    plain = _by_label(pl.locus(mdata, "PVT1", sample="K562", highlight=names[0], show=False))
    assert names[0] in {t.get_text() for t in plain["enhancers"].texts}


def test_genes_have_body_strand_and_name(mdata):
    ax = _by_label(pl.locus(mdata, "chr1:5,000,000-5,200,000", sample="K562", show=False))["genes"]
    genes = mdata["genes"].var.query("Chromosome == 'chr1'")
    bodies = {patch.get_gid(): patch for patch in ax.patches if patch.get_gid()}
    assert set(bodies) == {f"gene:{gene}" for gene in genes.index}
    assert {t.get_text() for t in ax.texts} == set(genes.gene_name)
    arrows = {line.get_xdata()[0]: line.get_xdata()[2] for line in ax.lines}
    for gene, row in genes.iterrows():
        assert bodies[f"gene:{gene}"].get_x() == pytest.approx(row.Start)
        tip = arrows[min(arrows, key=lambda tss: abs(tss - row.tss))]
        assert np.sign(tip - row.tss) == (1 if row.Strand == "+" else -1)


def test_a_gene_of_one_base_is_an_arrow_without_a_body(mdata):
    genes = mdata["genes"].var
    genes["Start"], genes["End"] = genes.tss, genes.tss + 1
    genes.loc["ENSG002", "End"] += 5_000
    ax = _by_label(pl.locus(mdata, "chr1:5,000,000-5,200,000", sample="K562", show=False))["genes"]
    assert [patch.get_gid() for patch in ax.patches if patch.get_gid()] == ["gene:ENSG002"]
    on = genes[genes.Chromosome == "chr1"]
    assert {t.get_text() for t in ax.texts} == set(on.gene_name)
    np.testing.assert_allclose(sorted(line.get_xdata()[0] for line in ax.lines), sorted(on.tss))
    ax.figure.canvas.draw()
    strokes = [Bbox(ax.transData.transform(line.get_xydata()[part])) for line in ax.lines for part in ([0, 1], [1, 2])]
    assert not [t.get_text() for t in ax.texts if t.get_window_extent().count_overlaps(strokes)]


def test_tick_labels_of_what_is_in_view_stand_clear_of_the_name_of_the_track(mdata):
    values = mdata["enhancers"].layers["activity"]
    values[:] = 4.0
    values[:, mdata["enhancers"].var.Chromosome == "chr1"] = 0.00016
    axes = pl.locus(mdata, "PVT1", sample="K562", links=False, show=False)
    texts = _texts(axes[0].figure)
    assert "0.00015" in [t.get_text() for t in texts]
    assert _overlapping(texts) == []
    assert min(t.get_tightbbox().x0 for t in texts) >= 0


def test_the_chosen_gene_is_emphasised(mdata):
    axes = pl.locus(mdata, "PVT1", flank=100_000, show=False)
    labels = {t.get_text(): t for t in axes[-1].texts}
    assert labels["PVT1"].get_weight() == "bold"
    assert {t.get_weight() for name, t in labels.items() if name != "PVT1"} == {"normal"}
    assert labels["PVT1"].get_color() != labels["MYC"].get_color()


def test_gene_by_id_or_name_and_flank(mdata):
    by_name, by_id = (pl.locus(mdata, gene, flank=30_000, show=False)[-1].get_xlim() for gene in ("PVT1", "ENSG001"))
    row = mdata["genes"].var.loc["ENSG001"]
    assert by_name == by_id == (row.Start - 30_000, row.End + 30_000)


def test_default_view_of_a_gene_holds_all_its_links(mdata):
    low, high = pl.locus(mdata, "PVT1", show=False)[-1].get_xlim()
    own = get.links(mdata, gene="PVT1")
    assert low < own.Start.min()
    assert high > own.End.max()


def test_axis_names_chromosome_assembly_and_unit(mdata):
    ax = pl.locus(mdata, "chr1:5,000,000-5,200,000", show=False)[-1]
    assert ax.get_xlabel() == "chr1 (hg38), Mb"
    labels = [t.get_text() for t in ax.get_xticklabels()]
    np.testing.assert_allclose([float(label) * 1e6 for label in labels], ax.get_xticks())
    assert 3 <= len(labels) <= 8
    ax = pl.locus(mdata, "chr1:5,005,000-5,007,000", links=False, show=False)[-1]
    assert ax.get_xlabel() == "chr1 (hg38), kb"
    np.testing.assert_allclose(
        [float(t.get_text().replace(",", "")) * 1e3 for t in ax.get_xticklabels()], ax.get_xticks()
    )


@pytest.mark.parametrize("width", [89, 180])
@pytest.mark.parametrize("samples", [["K562"], ["K562", "GM12878", "HepG2"]])
def test_a_dense_locus_is_readable(width, samples):
    """Twelve genes and forty enhancers in 400 kb: no text on another, none cut, none below 6 points."""
    mdata = _object(n_genes=14, n_enhancers=50, span=400_000, samples=samples)
    axes = pl.locus(
        mdata, "chr1:5,000,000-5,400,000", tracks=["DNase", "H3K27ac"], figsize=(width / 25.4, None), show=False
    )
    figure = axes[0].figure
    assert figure.get_size_inches()[0] == pytest.approx(width / 25.4)
    texts = _texts(figure)
    assert min(text.get_fontsize() for text in texts) >= 6
    assert _overlapping(texts) == []
    canvas = figure.bbox.padded(1)
    for text in texts:
        box = text.get_tightbbox()
        assert canvas.contains(box.x0, box.y0), text.get_text()
        assert canvas.contains(box.x1, box.y1), text.get_text()
    genes = axes[-1]
    labels = {t.get_gid().removeprefix("label:"): t.get_window_extent() for t in genes.texts}
    bodies = {p.get_gid().removeprefix("gene:"): p.get_window_extent() for p in genes.patches if p.get_gid()}
    assert len(labels) == 12
    for (one, label), (other, body) in ((a, b) for a in labels.items() for b in bodies.items()):
        assert not label.overlaps(body), (one, other)
    for (one, first), (other, second) in combinations(bodies.items(), 2):
        assert not first.overlaps(second), (one, other)


def test_samples_differ_in_colour():
    samples = [f"s{i}" for i in range(7)]
    axes = _by_label(pl.locus(_object(samples=samples), "PVT1", sample=samples, show=False))
    colors = {tuple(axes[f"activity:{name}"].patches[0].get_facecolor()) for name in samples}
    assert len(colors) == 7
    labels = axes["enhancers"].get_yticklabels()
    assert [t.get_text() for t in labels] == samples
    for name, text in zip(samples, labels, strict=True):
        assert to_rgba(text.get_color()) == axes[f"activity:{name}"].patches[0].get_facecolor()


def test_without_links_there_are_no_arcs(mdata):
    alone = MuData({"genes": mdata["genes"].copy(), "enhancers": mdata["enhancers"].copy()})
    for axes in (pl.locus(alone, "PVT1", show=False), pl.locus(mdata, "PVT1", links=False, show=False)):
        assert not any(ax.get_label().startswith("arcs") for ax in axes)


def test_locus_takes_the_place_of_given_axes(mdata):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    axes = pl.locus(mdata, "PVT1", sample="K562", ax=left)
    assert {ax.figure for ax in axes} == {figure}
    figure.canvas.draw()
    place = left.get_window_extent().padded(1)
    for ax in axes:
        box = ax.get_window_extent()
        assert place.contains(box.x0, box.y0)
        assert place.contains(box.x1, box.y1)
    assert len(plt.get_fignums()) == 1
    assert right.axison


def test_a_figure_too_low_for_its_labels_is_warned_of(mdata):
    with pytest.warns(UserWarning, match=r"need \d\.\d in of height and have 0.8 in"):
        pl.locus(mdata, "PVT1", figsize=(3.5, 0.8), show=False)
    with pytest.raises(ValueError, match="more width by figsize="):
        pl.locus(mdata, "PVT1", figsize=(0.9, None), show=False)


def test_settings_of_the_session_are_left_alone(mdata):
    before = dict(mpl.rcParams)
    figure = pl.locus(mdata, "PVT1", show=False)[0].figure
    saved = io.BytesIO()
    figure.savefig(saved, format="pdf")
    assert dict(mpl.rcParams) == before
    assert b"/Type3" not in saved.getvalue()
    assert b"/TrueType" in saved.getvalue() or b"/CIDFontType2" in saved.getvalue()


def test_show_shows_and_returns_nothing(mdata, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(True))
    assert pl.locus(mdata, "PVT1", show=True) is None
    assert shown == [True]
    assert pl.locus(mdata, "PVT1") is not None
    assert shown == [True]


@pytest.mark.parametrize(
    ("target", "arguments", "message"),
    [
        ("PVT2", {}, "no gene 'PVT2' among 6 genes of the object. Did you mean PVT1?"),
        ("MYC", {"sample": "HepG2"}, "no sample 'HepG2' in the object; there are K562, GM12878"),
        ("MYC", {"links": "abc"}, "no layer 'abc' in links; there are candidate, contact, attention. Run er.tl.abc"),
        ("MYC", {"tracks": "ATAC"}, "no layer 'ATAC' in enhancers; there are candidate, DNase, H3K27ac, activity"),
        ("MYC", {"highlight": "e1"}, "no enhancer 'e1' to highlight among 20; names look like 'chr1:"),
        ("chr1:1-1,000", {}, "chr1:1-1,000 holds no gene and no enhancer; those of chr1 lie within 5,0"),
        ("chr9:1-1,000", {}, "the object has none on 'chr9', but on chr1, chr2"),
        ("chr1:9-5", {}, "region 'chr1:9-5' ends before it starts"),
    ],
)
def test_locus_errors_say_what_there_is(mdata, target, arguments, message):
    with pytest.raises((KeyError, ValueError), match=re.escape(message)):
        pl.locus(mdata, target, show=False, **arguments)


def test_highlight_outside_of_the_view_and_too_many_samples(mdata):
    far = mdata["enhancers"].var_names[mdata["enhancers"].var.Chromosome == "chr2"][0]
    with pytest.raises(ValueError, match=rf"highlighted '{far}' is outside of chr1:.* flank="):
        pl.locus(mdata, "PVT1", highlight=far, show=False)
    many = _object(samples=[f"s{i}" for i in range(5)])
    with pytest.raises(ValueError, match=r"up to 4 samples and there are 5 \(s0, .*choose them with sample="):
        pl.locus(many, "PVT1", show=False)


# expression_scatter


def _expression(n: int = 300, samples: list[str] | None = None) -> MuData:
    samples = SAMPLES if samples is None else samples
    rng = np.random.default_rng(2)
    observed = rng.gamma(1.5, 1.0, (len(samples), n))
    predicted = 0.8 * observed + rng.normal(0, 0.4, observed.shape)
    observed[:, :10] = np.nan
    predicted[:, 5:20] = np.nan
    var = pd.DataFrame(
        {"gene_name": [f"N{i}" for i in range(n)], "fold": np.arange(n) % 3}, index=[f"G{i}" for i in range(n)]
    )
    layers = {
        "RNA": observed,
        "RNA_pred": predicted,
        "CAGE": 5 * observed + rng.normal(0, 1, observed.shape),
        "promoter_activity": np.expm1(np.nan_to_num(observed) + rng.normal(0, 0.1, observed.shape)).clip(0),
    }
    return MuData({"genes": _modality(samples, var, **layers)})


def _both(mdata: MuData, sample: int, observed: str = "RNA") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    layers = mdata["genes"].layers
    x, y = layers[observed][sample].astype(float), layers["RNA_pred"][sample].astype(float)
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both], layers["promoter_activity"][sample].astype(float)[both]


def _scores(ax) -> list[str]:
    return ax.get_title(loc="left").split("\n")


def test_scores_stand_above_the_panel_with_the_baseline():
    mdata = _expression()
    axes = pl.expression_scatter(mdata, assay="RNA", show=False)
    assert [ax.get_label() for ax in axes] == SAMPLES
    for number, ax in enumerate(axes):
        x, y, simple = _both(mdata, number)
        assert len(x) == 280
        r, rho = np.corrcoef(x, y)[0, 1], spearmanr(x, y).statistic
        alone = np.corrcoef(np.log1p(simple), x)[0, 1]
        assert _scores(ax) == [
            f"{SAMPLES[number]}: n = 280",
            f"r = {r:.2f}, ρ = {rho:.2f}",
            f"promoter activity alone: r = {alone:.2f}",
        ]
        points = ax.collections[0].get_offsets()
        np.testing.assert_allclose(points, np.column_stack([x, y]))


def test_the_baseline_may_be_another_layer_or_missing_for_some_genes():
    mdata = _expression()
    mdata["genes"].layers["promoter_activity"][0, 20:30] = np.nan
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", show=False)
    assert _scores(ax)[-1].endswith("(n = 270)")
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", baseline="CAGE", show=False)
    assert _scores(ax)[-1].startswith("CAGE alone: r = ")
    del mdata["genes"].layers["promoter_activity"]
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", show=False)
    assert len(_scores(ax)) == 2


def test_identity_on_one_scale_else_least_squares():
    mdata = _expression()
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", show=False)
    line = ax.lines[0]
    np.testing.assert_array_equal(line.get_xdata(), line.get_ydata())
    assert ax.get_xlim() == ax.get_ylim()
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", observed="CAGE", show=False)
    x, y, _ = _both(mdata, 0, "CAGE")
    slope, intercept = np.polyfit(x, y, 1)
    line = ax.lines[0]
    np.testing.assert_allclose(line.get_ydata(), slope * np.array(line.get_xdata()) + intercept)
    assert _scores(ax)[-1] == "dashed: least squares"


@pytest.mark.parametrize(
    ("n", "samples", "arguments"),
    [
        (300, ["K562"], {}),
        (300, SAMPLES, {}),
        (300, ["K562"], {"color": "fold", "observed": "CAGE"}),
        (2_500, ["K562"], {}),
        (2_500, ["K562", "GM12878", "HepG2", "A549"], {}),
        (300, ["K562", "GM12878", "HepG2", "A549"], {"color": "fold"}),
    ],
)
def test_nothing_covers_the_values_and_nothing_is_cut(n, samples, arguments):
    mdata = _expression(n, samples)
    mdata["genes"].layers["promoter_activity"][:, 20:30] = np.nan
    mdata.uns["eregtools"] = {"transforms": {"RNA": {"name": "log10(1+x), z-score"}}}
    axes = np.atleast_1d(pl.expression_scatter(mdata, assay="RNA", show=False, **arguments))
    figure = axes[0].figure
    texts = _texts(figure)
    assert min(text.get_fontsize() for text in texts) >= 6
    assert _overlapping(texts) == []
    canvas = figure.bbox.padded(1)
    inside = [ax.get_window_extent() for ax in axes]
    for text in texts:
        box = text.get_tightbbox()
        assert canvas.contains(box.x0, box.y0), text.get_text()
        assert canvas.contains(box.x1, box.y1), text.get_text()
        assert not any(box.overlaps(panel) for panel in inside), text.get_text()
    beside = [child for ax in axes for child in (*ax.child_axes, ax.get_legend()) if child is not None]
    assert len(beside) == (n > 2_000 or "color" in arguments)
    for child in beside:
        assert not any(child.get_window_extent().overlaps(panel) for panel in inside)


def test_panels_share_the_scale_of_the_density():
    axes = pl.expression_scatter(_expression(2_500), assay="RNA", show=False)
    hexagons = [c for ax in axes for c in ax.collections if isinstance(c, PolyCollection)]
    assert len(hexagons) == 2
    most = max(c.get_array().max() for c in hexagons)
    assert [c.get_clim() for c in hexagons] == [(1, most)] * 2


def test_density_above_two_thousand_genes():
    few, many = (pl.expression_scatter(_expression(n, ["K562"]), assay="RNA", show=False) for n in (2_000, 2_500))
    assert not any(isinstance(c, PolyCollection) for c in few.collections)
    hexagons = [c for c in many.collections if isinstance(c, PolyCollection)]
    assert len(hexagons) == 1
    assert hexagons[0].get_array().sum() == 2_480
    assert min(text.get_fontsize() for text in _texts(many.figure)) >= 6


def test_colour_by_fold_has_a_legend_and_its_colours():
    mdata = _expression()
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", color="fold", show=False)
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "fold"
    assert [t.get_text() for t in legend.get_texts()] == ["0", "1", "2"]
    layers = mdata["genes"].layers
    both = np.isfinite(layers["RNA"][0]) & np.isfinite(layers["RNA_pred"][0])
    fold = mdata["genes"].var["fold"].to_numpy()[both]
    colors = ax.collections[0].get_facecolor()[:, :3]
    for level, handle in zip(range(3), legend.legend_handles, strict=True):
        np.testing.assert_allclose(
            colors[fold == level], np.tile(to_rgba(handle.get_color())[:3], ((fold == level).sum(), 1))
        )
    with pytest.raises(KeyError, match=r"no column 'set' in genes\.var to colour by; there are gene_name, fold"):
        pl.expression_scatter(mdata, assay="RNA", color="set", show=False)


def test_highlighted_genes_are_named_beside_their_points():
    mdata = _expression()
    names = [f"N{i}" for i in range(40, 52)]
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", highlight=names, show=False)
    ax.figure.canvas.draw()
    labels = [t for t in ax.texts if isinstance(t, Annotation)]
    assert [t.get_text() for t in labels] == names
    values = mdata["genes"].layers
    frame = ax.get_window_extent().padded(1)
    points = ax.transData.transform([t.xy for t in labels])
    for i, label in zip(range(40, 52), labels, strict=True):
        assert label.xy == pytest.approx((values["RNA"][0, i], values["RNA_pred"][0, i]))
        box = Text.get_window_extent(label)
        assert not any(box.contains(*point) for point in points)
        assert frame.contains(box.x0, box.y0)
        assert frame.contains(box.x1, box.y1)
    boxes = [Text.get_window_extent(t).padded(-0.5) for t in ax.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    with pytest.raises(ValueError, match="cannot label N3: no observed or no predicted value in K562"):
        pl.expression_scatter(mdata, assay="RNA", sample="K562", highlight="N3", show=False)


def test_axes_are_given_one_per_sample():
    mdata = _expression()
    _, axes = plt.subplots(1, 2)
    assert pl.expression_scatter(mdata, assay="RNA", ax=axes) == list(axes)
    assert pl.expression_scatter(mdata, assay="RNA", sample="K562", ax=axes[0]) is axes[0]
    with pytest.raises(ValueError, match=r"ax holds 1 Axes and there are 2 samples to draw \(K562, GM12878\)"):
        pl.expression_scatter(mdata, assay="RNA", ax=axes[0])


def test_samples_without_both_values_are_left_out_unless_named():
    mdata = _expression()
    mdata["genes"].layers["RNA_pred"][1] = np.nan
    assert pl.expression_scatter(mdata, assay="RNA", show=False).get_label() == "K562"
    message = r"no gene of GM12878 has both 'RNA' \(290 values\) and 'RNA_pred' \(0 values\) among 300 genes"
    with pytest.raises(ValueError, match=message):
        pl.expression_scatter(mdata, assay="RNA", sample="GM12878", show=False)
    mdata["genes"].layers["RNA_pred"][0] = np.nan
    with pytest.raises(ValueError, match="no gene of K562, GM12878 has both"):
        pl.expression_scatter(mdata, assay="RNA", show=False)


def test_a_missing_prediction_names_the_call():
    mdata = _expression()
    with pytest.raises(KeyError, match=r"no layer 'CAGE_pred' in genes.*Run er.tl.predict_expression"):
        pl.expression_scatter(mdata, assay="CAGE", show=False)
    with pytest.raises(KeyError, match="Did you mean CAGE"):
        pl.expression_scatter(mdata, assay="RNA", observed="CAGEE", show=False)


def test_the_axis_says_how_values_were_transformed():
    mdata = _expression()
    mdata.uns["eregtools"] = {"transforms": {"RNA": {"name": "log10(1+x)"}, "CAGE": {"name": "none"}}}
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", show=False)
    assert ax.get_xlabel() == "observed RNA (log10(1+x))"
    ax = pl.expression_scatter(mdata, assay="RNA", sample="K562", observed="CAGE", show=False)
    assert ax.get_xlabel() == "observed CAGE"
