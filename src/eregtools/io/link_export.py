"""Links as files that genome browsers draw: BEDPE, UCSC's interact and WashU's longrange format."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from mudata import MuData

from eregtools._keys import INTERVAL, UNS, Modality, Uns, Var
from eregtools._schema import listed, require_modality
from eregtools.get._select import one_sample
from eregtools.get.links import links as links_table
from eregtools.io import store
from eregtools.io._pair_columns import gene_ids_and_names, require_columns, to_float
from eregtools.io.links import TSS

if TYPE_CHECKING:
    from eregtools.genome import Genome

Sizes = Mapping[str, int]

_BEDPE_HEADER: Final = (
    "#chrom1", "start1", "end1", "chrom2", "start2", "end2", "name", "score", "strand1", "strand2", "gene_id",
)  # fmt: skip
_INTERACT_HEADER: Final = (
    "#chrom", "chromStart", "chromEnd", "name", "score", "value", "exp", "color",
    "sourceChrom", "sourceStart", "sourceEnd", "sourceName", "sourceStrand",
    "targetChrom", "targetStart", "targetEnd", "targetName", "targetStrand",
)  # fmt: skip
_ID, _NAME, _VALUE = "id", "name", "value"


def write_bedpe(
    links: MuData | pd.DataFrame,
    path: str | Path,
    *,
    layer: str,
    sample: str | None = None,
    threshold: float | None = None,
    chrom_sizes: Sizes | Genome | None = None,
) -> None:
    r"""Write links as BEDPE, plain or (``….gz``) gzip: the enhancer, and the TSS of its gene.

    The file is complete or not there. Rows are in the order of chromosome, start and gene.

    Parameters
    ----------
    links
        The object; or a table with Chromosome, Start and End of the enhancer (0-based half-open), the gene, its
        ``tss``, and the score, such as :func:`read_abc` reads.
    path
        Target; what is there is replaced.
    layer
        Layer of links, or column of the table, that is written as the score. Links without a value are left out.
    sample
        Biosample of the object; default the only one.
    threshold
        Least value of a link that is written.
    chrom_sizes
        Lengths of the chromosomes, which no interval may pass; default those of the object, and none for a table.

    Raises
    ------
    KeyError
        A layer or biosample is not in the object.
    ValueError
        A column is missing, no link is left to write, or an interval is outside of its chromosome.
    OSError
        The folder does not exist or the disk is full.

    Notes
    -----
    The name is that of the ABC pipeline, ``MYC_intergenic|chr8:100-600`` (without the class where elements have
    none), so that :func:`read_bedpe` finds the gene; an 11th column has the gene's id.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> er.pp.add_contacts(mdata)
    >>> path = Path(tempfile.mkdtemp()) / "links.bedpe"
    >>> er.io.write_bedpe(mdata, path, layer="contact")
    >>> er.io.read_bedpe(path)[["Chromosome", "Start", "End", "gene", "tss", "Score"]].head(1)
      Chromosome  Start   End   gene   tss     Score
    0       chr1   4500  5000  ALPHA  6000  0.063014
    """
    table = _ready(links, layer, sample, threshold, chrom_sizes)
    classes = table[Var.element_class].astype(object) if Var.element_class in table else pd.Series("", table.index)
    suffix = np.where(classes.isin(["", None]) | classes.isna(), "", "_" + classes.astype(str))
    written = pd.DataFrame(
        {
            "chrom1": table[Var.chromosome],
            "start1": table[Var.start],
            "end1": table[Var.end],
            "chrom2": table[Var.chromosome],
            "start2": table[TSS],
            "end2": table[TSS] + 1,
            "name": table[_NAME] + suffix + "|" + table[Var.enhancer],
            "score": table[_VALUE].map(_number),
            "strand1": ".",
            "strand2": table[Var.strand],
            "gene_id": table[_ID],
        }
    )
    _write(["\t".join(_BEDPE_HEADER), *_lines(written)], Path(path))


def write_interact(
    links: MuData | pd.DataFrame,
    path: str | Path,
    *,
    layer: str,
    sample: str | None = None,
    threshold: float | None = None,
    chrom_sizes: Sizes | Genome | None = None,
    name: str | None = None,
    color: str = "#0072B2",
) -> None:
    """Write links as a custom track of the UCSC Genome Browser (interact), plain or (``….gz``) gzip.

    Arcs go from the enhancer (source) to the TSS of its gene (target). The file is complete or not there.

    Parameters
    ----------
    links, path, layer, sample, threshold, chrom_sizes
        As in :func:`write_bedpe`.
    name
        Name of the track; default the layer and the biosample.
    color
        Colour of the arcs, ``#RRGGBB``.

    Raises
    ------
    KeyError, ValueError, OSError
        As :func:`write_bedpe`.

    Notes
    -----
    The value is that of the layer. The score, by which the browser shades and filters, is 1000 times its
    size over the largest of the file, rounded.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> er.pp.add_contacts(mdata)
    >>> path = Path(tempfile.mkdtemp()) / "links.interact"
    >>> er.io.write_interact(mdata, path, layer="contact")
    >>> path.read_text().splitlines()[0]
    'track type=interact name="contact K562" description="contact K562" interactDirectional=true useScore=1 ...'
    """
    table = _ready(links, layer, sample, threshold, chrom_sizes)
    experiment = str(table["sample"].iloc[0]) if "sample" in table else ""
    title = name if name is not None else f"{layer} {experiment}".strip()
    value = table[_VALUE].abs()
    score = (1000 * value / (value.max() or 1.0)).round().astype(np.int64)
    written = pd.DataFrame(
        {
            "chrom": table[Var.chromosome],
            "start": np.minimum(table[Var.start], table[TSS]),
            "end": np.maximum(table[Var.end], table[TSS] + 1),
            "name": table[Var.enhancer] + "/" + table[_NAME],
            "score": score,
            "value": table[_VALUE].map(_number),
            "exp": _word(experiment),
            "color": color,
            "source_chrom": table[Var.chromosome],
            "source_start": table[Var.start],
            "source_end": table[Var.end],
            "source_name": table[Var.enhancer],
            "source_strand": ".",
            "target_chrom": table[Var.chromosome],
            "target_start": table[TSS],
            "target_end": table[TSS] + 1,
            "target_name": table[_NAME],
            "target_strand": table[Var.strand],
        }
    )
    shown = title.replace('"', "'").replace("\n", " ")
    track = (
        f'track type=interact name="{shown}" description="{shown}" interactDirectional=true useScore=1 '
        "maxHeightPixels=200:100:50 visibility=full"
    )
    _write([track, "\t".join(_INTERACT_HEADER), *_lines(written)], Path(path))


def write_longrange(
    links: MuData | pd.DataFrame,
    path: str | Path,
    *,
    layer: str,
    sample: str | None = None,
    threshold: float | None = None,
    chrom_sizes: Sizes | Genome | None = None,
) -> None:
    r"""Write links as a longrange track of the WashU Epigenome Browser.

    Each link is two lines, one at its enhancer and one at the TSS of its gene. The file is complete or not there.

    Parameters
    ----------
    links, layer, sample, threshold, chrom_sizes
        As in :func:`write_bedpe`.
    path
        Target; what is there is replaced. With ``.gz`` at the end it is compressed with bgzip and gets its index
        ``….tbi`` beside it, which is how the browser reads it from a server.

    Raises
    ------
    KeyError, ValueError, OSError
        As :func:`write_bedpe`.

    Notes
    -----
    Lines are chromosome, start, end and ``chromosome:start-end,value`` of the other end, 0-based half-open, in the
    order of position. The browser colours by the sign of the value.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> mdata = er.datasets.three_genes()
    >>> er.pp.link(mdata)
    >>> er.pp.add_contacts(mdata)
    >>> path = Path(tempfile.mkdtemp()) / "links.longrange"
    >>> er.io.write_longrange(mdata, path, layer="contact")
    >>> path.read_text().splitlines()[0].split("\t")
    ['chr1', '4500', '5000', 'chr1:6000-6001,0.063014403']
    """
    table = _ready(links, layer, sample, threshold, chrom_sizes)
    ends = {
        "enhancer": (table[Var.start], table[Var.end]),
        "tss": (table[TSS], table[TSS] + 1),
    }
    value = table[_VALUE].map(_number)
    lines = []
    for here, there in (("enhancer", "tss"), ("tss", "enhancer")):
        start, end = (column.astype(str) for column in ends[there])
        other = table[Var.chromosome] + ":" + start + "-" + end + "," + value
        lines.append(
            pd.DataFrame({"chrom": table[Var.chromosome], "start": ends[here][0], "end": ends[here][1], "to": other})
        )
    written = pd.concat(lines, ignore_index=True).sort_values(["chrom", "start", "end"], kind="stable")
    target = Path(path).expanduser()
    if target.suffix == ".gz":
        _write_indexed(_lines(written), target)
    else:
        _write(_lines(written), target)


def _ready(
    links: MuData | pd.DataFrame,
    layer: str,
    sample: str | None,
    threshold: float | None,
    chrom_sizes: Sizes | Genome | None,
) -> pd.DataFrame:
    """Links to write, in order, checked: with ``id``, ``name``, ``value``, ``tss``, Strand and enhancer."""
    if isinstance(links, MuData):
        table = _of_object(links, layer, one_sample(links, sample))
        sizes = links.uns.get(UNS, {}).get(Uns.chrom_sizes)
        if chrom_sizes is None and sizes is not None:
            chrom_sizes = sizes["length"].to_dict()
    else:
        require_columns(links, (*INTERVAL, TSS, layer), "links")
        if sample is not None:
            raise ValueError("sample= goes with an object; choose the rows of a table")
        table = links.copy()
    table = table.reset_index(drop=True)
    table[_VALUE] = to_float(table[layer], "links")
    ids, names = gene_ids_and_names(table, "links")
    table[_ID], table[_NAME] = (labels.fillna(".").map(_word) for labels in (ids, names.fillna(ids)))
    if Var.strand not in table:
        table[Var.strand] = "."
    place = table[Var.chromosome].astype(str) + ":" + table[Var.start].astype(str) + "-" + table[Var.end].astype(str)
    table[Var.enhancer] = place
    kept = table[_VALUE].notna() & (table[_VALUE] >= (-np.inf if threshold is None else threshold))
    if not kept.any():
        known = int(table[_VALUE].notna().sum())
        raise ValueError(
            f"no link is left to write: {known:,} of {len(table):,} have a value of {layer!r}, the largest "
            f"{table[_VALUE].max():g}, and threshold is {threshold}"
        )
    table = table[kept].sort_values([Var.chromosome, Var.start, Var.end, _NAME, _ID], kind="stable")
    _check_places(table, chrom_sizes)
    return table.astype({TSS: np.int64, Var.strand: object, Var.chromosome: str})


def _of_object(mdata: MuData, layer: str, sample: str) -> pd.DataFrame:
    table = links_table(mdata, sample=sample, layers=layer)
    genes = require_modality(mdata, Modality.genes).var
    elements = require_modality(mdata, Modality.enhancers).var
    gene = table[Var.gene].astype(object)
    table[TSS] = genes[Var.tss].loc[gene].to_numpy()
    table[Var.strand] = genes[Var.strand].astype(object).loc[gene].to_numpy()
    if Var.element_class in elements:
        of_elements = elements[Var.element_class].astype(object)
        table[Var.element_class] = of_elements.loc[table[Var.enhancer].astype(object)].to_numpy()
    return table


def _check_places(table: pd.DataFrame, sizes: Sizes | Genome | None) -> None:
    start, end, tss = (to_float(table[name], "links") for name in (Var.start, Var.end, TSS))
    checks = {
        "the TSS is not known (leave these out)": np.isnan(tss),
        "a position is below 0": (start < 0) | (tss < 0),
        "End is not greater than Start": end <= start,
    }
    if sizes is not None:
        lengths = dict(sizes if isinstance(sizes, Mapping) else sizes.chrom_sizes)
        length = table[Var.chromosome].astype(str).map(lengths).to_numpy(dtype=np.float64)
        checks[f"the chromosome is none of those given ({listed(lengths, 3)})"] = np.isnan(length)
        checks["a position is past the end of the chromosome (another assembly?)"] = (end > length) | (tss >= length)
    for fault, wrong in checks.items():
        if wrong.any():
            first = table[wrong].iloc[0]
            raise ValueError(
                f"{fault} in {int(wrong.sum()):,} of {len(table):,} links, first {first[Var.enhancer]} and "
                f"{first[_NAME]} (TSS {first[TSS]})"
            )


def _lines(table: pd.DataFrame) -> list[str]:
    return ["\t".join(map(str, row)) for row in table.itertuples(index=False, name=None)]


def _number(value: float) -> str:
    """Write a number so that a float32 is read back as it was."""
    return f"{value:.9g}"


def _word(text: str) -> str:
    """Text without blanks, which some browsers take as separators; ``.`` for none."""
    return "_".join(str(text).split()) or "."


def _write(lines: list[str], path: Path) -> None:
    content = ("\n".join(lines) + "\n").encode()
    store.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content, path)


def _write_indexed(lines: list[str], path: Path) -> None:
    """Write lines that begin as those of BED, in order, with bgzip and the index of tabix."""
    import pysam

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "links"
        plain.write_text("\n".join(lines) + "\n")
        packed = Path(pysam.tabix_index(str(plain), preset="bed", force=True))
        store.write_bytes(packed.read_bytes(), path)
        store.write_bytes(Path(f"{packed}.tbi").read_bytes(), path.with_name(path.name + ".tbi"))
