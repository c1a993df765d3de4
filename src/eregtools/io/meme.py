"""Motifs: MEME files, and the forms in which motifs are given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import pandas as pd

from eregtools.io import link_export
from eregtools.io._text import read_text, refuse_repeats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pwm: TypeAlias = NDArray[np.float32]
    Motifs: TypeAlias = str | Path | Mapping[str, Pwm] | pd.DataFrame

PATTERN: Final = "pattern"
POSITION: Final = "position"
BASES: Final = ("A", "C", "G", "T")
"""Columns of motifs as a table."""

_EXPECTED: Final = "a MEME motif file ('MEME version 4' in its first line)"
_MATRIX: Final = "letter-probability matrix"
_TOLERANCE: Final = 0.025
"""How far from 1 the sum of four probabilities may be: files round each to two decimals or more."""

_HEADER: Final = (
    "MEME version 4",
    "",
    "ALPHABET= ACGT",
    "",
    "strands: + -",
    "",
    "Background letter frequencies",
    "A 0.25 C 0.25 G 0.25 T 0.25",
)


def read_meme(path: str | Path) -> dict[str, Pwm]:
    r"""Read motifs from a MEME file (minimal format, or the text output of MEME), plain or gzip.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Name -> probabilities ``(length, 4)`` of A, C, G and T, float32, in the order of the file; each row adds up to 1.
    The name is what follows ``MOTIF``: the identifier and, where there is one, the alternate name, with one blank
    between.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no MEME file, its alphabet is not ACGT, a matrix is cut off or holds no probabilities, or two motifs have
        one name.

    Notes
    -----
    Format: https://meme-suite.org/meme/doc/meme-format.html. Background and strands are not read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.meme"
    >>> rows = "letter-probability matrix: alength= 4 w= 2\n0.9 0 0 0.1\n0 0.5 0.5 0\n"
    >>> _ = path.write_text(f"MEME version 4\n\nMOTIF MA1 toy\n{rows}")
    >>> motifs = er.io.read_meme(path)
    >>> list(motifs), motifs["MA1 toy"].shape
    (['MA1 toy'], (2, 4))
    """
    path = Path(path).expanduser()
    lines = read_text(path, _EXPECTED).splitlines()
    first = next(k for k, line in enumerate(lines) if line.strip())
    if not any(line.startswith("MEME version") for line in lines):
        raise ValueError(f"{path}, line {first + 1}: found {lines[first].strip()[:60]!r}; expected {_EXPECTED}.")
    _check_alphabet(lines, path)
    names: list[str] = []
    matrices: dict[int, Pwm] = {}
    for number, line in enumerate(lines):
        if line.startswith("MOTIF") and line[5:6].isspace():
            names.append(_name(line))
        elif line.strip().startswith(_MATRIX):
            if not names or len(names) - 1 in matrices:
                raise ValueError(f"{path}, line {number + 1}: a matrix without a MOTIF line before it; is a part lost?")
            matrices[len(names) - 1] = _matrix(lines, number, path)
    if not names:
        raise ValueError(f"{path} holds no motif; expected lines that begin with 'MOTIF'.")
    refuse_repeats(pd.Series(names, dtype=object), path, "motif names")
    if missing := [name for k, name in enumerate(names) if k not in matrices]:
        raise ValueError(f"{path}: motif {missing[0]!r} has no {_MATRIX!r}; other matrices are not read.")
    return {name: matrices[k] for k, name in enumerate(names)}


def write_meme(motifs: Motifs, path: str | Path) -> None:
    """Write motifs as a MEME file (version 4, minimal), plain or (``….gz``) gzip.

    The file is complete or not there.

    Parameters
    ----------
    motifs
        Name -> probabilities ``(length, 4)``; or a table of ``pattern``, ``position``, ``A``, ``C``, ``G`` and ``T``,
        as :func:`eregtools.tl.motifs` stores it; or another MEME file.
    path
        Target; what is there is replaced.

    Raises
    ------
    FileNotFoundError
        The folder does not exist.
    ValueError
        A matrix holds no probabilities, or a name cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "toy.meme"
    >>> er.io.write_meme({"all": np.full((3, 4), 0.25)}, path)
    >>> er.io.read_meme(path)["all"][0].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    lines = list(_HEADER)
    for name, pwm in as_motifs(motifs).items():
        if not name.strip() or name != " ".join(name.split()):
            raise ValueError(f"motif name {name!r} cannot be written; expected words with one blank between them")
        lines += ["", f"MOTIF {name}", f"{_MATRIX}: alength= 4 w= {len(pwm)} nsites= 1 E= 0"]
        lines += [" ".join(f"{value:.9f}" for value in row) for row in pwm.tolist()]
    link_export._write(lines, Path(path))


def as_motifs(motifs: Motifs) -> dict[str, Pwm]:
    """Motifs in any form that a user gives them in.

    Parameters
    ----------
    motifs
        MEME file; name -> probabilities ``(length, 4)``; or a table of ``pattern``, ``position``, ``A``, ``C``, ``G``
        and ``T``.

    Returns
    -------
    Name -> probabilities ``(length, 4)``, float32; each row adds up to 1.

    Raises
    ------
    TypeError
        It is none of these.
    KeyError
        The table lacks a column.
    ValueError
        There is no motif; a matrix holds no probabilities; the table has a position twice.

    Examples
    --------
    >>> table = pd.DataFrame({"pattern": "p", "position": [1, 0], "A": [0, 1], "C": [1, 0], "G": 0, "T": 0})
    >>> as_motifs(table)["p"].tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
    """
    if isinstance(motifs, str | Path):
        return read_meme(motifs)
    if isinstance(motifs, pd.DataFrame):
        motifs = _from_table(motifs)
    if not isinstance(motifs, Mapping):
        raise TypeError(f"motifs= is a {type(motifs).__name__}; expected a MEME file, a dict of matrices or a table")
    if not motifs:
        raise ValueError("motifs= is empty; expected at least one motif")
    return {str(name): _probabilities(pwm, f"motif {str(name)!r}") for name, pwm in motifs.items()}


def as_table(motifs: Mapping[str, Pwm]) -> pd.DataFrame:
    """Matrices ``(length, 4)`` as one table of ``pattern``, ``position`` (from 0), ``A``, ``C``, ``G`` and ``T``."""
    lengths = [len(matrix) for matrix in motifs.values()]
    stacked = np.concatenate([np.zeros((0, 4)), *motifs.values()]).astype(np.float32)
    names = np.repeat(np.array(list(motifs), dtype=object), lengths)
    columns = {
        PATTERN: pd.Categorical(names, categories=list(motifs)),
        POSITION: np.concatenate([np.arange(0), *map(np.arange, lengths)]).astype(np.int64),
        **{base: stacked[:, k] for k, base in enumerate(BASES)},
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(len(stacked)).astype(str))


def _from_table(table: pd.DataFrame) -> dict[str, Pwm]:
    columns = (PATTERN, POSITION, *BASES)
    if missing := [name for name in columns if name not in table]:
        raise KeyError(f"the table of motifs has no column {', '.join(missing)}; expected {', '.join(columns)}")
    if (twice := table.duplicated([PATTERN, POSITION])).any():
        name, position = table.loc[twice, [PATTERN, POSITION]].iloc[0]
        raise ValueError(f"motif {name!r} has position {position} twice in the table; expected each once")
    motifs = table.sort_values(POSITION, kind="stable").groupby(PATTERN, sort=False, observed=True)
    return {str(name): rows[list(BASES)].to_numpy() for name, rows in motifs}


def _name(line: str) -> str:
    """Name on a MOTIF line, on which MEME's own output goes on with width, sites and E-value."""
    return " ".join(re.split(r"\s+width\s*=", line[5:])[0].split())


def _check_alphabet(lines: list[str], path: Path) -> None:
    for number, line in enumerate(lines):
        found = re.match(r"ALPHABET\s*=\s*(\S+)", line)
        if found and found[1].upper() != "ACGT":
            raise ValueError(f"{path}, line {number + 1}: the alphabet is {found[1]}, expected ACGT.")


def _matrix(lines: list[str], header: int, path: Path) -> Pwm:
    """Rows below the header line of a matrix."""
    place = f"{path}, line {header + 1}"
    stated = re.search(r"\bw\s*=\s*(\d+)", lines[header])
    rows: list[list[float]] = []
    for line in lines[header + 1 :]:
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            break
        if not row:
            break
        rows.append(row)
    if not rows or (stated and len(rows) != int(stated[1])):
        expected = f"w= {stated[1]}" if stated else "at least one"
        raise ValueError(f"{place}: {len(rows)} rows below this line, expected {expected}. The file may be cut off.")
    if bad := [row for row in rows if len(row) != len(BASES)]:
        raise ValueError(f"{place}: a row of {len(bad[0])} numbers, expected 4 (A, C, G, T).")
    return _probabilities(np.array(rows), f"{place}: the matrix")


def _probabilities(matrix: Pwm, what: str) -> Pwm:
    """Check that a matrix is ``(length, 4)`` and holds probabilities; rows are scaled to add up to 1."""
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(BASES) or not len(values):
        raise ValueError(f"{what} has shape {values.shape}; expected (length, 4): A, C, G, T in columns")
    total = values.sum(axis=1, keepdims=True)
    if not (np.isfinite(values).all() and (values >= 0).all() and (np.abs(total - 1) <= _TOLERANCE).all()):
        raise ValueError(f"{what} holds no probabilities; expected rows of four that add up to 1, none negative")
    return (values / total).astype(np.float32)
