"""The object from a table of labelled enhancer–promoter pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from eregtools._keys import INTERVAL, Layer, Modality, Uns, Var
from eregtools._logging import logger
from eregtools._schema import SCHEMA_VERSION, entry, link_distance, listed, put_layer
from eregtools.genome import Genome, get_genome, match_names
from eregtools.io.links import CELL_TYPE, GENE, GENE_ID
from eregtools.io.pairs import FROM_TABLE, PROMOTER, name_pair_columns, read_pairs
from eregtools.pp.align import whole_numbers
from eregtools.pp.assemble import interval_names
from eregtools.windows import centred_windows

Duplicates = Literal["drop", "keep", "error"]

_Sizes: TypeAlias = Mapping[str, int]


def pairs(
    table: str | Path | pd.DataFrame,
    *,
    genome: Genome | str | Path | Mapping[str, int] | None,
    enhancer_width: int = 3_000,
    promoter_width: int = 2_000,
    sample: str | None = None,
    duplicates: Duplicates = "drop",
) -> MuData:
    """Build the object from enhancer–promoter pairs that are known to interact or not to.

    Links are in the order of the table; enhancers and promoters are each there once, in the order of the genome.

    Parameters
    ----------
    table
        Table of labelled pairs or its path, as :func:`eregtools.io.read_pairs` reads it: TargetFinder, BENGI, the
        ChIA-PET pairs of EPIPAM, CRISPR measurements, or the same columns from elsewhere (``Chromosome``, ``Start``,
        ``End``, ``Chromosome2``, ``Start2``, ``End2`` and ``label``, 1 or 0).
    genome
        Genome, its FASTA file, or a registered name; lengths of the chromosomes alone (``{name: length}``) where no
        sequence is needed; ``None``: unknown, and neither elements nor windows are held to the chromosomes' ends.
    enhancer_width, promoter_width
        Length in bp of the windows that a model reads, centred on the elements
        (:func:`eregtools.windows.centred_windows`).
    sample
        Name of the biosample; ``None``: as the table says. Of a table of several biosamples, the one to take.
    duplicates
        What is done with a pair that is in the table more than once with the same label: ``"drop"`` all but the
        first, ``"keep"`` them, or ``"error"``. They are counted in a warning.

    Returns
    -------
    The object, with the following fields.

    ``mdata["genes"].var``
        The promoters: Chromosome, Start, End, Strand (``.``), tss (their centre), gene_name, window_start and
        window_end; names are ``promoter:chr1:1000-3000``. Where the table has genes with their TSS in place of
        promoters, names are those of the genes, and Start and End the TSS.
    ``mdata["enhancers"].var``
        Chromosome, Start, End, window_start, window_end; names are ``chr1:1000-1500``.
    ``mdata["links"].var``
        gene, enhancer, distance (bp), ``label`` (1 interacting, 0 not, int8), ``origin`` (``"table"``, where the
        table has no such column), ``input_index`` (row of the table), and ``block`` where positives come with shifted
        negatives of their own.
    ``mdata["enhancers"].layers["candidate"]``, ``mdata["links"].layers["candidate"]``
        1 throughout, float32.
    ``mdata.uns["eregtools"]``
        Schema version and, as far as `genome` tells, its name and the lengths of the chromosomes.

    Raises
    ------
    KeyError
        A chromosome that the genome does not have, or a biosample that the table does not have.
    ValueError
        A column is missing; pairs across chromosomes; an element without length, or past the end of its chromosome;
        labels other than 0 and 1, or of one kind only; a pair with both labels; repeated pairs where they are an
        error; a table that does not say its biosample, or has several.

    Notes
    -----
    The negative pairs of TargetFinder (Whalen et al. 2016) never join two elements that both have a positive pair,
    so that they test elements and not pairs; :func:`matched_pairs` adds negatives that do. Those of EPIPAM's
    ChIA-PET tables are their positives, shifted by 2,000 bp: they test whether windows are centred.

    See Also
    --------
    eregtools.get.fold_pairs : rows and windows to train and test on.
    eregtools.tl.leakage : what a split lets through.

    Examples
    --------
    >>> import pandas as pd
    >>> import eregtools as er
    >>> table = pd.DataFrame(
    ...     {
    ...         "Chromosome": ["chr1", "chr1"], "Start": [9_000, 40_000], "End": [9_600, 40_500],
    ...         "Chromosome2": ["chr1", "chr1"], "Start2": [20_000, 20_000], "End2": [21_500, 21_500],
    ...         "label": [1, 0],
    ...     }
    ... )
    >>> mdata = er.pp.pairs(table, genome={"chr1": 60_000}, sample="K562")
    >>> mdata["genes"].var[["tss", "window_start", "window_end"]].to_dict("index")
    {'promoter:chr1:20000-21500': {'tss': 20750, 'window_start': 19750, 'window_end': 21750}}
    >>> mdata["links"].var[["distance", "label"]].values.tolist()
    [[-11450.0, 1.0], [19500.0, 0.0]]
    """  # fmt: skip
    named = isinstance(table, pd.DataFrame)
    frame = name_pair_columns(table, "pairs") if isinstance(table, pd.DataFrame) else read_pairs(table)
    what = "pairs" if named else str(table)
    if not len(frame):
        raise ValueError(f"{what}: the table has no rows")
    frame = frame.assign(**{Var.input_index: np.arange(len(frame))})
    biosample, frame = _of_biosample(frame, sample, what)
    name, sizes = _genome_sizes(genome)
    frame = _with_labels(_on_chromosomes(frame, name, sizes, what), what)
    if _has_genes(frame):
        frame = _one_tss(frame, what)
    frame = _without_repeats(frame, duplicates, what)
    order = list(sizes) if sizes is not None else sorted(frame[Var.chromosome].unique(), key=_karyotype)
    widths = (enhancer_width, promoter_width)
    return _object(frame, biosample, order, name, sizes, widths)


def _of_biosample(frame: pd.DataFrame, sample: str | None, what: str) -> tuple[str, pd.DataFrame]:
    """Name of the biosample, and its rows."""
    types = [str(name) for name in frame[CELL_TYPE].dropna().unique()] if CELL_TYPE in frame else []
    if len(types) > 1:
        if sample is None:
            raise ValueError(f"{what}: the table has {len(types)} biosamples ({listed(types)}); name one with sample=")
        if sample not in types:
            raise KeyError(f"{what}: no biosample {sample!r} in the table; it has {listed(types)}")
        return sample, frame[(frame[CELL_TYPE].astype(str) == sample).to_numpy()]
    if sample is None and not types:
        raise ValueError(f"{what}: the table does not say its biosample; name it with sample=")
    return sample or types[0], frame


def _genome_sizes(genome: Genome | str | Path | Mapping[str, int] | None) -> tuple[str | None, _Sizes | None]:
    if genome is None:
        return None, None
    if isinstance(genome, Mapping):
        return None, {str(name): int(size) for name, size in genome.items()}
    found = get_genome(genome)
    return found.name, found.chrom_sizes


def _on_chromosomes(frame: pd.DataFrame, genome: str | None, sizes: _Sizes | None, what: str) -> pd.DataFrame:
    """Whole numbers, on one chromosome each that is spelled as in the genome; anything else is refused."""
    if (unknown := frame["Start2"].isna()).any():
        raise ValueError(f"{what}: {int(unknown.sum())} of {len(frame)} pairs have no promoter or TSS; leave them out")
    frame = frame.assign(**{key: whole_numbers(frame[key], what) for key in (*INTERVAL[1:], *PROMOTER[1:])})
    first, second = (frame[key].astype(str) for key in (Var.chromosome, PROMOTER[0]))
    apart = (first != second).to_numpy()
    if apart.any():
        row = int(np.argmax(apart))
        raise ValueError(
            f"{what}: {int(apart.sum())} of {len(frame)} pairs are on two chromosomes, first {first.iloc[row]} and "
            f"{second.iloc[row]} in row {row}; leave them out"
        )
    spelling = {name: name for name in first.unique()}
    in_genome = f"genome {genome!r}" if genome else "genome="
    if sizes is not None:
        spelling = match_names(sizes, first.unique())
        if missing := [name for name in first.unique() if name not in spelling]:
            raise KeyError(
                f"{listed(missing)} ({what}) is not in {in_genome} ({listed(sizes, 3)}); leave these rows out, or use "
                "the assembly they belong to"
            )
    on = first.map(spelling)
    for label, (start, end) in {"enhancer": (Var.start, Var.end), "promoter": PROMOTER[1:]}.items():
        size = np.inf if sizes is None else on.map(sizes).to_numpy()
        for wrong, problem in (
            (frame[end] <= frame[start], "whose End is not after its Start"),
            (frame[start] < 0, "that starts before base 0"),
            (frame[end] > size, f"past the end of its chromosome in {in_genome}; the assembly is probably wrong"),
        ):
            if wrong.any():
                row = int(np.argmax(wrong.to_numpy()))
                place = f"{on.iloc[row]}:{frame[start].iloc[row]}-{frame[end].iloc[row]}"
                raise ValueError(f"{what}: {int(wrong.sum())} pairs have a(n) {label} ({place} is the first) {problem}")
    return frame.assign(**{Var.chromosome: on, PROMOTER[0]: on})


def _with_labels(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    label = pd.to_numeric(frame[Var.label], errors="coerce").to_numpy(dtype=np.float64)
    strange = ~np.isin(label, (0, 1))
    if strange.any():
        first = frame[Var.label].iloc[int(np.argmax(strange))]
        raise ValueError(f"{what}: {int(strange.sum())} labels are neither 0 nor 1, first {first!r}; leave them out")
    for value, kind in ((1, "positive"), (0, "negative")):
        if not (label == value).any():
            raise ValueError(f"{what}: none of {len(frame):,} pairs is {kind}; both kinds are needed")
    return frame.assign(**{Var.label: label.astype(np.int8)})


def _without_repeats(frame: pd.DataFrame, duplicates: Duplicates, what: str) -> pd.DataFrame:
    if duplicates not in ("drop", "keep", "error"):
        raise ValueError(f"duplicates={duplicates!r}: expected 'drop', 'keep' or 'error'")
    key = [*INTERVAL, *PROMOTER[1:], *([_gene_column(frame)] if _has_genes(frame) else [])]
    repeated = frame.duplicated(key)
    if not repeated.any():
        return frame
    both = repeated & ~frame.duplicated([*key, Var.label])
    for wrong, problem in (
        (both, "are there with both labels; keep one of each"),
        (repeated & (duplicates == "error"), "are there more than once; drop the others"),
    ):
        if wrong.any():
            row = frame[wrong.to_numpy()].iloc[0]
            places = [f"{row[Var.chromosome]}:{row[a]}-{row[b]}" for a, b in (INTERVAL[1:], PROMOTER[1:])]
            raise ValueError(f"{what}: {int(wrong.sum())} pairs {problem}, first {' and '.join(places)}")
    logger.warning(
        "%s: %d of %d rows repeat a pair with the same label and are %s",
        what, int(repeated.sum()), len(frame), "kept" if duplicates == "keep" else "left out",
    )  # fmt: skip
    return frame if duplicates == "keep" else frame[~repeated.to_numpy()]


def _one_tss(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """Give each gene one TSS, the first of those that it has in the table."""
    by_gene = frame.groupby(_gene_column(frame), sort=False)
    if (number := by_gene[Var.chromosome].nunique()).max() > 1:
        raise ValueError(f"{what}: gene {number.idxmax()!r} is on more than one chromosome; expected one")
    several = by_gene["Start2"].nunique() > 1
    if several.any():
        logger.warning(
            "%s: %d of %d genes have more than one TSS, first %s; the first TSS of each is taken",
            what, int(several.sum()), len(several), several.idxmax(),
        )  # fmt: skip
    return frame.assign(**{name: by_gene[name].transform("first") for name in PROMOTER[1:]})


def _has_genes(frame: pd.DataFrame) -> bool:
    """Whether the table has genes with a TSS in place of promoters."""
    return _gene_column(frame) != "" and bool((frame["End2"] - frame["Start2"] == 1).all())


def _gene_column(frame: pd.DataFrame) -> str:
    return next((name for name in (GENE_ID, GENE) if name in frame and frame[name].notna().all()), "")


def _karyotype(chromosome: str) -> tuple[int, str]:
    number = re.fullmatch(r"(?:chr)?(\d+)", chromosome)
    return (int(number[1]), "") if number else (1_000, chromosome)


def _object(
    frame: pd.DataFrame,
    biosample: str,
    order: list[str],
    genome: str | None,
    sizes: _Sizes | None,
    widths: tuple[int, int],
) -> MuData:
    enhancers, enhancer = distinct_intervals(frame[list(INTERVAL)], order)
    enhancers.index = interval_names(enhancers)
    promoters, promoter = _promoters(frame, order)
    for elements, width in ((enhancers, widths[0]), (promoters, widths[1])):
        put_windows(elements, width, sizes)
    extra = {
        Var.label: frame[Var.label].to_numpy(),
        Var.origin: pd.Categorical(frame[Var.origin].astype(str) if Var.origin in frame else [FROM_TABLE] * len(frame)),
        Var.input_index: frame[Var.input_index].to_numpy(dtype=np.int64),
    }
    if Var.block in frame:
        extra[Var.block] = frame[Var.block].to_numpy(dtype=np.int64)
    links = link_table(promoters, enhancers, promoter, enhancer, extra)
    obs = pd.DataFrame(index=pd.Index([biosample], dtype=object))
    mdata = MuData(
        {
            Modality.genes: AnnData(obs=obs.copy(), var=promoters),
            Modality.enhancers: AnnData(obs=obs.copy(), var=enhancers),
            Modality.links: AnnData(obs=obs.copy(), var=links),
        }
    )
    entry(mdata)[Uns.schema] = SCHEMA_VERSION
    if genome is not None:
        entry(mdata)[Uns.genome] = genome
    if sizes is not None:
        entry(mdata)[Uns.chrom_sizes] = pd.DataFrame({"length": pd.Series(sizes, dtype=np.int64)})
    for modality in (Modality.enhancers, Modality.links):
        put_layer(mdata, modality, Layer.candidate, np.ones((1, mdata[modality].n_vars)), as_x=True)
    logger.info(
        "%s: %d pairs (%d positive) of %d enhancers and %d promoters",
        biosample, len(links), int(links[Var.label].sum()), len(enhancers), len(promoters),
    )  # fmt: skip
    return mdata


def _promoters(frame: pd.DataFrame, order: list[str]) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Table of the promoters, and which of them each pair has."""
    intervals = frame[list(PROMOTER)].set_axis(list(INTERVAL), axis=1)
    if not _has_genes(frame):
        promoters, number = distinct_intervals(intervals, order)
        return promoter_table(promoters), number
    genes = frame[_gene_column(frame)].astype(str).to_numpy()
    places, row = np.unique(genes, return_index=True)
    number = np.searchsorted(places, genes)
    promoters, place = distinct_intervals(intervals.iloc[row].assign(name=places), order, by=["name"])
    names = frame[GENE].astype(str).to_numpy()[row] if GENE in frame else places
    promoters = promoter_table(promoters.drop(columns="name"), pd.Index(promoters["name"].to_numpy(dtype=object)))
    promoters[Var.gene_name] = pd.Categorical(pd.Series(names, index=places).reindex(promoters.index).to_numpy())
    return promoters, place[number]


def distinct_intervals(
    table: pd.DataFrame, order: list[str], by: list[str] | None = None
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Each interval once, in the order of the genome, and the number of the interval of each row.

    Parameters
    ----------
    table
        Chromosome, Start, End, and the columns `by`, which then tell intervals apart too.
    order
        Chromosomes.
    """
    present = set(table[Var.chromosome])
    chromosome = pd.Categorical(table[Var.chromosome], categories=[name for name in order if name in present])
    keys = [*INTERVAL, *(by or [])]
    sortable = table[keys].assign(**{Var.chromosome: chromosome})
    number: NDArray[np.int64] = np.asarray(sortable.groupby(keys, sort=True, observed=True).ngroup(), dtype=np.int64)
    first = np.unique(number, return_index=True)[1]
    return sortable.iloc[first].reset_index(drop=True), number


def promoter_table(intervals: pd.DataFrame, names: pd.Index | None = None) -> pd.DataFrame:
    """``genes.var`` of promoters, whose TSS is their centre."""
    names = "promoter:" + interval_names(intervals) if names is None else names
    promoters = intervals.set_axis(names, axis=0)
    promoters[Var.strand] = pd.Categorical(["."] * len(intervals), categories=["+", "-", "."])
    promoters[Var.tss] = (promoters[Var.start] + promoters[Var.end]) // 2
    promoters[Var.gene_name] = pd.Categorical(names)
    return promoters


def put_windows(elements: pd.DataFrame, width: int, sizes: Mapping[str, int] | None) -> None:
    """Add the columns of the windows of `width` bp that a model reads."""
    size = None if sizes is None else elements[Var.chromosome].astype(str).map(sizes).to_numpy(dtype=np.int64)
    starts = centred_windows(elements[Var.start], elements[Var.end], width, size)
    elements[Var.pair_window_start], elements[Var.pair_window_end] = starts, starts + width


def link_table(
    genes: pd.DataFrame,
    enhancers: pd.DataFrame,
    gene: NDArray[np.int64],
    enhancer: NDArray[np.int64],
    extra: Mapping[str, object],
) -> pd.DataFrame:
    """``links.var`` of the pairs of rows of two tables; of a pair that is there again the name is numbered."""
    names = pd.Series(enhancers.index.to_numpy()[enhancer] + "|" + genes.index.to_numpy()[gene], dtype=object)
    again = names.groupby(names).cumcount().to_numpy()
    names[again > 0] = names[again > 0] + "#" + (again[again > 0] + 1).astype(str)
    columns = {
        Var.gene: pd.Categorical.from_codes(gene, categories=genes.index),
        Var.enhancer: pd.Categorical.from_codes(enhancer, categories=enhancers.index),
        Var.distance: link_distance(genes.iloc[gene], enhancers.iloc[enhancer]),
        **extra,
    }
    return pd.DataFrame(columns, index=pd.Index(names.to_numpy(dtype=object)))
