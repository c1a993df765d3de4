"""What the object holds, and which models and parameters made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eregtools._keys import UNS, Layer, Modality, Uns, Var, Varm
from eregtools._schema import listed
from eregtools.report._words import count

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

_MODALITIES = {
    Modality.genes: "Genes",
    Modality.enhancers: "Enhancers",
    Modality.links: "Links",
    Modality.ernas: "Enhancer RNAs",
}

_SHORT_HASH = 12


@dataclass(frozen=True)
class Fact:
    """Something the object says of itself."""

    name: str
    value: str


@dataclass(frozen=True)
class Origin:
    """What made one result: its columns in the order in which they are read."""

    result: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def facts(mdata: MuData) -> list[Fact]:
    """Genome, biosamples, elements, folds and transforms."""
    ours = mdata.uns.get(UNS, {})
    found = [
        Fact("Genome", str(ours.get(Uns.genome, "not named"))),
        Fact("Biosamples", f"{mdata.n_obs}: {listed(mdata.obs_names)}" if mdata.n_obs else "none"),
    ]
    for name, adata in mdata.mod.items():
        found.append(Fact(_MODALITIES.get(name, name), count(adata.n_vars)))
    for name, title in _MODALITIES.items():
        if name not in mdata.mod and name != Modality.ernas:
            found.append(Fact(title, "not in the object"))
    if Modality.genes in mdata.mod:
        found += _facts_of_genes(mdata, ours)
    if Modality.enhancers in mdata.mod and Var.element_class in mdata[Modality.enhancers].var:
        classes = mdata[Modality.enhancers].var[Var.element_class].value_counts()
        found.append(Fact("Classes of enhancers", ", ".join(f"{name} {count(n)}" for name, n in classes.items())))
    return found


def _facts_of_genes(mdata: MuData, ours: dict[str, Any]) -> list[Fact]:
    genes = mdata[Modality.genes]
    found = [_expression(str(assay), record) for assay, record in ours.get(Uns.transforms, {}).items()]
    if not found:
        found.append(Fact("Expression", "not in the object"))
    if Var.fold in genes.var:
        scheme = ours.get(Uns.fold_schemes, {}).get(Var.fold, "unknown")
        folds = genes.var.loc[genes.var[Var.fold] >= 0, Var.fold].nunique()
        tested = int((genes.var[Var.fold] >= 0).sum())
        noun = "fold" if folds == 1 else "folds"
        found.append(Fact("Folds", f"{scheme}: {folds} {noun} that test {count(tested)} genes"))
    else:
        found.append(Fact("Folds", "none (er.pp.split)"))
    if (mrna := genes.varm.get(Varm.mrna_features)) is not None:
        complete = int(mrna.notna().all(axis=1).sum())
        found.append(Fact("mRNA features", f"{count(complete)} of {count(genes.n_vars)} genes"))
    return found


def _expression(assay: str, record: dict[str, Any]) -> Fact:
    transform = str(record.get("name", "unknown"))
    return Fact(f"Expression, {assay}", "as given" if transform == "none" else transform)


def layers(mdata: MuData) -> list[Fact]:
    """Names of the layers of each modality."""
    found = []
    for name, adata in mdata.mod.items():
        there = sorted(str(layer) for layer in adata.layers if layer is not None and layer != Layer.candidate)
        found.append(Fact(name, ", ".join(there) or "none"))
    return found


def origins(mdata: MuData) -> list[Origin]:
    """Tell what made each result that has a record."""
    results = mdata.uns.get(UNS, {}).get(Uns.results, {})
    return [_origin(str(name), table) for name, table in results.items()]


def _origin(name: str, table: pd.DataFrame) -> Origin:
    rows = tuple(
        tuple(_cell(column, value) for column, value in zip(table.columns, row, strict=True))
        for row in table.itertuples(index=False, name=None)
    )
    return Origin(name, tuple(str(column).replace("_", " ") for column in table.columns), rows)


def _cell(column: str, value: object) -> str:
    text = str(value)
    return text[:_SHORT_HASH] if column == "sha256" and text != "unknown" else text
