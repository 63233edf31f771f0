"""The contract of frame engines, as tests: subclass it with fixtures ``engine`` and ``catalog``."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from lakemill.catalog import Catalog
from lakemill.catalog.types import table_schema
from lakemill.core.errors import DuplicateKeyError, LakemillError, SchemaError, TaskError
from lakemill.engines.frames import Aggregate, AsOf, Frame, FrameEngine
from lakemill.testing.oracles import (
    FEATURES,
    SPINE,
    Row,
    aggregates_by_hand,
    asof_by_hand,
    or_none,
    ordered,
    random_asof,
)

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
EVERY_TYPE = pa.schema({
    "id": pa.int64(),
    "flag": pa.bool_(),
    "i8": pa.int8(),
    "i16": pa.int16(),
    "i32": pa.int32(),
    "f32": pa.float32(),
    "f64": pa.float64(),
    "text": pa.string(),
    "blob": pa.binary(),
    "day": pa.date32(),
    "time": UTC_MICROSECONDS,
    "price": pa.decimal128(12, 3),
    "wide": pa.decimal128(38, 10),
    "list": pa.list_(pa.list_(pa.field("element", pa.int32()))),
    "struct": pa.struct({"a": pa.string(), "b": pa.list_(pa.float64())}),
    "map": pa.map_(pa.string(), pa.int64()),
})  # fmt: skip
ONE_OF_EACH = {
    "id": 1,
    "flag": True,
    "i8": -128,
    "i16": 32767,
    "i32": -(2**31),
    "f32": 1.5,
    "f64": math.pi,
    "text": "naïve ✓ 'quoted'",
    "blob": b"\x00\xff",
    "day": dt.date(1969, 12, 31),
    "time": dt.datetime(1582, 10, 4, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    "price": decimal.Decimal("-0.001"),
    "wide": decimal.Decimal("1234567890123456789012345678.0123456789"),
    "list": [[1, None], None, []],
    "struct": {"a": None, "b": [0.5, None]},
    "map": [("x", 1), ("y", None)],
}
EMPTY_VALUES = {"id": 2, "text": "", "list": [], "map": [], "day": dt.date(9999, 12, 31), "f64": float("-inf")}


def rows_of(engine: FrameEngine, frame: Frame) -> list[Row]:
    """Return the rows of a frame in an order that depends on nothing but their values."""
    return ordered(engine.to_arrow(frame).read_all().to_pylist())


def _on(**changes: Any) -> AsOf:
    given: dict[str, Any] = {
        "keys": (("shop", "store"), ("item", "article")),
        "spine_time": "at",
        "feature_time": "since",
        "columns": (("price", "price"), ("name", "since")),
    }
    return AsOf(**given | changes)


def _double(batch: pa.RecordBatch) -> pa.RecordBatch:
    doubled = [None if value is None else 2 * value for value in batch["x"].to_pylist()]
    return pa.record_batch({"x": batch["x"], "twice": pa.array(doubled, pa.int64())})


def _summary(group: pa.Table) -> pa.Table:
    keys = {name: group[name][:1] for name in ("k", "j")}
    return pa.table({**keys, "n": [group.num_rows], "xs": [sorted(group["x"].to_pylist())]})


def _refuse(batch: pa.RecordBatch) -> pa.RecordBatch:
    raise ValueError(f"{batch['x'][0]} is refused")


def _other_columns(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.rename_columns(["z"])


class FrameEngineContract:
    """What every frame engine must do."""

    def test_values_of_every_type_come_back_as_they_were(self, engine: FrameEngine) -> None:
        """Types, nulls, nested values and instants before 1970 are equal after the round trip."""
        table = pa.Table.from_pylist([ONE_OF_EACH, EMPTY_VALUES, {"id": 3}], EVERY_TYPE)
        frame = engine.from_arrow(table)
        found = engine.to_arrow(frame).read_all()
        assert found.sort_by("id").to_pylist() == table.to_pylist()
        assert [str(kind) for kind in found.schema.types] == [str(kind) for kind in table_schema(EVERY_TYPE).types]
        assert engine.schema(frame).equals(found.schema)

    def test_other_arrow_types_become_those_of_tables(self, engine: FrameEngine) -> None:
        """Categories, unsigned integers and naive or local times arrive as they are stored."""
        local = dt.timezone(dt.timedelta(hours=2))
        table = pa.table({
            "c": pa.array(["a", None]).dictionary_encode(),
            "u": pa.array([2**32 - 1, 0], pa.uint32()),
            "n": pa.array(["2026-01-01T12:00"] * 2).cast(pa.timestamp("ms")),
            "z": pa.array([dt.datetime(2026, 1, 1, 12, tzinfo=local)] * 2, pa.timestamp("ns", tz="+02:00")),
        })  # fmt: skip
        found = engine.to_arrow(engine.from_arrow(table)).read_all()
        assert found.schema.types == [pa.string(), pa.int64(), UTC_MICROSECONDS, UTC_MICROSECONDS]
        assert found.slice(0, 1).to_pylist() == [
            {
                "c": "a",
                "u": 2**32 - 1,
                "n": dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC),
                "z": dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC),
            }
        ]

    def test_an_empty_frame_keeps_its_columns(self, engine: FrameEngine) -> None:
        """No rows, the same schema."""
        found = engine.to_arrow(engine.from_arrow(table_schema(EVERY_TYPE).empty_table())).read_all()
        assert found.num_rows == 0
        assert [str(kind) for kind in found.schema.types] == [str(kind) for kind in table_schema(EVERY_TYPE).types]

    def test_only_its_own_frames_are_frames(self, engine: FrameEngine) -> None:
        """Arrow data is no frame until it is made one."""
        table = pa.table({"x": [1]})
        assert engine.is_frame(engine.from_arrow(table))
        assert not engine.is_frame(table)

    def test_an_engine_that_has_answered_runs(self, engine: FrameEngine) -> None:
        """The planner counts no start for it."""
        engine.to_arrow(engine.sql("select 1 as n", {})).read_all()
        assert engine.running

    def test_sql_reads_the_frames_it_names(self, engine: FrameEngine) -> None:
        """Joins, quoted names, an own WITH and a comment at the end all work; case does not count."""
        left = engine.from_arrow(pa.table({"Item No": [1, 2, 2], "n": [10, 20, 21]}))
        right = engine.from_arrow(pa.table({"Item No": [2, 3], "name": ["b", "c"]}))
        query = 'with big as (select * from A where n > 10) select "Item No", n, name from big join b using ("Item No")'
        found = rows_of(engine, engine.sql(f"{query};  \n", {"a": left, "b": right}))
        assert found == [{"Item No": 2, "n": 20, "name": "b"}, {"Item No": 2, "n": 21, "name": "b"}]
        assert rows_of(engine, engine.sql("select count(*) as n from a -- all", {"a": left})) == [{"n": 3}]
        assert rows_of(engine, engine.sql("select 1 as n", {})) == [{"n": 1}]

    def test_equal_names_in_two_queries_do_not_mix(self, engine: FrameEngine) -> None:
        """A lazy frame keeps reading what its own query named."""
        first = engine.sql("select x from t", {"t": engine.from_arrow(pa.table({"x": [1]}))})
        second = engine.sql("select x from t", {"t": engine.from_arrow(pa.table({"x": [2]}))})
        assert rows_of(engine, first) == [{"x": 1}]
        assert rows_of(engine, engine.sql("select x from t union all select x from u", {"t": second, "u": first})) == [
            {"x": 1},
            {"x": 2},
        ]

    def test_the_order_of_a_query_holds(self, engine: FrameEngine) -> None:
        """ORDER BY is seen by whoever streams the result."""
        frame = engine.from_arrow(pa.table({"x": [3, 1, None, 2] * 50_000}))
        found = engine.to_arrow(engine.sql("select x from t order by x desc nulls last", {"t": frame})).read_all()
        assert found["x"].to_pylist() == [3] * 50_000 + [2] * 50_000 + [1] * 50_000 + [None] * 50_000

    @pytest.mark.parametrize(
        ("query", "wrong"), [("select y from t", "y"), ("select x from u", "u"), ("selec x", "selec")]
    )
    def test_sql_that_does_not_fit_is_refused(self, engine: FrameEngine, query: str, wrong: str) -> None:
        """An unknown column, an unknown frame, bad syntax: an error that names it."""
        with pytest.raises(SchemaError, match=wrong):
            engine.to_arrow(engine.sql(query, {"t": engine.from_arrow(pa.table({"x": [1]}))}))

    def test_streams_are_independent(self, engine: FrameEngine) -> None:
        """Other work goes on while a stream is open, and a frame can be read again."""
        frame = engine.from_arrow(pa.table({"x": range(300_000)}))
        outer = engine.to_arrow(engine.sql("select x from t where x % 2 = 0", {"t": frame}))
        seen = outer.read_next_batch().num_rows
        assert rows_of(engine, engine.sql("select count(*) as n from t", {"t": frame})) == [{"n": 300_000}]
        assert seen + sum(batch.num_rows for batch in outer) == 150_000

    @pytest.mark.parametrize("lookback", [None, 3 * 3600.0, 0.0])
    @pytest.mark.parametrize("ties", [False, True])
    def test_asof_join_equals_the_join_by_hand(self, engine: FrameEngine, ties: bool, lookback: float | None) -> None:
        """Ties, nulls, equal spine rows, two keys, a lookback: the rows that a look at all pairs gives."""
        spine, features = random_asof(7, ties=ties)
        on = _on(tie_break="made" if ties else None, lookback_seconds=lookback)
        joined = engine.asof_join(engine.from_arrow(spine), engine.from_arrow(features), on=on)
        expected = asof_by_hand(spine.to_pylist(), features.to_pylist(), on)
        assert rows_of(engine, joined) == ordered(expected)
        assert engine.schema(joined).names == ["shop", "item", "at", "price", "since"]

    def test_asof_join_takes_dates_and_numbers_as_time(self, engine: FrameEngine) -> None:
        """A date is its first instant; integers are compared as they are."""
        day, noon = dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
        on = AsOf(keys=(("k", "k"),), spine_time="t", feature_time="t", columns=(("v", "v"),), lookback_seconds=None)
        features = pa.table({"k": ["a", "a"], "t": [day - dt.timedelta(1), day], "v": [1, 2]})
        for time, value in ((noon, 2), (day, 2), (day - dt.timedelta(2), None), (noon - dt.timedelta(1), 1)):
            spine = pa.table({"k": ["a"], "t": pa.array([time], UTC_MICROSECONDS if time is noon else None)})
            joined = engine.asof_join(engine.from_arrow(spine), engine.from_arrow(features), on=on)
            assert [row["v"] for row in rows_of(engine, joined)] == [value]
        numbers = engine.from_arrow(pa.table({"k": ["a"] * 3, "t": pa.array([0, 5, 9], pa.int32())}))
        steps = engine.from_arrow(pa.table({"k": ["a", "a"], "t": [5, 7], "v": [50, 70]}))
        found = rows_of(engine, engine.asof_join(numbers, steps, on=on))
        assert [(row["t"], row["v"]) for row in found] == [(0, None), (5, 50), (9, 70)]

    @pytest.mark.parametrize(
        ("changes", "wrong"),
        [
            ({"keys": (("shopp", "store"),)}, "shop"),
            ({"feature_time": "sinse"}, "since"),
            ({"tie_break": "maid"}, "made"),
            ({"columns": (("prise", "p"),)}, "price"),
            ({"columns": (("price", "shop"),)}, "two columns named shop"),
            ({"keys": (("shop", "article"),)}, "is int64"),
            ({"spine_time": "item", "feature_time": "article", "lookback_seconds": 1.0}, "item"),
        ],
    )
    def test_asof_join_refuses_what_cannot_be_meant(
        self, engine: FrameEngine, changes: dict[str, Any], wrong: str
    ) -> None:
        """A column that is not there, a name twice, keys of two types: an error that names it."""
        spine, features = (engine.from_arrow(schema.empty_table()) for schema in (SPINE, FEATURES))
        with pytest.raises(SchemaError, match=wrong):
            engine.asof_join(spine, features, on=_on(**changes))

    def test_aggregates_equal_those_by_hand(self, engine: FrameEngine) -> None:
        """Sums, means and sample deviations of groups, null keys and null values included."""
        draw = random.Random(3)  # noqa: S311
        rows = [{"k": or_none(draw, draw.randrange(4)), "x": or_none(draw, draw.gauss(0, 9))} for _ in range(200)]
        frame = engine.from_arrow(pa.Table.from_pylist([*rows, {"k": 9, "x": 1.0}, {"k": 8, "x": None}]))
        operators: list[Any] = ["sum", "avg", "count", "min", "max", "stddev", "var"]
        wanted = [Aggregate(operator=operator, column="x", name=operator) for operator in operators]
        every = Aggregate(operator="count", column="*", name="rows")
        found = {row["k"]: row for row in rows_of(engine, engine.aggregate(frame, ["k"], aggregates=[*wanted, every]))}
        groups: dict[Any, list[Any]] = defaultdict(list)
        for row in [*rows, {"k": 9, "x": 1.0}, {"k": 8, "x": None}]:
            groups[row["k"]].append(row["x"])
        assert found.keys() == groups.keys()
        for key, values in groups.items():
            _assert_close(found[key], {"k": key, "rows": len(values), **aggregates_by_hand(values)})

    def test_types_of_aggregates(self, engine: FrameEngine) -> None:
        """Integers sum to int64, decimals stay exact, averages are double; no keys give one row."""
        frame = engine.from_arrow(
            pa.table({
                "i": pa.array([2**31 - 1, 1], pa.int32()),
                "d": pa.array([decimal.Decimal("0.10"), decimal.Decimal("0.25")], pa.decimal128(4, 2)),
                "t": ["b", "a"],
            })
        )  # fmt: skip
        wanted = [("sum", "i"), ("sum", "d"), ("avg", "i"), ("avg", "d"), ("min", "t"), ("max", "d"), ("min", "i")]
        aggregates = [Aggregate(operator=op, column=c, name=f"{op}_{c}") for op, c in wanted]  # type: ignore[arg-type]
        result = engine.aggregate(frame, [], aggregates=aggregates)
        assert [str(kind) for kind in engine.schema(result).types] == [
            "int64", "decimal128(38, 2)", "double", "double", "string", "decimal128(4, 2)", "int32"
        ]  # fmt: skip
        exact = decimal.Decimal
        assert [list(row.values()) for row in rows_of(engine, result)] == [
            [2**31, exact("0.35"), 2.0**30, pytest.approx(0.175), "a", exact("0.25"), 1]
        ]

    def test_aggregates_that_do_not_fit_are_refused(self, engine: FrameEngine) -> None:
        """A column that is not there, text to be summed, a name twice."""
        frame = engine.from_arrow(pa.table({"k": [1], "text": ["a"]}))
        for by, aggregate, wrong in (
            ("key", Aggregate(operator="count", column="*", name="n"), "no column 'key'"),
            ("k", Aggregate(operator="sum", column="text", name="n"), "it is string"),
            ("k", Aggregate(operator="sum", column="*", name="n"), "needs a column"),
            ("k", Aggregate(operator="count", column="*", name="K"), "two columns named k"),
        ):
            with pytest.raises(SchemaError, match=wrong):
                engine.aggregate(frame, [by], aggregates=[aggregate])

    def test_map_batches_sees_every_row_once(self, engine: FrameEngine) -> None:
        """Whatever the batches are, each row is given to the function once."""
        table = pa.table({"x": pa.array([*range(250_000), None], pa.int32())})
        mapped = engine.map_batches(
            engine.from_arrow(table), _double, schema=pa.schema({"twice": pa.int64(), "x": pa.int32()})
        )
        assert engine.schema(mapped).types == [pa.int64(), pa.int32()]
        found = engine.to_arrow(mapped).read_all().sort_by("x").to_pydict()
        assert found == {"twice": [*range(0, 500_000, 2), None], "x": [*range(250_000), None]}

    def test_map_groups_sees_every_group_whole_and_once(self, engine: FrameEngine) -> None:
        """Groups over many batches, of one row, with null in the key."""
        draw = random.Random(5)  # noqa: S311
        rows = [{"k": or_none(draw, draw.randrange(20)), "j": draw.choice("ab"), "x": i} for i in range(30_000)]
        rows += [{"k": 99, "j": "a", "x": i} for i in range(200_000)] + [{"k": 98, "j": None, "x": -1}]
        schema = pa.schema({"k": pa.int64(), "j": pa.string(), "n": pa.int64(), "xs": pa.list_(pa.int64())})
        mapped = engine.map_groups(
            engine.from_arrow(pa.Table.from_pylist(rows)), ["k", "j"], fn=_summary, schema=schema
        )
        expected: dict[tuple[Any, Any], list[int]] = defaultdict(list)
        for row in rows:
            expected[row["k"], row["j"]].append(row["x"])
        assert rows_of(engine, mapped) == ordered([
            {"k": k, "j": j, "n": len(xs), "xs": sorted(xs)} for (k, j), xs in expected.items()
        ])  # fmt: skip

    def test_maps_of_nothing_are_nothing(self, engine: FrameEngine) -> None:
        """An empty frame has no groups."""
        frame = engine.from_arrow(pa.schema({"k": pa.int64(), "j": pa.string(), "x": pa.int64()}).empty_table())
        schema = pa.schema({"k": pa.int64(), "j": pa.string(), "n": pa.int64(), "xs": pa.list_(pa.int64())})
        assert rows_of(engine, engine.map_groups(frame, ["k", "j"], fn=_summary, schema=schema)) == []
        with pytest.raises(SchemaError, match="no column 'kk'"):
            engine.map_groups(frame, ["kk"], fn=_summary, schema=schema)

    def test_what_a_function_raises_is_told(self, engine: FrameEngine, catalog: Catalog) -> None:
        """Its own words, not the engine's; nothing is written."""
        frame = engine.from_arrow(pa.table({"x": [7]}))
        mapped = engine.map_batches(frame, _refuse, schema=pa.schema({"x": pa.int64()}))
        with pytest.raises(TaskError, match="ValueError: 7 is refused"):
            engine.to_arrow(mapped).read_all()
        with pytest.raises(TaskError, match="ValueError: 7 is refused"):
            engine.write(mapped, catalog, name="main.test.refused")
        assert not catalog.exists("main.test.refused")
        other = engine.map_batches(frame, _other_columns, schema=pa.schema({"x": pa.int64()}))
        with pytest.raises(LakemillError, match="returned columns z; its schema has x"):
            engine.to_arrow(other).read_all()

    def test_written_rows_are_read_again(self, engine: FrameEngine, catalog: Catalog) -> None:
        """Every type survives a table; append adds, overwrite replaces, older versions stay."""
        table = pa.Table.from_pylist([ONE_OF_EACH, EMPTY_VALUES], EVERY_TYPE)
        write = _writer(engine, catalog, "main.test.types")
        first = write(table)
        write(table.slice(0, 1))
        last = write(table.slice(1), mode="overwrite")
        assert engine.to_arrow(engine.scan(first)).read_all().sort_by("id").to_pylist() == table.to_pylist()
        assert engine.to_arrow(engine.scan(last)).read_all().to_pylist() == table.slice(1).to_pylist()
        found = engine.schema(engine.scan(last))
        assert [str(kind) for kind in found.types] == [str(kind) for kind in table_schema(EVERY_TYPE).types]
        assert [len(rows_of(engine, engine.scan(catalog.ref(first.name, version=v)))) for v in (0, 1, 2, 3)] == [
            0, 2, 3, 1
        ]  # fmt: skip

    def test_a_table_may_be_written_from_itself(self, engine: FrameEngine, catalog: Catalog) -> None:
        """An overwrite reads the version that its frame was made of."""
        write = _writer(engine, catalog, "main.test.self")
        ref = write(pa.table({"x": [1, 2, 3]}))
        frame = engine.sql("select x + 1 as x from t", {"t": engine.scan(ref)})
        ref = engine.write(frame, catalog, name=ref.name, mode="overwrite")
        assert [row["x"] for row in rows_of(engine, engine.scan(ref))] == [2, 3, 4]

    def test_merge_updates_and_inserts_by_key(self, engine: FrameEngine, catalog: Catalog) -> None:
        """Keys that are there change, others are added; a key twice is refused and changes nothing."""
        write = _writer(engine, catalog, "main.test.merged")
        write(pa.table({"k": [1, 2], "v": ["a", "b"]}), mode="merge", keys=["k"])
        ref = write(pa.table({"k": [2, 3], "v": ["B", "c"]}), mode="merge")
        expected = [{"k": 1, "v": "a"}, {"k": 2, "v": "B"}, {"k": 3, "v": "c"}]
        assert rows_of(engine, engine.scan(ref)) == expected
        with pytest.raises(DuplicateKeyError, match="k=7"):
            write(pa.table({"k": [7, 7], "v": ["x", "y"]}), mode="merge")
        assert rows_of(engine, engine.scan(catalog.ref(ref.name))) == expected

    def test_columns_that_do_not_fit_are_refused(self, engine: FrameEngine, catalog: Catalog) -> None:
        """New, missing and retyped columns are named; `evolve` adds and fills."""
        write = _writer(engine, catalog, "main.test.evolved")
        write(pa.table({"x": [1], "y": ["a"]}))
        for table, wrong in (
            (pa.table({"x": [1], "y": ["a"], "z": [1]}), "new column 'z'"),
            (pa.table({"x": [1]}), "missing column 'y'"),
            (pa.table({"x": ["1"], "y": ["a"]}), "'x' is string"),
        ):
            with pytest.raises(SchemaError, match=wrong):
                write(table)
        write(pa.table({"z": [dt.date(2026, 1, 1)], "x": [2]}), evolve=True)
        ref = write(pa.table({"w": [0.5], "x": [3], "y": ["c"]}), evolve=True)
        rows = [(1, "a", None, None), (2, None, dt.date(2026, 1, 1), None), (3, "c", None, 0.5)]
        expected = [dict(zip("xyzw", row, strict=True)) for row in rows]
        assert rows_of(engine, engine.scan(ref)) == ordered(expected)

    def test_a_table_without_rows_has_its_columns(self, engine: FrameEngine, catalog: Catalog) -> None:
        """Typed as they were declared, also after a commit of no rows."""
        ref = catalog.create_table("main.test.bare", pa.schema({"x": pa.int16(), "t": UTC_MICROSECONDS}))
        assert engine.schema(engine.scan(ref)).types == [pa.int16(), UTC_MICROSECONDS]
        assert rows_of(engine, engine.scan(ref)) == []
        nothing = pa.schema({"x": pa.int16(), "t": UTC_MICROSECONDS}).empty_table()
        assert rows_of(engine, engine.scan(_writer(engine, catalog, ref.name)(nothing))) == []


def _writer(engine: FrameEngine, catalog: Catalog, name: str) -> Callable[..., Any]:
    return lambda table, **how: engine.write(engine.from_arrow(table), catalog, name=name, **how)


def _assert_close(found: Row, expected: Row) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value), name
