"""Heat maps and curves of link scores: what is drawn, where, and that it can be read."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

import eregtools as er
from eregtools.datasets.toy import three_genes

mpl.use("agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def mdata():
    mdata = three_genes(["a", "b"])
    mdata["enhancers"].layers["candidate"][1] = [0, 1, 1, 1]
    er.pp.link(mdata)
    links = mdata["links"]
    own = links.layers["candidate"] == 1
    layers = {
        "abc": np.linspace(0.1, 0.7, links.n_vars),
        "distance_score": -links.var["distance"].abs().to_numpy(),
        "crispr": np.tile([-0.4, 0.1, np.nan], 3)[: links.n_vars],
        "crispr_significant": np.tile([1, 0, np.nan], 3)[: links.n_vars],
    }
    for name, values in layers.items():
        links.layers[name] = np.where(own, values, np.nan).astype(np.float32)
    return mdata


def parts(ax, kind):
    """Faces and places of the cells of a kind, by row label."""
    found = {}
    for collection in ax.collections:
        if (gid := collection.get_gid() or "").startswith(f"{kind}:"):
            places = [path.get_extents() for path in collection.get_paths()]
            found[gid.removeprefix(f"{kind}:")] = (collection.get_facecolor(), [box.x0 for box in places])
    return found


def lightness(colors):
    return np.asarray(colors)[:, :3] @ [0.2126, 0.7152, 0.0722]


class TestHeatmap:
    def test_columns_are_enhancers_in_genomic_order(self, mdata):
        matrix, places = er.pl.links_heatmap(mdata, "ALPHA", layers=["abc", "distance_score"], sample="a", show=False)
        table = er.get.links(mdata, sample="a", gene="ALPHA", layers=["abc", "distance_score"]).sort_values("Start")
        cells = parts(matrix, "known")
        assert list(cells) == ["abc", "distance_score"]
        for name, (colors, x) in cells.items():
            assert x == [0, 1, 2]
            order = np.argsort(table[name].to_numpy())
            assert (np.diff(lightness(colors)[order]) < 0).all()  # the stronger, the darker
        # one line from each column to its place
        lines = places.collections[0].get_segments()
        assert len(lines) == 3
        middle = ((table["Start"] + table["End"]) / 2).to_numpy()
        ends = np.array([line[1][0] for line in lines])
        assert np.corrcoef(ends, middle)[0, 1] == pytest.approx(1, abs=1e-9)
        zero = [
            t for t, text in zip(places.get_xticks(), places.get_xticklabels(), strict=True) if text.get_text() == "0"
        ]
        slope = np.polyfit(middle, ends, 1)
        assert zero == [pytest.approx(np.polyval(slope, 6_000), abs=1e-6)]

    def test_values_that_were_not_made_are_hatched(self, mdata):
        matrix, _ = er.pl.links_heatmap(mdata, "ALPHA", layers="crispr", sample="a", show=False)
        table = er.get.links(mdata, sample="a", gene="ALPHA", layers="crispr").sort_values("Start")
        known, absent = parts(matrix, "known")["crispr"], parts(matrix, "absent")["crispr"]
        assert known[1] == np.flatnonzero(table["crispr"].notna()).tolist()
        assert absent[1] == np.flatnonzero(table["crispr"].isna()).tolist()
        hatched = [c for c in matrix.collections if c.get_hatch()]
        assert [c.get_gid() for c in hatched] == ["absent:crispr"]
        dots = next(line for line in matrix.lines if line.get_gid() == "marked:crispr")
        assert (dots.get_xdata() - 0.5).tolist() == np.flatnonzero(table["crispr"] < 0).tolist()
        # opposite effects have opposite hues
        red, blue = (known[0][list(table["crispr"].dropna()).index(v), [0, 2]] for v in np.float32([-0.4, 0.1]))
        assert red[0] > red[1]
        assert blue[1] > blue[0]

    def test_biosamples_share_the_scale_of_a_layer(self, mdata):
        mdata["links"].layers["abc"][1] /= 2
        matrix, _ = er.pl.links_heatmap(mdata, "ALPHA", layers="abc", show=False)
        cells = parts(matrix, "known")
        assert list(cells) == ["abc, a", "abc, b"]
        one, other = cells["abc, a"][0], cells["abc, b"][0]
        assert lightness(other).min() > lightness(one).min()
        assert parts(matrix, "absent")["abc, b"][1] == [0]  # no candidate of b

    def test_several_genes_are_rows_and_strangers_stay_empty(self, mdata):
        matrix, places = er.pl.links_heatmap(mdata, ["BETA", "ALPHA"], layers="abc", sample="a", show=False)
        labels = [text.get_text() for text in matrix.texts]
        assert labels == ["ALPHA", "BETA"]  # by TSS
        matrix, _ = er.pl.links_heatmap(
            mdata, "chr1:0-20,000", layers="abc", sample="a", max_distance=6_000, show=False
        )
        table = er.get.links(mdata, sample="a", layers="abc")
        near = table[(table["distance"].abs() <= 6_000) & (table["Chromosome"] == "chr1")]
        drawn = sum(len(x) for _, x in parts(matrix, "known").values())
        assert drawn == len(near) < 2 * near["enhancer"].nunique()
        assert "chr1 (toy), kb" in places.get_xlabel()

    def test_text_can_be_read_and_stays_inside(self, mdata):
        axes = er.pl.links_heatmap(mdata, "ALPHA", layers=["abc", "distance_score", "crispr"], show=False)
        figure = axes[0].figure
        assert figure.get_figwidth() == pytest.approx(89 / 25.4)
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        texts = [t for ax in figure.axes for t in ax.findobj(mpl.text.Text) if t.get_text() and t.get_visible()]
        assert len(texts) > 8
        for text in texts:
            assert text.get_size() >= 6
            box = text.get_window_extent(renderer)
            assert figure.bbox.x0 - 1 <= box.x0
            assert box.x1 <= figure.bbox.x1 + 1
        rows = [t.get_window_extent(renderer) for t in axes[0].texts]
        assert not any(a.overlaps(b) for i, a in enumerate(rows) for b in rows[i + 1 :])

    def test_in_given_axes(self, mdata):
        _, ax = plt.subplots(figsize=(4, 3))
        axes = er.pl.links_heatmap(mdata, "ALPHA", layers="abc", sample="a", ax=ax)
        assert [inner.get_label() for inner in axes] == ["matrix", "places"]
        assert all(inner in ax.child_axes for inner in axes)

    @pytest.mark.parametrize(
        ("genes", "options", "error", "message"),
        [
            ("DELTA", {}, KeyError, "no gene 'DELTA'"),
            ("ALPHA", {"layers": "abcd"}, KeyError, "no layer 'abcd'"),
            ("ALPHA", {"sample": "c"}, KeyError, "no sample 'c'"),
            ("ALPHA", {"max_distance": 5}, ValueError, "none between 0 and 5 bp"),
            (["ALPHA", "BETA"], {}, ValueError, "one layer of one biosample, and there are 1 layers and 2"),
            (["ALPHA", "GAMMA"], {"sample": "a"}, ValueError, "the genes are on chr1, chr2"),
            ([], {"sample": "a"}, ValueError, "genes= is empty"),
            ("chr2:0-100", {"sample": "a"}, ValueError, "no gene has its TSS in chr2:0-100"),
            ("ALPHA", {"figsize": (0.9, None)}, ValueError, "left for the cells"),
            ("ALPHA", {"figsize": (3.5, 0.6)}, ValueError, "in of height"),
        ],
    )
    def test_bad_input(self, mdata, genes, options, error, message):
        with pytest.raises(error, match=message):
            er.pl.links_heatmap(mdata, genes, show=False, **options)

    def test_real_pairs(self, shared):
        """The measured effects around GATA1, on the K562 elements that were tested."""
        pairs = er.io.read_crispr(
            shared / "data/crispr_benchmark/EPCrisprBenchmark_combined_data.training_K562.GRCh38.tsv.gz"
        )
        pairs = pairs[pairs["gene"] == "GATA1"]
        elements = pairs[["Chromosome", "Start", "End"]].drop_duplicates()
        genes = pd.DataFrame(
            {"gene_id": ["GATA1"], "chrom": ["chrX"], "tss": [int(pairs["tss"].iloc[0])], "strand": "+"}
        )
        mdata = er.pp.assemble(
            genes=genes,
            enhancers=elements.rename(columns={"Chromosome": "chrom", "Start": "start", "End": "end"}),
            samples="K562",
            genome=shared / "data/genome/hg38.partial.fa.gz",
        )
        er.pp.link(mdata, max_distance=10_000_000, min_distance=0, inclusive="left")
        er.pp.add_crispr(mdata, pairs)
        matrix, _ = er.pl.links_heatmap(mdata, "GATA1", show=False)
        _, x = parts(matrix, "known")["crispr"]
        assert len(x) == mdata["links"].n_vars == len(pairs)
        dots = next(line for line in matrix.lines if line.get_gid() == "marked:crispr")
        assert len(dots.get_xdata()) == pairs["significant"].sum()


class TestCurve:
    @pytest.fixture
    def pairs(self):
        rng = np.random.default_rng(1)
        n = 300
        positive = rng.random(n) < 0.2
        start = np.arange(n) * 1_000
        return pd.DataFrame(
            {
                "Chromosome": "chr1",
                "Start": start,
                "End": start + 500,
                "gene": np.where(np.arange(n) < 150, "A", "B"),
                "tss": np.where(np.arange(n) < 150, 75_000, 225_000),
                "positive": positive,
                "good": positive + rng.normal(size=n),
                "bad": rng.normal(size=n),
                "called": (positive & (rng.random(n) < 0.5)).astype(float),
            }
        )

    def curve(self, ax, name):
        return next(line for line in ax.lines if line.get_gid() == name)

    def test_area_is_the_average_precision_of_the_legend(self, pairs):
        ax = er.pl.pr_curve(pairs, scores=["bad", "good", "called"], labels={"good": "the good one"}, show=False)
        texts = [text.get_text() for text in ax.get_legend().get_texts()]
        for name in ("good", "bad"):
            expected = average_precision_score(pairs["positive"], pairs[name])
            x, y = (np.asarray(v) for v in self.curve(ax, name).get_data())
            assert self.curve(ax, name).get_drawstyle() == "steps-pre"
            assert (np.diff(x) * y[1:]).sum() == pytest.approx(expected)
            label = {"good": "the good one"}.get(name, name)
            assert f"{label}  {expected:.2f}" in texts
        averages = [float(text.split()[-1]) for text in texts[:-1]]
        assert averages == sorted(averages, reverse=True)
        assert texts[-1] == f"chance  {pairs['positive'].mean():.2f}"
        assert self.curve(ax, "chance").get_ydata()[0] == pairs["positive"].mean()

    def test_mark_and_point(self, pairs):
        ax = er.pl.pr_curve(pairs, scores=["good", "called"], recall=0.7, show=False)
        table = er.tl.evaluate_links(pairs, scores=["good", "called"], n_bootstrap=0).set_index("predictor")
        mark = self.curve(ax, "good at recall")
        assert mark.get_xdata()[0] >= 0.7
        assert mark.get_ydata()[0] == pytest.approx(table["precision_at_70_recall"]["good"].iloc[0])
        called = pairs["called"] == 1
        point = self.curve(ax, "called")
        assert point.get_ydata().tolist() == [pairs["positive"][called].mean()] == [1]
        assert point.get_xdata()[0] == pytest.approx((called & pairs["positive"]).sum() / pairs["positive"].sum())
        assert {line.get_gid() for line in ax.lines} >= {"distance", "nearest_gene"}

    def test_curves_end_where_scores_do(self, pairs):
        pairs.loc[pairs.index[::2], "good"] = np.nan
        ax = er.pl.pr_curve(pairs, scores="good", recall=None, show=False)
        reached = pairs["positive"][pairs["good"].notna()].sum() / pairs["positive"].sum()
        assert self.curve(ax, "good").get_xdata().max() == pytest.approx(reached)

    def test_near_pairs_only(self, pairs):
        ax = er.pl.pr_curve(pairs, scores="good", max_distance=20_000, show=False)
        near = ((pairs["Start"] + 250 - pairs["tss"]).abs() <= 20_000).sum()
        assert ax.get_title(loc="left").startswith(f"{near} pairs")
        with pytest.raises(ValueError, match="need both kinds"):
            er.pl.pr_curve(pairs, scores="good", max_distance=200, show=False)

    def test_legend_is_inside_the_figure_and_off_the_curves(self, pairs):
        scores = {f"a score with a long name, number {k}": pairs["bad"] + k * pairs["good"] for k in range(8)}
        ax = er.pl.pr_curve(pairs.assign(**scores), scores=list(scores), show=False)
        figure = ax.figure
        figure.canvas.draw()
        legend = ax.get_legend().get_window_extent()
        assert figure.bbox.containsx(legend.x0)
        assert figure.bbox.containsx(legend.x1)
        assert figure.bbox.containsy(legend.y0)
        assert legend.y1 <= ax.xaxis.label.get_window_extent().y0 + 1
        colors = {(line.get_color(), line.get_linestyle()) for line in ax.lines if line.get_gid() in scores}
        assert len(colors) == 8


def test_strongest_effect_has_the_darkest_colour_and_the_nearest_enhancer_too():
    from eregtools.pl._heatmap import RowScale

    def lightness(scale, values):
        return scale.colors(np.array(values))[:, :3] @ [0.2126, 0.7152, 0.0722]

    effects = np.array([-0.58, -0.2, -0.014])
    assert (np.diff(lightness(RowScale.of(effects), effects)) > 0).all()
    nearness = np.array([-90_000.0, -40_000.0, -2_000.0])
    assert (np.diff(lightness(RowScale.of(nearness, score=True), nearness)) < 0).all()
