"""The commands on a small project, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lakemill.cli.main import app

pytestmark = pytest.mark.xdist_group("cli")  # the project is run once

LAKEMILL = [sys.executable, "-c", "from lakemill.cli.main import main; main()"]

PROJECT = """\
bundle: {name: shop}
variables:
  rows: {default: 5}
targets:
  dev: {default: true}
  other: {workspace: {root: other}, variables: {rows: 7}}
resources:
  jobs:
    good:
      tasks:
        - {task_key: ingest, python: "steps:ingest", parameters: {rows: "${var.rows}"}}
        - {task_key: report, python: "steps:report", depends_on: [{task_key: ingest}]}
    bad:
      tasks:
        - {task_key: broken, python: "steps:broken"}
        - {task_key: after, python: "steps:report", depends_on: [{task_key: broken}]}
    slow:
      tasks: [{task_key: sleep, python: "steps:sleep"}]
"""

STEPS = '''\
import os
import time
import pyarrow as pa
from lakemill.core.events import Event

def ingest(ws, rows):
    """Noise must not reach standard output."""
    print("noise of python")
    os.system("echo noise of a child; echo noise of a child >&2")
    data = pa.table({"day": range(rows), "what": ["a [b]"] * rows, "price": [0.1 + 0.2] * rows})
    ws.table("main.shop.sales").write(data, mode="merge", keys=["day"])
    ws.catalog.comment("main.shop.sales", "raw lines")
    ws.catalog.tag("main.shop.sales", source="till")
    for done in range(rows + 1):
        ws.emit(Event(kind="progress", stage="ingest", done=done, total=rows, unit="rows"))
    return f"{rows} rows"

def report(ws):
    (ws.folder("reports") / "shop.html").write_text("<p>all is well</p>")

def broken(ws):
    raise ValueError("boom [red]")

def sleep(ws):
    ws.emit(Event(kind="note", stage="sleep", text="asleep"))
    time.sleep(60)
'''


def lakemill(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LAKEMILL, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def make(folder: Path) -> Path:
    (folder / "lakemill.yml").write_text(PROJECT)
    (folder / "steps.py").write_text(STEPS)
    return folder


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Path:
    """A project whose job has run once."""
    folder = make(tmp_path_factory.mktemp("shop"))
    done = lakemill(folder, "run", "good", "--json")
    assert done.returncode == 0, done.stderr
    (folder / "run.json").write_text(done.stdout)
    (folder / "events.txt").write_text(done.stderr)
    return folder


@pytest.fixture
def inside(shop, monkeypatch) -> Path:
    monkeypatch.chdir(shop)
    return shop


def asked(*arguments: str) -> dict:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def shown(*arguments: str) -> list[str]:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_a_run_prints_one_document_and_tells_its_progress_on_standard_error(shop):
    told = json.loads((shop / "run.json").read_text())
    assert set(told) == {"run", "report", "error"}
    assert [(task["task_key"], task["status"], task["message"]) for task in told["run"]["tasks"]] == [
        ("ingest", "success", "5 rows"),
        ("report", "success", ""),
    ]
    assert (told["run"]["status"], told["error"]) == ("success", None)
    assert told["report"] == str(shop / ".lakemill" / "reports" / "shop.html")
    events = [line.split(" s  ")[1] for line in (shop / "events.txt").read_text().splitlines()]
    changes = [line.partition(" (")[0] for line in events if not line.startswith("ingest/")]  # a slow run tells more
    assert changes == [
        "ingest: started",
        "ingest: 5 rows",
        "report: started",
        "report: done",
    ]


def test_run_for_a_person(tmp_path):
    done = lakemill(make(tmp_path), "run", "good", "--target", "other", "--set", "rows=3", "--engine", "local")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert lines[0] == ["task", "state", "time", "peak", "memory", "engines", "result"]
    assert lines[1][:3] == ["ingest", "✓", "success"]
    assert lines[1][-2:] == ["3", "rows"]
    assert lines[2][:3] == ["report", "✓", "success"]
    assert lines[-1] == ["report", str(tmp_path / "other" / "reports" / "shop.html")]
    assert "noise" not in done.stdout + done.stderr


def test_a_job_that_fails(tmp_path):
    make(tmp_path)
    done = lakemill(tmp_path, "run", "bad", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 3
    assert (told["run"]["status"], told["error"]["exit_code"], told["report"]) == ("failed", 3, None)
    assert {task["task_key"]: task["status"] for task in told["run"]["tasks"]} == {
        "broken": "failed",
        "after": "upstream_failed",
    }
    assert "error: run" in done.stderr
    assert "ValueError: boom [red]" in done.stderr
    assert "Traceback" not in done.stderr
    again = lakemill(tmp_path, "run", "bad", "--debug")
    assert again.returncode == 3
    assert 'raise ValueError("boom [red]")' in again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on_and_can(tmp_path, number):
    make(tmp_path)
    process = subprocess.Popen([*LAKEMILL, "run", "slow"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "asleep" not in (line := process.stderr.readline()):
        assert line, "it ended early"
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert "interrupted: finished tasks are kept" in rest
    assert "Traceback" not in rest
    process.stderr.close()
    (found,) = json.loads(lakemill(tmp_path, "runs", "--json").stdout)["runs"]
    assert found["status"] == "interrupted"


def test_runs(inside):
    run_id = json.loads((inside / "run.json").read_text())["run"]["run_id"]
    assert run_id in [run["run_id"] for run in asked("runs")["runs"]]
    assert asked("runs", run_id)["run"] == json.loads((inside / "run.json").read_text())["run"]
    assert any(line.startswith(f"{run_id} good dev ✓ success") for line in shown("runs"))
    one = shown("runs", run_id)
    assert one[:3] == [f"run {run_id}", "job good in target dev", "state ✓ success"]
    assert any(line.startswith("ingest ✓ success") and line.endswith("5 rows") for line in one)


def test_tables(inside):
    (listed,) = asked("tables")["tables"]
    assert (listed["name"], listed["comment"], listed["tags"]) == ("main.shop.sales", "raw lines", {"source": "till"})
    assert [column["name"] for column in listed["columns"]] == ["day", "what", "price"]
    assert shown("tables")[1] == f"main.shop.sales {listed['version']} 3 day raw lines"


def test_one_table(inside):
    run_id = json.loads((inside / "run.json").read_text())["run"]["run_id"]
    told = asked("tables", "main.shop.sales")["table"]
    assert sorted(row["day"] for row in told["rows"]) == [0, 1, 2, 3, 4]
    assert told["primary_keys"] == ["day"]
    assert told["history"][0]["run_id"] == run_id
    written = [(edge["kind"], edge["task_key"], edge["run_id"]) for edge in told["lineage"]]
    assert written == [("write", "ingest", run_id)] * len(written)
    lines = shown("tables", "main.shop.sales")
    assert lines[:4] == ["table main.shop.sales", "comment raw lines", "tags source=till", "primary key day"]
    assert "day int64 not null" in lines
    assert "3 a [b] 0.3" in lines


def test_looking_at_a_table_is_no_lineage(inside):
    before = asked("tables", "main.shop.sales")["table"]["lineage"]
    assert asked("tables", "main.shop.sales")["table"]["lineage"] == before


def test_report(inside):
    path = str(inside / ".lakemill" / "reports" / "shop.html")
    assert asked("report") == {"report": path}
    assert shown("report") == [path]


def test_validate(inside):
    told = asked("validate", "--target", "other", "--set", "rows=9")
    assert told["valid"] is True
    tasks = told["project"]["jobs"]["good"]["tasks"]
    assert [task["parameters"] for task in tasks] == [{"rows": 9}, {}]
    assert "job good: ingest report" in shown("validate")


def test_schema_is_that_of_the_project_file(inside):
    told = asked("schema")
    assert told["required"] == ["bundle"]
    assert told["properties"]["resources"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "god"], 1, "did you mean good?"),
        (["run", "good", "--engine", "rey"], 2, "did you mean ray?"),
        (["run", "good", "--set", "rows"], 2, "expected NAME=VALUE, got 'rows'"),
        (["run", "good", "--set", "rows=many"], 2, "expected integer, got 'many'"),
        (["run", "good", "--set", "row=1"], 1, "did you mean rows?"),
        (["validate", "--target", "prod"], 1, "no target 'prod'"),
        (["runs", "good-1"], 1, "`lakemill runs` lists them"),
        (["tables", "main.shop.sale"], 1, "did you mean main.shop.sales?"),
        (["report", "--target", "other"], 1, "`lakemill run JOB` writes one"),
        (["init", ".", "--template", "demnd"], 1, "did you mean demand?"),
    ],
)
def test_bad_input(inside, arguments, code, words):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_validate_names_the_place_and_the_nearest_key(tmp_path, monkeypatch):
    make(tmp_path)
    (tmp_path / "lakemill.yml").write_text(PROJECT.replace("resources:", "resorces:"))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["validate"])
    assert result.exit_code == 2
    assert "lakemill.yml:7:1" in result.stderr
    assert "did you mean resources?" in result.stderr


def test_validate_finds_functions_that_are_not_there(tmp_path, monkeypatch):
    make(tmp_path)
    (tmp_path / "steps.py").write_text(STEPS.replace("def report", "def reprot"))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["validate"])
    assert result.exit_code == 2
    assert "did you mean reprot?" in result.stderr


def test_no_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("validate", "runs", "tables", "models", "report"):
        result = CliRunner().invoke(app, [command])
        assert result.exit_code == 1
        assert "`lakemill init DIR` writes a project" in result.stderr


def test_init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = asked("init", "mine")
    assert (told["project"], told["template"]) == ("mine/lakemill.yml", "demand")
    assert told["jobs"] == ["demand"]
    result = CliRunner().invoke(app, ["init", "mine"])
    assert result.exit_code == 1
    assert "is there already" in result.stderr


def test_usage_errors_and_version():
    assert CliRunner().invoke(app, ["rn"]).exit_code == 2
    assert CliRunner().invoke(app, ["run"]).exit_code == 2
    assert CliRunner().invoke(app, ["--version"]).stdout == f"lakemill {version('lakemill')}\n"


def test_every_command_has_an_example():
    for command in ("init", "validate", "run", "runs", "tables", "models", "report", "schema"):
        assert f"lakemill {command}" in CliRunner().invoke(app, [command, "--help"]).output.partition("Example:")[2]


def test_help_starts_fast_and_light():
    heavy = ["pandas", "numpy", "pyarrow", "mlflow", "duckdb", "dbos", "deltalake", "sqlalchemy", "pydantic", "yaml"]
    code = f"""
import sys
from lakemill.cli.main import app
try:
    app(["--help"])
except SystemExit:
    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Exit codes: 0 done" in done.stdout


@pytest.mark.parametrize(
    ("words", "number", "offered"),
    [("lakemill run ", 2, {"good", "bad", "slow"}), ("lakemill run good --engine ", 4, {"local", "ray"})],
)
def test_the_shell_completes_jobs_and_engines(shop, words, number, offered):
    asked_by_shell = {"_LAKEMILL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    done = subprocess.run(
        LAKEMILL, cwd=shop, env=os.environ | asked_by_shell, capture_output=True, text=True, check=False
    )
    assert offered <= set(done.stdout.split())
