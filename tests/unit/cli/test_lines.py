from __future__ import annotations

import io

from lakemill.cli.progress.board import Board
from lakemill.cli.progress.lines import Lines, facts
from lakemill.core.events import Event
from tests.unit.cli.test_board import Clock


def told(*events: tuple[float, Event]) -> list[str]:
    clock, stream = Clock(), io.StringIO()
    lines = Lines(Board(["train"], clock=clock), stream)
    for seconds, event in events:
        clock.now = 100 + seconds
        lines(event)
    return stream.getvalue().splitlines()


def progress(done: int, **more) -> Event:
    return Event(kind="progress", stage="train", done=done, total=400, unit="products", **more)


def test_one_line_per_change_of_state():
    assert told(
        (0, Event(kind="note", text="run 7 is queued")),
        (1, Event(kind="start", stage="train")),
        (2, Event(kind="note", stage="train", text="trying again")),
        (3.5, Event(kind="end", stage="train", text="champion moved")),
    ) == [
        "    0.0 s  run 7 is queued",
        "    1.0 s  train: started",
        "    2.0 s  train: trying again",
        "    3.5 s  train: champion moved (2.5 s)",
    ]


def test_progress_is_told_every_five_seconds_at_most():
    lines = told(*[(second / 10, progress(second)) for second in range(171)])
    assert [line.split(" s ")[0].strip() for line in lines] == ["5.0", "10.0", "15.0"]
    assert lines[0] == "    5.0 s  train: 50 of 400 products · 10/s · 35 s left"


def test_failures_are_told():
    assert "1,000 failed" in told((6, progress(1200, failed=1000)))[0]


def test_an_end_without_words_tells_the_counts():
    lines = told((0, progress(400, failed=3)), (1, Event(kind="end", stage="train")))
    assert lines == ["    1.0 s  train: 400 of 400 products, 3 failed (1.0 s)"]


def test_further_lines_are_indented():
    assert told((0, Event(kind="note", stage="train", text="one\ntwo"))) == [
        "    0.0 s  train: one",
        "           two",
    ]


def test_facts_give_way_in_order_where_there_is_no_room():
    clock = Clock()
    board = Board(clock=clock)
    board.take(progress(0))
    clock.now += 10
    stage = board.take(progress(100, failed=2))
    assert facts(stage, clock.now) == "100 of 400 products · 2 failed · 10/s · 30 s left"
    assert facts(stage, clock.now, width=45) == "100 of 400 products · 2 failed · 30 s left"
    assert facts(stage, clock.now, width=40) == "100 of 400 · 2 failed · 30 s left"
