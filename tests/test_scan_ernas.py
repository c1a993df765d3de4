"""Scans of whole chromosomes: the same as window by window, whatever is read together, interrupted or shared out."""

from __future__ import annotations

import copy
import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

import eregtools as er
from command_line import run
from eregtools.batches.encode import UNKNOWN
from eregtools.coverage import Coverage, CoverageWriter
from eregtools.io import bigwig
from eregtools.io.bigwig_write import write_bigwig
from eregtools.locus_signal import informative_bins, masked_bins
from eregtools.models import ERNAformer, ERNAformerConfig
from eregtools.models.chromosome_scan import Grid, StretchScanner
from eregtools.models.locus_inference import LocusPredictor
from eregtools.tl._erna_windows import locus_windows
from eregtools.tl._scan_chunks import Chunk, ChunkReader
from eregtools.tl._scan_store import ErnaScan
from networks import randomised
from scan_world import SILENT, SIZES, UNIT, UNKNOWN_RUN, make_scan_world

CPU = torch.device("cpu")
CONFIG = ERNAformerConfig.preset("small", seq_len=1024)
NOTHING = pd.DataFrame({"Chromosome": np.empty(0, dtype=object), "Start": [], "End": []}).astype(
    {"Start": np.int64, "End": np.int64}
)
CHUNK = UNIT + UNIT // 2


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return randomised(ERNAformer(CONFIG))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_scan_world(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module")
def scan(world, model, tmp_path_factory):
    """All of the genome, in chunks of one and a half units."""
    folder = tmp_path_factory.mktemp("scans") / "whole"
    return scanned(world.coverage, world, model, folder)


def scanned(source, world, model, folder, **options):
    options = {"genome": world.genome, "device": "cpu", "chunk": CHUNK, "mask": NOTHING} | options
    return er.tl.scan_ernas(source, model, folder=folder, **options)


@contextmanager
def limited(n_bytes):
    """No file may be longer, as if the disk were full."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def by_window(world, model, sample, chrom, starts, predictor=None):
    """Logits of the bins of windows, each by itself."""
    loci = pd.DataFrame({"Chromosome": chrom, "Start": starts, "End": starts + 1, "center": starts + 512})
    windows = locus_windows(loci, [sample], np.zeros(len(loci)), CONFIG, world.genome, world.coverage)
    batch = windows.batch(np.arange(len(loci)))
    return batch, (predictor or LocusPredictor(model, CPU))(batch).bins


class TestChunkIsWindow:
    @pytest.mark.parametrize("both_strands", [True, False])
    @pytest.mark.parametrize("hop", [512, 1024, 64])
    def test_logits(self, world, model, hop, both_strands):
        grid = Grid.of(CONFIG, hop)
        reader = ChunkReader(world.genome, world.coverage, grid, CONFIG.contrast_bins, NOTHING, False)
        n = 8_192 // hop
        stretch, windows = reader(Chunk("A", "chr1", 4 * n, n))
        scanner = StretchScanner(model, CPU, grid, both_strands=both_strands, batch_size=5)
        found = scanner(stretch, windows).reshape(n, -1)
        starts = (4 * n + np.arange(n)) * hop - grid.margin
        predictor = LocusPredictor(model, CPU, both_strands=both_strands)
        _, bins = by_window(world, model, "A", "chr1", starts, predictor)
        kept = slice(grid.margin // 32, (grid.margin + hop) // 32)
        assert windows.all()
        assert np.ptp(bins) > 0.1
        assert np.abs(found - bins[:, kept]).max() <= 1e-5

    def test_few_windows_of_a_stretch_are_the_same(self, world, model):
        grid = Grid.of(CONFIG)
        reader = ChunkReader(world.genome, world.coverage, grid, CONFIG.contrast_bins, NOTHING, False)
        stretch, windows = reader(Chunk("A", "chr1", 10, 40))
        scanner = StretchScanner(model, CPU, grid)
        every = scanner(stretch, windows).reshape(40, -1)
        some = np.isin(np.arange(40), [0, 1, 7, 20, 39])
        found = scanner(stretch, some).reshape(40, -1)
        assert np.abs(found[some] - every[some]).max() <= 1e-5
        assert np.isnan(found[~some]).all()

    def test_stretch_longer_than_the_stems_read_at_once(self, world, model, monkeypatch):
        grid = Grid.of(CONFIG)
        reader = ChunkReader(world.genome, world.coverage, grid, CONFIG.contrast_bins, NOTHING, False)
        stretch, windows = reader(Chunk("A", "chr1", 0, 32))
        scanner = StretchScanner(model, CPU, grid)
        whole = scanner(stretch, windows)
        monkeypatch.setattr("eregtools.models.chromosome_scan._STEM_BASES", 4_096)
        assert np.abs(scanner(stretch, windows) - whole).max() <= 1e-5

    def test_tracks_of_both_ends_and_all_between(self, scan, world, model):
        """What is on the disk is each window's middle, to the digits of float16."""
        for chrom, size in SIZES.items():
            track = scan.track("B", chrom)
            assert len(track) == -(-size // 32)
            read = np.flatnonzero(np.isfinite(track[::16]))
            picked = read[np.linspace(0, len(read) - 1, 25).astype(int)]
            starts = picked * 512 - 256
            _, bins = by_window(world, model, "B", chrom, starts)
            for row, window in enumerate(picked):
                expected = bins[row, 8:24][: len(track) - window * 16]
                found = track[window * 16 : window * 16 + 16]
                assert np.abs(found - expected).max() <= 1e-3 * max(1, np.abs(expected).max())

    def test_place_in_the_chunk_is_of_no_consequence(self, scan):
        """Units are alike, and chunks cut every second one in its middle."""
        track = scan.track("A", "chr1")
        per_unit = UNIT // 32
        units = track.reshape(-1, per_unit)[1:-1]  # the running mean of the outer ones reaches over the end
        assert np.isfinite(units).mean() > 0.5
        assert np.array_equal(np.isnan(units[0]), np.isnan(units[1]))
        assert np.nanmax(np.abs(units - units[0])) <= 2e-3

    def test_chunks_of_any_size(self, scan, world, model, tmp_path):
        other = scanned(world.coverage, world, model, tmp_path / "small", chunk=10_000, sample="A", batch_size=3)
        for chrom in SIZES:
            a, b = scan.track("A", chrom), other.track("A", chrom)
            assert np.array_equal(np.isnan(a), np.isnan(b))
            assert np.nanmax(np.abs(a - b)) <= 2e-3


class TestWhatIsRead:
    def test_all_n_silent_and_masked_windows_are_left_out(self, world, model, tmp_path):
        mask = pd.DataFrame({"Chromosome": ["chr2"], "Start": [8_000], "End": [12_000]})
        scan = scanned(world.coverage, world, model, tmp_path / "s", mask=mask, sample="A", chromosomes="chr2")
        track = scan.track("A", "chr2")
        position = np.arange(len(track)) * 32
        within = [(position >= a + 1_024) & (position < b - 1_024) for a, b in (UNKNOWN_RUN, SILENT, (8_000, 12_000))]
        for unread in within:
            assert unread.any()
            assert np.isnan(track[unread]).all()
        assert np.isfinite(track[(position >= 2_000) & (position < 6_000)]).all()
        assert scan.mask.to_dict("list") == {"Chromosome": ["chr2"], "Start": [8_000], "End": [12_000]}

    def test_rule_of_informative_windows(self, world):
        """A window is read if and only if an informative bin lies in it."""
        grid = Grid.of(CONFIG)
        reader = ChunkReader(world.genome, world.coverage, grid, CONFIG.contrast_bins, NOTHING, True)
        n = grid.n_windows(SIZES["chr2"])
        _, windows = reader(Chunk("A", "chr2", 0, n))
        informative = informative_bins(world.coverage, "A", "chr2")
        codes = world.genome.chromosome("chr2")
        for i in range(n):
            begin, end = max(0, i * 512 - 256), i * 512 + 768
            known = (codes[begin:end] < UNKNOWN).any()
            assert windows[i] == (informative[begin // 8 : end // 8].any() and known), i
        assert 0 < windows.sum() < n

    def test_parts_of_a_chromosome_have_the_same_informative_bins(self, world):
        whole = informative_bins(world.coverage, "A", "chr1")
        part = informative_bins(world.coverage, "A", "chr1", 40_000, 72_000)
        over = informative_bins(world.coverage, "A", "chr1", -8_000, 16_000)
        assert 0 < whole.sum() < len(whole)
        assert np.array_equal(part, whole[5_000:9_000])
        assert np.array_equal(over[1_000:], whole[:2_000])

    def test_masked_bins_of_a_part(self):
        mask = pd.DataFrame({"Chromosome": ["chr1"] * 3, "Start": [0, 100, 7_990], "End": [9, 116, 8_000]})
        whole = masked_bins(mask, "chr1", 1_000, 8)
        assert np.flatnonzero(whole).tolist() == [0, 1, 12, 13, 14, 998, 999]
        assert np.array_equal(masked_bins(mask, "chr1", 20, 8, 10), whole[10:30])
        assert np.array_equal(masked_bins(mask, "chr1", 20, 8, -5)[5:], whole[:15])

    def test_everything_where_silence_is_read_too(self, world, model, tmp_path):
        options = {"skip_silent": False, "sample": "A", "chromosomes": "chr2"}
        track = scanned(world.coverage, world, model, tmp_path / "s", **options).track("A", "chr2")
        position = np.arange(len(track)) * 32
        unknown = (position >= UNKNOWN_RUN[0] + 1_024) & (position < UNKNOWN_RUN[1] - 1_024)
        assert np.isnan(track[unknown]).all()
        assert np.isfinite(track[position >= UNKNOWN_RUN[1]]).all()


class TestResult:
    def test_bigwig_holds_the_probabilities(self, scan):
        path = scan.bigwig("A")
        assert bigwig.chrom_sizes(path) == SIZES
        for chrom, size in SIZES.items():
            track = scan.track("A", chrom)
            values = bigwig.values(path, chrom, 0, size)
            expected = np.repeat(1 / (1 + np.exp(-track.astype(float))), 32)[:size]
            assert np.array_equal(np.isnan(values), np.isnan(expected))
            assert np.nanmax(np.abs(values - expected)) <= 1e-4

    def test_is_recorded_in_the_object(self, world, model, scan, tmp_path):
        mdata = world.object()
        assert scanned(mdata, world, model, tmp_path / "s", chromosomes="chr2") is None
        known = mdata.uns["eregtools"]["erna_scan"]
        assert known["bigwig"].loc["A", "path"] == str(tmp_path / "s" / "bigwig" / "A.bw")
        er.io.write(mdata, tmp_path / "object.h5mu")
        again = er.io.read(tmp_path / "object.h5mu")
        assert again.uns["eregtools"]["erna_scan"]["fingerprint"] == ErnaScan(tmp_path / "s").fingerprint
        assert np.array_equal(ErnaScan(tmp_path / "s").track("B", "chr2"), scan.track("B", "chr2"), equal_nan=True)
        other = scanned(world.object(), world, model, tmp_path / "s", chromosomes="chr2", resume=True, copy=True)
        assert other.uns["eregtools"]["erna_scan"]["fingerprint"] == known["fingerprint"]

    def test_temperature_divides(self, world, model, scan, tmp_path):
        warm = copy.deepcopy(model)
        warm.provenance = {"calibration": {"temperature": 2.0}}
        other = scanned(world.coverage, world, warm, tmp_path / "s", sample="A", chromosomes="chr2")
        assert np.nanmax(np.abs(other.track("A", "chr2") * 2 - scan.track("A", "chr2"))) <= 4e-3

    def test_each_chromosome_by_the_model_that_never_saw_it(self, world, model, scan, tmp_path):
        second = randomised(copy.deepcopy(model), seed=9)
        for fold, (one, tested) in enumerate(((model, "chr1"), (second, "chr2")), start=1):
            one.provenance = {"fold": fold, "fold_scheme": "two", "test_chromosomes": [tested]}
        try:
            both = scanned(world.coverage, world, [model, second], tmp_path / "s", sample="A")
        finally:
            model.provenance = {}
        assert np.nanmax(np.abs(both.track("A", "chr1") - scan.track("A", "chr1"))) <= 2e-3
        assert np.nanmax(np.abs(both.track("A", "chr2") - scan.track("A", "chr2"))) > 0.05
        assert both.model("A", "chr2").fingerprint() == second.fingerprint()


class TestResuming:
    def interrupted(self, world, model, folder, after, monkeypatch, **options):
        module = sys.modules["eregtools.tl.scan_ernas"]
        write, written = module.write_piece, []

        def failing(path, logits):
            if len(written) == after:
                raise KeyboardInterrupt
            written.append(path)
            write(path, logits)

        with monkeypatch.context() as patch:
            patch.setattr(module, "write_piece", failing)
            with pytest.raises(KeyboardInterrupt):
                scanned(world.coverage, world, model, folder, sample="A", **options)

    def test_goes_on_where_it_was(self, world, model, scan, tmp_path, monkeypatch, caplog):
        folder = tmp_path / "s"
        self.interrupted(world, model, folder, 3, monkeypatch)
        with pytest.raises(FileNotFoundError, match="unfinished scan"):
            ErnaScan(folder)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}
        assert len(before) == 3
        with caplog.at_level("INFO", logger="eregtools"):
            found = scanned(world.coverage, world, model, folder, sample="A", resume=True)
        assert "3 of 7 chunks are there already" in caplog.text
        for chrom in SIZES:
            assert np.array_equal(found.track("A", chrom), scan.track("A", chrom), equal_nan=True)
        assert sorted(path.name for path in folder.iterdir()) == [
            "about.json", "bigwig", "mask.npz", "models", "scan.json", "tracks",
        ]  # fmt: skip
        caplog.clear()
        with caplog.at_level("INFO", logger="eregtools"):
            scanned(world.coverage, world, model, folder, sample="A", resume=True)
        assert "nothing is computed" in caplog.text

    def test_not_with_other_arguments(self, world, model, tmp_path, monkeypatch):
        folder = tmp_path / "s"
        self.interrupted(world, model, folder, 1, monkeypatch)
        with pytest.raises(FileExistsError, match="resume=True to go on with the scan"):
            scanned(world.coverage, world, model, folder, sample="A")
        with pytest.raises(ValueError, match=r"the scan in .* was started with another hop \(hop: 512, now 256\)"):
            scanned(world.coverage, world, model, folder, sample="A", resume=True, hop=256)
        other = randomised(ERNAformer(CONFIG), seed=4)
        with pytest.raises(ValueError, match="started with another model"):
            scanned(world.coverage, world, other, folder, sample="A", resume=True)
        found = scanned(world.coverage, world, other, folder, sample="A", chromosomes="chr2", overwrite=True)
        assert found.model("A", "chr2").fingerprint() == other.fingerprint()

    def test_a_full_disk_leaves_whole_pieces(self, world, model, scan, tmp_path, monkeypatch):
        folder = tmp_path / "s"
        with limited(20_000), pytest.raises(OSError, match=r"cannot be written to .*resume=True"):
            scanned(world.coverage, world, model, folder, sample="A")  # no room for the model
        self.interrupted(world, model, folder, 1, monkeypatch, overwrite=True)
        for room, pieces in ((1_000, 1), (60_000, 7)):  # none for a further piece; none for the bigWig file
            with limited(room), pytest.raises(OSError, match=r"cannot be written.*resume=True"):
                scanned(world.coverage, world, model, folder, sample="A", resume=True)
            assert len(list(folder.rglob("*.npy"))) == pieces
            assert not [path for path in folder.rglob("*") if ".tmp" in path.name]
            assert not (folder / "about.json").exists()
        found = scanned(world.coverage, world, model, folder, sample="A", resume=True)
        for chrom in SIZES:
            assert np.array_equal(found.track("A", chrom), scan.track("A", chrom), equal_nan=True)


@pytest.mark.slow
def test_two_processes_share_the_chunks(world, model, scan, tmp_path):
    model.save(tmp_path / "model")
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, torch, numpy as np, pandas as pd, eregtools as er\n"
        "from eregtools.coverage import Coverage\n"
        "torch.set_num_threads(1)\n"
        "mask = pd.DataFrame({'Chromosome': [], 'Start': [], 'End': []})\n"
        "er.settings.progress = False\n"
        "er.tl.scan_ernas(Coverage(sys.argv[1]), sys.argv[2], folder=sys.argv[3], genome=sys.argv[4], sample='A',\n"
        f"                 device='cpu', devices=2, chunk={CHUNK}, mask=mask)\n"
    )
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    arguments = [world.coverage.path, tmp_path / "model", tmp_path / "s", world.genome.path]
    done = subprocess.run(
        [sys.executable, *launch, "--rdzv-endpoint", "127.0.0.1:0", str(script), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = ErnaScan(tmp_path / "s")
    for chrom in SIZES:
        assert np.array_equal(found.track("A", chrom), scan.track("A", chrom), equal_nan=True)


class TestRefused:
    def test_tracks_of_another_assembly(self, world, model, tmp_path):
        with CoverageWriter(tmp_path / "c.zarr", {"chr1": SIZES["chr1"] + 8}) as writer:
            values = np.ones((2, SIZES["chr1"] // 8 + 1), dtype=np.float32)
            writer.add("A", {"chr1": values}, library_size=1e6, read_length=50)
        with pytest.raises(ValueError, match="the tracks are of another assembly"):
            scanned(Coverage(tmp_path / "c.zarr"), world, model, tmp_path / "s")
        assert not (tmp_path / "s").exists()

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"hop": 500}, ValueError, "hop is 500 bp; expected a multiple of 32"),
            ({"hop": 96}, ValueError, "hop is 96 bp"),
            ({"hop": 2048}, ValueError, "up to the window"),
            ({"chunk": 100}, ValueError, "chunk is 100 bp"),
            ({"chromosomes": "chr7"}, KeyError, "chr7 is not in"),
            ({"sample": "Z"}, KeyError, "no coverage of 'Z'"),
            ({"fold": 3}, KeyError, "fold 3 was asked for"),
            ({"resume": True, "overwrite": True}, ValueError, "pass one of them"),
            ({"mask": pd.DataFrame({"Chromosome": ["chr1"], "Start": [0], "End": [10**9]})}, ValueError, "assembly"),
            ({"copy": True}, ValueError, "copy=True is for objects"),
        ],
    )
    def test_arguments(self, world, model, tmp_path, options, error, message):
        with pytest.raises(error, match=message):
            scanned(world.coverage, world, model, tmp_path / "s", **options)
        assert not (tmp_path / "s").exists()

    def test_a_folder_that_holds_no_scan(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="holds no scan"):
            ErnaScan(tmp_path)
        (tmp_path / "about.json").write_text(json.dumps({"format": "eregtools scan", "version": 99}))
        with pytest.raises(ValueError, match="update eregtools"):
            ErnaScan(tmp_path)


class TestBigWig:
    def test_last_bin_ends_with_its_chromosome(self, tmp_path):
        values = np.array([0.1, np.nan, 0.3, 0.4], dtype=np.float32)
        write_bigwig(tmp_path / "a.bw", {"chr1": 100, "chr2": 64}, [("chr1", values)], step=32)
        found = bigwig.values(tmp_path / "a.bw", "chr1", 0, 100)
        assert np.array_equal(found.astype(np.float32), np.repeat(values, 32)[:100], equal_nan=True)
        assert bigwig.chrom_sizes(tmp_path / "a.bw") == {"chr1": 100, "chr2": 64}

    def test_a_full_disk_keeps_the_old_file(self, tmp_path):
        path = tmp_path / "a.bw"
        rng = np.random.default_rng(0)
        write_bigwig(path, {"chr1": 3_200}, [("chr1", rng.random(100).astype(np.float32))], step=32)
        before = path.read_bytes()
        big = rng.random(100_000).astype(np.float32)
        with limited(100_000), pytest.raises(OSError, match=r"a\.bw cannot be written"):
            write_bigwig(path, {"chr1": 3_200_000}, [("chr1", big)], step=32)
        assert path.read_bytes() == before
        assert [found.name for found in tmp_path.iterdir()] == ["a.bw"]

    def test_bad_tracks(self, tmp_path):
        values = np.zeros(3, dtype=np.float32)
        for sizes, track, message in (
            ({"chr1": 100}, ("chr1", values), "has 3 bins; expected 4"),
            ({"chr1": 96}, ("chr9", values), "'chr9' is none of"),
            ({"chr1": 96}, ("chr1", values * np.nan), "no value to write"),
        ):
            with pytest.raises(ValueError, match=message):
                write_bigwig(tmp_path / "a.bw", sizes, [track], step=32)
        assert not list(tmp_path.iterdir())


class TestCommand:
    def test_scan_and_call(self, world, model, tmp_path):
        eager = copy.deepcopy(model)
        with torch.no_grad():
            eager.bin_head.bias += 1  # all that is read becomes a locus
        eager.save(tmp_path / "model")
        er.io.write(world.object(), tmp_path / "object.h5mu")
        shared = ("--model", tmp_path / "model", "--genome", world.genome.path, "--device", "cpu", "--sample", "A")
        only = ("--chromosome", "chr2", "--decoys", 50, "--alpha", 1, "--one-strand")
        done = run(
            *("scan", tmp_path / "object.h5mu", "--folder", tmp_path / "s", *shared, *only),
            *("--bed", tmp_path / "loci.bed", "--out", tmp_path / "called.h5mu", "--json"),
        )
        assert done.code == 0, done.err
        mdata = er.io.read(tmp_path / "called.h5mu")
        assert done.json["loci"] == mdata["ernas"].n_vars > 0
        assert done.json["samples"][0]["decoys"] <= 50
        assert bigwig.chrom_sizes(done.json["bigwig"]["A"]) == {"chr2": SIZES["chr2"]}
        assert er.io.read_bed(tmp_path / "loci.bed")["Name"].tolist() == list(mdata["ernas"].var_names)

        tracks = ("scan", tmp_path / "object.h5mu", "--folder", tmp_path / "s", *shared, "--tracks-only")
        assert "is not empty; pass --resume to go on with the scan" in run(*tracks, *only).refusal
        again = run(*tracks, *only, "--resume", "--out", tmp_path / "again.h5mu")
        assert again.code == 0, again.err
        assert "ernas" not in er.io.read(tmp_path / "again.h5mu").mod

    def test_bad_input(self, world, model, tmp_path):
        model.save(tmp_path / "model")
        er.io.write(world.object(), tmp_path / "object.h5mu")
        command = ("scan", tmp_path / "object.h5mu", "--model", tmp_path / "model", "--folder", tmp_path / "s")
        assert "chr7 is not in" in run(*command, "--genome", world.genome.path, "--chromosome", "chr7").refusal
        assert "--fold x: expected auto" in run(*command, "--genome", world.genome.path, "--fold", "x").refusal
        assert not (tmp_path / "s").exists()
