"""``lakemill plan``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lakemill.cli.command import HTML
from lakemill.cli.options import ClusterOption, JsonOption, TargetOption
from lakemill.cli.outlook import plain_outlook, show_outlook
from lakemill.cli.output import console, fields, print_json, show, table
from lakemill.cli.wording import ago, duration, size
from lakemill.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from rich.table import Table

    from lakemill.core.planning import Aim, Candidate, Interval, Plan
    from lakemill.projects.planning import JobOutlook
    from lakemill.projects.project import Project
    from lakemill.workspace.history import Past, Track
    from lakemill.workspace.planning import Planned

MOST_SHOWN: Final = 8

NameArgument = Annotated[
    str | None,
    typer.Argument(metavar="JOB|TASK", help="Key of a job, or of a task that names a declaration; by default all."),
]
DeadlineOption = Annotated[
    float | None, typer.Option("--deadline", metavar="SECONDS", help="What must not take longer.")
]
BudgetOption = Annotated[
    float | None, typer.Option("--budget", metavar="MONEY", help="What must not cost more, in the prices' currency.")
]
SimplestOption = Annotated[
    bool, typer.Option("--simplest", help="Choose the simplest within 10 % of the best time: the default.")
]
FastestOption = Annotated[bool, typer.Option("--fastest", help="Choose the fastest, however much there is to it.")]
ProbeOption = Annotated[
    bool, typer.Option("--probe", help="Try a few pieces of work that never ran: at most 5 % of its time.")
]
CheapestOption = Annotated[bool, typer.Option("--cheapest", help="Choose the simplest within 10 % of the lowest cost.")]
HtmlOption = Annotated[
    str | None,
    typer.Option(HTML, metavar="[FILE.html]", help="Write a page as well; .lakemill/plan.html if no file is named."),
]
HistoryOption = Annotated[bool, typer.Option("--history", help="Show what was predicted beside what was measured.")]


def plan(  # noqa: PLR0913  one for each option
    name: NameArgument = None,
    *,
    deadline: DeadlineOption = None,
    budget: BudgetOption = None,
    cluster: ClusterOption = None,
    simplest: SimplestOption = False,
    fastest: FastestOption = False,
    cheapest: CheapestOption = False,
    html: HtmlOption = None,
    probe: ProbeOption = False,
    history: HistoryOption = False,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name the bottleneck, and the smallest compute that does the work; nothing is run.

    Example:  lakemill plan train --deadline 60
    """
    from lakemill.projects import load_project

    aim = _aim(simplest=simplest, fastest=fastest, cheapest=cheapest)
    project = load_project(target=target)
    if history:
        _history(project, as_json=as_json)
        return
    wishes = {"cluster": cluster or (), "deadline_seconds": deadline, "budget": budget, "aim": aim, "probe": probe}
    outlook = _outlook(project, name, wishes=wishes) if name is not None and name in project.jobs else None
    if outlook is not None:
        keyed = zip(_references(project, job=name), outlook.tasks, strict=True)
        made = {key: one.planned for key, one in keyed if one.planned is not None}
    else:
        made = {key: _planned(project, reference, wishes=wishes) for key, reference in _asked(project, name).items()}
    written = None if html is None else _write_page(project, made, html)
    if as_json:
        plans = {key: {"facts": one.facts, "plan": one.plan, "probed": one.probed} for key, one in made.items()}
        told = {"plans": plans, "page": written, "job": outlook and plain_outlook(outlook)}
        print_json({key: value for key, value in told.items() if value})
        return
    for key, one in made.items():
        _show(key, one)
    if outlook is not None:
        show_outlook(outlook)
    show(fields([("page", written)]))


def _aim(**asked: bool) -> Aim:
    """Return the aim that was asked for.

    Raises
    ------
    ConfigError
        If more than one was.
    """
    named: list[Aim] = [name for name, wanted in asked.items() if wanted]  # type: ignore[misc]
    if len(named) > 1:
        raise ConfigError(f"got --{' and --'.join(named)}; allowed: one of them", hint="plan once for each")
    return named[0] if named else "simplest"


def _outlook(project: Project, job: str, *, wishes: Mapping[str, Any]) -> JobOutlook:
    from lakemill.projects import open_workspace
    from lakemill.projects.planning import plan_job

    with open_workspace(project.path, target=project.target) as workspace, console(stderr=True).status("") as status:
        say = {"say": lambda what: status.update(f"measuring {what}, once")}
        return plan_job(workspace, project, job, wishes={**wishes, **say})


def _asked(project: Project, name: str | None) -> dict[str, str]:
    """Return what to plan, by the task's key: the task asked for, or each of a job that names a declaration."""
    found = _references(project)
    if name in found:
        return {name: found[name]}
    if name is not None and name not in project.jobs:
        raise ConfigError(f"no job and no task {name!r} in {project.path}", hint=nearest(name, {*project.jobs, *found}))
    declared = {
        key: reference
        for key, reference in _references(project, job=name).items()
        if _is_declaration(project, reference)
    }
    if not declared:
        raise ConfigError(
            "no task names a declaration; a function can't be planned", hint="train = lm.ManyTraining(...)"
        )
    return declared


def _references(project: Project, *, job: str | None = None) -> dict[str, str]:
    """Return what tasks name, by the task's key, or by JOB.TASK where several jobs have one of that key."""
    count = Counter(task.task_key for one in project.jobs.values() for task in one.tasks)
    return {
        task.task_key if count[task.task_key] == 1 else f"{key}.{task.task_key}": task.python
        for key, one in project.jobs.items()
        if job in (None, key)
        for task in one.tasks
    }


def _is_declaration(project: Project, reference: str) -> bool:
    from lakemill.projects.references import resolve

    return not callable(resolve(reference, project.settings.project_dir))


def _planned(project: Project, reference: str, *, wishes: Mapping[str, Any]) -> Planned:
    from lakemill.projects import open_workspace
    from lakemill.projects.references import resolve
    from lakemill.workspace.planning import plan as planned

    declared = resolve(reference, project.settings.project_dir)
    with open_workspace(project.path, target=project.target) as workspace, console(stderr=True).status("") as status:
        return planned(workspace, declared, **wishes, say=lambda what: status.update(f"measuring {what}, once"))


def _write_page(project: Project, made: Mapping[str, Planned], html: str) -> Path:
    """Write the plans as a page and return its path."""
    from pathlib import Path

    from lakemill.planner.page import Subject, page

    subjects = [Subject(task=key, facts=one.facts, clusters=one.clusters, plan=one.plan) for key, one in made.items()]
    path = Path(html).absolute() if html else Path(project.settings.project_dir, ".lakemill", "plan.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(project.name, subjects), encoding="utf-8")
    return path


def _show(key: str, planned: Planned) -> None:
    from lakemill.planner import shortlist

    made = planned.plan
    shown = shortlist(made, most=MOST_SHOWN)
    columns = _columns(planned, shown)
    rows = table("", *columns, right=("workers", "predicted", "memory", "cost"))
    for one in shown:
        rows.add_row("choice" if one is made.choice else "", *(tell(one) for tell in columns.values()))
    show(
        fields([("task", key), ("bottleneck", made.bottleneck)]),
        rows,
        fields(_reasons(made)),
        fields([("changes", _changes(made)), ("probed", _tried(planned)), ("measured", _when(planned))]),
    )


def _columns(planned: Planned, shown: Iterable[Candidate]) -> dict[str, Callable[[Candidate], str]]:
    """Return what is said of each candidate, by heading: where it runs and its cost if there is a choice of them."""
    from lakemill.planner.wording import place

    elsewhere = any(cluster.name != planned.hardware.node.name for cluster in planned.clusters)
    priced = any(one.money is not None and one.money.value for one in shown)
    return {
        "lane": _lane,
        **({"on": place} if elsewhere else {}),
        "workers": lambda one: str(one.workers),
        "predicted": lambda one: duration(one.seconds.value),
        "90 % sure": lambda one: f"{duration(one.seconds.low)} to {duration(one.seconds.high)}",
        "memory": lambda one: size(one.total_bytes.value),
        **({"cost": _cost} if priced else {}),
    }


def _lane(one: Candidate) -> str:
    return f"{one.lane} (breaks the {', '.join(one.breaks)})" if one.breaks else one.lane


def _cost(one: Candidate) -> str:
    from lakemill.planner.wording import in_money

    return "no price" if one.money is None else in_money(one.money.value)


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
        history = History(workspace.database)
        past, tracks = history.newest(), history.tracks()
    if as_json:
        print_json({"history": past, "tracks": tracks})
        return
    numbers = ("items", "workers", "predicted", "measured", "error")
    rows = table("work", "lane", *numbers, "when", right=numbers)
    for one in past:
        rows.add_row(one.work, one.lane, f"{one.items:,}", str(one.workers), *_compared(one), ago(one.at))
    show(rows if past else "no work is remembered yet: a training is (`lakemill run JOB`)")
    if tracks:
        show(_tracks(tracks))


def _tracks(tracks: Iterable[Track]) -> Table:
    """Return the errors by kind of work and lane."""
    numbers = ("runs", "median error", "inside", "next corrected by")
    rows = table("kind of work", "lane", *numbers, right=numbers)
    for one in tracks:
        shares = (f"{one.median_error:+.0%}", f"{one.inside:.0%}", f"{one.correction:.2f}")
        rows.add_row(one.kind, one.lane, str(one.runs), *shares)
    return rows


def _compared(one: Past) -> tuple[str, str, str]:
    measured = duration(one.seconds)
    if one.predicted is None or one.error is None:
        return "", measured, ""
    outside = "" if one.inside else ", outside its interval"
    return _bounds(one.predicted.seconds), measured, f"{one.error:+.0%}{outside}"


def _bounds(interval: Interval) -> str:
    return f"{duration(interval.value)} ({duration(interval.low)} to {duration(interval.high)})"
