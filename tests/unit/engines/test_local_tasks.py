"""The local engine's child processes: kept from call to call, ended when nobody needs them."""

from __future__ import annotations

import os
import time

import psutil
import pytest

from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.tasks.base import Task
from lakemill.engines.tasks.local import LocalTasks

ONE = Resources(cpus=1)


def pid_of_child(_payload, _attempt) -> int:
    time.sleep(0.05)  # so that one child cannot take every task
    return os.getpid()


def children(engine: LocalTasks, *, each: Resources = ONE, item_seconds: float | None = None) -> set[int]:
    tasks = [Task(key=str(number), payload=None) for number in range(8)]
    return {outcome.value for outcome in engine.map_tasks(pid_of_child, tasks, each=each, item_seconds=item_seconds)}


def gone(pids: set[int]) -> bool:
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(psutil.pid_exists(pid) for pid in pids)


@pytest.fixture
def engine():
    made = LocalTasks(ClusterSpec(num_workers=2))
    yield made
    made.close()


def test_the_next_call_finds_the_children_of_the_last(engine):
    first = children(engine)
    assert children(engine) == first
    engine.close()
    assert gone(first)
    assert not children(engine) & first


@pytest.mark.parametrize("other", [{"each": Resources(cpus=2)}, {"item_seconds": 30.0}])
def test_another_share_or_limit_takes_other_children(engine, other):
    first = children(engine)
    assert not children(engine, **other) & first
    assert gone(first)


def test_children_of_a_call_that_is_broken_off_are_ended(engine):
    outcomes = engine.map_tasks(pid_of_child, (Task(key=str(n), payload=None) for n in range(50)), each=ONE)
    of_broken = {next(outcomes).value, next(outcomes).value}
    outcomes.close()
    assert gone(of_broken)


def test_two_calls_at_once_have_children_of_their_own(engine):
    one, two = (
        engine.map_tasks(pid_of_child, [Task(key=str(n), payload=None) for n in range(4)], each=ONE) for _ in range(2)
    )
    pairs = list(zip(one, two, strict=True))
    assert not {first.value for first, _ in pairs} & {second.value for _, second in pairs}


def test_idle_children_are_ended_after_the_idle_minutes():
    engine = LocalTasks(ClusterSpec(num_workers=2, autotermination_minutes=0.2 / 60))
    first = children(engine)
    assert gone(first)
    assert children(engine)
    engine.close()
