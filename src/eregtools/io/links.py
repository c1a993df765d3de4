"""Tables of enhancer–gene pairs: predictions of ABC and ENCODE-rE2G, CRISPR measurements, BEDPE."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eregtools._keys import INTERVAL, Var
from eregtools._logging import logger
from eregtools.io._text import check_coordinates, read_text, split_columns, to_numbers

GENE, GENE_ID, TSS, CELL_TYPE = "gene", "gene_id", Var.tss, "cell_type"
EFFECT_SIZE, SIGNIFICANT, POSITIVE = "effect_size", "significant", "positive"

_Spellings = Mapping[str, Sequence[str]]

# Spellings without case, blanks and underscores, the best first.
_PREDICTION: _Spellings = {
    Var.chromosome: ("chr", "chrom", "chromosome", "elementchr"),
    Var.start: ("start", "chromstart", "elementstart"),
    Var.end: ("end", "chromend", "elementend"),
    GENE: ("targetgene", "genesymbol"),
    GENE_ID: ("targetgeneensemblid", "geneensemblid"),
    TSS: ("targetgenetss", "genetss"),
    CELL_TYPE: ("celltype",),
}
_MEASUREMENT: _Spellings = {
    Var.chromosome: ("chrperturbationtarget", "chrom", "chr"),
    Var.start: ("startperturbationtarget", "chromstart", "start"),
    Var.end: ("endperturbationtarget", "chromend", "end"),
    GENE: ("measuredgenesymbol", "genesymbol", "gene"),
    GENE_ID: ("measuredgeneensemblid", "geneensemblid"),
    TSS: ("starttss", "genetss", "tss"),
    CELL_TYPE: ("celltype",),
    EFFECT_SIZE: ("effectsize", "fractionchangeingeneexpr"),
    SIGNIFICANT: ("significant",),
}
_ABC_SCORE = re.compile(r"(abc|powerlaw)\.?score")
_RE2G_SCORE = re.compile(r".*e2g.*score.*|score")
_TRUE, _FALSE = ("true", "t", "1", "1.0", "yes"), ("false", "f", "0", "0.0", "no")
_BEDPE = (*INTERVAL, "Chromosome2", "Start2", "End2", "Name", "Score", Var.strand, "Strand2")
_ABC_NAME = r"^(.+?)(?:_(?:promoter|genic|intergenic))?\|\S+:\d+-\d+$"


def read_abc(path: str | Path) -> pd.DataFrame:
    r"""Read predictions of the Activity-by-Contact pipeline, plain or gzip.

    Parameters
    ----------
    path
        ``EnhancerPredictions*.tsv``, ``EnhancerPredictionsFull*.tsv`` or ``AllPredictions.txt``, of any version.

    Returns
    -------
    One row for each pair: ``Chromosome``, ``Start``, ``End`` (0-based half-open) of the element, ``gene``,
    ``gene_id`` (where the file has ids), ``tss`` (0-based), ``cell_type`` (where the file has it), and the
    other columns under their own names (``ABC.Score``, ``powerlaw.Score``, ``distance``, …).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A column is missing, or a row is not an interval; the file is empty.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "EnhancerPredictions.tsv"
    >>> _ = path.write_text(
    ...     "chr\tstart\tend\tname\tTargetGene\tTargetGeneTSS\tCellType\tABC.Score\n"
    ...     "chr22\t100\t600\te1\tBCR\t5000\tK562\t0.25\n"
    ... )
    >>> er.io.read_abc(path)
      Chromosome  Start  End gene   tss cell_type name  ABC.Score
    0      chr22    100  600  BCR  5000      K562   e1       0.25
    """
    frame, lines = _read_pairs(Path(path), _PREDICTION, (GENE, TSS), "ABC predictions", "read_abc", _ABC_SCORE)
    return _check(frame, lines, Path(path))


def read_re2g(path: str | Path) -> pd.DataFrame:
    r"""Read predictions of ENCODE-rE2G, plain or gzip.

    Parameters
    ----------
    path
        A table of the pipeline or of the ENCODE portal.

    Returns
    -------
    One row for each pair: ``Chromosome``, ``Start``, ``End`` (0-based half-open) of the element, ``gene``,
    ``gene_id``, ``tss`` (0-based) and ``cell_type`` where the file has them, and the other columns under their
    own names (``ENCODE-rE2G.Score``, …).

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A column is missing, or a row is not an interval; the file is empty.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "thresholded_predictions.tsv"
    >>> _ = path.write_text(
    ...     "#chr\tstart\tend\tname\tTargetGene\tTargetGeneEnsemblID\tTargetGeneTSS\tCellType\tENCODE-rE2G.Score\n"
    ...     "chr22\t100\t600\te1\tBCR\tENSG00000186716\t5000\tK562\t0.4\n"
    ... )
    >>> er.io.read_re2g(path)[["gene", "gene_id", "tss", "ENCODE-rE2G.Score"]]
      gene          gene_id   tss  ENCODE-rE2G.Score
    0  BCR  ENSG00000186716  5000                0.4
    """
    frame, lines = _read_pairs(Path(path), _PREDICTION, (GENE,), "ENCODE-rE2G predictions", "read_re2g", _RE2G_SCORE)
    return _check(frame, lines, Path(path))


def read_crispr(path: str | Path) -> pd.DataFrame:
    r"""Read enhancer–gene pairs that were tested by CRISPR, plain or gzip.

    The EPCrisprBenchmark tables of Gschwind et al. 2025, Table S5 of Nasser et al. 2021 and Table S6a of Fulco
    et al. 2019 as text are known; another table is read when its columns have one of their names.

    Parameters
    ----------
    path
        The table, tab-separated (comma-separated for ``.csv``), with a header row; lines that begin with ``#``
        are skipped.

    Returns
    -------
    One row for each tested pair: ``Chromosome``, ``Start``, ``End`` (0-based half-open) of the element, ``gene``,
    ``gene_id`` and ``cell_type`` (where the file has them), ``tss`` (0-based; float64 with NaN where some are
    unknown), ``effect_size`` (fraction by which expression changes: −0.3 is a loss of 30 %), ``significant``
    (bool), ``positive`` (bool: significant and ``effect_size < 0``, an element that activates the gene), and the
    other columns under their own names. Elements without length, which some published tables have, become 1 bp
    long, with one warning that counts them. No row is left out; ``ValidConnection`` and ``IncludeInModel`` tell
    which pairs the authors of a table evaluate.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        A column is missing, an effect is not a number or ``Significant`` not true or false, a row is not an
        interval; the file is empty.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "crispr.tsv"
    >>> _ = path.write_text(
    ...     "chrom\tchromStart\tchromEnd\tmeasuredGeneSymbol\tstartTSS\tEffectSize\tSignificant\n"
    ...     "chr1\t100\t600\tA\t9000\t-0.3\tTRUE\nchr1\t100\t600\tB\t7000\t0.2\tTRUE\n"
    ... )
    >>> er.io.read_crispr(path)[["gene", "tss", "effect_size", "significant", "positive"]]
      gene   tss  effect_size  significant  positive
    0    A  9000         -0.3         True      True
    1    B  7000          0.2         True     False
    """
    path = Path(path)
    required = (GENE, TSS, EFFECT_SIZE, SIGNIFICANT)
    frame, lines = _read_pairs(path, _MEASUREMENT, required, "CRISPR measurements", "read_crispr")
    frame[EFFECT_SIZE] = to_numbers(frame[EFFECT_SIZE].fillna("nan"), lines, path, EFFECT_SIZE)
    frame[SIGNIFICANT] = _to_bool(frame[SIGNIFICANT], lines, path, SIGNIFICANT)
    if unknown := int(frame[EFFECT_SIZE].isna().sum()):
        logger.warning("%s: %d of %d pairs have no effect size; they are not positive.", path, unknown, len(frame))
    positive = frame[SIGNIFICANT] & (frame[EFFECT_SIZE] < 0)
    frame.insert([*frame].index(SIGNIFICANT) + 1, POSITIVE, positive)
    points = frame[Var.end] == frame[Var.start]
    if points.any():
        logger.warning("%s: %d elements are points without length; they become 1 bp long.", path, int(points.sum()))
        frame[Var.end] += points.astype(np.int64)
    return _check(frame, lines, path)


def read_bedpe(path: str | Path) -> pd.DataFrame:
    r"""Read pairs of regions (BEDPE), plain or gzip.

    Parameters
    ----------
    path
        The file; a header row and lines that begin with ``#`` are skipped.

    Returns
    -------
    One row for each pair: ``Chromosome``, ``Start``, ``End`` of the first region (0-based half-open); where the
    file is of the ABC pipeline or of :func:`write_bedpe`, ``gene`` (from the names) and ``tss`` (the second
    region, a point); then ``Chromosome2``, ``Start2``, ``End2`` (a point may have its end at its start) and, as
    far as the file has them, ``Name``, ``Score`` (float64), ``Strand``, ``Strand2`` and ``Column11`` and so on.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is empty, has fewer than six columns, or a row is not a pair of intervals.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "loops.bedpe"
    >>> _ = path.write_text("chr1\t100\t200\tchr1\t900\t950\tloop1\t7\n")
    >>> er.io.read_bedpe(path)
      Chromosome  Start  End Chromosome2  Start2  End2   Name  Score
    0       chr1    100  200        chr1     900   950  loop1    7.0
    """
    path = Path(path)
    headers = ("#", "track", "browser", "chr1\tx1", "chr1\tstart1", "chrom1", "chromosome1")
    frame, lines = split_columns(path, "a BEDPE file", skip=headers)
    if frame.shape[1] < 6:
        hint = "a BED file: use read_bed" if frame.shape[1] >= 3 else "no BEDPE file"
        raise ValueError(f"{path} has {frame.shape[1]} columns, expected at least the 6 of BEDPE; it is {hint}.")
    if fitting := _fitting(frame.iloc[0].tolist()):
        raise ValueError(f"{path} begins with a header row, expected a BEDPE file; its columns fit {fitting}.")
    extra = [f"Column{k + 1}" for k in range(len(_BEDPE), frame.shape[1])]
    frame.columns = pd.Index([*_BEDPE[: frame.shape[1]], *extra])
    for column in (Var.start, Var.end, "Start2", "End2"):
        frame[column] = to_numbers(frame[column], lines, path, column, whole=True)
    if "Score" in frame:
        frame["Score"] = to_numbers(frame["Score"], lines, path, "Score")
    check_coordinates(frame, lines, path)
    backwards = (frame["Start2"] < 0) | (frame["End2"] < frame["Start2"])
    if backwards.any():
        row = int(np.argmax(backwards))
        shown = f"{frame['Chromosome2'].iloc[row]}:{frame['Start2'].iloc[row]}-{frame['End2'].iloc[row]}"
        raise ValueError(f"{path}, line {lines.iloc[row]}: found {shown}, but End2 must not be before Start2.")
    return _with_genes(frame)


# ---------------------------------------------------------------------------------------------------------
# Tables with a header


def _plain(column: str) -> str:
    return re.sub(r"[\s_]", "", column.lstrip("#").lower())


def find_columns(columns: Sequence[str], spellings: _Spellings) -> dict[str, str]:
    """Our name -> column of a table, by spellings without case, blanks and underscores, the best first."""
    plain = {_plain(column): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for name, accepted in spellings.items():
        column = next((plain[spelling] for spelling in accepted if spelling in plain), None)
        if column is not None:
            found[name] = column
    return found


def _fitting(columns: Sequence[str]) -> str:
    """Readers whose columns are all there."""
    scores = [_plain(column) for column in columns]
    readers = []
    if {*INTERVAL, GENE, TSS, EFFECT_SIZE, SIGNIFICANT} <= set(find_columns(columns, _MEASUREMENT)):
        readers.append("read_crispr")
    predicted = set(find_columns(columns, _PREDICTION))
    if {*INTERVAL, GENE} <= predicted and any("e2g" in score and "score" in score for score in scores):
        readers.append("read_re2g")
    elif {*INTERVAL, GENE, TSS} <= predicted and any(_ABC_SCORE.fullmatch(score) for score in scores):
        readers.append("read_abc")
    return " or ".join(readers)


def _read_pairs(
    path: Path,
    spellings: _Spellings,
    required: Sequence[str],
    what: str,
    reader: str,
    score: re.Pattern[str] | None = None,
) -> tuple[pd.DataFrame, pd.Series]:
    """Table with our columns first, and the line of each row."""
    expected = f"{what}, a table with a header row"
    text = read_text(path, expected).splitlines()
    separator = "," if path.name.lower().removesuffix(".gz").endswith(".csv") else "\t"
    rows = [k for k, line in enumerate(text) if line.strip() and not line.startswith("#")]
    header = rows[0] if rows else 0
    if rows and header and text[header - 1].count(separator) == text[header].count(separator) > 0:
        header -= 1  # '#chr start …' right above the rows
    columns = [column.strip() for column in text[header].lstrip("#").split(separator)]
    found = find_columns(columns, spellings)
    missing = [f"{name} (such as {spellings[name][0]!r})" for name in (*INTERVAL, *required) if name not in found]
    if score is not None and not any(score.fullmatch(_plain(column)) for column in columns):
        missing.append("the score")
    if missing:
        _refuse_columns(path, columns, missing, expected, reader)
    body = [k for k in rows if k > header]
    if not body:
        raise ValueError(f"{path} has a header but no rows; expected {what}.")
    lines = pd.Series(body) + 1
    for k in body:
        if text[k].count(separator) != text[header].count(separator):
            raise ValueError(
                f"{path}, line {k + 1}: {text[k].count(separator) + 1} columns found, expected {len(columns)} as in "
                f"the header. The file may be cut off."
            )
    frame = pd.read_csv(
        io.StringIO("\n".join([text[header].lstrip("#"), *(text[k] for k in body)])),
        sep=separator,
        dtype=dict.fromkeys(found.values(), str),
        low_memory=False,
        quoting=3 if separator == "\t" else 0,
    )
    frame.columns = pd.Index(columns)
    frame = frame.rename(columns={column: name for name, column in found.items()})
    if GENE_ID in found and frame[GENE_ID].isna().all():
        frame = frame.drop(columns=GENE_ID)
    first = [name for name in spellings if name in frame]
    frame = frame[first + [column for column in frame if column not in first]]
    for name in (Var.start, Var.end):
        frame[name] = to_numbers(frame[name].fillna("nothing"), lines, path, name, whole=True)
    if TSS in frame:
        known = frame[TSS].notna().all()
        frame[TSS] = to_numbers(frame[TSS].fillna("nan"), lines, path, TSS, whole=bool(known))
    return frame, lines


def _refuse_columns(path: Path, columns: Sequence[str], missing: Sequence[str], expected: str, reader: str) -> None:
    shown = ", ".join(columns[:8]) + (", …" if len(columns) > 8 else "")
    numbers = sum(column.lstrip("-").replace(".", "", 1).isdigit() for column in columns)
    fitting = _fitting(columns)
    if fitting:
        way_out = f"Its columns fit {fitting}."
    elif numbers >= 4 and len(columns) >= 6:
        way_out = "It seems to have no header row; BEDPE files are read by read_bedpe."
    else:
        way_out = f"Rename its columns for {reader}."
    raise ValueError(
        f"{path} has no column for {', '.join(missing)}; it has {shown}; expected {expected} (case does not matter). "
        f"{way_out}"
    )


def _to_bool(values: pd.Series, lines: pd.Series, path: Path, column: str) -> pd.Series:
    """Text as bool; what is missing is False."""
    plain = values.fillna("false").str.strip().str.lower()
    bad = ~plain.isin([*_TRUE, *_FALSE])
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"{path}, line {lines.iloc[row]}: {column} is {values.iloc[row]!r}, expected TRUE or FALSE.")
    return plain.isin(_TRUE)


def _check(frame: pd.DataFrame, lines: pd.Series, path: Path) -> pd.DataFrame:
    for name in (Var.chromosome, GENE):
        if (empty := frame[name].isna()).any():
            row = int(np.argmax(empty))
            raise ValueError(f"{path}, line {lines.iloc[row]}: {name} is empty ({int(empty.sum())} such rows).")
    check_coordinates(frame, lines, path)
    return frame


def _with_genes(frame: pd.DataFrame) -> pd.DataFrame:
    """Add gene and tss to a BEDPE file of the ABC pipeline."""
    if "Name" not in frame:
        return frame
    genes = frame["Name"].str.extract(_ABC_NAME)[0]
    points = frame["End2"] - frame["Start2"] <= 1
    if genes.isna().any() or not points.all():
        return frame
    frame.insert(3, GENE, genes)
    frame.insert(4, TSS, frame["Start2"])
    return frame
