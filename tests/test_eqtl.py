"""Links against variants that change expression: counts by hand, and a simulation whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er

CONFIG = er.datasets.SimulationConfig(
    n_chromosomes=2, chromosome_length=600_000, n_genes=60, n_elements=200, n_variants=250
)


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    return er.datasets.simulate(tmp_path_factory.mktemp("simulated") / "files", seed=5, config=CONFIG)


@pytest.fixture(scope="module")
def links(simulation):
    """True links with the share of each enhancer, ABC of the tracks, and shares that were dealt out anew."""
    table = simulation.links
    place = table["enhancer"].str.extract(r"^(?P<Chromosome>.+):(?P<Start>\d+)-(?P<End>\d+)$")
    table = table.assign(**place.astype({"Start": int, "End": int}))
    table["tss"] = table["gene"].map(simulation.genes["tss"])
    table["chance"] = np.random.default_rng(0).permutation(table["share"])
    return table[["Chromosome", "Start", "End", "gene", "tss", "share", "abc", "chance", "positive"]]


@pytest.fixture(scope="module")
def variants(simulation):
    """Each variant that changes an element, with every gene that the element regulates; some less likely."""
    rows = []
    for line in simulation.paths["variants"].read_text().splitlines():
        if line.startswith("#"):
            continue
        chrom, position, _, ref, alt, *_, info = line.split("\t")
        of = dict(part.split("=") for part in info.split(";"))
        if ":" in of["SITE"] and (float(of["DACT"]) or float(of["DPOT"])):
            true = simulation.links[(simulation.links["enhancer"] == of["SITE"]) & simulation.links["positive"]]
            rows += [(chrom, int(position) - 1, int(position), ref, alt, gene) for gene in true["gene"]]
    table = pd.DataFrame(rows, columns=["Chromosome", "Start", "End", "Ref", "Alt", "gene"])
    return table.assign(pip=np.where(np.arange(len(table)) % 7 == 0, 0.3, 0.9))


@pytest.fixture(scope="module")
def background():
    rng = np.random.default_rng(1)
    start = rng.integers(0, CONFIG.chromosome_length, 4_000)
    return pd.DataFrame({"Chromosome": rng.choice(["chr1", "chr2"], 4_000), "Start": start, "End": start + 1})


def counted(links, variants, background, score, threshold, low=0.0, high=np.inf):
    """Counts of one row, variant by variant."""
    chosen = variants[variants["pip"] >= 0.5]
    tss = chosen["gene"].map(links.groupby("gene")["tss"].first())
    chosen = chosen[(chosen["Start"] - tss).abs().between(low, high)]
    predicted = links[links[score] >= threshold]

    def holding(variant):
        on = predicted[predicted["Chromosome"] == variant.Chromosome]
        return on[(on["Start"] < variant.End) & (on["End"] > variant.Start)]

    counts = {"n_variants": 0, "n_in_enhancers": 0, "n_linked": 0}
    for _, rows in chosen.groupby(["Chromosome", "Start", "Ref", "Alt"]):
        hits = holding(next(rows.itertuples()))
        counts["n_variants"] += 1
        counts["n_in_enhancers"] += len(hits) > 0
        counts["n_linked"] += bool(set(hits["gene"]) & set(rows["gene"]))
    counts["n_background"] = len(background)
    counts["n_background_in_enhancers"] = sum(len(holding(other)) > 0 for other in background.itertuples())
    return counts


class TestCounts:
    def test_by_hand(self, links, variants, background):
        few = background.iloc[:250]
        table = er.tl.evaluate_eqtl(
            links, variants, few, thresholds={"abc": 0.1}, bins=(0, 20_000, 100_000), n_bootstrap=0
        )
        for name, low, high in (("all", 0, np.inf), ("0–20 kb", 0, 19_999.9), ("20–100 kb", 20_000, 100_000)):
            row = table[(table["predictor"] == "abc") & (table["distance_bin"] == name)].iloc[0]
            expected = counted(links, variants, few, "abc", 0.1, low, high)
            assert row[list(expected)].to_dict() == expected
            in_background = expected["n_background_in_enhancers"] / expected["n_background"]
            in_variants = expected["n_in_enhancers"] / expected["n_variants"]
            assert row["enrichment"] == pytest.approx(in_variants / in_background)
            assert row["recall"] == pytest.approx(expected["n_linked"] / expected["n_variants"])
        assert table["n_links"].unique().tolist() == [(links["abc"] >= 0.1).sum()]

    def test_the_distance_predicts_as_many_links(self, links, variants, background):
        few = background.iloc[:300]
        table = er.tl.evaluate_eqtl(links, variants, few, scores=["abc", "share"], n_links=[50, 200], n_bootstrap=0)
        rows = table[table["distance_bin"] == "all"].set_index(["predictor", "n_links"])
        assert sorted(rows.index) == [(name, n) for name in ("abc", "distance", "share") for n in (50, 200)]
        middle = (links["Start"] + links["End"]) / 2
        near = links.assign(nearness=-(middle - links["tss"]).abs())
        threshold = near["nearness"].nlargest(200).iloc[-1]
        assert rows.loc[("distance", 200), "threshold"] == threshold
        expected = counted(near, variants, few, "nearness", threshold)
        assert rows.loc[("distance", 200), list(expected)].to_dict() == expected

    def test_every_tied_link_is_predicted(self, links, variants, background):
        rounded = links.assign(abc=links["abc"].round(1))
        table = er.tl.evaluate_eqtl(rounded, variants, background, scores="abc", n_links=30, n_bootstrap=0)
        row = table[table["predictor"] == "abc"].iloc[0]
        assert row["n_links"] == (rounded["abc"] >= row["threshold"]).sum() >= 30


class TestTruth:
    def test_true_links_are_found_and_dealt_ones_are_not(self, links, variants, background, simulation):
        cuts = {"share": CONFIG.min_share, "chance": CONFIG.min_share}
        table = er.tl.evaluate_eqtl(links, variants, background, thresholds=cuts, n_bootstrap=200)
        truth, chance = (table[table["predictor"] == name].set_index("distance_bin") for name in cuts)
        assert truth.loc["all", "n_links"] == links["positive"].sum() == chance.loc["all", "n_links"]
        assert truth.loc["all", "n_variants"] > 40
        present = truth["n_variants"] > 0
        assert (truth.loc[present, ["recall", "recall_low", "recall_high"]] == 1).all(axis=None)
        assert chance.loc["all", "recall_high"] < 0.6
        # an enhancer takes 500 of 3,000 bp around it; all variants are in enhancers
        assert truth.loc["all", "enrichment_low"] > 3
        everything = er.tl.evaluate_eqtl(links, variants, background, thresholds={"share": -1}, n_bootstrap=0).iloc[0]
        inside = sum(simulation.links.drop_duplicates("enhancer")["enhancer"].str.len() > 0)
        covered = inside * 512 / (2 * CONFIG.chromosome_length)
        assert everything["enrichment"] == pytest.approx(1 / covered, rel=0.2)

    def test_background_against_itself(self, links, background):
        background = background.drop_duplicates()
        own = background.assign(gene="SIMG0001")
        table = er.tl.evaluate_eqtl(links, own, background, thresholds={"abc": 0.05}, min_pip=None, n_bootstrap=0)
        row = table.iloc[0]
        assert row["n_in_enhancers"] == row["n_background_in_enhancers"] > 100
        assert row["enrichment"] == pytest.approx(1)

    def test_interval_of_recall_holds_the_truth(self, links, background):
        """Groups of variants that share a gene are drawn: 30 genes with 5 variants each, found or not together."""
        rng = np.random.default_rng(4)
        one = links[links["gene"].map(links["gene"].value_counts()) > 3].drop_duplicates("gene").iloc[:30]
        found = rng.random(len(one)) < 0.5
        parts = []
        for hit, link in zip(found, one.itertuples(), strict=True):
            start = link.Start + np.arange(5) * 10 if hit else link.tss + 5_000_000 + np.arange(5)
            parts.append(pd.DataFrame({"Chromosome": link.Chromosome, "Start": start, "gene": link.gene}))
        variants = pd.concat(parts)
        variants["End"] = variants["Start"] + 1
        table = er.tl.evaluate_eqtl(links, variants, background, thresholds={"share": -1}, min_pip=None)
        row = table[(table["predictor"] == "share") & (table["distance_bin"] == "all")].iloc[0]
        assert row["recall"] == pytest.approx(found.mean())
        error = np.sqrt(found.mean() * (1 - found.mean()) / len(found))
        assert row["recall_high"] - row["recall_low"] == pytest.approx(2 * 1.96 * error, rel=0.2)

    def test_order_does_not_matter(self, links, variants, background):
        options = {"scores": ["abc", "chance"], "n_links": 100, "n_bootstrap": 50}
        table = er.tl.evaluate_eqtl(links, variants, background, **options)
        again = er.tl.evaluate_eqtl(
            links.sample(frac=1, random_state=0), variants.sample(frac=1, random_state=1),
            background.sample(frac=1, random_state=2), **options,
        )  # fmt: skip
        pd.testing.assert_frame_equal(table, again)

    def test_object_and_table_agree(self, simulation, links, variants, background):
        mdata = er.pp.assemble(
            genes=simulation.paths["genes"], enhancers=simulation.paths["peaks"], samples="sim",
            genome=simulation.paths["genome"],
        )  # fmt: skip
        er.pp.link(mdata)
        share = links.assign(gene_name=links["gene"])
        er.pp.add_link_table(mdata, share, columns={"share": "abc"})
        chrom = variants.assign(Chromosome=variants["Chromosome"].str.removeprefix("chr"))
        of_object = er.tl.evaluate_eqtl(mdata, chrom, background, n_links=100, n_bootstrap=0, scores="abc")
        of_table = er.tl.evaluate_eqtl(
            links.rename(columns={"abc": "x", "share": "abc"}), variants, background, n_links=100, n_bootstrap=0,
            scores="abc",
        )  # fmt: skip
        counts = ["predictor", "distance_bin", "n_variants", "n_in_enhancers", "n_linked", "n_background_in_enhancers"]
        chosen = of_object["predictor"] == "abc"
        pd.testing.assert_frame_equal(of_object.loc[chosen, counts], of_table.loc[chosen, counts])


class TestEdges:
    def test_nothing_of_the_background_is_in_an_enhancer(self, links, variants):
        far = pd.DataFrame({"Chromosome": ["chr1"], "Start": [10**7], "End": [10**7 + 1]})
        row = er.tl.evaluate_eqtl(links, variants, far, thresholds={"share": 0.1}, n_bootstrap=20).iloc[0]
        assert row["enrichment"] == row["enrichment_low"] == np.inf
        none = er.tl.evaluate_eqtl(links, variants, far, thresholds={"share": 2}, n_bootstrap=20)
        assert none["n_links"].tolist() == [0] * 5
        assert none["enrichment"].isna().all()
        assert none.loc[0, "recall"] == 0

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({}, ValueError, "either thresholds=.* or n_links="),
            ({"thresholds": {"abc": 1}, "n_links": 3}, ValueError, "either thresholds="),
            ({"n_links": 5}, ValueError, "scores= is missing"),
            ({"scores": "abc", "n_links": 0}, ValueError, "expected whole numbers from 1"),
            ({"scores": "abc", "n_links": 10**7}, ValueError, "10,000,000 links were asked for"),
            ({"scores": ["abc", "share"], "thresholds": {"abc": 1}}, ValueError, "thresholds= has none for share"),
            ({"thresholds": {"abcd": 1}}, ValueError, "no column abcd"),
            ({"thresholds": {"abc": 0.1}, "min_pip": 2}, ValueError, "none of .* rows has a pip of at least 2"),
            ({"thresholds": {"abc": 0.1}, "level": 1}, ValueError, "level=1"),
        ],
    )
    def test_bad_options(self, links, variants, background, options, error, message):
        with pytest.raises(error, match=message):
            er.tl.evaluate_eqtl(links, variants, background, **options)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda v: v.drop(columns="pip"), "no column pip"),
            (lambda v: v.assign(gene="nothing"), "no gene in common"),
            (lambda v: v.assign(Chromosome="chr9"), "no chromosome in common"),
            (lambda v: v.drop(columns="gene"), "no column has genes"),
        ],
    )
    def test_bad_variants(self, links, variants, background, change, message):
        with pytest.raises(ValueError, match=message):
            er.tl.evaluate_eqtl(links, change(variants), background, thresholds={"abc": 0.1})
