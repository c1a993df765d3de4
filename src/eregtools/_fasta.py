"""Indexed FASTA files, plain or bgzip, as uint8 codes."""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from eregtools._bgzf import BGZF_END, check_bgzf_end
from eregtools._settings import settings

Codes: TypeAlias = npt.NDArray[np.uint8]

N_CODE = 4
"""Code of everything that is not A, C, G or T."""

CHUNK_BYTES = 1 << 18
"""Letters worked on at a time, so that they and the temporaries stay in the L2 cache."""

_LONG_LINE = 16  # lines this many times longer than the window are not copied whole


# ---------------------------------------------------------------------------------------------------------
# Letters to codes


def encode_letters(letters: Codes) -> Codes:
    """Replace ASCII letters by codes, in place: A C G T (either case) = 0 1 2 3, anything else = 4.

    Parameters
    ----------
    letters
        Contiguous uint8 array of ASCII letters, any shape; overwritten.

    Returns
    -------
    The same array.

    Examples
    --------
    >>> encode_letters(np.frombuffer(b"ACGTacgtNnRY-", dtype=np.uint8).copy())
    array([0, 1, 2, 3, 0, 1, 2, 3, 4, 4, 4, 4, 4], dtype=uint8)
    """
    flat = letters.reshape(-1)
    size = min(CHUNK_BYTES, flat.size)
    known, equal = np.empty(size, dtype=bool), np.empty(size, dtype=bool)
    for start in range(0, flat.size, CHUNK_BYTES):
        chunk = flat[start : start + CHUNK_BYTES]
        _encode_chunk(chunk, known[: chunk.size], equal[: chunk.size])
    return letters


def _encode_chunk(chunk: Codes, known: npt.NDArray[np.bool_], equal: npt.NDArray[np.bool_]) -> None:
    # 24 = 8 * 3: eight drops the case bit, and three times the other five bits puts A C G T into the
    # four quarters of a byte in this order. Whole-array arithmetic is 5 x quicker here than a look-up table.
    signed = chunk.view(np.int8)  # bytes past ASCII are negative
    not_letters = signed < ord("A") if signed.min() < ord("A") else None
    np.multiply(chunk, np.uint8(24), out=chunk)
    np.equal(chunk, np.uint8(ord("A") * 24 % 256), out=known)
    for letter in b"CGT":
        np.equal(chunk, np.uint8(letter * 24 % 256), out=equal)
        np.logical_or(known, equal, out=known)
    np.right_shift(chunk, np.uint8(6), out=chunk)
    if not_letters is not None:
        known[not_letters] = False
    if not known.all():
        chunk *= known.view(np.uint8)
        np.logical_not(known, out=known)
        chunk |= np.multiply(known.view(np.uint8), np.uint8(N_CODE), out=known.view(np.uint8))


def gather_windows(codes: Codes, starts: npt.NDArray[np.int64], out: Codes, rows: npt.NDArray[np.intp]) -> None:
    """Windows of ``codes`` that begin at ``starts`` into ``out[rows]``; ``rows`` ascend."""
    windows = sliding_window_view(codes, out.shape[1])
    chunk = max(1, CHUNK_BYTES // out.shape[1])
    in_order = len(rows) == len(out)
    for first in range(0, len(rows), chunk):
        part = slice(first, first + chunk)
        out[part if in_order else rows[part]] = windows[starts[part]]


# ---------------------------------------------------------------------------------------------------------
# FASTA index


@dataclass(frozen=True)
class Record:
    """One line of a samtools .fai index."""

    size: int
    offset: int
    line_bases: int
    line_bytes: int

    def at(self, position: int) -> int:
        """Byte of the (uncompressed) file that holds base ``position``."""
        line, column = divmod(position, self.line_bases)
        return self.offset + line * self.line_bytes + column

    @property
    def end(self) -> int:
        """Byte after the last base."""
        return self.at(self.size - 1) + 1


def read_index(path: Path) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        fields = line.split("\t")
        try:
            record = Record(*(int(field) for field in fields[1:5]))
        except (TypeError, ValueError):
            raise ValueError(
                f"{path}, line {number}: expected a samtools index (name, length, offset, bases and bytes "
                f"of a line), found {line[:80]!r}. Delete the file and it is built anew."
            ) from None
        if not 0 < record.line_bases <= record.line_bytes or record.size < 1 or record.offset < 1:
            raise ValueError(f"{path}, line {number}: {line!r} describes no sequence. Delete the file.")
        if fields[0] in records:
            raise ValueError(f"{path}, line {number}: sequence {fields[0]!r} is listed twice.")
        records[fields[0]] = record
    return records


def compression(path: Path) -> str:
    """'plain' or 'bgzip'; anything else is refused."""
    with path.open("rb") as file:
        head = file.read(18)
        if not head:
            raise ValueError(f"{path} is empty; expected a FASTA file (plain or compressed with bgzip).")
        if head[:2] != b"\x1f\x8b":
            if not head.lstrip().startswith(b">"):
                raise ValueError(f"{path} starts with {head!r}; expected a FASTA file, which starts with '>'.")
            return "plain"
        if len(head) < 18 or not head[3] & 4 or head[12:14] != b"BC":
            raise ValueError(
                f"{path} is compressed with ordinary gzip, which has no random access. Recompress it: "
                f"gunzip {path.name} && bgzip {path.name.removesuffix('.gz')}"
            )
    check_bgzf_end(path)
    if path.stat().st_size == len(BGZF_END):
        raise ValueError(f"{path} is empty; expected sequences in FASTA format.")
    return "bgzip"


def find_index(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """Index files of a FASTA: beside it, else in the cache, else built."""
    beside = [path.with_name(path.name + suffix) for suffix in suffixes]
    if all(file.exists() for file in beside):
        modified = path.stat().st_mtime_ns
        for file in beside:
            if file.stat().st_mtime_ns < modified:
                raise ValueError(
                    f"The index {file} is older than {path.name}, so it may describe another file. "
                    f"Delete it and it is built anew."
                )
        return beside
    status = path.stat()
    key = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    stem = f"{path.name}.{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    cached = [settings.cache_dir / "indices" / (stem + suffix) for suffix in suffixes]
    if all(file.exists() for file in cached):
        return cached
    target = beside if os.access(path.parent, os.W_OK) else cached
    _build_index(path, target)
    return target


def _build_index(path: Path, target: Sequence[Path]) -> None:
    import pysam

    target[0].parent.mkdir(parents=True, exist_ok=True)
    temporary = [file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.tmp") for file in target]
    options = [str(path), "--fai-idx", str(temporary[0])]
    if len(target) > 1:
        options += ["--gzi-idx", str(temporary[1])]
    try:
        pysam.faidx(*options)
        for new, file in zip(temporary, target, strict=True):
            new.replace(file)
    except pysam.SamtoolsError:
        raise ValueError(
            f"{path} cannot be indexed. Expected a FASTA file with at least one sequence, in which each record "
            f"begins with '>' and all its lines but the last have one length."
        ) from None
    finally:
        for new in temporary:
            new.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------------------
# Bytes of the two kinds of file


class PlainFasta:
    """Memory map of an uncompressed FASTA file."""

    def __init__(self, path: Path, index: Sequence[Path], records: Mapping[str, Record]):
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for name, record in records.items():
            if record.end > len(self._map):
                raise ValueError(
                    f"{path} is truncated or {index[0].name} belongs to another file: {name!r} should end "
                    f"at byte {record.end}, the file has {len(self._map)}. Copy the FASTA again, or delete the index."
                )
            header = self._map[self._map.rfind(b">", 0, record.offset) + 1 : record.offset]
            if header.split(maxsplit=1)[:1] != [name.encode()] or not header.endswith(b"\n"):
                raise ValueError(
                    f"{index[0]} does not belong to {path.name}: {name!r} does not begin at byte "
                    f"{record.offset}. Delete the index and it is built anew."
                )
        self._bytes = np.frombuffer(self._map, dtype=np.uint8)

    def letters(self, name: str, record: Record, start: int, end: int) -> Codes:
        """Letters of ``[start, end)``, which lies on the chromosome, without line ends."""
        out = np.empty(end - start, dtype=np.uint8)
        raw = self._bytes[record.at(start) : record.at(end - 1) + 1]
        _drop_line_ends(raw, out, start % record.line_bases, record)
        return out

    def gather(
        self,
        layout: tuple[int, int],
        first_bytes: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
        out: Codes,
        rows: npt.NDArray[np.intp],
    ) -> None:
        """Codes of windows that lie on their chromosomes into ``out[rows]``.

        ``layout`` is the number of bases and of bytes of a line, ``first_bytes`` where the windows'
        chromosomes begin in the file.
        """
        length, (bases, stride) = out.shape[1], layout
        line, column = np.divmod(starts, bases)
        lines = (bases + length - 2) // bases + 1  # the most that a window touches
        offsets = first_bytes + line * stride
        positions = len(self._bytes) - ((lines - 1) * stride + bases) + 1
        # Whole lines are copied and the window is cut out of them: no work for single windows, and no mask of
        # the line ends. Very long lines, and the end of the file, are read window by window.
        alone = (offsets >= positions) | (bases > _LONG_LINE * length)
        for window in np.flatnonzero(alone):
            record = Record(0, int(first_bytes[window]), bases, stride)
            start = int(starts[window])
            out[rows[window]] = encode_letters(self.letters("", record, start, start + length))
        if alone.any():
            rows, offsets, column = rows[~alone], offsets[~alone], column[~alone]
        if not len(rows):
            return
        every_start = as_strided(self._bytes, (positions, lines, bases), (1, stride, 1), writeable=False)
        chunk = max(1, CHUNK_BYTES // (lines * bases))
        begins = np.arange(chunk) * (lines * bases)
        in_order = len(rows) == len(out)
        for first in range(0, len(rows), chunk):
            part = slice(first, first + chunk)
            text = encode_letters(every_start[offsets[part]])
            windows = np.ndarray((text.size - length + 1, length), np.uint8, text.data, strides=(1, 1))
            out[part if in_order else rows[part]] = windows[begins[: len(text)] + column[part]]


def _drop_line_ends(raw: Codes, out: Codes, column: int, record: Record) -> None:
    """Copy file bytes that begin in ``column`` of a line to ``out`` without the bytes between lines."""
    bases, stride = record.line_bases, record.line_bytes
    head = min(bases - column, len(out))
    out[:head] = raw[:head]
    lines, rest = divmod(len(out) - head, bases)
    body = raw[head + stride - bases :]
    if lines:
        whole = as_strided(body, (lines, bases), (stride, 1), writeable=False)
        out[head : len(out) - rest] = whole.reshape(-1)
    if rest:
        out[len(out) - rest :] = body[lines * stride : lines * stride + rest]


class BgzipFasta:
    """FASTA file compressed with bgzip, read by htslib."""

    def __init__(self, path: Path, index: Sequence[Path], records: Mapping[str, Record]):
        import pysam

        blocks = index[1].read_bytes()
        count = struct.unpack_from("<Q", blocks)[0] if len(blocks) >= 8 else -1
        if len(blocks) != 8 + 16 * count:
            raise ValueError(f"{index[1]} is not a whole bgzip index. Delete it and it is built anew.")
        packed, unpacked = struct.unpack_from("<QQ", blocks, 16 * count - 8) if count else (0, 0)
        needed = max(record.end for record in records.values())
        if packed >= path.stat().st_size or needed > unpacked + (1 << 16):  # a block holds at most 64 kB
            raise ValueError(
                f"{index[0].name} and {index[1].name} do not belong to {path}: they describe a longer file. "
                f"Copy the FASTA again, or delete both and they are built anew."
            )
        self._path = path
        self._lock = threading.Lock()
        self._file = pysam.FastaFile(str(path), filepath_index=str(index[0]), filepath_index_compressed=str(index[1]))

    def letters(self, name: str, record: Record, start: int, end: int) -> Codes:
        """Letters of ``[start, end)``, which lies on the chromosome."""
        with self._lock:  # one file position for all threads
            text = self._file.fetch(name, start, end)
        if len(text) != end - start:
            raise OSError(
                f"{self._path} gave {len(text)} of {end - start} bases of {name}:{start}-{end}; the file is damaged."
            )
        return np.frombuffer(bytearray(text, "latin-1"), dtype=np.uint8)
