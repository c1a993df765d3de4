"""The demonstration on a simulated genome, small here and whole where slow tests run."""

from __future__ import annotations

import pandas as pd
import pytest

import eregtools as er
from eregtools import demo
from eregtools._schema import validate

FIGURES = ["expression", "links", "locus", "performance", "perturbation", "training"]
WRITTEN = sorted(
    ["files", "model", "simulated.h5mu", *(f"{name}.{kind}" for name in FIGURES for kind in ("pdf", "png"))]
)


def scores(table: pd.DataFrame) -> dict[str, float]:
    return table.iloc[:, 0].droplevel("task").to_dict()


def test_from_files_to_figures_on_a_small_genome(tmp_path):
    small = er.datasets.SimulationConfig(
        n_chromosomes=8, chromosome_length=300_000, n_genes=120, n_elements=160, promoter_weight=4.0
    )
    table = demo.run_simulated(tmp_path / "out", seed=1, config=small, max_epochs=1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == WRITTEN
    found = scores(table)
    assert set(found) >= {"EPInformer", "trees without sequence", "attention", "ABC", "distance"}
    assert found["ABC"] > found["share of planted links"]
    mdata = er.io.read(tmp_path / "out" / "simulated.h5mu")
    predicted = mdata["genes"].to_df("RNA_pred").iloc[0]
    on_test = (mdata["genes"].var["Chromosome"] == "chr8").to_numpy()
    assert predicted[on_test].notna().all()
    assert predicted[~on_test].isna().all()
    observed = mdata["genes"].to_df("RNA").iloc[0]
    assert found["EPInformer"] == pytest.approx(predicted[on_test].corr(observed[on_test]), abs=1e-3)


def test_object_to_try_things_on(tmp_path):
    with er.settings.override(cache_dir=tmp_path):
        mdata = er.datasets.demo(seed=3)
    validate(mdata)
    assert mdata["genes"].n_vars == 2000
    assert mdata["links"].var["gene"].value_counts().mean() == pytest.approx(8, abs=1.5)


@pytest.mark.slow
def test_sequence_adds_to_the_baseline(tmp_path):
    found = scores(demo.run_simulated(tmp_path / "out"))
    plain = ("attention without", "trees", "promoter activity", "enhancer activity")
    without = [name for name in found if name.startswith(plain)]
    assert len(without) == 5
    assert found["EPInformer"] > max(found[name] for name in without) + 0.05
    assert found["EPInformer, shuffled sequence"] < found["EPInformer"] - 0.1
