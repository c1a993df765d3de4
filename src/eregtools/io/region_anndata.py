"""AnnData of regions, as CREsted and gReLU keep them: rows are cell types or tracks, columns are regions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from eregtools._keys import INTERVAL, UNS, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import listed, require_modality
from eregtools.get._select import check_layer, sample_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mudata import MuData

Style = Literal["crested", "grelu"]

_SPELLINGS: Final = {
    Var.chromosome: ("chr", "chrom", "chromosome", "Chromosome", "seqnames"),
    Var.start: ("start", "Start", "chromStart"),
    Var.end: ("end", "End", "chromEnd"),
}
_COLUMNS: Final = {"crested": ("chr", "start", "end"), "grelu": ("chrom", "start", "end")}
_NAME: Final = r"^(?P<chromosome>.+):(?P<start>\d+)-(?P<end>\d+)$"

SETS: Final = {"train": "train", "valid": "val", "test": "test"}
"""Our name of a set of a fold -> CREsted's."""


def region_table(regions: AnnData | str | Path) -> tuple[AnnData, pd.DataFrame]:
    """Read the intervals of an AnnData of regions.

    Parameters
    ----------
    regions
        The AnnData, or its ``.h5ad``: ``var`` has ``chr`` (CREsted) or ``chrom`` (gReLU), ``start`` and ``end``,
        0-based half-open; without these columns, names such as ``chr1:1000-1500``.

    Returns
    -------
    The AnnData, and its intervals in the order of its columns: ``Chromosome``, ``Start``, ``End``, by the names of the
    regions.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        There are neither columns nor names with intervals, positions are no whole numbers, or the file is no AnnData.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from anndata import AnnData
    >>> import eregtools as er
    >>> var = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [600]}, index=["0"])
    >>> _, table = er.io.region_table(AnnData(np.ones((2, 1)), var=var))
    >>> table
      Chromosome  Start  End
    0       chr1    100  600
    """
    adata = regions if isinstance(regions, AnnData) else _read(Path(regions).expanduser())
    if not adata.n_vars or not adata.n_obs:
        raise ValueError(
            f"regions: the AnnData has {adata.n_obs} rows and {adata.n_vars} regions; expected some of both"
        )
    found = {name: next((key for key in keys if key in adata.var), None) for name, keys in _SPELLINGS.items()}
    named = adata.var_names.to_series().astype(str).str.extract(_NAME)
    if missing := [name for name, key in found.items() if key is None]:
        if named.isna().any(axis=None):
            raise ValueError(
                f"regions: var has no column for {listed(missing)} (it has {listed(adata.var.columns)}) and the names "
                f"are not like chr1:1000-1500, first {adata.var_names[0]!r}"
            )
        columns: list[Any] = [named[key] for key in ("chromosome", "start", "end")]
    else:
        columns = [adata.var[found[name]] for name in INTERVAL]
    table = pd.DataFrame(
        {
            Var.chromosome: columns[0].astype(str).to_numpy(),
            Var.start: _positions(columns[1]),
            Var.end: _positions(columns[2]),
        },
        index=adata.var_names.astype(str),
    )
    if not missing and not named.isna().any(axis=None):
        moved = (named["start"].astype(np.int64) != table[Var.start].to_numpy()) | (
            named["end"].astype(np.int64) != table[Var.end].to_numpy()
        )
        if moved.any():
            logger.warning(
                "regions: %d names are not the interval of their row, first %r; the columns count",
                moved.sum(),
                adata.var_names[moved.to_numpy()][0],
            )
    return adata, table


def to_region_anndata(
    mdata: MuData,
    *,
    layer: str,
    style: Style = "crested",
    fold: int | None = None,
    scheme: str | None = None,
    sample: str | Sequence[str] | None = None,
    missing: float | None = None,
) -> AnnData:
    """Give a layer of the enhancers as CREsted or gReLU take it.

    Parameters
    ----------
    mdata
        The object.
    layer
        Layer of ``enhancers`` that becomes ``X``.
    style
        ``"crested"``: ``var`` has chr, start, end and, with folds, split; ``"grelu"``: chrom, start, end.
    fold
        Fold whose training, validation and test chromosomes become ``var["split"]`` (train, val, test); ``None``: the
        split that :func:`eregtools.pp.assemble_regions` kept, if there is one.
    scheme
        Fold scheme; ``None``: the one of ``genes.var["fold"]``.
    sample
        Biosamples, which become the rows; ``None``: all.
    missing
        Value in place of NaN; ``None``: NaN is an error.

    Returns
    -------
    AnnData, biosamples × regions, float32; names are ``chr1:1000-1500``.

    Raises
    ------
    KeyError
        There is no such layer, biosample, scheme or fold.
    ValueError
        The layer has NaN, or ``style`` is neither of the two.

    Examples
    --------
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes(["K562", "GM12878"])
    >>> er.pp.split(mdata, {1: {"valid": ["chr1"], "test": ["chr2"]}})
    >>> adata = er.io.to_region_anndata(mdata, layer="candidate", fold=1)
    >>> adata.var.head(1)
                     chr  start   end split
    chr1:4500-5000  chr1   4500  5000   val
    """
    if style not in _COLUMNS:
        raise ValueError(f"style={style!r}: expected {' or '.join(map(repr, _COLUMNS))}")
    elements = require_modality(mdata, Modality.enhancers)
    check_layer(mdata, Modality.enhancers, layer)
    samples = sample_names(mdata, sample)
    rows = elements.obs_names.get_indexer(pd.Index(samples))
    values = np.array(elements.layers[layer][rows], dtype=np.float32)
    if (unknown := np.isnan(values)).any():
        if missing is None:
            raise ValueError(
                f"layer {layer!r} has {int(unknown.sum()):,} of {values.size:,} values that are not known (NaN), which "
                "no model trains on; name other biosamples with sample=, or a value in their place with missing="
            )
        values[unknown] = missing
    columns = {new: elements.var[ours].to_numpy() for new, ours in zip(_COLUMNS[style], INTERVAL, strict=True)}
    var = pd.DataFrame(columns, index=elements.var_names.copy())
    var[_COLUMNS[style][0]] = var[_COLUMNS[style][0]].astype(str)
    if fold is not None:
        table = _fold(mdata, fold, scheme)
        var[Var.split] = elements.var[Var.chromosome].astype(str).map(table).map(SETS).to_numpy()
    elif Var.split in elements.var:
        var[Var.split] = elements.var[Var.split].astype(str).to_numpy()
    return AnnData(values, obs=mdata.obs.loc[samples].copy(), var=var)


def _read(path: Path) -> AnnData:
    import anndata

    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected an .h5ad of regions")
    try:
        return anndata.read_h5ad(path)
    except (PermissionError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{path} is damaged or no .h5ad ({error})") from error


def _positions(values: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(numbers) | (numbers != np.floor(numbers))
    if wrong.any():
        raise ValueError(
            f"regions: {int(wrong.sum())} value(s) of {values.name!r} are no whole numbers, first "
            f"{values[wrong].iloc[0]}"
        )
    return numbers.astype(np.int64)


def _fold(mdata: MuData, fold: int, scheme: str | None) -> pd.Series:
    """Set of each chromosome in a fold."""
    about = mdata.uns.get(UNS, {})
    name = scheme or about.get(Uns.fold_schemes, {}).get(Var.fold)
    table = about.get(Uns.folds, {}).get(name)
    if table is None:
        raise KeyError(f"the object has no fold scheme {name!r}; run er.pp.split first")
    if str(fold) not in table:
        raise KeyError(f"scheme {name!r} has no fold {fold}; it has {listed(table.columns, 12)}")
    return table[str(fold)].astype(str)
