"""Tools: run the models on the object, in place."""

from __future__ import annotations

from eregtools.tl.abc import abc
from eregtools.tl.activity import predict_activity
from eregtools.tl.agreement import agreement
from eregtools.tl.attribute import attribute
from eregtools.tl.baseline import baseline_expression
from eregtools.tl.baseline_ernas import baseline_ernas
from eregtools.tl.baseline_interactions import baseline_interactions
from eregtools.tl.call_ernas import call_ernas
from eregtools.tl.cross_validate import cross_validate
from eregtools.tl.enrichment import enrichment
from eregtools.tl.ernas import finetune_ernas, train_ernas
from eregtools.tl.evaluate import evaluate_activity, evaluate_expression
from eregtools.tl.evaluate_eqtl import evaluate_eqtl
from eregtools.tl.evaluate_ernas import evaluate_ernas
from eregtools.tl.evaluate_interactions import evaluate_interactions
from eregtools.tl.evaluate_links import evaluate_links
from eregtools.tl.interactions import predict_interactions, scan_interactions
from eregtools.tl.leakage import leakage
from eregtools.tl.links import attention, attention_abc, link_scores
from eregtools.tl.motif_hits import motif_hits
from eregtools.tl.motifs import motifs
from eregtools.tl.perturb import perturb
from eregtools.tl.position_attention import position_attention
from eregtools.tl.predict_ernas import calibrate_ernas, predict_ernas
from eregtools.tl.predict_expression import predict_expression
from eregtools.tl.quantify import quantify_ernas
from eregtools.tl.scan_ernas import scan_ernas
from eregtools.tl.train import train_activity, train_expression
from eregtools.tl.train_interactions import train_interactions
from eregtools.tl.variants import variant_effect

__all__ = [
    "abc",
    "agreement",
    "attention",
    "attention_abc",
    "attribute",
    "baseline_ernas",
    "baseline_expression",
    "baseline_interactions",
    "calibrate_ernas",
    "call_ernas",
    "cross_validate",
    "enrichment",
    "evaluate_activity",
    "evaluate_eqtl",
    "evaluate_ernas",
    "evaluate_expression",
    "evaluate_interactions",
    "evaluate_links",
    "finetune_ernas",
    "leakage",
    "link_scores",
    "motif_hits",
    "motifs",
    "perturb",
    "position_attention",
    "predict_activity",
    "predict_ernas",
    "predict_expression",
    "predict_interactions",
    "quantify_ernas",
    "scan_ernas",
    "scan_interactions",
    "train_activity",
    "train_ernas",
    "train_expression",
    "train_interactions",
    "variant_effect",
]
