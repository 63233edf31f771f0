"""What a function does, as text: its source, the project's own code that it calls, the values that it holds.

The text is the same in any process, which is what lets a killed training be found again. So only
values whose content is plain are read; of all others (loggers, generators, connections) the type counts.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from itertools import chain
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

PLAIN: Final = (str, bytes, int, float, complex, type(None), date, time, timedelta, Decimal, PurePath)


def content_of(function: Any, folder: Path) -> list[str]:
    """Return what a function's result depends on, piece by piece.

    Parameters
    ----------
    function
        A function, a method, a partial or an object that can be called.
    folder
        The project: code from here, or from the function's own module, is followed; other
        packages are told apart by their versions alone.
    """
    return list(_Reader(folder, module=getattr(function, "__module__", "")).read(function))


def modules_of(folder: Path) -> list[Path]:
    """Return the modules and packages that lie in a folder and that this process has imported."""
    homes = {home for module in list(sys.modules.values()) if (home := _home(module)) is not None}
    return sorted(home for home in homes if home.parent == folder.resolve())


def _home(module: ModuleType) -> Path | None:
    """Return the file of a module, or the folder of a package."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__ == "__main__":
        return None
    path = Path(file).resolve()
    return path.parent if path.name == "__init__.py" else path


class _Reader:
    """Reads each piece of code once, whoever refers to it, and data wherever it is referred to."""

    def __init__(self, folder: Path, module: str) -> None:
        self._folder = folder.resolve()
        self._module = module
        self._read: dict[int, Any] = {}  # the objects as well: a dead one's id would be another's

    def read(self, value: Any) -> Iterator[str]:
        """Yield the content of a value: code as source, data as text."""
        if isinstance(value, Enum):
            yield str(value)
        elif isinstance(value, PLAIN):
            yield repr(value)
        elif id(value) not in self._read:
            self._read[id(value)] = value
            yield f"{type(value).__module__}:{type(value).__qualname__}"
            if callable(value) or inspect.ismodule(value):
                yield from self._code(value)
            else:
                yield from self._data(value)
                del self._read[id(value)]

    def _code(self, value: Any) -> Iterator[str]:
        if isinstance(value, partial):
            yield from self._all(value.func, value.args, value.keywords)
        elif isinstance(value, MethodType):
            yield from self._all(value.__func__, value.__self__)
        elif isinstance(value, FunctionType | type | ModuleType):
            yield f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', value.__name__)}"
            if self._is_own(value):
                yield from self._own(value)
        else:
            yield from self._all(type(value), getattr(value, "__dict__", {}))

    def _own(self, value: FunctionType | type | ModuleType) -> Iterator[str]:
        if isinstance(value, FunctionType):
            yield _source(value.__code__)
            yield from self._all(value.__defaults__, value.__kwdefaults__)
            yield from self._all(*inspect.getclosurevars(value).nonlocals.values())
            yield from self._all(*(value.__globals__.get(name) for name in _names(value.__code__)))
        else:
            yield _source(value)
            members = vars(value).values() if isinstance(value, type) else ()
            yield from self._all(*(each for each in members if isinstance(each, FunctionType)))

    def _data(self, value: Any) -> Iterator[str]:
        import pandas as pd  # starts slowly, and a plan reads no content

        if isinstance(value, Mapping):
            yield from self._all(*chain.from_iterable(value.items()))
        elif isinstance(value, AbstractSet):
            yield from sorted("".join(self.read(each)) for each in value)
        elif isinstance(value, list | tuple):
            yield from self._all(*value)
        elif isinstance(value, np.ndarray | np.generic):
            yield f"{value.dtype} {value.shape} {value.tolist()}"
        elif isinstance(value, pd.DataFrame | pd.Series | pd.Index):
            yield pd.DataFrame(value).to_json(orient="split", double_precision=15)
        elif dataclasses.is_dataclass(value):
            yield from self._all(*(getattr(value, each.name) for each in dataclasses.fields(value)))
        elif hasattr(value, "get_params"):  # an estimator, in scikit-learn's way
            yield from self._all(value.get_params(deep=False))
        elif self._is_own(type(value)):
            yield from self._all(type(value), getattr(value, "__dict__", {}))

    def _all(self, *values: Any) -> Iterator[str]:
        for value in values:
            yield from self.read(value)

    def _is_own(self, value: FunctionType | type | ModuleType) -> bool:
        name = value.__name__ if isinstance(value, ModuleType) else value.__module__
        if name in (self._module, "__main__"):
            return True
        home = _home(sys.modules[name]) if name in sys.modules else None
        return home is not None and home.is_relative_to(self._folder) and "site-packages" not in home.parts


def _names(code: CodeType) -> list[str]:
    """Return the global names that code may use, inner functions included."""
    inner = (_names(const) for const in code.co_consts if isinstance(const, CodeType))
    return sorted({*code.co_names, *chain.from_iterable(inner)})


def _source(value: Any) -> str:
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):  # typed at a prompt
        return f"{value.co_code.hex()} {value.co_consts}" if isinstance(value, CodeType) else ""
