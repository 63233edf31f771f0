"""Run a job: one runner at a time on a workspace, and nothing that is finished is done again."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from types import MappingProxyType
from typing import Any, Final, cast

from lakemill.core.errors import NotFoundError, TaskError, nearest
from lakemill.core.events import Emit, Event, silent
from lakemill.core.records import utc_now
from lakemill.metadata import Database
from lakemill.projects.graph import FAILURES, RunStatus
from lakemill.projects.load import current_user, find_job, parse_value
from lakemill.projects.lock import FileLock, Holder, PostgresLock, RunnerLock
from lakemill.projects.project import Project
from lakemill.projects.runs import JobRun, Order, RunStore, without_runner
from lakemill.projects.targets import check_engines, state_folder
from lakemill.workspace.settings import WorkspaceSettings

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class UserTraceback(Exception):  # noqa: N818  not an error of its own: the cause of one
    """Where a task failed, as its process told it."""


def run_job(
    project: Project, job: str, *, parameters: Mapping[str, Any] = _NOTHING, emit: Emit = silent, resume: bool = True
) -> JobRun:
    """Run a job of a project, or go on with a run of it that was interrupted.

    One runner at a time works on a workspace. Others enqueue their run and wait until the one at
    work ends or dies. A run whose runner died, was killed or was stopped (Ctrl-C) is interrupted:
    its finished tasks are on record, and running the same job again, in the same target with the
    same parameters, goes on with it. Every way to stop means the same, because nothing that is
    finished is lost by it; who wants to begin anew says so. A run that failed has ended: the next
    one is new.

    Parameters
    ----------
    project
        The project, resolved for a target.
    job
        Key of the job.
    parameters
        Values of the job's parameters; text takes the type of the default.
    emit
        Receives progress.
    resume
        Whether to go on with an interrupted run; False cancels it and begins anew.

    Returns
    -------
    JobRun
        The run, ended.

    Raises
    ------
    NotFoundError
        If there is no such job or parameter.
    MissingExtraError
        If the package of an engine that the target names is not installed.
    TaskError
        If the run failed; its cause holds the traceback of the user's code.
    """
    order = _order(project, job, parameters)
    check_engines(project.settings)
    with closing(Database(project.settings.metadata)) as database, runner_lock(project.settings) as lock:
        store = RunStore(database)
        run_id = "" if lock.take() else _queue(project, order, store=store, lock=lock, emit=emit)
        store.interrupt()  # the lock is ours, so whoever was at work is dead
        run_id = run_id or _choose(project, order, store=store, emit=emit, resume=resume)
        lock.sign(run_id)
        try:
            _carry_out(project, run_id, store=store, emit=emit)
        finally:
            store.interrupt()
        return _checked(store.get(run_id))


def jobs_url(settings: WorkspaceSettings) -> str:
    """Return the database of DBOS: the metadata's own if that is PostgreSQL, else a file beside it."""
    if settings.metadata.startswith("postgresql"):
        return settings.metadata
    return f"sqlite:///{state_folder(settings) / 'jobs.db'}"


def runner_lock(settings: WorkspaceSettings) -> RunnerLock:
    """Return the lock of a workspace, in PostgreSQL if its metadata is there."""
    if settings.metadata.startswith("postgresql"):
        return PostgresLock(settings.metadata)
    return FileLock(state_folder(settings) / "runner.lock")


def runs(project: Project, *, limit: int = 20) -> tuple[JobRun, ...]:
    """Return the newest runs of jobs in a project's workspace, newest first."""
    with _records(project) as (store, held):
        return tuple(run if held else without_runner(run) for run in store.newest(limit))


def find_run(project: Project, run_id: str) -> JobRun:
    """Return one run of a job in a project's workspace.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    with _records(project) as (store, held):
        return store.get(run_id) if held else without_runner(store.get(run_id))


@contextmanager
def _records(project: Project) -> Iterator[tuple[RunStore, bool]]:
    with closing(Database(project.settings.metadata)) as database, runner_lock(project.settings) as lock:
        yield RunStore(database), lock.is_held()


def _order(project: Project, key: str, given: Mapping[str, Any]) -> Order:
    job = find_job(project, key)
    values = {parameter.name: parameter.default for parameter in job.parameters}
    for name, value in given.items():
        if name not in values:
            raise NotFoundError(f"job {key!r} has no parameter {name!r}", hint=nearest(name, values))
        text = isinstance(value, str)
        values[name] = parse_value(value, values[name], name=f"parameter {name!r}") if text else value
    return Order(job=key, target=project.target, parameters=values, definition=job)


def _ask(project: Project, order: Order, *, store: RunStore) -> str:
    from lakemill.projects.durable import enqueue

    run_id = f"{order.job}-{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    enqueue(jobs_url(project.settings), run_id)
    store.create(run_id, order, user=current_user())
    return run_id


def _queue(project: Project, order: Order, *, store: RunStore, lock: RunnerLock, emit: Emit) -> str:
    run_id = _ask(project, order, store=store)

    def tell(holder: Holder) -> None:
        emit(Event(kind="note", text=f"run {run_id} is queued: {holder} is at work on this workspace"))

    try:
        lock.wait(tell)
    except BaseException:
        _cancel(project, run_id, store=store)  # it never began, so there is nothing to go on with
        raise
    return run_id


def _choose(project: Project, order: Order, *, store: RunStore, emit: Emit, resume: bool) -> str:
    interrupted = store.interrupted(order.work)
    if resume and interrupted:
        _tell_resumed(interrupted[-1], order, store=store, emit=emit)
        return interrupted[-1]
    for run_id in interrupted:
        _cancel(project, run_id, store=store)
    return _ask(project, order, store=store)


def _tell_resumed(run_id: str, order: Order, *, store: RunStore, emit: Emit) -> None:
    done = [task.task_key for task in store.get(run_id).tasks if task.status == "success"]
    emit(
        Event(
            kind="note",
            text=f"going on with run {run_id}, which was interrupted; done before: {', '.join(done) or 'nothing'}",
        )
    )
    if store.definition(run_id) != order.definition:
        emit(
            Event(kind="note", text="the job's definition has changed since: this run keeps the one that it began with")
        )


def _cancel(project: Project, run_id: str, *, store: RunStore) -> None:
    from lakemill.projects.durable import cancel

    cancel(jobs_url(project.settings), run_id)
    store.end(run_id, "cancelled")


def _carry_out(project: Project, run_id: str, *, store: RunStore, emit: Emit) -> None:
    from lakemill.projects.durable import Executor
    from lakemill.projects.work import Work

    work = Work(project, store=store, emit=emit, stop=threading.Event())
    with Executor(jobs_url(project.settings), work) as executor:
        for due in store.due(run_id):
            if due != run_id:
                emit(Event(kind="note", text=f"first run {due}, which was asked for before"))
            store.begin(due)
            store.end(due, cast("RunStatus", executor.run(due, work.stop)))


def _checked(run: JobRun) -> JobRun:
    if run.status != "failed":
        return run
    last = {task.task_key: task for task in run.tasks}
    failed = [task for task in last.values() if task.status in FAILURES and task.error]
    told = "\n".join(f"task {task.task_key!r} {task.status.replace('_', ' ')}: {task.error}" for task in failed)
    raise TaskError(
        f"run {run.run_id} failed\n{told}", hint=f"what it printed is in {failed[0].log}"
    ) from UserTraceback(failed[0].traceback)
