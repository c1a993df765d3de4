"""Effects of variants against genomes in which the variant is written out."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import torch

import eregtools as er
from eregtools.batches.alleles import Alleles, altered_windows
from eregtools.batches.encode import PADDING
from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
from eregtools.models.inference import ActivityPredictor, SlotEncoder
from eregtools.tl.expression import RunSettings, encode_slots, epinformer_jobs
from networks import randomised
from world import World, make_world

SMALL = (24, 20, 16, 12, 8)
FOLDS = {1: "chr2", 11: "chr22", 12: "chr1"}
WINDOW = 512
GENE = "ENSG00000000000"  # chr1, TSS 60,000
LETTERS = "ACGTN-"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def mdata(world):
    return world.build(["K562"])


@pytest.fixture(scope="module")
def seqs():
    return {f: randomised(EPInformerSeq(EPInformerSeqConfig(tower_channels=SMALL)), f) for f in FOLDS}


@pytest.fixture(scope="module")
def epinformers():
    config = EPInformerConfig(n_slot_features=2, window=WINDOW, tower_channels=SMALL)
    return {f: randomised(EPInformer(config), f) for f in FOLDS}


def snv(world, chrom, start):
    """Substitution of a base by the next one of A, C, G, T."""
    ref = world.genome.sequence(chrom, start, start + 1)
    return {"Chromosome": chrom, "Start": start, "Ref": ref, "Alt": "ACGT"[("ACGT".index(ref) + 1) % 4]}


def altered_genome(world, chrom, start, ref, alt, path):
    text = []
    for name, size in world.genome.chrom_sizes.items():
        letters = world.genome.sequence(name, 0, size)
        if name == chrom:
            assert letters[start : start + len(ref)] == ref
            letters = letters[:start] + alt + letters[start + len(ref) :]
        text.append(f">{name}\n{letters}\n")
    path.write_text("".join(text))
    return er.Genome(path, name="altered")


def activity_at(model, genome, chrom, start):
    return float(ActivityPredictor(model, torch.device("cpu"))(genome.codes([chrom], np.array([start]), 256))[0])


@pytest.mark.parametrize(
    ("length", "alt"), [(1, "T"), (1, "TTT"), (3, "A"), (0, "GATTACA"), (7, ""), (2, "GC"), (4, "GG"), (1, "N")]
)
def test_activity_around_a_variant(world, seqs, tmp_path, length, alt):
    """The window starts 128 bp before the variant's first base, in either genome."""
    start = 70_003
    ref = world.genome.sequence("chr1", start, start + length)
    table = pd.DataFrame({"Chromosome": ["chr1"], "Start": [start], "Ref": [ref], "Alt": [alt]})
    found = er.tl.variant_effect(None, table, model=seqs, genome=world.genome).iloc[0]
    other = altered_genome(world, "chr1", start, ref, alt, tmp_path / "alt.fa")
    expected = [activity_at(seqs[12], genome, "chr1", start - 128) for genome in (world.genome, other)]
    assert found["activity_ref"] == pytest.approx(expected[0], abs=1e-5)
    assert found["activity_alt"] == pytest.approx(expected[1], abs=1e-5)
    assert found["activity_effect"] == pytest.approx(expected[1] - expected[0], abs=1e-5)
    assert (found["Start"], found["End"], found["site"]) == (start, start + length, "outside")
    assert found["activity_fold"] == 12
    assert np.isnan(found["expression_effect"])
    assert found["gene"] is None


def test_single_bases_are_the_saturation_mutagenesis(world, mdata, seqs):
    name = mdata["enhancers"].var_names[10]
    chrom, start, end = mdata["enhancers"].var.loc[name, ["Chromosome", "Start", "End"]]
    first = (start + end) // 2 - 128
    reference = world.genome.sequence(chrom, first, first + 256)
    rows = [(chrom, first + k, reference[k], alt) for k in range(0, 256, 17) for alt in "ACGT" if alt != reference[k]]
    table = pd.DataFrame(rows, columns=["Chromosome", "Start", "Ref", "Alt"])
    found = er.tl.variant_effect(mdata, table, model=seqs, window="center", targets="activity", genome=world.genome)
    attributed = er.tl.attribute(
        mdata, seqs, names=name, method="ism", hypothetical=True, genome=world.genome, copy=True
    )
    values = attributed["enhancers"].varm["activity_ism_hypothetical"][10].astype(float)
    place = table["Start"].to_numpy() - first
    alt, ref = (table[column].map("ACGT".index).to_numpy() for column in ("Alt", "Ref"))
    inside = found["site"] == "enhancer"
    assert inside.all() == (end - start >= 256)
    assert np.allclose(
        found["activity_effect"],
        np.where(inside, values[alt, place] - values[ref, place], np.nan),
        atol=2e-3,
        equal_nan=True,
    )
    assert set(found["element"].dropna()) == {name}


def test_expression_through_every_sequence_that_holds_the_variant(world, mdata, epinformers, seqs, tmp_path):
    """Substitutions keep coordinates: the altered genome is predicted as it is."""
    enhancers, links = mdata["enhancers"].var, mdata["links"].var
    width = (enhancers["End"] - enhancers["Start"]).loc[links["enhancer"]].to_numpy()
    shared = links.loc[(width >= 150) & (width <= WINDOW), "enhancer"].value_counts()
    element = next(name for name in shared.index[shared > 1] if name.startswith("chr1:"))
    start = int(enhancers.loc[element, "Start"])
    table = pd.DataFrame([snv(world, "chr1", start + 100), snv(world, "chr1", 60_050), snv(world, "chr1", 99)])
    found = er.tl.variant_effect(
        mdata, table, model=seqs, expression_model=epinformers, assay="CAGE", genome=world.genome
    )
    linked = list(links.loc[links["enhancer"] == element, "gene"])
    first = found[found["Start"] == start + 100]
    assert list(first["gene"]) == linked
    assert len(linked) > 1
    assert set(first["site"]) == {"enhancer"}
    promoter = found[(found["Start"] == 60_050) & (found["site"] == "promoter")]
    assert list(promoter["gene"]) == [GENE]
    assert set(found.loc[found["Start"] == 99, "gene"]) == {"ENSG00000000001"}  # TSS 300: the window begins before chr1
    whole = er.tl.predict_expression(mdata, epinformers, assay="CAGE", genome=world.genome, copy=True)
    reference = whole["genes"].to_df("CAGE_pred").loc["K562"]
    for number, variant in table.iterrows():
        genome = altered_genome(
            world, "chr1", variant["Start"], variant["Ref"], variant["Alt"], tmp_path / f"{number}.fa"
        )
        changed = er.tl.predict_expression(mdata, epinformers, assay="CAGE", genome=genome, copy=True)
        predicted = changed["genes"].to_df("CAGE_pred").loc["K562"]
        rows = found[found["Start"] == variant["Start"]].dropna(subset="gene")
        assert len(rows)
        for _, row in rows.iterrows():
            assert row["expression_ref"] == pytest.approx(reference[row["gene"]], abs=1e-5)
            assert row["expression_alt"] == pytest.approx(predicted[row["gene"]], abs=1e-5)
        others = predicted.index.difference(rows["gene"])
        assert np.allclose(predicted[others], reference[others], equal_nan=True)
    assert found["expression_effect"].abs().max() > 1e-5
    assert set(found["expression_fold"].dropna()) == {12}


def test_variant_in_promoter_and_enhancer_of_one_gene(world, epinformers, tmp_path):
    """Both sequences are altered at once, and both rows say so."""
    elements = {"K562": pd.DataFrame({"chrom": "chr1", "start": [59_900, 66_000], "end": [60_200, 66_500]})}
    near, far = (
        World(world.genome, world.genes, elements, world.rng).build(["K562"], min_distance=least)
        for least in (0, 1_000)
    )
    variant = snv(world, "chr1", 60_010)
    how = {"targets": "expression", "assay": "CAGE", "genome": world.genome, "expression_model": epinformers}
    found = er.tl.variant_effect(near, pd.DataFrame([variant]), **how)
    own = found[found["gene"] == GENE]
    assert sorted(own["site"]) == ["enhancer", "promoter"]
    assert own["expression_effect"].nunique() == 1
    assert found["activity_effect"].isna().all()
    genome = altered_genome(world, "chr1", 60_010, variant["Ref"], variant["Alt"], tmp_path / "alt.fa")
    for mdata in (near, far):
        changed = er.tl.predict_expression(mdata, epinformers, assay="CAGE", genome=genome, copy=True)
        expected = changed["genes"].to_df("CAGE_pred").loc["K562", GENE]
        found = er.tl.variant_effect(mdata, pd.DataFrame([variant]), **how)
        assert np.allclose(found.loc[found["gene"] == GENE, "expression_alt"], expected, atol=1e-5)
    assert sorted(found.loc[found["gene"] == GENE, "site"]) == ["promoter"]


@pytest.mark.parametrize(
    ("start", "end", "alternative", "bounds", "expected"),
    [
        (12, 13, "ATT", None, "ACGTATTCGTAC"),  # at the anchor: what lies to the right moves
        (9, 10, "CGG", None, "GGGTACGTACGT"),  # before it: what lies to the left moves
        (9, 12, "", None, "CGTAACGTACGT"),
        (10, 14, "", None, "GTACGTACGTAC"),  # the anchor itself is removed: the next base takes its place
        (15, 15, "NN", None, "ACGTACGNNTAC"),
        (13, 13, "TT", (9, 15), "-CGTATTCG---"),
        (13, 17, "", (9, 15), "-CGTA-------"),  # over the end of an element
        (7, 11, "", (9, 15), "---TACG-----"),  # over its beginning
        (14, 16, "AA", (9, 15), "-CGTACA-----"),
        (8, 9, "ACC", (9, 15), "-CGTACG-----"),  # beside it
    ],
)
def test_lengths_change_around_the_anchor(start, end, alternative, bounds, expected):
    """The window is 8-20 of a chromosome ACGTACGT..., its anchor 12; an element's flanks stay padding."""
    genome = Letters("ACGT" * 8)
    alleles = Alleles(np.array(["chr1"], dtype=object), np.array([start]), np.array([end]), [alternative])
    windows = genome.codes(["chr1"], np.array([8]), 12)
    limits = None if bounds is None else (np.array([bounds[0]]), np.array([bounds[1]]))
    if bounds is not None:
        position = np.arange(8, 20)
        windows[:, (position < bounds[0]) | (position >= bounds[1])] = PADDING
    (found,) = altered_windows(genome, alleles, np.array([0]), windows, np.array([8]), np.array([12]), limits)
    assert "".join(LETTERS[code] for code in found) == expected


class Letters:
    """Genome of one short chromosome."""

    def __init__(self, text):
        self.array = np.array(["ACGT".index(letter) for letter in text], dtype=np.uint8)

    def codes(self, chroms, starts, length):
        at = np.asarray(starts)[:, None] + np.arange(length)
        inside = (at >= 0) & (at < len(self.array))
        return np.where(inside, self.array[at.clip(0, len(self.array) - 1)], 4).astype(np.uint8)


def test_expression_of_an_insertion(world, mdata, epinformers):
    """An element with an insertion is read as the longer element that it is, its centre where it was."""
    enhancers = mdata["enhancers"].var
    element = enhancers[(enhancers["Chromosome"] == "chr1") & (enhancers["End"] - enhancers["Start"] == 150)].index[0]
    start, end = (int(enhancers.loc[element, column]) for column in ("Start", "End"))
    at = end - 20
    table = pd.DataFrame(
        {"Chromosome": ["chr1"], "Start": [at], "Ref": ["-"], "Alt": ["GATTACAGATTACA"], "Name": ["long"]}
    )
    how = {"targets": "expression", "assay": "CAGE", "genome": world.genome}
    found = er.tl.variant_effect(mdata, table, expression_model=epinformers, **how)
    assert set(found["variant"]) == {"long"}
    text = world.genome.sequence("chr1", start, at) + "GATTACAGATTACA" + world.genome.sequence("chr1", at, end)
    codes = np.full((1, WINDOW), PADDING, dtype=np.uint8)
    first = WINDOW // 2 - 75
    codes[0, first : first + len(text)] = ["ACGT".index(letter) for letter in text]
    network = epinformers[12]
    embedding = SlotEncoder(network, torch.device("cpu"))(codes)
    settings = RunSettings("CAGE", "auto", world.genome, "cpu", None, False, False)
    jobs = epinformer_jobs(mdata, {12: network}, ["K562"], settings)
    for part in encode_slots(mdata, world.genome, jobs, settings, ""):
        row = mdata["enhancers"].var_names.get_loc(element)
        elements = part.elements.clone()
        elements[torch.from_numpy(part.job.inputs.element == row)] = embedding
        expected = part.predictor(part.job.inputs, part.promoters, elements)[0]
        names = mdata["genes"].var_names[part.job.inputs.gene]
        expected = dict(zip(names, expected, strict=True))
        for _, line in found.iterrows():
            assert line["expression_alt"] == pytest.approx(expected[line["gene"]], abs=1e-5)


def test_vcf_with_several_alleles(world, mdata, seqs, tmp_path):
    letters = world.genome.sequence("chr2", 50_009, 50_012)
    others = [base for base in "ACGT" if base != letters[0]]
    path = tmp_path / "a.vcf"
    path.write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=2>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"2\t50010\trs7\t{letters[0]}\t{others[0]},{others[1]}\t.\t.\t.\n"
        f"2\t50010\t.\t{letters}\t{letters[0]}\t.\t.\t.\n"
    )
    found = er.tl.variant_effect(mdata, path, model=seqs, targets="activity", genome=world.genome)
    assert found["variant"].tolist() == ["rs7", "rs7", f"2:50010:{letters}:{letters[0]}"]
    assert found["Alt"].tolist() == [others[0], others[1], letters[0]]
    assert found["Start"].tolist() == [50_009] * 3
    split = pd.DataFrame({"Chromosome": "chr2", "Start": [50_009], "Ref": letters[0], "Alt": [",".join(others[:2])]})
    again = er.tl.variant_effect(mdata, split, model=seqs, targets="activity", genome=world.genome)
    assert np.allclose(again["activity_effect"], found["activity_effect"][:2], atol=1e-5)
    assert again["variant"].tolist() == [f"chr2:50009:{letters[0]}:{alt}" for alt in others[:2]]


def test_reference_alleles_are_checked(world, seqs, caplog):
    right, wrong = snv(world, "chr1", 70_000), snv(world, "chr1", 80_000)
    wrong["Ref"], wrong["Alt"] = wrong["Alt"], wrong["Ref"]
    table = pd.DataFrame([right, wrong])
    there = wrong["Alt"]
    says = f"chr1:80000 {wrong['Ref']}>{there}, where the genome has {there}"
    with pytest.raises(ValueError, match=f"of 1 of 2 variants is not that of genome 'toy', first {says}"):
        er.tl.variant_effect(None, table, model=seqs, genome=world.genome)
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        found = er.tl.variant_effect(None, table, model=seqs, genome=world.genome, mismatch="skip")
    assert found["Start"].tolist() == [70_000]
    assert f"left out 1 of 2 variants: {says}" in caplog.text
    with pytest.raises(ValueError, match="of 1 of 1 variants is not that of genome"):
        er.tl.variant_effect(None, table.iloc[1:], model=seqs, genome=world.genome, mismatch="skip")


def test_unknown_bases_and_places_that_are_not_read(world, mdata, seqs, caplog):
    """chr22 40,000-48,000 is N; a window around an element's centre does not reach its ends."""
    enhancers = mdata["enhancers"].var
    long = enhancers[(enhancers["Chromosome"] == "chr1") & (enhancers["End"] - enhancers["Start"] == 3_500)].index[0]
    edge = snv(world, "chr1", int(enhancers.loc[long, "Start"]))
    unknown = {"Chromosome": "chr22", "Start": 43_000, "Ref": "A", "Alt": "C"}
    beside = snv(world, "chr22", 39_990)
    with caplog.at_level(logging.WARNING, logger="eregtools"):
        found = er.tl.variant_effect(
            mdata, pd.DataFrame([edge, unknown, beside]), model=seqs, targets="activity", genome=world.genome
        )
    assert "1 of 3 variants lie on unknown bases (N) of the genome" in caplog.text
    assert found.set_index("Start")["activity_effect"].isna().to_dict() == {
        edge["Start"]: False,
        43_000: True,
        39_990: False,
    }
    centred = er.tl.variant_effect(
        mdata, pd.DataFrame([edge]), model=seqs, window="center", targets="activity", genome=world.genome
    )
    assert centred["element"].tolist() == [long]
    assert centred["activity_effect"].isna().all()


def test_order_and_company_are_of_no_consequence(world, mdata, seqs, epinformers):
    table = pd.DataFrame([snv(world, chrom, k) for chrom in ("chr1", "chr2") for k in range(4_100, 60_000, 3_011)])
    how = {"model": seqs, "expression_model": epinformers, "assay": "CAGE", "genome": world.genome}
    whole = er.tl.variant_effect(mdata, table, **how)
    order = np.random.default_rng(0).permutation(len(table))
    mixed = er.tl.variant_effect(mdata, table.iloc[order], **how)
    assert mixed["variant"].drop_duplicates().tolist() == [
        whole["variant"].drop_duplicates().tolist()[k] for k in order
    ]
    key = ["variant", "site", "element", "gene"]
    whole, mixed = (part.fillna({"element": "", "gene": ""}).set_index(key).sort_index() for part in (whole, mixed))
    for column in ("activity_effect", "expression_effect"):
        assert np.allclose(whole[column], mixed.loc[whole.index, column], atol=1e-6, equal_nan=True)
    one = er.tl.variant_effect(mdata, table.iloc[[7]], **how).fillna({"element": "", "gene": ""}).set_index(key)
    assert np.allclose(one["expression_effect"], whole.loc[one.index, "expression_effect"], atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"variants": pd.DataFrame({"Chromosome": ["chr1"]})}, KeyError, "the variants have no column Start, Ref, Alt"),
        ({"Start": 1.5}, ValueError, "expected whole numbers, 0-based"),
        ({"Start": -1}, ValueError, "start before base 0"),
        ({"Start": 149_999, "Ref": "ACGT"}, ValueError, "end after their chromosome does"),
        ({"Chromosome": "chr7"}, KeyError, "'chr7' \\(variants\\) is not in genome 'toy'"),
        ({"Alt": "<DEL>"}, ValueError, "no sequence of A, C, G, T and N"),
        ({"window": "tile"}, ValueError, "window is 'tile'; expected variant, center, summit"),
        ({"mismatch": "drop"}, ValueError, "mismatch is 'drop'"),
        ({"targets": "abc"}, ValueError, "expected 'activity', 'expression' or both"),
        ({"targets": "expression"}, ValueError, "needs an object with genes and links"),
        ({"model": None}, ValueError, "whose activity"),
        ({"genome": None}, KeyError, "pass genome="),
        ({"window": "center"}, ValueError, "window='center' needs an object with elements"),
    ],
)
def test_bad_input(world, seqs, change, error, says):
    row = {**snv(world, "chr1", 70_000), **{k: v for k, v in change.items() if k[0].isupper()}}
    given = {"variants": pd.DataFrame([row]), "model": seqs, "genome": world.genome}
    given.update({k: v for k, v in change.items() if not k[0].isupper()})
    with pytest.raises(error, match=says):
        er.tl.variant_effect(None, **given)


def test_published_weights_by_name_and_by_biosample(shared, monkeypatch):
    """Weights of the fold that tests the variant's chromosome, found by biosample and by name."""
    monkeypatch.setenv("EREGTOOLS_WEIGHTS", str(shared / "data" / "epinformer" / "checkpoints"))
    genome = er.Genome(shared / "data" / "genome" / "hg38.partial.fa.gz", name="hg38")
    start = 20_117_479
    ref = genome.sequence("chr22", start, start + 1)
    table = pd.DataFrame({"Chromosome": ["chr22"], "Start": [start], "Ref": [ref], "Alt": ["ACGT".replace(ref, "")[0]]})
    found = er.tl.variant_effect(None, table, biosample="K562", genome=genome).iloc[0]
    assert found["activity_model"] == "EPInformer-seq/K562/activity/fold11"
    network = er.models.load("EPInformer-seq/K562/activity/fold11")
    assert found["activity_ref"] == pytest.approx(activity_at(network, genome, "chr22", start - 128), abs=1e-5)
    again = er.tl.variant_effect(None, table, model="EPInformer-seq/K562/activity", genome=genome).iloc[0]
    assert again["activity_effect"] == found["activity_effect"]
