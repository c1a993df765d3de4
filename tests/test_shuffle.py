"""Dinucleotide-preserving shuffles, and predictions from them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eregtools as er
from eregtools.batches.encode import PADDING
from eregtools.batches.shuffle import dinucleotide_shuffle
from eregtools.models import EPInformerSeq, EPInformerSeqConfig
from motif_world import CHANNELS, EXPRESSION, expression_models, make_motif_world
from networks import randomised


def shuffled(codes, names=None, seed=0):
    codes = np.asarray(codes, dtype=np.uint8)
    return dinucleotide_shuffle(codes, [f"s{i}" for i in range(len(codes))] if names is None else names, seed)


def pairs(row):
    return Counter(zip(row[:-1].tolist(), row[1:].tolist(), strict=True))


letters = st.one_of(
    st.lists(st.integers(0, 4), max_size=60),
    st.lists(st.sampled_from([0, 1]), min_size=2, max_size=60),
    st.builds(lambda unit, n, end: unit * n + end, st.lists(st.integers(0, 4), min_size=1, max_size=3),
              st.integers(1, 25), st.lists(st.integers(0, 4), max_size=3)),
)  # fmt: skip


@given(st.lists(st.tuples(letters, st.integers(0, 5)), min_size=1, max_size=5), st.integers(0, 2**63))
def test_ends_and_dinucleotides_stay_and_padding_does_not_move(sequences, seed):
    width = max(len(text) + left for text, left in sequences) + 2
    codes = np.full((len(sequences), width), PADDING, dtype=np.uint8)
    for row, (text, left) in zip(codes, sequences, strict=True):
        row[left : left + len(text)] = text
    before = codes.copy()
    after = shuffled(codes, seed=seed)
    assert np.array_equal(codes, before)
    assert np.array_equal(after == PADDING, codes == PADDING)
    for old, new in zip(codes, after, strict=True):
        assert pairs(old) == pairs(new)  # with the flanks: first and last letter too


def every_order(text):
    """All sequences with the dinucleotides of a text and its first letter, by trying."""
    found = set()

    def extend(path, left):
        if not left:
            found.add(bytes(path))
        for edge in [e for e in left if e[0] == path[-1]]:
            extend([*path, edge[1]], left - Counter([edge]))

    extend([text[0]], pairs(np.array(text)))
    return found


@pytest.mark.parametrize("text", [[0, 1, 0, 2, 0, 0, 1, 2, 1, 0], [3, 0, 3, 1, 3, 0, 1, 0, 3], [0, 4, 0, 1, 4, 1, 0]])
def test_all_orders_are_equally_likely(text):
    possible = every_order(text)
    n = 400 * len(possible)
    found = Counter(map(bytes, shuffled(np.tile(text, (n, 1)))))
    assert set(found) == possible
    assert len(possible) > 5
    chi2 = sum((count - 400) ** 2 / 400 for count in found.values())
    df = len(possible) - 1
    assert chi2 < df + 4 * np.sqrt(2 * df)


def test_repeats_from_which_one_exit_leads_are_shuffled():
    """A letter's only way to the end is one edge among hundreds: rejection would take as many trials."""
    text = np.array([0, 1] * 400 + [0, 2] + [3] * 50 + [2, 1, 1], dtype=np.uint8)
    after = shuffled(np.tile(text, (20, 1)))
    assert all(pairs(row) == pairs(text) for row in after)
    assert len({bytes(row) for row in after}) == 20


def test_a_sequence_is_shuffled_by_its_name_and_the_seed_alone():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, (30, 80)).astype(np.uint8)
    codes[:10, :20] = PADDING
    codes[5:15, 60:] = PADDING
    names = [f"chr1:{i}" for i in range(30)]
    together = shuffled(codes, names, seed=7)
    order = rng.permutation(30)
    assert np.array_equal(shuffled(codes[order], [names[i] for i in order], seed=7), together[order])
    for i in (0, 7, 12, 29):
        assert np.array_equal(shuffled(codes[[i]], [names[i]], seed=7)[0], together[i])
    wider = np.pad(codes, ((0, 0), (3, 9)), constant_values=PADDING)
    assert np.array_equal(shuffled(wider, names, seed=7)[:, 3:-9], together)
    assert (shuffled(codes, names, seed=8) != together).any(axis=1).all()
    assert (shuffled(codes, names[::-1], seed=7) != together).any(axis=1).all()
    assert (together != codes).any(axis=1).all()


def test_what_has_no_other_order():
    assert shuffled(np.empty((0, 10))).shape == (0, 10)
    few = [[5, 5, 5, 5], [5, 2, 5, 5], [5, 0, 1, 5], [3, 1, 0, 5], [0, 0, 0, 0]]
    assert shuffled(few).tolist() == few


def test_refused():
    with pytest.raises(ValueError, match=r"padding .* stands between letters"):
        shuffled([[0, 1, 5, 2, 3]])
    with pytest.raises(ValueError, match="there are 1 names for 2 sequences"):
        shuffled(np.zeros((2, 8)), ["a"])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return make_motif_world(tmp_path_factory.mktemp("motifs"), n_chromosomes=2, n_blocks=6)


@pytest.fixture
def mdata(built):
    return built.copy()


@pytest.fixture(scope="module")
def encoder():
    config = EPInformerSeqConfig(hidden=16, tower_channels=CHANNELS)
    return randomised(EPInformerSeq(config))


def with_shuffled_sequence(mdata, seed, folder):
    """The genome with each promoter and each element shuffled in its place."""
    genome = er.genome.get_genome("motif-world")
    texts = {name: list(genome.sequence(name, 0, size)) for name, size in genome.chrom_sizes.items()}
    half = EXPRESSION.window // 2
    for modality, start, end in (("genes", -half, half), ("enhancers", 0, 0)):
        for name, about in mdata[modality].var.iterrows():
            first, last = (
                (about["tss"] + start, about["tss"] + end) if modality == "genes" else (about["Start"], about["End"])
            )
            chrom = str(about["Chromosome"])
            codes = genome.codes([chrom], [first], last - first)
            texts[chrom][first:last] = ["ACGTN"[code] for code in shuffled(codes, [name], seed)[0]]
    path = folder / "shuffled.fa"
    path.write_text("".join(f">{name}\n{''.join(text)}\n" for name, text in texts.items()))
    return er.Genome(path, name="motif-world")


def test_expression_from_shuffled_sequence_is_that_of_a_genome_shuffled_in_place(mdata, tmp_path):
    models = expression_models((12, 1))
    er.tl.predict_expression(mdata, models, assay="RNA", shuffle=True, rng=5)
    found = mdata["genes"].layers["RNA_shuffled_pred"]
    assert "RNA_pred" not in mdata["genes"].layers
    elsewhere = with_shuffled_sequence(mdata, 5, tmp_path)
    er.tl.predict_expression(mdata, models, assay="RNA", genome=elsewhere)
    expected = mdata["genes"].layers["RNA_pred"]
    assert np.isfinite(found).all()
    assert np.allclose(found, expected, atol=1e-6)
    er.tl.predict_expression(mdata, models, assay="RNA")
    assert not np.allclose(found, mdata["genes"].layers["RNA_pred"], atol=1e-4)
    results = mdata.uns["eregtools"]["results"]
    assert set(results["genes:RNA_shuffled_pred"]["recipe"]) == {"legacy, dinucleotide-shuffled sequence (seed 5)"}
    assert set(results["genes:RNA_pred"]["recipe"]) == {"legacy"}


def test_shuffled_predictions_do_not_depend_on_the_batch_or_the_other_genes(mdata):
    models = expression_models((12, 1))
    er.tl.predict_expression(mdata, models, assay="RNA", shuffle=True)
    whole = mdata["genes"].to_df("RNA_shuffled_pred")
    part = er.pp.subset(mdata, genes=whole.columns[3:8].tolist())
    er.tl.predict_expression(part, models, assay="RNA", shuffle=True, rng=er.settings.seed, batch_size=1)
    again = part["genes"].to_df("RNA_shuffled_pred")
    assert np.allclose(again, whole[again.columns], atol=1e-6)
    er.tl.predict_expression(mdata, models, assay="RNA", shuffle=True, rng=1, key_added="other")
    assert not np.allclose(mdata["genes"].layers["other"], whole, atol=1e-4)


def test_activity_from_shuffled_sequence_is_that_of_a_genome_shuffled_in_place(mdata, encoder, monkeypatch):
    er.tl.predict_activity(mdata, encoder, shuffle=True, rng=5)
    found = mdata["enhancers"].to_df("activity_shuffled_pred").iloc[0]
    assert "activity_pred" not in mdata["enhancers"].layers
    genome = er.genome.get_genome("motif-world")
    from eregtools.models.device import pick_device
    from eregtools.models.inference import ActivityPredictor

    about = mdata["enhancers"].var
    codes = genome.codes(about["Chromosome"].astype(str).tolist(), about["Start"].to_numpy(), 256)
    expected = ActivityPredictor(encoder, pick_device("cpu"))(shuffled(codes, [f"{n}/0" for n in about.index], 5))
    assert np.allclose(found, expected, atol=1e-6)
    monkeypatch.setattr("eregtools.tl.activity._WINDOWS_PER_CHUNK", 7)
    er.tl.predict_activity(mdata, encoder, shuffle=True, rng=5, key_added="in_chunks")
    assert np.allclose(mdata["enhancers"].layers["in_chunks"][0], found, atol=1e-6)
    er.tl.predict_activity(mdata, encoder)
    assert not np.allclose(mdata["enhancers"].layers["activity_pred"][0], found, atol=1e-4)
    recipe = mdata.uns["eregtools"]["results"]["enhancers:activity_shuffled_pred"]["recipe"]
    assert set(recipe) == {"log2(0.1 + activity), center, dinucleotide-shuffled sequence (seed 5)"}


def test_tiles_of_shuffled_sequence_do_not_depend_on_the_chunk(mdata, encoder, monkeypatch):
    mdata["enhancers"].var["End"] += 300
    er.tl.predict_activity(mdata, encoder, window="tile", shuffle=True)
    whole = mdata["enhancers"].layers["activity_shuffled_pred"].copy()
    assert np.isfinite(whole).all()
    monkeypatch.setattr("eregtools.tl.activity._WINDOWS_PER_CHUNK", 4)
    er.tl.predict_activity(mdata, encoder, window="tile", shuffle=True)
    assert np.allclose(mdata["enhancers"].layers["activity_shuffled_pred"], whole, atol=1e-6)
