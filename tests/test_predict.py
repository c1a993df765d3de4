"""tl.predict_expression, tl.attention and tl.predict_activity on a small world, against the plain networks."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import torch

import eregtools as er
from eregtools.batches.encode import PADDING
from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
from networks import randomised
from world import make_world

FOLDS = {"chr1": 12, "chr2": 1, "chr22": 11}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def built(world):
    return world.build()


@pytest.fixture
def mdata(built):
    return built.copy()


def fold_models(n_slot_features=2, **config):
    return {
        fold: randomised(EPInformer(EPInformerConfig(n_slot_features=n_slot_features, **config)), seed=fold)
        for fold in FOLDS.values()
    }


@pytest.fixture(scope="module")
def models():
    return fold_models()


def by_hand(world, mdata, sample, gene, model):
    """One gene through the plain, padded network, from the definitions alone."""
    row = mdata.obs_names.get_loc(sample)
    genes, enhancers = mdata["genes"], mdata["enhancers"]
    about = genes.var.loc[gene]
    candidates = enhancers.var[enhancers.layers["candidate"][row] == 1]
    middle = (candidates["Start"] + candidates["End"]) / 2
    distance = (middle - about["tss"]).abs()
    near = distance[(candidates["Chromosome"] == about["Chromosome"]) & (distance > 1000) & (distance < 100_000)]
    near = near.sort_values(kind="stable").head(60)
    window = model.config.window
    slots = len(near) + 3  # promoter, enhancers, two padded slots
    codes = np.full((1, slots, window), PADDING, dtype=np.uint8)
    features = np.zeros((1, slots, 2), dtype=np.float32)
    letters = {c: i for i, c in enumerate("ACGT")}

    def read(start, end):
        return [letters.get(base, 4) for base in world.genome.sequence(str(about["Chromosome"]), start, end)]

    codes[0, 0] = read(about["tss"] - window // 2, about["tss"] + window // 2)
    for slot, (name, d) in enumerate(near.items(), start=1):
        start, end = candidates.loc[name, ["Start", "End"]]
        if end - start > window:
            start = (start + end) // 2 - window // 2
            end = start + window
        first = window // 2 - (end - start) // 2
        codes[0, slot, first : first + end - start] = read(start, end)
        activity = enhancers[:, name].layers["activity"][row, 0]
        features[0, slot] = d / 1000, activity
    at = genes.var_names.get_loc(gene)
    rna = np.append(genes.varm["mrna_features"].iloc[at], genes.layers["promoter_activity"][row, at])
    padding = np.arange(slots)[None] > len(near)
    with torch.inference_mode():
        out = model(
            torch.from_numpy(codes),
            torch.from_numpy(features),
            torch.from_numpy(rna.astype(np.float32))[None],
            torch.from_numpy(padding),
        )
    return float(out.expression), {n: out.attention[:, 0, s].numpy() for s, n in enumerate(near.index, start=1)}


@pytest.mark.parametrize("window", [2000, 512])
def test_each_gene_as_the_plain_network_of_its_fold(world, mdata, window, caplog):
    models = fold_models(window=window)
    with caplog.at_level(logging.INFO, logger="eregtools"):
        er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
        er.tl.attention(mdata, models, assay="CAGE", genome=world.genome)
    predicted = mdata["genes"].to_df("CAGE_pred")
    unknown = "ENSG00000000005"  # promoter inside the N run
    assert predicted[unknown].isna().all()
    assert f"1 genes have a promoter without a known base (all N) and are not predicted, first {unknown}" in caplog.text
    assert "genes have no enhancer and are predicted from their promoter" in caplog.text
    score = mdata["links"].to_df("attention")
    for sample in mdata.obs_names:
        for gene in mdata["genes"].var_names.drop(unknown):
            model = models[FOLDS[mdata["genes"].var.loc[gene, "Chromosome"]]]
            expression, attention = by_hand(world, mdata, sample, gene, model)
            assert predicted.loc[sample, gene] == pytest.approx(expression, abs=1e-5)
            weights = {name: (a + 1e-5).mean() for name, a in attention.items()}
            for name, weight in weights.items():
                expected = weight / sum(weights.values())
                assert score.loc[sample, f"{name}|{gene}"] == pytest.approx(expected, abs=1e-5)
            others = [n for n in score.columns if n.endswith(f"|{gene}") and n.split("|")[0] not in weights]
            assert score.loc[sample, others].isna().all()
    er._schema.validate(mdata)
    results = mdata.uns["eregtools"]["results"]
    assert set(results["genes:CAGE_pred"]["sample"]) == set(mdata.obs_names)
    assert set(results["genes:CAGE_pred"]["fold"]) == set(FOLDS.values())
    assert (results["links:attention"]["recipe"] == "legacy").all()


def test_two_samples_predict_their_own_links_only(world, built, models):
    both, alone = built.copy(), world.build(["GM12878"])
    # the same inputs for the sample, however many others the object holds
    for name in ("genes", "enhancers"):
        keep = alone[name].var_names
        for layer in ("activity", "promoter_activity"):
            if layer in both[name].layers:
                alone[name].layers[layer][0] = both[name].to_df(layer).loc["GM12878", keep]
    alone["genes"].varm["mrna_features"] = both["genes"].varm["mrna_features"].loc[alone["genes"].var_names]
    for mdata in (both, alone):
        er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    expected = alone["genes"].to_df("CAGE_pred").loc["GM12878"]
    found = both["genes"].to_df("CAGE_pred").loc["GM12878"]
    assert np.allclose(found, expected, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_batch_size_and_sample_choice_are_of_no_consequence(world, mdata, models, batch_size):
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    whole = mdata["genes"].layers["CAGE_pred"].copy()
    for sample in reversed(mdata.obs_names):
        er.tl.predict_expression(
            mdata, models, assay="CAGE", genome=world.genome, sample=sample, batch_size=batch_size, key_added="again"
        )
    assert np.allclose(mdata["genes"].layers["again"], whole, atol=1e-6, equal_nan=True)
    assert len(mdata.uns["eregtools"]["results"]["genes:again"]) == 6


def test_more_elements_than_the_cap(world, models, caplog):
    mdata = world.build(["K562"])
    few = er.models.get_recipe("legacy", n_slot_features=2, n_gene_features=9)
    from dataclasses import replace

    from eregtools.batches.genes import gene_inputs

    with caplog.at_level(logging.INFO, logger="eregtools"):
        inputs = gene_inputs(mdata, "K562", replace(few, max_enhancers=3))
    counts = np.diff(inputs.offsets)
    assert counts.max() == 3
    assert "genes have more than 3 enhancers; the nearest 3 are used" in caplog.text
    distance = mdata["links"].var["distance"].abs()
    for i, gene in enumerate(mdata["genes"].var_names):
        own = distance[(mdata["links"].var["gene"] == gene).to_numpy()].sort_values()
        kept = distance.iloc[inputs.link[inputs.offsets[i] : inputs.offsets[i + 1]]]
        assert kept.tolist() == own.head(3).tolist()


def test_one_model_without_fold_serves_every_gene(world, mdata):
    model = randomised(EPInformer(EPInformerConfig(n_slot_features=1, n_gene_features=0)))
    er.tl.predict_expression(mdata, model, assay="RNA", genome=world.genome)
    assert np.isfinite(mdata["genes"].layers["RNA_pred"]).sum() == 2 * 7


def test_copy_leaves_the_object_alone(world, mdata, models):
    new = er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome, copy=True)
    assert "CAGE_pred" in new["genes"].layers
    assert "CAGE_pred" not in mdata["genes"].layers


def test_genome_by_the_name_in_the_object(world, mdata, models):
    er.register_genome("toy", world.genome)
    er.tl.predict_expression(mdata, models, assay="CAGE")
    assert np.isfinite(mdata["genes"].layers["CAGE_pred"]).any()
    mdata.uns["eregtools"]["genome"] = "elsewhere"
    with pytest.raises(KeyError, match=r"built on genome 'elsewhere', which is not registered"):
        er.tl.predict_expression(mdata, models, assay="CAGE")


def test_saved_fold_models_in_one_folder(world, mdata, models, tmp_path):
    for fold, model in models.items():
        model.save(tmp_path / f"fold{fold}")
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    er.tl.predict_expression(mdata, tmp_path, assay="CAGE", genome=world.genome, key_added="from_folder")
    given, read = (mdata["genes"].layers[key] for key in ("CAGE_pred", "from_folder"))
    assert np.allclose(given, read, atol=1e-6, equal_nan=True)


def test_missing_fold_leaves_nan(world, mdata, models, caplog):
    er.tl.predict_expression(mdata, {12: models[12]}, assay="CAGE", genome=world.genome)
    on_chr1 = (mdata["genes"].var["Chromosome"] == "chr1").to_numpy()
    assert np.isfinite(mdata["genes"].layers["CAGE_pred"][:, on_chr1]).all()
    assert np.isnan(mdata["genes"].layers["CAGE_pred"][:, ~on_chr1]).all()
    assert "5 of 8 genes are left NaN: no fold model leaves their chromosome out" in caplog.text


def test_leakage_is_refused_or_marked(world, mdata, models):
    with pytest.raises(ValueError, match=r"fold 12 does not test chr2, chr22: .* 5 of 8 genes"):
        er.tl.predict_expression(mdata, models, assay="CAGE", fold=12, genome=world.genome)
    er.tl.predict_expression(mdata, models, assay="CAGE", fold=12, genome=world.genome, allow_leakage=True)
    assert (mdata.uns["eregtools"]["results"]["genes:CAGE_pred"]["leakage"] == "yes").all()
    with pytest.raises(KeyError, match="no weights of fold 5; there are folds"):
        er.tl.predict_expression(mdata, models, assay="CAGE", fold=5, genome=world.genome, allow_leakage=True)
    with pytest.raises(ValueError, match="fold is 'best'; expected 'auto' or a fold's number"):
        er.tl.predict_expression(mdata, models, assay="CAGE", fold="best", genome=world.genome)


def test_a_row_can_say_which_biosample_it_is(world, mdata, caplog):
    models = fold_models()
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    assert "it is not known on what the weights were trained" in caplog.text
    assert (mdata.uns["eregtools"]["results"]["genes:CAGE_pred"]["cross_cell"] == "unknown").all()
    for model in models.values():
        model.provenance = {"biosample": "HepG2", "assay": "CAGE"}
    mdata.obs["biosample"] = ["HepG2", "HepG2"]
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    assert (mdata.uns["eregtools"]["results"]["genes:CAGE_pred"]["cross_cell"] == "no").all()


def test_chromosomes_a_model_left_out_count_not_the_name_of_its_scheme(world, mdata, models):
    """Folds of the object may have been made anew since the model was trained."""
    model = fold_models()[1]
    model.provenance = {"fold": 1, "fold_scheme": "custom", "test_chromosomes": ["chr2"], "valid_chromosomes": ["chr1"]}
    er.pp.split(mdata, {1: {"valid": ["chr2"], "test": ["chr22"]}})
    er.tl.predict_expression(mdata, model, assay="CAGE", genome=world.genome)
    on_chr2 = (mdata["genes"].var["Chromosome"] == "chr2").to_numpy()
    predicted = np.isfinite(mdata["genes"].layers["CAGE_pred"])
    assert predicted[:, on_chr2].all()
    assert not predicted[:, ~on_chr2].any()


def test_folds_without_a_scheme_are_those_of_the_object(world, mdata, models):
    er.pp.split(mdata, {1: {"valid": ["chr2"], "test": ["chr1"]}, 12: {"valid": ["chr1"], "test": ["chr2"]}})
    given = {1: models[1], 12: models[12]}
    er.tl.predict_expression(mdata, given, assay="CAGE", genome=world.genome)
    chrom = mdata["genes"].var["Chromosome"].to_numpy()
    for fold, name in ((1, "chr1"), (12, "chr2")):
        alone = er.tl.predict_expression(
            mdata, models[fold], assay="CAGE", genome=world.genome, key_added="alone", copy=True
        )
        here = chrom == name
        found = mdata["genes"].layers["CAGE_pred"][:, here]
        assert np.allclose(found, alone["genes"].layers["alone"][:, here], atol=1e-6)
    assert np.isnan(mdata["genes"].layers["CAGE_pred"][:, chrom == "chr22"]).all()


def test_predicting_again_leaves_no_number_of_before(world, mdata, models):
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    before = mdata["genes"].to_df("CAGE_pred")
    er.tl.predict_expression(mdata, {12: models[12]}, assay="CAGE", genome=world.genome, sample=["K562", "K562"])
    after = mdata["genes"].to_df("CAGE_pred")
    assert after.loc["GM12878"].equals(before.loc["GM12878"])
    on_chr1 = (mdata["genes"].var["Chromosome"] == "chr1").to_numpy()
    assert np.allclose(after.loc["K562"][on_chr1], before.loc["K562"][on_chr1], atol=1e-6)
    assert after.loc["K562"][~on_chr1].isna().all()
    results = mdata.uns["eregtools"]["results"]["genes:CAGE_pred"]
    assert set(results.loc[results["sample"] == "K562", "fold"]) == {12}
    assert set(results.loc[results["sample"] == "GM12878", "fold"]) == set(FOLDS.values())


def test_nothing_predicted_is_recorded_as_nothing(world, mdata, models):
    mdata["genes"].varm["mrna_features"].iloc[:, 0] = np.nan
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    assert np.isnan(mdata["genes"].layers["CAGE_pred"]).all()
    mdata["genes"].varm["mrna_features"].iloc[:, 0] = 1.0
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    assert np.isfinite(mdata["genes"].layers["CAGE_pred"]).any()


def test_another_assembly_is_refused(world, mdata, models, tmp_path):
    (tmp_path / "other.fa").write_text(">chr1\n" + "ACGT" * 1000 + "\n>chr2\nACGT\n>chr22\nACGT\n")
    with pytest.raises(ValueError, match="chr1 has 4000 bases in genome 'other', but 150000 in 'toy'"):
        er.tl.predict_expression(mdata, models, assay="CAGE", genome=tmp_path / "other.fa")


def test_long_elements_are_counted(world, mdata, models, caplog):
    with caplog.at_level(logging.INFO, logger="eregtools"):
        er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    assert "elements over 2000 bp the centre 2000 bp are read" in caplog.text


def test_the_users_model_is_left_as_it_was(world, mdata):
    model = randomised(EPInformer(EPInformerConfig(n_slot_features=1, n_gene_features=0))).train()
    er.tl.predict_expression(mdata, model, assay="RNA", genome=world.genome)
    assert model.training


def test_weights_of_another_biosample(world, mdata):
    models = fold_models()
    for model in models.values():
        model.provenance = {"name": "theirs", "biosample": "GM12878", "assay": "CAGE"}
    with pytest.raises(ValueError, match=r"trained on GM12878, not on 'K562'; say in .* or pass allow_cross_cell=True"):
        er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    with pytest.raises(ValueError, match="the weights predict CAGE, not RNA"):
        er.tl.predict_expression(mdata, models, assay="RNA", genome=world.genome, allow_cross_cell=True)
    assert "CAGE_pred" not in mdata["genes"].layers
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome, allow_cross_cell=True)
    table = mdata.uns["eregtools"]["results"]["genes:CAGE_pred"].set_index("sample")
    assert (table.loc["K562", "cross_cell"] == "yes").all()
    assert (table.loc["GM12878", "cross_cell"] == "no").all()


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (("enhancers", "activity"), r"recipe 'legacy' needs the feature 'activity'.*run er\.pp\.activity first"),
        (("links", "contact"), r"needs the feature 'contact'.*run er\.pp\.add_contacts first"),
        (("genes", "promoter_activity"), r"needs the feature 'promoter_activity'.*er\.pp\.promoter_activity"),
        (("genes", "mrna_features"), r"needs the feature 'UTR5LEN_log10zscore'.*er\.pp\.mrna_features"),
    ],
)
def test_missing_feature_is_named(world, mdata, remove, message):
    modality, key = remove
    slots = mdata[modality].varm if key == "mrna_features" else mdata[modality].layers
    del slots[key]
    with pytest.raises(KeyError, match=message):
        er.tl.predict_expression(mdata, fold_models(3), assay="CAGE", genome=world.genome)
    assert "CAGE_pred" not in mdata["genes"].layers


def test_features_from_a_gtf_do_not_serve_published_weights(world, mdata):
    models = fold_models()
    for model in models.values():
        model.provenance = {"name": "theirs", "licence": "MIT"}
    mdata.uns["eregtools"]["mrna_features"] = {"source": "gtf"}
    with pytest.raises(ValueError, match="made from a GTF and are z-scored over its genes, but theirs takes"):
        er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    mdata.uns["eregtools"]["mrna_features"] = {"source": "table"}
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)


def test_gene_without_a_feature_is_nan(world, mdata, models, caplog):
    mdata["genes"].varm["mrna_features"].iloc[0, 0] = np.nan
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    assert np.isnan(mdata["genes"].layers["CAGE_pred"][:, 0]).all()
    assert np.isfinite(mdata["genes"].layers["CAGE_pred"][:, 1]).all()
    assert "1 genes lack a feature (NaN) and are not predicted" in caplog.text


def test_recipe_of_other_weights_is_refused(world, mdata):
    models = fold_models(n_value=0.0)
    with pytest.raises(ValueError, match=r"recipe 'legacy' encodes N as 0\.25, but the model was built for 0\.0"):
        er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    for model in models.values():
        model.provenance = {"recipe": "v2"}
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    assert (mdata.uns["eregtools"]["results"]["genes:CAGE_pred"]["recipe"] == "v2").all()


def test_crispri_legacy_recipe_changes_the_score(world, mdata):
    models = fold_models(3)
    er.tl.attention(mdata, models, assay="CAGE", genome=world.genome)
    er.tl.attention(mdata, models, assay="CAGE", genome=world.genome, recipe="crispri-legacy", key_added="legacy_score")
    gene, row = mdata["genes"].var_names[0], 0
    from eregtools.batches.genes import gene_inputs

    recipe = er.models.get_recipe("crispri-legacy", n_slot_features=3, n_gene_features=9)
    inputs = gene_inputs(mdata, mdata.obs_names[row], recipe).take(np.array([0]))
    contact = mdata["links"].layers["contact"][row, inputs.link]
    activity = mdata["enhancers"].layers["activity"][row, inputs.element]
    distance = mdata["links"].var["distance"].abs().to_numpy()[inputs.link]
    expected = np.stack([distance / 1000, np.log10(0.1 + 10 * contact), np.log10(0.1 + activity)], axis=1)
    assert np.allclose(inputs.slot_features, expected, atol=1e-5)
    assert inputs.promoter_features.tolist() == [[0, -1, -1]]
    density = mdata["genes"].varm["mrna_features"]["ORFEXONDENSITY"].iloc[0]
    assert inputs.gene_features[0, 7] == pytest.approx((np.log10(0.1 + density) - 0.7186) / 0.3137, abs=1e-4)
    assert mdata["links"].var["gene"].iloc[inputs.link[0]] == gene
    a, b = mdata["links"].layers["attention"], mdata["links"].layers["legacy_score"]
    assert np.array_equal(np.isnan(a), np.isnan(b))
    assert np.nanmax(np.abs(a - b)) > 1e-4
    assert (mdata.uns["eregtools"]["results"]["links:legacy_score"]["recipe"] == "crispri-legacy").all()


class TestRefused:
    def test_view(self, world, mdata, models):
        with pytest.raises(ValueError, match=r"is a view; make it real with \.copy\(\)"):
            er.tl.predict_expression(mdata[["K562"]], models, assay="CAGE", genome=world.genome)

    def test_before_linking(self, world, mdata, models):
        del mdata.mod["links"]
        with pytest.raises(KeyError, match=r"no modality 'links'.*er\.pp\.link"):
            er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)

    def test_unknown_sample_and_weights(self, world, mdata, models):
        with pytest.raises(KeyError, match="no biosample 'HepG2'; there are K562, GM12878"):
            er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome, sample="HepG2")
        with pytest.raises(KeyError, match="no published weights for biosample 'K562' and assay 'STARR'"):
            er.tl.predict_expression(mdata, assay="STARR", genome=world.genome)
        with pytest.raises(ValueError, match="the model is of type EPInformerSeq; expected EPInformer"):
            er.tl.predict_expression(mdata, EPInformerSeq(), assay="CAGE", genome=world.genome)
        with pytest.raises(TypeError, match="model= holds a int"):
            er.tl.predict_expression(mdata, [3], assay="CAGE", genome=world.genome)
        with pytest.raises(ValueError, match="must say their folds"):
            er.tl.predict_expression(mdata, list(models.values()), assay="CAGE", genome=world.genome)
        with pytest.raises(ValueError, match="sample= is empty"):
            er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome, sample=[])
        with pytest.raises(ValueError, match="model= is an empty dict"):
            er.tl.predict_expression(mdata, {}, assay="CAGE", genome=world.genome)
        with pytest.raises(ValueError, match="key_added='a/b' cannot name a layer"):
            er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome, key_added="a/b")
        with pytest.raises(KeyError, match="no model for biosample 'GM12878'; model= has K562"):
            er.tl.predict_expression(mdata, {"K562": models}, assay="CAGE", genome=world.genome)

    def test_device(self, world, mdata, models):
        with pytest.raises(ValueError, match="device 'abacus' cannot be used"):
            er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome, device="abacus")


@pytest.fixture(scope="module")
def encoders():
    return {fold: randomised(EPInformerSeq(), seed=fold) for fold in FOLDS.values()}


class TestActivity:
    def test_centre_of_each_element_by_its_fold(self, world, mdata, encoders):
        er.tl.predict_activity(mdata, encoders, genome=world.genome)
        table = mdata["enhancers"].var
        values = mdata["enhancers"].to_df("activity_pred")
        candidate = mdata["enhancers"].to_df("candidate")
        letters = {c: i for i, c in enumerate("ACGT")}
        for name in table.index[::5]:
            chrom, start, end = table.loc[name, ["Chromosome", "Start", "End"]]
            first = (start + end) // 2 - 128
            codes = [letters.get(c, 4) for c in world.genome.sequence(chrom, first, first + 256)]
            with torch.inference_mode():
                expected = float(encoders[FOLDS[chrom]](torch.tensor([codes], dtype=torch.uint8)))
            for sample in mdata.obs_names:
                if candidate.loc[sample, name] and min(codes) < 4:
                    assert values.loc[sample, name] == pytest.approx(expected, abs=1e-5)
                else:
                    assert np.isnan(values.loc[sample, name])

    def test_tiles_cover_the_element(self, world, mdata, encoders):
        from eregtools.tl.activity import _windows

        owner, starts = _windows(mdata["enhancers"].var, 256, "tile")
        for row, (start, end) in enumerate(mdata["enhancers"].var[["Start", "End"]].to_numpy()):
            mine = np.sort(starts[owner == row])
            if end - start <= 256:
                assert mine.tolist() == [(start + end) // 2 - 128] if end - start < 256 else [start]
                continue
            assert mine[0] == start
            assert mine[-1] + 256 == end
            assert np.diff(mine).max() <= 128
        er.tl.predict_activity(mdata, encoders, genome=world.genome, window="tile", key_added="tiled")
        er.tl.predict_activity(mdata, encoders, genome=world.genome)
        short = (mdata["enhancers"].var["End"] - mdata["enhancers"].var["Start"] < 256).to_numpy()
        for layer in ("tiled", "activity_pred"):
            assert np.isfinite(mdata["enhancers"].layers[layer]).any()
        tiled, centre = (mdata["enhancers"].layers[k][:, short] for k in ("tiled", "activity_pred"))
        floor = np.log2(0.1)
        assert np.allclose(tiled, np.maximum(centre, floor), atol=1e-4, equal_nan=True)

    def test_summit(self, world, mdata, encoders):
        with pytest.raises(KeyError, match="window='summit' needs"):
            er.tl.predict_activity(mdata, encoders, genome=world.genome, window="summit")
        table = mdata["enhancers"].var
        table["summit"] = ((table["Start"] + table["End"]) // 2).astype(np.int64)
        er.tl.predict_activity(mdata, encoders, genome=world.genome, window="summit", key_added="at_summit")
        er.tl.predict_activity(mdata, encoders, genome=world.genome)
        a, b = (mdata["enhancers"].layers[k] for k in ("at_summit", "activity_pred"))
        assert np.array_equal(a, b, equal_nan=True)

    def test_bad_window(self, world, mdata, encoders):
        with pytest.raises(ValueError, match="window is 'left'; expected 'center', 'summit' or 'tile'"):
            er.tl.predict_activity(mdata, encoders, genome=world.genome, window="left")

    def test_linear_head(self, world, mdata):
        model = randomised(EPInformerSeq(EPInformerSeqConfig(hidden=0)))
        er.tl.predict_activity(mdata, model, genome=world.genome)
        assert np.isfinite(mdata["enhancers"].layers["activity_pred"]).any()


def test_results_survive_the_file(world, mdata, models, tmp_path):
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    er.tl.attention(mdata, models, assay="CAGE", genome=world.genome)
    for suffix in ("h5mu", "zarr"):
        er.io.write(mdata, tmp_path / f"x.{suffix}")
        again = er.io.read(tmp_path / f"x.{suffix}")
        assert np.array_equal(again["genes"].layers["CAGE_pred"], mdata["genes"].layers["CAGE_pred"], equal_nan=True)
        assert np.array_equal(again["links"].layers["attention"], mdata["links"].layers["attention"], equal_nan=True)
        for key, table in mdata.uns["eregtools"]["results"].items():
            found = again.uns["eregtools"]["results"][key]
            pd.testing.assert_frame_equal(
                found.astype(str).reset_index(drop=True), table.astype(str).reset_index(drop=True)
            )
