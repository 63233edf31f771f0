"""What a job is expected to take."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakemill.core.errors import NotFoundError
from lakemill.core.planning import Interval, exact
from lakemill.projects import load_project, open_workspace, run_job
from lakemill.projects.graph import Ending, walk
from lakemill.projects.planning import expected, longest_way, plan_job, running
from lakemill.projects.project import Dependency, Task
from lakemill.workspace.hardware import keep
from lakemill.workspace.planning import state_of
from tests.unit.features.test_facts import LANE
from tests.unit.workspace.test_hardware import HARDWARE

RULES = ["ALL_SUCCESS", "AT_LEAST_ONE_SUCCESS", "NONE_FAILED", "ALL_DONE", "AT_LEAST_ONE_FAILED", "ALL_FAILED"]
STEPS = """
import lakemill as lm
import pandas as pd
import time

def load(ws):
    time.sleep(0.2)
    rows = pd.DataFrame({"k": [1, 2], "y": [1.0, 2.0]})
    ws.table("main.a.rows").write(rows, mode="overwrite")

def alarm(ws):
    pass

def report(ws):
    pass

joined = lm.TrainingTable(name="main.a.joined", training_set=lm.TrainingSet(spine="main.a.rows"))
"""
PROJECT = """
bundle: {name: outlook}
resources:
  jobs:
    short:
      tasks:
        - {task_key: load, python: "outlook_steps:load"}
    j:
      tasks:
        - {task_key: load, python: "outlook_steps:load"}
        - {task_key: join, python: "outlook_steps:joined", depends_on: [{task_key: load}]}
        - {task_key: report, python: "outlook_steps:report", depends_on: [{task_key: join}]}
        - {task_key: alarm, python: "outlook_steps:alarm", depends_on: [{task_key: join}], run_if: AT_LEAST_ONE_FAILED}
"""


@st.composite
def graphs(draw):
    """Tasks that wait for some of those before them."""
    number = draw(st.integers(1, 7))
    waits = [draw(st.sets(st.integers(0, max(0, n - 1)))) if n else set() for n in range(number)]
    rules = [draw(st.sampled_from(RULES)) for _ in range(number)]
    return [
        Task(
            task_key=f"t{n}",
            python="outlook_steps:f",
            depends_on=tuple(Dependency(task_key=f"t{other}") for other in sorted(waits[n])),
            run_if=rules[n],
        )
        for n in range(number)
    ]


def chains(waits: dict[str, list[str]], key: str) -> list[tuple[str, ...]]:
    """All chains that end with a task."""
    return [(key,), *((*chain, key) for other in waits[key] for chain in chains(waits, other))]


@given(graphs(), st.lists(st.integers(0, 50), min_size=7, max_size=7))
def test_the_longest_way_is_the_longest_of_all_chains(tasks, lengths):
    waits = {task.task_key: [other.task_key for other in task.depends_on] for task in tasks}
    seconds = {key: exact(length) for key, length in zip(waits, lengths, strict=False)}
    found, way = longest_way(seconds, waits)
    every = [sum(seconds[key].value for key in chain) for end in waits for chain in chains(waits, end)]
    assert found.value == max(every) == sum(seconds[key].value for key in way)


@given(graphs())
def test_what_counts_is_what_a_run_without_failures_runs(tasks):
    ended = walk(tasks, lambda _: Ending(status="success"), skip=lambda _, why: Ending(status=why), parallelism=1)
    assert running(tasks) == {key for key, ending in ended.items() if ending.status == "success"}


def test_every_branch_on_an_outcome_counts():
    asks = Task(task_key="asks", python="outlook_steps:f")
    branches = [
        Task(task_key=word, python="outlook_steps:f", depends_on=(Dependency(task_key="asks", outcome=word),))
        for word in ("yes", "no")
    ]
    assert running([asks, *branches]) == {"asks", "yes", "no"}


@pytest.mark.parametrize(
    ("seconds", "interval"),
    [
        ([], None),
        ([10.0], Interval(value=10, low=7, high=13)),
        ([10.0, 10.5, 9.5], Interval(value=10, low=7, high=13)),
        ([4.0, 10.0, 11.0], Interval(value=10, low=4, high=16)),
    ],
)
def test_past_runs_give_a_median_and_their_spread(seconds, interval):
    found = expected(seconds)
    if interval is None:
        assert found is None
    else:
        assert (found.value, found.low, found.high) == pytest.approx((interval.value, interval.low, interval.high))


def test_a_graph_as_long_as_a_job_may_be():
    waits = {f"t{n}": [f"t{n - 1}"] if n else [] for n in range(1000)}
    assert longest_way(dict.fromkeys(waits, exact(1)), waits)[0].value == 1000


def test_a_job_before_and_after_its_first_run(tmp_path):
    (tmp_path / "lakemill.yml").write_text(PROJECT)
    (tmp_path / "outlook_steps.py").write_text(STEPS)
    project = load_project(tmp_path)
    with open_workspace(tmp_path) as workspace:
        keep(replace(HARDWARE, lanes=(LANE,)), state_of(workspace))
        before = plan_job(workspace, project, "j")
        run = run_job(project, "j")
        after, other = plan_job(workspace, project, "j"), plan_job(workspace, project, "short")
        with pytest.raises(NotFoundError, match="no job 'k'"):
            plan_job(workspace, project, "k")
    assert before.unknown == ("load", "join", "report")
    assert [one.unknown for one in before.tasks[:2]] == ["it never ran; it is a function", "no table main.a.rows"]
    assert after.unknown == ()
    load, join, report, alarm = after.tasks
    (attempt,) = [task for task in run.tasks if task.task_key == "load"]
    assert attempt.ended_at is not None
    assert load.seconds is not None
    assert load.seconds.value == pytest.approx((attempt.ended_at - attempt.started_at).total_seconds())
    assert load.seconds.value > 0.2
    assert join.planned is not None
    assert join.seconds == join.planned.plan.choice.seconds
    assert (report.counts, alarm.counts, alarm.unknown) == (True, False, "it never ran; it is a function")
    assert after.longest == ("load", "join", "report")
    assert after.seconds.value == pytest.approx(load.seconds.value + join.seconds.value + report.seconds.value)
    assert other.unknown == ("load",)  # what another job took is not this one's
