"""Figures of the object, ready for print and for slides. matplotlib is imported when the first figure is drawn."""

from __future__ import annotations

from eregtools.pl.ernas import erna_profile
from eregtools.pl.evaluation import performance_by_fold
from eregtools.pl.expression import expression_scatter
from eregtools.pl.interactions import position_attention
from eregtools.pl.links import links_heatmap, pr_curve
from eregtools.pl.locus import locus
from eregtools.pl.logo import logo
from eregtools.pl.perturbation import attention, perturbation
from eregtools.pl.theme import theme
from eregtools.pl.training import training

__all__ = [
    "attention",
    "erna_profile",
    "expression_scatter",
    "links_heatmap",
    "locus",
    "logo",
    "performance_by_fold",
    "perturbation",
    "position_attention",
    "pr_curve",
    "theme",
    "training",
]
