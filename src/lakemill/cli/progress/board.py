"""Where every task of a run stands, told by events; no drawing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from lakemill.core.events import Event

Clock = Callable[[], float]
State = Literal["waiting", "running", "ended", "failed"]

RATE_WINDOW_SECONDS: Final = 30.0


@dataclass(kw_only=True)
class Stage:
    """A task, or a stage within one, whose key is then ``task/stage``."""

    key: str
    state: State = "waiting"
    done: int = 0
    failed: int = 0
    total: int = 0
    unit: str = ""
    text: str = ""
    started: float = 0.0
    ended: float = 0.0
    share: float = 0.0
    samples: deque[tuple[float, int, float]] = field(default_factory=deque)

    @property
    def task(self) -> str:
        """The task that it belongs to."""
        return self.key.partition("/")[0]

    @property
    def label(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def depth(self) -> int:
        """How deep it is nested, 0 for a task."""
        return self.key.count("/")

    def seconds(self, now: float) -> float:
        """Return how long it has taken."""
        return 0.0 if self.state == "waiting" else (self.ended or now) - self.started

    @property
    def per_second(self) -> float:
        """Units a second over the last half minute, 0 while unknown."""
        if len(self.samples) < 2:
            return 0.0
        (since, before, _), (until, after, _) = self.samples[0], self.samples[-1]
        return (after - before) / (until - since) if until > since else 0.0

    def seconds_left(self, now: float) -> float | None:
        """Return how long the rest of the work will take at its pace so far, None while unknown."""
        if len(self.samples) < 2 or self.done > self.total:
            return None
        (since, _, before), (until, _, after) = self.samples[0], self.samples[-1]
        if after <= before:
            return None
        return max(0.0, (1 - after) * (until - since) / (after - before) - (now - until))


class Board:
    """The stages of a run, in the order of the job and of their first event.

    Parameters
    ----------
    tasks
        Keys of the tasks, known before the first event.
    clock
        Seconds that only grow.
    """

    def __init__(self, tasks: Sequence[str] = (), *, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._stages = {key: Stage(key=key) for key in tasks}
        self._turn = threading.Lock()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages, those within a task behind it."""
        with self._turn:
            return tuple(self._stages.values())

    def take(self, event: Event) -> Stage:
        """Enter an event and return the stage that it is about."""
        with self._turn:
            stage = self._stage(event.stage)
            if event.kind != "note":
                self._enter(stage, event)
            return stage

    def _stage(self, key: str) -> Stage:
        if key not in self._stages:
            if "/" in key:
                self._begin(self._stage(key.rpartition("/")[0]))
            self._stages[key] = Stage(key=key)
            order = list(dict.fromkeys(stage.task for stage in self._stages.values()))
            self._stages = dict(sorted(self._stages.items(), key=lambda item: order.index(item[1].task)))
        return self._stages[key]

    def _begin(self, stage: Stage) -> None:
        if stage.state != "running":
            stage.state, stage.started, stage.ended = "running", self.clock(), 0.0

    def _enter(self, stage: Stage, event: Event) -> None:
        self._begin(stage)
        if event.kind != "end":
            stage.done, stage.failed, stage.total = event.done, event.failed, event.total
            stage.share = event.done / event.total if event.share is None and event.total else event.share or 0.0
        stage.unit, stage.text = event.unit or stage.unit, event.text or stage.text
        if event.kind == "progress":
            self._sample(stage)
        full = stage.depth > 0 and 0 < stage.total <= stage.done  # only tasks are sure to tell their end
        if event.kind == "end" or full:
            self._finish(stage, failed=bool(event.failed) and not stage.depth)  # in a stage, units fail

    def _sample(self, stage: Stage) -> None:
        now = self.clock()
        if stage.samples and stage.done < stage.samples[-1][1]:  # it began anew
            stage.samples.clear()
        stage.samples.append((now, stage.done, stage.share))
        while len(stage.samples) > 2 and stage.samples[1][0] < now - RATE_WINDOW_SECONDS:
            stage.samples.popleft()

    def _finish(self, stage: Stage, *, failed: bool) -> None:
        for other in self._stages.values():
            within = other is stage or other.key.startswith(f"{stage.key}/")
            if within and other.state == "running":
                other.state, other.ended = "ended", self.clock()
        if failed:
            stage.state = "failed"
