from __future__ import annotations

import os
from pathlib import Path

import pytest

from lakemill.core.errors import ConfigError, NotFoundError
from lakemill.core.records import ClusterSpec
from lakemill.projects.load import find_job, load_project, parse_value
from lakemill.projects.targets import with_engine

PROJECT = """\
bundle: {name: demand}
variables:
  horizon: {default: 28, description: days ahead}
  table: {type: string}
  share: {default: 0.5}
targets:
  dev: {default: true, variables: {table: "main.${bundle.target}.sales"}}
  prod:
    mode: production
    workspace:
      root: s3://company/demand
      metadata: postgresql://ml@db/lakemill
      tracking: https://mlflow.company.internal
    compute:
      frames: {kind: spark, master: "spark://head:7077"}
      tasks: {kind: ray, address: "ray://head:10001", autotermination_minutes: 5}
    variables: {table: main.retail.sales, horizon: 14}
resources:
  jobs:
    demand:
      description: of ${bundle.name}
      parameters: [{name: days, default: "${var.horizon}"}]
      tasks:
        - {task_key: ingest, python: "steps:ingest", parameters: {table: "${var.table}"}}
        - {task_key: train, python: "steps:train", depends_on: [{task_key: ingest}], max_retries: 2, timeout_seconds: 3600}
    report:
      name: Report of ${resources.jobs.demand.name}
      tasks: [{task_key: report, python: "steps:report"}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lakemill.yml").write_text(PROJECT)
    return tmp_path


def fault(folder: Path, text: str, **options) -> str:
    (folder / "lakemill.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_project(folder, **options)
    return str(caught.value)


def test_a_project_is_found_upwards_and_resolved_for_its_default_target(folder, monkeypatch):
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    project = load_project()
    assert (project.name, project.target, project.mode) == ("demand", "dev", "development")
    assert Path(project.path) == folder / "lakemill.yml"
    job = project.jobs["demand"]
    assert job.description == "of demand"
    assert job.parameters[0].default == 28
    assert [task.task_key for task in job.tasks] == ["ingest", "train"]
    assert job.tasks[0].parameters == {"table": "main.dev.sales"}
    assert (job.tasks[1].max_retries, job.tasks[1].timeout_seconds, job.tasks[1].run_if) == (2, 3600.0, "ALL_SUCCESS")
    assert project.jobs["report"].name == "Report of demand"


def test_the_default_workspace_is_a_folder_beside_the_file(folder):
    settings = load_project(folder / "lakemill.yml").settings
    root = folder.resolve() / ".lakemill"
    assert settings.root == str(root)
    assert settings.metadata == f"sqlite:///{root}/metadata.db"
    assert settings.tracking == f"sqlite:///{root}/mlflow.db"
    assert settings.artifacts == f"{root}/mlartifacts"
    assert settings.project_dir == str(folder.resolve())
    assert (settings.frames, settings.tasks) == (ClusterSpec(kind="local"), ClusterSpec(kind="auto"))


def test_a_target_swaps_parts_of_the_workspace(folder):
    project = load_project(folder, target="prod")
    settings = project.settings
    assert project.mode == "production"
    assert settings.root == "s3://company/demand"
    assert settings.metadata == "postgresql://ml@db/lakemill"
    assert settings.tracking == "https://mlflow.company.internal"
    assert settings.artifacts == "s3://company/demand/mlartifacts"
    assert settings.frames == ClusterSpec(kind="spark", address="spark://head:7077")
    assert settings.tasks == ClusterSpec(kind="ray", address="ray://head:10001", autotermination_minutes=5.0)
    assert project.jobs["demand"].parameters[0].default == 14


def test_relative_places_are_below_the_project_and_databases_stay_local(tmp_path):
    text = "bundle: {name: x}\ntargets:\n  a: {workspace: {root: data, metadata: 'sqlite:///meta/m.db'}}\n  b: {workspace: {root: 's3://bucket'}}\n"
    (tmp_path / "lakemill.yml").write_text(text)
    a = load_project(tmp_path, target="a").settings
    assert a.root == str(tmp_path.resolve() / "data")
    assert a.metadata == f"sqlite:///{tmp_path.resolve()}/meta/m.db"
    assert a.tracking == f"sqlite:///{tmp_path.resolve()}/data/mlflow.db"
    b = load_project(tmp_path, target="b").settings
    assert b.metadata == f"sqlite:///{tmp_path.resolve()}/.lakemill/metadata.db"


def test_given_variables_come_first_and_take_the_type_of_the_variable(folder):
    project = load_project(folder, variables={"horizon": "7", "table": "t"})
    assert project.jobs["demand"].parameters[0].default == 7
    assert project.jobs["demand"].tasks[0].parameters == {"table": "t"}
    with pytest.raises(ConfigError, match="variable 'horizon': expected integer, got 'soon'"):
        load_project(folder, variables={"horizon": "soon"})
    with pytest.raises(NotFoundError, match=r"no variable 'horizont'\n  hint: did you mean horizon\?"):
        load_project(folder, variables={"horizont": "7"})


def test_includes_are_part_of_the_project(tmp_path):
    (tmp_path / "lakemill.yml").write_text("bundle: {name: x}\ninclude: ['jobs/*.yml']\n")
    (tmp_path / "jobs").mkdir()
    for name in ("b", "a"):
        (tmp_path / "jobs" / f"{name}.yml").write_text(
            f"resources: {{jobs: {{{name}: {{tasks: [{{task_key: t, python: 'm:{name}'}}]}}}}}}\n"
        )
    assert {key: job.tasks[0].python for key, job in load_project(tmp_path).jobs.items()} == {"a": "m:a", "b": "m:b"}
    (tmp_path / "jobs" / "b.yml").write_text("resources:\n  jobs:\n    b:\n      taks: []\n")
    with pytest.raises(
        ConfigError, match=r"jobs/b\.yml:4:7: unknown key 'resources\.jobs\.b\.taks'; did you mean tasks\?"
    ):
        load_project(tmp_path)
    assert "lakemill.yml:2:11: no file matches 'job/*.yml'" in fault(
        tmp_path, "bundle: {name: x}\ninclude: [job/*.yml]\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bundel: {name: x}\n", "lakemill.yml:1:1: key 'bundle' is required"),
        ("bundle: {name: x}\nresorces: {}\n", "lakemill.yml:2:1: unknown key 'resorces'; did you mean resources?"),
        (
            "bundle: {name: x}\ntargets: {dev: {compute: {frames: {kin: spark}}}}\n",
            "unknown key 'targets.dev.compute.frames.kin'; did you mean kind?",
        ),
        (
            "bundle: {name: x}\ntargets: {dev: {mode: prod}}\n",
            "targets.dev.mode: input should be 'development' or 'production', got 'prod'",
        ),
        ("bundle: {name: a b}\n", "bundle.name: string should match pattern"),
        (
            "bundle: {name: x}\nvariables: {v: {default: [1]}}\n",
            "variables.v.default: expected text, a number, true or false, got [1]",
        ),
        (
            "bundle: {name: x}\nresources: {jobs: {j: {tasks: []}}}\n",
            "resources.jobs.j.tasks: list should have at least 1 item",
        ),
        (
            "bundle: {name: x}\nresources: {jobs: {j: {tasks: [{task_key: t, python: steps.ingest}]}}}\n",
            "resources.jobs.j.tasks[0].python: string should match pattern",
        ),
        (
            "bundle: {name: x}\nresources: {jobs: {j: {tasks: [{task_key: t, python: 'm:f', run_if: ALWAYS}]}}}\n",
            "resources.jobs.j.tasks[0].run_if: input should be 'ALL_SUCCESS'",
        ),
        (
            "bundle: {name: x}\nresources: {jobs: {j: {tasks: [{task_key: t, python: 'm:f', max_retries: '${var.n}'}]}}}\n",
            "nothing is called ${var.n}",
        ),
        (
            "bundle: {name: x}\ntargets: {a: {}, b: {}}\n",
            "no target is the default one of a, b\n  hint: name one (`--target`), or write `default: true` in one",
        ),
    ],
)
def test_faults_are_told_with_their_place(tmp_path, text, expected):
    assert expected in fault(tmp_path, text)


def test_a_faulty_task_is_not_told_as_a_missing_one(tmp_path):
    told = fault(tmp_path, "bundle: {name: x}\nresources: {jobs: {j: {tasks: [{task_key: t, pyton: 'm:f'}]}}}\n")
    assert "unknown key 'resources.jobs.j.tasks[0].pyton'; did you mean python?" in told
    assert "at least 1 item" not in told


def test_a_reference_may_stand_for_a_number(tmp_path):
    (tmp_path / "lakemill.yml").write_text(
        "bundle: {name: x}\nvariables: {n: {default: 3}}\n"
        "resources: {jobs: {j: {tasks: [{task_key: t, python: 'm:f', max_retries: '${var.n}'}]}}}\n"
    )
    assert load_project(tmp_path).jobs["j"].tasks[0].max_retries == 3


def test_one_target_needs_no_default_and_none_means_dev(tmp_path):
    (tmp_path / "lakemill.yml").write_text("bundle: {name: x}\ntargets: {only: {}}\n")
    assert load_project(tmp_path).target == "only"
    (tmp_path / "lakemill.yml").write_text("bundle: {name: x}\n")
    assert load_project(tmp_path).target == load_project(tmp_path, target="dev").target == "dev"


def test_what_is_not_there_is_named_with_the_nearest(folder, monkeypatch):
    with pytest.raises(NotFoundError, match=r"no target 'prd'\n  hint: did you mean prod\?"):
        load_project(folder, target="prd")
    with pytest.raises(NotFoundError, match=r"no job 'demnd' in .*\n  hint: did you mean demand\?"):
        find_job(load_project(folder), "demnd")
    with pytest.raises(NotFoundError, match=r"no file .*other/lakemill\.yml"):
        load_project(folder / "other" / "lakemill.yml")
    monkeypatch.chdir(os.sep)
    with pytest.raises(NotFoundError, match=r"no lakemill\.yml in / or above"):
        load_project()


def test_an_engine_replaces_those_of_its_kind(folder):
    project = load_project(folder)
    ray, spark = with_engine(project, "ray").settings, with_engine(project, "spark").settings
    planned = with_engine(with_engine(project, "ray"), "auto").settings
    assert (planned.frames.kind, planned.tasks.kind) == ("local", "auto")
    assert (ray.frames.kind, ray.tasks.kind) == ("local", "ray")
    assert (spark.frames.kind, spark.tasks.kind) == ("spark", "spark")
    assert project.settings.tasks.kind == "auto"
    with pytest.raises(ConfigError, match=r"no engine is of kind 'rya'\n  hint: did you mean ray\?"):
        with_engine(project, "rya")


@pytest.mark.parametrize(
    ("text", "example", "value"), [("3", 1, 3), ("3", 1.0, 3.0), ("False", True, False), ("3", "", "3")]
)
def test_text_takes_the_type_of_the_example(text, example, value):
    parsed = parse_value(text, example, name="x")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(("text", "example"), [("3.5", 1), ("x", 1.0), ("1", True)])
def test_text_of_another_type_is_refused(text, example):
    with pytest.raises(ConfigError, match=f"x: expected .*, got '{text}'"):
        parse_value(text, example, name="x")
