"""Training sets: a spine, and beside each row the features that were known at its time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from lakemill.catalog.schemas import arrow_stream, quoted
from lakemill.core.records import TableRef
from lakemill.engines.frames import AsOf, Frame
from lakemill.features.joins import Join, check_spine, column_types, plan
from lakemill.features.records import TrainingSet, as_training_set
from lakemill.features.tables import schema_of
from lakemill.workspace import Workspace

POSITION: Final = "lakemill_position"


def load(ws: Workspace, training_set: TrainingSet | str, *, spine: Frame | None = None) -> Frame:
    """Return a training set as a frame of the workspace's engine: every row of the spine, once.

    Rows that are handed over as `spine` in Arrow or pandas keep their order; those of tables and of
    an engine's frames have none.

    A look-up with a time sees no feature row that is later than the spine's row, and of those that
    are not, the latest. Where there is none, features are null, or their default.

    Parameters
    ----------
    ws
        The workspace; the versions that are read enter its lineage.
    training_set
        What to join, or the name of a table.
    spine
        Rows to join to instead of the spine table's, such as those to score: an engine's frame or anything that
        speaks Arrow; they need no label.

    Raises
    ------
    NotFoundError
        If a table is missing.
    SchemaError
        If the label, a key, a time or a feature is not among the columns, or keys have other types.
    ConfigError
        If a look-up doesn't go with its table's keys and time, or two columns would share a name.
    """
    training_set = as_training_set(training_set)
    rows = _spine(ws, training_set.spine if spine is None else spine)
    columns = column_types(schema_of(ws, rows))
    ordered = columns.pop(POSITION, None) is not None
    if spine is None and training_set.label:
        check_spine(training_set.label, columns, what="label")
    defaults: dict[str, str] = {}
    for lookup in training_set.lookups:
        join = plan(lookup, ws.catalog.info(lookup.table_name), ws.catalog.ref(lookup.table_name), columns=columns)
        rows = _joined(ws, rows, join)
        columns |= join.added
        defaults |= join.defaults
    query = _selection(list(columns), exclude=training_set.exclude_columns, defaults=defaults)
    return ws.frames.sql(f"{query} order by {POSITION}" if ordered else query, {"s": rows})


def table_refs(ws: Workspace, training_set: TrainingSet | str) -> tuple[TableRef, ...]:
    """Return the tables that a training set reads, spine first, each at its newest version.

    Raises
    ------
    NotFoundError
        If one is missing.
    """
    training_set = as_training_set(training_set)
    names = dict.fromkeys([training_set.spine, *(lookup.table_name for lookup in training_set.lookups)])
    return tuple(ws.catalog.ref(name) for name in names)


def _spine(ws: Workspace, spine: Any) -> Frame:
    """Return the rows to join to; only rows that are handed over have an order, so that they get a number."""
    if isinstance(spine, str) or ws.frames.is_frame(spine):
        return ws.sql("select * from s", s=spine)
    rows = arrow_stream(spine).read_all()
    return ws.frames.from_arrow(rows.append_column(POSITION, pa.array(np.arange(len(rows)))))


def _joined(ws: Workspace, rows: Frame, join: Join) -> Frame:
    features = ws.table(join.ref.name).scan(version=join.ref.version)
    if join.times is None:
        return ws.frames.sql(_key_join(join), {"s": rows, "f": features})
    on = AsOf(
        keys=join.keys,
        spine_time=join.times[0],
        feature_time=join.times[1],
        columns=join.columns,
        lookback_seconds=join.lookback_seconds,
    )
    return ws.frames.asof_join(rows, features, on=on)


def _key_join(join: Join) -> str:
    columns = [f"f.{quoted(feature)} as {quoted(name)}" for feature, name in join.columns]
    keys = [f"s.{quoted(spine)} = f.{quoted(feature)}" for spine, feature in join.keys]
    return f"select {', '.join(['s.*', *columns])} from s left join f on {' and '.join(keys)}"


def _selection(columns: Sequence[str], *, exclude: Sequence[str], defaults: Mapping[str, str]) -> str:
    for name in exclude:
        check_spine(name, columns, what="excluded column")
    kept = [
        f"coalesce({quoted(name)}, {defaults[name]}) as {quoted(name)}" if name in defaults else quoted(name)
        for name in columns
        if name not in exclude
    ]
    return f"select {', '.join(kept)} from s"
