"""Where tasks run that the project leaves to the planner."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from lakemill import ManyTraining, train
from lakemill.core.errors import MissingExtraError
from lakemill.core.planning import LaneCost, exact, within
from lakemill.core.records import ClusterSpec, Context, Resources
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.workspace import Workspace, WorkspaceSettings
from lakemill.workspace.hardware import keep
from lakemill.workspace.planning import facts_of, place, state_of
from tests.unit.workspace.test_hardware import HARDWARE

SLOW = LaneCost(kind="local", abilities=("tasks",), start_seconds=exact(1000.0))


class Level:
    def predict(self, rows: pd.DataFrame) -> list[float]:
        return [1.0] * len(rows)


TRAINING = ManyTraining(
    training_set="main.a.rows", by="k", time="t", fit=lambda _: Level(), registered_model="main.a.model"
)


@pytest.fixture
def workspace(tmp_path):
    with Workspace(
        WorkspaceSettings.in_folder("placed", tmp_path), context=Context(user="tester", run_id="r")
    ) as opened:
        rows = pd.DataFrame({"k": [number // 10 for number in range(200)], "t": range(200), "y": 1.0})
        opened.table("main.a.rows").write(rows)
        yield opened


@pytest.mark.parametrize("kind", ["ray"])
def test_a_training_runs_and_is_recorded_where_its_plan_says(workspace, kind, required):
    try:
        TASK_ENGINES.load(kind)
    except MissingExtraError as error:
        if kind in required:
            pytest.fail(str(error))
        pytest.skip(str(error))
    keep(replace(HARDWARE, lanes=(SLOW, LaneCost(kind=kind, abilities=("tasks",)))), state_of(workspace))
    trained = train(workspace, TRAINING)
    run = workspace.models.client.get_run(trained.version.run_id)
    assert run.data.tags["lakemill.engine.tasks"] == kind
    text = workspace.models.client.download_artifacts(trained.version.run_id, "plan.json")
    with open(text) as file:  # noqa: PTH123
        assert json.load(file)["choice"]["lane"] == kind
    assert trained.groups == 20


def test_where_nothing_was_measured_a_training_takes_this_machine_s_processes(workspace):
    made = place(workspace, TRAINING)
    assert made is not None
    assert {one.lane for one in made.plan.candidates} == {"local"}
    assert workspace.placed == ClusterSpec(num_workers=made.plan.choice.workers)
    assert made.facts.seconds_per_fit.value == facts_of(TRAINING, workspace).seconds_per_fit.high


def test_a_named_engine_is_kept(tmp_path):
    settings = replace(WorkspaceSettings.in_folder("named", tmp_path), tasks=ClusterSpec(num_workers=1))
    with Workspace(settings, context=Context(user="tester")) as opened:
        assert place(opened, TRAINING) is None
        assert opened.placed == settings.tasks


def test_half_a_core_each_puts_two_on_a_core(workspace):
    lane = LaneCost(kind="local", abilities=("tasks",), start_seconds=within(0.5, 0.1))
    keep(replace(HARDWARE, lanes=(lane,)), state_of(workspace))
    halves = replace(TRAINING, resources=Resources(cpus=0.5))
    place(workspace, halves)
    assert workspace.tasks.slots(halves.resources) == 4
