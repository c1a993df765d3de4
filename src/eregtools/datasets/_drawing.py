"""Everything about a simulated genome, before it is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from eregtools._keys import Var
from eregtools.datasets import _regulation as regulation
from eregtools.datasets._grammar import (
    ACTIVATORS,
    MOTIFS,
    Codes,
    Floats,
    SimulationConfig,
    background,
    draw_motifs,
    draw_variants,
    plant,
    score,
)


@dataclass
class World:
    """What is written: files, and the truth behind them.

    ``models`` are the transcripts in the order of ``genes``; ``reads`` is ``{sample: {assay: [{chromosome: sorted
    positions} of each replicate]}}``; the truth tables have one row for each biosample and site or link.
    """

    chromosomes: dict[str, Codes]
    models: list[regulation.Gene]
    genes: pd.DataFrame
    elements: pd.DataFrame
    motifs: pd.DataFrame
    variants: pd.DataFrame
    features: pd.DataFrame
    contacts: regulation.ContactMap
    reads: dict[str, dict[str, list[dict[str, regulation.Ints]]]]
    element_truth: pd.DataFrame
    gene_truth: pd.DataFrame
    links: pd.DataFrame
    metrics: dict[str, dict[str, float]]


def draw(rng: np.random.Generator, config: SimulationConfig) -> World:
    """Draw a world; each kind of thing has its own stream of random numbers."""
    places, letters, grammar, reads_rng, map_rng, noise = rng.spawn(6)
    models, genes, elements = _place(places, config)
    element_motifs = draw_motifs(grammar, len(elements), config, promoter=False)
    promoter_motifs = draw_motifs(grammar, len(genes), config, promoter=True)
    motifs = pd.concat(
        [_located(element_motifs, elements, Var.summit), _located(promoter_motifs, genes, Var.tss)], ignore_index=True
    )
    chromosomes = {}
    for name in chromosome_sizes(config):
        chromosomes[name] = background(letters, config.chromosome_length, config.gc)
        here = motifs[motifs[Var.chromosome] == name]
        plant(letters, chromosomes[name], here[Var.start].to_numpy(), here)
    variants = draw_variants(letters, config, chromosomes, motifs, elements)

    features = regulation.mrna_features(models, [chromosomes[name] for name in genes[Var.chromosome]])
    features.index = genes.index
    stability = regulation.log10_stability(features, config.stability_sd)

    pairs = regulation.find_links(genes, elements)
    tss_bin = regulation.bin_of(genes[Var.chromosome], genes[Var.tss], config)
    middle = (elements[Var.start] + elements[Var.end]) / 2
    element_bin = regulation.bin_of(elements[Var.chromosome], middle, config)
    of_gene, of_element = tss_bin[pairs["gene"]], element_bin[pairs["element"]]
    contacts = regulation.draw_contacts(map_rng, config, of_gene, of_element)
    pairs["contact"] = contacts.between(of_gene, of_element)

    element_code = score(element_motifs, len(elements), config).set_axis(elements.index)
    promoter_code = score(promoter_motifs, len(genes), config).set_axis(genes.index)
    all_reads: dict[str, dict[str, list[dict[str, regulation.Ints]]]] = {}
    metrics: dict[str, dict[str, float]] = {}
    element_parts: list[pd.DataFrame] = []
    gene_parts: list[pd.DataFrame] = []
    link_parts: list[pd.DataFrame] = []
    for sample in config.samples:
        element_truth = _sites(reads_rng, elements, element_code, config)
        gene_truth = _sites(reads_rng, genes, promoter_code, config)
        all_reads[sample] = _sequence_reads(reads_rng, element_truth, gene_truth, config)
        _measure(element_truth, elements[Var.start], elements[Var.end], all_reads[sample], config)
        half = regulation.PROMOTER_HALF_WIDTH
        _measure(gene_truth, genes[Var.tss] - half, genes[Var.tss] + half, all_reads[sample], config)
        gene_truth["contact"] = contacts.between(tss_bin, tss_bin)
        links = _regulate(pairs, element_truth, gene_truth, stability, noise, config)
        share_noise = config.share_noise * noise.standard_normal(len(links))
        metrics[sample] = {
            "noise_ceiling": _log_correlation(gene_truth),
            **regulation.evaluate_links(links, share_noise),
        }
        for parts, table in ((element_parts, element_truth), (gene_parts, gene_truth), (link_parts, links)):
            table.insert(0, "sample", sample)
            parts.append(table)
    return World(
        chromosomes=chromosomes,
        models=models,
        genes=genes,
        elements=elements,
        motifs=motifs,
        variants=variants,
        features=features,
        contacts=contacts,
        reads=all_reads,
        element_truth=pd.concat(element_parts),
        gene_truth=pd.concat(gene_parts),
        links=pd.concat(link_parts, ignore_index=True),
        metrics=metrics,
    )


def chromosome_sizes(config: SimulationConfig) -> dict[str, int]:
    """Length of each chromosome in bp."""
    return {f"chr{k + 1}": config.chromosome_length for k in range(config.n_chromosomes)}


def library_totals(config: SimulationConfig) -> dict[str, float | list[float]]:
    """Count the reads of each library."""
    return {assay: [config.library] * n if n > 1 else config.library for assay, n in regulation.REPLICATES.items()}


def _place(
    rng: np.random.Generator, config: SimulationConfig
) -> tuple[list[regulation.Gene], pd.DataFrame, pd.DataFrame]:
    """Genes (named ``SIMG0001`` …) and elements (named by their interval), in genome order."""
    models: list[regulation.Gene] = []
    rows, parts = [], []
    sizes = chromosome_sizes(config)
    n_genes, n_elements = (
        np.diff(np.linspace(0, n, len(sizes) + 1).round().astype(int)).tolist()
        for n in (config.n_genes, config.n_elements)
    )
    for k, (chrom, length) in enumerate(sizes.items()):
        here = sorted(regulation.place_genes(rng, n_genes[k], length), key=lambda gene: gene.span)
        models += here
        rows += [[chrom, *gene.span, gene.strand, gene.tss] for gene in here]
        tss = sorted(gene.tss for gene in here)
        elements = regulation.place_elements(rng, n_elements[k], length, tss)
        elements.insert(0, Var.chromosome, chrom)
        parts.append(elements)
    genes = pd.DataFrame(rows, columns=[Var.chromosome, Var.start, Var.end, Var.strand, Var.tss])
    genes.index = pd.Index([f"SIMG{k + 1:04d}" for k in range(len(genes))])
    genes[Var.gene_name] = [f"sim{k + 1}" for k in range(len(genes))]
    elements = pd.concat(parts, ignore_index=True)
    start, end = elements[Var.start].astype(str), elements[Var.end].astype(str)
    elements.index = pd.Index(elements[Var.chromosome] + ":" + start + "-" + end)
    return models, genes, elements


def _located(motifs: pd.DataFrame, sites: pd.DataFrame, centre: str) -> pd.DataFrame:
    rows = motifs["site"].to_numpy()
    start = sites[centre].to_numpy()[rows] + motifs["offset"].to_numpy()
    columns = {
        "site": sites.index.to_numpy()[rows],
        "motif": motifs["motif"],
        Var.chromosome: sites[Var.chromosome].to_numpy()[rows],
        Var.start: start,
        Var.end: start + len(MOTIFS["blocker"]),
        Var.strand: motifs[Var.strand],
        "mismatch": motifs["mismatch"],
        "close": motifs["close"] & motifs["motif"].isin(ACTIVATORS),
    }
    return pd.DataFrame(columns)


def _sites(rng: np.random.Generator, sites: pd.DataFrame, code: pd.DataFrame, config: SimulationConfig) -> pd.DataFrame:
    """Terms of activity and potency of the elements or promoters of one biosample."""
    other_sd = config.activity_sd * np.sqrt(1 - config.activity_in_sequence)
    centre = Var.summit if Var.summit in sites else Var.tss
    truth = sites[[Var.chromosome, Var.start, Var.end, *([Var.strand] if Var.strand in sites else []), centre]].copy()
    truth["log_activity_sequence"] = code["log_activity"]
    truth["log_activity_other"] = other_sd * rng.standard_normal(len(sites))
    logs = truth["log_activity_sequence"] + truth["log_activity_other"]
    truth["activity"] = config.activity_median * np.exp(logs)
    truth["log_potency"] = code["log_potency"]
    truth["blocked"] = code["blocked"]
    truth["potency"] = np.where(code["blocked"], 0.0, np.exp(code["log_potency"]))
    truth[Var.element_class] = code["class"]
    return truth


def _sequence_reads(
    rng: np.random.Generator, elements: pd.DataFrame, promoters: pd.DataFrame, config: SimulationConfig
) -> dict[str, list[dict[str, regulation.Ints]]]:
    """Sorted 5′ ends, ``{assay: [{chromosome: positions} of each replicate]}``."""
    reads: dict[str, list[dict[str, regulation.Ints]]] = {}
    for assay, n in regulation.REPLICATES.items():
        reads[assay] = []
        for _ in range(n):
            replicate = {}
            for chrom, size in chromosome_sizes(config).items():
                parts = [rng.integers(0, size, size=rng.poisson(config.background_per_kb * size / 1000))]
                for sites, centre, half in ((elements, Var.summit, 200), (promoters, Var.tss, 500)):
                    here = sites[sites[Var.chromosome] == chrom]
                    logs = np.log(here["activity"].to_numpy())
                    parts.append(regulation.draw_reads(rng, logs, here[centre].to_numpy(), half, config))
                replicate[chrom] = np.sort(np.concatenate(parts))
            reads[assay].append(replicate)
    return reads


def _measure(
    truth: pd.DataFrame,
    start: pd.Series,
    end: pd.Series,
    reads: dict[str, list[dict[str, regulation.Ints]]],
    config: SimulationConfig,
) -> None:
    """Add reads of each track, and the activity that they show, to the truth."""
    per_million = 1e6 / config.library
    chroms = truth[Var.chromosome].to_numpy()
    product = np.ones(len(truth))
    for assay, replicates in reads.items():
        columns = [assay if len(replicates) == 1 else f"{assay}_rep{k + 1}" for k in range(len(replicates))]
        for name, replicate in zip(columns, replicates, strict=True):
            counts = np.zeros(len(truth), dtype=np.int64)
            for chrom, positions in replicate.items():
                here = chroms == chrom
                counts[here] = regulation.counts_within(positions, start.to_numpy()[here], end.to_numpy()[here])
            truth[name] = counts
        product *= truth[columns].to_numpy().mean(axis=1) * per_million
    truth["activity_measured"] = product ** (1 / len(reads))


def _regulate(
    pairs: pd.DataFrame,
    elements: pd.DataFrame,
    genes: pd.DataFrame,
    stability: Floats,
    noise: np.random.Generator,
    config: SimulationConfig,
) -> pd.DataFrame:
    """Links with what each contributes; adds the terms of expression to the genes."""
    gene, element = pairs["gene"].to_numpy(), pairs["element"].to_numpy()
    of_element = elements.iloc[element].reset_index(drop=True)
    taken = genes[Var.element_class].to_numpy()[gene]
    suits = (of_element[Var.element_class] == 0) | (of_element[Var.element_class] == taken)
    links = pd.DataFrame(
        {
            Var.gene: genes.index.to_numpy()[gene],
            Var.enhancer: elements.index.to_numpy()[element],
            Var.distance: pairs["distance"],
            "activity": of_element["activity"],
            "contact": pairs["contact"],
            "potency": of_element["potency"],
            "compatibility": suits.astype(np.float64),
        }
    )
    links["visible"] = links["activity"] * links["contact"]
    links["contribution"] = links["visible"] * links["potency"] * links["compatibility"]

    def of_gene(values: pd.Series) -> Floats:
        return np.bincount(gene, weights=values, minlength=len(genes)).astype(np.float64)

    genes["own"] = config.promoter_weight * genes["activity"] * genes["potency"] * genes["contact"]
    genes["transcription"] = genes["own"] + of_gene(links["contribution"])
    genes["log10_stability"] = stability
    genes["expression"] = regulation.EXPRESSION_UNIT * genes["transcription"] * 10**stability
    error = 10 ** (config.expression_noise * noise.standard_normal(len(genes)))
    genes["expression_measured"] = genes["expression"] * error

    links["share"] = links["contribution"] / genes["transcription"].to_numpy()[gene]
    links["inert"] = links["contribution"] == 0
    links["positive"] = links["share"] >= config.min_share
    visible = of_element["activity_measured"] * links["contact"]
    links["abc"] = visible / np.maximum(of_gene(visible), np.finfo(float).tiny)[gene]
    return links


def _log_correlation(genes: pd.DataFrame) -> float:
    logs = np.log10(genes[["expression", "expression_measured"]].to_numpy())
    return float(np.corrcoef(logs, rowvar=False)[0, 1])
