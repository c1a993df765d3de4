"""Curves of a training, read from the log that was written on the way or from a model's provenance."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from eregtools.models.zoo import fold_folders
from eregtools.train.regimes import MONITORS

if TYPE_CHECKING:
    from eregtools.models.base import Model

FOLD: Final = "fold"
STAGE: Final = "stage"
EPOCH: Final = "epoch"
BEST: Final = "best"

_LOG: Final = "metrics.csv"
_KEYS: Final = [FOLD, STAGE, EPOCH]


def read_epochs(source: str | Path | Model[Any] | pd.DataFrame) -> pd.DataFrame:
    """Metrics of each epoch of a training.

    Parameters
    ----------
    source
        What :func:`eregtools.pl.training` takes.

    Returns
    -------
    One row an epoch: ``fold`` and ``stage`` (text; empty where there is only one), ``epoch`` (from 1, within its
    stage), ``best`` (one epoch of each fold and stage is, if a validation loss is there), and the columns of the log.
    Training and validation metrics may stand on lines of their own; the last value of an epoch counts.
    """
    if isinstance(source, str | Path):
        return _of_path(Path(source))
    if isinstance(source, pd.DataFrame):
        return _by_epoch(source, "the table")
    provenance = getattr(source, "provenance", None)
    if not isinstance(provenance, Mapping):
        raise TypeError(f"source is a {type(source).__name__}; expected a model folder, a model or a table")
    training = provenance.get("training") or {}
    if not training.get("history"):
        raise ValueError(
            f"the model {provenance.get('name', '')!r} holds no curves in provenance['training']['history']; "
            "pass the folder that it was trained into"
        )
    return _by_epoch(pd.DataFrame(training["history"]), "the model's history", training.get("monitor"))


def _of_path(path: Path) -> pd.DataFrame:
    if path.is_file():
        return _by_epoch(_read([path]), str(path), _monitor(path.parent) or _monitor(path.parent.parent))
    if not path.is_dir():
        raise FileNotFoundError(f"no folder {path}; name the folder of a model, as given to folder= in training")
    if logs := _logs(path):
        return _by_epoch(_read(logs), str(path), _monitor(path))
    parts = [
        _by_epoch(_read(logs).assign(**{FOLD: fold}), str(folder), _monitor(folder))
        for fold, folder in sorted(fold_folders(path).items())
        if (logs := _logs(folder))
    ]
    if not parts:
        raise ValueError(
            f"{path} holds no log of a training (log/{_LOG}, in it or in its fold folders); models are trained with "
            "folder= to keep one"
        )
    return pd.concat(parts, ignore_index=True)


def _monitor(folder: Path) -> str | None:
    """Figure that chose the epoch, as written beside the model, or beside a training that is not finished."""
    for name, keys in (("config.json", ("provenance", "training")), ("training.json", ("regime",))):
        if (path := folder / name).is_file():
            try:
                about = json.loads(path.read_text())
            except ValueError as error:
                raise ValueError(f"{path} cannot be read: {error}") from error
            for key in keys:
                about = about.get(key) if isinstance(about, dict) else None
            if isinstance(about, dict) and "monitor" in about:
                return str(about["monitor"])
    return None


def _logs(folder: Path) -> list[Path]:
    """Find the log of a model folder, or of the log folder itself, or one for each stage, in order."""
    for place in (folder / "log", folder):
        if (place / _LOG).is_file():
            return [place / _LOG]
        if stages := sorted(place.glob(f"stage*/{_LOG}"), key=_natural):
            return stages
    return []


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order in which stage2 is before stage10."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", path.parent.name)]


def _read(logs: Iterable[Path]) -> pd.DataFrame:
    parts = []
    for path in logs:
        try:
            table = pd.read_csv(path)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} cannot be read as a log: {str(error).strip()}") from error
        if path.parent.name.startswith(STAGE):
            table[STAGE] = path.parent.name.removeprefix(STAGE).strip("_-")
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _by_epoch(log: pd.DataFrame, where: str, monitor: str | None = None) -> pd.DataFrame:
    """Join the lines of an epoch; fold and stage as text, epochs counted from 1 in each; mark the best."""
    if EPOCH not in log or log.empty:
        raise ValueError(f"{where} is no log of a training: it holds {len(log)} rows of {', '.join(map(str, log))}")
    log = log.assign(**{name: _text(log[name]) if name in log else "" for name in (FOLD, STAGE)})
    if log[STAGE].nunique() == 1:
        log[STAGE] = ""
    curves = log.groupby(_KEYS, sort=False, as_index=False).last()
    curves = curves.sort_values(EPOCH, kind="stable", ignore_index=True)
    first = curves.groupby([FOLD, STAGE], sort=False)[EPOCH].transform("min")
    curves[EPOCH] = (curves[EPOCH] - first + 1).astype(int)
    column = MONITORS.get(monitor or "", "val_loss")
    chosen = curves[column if column in curves else "val_loss"] if "val_loss" in curves else pd.Series(dtype=float)
    chosen = chosen[np.isfinite(chosen)]
    best = chosen.groupby([curves[FOLD], curves[STAGE]], sort=False).idxmin()
    return curves.assign(**{BEST: curves.index.isin(best)})


def _text(column: pd.Series) -> pd.Series:
    """Values as text; whole numbers without a decimal point."""
    return column.map(lambda value: "" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value))
