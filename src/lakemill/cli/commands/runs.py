"""``lakemill runs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from lakemill.cli.options import JsonOption, TargetOption
from lakemill.cli.output import fields, print_json, show, table
from lakemill.cli.results import status, task_table, took
from lakemill.cli.wording import ago

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakemill.projects import JobRun

NEWEST: Final = 20


def runs(
    run_id: Annotated[str | None, typer.Argument(metavar="RUN_ID", help="One run, with its tasks.")] = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest runs, or show one.

    Example:  lakemill runs demand-20111209-101500-1a2b
    """
    from lakemill import projects

    project = projects.load_project(target=target)
    if run_id:
        run = projects.find_run(project, run_id)
        print_json({"run": run}) if as_json else _show(run)
    else:
        found = projects.runs(project, limit=NEWEST)
        print_json({"runs": found}) if as_json else _list(found)


def _list(found: Sequence[JobRun]) -> None:
    made = table("run", "job", "target", "state", "time", "tasks", "begun", right=("time", "tasks"))
    for run in found:
        done = len({task.task_key for task in run.tasks if task.status == "success"})
        begun = ago(run.started_at or run.created_at)
        made.add_row(run.run_id, run.job, run.target, status(run.status), took(run), str(done), begun)
    show(made if found else "no runs yet: `lakemill run JOB` makes one")


def _show(run: JobRun) -> None:
    values = ", ".join(f"{name}={value}" for name, value in run.parameters.items())
    begun = f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC by {run.user}" if run.started_at else ""
    facts = [
        ("run", run.run_id),
        ("job", f"{run.job} in target {run.target}"),
        ("state", status(run.status)),
        ("time", took(run)),
        ("begun", begun),
        ("parameters", values),
        *((f"log of {task.task_key}", task.log) for task in run.tasks if task.error),
    ]
    show(fields(facts), task_table(run))
