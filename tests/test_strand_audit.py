"""Strands of coverage against those of annotated genes."""

from __future__ import annotations

import numpy as np
import pytest

import eregtools as er
from eregtools._schema import validate
from eregtools.coverage import Coverage, recorded_coverage
from eregtools.pp.strand_audit import single_strand_exons
from erna_world import READ, SIZES, ErnaWorld, make_erna_world


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> ErnaWorld:
    return make_erna_world(tmp_path_factory.mktemp("erna"))


@pytest.fixture
def audited(world, tmp_path):
    mdata = world.object(["right", "wrong", "none", "single"])
    right = world.tracks("right")
    tracks = {
        "right": right,
        "wrong": right[::-1],
        "none": world.tracks("none", unstranded=True),
        "single": right[0],
    }
    er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", read_length=READ)
    before = {name: recorded_coverage(mdata).values(name, "chr1", 0, SIZES["chr1"]) for name in tracks}
    er.pp.strand_audit(mdata, world.gtf)
    return mdata, before


class TestAudit:
    def test_labels_are_confirmed_exchanged_or_given_up(self, audited, caplog):
        mdata, before = audited
        assert mdata.obs["strandedness"].tolist() == ["forward", "reverse", "unstranded", "unstranded"]
        assert mdata.obs["swapped"].tolist() == [False, True, False, False]
        right, wrong, none, single = mdata.obs["strand_fraction"]
        # of the 80 + 3 reads of the first exon and 80 of the others, and those of the body, 3 are antisense
        assert right > 0.95
        assert wrong == pytest.approx(1 - right)
        assert 0.4 < none < 0.6
        assert np.isnan(single)
        validate(mdata)
        coverage = recorded_coverage(mdata)
        after = {name: coverage.values(name, "chr1", 0, SIZES["chr1"]) for name in before}
        np.testing.assert_array_equal(after["right"], before["right"])
        np.testing.assert_array_equal(after["wrong"], before["right"])
        np.testing.assert_allclose(after["none"], np.tile(before["none"].sum(axis=0) / 2, (2, 1)))
        np.testing.assert_array_equal(after["single"], before["single"])

    def test_a_second_audit_finds_the_same(self, audited, world):
        mdata, _ = audited
        first = mdata.obs.copy()
        er.pp.strand_audit(mdata, world.gtf)
        assert mdata.obs.equals(first)

    def test_the_store_remembers(self, audited):
        mdata, _ = audited
        again = Coverage(mdata.uns["eregtools"]["coverage"]["path"])
        assert again.strandedness("wrong") == "reverse"
        assert again.fingerprint == recorded_coverage(mdata).fingerprint

    def test_warnings_say_what_was_done(self, world, tmp_path, caplog):
        mdata = world.object(["wrong"])
        tracks = {"wrong": world.tracks("w")[::-1]}
        er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", read_length=READ)
        er.pp.strand_audit(mdata, world.gtf)
        assert "plus and minus are exchanged" in caplog.text

    def test_too_few_genes_leave_the_labels(self, world, tmp_path, caplog):
        mdata = world.object(["wrong"])
        tracks = {"wrong": world.tracks("w")[::-1]}
        er.pp.add_coverage(mdata, tracks, folder=tmp_path / "c.zarr", read_length=READ)
        er.pp.strand_audit(mdata, world.gtf, min_genes=1_000)
        assert mdata.obs["strandedness"].tolist() == ["forward"]
        assert "not audited" in caplog.text


class TestExons:
    def test_nothing_of_the_other_strand_and_whole_bins(self, tmp_path, audited):
        gtf = tmp_path / "x.gtf"
        rows = [
            ("exon", 1_000, 3_000, "+", "a"),
            ("exon", 2_000, 2_404, "-", "b"),
            ("exon", 2_800, 2_900, "-", "b"),
            ("exon", 1_500, 3_100, "+", "a"),
            ("exon", 9_000, 9_007, "+", "c"),
        ]
        gtf.write_text(
            "".join(
                f'chr1\tx\t{kind}\t{start + 1}\t{end}\t.\t{strand}\t.\tgene_id "{gene}";\n'
                for kind, start, end, strand, gene in rows
            )
        )
        exons = single_strand_exons(gtf, recorded_coverage(audited[0]))
        # the body of b, its intron too, is taken out of a; a of b; c holds no whole bin
        assert exons[["Start", "End", "Strand"]].values.tolist() == [[1_000, 2_000, "+"], [2_904, 3_096, "+"]]

    def test_annotation_that_cannot_tell(self, audited, tmp_path):
        mdata, _ = audited
        for name, text, message in (
            (
                "genes",
                'chr1\tx\tgene\t1\t900\t.\t+\t.\tgene_id "a";\n',
                "so no strand audit was possible",
            ),
            ("elsewhere", 'chr7\tx\texon\t1\t900\t.\t+\t.\tgene_id "a";\n', "none of its exons is on a chromosome"),
            ("strandless", 'chr1\tx\texon\t1\t900\t.\t.\t.\tgene_id "a";\n', "no exon has a strand"),
            (
                "opposed",
                'chr1\tx\texon\t1\t900\t.\t+\t.\tgene_id "a";\nchr1\tx\texon\t1\t900\t.\t-\t.\tgene_id "b";\n',
                "every exon has a gene on the other strand",
            ),
        ):
            path = tmp_path / f"{name}.gtf"
            path.write_text(text)
            with pytest.raises(ValueError, match=message):
                er.pp.strand_audit(mdata, path)
