"""The rows that come of a group, as Arrow: made and checked group by group, written pack by pack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from lakemill.engines.process import Failure
from lakemill.training.many.rows import SUFFIX, write_rows
from lakemill.training.many.staging import Finished

Key = tuple[Any, ...]
Columns = Mapping[str, Any]

FAILURES: Final = "failures"
LEDGER: Final = pa.schema(
    [
        ("phase", pa.string()),
        ("kind", pa.string()),
        ("message", pa.string()),
        ("traceback", pa.string()),
        ("seconds", pa.float64()),
    ]
)


class Outputs:
    """The output tables of a phase.

    Parameters
    ----------
    schemas
        Schema of each output, without the key.
    keys
        Fields of the columns that name a group.
    """

    def __init__(self, schemas: Mapping[str, pa.Schema], *, keys: Sequence[pa.Field]) -> None:
        self._by = [field.name for field in keys]
        self._schemas = {name: pa.schema([*keys, *schema]) for name, schema in schemas.items()}
        self._ledger = pa.schema([*keys, *LEDGER])

    def schema(self, output: str) -> pa.Schema:
        """Return the columns of an output's files, or of the ledger's."""
        return self._ledger if output == FAILURES else self._schemas[output]

    def encode(self, key: Key, rows: Mapping[str, Columns]) -> dict[str, bytes]:
        """Return a group's rows by output in Arrow's own format.

        Raises
        ------
        pyarrow.ArrowInvalid, pyarrow.ArrowTypeError
            If a value doesn't go into its column, or columns differ in length.
        """
        return {
            name: self._batch(key, rows[name], schema).serialize().to_pybytes()
            for name, schema in self._schemas.items()
            if name in rows
        }

    def write(self, folder: Path, results: Sequence[Finished], *, phase: str) -> None:
        """Write one file for each output, and one for the ledger where something failed."""
        for name, schema in self._schemas.items():
            rows = [item.rows[name] for item in results if name in item.rows]
            batches = [pa.ipc.read_record_batch(pa.py_buffer(data), schema) for data in rows]
            write_rows(folder / f"{name}{SUFFIX}", pa.Table.from_batches(batches, schema))
        failed = [(item, item.failure) for item in results if item.failure is not None]
        batches = [self._entry(item, failure, phase=phase) for item, failure in failed]
        if batches:
            write_rows(folder / f"{FAILURES}{SUFFIX}", pa.Table.from_batches(batches, self._ledger))

    def _entry(self, item: Finished, failure: Failure, *, phase: str) -> pa.RecordBatch:
        row = {
            "phase": phase,
            "kind": failure.kind,
            "message": failure.message,
            "traceback": failure.traceback,
            "seconds": item.seconds,
        }
        return self._batch(item.key, row, self._ledger)

    def _batch(self, key: Key, columns: Columns, schema: pa.Schema) -> pa.RecordBatch:
        length = next((len(value) for value in columns.values() if _is_column(value)), 1)
        values = {**columns, **dict(zip(self._by, key, strict=True))}
        return pa.RecordBatch.from_arrays([_array(values[f.name], f.type, length) for f in schema], schema=schema)


def _is_column(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _array(value: Any, kind: pa.DataType, length: int) -> pa.Array:
    return pa.array(value if _is_column(value) else [value] * length, type=kind)
