"""Tables of features: at most one row per key, or per key and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from lakemill.catalog.schemas import arrow_stream
from lakemill.core.errors import ConfigError, LakemillError, NotFoundError
from lakemill.core.records import TableRef
from lakemill.workspace import Workspace

Mode = Literal["merge", "overwrite"]
NO_TAGS: Mapping[str, str] = {}


def create_table(
    ws: Workspace,
    name: str,
    data: Any,
    *,
    primary_keys: str | Sequence[str],
    timeseries_column: str | None = None,
    description: str = "",
    tags: Mapping[str, str] = NO_TAGS,
) -> TableRef:
    """Make a feature table.

    Parameters
    ----------
    ws
        The workspace.
    name
        ``catalog.schema.table``.
    data
        A `pyarrow.Schema`, for an empty table, or the first rows: an engine's frame or anything that speaks Arrow.
    primary_keys
        Columns that name what the features describe, such as a product.
    timeseries_column
        The column that says when a row's features became known; it is part of the primary keys,
        whether they name it or not.
    description, tags
        What the table holds.

    Raises
    ------
    AlreadyExistsError
        If the name is taken.
    SchemaError, DuplicateKeyError
        If a key is not among the columns, null, or there twice.
    ConfigError
        If there is no key.
    """
    rows = data if isinstance(data, pa.Schema) else _rows(ws, data)
    ref = ws.catalog.create_table(
        name,
        schema_of(ws, rows),
        primary_keys=_with_time(primary_keys, timeseries_column),
        timeseries_column=timeseries_column,
        comment=description,
        tags=tags,
    )
    return ref if isinstance(rows, pa.Schema) else _first_rows(ws, name, rows, mode="merge")


def write_table(
    ws: Workspace,
    name: str,
    data: Any,
    *,
    mode: Mode = "merge",
    primary_keys: str | Sequence[str] = (),
    timeseries_column: str | None = None,
    evolve: bool = False,
) -> TableRef:
    """Write features.

    Parameters
    ----------
    ws
        The workspace.
    name
        The feature table.
    data
        An engine's frame, or anything that speaks Arrow.
    mode
        ``merge`` updates rows by key and inserts the others; ``overwrite`` replaces all rows.
    primary_keys, timeseries_column
        As in `create_table`: a missing table is made with them; one that is there must have them.
    evolve
        Add the data's new columns to the table.

    Raises
    ------
    NotFoundError
        If the table is missing and no primary keys are given.
    ConfigError
        If the table has other keys.
    SchemaError, DuplicateKeyError, ConflictError
        As in `Catalog.write`.
    """
    if not ws.catalog.exists(name):
        if not primary_keys:
            raise NotFoundError(f"no feature table {name}", hint="create_table() makes it, or give primary_keys=...")
        rows = _rows(ws, data)
        create_table(ws, name, schema_of(ws, rows), primary_keys=primary_keys, timeseries_column=timeseries_column)
        return _first_rows(ws, name, rows, mode=mode)
    _check_same_keys(ws, name, primary_keys, time=timeseries_column)
    return ws.table(name).write(data, mode=mode, evolve=evolve)


def schema_of(ws: Workspace, rows: Any) -> pa.Schema:
    """Return the columns of a frame, a reader or a schema; no rows are computed."""
    if not ws.frames.is_frame(rows):
        return rows if isinstance(rows, pa.Schema) else rows.schema
    return ws.frames.to_arrow(ws.frames.sql("select * from frame limit 0", {"frame": rows})).schema


def _rows(ws: Workspace, data: Any) -> Any:
    return data if ws.frames.is_frame(data) else arrow_stream(data)


def _first_rows(ws: Workspace, name: str, rows: Any, *, mode: Mode) -> TableRef:
    try:
        return ws.table(name).write(rows, mode=mode)
    except LakemillError:
        ws.catalog.drop_table(name)
        raise


def _with_time(primary_keys: str | Sequence[str], time: str | None) -> tuple[str, ...]:
    keys = (primary_keys,) if isinstance(primary_keys, str) else tuple(primary_keys)
    entity = tuple(key for key in keys if key != time)
    if not entity:
        raise ConfigError(f"primary_keys={primary_keys!r} name nothing", hint='name what is described: "product"')
    return (*entity, time) if time else entity


def _check_same_keys(ws: Workspace, name: str, primary_keys: str | Sequence[str], *, time: str | None) -> None:
    info = ws.catalog.info(name)
    if not primary_keys:
        return
    asked = _with_time(primary_keys, time)
    if (asked, time) != (info.primary_keys, info.timeseries_column):
        raise ConfigError(
            f"feature table {name} has primary keys ({', '.join(info.primary_keys)}) and time {info.timeseries_column}, "
            f"asked for ({', '.join(asked)}) and {time}",
            hint="leave the keys out, or drop the table to make it anew",
        )
