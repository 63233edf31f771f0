"""What every frame engine can do: tables in, tables out.

A frame is the engine's own lazy table (a DuckDB relation, a Spark DataFrame): user code that wants
the whole power of an engine works on it directly. Lakemill's own rooms use the verbs below and get
equal values on every engine. Nothing that grows with the number of rows passes the driver, except
through `to_arrow`, which streams.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from lakemill.core.records import TableRef, record

if TYPE_CHECKING:
    import pyarrow as pa

    from lakemill.catalog import Catalog

Frame = Any
Operator = Literal["sum", "avg", "count", "min", "max", "stddev", "var"]


@record
class AsOf:
    """An as-of join: for each spine row the latest feature row that is not later.

    Parameters
    ----------
    keys
        Pairs of columns that must be equal: spine column, feature column.
    spine_time, feature_time
        The columns of time; a feature row takes part if ``feature_time <= spine_time``.
    columns
        Feature columns to add, as pairs: feature column, name in the result.
    tie_break
        Feature column that decides among rows of equal key and time: the greatest wins (the time
        of creation, usually). None is allowed where key and time are unique together.
    lookback_seconds
        Feature rows older than this, relative to the spine row, count as absent; None: no bound.
    """

    keys: tuple[tuple[str, str], ...]
    spine_time: str
    feature_time: str
    columns: tuple[tuple[str, str], ...]
    tie_break: str | None = None
    lookback_seconds: float | None = None


@record
class Aggregate:
    """One mergeable aggregate: operator, input column (``*`` for count), name of the result."""

    operator: Operator
    column: str
    name: str


class FrameEngine(ABC):
    """Tables in, tables out.

    Contract
    --------
    Every verb is lazy except `write` and the consumption of `to_arrow`. Verbs never change their
    inputs. Values are equal on every kind; the order of rows is not part of a frame. Time stamps
    are UTC. An engine is used by one thread at a time.

    Attributes
    ----------
    spans_nodes
        Whether frames reach beyond this machine.
    spills
        Whether what memory has no room for goes to disk.
    extra
        The optional package that it needs; empty for none.
    """

    kind: ClassVar[str]
    spans_nodes: ClassVar[bool] = False
    spills: ClassVar[bool] = False
    extra: ClassVar[str] = ""

    @abstractmethod
    def scan(self, ref: TableRef) -> Frame:
        """Read a table at the version of `ref`, lazily."""

    @abstractmethod
    def from_arrow(self, data: pa.Table) -> Frame:
        """Make a frame of Arrow data that fits the driver."""

    @abstractmethod
    def to_arrow(self, frame: Frame) -> pa.RecordBatchReader:
        """Stream a frame to the driver as record batches."""

    @abstractmethod
    def schema(self, frame: Frame) -> pa.Schema:
        """Return the columns of a frame, in the types that tables have, without reading it."""

    @abstractmethod
    def sql(self, query: str, frames: Mapping[str, Frame]) -> Frame:
        """Run a SELECT in the engine's SQL over the named frames."""

    @abstractmethod
    def asof_join(self, spine: Frame, features: Frame, *, on: AsOf) -> Frame:
        """Add feature columns as of the spine's time; every spine row is kept, once.

        Spine rows without a feature row get nulls. Null keys and null times match nothing.
        """

    @abstractmethod
    def aggregate(self, frame: Frame, by: Sequence[str], *, aggregates: Sequence[Aggregate]) -> Frame:
        """Group by columns and aggregate; `stddev` and `var` are the sample statistics."""

    @abstractmethod
    def map_batches(self, frame: Frame, fn: Callable[[pa.RecordBatch], pa.RecordBatch], *, schema: pa.Schema) -> Frame:
        """Apply a function to record batches of any size; `schema` is that of the result."""

    @abstractmethod
    def map_groups(
        self, frame: Frame, by: Sequence[str], *, fn: Callable[[pa.Table], pa.Table], schema: pa.Schema
    ) -> Frame:
        """Apply a function to each whole group; `schema` is that of the result."""

    @abstractmethod
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
        """Write a frame into a catalog table; modes and errors as in `Catalog.write`."""

    @abstractmethod
    def is_frame(self, value: Any) -> bool:
        """Return whether a value is a frame of this engine."""

    @property
    @abstractmethod
    def native(self) -> Any:
        """The engine's own session: a DuckDB connection or a SparkSession."""

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether the engine has been started, so that the next verb does not wait for it."""

    @abstractmethod
    def close(self) -> None:
        """Release what the engine holds; the engine may be used again afterwards."""
