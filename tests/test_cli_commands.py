"""Every command on simulated files, as a chain from files to scores; and the example workflow."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
import yaml

import eregtools as er
from command_line import ARCHITECTURE, ENCODER, run, simulated_study
from eregtools.cli import app

TRAINING = ("--epochs", 1, "--device", "cpu", "--seed", 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Simulated files with an object built, two models trained on one fold each, and everything predicted."""
    folder = simulated_study(tmp_path_factory.mktemp("cli") / "files").parent
    (folder / "small.yaml").write_text(ARCHITECTURE)
    (folder / "encoder.yaml").write_text(ENCODER)
    return folder


@pytest.fixture(scope="module")
def study(files):
    done = run("build", files / "study.yaml", "--json")
    assert done.code == 0, done.err
    assert done.json["modalities"]["genes"]["n"] == 60
    assert done.json["folds"] == {"custom": ["1", "2", "3"]}
    assert done.json["output"] == str(files / "study.h5mu")
    return files / "study.h5mu"


@pytest.fixture(scope="module")
def encoders(files, study):
    done = run(
        *("train", "activity", study, "--out", files / "encoders", "--fold", 1, "--genome", files / "genome.fa"),
        *("--config", files / "encoder.yaml", "--json", *TRAINING),
    )
    assert done.code == 0, done.err
    assert [model["fold"] for model in done.json["models"]] == [1]
    assert done.json["models"][0]["val_loss"] > 0
    return files / "encoders"


@pytest.fixture(scope="module")
def models(files, study, encoders):
    done = run(
        *("train", "expression", study, "--out", files / "models", "--fold", 1, "--genome", files / "genome.fa"),
        *("--config", files / "small.yaml", "--encoder", encoders, "--max-shift", 8, "--json", *TRAINING),
    )
    assert done.code == 0, done.err
    model = er.models.load(files / "models" / "fold1")
    assert model.config.window == 512
    assert model.provenance["fold"] == 1
    return files / "models"


@pytest.fixture(scope="module")
def predicted(files, study, models, encoders):
    """All predictions, each command writing what the next reads."""
    path, genome = files / "predicted.h5mu", files / "genome.fa"
    shared = ("--out", path, "--genome", genome, "--device", "cpu", "--json")
    for done in (
        run("predict", "activity", study, "--model", encoders, *shared),
        run("predict", "expression", path, "--model", models, *shared),
        run("predict", "expression", path, "--model", models, "--shuffle", *shared),
        run("predict", "links", path, "--score", "attention_abc", "--score", "abc", "--model", models, *shared),
        run("predict", "perturb", path, "--model", models, *shared),
    ):
        assert done.code == 0, done.err
        assert done.json["output"] == str(path)
        assert done.json["values"]
        assert done.json["results"]
        assert all(row["sample"] == "sim" for made in done.json["results"].values() for row in made)
    return path


class TestChain:
    def test_what_is_predicted_is_what_the_functions_predict(self, files, study, models, predicted):
        found, mdata = er.io.read(predicted), er.io.read(study)
        er.tl.predict_expression(mdata, str(models), assay="RNA", genome=files / "genome.fa", device="cpu")
        np.testing.assert_array_equal(found["genes"].layers["RNA_pred"], mdata["genes"].layers["RNA_pred"])
        on_test = (found["genes"].var["Chromosome"] == "chr1").to_numpy()
        assert np.isfinite(found["genes"].layers["RNA_pred"][0]).tolist() == on_test.tolist()
        assert {"abc", "attention", "attention_abc", "perturbation"} <= set(found["links"].layers)
        assert "activity_pred" in found["enhancers"].layers

    def test_expression_is_judged_beside_the_baselines(self, files, predicted):
        done = run("evaluate", "expression", predicted, "--bootstrap", 0, "--out", files / "e.tsv.gz", "--json")
        assert done.code == 0, done.err
        scores = pd.DataFrame(done.json["scores"])
        assert {"model", "shuffled", "trees", "promoter"} <= set(scores["predictor"])
        written = pd.read_csv(files / "e.tsv.gz", sep="\t")
        np.testing.assert_allclose(written["pearson"], scores["pearson"].astype(float))
        mdata = er.io.read(predicted)["genes"]
        on_test = (mdata.var["Chromosome"] == "chr1").to_numpy()
        r = np.corrcoef(mdata.layers["RNA"][0, on_test], mdata.layers["RNA_pred"][0, on_test])[0, 1]
        pooled = scores[(scores["predictor"] == "model") & (scores["fold"] == "pooled")]["pearson"].item()
        assert pooled == pytest.approx(r, abs=1e-6)

    def test_activity_is_judged(self, files, predicted):
        done = run("evaluate", "activity", predicted, "--genome", files / "genome.fa", "--bootstrap", 0)
        assert done.code == 0, done.err
        assert "pearson" in done.out.splitlines()[0]
        assert "model" in done.out

    def test_links_are_judged_by_pairs(self, files, predicted):
        mdata = er.io.read(predicted)
        links = er.get.links(mdata)
        share = pd.read_csv(files / "truth_links.tsv", sep="\t").set_index(["enhancer", "gene"])["share"]
        share = share.reindex(pd.MultiIndex.from_frame(links[["enhancer", "gene"]].astype(str))).fillna(0).to_numpy()
        pairs = pd.DataFrame(
            {
                "chrom": links["Chromosome"],
                "chromStart": links["Start"],
                "chromEnd": links["End"],
                "measuredGeneSymbol": links["gene_name"],
                "startTSS": mdata["genes"].var["tss"].loc[links["gene"]].to_numpy(),
                "EffectSize": -share,
                "Significant": share > 0.1,
            }
        )
        pairs.to_csv(files / "pairs.tsv", sep="\t", index=False)
        done = run(
            *("evaluate", "links", predicted, "--pairs", files / "pairs.tsv", "--score", "abc"),
            *("--score=-perturbation", "--bootstrap", 0, "--json"),
        )
        assert done.code == 0, done.err
        scores = pd.DataFrame(done.json["scores"]).query("distance_bin == 'all'").set_index("predictor")
        assert scores.loc["abc", "n_positive"] == (share > 0.1).sum()
        assert scores.loc["abc", "average_precision"] > scores.loc["abc", "prevalence"]
        assert {"-perturbation", "perturbation"} & set(scores.index)
        assert "distance" in scores.index

    def test_variants(self, files, study, models, encoders):
        done = run(
            *("predict", "variants", study, files / "variants.vcf", "--model", encoders, "--expression-model", models),
            *("--genome", files / "genome.fa", "--out", files / "v.csv", "--device", "cpu", "--json"),
        )
        assert done.code == 0, done.err
        table = pd.read_csv(files / "v.csv")
        assert done.json["n"] == len(table) > 0
        assert set(done.json["columns"]) == set(table)

    @pytest.mark.parametrize("name", ["l.bedpe", "l.interact.gz", "l.longrange", "l.longrange.gz", "l.tsv"])
    def test_export(self, predicted, tmp_path, name):
        done = run("export", predicted, "--out", tmp_path / name, "--layer", "abc", "--threshold", 0.1)
        assert done.code == 0, done.err
        assert done.out == f"written to {tmp_path / name}\n"
        assert (tmp_path / name).stat().st_size > 0
        if name == "l.tsv":
            assert pd.read_csv(tmp_path / name, sep="\t")["abc"].min() >= 0.1

    def test_what_was_made_is_said(self, study, tmp_path):
        done = run("predict", "links", study, "--out", tmp_path / "x.h5mu")
        assert done.out.startswith(f"written to {tmp_path / 'x.h5mu'}: links ")
        links = er.io.read(tmp_path / "x.h5mu")["links"]
        assert f"links abc ({int(np.isfinite(links.layers['abc']).sum())} values)" in done.out
        assert "abc" not in er.io.read(study)["links"].layers

    def test_validate(self, study):
        done = run("validate", study, "--json")
        assert (done.code, done.json["valid"], done.json["samples"]) == (0, True, ["sim"])
        text = run("validate", study).out
        assert "genes: 1 biosamples × 60 (DNase, " in text
        assert text.endswith("study.h5mu is valid\n")

    def test_training_goes_on_where_it_stopped(self, files, study, models):
        before = er.models.load(models / "fold1").fingerprint()
        arguments = (
            *("train", "expression", study, "--out", models, "--fold", 1, "--genome", files / "genome.fa"),
            *("--config", files / "small.yaml", "--encoder", files / "encoders", "--max-shift", 8, *TRAINING),
        )
        again = run(*arguments)
        assert "pass --resume" in again.refusal
        assert run(*arguments, "--resume").code == 0
        assert er.models.load(models / "fold1").fingerprint() == before

    def test_without_sequence_no_genome_is_needed(self, files, study, tmp_path):
        done = run(
            *("train", "expression", study, "--out", tmp_path / "m", "--fold", 2, "--fold", 3, "--no-sequence"),
            *TRAINING,
        )
        assert done.code == 0, done.err
        assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["fold2", "fold3"]
        done = run(
            "predict", "expression", study, "--out", tmp_path / "p.h5mu", "--model", tmp_path / "m", "--genome", "none"
        )
        assert done.code == 0, done.err
        finite = np.isfinite(er.io.read(tmp_path / "p.h5mu")["genes"].layers["RNA_pred"]).sum()
        assert finite == 30


def test_demo(tmp_path, monkeypatch):
    from eregtools import demo

    small = er.datasets.SimulationConfig(
        n_chromosomes=8, chromosome_length=200_000, n_genes=80, n_elements=120, promoter_weight=4.0
    )
    monkeypatch.setattr(demo, "run_simulated", partial(demo.run_simulated, config=small, max_epochs=1))
    done = run("demo", "--out", tmp_path / "demo", "--seed", 1, "--json")
    assert done.code == 0, done.err
    assert {row["score"] for row in done.json["scores"]} >= {"EPInformer", "trees without sequence", "ABC"}
    assert (tmp_path / "demo" / "simulated.h5mu").is_file()


class TestBuild:
    def test_the_example_is_printed_and_runs_as_it_is(self, files, tmp_path):
        printed = run("build", "--example")
        assert printed.code == 0
        assert printed.out == (files / "study.yaml").read_text()
        assert yaml.safe_load(printed.out)["output"] == "study.h5mu"

    def test_check_reads_and_writes_nothing(self, files, tmp_path):
        target = tmp_path / "x.h5mu"
        done = run("build", files / "study.yaml", "--out", target, "--check", "--json")
        assert (done.code, done.json["valid"], target.exists()) == (0, True, False)

    def test_bad_input_leaves_nothing_behind(self, files, tmp_path):
        (tmp_path / "broken.bw").write_bytes(b"no bigWig")
        text = (files / "study.yaml").read_text().replace("DNase.bw", str(tmp_path / "broken.bw"))
        bad = files / "broken.yaml"
        bad.write_text(text)
        done = run("build", bad, "--out", tmp_path / "x.h5mu")
        assert "broken.bw" in done.refusal
        assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.bw"]


class TestSnakemake:
    """The example workflow: its commands are commands of ours with options that there are."""

    FOLDER = Path(__file__).parent.parent / "examples" / "snakemake"

    def test_commands_are_understood(self):
        if not self.FOLDER.is_dir():
            pytest.skip("the examples are not beside the tests")
        text = (self.FOLDER / "Snakefile").read_text()
        shells = [block.split("\n\n")[0] for block in text.split("shell:")[1:]]
        commands = ["".join(part.strip().strip('"') for part in block.strip().splitlines()) for block in shells]
        assert len(commands) == 7
        group = typer.main.get_command(app)
        for command in commands:
            words = shlex.split(command)
            words = words[words.index("eregtools") + 1 :]
            current, rest = group, [word for word in words if word != "--quiet"]
            while hasattr(current, "commands"):
                current = current.commands[rest.pop(0)]
            known = {option for parameter in current.params for option in parameter.opts}
            assert {word for word in rest if word.startswith("--")} <= known, command
        assert set(yaml.safe_load((self.FOLDER / "config.yaml").read_text())) == {
            "study",
            "genome",
            "folds",
            "training",
            "threads",
        }
