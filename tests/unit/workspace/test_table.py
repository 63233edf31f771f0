from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lakemill.core.errors import SchemaError
from lakemill.core.records import Context
from lakemill.workspace import Workspace, WorkspaceSettings


@pytest.fixture
def ws(tmp_path) -> Iterator[Workspace]:
    with Workspace(WorkspaceSettings.in_folder("test", tmp_path), context=Context(user="ann")) as workspace:
        yield workspace


@pytest.mark.parametrize("data", [[1, 2], {"k": [1]}, None, "k"])
def test_what_has_no_rows_is_refused_by_its_type(ws, data):
    with pytest.raises(SchemaError, match=f"got {type(data).__name__}"):
        ws.table("main.a.t").write(data)
    assert not ws.table("main.a.t").exists()


def test_each_library_s_rows_are_written(ws):
    table = ws.table("main.a.t")
    for data in (
        pa.table({"k": [1]}),
        pd.DataFrame({"k": [2]}),
        pl.DataFrame({"k": [3]}),
        ws.sql("select 4::bigint k"),
    ):
        table.write(data)
    assert sorted(table.to_pandas()["k"]) == [1, 2, 3, 4]
    assert [commit.version for commit in table.history()] == [4, 3, 2, 1, 0]
    assert table.scan(version=1).fetchall() == [(1,)]
