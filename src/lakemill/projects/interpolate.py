"""Fill in ``${var.x}``, ``${bundle.target}`` and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from lakemill.core.config import Document, Place
from lakemill.core.errors import ConfigError, nearest

_REFERENCE = re.compile(r"\$\{([^}]*)\}")

UNSET: Final = object()
"""Marks a variable that has no value."""


def interpolate(data: Any, values: Mapping[str, Any], *, document: Document, where: Place = ()) -> Any:
    """Return the data with every reference filled in.

    A text that is one reference takes the type of its value; within a longer text the value is
    written as YAML writes it. Values may hold references themselves.

    Parameters
    ----------
    data
        Mappings, lists and scalars, as read.
    values
        What each name stands for; `UNSET` for a variable that has no value.
    document
        Where the data was read.
    where
        Place of the data in the document.

    Raises
    ------
    ConfigError
        If a name is unknown, has no value, or stands for itself in a circle.
    """
    return _Filler(values, document).fill(data, where=where, trail=())


class _Filler:
    def __init__(self, values: Mapping[str, Any], document: Document) -> None:
        self.values = values
        self.document = document

    def fill(self, data: Any, *, where: Place, trail: tuple[str, ...]) -> Any:
        if isinstance(data, dict):
            return {key: self.fill(value, where=(*where, key), trail=trail) for key, value in data.items()}
        if isinstance(data, list):
            return [self.fill(value, where=(*where, index), trail=trail) for index, value in enumerate(data)]
        return self._text(data, where=where, trail=trail) if isinstance(data, str) else data

    def _text(self, text: str, *, where: Place, trail: tuple[str, ...]) -> Any:
        if whole := _REFERENCE.fullmatch(text):
            return self._value(whole[1].strip(), where=where, trail=trail)
        return _REFERENCE.sub(lambda match: _written(self._value(match[1].strip(), where=where, trail=trail)), text)

    def _value(self, name: str, *, where: Place, trail: tuple[str, ...]) -> Any:
        at = self.document.place(where)
        if name not in self.values:
            raise ConfigError(f"{at}: nothing is called ${{{name}}}", hint=nearest(name, self.values))
        if self.values[name] is UNSET:
            variable = name.removeprefix("var.")
            raise ConfigError(
                f"{at}: variable {variable!r} has no value",
                hint=f"give it a default, a value in the target, or `--set {variable}=VALUE`",
            )
        if name in trail:
            raise ConfigError(f"{at}: references go in a circle: {' -> '.join((*trail[trail.index(name) :], name))}")
        return self.fill(self.values[name], where=where, trail=(*trail, name))


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
