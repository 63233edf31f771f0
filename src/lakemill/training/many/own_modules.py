"""The modules that came with a model, apart from what this process calls by the same names."""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

_SWAPPED = threading.RLock()  # a module may load a model as it is imported


class OwnModules:
    """Loads pickles with the modules of one folder, each imported when first needed.

    Two versions of a model may each have a ``steps.py``, and the project another: whichever was
    imported first would else decide how all of them predict.

    Parameters
    ----------
    folder
        Modules and packages; may be missing, then all are the process's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names = frozenset(path.stem for path in folder.glob("*") if path.suffix == ".py" or path.is_dir())
        self._modules: dict[str, ModuleType] = {}

    def loads(self, blob: bytes) -> Any:
        """Return the object of a pickle."""
        return _Unpickler(io.BytesIO(blob), self).load()

    def holds(self, module: str) -> bool:
        """Tell whether a module, or the package that it is in, is one of the folder."""
        return module.partition(".")[0] in self._names

    def module(self, name: str) -> ModuleType:
        """Return a module of the folder."""
        if name not in self._modules:
            with self._alone():
                importlib.import_module(name)
        return self._modules[name]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let imports find the folder's modules, and put the process's own back afterwards."""
        with _SWAPPED:
            others = self._taken()
            sys.modules.update(self._modules)
            sys.path.insert(0, str(self._folder))
            try:
                yield
            finally:
                sys.path.remove(str(self._folder))
                self._modules = self._taken()
                sys.modules.update(others)

    def _taken(self) -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in list(sys.modules) if self.holds(name)}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, own: OwnModules) -> None:
        super().__init__(file)
        self._own = own

    def find_class(self, module: str, name: str) -> Any:
        """Find a class or function, in the folder's modules first."""
        if not self._own.holds(module):
            return super().find_class(module, name)
        return attrgetter(name)(self._own.module(module))
