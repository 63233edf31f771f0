"""What a job is expected to take, for a person and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakemill.cli.output import fields, show, table
from lakemill.cli.wording import ago, duration, size

if TYPE_CHECKING:
    from lakemill.core.planning import Interval
    from lakemill.projects.planning import JobOutlook, TaskOutlook


def show_outlook(outlook: JobOutlook) -> None:
    """Write a table of the tasks, and what they take together."""
    rows = table("task", "runs", "expected", "90 % sure", "memory", "by", right=("expected", "memory"), wrap=["by"])
    for one in outlook.tasks:
        rows.add_row(one.task.task_key, _where(one), *_bounds(one.seconds), *_by(one))
    show(rows, fields([("in all", _in_all(outlook)), ("not in it", ", ".join(outlook.unknown))]))


def plain_outlook(outlook: JobOutlook) -> dict[str, Any]:
    """Return the outlook as programs read it; plans are told beside it."""
    return {
        "job": outlook.job,
        "seconds": outlook.seconds,
        "longest": outlook.longest,
        "unknown": outlook.unknown,
        "tasks": {one.task.task_key: _plain(one) for one in outlook.tasks},
    }


def _in_all(outlook: JobOutlook) -> str:
    """Return what the job takes, and the tasks that decide it."""
    known = [key for key in outlook.longest if key not in outlook.unknown]
    expected, sure = _bounds(outlook.seconds if known else None)
    return f"{expected} ({sure}): {' > '.join(known)}" if known else expected


def _plain(one: TaskOutlook) -> dict[str, Any]:
    return {"seconds": one.seconds, "unknown": one.unknown, "counts": one.counts, "past": one.past}


def _where(one: TaskOutlook) -> str:
    choice = one.planned.plan.choice if one.planned else None
    if choice is not None:
        return f"{choice.lane}, {choice.workers} worker{'s' if choice.workers > 1 else ''}"
    return ", ".join(sorted(set(one.past[0].engines.values()))) if one.past else ""


def _bounds(seconds: Interval | None) -> tuple[str, str]:
    if seconds is None:
        return "not known", ""
    return duration(seconds.value), f"{duration(seconds.low)} to {duration(seconds.high)}"


def _by(one: TaskOutlook) -> tuple[str, str]:
    """Return the memory, and what the figures rest on."""
    unless = "" if one.counts else "; does not run where all goes well"
    if one.unknown:
        return "", one.unknown + unless
    if one.planned is not None and one.planned.plan.choice is not None:
        return size(one.planned.plan.choice.total_bytes.value), f"its plan{_assumed(one)}{unless}"
    number = f"the last {len(one.past)} runs" if len(one.past) > 1 else "its last run"
    return size(max(run.peak_bytes for run in one.past)), f"{number}, {ago(one.past[0].started_at)}{unless}"


def _assumed(one: TaskOutlook) -> str:
    assert one.planned is not None
    return ", with assumptions" if one.planned.plan.assumed else ""
