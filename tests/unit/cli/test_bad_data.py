"""Bad data and missing parts, each met by a task of its own: told in words, and the tables stay as they were."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import polars as pl
import pytest

from tests.unit.cli.test_commands import LAKEMILL, lakemill

STEPS = """\
import pandas as pd
import lakemill as lm

ROWS = pd.DataFrame({"k": [1, 2], "t": [0, 0], "v": ["a", "b"]})

def load(ws):
    ws.table("main.a.rows").write(ROWS, mode="merge", keys=["k"])
    ws.table("main.a.empty").write(ROWS)
    ws.table("main.a.empty").write(ROWS.head(0), mode="overwrite")

def missing_column(ws):
    ws.table("main.a.rows").write(ROWS[["k", "t"]], mode="merge")

def wrong_type(ws):
    ws.table("main.a.rows").write(ROWS.assign(v=1.5), mode="merge")

def duplicate_key(ws):
    ws.table("main.a.rows").write(pd.concat([ROWS, ROWS]), mode="merge")

def not_parquet(ws):
    open("raw.parquet", "w").write("no parquet at all")
    ws.table("main.a.new").write(ws.sql("select * from 'raw.parquet'"))

def training(table):
    return lm.ManyTraining(training_set=table, by="k", time="t", fit=lambda rows: None, registered_model="main.a.m")

empty_table = training("main.a.empty")
whole = training("main.a.rows")
"""

TOLD = {
    "missing_column": ("missing column 'v'", "evolve=True fills columns that are missing with nulls"),
    "wrong_type": ("column 'v' is double, the table has string", "cast the data to the table's types"),
    "duplicate_key": ("2 rows have the key k=", "keep one row per key"),
    "not_parquet": ("raw.parquet", ""),
    "empty_table": ("the table to train on is empty", "run the step that fills it first"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project of a job whose tasks all fail, after one that has loaded the tables, and of one that needs Ray."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "steps.py").write_text(STEPS)
    tasks = [{"task_key": key, "python": f"steps:{key}", "depends_on": [{"task_key": "load"}]} for key in TOLD]
    bad = {"tasks": [{"task_key": "load", "python": "steps:load"}, *tasks]}
    far = {"tasks": [{"task_key": "train", "python": "steps:whole"}]}
    project = {"bundle": {"name": "bad"}, "resources": {"jobs": {"bad": bad, "far": far}}}
    (folder / "lakemill.yml").write_text(json.dumps(project))
    return folder


@pytest.fixture(scope="module")
def done(folder) -> subprocess.CompletedProcess[str]:
    return lakemill(folder, "run", "bad")


@pytest.mark.parametrize("key", TOLD)
def test_each_is_told_with_what_to_do(done, key):
    (line,) = [line for line in done.stderr.splitlines() if f"task {key!r} failed: " in line]
    told = done.stderr[done.stderr.index(line) :].split("task '")[1]
    for words in TOLD[key]:
        assert " ".join(words.split()) in " ".join(told.split())


def test_the_command_fails_without_a_traceback_and_leaves_all_whole(done, folder):
    assert done.returncode == 3
    assert "Traceback" not in done.stderr + done.stdout
    location = folder / ".lakemill" / "tables" / "main" / "a" / "rows"
    assert pl.read_delta(str(location)).sort("k").rows() == [(1, 0, "a"), (2, 0, "b")]
    listed = json.loads(lakemill(folder, "tables", "--json").stdout)["tables"]
    assert [table["name"] for table in listed] == ["main.a.empty", "main.a.rows"]
    run = json.loads(lakemill(folder, "runs", "--json").stdout)["runs"][-1]
    assert {task["task_key"]: task["status"] for task in run["tasks"]} == {"load": "success"} | dict.fromkeys(
        TOLD, "failed"
    )
    assert json.loads(lakemill(folder, "models", "--json").stdout) == {"models": []}


def test_a_missing_extra_is_told_with_the_command_that_installs_it(done, folder):
    (folder / "without").mkdir()
    (folder / "without" / "ray.py").write_text("raise ModuleNotFoundError(\"No module named 'ray'\", name='ray')")
    command = [*LAKEMILL, "run", "far", "--engine", "ray"]
    environment = {**os.environ, "PYTHONPATH": str(folder / "without")}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "kind 'ray' of lakemill.engines.tasks needs a package that is not installed" in run.stderr
    assert "hint: pip install 'lakemill[ray]'" in run.stderr
    assert "Traceback" not in run.stderr
