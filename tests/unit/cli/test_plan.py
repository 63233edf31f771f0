"""`lakemill plan` and `lakemill hardware`, as a user types them."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from lakemill.cli.main import app
from lakemill.projects import open_workspace, run_job
from lakemill.projects.load import load_project
from lakemill.workspace.hardware import keep
from lakemill.workspace.planning import state_of
from tests.unit.workspace.test_hardware import HARDWARE

pytestmark = pytest.mark.xdist_group("plan")  # the project is trained once

STEPS = """
import lakemill as lm
import pyarrow as pa

def load(ws):
    rows = pa.table({"k": [number // 10 for number in range(200)], "t": range(200), "y": [1.0] * 200})
    ws.table("main.a.rows").write(rows, mode="overwrite")

class Level:
    def predict(self, rows):
        return [1.0] * len(rows)

train = lm.ManyTraining(
    training_set="main.a.rows", by="k", time="t", fit=lambda rows: Level(), registered_model="main.a.model"
)
"""
PROJECT = """
bundle: {name: planned}
resources:
  jobs:
    j:
      tasks:
        - {task_key: load, python: "steps:load"}
        - {task_key: train, python: "steps:train", depends_on: [{task_key: load}]}
"""
CLUSTERS = """
  clusters:
    prod: {node_type_id: m6i.4xlarge, kind: ray, autoscale: {max_workers: 8}, start_seconds: 0}
    unpriced: {node_type_id: rack, kind: local, start_seconds: 0}
node_types:
  rack: {cores: 48, memory_gib: 256, core_speed: 1.2}
"""
HEAVY = {"ray", "pyspark", "torch", "duckdb", "polars", "pandas", "mlflow", "dbos", "alembic"}
HEAVY |= {"statsforecast", "lightgbm", "sklearn", "scipy", "matplotlib"}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A project that has run once, on a machine that was measured before."""
    folder = tmp_path_factory.mktemp("planned")
    (folder / "steps.py").write_text(STEPS)
    (folder / "lakemill.yml").write_text(PROJECT)
    with open_workspace(folder) as ws:
        keep(HARDWARE, state_of(ws))
    run_job(load_project(folder), "j")
    return folder


def asked(folder, *arguments: str, code: int = 0) -> str:
    command = [sys.executable, "-c", "from lakemill.cli.main import main; main()", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


def test_a_declaration_is_planned(planned):
    (plan,) = json.loads(asked(planned, "plan", "--json"))["plans"].items()
    assert plan[0] == "train"
    facts, made = plan[1]["facts"], plan[1]["plan"]
    assert (facts["fits"], facts["rows"], facts["largest_share"]) == (20, 200, 0.05)
    assert made["bottleneck"] == "number of models"
    assert made["choice"]["lane"] == "local"
    assert made["assumed"] == []
    assert {one["workers"] for one in made["candidates"]} == {1, 2}


def test_a_plan_for_a_person(planned):
    told = asked(planned, "plan", "train")
    assert "number of models is the bottleneck: 20 fits of" in told
    assert "the fits are independent" in told
    (choice,) = [line.split() for line in told.splitlines() if line.startswith("choice")]
    assert choice[1] == "local"


def test_a_job_is_added_up(planned):
    said = json.loads(asked(planned, "plan", "j", "--json"))
    told, made = said["job"], said["plans"]["train"]
    load, train = told["tasks"]["load"], told["tasks"]["train"]
    assert [run["status"] for run in load["past"]] == ["success"]
    assert made["facts"]["fits"] == 20
    assert train["seconds"] == made["plan"]["choice"]["seconds"]
    assert (told["longest"], told["unknown"]) == (["load", "train"], [])
    assert told["seconds"]["value"] == pytest.approx(load["seconds"]["value"] + train["seconds"]["value"])


def test_a_job_for_a_person(planned):
    lines = asked(planned, "plan", "j").split("expected")[1].splitlines()
    assert "its last run" in next(line for line in lines if line.startswith("load"))
    assert "its plan" in next(line for line in lines if line.startswith("train"))
    assert next(line for line in lines if line.startswith("in all")).endswith(": load > train")


def test_a_job_that_never_ran_is_not_known(tmp_path):
    (tmp_path / "steps.py").write_text("def load(ws): pass")
    tasks = "[{task_key: load, python: 'steps:load'}]"
    (tmp_path / "lakemill.yml").write_text(f"bundle: {{name: x}}\nresources: {{jobs: {{j: {{tasks: {tasks}}}}}}}")
    told = asked(tmp_path, "plan", "j")
    assert "not known" in told
    assert "it never ran; it is a function" in told
    assert "not in it  load" in told


def test_a_deadline_that_nothing_meets_says_by_how_much(planned):
    told = asked(planned, "plan", "train", "--deadline", "0.01")
    assert "choice" not in told
    assert "relax the deadline from 10 ms to" in told


def test_what_was_predicted_stands_beside_what_was_measured(planned):
    (past,) = json.loads(asked(planned, "plan", "--history", "--json"))["history"]
    assert (past["work"], past["items"], past["rows"], past["lane"]) == ("main.a.model", 20, 200, "local")
    seconds = past["predicted"]["seconds"]
    assert seconds["low"] < seconds["value"] < seconds["high"]
    assert past["predicted"]["basis"] == "assumed"  # it had never run
    assert "main.a.model" in asked(planned, "plan", "--history")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plan", "trian"), ("no job and no task 'trian'", "train")),
        (("plan", "load"), ("nothing is known of the work of load", "a declaration")),
        (("plan", "--deadline", "-1"), ("deadline_seconds", "got -1.0")),
    ],
)
def test_bad_input(planned, arguments, words):
    told = asked(planned, *arguments, code=2 if arguments[1] != "load" else 1)
    assert all(word in told for word in words), told


@pytest.mark.parametrize("arguments", [("plan", "train", "--html"), ("validate",), ("tables",), ("runs",), ("--help",)])
def test_what_only_tells_opens_no_engine_and_loads_nothing_heavy(planned, arguments):
    code = (
        "import sys; from lakemill.cli.main import app; app(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=planned, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.splitlines()[-1].split())


def test_hardware_is_shown_as_it_was_measured(planned, monkeypatch):
    monkeypatch.chdir(planned)
    told = CliRunner().invoke(app, ["hardware", "--json"])
    assert json.loads(told.stdout)["hardware"]["node"]["cores"] == HARDWARE.node.cores
    shown = CliRunner().invoke(app, ["hardware"]).stdout
    assert "frames" not in shown.split("local", 1)[0]
    assert "not installed" in shown


def test_a_project_without_declarations_has_nothing_to_plan(tmp_path):
    (tmp_path / "steps.py").write_text("def load(ws): pass")
    tasks = "[{task_key: load, python: 'steps:load'}]"
    (tmp_path / "lakemill.yml").write_text(f"bundle: {{name: x}}\nresources: {{jobs: {{j: {{tasks: {tasks}}}}}}}")
    assert "no task names a declaration" in asked(tmp_path, "plan", code=2)


@pytest.fixture
def clustered(planned, monkeypatch):
    """The same project, with clusters that are declared."""
    file = planned / "lakemill.yml"
    file.write_text(PROJECT.rstrip() + CLUSTERS)
    monkeypatch.chdir(planned)
    yield planned
    file.write_text(PROJECT)


def said(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["plan", *arguments])
    assert done.exit_code == code, done.output
    return done.stderr if code else done.stdout


def places(*arguments: str) -> set[tuple[str, str]]:
    made = json.loads(said("train", "--json", *arguments))["plans"]["train"]["plan"]
    return {(one["lane"], one["cluster"]) for one in made["candidates"]}


def test_declared_clusters_are_weighed_beside_this_machine(clustered):
    here, prod, rack = ("local", "this machine"), ("ray", "prod"), ("local", "unpriced")
    assert places() == {here, prod, rack}
    assert places("--cluster", "here") == {here}
    assert places("--cluster", "prod", "--cluster", "here") == {here, prod}
    told = said("train", "--cluster", "prod", "--cluster", "here")
    assert re.search(r"lane +on +workers +predicted +90 % sure +memory +cost\n", told)
    assert re.search(r"\n +ray +prod: 1 x m6i.4xlarge +\d+ ", told)
    assert "assumed, not measured: core_speed of prod, costs of ray" in told


def test_the_cheapest_is_what_is_paid_already(clustered):
    made = json.loads(said("train", "--json", "--cheapest", "--cluster", "here", "--cluster", "prod"))
    choice = made["plans"]["train"]["plan"]["choice"]
    assert (choice["cluster"], choice["money"]["value"]) == ("this machine", 0)


def test_a_budget_that_nothing_meets_says_by_how_much(clustered):
    told = said("train", "--cluster", "prod", "--budget", "0")
    assert "relax the budget from 0 to" in told
    assert "choice" not in told


def test_a_job_is_planned_task_by_task(clustered):
    assert list(json.loads(said("j", "--json"))["plans"]) == ["train"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cluster", "prdo"), ("no cluster 'prdo'", "did you mean prod?")),
        (("--budget", "1"), ("rack has none", "price_per_hour")),
        (("--cheapest",), ("rack has none", "price_per_hour")),
        (("--fastest", "--cheapest"), ("got --fastest and --cheapest", "one of them")),
        (("--budget", "-1", "--cluster", "here"), ("budget of Limits must be 0 or more, got -1.0",)),
        (("jj",), ("no job and no task 'jj'",)),
    ],
)
def test_wrong_wishes_are_told(clustered, arguments, words):
    told = said(*arguments, code=2)
    assert all(word in told for word in words), told


def test_a_page_is_written_where_it_is_asked_for(clustered, tmp_path):
    wanted = tmp_path / "pages" / "plan.html"
    assert str(wanted) in said("train", "--html", str(wanted))
    assert "Plan for train: local on" in wanted.read_text()
    told = json.loads(said("--json", "--html", "train"))
    assert list(told["plans"]) == ["train"]
    assert told["page"] == str(clustered / ".lakemill" / "plan.html")
    assert (clustered / ".lakemill" / "plan.html").read_text().startswith("<!DOCTYPE html>")


def test_tasks_of_one_key_are_told_apart_by_their_jobs(clustered):
    text = (clustered / "lakemill.yml").read_text()
    again = "    k:\n      tasks:\n        - {task_key: train, python: 'steps:train'}\n  clusters:"
    (clustered / "lakemill.yml").write_text(text.replace("  clusters:", again, 1))
    assert list(json.loads(said("--json"))["plans"]) == ["j.train", "k.train"]
    assert list(json.loads(said("k", "--json"))["plans"]) == ["k.train"]
    assert re.search(r"did you mean [jk]\.train\?", said("train", code=2))
