"""Tables on this machine: DuckDB, which spills to disk where memory is short."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lakemill.catalog import Catalog
from lakemill.core.errors import SchemaError
from lakemill.core.records import ClusterSpec, TableRef
from lakemill.engines.frames._delta import files_of
from lakemill.engines.frames.base import Aggregate, AsOf, Frame, FrameEngine

ROWS_PER_BATCH = 65_536
WITH = re.compile(r"\s*with\s+(?!recursive)", re.IGNORECASE)


class LocalFrames(FrameEngine):
    """Frames are DuckDB relations.

    Parameters
    ----------
    spec
        `memory_bytes_per_worker` bounds DuckDB's memory, `cpus_per_worker` its threads.
    """

    kind = "local"

    def __init__(self, spec: ClusterSpec | None = None) -> None:
        self.spec = spec or ClusterSpec()
        self._names = count()

    @cached_property
    def native(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection."""
        connection = duckdb.connect(config=self._config())
        connection.execute("set timezone = 'UTC'")
        return connection

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="lakemill-frames-")

    def scan(self, ref: TableRef) -> Frame:
        """Read a table at the version of `ref`, lazily."""
        files, schema = files_of(ref)
        empty = self.from_arrow(schema.empty_table())
        if not files:
            return empty
        found = self.native.read_parquet(files, union_by_name=True)
        columns = [
            _quoted(name) if name in found.columns else f"cast(null as {kind}) as {_quoted(name)}"
            for name, kind in zip(empty.columns, empty.types, strict=True)
        ]
        return found.project(", ".join(columns))

    def from_arrow(self, data: pa.Table) -> Frame:
        """Make a frame of Arrow data."""
        return self.native.from_arrow(data)

    def to_arrow(self, frame: Frame) -> pa.RecordBatchReader:
        """Stream a frame as record batches; one stream is open at a time."""
        reader: pa.RecordBatchReader = frame.to_arrow_reader(ROWS_PER_BATCH)
        return reader

    def sql(self, query: str, frames: Mapping[str, Frame]) -> Frame:
        """Run a SELECT over the named frames.

        Raises
        ------
        SchemaError
            If the query does not fit the frames: unknown column, wrong type, bad syntax.
        """
        try:
            return self.native.sql(self._with(query, frames))
        except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
            raise SchemaError(
                f"the query does not fit: {error}", hint=f"names in the query: {', '.join(frames)}"
            ) from error

    def asof_join(self, spine: Frame, features: Frame, *, on: AsOf) -> Frame:
        """Add feature columns as of the spine's time; every spine row is kept, once."""
        return self.sql(
            f"select s.*, {_as_of_columns(on)} from s asof left join f on {_as_of_keys(on)}",
            {
                "s": spine,
                "f": self._one_per_instant(features, on),
            },
        )

    def aggregate(self, frame: Frame, by: Sequence[str], *, aggregates: Sequence[Aggregate]) -> Frame:
        """Group by columns and aggregate."""
        keys = [_quoted(name) for name in by]
        values = [f"{_call(aggregate)} as {_quoted(aggregate.name)}" for aggregate in aggregates]
        groups = f" group by {', '.join(keys)}" if keys else ""
        return self.sql(f"select {', '.join([*keys, *values])} from s{groups}", {"s": frame})

    def map_batches(self, frame: Frame, fn: Callable[[pa.RecordBatch], pa.RecordBatch], *, schema: pa.Schema) -> Frame:
        """Apply a function to record batches, through a temporary file."""
        return self._spooled((fn(batch) for batch in self.to_arrow(frame)), schema)

    def map_groups(
        self, frame: Frame, by: Sequence[str], *, fn: Callable[[pa.Table], pa.Table], schema: pa.Schema
    ) -> Frame:
        """Apply a function to each whole group, through a temporary file; one group is in memory at a time."""
        ordered = frame.order(", ".join(_quoted(name) for name in by))
        results = (fn(group) for group in _groups(self.to_arrow(ordered), by))
        return self._spooled((batch for table in results for batch in table.to_batches()), schema)

    def write(
        self,
        frame: Frame,
        catalog: Catalog,
        *,
        name: str,
        mode: Literal["append", "overwrite", "merge"] = "append",
        keys: Sequence[str] = (),
        evolve: bool = False,
    ) -> TableRef:
        """Stream a frame into a catalog table."""
        return catalog.write(name, self.to_arrow(frame), mode=mode, keys=keys, evolve=evolve)

    def is_frame(self, value: Any) -> bool:
        """Return whether a value is a DuckDB relation."""
        return isinstance(value, duckdb.DuckDBPyRelation)

    def close(self) -> None:
        """Close the connection and delete temporary files."""
        if "native" in self.__dict__:
            self.native.close()
            del self.native
        if "_folder" in self.__dict__:
            self._folder.cleanup()
            del self._folder

    def _config(self) -> dict[str, Any]:
        limits = {"memory_limit": self.spec.memory_bytes_per_worker, "threads": self.spec.cpus_per_worker}
        chosen = {name: f"{value}B" if name == "memory_limit" else value for name, value in limits.items() if value}
        return {"temp_directory": self._folder.name, **chosen}

    def _with(self, query: str, frames: Mapping[str, Frame]) -> str:
        """Name the frames inside the query alone, so that no two queries can mix them up."""
        parts = [f"{_quoted(name)} as (select * from {self._view(frame)})" for name, frame in frames.items()]
        if not parts:
            return query
        rest = WITH.sub("", query, count=1)
        return f"with {', '.join(parts)}{', ' if rest != query else ' '}{rest}"

    def _view(self, frame: Frame) -> str:
        name = f"__lakemill_{next(self._names)}"
        frame.create_view(name)
        return name

    def _one_per_instant(self, features: Frame, on: AsOf) -> Frame:
        """Drop what cannot match; where rows tie on key and time, keep the latest created."""
        time, keys = _quoted(on.feature_time), [_quoted(feature) for _, feature in on.keys]
        known = " and ".join(f"{name} is not null" for name in [*keys, time])
        if on.tie_break is None:
            return self.sql(f"select * from f where {known}", {"f": features})
        rank = f"row_number() over (partition by {', '.join([*keys, time])} order by {_quoted(on.tie_break)} desc nulls last)"
        return self.sql(f"select * from f where {known} qualify {rank} = 1", {"f": features})

    def _spooled(self, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Frame:
        path = Path(self._folder.name) / f"{next(self._names)}.parquet"
        with pq.ParquetWriter(path, schema) as writer:
            for batch in batches:
                writer.write_batch(batch.cast(schema))
        return self.native.read_parquet(str(path))


def _as_of_keys(on: AsOf) -> str:
    equal = [f"s.{_quoted(spine)} = f.{_quoted(feature)}" for spine, feature in on.keys]
    return " and ".join([*equal, f"s.{_quoted(on.spine_time)} >= f.{_quoted(on.feature_time)}"])


def _as_of_columns(on: AsOf) -> str:
    fresh = "true"
    if on.lookback_seconds is not None:
        since = f"cast(s.{_quoted(on.spine_time)} as timestamp) - cast(f.{_quoted(on.feature_time)} as timestamp)"
        fresh = f"{since} <= to_microseconds({round(on.lookback_seconds * 1e6)})"
    return ", ".join(
        f"case when {fresh} then f.{_quoted(column)} end as {_quoted(name)}" for column, name in on.columns
    )


def _call(aggregate: Aggregate) -> str:
    column = "*" if aggregate.column == "*" else _quoted(aggregate.column)
    return f"{ {'stddev': 'stddev_samp', 'var': 'var_samp'}.get(aggregate.operator, aggregate.operator) }({column})"


def _groups(stream: pa.RecordBatchReader, by: Sequence[str]) -> Iterator[pa.Table]:
    """Cut a stream that is sorted by key into one table a group."""
    held: list[pa.RecordBatch] = []
    for batch in stream:
        for piece in _runs(batch, by):
            if held and _key(held[0], by) != _key(piece, by):
                yield pa.Table.from_batches(held)
                held = []
            held.append(piece)
    if held:
        yield pa.Table.from_batches(held)


def _runs(batch: pa.RecordBatch, by: Sequence[str]) -> Iterator[pa.RecordBatch]:
    keys = np.array([hash(key) for key in zip(*(batch[name].to_pylist() for name in by), strict=True)])
    borders = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), batch.num_rows]
    for start, end in zip(borders, borders[1:], strict=False):
        if end > start:
            yield batch.slice(start, end - start)


def _key(batch: pa.RecordBatch, by: Sequence[str]) -> tuple[Any, ...]:
    return tuple(batch[name][0].as_py() for name in by)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
