"""Negatives of labelled loci, in a world where much else is transcribed as strongly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.coverage import recorded_coverage
from eregtools.locus_signal import locus_reads
from eregtools.pp._erna_strata import SHARES, spaced
from eregtools.ranges import overlaps
from erna_world import GAP, ErnaWorld, catalogue_of, labelled, make_erna_world

STRATA = list(SHARES)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> ErnaWorld:
    return make_erna_world(tmp_path_factory.mktemp("noisy"), decoys=True)


@pytest.fixture(scope="module")
def catalogue(world) -> pd.DataFrame:
    return catalogue_of(world)


@pytest.fixture(scope="module")
def built(world, catalogue, tmp_path_factory):
    return labelled(world, catalogue, tmp_path_factory.mktemp("built"), support_p=0.3)


@pytest.fixture(scope="module")
def matched(built, world):
    mdata = built.copy()
    peaks = pd.DataFrame({"chrom": np.repeat(["chr1", "chr2"], [235, 115])})
    peaks["start"] = np.concatenate([np.arange(1_000, 588_000, 2_500), np.arange(1_000, 288_000, 2_500)])
    peaks["end"] = peaks["start"] + 300
    er.pp.matched_ernas(mdata, world.gtf, genome=world.genome, peaks=peaks, min_positives=20)
    return mdata


class TestMatched:
    def test_shares_and_labels(self, matched, world):
        var = matched["ernas"].var
        drawn = matched.uns["eregtools"]["erna_labels"]["drawn"]
        n = 4 * len(world.loci)
        assert drawn["wanted"].to_dict() == {name: round(n * share) for name, share in SHARES.items()}
        assert (drawn["drawn"] <= drawn["wanted"]).all()
        assert drawn["drawn"].sum() > 0.8 * n
        negative = var["stratum"].isin(STRATA)
        assert (var.loc[negative, "label"] == 0).all()
        assert (matched["ernas"].layers["label"][:, negative.to_numpy()] == 0).all()
        assert (var.loc[~negative & var["label"].notna(), "label"] == 1).all()
        validate(matched)

    def test_far_from_catalogue_gaps_and_each_other(self, matched, catalogue):
        var = matched["ernas"].var.astype({"Chromosome": object})
        negative = var[var["stratum"].isin(STRATA)]
        near = pd.DataFrame(
            {"Chromosome": catalogue["chrom"], "Start": catalogue["start"] - 1_000, "End": catalogue["end"] + 1_000}
        )
        assert not overlaps(negative, near).any()
        gap = pd.DataFrame([GAP], columns=["Chromosome", "Start", "End"])
        assert not overlaps(negative, gap).any()
        for _, table in negative.groupby("Chromosome"):
            assert (table["Start"].to_numpy()[1:] >= np.maximum.accumulate(table["End"].to_numpy())[:-1]).all()
        assert (negative["End"] - negative["Start"] == 400).all()

    def test_each_is_like_its_positive(self, matched, world):
        var = matched["ernas"].var
        negative = var[var["stratum"].isin(STRATA)]
        of = var.loc[negative["matched_to"].astype(str)]
        assert (of["label"] == 1).all()
        assert (of["Chromosome"].astype(str).to_numpy() == negative["Chromosome"].astype(str).to_numpy()).all()
        gc = {}
        for name, table in (("negative", negative), ("positive", of)):
            starts = table["center"].to_numpy() - 500
            codes = world.genome.codes(table["Chromosome"].astype(str).tolist(), starts, 1_000)
            gc[name] = ((codes == 1) | (codes == 2)).mean(axis=1)
        by_gc = (negative["stratum"] != "promoter").to_numpy()
        assert np.abs(gc["negative"] - gc["positive"])[by_gc].max() <= 0.02 + 1e-9
        times = of.index.value_counts()
        assert times.max() <= 6

    def test_strata_are_what_they_are_called(self, matched, world):
        coverage = recorded_coverage(matched)
        var = matched["ernas"].var.astype({"Chromosome": object})
        rpm = np.zeros(len(var))
        centre = var["center"].to_numpy()
        for sample in "AB":
            reads = locus_reads(coverage, sample, var["Chromosome"], centre - 500, centre + 500).sum(axis=0)
            rpm += reads / coverage.library_size(sample) * 5e5
        mask = matched.uns["eregtools"]["erna_mask"]
        tss = mask[mask["Name"] == "tss"]
        of = {name: (var["stratum"] == name).to_numpy() for name in STRATA}
        assert (rpm[of["silent"]] == 0).all()
        assert (rpm[of["signal"]] > 0).all()
        assert (rpm[of["intergenic"]] > 0).all()
        assert rpm[of["open"]].max() <= np.median(rpm[of["signal"]])
        at_centre = var.assign(Start=var["center"], End=var["center"] + 1)
        starts = world.object()["genes"].var
        assert set(var.loc[of["promoter"], "center"]) <= set(starts["tss"])
        for name in ("silent", "signal", "intergenic"):
            assert not overlaps(at_centre[of[name]], mask).any()
        assert overlaps(at_centre[of["promoter"]], tss[["Chromosome", "Start", "End"]]).mean() > 0.8  # lncRNA is spared
        genes = world.genes.rename(columns={"chrom": "Chromosome", "start": "Start", "end": "End"})
        assert not overlaps(at_centre[of["intergenic"]], genes).any()

    def test_coverage_decile(self, built, world):
        mdata = built.copy()
        er.pp.matched_ernas(mdata, world.gtf, genome=world.genome, shares={"signal": 1.0}, ratio=1, min_positives=1)
        var, store = mdata["ernas"].var, recorded_coverage(mdata)
        centre = var["center"].to_numpy()
        rpm = sum(
            locus_reads(store, s, var["Chromosome"].astype(object), centre - 500, centre + 500).sum(axis=0)
            / store.library_size(s)
            for s in "AB"
        )
        edges = np.quantile(rpm[(var["label"] == 1).to_numpy()], np.linspace(0, 1, 11)[1:-1])
        negative = var[var["stratum"] == "signal"]
        decile = pd.Series(np.searchsorted(edges, rpm, side="right"), index=var.index)
        assert (decile[negative.index].to_numpy() == decile[negative["matched_to"].astype(str)].to_numpy()).all()

    def test_repeatable_and_replaced(self, built, world):
        mdata = built.copy()
        options = {"genome": world.genome, "shares": {"silent": 0.5, "promoter": 0.5}, "min_positives": 1}
        er.pp.matched_ernas(mdata, world.gtf, **options)
        first = list(mdata["ernas"].var_names)
        er.pp.matched_ernas(mdata, world.gtf, **options)
        assert list(mdata["ernas"].var_names) == first
        er.pp.matched_ernas(mdata, world.gtf, **options, rng=np.random.default_rng(7))
        assert list(mdata["ernas"].var_names) != first

    def test_without_open_chromatin_others_get_its_share(self, built, world, caplog):
        mdata = er.pp.matched_ernas(built, world.gtf, genome=world.genome, min_positives=1, copy=True)
        assert "open" not in mdata.uns["eregtools"]["erna_labels"]["drawn"].index
        assert "there is no open chromatin" in caplog.text
        assert not built["ernas"].var["stratum"].isin(STRATA).any()

    def test_too_few(self, built, world, caplog):
        with pytest.raises(ValueError, match=r"there are 28 positive loci and 500 are needed \(2 more are catalogued"):
            er.pp.matched_ernas(built.copy(), world.gtf, genome=world.genome, min_positives=500)
        er.pp.matched_ernas(
            built.copy(), world.gtf, genome=world.genome, shares={"promoter": 1.0}, ratio=10, min_positives=1
        )
        assert "stratum 'promoter': " in caplog.text
        assert "of 280 negatives could be matched" in caplog.text

    def test_bad_input(self, built, world):
        for shares, message in (({"open": 0.5}, "add up to 0.5"), ({"coding": 1.0}, "shares names coding")):
            with pytest.raises(ValueError, match=message):
                er.pp.matched_ernas(built.copy(), world.gtf, genome=world.genome, shares=shares, min_positives=1)
        bare = world.object()
        er.pp.candidate_ernas(bare, "bed", source=pd.DataFrame({"chrom": ["chr1"], "start": [5], "end": [600]}))
        with pytest.raises(KeyError, match="label_ernas first"):
            er.pp.matched_ernas(bare, world.gtf, genome=world.genome)

    def test_spacing(self):
        chrom = np.array(["a", "b", "a", "a", "b"], dtype=object)
        rows = spaced(chrom, np.array([100, 5, 130, 90, 45]), 40)
        assert sorted(rows.tolist()) == [1, 2, 3, 4]
