"""Genome sequence as uint8 codes from an indexed FASTA file, and the matching of chromosome names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eregtools._fasta import (
    CHUNK_BYTES,
    N_CODE,
    BgzipFasta,
    Codes,
    PlainFasta,
    compression,
    encode_letters,
    find_index,
    gather_windows,
    read_index,
)
from eregtools._keys import Var
from eregtools._logging import logger

_MITOCHONDRIAL = ("chrM", "MT", "chrMT", "M")
_READ_BASES = 1 << 22  # bases of a bgzip file decoded at a time: bounds the memory beside the output
_MERGE_GAP = 1 << 15  # bgzip blocks hold 64 kB: nearer windows share a block anyway


# ---------------------------------------------------------------------------------------------------------
# Chromosome names


def match_names(have: Iterable[str], want: Iterable[str]) -> dict[str, str]:
    """Match chromosome names that differ by ``chr`` (or as MT and chrM).

    Parameters
    ----------
    have
        Names of the file or genome.
    want
        Names of the caller.

    Returns
    -------
    Name in ``want`` -> name in ``have``. Names without a partner, with several possible partners, or whose
    partner another name already has, are left out.

    Examples
    --------
    >>> match_names(["chr1", "chr2", "chrM"], ["1", "2", "MT", "3"])
    {'1': 'chr1', '2': 'chr2', 'MT': 'chrM'}
    """
    known = set(have)
    wanted = list(dict.fromkeys(want))
    matched = {name: name for name in wanted if name in known}
    taken = set(matched)
    candidates: dict[str, str] = {}
    for name in wanted:
        if name in matched:
            continue
        spellings = {name.removeprefix("chr"), f"chr{name}"} - {name}
        if name in _MITOCHONDRIAL:
            spellings.update(_MITOCHONDRIAL)
        found = sorted(spellings & known)
        if len(found) == 1 and found[0] not in taken:
            candidates[name] = found[0]
    claims = pd.Series(list(candidates.values()), dtype=object).value_counts()
    matched.update({name: other for name, other in candidates.items() if claims[other] == 1})
    return {name: matched[name] for name in wanted if name in matched}


# ---------------------------------------------------------------------------------------------------------
# The genome


class Genome:
    r"""Reference sequence of one assembly.

    Plain FASTA files are memory-mapped; files compressed with bgzip are read by htslib. A missing index is
    built beside the file, or in ``settings.cache_dir`` where that folder cannot be written. File handles
    belong to one process: after a fork or unpickling they are opened again.

    Parameters
    ----------
    path
        FASTA file, plain or compressed with bgzip.
    name
        Name of the assembly, as in ``"hg38"``; the file's name by default.

    Attributes
    ----------
    name
        Name of the assembly.
    path
        The file.
    chrom_sizes
        Length of each sequence in bases, in the order of the file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is empty, truncated, compressed with ordinary gzip, or not the one its index was made for.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "toy.fa").write_text(">chr1\nACGTN\nacgtn\n")
    >>> genome = er.Genome(folder / "toy.fa")
    >>> genome.chrom_sizes
    {'chr1': 10}
    >>> genome.sequence("chr1", 3, 7)
    'TNAC'
    >>> genome.codes(["chr1", "chr1"], [0, 8], 4)
    array([[0, 1, 2, 3],
           [3, 4, 4, 4]], dtype=uint8)
    """

    dense = 1.0
    """Bases asked for over chromosome length from which the whole chromosome is decoded."""

    def __init__(self, path: str | Path, *, name: str | None = None):
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} is not a file; expected a FASTA file.")
        self._kind = compression(self.path)
        self._index = find_index(self.path, (".fai",) if self._kind == "plain" else (".fai", ".gzi"))
        self._records = read_index(self._index[0])
        if not self._records:
            raise ValueError(f"{self.path} has no sequence; expected at least one FASTA record.")
        self.name = name if name is not None else self.path.name.removesuffix(".gz").rsplit(".", 1)[0]
        self.chrom_sizes = {chrom: record.size for chrom, record in self._records.items()}
        self._forget_handles()
        self._warned = False
        self._open()

    def __repr__(self) -> str:
        return f"Genome({self.name!r}, {self._describe()}, {sum(self.chrom_sizes.values()):,} bases)"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in {"_file", "_pid", "_decoded"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_handles()

    def _forget_handles(self) -> None:
        self._file: PlainFasta | BgzipFasta | None = None
        self._pid = -1
        self._decoded: tuple[str, Codes] | None = None

    def _open(self) -> PlainFasta | BgzipFasta:
        # A handle opened before a fork shares its file position with the parent: wrong sequence, no error.
        if self._file is None or self._pid != os.getpid():
            kind = PlainFasta if self._kind == "plain" else BgzipFasta
            self._file, self._pid = kind(self.path, self._index, self._records), os.getpid()
        return self._file

    def _describe(self) -> str:
        names = list(self.chrom_sizes)
        shown = ", ".join(names) if len(names) <= 3 else f"{names[0]} … {names[-1]}"
        return f"{len(names)} sequence{'s' if len(names) != 1 else ''}: {shown}"

    def match_chromosomes(self, names: Iterable[str], what: str = "") -> dict[str, str]:
        """Find the genome's name of each chromosome.

        Names are matched as they are, then by adding or removing ``chr`` (and MT as chrM) where that is
        one-to-one, with one warning for each genome.

        Parameters
        ----------
        names
            Chromosome names; repeats are fine.
        what
            Where the names come from, for the message.

        Returns
        -------
        Caller's name -> genome's name.

        Raises
        ------
        KeyError
            A name has no partner in the genome.
        """
        wanted = list(dict.fromkeys(names))
        matched = match_names(self.chrom_sizes, wanted)
        if missing := [name for name in wanted if name not in matched]:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise KeyError(
                f"{missing[0]!r}{others}{f' ({what})' if what else ''} is not in genome {self.name!r} "
                f"({self._describe()}). Leave these rows out, or use the assembly they belong to."
            )
        renamed = {name: other for name, other in matched.items() if name != other}
        if renamed and not self._warned:
            name, other = next(iter(renamed.items()))
            logger.warning(
                "%d chromosome names differ from genome %r and were matched, as %r to %r.",
                len(renamed),
                self.name,
                name,
                other,
            )
            self._warned = True
        return matched

    def check_intervals(self, frame: pd.DataFrame, what: str) -> None:
        """Make sure that intervals lie on the genome.

        Parameters
        ----------
        frame
            Table with the columns ``Chromosome``, ``Start`` and ``End`` (0-based half-open).
        what
            What the intervals are, for the message, as in ``"enhancers"``.

        Raises
        ------
        KeyError
            A chromosome is not in the genome.
        ValueError
            An interval is empty, starts before the chromosome or ends after it.
        """
        chromosomes = frame[Var.chromosome].astype(str)
        names = self.match_chromosomes(chromosomes.unique(), what)
        start, end = frame[Var.start].to_numpy(), frame[Var.end].to_numpy()
        sizes = chromosomes.map({name: self.chrom_sizes[other] for name, other in names.items()}).to_numpy()
        for bad, problem in (
            (end <= start, "have an End that is not after the Start"),
            (start < 0, "start before base 0"),
            (end > sizes, f"end after the chromosome does in genome {self.name!r}"),
        ):
            if bad.any():
                row = int(np.argmax(bad))
                region = f"{chromosomes.iloc[row]}:{start[row]}-{end[row]}"
                hint = f" ({sizes[row]} bases); the assembly is probably wrong" if "genome" in problem else ""
                raise ValueError(f"{int(bad.sum())} of {len(frame)} {what} {problem}: first {region}{hint}.")

    def sequence(self, chrom: str, start: int, end: int) -> str:
        """Sequence of one region in upper case, ``N`` outside the chromosome.

        Parameters
        ----------
        chrom
            Chromosome.
        start, end
            0-based half-open interval; it may reach over the ends of the chromosome.

        Returns
        -------
        ``end - start`` letters, as they are in the file (ambiguity letters are kept).

        Raises
        ------
        KeyError
            The chromosome is not in the genome.
        ValueError
            ``end`` is before ``start``.
        """
        if end < start:
            raise ValueError(f"{chrom}:{start}-{end} ends before it starts.")
        chrom = self.match_chromosomes([chrom])[chrom]
        record = self._records[chrom]
        inside = slice(min(max(start, 0), record.size), min(max(end, 0), record.size))
        if inside.stop == inside.start:
            return "N" * (end - start)
        letters = self._open().letters(chrom, record, inside.start, inside.stop)
        return "N" * (inside.start - start) + letters.tobytes().decode("latin-1").upper() + "N" * (end - inside.stop)

    def chromosome(self, chrom: str) -> Codes:
        """Codes of a whole chromosome; the last one asked for is kept in memory.

        Parameters
        ----------
        chrom
            Chromosome.

        Returns
        -------
        uint8 array ``(chromosome length,)``, 0–3 = A C G T, 4 = anything else; read-only.

        Raises
        ------
        KeyError
            The chromosome is not in the genome.
        """
        chrom = self.match_chromosomes([chrom])[chrom]
        if self._decoded is None or self._decoded[0] != chrom:
            self._decoded = None  # frees the last one first
            record, file = self._records[chrom], self._open()
            codes = np.empty(record.size, dtype=np.uint8)
            step = CHUNK_BYTES if isinstance(file, PlainFasta) else _READ_BASES
            for start in range(0, record.size, step):
                end = min(start + step, record.size)
                codes[start:end] = encode_letters(file.letters(chrom, record, start, end))
            codes.flags.writeable = False
            self._decoded = (chrom, codes)
        return self._decoded[1]

    def codes(self, chroms: Sequence[str] | npt.ArrayLike, starts: npt.ArrayLike, length: int) -> Codes:
        """Sequences of windows of one length as codes.

        Parameters
        ----------
        chroms
            Chromosome of each window ``(n,)``, or one for all of them.
        starts
            0-based start of each window ``(n,)``; windows may reach over the ends of the chromosome.
        length
            Length of the windows in bases.

        Returns
        -------
        uint8 array ``(n, length)`` in the order asked for: 0–3 = A C G T (either case), 4 = N, any other
        letter, or outside the chromosome.

        Raises
        ------
        KeyError
            A chromosome is not in the genome.
        ValueError
            ``chroms`` and ``starts`` differ in length, or ``length`` is not positive.
        """
        begin = np.asarray(starts)
        if begin.size and not np.issubdtype(begin.dtype, np.integer):
            raise ValueError(f"starts must be whole numbers; they are {begin.dtype}.")
        begin = begin.astype(np.int64).reshape(-1)
        if length < 1:
            raise ValueError(f"length must be at least 1; it is {length}.")
        groups, names = _group(chroms, len(begin))
        if len(groups) != len(begin):
            raise ValueError(f"There are {len(groups)} chroms but {len(begin)} starts; expected one for each.")
        matched = self.match_chromosomes(names)
        names = [matched[name] for name in names]
        out = np.empty((len(begin), length), dtype=np.uint8)
        inside = (begin >= 0) & (begin + length <= self._facts(names, "size")[groups])
        for row in np.flatnonzero(~inside):
            self._fill_over_an_end(names[groups[row]], int(begin[row]), out[row])
        scattered = inside
        for group, bases in enumerate(np.bincount(groups[inside], minlength=len(names)) * length):
            kept = self._decoded is not None and self._decoded[0] == names[group]
            if bases and (kept or bases >= self.dense * self.chrom_sizes[names[group]]):
                mine = groups == group
                rows = np.flatnonzero(inside & mine)
                gather_windows(self.chromosome(names[group]), begin[rows], out, rows)
                scattered = scattered & ~mine
        self._fill_scattered(names, groups, begin, out, np.flatnonzero(scattered))
        return out

    def _facts(self, names: Sequence[str], field: str) -> npt.NDArray[np.int64]:
        return np.array([getattr(self._records[name], field) for name in names], dtype=np.int64)

    def _fill_over_an_end(self, chrom: str, start: int, out: Codes) -> None:
        """Codes of one window that is not wholly on its chromosome into ``out``."""
        record = self._records[chrom]
        first, last = max(start, 0), min(start + len(out), record.size)
        out[:] = N_CODE
        if first < last:
            letters = self._open().letters(chrom, record, first, last)
            out[first - start : last - start] = encode_letters(letters)

    def _fill_scattered(
        self,
        names: Sequence[str],
        groups: npt.NDArray[np.intp],
        starts: npt.NDArray[np.int64],
        out: Codes,
        rows: npt.NDArray[np.intp],
    ) -> None:
        """Codes of windows that are few for their chromosomes into ``out[rows]``."""
        file = self._open()
        if not len(rows):
            return
        if isinstance(file, PlainFasta):
            layouts = np.stack([self._facts(names, "line_bases"), self._facts(names, "line_bytes")], axis=1)
            kinds, kind = np.unique(layouts, axis=0, return_inverse=True)
            first_bytes = self._facts(names, "offset")
            for number, (bases, stride) in enumerate(kinds.tolist()):
                mine = rows if len(kinds) == 1 else rows[kind.reshape(-1)[groups[rows]] == number]
                file.gather((bases, stride), first_bytes[groups[mine]], starts[mine], out, mine)
            return
        for group, name in enumerate(names):
            mine = rows[groups[rows] == group]
            if not len(mine):
                continue
            for first, last, part in _spans(starts[mine], out.shape[1]):
                codes = encode_letters(file.letters(name, self._records[name], first, last))
                gather_windows(codes, starts[mine[part]] - first, out, mine[part])


def _group(chroms: str | Sequence[str] | npt.ArrayLike, n: int) -> tuple[npt.NDArray[np.intp], list[str]]:
    """Find the number of each window's chromosome, and the chromosomes' names."""
    if isinstance(chroms, str):
        return np.zeros(n, dtype=np.intp), [chroms] if n else []
    plain = chroms if isinstance(chroms, pd.Series | pd.Categorical) else np.asarray(chroms, dtype=object)
    groups, labels = pd.factorize(plain)
    if (groups < 0).any():
        raise ValueError(f"{int((groups < 0).sum())} chromosome names are missing.")
    return groups, [str(label) for label in labels]


def _spans(starts: npt.NDArray[np.int64], length: int) -> Iterable[tuple[int, int, npt.NDArray[np.intp]]]:
    """Stretches of neighbouring windows: start, end, which windows; none much over ``_READ_BASES``."""
    order = np.argsort(starts, kind="stable")
    ordered = starts[order]
    apart = np.diff(ordered) > length + _MERGE_GAP
    piece = np.concatenate([[0], np.cumsum(apart)]) * (1 << 32) + ordered // _READ_BASES
    for part in np.split(order, np.flatnonzero(np.diff(piece)) + 1):
        yield int(starts[part[0]]), int(starts[part[-1]]) + length, part


# ---------------------------------------------------------------------------------------------------------
# Names of genomes

_REGISTERED: dict[str, Genome] = {}


def register_genome(name: str, genome: Genome | str | Path) -> None:
    r"""Give a genome a name that every ``genome`` argument takes.

    Parameters
    ----------
    name
        Name, as in ``"hg38"``; an earlier genome of this name is replaced.
    genome
        The genome, or its FASTA file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no FASTA file that :class:`Genome` can read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> import eregtools as er
    >>> fasta = Path(tempfile.mkdtemp()) / "toy.fa"
    >>> _ = fasta.write_text(">chr1\nACGT\n")
    >>> er.register_genome("toy", fasta)
    >>> genes = pd.DataFrame({"gene": ["A"], "chrom": ["chr1"], "tss": [2]})
    >>> elements = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [4]})
    >>> mdata = er.pp.assemble(genes=genes, enhancers=elements, samples="K562", genome="toy")
    >>> mdata.uns["eregtools"]["genome"]
    'toy'
    """
    _REGISTERED[name] = genome if isinstance(genome, Genome) else Genome(genome, name=name)


def get_genome(genome: Genome | str | Path) -> Genome:
    """Genome of a ``genome`` argument.

    Parameters
    ----------
    genome
        A genome, a registered name, or the path of a FASTA file.

    Returns
    -------
    The genome.

    Raises
    ------
    KeyError
        It is neither registered nor a file.
    """
    if isinstance(genome, Genome):
        return genome
    if isinstance(genome, str) and genome in _REGISTERED:
        return _REGISTERED[genome]
    if Path(genome).expanduser().is_file():
        return Genome(genome)
    names = ", ".join(sorted(_REGISTERED)) or "none"
    raise KeyError(
        f"{str(genome)!r} is neither a registered genome (there are: {names}) nor a FASTA file. "
        f"Give a path, or name one with eregtools.register_genome({str(genome)!r}, path)."
    )
