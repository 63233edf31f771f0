"""Parquet files in a folder that no log names yet."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from lakemill.catalog.records import DataFile
from lakemill.catalog.schemas import quoted, rows
from lakemill.catalog.storage import storage_errors
from lakemill.catalog.types import stored_as
from lakemill.core.errors import ConfigError, ConflictError, DuplicateKeyError, SchemaError, StorageError

FILE_BYTES = 256 * 2**20
ROW_GROUP_BYTES = 128 * 2**20
ROW_GROUP_ROWS = 2**20


class Folder:
    """A folder on a disk or in an object store."""

    def __init__(self, location: str) -> None:
        self.location = location
        with storage_errors(location):
            self.filesystem, self.path = pyarrow.fs.FileSystem.from_uri(location)

    def stage(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> tuple[DataFile, ...]:
        """Stream batches into new files, a few hundred MiB each; after an error none is left.

        Raises
        ------
        StorageError
            If the folder cannot be written.
        """
        chunks = _row_groups(batches, schema)
        names: list[str] = []
        try:
            return tuple(self._stage(chunks, schema, names=names))
        except BaseException:
            self.discard(names)
            raise

    def discard(self, paths: Iterable[str]) -> None:
        """Delete files; what cannot be deleted is left, since nothing refers to it."""
        for path in paths:
            with contextlib.suppress(OSError):
                self.filesystem.delete_file(f"{self.path}/{path}")

    def make(self) -> None:
        """Make the folder and its parents where they are missing.

        Raises
        ------
        StorageError
            If it cannot be made.
        """
        with storage_errors(self.location):
            self.filesystem.create_dir(self.path, recursive=True)

    def remove(self) -> None:
        """Delete the folder with all that is in it.

        Raises
        ------
        StorageError
            If it cannot be deleted.
        """
        with storage_errors(self.location), contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_dir(self.path)

    def check(self, file: DataFile, schema: pa.Schema) -> None:
        """Refuse a file that is not what its record and the schema say.

        Raises
        ------
        StorageError
            If it is not there, not Parquet, or has another size or number of rows.
        SchemaError
            If it has other columns.
        """
        footer = self._footer(file)
        if footer.num_rows != file.num_rows:
            raise StorageError(
                f"{file.path} in {self.location}: {file.num_rows} rows expected, {footer.num_rows} found"
            )
        found = footer.schema.to_arrow_schema()
        if set(found.names) != set(schema.names) or not all(
            stored_as(found.field(f.name).type, f.type) for f in schema
        ):
            raise SchemaError(f"{file.path} has columns {_described(found)}; {_described(schema)} expected")

    def reader(self, files: Sequence[DataFile], schema: pa.Schema) -> pa.RecordBatchReader:
        """Stream the columns of a schema out of files."""
        import pyarrow.dataset as ds  # imports pandas

        if not files:
            return pa.RecordBatchReader.from_batches(schema, [])
        paths = [f"{self.path}/{file.path}" for file in files]
        return ds.dataset(paths, schema=schema, filesystem=self.filesystem, format="parquet").scanner().to_reader()

    @contextlib.contextmanager
    def unless_refused(self, files: Sequence[DataFile]) -> Iterator[None]:
        """Delete staged files if what follows refuses them.

        After any other error they stay: it may have come once the commit was made.
        """
        try:
            yield
        except (SchemaError, DuplicateKeyError, ConfigError, ConflictError):
            self.discard(file.path for file in files)
            raise

    def check_not_null(self, files: Sequence[DataFile], schema: pa.Schema) -> None:
        """Refuse files that hold a null in a column of `schema`.

        Raises
        ------
        SchemaError
            If one does.
        """
        if schema.names:
            for _ in rows(self.reader(files, schema), schema, required=schema.names):
                pass

    def check_unique(self, files: Sequence[DataFile], schema: pa.Schema) -> None:
        """Refuse files that hold a key twice; memory stays bounded, DuckDB spills to disk.

        Raises
        ------
        DuplicateKeyError
            With an example of such a key.
        """
        import duckdb

        if not (files and schema.names):
            return
        keys = ", ".join(map(quoted, schema.names))
        query = f"SELECT {keys}, count(*) FROM source GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
        with duckdb.connect() as connection:
            connection.register("source", self.reader(files, schema))
            found = connection.execute(query).fetchone()
        if found:
            key = ", ".join(f"{name}={value!r}" for name, value in zip(schema.names, found[:-1], strict=True))
            raise DuplicateKeyError(f"{found[-1]} rows have the key {key}", hint="keep one row per key")

    def _stage(self, chunks: Iterator[pa.Table], schema: pa.Schema, *, names: list[str]) -> Iterator[DataFile]:
        for first in chunks:
            names.append(f"part-{uuid.uuid4()}.parquet")
            yield self._write(names[-1], chain([first], chunks), schema=schema)

    def _write(self, name: str, chunks: Iterator[pa.Table], *, schema: pa.Schema) -> DataFile:
        rows = 0
        with storage_errors(self.location), self.filesystem.open_output_stream(f"{self.path}/{name}") as sink:
            with pq.ParquetWriter(sink, schema) as writer:
                for chunk in chunks:
                    writer.write_table(chunk, row_group_size=ROW_GROUP_ROWS)
                    rows += len(chunk)
                    if sink.tell() >= FILE_BYTES:
                        break
            size = sink.tell()
        return DataFile(path=name, size_bytes=size, num_rows=rows)

    def _footer(self, file: DataFile) -> pq.FileMetaData:
        if PurePosixPath(file.path).is_absolute() or ".." in PurePosixPath(file.path).parts:
            raise StorageError(
                f"{file.path} is not below {self.location}", hint="paths are relative to the table folder"
            )
        with storage_errors(f"{file.path} in {self.location}"), self._open(file) as source:
            if source.size() != file.size_bytes:
                raise StorageError(
                    f"{file.path} in {self.location}: {file.size_bytes} bytes expected, {source.size()} found"
                )
            return pq.read_metadata(source)

    def _open(self, file: DataFile) -> pa.NativeFile:
        return self.filesystem.open_input_file(f"{self.path}/{file.path}")


def _row_groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(held, schema)
            held, rows, size = [], 0, 0
    if rows:
        yield pa.Table.from_batches(held, schema)


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)
