from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lakemill.core.errors import StorageError
from lakemill.projects.lock import RunnerLock, is_held

HOLD = """
import sys, time, pathlib
from lakemill.projects.lock import RunnerLock
lock = RunnerLock(pathlib.Path(sys.argv[1]))
assert lock.take()
lock.sign("run-of-another")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "runner.lock"


@pytest.fixture
def other(path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_one_holds_the_lock_at_a_time(path):
    assert not is_held(path)
    with RunnerLock(path) as one, RunnerLock(path) as two:
        assert one.take()
        assert is_held(path)
        assert not two.take()
    assert not is_held(path)
    with RunnerLock(path) as three:
        assert three.take()


def test_others_see_who_holds_it(path, other):
    with RunnerLock(path) as lock:
        assert not lock.take()
        holder = lock.holder()
        assert (holder.run_id, holder.pid) == ("run-of-another", other.pid)
        assert str(holder).startswith(f"run run-of-another (process {other.pid} on {os.uname().nodename}, since 20")


def test_the_death_of_the_holder_frees_the_lock_and_it_is_told_once(path, other):
    told = []
    with RunnerLock(path) as lock:
        threading.Timer(0.6, other.kill).start()
        lock.wait(told.append)
        assert [holder.run_id for holder in told] == ["run-of-another"]
        assert lock.holder().run_id == ""
        lock.sign("mine")
        assert lock.holder().pid == os.getpid()


def test_a_torn_signature_tells_nothing(path):
    path.parent.mkdir()
    path.write_text('{"run_id": "a", "pi')
    with RunnerLock(path) as lock:
        assert lock.holder().pid == 0


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot open the runner's lock .*runner\.lock"):
        RunnerLock(tmp_path / "file" / "runner.lock")
