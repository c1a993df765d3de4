"""Links written for genome browsers, parsed back field by field."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools.datasets.toy import three_genes


@pytest.fixture
def mdata():
    mdata = three_genes(["a", "b"])
    er.pp.link(mdata)
    rng = np.random.default_rng(0)
    mdata["links"].layers["abc"] = rng.random(mdata["links"].shape).astype(np.float32)
    mdata["links"].layers["abc"][:, 2] = np.nan
    return mdata


def expected(mdata, sample="a", threshold=0.0):
    table = er.get.links(mdata, sample=sample, layers="abc")
    table = table[table["abc"] >= threshold]
    genes = mdata["genes"].var
    table = table.assign(
        tss=genes["tss"].loc[table["gene"]].to_numpy(), strand=genes["Strand"].loc[table["gene"]].to_numpy()
    )
    return table.sort_values(["Chromosome", "Start", "gene_name"]).reset_index(drop=True)


def fields(path, skip):
    return [line.split("\t") for line in path.read_text().splitlines()[skip:]]


class TestBedpe:
    @pytest.mark.parametrize("name", ["links.bedpe", "links.bedpe.gz"])
    def test_read_back(self, mdata, tmp_path, name):
        er.io.write_bedpe(mdata, tmp_path / name, layer="abc", sample="a")
        found, wanted = er.io.read_bedpe(tmp_path / name), expected(mdata)
        assert len(found) == 6  # one of seven has no value
        for ours, theirs in (("Start", "Start"), ("End", "End"), ("gene", "gene_name"), ("tss", "tss")):
            assert found[ours].tolist() == wanted[theirs].tolist()
        assert found["Chromosome"].tolist() == found["Chromosome2"].tolist() == wanted["Chromosome"].tolist()
        assert (found["End2"] - found["Start2"]).unique().tolist() == [1]
        assert found["Strand2"].tolist() == wanted["strand"].tolist()
        assert found["Column11"].tolist() == wanted["gene"].tolist()
        np.testing.assert_array_equal(found["Score"].to_numpy(np.float32), wanted["abc"].to_numpy())

    def test_names_of_the_abc_pipeline(self, mdata, tmp_path):
        mdata["enhancers"].var["class"] = pd.Categorical(["promoter", "genic", "intergenic", "genic"])
        er.io.write_bedpe(mdata, tmp_path / "l.bedpe", layer="abc", sample="a", threshold=0.3)
        found = er.io.read_bedpe(tmp_path / "l.bedpe")
        assert found["Name"].iloc[0] == "ALPHA_promoter|chr1:4500-5000"
        assert found["gene"].tolist() == expected(mdata, threshold=0.3)["gene_name"].tolist()
        assert found["Score"].min() >= 0.3

    def test_a_table_and_back_to_links(self, mdata, tmp_path, shared):
        table = er.io.read_abc(
            shared / "data/abc_chr22/K562_chr22/Predictions/EnhancerPredictionsFull_threshold0.027_self_promoter.tsv.gz"
        )
        er.io.write_bedpe(table, tmp_path / "abc.bedpe", layer="ABC.Score", chrom_sizes={"chr22": 50_818_468})
        found = er.io.read_bedpe(tmp_path / "abc.bedpe")
        key = ["Chromosome", "Start", "gene"]
        both = found.merge(table, on=[*key, "End", "tss"])
        assert len(both) == len(table) == len(found) == 1_353
        np.testing.assert_allclose(both["Score"], both["ABC.Score"], rtol=1e-8)
        assert found["Column11"].str.startswith("ENSG").all()


class TestInteract:
    def test_fields(self, mdata, tmp_path):
        path = tmp_path / "links.interact"
        er.io.write_interact(mdata, path, layer="abc", sample="b", name='my "links"')
        track, header = path.read_text().splitlines()[:2]
        assert track.startswith("track type=interact name=\"my 'links'\"")
        names = header.removeprefix("#").split("\t")
        rows = pd.DataFrame(fields(path, 2), columns=names)
        wanted = expected(mdata, "b")
        assert len(names) == 18
        assert rows["sourceStart"].astype(int).tolist() == wanted["Start"].tolist()
        assert rows["sourceEnd"].astype(int).tolist() == wanted["End"].tolist()
        assert rows["targetStart"].astype(int).tolist() == wanted["tss"].tolist()
        assert rows["targetEnd"].astype(int).tolist() == (wanted["tss"] + 1).tolist()
        low = np.minimum(wanted["Start"], wanted["tss"])
        high = np.maximum(wanted["End"], wanted["tss"] + 1)
        assert rows["chromStart"].astype(int).tolist() == low.tolist()
        assert rows["chromEnd"].astype(int).tolist() == high.tolist()
        sizes = mdata.uns["eregtools"]["chrom_sizes"]["length"]
        assert (rows["chromEnd"].astype(int) <= rows["chrom"].map(sizes)).all()
        score = rows["score"].astype(int)
        assert score.max() == 1000
        assert score.min() >= 0
        np.testing.assert_array_equal(score, (1000 * wanted["abc"] / wanted["abc"].max()).round().astype(int))
        np.testing.assert_array_equal(rows["value"].astype(np.float32), wanted["abc"])
        assert rows["exp"].unique().tolist() == ["b"]
        assert rows["targetName"].tolist() == wanted["gene_name"].tolist()
        assert rows["targetStrand"].tolist() == wanted["strand"].tolist()
        assert set(rows["sourceChrom"]) == set(rows["chrom"]) == set(rows["targetChrom"])
        assert not rows.map(lambda text: " " in text).any(axis=None)

    def test_negative_values_keep_their_sign(self, mdata, tmp_path):
        mdata["links"].layers["effect"] = -mdata["links"].layers["abc"]
        er.io.write_interact(mdata, tmp_path / "l.interact.gz", layer="effect", sample="a")
        text = gzip.decompress((tmp_path / "l.interact.gz").read_bytes()).decode()
        rows = [line.split("\t") for line in text.splitlines()]
        assert all(float(row[5]) <= 0 <= int(row[4]) <= 1000 for row in rows[2:])


class TestWriting:
    def test_a_failure_leaves_what_was_there(self, mdata, tmp_path, monkeypatch):
        path = tmp_path / "links.bedpe"
        er.io.write_bedpe(mdata, path, layer="abc", sample="a")
        before = path.read_bytes()

        def broken(*_):
            raise OSError("disk full")

        monkeypatch.setattr("eregtools.io.store._flush", broken)
        with pytest.raises(OSError, match="disk full"):
            er.io.write_bedpe(mdata, path, layer="abc", sample="b")
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == ["links.bedpe"]

    def test_same_content_same_bytes(self, mdata, tmp_path):
        for name in ("one.bedpe.gz", "two.bedpe.gz"):
            er.io.write_bedpe(mdata, tmp_path / name, layer="abc", sample="a")
        assert (tmp_path / "one.bedpe.gz").read_bytes() == (tmp_path / "two.bedpe.gz").read_bytes()

    @pytest.mark.parametrize("writer", [er.io.write_bedpe, er.io.write_interact])
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"layer": "none"}, KeyError, "no layer 'none'"),
            ({"sample": None}, ValueError, "2 biosamples"),
            ({"threshold": 2}, ValueError, "no link is left to write: 6 of 7 have a value of 'abc', the largest 0.9"),
            ({"chrom_sizes": {"chr1": 14_500, "chr2": 9_000}}, ValueError, "past the end .* first chr1:14000-14600"),
            ({"chrom_sizes": {"chr1": 20_000}}, ValueError, r"none of those given \(chr1\)"),
        ],
    )
    def test_bad_input(self, mdata, tmp_path, writer, options, error, message):
        with pytest.raises(error, match=message):
            writer(mdata, tmp_path / "x", **{"layer": "abc", "sample": "a", **options})
        assert list(tmp_path.iterdir()) == []

    def test_bad_tables(self, tmp_path):
        table = pd.DataFrame(
            {"Chromosome": ["chr1"], "Start": [5], "End": [9], "gene": ["A"], "tss": [np.nan], "s": [1]}
        )
        with pytest.raises(ValueError, match="the TSS is not known"):
            er.io.write_bedpe(table, tmp_path / "x", layer="s")
        with pytest.raises(ValueError, match="no column tss"):
            er.io.write_bedpe(table.drop(columns="tss"), tmp_path / "x", layer="s")
        with pytest.raises(ValueError, match="sample= goes with an object"):
            er.io.write_bedpe(table, tmp_path / "x", layer="s", sample="a")
        with pytest.raises(FileNotFoundError, match="does not exist"):
            er.io.write_bedpe(table.assign(tss=7), tmp_path / "no" / "x", layer="s")
