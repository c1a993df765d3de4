"""The page as one file that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eregtools._logging import logger
from eregtools._schema import listed, validate
from eregtools.get._select import sample_names
from eregtools.io import store
from eregtools.report.loci import loci
from eregtools.report.quality import quality
from eregtools.report.scores import Judging, scores
from eregtools.report.summary import facts, layers, origins

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

    from eregtools.genome import Genome

_SCRIPTS: Final = ("elements.js", "paged_table.js", "locus_layout.js", "locus_figure.js", "browser.js")
"""Parts of the script, in the order in which they need each other."""


def write_report(
    mdata: MuData | str | Path,
    out: str | Path,
    *,
    genes: str | Sequence[str] | None = None,
    sample: str | Sequence[str] | None = None,
    title: str | None = None,
    evaluations: Mapping[str, pd.DataFrame] | None = None,
    pairs: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
    genome: Genome | str | Path | None = None,
    n_bootstrap: int = 200,
    rng: int | None = None,
) -> None:
    """Write one HTML page about an object: what it holds, how good it is, what its models are worth, and its loci.

    The page is one file: it opens from a disk, loads nothing from a network, and the same object gives the same bytes.
    It shows the object; the quality of the data of each biosample; the scores of predictions beside those of every
    baseline, and what could not be judged and why; tables of genes, links and loci that can be searched and sorted; the
    figure of a locus for any gene, or for any locus of enhancer RNA; and which weights and parameters made each result.

    Parameters
    ----------
    mdata
        The object, or the path of one (``.h5mu``, ``.zarr``).
    out
        File to write (``.html``); what is there is replaced.
    genes
        Genes that can be looked up, by id or name, and the loci of enhancer RNA in view of them; ``None``: all. Quality
        and scores are of all genes and loci in any case.
    sample
        Biosamples to show; ``None``: all.
    title
        Title of the page; ``None``: the name of the file, or ``"Gene regulation"``.
    evaluations
        Tables that stand among the scores, by their titles: what :func:`eregtools.tl.evaluate_expression`,
        :func:`eregtools.tl.evaluate_links` and their siblings returned. Others are shown as they are.
    pairs
        Tested pairs of the one biosample that is shown (:func:`eregtools.io.read_crispr`), or ``{sample: pairs}``, by
        which scores of links are judged; ``None``: they are not.
    genome
        Genome, path or registered name, which the baselines of predicted activity and of loci read; ``None``: activity
        is not judged, and loci without the baseline that reads it.
    n_bootstrap
        Draws for intervals of scores; 0: none.
    rng
        Seed of trees and draws; ``None``: ``settings.seed``.

    Raises
    ------
    ImportError
        There is no jinja2.
    KeyError
        A gene or biosample is not in the object.
    ValueError
        The object is not valid, no gene is chosen, or it is not told of which biosample the pairs are.
    OSError
        There is no such file to read, or nothing can be written there.

    Notes
    -----
    Predictions are judged as they are stored, by :func:`eregtools.tl.evaluate_expression` and its siblings; baselines
    are fitted here (ten seconds for all of K562). Numbers in the tables and figures keep four digits; the data are
    compressed, which browsers since 2023 can read. Labelled pairs and loci are judged where they have labels; the
    coverage of RNA is kept around the 2,000 clearest loci (of two biosamples: 1,000), if its folder is at hand.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> path = Path(tempfile.mkdtemp()) / "report.html"
    >>> er.report.write_report(mdata, path, title="Three genes")
    >>> "<title>Three genes</title>" in path.read_text()
    True
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ImportError("a report needs jinja2, which is not installed: pip install 'eregtools[report]'")
    source = Path(mdata) if isinstance(mdata, str | Path) else None
    held = store.read(source) if source is not None else mdata
    validate(held, full=False)
    samples = sample_names(held, sample)
    browsed = loci(held, samples, genes)
    judged = scores(held, Judging(samples, n_bootstrap, rng, genome, _pairs(pairs, samples)), evaluations or {})
    page = _page(
        title=title or (source.name if source is not None else "Gene regulation"),
        facts=facts(held),
        layers=layers(held),
        samples=samples,
        quality=quality(held, samples),
        scores=judged,
        origins=origins(held),
        browsed=browsed,
    )
    store.write_bytes(page.encode(), out)
    logger.info("wrote %s (%.1f MB)", out, len(page.encode()) / 1e6)


def _pairs(
    pairs: pd.DataFrame | Mapping[str, pd.DataFrame] | None, samples: Sequence[str]
) -> Mapping[str, pd.DataFrame]:
    if pairs is None:
        return {}
    if isinstance(pairs, Mapping):
        if unknown := [name for name in pairs if name not in samples]:
            raise KeyError(f"pairs= are of {unknown[0]!r}, which is none of the biosamples shown ({listed(samples)})")
        return pairs
    if len(samples) != 1:
        raise ValueError(
            f"pairs= are of one biosample and {len(samples)} are shown ({listed(samples)}); choose it with sample=, or "
            "pass {sample: pairs}"
        )
    return {samples[0]: pairs}


def _page(*, browsed: dict[str, Any] | None, **content: Any) -> str:
    """Fill the template; the script is known by its hash, so that the page runs no other."""
    from importlib.metadata import version

    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = files("eregtools.report") / "page"
    parts = "\n".join((folder / name).read_text("utf-8") for name in _SCRIPTS)
    script = f'(() => {{\n"use strict";\n{parts}}})();\n'
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, loader=FileSystemLoader(str(folder)), trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("page.html").render(
        **content,
        style=(folder / "page.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=None if browsed is None else packed(browsed),
        n_listed=0 if browsed is None else sum(browsed["genes"]["listed"]),
        n_links=0 if browsed is None or browsed["links"] is None else len(browsed["links"]["gene"]),
        has_links=browsed is not None and browsed["links"] is not None,
        has_ernas=browsed is not None and browsed["ernas"] is not None and bool(browsed["ernas"]["start"]),
        browse_title=_browse_title(browsed),
        version=version("eregtools"),
    )


def _browse_title(browsed: dict[str, Any] | None) -> str:
    if browsed is None or browsed["ernas"] is None:
        return "Genes and links"
    return "Genes, links and loci of enhancer RNA" if browsed["genes"]["id"] else "Loci of enhancer RNA"


def packed(content: dict[str, Any]) -> str:
    """JSON, compressed, as text that is safe inside of a page."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
