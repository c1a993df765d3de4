"""What all models share: a frozen configuration, saving and loading."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from torch import nn

Config = TypeVar("Config")

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CARD_FILE = "README.md"


class Model(nn.Module, Generic[Config]):
    """A network with a configuration and, when known, what it was trained on.

    Attributes
    ----------
    config
        Frozen dataclass of the architecture.
    provenance
        Name, weights' hash, biosample, assay, fold and recipe of the weights, as far as they are known.
    """

    config_class: ClassVar[type]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict[str, Any] = {}

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and the model card ``README.md`` into a folder.

        ``config.json`` holds the configuration, the provenance, the recipe's features, a fingerprint of the weights
        and the version of eregtools. Each file is written under a temporary name, and they are renamed when all are
        there, so that a failure leaves the old ones. The folder can be uploaded to the Hugging Face Hub as it is.
        """
        from importlib.metadata import version

        from safetensors.torch import save_file

        from eregtools.models.card import model_card, recipe_of

        recipe = recipe_of(self)
        about = {
            "model": type(self).__name__,
            "config": asdict(self.config),  # type: ignore[call-overload]
            "provenance": self.provenance,
            "recipe": recipe and recipe.as_dict(),
            "fingerprint": self.fingerprint(),
            "eregtools_version": version("eregtools"),
        }
        text = json.dumps(about, indent=2, default=_records) + "\n"
        card = model_card(self)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = {name: folder / f".{name}.part" for name in (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE)}
        try:
            save_file(weights, temporary[WEIGHTS_FILE])
            temporary[CONFIG_FILE].write_text(text)
            temporary[CARD_FILE].write_text(card, encoding="utf-8")
            for name, path in temporary.items():
                path.replace(folder / name)
        finally:
            for path in temporary.values():
                path.unlink(missing_ok=True)

    def fingerprint(self) -> str:
        """Hash (sha256) of the weights: names, shapes and values."""
        digest = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model written by :meth:`save`; in evaluation mode, on the CPU.

        Raises
        ------
        FileNotFoundError
            The folder lacks one of the two files.
        ValueError
            The folder holds another model, or weights that do not fit the configuration or are not those it describes.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        about = read_config(folder)
        if not (folder / WEIGHTS_FILE).is_file():
            raise FileNotFoundError(f"{folder} holds no {WEIGHTS_FILE}; a model folder is written by model.save()")
        if about["model"] != cls.__name__:
            raise ValueError(f"{folder} holds a model of type {about['model']!r}, not {cls.__name__}")
        try:
            model = cls(cls.config_class(**about["config"]))
            model.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except SafetensorError as error:
            raise ValueError(f"{folder} cannot be read as a model: {error}") from error
        except (TypeError, RuntimeError) as error:
            raise ValueError(f"weights and configuration in {folder} do not fit: {error}") from error
        if about.get("fingerprint") not in (None, model.fingerprint()):
            raise ValueError(
                f"the weights in {folder} are not those that its {CONFIG_FILE} describes: the two files come from "
                "different models, or one is damaged"
            )
        model.provenance = about.get("provenance", {})
        return model.eval()


def read_config(folder: Path) -> dict[str, Any]:
    """Content of a model folder's ``config.json``: type of the model, its configuration, its provenance.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no {CONFIG_FILE}; a model folder is written by model.save()")
    try:
        about = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a model: {error}") from error
    if not isinstance(about, dict) or not isinstance(about.get("config"), dict) or "model" not in about:
        raise ValueError(f"{path} cannot be read as a model: it does not name a model and its configuration")
    return about


def _records(value: Any) -> Any:
    """Rows of a table, for JSON."""
    import pandas as pd

    if not isinstance(value, pd.DataFrame):
        raise TypeError(f"provenance holds a {type(value).__name__}, which {CONFIG_FILE} cannot; make it a plain value")
    table = value if isinstance(value.index, pd.RangeIndex) else value.reset_index()
    return json.loads(table.to_json(orient="records", double_precision=15))
