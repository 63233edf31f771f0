"""What came of runs and their tasks, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from lakemill.cli.output import table
from lakemill.cli.wording import duration, size
from lakemill.core.records import utc_now

if TYPE_CHECKING:
    from lakemill.projects import JobRun, TaskRun

_LOOKS: Final = {
    "success": ("✓", "green"),
    "success_with_failures": ("✓", "yellow"),
    "failed": ("✗", "red"),
    "timed_out": ("✗", "red"),
    "upstream_failed": ("-", "yellow"),
    "running": ("▸", "cyan"),
}


def status(text: str) -> Text:
    """Return how a run or a task stands, with its mark and colour."""
    mark, style = _LOOKS.get(text, ("-", "dim"))
    return Text(f"{mark} {text.replace('_', ' ')}", style)


def took(run: JobRun | TaskRun) -> str:
    """Return how long it took, or has taken so far; nothing if it has not begun."""
    skipped = run.status in {"excluded", "upstream_failed"}
    return "" if skipped else _span(run.started_at, run.ended_at or (utc_now() if run.status == "running" else None))


def task_table(run: JobRun) -> Table:
    """Return the last attempt at every task of a run."""
    made = table(
        "task", "state", "time", "peak memory", "engines", "result", right=("time", "peak memory"), wrap=("result",)
    )
    last = {task.task_key: task for task in run.tasks}
    for task in last.values():
        again = f" (attempt {task.attempt})" if task.attempt > 1 else ""
        result = (task.error or task.message).partition("\n")[0]
        made.add_row(
            task.task_key,
            status(task.status).append(again),
            took(task),
            size(task.peak_bytes),
            _engines(task.engines),
            result,
        )
    return made


def _engines(kinds: Mapping[str, str]) -> str:
    """Return the kind that all roles share, or the kind of each role."""
    if len(set(kinds.values())) == 1:
        return next(iter(kinds.values()))
    return ", ".join(f"{role} {kind}" for role, kind in sorted(kinds.items()))


def _span(start: datetime | None, end: datetime | None) -> str:
    return duration((end - start).total_seconds()) if start and end else ""
