"""Enrichment of loci against matched and circular backgrounds, with known truth."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pyBigWig
import pytest

import eregtools as er
from eregtools._keys import INTERVAL
from eregtools.locus_signal import free_sequence
from eregtools.ranges import count_overlaps, overlapping_pairs
from eregtools.tl._nulls import CircularNull

SIZES = {"chr1": 3_000_000, "chr2": 2_000_000}
GAP = ("chr2", 1_000_000, 1_100_000)
SEGMENT = 10_000


class World:
    """Sequence whose stretches differ in GC, and loci that lie where GC is high."""

    def __init__(self, folder):
        rng = np.random.default_rng(1)
        self.folder, self.rich = folder, {}
        with (folder / "g.fa").open("w") as file:
            for chrom, size in SIZES.items():
                self.rich[chrom] = rng.random(size // SEGMENT) < 0.3
                gc = np.repeat(np.where(self.rich[chrom], 0.6, 0.4), SEGMENT)
                strong = rng.random(size) < gc
                letters = np.where(strong, rng.choice([67, 71], size), rng.choice([65, 84], size)).astype(np.uint8)
                if chrom == GAP[0]:
                    letters[GAP[1] : GAP[2]] = ord("N")
                file.write(f">{chrom}\n{letters.tobytes().decode()}\n")
        self.genome = er.Genome(folder / "g.fa", name="g")
        self.loci = self.table(self.positions(rng, 300, 0.8), 400)

    def positions(self, rng, n, in_rich):
        """Positions, a share of them where GC is high, none in the gap."""
        found = []
        wanted = rng.random(n) < in_rich
        while len(found) < n:
            chrom = rng.choice(list(SIZES), p=[0.6, 0.4])
            at = int(rng.integers(2_000, SIZES[chrom] - 2_000))
            if self.rich[chrom][at // SEGMENT] != wanted[len(found)]:
                continue
            if chrom == GAP[0] and GAP[1] - 1_000 < at < GAP[2] + 1_000:
                continue
            found.append((chrom, at))
        return found

    def table(self, positions, width):
        table = pd.DataFrame(positions, columns=["Chromosome", "center"])
        start = table["center"] - width // 2
        return pd.DataFrame({"Chromosome": table["Chromosome"], "Start": start, "End": start + width})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("enrichment"))


def test_gc_alone_makes_loci_look_enriched_until_it_is_matched(world):
    rng = np.random.default_rng(2)
    features = world.table(world.positions(rng, 3_000, 0.8), 1)  # frequent where GC is high, whatever the loci are
    options = {"genome": world.genome, "n": 300, "rng": 0}
    circular = er.tl.enrichment(world.loci, features, background="circular", **options).iloc[0]
    assert circular["fold"] > 1.5
    assert circular["p"] == 1 / 301
    unmatched = er.tl.enrichment(world.loci, features, match=["width"], **options).iloc[0]
    assert unmatched["fold"] > 1.5
    matched = er.tl.enrichment(world.loci, features, match=["gc", "width"], **options).iloc[0]
    assert abs(matched["fold"] - 1) < 0.2
    assert matched["p"] > 0.02
    assert matched["imbalance"] < 0.1
    assert matched["fold_low"] < 1 < matched["fold_high"]


def test_what_is_planted_is_found_at_its_size(world):
    rng = np.random.default_rng(3)
    hit = rng.random(len(world.loci)) < 0.6
    inside = world.loci[hit]
    planted = pd.DataFrame({"Chromosome": inside["Chromosome"], "Start": inside["Start"] + 20})
    elsewhere = world.table(world.positions(rng, 1_500, 0.3), 1)
    features = pd.concat([planted.assign(End=planted["Start"] + 1), elsewhere], ignore_index=True)
    row = er.tl.enrichment(world.loci, features, genome=world.genome, match=["gc", "width"], n=500, rng=0).iloc[0]
    assert row["observed"] == pytest.approx(0.6, abs=0.12)
    chance = 1 - np.exp(-1_500 * 400 / 4.9e6)  # a locus of 400 bp among 1,500 features
    assert row["expected"] == pytest.approx(chance, rel=0.35)
    assert row["fold"] == pytest.approx(row["observed"] / row["expected"])
    assert row["difference"] == pytest.approx(row["observed"] - row["expected"])
    assert row["fold_low"] < row["fold"] < row["fold_high"]
    assert row["p"] == 1 / 501
    assert row["z"] > 10
    less = er.tl.enrichment(
        world.loci, features, genome=world.genome, match=["width"], n=100, alternative="less", rng=0
    )
    assert less["p"].item() == 1


@pytest.mark.parametrize("background", ["matched", "circular"])
def test_p_is_calibrated_where_there_is_nothing(world, background):
    rng = np.random.default_rng(4)
    features = {f"f{k}": world.table(world.positions(rng, 400, 0.3), 1) for k in range(60)}
    table = er.tl.enrichment(
        world.loci, features, background=background, match=["gc", "width"], genome=world.genome, n=200, rng=0
    )
    assert table["feature"].tolist() == list(features)
    assert 0.38 < table["p"].mean() < 0.66
    assert (table["p"] < 0.1).mean() < 0.2
    assert (table["p"] > 0.5).mean() > 0.3
    covered = (table["fold_low"] <= 1) & (table["fold_high"] >= 1)
    assert covered.mean() > 0.8


def test_a_track_is_compared_by_its_mean(world, tmp_path):
    path = tmp_path / "phyloP.bw"
    with pyBigWig.open(str(path), "w") as file:
        file.addHeader(list(SIZES.items()))
        for chrom, size in SIZES.items():
            values = np.full(size // 100, -0.5)
            loci = world.loci[world.loci["Chromosome"] == chrom]
            for start, end in loci[["Start", "End"]].itertuples(index=False):
                values[start // 100 : -(-end // 100)] = 1.5
            file.addEntries(chrom, 0, values=values.tolist(), span=100, step=100)
    row = er.tl.enrichment(world.loci, path, genome=world.genome, match=["gc", "width"], n=200).iloc[0]
    assert (row["feature"], row["statistic"]) == ("phyloP", "mean")
    assert row["observed"] == pytest.approx(1.5)
    assert row["expected"] == pytest.approx(-0.5, abs=0.1)
    assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert np.isnan(row["fold"])
    assert row["p"] == 1 / 201


def test_every_form_of_the_same_variants_is_the_same(world, tmp_path):
    at = world.loci.iloc[::3]["Start"].to_numpy() + 50
    chroms = world.loci.iloc[::3]["Chromosome"].to_numpy()
    bed = tmp_path / "v.bed"
    pd.DataFrame({"c": chroms, "s": at, "e": at + 1}).to_csv(bed, sep="\t", header=False, index=False)
    vcf = tmp_path / "v.vcf.gz"
    rows = "".join(f"{c}\t{p + 1}\trs{k}\tA\tG,T\t.\t.\t.\n" for k, (c, p) in enumerate(zip(chroms, at, strict=True)))
    header = "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n##contig=<ID=chr2>\n"
    with gzip.open(vcf, "wt") as file:
        file.write(header + "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + rows)
    gwas = tmp_path / "gwas.tsv"
    table = pd.DataFrame({"CHR_ID": [c.removeprefix("chr") for c in chroms], "CHR_POS": (at + 1).astype(str)})
    table.loc[len(table)] = ["2", "5;9"]  # several positions in one row of the catalogue
    table.to_csv(gwas, sep="\t", index=False)
    features = {"bed": bed, "vcf": vcf, "gwas": gwas, "table": table, "hits": er.io.read_bed(bed).assign(motif="M1")}
    found = er.tl.enrichment(world.loci, features, genome=world.genome, background="circular", n=50, statistic="count")
    assert (found["n_features"] == len(at)).all()
    assert found.drop(columns="feature").drop_duplicates().shape[0] == 1
    assert found["observed"].iloc[0] == pytest.approx(count_overlaps(world.loci, er.io.read_bed(bed)).mean())


def test_the_order_of_the_loci_does_not_matter(world):
    features = world.table(world.positions(np.random.default_rng(5), 300, 0.3), 10)
    options = {"genome": world.genome, "match": ["gc"], "n": 50, "rng": 7}
    first = er.tl.enrichment(world.loci, features, **options)
    second = er.tl.enrichment(world.loci.sample(frac=1, random_state=0), features, **options)
    pd.testing.assert_frame_equal(first, second)


def test_circular_moves_keep_distances_and_stay_out_of_masks(world):
    mask = pd.DataFrame({"Chromosome": ["chr1", "chr2"], "Start": [500_000, GAP[1]], "End": [900_000, GAP[2]]})
    free = free_sequence(SIZES, mask)
    loci = world.loci.assign(center=world.loci["Start"] + 200)
    inside = count_overlaps(loci.assign(Start=loci["center"], End=loci["center"] + 1), mask) > 0
    loci = loci[~inside].sort_values(["Chromosome", "Start"], ignore_index=True)
    moved = CircularNull(loci, free, SIZES)._moved(20, np.random.default_rng(0))
    assert len(np.unique(moved[:, 0])) > 15
    for centres in moved:
        places = loci.assign(Start=centres, End=centres + 1)
        assert count_overlaps(places, mask).sum() == 0
    for chrom in SIZES:
        rows = (loci["Chromosome"] == chrom).to_numpy()
        left = mask[mask["Chromosome"] == chrom].iloc[0]
        width = left["End"] - left["Start"]
        total = SIZES[chrom] - width

        def along(centres, left=left, width=width):
            return np.where(centres >= left["End"], centres - width, centres)

        steps = np.diff(along(loci["center"].to_numpy()[rows]))
        for centres in moved[:, rows]:
            assert (np.diff(along(centres)) % total == steps).all()


def test_counts_of_overlaps_are_those_of_all_pairs():
    rng = np.random.default_rng(0)

    def table(n):
        start = rng.integers(0, 500, n)
        chroms = rng.choice(["a", "b", "c"], n)
        return pd.DataFrame({"Chromosome": chroms, "Start": start, "End": start + rng.integers(1, 60, n)})

    left, right = table(80), table(200)
    expected = np.bincount(overlapping_pairs(left, right)[0], minlength=len(left))
    assert count_overlaps(left, right).tolist() == expected.tolist()
    assert count_overlaps(left, right.iloc[:0]).sum() == 0


def test_an_object_brings_genes_signal_and_mask(tmp_path):
    config = er.datasets.ErnaGenomeConfig(
        n_chromosomes=2, chromosome_length=500_000, genes=10, gaps=1, artefacts=1, libraries=("stranded",), negative=()
    )
    truth = er.datasets.simulate_erna_genome(tmp_path / "world", seed=2, config=config)
    mdata = er.pp.assemble(
        genes=truth.paths["genes"], enhancers=truth.paths["open"], samples=["s1"], genome=truth.paths["genome"]
    )
    er.pp.add_coverage(mdata, truth.tracks, folder=tmp_path / "c.zarr", read_length=75)
    er.pp.erna_mask(mdata, truth.paths["genes"], blacklist=truth.paths["blacklist"], genome=truth.paths["genome"])
    active = truth.positives[truth.active["s1"].to_numpy()[truth.positives.index]]
    er.pp.candidate_ernas(mdata, "bed", source=active[list(INTERVAL)])
    table = er.tl.enrichment(mdata, {"open": truth.paths["open"]}, genome=truth.paths["genome"], n=100, rng=0)
    row = table.iloc[0]
    assert row["n_loci"] == len(active)
    assert row["observed"] == 1
    assert row["fold"] > 2
    assert row["p"] == 1 / 101
    del mdata.uns["eregtools"]["coverage"]
    with pytest.raises(KeyError, match="add_coverage"):
        er.tl.enrichment(mdata, truth.paths["open"], genome=truth.paths["genome"])
    without = er.tl.enrichment(mdata, truth.paths["open"], background="circular", n=20)
    assert np.isnan(without["imbalance"].item())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"background": "shuffled"}, ValueError, "expected one of 'matched', 'circular'"),
        ({"match": ["mappability"]}, ValueError, "expected some of 'gc'"),
        ({"match": []}, ValueError, "match is empty"),
        ({"genome": None}, ValueError, "needs genome="),
        ({"match": ["tss_distance"]}, ValueError, "needs genes="),
        ({"match": ["signal"]}, ValueError, "needs coverage="),
        ({"n": 0}, ValueError, "at least 1 draw"),
        ({"features": {}}, ValueError, "features is empty"),
        ({"features": "nowhere.bed"}, FileNotFoundError, "no file nowhere.bed"),
        ({"features": 3}, TypeError, "expected a table"),
        ({"features": pd.DataFrame({"gene": ["a"]})}, ValueError, "CHR_ID and CHR_POS"),
        (
            {"features": pd.DataFrame({"Chromosome": ["chrZ"], "Start": [1], "End": [2]})},
            ValueError,
            "another assembly",
        ),
        (
            {"mask": pd.DataFrame({"Chromosome": list(SIZES), "Start": 0, "End": list(SIZES.values())})},
            ValueError,
            "nothing to compare",
        ),
    ],
)
def test_bad_input_is_one_sentence(world, options, error, message):
    features = options.pop("features", world.loci)
    options = {"genome": world.genome, "match": ["gc"], **options}
    with pytest.raises(error, match=message):
        er.tl.enrichment(world.loci, features, **options)
