from __future__ import annotations

import pytest

from lakemill.cli.progress.board import Board
from lakemill.core.events import Event


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(["ingest", "train", "forecast"], clock=clock)


def states(board: Board) -> list[tuple[str, str]]:
    return [(stage.key, stage.state) for stage in board.stages]


def test_tasks_wait_in_the_order_of_the_job(board):
    assert states(board) == [("ingest", "waiting"), ("train", "waiting"), ("forecast", "waiting")]


def test_start_and_end_frame_a_task(board, clock):
    board.take(Event(kind="start", stage="ingest"))
    clock.now += 2.5
    stage = board.take(Event(kind="end", stage="ingest", text="5 rows"))
    clock.now += 60
    assert (stage.state, stage.text, stage.seconds(clock.now)) == ("ended", "5 rows", 2.5)


def test_a_stage_stands_behind_its_task_and_starts_it(board):
    board.take(Event(kind="progress", stage="train/backtest", done=1, total=4))
    assert states(board) == [
        ("ingest", "waiting"),
        ("train", "running"),
        ("train/backtest", "running"),
        ("forecast", "waiting"),
    ]
    stage = board.stages[2]
    assert (stage.task, stage.label, stage.depth) == ("train", "backtest", 1)


def test_the_end_of_a_task_ends_its_stages_only(board):
    for key in ("train/backtest", "trainer"):
        board.take(Event(kind="progress", stage=key, done=1))
    board.take(Event(kind="end", stage="train"))
    assert dict(states(board)) == {
        "ingest": "waiting",
        "train": "ended",
        "train/backtest": "ended",
        "forecast": "waiting",
        "trainer": "running",
    }


@pytest.mark.parametrize(("stage", "state"), [("train", "failed"), ("train/backtest", "ended")])
def test_a_task_fails_whole_a_stage_fails_in_units(board, stage, state):
    board.take(Event(kind="start", stage=stage))
    assert board.take(Event(kind="end", stage=stage, failed=1)).state == state


@pytest.mark.parametrize(("stage", "state"), [("train", "running"), ("train/backtest", "ended")])
def test_a_stage_ends_with_its_last_unit_a_task_by_its_word(board, stage, state):
    board.take(Event(kind="progress", stage=stage, done=3, total=4))
    assert board.take(Event(kind="progress", stage=stage, done=4, total=4)).state == state
    assert board.take(Event(kind="progress", stage=stage, done=1, total=4)).state == "running"


def test_notes_change_nothing(board):
    board.take(Event(kind="note", stage="train", text="not run"))
    assert states(board)[1] == ("train", "waiting")


def test_an_end_keeps_the_counts_of_the_last_progress(board):
    board.take(Event(kind="progress", stage="train", done=7, failed=2, total=9, unit="products"))
    stage = board.take(Event(kind="end", stage="train"))
    assert (stage.done, stage.failed, stage.total, stage.unit) == (7, 2, 9, "products")


def feed(board: Board, clock: Clock, *done: int, every: float = 1.0, total: int = 1000):
    for number in done:
        stage = board.take(Event(kind="progress", stage="train", done=number, total=total))
        clock.now += every
    clock.now -= every
    return stage


def test_rate_and_time_left(board, clock):
    stage = feed(board, clock, 0, 10, 20, 30)
    assert stage.per_second == 10
    assert stage.seconds_left(clock.now) == pytest.approx(97)
    assert stage.seconds_left(clock.now + 5) == pytest.approx(92)  # it runs down between events
    assert stage.seconds_left(clock.now + 500) == 0


def test_time_left_goes_by_the_share_of_the_work_where_units_differ_in_cost(board, clock):
    for done, share in ((0, 0.0), (9, 0.1), (18, 0.2)):
        stage = board.take(Event(kind="progress", stage="train", done=done, total=3000, share=share))
        clock.now += 10.0
    assert stage.seconds_left(clock.now - 10.0) == pytest.approx(80)


def test_one_figure_gives_no_rate(board, clock):
    stage = feed(board, clock, 400)
    assert (stage.per_second, stage.seconds_left(clock.now)) == (0, None)


def test_what_a_resumed_run_finds_done_is_no_speed(board, clock):
    assert feed(board, clock, 800, 802, 804).per_second == 2


def test_rate_is_that_of_the_last_half_minute(board, clock):
    fast = [100 * step for step in range(60)]
    slow = [fast[-1] + step for step in range(1, 60)]
    assert feed(board, clock, *fast, *slow, total=10_000).per_second == 1


def test_beginning_anew_forgets_the_rate(board, clock):
    assert feed(board, clock, 500, 600, 3, 5).per_second == 2


def test_times_never_go_negative_when_more_is_done_than_announced(board, clock):
    assert feed(board, clock, 1, 5, total=3).seconds_left(clock.now) is None
