"""The truth of a simulation is what its files say, and the files are the same each time."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json

import numpy as np
import pandas as pd
import pyBigWig
import pytest

import eregtools as er
from eregtools.datasets import _simulation_files as files
from eregtools.datasets.simulate import Simulation, SimulationConfig, simulate
from eregtools.genome import Genome
from eregtools.io.bed import read_narrowpeak
from eregtools.io.bigwig import region_values
from eregtools.io.gtf import read_genes, read_gtf
from eregtools.io.tables import read_table
from eregtools.io.vcf import read_vcf

SMALL = SimulationConfig(n_chromosomes=2, chromosome_length=250_000, n_genes=20, n_elements=80, n_variants=60)
TWO = dataclasses.replace(SMALL, samples=("A", "B"))


@pytest.fixture(scope="module")
def sim(tmp_path_factory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("simulation") / "default", seed=0)


@pytest.fixture(scope="module")
def truth(sim) -> dict:
    return json.loads(sim.paths["truth"].read_text())


def hashes(folder) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def average_precision(positive, score) -> float:
    """Mean precision at the ranks of the positives; for scores without ties."""
    hit = np.asarray(positive)[np.argsort(-np.asarray(score))]
    ranks = np.flatnonzero(hit) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def log10(values):
    return np.log10(np.asarray(values, dtype=float))


# --- sequence


def test_motifs_are_in_the_fasta_where_the_truth_says(sim, truth):
    genome = Genome(sim.paths["genome"])
    motifs = read_table(sim.paths["truth_motifs"])
    found = genome.codes(motifs["Chromosome"].tolist(), motifs["Start"].to_numpy(), 10)
    word = np.array([["ACGT".index(c) for c in truth["motifs"][name]] for name in motifs["motif"]])
    minus = (motifs["Strand"] == "-").to_numpy()
    found = np.where(minus[:, None], 3 - found[:, ::-1].astype(int), found)
    place, base = np.nonzero(found != word)
    expected = motifs["mismatch"][motifs["mismatch"] >= 0]
    assert place.tolist() == expected.index.tolist()
    assert base.tolist() == expected.tolist()
    assert (motifs["mismatch"] >= 0).mean() == pytest.approx(sim.config.mismatch, abs=0.02)

    offset = motifs.groupby("site")["Start"].apply(lambda s: np.diff(np.sort(s)).min(initial=99))
    assert offset.min() >= 10  # instances do not overlap


def test_chromosomes_have_the_stated_gc_and_index(sim):
    genome = Genome(sim.paths["genome"])
    assert list(genome.chrom_sizes.values()) == [sim.config.chromosome_length] * 6
    codes = genome.codes(["chr1"], [0], 1_000_000)[0]
    assert np.isin(codes, [1, 2]).mean() == pytest.approx(sim.config.gc, abs=0.01)


def test_activity_and_potency_follow_from_the_motifs(sim, truth):
    """The grammar of the documentation, written down once more."""
    motifs, grammar = read_table(sim.paths["truth_motifs"]), truth["grammar"]
    motifs["affinity"] = 1 - 0.4 * (motifs["mismatch"] >= 0)
    for table, site in ((read_table(sim.paths["truth_elements"]), "enhancer"), (sim.genes.reset_index(), "index")):
        ids = table[site]

        def total(names, column="affinity", ids=ids):
            chosen = motifs[motifs["motif"].isin(names)]
            return chosen.groupby("site")[column].sum().reindex(ids, fill_value=0).to_numpy(dtype=float)

        close = np.minimum(total(["activator1", "activator2"], "close"), 1)
        score = total(["activator1", "activator2"]) + 0.8 * close - grammar["activator_mean"]
        np.testing.assert_allclose(table["log_activity_sequence"], grammar["activator"] * score, atol=1e-12)
        boosted = grammar["booster"] * (total(["booster"]) - grammar["booster_mean"])
        blocked = total(["blocker"]) > 0
        np.testing.assert_allclose(table["potency"], np.where(blocked, 0, np.exp(boosted)), rtol=1e-12)
        logs = table["log_activity_sequence"] + table["log_activity_other"]
        np.testing.assert_allclose(table["activity"], sim.config.activity_median * np.exp(logs), rtol=1e-12)
        classes = 1 * (total(["class1"]) > 0) + 2 * (total(["class2"]) > 0)
        assert (table["class"] == classes).all()


def test_close_pairs_are_close_and_others_are_not(sim):
    motifs = sim.motifs[sim.motifs["motif"].isin(["activator1", "activator2"])]
    nearest = {}
    for site, rows in motifs.groupby("site"):
        one, two = (rows["Start"][rows["motif"] == f"activator{k}"].to_numpy() for k in (1, 2))
        if len(one) and len(two):
            nearest[site] = (np.abs(one[:, None] - two).min() - 10, rows["close"].any())
    gaps = pd.DataFrame(nearest, index=["gap", "close"]).T
    assert (gaps["gap"][gaps["close"].astype(bool)] <= 6).all()
    assert (gaps["gap"][~gaps["close"].astype(bool)] >= 12).all()
    assert gaps["close"].astype(bool).mean() == pytest.approx(0.5, abs=0.05)


# --- annotation and tracks


def test_annotation(sim):
    genes = read_genes(sim.paths["genes"]).set_index("gene_id")
    assert genes.index.tolist() == sim.genes.index.tolist()
    assert (genes["tss"] == sim.genes["tss"]).all()
    assert set(genes["Strand"]) == {"+", "-"}
    assert not genes.index.duplicated().any()

    genome = Genome(sim.paths["genome"])
    parts = read_gtf(sim.paths["genes"], features=None)
    parts["length"] = parts["End"] - parts["Start"]
    length = parts.pivot_table(index="gene_id", columns="feature", values="length", aggfunc="sum")
    counts = parts[parts["feature"] == "exon"].groupby("gene_id").size()
    assert (length["exon"] == length[["five_prime_utr", "CDS", "three_prime_utr"]].sum(axis=1)).all()
    features = read_table(sim.paths["mrna_features"], index="gene_id")
    for column, values in {
        "UTR5LEN_log10zscore": length["five_prime_utr"],
        "CDSLEN_log10zscore": length["CDS"],
        "INTRONLEN_log10zscore": length["gene"] - length["exon"],
        "UTR3LEN_log10zscore": length["three_prime_utr"],
    }.items():
        logs = np.log10(values)
        np.testing.assert_allclose(features[column], (logs - logs.mean()) / logs.std(ddof=0), atol=1e-9)
    np.testing.assert_allclose(features["ORFEXONDENSITY"], (counts - 1) / (length["CDS"] / 1000))
    for gene in genes.index[:20]:
        rows = parts[(parts["gene_id"] == gene) & (parts["feature"] == "three_prime_utr")]
        text = "".join(genome.sequence(r.Chromosome, r.Start, r.End) for r in rows.itertuples())
        assert features.loc[gene, "UTR3GC"] == pytest.approx(sum(c in "GC" for c in text) / len(text))
    first = parts[parts["feature"] == "five_prime_utr"].groupby("gene_id").agg({"Start": "min", "End": "max"})
    edge = np.where(genes["Strand"] == "+", first["Start"], first["End"] - 1)
    assert (edge == genes["tss"]).all()


def test_reads_of_the_tracks_are_those_of_the_truth(sim):
    peaks = read_narrowpeak(sim.paths["peaks"])
    names = peaks["Chromosome"] + ":" + peaks["Start"].astype(str) + "-" + peaks["End"].astype(str)
    assert names.tolist() == sim.elements.index.tolist()
    assert (peaks["summit"].to_numpy() == sim.elements["summit"].to_numpy()).all()
    tss = sim.genes["tss"]
    tracks, columns = sim.tracks["sim"], ["DNase", "H3K27ac_rep1", "H3K27ac_rep2"]
    assert [len(tracks[assay]) for assay in ("DNase", "H3K27ac")] == [1, 2]
    for column, path in zip(columns, [path for paths in tracks.values() for path in paths], strict=True):
        counts = region_values(path, peaks["Chromosome"].tolist(), peaks["Start"], peaks["End"])
        np.testing.assert_array_equal(counts, sim.elements[column])
        counts = region_values(path, sim.genes["Chromosome"].tolist(), tss - 500, tss + 500)
        np.testing.assert_array_equal(counts, sim.genes[column])
    expected = sim.elements["activity"] * sim.config.library / 1e6
    assert sim.elements["DNase"].sum() == pytest.approx(expected.sum(), rel=0.03)
    noise = np.log(sim.elements["activity_measured"] / sim.elements["activity"])
    assert 0.1 < noise.std() < 0.25


def test_contacts_are_those_of_the_cool_file(sim):
    import cooler

    file = cooler.Cooler(str(sim.paths["contacts"]))
    assert file.chromsizes.to_dict() == dict.fromkeys(file.chromnames, sim.config.chromosome_length)
    links, genes = sim.links, sim.genes
    start_end = links["enhancer"].str.split("[:-]", expand=True)
    middle = start_end[[1, 2]].astype(int).sum(axis=1) / 2
    tss_bin = (genes["tss"] // 5_000).reindex(links["gene"]).to_numpy()
    element_bin = (middle // 5_000).astype(int).to_numpy()
    for chrom in file.chromnames:
        balanced = file.matrix(balance=True).fetch(chrom)
        here = (start_end[0] == chrom).to_numpy()
        np.testing.assert_array_equal(balanced[tss_bin[here], element_bin[here]], links["contact"][here])
        own = (genes["Chromosome"] == chrom).to_numpy()
        bins = genes["tss"].to_numpy()[own] // 5_000
        np.testing.assert_array_equal(balanced[bins, bins], genes["contact"][own])
    middle_distance = links["distance"].abs()
    slope = np.polyfit(
        np.log(middle_distance[middle_distance > 10_000]), np.log(links["contact"][middle_distance > 10_000]), 1
    )[0]
    assert slope == pytest.approx(-1.02, abs=0.15)


# --- truth


def test_links_and_expression_recomputed_from_the_files(sim):
    genes, elements, links = (
        pd.read_csv(sim.paths[f"truth_{name}"], sep="\t", float_precision="round_trip")
        for name in ("genes", "elements", "links")
    )
    pd.testing.assert_frame_equal(links, sim.links, check_exact=True)
    genes, elements = genes.set_index("gene_id"), elements.set_index("enhancer")

    e = elements.reindex(links["enhancer"]).reset_index()
    g = genes.reindex(links["gene"]).reset_index()
    sign = np.where(g["Strand"] == "-", -1, 1)
    np.testing.assert_array_equal(links["distance"], sign * ((e["Start"] + e["End"]) / 2 - g["tss"]))
    compatible = (e["class"] == 0) | (e["class"] == g["class"])
    np.testing.assert_array_equal(links["compatibility"], compatible)
    contribution = e["activity"] * links["contact"] * e["potency"] * compatible
    np.testing.assert_array_equal(links["contribution"], contribution)
    np.testing.assert_array_equal(links["visible"], e["activity"] * links["contact"])
    assert (links["inert"] == (e["blocked"] | ~compatible)).all()

    own = genes["activity"] * genes["potency"] * genes["contact"]
    total = own + links.groupby("gene")["contribution"].sum().reindex(genes.index, fill_value=0)
    np.testing.assert_allclose(genes["transcription"], total, rtol=1e-12)
    np.testing.assert_allclose(genes["expression"], 50 * total * 10 ** genes["log10_stability"], rtol=1e-12)
    np.testing.assert_allclose(links["share"], links["contribution"] / g["transcription"], rtol=1e-12)
    assert (links["positive"] == (links["share"] >= sim.config.min_share)).all()
    assert not (links["positive"] & links["inert"]).any()
    measured = read_table(sim.paths["expression"], index="gene_id")["sim"]
    noise = log10(measured) - log10(genes["expression"])
    assert noise.std() == pytest.approx(sim.config.expression_noise, rel=0.1)
    r = np.corrcoef(log10(measured), log10(genes["expression"]))[0, 1]
    assert sim.metrics["sim"]["noise_ceiling"] == pytest.approx(r, rel=1e-12)


def test_the_object_built_from_the_files_has_the_links_and_activities_of_the_truth(sim):
    mdata = er.pp.assemble(
        genes=sim.paths["genes"], enhancers=sim.paths["peaks"], samples="sim", genome=sim.paths["genome"]
    )
    for assay, paths in sim.tracks["sim"].items():
        er.pp.add_signal(mdata, {"sim": paths}, assay=assay)
        er.pp.add_signal(mdata, {"sim": paths}, assay=assay, modality="genes")
    er.pp.activity(mdata, totals=sim.totals)
    er.pp.promoter_activity(mdata, totals=sim.totals)
    er.pp.link(mdata)
    er.pp.mrna_features(mdata, sim.paths["mrna_features"])
    er.pp.add_expression(mdata, sim.paths["expression"], assay="RNA")
    er.pp.split(mdata, {1: {"valid": ["chr5"], "test": ["chr6"]}})
    assert mdata["links"].var_names.tolist() == (sim.links["enhancer"] + "|" + sim.links["gene"]).tolist()
    np.testing.assert_allclose(mdata["links"].var["distance"], sim.links["distance"])
    np.testing.assert_allclose(mdata["enhancers"].layers["activity"][0], sim.elements["activity_measured"], rtol=1e-6)
    promoters = mdata["genes"].layers["promoter_activity"][0]
    np.testing.assert_allclose(promoters, sim.genes["activity_measured"], rtol=1e-6)
    np.testing.assert_allclose(mdata["genes"].layers["RNA"][0], sim.genes["expression_measured"], rtol=1e-6)
    assert np.isfinite(mdata["genes"].varm["mrna_features"].to_numpy()).all()


def test_inert_and_sequence_only_shares_are_as_stated(sim):
    links, config = sim.links, sim.config
    assert links["inert"].mean() == pytest.approx(config.inert, abs=0.04)
    assert sim.elements["blocked"].mean() == pytest.approx(config.blocked, abs=0.02)
    active = links["activity"] > links["activity"].median()
    near = links["distance"].abs() < 20_000
    assert links["inert"][active & near].mean() == pytest.approx(config.inert, abs=0.06)
    free = sim.elements[~sim.elements["blocked"]]
    activity = np.log(free["activity"]).var()
    potency = free["log_potency"].var()
    assert potency / (potency + activity) == pytest.approx(config.sequence_only, abs=0.04)
    assert activity**0.5 == pytest.approx(config.activity_sd, abs=0.05)
    coded = free["log_activity_sequence"].var() / activity
    assert coded == pytest.approx(config.activity_in_sequence, abs=0.05)
    # the tracks show nothing of potency
    assert abs(np.corrcoef(free["log_potency"], np.log(free["activity_measured"]))[0, 1]) < 0.08


@pytest.mark.parametrize("seed", range(5))
def test_abc_is_below_the_ceiling_by_a_tenth_to_three(seed, sim, tmp_path):
    sim = sim if seed == 0 else simulate(tmp_path / "s", seed=seed)
    links, elements, metrics = sim.links, sim.elements, sim.metrics["sim"]
    visible = elements["activity_measured"].reindex(links["enhancer"]).to_numpy() * links["contact"]
    abc = visible / visible.groupby(links["gene"]).transform("sum")
    assert metrics["abc_auprc"] == pytest.approx(average_precision(links["positive"], abc), abs=2e-3)
    assert metrics["positives"] == pytest.approx(links["positive"].mean())
    rng = np.random.default_rng(99)
    noisy = links["share"] * np.exp(sim.config.share_noise * rng.standard_normal(len(links)))
    assert metrics["ceiling_auprc"] == pytest.approx(average_precision(links["positive"], noisy), abs=0.02)
    assert 0.1 < metrics["ceiling_auprc"] - metrics["abc_auprc"] < 0.3
    assert metrics["positives"] < metrics["distance_auprc"] < metrics["abc_auprc"] - 0.1
    assert 0.9 < metrics["noise_ceiling"] < 0.99


@pytest.mark.parametrize("seed", range(3))
def test_sequence_beats_tracks_on_held_out_chromosomes(seed, sim, tmp_path):
    """Ridge regression on what tracks and contacts show, with and without potency and compatibility."""
    sim = sim if seed == 0 else simulate(tmp_path / "s", seed=seed)
    links, genes, e = sim.links, sim.genes, sim.elements.reindex(sim.links["enhancer"])

    def summed(values):
        return pd.Series(values).groupby(links["gene"].to_numpy()).sum().reindex(genes.index, fill_value=0).to_numpy()

    measured = e["activity_measured"].to_numpy() * links["contact"].to_numpy()
    promoter = (genes["activity_measured"] * genes["contact"]).to_numpy()
    abc, own = summed(measured), promoter
    features = read_table(sim.paths["mrna_features"], index="gene_id").to_numpy()
    near = [summed(measured * (links["distance"].abs() < limit).to_numpy()) for limit in (1e4, 3e4)]
    tracks = np.column_stack([features, *(log10(x + 1e-3) for x in (abc, own, abc + own, *near))])
    coded = links["potency"].to_numpy() * links["compatibility"].to_numpy()
    with_sequence = summed(measured * coded) + promoter * genes["potency"].to_numpy()
    both = np.column_stack([tracks, log10(with_sequence)])

    y, r = log10(genes["expression_measured"]), {}
    for name, table in (("tracks", tracks), ("both", both), ("ceiling", None)):
        of_chromosome = []
        for chrom in genes["Chromosome"].unique():
            test = (genes["Chromosome"] == chrom).to_numpy()
            if table is None:
                predicted = log10(genes["expression"])[test]
            else:
                x = (table - table[~test].mean(axis=0)) / table[~test].std(axis=0)
                gram = x[~test].T @ x[~test] + 3 * np.eye(x.shape[1])
                predicted = x[test] @ np.linalg.solve(gram, x[~test].T @ (y[~test] - y[~test].mean()))
            of_chromosome.append(np.corrcoef(predicted, y[test])[0, 1])
        r[name] = np.mean(of_chromosome)
    assert r["both"] - r["tracks"] > 0.08
    assert r["both"] > 0.93 * r["ceiling"]


def test_variants_have_the_effect_that_the_changed_motif_has(sim, truth):
    genome = Genome(sim.paths["genome"])
    variants = read_vcf(sim.paths["variants"])
    info = [line.split("\t")[7] for line in sim.paths["variants"].read_text().splitlines() if line[0] != "#"]
    info = pd.DataFrame([dict(field.split("=") for field in row.split(";")) for row in info])
    assert len(variants) == pytest.approx(sim.config.n_variants, abs=5)
    assert (info["MOTIF"] != ".").mean() == pytest.approx(0.5, abs=0.02)
    complement = dict(zip("ACGT", "TGCA", strict=True))
    for v, row in zip(variants.itertuples(), info.itertuples(), strict=True):
        assert genome.sequence(v.Chromosome, v.Start, v.End) == v.Ref != v.Alt
        here = sim.motifs[(sim.motifs["site"] == row.SITE) & (sim.motifs["Start"] <= v.Start)]
        here = here[here["End"] > v.Start]
        effect = {"DACT": 0.0, "DPOT": 0.0}
        if row.MOTIF != ".":
            motif = here.iloc[0]
            word = truth["motifs"][row.MOTIF]
            if motif["Strand"] == "-":
                word = "".join(complement[c] for c in reversed(word))
            wanted = word[v.Start - motif["Start"]]
            unit, key = ("booster", "DPOT") if row.MOTIF == "booster" else ("activator", "DACT")
            effect[key] = truth["grammar"][unit] * 0.4 * (int(v.Ref != wanted) - int(v.Alt != wanted))
        else:
            assert here.empty
        assert float(row.DACT) == pytest.approx(effect["DACT"])
        assert float(row.DPOT) == pytest.approx(effect["DPOT"])


def test_samples_share_sequence_and_contacts_but_not_activity(tmp_path):
    sim = simulate(tmp_path / "s", seed=3, config=TWO)
    assert {path.name for path in sim.tracks["B"]["H3K27ac"]} == {"B_H3K27ac_rep1.bw", "B_H3K27ac_rep2.bw"}
    one, two = (sim.elements[sim.elements["sample"] == name] for name in "AB")
    assert (one["potency"] == two["potency"]).all()
    assert (one["log_activity_sequence"] == two["log_activity_sequence"]).all()
    assert (one["log_activity_other"] != two["log_activity_other"]).all()
    assert read_table(sim.paths["expression"], index="gene_id").columns.tolist() == ["A", "B"]
    assert set(sim.metrics) == {"A", "B"}
    of_samples = [sim.links[sim.links["sample"] == name].reset_index(drop=True) for name in "AB"]
    assert (of_samples[0]["contact"] == of_samples[1]["contact"]).all()


# --- the folder


@pytest.mark.parametrize("config", [SMALL, TWO], ids=["one sample", "two samples"])
def test_the_same_seed_gives_the_same_bytes(tmp_path, config):
    one = hashes(simulate(tmp_path / "a", seed=5, config=config).folder)
    again = hashes(simulate(tmp_path / "elsewhere" / "b", rng=np.random.default_rng(5), config=config).folder)
    assert one == again
    other = hashes(simulate(tmp_path / "c", seed=6, config=config).folder)
    assert {name for name in one if one[name] == other[name]} == {"genome.fa.fai"}


def test_everything_is_listed(sim, truth):
    assert sorted(path.name for path in sim.folder.iterdir()) == truth["files"]
    assert SimulationConfig(**{**truth["config"], "samples": tuple(truth["config"]["samples"])}) == sim.config
    assert truth["metrics"] == sim.metrics


def test_a_folder_that_holds_something_is_refused(tmp_path):
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="is not empty and holds no simulation"):
            simulate(folder, config=SMALL, overwrite=overwrite)
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
    with pytest.raises(FileExistsError, match="is a file; give a folder"):
        simulate(folder / "thesis.txt", config=SMALL)


def test_an_earlier_simulation_is_replaced_only_when_asked(tmp_path):
    folder = tmp_path / "s"
    before = hashes(simulate(folder, config=TWO).folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="already holds a simulation; pass overwrite=True"):
        simulate(folder, seed=1, config=SMALL)
    assert {**before, "notes.txt": hashes(folder)["notes.txt"]} == hashes(folder)
    simulate(folder, seed=1, config=SMALL, overwrite=True)
    fresh = hashes(simulate(tmp_path / "t", seed=1, config=SMALL).folder)
    assert set(hashes(folder)) == {*fresh, "notes.txt"}  # nothing of two samples is left
    assert fresh.items() <= hashes(folder).items()


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("writer", ["write_vcf", "write_track"])
def test_a_failure_leaves_nothing_half_written(tmp_path, monkeypatch, writer, exists):
    folder = tmp_path / "s"
    if exists:
        simulate(folder, config=SMALL)
    before = hashes(folder) if exists else None

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device") if writer == "write_vcf" else RuntimeError("bigWig")

    monkeypatch.setattr(files, writer, full)
    with pytest.raises(OSError, match=rf"cannot be written to {folder} .*; choose another folder"):
        simulate(folder, seed=1, config=SMALL, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == (["s"] if exists else [])
    if exists:
        assert hashes(folder) == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot be written to .*file/s"):
        simulate(tmp_path / "file" / "s", config=SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inert": 0.02, "blocked": 0.1}, r"inert=0.02 cannot be reached with blocked=0.1 and 2 classes"),
        ({"inert": 0.9}, "inert=0.9 cannot be reached"),
        ({"sequence_only": 1.0}, "sequence_only=1.0: expected a share"),
        ({"n_classes": 4}, "n_classes=4: expected 1, 2 or 3"),
        ({"samples": ("a", "a")}, "expected different names"),
        ({"samples": ("a/b",)}, r"'a/b' names files"),
        ({"n_genes": 2_000}, "do not fit on 2 chromosomes"),
        ({"n_elements": 0}, "n_elements=0: expected at least 1"),
    ],
)
def test_impossible_parameters_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize("change", [{"n_classes": 1, "inert": 0.08}, {"n_classes": 3, "inert": 0.5}])
def test_other_numbers_of_classes(tmp_path, change):
    sim = simulate(tmp_path / "s", config=dataclasses.replace(SMALL, n_elements=120, **change))
    assert sim.genes["class"].max() == change["n_classes"]
    assert sim.links["inert"].mean() == pytest.approx(change["inert"], abs=0.15)


def test_tracks_open_in_pybigwig(sim):
    with pyBigWig.open(str(sim.tracks["sim"]["DNase"][0])) as file:
        assert file.header()["nBasesCovered"] > 10_000
        assert file.chroms() == {f"chr{k}": sim.config.chromosome_length for k in range(1, 7)}
