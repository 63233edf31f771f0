"""Files that Spark's executors write and the driver reads: rows on their way to a table, or to Arrow."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import FileInfo, FileSelector, FileSystem

from lakemill.catalog import DataFile
from lakemill.core.errors import ConfigError, ConflictError, DuplicateKeyError, SchemaError


class StagedFiles:
    """The Parquet files of one frame.

    Parameters
    ----------
    folder
        What driver and executors both see; the files lie in a new folder below it.
    """

    def __init__(self, folder: str) -> None:
        self.name = f"spark-{uuid.uuid4()}"
        self._uri = uri_of(f"{folder}/{self.name}")
        self._filesystem, root = FileSystem.from_uri(folder)
        self._path = f"{root}/{self.name}"

    def write(self, frame: Any) -> None:
        """Let Spark write a frame; after an error nothing is left."""
        try:
            frame.write.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false").parquet(self._uri)
        except BaseException:
            self.discard()
            raise

    def all(self) -> tuple[DataFile, ...]:
        """Return the files that hold rows."""
        found = (self._file(info) for info in self._listed())
        return tuple(file for file in found if file.num_rows)

    def reader(self, schema: pa.Schema) -> pa.RecordBatchReader:
        """Stream the rows, in the order of the frame."""
        paths = [info.path for info in self._listed()]
        if not paths:
            return pa.RecordBatchReader.from_batches(schema, [])
        return ds.dataset(paths, schema=schema, filesystem=self._filesystem, format="parquet").scanner().to_reader()

    def discard(self) -> None:
        """Delete the files; what cannot be deleted is left, since nothing refers to it."""
        with suppress(OSError):
            self._filesystem.delete_dir(self._path)

    def _listed(self) -> list[FileInfo]:
        found = self._filesystem.get_file_info(FileSelector(self._path))
        return sorted((info for info in found if info.extension == "parquet"), key=lambda info: str(info.path))

    def _file(self, info: FileInfo) -> DataFile:
        with self._filesystem.open_input_file(info.path) as source:
            rows = pq.read_metadata(source).num_rows
        return DataFile(path=f"{self.name}/{info.base_name}", size_bytes=info.size, num_rows=rows)


@contextmanager
def spooled(frame: Any, folder: str) -> Iterator[StagedFiles]:
    """Let Spark write a frame to files that last as long as they are read."""
    files = StagedFiles(folder)
    files.write(frame)
    try:
        yield files
    finally:
        files.discard()


@contextmanager
def staged(frame: Any, table_folder: str) -> Iterator[StagedFiles]:
    """Let Spark write a frame to files that a commit is to name; delete them if it is refused.

    They stay after an error that may have come once the commit was made.
    """
    files = StagedFiles(table_folder)
    files.write(frame)
    try:
        yield files
    except (SchemaError, DuplicateKeyError, ConfigError, ConflictError):
        files.discard()
        raise


def uri_of(path: str) -> str:
    """Return a path as Hadoop takes it: with its scheme, nothing quoted.

    Examples
    --------
    >>> uri_of("/data/my tables"), uri_of("s3://bucket/tables")
    ('file:///data/my tables', 's3://bucket/tables')
    """
    return path if "://" in path else f"file://{path}"
