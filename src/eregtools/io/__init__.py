"""Readers, one for each file format, and the object on disk."""

from eregtools.io.attributions import write_attributions
from eregtools.io.bam import bam_counts, bam_coverage, bam_total
from eregtools.io.bed import read_bed, read_narrowpeak
from eregtools.io.contacts import ContactBand, ContactsInfo, contact_of_pairs, contacts_info, read_contacts
from eregtools.io.erna_export import write_ernas
from eregtools.io.gtf import read_genes, read_gtf
from eregtools.io.link_export import write_bedpe, write_interact, write_longrange
from eregtools.io.links import read_abc, read_bedpe, read_crispr, read_re2g
from eregtools.io.meme import read_meme, write_meme
from eregtools.io.pairs import read_pairs
from eregtools.io.region_anndata import region_table, to_region_anndata
from eregtools.io.store import read, write
from eregtools.io.tables import read_intervals_table, read_table
from eregtools.io.vcf import read_vcf

__all__ = [
    "ContactBand",
    "ContactsInfo",
    "bam_counts",
    "bam_coverage",
    "bam_total",
    "contact_of_pairs",
    "contacts_info",
    "read",
    "read_abc",
    "read_bed",
    "read_bedpe",
    "read_contacts",
    "read_crispr",
    "read_genes",
    "read_gtf",
    "read_intervals_table",
    "read_meme",
    "read_narrowpeak",
    "read_pairs",
    "read_re2g",
    "read_table",
    "read_vcf",
    "region_table",
    "to_region_anndata",
    "write",
    "write_attributions",
    "write_bedpe",
    "write_ernas",
    "write_interact",
    "write_longrange",
    "write_meme",
]
