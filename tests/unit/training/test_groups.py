"""A group's rows as pandas: what Arrow makes of them alone, whatever its neighbours hold."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from lakemill.training.many.groups import PartRows

VALUES = {
    "int": pa.array([1, 2, None, 4], pa.int32()),
    "uint": pa.array([1, None, 3, 4], pa.uint8()),
    "bool": pa.array([True, None, False, True]),
    "float": pa.array([1.0, None, 3.0, float("nan")]),
    "text": pa.array(["a", None, "c", "d"]),
    "category": pa.array(["a", None, "c", "a"]).dictionary_encode(),
    "day": pa.array([date(2026, 1, 1), None, date(2026, 1, 3), None]),
    "time": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None, None, None], pa.timestamp("us", tz="UTC")),
    "span": pa.array([timedelta(1), None, timedelta(3), None]),
    "money": pa.array([Decimal("1.5"), None, Decimal("2.5"), None]),
    "list": pa.array([[1], None, [], [2, None]]),
    "nothing": pa.nulls(4),
}


@pytest.mark.parametrize("names", [(name,) for name in VALUES] + [tuple(VALUES), ("float", "text")])
def test_types_and_values_are_those_of_the_group_alone(names):
    table = pa.table({name: VALUES[name] for name in names})
    rows = PartRows(table)
    for start, length in [(0, 1), (1, 1), (2, 2), (1, 3), (0, 0)]:
        found = rows.rows(start, length).frame()
        alone = pa.Table.from_pylist(table.slice(start, length).to_pylist(), table.schema).to_pandas()
        for name in {"category"} & set(names):  # which categories there are is the column's, not the group's
            found[name], alone[name] = found[name].astype(object), alone[name].astype(object)
        pd.testing.assert_frame_equal(found, alone)


def test_a_fit_may_change_its_rows():
    rows = PartRows(pa.table({"y": [1.0, 2.0, 3.0], "text": ["a", "b", "c"]}))
    first = rows.rows(0, 2).frame()
    first.loc[:, "y"] = 0.0
    first["text"] = "z"
    assert rows.rows(0, 3).frame().to_dict("list") == {"y": [1.0, 2.0, 3.0], "text": ["a", "b", "c"]}
