"""EPInformer against the outputs of the original code (parity/epinformer)."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

import eregtools as er
from eregtools.batches.encode import PADDING, centred_windows, element_windows
from eregtools.batches.genes import GeneInputs, gene_inputs
from eregtools.models.epinformer import EPInformer, EPInformerSeq, EPInformerSeqConfig
from eregtools.models.inference import ActivityPredictor, FoldedTower, GenePredictor, KmerTables, SlotEncoder
from eregtools.models.recipes import get_recipe
from eregtools.tl.links import attention_score

EXPRESSION = (
    "pe_act_K562_CAGE_fold1",
    "pe_act_GM12878_RNA_fold1",
    "pe_act_hic_K562_RNA_fold1",
    "pe_act_hic_GM12878_RNA_fold1",
    "pe_act_hic_GM12878_CAGE_fold1",
    "pe_act_hic_K562_CAGE_KLF1test",
)
ACTIVITY = ("enh_K562_fold8", "enh_GM12878_fold1")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def oracle(shared):
    return shared / "parity" / "epinformer"


@pytest.fixture(scope="module")
def genes(oracle):
    return dict(np.load(oracle / "expression_models.npz"))


def load(oracle, name):
    return er.models.load_published(oracle / "checkpoints" / f"{name}.pt")


def unpadded(genes, features):
    """The oracle's padded genes as links by index."""
    padding = genes["padding_mask"]
    counts = (~padding[:, 1:]).sum(axis=1)
    link = np.arange(counts.sum())
    return GeneInputs(
        gene=np.arange(len(padding)),
        link=link,
        element=link,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        slot_features=features[:, 1:][~padding[:, 1:]],
        promoter_features=features[:, 0],
        gene_features=genes["rna9"],
    )


def test_every_checkpoint_has_the_stated_size_and_hash(oracle):
    manifest = json.loads((oracle / "manifest.json").read_text())["checkpoints"]
    assert set(manifest) == {*EXPRESSION, *ACTIVITY}
    for name, stated in manifest.items():
        model = load(oracle, name)
        assert sum(p.numel() for p in model.parameters()) == stated["n_params"]
        assert model.provenance["sha256"] == stated["sha256"]
        assert not model.training


@pytest.mark.parametrize("name", EXPRESSION)
@pytest.mark.parametrize("variant", ["raw", "log"])
def test_prediction_and_attention(oracle, genes, name, variant):
    features = genes.get(f"feat_{3 if 'hic' in name else 2}_{variant}")
    prefix = name if variant == "raw" else f"{name}/log10act"
    if features is None or f"{prefix}/pred" not in genes:
        pytest.skip("the original was not run with this variant")
    model = load(oracle, name)
    padding = genes["padding_mask"]
    codes = genes["codes"].astype(np.uint8)

    encoder = SlotEncoder(model, CPU)
    promoters, elements = encoder(codes[:, 0]), encoder(codes[:, 1:][~padding[:, 1:]])
    inputs = unpadded(genes, features)
    for batch_size in (None, 3):
        expression, attention = GenePredictor(model, CPU)(inputs, promoters, elements, batch_size=batch_size)
        assert np.abs(expression - genes[f"{prefix}/pred"]).max() <= 1e-5
        expected = genes[f"{prefix}/attn_promoter_row"][:, :, 1:][:, ~padding[:, 1:]]
        assert np.abs(attention - expected).max() <= 1e-5

    states = torch.zeros(*padding.shape, encoder.dim)
    states[:, 0] = promoters
    states[:, 1:][torch.from_numpy(~padding[:, 1:])] = elements
    with torch.inference_mode():
        out = model.interact(
            states, torch.from_numpy(features), torch.from_numpy(genes["rna9"]), torch.from_numpy(padding)
        )
    assert np.abs(out.promoter_states.numpy() - genes[f"{prefix}/promoter_after_layer"]).max() <= 1e-4


@pytest.mark.parametrize("name", ["pe_act_K562_CAGE_fold1", "pe_act_hic_K562_RNA_fold1"])
def test_embeddings(oracle, genes, name):
    model = load(oracle, name)
    real = ~genes["padding_mask"]
    codes = genes["codes"].astype(np.uint8)[real]
    embedded = SlotEncoder(model, CPU)(codes).numpy()
    assert np.abs(embedded - genes[f"{name}/seq_embedding"][real]).max() <= 1e-4
    features = genes["feat_3_raw" if "hic" in name else "feat_2_raw"][real]
    with torch.inference_mode():
        fused = model.fuse(torch.from_numpy(embedded), torch.from_numpy(features)).numpy()
    assert np.abs(fused - genes[f"{name}/fused"][real]).max() <= 1e-4


def test_plain_network_gives_the_same_as_the_fast_form(oracle, genes):
    name = "pe_act_hic_K562_RNA_fold1"
    model = load(oracle, name)
    rows = [3, 4, 5, 6, 7]  # genes with few enhancers: none, one, five, edge cases, a padded slot between real ones
    tensors = [torch.from_numpy(genes[key][rows]) for key in ("feat_3_raw", "rna9", "padding_mask")]
    codes = torch.from_numpy(genes["codes"].astype(np.uint8)[rows])[:, :8]
    with torch.inference_mode():
        out = model(codes, tensors[0][:, :8], tensors[1], tensors[2][:, :8])
    assert np.abs(out.expression.numpy() - genes[f"{name}/pred"][rows]).max() <= 1e-5


def test_full_attention_matrix_follows_from_the_promoter_row(oracle, genes):
    """The original's rows of enhancers hold two entries, promoter and self, that sum to one."""
    for name in ("pe_act_K562_CAGE_fold1", "pe_act_hic_K562_RNA_fold1"):
        full = genes[f"{name}/attn"]
        row = np.arange(1, full.shape[-1])
        two = full[..., row, 0] + full[..., row, row]
        assert np.allclose(two, 1, atol=1e-6)
        assert np.array_equal(full[..., 0, :], genes[f"{name}/attn_promoter_row"])


@pytest.mark.parametrize("name", ACTIVITY)
@pytest.mark.parametrize("tables", [True, False])
def test_activity(oracle, name, tables):
    stored = np.load(oracle / "enhancer_predictor.npz")
    codes = stored["codes"].astype(np.uint8)
    model = load(oracle, name)
    predictor = ActivityPredictor(model, CPU)
    if tables:
        predictor.tower.expect(10**9)
        assert isinstance(predictor.tower.tables, KmerTables)
    assert np.abs(predictor(codes) - stored[f"{name}/pred_N025"]).max() <= 1e-5
    assert (predictor.tower.tables is not None) == tables
    with torch.inference_mode():
        plain = model(torch.from_numpy(codes)).numpy()
        encoded = predictor.tower(torch.from_numpy(codes[:4])).transpose(1, 2).numpy()
    assert np.abs(plain - stored[f"{name}/pred_N025"]).max() <= 1e-5
    assert np.abs(encoded - stored[f"{name}/encoder_out_first4"]).max() <= 1e-4

    newer = EPInformerSeq(EPInformerSeqConfig(n_value=0.0)).eval()
    newer.load_state_dict(model.state_dict())
    assert np.abs(ActivityPredictor(newer, CPU)(codes) - stored[f"{name}/pred_N0"]).max() <= 1e-5


def test_attention_score_and_knock_outs(oracle):
    stored = np.load(oracle / "attention_perturbation.npz")
    model = load(oracle, "pe_act_hic_K562_CAGE_KLF1test")
    assert isinstance(model, EPInformer)
    codes = stored["codes"].astype(np.uint8)
    states = SlotEncoder(model, CPU)(codes)
    n = len(codes) - 1
    padding = torch.zeros(1 + n, 1 + n, dtype=torch.bool)
    padding[torch.arange(1, n + 1), torch.arange(1, n + 1)] = True  # row j: enhancer j knocked out
    with torch.inference_mode():
        out = model.interact(
            states.expand(n + 1, -1, -1),
            torch.from_numpy(stored["feat"]).expand(n + 1, -1, -1),
            torch.from_numpy(stored["rna9"]).expand(n + 1, -1),
            padding,
        )
    assert abs(float(out.expression[0]) - float(stored["pred_log10p1"])) <= 1e-5
    linear = 10 ** out.expression.numpy().astype(np.float64) - 1
    assert np.abs(linear[1:] / stored["perturbed_expr"] - 1).max() <= 1e-5
    score = attention_score(out.attention[:, 0, 1:].numpy(), np.array([0, n]))
    assert np.abs(score - stored["attention_score"]).max() <= 1e-5


@pytest.fixture(scope="module")
def encoding(oracle):
    return dict(np.load(oracle / "encoding.npz"))


@pytest.fixture(scope="module")
def encoding_genome(encoding, tmp_path_factory):
    letters = np.frombuffer(b"ACGTN", dtype=np.uint8)[np.minimum(encoding["genome_codes"], 4)].copy()
    low, high = encoding["lowercase_range"]
    letters[low:high] += 32
    path = tmp_path_factory.mktemp("genome") / "parity.fa"
    text = letters.tobytes().decode()
    path.write_text(">chrS\n" + "\n".join(text[i : i + 61] for i in range(0, len(text), 61)) + "\n")
    return er.Genome(path, name="parity")


@pytest.fixture(scope="module")
def encoding_table(encoding):
    columns = {key.removeprefix("table/"): encoding[key] for key in encoding if key.startswith("table/")}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def encoded(encoding_table, encoding_genome):
    table, genome = encoding_table, encoding_genome
    genes = table.drop_duplicates("TargetGene").set_index("TargetGene")
    genes = pd.DataFrame({"chrom": genes["chr"], "tss": genes["TargetGeneTSS"].astype(int)})
    elements = table.drop_duplicates(["start", "end"])
    elements = pd.DataFrame(
        {
            "chrom": elements["chr"],
            "start": elements["start"].astype(int),
            "end": elements["end"].astype(int),
            "activity": elements["activity_base"],
        }
    )
    elements.index = [f"{c}:{s}-{e}" for c, s, e in elements[["chrom", "start", "end"]].to_numpy()]
    mdata = er.pp.assemble(genes=genes, enhancers=elements.drop(columns="activity"), samples=["S"], genome=genome)
    er.pp.add_signal(mdata, {"S": elements["activity"]}, assay="activity")
    er.pp.link(mdata, inclusive="right")
    contact = table.copy()
    contact.index = [
        f"{c}:{int(s)}-{int(e)}|{g}" for c, s, e, g in table[["chr", "start", "end", "TargetGene"]].to_numpy()
    ]
    links = mdata["links"].var_names
    mdata["links"].layers["candidate"][0] = links.isin(contact.index)  # the original saw only its table's pairs
    er.pp.add_contacts(mdata, {"S": contact["hic_contact"].reindex(links)}, fallback=None)
    return mdata


@pytest.mark.parametrize("gene", ["G_mid", "G_left", "G_right", "G_dense"])
def test_original_encoder_through_the_object(encoding, encoding_genome, encoded, gene):
    """Sequence and features of the original encoder, from a FASTA and tables; ties in distance are its own."""
    table, enhancers = encoded["genes"].var, encoded["enhancers"].var
    recipe = get_recipe("legacy", n_slot_features=3, n_gene_features=0)
    inputs = gene_inputs(encoded, "S", recipe).take(np.flatnonzero(table.index == gene))
    expected = encoding[f"{gene}/codes"]
    promoter = centred_windows(encoding_genome, ["chrS"], table.loc[[gene], "tss"].to_numpy(), 2000)
    assert np.array_equal(promoter[0], expected[0])

    part = enhancers.iloc[inputs.element]
    codes = element_windows(
        encoding_genome, ["chrS"] * len(part), part["Start"].to_numpy(), part["End"].to_numpy(), 2000
    )
    n = len(codes)
    assert n == (expected[1:] != PADDING).any(axis=1).sum()

    def rows(codes, *features):
        """Slots as comparable rows: ties in distance are ordered at random by the original."""
        return sorted((bytes(c), *(round(float(v), 4) for v in f)) for c, *f in zip(codes, *features, strict=True))

    distance, contact, activity = inputs.slot_features.T
    ours = rows(codes, distance, contact, activity)
    theirs = rows(
        expected[1 : n + 1].astype(np.uint8),
        np.abs(encoding[f"{gene}/distance"][:n]) / 1000,
        np.log10(1 + encoding[f"{gene}/contact"][:n]),
        encoding[f"{gene}/activity"][:n],
    )
    assert ours == theirs


def test_tower_is_exact_for_windows_full_of_unknown_bases(oracle):
    """More kinds of unusual windows than the tables first have room for."""
    model = load(oracle, "enh_K562_fold8")
    tower = FoldedTower(model.encoder, 0.25, CPU)
    tower.expect(10**9)
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 6, (40, 256)).astype(np.uint8))
    with torch.inference_mode():
        expected = model.encoder(model.one_hot(codes)).transpose(1, 2)
        assert (tower(codes) - expected).abs().max() <= 1e-4
