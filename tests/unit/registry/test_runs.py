from __future__ import annotations

import json
import math
import subprocess
import time
from pathlib import Path

import pytest

from lakemill.core.errors import ConfigError, StorageError
from lakemill.core.records import Column, Context, TableRef
from tests.unit.registry.conftest import opened

SALES = TableRef(
    name="main.retail.sales", location="/data/sales", version=17, columns=(Column(name="q", type="int64"),)
)


def run_of(registry, run):
    return registry.client.get_run(run.run_id)


def artifact(registry, run, name: str) -> str:
    return Path(registry.client.get_run(run.run_id).info.artifact_uri.removeprefix("file://"), name).read_text()


def test_a_run_holds_what_is_logged(registry, sql, tmp_path):
    (tmp_path / "note.md").write_text("hello")
    with registry.start_run("fit", tags={"season": "6"}) as run:
        run.log_params({"by": "product", "long": "x" * 7000})
        run.log_metrics({"loss": 2.0}, step=1)
        run.log_metrics({"loss": 1.0, "none": math.nan}, step=2)
        run.log_text("text", "a/text.txt")
        run.log_dict({"horizon": 28}, "definition.json")
        run.log_table({"method": ["naive"], "wrmsse": [1.5]}, "accuracy.json")
        run.log_file(tmp_path / "note.md", folder="notes")
    assert sql(f"select status, name from runs where run_uuid = '{run.run_id}'") == [("FINISHED", "fit")]
    assert sql("select key, length(value) from params order by key") == [("by", 7), ("long", 6000)]
    assert sql("select value, step from metrics where key = 'loss' order by step") == [(2.0, 1), (1.0, 2)]
    assert sql("select is_nan from metrics where key = 'none'") == [(1,)]
    assert run_of(registry, run).data.tags["season"] == "6"
    assert artifact(registry, run, "a/text.txt") == "text"
    assert json.loads(artifact(registry, run, "definition.json")) == {"horizon": 28}
    assert json.loads(artifact(registry, run, "accuracy.json"))["data"] == [["naive", 1.5]]
    assert artifact(registry, run, "notes/note.md") == "hello"


def test_a_run_says_who_made_it_of_what_and_what_it_took(folder):
    context = Context(user="ann", run_id="job-7", task_key="train")
    registry = opened(folder, context=context, engines={"tasks": "ray", "frames": "local"})
    with registry.start_run("fit", inputs=[SALES]) as run:
        held = bytearray(64 * 2**20)
        time.sleep(0.2)
    kept = run_of(registry, run)
    expected = {
        "mlflow.user": "ann",
        "mlflow.source.type": "JOB",
        "lakemill.run": "job-7",
        "lakemill.task": "train",
        "lakemill.engine.tasks": "ray",
        "lakemill.engine.frames": "local",
        "lakemill.table.main.retail.sales": "17",
    }
    assert {name: kept.data.tags.get(name) for name in expected} == expected
    assert 0.2 <= kept.data.metrics["run_seconds"] < 60
    assert len(held) < kept.data.metrics["run_peak_bytes"] < 2**36


def test_a_stock_client_finds_the_table_and_version_that_a_run_read(registry):
    import mlflow.data

    with registry.start_run("fit", inputs=[SALES]) as run:
        pass
    (read,) = run_of(registry, run).inputs.dataset_inputs
    source = mlflow.data.get_source(read.dataset)
    assert (read.dataset.name, read.dataset.digest) == ("main.retail.sales", "v17")
    assert (source.path, source.delta_table_version) == ("/data/sales", 17)


def test_the_environment_is_a_requirements_file(registry):
    from packaging.requirements import Requirement

    with registry.start_run("fit") as run:
        pass
    lines = artifact(registry, run, "environment.txt").splitlines()
    pinned = {Requirement(line).name.lower(): str(Requirement(line).specifier) for line in lines if line[0] != "#"}
    import pandas as pd

    assert pinned["pandas"] == f"=={pd.__version__}"
    assert "lakemill" in pinned


def _git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    _git(folder, "init", "-q")
    (folder / "steps.py").write_text("1")
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "first")
    return folder


@pytest.mark.parametrize(
    ("changed", "dirty"), [({}, "false"), ({"steps.py": "2"}, "true"), ({"unknown.py": "1"}, "true")]
)
def test_a_run_records_commit_and_changes(folder, project, changed, dirty):
    for name, text in changed.items():
        (project / name).write_text(text)
    registry = opened(folder, project_dir=str(project))
    with registry.start_run("fit") as run:
        pass
    tags = run_of(registry, run).data.tags
    assert tags["mlflow.source.git.commit"] == _git(project, "rev-parse", "HEAD")
    assert tags["lakemill.git.dirty"] == dirty


def test_outside_of_git_a_run_has_no_commit(registry, folder, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    with registry.start_run("fit") as run:
        pass
    assert "mlflow.source.git.commit" not in run_of(registry, run).data.tags


@pytest.mark.parametrize(("error", "status"), [(ValueError("no rows"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_run_that_fails_keeps_its_error(registry, error, status):
    with pytest.raises(type(error)), registry.start_run("fit") as run:
        raise error
    kept = run_of(registry, run)
    assert kept.info.status == status
    assert kept.info.end_time is not None
    assert kept.data.tags["lakemill.error"] == f"{type(error).__name__}: {error}"
    assert "test_a_run_that_fails_keeps_its_error" in artifact(registry, run, "error.txt")
    assert kept.data.metrics["run_seconds"] > 0


def test_runs_nest(registry):
    with registry.start_run("many") as parent, registry.start_run("one", parent_run_id=parent.run_id) as child:
        pass
    assert run_of(registry, child).data.tags["mlflow.parentRunId"] == parent.run_id
    assert "mlflow.parentRunId" not in run_of(registry, parent).data.tags


def _left_open(registry, name: str = "fit", **tags: str):
    """Leave a run open, as a killed process does."""
    every = {**registry._experiment._tags(""), **tags}
    return registry.client.create_run(registry._experiment.id, run_name=name, tags=every).info.run_id


@pytest.mark.parametrize(
    ("context", "name", "tags", "ended"),
    [
        (Context(user="ann", run_id="job-7", task_key="train"), "fit", {}, True),
        (Context(user="ann", run_id="job-7", task_key="train"), "other", {}, False),
        (Context(user="ann", run_id="job-7", task_key="train"), "fit", {"mlflow.parentRunId": "abc"}, False),
        (Context(user="ann", run_id="job-8", task_key="train"), "fit", {}, False),
        (Context(user="ann", run_id="job-7", task_key="test"), "fit", {}, False),
        (Context(user="ann"), "fit", {}, False),
    ],
)
def test_the_next_attempt_at_a_task_ends_the_run_of_the_killed_one(folder, context, name, tags, ended):
    left = _left_open(opened(folder, context=context), name, **tags)
    second = opened(folder, context=Context(user="ann", run_id="job-7", task_key="train"))
    with second.start_run("fit"), second.start_run("fit") as inner:
        kept = second.client.get_run(left)
    assert kept.info.status == ("KILLED" if ended else "RUNNING")
    assert ("lakemill.error" in kept.data.tags) is ended
    assert run_of(second, inner).info.status == "FINISHED"


def test_a_deleted_experiment_says_how_to_get_it_back(folder, registry):
    identity = registry._experiment.id
    registry.client.delete_experiment(identity)
    with pytest.raises(ConfigError, match="is deleted") as error, opened(folder).start_run("fit"):
        pass
    assert identity in error.value.hint


def test_artifacts_that_cannot_be_written_are_a_storage_error(folder):
    (folder / "blocked").write_text("a file, not a folder")
    registry = opened(folder, artifacts=str(folder / "blocked"))
    with pytest.raises(StorageError, match="blocked"), registry.start_run("fit"):
        pass
