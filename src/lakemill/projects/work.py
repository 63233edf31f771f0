"""The tasks of one run: attempts, retries, time limits, and what is recorded of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, cast

from pydantic import TypeAdapter

from lakemill.core.events import Emit, Event
from lakemill.core.records import to_json, utc_now
from lakemill.projects.child import run_in_child
from lakemill.projects.durable import Interrupted, Reserve, Step
from lakemill.projects.graph import FAILURES, Ending, Skip, TaskStatus, run_status, walk
from lakemill.projects.load import current_user
from lakemill.projects.project import Project, Task
from lakemill.projects.protocol import TaskSpec
from lakemill.projects.runs import RunStore, TaskRun
from lakemill.projects.targets import state_folder

_ENDING: Final = TypeAdapter(Ending)


class Work:
    """Carries out the tasks of runs; what it returns of one is how the run ended.

    Parameters
    ----------
    project
        The project as it is now: its code and its workspace.
    store
        Takes the records, and knows the definition that a run was started with.
    emit
        Receives progress, one event at a time.
    stop
        Once it is set, tasks are killed and the run is left for later.
    """

    def __init__(self, project: Project, *, store: RunStore, emit: Emit, stop: threading.Event) -> None:
        self.project = project
        self.store = store
        self.stop = stop
        self._emit = emit
        self._turn = threading.Lock()

    def __call__(self, run_id: str, reserve: Reserve) -> str:
        """Run every task that may run, and has not been run before."""
        tasks = self.store.definition(run_id).tasks
        parameters = self.store.get(run_id).parameters
        steps = {task.task_key: reserve(task.task_key) for task in tasks}  # first of all: their order is their identity
        ended = walk(
            tasks,
            lambda task: self._run(run_id, task, step=steps[task.task_key], parameters=parameters),
            skip=lambda task, why: self._skip(run_id, task, why=why),
            parallelism=os.cpu_count() or 1,
        )
        return run_status(tasks, ended)

    def _run(self, run_id: str, task: Task, *, step: Step, parameters: Mapping[str, Any]) -> Ending:
        self._tell(Event(kind="start", stage=task.task_key))
        try:
            ending = _ENDING.validate_json(step(lambda: to_json(self._finish(run_id, task, parameters=parameters))))
        except BaseException:
            self.stop.set()  # the others must not go on without this one
            raise
        failed = int(ending.status in FAILURES)
        self._tell(Event(kind="end", stage=task.task_key, failed=failed, text=ending.message))
        return ending

    def _skip(self, run_id: str, task: Task, *, why: Skip) -> Ending:
        self.store.skip_task(run_id, task.task_key, why)
        self._tell(Event(kind="note", stage=task.task_key, text=f"not run: {why.replace('_', ' ')}"))
        return Ending(status=why)

    def _finish(self, run_id: str, task: Task, *, parameters: Mapping[str, Any]) -> Ending:
        """Attempt a task until it succeeds or its retries are used up; attempts of earlier runners count."""
        while not self.stop.is_set():
            past = self.store.attempts(run_id, task.task_key)
            ended = [attempt for attempt in past if attempt.status != "interrupted"]
            if ending := _ending(task, ended):
                return ending
            if ended:
                self._pause(task, ended[-1])
            self._attempt(run_id, task, number=len(past) + 1, parameters=parameters)
        raise Interrupted

    def _pause(self, task: Task, last: TaskRun) -> None:
        again = last.started_at + timedelta(milliseconds=task.min_retry_interval_millis)
        seconds = max(0.0, (again - utc_now()).total_seconds())
        self._tell(Event(kind="note", stage=task.task_key, text=f"{last.error}; tried again in {seconds:.0f} s"))
        self.stop.wait(seconds)

    def _attempt(self, run_id: str, task: Task, *, number: int, parameters: Mapping[str, Any]) -> None:
        log = state_folder(self.project.settings) / "logs" / run_id / f"{task.task_key}-{number}.log"
        self.store.begin_task(run_id, task.task_key, attempt=number, log=str(log))
        outcome = run_in_child(
            TaskSpec(
                settings=self.project.settings,
                user=current_user(),
                run_id=run_id,
                task_key=task.task_key,
                reference=task.python,
                parameters=task.parameters,
                job_parameters=parameters,
            ),
            timeout_seconds=task.timeout_seconds,
            log=log,
            emit=lambda event: self._tell(event, task.task_key),
            stop=self.stop,
        )
        if outcome is None:
            raise Interrupted
        self.store.end_task(run_id, task.task_key, attempt=number, outcome=outcome)

    def _tell(self, event: Event, stage: str = "") -> None:
        if stage:
            event = replace(event, stage=f"{stage}/{event.stage}" if event.stage else stage)
        with self._turn:
            self._emit(event)


def _ending(task: Task, ended: list[TaskRun]) -> Ending | None:
    """Return how the task ended, or None if it is to be tried (again)."""
    if not ended:
        return None
    last = ended[-1]
    used_up = task.max_retries >= 0 and len(ended) > task.max_retries
    final = last.status == "success" or used_up or (last.status == "timed_out" and not task.retry_on_timeout)
    return Ending(status=cast("TaskStatus", last.status), message=last.message or last.error) if final else None
