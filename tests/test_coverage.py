"""Coverage beside the object: what is read, what is refused, and that it is whole or absent."""

from __future__ import annotations

import os
import pickle
import resource
import shutil

import numpy as np
import pandas as pd
import pyBigWig
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.coverage import Coverage, CoverageWriter, recorded_coverage
from eregtools.io import bigwig
from eregtools.io.binned import bam_bins, bigwig_bins
from eregtools.locus_signal import informative_bins, locus_reads
from erna_world import READ, SIZES, ErnaWorld, make_erna_world, write_track


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> ErnaWorld:
    return make_erna_world(tmp_path_factory.mktemp("erna"))


@pytest.fixture(scope="module")
def tracks(world):
    return world.tracks("all", sign=-1.0)


def added(world, tracks, folder, **options):
    mdata = world.object()
    er.pp.add_coverage(mdata, {"A": tracks}, folder=folder, **{"read_length": READ, **options})
    return mdata


class TestReading:
    def test_bins_are_means_of_bases(self, world, tracks):
        for path in tracks:
            found = bigwig_bins(path, "chr1", 8)
            dense = np.nan_to_num(bigwig.values(path, "chr1", 0, SIZES["chr1"])).reshape(-1, 8).mean(axis=1)
            np.testing.assert_allclose(found.mean, dense, rtol=1e-6)
            assert found.whole

    def test_runs_across_the_spans_that_are_read_together(self, tmp_path, monkeypatch):
        from eregtools.io import binned

        rng = np.random.default_rng(0)
        depth = rng.poisson(0.4, 1_003).astype(float)
        path = write_track(tmp_path / "x.bw", {"chr1": depth}, {"chr1": 1_003})
        whole = bigwig_bins(path, "chr1", 8).mean
        np.testing.assert_allclose(whole, np.pad(depth, (0, 5)).reshape(-1, 8).mean(axis=1))
        monkeypatch.setattr(binned, "_SPAN", 40)
        np.testing.assert_allclose(bigwig_bins(path, "chr1", 8).mean, whole, atol=1e-7)

    def test_reads_are_recovered(self, world, tracks, tmp_path):
        mdata = added(world, tracks, tmp_path / "c.zarr")
        assert mdata.obs["library_size"].item() == pytest.approx(world.n_reads())
        coverage = recorded_coverage(mdata)
        starts = np.array([0, 30_000, 33_001])
        found = locus_reads(coverage, "A", np.array(["chr1"] * 3, dtype=object), starts, starts + 5_000)
        for row, start in enumerate(starts):
            reads = world.reads["chr1"]
            bases = np.clip(reads[:, 0] + READ, start, start + 5_000) - np.clip(reads[:, 0], start, start + 5_000)
            expected = [bases[reads[:, 1] == strand].sum() / READ for strand in (0, 1)]
            np.testing.assert_allclose(found[:, row], expected, atol=8 * 20 / READ)  # a bin at an edge

    def test_sign_of_minus_does_not_matter(self, world, tracks, tmp_path):
        positive = added(world, world.tracks("positive"), tmp_path / "a.zarr")
        negative = added(world, tracks, tmp_path / "b.zarr")
        for chrom, size in SIZES.items():
            both = [recorded_coverage(m).values("A", chrom, 0, size // 8 * 8) for m in (positive, negative)]
            np.testing.assert_array_equal(*both)

    def test_5_prime_ends_count_whatever_their_bin(self, tmp_path, world):
        ends = np.zeros(SIZES["chr1"])
        ends[[100, 101, 5_003]] = [2, 1, 4]
        plus = write_track(tmp_path / "p.bw", {"chr1": ends}, SIZES)
        minus = write_track(tmp_path / "m.bw", {"chr1": np.roll(ends, 40)}, SIZES)
        mdata = added(world, (plus, minus), tmp_path / "c.zarr", signal="ends", read_length=None)
        coverage = recorded_coverage(mdata)
        assert coverage.library_size("A") == 14
        found = locus_reads(coverage, "A", np.array(["chr1"], dtype=object), np.array([96]), np.array([6_000]))
        np.testing.assert_allclose(found[:, 0], [7, 7])
        np.testing.assert_allclose(coverage.values("A", "chr1", 96, 112), [[3, 0], [0, 0]])

    def test_float16_keeps_three_digits(self, world, tracks, tmp_path):
        full, half = (added(world, tracks, tmp_path / f"{d}.zarr", dtype=d) for d in ("float32", "float16"))
        a, b = (recorded_coverage(m).values("A", "chr1", 0, 600_000) for m in (full, half))
        np.testing.assert_allclose(a, b, rtol=1e-3)

    def test_bam_by_strand(self, world, tmp_path):
        import pysam

        unsorted, path = tmp_path / "u.bam", tmp_path / "r.bam"
        with pysam.AlignmentFile(str(unsorted), "wb", reference_names=["1"], reference_lengths=[600_000]) as file:
            for number, (start, flag, cigar) in enumerate(
                [(800, 0, "40M"), (800, 16, "40M"), (1_000, 0, "20M100N20M"), (2_000, 99, "40M"), (2_100, 147, "40M")]
            ):
                read = pysam.AlignedSegment(file.header)
                read.query_name, read.reference_id, read.reference_start = f"r{number}", 0, start
                read.cigarstring, read.flag, read.mapping_quality = cigar, flag, 60
                file.write(read)
        pysam.sort("-o", str(path), str(unsorted))
        found = bam_bins(path, "chr1", 8)
        assert (found.reads, found.bases) == (5, 200)
        np.testing.assert_allclose(found.mean.sum(axis=1) * 8, [160, 40])  # mates are on one strand
        np.testing.assert_allclose(found.mean[0, 1_024 // 8 : 1_112 // 8], 0)  # an intron
        ends = bam_bins(path, "chr1", 8, ends=True)
        np.testing.assert_allclose(ends.mean.sum(axis=1) * 8, [3, 1])
        assert ends.mean[1, 839 // 8] == 1 / 8
        mdata = world.object()
        er.pp.add_coverage(mdata, {"A": path}, folder=tmp_path / "c.zarr")
        assert mdata.obs[["library_size", "read_length"]].values.tolist() == [[5, 40]]
        assert recorded_coverage(mdata).has("A", "chr1")
        assert not recorded_coverage(mdata).has("A", "chr2")

    def test_several_processes_give_the_same(self, world, tracks, tmp_path):
        mdata = world.object(["A", "B"])
        both = {"A": tracks, "B": world.tracks("half", share=0.5)}
        fingerprints = []
        for jobs in (1, 2):
            with er.settings.override(n_jobs=jobs):
                er.pp.add_coverage(mdata, both, folder=tmp_path / f"{jobs}.zarr", read_length=READ)
            fingerprints.append(mdata.uns["eregtools"]["coverage"]["fingerprint"])
        assert fingerprints[0] == fingerprints[1]

    def test_library_size_that_was_given_stays_and_one_that_was_derived_does_not(self, world, tracks, tmp_path):
        mdata = world.object()
        mdata.obs["library_size"] = 5_000.0
        er.pp.add_coverage(mdata, {"A": tracks}, folder=tmp_path / "a.zarr", read_length=READ)
        assert mdata.obs["library_size"].item() == 5_000
        mdata = added(world, tracks, tmp_path / "b.zarr")
        er.pp.add_coverage(mdata, {"A": world.tracks("few", share=0.3)}, folder=tmp_path / "d.zarr", read_length=READ)
        assert mdata.obs["library_size"].item() < 0.4 * world.n_reads()

    def test_excluded_regions_do_not_count_in_the_library(self, world, tracks, tmp_path):
        whole = pd.DataFrame({"Chromosome": ["chr1"], "Start": [0], "End": [SIZES["chr1"]]})
        mdata = added(world, tracks, tmp_path / "c.zarr", exclude=whole)
        assert mdata.obs["library_size"].item() == pytest.approx(len(world.reads["chr2"]))


class TestStore:
    def test_windows(self, world, tracks, tmp_path):
        coverage = recorded_coverage(added(world, tracks, tmp_path / "c.zarr"))
        whole = coverage.per_million("A", "chr2")
        assert whole.shape == (2, 37_500)
        assert whole.dtype == np.float32
        over = coverage.per_million("A", "chr2", 299_920, 300_160)
        np.testing.assert_array_equal(over[:, :10], whole[:, -10:])
        assert not over[:, 10:].any()
        assert not coverage.values("A", "chr2", -800, -80).any()
        with pytest.raises(ValueError, match="whole bins"):
            coverage.values("A", "chr2", 3, 80)
        with pytest.raises(KeyError, match="chr9"):
            coverage.values("A", "chr9", 0, 80)
        with pytest.raises(KeyError, match="no coverage of 'B'"):
            coverage.values("B", "chr2", 0, 80)

    def test_other_processes(self, world, tracks, tmp_path):
        coverage = recorded_coverage(added(world, tracks, tmp_path / "c.zarr"))
        here = coverage.values("A", "chr1", 24_000, 48_000)
        copied = pickle.loads(pickle.dumps(coverage))
        np.testing.assert_array_equal(copied.values("A", "chr1", 24_000, 48_000), here)
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(coverage.values("A", "chr1", 24_000, 48_000), here) else 1)
        assert os.waitpid(child, 0)[1] == 0

    def test_object_survives_writing_and_knows_its_coverage(self, world, tracks, tmp_path):
        mdata = added(world, tracks, tmp_path / "c.zarr")
        validate(mdata)
        given = added(world, tracks, tmp_path / "given.zarr", library_size=1e6)
        er.io.write(given, tmp_path / "given.h5mu")
        assert er.io.read(tmp_path / "given.h5mu").obs["library_size"].tolist() == [1e6]
        for name in ("study.h5mu", "study.zarr"):
            er.io.write(mdata, tmp_path / name)
            again = er.io.read(tmp_path / name)
            assert recorded_coverage(again).fingerprint == recorded_coverage(mdata).fingerprint
            assert again.obs["strandedness"].tolist() == ["forward"]
            er.pp.add_coverage(again, {"A": tracks}, folder=tmp_path / f"{name}.cov", read_length=READ)

    def test_moved_and_changed_stores(self, world, tracks, tmp_path):
        mdata = added(world, tracks, tmp_path / "c.zarr")
        (tmp_path / "c.zarr").rename(tmp_path / "d.zarr")
        with pytest.raises(FileNotFoundError, match="coverage=its folder"):
            recorded_coverage(mdata)
        assert recorded_coverage(mdata, tmp_path / "d.zarr").samples == ["A"]
        other = added(world, world.tracks("few", share=0.3), tmp_path / "e.zarr")
        with pytest.raises(ValueError, match="is not the coverage that the object records"):
            recorded_coverage(mdata, recorded_coverage(other))
        with pytest.raises(KeyError, match=r"run er\.pp\.add_coverage first"):
            recorded_coverage(world.object())

    def test_something_else_is_neither_read_nor_replaced(self, world, tracks, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("chapter 1")
        with pytest.raises(ValueError, match="no store of coverage"):
            Coverage(tmp_path / "mine")
        with pytest.raises(FileExistsError, match="not replaced"):
            added(world, tracks, tmp_path / "mine", overwrite=True)
        added(world, tracks, tmp_path / "c.zarr")
        with pytest.raises(FileExistsError, match="overwrite=True"):
            added(world, tracks, tmp_path / "c.zarr")
        added(world, tracks, tmp_path / "c.zarr", overwrite=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["c.zarr", "mine"]

    def test_full_disk_leaves_nothing_and_keeps_the_old(self, world, tracks, tmp_path):
        mdata = added(world, tracks, tmp_path / "c.zarr")
        before = recorded_coverage(mdata).fingerprint
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limit[1]))
        try:
            with pytest.raises(OSError, match="cannot be written"):
                added(world, tracks, tmp_path / "c.zarr", overwrite=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert [path.name for path in tmp_path.iterdir()] == ["c.zarr"]
        assert Coverage(tmp_path / "c.zarr").fingerprint == before

    def test_values_that_are_no_coverage(self, tmp_path):
        for values, message in (
            (np.full((2, 10), -1.0), "negative or not finite"),
            (np.full((2, 10), np.nan), "negative or not finite"),
            (np.full((3, 10), 1.0), r"expected \(2, 10\)"),
            (np.full((2, 10), 1e6), "too much for float16"),
        ):
            with (
                pytest.raises(ValueError, match=message),
                CoverageWriter(tmp_path / "c.zarr", {"chr1": 80}, dtype="float16") as writer,
            ):
                writer.add("A", {"chr1": values}, library_size=1, read_length=1)
        assert not list(tmp_path.iterdir())


class TestBadTracks:
    def refused(self, world, tmp_path, tracks, message, error=ValueError, **options):
        mdata = world.object()
        with pytest.raises(error, match=message):
            er.pp.add_coverage(mdata, {"A": tracks}, folder=tmp_path / "c.zarr", **{"read_length": READ, **options})
        assert not [path for path in tmp_path.iterdir() if "c.zarr" in path.name]
        assert "library_size" not in mdata.obs

    def test_strands(self, world, tracks, tmp_path):
        self.refused(world, tmp_path, {"plus": tracks[0]}, "only the plus strand")
        self.refused(world, tmp_path, (tracks[0], tracks[0]), "plus and minus are one file")
        twin = shutil.copy(tracks[0], tmp_path / "twin.bw")
        self.refused(world, tmp_path, (tracks[0], twin), "hold the same values")
        self.refused(world, tmp_path, tracks[::-1], "is negative; expected that of the minus strand only")

    def test_signs(self, world, tracks, tmp_path):
        depth = np.zeros(SIZES["chr1"])
        depth[100:200], depth[300:400] = 1, -1
        mixed = write_track(tmp_path / "mixed.bw", {"chr1": depth}, SIZES)
        self.refused(world, tmp_path, (tracks[0], mixed), "values of both signs")
        other = write_track(tmp_path / "other.bw", {"chr1": np.abs(depth), "chr2": depth[:300_000] * 0 - 1}, SIZES)
        self.refused(world, tmp_path, (tracks[0], other), "values of both signs")

    def test_assembly_and_names(self, world, tracks, tmp_path):
        elsewhere = write_track(tmp_path / "x.bw", {"scaffold_1": np.ones(100)}, {"scaffold_1": 100})
        self.refused(world, tmp_path, elsewhere, "none in common")
        shorter = write_track(tmp_path / "y.bw", {"chr1": np.ones(100)}, {"chr1": 599_000})
        self.refused(world, tmp_path, shorter, "different assemblies")
        depth = np.zeros(SIZES["chr1"])
        depth[5_000:6_000] = 2
        other_name = write_track(tmp_path / "z.bw", {"1": depth}, {"1": SIZES["chr1"]})
        assert recorded_coverage(added(world, other_name, tmp_path / "ok")).values("A", "chr1", 5_000, 5_008).sum() == 2

    def test_nothing_in_it(self, world, tmp_path):
        zero = tmp_path / "zero.bw"
        with pyBigWig.open(str(zero), "w") as file:
            file.addHeader(list(SIZES.items()))
            file.addEntries(["chr1"], [0], ends=[10], values=[0.0])
        self.refused(world, tmp_path, zero, "no coverage on any of chr1, chr2")

    def test_library_and_kind(self, world, tracks, tmp_path):
        self.refused(world, tmp_path, tracks, "library size of A is not known", read_length=None)
        self.refused(world, tmp_path, tracks, "expected a number above 0", library_size=-1)
        self.refused(world, tmp_path, tracks, "an end has no length", signal="ends")
        self.refused(world, tmp_path, tmp_path / "no.bw", "is not a file", error=FileNotFoundError)
        self.refused(world, tmp_path, world.gtf, "neither a bigWig")
        self.refused(world, tmp_path, tracks[0], "one track for both strands", strandedness="forward")
        with pytest.raises(KeyError, match="no biosample Z"):
            er.pp.add_coverage(world.object(), {"Z": tracks}, folder=tmp_path / "c", read_length=READ)

    def test_fractions_are_told(self, world, tmp_path, caplog):
        path = write_track(tmp_path / "f.bw", {"chr1": np.full(SIZES["chr1"], 0.25)}, SIZES)
        added(world, path, tmp_path / "told.zarr", library_size=1e6, read_length=None)
        assert "hold fractions" not in caplog.text
        added(world, path, tmp_path / "c.zarr", read_length=READ)
        assert "hold fractions" in caplog.text


class TestAggregate:
    def test_sum_and_means(self, world, tmp_path):
        names = [f"s{k}" for k in range(6)]
        mdata = world.object(names)
        tracks = {n: world.tracks(n, share=0.5, seed=k) for k, n in enumerate(names)}
        groups = {name: "h" if name == "s5" else "g" for name in names}
        er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", read_length=READ, groups=groups)
        store = recorded_coverage(mdata)
        five = np.stack([store.per_million(n, "chr1") for n in names[:5]])
        expected = {
            "sum": sum(store.values(n, "chr1", 0, 600_000) for n in names[:5])
            * 1e6 / sum(store.library_size(n) for n in names[:5]),
            "mean": five.mean(axis=0),
            "trimmed_mean": np.sort(five, axis=0)[1:4].mean(axis=0),
        }  # fmt: skip
        for agg, values in expected.items():
            grouped = er.pp.aggregate_coverage(mdata, folder=tmp_path / f"{agg}.zarr", agg=agg)
            found = recorded_coverage(grouped)
            np.testing.assert_allclose(found.per_million("g", "chr1"), values, rtol=2e-5, atol=1e-4)
            alone = (recorded_coverage(grouped).per_million("h", "chr2"), store.per_million("s5", "chr2"))
            np.testing.assert_allclose(*alone, rtol=1e-5)
            assert found.library_size("g") == pytest.approx(sum(store.library_size(n) for n in names[:5]))
            assert grouped.obs["n_samples"].tolist() == [5, 1]
            validate(grouped)

    def test_an_unstranded_member_takes_the_strand(self, world, tracks, tmp_path, caplog):
        mdata = world.object(["A", "B"])
        mdata.obs["group"] = "g"
        er.pp.add_coverage(mdata, {"A": tracks, "B": tracks[0]}, folder=tmp_path / "c.zarr", read_length=READ)
        grouped = er.pp.aggregate_coverage(mdata, folder=tmp_path / "g.zarr")
        assert not recorded_coverage(grouped).stranded("g")
        assert "B is unstranded" in caplog.text

    def test_layers_are_averaged(self, world, tracks, tmp_path):
        mdata = world.object(["A", "B", "C"])
        mdata.obs["condition"] = ["x", "x", "y"]
        mdata["genes"].layers["RNA"] = np.arange(3 * mdata["genes"].n_vars, dtype=np.float32).reshape(3, -1)
        er.pp.add_coverage(mdata, dict.fromkeys("ABC", tracks), folder=tmp_path / "c.zarr", read_length=READ)
        grouped = er.pp.aggregate_coverage(mdata, by="condition", folder=tmp_path / "g.zarr")
        rna = mdata["genes"].layers["RNA"]
        np.testing.assert_allclose(grouped["genes"].layers["RNA"], [rna[:2].mean(axis=0), rna[2]])
        with pytest.raises(KeyError, match="no column 'tissue'"):
            er.pp.aggregate_coverage(mdata, by="tissue", folder=tmp_path / "h.zarr")


class TestRealData:
    def object(self, genes, chrom, size, samples):
        mdata = ErnaWorld.object(genes, samples)
        mdata.uns["eregtools"]["chrom_sizes"] = pd.DataFrame({"length": [size]}, index=[chrom])
        return mdata

    def test_grocap_with_a_negative_minus_track(self, shared, world, tmp_path):
        folder = shared / "data/nascent_pints_chr22"
        mdata = self.object(world, "chr22", 51_304_566, ["K562"])
        files = tuple(folder / f"K562_GROcap.chr22.hg19.{strand}.bw" for strand in ("plus", "minus"))
        er.pp.add_coverage(mdata, {"K562": files}, folder=tmp_path / "c.zarr", signal="ends")
        assert mdata.obs["library_size"].item() == 362_895 + 353_607
        er.pp.strand_audit(mdata, folder / "gencode.chr22.hg19.gtf.gz")
        assert mdata.obs["strandedness"].tolist() == ["forward"]
        assert mdata.obs["strand_fraction"].item() > 0.8
        informative = informative_bins(recorded_coverage(mdata), "K562", "chr22")
        share = np.mean([informative[i : i + 512].any() for i in range(0, len(informative), 512)])
        assert 0.25 < share < 0.32  # dREG's informative sites in 28.7 % of 4-kb windows

    def test_exchanged_grocap_is_found_and_mended(self, shared, world, tmp_path):
        folder = shared / "data/nascent_pints_chr22"
        mdata = self.object(world, "chr22", 51_304_566, ["right", "wrong"])
        plus, minus = (folder / f"K562_GROcap.chr22.hg19.{strand}.bw" for strand in ("plus", "minus"))
        as_plus = tmp_path / "p.bw"
        with pyBigWig.open(str(minus)) as source, pyBigWig.open(str(as_plus), "w") as target:
            starts, ends, values = zip(*source.intervals("chr22"), strict=True)
            target.addHeader([("chr22", 51_304_566)])
            target.addEntries(["chr22"] * len(starts), list(starts), ends=list(ends), values=[-v for v in values])
        tracks = {"right": (plus, minus), "wrong": (as_plus, plus)}
        er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", signal="ends")
        er.pp.strand_audit(mdata, folder / "gencode.chr22.hg19.gtf.gz")
        assert mdata.obs["swapped"].tolist() == [False, True]
        store = recorded_coverage(mdata)
        window = ("chr22", 20_000_000, 24_000_000)
        np.testing.assert_array_equal(store.values("right", *window), store.values("wrong", *window))

    def test_direct_rna_bam(self, shared, world, tmp_path):
        folder = shared / "data/rnaseq_bambu_chr9"
        mdata = self.object(world, "chr9", 138_394_717, ["A549"])
        er.pp.add_coverage(mdata, {"A549": next(folder.glob("*.bam"))}, folder=tmp_path / "c.zarr")
        assert mdata.obs["library_size"].item() == 129
        er.pp.strand_audit(mdata, next(folder.glob("*.gtf.gz")), min_reads=1, min_genes=3)
        assert mdata.obs["strand_fraction"].item() > 0.95

    def test_unstranded_brainspan(self, shared, world, tmp_path):
        folder = shared / "data/rnaseq_brainspan_chr21"
        mdata = self.object(world, "chr21", 48_129_895, ["A1C", "AMY"])
        tracks = {"A1C": folder / "A1C_HSB154.bw", "AMY": folder / "AMY_HSB97.bw"}
        er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", library_size=1e6)
        coverage = recorded_coverage(mdata)
        for name, path in tracks.items():
            assert not coverage.stranded(name)
            start, end = 30_000_000, 30_008_192
            dense = np.nan_to_num(bigwig.values(path, "chr21", start, end)).reshape(-1, 8).mean(axis=1)
            np.testing.assert_allclose(coverage.values(name, "chr21", start, end).sum(axis=0), dense, rtol=1e-4)
            assert coverage.about(name)["bases"] == pytest.approx(733_652 if name == "A1C" else 729_864, rel=1e-4)
