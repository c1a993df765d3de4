"""Coverage around enhancer-RNA loci and along a locus: what is drawn, read back from the figures."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyBigWig
import pytest
from anndata import AnnData
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text
from mudata import MuData

import eregtools as er
from eregtools.coverage import Coverage, CoverageWriter
from eregtools.datasets.toy import three_genes
from eregtools.pl._themes import THEMES

mpl.use("agg")
import matplotlib.pyplot as plt

SIZE, LIBRARY = 400_000, 4e6
PRINT = THEMES["print"]
CENTRES = np.arange(20_000, 380_000, 8_000)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def divergent(rng):
    """Bins of plus and minus: plus right of each centre, minus left of it, of a strength of its own."""
    values = np.zeros((2, SIZE // 8), dtype=np.float32)
    strength = rng.permutation(np.linspace(1, 20, len(CENTRES)))
    for centre, height in zip(CENTRES // 8, strength, strict=True):
        values[0, centre + 5 : centre + 30] = height
        values[1, centre - 30 : centre - 5] = height / 2
    return values, strength


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "c.zarr"
    values, _ = divergent(np.random.default_rng(0))
    with CoverageWriter(folder, {"chr1": SIZE}) as writer:
        writer.add("a", {"chr1": values}, library_size=LIBRARY, read_length=50)
        writer.add("b", {"chr1": values}, library_size=LIBRARY, read_length=50, strandedness="unstranded")
        writer.add("dry", {"chr1": 0 * values + np.eye(1, SIZE // 8, dtype=np.float32)}, library_size=1, read_length=50)
    return Coverage(folder)


@pytest.fixture(scope="module")
def mdata(store):
    names = [f"eRNA:chr1:{c - 200}-{c + 200}" for c in CENTRES]
    var = pd.DataFrame(
        {"Chromosome": pd.Categorical(["chr1"] * len(names)), "Start": CENTRES - 200, "End": CENTRES + 200}, index=names
    )
    obs = pd.DataFrame(index=store.samples)
    tss = np.array([60_000, 150_000])
    genes = pd.DataFrame(
        {
            "Chromosome": pd.Categorical(["chr1"] * 2),
            "Start": [60_000, 120_000],
            "End": [90_000, 150_001],
            "Strand": pd.Categorical(["+", "-"], categories=["+", "-", "."]),
            "tss": tss,
            "gene_name": pd.Categorical(["ALPHA", "BETA"]),
        },
        index=["g1", "g2"],
    )
    ernas = AnnData(np.ones((3, len(names)), dtype=np.float32), obs=obs.copy(), var=var)
    q = np.tile(np.resize([0.001, 0.05, 0.3], len(names)), (3, 1)).astype(np.float32)
    ernas.layers["qvalue"] = q
    mdata = MuData({"genes": AnnData(obs=obs.copy(), var=genes), "ernas": ernas})
    sizes = pd.DataFrame({"length": [SIZE]}, index=["chr1"])
    mdata.uns["eregtools"] = {"schema_version": 1, "genome": "toy", "chrom_sizes": sizes}
    return mdata


def profile(mdata, store, **options):
    return er.pl.erna_profile(mdata, coverage=store, show=False, **{"sample": "a", "flank": 800, **options})


def lines(ax):
    return {line.get_gid(): line.get_data() for line in ax.lines if (line.get_gid() or "").startswith("mean")}


def readable(axes):
    figure = axes[0].figure
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    boxes = [text.get_window_extent(renderer) for text in texts]
    assert min(text.get_size() for text in texts) >= 6
    for box in boxes:
        assert figure.bbox.x0 - 1 <= box.x0
        assert box.x1 <= figure.bbox.x1 + 1
        assert figure.bbox.y0 - 1 <= box.y0
        assert box.y1 <= figure.bbox.y1 + 1
    overlapping = [
        (a.get_text(), b.get_text())
        for (a, one), (b, other) in combinations(zip(texts, boxes, strict=True), 2)
        if one.overlaps(other)
    ]
    assert not overlapping


class TestProfile:
    def test_means_are_those_of_the_windows(self, mdata, store):
        axes = profile(mdata, store)
        assert [ax.get_label() for ax in axes] == ["profile:a", "heatmap:a"]
        windows = np.stack([store.per_million("a", "chr1", c - 800, c + 800) for c in CENTRES // 8 * 8])
        found = lines(axes[0])
        for strand, (name, sign) in enumerate((("mean:plus", 1), ("mean:minus", -1))):
            x, y = found[name]
            np.testing.assert_allclose(x, np.arange(-796, 800, 8))
            np.testing.assert_allclose(y, sign * windows[:, strand].mean(axis=0), rtol=1e-5)
            assert (np.sign(x[np.abs(y) == np.abs(y).max()]) == sign).all()
        band = next(c for c in axes[0].collections if c.get_gid() == "band:plus").get_paths()[0].get_extents()
        mean, error = found["mean:plus"][1].max(), windows[:, 0].std(axis=0, ddof=1).max() / np.sqrt(len(CENTRES))
        assert band.y1 == pytest.approx(mean + 1.96 * error, rel=1e-3)

    def test_rows_are_sorted_and_strands_keep_their_colour(self, mdata, store):
        image = profile(mdata, store)[1].images[0].get_array()
        assert image.shape == (len(CENTRES), 200, 3)
        right, left, silent = image[:, 117], image[:, 82], image[:, 10]
        assert (silent == 1).all()
        assert to_hex(right[0]) == to_hex(PRINT.blue)
        assert (np.diff(right[:, 0]) >= -1e-9).all()  # from the darkest to the lightest
        towards = 1 - np.array(to_rgb(PRINT.vermillion))
        share = (1 - left) @ towards / (towards @ towards)
        np.testing.assert_allclose(left, 1 - share[:, None] * towards, atol=1e-6)
        assert (share > 0).all()

    def test_many_loci_are_averaged_to_rows_that_can_be_seen(self, mdata, store):
        many = mdata.mod["ernas"]
        var = pd.concat([many.var] * 20).set_index(pd.Index([f"eRNA:{k}" for k in range(20 * many.n_vars)]))
        repeated = AnnData(np.ones((3, len(var)), dtype=np.float32), obs=many.obs.copy(), var=var)
        axes = profile(MuData({"ernas": repeated}), store)
        image = axes[1].images[0]
        assert len(image.get_array()) == 400
        assert axes[1].get_ylim() == (repeated.n_vars, 0)

    def test_a_normalised_mean_does_not_follow_the_strongest(self, mdata, tmp_path):
        values, _ = divergent(np.random.default_rng(0))
        means = []
        for factor in (1, 100):
            values[:, CENTRES[0] // 8 - 100 : CENTRES[0] // 8 + 100] *= factor
            folder = tmp_path / f"{factor}.zarr"
            with CoverageWriter(folder, {"chr1": SIZE}) as writer:
                writer.add("a", {"chr1": values}, library_size=LIBRARY, read_length=50)
            axes = er.pl.erna_profile(mdata, sample="a", coverage=folder, flank=800, normalize=True, show=False)
            means.append(lines(axes[0])["mean:plus"][1])
        np.testing.assert_allclose(means[0], means[1], rtol=1e-5)

    def test_without_strands_there_is_one_curve(self, mdata, store):
        axes = profile(mdata, store, sample="b")
        assert list(lines(axes[0])) == ["mean:both strands"]
        both = sum(np.abs(y) for _, y in lines(profile(mdata, store)[0]).values())
        np.testing.assert_allclose(lines(axes[0])["mean:both strands"][1], both, rtol=1e-5)

    def test_loci_are_chosen_by_name_or_mask(self, mdata, store):
        names = mdata["ernas"].var_names
        chosen = profile(mdata, store, names=[names[3], names[1]])
        mask = np.isin(np.arange(len(names)), [1, 3])
        np.testing.assert_array_equal(
            lines(chosen[0])["mean:plus"][1], lines(profile(mdata, store, names=mask)[0])["mean:plus"][1]
        )
        assert "2 loci" in chosen[0].get_title(loc="left")

    @pytest.mark.parametrize("width", [85, 180])
    def test_text_can_be_read(self, mdata, store, width):
        axes = profile(mdata, store, figsize=(width / 25.4, 3.2))
        assert axes[0].figure.get_figwidth() == pytest.approx(width / 25.4)
        readable(axes)

    def test_in_given_axes_and_without_the_heat_map(self, mdata, store):
        _, ax = plt.subplots(figsize=(4, 3))
        axes = profile(mdata, store, ax=ax, heatmap=False)
        assert [inner.get_label() for inner in axes] == ["profile:a"]
        assert axes[0] in ax.child_axes
        assert axes[0].get_xlabel() == "distance from centre (bp)"

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"sample": "c"}, KeyError, "no sample 'c'"),
            ({"sample": None}, ValueError, "name one with sample="),
            ({"sample": "dry"}, ValueError, "none of 45 loci has a read"),
            ({"flank": 8}, ValueError, "flank=8"),
            ({"names": []}, ValueError, "no locus is chosen"),
            ({"names": ["eRNA:x"]}, KeyError, "no locus eRNA:x"),
            ({"names": np.ones(3, dtype=bool)}, ValueError, "a mask of 3 loci"),
        ],
    )
    def test_bad_input_is_one_sentence(self, mdata, store, options, error, message):
        with pytest.raises(error, match=message):
            profile(mdata, store, **options)

    def test_divergent_pairs_of_gro_cap(self, shared, tmp_path):
        files = [shared / "data" / "nascent_pints_chr22" / f"K562_GROcap.chr22.hg19.{s}.bw" for s in ("plus", "minus")]
        peaks = []
        for path in files:
            with pyBigWig.open(str(path)) as file:
                size = file.chroms()["chr22"]
                runs = np.array(file.intervals("chr22"))
            at, reads = runs[:, 0].astype(int), np.abs(runs[:, 2])
            group = np.append(0, np.cumsum(np.diff(at) > 60))
            order = np.lexsort((reads, group))  # the last of each group is its summit
            summit = at[order][np.append(np.flatnonzero(np.diff(group[order])), len(at) - 1)]
            peaks.append(summit[np.bincount(group, weights=reads) >= 3])
        plus, minus = peaks
        minus = minus[minus < plus[-1]]
        after = plus[np.searchsorted(plus, minus)]
        pairs = (after - minus > 0) & (after - minus <= 400)
        centre = np.unique((after + minus)[pairs] // 2)
        var = pd.DataFrame({"Chromosome": "chr22", "Start": centre - 200, "End": centre + 200})
        var.index = [f"eRNA:{k}" for k in range(len(var))]
        obs = pd.DataFrame(index=["K562"])
        mdata = MuData({"ernas": AnnData(np.ones((1, len(var)), dtype=np.float32), obs=obs, var=var)})
        sizes = pd.DataFrame({"length": [size]}, index=["chr22"])
        mdata.uns["eregtools"] = {"schema_version": 1, "genome": "hg19", "chrom_sizes": sizes}
        er.pp.add_coverage(mdata, {"K562": files}, folder=tmp_path / "c.zarr", signal="ends", library_size=1e6)
        axes = er.pl.erna_profile(mdata, flank=1_000, normalize=True, show=False)
        x, right = lines(axes[0])["mean:plus"]
        left = -lines(axes[0])["mean:minus"][1]
        assert 60 <= x[right.argmax()] - x[left.argmax()] <= 160  # 110 is the median of single pairs
        after, before = (x > 0) & (x < 200), (x < 0) & (x > -200)
        assert right[after].sum() > 3 * right[before].sum()
        assert left[before].sum() > 3 * left[after].sum()


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "scan.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader([("chr1", SIZE)])
        values = np.zeros(SIZE // 32)
        values[CENTRES // 32] = 0.9
        file.addEntries("chr1", 0, values=values.tolist(), span=32, step=32)
    return path


def steps(ax):
    return {patch.get_gid(): (patch.get_data(), patch.get_facecolor()) for patch in ax.patches if patch.get_gid()}


class TestLocus:
    region = "chr1:40,000-60,000"

    def draw(self, mdata, store, **options):
        options = {"sample": "a", "coverage": store, "show": False, **options}
        return {ax.get_label(): ax for ax in er.pl.locus(mdata, options.pop("region", self.region), **options)}

    def test_strands_stand_above_and_below_the_line(self, mdata, store):
        found = steps(self.draw(mdata, store)["coverage:a"])
        expected = store.per_million("a", "chr1", 40_000, 60_000)
        strands = (("area:plus", 1, PRINT.blue), ("area:minus", -1, PRINT.vermillion))
        for strand, (name, sign, color) in enumerate(strands):
            data, face = found[name]
            assert to_hex(face) == to_hex(color).lower()
            values = np.repeat(data.values, 3)[: expected.shape[1]]  # 2,500 bins in steps of three
            assert (sign * data.values >= 0).all()
            assert np.abs(values).max() == pytest.approx(expected[strand].max())
            assert (np.abs(values) >= expected[strand] - 1e-6).all()
            assert data.edges[0] == 40_000
            assert data.edges[-1] == 60_000
        assert list(steps(self.draw(mdata, store, sample="b")["coverage:b"])) == ["area:total"]

    def test_panels_of_several_samples_carry_their_names(self, mdata, store):
        axes = self.draw(mdata, store, sample=["a", "b"])
        for name in ("a", "b"):
            assert [text.get_text() for text in axes[f"coverage:{name}"].texts if text.get_position()[0] == 0.01] == [
                name
            ]
        assert len({tuple(axes[f"coverage:{name}"].get_ylim()) for name in ("a", "b")}) == 1

    def test_rows_of_several_samples_say_what_they_are(self, mdata, store):
        axes = self.draw(mdata, store, sample=["a", "b"], calls=True, region="chr1:0-400,000")
        assert [text.get_text() for text in axes["ernas"].texts] == ["eRNAs"]
        readable(list(axes.values()))

    def test_wide_views_keep_their_peaks(self, mdata, store):
        data, _ = steps(self.draw(mdata, store, region="chr1:0-400,000")["coverage:a"])["area:plus"]
        assert len(data.values) <= 1_000
        assert data.values.max() == pytest.approx(store.per_million("a", "chr1")[0].max())

    def test_probabilities_of_a_scan(self, mdata, store, scan):
        axes = self.draw(mdata, store, probability=scan)
        data, _ = steps(axes["probability:a"])["area:total"]
        middle = (data.edges[1:] + data.edges[:-1]) / 2
        inside = CENTRES[(CENTRES >= 40_000) & (CENTRES < 60_000)]
        nearest = [CENTRES[np.abs(CENTRES - at).argmin()] for at in middle[data.values > 0.5]]
        assert set(nearest) == set(inside)
        assert np.abs(middle[data.values > 0.5] - nearest).max() < 48
        recorded = mdata.copy()
        recorded.uns["eregtools"]["erna_scan"] = {"bigwig": pd.DataFrame({"path": [str(scan), ""]}, index=["a", "b"])}
        again, _ = steps(self.draw(recorded, store, probability=True)["probability:a"])["area:total"]
        np.testing.assert_array_equal(again.values, data.values)
        with pytest.raises(KeyError, match="no file of 'b'"):
            self.draw(recorded, store, probability=True, sample="b")

    def test_calls_are_filled_by_their_q_value(self, mdata, store):
        ax = self.draw(mdata, store, calls=True)["ernas"]
        shown = mdata["ernas"].var
        at = np.flatnonzero((shown["Start"] < 60_000) & (shown["End"] > 40_000))
        q = mdata["ernas"].layers["qvalue"][0, at]
        boxes = [c for c in ax.collections if isinstance(c, PatchCollection)]
        counted = {to_hex(c.get_facecolor()[0]): len(c.get_paths()) for c in boxes if len(c.get_paths())}
        assert counted.pop("#ffffff") == (q > 0.1).sum()
        assert list(counted.values()) == [(q <= 0.1).sum()]
        assert sorted(t.get_text() for t in ax.texts) == sorted(f"q {value:.2g}" for value in q)
        strict = self.draw(mdata, store, calls=True, fdr=0.01)["ernas"]
        filled = [len(c.get_paths()) for c in strict.collections if to_hex(c.get_facecolor()[0]) != "#ffffff"]
        assert sum(filled) == (q <= 0.01).sum()
        assert not self.draw(mdata, store, calls=True, region="chr1:0-400,000")["ernas"].texts  # too many to write

    @pytest.mark.parametrize("width", [85, 180])
    def test_text_can_be_read(self, mdata, store, scan, width):
        axes = self.draw(mdata, store, probability=scan, calls=True, figsize=(width / 25.4, None))
        assert list(axes) == ["coverage:a", "probability:a", "ernas", "genes"]
        readable(list(axes.values()))

    def test_beside_enhancers_and_links(self, tmp_path):
        mdata = three_genes()
        with CoverageWriter(tmp_path / "c.zarr", {"chr1": 20_000, "chr2": 10_000}) as writer:
            values = np.ones((2, 2_500), dtype=np.float32)
            writer.add("K562", {"chr1": values}, library_size=1e6, read_length=50)
        axes = er.pl.locus(mdata, "chr1:0-20,000", coverage=tmp_path / "c.zarr", tracks=(), show=False)
        assert [ax.get_label() for ax in axes] == ["coverage:K562", "enhancers", "genes"]

    def test_bad_input_is_one_sentence(self, mdata, store, scan):
        with pytest.raises(KeyError, match=r"run er\.tl\.scan_ernas first"):
            self.draw(mdata, store, probability=True)
        with pytest.raises(ValueError, match=r"give \{sample: file\}"):
            self.draw(mdata, store, probability=scan, sample=["a", "b"])
        with pytest.raises(KeyError, match="add_coverage first"):
            self.draw(mdata, True)
        with pytest.raises(KeyError, match="no modality 'ernas'"):
            er.pl.locus(three_genes(), "chr1:0-20,000", calls=True, tracks=(), show=False)
        with pytest.raises(ValueError, match="holds no gene"):
            self.draw(mdata, store, region="chr1:390,000-399,000")
