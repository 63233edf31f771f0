from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lakemill.core.errors import StorageError
from lakemill.projects.lock import FileLock, Holder

HOLD = """
import sys, time, pathlib
from lakemill.projects.lock import FileLock
lock = FileLock(pathlib.Path(sys.argv[1]))
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
    with FileLock(path) as watcher:
        assert not watcher.is_held()
        with FileLock(path) as one, FileLock(path) as two:
            assert one.take()
            assert watcher.is_held()
            assert not two.take()
        assert not watcher.is_held()
        with FileLock(path) as three:
            assert three.take()


def test_a_glance_at_the_lock_does_not_keep_a_runner_from_it(path):
    with FileLock(path) as lock, path.open() as glance:
        fcntl.flock(glance, fcntl.LOCK_SH)
        threading.Timer(0.02, glance.close).start()
        assert lock.take()


def test_others_see_who_holds_it(path, other):
    with FileLock(path) as lock:
        assert not lock.take()
        holder = lock.holder()
        assert holder.run_id == "run-of-another"
        assert str(holder).startswith(f"run run-of-another (process {other.pid} on {os.uname().nodename}, since 20")


def test_the_death_of_the_holder_frees_the_lock_and_it_is_told_once(path, other):
    told = []
    with FileLock(path) as lock:
        threading.Timer(0.6, other.kill).start()
        lock.wait(told.append)
        assert [holder.run_id for holder in told] == ["run-of-another"]
        assert lock.holder() == Holder()
        lock.sign("mine")
        assert lock.holder().process == f"process {os.getpid()} on {os.uname().nodename}"


def test_a_torn_signature_tells_nothing(path):
    path.parent.mkdir()
    path.write_text('{"run_id": "a", "pi')
    with FileLock(path) as lock:
        assert lock.holder() == Holder()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot open the runner's lock .*runner\.lock"):
        FileLock(tmp_path / "file" / "runner.lock")
