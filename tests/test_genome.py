from __future__ import annotations

import gzip
import logging
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eregtools._fasta import encode_letters
from eregtools._settings import settings as er_settings
from eregtools.genome import Genome, get_genome, match_names, register_genome

CODE = {"A": 0, "C": 1, "G": 2, "T": 3}


def write_fasta(path: Path, records: dict[str, str], width: int = 60, end: str = "\n") -> Path:
    with path.open("w", newline="") as file:
        for name, sequence in records.items():
            file.write(f">{name} a description{end}")
            for start in range(0, len(sequence), width):
                file.write(sequence[start : start + width] + end)
    return path


def bgzip(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    pysam.tabix_compress(str(path), str(packed), force=True)
    return packed


def truth(sequence: str, start: int, length: int) -> list[int]:
    window = ["N" if p < 0 or p >= len(sequence) else sequence[p].upper() for p in range(start, start + length)]
    return [CODE.get(letter, 4) for letter in window]


def random_sequence(n: int, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(list("ACGTacgtNR"), n, p=[0.2] * 4 + [0.04] * 4 + [0.03, 0.01]))


def test_every_byte_is_encoded():
    codes = encode_letters(np.arange(256, dtype=np.uint8))
    assert codes.tolist() == [CODE.get(chr(b).upper(), 4) if b < 128 else 4 for b in range(256)]


@pytest.mark.parametrize("letter", [b for b in range(256) if chr(b).upper() not in CODE or b > 127])
def test_one_odd_byte_among_letters_is_found(letter: int):
    text = np.frombuffer(b"ACGTacgt" * 20, dtype=np.uint8).copy()
    text[77] = letter
    codes = encode_letters(text)
    assert codes[77] == 4
    assert np.delete(codes, 77).max() < 4


@given(
    first=st.text("ACGTacgtNnRYK", min_size=1, max_size=300),
    second=st.text("ACGTN", min_size=1, max_size=40),
    width=st.integers(1, 70),
    line_end=st.sampled_from(["\n", "\r\n"]),
    windows=st.lists(st.tuples(st.booleans(), st.integers(-60, 350)), min_size=1, max_size=40),
    length=st.integers(1, 90),
    dense=st.sampled_from([0.0, 1.0, np.inf]),
    packed=st.booleans(),
)
@example(
    first="A",
    second="AA",
    width=1,
    line_end="\n",
    windows=[(True, 0), (False, 0)],
    length=1,
    dense=1.0,
    packed=True,
)  # the windows of one chromosome are all read some other way
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_codes_are_the_slices_of_the_sequence(tmp_path, first, second, width, line_end, windows, length, dense, packed):
    path = write_fasta(tmp_path / "g.fa", {"chr1": first, "chr2": second}, width, line_end)
    for old in tmp_path.glob("g.fa*.*i"):
        old.unlink()
    genome = Genome(bgzip(path) if packed else path)
    genome.dense = dense
    sequences = {"chr1": first, "chr2": second}
    chroms = ["chr1" if on_first else "chr2" for on_first, _ in windows]
    starts = [start for _, start in windows]
    codes = genome.codes(chroms, starts, length)
    assert codes.dtype == np.uint8
    assert codes.tolist() == [truth(sequences[c], s, length) for c, s in zip(chroms, starts, strict=True)]
    assert genome.chromosome("chr1").tolist() == truth(first, 0, len(first))
    start = starts[0]
    inside = "".join("N" if not 0 <= p < len(first) else first[p] for p in range(start, start + length))
    assert genome.sequence("chr1", start, start + length) == inside.upper()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("width", [61, 5_000, 1_000_000])
def test_many_windows_in_callers_order(tmp_path, width, packed):
    records = {"chr1": random_sequence(200_000, 1), "chr2": random_sequence(90_000, 2)}
    path = write_fasta(tmp_path / "g.fa", records, width)
    genome = Genome(bgzip(path) if packed else path)
    genome.dense = np.inf
    rng = np.random.default_rng(3)
    chroms = rng.choice(["chr1", "chr2"], 1_500)
    starts = rng.integers(-300, 90_100, 1_500)
    codes = genome.codes(pd.Series(chroms, dtype="category"), starts, 301)
    assert codes.tolist() == [truth(records[c], s, 301) for c, s in zip(chroms, starts.tolist(), strict=True)]


def test_records_may_differ_in_line_length(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(">a\nACGTA\nCGTAC\nGT\n>b\nTTTT\nGGGG\nCC\n")
    codes = Genome(path).codes(["b", "a", "b"], [2, 3, 7], 4)
    assert codes.tolist() == [truth("TTTTGGGGCC", 2, 4), truth("ACGTACGTACGT", 3, 4), truth("TTTTGGGGCC", 7, 4)]


def test_no_windows(tmp_path):
    genome = Genome(write_fasta(tmp_path / "g.fa", {"chr1": "ACGT"}))
    assert genome.codes([], [], 5).shape == (0, 5)
    assert genome.codes("chr1", [], 5).shape == (0, 5)


def test_odd_requests_are_refused(tmp_path):
    genome = Genome(write_fasta(tmp_path / "g.fa", {"chr1": "ACGT"}))
    with pytest.raises(ValueError, match="2 chroms but 1 starts"):
        genome.codes(["chr1", "chr1"], [1], 5)
    with pytest.raises(ValueError, match="at least 1; it is 0"):
        genome.codes("chr1", [1], 0)
    with pytest.raises(ValueError, match="whole numbers"):
        genome.codes("chr1", [1.5], 2)
    with pytest.raises(ValueError, match="ends before it starts"):
        genome.sequence("chr1", 3, 1)


def _read_many(task):
    genome, chroms, starts = task
    return genome.codes(chroms, starts, 50), [
        genome.sequence(c, s, s + 20) for c, s in zip(chroms, starts, strict=True)
    ]


_INHERITED: dict[str, Genome] = {}


def _read_inherited(task):
    return _read_many((_INHERITED["genome"], *task))


@pytest.mark.parametrize("packed", [False, True])
def test_forked_workers_read_the_truth(tmp_path, packed):
    records = {"chr1": random_sequence(300_000, 1), "chr2": random_sequence(200_000, 2)}
    path = write_fasta(tmp_path / "g.fa", records)
    genome = Genome(bgzip(path) if packed else path)
    genome.dense = np.inf
    genome.sequence("chr1", 5, 10)  # the parent's handle is open and has been used
    _INHERITED["genome"] = genome
    rng = np.random.default_rng(0)
    tasks = [(rng.choice(["chr1", "chr2"], 100).tolist(), rng.integers(0, 190_000, 100).tolist()) for _ in range(24)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        inherited = pool.map(_read_inherited, tasks, chunksize=1)
        pickled = pool.map(_read_many, [(genome, *task) for task in tasks], chunksize=1)
    for (chroms, starts), one, other in zip(tasks, inherited, pickled, strict=True):
        for codes, texts in (one, other):
            assert codes.tolist() == [truth(records[c], s, 50) for c, s in zip(chroms, starts, strict=True)]
            assert texts == [records[c][s : s + 20].upper() for c, s in zip(chroms, starts, strict=True)]


def test_pickle_keeps_no_sequence(tmp_path):
    genome = Genome(write_fasta(tmp_path / "g.fa", {"chr1": random_sequence(100_000)}), name="toy")
    genome.chromosome("chr1")
    text = pickle.dumps(genome)
    assert len(text) < 5_000
    again = pickle.loads(text)
    assert again.name == "toy"
    assert np.array_equal(again.chromosome("chr1"), genome.chromosome("chr1"))


# --- the file and its index


def test_index_is_built_beside_the_file_and_used_again(tmp_path):
    path = write_fasta(tmp_path / "g.fa", {"chr1": "ACGTACGT", "chr2": "GG"}, 5)
    assert Genome(path).chrom_sizes == {"chr1": 8, "chr2": 2}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.fa", "g.fa.fai"]
    written = (tmp_path / "g.fa.fai").stat().st_mtime_ns
    Genome(path)
    assert (tmp_path / "g.fa.fai").stat().st_mtime_ns == written


@pytest.mark.parametrize("packed", [False, True])
def test_read_only_folder_puts_the_index_in_the_cache(tmp_path, monkeypatch, packed):
    folder = tmp_path / "data"
    folder.mkdir()
    path = write_fasta(folder / "g.fa", {"chr1": "ACGTACGT"}, 5)
    path = bgzip(path) if packed else path
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != folder and access(p, mode))
    with er_settings.override(cache_dir=tmp_path / "cache"):
        assert Genome(path).sequence("chr1", 2, 7) == "GTACG"
        assert Genome(path).sequence("chr1", 2, 7) == "GTACG"
    assert not list(folder.glob("*i"))
    assert len(list((tmp_path / "cache" / "indices").iterdir())) == 1 + packed


def test_older_index_is_refused(tmp_path):
    path = write_fasta(tmp_path / "g.fa", {"chr1": "ACGTACGT"}, 5)
    Genome(path)
    os.utime(tmp_path / "g.fa.fai", (1, 1))
    with pytest.raises(ValueError, match=r"older than g\.fa.*Delete it"):
        Genome(path)


def test_truncated_fasta_is_refused(tmp_path):
    path = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 100, "chr2": "ACGT" * 100})
    Genome(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 50])
    os.utime(path, (1, 1))
    with pytest.raises(ValueError, match=r"truncated.*'chr2' should end at byte"):
        Genome(path)


def test_index_of_another_file_is_refused(tmp_path):
    path = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 10, "chr2": "ACGT" * 10})
    Genome(path)
    write_fasta(path, {"chr1": "ACGT" * 12, "chr2": "ACGT" * 10})
    os.utime(path, (1, 1))
    with pytest.raises(ValueError, match=r"does not belong to g\.fa"):
        Genome(path)


def test_broken_index_is_refused(tmp_path):
    path = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT"})
    (tmp_path / "g.fa.fai").write_text("chr1\tfour\t6\t4\t5\n")
    with pytest.raises(ValueError, match=r"g\.fa\.fai, line 1: expected a samtools index"):
        Genome(path)


def test_ordinary_gzip_is_refused(tmp_path):
    path = tmp_path / "g.fa.gz"
    path.write_bytes(gzip.compress(b">chr1\nACGT\n"))
    with pytest.raises(ValueError, match=r"ordinary gzip.*bgzip g\.fa"):
        Genome(path)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("cut", [1, 28, 2_000])
def test_truncated_bgzip_is_refused(tmp_path, indexed, cut):
    packed = bgzip(write_fasta(tmp_path / "g.fa", {"chr1": random_sequence(400_000)}))
    if indexed:
        Genome(packed)
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-cut])
    os.utime(packed, (1, 1))
    with pytest.raises(ValueError, match="truncated: its end-of-file block"):
        Genome(packed)


def test_bgzip_with_the_index_of_a_longer_file_is_refused(tmp_path):
    packed = bgzip(write_fasta(tmp_path / "g.fa", {"chr1": random_sequence(400_000)}))
    Genome(packed)
    packed = bgzip(write_fasta(tmp_path / "g.fa", {"chr1": random_sequence(90_000)}))
    os.utime(packed, (1, 1))
    with pytest.raises(ValueError, match="do not belong to"):
        Genome(packed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"ACGT\n", "starts with '>'"),
        (b">chr1\nACGT\nAC\nACGT\n", "one length"),
        (b">chr1\n>chr2\n", "at least one sequence"),
    ],
)
def test_files_that_are_no_fasta_are_refused(tmp_path, content, message):
    (tmp_path / "g.fa").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Genome(tmp_path / "g.fa")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a FASTA file"):
        Genome(tmp_path / "none.fa")


# --- names


@pytest.mark.parametrize(
    ("have", "want", "expected"),
    [
        (["chr1", "chrX"], ["1", "X"], {"1": "chr1", "X": "chrX"}),
        (["1", "X"], ["chr1", "chrX"], {"chr1": "1", "chrX": "X"}),
        (["chr1", "chrM"], ["MT"], {"MT": "chrM"}),
        (["1", "MT"], ["chrM", "M"], {}),  # two names for one sequence
        (["chrM", "MT"], ["M"], {}),  # two sequences for one name
        (["chr1"], ["chr1", "1"], {"chr1": "chr1"}),
        (["chr1"], ["chr2"], {}),
    ],
)
def test_match_names(have, want, expected):
    assert match_names(have, want) == expected


def test_renamed_chromosomes_warn_once(tmp_path, caplog):
    genome = Genome(write_fasta(tmp_path / "g.fa", {"chr1": "ACGT", "chr2": "GGCC"}))
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        assert genome.codes(["2", "1"], [0, 0], 2).tolist() == [[2, 2], [0, 1]]
        assert genome.sequence("2", 0, 4) == "GGCC"
    assert [record.getMessage() for record in caplog.records] == [
        "2 chromosome names differ from genome 'g' and were matched, as '2' to 'chr2'."
    ]


def test_unknown_chromosome_says_what_there_is(tmp_path):
    names = [f"chr{k}" for k in range(1, 23)] + ["chrX", "chrY"]
    genome = Genome(write_fasta(tmp_path / "g.fa", dict.fromkeys(names, "ACGT")), name="hg38")
    with pytest.raises(KeyError, match=r"'chr23' is not in genome 'hg38' \(24 sequences: chr1 … chrY\)"):
        genome.codes(["chr1", "chr23"], [0, 0], 2)


def test_check_intervals(tmp_path):
    genome = Genome(write_fasta(tmp_path / "g.fa", {"chr1": "ACGT" * 25}), name="toy")

    def frame(*rows):
        return pd.DataFrame(rows, columns=["Chromosome", "Start", "End"])

    genome.check_intervals(frame(("1", 0, 100), ("chr1", 99, 100)).iloc[:1], "enhancers")
    with pytest.raises(
        ValueError, match=r"2 of 3 enhancers end after .* 'toy': first chr1:50-101 \(100 bases\); the assembly is prob"
    ):
        genome.check_intervals(frame(("chr1", 0, 9), ("chr1", 50, 101), ("chr1", 200, 300)), "enhancers")
    with pytest.raises(ValueError, match="1 of 2 genes have an End that is not after the Start: first chr1:7-7"):
        genome.check_intervals(frame(("chr1", 0, 9), ("chr1", 7, 7)), "genes")
    with pytest.raises(ValueError, match="start before base 0"):
        genome.check_intervals(frame(("chr1", -1, 9)), "genes")
    with pytest.raises(KeyError, match=r"'chr9' and 1 more \(enhancers\) is not in genome 'toy'"):
        genome.check_intervals(frame(("chr9", 0, 9), ("chr8", 0, 9)), "enhancers")


def test_registered_genomes(tmp_path):
    path = write_fasta(tmp_path / "g.fa", {"chr1": "ACGT"})
    register_genome("toy_of_this_test", path)
    genome = get_genome("toy_of_this_test")
    assert genome.name == "toy_of_this_test"
    assert get_genome(genome) is genome
    assert get_genome("toy_of_this_test") is genome
    assert get_genome(str(path)).chrom_sizes == {"chr1": 4}
    with pytest.raises(KeyError, match=r"'hg99' is neither a registered genome .*toy_of_this_test"):
        get_genome("hg99")


# --- real sequence


def test_real_genome_holds_the_real_regions(shared):
    genome = Genome(shared / "data" / "genome" / "hg38.partial.fa.gz")
    assert genome.chrom_sizes["chr22"] == 50_818_468
    regions = shared / "data" / "human_seq_regions" / "regions.hg38.fa.gz"
    checked = 0
    for record in gzip.decompress(regions.read_bytes()).decode().split(">")[1:31]:
        header, _, text = record.partition("\n")
        sequence = text.replace("\n", "").upper()
        chrom, _, interval = header.split()[0].partition(":")
        start, end = (int(number) for number in interval.split("-"))
        assert genome.sequence(chrom, start, end) == sequence
        at = np.arange(0, len(sequence) - 600, 5_000)
        codes = genome.codes(chrom, start + at, 600)
        assert codes.tolist() == [truth(sequence, int(p), 600) for p in at]
        checked += len(at)
    assert checked > 100
