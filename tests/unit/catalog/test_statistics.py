"""Sizes of tables and of their groups, beside what pandas counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lakemill.core.errors import SchemaError


@pytest.fixture
def rows():
    draw = np.random.default_rng(0)
    k = draw.choice(["a", "b", None], 1000, p=[0.6, 0.3, 0.1])
    return pa.table({"k": pa.array(k), "d": draw.integers(0, 3, 1000), "x": draw.random(1000)})


def test_the_size_of_each_version_is_told_by_its_log(catalog, rows):
    first = catalog.write("main.a.t", rows)
    second = catalog.write("main.a.t", rows.slice(0, 10))
    sizes = [catalog.size(ref) for ref in (first, second)]
    assert [size.rows for size in sizes] == [1000, 1010]
    assert [size.memory_bytes for size in sizes] == [1000 * 40, 1010 * 40]  # text is taken for 24 bytes
    assert 0 < sizes[0].file_bytes < sizes[1].file_bytes


def test_where_another_writer_left_out_statistics_rows_are_counted_in_the_files(catalog, rows):
    catalog.write("main.a.t", rows)
    ref = catalog.write("main.a.t", rows.slice(0, 10))
    last = max(Path(ref.location).glob("_delta_log/*.json"))
    actions = [json.loads(line) for line in last.read_text().splitlines()]
    for action in actions:
        action.get("add", {}).pop("stats", None)
    last.write_text("\n".join(map(json.dumps, actions)))
    assert catalog.size(ref).rows == 1010


@pytest.mark.parametrize("by", [("k",), ("d",), ("k", "d")])
def test_groups_are_those_of_pandas(catalog, rows, by):
    ref = catalog.write("main.a.t", rows)
    counts = rows.to_pandas().groupby(list(by), dropna=False).size()
    found = catalog.groups(ref, by)
    assert (found.groups, found.largest_rows) == (len(counts), counts.max())


def test_the_groups_of_a_version_are_counted_once(catalog, rows):
    ref = catalog.write("main.a.t", rows)
    counted = catalog.groups(ref, ["k", "d"])
    for file in Path(ref.location).glob("*.parquet"):
        file.unlink()
    assert catalog.groups(ref, ["d", "k"]) == counted


def test_groups_are_counted_anew_in_a_new_version_and_in_a_new_table_of_the_same_name(catalog, rows):
    first, second = catalog.write("main.a.t", rows), catalog.write("main.a.t", rows)
    assert catalog.groups(second, ["d"]).largest_rows == 2 * catalog.groups(first, ["d"]).largest_rows
    catalog.drop_table("main.a.t")
    again = catalog.write("main.a.t", rows.slice(0, 1))
    assert again.version == first.version
    assert catalog.groups(again, ["d"]).largest_rows == 1


def test_an_empty_table_has_no_groups(catalog, rows):
    ref = catalog.create_table("main.a.empty", rows.schema)
    found = catalog.groups(ref, ["k"])
    assert (catalog.size(ref).rows, found.groups, found.largest_rows) == (0, 0, 0)


def test_a_column_that_is_not_there_is_named(catalog, rows):
    with pytest.raises(SchemaError, match="no column 'kk'"):
        catalog.groups(catalog.write("main.a.t", rows), ["kk"])
