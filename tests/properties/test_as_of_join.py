"""An as-of join never sees the future, keeps every spine row, and equals brute force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from lakemill.engines.frames import AsOf
from lakemill.engines.frames.local import LocalFrames

START = datetime(2026, 1, 1, tzinfo=UTC)
INSTANTS = st.none() | st.integers(0, 4).map(lambda hours: START + timedelta(hours=hours))
KEYS = st.sampled_from(["a", "a", "a", "b", None])
PARTS = st.sampled_from([0, 0, 0, 1, None])
SPINES = st.just([]) | st.lists(st.tuples(KEYS, PARTS, INSTANTS), min_size=6, max_size=12)
FEATURES = st.just([]) | st.lists(
    st.tuples(KEYS, PARTS, INSTANTS, st.integers(0, 3), st.none() | st.integers(0, 99)),
    min_size=6,
    max_size=12,
    unique_by=lambda row: row[:4],
)
WINDOWS = st.none() | st.integers(0, 4).map(lambda hours: 3600.0 * hours)
CASES = {"spine": SPINES, "features": FEATURES, "window": WINDOWS}


def expected(spine: list[tuple], features: list[tuple], window: float | None) -> list[tuple]:
    """Look at every feature row for every spine row: O(n m), no cleverness."""
    joined = []
    for number, (key, part, at) in enumerate(spine):
        known = [
            row for row in features if None not in (key, part, at, row[2]) and row[:2] == (key, part) and row[2] <= at
        ]
        latest = max(known, key=lambda row: row[2:4], default=None)
        if latest and window is not None and (at - latest[2]).total_seconds() > window:
            latest = None
        joined.append((number, None if latest is None else latest[4]))
    return joined


def joined(engine: LocalFrames, spine: list[tuple], features: list[tuple], window: float | None) -> list[tuple]:
    instants = pa.timestamp("us", tz="UTC")
    spine_types = [("key", pa.string()), ("part", pa.int64()), ("moment", instants)]
    rows = pa.table(
        [pa.array([row[i] for row in spine], t) for i, (_, t) in enumerate(spine_types)], ["key", "part", "moment"]
    )
    feature_types = [*spine_types, ("created", pa.int64()), ("value", pa.int64())]
    known = pa.table(
        [pa.array([row[i] for row in features], t) for i, (_, t) in enumerate(feature_types)],
        ["key", "part", "moment", "created", "value"],
    )
    on = AsOf(
        keys=(("key", "key"), ("part", "part")),
        spine_time="moment",
        feature_time="moment",
        columns=(("value", "found"),),
        tie_break="created",
        lookback_seconds=window,
    )
    numbered = rows.add_column(0, "number", pa.array(range(len(spine)), pa.int64()))
    frame = engine.asof_join(engine.from_arrow(numbered), engine.from_arrow(known), on=on)
    table = engine.to_arrow(frame).read_all()
    return sorted(zip(table["number"].to_pylist(), table["found"].to_pylist(), strict=True))


@pytest.fixture(scope="module")
def engine():
    engine = LocalFrames()
    yield engine
    engine.close()


def equals_brute_force(engine, spine, features, window):
    assert joined(engine, spine, features, window) == expected(spine, features, window)


def ignores_the_future(engine, spine, features, window, instant):
    past = [row for row in features if row[2] is None or row[2] <= instant]
    before = [number for number, row in enumerate(spine) if row[2] is not None and row[2] <= instant]
    with_future = dict(joined(engine, spine, features, window))
    without = dict(joined(engine, spine, past, window))
    assert [with_future[number] for number in before] == [without[number] for number in before]


def examples(check, engine, **more):
    """Run a check on the same cases every time, so that a mutant which lives is no bad luck."""
    quick = settings(max_examples=80, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    return quick(given(engine=st.just(engine), **CASES, **more)(check))


def test_as_of_join_equals_brute_force(engine):
    """Ties of key and time go to the latest created, late rows count only from their own time, nulls match nothing."""
    examples(equals_brute_force, engine)()


def test_what_becomes_known_later_changes_nothing_before(engine):
    """Drop all features after an instant: the rows up to that instant stay as they were."""
    examples(ignores_the_future, engine, instant=INSTANTS.filter(bool))()


class Leaking(LocalFrames):
    """Looks one hour ahead, as a join on the day instead of the instant would."""

    def asof_join(self, spine, features, *, on):
        early = self.sql("select * replace (moment - interval 1 hour as moment) from f", {"f": features})
        return super().asof_join(spine, early, on=on)


class FirstCreated(LocalFrames):
    """Forgets the tie-break."""

    def asof_join(self, spine, features, *, on):
        return super().asof_join(
            spine, self.sql("select * replace (-created as created) from f", {"f": features}), on=on
        )


class Dropping(LocalFrames):
    """Loses spine rows that have no feature."""

    def asof_join(self, spine, features, *, on):
        return self.sql("select * from j where found is not null", {"j": super().asof_join(spine, features, on=on)})


@pytest.mark.parametrize(
    ("mutant", "test"),
    [
        (Leaking, test_as_of_join_equals_brute_force),
        (Leaking, test_what_becomes_known_later_changes_nothing_before),
        (FirstCreated, test_as_of_join_equals_brute_force),
        (Dropping, test_as_of_join_equals_brute_force),
    ],
)
def test_a_wrong_join_is_caught(mutant, test):
    engine = mutant()
    with pytest.raises((AssertionError, KeyError)):
        test(engine)
    engine.close()
