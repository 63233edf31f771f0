"""The local engine: what its frames hold on to, how much it takes, what it leaves behind."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

import deltalake
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakemill.core.errors import EngineError, SchemaError, StorageError, TaskError
from lakemill.core.records import ClusterSpec, TableRef
from lakemill.engines.frames import AsOf
from lakemill.engines.frames.local import LocalFrames
from lakemill.testing.frames import rows_of
from lakemill.testing.oracles import asof_by_hand, ordered, random_asof

TWICE = pa.schema({"x": pa.int64()})
table_of_the_module = pd.DataFrame({"x": [666]})


@pytest.fixture
def engine():
    engine = LocalFrames()
    yield engine
    engine.close()


def _twice(batch):
    return pa.record_batch({"x": pc.multiply(batch["x"], 2)})


def _views(engine):
    return [name for (name,) in engine.native.sql("select view_name from duckdb_views() where not internal").fetchall()]


def _stored(folder, *tables):
    for table in tables:
        deltalake.write_deltalake(str(folder), table, mode="append")
    return TableRef(name="main.test.t", location=str(folder), version=len(tables) - 1, columns=())


class TestFrames:
    def test_a_frame_keeps_alive_what_it_reads(self, engine):
        def frame():
            table = pa.table({"x": range(1000)})
            mapped = engine.map_batches(engine.from_arrow(table), _twice, schema=TWICE)
            return engine.sql("select * from t where x >= 10", {"t": mapped})

        found = frame()
        gc.collect()
        ballast = [pa.table({"x": range(1000)}) for _ in range(50)]
        assert len(ballast) == 50
        assert [row["x"] for row in rows_of(engine, found)] == sorted(
            range(10, 2000, 2), key=lambda x: repr([("x", x)])
        )

    def test_data_goes_with_the_last_frame_over_it(self, engine):
        before = pa.total_allocated_bytes()
        frame = engine.map_batches(engine.from_arrow(pa.table({"x": range(1_000_000)})), _twice, schema=TWICE)
        assert engine.to_arrow(frame).read_next_batch().num_rows > 0
        assert pa.total_allocated_bytes() - before > 4_000_000
        del frame
        gc.collect()
        engine.to_arrow(engine.from_arrow(pa.table({"x": [1]})))
        gc.collect()
        assert pa.total_allocated_bytes() - before < 1_000_000
        assert _views(engine) == []

    def test_a_frame_can_be_read_again_and_a_map_runs_anew(self, engine):
        calls = []

        def counted(batch):
            calls.append(batch.num_rows)
            return batch

        frame = engine.map_batches(engine.from_arrow(pa.table({"x": [1, 2]})), counted, schema=TWICE)
        assert calls == []
        assert rows_of(engine, frame) == rows_of(engine, frame) == [{"x": 1}, {"x": 2}]
        assert calls == [2, 2]

    def test_variables_of_the_caller_are_no_tables(self, engine):
        table_of_the_caller = pd.DataFrame({"x": [666]})
        assert len(table_of_the_caller) == len(table_of_the_module)
        for name in ("table_of_the_caller", "table_of_the_module", "frames", "query", "pa"):
            with pytest.raises(SchemaError, match=f"{name} does not exist"):
                engine.sql(f"select * from {name}", {})

    def test_tables_of_the_connection_do_not_stand_for_named_frames(self, engine):
        engine.native.execute("create table t as select 666 as x")
        assert rows_of(engine, engine.sql("select x from t", {"t": engine.from_arrow(pa.table({"x": [1]}))})) == [
            {"x": 1}
        ]
        assert rows_of(engine, engine.sql("select x from t", {})) == [{"x": 666}]

    def test_only_one_select_is_taken(self, engine):
        for query in ("create table t as select 1", "select 1; select 2", "drop table t", ""):
            with pytest.raises(SchemaError):
                engine.sql(query, {})

    def test_a_stream_may_be_dropped_half_way(self, engine):
        frame = engine.from_arrow(pa.table({"x": range(500_000)}))
        engine.to_arrow(frame).read_next_batch()
        gc.collect()
        assert engine.to_arrow(frame).read_all().num_rows == 500_000

    def test_values_that_a_query_cannot_compute_are_an_error_in_the_middle_of_a_stream(self, engine):
        frame = engine.from_arrow(pa.table({"x": ["1"] * 300_000 + ["one"]}))
        stream = engine.to_arrow(engine.sql("select x::int as x from t", {"t": frame}))
        with pytest.raises(EngineError, match=r"^DuckDB: Conversion Error: Could not convert string 'one' to INT32"):
            stream.read_all()

    def test_an_error_belongs_to_its_own_stream(self, engine):
        def refuse(batch):
            raise LookupError("no such thing")

        frame = engine.from_arrow(pa.table({"x": [1]}))
        with pytest.raises(TaskError, match=r"^LookupError: no such thing$") as caught:
            engine.to_arrow(engine.map_batches(frame, refuse, schema=TWICE)).read_all()
        assert isinstance(caught.value.__cause__, LookupError)
        bad = engine.sql("select 'x'::int as x from t", {"t": frame})
        with pytest.raises(EngineError, match="Conversion Error"):
            engine.to_arrow(bad).read_all()

    def test_maps_nest(self, engine):
        frame = engine.from_arrow(pa.table({"x": range(200_000)}))
        once = engine.map_batches(frame, _twice, schema=TWICE)
        twice = engine.map_batches(
            engine.sql("select a.x from a join b using (x)", {"a": once, "b": frame}), _twice, schema=TWICE
        )
        assert pc.sum(engine.to_arrow(twice).read_all()["x"]).as_py() == sum(range(0, 400_000, 4))


class TestScan:
    def test_a_folder_by_uri_is_read_through_the_file_system_of_the_table(self, engine, tmp_path):
        ref = _stored(tmp_path / "t", pa.table({"x": [1, 2]}), pa.table({"x": [3]}))
        remote = TableRef(name=ref.name, location=(tmp_path / "t").as_uri(), version=0, columns=())
        assert rows_of(engine, engine.scan(remote)) == [{"x": 1}, {"x": 2}]

    def test_patterns_in_folder_names_are_names(self, engine, tmp_path):
        _stored(tmp_path / "x?", pa.table({"x": [666]}))
        ref = _stored(tmp_path / "x*", pa.table({"x": [1]}))
        assert rows_of(engine, engine.scan(ref)) == [{"x": 1}]

    def test_folders_that_look_like_partitions_add_no_column(self, engine, tmp_path):
        ref = _stored(tmp_path / "year=2026", pa.table({"x": [1]}))
        assert rows_of(engine, engine.scan(ref)) == [{"x": 1}]

    @pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"no parquet, not at all"), Path.unlink])
    def test_a_damaged_or_missing_file_is_named(self, engine, tmp_path, spoil):
        ref = _stored(tmp_path / "t", pa.table({"x": [1]}))
        (path,) = (tmp_path / "t").glob("*.parquet")
        spoil(path)
        with pytest.raises(StorageError, match=path.name):
            rows_of(engine, engine.scan(ref))


class TestResources:
    def test_more_than_the_memory_allows_is_spilled(self, monkeypatch, tmp_path):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        engine = LocalFrames(ClusterSpec(memory_bytes_per_worker=64 * 2**20, cpus_per_worker=1))
        numbers = engine.native.sql("select (hash(x) // 2)::bigint as h, x from range(6_000_000) t(x)")
        largest = 0
        last = -1
        for batch in engine.to_arrow(engine.sql("select * from t order by h", {"t": numbers})):
            assert pc.min(batch["h"]).as_py() >= last
            last = pc.max(batch["h"]).as_py()
            largest = max(largest, sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()))
        assert largest > 2**20
        engine.close()
        gc.collect()
        assert list(tmp_path.iterdir()) == []

    def test_what_cannot_be_spilled_is_an_error_that_says_so(self):
        engine = LocalFrames(ClusterSpec(memory_bytes_per_worker=64 * 2**20))
        with pytest.raises(EngineError, match="Out of Memory") as caught:
            rows_of(engine, engine.native.sql("select list(x) as x from range(50_000_000) t(x)"))
        assert "memory" in caught.value.hint
        engine.close()

    def test_settings_reach_duckdb(self):
        engine = LocalFrames(ClusterSpec(memory_bytes_per_worker=2**28, cpus_per_worker=3))
        wanted = "select current_setting('threads'), current_setting('memory_limit'), current_setting('timezone')"
        assert engine.native.sql(wanted).fetchall() == [(3, "256.0 MiB", "UTC")]
        assert engine.native.cursor().sql("select current_setting('timezone')").fetchall() == [("UTC",)]
        engine.close()

    def test_nothing_is_left_where_it_ran_and_it_can_be_used_again(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        engine = LocalFrames()
        for _ in range(2):
            assert rows_of(engine, engine.from_arrow(pa.table({"x": [1]}))) == [{"x": 1}]
            engine.close()
        engine.close()
        assert list(tmp_path.iterdir()) == []


@given(seed=st.integers(0, 10**9), ties=st.booleans(), lookback=st.sampled_from([None, 0.0, 1e-6, 3600.0, 86_400.0]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_asof_join_never_sees_the_future_nor_misses_the_past(engine, seed, ties, lookback):
    spine, features = random_asof(seed, ties=ties)
    on = AsOf(
        keys=(("shop", "store"), ("item", "article")),
        spine_time="at",
        feature_time="since",
        columns=(("price", "price"), ("since", "since"), ("made", "made")),
        tie_break="made" if ties else None,
        lookback_seconds=lookback,
    )
    joined = rows_of(engine, engine.asof_join(engine.from_arrow(spine), engine.from_arrow(features), on=on))
    assert joined == ordered(asof_by_hand(spine.to_pylist(), features.to_pylist(), on))


def test_an_engine_runs_from_its_first_verb_until_it_is_closed(engine):
    assert not engine.running
    engine.sql("select 1 as n", {})
    assert engine.running
    engine.close()
    assert not engine.running
