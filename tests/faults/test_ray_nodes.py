"""A Ray cluster of two nodes, one of which is killed while tasks run on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

# In a process of its own: a process has one connection to Ray.
SCRIPT = """
import json, os, sys, time
from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.tasks import TASK_ENGINES, Task

folder, each = sys.argv[1], Resources(cpus=1)

def slow(number, attempt):
    open(f"{folder}/{number}-{os.getpid()}-{time.time_ns()}", "w").close()
    while number >= 4 and not os.path.exists(f"{folder}.killed"):
        time.sleep(0.05)
    return number * number

engine = TASK_ENGINES.build({"kind": "ray", "spec": ClusterSpec(kind="ray", num_workers=2, cpus_per_worker=1)})
slots = engine.slots(each)
outcomes = engine.map_tasks(slow, [Task(key=str(n), payload=n) for n in range(20)], each=each)
found = [next(outcomes) for _ in range(4)]
while len(os.listdir(folder)) < 4 + slots:  # each node has a task in hand, which waits for the kill
    time.sleep(0.05)
nodes = engine._cluster._nodes
nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)  # SIGKILL to all that runs on it
open(f"{folder}.killed", "w").close()
found += list(outcomes)
engine.close()
print(json.dumps({"slots": slots, "values": {o.key: o.value for o in found}, "outcomes": len(found)}))
"""


def test_tasks_of_a_killed_node_are_done_elsewhere(tmp_path: Path, required: set[str]):
    if "ray" not in required:
        pytest.importorskip("ray")
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {"slots": 2, "values": {str(n): n * n for n in range(20)}, "outcomes": 20}
    assert len(list(tmp_path.iterdir())) > 20  # what the killed node had in hand was started again
