"""Does data fit a table? Columns are compared by name and type; nothing is cast between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from lakemill.catalog.storage import storage_errors
from lakemill.catalog.types import convert, table_schema
from lakemill.core.errors import ConfigError, SchemaError, nearest
from lakemill.core.records import Column

MODES = ("append", "overwrite", "merge")


def columns(schema: pa.Schema) -> tuple[Column, ...]:
    """Return the columns of a schema as records."""
    return tuple(Column(name=field.name, type=str(field.type), nullable=field.nullable) for field in schema)


def quoted(name: str) -> str:
    """Return a column name as SQL takes it whatever it holds.

    Examples
    --------
    >>> print(quoted("Stock Code"))
    "Stock Code"
    """
    return '"' + name.replace('"', '""') + '"'


def new_schema(schema: pa.Schema, keys: Sequence[str]) -> pa.Schema:
    """Return the schema of a table to be made; its keys may not be null.

    Raises
    ------
    SchemaError
        If a column has no type, or a key is not among the columns.
    """
    found = table_schema(schema)
    untyped = [field.name for field in found if field.type == pa.null()]
    if untyped:
        raise SchemaError(
            f"columns with nothing but nulls have no type: {', '.join(untyped)}",
            hint="create the table with its schema first, or cast them",
        )
    check_columns(keys, found.names)
    return pa.schema([field.with_nullable(False) if field.name in keys else field for field in found])


def check_columns(names: Iterable[str], known: Sequence[str]) -> None:
    """Refuse names that are not among the known columns.

    Raises
    ------
    SchemaError
        If one is missing; the nearest column is named.
    """
    for name in names:
        if name not in known:
            raise SchemaError(f"no column {name!r}", hint=nearest(name, known))


def check_keys(primary_keys: Sequence[str], keys: Sequence[str], *, name: str, mode: str) -> tuple[str, ...]:
    """Return the key that a write goes by; a table with primary keys never holds one twice.

    Raises
    ------
    ConfigError
        If there is no such mode, a merge has no key or another than the table's, another mode has one, or rows would be
        appended to a table with primary keys.
    """
    if mode not in MODES:
        raise ConfigError(f"no way to write is called {mode!r}", hint=nearest(mode, MODES))
    own = ", ".join(primary_keys)
    if mode == "append" and primary_keys:
        raise ConfigError(
            f"table {name} has primary keys ({own}): appended rows could repeat one",
            hint='mode="merge" updates and inserts by key, mode="overwrite" replaces all rows',
        )
    if keys and mode != "merge":
        raise ConfigError(f"keys belong to mode='merge', got mode={mode!r}", hint="drop keys, or merge")
    if keys and primary_keys and set(keys) != set(primary_keys):
        raise ConfigError(f"table {name} merges by its primary keys ({own}), got keys ({', '.join(keys)})")
    if mode == "merge" and not (keys or primary_keys):
        raise ConfigError(f"table {name} has no primary keys to merge by", hint="name them: keys=[...]")
    return tuple(primary_keys or keys)


def fit(found: pa.Schema, table: pa.Schema, *, name: str, evolve: bool) -> pa.Schema:
    """Return the types that data of schema `found` takes in a table, columns in the table's order.

    Raises
    ------
    SchemaError
        If a column has another type; without `evolve`, if one is new or missing; if one that
        may not be null is missing.
    """
    new, missing = _apart(found.names, table.names), _apart(table.names, found.names)
    required = [column for column in missing if not table.field(column).nullable]
    faults = [] if evolve else [f"new column {column!r}" for column in new]
    faults += [f"missing column {column!r}" for column in (required if evolve else missing)]
    faults += [
        f"column {field.name!r} is {field.type}, the table has {table.field(field.name).type}"
        for field in found
        if field.name not in new and field.type not in (table.field(field.name).type, pa.null())
    ]
    if faults:
        raise SchemaError(f"data does not fit table {name}: {'; '.join(faults)}", hint=_hint(new, missing))
    return pa.schema([*(field for field in table if field.name not in missing), *_typed(found, new)])


def arrow_stream(data: Any) -> pa.RecordBatchReader:
    """Read anything that exports an Arrow stream.

    Raises
    ------
    SchemaError
        If it does not.
    """
    if not hasattr(data, "__arrow_c_stream__"):
        raise SchemaError(
            f"rows to write must export an Arrow stream, got {type(data).__name__}",
            hint="a pyarrow table or reader, a Polars, pandas or DuckDB frame do",
        )
    return pa.RecordBatchReader.from_stream(data)


def rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, required: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Bring batches to a schema, one by one.

    Raises
    ------
    SchemaError
        If a value does not fit its column's type, or is null where it may not be.
    StorageError
        If the batches cannot be read.
    """
    for batch in _read(batches):
        arrays = [_values(batch, field, null=field.name not in required) for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    source = iter(batches)
    while True:
        with storage_errors("the rows to write cannot be read"):
            batch = next(source, None)
        if batch is None:
            return
        yield batch


def _values(batch: pa.RecordBatch, field: pa.Field, *, null: bool) -> pa.Array:
    array = batch.column(field.name)
    if not null and array.null_count:
        raise SchemaError(
            f"column {field.name!r} may not be null, {array.null_count} rows of a batch of {len(array)} are",
            hint="drop or fill those rows first",
        )
    try:
        return convert(array, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(
            f"column {field.name!r}: a value of type {array.type} does not fit {field.type}: {error}",
            hint="round or cast it first: nothing is lost silently",
        ) from error


def _typed(found: pa.Schema, new: Sequence[str]) -> list[pa.Field]:
    if not new:
        return []
    return [field.with_nullable(True) for field in new_schema(pa.schema([found.field(name) for name in new]), ())]


def _apart(names: Sequence[str], others: Sequence[str]) -> list[str]:
    return [name for name in names if name not in others]


def _hint(new: Sequence[str], missing: Sequence[str]) -> str:
    if new and missing:
        return nearest(new[0], missing)
    if new:
        return "evolve=True adds columns to the table"
    return "evolve=True fills columns that are missing with nulls" if missing else "cast the data to the table's types"
