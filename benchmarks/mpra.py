"""Effects of single substitutions against saturation-mutagenesis MPRAs (Kircher et al. 2019), element by element.

Of each element the change of predicted activity, log2, in a window of 256 bp around the substitution, with N beyond the
ends of the element, is compared with the measured log2 effect: Pearson correlation, with an interval from a bootstrap
over positions. The weights are those of the fold that tests the element's chromosome; they were trained on K562, while
most elements were measured in other cells. Beside it stand

- the encoder of GM12878, of which only fold 1 is at hand (it tests chr2 and chr12; elsewhere it has seen the place),
- a ridge regression of the measured effects of all other elements on the change of 5-mer counts (both strands):
  it has seen MPRA effects, which the encoder never has,
- the change of G + C.

Needs the data of ``EREGTOOLS_SHARED``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import eregtools as er
from benchmarks._timing import report
from eregtools.batches.encode import UNKNOWN
from eregtools.batches.windows import reverse_complement
from eregtools.models import zoo
from eregtools.models.inference import ActivityPredictor
from eregtools.sampling import fold_table, fold_that_tests

WINDOW = 256
LEAST_BARCODES = 10
DRAWS = 1000
K = 5
PENALTIES = np.logspace(1, 5, 9)
GM12878_FOLD = 1

CELL_LINES = {
    "BCL11A": "HEL 92.1.7",
    "F9": "HepG2",
    "FOXE1": "HeLa",
    "GP1BA": "HEL 92.1.7",
    "HBB": "HEL 92.1.7",
    "HBG1": "HEL 92.1.7",
    "HNF4A": "HEK293T",
    "IRF4": "SK-MEL-28",
    "IRF6": "HaCaT",
    "LDLR": "HepG2",
    "LDLR.2": "HepG2",
    "MSMB": "HEK293T",
    "MYCrs11986220": "LNCaP + DHT",
    "MYCrs6983267": "HEK293T",
    "PKLR-24h": "K562",
    "PKLR-48h": "K562",
    "RET": "Neuro-2a",
    "SORT1": "HepG2",
    "SORT1-flip": "HepG2",
    "SORT1.2": "HepG2",
    "TCF7L2": "MIN6",
    "TERT-GAa": "SF7996, siRNA (?)",
    "TERT-GBM": "SF7996",
    "TERT-GSc": "SF7996, siRNA (?)",
    "TERT-HEK": "HEK293T",
    "UC88": "Neuro-2a",
    "ZFAND3": "MIN6",
    "ZRSh-13": "NIH/3T3",
    "ZRSh-13h2": "NIH/3T3",
}
"""Where each element was measured: table of elements of the authors' site (github.com/kircherlab/
MPRA_SaturationMutagenesis, about.md), and Kircher et al. 2019. That the two knock-down experiments of TERT are in
SF7996 is from memory."""


def data() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Substitutions with enough barcodes, and the reference sequence of each element."""
    if "EREGTOOLS_SHARED" not in os.environ:
        raise FileNotFoundError("EREGTOOLS_SHARED names no folder; this benchmark needs data/mpra_satmut of it")
    folder = Path(os.environ["EREGTOOLS_SHARED"]) / "data" / "mpra_satmut"
    measured = pd.read_csv(folder / "elements.tsv.gz", sep="\t", dtype={"Chrom": str})
    measured = measured.dropna(subset="Pos")  # a few of MSMB have no place in GRCh38
    kept = (measured["Release"] == "GRCh38") & (measured["Alt"] != "-") & (measured["Barcodes"] >= LEAST_BARCODES)
    elements = pd.read_csv(folder / "reference_elements_GRCh38.tsv", sep="\t", index_col="element")
    return measured[kept].reset_index(drop=True), elements


def locus(element: str) -> str:
    """Name that experiments on the same sequence share."""
    return element.split("-")[0].split(".")[0]


def codes_of(sequence: str) -> np.ndarray:
    return np.array(["ACGT".find(letter) for letter in sequence.upper()]).astype(np.uint8).clip(max=UNKNOWN)


def pairs(variants: pd.DataFrame, element: pd.Series, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of reference and alternative around each variant ``(n, width)``; N beyond the element."""
    sequence = codes_of(element["seq"])
    at = variants["Pos"].to_numpy(dtype=np.int64) - 1 - int(element["start"])
    padded = np.pad(sequence, width, constant_values=UNKNOWN)
    reference = padded[(at + width - width // 2)[:, None] + np.arange(width)]
    middle = reference[:, width // 2]
    stated = codes_of("".join(variants["Ref"]))
    assert ((middle == stated) | (middle == UNKNOWN)).all()
    reference[:, width // 2] = stated
    alternative = reference.copy()
    alternative[:, width // 2] = codes_of("".join(variants["Alt"]))
    return reference, alternative


def kmer_change(reference: np.ndarray, alternative: np.ndarray) -> np.ndarray:
    """Change of the number of each k-mer and its reverse complement; windows of 2 k − 1."""
    change = np.zeros((len(reference), 4**K), dtype=np.float32)
    row = np.arange(len(reference))
    for windows, sign in ((reference, 1), (alternative, -1)):
        for codes in (windows, reverse_complement(windows)):
            for begin in range(K):
                part = codes[:, begin : begin + K].astype(np.int64)
                known = (part < UNKNOWN).all(axis=1)
                number = part.clip(max=3) @ 4 ** np.arange(K)
                np.add.at(change, (row[known], number[known]), -sign)
    return change


def encoder_effect(predictor: ActivityPredictor, variants: pd.DataFrame, element: pd.Series) -> np.ndarray:
    reference, alternative = pairs(variants, element, WINDOW)
    _, first, place = np.unique(variants["Pos"], return_index=True, return_inverse=True)
    return predictor(alternative) - predictor(reference[first])[place]


def correlation(predicted: np.ndarray, measured: np.ndarray) -> float:
    return float(np.corrcoef(predicted, measured)[0, 1])


def interval(predicted: np.ndarray, measured: np.ndarray, position: np.ndarray, rng: np.random.Generator) -> str:
    """Range that holds 95 % of the correlations of positions drawn with replacement."""
    groups = [np.flatnonzero(position == one) for one in np.unique(position)]
    drawn = []
    for _ in range(DRAWS):
        rows = np.concatenate([groups[k] for k in rng.integers(len(groups), size=len(groups))])
        drawn.append(correlation(predicted[rows], measured[rows]))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{low:.2f} to {high:.2f}"


def ridge_effects(measured: pd.DataFrame, elements: pd.DataFrame) -> np.ndarray:
    """Effects that a ridge on k-mers predicts, fitted to all other loci.

    The penalty for a locus is the one under which the other loci, each left out, correlate best.
    """
    place, names = pd.factorize(measured["Element"].map(locus))
    features = np.empty((len(measured), 4**K), dtype=np.float32)
    for name, rows in measured.groupby("Element").groups.items():
        features[rows] = kmer_change(*pairs(measured.loc[rows], elements.loc[name], 2 * K - 1))
    features = features[:, features.any(axis=0)]
    effect = measured["Coefficient"].to_numpy()
    scaled = effect / measured.groupby("Element")["Coefficient"].transform("std").to_numpy()
    own = [np.flatnonzero(place == number) for number in range(len(names))]
    gram = [features[rows].T @ features[rows] for rows in own]
    moment = [features[rows].T @ scaled[rows] for rows in own]
    predicted = np.empty((len(PENALTIES), len(measured)))
    for number, rows in enumerate(own):
        values, vectors = np.linalg.eigh((sum(gram) - gram[number]).astype(np.float64))
        onto = vectors.T @ (sum(moment) - moment[number])
        for k, penalty in enumerate(PENALTIES):
            predicted[k, rows] = features[rows] @ (vectors @ (onto / (values.clip(0) + penalty)))
    score = np.array([[correlation(line[rows], effect[rows]) for rows in own] for line in predicted])
    out = np.empty(len(measured))
    for number, rows in enumerate(own):
        out[rows] = predicted[np.delete(score, number, axis=1).mean(axis=1).argmax(), rows]
    return out


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    shared = Path(os.environ.get("EREGTOOLS_SHARED", ""))
    os.environ.setdefault(zoo.WEIGHTS_VARIABLE, str(shared / "data" / "epinformer" / "checkpoints"))
    measured, elements = data()
    folds = fold_that_tests(fold_table("epinformer12", elements["chrom"].unique()))
    gm12878 = er.models.load_published(shared / "parity" / "epinformer" / "checkpoints" / "enh_GM12878_fold1.pt")
    assert gm12878.provenance["fold"] == GM12878_FOLD
    other = ActivityPredictor(gm12878, torch.device("cpu"))
    measured["k562"], measured["gm12878"] = np.nan, np.nan
    for fold in sorted(folds.unique()):
        model = er.models.load(f"EPInformer-seq/K562/activity/fold{fold}")
        predictor = ActivityPredictor(model, torch.device("cpu"))
        for name in elements.index[elements["chrom"].map(folds) == fold]:
            rows = measured.index[measured["Element"] == name]
            measured.loc[rows, "k562"] = encoder_effect(predictor, measured.loc[rows], elements.loc[name])
            measured.loc[rows, "gm12878"] = encoder_effect(other, measured.loc[rows], elements.loc[name])
    measured["ridge"] = ridge_effects(measured, elements)
    measured["gc"] = measured["Alt"].isin(["G", "C"]).astype(float) - measured["Ref"].isin(["G", "C"])
    rows = []
    for number, name in enumerate(elements.index):
        part = measured[measured["Element"] == name]
        effect = part["Coefficient"].to_numpy()
        fold = int(folds[elements.loc[name, "chrom"]])
        rng = np.random.default_rng((0, number))
        rows.append(
            {
                "element": name,
                "measured in": CELL_LINES[name],
                "chromosome": elements.loc[name, "chrom"],
                "fold": fold,
                "n": len(part),
                "K562 encoder": correlation(part["k562"].to_numpy(), effect),
                "95 %": interval(part["k562"].to_numpy(), effect, part["Pos"].to_numpy(), rng),
                "GM12878 encoder": correlation(part["gm12878"].to_numpy(), effect),
                "seen by GM12878 fold 1": "no" if fold == GM12878_FOLD else "yes",
                "5-mer ridge": correlation(part["ridge"].to_numpy(), effect),
                "G + C": correlation(part["gc"].to_numpy(), effect),
            }
        )
    table = pd.DataFrame(rows)
    scores = ["K562 encoder", "GM12878 encoder", "5-mer ridge", "G + C"]
    rows.append({"element": "median", **{score: float(table[score].median()) for score in scores}})
    one = table.groupby(table["element"].map(locus))[scores].mean()
    rows.append({"element": f"median of {len(one)} loci", **{score: float(one[score].median()) for score in scores}})
    return report("mpra", rows, least_barcodes=LEAST_BARCODES, bootstrap_draws=DRAWS)
