from __future__ import annotations

import pytest

from lakemill.cli.progress.board import Board
from lakemill.cli.progress.live import rows
from lakemill.core.events import Event
from tests.unit.cli.test_board import Clock


@pytest.fixture
def board() -> Board:
    clock = Clock()
    board = Board(["ingest", "train", "forecast"], clock=clock)
    board.take(Event(kind="start", stage="ingest"))
    clock.now += 2.1
    board.take(Event(kind="end", stage="ingest", text="541,909 rows, 14,184 in quarantine"))
    board.take(Event(kind="start", stage="train"))
    board.take(Event(kind="progress", stage="train/backtest", done=0, total=3732, unit="products"))
    clock.now += 65
    board.take(Event(kind="progress", stage="train/backtest", done=2463, failed=2, total=3732, unit="products"))
    return board


def drawn(board: Board, width: int = 100, height: int = 20) -> list[str]:
    return [str(row).rstrip() for row in rows(board, width=width, height=height)]


def test_tasks_stages_and_figures(board):
    ingest, train, backtest, forecast = drawn(board)
    assert ingest.startswith("✓ ingest      541,909 rows, 14,184 in quarantine   ")
    assert ingest.endswith("   2.1 s")
    assert train[1:].startswith(" train")
    assert train.endswith("1 min 05 s")
    assert backtest[1:].startswith("   backtest  ━")
    assert " 66%  2,463 of 3,732 products · 2 failed · 33 s left" in backtest
    assert forecast == "· forecast"


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40])
def test_every_line_is_as_wide_as_asked(board, width):
    assert {row.cell_len for row in rows(board, width=width, height=20)} == {width}


def test_a_bar_is_filled_by_its_share(board):
    backtest = rows(board, width=140, height=20)[2]
    bars = [
        (span.style, span.end - span.start) for span in backtest.spans if "━" in str(backtest)[span.start : span.end]
    ]
    assert bars == [("cyan", 16), ("bright_black", 8)]  # 66 % of 24


def test_failures_are_red(board):
    backtest = rows(board, width=140, height=20)[2]
    assert "2 failed" in [str(backtest)[span.start : span.end] for span in backtest.spans if span.style == "red"]


def test_stages_of_an_ended_task_are_put_away(board):
    board.take(Event(kind="end", stage="train", failed=1, text="ValueError: boom\nsecond line"))
    _, train, forecast = rows(board, width=100, height=20)
    assert str(train).startswith("✗ train     ValueError: boom   ")
    assert "second line" not in str(train)
    assert str(forecast).startswith("· forecast")


def test_what_runs_stays_in_sight_of_a_low_terminal():
    clock = Clock()
    board = Board([f"task{number}" for number in range(50)], clock=clock)
    for number in range(30):
        clock.now += 1
        board.take(Event(kind="end", stage=f"task{number}"))
    board.take(Event(kind="start", stage="task40"))
    lines = drawn(board, height=5)
    assert [line.split()[1] for line in lines[:-1]] == ["task27", "task28", "task29", "task40"]
    assert lines[-1] == "  … and 46 more"
