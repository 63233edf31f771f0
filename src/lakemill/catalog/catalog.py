"""The catalog: three-part names for Delta tables, and all that happens to them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from lakemill.catalog.commits import Write, add_files, merge_rows
from lakemill.catalog.entries import Entries
from lakemill.catalog.files import Folder
from lakemill.catalog.log import Log, arrow_schema
from lakemill.catalog.names import absolute_root, check_name, location
from lakemill.catalog.records import Access, Commit, CommitKey, DataFile, TableInfo
from lakemill.catalog.schemas import arrow_stream, check_columns, check_keys, columns, fit, new_schema, rows
from lakemill.catalog.statistics import GroupSizes, TableSize, groups_of, size_of
from lakemill.catalog.types import table_schema
from lakemill.core.errors import AlreadyExistsError, ConfigError
from lakemill.core.records import Context, TableRef, utc_now
from lakemill.metadata import Database

Mode = Literal["append", "overwrite", "merge"]
NO_TAGS: Mapping[str, str] = {}


class Catalog:
    """Names of the form ``catalog.schema.table`` for Delta tables in folders below a root.

    Processes may share a catalog: commits to one table take turns by themselves, and each is whole
    or not there. A killed writer leaves at most files that no version names.

    Parameters
    ----------
    root
        A folder, or the URI of one in an object store (``s3://bucket/tables``; its keys come from the environment).
    database
        The workspace's metadata.
    context
        Who acts; every commit and every lineage entry carries it.
    """

    def __init__(self, *, root: str, database: Database, context: Context) -> None:
        self.root = absolute_root(root)
        self.context = context
        self._database = database
        self._entries = Entries(database, context)

    def create_table(
        self,
        name: str,
        schema: pa.Schema,
        *,
        primary_keys: Sequence[str] = (),
        timeseries_column: str | None = None,
        comment: str = "",
        tags: Mapping[str, str] = NO_TAGS,
    ) -> TableRef:
        """Make an empty table.

        A table with primary keys holds every key at most once, never null: it takes
        ``mode="merge"`` and ``mode="overwrite"``, not ``"append"``.

        Raises
        ------
        AlreadyExistsError
            If the name, or its folder, is taken.
        SchemaError
            If a type cannot be stored, or a key or the time column is not in the schema.
        """
        found = new_schema(schema, primary_keys)
        check_columns([timeseries_column] if timeseries_column else [], found.names)
        info = TableInfo(
            name=check_name(name),
            location=location(self.root, name),
            comment=comment,
            tags=tags,
            primary_keys=tuple(primary_keys),
            timeseries_column=timeseries_column,
            created_at=utc_now(),
            created_by=self.context.user,
        )
        # The folder is made while the name is held, so that neither is ever there without the other.
        with self._database.writing() as connection:
            self._entries.insert(info, connection=connection)
            self._log(info).create(found)
        return self.ref(name)

    def exists(self, name: str) -> bool:
        """Tell whether a table has this name."""
        return self._entries.find(check_name(name)) is not None

    def ref(self, name: str, *, version: int | None = None, at: datetime | None = None) -> TableRef:
        """Return a table at its newest version, a given one, or the newest at an instant.

        Raises
        ------
        NotFoundError
            If there is no such table, or version, or it began later.
        ConfigError
            If both `version` and `at` are given, or `at` has no time zone.
        """
        log = self._log(self.info(name))
        if at is not None:
            if version is not None or at.tzinfo is None:
                raise ConfigError(
                    f"a table is read by version, or at an instant with a time zone; got version={version}, at={at}",
                    hint="datetime(2026, 1, 31, tzinfo=UTC)",
                )
            version = log.version_at(at)
        return _ref(log, version)

    def info(self, name: str) -> TableInfo:
        """Return what is known of a table.

        Raises
        ------
        NotFoundError
            If there is none of this name; the nearest is named.
        """
        return self._entries.get(check_name(name))

    def tables(self, prefix: str = "") -> tuple[TableInfo, ...]:
        """Return the tables whose name begins with `prefix`, by name."""
        return self._entries.all(prefix)

    def drop_table(self, name: str) -> None:
        """Delete a table: data, history, lineage and name.

        Raises
        ------
        NotFoundError
            If there is none of this name.
        StorageError
            If its folder cannot be deleted.
        """
        info = self.info(name)
        # The name goes last, so that a drop that was killed can be repeated.
        Folder(info.location).remove()
        self._entries.delete(name)

    def comment(self, name: str, text: str) -> None:
        """Say what a table holds."""
        self._entries.comment(self.info(name).name, text)

    def tag(self, name: str, **tags: str) -> None:
        """Set tags of a table; others stay."""
        self._entries.tag(self.info(name).name, tags)

    def write(
        self,
        name: str,
        data: Any,
        *,
        mode: Mode = "append",
        keys: Sequence[str] = (),
        evolve: bool = False,
        commit: CommitKey | None = None,
    ) -> TableRef:
        """Write a stream of rows as one commit; a missing table is made from the stream's schema.

        Parameters
        ----------
        name
            The table.
        data
            Anything that exports an Arrow stream: a pyarrow table or reader, a Polars, pandas or DuckDB frame.
            It is never held in memory as a whole.
        mode
            ``append``; ``overwrite`` replaces all rows; ``merge`` updates by key and inserts the others.
        keys
            The key of a merge; by default the table's primary keys. A table that a merge makes has them as such.
        evolve
            Add the data's new columns to the table, and fill those it lacks with nulls (a merge
            leaves them as they are). Types never change.
        commit
            Makes the write idempotent: repeated, it changes nothing.

        Raises
        ------
        SchemaError
            If columns are new, missing or of another type, or a value does not fit.
        DuplicateKeyError
            If the data holds a key twice.
        ConfigError
            If keys and mode do not go together.
        ConflictError
            If other writers got there first, many times.
        StorageError
            If the data cannot be read or the folder cannot be written; the table stays as it was.
        """
        info = self._entries.find(check_name(name))
        keys = check_keys(info.primary_keys if info else (), keys, name=name, mode=mode)
        write = Write(name=name, mode=mode, keys=keys, evolve=evolve, commit=commit)
        if info and self._is_repeated(write):
            return self._repeated(info, write)
        source = arrow_stream(data)
        schema = self._schema_for(write, info, source.schema)
        with self._staging(write) as folder:
            files = folder.stage(rows(source, schema, required=_required(schema, keys)), schema)
            with folder.unless_refused(files):
                folder.check_unique(files, pa.schema([schema.field(key) for key in keys]))
                info = info or self._made(write, schema)
                return self._commit(write, info, folder=folder, files=files, schema=schema)

    def commit_files(
        self,
        name: str,
        files: Sequence[DataFile],
        schema: pa.Schema,
        *,
        mode: Literal["append", "overwrite"],
        evolve: bool = False,
        commit: CommitKey | None = None,
    ) -> TableRef:
        """Make Parquet files that lie below the table's folder part of it, in one commit.

        Parameters
        ----------
        name
            The table, which exists.
        files
            What was written, by any engine; every footer is compared with the record.
        schema
            The columns of the files, by name; their order is free.
        mode, evolve, commit
            As in `write`.

        Raises
        ------
        StorageError
            If a file is not there, not Parquet, or not what its record says.
        NotFoundError, SchemaError, DuplicateKeyError, ConfigError, ConflictError
            As in `write`.
        """
        info = self.info(name)
        keys = check_keys(info.primary_keys, (), name=name, mode=mode)
        write = Write(name=name, mode=mode, keys=keys, evolve=evolve, commit=commit)
        if self._is_repeated(write):
            return self._repeated(info, write)
        folder = Folder(info.location)
        target = self._schema_for(write, info, schema)
        for file in files:
            folder.check(file, target)
        folder.check_not_null(files, pa.schema([field for field in target if not field.nullable]))
        folder.check_unique(files, pa.schema([target.field(key) for key in keys]))
        return self._commit(write, info, folder=folder, files=files, schema=target)

    def committed(self, name: str, writer: str) -> int:
        """Return the last sequence number that a writer committed to a table.

        -1 if it has committed none, also where the table is yet to be made.
        """
        info = self._entries.find(check_name(name))
        return self._log(info).committed(writer) if info else -1

    def history(self, name: str) -> tuple[Commit, ...]:
        """Return the versions of a table, newest first."""
        return self._log(self.info(name)).history()

    def size(self, ref: TableRef) -> TableSize:
        """Return how many rows and bytes a version of a table has, from its log alone."""
        table = self._log(self.info(ref.name)).open(ref.version)
        return size_of(table, arrow_schema(table))

    def groups(self, ref: TableRef, by: Sequence[str]) -> GroupSizes:
        """Return how a version's rows fall into groups; they are counted once, by reading the columns of `by`.

        Raises
        ------
        SchemaError
            If there is no such column.
        """
        check_columns(by, ref.column_names)
        known = self._entries.group_sizes(ref, by)
        if known is None:
            known = groups_of(self._log(self.info(ref.name)).open(ref.version), by)
            self._entries.keep_group_sizes(ref, by, sizes=known)
        return known

    def record_read(self, ref: TableRef) -> None:
        """Enter into the lineage that this context reads a table at a version."""
        self._entries.record_access("read", name=ref.name, version=ref.version)

    def lineage(self, name: str) -> tuple[Access, ...]:
        """Return which runs read and wrote which version of a table, oldest first."""
        return self._entries.accesses(self.info(name).name)

    def _log(self, info: TableInfo) -> Log:
        return Log(info.location, name=info.name, context=self.context)

    def _schema_for(self, write: Write, info: TableInfo | None, schema: pa.Schema) -> pa.Schema:
        if info is None:
            return new_schema(schema, write.keys)
        table = self._log(info).schema()
        target = fit(table_schema(schema), table, name=write.name, evolve=write.evolve)
        check_columns(write.keys, target.names)
        return target

    @contextmanager
    def _staging(self, write: Write) -> Iterator[Folder]:
        if write.mode == "merge":
            with tempfile.TemporaryDirectory(prefix="lakemill-merge-") as path:
                yield Folder(path)
        else:
            folder = Folder(location(self.root, write.name))
            folder.make()
            yield folder

    def _made(self, write: Write, schema: pa.Schema) -> TableInfo:
        try:
            self.create_table(write.name, schema, primary_keys=write.keys)
        except AlreadyExistsError:
            # Another process made it in the meantime; if not, the folder is in the way.
            if not self.exists(write.name):
                raise
        info = self.info(write.name)
        check_keys(info.primary_keys, write.keys, name=write.name, mode=write.mode)
        return info

    def _commit(
        self, write: Write, info: TableInfo, *, folder: Folder, files: Sequence[DataFile], schema: pa.Schema
    ) -> TableRef:
        log = self._log(info)
        if write.mode == "merge" and files:
            attempt, metrics = merge_rows(write, lambda: folder.reader(files, schema), schema=schema), None
        else:
            attempt, metrics = add_files(write, files, schema=schema), _added(files)
        version = log.commit(attempt, key=write.commit, metrics=metrics)
        if version is None:
            return self._repeated(info, write)
        self._entries.record_access("write", name=info.name, version=version)
        return _ref(log, version)

    def _is_repeated(self, write: Write) -> bool:
        return write.commit is not None and self.committed(write.name, write.commit.writer) >= write.commit.sequence

    def _repeated(self, info: TableInfo, write: Write) -> TableRef:
        # The run may have been killed between its commit and the entry in the lineage.
        log = self._log(info)
        version = log.version_of(write.commit) if write.commit else None
        if version is not None:
            self._entries.record_access("write", name=info.name, version=version)
        return _ref(log, version)


def _added(files: Sequence[DataFile]) -> dict[str, int]:
    return {"num_added_files": len(files), "num_added_rows": sum(file.num_rows for file in files)}


def _required(schema: pa.Schema, keys: Sequence[str]) -> list[str]:
    return [field.name for field in schema if not field.nullable or field.name in keys]


def _ref(log: Log, version: int | None) -> TableRef:
    table = log.open(version)
    return TableRef(name=log.name, location=log.location, version=table.version(), columns=columns(arrow_schema(table)))
