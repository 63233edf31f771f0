"""The Spark engine: what its writes leave behind, and which functions its workers can run."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from lakemill.core.errors import ConfigError, DuplicateKeyError, SchemaError, TaskError
from lakemill.testing.frames import rows_of

pytestmark = pytest.mark.xdist_group("spark")
X = pa.schema({"x": pa.int64()})


@pytest.fixture
def engine(frame_engines):
    return frame_engines["spark"]


def _refuse_seven(batch):
    if 7 in batch["x"].to_pylist():
        raise ValueError("seven")
    return batch


def _files(tmp_path):
    return sorted(path for path in (tmp_path / "tables").rglob("*.parquet") if path.is_file())


def test_executors_write_the_files_of_one_commit(engine, catalog, tmp_path):
    frame = engine.native.range(0, 1000, 1, 2).withColumnRenamed("id", "x")
    ref = engine.write(frame, catalog, name="main.test.t")
    assert len(_files(tmp_path)) == 2
    assert ref.version == 1
    assert catalog.history("main.test.t")[0].metrics == {"num_added_files": 2, "num_added_rows": 1000}


def test_a_write_that_fails_leaves_neither_rows_nor_files(engine, catalog, tmp_path):
    frame = engine.native.range(0, 10, 1, 2).withColumnRenamed("id", "x")
    poisoned = engine.map_batches(frame, _refuse_seven, schema=X)
    with pytest.raises(TaskError, match=r"^ValueError: seven$"):
        engine.write(poisoned, catalog, name="main.test.t")
    assert not catalog.exists("main.test.t")
    catalog.create_table("main.test.keyed", X, primary_keys=["x"])
    twice = engine.from_arrow(pa.table({"x": [1, 1]}))
    for mode in ("overwrite", "merge"):
        with pytest.raises(DuplicateKeyError, match="x=1"):
            engine.write(twice, catalog, name="main.test.keyed", mode=mode)
    assert catalog.ref("main.test.keyed").version == 0
    assert _files(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "how", "error"),
    [
        ("main.test.keyed", {"mode": "append"}, ConfigError),
        ("main.test.keyed", {"mode": "merge", "keys": ["y"]}, ConfigError),
        ("main.test.plain", {"mode": "merge"}, ConfigError),
        ("main.test.plain", {}, SchemaError),
        ("main.test.new", {"mode": "merge", "keys": ["y"]}, SchemaError),
    ],
)
def test_what_the_catalog_would_refuse_is_refused_before_the_work(engine, catalog, name, how, error):
    catalog.create_table("main.test.keyed", X, primary_keys=["x"])
    catalog.create_table("main.test.plain", pa.schema({"x": pa.string()}))
    frame = engine.map_batches(engine.from_arrow(pa.table({"x": [7]})), _refuse_seven, schema=X)
    with pytest.raises(error):
        engine.write(frame, catalog, name=name, **how)


def test_workers_run_functions_of_modules_that_only_the_driver_sees(engine, tmp_path, monkeypatch):
    (tmp_path / "steps_of_a_project.py").write_text(
        "import pyarrow as pa\n"
        "def negative(batch):\n"
        "    return pa.record_batch({'x': [-x for x in batch['x'].to_pylist()]})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    steps = importlib.import_module("steps_of_a_project")
    mapped = engine.map_batches(engine.from_arrow(pa.table({"x": [1, 2]})), steps.negative, schema=X)
    assert rows_of(engine, mapped) == [{"x": -1}, {"x": -2}]
    del sys.modules["steps_of_a_project"]


def test_a_stream_leaves_no_files(engine):
    stream = engine.to_arrow(engine.native.range(100_000))
    stream.read_next_batch()
    folder = Path(engine._cluster.shared_folder)
    assert len(list(folder.glob("spark-*/*.parquet"))) > 0
    stream.read_all()
    assert list(folder.glob("spark-*/*.parquet")) == []
