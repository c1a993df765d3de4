"""The object survives the disk, and the disk survives a failure."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import mudata
import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._keys import MRNA_FEATURES
from eregtools._schema import SchemaError, validate
from eregtools.datasets.toy import three_genes
from eregtools.io import store

EXTENSIONS = ["h5mu", "zarr"]


def filled(samples=("K562", "GM12878")):
    """An object with something in every slot that pp fills."""
    mdata = three_genes(samples)
    names = mdata["enhancers"].var_names
    values = np.random.default_rng(0).random((2, len(names)))
    tracks = dict.fromkeys(samples, values)
    er.pp.add_signal(mdata, tracks, assay="DNase")
    er.pp.add_signal(mdata, {samples[0]: values[0]}, assay="H3K27ac")
    er.pp.activity(mdata, totals={"DNase": [1e6, 2e6], "H3K27ac": {samples[0]: 1e6}})
    er.pp.link(mdata)
    er.pp.add_contacts(mdata)
    table = pd.DataFrame({name: [0.0, 5, 7] for name in samples}, index=["g1", "g2", "g3"])
    er.pp.add_expression(mdata, table, assay="RNA", transform="zscore(log10(x+0.1))")
    er.pp.mrna_features(mdata, pd.DataFrame(0.5, index=["g1", "g3"], columns=list(MRNA_FEATURES)))
    er.pp.split(mdata, {1: {"test": ["chr1"]}, 2: {"test": ["chr2"]}})
    return mdata


def assert_same(found, expected, where="uns"):
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for key, value in expected.items():
            assert_same(found[key], value, f"{where}/{key}")
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_names=False)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=where)
        if hasattr(expected, "dtype"):
            assert found.dtype == expected.dtype, where


def assert_same_object(found, expected):
    assert list(found.mod) == list(expected.mod)
    assert list(found.obs_names) == list(expected.obs_names)
    assert list(found.var_names) == list(expected.var_names)
    assert_same(dict(found.uns), dict(expected.uns))
    for name, adata in expected.mod.items():
        other = found[name]
        pd.testing.assert_frame_equal(other.obs, adata.obs)
        pd.testing.assert_frame_equal(other.var, adata.var, check_names=False)
        assert_same(dict(other.layers), dict(adata.layers), name)
        assert_same(dict(other.varm), dict(adata.varm), name)
        assert_same(dict(other.uns), dict(adata.uns), name)
        assert_same(other.X, adata.X, f"{name}: X")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_round_trip(tmp_path, extension):
    mdata, path = filled(), tmp_path / f"study.{extension}"
    er.io.write(mdata, path)
    assert_same_object(er.io.read(path), filled())
    validate(er.io.read(path))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_writing_replaces_and_can_be_read_by_mudata(tmp_path, extension):
    path = tmp_path / f"study.{extension}"
    er.io.write(three_genes(), path)
    er.io.write(filled(), path)
    assert "links" in mudata.read(path).mod if extension == "h5mu" else mudata.read_zarr(path).mod
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
def test_compressions(tmp_path, compression):
    er.io.write(filled(), tmp_path / "study.h5mu", compression=compression)
    with h5py.File(tmp_path / "study.h5mu") as file:
        assert file["mod/enhancers/layers/DNase"].compression == compression
    with pytest.raises(ValueError, match="compression"):
        er.io.write(filled(), tmp_path / "study.h5mu", compression="blosc")


def test_an_invalid_object_is_not_written(tmp_path):
    mdata = filled()
    mdata.uns["eregtools"]["a/b"] = 1
    with pytest.raises(SchemaError, match="no '/'"):
        er.io.write(mdata, tmp_path / "study.h5mu")
    assert not list(tmp_path.iterdir())


def test_bad_paths(tmp_path):
    with pytest.raises(ValueError, match=r"expected \.h5mu or \.zarr"):
        er.io.write(three_genes(), tmp_path / "study.h5ad")
    with pytest.raises(FileNotFoundError, match="folder"):
        er.io.write(three_genes(), tmp_path / "none" / "study.h5mu")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        er.io.read(tmp_path / "study.zarr")
    with pytest.raises(ValueError, match="expected"):
        er.io.read(tmp_path / "study")


def test_damaged_files(tmp_path):
    path = tmp_path / "study.h5mu"
    er.io.write(filled(), path)
    content = path.read_bytes()
    for broken in (content[: len(content) // 2], b"", b"text"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="damaged or holds something else"):
            er.io.read(path)
    path.unlink()
    with h5py.File(path, "w") as file:
        file["numbers"] = [1, 2]
    with pytest.raises(ValueError, match="damaged or holds something else"):
        er.io.read(path)
    (tmp_path / "study.zarr").mkdir()
    with pytest.raises(ValueError, match="damaged or holds something else"):
        er.io.read(tmp_path / "study.zarr")


def test_files_of_a_newer_version(tmp_path):
    er.io.write(three_genes(), tmp_path / "study.h5mu")
    with h5py.File(tmp_path / "study.h5mu", "r+") as file:
        del file["uns/eregtools/schema_version"]
        file["uns/eregtools/schema_version"] = 99
        file["uns/eregtools/schema_version"].attrs.update(
            {"encoding-type": "numeric-scalar", "encoding-version": "0.2.0"}
        )
    with pytest.raises(ValueError, match="update eregtools"):
        er.io.read(tmp_path / "study.h5mu")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, extension):
    path = tmp_path / f"study.{extension}"
    er.io.write(three_genes(), path)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if extension == "h5mu":
        created = []
        create = h5py.Group.create_dataset

        def until_full(group, *args, **kwargs):
            created.append(1)
            return full() if len(created) > 12 else create(group, *args, **kwargs)

        monkeypatch.setattr(h5py.Group, "create_dataset", until_full)
    else:
        monkeypatch.setattr(store, "_flush_folder", full)
    with pytest.raises(OSError, match="No space left"):
        er.io.write(filled(), path)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert_same_object(er.io.read(path), three_genes())


def test_an_old_folder_comes_back_when_the_new_one_cannot_take_its_place(tmp_path, monkeypatch):
    path = tmp_path / "study.zarr"
    er.io.write(three_genes(), path)
    rename = Path.rename

    def refused(self, target):
        if ".tmp" in self.name:
            raise OSError(errno.EIO, "input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="input/output"):
        er.io.write(filled(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["study.zarr"]
    assert_same_object(er.io.read(path), three_genes())


KILLED = """
import os, signal, sys
import h5py, zarr
import eregtools as er
from eregtools.datasets.toy import three_genes

mdata = three_genes(["K562", "GM12878"])
er.pp.link(mdata)
left = 12

def kill_later(create):
    def until_killed(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return create(*args, **kwargs)
    return until_killed

h5py.Group.create_dataset = kill_later(h5py.Group.create_dataset)
zarr.Group.create_array = kill_later(zarr.Group.create_array)
er.io.write(mdata, sys.argv[1])
"""


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_killed_process_leaves_the_old_file(tmp_path, extension):
    path = tmp_path / f"study.{extension}"
    er.io.write(three_genes(), path)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(list(tmp_path.iterdir())) == 2  # the old file, and what was being written
    assert_same_object(er.io.read(path), three_genes())
    er.io.write(filled(), path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_folder_left_aside_is_told(tmp_path):
    er.io.write(three_genes(), tmp_path / "study.zarr")
    (tmp_path / "study.zarr").rename(tmp_path / ".study.zarr.host.1.old.zarr")
    with pytest.raises(FileNotFoundError, match=r"its last version is .*\.old\.zarr"):
        er.io.read(tmp_path / "study.zarr")


def test_samples_update_and_concat_keep_the_object_valid():
    mdata = filled(["K562", "GM12878"])
    one = mdata[["GM12878"]].copy()
    validate(one)
    mdata.update()
    validate(mdata)
    assert_same_object(mdata, filled())
    both = mudata.concat([filled(["K562"]), filled(["HepG2"])], merge="same", uns_merge="same")
    validate(both)
    assert list(both.obs_names) == ["K562", "HepG2"]
    assert list(both["links"].var.columns) == ["gene", "enhancer", "distance"]
    assert both["genes"].X.shape == (2, 3)
    assert both.uns["eregtools"]["genome"] == "toy"
