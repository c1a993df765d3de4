"""Activity, contacts and Activity-by-Contact scores against the published pipeline on chromosome 22."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.datasets.toy import three_genes
from eregtools.pp.contacts import frequency, mean_row_sum, scaled_contact
from eregtools.pp.normalise import quantile_normalise


def table_of(path):
    return pd.read_csv(path, sep="\t")


def chr22(shared, folder):
    """Object of the pipeline's elements and genes; elements are named ``class|chr22:start-end`` there."""
    data = shared / "data/abc_chr22" / folder / "Neighborhoods"
    genes = table_of(data / "GeneList.txt.gz")[["chr", "start", "end", "strand", "symbol", "tss"]]
    mdata = er.pp.assemble(
        genes=genes.rename(columns={"symbol": "gene_id", "chr": "chrom"}),
        enhancers=er.io.read_bed(data / "EnhancerList.bed.gz"),
        samples="K562",
        genome=shared / "data/genome/hg38.partial.fa.gz",
    )
    er.pp.classify(mdata)
    return mdata


def read_counts(path):
    table = er.io.read_bed(path)
    names = table["Chromosome"] + ":" + table["Start"].astype(str) + "-" + table["End"].astype(str)
    return pd.Series(table.iloc[:, 3].to_numpy(dtype=float), index=names)


@pytest.fixture(scope="module")
def normalised(shared):
    """K562 with DNase and H3K27ac counts, quantile-normalised activity."""
    mdata = chr22(shared, "K562_chr22")
    folder = shared / "data/abc_chr22/K562_chr22/Neighborhoods"
    for assay, pattern in (("DNase", "Enhancers.DHS.*bedgraph.gz"), ("H3K27ac", "Enhancers.H3K27ac.*bedgraph.gz")):
        (path,) = folder.glob(pattern)
        er.pp.add_signal(mdata, {"K562": read_counts(path)}, assay=assay)
    reference = shared / "data/abc_chr22/EnhancersQNormRef.K562.txt.gz"
    totals = {"DNase": 379_428, "H3K27ac": 113_284}
    er.pp.activity(mdata, totals=totals, quantile_reference=reference)
    er.pp.activity(mdata, assays=["DNase"], totals={"DNase": 379_428}, quantile_reference=reference, key_added="dhs")
    return mdata


@pytest.fixture(scope="module")
def predictions(shared):
    """Pairs that the pipeline predicted with a Hi-C map."""
    return table_of(
        shared / "data/abc_chr22/K562_chr22/Predictions/EnhancerPredictionsFull_threshold0.027_self_promoter.tsv.gz"
    )


class TestQuantiles:
    def test_activity_of_every_element_in_the_table(self, normalised, predictions):
        elements = predictions.drop_duplicates("name")
        assert len(elements) == 1_191
        names = elements["name"].str.split("|").str[1]
        place = normalised["enhancers"].var_names.get_indexer(names)
        ours = normalised["enhancers"].layers["activity"][0, place]
        np.testing.assert_allclose(ours, elements["activity_base"], rtol=1e-6)
        dhs = normalised["enhancers"].layers["dhs"][0, place]
        np.testing.assert_allclose(dhs, elements["normalized_dhs"], rtol=1e-6)

    def test_what_was_done_is_kept(self, normalised):
        record = normalised.uns["eregtools"]["activity"]["activity"]
        assert record["quantile_reference"] == "EnhancersQNormRef.K562.txt.gz"
        assert record["promoters_apart"]
        validate(normalised)

    def test_accessibility_of_atac_takes_that_of_dnase(self, shared):
        mdata = chr22(shared, "K562_chr22_tagAlign")
        expected = table_of(shared / "data/abc_chr22/K562_chr22_tagAlign/Neighborhoods/EnhancerList.txt.gz")
        names = expected["chr"] + ":" + expected["start"].astype(str) + "-" + expected["end"].astype(str)
        er.pp.add_signal(mdata, {"K562": pd.Series(expected["ATAC.RPM"].to_numpy(), index=names)}, assay="ATAC")
        reference = shared / "data/abc_chr22/EnhancersQNormRef.K562.txt.gz"
        er.pp.activity(mdata, assays=["ATAC"], quantile_reference=reference)
        ours = pd.Series(mdata["enhancers"].layers["activity"][0], index=mdata["enhancers"].var_names)[names]
        np.testing.assert_allclose(ours, expected["activity_base"], rtol=1e-6)

    @pytest.fixture
    def reference(self):
        return pd.DataFrame(
            {
                "enh_class": ["any"] * 2 + ["promoter"] * 2 + ["nonpromoter"] * 2,
                "rank": [3, 1, 2, 1, 2, 0],
                "DHS.RPM": [4.0, 8.0, 50.0, 60.0, 1.0, 3.0],
            }
        )

    def test_classes_are_ranked_apart_where_there_are_any(self, reference):
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": np.array([5.0, 1, 2, 7])}, assay="DNase")
        er.pp.activity(mdata, assays=["DNase"], quantile_reference=reference)
        # ranks 1, 3, 2, 0 on the line 10 - 2 · rank
        np.testing.assert_allclose(mdata["enhancers"].layers["activity"], [[8, 4, 6, 10]])
        mdata["enhancers"].var["class"] = pd.Categorical(["promoter", "promoter", "genic", "intergenic"])
        er.pp.activity(mdata, assays=["DNase"], quantile_reference=reference)
        np.testing.assert_allclose(mdata["enhancers"].layers["activity"], [[70, 60, 2, 3]])

    def test_each_sample_ranks_its_own_candidates(self, reference):
        mdata = three_genes(["a", "b"])
        mdata["enhancers"].layers["candidate"][1] = [1, 0, 0, 1]
        er.pp.add_signal(mdata, {"a": np.arange(4.0), "b": np.arange(4.0)}, assay="DNase")
        er.pp.activity(mdata, assays=["DNase"], quantile_reference=reference)
        np.testing.assert_allclose(mdata["enhancers"].layers["activity"], [[4, 6, 8, 10], [8, np.nan, np.nan, 10]])

    def test_equal_values_stay_equal_and_nothing_is_negative(self):
        found = quantile_normalise(np.array([1.0, 5, 1, 9]), np.array([0.0, 1]), np.array([3.0, 2]))
        assert found.tolist() == [0.5, 2, 0.5, 3]
        assert quantile_normalise(np.zeros(9), np.array([0.0, 1]), np.array([3.0, 2])).tolist() == [0] * 9

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda t: t.drop(columns="rank"), "expected the columns enh_class, rank"),
            (lambda t: t.drop(columns="DHS.RPM"), "expected the columns"),
            (lambda t: t.iloc[:0], "no rows"),
            (lambda t: t.iloc[2:], r"class 'any' has 0 row\(s\).*promoter, nonpromoter"),
            (lambda t: t.assign(**{"DHS.RPM": "a"}), "no numbers"),
            (lambda t: t.rename(columns={"DHS.RPM": "H3K27ac.RPM"}), r"no column for 'DNase' \(DNase.RPM, DHS.RPM\)"),
        ],
    )
    def test_references_of_another_shape(self, reference, change, message):
        mdata = three_genes()
        er.pp.add_signal(mdata, {"K562": np.ones(4)}, assay="DNase")
        with pytest.raises(ValueError, match=message):
            er.pp.activity(mdata, assays=["DNase"], quantile_reference=change(reference))
        assert "activity" not in mdata["enhancers"].layers


class TestScaling:
    def test_published_contacts(self, predictions):
        # the table has six decimals, of contacts up to 1
        ours = scaled_contact(predictions["hic_contact"].to_numpy(), predictions["distance"].to_numpy())
        np.testing.assert_allclose(ours, predictions["hic_contact_pl_scaled_adj"], rtol=0, atol=1e-5)
        scaled = scaled_contact(
            predictions["hic_contact"].to_numpy(), predictions["distance"].to_numpy(), pseudocount=False
        )
        np.testing.assert_allclose(scaled, predictions["hic_contact_pl_scaled"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(ours - scaled, predictions["hic_pseudocount"], rtol=0, atol=1e-6)

    def test_in_the_object(self, shared, predictions):
        mdata = chr22(shared, "K562_chr22")
        er.pp.link(mdata, max_distance=predictions["distance"].max(), min_distance=0, inclusive="both")
        names = predictions["name"].str.split("|").str[1] + "|" + predictions["TargetGene"]
        contact = pd.Series(predictions["hic_contact"].to_numpy(), index=names)
        er.pp.add_contacts(mdata, contact, scale_by_powerlaw=True, pseudocount=True)
        ours = mdata["links"].layers["contact"][0, mdata["links"].var_names.get_indexer(names)]
        np.testing.assert_allclose(ours, predictions["hic_contact_pl_scaled_adj"], rtol=0, atol=1e-5)
        record = mdata.uns["eregtools"]["contacts"]
        assert record["counts"].loc["K562", ["measured", "source"]].tolist() == [1_353, "values"]
        assert record["scale_by_powerlaw"]
        validate(mdata)

    def test_what_was_not_measured_is_scaled_like_the_rest(self):
        mdata = three_genes()
        er.pp.link(mdata)
        er.pp.add_contacts(mdata)
        law = mdata["links"].layers["contact"].copy()
        er.pp.add_contacts(mdata, scale_by_powerlaw=True, pseudocount=True)
        expected = scaled_contact(law, mdata["links"].var["distance"].to_numpy())
        np.testing.assert_allclose(mdata["links"].layers["contact"], expected, rtol=1e-6)
        er.pp.add_contacts(mdata, np.full(mdata["links"].n_vars, np.nan), fallback=None, pseudocount=True)
        assert np.isnan(mdata["links"].layers["contact"]).all()


class TestContactFiles:
    """A map of two chromosomes at 1 kb, whose counts are known."""

    @pytest.fixture
    def cool(self, tmp_path):
        import cooler

        bins = pd.DataFrame(
            {
                "chrom": ["chr1"] * 20 + ["chr2"] * 10,
                "start": [*range(0, 20_000, 1_000), *range(0, 10_000, 1_000)],
            }
        )
        bins["end"] = bins["start"] + 1_000
        rng = np.random.default_rng(0)
        one, two = np.triu_indices(20)
        pixels = pd.DataFrame({"bin1_id": one, "bin2_id": two, "count": rng.integers(1, 50, len(one))})
        path = tmp_path / "map.cool"
        cooler.create_cooler(str(path), bins, pixels)  # nothing on chr2
        dense = np.zeros((20, 20))
        dense[one, two] = dense[two, one] = pixels["count"]
        return path, dense

    def test_contacts_are_frequencies_with_the_law_where_there_are_none(self, cool, caplog):
        path, dense = cool
        mdata = three_genes(["a", "b"])
        er.pp.link(mdata, min_distance=0, inclusive="left")
        er.pp.add_contacts(mdata, {"b": path}, resolution=1_000)
        links = mdata["links"]
        assert "has no contact on chr2" in caplog.text
        mean = dense.sum(axis=0).mean()
        for number, (gene, enhancer) in enumerate(zip(links.var["gene"], links.var["enhancer"], strict=True)):
            found = links.layers["contact"][1, number]
            if gene == "g3":
                assert found == links.layers["contact"][0, number]  # power law
                continue
            element = mdata["enhancers"].var.loc[enhancer]
            i, j = (element["Start"] + element["End"]) // 2_000, mdata["genes"].var.loc[gene, "tss"] // 1_000
            np.testing.assert_allclose(found, dense[i, j] / mean, rtol=1e-6)
        counts = mdata.uns["eregtools"]["contacts"]["counts"]
        assert counts.loc["b"].tolist() == [6, "map.cool", "frequency", "NONE", 1_000]
        assert counts.loc["a"].tolist() == [0, "none", "none", "none", 0]
        validate(mdata)

    def test_counts_of_the_file(self, cool):
        path, dense = cool
        mdata = three_genes(["a", "b"])
        er.pp.link(mdata)
        with pytest.raises(ValueError, match="two units"):
            er.pp.add_contacts(mdata, path, resolution=1_000, unit="file")
        er.pp.add_contacts(mdata, path, resolution=1_000, unit="file", fallback=None)
        links = mdata["links"]
        np.testing.assert_array_equal(links.layers["contact"][0], links.layers["contact"][1])
        one = links.var_names.get_loc("chr1:4500-5000|g1")
        assert links.layers["contact"][0, one] == dense[4, 6]
        assert np.isnan(links.layers["contact"][0, (links.var["gene"] == "g3").to_numpy()]).all()
        assert mdata.uns["eregtools"]["contacts"]["counts"].loc["a", "unit"] == "counts"

    def test_the_diagonal_is_the_greater_neighbour(self, cool, shared):
        path, dense = cool
        band = er.io.contacts.read_contacts(path, chromosome="chr1", resolution=1_000)
        assert mean_row_sum(band) == pytest.approx(dense.sum(axis=0).mean())
        found = frequency(band, np.array([0, 7_900, 19_999]), np.array([999, 7_000, 19_000])) * mean_row_sum(band)
        np.testing.assert_allclose(found, [dense[0, 1], max(dense[7, 6], dense[7, 8]), dense[19, 18]])

    def test_the_published_diagonal_is_the_greater_neighbour(self, predictions):
        element = ((predictions["start"] + predictions["end"]) // 2 // 5_000).to_numpy()
        tss = (predictions["TargetGeneTSS"] // 5_000).to_numpy()
        ends = zip(np.minimum(element, tss), np.maximum(element, tss), strict=True)
        contact = dict(zip(ends, predictions["hic_contact"], strict=True))
        checked = [
            (value, max(contact[i - 1, i], contact[i, i + 1]))
            for (i, j), value in contact.items()
            if i == j and (i - 1, i) in contact and (i, i + 1) in contact
        ]
        assert len(checked) == 66
        assert all(abs(diagonal - neighbour) < 2e-6 for diagonal, neighbour in checked)

    def test_a_real_hic_file(self, shared):
        pytest.importorskip("hictkpy")
        path = shared / "data/hic_small/test_chr22.hg19.hic"
        var = shared / "data/abc_chr22/K562_chr22/Neighborhoods"
        genes = table_of(var / "GeneList.txt.gz")[["chr", "strand", "symbol", "tss"]].iloc[200:240]
        mdata = er.pp.assemble(
            genes=genes.rename(columns={"symbol": "gene_id", "chr": "chrom"}),
            enhancers=er.io.read_bed(var / "EnhancerList.bed.gz"),
            samples="K562",
            genome=shared / "data/genome/hg38.partial.fa.gz",
        )
        er.pp.link(mdata)
        with pytest.raises(ValueError, match="assembly"):
            er.pp.add_contacts(mdata, path)
        del mdata.uns["eregtools"]["chrom_sizes"]  # positions are not those of the map, which serves as any other
        with pytest.raises(ValueError, match="'KR' has no value on chr22"):
            er.pp.add_contacts(mdata, path, normalization="KR")
        er.pp.add_contacts(mdata, path)
        measured = mdata["links"].layers["contact"][0]
        counts = mdata.uns["eregtools"]["contacts"]["counts"].loc["K562"]
        assert counts[["source", "normalization"]].tolist() == ["test_chr22.hg19.hic", "VC_SQRT"]
        assert 0 < counts["measured"] <= mdata["links"].n_vars
        assert (measured >= 0).all()
        assert measured.max() < 1

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"resolution": 5_000}, ValueError, "no resolution 5000"),
            ({"resolution": 1_000, "normalization": "KR"}, ValueError, "KR"),
            ({"unit": "counts"}, ValueError, "unit='counts'"),
            ({"fallback": "mean"}, ValueError, "fallback"),
        ],
    )
    def test_bad_options(self, cool, arguments, error, message):
        mdata = three_genes()
        er.pp.link(mdata)
        with pytest.raises(error, match=message):
            er.pp.add_contacts(mdata, cool[0], **arguments)
        assert "contact" not in mdata["links"].layers

    def test_files_of_other_chromosomes_and_no_files(self, cool, tmp_path):
        mdata = three_genes()
        er.pp.link(mdata)
        mdata.uns["eregtools"]["chrom_sizes"].loc["chr1", "length"] = 21_000
        with pytest.raises(ValueError, match="assembly"):
            er.pp.add_contacts(mdata, cool[0], resolution=1_000)
        with pytest.raises(FileNotFoundError, match=r"none\.hic"):
            er.pp.add_contacts(mdata, {"K562": tmp_path / "none.hic"})


@pytest.fixture(scope="module")
def scored(shared):
    """K562 with ATAC activity of the pipeline and the power law, scored at its threshold."""
    mdata = chr22(shared, "K562_chr22_tagAlign")
    elements = table_of(shared / "data/abc_chr22/K562_chr22_tagAlign/Neighborhoods/EnhancerList.txt.gz")
    names = elements["chr"] + ":" + elements["start"].astype(str) + "-" + elements["end"].astype(str)
    er.pp.add_signal(mdata, {"K562": pd.Series(elements["activity_base"].to_numpy(), index=names)}, assay="ATAC")
    er.pp.activity(mdata, assays=["ATAC"])
    er.pp.link(mdata, max_distance=5_000_000, min_distance=0, inclusive="left")
    er.pp.add_contacts(mdata)
    er.tl.abc(mdata, threshold=0.013)
    return mdata


class TestScores:
    def test_all_published_pairs(self, scored, shared):
        folder = shared / "data/abc_chr22/K562_chr22_tagAlign/Predictions"
        published = table_of(folder / "EnhancerPredictionsFull_threshold0.013_self_promoter.tsv.gz")
        names = pd.Index(published["name"].str.split("|").str[1] + "|" + published["TargetGene"])
        links = scored["links"]
        assert (scored["enhancers"].n_vars, scored["genes"].n_vars, len(published)) == (15_010, 517, 3_793)
        assert set(links.var_names[links.layers["abc_predicted"][0] > 0]) == set(names)
        place = links.var_names.get_indexer(names)
        score, numerator = (links.layers[name][0, place] for name in ("abc", "abc_numerator"))
        np.testing.assert_allclose(numerator, published["ABC.Score.Numerator"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(score, published["ABC.Score"], rtol=0, atol=1e-6)
        own = links.var["self_promoter"].to_numpy()
        np.testing.assert_array_equal(own[place], published["isSelfPromoter"])
        assert own.sum() == 588
        assert (links.layers["abc"][0, own] == 1).all()

    def test_the_object_is_valid_and_says_how(self, scored):
        validate(scored)
        np.testing.assert_array_equal(scored["links"].X, scored["links"].layers["abc"])
        assert scored.uns["eregtools"]["results"]["links:abc"].loc["0", "threshold"] == 0.013


class TestScoresOfFewGenes:
    @pytest.fixture
    def mdata(self):
        mdata = three_genes(["a", "b"])
        er.pp.add_signal(mdata, {"a": [1.0, 2, 3, 4], "b": [0.0, 5, 0, 0]}, assay="DNase")
        er.pp.activity(mdata, assays=["DNase"])
        mdata["enhancers"].layers["candidate"][0, 2] = 0
        er.pp.link(mdata)
        er.pp.add_contacts(mdata, np.linspace(1, 2, mdata["links"].n_vars))
        return mdata

    def test_shares_are_those_of_the_sample(self, mdata):
        er.tl.abc(mdata)
        links = mdata["links"]
        gene = links.var["gene"].astype(str).to_numpy()
        activity = mdata["enhancers"].layers["activity"][
            :, mdata["enhancers"].var_names.get_indexer(links.var["enhancer"])
        ]
        product = np.where(links.layers["candidate"] > 0, activity * links.layers["contact"], np.nan)
        for row in range(2):
            for name in ("g1", "g2", "g3"):
                mine = gene == name
                total = np.nansum(product[row, mine])
                expected = product[row, mine] / total if total else product[row, mine]
                np.testing.assert_allclose(links.layers["abc"][row, mine], expected, rtol=1e-6)
        assert np.isnan(links.layers["abc"]).any()
        assert not links.var["self_promoter"].any()
        validate(mdata)

    def test_one_sample_leaves_the_other(self, mdata):
        er.tl.abc(mdata, sample="b")
        assert np.isnan(mdata["links"].layers["abc"][0]).all()
        before = mdata["links"].layers["abc"][1].copy()
        er.tl.abc(mdata, sample="a")
        np.testing.assert_array_equal(mdata["links"].layers["abc"][1], before)
        assert not np.isnan(mdata["links"].layers["abc"][0]).all()
        assert list(mdata.uns["eregtools"]["results"]["links:abc"]["sample"]) == ["b", "a"]

    def test_promoters_of_other_genes_are_not_predicted(self, mdata):
        mdata["enhancers"].var["class"] = pd.Categorical(["promoter", "intergenic", "intergenic", "intergenic"])
        er.tl.abc(mdata, threshold=1e-9, tss_window=1_001, key_added="score")
        links = mdata["links"]
        own = links.var["self_promoter"]
        assert list(own.index[own]) == ["chr1:4500-5000|g1"]
        predicted = links.layers["score_predicted"]
        of_promoter = (links.var["enhancer"] == "chr1:4500-5000").to_numpy()
        np.testing.assert_array_equal(predicted[:, of_promoter & ~own], 0)
        np.testing.assert_array_equal(predicted[:, own.to_numpy()], 1)
        np.testing.assert_array_equal(links.layers["score"][:, own.to_numpy()], 1)
        assert predicted[0, ~of_promoter].sum() == (links.layers["score"][0, ~of_promoter] > 0).sum()

    def test_what_is_missing_is_named(self, mdata):
        with pytest.raises(KeyError, match=r"er\.pp\.classify"):
            er.tl.abc(mdata, threshold=0.1)
        with pytest.raises(KeyError, match=r"er\.pp\.activity"):
            er.tl.abc(mdata, activity="none")
        with pytest.raises(KeyError, match=r"er\.pp\.add_contacts"):
            er.tl.abc(mdata, contact="none")
        with pytest.raises(ValueError, match="threshold"):
            er.tl.abc(mdata, threshold=0)
        with pytest.raises(KeyError, match="HeLa"):
            er.tl.abc(mdata, sample="HeLa")
        assert "abc" not in mdata["links"].layers

    def test_unknown_activity_is_left_out_of_the_sum(self, mdata, caplog):
        mdata["enhancers"].layers["activity"][1, 1] = np.nan
        new = er.tl.abc(mdata, copy=True)
        lost = (new["links"].var["enhancer"] == "chr1:8000-8500").to_numpy()
        assert np.isnan(new["links"].layers["abc"][1, lost]).all()
        assert (new["links"].layers["abc"][1, ~lost] == 0).all()
        assert "not known" in caplog.text
        assert "abc" not in mdata["links"].layers
