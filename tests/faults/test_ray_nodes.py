"""A Ray cluster of two nodes, one of which is killed while tasks run on it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.tasks import TASK_ENGINES, Task, TaskEngine

pytestmark = [pytest.mark.xdist_group("ray-nodes"), pytest.mark.timeout(300)]


def kill_one_node(engine: TaskEngine) -> None:
    """SIGKILL every process of one worker node, as a power cut would."""
    nodes = engine._cluster._nodes
    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)


def test_tasks_of_a_killed_node_are_done_elsewhere(tmp_path: Path, required: set[str]):
    if "ray" not in required:
        pytest.importorskip("ray")
    engine = TASK_ENGINES.build({"kind": "ray", "spec": ClusterSpec(kind="ray", num_workers=2, cpus_per_worker=1)})
    started = tmp_path / "started"
    started.mkdir()

    def slow(number: int, _attempt) -> int:
        (started / f"{number}-{os.getpid()}-{time.time_ns()}").touch()
        time.sleep(0.4)
        return number * number

    try:
        each = Resources(cpus=1)
        assert engine.slots(each) == 2
        outcomes = engine.map_tasks(slow, [Task(key=str(n), payload=n) for n in range(20)], each=each)
        found = {next(outcomes).key: None for _ in range(4)}
        kill_one_node(engine)
        rest = list(outcomes)
        assert {*found, *(outcome.key for outcome in rest)} == {str(n) for n in range(20)}
        assert all(outcome.failure is None and outcome.value == int(outcome.key) ** 2 for outcome in rest)
        assert len(list(started.iterdir())) > 20  # what the killed node had in hand was started again
    finally:
        engine.close()
