"""Trainings that are killed and resumed, and those of several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import eregtools as er
from training_runs import activity, expression
from training_world import make_training_world

RUNS = Path(__file__).with_name("training_runs.py")


def run(*command, **environment):
    env = os.environ | {"OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def weights(folder):
    return er.models.load(folder).state_dict()


@pytest.fixture(scope="module")
def mdata(tmp_path_factory):
    return make_training_world(tmp_path_factory.mktemp("engine"))


def test_a_killed_training_ends_with_the_weights_of_a_whole_one(tmp_path):
    messages = run(str(RUNS), "killed", str(tmp_path))
    assert "Error" not in messages, messages
    for name, n_broken in (("expression", 3), ("double", 1), ("activity", 3)):
        whole = weights(tmp_path / name)
        broken = sorted(tmp_path.glob(f"{name}-*"))
        assert len(broken) == n_broken
        for folder in broken:
            resumed = weights(folder)
            assert all(torch.equal(whole[key], resumed[key]) for key in whole), folder.name
            assert (folder / "log" / "metrics.csv").read_text() == (tmp_path / name / "log" / "metrics.csv").read_text()
            about = [er.models.load(f).provenance for f in (folder, tmp_path / name)]
            assert about[0] == about[1]
            assert {p.name for p in folder.iterdir()} >= {"model.safetensors", "config.json", "training.json", "log"}
            assert not (folder / "checkpoints").exists()


def test_two_processes_take_the_steps_of_one(tmp_path):
    losses, valid = {}, {}
    for n in (1, 2):
        folder = tmp_path / str(n)
        folder.mkdir()
        launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(n), "--master-port", "0"]
        run(*launch, "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", str(RUNS), "shared", str(folder))
        parts = [json.loads((folder / f"losses{rank}.json").read_text()) for rank in range(n)]
        losses[n] = np.mean([part[0] for part in parts], axis=0)
        valid[n] = [part[1] for part in parts]
    assert len(losses[1]) == len(losses[2]) >= 20
    assert np.abs(losses[1] - losses[2])[:20].max() <= 1e-5
    assert np.ptp(losses[1][:20]) > 0.01
    assert valid[2] == pytest.approx(valid[1] * 2, abs=1e-5)
    one, two = weights(tmp_path / "1" / "model"), weights(tmp_path / "2" / "model")
    assert all(torch.allclose(one[key].float(), two[key].float(), atol=1e-5) for key in one)


class TestFolder:
    def test_is_not_empty(self, mdata, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(FileExistsError, match="is not empty; pass resume=True"):
            activity(mdata, tmp_path, max_epochs=1)
        with pytest.raises(FileNotFoundError, match="no training in it to resume"):
            activity(mdata, tmp_path, max_epochs=1, resume=True)
        assert (tmp_path / "notes.txt").read_text() == "mine"
        activity(mdata, tmp_path, max_epochs=1, overwrite=True)
        assert (tmp_path / "notes.txt").read_text() == "mine"
        assert er.models.load(tmp_path).provenance["training"]["epochs"] == 1
        with pytest.raises(NotADirectoryError, match="is a file"):
            activity(mdata, tmp_path / "notes.txt", max_epochs=1)

    def test_finished_model_is_loaded_again(self, mdata, tmp_path, caplog):
        first = activity(mdata, tmp_path / "m", max_epochs=1)
        stamp = (tmp_path / "m" / "model.safetensors").stat().st_mtime_ns
        with caplog.at_level("INFO", logger="eregtools"):
            again = activity(mdata, tmp_path / "m", max_epochs=1, resume=True)
        assert "holds the finished model" in caplog.text
        assert (tmp_path / "m" / "model.safetensors").stat().st_mtime_ns == stamp
        assert again.fingerprint() == first.fingerprint()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"max_epochs": 3}, r"another regime\.stages"),
            ({"batch_size": 32}, r"another regime\.batch_size \(.*64, now 32\)"),
            ({"rng": 6}, "another seed"),
            ({"reverse_complement": False}, "another data_sha256.train, reverse_complement"),
        ],
    )
    def test_resumed_with_another_configuration(self, mdata, tmp_path, change, message):
        activity(mdata, tmp_path / "m", max_epochs=1)
        with pytest.raises(ValueError, match=message):
            activity(mdata, tmp_path / "m", **({"max_epochs": 1, "resume": True} | change))

    def test_resumed_with_other_data(self, mdata, tmp_path):
        activity(mdata, tmp_path / "m", max_epochs=1)
        other = mdata.copy()
        other["enhancers"].layers["activity"][0, :3] += 1
        with pytest.raises(ValueError, match=r"another data_sha256\.train"):
            activity(other, tmp_path / "m", max_epochs=1, resume=True)


def test_bfloat16_learns_much_the_same(mdata):
    r = [
        expression(mdata, None, max_epochs=3, precision=precision).provenance["training"]["train_loss"]
        for precision in ("32", "bf16")
    ]
    assert r[1] == pytest.approx(r[0], rel=0.2)
    assert r[1] != r[0]


def test_moments_are_taken_in_single_precision():
    from eregtools.models.normalisation import BatchNorm

    torch.manual_seed(0)
    x = (3 + torch.randn(40, 8, 64)).bfloat16()
    times = torch.randint(1, 4, (40,)).float()
    times[7] = 701
    norms = [BatchNorm(8).train(), BatchNorm(8).train()]
    norms[0](x, times)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        norms[1](x, times)
    assert torch.allclose(norms[0].running_mean, norms[1].running_mean, rtol=1e-6)
    assert torch.allclose(norms[0].running_var, norms[1].running_var, rtol=1e-6)


def test_memory_that_is_not_there_is_recognised():
    from eregtools.train.fit import _is_out_of_memory

    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**15)
    assert _is_out_of_memory(raised.value)
    assert not _is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_out_of_memory_says_which_setting_to_lower(mdata, monkeypatch):
    from eregtools.train.modules import ActivityRegression

    def full(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(ActivityRegression, "predict", full)
    with pytest.raises(MemoryError, match="out of memory at batch_size=64; lower batch_size"):
        activity(mdata, None, max_epochs=1)


def test_tensorboard_is_optional(mdata, tmp_path, monkeypatch):
    from eregtools.train import fit

    made = []
    monkeypatch.setattr(fit, "find_spec", lambda name: name == "tensorboard")
    monkeypatch.setattr(fit, "TensorBoardLogger", lambda *args, **kwargs: made.append((args, kwargs)) or False)
    activity(mdata, tmp_path / "m", max_epochs=1)
    assert made[0][0] == (tmp_path / "m",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"devices": 0}, "devices is 0"),
        ({"precision": "16"}, "precision is '16'"),
        ({"regime": "mine"}, "regime is 'mine'; expected one of paper, published, eregtools"),
        ({"gradient_clip": -1.0}, "gradient_clip is -1"),
    ],
)
def test_settings_without_sense(mdata, change, message):
    with pytest.raises(ValueError, match=message):
        activity(mdata, None, **change)
