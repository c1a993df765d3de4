"""Training of EPIPAM on labelled pairs, and the simulated interaction code."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

import eregtools as er
from eregtools.models import EPIPAM, EPIPAMConfig
from eregtools.train.interactions import InteractionClassification, WindowSource
from eregtools.train.regimes import interaction_regime

CONFIG = EPIPAMConfig.preset("1000x1000", enhancer_length=600, promoter_length=560, channels=8, hidden=8)
FOLDS = {0: {"valid": ["chr3"], "test": ["chr4"]}, 1: {"valid": ["chr4"], "test": ["chr3"]}}


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    config = er.datasets.InteractionConfig(n_chromosomes=4, pairs_per_chromosome=10, instances=2)
    return er.datasets.simulate_interactions(tmp_path_factory.mktemp("code"), seed=3, config=config)


@pytest.fixture
def mdata(simulation):
    er.register_genome("coded", er.Genome(simulation.genome, name="coded"))
    mdata = er.pp.pairs(simulation.pairs, genome="coded", sample="one", enhancer_width=600, promoter_width=560)
    er.pp.split(mdata, FOLDS)
    return mdata


def trained(mdata, **arguments):
    defaults = {"fold": 0, "config": CONFIG, "max_epochs": 2, "copies": 2, "jitter": 20, "batch_size": 16, "rng": 5}
    return er.tl.train_interactions(mdata, **(defaults | arguments))


def test_no_single_element_tells_an_interaction(simulation, mdata):
    links = mdata["links"].var
    links = links[links["origin"] != "blank"]
    assert len(links) == 80
    for column in ("gene", "enhancer"):
        score = pd.Series(np.random.default_rng(0).random(links[column].nunique()), index=links[column].unique())
        for chromosome in ("chr1", "chr2", "chr3", "chr4"):
            here = links[column].astype(str).str.contains(f"{chromosome}:").to_numpy()
            assert roc_auc_score(links["label"][here], links[column].map(score).astype(float)[here]) == 0.5
    code = simulation.motifs.groupby("element")["code"].first()
    assert simulation.motifs.groupby("element").size().eq(2).all()
    alike = code.loc[links["gene"]].to_numpy() == code.loc[links["enhancer"]].to_numpy()
    np.testing.assert_array_equal(alike, links["label"] == 1)


def test_planted_motifs_are_in_the_genome(simulation):
    from eregtools.datasets.simulate_interactions import CODES

    genome = er.Genome(simulation.genome)
    for row in simulation.motifs.itertuples():
        sequence = genome.sequence(row.Chromosome, row.Start, row.End)
        if row.Strand == "-":
            sequence = sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))
        assert sequence == CODES[row.code][row.kind == "promoter"]


def test_trained_model_says_what_it_left_out(mdata, tmp_path):
    model = trained(mdata, folder=tmp_path / "model")
    about = model.provenance
    assert about["test_chromosomes"] == ["chr4"]
    assert about["valid_chromosomes"] == ["chr3"]
    assert about["recipe"] == "epipam"
    assert len(about["training"]["history"]["val_auprc"]) == 2
    again = er.models.load(tmp_path / "model")
    enhancers, promoters = (torch.randint(0, 5, (3, n), dtype=torch.uint8) for n in (600, 560))
    torch.testing.assert_close(model(enhancers, promoters).logit, again(enhancers, promoters).logit, rtol=0, atol=0)


def test_result_depends_on_the_seed_alone(mdata):
    first, second, other = (trained(mdata, rng=seed).fingerprint() for seed in (5, 5, 6))
    assert first == second != other


def test_training_goes_on_where_it_was_broken_off(mdata, tmp_path, monkeypatch):
    whole = trained(mdata, max_epochs=3)
    step = InteractionClassification.training_step
    seen = []

    def broken(self, batch, number):
        seen.append(number)
        if len(self.history) == 2:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(InteractionClassification, "training_step", broken)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        trained(mdata, max_epochs=3, folder=tmp_path / "model")
    assert seen
    monkeypatch.setattr(InteractionClassification, "training_step", step)
    assert trained(mdata, max_epochs=3, folder=tmp_path / "model", resume=True).fingerprint() == whole.fingerprint()
    with pytest.raises(ValueError, match=r"alpha: 0\.6, now 0\.2"):
        trained(mdata, max_epochs=3, folder=tmp_path / "model", resume=True, alpha=0.2)


def test_joint_loss():
    torch.manual_seed(0)
    network = EPIPAM(CONFIG).eval()
    batch = {
        "enhancer": torch.randint(0, 4, (6, 600), dtype=torch.uint8),
        "promoter": torch.randint(0, 4, (6, 560), dtype=torch.uint8),
        "target": torch.tensor([0.0, 1, 1, 0, 1, 0]),
    }
    main, auxiliary, _ = network(batch["enhancer"], batch["promoter"])
    for alpha in (0.0, 0.3, 1.0):
        module = InteractionClassification(network, interaction_regime("paper"), alpha=alpha)
        expected = alpha * functional.binary_cross_entropy(torch.sigmoid(main), batch["target"])
        expected = expected + (1 - alpha) * functional.binary_cross_entropy(torch.sigmoid(auxiliary), batch["target"])
        torch.testing.assert_close(module.training_loss(batch), expected)
    with pytest.raises(ValueError, match=r"alpha is 1\.5; expected 0"):
        InteractionClassification(network, interaction_regime("paper"), alpha=1.5)


def test_without_attention_there_is_one_head(mdata):
    config = EPIPAMConfig.preset(
        "1000x1000", enhancer_length=600, promoter_length=560, channels=8, hidden=8, attention=False
    )
    model = trained(mdata, config=config, max_epochs=1)
    assert model.provenance["name"].startswith("EPI/")
    assert not any("auxiliary" in name for name in model.state_dict())


def test_optimiser_of_the_paper_has_a_coupled_penalty():
    regime = interaction_regime("paper")
    assert (regime.optimiser, regime.weight_decay, regime.batch_size) == ("Adam", 5e-4, 100)
    assert regime.decay == "all"
    assert regime.gradient_clip is None


def test_windows_are_those_of_the_genome(simulation):
    genome = er.Genome(simulation.genome)
    element, start = np.array([0, 1, 1, 0]), np.array([20_000, 30_010, 29_990, 20_300])
    source = WindowSource.read(genome, ["chr1", "chr2"], element, start, 100)
    for row in range(4):
        expected = genome.codes([["chr1", "chr2"][element[row]]], start[row : row + 1], 100)
        np.testing.assert_array_equal(source.windows(np.array([row])).numpy(), expected)
    assert source.codes.shape == (2, 400)


def test_bad_input(mdata, simulation):
    with pytest.raises(ValueError, match=r"windows are 600 bp .* there is no preset"):
        trained(mdata, config=None)
    with pytest.raises(ValueError, match="the config's are 1000 and 1000"):
        trained(mdata, config=EPIPAMConfig.preset("1000x1000"))
    with pytest.raises(KeyError, match="no fold 7"):
        trained(mdata, fold=7)
    with pytest.raises(ValueError, match="regime is 'ours'; expected one of paper, eregtools"):
        trained(mdata, regime="ours")
    er.pp.split(mdata, {0: {"test": ["chr4"]}})
    with pytest.raises(ValueError, match="fold 0 has no validation pairs to choose the epoch by"):
        trained(mdata)
    bare = mdata.copy()
    del bare["links"].var["label"]
    with pytest.raises(KeyError, match=r"er\.pp\.pairs"):
        trained(bare)
    with pytest.raises(FileExistsError, match="already holds a simulation"):
        er.datasets.simulate_interactions(simulation.folder)
    with pytest.raises(ValueError, match="n_codes=5: expected 2 to 4"):
        er.datasets.InteractionConfig(n_codes=5)


def test_rows_of_the_paper_without_those_that_validate(tmp_path):
    config = er.datasets.InteractionConfig(n_chromosomes=8, pairs_per_chromosome=4)
    simulation = er.datasets.simulate_interactions(tmp_path / "eight", config=config)
    er.register_genome("eight", er.Genome(simulation.genome, name="eight"))
    mdata = er.pp.pairs(simulation.pairs, genome="eight", sample="one", enhancer_width=600, promoter_width=560)
    er.pp.split(mdata, "epipam8")
    theirs = er.get.fold_pairs(mdata, 0, recipe="paper")["train"]
    chromosome = mdata["links"].var["enhancer"].astype(str).str.split(":").str[0].to_numpy()
    assert set(chromosome[theirs.rows]) == {f"chr{k}" for k in range(4, 9)}
    model = trained(mdata, regime="paper", copies=10, jitter=100, max_epochs=1)
    assert model.provenance["valid_chromosomes"] == ["chr4", "chr5", "chr6"]
    kept = theirs.take(np.flatnonzero(np.isin(chromosome[theirs.rows], ["chr7", "chr8"])))
    used = er.tl.train_interactions.__globals__["_rows"](mdata, kept, CONFIG, er.Genome(simulation.genome))
    assert model.provenance["data_sha256"]["train"] == used.fingerprint()
