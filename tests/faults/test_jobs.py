"""What becomes of a job when its runner or a task's process is killed: real processes, real SIGKILL."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from dbos._dbos import DBOSRegistry

from lakemill.core.errors import TaskError
from lakemill.core.events import Event
from lakemill.metadata import Database
from lakemill.projects import durable, load_project, run_job, runs
from lakemill.projects.durable import Executor, _client
from lakemill.projects.runner import jobs_url
from lakemill.projects.runs import JobRun, RunStore

STEPS = """
import os, time
from pathlib import Path

def note(what, ws):
    with open("evidence.txt", "a") as file:
        file.write(f"{what} {ws.context.run_id} {ws.context.task_key} {os.getpid()} {time.monotonic()}\\n")

def quick(ws):
    note("begin", ws)
    note("end", ws)
    return "quick"

def gated(ws):
    '''Waits until the file `open` is there.'''
    note("begin", ws)
    while not Path("open").exists():
        time.sleep(0.02)
    note("end", ws)
    return "gated"
"""

THREE = """
      tasks:
        - {task_key: first, python: "steps:quick"}
        - {task_key: second, python: "steps:gated", depends_on: [{task_key: first}]}
        - {task_key: third, python: "steps:quick", depends_on: [{task_key: second}]}
"""


class Place:
    """A project in a folder, and the processes that run its job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        (folder / "steps.py").write_text(STEPS)
        self.define(THREE)

    def define(self, job: str) -> None:
        head = "bundle: {name: faults}\nresources:\n  jobs:\n    job:"
        (self.folder / "lakemill.yml").write_text(head + textwrap.dedent(job).rstrip().replace("\n", "\n      ") + "\n")

    def steps(self, source: str) -> None:
        (self.folder / "steps.py").write_text(STEPS + textwrap.dedent(source))

    def start(self) -> subprocess.Popen[str]:
        code = f"from lakemill.projects import *; run_job(load_project({str(self.folder)!r}), 'job', emit=lambda e: print(e.kind, e.stage, e.text, flush=True))"
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.started.append(process)
        return process

    def run(self, **options) -> JobRun:
        return run_job(load_project(self.folder), "job", **options)

    def runs(self) -> tuple[JobRun, ...]:
        return runs(load_project(self.folder))

    def evidence(self, what: str = "begin") -> list[list[str]]:
        path = self.folder / "evidence.txt"
        lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [line[1:] for line in lines if line[0] == what]

    def tasks(self, what: str = "begin") -> Counter[str]:
        return Counter(task for _run, task, *_rest in self.evidence(what))

    def open(self) -> None:
        (self.folder / "open").touch()


@pytest.fixture
def place(tmp_path: Path):
    place = Place(tmp_path)
    yield place
    for process in place.started:
        process.kill()
        process.wait()
        process.stdout.close()


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def attempts(run: JobRun) -> list[tuple[str, int, str]]:
    return [(task.task_key, task.attempt, task.status) for task in run.tasks]


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_a_killed_runner_leaves_no_task_at_work_and_the_next_goes_on_where_it_was(place):
    runner = place.start()
    until(lambda: place.tasks()["second"])
    child = int(place.evidence()[-1][2])
    kill(runner)
    until(lambda: not psutil.pid_exists(child))
    (interrupted,) = place.runs()
    assert interrupted.status == "interrupted"
    assert attempts(interrupted) == [("first", 1, "success"), ("second", 1, "interrupted")]
    place.open()
    notes = []
    run = place.run(emit=lambda event: notes.append(event.text))
    assert run.run_id == interrupted.run_id
    assert run.status == "success"
    assert place.tasks("end") == {"first": 1, "second": 1, "third": 1}
    assert place.tasks("begin") == {"first": 1, "second": 2, "third": 1}
    assert attempts(run)[2:] == [("second", 2, "success"), ("third", 1, "success")]
    assert notes[0] == f"going on with run {run.run_id}, which was interrupted; done before: first"


def test_a_run_goes_on_with_the_code_as_it_is_now_and_the_definition_that_it_began_with(place):
    runner = place.start()
    until(lambda: place.tasks()["second"])
    kill(runner)
    place.steps("def gated(ws):\n    note('end', ws)\n    return 'edited'\n")
    place.define("\ntasks:\n  - {task_key: other, python: 'steps:quick'}\n")
    notes = []
    run = place.run(emit=lambda event: notes.append(event.text))
    assert (run.status, place.tasks("end")) == ("success", {"first": 1, "second": 1, "third": 1})
    assert [task.message for task in run.tasks] == ["quick", "", "edited", "quick"]
    assert notes[1] == "the job's definition has changed since: this run keeps the one that it began with"
    assert len(place.runs()) == 1


def test_who_wants_to_begin_anew_cancels_what_was_interrupted(place):
    runner = place.start()
    until(lambda: place.tasks()["second"])
    kill(runner)
    place.open()
    run = place.run(resume=False)
    assert [(one.run_id == run.run_id, one.status) for one in place.runs()] == [(True, "success"), (False, "cancelled")]
    assert place.tasks("end") == {"first": 2, "second": 1, "third": 1}


def test_ctrl_c_ends_the_tasks_and_the_run_can_go_on(place):
    runner = place.start()
    until(lambda: place.tasks()["second"])
    child = int(place.evidence()[-1][2])
    runner.send_signal(signal.SIGINT)
    assert runner.wait(20) != 0
    assert "KeyboardInterrupt" in runner.stdout.read()
    assert not psutil.pid_exists(child)
    with closing(Database(load_project(place.folder).settings.metadata)) as database:
        assert RunStore(database).newest(1)[0].status == "interrupted"
    place.open()
    assert place.run().status == "success"
    assert place.tasks("end") == {"first": 1, "second": 1, "third": 1}


def test_two_runners_take_turns_and_each_run_does_each_task_once(place):
    first = place.start()
    until(lambda: place.tasks()["second"])
    second = place.start()
    assert f"is queued: run {place.runs()[-1].run_id} (process {first.pid} on" in second.stdout.readline()
    assert [run.status for run in place.runs()] == ["queued", "running"]
    place.open()
    assert (first.wait(60), second.wait(60)) == (0, 0)
    begun, ended = place.evidence("begin"), place.evidence("end")
    assert sorted(Counter((run, task) for run, task, *_ in begun).values()) == [1] * 6
    assert [run.status for run in place.runs()] == ["success", "success"]
    # one at a time: no task begins before the one that began earlier has ended
    assert all(float(end[-1]) < float(begin[-1]) for end, begin in zip(ended, begun[1:], strict=False))


def test_the_waiting_runner_takes_over_from_one_that_is_killed(place):
    first = place.start()
    until(lambda: place.tasks()["second"])
    second = place.start()
    assert "is queued" in second.stdout.readline()
    kill(first)
    place.open()
    assert second.wait(60) == 0
    newer, older = place.runs()
    assert (older.status, newer.status) == ("success", "success")
    assert attempts(older) == [
        ("first", 1, "success"),
        ("second", 1, "interrupted"),
        ("second", 2, "success"),
        ("third", 1, "success"),
    ]
    assert attempts(newer) == [("first", 1, "success"), ("second", 1, "success"), ("third", 1, "success")]
    assert f"first run {older.run_id}, which was asked for before" in second.stdout.read()


def test_a_waiting_runner_that_gives_up_takes_its_run_along(place):
    first = place.start()
    until(lambda: place.tasks()["second"])
    second = place.start()
    assert "is queued" in second.stdout.readline()
    second.send_signal(signal.SIGINT)
    second.wait(20)
    assert [run.status for run in place.runs()] == ["cancelled", "running"]
    place.open()
    assert first.wait(60) == 0
    assert sorted(place.tasks().values()) == [1, 1, 1]


def test_a_run_that_lost_its_waiting_runner_is_not_lost(place):
    first = place.start()
    until(lambda: place.tasks()["second"])
    second = place.start()
    assert "is queued" in second.stdout.readline()
    kill(second)
    place.open()
    assert first.wait(60) == 0
    assert [run.status for run in place.runs()] == ["interrupted", "success"]  # nobody is at work, so nobody waits
    place.run()
    assert [run.status for run in place.runs()] == ["success"] * 3


def test_kills_at_random_instants_never_repeat_a_finished_task(place):
    place.open()
    place.define(
        """
        tasks:
          - {task_key: a, python: "steps:gated"}
          - {task_key: b, python: "steps:gated"}
          - {task_key: c, python: "steps:gated", depends_on: [{task_key: a}, {task_key: b}]}
          - {task_key: d, python: "steps:gated", depends_on: [{task_key: c}]}
        """
    )
    chance = random.Random(4)
    for _ in range(8):
        runner = place.start()
        try:
            runner.wait(chance.uniform(0.3, 2.5))
        except subprocess.TimeoutExpired:
            kill(runner)
    place.run()
    while any(run.status in {"queued", "interrupted"} for run in place.runs()):  # by a runner that was killed waiting
        place.run()
    for run in place.runs():
        assert run.status == "success"
        assert Counter(task.task_key for task in run.tasks if task.status == "success") == {
            "a": 1,
            "b": 1,
            "c": 1,
            "d": 1,
        }
        for task in run.tasks:
            done = [other for other in run.tasks if other.task_key == task.task_key and other.status == "success"]
            assert task.attempt <= done[0].attempt


def test_a_task_that_was_recorded_but_whose_step_was_not_is_not_run_again(place, monkeypatch):
    """The instant between the two records: as if the runner died there."""
    place.open()
    with monkeypatch.context() as patch:
        real = Executor._unrecorded_errors

        def dies_after(self, function):
            def step():
                function()
                raise RuntimeError("here it dies")

            return real(self, step)

        patch.setattr(Executor, "_unrecorded_errors", dies_after)
        with pytest.raises(RuntimeError, match="here it dies"):
            place.run()
    assert place.tasks() == {"first": 1}
    assert place.run().status == "success"
    assert place.tasks() == {"first": 1, "second": 1, "third": 1}


def test_a_run_that_ended_but_was_not_recorded_as_ended_is_only_recorded(place, monkeypatch):
    place.open()
    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "end", lambda *_: (_ for _ in ()).throw(RuntimeError("here it dies")))
        with pytest.raises(RuntimeError, match="here it dies"):
            place.run()
    assert [run.status for run in place.runs()] == ["interrupted"]
    assert place.run().status == "success"
    assert sorted(place.tasks().values()) == [1, 1, 1]


def test_an_error_of_the_runner_itself_leaves_the_run_to_go_on(place):
    place.open()

    def broken_face(event: Event) -> None:
        if (event.kind, event.stage) == ("start", "second"):
            raise OSError("the terminal is gone")

    with pytest.raises(OSError, match="the terminal is gone"):
        place.run(emit=broken_face)
    assert [run.status for run in place.runs()] == ["interrupted"]
    assert place.run().status == "success"
    assert sorted(place.tasks().values()) == [1, 1, 1]


@pytest.mark.parametrize(("retries", "status"), [(1, "success"), (0, "failed")])
def test_a_killed_task_is_tried_again_as_often_as_it_may(place, retries, status):
    place.steps(
        """
        def fragile(ws):
            note("begin", ws)
            if not Path("killed").exists():
                Path("killed").touch()
                os.kill(os.getpid(), 9)
            return "alive"
        """
    )
    place.define(f"\ntasks:\n  - {{task_key: t, python: 'steps:fragile', max_retries: {retries}}}\n")
    if status == "failed":
        with pytest.raises(TaskError, match=r"task 't' failed: its process was killed \(SIGKILL\)"):
            place.run()
    else:
        place.run()
    (run,) = place.runs()
    assert run.status == status
    assert attempts(run) == [("t", 1, "failed"), ("t", 2, "success")][: retries + 1]


def test_a_crash_in_c_is_told_with_the_traceback_of_the_process(place):
    place.steps("def crash(ws):\n    import ctypes\n    ctypes.string_at(0)\n")
    place.define("\ntasks:\n  - {task_key: t, python: 'steps:crash'}\n")
    with pytest.raises(TaskError, match="its process died of SIGSEGV") as caught:
        place.run()
    assert "steps.py" in str(caught.value.__cause__)


def test_a_timeout_kills_a_loop_in_c_and_all_that_the_task_started(place):
    place.steps(
        """
        def endless(ws):
            import re, subprocess
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            Path("pids").write_text(f"{os.getpid()} {child.pid}")
            re.match(r"(a+)+$", "a" * 64 + "b")       # holds the interpreter for centuries
        """
    )
    place.define("\ntasks:\n  - {task_key: t, python: 'steps:endless', timeout_seconds: 8, max_retries: 5}\n")
    with pytest.raises(TaskError, match=r"task 't' timed out: no result after 8 s: its process was killed"):
        place.run()
    (run,) = place.runs()
    assert attempts(run) == [("t", 1, "timed_out")]
    assert 8 <= (run.tasks[0].ended_at - run.tasks[0].started_at).total_seconds() < 12
    assert run.tasks[0].peak_bytes > 2**24
    for pid in (place.folder / "pids").read_text().split():
        until(lambda pid=int(pid): not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", 5)


def test_the_runner_is_quiet_and_listens_on_no_port(place):
    runner = place.start()
    until(lambda: place.tasks()["second"])
    assert [c for c in psutil.Process(runner.pid).net_connections() if c.status == "LISTEN" or c.raddr] == []
    place.open()
    assert runner.wait(60) == 0
    assert runner.stdout.read().splitlines() == [
        f"{kind} {task} {text}"
        for task, text in (("first", "quick"), ("second", "gated"), ("third", "quick"))
        for kind, text in (("start", ""), ("end", text))
    ]


def test_a_state_of_jobs_that_was_lost_is_made_anew_from_the_records(place):
    runner = place.start()
    until(lambda: place.tasks()["second"])
    kill(runner)
    (place.folder / ".lakemill" / "jobs.db").unlink()
    place.open()
    assert place.run().status == "success"
    assert place.tasks("end") == {"first": 1, "second": 1, "third": 1}


def test_a_runner_does_not_touch_the_interrupted_runs_of_other_jobs(place):
    runner = place.start()
    until(lambda: place.tasks()["second"])
    kill(runner)
    (interrupted,) = place.runs()
    with _client(jobs_url(load_project(place.folder).settings)) as client:  # as if it had died a moment earlier
        client.resume_workflows([f"{interrupted.run_id}@{durable.VERSION}"], queue_name="working")
    with (place.folder / "lakemill.yml").open("a") as file:
        file.write("    other: {tasks: [{task_key: alone, python: 'steps:quick'}]}\n")
    place.open()
    assert run_job(load_project(place.folder), "other").status == "success"
    assert place.tasks("begin") == {"first": 1, "second": 1, "alone": 1}
    assert [run.status for run in place.runs()] == ["success", "interrupted"]


def test_a_later_version_of_the_runner_goes_on_with_the_run(place, monkeypatch):
    runner = place.start()
    until(lambda: place.tasks()["second"])
    kill(runner)
    place.open()
    monkeypatch.setattr(DBOSRegistry, "compute_app_version", lambda *_: "another")
    monkeypatch.setattr(durable, "VERSION", "later")
    assert place.run().status == "success"
    assert place.tasks("end") == {"first": 1, "second": 1, "third": 1}


def test_in_postgresql_too_the_waiting_runner_takes_over(place, postgresql):
    with (place.folder / "lakemill.yml").open("a") as file:
        file.write(f"\ntargets: {{p: {{workspace: {{metadata: '{postgresql('jobs')}'}}}}}}\n")
    first = place.start()
    until(lambda: place.tasks()["second"])
    second = place.start()
    assert f" is queued: run {place.runs()[-1].run_id} (process {first.pid}@" in second.stdout.readline()
    assert [run.status for run in place.runs()] == ["queued", "running"]
    kill(first)
    place.open()
    assert second.wait(60) == 0
    newer, older = place.runs()
    assert attempts(older) == [
        ("first", 1, "success"),
        ("second", 1, "interrupted"),
        ("second", 2, "success"),
        ("third", 1, "success"),
    ]
    assert attempts(newer) == [("first", 1, "success"), ("second", 1, "success"), ("third", 1, "success")]
    assert not (place.folder / ".lakemill" / "jobs.db").exists()
