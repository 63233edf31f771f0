from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lakemill.cli.output import show
from lakemill.cli.results import task_table, took
from lakemill.projects import JobRun, TaskRun

BEGUN = datetime(2011, 12, 9, 8, tzinfo=UTC)


def task(key: str, status: str = "success", *, attempt: int = 1, engines=None, **more) -> TaskRun:
    blank = {"message": "", "error": "", "traceback": "", "log": "", "peak_bytes": 0}
    return TaskRun(
        run_id="r",
        task_key=key,
        attempt=attempt,
        status=status,
        engines=engines or {},
        started_at=BEGUN,
        ended_at=BEGUN + timedelta(seconds=75),
        **{**blank, **more},
    )


def run(*tasks: TaskRun, status: str = "success", ended_at: datetime | None = None) -> JobRun:
    return JobRun(
        run_id="r",
        job="demand",
        target="dev",
        parameters={},
        status=status,
        user="me",
        created_at=BEGUN,
        started_at=BEGUN,
        ended_at=ended_at,
        tasks=tasks,
    )


def test_the_last_attempt_at_every_task(capsys):
    tasks = (
        task("ingest", engines={"frames": "local", "tasks": "local"}, message="5 rows", peak_bytes=3 * 2**30),
        task("train", "failed", error="lost"),
        task("train", attempt=2, engines={"frames": "spark", "tasks": "ray"}, message="one\ntwo"),
        task("report", "timed_out", error="no result after 75 s\nand more"),
        task("after", "upstream_failed", attempt=0),
    )
    show(task_table(run(*tasks)))
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "task state time peak memory engines result",
        "ingest ✓ success 1 min 15 s 3.0 GiB local 5 rows",
        "train ✓ success (attempt 2) 1 min 15 s frames spark, tasks ray one",
        "report ✗ timed out 1 min 15 s no result after 75 s",
        "after - upstream failed",
    ]


def test_how_long_a_run_took():
    assert took(run(ended_at=BEGUN + timedelta(seconds=7))) == "7.0 s"
    assert took(run(status="interrupted")) == ""
    assert took(run(status="running")).endswith("min")
