"""Progress as plain lines, for logs and pipes."""

from __future__ import annotations

import threading
from typing import Final, TextIO

from lakemill.cli.progress.board import Board, Stage
from lakemill.cli.wording import duration, rate
from lakemill.core.events import Event

SECONDS_BETWEEN_LINES: Final = 5.0


class Lines:
    """Writes one line per change of state, and one line of progress in five seconds at most.

    Parameters
    ----------
    board
        Where the run stands; its clock counts from the first event.
    stream
        Takes the lines.
    """

    def __init__(self, board: Board, stream: TextIO) -> None:
        self._board = board
        self._stream = stream
        self._started = board.clock()
        self._last = self._started
        self._turn = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take an event, and write a line if it is time."""
        with self._turn:
            stage = self._board.take(event)
            text = self._text(event, stage)
            if text:
                elapsed = self._board.clock() - self._started
                who = f"{stage.key}: " if stage.key else ""
                body = text.replace("\n", f"\n{'':11}")
                self._stream.write(f"{elapsed:7.1f} s  {who}{body}\n")
                self._stream.flush()

    def _text(self, event: Event, stage: Stage) -> str:
        now = self._board.clock()
        if event.kind == "note":
            return event.text
        if event.kind == "start":
            return f"started{f': {event.text}' if event.text else ''}"
        if event.kind == "end":
            return f"{event.text or ended(stage)} ({duration(stage.seconds(now))})"
        if now - self._last < SECONDS_BETWEEN_LINES:
            return ""
        self._last = now
        return facts(stage, now) or event.text


def facts(stage: Stage, now: float, *, width: int = 1000) -> str:
    """Return how far a stage is: counts, failures, rate and time left, the rate and the unit only if there is room."""
    text = ""
    for with_unit, with_rate in ((True, True), (True, False), (False, False)):
        text = " · ".join(filter(None, _facts(stage, now, with_unit=with_unit, with_rate=with_rate)))
        if len(text) <= width:
            break
    return text


def _facts(stage: Stage, now: float, *, with_unit: bool, with_rate: bool) -> tuple[str, ...]:
    left = stage.seconds_left(now) if stage.total else None
    return (
        counts(stage, unit=stage.unit if with_unit else "") if stage.total or stage.done else "",
        f"{stage.failed:,} failed" if stage.failed else "",
        rate(stage.per_second) if with_rate and stage.per_second > 0 else "",
        f"{duration(left)} left" if left else "",
    )


def counts(stage: Stage, *, unit: str) -> str:
    """Return what is done, of how much."""
    of = f" of {stage.total:,}" if stage.total else ""
    return f"{stage.done:,}{of} {unit}".rstrip()


def ended(stage: Stage) -> str:
    """Return what came of a stage that does not say it itself."""
    failed = f", {stage.failed:,} failed" if stage.failed else ""
    return f"{counts(stage, unit=stage.unit)}{failed}" if stage.done else "done"
