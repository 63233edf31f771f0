"""One path from YAML to records: parse with places, validate strictly, name the nearest known key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lakemill.core.errors import ConfigError, NotFoundError, nearest

T = TypeVar("T")
Place = tuple[str | int, ...]


class ConfigModel(BaseModel):
    """Base of everything that a person writes in YAML: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class Document:
    """A YAML file as plain data, with the line and column of every key.

    Parameters
    ----------
    text
        The YAML source.
    source
        What to call it in errors, usually its path.

    Raises
    ------
    ConfigError
        If the text is not YAML, repeats a key, or is not a mapping.
    """

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        self.places: dict[Place, tuple[int, int]] = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.data: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            raise ConfigError(f"{source}:{_at(error.problem_mark)}: not valid YAML: {error.problem}") from error
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{source}: expected a mapping of keys, got {type(self.data).__name__}")
        self._walk(root, ())

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a file.

        Raises
        ------
        NotFoundError
            If there is no such file.
        """
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError as error:
            raise NotFoundError(f"no file {path}", hint="`lakemill init DIR` writes a project") from error

    def place(self, where: Place) -> str:
        """Return ``file:line:column`` of a key, or of its nearest parent."""
        for length in range(len(where), 0, -1):
            if where[:length] in self.places:
                line, column = self.places[where[:length]]
                return f"{self.source}:{line}:{column}"
        return f"{self.source}:1:1"

    def _walk(self, node: yaml.Node, where: Place) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                self._enter(key, (*where, key.value))
                self._walk(value, (*where, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.places[(*where, index)] = _line_column(item.start_mark)
                self._walk(item, (*where, index))

    def _enter(self, key: yaml.Node, where: Place) -> None:
        if where in self.places:
            raise ConfigError(
                f"{self.source}:{_at(key.start_mark)}: key {where[-1]!r} appears twice",
                hint=f"it is first at line {self.places[where][0]}; keep one of them",
            )
        self.places[where] = _line_column(key.start_mark)


def validate(data: Any, kind: type[T], document: Document) -> T:
    """Turn plain data into a record, strictly.

    Raises
    ------
    ConfigError
        With every fault, each with its place, what was found and the nearest known key.
    """
    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        faults = [_fault(fault, kind, document) for fault in error.errors()]
        raise ConfigError("\n".join(faults)) from error


def _fault(fault: Any, kind: Any, document: Document) -> str:
    where = tuple(fault["loc"])
    dotted = ".".join(str(part) for part in where)
    if fault["type"] == "extra_forbidden":
        known = _known_keys(kind, where[:-1])
        return f"{document.place(where)}: unknown key {dotted!r}; {nearest(str(where[-1]), known)}"
    if fault["type"] == "missing":
        return f"{document.place(where[:-1])}: key {dotted!r} is required"
    return f"{document.place(where)}: {dotted}: {fault['msg']}, got {fault['input']!r}"


def _known_keys(kind: Any, where: Place) -> Sequence[str]:
    schema = TypeAdapter(kind).json_schema()
    node = _resolve(schema, schema)
    for part in where:
        node = _resolve(_step(node, part), schema)
    return list(node.get("properties", {}))


def _step(node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    if isinstance(part, int):
        found: Mapping[str, Any] = node.get("items", {})
        return found
    return node.get("properties", {}).get(part) or node.get("additionalProperties") or {}


def _resolve(node: Any, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(node, Mapping):
        return {}
    if "anyOf" in node:
        node = next((option for option in node["anyOf"] if "$ref" in option), node)
    if "$ref" in node:
        found: Mapping[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return found
    return node


def _line_column(mark: yaml.Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _at(mark: yaml.Mark | None) -> str:
    return "1:1" if mark is None else f"{mark.line + 1}:{mark.column + 1}"
