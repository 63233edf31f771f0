"""Tables on Spark, in one process, on several, or on a cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Literal

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import DatetimeType, IntegralType, StructType

from lakemill.catalog import Catalog
from lakemill.catalog.log import arrow_schema
from lakemill.catalog.names import location
from lakemill.catalog.schemas import check_keys, fit, new_schema
from lakemill.catalog.types import table_schema
from lakemill.core.errors import AlreadyExistsError, EngineError, LakemillError, SchemaError
from lakemill.core.records import ClusterSpec, TableRef
from lakemill.engines.frames._aggregates import check_aggregates, expression
from lakemill.engines.frames._arrow import stream_of, table_of
from lakemill.engines.frames._asof import check_asof, check_columns
from lakemill.engines.frames._delta import data_files, open_table
from lakemill.engines.frames._spark_files import spooled, staged, uri_of
from lakemill.engines.frames._spark_worker import grouping, mapping, packed, told, unpacked
from lakemill.engines.frames.base import Aggregate, AsOf, Frame, FrameEngine
from lakemill.engines.process import freeze
from lakemill.engines.spark_session import spark_cluster

_GLOB = re.compile(r"([\[\]{}*?\\])")
_GONE = re.compile("Connection refused|Answer from Java side is empty|SparkContext was shut down")
_GONE_HINT = "make the frame again: it was closed, idle for long, or needs a larger memory_bytes_per_worker"
_SPINE, _FEATURE, _TIME, _TIE, _LATEST = "__spine", "__feature", "__time", "__tie", "__latest"


class SparkFrames(FrameEngine):
    """Frames are Spark DataFrames, of a session in this process or of a Connect server.

    Parameters
    ----------
    spec
        The cluster to connect to, or to start here.

    Notes
    -----
    Executors read and write the tables' folders themselves, so all machines must see them.
    """

    kind = "spark"
    spans_nodes = True
    spills = True
    extra = "spark"

    def __init__(self, spec: ClusterSpec | None = None) -> None:
        self._cluster = spark_cluster(spec or ClusterSpec(kind="spark"))

    @property
    def native(self) -> SparkSession:
        """The Spark session."""
        return self._cluster.session

    def scan(self, ref: TableRef) -> Frame:
        """Read a table at the version of `ref`, lazily.

        Raises
        ------
        NotFoundError
            If the table does not have that version.
        UnsupportedError
            If another writer has switched on what readers of plain Parquet files would miss.
        """
        table = open_table(ref)
        schema = _spark_schema(arrow_schema(table))
        files = [_GLOB.sub(r"\\\1", uri_of(file)) for file in data_files(table)]
        if not files:
            return self.native.createDataFrame([], schema)
        with _explained():
            return self.native.read.schema(schema).parquet(*files)

    def from_arrow(self, data: pa.Table) -> Frame:
        """Make a frame of Arrow data that fits the driver."""
        table = table_of(data)
        return self.native.createDataFrame(table if len(table) else [], _spark_schema(table.schema))

    def to_arrow(self, frame: Frame) -> pa.RecordBatchReader:
        """Stream a frame to the driver.

        A cluster that was started here hands it over in files, another one partition by partition.
        """
        schema = self.schema(frame)
        return stream_of(self._batches(frame, schema), schema)

    def schema(self, frame: Frame) -> pa.Schema:
        """Return the columns of a frame."""
        with _explained():
            return table_schema(to_arrow_schema(frame.schema, timezone="UTC"))

    def sql(self, query: str, frames: Mapping[str, Frame]) -> Frame:
        """Run a SELECT over the named frames.

        Raises
        ------
        SchemaError
            If the query does not fit the frames: unknown column, wrong type, bad syntax.
        """
        own = {name: f"frame_{number}" for number, name in enumerate(frames)}
        named = ", ".join(f"{_quoted(name)} as (select * from {{{own[name]}}})" for name in frames)
        # Braces are placeholders to Spark's formatter, which runs where there are frames.
        text = query.replace("{", "{{").replace("}", "}}") if frames else query
        body = f"select * from (\n{text.rstrip().rstrip(';')}\n)"
        with _explained(hint=f"names in the query: {', '.join(frames) or 'none'}"):
            found = self.native.sql(
                f"with {named} {body}" if frames else body, **{own[name]: frame for name, frame in frames.items()}
            )
            found.columns  # noqa: B018  a Connect server looks at the query only when asked
            return found

    def asof_join(self, spine: Frame, features: Frame, *, on: AsOf) -> Frame:
        """Add feature columns as of the spine's time; every spine row is kept, once.

        Both sides are sorted together by key and time, and each spine row takes the last feature
        row before it.

        Raises
        ------
        SchemaError
            If columns are not there, cannot be compared, or would appear twice.
        """
        check_asof(on, self.schema(spine), self.schema(features))
        events = _spine_events(spine, on).unionByName(_feature_events(features, on), allowMissingColumns=True)
        keys = [_key(number) for number in range(len(on.keys))]
        order = [F.col(_TIME).asc_nulls_first(), F.col(_SPINE).isNotNull(), F.col(_TIE).asc_nulls_first()]
        before = Window.partitionBy(*keys).orderBy(*order).rowsBetween(Window.unboundedPreceding, Window.currentRow)
        latest = events.withColumn(_LATEST, F.last(_FEATURE, ignorenulls=True).over(before)).where(
            f"{_SPINE} is not null"
        )
        return latest.select(f"{_SPINE}.*", *_feature_columns(on))

    def aggregate(self, frame: Frame, by: Sequence[str], *, aggregates: Sequence[Aggregate]) -> Frame:
        """Group by columns and aggregate.

        Raises
        ------
        SchemaError
            If a column is not there, or does not have such an aggregate.
        """
        schema = self.schema(frame)
        check_aggregates(by, aggregates, schema)
        values = [
            F.expr(expression(a, schema, column=a.column if a.column == "*" else _quoted(a.column))).alias(a.name)
            for a in aggregates
        ]
        return frame.groupBy(*_columns(by)).agg(*values)

    def map_batches(self, frame: Frame, fn: Callable[[pa.RecordBatch], pa.RecordBatch], *, schema: pa.Schema) -> Frame:
        """Apply a function to record batches, in Spark's Python workers."""
        target = table_schema(schema)
        return frame.mapInArrow(mapping(freeze(fn), target), _spark_schema(target))

    def map_groups(
        self, frame: Frame, by: Sequence[str], *, fn: Callable[[pa.Table], pa.Table], schema: pa.Schema
    ) -> Frame:
        """Apply a function to each whole group, in Spark's Python workers.

        Raises
        ------
        SchemaError
            If a key is not among the columns.
        """
        check_columns("the frame", by, frame.columns)
        target = table_schema(schema)
        return frame.groupBy(*_columns(by)).applyInArrow(grouping(freeze(fn), target), _spark_schema(target))

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
        """Write a frame into a catalog table; modes and errors as in `Catalog.write`.

        Executors write Parquet files into the table's folder, one commit makes them part of it.
        """
        target = _target(self.schema(frame), catalog, name=name, mode=mode, keys=keys, evolve=evolve)
        rows, folder = _cast(frame, target), location(catalog.root, name)
        with self._cluster.use(), _explained():
            if mode == "merge":
                with spooled(rows, folder) as files:
                    return catalog.write(name, files.reader(target), mode=mode, keys=keys, evolve=evolve)
            with staged(rows, folder) as files:
                if not catalog.exists(name):
                    with suppress(AlreadyExistsError):
                        catalog.create_table(name, target)
                return catalog.commit_files(name, files.all(), target, mode=mode, evolve=evolve)

    def is_frame(self, value: Any) -> bool:
        """Return whether a value is a Spark DataFrame."""
        return isinstance(value, DataFrame)

    @property
    def running(self) -> bool:
        """Whether the session is there."""
        return self._cluster.running

    def close(self) -> None:
        """Stop the cluster if it was started here and no other engine is at work on it."""
        self._cluster.stop_unless_used()

    def _batches(self, frame: Frame, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._cluster.use(), _explained():
            folder = self._cluster.shared_folder
            if folder is not None:
                with spooled(frame, str(folder)) as files:
                    yield from files.reader(schema)
            else:
                for row in frame.mapInArrow(packed, "batch binary").toLocalIterator(prefetchPartitions=True):
                    yield from unpacked(row[0])


def _target(
    schema: pa.Schema, catalog: Catalog, *, name: str, mode: str, keys: Sequence[str], evolve: bool
) -> pa.Schema:
    """Return the types that rows take in a table; ask now what `Catalog.write` would refuse after the work."""
    if not catalog.exists(name):
        return new_schema(schema, check_keys((), keys, name=name, mode=mode))
    check_keys(catalog.info(name).primary_keys, keys, name=name, mode=mode)
    return fit(schema, arrow_schema(open_table(catalog.ref(name))), name=name, evolve=evolve)


def _cast(frame: Frame, schema: pa.Schema) -> Frame:
    types = _spark_schema(schema)
    return frame.select(*(F.col(_quoted(field.name)).cast(field.dataType).alias(field.name) for field in types))


def _spine_events(spine: Frame, on: AsOf) -> Frame:
    keys = [_comparable(spine, key).alias(_key(number)) for number, (key, _) in enumerate(on.keys)]
    time = _comparable(spine, on.spine_time).alias(_TIME)
    return spine.select(*keys, time, F.struct(*_columns(spine.columns)).alias(_SPINE))


def _feature_events(features: Frame, on: AsOf) -> Frame:
    keys = [_comparable(features, key).alias(_key(number)) for number, (_, key) in enumerate(on.keys)]
    time = _comparable(features, on.feature_time).alias(_TIME)
    tie_break = F.lit(0) if on.tie_break is None else F.col(_quoted(on.tie_break))
    values = [F.col(_quoted(column)).alias(_value(number)) for number, (column, _) in enumerate(on.columns)]
    events = features.select(*keys, time, tie_break.alias(_TIE), F.struct(time, *values).alias(_FEATURE))
    return events.dropna(subset=[_TIME, *(_key(number) for number in range(len(on.keys)))])


def _feature_columns(on: AsOf) -> list[Column]:
    fresh = F.lit(True)
    if on.lookback_seconds is not None:
        fresh = F.col(_TIME) - F.col(f"{_LATEST}.{_TIME}") <= round(on.lookback_seconds * 1e6)
    return [
        F.when(fresh, F.col(f"{_LATEST}.{_value(number)}")).alias(name) for number, (_, name) in enumerate(on.columns)
    ]


def _comparable(frame: Frame, name: str) -> Column:
    """Return a key or time in a type that both sides share: instants in microseconds, integers in 64 bits."""
    kind, column = frame.schema[name].dataType, F.col(_quoted(name))
    if isinstance(kind, DatetimeType):
        return F.unix_micros(column.cast("timestamp"))
    return column.cast("bigint") if isinstance(kind, IntegralType) else column


def _key(number: int) -> str:
    return f"__key_{number}"


def _value(number: int) -> str:
    return f"__value_{number}"


def _columns(names: Sequence[str]) -> list[Column]:
    return [F.col(_quoted(name)) for name in names]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _spark_schema(schema: pa.Schema) -> StructType:
    return from_arrow_schema(schema, prefer_timestamp_ntz=False)


@contextmanager
def _explained(hint: str = "") -> Iterator[None]:
    """Say in our words what Spark raises."""
    try:
        yield
    except (PySparkException, Py4JError, ConnectionError) as error:
        raise _explanation(error, hint) from error


def _explanation(error: Exception, hint: str) -> LakemillError:
    text = str(error).strip()
    if isinstance(error, (AnalysisException, ParseException)):
        return SchemaError(f"Spark: {text.splitlines()[0]}", hint=hint)
    if _GONE.search(text):
        return EngineError("the Spark session of this frame has ended", hint=_GONE_HINT)
    causes = re.findall("^Caused by: (.*)", text, flags=re.MULTILINE)
    return told(text) or EngineError(f"Spark: {[*text.splitlines()[:1], *causes][-1]}", hint=hint)
