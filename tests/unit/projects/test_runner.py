from __future__ import annotations

import getpass
import sys
import textwrap
import threading
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from lakemill.core.errors import MissingExtraError, NotFoundError, StorageError, TaskError
from lakemill.core.events import Event
from lakemill.metadata import Database
from lakemill.projects import JobRun, find_run, load_project, run_job, runs, with_engine
from lakemill.projects.graph import Ending
from lakemill.projects.project import Job, Task
from lakemill.projects.protocol import Outcome
from lakemill.projects.runs import Order, RunStore, without_runner


def project(folder: Path, tasks: str, steps: str, *, head: str = ""):
    text = f"bundle: {{name: x}}\nresources:\n  jobs:\n    j:\n{head}      tasks:\n{textwrap.indent(textwrap.dedent(tasks).strip(), '        ')}\n"
    (folder / "lakemill.yml").write_text(text)
    (folder / "steps.py").write_text("from pathlib import Path\n" + textwrap.dedent(steps))
    return load_project(folder)


def attempts(run: JobRun) -> list[tuple[str, int, str]]:
    return [(task.task_key, task.attempt, task.status) for task in run.tasks]


def test_a_job_runs_its_tasks_and_records_them(tmp_path):
    made = project(
        tmp_path,
        """
        - {task_key: first, python: "steps:first", parameters: {table: t}}
        - {task_key: second, python: "steps:second", depends_on: [{task_key: first}]}
        """,
        """
        from lakemill.core.events import Event

        def first(ws, table, days, ratio=0.5):
            print("printed by first")
            assert Path("steps.py").exists()                   # the folder of the project is the present one
            context = ws.context
            ws.emit(Event(kind="progress", done=1, total=2, unit="rows"))
            return f"{table} {days!r} {ratio!r} {context.user} {context.run_id} {context.task_key}"

        def second(ws):
            import subprocess, sys
            subprocess.run([sys.executable, "-c", "x = bytearray(300 * 2**20)"], check=True)
            assert ws.table("main.a.b").exists() is False
        """,
        head="      parameters: [{name: days, default: 3}, {name: unused, default: x}]\n",
    )
    events: list[Event] = []
    run = run_job(made, "j", parameters={"days": "7"}, emit=events.append)
    assert (run.job, run.target, run.status, run.user) == ("j", "dev", "success", getpass.getuser())
    assert run.parameters == {"days": 7, "unused": "x"}
    first, second = run.tasks
    assert first.message == f"t 7 0.5 {getpass.getuser()} {run.run_id} first"
    assert "printed by first" in Path(first.log).read_text()
    assert Path(first.log).is_relative_to(tmp_path / ".lakemill" / "logs" / run.run_id)
    assert run.created_at < run.started_at < first.started_at < first.ended_at < second.started_at < run.ended_at
    assert 2**24 < first.peak_bytes < 300 * 2**20 < second.peak_bytes < 2**30
    assert events == [
        Event(kind="start", stage="first"),
        Event(kind="progress", stage="first", done=1, total=2, unit="rows"),
        Event(kind="end", stage="first", text=first.message),
        Event(kind="start", stage="second"),
        Event(kind="end", stage="second"),
    ]
    assert runs(made) == (run,)
    assert find_run(made, run.run_id) == run


def test_a_failure_stops_what_depends_on_it_and_is_told_with_its_traceback(tmp_path):
    made = project(
        tmp_path,
        """
        - {task_key: good, python: "steps:good"}
        - {task_key: bad, python: "steps:bad"}
        - {task_key: exits, python: "steps:exits"}
        - {task_key: told, python: "steps:told"}
        - {task_key: absent, python: "steps:absent"}
        - {task_key: after, python: "steps:good", depends_on: [{task_key: good}, {task_key: bad}]}
        - {task_key: alarm, python: "steps:good", depends_on: [{task_key: bad}], run_if: AT_LEAST_ONE_FAILED}
        - {task_key: calm, python: "steps:good", depends_on: [{task_key: good}], run_if: AT_LEAST_ONE_FAILED}
        """,
        """
        from lakemill.core.errors import SchemaError
        def good(ws): return "ok"
        def bad(ws): raise ValueError("no such thing")
        def exits(ws): raise SystemExit(3)
        def told(ws): raise SchemaError("column a is missing", hint="add it")
        """,
    )
    with pytest.raises(TaskError) as caught:
        run_job(made, "j")
    (run,) = runs(made)
    assert run.status == "failed"
    assert {task.task_key: task.status for task in run.tasks} == {
        "good": "success",
        "bad": "failed",
        "exits": "failed",
        "told": "failed",
        "absent": "failed",
        "after": "upstream_failed",
        "alarm": "success",
        "calm": "excluded",
    }
    error = {task.task_key: task.error for task in run.tasks}
    assert error["bad"] == "ValueError: no such thing"
    assert error["exits"] == "SystemExit: 3"
    assert error["told"] == "column a is missing\n  hint: add it"
    assert error["absent"].startswith("steps:absent: nothing is called 'absent' there")
    assert f"run {run.run_id} failed" in caught.value.message
    for key in ("bad", "exits", "told", "absent"):
        assert f"task {key!r} failed: {error[key]}" in caught.value.message
    trace = next(task.traceback for task in run.tasks if task.task_key == "bad")
    assert trace.startswith(f'Traceback (most recent call last):\n  File "{tmp_path}/steps.py", line 5, in bad')
    assert trace.endswith("ValueError: no such thing\n")
    assert run_again_is_new(made, run)


def run_again_is_new(made, run: JobRun) -> bool:
    with pytest.raises(TaskError):
        run_job(made, "j")
    newest, older = runs(made)
    return older.run_id == run.run_id != newest.run_id and len(newest.tasks) == len(run.tasks)


def test_a_failure_that_is_handled_is_not_a_failure_of_the_run(tmp_path):
    made = project(
        tmp_path,
        """
        - {task_key: bad, python: "steps:bad"}
        - {task_key: cleanup, python: "steps:good", depends_on: [{task_key: bad}], run_if: ALL_DONE}
        """,
        "def good(ws): return 'clean'\ndef bad(ws): raise ValueError('x')\n",
    )
    assert run_job(made, "j").status == "success_with_failures"


def test_retries_are_counted_spaced_and_endless_if_asked(tmp_path):
    made = project(
        tmp_path,
        """
        - {task_key: third, python: "steps:third_time", max_retries: 2, min_retry_interval_millis: 2500}
        - {task_key: fourth, python: "steps:third_again", max_retries: -1, depends_on: [{task_key: third}]}
        - {task_key: hangs, python: "steps:hangs_once", max_retries: 1, retry_on_timeout: true, timeout_seconds: 8}
        """,
        """
        import time
        def count(name):
            path = Path(name)
            path.write_text(path.read_text() + "x" if path.exists() else "x")
            return len(path.read_text())
        def third_time(ws):
            if count("third") < 3: raise ValueError("not yet")
        def third_again(ws):
            if count("fourth") < 3: raise ValueError("not yet")
        def hangs_once(ws):
            if count("hangs") < 2: time.sleep(600)
        """,
    )
    events: list[Event] = []
    run = run_job(made, "j", emit=events.append)
    by_key = {key: [task for task in run.tasks if task.task_key == key] for key in ("third", "fourth", "hangs")}
    assert [task.status for task in by_key["third"]] == ["failed", "failed", "success"]
    assert [task.status for task in by_key["fourth"]] == ["failed", "failed", "success"]
    assert [task.status for task in by_key["hangs"]] == ["timed_out", "success"]
    starts = [task.started_at for task in by_key["third"]]
    assert all(timedelta(seconds=2.5) <= b - a < timedelta(seconds=8) for a, b in pairwise(starts))
    notes = [event.text for event in events if event.kind == "note" and event.stage == "third"]
    assert len(notes) == 2
    assert all(note.startswith("ValueError: not yet; tried again in ") for note in notes)


def test_engines_that_were_used_are_recorded(tmp_path):
    made = project(tmp_path, "- {task_key: t, python: 'steps:t'}", "def t(ws): ws.frames, ws.tasks\n")
    assert run_job(made, "j").tasks[0].engines == {"frames": "local", "tasks": "local"}


def test_jobs_of_two_projects_run_in_one_process(tmp_path):
    ended = []
    threads = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made = project(tmp_path / name, "- {task_key: t, python: 'steps:t'}", f"def t(ws): return '{name}'\n")
        assert runs(made) == ()
        threads.append(threading.Thread(target=lambda made=made: ended.append(run_job(made, "j").tasks[0].message)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ended) == ["one", "two"]


def test_what_is_not_there_is_named(tmp_path):
    made = project(
        tmp_path, "- {task_key: t, python: 'steps:t'}", "", head="      parameters: [{name: days, default: 3}]\n"
    )
    with pytest.raises(NotFoundError, match=r"no job 'k'"):
        run_job(made, "k")
    with pytest.raises(NotFoundError, match=r"job 'j' has no parameter 'day'\n  hint: did you mean days\?"):
        run_job(made, "j", parameters={"day": "3"})
    assert runs(made) == ()


def test_a_spoiled_state_of_jobs_is_told(tmp_path):
    made = project(tmp_path, "- {task_key: t, python: 'steps:t'}", "def t(ws): ...\n")
    (tmp_path / ".lakemill").mkdir()
    (tmp_path / ".lakemill" / "jobs.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match=r"state of jobs in sqlite:.*jobs\.db: file is not a database"):
        run_job(made, "j")
    (tmp_path / ".lakemill" / "jobs.db").unlink()
    assert run_job(made, "j").status == "success"


# --- records ---


@pytest.fixture
def store(tmp_path):
    with closing(Database(f"sqlite:///{tmp_path}/metadata.db")) as database:
        yield RunStore(database)


def order(**changes) -> Order:
    task = Task(task_key="t", python="m:f", parameters=changes.pop("own", {}))
    return Order(**{"job": "j", "target": "dev", "parameters": {"a": 1}, "definition": Job(tasks=(task,))} | changes)


def test_equal_work_has_an_equal_name():
    retried = Job(tasks=(Task(task_key="t", python="m:g", max_retries=5),))
    assert order().work == order(definition=retried).work
    others = [order(job="k"), order(target="prod"), order(parameters={"a": 2}), order(own={"p": 1})]
    assert len({order().work, *(other.work for other in others)}) == 5


def test_what_is_due_is_equal_work_that_came_before_and_has_not_ended(store):
    for name, asked in (
        ("done", order()),
        ("broken", order()),
        ("other", order(job="k")),
        ("mine", order()),
        ("later", order()),
    ):
        store.create(name, asked, user="ann")
    store.end("done", "success")
    store.begin("broken")
    store.begin("other")
    store.interrupt()
    assert store.due("mine") == ("broken", "mine")
    assert store.interrupted(order().work) == ("broken",)
    store.end("mine", "cancelled")
    assert store.due("later") == ("broken", "later")
    assert [run.run_id for run in store.newest(2)] == ["later", "mine"]
    with pytest.raises(NotFoundError, match="no run 'none'"):
        store.get("none")


def test_attempts_are_recorded_and_lose_their_runner(store):
    store.create("r", order(), user="ann")
    store.begin("r")
    store.begin_task("r", "t", attempt=1, log="/log")
    store.end_task(
        "r",
        "t",
        attempt=1,
        outcome=Outcome(status="failed", error="e", traceback="tb", peak_bytes=7, engines={"frames": "local"}),
    )
    store.begin_task("r", "t", attempt=2, log="/log2")
    store.skip_task("r", "u", "excluded")
    store.skip_task("r", "u", "excluded")
    first, second = store.attempts("r", "t")
    assert (first.status, first.error, first.traceback, first.peak_bytes, first.engines) == (
        "failed",
        "e",
        "tb",
        7,
        {"frames": "local"},
    )
    assert (second.status, second.ended_at, second.log) == ("running", None, "/log2")
    dead = without_runner(store.get("r"))
    store.interrupt()
    assert dead == store.get("r")
    assert attempts(dead) == [("t", 1, "failed"), ("t", 2, "interrupted"), ("u", 0, "excluded")]
    begun = dead.started_at
    store.begin("r")
    assert store.get("r").started_at == begun


def test_an_ending_is_no_more_than_its_status_and_text():
    assert Ending(status="success").message == ""


def test_an_engine_whose_package_is_missing_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    made = project(tmp_path, '- {task_key: a, python: "steps:a"}', "def a(ws): pass")
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "lakemill.engines.tasks.ray", raising=False)
    with pytest.raises(MissingExtraError, match="kind 'ray'") as refused:
        run_job(with_engine(made, "ray"), "j")
    assert refused.value.hint == "pip install 'lakemill[ray]'"
    assert runs(made) == ()
