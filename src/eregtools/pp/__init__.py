"""Build the object and fill it from genomic files and tables."""

from eregtools.pp import example
from eregtools.pp.activity import activity, promoter_activity
from eregtools.pp.assemble import assemble
from eregtools.pp.contacts import add_contacts
from eregtools.pp.expression import add_expression, mrna_features
from eregtools.pp.links import link
from eregtools.pp.signal import add_signal
from eregtools.pp.split import split
from eregtools.pp.subset import subset

__all__ = [
    "activity",
    "add_contacts",
    "add_expression",
    "add_signal",
    "assemble",
    "example",
    "link",
    "mrna_features",
    "promoter_activity",
    "split",
    "subset",
]
