"""Curves of a training: how logs are read, and what of them is drawn."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools.models import EPInformerSeq, EPInformerSeqConfig
from eregtools.pl._epochs import read_epochs
from world import make_world

mpl.use("Agg")
import matplotlib.pyplot as plt

LOG = """epoch,step,train_loss,val_loss,val_r
0,6,,2.0,0.1
0,6,3.0,,
1,13,,1.5,0.3
1,13,2.0,,
2,20,,1.75,0.4
2,20,1.0,,
"""
"""As Lightning's CSVLogger writes it: training and validation on lines of their own."""


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def log_of(valid, *, stage=None, fold=None):
    """Raw log of a training with these validation losses."""
    n = len(valid)
    epoch = np.repeat(np.arange(n), 2)
    table = pd.DataFrame({"epoch": epoch, "step": 7 * epoch, "train_loss": np.nan, "val_loss": np.nan, "val_r": np.nan})
    table.loc[::2, "val_loss"] = np.asarray(valid, dtype=float)
    table.loc[::2, "val_r"] = 1 - np.asarray(valid, dtype=float)
    table.loc[1::2, "train_loss"] = np.linspace(3, 1, n)
    return table.assign(**{k: v for k, v in {"stage": stage, "fold": fold}.items() if v is not None})


def write(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(table) if isinstance(table, str) else table.to_csv(path, index=False)


def lines(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


class TestReading:
    @pytest.mark.parametrize("place", ["m/log/metrics.csv", "m/metrics.csv"])
    @pytest.mark.parametrize("named", ["m", "file"])
    def test_lines_of_an_epoch_are_joined(self, tmp_path, place, named):
        write(LOG, tmp_path / place)
        curves = read_epochs(str(tmp_path / (place if named == "file" else named)))
        assert curves[["epoch", "train_loss", "val_loss", "val_r"]].to_numpy().tolist() == [
            [1, 3.0, 2.0, 0.1],
            [2, 2.0, 1.5, 0.3],
            [3, 1.0, 1.75, 0.4],
        ]
        assert set(curves["fold"]) == set(curves["stage"]) == {""}

    def test_stages_in_one_file_or_in_folders_are_the_same(self, tmp_path):
        stages = {stage: log_of(valid) for stage, valid in {1: [3, 2], 2: [2, 1, 1.5], 10: [1]}.items()}
        for stage, table in stages.items():
            write(table, tmp_path / "folders" / "log" / f"stage{stage}" / "metrics.csv")
        joined = pd.concat([table.assign(stage=stage) for stage, table in stages.items()])
        write(joined, tmp_path / "file" / "log" / "metrics.csv")
        one, other = (read_epochs(tmp_path / name) for name in ("folders", "file"))
        pd.testing.assert_frame_equal(one, other, check_like=True)
        assert one.groupby("stage", sort=False)["epoch"].apply(list).to_dict() == {
            "1": [1, 2],
            "2": [1, 2, 3],
            "10": [1],
        }

    def test_epochs_that_go_on_through_the_stages_are_counted_within_each(self):
        table = pd.DataFrame({"epoch": range(5), "stage": [1, 1, 1, 2, 2], "val_loss": [5.0, 4, 3, 2, 1]})
        assert read_epochs(table)["epoch"].tolist() == [1, 2, 3, 1, 2]

    @pytest.mark.parametrize("kept_in", ["config.json", "training.json", "model"])
    def test_best_is_what_the_regime_monitors(self, tmp_path, kept_in):
        table = pd.DataFrame({"epoch": [1, 2, 3], "val_loss": [3.0, 1.0, 2.0], "val_minus_r2": [-0.1, -0.2, -0.3]})
        model = EPInformerSeq()
        model.provenance = {"training": {"monitor": "r2", "history": table.to_dict("list")}}
        write(table, tmp_path / "log" / "metrics.csv")
        if kept_in == "config.json":
            model.save(tmp_path)
        (tmp_path / "training.json").write_text('{"regime": {"monitor": "r2"}}')
        curves = read_epochs(model if kept_in == "model" else tmp_path)
        assert curves["best"].tolist() == [False, False, True]
        assert read_epochs(table)["best"].tolist() == [False, True, False]

    def test_fold_models_and_a_model(self, tmp_path):
        for fold in (10, 2, 1):
            write(log_of([3, 2, fold]), tmp_path / f"fold{fold}" / "log" / "metrics.csv")
        curves = read_epochs(tmp_path)
        assert curves["fold"].unique().tolist() == ["1", "2", "10"]
        assert curves.loc[curves["epoch"] == 3, "val_loss"].tolist() == [1, 2, 10]
        model = EPInformerSeq()
        model.provenance = {"training": {"history": {"epoch": [0, 1], "val_loss": [2.0, 1.0]}}}
        assert read_epochs(model)["val_loss"].tolist() == [2, 1]

    @pytest.mark.parametrize("regime", ["eregtools", "published"])
    def test_what_training_writes(self, tmp_path, regime):
        world = make_world(tmp_path)
        mdata = world.build(["K562"])
        er.pp.split(mdata, {1: {"valid": ["chr2"], "test": ["chr22"]}})
        config = EPInformerSeqConfig(hidden=4, tower_channels=(8, 8, 8, 8, 8))
        arguments = {"fold": 1, "genome": world.genome, "config": config, "max_epochs": 4, "device": "cpu"}
        model = er.tl.train_activity(mdata, regime=regime, folder=tmp_path / "m", **arguments)
        for source in (tmp_path / "m", tmp_path / "m" / "log" / "metrics.csv"):
            ax = er.pl.training(source, metrics="loss", show=False)
            best = lines(ax, "best epoch")[0]
            told = model.provenance["training"]
            assert best.get_xdata().tolist() == [told["best_epoch"]]
            assert best.get_ydata() == pytest.approx([told["val_loss"]])
            assert ax.get_title(loc="left").startswith(f"best epoch {told['best_epoch']} of {told['epochs']}\n")


class TestDrawing:
    def test_curves_and_best_epoch_are_those_of_the_log(self, tmp_path):
        write(LOG, tmp_path / "log" / "metrics.csv")
        loss, r = er.pl.training(tmp_path, show=False)
        assert (loss.get_label(), r.get_label()) == ("loss", "r")
        for ax, name, values in ((loss, "train_loss", [3, 2, 1]), (loss, "val_loss", [2, 1.5, 1.75])):
            (line,) = lines(ax, name)
            assert line.get_xdata().tolist() == [1, 2, 3]
            assert line.get_ydata().tolist() == values
        (line,) = lines(r, "val_r")
        assert line.get_ydata().tolist() == [0.1, 0.3, 0.4]
        assert not lines(r, "train_r")
        marks = [lines(ax, "best epoch")[0] for ax in (loss, r)]
        assert [(*m.get_xdata(), *m.get_ydata()) for m in marks] == [(2, 1.5), (2, 0.3)], (
            "of the least loss, not the best r"
        )
        assert loss.get_title(loc="left") == "best epoch 2 of 3\nvalidation loss 1.5, r 0.3"
        assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]

    def test_a_thin_line_for_each_fold(self):
        table = pd.concat([log_of([3, 2, 1 + fold / 10, 4], fold=fold) for fold in range(1, 6)])
        loss, _ = er.pl.training(table, show=False)
        assert len(lines(loss, "val_loss")) == len(lines(loss, "train_loss")) == 5
        assert all(line.get_linewidth() < 1 for line in lines(loss, "val_loss"))
        points = {tuple(xy) for mark in lines(loss, "best epoch") for xy in mark.get_xydata()}
        assert points == {(3, 1 + fold / 10) for fold in range(1, 6)}
        assert loss.get_title(loc="left").startswith("5 folds, best epoch 3 of 4\nvalidation loss 1.1–1.5")

    def test_stages_stand_side_by_side(self):
        table = pd.concat([log_of([3, 2], stage=1), log_of([2, 1, 1.5], stage=2)])
        axes = er.pl.training(table, show=False)
        assert [ax.get_label() for ax in axes] == ["loss:1", "loss:2", "r:1", "r:2"]
        titles = [ax.get_title(loc="left") for ax in axes]
        assert titles == [
            "stage 1, best epoch 2 of 2\nvalidation loss 2, r −1",
            "stage 2, best epoch 2 of 3\nvalidation loss 1, r 0",
            "",
            "",
        ]
        boxes = [ax.get_position() for ax in axes]
        assert boxes[0].x1 < boxes[1].x0
        assert boxes[0].y0 > boxes[2].y1

    @pytest.mark.parametrize(
        "table",
        [
            log_of([3, 2, 2.5]),
            pd.concat([log_of([0.1234, 0.0987], fold=fold) for fold in range(12)]),
            pd.concat([log_of([0.1234, 0.0987] * 30, stage=s) for s in (1, 2)]),
        ],
        ids=["one", "folds", "stages"],
    )
    def test_legible_in_one_column_and_nothing_overlaps(self, table):
        axes = er.pl.training(table, show=False)
        figure = axes[0].figure
        assert figure.get_size_inches()[0] <= 89 / 25.4 + 1e-9
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        texts = [ax.get_title(loc="left") and ax._left_title for ax in axes]
        texts = [text for text in texts if text] + [ax.xaxis.label for ax in axes] + [ax.yaxis.label for ax in axes]
        texts += [text for ax in axes if ax.get_legend() for text in ax.get_legend().get_texts()]
        texts = [text for text in texts if text.get_text()]
        assert min(text.get_size() for text in texts) >= 6
        boxes = [text.get_window_extent(renderer) for text in texts]
        for i, box in enumerate(boxes):
            assert figure.bbox.contains(box.x0, box.y0)
            assert figure.bbox.contains(box.x1 - 0.5, box.y1 - 0.5), texts[i].get_text()
            assert not [texts[j].get_text() for j in range(i) if box.overlaps(boxes[j])], texts[i].get_text()
            assert not any(box.overlaps(ax.get_window_extent(renderer)) for ax in axes), "nothing covers the curves"

    def test_given_axes(self):
        figure, given = plt.subplots(1, 2)
        drawn = er.pl.training(log_of([3, 2]), ax=given, show=False)
        assert list(drawn) == list(given)
        assert [ax.get_ylabel() for ax in given] == ["loss", "Pearson's r"]
        assert er.pl.training(log_of([3, 2]), metrics="r", ax=figure.add_subplot(), show=False).get_label() == "r"
        with pytest.raises(ValueError, match=r"ax holds 1 Axes and there are 2 panels to draw \(loss, r\)"):
            er.pl.training(log_of([3, 2]), ax=given[0], show=False)

    def test_one_epoch_is_seen_and_a_diverged_one_is_not_best(self):
        ax = er.pl.training(log_of([3]), metrics="loss", show=False)
        assert lines(ax, "val_loss")[0].get_marker() == "o"
        left, right = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if left <= tick <= right] == [1]
        ax = er.pl.training(log_of([3, -np.inf, np.nan, 2]), metrics="loss", show=False)
        assert lines(ax, "best epoch")[0].get_xdata().tolist() == [4]

    def test_without_validation_nothing_is_best(self):
        table = pd.DataFrame({"epoch": [0, 1], "train_loss": [2.0, 1.0]})
        ax = er.pl.training(table, metrics="loss", show=False)
        assert ax.get_title(loc="left") == ""
        assert not lines(ax, "best epoch")


class TestRefused:
    def test_no_log(self, tmp_path):
        EPInformerSeq().save(tmp_path / "m")
        with pytest.raises(ValueError, match=r"holds no log of a training \(log/metrics\.csv"):
            er.pl.training(tmp_path / "m")
        with pytest.raises(FileNotFoundError, match=r"no folder .*absent"):
            er.pl.training(tmp_path / "absent")
        with pytest.raises(ValueError, match=r"holds no curves .*pass the folder that it was trained into"):
            er.pl.training(EPInformerSeq())
        with pytest.raises(TypeError, match="source is a int; expected a model folder, a model or a table"):
            er.pl.training(3)

    @pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "epoch,val_loss\n", "epoch\n1\n2,3,4\n"])
    def test_not_a_log(self, content, tmp_path):
        write(content, tmp_path / "log" / "metrics.csv")
        with pytest.raises(ValueError, match=r"metrics\.csv cannot be read as a log|is no log of a training"):
            er.pl.training(tmp_path)

    def test_metric_that_is_not_there(self):
        with pytest.raises(ValueError, match=r"no metric 'auroc' \(no values of train_auroc or .*; it has loss, r"):
            er.pl.training(log_of([3, 2]), metrics=["loss", "auroc"])
