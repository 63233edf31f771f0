"""Whole groups out of a stream, however it is cut."""

from __future__ import annotations

import math
from itertools import groupby

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakemill.core.errors import SchemaError
from lakemill.engines.frames._arrow import conformed, stream_of, table_of, whole_groups

SCHEMA = pa.schema({"k": pa.int64(), "s": pa.string()})
KEYS = st.lists(st.tuples(st.sampled_from([0, 1, None]), st.sampled_from(["", "a", None])), max_size=30)


def _same(value):
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


@given(keys=KEYS, cuts=st.lists(st.integers(1, 5), min_size=1), by=st.sampled_from([["k"], ["k", "s"], []]))
@settings(deadline=None)
def test_groups_are_the_runs_of_equal_keys(keys, cuts, by):
    rows = [dict(zip(SCHEMA.names, key, strict=True)) for key in sorted(keys, key=repr)]
    table, batches, start = pa.Table.from_pylist(rows, SCHEMA), [], 0
    while start < len(rows):
        size = cuts[len(batches) % len(cuts)]
        batches += [*table.slice(start, size).to_batches(), pa.RecordBatch.from_pylist([], SCHEMA)]
        start += size
    expected = [list(group) for _, group in groupby(rows, key=lambda row: [row[name] for name in by])]
    assert [group.to_pylist() for group in whole_groups(batches, by)] == expected


def test_nans_are_one_group_and_minus_zero_is_zero():
    values = [-0.0, 0.0, 0.0, -0.0, 1.5, float("nan"), float("nan"), None]
    batches = pa.table({"x": values}).to_batches(max_chunksize=2)
    assert [[_same(x) for x in group["x"].to_pylist()] for group in whole_groups(batches, ["x"])] == [
        [0.0] * 4, [1.5], ["NaN"] * 2, [None]
    ]  # fmt: skip


def test_a_group_is_given_as_soon_as_the_next_one_begins():
    drawn = []

    def batches():
        for number in range(4):
            drawn.append(number)
            yield pa.record_batch({"x": [number, number]})

    groups = whole_groups(batches(), ["x"])
    assert next(groups)["x"].to_pylist() == [0, 0]
    assert drawn == [0, 1]


def test_what_a_function_returns_must_be_what_its_schema_says():
    schema = pa.schema({"x": pa.int32(), "y": pa.string()})
    (batch,) = conformed(pa.table({"y": ["a"], "x": pa.array([1], pa.int64())}), schema)
    assert batch.schema == schema
    for wrong, text in (
        ({"x": [1]}, "must return a pyarrow Table or RecordBatch, got dict"),
        (pa.table({"x": [1]}), "returned columns x; its schema has x, y"),
        (pa.table({"x": [1], "y": ["a"], "z": [1]}), "returned columns x, y, z"),
        (pa.table({"x": [2**31], "y": ["a"]}), "'x'.* does not fit int32"),
    ):
        with pytest.raises(SchemaError, match=text):
            list(conformed(wrong, schema))


def test_types_without_a_counterpart_are_refused_by_name():
    with pytest.raises(SchemaError, match="'d' has type duration"):
        table_of(pa.table({"d": pa.array([1], pa.duration("s"))}))
    with pytest.raises(SchemaError, match="must export an Arrow stream, got list"):
        table_of([1])
    with pytest.raises(SchemaError, match="'t' has type time64"):
        stream_of([], pa.schema({"t": pa.time64("us")}))
