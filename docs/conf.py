"""Sphinx configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import eregtools

project = "eregtools"
author = "eregtools developers"
copyright = "2026, eregtools developers"
release = version = eregtools.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "matplotlib.sphinxext.plot_directive",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

autosummary_generate = True
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
# Types stand in signatures alone; here they are joined to the parameters that docstrings describe.
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Tutorials are kept with their output; `make tutorials` runs them.
nb_execution_mode = "off"

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 160)]
plot_include_source = True

# A name in another project's pages becomes a link where those pages may be asked (EREGTOOLS_INTERSPHINX=1).
intersphinx_mapping = {
    name: (f"https://{place}/", None)
    for name, place in {
        "anndata": "anndata.readthedocs.io/en/stable",
        "matplotlib": "matplotlib.org/stable",
        "mudata": "mudata.readthedocs.io/stable",
        "numpy": "numpy.org/doc/stable",
        "pandas": "pandas.pydata.org/docs",
        "python": "docs.python.org/3",
        "scanpy": "scanpy.readthedocs.io/en/stable",
        "scipy": "docs.scipy.org/doc/scipy",
        "sklearn": "scikit-learn.org/stable",
        "torch": "docs.pytorch.org/docs/stable",
    }.items()
    if os.environ.get("EREGTOOLS_INTERSPHINX") == "1"
}

html_theme = "sphinx_book_theme"
html_title = "eregtools"
html_static_path = ["_static"]
html_css_files = ["figures.css"]
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": False, "show_navbar_depth": 1, "navbar_persistent": []}

_build = Path(__file__).parent / "_build"
_build.mkdir(exist_ok=True)

# The commands with their options, as typer writes them; `api/command_line.md` includes it.
subprocess.run(
    [sys.executable, "-m", "typer", "eregtools.cli", "utils", "docs", "--name", "eregtools", "--output", "commands.md"],
    cwd=_build,
    check=True,
    stdout=subprocess.DEVNULL,
)

# What examples simulate stays between builds, apart from the user's own.
eregtools.settings.cache_dir = _build / "cache"
eregtools.settings.progress = False
