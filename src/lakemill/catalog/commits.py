"""The commits that a table takes: files put in, rows merged in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Literal

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Field, Schema
from deltalake.transaction import AddAction

from lakemill.catalog.log import NO_HOOKS, Attempt, arrow_schema
from lakemill.catalog.records import CommitKey, DataFile
from lakemill.catalog.schemas import fit, quoted
from lakemill.core.records import record


@record
class Write:
    """What a writer asks for; `keys` are those that the write goes by, resolved."""

    name: str
    mode: Literal["append", "overwrite", "merge"]
    keys: tuple[str, ...]
    evolve: bool
    commit: CommitKey | None


def add_files(write: Write, files: Sequence[DataFile], *, schema: pa.Schema) -> Attempt:
    """Put files that lie in the table's folder into the table, or in place of all it has.

    No files make an empty version, which still marks its commit key as done.
    """

    def attempt(table: DeltaTable, properties: CommitProperties) -> int:
        _evolve(table, schema, write=write, properties=properties)
        version: int = table.version() + 1
        actions = [_action(file) for file in files]
        mode = "overwrite" if write.mode == "overwrite" else "append"
        table.create_write_transaction(
            actions, mode, table.schema(), commit_properties=properties, post_commithook_properties=NO_HOOKS
        )
        return version

    return attempt


def merge_rows(write: Write, rows: Callable[[], pa.RecordBatchReader], *, schema: pa.Schema) -> Attempt:
    """Update the rows whose key is there and insert the others; other columns stay as they are."""

    def attempt(table: DeltaTable, properties: CommitProperties) -> int:
        _evolve(table, schema, write=write, properties=properties)
        version: int = table.version() + 1
        same_key = " AND ".join(f"source.{quoted(key)} = target.{quoted(key)}" for key in write.keys)
        merge = table.merge(
            rows(),
            same_key,
            source_alias="source",
            target_alias="target",
            commit_properties=properties,
            post_commithook_properties=NO_HOOKS,
        )
        merge.when_matched_update_all().when_not_matched_insert_all().execute()
        return version

    return attempt


def _evolve(table: DeltaTable, schema: pa.Schema, *, write: Write, properties: CommitProperties) -> None:
    """Check the data against the very version that the commit is made to, and add its new columns."""
    found = arrow_schema(table)
    fit(schema, found, name=write.name, evolve=write.evolve)
    new = pa.schema([field for field in schema if field.name not in found.names])
    if len(new):
        own = CommitProperties(custom_metadata=properties.custom_metadata, max_commit_retries=0)
        table.alter.add_columns(_delta_fields(new), commit_properties=own, post_commithook_properties=NO_HOOKS)


def _delta_fields(schema: pa.Schema) -> list[Field]:
    return list(Schema.from_arrow(schema).fields)


def _action(file: DataFile) -> AddAction:
    return AddAction(
        path=file.path,
        size=file.size_bytes,
        partition_values={},
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": file.num_rows}),
    )
