"""A world in which the order of bases matters: two halves of a motif, side by side in active elements, apart in others.

Elements and promoters do not overlap. Words of four bases tell active elements only by the seam of the halves, and
shares of single bases and dinucleotides not at all.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from mudata import MuData

import eregtools as er
from eregtools._keys import MRNA_FEATURES
from eregtools.models import EPInformer, EPInformerConfig
from networks import randomised

LEFT, RIGHT = "TGACTC", "ATGCGT"
BLOCK, ELEMENT = 1_200, 256
ELEMENT_STARTS, TSS = (50, 350), 900
"""Within a block; windows of 512 bp around the TSS stay clear of the elements."""

CHANNELS = (16, 12, 8, 8, 12)
EXPRESSION = EPInformerConfig(
    window=512, embedding_dim=32, n_layers=2, tower_channels=CHANNELS, n_slot_features=2, n_gene_features=9
)


def make_motif_world(
    folder: Path,
    *,
    n_chromosomes: int = 9,
    n_blocks: int = 50,
    samples: tuple[str, ...] = ("S",),
    name: str = "motif-world",
) -> MuData:
    """Object with activity, links, mRNA features, expression and folds; its genome is registered by name.

    Fold 1 of the scheme "custom" tests chr1 to chr4 and validates the last; "epinformer12" is there as well. Expression
    follows promoter activity and, less, the activity of linked elements.
    """
    rng = np.random.default_rng(3)
    sequences, elements, genes, active = {}, [], [], []
    for chrom in (f"chr{i + 1}" for i in range(n_chromosomes)):
        letters = rng.choice(list("ACGT"), n_blocks * BLOCK + 400)
        for block in range(0, n_blocks * BLOCK, BLOCK):
            genes.append((chrom, block + TSS, "+-"[block // BLOCK % 2]))
            for start in (block + offset for offset in ELEMENT_STARTS):
                elements.append((chrom, start, start + ELEMENT))
                active.append(_plant(letters, start, rng.random() < 0.5))
        sequences[chrom] = "".join(letters)
    fasta = folder / "motifs.fa"
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in sequences.items()))
    genome = er.Genome(fasta, name=name)
    er.register_genome(name, genome)
    mdata = er.pp.assemble(
        genes=pd.DataFrame(genes, columns=["chrom", "tss", "strand"], index=[f"g{i}" for i in range(len(genes))]),
        enhancers=pd.DataFrame(elements, columns=["chrom", "start", "end"]),
        samples=list(samples),
        genome=genome,
    )
    n = len(genes)
    activity = {s: np.where(active, 8.0, 0.5) * rng.lognormal(0, 0.3, len(active)) for s in samples}
    promoter = {s: rng.gamma(2, 2, n) for s in samples}
    er.pp.add_signal(mdata, activity, assay="activity")
    er.pp.add_signal(mdata, promoter, assay="promoter_activity", modality="genes")
    er.pp.link(mdata, max_distance=2_000, min_distance=300)
    er.pp.add_contacts(mdata)
    names = mdata["genes"].var_names
    er.pp.mrna_features(mdata, pd.DataFrame(rng.normal(size=(n, 8)), names, list(MRNA_FEATURES)).abs())
    links = mdata["links"].var
    expression = {}
    for s in samples:
        of_link = pd.Series(activity[s], mdata["enhancers"].var_names).reindex(links["enhancer"]).to_numpy()
        near = pd.Series(of_link).groupby(links["gene"].to_numpy()).mean().reindex(names)
        expression[s] = np.log1p(promoter[s]) + 0.05 * near + rng.normal(0, 0.2, n)
    er.pp.add_expression(mdata, pd.DataFrame(expression), assay="RNA")
    er.pp.split(mdata, "epinformer12", key_added="fold12")
    tested = [f"chr{i + 1}" for i in range(max(1, n_chromosomes // 2))]
    er.pp.split(mdata, {1: {"valid": [f"chr{n_chromosomes}"], "test": tested}})
    return mdata


def _plant(letters: np.ndarray, start: int, active: bool) -> bool:
    for at in (start + 30, start + 120):
        for half, text in ((at, LEFT), (at + (len(LEFT) if active else 40), RIGHT)):
            letters[half : half + len(text)] = list(text)
    return active


def expression_models(folds: tuple[int, ...], assay: str = "RNA", sample: str = "S") -> dict[int, EPInformer]:
    """Fold models of "epinformer12" with random weights, which say what they are."""
    models = {}
    for fold in folds:
        model = randomised(EPInformer(EXPRESSION), seed=fold)
        model.provenance = {
            "name": f"random/{sample}/{assay}/fold{fold}",
            "biosample": sample,
            "assay": assay,
            "fold": fold,
            "fold_scheme": "epinformer12",
            "sha256": model.fingerprint(),
        }
        models[fold] = model
    return models
