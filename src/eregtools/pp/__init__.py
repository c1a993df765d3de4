"""Build the object and fill it from genomic files and tables."""

from eregtools.pp.activity import activity, promoter_activity
from eregtools.pp.aggregate import aggregate_coverage
from eregtools.pp.assemble import assemble
from eregtools.pp.candidates import candidate_enhancers, classify
from eregtools.pp.contacts import add_contacts
from eregtools.pp.coverage import add_coverage
from eregtools.pp.erna_labels import label_ernas
from eregtools.pp.erna_mask import erna_mask
from eregtools.pp.expression import add_expression
from eregtools.pp.link_tables import add_crispr, add_link_table, score_pairs
from eregtools.pp.links import link
from eregtools.pp.loci import candidate_ernas
from eregtools.pp.matched_ernas import matched_ernas
from eregtools.pp.matched_pairs import matched_pairs
from eregtools.pp.mrna import mrna_features
from eregtools.pp.neighbours import neighbour_activity
from eregtools.pp.pairs import pairs
from eregtools.pp.region_anndata import assemble_regions
from eregtools.pp.signal import add_signal
from eregtools.pp.split import split
from eregtools.pp.strand_audit import strand_audit
from eregtools.pp.subset import subset

__all__ = [
    "activity",
    "add_contacts",
    "add_coverage",
    "add_crispr",
    "add_expression",
    "add_link_table",
    "add_signal",
    "aggregate_coverage",
    "assemble",
    "assemble_regions",
    "candidate_enhancers",
    "candidate_ernas",
    "classify",
    "erna_mask",
    "label_ernas",
    "link",
    "matched_ernas",
    "matched_pairs",
    "mrna_features",
    "neighbour_activity",
    "pairs",
    "promoter_activity",
    "score_pairs",
    "split",
    "strand_audit",
    "subset",
]
