"""One path from YAML to records: parse with places, validate strictly, name the nearest known key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lakemill.core.errors import ConfigError, NotFoundError, StorageError, nearest

T = TypeVar("T")
Place = tuple[str | int, ...]

_TEXT = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_MAX_DEPTH = 50


class ConfigModel(BaseModel):
    """Base of everything that a person writes in YAML: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True)


class Document:
    """YAML as plain data, with the file, line and column of every key.

    Parameters
    ----------
    text
        The YAML source.
    source
        What to call it in errors, usually its path.

    Raises
    ------
    ConfigError
        If the text is not YAML, repeats a key, has a key that is not text, or is not a mapping.
    """

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.data: dict[str, Any] = {}
        self._places: dict[Place, str] = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            if not isinstance(root, yaml.MappingNode):
                found = "an empty file" if root is None else f"a {type(root).__name__.removesuffix('Node').lower()}"
                raise ConfigError(f"{source}:1:1: expected a mapping of keys, got {found}")
            self._walk(root, ())
            self.data = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            raise ConfigError(f"{self._at(error.problem_mark)}: not valid YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{source}: not valid YAML: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a file.

        Raises
        ------
        NotFoundError
            If there is no such file.
        StorageError
            If it cannot be read.
        ConfigError
            If it is not text in UTF-8, or as for the class.
        """
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError as error:
            raise NotFoundError(f"no file {path}", hint="`lakemill init DIR` writes a project") from error
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: expected text in UTF-8, got other bytes at offset {error.start}") from error

    def include(self, other: Document) -> None:
        """Take in the keys of another document, each with its own place.

        Raises
        ------
        ConfigError
            If both set the same key, mappings aside, which are merged.
        """
        self._merge(self.data, other.data, other=other, where=())

    def place(self, where: Place) -> str:
        """Return ``file:line:column`` of a key, or of its nearest parent."""
        for length in range(len(where), 0, -1):
            if where[:length] in self._places:
                return self._places[where[:length]]
        return f"{self.source}:1:1"

    def _walk(self, node: yaml.Node, where: Place) -> None:
        if len(where) > _MAX_DEPTH:
            raise ConfigError(
                f"{self._at(node.start_mark)}: nested deeper than {_MAX_DEPTH} levels",
                hint="does an alias (*name) contain its own anchor (&name)?",
            )
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._enter(key, (*where, key.value if isinstance(key, yaml.ScalarNode) else ""))
                self._walk(value, (*where, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._places[(*where, index)] = self._at(item.start_mark)
                self._walk(item, (*where, index))

    def _enter(self, key: yaml.Node, where: Place) -> None:
        if key.tag not in (_TEXT, _MERGE):
            kind = key.tag.rsplit(":", 1)[-1]
            raise ConfigError(
                f"{self._at(key.start_mark)}: expected a key that is text, got {kind}: {key.value}",
                hint='put it in quotes, as in "on": or "1":',
            )
        if where in self._places:
            raise ConfigError(
                f"{self._at(key.start_mark)}: key {where[-1]!r} appears twice",
                hint=f"it is first at {self._places[where]}; keep one of them",
            )
        self._places[where] = self._at(key.start_mark)

    def _merge(self, into: dict[str, Any], added: Mapping[str, Any], *, other: Document, where: Place) -> None:
        for key, value in added.items():
            here = (*where, key)
            if key not in into:
                into[key] = value
                self._places |= {place: at for place, at in other._places.items() if place[: len(here)] == here}
            elif isinstance(into[key], dict) and isinstance(value, dict):
                self._merge(into[key], value, other=other, where=here)
            else:
                raise ConfigError(
                    f"{other.place(here)}: key {dotted(here)!r} is set twice",
                    hint=f"it is first at {self.place(here)}; keep one of them",
                )

    def _at(self, mark: yaml.Mark | None) -> str:
        return f"{self.source}:1:1" if mark is None else f"{self.source}:{mark.line + 1}:{mark.column + 1}"


def validate(data: Any, kind: type[T], document: Document) -> T:
    """Turn plain data into a record, strictly.

    Raises
    ------
    ConfigError
        With every fault, each with its place, what was found and the nearest known key.
    """
    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        schema = adapter.json_schema()
        faults = [_fault(fault, schema, document=document) for fault in _causes(error.errors())]
        raise ConfigError("\n".join(faults)) from error


def dotted(where: Place) -> str:
    """Write a place in a document as people do.

    Examples
    --------
    >>> dotted(("resources", "jobs", "demand", "tasks", 0, "python"))
    'resources.jobs.demand.tasks[0].python'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")


def _causes(faults: Sequence[Any]) -> list[Any]:
    """Leave out a list's fault of being too short where its items are faulty: pydantic counts the good ones."""
    places = [fault["loc"] for fault in faults]
    return [
        fault
        for fault in faults
        if fault["type"] != "too_short"
        or not any(len(place) > len(fault["loc"]) and place[: len(fault["loc"])] == fault["loc"] for place in places)
    ]


def _fault(fault: Any, schema: Mapping[str, Any], *, document: Document) -> str:
    where = tuple(part for part in fault["loc"] if part != "[key]")
    at, name = document.place(where), dotted(where)
    if fault["type"] == "extra_forbidden":
        return f"{at}: unknown key {name!r}; {nearest(str(where[-1]), _known_keys(schema, where[:-1]))}"
    if fault["type"] == "missing":
        return f"{at}: key {name!r} is required"
    message = fault["msg"].removeprefix("Value error, ").replace("Tuple", "List")
    return f"{at}: {name}: {message[:1].lower()}{message[1:]}, got {_short(fault['input'])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _known_keys(schema: Mapping[str, Any], where: Place) -> list[str]:
    node = _resolve(schema, schema)
    for part in where:
        node = _resolve(_step(node, part), schema)
    return list(node.get("properties", {}))


def _step(node: Mapping[str, Any], part: str | int) -> Any:
    if isinstance(part, int):
        return node.get("items", {})
    by_pattern = list(node.get("patternProperties", {}).values())
    return node.get("properties", {}).get(part) or node.get("additionalProperties") or next(iter(by_pattern), None)


def _resolve(node: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = node if isinstance(node, Mapping) else {}
    if "anyOf" in found:
        found = next(option for option in found["anyOf"] if option.get("type") != "null")
    if "$ref" in found:
        found = schema["$defs"][found["$ref"].rsplit("/", 1)[-1]]
    return found
