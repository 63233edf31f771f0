"""``lakemill run``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lakemill.cli.command import debugging, tell
from lakemill.cli.exits import fault_of
from lakemill.cli.options import EngineOption, JobArgument, JsonOption, SetOption, TargetOption, settings
from lakemill.cli.output import fields, print_json, print_lines, show
from lakemill.cli.progress import watch
from lakemill.cli.reports import newest_report
from lakemill.cli.results import status, task_table, took
from lakemill.core.errors import TaskError

if TYPE_CHECKING:
    from lakemill.projects import JobRun, Project


def run(
    ctx: typer.Context,
    job: JobArgument,
    *,
    target: TargetOption = None,
    variables: SetOption = None,
    engine: EngineOption = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, also where an interrupted run could go on.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a job, or go on with a run that was interrupted.

    Example:  lakemill run demand --engine ray --set region=north
    """
    from lakemill.projects import load_project, with_engine

    project = load_project(target=target, variables=settings(variables or ()))
    project = with_engine(project, engine) if engine else project
    done, error = _carry_out(project, job, fresh=fresh)
    report = newest_report(project.settings.root, since=done.started_at)
    fault = fault_of(error) if error is not None else None
    if as_json:
        print_json({"run": done, "report": report, "error": fault})
    else:
        facts = [("run", done.run_id), ("state", status(done.status)), ("time", took(done)), ("report", report)]
        show(task_table(done), fields(facts))
    if error is not None and fault is not None:
        tell(fault, error=error, debug=debugging(ctx))
        raise typer.Exit(fault.exit_code)


@contextmanager
def _polite() -> Iterator[None]:
    """End at SIGTERM as at Ctrl-C: the terminal is put right, the tasks are stopped."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _carry_out(project: Project, job: str, *, fresh: bool) -> tuple[JobRun, TaskError | None]:
    from lakemill.projects import run_job, runs
    from lakemill.projects.load import find_job

    tasks = [task.task_key for task in find_job(project, job).tasks]
    try:
        with _polite(), watch(tasks) as emit:
            return run_job(project, job, emit=emit, resume=not fresh), None
    except KeyboardInterrupt:
        print_lines("interrupted", "finished tasks are kept; the same command goes on with the rest", style="yellow")
        raise
    except TaskError as error:
        failed = next((done for done in runs(project) if done.run_id in error.message), None)
        if failed is None:
            raise
        return failed, error
