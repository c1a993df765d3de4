"""Build the object and fill it from genomic files and tables."""

from eregtools.pp.activity import activity, promoter_activity
from eregtools.pp.assemble import assemble
from eregtools.pp.candidates import candidate_enhancers, classify
from eregtools.pp.contacts import add_contacts
from eregtools.pp.expression import add_expression
from eregtools.pp.link_tables import add_crispr, add_link_table, score_pairs
from eregtools.pp.links import link
from eregtools.pp.mrna import mrna_features
from eregtools.pp.neighbours import neighbour_activity
from eregtools.pp.signal import add_signal
from eregtools.pp.split import split
from eregtools.pp.subset import subset

__all__ = [
    "activity",
    "add_contacts",
    "add_crispr",
    "add_expression",
    "add_link_table",
    "add_signal",
    "assemble",
    "candidate_enhancers",
    "classify",
    "link",
    "mrna_features",
    "neighbour_activity",
    "promoter_activity",
    "score_pairs",
    "split",
    "subset",
]
