"""Processes that race for one registry, and processes that are killed at work on it."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from lakemill.core.errors import StorageError
from tests.unit.registry.conftest import CODE, opened

SPAWN = multiprocessing.get_context("spawn")
NAME, NOBODY = "main.retail.demand", 65534


def _rows(folder: Path, query: str) -> list[tuple]:
    connection = sqlite3.connect(folder / "mlflow.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def _parts(folder: Path, factor: str) -> dict:
    from mlflow.models import infer_signature

    code, kept = folder / f"times-{os.getpid()}.py", folder / f"factor-{os.getpid()}.txt"
    code.write_text(CODE)
    kept.write_text(factor)
    return {
        "name": NAME,
        "code": code,
        "artifacts": {"factor": str(kept)},
        "signature": infer_signature(pd.DataFrame({"x": [1.0]}), pd.Series([2.0])),
        "pip_requirements": ["pandas"],
    }


def _work(folder: Path, rounds: int) -> None:
    """Register a version, then move the alias to it, again and again."""
    registry, parts = opened(folder), _parts(folder, "2.0")
    for _ in range(rounds):
        with registry.start_run("fit") as run:
            version = registry.register(run, **parts)
        registry.set_alias(NAME, "champion", version.version, reason="newest")


def test_two_processes_that_make_one_store_and_one_model_both_get_all_they_did(tmp_path):
    children = [SPAWN.Process(target=_work, args=(tmp_path, 5)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(240)
    assert [child.exitcode for child in children] == [0, 0]
    assert _rows(tmp_path, "select version from model_versions order by version") == [(n,) for n in range(1, 11)]
    assert _rows(tmp_path, "select count(*), min(status), max(status) from runs") == [(10, "FINISHED", "FINISHED")]
    ((held,),) = _rows(tmp_path, "select version from registered_model_aliases")
    moves = opened(tmp_path).history(NAME, "champion")
    assert sorted(move.after for move in moves) == list(range(1, 11))
    assert held in {5, 6, 7, 8, 9, 10}
    assert [path.name for path in tmp_path.glob(".mlflow.db*")] == []


@pytest.mark.parametrize("seed", range(2))
def test_a_process_killed_while_it_registers_leaves_whole_versions_only(tmp_path, seed):
    opened(tmp_path).models()
    child = SPAWN.Process(target=_work, args=(tmp_path, 10_000))
    child.start()
    while not _rows(tmp_path, "select 1 from model_versions"):
        assert child.is_alive()
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0.0, 1.0))
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    registry = opened(tmp_path)
    versions = registry.versions(NAME)
    assert [version.version for version in versions] == list(range(len(versions), 0, -1))
    for version in versions[:3]:
        assert registry.load(version.uri).predict(pd.DataFrame({"x": [3.0]})).tolist() == [6.0]
    moves = [move.after for move in registry.history(NAME, "champion")]
    held = _rows(tmp_path, "select version from registered_model_aliases")
    assert held in [[(number,)] for number in moves[:2]] or (held == [] and len(moves) <= 1)  # told before it is done


def _told(act) -> str:
    try:
        act()
    except StorageError as error:
        return error.hint or str(error)
    return "nothing"


def _register(folder: Path, parts: dict) -> None:
    registry = opened(folder)
    with registry.start_run("fit") as run:
        registry.register(run, **parts)


def _on_a_full_disk(folder: Path, results) -> None:
    """A limit on file sizes is what a full disk is: a write that ends half-way."""
    parts, big = _parts(folder, "2.0"), _parts(folder, "2.0" + " " * 2**22)
    _register(folder, parts)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, limits[1]))
    told = [_told(lambda: _register(folder, big))]
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**15, limits[1]))
    told.append(_told(opened(folder / "new").models))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    results.put(told)


def _where_one_may_not_write(folder: Path, results) -> None:
    registry, parts = opened(folder), _parts(folder, "2.0")
    _register(folder, parts)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    elsewhere = opened(folder / "new")
    told = [_told(lambda: _register(folder, parts)), _told(elsewhere.models), len(registry.versions(NAME))]
    results.put(told)


def _in_child(work, folder: Path):
    results = SPAWN.Queue()
    child = SPAWN.Process(target=work, args=(folder, results))
    child.start()
    child.join(timeout=200)
    assert child.exitcode == 0
    return results.get(timeout=5)


def test_a_full_disk_leaves_the_registry_whole(tmp_path):
    told = ["make room on the disk and try again", "is the disk full, or failing? make room and try again"]
    assert _in_child(_on_a_full_disk, tmp_path) == told
    assert [version.version for version in opened(tmp_path).versions(NAME)] == [1]
    assert opened(tmp_path).load(f"{NAME}/1").predict(pd.DataFrame({"x": [3.0]})).tolist() == [6.0]
    assert _rows(tmp_path, "select status from runs order by start_time") == [("FINISHED",), ("FAILED",)]
    assert not (tmp_path / "new" / "mlflow.db").exists()
    assert opened(tmp_path / "new").models() == ()


def test_a_read_only_registry_can_be_read_and_says_why_it_cannot_be_written(shared_path):
    told = ["make the file and its folder writable for this user", "make the folder writable for this user", 1]
    assert _in_child(_where_one_may_not_write, shared_path) == told


@pytest.fixture
def shared_path() -> Iterator[Path]:
    """Give a folder that another user may enter, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="lakemill-test-"))
    path.chmod(0o777)
    yield path
    for folder in [path, *path.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o755)
    shutil.rmtree(path)
