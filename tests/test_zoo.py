"""Published weights: registry, mirrors, hashes, and what is said when they are not there."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import json
import threading

import numpy as np
import pytest
import torch

import eregtools as er
from eregtools.models import zoo
from eregtools.models.epinformer import EPInformerSeq
from networks import original_names, randomised


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv(zoo.WEIGHTS_VARIABLE, raising=False)
    with er.settings.override(cache_dir=tmp_path / "cache", offline=False):
        yield tmp_path / "cache"


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A registered checkpoint whose file we have: ``mirror/file``."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    path = mirror / "toy.pt"
    torch.save({"model_state_dict": original_names(randomised(EPInformerSeq()))}, path)
    entry = dataclasses.replace(
        zoo.registry()[0],
        family="EPInformer-seq",
        biosample="toy",
        assay="activity",
        fold=1,
        file="toy.pt",
        path="upstream/place/toy_upstream.pt",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        url="http://127.0.0.1:1/toy.pt",
    )
    monkeypatch.setattr(zoo, "registry", lambda: (entry,))
    return entry


@pytest.fixture
def server(tmp_path):
    class Handler(http.server.SimpleHTTPRequestHandler):
        requests = 0

        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "mirror"))

        def do_GET(self):
            type(self).requests += 1
            super().do_GET()

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", Handler
    httpd.shutdown()
    httpd.server_close()


def test_registry_names_every_checkpoint_once():
    table = er.models.list()
    assert table["name"].is_unique
    assert table["sha256"].is_unique
    assert table["file"].is_unique
    assert table["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert set(table["source"]) == {"pinellolab/EPInformer", "eregtools"}
    published = table[table["source"] == "pinellolab/EPInformer"]
    assert len(published) == len(zoo.registry()) == 31
    assert set(published["licence"]) == {"MIT"}
    cage = published[(published["family"] == "EPInformer-PE-Activity") & (published["biosample"] == "K562")]
    assert sorted(cage["fold"]) == list(range(1, 13))


def test_registry_knows_the_files_at_hand(shared, monkeypatch, cache):
    folder = shared / "data" / "epinformer" / "checkpoints"
    monkeypatch.setenv(zoo.WEIGHTS_VARIABLE, str(folder))
    known = {c.file: c for c in zoo.registry()}
    files = sorted(folder.glob("*.pt"))
    assert len(files) == 25
    for path in files:
        assert zoo.fetch(known[path.name]) == path


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_folder_is_used_in_place(form, checkpoint, cache, tmp_path, monkeypatch):
    monkeypatch.setenv(zoo.WEIGHTS_VARIABLE, form.format(tmp_path / "mirror"))
    with er.settings.override(offline=True):
        model = er.models.load(checkpoint.name)
    assert isinstance(model, EPInformerSeq)
    assert model.provenance["biosample"] == "toy"
    assert model.provenance["fold"] == 1
    assert not cache.exists()


def test_folder_with_upstream_paths(checkpoint, cache, tmp_path, monkeypatch):
    target = tmp_path / "clone" / checkpoint.path
    target.parent.mkdir(parents=True)
    (tmp_path / "mirror" / "toy.pt").rename(target)
    monkeypatch.setenv(zoo.WEIGHTS_VARIABLE, str(tmp_path / "clone"))
    assert zoo.fetch(checkpoint) == target


def test_download_once_then_from_the_cache(checkpoint, cache, server, monkeypatch):
    address, handler = server
    monkeypatch.setenv(zoo.WEIGHTS_VARIABLE, address)
    first = zoo.fetch(checkpoint)
    assert first == cache / "weights" / "toy.pt"
    assert handler.requests == 1
    zoo.fetch(checkpoint)
    assert handler.requests == 1


def test_upstream_address_is_used_without_a_mirror(checkpoint, cache, server, monkeypatch):
    address, _ = server
    there = dataclasses.replace(checkpoint, url=f"{address}/toy.pt")
    assert zoo.fetch(there).read_bytes()[:2] == b"PK"


def test_hash_mismatch_keeps_nothing(checkpoint, cache, server, tmp_path, monkeypatch):
    (tmp_path / "mirror" / "toy.pt").write_bytes(b"something else")
    monkeypatch.setenv(zoo.WEIGHTS_VARIABLE, server[0])
    with pytest.raises(
        ValueError, match=rf"its sha256 differs from the registered {checkpoint.sha256}; nothing was kept"
    ):
        zoo.fetch(checkpoint)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    monkeypatch.setenv(zoo.WEIGHTS_VARIABLE, str(tmp_path / "mirror"))
    with pytest.raises(ValueError, match=rf"is not {checkpoint.name}: its sha256 is .*, expected {checkpoint.sha256}"):
        zoo.fetch(checkpoint)


def test_missing_file_says_name_hash_and_place(checkpoint, cache, server, tmp_path, monkeypatch):
    (tmp_path / "mirror" / "toy.pt").unlink()

    def message():
        with pytest.raises(FileNotFoundError) as caught:
            zoo.fetch(checkpoint)
        text = str(caught.value)
        for part in ("toy.pt", checkpoint.sha256, checkpoint.path, str(cache / "weights"), zoo.WEIGHTS_VARIABLE):
            assert part in text
        return text

    with er.settings.override(offline=True):
        assert "settings.offline is on" in message()
    assert "cannot be read" in message()  # nobody listens at the upstream address
    monkeypatch.setenv(zoo.WEIGHTS_VARIABLE, server[0])
    assert "cannot be read" in message()  # the mirror answers 404
    monkeypatch.setenv(zoo.WEIGHTS_VARIABLE, str(tmp_path / "mirror"))
    assert "does not hold it" in message()


def test_unknown_names(cache):
    with pytest.raises(KeyError, match="no model 'nothing'"):
        er.models.load("nothing")
    with pytest.raises(KeyError, match="is a set of fold models"):
        er.models.load("EPInformer-PE-Activity/K562/CAGE")


class TestPackaged:
    """Small models that come with the package, trained on simulations."""

    NAMES = (
        "EPIPAM-small-simulated",
        "EPInformer-seq-small-simulated",
        "EPInformer-small-simulated",
        "ERNAformer-small-simulated",
    )

    def test_are_listed_and_small(self):
        assert set(zoo.packaged()) == set(self.NAMES)
        own = er.models.list().query("source == 'eregtools'")
        assert sorted(own["name"]) == sorted(self.NAMES)
        assert set(own["licence"]) == {"BSD-3-Clause"}
        sizes = [path.stat().st_size for folder in zoo.packaged().values() for path in folder.iterdir()]
        assert 0 < sum(sizes) <= 4 * 2**20

    @pytest.mark.parametrize("name", NAMES)
    def test_load_with_their_card_and_a_warning(self, name, caplog):
        with caplog.at_level("WARNING", logger="eregtools"), er.settings.override(offline=True):
            model = er.models.load(name)
        assert f"{name} was trained on simulated data alone" in caplog.text
        assert model.provenance["name"] == name
        assert model.provenance["simulated"] is True
        assert not {"fold", "test_chromosomes", "valid_chromosomes"} & set(model.provenance)
        folder = zoo.packaged()[name]
        about = json.loads((folder / "config.json").read_text())
        assert about["provenance"]["simulated"] is True
        assert about["fingerprint"] == model.fingerprint()
        assert "simulated data alone" in (folder / "README.md").read_text()

    def test_expression_is_predicted_better_than_by_the_promoter(self):
        mdata = er.datasets.demo(n_genes=200)
        er.tl.predict_expression(mdata, "EPInformer-small-simulated", assay="RNA", device="cpu")
        genes = mdata["genes"]
        measured = genes.layers["RNA"][0]
        by_model = np.corrcoef(measured, genes.layers["RNA_pred"][0])[0, 1]
        by_promoter = np.corrcoef(measured, np.log1p(genes.layers["promoter_activity"][0]))[0, 1]
        assert by_model > by_promoter + 0.05

    def test_published_models_are_listed_without_them(self, tmp_path, monkeypatch):
        zoo.registry()
        monkeypatch.setattr(zoo.resources, "files", lambda _: tmp_path)
        assert zoo.packaged() == {}
        assert len(er.models.list()) == 31
        with pytest.raises(KeyError, match="no model 'EPInformer-small-simulated'"):
            er.models.load("EPInformer-small-simulated")
