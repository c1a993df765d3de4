"""What all models share: a frozen configuration, saving and loading."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from torch import nn

Config = TypeVar("Config")

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


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
        """Write ``model.safetensors`` and ``config.json`` into a folder.

        Each file is written under a temporary name and renamed, so that a failure leaves the old ones.
        """
        from importlib.metadata import version

        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "model": type(self).__name__,
            "config": asdict(self.config),  # type: ignore[call-overload]
            "provenance": self.provenance,
            "eregtools_version": version("eregtools"),
        }
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        temporary = folder / f".{WEIGHTS_FILE}.part"
        save_file(weights, temporary)
        temporary.replace(folder / WEIGHTS_FILE)
        temporary = folder / f".{CONFIG_FILE}.part"
        temporary.write_text(json.dumps(about, indent=2) + "\n")
        temporary.replace(folder / CONFIG_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a model written by :meth:`save`; in evaluation mode, on the CPU.

        Raises
        ------
        FileNotFoundError
            The folder lacks one of the two files.
        ValueError
            The folder holds another model, or weights that do not fit the configuration.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        for name in (CONFIG_FILE, WEIGHTS_FILE):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} holds no {name}; a model folder is written by model.save()")
        try:
            about = json.loads((folder / CONFIG_FILE).read_text())
            weights = load_file(folder / WEIGHTS_FILE)
        except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
            raise ValueError(f"{folder} cannot be read as a model: {error}") from error
        if about.get("model") != cls.__name__:
            raise ValueError(f"{folder} holds a model of type {about.get('model')!r}, not {cls.__name__}")
        model = cls(cls.config_class(**about["config"]))
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"weights in {folder} do not fit their own configuration: {error}") from error
        model.provenance = about.get("provenance", {})
        return model.eval()
