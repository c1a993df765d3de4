"""Labelled pairs on the command line: built, trained on, predicted, judged; and the report of an object."""

from __future__ import annotations

import pytest

import eregtools as er
from command_line import run


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Folder with a simulation of pairs, its object, and models of two folds."""
    folder = tmp_path_factory.mktemp("pairs")
    config = er.datasets.InteractionConfig(n_chromosomes=9, pairs_per_chromosome=4)
    simulation = er.datasets.simulate_interactions(folder / "files", config=config)
    table = str(simulation.pairs)
    widths = ["--enhancer-width", "600", "--promoter-width", "560"]
    genome = ["--genome", str(simulation.genome)]
    made = run(
        "pairs", table, "--out", folder / "pairs.h5mu", "--sample", "one", "--matched", "distance", *widths, *genome
    )
    assert made.code == 0, made.err
    (folder / "net.yaml").write_text(
        "enhancer_length: 600\npromoter_length: 560\npools: [8, 4, 4]\nchannels: 4\nhidden: 4\n"
    )
    training = ["--config", folder / "net.yaml", "--epochs", "1", "--copies", "1", "--fold", "0", "--fold", "1"]
    trained = run("train", "interactions", folder / "pairs.h5mu", "--out", folder / "models", *training, *genome)
    assert trained.code == 0, trained.err
    return folder, genome


def test_pairs_are_split_and_have_negatives(study):
    mdata = er.io.read(study[0] / "pairs.h5mu")
    assert mdata["links"].var["label"].sum() == 36
    assert set(mdata["links"].var["origin"].astype(str)) == {"table", "blank", "repaired", "distance"}
    assert mdata["genes"].var["fold"].notna().all()


def test_predictions_are_judged(study):
    folder, genome = study
    source, out = folder / "pairs.h5mu", folder / "out.h5mu"
    made = run("predict", "interactions", source, "--model", folder / "models", "--out", out, *genome)
    assert made.code == 0, made.err
    models = {fold: er.models.load(folder / "models" / f"fold{fold}") for fold in (0, 1)}
    again = er.io.read(source)
    er.tl.predict_interactions(again, models, genome=genome[1])
    assert again["links"].to_df("interaction").equals(er.io.read(out)["links"].to_df("interaction"))
    judged = run("evaluate", "interactions", out, "--bootstrap", "20", "--json")
    assert judged.code == 0, judged.err
    predictors = {row["predictor"] for row in judged.json["scores"]}
    assert predictors == {"interaction", "distance", "distance_lengths", "between", "memoriser"}


def test_report(study, tmp_path):
    made = run("report", study[0] / "pairs.h5mu", "-o", tmp_path / "page.html")
    assert made.code == 0, made.err
    assert "open it in a browser" in made.out
    assert (tmp_path / "page.html").read_text().lower().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pairs", "{folder}/nothing.tsv", "--out", "{tmp}/x.h5mu", "--genome", "{genome}"], "nothing.tsv"),
        (["train", "interactions", "{folder}/pairs.h5mu", "--out", "{tmp}/m", "--genome", "{genome}"], "no preset"),
        (["report", "{folder}/nothing.h5mu", "-o", "{tmp}/x.html"], "nothing.h5mu"),
        (["evaluate", "interactions", "{folder}/pairs.h5mu", "--ratio", "-1"], "ratio=-1"),
    ],
)
def test_bad_input_is_one_line(study, tmp_path, arguments, expected):
    folder, genome = study
    done = run(*(text.format(folder=folder, tmp=tmp_path, genome=genome[1]) for text in arguments))
    assert expected in done.refusal
    assert not list(tmp_path.rglob("*.h5mu"))
    assert not list(tmp_path.rglob("*.html"))
