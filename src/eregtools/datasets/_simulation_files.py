"""Writers of a simulation's files: the same content gives the same bytes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import pandas as pd
import pyBigWig

from eregtools._keys import Var
from eregtools.datasets._grammar import LETTERS, Codes
from eregtools.datasets._regulation import CONTACT_UNIT, ContactMap, Gene, Ints

TRUTH: Final = "truth.json"
"""Written last: a folder with this file holds a whole simulation."""

_LINE = 60
_FASTA_LETTERS = np.append(LETTERS, np.uint8(ord("N")))
_SOURCE = "eregtools"


@contextmanager
def whole_simulation(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """Folder to write a simulation's files to; at the end all of them are in ``folder``, or none.

    Raises
    ------
    FileExistsError
        The folder holds something else, or an earlier simulation without ``overwrite``.
    OSError
        It cannot be written to.
    """
    _check_folder(folder, overwrite=overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        where = folder if folder.is_dir() else folder.parent
        beside = Path(tempfile.mkdtemp(prefix=".simulation-", dir=where))
        try:
            yield beside
            _move_into(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, RuntimeError) as error:  # pyBigWig raises RuntimeError
        raise OSError(f"the simulation cannot be written to {folder} ({error}); choose another folder") from error


def _check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something else, or an earlier simulation without ``overwrite``."""
    if not folder.is_dir():
        if folder.exists():
            raise FileExistsError(f"{folder} is a file; give a folder")
        return
    if not any(folder.iterdir()):
        return
    if not (folder / TRUTH).is_file():
        raise FileExistsError(f"{folder} is not empty and holds no simulation; give an empty or a new folder")
    if not overwrite:
        raise FileExistsError(f"{folder} already holds a simulation; pass overwrite=True to replace it")


def _move_into(beside: Path, folder: Path) -> None:
    """Move finished files into the folder; those of an earlier simulation go first."""
    folder.mkdir(exist_ok=True)
    if (folder / TRUTH).is_file():
        earlier = json.loads((folder / TRUTH).read_text()).get("files", [])
        (folder / TRUTH).unlink()
        for name in earlier:
            if Path(name).name == name:
                (folder / name).unlink(missing_ok=True)
    for path in sorted(beside.iterdir(), key=lambda path: path.name == TRUTH):
        path.replace(folder / path.name)


def write_fasta(path: Path, chromosomes: Mapping[str, Codes]) -> None:
    """FASTA with lines of 60 bases, and its samtools index."""
    index, offset = [], 0
    with path.open("wb") as file:
        for name, codes in chromosomes.items():
            header = f">{name}\n".encode()
            index.append(f"{name}\t{len(codes)}\t{offset + len(header)}\t{_LINE}\t{_LINE + 1}\n")
            letters = _FASTA_LETTERS[codes].tobytes()
            body = b"".join(letters[at : at + _LINE] + b"\n" for at in range(0, len(letters), _LINE))
            file.write(header + body)
            offset += len(header) + len(body)
    Path(f"{path}.fai").write_text("".join(index))


def write_gtf(path: Path, genes: pd.DataFrame, models: list[Gene]) -> None:
    """Write gene, transcript, exon, CDS and UTR rows, 1-based closed."""
    rows = []
    for (gene_id, gene), model in zip(genes.iterrows(), models, strict=True):
        parts = [("gene", [model.span]), ("transcript", [model.span]), ("exon", model.exons), ("CDS", model.coding)]
        parts += [("five_prime_utr", model.utr5), ("three_prime_utr", model.utr3)]
        common = f'gene_id "{gene_id}"; gene_name "{gene[Var.gene_name]}"; gene_type "protein_coding";'
        for feature, intervals in parts:
            more = "" if feature == "gene" else f' transcript_id "{gene_id}.t1";'
            for start, end in intervals:
                place = f"{gene[Var.chromosome]}\t{_SOURCE}\t{feature}\t{start + 1}\t{end}"
                rows.append(f"{place}\t.\t{model.strand}\t.\t{common}{more}\n")
    path.write_text("".join(rows))


def write_peaks(path: Path, elements: pd.DataFrame, signal: pd.Series) -> None:
    """Write narrowPeak rows; the signal is that of DNase in reads per million."""
    score = np.minimum(1000 * signal / signal.max(), 1000).astype(int)
    table = pd.DataFrame(
        {
            "chrom": elements[Var.chromosome],
            "start": elements[Var.start],
            "end": elements[Var.end],
            "name": [f"peak{k + 1}" for k in range(len(elements))],
            "score": score.to_numpy(),
            "strand": ".",
            "signal": signal.round(4).to_numpy(),
            "p": -1,
            "q": -1,
            "peak": elements[Var.summit] - elements[Var.start],
        }
    )
    table.to_csv(path, sep="\t", header=False, index=False)


def write_track(path: Path, sizes: Mapping[str, int], reads: Mapping[str, Ints]) -> None:
    """BigWig with the number of 5′ ends at each base that has any."""
    file = pyBigWig.open(str(path), "w")
    if file is None:
        raise OSError(f"cannot open {path}")
    file.addHeader(list(sizes.items()))
    for chrom, positions in reads.items():
        at, counts = np.unique(positions, return_counts=True)
        if len(at):
            ends = (at + 1).tolist()
            file.addEntries([chrom] * len(at), at.tolist(), ends=ends, values=counts.astype(float).tolist())
    file.close()


def write_coverage(path: Path, depth: Mapping[str, Ints]) -> None:
    """BigWig of the depth at each base of whole chromosomes; stretches without reads are left out."""
    file = pyBigWig.open(str(path), "w")
    if file is None:
        raise OSError(f"cannot open {path}")
    file.addHeader([(chrom, len(values)) for chrom, values in depth.items()])
    for chrom, values in depth.items():
        edges = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1, [len(values)]])
        height = values[edges[:-1]].astype(float)
        kept = height != 0
        if kept.any():
            starts, ends = edges[:-1][kept].tolist(), edges[1:][kept].tolist()
            file.addEntries([chrom] * len(starts), starts, ends=ends, values=height[kept].tolist())
    file.close()


def write_bed(path: Path, table: pd.DataFrame, names: list[str]) -> None:
    """BED with four columns."""
    columns = [table[Var.chromosome], table[Var.start], table[Var.end], pd.Series(names, index=table.index)]
    pd.concat(columns, axis=1).to_csv(path, sep="\t", header=False, index=False)


def write_cool(path: Path, contacts: ContactMap, sizes: Mapping[str, int], resolution: int) -> None:
    """Cooler file, version 3, of raw counts; the weights make ``count · weight²`` the contact.

    Written through h5py because the date that cooler puts into a file would make each one different.
    """
    names = list(sizes)
    number = contacts.bins["chrom"].map({name: k for k, name in enumerate(names)}).to_numpy()
    n_bins = len(contacts.bins)
    with h5py.File(path, "w") as file:
        put = file.create_dataset
        put("chroms/name", data=np.array(names, dtype="S"))
        put("chroms/length", data=np.array(list(sizes.values()), dtype=np.int32))
        codes = h5py.enum_dtype({name: k for k, name in enumerate(names)}, basetype="i4")
        put("bins/chrom", data=number.astype(np.int32), dtype=codes)
        for name in ("start", "end"):
            put(f"bins/{name}", data=contacts.bins[name].to_numpy(dtype=np.int32))
        put("bins/weight", data=np.full(n_bins, CONTACT_UNIT**-0.5))
        pixels = {"bin1_id": contacts.first, "bin2_id": contacts.second, "count": contacts.count.astype(np.int32)}
        for name, values in pixels.items():
            put(f"pixels/{name}", data=values, compression="gzip", shuffle=True)
        put("indexes/chrom_offset", data=np.searchsorted(number, np.arange(len(names) + 1)).astype(np.int64))
        put("indexes/bin1_offset", data=np.searchsorted(contacts.first, np.arange(n_bins + 1)).astype(np.int64))
        file.attrs.update(
            {
                "format": "HDF5::Cooler",
                "format-url": "https://github.com/open2c/cooler",
                "format-version": 3,
                "bin-type": "fixed",
                "bin-size": resolution,
                "storage-mode": "symmetric-upper",
                "nchroms": len(names),
                "nbins": n_bins,
                "nnz": len(contacts.count),
                "sum": int(contacts.count.sum()),
                "genome-assembly": "simulated",
                "generated-by": _SOURCE,
                "metadata": "{}",
            }
        )


def write_vcf(path: Path, variants: pd.DataFrame, sizes: Mapping[str, int]) -> None:
    """Write variants with their true effect, 1-based."""
    header = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name},length={size}>" for name, size in sizes.items())]
    for name, kind, text in (
        ("SITE", "String", "Element, or gene of the promoter"),
        ("MOTIF", "String", "Motif instance that holds the base"),
        ("DACT", "Float", "Change of log activity (natural logarithm)"),
        ("DPOT", "Float", "Change of log potency (natural logarithm)"),
    ):
        header.append(f'##INFO=<ID={name},Number=1,Type={kind},Description="{text}">')
    header.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]))
    fields = ("position", "ref", "alt", "site", "motif", "activity", "potency")
    columns = (variants[name].tolist() for name in (Var.chromosome, *fields))
    rows = []
    for k, (chrom, position, ref, alt, site, motif, activity, potency) in enumerate(zip(*columns, strict=True)):
        info = f"SITE={site};MOTIF={motif};DACT={activity!r};DPOT={potency!r}"
        rows.append(f"{chrom}\t{position + 1}\tvar{k + 1}\t{ref}\t{alt}\t.\t.\t{info}")
    path.write_text("\n".join([*header, *rows]) + "\n")


def write_table(path: Path, table: pd.DataFrame, *, index: str | None = None) -> None:
    """Write a tab-separated table, floats with all their digits."""
    table.to_csv(path, sep="\t", index=index is not None, index_label=index)


def write_truth(folder: Path, content: Mapping[str, Any]) -> None:
    """``truth.json``, with the names of all files of the folder."""
    names = sorted([*(path.name for path in folder.iterdir()), TRUTH])
    (folder / TRUTH).write_text(json.dumps({**content, "files": names}, indent=1) + "\n")
