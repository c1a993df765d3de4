"""Genomes by name, fetched from a mirror on this machine and held to the publisher's checksum."""

from __future__ import annotations

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import eregtools as er
from command_line import run
from eregtools.datasets.genomes import known_genomes

SEQUENCE = "ACGTNacgt" * 500
PLACE = "goldenPath/hg38/bigZips"


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []

    def log_message(self, *_):
        self.asked.append(self.path)


@pytest.fixture
def mirror(tmp_path):
    """Folders of the publisher with a small hg38."""
    folder = tmp_path / "mirror" / PLACE
    folder.mkdir(parents=True)
    packed = gzip.compress(f">chr1\n{SEQUENCE}\n>chrM\nACGT\n".encode(), mtime=0)
    (folder / "hg38.fa.gz").write_bytes(packed)
    digest = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    (folder / "md5sum.txt").write_text(f"{'0' * 32}  hg38.2bit\n{digest}  hg38.fa.gz\n{'1' * 32}  hg38.fa.masked.gz\n")
    return tmp_path / "mirror"


@pytest.fixture
def server(mirror):
    Quiet.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(mirror))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("EREGTOOLS_GENOMES", raising=False)
    monkeypatch.delenv("EREGTOOLS_WEIGHTS", raising=False)
    with er.settings.override(cache_dir=tmp_path / "cache", offline=False):
        yield tmp_path / "cache"


def nothing_kept(cache):
    return not [path for path in cache.rglob("*") if path.is_file()]


def test_fetched_checked_and_known_by_name(server, cache):
    genome = er.datasets.fetch_genome("hg38", mirror=server)
    assert genome.sequence("chr1", 0, 9) == SEQUENCE[:9].upper()
    assert genome.chrom_sizes == {"chr1": len(SEQUENCE), "chrM": 4}
    codes = er.Genome(cache / "genomes" / "hg38.fa").codes(["chr1"], np.array([4]), 2)
    assert codes.tolist() == [[4, 0]]
    assert Quiet.asked == [f"/{PLACE}/md5sum.txt", f"/{PLACE}/hg38.fa.gz"]
    assert sorted(path.name for path in (cache / "genomes").iterdir()) == ["hg38.fa", "hg38.fa.fai", "hg38.fa.sha256"]

    again = er.datasets.fetch_genome("hg38", mirror="http://127.0.0.1:9")
    assert again.chrom_sizes == genome.chrom_sizes
    assert len(Quiet.asked) == 2


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_folders_are_mirrors_and_need_no_network(mirror, monkeypatch, form):
    monkeypatch.setenv("EREGTOOLS_GENOMES", form.format(mirror))
    with er.settings.override(offline=True):
        assert er.datasets.fetch_genome("hg38").chrom_sizes["chrM"] == 4


@pytest.mark.parametrize("how", ["server", "folder"])
def test_another_hash_is_refused_and_nothing_kept(mirror, server, cache, how):
    (mirror / PLACE / "hg38.fa.gz").write_bytes(gzip.compress(b">chr1\nAAAA\n"))
    with pytest.raises(ValueError, match=r"this is not the published hg38: .* nothing was kept"):
        er.datasets.fetch_genome("hg38", mirror=server if how == "server" else str(mirror))
    assert nothing_kept(cache)


def test_a_given_hash_takes_the_place_of_the_table(mirror, cache):
    (mirror / PLACE / "md5sum.txt").unlink()
    right = hashlib.sha256((mirror / PLACE / "hg38.fa.gz").read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="is not the published hg38"):
        er.datasets.fetch_genome("hg38", mirror=str(mirror), sha256="0" * 64)
    assert nothing_kept(cache)
    er.datasets.fetch_genome("hg38", mirror=str(mirror), sha256=right.upper())


def test_a_broken_archive_with_the_right_hash_is_no_genome(mirror, cache):
    packed = (mirror / PLACE / "hg38.fa.gz").read_bytes()[:-20]
    (mirror / PLACE / "hg38.fa.gz").write_bytes(packed)
    with pytest.raises(ValueError, match="is no whole gzip file"):
        er.datasets.fetch_genome("hg38", mirror=str(mirror), sha256=hashlib.sha256(packed).hexdigest())
    assert nothing_kept(cache)


def test_what_was_changed_later_is_noticed(mirror, cache):
    er.datasets.fetch_genome("hg38", mirror=str(mirror))
    kept = cache / "genomes" / "hg38.fa"
    kept.write_text(kept.read_text().replace("A", "C", 1))
    with pytest.raises(ValueError, match="has changed since it was fetched"):
        er.datasets.fetch_genome("hg38")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda folder: (folder / "md5sum.txt").write_text("x  other.fa.gz\n"), ValueError, "has no MD5 sum of hg38"),
        (lambda folder: (folder / "md5sum.txt").write_text("xyz  hg38.fa.gz\n"), ValueError, "has no MD5 sum of hg38"),
        (lambda folder: (folder / "md5sum.txt").unlink(), FileNotFoundError, "cannot be fetched .*EREGTOOLS_GENOMES"),
        (lambda folder: (folder / "hg38.fa.gz").unlink(), FileNotFoundError, "cannot be fetched"),
    ],
)
def test_servers_that_lack_something(mirror, server, cache, change, error, message):
    change(mirror / PLACE)
    for address in (server, str(mirror)):
        with pytest.raises(error, match=message):
            er.datasets.fetch_genome("hg38", mirror=address)
    assert nothing_kept(cache)


def test_offline_and_unknown():
    with er.settings.override(offline=True), pytest.raises(FileNotFoundError, match=r"settings\.offline is on"):
        er.datasets.fetch_genome("mm10")
    with pytest.raises(KeyError, match="no genome 'hg83' is known; there are hg38, hg19, mm10, mm39"):
        er.datasets.fetch_genome("hg83")
    with pytest.raises(ValueError, match=r"expected an http\(s\):// or file:// address"):
        er.datasets.fetch_genome("hg38", mirror="ftp://x")
    with pytest.raises(FileNotFoundError, match="run `eregtools fetch mm10`"):
        er.datasets.fetched_genome("mm10")


def test_no_hash_is_kept_in_the_package():
    for genome in known_genomes().values():
        assert genome.checksums.endswith("/md5sum.txt")
        assert genome.file.rsplit("/", 1)[0] == genome.checksums.rsplit("/", 1)[0]
        assert genome.url.startswith("https://")


class TestCommand:
    def test_genome(self, mirror, cache):
        done = run("fetch", "hg38", "--mirror", mirror, "--json")
        assert done.code == 0, done.err
        assert done.json == {"sequences": 2, "files": {"hg38": str(cache / "genomes" / "hg38.fa")}}

    def test_bad_hash_is_one_line(self, mirror, cache):
        assert "is not the published hg38" in run("fetch", "hg38", "--mirror", mirror, "--sha256", "0" * 64).refusal
        assert nothing_kept(cache)

    def test_weights_from_a_folder(self, tmp_path, monkeypatch):
        (tmp_path / "encoder256_K562_log2_fold1.pt").write_bytes(b"other weights")
        monkeypatch.setenv("EREGTOOLS_WEIGHTS", str(tmp_path))
        refusal = run("fetch", "EPInformer-seq/K562/activity/fold1").refusal
        assert "is not EPInformer-seq/K562/activity/fold1: its sha256 is" in refusal

    def test_models(self):
        found = run("models", "--json").json["models"]
        assert {"name", "sha256", "licence"} <= set(found[0])
        assert "EPInformer-seq/K562/activity/fold12" in run("models").out
