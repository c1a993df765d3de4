"""Models as folders and in repositories: card, what is kept beside the weights, what comes back, what is refused."""

from __future__ import annotations

import hashlib
import http.server
import json
import logging
import re
import shutil
import sys
import threading
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import eregtools as er
from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig, model_card, zoo
from networks import randomised
from world import make_world

CHANNELS = (8, 8, 8, 8, 8)
OFFLINE = "settings.offline is on"


def expression_model(fold=1, test=("chr2",), seed=0):
    config = EPInformerConfig(window=512, embedding_dim=32, n_layers=1, tower_channels=CHANNELS, n_slot_features=2)
    model = randomised(EPInformer(config), seed)
    model.provenance = {
        "name": f"EPInformer-PE-Activity/K562/RNA/fold{fold}",
        "biosample": "K562",
        "assay": "RNA",
        "fold": fold,
        "fold_scheme": "custom",
        "valid_chromosomes": ["chr22"],
        "test_chromosomes": list(test),
        "recipe": "log",
        "data_sha256": "d" * 64,
        "sha256": model.fingerprint(),
        "training": {"loss": "smooth L1", "learning_rate": 0.0005, "best_epoch": 7, "val_loss": 0.25, "val_r": 0.8125},
    }
    return model


def same(a, b):
    states = a.state_dict(), b.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestCard:
    def test_header_is_what_the_hub_reads(self):
        from huggingface_hub import ModelCard

        card = ModelCard(model_card(expression_model()))
        assert card.data.library_name == "eregtools"
        assert {"eregtools", "EPInformer", "K562"} <= set(card.data.tags)
        assert card.data.license is None, "it is not known"
        published = EPInformerSeq()
        published.provenance = next(c for c in zoo.registry() if c.family == "EPInformer-seq").provenance
        assert ModelCard(model_card(published)).data.license == "mit"

    def test_facts_are_those_of_the_model(self):
        model = expression_model()
        text = model_card(model)
        cells = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE))
        assert cells["Parameters"] == f"{sum(p.numel() for p in model.parameters()):,}"
        assert cells["`tower_channels`"] == "8, 8, 8, 8, 8"
        assert cells["Data (sha256)"] == "d" * 64
        assert cells["Weights (sha256)"] == model.fingerprint()
        assert (cells["learning rate"], cells["validation loss"], cells["validation r"]) == ("0.0005", "0.25", "0.8125")
        assert (cells["Chromosomes left out"], cells["Chromosomes that chose the epoch"]) == ("chr2", "chr22")
        assert 'er.tl.predict_expression(mdata, model, assay="RNA")' in text
        assert "A score on any other than chr2 is not a test" in text
        assert "10.1038/s41467-026-70535-8" in text

    def test_every_feature_of_the_recipe_is_there_in_order(self):
        text = model_card(expression_model())
        rows = re.findall(r"^\| `(\w+)` \| (enhancer|gene) \| `(.+?)` \| (.*?) \|$", text, re.MULTILINE)
        recipe = er.models.get_recipe("log", n_slot_features=2, n_gene_features=9)
        own = [f"`{f.promoter}` of its own" if isinstance(f.promoter, str) else "0" for f in recipe.slot_features]
        expected = [(f.name, "enhancer", f.transform, slot) for f, slot in zip(recipe.slot_features, own, strict=True)]
        expected += [(f.name, "gene", f.transform, "") for f in recipe.gene_features]
        assert [(name, of, transform.replace("\\|", "|"), slot) for name, of, transform, slot in rows] == expected
        assert "an unknown base (N) is 0.25" in text

    def test_what_is_not_known_is_said(self):
        text = model_card(EPInformer())
        assert "| Biosample | not known |" in text
        assert "The recipe of the features is not known" in text
        assert "How these weights were trained is not known" in text
        assert "No metrics are stored" in text
        assert "It is not known which chromosomes it never saw" in text
        model = EPInformer()
        model.provenance = {"recipe": "v9"}
        assert "is `v9`, which eregtools" in model_card(model)

    def test_published_scheme_says_what_a_fold_left_out(self):
        model = EPInformer()
        model.provenance = {"fold_scheme": "epinformer12", "fold": 12}
        text = model_card(model)
        assert "It never saw chr1; chr2, chr22 chose its epoch" in text

    @pytest.mark.parametrize("form", ["table", "rows", "named"])
    def test_evaluation(self, form, tmp_path):
        table = pd.DataFrame({"r": [0.75, 0.5], "n": [100, 90]}, index=pd.Index(["model", "baseline"], name="who"))
        model = expression_model()
        model.provenance["evaluation"] = {
            "table": table,
            "rows": table.reset_index().to_dict("records"),
            "named": {"model": {"r": 0.75}, "baseline": {"r": 0.5}},
        }[form]
        text = model_card(model)
        expected = ["model r | 0.75", "baseline r | 0.5"] if form == "named" else ["model | 0.75 | 100", "who | r | n"]
        assert all(f"| {row} |" in text for row in expected)
        model.save(tmp_path)
        stored = er.models.load(tmp_path).provenance["evaluation"]
        assert model_card(er.models.load(tmp_path)) == text
        if form != "named":
            assert stored == [{"who": "model", "r": 0.75, "n": 100}, {"who": "baseline", "r": 0.5, "n": 90}]

    def test_stages_and_unforeseen_facts_are_shown_and_curves_are_not(self):
        model = expression_model()
        model.provenance["training"] = {
            "stages": [{"epochs": 3, "val_r": 0.5}, {"epochs": 9, "val_r": 0.75}],
            "history": {"epoch": list(range(500)), "val_loss": [0.1] * 500},
            "train_loss": 0.5,
        }
        model.provenance["data_sha256"] = {"train": "a" * 64, "valid": "b" * 64}
        model.provenance["biosample"] = ["K562", "GM12878"]
        model.provenance["encoder"] = {"name": "a|b", "note": None}
        text = model_card(model)
        for row in (
            "stages 2 epochs | 9",
            "stages 1 validation r | 0.5",
            r"encoder name | a\|b",
            "encoder note | none",
        ):
            assert f"| {row} |" in text
        assert f"| Data (sha256) valid | {'b' * 64} |" in text
        assert text.index("| training loss | 0.5 |") < text.index("## Metrics")
        assert "It belongs to K562, GM12878." in text
        assert {"K562", "GM12878"} <= set(yaml.safe_load(text.split("---\n")[1])["tags"])
        assert "history" not in text
        assert len(text) < 9_000


class TestFolder:
    def test_everything_stands_beside_the_weights(self, tmp_path):
        model = expression_model()
        model.save(tmp_path)
        assert sorted(files_of(tmp_path)) == ["README.md", "config.json", "model.safetensors"]
        about = json.loads((tmp_path / "config.json").read_text())
        assert about["provenance"] == model.provenance
        assert about["fingerprint"] == model.fingerprint()
        assert re.fullmatch(r"\d+\.\d+.*", about["eregtools_version"])
        recipe = er.models.get_recipe("log", n_slot_features=2, n_gene_features=9)
        assert about["recipe"] == json.loads(json.dumps(recipe.as_dict()))
        header = (tmp_path / "README.md").read_text().split("---\n")[1]
        assert yaml.safe_load(header)["library_name"] == "eregtools"

    def test_failure_leaves_the_old_files(self, tmp_path, monkeypatch):
        expression_model().save(tmp_path)
        before = files_of(tmp_path)
        other = expression_model(fold=2, seed=1)
        other.provenance["when"] = pd.Timestamp("2026-01-01")
        with pytest.raises(TypeError, match=r"provenance holds a Timestamp, which config\.json cannot"):
            other.save(tmp_path)
        del other.provenance["when"]

        def full(*_):
            raise OSError("No space left on device")

        monkeypatch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(OSError, match="No space left"):
            other.save(tmp_path)
        assert files_of(tmp_path) == before

    def test_weights_of_another_model_are_refused(self, tmp_path):
        for seed in (0, 1):
            expression_model(seed=seed).save(tmp_path / str(seed))
        shutil.copy(tmp_path / "1" / "model.safetensors", tmp_path / "0" / "model.safetensors")
        with pytest.raises(ValueError, match=r"are not those that its config\.json describes"):
            er.models.load(tmp_path / "0")

    def test_folders_written_before_there_was_a_fingerprint(self, tmp_path):
        model = expression_model()
        model.save(tmp_path)
        about = json.loads((tmp_path / "config.json").read_text())
        for key in ("fingerprint", "recipe"):
            del about[key]
        (tmp_path / "config.json").write_text(json.dumps(about))
        assert same(er.models.load(tmp_path), model)

    def test_a_path_comes_before_a_name(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        name = zoo.registry()[0].name
        model = expression_model()
        model.save(name)
        assert same(er.models.load(name), model)

    def test_published_weights_are_not_hidden_by_a_folder_of_their_name(self, tmp_path, monkeypatch):
        from eregtools.tl._models import model_set

        monkeypatch.chdir(tmp_path)
        published = {c.fold: c.sha256 for c in zoo.find("EPInformer-PE-Activity/K562/CAGE")}
        expression_model().save("EPInformer-PE-Activity/K562/CAGE/fold1")
        found = model_set(
            None,
            sample="K562",
            biosample="K562",
            family=["EPInformer-PE-Activity"],
            assay="CAGE",
            expected=EPInformer,
            allow_cross_cell=False,
        )
        assert {fold: source.key for fold, source in found.sources.items()} == published

    def test_set_of_folds_is_named(self, tmp_path):
        for fold in (1, 2):
            expression_model(fold).save(tmp_path / f"fold{fold}")
        with pytest.raises(KeyError, match=r"is a set of fold models; name one of them: .*fold1, fold2"):
            er.models.load(tmp_path)


class Hub(http.server.ThreadingHTTPServer):
    """As much of the Hugging Face Hub as a download needs; a revision is a dictionary of files."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.requests: list[str] = []
        self.cut: set[str] = set()
        self.status = 200

    def push(self, repo, files, branch="main"):
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        revisions = self.repos.setdefault(repo, {})
        revisions[branch] = revisions[commit] = files
        return commit


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlparse(self.path).path).strip("/")
        self.server.requests.append(path)
        if self.server.status != 200:
            return self.say(self.server.status, b"busy")
        if found := re.fullmatch(r"api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            return self.listing(found[1], found[2] or "revision", found[3] or "main")
        found = re.fullmatch(r"([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        return self.file(*found.groups())

    def listing(self, repo, what, revision):
        if repo not in self.server.repos:
            return self.say(401, b"{}", **{"X-Error-Code": "RepoNotFound"})
        revisions = self.server.repos[repo]
        if revision not in revisions:
            return self.say(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
        files = revisions[revision]
        commit = next(name for name, value in revisions.items() if value is files and len(name) == 40)
        answer = [{"type": "file", "path": name, "size": len(data), "oid": commit} for name, data in files.items()]
        if what == "revision":
            siblings = [{"rfilename": name} for name in files]
            answer = {"id": repo, "modelId": repo, "sha": commit, "siblings": siblings, "private": False, "tags": []}
        return self.say(200, json.dumps(answer).encode(), **{"Content-Type": "application/json"})

    def file(self, repo, revision, name):
        data = self.server.repos[repo][revision].get(name)
        if data is None:
            return self.say(404, b"", **{"X-Error-Code": "EntryNotFound"})
        sent = data[: len(data) // 2] if name in self.server.cut and self.command == "GET" else data
        return self.say(200, sent, **{"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": revision})

    def say(self, status, data, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(data), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def cache(tmp_path):
    with er.settings.override(cache_dir=tmp_path / "cache", offline=False):
        yield tmp_path / "cache"


def _forget_connections():
    """huggingface_hub keeps connections, with the proxies of the time when they were made."""
    import huggingface_hub
    from huggingface_hub import utils

    (getattr(huggingface_hub, "close_session", None) or utils._http.reset_sessions)()


@pytest.fixture
def hub(cache, monkeypatch, tmp_path):
    """A hub of our own, whatever the environment says of proxies, tokens and the real one."""
    from huggingface_hub import constants

    for name in ("http_proxy", "https_proxy", "all_proxy", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    _forget_connections()
    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()
    _forget_connections()


@pytest.fixture
def saved(tmp_path):
    """Files of a saved model, and the model."""
    model = expression_model()
    model.save(tmp_path / "saved")
    return files_of(tmp_path / "saved"), model


def left_in(cache):
    return [path for path in cache.rglob("*") if path.is_file() or path.name.endswith(".part")]


class TestHub:
    def test_what_was_saved_comes_back_and_stays(self, hub, saved, cache):
        files, model = saved
        commit = hub.push("lab/model", {**files, "optimizer.pt": b"pickle", "notes.txt": b"x", ".gitattributes": b""})
        loaded = er.models.load("lab/model")
        assert same(loaded, model)
        assert loaded.provenance == model.provenance
        assert not loaded.training
        assert files_of(cache / "hub" / "lab--model" / commit) == files, "nothing but the model was fetched"

        n = len(hub.requests)
        er.models.load("lab/model")
        assert not [path for path in hub.requests[n:] if "/resolve/" in path], "nothing is fetched twice"
        n = len(hub.requests)
        with er.settings.override(offline=True):
            assert same(er.models.load("lab/model"), model)
            assert len(hub.requests) == n
            shutil.rmtree(cache / "hub" / "lab--model" / commit)
            with pytest.raises(FileNotFoundError, match=OFFLINE):
                er.models.load("lab/model")
        assert same(er.models.load("lab/model"), model)

    def test_revisions(self, hub, saved, tmp_path):
        files, model = saved
        old = hub.push("lab/model", files)
        newer = expression_model(seed=5)
        newer.save(tmp_path / "newer")
        hub.push("lab/model", files_of(tmp_path / "newer"), branch="main")
        hub.push("lab/model", files, branch="v1")
        assert same(er.models.load("lab/model"), newer)
        assert same(er.models.load("lab/model@v1"), model)
        n = len(hub.requests)
        assert same(er.models.load(f"lab/model@{old}"), model)
        assert len(hub.requests) == n, "a commit does not change"
        with pytest.raises(KeyError, match="repository lab/model has no revision 'v2'"):
            er.models.load("lab/model@v2")

    def test_fold_models_predict_as_their_folder_does(self, hub, tmp_path):
        world = make_world(tmp_path)
        mdata = world.build(["K562"])
        for fold, test in {1: ["chr2"], 2: ["chr1"]}.items():
            expression_model(fold, test, seed=fold).save(tmp_path / "folds" / "rna" / f"fold{fold}")
        hub.push("lab/models", {**files_of(tmp_path / "folds"), "README.md": b"# ours"})
        for source, key in ((tmp_path / "folds" / "rna", "folder"), ("lab/models/rna", "hub")):
            er.tl.predict_expression(
                mdata, source, assay="RNA", fold="auto", genome=world.genome, device="cpu", key_added=key
            )
        layers = mdata["genes"].layers
        assert np.array_equal(layers["hub"], layers["folder"], equal_nan=True)
        chromosome = mdata["genes"].var["Chromosome"].to_numpy()
        assert np.array_equal(np.isfinite(layers["hub"][0]), np.isin(chromosome, ["chr1", "chr2"]))

        assert er.models.load("lab/models/rna/fold2").provenance["fold"] == 2
        with pytest.raises(KeyError, match=r"'lab/models/rna' is a set of fold models.*fold1, fold2"):
            er.models.load("lab/models/rna")
        with pytest.raises(KeyError, match="holds no folder 'rna/fold3' with a model; it has rna/fold1, rna/fold2"):
            er.models.load("lab/models/rna/fold3")

    def test_repository_that_is_not_there(self, hub, cache):
        with pytest.raises(KeyError, match=r"neither a path, nor a published model, nor .*lab/none does not exist"):
            er.models.load("lab/none")
        assert not left_in(cache)

    def test_pickled_weights_are_refused(self, hub, cache):
        hub.push("lab/old", {"config.json": b"{}", "pytorch_model.bin": b"\x80\x04", "model.pt": b"PK"})
        with pytest.raises(FileNotFoundError, match=r"lab/old holds no model\.safetensors .*pickled weights could run"):
            er.models.load("lab/old")
        with pytest.raises(FileNotFoundError, match="no checkpoint at"):
            er.models.load("lab/old/model.pt")
        assert not left_in(cache)
        assert not [path for path in hub.requests if "/resolve/" in path]

    def test_models_of_other_software_are_refused_before_their_weights_are_fetched(self, hub, cache):
        hub.push("lab/bert", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"0" * 100})
        with pytest.raises(ValueError, match=r"lab/bert: config\.json does not describe a model of eregtools"):
            er.models.load("lab/bert")
        assert not [path for path in hub.requests if path.endswith(".safetensors")]
        assert not left_in(cache)

    def test_missing_config(self, hub, saved, cache):
        hub.push("lab/model", {"fold1/model.safetensors": saved[0]["model.safetensors"]})
        with pytest.raises(FileNotFoundError, match=r"lab/model holds weights without fold1/config\.json"):
            er.models.load("lab/model")
        assert not left_in(cache)

    @pytest.mark.parametrize("damage", ["cut", "changed"])
    def test_damaged_weights(self, hub, saved, damage):
        files, _ = saved
        data = files["model.safetensors"]
        bad = data[:-40] if damage == "cut" else data[:-4] + b"\x00\x00\x80\x3f"
        hub.push("lab/model", {**files, "model.safetensors": bad})
        with pytest.raises(ValueError, match=r"lab--model.* cannot be read as a model|are not those that its config"):
            er.models.load("lab/model")

    def test_broken_transfer_leaves_nothing(self, hub, saved, cache):
        files, model = saved
        hub.push("lab/model", {f"fold{i}/{name}": data for i in (1, 2) for name, data in files.items()})
        hub.cut = {"fold2/model.safetensors"}
        with pytest.raises(OSError, match=r"'lab/model/fold1' is neither .* cannot be read \(\w+: .*"):
            er.models.load("lab/model/fold1")
        assert not left_in(cache)
        with er.settings.override(offline=True), pytest.raises(FileNotFoundError, match=OFFLINE):
            er.models.load("lab/model/fold1")
        hub.cut = set()
        assert same(er.models.load("lab/model/fold1"), model)

    def test_offline_and_never_fetched(self, hub, cache):
        with er.settings.override(offline=True), pytest.raises(FileNotFoundError, match="load it once with a network"):
            er.models.load("lab/model")
        assert not hub.requests
        assert not cache.exists()

    @pytest.mark.parametrize("trouble", ["no network", "server error", "HF_HUB_OFFLINE"])
    def test_hub_out_of_reach(self, trouble, hub, saved, monkeypatch, caplog):
        from huggingface_hub import constants

        files, model = saved
        hub.push("lab/model", files)
        er.models.load("lab/model")
        if trouble == "no network":
            monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
        elif trouble == "server error":
            hub.status = 403
        else:
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
            monkeypatch.setattr(constants, "is_offline_mode", lambda: True, raising=False)
            _forget_connections()
        with caplog.at_level(logging.WARNING, logger="eregtools"):
            assert same(er.models.load("lab/model"), model)
        assert "lab/model cannot be read" in caplog.text
        assert "which was fetched before" in caplog.text
        with pytest.raises(OSError, match=r"'lab/other' is neither a path .* cannot be read"):
            er.models.load("lab/other")

    def test_library_is_named_where_it_lacks(self, cache, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ImportError, match=r"'lab/model' is neither a path.*pip install 'eregtools\[hub\]'"):
            er.models.load("lab/model")

    @pytest.mark.parametrize("name", ["nothing", "a/b/../c", "/no/such/path", "a/b@", "https://x.org/a/b", "a b/c"])
    def test_what_is_no_address_is_not_looked_for(self, name, hub):
        with pytest.raises(KeyError, match="neither a path that exists, nor one of EPInformer"):
            er.models.load(name)
        assert not hub.requests

    def test_published_names_are_not_looked_for(self, hub):
        with pytest.raises(KeyError, match="no model 'EPInformer-PE-Activity/K562/CAGE/fold99'"):
            er.models.load("EPInformer-PE-Activity/K562/CAGE/fold99")
        assert not hub.requests


def test_seq_model_with_its_own_card(tmp_path):
    model = randomised(EPInformerSeq(EPInformerSeqConfig(hidden=8, tower_channels=CHANNELS)))
    model.save(tmp_path)
    assert "er.tl.predict_activity(mdata, model)" in (tmp_path / "README.md").read_text()
    assert json.loads((tmp_path / "config.json").read_text())["recipe"] is None
