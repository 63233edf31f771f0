"""``lakemill plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lakemill.cli.options import JsonOption, TargetOption
from lakemill.cli.output import console, fields, print_json, show, table
from lakemill.cli.wording import ago, duration, size
from lakemill.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lakemill.core.planning import Candidate, Interval, Limits, Plan
    from lakemill.projects.project import Project
    from lakemill.workspace.history import Past
    from lakemill.workspace.planning import Planned

MOST_SHOWN: Final = 6

TaskArgument = Annotated[
    str | None, typer.Argument(metavar="[TASK]", help="Key of a task that names a declaration; by default all of them.")
]
DeadlineOption = Annotated[
    float | None, typer.Option("--deadline", metavar="SECONDS", help="What must not take longer.")
]
FastestOption = Annotated[bool, typer.Option("--fastest", help="Choose the fastest, however much there is to it.")]
ProbeOption = Annotated[
    bool, typer.Option("--probe", help="Try a few pieces of work that never ran: at most 5 % of its time.")
]
HistoryOption = Annotated[bool, typer.Option("--history", help="Show what was predicted beside what was measured.")]


def plan(
    task: TaskArgument = None,
    *,
    deadline: DeadlineOption = None,
    fastest: FastestOption = False,
    probe: ProbeOption = False,
    history: HistoryOption = False,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name the bottleneck, and the smallest compute that does the work; nothing is run.

    Example:  lakemill plan train --deadline 60
    """
    from lakemill.projects import load_project

    project = load_project(target=target)
    if history:
        _history(project, as_json=as_json)
        return
    from lakemill.core.planning import Limits

    limits = Limits(deadline_seconds=deadline, aim="fastest" if fastest else "simplest")
    made = {
        key: _planned(project, reference, limits=limits, probe=probe)
        for key, reference in _asked(project, task).items()
    }
    if as_json:
        print_json(
            {"plans": {key: {"facts": one.facts, "plan": one.plan, "probed": one.probed} for key, one in made.items()}}
        )
        return
    for key, one in made.items():
        _show(key, one)


def _asked(project: Project, task: str | None) -> dict[str, str]:
    """Return what to plan, by the task's key: the task asked for, or each that names a declaration."""
    found = {each.task_key: each.python for job in project.jobs.values() for each in job.tasks}
    if task is not None:
        if task not in found:
            raise ConfigError(f"no task {task!r} in {project.path}", hint=nearest(task, found))
        return {task: found[task]}
    declared = {key: reference for key, reference in found.items() if _is_declaration(project, reference)}
    if not declared:
        raise ConfigError(
            "no task names a declaration; a function can't be planned", hint="train = lm.ManyTraining(...)"
        )
    return declared


def _is_declaration(project: Project, reference: str) -> bool:
    from lakemill.projects.references import resolve

    return not callable(resolve(reference, project.settings.project_dir))


def _planned(project: Project, reference: str, *, limits: Limits, probe: bool) -> Planned:
    from lakemill.projects import open_workspace
    from lakemill.projects.references import resolve
    from lakemill.workspace.planning import plan as planned

    declared = resolve(reference, project.settings.project_dir)
    with open_workspace(project.path, target=project.target) as workspace, console(stderr=True).status("") as status:
        return planned(
            workspace, declared, limits=limits, probe=probe, say=lambda what: status.update(f"measuring {what}, once")
        )


def _show(key: str, planned: Planned) -> None:
    made = planned.plan
    shown = _worth_a_look(made)
    rows = table("", "lane", "workers", "predicted", "90 % sure", "memory", right=("workers", "predicted", "memory"))
    for one in shown:
        rows.add_row("choice" if one is made.choice else "", *_row(one))
    show(
        fields([("task", key), ("bottleneck", made.bottleneck)]),
        rows,
        fields(_reasons(made)),
        fields([("changes", _changes(made)), ("probed", _tried(planned)), ("measured", _when(planned))]),
    )


def _worth_a_look(made: Plan) -> Sequence[Candidate]:
    """Return the choice first, then the best of each lane at each number of nodes, and one worker."""
    best: dict[tuple[Any, ...], Candidate] = {}
    for one in made.candidates:
        best.setdefault((one.lane, one.nodes > 1), one)
        if one.workers == 1:
            best.setdefault((one.lane, "alone"), one)
    others = sorted(best.values(), key=lambda one: one.seconds.value)
    first = [] if made.choice is None else [made.choice]
    return [*first, *(one for one in others if one is not made.choice)][:MOST_SHOWN]


def _row(one: Candidate) -> tuple[str, ...]:
    broken = f" (breaks the {', '.join(one.breaks)})" if one.breaks else ""
    return (
        f"{one.lane}{broken}",
        str(one.workers),
        duration(one.seconds.value),
        f"{duration(one.seconds.low)} to {duration(one.seconds.high)}",
        size(one.total_bytes.value),
    )


def _reasons(made: Plan) -> Iterable[tuple[str, str]]:
    for number, reason in enumerate(made.reasons):
        yield ("" if number else "why"), reason


def _changes(made: Plan) -> str:
    return "; ".join(f"at {each.amount:,.0f} {each.quantity}: {each.becomes}" for each in made.break_even)


def _tried(planned: Planned) -> str:
    tried = planned.probed
    return "" if tried is None else f"{tried.pieces} pieces in {duration(tried.seconds)}, {tried.share:.1%} of the work"


def _when(planned: Planned) -> str:
    return f"{ago(planned.hardware.measured_at)}: lakemill hardware"


def _history(project: Project, *, as_json: bool) -> None:
    from lakemill.projects import open_workspace
    from lakemill.workspace.history import History

    with open_workspace(project.path, target=project.target) as workspace:
        past = History(workspace.database).newest()
    if as_json:
        print_json({"history": past})
        return
    numbers = ("items", "workers", "predicted", "measured", "error")
    rows = table("work", "lane", *numbers, "when", right=numbers)
    for one in past:
        rows.add_row(one.work, one.lane, f"{one.items:,}", str(one.workers), *_compared(one), ago(one.at))
    show(rows if past else "no work is remembered yet: a training is (`lakemill run JOB`)")


def _compared(one: Past) -> tuple[str, str, str]:
    measured = duration(one.seconds)
    if one.predicted is None or one.error is None:
        return "", measured, ""
    outside = "" if one.inside else ", outside its interval"
    return _bounds(one.predicted.seconds), measured, f"{one.error:+.0%}{outside}"


def _bounds(interval: Interval) -> str:
    return f"{duration(interval.value)} ({duration(interval.low)} to {duration(interval.high)})"
