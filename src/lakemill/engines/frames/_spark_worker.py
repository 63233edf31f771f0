"""What runs in Spark's Python workers."""

from __future__ import annotations

import base64
import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from lakemill.core.errors import LakemillError, TaskError
from lakemill.engines.frames._arrow import conformed
from lakemill.engines.process import thaw

_TOLD = re.compile(r"lakemill<([A-Za-z0-9+/=]*)>")


def mapping(function: bytes, schema: pa.Schema) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what applies a frozen function to the batches of a partition."""

    def batches(partition: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with _telling():
            fn = thaw(function)
            for batch in partition:
                yield from conformed(fn(batch), schema)

    return batches


def grouping(function: bytes, schema: pa.Schema) -> Callable[[pa.Table], pa.Table]:
    """Return what applies a frozen function to one group."""

    def group(table: pa.Table) -> pa.Table:
        with _telling():
            return pa.Table.from_batches(conformed(thaw(function)(table), schema), schema)

    return group


def packed(partition: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write each batch into one value, so that a row-wise iterator carries whole batches."""
    for batch in partition:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield pa.record_batch({"batch": [sink.getvalue().to_pybytes()]})


def unpacked(value: bytes) -> Iterator[pa.RecordBatch]:
    """Undo `packed`."""
    with pa.ipc.open_stream(value) as reader:
        yield from reader


def told(message: str) -> LakemillError | None:
    """Find in what Spark reports the error that a worker has told."""
    found = _TOLD.search(message)
    return pickle.loads(base64.b64decode(found[1])) if found else None


@contextmanager
def _telling() -> Iterator[None]:
    """Put an error into its own text: Spark passes on no more than that."""
    try:
        yield
    except Exception as error:
        plain: Any = error if isinstance(error, LakemillError) else TaskError(f"{type(error).__name__}: {error}")
        raise RuntimeError(f"lakemill<{base64.b64encode(pickle.dumps(plain)).decode()}>") from error
