"""Imports the package whole before pytest imports single files of it.

A file that pytest imports first takes the place of the function that has its name: ``er.pl.locus`` would be a module.
"""

from eregtools import datasets, get, io, pl, pp, tl  # noqa: F401
