"""Work that was done, beside what was predicted of it."""

from __future__ import annotations

import pytest

from lakemill.core.planning import Parts, within
from lakemill.metadata import Database
from lakemill.workspace.history import History, Prediction

WORK = {
    "work": "main.a.model",
    "kind": "ManyFits",
    "workers": 2,
    "items": 10,
    "rows": 100,
    "item_seconds": 8.0,
    "peak_bytes": 2**27,
}


def predicted(seconds: float, **changes) -> Prediction:
    facts = {"correction": 1.0, "basis": "history", "money": None, "parts": Parts(parallel=seconds)}
    return Prediction(seconds=within(seconds, 0.2), peak_bytes=within(2.0**27, 0.1), **{**facts, **changes})


@pytest.fixture
def history(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/metadata.db")
    yield History(database)
    database.close()


def test_what_was_written_down_is_read_back_whole(history):
    stages, money = {"fit": 4.5, "prepare": 0.5}, within(0.1, 0.2)
    kept = history.add(
        **WORK, lane="local", seconds=5.0, stages=stages, money=0.11, predicted=predicted(6, money=money)
    )
    assert history.newest("main.a.model") == (kept,)
    assert history.newest("main.b.model") == ()


@pytest.mark.parametrize(
    ("seconds", "inside", "surprising"),
    [(10.0, True, False), (12.0, True, False), (12.1, False, False), (15.1, False, True), (6.0, False, True)],
)
def test_a_tenth_lies_outside_and_only_what_is_far_is_a_surprise(history, seconds, inside, surprising):
    past = history.add(**WORK, lane="local", seconds=seconds, predicted=predicted(10.0))
    assert (past.inside, past.surprising) == (inside, surprising)


def test_predictions_have_a_track_by_kind_and_lane(history):
    for seconds in (8.0, 10.0, 20.0):
        history.add(**WORK, lane="local", seconds=seconds, predicted=predicted(10.0))
    history.add(**WORK, lane="ray", seconds=9.0, predicted=predicted(10.0, basis="assumed"))
    (track,) = history.tracks()
    assert (track.kind, track.lane, track.runs) == ("ManyFits", "local", 3)
    assert (track.median_error, track.inside) == pytest.approx((0.0, 2 / 3))
    assert track.correction == pytest.approx((0.8 * 1.0 * 2.0) ** (1 / 4))


def test_what_was_only_assumed_surprises_nobody(history):
    past = history.add(**WORK, lane="local", seconds=99.0, predicted=predicted(10.0, basis="assumed"))
    assert (past.inside, past.surprising) == (False, False)


def test_predictions_teach_their_own_lane_without_their_corrections(history):
    history.add(**WORK, lane="local", seconds=12.0, predicted=predicted(10.0))
    history.add(**WORK, lane="local", seconds=12.0, predicted=predicted(12.0, correction=1.2))
    history.add(**WORK, lane="ray", seconds=30.0, predicted=predicted(10.0))
    history.add(**WORK, lane="local", seconds=99.0, predicted=predicted(10.0, basis="assumed"))
    history.add(**WORK, lane="local", seconds=99.0, predicted=None)
    assert history.ratios("ManyFits", "local") == pytest.approx((1.2, 1.2))
    assert history.ratios("ManyFits", "ray") == pytest.approx((3.0,))
    assert history.ratios("Search", "local") == ()
