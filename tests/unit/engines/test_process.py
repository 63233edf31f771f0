from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import psutil
import pytest

from lakemill.core.errors import EngineError
from lakemill.engines.process import Attempt, Call, Limits, Loss, Worker, freeze


def call(function, payload=None, losses=()):
    return Call(function=freeze(function), payload=cloudpickle.dumps(payload), losses=losses)


def test_a_worker_is_reused_until_it_dies():
    with Worker(Limits()) as worker:
        pids = [cloudpickle.loads(worker.call(call(lambda *_: os.getpid())).value) for _ in range(2)]
        assert pids[0] == pids[1]
        assert worker.call(call(lambda *_: os._exit(3))).loss.message == "the worker process ended with exit code 3"
        assert cloudpickle.loads(worker.call(call(lambda *_: os.getpid())).value) != pids[0]


def test_peak_is_of_the_call_and_not_of_the_process():
    def use(megabytes, _attempt):
        return len(bytearray(b"\1" * (megabytes * 2**20)))

    with Worker(Limits()) as worker:
        large = worker.call(call(use, 300)).peak_bytes
        small = worker.call(call(use, 1)).peak_bytes
    assert large > 300 * 2**20
    assert small < 200 * 2**20


def test_a_retired_worker_starts_no_other_child():
    worker = Worker(Limits())
    threading.Timer(0.5, worker.retire).start()
    assert worker.call(call(lambda *_: time.sleep(60))).loss.message == "the worker process died of SIGKILL"
    with pytest.raises(EngineError, match="retired"):
        worker.call(call(lambda *_: None))


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [
        ([], None),
        (["killed"], None),
        (["killed", "killed"], "killed"),
        (["timeout"], "timeout"),
        (["memory"], "memory"),
    ],
)
def test_verdict(kinds, verdict):
    losses = tuple(Loss(kind=kind, item="x", message=kind) for kind in kinds)
    found = Attempt((*losses, Loss(kind="timeout", item="y", message="")), print).verdict("x")
    assert (found.kind if found else None) == verdict


PARENT = """
import time
from lakemill.engines.process import Call, Limits, Worker, freeze
import cloudpickle, pathlib, os
def busy(path, attempt):
    pathlib.Path(path).write_text(str(os.getpid()))
    while True: pass
Worker(Limits()).call(Call(function=freeze(busy), payload=cloudpickle.dumps({path!r})))
"""


def test_a_busy_child_dies_with_its_parent(tmp_path: Path):
    path = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(path=str(path))])
    try:
        wait_for(lambda: path.exists() and path.read_text())
        child = psutil.Process(int(path.read_text()))
        os.kill(parent.pid, signal.SIGKILL)
        child.wait(timeout=10)
    finally:
        parent.kill()
        parent.wait()
    assert not psutil.pid_exists(child.pid)


def wait_for(condition, seconds: float = 20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_a_breach_is_told_of_its_own_item_however_short_it_was():
    """The peak is reported with the next item, so that no breach slips through between two looks."""

    def burst(items, attempt):
        for name, megabytes in items:
            attempt.at(name)
            bytearray(b"\1" * (megabytes * 2**20))

    with Worker(Limits(memory_bytes=300 * 2**20)) as worker:
        loss = worker.call(call(burst, [("a", 1), ("b", 400), ("c", 1)])).loss
        assert (loss.kind, loss.item) == ("memory", "b")
        last = worker.call(call(burst, [("a", 1), ("b", 1), ("c", 400)])).loss
        assert (last.kind, last.item) == ("memory", "c")
