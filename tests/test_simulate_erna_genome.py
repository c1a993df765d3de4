"""Files of a simulated transcribed genome against the truth they come with."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pyBigWig
import pytest

import eregtools as er
from eregtools.datasets import ErnaGenomeConfig, simulate_erna_genome
from eregtools.datasets import _simulation_files as files
from eregtools.datasets._erna_grammar import grammar_ratios
from eregtools.io.bigwig import region_values
from eregtools.io.gtf import read_assembly
from eregtools.ranges import overlaps

SMALL = ErnaGenomeConfig(n_chromosomes=2, chromosome_length=500_000, genes=14, gaps=1, artefacts=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return simulate_erna_genome(tmp_path_factory.mktemp("genome") / "world", seed=4, config=SMALL)


def assembled(world, folder):
    mdata = er.pp.assemble(
        genes=world.paths["genes"],
        enhancers=world.paths["open"],
        samples=list(world.tracks),
        genome=world.paths["genome"],
    )
    er.pp.add_coverage(mdata, world.tracks, folder=folder / "coverage.zarr", read_length=world.config.read_length)
    return mdata


@pytest.fixture(scope="module")
def mdata(world, tmp_path_factory):
    mdata = assembled(world, tmp_path_factory.mktemp("store"))
    er.pp.strand_audit(mdata, world.paths["genes"])
    return mdata


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_seed_gives_the_same_files(world, tmp_path):
    again = simulate_erna_genome(tmp_path / "again", seed=4, config=SMALL)
    assert digests(again.folder) == digests(world.folder)
    pd.testing.assert_frame_equal(again.loci, world.loci)
    other = simulate_erna_genome(tmp_path / "again", seed=5, config=SMALL, overwrite=True)
    assert digests(other.folder)["genome.fa"] != digests(world.folder)["genome.fa"]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="holds no simulation"):
        simulate_erna_genome(full, config=SMALL)
    assert [path.name for path in full.iterdir()] == ["mine.txt"]

    def no_space(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_truth", no_space)
    with pytest.raises(OSError, match="choose another folder"):
        simulate_erna_genome(tmp_path / "new", config=SMALL)
    assert not (tmp_path / "new").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_sequence_has_grammar_at_the_loci_and_no_bases_in_gaps(world):
    genome = er.Genome(world.paths["genome"])
    gaps = er.io.read_bed(world.paths["gaps"])
    for chrom, start, end in gaps[["Chromosome", "Start", "End"]].itertuples(index=False):
        assert (genome.codes([chrom], [start], end - start) == 4).all()
        assert (genome.codes([chrom, chrom], [start - 50, end], 50) < 4).all()
    law = replace(world.config.sequence_law, length=200, gc_sd=0.0)
    strength = {}
    for stratum, sites in world.loci.groupby("stratum"):
        at = np.where(sites["grammar"] >= 0, sites["grammar"], sites["center"]).astype(int)
        codes = genome.codes(sites["Chromosome"].tolist(), at - 100, 200)
        strength[stratum] = np.median(np.log(grammar_ratios(codes, law, np.array([100]))))
    assert strength.pop("silent") < 0
    assert min(strength.values()) > 5


def test_loci_lie_outside_what_is_masked(world, mdata):
    mask = er.pp.erna_mask(
        mdata, world.paths["genes"], blacklist=world.paths["blacklist"], genome=world.paths["genome"]
    )
    assert set(mask["Name"]) == {"tss", "exon", "blacklist", "gap"}
    promoter = world.loci["stratum"] == "promoter"
    assert not overlaps(world.loci[~promoter], mask).any()
    assert overlaps(world.loci[promoter], mask).all()
    assert len(world.positives) == 2 * 500_000 // world.config.locus_spacing
    assert len(er.io.read_bed(world.paths["ernas"])) == len(world.positives)


def test_tracks_hold_every_read_and_no_other(world):
    for sample, paths in world.tracks.items():
        bases = 0.0
        for path, label in zip(paths, ("plus", "minus"), strict=True):
            with pyBigWig.open(str(path)) as file:
                assert file.chroms() == world.config.chrom_sizes
                values = np.concatenate([file.values(c, 0, n, numpy=True) for c, n in file.chroms().items()])
            values = values[np.isfinite(values)]
            assert (np.sign(values) == (-1 if sample == "s2" and label == "minus" else 1)).all()
            bases += np.abs(values).sum()
        assert bases / world.config.read_length == world.samples.loc[sample, "library_size"]


def test_strands_are_as_the_library_says(world):
    positives = world.positives
    ends = positives["center"].to_numpy()
    for sample, library in world.samples["library"].items():
        on = world.active[sample].to_numpy()[positives.index]
        right, left = (
            np.abs(region_values(path, positives["Chromosome"].tolist(), ends + lo, ends + hi)[on].sum())
            for path, (lo, hi) in zip(world.tracks[sample], ((0, 600), (-600, 0)), strict=True)
        )
        wrong = np.abs(region_values(world.tracks[sample][0], positives["Chromosome"].tolist(), ends - 600, ends))
        share = right / (right + wrong[on].sum())  # of plus coverage around centres, what lies right of them
        low, high = {"stranded": (0.9, 1), "swapped": (0, 0.1), "unstranded": (0.45, 0.55)}[library]
        assert low < share < high
        assert left > 0


def test_biosamples_of_a_cell_type_transcribe_the_same(world, tmp_path):
    config = replace(SMALL, cell_types=("a", "b", "a", "b"))
    typed = simulate_erna_genome(tmp_path / "typed", seed=4, config=config)
    assert typed.samples["cell_type"].tolist() == ["a", "b", "a", "b"]
    pd.testing.assert_frame_equal(typed.loci, world.loci)
    active, reads = typed.active, typed.reads.loc[typed.positives.index]
    assert active["s1"].equals(active["s3"])
    assert active["s2"].equals(active["s4"])
    assert 0.2 < (active["s1"] != active["s2"])[typed.positives.index].mean() < 0.65
    assert not reads["s1"].equals(reads["s3"])
    assert (reads.mask(active.loc[reads.index], 0) == 0).all(axis=None)


def test_libraries_differ_in_labels_and_not_in_coverage(tmp_path):
    depth = {}
    for kind in ("stranded", "swapped", "unstranded"):
        config = replace(SMALL, n_chromosomes=1, libraries=(kind,), negative=())
        world = simulate_erna_genome(tmp_path / kind, seed=4, config=config)
        starts = np.arange(0, 500_000, 10)
        depth[kind] = [region_values(path, "chr1", starts, starts + 10) for path in world.tracks["s1"]]
    np.testing.assert_array_equal(depth["swapped"][0], depth["stranded"][1])
    np.testing.assert_array_equal(depth["swapped"][1], depth["stranded"][0])
    np.testing.assert_array_equal(sum(depth["unstranded"]), sum(depth["stranded"]))
    assert np.corrcoef(*depth["unstranded"])[0, 1] > 0.8


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_the_audit_tells_every_library(seed, tmp_path):
    world = simulate_erna_genome(tmp_path / "world", seed=seed, config=SMALL)
    mdata = assembled(world, tmp_path)
    er.pp.strand_audit(mdata, world.paths["genes"])
    expected = world.samples["library"].map({"stranded": "forward", "unstranded": "unstranded", "swapped": "reverse"})
    assert mdata.obs["strandedness"].astype(str).tolist() == expected.tolist()


def test_reads_of_loci_are_recovered(world, mdata):
    np.testing.assert_allclose(mdata.obs["library_size"], world.samples["library_size"])
    around = world.positives.assign(Start=world.positives["center"] - 900, End=world.positives["center"] + 900)
    er.pp.candidate_ernas(mdata, "bed", source=around[["Chromosome", "Start", "End"]])
    er.tl.quantify_ernas(mdata, n_background=500)
    ernas = mdata["ernas"]
    truth = world.reads.loc[world.positives.index].T.to_numpy().astype(float)
    assert ernas.var["center"].tolist() == world.positives["center"].tolist()
    slope, beyond = np.polyfit(truth.ravel(), np.asarray(ernas.X, float).ravel(), 1)
    assert slope == pytest.approx(1, abs=0.05)
    # reads of neighbouring loci and behind genes come on top of the background
    assert beyond == pytest.approx(2 * 1_800 * world.config.background, abs=3)
    # strands tell direction, with the sign of the simulated share, once the audit has exchanged them
    share = world.positives["plus_share"].to_numpy()
    active = world.active.loc[world.positives.index].T.to_numpy()
    for row, library in enumerate(world.samples["library"]):
        known = active[row] & (truth[row] > 15)
        found = ernas.layers["directionality"][row]
        if library == "unstranded":
            assert np.isnan(found).all()
        else:
            assert np.corrcoef(found[known], (2 * share - 1)[known])[0, 1] > 0.8
    detected = ernas.layers["detected"] == 1
    assert detected[active & (truth > 30)].mean() > 0.8
    assert detected[~active].mean() < 0.1


class TestAssembly:
    def test_it_has_what_stringtie_shows(self, world):
        for sample, path in world.assemblies.items():
            transcripts, exons = read_assembly(path)
            assert transcripts["length"].min() >= 200
            single = transcripts["n_exons"] == 1
            strands = {"."} if sample == "s3" else {"+", "-"}
            assert set(transcripts.loc[single, "Strand"]) == strands
            assert set(transcripts.loc[~single, "Strand"]) == {"+", "-"}
            annotated = er.io.read_gtf(world.paths["genes"], features="exon")
            spliced = exons[exons["transcript"].isin(np.flatnonzero(~single))]
            known = set(map(tuple, annotated[["Chromosome", "Start", "End"]].to_numpy()))
            assert set(map(tuple, spliced[["Chromosome", "Start", "End"]].to_numpy())) <= known

    def test_active_loci_are_found_and_short_ones_missed(self, world):
        transcripts, _ = read_assembly(world.assemblies["s1"])
        active = world.active["s1"].to_numpy()[world.positives.index]
        found = overlaps(world.positives, transcripts)
        assert found[active].mean() > 0.7
        assert found[~active].mean() < 0.2  # beside genes and confounders

    def test_neighbours_are_fused_now_and_then(self, world, tmp_path):
        lengths = {}
        for share in (0.0, 1.0):
            config = replace(SMALL, fused=share, libraries=("stranded",), negative=())
            path = simulate_erna_genome(tmp_path / str(share), seed=4, config=config).assemblies["s1"]
            transcripts, _ = read_assembly(path)
            lengths[share] = transcripts.loc[transcripts["n_exons"] == 1, "length"]
        assert len(lengths[1.0]) < len(lengths[0.0])
        assert lengths[1.0].max() > lengths[0.0].max()


def test_tandem_loci_are_merged_or_kept_by_their_distance(tmp_path):
    config = replace(SMALL, tandem=1.0, libraries=("stranded",), negative=(), active=1.0, locus_spacing=40_000)
    world = simulate_erna_genome(tmp_path / "world", seed=1, config=config)
    pairs = world.positives["center"].to_numpy().reshape(-1, 2)
    distance = np.diff(pairs, axis=1).ravel()
    assert set(distance) == {300, 600, 1_000}
    assert (world.positives["tandem"].to_numpy().reshape(-1, 2) == distance[:, None]).all()
    mdata = assembled(world, tmp_path)
    n = {}
    for gap in (0, 1_200):
        er.pp.candidate_ernas(mdata, "signal", merge_gap=gap, min_width=40)
        n[gap] = int(overlaps(mdata["ernas"].var, world.positives).sum())
    assert n[1_200] <= len(pairs) < n[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chromosome_length": 250_001}, "multiple of 10,000"),
        ({"libraries": ("reverse",)}, "expected one or more of stranded, unstranded, swapped"),
        ({"negative": ("s9",)}, "no biosample 's9'"),
        ({"confounders": {"ghost": 1.0}}, "no kind 'ghost'"),
        ({"active": 1.5}, "active=1.5"),
        ({"cell_types": ("liver",)}, "cell_types has 1 names; expected one for each of 4"),
        ({"tandem_distances": (0,)}, "positive numbers of bases"),
        ({"genes": 0}, "genes=0"),
    ],
)
def test_bad_parameters_are_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        ErnaGenomeConfig(**options)


def test_too_much_for_a_chromosome_is_said(tmp_path):
    config = ErnaGenomeConfig(n_chromosomes=1, chromosome_length=200_000, genes=3, locus_spacing=1_000)
    with pytest.raises(ValueError, match="make chromosomes longer"):
        simulate_erna_genome(tmp_path / "world", config=config)
    assert not (tmp_path / "world").exists()
