"""One step of training: against the original code, and each distinct sequence once against the padded batch."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import eregtools as er
from eregtools.batches.encode import PADDING
from eregtools.batches.genes import GeneInputs
from eregtools.batches.windows import Augmentation, WindowBatch
from eregtools.models import EPInformer, EPInformerConfig, EPInformerSeq, EPInformerSeqConfig
from eregtools.models.normalisation import BatchNorm
from eregtools.train.datamodule import Batches, GeneData
from eregtools.train.modules import ActivityRegression, ExpressionRegression
from eregtools.train.regimes import activity_regime, expression_regime
from networks import original_names

CHANNELS = (16, 12, 8, 8, 12)


@pytest.fixture(scope="module")
def oracle(shared):
    return shared / "parity" / "epinformer"


def gene_data(genes, features):
    """Padded genes as links by index; an element that several genes share is there once."""
    padding, codes = genes["padding_mask"], genes["codes"].astype(np.uint8)
    counts = (~padding[:, 1:]).sum(axis=1)
    elements, place = np.unique(codes[:, 1:][~padding[:, 1:]], axis=0, return_inverse=True)
    inputs = GeneInputs(
        gene=np.arange(len(padding)),
        link=np.arange(counts.sum()),
        element=place.ravel(),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        slot_features=features[:, 1:][~padding[:, 1:]],
        promoter_features=features[:, 0],
        gene_features=genes["rna9"],
    )
    return GeneData(inputs, np.arange(len(padding)), codes[:, 0], elements, genes["target"])


def before_norm(name, names):
    """Whether a parameter is the bias of a layer that batch normalisation follows."""
    part, _, leaf = name.rpartition(".")
    stem, _, number = part.rpartition(".")
    follower = f"{stem}.{int(number) + 1}" if number.isdigit() else f"{stem}.norm"
    normalised = "blocks" in part or "convolutions" in part or part.startswith("head.")
    return leaf == "bias" and normalised and number in ("conv", "0", "3", "4", "6", "9") and f"{follower}.bias" in names


def check_gradients(model, expected_names, expected):
    expected = dict(zip(expected_names.tolist(), expected.tolist(), strict=True))
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    theirs = original_names(model)
    by_storage = {value.data_ptr(): name for name, value in theirs.items()}
    checked = 0
    for name, parameter in model.named_parameters():
        norm = float(ours[name].norm())
        reference = expected[by_storage[parameter.data_ptr()]]
        if before_norm(name, set(ours)):
            # Zero but for rounding: normalisation subtracts what the bias adds.
            assert max(norm, reference) < 2e-4, name
        else:
            assert norm == pytest.approx(reference, rel=1e-3), name
        checked += 1
    assert checked == len(expected)


def test_two_steps_of_the_expression_model(oracle):
    genes = dict(np.load(oracle / "expression_models.npz"))
    rows = genes["train/genes"]
    genes["target"] = np.zeros(8, dtype=np.float32)
    genes["target"][rows] = genes["train/target"][:, 0]
    model = er.models.load_published(oracle / "checkpoints" / "pe_act_hic_K562_RNA_fold1.pt").train()
    module = ExpressionRegression(model, expression_regime("published", 3))
    module.stage = module.regime.stages[-1]
    batch = gene_data(genes, genes["feat_3_raw"]).batch(rows, padded_slots=61)
    assert len(batch["codes"]) < (~genes["padding_mask"][rows]).sum() < 4 * 61, "some are shared, most slots are empty"
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=1e-6)
    losses = []
    for step in range(2):
        optimiser.zero_grad()
        predicted = module.predict(batch)
        loss = nn.functional.smooth_l1_loss(predicted, batch["target"])
        loss.backward()
        if step == 0:
            assert np.abs(predicted.detach().numpy() - genes["train/pred_step0"][:, 0]).max() <= 1e-6
            check_gradients(model, genes["train/gradnorm_names"], genes["train/gradnorm"])
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(genes["train/loss"][0], abs=1e-6)
    # AdamW's first step has the size of the learning rate wherever a gradient is not exactly zero, so rounding decides
    # the sign of those that are zero in exact arithmetic. The padded network itself ends 1.1e-6 from the stored loss
    # and 1e-4 from the stored running mean.
    assert losses[1] == pytest.approx(genes["train/loss"][1], abs=4e-6)
    mean = model.head.convolutions[1].running_mean.numpy()
    assert np.abs(mean - genes["train/bn_mean_conv_out_1"]).max() <= 2e-4


@pytest.mark.parametrize("name", ["enh_K562_fold8", "enh_GM12878_fold1"])
def test_a_step_of_the_enhancer_predictor(oracle, name):
    stored = dict(np.load(oracle / "enhancer_predictor.npz"))
    model = er.models.load_published(oracle / "checkpoints" / f"{name}.pt").train()
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    module = ActivityRegression(model, activity_regime("published"))
    batch = {"codes": torch.from_numpy(stored["codes"].astype(np.uint8)), "share": torch.tensor(1.0)}
    batch["target"] = torch.from_numpy(stored["train_target"])
    predicted = module.predict(batch)
    loss = nn.functional.smooth_l1_loss(predicted, batch["target"])
    loss.backward()
    assert np.abs(predicted.detach().numpy() - stored[f"{name}/train_pred"]).max() <= 1e-5
    assert loss.item() == pytest.approx(float(stored[f"{name}/train_loss"]), abs=1e-6)
    check_gradients(model, stored[f"{name}/train_gradnorm_names"], stored[f"{name}/train_gradnorm"])
    mean = model.encoder.blocks[0].norm.running_mean.numpy()
    assert np.abs(mean - stored[f"{name}/bn_running_mean_after"]).max() <= 1e-5


class Plain(nn.Module):
    """The same weights through two-dimensional layers, slot by slot, as the original code computes."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def embed(self, codes):
        """Embedding of every slot of a padded batch ``(n, slots, window)``."""
        model, (n, slots, window) = self.model, codes.shape
        x = model.one_hot(codes.reshape(n * slots, window)).view(n, slots, 4, window).transpose(1, 2)
        x = nn.functional.elu(conv2d(nn.functional.pad(x, (3, 4)), model.encoder.stem))
        for block in model.encoder.blocks:
            x = nn.functional.elu(norm2d(conv2d(x, block.conv, padding=1), block.norm))
            x = nn.functional.max_pool2d(x, (1, 2))
            x = x + nn.functional.elu(conv2d(x, block.pointwise))
        for layer in model.head.convolutions:
            if isinstance(layer, nn.Conv1d):
                x = conv2d(x, layer, dilation=layer.dilation[0])
            else:
                x = norm2d(x, layer) if isinstance(layer, nn.BatchNorm1d) else layer(x)
        x = nn.functional.elu(model.head.positions(x))
        return x.transpose(1, 2).reshape(n, slots, -1)


def conv2d(x, layer, padding=0, dilation=1):
    weight = layer.weight.unsqueeze(2)
    return nn.functional.conv2d(x, weight, layer.bias, padding=(0, padding), dilation=(1, dilation))


def norm2d(x, layer):
    if isinstance(layer, nn.Identity):
        return x
    return nn.functional.batch_norm(
        x, layer.running_mean, layer.running_var, layer.weight, layer.bias, training=True, momentum=layer.momentum
    )


@pytest.fixture
def padded():
    """Five genes in 1 + 6 slots with shared enhancers, flanks, unknown bases and a gene without enhancers."""
    rng = np.random.default_rng(4)
    pool = rng.integers(0, 5, (7, 512)).astype(np.uint8)
    pool[1, :200] = pool[1, 300:] = pool[2, :57] = pool[3, 511:] = PADDING
    chosen = [[0, 1, 2, 3], [1, 2], [], [5, 4, 3, 2, 1, 0], [6]]
    codes = np.full((5, 7, 512), PADDING, dtype=np.uint8)
    mask = np.ones((5, 7), dtype=bool)
    for gene, slots in enumerate(chosen):
        codes[gene, 0] = rng.integers(0, 4, 512)
        codes[gene, 1 : 1 + len(slots)] = pool[slots]
        mask[gene, : 1 + len(slots)] = False
    features = np.where(mask[..., None], 0, rng.normal(size=(5, 7, 3))).astype(np.float32)
    return {
        "codes": codes,
        "padding_mask": mask,
        "features": features,
        "rna9": rng.normal(size=(5, 9)).astype(np.float32),
        "target": rng.normal(size=5).astype(np.float32),
    }


def double(batch):
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}


@pytest.mark.parametrize("batchnorm", ["legacy", "masked"])
@pytest.mark.parametrize("with_norm", [True, False])
def test_distinct_slots_give_the_padded_step(padded, batchnorm, with_norm):
    torch.manual_seed(2)
    config = EPInformerConfig(window=512, embedding_dim=32, n_layers=2, tower_channels=CHANNELS)
    model = EPInformer(replace(config, tower_batchnorm=with_norm, head_batchnorm=with_norm)).double().train()
    for layer in model.modules():
        if isinstance(layer, BatchNorm):  # negative scales too, under which pooling must not move before them
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    reference = copy.deepcopy(model)
    padding = torch.from_numpy(padded["padding_mask"])
    codes = torch.from_numpy(padded["codes"])
    features, rna9, target = (torch.from_numpy(padded[name]).double() for name in ("features", "rna9", "target"))

    if batchnorm == "legacy":
        states = Plain(reference).embed(codes)
    else:  # slots that hold something, as a batch of genes of one slot each
        states = torch.zeros(*padding.shape, config.embedding_dim, dtype=torch.float64)
        states[~padding] = Plain(reference).embed(codes[~padding][:, None])[:, 0]
    expected = reference.interact(states, features, rna9, padding).expression
    nn.functional.smooth_l1_loss(expected, target).backward()

    data = gene_data(padded, padded["features"])
    batch = double(data.batch(np.arange(5), padded_slots=7 if batchnorm == "legacy" else None))
    n_real = int((~padding).sum())
    assert len(batch["codes"]) == 5 + 7 + (batchnorm == "legacy")
    assert batch["multiplicity"].sum() == (35 if batchnorm == "legacy" else n_real)
    module = ExpressionRegression(model, expression_regime("paper", 3))
    predicted = module.predict(batch)
    nn.functional.smooth_l1_loss(predicted, batch["target"]).backward()

    assert (predicted - expected).abs().max() <= 1e-10
    for (name, ours), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert (ours.grad - theirs.grad).abs().max() <= 1e-10, name
    for (name, ours), theirs in zip(model.named_buffers(), reference.buffers(), strict=True):
        if "num_batches" not in name:
            assert (ours - theirs).abs().max() <= 1e-10, name


def test_rows_of_windows_are_normalised_as_by_torch():
    torch.manual_seed(0)
    config = EPInformerSeqConfig(window=64, hidden=16, dropout=0.0, tower_channels=CHANNELS)
    model = EPInformerSeq(config).double().train()
    reference = copy.deepcopy(model)
    codes = torch.randint(0, 6, (20, 64), dtype=torch.uint8)
    model(codes).square().sum().backward()
    x = reference.encoder.stem_activation(
        reference.encoder.stem(reference.encoder.stem_padding(reference.one_hot(codes)))
    )
    for block in reference.encoder.blocks:
        x = nn.functional.max_pool1d(nn.functional.elu(nn.BatchNorm1d.forward(block.norm, block.conv(x))), 2)
        x = x + nn.functional.elu(block.pointwise(x))
    reference.activity(x).square().sum().backward()
    for (name, ours), theirs in zip(model.named_parameters(), reference.parameters(), strict=True):
        assert (ours.grad - theirs.grad).abs().max() <= 1e-10 * max(1, theirs.grad.abs().max()), name


class TestBatches:
    def data(self, n=23, genes=None):
        rng = np.random.default_rng(0)
        inputs = GeneInputs(
            gene=np.arange(n) if genes is None else genes,
            link=np.zeros(0, dtype=np.int64),
            element=np.zeros(0, dtype=np.int64),
            offsets=np.zeros(n + 1, dtype=np.int64),
            slot_features=np.zeros((0, 1), dtype=np.float32),
            promoter_features=np.zeros((n, 1), dtype=np.float32),
            gene_features=np.zeros((n, 0), dtype=np.float32),
        )
        codes = rng.integers(0, 4, (n, 8)).astype(np.uint8)
        return GeneData(inputs, inputs.gene, codes, codes[:0], np.arange(n, dtype=np.float32))

    @pytest.mark.parametrize("order", ["random", "locus"])
    @pytest.mark.parametrize("n_processes", [1, 2, 3])
    @pytest.mark.parametrize("n", [2, 5, 9, 16, 17, 23])
    def test_every_row_once_an_epoch(self, order, n_processes, n):
        if n < n_processes:
            pytest.skip("fewer rows than processes")
        batches = Batches(self.data(n), 4, seed=1, order=order)
        for epoch in range(3):
            seen, lengths = [], set()
            for process in range(n_processes):
                batches.start_epoch(epoch, process, n_processes)
                lengths.add(len(batches))
                parts = [batches[i]["target"].numpy() for i in range(len(batches))]
                assert all(len(part) for part in parts)
                seen.append(np.concatenate(parts))
            assert len(lengths) == 1, "processes take equally many steps"
            assert sorted(np.concatenate(seen)) == list(range(n))

    def test_order_depends_on_seed_and_epoch(self):
        def order(seed, epoch, kind="random"):
            batches = Batches(self.data(), 4, seed=seed, order=kind)
            batches.start_epoch(epoch, 0, 1)
            return np.concatenate([batches[i]["target"].numpy() for i in range(len(batches))]).tolist()

        for kind in ("random", "locus"):
            assert order(1, 0, kind) == order(1, 0, kind) != order(1, 1, kind) != order(2, 1, kind)

    def test_locus_batches_hold_neighbours(self):
        genes = np.array([4, 0, 2, 1, 3, 5] * 4)  # four biosamples of six genes
        batches = Batches(self.data(24, genes), 4, seed=1, order="locus")
        batches.start_epoch(0, 0, 1)
        spans = [np.ptp(genes[rows]) for rows in batches.row_batches()]
        assert sorted(spans)[:-1] == [0 if s == 0 else 1 for s in sorted(spans)[:-1]]

    def test_shares_weigh_processes_by_rows(self):
        batches = Batches(self.data(5), 5, seed=1)
        shares = []
        for process in range(2):
            batches.start_epoch(0, process, 2)
            shares.append(float(batches[0]["share"]))
        assert shares == pytest.approx([6 / 5, 4 / 5])

    def test_too_many_enhancers_for_the_padded_batch(self, padded):
        data = gene_data(padded, padded["features"])
        with pytest.raises(ValueError, match="a gene has 6 enhancers; the padded batch has 5 slots"):
            data.batch(np.arange(5), padded_slots=6)

    def test_augmentation_of_the_empty_slot(self, padded):
        data = gene_data(padded, padded["features"])
        batches = Batches(data, 5, padded_slots=7, augmentation=Augmentation(True, 20))
        batches.start_epoch(0, 0, 1)
        assert (batches[0]["codes"][-1] == PADDING).all()

    def test_windows_are_batched_alike(self):
        windows = WindowBatch(np.zeros((7, 16), dtype=np.uint8), np.arange(7, dtype=np.float32))
        batches = Batches(windows, 3, seed=0)
        batches.start_epoch(0, 0, 1)
        assert [len(batches[i]["target"]) for i in range(len(batches))] == [3, 4]
