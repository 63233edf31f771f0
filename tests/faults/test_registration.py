"""Trainings whose process is killed once everything is fitted: run again, there is one version, and nothing is refitted."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

from lakemill.catalog import CommitKey
from lakemill.registry import MetricThreshold
from lakemill.registry.client import Client
from lakemill.training.many import train
from tests.faults import many

GROUPS = 12
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["tests.faults.many", "lakemill.training.many.many_model"])
GATE = MetricThreshold(metric="mse", threshold=1e9)
STEPS = [
    ("create_logged_model", "after"),
    ("log_model_artifacts", "before"),
    ("create_registered_model", "after"),
    ("create_model_version", "after"),
    ("set_terminated", "before"),
    ("set_model_version_tag", "after"),
    ("set_registered_model_tag", "after"),
    ("set_registered_model_alias", "after"),
]


def train_everything(folder: Path) -> None:
    with many.open_workspace(folder) as workspace:
        workspace.catalog.write(many.TABLE, many.groups(GROUPS), commit=CommitKey(writer="rows", sequence=0))
        train(workspace, many.definition(folder, gate=GATE))


def train_until(folder: Path, step: str, when: str) -> None:
    """Train, and die by SIGKILL right before or after a call of MLflow's client."""
    found = Client.__getattr__

    def deadly(client: Client, name: str):
        call = found(client, name)

        def last(*arguments, **options):
            if when == "after":
                call(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        return last if name == step else call

    Client.__getattr__ = deadly  # in this process only
    train_everything(folder)


def in_child(function, *arguments) -> int:
    process = FORK.Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Return MLflow's database as it makes it, to copy: making one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    assert in_child(make_store, folder) == 0
    return folder / ".lakemill" / "mlflow.db"


def make_store(folder: Path) -> None:
    with many.open_workspace(folder) as workspace:
        workspace.models.models()


def train_and_look(folder: Path, results) -> None:
    """Train, and send what the registry holds by MLflow's own client."""
    from mlflow import MlflowClient

    train_everything(folder)
    with many.open_workspace(folder) as workspace:
        client = MlflowClient(workspace.settings.tracking, workspace.settings.tracking)
        moves = {alias: workspace.models.history(many.MODEL, alias) for alias in ("challenger", "champion")}
        rows = pd.DataFrame({"k": range(GROUPS), "t": 0, "y": 0.0, "poison": ""})
        results.put(
            {
                "versions": [int(version.version) for version in client.search_model_versions("")],
                "aliases": client.get_registered_model(many.MODEL).aliases,
                "runs": len(client.search_runs(["1"])),
                "moves": {alias: {(move.before, move.after) for move in found} for alias, found in moves.items()},
                "predicted": len(workspace.models.load(f"{many.MODEL}@champion").predict(rows)),
                "staging": [path.name for path in (folder / ".lakemill" / "staging").iterdir()],
            }
        )


@pytest.mark.parametrize(("step", "when"), STEPS)
def test_killed_at_any_step_of_registering_and_run_again_there_is_one_version(tmp_path, store, step, when):
    (tmp_path / ".lakemill").mkdir()
    shutil.copy(store, tmp_path / ".lakemill" / "mlflow.db")
    assert in_child(train_until, tmp_path, step, when) == -signal.SIGKILL
    results = FORK.SimpleQueue()
    assert in_child(train_and_look, tmp_path, results) == 0
    found = results.get()
    assert found["versions"] == [1]
    assert found["aliases"] == {"challenger": 1, "champion": 1}
    assert found["moves"] == {"challenger": {(None, 1)}, "champion": {(None, 1)}}
    assert found["predicted"] == GROUPS
    assert found["staging"] == []
    assert sorted(many.fitted(tmp_path)) == list(range(GROUPS))  # each once, whatever was killed
    registered = STEPS.index((step, when)) >= STEPS.index(("create_model_version", "after"))
    assert found["runs"] == (1 if registered else 2)  # a version that is there is not made again
