"""Masks and candidate loci: found where reads depart, nowhere that is masked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.io.gtf import read_assembly
from eregtools.ranges import merge_touching, overlaps, subtract
from erna_world import GAP, READ, SIZES, ErnaWorld, make_erna_world


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> ErnaWorld:
    return make_erna_world(tmp_path_factory.mktemp("erna"))


@pytest.fixture(scope="module")
def built(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    mdata = world.object(["A", "B"])
    tracks = {"A": world.tracks("A"), "B": world.tracks("B", share=0.6, seed=2)}
    er.pp.add_coverage(mdata, tracks, folder=folder / "c.zarr", read_length=READ)
    er.pp.erna_mask(mdata, world.gtf, genome=world.genome)
    return mdata


@pytest.fixture
def mdata(built):
    return built.copy()


class TestMask:
    def test_reasons(self, world):
        mask = er.pp.erna_mask(world.object(), world.gtf, genome=world.genome)
        first = mask[(mask["Chromosome"] == "chr1") & (mask["Start"] < 40_000)]
        assert first[["Start", "End", "Name"]].values.tolist() == [
            [19_500, 20_501, "tss"],
            [19_800, 20_600, "exon"],
            [24_100, 24_900, "exon"],
            [28_400, 29_200, "exon"],
        ]
        gaps = mask[mask["Name"] == "gap"]
        assert gaps[["Chromosome", "Start", "End"]].values.tolist() == [list(GAP)]
        assert (mask["Name"] == "rrna").sum() == 2 * 3  # three exons of one gene a chromosome

    def test_lncrna_is_spared_unless_asked_for(self, world):
        spared = er.pp.erna_mask(world.object(), world.gtf, gaps=False)
        masked = er.pp.erna_mask(world.object(), world.gtf, gaps=False, keep_lncrna=False)
        at = pd.DataFrame({"Chromosome": ["chr1"], "Start": [50_100], "End": [50_101]})
        assert not overlaps(at, spared)[0]
        assert overlaps(at, masked)[0]

    def test_annotation_alone(self, world):
        alone = er.pp.erna_mask(world.gtf, genome=world.genome)
        mdata = world.object()
        stored = er.pp.erna_mask(mdata, world.gtf, genome=world.genome)
        pd.testing.assert_frame_equal(alone, stored)
        validate(mdata)

    def test_blacklist_and_bad_input(self, world, tmp_path):
        bed = tmp_path / "b.bed"
        bed.write_text("chr1\t5\t500\n")
        mask = er.pp.erna_mask(world.object(), world.gtf, blacklist=bed, gaps=False)
        assert mask[mask["Name"] == "blacklist"][["Start", "End"]].values.tolist() == [[5, 500]]
        with pytest.raises(ValueError, match="gtf is missing"):
            er.pp.erna_mask(world.object())
        other = tmp_path / "o.gtf"
        other.write_text('chr1\tx\texon\t1\t700000\t.\t+\t.\tgene_id "a"; transcript_id "a";\n')
        with pytest.raises(ValueError, match="of another assembly"):
            er.pp.erna_mask(world.object(), other)
        other.write_text('chr1\tx\tgene\t1\t700\t.\t+\t.\tgene_id "a";\n')
        with pytest.raises(ValueError, match="without transcript or exon rows"):
            er.pp.erna_mask(world.object(), other)

    def test_share_of_a_real_chromosome(self, shared):
        sizes = pd.DataFrame({"length": [51_304_566]}, index=["chr22"])
        mdata = er.datasets.three_genes()
        mdata.uns["eregtools"]["chrom_sizes"] = sizes
        gtf = shared / "data/nascent_pints_chr22/gencode.chr22.hg19.gtf.gz"
        mask = er.pp.erna_mask(mdata, gtf, gaps=False, rrna=False, keep_lncrna=False)
        union, _ = merge_touching(mask)
        assert (union["End"] - union["Start"]).sum() / 51_304_566 == pytest.approx(0.111, abs=5e-4)


class TestSubtract:
    def test_against_bases(self):
        rng = np.random.default_rng(0)

        def some(n):
            start = rng.integers(0, 300, n)
            chrom = rng.choice(["a", "b"], n)
            return pd.DataFrame({"Chromosome": chrom, "Start": start, "End": start + rng.integers(1, 60, n)})

        for _ in range(20):
            left, right = some(30), some(int(rng.integers(0, 12)))
            parts, row = subtract(left, right)
            for number, one in enumerate(left.itertuples()):
                expected, found = np.zeros(400, dtype=int), np.zeros(400, dtype=int)
                expected[one.Start : one.End] = 1
                for other in right[right["Chromosome"] == one.Chromosome].itertuples():
                    expected[other.Start : other.End] = 0
                for part in parts[row == number].itertuples():
                    found[part.Start : part.End] += 1
                np.testing.assert_array_equal(found, expected)


class TestSignal:
    def test_planted_loci_are_found_with_their_centres(self, world, mdata):
        er.pp.candidate_ernas(mdata, "signal", sample="A")
        var = mdata["ernas"].var
        errors = []
        for locus in world.loci.itertuples():
            errors.append(np.abs(var.loc[var["Chromosome"] == locus.chrom, "center"] - locus.center).min())
        assert np.mean(np.array(errors) <= 60) >= 0.9  # half of the gap between the strands is 50
        assert np.median(errors) <= 50
        assert mdata["ernas"].var_names[0].startswith("eRNA:chr1:")
        validate(mdata)

    def test_nothing_masked_and_rules_hold(self, mdata):
        er.pp.candidate_ernas(mdata)
        var = mdata["ernas"].var
        mask = mdata.uns["eregtools"]["erna_mask"]
        assert not overlaps(var.astype({"Chromosome": object}), mask).any()
        assert ((var["End"] - var["Start"]) >= 100).all()
        assert ((var["center"] >= var["Start"]) & (var["center"] <= var["End"])).all()
        candidate = mdata["ernas"].layers["candidate"]
        assert candidate.max(axis=0).min() == 1
        assert (candidate.sum(axis=1) > 0).all()

    def test_merging_can_be_switched(self, mdata):
        counts = []
        for gap in (0, 100, 5_000):
            er.pp.candidate_ernas(mdata, merge_gap=gap, min_width=8, sample="A", noise_p=0.5)
            counts.append(mdata["ernas"].n_vars)
        assert counts[0] > counts[1] > counts[2]

    def test_exchanged_strands_lose_the_centre(self, world, tmp_path):
        mdata = world.object()
        tracks = {"A": world.tracks("x")[::-1]}
        er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", read_length=READ)
        er.pp.erna_mask(mdata, world.gtf, genome=world.genome)

        def errors():
            er.pp.candidate_ernas(mdata)
            var = mdata["ernas"].var[mdata["ernas"].var["Chromosome"] == "chr1"]
            planted = world.loci.loc[world.loci["chrom"] == "chr1", "center"].to_numpy()
            return np.array([np.abs(var["center"] - centre).min() for centre in planted])

        wrong = np.median(errors())
        er.pp.strand_audit(mdata, world.gtf)
        assert np.median(errors()) <= 40 < wrong

    def test_unstranded_coverage_has_candidates_too(self, world, tmp_path):
        mdata = world.object()
        er.pp.add_coverage(
            mdata,
            {"A": world.tracks("u", unstranded=True)},
            folder=tmp_path / "c.zarr",
            read_length=READ,
            strandedness="unstranded",
        )
        er.pp.erna_mask(mdata, world.gtf, genome=world.genome)
        er.pp.candidate_ernas(mdata)
        var = mdata["ernas"].var[mdata["ernas"].var["Chromosome"] == "chr1"]
        planted = world.loci.loc[world.loci["chrom"] == "chr1", "center"].to_numpy()
        found = [np.abs(var["center"] - centre).min() for centre in planted]
        assert np.median(found) < 100


class TestOtherMethods:
    def test_tiles_hold_informative_sequence(self, world, mdata):
        er.pp.candidate_ernas(mdata, "tile", sample="A")
        var = mdata["ernas"].var
        assert (var["Start"] % 2_048 == 0).all()
        width = (var["End"] - var["Start"]).to_numpy()
        assert ((width == 2_048) | (var["End"].to_numpy() == var["Chromosome"].astype(object).map(SIZES))).all()
        for locus in world.loci.itertuples():
            tile = f"eRNA:{locus.chrom}:{locus.center // 2_048 * 2_048}-"
            assert any(name.startswith(tile) for name in var.index)
        assert var.shape[0] < 0.8 * sum(SIZES.values()) / 2_048

    def test_lists_keep_their_intervals(self, mdata):
        loci = pd.DataFrame(
            {"chrom": ["2", "1", "1"], "start": [95_000, 33_500, 33_500], "end": [95_301, 34_000, 34_000]}
        )
        er.pp.candidate_ernas(mdata, "bed", source=loci)
        var = mdata["ernas"].var
        assert list(var.index) == ["eRNA:chr1:33500-34000", "eRNA:chr2:95000-95301"]
        assert var["center"].tolist() == [33_750, 95_150]
        assert (mdata["ernas"].layers["candidate"] == 1).all()

    def test_lists_by_biosample(self, mdata):
        a = pd.DataFrame({"chrom": "chr1", "start": [33_500, 70_000], "end": [34_000, 70_300]})
        er.pp.candidate_ernas(mdata, "bed", source={"A": a, "B": a[:1]})
        np.testing.assert_array_equal(mdata["ernas"].layers["candidate"], [[1, 1], [1, 0]])

    def test_summits_of_peaks(self, mdata, tmp_path):
        path = tmp_path / "p.narrowPeak"
        path.write_text("chr1\t33000\t34000\tp\t1\t.\t1\t1\t1\t100\nchr9\t1\t100\tq\t1\t.\t1\t1\t1\t5\n")
        er.pp.candidate_ernas(mdata, "peaks", source=path)
        assert mdata["ernas"].var["center"].tolist() == [33_100]

    def test_bad_loci(self, world, mdata, caplog):
        past = pd.DataFrame({"chrom": ["chr1"], "start": [599_900], "end": [600_100]})
        with pytest.raises(ValueError, match="reach over an end"):
            er.pp.candidate_ernas(mdata, "bed", source=past)
        unknown = pd.DataFrame({"chrom": "chr2", "start": [205_000, 80_000], "end": [205_400, 80_400]})
        er.pp.candidate_ernas(mdata, "bed", source=unknown, genome=world.genome, mask=past[:0])
        assert list(mdata["ernas"].var_names) == ["eRNA:chr2:80000-80400"]
        assert "1 of 2 candidate loci lie in runs of N" in caplog.text
        with pytest.raises(ValueError, match="finds no candidate"):
            er.pp.candidate_ernas(mdata, "bed", source=unknown[:1], genome=world.genome)
        with pytest.raises(ValueError, match="needs source="):
            er.pp.candidate_ernas(mdata, "bed")
        with pytest.raises(ValueError, match="source is not for method='tile'"):
            er.pp.candidate_ernas(mdata, "tile", source=unknown)
        with pytest.raises(ValueError, match="method='cage'"):
            er.pp.candidate_ernas(mdata, "cage")
        with pytest.raises(KeyError, match=r"run er\.pp\.add_coverage first"):
            er.pp.candidate_ernas(world.object(), "signal")


class TestAssembly:
    def write(self, path, transcripts):
        lines = []
        for name, strand, exons in transcripts:
            for start, end in exons:
                place = f"chr1\tStringTie\texon\t{start + 1}\t{end}\t1000\t{strand}\t."
                lines.append(f'{place}\tgene_id "G"; transcript_id "{name}";\n')
        path.write_text("".join(lines))
        return path

    def test_ends_of_new_transcripts(self, world, mdata, tmp_path):
        path = self.write(
            tmp_path / "s.gtf",
            [
                ("known", "+", [(20_100, 20_350)]),
                ("antisense", "-", [(24_200, 24_650)]),  # over an exon of the plus strand: new
                ("left", "-", [(33_000, 33_400)]),
                ("right", "+", [(33_900, 34_200), (34_500, 34_700)]),
                ("lonely", "+", [(70_000, 70_250)]),
                ("strandless", ".", [(100_000, 100_801)]),
                ("far", "-", [(130_000, 130_300)]),
                ("away", "+", [(131_500, 131_800)]),
            ],
        )
        nothing = pd.DataFrame(columns=["Chromosome", "Start", "End"])
        er.pp.candidate_ernas(mdata, "assembly", source=path, gtf=world.gtf, mask=nothing)
        found = dict(zip(mdata["ernas"].var["center"], mdata["ernas"].var["source"], strict=True))
        assert found == {
            24_649: "assembly:5prime",
            (33_399 + 33_900) // 2: "assembly:divergent",
            70_000: "assembly:5prime",
            100_000: "assembly:unstranded",
            100_400: "assembly:unstranded",
            100_800: "assembly:unstranded",
            130_299: "assembly:5prime",
            131_500: "assembly:5prime",
        }  # fmt: skip
        assert ((mdata["ernas"].var["End"] - mdata["ernas"].var["Start"]) == 400).all()

    def test_advice(self, world, mdata, tmp_path, caplog):
        path = self.write(tmp_path / "s.gtf", [("a", ".", [(33_000, 33_400)])])
        er.pp.candidate_ernas(mdata, "assembly", source=path, gtf=world.gtf)
        assert "-m 100" in caplog.text
        assert "--rf or --fr" in caplog.text

    def test_reader(self, tmp_path):
        path = self.write(tmp_path / "s.gtf", [("b", "+", [(500, 600), (100, 200)]), ("a", "-", [(50, 80)])])
        transcripts, exons = read_assembly(path)
        found = transcripts[["Start", "End", "length", "n_exons"]].values.tolist()
        assert found == [[100, 600, 200, 2], [50, 80, 30, 1]]
        assert exons["transcript"].tolist() == [0, 0, 1]
        mixed = self.write(tmp_path / "m.gtf", [("b", "+", [(500, 600)]), ("b", "-", [(100, 200)])])
        with pytest.raises(ValueError, match="on two chromosomes or strands"):
            read_assembly(mixed)
