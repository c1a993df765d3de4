"""Evaluation of expression and activity: scores, intervals, baselines and what is refused."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, pearsonr, spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

import eregtools as er
from eregtools._keys import MRNA_FEATURES
from eregtools.batches.composition import gc_and_cpg, kmer_frequencies
from eregtools.models import EPInformerSeqConfig
from eregtools.tl._scores import COLUMNS
from motif_world import CHANNELS, expression_models, make_motif_world

EXPRESSION = ["model", "shuffled", "trees", "promoter", "promoter_mrna", "nearest"]
ACTIVITY = ["model", "shuffled", "gc_cpg", "kmer"]
FOLDS = (12, 1, 2, 3)
"""Of "epinformer12"; they test chr1, chr2, chr3 and chr4."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return make_motif_world(tmp_path_factory.mktemp("motifs"))


@pytest.fixture
def mdata(built):
    return built.copy()


@pytest.fixture(scope="module")
def encoder(built):
    """What was learnt on four chromosomes, of elements on four others."""
    config = EPInformerSeqConfig(hidden=16, tower_channels=CHANNELS)
    with er.settings.override(progress=False):
        return er.tl.train_activity(built, fold=1, config=config, max_epochs=8, learning_rate=4e-3, device="cpu")


@pytest.fixture
def predicted(mdata):
    """Object with predictions of chr1 to chr4 that are expression and noise, of weights that saw other chromosomes."""
    rng = np.random.default_rng(0)
    genes = mdata["genes"]
    tested = genes.var["Chromosome"].isin(["chr1", "chr2", "chr3", "chr4"]).to_numpy()
    noise = rng.normal(0, 0.3, genes.n_vars)
    put(mdata, "RNA_pred", np.where(tested, 2 * genes.layers["RNA"][0] + 1 + noise, np.nan))
    put(mdata, "RNA_shuffled_pred", np.where(tested, rng.normal(size=genes.n_vars), np.nan), shuffled=True)
    return mdata


def put(mdata, layer, values, *, shuffled=False, leakage="no", sha256="abc"):
    """A layer of predictions as predict_expression records it."""
    mdata["genes"].layers[layer] = np.atleast_2d(values).astype(np.float32)
    recipe = "log, dinucleotide-shuffled sequence (seed 0)" if shuffled else "log"
    row = {"fold": 12, "model": "theirs", "sha256": sha256, "recipe": recipe, "leakage": leakage}
    table = pd.DataFrame([{"sample": name, **row} for name in mdata.obs_names])
    mdata.uns["eregtools"].setdefault("results", {})[f"genes:{layer}"] = table


def evaluate(mdata, **arguments):
    return er.tl.evaluate_expression(mdata, **({"assay": "RNA", "n_bootstrap": 50} | arguments))


def pooled(table):
    return table[table["fold"] == "pooled"].set_index("predictor")


def test_a_model_that_learnt_a_motif_beats_composition_and_loses_all_when_shuffled(mdata, encoder):
    table = er.tl.evaluate_activity(mdata, {1: encoder})
    assert list(table.columns) == list(COLUMNS)
    scores = pooled(table)
    assert scores.index.tolist() == ACTIVITY
    assert set(scores["n"]) == {400}
    assert scores.loc["model", "pearson"] > 0.9
    assert scores.loc["kmer", "pearson"] < 0.75
    assert abs(scores.loc["gc_cpg", "pearson"]) < 0.25
    assert abs(scores.loc["shuffled", "pearson"]) < 0.25
    assert set(scores["reference"]) == {"kmer"}
    assert 0.1 < scores.loc["model", "delta_low"] < scores.loc["model", "delta"] < scores.loc["model", "delta_high"]
    assert scores.loc["shuffled", "delta_high"] < -0.3
    assert scores.loc["kmer", ["delta", "delta_low", "delta_high"]].tolist() == [0, 0, 0]
    assert scores.loc["model", "slope"] == pytest.approx(1, abs=0.2)
    assert scores.loc["model", "pearson_low"] < scores.loc["model", "pearson"] < scores.loc["model", "pearson_high"]
    assert set(table["leakage"]) == {"no"}

    er.tl.predict_activity(mdata, {1: encoder})
    er.tl.predict_activity(mdata, {1: encoder}, shuffle=True)
    pd.testing.assert_frame_equal(er.tl.evaluate_activity(mdata), table)


def test_scores_of_activity_are_those_of_the_layers(mdata, encoder):
    enhancers = mdata["enhancers"]
    enhancers.layers["candidate"][0, ::5] = 0
    enhancers.layers["activity"][0, 1] = np.nan
    table = er.tl.evaluate_activity(mdata, {1: encoder}, n_bootstrap=0)
    er.tl.predict_activity(mdata, {1: encoder})
    predicted = enhancers.layers["activity_pred"][0].astype(float)
    observed = np.log2(0.1 + enhancers.layers["activity"][0].astype(float))
    both = np.isfinite(predicted) & np.isfinite(observed)
    assert both.sum() == 400 - 80 - 1
    row = pooled(table).loc["model"]
    assert row["n"] == both.sum()
    assert row["pearson"] == pytest.approx(pearsonr(predicted[both], observed[both]).statistic, abs=1e-9)
    assert row["r2"] == pytest.approx(r2_score(observed[both], predicted[both]), abs=1e-9)
    assert table[["pearson_low", "pearson_high", "delta_low", "delta_high"]].isna().all(axis=None)
    assert row["delta"] > 0.1


def test_expression_scores_are_those_of_scipy_and_scikit_learn(predicted):
    table = evaluate(predicted, scheme="epinformer12")
    assert pooled(table).index.tolist() == EXPRESSION
    genes = predicted["genes"]
    chromosome = genes.var["Chromosome"].astype(str).to_numpy()
    for method in EXPRESSION[2:]:
        er.tl.baseline_expression(predicted, assay="RNA", method=method, scheme="epinformer12", key_added=method)
    layers = {"model": "RNA_pred", "shuffled": "RNA_shuffled_pred"} | {method: method for method in EXPRESSION[2:]}
    chromosomes_of = {"pooled": ["chr1", "chr2", "chr3", "chr4"], 12: ["chr1"], 1: ["chr2"], 2: ["chr3"], 3: ["chr4"]}
    assert set(table["fold"]) == set(chromosomes_of)
    assert len(table) == 5 * len(EXPRESSION)
    for row in table.itertuples():
        here = np.isin(chromosome, chromosomes_of[row.fold])
        x, y = (genes.layers[layer][0, here].astype(float) for layer in (layers[row.predictor], "RNA"))
        line = linregress(x, y)
        assert row.n == here.sum()
        # predictions of layers are float32
        assert row.pearson == pytest.approx(pearsonr(x, y).statistic, abs=1e-6)
        assert row.spearman == pytest.approx(spearmanr(x, y).statistic, abs=1e-4)
        assert row.r2 == pytest.approx(r2_score(y, x), abs=1e-5)
        assert row.slope == pytest.approx(line.slope, abs=1e-5)
        assert row.intercept == pytest.approx(line.intercept, abs=1e-5)
    by_fold = table[table["fold"] != "pooled"]
    assert by_fold[["pearson_low", "delta", "delta_low"]].isna().all(axis=None), "a fold has one chromosome here"
    scores = pooled(table)
    best = scores.loc[EXPRESSION[2:], "pearson"].idxmax()
    assert set(table["reference"]) == {best}
    assert np.allclose(scores["delta"], scores["pearson"] - scores.loc[best, "pearson"])
    assert scores.loc["model", "slope"] == pytest.approx(0.5, abs=0.05)
    assert scores.loc["model", "r2"] < 0 < scores.loc["model", "pearson"], "on another scale than expression"


def test_intervals_are_those_of_drawing_whole_chromosomes(predicted):
    table = pooled(evaluate(predicted, n_bootstrap=300, rng=4))
    genes = predicted["genes"]
    chromosome = genes.var["Chromosome"].astype(str).to_numpy()
    best = table["reference"].iloc[0]
    er.tl.baseline_expression(predicted, assay="RNA", method=best, key_added="best", rng=4)
    counts = np.random.default_rng(4).multinomial(4, [0.25] * 4, size=300)
    rows = [np.flatnonzero(chromosome == name) for name in ("chr1", "chr2", "chr3", "chr4")]
    r = np.empty((300, 2))
    for i, drawn in enumerate(counts):
        which = np.concatenate([np.tile(rows[k], n) for k, n in enumerate(drawn)])
        y = genes.layers["RNA"][0, which]
        r[i] = [np.corrcoef(genes.layers[layer][0, which], y)[0, 1] for layer in ("RNA_pred", "best")]
    for draws, columns in ((r[:, 0], "pearson"), (r[:, 0] - r[:, 1], "delta")):
        expected = np.quantile(draws, [0.025, 0.975])
        assert table.loc["model", [f"{columns}_low", f"{columns}_high"]].to_numpy(float) == pytest.approx(
            expected, abs=1e-5
        )
    narrow = pooled(evaluate(predicted, n_bootstrap=300, rng=4, level=0.5))
    assert narrow.loc["model", "pearson_low"] > table.loc["model", "pearson_low"]


def test_intervals_hold_what_chromosomes_share():
    """Chromosomes that differ make wide intervals, however many genes they have; genes drawn singly would not."""
    from eregtools.tl._scores import Bootstrap, Compared, score_table

    rng = np.random.default_rng(1)
    widths = {}
    for shift in (0.0, 2.0):
        chromosome = np.repeat([f"chr{i}" for i in range(10)], 500)
        observed = rng.normal(size=5_000)
        wrong = rng.normal(0, 0.3, 5_000) + np.repeat(rng.normal(0, shift, 10), 500)
        compared = Compared(
            "S", "genes", observed, {"model": observed + wrong, "trees": observed}, np.ones(5_000, int), chromosome
        )
        row = pooled(score_table(compared, ["trees"], Bootstrap(400, 0.95, 0), {})).loc["model"]
        widths[shift] = row["pearson_high"] - row["pearson_low"]
    assert widths[0.0] < 0.02
    assert widths[2.0] > 0.1


def test_all_predictors_are_judged_on_the_same_genes(predicted, caplog):
    genes = predicted["genes"]
    genes.layers["RNA_pred"][0, :7] = np.nan
    genes.layers["RNA_shuffled_pred"][0, 5:9] = np.nan
    genes.layers["promoter_activity"][0, 20:22] = np.nan
    genes.layers["RNA"][0, 30] = np.nan
    with caplog.at_level(logging.INFO, logger="eregtools"):
        table = evaluate(predicted)
    assert set(pooled(table)["n"]) == {200 - 9 - 2 - 1}
    assert "188 of 199 measured genes in the folds judged are compared" in caplog.text
    assert "for want of a prediction: model 7, shuffled 4, promoter 2" in caplog.text


def test_predictions_of_a_model_are_those_of_its_layers(mdata):
    models = expression_models(FOLDS)
    table = evaluate(mdata, model=models, rng=2, scheme="epinformer12")
    assert "RNA_pred" not in mdata["genes"].layers
    er.tl.predict_expression(mdata, models, assay="RNA")
    er.tl.predict_expression(mdata, models, assay="RNA", shuffle=True, rng=2)
    pd.testing.assert_frame_equal(evaluate(mdata, rng=2, scheme="epinformer12"), table)
    scores = pooled(table)
    assert set(scores["n"]) == {200}
    assert scores.loc["model", "pearson"] != scores.loc["shuffled", "pearson"]
    assert set(table["leakage"]) == {"no"}
    with pytest.raises(ValueError, match=r"model= predicts anew.*pass one or the other"):
        evaluate(mdata, model=models, key="RNA_pred")


def test_each_sample_is_judged_by_itself(tmp_path):
    mdata = make_motif_world(tmp_path, n_chromosomes=4, n_blocks=30, samples=("A", "B"), name="two-samples")
    rng = np.random.default_rng(0)
    put(mdata, "RNA_pred", mdata["genes"].layers["RNA"] + rng.normal(0, [[0.2], [1.0]], (2, 120)))
    both = evaluate(mdata)
    assert both["sample"].unique().tolist() == ["A", "B"]
    for name in ("B", "A"):
        alone = evaluate(mdata, sample=name)
        pd.testing.assert_frame_equal(alone, both[both["sample"] == name].reset_index(drop=True))
    r = pooled(both).set_index("sample", append=True).loc["model", "pearson"]
    assert r["A"] > r["B"] > 0
    mdata["genes"].layers["RNA_pred"][1] = np.nan
    assert evaluate(mdata)["sample"].unique().tolist() == ["A"]
    with pytest.raises(ValueError, match=r"B: none of the genes on test chromosomes has a measured value and a"):
        evaluate(mdata, sample=["A", "B"])


class TestWhatIsKnownOfALayer:
    def test_without_shuffled_predictions_the_row_is_nan_and_says_how(self, predicted, caplog):
        del predicted["genes"].layers["RNA_shuffled_pred"]
        table = evaluate(predicted)
        row = pooled(table).loc["shuffled"]
        assert row["n"] == 0
        assert row[["pearson", "pearson_low", "spearman", "r2", "slope", "delta"]].isna().all()
        assert pooled(table).drop(index="shuffled")["n"].tolist() == [200] * 5
        warnings = [r.message for r in caplog.records if r.levelname == "WARNING"]
        assert len(warnings) == 1
        assert "er.tl.predict_expression(mdata, …, assay='RNA', shuffle=True) with the same weights" in warnings[0]

    def test_shuffled_predictions_of_other_weights_do_not_count(self, predicted):
        values = predicted["genes"].layers["RNA_shuffled_pred"]
        put(predicted, "RNA_shuffled_pred", values, shuffled=True, sha256="other")
        assert pooled(evaluate(predicted)).loc["shuffled", "n"] == 0
        with pytest.raises(ValueError, match="'RNA_shuffled_pred' is not known to be what the weights of 'RNA_pred'"):
            evaluate(predicted, shuffled_key="RNA_shuffled_pred")
        put(predicted, "RNA_shuffled_pred", values)
        assert pooled(evaluate(predicted)).loc["shuffled", "n"] == 0, "not recorded as shuffled"

    def test_leakage_is_refused_or_marked(self, predicted):
        put(predicted, "RNA_pred", predicted["genes"].layers["RNA_pred"], leakage="yes")
        with pytest.raises(ValueError, match=r"'RNA_pred' was predicted by weights that .* or pass allow_leakage=True"):
            evaluate(predicted)
        table = evaluate(predicted, allow_leakage=True)
        leaky = table["predictor"].isin(["model", "shuffled"])
        assert set(table.loc[leaky, "leakage"]) == {"yes"}
        assert set(table.loc[~leaky, "leakage"]) == {"no"}

    def test_leakage_of_a_layer_of_ones_own_is_unknown(self, predicted, caplog):
        predicted["genes"].layers["mine"] = predicted["genes"].layers["RNA_pred"]
        table = pooled(evaluate(predicted, key="mine"))
        assert table.loc["model", "leakage"] == "unknown"
        assert "it is not known on which chromosomes the model was trained" in caplog.text
        assert table.loc["model", "pearson"] == pooled(evaluate(predicted)).loc["model", "pearson"]

    def test_predictions_of_a_numbered_fold(self, mdata):
        model = expression_models((12,))
        er.tl.predict_expression(mdata, model, assay="RNA", fold=12, allow_leakage=True)
        with pytest.raises(ValueError, match="trained or selected on some of its chromosomes"):
            evaluate(mdata)
        assert pooled(evaluate(mdata, allow_leakage=True)).loc["model", "n"] == 200
        honest = evaluate(mdata, model=model)
        assert pooled(honest).loc["model", "n"] == 50, "chr1 alone was left out by fold 12"
        assert set(honest["leakage"]) == {"no"}


class TestBaselines:
    def test_each_method_by_hand(self, mdata):
        genes = mdata["genes"]
        y = genes.layers["RNA"][0].astype(float)
        promoter = genes.layers["promoter_activity"].T.astype(float)
        features = er.tl.baseline.gene_features(mdata, "S")
        near = features[["activity_nearest", "activity_over_distance"]].fillna(0).to_numpy()
        inputs = {
            "trees": (features.to_numpy(float), HistGradientBoostingRegressor(random_state=3)),
            "promoter": (np.log1p(promoter), LinearRegression()),
            "promoter_mrna": (
                np.column_stack([promoter, genes.varm["mrna_features"][list(MRNA_FEATURES)]]),
                HistGradientBoostingRegressor(random_state=3),
            ),
            "nearest": (np.log10(0.1 + near), LinearRegression()),
        }
        test = genes.var["Chromosome"].isin(["chr1", "chr2", "chr3", "chr4"]).to_numpy()
        known = np.isfinite(y)
        for method, (x, model) in inputs.items():
            er.tl.baseline_expression(mdata, assay="RNA", method=method, rng=3)
            key = "RNA_baseline" if method == "trees" else f"RNA_baseline_{method}"
            found = genes.layers[key][0]
            expected = model.fit(x[~test & known], y[~test & known]).predict(x[test])
            assert np.allclose(found[test], expected, atol=1e-5), method
            assert np.isnan(found[~test]).all()
            assert len(set(mdata.uns["eregtools"]["results"][f"genes:{key}"]["model"])) == 1

    def test_no_gene_is_fitted_to(self, mdata):
        """What is measured on the test chromosomes does not reach their predictions."""
        changed = mdata.copy()
        test = changed["genes"].var["Chromosome"].isin(["chr1", "chr2", "chr3", "chr4"]).to_numpy()
        changed["genes"].layers["RNA"][0, test] = np.random.default_rng(0).normal(100, 50, test.sum())
        for method in EXPRESSION[2:]:
            for one in (mdata, changed):
                er.tl.baseline_expression(one, assay="RNA", method=method, key_added="out")
            a, b = (one["genes"].layers["out"][0] for one in (mdata, changed))
            assert np.array_equal(a, b, equal_nan=True), method

    def test_what_is_missing_is_named_and_the_row_is_nan(self, predicted, caplog):
        del predicted["genes"].varm["mrna_features"]
        with pytest.raises(KeyError, match=r"no genes\.varm\['mrna_features'\]; run er\.pp\.mrna_features first"):
            er.tl.baseline_expression(predicted, assay="RNA", method="promoter_mrna")
        table = pooled(evaluate(predicted))
        assert "S: baseline 'promoter_mrna' is NaN: there is no genes.varm['mrna_features']" in caplog.text
        assert table["n"].to_dict() == dict.fromkeys(EXPRESSION, 200) | {"promoter_mrna": 0}
        for key, method, message in (
            ("promoter_activity", "promoter", r"er\.pp\.promoter_activity"),
            ("activity", "nearest", r"er\.pp\.activity"),
        ):
            del predicted["enhancers" if key == "activity" else "genes"].layers[key]
            with pytest.raises(KeyError, match=message):
                er.tl.baseline_expression(predicted, assay="RNA", method=method)
        with pytest.raises(ValueError, match="method is 'forest'; expected one of trees, promoter"):
            er.tl.baseline_expression(predicted, assay="RNA", method="forest")

    def test_words_are_counted_on_both_strands(self):
        rng = np.random.default_rng(0)
        codes = rng.integers(0, 6, (6, 40)).astype(np.uint8)
        codes[0] = 4
        found = kmer_frequencies(codes)
        complement = str.maketrans("ACGT", "TGCA")
        words = ["".join("ACGT"[i // 4**p % 4] for p in (3, 2, 1, 0)) for i in range(256)]
        smaller = sorted({min(w, w.translate(complement)[::-1]) for w in words})
        assert found.shape == (6, len(smaller)) == (6, 136)
        assert np.isnan(found[0]).all()
        for row, values in zip(codes[1:], found[1:], strict=True):
            text = "".join("ACGTN-"[c] for c in row)
            seen = [text[i : i + 4] for i in range(37) if set(text[i : i + 4]) <= set("ACGT")]
            seen = [min(w, w.translate(complement)[::-1]) for w in seen]
            assert values == pytest.approx([seen.count(w) / len(seen) for w in smaller])
            gc, cpg = gc_and_cpg(row[None])[0]
            known = [c for c in text if c in "ACGT"]
            assert gc == pytest.approx(sum(c in "GC" for c in known) / len(known))
            pairs = [text[i : i + 2] for i in range(39) if set(text[i : i + 2]) <= set("ACGT")]
            assert cpg == pytest.approx(pairs.count("CG") / len(pairs))

    def test_composition_of_tiles_is_their_mean(self, mdata, encoder):
        table = er.tl.evaluate_activity(mdata, {1: encoder}, window="tile", n_bootstrap=0)
        one = er.tl.evaluate_activity(mdata, {1: encoder}, n_bootstrap=0)  # elements are one window long
        columns = ["pearson", "spearman", "slope"]
        for name in ("gc_cpg", "kmer"):
            assert pooled(table).loc[name, columns].to_numpy(float) == pytest.approx(
                pooled(one).loc[name, columns].to_numpy(float)
            )


class TestRefused:
    def test_missing_parts(self, mdata, encoder):
        with pytest.raises(KeyError, match=r"no layer 'RNA_pred'.*run er\.tl\.predict_expression\(.*, or pass model="):
            evaluate(mdata)
        with pytest.raises(KeyError, match=r"no layer .{1,3}CAGE.*add_expression"):
            evaluate(mdata, assay="CAGE", model=expression_models((12,)))
        with pytest.raises(KeyError, match=r"no folds of scheme 'mine' in the object.*run er\.pp\.split first"):
            evaluate(mdata, scheme="mine")
        with pytest.raises(KeyError, match=r"no layer 'activity_pred'.*run er\.tl\.predict_activity"):
            er.tl.evaluate_activity(mdata)
        with pytest.raises(KeyError, match=r"no layer 'DNase'"):
            er.tl.evaluate_activity(mdata, {1: encoder}, target="DNase")
        with pytest.raises(KeyError, match="no biosample 'T'"):
            evaluate(mdata, sample="T")
        del mdata.uns["eregtools"]["folds"]
        with pytest.raises(KeyError, match=r"run er\.pp\.split first"):
            evaluate(mdata, scheme=None)

    def test_constant_expression(self, predicted):
        predicted["genes"].layers["RNA"][:] = 2.0
        with pytest.raises(ValueError, match="S: the measured value of the genes is 2 throughout"):
            evaluate(predicted)

    def test_too_few_genes(self, predicted):
        predicted["genes"].layers["RNA_pred"][0, 1:] = np.nan
        with pytest.raises(ValueError, match=r"S: 1 of 200 measured genes .* 2 are needed \(without one: model 199"):
            evaluate(predicted)

    def test_predictions_of_no_tested_chromosome(self, predicted):
        tested = predicted["genes"].var["Chromosome"].isin(["chr1", "chr2", "chr3", "chr4"]).to_numpy()
        predicted["genes"].layers["RNA_pred"][0, tested] = np.nan
        with pytest.raises(ValueError, match="none of the genes on test chromosomes has a measured value and a pred"):
            evaluate(predicted)

    @pytest.mark.parametrize("change", [{"n_bootstrap": -1}, {"level": 1.0}, {"level": 0.0}])
    def test_settings_without_sense(self, predicted, change):
        with pytest.raises(ValueError, match="expected at least 0 draws and 0 < level < 1"):
            evaluate(predicted, **change)


def test_two_chromosomes_have_no_interval(predicted, caplog):
    here = predicted["genes"].var["Chromosome"].isin(["chr3", "chr4"]).to_numpy()
    predicted["genes"].layers["RNA_pred"][0, ~here] = np.nan
    with caplog.at_level(logging.INFO, logger="eregtools"):
        table = evaluate(predicted)
    assert table[["pearson_low", "pearson_high", "delta_low", "delta_high"]].isna().all(axis=None)
    assert np.isfinite(pooled(table)["delta"]).all()
    lines = [r.message for r in caplog.records if "intervals" in r.message]
    assert lines == ["S: the genes compared are on 2 chromosomes; intervals draw chromosomes, need 3 and are NaN"]


def test_a_predictor_that_does_not_vary_has_no_correlation(predicted):
    tested = np.isfinite(predicted["genes"].layers["RNA_pred"])
    predicted["genes"].layers["RNA_pred"][tested] = 0.1
    row = pooled(evaluate(predicted)).loc["model"]
    assert row[["pearson", "spearman", "slope", "intercept", "pearson_low", "delta"]].isna().all()
    y = predicted["genes"].layers["RNA"][tested]
    assert row["r2"] == pytest.approx(1 - ((y - 0.1) ** 2).mean() / y.var(), abs=1e-5)


def test_published_k562_predictions_have_their_published_scores(shared):
    """Lin, Luo and Pinello: PE-Activity, K562 RNA, pooled and by fold; the baselines without sequence exceed it."""
    folder = shared / "data/epinformer"
    genes = pd.read_csv(folder / "mRNA_halflife_features.tsv.gz", sep="\t", dtype={"chrom": str})
    counts = pd.read_csv(folder / "K562_genes_TSS1kb_counts.tsv.gz", sep="\t").set_index("gene").loc[genes["gene_id"]]
    values = pd.read_csv(folder / "gene_predictions_PEActivity_RNA_K562.tsv.gz", sep="\t", index_col="gene_id")
    elements = pd.read_csv(folder / "K562_candidate_enhancers_counts.tsv.gz", sep="\t")
    genes.index, counts.index = genes["gene_id"], genes["gene_id"]
    elements.index = elements["chrom"] + ":" + elements["start"].astype(str) + "-" + elements["end"].astype(str)
    mdata = er.pp.assemble(
        genes=genes.assign(strand=counts["strand"]),
        enhancers=elements,
        samples="K562",
        genome=shared / "data/genome/hg38.partial.fa.gz",
    )
    from eregtools.datasets.k562 import DNASE, H3K27AC, TOTALS

    for modality, table, end in (("genes", counts, "_TSS1kb"), ("enhancers", elements, "")):
        dnase, h3k27ac = table[DNASE + end], [table[name + end] for name in H3K27AC]
        er.pp.add_signal(mdata, {"K562": dnase}, assay="DNase", modality=modality)
        er.pp.add_signal(mdata, {"K562": h3k27ac}, assay="H3K27ac", modality=modality)
    er.pp.activity(mdata, totals=TOTALS)
    er.pp.promoter_activity(mdata, totals=TOTALS)
    er.pp.mrna_features(mdata, genes[list(MRNA_FEATURES)])
    er.pp.add_expression(mdata, values["actual_zlog10RPKM"].to_frame("K562"), assay="RNA")
    er.pp.link(mdata, max_enhancers=60)
    er.pp.split(mdata, "epinformer12")
    published = values["pred_published"].reindex(mdata["genes"].var_names)
    mdata["genes"].layers["RNA_pred"] = published.to_numpy(np.float32)[None]

    table = er.tl.evaluate_expression(mdata, assay="RNA")
    scores = pooled(table)
    assert scores.loc["model", "n"] == 18_377
    assert scores.loc["model", "pearson"] == pytest.approx(0.8441, abs=5e-5)
    by_fold = table[(table["predictor"] == "model") & (table["fold"] != "pooled")]["pearson"].round(3).tolist()
    assert by_fold == [0.863, 0.846, 0.845, 0.882, 0.830, 0.822, 0.865, 0.834, 0.855, 0.867, 0.773, 0.853]
    assert scores.loc["promoter_mrna", "pearson"] == pytest.approx(0.871, abs=2e-3)
    assert scores.loc["promoter", "pearson"] == pytest.approx(0.849, abs=2e-3)
    assert scores.loc["model", "delta_high"] < 0
