"""A folder is a plug point, a file in it is a kind."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from lakemill.core.errors import ConfigError, MissingExtraError, nearest

Base = TypeVar("Base")


class Slot(Generic[Base]):
    """The kinds of one thing, found in a folder and among entry points.

    Parameters
    ----------
    package
        The folder as a package; each public module in it, ``base`` aside, is one kind and holds
        one concrete subclass of `base`. Its name is also the entry-point group of third parties.
    base
        The class that every kind extends.
    """

    def __init__(self, package: str, base: type[Base]) -> None:
        self.package = package
        self.base = base

    def kinds(self) -> tuple[str, ...]:
        """Return the names of all kinds without importing them."""
        return tuple(sorted({*self._built_in, *self._third_party}))

    def load(self, kind: str) -> type[Base]:
        """Return the class of a kind.

        Raises
        ------
        ConfigError
            If there is no such kind.
        MissingExtraError
            If its optional package is not installed.
        """
        if kind not in self.kinds():
            raise ConfigError(f"no kind {kind!r} in {self.package}", hint=nearest(kind, self.kinds()))
        try:
            return self._load(kind)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("lakemill"):
                raise  # a fault of ours, not a package that the user lacks
            raise MissingExtraError(
                f"kind {kind!r} of {self.package} needs a package that is not installed: {error}",
                hint=f"pip install 'lakemill[{kind}]'",
            ) from error

    def build(self, spec: Mapping[str, Any], **live: Any) -> Base:
        """Make the object that ``{"kind": ..., option: value}`` describes.

        Parameters
        ----------
        spec
            The kind and its options.
        live
            Opened resources that the constructor takes beside its options.

        Raises
        ------
        ConfigError
            If the kind is unknown or does not take an option.
        """
        options = {key: value for key, value in spec.items() if key != "kind"}
        cls = self.load(spec["kind"])
        allowed = [name for name in inspect.signature(cls).parameters if name not in live]
        for option in options:
            if option not in allowed:
                raise ConfigError(f"kind {spec['kind']!r} has no option {option!r}", hint=nearest(option, allowed))
        return cls(**options, **live)

    @cached_property
    def _built_in(self) -> frozenset[str]:
        folder = importlib.import_module(self.package)
        names = (module.name for module in pkgutil.iter_modules(folder.__path__))
        return frozenset(name for name in names if name != "base" and not name.startswith("_"))

    @cached_property
    def _third_party(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.package)}

    def _load(self, kind: str) -> type[Base]:
        if kind in self._third_party:
            cls: type[Base] = self._third_party[kind].load()
            return cls
        module = importlib.import_module(f"{self.package}.{kind}")
        found: type[Base] = next(cls for cls in vars(module).values() if self._is_kind(cls, module.__name__))
        return found

    def _is_kind(self, cls: object, module: str) -> bool:
        return (
            inspect.isclass(cls)
            and issubclass(cls, self.base)
            and cls.__module__ == module
            and not inspect.isabstract(cls)
            and not cls.__name__.startswith("_")
        )
