"""tl.perturb: the authors' knock-outs, identities that any knock-out obeys, and the way back to the linear scale."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import torch

import eregtools as er
from eregtools.batches.encode import PADDING
from eregtools.batches.genes import GeneInputs, enhancer_codes, gene_inputs, promoter_codes
from eregtools.models import EPInformer, EPInformerConfig, get_recipe
from eregtools.models.inference import GenePredictor, SlotEncoder
from eregtools.models.recipes import Target
from networks import randomised
from world import make_world

CPU = torch.device("cpu")
FOLDS = {"chr1": 12, "chr2": 1, "chr22": 11}
WINDOW = 512
UNKNOWN_PROMOTER = "ENSG00000000005"
CAGE = Target("log10(1+x)")


def network(seed=0, n_slot_features=3, n_gene_features=9, bias=1.5, **config):
    """Random weights that predict some expression for every gene."""
    config = EPInformerConfig(n_slot_features=n_slot_features, n_gene_features=n_gene_features, window=WINDOW, **config)
    model = randomised(EPInformer(config), seed=seed)
    with torch.no_grad():
        model.predictor[-1].bias += bias
    model.provenance = {"assay": "CAGE", "target": {"name": "log10(1+x)"}}
    return model


@pytest.fixture(scope="module")
def models():
    return {fold: network(seed=fold) for fold in FOLDS.values()}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def built(world):
    return world.build()


@pytest.fixture(scope="module")
def perturbed(world, built, models):
    """Every link knocked out, and the wild type; tests must not write to it."""
    mdata = built.copy()
    er.tl.perturb(mdata, models, assay="CAGE", genome=world.genome)
    er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
    return mdata


@pytest.fixture
def mdata(built):
    return built.copy()


def own_links(mdata, sample):
    """Rows of the links of a sample whose gene is predicted."""
    own = mdata["links"].layers["candidate"][mdata.obs_names.get_loc(sample)] > 0
    return np.flatnonzero(own & (mdata["links"].var["gene"] != UNKNOWN_PROMOTER).to_numpy())


def fraction(wild, knocked, target=CAGE):
    return target.linear(knocked) / target.linear(wild) - 1


@pytest.fixture(scope="module")
def stored(shared):
    return dict(np.load(shared / "parity" / "epinformer" / "attention_perturbation.npz"))


@pytest.fixture(scope="module")
def klf1_model(shared):
    return er.models.load_published(
        shared / "parity" / "epinformer" / "checkpoints" / "pe_act_hic_K562_CAGE_KLF1test.pt"
    )


class TestOracle:
    """Knock-outs at KLF1 by the authors' code and weights."""

    @pytest.mark.parametrize("batch_size", [None, 1, 5])
    def test_expression_without_each_enhancer(self, stored, klf1_model, batch_size):
        states = SlotEncoder(klf1_model, CPU)(stored["codes"].astype(np.uint8))
        n = len(states) - 1
        each = np.arange(n)
        inputs = GeneInputs(
            np.zeros(1, dtype=np.int64), each, each, np.array([0, n]),
            stored["feat"][1:], stored["feat"][:1], stored["rna9"][None],
        )  # fmt: skip
        knocked = GenePredictor(klf1_model, CPU).knock_outs(
            inputs, states[:1], states[1:], each, each, batch_size=batch_size
        )
        assert np.abs(CAGE.linear(knocked) / stored["perturbed_expr"] - 1).max() <= 1e-5

    def test_the_same_through_the_object(self, stored, klf1_model, tmp_path):
        """Sequence in a FASTA, features in tables, the published weights, one call."""
        mdata, genome = self.klf1(stored, tmp_path)
        er.tl.perturb(mdata, klf1_model, assay="CAGE", genome=genome)
        change = mdata["links"].layers["perturbation"][0]
        assert np.abs(change - stored["frac_change"]).max() <= 1e-5
        assert mdata.uns["eregtools"]["results"]["links:perturbation"]["fold"].tolist() == [8]
        er.tl.perturb(
            mdata, klf1_model, assay="CAGE", genome=genome, targets={e: [e] for e in mdata["enhancers"].var_names}
        )
        table = mdata.uns["eregtools"]["perturbations"]["perturbation"]
        assert np.abs(table["perturbed"] / stored["perturbed_expr"] - 1).max() <= 1e-5
        assert np.abs(table["wild_type"] / stored["pred_expr"] - 1).max() <= 1e-5

    @staticmethod
    def klf1(stored, folder):
        codes, feat = stored["codes"], stored["feat"]
        held = codes != PADDING
        starts = 10_000 + 4_000 * np.arange(len(codes))
        letters = np.full(70_000, ord("A"), dtype=np.uint8)
        for start, row, kept in zip(starts, codes, held, strict=True):
            letters[start : start + kept.sum()] = np.frombuffer(b"ACGTN", dtype=np.uint8)[row[kept]]
        (folder / "klf1.fa").write_text(">chr19\n" + letters.tobytes().decode() + "\n")
        genome = er.Genome(folder / "klf1.fa", name="klf1")
        table = pd.DataFrame({"chrom": "chr19", "start": starts[1:], "end": (starts + held.sum(axis=1))[1:]})
        gene = pd.DataFrame({"chrom": ["chr19"], "tss": [starts[0] + 1_000], "strand": ["+"]}, index=["KLF1"])
        mdata = er.pp.assemble(genes=gene, enhancers=table, samples=["K562"], genome=genome)
        er.pp.link(mdata)
        # Only distances matter to the model, not where its enhancers were put to hold their sequence.
        mdata["links"].var["distance"] = (1_000 * feat[1:, 0]).astype(np.float32)
        er.pp.add_signal(mdata, {"K562": stored["activity"]}, assay="activity")
        er.pp.add_contacts(mdata, {"K562": pd.Series(stored["contact"], mdata["links"].var_names)}, fallback=None)
        *mrna, promoter = stored["rna9"]
        er.pp.mrna_features(mdata, pd.DataFrame([mrna], ["KLF1"], list(er._keys.MRNA_FEATURES)))
        mdata["genes"].layers["promoter_activity"] = np.array([[promoter]], dtype=np.float32)
        return mdata, genome


def test_knock_out_is_prediction_without_the_link(world, perturbed, models):
    """In each round, every gene loses one link of the object itself."""
    wild = perturbed["genes"].layers["CAGE_pred"]
    change = perturbed["links"].layers["perturbation"]
    gene = perturbed["links"].var["gene"].astype(str).to_numpy()
    at = perturbed["genes"].var_names.get_indexer(gene)
    checked = 0
    for rng in map(np.random.default_rng, range(4)):
        without = perturbed.copy()
        lost = []
        for row, sample in enumerate(perturbed.obs_names):
            links = rng.permutation(own_links(perturbed, sample))
            lost.append(links[np.unique(gene[links], return_index=True)[1]])
            without["links"].layers["candidate"][row, lost[-1]] = 0
        er.tl.predict_expression(without, models, assay="CAGE", genome=world.genome)
        for row, links in enumerate(lost):
            expected = fraction(wild[row, at[links]], without["genes"].layers["CAGE_pred"][row, at[links]])
            assert np.abs(change[row, links] - expected).max() <= 1e-5
            checked += len(links)
    assert checked > 40
    assert np.nanmax(np.abs(change)) > 1e-3, "the knock-outs are of consequence"


def slots(world, mdata, name):
    """Codes ``(1 + n, window)`` and features of a gene's slots in K562, features of the gene, and its links."""
    inputs = gene_inputs(mdata, "K562", get_recipe("legacy", n_slot_features=3, n_gene_features=9))
    one = inputs.take(np.flatnonzero(mdata["genes"].var_names == name))
    codes = (
        promoter_codes(mdata, world.genome, one.gene, WINDOW),
        enhancer_codes(mdata, world.genome, one.element, WINDOW),
    )
    features = np.concatenate([one.promoter_features, one.slot_features])
    return np.concatenate(codes), features, one.gene_features, one.link


def plain(models, mdata, name, codes, features, of_gene, padding):
    """Output of the plain network of the gene's fold, with all slots encoded anew."""
    model = models[FOLDS[mdata["genes"].var.loc[name, "Chromosome"]]]
    n = len(codes)
    with torch.inference_mode():
        out = model(
            torch.from_numpy(codes),
            torch.from_numpy(features).expand(n, -1, -1),
            torch.from_numpy(of_gene).expand(n, -1),
            torch.from_numpy(padding),
        )
    return out.expression.numpy()


@pytest.mark.parametrize("gene", ["ENSG00000000001", "ENSG00000000006"])
def test_knock_outs_from_cached_embeddings_are_those_of_the_plain_network(world, perturbed, models, gene):
    """All slots encoded anew for each knock-out, the enhancer's sequence zeroed and masked."""
    codes, features, of_gene, links = slots(world, perturbed, gene)
    lost = np.arange(1, len(codes), 2)
    codes = np.repeat(codes[None], len(lost) + 1, axis=0)
    codes[1 + np.arange(len(lost)), lost] = PADDING
    out = plain(models, perturbed, gene, codes, features, of_gene, (codes == PADDING).all(axis=2))
    change = perturbed["links"].layers["perturbation"][0, links[lost - 1]]
    assert len(change) >= 4
    assert np.abs(change - fraction(out[0], out[1:])).max() <= 1e-5


def test_only_the_samples_own_links_of_predicted_genes_have_a_change(perturbed):
    for row, sample in enumerate(perturbed.obs_names):
        made = np.flatnonzero(np.isfinite(perturbed["links"].layers["perturbation"][row]))
        assert np.array_equal(made, own_links(perturbed, sample))
    er._schema.validate(perturbed)
    results = perturbed.uns["eregtools"]["results"]["links:perturbation"]
    assert set(results["fold"]) == set(FOLDS.values())
    assert (results[["targets", "what", "scale"]] == ["each", "sequence", "linear"]).all(axis=None)


@pytest.mark.parametrize("arguments", [{}, {"what": "features"}, {"targets": "promoter"}])
def test_batch_size_is_of_no_consequence(world, mdata, models, arguments):
    for key, batch_size in (("one", 1), ("three", 3), ("all", None)):
        er.tl.perturb(
            mdata,
            models,
            assay="CAGE",
            genome=world.genome,
            sample="K562",
            batch_size=batch_size,
            key_added=key,
            **arguments,
        )
    layers = mdata["genes" if arguments.get("targets") else "links"].layers
    assert np.isfinite(layers["all"]).any()
    assert np.allclose(layers["one"], layers["all"], atol=1e-6, equal_nan=True)
    assert np.allclose(layers["three"], layers["all"], atol=1e-6, equal_nan=True)


class TestSets:
    def test_a_set_of_one_is_each(self, world, mdata, perturbed, models):
        names = mdata["enhancers"].var_names[3:12]
        er.tl.perturb(mdata, models, assay="CAGE", targets={name: [name] for name in names}, genome=world.genome)
        table = mdata.uns["eregtools"]["perturbations"]["perturbation"]
        link = table["set"].astype(str) + "|" + table["gene"].astype(str)
        for sample in mdata.obs_names:
            expected = perturbed["links"].to_df("perturbation").loc[sample].dropna()
            expected = expected[expected.index.str.split("|").str[0].isin(names)]
            own = table[table["sample"] == sample]
            assert set(link[own.index]) == set(expected.index)
            assert np.allclose(own["change"], expected[link[own.index]], atol=1e-6)
        assert (table["n_enhancers"] == 1).all()

    def test_a_set_loses_all_its_enhancers(self, world, mdata, perturbed, models):
        gene = "ENSG00000000000"
        links = er.get.links(mdata, gene=gene, sample="K562", layers=())
        chosen = {"near": list(links["enhancer"][:5]), "every": list(links["enhancer"])}
        er.tl.perturb(mdata, models, assay="CAGE", targets=chosen, sample="K562", genome=world.genome, batch_size=2)
        table = mdata.uns["eregtools"]["perturbations"]["perturbation"]
        assert list(table.columns) == ["sample", "gene", "set", "n_enhancers", "wild_type", "perturbed", "change"]
        for name, enhancers in chosen.items():
            without = mdata.copy()
            gone = without["links"].var["enhancer"].isin(enhancers).to_numpy()
            without["links"].layers["candidate"][0, gone] = 0
            er.tl.predict_expression(without, models, assay="CAGE", sample="K562", genome=world.genome)
            own = table[table["set"] == name].set_index("gene")
            at = mdata["genes"].var_names.get_indexer(own.index)
            wild, knocked = (CAGE.linear(m["genes"].layers["CAGE_pred"][0, at]) for m in (perturbed, without))
            assert np.allclose(own["wild_type"], wild, rtol=1e-5)
            assert np.allclose(own["perturbed"], knocked, rtol=1e-5)
            assert np.allclose(own["change"], knocked / wild - 1, atol=1e-5)
            assert own.loc[gene, "n_enhancers"] == len(enhancers)
            affected = mdata["links"].var[gone & (mdata["links"].layers["candidate"][0] > 0)]
            assert own["n_enhancers"].to_dict() == affected["gene"].astype(str).value_counts().to_dict()

    def test_lists_are_numbered_and_other_samples_stay(self, world, mdata, models, tmp_path):
        own = {s: list(er.get.links(mdata, sample=s, layers=())["enhancer"][:4]) for s in mdata.obs_names}
        for sample, enhancers in own.items():
            sets = [enhancers[:2], [*enhancers[2:], enhancers[2]]]
            er.tl.perturb(
                mdata, models, assay="CAGE", targets=sets, sample=sample, genome=world.genome, key_added="pairs"
            )
        table = mdata.uns["eregtools"]["perturbations"]["pairs"]
        assert set(table["sample"]) == set(mdata.obs_names)
        assert set(table["set"]) == {"set1", "set2"}
        assert table["n_enhancers"].max() == 2
        results = mdata.uns["eregtools"]["results"]["perturbations:pairs"]
        assert set(results["sample"]) == set(mdata.obs_names)
        er.io.write(mdata, tmp_path / "x.h5mu")
        again = er.io.read(tmp_path / "x.h5mu").uns["eregtools"]["perturbations"]["pairs"]
        pd.testing.assert_frame_equal(again, table, check_index_type=False)


class TestPromoter:
    @pytest.mark.parametrize(
        ("what", "empty", "silent"), [("sequence", True, False), ("features", False, True), ("both", True, True)]
    )
    def test_empty_window_that_is_no_padding_or_no_signal_or_both(self, world, mdata, models, what, empty, silent):
        er.tl.perturb(mdata, models, assay="CAGE", targets="promoter", what=what, scale="model", genome=world.genome)
        change = mdata["genes"].to_df("perturbation")
        assert change[UNKNOWN_PROMOTER].isna().all()
        assert change.drop(columns=UNKNOWN_PROMOTER).notna().all(axis=None)
        for gene in ("ENSG00000000001", "ENSG00000000004"):
            codes, features, of_gene, _ = slots(world, mdata, gene)
            padding = np.zeros((1, len(codes)), dtype=bool)
            wild = plain(models, mdata, gene, codes[None], features, of_gene, padding)
            if empty:
                codes[0] = PADDING
            if silent:
                of_gene[:, 8] = 0
            knocked = plain(models, mdata, gene, codes[None], features, of_gene, padding)
            assert change.loc["K562", gene] == pytest.approx(knocked[0] - wild[0], abs=1e-5)
        results = mdata.uns["eregtools"]["results"]["genes:perturbation"]
        assert (results["targets"] == "promoter").all()

    def test_the_later_recipe_holds_the_promoters_activity_in_its_slot_too(self, world, mdata):
        model = network(n_value=0.0)
        model.provenance["recipe"] = "v2"
        er.tl.perturb(
            mdata, model, assay="CAGE", targets="promoter", what="features", scale="model", genome=world.genome
        )
        for key, silent in (("wild", False), ("silent", True)):
            if silent:
                mdata["genes"].layers["promoter_activity"][:] = 0
            er.tl.predict_expression(mdata, model, assay="CAGE", genome=world.genome, key_added=key)
        layers = mdata["genes"].layers
        assert np.allclose(layers["perturbation"], layers["silent"] - layers["wild"], atol=1e-5, equal_nan=True)


class TestFeatures:
    @pytest.mark.parametrize("recipe", ["legacy", "log"])
    def test_silenced_is_prediction_without_signal(self, world, mdata, recipe):
        """An object in which the enhancer's activity and the link's contact are 0."""
        model = network()
        model.provenance["recipe"] = recipe
        arguments = {"genome": world.genome, "sample": "K562"}
        er.tl.perturb(mdata, model, assay="CAGE", what="features", scale="model", **arguments)
        er.tl.perturb(mdata, model, assay="CAGE", scale="model", key_added="gone", **arguments)
        er.tl.predict_expression(mdata, model, assay="CAGE", **arguments)
        links = mdata["links"].var
        change = mdata["links"].layers["perturbation"][0]
        for link in own_links(mdata, "K562")[::29]:
            silent = mdata.copy()
            silent["enhancers"].layers["activity"][0, silent["enhancers"].var_names == links["enhancer"].iloc[link]] = 0
            silent["links"].layers["contact"][0, link] = 0
            er.tl.predict_expression(silent, model, assay="CAGE", **arguments)
            at = mdata["genes"].var_names.get_loc(links["gene"].iloc[link])
            wild, knocked = (m["genes"].layers["CAGE_pred"][0, at] for m in (mdata, silent))
            assert change[link] == pytest.approx(knocked - wild, abs=1e-5)
        assert np.nanmax(np.abs(change)) > 1e-4
        assert np.nanmax(np.abs(change - mdata["links"].layers["gone"][0])) > 1e-4

    def test_without_its_sequence_an_enhancers_features_count_no_more(self, world, mdata, perturbed, models):
        er.tl.perturb(mdata, models, assay="CAGE", what="both", genome=world.genome)
        assert np.array_equal(
            mdata["links"].layers["perturbation"], perturbed["links"].layers["perturbation"], equal_nan=True
        )

    def test_what_a_model_does_not_take_cannot_be_silenced(self, world, mdata):
        model = network(n_slot_features=1, n_gene_features=0)
        with pytest.raises(ValueError, match="takes no feature of an enhancer but distance"):
            er.tl.perturb(mdata, model, assay="CAGE", what="features", genome=world.genome)
        with pytest.raises(ValueError, match="does not take the promoter's activity"):
            er.tl.perturb(mdata, model, assay="CAGE", targets="promoter", what="features", genome=world.genome)
        er.tl.perturb(mdata, model, assay="CAGE", genome=world.genome)
        assert np.isfinite(mdata["links"].layers["perturbation"]).any()


class TestScale:
    def test_back_from_each_transform(self):
        values = np.array([0.0, 3.0, 250.0])
        assert np.allclose(Target("log10(1+x)").linear(np.log10(1 + values)), values)
        z = (np.log10(values + 0.1) - 0.25) / 1.05
        assert np.allclose(Target("zscore(log10(x+0.1))", 0.25, 1.05).linear(z), values)
        with pytest.raises(ValueError, match="no way back is known from 'asinh'"):
            Target("asinh")

    def test_published_weights_know_their_scale(self, shared):
        """Mean and sd of Roadmap's RPKM give back the labels that the K562 weights were trained on."""
        table = pd.read_csv(
            shared / "data" / "roadmap_expression" / "57epigenomes.RPKM.pc.gz", sep="\t", index_col=False
        ).set_index("gene_id")
        labels = pd.read_csv(
            shared / "data" / "epinformer" / "gene_predictions_PEActivity_RNA_K562.tsv.gz", sep="\t", index_col=0
        )["actual_zlog10RPKM"]
        stated = {c.biosample: c.target for c in er.models.zoo.registry() if c.assay == "RNA"}
        for biosample, epigenome in (("K562", "E123"), ("GM12878", "E116")):
            logs = np.log10(table[epigenome].reindex(labels.index) + 0.1)
            assert stated[biosample].mean == pytest.approx(logs.mean(), abs=1e-6)
            assert stated[biosample].sd == pytest.approx(logs.std(ddof=0), abs=1e-6)
        rpkm = table["E123"].reindex(labels.index)
        assert np.allclose(stated["K562"].linear(labels), rpkm, rtol=1e-5, atol=1e-5)
        for checkpoint in er.models.zoo.registry():
            expected = {"CAGE": "log10(1+x)", "RNA": "zscore(log10(x+0.1))"}.get(checkpoint.assay)
            assert (checkpoint.target and checkpoint.target.name) == expected
            assert checkpoint.provenance.get("target", {}).get("name") == expected

    def test_fraction_by_hand(self, world, mdata, models):
        """RNA of the object, z-scored by add_expression with another mean and sd in each biosample."""
        models = {fold: network(seed=fold, bias=0.3) for fold in FOLDS.values()}
        for model in models.values():
            model.provenance = {}
        rng = np.random.default_rng(0)
        rpkm = {s: rng.lognormal(2 + i, 1, mdata["genes"].n_vars) for i, s in enumerate(mdata.obs_names)}
        er.pp.add_expression(mdata, rpkm, assay="RNA", transform="zscore(log10(x+0.1))")
        er.tl.perturb(mdata, models, assay="RNA", genome=world.genome)
        er.tl.perturb(mdata, models, assay="RNA", genome=world.genome, scale="model", key_added="difference")
        er.tl.predict_expression(mdata, models, assay="RNA", genome=world.genome)
        gene = mdata["genes"].var_names.get_indexer(mdata["links"].var["gene"])
        for row, sample in enumerate(mdata.obs_names):
            logs = np.log10(rpkm[sample] + 0.1)
            wild = mdata["genes"].layers["RNA_pred"][row, gene].astype(float)
            knocked = wild + mdata["links"].layers["difference"][row]
            before, after = (10 ** (p * logs.std() + logs.mean()) - 0.1 for p in (wild, knocked))
            assert np.allclose(
                mdata["links"].layers["perturbation"][row], (after - before) / before, atol=1e-5, equal_nan=True
            )

    def test_unknown_scale(self, world, mdata, models):
        model = network()
        model.provenance = {"name": "mine"}
        with pytest.raises(ValueError, match=r"what mine predicts is not known.*not by er\.pp\.add_expression.*scale="):
            er.tl.perturb(mdata, model, assay="CAGE", genome=world.genome)
        er.pp.add_expression(mdata, {"K562": np.ones(8)}, assay="CAGE")
        with pytest.raises(ValueError, match=r"CAGE was added to the object as it is; add it with transform=, or pass"):
            er.tl.perturb(mdata, model, assay="CAGE", genome=world.genome)
        values = {"K562": np.arange(8.0)}
        er.pp.add_expression(mdata, values, assay="CAGE", transform="zscore(log10(x+0.1))")
        with pytest.raises(ValueError, match="the mean and sd of CAGE in 'GM12878', on which mine was trained"):
            er.tl.perturb(mdata, model, assay="CAGE", genome=world.genome)
        model.provenance["target"] = {"name": "asinh"}
        with pytest.raises(ValueError, match=r"no way back is known from 'asinh'.*pass scale='model'"):
            er.tl.perturb(mdata, model, assay="CAGE", genome=world.genome)
        assert "perturbation" not in mdata["links"].layers
        er.tl.perturb(mdata, model, assay="CAGE", genome=world.genome, scale="model")
        assert np.isfinite(mdata["links"].layers["perturbation"]).any()

    def test_weights_of_another_biosample_keep_their_scale(self, world, mdata):
        model = network(bias=0.5)
        model.provenance = {"name": "theirs", "biosample": "K562", "assay": "RNA"}
        rng = np.random.default_rng(0)
        rpkm = {s: rng.lognormal(2 + i, 1, 8) for i, s in enumerate(mdata.obs_names)}
        er.pp.add_expression(mdata, rpkm, assay="RNA", transform="zscore(log10(x+0.1))")
        foreign = {"assay": "RNA", "sample": "GM12878", "allow_cross_cell": True, "genome": world.genome}
        er.tl.perturb(mdata, model, **foreign)
        moments = mdata.uns["eregtools"]["transforms"]["RNA"]["moments"].loc["K562"]
        model.provenance["target"] = {"name": "zscore(log10(x+0.1))", "mean": moments["mean"], "sd": moments["sd"]}
        er.tl.perturb(mdata, model, key_added="stated", **foreign)
        layers = mdata["links"].layers
        assert np.array_equal(layers["perturbation"], layers["stated"], equal_nan=True)

    def test_a_gene_that_is_not_expressed_has_no_fraction(self, world, mdata, caplog):
        model = network(bias=0)
        er.tl.predict_expression(mdata, model, assay="CAGE", genome=world.genome)
        middle = np.nanmedian(mdata["genes"].layers["CAGE_pred"])
        with torch.no_grad():
            model.predictor[-1].bias += np.log10(1.1) - float(middle)
        er.tl.predict_expression(mdata, model, assay="CAGE", genome=world.genome)
        with caplog.at_level(logging.WARNING, logger="eregtools"):
            er.tl.perturb(mdata, model, assay="CAGE", genome=world.genome, sample="K562")
        er.tl.perturb(
            mdata, model, assay="CAGE", genome=world.genome, sample="K562", scale="model", key_added="difference"
        )
        wild = CAGE.linear(mdata["genes"].layers["CAGE_pred"][0])
        gene = mdata["genes"].var_names.get_indexer(mdata["links"].var["gene"])
        made, difference = (np.isfinite(mdata["links"].layers[k][0]) for k in ("perturbation", "difference"))
        assert np.array_equal(made, difference & (wild[gene] >= 0.1))
        low = len(set(gene[difference & ~made]))
        assert 0 < low < 7
        assert f"K562: {low} genes are expressed too little for a fraction of it; their change is NaN" in caplog.text


def test_a_model_without_sequence(world, mdata):
    model = network(use_sequence=False)
    er.tl.predict_expression(mdata, model, assay="CAGE")
    er.tl.perturb(mdata, model, assay="CAGE")
    gene = mdata["links"].var["gene"].astype(str).to_numpy()
    links = np.flatnonzero(mdata["links"].layers["candidate"][0] > 0)
    lost = links[np.unique(gene[links], return_index=True)[1]]
    without = mdata.copy()
    without["links"].layers["candidate"][0, lost] = 0
    er.tl.predict_expression(without, model, assay="CAGE")
    at = mdata["genes"].var_names.get_indexer(gene[lost])
    wild, knocked = (m["genes"].layers["CAGE_pred"][0, at] for m in (mdata, without))
    assert np.allclose(mdata["links"].layers["perturbation"][0, lost], fraction(wild, knocked), atol=1e-5)
    with pytest.raises(ValueError, match="reads no sequence that a promoter could lose; pass what='features'"):
        er.tl.perturb(mdata, model, assay="CAGE", targets="promoter")
    er.tl.perturb(mdata, model, assay="CAGE", targets="promoter", what="both")
    er.tl.perturb(mdata, model, assay="CAGE", targets="promoter", what="features", key_added="silent")
    layers = mdata["genes"].layers
    assert np.array_equal(layers["perturbation"], layers["silent"])


def test_some_genes_only(world, mdata, perturbed, models, caplog):
    with caplog.at_level(logging.INFO, logger="eregtools"):
        er.tl.perturb(mdata, models, assay="CAGE", gene="ENSG00000000003", genome=world.genome)
    alone = (mdata["links"].var["gene"] == "ENSG00000000003").to_numpy()
    expected = perturbed["links"].layers["perturbation"]
    assert np.allclose(mdata["links"].layers["perturbation"][:, alone], expected[:, alone], atol=1e-6, equal_nan=True)
    assert np.isnan(mdata["links"].layers["perturbation"][:, ~alone]).all()
    n_links = int(np.isfinite(expected[0, alone]).sum())
    assert f"K562: {n_links} knock-outs in 1 genes" in caplog.text
    er.tl.perturb(mdata, models, assay="CAGE", gene=["ENSG00000000004"], targets="promoter", genome=world.genome)
    made = np.isfinite(mdata["genes"].layers["perturbation"])
    assert mdata["genes"].var_names[made.all(axis=0)].tolist() == ["ENSG00000000004"]
    assert made.sum() == 2


def test_copy_and_other_samples(world, mdata, models):
    new = er.tl.perturb(
        mdata, models, assay="CAGE", genome=world.genome, sample="K562", gene="ENSG00000000003", copy=True
    )
    assert "perturbation" not in mdata["links"].layers
    before = new["links"].to_df("perturbation").loc["K562"]
    assert (
        er.tl.perturb(new, models, assay="CAGE", genome=world.genome, sample="GM12878", gene="ENSG00000000003") is None
    )
    assert new["links"].to_df("perturbation").loc["K562"].equals(before)
    assert set(new.uns["eregtools"]["results"]["links:perturbation"]["sample"]) == {"K562", "GM12878"}


def test_crispri_recipe_of_the_authors(world, mdata, models):
    arguments = {"genome": world.genome, "gene": "ENSG00000000000"}
    er.tl.perturb(mdata, models, assay="CAGE", recipe="crispri-legacy", **arguments)
    er.tl.perturb(mdata, models, assay="CAGE", key_added="trained", **arguments)
    layers = mdata["links"].layers
    assert np.nanmax(np.abs(layers["perturbation"] - layers["trained"])) > 1e-6
    assert (mdata.uns["eregtools"]["results"]["links:perturbation"]["recipe"] == "crispri-legacy").all()


class TestEmbeddingCache:
    @pytest.fixture
    def encoded(self, monkeypatch):
        """Numbers of sequences that were encoded, call by call."""
        from eregtools.tl import _embeddings

        counts = []
        original = SlotEncoder.__call__

        def counted(encoder, codes):
            counts.append(len(codes))
            return original(encoder, codes)

        monkeypatch.setattr(SlotEncoder, "__call__", counted)
        monkeypatch.setattr(_embeddings, "CACHE", _embeddings.EmbeddingCache())
        return counts

    def test_nothing_is_encoded_twice(self, world, mdata, perturbed, models, encoded):
        with er.settings.override(embedding_cache=10):
            er.tl.attention(mdata, models, assay="CAGE", genome=world.genome)
            first = sum(encoded)
            er.tl.perturb(mdata, models, assay="CAGE", genome=world.genome)
            er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
            assert sum(encoded) == first > 50
            er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome, shuffle=True)
            assert sum(encoded) > first
        for modality, layer in (("links", "perturbation"), ("genes", "CAGE_pred")):
            found, without = (m[modality].layers[layer] for m in (mdata, perturbed))
            assert np.allclose(found, without, atol=1e-6, equal_nan=True)

    def test_other_weights_and_other_rules_find_nothing(self, world, mdata, encoded):
        arguments = {"gene": "ENSG00000000001", "sample": "K562", "scale": "model", "genome": world.genome}
        model = network(n_slot_features=1, n_gene_features=0)
        with er.settings.override(embedding_cache=10):
            er.tl.perturb(mdata, model, assay="CAGE", **arguments)
            once = sum(encoded)
            with torch.no_grad():
                model.encoder.stem.bias += 0.1
            er.tl.perturb(mdata, model, assay="CAGE", **arguments)
            assert sum(encoded) == 2 * once
            other = EPInformer(EPInformerConfig(n_slot_features=1, n_gene_features=0, window=WINDOW, n_value=0.0))
            other.load_state_dict(model.state_dict())
            other.provenance = {"recipe": "v2"}
            er.tl.perturb(mdata, other.eval(), assay="CAGE", **arguments)
            assert sum(encoded) == 3 * once

    def test_memory_is_bounded_and_off_by_default(self, world, mdata, models, encoded):
        from eregtools.tl import _embeddings

        er.tl.predict_expression(mdata, models, assay="CAGE", genome=world.genome)
        assert not _embeddings.CACHE.entries
        cache = _embeddings.EmbeddingCache()
        for number in range(10):
            cache.keep(bytes([number]), bytes(750), limit=3_000)
            cache.get(bytes([0]))
        assert list(cache.entries) == [bytes([8]), bytes([9]), bytes([0])]
        assert cache.size == 3_000


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"targets": "all"}, ValueError, "targets='all': expected 'each', 'promoter', or sets"),
            ({"targets": 3}, TypeError, "targets= is of type int; expected 'each', 'promoter' or sets"),
            ({"targets": {}}, ValueError, "targets= is empty"),
            ({"targets": []}, ValueError, "targets= is empty"),
            ({"targets": {"a": []}}, ValueError, "set 'a' is empty; name at least one enhancer"),
            ({"targets": ["chr1:1000-1500"]}, ValueError, r"each item is a set: pass \[\[…\]\] to knock"),
            ({"targets": {"a": ["chr9:1-2"]}}, KeyError, "set 'a' names 'chr9:1-2', which is not among the"),
            ({"what": "dna"}, ValueError, "what='dna': expected 'sequence', 'features', 'both'"),
            ({"scale": "log"}, ValueError, "scale='log': expected 'linear', 'model'"),
            ({"gene": "MYC"}, KeyError, "no gene 'MYC' among 8 genes"),
            ({"gene": []}, ValueError, "gene= is empty"),
            ({"sample": "HepG2"}, KeyError, "no biosample 'HepG2'"),
            ({"key_added": "a/b"}, ValueError, "key_added='a/b' cannot name a layer"),
            ({"gene": "ENSG00000000004", "sample": "GM12878"}, ValueError, "none of ENSG00000000004 has a link of"),
        ],
    )
    def test_bad_input_is_one_sentence(self, world, built, models, arguments, error, message):
        with pytest.raises(error, match=message):
            er.tl.perturb(built, models, genome=world.genome, **arguments)
        assert "perturbation" not in built["links"].layers
        assert "perturbations" not in built.uns["eregtools"]

    def test_enhancers_without_a_link(self, world, mdata, models, caplog):
        gone = mdata["enhancers"].var_names[2]
        mdata["links"].layers["candidate"][:, (mdata["links"].var["enhancer"] == gone).to_numpy()] = 0
        other = er.get.links(mdata, sample="K562", layers=())["enhancer"][0]
        with pytest.raises(ValueError, match=r"set 'a': none of its 1 enhancer\(s\) has a link to a gene of K562"):
            er.tl.perturb(
                mdata, models, assay="CAGE", targets={"b": [other], "a": [gone]}, sample="K562", genome=world.genome
            )
        er.tl.perturb(mdata, models, assay="CAGE", targets={"a": [gone, other]}, sample="K562", genome=world.genome)
        assert "1 of 2 enhancers of the sets have no link of K562" in caplog.text
        mdata["links"].layers["candidate"][:] = 0
        with pytest.raises(ValueError, match=r"no gene has a link of K562, GM12878; er\.pp\.link makes links"):
            er.tl.perturb(mdata, models, assay="CAGE", genome=world.genome)
        er.tl.perturb(mdata, models, assay="CAGE", targets="promoter", genome=world.genome)

    def test_a_gene_without_links_among_others(self, world, mdata, models, caplog):
        er.tl.perturb(
            mdata,
            models,
            assay="CAGE",
            gene=["ENSG00000000004", "ENSG00000000003"],
            sample="GM12878",
            genome=world.genome,
        )
        assert "ENSG00000000004: no link of GM12878, so no knock-out" in caplog.text

    def test_a_model_of_the_promoter_alone(self, world, mdata):
        model = network(n_slot_features=0)
        model.provenance["recipe"] = "promoter"
        with pytest.raises(ValueError, match=r"reads no enhancers \(recipe 'promoter'\), so only targets='promoter'"):
            er.tl.perturb(mdata, model, assay="CAGE", genome=world.genome)
        er.tl.perturb(mdata, model, assay="CAGE", targets="promoter", genome=world.genome)
        assert np.isfinite(mdata["genes"].layers["perturbation"]).sum() == 2 * 7

    def test_view_and_missing_links(self, world, mdata, models):
        with pytest.raises(ValueError, match=r"is a view; make it real with \.copy\(\)"):
            er.tl.perturb(mdata[["K562"]], models, genome=world.genome)
        del mdata.mod["links"]
        with pytest.raises(KeyError, match=r"no modality 'links'.*er\.pp\.link"):
            er.tl.perturb(mdata, models, assay="CAGE", genome=world.genome)
