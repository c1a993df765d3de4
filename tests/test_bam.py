from __future__ import annotations

import logging
import os
import shutil

import numpy as np
import pysam
import pytest

import eregtools as er
from eregtools.io import bam
from eregtools.io.bam import bam_counts, bam_coverage, bam_total

SIZES = {"chr1": 6_000_000, "chr2": 50_000}
REAL = "data/rnaseq_bambu_chr9/A549_directRNA_chr9_1_1000000.bam"


def random_reads(n: int, seed: int = 0) -> list[tuple]:
    """(chromosome number, start, CIGAR, flag, mapping quality), sorted."""
    rng = np.random.default_rng(seed)
    cigars = ["50M", "20M100N30M", "10M5D40M", "5S45M3I10M", "1M"]
    flags = [0, 16, 99, 147, 256, 512, 1024, 2048]
    reads = []
    for _ in range(n):
        chrom = int(rng.integers(2))
        centre = rng.choice([1_000, 30_000] if chrom else [2_000, 40_000, 3_000_000])
        start = int(rng.integers(centre - 900, centre + 900))
        reads.append((chrom, start, str(rng.choice(cigars)), int(rng.choice(flags)), int(rng.integers(0, 61))))
    return sorted(reads)


def write_bam(path, reads, unmapped: int = 0):
    with pysam.AlignmentFile(str(path), "wb", reference_names=[*SIZES], reference_lengths=[*SIZES.values()]) as file:
        for number, (chrom, start, cigar, flag, quality) in enumerate(reads):
            read = pysam.AlignedSegment(file.header)
            read.query_name = f"r{number}"
            read.reference_id, read.reference_start = chrom, start
            read.cigarstring, read.flag, read.mapping_quality = cigar, flag, quality
            file.write(read)
        for number in range(unmapped):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.flag = f"u{number}", 4
            file.write(read)
    return path


@pytest.fixture
def reads():
    return random_reads(3_000)


@pytest.fixture
def toy(tmp_path, reads):
    return write_bam(tmp_path / "toy.bam", reads, unmapped=7)


def span(cigar: str) -> int:
    return {"50M": 50, "20M100N30M": 150, "10M5D40M": 55, "5S45M3I10M": 55, "1M": 1}[cigar]


def kept(reads, min_mapq=0, exclude=3844):
    return [read for read in reads if not read[3] & exclude and read[4] >= min_mapq]


def random_regions(seed=1):
    rng = np.random.default_rng(seed)
    chroms = rng.choice(["chr1", "chr2"], 500)
    starts = rng.integers(0, 45_000, 500)
    ends = starts + rng.integers(1, 4_000, 500)
    starts[:3], ends[:3], chroms[:3] = 0, SIZES["chr1"], "chr1"  # longer than what is read at a time
    starts[3:9], ends[3:9], chroms[3:9] = 2_999_990, 3_000_001, "chr1"
    return chroms, starts, ends


@pytest.mark.parametrize(("min_mapq", "exclude"), [(0, 3844), (30, 3844), (0, 4), (1, 1024)])
def test_counts_are_those_of_every_read_against_every_region(toy, reads, min_mapq, exclude):
    chroms, starts, ends = random_regions()
    truth = [
        sum(
            f"chr{c + 1}" == chrom and begin < end and begin + span(cigar) > start
            for c, begin, cigar, *_ in kept(reads, min_mapq, exclude)
        )
        for chrom, start, end in zip(chroms, starts, ends, strict=True)
    ]
    counts = bam_counts(toy, chroms, starts, ends, min_mapq=min_mapq, exclude_flags=exclude)
    assert counts.dtype == np.int64
    assert counts.tolist() == truth
    assert max(truth) > 300
    order = np.random.default_rng(3).permutation(len(starts))
    assert bam_counts(
        toy, chroms[order], starts[order], ends[order], min_mapq=min_mapq, exclude_flags=exclude
    ).tolist() == [truth[k] for k in order]


def test_one_base_decides(tmp_path):
    path = write_bam(tmp_path / "one.bam", [(0, 100, "50M", 0, 60)])
    assert bam_counts(path, "1", [0, 0, 149, 150, 100], [100, 101, 150, 160, 150]).tolist() == [0, 1, 1, 0, 1]


def test_total_counts_each_mapped_read_once(toy, reads):
    assert bam_total(toy) == len(kept(reads))
    assert bam_total(toy, min_mapq=30) == len(kept(reads, 30))
    assert bam_total(toy, exclude_flags=4) == len(reads)
    everywhere = bam_counts(toy, [*SIZES], [0, 0], [*SIZES.values()])
    assert everywhere.sum() == bam_total(toy)


def test_coverage_is_that_of_samtools_depth(toy):
    depth = bam_coverage(toy, "1", 1_500, 2_700, min_mapq=10)
    assert (depth.dtype, depth.shape) == (np.float32, (1_200,))
    text = pysam.depth("-a", "-Q", "10", "-G", "3844", "-r", "chr1:1501-2700", str(toy))
    assert depth.tolist() == [int(line.split("\t")[2]) for line in text.splitlines()]
    assert bam_coverage(toy, "chr2", 49_000, 50_000).sum() == 0


def test_real_reads_agree_with_samtools(shared, tmp_path):
    path = tmp_path / "real.bam"
    shutil.copyfile(shared / REAL, path)
    starts = np.arange(0, 1_000_000, 2_500)
    counts = bam_counts(path, "chr9", starts, starts + 2_500)
    truth = [int(pysam.view("-c", "-F", "3844", str(path), f"9:{s + 1}-{s + 2_500}")) for s in starts]
    # samtools counts spliced reads whose intron spans the region as well, as the rule here does
    assert counts.tolist() == truth
    assert bam_total(path) == int(pysam.view("-c", "-F", "3844", str(path)))
    assert bam_total(path) > 100
    first = int(starts[np.argmax(counts)])
    depth = bam_coverage(path, "9", first, first + 2_500)
    text = pysam.depth("-a", "-G", "3844", "-r", f"9:{first + 1}-{first + 2_500}", str(path))
    assert depth.tolist() == [int(line.split("\t")[2]) for line in text.splitlines()]


def test_chromosomes_that_are_not_there(toy, caplog):
    counts = bam_counts(toy, ["chr1", "chr7", "chr8"], [0, 0, 0], [5_000, 10, 10])
    assert counts[0] > 0
    assert counts[1:].tolist() == [0, 0]
    assert "2 of 3 regions lie on chromosomes" in caplog.text
    assert len(caplog.records) == 1
    with pytest.raises(KeyError, match=r"'chr7' is not in .*2 chromosomes: chr1, chr2"):
        bam_counts(toy, "chr7", [0], [10])
    assert bam_counts(toy, [], [], []).shape == (0,)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [(5, 5, "is empty"), (-1, 5, "starts before base 0"), (0, 50_001, r"ends after chr2 does .*assembly")],
)
def test_regions_off_the_chromosome(toy, start, end, message):
    with pytest.raises(ValueError, match=message):
        bam_counts(toy, "chr2", [start], [end])
    with pytest.raises(ValueError, match=message):
        bam_coverage(toy, "chr2", start, end)


# --- index


def test_index_beside_the_file_is_made_once(toy):
    bam_counts(toy, "chr1", [0], [10])
    index = toy.with_name("toy.bam.bai")
    made = index.stat().st_mtime_ns
    bam_counts(toy, "chr1", [0], [10])
    assert index.stat().st_mtime_ns == made
    assert sorted(p.name for p in toy.parent.iterdir()) == ["toy.bam", "toy.bam.bai"]


@pytest.mark.parametrize("suffix", [".bai", ".csi"])
def test_index_without_the_bam_suffix_is_used(toy, suffix, monkeypatch):
    pysam.index("-c" if suffix == ".csi" else "-b", "-o", str(toy.with_suffix(suffix)), str(toy))
    monkeypatch.setattr(bam, "_build_index", lambda *_: pytest.fail("an index was there"))
    assert bam_counts(toy, "chr1", [0], [10_000])[0] > 0


def refuse_folder(monkeypatch, *folders):
    """As if nothing could be written there (permissions do not stop root)."""
    build = bam._build_index

    def refuse(path, target):
        if target.parent in folders:
            raise PermissionError(13, "Permission denied", str(target))
        return build(path, target)

    monkeypatch.setattr(bam, "_build_index", refuse)


def test_read_only_folder(toy, tmp_path, monkeypatch):
    with er.settings.override(cache_dir=tmp_path / "cache"):
        refuse_folder(monkeypatch, toy.parent)
        counts = bam_counts(toy, "chr1", [0], [10_000])
        assert counts[0] > 0
        (cached,) = (tmp_path / "cache/indices").iterdir()
        assert not toy.with_name("toy.bam.bai").exists()
        monkeypatch.setattr(bam, "_build_index", lambda *_: pytest.fail("an index was in the cache"))
        assert bam_counts(toy, "chr1", [0], [10_000]) == counts
    assert cached.name.startswith("toy.bam.")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(toy, tmp_path_factory):
    toy.parent.chmod(0o500)
    try:
        with er.settings.override(cache_dir=tmp_path_factory.mktemp("cache")):
            assert bam_counts(toy, "chr1", [0], [10_000])[0] > 0
    finally:
        toy.parent.chmod(0o700)


def test_nowhere_to_write(toy, tmp_path, monkeypatch):
    with er.settings.override(cache_dir=tmp_path / "cache"):
        refuse_folder(monkeypatch, toy.parent, tmp_path / "cache/indices")
        with pytest.raises(OSError, match=r"toy\.bam has no index and none can be written .*settings\.cache_dir"):
            bam_counts(toy, "chr1", [0], [10])


def test_outdated_index_is_not_used(toy, tmp_path, caplog):
    index = toy.with_name("toy.bam.bai")
    index.write_bytes(b"of another file")
    os.utime(index, ns=(1, 1))
    with er.settings.override(cache_dir=tmp_path / "cache"):
        assert bam_counts(toy, "chr1", [0], [10_000])[0] > 0
    assert "is older than toy.bam" in caplog.text
    assert index.read_bytes() == b"of another file"


# --- bad files


def test_unsorted_file(tmp_path, reads, capfd):
    path = write_bam(tmp_path / "unsorted.bam", reads[::-1])
    with pytest.raises(ValueError, match=r"not sorted by coordinate .*samtools sort -o sorted\.bam unsorted\.bam"):
        bam_counts(path, "chr1", [0], [10])
    assert capfd.readouterr().err == ""
    assert [p.name for p in tmp_path.iterdir()] == ["unsorted.bam"]
    assert bam_total(path) == len(kept(reads))


def test_bad_files(tmp_path, toy, caplog):
    caplog.set_level(logging.ERROR)
    with pytest.raises(FileNotFoundError, match="expected a BAM file"):
        bam_total(tmp_path / "no.bam")
    for name, content, message in (
        ("text.bam", b"chr1\t5\t9\n", "is not a BAM file"),
        ("empty.bam", b"", "is not a BAM file"),
        ("file.cram", b"CRAM" + bytes(50), "is a CRAM file"),
        ("cut.bam", toy.read_bytes()[:-400], "is truncated: its end-of-file block is missing"),
        ("short.bam", toy.read_bytes()[:200], "is truncated"),
    ):
        (tmp_path / name).write_bytes(content)
        for call in (lambda p: bam_counts(p, "chr1", [0], [10]), bam_total, lambda p: bam_coverage(p, "chr1", 0, 9)):
            with pytest.raises(ValueError, match=message):
                call(tmp_path / name)


def test_damage_inside(tmp_path, toy):
    content = bytearray(toy.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 100] = bytes(100)
    path = tmp_path / "damaged.bam"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged\.bam"):
        bam_counts(path, ["chr1", "chr2"], [0, 0], [5_000_000, 50_000])
    with pytest.raises(ValueError, match=r"damaged\.bam is a damaged BAM file"):
        bam_total(path)
    shutil.copyfile(toy, path)
    pysam.index(str(path))
    path.write_bytes(content)
    os.utime(f"{path}.bai")
    with pytest.raises(ValueError, match=r"damaged\.bam is a damaged BAM file"):
        bam_counts(path, ["chr1", "chr2"], [0, 0], [5_000_000, 50_000])
