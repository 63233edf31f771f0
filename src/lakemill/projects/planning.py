"""What a job is expected to take: declared tasks planned, functions by their last runs, and the longest way through."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Any, Final

from lakemill.core.errors import NotFoundError, UnsupportedError
from lakemill.core.planning import NOTHING, Interval, total, within
from lakemill.core.records import record
from lakemill.projects.graph import Ending, verdict
from lakemill.projects.load import find_job
from lakemill.projects.project import Dependency, Project, Task
from lakemill.projects.references import resolve
from lakemill.projects.runs import RunStore, TaskRun
from lakemill.workspace import Workspace
from lakemill.workspace.planning import Planned
from lakemill.workspace.planning import plan as planned
from lakemill.workspace.probing import can_be_probed

NO_WISHES: Final[Mapping[str, Any]] = MappingProxyType({})
RUNS: Final = 5  # that an expectation rests on
LEAST_SPREAD: Final = 0.3  # the same task on one quiet virtual machine, however alike its last runs


@record
class TaskOutlook:
    """What is expected of one task.

    Parameters
    ----------
    planned
        Its plan; None for a function, and where it can't be planned yet.
    past
        Its last runs that succeeded, the newest first.
    seconds
        None where nothing is known, or no candidate keeps to the limits.
    unknown
        Why nothing is known; empty where something is.
    counts
        Whether it runs where all goes well: a task that waits for a failure does not.
    """

    task: Task
    planned: Planned | None
    past: tuple[TaskRun, ...]
    seconds: Interval | None
    unknown: str
    counts: bool


@record
class JobOutlook:
    """What is expected of a job.

    Parameters
    ----------
    seconds
        Of the longest way through its graph, as far as it is known.
    longest
        The tasks on that way, in order.
    unknown
        Tasks that count and of which nothing is known: they come on top.
    """

    job: str
    tasks: tuple[TaskOutlook, ...]
    seconds: Interval
    longest: tuple[str, ...]
    unknown: tuple[str, ...]


def plan_job(
    workspace: Workspace,
    project: Project,
    job: str,
    *,
    wishes: Mapping[str, Any] = NO_WISHES,
) -> JobOutlook:
    """Plan every task of a job that is a declaration, and look up what its functions took before.

    Parameters
    ----------
    workspace
        The project's.
    project
        The project, resolved for a target.
    job
        Key of the job.
    wishes
        Further arguments of `lakemill.plan`; a limit is one of each plan, not of the job.

    Raises
    ------
    NotFoundError
        If there is no such job.
    """
    tasks = find_job(project, job).tasks
    counted = running(tasks)
    store = RunStore(workspace.database)

    def outlook(task: Task) -> TaskOutlook:
        past = store.succeeded(job, task.task_key, target=project.target, limit=RUNS)
        counts, target = task.task_key in counted, resolve(task.python, project.settings.project_dir)
        if callable(target):
            return _of_function(task, past, counts=counts)
        asked = {**wishes, "probe": wishes.get("probe", False) and can_be_probed(target)}
        return _of_declaration(task, past, counts=counts, make=lambda: planned(workspace, target, **asked))

    return _summed(job, tuple(map(outlook, tasks)))


def running(tasks: Sequence[Task]) -> frozenset[str]:
    """Return the tasks that run where all succeed; of branches that hang on an outcome, every one."""
    ended: dict[str, Ending] = {}
    for task in _in_order(tasks):
        before = tuple(Dependency(task_key=other.task_key) for other in task.depends_on)
        what = verdict(task.model_copy(update={"depends_on": before}), ended)
        ended[task.task_key] = Ending(status="excluded" if what in ("wait", "excluded") else "success")
    return frozenset(key for key, ending in ended.items() if ending.status == "success")


def expected(seconds: Sequence[float]) -> Interval | None:
    """Return the median of past seconds, off by as much as the farthest of them is; None without any.

    Examples
    --------
    >>> expected([10.0, 15.0, 9.0])
    Interval(value=10.0, low=5.0, high=15.0)
    """
    if not seconds:
        return None
    middle = statistics.median(seconds)
    return within(middle, max(LEAST_SPREAD, *(abs(each / middle - 1) for each in seconds)))


def longest_way(
    seconds: Mapping[str, Interval], waits_for: Mapping[str, Sequence[str]]
) -> tuple[Interval, tuple[str, ...]]:
    """Return the seconds of the longest chain of tasks that wait for one another, and the chain.

    Tasks that don't wait for one another run side by side, and are taken not to slow down each other.

    Examples
    --------
    >>> from lakemill.core.planning import exact
    >>> longest_way({"a": exact(1), "b": exact(5), "c": exact(2)}, {"a": [], "b": [], "c": ["a", "b"]})
    (Interval(value=7.0, low=7.0, high=7.0), ('b', 'c'))
    """
    ways: dict[str, tuple[str, ...]] = {}

    def length(way: Sequence[str]) -> float:
        return sum(seconds[key].value for key in way)

    for key in TopologicalSorter(waits_for).static_order():
        before = max((ways[other] for other in waits_for[key]), key=length, default=())
        ways[key] = (*before, key)
    longest = max(ways.values(), key=length, default=())
    return total(seconds[key] for key in longest), longest


def _summed(job: str, outlooks: tuple[TaskOutlook, ...]) -> JobOutlook:
    counted = {one.task.task_key: one for one in outlooks if one.counts}
    seconds, longest = longest_way(
        {key: one.seconds or NOTHING for key, one in counted.items()},
        {
            key: [other.task_key for other in one.task.depends_on if other.task_key in counted]
            for key, one in counted.items()
        },
    )
    unknown = tuple(key for key, one in counted.items() if one.seconds is None)
    return JobOutlook(job=job, tasks=outlooks, seconds=seconds, longest=longest, unknown=unknown)


def _in_order(tasks: Sequence[Task]) -> Iterator[Task]:
    by_key = {task.task_key: task for task in tasks}
    waits_for = {task.task_key: [other.task_key for other in task.depends_on] for task in tasks}
    return map(by_key.__getitem__, TopologicalSorter(waits_for).static_order())


def _of_function(task: Task, past: tuple[TaskRun, ...], *, counts: bool) -> TaskOutlook:
    seconds = expected([_seconds(run) for run in past])
    unknown = "" if past else "it never ran; it is a function"
    return TaskOutlook(task=task, planned=None, past=past, seconds=seconds, unknown=unknown, counts=counts)


def _of_declaration(task: Task, past: tuple[TaskRun, ...], *, counts: bool, make: Callable[[], Planned]) -> TaskOutlook:
    """Plan a task; one whose tables are missing or which nobody can plan does not stop the others."""
    try:
        made = make()
    except (NotFoundError, UnsupportedError) as error:
        return TaskOutlook(task=task, planned=None, past=past, seconds=None, unknown=error.message, counts=counts)
    choice = made.plan.choice
    unknown = "" if choice else "nothing meets the limits"
    seconds = choice.seconds if choice else None
    return TaskOutlook(task=task, planned=made, past=past, seconds=seconds, unknown=unknown, counts=counts)


def _seconds(run: TaskRun) -> float:
    assert run.ended_at is not None  # it succeeded
    return (run.ended_at - run.started_at).total_seconds()
