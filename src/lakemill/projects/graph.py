"""The order of a job's tasks: which may run, by how the ones before them ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Final, Literal

from lakemill.core.records import record
from lakemill.projects.project import Dependency, RunIf, Task

Skip = Literal["excluded", "upstream_failed"]
TaskStatus = Literal["success", "failed", "timed_out", "excluded", "upstream_failed"]
RunStatus = Literal["success", "success_with_failures", "failed"]

FAILURES: Final = frozenset({"failed", "timed_out", "upstream_failed"})


@record
class Ending:
    """How a task ended, and the text that it returned."""

    status: TaskStatus
    message: str = ""


_MET: Final[Mapping[RunIf, Callable[[int, int], bool]]] = {
    "ALL_SUCCESS": lambda _passed, failed: failed == 0,
    "AT_LEAST_ONE_SUCCESS": lambda passed, _failed: passed > 0,
    "NONE_FAILED": lambda _passed, failed: failed == 0,
    "ALL_DONE": lambda _passed, _failed: True,
    "AT_LEAST_ONE_FAILED": lambda _passed, failed: failed > 0,
    "ALL_FAILED": lambda passed, _failed: passed == 0,
}
_UNMET: Final[Mapping[RunIf, Skip]] = {
    "ALL_SUCCESS": "upstream_failed",
    "AT_LEAST_ONE_SUCCESS": "upstream_failed",
    "NONE_FAILED": "upstream_failed",
    "AT_LEAST_ONE_FAILED": "excluded",
    "ALL_FAILED": "excluded",
}


def verdict(task: Task, ended: Mapping[str, Ending]) -> Skip | Literal["run", "wait"]:
    """Return whether a task may run now, must wait, or is skipped.

    An excluded task counts as one that succeeded, a task whose own dependencies failed as one that
    failed. A task all of whose dependencies are excluded is excluded, whatever its rule.

    References
    ----------
    Databricks, "Configure task dependencies", https://docs.databricks.com/jobs/run-if.html
    """
    if any(other.task_key not in ended for other in task.depends_on):
        return "wait"
    before = [_status(other, ended[other.task_key]) for other in task.depends_on]
    if before and all(status == "excluded" for status in before):
        return "excluded"
    failed = sum(status in FAILURES for status in before)
    if not before or _MET[task.run_if](len(before) - failed, failed):
        return "run"
    return _UNMET[task.run_if]


def _status(dependency: Dependency, ending: Ending) -> TaskStatus:
    if ending.status == "success" and dependency.outcome not in (None, ending.message):
        return "excluded"
    return ending.status


def run_status(tasks: Sequence[Task], ended: Mapping[str, Ending]) -> RunStatus:
    """Return how a run ended: its last tasks, those that no other waits for, decide."""
    waited_for = {other.task_key for task in tasks for other in task.depends_on}
    failed = {key for key, ending in ended.items() if ending.status in FAILURES}
    if failed - waited_for:
        return "failed"
    return "success_with_failures" if failed else "success"


def walk(
    tasks: Sequence[Task],
    run: Callable[[Task], Ending],
    *,
    skip: Callable[[Task, Skip], Ending],
    parallelism: int,
) -> dict[str, Ending]:
    """Run every task once those before it have ended, independent ones side by side.

    Parameters
    ----------
    tasks
        A graph without circles.
    run
        Runs one task; called from several threads, each in a copy of the caller's context.
    skip
        Called instead for a task that may not run.
    parallelism
        Tasks at work at a time, at most.

    Returns
    -------
    dict of str to Ending
        By task key. An exception of `run` ends the walk once the tasks at work have ended.
    """
    waiting = {task.task_key: task for task in tasks}
    running, ended = dict[Future[Ending], str](), dict[str, Ending]()
    with ThreadPoolExecutor(parallelism, thread_name_prefix="task") as pool:
        while waiting or running:
            verdicts = {key: verdict(task, ended) for key, task in waiting.items()}
            for key, what in verdicts.items():
                if what == "run":
                    running[pool.submit(copy_context().run, run, waiting.pop(key))] = key
                elif what != "wait":
                    ended[key] = skip(waiting.pop(key), what)
            if set(verdicts.values()) <= {"run", "wait"}:  # a skipped task may free others at once
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    ended[running.pop(future)] = future.result()
    return ended
