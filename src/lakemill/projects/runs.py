"""What ran, when, how it ended: the records of jobs and tasks in the metadata database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from lakemill.core.errors import NotFoundError
from lakemill.core.records import content_hash, record, utc_now
from lakemill.metadata import Database
from lakemill.metadata.schema import job_runs, task_runs
from lakemill.projects.graph import RunStatus, Skip, TaskStatus
from lakemill.projects.project import Job
from lakemill.projects.protocol import Outcome


@record
class TaskRun:
    """One attempt at a task.

    Parameters
    ----------
    run_id, task_key, attempt
        Which one; attempts count from 1, and 0 stands for a task that was skipped.
    status
        How it ended, or ``running``; ``interrupted`` where its runner went before it.
    engines
        Kinds of the engines that were used, by role.
    peak_bytes
        Largest resident memory of its process, or of one that it started; 0 when unknown.
    message
        The line that the task returned.
    error, traceback
        What went wrong, and where in the user's code.
    log
        File with what the task printed.
    """

    run_id: str
    task_key: str
    attempt: int
    status: TaskStatus | Literal["running", "interrupted"]
    engines: Mapping[str, str]
    started_at: datetime
    ended_at: datetime | None
    peak_bytes: int
    message: str
    error: str
    traceback: str
    log: str


@record
class JobRun:
    """One run of a job.

    Parameters
    ----------
    run_id
        Names the run; sorts by time within a job.
    status
        How it ended; ``queued`` waits for another runner, ``interrupted`` waits for somebody to
        run the job again, ``cancelled`` will not go on.
    parameters
        Values of the job's parameters.
    user
        Who asked for it.
    tasks
        Every attempt at every task, in order.
    """

    run_id: str
    job: str
    target: str
    parameters: Mapping[str, Any]
    status: RunStatus | Literal["queued", "running", "interrupted", "cancelled"]
    user: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    tasks: tuple[TaskRun, ...] = ()


@record
class Order:
    """What somebody asks for: a job with its values, in a target.

    Parameters
    ----------
    job
        The job's key.
    target
        The target's key.
    parameters
        Values of the job's parameters.
    definition
        The job as it is now; a run keeps the definition that it was started with.
    """

    job: str
    target: str
    parameters: Mapping[str, Any]
    definition: Job

    @property
    def work(self) -> str:
        """Name of the work: the same for orders that differ in nothing that tasks receive."""
        own = {task.task_key: dict(task.parameters) for task in self.definition.tasks if task.parameters}
        return content_hash([self.job, self.target, dict(self.parameters), own])


def without_runner(run: JobRun) -> JobRun:
    """Return a run as it is when no runner lives: what was at work, or waited for its turn, is interrupted."""
    if run.status not in ("running", "queued"):
        return run
    tasks = tuple(replace(task, status="interrupted") if task.status == "running" else task for task in run.tasks)
    return replace(run, status="interrupted", tasks=tasks)


class RunStore:
    """Writes and reads the records of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, run_id: str, order: Order, *, user: str) -> None:
        """Record that somebody asked for a run."""
        row = {"run_id": run_id, "job": order.job, "target": order.target, "parameters": dict(order.parameters)}
        row |= {"work": order.work, "definition": order.definition.model_dump_json()}
        self._write(job_runs.insert().values(**row, status="queued", user=user, created_at=utc_now()))

    def begin(self, run_id: str) -> None:
        """Record that a run is at work, for the first time or again."""
        started = sa.func.coalesce(job_runs.c.started_at, utc_now())
        self._write(_run(run_id).values(status="running", started_at=started))

    def end(self, run_id: str, status: RunStatus | Literal["cancelled"]) -> None:
        """Record how a run ended."""
        self._write(_run(run_id).values(status=status, ended_at=utc_now()))

    def interrupt(self) -> None:
        """Record that nothing is at work: whatever was has lost its runner."""
        for table in (task_runs, job_runs):
            self._write(table.update().where(table.c.status == "running").values(status="interrupted"))

    def begin_task(self, run_id: str, task_key: str, *, attempt: int, log: str) -> None:
        """Record the start of an attempt."""
        blank = {"engines": {}, "peak_bytes": 0, "message": "", "error": "", "traceback": ""}
        row = {"run_id": run_id, "task_key": task_key, "attempt": attempt, "status": "running", "log": log}
        self._write(task_runs.insert().values(**row, **blank, started_at=utc_now()))

    def end_task(self, run_id: str, task_key: str, *, attempt: int, outcome: Outcome) -> None:
        """Record the end of an attempt."""
        row = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
        row |= {"engines": dict(outcome.engines), "ended_at": utc_now()}
        which = _attempts(run_id, task_key) & (task_runs.c.attempt == attempt)
        self._write(task_runs.update().where(which).values(**row))

    def skip_task(self, run_id: str, task_key: str, status: Skip) -> None:
        """Record that a task may not run; once is enough."""
        if self.attempts(run_id, task_key):
            return
        blank = {"engines": {}, "peak_bytes": 0, "message": "", "error": "", "traceback": "", "log": ""}
        row = {"run_id": run_id, "task_key": task_key, "attempt": 0, "status": status}
        self._write(task_runs.insert().values(**row, **blank, started_at=utc_now(), ended_at=utc_now()))

    def attempts(self, run_id: str, task_key: str) -> tuple[TaskRun, ...]:
        """Return the attempts at a task so far, in order."""
        return self._tasks(_attempts(run_id, task_key))

    def succeeded(self, job: str, task_key: str, *, target: str, limit: int) -> tuple[TaskRun, ...]:
        """Return the last successful attempts at a task, in any run of its job in a target, the newest first."""
        of_job = sa.select(job_runs.c.run_id).where(job_runs.c.job == job, job_runs.c.target == target)
        query = sa.select(task_runs).where(
            task_runs.c.run_id.in_(of_job), task_runs.c.task_key == task_key, task_runs.c.status == "success"
        )
        return self._found(query.order_by(task_runs.c.started_at.desc()).limit(limit))

    def get(self, run_id: str) -> JobRun:
        """Return one run.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        found = self._runs(sa.select(job_runs).where(job_runs.c.run_id == run_id))
        if not found:
            raise NotFoundError(f"no run {run_id!r}", hint="`lakemill runs` lists them")
        return found[0]

    def newest(self, limit: int) -> tuple[JobRun, ...]:
        """Return the newest runs, newest first."""
        return self._runs(sa.select(job_runs).order_by(job_runs.c.created_at.desc()).limit(limit))

    def definition(self, run_id: str) -> Job:
        """Return the job as it was when the run was asked for."""
        query = sa.select(job_runs.c.definition).where(job_runs.c.run_id == run_id)
        with self._database.reading() as connection:
            return Job.model_validate_json(connection.execute(query).scalar_one())

    def interrupted(self, work: str) -> tuple[str, ...]:
        """Return the runs of the same work that lost their runner, oldest first."""
        return self._ids((job_runs.c.work == work) & (job_runs.c.status == "interrupted"))

    def due(self, run_id: str) -> tuple[str, ...]:
        """Return the runs to carry out up to this one: those of the same work that came before it."""
        own = sa.select(job_runs.c.work, job_runs.c.created_at).where(job_runs.c.run_id == run_id).subquery()
        return self._ids(
            (job_runs.c.work == own.c.work)
            & (job_runs.c.created_at <= own.c.created_at)
            & job_runs.c.status.in_(("queued", "interrupted"))
        )

    def _write(self, statement: sa.Executable) -> None:
        with self._database.writing() as connection:
            connection.execute(statement)

    def _ids(self, where: sa.ColumnElement[bool]) -> tuple[str, ...]:
        query = sa.select(job_runs.c.run_id).where(where).order_by(job_runs.c.created_at)
        with self._database.reading() as connection:
            return tuple(connection.execute(query).scalars())

    def _runs(self, query: sa.Select[Any]) -> tuple[JobRun, ...]:
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        tasks = self._tasks(task_runs.c.run_id.in_([row["run_id"] for row in rows]))
        return tuple(
            JobRun(
                **{field.name: row[field.name] for field in fields(JobRun) if field.name != "tasks"},
                tasks=tuple(task for task in tasks if task.run_id == row["run_id"]),
            )
            for row in rows
        )

    def _tasks(self, where: sa.ColumnElement[bool]) -> tuple[TaskRun, ...]:
        return self._found(sa.select(task_runs).where(where).order_by(task_runs.c.started_at, task_runs.c.attempt))

    def _found(self, query: sa.Select[Any]) -> tuple[TaskRun, ...]:
        with self._database.reading() as connection:
            return tuple(TaskRun(**row) for row in connection.execute(query).mappings())


def _run(run_id: str) -> sa.Update:
    return job_runs.update().where(job_runs.c.run_id == run_id)


def _attempts(run_id: str, task_key: str) -> sa.ColumnElement[bool]:
    return (task_runs.c.run_id == run_id) & (task_runs.c.task_key == task_key)
