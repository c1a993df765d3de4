"""Reads, direction and detection of loci."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.coverage import recorded_coverage
from eregtools.io import bigwig
from eregtools.tl.quantify import direction, spearman
from erna_world import LOCUS_ARM, LOCUS_GAP, READ, SIZES, ErnaWorld, depth_of, make_erna_world, write_track


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> ErnaWorld:
    return make_erna_world(tmp_path_factory.mktemp("erna"))


def loci_of(world):
    half = LOCUS_GAP // 2 + LOCUS_ARM + READ
    centre = world.loci["center"]
    return pd.DataFrame({"chrom": world.loci["chrom"], "start": centre - half, "end": centre + half})


@pytest.fixture(scope="module")
def built(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    names = ["full", "half", "wrong", "unknown"]
    mdata = world.object([*names, "absent"])
    tracks = {
        "full": world.tracks("full", sign=-1),
        "half": world.tracks("half", share=0.5),
        "wrong": world.tracks("wrong")[::-1],
        "unknown": world.tracks("unknown", unstranded=True),
    }
    er.pp.add_coverage(
        mdata, tracks, folder=folder / "c.zarr", read_length=READ, strandedness={"unknown": "unstranded"}
    )
    er.pp.erna_mask(mdata, world.gtf, genome=world.genome)
    silent = pd.DataFrame({"chrom": "chr1", "start": [105_000], "end": [105_600]})
    er.pp.candidate_ernas(mdata, "bed", source=pd.concat([loci_of(world), silent]))
    er.tl.quantify_ernas(mdata)
    return mdata


class TestCounts:
    def test_reads_are_those_that_were_drawn(self, built, world):
        var, found = built["ernas"].var, built["ernas"].layers["reads"]
        truth = []
        for one in var.itertuples():
            reads = world.reads[one.Chromosome]
            truth.append(((reads[:, 0] >= one.Start) & (reads[:, 0] + READ <= one.End)).sum())
        truth = np.array(truth)
        np.testing.assert_allclose(found[0], truth, atol=2)
        assert np.polyfit(truth, found[0], 1)[0] == pytest.approx(1, abs=0.05)
        assert np.polyfit(truth, found[1], 1)[0] == pytest.approx(0.5, abs=0.05)
        np.testing.assert_allclose(found[0], found[2], rtol=1e-6)

    def test_flanks_are_those_of_wider_loci(self, built, world):
        narrow = loci_of(world).assign(start=world.loci["center"] - 80, end=world.loci["center"] + 80)
        wide = narrow.assign(start=narrow["start"] - 500, end=narrow["end"] + 500)
        found = {}
        for name, loci, flank in (("flanks", narrow, 500), ("wider", wide, 0), ("narrow", narrow, 0)):
            mdata = er.pp.subset(built, samples=["full"])
            er.pp.candidate_ernas(mdata, "bed", source=loci)
            er.tl.quantify_ernas(mdata, flank=flank)
            found[name] = mdata["ernas"]
        for layer in ("reads", "rpkm", "plus", "directionality"):
            np.testing.assert_array_equal(found["flanks"].layers[layer], found["wider"].layers[layer])
        assert (found["flanks"].var["width"] == 1_160).all()
        assert found["flanks"].layers["reads"].sum() > 1.5 * found["narrow"].layers["reads"].sum()
        with pytest.raises(ValueError, match="flank=-1: expected 0 bp or more"):
            er.tl.quantify_ernas(mdata, flank=-1)

    def test_scales(self, built):
        ernas = built["ernas"]
        layers, width = ernas.layers, (ernas.var["End"] - ernas.var["Start"]).to_numpy()
        np.testing.assert_array_equal(ernas.X, layers["reads"])
        library = built.obs["library_size"].to_numpy()[:, None]
        np.testing.assert_allclose(layers["rpm"], layers["reads"] / library * 1e6, rtol=1e-5)
        np.testing.assert_allclose(layers["rpkm"], layers["rpm"] / width * 1e3, rtol=1e-5)
        np.testing.assert_allclose((layers["plus"] + layers["minus"])[:3], layers["reads"][:3], rtol=1e-5, atol=1e-4)

    def test_what_was_not_measured_is_nan(self, built):
        layers = built["ernas"].layers
        for layer in ("reads", "rpm", "plus", "directionality", "detected"):
            assert np.isnan(layers[layer][4]).all()
        for layer in ("plus", "minus", "directionality", "balance"):
            assert np.isnan(layers[layer][3]).all()
        assert not np.isnan(layers["rpm"][3]).any()
        validate(built)

    def test_direction_of_divergent_and_exchanged(self, built):
        layers = built["ernas"].layers
        assert np.nanmedian(np.abs(layers["directionality"][0])) < 0.1
        assert np.nanmedian(layers["balance"][0]) > 0.97
        assert np.nanmedian(layers["balance"][2]) < 0.3

    def test_detected(self, built):
        var, detected = built["ernas"].var, built["ernas"].layers["detected"]
        planted = (var["End"] - var["Start"] > 600).to_numpy()
        assert (detected[:4, planted] == 1).all()
        assert (detected[:4, ~planted] == 0).all()
        assert var["n_detected"].tolist() == [4 if one else 0 for one in planted]
        assert var.loc[planted, "consistency_q"].max() < 1e-4
        assert var.loc[~planted, "consistency_q"].min() == 1

    def test_some_biosamples_only(self, built):
        mdata = built.copy()
        before = built["ernas"].layers["rpm"].copy()
        mdata["ernas"].layers["rpm"][1] = 7
        er.tl.quantify_ernas(mdata, sample="half")
        np.testing.assert_array_equal(mdata["ernas"].layers["rpm"], before)
        np.testing.assert_array_equal(mdata["ernas"].layers["detected"], built["ernas"].layers["detected"])

    def test_blocks_do_not_matter(self, built, monkeypatch):
        from eregtools import locus_signal

        monkeypatch.setattr(locus_signal, "_BLOCK", 500)
        mdata = er.tl.quantify_ernas(built, copy=True)
        for layer in ("reads", "directionality", "detected"):
            np.testing.assert_allclose(mdata["ernas"].layers[layer], built["ernas"].layers[layer], atol=1e-4)


class TestGenes:
    def test_nearest_and_its_side(self, built):
        var, genes = built["ernas"].var, built["genes"].var
        for one in var.itertuples():
            same = genes[genes["Chromosome"] == one.Chromosome]
            away = (one.center - same["tss"]) * np.where(same["Strand"] == "-", -1, 1)
            nearest = away.abs().min()
            assert abs(one.tss_distance) == nearest
            assert away[one.nearest_gene] == one.tss_distance

    def test_correlation_over_biosamples(self, world, tmp_path):
        names = list("abcde")
        shares = [0.9, 0.2, 0.6, 0.4, 1.0]
        mdata = world.object(names)
        rng = np.random.default_rng(0)
        reads = {n: world.tracks(n, share=s, seed=k) for k, (n, s) in enumerate(zip(names, shares, strict=True))}
        er.pp.add_coverage(mdata, reads, folder=tmp_path / "c.zarr", library_size=1e4, read_length=READ)
        expression = np.tile(np.array(shares)[:, None], (1, mdata["genes"].n_vars)).astype(np.float32)
        expression[:, ::2] *= -1
        mdata["genes"].layers["RNA"] = expression
        er.pp.candidate_ernas(mdata, "bed", source=loci_of(world))
        er.tl.quantify_ernas(mdata, expression="RNA")
        var = mdata["ernas"].var
        sign = np.array([-1 if mdata["genes"].var_names.get_loc(g) % 2 == 0 else 1 for g in var["nearest_gene"]])
        assert np.mean(var["gene_correlation"] * sign > 0.85) > 0.95
        mdata["genes"].layers["noise"] = rng.normal(size=expression.shape).astype(np.float32)
        er.tl.quantify_ernas(mdata, expression="noise")
        assert abs(mdata["ernas"].var["gene_correlation"].mean()) < 0.4
        with pytest.raises(KeyError, match="genes have no layer 'CAGE'"):
            er.tl.quantify_ernas(mdata, expression="CAGE")

    def test_spearman_is_that_of_scipy(self):
        from scipy.stats import spearmanr

        rng = np.random.default_rng(1)
        left, right = rng.integers(0, 4, (9, 6)).astype(float), rng.normal(size=(9, 6))
        left[2, 1] = right[5, 2] = np.nan
        left[:, 3] = 1
        for k, value in enumerate(spearman(left, right)):
            if k == 3:
                assert np.isnan(value)
            else:
                assert value == pytest.approx(spearmanr(left[:, k], right[:, k], nan_policy="omit").statistic)
        assert np.isnan(spearman(left[:2], right[:2])).all()


class TestDirection:
    @pytest.mark.parametrize(
        ("left", "right", "d", "b"),
        [
            ((0, 10), (10, 0), 0, 1),  # divergent
            ((10, 0), (0, 10), np.nan, 0),  # convergent
            ((0, 0), (10, 0), 1, np.sqrt(0.5)),  # to the right
            ((0, 10), (0, 0), -1, np.sqrt(0.5)),
            ((0, 5), (15, 0), 0.5, np.sqrt(1 / 8) + np.sqrt(3 / 8)),
            ((0, 1), (1, 0), np.nan, np.nan),  # too few
        ],
    )
    def test_unit_cases(self, left, right, d, b):
        found = direction(np.array(left, dtype=float)[:, None], np.array(right, dtype=float)[:, None], 3)
        np.testing.assert_allclose([found[0][0], found[1][0]], [d, b])


class TestScanpy:
    def test_groups_and_components(self, world, tmp_path):
        import scanpy as sc

        names = [f"s{k}" for k in range(6)]
        mdata = world.object(names)
        first = world.loci[world.loci["chrom"] == "chr1"]
        tracks = {}
        for k, name in enumerate(names):  # the second group has twice the reads in loci of chr2
            share = {"chr1": 0.5, "chr2": 0.3 if k < 3 else 0.9}
            rng = np.random.default_rng(k)
            depth = {}
            for chrom, reads in world.reads.items():
                kept = reads[rng.random(len(reads)) < share[chrom]]
                depth[chrom] = [depth_of(kept[kept[:, 1] == s, 0], SIZES[chrom]) for s in (0, 1)]
            paths = [tmp_path / f"{name}.{s}.bw" for s in ("p", "m")]
            for s, path in enumerate(paths):
                write_track(path, {chrom: values[s] for chrom, values in depth.items()}, SIZES)
            tracks[name] = paths
        groups = {name: "low" if k < 3 else "high" for k, name in enumerate(names)}
        er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", library_size=1e4, groups=groups)
        er.pp.candidate_ernas(mdata, "bed", source=loci_of(world))
        er.tl.quantify_ernas(mdata)
        ernas = mdata["ernas"].copy()
        assert ernas.obs["group"].tolist() == [groups[name] for name in names]
        sc.pp.log1p(ernas)
        sc.pp.pca(ernas, n_comps=2)
        assert np.sign(ernas.obsm["X_pca"][:3, 0]).sum() in (-3, 3)
        sc.tl.rank_genes_groups(ernas, "group", groups=["high"], reference="low", method="t-test")
        top = ernas.uns["rank_genes_groups"]["names"]["high"][: len(world.loci) - len(first)]
        assert all(name.startswith("eRNA:chr2") for name in top)


class TestRealData:
    def test_unstranded_brainspan(self, shared, world, tmp_path):
        folder = shared / "data/rnaseq_brainspan_chr21"
        tracks = {"A1C": folder / "A1C_HSB154.bw", "AMY": folder / "AMY_HSB97.bw"}
        mdata = world.object(list(tracks))
        mdata.uns["eregtools"]["chrom_sizes"] = pd.DataFrame({"length": [48_129_895]}, index=["chr21"])
        er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", library_size=1e6)
        starts = np.arange(15_000_000, 46_000_000, 500_000)
        er.pp.candidate_ernas(
            mdata, "bed", source=pd.DataFrame({"chrom": "chr21", "start": starts, "end": starts + 20_000})
        )
        er.tl.quantify_ernas(mdata, n_background=500)
        ernas = mdata["ernas"]
        for layer in ("plus", "minus", "directionality", "balance"):
            assert np.isnan(ernas.layers[layer]).all()
        assert np.isfinite(ernas.layers["rpm"]).all()
        for row, (name, path) in enumerate(tracks.items()):
            bases = [
                np.nan_to_num(bigwig.values(path, "chr21", int(one.Start), int(one.End))).sum()
                for one in ernas.var.itertuples()
            ]
            assert np.count_nonzero(bases) > 5
            np.testing.assert_allclose(
                ernas.layers["rpm"][row], np.array(bases) / recorded_coverage(mdata).read_length(name), rtol=1e-3
            )


class TestBadInput:
    def test_says_what_is_missing(self, built, world):
        mdata = built.copy()
        with pytest.raises(KeyError, match="no coverage of 'absent'"):
            er.tl.quantify_ernas(mdata, sample="absent")
        with pytest.raises(KeyError, match="no biosample Z"):
            er.tl.quantify_ernas(mdata, sample="Z")
        with pytest.raises(ValueError, match="arm=0"):
            er.tl.quantify_ernas(mdata, arm=0)
        with pytest.raises(ValueError, match="detected_p=2"):
            er.tl.quantify_ernas(mdata, detected_p=2)
        with pytest.raises(KeyError, match="no modality 'ernas'"):
            er.tl.quantify_ernas(world.object())
