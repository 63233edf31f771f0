from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lakemill.catalog.types import TIMESTAMP, convert, table_schema
from lakemill.core.errors import SchemaError

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
EXPECTED = pa.schema(
    [("name", pa.string()), ("kind", pa.string()), ("moment", TIMESTAMP), ("day", pa.date32()), ("n", pa.int64())]
)


def sources():
    rows = {
        "name": ["a", None],
        "kind": ["x", "y"],
        "moment": [NOON, None],
        "day": [date(2026, 1, 31)] * 2,
        "n": [1, 2],
    }
    polars = pl.DataFrame(rows).with_columns(
        pl.col("kind").cast(pl.Categorical), pl.col("moment").dt.replace_time_zone(None)
    )
    pandas = pd.DataFrame({"name": ["a", None], "kind": pd.Categorical(["x", "y"])})
    pandas["moment"] = pd.to_datetime(["2026-01-31 12:00", None])
    pandas["day"], pandas["n"] = date(2026, 1, 31), [1, 2]
    pandas.index = [7, 8]
    arrow = pa.table(rows).cast(
        EXPECTED.set(0, pa.field("name", pa.large_string())).set(1, pa.field("kind", pa.string_view()))
    )
    sql = """SELECT * FROM (VALUES ('a', 'x', timestamptz '2026-01-31 15:00:00+03', date '2026-01-31', 1::bigint),
             (NULL, 'y', NULL, date '2026-01-31', 2)) AS t(name, kind, moment, day, n)"""
    return {"polars": polars, "pandas": pandas, "arrow": arrow, "duckdb": duckdb.sql(sql)}


@pytest.mark.parametrize("library", ["polars", "pandas", "arrow", "duckdb"])
def test_every_library_gives_one_schema_and_the_same_values(library):
    reader = pa.RecordBatchReader.from_stream(sources()[library])
    found = table_schema(reader.schema)
    assert found.equals(EXPECTED)
    table = reader.read_all()
    values = {field.name: convert(table[field.name].combine_chunks(), field.type).to_pylist() for field in found}
    assert values == {
        "name": ["a", None],
        "kind": ["x", "y"],
        "moment": [NOON, None],
        "day": [date(2026, 1, 31)] * 2,
        "n": [1, 2],
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pa.uint8(), pa.int16()),
        (pa.uint16(), pa.int32()),
        (pa.uint32(), pa.int64()),
        (pa.float16(), pa.float32()),
        (pa.date64(), pa.date32()),
        (pa.binary(4), pa.binary()),
        (pa.decimal256(38, 2), pa.decimal128(38, 2)),
        (pa.timestamp("s", "Europe/Paris"), TIMESTAMP),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.large_list(pa.uint8()), pa.list_(pa.int16())),
        (pa.list_(pa.float64(), 3), pa.list_(pa.float64())),
        (pa.struct([("a", pa.large_string())]), pa.struct([("a", pa.string())])),
        (pa.map_(pa.large_string(), pa.uint8()), pa.map_(pa.string(), pa.int16())),
    ],
)
def test_types_are_widened_never_narrowed(found, expected):
    assert table_schema(pa.schema([("x", found)])).field("x").type == expected


@pytest.mark.parametrize(
    "found", [pa.time64("us"), pa.duration("s"), pa.month_day_nano_interval(), pa.decimal256(39, 0)]
)
def test_types_without_a_counterpart_are_refused_by_name(found):
    with pytest.raises(SchemaError, match="'x'"):
        table_schema(pa.schema([("x", found)]))


def test_names_must_differ_also_without_case():
    with pytest.raises(SchemaError, match="day"):
        table_schema(pa.schema([("Day", pa.int64()), ("day", pa.int64())]))
    with pytest.raises(SchemaError, match="no columns"):
        table_schema(pa.schema([]))


def test_the_unnamed_index_of_pandas_is_no_column():
    frame = pd.DataFrame({"k": [1, 2]}, index=[5, 9])
    assert table_schema(pa.Table.from_pandas(frame).schema).names == ["k"]


@pytest.mark.parametrize(
    ("array", "target"),
    [
        (pa.array([2**63], pa.uint64()), pa.int64()),
        (pa.array([1_500], pa.timestamp("ns")), TIMESTAMP),
        (pa.array([Decimal("1.25")], pa.decimal128(10, 2)), pa.decimal128(10, 1)),
    ],
)
def test_a_value_that_would_lose_something_is_refused(array, target):
    with pytest.raises(pa.ArrowInvalid):
        convert(array, target)


def test_zones_keep_the_instant():
    east = timezone(timedelta(hours=3))
    array = pa.array([NOON.astimezone(east)], pa.timestamp("ms", "+03:00"))
    assert convert(array, TIMESTAMP).to_pylist() == [NOON]
