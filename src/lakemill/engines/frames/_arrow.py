"""Arrow at the borders of a frame engine: one set of types, and whole groups out of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakemill.catalog.schemas import arrow_stream, rows
from lakemill.catalog.types import table_schema
from lakemill.core.errors import SchemaError


def table_of(data: Any) -> pa.Table:
    """Read Arrow data of any kind into the types that tables have.

    Raises
    ------
    SchemaError
        If it does not export an Arrow stream, or a type has no counterpart in tables.
    """
    source = arrow_stream(data)
    schema = table_schema(source.schema)
    return pa.Table.from_batches(rows(source, schema, required=()), schema)


def stream_of(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatchReader:
    """Stream batches of an engine's own types in the types that tables have."""
    target = table_schema(schema)
    return pa.RecordBatchReader.from_batches(target, rows(batches, target, required=()))


def conformed(result: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Bring what a user's function returned to the schema that was promised.

    Raises
    ------
    SchemaError
        If it is not Arrow data, has other columns, or holds a value that does not fit.
    """
    if not isinstance(result, (pa.Table, pa.RecordBatch)):
        raise SchemaError(f"the function must return a pyarrow Table or RecordBatch, got {type(result).__name__}")
    if sorted(result.schema.names) != sorted(schema.names):
        raise SchemaError(
            f"the function returned columns {', '.join(result.schema.names)}; its schema has {', '.join(schema.names)}"
        )
    return rows(result.to_batches() if isinstance(result, pa.Table) else [result], schema, required=())


def whole_groups(batches: Iterable[pa.RecordBatch], by: Sequence[str]) -> Iterator[pa.Table]:
    """Cut a stream that is sorted by key into one table per key; one group is held at a time.

    As in SQL, nulls are one group, NaNs are one, and minus zero is zero.
    """
    held: list[pa.RecordBatch] = []
    for batch in filter(len, batches):
        start = 0
        for border in _borders(held[-1:], batch, by):
            yield pa.Table.from_batches([*held, batch.slice(start, border - start)])
            held, start = [], border
        held.append(batch.slice(start))
    if held:
        yield pa.Table.from_batches(held)


def _borders(before: Sequence[pa.RecordBatch], batch: pa.RecordBatch, by: Sequence[str]) -> list[int]:
    """Return the rows at which the key differs from that of the row before."""
    last = before[0].slice(len(before[0]) - 1) if before else batch.slice(0, 1)
    keys = pa.Table.from_batches([last, batch])
    differs = np.zeros(len(batch), dtype=bool)
    for name in by:
        differs |= np.diff(_codes(keys[name].combine_chunks())) != 0
    found: list[int] = np.flatnonzero(differs).tolist()
    return found


def _codes(key: pa.Array) -> npt.NDArray[np.int32]:
    """Return a number for each row; equal numbers mean one group."""
    key = pc.add(key, 0.0) if pa.types.is_floating(key.type) else key
    codes: npt.NDArray[np.int32] = key.dictionary_encode(null_encoding="encode").indices.to_numpy()
    return codes
