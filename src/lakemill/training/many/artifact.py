"""All models of a version in one file, each loaded when it is asked for."""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from lakemill.training.many.own_modules import OwnModules

CACHED_MODELS: Final = 1024


def key_text(key: tuple[Any, ...]) -> str:
    """Return the text under which a group's model is kept."""
    return json.dumps([value.item() if hasattr(value, "item") else value for value in key], default=str)


def write_models(path: Path, models: Iterable[tuple[tuple[Any, ...], bytes]]) -> int:
    """Write pickled models under their keys and return how many there are; a later one wins.

    Parameters
    ----------
    path
        The SQLite file to make.
    models
        Keys and pickles; streamed, never all in memory.
    """
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table models (key text primary key, model blob not null) without rowid")
        for key, model in models:
            connection.execute("insert or replace into models values (?, ?)", (key_text(key), model))
        count: int = connection.execute("select count(*) from models").fetchone()[0]
    return count


class GroupModels:
    """Read access to the models of one version; keeps those last used.

    Parameters
    ----------
    path
        The SQLite file.
    modules
        Folder of the project's modules that came with the models.
    """

    def __init__(self, path: Path, modules: Path) -> None:
        self._modules = OwnModules(modules)
        self._connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        self._cache: OrderedDict[str, Any] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of groups that have a model."""
        count: int = self._connection.execute("select count(*) from models").fetchone()[0]
        return count

    def get(self, key: tuple[Any, ...]) -> Any:
        """Return a group's model, or None if it has none."""
        text = key_text(key)
        if text not in self._cache:
            row = self._connection.execute("select model from models where key = ?", (text,)).fetchone()
            self._cache[text] = self._modules.loads(row[0]) if row else None
            if len(self._cache) > CACHED_MODELS:
                self._cache.popitem(last=False)
        self._cache.move_to_end(text)
        return self._cache[text]

    def keys(self) -> list[tuple[Any, ...]]:
        """Return the keys of all groups."""
        rows = self._connection.execute("select key from models order by key").fetchall()
        return [tuple(json.loads(text)) for (text,) in rows]
