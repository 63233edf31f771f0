"""The contract of task engines, as tests: subclass it with a fixture ``engine``."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

from lakemill.core.records import Resources
from lakemill.engines.tasks import Attempt, Outcome, Task, TaskEngine

ONE_CPU = Resources(cpus=1)
LIMIT_BYTES = 2**29


def _square(value: int, _attempt: Attempt) -> int:
    return value * value


def _threads(_payload: None, _attempt: Attempt) -> str:
    return os.environ["OMP_NUM_THREADS"]


def _fails_on_three(value: int, _attempt: Attempt) -> int:
    if value == 3:
        raise ValueError("three is refused")
    return value


def _poisoned(items: list[str], attempt: Attempt) -> dict[str, str]:
    """Work through items; the verdict on those that ended an earlier attempt is taken as their result."""
    results = dict[str, str]()
    for item in items:
        if (failure := attempt.verdict(item)) is not None:
            results[item] = failure.kind
            continue
        attempt.at(item)
        results[item] = POISONS.get(item, _fine)()
    return results


def _fine() -> str:
    return "fine"


def _hang() -> str:
    ctypes.CDLL(None).sleep(600)  # C code that holds on, whatever Python would like
    return "woke"


def _die() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


def _grow() -> str:
    held = bytearray()
    while len(held) < 4 * LIMIT_BYTES:
        held.extend(b"\1" * 2**24)
    return "grew"


POISONS = {"hang": _hang, "die": _die, "grow": _grow}


def by_key(outcomes: Iterator[Outcome]) -> dict[str, Outcome]:
    """Return outcomes by key; a key that comes twice is a broken contract."""
    found: dict[str, Outcome] = {}
    for outcome in outcomes:
        assert outcome.key not in found, f"{outcome.key} came twice"
        found[outcome.key] = outcome
    return found


class TaskEngineContract:
    """What every task engine must do."""

    def test_every_task_has_one_outcome(self, engine: TaskEngine) -> None:
        """One outcome a task, with the function's value."""
        tasks = [Task(key=str(n), payload=n) for n in range(40)]
        found = by_key(engine.map_tasks(_square, tasks, each=ONE_CPU))
        assert {key: outcome.value for key, outcome in found.items()} == {str(n): n * n for n in range(40)}
        assert all(o.failure is None and o.attempts == 1 and o.peak_bytes > 2**20 for o in found.values())

    def test_no_tasks_no_outcomes(self, engine: TaskEngine) -> None:
        """An empty iterable gives an empty iterator."""
        assert list(engine.map_tasks(_square, [], each=ONE_CPU)) == []

    def test_an_exception_is_an_outcome(self, engine: TaskEngine) -> None:
        """A raising task does not stop its neighbours and keeps its traceback."""
        tasks = [Task(key=str(n), payload=n) for n in range(6)]
        found = by_key(engine.map_tasks(_fails_on_three, tasks, each=ONE_CPU))
        failure = found.pop("3").failure
        assert failure is not None
        assert (failure.kind, failure.message) == ("exception", "ValueError: three is refused")
        assert "_fails_on_three" in failure.traceback
        assert all(outcome.failure is None for outcome in found.values())

    def test_poisons_end_their_own_item_only(self, engine: TaskEngine) -> None:
        """A hang in C code, a SIGKILL and a greedy allocation: exactly those items fail."""
        items = ["a", "die", "b", "hang", "c", "grow", "d"]
        each = Resources(cpus=1, memory_bytes=LIMIT_BYTES)
        tasks = [Task(key="poisoned", payload=items), Task(key="healthy", payload=["e", "f"])]
        found = by_key(engine.map_tasks(_poisoned, tasks, each=each, item_seconds=2))
        expected = dict.fromkeys("abcd", "fine") | {"die": "killed", "hang": "timeout", "grow": "memory"}
        assert found["poisoned"].value == expected
        assert found["poisoned"].attempts == 5  # the kill is tried twice, the others once, then the last run
        assert found["healthy"].value == {"e": "fine", "f": "fine"}

    def test_threads_are_held_to_the_share(self, engine: TaskEngine) -> None:
        """Half a CPU and one CPU both give one thread, two give two."""
        for cpus, threads in ((0.5, "1"), (1, "1"), (2, "2")):
            (outcome,) = engine.map_tasks(_threads, [Task(key="t", payload=None)], each=Resources(cpus=cpus))
            assert outcome.value == threads

    def test_tasks_are_drawn_as_there_is_room(self, engine: TaskEngine) -> None:
        """No more tasks are drawn from the iterable than may be in flight."""
        drawn: list[int] = []

        def source() -> Iterator[Task]:
            for n in range(20):
                drawn.append(n)
                yield Task(key=str(n), payload=n)

        outcomes = engine.map_tasks(_square, source(), each=ONE_CPU, max_in_flight=2)
        for seen in range(1, 21):
            next(outcomes)
            assert len(drawn) <= seen + 2

    def test_a_closed_iterator_ends_its_tasks(self, engine: TaskEngine) -> None:
        """Whoever stops listening does not wait for what hangs."""
        tasks = [Task(key="quick", payload=["a"]), Task(key="slow", payload=["hang"])]
        outcomes: Any = engine.map_tasks(_poisoned, tasks, each=ONE_CPU)
        assert next(outcomes).key == "quick"
        started = time.monotonic()
        outcomes.close()
        assert time.monotonic() - started < 30
