"""Values of tables of enhancer–gene pairs, brought to links or to other pairs by overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from mudata import MuData
from numpy.typing import NDArray

from eregtools import get
from eregtools._keys import INTERVAL, Layer, Modality
from eregtools._pairs import Statistic, refuse_several_cell_types, same_gene_overlaps, scores_by_overlap
from eregtools._schema import (
    check_layer_name,
    layer_to_fill,
    listed,
    put_layer,
    require_layer,
    require_modality,
    require_real,
)
from eregtools.get._select import one_sample
from eregtools.io._pair_columns import require_columns, to_float
from eregtools.io.links import EFFECT_SIZE, SIGNIFICANT

Columns = str | Sequence[str] | Mapping[str, str]


def add_link_table(
    mdata: MuData,
    table: pd.DataFrame,
    *,
    columns: Columns,
    sample: str | None = None,
    statistic: Statistic | Mapping[str, Statistic] = "sum",
    key_added: str | None = None,
    copy: bool = False,
) -> MuData | None:
    """Add values of a table of enhancer–gene pairs to the links that they overlap.

    A row belongs to a link when both name the same gene and their elements overlap by at least one base.

    Parameters
    ----------
    mdata
        The object, with links.
    table
        Pairs of one biosample, such as :func:`eregtools.io.read_abc` and :func:`eregtools.io.read_re2g` read them:
        Chromosome, Start, End (0-based half-open) and genes (``gene``, ``gene_id``, ``gene_name``), which match by id
        without version, or by name where the object has no such id.
    columns
        Column to take, several of them, or ``{column: layer}``.
    sample
        Biosample that the table is of; default the only one.
    statistic
        ``"sum"``, ``"max"`` or ``"mean"`` of the rows that belong to one link; ``{column: statistic}`` for different
        ones (``"sum"`` where a column is not named).
    key_added
        Layer to write, for one column; default the name of the column.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["links"].layers[column]``
        Value ``(n_samples, n_links)``, float32, in the row of the biosample; NaN where no row of the table belongs
        to the link. Other biosamples keep theirs.

    Raises
    ------
    KeyError
        The object has no links or no such biosample.
    ValueError
        No row belongs to any link (the error tells whether chromosomes, genes or positions are at fault), a column
        is missing or holds no numbers, the table has several cell types or, for a sum, a pair twice; a view.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> table = pd.DataFrame(
    ...     {"Chromosome": "chr1", "Start": [8_100, 8_300], "End": [8_200, 8_600], "gene": "BETA", "score": [0.2, 0.1]}
    ... )
    >>> er.pp.add_link_table(mdata, table, columns="score", key_added="published")
    >>> er.get.links(mdata, gene="BETA", layers="published")["published"].astype(float).round(2).tolist()
    [nan, 0.3, nan]
    """
    require_real(mdata)
    layers = _named(columns)
    if key_added is not None:
        if len(layers) != 1:
            raise ValueError(f"key_added= names one layer and there are {len(layers)} columns; use {{column: layer}}")
        layers = dict.fromkeys(layers, key_added)
    for layer in layers.values():
        check_layer_name(layer, "key_added" if key_added is not None else "columns")
    name, rows, links = _links_of(mdata, sample)
    found = scores_by_overlap(links, table, list(layers), statistic, "table")
    mdata = mdata.copy() if copy else mdata
    for column, layer in layers.items():
        _fill(mdata, layer, name, rows, found[column])
    return mdata if copy else None


def add_crispr(
    mdata: MuData,
    table: pd.DataFrame,
    *,
    sample: str | None = None,
    key_added: str = Layer.crispr,
    copy: bool = False,
) -> MuData | None:
    """Add the measured effects of enhancers on genes to the links that they overlap.

    Of several tested elements that overlap the enhancer of a link, a significant one counts before others, and then
    the one with the largest effect; effect and significance are of the same one.

    Parameters
    ----------
    mdata
        The object, with links.
    table
        Tested pairs of one biosample, as :func:`eregtools.io.read_crispr` reads them.
    sample
        Biosample that the table is of; default the only one.
    key_added
        Layer to write.
    copy
        Return a new object instead.

    Returns
    -------
    None, or the new object. Sets the following fields.

    ``mdata["links"].layers["crispr"]``
        Fraction by which expression changes when the element is silenced ``(n_samples, n_links)``, float32: −0.3 is
        a loss of 30 %. NaN where the link was not tested.
    ``mdata["links"].layers["crispr_significant"]``
        1 where the effect is significant, 0 where it is not, NaN where the link was not tested, float32.

    Raises
    ------
    KeyError, ValueError
        As :func:`add_link_table`.

    Notes
    -----
    Links say nothing of tested elements that no link has; :func:`eregtools.tl.evaluate_links` judges scores by the
    table itself, so that these count too.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> tested = pd.DataFrame({"Chromosome": "chr1", "Start": [8_000], "End": [8_500], "gene": "BETA"})
    >>> er.pp.add_crispr(mdata, tested.assign(effect_size=-0.4, significant=True))
    >>> er.get.links(mdata, gene="BETA", layers="crispr")["crispr"].astype(float).round(2).tolist()
    [nan, -0.4, nan]
    """
    require_real(mdata)
    check_layer_name(key_added, "key_added")
    require_columns(table, (*INTERVAL, EFFECT_SIZE, SIGNIFICANT), "table")
    refuse_several_cell_types(table, "table")
    name, rows, links = _links_of(mdata, sample)
    measured = table[table[EFFECT_SIZE].notna()]
    of_link, of_table = same_gene_overlaps(links, measured, "table")
    effect = to_float(measured[EFFECT_SIZE], "table")[of_table]
    significant = to_float(measured[SIGNIFICANT], "table")[of_table]
    order = np.lexsort((effect, -np.abs(effect), -significant, of_link))
    chosen = order[np.diff(of_link[order], prepend=-1) > 0]
    mdata = mdata.copy() if copy else mdata
    for layer, values in ((key_added, effect), (Layer.significant(key_added), significant)):
        of_links = np.full(len(links), np.nan)
        of_links[of_link[chosen]] = values[chosen]
        _fill(mdata, layer, name, rows, of_links)
    return mdata if copy else None


def score_pairs(
    pairs: pd.DataFrame,
    table: pd.DataFrame,
    *,
    columns: Columns,
    statistic: Statistic | Mapping[str, Statistic] = "sum",
) -> pd.DataFrame:
    """Give pairs the scores of a table of predictions, by overlap of their elements.

    Parameters
    ----------
    pairs
        Tested pairs of element and gene, as :func:`eregtools.io.read_crispr` reads them.
    table
        Predictions of one biosample, as for :func:`add_link_table`, in the same assembly.
    columns
        Column to take, several of them, or ``{column: new name}``.
    statistic
        ``"sum"``, ``"max"`` or ``"mean"`` of the rows whose element overlaps that of a pair and that have its gene;
        ``{column: statistic}`` for different ones.

    Returns
    -------
    The pairs with the scores as new columns, float64; NaN where no prediction belongs to the pair.

    Raises
    ------
    ValueError
        As :func:`add_link_table`, and where the pairs already have a column of that name.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> pairs = pd.DataFrame({"Chromosome": "chr1", "Start": [100, 900], "End": [600, 950], "gene": "A"})
    >>> table = pd.DataFrame({"Chromosome": "chr1", "Start": [50, 500], "End": [150, 700], "gene": "A", "s": [1.0, 2]})
    >>> er.pp.score_pairs(pairs, table, columns="s")["s"].tolist()
    [3.0, nan]
    """
    names = _named(columns)
    if taken := [name for name in names.values() if name in pairs]:
        raise ValueError(f"pairs: there is a column {listed(taken)} already; name another, as in {{column: new name}}")
    found = scores_by_overlap(pairs, table, list(names), statistic, "table")
    return pairs.assign(**{names[column]: scores for column, scores in found.items()})


def _named(columns: Columns) -> dict[str, str]:
    """Column -> name of what it becomes."""
    if isinstance(columns, Mapping):
        names = dict(columns)
    else:
        names = {name: name for name in ([columns] if isinstance(columns, str) else columns)}
    if not names:
        raise ValueError("columns= is empty; name at least one")
    if len(set(names.values())) < len(names):
        raise ValueError(f"columns={dict(names)}: expected a different name for each column")
    return names


def _links_of(mdata: MuData, sample: str | None) -> tuple[str, NDArray[np.int64], pd.DataFrame]:
    """Biosample, its links' places among all links, and its links as a table."""
    links = require_modality(mdata, Modality.links)
    name = one_sample(mdata, sample)
    candidate = require_layer(links, Layer.candidate, "er.pp.link")[mdata.obs_names.get_loc(name)]
    return name, np.flatnonzero(candidate == 1), get.links(mdata, sample=name, layers=())


def _fill(mdata: MuData, layer: str, sample: str, rows: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    row = mdata.obs_names.get_loc(sample)
    filled = layer_to_fill(mdata.mod[Modality.links], layer, [row])
    filled[row, rows] = values
    put_layer(mdata, Modality.links, layer, filled)
