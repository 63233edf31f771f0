from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from lakemill.core.errors import ConfigError
from lakemill.projects.load import load_project

HEAD = "bundle: {name: x}\n"


def job(*tasks: str, head: str = "") -> str:
    lines = "\n".join(f"        - {{{task}}}" for task in tasks)
    return f"{HEAD}resources:\n  jobs:\n    j:\n{head}      tasks:\n{lines}\n"


def faults(folder: Path, text: str) -> str:
    (folder / "lakemill.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_project(folder)
    return caught.value.message.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            job(
                "task_key: a, python: 'm:a', depends_on: [{task_key: b}]",
                "task_key: b, python: 'm:b', depends_on: [{task_key: a}]",
            ),
            "lakemill.yml:5:7: resources.jobs.j.tasks: tasks wait for one another in a circle: a -> b -> a",
        ),
        (
            job("task_key: a, python: 'm:a', depends_on: [{task_key: a}]"),
            "lakemill.yml:5:7: resources.jobs.j.tasks: tasks wait for one another in a circle: a -> a",
        ),
        (
            job("task_key: ingest, python: 'm:a'", "task_key: train, python: 'm:b', depends_on: [{task_key: ingst}]"),
            "lakemill.yml:7:58: resources.jobs.j.tasks[1].depends_on[0].task_key: no task 'ingst'; did you mean ingest?",
        ),
        (
            job("task_key: a, python: 'm:a'", "task_key: b, python: 'm:b'", "task_key: a, python: 'm:c'"),
            "lakemill.yml:8:12: resources.jobs.j.tasks[2].task_key: 'a' is the key of tasks[0] already",
        ),
        (
            job(
                "task_key: a, python: 'm:a'", head="      parameters: [{name: p, default: 1}, {name: p, default: 2}]\n"
            ),
            "lakemill.yml:5:44: resources.jobs.j.parameters[1].name: 'p' is the name of parameters[0] already",
        ),
        (
            f"{HEAD}targets:\n  a: {{default: true}}\n  b: {{default: true}}\n",
            "lakemill.yml:4:7: targets.b.default: only one target can be the default, 'a' is it already",
        ),
        (
            f"{HEAD}variables: {{horizon: {{default: 1}}}}\ntargets:\n  a: {{variables: {{horizn: 2}}}}\n",
            "lakemill.yml:4:19: targets.a.variables.horizn: no such variable; did you mean horizon?",
        ),
        (
            f"{HEAD}targets:\n  a: {{compute: {{tasks: {{kind: rya}}}}}}\n",
            "lakemill.yml:3:25: targets.a.compute.tasks.kind: no such engine: 'rya'; did you mean ray?",
        ),
        (
            f"{HEAD}targets:\n  a: {{compute: {{frames: {{kind: ray}}}}}}\n",
            "targets.a.compute.frames.kind: no such engine: 'ray'; known: local, spark",
        ),
        (
            f"{HEAD}targets:\n  a: {{compute: {{tasks: {{kind: ray, address: 'ray://h:1', num_workers: 2}}}}}}\n",
            "targets.a.compute.tasks.num_workers: a cluster is started here or connected to",
        ),
    ],
)
def test_each_rule_tells_the_place(tmp_path, text, expected):
    assert expected in faults(tmp_path, text)


def test_a_longer_circle_is_named_whole(tmp_path):
    text = job(
        "task_key: start, python: 'm:a'",
        "task_key: a, python: 'm:a', depends_on: [{task_key: start}, {task_key: c}]",
        "task_key: b, python: 'm:a', depends_on: [{task_key: a}]",
        "task_key: c, python: 'm:a', depends_on: [{task_key: b}]",
    )
    circle = faults(tmp_path, text).rsplit(": ", 1)[1].split(" -> ")
    assert circle[0] == circle[-1]
    assert [(one, other) in {("a", "b"), ("b", "c"), ("c", "a")} for one, other in pairwise(circle)] == [True] * 3


def test_all_faults_of_all_rules_are_told_at_once(tmp_path):
    text = job("task_key: a, python: 'm:a', depends_on: [{task_key: z}]", "task_key: a, python: 'm:a'")
    assert len(faults(tmp_path, text).splitlines()) == 2


def test_a_sound_graph_passes(tmp_path):
    (tmp_path / "lakemill.yml").write_text(
        job(
            "task_key: d, python: 'm:d', depends_on: [{task_key: b}, {task_key: c, outcome: 'yes'}], run_if: ALL_DONE",
            "task_key: b, python: 'm:b', depends_on: [{task_key: a}]",
            "task_key: c, python: 'm:c', depends_on: [{task_key: a}]",
            "task_key: a, python: 'm:a'",
        )
    )
    assert len(load_project(tmp_path).jobs["j"].tasks) == 4
