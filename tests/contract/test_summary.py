"""The summary of a table against pandas, on every kind of frame engine."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakemill.core.records import ClusterSpec, Context
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.workspace import Workspace, WorkspaceSettings
from lakemill.workspace.summary import STATISTICS, summarize

PANDAS = {"count": "count", "mean": "mean", "stddev": "std", "min": "min", "max": "max"} | {
    share: share for share in ("25%", "50%", "75%")
}


@pytest.mark.parametrize("kind", FRAME_ENGINES.kinds())
@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_numbers_are_those_of_pandas(kind, rows, frame_engines):
    engine, generator = frame_engines[kind], np.random.default_rng(rows)
    floats = generator.normal(size=rows)
    floats[3::5] = np.nan
    table = pa.table(
        {
            "a number": pa.array(floats),  # with NaN, as numpy has it
            "whole": pa.array(generator.integers(-50, 50, rows), pa.int32()),
            "price": pa.array([Decimal(f"{i}.25") for i in range(rows)], pa.decimal128(9, 2)),
            "gaps": pa.array([None if i % 2 else i for i in range(rows)], pa.int64()),
        }
    )
    found = summarize(engine, engine.from_arrow(table))
    expected = table.to_pandas().astype(float)
    assert found.index.tolist() == table.column_names
    assert found["nulls"].tolist() == expected.isna().sum().tolist()
    for statistic, name in PANDAS.items():
        np.testing.assert_allclose(found[statistic].astype(float), expected.describe().loc[name], rtol=1e-12)


@pytest.mark.parametrize("kind", FRAME_ENGINES.kinds())
def test_other_columns_are_counted_and_have_ends(kind, frame_engines):
    engine = frame_engines[kind]
    days = [date(2026, 1, 3), None, date(2026, 1, 1)]
    table = pa.table({"day": days, "name": ["b", "a", None], "tags": [["x"], [], None]})
    found = summarize(engine, engine.from_arrow(table))
    assert found.index.tolist() == ["day", "name"]
    assert found[["count", "nulls"]].to_numpy().tolist() == [[2, 1], [2, 1]]
    assert found[["min", "max"]].to_numpy().tolist() == [[date(2026, 1, 1), date(2026, 1, 3)], ["a", "b"]]
    assert found[["mean", "25%"]].isna().all(axis=None)


def test_a_table_larger_than_memory_is_sorted_on_disk():
    rows, memory_bytes = 4_000_000, 64 * 2**20
    values = np.random.default_rng(0).permutation(rows).astype(float)
    engine = FRAME_ENGINES.build({"kind": "local", "spec": ClusterSpec(memory_bytes_per_worker=memory_bytes)})
    assert values.nbytes * 2 > 0.9 * memory_bytes  # what is sorted is each value with its rank
    found = summarize(engine, engine.from_arrow(pa.table({"x": values})))
    engine.close()
    assert found.loc["x", ["25%", "50%", "75%"]].tolist() == [share * (rows - 1) for share in (0.25, 0.5, 0.75)]


def test_a_table_tells_its_summary_and_empty_ones_have_none(tmp_path):
    with Workspace(WorkspaceSettings.in_folder("x", tmp_path), context=Context(user="ann")) as ws:
        table = ws.table("main.a.t")
        table.write(pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0, 100.0]}))
        (row,) = table.summary().to_dict("records")
        assert list(row) == list(STATISTICS)
        fence = row["75%"] + 1.5 * (row["75%"] - row["25%"])
        assert ws.sql(f"select x from t where x > {fence}", t="main.a.t").fetchall() == [(100.0,)]
        table.write(pd.DataFrame({"x": [1.0]}).head(0), mode="overwrite")
        (row,) = table.summary().to_dict("records")
        assert (row["count"], row["nulls"]) == (0, 0)
        assert pd.isna([row["mean"], row["min"], row["50%"]]).all()
