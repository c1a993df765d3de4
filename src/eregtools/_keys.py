"""Every name under which eregtools stores something in the object, once."""

from __future__ import annotations

from typing import Final

UNS: Final = "eregtools"
"""``mdata.uns`` entry that holds everything of ours."""


class Modality:
    """Modalities of the object."""

    genes: Final = "genes"
    enhancers: Final = "enhancers"
    links: Final = "links"
    ernas: Final = "ernas"


class Uns:
    """Entries of ``mdata.uns["eregtools"]``."""

    schema: Final = "schema_version"
    genome: Final = "genome"
    chrom_sizes: Final = "chrom_sizes"
    x_layer: Final = "x_layer"
    folds: Final = "folds"
    fold_schemes: Final = "fold_schemes"
    contacts: Final = "contacts"
    results: Final = "results"
    transforms: Final = "transforms"
    totals: Final = "totals"
    activity: Final = "activity"
    mrna_features: Final = "mrna_features"
    perturbations: Final = "perturbations"
    motifs: Final = "motifs"
    motif_hits: Final = "motif_hits"
    position_attention: Final = "position_attention"
    build: Final = "build"
    coverage: Final = "coverage"
    erna_mask: Final = "erna_mask"
    erna_candidates: Final = "erna_candidates"
    erna_labels: Final = "erna_labels"
    quantification: Final = "quantification"
    erna_scan: Final = "erna_scan"
    erna_calls: Final = "erna_calls"


class Obs:
    """Columns of ``obs``."""

    library_size: Final = "library_size"
    read_length: Final = "read_length"
    strandedness: Final = "strandedness"
    strand_fraction: Final = "strand_fraction"
    swapped: Final = "swapped"
    group: Final = "group"


class Var:
    """Columns of ``var``."""

    chromosome: Final = "Chromosome"
    start: Final = "Start"
    end: Final = "End"
    strand: Final = "Strand"
    tss: Final = "tss"
    gene_name: Final = "gene_name"
    summit: Final = "summit"
    element_class: Final = "class"
    gene: Final = "gene"
    enhancer: Final = "enhancer"
    distance: Final = "distance"
    self_promoter: Final = "self_promoter"
    fold: Final = "fold"
    input_index: Final = "input_index"
    split: Final = "split"
    center: Final = "center"
    source: Final = "source"
    summit_rpm: Final = "summit_rpm"
    stratum: Final = "stratum"
    matched_to: Final = "matched_to"
    width: Final = "width"
    gc: Final = "gc"
    n_detected: Final = "n_detected"
    consistency_q: Final = "consistency_q"
    score: Final = "score"
    qvalue: Final = "qvalue"
    cluster: Final = "cluster"
    nearest_gene: Final = "nearest_gene"
    tss_distance: Final = "tss_distance"
    gene_correlation: Final = "gene_correlation"
    label: Final = "label"
    block: Final = "block"
    origin: Final = "origin"
    match: Final = "match"
    pair_window_start: Final = "window_start"
    pair_window_end: Final = "window_end"

    @staticmethod
    def window_start(attributions: str) -> str:
        """Column of the first position of the windows of attributions."""
        return f"{attributions}_start"

    @staticmethod
    def residual(attributions: str) -> str:
        """Column of how far attributions are from adding up to the difference of predictions."""
        return f"{attributions}_residual"


class Stratum:
    """Values of ``ernas.var["stratum"]``: what a locus is said to be, and where negatives were drawn."""

    positive: Final = "positive"
    unsupported: Final = "unsupported"
    unlabelled: Final = "unlabelled"
    negative: Final = "negative"
    open: Final = "open"
    signal: Final = "signal"
    edge: Final = "edge"
    intergenic: Final = "intergenic"
    promoter: Final = "promoter"
    silent: Final = "silent"

    DRAWN: Final = (open, signal, edge, intergenic, promoter, silent)
    ALL: Final = (positive, unsupported, unlabelled, negative, *DRAWN)


class Layer:
    """Layers with a fixed name."""

    candidate: Final = "candidate"
    activity: Final = "activity"
    activity_pred: Final = "activity_pred"
    promoter_activity: Final = "promoter_activity"
    contact: Final = "contact"
    attention: Final = "attention"
    abc: Final = "abc"
    perturbation: Final = "perturbation"
    attention_abc: Final = "attention_abc"
    interaction: Final = "interaction"
    crispr: Final = "crispr"
    probability: Final = "probability"
    label: Final = "label"
    support_p: Final = "support_p"
    rpm: Final = "rpm"
    rpkm: Final = "rpkm"
    reads: Final = "reads"
    plus: Final = "plus"
    minus: Final = "minus"
    directionality: Final = "directionality"
    balance: Final = "balance"
    detected: Final = "detected"
    qvalue: Final = "qvalue"

    @staticmethod
    def score(name: str) -> str:
        """Layer of a simple number of links as a score of its own, higher = stronger."""
        return f"{name}_score"

    @staticmethod
    def interaction_baseline(method: str) -> str:
        """Layer of how likely links are by what can be told without sequence."""
        return f"interaction_baseline_{method}"

    @staticmethod
    def erna_baseline(method: str) -> str:
        """Layer of how likely loci are enhancer RNAs by a rule, or by numbers without sequence."""
        return f"erna_baseline_{method}"

    @staticmethod
    def significant(effect: str) -> str:
        """Layer of the links whose measured effect is significant (1) or is not (0)."""
        return f"{effect}_significant"

    @staticmethod
    def replicate(assay: str, number: int) -> str:
        """Layer of one replicate (1-based) of an assay."""
        return f"{assay}_rep{number}"

    @staticmethod
    def numerator(score: str) -> str:
        """Layer of what a score is before it is divided by the gene's sum."""
        return f"{score}_numerator"

    @staticmethod
    def predicted(score: str) -> str:
        """Layer of the links whose score passes the threshold (1) or does not (0)."""
        return f"{score}_predicted"

    @staticmethod
    def expression_pred(assay: str) -> str:
        """Layer of the predicted expression of an assay."""
        return f"{assay}_pred"

    @staticmethod
    def shuffled_pred(assay: str) -> str:
        """Layer of what a model predicts from shuffled sequence."""
        return f"{assay}_shuffled_pred"

    @staticmethod
    def expression_baseline(assay: str, method: str = "trees") -> str:
        """Layer of the expression of an assay as it is predicted without sequence."""
        return f"{assay}_baseline" if method == "trees" else f"{assay}_baseline_{method}"


class ElementClass:
    """Values of ``enhancers.var["class"]``."""

    promoter: Final = "promoter"
    genic: Final = "genic"
    intergenic: Final = "intergenic"


class Varm:
    """Entries of ``varm``."""

    mrna_features: Final = "mrna_features"

    @staticmethod
    def attributions(target: str, method: str) -> str:
        """Attributions of what is predicted (an assay, or activity) to the bases of each element."""
        return f"{target}_{method}"

    @staticmethod
    def bin_weights(attention: str, side: str, stage: int) -> str:
        """Weights of the bins of the enhancer or promoter of each link, at one stage of position attention."""
        return f"{attention}_{side}{stage}"

    @staticmethod
    def relations(attention: str, stage: int) -> str:
        """Relations of the bins of enhancer and promoter of each link, at one stage of position attention."""
        return f"{attention}_relation{stage}"

    @staticmethod
    def promoters_of(attributions: str) -> str:
        """Attributions to the promoters of links, beside those to their enhancers."""
        return f"{attributions}_promoter"

    @staticmethod
    def hypothetical(attributions: str) -> str:
        """Attributions of each base at each position, beside those of the bases that are there."""
        return f"{attributions}_hypothetical"


LINK_SCORES: Final = (Layer.attention_abc, Layer.attention, Layer.abc, Layer.interaction, Layer.contact)
"""Layers of links that tell how strong each is, higher = stronger."""

INTERVAL: Final = (Var.chromosome, Var.start, Var.end)
"""Columns of a genomic interval, in the order of PyRanges."""

MRNA_FEATURES: Final = (
    "UTR5LEN_log10zscore",
    "CDSLEN_log10zscore",
    "INTRONLEN_log10zscore",
    "UTR3LEN_log10zscore",
    "UTR5GC",
    "CDSGC",
    "UTR3GC",
    "ORFEXONDENSITY",
)
"""mRNA half-life features of Xpresso (Agarwal and Shendure 2020), in the order EPInformer takes them."""
