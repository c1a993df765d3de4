"""A YAML file read into dataclasses: known keys, values of their types, paths from the folder of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from eregtools._schema import listed
from eregtools.io._text import read_text

T = TypeVar("T")

_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    NoneType: "nothing",
}


def read_configuration(path: str | Path, kind: type[T]) -> T:
    """Read a YAML file into a dataclass; relative paths in it start from its folder.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is no YAML, has a key that is not known or is there twice, lacks one, or a value is of another type.
    """
    path = Path(path).expanduser()
    reader = _Reader(str(path), path.parent)
    found: T = reader.record(kind, load_yaml(path), "")
    return found


def load_yaml(path: Path) -> dict[Any, Any]:
    """Keys and values of a YAML file; no key may be there twice."""
    text = read_text(path, "keys and values in YAML")
    try:
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ValueError(f"{path}{where} is not YAML ({problem}); expected lines of 'key: value'") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {_shown(content)}; expected lines of 'key: value'")
    return content


def nearest(name: str, known: Iterable[str]) -> str:
    """Words for an error: which known name was meant, and which there are.

    Examples
    --------
    >>> nearest("genom", ["genome", "genes"])
    "did you mean 'genome'? There are genome, genes"
    """
    known = list(known)
    close = get_close_matches(name, known, n=1)
    meant = f"did you mean {close[0]!r}? There" if close else "there"
    return f"{meant} are {listed(known, 20)}"


class _Loader(yaml.SafeLoader):
    """Reader of YAML that knows ``1e8`` as a number and refuses keys that are there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise yaml.constructor.ConstructorError(None, None, "a key is no text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class _Reader:
    """Values as types say.

    Attributes
    ----------
    source
        The file, as errors name it.
    folder
        Where relative paths start.
    """

    source: str
    folder: Path

    def record(self, kind: type[T], content: Any, at: str) -> T:
        known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        here = f"{self.source}: {at}" if at else self.source
        if not isinstance(content, Mapping):
            raise ValueError(f"{here} is {_shown(content)}; expected keys among {listed(known, 20)}")
        for key in content:
            if key not in known:
                raise ValueError(f"{here} has the unknown key {str(key)!r}; {nearest(str(key), known)}")
        needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]  # type: ignore[arg-type]
        if missing := [name for name in needed if content.get(name) is None]:
            raise ValueError(f"{here} lacks {' and '.join(missing)}, which it needs; its keys are {listed(known, 20)}")
        hints = get_type_hints(kind)
        values = {name: self.value(hints[name], value, _dotted(at, name)) for name, value in content.items()}
        try:
            return kind(**values)
        except ValueError as error:
            raise ValueError(f"{here}: {error}") from None

    def value(self, kind: Any, value: Any, at: str) -> Any:
        member = next((one for one in _members(kind) if _fits(one, value)), None)
        if member is None:
            expected = " or ".join(dict.fromkeys(_described(one) for one in _members(kind) if one is not NoneType))
            raise ValueError(f"{self.source}: {at} is {_shown(value)}; expected {expected}")
        origin, inner = get_origin(member), get_args(member)
        if is_dataclass(member):
            return self.record(member, value, at)  # type: ignore[arg-type]
        if origin is dict:
            return {
                self.value(inner[0], key, f"{at} (key)"): self.value(inner[1], held, _dotted(at, key))
                for key, held in value.items()
            }
        if origin is tuple:
            return tuple(self.value(inner[0], held, f"{at}[{number}]") for number, held in enumerate(value))
        if member is Path:
            return self.folder / Path(value).expanduser()
        return str(value) if member is str else value


def _dotted(at: str, name: Any) -> str:
    return f"{at}.{name}" if at else str(name)


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _fits(kind: Any, value: Any) -> bool:
    origin = get_origin(kind)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(kind))
    if origin is dict or is_dataclass(kind):
        return isinstance(value, Mapping)
    if origin is tuple:
        return isinstance(value, list)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is str:  # the name of a chromosome or a biosample may look like a number
        return isinstance(value, str | int) and not isinstance(value, bool) and value != ""
    if kind is Path:
        return isinstance(value, str) and value != ""
    return type(value) is kind


def _described(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(repr(choice) for choice in get_args(kind))
    if is_dataclass(kind):
        return f"the keys {listed((field.name for field in fields(kind)), 20)}"
    if origin is dict:
        return "names with a value each"
    if origin is tuple:
        return "a list"
    return _WORDS[kind]


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    return "a group of keys" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)
