"""Labelled pairs: the authors' rows and windows, real tables of every kind, and what is refused."""

from __future__ import annotations

import hashlib
import json
import logging

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.windows import centred_windows
from real_pairs import CELLS, FIXTURE, HG19, pairs_with_sequence

ORACLE = "parity/epipam"


def small_table(n=24, seed=0):
    """Pairs on three chromosomes; a third are positive."""
    rng = np.random.default_rng(seed)
    start = 50_000 + 20_000 * np.arange(n)
    length = rng.integers(150, 4_000, n)
    start2 = start + rng.integers(6_000, 15_000, n)
    chromosome = np.array(["chr1", "chr4", "chr7"])[np.arange(n) % 3]
    return pd.DataFrame(
        {
            "Chromosome": chromosome,
            "Start": start,
            "End": start + length,
            "Chromosome2": chromosome,
            "Start2": start2,
            "End2": start2 + rng.integers(500, 3_000, n),
            "label": (np.arange(n) // 3 % 3 == 0).astype(int),
        }
    )


def built(table=None, **kwargs):
    kwargs = {"genome": HG19, "sample": "K562"} | kwargs
    return er.pp.pairs(small_table() if table is None else table, **kwargs)


def sha(content):
    return hashlib.sha256(content).hexdigest()[:16]


class TestWindows:
    def test_every_case_of_the_authors(self, shared):
        cases = json.loads((shared / ORACLE / "prep_cases.json").read_text())
        stream = np.random.RandomState(cases["seed"])
        for case in cases["resize"]:
            where = (case["start"], case["end"], case["L"], HG19[case["chrom"]])
            assert centred_windows(*where) == case["fix"][0]
            found = centred_windows(*where, jitter=stream.randint(-100, 100, 3))
            assert found.tolist() == [start for start, _ in case["jitter3"]]
        assert len(cases["resize"]) == 28

    def test_one_call_is_many_calls(self):
        rng = np.random.default_rng(3)
        start = rng.integers(0, 20_000, 300)
        end = start + rng.integers(1, 8_000, 300)
        jitter = rng.integers(-100, 101, (300, 4))
        together = centred_windows(start[:, None], end[:, None], 3_000, 30_000, jitter=jitter)
        assert together.shape == (300, 4)
        one = [
            [centred_windows(s, e, 3_000, 30_000, jitter=j) for j in moved]
            for s, e, moved in zip(start, end, jitter, strict=True)
        ]
        np.testing.assert_array_equal(together, np.array(one))
        assert together.min() >= 1
        assert (together + 3_000).max() <= 30_000

    def test_bad_input(self):
        with pytest.raises(ValueError, match="no bases"):
            centred_windows([5], [5], 10, None)
        with pytest.raises(ValueError, match="assembly"):
            centred_windows([5], [50], 10, 40)
        with pytest.raises(ValueError, match="shorter than a window"):
            centred_windows([5], [30], 100, 40)
        with pytest.raises(ValueError, match="at least 1 bp"):
            centred_windows([5], [30], 0, 40)


class TestPaper:
    @pytest.mark.parametrize("cell", [pytest.param(c, marks=[pytest.mark.slow] * (c != "K562")) for c in CELLS])
    def test_rows_and_windows_of_the_authors(self, shared, cell):
        oracle = json.loads((shared / ORACLE / "prep_splits.json").read_text())
        path = shared / f"data/epi_targetfinder/{cell}.csv.gz"
        table = pd.read_csv(path)
        mdata = er.pp.pairs(path, genome=HG19)
        for ratio in (1, 10):
            for expected in oracle[f"{cell}|test_ratio_1:{ratio}"]:
                parts = er.get.fold_pairs(mdata, expected["fold"], recipe="paper", ratio=ratio)
                assert list(parts) == ["train", "test"]
                for which, part in parts.items():
                    positive = part.rows[part.label == 1][:: 10 if which == "train" else 1]
                    rows = np.concatenate([positive, part.rows[part.label == 0]])
                    assert sha(rows.astype("<i4").tobytes()) == expected[f"{which}_rows_sha"]
                    text = table.iloc[part.rows].assign(
                        enhancer_start=part.enhancer_start,
                        enhancer_end=part.enhancer_start + 3_000,
                        promoter_start=part.promoter_start,
                        promoter_end=part.promoter_start + 2_000,
                    )
                    assert sha(text.to_csv(index=False).encode()) == expected[f"{which}_aug_csv_sha"]

    def test_takes_nothing_that_it_would_ignore(self):
        mdata = built()
        for wrong in ({"rng": 1}, {"jitter": 5}, {"copies": 2}, {"scheme": "epinformer12"}, {"ratio": None}):
            with pytest.raises(ValueError, match="recipe='paper'"):
                er.get.fold_pairs(mdata, 0, recipe="paper", **wrong)
        with pytest.raises(KeyError, match="fold 7"):
            er.get.fold_pairs(mdata, 7, recipe="paper")


class TestRealTables:
    def test_target_finder(self, shared):
        table = pd.read_csv(shared / "data/epi_targetfinder/K562.csv.gz")
        mdata = er.pp.pairs(shared / "data/epi_targetfinder/K562.csv.gz", genome=HG19)
        validate(mdata)
        assert mdata.obs_names.tolist() == ["K562"]
        assert (mdata["enhancers"].n_vars, mdata["genes"].n_vars) == (29_594, 7_616)
        var = mdata["links"].var
        assert var["label"].tolist() == table["label"].tolist()
        enhancers = mdata["enhancers"].var.loc[var["enhancer"]]
        assert enhancers["Start"].tolist() == table["enhancer_start"].tolist()
        assert (enhancers["window_end"] - enhancers["window_start"] == 3_000).all()
        promoters = mdata["genes"].var.loc[var["gene"]]
        assert promoters.index[0] == "promoter:chr1:6613082-6615021"
        assert promoters["End"].tolist() == table["promoter_end"].tolist()
        assert (promoters["Strand"] == ".").all()

    def test_another_assembly_is_refused(self, shared):
        hg38 = {**HG19, "chr21": 46_709_983}
        with pytest.raises(ValueError, match="assembly is probably wrong"):
            er.pp.pairs(shared / "data/epi_targetfinder/K562.csv.gz", genome=hg38)

    def test_bengi_counts_its_repeats(self, shared, caplog):
        path = shared / "data/epi_bengi/HeLa.RNAPII-ChIAPET-Benchmark.v3.tsv.gz"
        with caplog.at_level(logging.WARNING):
            mdata = er.pp.pairs(path, genome=HG19)
        assert "82 of 2926 rows repeat a pair" in caplog.text
        assert mdata.obs_names.tolist() == ["HeLa"]
        assert mdata["links"].n_vars == 2_926 - 82
        kept = er.pp.pairs(path, genome=HG19, duplicates="keep")
        validate(kept)
        assert kept["links"].n_vars == 2_926
        assert int(kept["links"].var["label"].sum()) == 744
        with pytest.raises(ValueError, match="more than once"):
            er.pp.pairs(path, genome=HG19, duplicates="error")

    def test_chia_pet_has_blocks(self, shared):
        path = shared / "data/epi_chiapet_epipam/Helas3Pol2.pair_intra.csv.gz"
        with pytest.raises(ValueError, match="does not say its biosample"):
            er.pp.pairs(path, genome=HG19)
        mdata = er.pp.pairs(path, genome=HG19, sample="HeLa-S3", enhancer_width=1_000, promoter_width=1_000)
        block = mdata["links"].var["block"]
        assert (block.value_counts() == 5).all()
        assert block.nunique() == 2_590
        enhancers = mdata["enhancers"].var
        assert (enhancers["window_start"] == enhancers["Start"]).all()
        er.pp.split(mdata, "epipam8")
        with pytest.raises(ValueError, match="2,590 blocks"):
            er.tl.leakage(mdata, "random")

    def test_crispr_has_genes(self, shared, caplog):
        path = shared / "data/crispr_benchmark/EPCrisprBenchmark_combined_data.training_K562.GRCh38.tsv.gz"
        mdata = er.pp.pairs(path, genome=None)
        assert "24 of 2113 genes have more than one TSS" in caplog.text
        validate(mdata)
        genes = mdata["genes"].var
        assert genes.index.str.startswith("ENSG").all()
        assert (genes["tss"] == genes["Start"]).all()
        assert (genes["End"] == genes["tss"] + 1).all()
        assert (genes["window_start"] == (genes["tss"] - 1_000).clip(lower=1)).all()
        assert mdata["links"].n_vars == 10_356
        assert "MYC" in set(genes["gene_name"])

    def test_pairs_with_sequence(self, shared, tmp_path):
        table, genome = pairs_with_sequence(shared, tmp_path)
        assert 600 <= len(table) < 626
        mdata = er.pp.pairs(table, genome=genome, sample="several")
        validate(mdata)
        original = pd.read_csv(shared / FIXTURE, sep="\t")
        original = original.loc[table.index[mdata["links"].var["input_index"]]]
        links = mdata["links"].var
        for modality, column, sequence, length in (
            ("enhancers", "enhancer", "enhancer_seq", 3_000),
            ("genes", "gene", "promoter_seq", 2_000),
        ):
            var = mdata[modality].var.loc[links[column]]
            codes = genome.codes(var["Chromosome"].astype(str).tolist(), var["window_start"].to_numpy(), length)
            letters = np.frombuffer(b"ACGTN", dtype=np.uint8)[codes]
            assert [row.tobytes().decode() for row in letters] == original[sequence].str.upper().tolist()


class TestObject:
    def test_order_names_and_columns(self):
        table = small_table()
        mdata = built(table)
        validate(mdata)
        links = mdata["links"].var
        assert links["input_index"].tolist() == list(range(len(table)))
        assert (links["origin"] == "table").all()
        middle = (table["Start"] + table["End"]) / 2 - (table["Start2"] + table["End2"]) // 2
        np.testing.assert_allclose(links["distance"], middle)
        assert mdata["enhancers"].var["Chromosome"].cat.categories.tolist() == ["chr1", "chr4", "chr7"]

    def test_survives_the_disk(self, tmp_path):
        mdata = built()
        er.pp.matched_pairs(mdata, method="shift")
        er.io.write(mdata, tmp_path / "pairs.h5mu")
        again = er.io.read(tmp_path / "pairs.h5mu")
        pd.testing.assert_frame_equal(again["links"].var, mdata["links"].var, check_categorical=False)

    def test_order_of_rows_changes_no_window(self):
        table = small_table()
        one, other = built(table), built(table.sample(frac=1, random_state=1))
        for modality in ("genes", "enhancers"):
            pd.testing.assert_frame_equal(one[modality].var, other[modality].var)

    def test_chromosomes_without_chr(self):
        sizes = {name.removeprefix("chr"): size for name, size in HG19.items()}
        mdata = built(genome=sizes)
        assert mdata["enhancers"].var_names[0].startswith("1:")

    def test_one_biosample_of_several(self):
        table = small_table().assign(cell_type=["A", "B"] * 12)
        with pytest.raises(ValueError, match="2 biosamples"):
            built(table, sample=None)
        with pytest.raises(KeyError, match="no biosample 'C'"):
            built(table, sample="C")
        assert built(table, sample="B")["links"].n_vars == 12

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"Chromosome2": "chr2"}, "on two chromosomes"),
            ({"End": 50_000}, "whose End is not after its Start"),
            ({"End": 250_000_000}, "past the end of its chromosome"),
            ({"Start": -5}, "starts before base 0"),
            ({"Start": 10.5}, "no whole numbers"),
            ({"label": 2}, "neither 0 nor 1"),
        ],
    )
    def test_bad_rows(self, change, message):
        table = small_table().astype({"Start": float})
        for column, value in change.items():
            table.loc[0, column] = value
        with pytest.raises(ValueError, match=message):
            built(table)

    def test_bad_tables(self):
        table = small_table()
        with pytest.raises(ValueError, match="is positive; both kinds"):
            built(table.assign(label=0))
        with pytest.raises(ValueError, match="is negative; both kinds"):
            built(table.assign(label=1))
        with pytest.raises(ValueError, match="with both labels"):
            built(pd.concat([table, table.head(1).assign(label=1 - table["label"].iloc[0])]))
        with pytest.raises(ValueError, match="no column for End2"):
            built(table.drop(columns="End2"))
        with pytest.raises(ValueError, match="no rows"):
            built(table.head(0))
        with pytest.raises(KeyError, match="chr7"):
            built(genome={"chr1": 10**8, "chr4": 10**8})
        with pytest.raises(ValueError, match="duplicates='first'"):
            built(duplicates="first")


class TestOurRegime:
    @pytest.fixture
    def mdata(self):
        mdata = built(small_table(240))
        er.pp.split(mdata, "epipam8")
        return mdata

    def test_sets_are_apart_and_balanced(self, mdata):
        links = mdata["links"].var
        chromosome = mdata["enhancers"].var.loc[links["enhancer"], "Chromosome"].astype(str).to_numpy()
        parts = er.get.fold_pairs(mdata, 0, ratio=1)
        for which, expected in (("train", "chr7"), ("valid", "chr4"), ("test", "chr1")):
            part = parts[which]
            assert set(chromosome[part.rows]) == {expected}
            assert (links["label"].to_numpy()[part.rows] == part.label).all()
            assert part.label.mean() == 0.5
        assert len(parts["train"]) == 2 * 10 * (links["label"].to_numpy() * (chromosome == "chr7")).sum()

    def test_windows_of_both_classes_move_in_training_only(self, mdata):
        fixed = mdata["enhancers"].var.loc[mdata["links"].var["enhancer"], "window_start"].to_numpy()
        parts = er.get.fold_pairs(mdata, 0, jitter=30)
        for label in (0, 1):
            train = parts["train"]
            moved = (train.enhancer_start - fixed[train.rows])[train.label == label]
            assert moved.min() == -30
            assert moved.max() == 30
        assert (parts["test"].enhancer_start == fixed[parts["test"].rows]).all()
        other = parts["train"].enhancer_start - fixed[parts["train"].rows]
        promoters = mdata["genes"].var.loc[mdata["links"].var["gene"], "window_start"].to_numpy()
        assert not (other == parts["train"].promoter_start - promoters[parts["train"].rows]).all()

    def test_draws_depend_on_seed_and_fold_only(self, mdata):
        def rows(**kwargs):
            return er.get.fold_pairs(mdata, **({"fold": 0} | kwargs))["train"]

        one = rows(rng=1)
        er.get.fold_pairs(mdata, 1, rng=1)
        again = rows(rng=1, ratio=None)
        np.testing.assert_array_equal(one.rows, again.rows)
        np.testing.assert_array_equal(one.enhancer_start, again.enhancer_start)
        assert (rows(rng=2).enhancer_start != one.enhancer_start).any()

    def test_every_negative_where_asked(self, mdata):
        test = er.get.fold_pairs(mdata, 0, ratio=None)["test"]
        assert len(test) == (mdata["genes"].var.loc[mdata["links"].var["gene"], "fold"] == 0).sum()

    def test_bad_input(self, mdata):
        with pytest.raises(KeyError, match="no fold 9"):
            er.get.fold_pairs(mdata, 9)
        with pytest.raises(ValueError, match="recipe='mine'"):
            er.get.fold_pairs(mdata, 0, recipe="mine")
        with pytest.raises(ValueError, match="ratio=0"):
            er.get.fold_pairs(mdata, 0, ratio=0)
        with pytest.raises(KeyError, match="no negative pairs of origin repaired"):
            er.get.fold_pairs(mdata, 0, negatives="repaired")
        bare = mdata.copy()
        del bare["links"].var["label"]
        with pytest.raises(KeyError, match="no column 'label'"):
            er.get.fold_pairs(bare, 0)
