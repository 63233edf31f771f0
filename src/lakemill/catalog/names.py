"""Three-part names and the folders that they stand for."""

from __future__ import annotations

import re
from pathlib import Path

from lakemill.core.errors import ConfigError

_NAME = re.compile(r"\w+\.\w+\.\w+", re.ASCII)


def check_name(name: str) -> str:
    """Return a table name that is well formed.

    Raises
    ------
    ConfigError
        If it is not three parts of letters, digits and underscores.

    Examples
    --------
    >>> check_name("main.retail.sales")
    'main.retail.sales'
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"a table is named catalog.schema.table, three parts of letters, digits and underscores; got {name!r}",
            hint="for example main.retail.sales",
        )
    return name


def absolute_root(root: str) -> str:
    """Return a URI as it is and a path as an absolute one.

    Raises
    ------
    ConfigError
        If a path holds a percent sign: delta-rs would take it for an escape and use another folder.
    """
    if "://" in root:
        return root.rstrip("/")
    path = str(Path(root).absolute())
    if "%" in path:
        raise ConfigError(f"tables cannot lie below a folder with a percent sign in its name: {path}", hint="rename it")
    return path


def location(root: str, name: str) -> str:
    """Return the folder of a table.

    Examples
    --------
    >>> location("s3://bucket/tables", "main.retail.sales")
    's3://bucket/tables/main/retail/sales'
    """
    return "/".join([root, *check_name(name).split(".")])
