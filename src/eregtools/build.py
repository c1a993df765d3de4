"""From one YAML file to the object: what ``eregtools build`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import pandas as pd

from eregtools import datasets, io, pp
from eregtools._configuration import read_configuration
from eregtools._keys import Modality, Uns
from eregtools._logging import logger
from eregtools._schema import entry, listed
from eregtools.genome import Genome, register_genome

if TYPE_CHECKING:
    from mudata import MuData

_READERS: Final[dict[str, Callable[[Path], pd.DataFrame]]] = {
    "abc": io.read_abc,
    "re2g": io.read_re2g,
    "bedpe": io.read_bedpe,
}

_SCORES: Final = {"abc": "ABC.Score", "re2g": "ENCODE-rE2G.Score", "bedpe": "Score"}
"""Column that is taken where none is named."""


@dataclass(frozen=True)
class GenomeFile:
    """``genome:`` FASTA file, and the name that the object keeps; without a file, one that was fetched."""

    path: Path | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.path is None and self.name is None:
            raise ValueError("give path (a FASTA file) or name (a genome that was fetched), or both")


@dataclass(frozen=True)
class SampleFiles:
    """``samples: NAME:`` the files of one biosample; elements and contacts of its own, or those of all."""

    tracks: dict[str, Path | tuple[Path, ...]] = field(default_factory=dict)
    totals: dict[str, Literal["count"] | float | tuple[float, ...]] = field(default_factory=dict)
    enhancers: Path | None = None
    contacts: Path | None = None
    biosample: str | None = None


@dataclass(frozen=True)
class Candidates:
    """``candidates:`` arguments of ``er.pp.candidate_enhancers``; ``enhancers`` then are peaks."""

    n: int | None = None
    rank_by: str | None = None
    width: int | None = None
    include: Path | None = None
    blacklist: Path | None = None


@dataclass(frozen=True)
class ActivityRules:
    """``activity:`` arguments of ``er.pp.activity``, and whether elements are given their class first."""

    assays: tuple[str, ...] | None = None
    quantile_reference: Path | None = None
    classify: bool = False


@dataclass(frozen=True)
class LinkRules:
    """``links:`` arguments of ``er.pp.link``."""

    max_distance: float | None = None
    min_distance: float | None = None
    inclusive: Literal["neither", "left", "right", "both"] | None = None
    max_enhancers: int | None = None
    require_sequence: bool | None = None


@dataclass(frozen=True)
class ContactRules:
    """``contacts:`` a file for all biosamples, and arguments of ``er.pp.add_contacts``."""

    path: Path | None = None
    resolution: int | None = None
    normalization: str | None = None
    unit: Literal["frequency", "file"] | None = None
    fallback: Literal["powerlaw", "none"] | None = None
    gamma: float | None = None
    scale: float | None = None
    min_distance: float | None = None
    scale_by_powerlaw: bool | None = None
    pseudocount: bool | None = None


@dataclass(frozen=True)
class ExpressionTable:
    """``expression: ASSAY:`` a table of genes × biosamples, and the transform of ``er.pp.add_expression``."""

    table: Path
    transform: Literal["log10(1+x)", "zscore(log10(x+0.1))"] | None = None


@dataclass(frozen=True)
class MrnaFeatures:
    """``mrna_features:`` a table of the eight features, or the annotation that they are computed from."""

    table: Path | None = None
    gtf: Path | None = None

    def __post_init__(self) -> None:
        if (self.table is None) == (self.gtf is None):
            raise ValueError("give table (the eight features) or gtf (an annotation with exon and CDS rows), not both")


@dataclass(frozen=True)
class LinkTable:
    """``link_tables: LAYER:`` published scores, or CRISPR measurements, of one biosample."""

    path: Path
    format: Literal["abc", "re2g", "bedpe", "crispr"]
    column: str | None = None
    statistic: Literal["sum", "max", "mean"] = "sum"
    sample: str | None = None

    def __post_init__(self) -> None:
        if self.format == "crispr" and (self.column or self.statistic != "sum"):
            raise ValueError("format crispr takes effect sizes as they are: leave column and statistic out")


@dataclass(frozen=True)
class FoldChromosomes:
    """``folds: NUMBER:`` chromosomes that the fold tests and validates; the others train."""

    test: tuple[str, ...]
    valid: tuple[str, ...] = ()


@dataclass(frozen=True)
class BuildConfig:
    """Everything that ``eregtools build`` takes; :func:`example` shows every key with its meaning."""

    genome: Path | GenomeFile
    genes: Path
    samples: dict[str, SampleFiles]
    enhancers: Path | None = None
    candidates: Candidates | None = None
    activity: ActivityRules = ActivityRules()
    links: LinkRules = LinkRules()
    contacts: ContactRules = ContactRules()
    expression: dict[str, ExpressionTable] = field(default_factory=dict)
    mrna_features: MrnaFeatures | None = None
    link_tables: dict[str, LinkTable] = field(default_factory=dict)
    folds: Literal["epinformer12", "epipam8"] | dict[int, FoldChromosomes] | None = None
    output: Path | None = None

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError("samples names no biosample; expected at least one")
        without = [name for name, sample in self.samples.items() if sample.enhancers is None]
        if self.enhancers is None and without:
            raise ValueError(
                f"there are no elements for {listed(without)}; give enhancers for all, or in each of samples"
            )
        if self.enhancers is not None and len(without) < len(self.samples):
            raise ValueError("enhancers are given for all and in samples; leave out one of the two")
        for layer, table in self.link_tables.items():
            if table.sample is not None and table.sample not in self.samples:
                raise ValueError(
                    f"link_tables.{layer} is of {table.sample!r}, which is none of the samples ({listed(self.samples)})"
                )

    @property
    def assays(self) -> list[str]:
        """Assays that any biosample has a track of."""
        return list(dict.fromkeys(assay for sample in self.samples.values() for assay in sample.tracks))


def example() -> str:
    """Text of a complete configuration, which builds from the files of ``er.datasets.simulate`` as it is."""
    return resources.files("eregtools").joinpath("build_example.yaml").read_text()


def read_config(path: str | Path) -> BuildConfig:
    """Read a configuration and look whether its files are there.

    Raises
    ------
    FileNotFoundError
        The configuration, or a file that it names, is not there; all of these are named.
    ValueError
        A key is not known or is missing, or a value is of another type.
    """
    config = read_configuration(path, BuildConfig)
    if missing := [at for at in _paths(config) if not at.is_file()]:
        raise FileNotFoundError(
            f"{path} names {len(missing)} file(s) that are not there: {listed(missing)}; relative paths start from the "
            "folder of the configuration"
        )
    return config


def build(path: str | Path) -> MuData:
    """Build the object that a configuration describes.

    Parameters
    ----------
    path
        YAML file; :func:`example` has every key. Relative paths in it start from its folder.

    Returns
    -------
    The object: elements and genes, signal, activity where biosamples have tracks, links with contacts, and expression,
    mRNA features, published scores and folds where the configuration names them. Its genome is registered under its
    name; ``mdata.uns["eregtools"]["build"]`` has the text of the configuration.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_config`, and as the functions of ``er.pp`` that it calls.

    Examples
    --------
    >>> from eregtools.build import build
    >>> mdata = build("study.yaml")  # doctest: +SKIP
    """
    config = read_config(path)
    genome = _genome(config)
    mdata = pp.assemble(
        genes=config.genes, enhancers=_elements(config, genome), samples=list(config.samples), genome=genome
    )
    if named := {name: sample.biosample for name, sample in config.samples.items() if sample.biosample}:
        mdata.obs["biosample"] = pd.Categorical([named.get(name, name) for name in mdata.obs_names])
    _add_activity(mdata, config)
    pp.link(mdata, genome=genome if config.links.require_sequence else None, **_given(config.links))
    pp.add_contacts(mdata, _contacts(config), **_contact_rules(config.contacts))
    for assay, expression in config.expression.items():
        pp.add_expression(mdata, expression.table, assay=assay, transform=expression.transform)
    if (mrna := config.mrna_features) is not None:
        pp.mrna_features(mdata, mrna.table, gtf=mrna.gtf, genome=None if mrna.gtf is None else genome)
    for layer, table in config.link_tables.items():
        _add_link_table(mdata, layer, table)
    if config.folds is not None:
        pp.split(mdata, config.folds if isinstance(config.folds, str) else _fold_sets(config.folds))
    entry(mdata)[Uns.build] = Path(path).expanduser().read_text()
    return mdata


def _paths(record: Any) -> Iterator[Path]:
    """Files that a configuration reads."""
    if isinstance(record, Path):
        yield record
    elif isinstance(record, dict):
        for value in record.values():
            yield from _paths(value)
    elif isinstance(record, tuple):
        for value in record:
            yield from _paths(value)
    elif is_dataclass(record):
        for one in fields(record):
            if one.name != "output":
                yield from _paths(getattr(record, one.name))


def _given(rules: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Arguments that the configuration sets; the others keep the defaults of the function that takes them."""
    values = {one.name: getattr(rules, one.name) for one in fields(rules) if one.name not in without}
    return {name: value for name, value in values.items() if value is not None}


def _genome(config: BuildConfig) -> Genome:
    file = config.genome if isinstance(config.genome, GenomeFile) else GenomeFile(config.genome)
    if file.path is None:
        return datasets.fetched_genome(str(file.name))
    genome = Genome(file.path, name=file.name)
    register_genome(genome.name, genome)
    return genome


def _elements(config: BuildConfig, genome: Genome) -> Any:
    def read(path: Path) -> Path | pd.DataFrame:
        if config.candidates is None:
            return path
        return pp.candidate_enhancers(path, genome=genome, **_given(config.candidates))

    if config.enhancers is not None:
        return read(config.enhancers)
    return {name: read(sample.enhancers) for name, sample in config.samples.items() if sample.enhancers is not None}


def _add_activity(mdata: MuData, config: BuildConfig) -> None:
    """Signal of every assay over elements and promoters, and activity where there is any."""
    for assay in config.assays:
        tracks = {
            name: list(of_assay) if isinstance(of_assay, tuple) else of_assay
            for name, sample in config.samples.items()
            if (of_assay := sample.tracks.get(assay)) is not None
        }
        for modality in (Modality.enhancers, Modality.genes):
            pp.add_signal(mdata, tracks, assay=assay, modality=modality)
    if config.activity.classify:
        pp.classify(mdata)
    if not config.assays:
        return
    rules = _given(config.activity, without=("classify",))
    totals = _totals(config, rules.get("assays"))
    pp.activity(mdata, totals=totals, **rules)
    rules.pop("quantile_reference", None)
    pp.promoter_activity(mdata, totals=totals, **rules)


def _totals(config: BuildConfig, assays: Any) -> dict[str, dict[str, Any]] | None:
    """``{assay: {sample: totals}}`` of the assays that make activity; None where no biosample gives any."""
    totals: dict[str, dict[str, Any]] = {}
    for name, sample in config.samples.items():
        for assay, given in sample.totals.items():
            if assay not in sample.tracks:
                raise KeyError(
                    f"samples.{name}.totals has {assay!r}, of which the biosample has no track (it has "
                    f"{listed(sample.tracks)})"
                )
            if assays is None or assay in assays:
                totals.setdefault(assay, {})[name] = _counted(sample.tracks[assay]) if given == "count" else given
    return totals or None


def _counted(tracks: Path | tuple[Path, ...]) -> list[float]:
    """Count the reads of BAM files."""
    paths = tracks if isinstance(tracks, tuple) else (tracks,)
    if others := [path.name for path in paths if path.suffix.lower() != ".bam"]:
        raise ValueError(f"totals: count is for BAM files, and {listed(others)} is none; give the number of reads")
    return [float(io.bam_total(path)) for path in paths]


def _contacts(config: BuildConfig) -> Any:
    own = {name: sample.contacts for name, sample in config.samples.items() if sample.contacts is not None}
    if own and config.contacts.path is not None:
        raise ValueError("contacts are given for all (contacts.path) and in samples; leave out one of the two")
    return own or config.contacts.path


def _contact_rules(rules: ContactRules) -> dict[str, Any]:
    arguments = _given(rules, without=("path",))
    if arguments.get("fallback") == "none":
        arguments["fallback"] = None
    return arguments


def _add_link_table(mdata: MuData, layer: str, table: LinkTable) -> None:
    if table.format == "crispr":
        pp.add_crispr(mdata, io.read_crispr(table.path), sample=table.sample, key_added=layer)
        return
    column = table.column or _SCORES[table.format]
    pp.add_link_table(
        mdata,
        _READERS[table.format](table.path),
        columns=column,
        sample=table.sample,
        key_added=layer,
        statistic=table.statistic,
    )
    scored = int(pd.notna(mdata[Modality.links].layers[layer]).sum())
    logger.info("%s: %d links have %s of %s", layer, scored, column, table.path.name)


def _fold_sets(folds: dict[int, FoldChromosomes]) -> dict[int, dict[str, list[str]]]:
    return {number: {"valid": list(fold.valid), "test": list(fold.test)} for number, fold in folds.items()}
