"""Tables on this machine: DuckDB, which spills to disk where memory is short."""

from __future__ import annotations

import re
import tempfile
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from lakemill.catalog import Catalog
from lakemill.catalog.log import arrow_schema
from lakemill.catalog.schemas import quoted
from lakemill.catalog.types import table_schema
from lakemill.core.errors import EngineError, LakemillError, SchemaError, StorageError, TaskError
from lakemill.core.records import ClusterSpec, TableRef
from lakemill.engines.frames._aggregates import check_aggregates, expression
from lakemill.engines.frames._arrow import conformed, stream_of, table_of, whole_groups
from lakemill.engines.frames._asof import check_asof, check_columns
from lakemill.engines.frames._delta import data_files, open_table
from lakemill.engines.frames.base import Aggregate, AsOf, Frame, FrameEngine

BATCH_ROWS = 2**17
_GLOB = re.compile(r"([\[*?])")
_ERRORS: Mapping[str, type[LakemillError]] = {
    "Binder": SchemaError,
    "Catalog": SchemaError,
    "Parser": SchemaError,
    "IO": StorageError,
}


class LocalFrames(FrameEngine):
    """Frames are DuckDB relations.

    Parameters
    ----------
    spec
        `memory_bytes_per_worker` bounds DuckDB's memory, `cpus_per_worker` its threads.

    Notes
    -----
    A relation belongs to the engine's connection and keeps alive what it reads. Streams run on
    connections of their own, so that several may be open at a time, and one inside another.
    """

    kind = "local"
    spills = True

    def __init__(self, spec: ClusterSpec | None = None) -> None:
        self.spec = spec or ClusterSpec()
        self._numbers = count()
        self._unused_views: list[str] = []
        self._failure: LakemillError | None = None

    @cached_property
    def native(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB connection."""
        connection = duckdb.connect(config=self._config())
        connection.execute("set global timezone = 'UTC'")
        return connection

    def scan(self, ref: TableRef) -> Frame:
        """Read a table at the version of `ref`, lazily.

        Raises
        ------
        NotFoundError
            If the table does not have that version.
        UnsupportedError
            If another writer has switched on what readers of plain Parquet files would miss.
        StorageError
            If a data file is missing or damaged.
        """
        table = open_table(ref)
        if "://" in ref.location:
            return self.native.from_arrow(table.to_pyarrow_dataset())
        empty = self.native.from_arrow(arrow_schema(table).empty_table())
        files = [_GLOB.sub(r"[\1]", file) for file in data_files(table)]
        if not files:
            return empty
        with self._explained():
            found = self.native.read_parquet(files, union_by_name=True, hive_partitioning=False)
            return self._select("select * from empty union all by name select * from found", empty=empty, found=found)

    def from_arrow(self, data: pa.Table) -> Frame:
        """Make a frame of Arrow data."""
        return self.native.from_arrow(table_of(data))

    def to_arrow(self, frame: Frame) -> pa.RecordBatchReader:
        """Stream a frame as record batches."""
        view = self._view(frame)
        reader = self._open(f"from {view}")
        self._drop(view)
        return reader

    def schema(self, frame: Frame) -> pa.Schema:
        """Return the columns of a frame."""
        return self.to_arrow(frame.limit(0)).schema

    def sql(self, query: str, frames: Mapping[str, Frame]) -> Frame:
        """Run a SELECT over the named frames.

        Raises
        ------
        SchemaError
            If the query does not fit the frames: unknown column, wrong type, bad syntax.
        """
        own = {name: f"__frame_{number}" for number, name in enumerate(frames)}
        named = ", ".join(f"{quoted(name)} as not materialized (from {own[name]})" for name in frames)
        body = f"select * from (\n{query.rstrip().rstrip(';')}\n)"
        with self._explained(hint=f"names in the query: {', '.join(frames) or 'none'}"):
            return self._select(f"with {named} {body}" if frames else body, **{own[n]: f for n, f in frames.items()})

    def asof_join(self, spine: Frame, features: Frame, *, on: AsOf) -> Frame:
        """Add feature columns as of the spine's time; every spine row is kept, once.

        Raises
        ------
        SchemaError
            If columns are not there, cannot be compared, or would appear twice.
        """
        check_asof(on, self.schema(spine), self.schema(features))
        return self._select(
            f"select s.*, {_asof_columns(on)} from s asof left join f on {_asof_condition(on)}",
            s=spine,
            f=self._select(_one_per_instant(on), f=features),
        )

    def aggregate(self, frame: Frame, by: Sequence[str], *, aggregates: Sequence[Aggregate]) -> Frame:
        """Group by columns and aggregate.

        Raises
        ------
        SchemaError
            If a column is not there, or does not have such an aggregate.
        """
        schema = self.schema(frame)
        check_aggregates(by, aggregates, schema)
        keys = [quoted(name) for name in by]
        values = [f"{expression(a, schema, column=_column(a.column))} as {quoted(a.name)}" for a in aggregates]
        groups = f" group by {', '.join(keys)}" if keys else ""
        return self._select(f"select {', '.join([*keys, *values])} from s{groups}", s=frame)

    def map_batches(self, frame: Frame, fn: Callable[[pa.RecordBatch], pa.RecordBatch], *, schema: pa.Schema) -> Frame:
        """Apply a function to record batches."""
        return self._mapped(frame, iter, fn, schema=schema)

    def map_groups(
        self, frame: Frame, by: Sequence[str], *, fn: Callable[[pa.Table], pa.Table], schema: pa.Schema
    ) -> Frame:
        """Apply a function to each whole group; DuckDB sorts, one group at a time is in memory.

        Raises
        ------
        SchemaError
            If a key is not among the columns.
        """
        check_columns("the frame", by, frame.columns)
        ordered = frame.order(", ".join(map(quoted, by))) if by else frame
        return self._mapped(ordered, lambda stream: whole_groups(stream, by), fn, schema=schema)

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
        """Stream a frame into a catalog table; modes and errors as in `Catalog.write`."""
        with self._explained():
            return catalog.write(name, self.to_arrow(frame), mode=mode, keys=keys, evolve=evolve)

    def is_frame(self, value: Any) -> bool:
        """Return whether a value is a DuckDB relation."""
        return isinstance(value, duckdb.DuckDBPyRelation)

    @property
    def running(self) -> bool:
        """Whether the connection is open."""
        return "native" in self.__dict__

    def close(self) -> None:
        """Close the connection; DuckDB deletes what it spilled."""
        if self.running:
            self.native.close()
            del self.native
            self._unused_views.clear()

    def _config(self) -> dict[str, Any]:
        spill = Path(tempfile.gettempdir(), f"lakemill-duckdb-{uuid.uuid4().hex}")
        config: dict[str, Any] = {"temp_directory": str(spill)}
        if self.spec.memory_bytes_per_worker:
            config["memory_limit"] = f"{self.spec.memory_bytes_per_worker}B"
        if self.spec.cpus_per_worker:
            config["threads"] = self.spec.cpus_per_worker
        return config

    def _select(self, query: str, **frames: Frame) -> Frame:
        """Run a SELECT in which exactly these frames have names; the result keeps them alive."""
        # DuckDB finds frames among the variables of its caller: give it a caller that has no others.
        scope = {"__builtins__": {}, "__connection": self.native, "__query": query}
        return eval("__connection.sql(__query)", scope, frames)  # noqa: S307

    def _mapped(
        self,
        frame: Frame,
        parts: Callable[[pa.RecordBatchReader], Iterator[Any]],
        fn: Callable[[Any], Any],
        *,
        schema: pa.Schema,
    ) -> Frame:
        target = table_schema(schema)
        view = self._view(frame)

        def batches() -> Iterator[pa.RecordBatch]:
            with self._noted():
                for part in parts(self._open(f"from {view}")):
                    yield from conformed(fn(part), target)

        source = _Source(target, batches)
        weakref.finalize(source, self._unused_views.append, view).atexit = False
        return self.native.from_arrow(source)

    def _view(self, frame: Frame) -> str:
        """Name a frame for other connections."""
        while self._unused_views:
            self._drop(self._unused_views.pop())
        name = f"__lakemill_{next(self._numbers)}"
        with self._explained():
            frame.create_view(name)
        return name

    def _drop(self, view: str) -> None:
        self.native.execute(f"drop view {view}")

    def _open(self, query: str) -> pa.RecordBatchReader:
        with self._explained():
            reader = self.native.cursor().sql(query).to_arrow_reader(BATCH_ROWS)
            return stream_of(self._batches(reader), reader.schema)

    def _batches(self, reader: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with self._explained():
            yield from reader

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep what a user's function raised: DuckDB and Arrow pass on no more than its text."""
        try:
            yield
        except LakemillError as error:
            self._failure = error
            raise
        except Exception as error:
            self._failure = TaskError(f"{type(error).__name__}: {error}")
            self._failure.__cause__ = error
            raise

    @contextmanager
    def _explained(self, hint: str = "") -> Iterator[None]:
        """Say in our words what DuckDB raises, also when it comes through Arrow."""
        self._failure = None
        try:
            yield
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if self._failure is None and isinstance(error, LakemillError):
                raise
            self._failure = self._failure or _explanation(error, hint)
            raise self._failure from self._failure.__cause__ or error


class _Source:
    """A stream that DuckDB opens anew with each scan."""

    def __init__(self, schema: pa.Schema, batches: Callable[[], Iterator[pa.RecordBatch]]) -> None:
        self._schema = schema
        self._batches = batches

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        reader = pa.RecordBatchReader.from_batches(self._schema, self._batches())
        return reader.__arrow_c_stream__(requested_schema)


def _explanation(error: Exception, hint: str) -> LakemillError:
    text = str(error).split("\n\n")[0].strip()
    kind = _ERRORS.get(text.split(" Error:")[0], StorageError if "parquet" in text.lower() else EngineError)
    if text.startswith("Out of Memory"):
        hint = "give the engine more memory, or its query less to hold at a time"
    return kind(f"DuckDB: {text}", hint=hint)


def _column(name: str) -> str:
    return name if name == "*" else quoted(name)


def _one_per_instant(on: AsOf) -> str:
    """Select the features that can match; where rows tie on key and time, the greatest `tie_break`."""
    instant = [quoted(name) for name in (*(key for _, key in on.keys), on.feature_time)]
    query = f"select * from f where {' and '.join(f'{name} is not null' for name in instant)}"
    if on.tie_break is None:
        return query
    order = f"partition by {', '.join(instant)} order by {quoted(on.tie_break)} desc nulls last"
    return f"{query} qualify row_number() over ({order}) = 1"


def _asof_condition(on: AsOf) -> str:
    equal = [f"s.{quoted(spine)} = f.{quoted(feature)}" for spine, feature in on.keys]
    return " and ".join([*equal, f"s.{quoted(on.spine_time)} >= f.{quoted(on.feature_time)}"])


def _asof_columns(on: AsOf) -> str:
    fresh = "true"
    if on.lookback_seconds is not None:
        age = f"epoch_us(s.{quoted(on.spine_time)}) - epoch_us(f.{quoted(on.feature_time)})"
        fresh = f"{age} <= {round(on.lookback_seconds * 1e6)}"
    return ", ".join(f"case when {fresh} then f.{quoted(column)} end as {quoted(name)}" for column, name in on.columns)
