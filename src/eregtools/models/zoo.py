"""Published weights: which there are, where they come from, and that they are what they claim to be."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import pandas as pd
import yaml

from eregtools._download import OtherHashError, UnreachableError, download, local_path
from eregtools._logging import logger
from eregtools._settings import settings
from eregtools.models.recipes import Target

if TYPE_CHECKING:
    from eregtools.models.epinformer import EPInformer, EPInformerSeq
    from eregtools.models.epipam import EPIPAM
    from eregtools.models.ernaformer import ERNAformer

WEIGHTS_VARIABLE = "EREGTOOLS_WEIGHTS"


@dataclass(frozen=True)
class Checkpoint:
    """One published file.

    Attributes
    ----------
    family, biosample, assay, fold
        What it was trained as and on.
    file
        Name under which we keep it.
    path, commit, url
        Where it is in its authors' repository.
    sha256, size
        Hash and bytes of the file.
    target
        Scale of the output of an expression model.
    """

    family: str
    biosample: str
    assay: str
    fold: int
    file: str
    path: str
    commit: str
    url: str
    sha256: str
    size: int
    source: str
    licence: str
    target: Target | None = None

    @property
    def set_name(self) -> str:
        """Name of the set of fold models this belongs to, e.g. ``EPInformer-PE-Activity/K562/CAGE``."""
        return f"{self.family}/{self.biosample}/{self.assay}"

    @property
    def name(self) -> str:
        """Name of this one model, e.g. ``EPInformer-PE-Activity/K562/CAGE/fold1``."""
        return f"{self.set_name}/fold{self.fold}"

    @property
    def provenance(self) -> dict[str, Any]:
        """What is stored with the model and with its results."""
        about = {
            "name": self.name,
            "family": self.family,
            "biosample": self.biosample,
            "assay": self.assay,
            "fold": self.fold,
            "fold_scheme": "epinformer12",
            "recipe": "legacy",
            "sha256": self.sha256,
            "source": f"{self.source}@{self.commit[:12]}",
            "licence": self.licence,
        }
        return about if self.target is None else about | {"target": asdict(self.target)}


@cache
def registry() -> tuple[Checkpoint, ...]:
    """Every published checkpoint we know the hash of."""
    text = resources.files("eregtools.models").joinpath("registry.yaml").read_text()
    content = yaml.safe_load(text)
    found = []
    for entry in content["sets"]:
        for fold, file in entry["folds"].items():
            path = entry["path"].format(fold=fold)
            url = content["url"].format(source=content["source"], commit=entry["commit"], path=path)
            found.append(
                Checkpoint(
                    entry["family"],
                    entry["biosample"],
                    entry["assay"],
                    fold,
                    entry["file"].format(fold=fold),
                    path,
                    entry["commit"],
                    url,
                    file["sha256"],
                    file["bytes"],
                    content["source"],
                    content["licence"],
                    Target(**entry["target"]) if "target" in entry else None,
                )
            )
    return tuple(found)


def list_models() -> pd.DataFrame:
    """List the models that :func:`load` knows by name: published ones, and those that come with the package.

    Those that come with it end in ``-simulated``: they were trained on simulated data alone, to try things on.

    Returns
    -------
    One row a checkpoint: name, family, biosample, assay, fold, file, sha256, source, licence.

    Examples
    --------
    >>> import eregtools as er
    >>> table = er.models.list()
    >>> table.loc[table["assay"] == "CAGE", "name"].iloc[0]
    'EPInformer-PE-Activity/K562/CAGE/fold1'
    """
    columns = ["name", "family", "biosample", "assay", "fold", "file", "sha256", "source", "licence"]
    rows = [{column: getattr(c, column) for column in columns} for c in registry()]
    for name, folder in packaged().items():
        about = json.loads((folder / "config.json").read_text())
        known = {key: about["provenance"].get(key) for key in ("biosample", "assay", "sha256")}
        known |= {"file": f"{name}/model.safetensors", "source": "eregtools", "licence": "BSD-3-Clause"}
        rows.append({"name": name, "family": name.removesuffix("-small-simulated"), **known})
    return pd.DataFrame(rows, columns=columns).astype({"fold": "Int64"})


def packaged() -> dict[str, Path]:
    """Folders of the models that come with eregtools, by name; all were trained on simulated data alone."""
    weights = Path(str(resources.files("eregtools.models").joinpath("weights")))
    return {config.parent.name: config.parent for config in sorted(weights.glob("*/config.json"))}


def find(name: str) -> tuple[Checkpoint, ...]:
    """Checkpoints of a set or of one fold, by name; empty if there is none."""
    return tuple(c for c in registry() if name in (c.set_name, c.name))


def load(name: str | Path) -> EPInformer | EPInformerSeq | EPIPAM | ERNAformer:
    """Load one model.

    Parameters
    ----------
    name
        A folder written by ``model.save`` or a published ``.pt`` file; else the name of a published model (see
        :func:`eregtools.models.list`) or of one that comes with the package, such as
        ``"EPInformer-small-simulated"``; else a repository of the Hugging Face Hub that holds what ``model.save``
        wrote: ``owner/name``, ``owner/name@revision``, or with a folder in it ``owner/name/fold3``.

    Returns
    -------
    The model, on the CPU, in evaluation mode; ``model.provenance`` says what it is.

    Raises
    ------
    KeyError
        No model has this name, or the name stands for a set of fold models.
    FileNotFoundError
        The weights are not at hand; the message says where to put them.
    ValueError
        The file's hash is not the registered one, or the file is no such model.
    ImportError
        A repository needs huggingface_hub, which is not installed.
    OSError
        The Hugging Face Hub cannot be reached.

    Notes
    -----
    A repository's models are kept in ``settings.cache_dir / "hub"``. Of a repository only safetensors and JSON are
    read, never pickled weights. The environment's ``HF_ENDPOINT`` names another Hub.

    Examples
    --------
    >>> import eregtools as er
    >>> model = er.models.load("ERNAformer-small-simulated")
    >>> type(model).__name__, model.config.seq_len, model.provenance["simulated"]
    ('ERNAformer', 1024, True)
    >>> model = er.models.load("EPInformer-PE-Activity/K562/CAGE/fold1")  # doctest: +SKIP
    >>> model = er.models.load("owner/name/fold1")  # doctest: +SKIP
    """
    found = locate(name)
    if isinstance(found, tuple):
        if found[0].name != name:
            raise _is_a_set(name, (f"fold{c.fold}" for c in found))
        return load_published(fetch(found[0]))
    if not found.is_dir():
        return load_published(found)
    if (folds := fold_folders(found)) and not (found / "config.json").exists():
        raise _is_a_set(name, (folder.name for folder in folds.values()))
    return _load_folder(found)


def locate(name: str | Path) -> Path | tuple[Checkpoint, ...]:
    """Find what a name stands for: a path that exists, published checkpoints, or the folder of a repository.

    Raises
    ------
    KeyError
        None of these.
    """
    path = Path(name)
    if path.exists():
        return path
    if isinstance(name, str) and (found := find(name)):
        return found
    if isinstance(name, str) and (folder := packaged().get(name)) is not None:
        logger.warning("%s was trained on simulated data alone: it shows the machinery, not biology", name)
        return folder
    if path.suffix in {".pt", ".pth", ".ckpt"}:
        raise FileNotFoundError(f"no checkpoint at {path}, and it is no published model's name")
    families = {c.family for c in registry()}
    if isinstance(name, str) and name.split("/")[0] not in families:
        from eregtools.models import hub

        if (address := hub.address(name)) is not None:
            return hub.fetch(address)
    sets = sorted({c.set_name for c in registry()})
    raise KeyError(
        f"no model {str(name)!r}: neither a path that exists, nor one of {', '.join(sets)} + /fold…, nor one of "
        f"{', '.join(packaged())}, nor the name of a Hugging Face repository (owner/name)"
    )


def fold_folders(path: Path) -> dict[int, Path]:
    """Folders of fold models (``fold1``, ``fold_2`` …) in a folder, by fold."""
    folders = {f.name.removeprefix("fold").strip("_-"): f for f in sorted(path.glob("fold*")) if f.is_dir()}
    return {int(number): folder for number, folder in folders.items() if number.isdigit()}


def _is_a_set(name: str | Path, folds: Iterable[str]) -> KeyError:
    return KeyError(f"{str(name)!r} is a set of fold models; name one of them: {name}/ + {', '.join(folds)}")


def load_published(path: str | Path) -> EPInformer | EPInformerSeq | EPIPAM:
    """Read a checkpoint of EPInformer or EPIPAM as the authors' code writes it.

    The architecture is recognised from the names and shapes of the stored tensors. Nothing in the file is executed.

    Parameters
    ----------
    path
        A ``.pt`` file.

    Returns
    -------
    The model, on the CPU, in evaluation mode. What is known of a file of this hash (biosample, assay, fold, recipe) is
    in ``model.provenance``; otherwise the name of the file, its hash and the recipe that goes with the architecture.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is no checkpoint, wants to run code, or holds another architecture.

    Notes
    -----
    Sources: github.com/pinellolab/EPInformer (MIT) for EPInformer and its enhancer predictor. Of EPIPAM no trained
    weights are published; its authors' code writes such files.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> import eregtools as er
    >>> path = Path(tempfile.mkdtemp()) / "other.pt"
    >>> torch.save({"linear.weight": torch.zeros(2, 3)}, path)
    >>> er.models.load_published(path)
    Traceback (most recent call last):
    ValueError: ... holds another architecture: its tensors are named linear.weight; EPInformer has ...
    >>> model = er.models.load_published("checkpoint_of_the_authors.pt")  # doctest: +SKIP
    """
    from eregtools.models.card import recipe_of
    from eregtools.models.published import load_published as read

    model = read(path)
    digest = sha256(Path(path))
    known = next((c for c in registry() if c.sha256 == digest), None)
    recipe = recipe_of(model)
    unknown = {"name": Path(path).name, "sha256": digest, "recipe": recipe.name if recipe else "legacy"}
    model.provenance = known.provenance if known else unknown
    return model


def _load_folder(path: Path) -> EPInformer | EPInformerSeq | EPIPAM | ERNAformer:
    from eregtools.models.base import read_config
    from eregtools.models.epinformer import EPInformer, EPInformerSeq
    from eregtools.models.epipam import EPIPAM
    from eregtools.models.ernaformer import ERNAformer

    kind = read_config(path)["model"]
    classes = {cls.__name__: cls for cls in (EPInformer, EPInformerSeq, EPIPAM, ERNAformer)}
    if kind not in classes:
        raise ValueError(f"{path} holds a model of type {kind!r}; this version knows {', '.join(classes)}")
    return classes[kind].load(path)


def sha256(path: Path) -> str:
    """Hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(checkpoint: Checkpoint) -> Path:
    """Path of a published file whose hash is right, downloading it if need be.

    ``EREGTOOLS_WEIGHTS`` (a folder, a ``file://`` or an ``http(s)://`` address) replaces the authors' repository;
    a folder is used in place, a download is kept in ``settings.cache_dir / "weights"``.

    Raises
    ------
    FileNotFoundError
        The file is not at hand and cannot be downloaded.
    ValueError
        The file found has another hash.
    """
    mirror = os.environ.get(WEIGHTS_VARIABLE, "").strip()
    cached = settings.cache_dir / "weights" / checkpoint.file
    if mirror and (folder := local_path(mirror)) is not None:
        for candidate in _places(folder, checkpoint):
            if candidate.is_file():
                return checked(candidate, checkpoint)
    if cached.is_file():
        return checked(cached, checkpoint)
    if mirror and urlparse(mirror).scheme in {"http", "https"}:
        return _download(f"{mirror.rstrip('/')}/{checkpoint.file}", checkpoint, cached)
    if mirror:
        raise _missing(checkpoint, f"{WEIGHTS_VARIABLE}={mirror} does not hold it")
    return _download(checkpoint.url, checkpoint, cached)


def _places(folder: Path, checkpoint: Checkpoint) -> Iterator[Path]:
    upstream = Path(checkpoint.path)
    yield from (folder / checkpoint.file, folder / upstream, folder / upstream.name)


def checked(path: Path, checkpoint: Checkpoint) -> Path:
    """Path of a file whose hash is the registered one; an error where it is another."""
    found = sha256(path)
    if found != checkpoint.sha256:
        raise ValueError(
            f"{path} is not {checkpoint.name}: its sha256 is {found}, expected {checkpoint.sha256}; "
            "the file is damaged or another one, replace it"
        )
    return path


def _download(url: str, checkpoint: Checkpoint, target: Path) -> Path:
    try:
        download(url, target, known_hash=f"sha256:{checkpoint.sha256}")
    except UnreachableError as error:
        raise _missing(checkpoint, str(error)) from None
    except OtherHashError:
        raise ValueError(
            f"{url} is not {checkpoint.name}: its sha256 differs from the registered {checkpoint.sha256}; "
            "nothing was kept"
        ) from None
    return target


def _missing(checkpoint: Checkpoint, why: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"weights {checkpoint.name} are not at hand ({why}): put {checkpoint.file} "
        f"(sha256 {checkpoint.sha256}, {checkpoint.source}: {checkpoint.path}) into "
        f"{settings.cache_dir / 'weights'}, or name a folder that has it in {WEIGHTS_VARIABLE}"
    )
