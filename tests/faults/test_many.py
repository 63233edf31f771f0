"""Trainings of many models whose groups are poisoned and whose processes are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from lakemill.catalog import CommitKey
from lakemill.core.records import Resources
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.training.many.session import Session
from lakemill.training.many.train import fit_groups
from tests.faults import many

GROUPS = 1000
KILLS = 20
IN_HAND = len(os.sched_getaffinity(0))  # local tasks run one group a core
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.faults.many", "lakemill.training.many.train"])


@pytest.fixture(scope="module")
def oracle():
    """Slope and level of every group, from numpy alone."""
    rows = many.groups(GROUPS).to_pandas()
    return {k: tuple(np.polyfit(group["t"], group["y"], 1)) for k, group in rows.groupby("k")}


@pytest.mark.parametrize("kind", TASK_ENGINES.kinds())
def test_poisoned_groups_stand_in_the_ledger_and_all_others_are_there_once(kind, task_engines, tmp_path, oracle):
    with many.open_workspace(tmp_path) as workspace:
        workspace.__dict__["tasks"] = task_engines[kind]
        workspace.catalog.write(many.TABLE, many.groups(GROUPS, poisoned=True))
        each = Resources(cpus=1, memory_bytes=many.LIMIT_BYTES)
        fit_groups(Session(workspace, many.definition(tmp_path, resources=each, item_seconds=5.0)))
        ledger = many.rows_of(workspace, "failures").to_pandas().set_index("k")
        models = many.rows_of(workspace, "models")
    assert ledger["kind"].to_dict() == many.KINDS
    assert ledger["message"][17] == "ValueError: this group is refused"
    assert 'raise ValueError("this group is refused")' in ledger["traceback"][17]
    assert models["k"].to_pylist() == [k for k in range(GROUPS) if k not in many.POISONS]
    lines = many.models_of(models)
    assert {k: (line.slope, line.level) for k, line in lines.items()} == {
        k: line for k, line in oracle.items() if k not in many.POISONS
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The result tables of a training that nobody disturbs, and its seconds."""
    folder, started = tmp_path_factory.mktemp("uninterrupted"), time.monotonic()
    start(folder).join()
    return results(folder), time.monotonic() - started


def fit_everything(folder: Path) -> None:
    with many.open_workspace(folder) as workspace:
        once = CommitKey(writer="rows", sequence=0)
        workspace.catalog.write(many.TABLE, many.groups(GROUPS), commit=once)
        fit_groups(Session(workspace, many.definition(folder)))


def results(folder: Path):
    with many.open_workspace(folder) as workspace:
        return {
            output: many.rows_of(workspace, output, *order)
            for output, order in (("models", ()), ("metrics", ("metric",)), ("points", ("t",)), ("failures", ()))
        }


@pytest.mark.parametrize("kind", TASK_ENGINES.kinds())
def test_every_engine_gives_the_same_bytes(kind, task_engines, tmp_path, uninterrupted):
    with many.open_workspace(tmp_path) as workspace:
        workspace.__dict__["tasks"] = task_engines[kind]
        workspace.catalog.write(many.TABLE, many.groups(GROUPS))
        fit_groups(Session(workspace, many.definition(tmp_path)))
    for output, table in results(tmp_path).items():
        assert table.equals(uninterrupted[0][output]), output


def start(folder: Path):
    process = FORK.Process(target=fit_everything, args=(folder,))
    process.start()
    return process


def killed_after(folder: Path, seconds: float) -> None:
    process = start(folder)
    process.join(timeout=seconds)
    process.kill()
    process.join()


def killed_when(folder: Path, pattern: str) -> None:
    """Kill the training the moment there is such a file."""
    process = start(folder)
    while process.is_alive() and not any((folder / ".lakemill").glob(pattern)):
        time.sleep(0.0005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def check(folder: Path, expected, *, kills: int) -> None:
    """Let the training end; every row is there once, and only groups that were in hand were fitted again."""
    fit_everything(folder)
    for output, table in results(folder).items():
        assert table.equals(expected[output]), output
    calls = many.fitted(folder)
    assert set(calls) == set(range(GROUPS))
    assert len(calls) <= GROUPS + IN_HAND * kills


def test_killed_at_random_instants_and_run_again_the_tables_are_whole(tmp_path, uninterrupted):
    expected, seconds = uninterrupted
    instants = random.Random(2026)
    for _ in range(KILLS):
        killed_after(tmp_path, instants.uniform(0, seconds))
    check(tmp_path, expected, kills=KILLS)


@pytest.mark.parametrize(
    "pattern",
    [
        "staging/*/packs/rows/000001.arrows",
        "staging/*/spools/fit/000002-*",
        "staging/*/results/fit/.0*/models.arrows",
        "staging/*/results/fit/000003",
        "staging/*/batches/fit/000000.json",
        "tables/main/a/model_models/_delta_log/*1.json",
        "tables/main/a/model_points/_delta_log/*1.json",
    ],
)
def test_killed_between_a_file_and_what_follows_it_the_tables_are_whole(pattern, tmp_path, uninterrupted):
    killed_when(tmp_path, pattern)
    check(tmp_path, uninterrupted[0], kills=1)
