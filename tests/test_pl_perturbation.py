"""pl.perturbation and pl.attention: what is drawn, counted and read from the figures."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.text import Text

import eregtools as er
from eregtools import get, pl

mpl.use("Agg")
import matplotlib.pyplot as plt

SAMPLES = ["K562", "GM12878"]
COLUMN = 85 / 25.4


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def build(genome, samples, n_enhancers=30):
    """A gene of interest among others, with enhancers on either side, of which each sample has some."""
    rng = np.random.default_rng(3)
    start = 1_000_000 + np.sort(rng.choice(180, n_enhancers, replace=False)) * 1_000
    tss = [1_090_300, 1_020_000, 1_160_000]
    genes = pd.DataFrame(
        {"chrom": "chr1", "tss": tss, "strand": ["+", "-", "+"], "gene_name": ["MYC", "GATA1", "TAL1"]},
        index=["ENSG1", "ENSG2", "ENSG3"],
    )
    tables = {
        name: pd.DataFrame({"chrom": "chr1", "start": start, "end": start + 500}).iloc[i :: len(samples)]
        for i, name in enumerate(samples)
    }
    mdata = er.pp.assemble(genes=genes, enhancers=tables, samples=list(samples), genome=genome)
    er.pp.link(mdata)
    links = mdata["links"]
    own = links.layers["candidate"] == 1
    effect = rng.normal(-0.02, 0.02, links.shape)
    tested = rng.random(links.shape) < 0.7
    for layer, values in {
        "perturbation": np.where(own, effect, np.nan),
        "crispr": np.where(own & tested, 10 * effect + rng.normal(0, 0.05, links.shape), np.nan),
        "attention": np.where(own, rng.random(links.shape) / 20, np.nan),
        "abc": np.where(own, rng.random(links.shape) / 10, np.nan),
    }.items():
        links.layers[layer] = values.astype(np.float32)
    links.layers["crispr_significant"] = (np.abs(links.layers["crispr"]) > 0.2).astype(np.float32)
    return mdata


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "flat.fa"
    path.write_text(">chr1\n" + "A" * 1_300_000 + "\n")
    return er.Genome(path, name="hg38")


@pytest.fixture(scope="module")
def one(genome):
    return build(genome, ["K562"])


@pytest.fixture(scope="module")
def two(genome):
    return build(genome, SAMPLES)


def by_label(axes):
    return {ax.get_label(): ax for ax in axes}


def heads(ax):
    """Positions and faces of the lollipops."""
    (found,) = [c for c in ax.collections if isinstance(c, PathCollection)]
    faces = [to_hex(color) for color in found.get_facecolors()]
    return np.asarray(found.get_offsets()), faces * (len(found.get_offsets()) if len(faces) == 1 else 1)


def expected(mdata, layer, sample):
    table = get.links(mdata, gene="MYC", sample=sample, layers=[layer]).dropna(subset=[layer])
    return np.column_stack([(table["Start"] + table["End"]) / 2, table[layer]])


def written(axes):
    return " | ".join(text.get_text() for text in axes[0].figure.findobj(Text))


@pytest.mark.parametrize("gene", ["MYC", "ENSG1"])
def test_a_lollipop_stands_at_each_enhancer_in_per_cent(one, gene):
    axes = pl.perturbation(one, gene, show=False)
    assert [ax.get_label() for ax in axes] == ["perturbation:K562", "enhancers", "genes"]
    points, faces = heads(axes[0])
    values = expected(one, "perturbation", "K562") * [1, 100]
    assert len(points) == len(values) > 20
    assert np.allclose(points[np.argsort(points[:, 0])], values[np.argsort(values[:, 0])], atol=1e-4)
    (stems,) = [c for c in axes[0].collections if isinstance(c, LineCollection)]
    assert np.allclose([segment[:, 1].tolist() for segment in stems.get_segments()], [[0, y] for y in points[:, 1]])
    assert len(set(faces)) == 1
    low, high = axes[0].get_ylim()
    assert low < points[:, 1].min()
    assert high > max(points[:, 1].max(), 0)
    assert "% change" in written(axes)
    assert "MYC without each enhancer" in written(axes)
    assert "K562" in written(axes)


def test_differences_of_predictions_are_no_per_cent(one):
    mdata = one.copy()
    mdata.uns["eregtools"]["results"] = {"links:perturbation": pd.DataFrame({"sample": ["K562"], "scale": ["model"]})}
    axes = pl.perturbation(mdata, "MYC", show=False)
    points, _ = heads(axes[0])
    assert np.allclose(np.sort(points[:, 1]), np.sort(expected(one, "perturbation", "K562")[:, 1]), atol=1e-6)
    assert "Δ prediction" in written(axes)


def test_measured_effects_beside_predicted_ones(one):
    axes = pl.perturbation(one, "MYC", compare="crispr", show=False)
    assert [ax.get_label() for ax in axes] == ["perturbation:K562", "crispr:K562", "enhancers", "genes"]
    points, faces = heads(axes[1])
    measured = expected(one, "crispr", "K562") * [1, 100]
    assert np.allclose(points[np.argsort(points[:, 0])], measured[np.argsort(measured[:, 0])], atol=1e-4)
    assert np.array_equal([face != "#ffffff" for face in faces], np.abs(points[:, 1]) > 20)
    assert 0 < sum(face != "#ffffff" for face in faces) < len(faces)
    both = get.links(one, gene="MYC", layers=["perturbation", "crispr"]).dropna()
    r = both["perturbation"].corr(both["crispr"])
    assert f"r = {r:.2f} (n = {len(both)})" in written(axes)
    assert "● significant  ○ not" in written(axes)


def test_without_significance_all_heads_are_filled(one):
    mdata = one.copy()
    del mdata["links"].layers["crispr_significant"]
    axes = pl.perturbation(mdata, "MYC", compare="crispr", show=False)
    _, faces = heads(axes[1])
    assert "#ffffff" not in faces
    assert "significant" not in written(axes)


def test_too_few_measurements_have_no_correlation(one):
    mdata = one.copy()
    mdata["links"].layers["crispr"][:, np.flatnonzero(np.isfinite(mdata["links"].layers["crispr"][0]))[2:]] = np.nan
    axes = pl.perturbation(mdata, "MYC", compare="crispr", show=False)
    assert "r =" not in written(axes)


def test_samples_have_their_own_panels_and_colours_and_one_scale(two):
    axes = by_label(pl.perturbation(two, "MYC", compare="crispr", show=False))
    assert list(axes) == [f"{k}:{s}" for k in ("perturbation", "crispr") for s in SAMPLES] + ["enhancers", "genes"]
    shades = set()
    for sample in SAMPLES:
        points, faces = heads(axes[f"perturbation:{sample}"])
        assert len(points) == len(expected(two, "perturbation", sample))
        shades |= set(faces)
    assert len(shades) == 2
    assert len({axes[f"perturbation:{sample}"].get_ylim() for sample in SAMPLES}) == 1
    only = pl.perturbation(two, "MYC", sample="GM12878", show=False)
    assert [ax.get_label() for ax in only] == ["perturbation:GM12878", "enhancers", "genes"]


def test_attention_has_arcs_and_a_bar_for_each_score(one):
    axes = by_label(pl.attention(one, "MYC", show=False))
    assert list(axes) == ["arcs:K562", "attention:K562", "abc:K562", "enhancers", "genes"]
    (arcs,) = [c for c in axes["arcs:K562"].collections if isinstance(c, LineCollection)]
    values = expected(one, "attention", "K562")
    assert len(arcs.get_segments()) == len(values)
    ends = sorted(round(segment[:, 0].min()) for segment in arcs.get_segments())
    tss = one["genes"].var.loc["ENSG1", "tss"]
    assert ends == sorted(round(min(x, tss)) for x in values[:, 0])
    for layer in ("attention", "abc"):
        bars = axes[f"{layer}:K562"].patches
        drawn = sorted((bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in bars)
        assert np.allclose(drawn, sorted(map(tuple, expected(one, layer, "K562"))), atol=1e-4)
    widths = np.array(arcs.get_linewidths())
    assert widths.max() == pytest.approx(2.2)


def test_the_chosen_layers_come_in_their_order(two):
    axes = pl.attention(two, "MYC", layers=["abc", "attention"], sample="K562", show=False)
    assert [ax.get_label() for ax in axes] == ["arcs:K562", "abc:K562", "attention:K562", "enhancers", "genes"]
    assert "abc" in written(axes)
    axes = pl.attention(two, "MYC", layers="abc", show=False)
    assert [ax.get_label() for ax in axes][:4] == ["arcs:K562", "arcs:GM12878", "abc:K562", "abc:GM12878"]


@pytest.mark.parametrize("samples", [["K562"], SAMPLES])
def test_legible_in_one_column(genome, samples):
    """At 85 mm no type is under 6 points, no label is cut, and none lies on another."""
    mdata = build(genome, samples, n_enhancers=110)
    for axes in (
        pl.perturbation(mdata, "MYC", compare="crispr", show=False, figsize=(COLUMN, None)),
        pl.attention(mdata, "MYC", show=False, figsize=(COLUMN, None)),
    ):
        figure = axes[0].figure
        assert figure.get_size_inches()[0] == pytest.approx(COLUMN)
        figure.canvas.draw()
        page = figure.bbox.padded(1)
        texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible() and t.axes is not None]
        texts = [t for t in texts if t.get_window_extent().width]
        boxes = [t.get_window_extent() for t in texts]
        assert min(t.get_fontsize() for t in texts) >= 6
        for text, box in zip(texts, boxes, strict=True):
            assert page.count_contains(box.corners()) == 4, text.get_text()
        for i, first in enumerate(boxes):
            for other in boxes[i + 1 :]:
                assert not first.shrunk(0.9, 0.8).overlaps(other.shrunk(0.9, 0.8))


def test_panels_take_the_place_of_given_axes(one):
    figure, ax = plt.subplots(figsize=(4, 3))
    axes = pl.perturbation(one, "MYC", ax=ax, show=False)
    assert all(panel.figure is figure for panel in axes)
    assert pl.attention(one, "MYC", ax=plt.subplots(figsize=(4, 4))[1], show=False)[0].get_label() == "arcs:K562"


def test_the_chain_from_model_to_figure(tmp_path):
    """What tl.perturb writes is what is drawn."""
    from eregtools.models import EPInformer, EPInformerConfig
    from networks import randomised

    letters = np.random.default_rng(0).choice(list("ACGT"), 30_000)
    (tmp_path / "toy.fa").write_text(">chr1\n" + "".join(letters[:20_000]) + "\n>chr2\n" + "".join(letters[:10_000]))
    mdata = er.datasets.three_genes()
    er.pp.link(mdata)
    model = randomised(EPInformer(EPInformerConfig(n_slot_features=1, n_gene_features=0, window=512)))
    er.tl.perturb(mdata, model, assay="CAGE", genome=tmp_path / "toy.fa", scale="model")
    axes = pl.perturbation(mdata, "ALPHA", show=False)
    points, _ = heads(axes[0])
    made = mdata["links"].layers["perturbation"][0, (mdata["links"].var["gene"] == "g1").to_numpy()]
    assert np.allclose(np.sort(points[:, 1]), np.sort(made), atol=1e-6)
    assert "Δ prediction" in written(axes)


@pytest.mark.parametrize(
    ("draw", "arguments", "error", "message"),
    [
        (pl.perturbation, {"gene": "MYCN"}, KeyError, "no gene 'MYCN' among 3 genes"),
        (pl.perturbation, {"layer": "deltas"}, KeyError, "no layer 'deltas' in links"),
        (pl.perturbation, {"compare": "flowfish"}, KeyError, "no layer 'flowfish' in links"),
        (pl.perturbation, {"sample": "HepG2"}, KeyError, "no sample 'HepG2'"),
        (pl.attention, {"layers": []}, ValueError, "layers= is empty"),
        (pl.attention, {"layers": "weights"}, KeyError, "no layer 'weights' in links"),
        (pl.attention, {"figsize": (0.5, None)}, ValueError, "give more width by figsize= or ax="),
    ],
)
def test_bad_input_is_one_sentence(two, draw, arguments, error, message):
    with pytest.raises(error, match=message):
        draw(two, **({"gene": "MYC"} | arguments), show=False)


def test_a_layer_that_is_not_there_names_the_call(two):
    mdata = two.copy()
    for layer in ("perturbation", "attention"):
        del mdata["links"].layers[layer]
    with pytest.raises(KeyError, match=r"no layer 'perturbation'.*Run er\.tl\.perturb first"):
        pl.perturbation(mdata, "MYC", show=False)
    with pytest.raises(KeyError, match=r"no layer 'attention'.*Run er\.tl\.attention first"):
        pl.attention(mdata, "MYC", show=False)
    mdata = two.copy()
    mdata["links"].layers["perturbation"][:] = np.nan
    with pytest.raises(ValueError, match=r"no link of ENSG1 in K562, GM12878 has a value in layer 'perturbation'"):
        pl.perturbation(mdata, "MYC", show=False)


def test_too_many_samples(genome):
    many = build(genome, [f"s{i}" for i in range(5)])
    with pytest.raises(ValueError, match=r"up to 4 samples and there are 5 .*choose them with sample="):
        pl.perturbation(many, "MYC", show=False)
    assert len(pl.perturbation(many, "MYC", sample=["s1", "s3"], show=False)) == 4
