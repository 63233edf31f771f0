"""Files of a pack's rows, in Arrow's stream format: written once, read once, gone after the training.

Parquet would be smaller. But a training has hundreds of such files, most of them small, and Parquet
takes several times as long to write and to open one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa

SUFFIX: Final = ".arrows"
# A pack is small, and other packs want the cores: threads would cost more than they bring.
_WRITE: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ: Final = pa.ipc.IpcReadOptions(use_threads=False)


def write_rows(path: Path, rows: pa.Table) -> None:
    """Write a table, its chunks together."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.schema, options=_WRITE) as writer:
        writer.write_table(rows.combine_chunks())


def read_rows(path: Path) -> pa.Table:
    """Return all rows of a file."""
    with _opened(path) as stream:
        return stream.read_all()


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, batch by batch."""
    with _opened(path) as stream:
        yield from stream


def schema_of(path: Path) -> pa.Schema:
    """Return the columns of a file and their types."""
    with _opened(path) as stream:
        return stream.schema


@contextmanager
def _opened(path: Path) -> Iterator[pa.RecordBatchReader]:
    with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file, options=_READ) as stream:
        yield stream
