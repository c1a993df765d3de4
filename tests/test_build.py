"""From one YAML file to the object, and what a configuration is refused for."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
import yaml

import eregtools as er
from command_line import simulated_study
from eregtools import build
from eregtools._configuration import read_configuration
from eregtools._schema import validate


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return simulated_study(tmp_path_factory.mktemp("study") / "files")


@pytest.fixture(scope="module")
def mdata(study):
    return build.build(study)


def variant(study, tmp_path, **changes):
    """Write the example with other values, its paths absolute, ``None`` taking a key out."""
    content = yaml.safe_load(build.example())
    content = {key: value for key, value in (content | changes).items() if value is not None}
    text = yaml.safe_dump(content, sort_keys=False)
    for name in sorted({path.name for path in study.parent.iterdir()}, key=len, reverse=True):
        text = re.sub(rf"(?<![\w/]){re.escape(name)}", str(study.parent / name), text)
    path = tmp_path / "changed.yaml"
    path.write_text(text)
    return path


def refused(path, error=ValueError):
    with pytest.raises(error) as caught:
        build.read_config(path)
    message = str(caught.value.args[0])
    assert "\n" not in message
    return message


class TestObject:
    def test_the_example_builds_what_the_functions_do(self, study, mdata):
        files = study.parent
        by_hand = er.pp.assemble(
            genes=files / "genes.gtf", enhancers=files / "peaks.narrowPeak", samples=["sim"], genome=files / "genome.fa"
        )
        tracks = {"DNase": "DNase.bw", "H3K27ac": ["H3K27ac_rep1.bw", "H3K27ac_rep2.bw"]}
        for assay, names in tracks.items():
            paths = files / names if isinstance(names, str) else [files / name for name in names]
            for modality in ("enhancers", "genes"):
                er.pp.add_signal(by_hand, {"sim": paths}, assay=assay, modality=modality)
        totals = {"DNase": 3e7, "H3K27ac": [3e7, 3e7]}
        er.pp.activity(by_hand, totals=totals)
        er.pp.promoter_activity(by_hand, totals=totals)
        er.pp.link(by_hand, max_enhancers=60)
        er.pp.add_contacts(by_hand, files / "contacts.cool", unit="file", fallback=None)
        for modality, layers in {
            "enhancers": ["activity", "DNase", "H3K27ac_rep2"],
            "genes": ["promoter_activity"],
            "links": ["contact", "candidate"],
        }.items():
            assert mdata[modality].var_names.tolist() == by_hand[modality].var_names.tolist()
            for layer in layers:
                np.testing.assert_array_equal(mdata[modality].layers[layer], by_hand[modality].layers[layer])
        assert set(mdata["enhancers"].var["class"]) <= {"promoter", "genic", "intergenic"}
        assert mdata["genes"].layers["RNA"].std() == pytest.approx(1, abs=1e-3)
        assert mdata["genes"].varm["mrna_features"].shape == (60, 8)
        assert mdata["genes"].var["fold"].value_counts().to_dict() == {1: 15, 2: 15, 3: 15, -1: 15}

    def test_it_is_valid_and_says_where_it_is_from(self, study, mdata, tmp_path):
        validate(mdata)
        er.io.write(mdata, tmp_path / "x.h5mu")
        assert er.io.read(tmp_path / "x.h5mu").uns["eregtools"]["build"] == study.read_text()
        assert mdata.uns["eregtools"]["genome"] == "simulated"

    def test_what_is_commented_out_works_too(self, study, tmp_path):
        files = study.parent
        table = pd.read_csv(files / "truth_links.tsv", sep="\t")
        place = table["enhancer"].str.extract(r"(chr\d+):(\d+)-(\d+)")
        genes = pd.read_csv(files / "truth_genes.tsv", sep="\t").drop_duplicates("gene_id").set_index("gene_id")
        scores = pd.DataFrame(
            {
                "#chr": place[0],
                "start": place[1],
                "end": place[2],
                "TargetGene": table["gene"],
                "TargetGeneEnsemblID": table["gene"],
                "TargetGeneTSS": 1,
                "CellType": "K562",
                "ENCODE-rE2G.Score": table["share"],
            }
        )
        assert genes.index.isin(table["gene"]).any()
        scores.to_csv(tmp_path / "scores.tsv", sep="\t", index=False)
        (tmp_path / "black.bed").write_text("chr1\t0\t60000\n")
        samples = yaml.safe_load(build.example())["samples"]
        samples["sim"] |= {"enhancers": "peaks.narrowPeak", "contacts": "contacts.cool", "biosample": "K562"}
        path = variant(
            study,
            tmp_path,
            enhancers=None,
            samples=samples,
            candidates={"n": 50, "width": 400, "blacklist": str(tmp_path / "black.bed")},
            contacts={"unit": "frequency", "fallback": "powerlaw", "gamma": 1.0},
            mrna_features={"gtf": "genes.gtf"},
            link_tables={"rE2G": {"path": str(tmp_path / "scores.tsv"), "format": "re2g", "statistic": "max"}},
        )
        mdata = build.build(path)
        elements, links = mdata["enhancers"].var, mdata["links"]
        assert len(elements) <= 50
        assert not ((elements["Chromosome"] == "chr1") & (elements["Start"] < 60_000)).any()
        assert mdata.uns["eregtools"]["contacts"]["gamma"] == 1.0
        assert mdata.uns["eregtools"]["mrna_features"]["source"] == "gtf"
        assert mdata.obs["biosample"].tolist() == ["K562"]
        share = table.assign(place=table["enhancer"]).set_index(["place", "gene"])["share"]
        scored = links.var[np.isfinite(links.layers["rE2G"][0])]
        assert len(scored) > 20
        kept = pd.Series(links.layers["rE2G"][0], links.var_names)[scored.index]
        assert kept.isin(share.astype(np.float32)).all()

    def test_without_tracks_there_is_no_activity(self, study, tmp_path):
        mdata = build.build(variant(study, tmp_path, samples={"sim": {}}, activity=None))
        assert [name for name in mdata["enhancers"].layers if name] == ["candidate"]
        assert "contact" in mdata["links"].layers


class TestConfiguration:
    def test_the_example_names_every_key(self):
        text = build.example()

        def keys(kind):
            for one in fields(kind):
                yield one.name
                yield from inner(get_type_hints(kind)[one.name])

        def inner(hint):
            if is_dataclass(hint):
                yield from keys(hint)
            for part in get_args(hint):
                yield from inner(part)

        missing = {name for name in keys(build.BuildConfig) if not re.search(rf"\b{name}:", text)}
        assert missing == set()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"genom": "x.fa"}, r"has the unknown key 'genom'; did you mean 'genome'\? There are genome, genes"),
            ({"links": {"max_distanse": 5}}, "links has the unknown key 'max_distanse'; did you mean 'max_distance'"),
            ({"links": {"max_distance": "far"}}, "links.max_distance is 'far'; expected a number"),
            ({"links": {"inclusive": "all"}}, "links.inclusive is 'all'; expected 'neither' or 'left' or 'right'"),
            ({"links": [1]}, "links is a list; expected the keys max_distance"),
            ({"samples": {}}, "samples names no biosample"),
            ({"samples": {"a": {"tracks": {"DNase": 3}}}}, r"samples.a.tracks.DNase is 3; expected a path or a list"),
            ({"samples": {True: {}}}, r"samples \(key\) is True; expected text"),
            ({"folds": {"one": {"test": ["chr1"]}}}, r"folds \(key\) is 'one'; expected a whole number"),
            ({"folds": {1: {"valid": ["chr1"]}}}, "folds.1 lacks test, which it needs"),
            ({"folds": "epinformer"}, "folds is 'epinformer'; expected 'epinformer12' or 'epipam8' or names"),
            ({"enhancers": None}, "there are no elements for sim; give enhancers for all, or in each of samples"),
            ({"genes": None}, "lacks genes, which it needs"),
            ({"mrna_features": {}}, "mrna_features: give table .* or gtf"),
            ({"genome": {}}, "genome: give path"),
            (
                {"link_tables": {"x": {"path": "expression.tsv", "format": "abc", "sample": "K562"}}},
                r"link_tables.x is of 'K562', which is none of the samples \(sim\)",
            ),
        ],
    )
    def test_faults_are_named(self, study, tmp_path, changes, message):
        path = variant(study, tmp_path, **changes)
        found = refused(path)
        assert re.search(message, found), found
        assert found.startswith(str(path))

    def test_missing_files_are_all_named(self, study, tmp_path):
        found = refused(variant(study, tmp_path, genes="none.gtf", contacts={"path": "none.cool"}), FileNotFoundError)
        assert "names 2 file(s) that are not there" in found
        assert "none.gtf" in found
        assert "none.cool" in found

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("genome: [", "is not YAML"),
            ("- a\n- b\n", "holds a list; expected lines of 'key: value'"),
            ("genes: a\ngenes: b\n", "line 2 is not YAML .*'genes' is there twice"),
            ("", "empty"),
            ("? [a, b]\n: c\n", "not YAML"),
            ("genome: !!python/object:os.system x\n", "not YAML"),
        ],
    )
    def test_files_that_are_no_configuration(self, tmp_path, text, message):
        (tmp_path / "c.yaml").write_text(text)
        assert re.search(message, refused(tmp_path / "c.yaml"))

    def test_faults_of_the_data_come_from_the_functions(self, study, tmp_path):
        samples = yaml.safe_load(build.example())["samples"]
        samples["sim"]["totals"] = {"DNase": 3e7, "ATAC": 1.0}
        with pytest.raises(KeyError, match=r"samples\.sim\.totals has 'ATAC', of which the biosample has no track"):
            build.build(variant(study, tmp_path, samples=samples))
        samples["sim"]["totals"] = {"DNase": "count"}
        with pytest.raises(ValueError, match=r"count is for BAM files, and DNase.bw is none"):
            build.build(variant(study, tmp_path, samples=samples))
        samples["sim"] |= {"totals": {}, "contacts": "contacts.cool"}
        with pytest.raises(ValueError, match="contacts are given for all"):
            build.build(variant(study, tmp_path, samples=samples))

    def test_numbers_as_people_write_them(self, tmp_path):
        (tmp_path / "c.yaml").write_text("max_distance: 1e5\nmin_distance: 2.5E3\n")
        rules = read_configuration(tmp_path / "c.yaml", build.LinkRules)
        assert (rules.max_distance, rules.min_distance) == (100_000, 2_500)
