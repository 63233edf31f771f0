"""Ray clusters that others run: connected to by address, used, left as they were."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import pytest

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(300)]

# In a process of its own: a process has one connection to Ray.
WORK = """
import json, sys
from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.tasks import TASK_ENGINES, Task

def square(number, attempt):
    return number * number

def connected(address):
    engine = TASK_ENGINES.build({"kind": "ray", "spec": ClusterSpec(kind="ray", address=address)})
    slots = engine.slots(Resources(cpus=1))
    tasks = [Task(key=str(n), payload=n) for n in range(8)]
    outcomes = list(engine.map_tasks(square, tasks, each=Resources(cpus=1)))
    engine.close()
    return [slots, sorted(outcome.value for outcome in outcomes)]

print(json.dumps([connected(address) for address in sys.argv[1:]]))
"""
KEEP = """
import sys, ray

@ray.remote(num_cpus=0)
class Count:
    def __init__(self):
        self.calls = 0

    def call(self):
        self.calls += 1
        return self.calls

ray.init(address=sys.argv[1], namespace="other")
actor = Count.options(name="count", lifetime="detached", get_if_exists=True).remote()
print(ray.get(actor.call.remote()), len([node for node in ray.nodes() if node["Alive"]]))
"""


SHARES = """
import json, os, time
import ray
from lakemill.core.records import ClusterSpec, Resources
from lakemill.engines.tasks import TASK_ENGINES, Task

def hold(number, attempt):
    began = time.time()
    time.sleep(1)
    return began, time.time(), os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"]

def held(cpus, gpus):
    each = Resources(cpus=cpus, gpus=gpus)
    tasks = [Task(key=str(n), payload=n) for n in range(12)]
    values = [outcome.value for outcome in engine.map_tasks(hold, tasks, each=each)]
    most = max(sum(began <= now < ended for began, ended, *_ in values) for now, *_ in values)
    return engine.slots(each), most, sorted({value[2] for value in values}), sorted({value[3] for value in values})

ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)  # Ray takes our word for the GPU
engine = TASK_ENGINES.build({"kind": "ray", "spec": ClusterSpec(kind="ray")})
print(json.dumps([held(0.25, 0.25), held(0.5, 0)]))
"""


# As `ray start` would have it: who connects needs the cluster's token.
TOKEN = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"}


def _free_ports(number):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def _ray_start(*arguments):
    """Start a node of a cluster as an operator would; it lives as long as its process."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--min-worker-port=0"]
    return subprocess.Popen(
        [*command, "--max-worker-port=0", "--disable-usage-stats", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=TOKEN,
    )


def _python(script, *arguments):
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=TOKEN)
    return done.stdout if done.returncode == 0 else done.stderr


@pytest.fixture
def addresses(required):
    """Run a head without cores and a node with two; return the head's own address and that of Ray Client."""
    if "ray" not in required:
        pytest.importorskip("ray")
    port, client = _free_ports(2)
    folder, head = tempfile.mkdtemp(prefix="ray-"), f"127.0.0.1:{port}"  # short: Ray's sockets lie in it
    here = [f"--port={port}", f"--ray-client-server-port={client}", f"--temp-dir={folder}"]
    nodes = [_ray_start("--head", "--num-cpus=0", "--include-dashboard=false", *here)]
    try:
        _wait_for(head, nodes=1)
        nodes.append(_ray_start("--num-cpus=2", f"--address={head}"))
        _wait_for(head, nodes=2)
        _wait_for_port(client)  # its server starts after the nodes
        yield head, f"ray://127.0.0.1:{client}"
    finally:
        for node in nodes:
            os.killpg(node.pid, signal.SIGKILL)
            node.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(head, *, nodes):
    """Look until so many nodes are there; the test's time limit ends a cluster that never comes."""
    look = "import sys, ray; ray.init(address=sys.argv[1]); print(sum(node['Alive'] for node in ray.nodes()))"
    while _python(look, head).strip() != str(nodes):
        pass


def _wait_for_port(port):
    while True:
        with suppress(OSError):
            return socket.create_connection(("127.0.0.1", port)).close()
        time.sleep(0.1)


def test_a_cluster_of_others_is_used_and_left_running(addresses):
    head, client = addresses
    assert _python(KEEP, head).split() == ["1", "2"]
    told = _python(WORK, head, client, head)
    assert json.loads(told.splitlines()[-1]) == [[2, [n * n for n in range(8)]]] * 3, told
    assert _python(KEEP, head).split() == ["2", "2"]  # the same actor, on the same two nodes


def test_an_address_where_nobody_answers_is_refused_at_once(required):
    if "ray" not in required:
        pytest.importorskip("ray")
    with socket.socket() as silent:  # holds its port, and does not listen
        silent.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        for address in (place, f"ray://{place}"):
            assert f"EngineError: no Ray cluster at {address}" in _python(WORK, address)


def test_fractions_of_cores_and_gpus_are_shared_out_and_never_more_than_there_are(required):
    """A quarter of the one GPU lets four at it, though the cores would take eight; half a core lets four at two."""
    if "ray" not in required:
        pytest.importorskip("ray")
    told = _python(SHARES)
    (slots, most, gpus, threads), (of_cores, busy, *_) = json.loads(told.splitlines()[-1])
    assert (slots, gpus, threads, of_cores) == (4, ["0"], ["1"], 4)
    assert 1 < most <= 4
    assert 1 < busy <= 4
