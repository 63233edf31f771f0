"""Trainings of many models whose groups are poisoned and whose processes are killed."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import numpy as np
import pytest

from lakemill.core.records import Resources
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.training.many import train
from lakemill.training.many.session import Session
from lakemill.training.many.train import fit_groups
from tests.faults import many

GROUPS = 1000
KILLS = 20
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
        fit_groups(Session(workspace, many.definition(tmp_path, resources=each, item_seconds=2.0)))
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
    """The result tables of a training that nobody disturbs."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    fit_everything(folder)
    return results(folder)


def fit_everything(folder: Path) -> None:
    with many.open_workspace(folder) as workspace:
        if not workspace.catalog.exists(many.TABLE):
            workspace.catalog.write(many.TABLE, many.groups(GROUPS))
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
        assert table.equals(uninterrupted[output]), output


def start(folder: Path):
    process = FORK.Process(target=fit_everything, args=(folder,))
    process.start()
    return process


def staged(folder: Path, pattern: str) -> set[Path]:
    return set((folder / ".lakemill" / "staging").glob(pattern))


def killed_at_random(folder: Path, instants: random.Random) -> None:
    """Kill the training some time after its first group was fitted."""
    before, process = len(many.fitted(folder)), start(folder)
    while process.is_alive() and len(many.fitted(folder)) == before:
        time.sleep(0.002)
    time.sleep(instants.uniform(0, 0.25))
    process.kill()
    process.join()


def killed_when(folder: Path, pattern: str) -> None:
    """Kill the training the moment another such file is there."""
    before, process = staged(folder, pattern), start(folder)
    while process.is_alive() and staged(folder, pattern) <= before:
        time.sleep(0.0005)
    process.kill()
    process.join()


def test_killed_at_any_moment_and_run_again_the_tables_are_whole(tmp_path, uninterrupted):
    instants = random.Random(2026)
    (tmp_path / "fitted").touch()
    for _ in range(KILLS):
        killed_at_random(tmp_path, instants)
    for pattern in ("*/results/fit/.0*/models.parquet", "*/results/fit/0*", "*/batches/fit/*.json"):
        killed_when(tmp_path, pattern)
    fit_everything(tmp_path)
    for output, table in results(tmp_path).items():
        assert table.equals(uninterrupted[output]), output
